//! Log-sum-exp, softmax, mean, variance and entropy of weighted and masked terms at any temperature.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two};
use crate::arithmetic::exp::{LEAST, UNSCALE};
use crate::error::Error;
use crate::formats::Format;
use crate::interrupt::checkpoint;
use crate::kernels::block::Store;
use crate::kernels::row_access::{BLOCK, PIECE, Series};
use crate::kernels::row_functions::{
    self, About, Block, BoundedShare, Exp, Hessian, Softmax, Times, Weighted, for_exponent,
};
use crate::kernels::short_rows::{self, GREAT, SHORT};
use crate::kernels::{Constants, Each};
use crate::operations::elementwise::log_of_any;
use crate::operations::per_format::{Float, compiled};
use crate::operations::row_reduction::same_length;
use crate::operations::softmax_moments::{AtTemperature, mean, slope_at_edge};
use crate::operations::term_logarithms::Logarithms;
use crate::operations::{logvarexp, row_reduction};
use crate::simd::{Keep, scalar_tasks};
use crate::state::positive::Partial;
use crate::state::signed::{Pairs, SignedSum};
use crate::ziv::weighted;
use crate::ziv::weighted_shares::WeightedShares;
use crate::ziv::{self, Settled};
use std::borrow::Cow;

/// The terms b_k e^{z_k} of a sum: z, with optional weights b, an optional mask, and a temperature.
///
/// In this table S = Σ b_k e^{z_k}, at temperature 1:
///
/// | terms | log \|S\| and the sign of S | ∂/∂z_i = b_i e^{z_i} / S | ∂/∂b_i = e^{z_i} / S |
/// |---|---|---|---|
/// | finite terms | correctly rounded, whatever cancels | correctly rounded, whatever cancels | the same |
/// | b_i = 0 | absent, even if z_i is ±∞ or NaN | 0 | by the formula, not 0 |
/// | masked out | absent | 0 | 0 |
/// | no mass: each term absent, or its z is −∞ | −∞, sign 0 | see [`NoMass`] | see [`NoMass`] |
/// | finite terms that cancel exactly | −∞, sign 0 | NaN | NaN |
/// | z = +∞, with weights of one sign | +∞, that sign | b_i/Σ b at each +∞, Σ b over these | 1/Σ b at each +∞ |
/// | z = +∞, with weights of both signs | NaN | NaN | NaN |
/// | a NaN | NaN | NaN | NaN |
///
/// A weight ±∞ makes its term infinite, or NaN if z is −∞. Without weights the sign is 1, or 0 if there is no
/// mass.
///
/// See also [`logsumexp`](crate::logsumexp) and [`softmax`](crate::softmax) without these options;
/// [`Accumulator`](crate::Accumulator) for weighted terms that arrive in pieces.
///
/// ```
/// use logsum::Terms;
/// let z = [0.0, -750.0];
/// let terms = Terms::new(&z).weights(&[1e-200, 1e300])?;
/// assert_eq!(terms.logsumexp(), -59.2244721017863);
///
/// // log |e^1 − e^2| and its sign.
/// let terms = Terms::new(&[1.0, 2.0]).weights(&[1.0, -1.0])?;
/// assert_eq!(terms.logsumexp_with_sign(), (1.5413248546129181, -1.0));
///
/// let terms = Terms::new(&[1.0, f64::NAN, 1.0]).mask(&[true, false, true])?;
/// let mut p = [0.0; 3];
/// terms.softmax(&mut p)?;
/// assert_eq!(p, [0.5, 0.0, 0.5]);
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// At temperature 1 the log-sum-exp and its derivatives allocate memory in proportion to the row only if more than 256
/// bits are needed: because the sum cancels, or because a derivative is close to a half-way point.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a, T> {
    z: &'a [T],
    weights: Option<&'a [T]>,
    mask: Option<&'a [bool]>,
    temperature: f64,
    no_mass: NoMass,
}

/// The gradient and softmax of a sum without mass: each term is absent (masked, or of weight 0), or its z is −∞.
///
/// ```
/// use logsum::{NoMass, Terms};
/// let (z, mut p) = ([f64::NEG_INFINITY; 2], [9.0; 2]);
/// Terms::new(&z).softmax(&mut p)?;
/// assert_eq!(p, [0.0, 0.0]);
/// Terms::new(&z).no_mass(NoMass::Uniform).softmax(&mut p)?;
/// assert_eq!(p, [0.5, 0.5]);
/// # Ok::<(), logsum::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum NoMass {
    /// 0 everywhere, the gradient of a constant.
    #[default]
    Zero,
    /// 1/n at each of the n terms that are not absent: the softmax of maximal entropy.
    Uniform,
    /// NaN at each term that is not absent.
    NaN,
}

impl<'a, T: Float> Terms<'a, T> {
    /// The terms e^{z_k}: all have weight 1, none is masked, and the temperature is 1.
    ///
    /// ```
    /// let z = [1000.0, 1000.0];
    /// assert_eq!(logsum::Terms::new(&z).logsumexp(), logsum::logsumexp(&z));
    /// ```
    #[must_use]
    pub fn new(z: &'a [T]) -> Self {
        Self { z, weights: None, mask: None, temperature: 1.0, no_mass: NoMass::Zero }
    }

    /// Sets one weight per term, of any sign. A term of weight 0 is absent, whatever its z.
    ///
    /// ```
    /// let terms = logsum::Terms::new(&[0.0, f64::INFINITY]).weights(&[2.0, 0.0])?;
    /// assert_eq!(terms.logsumexp(), std::f64::consts::LN_2);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `b` is not as long as z.
    pub fn weights(self, b: &'a [T]) -> Result<Self, Error> {
        same_length("weights", b, "z", self.z)?;
        Ok(Self { weights: Some(b), ..self })
    }

    /// Includes only the terms for which the mask is true.
    ///
    /// ```
    /// let terms = logsum::Terms::new(&[3.0, f64::NAN]).mask(&[true, false])?;
    /// assert_eq!(terms.logsumexp(), 3.0);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `mask` is not as long as z.
    pub fn mask(self, mask: &'a [bool]) -> Result<Self, Error> {
        same_length("mask", mask, "z", self.z)?;
        Ok(Self { mask: Some(mask), ..self })
    }

