//! The Kullback–Leibler divergence of two softmaxes, and its derivatives.
//!
//! With p = softmax(x), q = softmax(y) and d = log p − log q the divergence Σ p d equals Σ p (e^−d − 1 + d), since
//! Σ q = Σ p. These terms are not negative, so that their sum does not cancel. Where |d| ≤ 1/4, a term is p times a
//! series; elsewhere it is q − p + p d.
//!
//! **Rough logarithms.** d is the exact difference x − y plus a number that all elements have in common, the logarithm
//! of Σ e^y / Σ e^x. This is first computed as the difference of two logarithms. The error ε of that, at most 2^-60 in
//! double-double and 2^-35 in f64, changes a divergence v by less than ε² + 35 ε v: to first order Σ p (e^−d − 1 + d)
//! changes by ε (Σ p − Σ q) = 0. The terms q − p + p d change by ε q more than their share of this, but they are at
//! least 0.028 max(p, q). So a rough logarithm is good enough for the value unless v is below 2^60 ε² in double-double,
//! or 2^30 ε² in f64.
//!
//! **Refined logarithms.** With a fixed place c and δ = (x − y) − (x_c − y_c), d is δ + d_c, where d_c = −log Σ q e^δ =
//! −log(1 + Σ q (e^δ − 1)), as Σ p = Σ q. That sum is as small as the δ, so that d_c is accurate relative to them. Let
//! E be the relative error of shares, below 2^-61 in double-double and 2^-36 in f64, and D the greatest |d|, so that
//! |δ| ≤ 2 D. We require r = 1 + Σ q (e^δ − 1) > 1/2, which is q_c/p_c. A term with |δ| > 1/4 is computed as p r − q,
//! off by (E + ε) p r + E q; all of these together change d_c by at most 3 E + ε, and there are none if D < 1/8. The
//! others are together at most 2.6 D and off by 2 E of that. Together with the roundings, d_c is off by less than 2^-55
//! D in double-double and 2^-30 D in f64. Where r ≤ 1/2, or |d_c| > 32, D > 0.69, and the rough logarithm is as good.
//!
//! c is the place where the smaller of p and q is greatest.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two, two_sum};
use crate::arithmetic::exp::{INVERSE_FACTORIALS, UNSCALE, polynomial_by_halves};
use crate::arithmetic::ln::{ln_dd, log1p_dd_near_0};
use crate::arithmetic::precision::{Number, Precision};
use crate::error::Error;
use crate::formats::Format;
use crate::kernels::block::Store;
use crate::kernels::row_functions::{self, Block, Function, Shifted, Softmax, Uses};
use crate::kernels::{Constants, Each};
use crate::operations::per_format::{Float, compiled};
use crate::operations::row_reduction::{has_length, rows_of, same_length};
use crate::simd::{Vector, task};
use crate::state::positive::Partial;
use crate::threads::{in_parts, worth};

/// Σ p_k log(p_k/q_k), the Kullback–Leibler divergence of p = softmax(x) from q = softmax(y), in nats.
///
/// The result is never negative, and within 1 ulp also where p and q are close to each other. A p_k or q_k below
/// 2^-960 is rounded to a multiple of 2^-1074: in f64 each of them adds 2^-1074 (1 + |log(p_k/q_k)|) to the error.
/// Where numbers of a row differ by more than the largest f64, their difference counts as that float; a divergence
/// beyond the range of the result's format is +∞.
///
/// | x, y | divergence |
/// |---|---|
/// | −∞ at the same place in both | nothing is added there |
/// | −∞ in x alone | a p of 0, which adds nothing to Σ p log(p/q) |
/// | −∞ in y alone, where p is not 0 | +∞ |
/// | empty, or x all −∞ | 0 |
/// | +∞ in c places of a row | 1/c of the mass in each, nothing elsewhere |
/// | a NaN | NaN |
///
/// See also [`softmax_kl_with_gradient`], [`softmax_kl_rows`], [`softmax_entropy`](crate::softmax_entropy), and
/// [`cross_entropy`](crate::cross_entropy) with [`Targets::Probabilities`](crate::Targets).
///
/// ```
/// use logsum::softmax_kl;
/// assert_eq!(softmax_kl(&[0.0, 1.0], &[5.0, 6.0])?, 0.0);
/// // log p − log q in f64 has no correct digit here: 1.1e-16
/// assert_eq!(softmax_kl(&[0.0, 1e-9], &[0.0, 0.0])?, 1.25e-19);
/// assert_eq!(softmax_kl(&[0.0, 0.0], &[0.0, f64::NEG_INFINITY])?, f64::INFINITY);
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// [`Error::LengthMismatch`] if `y` is not as long as `x`.
#[doc(alias("kl_div", "relative_entropy"))]
pub fn softmax_kl<T: Float>(x: &[T], y: &[T]) -> Result<T, Error> {
    same_length("y", y, "x", x)?;
    Ok(<T as Compiled<T>>::divergence(x, y, [None, None]))
}

