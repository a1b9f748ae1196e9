//! The triple-double phase: the sum about an estimate of its logarithm. It settles rows whose value is near the
//! midpoint of two floats, which by chance is one row in thousands, and rows whose value is near 0, such as normalised
//! log-probabilities.

use crate::arithmetic::double_double::{DoubleDouble, parts, power_of_two, two_sum};
use crate::arithmetic::exp::{LEAST, NOTHING, SCALE, UNSCALE};
use crate::arithmetic::exp_td::{EXP_TD_ERROR, at_least, error_of_sum, exp_td, share_of_error};
use crate::arithmetic::fixed_point::exponent_of;
use crate::arithmetic::ln::log1p_dd_near_0;
use crate::arithmetic::triple_double::TripleDouble;
use crate::formats::Format;
use crate::formats::nearest::Zero;
use crate::kernels::row_functions::padded;
use crate::kernels::term_source::{TermBlock, TermSource};
use crate::simd::{Vector, task};
use crate::state::signed::{Estimate, Log};
use crate::ziv::effort::{Rung, count};
use crate::ziv::elements::nearest_scaled;
use crate::ziv::integer_sums::{Sum, integer, shifted};
use crate::ziv::{Phase, Settled};
use dashu_int::IBig;

/// No exponent may be further above the centre: e^x is then out of range.
const HIGHEST: f64 = 300.0;

/// How near to 0 the logarithm of the sum must be for the series that keeps its relative accuracy.
const NEAR: f64 = power_of_two(-20);

/// Σ b e^{x − c} for a centre c in f64: an estimate of the logarithm of Σ b e^x, or 0 if that is near 0.
///
/// The bound on its error is updated with each addition: see [`error_of_sum`].
pub(super) struct CentredSum {
    center: f64,
    /// In units of UNSCALE, as the magnitudes.
    sum: TripleDouble,
    magnitudes: Magnitudes,
}

/// The magnitudes that errors of a sum are relative to.
#[derive(Clone, Copy)]
struct Magnitudes<F = f64> {
    size: F,
    lows: F,
}

impl CentredSum {
    /// The empty sum about this centre.
    pub(super) fn about(center: DoubleDouble) -> Self {
        let center = Self::center_for(center.hi);
        Self { center, sum: TripleDouble::ZERO, magnitudes: Magnitudes { size: 0.0, lows: 0.0 } }
    }

    /// All terms of a sum.
    pub(super) fn over<T: Format>(source: &dyn TermSource<T>, center: DoubleDouble) -> Self {
        let mut sum = Self::about(center);
        source.blocks(&mut |block| sum.add(block));
        sum
    }

    /// All terms of a sum, relative to e^max.
    pub(super) fn relative_to<T: Format>(max: f64, source: &dyn TermSource<T>) -> Self {
        let mut sum = Self { center: max, ..Self::about(DoubleDouble::ZERO) };
        source.blocks(&mut |block| sum.add(block));
        sum
    }

    fn center_for(log: f64) -> f64 {
        if log.abs() <= NEAR / 2.0 { 0.0 } else { log }
    }

    pub(super) fn center(&self) -> f64 {
        self.center
    }

    /// Moves the centre, if necessary, so that numbers up to this one are in range.
    pub(super) fn move_up_to(&mut self, max: f64) {
        /// Far less than the range of terms.
        const REACH: f64 = 64.0;
        if self.sum.hi == 0.0 {
            self.center = Self::center_for(max);
        } else if max > self.center + REACH {
            self.move_to(max);
        }
    }

    /// Moves the centre to an estimate of the logarithm; false if it is already there.
    pub(super) fn move_to(&mut self, log: f64) -> bool {
        let center = Self::center_for(log);
        if center == self.center {
            return false;
        }
        let old = std::mem::replace(&mut self.center, center);
        let (sum, factor) = moved(self.sum, old, center);
        let of_factor = if old - center > LEAST { 1.0 } else { 1.0 / EXP_TD_ERROR };
        let Magnitudes { size, lows } = self.magnitudes;
        // In units of UNSCALE, as the factor may be tiny.
        let [size, lows] = [size, lows].map(|magnitude| magnitude * UNSCALE * factor);
        // The factor has the error of an exponential, 100 % if it counts as e^-1000; the product adds 2^-151.
        self.magnitudes = Magnitudes {
            size: (size + sum.hi.abs() * of_factor) * (1.0 + power_of_two(-40)),
            lows: lows * (1.0 + power_of_two(-40)),
        };
        self.sum = sum;
        true
    }

