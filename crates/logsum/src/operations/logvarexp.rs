//! The logarithm of the variance of numbers given by their logarithms, and its derivatives.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two};
use crate::arithmetic::exp::{UNSCALE, exp_dd_wide};
use crate::arithmetic::float64::Float64;
use crate::arithmetic::ln;
use crate::arithmetic::precision::{InDoubleDouble, Number, Precision};
use crate::error::Error;
use crate::formats::Format;
use crate::kernels::block::Store;
use crate::kernels::row_access::BLOCK;
use crate::kernels::row_functions::{self, Block, Function, Times, Uses};
use crate::operations::per_format::{Float, compiled};
use crate::operations::row_reduction::same_length;
use crate::operations::softmax_moments;
use crate::simd::{Vector, scalar_tasks, task};
use crate::ziv::variance::settle_log_variance;

/// log((1/(n − ddof)) Σ (e^{z_k} − mean)²): the logarithm of the variance of n numbers given by their logarithms.
///
/// The result is within 1 ulp, even for numbers that are close together and for a variance near 1. A result of
/// magnitude below 2^-3 (f32: 2^-4) needs further sums, and up to a microsecond per number if it is tiny.
///
/// | input | value | gradient |
/// |---|---|---|
/// | n ≤ ddof | NaN | NaN everywhere |
/// | all equal and finite | −∞ | NaN everywhere |
/// | all −∞ | −∞ | 0 everywhere |
/// | +∞ in c < n places, and no NaN | +∞ | 2/c at each, 0 elsewhere |
/// | all +∞, or a NaN | NaN | NaN everywhere |
///
/// See also [`logvarexp_with_gradient`], [`logmeanexp`](crate::logmeanexp), and
/// [`Terms::logvarexp`](crate::Terms::logvarexp) for weights, a mask and a temperature.
///
/// ```
/// use logsum::logvarexp;
/// assert_eq!(logvarexp(&[1.0f64.ln(), 3.0f64.ln()], 1), 0.6931471805599456); // of these floats
/// assert_eq!(logvarexp(&[1000.0, 1001.0], 0), 1999.696355348106); // e^1000 overflows
/// assert_eq!(logvarexp(&[0.0, 1e-15], 0), -70.46384715094126);
/// ```
#[must_use]
pub fn logvarexp<T: Float>(z: &[T], ddof: usize) -> T {
    <T as Compiled<T>>::logvarexp(z, ddof)
}

/// Returns the value of [`logvarexp`] and writes its derivatives 2 e^{z_i} (e^{z_i} − mean) / Σ (e^{z_k} − mean)²
/// into `gradient`.
///
/// Each is within 2 ulp where e^{z_i} − mean does not cancel; that difference has an absolute error of at most
/// 2^-60 (e^{z_i} + mean). Special cases are in the table of [`logvarexp`].
///
/// ```
/// let mut gradient = [0.0; 2];
/// // log((e^a − 0)²/2) is 2a − log 2.
/// let value = logsum::logvarexp_with_gradient(&[0.0, f64::NEG_INFINITY], 1, &mut gradient)?;
/// assert_eq!((value, gradient), (-std::f64::consts::LN_2, [2.0, 0.0]));
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// [`Error::LengthMismatch`] if `gradient` is not as long as `z`; nothing is written then.
pub fn logvarexp_with_gradient<T: Float>(z: &[T], ddof: usize, gradient: &mut [T]) -> Result<T, Error> {
    <T as Compiled<T>>::logvarexp_with_gradient(z, ddof, gradient)
}

/// The value of [`logvarexp`], and its derivative in the direction `tangent`: Σ g_k t_k with the gradient g.
///
/// The absolute error of the derivative is at most half an ulp plus 2^-58 Σ |g_k t_k|.
///
/// ```
/// let z = [0.0, f64::NEG_INFINITY];
/// assert_eq!(logsum::logvarexp_jvp(&z, 1, &[3.0, 0.0])?, (-std::f64::consts::LN_2, 6.0));
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// [`Error::LengthMismatch`] if `tangent` is not as long as `z`.
pub fn logvarexp_jvp<T: Float>(z: &[T], ddof: usize, tangent: &[T]) -> Result<(T, T), Error> {
    <T as Compiled<T>>::logvarexp_jvp(z, ddof, tangent)
}

