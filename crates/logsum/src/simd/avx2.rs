//! AVX2 with FMA and F16C: eight f64 in two registers.
#![expect(
    unsafe_code,
    reason = "a V256 only comes from another or from run_task, which only a CPU with AVX2, FMA and F16C runs"
)]
// SAFETY, for every block below: the intrinsics need AVX2, FMA and F16C. Values of V256 are made by `run_task`,
// which is called only where all three were detected, and by the methods of V256 values. Pointers come from
// references to arrays of at least the length that is accessed, without alignment; `stream` needs 16 bytes, which
// its callers ensure. A prefetch reads nothing, nor does a masked load where its mask is 0.
#![expect(clippy::undocumented_unsafe_blocks, reason = "said once, above")]

use crate::arithmetic::float64::{FROM, Float64, ONE, WHOLE};
use crate::simd::{Task, Vector};
use std::arch::x86_64::*;
use std::ops::{Add, Mul, Neg, Sub};

#[derive(Clone, Copy)]
pub(super) struct V256([__m256d; 2]);

#[target_feature(enable = "avx2,fma,f16c")]
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

impl Float64 for V256 {
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
        // The instruction returns its second operand where either is NaN.
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
        unsafe { joined(entries(indices(self), table)) }
    }

    #[inline(always)]
    fn scaled_entry(self, table: &[f64; 16]) -> Self {
        unsafe {
            let indices = indices(self);
            let [low, high] = entries(indices, table);
            joined([low, _mm256_add_epi32(high, _mm256_slli_epi32::<16>(indices))])
        }
    }

    #[inline(always)]
    fn power_and_inverse(self) -> (Self, Self) {
        let [a, b] = self.0;
        unsafe {
            let (from, one) = (_mm256_set1_epi64x(FROM as i64), _mm256_set1_epi64x(ONE as i64));
            let whole = _mm256_set1_pd(WHOLE);
            let j = _mm256_srli_epi64::<52>(_mm256_sub_epi64(_mm256_castpd_si256(a), from));
            let k = _mm256_srli_epi64::<52>(_mm256_sub_epi64(_mm256_castpd_si256(b), from));
            let (c, d) = (_mm256_castsi256_pd(j), _mm256_castsi256_pd(k));
            let (e, f) = (
                _mm256_sub_epi64(one, _mm256_slli_epi64::<52>(j)),
                _mm256_sub_epi64(one, _mm256_slli_epi64::<52>(k)),
            );
            (
                Self([
                    _mm256_sub_pd(_mm256_or_pd(c, whole), whole),
                    _mm256_sub_pd(_mm256_or_pd(d, whole), whole),
                ]),
                Self([_mm256_castsi256_pd(e), _mm256_castsi256_pd(f)]),
            )
        }
    }
}

impl Vector for V256 {
    type Singles = [__m256; 2];
    const REGISTERS: usize = 5;

    #[inline(always)]
    fn singles(self, x: f32) -> [__m256; 2] {
        unsafe { [_mm256_set1_ps(x); 2] }
    }

    #[inline(always)]
    fn greater_singles(self, [a, b]: [__m256; 2], numbers: &[f32; 16]) -> [__m256; 2] {
        // The instruction returns its second operand where either is NaN.
        unsafe {
            [
                _mm256_max_ps(_mm256_loadu_ps(numbers.as_ptr()), a),
                _mm256_max_ps(_mm256_loadu_ps(numbers[8..].as_ptr()), b),
            ]
        }
    }

    #[inline(always)]
    fn store_singles(self, [a, b]: [__m256; 2], numbers: &mut [f32; 16]) {
        unsafe {
            _mm256_storeu_ps(numbers.as_mut_ptr(), a);
            _mm256_storeu_ps(numbers[8..].as_mut_ptr(), b);
        }
    }

