//! AVX-512: eight f64 in a register.
#![expect(
    unsafe_code,
    reason = "a V512 only comes from another or from run_task, which only a CPU with AVX-512F runs"
)]
// SAFETY, for every block below: the intrinsics need AVX-512F (and F alone). Values of V512 are made by `run_task`,
// which is called only where AVX-512F was detected, and by the methods of V512 values. Pointers come from references
// to arrays of just as many numbers, and are read and written unaligned.
#![expect(clippy::undocumented_unsafe_blocks, reason = "said once, above")]

use super::Task;
use super::word::{Vector, Word};
use std::arch::x86_64::*;
use std::ops::{Add, Mul, Neg, Sub};

#[derive(Clone, Copy)]
pub(super) struct V512(__m512d);

#[target_feature(enable = "avx512f")]
pub(super) fn run_task<T: Task>(task: T) -> T::Output {
    task.run(V512(_mm512_setzero_pd()))
}

impl Add for V512 {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(unsafe { _mm512_add_pd(self.0, other.0) })
    }
}

impl Sub for V512 {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(unsafe { _mm512_sub_pd(self.0, other.0) })
    }
}

impl Mul for V512 {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(unsafe { _mm512_mul_pd(self.0, other.0) })
    }
}

impl Neg for V512 {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self(unsafe {
            let sign = _mm512_set1_epi64(i64::MIN);
            _mm512_castsi512_pd(_mm512_xor_si512(_mm512_castpd_si512(self.0), sign))
        })
    }
}

impl Word for V512 {
    #[inline(always)]
    fn splat(self, x: f64) -> Self {
        Self(unsafe { _mm512_set1_pd(x) })
    }

    #[inline(always)]
    fn div(self, divisor: Self) -> Self {
        Self(unsafe { _mm512_div_pd(self.0, divisor.0) })
    }

    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        Self(unsafe { _mm512_fmadd_pd(self.0, a.0, b.0) })
    }

    #[inline(always)]
    fn max(self, x: Self) -> Self {
        // The second where either is NaN.
        Self(unsafe { _mm512_max_pd(self.0, x.0) })
    }

    #[inline(always)]
    fn where_at_most(self, bound: f64, then: Self, otherwise: Self) -> Self {
        Self(unsafe {
            let mask = _mm512_cmp_pd_mask::<_CMP_LE_OQ>(self.0, _mm512_set1_pd(bound));
            _mm512_mask_blend_pd(mask, otherwise.0, then.0)
        })
    }

    #[inline(always)]
    fn entry(self, table: &[f64; 16]) -> Self {
        Self(unsafe {
            let (low, high) = (_mm512_loadu_pd(table.as_ptr()), _mm512_loadu_pd(table[8..].as_ptr()));
            // It looks at four bits of each index.
            _mm512_permutex2var_pd(low, _mm512_castpd_si512(self.0), high)
        })
    }

    #[inline(always)]
    fn power(self, bias: i64) -> Self {
        Self(unsafe {
            let exponent = _mm512_slli_epi64::<48>(_mm512_castpd_si512(self.0));
            let exponent = _mm512_and_si512(exponent, _mm512_set1_epi64(-1 << 52));
            _mm512_castsi512_pd(_mm512_add_epi64(exponent, _mm512_set1_epi64((bias + 1023) << 52)))
        })
    }

    #[inline(always)]
    fn scaled_entry(self, table: &[f64; 16]) -> Self {
        let entry = self.entry(table).0;
        Self(unsafe {
            let scale = _mm512_slli_epi64::<48>(_mm512_castpd_si512(self.0));
            _mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(entry), scale))
        })
    }
}

impl Vector for V512 {
    #[inline(always)]
    fn load(self, numbers: &[f64; 8]) -> Self {
        Self(unsafe { _mm512_loadu_pd(numbers.as_ptr()) })
    }

    #[inline(always)]
    fn load_f32(self, numbers: &[f32; 8]) -> Self {
        Self(unsafe { _mm512_cvtps_pd(_mm256_loadu_ps(numbers.as_ptr())) })
    }

    #[inline(always)]
    fn store(self, numbers: &mut [f64; 8]) {
        unsafe { _mm512_storeu_pd(numbers.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn store_f32(self, numbers: &mut [f32; 8]) {
        unsafe { _mm256_storeu_ps(numbers.as_mut_ptr(), _mm512_cvtpd_ps(self.0)) }
    }
}
