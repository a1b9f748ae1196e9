//! The backends: the memory in which each keeps its numbers, and burn's dispatch to the backends.

use crate::error::Error;
use crate::memory::Numbers;
use crate::operation::Operation;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Backend, Dispatch, DispatchTensor, DispatchTensorKind, ExtensionType, TensorMetadata, backend_extension,
};
use burn::tensor::{Device, try_read_sync};

/// A backend for whose tensors the operations are available. They are computed by the library, on the CPU.
///
/// Only backends that wrap others, as `Autodiff` does, implement other methods than [`numbers`](Self::numbers).
pub trait Host: Backend {
    /// The numbers of a tensor: in place for backends whose memory the CPU can read, otherwise a copy.
    fn numbers(tensor: FloatTensor<Self>) -> Result<Numbers, Error> {
        match try_read_sync(Self::float_into_data(tensor)) {
            Some(Ok(data)) => Ok(Numbers::Data(data)),
            Some(Err(error)) => Err(Error::Read { reason: error.to_string() }),
            None => Err(Error::Read { reason: "this platform cannot wait for the device".into() }),
        }
    }

    /// The result of the operation.
    fn value(z: FloatTensor<Self>, operation: &Operation) -> Result<FloatTensor<Self>, Error> {
        let device = z.device();
        Ok(Self::float_from_data(operation.value(&Self::numbers(z)?)?, &device))
    }

    /// The result of a reduction, and its gradient.
    fn value_and_gradient(
        z: FloatTensor<Self>,
        operation: &Operation,
    ) -> Result<(FloatTensor<Self>, FloatTensor<Self>), Error> {
        let device = z.device();
        let (value, gradient) = operation.value_and_gradient(&Self::numbers(z)?)?;
        Ok((Self::float_from_data(value, &device), Self::float_from_data(gradient, &device)))
    }

    /// The gradient of each row times the cotangent of its value, which is broadcast.
    fn scaled(gradient: FloatTensor<Self>, cotangent: FloatTensor<Self>) -> FloatTensor<Self> {
        // The cotangent of a loss is mostly 1, with which a backward pass begins: then nothing needs to be multiplied.
        match Self::numbers(cotangent.clone()) {
            Ok(numbers) if numbers.are_ones() => gradient,
            _ => Self::float_mul(gradient, cotangent),
        }
    }

    /// The transposed Jacobian times a vector, of an operation whose result has the shape of the input.
    fn vjp(
        z: FloatTensor<Self>,
        vector: FloatTensor<Self>,
        operation: &Operation,
    ) -> Result<FloatTensor<Self>, Error> {
        let device = z.device();
        let product = operation.vjp(&Self::numbers(z)?, &Self::numbers(vector)?)?;
        Ok(Self::float_from_data(product, &device))
    }
}

#[cfg(feature = "flex")]
impl Host for burn::backend::Flex {
    fn numbers(tensor: FloatTensor<Self>) -> Result<Numbers, Error> {
        Ok(Numbers::Flex(tensor))
    }
}

#[cfg(feature = "ndarray")]
impl Host for burn::backend::NdArray {
    fn numbers(tensor: FloatTensor<Self>) -> Result<Numbers, Error> {
        Ok(Numbers::NdArray(tensor))
    }
}

/// Every runtime of CubeCL, wrapped in `Fusion` if that feature is on. Reading a tensor ends the fusion of the
/// operations before it.
#[cfg(any(feature = "cpu", feature = "cuda", feature = "wgpu"))]
impl Host for burn::backend::Cube {}

/// The result of an operation, in a form that burn's dispatch can pass on.
#[derive(Debug, ExtensionType)]
pub enum Outcome<B: Backend> {
    /// A tensor.
    Done(FloatTensor<B>),
    /// Why there is no tensor.
    Failed(Error),
}

/// The operations as an extension of burn's backends, including `Autodiff` of each. The functions of this crate call it
/// on `Dispatch`, and every [`Host`] implements it.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(any(feature = "cpu", feature = "cuda", feature = "wgpu")),
    Autodiff
)]
pub trait LogSumExpOps: Backend {
    /// [`Host::value`].
    fn operate(z: FloatTensor<Self>, operation: Operation) -> Outcome<Self>;

    /// [`Host::numbers`].
    fn hold(tensor: FloatTensor<Self>) -> Result<Numbers, Error>;
}

impl<B: Host> LogSumExpOps for B {
    fn operate(z: FloatTensor<Self>, operation: Operation) -> Outcome<Self> {
        match B::value(z, &operation) {
            Ok(tensor) => Outcome::Done(tensor),
            Err(error) => Outcome::Failed(error),
        }
    }

    fn hold(tensor: FloatTensor<Self>) -> Result<Numbers, Error> {
        B::numbers(tensor)
    }
}

/// The result of an operation on a tensor of any backend.
pub(crate) fn run(z: DispatchTensor, operation: Operation) -> Result<DispatchTensor, Error> {
    supported(&z, "logits")?;
    match <Dispatch as LogSumExpOps>::operate(z, operation) {
        Outcome::Done(tensor) => Ok(tensor),
        Outcome::Failed(error) => Err(error),
    }
}

/// The numbers of target probabilities of any backend.
pub(crate) fn hold(tensor: DispatchTensor) -> Result<Numbers, Error> {
    supported(&tensor, "targets")?;
    <Dispatch as LogSumExpOps>::hold(tensor)
}

/// Refuses tensors for which burn's dispatch would panic: quantized ones, and those of backends that the extension does
/// not list.
fn supported(tensor: &DispatchTensor, argument: &'static str) -> Result<(), Error> {
    let found = tensor.dtype();
    if !found.is_float() {
        return Err(Error::DType { argument, found });
    }
    match is_listed(&tensor.kind) {
        true => Ok(()),
        false => Err(Error::Backend { device: format!("{:?}", Device::new(tensor.device())) }),
    }
}

fn is_listed(kind: &DispatchTensorKind) -> bool {
    match kind {
        DispatchTensorKind::Autodiff(inner) => is_listed(inner),
        #[cfg(feature = "flex")]
        DispatchTensorKind::Flex(_) => true,
        #[cfg(feature = "ndarray")]
        DispatchTensorKind::NdArray(_) => true,
        #[cfg(any(feature = "cpu", feature = "cuda", feature = "wgpu"))]
        DispatchTensorKind::Cube(_) => true,
        #[allow(unreachable_patterns, reason = "which backends there are depends on burn's features")]
        _ => false,
    }
}
