//! The rungs for sums with weights of any sign.
//!
//! The first rungs are those of plain sums: words, double words, double words about the estimate. Errors are measured by
//! Σ |b_k| e^{z_k}, so that a sum that cancels goes further up. The last rung adds up the weights of equal numbers exactly,
//! which shows whether anything is left, and then takes as many bits as it needs. It ends: of what is left, Σ c_i e^{z_i}
//! with distinct z_i and rational c_i ≠ 0, the logarithm is rational only if it is a single number with c = ±1
//! (Lindemann–Weierstrass, as in [`super`]), and then it is that number.

use crate::arithmetic::double_double::{DoubleDouble, parts, power_of_two, two_sum};
use crate::arithmetic::exp::{self, UNSCALE};
use crate::arithmetic::precision::{InDoubleDouble, Number, Precision};
use crate::formats::Format;
use crate::kernels::pairs;
use crate::kernels::series::BLOCK;
use crate::simd::{scalar, task};
use crate::state::signed::{Estimate, Log, Pairs, SignedSum};
use crate::ziv::{exponent_of, integer, round};
use dashu_float::FBig;
use dashu_float::round::mode;
use dashu_int::IBig;
use dashu_int::ops::Abs;

/// What a sum of terms comes to.
pub(crate) struct Settled<T> {
    /// log |Σ b_k e^{z_k}|, correctly rounded.
    pub(crate) value: T,
    /// 1, −1, or 0 where all cancels.
    pub(crate) sign: f64,
    /// The same, at least as precise as was asked for.
    pub(crate) log: Log,
}

/// The terms are finite, at least one is not 0. `log` will be off by at most `most`.
pub(crate) fn settle<T: Format>(pairs: Pairs<'_, T>, first: &SignedSum<T::First>, most: f64) -> Settled<T> {
    let mut center = None;
    if let Some(estimate) = first.estimate(pairs.divisor) {
        if let Some(settled) = nearest(estimate, most) {
            return settled;
        }
        center = Some(estimate.log.to_dd());
    }
    if !T::First::IS_DOUBLE_DOUBLE
        && let Some(estimate) = SignedSum::<InDoubleDouble>::over(pairs).estimate(pairs.divisor)
    {
        if let Some(settled) = nearest(estimate, most) {
            return settled;
        }
        center = Some(estimate.log.to_dd());
    }
    let mut center = center.unwrap_or_else(|| DoubleDouble::from(greatest(pairs)));
    // Each time the centre is closer, until it is as close as double words can tell.
    for _ in 0..3 {
        let Some(estimate) = about(pairs, center) else { break };
        if let Some(settled) = nearest(estimate, most) {
            return settled;
        }
        center = estimate.log.to_dd();
    }
    exact(pairs)
}

fn nearest<T: Format>(Estimate { log, bound, sign }: Estimate, most: f64) -> Option<Settled<T>> {
    let two = log.to_dd();
    // A zero is +0.
    let [low, high] =
        T::ends(two, bound + power_of_two(-103) * two.hi.abs()).map(|end| T::narrow(end).plus_zero());
    (bound <= most && low.same_bits(high)).then_some(Settled { value: low, sign, log })
}

/// The greatest z + log |b|, roughly.
fn greatest<T: Format>(pairs: Pairs<'_, T>) -> f64 {
    pairs.present().map(|(z, b)| z + scalar::ln(b.abs()).hi).fold(f64::NEG_INFINITY, f64::max)
}

/// No z may be further above the centre: e^z is then out of range.
const HIGHEST: f64 = 300.0;

/// The logarithm of the sum, from the sum about a centre.
fn about<T: Format>(pairs: Pairs<'_, T>, center: DoubleDouble) -> Option<Estimate> {
    let (mut sum, mut size, mut blocks) = (DoubleDouble::ZERO, 0.0, 0.0);
    for block in pairs.blocks() {
        let mut room = [T::default(); BLOCK];
        let b = block.weights(&mut room);
        let is_near = block.z.iter().all(|z| z.widen() - center.hi < HIGHEST);
        let (mut part, mut part_size) =
            if is_near { pairs::about(block.z, b, center) } else { (DoubleDouble::ZERO, f64::NAN) };
        if !(part_size.is_finite() && part_size > power_of_two(-300)) {
            // Weights out of range, or numbers that are absent: one by one.
            (part, part_size) = (DoubleDouble::ZERO, 0.0);
            for (z, b) in block.present() {
                let term = term(z, b, Log { shift: center.hi, rest: DoubleDouble::from(center.lo) }, 0.0);
                part = part + term;
                part_size += term.hi.abs();
            }
        }
        sum = sum + part;
        size += part_size;
        blocks += 1.0;
    }
    let error = exp::WIDE_ERROR * 4.0 + power_of_two(-88) + power_of_two(-100) * (blocks + center.hi.abs());
    Estimate::new(center, sum, error * size + power_of_two(512 - 400) * blocks, pairs.divisor)
}

/// b e^{z − log}, which may be of any size: a power of 2 in it is put on at the end.
pub(crate) fn power(z: f64, b: f64, log: Log) -> f64 {
    if b == 0.0 || z == f64::NEG_INFINITY {
        return 0.0;
    }
    if !z.is_finite() {
        return z * b;
    }
    let exponent = (z - log.shift) - log.rest.hi + scalar::ln(b.abs()).hi;
    let k = (exponent * std::f64::consts::LOG2_E).clamp(-1080.0, 1030.0).round();
    let half = (k / 2.0).trunc() as i32;
    term(z, b, log, k).hi * UNSCALE * power_of_two(half) * power_of_two(k as i32 - half)
}

