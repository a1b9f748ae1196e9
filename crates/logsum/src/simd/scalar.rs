//! Arithmetic on single numbers outside of a task, where a fused multiply-add would be a call.

use super::{Task, Vector, run};
use crate::arithmetic::double_double::DoubleDouble;
use crate::arithmetic::ln::ln_of_f64;

/// a · b.
pub(crate) fn product(a: DoubleDouble, b: DoubleDouble) -> DoubleDouble {
    run(Product(a, b))
}

struct Product(DoubleDouble, DoubleDouble);

impl Task for Product {
    type Output = DoubleDouble;

    #[inline(always)]
    fn run<V: Vector>(self, _: V) -> DoubleDouble {
        self.0.times(self.1)
    }
}

/// a / b.
pub(crate) fn quotient(a: DoubleDouble, b: DoubleDouble) -> DoubleDouble {
    run(Quotient(a, b))
}

struct Quotient(DoubleDouble, DoubleDouble);

impl Task for Quotient {
    type Output = DoubleDouble;

    #[inline(always)]
    fn run<V: Vector>(self, _: V) -> DoubleDouble {
        self.0.over(self.1)
    }
}

/// log x for any finite x > 0: relative error below 2^-58.
pub(crate) fn ln(x: f64) -> DoubleDouble {
    run(Ln(x))
}

struct Ln(f64);

impl Task for Ln {
    type Output = DoubleDouble;

    #[inline(always)]
    fn run<V: Vector>(self, _: V) -> DoubleDouble {
        ln_of_f64(self.0)
    }
}
