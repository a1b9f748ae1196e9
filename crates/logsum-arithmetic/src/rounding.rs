//! The rounding test: a number and a bound on its error settle on a float where both ends of the interval round to it.
//!
//! Rounding is monotone, so that equal ends settle all between them.

use crate::double_double::{DoubleDouble, power_of_two};
use crate::float64::Float64;

/// Every x with |x − v| ≤ `bound` lies between these two, for v rounded to f64: where they are equal, they are the f64
/// nearest to each x.
///
/// hi + x is the exact sum rounded once, for x = lo ± bound, itself rounded by at most 2^-53 of itself.
#[inline(always)]
pub fn ends_in_f64<F: Float64>(v: DoubleDouble<F>, bound: F) -> [F; 2] {
    ends(v, widened(bound, v.lo))
}

/// The same for a format that is narrower than f64: the ends are still to be rounded to it.
///
/// They are rounded to f64 on the way, each by at most 2^-53 of itself: the interval is widened by twice that.
#[inline(always)]
pub fn ends_for_narrower<F: Float64>(v: DoubleDouble<F>, bound: F) -> [F; 2] {
    ends(v, widened(bound, v.hi))
}

#[inline(always)]
fn ends<F: Float64>(v: DoubleDouble<F>, bound: F) -> [F; 2] {
    [v.hi + (v.lo - bound), v.hi + (v.lo + bound)]
}

/// A bound that also covers the roundings of x, and its own.
#[inline(always)]
fn widened<F: Float64>(bound: F, x: F) -> F {
    bound.mul_add(x.splat(1.0 + power_of_two(-50)), x.splat(power_of_two(-51)) * x.max(-x))
}