    /// The sum as an integer number of units, if it is in range.
    pub(super) fn as_integer(&self) -> Option<Sum> {
        const BITS: usize = 176;
        let error = self.error();
        let units = |x: f64| shifted(integer(x), exponent_of(x) - SCALE as isize + BITS as isize);
        let TripleDouble { hi, mid, lo } = self.sum;
        // Each of the four parts is cut by less than one unit.
        error.is_finite().then(|| Sum {
            value: units(hi) + units(mid) + units(lo),
            bits: BITS,
            error: units(error) + IBig::from(4),
        })
    }

    /// Adds the terms of a block.
    pub(super) fn add<T: Format>(&mut self, block: TermBlock<'_, T>) {
        count(Rung::TripleDouble, block.x.len());
        let is_near = block.b.is_none() || block.terms().all(|(x, _)| x.hi - self.center < HIGHEST);
        let part = if is_near { sum_about(block, self.center) } else { Self::about_nothing() };
        // Terms far below the centre, or that count as e^-1000, are visible with great weights only.
        let is_great = |weights: &[T]| weights.iter().any(|b| b.widen().abs() > power_of_two(100));
        let size = part.sum.hi.abs() + part.magnitudes.size;
        let is_small = size <= power_of_two(-300);
        match block.b {
            Some(b) if !size.is_finite() || is_small && is_great(b) => {
                // With weights out of range, terms are added one by one.
                block.terms().for_each(|(x, b)| self.push(term(x, b, self.center)));
            }
            _ => self.push(part),
        }
    }

    fn about_nothing() -> Self {
        let magnitudes = Magnitudes { size: f64::NAN, lows: 0.0 };
        Self { center: 0.0, sum: TripleDouble::ZERO, magnitudes }
    }

    /// Adds a sum about the same centre.
    fn push(&mut self, other: Self) {
        let Magnitudes { size, lows } = other.magnitudes;
        let of_addition;
        (self.sum, of_addition) = plus(self.sum, other.sum);
        self.magnitudes.size += size;
        self.magnitudes.lows += lows + of_addition;
    }

    /// Bounds the error of the sum.
    fn error(&self) -> f64 {
        let Magnitudes { size, lows } = self.magnitudes;
        error_of_sum(size, lows)
    }

    /// log |sum / divisor|, if more than a few bits of it are known.
    pub(super) fn estimate(&self, divisor: f64) -> Option<Estimate> {
        match self.beside_one(divisor) {
            None => Estimate::new(
                self.center,
                self.sum.to_dd(),
                self.error() + power_of_two(-100) * self.sum.hi.abs(),
                divisor,
            ),
            Some(Beside { sign, rest, error }) => {
                let rest = log_beside_one(rest.scaled(UNSCALE));
                let bound =
                    error * UNSCALE * 1.000_01 + power_of_two(-99) * rest.hi.abs() + power_of_two(-1060);
                Some(Estimate { log: Log { shift: self.center, rest }, bound, sign })
            }
        }
    }

