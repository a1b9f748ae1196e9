//! The loss of classification, and its gradient in the same pass.

use super::moments::{Moments, Share};
use super::reduction::{partial_and_shares, same_length};
use crate::error::Error;
use crate::float::Float;
use crate::kernel::block::Store;
use crate::kernel::precision::{Number, Precision};
use crate::kernel::tempered::{Function, Scale};
use crate::kernel::two::{self, Two, two_sum};
use crate::kernel::word::Vector;
use crate::kernel::{Each, Task, exp, exp::UNSCALE, run};
use crate::partial::{Kept, Partial};
use crate::threads::{grain, join};

/// The mean of log Σ_k e^{z_k − z_t} over rows of `logits`, one for each target t: the negative logarithm of softmax at t.
///
/// [`CrossEntropy`] has the edges, the bounds, and what else can be asked for.
///
/// ```
/// use logsum::cross_entropy;
/// let logits = [2.0, 1.0, 0.0, /* row 2 */ 1e8, 1e8, 1e8];
/// assert_eq!(cross_entropy(&logits, &[0, 2])?, 0.753109126556245);
/// assert_eq!(cross_entropy(&[40.0, 0.0], &[0])?, 4.248354255291589e-18);
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// [`Error::OutOfRange`] if there are no targets, if the number of logits is no multiple of theirs, or a target is no class.
pub fn cross_entropy<T: Float>(logits: &[T], targets: &[usize]) -> Result<T, Error> {
    CrossEntropy::new(classes(logits, targets)?).loss(logits, Targets::Classes(targets), Reduction::Mean)
}

/// The value of [`cross_entropy`], and into `gradient` its derivatives (softmax(z)_k − [k = t]) / rows.
///
/// ```
/// let mut gradient = [0.0; 2];
/// logsum::cross_entropy_with_gradient(&[40.0, 0.0], &[0], &mut gradient)?;
/// assert_eq!(gradient, [-4.248354255291589e-18, 4.248354255291589e-18]); // p − 1 in f64: 0
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// As [`cross_entropy`], and [`Error::LengthMismatch`] if `gradient` is not as long as `logits`; nothing is written then.
pub fn cross_entropy_with_gradient<T: Float>(
    logits: &[T],
    targets: &[usize],
    gradient: &mut [T],
) -> Result<T, Error> {
    let loss = CrossEntropy::new(classes(logits, targets)?);
    loss.loss_with_gradient(logits, Targets::Classes(targets), Reduction::Mean, gradient)
}

fn classes<T>(logits: &[T], targets: &[usize]) -> Result<usize, Error> {
    if targets.is_empty() || !logits.len().is_multiple_of(targets.len()) {
        let range = format!("a positive multiple of {}, the number of targets", targets.len());
        return Err(Error::out_of_range("the number of logits", logits.len(), range));
    }
    Ok(logits.len() / targets.len())
}

/// What each row should be.
#[derive(Debug, Clone, Copy)]
pub enum Targets<'a, T> {
    /// A class for each row.
    Classes(&'a [usize]),
    /// Probabilities (or any weights that are not negative) for each row and class.
    Probabilities(&'a [T]),
}

/// What becomes of the losses of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// Their sum over what they weigh: the class weights of the targets, or the number of rows if targets are probabilities.
    Mean,
    /// Their sum.
    Sum,
}

