#![doc = include_str!("../README.md")]
//!
//! # What holds for all functions
//!
//! - Numbers are f16, bf16, f32 or f64, in tensors of any shape and strides. They are read in place, except that the
//!   losses and [`token_log_probs`] copy logits that are not contiguous. On the CPU values have the bits of the crate
//!   [`logsum`]: they are correctly rounded, but losses with a z-loss or a temperature are within 2 ulp.
//! - Special cases are those of [`logsum`]: a row of −∞ has the value −∞ and the gradient 0; a row with c numbers +∞
//!   has the value +∞ and the gradient 1/c at each of these; a NaN makes its row NaN; an empty row has the value −∞.
//! - Derivatives are operators as well. candle detaches gradients unless the environment variable
//!   `CANDLE_GRAD_DO_NOT_DETACH` is 1 when a thread first differentiates. If it is, second derivatives are right, and
//!   so are those of higher order, except that candle returns an error for a third derivative of a cross-entropy or of
//!   [`token_log_probs`].
//! - On devices other than the CPU, results are composed of candle's own operations, with the same conventions for rows
//!   of −∞, and are not correctly rounded.

// In order of dependency: each module uses only those before it.
mod storage;

mod formulas;

mod reductions;

mod losses;

pub use losses::{CrossEntropy, cross_entropy, token_log_probs};
pub use reductions::{log_softmax, logsumexp, logsumexp_all, logsumexp_keepdim, softmax};