    /// Divides each z by the temperature τ, which is 1 by default. The softmax is that of z/τ, and values are τ
    /// times the logarithm: as τ → 0 they tend to the maximum, and as τ grows, the terms become equal, so that
    /// values grow like τ log Σ b_k.
    ///
    /// z/τ is never rounded to a float: (z_k − max)/τ is computed with a relative error less than 2^-60 (f32:
    /// 2^-50), even for large scores and small temperatures. At a temperature other than 1 the absolute error of a
    /// value is at most half an ulp plus 2^-58 (f32: 2^-35) of |max z| + τ log n: it is within 1 ulp unless the
    /// maximum and the logarithm cancel.
    ///
    /// ```
    /// use logsum::Terms;
    /// let z = [1e6, 1e6 - 1e-3, 0.0];
    /// let mut p = [0.0; 3];
    /// Terms::new(&z).temperature(1e-3)?.softmax(&mut p)?;
    /// assert_eq!(p, [0.7310585879685705, 0.2689414120314295, 0.0]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::TemperatureOutOfRange`] unless `temperature` is positive and finite.
    pub fn temperature(self, temperature: f64) -> Result<Self, Error> {
        let is_valid = temperature > 0.0 && temperature.is_finite();
        is_valid.then_some(Self { temperature, ..self }).ok_or(Error::TemperatureOutOfRange { temperature })
    }

    /// Sets the gradient and softmax of a sum without mass; [`NoMass`] has an example.
    #[must_use]
    pub fn no_mass(self, no_mass: NoMass) -> Self {
        Self { no_mass, ..self }
    }

    /// τ log Σ b_k e^{z_k/τ}, correctly rounded if τ = 1; NaN if the sum is negative.
    ///
    /// See also [`logsumexp_with_sign`](Self::logsumexp_with_sign), for sums of any sign.
    ///
    /// ```
    /// use logsum::Terms;
    /// assert_eq!(Terms::new(&[5.0, 1.0]).weights(&[0.0, 1.0])?.logsumexp(), 1.0);
    /// assert!(Terms::new(&[1f64, 2.0]).weights(&[1.0, -1.0])?.logsumexp().is_nan()); // e − e² is negative
    /// # Ok::<(), logsum::Error>(())
    /// ```
    #[must_use]
    pub fn logsumexp(&self) -> T {
        let (value, sign) = self.logsumexp_with_sign();
        if sign.widen() < 0.0 { T::narrow(f64::NAN) } else { value }
    }

    /// τ log |Σ b_k e^{z_k/τ}|, correctly rounded if τ = 1, and the sign of the sum: 1, −1, 0 if the sum is 0, or
    /// NaN.
    ///
    /// ```
    /// let terms = logsum::Terms::new(&[1.0, 2.0]).weights(&[1.0, -1.0])?;
    /// assert_eq!(terms.logsumexp_with_sign(), (1.5413248546129181, -1.0)); // e − e² = −4.67…
    /// # Ok::<(), logsum::Error>(())
    /// ```
    #[must_use]
    pub fn logsumexp_with_sign(&self) -> (T, T) {
        <T as Compiled<T>>::logsumexp_with_sign(self)
    }

    /// Returns the value of [`logsumexp`](Self::logsumexp), and writes the derivatives of τ log |Σ b_k e^{z_k/τ}|
    /// with respect to each z into `gradient`: the [`softmax`](Self::softmax). If all weights are 1, the
    /// derivative of the value with respect to τ is the [`softmax_entropy`](Self::softmax_entropy).
    ///
    /// ```
    /// let mut gradient = [0.0; 2];
    /// let terms = logsum::Terms::new(&[3.0, 3.0]).weights(&[1.0, 3.0])?;
    /// let value = terms.logsumexp_with_gradient(&mut gradient)?;
    /// assert_eq!(value, logsum::logsumexp(&[3.0; 4]));
    /// assert_eq!(gradient, [0.25, 0.75]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `gradient` is not as long as z; nothing is written then.
    pub fn logsumexp_with_gradient(&self, gradient: &mut [T]) -> Result<T, Error> {
        <T as Compiled<T>>::logsumexp_with_gradient(self, gradient)
    }

    /// As [`logsumexp_with_gradient`](Self::logsumexp_with_gradient); also writes the derivatives with respect to
    /// each weight into `by_weight`.
    ///
    /// ```
    /// use logsum::Terms;
    /// let (mut by_z, mut by_weight) = ([0.0; 2], [0.0; 2]);
    /// let terms = Terms::new(&[3.0, 3.0]).weights(&[4.0, 0.0])?;
    /// terms.logsumexp_with_gradients(&mut by_z, &mut by_weight)?;
    /// assert_eq!((by_z, by_weight), ([1.0, 0.0], [0.25, 0.25]));
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `gradient` or `by_weight` is not as long as z; nothing is written then.
    pub fn logsumexp_with_gradients(&self, gradient: &mut [T], by_weight: &mut [T]) -> Result<T, Error> {
        <T as Compiled<T>>::logsumexp_with_gradients(self, gradient, by_weight)
    }

    /// Writes the softmax p_i = b_i e^{z_i/τ} / Σ b_k e^{z_k/τ}, the gradient of [`logsumexp`](Self::logsumexp), into
    /// `out`.
    ///
    /// ```
    /// let mut p = [0.0; 3];
    /// logsum::Terms::new(&[2.0, 9.0, 2.0]).mask(&[true, false, true])?.softmax(&mut p)?;
    /// assert_eq!(p, [0.5, 0.0, 0.5]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `out` is not as long as z; nothing is written then.
    pub fn softmax(&self, out: &mut [T]) -> Result<(), Error> {
        same_length("out", out, "z", self.z)?;
        self.logsumexp_with_gradient(out).map(|_| ())
    }

    /// Writes log p_i into `out`: −∞ if p_i is 0, NaN if it is negative.
    ///
    /// Without weights each is within 1 ulp. With weights the absolute error is at most half an ulp plus 2^-58 of the
    /// magnitudes of log b and z/τ, so that each is within 1 ulp where these do not cancel.
    ///
    /// ```
    /// use logsum::Terms;
    /// let mut log_p = [0.0; 3];
    /// Terms::new(&[0.0, 0.0, 9.0]).mask(&[true, true, false])?.log_softmax(&mut log_p)?;
    /// assert_eq!(log_p, [-std::f64::consts::LN_2, -std::f64::consts::LN_2, f64::NEG_INFINITY]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `out` is not as long as z; nothing is written then.
    pub fn log_softmax(&self, out: &mut [T]) -> Result<(), Error> {
        <T as Compiled<T>>::terms_log_softmax(self, out)
    }

    /// τ log(Σ b_k e^{z_k/τ} / Σ b_k): the logarithm of the weighted mean; NaN if the mean is negative or all
    /// terms are absent.
    ///
    /// Without weights and at τ = 1 it is correctly rounded, as [`logmeanexp`](crate::logmeanexp). Otherwise its
    /// absolute error is at most half an ulp plus 2^-58 of the magnitudes of the numbers that it is the sum of: max z,
    /// and τ times the logarithms of Σ b_k e^{(z_k − max z)/τ} and of Σ b_k.
    ///
    /// ```
    /// use logsum::Terms;
    /// let z = [0.0, 3f64.ln()];
    /// let terms = Terms::new(&z).weights(&[3.0, 1.0])?;
    /// assert_eq!(terms.logmeanexp(), 0.40546510810816444); // log 1.5, of these floats
    /// # Ok::<(), logsum::Error>(())
    /// ```
    #[must_use]
    pub fn logmeanexp(&self) -> T {
        <T as Compiled<T>>::terms_logmeanexp(self)
    }

