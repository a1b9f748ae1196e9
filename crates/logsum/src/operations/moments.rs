//! What rests on the softmax of a row: log-sum-exp at a temperature, entropy; and on its exponentials: mean and variance.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two};
use crate::arithmetic::exp::UNSCALE;
use crate::arithmetic::float64::Float64;
use crate::arithmetic::ln;
use crate::arithmetic::precision::{InDoubleDouble, Number, Precision};
use crate::edges::Edge;
use crate::error::Error;
use crate::formats::Format;
use crate::kernels::Each;
use crate::kernels::block::Store;
use crate::kernels::map::{self, Block, Divided, Exp, Function, Hessian, Softmax, Tempered, Times};
use crate::operations::compiled::{Float, compiled};
use crate::operations::reduction::same_length;
use crate::operations::terms::Terms;
use crate::simd::{Vector, scalar, task};
use crate::state::plain::{Partial, Parts};
use crate::state::signed::{Pairs, SignedSum};
use crate::ziv::weighted;

/// log((1/n) Σ e^{z_k}), correctly rounded: the logarithm of the mean of n numbers that are given by their logarithms.
///
/// Its derivatives are those of [`logsumexp`](crate::logsumexp): gradient softmax(z), [`logsumexp_jvp`], [`logsumexp_hvp`].
///
/// | input | value |
/// |---|---|
/// | empty | NaN |
/// | all −∞ | −∞ |
/// | a +∞, and no NaN | +∞ |
/// | a NaN | NaN |
///
/// ```
/// use logsum::logmeanexp;
/// assert_eq!(logmeanexp(&[1e8, 1e8, 1e8]), 1e8);
/// assert_eq!(logmeanexp(&[0.0, 1e-20, 2e-20]), 1e-20); // log Σ e^z − log 3 in f64: 0
/// assert_eq!(logmeanexp(&[-1000.0, 0.0]), -std::f64::consts::LN_2);
/// ```
pub fn logmeanexp<T: Float>(z: &[T]) -> T {
    <T as Compiled<T>>::logmeanexp(z)
}

/// The value of [`logsumexp`](crate::logsumexp), and its derivative in the direction `tangent`: Σ p_k t_k, p being softmax(z).
///
/// The derivative is within 1 ulp where little cancels: off by half an ulp, and 2^-59 (f32: 2^-29) of Σ p_k |t_k|.
///
/// | input | derivative |
/// |---|---|
/// | empty, or all −∞ | 0 |
/// | c times +∞, and no NaN | the mean of the tangents there |
/// | a NaN | NaN |
///
/// ```
/// assert_eq!(logsum::logsumexp_jvp(&[0.0, 0.0, f64::NEG_INFINITY], &[1.0, 2.0, 7.0])?, (std::f64::consts::LN_2, 1.5));
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// [`Error::LengthMismatch`] if `tangent` is not as long as `z`.
pub fn logsumexp_jvp<T: Float>(z: &[T], tangent: &[T]) -> Result<(T, T), Error> {
    Terms::new(z).jvp(tangent)
}

/// The Hessian of [`logsumexp`](crate::logsumexp) times a vector, into `out`: (diag(p) − p pᵀ) v, that is
/// p_i (v_i − Σ p_k v_k), p being softmax(z); nothing of the size of a matrix is ever there.
///
/// It is also the derivative of [`softmax`](crate::softmax) in the direction v, forward and backward. Each is within 1 ulp
/// where v_i − Σ p_k v_k does not cancel: the difference is off by 2^-59 (f32: 2^-29) of Σ p_k |v_k|. It is 0 everywhere without mass, NaN with
/// a NaN.
///
/// ```
/// let mut out = [0.0; 2];
/// logsum::logsumexp_hvp(&[1e8, 1e8], &[1.0, 0.0], &mut out)?;
/// assert_eq!(out, [0.25, -0.25]);
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// [`Error::LengthMismatch`] if `vector` or `out` is not as long as `z`; nothing is written then.
pub fn logsumexp_hvp<T: Float>(z: &[T], vector: &[T], out: &mut [T]) -> Result<(), Error> {
    Terms::new(z).hvp(vector, out)
}

