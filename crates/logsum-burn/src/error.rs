//! The error type of all functions.

use burn::tensor::DType;
use std::fmt;

/// Why a call has no result: an argument that does not fit, or a tensor that this crate cannot read.
///
/// burn's own functions panic in such cases. The functions of this crate do not: shapes, labels and options often come
/// from data, and the code that reads the data can say more about the cause than a backtrace. `expect` turns an error
/// into a panic.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// let z = Tensor::<2>::zeros([2, 3], &Device::flex());
/// let error = logsum_burn::softmax(z, 2).unwrap_err();
/// assert_eq!(error.to_string(), "axis 2 is out of range: the array has rank 2, its axes are 0 to 1 or -2 to -1");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// The library refuses a dimension, a label, a probability or an option.
    Logsum(logsum::Error),
    /// A tensor has the wrong shape.
    Shape {
        /// The name of the tensor.
        argument: &'static str,
        /// The shape that it must have.
        expected: Vec<usize>,
        /// The shape that it has.
        found: Vec<usize>,
    },
    /// A target or token is negative, and is not the target to ignore.
    NegativeTarget {
        /// The index of the row.
        row: usize,
        /// Its target.
        target: i64,
    },
    /// A tensor's numbers are not f16, bf16, f32 or f64, or not of the format of the logits.
    DType {
        /// The name of the tensor.
        argument: &'static str,
        /// The format of its numbers.
        found: DType,
    },
    /// A tensor is on a backend for which this crate was not compiled.
    Backend {
        /// The device of the tensor.
        device: String,
    },
    /// The target probabilities depend on a tensor that requires a gradient, which is not provided.
    TrackedTargets,
    /// burn could not read a tensor.
    Read {
        /// burn's message.
        reason: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Logsum(error) => error.fmt(f),
            Self::Shape { argument, expected, found } => {
                write!(f, "`{argument}` has the shape {found:?}, but needs {expected:?}")
            }
            Self::NegativeTarget { row, target } => {
                write!(f, "row {row} has the target {target}, which is negative and is not ignored")
            }
            Self::DType { argument, found } => {
                write!(f, "`{argument}` has numbers of type {found:?}, which is not supported here")
            }
            Self::Backend { device } => {
                write!(f, "logsum-burn was compiled without the feature for tensors on {device}")
            }
            Self::TrackedTargets => {
                write!(f, "derivatives by target probabilities are not provided: pass `targets.inner()`")
            }
            Self::Read { reason } => write!(f, "burn could not read a tensor: {reason}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Logsum(error) => Some(error),
            _ => None,
        }
    }
}

impl From<logsum::Error> for Error {
    fn from(error: logsum::Error) -> Self {
        Self::Logsum(error)
    }
}