/// Cross-entropy of logits z, in rows of as many as there are classes, against targets.
///
/// The loss of a row is Σ_k q_k (LSE(z/τ) − z_k/τ) + Q ζ LSE(z/τ)², Q = Σ q_k, and its gradient
/// (Q p_k (1 + 2ζ LSE) − q_k)/τ, p = softmax(z/τ), with τ the temperature, ζ the z-loss, and
///
/// - q_k = (1 − ε) w_t [k = t] + ε w_k / K for a target class t, ε being the label smoothing, w the class weights;
/// - q_k = w_k ((1 − ε) t_k + ε/K) for target probabilities t.
///
/// These are PyTorch's definitions; the z-loss is that of PaLM. The logarithm is taken of Σ e^{z_k − z_t}, which is right under a
/// common offset of 1e8, and where the loss is 1e-17.
///
/// Losses of class targets without further options are within 1 ulp, others within 2. Sums and
/// means add less than 2^-90 of themselves, and are rounded once. Elements of gradients are within 1 ulp for class targets
/// without further options, at the target too, however certain it is; others are off by 2 ulp of the greater of themselves,
/// q_k/τ, and 1e-288.
///
/// | row | loss | gradient |
/// |---|---|---|
/// | ignored, or of weight 0 | 0 | 0 |
/// | −∞ where q_k = 0 | without it | 0 there |
/// | −∞ where q_k > 0 | +∞ | as it says: −q_k there |
/// | all −∞: no mass | +∞ | 0 |
/// | c times +∞ | log c for each of them, +∞ for others | p is 1/c there |
/// | a NaN | NaN | NaN |
/// | mean over nothing: all ignored, or of weight 0 | NaN | 0 |
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
/// Derivatives by targets, weights and temperature are not computed.
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
    /// For rows of so many classes.
    pub fn new(classes: usize) -> Self {
        Self { classes, class_weights: None, ignored: None, smoothing: 0.0, z_loss: 0.0, temperature: 1.0 }
    }

    /// A weight for each class.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if there are not as many as classes; [`Error::OutOfRange`] if one is negative or not finite.
    pub fn class_weights(self, weights: &'a [T]) -> Result<Self, Error> {
        if weights.len() != self.classes {
            return Err(Error::LengthMismatch { expected: self.classes, found: weights.len() });
        }
        for (class, weight) in weights.iter().enumerate() {
            not_negative(format_args!("the weight of class {class}"), weight.widen())?;
        }
        Ok(Self { class_weights: Some(weights), ..self })
    }

    /// Rows of this target do not count. It need not be a class.
    pub fn ignore(self, target: usize) -> Self {
        Self { ignored: Some(target), ..self }
    }

    /// ε: how much of each target is spread over all classes.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if it is not between 0 and 1.
    pub fn label_smoothing(self, smoothing: f64) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&smoothing) {
            return Err(Error::out_of_range("the label smoothing", smoothing, "between 0 and 1"));
        }
        Ok(Self { smoothing, ..self })
    }

    /// ζ: how much of the squared log-sum-exp is added, to keep it near 0.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if it is negative or not finite.
    pub fn z_loss(self, z_loss: f64) -> Result<Self, Error> {
        not_negative("the z-loss", z_loss)?;
        Ok(Self { z_loss, ..self })
    }

    /// τ: what logits are divided by.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless it is positive and finite.
    pub fn temperature(self, temperature: f64) -> Result<Self, Error> {
        if !(temperature > 0.0 && temperature.is_finite()) {
            return Err(Error::out_of_range("the temperature", temperature, "positive and finite"));
        }
        Ok(Self { temperature, ..self })
    }

    /// The mean or the sum of the rows' losses.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if the number of logits is no multiple of the number of classes, or a target is no class or a
    /// negative probability; [`Error::LengthMismatch`] if there are not as many targets as rows, or logits.
    pub fn loss(&self, logits: &[T], targets: Targets<'_, T>, reduction: Reduction) -> Result<T, Error> {
        let rows = self.rows(logits, targets)?;
        let mut losses = vec![Two::ZERO; rows];
        self.all(logits, targets, Two::ONE, &mut losses, None);
        Ok(self.reduced(&losses, targets, reduction))
    }

    /// The value of [`loss`](Self::loss), and its gradient into `gradient`.
    ///
    /// # Errors
    /// As [`loss`](Self::loss), and [`Error::LengthMismatch`] if `gradient` is not as long as `logits`; nothing is written then.
    pub fn loss_with_gradient(
        &self,
        logits: &[T],
        targets: Targets<'_, T>,
        reduction: Reduction,
        gradient: &mut [T],
    ) -> Result<T, Error> {
        let rows = self.rows(logits, targets)?;
        same_length(logits, gradient)?;
        let mut losses = vec![Two::ZERO; rows];
        let factor = match reduction {
            Reduction::Sum => Two::ONE,
            Reduction::Mean => match self.whole_weight(targets, rows) {
                Two { hi: 0.0, .. } => Two::ZERO,
                weight => two::quotient(Two::ONE, weight),
            },
        };
        self.all(logits, targets, factor, &mut losses, Some(gradient));
        Ok(self.reduced(&losses, targets, reduction))
    }

    /// The loss of each row into `losses`.
    ///
    /// # Errors
    /// As [`loss`](Self::loss), and [`Error::LengthMismatch`] if `losses` has not an element for each row; nothing is written then.
    pub fn losses(&self, logits: &[T], targets: Targets<'_, T>, losses: &mut [T]) -> Result<(), Error> {
        self.losses_and_gradient(logits, targets, losses, None)
    }

    /// The loss of each row into `losses`, and into `gradient` the gradient of each row's loss.
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
        same_length(logits, gradient)?;
        self.losses_and_gradient(logits, targets, losses, Some(gradient))
    }

    fn losses_and_gradient(
        &self,
        logits: &[T],
        targets: Targets<'_, T>,
        losses: &mut [T],
        gradient: Option<&mut [T]>,
    ) -> Result<(), Error> {
        let rows = self.rows(logits, targets)?;
        if losses.len() != rows {
            return Err(Error::LengthMismatch { expected: rows, found: losses.len() });
        }
        let mut all = vec![Two::ZERO; rows];
        self.all(logits, targets, Two::ONE, &mut all, gradient);
        losses.iter_mut().zip(all).for_each(|(loss, all)| *loss = T::narrow(all.hi));
        Ok(())
    }

    /// The value of [`loss`](Self::loss), and its derivative in the direction `tangent`, which is as long as `logits`.
    ///
    /// The derivative is off by at most 1 ulp of Σ |g_k t_k|, g being the gradient.
    ///
    /// # Errors
    /// As [`loss_with_gradient`](Self::loss_with_gradient), with the tangent in the gradient's place.
    pub fn jvp(
        &self,
        logits: &[T],
        targets: Targets<'_, T>,
        reduction: Reduction,
        tangent: &[T],
    ) -> Result<(T, T), Error> {
        same_length(logits, tangent)?;
        let mut gradient = vec![T::default(); logits.len()];
        let loss = self.loss_with_gradient(logits, targets, reduction, &mut gradient)?;
        let blocks = gradient.chunks(crate::lane::BLOCK).zip(tangent.chunks(crate::lane::BLOCK));
        let slope = blocks.fold(Two::ZERO, |sum, (g, t)| sum.plus(crate::kernel::pairs::dot(g, t)));
        Ok((loss, T::narrow(slope.hi)))
    }

    /// The Hessian of [`loss`](Self::loss) times a vector, into `out`: for each row Q p_k ((v_k − v̄)(1 + 2ζ LSE) + 2ζ v̄)/τ², with
    /// v̄ = Σ p_k v_k.
    ///
    /// Each is within 2 ulp where that does not cancel. 0 in rows whose softmax is 0 or not ordinary.
    ///
    /// # Errors
    /// As [`loss_with_gradient`](Self::loss_with_gradient), with vector and `out` in the gradient's place.
    pub fn hvp(
        &self,
        logits: &[T],
        targets: Targets<'_, T>,
        reduction: Reduction,
        vector: &[T],
        out: &mut [T],
    ) -> Result<(), Error> {
        let rows = self.rows(logits, targets)?;
        same_length(logits, vector)?;
        same_length(logits, out)?;
        let whole = match reduction {
            Reduction::Sum => 1.0,
            Reduction::Mean => self.whole_weight(targets, rows).hi,
        };
        for row in 0..rows {
            let range = row * self.classes..(row + 1) * self.classes;
            let (z, v, out) = (&logits[range.clone()], &vector[range.clone()], &mut out[range]);
            let (z, v) = (wide(z), wide(v));
            let mut q = vec![0.0; self.classes];
            let weight = self.fill_weights(targets, row, &mut q).hi;
            match Moments::of(&z, self.temperature) {
                Ok(moments) if weight > 0.0 => {
                    let hessian = Hessian {
                        moments,
                        mean: moments.mean(&z, &v),
                        scale: weight / whole / self.temperature / self.temperature,
                        twice_z_loss: 2.0 * self.z_loss,
                        lse: moments.value_over_temperature().hi,
                    };
                    let mut wide_out = vec![0.0; self.classes];
                    moments.each(&z, &v, &mut wide_out, hessian);
                    out.iter_mut().zip(wide_out).for_each(|(out, x)| *out = T::narrow(x));
                }
                Err(max) if max.is_nan() => out.fill(T::narrow(max)),
                _ => out.fill(T::default()),
            }
        }
        Ok(())
    }

    #[cfg(feature = "ndarray")]
    pub(crate) fn has_classes(&self, axis: isize, length: usize) -> Result<(), Error> {
        let range = || format!("{}, the number of classes", self.classes);
        let is_it = length == self.classes;
        is_it
            .then_some(())
            .ok_or_else(|| Error::out_of_range(format_args!("the length of axis {axis}"), length, range()))
    }

    /// How many rows there are.
    fn rows(&self, logits: &[T], targets: Targets<'_, T>) -> Result<usize, Error> {
        if self.classes == 0 || !logits.len().is_multiple_of(self.classes) {
            let range = format!("a multiple of {}, the number of classes", self.classes);
            return Err(Error::out_of_range("the number of logits", logits.len(), range));
        }
        let rows = logits.len() / self.classes;
        match targets {
            Targets::Classes(targets) => {
                if targets.len() != rows {
                    return Err(Error::LengthMismatch { expected: rows, found: targets.len() });
                }
                for (row, &target) in targets.iter().enumerate() {
                    if target >= self.classes && self.ignored != Some(target) {
                        let range = format!("below {}, the number of classes", self.classes);
                        return Err(Error::out_of_range(
                            format_args!("the target of row {row}"),
                            target,
                            range,
                        ));
                    }
                }
            }
            Targets::Probabilities(targets) => {
                same_length(logits, targets)?;
                for (place, target) in targets.iter().enumerate() {
                    let (row, class) = (place / self.classes, place % self.classes);
                    not_negative(format_args!("the target of row {row}, class {class}"), target.widen())?;
                }
            }
        }
        Ok(rows)
    }

    /// What a mean is divided by.
    fn whole_weight(&self, targets: Targets<'_, T>, rows: usize) -> Two {
        match targets {
            Targets::Classes(targets) => targets
                .iter()
                .filter(|&&target| self.ignored != Some(target))
                .fold(Two::ZERO, |sum, &target| sum.plus_one_word(self.weight(target))),
            Targets::Probabilities(_) => Two { hi: rows as f64, lo: 0.0 },
        }
    }

    fn weight(&self, class: usize) -> f64 {
        self.class_weights.map_or(1.0, |weights| weights[class].widen())
    }

    fn reduced(&self, losses: &[Two], targets: Targets<'_, T>, reduction: Reduction) -> T {
        let sum = losses.iter().fold(Two::ZERO, |sum, &loss| sum.plus(loss));
        // What is infinite has no low word.
        let sum =
            if sum.hi.is_nan() { Two { hi: losses.iter().map(|loss| loss.hi).sum(), lo: 0.0 } } else { sum };
        let whole = match reduction {
            Reduction::Sum => return T::narrow(sum.hi),
            Reduction::Mean => self.whole_weight(targets, losses.len()),
        };
        T::narrow(if sum.hi.is_finite() && whole.hi > 0.0 {
            two::quotient(sum, whole).hi
        } else {
            sum.hi / whole.hi
        })
    }

    /// The loss of each row, and its gradient times the factor.
    fn all(
        &self,
        logits: &[T],
        targets: Targets<'_, T>,
        factor: Two,
        losses: &mut [Two],
        gradient: Option<&mut [T]>,
    ) {
        let work = Work { of: self, targets, factor, to: Store::for_output::<T>(logits.len()) };
        work.part(grain(logits.len()), 0, logits, losses, gradient);
    }

    /// q of a row, and Q.
    fn fill_weights(&self, targets: Targets<'_, T>, row: usize, q: &mut [f64]) -> Two {
        let spread = self.smoothing / self.classes as f64;
        match targets {
            Targets::Classes(targets) => {
                let target = targets[row];
                if self.ignored == Some(target) {
                    q.fill(0.0);
                    return Two::ZERO;
                }
                for (class, q) in q.iter_mut().enumerate() {
                    *q = spread * self.weight(class);
                }
                q[target] += (1.0 - self.smoothing) * self.weight(target);
            }
            Targets::Probabilities(targets) => {
                let targets = &targets[row * self.classes..][..self.classes];
                for (class, (q, target)) in q.iter_mut().zip(targets).enumerate() {
                    *q = self.weight(class) * ((1.0 - self.smoothing) * target.widen() + spread);
                }
            }
        }
        q.iter().fold(Two::ZERO, |sum, &q| sum.plus_one_word(q))
    }
}

