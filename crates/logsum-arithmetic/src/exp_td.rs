//! e^d in triple-doubles, with a proved bound.

use crate::double_double::{DoubleDouble, fast_two_sum, power_of_two, two_product, two_sum};
use crate::exp::{INVERSE_FACTORIALS, LEAST, LOGS_OF_ROUNDING, SCALED_POWERS, WIDE_STEP, polynomial, step};
use crate::float64::{Float64, called_as_one};
use crate::triple_double::TripleDouble;

/// |[`exp_td`] − exact| ≤ this · exact · min(1, 2^11 |d|). Derivation there.
pub const EXP_TD_ERROR: f64 = power_of_two(-117);

/// What [`LOGS_OF_ROUNDING`] lost.
const LOW_LOGS_OF_ROUNDING: [f64; 16] = [
    0.0,
    4.816251685589149e-33,
    1.9007204496467065e-33,
    -5.300486658175321e-33,
    -7.71016859684815e-34,
    -2.9717141055032295e-33,
    1.0487592961341139e-33,
    2.71682147925703e-33,
    4.67282800041657e-33,
    9.182364803335023e-34,
    1.4803309495712793e-33,
    1.2867849112064601e-33,
    -2.0105603153001444e-33,
    5.799877197608143e-34,
    1.2311466353592401e-33,
    1.696327573596328e-33,
];

/// 1/n! for n = 9 to 14.
const SMALL_INVERSE_FACTORIALS: [f64; 6] = [
    1.0 / 362_880.0,
    1.0 / 3_628_800.0,
    1.0 / 39_916_800.0,
    1.0 / 479_001_600.0,
    1.0 / 6_227_020_800.0,
    1.0 / 87_178_291_200.0,
];

called_as_one! {
    /// e^d in units of 2^-[`SCALE`](crate::exp::SCALE), for a normalised d from −1000 to 300. e^0 is exactly 1. The
    /// words overlap: |mid| ≤ 2^-43 |hi|, |lo| ≤ 2^-53 |mid|.
    ///
    /// d = k·(ln 2)/16 + a + m, where a is one word with |a| < 2^-5.52 and m, below 2^-43 and for |d| ≤ 32 below 2^-48,
    /// has two. With P = e^a − 1 = a + a²/2 + a³·R(a) and M = e^m − 1 = m + m²/2 but for m³/6, e^{a + m} = 1 + P + M +
    /// P·M. The bound, relative to e^d and in units of 2^-120:
    ///
    /// | error | at most |
    /// |---|---|
    /// | a^15/15! and what follows | 0.11 |
    /// | Σ a^n/n! from n = 9 on, below 2^-68.1, in f64: 1.7 roundings, with that of 1/9! | 0.75 |
    /// | R in double-double has 4u² from its last step, a·R and a²·(a·R) add 13u²: 17u² · 2^-19.1 | 0.47 |
    /// | k times the error of the step, 23 100 · 2^-140 | 0.03 |
    /// | the second word of m, below 2^-67, rounded three times, by 2^-121 each | 1.50 |
    /// | m³/6; the low part of P times the second word of m | 0.02 |
    /// | the third word of e^{a + m} − 1, below 2^-66.9, rounded twice at this size | 1.00 |
    /// | the lines above are relative to 1, but e^a may be as small as 2^-0.0313 | × 1.022 |
    /// | the third word of the result, below 2^-66 of the power, rounded once at this size | 1.00 |
    ///
    /// together below 5.0 · 2^-120 < 2^-117.6 < [`EXP_TD_ERROR`].
    ///
    /// For |d| < 2^-6, k is 0 and m is the sum of the low words of d: each error above is then |a| 2^-112 at most, or
    /// has a higher power of a. Beside 1, the least of the three words of a tiny d is lost: 2^-106 |d|, which is 2^11
    /// |d| times the bound.
    pub fn exp_td<F: Float64>(d: TripleDouble<F>) -> TripleDouble<F> {
        let like = d.hi;
        let (k, minus_k) = step(d.hi);
        let [step0, step1, step2] = WIDE_STEP;
        let (step0, step1, step2) = (like.splat(step0), like.splat(step1), like.splat(step2));
        // Exact: the first product and its difference, the second product.
        let first = two_sum(minus_k.mul_add(step0, d.hi), minus_k * step1);
        let a = first.hi;
        let middle = two_sum(first.lo, d.mid);
        let with_log = two_sum(middle.hi, k.entry(&LOGS_OF_ROUNDING));
        let m0 = with_log.hi;
        let m1 = (middle.lo + with_log.lo) + minus_k.mul_add(step2, d.lo + k.entry(&LOW_LOGS_OF_ROUNDING));

        let mut r = DoubleDouble::from(polynomial(a, SMALL_INVERSE_FACTORIALS));
        for inverse in INVERSE_FACTORIALS[3..9].iter().rev() {
            r = times_and(r, a, inverse.splat(like));
        }
        // a²/2 exactly, and a³·R.
        let square = two_product(a, a);
        let half = square.scaled(like.splat(0.5));
        let along = two_product(r.hi, a);
        let along = DoubleDouble { hi: along.hi, lo: r.lo.mul_add(a, along.lo) };
        let cube = two_product(square.hi, along.hi);
        let cube =
            DoubleDouble { hi: cube.hi, lo: square.hi.mul_add(along.lo, square.lo.mul_add(along.hi, cube.lo)) };
        // P + M + P·M, in three words.
        let curve = fast_two_sum(half.hi, cube.hi);
        let p = fast_two_sum(a, curve.hi);
        let product = two_product(p.hi, m0);
        let low = two_sum(curve.lo, half.lo);
        let w = two_sum(p.lo, m0);
        let with_product = two_sum(w.hi, product.hi);
        let mid = two_sum(with_product.hi, low.hi);
        let m1 = m0.mul_add(m0.mul_add(like.splat(0.5), m1), m1);
        let of_products = p.hi.mul_add(m1, (p.lo + (low.hi + cube.lo)).mul_add(m0, product.lo));
        let errors = (w.lo + with_product.lo) + (mid.lo + low.lo);
        let lo = (cube.lo + m1) + (errors + of_products);
        // The power times 1 + that.
        let power = k.scaled_entry(&SCALED_POWERS);
        let high = two_product(power, p.hi);
        let middle = two_product(power, mid.hi);
        let sum = fast_two_sum(power, high.hi);
        let first = two_sum(sum.lo, high.lo);
        let second = two_sum(first.hi, middle.hi);
        let third = power.mul_add(lo, middle.lo + (first.lo + second.lo));
        let low = fast_two_sum(second.hi, third);
        TripleDouble { hi: sum.hi, mid: low.hi, lo: low.lo }
    }
}