/// A temperature τ > 0, at which the softmax of z is that of z/τ.
///
/// z/τ is never rounded: what is off by less than 2^-60 of itself (f32: 2^-50) is (z_k − max)/τ, so that large scores and small temperatures
/// do no harm. Edges are those of [`logsumexp`](crate::logsumexp), [`softmax`](crate::softmax) and
/// [`log_softmax`](crate::log_softmax).
///
/// ```
/// use logsum::Temperature;
/// let cold = Temperature::new(1e-3)?;
/// let mut p = [0.0; 3];
/// cold.softmax(&[1e6, 1e6 - 1e-3, 0.0], &mut p)?;
/// assert_eq!(p, [0.7310585879685705, 0.2689414120314295, 0.0]);
/// assert_eq!(cold.logsumexp(&[7.0f64]), 7.0);
/// # Ok::<(), logsum::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Temperature(f64);

impl Temperature {
    /// # Errors
    /// [`Error::TemperatureOutOfRange`] unless it is positive and finite.
    pub fn new(temperature: f64) -> Result<Self, Error> {
        let is_valid = temperature > 0.0 && temperature.is_finite();
        is_valid.then_some(Self(temperature)).ok_or(Error::TemperatureOutOfRange { temperature })
    }

    /// τ log Σ e^{z_k/τ}: between the maximum (τ → 0) and a sum of ever more equal terms.
    ///
    /// Off by half an ulp and 2^-58 (f32: 2^-35) of |max z| + τ log n at most: within 1 ulp, unless the maximum and the logarithm cancel.
    pub fn logsumexp<T: Float>(self, z: &[T]) -> T {
        <T as Compiled<T>>::tempered_logsumexp(self, z)
    }

    /// The value of [`logsumexp`](Self::logsumexp), its derivative by τ, which is the [`entropy`](Self::entropy), and into
    /// `gradient` those by z, which are the [`softmax`](Self::softmax).
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `gradient` is not as long as `z`; nothing is written then.
    pub fn logsumexp_with_gradient<T: Float>(self, z: &[T], gradient: &mut [T]) -> Result<(T, T), Error> {
        <T as Compiled<T>>::tempered_logsumexp_with_gradient(self, z, gradient)
    }

    /// The value of [`logsumexp`](Self::logsumexp), and its derivative in the direction `tangent`: Σ p_k t_k.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `tangent` is not as long as `z`.
    pub fn logsumexp_jvp<T: Float>(self, z: &[T], tangent: &[T]) -> Result<(T, T), Error> {
        <T as Compiled<T>>::tempered_logsumexp_jvp(self, z, tangent)
    }

    /// The Hessian of [`logsumexp`](Self::logsumexp) times a vector, into `out`: p_i (v_i − Σ p_k v_k)/τ.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `vector` or `out` is not as long as `z`; nothing is written then.
    pub fn logsumexp_hvp<T: Float>(self, z: &[T], vector: &[T], out: &mut [T]) -> Result<(), Error> {
        <T as Compiled<T>>::tempered_logsumexp_hvp(self, z, vector, out)
    }

    /// softmax(z/τ) into `out`, within 1 ulp.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `out` is not as long as `z`; nothing is written then.
    pub fn softmax<T: Float>(self, z: &[T], out: &mut [T]) -> Result<(), Error> {
        <T as Compiled<T>>::tempered_softmax(self, z, out)
    }

    /// Its logarithm into `out`, within 1 ulp.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `out` is not as long as `z`; nothing is written then.
    pub fn log_softmax<T: Float>(self, z: &[T], out: &mut [T]) -> Result<(), Error> {
        <T as Compiled<T>>::tempered_log_softmax(self, z, out)
    }

    /// −Σ p_k log p_k, p being softmax(z/τ): [`softmax_entropy`], which is at τ = 1.
    pub fn entropy<T: Float>(self, z: &[T]) -> T {
        <T as Compiled<T>>::tempered_entropy(self, z)
    }

    /// [`softmax_entropy_with_gradient`] at τ: p_i (a_i − ā)/τ, with a = −z/τ and ā = Σ p_k a_k.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `gradient` is not as long as `z`; nothing is written then.
    pub fn entropy_with_gradient<T: Float>(self, z: &[T], gradient: &mut [T]) -> Result<T, Error> {
        <T as Compiled<T>>::tempered_entropy_with_gradient(self, z, gradient)
    }

