//! Cross-entropy and log-probabilities of tokens, and their derivatives.

use crate::formulas;
use crate::storage::{Number, for_format, into_storage, multiply, view};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Storage};
use candle_core::{D, DType, Device, Error, Tensor, bail};
use logsum::{Reduction, array_of_zeros};
use ndarray::{ArrayD, ArrayViewD, IxDyn, arr0};
use std::sync::Arc;

/// The mean of the rows' losses log Σ e^z − z_t: [`CrossEntropy::mean`] without options.
///
/// `logits` has the classes along its last dimension; `targets` has one class for each row, or the probabilities of all
/// classes.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// let logits = Tensor::new(&[[2.0, 1.0, 0.0], [1e8, 1e8, 1e8]], &Device::Cpu)?;
/// let targets = Tensor::new(&[0_u32, 2], &Device::Cpu)?;
/// let loss = logsum_candle::cross_entropy(&logits, &targets)?;
/// assert_eq!(loss.to_scalar::<f64>()?, 0.753109126556245);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// As [`CrossEntropy`].
pub fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    CrossEntropy::new().mean(logits, targets)
}

/// The log-probability of one token for each row of `logits`, z_t − log Σ e^z, without the rest of the row.
///
/// `logits` has the shape of `tokens` and one more dimension, the last, into which the tokens are indices. Each result
/// has the bits of [`log_softmax`](crate::log_softmax) at that index; its derivatives [k = t] − p_k are correctly
/// rounded before they are multiplied by the cotangent.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// let logits = Tensor::new(&[[40.0, 0.0], [2.0, 2.0]], &Device::Cpu)?;
/// let tokens = Tensor::new(&[0_u32, 1], &Device::Cpu)?;
/// let log_p = logsum_candle::token_log_probs(&logits, &tokens)?;
/// assert_eq!(log_p.to_vec1::<f64>()?, [-4.248354255291589e-18, -std::f64::consts::LN_2]);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// candle's, if the shapes do not fit, a token is not an index of its row, or the types are not floats and integers.
pub fn token_log_probs(logits: &Tensor, tokens: &Tensor) -> Result<Tensor> {
    let tokens = Targets::classes(logits, ("tokens", tokens), None)?;
    CrossEntropy::new().of(logits, tokens, Of::Each)?.neg()
}

/// Cross-entropy with options, which are those of [`logsum::CrossEntropy`], with its definitions and bounds.
///
/// The loss of a row is Σ q_k (log Σ e^{z/τ} − z_k/τ) + Q ζ (log Σ e^{z/τ})² with Q = Σ q_k, where q is the target with
/// label smoothing and class weights, τ the temperature, and ζ the coefficient of the z-loss. `logits` has the classes
/// along its last dimension. `targets` is a tensor of integers with the shape of the other dimensions, one class for
/// each row, or a tensor of floats with the shape of `logits`, the probabilities of all classes.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// let logits = Tensor::new(&[[3.0, 1.0], [0.0, 0.0], [7.0, 7.0]], &Device::Cpu)?;
/// let targets = Tensor::new(&[0_i64, -100, 1], &Device::Cpu)?;
/// let loss = logsum_candle::CrossEntropy::new().ignore(-100).label_smoothing(0.1);
/// assert_eq!(loss.mean(&logits, &targets)?.to_scalar::<f64>()?, 0.4600375958014589);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// [`mean`](Self::mean), [`sum`](Self::sum) and [`losses`](Self::losses) return candle's errors if shapes or types do
/// not fit, a target is not a class, or an option is out of its range; also if probabilities or class weights require
/// derivatives, which are not provided.
#[derive(Debug, Clone)]
pub struct CrossEntropy {
    class_weights: Option<Tensor>,
    ignored: Option<i64>,
    smoothing: f64,
    z_loss: f64,
    temperature: f64,
}

impl Default for CrossEntropy {
    fn default() -> Self {
        Self { class_weights: None, ignored: None, smoothing: 0.0, z_loss: 0.0, temperature: 1.0 }
    }
}

impl CrossEntropy {
    /// Cross-entropy without options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets one weight for each class. [`mean`](Self::mean) says how they enter the mean.
    pub fn class_weights(self, weights: &Tensor) -> Self {
        Self { class_weights: Some(weights.clone()), ..self }
    }

    /// Ignores rows with this target, which need not be a class.
    pub fn ignore(self, target: i64) -> Self {
        Self { ignored: Some(target), ..self }
    }

    /// Sets the part of each target, from 0 to 1, that is spread evenly over all classes.
    pub fn label_smoothing(self, smoothing: f64) -> Self {
        Self { smoothing, ..self }
    }

    /// Sets the coefficient of the squared log-sum-exp, which keeps the latter near 0.
    pub fn z_loss(self, z_loss: f64) -> Self {
        Self { z_loss, ..self }
    }

