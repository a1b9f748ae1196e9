//! Cross-entropy losses for classification, and their gradients in the same pass.

mod nearest_row;
mod row;

use crate::arithmetic::double_double::{DoubleDouble, power_of_two, two_sum};
use crate::error::Error;
use crate::formats::Format;
use crate::kernels::block::Store;
use crate::kernels::columns::LANES;
use crate::kernels::row_functions;
use crate::kernels::short_rows::{self, Chosen, SHORT};
use crate::kernels::{Factor, Scaled};
use crate::operations::per_format::{Float, compiled};
use crate::operations::row_reduction::{has_length, same_length};
use crate::simd::{Keep, scalar_tasks};
use crate::state::positive::Kept;
use crate::threads::{in_parts, in_tree, worth};
use crate::ziv::class_losses::Divisor;
use std::iter::once;
use std::ops::{Add, Range};

/// The mean over all rows of log Σ_k e^{z_k − z_t}, the negative logarithm of the softmax at the target t, correctly
/// rounded. `logits` is row-major, with one row per target; a target is an index into its row. As the length of a row
/// is the number of logits divided by that of targets, a missing target may go unnoticed; [`CrossEntropy`] is told the
/// number of classes.
///
/// [`CrossEntropy`] documents the special cases, and has further options. See also [`cross_entropy_with_gradient`],
/// [`token_log_probs`](crate::token_log_probs), [`log_softmax`](crate::log_softmax).
///
/// ```
/// use logsum::cross_entropy;
/// let logits = [2.0, 1.0, 0.0, /* row 1 */ 1e8, 1e8, 1e8];
/// assert_eq!(cross_entropy(&logits, &[0, 2])?, 0.753109126556245);
/// assert_eq!(cross_entropy(&[40.0, 0.0], &[0])?, 4.248354255291589e-18);
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// [`Error::Empty`] if `targets` or `logits` is empty, [`Error::NotAMultiple`] if the number of logits is not a
/// multiple of the number of targets, [`Error::TargetOutOfRange`] if a target is not a class.
#[doc(alias("softmax_cross_entropy", "negative_log_likelihood"))]
pub fn cross_entropy<T: Float>(logits: &[T], targets: &[usize]) -> Result<T, Error> {
    CrossEntropy::new(classes(logits, targets)?).loss(logits, Targets::Classes(targets), Reduction::Mean)
}

/// Returns the value of [`cross_entropy`] and writes its derivatives (softmax(z)_k − [k = t]) / rows into
/// `gradient`, each correctly rounded. `gradient` has the shape of `logits`.
///
/// See also [`CrossEntropy::loss_with_gradient`].
///
/// ```
/// let mut gradient = [0.0; 2];
/// logsum::cross_entropy_with_gradient(&[40.0, 0.0], &[0], &mut gradient)?;
/// assert_eq!(gradient, [-4.248354255291589e-18, 4.248354255291589e-18]); // p − 1 in f64: 0
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// As [`cross_entropy`], and [`Error::LengthMismatch`] if `gradient` is not as long as `logits`; nothing is
/// written then.
pub fn cross_entropy_with_gradient<T: Float>(
    logits: &[T],
    targets: &[usize],
    gradient: &mut [T],
) -> Result<T, Error> {
    let loss = CrossEntropy::new(classes(logits, targets)?);
    loss.loss_with_gradient(logits, Targets::Classes(targets), Reduction::Mean, gradient)
}

fn classes<T>(logits: &[T], targets: &[usize]) -> Result<usize, Error> {
    for (argument, is_empty) in [("targets", targets.is_empty()), ("logits", logits.is_empty())] {
        if is_empty {
            return Err(Error::Empty { argument });
        }
    }
    if !logits.len().is_multiple_of(targets.len()) {
        return Err(Error::NotAMultiple {
            argument: "logits",
            found: logits.len(),
            divisor: targets.len(),
            of: "targets",
        });
    }
    Ok(logits.len() / targets.len())
}

/// The targets of the rows.
///
/// ```
/// use logsum::{CrossEntropy, Reduction, Targets};
/// let (loss, logits) = (CrossEntropy::new(2), [7.0, 7.0]);
/// let by_class = loss.loss(&logits, Targets::Classes(&[1]), Reduction::Sum)?;
/// let by_probability = loss.loss(&logits, Targets::Probabilities(&[0.0, 1.0]), Reduction::Sum)?;
/// assert_eq!([by_class, by_probability], [std::f64::consts::LN_2; 2]);
/// # Ok::<(), logsum::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Targets<'a, T> {
    /// One class per row: an index into the row.
    Classes(&'a [usize]),
    /// Probabilities (or any nonnegative weights), one per row and class, in the order of the logits.
    Probabilities(&'a [T]),
}

/// How the losses of the rows are combined.
///
/// ```
/// use logsum::{CrossEntropy, Reduction, Targets};
/// let (loss, logits) = (CrossEntropy::new(2), [7.0, 7.0, /* row 1 */ 0.0, 0.0]);
/// let of = |reduction| loss.loss(&logits, Targets::Classes(&[1, 0]), reduction);
/// assert_eq!(of(Reduction::Mean)?, std::f64::consts::LN_2);
/// assert_eq!(of(Reduction::Sum)?, 2.0 * std::f64::consts::LN_2);
/// # Ok::<(), logsum::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reduction {
    /// Their sum divided by the total weight: the sum of the class weights of all targets that are not ignored, or the
    /// number of rows if targets are probabilities.
    Mean,
    /// Their sum.
    Sum,
}

