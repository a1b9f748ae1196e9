//! e^{z − c}, in one word and in two, with proved bounds.
//!
//! Both split z − c = k·(ln 2)/16 + r with |r| ≤ (ln 2)/32 · (1 + 2^-20) < 2^-5.527, k = 16q + j, and take
//! 2^q · 2^{j/16} · e^r: a table of sixteen entries and a short Taylor polynomial. Results are in units of
//! 2^-[`SCALE`], so that nothing that could still matter underflows.

use super::two::{Two, fast_two_sum, power_of_two, two_product, two_sum};
use super::word::Word;

/// Exponentials and sums of them are kept in units of 2^-SCALE. With −1000 ≤ z − c ≤ 128 they lie between 2^-931
/// and 2^697: with 2^64 of them the sum does not overflow, and the low word of the smallest does not underflow.
const SCALE: i64 = 512;

/// Takes the scale off again.
pub(crate) const UNSCALE: f64 = power_of_two(-512);

/// Below this difference an exponential counts as 0: e^-1000 < 2^-1442, and 2^64 such terms stay below 2^-1378,
/// which no rounding can see (the smallest half-ulp is 2^-1075; `Partial::is_its_maximum` has the argument).
const NEGLIGIBLE: f64 = -1000.0;

/// |[`one_word`] − exact| ≤ this · exact. Derivation there.
pub(crate) const ONE_WORD_ERROR: f64 = 1.93e-13; // > 2^-42.24

/// |[`two_words`] − exact| ≤ this · exact. Derivation there.
pub(crate) const TWO_WORDS_ERROR: f64 = 1.09e-19; // > 2^-63

/// 16 / ln 2.
const PER_STEP: f64 = 23.083120654223414;

/// (ln 2)/16 in three parts. The first two have 38 bits each, so that their products with |k| < 2^15 are exact.
const STEP: [f64; 3] = [0.04332169878489367, 1.0291218489291539e-13, 1.9136504600116575e-25];

/// (ln 2)/16, off by less than 2^-58.
const WHOLE_STEP: f64 = std::f64::consts::LN_2 / 16.0;

/// 2^{j/16} in two words: error below 2^-107.
const POWERS: [[f64; 16]; 2] = [
    [
        1.0,
        1.0442737824274138,
        1.0905077326652577,
        1.1387886347566916,
        1.189207115002721,
        1.241857812073484,
        1.2968395546510096,
        1.3542555469368927,
        std::f64::consts::SQRT_2,
        1.4768261459394993,
        1.5422108254079407,
        1.6104903319492543,
        1.681792830507429,
        1.7562521603732995,
        1.8340080864093424,
        1.9152065613971474,
    ],
    [
        0.0,
        8.551889705537965e-17,
        -3.046782079812471e-17,
        8.912812676025408e-17,
        3.982015231465646e-17,
        4.658027591836937e-17,
        2.5382502794888315e-17,
        7.70094837980299e-17,
        -9.667293313452913e-17,
        -3.483994556892796e-17,
        7.949834809697621e-17,
        2.4707192569797888e-17,
        8.199010020581497e-17,
        2.960140695448873e-17,
        3.283107224245627e-17,
        -1.0619946056195963e-16,
    ],
];

/// 2^{j/16 + SCALE}, less j in bits 48 to 51: adding 2^48 · k to the bits, for k = 16q + j, makes it 2^{k/16 + SCALE}.
const SCALED_POWERS: [f64; 16] = {
    let mut table = POWERS[0];
    let mut j = 0;
    while j < 16 {
        let bits = table[j].to_bits() + ((SCALE as u64) << 52);
        table[j] = f64::from_bits(bits - ((j as u64) << 48));
        j += 1;
    }
    table
};

/// 1/n! for n = 2 to 8. Each is rounded; the derivations below count that as part of the Horner step it enters.
const INVERSE_FACTORIALS: [f64; 7] =
    [0.5, 1.0 / 6.0, 1.0 / 24.0, 1.0 / 120.0, 1.0 / 720.0, 1.0 / 5040.0, 1.0 / 40320.0];

/// Adding and subtracting this rounds a small number to the nearest integer, and leaves it in the low bits.
const ROUNDER: f64 = 6755399441055744.0; // 1.5 · 2^52

/// The step that d is nearest to: k in the low bits of the first, −k the second.
#[inline(always)]
fn step<W: Word>(d: W) -> (W, W) {
    let rounder = d.splat(ROUNDER);
    let k = d.mul_add(d.splat(PER_STEP), rounder);
    (k, rounder - k)
}

