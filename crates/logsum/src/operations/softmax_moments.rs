//! Quantities derived from the softmax of a row at any temperature: log-sum-exp, log-mean-exp, entropy and
//! derivatives.

use crate::arithmetic::double_double::DoubleDouble;
use crate::arithmetic::exp::UNSCALE;
use crate::arithmetic::precision::{Number, Precision};
use crate::edges::Edge;
use crate::error::Error;
use crate::formats::Format;
use crate::kernels::Each;
use crate::kernels::block::Store;
use crate::kernels::row_functions::{
    self, Block, Divided, Exp, Function, Hessian, Softmax, Tempered, Times, Uses,
};
use crate::operations::per_format::Float;
use crate::operations::terms::Terms;
use crate::simd::{Vector, scalar_tasks, task};
use crate::state::positive::{Partial, Parts};
use crate::state::signed::{Pairs, SignedSum};
use crate::ziv::weighted;

/// log((1/n) Σ e^{z_k}), correctly rounded: the logarithm of the mean of n numbers given by their logarithms.
///
/// It is [`logsumexp`](crate::logsumexp) minus log n, so that their derivatives are the same: the gradient is
/// [`softmax`](crate::softmax), and there are [`logsumexp_jvp`] and [`logsumexp_hvp`].
///
/// | input | value |
/// |---|---|
/// | empty | NaN |
/// | all −∞ | −∞ |
/// | a +∞, and no NaN | +∞ |
/// | a NaN | NaN |
///
/// See also [`logvarexp`](crate::logvarexp), [`Terms::logmeanexp`](crate::Terms::logmeanexp) for weights,
/// [`Accumulator::logmeanexp`](crate::Accumulator::logmeanexp) for numbers that arrive in pieces.
///
/// ```
/// use logsum::logmeanexp;
/// assert_eq!(logmeanexp(&[1e8, 1e8, 1e8]), 1e8);
/// assert_eq!(logmeanexp(&[0.0, 1e-20, 2e-20]), 1e-20); // log Σ e^z − log 3 in f64: 0
/// assert_eq!(logmeanexp(&[-1000.0, 0.0]), -std::f64::consts::LN_2);
/// ```
#[doc(alias("log_mean_exp"))]
#[must_use]
pub fn logmeanexp<T: Float>(z: &[T]) -> T {
    Terms::new(z).logmeanexp()
}

/// The value of [`logsumexp`](crate::logsumexp), and its derivative in the direction `tangent`: Σ p_k t_k with
/// p = softmax(z).
///
/// The absolute error of the derivative is at most half an ulp plus 2^-59 (f32: 2^-29) of Σ p_k |t_k|: the derivative
/// is within 1 ulp where little cancels.
///
/// | input | derivative |
/// |---|---|
/// | empty, or all −∞ | 0 |
/// | +∞ in c places, and no NaN | the mean of the tangents there |
/// | a NaN | NaN |
///
/// See also [`logsumexp_with_gradient`](crate::logsumexp_with_gradient), [`logsumexp_hvp`].
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

/// Writes the Hessian of [`logsumexp`](crate::logsumexp) times a vector into `out`: (diag(p) − p pᵀ) v, that is
/// p_i (v_i − Σ p_k v_k) with p = softmax(z). The matrix is never formed.
///
/// It is also the Jacobian of [`softmax`](crate::softmax) times v, and its transpose times v, since the Jacobian
/// is symmetric. Each element is within 1 ulp where v_i − Σ p_k v_k does not cancel; that difference has an
/// absolute error of at most 2^-59 (f32: 2^-29) of Σ p_k |v_k|. All elements are 0 if all z are −∞, and NaN if one
/// is NaN. If +∞ occurs c times, p is 1/c there and 0 elsewhere, as in softmax.
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

/// −Σ p_k log p_k, the entropy of p = softmax(z) in nats: between 0 and log n.
///
/// The result is within 1 ulp, even if p is concentrated on one element, since it is a sum of nonnegative terms:
/// log Σ e^{z_k − max} and Σ p_k (max − z_k). It is 0 if `z` is empty or all −∞; log c if +∞ occurs c times; NaN
/// if there is a NaN.
///
/// See also [`softmax_entropy_with_gradient`], [`token_log_probs_with_entropy`](crate::token_log_probs_with_entropy),
/// and [`Terms::softmax_entropy`](crate::Terms::softmax_entropy) for weights, a mask and a temperature.
///
/// ```
/// use logsum::softmax_entropy;
/// assert_eq!(softmax_entropy(&[5.0, 5.0]), std::f64::consts::LN_2);
/// assert_eq!(softmax_entropy(&[40.0, 0.0]), 1.7418252446695514e-16);
/// ```
#[doc(alias("entropy"))]
#[must_use]
pub fn softmax_entropy<T: Float>(z: &[T]) -> T {
    Terms::new(z).softmax_entropy()
}

