//! The trait that the arithmetic is generic over: one f64, or a vector of several.

use core::ops::{Add, Mul, Neg, Sub};

/// f64 arithmetic, rounded to nearest, on one number or on several at once.
///
/// Every implementation performs the same IEEE operations on each number, so that all give the same bits.
pub trait Float64:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Neg<Output = Self>
{
    /// Whether each operation is a function call, as where there are neither vectors nor fused multiply-adds.
    const HAS_CALLS: bool = false;

    /// x in every lane. `self` only proves that this machine supports the type.
    fn splat(self, x: f64) -> Self;

    /// self / divisor.
    fn div(self, divisor: Self) -> Self;

    /// self · a + b, rounded once.
    fn mul_add(self, a: Self, b: Self) -> Self;

    /// self where it is greater, else x, also where self is NaN.
    fn max(self, x: Self) -> Self;

    /// `then` where self ≤ bound, `otherwise` elsewhere and where self is NaN.
    fn where_at_most(self, bound: f64, then: Self, otherwise: Self) -> Self;

    /// The entry of the table that the low four bits of self index.
    fn entry(self, table: &[f64; 16]) -> Self;

    /// The number whose bits are those of `entry` plus 2^48 times those of self.
    fn scaled_entry(self, table: &[f64; 16]) -> Self;

    /// For a finite number of at least √½: the whole k with √½ ≤ self · 2^-k < √2, and 2^-k.
    fn power_and_inverse(self) -> (Self, Self);
}

/// Defines functions that are a single call for types [whose operations are calls](Float64::HAS_CALLS), and inlined for
/// all others. Inlined for the former, too, these functions would make up most of the library's code.
macro_rules! called_as_one {
    (
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident<F: Float64>($($argument:ident: $type:ty),* $(,)?) -> $result:ty $body:block
    ) => {
        $(#[$attribute])*
        #[inline(always)]
        $visibility fn $name<F: Float64>($($argument: $type),*) -> $result {
            #[inline(always)]
            fn inlined<F: Float64>($($argument: $type),*) -> $result $body

            #[inline(never)]
            fn called<F: Float64>($($argument: $type),*) -> $result {
                inlined($($argument),*)
            }

            if F::HAS_CALLS { called($($argument),*) } else { inlined($($argument),*) }
        }
    };
}
pub(crate) use called_as_one;

/// The bits of √½: subtracting them first makes exponents count from √½ rather than 1.
pub const FROM: u64 = core::f64::consts::FRAC_1_SQRT_2.to_bits();

/// 2^52. Put into its low bits, an integer n < 2^52 gives 2^52 + n.
pub const WHOLE: f64 = 4503599627370496.0;

/// The bits of 1.
pub const ONE: u64 = 1f64.to_bits();

impl Float64 for f64 {
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
        #[cfg(feature = "std")]
        return Self::mul_add(self, a, b);
        #[cfg(not(feature = "std"))]
        return core::f64::math::mul_add(self, a, b);
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
        // Only the upper 32 bits change, and they are added alone: GPUs have no 64-bit integer addition.
        let (entry, k) = (self.entry(table).to_bits(), self.to_bits() as u32);
        let high = ((entry >> 32) as u32).wrapping_add(k << 16);
        Self::from_bits(u64::from(high) << 32 | entry & 0xffff_ffff)
    }

    #[inline(always)]
    fn power_and_inverse(self) -> (Self, Self) {
        let k = self.to_bits().wrapping_sub(FROM) >> 52;
        (Self::from_bits(k | WHOLE.to_bits()) - WHOLE, Self::from_bits(ONE.wrapping_sub(k << 52)))
    }
}