    /// The value, if it is settled and the error of the logarithm is at most `most`; otherwise an estimate of the
    /// logarithm.
    pub(super) fn settled<T: Format>(
        &self,
        divisor: f64,
        zero: Zero,
        most: f64,
    ) -> Result<Settled<T>, Option<DoubleDouble>> {
        const SMALL: f64 = power_of_two(-110);
        if self.center == 0.0
            && let Some(Beside { sign, rest, error }) = self.beside_one(divisor)
            && rest.hi.abs() * UNSCALE <= SMALL
        {
            // log(1 + t) differs from t by about t²/2. In these units no part of it is subnormal.
            let bound = error * 1.000_01 + power_of_two(-100) * rest.hi.abs();
            let log = Log { shift: 0.0, rest: rest.scaled(UNSCALE) };
            // The sign of the logarithm is not known.
            if zero == Zero::Positive && rest.hi.abs() + bound <= NOTHING {
                return Ok(Settled { value: T::default(), sign, log, phase: Phase::TripleDouble });
            }
            return match nearest_scaled(rest, bound).filter(|_| bound * UNSCALE <= most) {
                Some(value) => Ok(Settled { value: zero.of(value), sign, log, phase: Phase::TripleDouble }),
                None => Err(Some(log.to_dd())),
            };
        }
        let estimate = self.estimate(divisor).ok_or(None)?;
        super::settled(estimate, most, zero, Phase::TripleDouble).ok_or(Some(estimate.log.to_dd()))
    }

    /// The difference of |sum / divisor| from 1, if that is small.
    fn beside_one(&self, divisor: f64) -> Option<Beside> {
        let sign = if self.sum.hi < 0.0 { -1.0 } else { 1.0 };
        let rest = rest_beside_one(self.sum, divisor * sign);
        let error = self.error() / divisor;
        let is_near = rest.hi.abs() * UNSCALE <= NEAR && error.is_finite();
        is_near.then_some(Beside { sign, rest: if sign < 0.0 { -rest } else { rest }, error })
    }
}

/// A sum over its divisor as ±(1 + rest), in units of UNSCALE, and a bound on the error, without 2^-101 of the rest.
struct Beside {
    sign: f64,
    rest: DoubleDouble,
    error: f64,
}

task! {
    /// (sum − divisor)/|divisor|, in units of UNSCALE: rounded by 2u² and 15u².
    fn rest_beside_one(sum: TripleDouble, divisor: f64; _: V) -> DoubleDouble {
        let whole = TripleDouble { hi: -divisor / UNSCALE, mid: 0.0, lo: 0.0 };
        let rest = sum.plus(whole).normalised().to_dd();
        rest / DoubleDouble::from(divisor.abs())
    }
}

task! {
    fn log_beside_one(rest: DoubleDouble; _: V) -> DoubleDouble {
        log1p_dd_near_0(rest)
    }
}

task! {
    /// sum · e^{from − to}, and this factor in units of UNSCALE. A factor below e^-1000 counts as e^-1000.
    fn moved(sum: TripleDouble, from: f64, to: f64; _: V) -> (TripleDouble, f64) {
        let factor = exp_td(at_least(TripleDouble::from(two_sum(from, -to)))).normalised();
        // The sum is not far from 1, but the factor may be tiny.
        (sum.scaled(UNSCALE) * factor, factor.hi)
    }
}

task! {
    /// The sum a + b, normalised, and the magnitudes of its third word before and after normalisation. The error is at
    /// most 5u of the former, 2u of the third word of a, and u of that of b.
    fn plus(a: TripleDouble, b: TripleDouble; _: V) -> (TripleDouble, f64) {
        let sum = a.plus(b);
        let normalised = sum.normalised();
        (normalised, sum.lo.abs() + normalised.lo.abs())
    }
}

task! {
    /// One term, for a b of any size: its power of 2 is added to the exponent. Infinite beyond the range.
    ///
    /// The exponent is off by less than 2^-131: a product and its sum are rounded, and log 2, times up to 1074.
    fn term(x: DoubleDouble, b: f64, center: f64; _: V) -> CentredSum {
        let (significand, exponent) = parts(b);
        let power = f64::from(exponent);
        let TripleDouble { hi, mid, lo } = TripleDouble::LN_2;
        let high = TripleDouble::sum_of(x.hi, -center, hi * power, x.lo);
        let d = high.plus(TripleDouble::sum_of(mid * power, lo * power, 0.0, 0.0)).normalised();
        let sum = if d.hi > HIGHEST {
            TripleDouble { hi: b * f64::INFINITY, ..TripleDouble::ZERO }
        } else {
            exp_td(at_least(d)).by(significand)
        };
        let share = if exponent == 0 { share_of_error(d.hi) } else { share_of_error(d.hi).max(1.0) };
        let magnitudes = Magnitudes { size: sum.hi.abs() * share, lows: 0.0 };
        CentredSum { center, sum, magnitudes }
    }
}