/// Returns the value of [`softmax_entropy`] and writes its derivatives −p_i (log p_i + H) = p_i (Σ p_k z_k − z_i)
/// into `gradient`.
///
/// Each derivative is within 2 ulp where its second factor, computed as (max − z_i) − Σ p_k (max − z_k), does
/// not cancel; this difference has an absolute error of at most 2^-58 (f32: 2^-29) of the sum of its two parts. All
/// derivatives are 0 if the maximum is infinite, and NaN if there is a NaN.
///
/// ```
/// let mut gradient = [9.0; 2];
/// let entropy = logsum::softmax_entropy_with_gradient(&[2.0, 2.0], &mut gradient)?;
/// assert_eq!((entropy, gradient), (std::f64::consts::LN_2, [0.0, 0.0])); // a maximum
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// [`Error::LengthMismatch`] if `gradient` is not as long as `z`; nothing is written then.
pub fn softmax_entropy_with_gradient<T: Float>(z: &[T], gradient: &mut [T]) -> Result<T, Error> {
    Terms::new(z).softmax_entropy_with_gradient(gradient)
}

/// The value of [`softmax_entropy`], and its derivative in the direction `tangent`: Σ g_k t_k with the gradient g.
///
/// The absolute error of the derivative is at most half an ulp plus 2^-58 (f32: 2^-29) of Σ |g_k t_k|.
///
/// ```
/// assert_eq!(logsum::softmax_entropy_jvp(&[2.0, 2.0], &[1.0, 0.0])?, (std::f64::consts::LN_2, 0.0));
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// [`Error::LengthMismatch`] if `tangent` is not as long as `z`.
pub fn softmax_entropy_jvp<T: Float>(z: &[T], tangent: &[T]) -> Result<(T, T), Error> {
    Terms::new(z).softmax_entropy_jvp(tangent)
}

/// Writes the Hessian of [`softmax_entropy`] times a vector into `out`, in O(n).
///
/// With a = −log p, ā = Σ p_k a_k and v̄ = Σ p_k v_k, element i is
/// p_i ((v_i − v̄)(a_i − ā − 1) − Σ p_k (v_k − v̄)(a_k − ā)). Bounds and special cases are those of the gradient in
/// [`softmax_entropy_with_gradient`].
///
/// ```
/// let mut out = [0.0; 2];
/// logsum::softmax_entropy_hvp(&[2.0, 2.0], &[1.0, 0.0], &mut out)?;
/// assert_eq!(out, [-0.25, 0.25]);
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// [`Error::LengthMismatch`] if `vector` or `out` is not as long as `z`; nothing is written then.
pub fn softmax_entropy_hvp<T: Float>(z: &[T], vector: &[T], out: &mut [T]) -> Result<(), Error> {
    Terms::new(z).softmax_entropy_hvp(vector, out)
}

/// Implements [`logmeanexp`].
pub(super) fn mean<T: Format>(z: &[T]) -> T {
    let max = Partial::<T::First>::over(&z).max;
    if z.is_empty() || !max.is_finite() {
        return T::narrow(if z.is_empty() { f64::NAN } else { max });
    }
    let pairs = Pairs { z, b: None, mask: None, divisor: z.len() as f64 };
    weighted::settle(pairs, &SignedSum::<T::First>::over(pairs), f64::INFINITY).value
}

/// A row without weights, at a temperature.
#[derive(Clone, Copy)]
pub(super) struct AtTemperature<'a, T> {
    pub(super) z: &'a [T],
    pub(super) temperature: f64,
}