fn not_negative(what: impl std::fmt::Display, x: f64) -> Result<(), Error> {
    if x >= 0.0 && x.is_finite() {
        Ok(())
    } else {
        Err(Error::out_of_range(what, x, "finite and not negative"))
    }
}

fn wide<T: Float>(row: &[T]) -> Vec<f64> {
    row.iter().map(|z| z.widen()).collect()
}

/// What is done to each row.
struct Work<'a, T> {
    of: &'a CrossEntropy<'a, T>,
    targets: Targets<'a, T>,
    factor: Two,
    to: Store,
}

impl<T: Float> Work<'_, T> {
    /// Rows from `first` on, by threads where that pays.
    fn part(&self, grain: usize, first: usize, z: &[T], losses: &mut [Two], gradient: Option<&mut [T]>) {
        let classes = self.of.classes;
        if z.len() >= 2 * grain && losses.len() > 1 {
            let half = losses.len() / 2;
            let (z, z2) = z.split_at(half * classes);
            let (losses, losses2) = losses.split_at_mut(half);
            let (gradient, gradient2) =
                gradient.map(|gradient| gradient.split_at_mut(half * classes)).unzip();
            join(
                || self.part(grain, first, z, losses, gradient),
                || self.part(grain, first + half, z2, losses2, gradient2),
            );
            return;
        }
        let mut gradient = gradient;
        let mut kept = Kept::<T>::new();
        for (i, (z, loss)) in z.chunks(classes).zip(losses).enumerate() {
            let gradient = gradient.as_mut().map(|gradient| &mut gradient[i * classes..][..classes]);
            *loss = match self.targets {
                Targets::Classes(targets)
                    if self.of.smoothing == 0.0 && self.of.z_loss == 0.0 && self.of.temperature == 1.0 =>
                {
                    self.plain(z, targets[first + i], gradient, &mut kept)
                }
                _ => self.general(z, first + i, gradient),
            };
        }
    }

    /// w log Σ e^{z_k − z_t}; w (p_k − [k = t]).
    fn plain(&self, z: &[T], target: usize, gradient: Option<&mut [T]>, kept: &mut Kept<T>) -> Two {
        let weight = if self.of.ignored == Some(target) { 0.0 } else { self.of.weight(target) };
        if weight == 0.0 {
            gradient.into_iter().for_each(|gradient| gradient.fill(T::default()));
            return Two::ZERO;
        }
        let weight = Two { hi: weight, lo: 0.0 };
        let at_target = z[target].widen();
        let factor = two::product(self.factor, weight);
        let Some(gradient) = gradient else {
            return loss_of(&Partial::<T::First>::over(&z), z, at_target, weight);
        };
        let partial = partial_and_shares(z, factor, gradient, kept, self.to);
        gradient[target] = if partial.max == f64::NEG_INFINITY {
            T::default()
        } else if partial.max.is_finite() {
            let rest = if at_target == partial.max {
                partial.rest_of_max()
            } else {
                let (shift, inverse) = partial.constants(Each::Share);
                run(RestOf::<T> { z: z[target], shift, inverse })
            };
            T::narrow(-two::product(rest, factor).hi)
        } else {
            // 1/c − 1, or −1.
            T::narrow((gradient[target].widen() / factor.hi - 1.0) * factor.hi)
        };
        loss_of(&partial, z, at_target, weight)
    }

    /// Any targets and options, in double words.
    fn general(&self, z: &[T], row: usize, gradient: Option<&mut [T]>) -> Two {
        let Self { of, targets, factor, .. } = self;
        let mut q = vec![0.0; of.classes];
        let weight = of.fill_weights(*targets, row, &mut q);
        if weight.hi == 0.0 {
            gradient.into_iter().for_each(|gradient| gradient.fill(T::default()));
            return Two::ZERO;
        }
        let z = wide(z);
        let moments = match Moments::of(&z, of.temperature) {
            Ok(moments) => moments,
            Err(max) => return self.at_edge(max, &z, &q, weight.hi, gradient),
        };
        let lse = moments.value_over_temperature();
        let excess = two::product(lse, Two { hi: 2.0 * of.z_loss, lo: 0.0 });
        if let Some(gradient) = gradient {
            let slope = Slope {
                share: Share(two::product(moments.inverse, weight)),
                growth: excess.plus_one_word(1.0),
                factor: two::quotient(*factor, Two { hi: of.temperature, lo: 0.0 }),
            };
            let mut out = vec![0.0; of.classes];
            moments.each(&z, &q, &mut out, slope);
            gradient.iter_mut().zip(out).for_each(|(gradient, x)| *gradient = T::narrow(x));
            // Where p > 1/2 it is 1 − (1 − p), and 1 − p is known to its own last bits: so is Q − q there.
            if moments.inverse.hi > 0.5 {
                let certain = z.iter().position(|&z| z == moments.scale.max).unwrap_or(0);
                let others = (0..of.classes).filter(|&k| k != certain);
                let others = others.fold(Two::ZERO, |sum, k| sum.plus_one_word(q[k]));
                gradient[certain] = T::narrow(run(AtMaximum { moments, slope, others, weight, excess }));
            }
        }
        let Scale { max, temperature } = moments.scale;
        let is_impossible =
            |(&z, &q): (&f64, &f64)| q > 0.0 && (z - max) / temperature <= Scale::OUT_OF_RANGE;
        if z.iter().zip(&q).any(is_impossible) {
            return Two { hi: f64::INFINITY, lo: 0.0 };
        }
        let loss = moments.sum(&z, &q, Loss(moments.log));
        let squared = two::product(lse, lse);
        loss.plus(two::product(squared, Two { hi: weight.hi * of.z_loss, lo: 0.0 }))
    }

    /// A row without a finite maximum.
    fn at_edge(&self, max: f64, z: &[f64], q: &[f64], weight: f64, gradient: Option<&mut [T]>) -> Two {
        let count = z.iter().filter(|&&z| z == f64::INFINITY).count() as f64;
        let factor = self.factor.hi / self.of.temperature;
        for (k, out) in gradient.into_iter().flatten().enumerate() {
            let share = if z[k] == f64::INFINITY { 1.0 / count } else { 0.0 };
            *out = T::narrow(match max {
                f64::NEG_INFINITY => 0.0,
                f64::INFINITY => (weight * share - q[k]) * factor,
                nan => nan,
            });
        }
        let is_elsewhere = |(&z, &q): (&f64, &f64)| q > 0.0 && z != f64::INFINITY;
        let hi = match max {
            f64::INFINITY if self.of.z_loss == 0.0 && !z.iter().zip(q).any(is_elsewhere) => {
                return two::product(crate::kernel::log::of_number(count), Two { hi: weight, lo: 0.0 });
            }
            nan if nan.is_nan() => nan,
            _ => f64::INFINITY,
        };
        Two { hi, lo: 0.0 }
    }
}

