//! The correctly rounded log-sum-exp, softmax, log-softmax and cross-entropy of rows, with its gradient, on NVIDIA's
//! GPUs: of f16, bf16, f32 and f64, with the bits that `logsum` gives on a CPU.
//!
//! The kernels are those of `logsum-gpu`, in Rust, compiled to PTX; NVIDIA's driver makes machine code of it when a
//! kernel is first used, in some tenths of a second, and keeps that. The driver is looked for when it is first needed,
//! so that a program with this crate starts on machines without one; no CUDA toolkit is needed anywhere.
//!
//! [`Handle`] has the operations on slices of `cudarc`. The functions take addresses: for other programs that manage a
//! GPU's memory, as `logsum.torch` does.
//!
//! Rows are contiguous, or lie beside each other as the columns of a matrix do. Calls are put into a stream and return
//! at once. For a value each row is read once (twice where its numbers are far from 0); for a result of each number,
//! once more if it is longer than what the threads' registers hold, and only once for the gradient of a loss that left
//! what it knew of the row. The calls themselves allocate no memory of the GPU.

mod device;
mod error;
mod kernels;
mod operations;
mod shape;
mod slices;

pub use error::Error;
pub use kernels::Format;
pub use operations::{
    KEPT, KEPT_FROM, Memory, Rows, Stream, Targets, WORKSPACE, is_available, log_softmax, logsumexp,
    loss_gradients, losses, softmax,
};
pub use slices::{Handle, Number, Slice, SliceMut};

/// The interface of NVIDIA's driver, whose slices and streams [`Handle`] takes. It is compiled for CUDA 12.0 and later,
/// whose driver it looks for at run time: another feature `cuda-…` of cudarc cannot be chosen beside that one.
pub use cudarc;
