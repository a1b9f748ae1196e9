//! The elementwise functions, eight pairs at a time, with a scalar fallback where the rounding test fails.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two};
use crate::arithmetic::exp::UNSCALE;
use crate::arithmetic::float64::Float64;
use crate::arithmetic::ln;
use crate::arithmetic::log_of_sum::estimate_of_log;
use crate::arithmetic::precision::{InDoubleDouble, Number, Precision};
use crate::formats::Format;
use crate::formats::nearest::{Zero, nearest, settled_between};
use crate::kernels::Each;
use crate::kernels::row_functions::padded;
use crate::operations::row_reduction::value;
use crate::simd::{Vector, scalar_tasks, task};
use crate::ziv::elements::Elements;
use crate::ziv::{self, logarithms};
use std::cmp::Ordering;

/// A function of pairs; a function of one number gets this number as both elements of the pair.
pub(super) trait Function<T: Format>: Copy {
    /// Eight lower and upper bounds of the results, rounded: where both are equal and finite, they are the result.
    fn ends<V: Vector>(self, a: V, b: V) -> [V; 2];

    /// The result for any pair, special cases included.
    fn alone(self, a: T, b: T) -> T;
}

#[derive(Clone, Copy)]
pub(super) struct LogAddExp;

impl<T: Format> Function<T> for LogAddExp {
    #[inline(always)]
    fn ends<V: Vector>(self, a: V, b: V) -> [V; 2] {
        sum_ends::<T, V>(a, b)
    }

    fn alone(self, a: T, b: T) -> T {
        value(&&[a, b][..])
    }
}

#[derive(Clone, Copy)]
pub(super) struct Log1pExp;

impl<T: Format> Function<T> for Log1pExp {
    #[inline(always)]
    fn ends<V: Vector>(self, x: V, _: V) -> [V; 2] {
        sum_ends::<T, V>(x, x.splat(0.0))
    }

    fn alone(self, x: T, _: T) -> T {
        value(&&[x, T::default()][..])
    }
}

#[derive(Clone, Copy)]
pub(super) struct LogLogistic;

impl<T: Format> Function<T> for LogLogistic {
    #[inline(always)]
    fn ends<V: Vector>(self, x: V, _: V) -> [V; 2] {
        let [low, high] = sum_ends::<T, V>(-x, x.splat(0.0));
        [-low, -high]
    }

    fn alone(self, x: T, _: T) -> T {
        T::narrow(-value(&&[T::narrow(-x.widen()), T::default()][..]).widen())
    }
}

#[derive(Clone, Copy)]
pub(super) struct LogSubExp;

impl<T: Format> Function<T> for LogSubExp {
    #[inline(always)]
    fn ends<V: Vector>(self, a: V, b: V) -> [V; 2] {
        difference_ends::<T, V>(a, b)
    }

    fn alone(self, a: T, b: T) -> T {
        difference(a, b)
    }
}

#[derive(Clone, Copy)]
pub(super) struct Log1mExp;

impl<T: Format> Function<T> for Log1mExp {
    #[inline(always)]
    fn ends<V: Vector>(self, x: V, _: V) -> [V; 2] {
        difference_ends::<T, V>(x.splat(0.0), x)
    }

    fn alone(self, x: T, _: T) -> T {
        difference(T::default(), x)
    }
}

#[derive(Clone, Copy)]
pub(super) struct LogExpm1;

impl<T: Format> Function<T> for LogExpm1 {
    #[inline(always)]
    fn ends<V: Vector>(self, x: V, _: V) -> [V; 2] {
        difference_ends::<T, V>(x, x.splat(0.0))
    }

    fn alone(self, x: T, _: T) -> T {
        difference(x, T::default())
    }
}

#[derive(Clone, Copy)]
pub(super) struct Logistic;

