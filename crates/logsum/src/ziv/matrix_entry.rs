//! Ziv's phases for log Σ e^{x_k + y_k}, an entry of a matrix product; x_k + y_k is exact, though not a float.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two, two_sum};
use crate::arithmetic::exp::{self, UNSCALE};
use crate::arithmetic::fixed_point::exponent_of;
use crate::arithmetic::float64::Float64;
use crate::arithmetic::precision::{InDoubleDouble, Sum as _};
use crate::formats::Format;
use crate::formats::nearest::{Zero, nearest};
use crate::kernels::row_access::BLOCK;
use crate::kernels::term_source::{TermBlock, TermSource};
use crate::simd::{Keep, Vector, task};
use crate::state::signed::Log;
use crate::ziv::integer_sums::{integer, round};
use crate::ziv::{Found, Phase, Settled, arbitrary_precision, settle_terms};
use dashu_int::IBig;

/// The numbers x_k + y_k; both slices have the same length.
#[derive(Clone, Copy)]
pub(crate) struct Sums<'a, T> {
    pub(crate) x: &'a [T],
    pub(crate) y: &'a [T],
}

impl<T: Format> Sums<'_, T> {
    /// Each sum as a rounded part and its rounding error.
    fn all(&self) -> impl Iterator<Item = DoubleDouble> {
        self.x.iter().zip(self.y).map(|(x, y)| two_sum(x.widen(), y.widen()))
    }

    fn blocks(&self) -> impl Iterator<Item = Self> {
        self.x.chunks(BLOCK).zip(self.y.chunks(BLOCK)).map(|(x, y)| Self { x, y })
    }
}

impl<T: Format> TermSource<T> for Sums<'_, T> {
    fn blocks(&self, visit: &mut dyn FnMut(TermBlock<'_, T>)) {
        (*self).blocks().for_each(|Sums { x, y }| visit(TermBlock { x, y: Some(y), b: None }));
    }

    fn is_signed(&self) -> bool {
        false
    }

    fn zero(&self) -> Zero {
        Zero::Positive
    }
}

/// log Σ e^{x_k + y_k}, correctly rounded. A sum x_k + y_k beyond the greatest f64 is infinite.
pub(crate) fn settle<T: Format>(sums: Sums<'_, T>) -> T {
    /// Above this, the rounding error of x + y is not small.
    const LARGE: f64 = power_of_two(50);
    let [first, second] = two_greatest(sums);
    if !first.is_finite() {
        return T::narrow(first);
    }
    if first.abs() > LARGE {
        return settle_large(sums);
    }
    let low = if second < first { low_of_greatest(sums, second) } else { 0.0 };
    let greatest = DoubleDouble { hi: first, lo: low };
    settle_terms(
        &sums,
        about_greatest::<T, T::First>(sums, greatest, second),
        || about_greatest::<T, InDoubleDouble>(sums, greatest, second),
        f64::INFINITY,
    )
    .value
}

/// The value if the greatest sum is so large that its low part may be large, too.
#[cold]
fn settle_large<T: Format>(sums: Sums<'_, T>) -> T {
    let (greatest, at) = greatest(sums).expect("the greatest sum is finite");
    let others = sums.all().zip(0..).filter(|&(sum, k)| sum.hi.is_finite() && k != at);
    let second = others.map(|(sum, _)| (sum - greatest).hi).fold(f64::NEG_INFINITY, f64::max);
    if second < UNSEEN {
        let others = Others::of(second > f64::NEG_INFINITY);
        return rounded(greatest, [others; 2]).expect("both ends are the same");
    }
    arbitrary_precision::settle(&sums, greatest).value
}

/// Terms whose exponent is this far below the greatest are less than 2^-1298 of it, which matters only in a tie.
const UNSEEN: f64 = -900.0;