    #[inline(always)]
    fn stream(self, numbers: &mut [f64; 8]) {
        debug_assert!(numbers.as_ptr().addr().is_multiple_of(16));
        let ([a, b], to) = (self.0, numbers.as_mut_ptr());
        unsafe {
            _mm_stream_pd(to, _mm256_castpd256_pd128(a));
            _mm_stream_pd(to.add(2), _mm256_extractf128_pd::<1>(a));
            _mm_stream_pd(to.add(4), _mm256_castpd256_pd128(b));
            _mm_stream_pd(to.add(6), _mm256_extractf128_pd::<1>(b));
        }
    }

    #[inline(always)]
    fn stream_f32(self, numbers: &mut [f32; 8]) {
        debug_assert!(numbers.as_ptr().addr().is_multiple_of(16));
        let ([a, b], to) = (self.0, numbers.as_mut_ptr());
        unsafe {
            _mm_stream_ps(to, _mm256_cvtpd_ps(a));
            _mm_stream_ps(to.add(4), _mm256_cvtpd_ps(b));
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
            // Transpose each 4 × 4 quarter, and exchange the second and the third.
            let [r0, r1, r2, r3] = transposed([a[0], b[0], c[0], d[0]]);
            let [r4, r5, r6, r7] = transposed([a[1], b[1], c[1], d[1]]);
            let [s0, s1, s2, s3] = transposed([e[0], f[0], g[0], h[0]]);
            let [s4, s5, s6, s7] = transposed([e[1], f[1], g[1], h[1]]);
            [
                Self([r0, s0]),
                Self([r1, s1]),
                Self([r2, s2]),
                Self([r3, s3]),
                Self([r4, s4]),
                Self([r5, s5]),
                Self([r6, s6]),
                Self([r7, s7]),
            ]
        }
    }

    #[inline(always)]
    fn prefetch<T>(self, number: &T, ahead: usize) {
        let place = std::ptr::from_ref(number).wrapping_byte_add(ahead);
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) }
    }

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
    fn load_up_to(self, numbers: &[f64]) -> Self {
        let count = numbers.len().min(8) as i64;
        Self(unsafe {
            let (low, high) = (_mm256_setr_epi64x(0, 1, 2, 3), _mm256_setr_epi64x(4, 5, 6, 7));
            let count = _mm256_set1_epi64x(count);
            let (low, high) = (_mm256_cmpgt_epi64(count, low), _mm256_cmpgt_epi64(count, high));
            let infinite = _mm256_set1_pd(f64::NEG_INFINITY);
            let a = _mm256_maskload_pd(numbers.as_ptr(), low);
            let b = _mm256_maskload_pd(numbers.as_ptr().wrapping_add(4), high);
            [
                _mm256_blendv_pd(infinite, a, _mm256_castsi256_pd(low)),
                _mm256_blendv_pd(infinite, b, _mm256_castsi256_pd(high)),
            ]
        })
    }

    #[inline(always)]
    fn load_f32_up_to(self, numbers: &[f32]) -> Self {
        let count = numbers.len().min(8) as i32;
        unsafe {
            let mask =
                _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
            let singles = _mm256_maskload_ps(numbers.as_ptr(), mask);
            let infinite = _mm256_set1_ps(f32::NEG_INFINITY);
            let singles = _mm256_blendv_ps(infinite, singles, _mm256_castsi256_ps(mask));
            Self([
                _mm256_cvtps_pd(_mm256_castps256_ps128(singles)),
                _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(singles)),
            ])
        }
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

    #[inline(always)]
    fn plus_bits(self, other: Self) -> Self {
        let ([a, b], [c, d]) = (self.0, other.0);
        unsafe {
            let low = _mm256_add_epi64(_mm256_castpd_si256(a), _mm256_castpd_si256(c));
            let high = _mm256_add_epi64(_mm256_castpd_si256(b), _mm256_castpd_si256(d));
            Self([_mm256_castsi256_pd(low), _mm256_castsi256_pd(high)])
        }
    }

    #[inline(always)]
    fn differ(self, other: Self) -> u8 {
        let ([a, b], [c, d]) = (self.0, other.0);
        unsafe {
            let low = _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_NEQ_UQ>(a, c));
            let high = _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_NEQ_UQ>(b, d));
            (low | high << 4) as u8
        }
    }

    #[inline(always)]
    fn differ_as_f32(self, other: Self) -> u8 {
        let ([a, b], [c, d]) = (self.0, other.0);
        unsafe {
            let x = _mm256_set_m128(_mm256_cvtpd_ps(b), _mm256_cvtpd_ps(a));
            let y = _mm256_set_m128(_mm256_cvtpd_ps(d), _mm256_cvtpd_ps(c));
            _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NEQ_UQ>(x, y)) as u8
        }
    }

    #[cfg(feature = "half")]
    type Sixteen = S256;

    #[cfg(feature = "half")]
    #[inline(always)]
    fn sixteen(self, numbers: &[f32; 16]) -> S256 {
        S256(unsafe { [_mm256_loadu_ps(numbers.as_ptr()), _mm256_loadu_ps(numbers[8..].as_ptr())] })
    }

    #[cfg(feature = "half")]
    #[inline(always)]
    fn f16_to_f32(self, halves: [u16; 8]) -> [f32; 8] {
        unsafe { f16_to_f32(halves) }
    }

    #[cfg(feature = "half")]
    #[inline(always)]
    fn f32_to_f16(self, singles: [f32; 8]) -> [u16; 8] {
        unsafe { f32_to_f16(singles) }
    }
}