/// Cross-entropy of logits z against targets, with options; `logits` is row-major, and each row has one element per
/// class.
///
/// The loss of a row is Σ_k q_k (LSE(z/τ) − z_k/τ) + Q ζ LSE(z/τ)² with Q = Σ q_k. Its gradient is
/// (Q p_k (1 + 2ζ LSE(z/τ)) − q_k)/τ with p = softmax(z/τ). Here τ is the temperature, ζ the z-loss coefficient, and
/// the weights q_k of the targets are
///
/// - q_k = (1 − ε) w_t [k = t] + ε w_k / K for a target class t, with the label smoothing ε and the class weights
///   w;
/// - q_k = w_k ((1 − ε) t_k + ε/K) for target probabilities t.
///
/// These are PyTorch's definitions; the z-loss is that of PaLM. The loss is computed as the logarithm of
/// Σ e^{z_k − z_t}, which stays accurate under a common offset of 1e8 and for losses as small as 1e-17.
///
/// Without a z-loss and at temperature 1 everything is correctly rounded: each loss, their sum and mean, and each
/// element of the gradient, including the factor of the mean. So nothing depends on the order of rows or on threads.
/// Otherwise losses are within 2 ulp, and the absolute error of an element of the gradient is at most 2 ulp of the
/// largest of the element, q_k/τ, and 1e-288. With a z-loss, correct rounding cannot be promised: whether
/// (log Σ e^z)² can be exactly half-way between two floats is not known.
///
/// | row | loss | gradient |
/// |---|---|---|
/// | ignored, or of weight 0 | 0 | 0 |
/// | −∞ where q_k = 0 | as without this class | 0 there |
/// | −∞ where q_k > 0 | +∞ | by the formula: −q_k/τ there |
/// | all −∞: no mass | +∞ | 0 |
/// | +∞ in c places | Q log c if q_k = 0 elsewhere and ζ = 0, else +∞ | as with ζ = 0, where p is 1/c there |
/// | a NaN | NaN | NaN |
/// | mean with total weight 0: all ignored, or of weight 0 | NaN | 0 |
///
/// ```
/// use logsum::{CrossEntropy, Reduction, Targets};
/// let loss = CrossEntropy::new(2).ignore(9).label_smoothing(0.1)?;
/// let logits = [3.0, 1.0, 0.0, 0.0, 7.0, 7.0];
/// let mut gradient = [0.0; 6];
/// let mean = loss.loss_with_gradient(&logits, Targets::Classes(&[0, 9, 1]), Reduction::Mean, &mut gradient)?;
/// assert_eq!(mean, 0.4600375958014589);
/// assert_eq!(gradient[2..5], [0.0, 0.0, 0.225]);
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// Derivatives with respect to targets, weights and temperature are not provided.
///
/// See also [`cross_entropy`] and [`cross_entropy_with_gradient`] for the loss without options.
#[derive(Debug, Clone, Copy)]
pub struct CrossEntropy<'a, T> {
    classes: usize,
    class_weights: Option<&'a [T]>,
    ignored: Option<usize>,
    smoothing: f64,
    z_loss: f64,
    temperature: f64,
}

impl<'a, T: Float> CrossEntropy<'a, T> {
    /// Cross-entropy of rows of `classes` logits, without further options.
    ///
    /// ```
    /// use logsum::{CrossEntropy, Reduction, Targets};
    /// let loss = CrossEntropy::new(2).loss(&[40.0, 0.0], Targets::Classes(&[0]), Reduction::Mean)?;
    /// assert_eq!(loss, 4.248354255291589e-18);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    #[must_use]
    pub fn new(classes: usize) -> Self {
        Self { classes, class_weights: None, ignored: None, smoothing: 0.0, z_loss: 0.0, temperature: 1.0 }
    }