impl<T: Format> Function<T> for Logistic {
    /// e^min(x, 0) / (1 + e^-|x|), whose relative error is that of the exponential plus those of rounding the sum and
    /// the quotient: 2u in f64, 17u² in double-double.
    #[inline(always)]
    fn ends<V: Vector>(self, x: V, _: V) -> [V; 2] {
        type Of<T, V> = <<T as Format>::Elements as Precision>::Number<V>;
        let (one, zero) = (x.splat(1.0), x.splat(0.0));
        let scaled = T::Elements::exp(least(x, -x), zero);
        let whole = scaled.by(x.splat(UNSCALE)) + Of::<T, V>::of(DoubleDouble::from(one));
        // The numerator is scaled, since it may be almost subnormal.
        let power = scaled.to_dd();
        let hi = x.where_at_most(0.0, power.hi, x.splat(1.0 / UNSCALE));
        let numerator = Of::<T, V>::of(DoubleDouble { hi, lo: x.where_at_most(0.0, power.lo, zero) });
        let of_roundings = power_of_two(if T::Elements::IS_DOUBLE_DOUBLE { -101 } else { -51 });
        let error = x.splat(T::Elements::EXP_ERROR * 1.001 + of_roundings);
        (numerator / whole).scaled_ends(DoubleDouble::from(one), error)
    }

