//! The rungs, from fast to exact, and the tests that say which float they settle on.
//!
//! | rung | arithmetic | error of LSE, about |
//! |---|---|---|
//! | [`Phase::Maximum`] | none: the value is the greatest number itself | 0 |
//! | [`Phase::Single`] | f32; only for f16 and bf16, and for values alone | 2^-18 |
//! | [`Phase::Double`] | f64; only for narrower inputs | 2^-37 |
//! | [`Phase::DoubleDouble`] | two f64 | 2^-61 |
//! | [`Phase::Centred`] | two f64, about the estimate of the rung before | 2^-94 |
//! | [`Phase::FixedPoint`] | 256 bits | 2^-242 |
//! | [`Phase::Arbitrary`] | 512 bits, 1024, 2048, … | as small as it takes |
//!
//! The last rung ends for every input. Floats are rational; group the equal ones, and Σ c_i e^{z_i} has distinct
//! rational exponents and whole c_i ≥ 1. Were its logarithm a rational y (a float, or half-way between two), then
//! Σ c_i e^{z_i} − e^y = 0, and by Lindemann–Weierstrass that needs a single group with c = 1 and z = y: a row
//! with one finite number, which is settled as its maximum. In every other case the value keeps a distance from
//! each half-way point, and some precision shows it.

mod arbitrary;
mod centred;
mod fixed;
pub(crate) mod pair_sums;
#[cfg(feature = "half")]
pub(crate) mod single;
pub(crate) mod weighted;

use crate::arithmetic::double_double::{DoubleDouble, power_of_two};
use crate::arithmetic::precision::{InDoubleDouble, Precision};
use crate::formats::Format;
use crate::kernels::series::Series;
use crate::simd::Keep;
use crate::state::plain::Partial;
use dashu_int::ops::{Abs, BitTest};
use dashu_int::{IBig, Sign};

/// How a value was settled. For tests and benches.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    Maximum,
    Single,
    Double,
    DoubleDouble,
    Centred,
    FixedPoint,
    Arbitrary,
}

impl Phase {
    fn of<P: Precision>() -> Self {
        if P::IS_DOUBLE_DOUBLE { Self::DoubleDouble } else { Self::Double }
    }
}

/// The log-sum-exp of a lane, correctly rounded.
pub(crate) fn value<T: Format>(lane: &dyn Series<T>) -> (T, Phase) {
    #[cfg(feature = "half")]
    if T::HAS_SINGLES
        && let Some(value) = single::value(lane)
    {
        return (value, Phase::Single);
    }
    settle(&Partial::over(lane), lane)
}

/// The log-sum-exp of a lane, correctly rounded, given what its first rung found.
pub(crate) fn settle<T: Format>(first: &Partial<T::First>, lane: &dyn Series<T>) -> (T, Phase) {
    let unsettled = match in_words(first) {
        Ok(settled) => return settled,
        Err(center) => center,
    };
    let center = match T::First::IS_DOUBLE_DOUBLE {
        true => unsettled,
        false => match in_words(&Partial::<InDoubleDouble>::over(lane)) {
            Ok(settled) => return settled,
            Err(center) => center,
        },
    };
    if let Some(value) = centred::value(lane, center) {
        return (value, Phase::Centred);
    }
    if let Some(value) = fixed::sum(lane, center).nearest(center) {
        return (value, Phase::FixedPoint);
    }
    let value = (9..).find_map(|log2| arbitrary::sum(lane, center, 1 << log2).nearest(center));
    (value.unwrap_or_default(), Phase::Arbitrary)
}

/// log(e^a − e^b), correctly rounded, for finite a > b and a centre within 2^-40 of it, or of its size.
///
/// It ends as [`settle`] does: Σ c_i e^{z_i} with c = 1 and −1 and distinct z is no e^y for a rational y.
pub(crate) fn settle_difference<T: Format>(a: T, b: T, center: DoubleDouble) -> T {
    let (a, b) = (a.widen(), b.widen());
    if b - a < -1000.0 {
        // Less than a by less than 2^-1400: a, but a negative zero for a zero.
        return T::narrow(if a == 0.0 { -0.0 } else { a });
    }
    if let Some(value) = centred::difference(a, b, center) {
        return value;
    }
    (9..).find_map(|log2| arbitrary::difference(a, b, center, 1 << log2).nearest(center)).unwrap_or_default()
}

/// The value if this precision settles it, else an estimate that is right to 2^-40 or better.
fn in_words<T: Format, P: Keep>(partial: &Partial<P>) -> Result<(T, Phase), DoubleDouble> {
    if !partial.max.is_finite() || partial.is_its_maximum() {
        // A zero is +0, as log(e^-0) is.
        return Ok((T::narrow(partial.max + 0.0), Phase::Maximum));
    }
    let (estimate, bound) = partial.estimate();
    let [low, high] = T::ends(estimate, bound).map(T::narrow);
    if low.same_bits(high) { Ok((low, Phase::of::<P>())) } else { Err(estimate) }
}