    /// Sets one weight per class.
    ///
    /// ```
    /// use logsum::{CrossEntropy, Reduction, Targets};
    /// let loss = CrossEntropy::new(2).class_weights(&[1.0, 3.0])?;
    /// let (logits, targets) = ([7.0, 7.0, /* row 1 */ 7.0, 7.0], Targets::Classes(&[0, 1]));
    /// assert_eq!(loss.loss(&logits, targets, Reduction::Sum)?, 4.0 * std::f64::consts::LN_2); // 1 log 2 + 3 log 2
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if the number of weights is not the number of classes;
    /// [`Error::ClassWeightOutOfRange`] if a weight is negative or not finite.
    pub fn class_weights(self, weights: &'a [T]) -> Result<Self, Error> {
        has_length("class_weights", weights.len(), "classes", self.classes)?;
        for (class, weight) in weights.iter().map(|weight| weight.widen()).enumerate() {
            if !is_weight(weight) {
                return Err(Error::ClassWeightOutOfRange { class, weight });
            }
        }
        Ok(Self { class_weights: Some(weights), ..self })
    }

    /// Ignores rows with this target, which need not be a class: they have loss and gradient 0, and do not count in the
    /// mean.
    ///
    /// ```
    /// use logsum::{CrossEntropy, Reduction, Targets};
    /// let (logits, targets) = ([7.0, 7.0, /* row 1 */ 5.0, 1.0], Targets::Classes(&[0, 99]));
    /// let mean = CrossEntropy::new(2).ignore(99).loss(&logits, targets, Reduction::Mean)?;
    /// assert_eq!(mean, std::f64::consts::LN_2);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    #[must_use]
    pub fn ignore(self, target: usize) -> Self {
        Self { ignored: Some(target), ..self }
    }

    /// Sets the label smoothing ε: the part of each target that is spread evenly over all classes.
    ///
    /// ```
    /// use logsum::{CrossEntropy, Reduction, Targets};
    /// let loss = CrossEntropy::new(2).label_smoothing(0.5)?; // q is 3/4 and 1/4
    /// let mut gradient = [0.0; 2];
    /// loss.loss_with_gradient(&[7.0, 7.0], Targets::Classes(&[0]), Reduction::Sum, &mut gradient)?;
    /// assert_eq!(gradient, [-0.25, 0.25]); // 1/2 − q
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::LabelSmoothingOutOfRange`] if `smoothing` is not between 0 and 1.
    pub fn label_smoothing(self, smoothing: f64) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&smoothing) {
            return Err(Error::LabelSmoothingOutOfRange { smoothing });
        }
        Ok(Self { smoothing, ..self })
    }

    /// Sets the coefficient ζ of the squared log-sum-exp: this term of the loss keeps the log-sum-exp near 0.
    ///
    /// ```
    /// use logsum::{CrossEntropy, Reduction, Targets};
    /// let loss = CrossEntropy::new(1).z_loss(0.5)?;
    /// assert_eq!(loss.loss(&[2.0], Targets::Classes(&[0]), Reduction::Sum)?, 2.0); // 0 + 0.5 · 2²
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ZLossOutOfRange`] if `z_loss` is negative or not finite.
    pub fn z_loss(self, z_loss: f64) -> Result<Self, Error> {
        if !is_weight(z_loss) {
            return Err(Error::ZLossOutOfRange { z_loss });
        }
        Ok(Self { z_loss, ..self })
    }

    /// Sets the temperature τ, by which the logits are divided; 1 by default.
    ///
    /// ```
    /// use logsum::{CrossEntropy, Reduction, Targets};
    /// let loss = CrossEntropy::new(2).temperature(0.5)?;
    /// let mut gradient = [0.0; 2];
    /// loss.loss_with_gradient(&[7.0, 7.0], Targets::Classes(&[0]), Reduction::Sum, &mut gradient)?;
    /// assert_eq!(gradient, [-1.0, 1.0]); // (1/2 − q)/τ
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::TemperatureOutOfRange`] unless `temperature` is positive and finite.
    pub fn temperature(self, temperature: f64) -> Result<Self, Error> {
        if !(temperature > 0.0 && temperature.is_finite()) {
            return Err(Error::TemperatureOutOfRange { temperature });
        }
        Ok(Self { temperature, ..self })
    }

    /// The mean or the sum of the rows' losses; [`Targets`] and [`Reduction`] have examples.
    ///
    /// # Errors
    /// [`Error::NoClasses`] if there are no classes; [`Error::NotAMultiple`] if the number of logits is not a
    /// multiple of the number of classes; [`Error::LengthMismatch`] if there is not one target per row, or one
    /// probability per logit; [`Error::TargetOutOfRange`] if a target is not a class;
    /// [`Error::ProbabilityOutOfRange`] if a probability is negative or not finite.
    pub fn loss(&self, logits: &[T], targets: Targets<'_, T>, reduction: Reduction) -> Result<T, Error> {
        <T as Compiled<T>>::loss(self, logits, targets, reduction)
    }

    /// Returns the value of [`loss`](Self::loss) and writes its gradient into `gradient`, which has the shape of
    /// `logits`; [`CrossEntropy`] has an example.
    ///
    /// # Errors
    /// As [`loss`](Self::loss), and [`Error::LengthMismatch`] if `gradient` is not as long as `logits`; nothing is
    /// written then.
    pub fn loss_with_gradient(
        &self,
        logits: &[T],
        targets: Targets<'_, T>,
        reduction: Reduction,
        gradient: &mut [T],
    ) -> Result<T, Error> {
        <T as Compiled<T>>::loss_with_gradient(self, logits, targets, reduction, gradient)
    }

    /// Writes the loss of each row into `losses`.
    ///
    /// ```
    /// use logsum::{CrossEntropy, Targets};
    /// let logits = [7.0, 7.0, /* row 1 */ 40.0, 0.0];
    /// let mut losses = [0.0; 2];
    /// CrossEntropy::new(2).losses(&logits, Targets::Classes(&[1, 0]), &mut losses)?;
    /// assert_eq!(losses, [std::f64::consts::LN_2, 4.248354255291589e-18]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`loss`](Self::loss), and [`Error::LengthMismatch`] if `losses` does not have one element per row;
    /// nothing is written then.
    pub fn losses(&self, logits: &[T], targets: Targets<'_, T>, losses: &mut [T]) -> Result<(), Error> {
        <T as Compiled<T>>::losses(self, logits, targets, losses)
    }