/// w ((max − z_t) + log(1 + t)): neither part is negative.
fn loss_of<T: Float>(partial: &Partial<T::First>, z: &[T], at_target: f64, weight: Two) -> Two {
    let alone = |hi| Two { hi, lo: 0.0 };
    match partial.max {
        max if max.is_nan() => alone(max),
        f64::INFINITY if at_target == f64::INFINITY => {
            let count = z.iter().filter(|z| z.widen() == f64::INFINITY).count();
            two::product(crate::kernel::log::of_number(count as f64), weight)
        }
        _ if at_target == f64::NEG_INFINITY || !partial.max.is_finite() => alone(f64::INFINITY),
        max => {
            let (_, log) = partial.constants(Each::LogShare);
            let difference = two_sum(max, -at_target);
            if difference.hi.is_infinite() {
                return alone(f64::INFINITY);
            }
            two::product(difference.plus(log), weight)
        }
    }
}

/// 1 − p, for a p of at most 1/2.
struct RestOf<T> {
    z: T,
    shift: f64,
    inverse: Two,
}

impl<T: Float> Task for RestOf<T> {
    type Output = Two;

    #[inline(always)]
    fn run<V: Vector>(self, _: V) -> Two {
        let Self { z, shift, inverse } = self;
        let power = T::First::exp(z.widen(), shift).to_two();
        power.times(inverse).scaled(UNSCALE).negated().plus_one_word(1.0)
    }
}