/// Σ e^{z_k − center} = 1 + δ in fixed point, where the centre is an estimate of the log-sum-exp.
///
/// LSE = center + log(1 + δ), and δ is so small that its logarithm is a few terms of a series: the wide rungs need
/// no logarithm of their own.
struct Sum {
    /// δ in units of 2^-bits.
    delta: IBig,
    bits: usize,
    /// Bounds the error of δ, in the same units.
    error: IBig,
}

impl Sum {
    /// The float that every value within the bound rounds to, if there is one.
    fn nearest<T: Format>(&self, center: DoubleDouble) -> Option<T> {
        let (log, error) = self.log1p()?;
        let exponent = exponent_of(center.hi).min(exponent_of(center.lo)).min(-(self.bits as isize));
        let units = |x: f64| integer(x) << (exponent_of(x) - exponent) as usize;
        let center = units(center.hi) + units(center.lo);
        let shift = (-(self.bits as isize) - exponent) as usize;
        let low: T = round(&center + ((&log - &error) << shift), exponent);
        let high: T = round(center + ((log + error) << shift), exponent);
        (low.widen().to_bits() == high.widen().to_bits()).then_some(low)
    }

    /// log(1 + δ) = δ − δ²/2 + δ³/3 − … and a bound on its error, for |δ| < 2^-20.
    ///
    /// Each of the n terms is off by less than 4 units (a power's own floor and what it inherits, shrunk by δ; the
    /// division), the first term left out is below 2^(-bits - 20), and δ's own error grows by 1/(1 − 2^-20).
    fn log1p(&self) -> Option<(IBig, IBig)> {
        const SMALL: usize = 20;
        if self.delta.clone().abs() >> (self.bits - SMALL) != IBig::ZERO {
            return None;
        }
        let terms = self.bits / SMALL + 1;
        let mut log = IBig::ZERO;
        let mut power = self.delta.clone();
        for n in 1..=terms {
            let term = &power / IBig::from(n);
            log += if n % 2 == 1 { term } else { -term };
            power = (power * &self.delta) >> self.bits;
        }
        Some((log, &self.error + (&self.error >> (SMALL - 1)) + IBig::from(4 * terms + 1)))
    }
}

/// x = integer(x) · 2^exponent_of(x), for finite x.
fn integer(x: f64) -> IBig {
    let fraction = (x.to_bits() & ((1 << 52) - 1)) as i64;
    let magnitude = if is_normal(x) { fraction | (1 << 52) } else { fraction };
    IBig::from(if x.is_sign_negative() { -magnitude } else { magnitude })
}

fn exponent_of(x: f64) -> isize {
    let biased = (x.to_bits() >> 52 & 0x7ff) as isize;
    biased.max(1) - 1075
}

fn is_normal(x: f64) -> bool {
    x.to_bits() >> 52 & 0x7ff != 0
}