    /// Writes the loss of each row into `losses`, and the gradient of each row's loss into `gradient`.
    ///
    /// ```
    /// use logsum::{CrossEntropy, Targets};
    /// let (mut losses, mut gradient) = ([0.0], [0.0; 2]);
    /// CrossEntropy::new(2).losses_with_gradient(&[7.0, 7.0], Targets::Classes(&[1]), &mut losses, &mut gradient)?;
    /// assert_eq!((losses, gradient), ([std::f64::consts::LN_2], [0.5, -0.5]));
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`losses`](Self::losses), and [`Error::LengthMismatch`] if `gradient` is not as long as `logits`.
    pub fn losses_with_gradient(
        &self,
        logits: &[T],
        targets: Targets<'_, T>,
        losses: &mut [T],
        gradient: &mut [T],
    ) -> Result<(), Error> {
        <T as Compiled<T>>::losses_with_gradient(self, logits, targets, losses, gradient)
    }

    /// The value of [`loss`](Self::loss), and its derivative in the direction `tangent`, which is as long as
    /// `logits`.
    ///
    /// The absolute error of the derivative is at most 1 ulp of Σ |g_k t_k| with the gradient g.
    ///
    /// ```
    /// use logsum::{CrossEntropy, Reduction, Targets};
    /// let found = CrossEntropy::new(2).jvp(&[7.0, 7.0], Targets::Classes(&[0]), Reduction::Sum, &[1.0, 0.0])?;
    /// assert_eq!(found, (std::f64::consts::LN_2, -0.5));
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`loss_with_gradient`](Self::loss_with_gradient), with `tangent` instead of `gradient`.
    pub fn jvp(
        &self,
        logits: &[T],
        targets: Targets<'_, T>,
        reduction: Reduction,
        tangent: &[T],
    ) -> Result<(T, T), Error> {
        <T as Compiled<T>>::jvp(self, logits, targets, reduction, tangent)
    }

    /// Writes the Hessian of [`loss`](Self::loss) times a vector into `out`: for each row
    /// Q p_k ((v_k − v̄)(1 + 2ζ LSE) + 2ζ v̄)/τ² with v̄ = Σ p_k v_k.
    ///
    /// Each element is within 2 ulp where its formula does not cancel. All are 0 in ignored rows and rows whose
    /// maximum is infinite, and NaN in rows with a NaN.
    ///
    /// ```
    /// use logsum::{CrossEntropy, Reduction, Targets};
    /// let (loss, mut out) = (CrossEntropy::new(2), [0.0; 2]);
    /// loss.hvp(&[7.0, 7.0], Targets::Classes(&[0]), Reduction::Sum, &[1.0, 0.0], &mut out)?;
    /// assert_eq!(out, [0.25, -0.25]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`loss_with_gradient`](Self::loss_with_gradient), with `vector` and `out` instead of `gradient`.
    pub fn hvp(
        &self,
        logits: &[T],
        targets: Targets<'_, T>,
        reduction: Reduction,
        vector: &[T],
        out: &mut [T],
    ) -> Result<(), Error> {
        <T as Compiled<T>>::hvp(self, logits, targets, reduction, vector, out)
    }
}

