//! logsum (skeleton)
#![allow(missing_docs, dead_code)]
#[cfg(feature = "ndarray")]
mod axis;
mod error;
mod float;
mod lane;
#[cfg(feature = "ndarray")]
mod ndarray;
mod ops;

pub use error::Error;
pub use float::Float;
pub use ops::{log_softmax, logsumexp, logsumexp_with_gradient, softmax};
#[cfg(feature = "ndarray")]
pub use {self::ndarray::LogSumExp, axis::Axes};