/// c₀ + c₁·x + c₂·x² + …
#[inline(always)]
fn polynomial<const N: usize, W: Word>(x: W, coefficients: [f64; N]) -> W {
    let mut sum = x.splat(coefficients[N - 1]);
    for &c in coefficients[..N - 1].iter().rev() {
        sum = sum.mul_add(x, x.splat(c));
    }
    sum
}

/// e^{z − c} in units of 2^-[`SCALE`], with one word of precision.
///
/// The bound, relative to e^{z − c}:
///
/// | error | at most |
/// |---|---|
/// | d = z − c, at most 1000 in magnitude, is rounded: 1000 · 2^-53 | 2^-43.034 |
/// | k·(ln 2)/16, where |k| < 23 100 and the step is off by 2^-58 | 2^-43.50 |
/// | Taylor: the first term left out is r^7/7!, and r^7/7! · e^|r| | 2^-50.9 |
/// | r is rounded once | 2^-58.5 |
/// | r · P(r), where P is within 2 roundings of 1 | 2^-57.4 |
/// | the table's entry and the last fma | 2 · 2^-53 |
///
/// together below 2^-42.24 < [`ONE_WORD_ERROR`]. e^0 is exactly 1.
#[inline(always)]
pub(crate) fn one_word<W: Word>(z: W, c: W) -> W {
    let d = z - c;
    let (k, minus_k) = step(d);
    let r = minus_k.mul_add(d.splat(WHOLE_STEP), d);
    let power = k.scaled_entry(&SCALED_POWERS);
    let [c2, c3, c4, c5, c6, ..] = INVERSE_FACTORIALS;
    let e = power.mul_add(r * polynomial(r, [1.0, c2, c3, c4, c5, c6]), power);
    d.where_at_most(NEGLIGIBLE, d.splat(0.0), e)
}