/// Writes the Hessian of [`logvarexp`] times a vector into `out`, in O(n).
///
/// With x = e^z, d = x − mean, S = Σ d² and the gradient g, element i is
/// (2/S) x_i (v_i (x_i + d_i) − (1/n) Σ x_k v_k) − g_i Σ g_k v_k. In the special cases in the table of [`logvarexp`]
/// all elements are NaN if the gradient is NaN, otherwise 0.
///
/// ```
/// let mut out = [9.0; 2];
/// // log((e^a − 0)²/2) = 2a − log 2 is linear in a: the Hessian is 0, up to rounding errors.
/// logsum::logvarexp_hvp(&[0.0, f64::NEG_INFINITY], 1, &[1.0, 0.0], &mut out)?;
/// assert!(out.iter().all(|x: &f64| x.abs() < 1e-30));
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// [`Error::LengthMismatch`] if `vector` or `out` is not as long as `z`; nothing is written then.
pub fn logvarexp_hvp<T: Float>(z: &[T], ddof: usize, vector: &[T], out: &mut [T]) -> Result<(), Error> {
    <T as Compiled<T>>::logvarexp_hvp(z, ddof, vector, out)
}

compiled! {
    fn logvarexp(z: &[T], ddof: usize) -> T {
        value(z, ddof)
    }

    fn logvarexp_with_gradient(z: &[T], ddof: usize, gradient: &mut [T]) -> Result<T, Error> {
        same_length("gradient", gradient, "z", z)?;
        Ok(match Deviations::of::<T, InDoubleDouble>(z, ddof) {
            Ok(deviations) => {
                let row = Block::of(z);
                row_functions::each::<InDoubleDouble, T, _>(row, VarianceGradient(deviations), gradient, Store::Caches);
                deviations.rounded(z, ddof)
            }
            Err(edge) => {
                for (z, out) in z.iter().zip(gradient) {
                    *out = T::narrow(if z.widen() == f64::INFINITY { edge.at_infinity } else { edge.elsewhere });
                }
                T::narrow(edge.value)
            }
        })
    }

    fn logvarexp_jvp(z: &[T], ddof: usize, tangent: &[T]) -> Result<(T, T), Error> {
        same_length("tangent", tangent, "z", z)?;
        Ok(match Deviations::of::<T, InDoubleDouble>(z, ddof) {
            Ok(deviations) => {
                let row = Block { z, v: Some(tangent), w: None };
                let slope = row_functions::sum::<InDoubleDouble, T>(row, Times(VarianceGradient(deviations)));
                (deviations.rounded(z, ddof), T::narrow(slope.hi))
            }
            Err(edge) => {
                let at = |z: f64| if z == f64::INFINITY { edge.at_infinity } else { edge.elsewhere };
                let slope = z.iter().zip(tangent).map(|(z, t)| at(z.widen()) * t.widen()).sum();
                (T::narrow(edge.value), T::narrow(slope))
            }
        })
    }

    fn logvarexp_hvp(z: &[T], ddof: usize, vector: &[T], out: &mut [T]) -> Result<(), Error> {
        same_length("vector", vector, "z", z)?;
        same_length("out", out, "z", z)?;
        match Deviations::of::<T, InDoubleDouble>(z, ddof) {
            Ok(deviations) => {
                let row = Block { z, v: Some(vector), w: None };
                let slope = row_functions::sum::<InDoubleDouble, T>(row, Times(VarianceGradient(deviations)));
                let mean = row_functions::sum::<InDoubleDouble, T>(row, Times(Power(deviations)));
                let mean = scalar_tasks::quotient(mean, DoubleDouble::from(z.len() as f64));
                row_functions::each::<InDoubleDouble, T, _>(
                    row,
                    VarianceHessian { deviations, mean, slope },
                    out,
                    Store::Caches,
                );
            }
            Err(edge) => out.fill(T::narrow(if edge.elsewhere.is_nan() { f64::NAN } else { 0.0 })),
        }
        Ok(())
    }
}

/// Implements [`logvarexp`].
pub(super) fn value<T: Format>(z: &[T], ddof: usize) -> T {
    match Deviations::of::<T, T::First>(z, ddof) {
        Ok(deviations) => deviations.rounded(z, ddof),
        Err(edge) => T::narrow(edge.value),
    }
}

/// The value and gradient in the special cases that the table of [`logvarexp`] lists.
struct VarianceEdge {
    value: f64,
    at_infinity: f64,
    elsewhere: f64,
}

/// The deviations of x = e^{z − center} from their mean, times `scale`, a power of 2.
#[derive(Clone, Copy)]
struct Deviations {
    center: f64,
    scale: f64,
    /// The mean of scale · (x − 1).
    mean: DoubleDouble,
    /// The sum of the squared deviations.
    squares: DoubleDouble,
    /// The logarithm of the variance, and a bound on its error without the last rounding.
    value: f64,
    bound: f64,
    max: f64,
}

/// Whether an error of at most `bound` is below half an ulp of T, in formats narrower than f64 together with a rounding
/// to f64.
fn is_below_half_an_ulp<T: Format>(bound: f64, value: f64) -> bool {
    const OF_ROUNDING: f64 = 1.0 - power_of_two(-20);
    bound <= value.abs() * OF_ROUNDING * power_of_two(-(T::SIGNIFICAND_BITS as i32) - 1)
}