    /// [`softmax_entropy_jvp`] at τ.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `tangent` is not as long as `z`.
    pub fn entropy_jvp<T: Float>(self, z: &[T], tangent: &[T]) -> Result<(T, T), Error> {
        <T as Compiled<T>>::tempered_entropy_jvp(self, z, tangent)
    }

    /// [`softmax_entropy_hvp`] at τ: p_i ((v_i − v̄)(a_i − ā − 1) − Σ p_k (v_k − v̄)(a_k − ā))/τ².
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `vector` or `out` is not as long as `z`; nothing is written then.
    pub fn entropy_hvp<T: Float>(self, z: &[T], vector: &[T], out: &mut [T]) -> Result<(), Error> {
        <T as Compiled<T>>::tempered_entropy_hvp(self, z, vector, out)
    }
}

/// −Σ p_k log p_k, the entropy of p = softmax(z) in nats: between 0 and log n.
///
/// It is within 1 ulp: a sum of terms that are not negative, log Σ e^{z_k − max} and Σ p_k (max − z_k). So it is right too for a
/// p that is certain. Without mass, or empty, it is 0; of c times +∞, log c; with a NaN, NaN.
///
/// ```
/// use logsum::softmax_entropy;
/// assert_eq!(softmax_entropy(&[5.0, 5.0]), std::f64::consts::LN_2);
/// assert_eq!(softmax_entropy(&[40.0, 0.0]), 1.7418252446695514e-16);
/// ```
pub fn softmax_entropy<T: Float>(z: &[T]) -> T {
    Temperature(1.0).entropy(z)
}

/// The value of [`softmax_entropy`], and into `gradient` its derivatives −p_i (log p_i + H) = p_i (Σ p_k z_k − z_i).
///
/// Each is within 2 ulp, where the difference does not cancel; that is off by at most 2^-58 (f32: 2^-29) of its parts. 0 at the edges, NaN
/// with a NaN.
///
/// # Errors
/// [`Error::LengthMismatch`] if `gradient` is not as long as `z`; nothing is written then.
pub fn softmax_entropy_with_gradient<T: Float>(z: &[T], gradient: &mut [T]) -> Result<T, Error> {
    Temperature(1.0).entropy_with_gradient(z, gradient)
}

/// The value of [`softmax_entropy`], and its derivative in the direction `tangent`: Σ g_k t_k, g being the gradient.
///
/// The derivative is off by half an ulp, and 2^-58 (f32: 2^-29) of the magnitudes that it is the sum of.
///
/// # Errors
/// [`Error::LengthMismatch`] if `tangent` is not as long as `z`.
pub fn softmax_entropy_jvp<T: Float>(z: &[T], tangent: &[T]) -> Result<(T, T), Error> {
    Temperature(1.0).entropy_jvp(z, tangent)
}

/// The Hessian of [`softmax_entropy`] times a vector, into `out`, in O(n); bounds and edges as for the gradient.
///
/// # Errors
/// [`Error::LengthMismatch`] if `vector` or `out` is not as long as `z`; nothing is written then.
pub fn softmax_entropy_hvp<T: Float>(z: &[T], vector: &[T], out: &mut [T]) -> Result<(), Error> {
    Temperature(1.0).entropy_hvp(z, vector, out)
}