/// e^{z − c} in units of 2^-[`SCALE`], with two words of precision.
///
/// z − c = d + d' exactly (2Sum). d − k·STEP₀ is exact as in [`one_word`], k·STEP₁ is exact, their sum and what is
/// left of d' − k·STEP₂ make r = r₀ + r₁ with |r₁| ≤ 2^-59 and error below 2^-95. Then
/// e^r − 1 = r₀ + q, q = r₁ + r₁·r₀ + r₀²·P(r₀), |q| < 2^-12.0. The bound, relative to e^{z − c} in units of 2^-65:
///
/// | error | at most |
/// |---|---|
/// | Taylor: r^9/9! · e^\|r\| | 0.11 |
/// | r₀² is rounded: 2^-53 · r₀²·P | 0.98 |
/// | P is rounded: 2^-54 · r₀², and its inner steps 2^-61 · r₀² | 0.98 |
/// | q is rounded once, below 2^-12 | 0.50 |
/// | r₁·r₀²/2, and the roundings of r₁ + r₁·r₀ | 0.02 |
/// | these are relative to 1, e^r may be 2^-0.0313 | × 1.022 |
/// | the low word of the result, below 2^-11 where the table's entry is above 1.03, is rounded once | 1.00 |
/// | the table's entry, and roundings of terms below 2^-52 | 0.01 |
///
/// together below 3.66 · 2^-65 < 2^-63.1 < [`TWO_WORDS_ERROR`]. e^0 is exactly 1.
#[inline(always)]
pub(crate) fn two_words<W: Word>(z: W, c: W) -> Two<W> {
    let d = two_sum(z, -c);
    let (k, minus_k) = step(d.hi);
    let table = Two { hi: k.entry(&POWERS[0]), lo: k.entry(&POWERS[1]) };
    let [step0, step1, step2] = STEP;
    let high = two_sum(minus_k.mul_add(z.splat(step0), d.hi), minus_k * z.splat(step1));
    let r = two_sum(high.hi, high.lo + minus_k.mul_add(z.splat(step2), d.lo));
    let square = r.hi * r.hi;
    let q = square.mul_add(polynomial(r.hi, INVERSE_FACTORIALS), r.lo.mul_add(r.hi, r.lo));
    // (table.hi + table.lo)(1 + r₀ + q): the leading table.hi + table.hi·r₀ without error, the rest in one word.
    let product = two_product(table.hi, r.hi);
    let leading = fast_two_sum(table.hi, product.hi);
    let rest = table.hi.mul_add(q, leading.lo + (product.lo + table.lo.mul_add(r.hi, table.lo)));
    let e = fast_two_sum(leading.hi, rest).scaled(k.power(SCALE));
    let zero = z.splat(0.0);
    Two { hi: d.hi.where_at_most(NEGLIGIBLE, zero, e.hi), lo: d.hi.where_at_most(NEGLIGIBLE, zero, e.lo) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{big, big_two, relative_error, uniform};
    use dashu_float::ops::EstimatedLog2;

    #[test]
    fn table_is_two_to_sixteenths_in_two_words() {
        for (j, (hi, lo)) in POWERS[0].into_iter().zip(POWERS[1]).enumerate() {
            let exact = (big(2.0).ln() * big(j as f64 / 16.0)).exp();
            assert_eq!(exact.to_f64().value(), hi, "2^({j}/16)");
            assert_eq!((exact - big(hi)).to_f64().value(), lo, "2^({j}/16), low word");
        }
    }

    #[test]
    fn steps_add_up_to_a_sixteenth_of_log_2() {
        let exact = big(2.0).ln() / big(16.0);
        let [a, b, c] = STEP.map(big);
        assert!(relative_error(a + b + c, &exact) < power_of_two(-125));
        assert_eq!(exact.to_f64().value(), WHOLE_STEP);
        assert_eq!((big(1.0) / exact).to_f64().value(), PER_STEP);
        for step in &STEP[..2] {
            assert!(step.to_bits().trailing_zeros() >= 15, "38 bits leave room for k");
        }
    }

    /// Differences of every size and sign that a sum meets, and those where the table's step or the polynomial's
    /// argument is at its worst.
    fn arguments() -> impl Iterator<Item = (f64, f64)> {
        let mut uniform = uniform(1);
        (0..20_000).map(move |i| {
            let c = (uniform() - 0.5) * [2.0, 100.0, 1e4, 1e8][i % 4];
            let d = match i % 7 {
                0 => -1000.0 * uniform(),
                1 => 128.0 * uniform(),
                2 => -uniform() * power_of_two(-((uniform() * 60.0) as i32)),
                3 => -((uniform() * 20_000.0).floor() + 0.5) / PER_STEP * (1.0 - 1e-9 * uniform()),
                4 => -((uniform() * 300.0).floor() + 0.5 - 1e-3 * uniform()) / PER_STEP,
                _ => -20.0 * uniform(),
            };
            (c + d, c)
        })
    }

    /// A bound that the worst case comes nowhere near would be as much of a defect as one that it exceeds.
    fn worst(error: impl Fn(f64, f64) -> crate::reference::Big) -> f64 {
        let mut worst = 0f64;
        for (z, c) in arguments() {
            let exact = (big(z) - big(c)).exp();
            worst = worst.max(relative_error(error(z, c), &exact));
        }
        worst
    }

    #[test]
    fn one_word_keeps_its_bound() {
        let worst = worst(|z, c| big(one_word(z, c)) * big(UNSCALE));
        println!("worst 2^{:.2}, bound 2^{:.2}", worst.log2(), ONE_WORD_ERROR.log2());
        assert!(worst < ONE_WORD_ERROR && worst > ONE_WORD_ERROR / 16.0, "{worst:e}");
    }

    #[test]
    fn two_words_keep_their_bound() {
        let worst = worst(|z, c| big_two(two_words(z, c)) * big(UNSCALE));
        println!("worst 2^{:.2}, bound 2^{:.2}", worst.log2(), TWO_WORDS_ERROR.log2());
        assert!(worst < TWO_WORDS_ERROR && worst > TWO_WORDS_ERROR / 8.0, "{worst:e}");
    }

    #[test]
    fn ends_of_the_range() {
        assert_eq!(two_words(0.0, 0.0), Two { hi: power_of_two(512), lo: 0.0 });
        assert_eq!(one_word(-1e300, -1e300), power_of_two(512));
        for (z, c) in [(f64::NEG_INFINITY, 0.0), (-1000.0, 0.0), (f64::MIN, f64::MAX), (-1e300, 1e-300)] {
            assert_eq!((one_word(z, c), two_words(z, c)), (0.0, Two::ZERO), "{z} {c}");
        }
        let smallest = big((-1000f64).next_up()).exp();
        assert!(smallest.log2_bounds().0 > -1443.0);
        let found = two_words((-1000f64).next_up(), 0.0);
        assert!(relative_error(big_two(found), &(smallest * big(power_of_two(512)))) < TWO_WORDS_ERROR);
        assert!(two_words(128.0, 0.0).hi.is_finite());
    }
}
