//! AVX2 with FMA: eight f64 in two registers.
#![expect(
    unsafe_code,
    reason = "a V256 only comes from another or from run_task, which only a CPU with AVX2 and FMA runs"
)]
// SAFETY, for every block below: the intrinsics need AVX2 and FMA. Values of V256 are made by `run_task`, which is
// called only where both were detected, and by the methods of V256 values. Pointers come from references to arrays
// of just as many numbers, and are read and written unaligned; gathered indices are four bits into sixteen numbers.
#![expect(clippy::undocumented_unsafe_blocks, reason = "said once, above")]

use super::Task;
use super::word::{Vector, Word};
use std::arch::x86_64::*;
use std::ops::{Add, Mul, Neg, Sub};

#[derive(Clone, Copy)]
pub(super) struct V256([__m256d; 2]);

#[target_feature(enable = "avx2,fma")]
pub(super) fn run_task<T: Task>(task: T) -> T::Output {
    task.run(V256([_mm256_setzero_pd(); 2]))
}

impl Add for V256 {
    type Output = Self;
    #[inline(always)]
    fn add(self, Self([c, d]): Self) -> Self {
        let [a, b] = self.0;
        Self(unsafe { [_mm256_add_pd(a, c), _mm256_add_pd(b, d)] })
    }
}

impl Sub for V256 {
    type Output = Self;
    #[inline(always)]
    fn sub(self, Self([c, d]): Self) -> Self {
        let [a, b] = self.0;
        Self(unsafe { [_mm256_sub_pd(a, c), _mm256_sub_pd(b, d)] })
    }
}

impl Mul for V256 {
    type Output = Self;
    #[inline(always)]
    fn mul(self, Self([c, d]): Self) -> Self {
        let [a, b] = self.0;
        Self(unsafe { [_mm256_mul_pd(a, c), _mm256_mul_pd(b, d)] })
    }
}

impl Neg for V256 {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        let [a, b] = self.0;
        Self(unsafe {
            let sign = _mm256_set1_pd(-0.0);
            [_mm256_xor_pd(a, sign), _mm256_xor_pd(b, sign)]
        })
    }
}

impl Word for V256 {
    #[inline(always)]
    fn splat(self, x: f64) -> Self {
        Self(unsafe { [_mm256_set1_pd(x); 2] })
    }

    #[inline(always)]
    fn div(self, Self([c, d]): Self) -> Self {
        let [a, b] = self.0;
        Self(unsafe { [_mm256_div_pd(a, c), _mm256_div_pd(b, d)] })
    }

    #[inline(always)]
    fn mul_add(self, Self([c, d]): Self, Self([e, f]): Self) -> Self {
        let [a, b] = self.0;
        Self(unsafe { [_mm256_fmadd_pd(a, c, e), _mm256_fmadd_pd(b, d, f)] })
    }

    #[inline(always)]
    fn max(self, Self([c, d]): Self) -> Self {
        let [a, b] = self.0;
        // The second where either is NaN.
        Self(unsafe { [_mm256_max_pd(a, c), _mm256_max_pd(b, d)] })
    }

    #[inline(always)]
    fn where_at_most(self, bound: f64, Self([c, d]): Self, Self([e, f]): Self) -> Self {
        let [a, b] = self.0;
        Self(unsafe {
            let bound = _mm256_set1_pd(bound);
            let masks = [_mm256_cmp_pd::<_CMP_LE_OQ>(a, bound), _mm256_cmp_pd::<_CMP_LE_OQ>(b, bound)];
            [_mm256_blendv_pd(e, c, masks[0]), _mm256_blendv_pd(f, d, masks[1])]
        })
    }

    #[inline(always)]
    fn entry(self, table: &[f64; 16]) -> Self {
        let [a, b] = self.0;
        Self(unsafe {
            let fifteen = _mm256_set1_epi64x(15);
            let a = _mm256_and_si256(_mm256_castpd_si256(a), fifteen);
            let b = _mm256_and_si256(_mm256_castpd_si256(b), fifteen);
            [_mm256_i64gather_pd::<8>(table.as_ptr(), a), _mm256_i64gather_pd::<8>(table.as_ptr(), b)]
        })
    }

    #[inline(always)]
    fn power(self, bias: i64) -> Self {
        let [a, b] = self.0;
        Self(unsafe {
            let (exponents, bias) = (_mm256_set1_epi64x(-1 << 52), _mm256_set1_epi64x((bias + 1023) << 52));
            let a = _mm256_and_si256(_mm256_slli_epi64::<48>(_mm256_castpd_si256(a)), exponents);
            let b = _mm256_and_si256(_mm256_slli_epi64::<48>(_mm256_castpd_si256(b)), exponents);
            [_mm256_castsi256_pd(_mm256_add_epi64(a, bias)), _mm256_castsi256_pd(_mm256_add_epi64(b, bias))]
        })
    }

    #[inline(always)]
    fn scaled_entry(self, table: &[f64; 16]) -> Self {
        let (Self([a, b]), [c, d]) = (self.entry(table), self.0);
        Self(unsafe {
            let c = _mm256_slli_epi64::<48>(_mm256_castpd_si256(c));
            let d = _mm256_slli_epi64::<48>(_mm256_castpd_si256(d));
            let a = _mm256_add_epi64(_mm256_castpd_si256(a), c);
            let b = _mm256_add_epi64(_mm256_castpd_si256(b), d);
            [_mm256_castsi256_pd(a), _mm256_castsi256_pd(b)]
        })
    }
}

impl Vector for V256 {
    #[inline(always)]
    fn load(self, numbers: &[f64; 8]) -> Self {
        Self(unsafe { [_mm256_loadu_pd(numbers.as_ptr()), _mm256_loadu_pd(numbers[4..].as_ptr())] })
    }

    #[inline(always)]
    fn load_f32(self, numbers: &[f32; 8]) -> Self {
        Self(unsafe {
            let numbers = _mm256_loadu_ps(numbers.as_ptr());
            [
                _mm256_cvtps_pd(_mm256_castps256_ps128(numbers)),
                _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(numbers)),
            ]
        })
    }

    #[inline(always)]
    fn store(self, numbers: &mut [f64; 8]) {
        let [a, b] = self.0;
        unsafe {
            _mm256_storeu_pd(numbers.as_mut_ptr(), a);
            _mm256_storeu_pd(numbers[4..].as_mut_ptr(), b);
        }
    }

    #[inline(always)]
    fn store_f32(self, numbers: &mut [f32; 8]) {
        let [a, b] = self.0;
        unsafe {
            _mm256_storeu_ps(numbers.as_mut_ptr(), _mm256_set_m128(_mm256_cvtpd_ps(b), _mm256_cvtpd_ps(a)))
        }
    }
}
