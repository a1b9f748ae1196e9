//! Two vectors at once, for levels whose vectors are single registers: while an operation of one waits for its
//! operands, those of the other are computed.

use crate::arithmetic::float64::Float64;
use std::ops::{Add, Mul, Neg, Sub};

/// Every operation on both.
#[derive(Clone, Copy)]
pub(crate) struct Pair<F>(pub(crate) F, pub(crate) F);

impl<F: Float64> Add for Pair<F> {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0, self.1 + other.1)
    }
}

impl<F: Float64> Sub for Pair<F> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0, self.1 - other.1)
    }
}

impl<F: Float64> Mul for Pair<F> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(self.0 * other.0, self.1 * other.1)
    }
}

impl<F: Float64> Neg for Pair<F> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self(-self.0, -self.1)
    }
}

impl<F: Float64> Float64 for Pair<F> {
    const HAS_CALLS: bool = F::HAS_CALLS;

    #[inline(always)]
    fn splat(self, x: f64) -> Self {
        Self(self.0.splat(x), self.1.splat(x))
    }

    #[inline(always)]
    fn div(self, divisor: Self) -> Self {
        Self(self.0.div(divisor.0), self.1.div(divisor.1))
    }

    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        Self(self.0.mul_add(a.0, b.0), self.1.mul_add(a.1, b.1))
    }

    #[inline(always)]
    fn max(self, x: Self) -> Self {
        Self(self.0.max(x.0), self.1.max(x.1))
    }

    #[inline(always)]
    fn where_at_most(self, bound: f64, then: Self, otherwise: Self) -> Self {
        Self(
            self.0.where_at_most(bound, then.0, otherwise.0),
            self.1.where_at_most(bound, then.1, otherwise.1),
        )
    }

    #[inline(always)]
    fn entry(self, table: &[f64; 16]) -> Self {
        Self(self.0.entry(table), self.1.entry(table))
    }

    #[inline(always)]
    fn scaled_entry(self, table: &[f64; 16]) -> Self {
        Self(self.0.scaled_entry(table), self.1.scaled_entry(table))
    }

    #[inline(always)]
    fn power_and_inverse(self) -> (Self, Self) {
        let (first, second) = (self.0.power_and_inverse(), self.1.power_and_inverse());
        (Self(first.0, second.0), Self(first.1, second.1))
    }
}