/// Returns the value of [`softmax_kl`], and writes its derivatives p_i (log(p_i/q_i) − value) with respect to x into
/// `by_x`, and q_i − p_i with respect to y into `by_y`.
///
/// The error of each is at most 1 ulp plus 2^-55 (in f32, f16 and bf16 2^-30) of max(p_i, q_i) · D, where D is the
/// greatest finite |log(p_k/q_k)|: they are accurate also where p and q are close to each other. In f64 the error of
/// one with respect to x may be greater by 2^-1074 |log(p_i/q_i) − value| if p_i is below 2^-960. All derivatives are 0
/// if the divergence is +∞ because q is 0 where p is not, or if x has no mass (all −∞); NaN if there is a NaN.
///
/// ```
/// let (mut by_x, mut by_y) = ([9.0; 2], [9.0; 2]);
/// let value = logsum::softmax_kl_with_gradient(&[0.0, 0.0], &[0.0, 1e-9], &mut by_x, &mut by_y)?;
/// assert_eq!((value, by_x, by_y), (1.25e-19, [2.5e-10, -2.5e-10], [-2.5e-10, 2.5e-10]));
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// [`Error::LengthMismatch`] if `y`, `by_x` or `by_y` is not as long as `x`; nothing is written then.
pub fn softmax_kl_with_gradient<T: Float>(
    x: &[T],
    y: &[T],
    by_x: &mut [T],
    by_y: &mut [T],
) -> Result<T, Error> {
    same_length("y", y, "x", x)?;
    same_length("by_x", by_x, "x", x)?;
    same_length("by_y", by_y, "x", x)?;
    Ok(<T as Compiled<T>>::divergence(x, y, [Some(by_x), Some(by_y)]))
}

/// Writes [`softmax_kl`] of each row of two row-major matrices into `out`.
///
/// Each value has the bits of [`softmax_kl`] for the row alone. With the feature `rayon` the rows are distributed over
/// threads.
///
/// ```
/// let mut out = [9.0; 2];
/// let (x, y) = ([0.0, 1.0, /* row 1 */ 0.0, 1e-9], [5.0, 6.0, /* row 1 */ 0.0, 0.0]);
/// logsum::softmax_kl_rows(&x, &y, 2, &mut out)?;
/// assert_eq!(out, [0.0, 1.25e-19]);
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// [`Error::RowLengthZero`] if `row_length` is 0; [`Error::NotAMultiple`] if the length of `x` is not a multiple of it;
/// [`Error::LengthMismatch`] if `y` is not as long as `x`, or `out` does not have one element per row. Nothing is
/// written then.
pub fn softmax_kl_rows<T: Float>(x: &[T], y: &[T], row_length: usize, out: &mut [T]) -> Result<(), Error> {
    has_length("out", out.len(), "x", rows_of(x, row_length)?)?;
    same_length("y", y, "x", x)?;
    <T as Compiled<T>>::divergences(x, y, row_length, out, [None, None]);
    Ok(())
}

