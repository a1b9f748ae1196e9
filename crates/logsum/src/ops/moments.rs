//! What rests on the softmax of a row: log-sum-exp at a temperature, entropy; and on its exponentials: mean and variance.

use super::reduction::same_length;
use super::terms::Terms;
use crate::edges::Edge;
use crate::error::Error;
use crate::float::Float;
use crate::kernel::tempered::{self, Function, Scale, depth, power};
use crate::kernel::two::{self, Two, power_of_two, two_sum};
use crate::kernel::word::{Vector, Word};
use crate::kernel::{Each, Task, exp, exp::UNSCALE, log, run};
use crate::ladder::signed;
use crate::lane::BLOCK;
use crate::partial::Partial;
use crate::signed::{Pairs, SignedSum};

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
    let max = Partial::<T::First>::over(&z).max;
    if z.is_empty() || !max.is_finite() {
        return T::narrow(if z.is_empty() { f64::NAN } else { max });
    }
    let pairs = Pairs { z, b: None, mask: None, divisor: z.len() as f64 };
    signed::settle(pairs, &SignedSum::<T::First>::over(pairs), f64::INFINITY).value
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
/// z/τ is never rounded: what is off by less than 2^-60 of itself is (z_k − max)/τ, so that large scores and small temperatures
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
    /// [`Error::OutOfRange`] unless it is positive and finite.
    pub fn new(temperature: f64) -> Result<Self, Error> {
        let is_valid = temperature > 0.0 && temperature.is_finite();
        is_valid
            .then_some(Self(temperature))
            .ok_or_else(|| Error::out_of_range("the temperature", temperature, "positive and finite"))
    }

    /// τ log Σ e^{z_k/τ}: between the maximum (τ → 0) and a sum of ever more equal terms.
    ///
    /// Off by half an ulp and 2^-58 (|max z| + τ log n) at most: within 1 ulp, unless the maximum and the logarithm cancel.
    pub fn logsumexp<T: Float>(self, z: &[T]) -> T {
        T::narrow(Moments::of(z, self.0).map_or_else(|max| max, |moments| moments.value()))
    }

    /// The value of [`logsumexp`](Self::logsumexp), its derivative by τ, which is the [`entropy`](Self::entropy), and into
    /// `gradient` those by z, which are the [`softmax`](Self::softmax).
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `gradient` is not as long as `z`; nothing is written then.
    pub fn logsumexp_with_gradient<T: Float>(self, z: &[T], gradient: &mut [T]) -> Result<(T, T), Error> {
        same_length(z, gradient)?;
        match Moments::of(z, self.0) {
            Ok(moments) => {
                moments.each(z, z, gradient, Share(moments.inverse));
                let entropy = moments.with_depth(z).entropy();
                Ok((T::narrow(moments.value()), T::narrow(entropy)))
            }
            Err(max) => {
                at_edge(Each::Share, max, z, gradient);
                Ok((T::narrow(max), self.entropy(z)))
            }
        }
    }

    /// The value of [`logsumexp`](Self::logsumexp), and its derivative in the direction `tangent`: Σ p_k t_k.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `tangent` is not as long as `z`.
    pub fn logsumexp_jvp<T: Float>(self, z: &[T], tangent: &[T]) -> Result<(T, T), Error> {
        same_length(z, tangent)?;
        Ok(match Moments::of(z, self.0) {
            Ok(moments) => (T::narrow(moments.value()), T::narrow(moments.mean(z, tangent).hi)),
            Err(_) => return logsumexp_jvp(z, tangent),
        })
    }

    /// The Hessian of [`logsumexp`](Self::logsumexp) times a vector, into `out`: p_i (v_i − Σ p_k v_k)/τ.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `vector` or `out` is not as long as `z`; nothing is written then.
    pub fn logsumexp_hvp<T: Float>(self, z: &[T], vector: &[T], out: &mut [T]) -> Result<(), Error> {
        same_length(z, vector)?;
        same_length(z, out)?;
        match Moments::of(z, self.0) {
            Ok(moments) => {
                let hessian = Hessian { moments, mean: moments.mean(z, vector) };
                moments.each(z, vector, out, hessian);
                Ok(())
            }
            Err(_) => logsumexp_hvp(z, vector, out),
        }
    }

    /// softmax(z/τ) into `out`, within 1 ulp.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `out` is not as long as `z`; nothing is written then.
    pub fn softmax<T: Float>(self, z: &[T], out: &mut [T]) -> Result<(), Error> {
        same_length(z, out)?;
        match Moments::of(z, self.0) {
            Ok(moments) => moments.each(z, z, out, Share(moments.inverse)),
            Err(max) => at_edge(Each::Share, max, z, out),
        }
        Ok(())
    }

    /// Its logarithm into `out`, within 1 ulp.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `out` is not as long as `z`; nothing is written then.
    pub fn log_softmax<T: Float>(self, z: &[T], out: &mut [T]) -> Result<(), Error> {
        same_length(z, out)?;
        match Moments::of(z, self.0) {
            Ok(moments) => moments.each(z, z, out, LogShare(moments.log)),
            Err(max) => at_edge(Each::LogShare, max, z, out),
        }
        Ok(())
    }

    /// −Σ p_k log p_k, p being softmax(z/τ): [`softmax_entropy`], which is at τ = 1.
    pub fn entropy<T: Float>(self, z: &[T]) -> T {
        T::narrow(match Moments::of(z, self.0) {
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

    /// [`softmax_entropy_with_gradient`] at τ: p_i (a_i − ā)/τ, with a = −z/τ and ā = Σ p_k a_k.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `gradient` is not as long as `z`; nothing is written then.
    pub fn entropy_with_gradient<T: Float>(self, z: &[T], gradient: &mut [T]) -> Result<T, Error> {
        same_length(z, gradient)?;
        match Moments::of(z, self.0) {
            Ok(moments) => {
                let moments = moments.with_depth(z);
                moments.each(z, z, gradient, EntropyGradient(moments));
                Ok(T::narrow(moments.entropy()))
            }
            Err(max) => {
                gradient.fill(T::narrow(if max.is_nan() { max } else { 0.0 }));
                Ok(self.entropy(z))
            }
        }
    }

    /// [`softmax_entropy_jvp`] at τ.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `tangent` is not as long as `z`.
    pub fn entropy_jvp<T: Float>(self, z: &[T], tangent: &[T]) -> Result<(T, T), Error> {
        same_length(z, tangent)?;
        let slope = match Moments::of(z, self.0) {
            Ok(moments) => moments.sum(z, tangent, EntropySlope(moments.with_depth(z))).hi,
            Err(max) if max.is_nan() => max,
            Err(_) => 0.0,
        };
        Ok((self.entropy(z), T::narrow(slope)))
    }

    /// [`softmax_entropy_hvp`] at τ: p_i ((v_i − v̄)(a_i − ā − 1) − Σ p_k (v_k − v̄)(a_k − ā))/τ².
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `vector` or `out` is not as long as `z`; nothing is written then.
    pub fn entropy_hvp<T: Float>(self, z: &[T], vector: &[T], out: &mut [T]) -> Result<(), Error> {
        same_length(z, vector)?;
        same_length(z, out)?;
        match Moments::of(z, self.0) {
            Ok(moments) => {
                let moments = moments.with_depth(z);
                let mean = moments.mean(z, vector);
                let covariance = moments.sum(z, vector, Covariance { moments, mean });
                moments.each(z, vector, out, EntropyHessian { moments, mean, covariance });
            }
            Err(max) => out.fill(T::narrow(if max.is_nan() { max } else { 0.0 })),
        }
        Ok(())
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
/// Each is within 2 ulp, where the difference does not cancel; that is off by at most 2^-58 of its parts. 0 at the edges, NaN
/// with a NaN.
///
/// # Errors
/// [`Error::LengthMismatch`] if `gradient` is not as long as `z`; nothing is written then.
pub fn softmax_entropy_with_gradient<T: Float>(z: &[T], gradient: &mut [T]) -> Result<T, Error> {
    Temperature(1.0).entropy_with_gradient(z, gradient)
}

/// The value of [`softmax_entropy`], and its derivative in the direction `tangent`: Σ g_k t_k, g being the gradient.
///
/// The derivative is off by half an ulp, and 2^-58 of the magnitudes that it is the sum of.
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

fn at_edge<T: Float>(each: Each, max: f64, z: &[T], out: &mut [T]) {
    if let Some(edge) = Edge::of(each, max, &z) {
        out.iter_mut().zip(z).for_each(|(out, &z)| *out = edge.at(z));
    }
}

/// What a softmax averages, with x = (z − max)/τ.
#[derive(Clone, Copy)]
pub(super) struct Moments {
    pub(super) scale: Scale,
    /// log Σ e^x.
    pub(super) log: Two,
    /// 1/Σ e^x.
    pub(super) inverse: Two,
    /// ā = Σ p (−x); 0 until [`with_depth`](Self::with_depth).
    depth: Two,
}

impl Moments {
    /// For a finite maximum; else it is the error.
    ///
    /// The first maximum stands apart: Σ e^x = 1 + t, and a small t keeps its relative accuracy. Each exponential is off by
    /// 2^-62.2, as is −x e^x by 2^-62 in [`with_depth`](Self::with_depth); the terms are positive, so that sums are off by no more.
    pub(super) fn of<T: Float>(z: &[T], temperature: f64) -> Result<Self, f64> {
        let max = Partial::<T::First>::over(&z).max;
        if !max.is_finite() {
            return Err(max);
        }
        let scale = Scale { max, temperature };
        let first = z.iter().position(|z| z.widen() == max).unwrap_or(0);
        let mut tail = Two::ZERO;
        for (i, block) in z.chunks(BLOCK).enumerate() {
            let mut room = [T::default(); BLOCK];
            let room = &mut room[..block.len()];
            room.copy_from_slice(block);
            if (i * BLOCK..i * BLOCK + block.len()).contains(&first) {
                room[first - i * BLOCK] = T::NEG_INFINITY;
            }
            tail = tail.plus(tempered::sum(room, room, scale, Power));
        }
        Ok(run(Finish { scale, tail }))
    }

    /// With what entropies need, too.
    fn with_depth<T: Float>(self, z: &[T]) -> Self {
        // Scaled at the end: it may be tiny. The maximum adds nothing to it.
        let depth = two::product(self.sum(z, z, Depth), self.inverse).scaled(UNSCALE);
        Self { depth, ..self }
    }

    fn value(&self) -> f64 {
        run(Value(*self))
    }

    /// log Σ e^{z/τ}.
    pub(super) fn value_over_temperature(&self) -> Two {
        let Scale { max, temperature } = self.scale;
        let max = two::quotient(Two { hi: max, lo: 0.0 }, Two { hi: temperature, lo: 0.0 });
        self.log.plus(max)
    }

    fn entropy(&self) -> f64 {
        self.log.plus(self.depth).hi
    }

    /// Σ p v.
    pub(super) fn mean<T: Float>(&self, z: &[T], v: &[T]) -> Two {
        self.sum(z, v, ShareTimes(self.inverse))
    }

    pub(super) fn sum<T: Float>(&self, z: &[T], v: &[T], f: impl Function) -> Two {
        let blocks = z.chunks(BLOCK).zip(v.chunks(BLOCK));
        blocks.fold(Two::ZERO, |sum, (z, v)| sum.plus(tempered::sum(z, v, self.scale, f)))
    }

    pub(super) fn each<T: Float>(&self, z: &[T], v: &[T], out: &mut [T], f: impl Function) {
        tempered::each(z, v, self.scale, f, out);
    }
}

struct Finish {
    scale: Scale,
    tail: Two,
}

impl Task for Finish {
    type Output = Moments;

    #[inline(always)]
    fn run<V: Vector>(self, _: V) -> Moments {
        let Self { scale, tail } = self;
        let t = tail.scaled(UNSCALE);
        let inverse = Two { hi: 1.0, lo: 0.0 }.over(t.plus_one_word(1.0));
        Moments { scale, log: log::two_words(t).0, inverse, depth: Two::ZERO }
    }
}

struct Value(Moments);

impl Task for Value {
    type Output = f64;

    #[inline(always)]
    fn run<V: Vector>(self, _: V) -> f64 {
        let Moments { scale, log, .. } = self.0;
        log.times(Two { hi: scale.temperature, lo: 0.0 }).plus_one_word(scale.max).hi + 0.0
    }
}

#[derive(Clone, Copy)]
struct Power;

impl Function for Power {
    #[inline(always)]
    fn at<V: Vector>(self, x: Two<V>, _: V) -> Two<V> {
        power(x)
    }
}

#[derive(Clone, Copy)]
struct Depth;

impl Function for Depth {
    #[inline(always)]
    fn at<V: Vector>(self, x: Two<V>, _: V) -> Two<V> {
        power(x).times(depth(x))
    }
}

/// p, of 1/Σ e^x.
#[derive(Clone, Copy)]
pub(super) struct Share(pub(super) Two);

impl Function for Share {
    #[inline(always)]
    fn at<V: Vector>(self, x: Two<V>, _: V) -> Two<V> {
        power(x).times(self.0.splat(x.hi)).scaled(x.hi.splat(UNSCALE))
    }
}

/// p v.
#[derive(Clone, Copy)]
struct ShareTimes(Two);

impl Function for ShareTimes {
    #[inline(always)]
    fn at<V: Vector>(self, x: Two<V>, v: V) -> Two<V> {
        Share(self.0).at(x, v).times(Two { hi: v, lo: v.splat(0.0) })
    }
}

/// x − log Σ e^x.
#[derive(Clone, Copy)]
struct LogShare(Two);

impl Function for LogShare {
    #[inline(always)]
    fn at<V: Vector>(self, x: Two<V>, _: V) -> Two<V> {
        let share = x.plus(self.0.negated().splat(x.hi));
        // What is out of range has no low word.
        let infinite = x.hi.splat(f64::NEG_INFINITY);
        Two { hi: x.hi.where_at_most(f64::NEG_INFINITY, infinite, share.hi), ..share }
    }
}

/// p (v − v̄)/τ.
#[derive(Clone, Copy)]
struct Hessian {
    moments: Moments,
    mean: Two,
}

impl Function for Hessian {
    #[inline(always)]
    fn at<V: Vector>(self, x: Two<V>, v: V) -> Two<V> {
        let difference = self.mean.negated().splat(v).plus_one_word(v);
        let share = Share(self.moments.inverse).at(x, v);
        share.times(difference).over(self.moments.temperature(v))
    }
}

impl Moments {
    #[inline(always)]
    fn temperature<W: Word>(&self, like: W) -> Two<W> {
        Two { hi: like.splat(self.scale.temperature), lo: like.splat(0.0) }
    }

    /// a − ā.
    #[inline(always)]
    fn above_mean<W: Word>(&self, x: Two<W>) -> Two<W> {
        depth(x).plus(self.depth.negated().splat(x.hi))
    }
}

/// p (a − ā)/τ.
#[derive(Clone, Copy)]
struct EntropyGradient(Moments);

impl Function for EntropyGradient {
    #[inline(always)]
    fn at<V: Vector>(self, x: Two<V>, v: V) -> Two<V> {
        let share = Share(self.0.inverse).at(x, v);
        share.times(self.0.above_mean(x)).over(self.0.temperature(v))
    }
}

/// p v (a − ā)/τ.
#[derive(Clone, Copy)]
struct EntropySlope(Moments);

impl Function for EntropySlope {
    #[inline(always)]
    fn at<V: Vector>(self, x: Two<V>, v: V) -> Two<V> {
        EntropyGradient(self.0).at(x, v).times(Two { hi: v, lo: v.splat(0.0) })
    }
}

/// p (v − v̄)(a − ā).
#[derive(Clone, Copy)]
struct Covariance {
    moments: Moments,
    mean: Two,
}

impl Function for Covariance {
    #[inline(always)]
    fn at<V: Vector>(self, x: Two<V>, v: V) -> Two<V> {
        let difference = self.mean.negated().splat(v).plus_one_word(v);
        Share(self.moments.inverse).at(x, v).times(difference).times(self.moments.above_mean(x))
    }
}

/// p ((v − v̄)(a − ā − 1) − covariance)/τ².
#[derive(Clone, Copy)]
struct EntropyHessian {
    moments: Moments,
    mean: Two,
    covariance: Two,
}

impl Function for EntropyHessian {
    #[inline(always)]
    fn at<V: Vector>(self, x: Two<V>, v: V) -> Two<V> {
        let difference = self.mean.negated().splat(v).plus_one_word(v);
        let product = difference.times(self.moments.above_mean(x).plus_one_word(v.splat(-1.0)));
        let inner = product.plus(self.covariance.negated().splat(v));
        let temperature = self.moments.temperature(v);
        Share(self.moments.inverse).at(x, v).times(inner).over(temperature).over(temperature)
    }
}

/// log((1/(n − ddof)) Σ (e^{z_k} − mean)²): the logarithm of the variance of n numbers that are given by their logarithms.
///
/// Off by half an ulp and 2^-57 at most, and 2^-100 |z|: within 1 ulp unless it is less than 2^-4 in magnitude. Nothing cancels where
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
    T::narrow(Deviations::of(z, ddof).map_or_else(|edge| edge.value, |deviations| deviations.value))
}

/// The value of [`logvarexp`], and into `gradient` its derivatives 2 e^{z_i} (e^{z_i} − mean) / Σ (e^{z_k} − mean)².
///
/// Each is within 2 ulp, where e^{z_i} − mean does not cancel; that is off by 2^-60 of its parts.
///
/// # Errors
/// [`Error::LengthMismatch`] if `gradient` is not as long as `z`; nothing is written then.
pub fn logvarexp_with_gradient<T: Float>(z: &[T], ddof: usize, gradient: &mut [T]) -> Result<T, Error> {
    same_length(z, gradient)?;
    Ok(match Deviations::of(z, ddof) {
        Ok(deviations) => {
            for (z, out) in z.iter().zip(gradient) {
                *out = T::narrow(run(VarianceGradient { deviations, z: z.widen() }).hi);
            }
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

/// The value of [`logvarexp`], and its derivative in the direction `tangent`: Σ g_k t_k, g being the gradient.
///
/// The derivative is off by half an ulp, and 2^-58 of the magnitudes that it is the sum of.
///
/// # Errors
/// [`Error::LengthMismatch`] if `tangent` is not as long as `z`.
pub fn logvarexp_jvp<T: Float>(z: &[T], ddof: usize, tangent: &[T]) -> Result<(T, T), Error> {
    same_length(z, tangent)?;
    let terms = || z.iter().map(|z| z.widen()).zip(tangent.iter().map(|t| t.widen()));
    let (value, slope) = match Deviations::of(z, ddof) {
        Ok(deviations) => (deviations.value, deviations.slope(terms()).hi),
        Err(edge) => {
            let at = |z: f64| if z == f64::INFINITY { edge.at_infinity } else { edge.elsewhere };
            (edge.value, terms().map(|(z, t)| at(z) * t).sum())
        }
    };
    Ok((T::narrow(value), T::narrow(slope)))
}

/// The Hessian of [`logvarexp`] times a vector, into `out`, in O(n).
///
/// With x = e^z, d = x − mean and S = Σ d²: (2/S) x_i (v_i (x_i + d_i) − (1/n) Σ x_k v_k) − g_i Σ g_k v_k. NaN or 0 everywhere where the
/// gradient is constant.
///
/// # Errors
/// [`Error::LengthMismatch`] if `vector` or `out` is not as long as `z`; nothing is written then.
pub fn logvarexp_hvp<T: Float>(z: &[T], ddof: usize, vector: &[T], out: &mut [T]) -> Result<(), Error> {
    same_length(z, vector)?;
    same_length(z, out)?;
    match Deviations::of(z, ddof) {
        Ok(deviations) => {
            let terms = || z.iter().map(|z| z.widen()).zip(vector.iter().map(|v| v.widen()));
            let slope = deviations.slope(terms());
            let mean = terms().fold(Two::ZERO, |sum, (z, v)| {
                sum.plus(two::product(deviations.part(z).power, Two { hi: v, lo: 0.0 }))
            });
            let mean = two::quotient(mean, Two { hi: z.len() as f64, lo: 0.0 });
            for ((z, v), out) in z.iter().zip(vector).zip(out) {
                *out =
                    T::narrow(run(VarianceHessian { deviations, z: z.widen(), v: v.widen(), mean, slope }));
            }
        }
        Err(edge) => out.fill(T::narrow(if edge.elsewhere.is_nan() { f64::NAN } else { 0.0 })),
    }
    Ok(())
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
    mean: Two,
    /// Their squares' sum.
    squares: Two,
    value: f64,
}

/// What one number has.
#[derive(Clone, Copy)]
struct Part {
    /// e^{z − center}.
    power: Two,
    /// scale · (power − 1).
    excess: Two,
}

impl Deviations {
    fn of<T: Float>(z: &[T], ddof: usize) -> Result<Self, VarianceEdge> {
        let edge = |value, elsewhere| VarianceEdge { value, at_infinity: elsewhere, elsewhere };
        let max = Partial::<T::First>::over(&z).max;
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
        let center = logmeanexp(z).widen();
        let mut deviations = Self { center, scale, mean: Two::ZERO, squares: Two::ZERO, value: 0.0 };
        let excesses = || z.iter().map(|z| deviations.part(z.widen()).excess);
        let mean = excesses().fold(Two::ZERO, |sum, excess| sum.plus(excess));
        let mean = two::quotient(mean, Two { hi: z.len() as f64, lo: 0.0 });
        let deviation = |excess: Two| excess.plus(mean.negated());
        let squares = excesses().map(deviation).fold(Two::ZERO, |sum, d| sum.plus(two::product(d, d)));
        (deviations.mean, deviations.squares) = (mean, squares);
        deviations.value = run(LogVariance { deviations, count: (z.len() - ddof) as f64 });
        Ok(deviations)
    }

    /// Σ g t, of each z and its t.
    fn slope(self, terms: impl Iterator<Item = (f64, f64)>) -> Two {
        terms.fold(Two::ZERO, |sum, (z, t)| {
            let gradient = run(VarianceGradient { deviations: self, z });
            sum.plus(two::product(gradient, Two { hi: t, lo: 0.0 }))
        })
    }

    fn part(&self, z: f64) -> Part {
        run(PartOf { center: self.center, scale: self.scale, z })
    }
}

struct PartOf {
    center: f64,
    scale: f64,
    z: f64,
}

impl Task for PartOf {
    type Output = Part;

    #[inline(always)]
    fn run<V: Vector>(self, _: V) -> Part {
        part(self)
    }
}

#[inline(always)]
fn part(PartOf { center, scale, z }: PartOf) -> Part {
    let d = if z == f64::NEG_INFINITY { Two { hi: z, lo: 0.0 } } else { two_sum(z, -center) };
    let excess = exp::minus_one(if d.hi < -1000.0 { Two { hi: -1000.0, lo: 0.0 } } else { d });
    Part { power: excess.plus_one_word(1.0), excess: excess.scaled(scale) }
}

struct LogVariance {
    deviations: Deviations,
    count: f64,
}

impl Task for LogVariance {
    type Output = f64;

    #[inline(always)]
    fn run<V: Vector>(self, _: V) -> f64 {
        let Deviations { center, scale, squares, .. } = self.deviations;
        let (log, _) = log::of_two(squares.over(Two { hi: self.count, lo: 0.0 }));
        let powers = if scale == 1.0 { 0.0 } else { -1200.0 };
        log.plus(Two::LN_2.times(Two { hi: powers, lo: 0.0 })).plus(Two { hi: 2.0 * center, lo: 0.0 }).hi
    }
}

struct VarianceGradient {
    deviations: Deviations,
    z: f64,
}

impl Task for VarianceGradient {
    type Output = Two;

    #[inline(always)]
    fn run<V: Vector>(self, _: V) -> Two {
        variance_gradient(self.deviations, self.z).0
    }
}

/// 2 x d / S, and the parts.
#[inline(always)]
fn variance_gradient(Deviations { center, scale, mean, squares, .. }: Deviations, z: f64) -> (Two, Part) {
    let part = part(PartOf { center, scale, z });
    let deviation = part.excess.plus(mean.negated());
    let gradient = part.power.times(deviation).over(squares).scaled(2.0).scaled(scale);
    (gradient, part)
}

struct VarianceHessian {
    deviations: Deviations,
    z: f64,
    v: f64,
    mean: Two,
    slope: Two,
}

impl Task for VarianceHessian {
    type Output = f64;

    #[inline(always)]
    fn run<V: Vector>(self, _: V) -> f64 {
        let Self { deviations, z, v, mean, slope } = self;
        let Deviations { scale, squares, mean: mean_excess, .. } = deviations;
        let (gradient, Part { power, excess }) = variance_gradient(deviations, z);
        // x + d, where d is divided by the scale.
        let deviation = excess.plus(mean_excess.negated()).scaled(scale.recip());
        let inner = power.plus(deviation).times(Two { hi: v, lo: 0.0 }).plus(mean.negated());
        let first = power.times(inner).scaled(scale).over(squares).scaled(2.0).scaled(scale);
        first.plus(gradient.times(slope).negated()).hi
    }
}