compiled! {
    fn logmeanexp(z: &[T]) -> T {
        mean(z)
    }

    fn logvarexp(z: &[T], ddof: usize) -> T {
        T::narrow(
            Deviations::of::<T, <T as Format>::First>(z, ddof).map_or_else(|edge| edge.value, |deviations| deviations.value),
        )
    }

    fn logvarexp_with_gradient(z: &[T], ddof: usize, gradient: &mut [T]) -> Result<T, Error> {
        same_length("gradient", gradient, "z", z)?;
        Ok(match Deviations::of::<T, InDoubleDouble>(z, ddof) {
            Ok(deviations) => {
                let lane = Block { z, v: None, w: None };
                map::each::<InDoubleDouble, T, _>(lane, VarianceGradient(deviations), gradient, Store::Caches);
                T::narrow(deviations.value)
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
        let (value, slope) = match Deviations::of::<T, InDoubleDouble>(z, ddof) {
            Ok(deviations) => {
                let lane = Block { z, v: Some(tangent), w: None };
                (deviations.value, map::sum::<InDoubleDouble, T>(lane, Times(VarianceGradient(deviations))).hi)
            }
            Err(edge) => {
                let at = |z: f64| if z == f64::INFINITY { edge.at_infinity } else { edge.elsewhere };
                (edge.value, z.iter().zip(tangent).map(|(z, t)| at(z.widen()) * t.widen()).sum())
            }
        };
        Ok((T::narrow(value), T::narrow(slope)))
    }

    fn logvarexp_hvp(z: &[T], ddof: usize, vector: &[T], out: &mut [T]) -> Result<(), Error> {
        same_length("vector", vector, "z", z)?;
        same_length("out", out, "z", z)?;
        match Deviations::of::<T, InDoubleDouble>(z, ddof) {
            Ok(deviations) => {
                let lane = Block { z, v: Some(vector), w: None };
                let slope = map::sum::<InDoubleDouble, T>(lane, Times(VarianceGradient(deviations)));
                let mean = map::sum::<InDoubleDouble, T>(lane, Times(Power(deviations)));
                let mean = scalar::quotient(mean, DoubleDouble::from(z.len() as f64));
                map::each::<InDoubleDouble, T, _>(lane,
                    VarianceHessian { deviations, mean, slope },
                    out,
                    Store::Caches,
                );
            }
            Err(edge) => out.fill(T::narrow(if edge.elsewhere.is_nan() { f64::NAN } else { 0.0 })),
        }
        Ok(())
    }

    fn tempered_logsumexp(at: Temperature, z: &[T]) -> T {
        T::narrow(Moments::of(z, at.0).map_or_else(|max| max, value))
    }

    fn tempered_logsumexp_with_gradient(at: Temperature, z: &[T], gradient: &mut [T]) -> Result<(T, T), Error> {
        same_length("gradient", gradient, "z", z)?;
        match Moments::of(z, at.0) {
            Ok(moments) => {
                each(z, None, moments.softmax, gradient);
                let entropy = moments.with_depth(z).entropy();
                Ok((T::narrow(value(moments)), T::narrow(entropy)))
            }
            Err(max) => {
                at_edge(Each::Share, max, z, gradient);
                Ok((T::narrow(max), at.entropy(z)))
            }
        }
    }

    fn tempered_logsumexp_jvp(at: Temperature, z: &[T], tangent: &[T]) -> Result<(T, T), Error> {
        same_length("tangent", tangent, "z", z)?;
        Ok(match Moments::of(z, at.0) {
            Ok(moments) => (T::narrow(value(moments)), T::narrow(moments.mean(z, tangent).hi)),
            Err(_) => return logsumexp_jvp(z, tangent),
        })
    }

    fn tempered_logsumexp_hvp(at: Temperature, z: &[T], vector: &[T], out: &mut [T]) -> Result<(), Error> {
        same_length("vector", vector, "z", z)?;
        same_length("out", out, "z", z)?;
        match Moments::of(z, at.0) {
            Ok(moments) => {
                let hessian = Hessian { softmax: moments.softmax, mean: moments.mean(z, vector) };
                    each(z, Some(vector), Divided(hessian, moments.scale), out);
                Ok(())
            }
            Err(_) => logsumexp_hvp(z, vector, out),
        }
    }

    fn tempered_softmax(at: Temperature, z: &[T], out: &mut [T]) -> Result<(), Error> {
        same_length("out", out, "z", z)?;
        match Moments::of(z, at.0) {
            Ok(moments) => each(z, None, moments.softmax, out),
            Err(max) => at_edge(Each::Share, max, z, out),
        }
        Ok(())
    }

    fn tempered_log_softmax(at: Temperature, z: &[T], out: &mut [T]) -> Result<(), Error> {
        same_length("out", out, "z", z)?;
        match Moments::of(z, at.0) {
            Ok(moments) => each(z, None, TemperedLogSoftmax(moments), out),
            Err(max) => at_edge(Each::LogShare, max, z, out),
        }
        Ok(())
    }

    fn tempered_entropy(at: Temperature, z: &[T]) -> T {
        T::narrow(match Moments::of(z, at.0) {
            Ok(moments) => moments.with_depth(z).entropy(),
            Err(f64::INFINITY) => {
                let mut log_p = vec![T::default(); z.len()];
                at_edge(Each::LogShare, f64::INFINITY, z, &mut log_p);
                0.0 - log_p.iter().map(|log_p| log_p.widen()).fold(f64::NEG_INFINITY, f64::max)
            }
            Err(f64::NEG_INFINITY) => 0.0,
            Err(nan) => nan,
        })
    }

    fn tempered_entropy_with_gradient(at: Temperature, z: &[T], gradient: &mut [T]) -> Result<T, Error> {
        same_length("gradient", gradient, "z", z)?;
        match Moments::of(z, at.0) {
            Ok(moments) => {
                let moments = moments.with_depth(z);
                each(z, None, Divided(EntropyGradient(moments), moments.scale), gradient);
                Ok(T::narrow(moments.entropy()))
            }
            Err(max) => {
                gradient.fill(T::narrow(if max.is_nan() { max } else { 0.0 }));
                Ok(at.entropy(z))
            }
        }
    }

    fn tempered_entropy_jvp(at: Temperature, z: &[T], tangent: &[T]) -> Result<(T, T), Error> {
        same_length("tangent", tangent, "z", z)?;
        let slope = match Moments::of(z, at.0) {
            Ok(moments) => {
                let moments = moments.with_depth(z);
                sum(z, Some(tangent), Times(Divided(EntropyGradient(moments), moments.scale))).hi
            }
            Err(max) if max.is_nan() => max,
            Err(_) => 0.0,
        };
        Ok((at.entropy(z), T::narrow(slope)))
    }

    fn tempered_entropy_hvp(at: Temperature, z: &[T], vector: &[T], out: &mut [T]) -> Result<(), Error> {
        same_length("vector", vector, "z", z)?;
        same_length("out", out, "z", z)?;
        match Moments::of(z, at.0) {
            Ok(moments) => {
                let moments = moments.with_depth(z);
                let mean = moments.mean(z, vector);
                let without = EntropyHessian { moments, mean, covariance: None };
                let covariance = Some(sum(z, Some(vector), without));
                let hessian = EntropyHessian { covariance, ..without };
                each(z, Some(vector), Divided(Divided(hessian, moments.scale), moments.scale), out);
            }
            Err(max) => out.fill(T::narrow(if max.is_nan() { max } else { 0.0 })),
        }
        Ok(())
    }
}

/// [`logmeanexp`].
fn mean<T: Format>(z: &[T]) -> T {
    let max = Partial::<T::First>::over(&z).max;
    if z.is_empty() || !max.is_finite() {
        return T::narrow(if z.is_empty() { f64::NAN } else { max });
    }
    let pairs = Pairs { z, b: None, mask: None, divisor: z.len() as f64 };
    weighted::settle(pairs, &SignedSum::<T::First>::over(pairs), f64::INFINITY).value
}

fn at_edge<T: Format>(each: Each, max: f64, z: &[T], out: &mut [T]) {
    if let Some(edge) = Edge::of(each, max, &z) {
        out.iter_mut().zip(z).for_each(|(out, &z)| *out = edge.at(z));
    }
}

/// z at a temperature, and what is made of Σ e^x, x = (z − max)/τ; for a finite maximum, which else is the error.
///
/// The first maximum is left out of the sum, so that a small t keeps its relative accuracy: Σ e^x = 1 + t.
pub(super) fn tempered<T: Format>(z: &[T], temperature: f64) -> Result<(Tempered, Parts), f64> {
    let max = map::greatest(z);
    if max.is_infinite() {
        return Err(z.iter().map(|z| z.widen()).find(|z| z.is_nan()).unwrap_or(max));
    }
    let scale = Tempered::new(max, temperature);
    let first = z.iter().position(|z| z.widen() == max).unwrap_or(0);
    let rests = [&z[..first], &z[first + 1..]];
    let [before, after] = rests.map(|z| sum(z, None, Exp(scale)));
    let tail = before + after;
    if tail.hi.is_nan() {
        return Err(f64::NAN);
    }
    Ok((scale, Parts::at_maximum::<T::First>(tail)))
}

fn sum<T: Format>(z: &[T], v: Option<&[T]>, f: impl Function) -> DoubleDouble {
    map::sum::<T::First, T>(Block { z, v, w: None }, f)
}

fn each<T: Format>(z: &[T], v: Option<&[T]>, f: impl Function, out: &mut [T]) {
    map::each::<T::First, T, _>(Block { z, v, w: None }, f, out, Store::for_output::<T>(z.len()));
}

/// What a softmax averages, with x = (z − max)/τ and a = −x.
#[derive(Clone, Copy)]
struct Moments {
    scale: Tempered,
    temperature: f64,
    /// p.
    softmax: Softmax<Tempered>,
    /// log Σ e^x.
    log: DoubleDouble,
    /// ā = Σ p a; 0 until [`with_depth`](Self::with_depth).
    depth: DoubleDouble,
}

impl Moments {
    /// For a finite maximum; else it is the error.
    fn of<T: Format>(z: &[T], temperature: f64) -> Result<Self, f64> {
        let (scale, Parts { inverse, log, .. }) = tempered(z, temperature)?;
        let softmax = Softmax { exponent: scale, inverse };
        Ok(Self { scale, temperature, softmax, log, depth: DoubleDouble::ZERO })
    }

    /// With what entropies need, too.
    fn with_depth<T: Format>(self, z: &[T]) -> Self {
        // Scaled at the end: it may be tiny. The maximum adds nothing to it.
        let depth = scalar::product(sum(z, None, Depth(self.scale)), self.softmax.inverse).scaled(UNSCALE);
        Self { depth, ..self }
    }

    fn entropy(&self) -> f64 {
        (self.log + self.depth).hi
    }

    /// Σ p v.
    fn mean<T: Format>(&self, z: &[T], v: &[T]) -> DoubleDouble {
        let powers = sum(z, Some(v), Times(Exp(self.scale)));
        let mean = scalar::product(powers, self.softmax.inverse).scaled(UNSCALE);
        // A large v must not meet the scale of exponentials.
        if mean.hi.is_finite() { mean } else { sum(z, Some(v), Times(self.softmax)) }
    }

    /// a − ā.
    #[inline(always)]
    fn deviation<P: Precision, V: Vector>(&self, z: V) -> P::Number<V> {
        map::deviation::<P, V>(-self.scale.near_x::<P, V>(z).to_dd(), self.depth)
    }
}

task! {
    /// τ log Σ e^x + max.
    fn value(moments: Moments; _: V) -> f64 {
        let Moments { scale, temperature, log, .. } = moments;
        (log * DoubleDouble::from(temperature) + scale.max).hi + 0.0
    }
}

/// a e^x.
#[derive(Clone, Copy)]
struct Depth(Tempered);

impl Function for Depth {
    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, _: V, _: V) -> P::Number<V> {
        let x = self.0.near_x::<P, V>(z);
        P::exp_of_dd(x.to_dd()) * x.by(z.splat(-1.0))
    }
}

/// x − log Σ e^x.
#[derive(Clone, Copy)]
struct TemperedLogSoftmax(Moments);

impl Function for TemperedLogSoftmax {
    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, _: V, _: V) -> P::Number<V> {
        let x = self.0.scale.x::<P, V>(z);
        let log_softmax = (x + P::Number::of(-self.0.log.splat(z))).to_dd();
        // What is out of range has no low word.
        let infinite = z.splat(f64::NEG_INFINITY);
        let hi = x.to_dd().hi.where_at_most(f64::NEG_INFINITY, infinite, log_softmax.hi);
        P::Number::of(DoubleDouble { hi, ..log_softmax })
    }
}

/// p (a − ā).
#[derive(Clone, Copy)]
struct EntropyGradient(Moments);

impl Function for EntropyGradient {
    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, v: V, w: V) -> P::Number<V> {
        self.0.softmax.at::<P, V>(z, v, w) * self.0.deviation::<P, V>(z)
    }
}