compiled! {
    fn loss(of: &CrossEntropy<'_, T>, logits: &[T], targets: Targets<'_, T>, reduction: Reduction) -> Result<T, Error> {
        let weights = if of.is_nearest() { None } else { of.scaled_weights(targets, reduction) };
        let of = &of.with_weights(weights.as_deref());
        let whole = of.whole(logits, targets, reduction)?;
        let work = Work::new(of, targets, whole, Store::Caches);
        Ok(work.loss(logits, work.over::<<T as Format>::First>(logits, None, None, None)))
    }

    fn loss_with_gradient(of: &CrossEntropy<'_, T>, logits: &[T],
        targets: Targets<'_, T>,
        reduction: Reduction,
        gradient: &mut [T],
    ) -> Result<T, Error> {
        let weights = if of.is_nearest() { None } else { of.scaled_weights(targets, reduction) };
        let of = &of.with_weights(weights.as_deref());
        let whole = of.whole(logits, targets, reduction)?;
        same_length("gradient", gradient, "logits", logits)?;
        let work = Work::new(of, targets, whole, of.store(logits));
        Ok(work.loss(logits, work.over::<<T as Format>::Elements>(logits, None, Some(gradient), None)))
    }

    fn losses(of: &CrossEntropy<'_, T>, logits: &[T], targets: Targets<'_, T>, losses: &mut [T]) -> Result<(), Error> {
        of.losses_and_gradient(logits, targets, losses, None)
    }

    fn losses_with_gradient(of: &CrossEntropy<'_, T>, logits: &[T],
        targets: Targets<'_, T>,
        losses: &mut [T],
        gradient: &mut [T],
    ) -> Result<(), Error> {
        same_length("gradient", gradient, "logits", logits)?;
        of.losses_and_gradient(logits, targets, losses, Some(gradient))
    }

    fn jvp(of: &CrossEntropy<'_, T>, logits: &[T],
        targets: Targets<'_, T>,
        reduction: Reduction,
        tangent: &[T],
    ) -> Result<(T, T), Error> {
        let weights = if of.is_nearest() { None } else { of.scaled_weights(targets, reduction) };
        let of = &of.with_weights(weights.as_deref());
        let whole = of.whole(logits, targets, reduction)?;
        same_length("tangent", tangent, "logits", logits)?;
        let work = Work::new(of, targets, whole, Store::Caches);
        let sums = work.over::<<T as Format>::Elements>(logits, None, None, Some(tangent));
        Ok((work.loss(logits, sums), T::narrow(sums.slope.hi)))
    }

    fn hvp(of: &CrossEntropy<'_, T>, logits: &[T],
        targets: Targets<'_, T>,
        reduction: Reduction,
        vector: &[T],
        out: &mut [T],
    ) -> Result<(), Error> {
        let weights = of.scaled_weights(targets, reduction);
        let of = &of.with_weights(weights.as_deref());
        let whole = of.whole(logits, targets, reduction)?;
        same_length("vector", vector, "logits", logits)?;
        same_length("out", out, "logits", logits)?;
        let work = Work::new(of, targets, whole, of.store(logits));
        let (classes, rows) = (of.classes, logits.len() / of.classes);
        in_parts(0..rows, (out, classes), worth(rows, classes), 1, &mut (), &|rows, (out, _), ()| {
            let range = rows.start * classes..rows.end * classes;
            work.hvp(rows.start, &logits[range.clone()], &vector[range], out);
        });
        Ok(())
    }
}