task! {
    /// All terms of a block.
    fn sum_about<T: Format>(block: TermBlock<'_, T>, center: f64; simd: V) -> CentredSum {
        let zero = simd.splat(0.0);
        let nothing = (TripleDouble { hi: zero, mid: zero, lo: zero }, Magnitudes { size: zero, lows: zero });
        let c = simd.splat(center);
        // Two sums, so that their long chains of operations run in parallel.
        let mut ways = [nothing; 2];
        for start in (0..block.x.len()).step_by(16) {
            ways[0] = plus_eight_terms::<T, V>(block, start, c, ways[0]);
            if start + 8 < block.x.len() {
                ways[1] = plus_eight_terms::<T, V>(block, start + 8, c, ways[1]);
            }
        }
        let mut sum = TripleDouble::ZERO;
        let mut magnitudes = Magnitudes { size: 0.0, lows: 0.0 };
        for (way, of_way) in ways {
            let [mut his, mut mids, mut los, mut sizes, mut lows] = [[0.0; 8]; 5];
            way.hi.store(&mut his);
            way.mid.store(&mut mids);
            way.lo.store(&mut los);
            of_way.size.store(&mut sizes);
            of_way.lows.store(&mut lows);
            for i in 0..8 {
                sum = sum.plus(TripleDouble { hi: his[i], mid: mids[i], lo: los[i] });
                magnitudes.size += sizes[i];
                magnitudes.lows += lows[i] + sum.lo.abs();
            }
        }
        CentredSum { center, sum, magnitudes }
    }
}

