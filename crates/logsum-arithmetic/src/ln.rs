//! Logarithms of f64 and of double-doubles, and log(1 + t), with proved bounds.
//!
//! 1 + t = 2^k · (1 + f) with 1 + f between √½ and √2; for t < 0.414, k = 0 and f = t exactly, which keeps the
//! relative accuracy of a small t. log(1 + f) = 2 atanh(w) = 2w + 2w·U, w = f/(2 + f), |w| ≤ 0.1716, U = w²/3 +
//! w⁴/5 + …

use crate::double_double::{DoubleDouble, fast_two_sum, parts, power_of_two};
use crate::exp::{UNSCALE, exp_dd_wide, polynomial_by_halves};
use crate::float64::{Float64, called_as_one};

/// 1/3 in double-double.
const THIRD: (f64, f64) = (1.0 / 3.0, 1.850371707708594e-17);

/// 1/3, 1/5, 1/7, …
const ODD_INVERSES: [f64; 13] = {
    let mut inverses = [0.0; 13];
    let mut i = 0;
    while i < 13 {
        inverses[i] = 1.0 / (2 * i + 3) as f64;
        i += 1;
    }
    inverses
};

/// For t up to this, f = t.
const SMALL: f64 = core::f64::consts::SQRT_2 - 1.0;

called_as_one! {
    /// log(1 + t) for t ≥ 0, and a bound on its absolute error, in f64.
    ///
    /// Errors relative to the result: the rounding of 1 + t, which matters only where 1 + t > √2, so that the
    /// logarithm is above 0.34: 2^-51.4; three roundings of w; the series' remainder: w²⁰/21 < 2^-55; five roundings
    /// to combine the parts. Together they are below 2^-49.
    pub fn log1p_f64<F: Float64>(t: F) -> (F, F) {
        let (k, scale) = (t + t.splat(1.0)).power_and_inverse();
        let scaled = (t + t.splat(1.0)) * scale - t.splat(1.0);
        let f = t.where_at_most(SMALL, t, scaled);
        let k = t.where_at_most(SMALL, t.splat(0.0), k);
        let log = ln_f64_reduced(f, k);
        (log, log * log.splat(power_of_two(-49)))
    }
}

called_as_one! {
    /// log s and a bound on its absolute error, for 2^-500 ≤ s ≤ 2^520, in f64.
    ///
    /// f is exact here, but k log 2 and log(1 + f) may have opposite signs; then |k log 2| is at most 2 |log s|.
    pub fn ln_f64<F: Float64>(s: F) -> (F, F) {
        let scaled = s * s.splat(power_of_two(500));
        let (k, scale) = scaled.power_and_inverse();
        let log = ln_f64_reduced(scaled * scale - s.splat(1.0), k - s.splat(500.0));
        (log, log.max(-log) * log.splat(power_of_two(-48)))
    }
}

/// k log 2 + log(1 + f).
#[inline(always)]
fn ln_f64_reduced<F: Float64>(f: F, k: F) -> F {
    let w = f.div(f + f.splat(2.0));
    let square = w * w;
    let [c0, c1, c2, c3, c4, c5, c6, c7, c8, ..] = ODD_INVERSES;
    let u = square * polynomial_by_halves(square, [c0, c1, c2, c3, c4, c5, c6, c7, c8]);
    k.mul_add(k.splat(core::f64::consts::LN_2), (w + w).mul_add(u, w + w))
}

