//! What the arithmetic is written over: one f64, or eight of them in a vector.

use std::ops::{Add, Mul, Neg, Sub};

/// f64 arithmetic, rounded to nearest, on one number or on each of several at once.
///
/// Every implementation does the same IEEE operations on each number: a result's bits do not depend on it.
pub trait Word:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Neg<Output = Self>
{
    /// x everywhere. `self` is only a witness that such words can be computed with on this machine.
    fn splat(self, x: f64) -> Self;

    fn div(self, divisor: Self) -> Self;

    /// self · a + b, rounded once.
    fn mul_add(self, a: Self, b: Self) -> Self;

    /// self where it is greater, else x: so a NaN in self is passed over.
    fn max(self, x: Self) -> Self;

    /// `then` where self ≤ bound, `otherwise` elsewhere and where self is NaN.
    fn where_at_most(self, bound: f64, then: Self, otherwise: Self) -> Self;

    /// The entry that the low four bits of self point at.
    fn entry(self, table: &[f64; 16]) -> Self;

    /// The number whose bits are those of `entry` and 2^48 times those of self.
    fn scaled_entry(self, table: &[f64; 16]) -> Self;

    /// For a finite number of at least √½: the whole k with √½ ≤ self · 2^-k < √2, and 2^-k.
    fn power_and_inverse(self) -> (Self, Self);
}

/// Eight f64.
pub trait Vector: Word {
    /// Sixteen f32.
    type Singles: Copy;

    /// Whether 28 vectors fit into the registers; else 5 do.
    const HAS_MANY_REGISTERS: bool;

    /// The same f32 everywhere.
    fn singles(self, x: f32) -> Self::Singles;

    /// The number where it is greater than that of `singles`, which has no NaN, else that of `singles`.
    fn greater_singles(self, singles: Self::Singles, numbers: &[f32; 16]) -> Self::Singles;

    fn store_singles(self, singles: Self::Singles, numbers: &mut [f32; 16]);

    /// Like `store`, past the caches; `numbers` is aligned to 16 bytes. In order only after `fence`.
    fn stream(self, numbers: &mut [f64; 8]);

    /// Like `store_f32`, past the caches; `numbers` is aligned to 16 bytes. In order only after `fence`.
    fn stream_f32(self, numbers: &mut [f32; 8]);

    /// Ends a series of `stream`s.
    fn fence(self);

    /// Place i of vector j becomes place j of vector i.
    fn transposed(vectors: [Self; 8]) -> [Self; 8];

    /// Asks for the memory that lies so many bytes after this number's, if there is any, ahead of its use.
    fn prefetch<T>(self, number: &T, ahead: usize);

    fn load(self, numbers: &[f64; 8]) -> Self;

    fn load_f32(self, numbers: &[f32; 8]) -> Self;

    /// The first eight; −∞ in the place of each that there is not.
    fn load_up_to(self, numbers: &[f64]) -> Self;

    /// The same.
    fn load_f32_up_to(self, numbers: &[f32]) -> Self;

    fn store(self, numbers: &mut [f64; 8]);

    /// Each rounded to the nearest f32.
    fn store_f32(self, numbers: &mut [f32; 8]);

    /// Sixteen f32 to compute with.
    #[cfg(feature = "half")]
    type Sixteen: Sixteen;

    #[cfg(feature = "half")]
    fn sixteen(self, numbers: &[f32; 16]) -> Self::Sixteen;

    /// The bits of eight f16 as f32, exactly.
    #[cfg(feature = "half")]
    fn f16_to_f32(self, halves: [u16; 8]) -> [f32; 8];

    /// The bits of the f16 nearest to each, ties to even.
    #[cfg(feature = "half")]
    fn f32_to_f16(self, singles: [f32; 8]) -> [u16; 8];
}

/// f32 arithmetic on sixteen numbers.
#[cfg(feature = "half")]
pub trait Sixteen: Copy {
    /// x everywhere.
    fn splat(self, x: f32) -> Self;

    fn add(self, other: Self) -> Self;

    fn mul(self, other: Self) -> Self;

    /// self · a + b, rounded once.
    fn mul_add(self, a: Self, b: Self) -> Self;

    /// x where self is not greater, and where either is NaN.
    fn max(self, x: Self) -> Self;

    /// The entry that the low four bits of self point at, plus 2^19 times the bits of self.
    fn scaled_entry(self, table: &[f32; 16]) -> Self;

    fn store(self, numbers: &mut [f32; 16]);
}

/// Counting exponents from √½ rather than 1: the bits of √½ are taken off first.
pub(super) const FROM: u64 = std::f64::consts::FRAC_1_SQRT_2.to_bits();

/// 2^52, with a whole number below 2^52 in its low bits: that number more.
pub(super) const WHOLE: f64 = 4503599627370496.0;

/// The bits of 1.
pub(super) const ONE: u64 = 1f64.to_bits();

impl Word for f64 {
    #[inline(always)]
    fn splat(self, x: f64) -> Self {
        x
    }

    #[inline(always)]
    fn div(self, divisor: Self) -> Self {
        self / divisor
    }

    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        Self::mul_add(self, a, b)
    }

    #[inline(always)]
    fn max(self, x: Self) -> Self {
        if self > x { self } else { x }
    }

    #[inline(always)]
    fn where_at_most(self, bound: f64, then: Self, otherwise: Self) -> Self {
        if self <= bound { then } else { otherwise }
    }

    #[inline(always)]
    fn entry(self, table: &[f64; 16]) -> Self {
        table[self.to_bits() as usize & 15]
    }

    #[inline(always)]
    fn scaled_entry(self, table: &[f64; 16]) -> Self {
        Self::from_bits(self.entry(table).to_bits().wrapping_add(self.to_bits() << 48))
    }

    #[inline(always)]
    fn power_and_inverse(self) -> (Self, Self) {
        let k = self.to_bits().wrapping_sub(FROM) >> 52;
        (Self::from_bits(k | WHOLE.to_bits()) - WHOLE, Self::from_bits(ONE.wrapping_sub(k << 52)))
    }
}