/// Writes the values of [`softmax_kl_rows`] into `values`, and the derivatives of each with respect to its two rows
/// into `by_x` and `by_y`, which have the shape of `x`. Either of these may be `None`, and is not computed then.
///
/// ```
/// let (mut values, mut by_y) = ([9.0; 1], [9.0; 2]);
/// logsum::softmax_kl_rows_with_gradient(&[0.0, 0.0], &[0.0, 1e-9], 2, &mut values, None, Some(&mut by_y))?;
/// assert_eq!((values, by_y), ([1.25e-19], [-2.5e-10, 2.5e-10]));
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// As [`softmax_kl_rows`], and [`Error::LengthMismatch`] if `by_x` or `by_y` is not as long as `x`.
pub fn softmax_kl_rows_with_gradient<T: Float>(
    x: &[T],
    y: &[T],
    row_length: usize,
    values: &mut [T],
    by_x: Option<&mut [T]>,
    by_y: Option<&mut [T]>,
) -> Result<(), Error> {
    has_length("values", values.len(), "x", rows_of(x, row_length)?)?;
    same_length("y", y, "x", x)?;
    by_x.as_deref().map_or(Ok(()), |by_x| same_length("by_x", by_x, "x", x))?;
    by_y.as_deref().map_or(Ok(()), |by_y| same_length("by_y", by_y, "x", x))?;
    <T as Compiled<T>>::divergences(x, y, row_length, values, [by_x, by_y]);
    Ok(())
}

compiled! {
    fn divergence(x: &[T], y: &[T], slopes: [Option<&mut [T]>; 2]) -> T {
        divergence(x, y, slopes)
    }

    fn divergences(x: &[T], y: &[T], length: usize, values: &mut [T], slopes: [Option<&mut [T]>; 2]) {
        let slopes = slopes.map(|slopes| slopes.map(|slopes| (slopes, length)));
        let (count, out) = (values.len(), (Some(values), Some(slopes)));
        in_parts(0..count, out, worth(count, 8 * length), 1, &mut (), &|rows, (values, slopes), ()| {
            let [mut by_x, mut by_y] = slopes.unwrap_or([None, None]);
            for (i, (row, value)) in rows.zip(values.into_iter().flatten()).enumerate() {
                let [x, y] = [x, y].map(|numbers| &numbers[row * length..][..length]);
                let slopes = [&mut by_x, &mut by_y]
                    .map(|slopes| slopes.as_mut().map(|(slopes, _)| &mut slopes[i * length..][..length]));
                *value = divergence(x, y, slopes);
            }
        });
    }
}

/// Rows whose greatest number has a larger magnitude are shifted first: differences of smaller numbers do not overflow.
const GREATEST: f64 = power_of_two(960);

/// The least divergences for which a rough logarithm is good enough, for f64 and for narrower formats.
const LEAST_ROUGH_OF_F64: f64 = power_of_two(-60);
const LEAST_ROUGH: f64 = power_of_two(-40);

/// The least divergence for whose derivatives a rough logarithm is good enough: D is at least 0.17 then.
const LEAST_WITH_ROUGH_SLOPES: f64 = power_of_two(-6);

/// Where log p_c and log q_c differ by more than this, the rough logarithm is not refined.
const NEAR: f64 = 32.0;

fn divergence<T: Format>(x: &[T], y: &[T], slopes: [Option<&mut [T]>; 2]) -> T {
    let rows = [x, y];
    let partials = rows.map(|row| Partial::<T::First>::over(&row));
    let maxima = partials.map(|partial| partial.max);
    if let Some(nan) = maxima.into_iter().find(|max| max.is_nan()) {
        return everywhere(nan, nan, slopes);
    }
    if maxima[0] == f64::NEG_INFINITY {
        return everywhere(0.0, 0.0, slopes);
    }
    if maxima[1] == f64::NEG_INFINITY {
        return everywhere(f64::INFINITY, 0.0, slopes);
    }
    if maxima.into_iter().any(|max| max.abs() > GREATEST) {
        let [x, y] = [0, 1].map(|i| shifted(rows[i], maxima[i]));
        return divergence(&x, &y, slopes);
    }
    if misses(x, y) {
        return everywhere(f64::INFINITY, 0.0, slopes);
    }
    let logs = partials.map(|partial| partial.constants(Each::LogShare));
    let [p, q] = partials.map(|partial| {
        let Constants { c, two, .. } = partial.constants(Each::Share);
        Softmax { exponent: Shifted(c), inverse: two }
    });
    let row = Block { z: x, v: Some(y), w: None };
    let rough = Pair { p, q, shift: two_sum(logs[0].c, -logs[1].c), offset: logs[1].two - logs[0].two };
    let logsumexps = logs.map(|Constants { c, two, .. }| c + two.hi);
    let (pair, value) = rough.with_value::<T>(row, logsumexps, slopes.iter().any(Option::is_some));
    let [by_x, by_y] = slopes;
    let to = Store::for_output::<T>(x.len());
    if let Some(out) = by_x {
        row_functions::each::<T::First, T, _>(row, ByX { pair, value }, out, to);
    }
    if let Some(out) = by_y {
        row_functions::each::<T::First, T, _>(row, ByY(pair), out, to);
    }
    T::narrow(value.hi)
}