/// Needs F16C, which the levels AVX2 and AVX-512 require.
#[cfg(feature = "half")]
#[inline(always)]
pub(super) unsafe fn f16_to_f32(halves: [u16; 8]) -> [f32; 8] {
    let mut singles = [0.0; 8];
    unsafe {
        let halves = _mm_loadu_si128(halves.as_ptr().cast());
        _mm256_storeu_ps(singles.as_mut_ptr(), _mm256_cvtph_ps(halves));
    }
    singles
}

/// Needs F16C, which the levels AVX2 and AVX-512 require.
#[cfg(feature = "half")]
#[inline(always)]
pub(super) unsafe fn f32_to_f16(singles: [f32; 8]) -> [u16; 8] {
    let mut halves = [0; 8];
    unsafe {
        let singles = _mm256_loadu_ps(singles.as_ptr());
        let nearest = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(singles);
        _mm_storeu_si128(halves.as_mut_ptr().cast(), nearest);
    }
    halves
}

#[inline(always)]
unsafe fn transposed([a, b, c, d]: [__m256d; 4]) -> [__m256d; 4] {
    unsafe {
        let (ab, ab1) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
        let (cd, cd1) = (_mm256_unpacklo_pd(c, d), _mm256_unpackhi_pd(c, d));
        [
            _mm256_permute2f128_pd::<0x20>(ab, cd),
            _mm256_permute2f128_pd::<0x20>(ab1, cd1),
            _mm256_permute2f128_pd::<0x31>(ab, cd),
            _mm256_permute2f128_pd::<0x31>(ab1, cd1),
        ]
    }
}

/// The low 32 bits of eight numbers, in the order that [`joined`] reverses.
#[inline(always)]
unsafe fn indices(V256([a, b]): V256) -> __m256i {
    unsafe { _mm256_castps_si256(_mm256_shuffle_ps::<0x88>(_mm256_castpd_ps(a), _mm256_castpd_ps(b))) }
}

/// The low and the high 32 bits of the entries indexed by the low four bits. Uses register permutations: with
/// gathers from memory a whole exponential takes a quarter longer.
#[inline(always)]
unsafe fn entries(indices: __m256i, table: &[f64; 16]) -> [__m256i; 2] {
    unsafe {
        let (a, b) = (_mm256_loadu_pd(table.as_ptr()), _mm256_loadu_pd(table[4..].as_ptr()));
        let (c, d) = (_mm256_loadu_pd(table[8..].as_ptr()), _mm256_loadu_pd(table[12..].as_ptr()));
        let ([low, high], [more_low, more_high]) = (halves(a, b), halves(c, d));
        [picked(low, more_low, indices), picked(high, more_high, indices)]
    }
}