impl Deviations {
    fn of<T: Format, P: Precision>(z: &[T], ddof: usize) -> Result<Self, VarianceEdge> {
        let edge = |value, elsewhere| VarianceEdge { value, at_infinity: elsewhere, elsewhere };
        let max = if z.iter().any(|z| z.widen().is_nan()) { f64::NAN } else { row_functions::greatest(z) };
        let least = z.iter().map(|z| z.widen()).fold(f64::INFINITY, f64::min);
        if z.len() <= ddof || max.is_nan() || least == f64::INFINITY {
            return Err(edge(f64::NAN, f64::NAN));
        }
        if max == f64::NEG_INFINITY {
            return Err(edge(max, 0.0));
        }
        if max == f64::INFINITY {
            let count = z.iter().filter(|z| z.widen() == max).count();
            return Err(VarianceEdge { value: max, at_infinity: 2.0 / count as f64, elsewhere: 0.0 });
        }
        if least == max {
            return Err(edge(f64::NEG_INFINITY, f64::NAN));
        }
        // The squares of smaller differences would underflow.
        let scale = if max - least < power_of_two(-300) { power_of_two(600) } else { 1.0 };
        let center = softmax_moments::mean(z).widen();
        let bound = if P::IS_DOUBLE_DOUBLE { power_of_two(-57) } else { power_of_two(-29) };
        let bound = bound + power_of_two(-100) * center.abs();
        let (mean, squares) = (DoubleDouble::ZERO, DoubleDouble::ZERO);
        let mut deviations = Self { center, scale, mean, squares, value: 0.0, bound, max };
        let row = Block::of(z);
        let sum = row_functions::sum::<P, T>(row, Excess(deviations));
        deviations.mean = scalar_tasks::quotient(sum, DoubleDouble::from(z.len() as f64));
        deviations.squares = row_functions::sum::<P, T>(row, Square(deviations));
        deviations.value = log_variance(deviations, (z.len() - ddof) as f64);
        Ok(deviations)
    }

    /// The logarithm of the variance, within 1 ulp.
    fn rounded<T: Format>(&self, z: &[T], ddof: usize) -> T {
        let twice = 2.0 * self.max;
        if twice.is_infinite() {
            // The logarithm of the ratio to e^{2 max} is far below the spacing of floats there.
            return T::narrow(twice);
        }
        if is_below_half_an_ulp::<T>(self.bound, self.value) {
            return T::narrow(self.value);
        }
        let (value, bound) = near_zero(z, ddof);
        if is_below_half_an_ulp::<T>(bound, value) {
            return T::narrow(value);
        }
        settle_log_variance(z, ddof, self.max)
    }

    /// scale · (x − 1).
    #[inline(always)]
    fn excess<P: Precision, W: Float64>(&self, z: W) -> P::Number<W> {
        const LEAST: f64 = -1000.0;
        let d = P::Number::difference(z, z.splat(self.center)).to_dd();
        let least = DoubleDouble::from(z.splat(LEAST));
        P::expm1(P::Number::of(d.where_at_most(LEAST, least, d))).by(z.splat(self.scale))
    }

    /// x = e^{z − center}.
    #[inline(always)]
    fn power<W: Float64>(&self, excess: DoubleDouble<W>) -> DoubleDouble<W> {
        let simd = excess.hi;
        excess.scaled(simd.splat(self.scale.recip())) + simd.splat(1.0)
    }

    /// scale · (x − mean of all x).
    #[inline(always)]
    fn deviation<W: Float64>(&self, excess: DoubleDouble<W>) -> DoubleDouble<W> {
        excess + (-self.mean).splat(excess.hi)
    }

    /// 2 x d / S, with d = x − mean.
    #[inline(always)]
    fn gradient<W: Float64>(&self, excess: DoubleDouble<W>) -> DoubleDouble<W> {
        let simd = excess.hi;
        let product = self.power(excess) * self.deviation(excess) / self.squares.splat(simd);
        product.scaled(simd.splat(2.0)).scaled(simd.splat(self.scale))
    }
}

#[derive(Clone, Copy)]
struct Excess(Deviations);

impl Function for Excess {
    const USES: Uses = Uses::NOTHING;

    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, _: V, _: V) -> P::Number<V> {
        self.0.excess::<P, V>(z)
    }
}

/// The squared deviation.
#[derive(Clone, Copy)]
struct Square(Deviations);

impl Function for Square {
    const USES: Uses = Uses::NOTHING;

    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, _: V, _: V) -> P::Number<V> {
        let deviation = P::Number::of(self.0.deviation(self.0.excess::<P, V>(z).to_dd()));
        deviation * deviation
    }
}