    /// τ log(Σ b_k (e^{z_k/τ} − m)² / (Σ b_k − ddof)) with the weighted mean m: weights count how often a number
    /// occurs.
    ///
    /// Special cases are those of [`logvarexp`](crate::logvarexp), and so is the bound without weights at τ = 1.
    /// Otherwise the absolute error is at most 1 ulp plus 2^-58 (1 + 2 max |z|); with weights of both signs, it grows
    /// with the sums of magnitudes that nearly cancel.
    ///
    /// ```
    /// let z = [1000.0, f64::NAN, 1001.0];
    /// let terms = logsum::Terms::new(&z).mask(&[true, false, true])?;
    /// assert_eq!(terms.logvarexp(0), logsum::logvarexp(&[1000.0, 1001.0], 0));
    /// # Ok::<(), logsum::Error>(())
    /// ```
    #[must_use]
    pub fn logvarexp(&self, ddof: usize) -> T {
        <T as Compiled<T>>::terms_logvarexp(self, ddof)
    }

    /// −Σ p_k log p_k, the entropy of the [`softmax`](Self::softmax) in nats: between 0 and log n; NaN if a p is
    /// negative.
    ///
    /// Bounds are those of [`softmax_entropy`](crate::softmax_entropy).
    ///
    /// ```
    /// let terms = logsum::Terms::new(&[5.0, 5.0, 9.0]).mask(&[true, true, false])?;
    /// assert_eq!(terms.softmax_entropy(), std::f64::consts::LN_2);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    #[must_use]
    pub fn softmax_entropy(&self) -> T {
        <T as Compiled<T>>::terms_entropy(self)
    }

    /// Returns the value of [`softmax_entropy`](Self::softmax_entropy), and writes its derivatives with respect to
    /// z into `gradient`: p_i (a_i − ā)/τ with a = −log p and ā = Σ p_k a_k.
    ///
    /// ```
    /// let mut gradient = [9.0; 2];
    /// let entropy = logsum::Terms::new(&[2.0, 2.0]).softmax_entropy_with_gradient(&mut gradient)?;
    /// assert_eq!((entropy, gradient), (std::f64::consts::LN_2, [0.0, 0.0])); // a maximum
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `gradient` is not as long as z; nothing is written then.
    pub fn softmax_entropy_with_gradient(&self, gradient: &mut [T]) -> Result<T, Error> {
        <T as Compiled<T>>::terms_entropy_with_gradient(self, gradient)
    }

    /// The value of [`softmax_entropy`](Self::softmax_entropy), and its derivative in the direction `tangent`:
    /// Σ g_k t_k with the gradient g.
    ///
    /// ```
    /// let terms = logsum::Terms::new(&[2.0, 2.0]);
    /// assert_eq!(terms.softmax_entropy_jvp(&[1.0, 0.0])?, (std::f64::consts::LN_2, 0.0));
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `tangent` is not as long as z.
    pub fn softmax_entropy_jvp(&self, tangent: &[T]) -> Result<(T, T), Error> {
        <T as Compiled<T>>::terms_entropy_jvp(self, tangent)
    }

    /// Writes the Hessian of [`softmax_entropy`](Self::softmax_entropy) times a vector into `out`: p_i
    /// ((v_i − v̄)(a_i − ā − 1) − Σ p_k (v_k − v̄)(a_k − ā))/τ², with a = −log p, ā = Σ p_k a_k and v̄ = Σ p_k v_k.
    ///
    /// ```
    /// let mut out = [0.0; 2];
    /// logsum::Terms::new(&[2.0, 2.0]).softmax_entropy_hvp(&[1.0, 0.0], &mut out)?;
    /// assert_eq!(out, [-0.25, 0.25]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `vector` or `out` is not as long as z; nothing is written then.
    pub fn softmax_entropy_hvp(&self, vector: &[T], out: &mut [T]) -> Result<(), Error> {
        <T as Compiled<T>>::terms_entropy_hvp(self, vector, out)
    }

    /// τ log |Σ b_k e^{z_k/τ}|, and its derivative in the direction `tangent`: Σ g_k t_k with the gradient g. The
    /// value is that of [`logsumexp`](Self::logsumexp) unless the sum is negative, and then that of
    /// [`logsumexp_with_sign`](Self::logsumexp_with_sign).
    ///
    /// The absolute error of the derivative is at most half an ulp plus 2^-59 (f32: 2^-29) of Σ |g_k t_k|: the
    /// derivative is within 1 ulp where little cancels. Tangents of masked terms are ignored.
    ///
    /// ```
    /// let terms = logsum::Terms::new(&[0.0, 0.0, 5.0]).mask(&[true, true, false])?;
    /// assert_eq!(terms.jvp(&[1.0, 2.0, 7.0])?, (std::f64::consts::LN_2, 1.5));
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `tangent` is not as long as z.
    pub fn jvp(&self, tangent: &[T]) -> Result<(T, T), Error> {
        <T as Compiled<T>>::jvp(self, tangent)
    }

    /// Writes the Hessian of [`logsumexp`](Self::logsumexp) times a vector into `out`: (diag(g) − g gᵀ) v / τ, that is
    /// g_i (v_i − Σ g_k v_k)/τ with the gradient g.
    ///
    /// It is also the Jacobian of the softmax times v, and its transpose times v, since the Hessian is symmetric.
    /// Each element is within 1 ulp where v_i − Σ g_k v_k does not cancel; that difference has an absolute error
    /// of at most 2^-59 (f32: 2^-29) of Σ |g_k v_k|.
    ///
    /// ```
    /// let mut out = [0.0; 2];
    /// logsum::Terms::new(&[3.0, 3.0]).hvp(&[1.0, 0.0], &mut out)?;
    /// assert_eq!(out, [0.25, -0.25]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `vector` or `out` is not as long as z; nothing is written then.
    pub fn hvp(&self, vector: &[T], out: &mut [T]) -> Result<(), Error> {
        <T as Compiled<T>>::hvp(self, vector, out)
    }
}