impl<T: Format> CrossEntropy<'_, T> {
    fn losses_and_gradient(
        &self,
        logits: &[T],
        targets: Targets<'_, T>,
        losses: &mut [T],
        gradient: Option<&mut [T]>,
    ) -> Result<(), Error> {
        let rows = self.rows(logits, targets)?;
        has_length("losses", losses.len(), "logits", rows)?;
        let to = self.store(logits);
        Work::new(self, targets, None, to).over::<T::Elements>(logits, Some(losses), gradient, None);
        Ok(())
    }

    #[cfg(feature = "ndarray")]
    pub(crate) fn has_classes(&self, axis: isize, found: usize) -> Result<(), Error> {
        let expected = self.classes;
        if found == expected {
            Ok(())
        } else {
            Err(Error::AxisLengthMismatch { axis, fits: "classes", expected, found })
        }
    }

    /// The number of rows, if logits and targets are valid.
    fn rows(&self, logits: &[T], targets: Targets<'_, T>) -> Result<usize, Error> {
        if self.classes == 0 {
            return Err(Error::NoClasses);
        }
        if !logits.len().is_multiple_of(self.classes) {
            return Err(Error::NotAMultiple {
                argument: "logits",
                found: logits.len(),
                divisor: self.classes,
                of: "classes",
            });
        }
        let rows = logits.len() / self.classes;
        match targets {
            Targets::Classes(targets) => {
                has_length("targets", targets.len(), "logits", rows)?;
                for (row, &target) in targets.iter().enumerate() {
                    if target >= self.classes && self.ignored != Some(target) {
                        return Err(Error::TargetOutOfRange { row, target, classes: self.classes });
                    }
                }
            }
            Targets::Probabilities(targets) => {
                same_length("targets", targets, "logits", logits)?;
                for (row, targets) in targets.chunks(self.classes).enumerate() {
                    // Without an early exit, so that the loop is vectorised.
                    if targets.iter().fold(true, |all, target| all & is_weight(target.widen())) {
                        continue;
                    }
                    for (class, probability) in targets.iter().map(|target| target.widen()).enumerate() {
                        if !is_weight(probability) {
                            return Err(Error::ProbabilityOutOfRange { row, class, probability });
                        }
                    }
                }
            }
        }
        Ok(rows)
    }

    /// Whether results are correctly rounded.
    fn is_nearest(&self) -> bool {
        self.z_loss == 0.0 && self.temperature == 1.0
    }

    /// The class weights times a power of 2, if they are so great or small that their sum or its inverse might leave
    /// the range. A mean divides by their sum, so that it stays the same.
    fn scaled_weights(&self, targets: Targets<'_, T>, reduction: Reduction) -> Option<Vec<T>> {
        let (Targets::Classes(targets), Reduction::Mean) = (targets, reduction) else {
            return None;
        };
        let weights = self.class_weights?;
        let greatest = |max: f64, weight: &T| max.max(weight.widen());
        // Targets are not validated yet.
        let counted = targets.iter().filter(|&&target| self.ignored != Some(target));
        let mut most = counted.filter_map(|&target| weights.get(target)).fold(0.0, greatest);
        if self.smoothing > 0.0 {
            most = weights.iter().fold(most, greatest);
        }
        // Weights in formats narrower than f64 are between these bounds.
        let factor = if most > power_of_two(900) {
            power_of_two(-500)
        } else if most > 0.0 && most < power_of_two(-150) {
            power_of_two(500)
        } else {
            return None;
        };
        Some(weights.iter().map(|weight| T::narrow(weight.widen() * factor)).collect())
    }

    /// The same loss with these class weights, if there are any.
    fn with_weights<'b>(&'b self, weights: Option<&'b [T]>) -> CrossEntropy<'b, T> {
        CrossEntropy { class_weights: weights.or(self.class_weights), ..*self }
    }

    /// The divisor of the mean, NaN if that is beyond the range; `None` for a sum.
    fn whole(
        &self,
        logits: &[T],
        targets: Targets<'_, T>,
        reduction: Reduction,
    ) -> Result<Option<DoubleDouble>, Error> {
        let rows = self.rows(logits, targets)?;
        if reduction == Reduction::Sum {
            return Ok(None);
        }
        let count = |rows: usize| DoubleDouble::from(rows as f64);
        Ok(Some(match targets {
            Targets::Probabilities(_) => count(rows),
            Targets::Classes(targets) => {
                let counted = targets.iter().filter(|&&target| self.ignored != Some(target));
                match self.class_weights {
                    None => count(counted.count()),
                    Some(weights) => {
                        counted.fold(DoubleDouble::ZERO, |sum, &target| sum + weights[target].widen())
                    }
                }
            }
        }))
    }

    /// Short rows are written through the caches: a non-temporal store of a part of a cache line costs as much as of
    /// all of it.
    fn store(&self, logits: &[T]) -> Store {
        if self.classes < SHORT { Store::Caches } else { Store::for_output::<T>(logits.len()) }
    }

    /// The weight of a row with this target; 0 if the target is ignored.
    fn weight_of(&self, target: usize) -> f64 {
        if self.ignored == Some(target) { 0.0 } else { self.weight(target) }
    }

    fn weight(&self, class: usize) -> f64 {
        self.class_weights.map_or(1.0, |weights| weights[class].widen())
    }
}

/// Whether a weight is 0, or of such a size that no product of a few such weights is subnormal, or brings e^-1000 into
/// the range of f64. All weights in formats narrower than f64 are tame.
fn is_tame(weight: f64) -> bool {
    weight == 0.0 || (power_of_two(-150)..=power_of_two(130)).contains(&weight)
}

/// Finite and not negative.
fn is_weight(x: f64) -> bool {
    (0.0..f64::INFINITY).contains(&x)
}

/// The sums over some rows.
#[derive(Clone, Copy)]
struct Sums {
    /// Σ of losses that are to be correctly rounded.
    loss: Scaled,
    /// Σ of losses with a z-loss or at a temperature.
    approximate: DoubleDouble,
    /// Σ g_k t_k, with the gradient g and the tangent t.
    slope: DoubleDouble,
}

impl Sums {
    const ZERO: Self =
        Self { loss: Scaled::ZERO, approximate: DoubleDouble::ZERO, slope: DoubleDouble::ZERO };
}

