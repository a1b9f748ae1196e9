//! Arithmetic on single numbers outside of a task, where without it a fused multiply-add would be a function call.

use super::task;
use crate::arithmetic::double_double::DoubleDouble;
use crate::arithmetic::exp;
use crate::arithmetic::ln::{self, ln_of_f64};

task! {
    /// a · b.
    pub(crate) fn product(a: DoubleDouble, b: DoubleDouble; _: V) -> DoubleDouble {
        a * b
    }
}

task! {
    /// a / b.
    pub(crate) fn quotient(a: DoubleDouble, b: DoubleDouble; _: V) -> DoubleDouble {
        a / b
    }
}

task! {
    /// log x for any finite x > 0, with relative error below 2^-58.
    pub(crate) fn ln(x: f64; _: V) -> DoubleDouble {
        ln_of_f64(x)
    }
}

task! {
    /// log x for 2^-1000 ≤ x ≤ 2^1000, with the error of [`ln::ln_dd`].
    pub(crate) fn ln_dd(x: DoubleDouble; _: V) -> DoubleDouble {
        ln::ln_dd(x).0
    }
}

task! {
    /// e^{z − c} in units of UNSCALE, with the error of [`exp::exp_dd`].
    pub(crate) fn exp_dd(z: f64, c: f64; _: V) -> DoubleDouble {
        exp::exp_dd(z, c)
    }
}