/// The value if this precision settles it, otherwise an estimate.
///
/// As in [`Partial`](crate::state::positive::Partial), the greatest sum m is kept apart, unless several are about
/// equal, and t = Σ e^{x + y − m} over the others. In double-double x + y − m has an error of 2^-104 |m|; in f64,
/// where only the first word of m is subtracted, of 2^-53 |m| and twice 2^-53 of a sum down to m − 1000. The rest
/// of the bound on t is that of this precision, per block and relative to its sum or to `bound`, and that of
/// adding the blocks.
fn about_greatest<T: Format, P: Keep>(sums: Sums<'_, T>, greatest: DoubleDouble, second: f64) -> Found<T> {
    let found = |value, log| Settled { value, sign: 1.0, log: Log::from(log), phase: Phase::of::<P>() };
    let m = greatest.hi;
    if second - m < UNSEEN {
        let others = Others::of(second > f64::NEG_INFINITY);
        let value = rounded(greatest, [others; 2]).expect("both ends are the same");
        return Ok(found(value, greatest));
    }
    // The rounding error of x + y is below 2^-2.
    let power = ((second - m) * std::f64::consts::LOG2_E).ceil() + 1.0;
    let bound = power_of_two(power.max(-700.0) as i32);
    let (mut sum, mut blocks) = (DoubleDouble::ZERO, 0.0);
    for block in sums.blocks() {
        sum = sum + rest::<T, P>(block, greatest, second, bound);
        blocks += 1.0;
    }
    let sum = sum.scaled(UNSCALE);
    let t = if second < m { sum } else { sum + (-1.0) };
    let of_differences = match P::IS_DOUBLE_DOUBLE {
        false => power_of_two(-51) * (m.abs() + 1000.0),
        true => power_of_two(-103) * m.abs(),
    };
    let relative = P::EXP_ERROR + of_differences + power_of_two(-103) * blocks;
    let from_sum = P::SUM_ERROR * (sum.hi + blocks * bound) + power_of_two(-1070);
    let (log, log_error) = log_of_rest::<P>(t);
    let error = ((relative * sum.hi + from_sum) / (1.0 + t.hi) + log_error) * 1.000_01;
    let value = greatest + log;
    if let Some(nearest) = nearest(value, error + power_of_two(-102) * (m.abs() + log.hi), Zero::Positive) {
        return Ok(found(nearest, value));
    }
    // If the greatest sum is near a half-way point between two floats, the test needs both of its words.
    let ends = [log.lo - error, log.lo + error].map(|lo| log.hi + lo);
    let [low, high] = [ends[0] * (1.0 - power_of_two(-52)), ends[1] * (1.0 + power_of_two(-52))];
    let nearest = rounded(greatest, [Others::Add(low), Others::Add(high)]);
    nearest.map(|nearest| found(nearest, value)).ok_or(Some(value))
}

/// The contribution of the other terms to the greatest sum.
#[derive(Clone, Copy)]
enum Others {
    Nothing,
    /// Positive, but too small to matter except in a tie.
    Trace,
    Add(f64),
}

impl Others {
    fn of(are_any: bool) -> Self {
        if are_any { Self::Trace } else { Self::Nothing }
    }
}

/// The float that the greatest sum plus the contribution of the others rounds to, if it is the same at both ends.
///
/// The greatest sum is a multiple of 2^e, and any half-way point between two floats either equals it or is at
/// least 2^(e - 4) away.
fn rounded<T: Format>(greatest: DoubleDouble, ends: [Others; 2]) -> Option<T> {
    let words = [greatest.hi, greatest.lo].into_iter().filter(|&word| word != 0.0);
    let finest = words.map(exponent_of).min().unwrap_or(exponent_of(0.0)) - 4;
    let [low, high] = ends.map(|end| {
        let (n, exponent) = match end {
            Others::Nothing => (IBig::ZERO, finest),
            Others::Add(x) if x > 0.0 && exponent_of(x) + 52 >= finest => (integer(x), exponent_of(x)),
            _ => (IBig::ONE, finest),
        };
        let least = exponent.min(finest);
        let units = |n: IBig, exponent: isize| n << (exponent - least) as usize;
        let word = |x: f64| if x == 0.0 { IBig::ZERO } else { units(integer(x), exponent_of(x)) };
        round::<T>(word(greatest.hi) + word(greatest.lo) + units(n, exponent), least).plus_zero()
    });
    low.same_bits(high).then_some(low)
}

/// The greatest finite sum, exactly, and its index.
fn greatest<T: Format>(sums: Sums<'_, T>) -> Option<(DoubleDouble, usize)> {
    let is_greater = |a: DoubleDouble, b: DoubleDouble| a.hi > b.hi || a.hi == b.hi && a.lo > b.lo;
    let finite = sums.all().zip(0..).filter(|(sum, _)| sum.hi.is_finite());
    finite.reduce(|a, b| if is_greater(b.0, a.0) { b } else { a })
}