    /// Sets the number by which the logits are divided.
    pub fn temperature(self, temperature: f64) -> Self {
        Self { temperature, ..self }
    }

    /// The sum of the losses divided by the total class weight of the targets that are not ignored, or, if targets are
    /// probabilities, by the number of rows; NaN if that is 0.
    pub fn mean(&self, logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
        self.of(logits, Targets::read(logits, targets, self.ignored)?, Of::All(Reduction::Mean))
    }

    /// The sum of the losses.
    pub fn sum(&self, logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
        self.of(logits, Targets::read(logits, targets, self.ignored)?, Of::All(Reduction::Sum))
    }

    /// The loss of each row.
    pub fn losses(&self, logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
        self.of(logits, Targets::read(logits, targets, self.ignored)?, Of::Each)
    }

    fn of(&self, logits: &Tensor, targets: Targets, of: Of) -> Result<Tensor> {
        let mut options = self.clone();
        if let Some(weights) = &mut options.class_weights {
            *weights = constant(weights, logits, "class_weights")?;
        }
        if !logits.device().is_cpu() {
            return formula(&options, logits, &targets, of);
        }
        logits.apply_op1(Loss { options, targets, of })
    }
}

/// The targets of the rows.
#[derive(Clone)]
enum Targets {
    /// One class for each row; `IGNORED` for rows that are ignored.
    Classes(Arc<Vec<usize>>),
    Probabilities(Tensor),
}

/// Not a class: no row has this many numbers.
const IGNORED: usize = usize::MAX;

impl Targets {
    fn read(logits: &Tensor, targets: &Tensor, ignored: Option<i64>) -> Result<Self> {
        if !targets.dtype().is_float() {
            return Self::classes(logits, ("targets", targets), ignored);
        }
        if targets.dims() != logits.dims() {
            bail!(
                "probabilities as targets have the shape {:?}, but the logits {:?}",
                targets.dims(),
                logits.dims()
            );
        }
        Ok(Self::Probabilities(constant(targets, logits, "targets")?))
    }

    fn classes(logits: &Tensor, (name, targets): (&str, &Tensor), ignored: Option<i64>) -> Result<Self> {
        let Some((&classes, rows)) = logits.dims().split_last() else {
            bail!("logits have no dimension, but need one of classes");
        };
        if !targets.dtype().is_int() {
            bail!("{name} are {:?}, but must be integers", targets.dtype());
        }
        if targets.dims() != rows {
            bail!(
                "{name} have the shape {:?}, but logits of shape {:?} need {rows:?}",
                targets.dims(),
                logits.dims()
            );
        }
        let class = |(row, target)| match usize::try_from(target) {
            _ if Some(target) == ignored => Ok(IGNORED),
            Ok(class) if class < classes => Ok(class),
            _ => bail!("{name}: {target} in row {row} is not one of {classes} classes, which count from 0"),
        };
        let targets = targets.to_device(&Device::Cpu)?.contiguous()?;
        let (storage, layout) = targets.storage_and_layout();
        let places = layout.start_offset()..layout.start_offset() + targets.elem_count();
        let classes: Result<Vec<usize>> = match &*storage {
            // The types that indices usually have are read in place.
            Storage::Cpu(CpuStorage::U32(numbers)) => {
                numbers[places].iter().map(|&target| i64::from(target)).enumerate().map(class).collect()
            }
            Storage::Cpu(CpuStorage::I64(numbers)) => {
                numbers[places].iter().copied().enumerate().map(class).collect()
            }
            _ => {
                let numbers = targets.flatten_all()?.to_dtype(DType::I64)?.to_vec1::<i64>()?;
                numbers.into_iter().enumerate().map(class).collect()
            }
        };
        Ok(Self::Classes(Arc::new(classes?)))
    }
}

/// An argument other than the logits, of their format, with respect to which there are no derivatives.
fn constant(tensor: &Tensor, logits: &Tensor, name: &str) -> Result<Tensor> {
    if tensor.track_op() {
        bail!("cross-entropy has no derivatives by {name}: detach them");
    }
    if tensor.dtype() != logits.dtype() {
        bail!("{name} are {:?}, but logits {:?}", tensor.dtype(), logits.dtype());
    }
    tensor.contiguous()
}

/// The result: the reduction of the rows' losses, or each of them.
#[derive(Clone, Copy)]
enum Of {
    All(Reduction),
    Each,
}

/// The losses as a function of the logits.
#[derive(Clone)]
struct Loss {
    options: CrossEntropy,
    targets: Targets,
    of: Of,
}