called_as_one! {
    /// max(d, −1000), without the low words of a d whose first word is −1000 or less.
    pub fn at_least<F: Float64>(d: TripleDouble<F>) -> TripleDouble<F> {
        let zero = d.hi.splat(0.0);
        TripleDouble {
            hi: d.hi.splat(LEAST).max(d.hi),
            mid: d.hi.where_at_most(LEAST, zero, d.mid),
            lo: d.hi.where_at_most(LEAST, zero, d.lo),
        }
    }
}

/// The relative error of the term e^d, in units of [`EXP_TD_ERROR`]: min(1, 2^15 |d|), or for d ≤ −1000 the inverse
/// of that unit: all of the term counts as its error.
#[inline(always)]
pub fn share_of_error<F: Float64>(d: F) -> F {
    let near = d.max(-d) * d.splat(-power_of_two(15));
    d.where_at_most(LEAST, d.splat(1.0 / EXP_TD_ERROR), -(near.max(d.splat(-1.0))))
}

/// Bounds the error of a sum of e^d and of products with weights, added by [`TripleDouble::plus`], in units of 2^-512.
///
/// Two kinds of error are counted while terms are added. That of the exponentials is relative to `size`, the sum of
/// the magnitudes of the terms, each times its [`share_of_error`]: e^0 is exact. It is [`EXP_TD_ERROR`], of which the
/// exponential takes less than 5/8; the rest is for the product with the weight, 2^-146, and for the third words of
/// terms in [`TripleDouble::plus`], 2^-149. Near 0, where the second word of a term is at most |d|, these two are 5u²
/// |d| and 3u² |d|, beside the exponential's u² |d|: together less than that share, 16u² |d|. A term that counts as
/// e^-1000 has all of itself as its error. The other kind is that of the additions: those of the first two words are
/// exact, and the roundings of the third are below 6u of `lows`, the sum of its magnitudes after each addition, before
/// and after it is normalised. So a sum that is near 1 only because of its terms e^0 is as accurate as the sum of its
/// other terms.
#[inline(always)]
pub fn error_of_sum(size: f64, lows: f64) -> f64 {
    // Products with small weights may lose 2^-1074 for each word.
    EXP_TD_ERROR * 1.000_01 * size + 6.0 * power_of_two(-53) * lows + power_of_two(-1020)
}

