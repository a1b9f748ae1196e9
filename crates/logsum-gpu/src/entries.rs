//! The kernels that a host launches: their names, and what they are launched with.

// Each takes addresses of memory on the GPU, which the host vouches for.
#![allow(unsafe_code)]

use crate::format::{BF16, F16, F32, F64};
use crate::logsumexp::logsumexp;
use crate::ptx::Ptx;
use crate::queue::Queue;
use crate::row::Rows;
use crate::settle::settle;
use core::marker::PhantomData;

/// A program for the GPU that panics never comes there: .ci/nvptx refuses one with such a call.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

macro_rules! entries {
    ($($format:ident: $logsumexp:ident, $settle:ident;)*) => {$(
        /// See [`logsumexp`].
        ///
        /// # Safety
        ///
        /// `count` rows of `length` numbers may be read, each `stride` bytes after the one before, and `count` results
        /// written; `queue` and `parts` are as [`Queue`] and [`logsumexp`] have them. The grid has a team of `lanes` threads
        /// for each row, or at most four blocks of 256 threads for each.
        #[unsafe(no_mangle)]
        pub unsafe extern "ptx-kernel" fn $logsumexp(
            address: u64,
            stride: u64,
            count: u64,
            length: u32,
            out: u64,
            lanes: u32,
            queue: u64,
            parts: u64,
        ) {
            // SAFETY: the caller's.
            let gpu = unsafe { Ptx::this() };
            let rows = Rows::<$format> { address, stride, count, length, format: PhantomData };
            logsumexp(gpu, rows, out, lanes, Queue { address: queue }, parts);
        }

        /// See [`settle`].
        ///
        /// # Safety
        ///
        /// As for the kernel that filled the queue.
        #[unsafe(no_mangle)]
        pub unsafe extern "ptx-kernel" fn $settle(
            address: u64,
            stride: u64,
            count: u64,
            length: u32,
            out: u64,
            queue: u64,
        ) {
            // SAFETY: the caller's.
            let gpu = unsafe { Ptx::this() };
            let rows = Rows::<$format> { address, stride, count, length, format: PhantomData };
            settle(gpu, rows, out, Queue { address: queue });
        }
    )*};
}

entries! {
    F16: logsumexp_f16, settle_f16;
    BF16: logsumexp_bf16, settle_bf16;
    F32: logsumexp_f32, settle_f32;
    F64: logsumexp_f64, settle_f64;
}
