#![doc = include_str!("../README.md")]
// burn has deprecated its backend NdArray, which it still ships.
#![cfg_attr(feature = "ndarray", allow(deprecated))]

mod autodiff;
mod error;
mod extension;
mod loss;
mod memory;
mod operation;

pub use error::Error;
pub use extension::{Host, LogSumExpOps, Outcome};
pub use loss::{CrossEntropy, Loss, Targets, cross_entropy};
pub use memory::Numbers;
pub use operation::Operation;

use burn::backend::AsIndex;
use burn::tensor::{Int, Tensor};
use extension::run;

/// log Σ e^z over one dimension, which stays with the length 1, as in burn's `sum_dim`.
///
/// Each value is the float nearest to the exact one. A negative dimension is counted from the back. The gradient is the
/// [`softmax`], times the cotangent.
///
/// | row | value | gradient |
/// |---|---|---|
/// | empty, or all −∞ | −∞ | 0 |
/// | +∞ in c places, and no NaN | +∞ | 1/c there, else 0 |
/// | a NaN | NaN | NaN |
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// let z = Tensor::<2>::from_data([[1e4, 1e4], [0.0, f32::NEG_INFINITY]], &Device::flex());
/// let value = logsum_burn::logsumexp(z, 1)?;
/// assert_eq!(value.dims(), [2, 1]);
/// assert_eq!(value.into_data().as_slice::<f32>()?, [10000.693, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Logsum`] for a dimension out of range; [`Error::DType`] for numbers that are not f16, bf16, f32
/// or f64; [`Error::Backend`] for a tensor of a backend whose feature is off.
pub fn logsumexp<const D: usize>(z: Tensor<D>, dim: impl AsIndex) -> Result<Tensor<D>, Error> {
    logsumexp_dims(z, &[dim])
}

/// [`logsumexp`] over several dimensions at once, which stay with the length 1; with no dimensions, z itself.
///
/// # Errors
/// As [`logsumexp`], and [`Error::Logsum`] for a dimension that is given twice.
pub fn logsumexp_dims<const D: usize>(z: Tensor<D>, dims: &[impl AsIndex]) -> Result<Tensor<D>, Error> {
    apply(z, Operation::LogSumExp(dims.iter().map(AsIndex::as_index).collect()))
}

/// [`logsumexp`] over all dimensions: one number, of shape `[1]`.
///
/// # Errors
/// As [`logsumexp`].
pub fn logsumexp_all<const D: usize>(z: Tensor<D>) -> Result<Tensor<1>, Error> {
    Ok(logsumexp_dims(z, &std::array::from_fn::<_, D, _>(|dim| dim))?.reshape([1]))
}

/// e^{z − log Σ e^z}, with the sum over one dimension; each number is the float nearest to the exact one.
///
/// In rows that are all −∞, or have +∞ or NaN, it is the gradient in the table of [`logsumexp`]. The backward pass
/// gives p_i (v_i − Σ p_k v_k) for the cotangent v, as computed by [`logsum::logsumexp_hvp`].
///
/// # Errors
/// As [`logsumexp`].
pub fn softmax<const D: usize>(z: Tensor<D>, dim: impl AsIndex) -> Result<Tensor<D>, Error> {
    apply(z, Operation::Softmax(vec![dim.as_index()]))
}

/// z − log Σ e^z, with the sum over one dimension; each number is the float nearest to the exact one.
///
/// The backward pass gives v_i − p_i Σ v_k for the cotangent v.
///
/// # Errors
/// As [`logsumexp`].
pub fn log_softmax<const D: usize>(z: Tensor<D>, dim: impl AsIndex) -> Result<Tensor<D>, Error> {
    apply(z, Operation::LogSoftmax(dim.as_index()))
}

/// The log-probability of one token for each row: log-softmax over the last dimension at the token, without the rest of
/// the row. Each is the float nearest to the exact value.
///
/// `tokens` has the shape of the logits without the last dimension, and so has the result. Calls with another rank than
/// R = D − 1 do not compile.
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// let device = Device::flex();
/// let logits = Tensor::<3>::from_data([[[40.0, 0.0], [2.0, 2.0]]], &device);
/// let tokens = Tensor::<2, Int>::from_data([[0, 1]], &device);
/// let log_p = logsum_burn::token_log_probs(logits, tokens)?;
/// assert_eq!(log_p.into_data().as_slice::<f32>()?, [-4.248354e-18, -0.6931472]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`CrossEntropy::losses`], of which this is the negative, with [`logsum::Error::TokenOutOfRange`] for a token that
/// is not an index of its row.
pub fn token_log_probs<const D: usize, const R: usize>(
    logits: Tensor<D>,
    tokens: Tensor<R, Int>,
) -> Result<Tensor<R>, Error> {
    match CrossEntropy::new().losses(logits, tokens) {
        Ok(losses) => Ok(losses.neg()),
        Err(Error::Logsum(logsum::Error::TargetOutOfRange { row, target, classes, .. })) => {
            Err(Error::Logsum(logsum::Error::TokenOutOfRange { row, token: target, length: classes }))
        }
        Err(error) => Err(error),
    }
}

fn apply<const D: usize>(z: Tensor<D>, operation: Operation) -> Result<Tensor<D>, Error> {
    run(z.into_dispatch(), operation).map(Tensor::from_dispatch)
}
