//! The operations that the library computes of the numbers of one tensor.

use crate::error::Error;
use crate::loss::Loss;
use crate::memory::{Number, Numbers, by_format, data, fresh};
use burn::tensor::{ElementConversion, TensorData};
use logsum::{Axes, LogSumExp};
use ndarray::{ArrayViewD, Axis, Zip};
use std::sync::Arc;

/// An operation on a tensor. Dimensions are counted from the front, or, if negative, from the back.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Operation {
    /// log Σ e^z over the dimensions, which stay with the length 1.
    LogSumExp(Vec<isize>),
    /// e^{z − log Σ e^z}, the gradient of [`LogSumExp`](Self::LogSumExp).
    Softmax(Vec<isize>),
    /// z − log Σ e^z, with the sum over one dimension.
    LogSoftmax(isize),
    /// The cross-entropy of logits against targets.
    Loss(Arc<Loss>),
    /// The gradient of [`Loss`](Self::Loss).
    LossGradient(Arc<Loss>),
}

impl Operation {
    /// The operation whose result is the gradient of this one, if this one is a reduction.
    pub(crate) fn gradient(&self) -> Option<Self> {
        match self {
            Self::LogSumExp(dims) => Some(Self::Softmax(dims.clone())),
            Self::Loss(loss) => Some(Self::LossGradient(loss.clone())),
            _ => None,
        }
    }

    /// The shape of the result with a dimension of length 1 for each that was summed over, so that it broadcasts
    /// against the input.
    pub(crate) fn kept(&self, shape: &[usize]) -> Vec<usize> {
        match self {
            Self::LogSumExp(dims) => kept(shape, dims),
            Self::Loss(loss) if loss.is_reduced() => vec![1; shape.len()],
            Self::Loss(_) => kept(shape, &[-1]),
            _ => shape.to_vec(),
        }
    }

    /// The result.
    pub(crate) fn value(&self, z: &Numbers) -> Result<TensorData, Error> {
        by_format!(z, T => self.value_of(z.view::<T>("logits")?))
    }

    /// The result and its gradient, in one pass, if this is a reduction.
    pub(crate) fn value_and_gradient(&self, z: &Numbers) -> Result<(TensorData, TensorData), Error> {
        by_format!(z, T => self.value_and_gradient_of(z.view::<T>("logits")?))
    }

    /// The product of the transposed Jacobian with a vector, if the result has the shape of the input.
    pub(crate) fn vjp(&self, z: &Numbers, vector: &Numbers) -> Result<TensorData, Error> {
        by_format!(z, T => self.vjp_of(z.view::<T>("logits")?, vector.view("vector")?))
    }

    fn value_of<T: Number>(&self, z: ArrayViewD<'_, T>) -> Result<TensorData, Error> {
        Ok(data(match self {
            Self::LogSumExp(dims) => {
                let mut out = fresh(&kept(z.shape(), dims))?;
                z.logsumexp_into(Axes::from(&dims[..]).keep(), out.view_mut())?;
                out
            }
            Self::Softmax(dims) => {
                let mut out = fresh(z.shape())?;
                z.softmax_into(&dims[..], out.view_mut())?;
                out
            }
            Self::LogSoftmax(dim) => {
                let mut out = fresh(z.shape())?;
                z.log_softmax_into(*dim, out.view_mut())?;
                out
            }
            Self::Loss(loss) => loss.value(&z)?,
            Self::LossGradient(loss) => loss.value_and_gradient(&z)?.1,
        }))
    }

    fn value_and_gradient_of<T: Number>(
        &self,
        z: ArrayViewD<'_, T>,
    ) -> Result<(TensorData, TensorData), Error> {
        let (value, gradient) = match self {
            Self::LogSumExp(dims) => {
                let (mut value, mut gradient) = (fresh(&kept(z.shape(), dims))?, fresh(z.shape())?);
                let axes = Axes::from(&dims[..]).keep();
                z.logsumexp_with_gradient_into(axes, value.view_mut(), gradient.view_mut())?;
                (value, gradient)
            }
            Self::Loss(loss) => loss.value_and_gradient(&z)?,
            _ => unreachable!("the result has a number for each of the input"),
        };
        Ok((data(value), data(gradient)))
    }

    fn vjp_of<T: Number>(
        &self,
        z: ArrayViewD<'_, T>,
        vector: ArrayViewD<'_, T>,
    ) -> Result<TensorData, Error> {
        Ok(data(match self {
            Self::Softmax(dims) => z.logsumexp_hvp(&dims[..], &vector)?,
            Self::LossGradient(loss) => loss.hvp(&z, &vector)?,
            Self::LogSoftmax(dim) => {
                let mut out = fresh(z.shape())?;
                z.softmax_into(*dim, out.view_mut())?;
                let axis = Axis(dim.rem_euclid(z.ndim() as isize) as usize);
                Zip::from(out.lanes_mut(axis)).and(vector.lanes(axis)).par_for_each(|mut out, v| {
                    let sum: f64 = v.iter().map(|v| v.to_f64()).sum();
                    out.zip_mut_with(&v, |p, v| *p = (v.to_f64() - p.to_f64() * sum).elem());
                });
                out
            }
            _ => unreachable!("the result has one number for many of the input"),
        }))
    }
}

/// The shape with these dimensions of length 1. Dimensions out of range are refused later, by the library.
fn kept(shape: &[usize], dims: &[isize]) -> Vec<usize> {
    let mut kept = shape.to_vec();
    for dim in dims {
        if let Some(length) = kept.get_mut(dim.rem_euclid(shape.len().max(1) as isize) as usize) {
            *length = 1;
        }
    }
    kept
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn::backend::flex::FlexTensor;

    /// Numbers that reach the CPU as a copy, as from a GPU, give the same result as those that are read in place.
    #[test]
    fn of_a_copy() {
        let values: Vec<f32> = (0..24u16).map(|k| f32::from(k * k % 11)).collect();
        let data = TensorData::new(values, [2, 3, 4]);
        let (copy, place) = (Numbers::Data(data.clone()), Numbers::Flex(FlexTensor::from_data(data)));
        let dims = vec![0, 2];
        let log_sum_exp = Operation::LogSumExp(dims.clone());
        assert_eq!(log_sum_exp.value(&copy), log_sum_exp.value(&place));
        assert_eq!(log_sum_exp.value_and_gradient(&copy), log_sum_exp.value_and_gradient(&place));
        for operation in [Operation::Softmax(dims), Operation::LogSoftmax(1)] {
            assert_eq!(operation.value(&copy), operation.value(&place));
            assert_eq!(operation.vjp(&copy, &copy), operation.vjp(&place, &place));
        }
    }
}