/// p ((v − v̄)(a − ā − 1) − covariance); p (v − v̄)(a − ā), whose sum is the covariance, where that is not given.
#[derive(Clone, Copy)]
struct EntropyHessian {
    moments: Moments,
    mean: DoubleDouble,
    covariance: Option<DoubleDouble>,
}

impl Function for EntropyHessian {
    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, v: V, w: V) -> P::Number<V> {
        let Self { moments, mean, covariance } = self;
        let (deviation, softmax) =
            (map::deviation::<P, V>(v.into(), mean), moments.softmax.at::<P, V>(z, v, w));
        match covariance {
            None => softmax * deviation * moments.deviation::<P, V>(z),
            Some(covariance) => {
                let less_one = P::Number::of(DoubleDouble::from(v.splat(-1.0)));
                let product = deviation * (moments.deviation::<P, V>(z) + less_one);
                softmax * (product + P::Number::of(-covariance.splat(v)))
            }
        }
    }
}

/// log((1/(n − ddof)) Σ (e^{z_k} − mean)²): the logarithm of the variance of n numbers that are given by their logarithms.
///
/// Off by half an ulp and 2^-57 (f32: 2^-29) at most, and 2^-100 |z|: within 1 ulp unless it is less than 2^-4 in magnitude. Nothing cancels where
/// the numbers are near to each other: e^{z_k − c} − 1 is summed, c being near to the logarithm of the mean.
///
/// | input | value | gradient |
/// |---|---|---|
/// | n ≤ ddof | NaN | NaN everywhere |
/// | all equal and finite | −∞ | NaN everywhere |
/// | all −∞ | −∞ | 0 everywhere |
/// | +∞ in c < n places, and no NaN | +∞ | 2/c at each, 0 elsewhere |
/// | all +∞, or a NaN | NaN | NaN everywhere |
///
/// ```
/// use logsum::logvarexp;
/// assert_eq!(logvarexp(&[1.0f64.ln(), 3.0f64.ln()], 1), 0.6931471805599456); // of these floats
/// assert_eq!(logvarexp(&[1000.0, 1001.0], 0), 1999.696355348106); // e^1000 overflows
/// assert_eq!(logvarexp(&[0.0, 1e-15], 0), -70.46384715094126);
/// ```
pub fn logvarexp<T: Float>(z: &[T], ddof: usize) -> T {
    <T as Compiled<T>>::logvarexp(z, ddof)
}