/// x = e^{z − center}.
#[derive(Clone, Copy)]
struct Power(Deviations);

impl Function for Power {
    const USES: Uses = Uses::NOTHING;

    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, _: V, _: V) -> P::Number<V> {
        P::Number::of(self.0.power(self.0.excess::<P, V>(z).to_dd()))
    }
}

/// The logarithm of a variance near 1, from x = e^z in nearly full double-doubles, and a bound on its error
/// without the last rounding. NaN if some number is too large.
///
/// Each x has a relative error r of 2^-94.9, their mean m one of s = 2^-92.5 + 2^-104 times the number of blocks. The
/// error of a deviation d is at most r x + s m, so that of Σ d² is at most 2 Σ |d| (r x + s m) ≤ 2 (r + s) √(Σ d²
/// Σ x²): relative to Σ d², 2 (r + s) √κ with κ = Σ x²/Σ d². The roundings of products and sums are below the
/// term without √κ.
fn near_zero<T: Format>(z: &[T], ddof: usize) -> (f64, f64) {
    let row = Block::of(z);
    let count = z.len() as f64;
    let mean = row_functions::sum::<InDoubleDouble, T>(row, FullPower);
    let mean = scalar_tasks::quotient(mean, DoubleDouble::from(count));
    let squares = row_functions::sum::<InDoubleDouble, T>(row, FullSquare { mean });
    let variance = scalar_tasks::quotient(squares, DoubleDouble::from((z.len() - ddof) as f64));
    let value = scalar_tasks::ln_dd(variance).hi;
    let condition = 1.0 + count * mean.hi * mean.hi / squares.hi;
    let blocks = (z.len() / BLOCK + 1) as f64;
    let of_sum = (power_of_two(-91) + power_of_two(-102) * blocks) * (1.0 + condition.sqrt());
    (value, of_sum + power_of_two(-62) * value.abs())
}

/// e^z in nearly full double-double, NaN above e^256.
#[inline(always)]
fn full_power<W: Float64>(z: W) -> DoubleDouble<W> {
    let zero = z.splat(0.0);
    let x = exp_dd_wide(z, DoubleDouble::from(zero)).scaled(z.splat(UNSCALE));
    let hi = z.where_at_most(256.0, x.hi, z.splat(f64::NAN));
    DoubleDouble { hi: z.where_at_most(-300.0, zero, hi), lo: z.where_at_most(-300.0, zero, x.lo) }
}

#[derive(Clone, Copy)]
struct FullPower;

impl Function for FullPower {
    const USES: Uses = Uses::NOTHING;

    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, _: V, _: V) -> P::Number<V> {
        P::Number::of(full_power(z))
    }
}

/// The squared deviation from the mean.
#[derive(Clone, Copy)]
struct FullSquare {
    mean: DoubleDouble,
}

impl Function for FullSquare {
    const USES: Uses = Uses::NOTHING;

    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, _: V, _: V) -> P::Number<V> {
        let deviation = full_power(z) - self.mean.splat(z);
        P::Number::of(deviation * deviation)
    }
}

task! {
    fn log_variance(deviations: Deviations, count: f64; _: V) -> f64 {
        let Deviations { center, scale, squares, .. } = deviations;
        let (log, _) = ln::ln_dd(squares / DoubleDouble::from(count));
        let powers = if scale == 1.0 { 0.0 } else { -1200.0 };
        (log + DoubleDouble::LN_2 * DoubleDouble::from(powers) + DoubleDouble::from(2.0 * center))
            .hi
    }
}

#[derive(Clone, Copy)]
struct VarianceGradient(Deviations);

impl Function for VarianceGradient {
    const USES: Uses = Uses::NOTHING;

    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, _: V, _: V) -> P::Number<V> {
        P::Number::of(self.0.gradient(self.0.excess::<P, V>(z).to_dd()))
    }
}

#[derive(Clone, Copy)]
struct VarianceHessian {
    deviations: Deviations,
    mean: DoubleDouble,
    slope: DoubleDouble,
}

impl Function for VarianceHessian {
    const USES: Uses = Uses::NOTHING.and_v();

    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, v: V, _: V) -> P::Number<V> {
        let Self { deviations, mean, slope } = self;
        let (scale, squares) = (z.splat(deviations.scale), deviations.squares.splat(z));
        let excess = deviations.excess::<P, V>(z).to_dd();
        let power = deviations.power(excess);
        // x + d, with d = x − mean.
        let sum = power + deviations.deviation(excess).scaled(z.splat(deviations.scale.recip()));
        let inner = sum * DoubleDouble::from(v) - mean.splat(z);
        let first = ((power * inner).scaled(scale) / squares).scaled(z.splat(2.0)).scaled(scale);
        P::Number::of(first - (deviations.gradient(excess) * slope.splat(z)))
    }
}
