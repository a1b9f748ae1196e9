//! logsum's kernels for GPUs: the loops over rows, with the arithmetic of `logsum-arithmetic`, written once over the
//! trait [`thread::Thread`]. For nvptx64 it is a thread of the GPU, and `entries` has the kernels that a host launches;
//! elsewhere it is a coroutine ([`emulator`]), so that tests run every kernel, block by block, on the CPU.

#![cfg_attr(target_arch = "nvptx64", no_std)]
#![cfg_attr(
    target_arch = "nvptx64",
    feature(abi_ptx, abi_unadjusted, asm_experimental_arch, link_llvm_intrinsics, stdarch_nvptx)
)]
#![cfg_attr(target_arch = "nvptx64", allow(internal_features))]
// Loops over few elements of several arrays are unrolled, and read best by index.
#![allow(clippy::needless_range_loop)]

// In order of dependency.
pub mod thread;

pub mod format;
pub mod team;

pub mod line;

pub mod column;
pub mod row;

pub mod layout;

pub mod parts;
pub mod queue;
pub mod sum;

pub mod logsumexp;

pub mod shares;

pub mod losses;

pub mod settle;

pub mod fixed_point;

#[cfg(not(target_arch = "nvptx64"))]
pub mod emulator;
#[cfg(target_arch = "nvptx64")]
mod entries;
#[cfg(target_arch = "nvptx64")]
mod ptx;
