//! The log-sum-exp from its maximum and the sum of the other terms, called the tail, with a bound on its error.

use crate::double_double::{DoubleDouble, power_of_two};
use crate::exp::{NOTHING, UNSCALE};
use crate::float64::Float64;
use crate::precision::{Number, Precision};

/// A factor that covers the roundings of the bounds themselves, 2^-51 for each of up to 2^30 merges, and second-order
/// terms.
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
    // No fused multiply-add: with a subnormal operand, it takes Intel's processors about a hundred cycles.
    let from_sum = size * max.splat(power_of_two(-103)) + max.splat(power_of_two(-1070));
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
    let (zero, one, unscale) = (error.splat(0.0), error.splat(1.0), error.splat(UNSCALE));
    let t = tail.scaled(unscale);
    let (log, of_log) = P::log1p(t);
    let from_t = (error * unscale).div(t.hi + one);
    // What t may have lost to underflow is below 2^-1070.
    // No fused multiply-add, as in `estimate_of_log`.
    let bound = (from_t + of_log) * error.splat(SLACK) + error.splat(power_of_two(-1070));
    let log = tail.where_at_most(NOTHING, DoubleDouble::from(zero), log);
    (log, tail.hi.where_at_most(NOTHING, zero, bound))
}

/// log(1 + t) in units of [`UNSCALE`], as the tail, so that no part of it is subnormal, and a bound on its absolute
/// error in these units.
///
/// For t below 2^-60 it is t − t²/2, up to t³/3 < 2^-121 t.
#[inline(always)]
pub fn scaled_log_of_tail<P: Precision, F: Float64>(tail: DoubleDouble<F>, error: F) -> (DoubleDouble<F>, F) {
    const SMALL: f64 = power_of_two(-60);
    let (one, half, scale) = (error.splat(1.0), error.splat(0.5), error.splat(1.0 / UNSCALE));
    let t = tail.scaled(error.splat(UNSCALE));
    let (log, of_log) = P::log1p(t);
    let small = tail - DoubleDouble::from(tail.hi * (t.hi * half));
    let of_small = tail.hi * error.splat(power_of_two(-100));
    let from_t = error.div(t.hi + one);
    let log = t.where_at_most(SMALL, small, log.scaled(scale));
    let of_log = t.hi.where_at_most(SMALL, of_small, of_log * scale);
    (log, (from_t + of_log) * error.splat(SLACK))
}

