//! The rungs for the log-sum-exp of sums: log Σ e^{x_k + y_k}, where x_k + y_k is exact, though no float.
//!
//! The rungs are those of plain numbers. The last ends as it does there: the sums are rational.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two, two_sum};
use crate::arithmetic::exp::{self, UNSCALE};
use crate::arithmetic::float64::Float64;
use crate::arithmetic::precision::{InDoubleDouble, Precision, Sum as _};
use crate::formats::Format;
use crate::kernels::series::BLOCK;
use crate::simd::{Keep, Task, Vector, run, task};
use crate::ziv::{Sum, arbitrary, centred, exponent_of, fixed, integer, round};
use dashu_float::FBig;
use dashu_float::round::mode;
use dashu_int::IBig;

/// The numbers x_k + y_k: as many x as y.
#[derive(Clone, Copy)]
pub(crate) struct Sums<'a, T> {
    pub(crate) x: &'a [T],
    pub(crate) y: &'a [T],
}

impl<T: Format> Sums<'_, T> {
    /// Each rounded, and what the rounding took away.
    fn all(&self) -> impl Iterator<Item = DoubleDouble> {
        self.x.iter().zip(self.y).map(|(x, y)| two_sum(x.widen(), y.widen()))
    }

    fn blocks(&self) -> impl Iterator<Item = Self> {
        self.x.chunks(BLOCK).zip(self.y.chunks(BLOCK)).map(|(x, y)| Self { x, y })
    }
}

/// log Σ e^{x_k + y_k}, correctly rounded. A sum of two f64 beyond the greatest is infinite.
pub(crate) fn settle<T: Format>(sums: Sums<'_, T>) -> T {
    /// Beyond it, what a sum was rounded by is not small.
    const LARGE: f64 = power_of_two(50);
    let [first, second] = run(Greatest(sums));
    if !first.is_finite() {
        return T::narrow(first);
    }
    if first.abs() > LARGE {
        return exact(sums);
    }
    let low = if second < first { low_of_greatest(sums, second) } else { 0.0 };
    let greatest = DoubleDouble { hi: first, lo: low };
    let unsettled = match in_words::<T, T::First>(sums, greatest, second) {
        Ok(value) => return value,
        Err(center) => center,
    };
    let center = match T::First::IS_DOUBLE_DOUBLE {
        true => unsettled,
        false => match in_words::<T, InDoubleDouble>(sums, greatest, second) {
            Ok(value) => return value,
            Err(center) => center,
        },
    };
    about(sums, center)
        .or_else(|| fixed::sum_of(sums.all(), center).nearest(center))
        .unwrap_or_else(|| exact(sums))
}

/// Others so far below the greatest sum are less than 2^-1298 of it, where nothing can see them but a tie.
const UNSEEN: f64 = -900.0;

/// The value if this precision settles it, else an estimate.
///
/// As in [`Partial`](crate::partial::Partial), the greatest stands apart, unless there are several about equal: it is m, and
/// t = Σ e^{x + y − m} over the others. In two words x + y − m has an error of 2^-104 |m|; in one, where only the first of m's
/// words is taken away, of 2^-53 |m| and twice 2^-53 of a sum down to m − 1000. The rest of the bound on t is that of this
/// precision, for each block relative to its sum or to `bound`, and that of the blocks' sum.
fn in_words<T: Format, P: Keep>(
    sums: Sums<'_, T>,
    greatest: DoubleDouble,
    second: f64,
) -> Result<T, DoubleDouble> {
    let m = greatest.hi;
    if second - m < UNSEEN {
        let others = Others::of(second > f64::NEG_INFINITY);
        return rounded(greatest, [others; 2]).ok_or(greatest);
    }
    // What x + y was rounded by is below 2^-2.
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
    let [low, high] = T::ends(value, error + power_of_two(-102) * (m.abs() + log.hi)).map(T::narrow);
    if low.same_bits(high) {
        return Ok(low);
    }
    // Where the greatest is near to a point half-way between two floats, it takes all of its words.
    let ends = [log.lo - error, log.lo + error].map(|lo| log.hi + lo);
    let [low, high] = [ends[0] * (1.0 - power_of_two(-52)), ends[1] * (1.0 + power_of_two(-52))];
    rounded(greatest, [Others::Add(low), Others::Add(high)]).ok_or(value)
}

/// What others add to the greatest sum.
#[derive(Clone, Copy)]
enum Others {
    Nothing,
    /// More than nothing, less than can be seen.
    Trace,
    Add(f64),
}

