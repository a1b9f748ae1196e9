//! Functions of one f64 that are compiled to PTX for `.ci/nvptx` to inspect.
//!
//! Kernels inline the same arithmetic. Stand-alone functions show in the PTX that no operation is contracted,
//! flushed to zero or approximate.

use crate::double_double::DoubleDouble;
use crate::precision::{InDoubleDouble, InF64, Number, Precision};
use crate::{exp, ln, log_of_sum, rounding_test};

/// e^{z − c}.
pub fn exp_f64(z: f64, c: f64) -> f64 {
    exp::exp_f64(z, c)
}

/// e^{z − c}.
pub fn exp_dd(z: f64, c: f64) -> DoubleDouble {
    exp::exp_dd(z, c)
}

/// e^{z − c}, to nearly the full precision of a double-double.
pub fn exp_dd_wide(z: f64, c: DoubleDouble) -> DoubleDouble {
    exp::exp_dd_wide(z, c)
}

/// e^d − 1.
pub fn expm1_dd(d: DoubleDouble) -> DoubleDouble {
    exp::expm1_dd(d)
}

/// log(1 + t).
pub fn log1p_f64(t: f64) -> (f64, f64) {
    ln::log1p_f64(t)
}

/// log(1 + t).
pub fn log1p_dd(t: DoubleDouble) -> (DoubleDouble, f64) {
    ln::log1p_dd(t)
}

/// log x.
pub fn ln_of_f64(x: f64) -> DoubleDouble {
    ln::ln_of_f64(x)
}

/// The log-sum-exp of a maximum and a tail, and its rounding test for f32.
pub fn estimate_f32(max: f64, tail: DoubleDouble, error: f64) -> [f64; 2] {
    let (value, bound) = log_of_sum::estimate::<InF64, f64>(max, tail, error);
    rounding_test::ends_for_narrower(value, bound)
}

/// The log-sum-exp of a maximum and a tail, and its rounding test for f64.
pub fn estimate_f64(max: f64, tail: DoubleDouble, error: f64) -> [f64; 2] {
    let (value, bound) = log_of_sum::estimate::<InDoubleDouble, f64>(max, tail, error);
    rounding_test::ends_in_f64(value, bound)
}

/// One element of softmax.
pub fn softmax(z: f64, c: f64, inverse: DoubleDouble) -> f64 {
    InDoubleDouble::exp(z, c).round_scaled(inverse)
}