impl Add for Sums {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            loss: self.loss.plus(other.loss),
            approximate: plus(self.approximate, other.approximate),
            slope: plus(self.slope, other.slope),
        }
    }
}

/// The sum of eight losses, if all are known; in pairs, so that the additions can overlap.
fn total_of_eight(losses: &[Option<Scaled>; LANES]) -> Option<Scaled> {
    let &[Some(a), Some(b), Some(c), Some(d), Some(e), Some(f), Some(g), Some(h)] = losses else {
        return None;
    };
    Some(a.plus(b).plus(c.plus(d)).plus(e.plus(f).plus(g.plus(h))))
}

/// The sum of two double-doubles that may be infinite.
fn plus(a: DoubleDouble, b: DoubleDouble) -> DoubleDouble {
    match a + b {
        // An infinite sum must not have a low part.
        sum if sum.hi.is_nan() => DoubleDouble::from(a.hi + b.hi),
        sum => sum,
    }
}

/// Buffers that are reused from one row to the next.
struct Room<T: Format> {
    kept: Kept<T>,
    gradient: Vec<T>,
    short: short_rows::Room<T::Elements>,
}

impl<T: Format> Default for Room<T> {
    fn default() -> Self {
        Self { kept: Vec::new(), gradient: Vec::new(), short: short_rows::Room::default() }
    }
}

/// The computation that is applied to each row.
struct Work<'a, T> {
    of: &'a CrossEntropy<'a, T>,
    targets: Targets<'a, T>,
    /// The divisor of the losses, if there is one.
    whole: Option<DoubleDouble>,
    /// The factor of gradients: 1 over the divisor of the losses.
    factor: Factor,
    /// The divisor of the losses, exactly.
    divisor: Divisor<'a>,
    /// Whether class weights, smoothing and divisor are [`is_tame`].
    is_tame: bool,
    to: Store,
    /// 1/τ.
    per_temperature: DoubleDouble,
    /// 1 − ε.
    certain: DoubleDouble,
    /// ε/K.
    spread: DoubleDouble,
    /// Σ w_k, if targets are smoothed.
    weights: DoubleDouble,
}

impl<'a, T: Format> Work<'a, T> {
    fn new(
        of: &'a CrossEntropy<'a, T>,
        targets: Targets<'a, T>,
        whole: Option<DoubleDouble>,
        to: Store,
    ) -> Self {
        let alone = |hi| DoubleDouble { hi, lo: 0.0 };
        let weights = match of.class_weights {
            Some(weights) if of.smoothing > 0.0 => {
                weights.iter().fold(DoubleDouble::ZERO, |sum, weight| sum + weight.widen())
            }
            _ => alone(of.classes as f64),
        };
        // The error of the sum of one class weight per row.
        let of_sum = match targets {
            Targets::Classes(targets) => targets.len() as f64 * power_of_two(-104),
            Targets::Probabilities(_) => 0.0,
        };
        let factor = match whole {
            None => Factor::ONE,
            Some(DoubleDouble { hi: 0.0, .. }) => Factor { factor: DoubleDouble::ZERO, error: 0.0 },
            Some(whole) => Factor {
                factor: scalar_tasks::quotient(DoubleDouble::ONE, whole),
                error: power_of_two(-100) + of_sum,
            },
        };
        Self {
            of,
            targets,
            whole,
            factor,
            divisor: match (whole, targets) {
                (None, _) => Divisor::of(once(1.0)),
                (Some(whole), Targets::Probabilities(_)) => Divisor::of(once(whole.hi)),
                (Some(_), Targets::Classes(targets)) => {
                    Divisor::of(targets.iter().map(|&target| of.weight_of(target)))
                }
            },
            is_tame: [Some(of.smoothing), whole.map(|whole| whole.hi)].into_iter().flatten().all(is_tame)
                && of
                    .class_weights
                    .is_none_or(|weights| weights.iter().all(|weight| is_tame(weight.widen()))),
            to,
            per_temperature: scalar_tasks::quotient(DoubleDouble::ONE, alone(of.temperature)),
            certain: two_sum(1.0, -of.smoothing),
            spread: scalar_tasks::quotient(alone(of.smoothing), alone(of.classes as f64)),
            weights,
        }
    }

    /// The mean or sum of the losses, given the sums over all rows.
    fn loss(&self, z: &[T], sums: Sums) -> T {
        match self.whole {
            Some(DoubleDouble { hi: 0.0, .. }) => T::narrow(f64::NAN),
            _ if self.of.is_nearest() => self.nearest_loss(z, sums.loss),
            Some(whole) if sums.approximate.hi.is_finite() => {
                T::narrow(scalar_tasks::quotient(sums.approximate, whole).hi)
            }
            _ => T::narrow(sums.approximate.hi),
        }
    }