compiled! {
    fn logsumexp_with_sign(terms: &Terms<'_, T>) -> (T, T) {
        let (value, sign) = match terms.row() {
            Row::AtOne => {
                let Reduced { value, sign, .. } = terms.reduced_to_value();
                return (value, T::narrow(sign));
            }
            Row::Plain(row) => (row.at_temperature(terms).value(), 1.0),
            Row::Weighted(row, _) => row.value(),
        };
        (T::narrow(value), T::narrow(sign))
    }

    fn logsumexp_with_gradient(terms: &Terms<'_, T>, gradient: &mut [T]) -> Result<T, Error> {
        same_length("gradient", gradient, "z", terms.z)?;
        Ok(terms.gradients(gradient, None))
    }

    fn logsumexp_with_gradients(
        terms: &Terms<'_, T>,
        gradient: &mut [T],
        by_weight: &mut [T],
    ) -> Result<T, Error> {
        same_length("gradient", gradient, "z", terms.z)?;
        same_length("by_weight", by_weight, "z", terms.z)?;
        Ok(terms.gradients(gradient, Some(by_weight)))
    }

    fn terms_log_softmax(terms: &Terms<'_, T>, out: &mut [T]) -> Result<(), Error> {
        same_length("out", out, "z", terms.z)?;
        terms.log_softmax_into(out);
        Ok(())
    }

    fn terms_logmeanexp(terms: &Terms<'_, T>) -> T {
        match terms.row_with_vanishing() {
            Row::Plain(row) if terms.temperature == 1.0 => mean(&row.z),
            Row::Plain(row) => T::narrow(row.at_temperature(terms).mean()),
            Row::Weighted(row, _) => T::narrow(row.mean()),
            Row::AtOne if terms.is_nothing() => T::narrow(f64::NAN),
            Row::AtOne => {
                let (value, sign) = terms.at_one().logsumexp_with_sign();
                let (sign, total) = (sign.widen(), terms.total_weight().hi);
                let is_negative = if sign == 0.0 { total == 0.0 } else { sign * total <= 0.0 };
                if is_negative { T::narrow(f64::NAN) } else { value }
            }
        }
    }

    fn terms_logvarexp(terms: &Terms<'_, T>, ddof: usize) -> T {
        match terms.row_with_vanishing() {
            Row::Plain(row) if terms.temperature == 1.0 || !row.is_ordinary() => logvarexp::value(&row.z, ddof),
            Row::Plain(row) => T::narrow(row.logarithms(terms.temperature).variance(ddof)),
            Row::Weighted(row, _) => T::narrow(row.variance(ddof)),
            Row::AtOne if (terms.total_weight() + -(ddof as f64)).hi <= 0.0 => T::narrow(f64::NAN),
            // Absent terms are left out. All numbers are −∞, or the variance is infinite or NaN, whatever weights are.
            Row::AtOne => logvarexp::value(&terms.counted_numbers(), 0),
        }
    }

    fn terms_entropy(terms: &Terms<'_, T>) -> T {
        T::narrow(terms.entropy())
    }

    fn terms_entropy_with_gradient(terms: &Terms<'_, T>, gradient: &mut [T]) -> Result<T, Error> {
        same_length("gradient", gradient, "z", terms.z)?;
        Ok(T::narrow(match terms.general_row() {
            Row::Plain(row) => {
                row.each(gradient, T::default(), |row, out| row.at_temperature(terms).entropy_gradient(out))
            }
            Row::Weighted(row, places) => {
                let (each, entropy) = row.surprisals();
                let slopes = each.iter().map(|&(p, a)| T::narrow(row.divided(p * (a - entropy)).hi));
                scatter(gradient, &places, T::default(), slopes);
                entropy.hi
            }
            Row::AtOne => {
                let entropy = terms.entropy();
                gradient.fill(slope_at_edge(entropy));
                entropy
            }
        }))
    }

    fn terms_entropy_jvp(terms: &Terms<'_, T>, tangent: &[T]) -> Result<(T, T), Error> {
        same_length("tangent", tangent, "z", terms.z)?;
        let tangent = &*terms.counting(tangent);
        let (entropy, slope) = match terms.general_row() {
            Row::Plain(row) => row.at_temperature(terms).entropy_jvp(&row.counted(tangent)),
            Row::Weighted(row, places) => {
                let (each, entropy) = row.surprisals();
                let parts = each.iter().zip(&places);
                let parts = parts.map(|(&(p, a), &i)| p * (a - entropy) * DoubleDouble::from(tangent[i].widen()));
                (entropy.hi, row.divided(parts.fold(DoubleDouble::ZERO, |sum, part| sum + part)).hi)
            }
            Row::AtOne => {
                let entropy = terms.entropy();
                (entropy, slope_at_edge::<T>(entropy).widen())
            }
        };
        Ok((T::narrow(entropy), T::narrow(slope)))
    }

    fn terms_entropy_hvp(terms: &Terms<'_, T>, vector: &[T], out: &mut [T]) -> Result<(), Error> {
        same_length("vector", vector, "z", terms.z)?;
        same_length("out", out, "z", terms.z)?;
        let vector = &*terms.counting(vector);
        match terms.general_row() {
            Row::Plain(row) => {
                let vector = row.counted(vector);
                row.each(out, T::default(), |row, out| row.at_temperature(terms).entropy_hvp(&vector, out));
            }
            Row::Weighted(row, places) => {
                let (each, entropy) = row.surprisals();
                let v: Vec<T> = places.iter().map(|&i| vector[i]).collect();
                let mean = row.mean_of(&v);
                let deviations = each.iter().zip(&v).map(|(&(p, a), v)| (p, -mean + v.widen(), a - entropy));
                let covariance = deviations.clone().fold(DoubleDouble::ZERO, |sum, (p, v, a)| sum + p * v * a);
                let hessian = deviations.map(|(p, v, a)| {
                    T::narrow(row.divided(row.divided(p * (v * (a + -1.0) - covariance))).hi)
                });
                scatter(out, &places, T::default(), hessian);
            }
            Row::AtOne => out.fill(slope_at_edge(terms.entropy())),
        }
        Ok(())
    }

    fn jvp(terms: &Terms<'_, T>, tangent: &[T]) -> Result<(T, T), Error> {
        same_length("tangent", tangent, "z", terms.z)?;
        let tangent = &*terms.counting(tangent);
        match terms.row() {
            Row::Plain(row) => {
                if let Some((value, slope)) = row.at_temperature(terms).jvp(&row.counted(tangent)) {
                    return Ok((T::narrow(value), T::narrow(slope)));
                }
            }
            Row::Weighted(row, places) if row.value().1 != 0.0 => {
                let tangent: Vec<T> = places.iter().map(|&i| tangent[i]).collect();
                return Ok((T::narrow(row.value().0), T::narrow(row.mean_of(&tangent).hi)));
            }
            _ => {}
        }
        let reduced = terms.with_shares();
        let mean = terms.mean(&reduced.shares, tangent);
        Ok((reduced.value, T::narrow(mean.hi)))
    }

    fn hvp(terms: &Terms<'_, T>, vector: &[T], out: &mut [T]) -> Result<(), Error> {
        same_length("vector", vector, "z", terms.z)?;
        same_length("out", out, "z", terms.z)?;
        // The same algorithm as for many rows, so that the bits are the same.
        if terms.has_short_hessian()
            && short_rows::hessians(terms.z, vector, terms.z.len(), out, &mut Default::default()) & 1 == 0
        {
            return Ok(());
        }
        let vector = &*terms.counting(vector);
        // The result is linear in the vector: unless scaled, its greatest numbers would overflow beside the scaled
        // exponentials.
        let times = |numbers: &[T], factor: f64| numbers.iter().map(|x| T::narrow(x.widen() * factor)).collect::<Vec<T>>();
        if vector.iter().any(|v| v.widen().abs() > power_of_two(768)) {
            terms.hvp_into(&times(vector, power_of_two(-256)), out);
            out.copy_from_slice(&times(out, power_of_two(256)));
        } else {
            terms.hvp_into(vector, out);
        }
        Ok(())
    }
}

