//! The operations, a file for each family: promise, edges, value and derivatives of each side by side.

mod matmul;
mod reduction;
mod scalar;
mod terms;

pub use matmul::{MatmulShape, log_matmul, log_matmul_vjp};
#[doc(hidden)]
pub use reduction::logsumexp_and_rung;
#[cfg(feature = "ndarray")]
pub(crate) use reduction::{each as each_of, partial_and_each, value};
pub use reduction::{log_softmax, logsumexp, logsumexp_with_gradient, softmax};
pub use scalar::{
    each, log_logistic, log1mexp, log1pexp, logaddexp, logexpm1, logistic, logit, logsubexp, xlogx, xlogy,
};
pub use terms::{NoMass, Terms};