called_as_one! {
    /// log(1 + t) for t ≥ 0, and a bound on its absolute error, in double-double.
    ///
    /// U is computed as w² · (1/3 + w²·Q), where only w²·Q, with the low part of 1/3 added, is in f64.
    ///
    /// The bound, relative to log(1 + f): w²·Q < 2^-7.3 has an error of at most 3.8 roundings (2^-58.4), which enters
    /// U times w² (2^-5.08): 2^-63.4; the series' remainder w²⁸/29/(1 − w²) < 2^-75; double-double steps below 2^-99.
    /// Also, |log(1 + f)| ≤ 0.347, and k·log 2 has relative error 2^-104. For t below 2^-120 the result is t itself,
    /// with relative error 2^-121: it may be subnormal.
    pub fn log1p_dd<F: Float64>(t: DoubleDouble<F>) -> (DoubleDouble<F>, F) {
        const TINY: f64 = power_of_two(-120);
        let like = t.hi;
        let s = t + like.splat(1.0);
        let (k, scale) = s.hi.power_and_inverse();
        let scaled = s.scaled(scale) + like.splat(-1.0);
        let f = t.where_at_most(SMALL, t, scaled);
        let k = like.where_at_most(SMALL, like.splat(0.0), k);
        let (log, error) = ln_dd_reduced(f, k);
        (t.where_at_most(TINY, t, log), like.where_at_most(TINY, like * like.splat(TINY), error))
    }
}

called_as_one! {
    /// log(1 + t) for 0 ≤ t ≤ 2^64, with a relative error below 2^-80.
    ///
    /// One step of Newton's method from y, the result of [`log1p_dd`]: δ = (1 + t) e^-y − 1 is below 2^-57, so that
    /// log(1 + δ) is δ but for δ²/2 < 2^-115. The product and the sums have an error of 12u², the exponential one of
    /// 2^-94 (1 + 2^-10 y), for y ≤ 2 of 2^-101.2: together below 2^-100.6 or 2^-93.5, which is 2^-80.5 of the
    /// logarithm where t ≥ 2^-20. Below that, t − t²/2 + t³/3 − t⁴/4 with t²/2 in double-double; t⁵/5 is below 2^-82.3
    /// of t.
    pub fn log1p_dd_fine<F: Float64>(t: DoubleDouble<F>) -> DoubleDouble<F> {
        const NEAR: f64 = power_of_two(-20);
        let like = t.hi;
        let y = log1p_dd(t).0;
        let zero = like.splat(0.0);
        let inverse = exp_dd_wide(-y.hi, DoubleDouble { hi: zero, lo: y.lo }).scaled(like.splat(UNSCALE));
        let far = y + ((t + like.splat(1.0)) * inverse + like.splat(-1.0));
        let third = t.hi * t.hi.mul_add(like.splat(-0.25), like.splat(1.0 / 3.0));
        let half = fast_two_sum(like.splat(0.5), -third);
        let near = t - t * (t * half);
        // A t so small that its square would be subnormal is its own logarithm.
        let near = t.where_at_most(power_of_two(-120), t, near);
        t.where_at_most(NEAR, near, far)
    }
}

called_as_one! {
    /// log(1 + s) for |s| ≤ 2^-20, of any sign, with a relative error below 2^-100.
    ///
    /// s − s²/2 + s³/3 − s⁴/4 + s⁵/5; s⁶/6 and what follows is below 2^-102.5 of s. The last two terms are in f64:
    /// 2^-53 of 2^-62. The last sum and its product with s have an error of 3u² + 5u²; the errors of the steps before
    /// enter with a factor below 2^-20.
    pub fn log1p_dd_near_0<F: Float64>(s: DoubleDouble<F>) -> DoubleDouble<F> {
        const THIRD: DoubleDouble = DoubleDouble { hi: 1.0 / 3.0, lo: 1.850371707708594e-17 };
        let (half, one) = (s.hi.splat(0.5), s.hi.splat(1.0));
        let last = s.hi.mul_add(s.hi.splat(-0.2), s.hi.splat(0.25)) * s.hi;
        let rest = s * (THIRD.splat(s.hi) + -last);
        s * (-(s * (-rest + half)) + one)
    }
}

