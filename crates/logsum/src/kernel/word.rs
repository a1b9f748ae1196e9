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

    /// x where self is greater than x or either is NaN, else self; so a NaN in self is passed over.
    fn max(self, x: Self) -> Self;

    /// `then` where self ≤ bound, `otherwise` elsewhere and where self is NaN.
    fn where_at_most(self, bound: f64, then: Self, otherwise: Self) -> Self;

    /// The entry that the low four bits of self point at.
    fn entry(self, table: &[f64; 16]) -> Self;

    /// 2^(q + bias), where bits 4 to 15 of self hold q in two's complement.
    fn power(self, bias: i64) -> Self;

    /// The number whose bits are those of `entry` and 2^48 times those of self.
    fn scaled_entry(self, table: &[f64; 16]) -> Self;
}

/// Eight f64.
pub trait Vector: Word {
    fn load(self, numbers: &[f64; 8]) -> Self;

    fn load_f32(self, numbers: &[f32; 8]) -> Self;

    fn store(self, numbers: &mut [f64; 8]);

    /// Each rounded to the nearest f32.
    fn store_f32(self, numbers: &mut [f32; 8]);
}

/// 2^(q + bias) from bits 4 to 15 of `bits`, the exponent's place being bits 52 to 63.
const EXPONENT: u64 = 0xfff << 52;

pub(super) const fn power_bits(bits: u64, bias: i64) -> u64 {
    ((bits << 48) & EXPONENT).wrapping_add(((bias + 1023) as u64) << 52)
}

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
    fn power(self, bias: i64) -> Self {
        Self::from_bits(power_bits(self.to_bits(), bias))
    }

    #[inline(always)]
    fn scaled_entry(self, table: &[f64; 16]) -> Self {
        Self::from_bits(self.entry(table).to_bits().wrapping_add(self.to_bits() << 48))
    }
}