/// The value of [`logvarexp`], and into `gradient` its derivatives 2 e^{z_i} (e^{z_i} − mean) / Σ (e^{z_k} − mean)².
///
/// Each is within 2 ulp, where e^{z_i} − mean does not cancel; that is off by 2^-60 of its parts.
///
/// # Errors
/// [`Error::LengthMismatch`] if `gradient` is not as long as `z`; nothing is written then.
pub fn logvarexp_with_gradient<T: Float>(z: &[T], ddof: usize, gradient: &mut [T]) -> Result<T, Error> {
    <T as Compiled<T>>::logvarexp_with_gradient(z, ddof, gradient)
}

/// The value of [`logvarexp`], and its derivative in the direction `tangent`: Σ g_k t_k, g being the gradient.
///
/// The derivative is off by half an ulp, and 2^-58 of the magnitudes that it is the sum of.
///
/// # Errors
/// [`Error::LengthMismatch`] if `tangent` is not as long as `z`.
pub fn logvarexp_jvp<T: Float>(z: &[T], ddof: usize, tangent: &[T]) -> Result<(T, T), Error> {
    <T as Compiled<T>>::logvarexp_jvp(z, ddof, tangent)
}

/// The Hessian of [`logvarexp`] times a vector, into `out`, in O(n).
///
/// With x = e^z, d = x − mean and S = Σ d²: (2/S) x_i (v_i (x_i + d_i) − (1/n) Σ x_k v_k) − g_i Σ g_k v_k. NaN or 0 everywhere where the
/// gradient is constant.
///
/// # Errors
/// [`Error::LengthMismatch`] if `vector` or `out` is not as long as `z`; nothing is written then.
pub fn logvarexp_hvp<T: Float>(z: &[T], ddof: usize, vector: &[T], out: &mut [T]) -> Result<(), Error> {
    <T as Compiled<T>>::logvarexp_hvp(z, ddof, vector, out)
}