impl<T: Format> AtTemperature<'_, T> {
    fn moments(&self) -> Result<Moments, f64> {
        Moments::of(self.z, self.temperature)
    }

    /// τ log Σ e^{z/τ}.
    pub(super) fn value(&self) -> f64 {
        self.moments().map_or_else(|max| max, value)
    }

    /// τ log((1/n) Σ e^{z/τ}).
    pub(super) fn mean(&self) -> f64 {
        let count = self.z.len() as f64;
        match self.moments() {
            Ok(moments) => value(Moments { log: moments.log - scalar_tasks::ln(count), ..moments }),
            Err(_) if self.z.is_empty() => f64::NAN,
            Err(max) => max,
        }
    }

    /// Writes the softmax into `out` and returns τ log Σ e^{z/τ}.
    pub(super) fn softmax(&self, out: &mut [T]) -> f64 {
        match self.moments() {
            Ok(moments) => {
                each(self.z, None, moments.softmax, out);
                value(moments)
            }
            Err(max) => {
                at_edge(Each::Share, max, self.z, out);
                max
            }
        }
    }

    pub(super) fn log_softmax(&self, out: &mut [T]) {
        match self.moments() {
            Ok(moments) => each(self.z, None, TemperedLogSoftmax(moments), out),
            Err(max) => at_edge(Each::LogShare, max, self.z, out),
        }
    }

    /// τ log Σ e^{z/τ} and Σ p t; `None` if the maximum is not finite.
    pub(super) fn jvp(&self, tangent: &[T]) -> Option<(f64, f64)> {
        let moments = self.moments().ok()?;
        Some((value(moments), moments.mean(self.z, tangent).hi))
    }

    /// Writes p (v − Σ p v)/τ; if the maximum is not finite, returns `None` and writes nothing.
    pub(super) fn hvp(&self, vector: &[T], out: &mut [T]) -> Option<()> {
        let moments = self.moments().ok()?;
        let hessian = Hessian { softmax: moments.softmax, mean: moments.mean(self.z, vector) };
        each(self.z, Some(vector), Divided(hessian, moments.scale), out);
        Some(())
    }

    pub(super) fn entropy(&self) -> f64 {
        match self.moments() {
            Ok(moments) => moments.with_depth(self.z).entropy(),
            Err(max) => self.entropy_at_edge(max),
        }
    }

    fn entropy_at_edge(&self, max: f64) -> f64 {
        match max {
            f64::INFINITY => {
                let mut log_p = vec![T::default(); self.z.len()];
                at_edge(Each::LogShare, f64::INFINITY, self.z, &mut log_p);
                0.0 - log_p.iter().map(|log_p| log_p.widen()).fold(f64::NEG_INFINITY, f64::max)
            }
            f64::NEG_INFINITY => 0.0,
            nan => nan,
        }
    }

    /// Writes p (a − ā)/τ into `out` and returns the entropy.
    pub(super) fn entropy_gradient(&self, out: &mut [T]) -> f64 {
        match self.moments() {
            Ok(moments) => {
                let moments = moments.with_depth(self.z);
                each(self.z, None, Divided(EntropyGradient(moments), moments.scale), out);
                moments.entropy()
            }
            Err(max) => {
                out.fill(slope_at_edge(max));
                self.entropy_at_edge(max)
            }
        }
    }

    pub(super) fn entropy_jvp(&self, tangent: &[T]) -> (f64, f64) {
        match self.moments() {
            Ok(moments) => {
                let moments = moments.with_depth(self.z);
                let gradient = Divided(EntropyGradient(moments), moments.scale);
                (moments.entropy(), sum(self.z, Some(tangent), Times(gradient)).hi)
            }
            Err(max) => (self.entropy_at_edge(max), slope_at_edge::<T>(max).widen()),
        }
    }

    /// p ((v − v̄)(a − ā − 1) − Σ p (v − v̄)(a − ā))/τ².
    pub(super) fn entropy_hvp(&self, vector: &[T], out: &mut [T]) {
        match self.moments() {
            Ok(moments) => {
                let moments = moments.with_depth(self.z);
                let mean = moments.mean(self.z, vector);
                let without = EntropyHessian { moments, mean, covariance: None };
                let covariance = Some(sum(self.z, Some(vector), without));
                let hessian = EntropyHessian { covariance, ..without };
                each(self.z, Some(vector), Divided(Divided(hessian, moments.scale), moments.scale), out);
            }
            Err(max) => out.fill(slope_at_edge(max)),
        }
    }
}

/// The derivatives of the entropy of a row that is a special case, given its maximum or its entropy: NaN for NaN,
/// otherwise 0.
pub(super) fn slope_at_edge<T: Format>(max: f64) -> T {
    T::narrow(if max.is_nan() { max } else { 0.0 })
}