task! {
    /// 2^-k b e^{z − log} in units of UNSCALE, whatever the size of b: it is taken to pieces, and its power of 2 goes to the
    /// exponent.
    ///
    /// That is off by 2^-104 · 745 · 2 at most, beside the error of [`exp::exp_dd_wide`]. What is beyond the range is infinite.
    fn term(z: f64, b: f64, log: Log, k: f64; _: V) -> DoubleDouble {
        if b == 0.0 || z == f64::NEG_INFINITY {
            return DoubleDouble::ZERO;
        }
        let (significand, exponent) = parts(b);
        let powers = DoubleDouble::LN_2 * DoubleDouble::from(f64::from(exponent) - k);
        let d = two_sum(z, -log.shift) - log.rest + powers;
        if d.hi > HIGHEST {
            return DoubleDouble::from(b * f64::INFINITY);
        }
        // Twos that are out of range have no low word.
        let low = if d.hi > -1000.0 { -d.lo } else { 0.0 };
        exp::exp_dd_wide(d.hi, DoubleDouble::from(low)).by(significand)
    }
}

/// Units of the weights in [`Group`]: 2^-1074.
const WEIGHT_BITS: isize = 1074;

/// All numbers equal to z, and the sum of their weights.
struct Group {
    z: f64,
    weight: IBig,
}

/// Takes memory in proportion to the row.
fn groups<T: Format>(pairs: Pairs<'_, T>) -> Vec<Group> {
    let mut present: Vec<_> = pairs.present().filter(|(z, _)| z.is_finite()).collect();
    present.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let mut groups: Vec<Group> = Vec::new();
    for (z, b) in present {
        let weight = integer(b) << (exponent_of(b) + WEIGHT_BITS) as usize;
        match groups.last_mut() {
            Some(group) if group.z == z => group.weight += weight,
            _ => groups.push(Group { z, weight }),
        }
    }
    groups.retain(|group| group.weight != IBig::ZERO);
    groups
}

#[cold]
fn exact<T: Format>(pairs: Pairs<'_, T>) -> Settled<T> {
    let groups = groups(pairs);
    if groups.is_empty() {
        return Settled {
            value: T::NEG_INFINITY,
            sign: 0.0,
            log: Log { shift: f64::NEG_INFINITY, rest: DoubleDouble::ZERO },
        };
    }
    let log_weight = |group: &Group| {
        let bits = group.weight.clone().abs().into_parts().1;
        FBig::<mode::HalfEven, 2>::from(bits).with_precision(64).value().ln().to_f64().value()
            - WEIGHT_BITS as f64 * std::f64::consts::LN_2
    };
    let greatest = groups.iter().map(|group| group.z + log_weight(group)).fold(f64::NEG_INFINITY, f64::max);
    (9..).find_map(|log2| about_exactly(&groups, greatest, pairs.divisor, 1 << log2)).unwrap_or(Settled {
        value: T::default(),
        sign: 1.0,
        log: Log { shift: 0.0, rest: DoubleDouble::ZERO },
    })
}

/// Settles the value, if so many bits do.
///
/// Each term is at most about 1 in relation to e^center, and taken to `bits` bits more; its error is below 4 units, as
/// in [`super::arbitrary`]: weights are exact.
fn about_exactly<T: Format>(groups: &[Group], center: f64, divisor: f64, bits: usize) -> Option<Settled<T>> {
    let mut sum = IBig::ZERO;
    for group in groups {
        sum += super::arbitrary::weighted(group.z, &group.weight, WEIGHT_BITS as usize, center, bits);
    }
    let error = IBig::from(4 * groups.len());
    let sign = if sum < IBig::ZERO { -1.0 } else { 1.0 };
    let sum = sum.abs();
    if sum <= &error << 40 {
        return None;
    }
    let log = |sum: IBig| {
        let sum =
            FBig::<mode::HalfEven, 2>::from_parts(sum, -(bits as isize)).with_precision(bits + 64).value();
        let quotient = sum / FBig::from(IBig::from(divisor as u64));
        let (significand, exponent) = quotient.ln().into_repr().into_parts();
        match exponent + (bits + 40) as isize {
            shift @ 0.. => significand << shift as usize,
            shift => significand >> shift.unsigned_abs(),
        }
    };
    // dashu's logarithm is trusted to 2^-(bits + 20), in units of 2^-(bits + 40).
    let slack = IBig::ONE << 20;
    let low = log(&sum - &error) - &slack;
    let high = log(sum + error) + slack;
    let exponent = -((bits + 40) as isize);
    let least = exponent.min(exponent_of(center));
    let shift = integer(center) << (exponent_of(center) - least) as usize;
    let rounded =
        |rest: &IBig| round::<T>(&shift + (rest.clone() << (exponent - least) as usize), least).plus_zero();
    let value = rounded(&low);
    if !value.same_bits(rounded(&high)) {
        return None;
    }
    let hi: f64 = round(low.clone(), exponent);
    let lo = round(low - super::arbitrary::fixed(hi, bits + 40), exponent);
    Some(Settled { value, sign, log: Log { shift: center, rest: DoubleDouble { hi, lo } } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_of_any_weight() {
        let unscaled = |z, b, shift| term(z, b, Log { shift, rest: DoubleDouble::ZERO }, 0.0).hi * UNSCALE;
        assert_eq!(unscaled(0.0, 0.5, 0.0), 0.5);
        assert_eq!(unscaled(7.0, -2.0, 7.0), -2.0);
        assert!((unscaled(-750.0, 1e300, -59.0) - 0.7982).abs() < 1e-3);
        assert!((unscaled(0.0, 5e-324, -744.0) - 0.6435).abs() < 1e-3);
        assert_eq!(unscaled(f64::NEG_INFINITY, 1.0, 0.0), 0.0);
    }
}