/// Writes e^{x_i + y_i} / Σ e^{x_k + y_k} to `out`, with the special cases of [`softmax`](crate::softmax).
///
/// The relative error is below (number of terms / 8 + 16) · 2^-53; terms below e^-999 of the greatest give 0.
pub(crate) fn shares<T: Format>(sums: Sums<'_, T>, out: &mut [f64]) {
    match (two_greatest(sums)[0], greatest(sums)) {
        (c, Some((greatest, _))) if c.is_finite() => {
            let inverse = 1.0 / exponentials(sums, greatest, out);
            out.iter_mut().for_each(|out| *out *= inverse);
        }
        (f64::INFINITY, _) => {
            let count = sums.all().filter(|sum| sum.hi == f64::INFINITY).count();
            for (sum, out) in sums.all().zip(out) {
                *out = if sum.hi == f64::INFINITY { 1.0 / count as f64 } else { 0.0 };
            }
        }
        (c, _) => out.fill(if c.is_nan() { c } else { 0.0 }),
    }
}

task! {
    /// The greatest and the second greatest sum, rounded; the first is NaN if any sum is.
    fn two_greatest<T: Format>(sums: Sums<'_, T>; simd: V) -> [f64; 2] {
        let (mut first, mut nan) = (simd.splat(f64::NEG_INFINITY), simd.splat(0.0));
        let mut second = first;
        for (x, y) in sums.x.chunks(8).zip(sums.y.chunks(8)) {
            let z = T::load_up_to(x, simd) + T::load_up_to(y, simd);
            second = second.max(-(-z).max(-first));
            first = z.max(first);
            nan = nan + z.where_at_most(f64::INFINITY, simd.splat(0.0), z);
        }
        let [mut firsts, mut seconds, mut nans] = [[0.0; 8]; 3];
        first.store(&mut firsts);
        second.store(&mut seconds);
        nan.store(&mut nans);
        let [mut first, mut second] = [f64::NEG_INFINITY; 2];
        for z in firsts.into_iter().chain(seconds) {
            second = Float64::max(second, if z < first { z } else { first });
            first = Float64::max(z, first);
        }
        for nan in nans {
            first += nan;
        }
        [first, second]
    }
}

/// The sum of the eight numbers of a vector, in their order.
#[inline(always)]
fn sum_of_lanes<V: Vector>(x: V) -> f64 {
    let (mut eight, mut sum) = ([0.0; 8], 0.0);
    x.store(&mut eight);
    for x in eight {
        sum += x;
    }
    sum
}

task! {
    /// The low part of the greatest sum, which is the only one above `second`.
    fn low_of_greatest<T: Format>(sums: Sums<'_, T>, second: f64; simd: V) -> f64 {
        let Sums { x, y } = sums;
        let (mut low, zero) = (simd.splat(0.0), simd.splat(0.0));
        for (x, y) in x.chunks(8).zip(y.chunks(8)) {
            let sum = two_sum(T::load_up_to(x, simd), T::load_up_to(y, simd));
            low = low + sum.hi.where_at_most(second, zero, sum.lo);
        }
        sum_of_lanes(low)
    }
}

/// max(x − c, −1000), normalised.
///
/// The error is below 2^-104 |c| + 3u² |x − c|: |x.lo| and |c.lo| are at most u (|c| + |x − c|) and u |c|, and their
/// difference and its sum with the low part of x.hi − c.hi are rounded once each.
#[inline(always)]
fn difference<F: Float64>(x: DoubleDouble<F>, c: DoubleDouble<F>) -> DoubleDouble<F> {
    let d = two_sum(x.hi, -c.hi);
    // Below −1000 the low part has no meaning.
    let low = d.hi.where_at_most(exp::LEAST, c.hi.splat(0.0), d.lo + (x.lo - c.lo));
    two_sum(c.hi.splat(exp::LEAST).max(d.hi), low)
}

task! {
    /// Σ e^{x + y − greatest} over the sums of a block that are at most `second`, in units of UNSCALE.
    fn rest<T: Format, P: Keep>(sums: Sums<'_, T>, greatest: DoubleDouble, second: f64, bound: f64; simd: V) -> DoubleDouble {
        let Sums { x, y } = sums;
        let (greatest, least) = (greatest.splat(simd), simd.splat(f64::NEG_INFINITY));
        let mut total = <P::Sum<V>>::empty(simd.splat(bound));
        for (x, y) in x.chunks(8).zip(y.chunks(8)) {
            let sum = two_sum(T::load_up_to(x, simd), T::load_up_to(y, simd));
            let hi = sum.hi.where_at_most(second, sum.hi, least);
            let d = match P::IS_DOUBLE_DOUBLE {
                false => DoubleDouble { hi: hi - greatest.hi, lo: sum.lo },
                true => difference(DoubleDouble { hi, ..sum }, greatest),
            };
            total = total + P::exp_of_dd(d);
        }
        <P::Sum<f64>>::total(P::lanes(total), bound)
    }
}

