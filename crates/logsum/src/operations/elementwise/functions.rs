//! The elementwise functions, eight pairs at a time, with a scalar fallback where the rounding test fails.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two};
use crate::arithmetic::exp::UNSCALE;
use crate::arithmetic::float64::Float64;
use crate::arithmetic::ln;
use crate::arithmetic::log_of_sum::estimate_of_log;
use crate::arithmetic::precision::{InDoubleDouble, Number, Precision};
use crate::formats::Format;
use crate::formats::nearest::{Zero, nearest, settled_between};
use crate::operations::row_reduction::value;
use crate::simd::{Vector, scalar_tasks, task};
use crate::ziv;
use std::cmp::Ordering;

/// A function of pairs; a function of one number is given it twice.
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
        sum_ends::<T, V>(-x, x.splat(0.0)).map(|end| -end)
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
    /// e^min(x, 0) / (1 + e^-|x|). The relative error before the final rounding is below 2^-60 in double-double
    /// and 2^-36 in f64; a subnormal f64 result of a double-double is rounded twice.
    #[inline(always)]
    fn ends<V: Vector>(self, x: V, _: V) -> [V; 2] {
        let (one, zero) = (x.splat(1.0), x.splat(0.0));
        let scaled = T::First::exp(least(x, -x), zero);
        let whole = scaled.by(x.splat(UNSCALE)) + number::<T, V>(one);
        // The numerator is scaled, since it may be almost subnormal.
        let power = scaled.to_dd();
        let hi = x.where_at_most(0.0, power.hi, x.splat(1.0 / UNSCALE));
        let numerator: <T::First as Precision>::Number<V> =
            Number::of(DoubleDouble { hi, lo: x.where_at_most(0.0, power.lo, zero) });
        [(numerator / whole).by(x.splat(UNSCALE)).to_dd().hi; 2]
    }

    /// Only NaN reaches this.
    fn alone(self, x: T, _: T) -> T {
        x
    }
}

#[derive(Clone, Copy)]
pub(super) struct Logit;

impl<T: Format> Function<T> for Logit {
    /// With q = 1 − p, log(p/q) is ±log(1 + t) with t = |p − q|/min(p, q) ≥ 0, for 0 < p < 1. p − q = 2p − 1 and q
    /// are exact as double-doubles. The relative error before the final rounding is below 2^-58, or 2^-48 in f64.
    #[inline(always)]
    fn ends<V: Vector>(self, p: V, _: V) -> [V; 2] {
        let one = p.splat(1.0);
        let difference = |a, b| <T::First as Precision>::Number::difference(a, b).to_dd();
        let (p_less_q, q) = (difference(p + p, one), difference(one, p));
        let size = p_less_q.where_at_most(0.0, -p_less_q, p_less_q);
        let least = p_less_q.where_at_most(0.0, DoubleDouble::from(p), q);
        let number = <T::First as Precision>::Number::of;
        let (log, _) = T::First::log1p((number(size) / number(least)).to_dd());
        let logit = p_less_q.hi.where_at_most(-power_of_two(-1000), -log.hi, log.hi);
        // Turns −0 into +0.
        [within(p, logit + p.splat(0.0)); 2]
    }

    fn alone(self, p: T, _: T) -> T {
        let wide = p.widen();
        T::narrow(if (0.0..1.0).contains(&wide) {
            // p is so small that q rounds to 1.
            log_of_any(wide)
        } else if wide == 1.0 {
            f64::INFINITY
        } else {
            f64::NAN
        })
    }
}

/// `value` where 2^-1000 ≤ x < 1, NaN elsewhere.
#[inline(always)]
fn within<W: Float64>(x: W, value: W) -> W {
    const BELOW: f64 = power_of_two(-1000);
    let nan = x.splat(f64::NAN);
    (-x).where_at_most(-BELOW, x.where_at_most(1.0 - power_of_two(-53), value, nan), nan)
}

#[derive(Clone, Copy)]
pub(super) struct XLogY;

impl<T: Format> Function<T> for XLogY {
    #[inline(always)]
    fn ends<V: Vector>(self, x: V, y: V) -> [V; 2] {
        // Turns −0 into +0.
        [(log_of::<T, V>(y) * number::<T, V>(x)).to_dd().hi + x.splat(0.0); 2]
    }

    fn alone(self, x: T, y: T) -> T {
        let (x, y) = (x.widen(), y.widen());
        T::narrow(if x.is_nan() || y.is_nan() {
            f64::NAN
        } else if x == 0.0 {
            0.0
        } else {
            x * log_of_any(y)
        })
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

/// A number in the format's first precision.
#[inline(always)]
fn number<T: Format, V: Vector>(x: V) -> <T::First as Precision>::Number<V> {
    Number::of(DoubleDouble::from(x))
}

/// log y with a relative error below 2^-58, or 2^-48 in f64; not finite unless y is finite and at least 2^-1000,
/// or 2^-400.
#[inline(always)]
fn log_of<T: Format, V: Vector>(y: V) -> <T::First as Precision>::Number<V> {
    let (log, least) = T::First::ln(y);
    let hi = (-y).where_at_most(-least, log.hi, y.splat(f64::NAN));
    Number::of(DoubleDouble { hi, ..log })
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

/// The smaller of both; b if either is NaN.
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
    let of_sum = size.mul_add(a.splat(power_of_two(-98)), a.splat(power_of_two(-1070)));
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
        let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
        let (out, rest) = out.as_chunks_mut::<8>();
        for ((a, b), out) in a.iter().zip(b).zip(out) {
            *out = eight(function, a, b, simd);
        }
        if !rest.is_empty() {
            let (mut last_a, mut last_b) = ([T::default(); 8], [T::default(); 8]);
            last_a[..rest_a.len()].copy_from_slice(rest_a);
            last_b[..rest_b.len()].copy_from_slice(rest_b);
            rest.copy_from_slice(&eight(function, &last_a, &last_b, simd)[..rest.len()]);
        }
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