/// q (log Σ e^x − x), 0 where q is.
#[derive(Clone, Copy)]
struct Loss(Two);

impl Function for Loss {
    #[inline(always)]
    fn at<V: Vector>(self, x: Two<V>, q: V) -> Two<V> {
        let zero = q.splat(0.0);
        let loss = self.0.splat(q).plus(x.negated()).times(Two { hi: q, lo: zero });
        Two { hi: q.where_at_most(0.0, zero, loss.hi), lo: q.where_at_most(0.0, zero, loss.lo) }
    }
}

/// factor · (Q p growth − q), the share having Q in it.
#[derive(Clone, Copy)]
struct Slope {
    share: Share,
    growth: Two,
    factor: Two,
}

impl Function for Slope {
    #[inline(always)]
    fn at<V: Vector>(self, x: Two<V>, q: V) -> Two<V> {
        let share = self.share.at(x, q).times(self.growth.splat(q));
        share.plus_one_word(-q).times(self.factor.splat(q))
    }
}

/// The same at the maximum: factor · ((Q − q) − Q (1 − p) + Q p · excess), excess = growth − 1.
struct AtMaximum {
    moments: Moments,
    slope: Slope,
    others: Two,
    weight: Two,
    excess: Two,
}

impl Task for AtMaximum {
    type Output = f64;

    #[inline(always)]
    fn run<V: Vector>(self, _: V) -> f64 {
        let Self { moments, slope, others, weight, excess } = self;
        let rest = exp::minus_one(moments.log.negated()).times(weight);
        let grown = moments.inverse.times(weight).times(excess);
        others.plus(rest).plus(grown).times(slope.factor).hi
    }
}

/// scale · p ((v − v̄)(1 + 2ζ LSE) + 2ζ v̄).
#[derive(Clone, Copy)]
struct Hessian {
    moments: Moments,
    mean: Two,
    scale: f64,
    twice_z_loss: f64,
    lse: f64,
}

impl Function for Hessian {
    #[inline(always)]
    fn at<V: Vector>(self, x: Two<V>, v: V) -> Two<V> {
        let word = |x: f64| Two { hi: v.splat(x), lo: v.splat(0.0) };
        let difference = self.mean.negated().splat(v).plus_one_word(v);
        let grown = difference.times(word(1.0 + self.twice_z_loss * self.lse));
        let inner = grown.plus(self.mean.splat(v).times(word(self.twice_z_loss)));
        Share(self.moments.inverse).at(x, v).times(inner).times(word(self.scale))
    }
}
