//! Cross-entropy: its options, its targets, and the calls of the library.

use crate::error::Error;
use crate::extension::{hold, run};
use crate::memory::{Number, Numbers, fresh};
use crate::operation::Operation;
use burn::backend::DispatchTensor;
use burn::tensor::{ElementConversion, Int, Tensor};
use logsum::Reduction;
use ndarray::{ArrayD, ArrayViewD};
use std::sync::Arc;

/// The mean over all rows of log Σ_k e^{z_k − z_t}, the negative logarithm of the softmax at the target t.
///
/// The last dimension of `logits` enumerates the classes; `targets` has the shape of the other dimensions. The result
/// has the shape `[1]`. [`CrossEntropy`] has the options, the bounds and the special cases.
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// let device = Device::flex();
/// let logits = Tensor::<2>::from_data([[40.0f64, 0.0], [1e8, 1e8]], (&device, burn::tensor::DType::F64));
/// let targets = Tensor::<1, Int>::from_data([0, 1], &device);
/// let loss = logsum_burn::cross_entropy(logits, targets)?;
/// assert_eq!(loss.into_data().as_slice::<f64>()?, [0.34657359027997264]); // (4.25e-18 + log 2) / 2
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`CrossEntropy::mean`].
pub fn cross_entropy<const D: usize>(
    logits: Tensor<D>,
    targets: impl Into<Targets>,
) -> Result<Tensor<1>, Error> {
    CrossEntropy::new().mean(logits, targets)
}

/// Cross-entropy with its options: those of [`logsum::CrossEntropy`], under the same formulas and special cases.
///
/// The loss of a row is Σ_k q_k (LSE(z/τ) − z_k/τ) + Q ζ LSE(z/τ)² with Q = Σ q_k, the temperature τ and the z-loss ζ;
/// LSE is the log-sum-exp, and q the target as probabilities, smoothed and weighted. Without z-loss and temperature,
/// losses, means, sums and gradients are correctly rounded; with one of them, losses are within 2 ulp. If the logits
/// require a gradient, it is computed together with the loss, in one pass, and is multiplied by the cotangent
/// afterwards.
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use logsum_burn::CrossEntropy;
/// let device = Device::flex().autodiff();
/// let logits = Tensor::<2>::from_data([[3.0, 1.0], [0.0, 0.0], [7.0, 7.0]], &device).require_grad();
/// let targets = Tensor::<1, Int>::from_data([0, -100, 1], &device);
/// let loss = CrossEntropy::new().ignore(-100).label_smoothing(0.1).mean(logits.clone(), targets)?;
/// let gradient = logits.grad(&loss.backward()).unwrap().into_data();
/// assert_eq!(loss.into_data().as_slice::<f32>()?, [0.4600376]);
/// assert_eq!(gradient.as_slice::<f32>()?[2..5], [0.0, 0.0, 0.225]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Derivatives with respect to targets and weights are not provided.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossEntropy {
    class_weights: Option<Vec<f64>>,
    ignored: Option<i64>,
    label_smoothing: f64,
    z_loss: f64,
    temperature: f64,
}

impl Default for CrossEntropy {
    fn default() -> Self {
        Self { class_weights: None, ignored: None, label_smoothing: 0.0, z_loss: 0.0, temperature: 1.0 }
    }
}

impl CrossEntropy {
    /// Cross-entropy without options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets one weight for each class; each is rounded to the format of the logits.
    pub fn class_weights(self, weights: impl Into<Vec<f64>>) -> Self {
        Self { class_weights: Some(weights.into()), ..self }
    }

    /// Ignores rows with this target, which need not be a class.
    pub fn ignore(self, target: i64) -> Self {
        Self { ignored: Some(target), ..self }
    }

    /// Sets the part of each target that is spread evenly over all classes, between 0 and 1.
    pub fn label_smoothing(self, label_smoothing: f64) -> Self {
        Self { label_smoothing, ..self }
    }

    /// Sets the coefficient ζ of the z-loss.
    pub fn z_loss(self, z_loss: f64) -> Self {
        Self { z_loss, ..self }
    }

    /// Sets the temperature τ.
    pub fn temperature(self, temperature: f64) -> Self {
        Self { temperature, ..self }
    }

    /// The sum of the rows' losses divided by the total weight, of shape `[1]`: the class weights of the targets, or
    /// the number of rows if targets are probabilities. NaN if that is 0.
    ///
    /// # Errors
    /// [`Error::Logsum`] for an option or a label out of range, or without classes; [`Error::NegativeTarget`];
    /// [`Error::Shape`] unless `targets` has the shape of `logits` (probabilities), or that of all its dimensions but
    /// the last (classes); [`Error::DType`] if probabilities are not of the type of the logits;
    /// [`Error::TrackedTargets`]; [`Error::Backend`] for a tensor of an unknown backend.
    pub fn mean<const D: usize>(
        &self,
        logits: Tensor<D>,
        targets: impl Into<Targets>,
    ) -> Result<Tensor<1>, Error> {
        self.loss(logits, targets, Some(Reduction::Mean)).map(Tensor::from_dispatch)
    }

