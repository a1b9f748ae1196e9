//! Ziv's strategy: phases from fast to exact, each with an error bound, and the rounding test that decides whether
//! all numbers within the bound round to the same float.
//!
//! | phase | arithmetic | error of LSE, about |
//! |---|---|---|
//! | [`Phase::Maximum`] | none: the value is the greatest number itself | 0 |
//! | [`Phase::Single`] | f32; only for f16 and bf16, and for values alone | 2^-18 |
//! | [`Phase::Double`] | f64; only for narrower inputs | 2^-37 |
//! | [`Phase::DoubleDouble`] | two f64 | 2^-61 |
//! | [`Phase::TripleDouble`] | three f64, about the estimate of the phase before | 2^-116 |
//! | [`Phase::FixedPoint`] | 256 bits | 2^-242 |
//! | [`Phase::Arbitrary`] | 512, 1024, 2048, … bits | as small as necessary |
//!
//! The phases up to double-doubles belong to the state of each kind of sum (`crate::state`). The later ones are shared
//! by every [`TermSource`]: plain numbers ([`value`]), weighted numbers and means ([`weighted`]), the sums x_k + y_k of
//! a matrix product ([`matrix_entry`]), and log(e^a − e^b) ([`settle_difference`]). Errors are relative to Σ |b_k|
//! e^{x_k}, so that a sum with cancellation needs later phases.
//!
//! The last phase terminates for every input. All exponents and weights are rational. After adding the weights of
//! equal exponents, Σ c_i e^{x_i} has distinct rational exponents and rational c_i ≠ 0, or it is empty and the sum
//! is 0. If the logarithm of its magnitude, over an integer divisor d, were a rational y (a float, or half-way
//! between two), then Σ c_i e^{x_i} ± d e^y = 0, which by Lindemann–Weierstrass requires a single group with
//! |c| = d and x = y. If that x is a float, everything near it rounds to it; a single sum x + y is rounded directly
//! ([`matrix_entry`]). In every other case the value has a distance from each half-way point, which some precision
//! resolves.

mod arbitrary_precision;
mod centred_sum;
pub(crate) mod class_losses;
mod effort;
pub(crate) mod elements;
#[cfg(feature = "half")]
pub(crate) mod first_phase_f32;
mod fixed_point;
mod integer_sums;
mod least;
pub(crate) mod logarithms;
pub(crate) mod matrix_entry;
pub(crate) mod prefixes;
pub(crate) mod variance;
pub(crate) mod weighted;
pub(crate) mod weighted_shares;

pub use effort::Effort;

use crate::arithmetic::double_double::{DoubleDouble, power_of_two};
use crate::arithmetic::exp::EXP_DD_ERROR;
use crate::arithmetic::precision::{InDoubleDouble, Precision};
use crate::formats::Format;
use crate::formats::nearest::{Zero, nearest};
use crate::kernels::row_access::Series;
use crate::kernels::term_source::{TermBlock, TermSource};
use crate::simd::{Keep, scalar_tasks};
use crate::state::positive::Partial;
use crate::state::signed::{Estimate, Log};
use crate::ziv::centred_sum::CentredSum;
use crate::ziv::least::nearest_among_least;

/// The phase that settled a value. For tests and benches.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    Maximum,
    Single,
    Double,
    DoubleDouble,
    TripleDouble,
    FixedPoint,
    Arbitrary,
}

impl Phase {
    fn of<P: Precision>() -> Self {
        if P::IS_DOUBLE_DOUBLE { Self::DoubleDouble } else { Self::Double }
    }
}

/// The settled value of a sum of terms.
pub(crate) struct Settled<T> {
    /// log |Σ b_k e^{x_k}|, correctly rounded.
    pub(crate) value: T,
    /// 1, −1, or 0 if all terms cancel.
    pub(crate) sign: f64,
    /// The unrounded logarithm, at least as accurate as requested.
    pub(crate) log: Log,
    pub(crate) phase: Phase,
}

/// The result of a phase: the value, or else an estimate of the logarithm, if there is one.
type Found<T> = Result<Settled<T>, Option<DoubleDouble>>;