    /// The sums over all rows, with losses in the precision P; writes each loss, and the gradient, on request. A
    /// gradient, also if only its product with a tangent is wanted, needs T::Elements.
    fn over<P: Keep>(
        &self,
        z: &[T],
        losses: Option<&mut [T]>,
        gradient: Option<&mut [T]>,
        tangent: Option<&[T]>,
    ) -> Sums {
        if z.is_empty() {
            return Sums::ZERO;
        }
        let (classes, rows) = (self.of.classes, z.len() / self.of.classes);
        let leaf = if classes < SHORT { LANES } else { 1 };
        let out = (losses, gradient.map(|gradient| (gradient, classes)));
        let group =
            |rows: Range<usize>, (losses, gradient): (Option<_>, Option<(_, _)>), room: &mut Room<T>| {
                let range = rows.start * classes..rows.end * classes;
                let tangent = tangent.map(|tangent| &tangent[range.clone()]);
                let gradient = gradient.map(|(gradient, _)| gradient);
                self.group::<P>(rows.start, &z[range], losses, gradient, tangent, room)
            };
        in_tree(0..rows, out, leaf, worth(rows, classes), &mut Room::default(), &group, &Sums::add)
    }

    /// Processes one row, or up to eight short ones.
    fn group<P: Keep>(
        &self,
        first: usize,
        z: &[T],
        mut losses: Option<&mut [T]>,
        gradient: Option<&mut [T]>,
        tangent: Option<&[T]>,
        room: &mut Room<T>,
    ) -> Sums {
        let classes = self.of.classes;
        let Room { kept, gradient: of_rows, short } = room;
        let mut gradient = match tangent {
            None => gradient,
            Some(_) => {
                of_rows.resize(z.len(), T::default());
                Some(&mut of_rows[..])
            }
        };
        let mut done = [None; LANES];
        if let Targets::Classes(targets) = self.targets
            && classes < SHORT
            && self.of.is_nearest()
            && self.is_tame
            && self.of.smoothing == 0.0
        {
            let targets = &targets[first..][..z.len() / classes];
            done = self.short::<P>(z, targets, gradient.as_deref_mut(), short);
        }
        let mut sums = Sums::ZERO;
        let total = if losses.is_none() { total_of_eight(&done) } else { None };
        if let Some(total) = total {
            sums.loss = total;
        }
        for (j, z) in z.chunks(classes).enumerate().filter(|_| total.is_none()) {
            let (index, losses) = (first + j, losses.as_deref_mut());
            let gradient = gradient.as_mut().map(|gradient| &mut gradient[j * classes..][..classes]);
            if !self.of.is_nearest() {
                let loss = self.row(index, z, gradient);
                if let Some(losses) = losses {
                    losses[j] = T::narrow(loss.hi);
                }
                sums.approximate = plus(sums.approximate, loss);
                continue;
            }
            let loss = match (done[j], gradient) {
                (Some(loss), _) => loss,
                (None, None) => self.row_loss::<P>(index, z),
                (None, Some(gradient)) => self.row_loss_with_gradient(index, z, gradient, kept),
            };
            match losses {
                Some(losses) => losses[j] = self.nearest_loss_of_row(index, z, loss),
                None => sums.loss = sums.loss.plus(loss),
            }
        }
        if let (Some(gradient), Some(tangent)) = (gradient, tangent) {
            sums.slope = row_functions::dot(gradient, tangent);
        }
        sums
    }

    /// The losses of up to eight rows with class targets and without further options, side by side; `None` where
    /// the kernel leaves a row to be processed alone.
    fn short<P: Keep>(
        &self,
        z: &[T],
        targets: &[usize],
        gradient: Option<&mut [T]>,
        room: &mut short_rows::Room<T::Elements>,
    ) -> [Option<Scaled>; LANES] {
        let (classes, mut chosen) = (self.of.classes, Chosen { targets: [0; LANES], weights: [0.0; LANES] });
        for (j, &target) in targets.iter().enumerate() {
            let weight = self.of.weight_of(target);
            chosen.weights[j] = weight;
            chosen.targets[j] = if weight > 0.0 { target } else { 0 };
        }
        let Some(gradient) = gradient else {
            return short_rows::cross_entropy::<T, P>(z, &chosen, room.tile(classes));
        };
        let factor_of = |weight| self.factor_of(DoubleDouble::from(weight), 0.0);
        let factors = match self.of.class_weights {
            // An ignored row, of weight 0, is processed alone.
            None => [factor_of(1.0); LANES],
            Some(_) => chosen.weights.map(factor_of),
        };
        let mut losses =
            short_rows::cross_entropy_with_gradient(z, classes, &chosen, &factors, gradient, room);
        for (loss, factor) in losses.iter_mut().zip(factors) {
            *loss = loss.filter(|_| factor.is_ordinary());
        }
        losses
    }
}
