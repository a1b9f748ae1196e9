//! What can go wrong.

use std::fmt;

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// There is no driver for NVIDIA's GPUs.
    NoDriver,
    /// The GPU is older than the kernels' target, compute capability 8.0.
    TooOld {
        /// Which GPU.
        device: i32,
        /// Its compute capability.
        capability: [i32; 2],
    },
    /// A row has more numbers than 2^31.
    TooLong {
        /// How many it has.
        length: u64,
    },
    /// A slice has another size than the call needs.
    Size {
        /// Which one.
        what: &'static str,
        /// Its numbers.
        found: usize,
        /// The numbers that are needed.
        expected: usize,
    },
    /// Groups of no rows, or results in another layout than their rows: see [`Memory`](crate::Memory).
    Layout,
    /// A stream or a slice is of another GPU or context than the handle's, or of a context that is not the GPU's
    /// primary one; or a handle was to be made for each thread's own stream.
    OtherContext,
    /// What the driver said.
    Driver {
        /// What was to be done.
        action: &'static str,
        /// The driver's words.
        message: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDriver => f.write_str("no driver for NVIDIA's GPUs was found (libcuda.so, nvcuda.dll)"),
            Self::TooOld { device, capability: [major, minor] } => write!(
                f,
                "GPU {device} has compute capability {major}.{minor}, and the kernels need 8.0 (Ampere) or later"
            ),
            Self::TooLong { length } => {
                write!(f, "a row has {length} numbers, and the kernels take at most 2^31")
            }
            Self::Size { what, found, expected } => {
                write!(f, "{what}: {found} numbers, and {expected} are needed")
            }
            Self::Layout => {
                f.write_str("a group has at least one row, and results are in the layout of the rows")
            }
            Self::OtherContext => f.write_str(
                "streams and slices must be of the handle's CudaContext, made by CudaContext::new, \
                 and not each thread's own",
            ),
            Self::Driver { action, message } => write!(f, "CUDA could not {action}: {message}"),
        }
    }
}

impl std::error::Error for Error {}