    /// The sum of the rows' losses, of shape `[1]`.
    ///
    /// # Errors
    /// As [`mean`](Self::mean).
    pub fn sum<const D: usize>(
        &self,
        logits: Tensor<D>,
        targets: impl Into<Targets>,
    ) -> Result<Tensor<1>, Error> {
        self.loss(logits, targets, Some(Reduction::Sum)).map(Tensor::from_dispatch)
    }

    /// The loss of each row, of the shape of the logits without the last dimension. Calls with another rank than R = D
    /// − 1 do not compile.
    ///
    /// ```compile_fail
    /// use burn::tensor::{Device, Int, Tensor};
    /// let device = Device::flex();
    /// let (logits, targets) = (Tensor::<2>::zeros([1, 3], &device), Tensor::<1, Int>::zeros([1], &device));
    /// let losses: Tensor<2> = logsum_burn::CrossEntropy::new().losses(logits, targets).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`mean`](Self::mean).
    pub fn losses<const D: usize, const R: usize>(
        &self,
        logits: Tensor<D>,
        targets: impl Into<Targets>,
    ) -> Result<Tensor<R>, Error> {
        const { assert!(R + 1 == D, "there is a loss for each row: one dimension less than the logits have") };
        self.loss(logits, targets, None).map(Tensor::from_dispatch)
    }

    /// The loss as an [`Operation`] on logits of this shape, for the tensors of a [`Host`](crate::Host): the mean, the
    /// sum, or, without a reduction, the loss of each row.
    ///
    /// # Errors
    /// As [`mean`](Self::mean), except for those that depend on the logits' numbers.
    pub fn operation(
        &self,
        logits: &[usize],
        targets: impl Into<Targets>,
        reduction: Option<Reduction>,
    ) -> Result<Operation, Error> {
        let labels = targets.into().labels(logits, self.ignored)?;
        Ok(Operation::Loss(Arc::new(Loss { options: self.clone(), labels, reduction })))
    }

    fn loss<const D: usize>(
        &self,
        logits: Tensor<D>,
        targets: impl Into<Targets>,
        reduction: Option<Reduction>,
    ) -> Result<DispatchTensor, Error> {
        let operation = self.operation(&logits.dims(), targets, reduction)?;
        run(logits.into_dispatch(), operation)
    }
}

/// The targets of rows of logits: a tensor of integers is a class for each row, a tensor of floats a probability (or
/// any weight that is not negative) for each logit.
#[derive(Debug, Clone)]
pub struct Targets {
    shape: Vec<usize>,
    of: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Classes(Tensor<1, Int>),
    Probabilities { tensor: DispatchTensor, is_tracked: bool },
}

impl<const R: usize> From<Tensor<R, Int>> for Targets {
    fn from(tensor: Tensor<R, Int>) -> Self {
        let shape = tensor.dims().to_vec();
        Self { of: Kind::Classes(tensor.reshape([shape.iter().product::<usize>()])), shape }
    }
}

impl<const D: usize> From<Tensor<D>> for Targets {
    fn from(tensor: Tensor<D>) -> Self {
        let (shape, is_tracked) = (tensor.dims().to_vec(), tensor.is_tracked());
        Self { shape, of: Kind::Probabilities { tensor: tensor.inner().into_dispatch(), is_tracked } }
    }
}

impl Targets {
    /// The targets for logits of this shape, in memory that the CPU can read.
    fn labels(self, logits: &[usize], ignored: Option<i64>) -> Result<Labels, Error> {
        let expected = match self.of {
            Kind::Classes(_) => &logits[..logits.len().saturating_sub(1)],
            Kind::Probabilities { .. } => logits,
        };
        if self.shape != expected {
            let expected = expected.to_vec();
            return Err(Error::Shape { argument: "targets", expected, found: self.shape });
        }
        match self.of {
            Kind::Probabilities { is_tracked: true, .. } => Err(Error::TrackedTargets),
            Kind::Probabilities { tensor, .. } => Ok(Labels::Probabilities(hold(tensor)?)),
            Kind::Classes(tensor) => {
                let data =
                    tensor.try_into_data().map_err(|error| Error::Read { reason: error.to_string() })?;
                let class = |(row, target): (usize, i64)| match usize::try_from(target) {
                    _ if ignored == Some(target) => Ok(IGNORED),
                    Ok(class) => Ok(class),
                    Err(_) => Err(Error::NegativeTarget { row, target }),
                };
                Ok(Labels::Classes(data.iter::<i64>().enumerate().map(class).collect::<Result<_, _>>()?))
            }
        }
    }
}