/// Runs the phases, given the result of the first one. The error of `log` is at most `most`.
fn settle_terms<T: Format>(
    source: &dyn TermSource<T>,
    first: Found<T>,
    in_double_doubles: impl FnOnce() -> Found<T>,
    most: f64,
) -> Settled<T> {
    let mut center = match first {
        Ok(settled) => return settled,
        Err(center) => center,
    };
    if !T::First::IS_DOUBLE_DOUBLE {
        match in_double_doubles() {
            Ok(settled) => return settled,
            Err(closer) => center = closer.or(center),
        }
    }
    let mut center = center.unwrap_or_else(|| greatest(source));
    // Each round brings the centre closer, until triple-doubles cannot improve it.
    for _ in 0..3 {
        let sum = CentredSum::over(source, center);
        let closer = match sum.settled(source.divisor(), source.zero(), most) {
            Ok(settled) => return settled,
            Err(Some(closer)) => closer,
            Err(None) => break,
        };
        let is_near = (closer.hi - center.hi).abs() < power_of_two(-30);
        center = closer;
        if is_near {
            break;
        }
    }
    // Either the sum is known to 2^-64 of itself, which is less than any `most`, or its logarithm is not computed.
    fixed_point::sum(source, center)
        .and_then(|sum| sum.over(source.divisor()).settled(center, source.zero(), Phase::FixedPoint))
        .unwrap_or_else(|| arbitrary_precision::settle(source, center))
}

/// Applies the rounding test to an estimate.
fn settled<T: Format>(
    Estimate { log, bound, sign }: Estimate,
    most: f64,
    zero: Zero,
    phase: Phase,
) -> Option<Settled<T>> {
    let two = log.to_dd();
    let value = nearest(two, bound + power_of_two(-103) * two.hi.abs(), zero)?;
    (bound <= most).then_some(Settled { value, sign, log, phase })
}

/// The greatest x + log |b|, approximately.
fn greatest<T: Format>(source: &dyn TermSource<T>) -> DoubleDouble {
    let mut greatest = f64::NEG_INFINITY;
    source.blocks(&mut |block| {
        for (x, b) in block.terms() {
            greatest = greatest.max(x.hi + scalar_tasks::ln(b.abs()).hi);
        }
    });
    DoubleDouble::from(greatest)
}

/// The log-sum-exp of a series, correctly rounded.
pub(crate) fn value<T: Format>(series: &dyn Series<T>) -> (T, Phase) {
    #[cfg(feature = "half")]
    if T::HAS_SINGLES
        && let Some(value) = first_phase_f32::value(series)
    {
        return (value, Phase::Single);
    }
    settle(&Partial::<T::First>::over(series), series)
}

/// The log-sum-exp of a series, correctly rounded, given the state of a first phase.
pub(crate) fn settle<T: Format, P: Keep>(first: &Partial<P>, series: &dyn Series<T>) -> (T, Phase) {
    let first = match of_partial(first) {
        Ok(settled) => return settled,
        Err(center) => Err(Some(center)),
    };
    let in_double_doubles = || match of_partial(&Partial::<InDoubleDouble>::over(series)) {
        Ok((value, phase)) => Ok(Settled { value, sign: 1.0, log: Log::from(DoubleDouble::ZERO), phase }),
        Err(center) => Err(Some(center)),
    };
    let Settled { value, phase, .. } = settle_terms(&series, first, in_double_doubles, f64::INFINITY);
    (value, phase)
}

/// The value if this precision settles it, otherwise an estimate, with an error of about 2^-37 in f64 and 2^-61 in
/// double-double.
fn of_partial<T: Format, P: Keep>(partial: &Partial<P>) -> Result<(T, Phase), DoubleDouble> {
    if !partial.max.is_finite() || partial.is_its_maximum() {
        // A zero becomes +0, as log(e^-0) is.
        return Ok((T::narrow(partial.max + 0.0), Phase::Maximum));
    }
    let (estimate, bound) = partial.estimate();
    nearest(estimate, bound, Zero::Signed)
        .or_else(|| nearest_among_least(partial.max, || partial.tail_of_maximum()))
        .map(|value| (value, Phase::of::<P>()))
        .ok_or(estimate)
}

/// log(e^a − e^b), correctly rounded, for finite a > b. `center` has an absolute or relative error of at most
/// 2^-40.
pub(crate) fn settle_difference<T: Format>(a: T, b: T, center: DoubleDouble) -> T {
    let wide = a.widen();
    if b.widen() - wide < -1000.0 {
        // The value is below a by less than 2^-1400: it rounds to a, or to −0 if a is a zero.
        return T::narrow(if wide == 0.0 { -0.0 } else { wide });
    }
    // a + log(1 − u), u = e^{b − a}.
    let tail = || {
        let u = scalar_tasks::exp_dd(b.widen(), wide);
        (-u, EXP_DD_ERROR * u.hi)
    };
    if let Some(value) = nearest_among_least(wide, tail) {
        return value;
    }
    let difference = Difference { x: [a, b], b: [1.0, -1.0].map(T::narrow) };
    settle_terms(&difference, Err(Some(center)), || Err(None), f64::INFINITY).value
}

/// e^a − e^b.
struct Difference<T> {
    x: [T; 2],
    b: [T; 2],
}

