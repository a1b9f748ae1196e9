//! AVX-512: eight f64 in one register.
#![expect(
    unsafe_code,
    reason = "a V512 only comes from another or from run_task, which only a CPU with AVX-512F and F16C runs"
)]
// SAFETY, for every block below: the intrinsics need AVX-512F and F16C. Values of V512 are made by `run_task`,
// which is called only where both were detected, and by the methods of V512 values. Pointers come from references
// to arrays of at least the length that is accessed, without alignment; `stream` needs 16 bytes, which its callers
// ensure. A prefetch reads nothing, nor does a masked load where its mask is 0.
#![expect(clippy::undocumented_unsafe_blocks, reason = "said once, above")]

use crate::arithmetic::float64::{FROM, Float64, ONE, WHOLE};
use crate::simd::{Task, Vector};
use std::arch::x86_64::*;
use std::ops::{Add, Mul, Neg, Sub};

#[derive(Clone, Copy)]
pub(super) struct V512(__m512d);

#[target_feature(enable = "avx512f,f16c")]
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

impl Float64 for V512 {
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
        // The instruction returns its second operand where either is NaN.
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
            // The permutation uses only the low four bits of each index.
            _mm512_permutex2var_pd(low, _mm512_castpd_si512(self.0), high)
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

    #[inline(always)]
    fn power_and_inverse(self) -> (Self, Self) {
        unsafe {
            let bits = _mm512_castpd_si512(self.0);
            let k = _mm512_srli_epi64::<52>(_mm512_sub_epi64(bits, _mm512_set1_epi64(FROM as i64)));
            let whole = _mm512_set1_pd(WHOLE);
            let k_of_whole = _mm512_castsi512_pd(_mm512_or_si512(k, _mm512_castpd_si512(whole)));
            let inverse = _mm512_sub_epi64(_mm512_set1_epi64(ONE as i64), _mm512_slli_epi64::<52>(k));
            (Self(_mm512_sub_pd(k_of_whole, whole)), Self(_mm512_castsi512_pd(inverse)))
        }
    }
}

impl Vector for V512 {
    type Singles = __m512;
    const REGISTERS: usize = 28;

    #[inline(always)]
    fn singles(self, x: f32) -> __m512 {
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    fn greater_singles(self, singles: __m512, numbers: &[f32; 16]) -> __m512 {
        // The instruction returns its second operand where either is NaN.
        unsafe { _mm512_max_ps(_mm512_loadu_ps(numbers.as_ptr()), singles) }
    }

    #[inline(always)]
    fn store_singles(self, singles: __m512, numbers: &mut [f32; 16]) {
        unsafe { _mm512_storeu_ps(numbers.as_mut_ptr(), singles) }
    }

    #[inline(always)]
    fn stream(self, numbers: &mut [f64; 8]) {
        debug_assert!(numbers.as_ptr().addr().is_multiple_of(16));
        let to = numbers.as_mut_ptr();
        unsafe {
            _mm_stream_pd(to, _mm512_castpd512_pd128(self.0));
            _mm_stream_pd(to.add(2), _mm256_extractf128_pd::<1>(_mm512_castpd512_pd256(self.0)));
            let high = _mm512_extractf64x4_pd::<1>(self.0);
            _mm_stream_pd(to.add(4), _mm256_castpd256_pd128(high));
            _mm_stream_pd(to.add(6), _mm256_extractf128_pd::<1>(high));
        }
    }

    #[inline(always)]
    fn stream_f32(self, numbers: &mut [f32; 8]) {
        debug_assert!(numbers.as_ptr().addr().is_multiple_of(16));
        let to = numbers.as_mut_ptr();
        unsafe {
            let singles = _mm512_cvtpd_ps(self.0);
            _mm_stream_ps(to, _mm256_castps256_ps128(singles));
            _mm_stream_ps(to.add(4), _mm256_extractf128_ps::<1>(singles));
        }
    }

    #[inline(always)]
    fn fence(self) {
        unsafe { _mm_sfence() }
    }

    #[inline(always)]
    fn transposed(vectors: [Self; 8]) -> [Self; 8] {
        let [Self(a), Self(b), Self(c), Self(d), Self(e), Self(f), Self(g), Self(h)] = vectors;
        unsafe {
            // Interleave numbers, then pairs, then quadruples.
            let (ab, ab1) = (_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b));
            let (cd, cd1) = (_mm512_unpacklo_pd(c, d), _mm512_unpackhi_pd(c, d));
            let (ef, ef1) = (_mm512_unpacklo_pd(e, f), _mm512_unpackhi_pd(e, f));
            let (gh, gh1) = (_mm512_unpacklo_pd(g, h), _mm512_unpackhi_pd(g, h));
            let [r0, r2, r4, r6] = quarters(ab, cd, ef, gh);
            let [r1, r3, r5, r7] = quarters(ab1, cd1, ef1, gh1);
            [Self(r0), Self(r1), Self(r2), Self(r3), Self(r4), Self(r5), Self(r6), Self(r7)]
        }
    }