/// Where there is no variance to speak of.
struct VarianceEdge {
    value: f64,
    at_infinity: f64,
    elsewhere: f64,
}

/// Deviations of x = e^{z − center} from their mean, times `scale`, a power of 2.
#[derive(Clone, Copy)]
struct Deviations {
    center: f64,
    scale: f64,
    /// The mean of scale · (x − 1).
    mean: DoubleDouble,
    /// Their squares' sum.
    squares: DoubleDouble,
    value: f64,
}

impl Deviations {
    fn of<T: Format, P: Precision>(z: &[T], ddof: usize) -> Result<Self, VarianceEdge> {
        let edge = |value, elsewhere| VarianceEdge { value, at_infinity: elsewhere, elsewhere };
        let max = if z.iter().any(|z| z.widen().is_nan()) { f64::NAN } else { map::greatest(z) };
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
        // Squares of smaller differences would underflow.
        let scale = if max - least < power_of_two(-300) { power_of_two(600) } else { 1.0 };
        let center = mean(z).widen();
        let mut deviations =
            Self { center, scale, mean: DoubleDouble::ZERO, squares: DoubleDouble::ZERO, value: 0.0 };
        let lane = Block { z, v: None, w: None };
        let sum = map::sum::<P, T>(lane, Excess(deviations));
        deviations.mean = scalar::quotient(sum, DoubleDouble::from(z.len() as f64));
        deviations.squares = map::sum::<P, T>(lane, Square(deviations));
        deviations.value = log_variance(deviations, (z.len() - ddof) as f64);
        Ok(deviations)
    }