/// A special case: the value, and the same derivative everywhere.
fn everywhere<T: Format>(value: f64, slope: f64, slopes: [Option<&mut [T]>; 2]) -> T {
    slopes.into_iter().flatten().for_each(|out| out.fill(T::narrow(slope)));
    T::narrow(value)
}

/// A row with the same softmax whose maximum is 0, if the maximum is infinite or of a magnitude above [`GREATEST`].
/// The differences of numbers whose softmax does not underflow are exact then: floats of this magnitude lie so far
/// apart that all such numbers are equal.
#[cold]
fn shifted<T: Format>(row: &[T], max: f64) -> Vec<T> {
    let shifted = |z: f64| match max {
        f64::INFINITY if z == max => 0.0,
        f64::INFINITY => f64::NEG_INFINITY,
        _ if z == f64::NEG_INFINITY || max.abs() <= GREATEST => z,
        _ => (z - max).max(f64::MIN),
    };
    row.iter().map(|z| T::narrow(shifted(z.widen()))).collect()
}

/// Whether an element has mass in x and none in y, where both have a finite maximum.
fn misses<T: Format>(x: &[T], y: &[T]) -> bool {
    lanes_of_missed(x, y).into_iter().any(|missed| missed > f64::NEG_INFINITY)
}

task! {
    /// For each of eight lanes the greatest x where y is −∞.
    fn lanes_of_missed<T: Format>(x: &[T], y: &[T]; simd: V) -> [f64; 8] {
        let nothing = simd.splat(f64::NEG_INFINITY);
        let (mut missed, mut lanes) = (nothing, [0.0; 8]);
        for (x, y) in x.chunks(8).zip(y.chunks(8)) {
            let (x, y) = (T::load_up_to(x, simd), T::load_up_to(y, simd));
            missed = y.where_at_most(f64::NEG_INFINITY, x, nothing).max(missed);
        }
        missed.store(&mut lanes);
        lanes
    }
}

/// x and y where the smaller of p and q is greatest, given approximations of the logarithms of Σ e^x and Σ e^y.
fn at_common_place<T: Format>(x: &[T], y: &[T], logsumexps: [f64; 2]) -> [f64; 2] {
    let [smaller, at_x, at_y] = lanes_of_common(x, y, logsumexps);
    let lane = (1..8).fold(0, |best, lane| if smaller[lane] > smaller[best] { lane } else { best });
    [at_x[lane], at_y[lane]]
}

task! {
    /// For each of eight lanes the greatest min(log p, log q), and x and y there.
    fn lanes_of_common<T: Format>(x: &[T], y: &[T], logsumexps: [f64; 2]; simd: V) -> [[f64; 8]; 3] {
        let [log_x, log_y] = [simd.splat(logsumexps[0]), simd.splat(logsumexps[1])];
        let [mut smaller, mut at_x, mut at_y] = [simd.splat(f64::NEG_INFINITY); 3];
        for (x, y) in x.chunks(8).zip(y.chunks(8)) {
            let (x, y) = (T::load_up_to(x, simd), T::load_up_to(y, simd));
            let here = -(log_x - x).max(log_y - y);
            // Not where both are −∞, whose difference is NaN.
            let is_greater = smaller - here;
            at_x = is_greater.where_at_most(0.0, x, at_x);
            at_y = is_greater.where_at_most(0.0, y, at_y);
            smaller = is_greater.where_at_most(0.0, here, smaller);
        }
        let mut lanes = [[0.0; 8]; 3];
        smaller.store(&mut lanes[0]);
        at_x.store(&mut lanes[1]);
        at_y.store(&mut lanes[2]);
        lanes
    }
}