    #[inline(always)]
    fn prefetch<T>(self, number: &T, ahead: usize) {
        let place = std::ptr::from_ref(number).wrapping_byte_add(ahead);
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) }
    }

    #[inline(always)]
    fn load(self, numbers: &[f64; 8]) -> Self {
        Self(unsafe { _mm512_loadu_pd(numbers.as_ptr()) })
    }

    #[inline(always)]
    fn load_f32(self, numbers: &[f32; 8]) -> Self {
        Self(unsafe { _mm512_cvtps_pd(_mm256_loadu_ps(numbers.as_ptr())) })
    }

    #[inline(always)]
    fn load_up_to(self, numbers: &[f64]) -> Self {
        let mask = ((1_u32 << numbers.len().min(8)) - 1) as u8;
        Self(unsafe { _mm512_mask_loadu_pd(_mm512_set1_pd(f64::NEG_INFINITY), mask, numbers.as_ptr()) })
    }

    #[inline(always)]
    fn load_f32_up_to(self, numbers: &[f32]) -> Self {
        let mask = ((1_u32 << numbers.len().min(8)) - 1) as u16;
        Self(unsafe {
            let singles = _mm512_mask_loadu_ps(_mm512_set1_ps(f32::NEG_INFINITY), mask, numbers.as_ptr());
            _mm512_cvtps_pd(_mm512_castps512_ps256(singles))
        })
    }

    #[inline(always)]
    fn store(self, numbers: &mut [f64; 8]) {
        unsafe { _mm512_storeu_pd(numbers.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn store_f32(self, numbers: &mut [f32; 8]) {
        unsafe { _mm256_storeu_ps(numbers.as_mut_ptr(), _mm512_cvtpd_ps(self.0)) }
    }

    #[inline(always)]
    fn plus_bits(self, other: Self) -> Self {
        unsafe {
            let sum = _mm512_add_epi64(_mm512_castpd_si512(self.0), _mm512_castpd_si512(other.0));
            Self(_mm512_castsi512_pd(sum))
        }
    }

    #[inline(always)]
    fn differ(self, other: Self) -> u8 {
        unsafe { _mm512_cmpneq_pd_mask(self.0, other.0) }
    }

    #[inline(always)]
    fn differ_as_f32(self, other: Self) -> u8 {
        // The upper halves are 0 in both.
        unsafe {
            let a = _mm512_zextps256_ps512(_mm512_cvtpd_ps(self.0));
            let b = _mm512_zextps256_ps512(_mm512_cvtpd_ps(other.0));
            _mm512_cmpneq_ps_mask(a, b) as u8
        }
    }

    #[cfg(feature = "half")]
    type Sixteen = S512;

    #[cfg(feature = "half")]
    #[inline(always)]
    fn sixteen(self, numbers: &[f32; 16]) -> S512 {
        S512(unsafe { _mm512_loadu_ps(numbers.as_ptr()) })
    }

    #[cfg(feature = "half")]
    #[inline(always)]
    fn f16_to_f32(self, halves: [u16; 8]) -> [f32; 8] {
        unsafe { super::avx2::f16_to_f32(halves) }
    }

    #[cfg(feature = "half")]
    #[inline(always)]
    fn f32_to_f16(self, singles: [f32; 8]) -> [u16; 8] {
        unsafe { super::avx2::f32_to_f16(singles) }
    }
}

/// Transposes a 4 × 4 matrix of pairs: result i has pair i of each of the four vectors.
#[inline(always)]
unsafe fn quarters(a: __m512d, b: __m512d, c: __m512d, d: __m512d) -> [__m512d; 4] {
    unsafe {
        let (even, odd) =
            (_mm512_shuffle_f64x2::<0b10_00_10_00>(a, b), _mm512_shuffle_f64x2::<0b11_01_11_01>(a, b));
        let (even2, odd2) =
            (_mm512_shuffle_f64x2::<0b10_00_10_00>(c, d), _mm512_shuffle_f64x2::<0b11_01_11_01>(c, d));
        [
            _mm512_shuffle_f64x2::<0b10_00_10_00>(even, even2),
            _mm512_shuffle_f64x2::<0b10_00_10_00>(odd, odd2),
            _mm512_shuffle_f64x2::<0b11_01_11_01>(even, even2),
            _mm512_shuffle_f64x2::<0b11_01_11_01>(odd, odd2),
        ]
    }
}

/// Sixteen f32, which only a V512 can make.
#[cfg(feature = "half")]
#[derive(Clone, Copy)]
pub(super) struct S512(__m512);

#[cfg(feature = "half")]
impl super::Sixteen for S512 {
    #[inline(always)]
    fn splat(self, x: f32) -> Self {
        Self(unsafe { _mm512_set1_ps(x) })
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        Self(unsafe { _mm512_fmadd_ps(self.0, a.0, b.0) })
    }

    #[inline(always)]
    fn max(self, x: Self) -> Self {
        // The instruction returns its second operand where either is NaN.
        Self(unsafe { _mm512_max_ps(self.0, x.0) })
    }

    #[inline(always)]
    fn scaled_entry(self, table: &[f32; 16]) -> Self {
        Self(unsafe {
            let k = _mm512_castps_si512(self.0);
            // The permutation uses only the low four bits of each index.
            let entry = _mm512_castps_si512(_mm512_permutexvar_ps(k, _mm512_loadu_ps(table.as_ptr())));
            _mm512_castsi512_ps(_mm512_add_epi32(entry, _mm512_slli_epi32::<19>(k)))
        })
    }

    #[inline(always)]
    fn store(self, numbers: &mut [f32; 16]) {
        unsafe { _mm512_storeu_ps(numbers.as_mut_ptr(), self.0) }
    }
}