task! {
    /// log(1 + t) and a bound on its error.
    fn log_of_rest<P: Keep>(t: DoubleDouble; _: V) -> (DoubleDouble, f64) {
        P::log1p(t)
    }
}

task! {
    /// Writes e^{x + y − greatest} for each pair, and returns their sum.
    fn exponentials<T: Format>(sums: Sums<'_, T>, greatest: DoubleDouble, out: &mut [f64]; simd: V) -> f64 {
        let Sums { x, y } = sums;
        let (greatest, mut sum) = (greatest.splat(simd), simd.splat(0.0));
        for ((x, y), out) in x.chunks(8).zip(y.chunks(8)).zip(out.chunks_mut(8)) {
            let d = difference(two_sum(T::load_up_to(x, simd), T::load_up_to(y, simd)), greatest);
            let e = exp::exp_dd_of_dd(d).hi * simd.splat(UNSCALE);
            let e = d.hi.where_at_most(-999.0, simd.splat(0.0), e);
            sum = sum + e;
            let mut eight = [0.0; 8];
            e.store(&mut eight);
            out.copy_from_slice(&eight[..out.len()]);
        }
        sum_of_lanes(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arithmetic::precision::InF64;
    use crate::reference::uniform;
    use crate::ziv::centred_sum::CentredSum;
    use crate::ziv::fixed_point;
    use crate::ziv::integer_sums::Sum;

    /// Every phase that settles a value agrees with 1024 bits.
    #[test]
    fn phases_agree() {
        let mut uniform = uniform(7);
        let mut settled = [0; 4];
        let mut count = 0;
        for i in 0..1500 {
            let spread = [1.0, 30.0, 1e-6, 300.0, 1e5][i % 5];
            let mut row = || -> Vec<f64> { (0..2 + i % 11).map(|_| spread * (uniform() - 0.5)).collect() };
            let (x, mut y) = (row(), row());
            if i % 3 == 0 {
                // The value is a rounding error near 0.
                let value = settle(Sums { x: &x, y: &y });
                y.iter_mut().for_each(|y| *y -= value);
            }
            let sums = Sums { x: &x, y: &y };
            let [first, second] = two_greatest(sums);
            let (max, _) = greatest::<f64>(sums).expect("all are finite");
            assert_eq!(max.hi, first);
            let value = |settled: Settled<f64>| settled.value;
            let of_sum = |sum: Sum, center| sum.settled(center, Zero::Positive, Phase::Arbitrary).map(value);
            // None if the value is the greatest sum itself, and that is half-way between floats or 0.
            let Some(exact) = of_sum(arbitrary_precision::sum(&sums, max, 1024), max) else { continue };
            let two = about_greatest::<f64, InDoubleDouble>(sums, max, second);
            // The rounded value is accurate to 2^-50, hence a centre, only where it is small.
            let is_center = two.is_err() || exact.abs() < 1.0;
            let center = two.as_ref().err().copied().flatten().unwrap_or(DoubleDouble::from(exact));
            let about = CentredSum::over(&sums, center).settled(1.0, Zero::Positive, f64::INFINITY).ok();
            let phases = [
                about_greatest::<f64, InF64>(sums, max, second).ok().map(value),
                two.ok().map(value),
                about.map(value).filter(|_| is_center),
                fixed_point::sum(&sums, center).and_then(|sum| of_sum(sum, center)),
            ];
            count += 1;
            for (phase, value) in phases.into_iter().enumerate() {
                settled[phase] += usize::from(value.is_some());
                assert!(
                    value.is_none_or(|value| value == exact),
                    "{x:?} {y:?}, phase {phase}: {value:?}, not {exact}"
                );
            }
        }
        assert!(count > 1300, "{count}");
        println!("of {count} settled in doubles, double-doubles, about the centre, fixed point: {settled:?}");
        assert!(settled[0] > 100 && settled[1] > 800 && settled[2] > 30 && settled[3] > 1300, "{settled:?}");
    }
}