/// The algorithm for a row.
enum Row<'a, T: Clone> {
    /// The algorithm for τ = 1, which at any temperature also serves rows without finite terms, and weighted rows with
    /// a term that is infinite or NaN.
    AtOne,
    /// A row without weights.
    Plain(Counted<'a, T>),
    /// The finite terms and their indices.
    Weighted(Logarithms, Vec<usize>),
}

/// The numbers that are not masked out, and their indices if there is a mask.
struct Counted<'a, T: Clone> {
    z: Cow<'a, [T]>,
    places: Option<Vec<usize>>,
}

impl<T: Format> Counted<'_, T> {
    fn at_temperature(&self, terms: &Terms<'_, T>) -> AtTemperature<'_, T> {
        AtTemperature { z: &self.z, temperature: terms.temperature }
    }

    /// Whether the greatest number is finite, and there is no NaN.
    fn is_ordinary(&self) -> bool {
        let is_wanted = |z: &T| z.widen() < f64::INFINITY;
        self.z.iter().all(is_wanted) && !self.has_no_mass()
    }

    fn has_no_mass(&self) -> bool {
        self.z.iter().all(|z| z.widen() == f64::NEG_INFINITY)
    }

    fn logarithms(&self, temperature: f64) -> Logarithms {
        Logarithms::new(&self.z, |_| 1.0, temperature)
    }

    /// The elements of another slice at the indices of these numbers.
    fn counted<'b>(&self, numbers: &'b [T]) -> Cow<'b, [T]> {
        match &self.places {
            None => Cow::Borrowed(numbers),
            Some(places) => Cow::Owned(places.iter().map(|&i| numbers[i]).collect()),
        }
    }

    /// Lets `f` write a result for each number, and returns the result of `f`; masked places receive `elsewhere`.
    fn each<R>(&self, out: &mut [T], elsewhere: T, f: impl FnOnce(&Self, &mut [T]) -> R) -> R {
        match &self.places {
            None => f(self, out),
            Some(places) => {
                let mut results = vec![T::default(); places.len()];
                let returned = f(self, &mut results);
                scatter(out, places, elsewhere, results.into_iter());
                returned
            }
        }
    }
}

/// Writes the results at these places, and `elsewhere` at all others.
fn scatter<T: Format>(out: &mut [T], places: &[usize], elsewhere: T, results: impl Iterator<Item = T>) {
    out.fill(elsewhere);
    places.iter().zip(results).for_each(|(&i, result)| out[i] = result);
}

impl<'a, T: Format> Terms<'a, T> {
    /// The terms at τ = 1.
    fn at_one(&self) -> Self {
        Self { temperature: 1.0, ..*self }
    }