/// The low and the high 32 bits of eight numbers.
#[inline(always)]
unsafe fn halves(a: __m256d, b: __m256d) -> [__m256i; 2] {
    unsafe {
        let (a, b) = (_mm256_castpd_ps(a), _mm256_castpd_ps(b));
        let low = _mm256_castps_si256(_mm256_shuffle_ps::<0x88>(a, b));
        let high = _mm256_castps_si256(_mm256_shuffle_ps::<0xdd>(a, b));
        [_mm256_permute4x64_epi64::<0xd8>(low), _mm256_permute4x64_epi64::<0xd8>(high)]
    }
}

/// The entries of a table of sixteen indexed by the low four bits of each index.
#[inline(always)]
unsafe fn picked(first: __m256i, second: __m256i, indices: __m256i) -> __m256i {
    unsafe {
        // The permutations use three bits of each index; the fourth is shifted to the sign, which selects in a
        // blend.
        let first = _mm256_castsi256_ps(_mm256_permutevar8x32_epi32(first, indices));
        let second = _mm256_castsi256_ps(_mm256_permutevar8x32_epi32(second, indices));
        let is_second = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(indices));
        _mm256_castps_si256(_mm256_blendv_ps(first, second, is_second))
    }
}

/// Eight numbers from their low and high 32 bits.
#[inline(always)]
unsafe fn joined([low, high]: [__m256i; 2]) -> V256 {
    unsafe {
        V256([
            _mm256_castsi256_pd(_mm256_unpacklo_epi32(low, high)),
            _mm256_castsi256_pd(_mm256_unpackhi_epi32(low, high)),
        ])
    }
}

/// Sixteen f32, which only a V256 can make.
#[cfg(feature = "half")]
#[derive(Clone, Copy)]
pub(super) struct S256([__m256; 2]);

#[cfg(feature = "half")]
impl super::Sixteen for S256 {
    #[inline(always)]
    fn splat(self, x: f32) -> Self {
        Self(unsafe { [_mm256_set1_ps(x); 2] })
    }

    #[inline(always)]
    fn add(self, Self([c, d]): Self) -> Self {
        let [a, b] = self.0;
        Self(unsafe { [_mm256_add_ps(a, c), _mm256_add_ps(b, d)] })
    }

    #[inline(always)]
    fn mul(self, Self([c, d]): Self) -> Self {
        let [a, b] = self.0;
        Self(unsafe { [_mm256_mul_ps(a, c), _mm256_mul_ps(b, d)] })
    }

    #[inline(always)]
    fn mul_add(self, Self([c, d]): Self, Self([e, f]): Self) -> Self {
        let [a, b] = self.0;
        Self(unsafe { [_mm256_fmadd_ps(a, c, e), _mm256_fmadd_ps(b, d, f)] })
    }

    #[inline(always)]
    fn max(self, Self([c, d]): Self) -> Self {
        let [a, b] = self.0;
        // The instruction returns its second operand where either is NaN.
        Self(unsafe { [_mm256_max_ps(a, c), _mm256_max_ps(b, d)] })
    }

    #[inline(always)]
    fn scaled_entry(self, table: &[f32; 16]) -> Self {
        let [a, b] = self.0;
        Self(unsafe { [scaled_entry(a, table), scaled_entry(b, table)] })
    }

    #[inline(always)]
    fn store(self, numbers: &mut [f32; 16]) {
        let [a, b] = self.0;
        unsafe {
            _mm256_storeu_ps(numbers.as_mut_ptr(), a);
            _mm256_storeu_ps(numbers[8..].as_mut_ptr(), b);
        }
    }
}

#[cfg(feature = "half")]
#[inline(always)]
unsafe fn scaled_entry(k: __m256, table: &[f32; 16]) -> __m256 {
    unsafe {
        let first = _mm256_loadu_si256(table.as_ptr().cast());
        let second = _mm256_loadu_si256(table[8..].as_ptr().cast());
        let k = _mm256_castps_si256(k);
        let entry = picked(first, second, k);
        _mm256_castsi256_ps(_mm256_add_epi32(entry, _mm256_slli_epi32::<19>(k)))
    }
}
