//! Derivatives: the operations on burn's `Autodiff` of any backend that has them, which includes
//! `Autodiff<Autodiff<B>>`.

use crate::error::Error;
use crate::extension::Host;
use crate::memory::Numbers;
use crate::operation::Operation;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Shape, TensorMetadata};

impl<B: Host, C: CheckpointStrategy> Host for Autodiff<B, C> {
    fn numbers(tensor: FloatTensor<Self>) -> Result<Numbers, Error> {
        B::numbers(tensor.into_primitive())
    }

    fn value(z: FloatTensor<Self>, operation: &Operation) -> Result<FloatTensor<Self>, Error> {
        let (z, node) = z.into_parts();
        if operation.gradient().is_none() {
            return match OfEach.prepare::<C>([node]).compute_bound().stateful() {
                OpsKind::Tracked(prep) => {
                    let value = B::value(z.clone(), operation)?;
                    Ok(prep.finish((z, operation.clone()), value))
                }
                OpsKind::UnTracked(prep) => Ok(prep.finish(B::value(z, operation)?)),
            };
        }
        match OfRows.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let kept = operation.kept(z.shape().as_slice());
                let (value, gradient) = B::value_and_gradient(z, operation)?;
                Ok(prep.finish((gradient, kept.into()), value))
            }
            OpsKind::UnTracked(prep) => Ok(prep.finish(B::value(z, operation)?)),
        }
    }

    fn value_and_gradient(
        z: FloatTensor<Self>,
        operation: &Operation,
    ) -> Result<(FloatTensor<Self>, FloatTensor<Self>), Error> {
        let gradient = operation.gradient().expect("the result is one number for many");
        Ok((Self::value(z.clone(), operation)?, Self::value(z, &gradient)?))
    }

    fn scaled(gradient: FloatTensor<Self>, cotangent: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_mul(gradient, cotangent)
    }

    fn vjp(
        z: FloatTensor<Self>,
        vector: FloatTensor<Self>,
        operation: &Operation,
    ) -> Result<FloatTensor<Self>, Error> {
        if let Operation::LogSoftmax(dim) = operation {
            let p = Self::value(z, &Operation::Softmax(vec![*dim]))?;
            let sum = sum::<Self>(vector.clone(), &[*dim]);
            return Ok(Self::float_sub(vector, Self::float_mul(p, sum)));
        }
        let ((z, z_node), (vector, vector_node)) = (z.into_parts(), vector.into_parts());
        match HessianTimesVector.prepare::<C>([z_node, vector_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let product = B::vjp(z.clone(), vector.clone(), operation)?;
                Ok(prep.finish((z, vector, operation.clone()), product))
            }
            OpsKind::UnTracked(prep) => Ok(prep.finish(B::vjp(z, vector, operation)?)),
        }
    }
}

/// The backward step of a reduction: its gradient, which was computed with its value, times the cotangent.
#[derive(Debug)]
struct OfRows;

impl<B: Host> Backward<B, 1> for OfRows {
    type State = (FloatTensor<B>, Shape);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let cotangent = grads.consume::<B>(&ops.node);
        let ([node], (gradient, kept)) = (ops.parents, ops.state);
        if let Some(node) = node {
            grads.register::<B>(node.id, B::scaled(gradient, B::float_reshape(cotangent, kept)));
        }
    }
}

/// The backward step of an operation whose result has the shape of the input.
#[derive(Debug)]
struct OfEach;

impl<B: Host> Backward<B, 1> for OfEach {
    type State = (FloatTensor<B>, Operation);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let cotangent = grads.consume::<B>(&ops.node);
        let ([node], (z, operation)) = (ops.parents, ops.state);
        if let Some(node) = node {
            grads.register::<B>(node.id, expect(B::vjp(z, cotangent, &operation)));
        }
    }
}

/// The backward step of a Hessian times a vector, H(z) v. For the cotangent u, the derivatives are those of uᵀ H(z) v:
/// with respect to v H u; with respect to z, if H is the Hessian of the log-sum-exp, those of Σ p u v − Σ p u · Σ p v
/// with p = softmax(z).
#[derive(Debug)]
struct HessianTimesVector;

impl<B: Host> Backward<B, 2> for HessianTimesVector {
    type State = (FloatTensor<B>, FloatTensor<B>, Operation);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let u = grads.consume::<B>(&ops.node);
        let ([z_node, v_node], (z, v, operation)) = (ops.parents, ops.state);
        let times = |vector| expect(B::vjp(z.clone(), vector, &operation));
        if let Some(node) = v_node {
            grads.register::<B>(node.id, times(u.clone()));
        }
        if let Some(node) = z_node {
            let Operation::Softmax(dims) = &operation else {
                panic!("logsum-burn: the third derivative of the cross-entropy is not provided");
            };
            let p = expect(B::value(z.clone(), &operation));
            let mean = |vector| sum::<B>(B::float_mul(p.clone(), vector), dims);
            let (mean_u, mean_v) = (mean(u.clone()), mean(v.clone()));
            let of_product = times(B::float_mul(u.clone(), v.clone()));
            let of_means = B::float_add(B::float_mul(times(u), mean_v), B::float_mul(times(v), mean_u));
            grads.register::<B>(node.id, B::float_sub(of_product, of_means));
        }
    }
}

/// The sum over these dimensions, which stay with the length 1.
fn sum<B: Backend>(tensor: FloatTensor<B>, dims: &[isize]) -> FloatTensor<B> {
    let rank = tensor.rank() as isize;
    dims.iter().fold(tensor, |tensor, dim| B::float_sum_dim(tensor, dim.rem_euclid(rank) as usize))
}

/// The result of an operation in a backward pass. burn has no errors there, and the forward pass has already accepted
/// the arguments.
fn expect<T>(result: Result<T, Error>) -> T {
    result.unwrap_or_else(|error| panic!("logsum-burn, in a backward pass: {error}"))
}