    /// The algorithm for operations with a faster path at τ = 1.
    fn row(&self) -> Row<'a, T> {
        if self.temperature == 1.0 {
            return Row::AtOne;
        }
        match self.general_row() {
            Row::Plain(row) if !row.is_ordinary() => Row::AtOne,
            row => row,
        }
    }

    /// The algorithm for other operations: [`Row::AtOne`] only for weighted rows with a non-finite term or without
    /// finite terms.
    fn general_row(&self) -> Row<'a, T> {
        self.row_of(f64::is_finite)
    }

    /// The same for means, in which terms e^−∞ = 0 count by their weights.
    fn row_with_vanishing(&self) -> Row<'a, T> {
        self.row_of(|z| z < f64::INFINITY)
    }

    /// [`general_row`](Self::general_row); weighted rows have only the terms whose numbers pass the test.
    fn row_of(&self, is_wanted: impl Fn(f64) -> bool) -> Row<'a, T> {
        let Some(b) = self.weights else {
            let places = self.mask.map(|_| self.places(|_| true));
            let z = match &places {
                None => Cow::Borrowed(self.z),
                Some(places) => Cow::Owned(places.iter().map(|&i| self.z[i]).collect()),
            };
            return Row::Plain(Counted { z, places });
        };
        let pairs = Pairs { z: self.z, b: Some(b), mask: self.mask, divisor: 1.0 };
        let places = self.places(is_wanted);
        let z: Vec<T> = places.iter().map(|&i| self.z[i]).collect();
        if Infinite::of(pairs).is_some() || !z.iter().any(|z| z.widen().is_finite()) {
            return Row::AtOne;
        }
        let row = Logarithms::new(&z, |k| b[places[k]].widen(), self.temperature);
        Row::Weighted(row, places)
    }

    /// The indices of the terms that are not absent and whose z passes the test.
    fn places(&self, is_wanted: impl Fn(f64) -> bool) -> Vec<usize> {
        (0..self.z.len()).filter(|&i| !self.is_absent(i) && is_wanted(self.z[i].widen())).collect()
    }

    fn counted_numbers(&self) -> Vec<T> {
        self.places(|_| true).into_iter().map(|i| self.z[i]).collect()
    }

    fn is_nothing(&self) -> bool {
        (0..self.z.len()).all(|i| self.is_absent(i))
    }

    /// Σ b.
    fn total_weight(&self) -> DoubleDouble {
        let weights = self.places(|_| true).into_iter().map(|i| self.weights.map_or(1.0, |b| b[i].widen()));
        weights.fold(DoubleDouble::ZERO, |sum, b| sum + b)
    }

    /// Returns the value and writes the gradient into `out`; writes τ e^{z_i/τ} / Σ b_k e^{z_k/τ} into `by_weight`
    /// if given.
    fn gradients(&self, out: &mut [T], by_weight: Option<&mut [T]>) -> T {
        let (value, sign) = match self.row() {
            Row::AtOne => {
                if let Some(value) = self.plain_gradients(out) {
                    by_weight.into_iter().for_each(|by_weight| {
                        by_weight.copy_from_slice(out);
                        self.times_temperature(by_weight);
                    });
                    return value;
                }
                let Reduced { value, sign, shares } = self.with_shares();
                self.fill(&shares, By::Number, out);
                if let Some(out) = by_weight {
                    self.fill(&shares, By::Weight, out);
                    self.times_temperature(out);
                }
                (value.widen(), sign)
            }
            Row::Plain(row) => {
                if let Some(out) = by_weight {
                    self.each_by_weight(&row.logarithms(self.temperature), out);
                }
                (row.each(out, T::default(), |row, out| row.at_temperature(self).softmax(out)), 1.0)
            }
            Row::Weighted(row, places) => {
                if let Some(out) = by_weight {
                    self.each_by_weight(&row, out);
                }
                let (value, sign) = row.value();
                let shares = row.shares().map(|p| T::narrow(if sign == 0.0 { f64::NAN } else { p.hi }));
                scatter(out, &places, T::default(), shares);
                (value, sign)
            }
        };
        T::narrow(if sign < 0.0 { f64::NAN } else { value })
    }

    /// The value of a sum without weights and with a finite maximum, and its gradient in `out`.
    fn plain_gradients(&self, out: &mut [T]) -> Option<T> {
        let masked = self.mask.map(|mask| Masked { z: self.z, mask });
        let row: &dyn Series<T> = masked.as_ref().map_or(&self.z, |masked| masked);
        if self.weights.is_some() {
            return None;
        }
        let partial = Partial::<T::Elements>::over(row);
        partial.max.is_finite().then(|| {
            row_reduction::each(Each::Share, &partial, row, &mut &mut *out, Store::Caches);
            ziv::settle(&partial, row).0
        })
    }

    fn each_by_weight(&self, row: &Logarithms, out: &mut [T]) {
        for (z, out) in self.z.iter().zip(&mut *out) {
            *out = T::narrow(row.share_by_weight(z.widen()) * self.temperature);
        }
        self.clear_masked(out);
    }

    fn log_softmax_into(&self, out: &mut [T]) {
        match self.general_row() {
            Row::Plain(row) => row.each(out, T::NEG_INFINITY, |row, out| match self.temperature {
                _ if self.no_mass != NoMass::Zero && row.has_no_mass() => {
                    out.fill(T::narrow(log_of_any(self.share_of_no_mass())));
                }
                1.0 => {
                    let to = Store::for_output::<T>(out.len());
                    row_reduction::partial_and_each(Each::LogShare, &row.z, out, &mut Vec::new(), to);
                }
                _ => row.at_temperature(self).log_softmax(out),
            }),
            Row::Weighted(row, places) => {
                scatter(out, &places, T::NEG_INFINITY, row.log_shares().map(T::narrow));
            }
            Row::AtOne => {
                self.at_one().gradients(out, None);
                for out in out.iter_mut() {
                    *out = T::narrow(log_of_any(out.widen()));
                }
            }
        }
    }

    fn entropy(&self) -> f64 {
        match self.general_row() {
            Row::Plain(row) => row.at_temperature(self).entropy(),
            Row::Weighted(row, _) => row.surprisals().1.hi,
            Row::AtOne => {
                let mut p = vec![T::default(); self.z.len()];
                self.at_one().gradients(&mut p, None);
                let parts = p.iter().map(|p| p.widen()).filter(|&p| p != 0.0).map(|p| -p * log_of_any(p));
                parts.fold(0.0, |sum, part| sum + part)
            }
        }
    }

    fn hvp_into(&self, vector: &[T], out: &mut [T]) {
        match self.row() {
            Row::Plain(row) => {
                let vector = row.counted(vector);
                if row
                    .each(out, T::default(), |row, out| row.at_temperature(self).hvp(&vector, out))
                    .is_some()
                {
                    return;
                }
            }
            Row::Weighted(row, places) if row.value().1 != 0.0 => {
                let v: Vec<T> = places.iter().map(|&i| vector[i]).collect();
                let mean = row.mean_of(&v);
                let each =
                    row.shares().zip(&v).map(|(p, v)| T::narrow(row.divided(p * (-mean + v.widen())).hi));
                return scatter(out, &places, T::default(), each);
            }
            _ => {}
        }
        let shares = self.with_shares().shares;
        let mean = self.mean(&shares, vector);
        match shares.plain() {
            Some((shift, inverse)) => {
                let row = Block { z: self.z, v: Some(vector), w: self.weights };
                for_exponent!(About::shift(shift), exponent => {
                    let hessian = Hessian { softmax: Softmax { exponent: Weighted(exponent), inverse }, mean };
                    row_functions::each::<T::First, T, _>(row, hessian, out, Store::Caches);
                });
            }
            None => {
                self.fill(&shares, By::Number, out);
                for (out, v) in out.iter_mut().zip(vector) {
                    *out = T::narrow(out.widen() * (-mean + v.widen()).hi);
                }
            }
        }
        if self.temperature != 1.0 {
            out.iter_mut().for_each(|out| *out = T::narrow(out.widen() / self.temperature));
        }
        if self.mask.is_some() || self.weights.is_some() {
            let absent = out.iter_mut().enumerate().filter(|(i, _)| self.is_absent(*i));
            absent.for_each(|(_, out)| *out = T::default());
        }
    }
}

impl<'a, T: Format> Terms<'a, T> {
    /// Whether the Hessians of rows like this are found eight at a time.
    pub(crate) fn has_short_hessian(&self) -> bool {
        let is_plain = self.weights.is_none() && self.mask.is_none() && self.temperature == 1.0;
        is_plain && (1..SHORT).contains(&self.z.len())
    }

    /// Whether the sums of rows of an array like this are found eight at a time.
    #[cfg(feature = "ndarray")]
    pub(crate) fn has_short_weighted_sum(&self) -> bool {
        let is_plain = self.weights.is_none() && self.mask.is_none();
        !is_plain && self.temperature == 1.0 && (1..SHORT).contains(&self.z.len())
    }

    /// Σ g_k t_k.
    fn mean(&self, shares: &Shares<'_, T>, tangent: &[T]) -> DoubleDouble {
        if let Some((shift, inverse)) = shares.plain() {
            let sum = self.sum_of_blocks(tangent, |terms, tangent| {
                let row = Block { z: terms.z, v: Some(tangent), w: terms.weights };
                for_exponent!(About::shift(shift), exponent => row_functions::sum::<T::First, T>(row, Times(Exp(Weighted(exponent)))))
            });
            let mean = scalar_tasks::product(sum, inverse).scaled(UNSCALE);
            if mean.hi.is_finite() {
                return mean;
            }
        }
        self.sum_of_blocks(tangent, |terms, tangent| {
            let mut gradient = [T::default(); BLOCK];
            let gradient = &mut gradient[..tangent.len()];
            terms.fill_block(shares, By::Number, gradient);
            row_functions::dot(gradient, tangent)
        })
    }