impl Loss {
    /// Calls `work` with the library's loss, its targets, and the rows of logits.
    fn on_rows<T: Number, R>(
        &self,
        logits: &ArrayViewD<'_, T>,
        work: impl FnOnce(
            logsum::CrossEntropy<'_, T>,
            logsum::Targets<'_, T>,
            &[T],
        ) -> std::result::Result<R, logsum::Error>,
    ) -> Result<R> {
        let classes = logits.shape().last().copied().unwrap_or(0);
        let logits = logits.as_standard_layout();
        let options = &self.options;
        let weights = options.class_weights.as_ref().map(Tensor::to_vec1::<T>).transpose()?;
        let with_options = || {
            let mut loss = logsum::CrossEntropy::new(classes);
            if let Some(weights) = &weights {
                loss = loss.class_weights(weights)?;
            }
            if options.ignored.is_some() {
                loss = loss.ignore(IGNORED);
            }
            loss.label_smoothing(options.smoothing)?.z_loss(options.z_loss)?.temperature(options.temperature)
        };
        let loss = with_options().map_err(Error::wrap)?;
        let rows = logits.as_slice().expect("rows follow each other");
        match &self.targets {
            Targets::Classes(targets) => work(loss, logsum::Targets::Classes(targets), rows),
            Targets::Probabilities(targets) => {
                let (storage, layout) = targets.storage_and_layout();
                let Storage::Cpu(storage) = &*storage else {
                    bail!("probabilities are not on the CPU, as logits are")
                };
                let targets = view::<T>(storage, layout)?;
                let targets = targets.as_slice().expect("they are contiguous");
                work(loss, logsum::Targets::Probabilities(targets), rows)
            }
        }
        .map_err(Error::wrap)
    }
}

impl CustomOp1 for Loss {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        for_format!(self.name(), logits.dtype(), T => {
            let logits = view::<T>(logits, layout)?;
            let rows = &logits.shape()[..logits.ndim().saturating_sub(1)];
            Ok(into_storage(self.on_rows(&logits, |loss, targets, logits| match self.of {
                Of::All(reduction) => Ok(arr0(loss.loss(logits, targets, reduction)?).into_dyn()),
                Of::Each => {
                    let mut losses = ArrayD::zeros(rows);
                    loss.losses(logits, targets, losses.as_slice_mut().expect("it is new"))?;
                    Ok(losses)
                }
            })?))
        })
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        logits.apply_op2(g, Gradient(self.clone())).map(Some)
    }
}

/// The gradient of the losses, where each row is multiplied by the cotangent g of its loss.
struct Gradient(Loss);

impl CustomOp2 for Gradient {
    fn name(&self) -> &'static str {
        "the gradient of cross_entropy"
    }

    fn cpu_fwd(
        &self,
        logits: &CpuStorage,
        layout: &Layout,
        g: &CpuStorage,
        g_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        for_format!(self.name(), logits.dtype(), T => {
            let (logits, g) = (view::<T>(logits, layout)?, view::<T>(g, g_layout)?);
            let mut out = array_of_zeros::<T, _>(IxDyn(logits.shape())).map_err(Error::wrap)?;
            self.0.on_rows(&logits, |loss, targets, logits| {
                let out = out.as_slice_mut().expect("it is new");
                match self.0.of {
                    Of::All(reduction) => loss.loss_with_gradient(logits, targets, reduction, out).map(drop),
                    Of::Each => {
                        let mut losses = vec![T::default(); g.len()];
                        loss.losses_with_gradient(logits, targets, &mut losses, out)
                    }
                }
            })?;
            multiply(&mut out, g);
            Ok(into_storage(out))
        })
    }

    fn bwd(
        &self,
        logits: &Tensor,
        g: &Tensor,
        _: &Tensor,
        v: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let slope = v.mul(&logits.apply_op2(&g.ones_like()?, Self(self.0.clone()))?)?;
        let (by_g, g) = match self.0.of {
            Of::All(_) => (slope.sum_all()?, g.clone()),
            Of::Each => (slope.sum(D::Minus1)?, g.unsqueeze(D::Minus1)?),
        };
        let by_logits = logits.apply_op2(&v.broadcast_mul(&g)?, Curvature(self.0.clone()))?;
        Ok((Some(by_logits), Some(by_g)))
    }
}

/// The Hessian of the losses times a vector. It has no further derivatives.
struct Curvature(Loss);

impl CustomOp2 for Curvature {
    fn name(&self) -> &'static str {
        "the second derivative of cross_entropy"
    }

    fn cpu_fwd(
        &self,
        logits: &CpuStorage,
        layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        for_format!(self.name(), logits.dtype(), T => {
            let (logits, v) = (view::<T>(logits, layout)?, view::<T>(v, v_layout)?);
            let v = v.as_standard_layout();
            let mut out = array_of_zeros::<T, _>(IxDyn(logits.shape())).map_err(Error::wrap)?;
            self.0.on_rows(&logits, |loss, targets, logits| {
                let reduction = match self.0.of {
                    Of::All(reduction) => reduction,
                    // The loss of a row depends on that row only.
                    Of::Each => Reduction::Sum,
                };
                let v = v.as_slice().expect("rows follow each other");
                loss.hvp(logits, targets, reduction, v, out.as_slice_mut().expect("it is new"))
            })?;
            Ok(into_storage(out))
        })
    }
}