impl<T: Format> TermSource<T> for Difference<T> {
    fn blocks(&self, visit: &mut dyn FnMut(TermBlock<'_, T>)) {
        visit(TermBlock { x: &self.x, y: None, b: Some(&self.b) });
    }

    fn is_signed(&self) -> bool {
        true
    }

    fn zero(&self) -> Zero {
        Zero::Signed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arithmetic::precision::InF64;
    use crate::reference::uniform;
    use dashu_int::IBig;
    use dashu_int::ops::Abs;

    fn nearest(sum: &integer_sums::Sum, center: DoubleDouble) -> Option<f64> {
        sum.settled(center, Zero::Signed, Phase::Arbitrary).map(|settled| settled.value)
    }

    fn about(source: &dyn TermSource<f64>, center: DoubleDouble) -> Option<f64> {
        let sum = CentredSum::over(source, center);
        sum.settled(source.divisor(), source.zero(), f64::INFINITY).map(|settled| settled.value).ok()
    }

    /// Random rows, rows whose value nearly cancels, and rows that are hard for the first phase.
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
                let value = settle(&Partial::<InDoubleDouble>::over(&row), &row).0;
                row.iter_mut().for_each(|z| *z -= value);
            }
            rows.push(row);
        }
        rows
    }

    #[test]
    fn every_phase_that_settles_a_value_settles_it_alike() {
        let mut settled = [0; 5];
        for row in rows() {
            let lane: &dyn Series<f64> = &row;
            let partial = Partial::<InDoubleDouble>::over(lane);
            let (center, _) = partial.estimate();
            let exact = nearest(&arbitrary_precision::sum(&lane, center, 1024), center)
                .expect("1024 bits settle these");
            let phases = [
                of_partial(&Partial::<InF64>::over(lane)).ok().map(|(value, _)| value),
                of_partial(&partial).ok().map(|(value, _)| value),
                about(&lane, center),
                fixed_point::sum(&lane, center).and_then(|sum| nearest(&sum, center)),
                nearest(&arbitrary_precision::sum(&lane, center, 512), center),
            ];
            for (phase, value) in phases.into_iter().enumerate() {
                settled[phase] += usize::from(value.is_some());
                assert!(
                    value.is_none_or(|value: f64| value == exact),
                    "{row:?}, phase {phase}: {value:?}, not {exact}"
                );
            }
        }
        println!(
            "of {} rows settled in doubles, in double-doubles, about the centre, fixed point, 512 bits: {settled:?}",
            rows().len()
        );
        assert!(
            settled[1] > 1000 && settled[2] > 1000 && settled[3] > 1900 && settled[4] > 1900,
            "{settled:?}"
        );
    }

    /// The fixed-point sum agrees with arbitrary precision, which uses dashu's exponential, within its bound.
    #[test]
    fn fixed_point_keeps_its_bound() {
        let mut worst = 0.0_f64;
        for row in rows() {
            let lane: &dyn Series<f64> = &row;
            let (center, _) = Partial::<InDoubleDouble>::over(lane).estimate();
            let (fixed, exact) = (
                fixed_point::sum(&lane, center).expect("no term is large"),
                arbitrary_precision::sum(&lane, center, 512),
            );
            let off: IBig = (fixed.value << 256) - exact.value;
            let off = (off.abs() >> 240).to_f64().value() / 65536.0;
            let bound = fixed.error.to_f64().value();
            assert!(off <= bound, "{row:?}: off by {off} units of 2^-256, bound {bound}");
            worst = worst.max(off / bound);
        }
        println!("worst error {worst:.3} of the bound");
        assert!(worst > 1.0 / 64.0, "the bound is too loose: {worst}");
    }

    #[test]
    fn differences_are_settled_as_arbitrary_precision_does() {
        let mut uniform = uniform(13);
        for i in 0..400 {
            let a = 10.0 * (uniform() - 0.5);
            let b = a - [1.0, 1e-3, 1e-12, 40.0, 300.0][i % 5] * uniform() - 1e-15;
            let difference = Difference { x: [a, b], b: [1.0, -1.0] };
            let exact = arbitrary_precision::settle(&difference, DoubleDouble::ZERO);
            let center = exact.log.to_dd();
            assert_eq!(settle_difference(a, b, center), exact.value, "{a:?} {b:?}");
            let sum = fixed_point::sum(&difference, center).expect("no term is above 2^52");
            assert_eq!(nearest(&sum, center), Some(exact.value), "{a:?} {b:?}");
            let centred = about(&difference, center);
            assert!(centred.is_none_or(|value| value == exact.value), "{a:?} {b:?}: {centred:?}");
        }
    }
}