    /// The vector. If it has numbers of a magnitude above [`GREAT`], whose products with exponentials that count as
    /// e^-1000 are not negligible, it has 0 where the softmax is 0: at absent terms, at −∞, and, without weights, where
    /// z/τ is at least 1000 below the maximum. A weight may make up for any distance.
    fn counting<'v>(&self, vector: &'v [T]) -> Cow<'v, [T]> {
        let is_small = |v: &T| v.widen().abs() <= GREAT;
        if vector.iter().all(is_small) {
            return Cow::Borrowed(vector);
        }
        let present = |i: usize| (!self.is_absent(i)).then(|| self.z[i].widen());
        let max = (0..self.z.len()).filter_map(present).fold(f64::NEG_INFINITY, f64::max);
        let least = if self.weights.is_some() { f64::NEG_INFINITY } else { LEAST };
        let is_far = |z: f64| z == f64::NEG_INFINITY || (z - max) / self.temperature <= least;
        let counts = |i: usize| present(i).is_some_and(|z| !is_far(z));
        vector.iter().enumerate().map(|(i, &v)| if counts(i) { v } else { T::default() }).collect()
    }

    /// The sum of `f` over blocks and the corresponding parts of the tangent, with 0 at masked terms.
    fn sum_of_blocks(&self, tangent: &[T], f: impl Fn(Self, &[T]) -> DoubleDouble) -> DoubleDouble {
        let mut counted = [T::default(); BLOCK];
        let blocks = self.blocks().zip(tangent.chunks(BLOCK));
        blocks.fold(DoubleDouble::ZERO, |sum, (terms, tangent)| {
            if terms.mask.is_none() {
                return sum + f(terms, tangent);
            }
            let counted = &mut counted[..tangent.len()];
            counted.copy_from_slice(tangent);
            terms.clear_masked(counted);
            sum + f(terms, counted)
        })
    }

    /// Turns the derivatives of log Σ b e^z with respect to the weights into those of τ log Σ b e^{z/τ}.
    fn times_temperature(&self, out: &mut [T]) {
        if self.temperature != 1.0 {
            out.iter_mut().for_each(|x| *x = T::narrow(x.widen() * self.temperature));
        }
    }

    /// Writes 0 at masked terms.
    fn clear_masked(&self, out: &mut [T]) {
        for (out, _) in out.iter_mut().zip(self.mask.unwrap_or_default()).filter(|(_, counts)| !**counts) {
            *out = T::default();
        }
    }

    /// Whether term i is absent: masked out, or of weight 0.
    fn is_absent(&self, i: usize) -> bool {
        self.mask.is_some_and(|mask| !mask[i]) || self.weights.is_some_and(|b| b[i].widen() == 0.0)
    }

    fn blocks(self) -> impl Iterator<Item = Self> {
        (0..self.z.len()).step_by(BLOCK).map(move |start| {
            checkpoint();
            let end = self.z.len().min(start + BLOCK);
            Self {
                z: &self.z[start..end],
                weights: self.weights.map(|b| &b[start..end]),
                mask: self.mask.map(|mask| &mask[start..end]),
                ..self
            }
        })
    }

    fn each_block(&self, out: &mut [T], mut f: impl FnMut(Self, &mut [T])) {
        self.blocks().zip(out.chunks_mut(BLOCK)).for_each(|(terms, out)| f(terms, out));
    }

    fn with_shares(&self) -> Reduced<'a, T> {
        // 2^-6 ulp of a result.
        self.reduced::<T::Elements>(power_of_two(-6 - T::SIGNIFICAND_BITS as i32))
    }

    fn reduced_to_value(&self) -> Reduced<'a, T> {
        self.reduced::<T::First>(f64::INFINITY)
    }

    /// The value, its sign, and how to compute the shares, from a first phase in this precision. With weights, the
    /// logarithm for the latter has an error of at most `most`.
    fn reduced<P: Keep>(&self, most: f64) -> Reduced<'a, T> {
        let Some(b) = self.weights else {
            return match self.mask {
                None => self.reduced_plain(&self.z),
                Some(mask) => self.reduced_plain(&Masked { z: self.z, mask }),
            };
        };
        let pairs = Pairs { z: self.z, b: Some(b), mask: self.mask, divisor: 1.0 };
        let first = SignedSum::<P>::over(pairs);
        let edge = |value, sign, shares| Reduced { value: T::narrow(value), sign, shares };
        if !first.is_finite() {
            match Infinite::of(pairs) {
                None => {}
                Some(Infinite { total, .. }) if total.hi.is_nan() => {
                    return edge(f64::NAN, f64::NAN, Shares::Everywhere(f64::NAN));
                }
                Some(infinite) => {
                    return edge(f64::INFINITY, infinite.total.hi.signum(), Shares::Infinite(infinite));
                }
            }
        }
        if first.may_be_nothing() && pairs.present().all(|(z, _)| z == f64::NEG_INFINITY) {
            return edge(f64::NEG_INFINITY, 0.0, Shares::Everywhere(self.share_of_no_mass()));
        }
        let Settled { value, sign, log, .. } = weighted::settle(pairs, &first, most);
        if sign == 0.0 {
            return Reduced { value, sign, shares: Shares::Everywhere(f64::NAN) };
        }
        let phases = WeightedShares::new(pairs, log, sign);
        let shares = match first.share().or_else(|| phases.share::<T::Elements>()) {
            Some(share) => Shares::Weighted(share, phases),
            None => Shares::Alone(phases),
        };
        Reduced { value, sign, shares }
    }

    fn reduced_plain(&self, lane: &dyn Series<T>) -> Reduced<'a, T> {
        let partial = Partial::<T::First>::over(lane);
        let value = ziv::settle(&partial, lane).0;
        let (sign, shares) = match partial.max {
            f64::NEG_INFINITY => (0.0, Shares::Everywhere(self.share_of_no_mass())),
            f64::INFINITY => {
                let mut count = 0_u64;
                lane.pieces(&mut |piece| {
                    count += piece.iter().filter(|z| z.widen() == f64::INFINITY).count() as u64;
                });
                (1.0, Shares::Infinite(Infinite::equal(count)))
            }
            max if max.is_nan() => (f64::NAN, Shares::Everywhere(f64::NAN)),
            _ => {
                let Constants { c: shift, two: inverse, .. } = partial.constants(Each::Share);
                (1.0, Shares::Plain { shift, inverse })
            }
        };
        Reduced { value, sign, shares }
    }

    fn share_of_no_mass(&self) -> f64 {
        match self.no_mass {
            NoMass::Zero => 0.0,
            NoMass::Uniform => 1.0 / (0..self.z.len()).filter(|&i| !self.is_absent(i)).count() as f64,
            NoMass::NaN => f64::NAN,
        }
    }
}

