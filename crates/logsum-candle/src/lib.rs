#![doc = include_str!("../README.md")]
//!
//! # What holds for all functions
//!
//! - Numbers are f16, bf16, f32 or f64, in tensors of any shape and strides, and are read where they lie. Results are
//!   correctly rounded on the CPU, with the bits of the crate [`logsum`].
//! - Edge cases are those of [`logsum`]: a row of −∞ has the value −∞ and the gradient 0, c times +∞ give +∞ and 1/c
//!   at each, a NaN makes its row NaN. Nothing at all sums to −∞.
//! - Derivatives are operators as well. candle detaches gradients unless the environment variable
//!   `CANDLE_GRAD_DO_NOT_DETACH` is 1 when a thread first differentiates; then second derivatives are right, and those
//!   of higher order wherever none of [`CrossEntropy`] is asked for, which gives candle's error instead.
//! - On devices other than the CPU, results are made of candle's own operations, with the same conventions for rows of
//!   −∞, and are not correctly rounded.

// In order of dependency: each module uses only those before it.
mod storage;

mod formulas;

mod reductions;

mod losses;

pub use losses::{CrossEntropy, cross_entropy, token_log_probs};
pub use reductions::{log_softmax, logsumexp, logsumexp_all, logsumexp_keepdim, softmax};