    /// scale · (x − 1).
    #[inline(always)]
    fn excess<P: Precision, W: Float64>(&self, z: W) -> P::Number<W> {
        const LEAST: f64 = -1000.0;
        let d = P::Number::difference(z, z.splat(self.center)).to_dd();
        let least = DoubleDouble::from(z.splat(LEAST));
        P::expm1(P::Number::of(d.where_at_most(LEAST, least, d))).by(z.splat(self.scale))
    }

    /// x.
    #[inline(always)]
    fn power<W: Float64>(&self, excess: DoubleDouble<W>) -> DoubleDouble<W> {
        let simd = excess.hi;
        excess.scaled(simd.splat(self.scale.recip())) + simd.splat(1.0)
    }

    /// scale · (x − the mean of all x).
    #[inline(always)]
    fn deviation<W: Float64>(&self, excess: DoubleDouble<W>) -> DoubleDouble<W> {
        excess + (-self.mean).splat(excess.hi)
    }

    /// 2 x d / S.
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
    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, _: V, _: V) -> P::Number<V> {
        self.0.excess::<P, V>(z)
    }
}

/// The square of a deviation.
#[derive(Clone, Copy)]
struct Square(Deviations);

impl Function for Square {
    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, _: V, _: V) -> P::Number<V> {
        let deviation = P::Number::of(self.0.deviation(self.0.excess::<P, V>(z).to_dd()));
        deviation * deviation
    }
}

/// x.
#[derive(Clone, Copy)]
struct Power(Deviations);

impl Function for Power {
    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, _: V, _: V) -> P::Number<V> {
        P::Number::of(self.0.power(self.0.excess::<P, V>(z).to_dd()))
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
    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, v: V, _: V) -> P::Number<V> {
        let Self { deviations, mean, slope } = self;
        let (scale, squares) = (z.splat(deviations.scale), deviations.squares.splat(z));
        let excess = deviations.excess::<P, V>(z).to_dd();
        let power = deviations.power(excess);
        // x + d.
        let sum = power + deviations.deviation(excess).scaled(z.splat(deviations.scale.recip()));
        let inner = sum * DoubleDouble::from(v) - mean.splat(z);
        let first = ((power * inner).scaled(scale) / squares).scaled(z.splat(2.0)).scaled(scale);
        P::Number::of(first - (deviations.gradient(excess) * slope.splat(z)))
    }
}