/// Two softmaxes p and q of numbers x and y, with log p − log q = (x − y − shift) + offset.
#[derive(Clone, Copy)]
struct Pair {
    p: Softmax<Shifted>,
    q: Softmax<Shifted>,
    shift: DoubleDouble,
    offset: DoubleDouble,
}

impl Pair {
    /// This pair, refined if it is not good enough for the value, or for slopes if these are wanted; and the
    /// divergence, which does not depend on whether they are.
    fn with_value<T: Format>(
        self,
        row: Block<'_, T>,
        logsumexps: [f64; 2],
        has_slopes: bool,
    ) -> (Self, DoubleDouble) {
        let value = |pair| row_functions::sum::<T::First, T>(row, Divergence(pair));
        let rough = value(self);
        if rough.hi < if T::First::IS_DOUBLE_DOUBLE { LEAST_ROUGH_OF_F64 } else { LEAST_ROUGH } {
            let refined = self.refined::<T>(row, logsumexps);
            (refined, value(refined))
        } else if has_slopes && rough.hi < LEAST_WITH_ROUGH_SLOPES {
            (self.refined::<T>(row, logsumexps), rough)
        } else {
            (self, rough)
        }
    }

    /// This with x − y at the common place as the shift, and a refined logarithm of p/q there as the offset, unless the
    /// rough one is as good. `logsumexps` of x and y need not be exact.
    fn refined<T: Format>(self, row: Block<'_, T>, logsumexps: [f64; 2]) -> Self {
        let [x, y] = at_common_place(row.z, row.v.unwrap_or_default(), logsumexps);
        let shift = two_sum(x, -y);
        let there = Self { shift, offset: shift - self.shift + self.offset, ..self };
        if there.offset.hi.abs() > NEAR {
            return self;
        }
        let change = Change { pair: there, inverse_ratio: exp(-there.offset) };
        let change = row_functions::sum::<T::First, T>(row, change);
        if change.hi <= -0.5 { self } else { Self { offset: -log1p(change), ..there } }
    }

    /// p and q.
    #[inline(always)]
    fn shares<P: Precision, V: Vector>(self, x: V, y: V) -> [P::Number<V>; 2] {
        [self.p.at::<P, V>(x, x, x), self.q.at::<P, V>(y, y, y)]
    }

    /// x − y − shift. −∞ counts as the least number: where both are −∞, this is finite.
    #[inline(always)]
    fn shifted_difference<P: Precision, V: Vector>(self, x: V, y: V) -> P::Number<V> {
        let least = x.splat(f64::MIN);
        let (difference, shift) = (two_sum(x.max(least), -y.max(least)), self.shift.splat(x));
        P::Number::of(if P::IS_DOUBLE_DOUBLE {
            difference - shift
        } else {
            // The high parts' difference is exact unless it is far greater than that of the low parts.
            DoubleDouble::from((difference.hi - shift.hi) + (difference.lo - shift.lo))
        })
    }

    /// log p − log q.
    #[inline(always)]
    fn log_ratio<P: Precision, V: Vector>(self, x: V, y: V) -> P::Number<V> {
        self.shifted_difference::<P, V>(x, y) + P::Number::of(self.offset.splat(x))
    }
}

task! {
    /// e^x for |x| ≤ [`NEAR`], with a relative error of 2^-60.
    fn exp(x: DoubleDouble; _: V) -> DoubleDouble {
        let power = crate::arithmetic::exp::exp_dd(x.hi, 0.0).scaled(UNSCALE);
        power + power * DoubleDouble::from(x.lo)
    }
}

task! {
    /// log(1 + s) for s > −0.5, with a relative error of 2^-60.
    fn log1p(s: DoubleDouble; _: V) -> DoubleDouble {
        if s.hi.abs() <= power_of_two(-20) { log1p_dd_near_0(s) } else { ln_dd(s + 1.0).0 }
    }
}

/// Where |t| is at most this, e^t − 1 − t is computed from its series.
const SERIES: f64 = 0.25;

/// `near` where |t| ≤ [`SERIES`], `far` elsewhere.
#[inline(always)]
fn near_or_far<P: Precision, V: Vector>(
    t: P::Number<V>,
    near: P::Number<V>,
    far: P::Number<V>,
) -> P::Number<V> {
    let t = t.to_dd().hi;
    let magnitude = DoubleDouble::from(t.max(-t));
    P::Number::of(magnitude.where_at_most(SERIES, near.to_dd(), far.to_dd()))
}

