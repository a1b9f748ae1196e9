//! Ziv's phases for sums with weights of any sign, and for means.

use crate::arithmetic::precision::{InDoubleDouble, Precision};
use crate::formats::Format;
use crate::kernels::term_source::TermSource;
use crate::state::signed::{Pairs, SignedSum};
use crate::ziv::{Found, Phase, Settled, settle_terms, settled};

/// Settles a sum whose terms are finite and not all 0. The error of `log` is at most `most`.
pub(crate) fn settle<T: Format, P: Precision>(
    pairs: Pairs<'_, T>,
    first: &SignedSum<P>,
    most: f64,
) -> Settled<T> {
    settle_terms(
        &pairs,
        found(pairs, first, most),
        || found(pairs, &SignedSum::<InDoubleDouble>::over(pairs), most),
        most,
    )
}

fn found<T: Format, P: Precision>(pairs: Pairs<'_, T>, sum: &SignedSum<P>, most: f64) -> Found<T> {
    let estimate = sum.estimate(pairs.divisor).ok_or(None)?;
    settled(estimate, most, pairs.zero(), Phase::of::<P>()).ok_or(Some(estimate.log.to_dd()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arithmetic::double_double::{DoubleDouble, power_of_two};
    use crate::arithmetic::exp::UNSCALE;
    use crate::reference::uniform;
    use crate::state::signed::Log;
    use crate::ziv::centred_sum::CentredSum;
    use crate::ziv::integer_sums::Sum;
    use crate::ziv::weighted_shares::scaled_term;
    use crate::ziv::{Zero, arbitrary_precision, fixed_point};
    use dashu_int::IBig;
    use dashu_int::ops::Abs;

    /// Rows with weights of both signs and any magnitude, and rows that nearly cancel.
    fn rows() -> Vec<(Vec<f64>, Vec<f64>)> {
        let mut uniform = uniform(11);
        let mut rows = Vec::new();
        for i in 0..800 {
            let length = 1 + i % 9;
            let spread = [1.0, 30.0, 1e-8, 160.0][i % 4];
            let scale = power_of_two([0, -1060, 120, 900][i % 4 / 2 + i % 2]);
            let mut z: Vec<f64> = (0..length).map(|_| spread * (uniform() - 0.5)).collect();
            let mut b: Vec<f64> = (0..length).map(|_| scale * (uniform() - [0.5, 0.0][i % 2])).collect();
            if i % 3 == 0 {
                // The sum is at most 2^-40 of its terms.
                b[0] = 1.0;
                z.push(z[0] + power_of_two(-40 - (i % 20) as i32));
                b.push(-1.0);
            }
            rows.push((z, b));
        }
        rows
    }

    #[test]
    fn phases_agree_and_fixed_point_keeps_its_bound() {
        let (mut settled, mut worst) = ([0; 3], 0.0_f64);
        for (z, b) in rows() {
            let pairs = Pairs { z: &z, b: Some(&b), mask: None, divisor: 1.0 };
            let exact = arbitrary_precision::settle(&pairs, DoubleDouble::ZERO);
            let center = exact.log.to_dd();
            let of_sum = |sum: Sum| sum.settled(center, Zero::Positive, Phase::FixedPoint);
            let sum = fixed_point::sum(&pairs, center);
            if let Some(sum) = &sum {
                let long = arbitrary_precision::sum(&pairs, center, 512);
                let off: IBig = (sum.value.clone() << 256) - long.value;
                let off = (off.abs() >> 240).to_f64().value() / 65536.0;
                let bound = sum.error.to_f64().value();
                assert!(off <= bound, "{z:?} {b:?}: off by {off} units of 2^-256, bound {bound}");
                worst = worst.max(off / bound);
            }
            let centred = CentredSum::over(&pairs, center).settled(1.0, Zero::Positive, f64::INFINITY).ok();
            let phases = [
                found(pairs, &SignedSum::<InDoubleDouble>::over(pairs), f64::INFINITY).ok(),
                centred,
                sum.and_then(of_sum),
            ];
            for (phase, found) in phases.into_iter().enumerate() {
                let Some(found) = found else { continue };
                settled[phase] += 1;
                assert_eq!(
                    (found.value, found.sign),
                    (exact.value, exact.sign),
                    "{z:?} {b:?}, phase {phase}"
                );
            }
        }
        println!("of 800 in double-doubles, about the centre, in fixed point: {settled:?}; worst {worst:.3}");
        assert!(settled[0] > 300 && settled[1] > 500 && settled[2] > 700, "{settled:?}");
        assert!(worst > 1.0 / 64.0, "the bound is too loose: {worst}");
    }

    /// Rows with mean 1, and weighted log-probabilities: the value is a rounding error near 0.
    #[test]
    fn what_is_near_0_is_settled_in_fixed_point() {
        let mut uniform = uniform(12);
        for i in 0..200 {
            let length = 2 + i % 40;
            let mut z: Vec<f64> = (0..length).map(|_| 3.0 * uniform()).collect();
            let ones = vec![1.0; length];
            let (b, divisor) = if i % 2 == 0 { (None, length as f64) } else { (Some(&ones[..]), 1.0) };
            let value = |z: &[f64]| {
                let pairs = Pairs { z, b, mask: None, divisor };
                let exact = arbitrary_precision::settle(&pairs, DoubleDouble::ZERO);
                let settled = settle(pairs, &SignedSum::<InDoubleDouble>::over(pairs), f64::INFINITY);
                assert_eq!((settled.value, settled.sign), (exact.value, exact.sign), "{z:?}");
                (settled.value, settled.phase)
            };
            let (first, _) = value(&z);
            z.iter_mut().for_each(|z| *z -= first);
            let (second, phase) = value(&z);
            assert!(second.abs() < 1e-14 && phase <= Phase::FixedPoint, "{second} in {phase:?}");
        }
    }

    #[test]
    fn terms_of_any_weight() {
        let unscaled = |z, b, shift| {
            scaled_term(DoubleDouble::from(z), b, Log { shift, rest: DoubleDouble::ZERO }, 0.0).hi * UNSCALE
        };
        assert_eq!(unscaled(0.0, 0.5, 0.0), 0.5);
        assert_eq!(unscaled(7.0, -2.0, 7.0), -2.0);
        assert!((unscaled(-750.0, 1e300, -59.0) - 0.7982).abs() < 1e-3);
        assert!((unscaled(0.0, 5e-324, -744.0) - 0.6435).abs() < 1e-3);
        assert_eq!(unscaled(f64::NEG_INFINITY, 1.0, 0.0), 0.0);
    }
}