/// e · a + c for |e a| ≤ |c|/16, |c.lo| ≤ u |c| and |e.lo| ≤ 2u |e|: an error below 4u² of c. The high parts wait for
/// nothing but each other.
#[inline(always)]
fn times_and<F: Float64>(e: DoubleDouble<F>, a: F, c: DoubleDouble<F>) -> DoubleDouble<F> {
    let product = two_product(e.hi, a);
    let low = e.lo.mul_add(a, product.lo);
    let sum = fast_two_sum(c.hi, product.hi);
    DoubleDouble { hi: sum.hi, lo: sum.lo + (c.lo + low) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exp::UNSCALE;
    use crate::test_reference::{Big, big, big_sum, relative_error, uniform};

    fn big_td(x: TripleDouble) -> Big {
        big_sum([x.hi, x.mid, x.lo])
    }

    fn exact(d: TripleDouble) -> Big {
        big_td(d).with_precision(700).value().exp()
    }

    #[test]
    fn keeps_its_bound() {
        let mut uniform = uniform(72);
        let [mut worst, mut worst_near] = [0.0_f64; 2];
        for i in 0..60_000 {
            let hi = match i % 6 {
                0 => -1000.0 * uniform(),
                1 => 300.0 * uniform(),
                2 => -uniform() * power_of_two(-((uniform() * 60.0) as i32)),
                3 => {
                    -((uniform() * 20_000.0).floor() + 0.5) / 23.083_120_654_223_414
                        * (1.0 - 1e-9 * uniform())
                }
                4 => -((uniform() * 300.0).floor() + 0.5 - 1e-3 * uniform()) / 23.083_120_654_223_414,
                _ => 30.0 * (uniform() - 0.5),
            };
            let hi = hi.max(-1000.0);
            let low = [0.0, 0.5, uniform(), -uniform()][i / 6 % 4];
            let mid = hi * power_of_two(-53) * low;
            let d = TripleDouble { hi, mid, lo: mid * power_of_two(-53) * (uniform() - 0.5) }.normalised();
            let error = relative_error(big_td(exp_td(d)) * big(UNSCALE), &exact(d));
            let error = error / EXP_TD_ERROR / (2048.0 * hi.abs()).min(1.0);
            let place = if hi.abs() < power_of_two(-6) { &mut worst_near } else { &mut worst };
            *place = place.max(error);
        }
        println!("worst {worst:.3} of the bound, near 0 {worst_near:.3}");
        assert!(worst < 5.0 / 8.0 && worst > 1.0 / 8.0, "{worst}");
        assert!(worst_near < 1.0 && worst_near > 1.0 / 8.0, "{worst_near}");
    }

    #[test]
    fn constants_are_those_that_they_should_be() {
        for (j, (&high, low)) in LOGS_OF_ROUNDING.iter().zip(LOW_LOGS_OF_ROUNDING).enumerate() {
            let power = f64::from_bits(SCALED_POWERS[j].to_bits() + ((j as u64) << 48)) * UNSCALE;
            let lost = big(2.0).ln() * big(j as f64 / 16.0) - big(power).ln() - big(high);
            assert_eq!(lost.to_f64().value(), low, "2^({j}/16)");
        }
        let mut factorial = big(2.0);
        for (n, inverse) in (3..).zip(&INVERSE_FACTORIALS[3..9]) {
            factorial *= big(f64::from(n));
            let lost = big(1.0) / factorial.clone() - big(inverse.hi);
            assert_eq!(lost.to_f64().value(), inverse.lo, "1/{n}!");
        }
        for (n, inverse) in (9..).zip(SMALL_INVERSE_FACTORIALS) {
            factorial *= big(f64::from(n));
            assert_eq!((big(1.0) / factorial.clone()).to_f64().value(), inverse, "1/{n}!");
        }
        let [a, b, c] = WIDE_STEP.map(big);
        let off = (big(2.0).ln() / big(16.0) - a - b - c).to_f64().value().abs();
        assert!(off < power_of_two(-140), "the step is off by {off:e}");
        assert_eq!(exp_td(TripleDouble::ZERO), TripleDouble { hi: power_of_two(512), ..TripleDouble::ZERO });
    }
}
