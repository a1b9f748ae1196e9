//! The kernels that a host launches: their names, and what they are launched with.

// Each takes addresses of memory on the GPU, which the host vouches for.
#![allow(unsafe_code)]

use crate::format::{BF16, F16, F32, F64};
use crate::logsumexp::{logsumexp, logsumexp_by_parts};
use crate::parts::Parts;
use crate::ptx::Ptx;
use crate::queue::Queue;
use crate::row::Rows;
use crate::settle::{settle, settle_shares};
use crate::shares::{Results, shares};
use core::marker::PhantomData;

/// A program for the GPU that panics never comes there: .ci/nvptx refuses one with such a call.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

macro_rules! kernel {
    ($(#[$line:meta])* $name:ident, $format:ident, ($($argument:ident: $type:ty),*), $run:expr) => {
        $(#[$line])*
        #[unsafe(no_mangle)]
        pub unsafe extern "ptx-kernel" fn $name(
            address: u64,
            stride: u64,
            count: u64,
            length: u32,
            $($argument: $type),*
        ) {
            // SAFETY: the caller's.
            let gpu = unsafe { Ptx::this() };
            $run(gpu, Rows::<$format> { address, stride, count, length, format: PhantomData })
        }
    };
}

macro_rules! entries {
    ($($format:ident: $logsumexp:ident, $logsumexp_by_parts:ident, $settle:ident, $softmax:ident, $log_softmax:ident,
        $settle_shares:ident, $loads:literal;)*) => {$(
        kernel! {
            /// See [`logsumexp`].
            ///
            /// # Safety
            ///
            /// `count` rows of `length` numbers may be read, each `stride` bytes after the one before, and `count`
            /// results written; `queue` is as [`Queue`] has it. The grid has a team of `lanes` threads for each row.
            $logsumexp, $format, (out: u64, lanes: u32, queue: u64),
            |gpu, rows| logsumexp(gpu, rows, out, lanes, Queue { address: queue })
        }

        kernel! {
            /// See [`logsumexp_by_parts`].
            ///
            /// # Safety
            ///
            /// Likewise, with `parts` as [`Parts`] has it, and as many blocks in the grid's first direction as rows.
            $logsumexp_by_parts, $format, (out: u64, queue: u64, parts: u64),
            |gpu, rows| logsumexp_by_parts(gpu, rows, out, Queue { address: queue }, Parts { address: parts })
        }

        kernel! {
            /// See [`settle`].
            ///
            /// # Safety
            ///
            /// As for the kernel that filled the queue, with `parts` as [`Parts`] has it, in a grid of at most
            /// `MOST_PARTS` blocks.
            $settle, $format, (out: u64, queue: u64, parts: u64),
            |gpu, rows| settle(gpu, rows, out, Queue { address: queue }, Parts { address: parts })
        }

        shares_kernel!($softmax, $format, false, $loads);
        shares_kernel!($log_softmax, $format, true, $loads);

        kernel! {
            /// See [`settle_shares`].
            ///
            /// # Safety
            ///
            /// As for the kernel that filled the queue.
            $settle_shares, $format, (out: u64, out_stride: u64, values: u64, log: u32, queue: u64),
            |gpu, rows| {
                let results = Results { out, stride: out_stride, values };
                settle_shares(gpu, rows, results, log != 0, Queue { address: queue });
            }
        }
    )*};
}

macro_rules! shares_kernel {
    ($name:ident, $format:ident, $log:literal, $loads:literal) => {
        kernel! {
            /// See [`shares`].
            ///
            /// # Safety
            ///
            /// As for log-sum-exps, with results of `length` numbers for each row, `out_stride` bytes after one
            /// another, and where `values` is not 0, `count` log-sum-exps.
            $name, $format, (out: u64, out_stride: u64, values: u64, lanes: u32, queue: u64),
            |gpu, rows| {
                let results = Results { out, stride: out_stride, values };
                shares::<_, $log, $loads, _>(gpu, rows, results, lanes, Queue { address: queue });
            }
        }
    };
}

entries! {
    F16: logsumexp_f16, logsumexp_by_parts_f16, settle_f16, softmax_f16, log_softmax_f16, settle_shares_f16, 4;
    BF16: logsumexp_bf16, logsumexp_by_parts_bf16, settle_bf16, softmax_bf16, log_softmax_bf16, settle_shares_bf16, 4;
    F32: logsumexp_f32, logsumexp_by_parts_f32, settle_f32, softmax_f32, log_softmax_f32, settle_shares_f32, 8;
    F64: logsumexp_f64, logsumexp_by_parts_f64, settle_f64, softmax_f64, log_softmax_f64, settle_shares_f64, 8;
}