fn at_edge<T: Format>(each: Each, max: f64, z: &[T], out: &mut [T]) {
    if let Some(edge) = Edge::of(each, max, &z) {
        out.iter_mut().zip(z).for_each(|(out, &z)| *out = edge.at(z));
    }
}

/// z at a temperature, and the functions of Σ e^x with x = (z − max)/τ; a maximum that is not finite is returned as the
/// error.
///
/// The first maximum is left out of the sum, so that a small t in Σ e^x = 1 + t keeps its relative accuracy.
pub(super) fn tempered<T: Format>(z: &[T], temperature: f64) -> Result<(Tempered, Parts), f64> {
    let max = row_functions::greatest(z);
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
    row_functions::sum::<T::First, T>(Block { z, v, w: None }, f)
}

fn each<T: Format>(z: &[T], v: Option<&[T]>, f: impl Function, out: &mut [T]) {
    row_functions::each::<T::First, T, _>(Block { z, v, w: None }, f, out, Store::for_output::<T>(z.len()));
}

/// The softmax p and its averages, with x = (z − max)/τ and a = −x.
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
    /// A maximum that is not finite is returned as the error.
    fn of<T: Format>(z: &[T], temperature: f64) -> Result<Self, f64> {
        let (scale, Parts { inverse, log, .. }) = tempered(z, temperature)?;
        let softmax = Softmax { exponent: scale, inverse };
        Ok(Self { scale, temperature, softmax, log, depth: DoubleDouble::ZERO })
    }

    /// Also computes ā, which entropies need.
    fn with_depth<T: Format>(self, z: &[T]) -> Self {
        // Scaled last, since it may be tiny. The maximum itself contributes 0.
        let depth =
            scalar_tasks::product(sum(z, None, Depth(self.scale)), self.softmax.inverse).scaled(UNSCALE);
        Self { depth, ..self }
    }

    fn entropy(&self) -> f64 {
        (self.log + self.depth).hi
    }

    /// Σ p v.
    fn mean<T: Format>(&self, z: &[T], v: &[T]) -> DoubleDouble {
        let powers = sum(z, Some(v), Times(Exp(self.scale)));
        let mean = scalar_tasks::product(powers, self.softmax.inverse).scaled(UNSCALE);
        // A large v times scaled exponentials may overflow; the softmax itself is at most 1.
        if mean.hi.is_finite() { mean } else { sum(z, Some(v), Times(self.softmax)) }
    }

    /// a − ā.
    #[inline(always)]
    fn deviation<P: Precision, V: Vector>(&self, z: V) -> P::Number<V> {
        row_functions::deviation::<P, V>(-self.scale.near_x::<P, V>(z).to_dd(), self.depth)
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
    const USES: Uses = Uses::NOTHING;

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
    const USES: Uses = Uses::NOTHING;

    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, _: V, _: V) -> P::Number<V> {
        let x = self.0.scale.x::<P, V>(z);
        let log_softmax = (x + P::Number::of(-self.0.log.splat(z))).to_dd();
        // An infinite number must not have a low part.
        let infinite = z.splat(f64::NEG_INFINITY);
        let hi = x.to_dd().hi.where_at_most(f64::NEG_INFINITY, infinite, log_softmax.hi);
        P::Number::of(DoubleDouble { hi, ..log_softmax })
    }
}

/// p (a − ā).
#[derive(Clone, Copy)]
struct EntropyGradient(Moments);

impl Function for EntropyGradient {
    const USES: Uses = Uses::NOTHING;

    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, v: V, w: V) -> P::Number<V> {
        self.0.softmax.at::<P, V>(z, v, w) * self.0.deviation::<P, V>(z)
    }
}

/// p ((v − v̄)(a − ā − 1) − covariance); without a covariance p (v − v̄)(a − ā), the summand of the covariance.
#[derive(Clone, Copy)]
struct EntropyHessian {
    moments: Moments,
    mean: DoubleDouble,
    covariance: Option<DoubleDouble>,
}

impl Function for EntropyHessian {
    const USES: Uses = Uses::NOTHING.and_v();

    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, v: V, w: V) -> P::Number<V> {
        let Self { moments, mean, covariance } = self;
        let (deviation, softmax) = (P::Number::of(-mean.splat(z) + v), moments.softmax.at::<P, V>(z, v, w));
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