called_as_one! {
    /// log s and a bound on its absolute error, for 2^-1000 ≤ s ≤ 2^1000.
    ///
    /// The bound is derived as in [`log1p_dd`]; here f = s · 2^-k − 1 has a relative error below 2u².
    pub fn ln_dd<F: Float64>(s: DoubleDouble<F>) -> (DoubleDouble<F>, F) {
        let like = s.hi;
        let raised = s.scaled(like.splat(power_of_two(1000)));
        let raised = s.where_at_most(1.0, raised, s);
        let (k, scale) = raised.hi.power_and_inverse();
        let k = like.where_at_most(1.0, k - like.splat(1000.0), k);
        ln_dd_reduced(raised.scaled(scale) + like.splat(-1.0), k)
    }
}

/// k log 2 + log(1 + f), and the bound derived at [`log1p_dd`].
#[inline(always)]
fn ln_dd_reduced<F: Float64>(f: DoubleDouble<F>, k: F) -> (DoubleDouble<F>, F) {
    let like = k;
    let w = f / (f + like.splat(2.0));
    let square = w * w;
    let [_, tail @ ..] = ODD_INVERSES;
    let (third, rest) = (like.splat(THIRD.0), like.splat(THIRD.1));
    let u = square * fast_two_sum(third, square.hi.mul_add(polynomial_by_halves(square.hi, tail), rest));
    let log_f = (w * u + w).scaled(like.splat(2.0));
    let log = DoubleDouble::from(k) * DoubleDouble::LN_2.splat(like) + log_f;
    let from_f = like.splat(power_of_two(-63)) * log_f.hi.max(-log_f.hi);
    (log, log.hi.max(-log.hi).mul_add(like.splat(power_of_two(-98)), from_f))
}

/// log x for any finite x > 0, with relative error below 2^-58.
#[inline(always)]
pub fn ln_of_f64(x: f64) -> DoubleDouble {
    if x > power_of_two(-900) && x < power_of_two(900) {
        return ln_dd(DoubleDouble::from(x)).0;
    }
    let (significand, exponent) = parts(x);
    let log = ln_dd(DoubleDouble::from(significand)).0;
    DoubleDouble::LN_2 * DoubleDouble::from(f64::from(exponent)) + log
}