impl Others {
    fn of(are_any: bool) -> Self {
        if are_any { Self::Trace } else { Self::Nothing }
    }
}

/// The float that the greatest and what others add round to, if both ends do.
///
/// The greatest is a multiple of 2^e, and no point half-way between two floats is within 2^(e - 4) of it, unless it is
/// one.
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

/// The rung about the centre.
fn about<T: Format>(sums: Sums<'_, T>, center: DoubleDouble) -> Option<T> {
    let (mut sum, mut blocks) = (DoubleDouble::ZERO, 0.0);
    for block in sums.blocks() {
        sum = sum + about_two(block, center);
        blocks += 1.0;
    }
    // x + y − centre has one more rounding than in `centred::value`.
    let error = exp::WIDE_ERROR
        + power_of_two(-96)
        + power_of_two(-104) * blocks
        + power_of_two(-103) * center.hi.abs();
    centred::nearest(sum, center, error)
}

/// The greatest finite sum, exactly, and where it is.
fn greatest<T: Format>(sums: Sums<'_, T>) -> Option<(DoubleDouble, usize)> {
    let is_greater = |a: DoubleDouble, b: DoubleDouble| a.hi > b.hi || a.hi == b.hi && a.lo > b.lo;
    let finite = sums.all().zip(0..).filter(|(sum, _)| sum.hi.is_finite());
    finite.reduce(|a, b| if is_greater(b.0, a.0) { b } else { a })
}

/// The last rung: as many bits as it takes.
#[cold]
fn exact<T: Format>(sums: Sums<'_, T>) -> T {
    let Some((greatest, at)) = greatest(sums) else { return T::NEG_INFINITY };
    let others = sums.all().zip(0..).filter(|&(sum, k)| sum.hi.is_finite() && k != at);
    let second = others.map(|(sum, _)| (sum - greatest).hi).fold(f64::NEG_INFINITY, f64::max);
    let value = if second < UNSEEN {
        rounded(greatest, [Others::of(second > f64::NEG_INFINITY); 2])
    } else {
        (9..).find_map(|log2| about_exactly(sums, greatest, 1 << log2))
    };
    value.unwrap_or_default()
}

/// Settles the value, if so many bits do: greatest + log Σ e^{x + y − greatest}.
///
/// Each exponential is off by less than 4 units, as in [`arbitrary::sum`]. dashu's logarithm is trusted to 2^16 units.
fn about_exactly<T: Format>(sums: Sums<'_, T>, greatest: DoubleDouble, bits: usize) -> Option<T> {
    let Sum { delta, error, .. } = arbitrary::sum_of(sums.all(), greatest, bits);
    let sum = delta + (IBig::ONE << bits);
    let log = |sum: IBig| {
        let sum = FBig::<mode::HalfEven, 2>::from_parts(sum, -(bits as isize));
        let (significand, exponent) = sum.with_precision(bits + 64).value().ln().into_repr().into_parts();
        match exponent + bits as isize {
            shift @ 0.. => significand << shift as usize,
            shift => significand >> shift.unsigned_abs(),
        }
    };
    let slack = IBig::ONE << 16;
    let exponent = [exponent_of(greatest.hi), exponent_of(greatest.lo), -(bits as isize)];
    let exponent = exponent.into_iter().min().unwrap_or(0);
    let units = |x: f64| integer(x) << (exponent_of(x) - exponent) as usize;
    let greatest = units(greatest.hi) + units(greatest.lo);
    let rounded = |log: IBig| {
        round::<T>(&greatest + (log << (-(bits as isize) - exponent) as usize), exponent).plus_zero()
    };
    let (low, high) = (rounded(log(&sum - &error) - &slack), rounded(log(sum + error) + slack));
    low.same_bits(high).then_some(low)
}