struct Reduced<'a, T> {
    value: T,
    sign: f64,
    shares: Shares<'a, T>,
}

/// How to compute b_i e^{z_i} / Σ b_k e^{z_k}.
enum Shares<'a, T> {
    /// e^{z − shift} · inverse: all weights are 1.
    Plain { shift: f64, inverse: DoubleDouble },
    /// b e^{z − shift} · inverse, by vectors, and phases for what that leaves unsettled.
    Weighted(BoundedShare, WeightedShares<'a, T>),
    /// Number by number: the sum cancels nearly all of its terms, or weights are out of range.
    Alone(WeightedShares<'a, T>),
    /// At least one term is infinite.
    Infinite(Infinite),
    /// One value for every term that is not absent.
    Everywhere(f64),
}

impl<T> Shares<'_, T> {
    /// The shift and the inverse of the sum, for the variants with a vector loop.
    fn plain(&self) -> Option<(f64, DoubleDouble)> {
        match *self {
            Self::Plain { shift, inverse } => Some((shift, inverse)),
            Self::Weighted(BoundedShare { shift, inverse, .. }, _) => Some((shift, inverse)),
            _ => None,
        }
    }
}

/// With respect to what the logarithm of a sum is differentiated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// The numbers: b_i e^{z_i} / Σ b_k e^{z_k}.
    Number,
    /// The weights: e^{z_i} / Σ b_k e^{z_k}.
    Weight,
}

impl<T: Format> Terms<'_, T> {
    /// Writes the derivatives.
    fn fill(&self, shares: &Shares<'_, T>, by: By, out: &mut [T]) {
        self.each_block(out, |block, out| block.fill_block(shares, by, out));
    }

    fn fill_block(self, shares: &Shares<'_, T>, by: By, out: &mut [T]) {
        let w = self.weights.filter(|_| by == By::Number);
        let weight = |i: usize| w.map_or(T::narrow(1.0), |w| w[i]);
        let alone = |i: usize| match shares {
            _ if by == By::Number && self.is_absent(i) => T::default(),
            Shares::Weighted(_, phases) | Shares::Alone(phases) => phases.nearest(self.z[i], weight(i)),
            Shares::Infinite(infinite) => T::narrow(infinite.share(by, self.z[i].widen(), weight(i).widen())),
            &Shares::Everywhere(share) => T::narrow(share),
            Shares::Plain { .. } => T::narrow(f64::NAN),
        };
        let block = Block { z: self.z, v: None, w };
        match *shares {
            Shares::Plain { shift, inverse } => {
                row_functions::softmax(block, About::shift(shift), inverse, out, Store::Caches);
            }
            Shares::Weighted(share, _) => settled_shares(block, share, out, alone),
            _ => out.iter_mut().enumerate().for_each(|(i, out)| *out = alone(i)),
        }
        self.clear_masked(out);
    }
}

/// Writes the shares of a block; `alone` computes a share at a place that the first phase does not settle.
fn settled_shares<T: Format>(
    block: Block<'_, T>,
    share: BoundedShare,
    out: &mut [T],
    alone: impl Fn(usize) -> T,
) {
    let mut masks = [0; BLOCK / 8];
    row_functions::weighted_shares(block, share, out, &mut masks);
    row_functions::marked(&masks).for_each(|i| out[i] = alone(i));
}

/// The sum of the infinite terms.
#[derive(Clone, Copy)]
struct Infinite {
    /// The sum of the weights of all z = +∞, times `factor`; with infinite weights, the sum of the signs of these. NaN
    /// if the whole sum is NaN.
    total: DoubleDouble,
    /// A power of 2 that keeps the sum in range.
    factor: f64,
    has_infinite_weights: bool,
}

impl Infinite {
    /// Of `count` terms whose weight is 1.
    fn equal(count: u64) -> Self {
        Self { total: DoubleDouble::from(count as f64), factor: 1.0, has_infinite_weights: false }
    }

    /// `None` if all terms are finite.
    fn of<T: Format>(pairs: Pairs<'_, T>) -> Option<Self> {
        let mut of_numbers = DoubleDouble::ZERO;
        let (mut of_weights, mut factor) = (0.0, 1.0);
        let [mut has_positive, mut has_negative] = [false; 2];
        for (z, b) in pairs.present() {
            if z.is_nan() || b.is_nan() || b.is_infinite() && z == f64::NEG_INFINITY {
                return Some(Self { total: DoubleDouble::from(f64::NAN), ..Self::equal(0) });
            }
            if b.is_infinite() {
                of_weights += b.signum();
            } else if z == f64::INFINITY {
                if factor == 1.0 && b.abs() > power_of_two(900) {
                    factor = power_of_two(-100);
                    of_numbers = of_numbers.scaled(factor);
                }
                of_numbers = of_numbers + b * factor;
            } else {
                continue;
            }
            has_positive |= b > 0.0;
            has_negative |= b < 0.0;
        }
        let has_infinite_weights = of_weights != 0.0;
        let total = match (has_positive, has_negative) {
            (false, false) => return None,
            (true, true) => DoubleDouble::from(f64::NAN),
            _ if has_infinite_weights => DoubleDouble::from(of_weights),
            _ => of_numbers,
        };
        Some(Self { total, factor, has_infinite_weights })
    }

    fn share(self, by: By, z: f64, b: f64) -> f64 {
        let over_total = |b: f64| match self.total.lo {
            0.0 => b / self.total.hi,
            _ => scalar_tasks::quotient(DoubleDouble::from(b), self.total).hi,
        };
        match self.has_infinite_weights {
            true if by == By::Number && b.is_infinite() => over_total(b.signum()),
            false if z == f64::INFINITY => over_total(b * self.factor),
            _ => 0.0,
        }
    }
}

/// A row in which masked numbers are read as −∞.
struct Masked<'a, T> {
    z: &'a [T],
    mask: &'a [bool],
}

impl<T: Format> Series<T> for Masked<'_, T> {
    fn pieces(&self, read: &mut dyn FnMut(&[T])) {
        let mut room = Vec::with_capacity(self.z.len().min(PIECE));
        for (z, mask) in self.z.chunks(PIECE).zip(self.mask.chunks(PIECE)) {
            checkpoint();
            room.clear();
            room.extend(z.iter().zip(mask).map(|(&z, &counts)| if counts { z } else { T::NEG_INFINITY }));
            read(&room);
        }
    }

    fn len(&self) -> usize {
        self.z.len()
    }

    fn contiguous(&self) -> Option<&[T]> {
        None
    }
}