/// log x for any finite x > 0, with relative error below 2^-79.
///
/// x = m 2^k with √½ < m < √2; |m − 1| is exact, and log m is ±log(1 + t) with t = m − 1, or t = (1 − m)/m with an
/// error of 15u². Where k is not 0, the sum is at least log 2 / 2, and not less than |log m|.
pub fn ln_of_f64_fine(x: f64) -> DoubleDouble {
    let (significand, exponent) = parts(x);
    let is_above = significand > core::f64::consts::SQRT_2;
    let (m, k) = if is_above { (significand / 2.0, exponent + 1) } else { (significand, exponent) };
    let log = if m >= 1.0 {
        log1p_dd_fine(DoubleDouble::from(m - 1.0))
    } else {
        -log1p_dd_fine(DoubleDouble::from(1.0 - m) / DoubleDouble::from(m))
    };
    DoubleDouble::LN_2 * DoubleDouble::from(f64::from(k)) + log
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_reference::{big, big_dd, relative_error, uniform};

    #[test]
    fn near_0_keeps_its_bound() {
        let mut uniform = uniform(45);
        let mut worst = 0.0_f64;
        for _ in 0..20_000 {
            let hi = power_of_two(-20 - (uniform() * 60.0) as i32) * (1.0 - uniform() / 2.0);
            let hi = if uniform() < 0.5 { -hi } else { hi };
            let s = DoubleDouble { hi, lo: hi * power_of_two(-54) * (2.0 * uniform() - 1.0) };
            let one = big(1.0).with_precision(700).value();
            worst = worst.max(relative_error(big_dd(log1p_dd_near_0(s)), &(one + big_dd(s)).ln()));
        }
        println!("near 0: worst 2^{:.2}", worst.log2());
        assert!(worst < power_of_two(-100) && worst > power_of_two(-106), "2^{}", worst.log2());
        assert_eq!(log1p_dd_near_0(DoubleDouble::ZERO), DoubleDouble::ZERO);
    }

    #[test]
    fn keeps_its_bound() {
        let mut uniform = uniform(2);
        let mut worst = [0f64; 2];
        for i in 0..15_000 {
            let hi = match i % 5 {
                0 => power_of_two(-((uniform() * 900.0) as i32)) * (1.0 + uniform()),
                1 => power_of_two((uniform() * 64.0) as i32) * (1.0 + uniform()),
                2 => core::f64::consts::SQRT_2 * power_of_two(i % 9) * (1.0 + 1e-9 * uniform()) - 1.0,
                3 => 0.4142 * (1.0 - 0.01 * uniform()),
                _ => 3.0 * uniform(),
            };
            let t = DoubleDouble { hi, lo: hi * power_of_two(-54) * (uniform() - 0.5) };
            // ln_1p in 400 bits loses a t below 2^-400 entirely; use two terms of the series instead.
            let exact = match hi < power_of_two(-300) {
                true => big_dd(t) * (big(1.0) - big_dd(t) / big(2.0)),
                false => (big_dd(t) + big(1.0).with_precision(1000).value()).ln(),
            };
            let one = (big(hi) + big(1.0).with_precision(1000).value()).ln();
            let one = if hi < power_of_two(-300) { big(hi) } else { one };
            let found = [(log1p_f64(hi), one)].map(|((log, bound), exact)| (big(log) - exact, bound));
            let (log, bound) = log1p_dd(t);
            for (i, (off, bound)) in found.into_iter().chain([(big_dd(log) - exact, bound)]).enumerate() {
                let error = off.to_f64().value().abs();
                assert!(error <= bound, "{i}: log(1 + {t:?}): off by {error:e}, bound {bound:e}");
                worst[i] = worst[i].max(error / bound);
            }
        }
        println!("worst errors {worst:.3?} of the bounds");
        assert!(worst.iter().all(|&worst| worst > 1.0 / 10.0), "a bound is too loose: {worst:?}");
    }

    #[test]
    fn log1p_dd_fine_keeps_its_bound() {
        let mut uniform = uniform(3);
        let mut worst = 0f64;
        for i in 0..9000 {
            let hi = match i % 3 {
                0 => power_of_two((uniform() * 364.0) as i32 - 300) * (1.0 + uniform()),
                1 => power_of_two(-20) * (1.0 + 0.1 * (uniform() - 0.5)),
                _ => 3.0 * uniform(),
            };
            let t = DoubleDouble { hi, lo: hi * power_of_two(-54) * (uniform() - 0.5) };
            let exact = (big_dd(t) + big(1.0).with_precision(1000).value()).ln();
            let error = (big_dd(log1p_dd_fine(t)) / exact - big(1.0)).to_f64().value().abs();
            assert!(error < power_of_two(-80), "log(1 + {t:?}): 2^{}", error.log2());
            worst = worst.max(error);
        }
        println!("worst 2^{:.2}", worst.log2());
        assert!(worst > power_of_two(-84), "the bound is too loose: 2^{}", worst.log2());
        assert_eq!(log1p_dd_fine(DoubleDouble::ZERO), DoubleDouble::ZERO);
    }

    #[test]
    fn ln_f64_keeps_its_bound() {
        let mut uniform = uniform(6);
        let mut worst = 0f64;
        for i in 0..6000 {
            let s = match i % 3 {
                0 => power_of_two((uniform() * 1018.0) as i32 - 499) * (1.0 + uniform()),
                1 => 1.0 + (uniform() - 0.5) * power_of_two(-((uniform() * 50.0) as i32)),
                _ => 4.0 * uniform() + 1e-9,
            };
            let (log, bound) = ln_f64(s);
            let error = (big(log) - big(s).ln()).to_f64().value().abs();
            assert!(error <= bound, "log {s:?}: off by {error:e}, bound {bound:e}");
            worst = worst.max(error / bound.max(f64::MIN_POSITIVE));
        }
        println!("worst error {worst:.3} of the bound");
        assert!(worst > 1.0 / 16.0, "the bound is too loose: {worst}");
        assert_eq!(ln_f64(1.0), (0.0, 0.0));
    }

    #[test]
    fn ln_dd_keeps_its_bound() {
        let mut uniform = uniform(5);
        let mut worst = 0f64;
        for i in 0..6000 {
            let hi = match i % 4 {
                0 => power_of_two((uniform() * 1900.0) as i32 - 950) * (1.0 + uniform()),
                1 => 1.0 + (uniform() - 0.5) * power_of_two(-((uniform() * 50.0) as i32)),
                2 => 1.0 + (uniform() - 0.5),
                _ => 4.0 * uniform() + 1e-9,
            };
            let s = DoubleDouble { hi, lo: hi * power_of_two(-54) * (uniform() - 0.5) };
            let (log, bound) = ln_dd(s);
            let error = (big_dd(log) - big_dd(s).ln()).to_f64().value().abs();
            assert!(error <= bound, "log {s:?}: off by {error:e}, bound {bound:e}");
            worst = worst.max(error / bound);
        }
        assert!(worst > 1.0 / 10.0, "the bound is too loose: {worst}");
        assert_eq!(ln_dd(DoubleDouble::from(1.0)), (DoubleDouble::ZERO, 0.0));
    }

    #[test]
    fn ln_of_f64_fine_keeps_its_bound() {
        let mut uniform = uniform(8);
        let mut worst = 0f64;
        for i in 0..9000 {
            let x = match i % 4 {
                0 => power_of_two((uniform() * 2090.0) as i32 - 1070) * (1.0 + uniform()),
                1 => 1.0 + (uniform() - 0.5) * power_of_two(-((uniform() * 52.0) as i32)),
                2 => core::f64::consts::SQRT_2 * power_of_two(i % 9 - 4) * (1.0 + 1e-9 * (uniform() - 0.5)),
                _ => 0.5 + uniform(),
            };
            if x == 1.0 {
                continue;
            }
            let exact = big(x).with_precision(1000).value().ln();
            let error = (big_dd(ln_of_f64_fine(x)) / exact - big(1.0)).to_f64().value().abs();
            assert!(error < power_of_two(-79), "log {x:?}: 2^{}", error.log2());
            worst = worst.max(error);
        }
        println!("worst 2^{:.2}", worst.log2());
        assert!(worst > power_of_two(-84), "the bound is too loose: 2^{}", worst.log2());
        assert_eq!(ln_of_f64_fine(1.0), DoubleDouble::ZERO);
        let least = ln_of_f64_fine(5e-324);
        let off = big_dd(least)
            / (big(1.0).with_precision(300).value() * big(2.0).with_precision(300).value().ln());
        assert!((off.to_f64().value() + 1074.0).abs() < 1e-12);
    }

    #[test]
    fn ln_of_f64_is_within_its_bound_over_the_whole_range() {
        let mut uniform = uniform(9);
        let check = |x: f64| {
            let exact = big(x).with_precision(1000).value().ln();
            let error = (big_dd(ln_of_f64(x)) / exact - big(1.0)).to_f64().value().abs();
            assert!(error < power_of_two(-58), "log {x:?}: 2^{}", error.log2());
        };
        for i in 0..2000 {
            check(power_of_two(i - 1000) * (1.0 + uniform()));
        }
        for x in [5e-324, 1e-310, f64::MIN_POSITIVE, power_of_two(-901), power_of_two(900), 1e300, f64::MAX] {
            check(x);
            check(x * (1.0 - 1e-9));
        }
        check(1.0 - power_of_two(-53));
        assert_eq!(ln_of_f64(1.0), DoubleDouble::ZERO);
    }

    #[test]
    fn of_nothing_is_exactly_nothing() {
        assert_eq!(log1p_dd(DoubleDouble::ZERO), (DoubleDouble::ZERO, 0.0));
        assert_eq!(log1p_f64(0.0), (0.0, 0.0));
    }
}