/// e^{x_i + y_i} / Σ e^{x_k + y_k} into `out`, by the conventions of [`softmax`](crate::softmax) at the edges.
///
/// The relative error is below (number of terms / 8 + 16) · 2^-53; what is below e^-999 of the greatest is 0.
pub(crate) fn shares<T: Format>(sums: Sums<'_, T>, out: &mut [f64]) {
    match (run(Greatest(sums))[0], greatest(sums)) {
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

/// A sum less c, from −1000 on, normalised. c is near the greatest sum.
#[inline(always)]
fn difference<V: Vector>(sum: DoubleDouble<V>, c: DoubleDouble<V>) -> DoubleDouble<V> {
    const LEAST: f64 = -1000.0;
    let d = two_sum(sum.hi, -c.hi);
    // What counts as −1000 has no low word: it might be anything.
    let low = d.hi.where_at_most(LEAST, c.hi.splat(0.0), d.lo + (sum.lo - c.lo));
    two_sum(c.hi.splat(LEAST).max(d.hi), low)
}

struct Greatest<'a, T>(Sums<'a, T>);

impl<T: Format> Task for Greatest<'_, T> {
    type Output = [f64; 2];

    /// The greatest and the second greatest sum, rounded; the first NaN if there is one.
    #[inline(always)]
    fn run<V: Vector>(self, simd: V) -> [f64; 2] {
        let (mut first, mut nan) = (simd.splat(f64::NEG_INFINITY), simd.splat(0.0));
        let mut second = first;
        for (x, y) in self.0.x.chunks(8).zip(self.0.y.chunks(8)) {
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

task! {
    /// The low words of the sums above the second greatest: there is one.
    fn low_of_greatest<T: Format>(sums: Sums<'_, T>, second: f64; simd: V) -> f64 {
        let Sums { x, y } = sums;
        let (mut low, zero) = (simd.splat(0.0), simd.splat(0.0));
        for (x, y) in x.chunks(8).zip(y.chunks(8)) {
            let sum = two_sum(T::load_up_to(x, simd), T::load_up_to(y, simd));
            low = low + sum.hi.where_at_most(second, zero, sum.lo);
        }
        let mut eight = [0.0; 8];
        low.store(&mut eight);
        let mut low = 0.0;
        for x in eight {
            low += x;
        }
        low
    }
}

task! {
    /// Σ e^{x + y − greatest} over the sums of a block that are not above the second greatest, in units of UNSCALE.
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
    /// Σ e^{x + y − center} over a block, in units of UNSCALE, to nearly the full precision of double words.
    fn about_two<T: Format>(sums: Sums<'_, T>, center: DoubleDouble; simd: V) -> DoubleDouble {
        let Sums { x, y } = sums;
        let (center, zero) = (center.splat(simd), simd.splat(0.0));
        let mut sum = DoubleDouble::ZERO.splat(simd);
        for (x, y) in x.chunks(8).zip(y.chunks(8)) {
            let d = difference(two_sum(T::load_up_to(x, simd), T::load_up_to(y, simd)), center);
            sum = sum + exp::exp_dd_wide(d.hi, DoubleDouble { hi: zero, lo: -d.lo });
        }
        let (mut his, mut los) = ([0.0; 8], [0.0; 8]);
        sum.hi.store(&mut his);
        sum.lo.store(&mut los);
        let mut all = DoubleDouble::ZERO;
        for i in 0..8 {
            all = all + DoubleDouble { hi: his[i], lo: los[i] };
        }
        all
    }
}

task! {
    /// e^{x + y − greatest} for each, and their sum.
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
        let mut eight = [0.0; 8];
        sum.store(&mut eight);
        let mut sum = 0.0;
        for e in eight {
            sum += e;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arithmetic::precision::InF64;
    use crate::reference::uniform;

    /// Every rung that settles a value settles it as 1024 bits do.
    #[test]
    fn rungs_agree() {
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
            let [first, second] = run(Greatest(sums));
            let (max, _) = greatest::<f64>(sums).expect("all are finite");
            assert_eq!(max.hi, first);
            // None where the greatest is the value, and half-way or 0.
            let Some(exact) = about_exactly::<f64>(sums, max, 1024) else { continue };
            let two = in_words::<f64, InDoubleDouble>(sums, max, second);
            // A value alone is a centre to 2^-50 where it is small.
            let is_center = two.is_err() || exact.abs() < 1.0;
            let center = two.err().unwrap_or(DoubleDouble::from(exact));
            let rungs = [
                in_words::<f64, InF64>(sums, max, second).ok(),
                two.ok(),
                about(sums, center).filter(|_| is_center),
                fixed::sum_of(sums.all(), center).nearest(center),
            ];
            count += 1;
            for (rung, value) in rungs.into_iter().enumerate() {
                settled[rung] += usize::from(value.is_some());
                assert!(
                    value.is_none_or(|value| value == exact),
                    "{x:?} {y:?}, rung {rung}: {value:?}, not {exact}"
                );
            }
        }
        assert!(count > 1300, "{count}");
        println!("of {count} settled by words, double words, about the centre, fixed point: {settled:?}");
        assert!(settled[0] > 100 && settled[1] > 800 && settled[2] > 50 && settled[3] > 1300, "{settled:?}");
    }
}
