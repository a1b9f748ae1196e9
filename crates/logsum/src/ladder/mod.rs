//! The rungs, from fast to exact, and the tests that say which float they settle on.
//!
//! | rung | arithmetic | error of LSE, about |
//! |---|---|---|
//! | [`Rung::Maximum`] | none: the value is the greatest number itself | 0 |
//! | [`Rung::Double`] | f64; only for narrower inputs | 2^-43 |
//! | [`Rung::DoubleWord`] | two f64 | 2^-62 |
//! | [`Rung::FixedPoint`] | 256 bits | 2^-242 |
//! | [`Rung::Arbitrary`] | 512 bits, 1024, 2048, … | as small as it takes |
//!
//! The last rung ends for every input. Floats are rational; group the equal ones, and Σ c_i e^{z_i} has distinct
//! rational exponents and whole c_i ≥ 1. Were its logarithm a rational y (a float, or half-way between two), then
//! Σ c_i e^{z_i} − e^y = 0, and by Lindemann–Weierstrass that needs a single group with c = 1 and z = y: a row with
//! one finite number, which is settled as its maximum. In every other case the value keeps a distance from each
//! half-way point, and some precision shows it.

mod arbitrary;
mod fixed;

use crate::float::Float;
use crate::kernel::body::Precision;
use crate::kernel::two::{Two, power_of_two};
use crate::lane::Lane;
use crate::partial::Partial;
use dashu_int::ops::{Abs, BitTest};
use dashu_int::{IBig, Sign};

/// How a value was settled. For tests and benches.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rung {
    Maximum,
    Double,
    DoubleWord,
    FixedPoint,
    Arbitrary,
}

/// The log-sum-exp of a lane, correctly rounded, given what its first rung found.
pub(crate) fn settle<T: Float>(first: &Partial<T::First>, lane: &impl Lane<T>) -> (T, Rung) {
    let unsettled = match in_words(first) {
        Ok(settled) => return settled,
        Err(center) => center,
    };
    let center = match T::First::RUNG {
        Rung::DoubleWord => unsettled,
        _ => match in_words(&Partial::<Two>::over(lane)) {
            Ok(settled) => return settled,
            Err(center) => center,
        },
    };
    if let Some(value) = fixed::sum(lane, center).nearest(center) {
        return (value, Rung::FixedPoint);
    }
    let value = (9..).find_map(|log2| arbitrary::sum(lane, center, 1 << log2).nearest(center));
    (value.unwrap_or_default(), Rung::Arbitrary)
}

/// The value if this precision settles it, else an estimate that is right to 2^-40 or better.
fn in_words<T: Float, P: Precision>(partial: &Partial<P>) -> Result<(T, Rung), Two> {
    if !partial.max.is_finite() || partial.is_its_maximum() {
        // A zero is +0, as log(e^-0) is.
        return Ok((T::from_f64(partial.max + 0.0), Rung::Maximum));
    }
    let (estimate, bound) = partial.estimate();
    T::settle(estimate, bound).map(|value| (value, P::RUNG)).ok_or(estimate)
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
    fn nearest<T: Float>(&self, center: Two) -> Option<T> {
        let (log, error) = self.log1p()?;
        let exponent = exponent_of(center.hi).min(exponent_of(center.lo)).min(-(self.bits as isize));
        let units = |x: f64| integer(x) << (exponent_of(x) - exponent) as usize;
        let center = units(center.hi) + units(center.lo);
        let shift = (-(self.bits as isize) - exponent) as usize;
        let low: T = round(&center + ((&log - &error) << shift), exponent);
        let high: T = round(center + ((log + error) << shift), exponent);
        (low.to_f64().to_bits() == high.to_f64().to_bits()).then_some(low)
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

/// The float nearest to n · 2^exponent, ties to even. The value is within the range of T.
fn round<T: Float>(n: IBig, exponent: isize) -> T {
    let (sign, magnitude) = n.into_parts();
    let length = magnitude.bit_len() as isize;
    let dropped = (length - T::PRECISION as isize).max(T::LEAST_EXPONENT - exponent).max(0);
    if dropped > length {
        return T::from_f64(if sign == Sign::Negative { -0.0 } else { 0.0 });
    }
    let dropped = dropped as usize;
    let mut kept = u64::try_from(&magnitude >> dropped).unwrap_or(u64::MAX);
    let is_half_or_more = dropped > 0 && magnitude.bit(dropped - 1);
    if is_half_or_more && (kept % 2 == 1 || magnitude.trailing_zeros() != Some(dropped - 1)) {
        kept += 1;
    }
    // The significand is whole and fits, the product is a number of T: both steps are exact.
    let power = (exponent + dropped as isize) as i32;
    let rounded = kept as f64 * power_of_two(power / 2) * power_of_two(power - power / 2);
    T::from_f64(if sign == Sign::Negative { -rounded } else { rounded })
}