    fn alone(self, x: T, _: T) -> T {
        let row = &[x, T::default()][..];
        if x.widen().is_nan() { x } else { Elements::new(Each::Share, &row).nearest(x) }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Logit;

impl<T: Format> Function<T> for Logit {
    /// With q = 1 − p, log(p/q) is ±log(1 + t) with t = |p − q|/min(p, q) ≥ 0, for 0 < p < 1. In double-double p − q =
    /// 2p − 1 and q are exact, and the quotient has an error of 15u²; in f64 each is rounded once. The relative error
    /// of log(1 + t) is at most that of t.
    #[inline(always)]
    fn ends<V: Vector>(self, p: V, _: V) -> [V; 2] {
        const LEAST: f64 = power_of_two(-1000);
        let (one, nan) = (p.splat(1.0), p.splat(f64::NAN));
        let difference = |a, b| <T::First as Precision>::Number::difference(a, b).to_dd();
        let (p_less_q, q) = (difference(p + p, one), difference(one, p));
        let size = p_less_q.where_at_most(0.0, -p_less_q, p_less_q);
        let least = p_less_q.where_at_most(0.0, DoubleDouble::from(p), q);
        let number = <T::First as Precision>::Number::of;
        let (log, of_log) = T::First::log1p((number(size) / number(least)).to_dd());
        let of_t = power_of_two(if T::First::IS_DOUBLE_DOUBLE { -101 } else { -51 });
        let bound = (of_log + log.hi * p.splat(of_t)) * p.splat(1.001);
        let logit = p_less_q.where_at_most(-power_of_two(-1000), -log, log);
        let is_between = |then| p.where_at_most(1.0 - power_of_two(-53), then, nan);
        T::ends(logit, (-p).where_at_most(-LEAST, is_between(bound), nan))
    }

    fn alone(self, p: T, _: T) -> T {
        match p.widen() {
            0.0 => T::NEG_INFINITY,
            1.0 => T::narrow(f64::INFINITY),
            p if p > 0.0 && p < 1.0 => logarithms::logit(p),
            _ => T::narrow(f64::NAN),
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct XLogY;

impl<T: Format> Function<T> for XLogY {
    #[inline(always)]
    fn ends<V: Vector>(self, x: V, y: V) -> [V; 2] {
        const TINY: f64 = power_of_two(-900);
        let [least, greatest] = T::First::LN_RANGE;
        let nan = y.splat(f64::NAN);
        let number = <T::First as Precision>::Number::of;
        let product = (number(T::First::ln(y)) * number(DoubleDouble::from(x))).to_dd();
        // Turns −0 into +0.
        let value = DoubleDouble { hi: product.hi + x.splat(0.0), ..product };
        let size = value.hi.max(-value.hi);
        // The product's own error is one rounding in f64, 5u² in double-double.
        let bound = size * y.splat(T::First::LN_ERROR * 1.1);
        // A product that is almost subnormal has lost bits, unless it is 0.
        let bound = size.where_at_most(TINY, size.where_at_most(0.0, bound, nan), bound);
        let bound = (-y).where_at_most(-least, y.where_at_most(greatest, bound, nan), nan);
        T::ends(value, bound)
    }

    fn alone(self, x: T, y: T) -> T {
        match (x.widen(), y.widen()) {
            (x, y) if x.is_nan() || y.is_nan() => T::narrow(f64::NAN),
            (0.0, _) => T::default(),
            (_, y) if y < 0.0 => T::narrow(f64::NAN),
            (x, 0.0) => T::narrow(-x * f64::INFINITY),
            (x, y) if x.is_infinite() || y.is_infinite() => T::narrow(x * y.ln()),
            (_, 1.0) => T::default(),
            (x, y) => logarithms::x_log_y(x, y),
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct XLogX;

impl<T: Format> Function<T> for XLogX {
    #[inline(always)]
    fn ends<V: Vector>(self, x: V, _: V) -> [V; 2] {
        Function::<T>::ends(XLogY, x, x)
    }

    fn alone(self, x: T, _: T) -> T {
        XLogY.alone(x, x)
    }
}

/// log y rounded, for every y ≥ 0; NaN for negative y.
pub(in crate::operations) fn log_of_any(y: f64) -> f64 {
    match y {
        y if y < 0.0 || y.is_nan() => f64::NAN,
        0.0 => f64::NEG_INFINITY,
        f64::INFINITY => f64::INFINITY,
        y => scalar_tasks::ln(y).hi,
    }
}

/// The smaller of the two; b if either is NaN.
#[inline(always)]
fn least<W: Float64>(a: W, b: W) -> W {
    -(-a).max(-b)
}

/// Lower and upper bounds of log(e^a + e^b).
#[inline(always)]
fn sum_ends<T: Format, V: Vector>(a: V, b: V) -> [V; 2] {
    let max = a.max(b);
    // `max` propagates a NaN in b, `min` a NaN in a.
    let min = least(b, a);
    let t = T::First::exp(min, max).to_dd().scaled(a.splat(UNSCALE));
    // t ≤ 1, so that its error need not be divided by 1 + t.
    let (value, bound) = estimate_of_log::<T::First, V>(max, t, t.hi * a.splat(T::First::EXP_ERROR));
    T::ends(value, bound)
}

/// Lower and upper bounds of log(e^a − e^b).
#[inline(always)]
fn difference_ends<T: Format, V: Vector>(a: V, b: V) -> [V; 2] {
    let (value, bound) = estimate_of_difference::<T::First, V>(a, b);
    T::ends(value, bound)
}

/// log(e^a − e^b) and a bound on its error; not finite if e^a − e^b is not positive, or too small relative to e^a.
///
/// With u = e^{b − a} and y = 1 − u it is a − log(1 + t), t = u/y. For d = b − a > −2^-6, y is a series with a
/// relative error below 2^-65, or 2^-51 in f64; otherwise the relative error of 1 − u is that of u times u/y = t.
/// A relative error e of t changes log(1 + t) by at most u e. The rounding errors of y and t are below
/// [`SUM_ERROR`](Precision::SUM_ERROR).
#[inline(always)]
fn estimate_of_difference<P: Precision, W: Float64>(a: W, b: W) -> (DoubleDouble<W>, W) {
    const NEAR: f64 = power_of_two(-6);
    let one = a.splat(1.0);
    let u = P::exp(b, a).by(a.splat(UNSCALE));
    let d = P::Number::difference(b, a);
    let far = P::Number::of(-u.to_dd() + one).to_dd();
    let near = -P::expm1_near_0(d).to_dd();
    let (d, u) = (d.to_dd(), u.to_dd());
    let y = d.where_at_most(-NEAR, far, near);
    let t = (P::Number::of(u) / P::Number::of(y)).to_dd();
    let (log, log_error) = P::log1p(t);
    let of_exponential = a.splat(P::EXP_ERROR + P::SUM_ERROR);
    let of_t = d.hi.where_at_most(-NEAR, one + t.hi, a.splat(2.0)) * u.hi * of_exponential;
    let size = a.max(-a) + log.hi;
    // Not fused: with a subnormal operand that takes Intel's processors about a hundred cycles.
    let of_sum = size * a.splat(power_of_two(-98)) + a.splat(power_of_two(-1070));
    let value = -log + a;
    // The formulas above are valid for negative d only.
    let hi = d.hi.where_at_most(-f64::from_bits(1), value.hi, a.splat(f64::NAN));
    (DoubleDouble { hi, ..value }, (of_t + log_error + of_sum) * a.splat(1.000_1))
}

/// log(e^a − e^b) for any pair, special cases included.
fn difference<T: Format>(a: T, b: T) -> T {
    let (wide_a, wide_b) = (a.widen(), b.widen());
    let value = match wide_a.partial_cmp(&wide_b) {
        Some(Ordering::Equal) if wide_a == f64::INFINITY => f64::NAN,
        Some(Ordering::Equal) => f64::NEG_INFINITY,
        Some(Ordering::Greater) if wide_a == f64::INFINITY || wide_b == f64::NEG_INFINITY => wide_a + 0.0,
        Some(Ordering::Greater) => {
            let (center, bound) = center_of_difference(wide_a, wide_b);
            return nearest(center, bound, Zero::Signed)
                .unwrap_or_else(|| ziv::settle_difference(a, b, center));
        }
        _ => f64::NAN,
    };
    T::narrow(value)
}

task! {
    /// log(e^a − e^b) with a relative error of at most 2^-40, and a bound on its error if one is known, for
    /// finite a > b.
    fn center_of_difference(a: f64, b: f64; _: V) -> (DoubleDouble, f64) {
        /// Up to this difference 1 − e^{b − a} is a − b to a relative 2^-500, and its inverse might overflow.
        const TINY: f64 = power_of_two(-500);
        if a - b > TINY {
            return estimate_of_difference::<InDoubleDouble, f64>(a, b);
        }
        let (log, _) = ln::log1p_dd(DoubleDouble::from(TINY.div(a - b) - 1.0));
        let log_of_tiny = DoubleDouble::LN_2 * DoubleDouble::from(-500.0);
        (-log + a + log_of_tiny, f64::INFINITY)
    }
}

pub(super) fn at<T: Format, F: Function<T>>(function: F, a: T, b: T) -> T {
    let mut out = [T::default()];
    map(function, &[a], &[b], &mut out);
    out[0]
}

task! {
    pub(super) fn map<T: Format, F: Function<T>>(function: F, a: &[T], b: &[T], out: &mut [T]; simd: V) {
        let ((a, rest_a), (b, rest_b)) = (a.as_chunks(), b.as_chunks());
        let (out, rest) = out.as_chunks_mut();
        let (last_a, last_b, mut last) = ([padded(rest_a)], [padded(rest_b)], [[T::default(); 8]]);
        let count = usize::from(!rest.is_empty());
        // One loop over the whole eights and the last one, so that the function is in the code once.
        for (a, b, out) in [(a, b, out), (&last_a[..], &last_b[..], &mut last[..count])] {
            for i in 0..out.len() {
                out[i] = eight(function, &a[i], &b[i], simd);
            }
        }
        rest.copy_from_slice(&last[0][..rest.len()]);
    }
}

#[inline(always)]
fn eight<T: Format, F: Function<T>, V: Vector>(function: F, a: &[T; 8], b: &[T; 8], simd: V) -> [T; 8] {
    let (mut values, mut settled) =
        settled_between::<T, V>(function.ends(T::load(a, simd), T::load(b, simd)));
    let mut are_settled = true;
    for j in 0..8 {
        settled[j] &= values[j].widen().is_finite();
        are_settled &= settled[j];
    }
    if !are_settled {
        repair(function, a, b, &mut values, &settled);
    }
    values
}

#[cold]
fn repair<T: Format, F: Function<T>>(
    function: F,
    a: &[T; 8],
    b: &[T; 8],
    out: &mut [T; 8],
    settled: &[bool; 8],
) {
    for j in 0..8 {
        if !settled[j] {
            out[j] = function.alone(a[j], b[j]);
        }
    }
}
