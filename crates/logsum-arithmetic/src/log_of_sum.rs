//! The log-sum-exp from its maximum and the sum of the other terms, with a bound on its error.

use crate::double_double::{DoubleDouble, power_of_two};
use crate::exp::{NOTHING, UNSCALE};
use crate::float64::Float64;
use crate::precision::{Number, Precision};

/// Covers the roundings of the bounds themselves, 2^-51 for each of up to 2^30 merges, and second-order terms.
pub const SLACK: f64 = 1.000_01;

/// e^{max − shift}, in units of [`UNSCALE`].
#[inline(always)]
pub fn term_of_max<P: Precision>(max: f64, shift: f64) -> DoubleDouble {
    if shift == max { DoubleDouble::from(1.0 / UNSCALE) } else { P::exp(max, shift).to_dd() }
}

/// Bound on the error of a tail that was summed relative to the second greatest number and rescaled to the
/// greatest.
#[inline(always)]
pub fn error_of_rest<P: Precision>(tail: f64) -> f64 {
    (P::EXP_ERROR + P::SUM_ERROR + P::FACTOR_ERROR) * SLACK * tail
}

/// The sum without the maximum's term, and a bound on its error.
#[inline(always)]
pub fn rest<P: Precision, F: Float64>(sum: DoubleDouble<F>, of_max: DoubleDouble<F>) -> (DoubleDouble<F>, F) {
    let tail = sum - of_max;
    let like = sum.hi;
    (tail, like.splat(P::EXP_ERROR) * tail.hi + like.splat(P::SUM_ERROR) * sum.hi)
}

/// max + log(1 + t) and a bound on its error, for a tail and its error in units of UNSCALE and relative to e^max.
#[inline(always)]
pub fn estimate<P: Precision, F: Float64>(max: F, tail: DoubleDouble<F>, error: F) -> (DoubleDouble<F>, F) {
    let unscale = max.splat(UNSCALE);
    let t = tail.scaled(unscale);
    // d log(1 + t) = dt/(1 + t).
    estimate_of_log::<P, F>(max, t, (error * unscale).div(t.hi + max.splat(1.0)))
}

/// max + log(1 + t) and a bound on its error; `from_t` bounds the error of log(1 + t) that stems from t.
#[inline(always)]
pub fn estimate_of_log<P: Precision, F: Float64>(
    max: F,
    t: DoubleDouble<F>,
    from_t: F,
) -> (DoubleDouble<F>, F) {
    let (log, log_error) = P::log1p(t);
    let estimate = log + max;
    // The sum max + log is exact up to its low part. t may have lost up to 2^-1074 to underflow.
    let size = max.max(-max) + log.hi;
    let from_sum = size.mul_add(max.splat(power_of_two(-103)), max.splat(power_of_two(-1070)));
    (estimate, (from_t + log_error + from_sum) * max.splat(SLACK))
}

/// Bounds the relative error of e^{z − c} / sum, given a bound on the absolute error of the sum.
///
/// Besides the exponential and the sum, its quotient and products are rounded: in f64 below 8u, in double-double
/// below 30u².
#[inline(always)]
pub fn error_of_share<P: Precision, F: Float64>(sum: F, error: F) -> F {
    let of_roundings = power_of_two(if P::IS_DOUBLE_DOUBLE { -101 } else { -50 });
    (error.div(sum) + sum.splat(P::EXP_ERROR)).mul_add(sum.splat(SLACK), sum.splat(of_roundings))
}

/// log(1 + t), and a bound on its absolute error, for a tail and its error in units of UNSCALE and relative to e^max.
#[inline(always)]
pub fn log_of_tail<P: Precision, F: Float64>(tail: DoubleDouble<F>, error: F) -> (DoubleDouble<F>, F) {
    let [zero, one, unscale, slack] = [0.0, 1.0, UNSCALE, SLACK].map(|x| error.splat(x));
    let t = tail.scaled(unscale);
    let (log, of_log) = P::log1p(t);
    let from_t = (error * unscale).div(t.hi + one);
    // What t may have lost to underflow is below 2^-1070.
    let bound = (from_t + of_log).mul_add(slack, error.splat(power_of_two(-1070)));
    let log = tail.where_at_most(NOTHING, DoubleDouble::from(zero), log);
    (log, tail.hi.where_at_most(NOTHING, zero, bound))
}