/// t/(1 + t), the share of all but the maximum, in units of [`UNSCALE`], and a bound on its absolute error, for a tail
/// and its error in these units.
#[inline(always)]
pub fn share_of_tail<F: Float64>(tail: DoubleDouble<F>, error: F) -> (DoubleDouble<F>, F) {
    let whole = tail.scaled(error.splat(UNSCALE)) + error.splat(1.0);
    let share = tail / whole;
    // d t/(1 + t) = dt/(1 + t)² is less than dt/(1 + t); the sum and the quotient are off by less than 18u².
    let bound = share.hi.mul_add(error.splat(power_of_two(-100)), error.div(whole.hi));
    (share, bound * error.splat(SLACK))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::precision::{FineDoubleDouble, FineF64, InDoubleDouble, InF64};
    use crate::test_reference::{Big, big, big_dd, uniform};

    /// A positive number of any size from 2^least to 2^greatest, in units of [`UNSCALE`], and in these units.
    fn tail<P: Precision>(uniform: &mut impl FnMut() -> f64, [least, greatest]: [i32; 2]) -> DoubleDouble {
        let hi = power_of_two(least + (uniform() * f64::from(greatest - least)) as i32) * (1.0 + uniform());
        let lo = if P::IS_DOUBLE_DOUBLE { hi * power_of_two(-54) * (uniform() - 0.5) } else { 0.0 };
        DoubleDouble { hi, lo }.scaled(1.0 / UNSCALE)
    }

    fn unscaled(x: DoubleDouble) -> Big {
        big_dd(x).with_precision(2000).value() * big(UNSCALE)
    }

    fn log1p(t: Big) -> Big {
        (t + big(1.0).with_precision(2000).value()).ln()
    }

    fn distance(a: &Big, b: &Big) -> f64 {
        (a - b).to_f64().value().abs()
    }

    /// Bounds hold where the tail is off by all of its error, and are no more than what they are made of.
    fn check<P: Precision>() {
        let mut uniform = uniform(31);
        let of_log = if P::IS_DOUBLE_DOUBLE { power_of_two(-62) } else { power_of_two(-48) };
        for i in 0..480 {
            let max = [0.0, 1.0, -700.0, 1e6][i % 4] * (1.0 + uniform());
            let t = tail::<P>(&mut uniform, [[-200, -100], [-40, 0], [0, 40]][i % 3]);
            let error = t.hi * [0.0, power_of_two(-30), power_of_two(-70)][i / 4 % 3];
            let (estimate, bound) = super::estimate::<P, f64>(max, t, error);
            let (log, log_bound) = log_of_tail::<P, f64>(t, error);
            let (scaled, scaled_bound) = scaled_log_of_tail::<P, f64>(t, error);
            let (share_found, share_bound) = share_of_tail(t, error);
            let [scaled_bound, share_bound] = [scaled_bound, share_bound].map(|bound| bound * UNSCALE);
            let exact = unscaled(t);
            let relative = error / t.hi;
            // How much the error of t can bring, and what is allowed beside it.
            let share = 1.0 / (1.0 + 1.0 / (t.hi * UNSCALE));
            let value = log1p(exact.clone());
            let size = value.to_f64().value();
            for side in [-1.0, 0.0, 1.0] {
                let moved = log1p(exact.clone() * (big(1.0) + big(side * relative * 0.999)));
                let found = distance(&(big_dd(estimate) - big(max)), &moved);
                assert!(found <= bound, "max {max}, t {t:?}, error {error:e}: {found:e} > {bound:e}");
                let found = distance(&big_dd(log), &moved);
                assert!(found <= log_bound, "t {t:?}, error {error:e}: {found:e} > {log_bound:e}");
                let found = distance(&unscaled(scaled), &moved);
                assert!(found <= scaled_bound, "t {t:?}, error {error:e}: {found:e} > {scaled_bound:e}");
                let moved = exact.clone() * (big(1.0) + big(side * relative * 0.999));
                let found = distance(&unscaled(share_found), &(moved.clone() / (big(1.0) + moved)));
                assert!(found <= share_bound, "t {t:?}, error {error:e}: {found:e} > {share_bound:e}");
            }
            let most = 1.001 * relative * share + of_log * size;
            assert!(log_bound <= most + power_of_two(-1069), "{log_bound:e} is loose: {most:e}");
            assert!(scaled_bound <= most, "{scaled_bound:e} is loose: {most:e}");
            let of_share = share * (1.001 * relative + power_of_two(-99));
            assert!(share_bound <= of_share, "{share_bound:e} is loose: {of_share:e}");
            let of_sum = 1.01 * power_of_two(-103) * (max.abs() + size);
            assert!(bound <= most + of_sum + power_of_two(-1069), "{bound:e} is loose: {most:e}");
        }
        assert_eq!(log_of_tail::<P, f64>(DoubleDouble::ZERO, 0.0), (DoubleDouble::ZERO, 0.0));
        assert_eq!(log_of_tail::<P, f64>(DoubleDouble::from(NOTHING), 1.0), (DoubleDouble::ZERO, 0.0));
    }

    #[test]
    fn logarithms_keep_their_bounds() {
        check::<InF64>();
        check::<FineF64>();
        check::<InDoubleDouble>();
        check::<FineDoubleDouble>();
    }

    fn check_rest<P: Precision>() {
        let mut uniform = uniform(32);
        for _ in 0..500 {
            let of_max = term_of_max::<P>(0.0, 0.0);
            let t = tail::<P>(&mut uniform, [-10, 10]);
            let sum = t + of_max;
            let (found, error) = rest::<P, f64>(sum, of_max);
            let exact = unscaled(sum) - big(1.0);
            assert!(distance(&unscaled(found), &exact) <= exact.to_f64().value() * power_of_two(-90));
            let expected = (P::EXP_ERROR * found.hi + P::SUM_ERROR * sum.hi) / error - 1.0;
            assert!(expected.abs() < 1e-12, "{expected}");
            let whole = unscaled(sum).to_f64().value();
            let of_share = error_of_share::<P, f64>(sum.hi, error);
            let least = P::EXP_ERROR + error * UNSCALE / whole;
            let roundings =
                if P::IS_DOUBLE_DOUBLE { 30.0 * power_of_two(-106) } else { 8.0 * power_of_two(-53) };
            assert!(
                of_share >= least + roundings && of_share <= 1.001 * least + 2.0 * roundings,
                "{of_share:e}"
            );
        }
        // A shift that is not the maximum.
        let found = unscaled(term_of_max::<P>(3.0, 0.0));
        assert!(distance(&found, &big(3.0).exp()) <= P::EXP_ERROR * 20.1);
        let of_second = error_of_rest::<P>(2.0) / 2.0 - (P::EXP_ERROR + P::SUM_ERROR + P::FACTOR_ERROR);
        assert!(of_second > 0.0 && of_second < 1e-4 * P::EXP_ERROR.max(P::SUM_ERROR).max(P::FACTOR_ERROR));
    }

    #[test]
    fn rests_and_shares_have_the_errors_of_their_parts() {
        check_rest::<InF64>();
        check_rest::<FineF64>();
        check_rest::<InDoubleDouble>();
        check_rest::<FineDoubleDouble>();
    }
}