/// e^t − 1 − t for |t| ≤ [`SERIES`].
///
/// It is t² (1/2 + t/6 + …). In double-double the terms from t² on, at most 2^-8.5, are in f64: they have an error of
/// 2^-61, which is 2^-60 of the sum. The first term left out is below 2^-61 of the first, in f64 below 2^-46.
#[inline(always)]
fn above_tangent<P: Precision, V: Vector>(t: P::Number<V>) -> P::Number<V> {
    const COEFFICIENTS: [f64; 13] = {
        let (mut inverses, mut n) = ([0.0; 13], 0);
        while n < 13 {
            inverses[n] = INVERSE_FACTORIALS[n + 2].hi;
            n += 1;
        }
        inverses
    };
    let x = t.to_dd().hi;
    let factor = if P::IS_DOUBLE_DOUBLE {
        let [half, _, rest @ ..] = COEFFICIENTS;
        let rest = DoubleDouble::from(polynomial_by_halves(x, rest) * x * x);
        let sixth = INVERSE_FACTORIALS[3].splat(x);
        DoubleDouble::from(x.splat(half)) + (t.to_dd() * sixth + rest)
    } else {
        let [first @ .., _, _, _] = COEFFICIENTS;
        DoubleDouble::from(polynomial_by_halves(x, first))
    };
    t * t * P::Number::of(factor)
}

#[inline(always)]
fn minus<P: Precision, V: Vector>(number: P::Number<V>) -> P::Number<V> {
    P::Number::of(-number.to_dd())
}

/// q (e^δ − 1), with δ = x − y − shift for the shift of the common place.
#[derive(Clone, Copy)]
struct Change {
    pair: Pair,
    /// q_c/p_c: q e^δ = p · this.
    inverse_ratio: DoubleDouble,
}

impl Function for Change {
    const USES: Uses = Uses::NOTHING.and_v();

    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, x: V, y: V, _: V) -> P::Number<V> {
        let [p, q] = self.pair.shares::<P, V>(x, y);
        let delta = self.pair.shifted_difference::<P, V>(x, y);
        let near = q * (delta + above_tangent::<P, V>(delta));
        let far = p * P::Number::of(self.inverse_ratio.splat(x)) + minus::<P, V>(q);
        near_or_far::<P, V>(delta, near, far)
    }
}

/// p (e^−d − 1 + d).
#[derive(Clone, Copy)]
struct Divergence(Pair);

impl Function for Divergence {
    const USES: Uses = Uses::NOTHING.and_v();

    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, x: V, y: V, _: V) -> P::Number<V> {
        let [p, q] = self.0.shares::<P, V>(x, y);
        let d = self.0.log_ratio::<P, V>(x, y);
        let far = q + minus::<P, V>(p) + p * d;
        near_or_far::<P, V>(d, p * above_tangent::<P, V>(minus::<P, V>(d)), far)
    }
}

/// p (d − value).
#[derive(Clone, Copy)]
struct ByX {
    pair: Pair,
    value: DoubleDouble,
}

impl Function for ByX {
    const USES: Uses = Uses::NOTHING.and_v();

    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, x: V, y: V, _: V) -> P::Number<V> {
        let p = self.pair.p.at::<P, V>(x, x, x);
        let d = self.pair.log_ratio::<P, V>(x, y).to_dd();
        let slope = (p * P::Number::of(d - self.value.splat(x))).to_dd();
        // d may be so great that the difference overflows there.
        let nothing = DoubleDouble::from(x.splat(0.0));
        P::Number::of(p.to_dd().where_at_most(0.0, nothing, slope))
    }
}

/// q − p = p (e^−d − 1).
#[derive(Clone, Copy)]
struct ByY(Pair);

impl Function for ByY {
    const USES: Uses = Uses::NOTHING.and_v();

    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, x: V, y: V, _: V) -> P::Number<V> {
        let [p, q] = self.0.shares::<P, V>(x, y);
        let t = minus::<P, V>(self.0.log_ratio::<P, V>(x, y));
        near_or_far::<P, V>(t, p * (t + above_tangent::<P, V>(t)), q + minus::<P, V>(p))
    }
}
