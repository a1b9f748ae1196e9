//! The public operations, one file per family, each with its error bounds, special cases, value and derivatives.

mod accumulator;
pub(crate) mod batch;
#[cfg(feature = "complex")]
mod complex_logsumexp;
mod cross_entropy;
mod cumulative;
mod elementwise;
mod log_matmul;
mod logvarexp;
mod per_format;
mod row_reduction;
mod segments;
mod sharded_log_prob;
mod softmax_kl;
mod softmax_moments;
mod term_logarithms;
mod terms;
mod token_log_probs;

pub use accumulator::{Accumulator, EffectiveSampleSize, WeightedMean};
#[cfg(feature = "complex")]
pub use complex_logsumexp::{complex_logsumexp, complex_logsumexp_weighted, complex_logsumexp_with_gradient};
pub use cross_entropy::{CrossEntropy, Reduction, Targets, cross_entropy, cross_entropy_with_gradient};
pub use cumulative::{Cumulative, logcumsumexp};
pub use elementwise::{
    derivative, each, log_logistic, log1mexp, log1pexp, logaddexp, logexpm1, logistic, logit, logsubexp,
    second_derivative, xlogx, xlogy,
};
pub use log_matmul::{MatmulShape, log_matmul, log_matmul_vjp};
pub use logvarexp::{logvarexp, logvarexp_hvp, logvarexp_jvp, logvarexp_with_gradient};
pub use per_format::Float;
#[doc(hidden)]
pub use row_reduction::logsumexp_and_phase;
pub use row_reduction::{
    log_softmax, log_softmax_rows, logsumexp, logsumexp_rows, logsumexp_rows_with_gradient,
    logsumexp_with_gradient, softmax, softmax_rows,
};
pub use segments::{Segments, segment_logsumexp};
pub use sharded_log_prob::ShardedLogProb;
pub use softmax_kl::{softmax_kl, softmax_kl_rows, softmax_kl_rows_with_gradient, softmax_kl_with_gradient};
pub use softmax_moments::{
    logmeanexp, logsumexp_hvp, logsumexp_jvp, softmax_entropy, softmax_entropy_hvp, softmax_entropy_jvp,
    softmax_entropy_with_gradient,
};
pub use terms::{NoMass, Terms};
pub use token_log_probs::{token_log_probs, token_log_probs_with_entropy, token_log_probs_with_gradient};