/// Adds the eight terms from `start` on; missing ones are negligible.
#[inline(always)]
fn plus_eight_terms<T: Format, V: Vector>(
    TermBlock { x, y, b }: TermBlock<'_, T>,
    start: usize,
    c: V,
    (sum, Magnitudes { size, lows }): (TripleDouble<V>, Magnitudes<V>),
) -> (TripleDouble<V>, Magnitudes<V>) {
    let (simd, eight) = (c, start..x.len().min(start + 8));
    let x = T::load_up_to(&x[eight.clone()], simd);
    let d = match y {
        None => TripleDouble::from(two_sum(x, -c)),
        Some(y) => {
            let sum = two_sum(x, T::load_up_to(&y[eight.clone()], simd));
            let zero = simd.splat(0.0);
            let high = at_least(TripleDouble::from(two_sum(sum.hi, -c)));
            TripleDouble::sum_of(high.hi, high.mid, high.hi.where_at_most(LEAST, zero, sum.lo), zero)
        }
    };
    let d = at_least(d);
    let mut term = exp_td(d);
    if let Some(b) = b {
        term = term.by(T::load(&padded(&b[eight]), simd));
    }
    let sum = sum.plus(term);
    let size = term.hi.max(-term.hi).mul_add(share_of_error(d.hi), size);
    (sum, Magnitudes { size, lows: lows + sum.lo.max(-sum.lo) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::row_access::Series;
    use crate::reference::{Big, big, big_dd, uniform};
    use crate::state::signed::Pairs;
    use crate::ziv::matrix_entry::Sums;
    use dashu_float::ops::Abs;

    fn wide(x: Big) -> Big {
        x.with_precision(2500).value()
    }

    fn exact<'a>(center: f64, terms: impl Iterator<Item = (DoubleDouble, f64)> + 'a) -> Big {
        let term = |(x, b): (DoubleDouble, f64)| wide(big_dd(x) - big(center)).exp() * big(b);
        terms.map(term).fold(wide(big(0.0)), |sum, term| sum + term)
    }

    /// The error of a sum as a part of its bound.
    fn part_of_bound(sum: &CentredSum, exact: &Big) -> f64 {
        let [hi, mid, lo] = [sum.sum.hi, sum.sum.mid, sum.sum.lo].map(big);
        let off = (wide(hi) + mid + lo - exact.clone() / big(UNSCALE)).abs();
        (off / big(sum.error())).to_f64().value()
    }

    fn words(z: &[f64]) -> impl Iterator<Item = (DoubleDouble, f64)> + '_ {
        z.iter().map(|&z| (DoubleDouble::from(z), 1.0))
    }

    /// Everyday terms, tiny ones beside those that are exact, numbers near 0, and ones far from the centre.
    #[test]
    fn sums_keep_their_bound() {
        let mut uniform = uniform(11);
        let mut worst = [0.0_f64; 5];
        for i in 0..500 {
            let (length, kind) = ([1, 2, 9, 40, 150][i / 5 % 5], i % 5);
            let z: Vec<f64> = (0..length)
                .map(|k| match kind {
                    0 => 10.0 * (uniform() - 0.7),
                    1 if k % 4 == 0 => 0.0,
                    1 => -40.0 - 700.0 * uniform(),
                    2 => power_of_two(-30 - (900.0 * uniform()) as i32) * (uniform() - 0.5),
                    3 => -990.0 * uniform(),
                    _ => 1e6 + 3.0 * uniform(),
                })
                .collect();
            let center = DoubleDouble::from([0.0, 0.0, 0.0, -70.0, 1e6 + 1.0][kind]);
            let sum = CentredSum::over::<f64>(&(&z as &dyn Series<f64>), center);
            let of_all = exact(sum.center, words(&z));
            let part = part_of_bound(&sum, &of_all);
            assert!(part <= 1.0, "{z:?}: {part} of the bound");
            worst[kind] = worst[kind].max(part);
            let Sum { value, bits, error } = sum.as_integer().expect("it is in range");
            let off = (Big::from_parts(value, -(bits as isize)) - &of_all).abs();
            assert!(off <= Big::from_parts(error, -(bits as isize)), "{z:?}: the whole number is off");
            // Terms e^0 have no error, nor has their sum.
            let others: f64 = z.iter().map(|z| (z - sum.center).exp()).sum();
            assert!(sum.error() * UNSCALE <= power_of_two(-115) * others + power_of_two(-1000));
            if kind < 3 {
                let others: f64 = z.iter().map(|z| if *z < -1.0 { z.exp() } else { z.abs() }).sum();
                assert!(sum.error() * UNSCALE <= power_of_two(-97) * others + power_of_two(-1060), "{z:?}");
            }
        }
        println!("worst of the bound: {worst:.3?}");
        assert!(worst.iter().all(|&worst| worst > 1.0 / 128.0), "{worst:?}");
    }

    /// Weights of both signs and any size, and sums that cancel: the sums and their logarithms.
    #[test]
    fn weighted_sums_and_logarithms_keep_their_bounds() {
        let mut uniform = uniform(12);
        let (mut worst, mut worst_log, mut logs) = (0.0_f64, 0.0_f64, 0);
        for i in 0..400 {
            let length = [2, 3, 9, 40, 130][i % 5];
            let scale = [1.0, 1e-290, 1e200, power_of_two(-1070)][i / 5 % 4];
            let spread = [1.0, 30.0, 300.0][i % 3];
            let mut b: Vec<f64> = (0..length).map(|_| scale * (uniform() - [0.0, 0.5][i % 2])).collect();
            let mut z: Vec<f64> =
                b.iter().map(|b| spread * (uniform() - 0.5) - b.abs().max(5e-324).ln()).collect();
            if i % 6 == 1 {
                // The remaining sum is about 2^-30 of the terms.
                z.truncate(2);
                b = vec![1.0, -(z[0] - z[1]).exp() * (1.0 + 1e-9 * uniform())];
            }
            let greatest = z
                .iter()
                .zip(&b)
                .filter(|(_, b)| **b != 0.0)
                .fold(f64::NEG_INFINITY, |greatest, (z, b)| greatest.max(z + b.abs().ln()));
            let divisor = [1.0, 3.0][i / 2 % 2];
            let pairs = Pairs { z: &z, b: Some(&b), mask: None, divisor };
            let mut center = DoubleDouble::from(greatest);
            for _ in 0..2 {
                let sum = CentredSum::over::<f64>(&pairs, center);
                let exact = exact(sum.center, words(&z).zip(&b).map(|((z, _), &b)| (z, b)));
                let part = part_of_bound(&sum, &exact);
                assert!(part <= 1.0, "{z:?}, {b:?}: {part} of the bound");
                worst = worst.max(part);
                let Some(Estimate { log: Log { shift, rest }, bound, sign }) = sum.estimate(divisor) else {
                    break;
                };
                assert_eq!(exact < big(0.0), sign < 0.0);
                let log = (exact.abs() / big(divisor)).ln() + big(sum.center);
                let off = (wide(big(shift)) + big_dd(rest) - log).abs();
                let part = (off / big(bound)).to_f64().value();
                assert!(part <= 1.0, "{z:?}, {b:?}: the logarithm is off by {part} of its bound");
                worst_log = worst_log.max(part);
                logs += 1;
                center = Log { shift, rest }.to_dd();
            }
        }
        println!("worst of the bound: {worst:.3}, of {logs} logarithms {worst_log:.3}");
        assert!(worst > 1.0 / 64.0 && worst_log > 1.0 / 64.0 && logs > 600, "{worst} {worst_log} {logs}");
    }

    /// Three blocks of weights whose sum is 1, apart from what the third word loses when it carries into the second.
    #[test]
    fn what_normalising_moves_is_counted() {
        let [quarter, z] = [0.25, 0.0];
        let (mut b, z) = (vec![0.0; 2050], vec![z; 2050]);
        b[0] = 1.0 + power_of_two(-52);
        b[1] = power_of_two(-53) - power_of_two(-106);
        b[1024] = 1.0 + power_of_two(-51);
        b[1025] = power_of_two(-53);
        b[1026] = power_of_two(-161);
        b[2048] = 2.0 - power_of_two(-50);
        b[2049] = power_of_two(-106) + power_of_two(-148);
        b.iter_mut().for_each(|b| *b *= quarter);
        let pairs = Pairs { z: &z, b: Some(&b), mask: None, divisor: 1.0 };
        let sum = CentredSum::over::<f64>(&pairs, DoubleDouble::ZERO);
        let part = part_of_bound(&sum, &exact(0.0, words(&z).zip(&b).map(|((z, _), &b)| (z, b))));
        assert!(part <= 1.0, "{part} of the bound");
        let exact = crate::ziv::arbitrary_precision::settle::<f64>(&pairs, DoubleDouble::ZERO).value;
        let settled = sum.settled::<f64>(1.0, Zero::Positive, f64::INFINITY);
        assert!(settled.is_err() || settled.is_ok_and(|settled| settled.value == exact));
        // The weights add up to 1: the logarithm is 0.
        let (z, b) = ([0.0; 3], [0.5, 0.25, 0.25]);
        let pairs = Pairs { z: &z, b: Some(&b), mask: None, divisor: 1.0 };
        let sum = CentredSum::over::<f64>(&pairs, DoubleDouble::ZERO);
        let settled = sum.settled::<f64>(1.0, Zero::Positive, f64::INFINITY).map(|settled| settled.value);
        assert_eq!(settled.ok(), Some(0.0));
    }

    /// Exponents x + y, far from 0 and near it.
    #[test]
    fn sums_of_pairs_keep_their_bound() {
        let mut uniform = uniform(14);
        let mut worst = 0.0_f64;
        for i in 0..300 {
            let (length, level) = ([1, 2, 9, 100][i % 4], [1e6, -3e8, 1e-3][i % 3]);
            let spread = [10.0, 1e-12][i / 2 % 2];
            let x: Vec<f64> = (0..length).map(|_| level + spread * uniform()).collect();
            let y: Vec<f64> = (0..length).map(|_| -level / [3.0, 1.0][i % 2] + spread * uniform()).collect();
            let sum = CentredSum::over::<f64>(&Sums { x: &x, y: &y }, DoubleDouble::from(x[0] + y[0]));
            let terms = x.iter().zip(&y).map(|(x, y)| (two_sum(*x, *y), 1.0));
            let part = part_of_bound(&sum, &exact(sum.center, terms));
            assert!(part <= 1.0, "{x:?} + {y:?}: {part} of the bound");
            worst = worst.max(part);
        }
        println!("worst of the bound: {worst:.3}");
        assert!(worst > 1.0 / 64.0, "{worst}");
    }

    /// Sums that grow while their centre moves, slowly and in leaps: within a bound that does not run away.
    #[test]
    fn moving_keeps_the_bound() {
        let mut uniform = uniform(53);
        let mut worst = 0.0_f64;
        for case in 0..60 {
            let (step, spread) = ([0.0, 1e-3, 0.7, 30.0][case % 4], [1.0, 1e-9, 20.0][case % 3]);
            let mut sum = CentredSum::about(DoubleDouble::ZERO);
            let mut all = Vec::new();
            for i in 0..60 {
                let x = step * f64::from(i) - spread * uniform();
                sum.move_up_to(x);
                if i % 3 == 0 {
                    sum.move_to(x + uniform());
                }
                sum.add::<f64>(TermBlock { x: &[x], y: None, b: None });
                all.push(x);
            }
            let exact = exact(sum.center, words(&all));
            let part = part_of_bound(&sum, &exact);
            assert!(part <= 1.0, "case {case}: {part} of the bound");
            worst = worst.max(part);
            let most = power_of_two(-116) * exact.to_f64().value() * 80.0;
            assert!(sum.error() * UNSCALE <= most, "case {case}: {:e} is loose", sum.error() * UNSCALE);
        }
        println!("worst of the bound: {worst:.3}");
        assert!(worst > 1.0 / 200.0, "{worst}");
        // One term without an error, so that the factor's error is the only one; 100 % if the factor is below e^-1000.
        for i in 0..200 {
            let x = 40.0 * (uniform() - 0.5);
            let mut sum = CentredSum::about(DoubleDouble::from(x));
            sum.add::<f64>(TermBlock { x: &[x], y: None, b: None });
            sum.move_to(x + if i % 4 == 0 { 1000.0 + 300.0 * uniform() } else { 30.0 * (uniform() - 0.3) });
            let part = part_of_bound(&sum, &exact(sum.center, words(&[x])));
            assert!(part <= 1.0, "{x}, about {}: {part} of the bound", sum.center);
        }
    }

    /// Sums of terms near 1, whose logarithms are tiny: settled, and as arbitrary precision settles them.
    #[test]
    fn what_is_near_0_is_settled() {
        let mut uniform = uniform(15);
        for i in 0..200 {
            let tiny = -[30.0, 300.0, 700.0, 740.0][i % 4] - 4.0 * uniform();
            let b = [1.0, 0.75, 0.25, -1.0 / 3.0];
            let z = [tiny, 0.0, 0.0, tiny - uniform()];
            let pairs = Pairs { z: &z, b: Some(&b), mask: None, divisor: 1.0 };
            let exact = crate::ziv::arbitrary_precision::settle::<f64>(&pairs, DoubleDouble::ZERO);
            let sum = CentredSum::over::<f64>(&pairs, DoubleDouble::ZERO);
            let settled = sum.settled::<f64>(1.0, Zero::Positive, f64::INFINITY);
            assert_eq!(settled.map(|settled| settled.value).ok(), Some(exact.value), "{z:?}");
        }
        let is_0 = |z: &[f64]| {
            let sum = CentredSum::over::<f64>(&(&z as &dyn Series<f64>), DoubleDouble::ZERO);
            let settled = sum.settled::<f64>(1.0, Zero::Positive, f64::INFINITY);
            settled.is_ok_and(|settled| settled.value.to_bits() == 0)
        };
        assert!(is_0(&[0.0]) && is_0(&[f64::NEG_INFINITY, 0.0, -800.0]));
        assert!(!is_0(&[0.0, -744.0]) && !is_0(&[1e-300]) && !is_0(&[1.0]));
    }
}