/// The losses composed of candle's own operations, for devices on which the library does not compute. q is stored
/// whole.
fn formula(options: &CrossEntropy, logits: &Tensor, targets: &Targets, of: Of) -> Result<Tensor> {
    let classes = logits.dim(D::Minus1)?;
    let (shares, counted) = match targets {
        Targets::Probabilities(targets) => (targets.clone(), None),
        Targets::Classes(targets) => {
            let counted: Vec<_> = targets.iter().map(|&class| f32::from(class != IGNORED)).collect();
            let class: Vec<_> =
                targets.iter().map(|&class| if class == IGNORED { 0 } else { class as i64 }).collect();
            let on = |numbers: Tensor| numbers.to_device(logits.device())?.to_dtype(logits.dtype());
            let counted = on(Tensor::from_vec(counted, (targets.len(), 1), &Device::Cpu)?)?;
            let class = Tensor::from_vec(class, (targets.len(), 1), logits.device())?;
            let flat = Tensor::zeros((targets.len(), classes), logits.dtype(), logits.device())?;
            let shares = flat.scatter_add(&class, &counted, 1)?.reshape(logits.shape())?;
            (shares, Some(counted.reshape(&logits.dims()[..logits.rank() - 1])?.unsqueeze(D::Minus1)?))
        }
    };
    let weighted = |shares: &Tensor| match &options.class_weights {
        Some(weights) => shares.broadcast_mul(weights),
        None => Ok(shares.clone()),
    };
    let total = match targets {
        Targets::Probabilities(_) => {
            Tensor::new((logits.elem_count() / classes.max(1)) as f64, logits.device())?
        }
        Targets::Classes(_) => weighted(&shares)?.sum_all()?,
    };
    let mut q = weighted(&((shares * (1.0 - options.smoothing))? + options.smoothing / classes as f64)?)?;
    if let Some(counted) = counted {
        q = q.broadcast_mul(&counted)?;
    }
    let z = (logits / options.temperature)?;
    let last = [logits.rank() - 1];
    let surprisal = formulas::log_softmax(&z, &last)?.neg()?;
    let none = q.eq(0.0)?;
    let losses = none.where_cond(&q.zeros_like()?, &q.mul(&surprisal)?)?.sum(D::Minus1)?;
    let log = formulas::logsumexp(&z, &last)?.squeeze(D::Minus1)?;
    let losses = losses.add(&(q.sum(D::Minus1)? * options.z_loss)?.mul(&log.sqr()?)?)?;
    match of {
        Of::Each => Ok(losses),
        Of::All(Reduction::Sum) => losses.sum_all(),
        Of::All(_) => losses.sum_all()?.div(&total.to_dtype(logits.dtype())?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;

    #[test]
    fn formulas_are_near_the_library() {
        let cpu = &Device::Cpu;
        let z = Var::new(&[[1.0, -2.0, 0.5], [f64::NEG_INFINITY, 2.0, 2.5], [0.0, 9.0, -9.0]], cpu).unwrap();
        let weights = Tensor::new(&[0.5, 1.0, 2.0], cpu).unwrap();
        let labels = Tensor::new(&[0_i64, 1, -100], cpu).unwrap();
        let probabilities = Tensor::new(&[[0.5, 0.5, 0.0], [0.0, 0.25, 0.75], [1.0, 0.0, 0.0]], cpu).unwrap();
        let plain = CrossEntropy::new().ignore(-100);
        let weighted = plain.clone().class_weights(&weights).z_loss(0.1).temperature(1.5);
        for options in [plain, weighted] {
            for targets in [&labels, &probabilities] {
                for of in [Of::All(Reduction::Mean), Of::All(Reduction::Sum), Of::Each] {
                    let targets = Targets::read(&z, targets, options.ignored).unwrap();
                    let found = formula(&options, &z, &targets, of).unwrap();
                    let expected = options.of(&z, targets, of).unwrap();
                    assert_eq!(found.dims(), expected.dims());
                    for found_and_expected in [
                        [&found, &expected].map(|x| x.flatten_all().unwrap()),
                        [&found, &expected].map(|x| {
                            let total = x.sum_all().unwrap();
                            total.backward().unwrap().remove(&z).unwrap().flatten_all().unwrap()
                        }),
                    ] {
                        let [found, expected] = found_and_expected.map(|x| x.to_vec1::<f64>().unwrap());
                        for (found, expected) in found.iter().zip(&expected) {
                            assert!((found - expected).abs() < 1e-14, "{found}, {expected}");
                        }
                    }
                }
            }
        }
    }
}