/// The float nearest to n · 2^exponent, ties to even; infinite beyond the range of T, which only f16's log-sum-exp
/// can be, and that only with e^16 numbers.
fn round<T: Format>(n: IBig, exponent: isize) -> T {
    let (sign, magnitude) = n.into_parts();
    let length = magnitude.bit_len() as isize;
    let dropped = (length - T::SIGNIFICAND_BITS as isize).max(T::LEAST_POWER - exponent).max(0);
    if dropped > length {
        return T::narrow(if sign == Sign::Negative { -0.0 } else { 0.0 });
    }
    let dropped = dropped as usize;
    let mut kept = u64::try_from(&magnitude >> dropped).unwrap_or(u64::MAX);
    let is_half_or_more = dropped > 0 && magnitude.bit(dropped - 1);
    if is_half_or_more && (kept % 2 == 1 || magnitude.trailing_zeros() != Some(dropped - 1)) {
        kept += 1;
    }
    // The significand is whole and fits, the product is a number of T, but for its range: both steps are exact.
    let power = (exponent + dropped as isize) as i32;
    let rounded = kept as f64 * power_of_two(power / 2) * power_of_two(power - power / 2);
    T::narrow(if sign == Sign::Negative { -rounded } else { rounded })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arithmetic::precision::InF64;
    use crate::reference::uniform;

    /// Random rows, rows that nearly cancel, and the hard ones of the first rung.
    fn rows() -> Vec<Vec<f64>> {
        let mut uniform = uniform(4);
        let mut rows = vec![
            vec![0.3f64.ln(), 0.7f64.ln()],
            vec![-std::f64::consts::LN_2; 2],
            vec![0.0, -40.0],
            vec![1e-20f64.ln(), -1e-20],
            vec![0.0, 0.0],
            vec![5e-324, -1e-310, 1e-300],
            vec![9007199254740992.0, 9007199254740991.0],
        ];
        for i in 0..2000 {
            let spread = [1.0, 40.0, 1e-8, 170.0][i % 4];
            let mut row: Vec<f64> = (0..2 + i % 9).map(|_| spread * (uniform() - 0.5)).collect();
            if i % 3 == 0 {
                // Normalised log-probabilities: the value is a rounding error near 0.
                let value = settle(&Partial::over(&row), &row).0;
                row.iter_mut().for_each(|z| *z -= value);
            }
            rows.push(row);
        }
        rows
    }

    #[test]
    fn every_rung_that_settles_a_value_settles_it_alike() {
        let mut settled = [0; 5];
        for row in rows() {
            let lane = &row;
            let partial = Partial::<InDoubleDouble>::over(lane);
            let (center, _) = partial.estimate();
            let exact =
                arbitrary::sum(lane, center, 1024).nearest::<f64>(center).expect("1024 bits settle these");
            let rungs = [
                in_words(&Partial::<InF64>::over(lane)).ok().map(|(value, _)| value),
                in_words(&partial).ok().map(|(value, _)| value),
                centred::value(lane, center),
                fixed::sum(lane, center).nearest(center),
                arbitrary::sum(lane, center, 512).nearest(center),
            ];
            for (rung, value) in rungs.into_iter().enumerate() {
                settled[rung] += usize::from(value.is_some());
                assert!(
                    value.is_none_or(|value: f64| value == exact),
                    "{row:?}, rung {rung}: {value:?}, not {exact}"
                );
            }
        }
        println!(
            "of {} rows settled by words, double words, about the centre, fixed point, 512 bits: {settled:?}",
            rows().len()
        );
        assert!(
            settled[1] > 1000 && settled[2] > 1000 && settled[3] > 1900 && settled[4] > 1900,
            "{settled:?}"
        );
    }

    /// The same sum twice, with and without dashu's exponential: each within its own bound.
    #[test]
    fn fixed_point_keeps_its_bound() {
        let mut worst = 0.0_f64;
        for row in rows() {
            let lane = &row;
            let (center, _) = Partial::<InDoubleDouble>::over(lane).estimate();
            let (fixed, exact) = (fixed::sum(lane, center), arbitrary::sum(lane, center, 512));
            let off: IBig = (fixed.delta << 256) - exact.delta;
            let off = (off.abs() >> 240).to_f64().value() / 65536.0;
            let bound = fixed.error.to_f64().value();
            assert!(off <= bound, "{row:?}: off by {off} units of 2^-256, bound {bound}");
            worst = worst.max(off / bound);
        }
        println!("worst error {worst:.3} of the bound");
        assert!(worst > 1.0 / 64.0, "the bound is too loose: {worst}");
    }

    #[test]
    fn rounding_is_to_the_nearest_and_ties_to_even() {
        let check = |n: i128, exponent: isize, expected: f64| {
            for (n, expected) in [(n, expected), (-n, -expected)] {
                assert_eq!(
                    round::<f64>(IBig::from(n), exponent).to_bits(),
                    expected.to_bits(),
                    "{n}·2^{exponent}"
                );
            }
        };
        let (one, ulp) = (1_i128 << 60, 1_i128 << 8);
        check(one + ulp / 2, -60, 1.0);
        check(one + ulp / 2 + 1, -60, 1.0 + f64::EPSILON);
        check(one + ulp + ulp / 2 - 1, -60, 1.0 + f64::EPSILON);
        check(one + ulp + ulp / 2, -60, 1.0 + 2.0 * f64::EPSILON);
        check(2 * one - 1, -60, 2.0);
        check(1, -1074, 5e-324);
        check(1, -1075, 0.0);
        check(3, -1076, 5e-324);
        check(3, -1075, 1e-323);
        check(1, -1076, 0.0);
        check(1, -2000, 0.0);
        check((1 << 53) - 1, 971, f64::MAX);
        check((1 << 54) - 1, -1076, f64::MIN_POSITIVE);
        assert_eq!(round::<f32>(IBig::from((1_i64 << 25) + 1), 0), 33554432.0);
        assert_eq!(round::<f32>(IBig::from(3), -150), 3e-45);
        assert_eq!(round::<f64>(IBig::ZERO, -256).to_bits(), 0);
    }

    #[test]
    fn floats_are_integers_times_powers() {
        for x in [1.0, -1.5, 5e-324, -1e-310, f64::MAX, f64::MIN_POSITIVE, 0.0] {
            assert_eq!(round::<f64>(integer(x), exponent_of(x)), x);
        }
    }
}
