//! log(1 + t) in two words, with a proved bound.

use super::two::{Two, fast_two_sum, power_of_two};

/// 1/3 in two words.
const THIRD: (f64, f64) = (1.0 / 3.0, 1.850371707708594e-17);

/// log(1 + t) for t ≥ 0, and a bound on its absolute error.
///
/// 1 + t = 2^k · (1 + f) with 1 + f between √½ and √2, k = 0 and f = t exactly while t < 0.414: a small t keeps its
/// relative accuracy. log(1 + f) = 2 atanh(w) = 2w + 2w·U, w = f/(2 + f), |w| ≤ 0.1716, and
/// U = w²/3 + w⁴/5 + … + w²⁶/27 is taken as w² · (1/3 + w²·Q), where only the last sum is in one word.
///
/// The bound, relative to log(1 + f): w²·Q < 2^-7.3 is off by at most 3.8 roundings (2^-58.4), of which w² (2^-5.08)
/// enters U: 2^-63.4; the series' remainder w²⁸/29/(1 − w²) < 2^-75; double-word steps below 2^-99. And
/// |log(1 + f)| ≤ 0.347, k·log 2 has relative error 2^-104. A t below 2^-120 is its own logarithm to 2^-121, and is
/// left alone: it may be subnormal.
pub(crate) fn log1p(t: Two) -> (Two, f64) {
    const TINY: f64 = power_of_two(-120);
    if t.hi < TINY {
        return (t, t.hi * TINY);
    }
    let (k, f) = reduced(t);
    let w = f.over(f.plus_one_word(2.0));
    let square = w.times(w);
    let q = (2..=13).rev().fold(0.0, |q: f64, n| q.mul_add(square.hi, 1.0 / f64::from(2 * n + 1)));
    let u = square.times(fast_two_sum(THIRD.0, square.hi.mul_add(q, THIRD.1)));
    let log = w.times(u).plus(w).scaled(2.0);
    let error = power_of_two(-63) * log.hi.abs();
    if k == 0 {
        return (log, error);
    }
    let log = Two { hi: f64::from(k), lo: 0.0 }.times(Two::LN_2).plus(log);
    (log, error + power_of_two(-98) * log.hi)
}

/// 1 + t = 2^k (1 + f).
fn reduced(t: Two) -> (i32, Two) {
    const SMALL: f64 = std::f64::consts::SQRT_2 - 1.0;
    if t.hi < SMALL {
        return (0, t);
    }
    let s = t.plus_one_word(1.0);
    // Counting exponents from √½ rather than 1: the bits of √½ are taken off first.
    let offset = std::f64::consts::FRAC_1_SQRT_2.to_bits();
    let k = (s.hi.to_bits().wrapping_sub(offset) as i64 >> 52) as i32;
    (k, s.scaled(power_of_two(-k)).plus_one_word(-1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{big, big_two, uniform};

    #[test]
    fn keeps_its_bound() {
        let mut uniform = uniform(2);
        let mut worst = 0f64;
        for i in 0..15_000 {
            let hi = match i % 5 {
                0 => power_of_two(-((uniform() * 900.0) as i32)) * (1.0 + uniform()),
                1 => power_of_two((uniform() * 64.0) as i32) * (1.0 + uniform()),
                2 => std::f64::consts::SQRT_2 * power_of_two(i % 9) * (1.0 + 1e-9 * uniform()) - 1.0,
                3 => 0.4142 * (1.0 - 0.01 * uniform()),
                _ => 3.0 * uniform(),
            };
            let t = Two { hi, lo: hi * power_of_two(-54) * (uniform() - 0.5) };
            // ln_1p in 400 bits has nothing left of a t below 2^-400: there its series does.
            let exact = match hi < power_of_two(-300) {
                true => big_two(t) * (big(1.0) - big_two(t) / big(2.0)),
                false => (big_two(t) + big(1.0).with_precision(1000).value()).ln(),
            };
            let (log, bound) = log1p(t);
            let error = (big_two(log) - exact).to_f64().value().abs();
            assert!(error <= bound, "log(1 + {t:?}): off by {error:e}, bound {bound:e}");
            worst = worst.max(error / bound);
        }
        println!("worst error {worst:.3} of the bound");
        assert!(worst > 1.0 / 8.0, "the bound is too loose: {worst}");
    }

    #[test]
    fn of_nothing_is_exactly_nothing() {
        assert_eq!(log1p(Two::ZERO), (Two::ZERO, 0.0));
    }
}
