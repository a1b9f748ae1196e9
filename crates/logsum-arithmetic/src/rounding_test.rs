//! The rounding test: a value with an error bound determines a float if both ends of its interval round to that
//! float.
//!
//! Rounding is monotone: if the ends round to the same float, so does every number between them.

use crate::double_double::{DoubleDouble, power_of_two};
use crate::float64::Float64;

/// The two ends of an interval, rounded to f64, that contains every x with |x − v| ≤ `bound`: if they are equal,
/// they are the f64 nearest to each x.
///
/// hi + x is rounded once, for x = lo ± bound, which itself has a relative rounding error of at most 2^-53.
#[inline(always)]
pub fn ends_in_f64<F: Float64>(v: DoubleDouble<F>, bound: F) -> [F; 2] {
    ends(v, widened(bound, v.lo))
}

/// [`ends_in_f64`] for a format narrower than f64, to which the caller then rounds the ends.
///
/// The first rounding, to f64, has a relative error of at most 2^-53; the interval is widened by twice that.
#[inline(always)]
pub fn ends_for_narrower<F: Float64>(v: DoubleDouble<F>, bound: F) -> [F; 2] {
    ends(v, widened(bound, v.hi))
}

#[inline(always)]
fn ends<F: Float64>(v: DoubleDouble<F>, bound: F) -> [F; 2] {
    [v.hi + (v.lo - bound), v.hi + (v.lo + bound)]
}

/// The bound, enlarged to cover the roundings of x and of the bound itself.
#[inline(always)]
fn widened<F: Float64>(bound: F, x: F) -> F {
    bound.mul_add(x.splat(1.0 + power_of_two(-50)), x.splat(power_of_two(-51)) * x.max(-x))
}