/// Stands for the target to ignore, which may be negative. No logits that fit into memory have this many classes.
const IGNORED: usize = usize::MAX;

/// The targets, in memory that the CPU can read.
#[derive(Debug)]
enum Labels {
    Classes(Vec<usize>),
    Probabilities(Numbers),
}

/// A cross-entropy with its options and targets, but without its logits.
#[derive(Debug)]
pub struct Loss {
    options: CrossEntropy,
    labels: Labels,
    /// `None` for the loss of each row.
    reduction: Option<Reduction>,
}

impl Loss {
    pub(crate) fn is_reduced(&self) -> bool {
        self.reduction.is_some()
    }

    pub(crate) fn value<T: Number>(&self, z: &ArrayViewD<'_, T>) -> Result<ArrayD<T>, Error> {
        self.call(z, |of, logits, targets| match self.reduction {
            Some(reduction) => Ok(number(of.loss(logits, targets, reduction)?)),
            None => {
                let mut losses = fresh(rows(z))?;
                of.losses(logits, targets, slice_mut(&mut losses))?;
                Ok(losses)
            }
        })
    }

    pub(crate) fn value_and_gradient<T: Number>(
        &self,
        z: &ArrayViewD<'_, T>,
    ) -> Result<(ArrayD<T>, ArrayD<T>), Error> {
        let mut gradient = fresh(z.shape())?;
        let value = self.call(z, |of, logits, targets| match self.reduction {
            Some(reduction) => {
                Ok(number(of.loss_with_gradient(logits, targets, reduction, slice_mut(&mut gradient))?))
            }
            None => {
                let mut losses = fresh(rows(z))?;
                of.losses_with_gradient(logits, targets, slice_mut(&mut losses), slice_mut(&mut gradient))?;
                Ok(losses)
            }
        })?;
        Ok((value, gradient))
    }

    /// The Hessian of the result times a vector, or, if losses are not reduced, that of each row's loss.
    pub(crate) fn hvp<T: Number>(
        &self,
        z: &ArrayViewD<'_, T>,
        vector: &ArrayViewD<'_, T>,
    ) -> Result<ArrayD<T>, Error> {
        let (vector, mut out) = (vector.as_standard_layout(), fresh(z.shape())?);
        let vector = vector.as_slice().expect(STANDARD);
        self.call(z, |of, logits, targets| {
            let reduction = self.reduction.unwrap_or(Reduction::Sum);
            of.hvp(logits, targets, reduction, vector, slice_mut(&mut out))
        })?;
        Ok(out)
    }

    /// Calls `f` with the library's cross-entropy, the logits, which are copied if they are not in row-major order, and
    /// the targets.
    fn call<T: Number, R>(
        &self,
        z: &ArrayViewD<'_, T>,
        f: impl FnOnce(&logsum::CrossEntropy<'_, T>, &[T], logsum::Targets<'_, T>) -> Result<R, logsum::Error>,
    ) -> Result<R, Error> {
        let CrossEntropy { class_weights, label_smoothing, z_loss, temperature, .. } = &self.options;
        let weights: Option<Vec<T>> =
            class_weights.as_ref().map(|weights| weights.iter().map(|weight| weight.elem()).collect());
        let mut of = logsum::CrossEntropy::new(z.shape().last().copied().unwrap_or(0)).ignore(IGNORED);
        if let Some(weights) = &weights {
            of = of.class_weights(weights)?;
        }
        of = of.label_smoothing(*label_smoothing)?.z_loss(*z_loss)?.temperature(*temperature)?;
        let logits = z.as_standard_layout();
        let logits = logits.as_slice().expect(STANDARD);
        Ok(match &self.labels {
            Labels::Classes(classes) => f(&of, logits, logsum::Targets::Classes(classes)),
            Labels::Probabilities(numbers) => {
                let probabilities = numbers.view("targets")?;
                let probabilities = probabilities.as_standard_layout();
                f(&of, logits, logsum::Targets::Probabilities(probabilities.as_slice().expect(STANDARD)))
            }
        }?)
    }
}

/// The message of a panic that cannot occur: an array in standard layout always has a slice.
const STANDARD: &str = "the standard layout is contiguous";

fn slice_mut<T>(array: &mut ArrayD<T>) -> &mut [T] {
    array.as_slice_mut().expect(STANDARD)
}

/// The shape of the losses, with one number for each row.
fn rows<'a, T>(z: &'a ArrayViewD<'_, T>) -> &'a [usize] {
    &z.shape()[..z.ndim().saturating_sub(1)]
}

/// A tensor of one number.
fn number<T: Number>(value: T) -> ArrayD<T> {
    ArrayD::from_elem(vec![1], value)
}
