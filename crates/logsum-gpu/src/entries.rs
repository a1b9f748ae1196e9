//! The kernels that a host launches: their names, and what they are launched with.

// Each takes addresses of memory on the GPU, which the host vouches for.
#![allow(unsafe_code)]

use crate::fixed_point::settle_in_fixed_point;
use crate::format::{BF16, F16, F32, F64, Format};
use crate::layout::{AsColumns, AsRows};
use crate::line::{Places, Rows};
use crate::logsumexp::{logsumexp, logsumexp_by_parts};
use crate::losses::{
    Kept, Losses, Targets, Weighted, loss_gradients, loss_gradients_of_kept, losses, losses_by_parts,
};
use crate::parts::Parts;
use crate::ptx::Ptx;
use crate::queue::Queue;
use crate::settle::{settle, settle_loss_gradients, settle_losses, settle_shares};
use crate::shares::{Results, shares};
use core::marker::PhantomData;

/// A program for the GPU that panics never comes there: .ci/nvptx refuses one with such a call.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

macro_rules! kernel {
    ($(#[$line:meta])* $name:ident, $format:ident, ($($argument:ident: $type:ty),*),
        |$gpu:ident, $rows:ident| $run:expr) => {
        $(#[$line])*
        #[unsafe(no_mangle)]
        pub unsafe extern "ptx-kernel" fn $name(
            address: u64,
            stride: u64,
            beside: u32,
            step: u64,
            count: u64,
            length: u32,
            $($argument: $type),*
        ) {
            // SAFETY: the caller's.
            let $gpu = unsafe { Ptx::this() };
            let places = Places { address, beside, stride, step };
            let $rows = Rows::<$format> { places, count, length, format: PhantomData };
            $run
        }
    };
}

macro_rules! entries {
    ($($format:ident: $logsumexp:ident, $logsumexp_of_columns:ident, $logsumexp_by_parts:ident, $settle:ident,
        $softmax:ident, $log_softmax:ident, $softmax_of_columns:ident, $log_softmax_of_columns:ident,
        $settle_shares:ident, $losses:ident, $losses_of_columns:ident, $losses_keeping:ident, $losses_by_parts:ident,
        $losses_keeping_by_parts:ident, $settle_losses:ident,
        $loss_gradients:ident, $loss_gradients_of_columns:ident, $loss_gradients_of_kept:ident,
        $settle_loss_gradients:ident, $loads:literal;)*) => {$(
        kernel! {
            /// See [`logsumexp`].
            ///
            /// # Safety
            ///
            /// `count` rows of `length` numbers may be read where [`Places`] says, and `count` results written; `queue`
            /// is as [`Queue`] has it. The grid has a team of `lanes` threads for each row.
            $logsumexp, $format, (out: u64, lanes: u32, queue: u64),
            |gpu, rows| logsumexp::<_, AsRows, 4, _>(gpu, rows, out, lanes, Queue { address: queue })
        }

        kernel! {
            /// See [`logsumexp`].
            ///
            /// # Safety
            ///
            /// Likewise.
            $logsumexp_of_columns, $format, (out: u64, lanes: u32, queue: u64),
            |gpu, rows| logsumexp::<_, AsColumns, 8, _>(gpu, rows, out, lanes, Queue { address: queue })
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
            /// As for the kernel that filled the queue, with `rest` as [`Queue`] has it and `parts` as [`Parts`], in a
            /// grid of at most `MOST_PARTS` blocks.
            $settle, $format, (out: u64, queue: u64, rest: u64, parts: u64),
            |gpu, rows| {
                let [queue, rest] = [queue, rest].map(|address| Queue { address });
                settle(gpu, rows, out, queue, rest, Parts { address: parts });
            }
        }

        shares_kernel!($softmax, $format, AsRows, false, $loads);
        shares_kernel!($log_softmax, $format, AsRows, true, $loads);
        shares_kernel!($softmax_of_columns, $format, AsColumns, false, 8);
        shares_kernel!($log_softmax_of_columns, $format, AsColumns, true, 8);

        kernel! {
            /// See [`settle_shares`].
            ///
            /// # Safety
            ///
            /// As for the kernel that filled the queue, with `rest` as [`Queue`] has it.
            $settle_shares, $format,
            (out: u64, out_stride: u64, out_step: u64, values: u64, log: u32, queue: u64, rest: u64),
            |gpu, rows| {
                let results = results(rows, [out, out_stride, out_step], values);
                let [queue, rest] = [queue, rest].map(|address| Queue { address });
                settle_shares(gpu, rows, results, log != 0, queue, rest);
            }
        }

        kernel! {
            /// See [`losses`].
            ///
            /// # Safety
            ///
            /// As for log-sum-exps, with `targets` as [`Targets`] has them.
            $losses, $format, (targets: u64, ignored: u64, out: u64, lanes: u32, queue: u64),
            |gpu, rows| {
                let (results, queue) = (Losses { out, kept: Kept::NOTHING }, Queue { address: queue });
                losses::<_, AsRows, First<$format>, 4, _>(gpu, rows, of(targets, ignored), results, lanes, queue);
            }
        }

        kernel! {
            /// See [`losses`].
            ///
            /// # Safety
            ///
            /// Likewise.
            $losses_of_columns, $format, (targets: u64, ignored: u64, out: u64, lanes: u32, queue: u64),
            |gpu, rows| {
                let (results, queue) = (Losses { out, kept: Kept::NOTHING }, Queue { address: queue });
                losses::<_, AsColumns, First<$format>, 8, _>(gpu, rows, of(targets, ignored), results, lanes, queue);
            }
        }

        kernel! {
            /// See [`losses`].
            ///
            /// # Safety
            ///
            /// Likewise, with `kept` as [`Kept`] has it.
            $losses_keeping, $format,
            (targets: u64, ignored: u64, out: u64, kept: u64, lanes: u32, queue: u64),
            |gpu, rows| {
                let results = Losses { out, kept: Kept { address: kept } };
                let queue = Queue { address: queue };
                losses::<_, AsRows, ToKeep<$format>, 4, _>(gpu, rows, of(targets, ignored), results, lanes, queue);
            }
        }

        kernel! {
            /// See [`losses_by_parts`].
            ///
            /// # Safety
            ///
            /// As for log-sum-exps by parts, with `targets` as [`Targets`] has them.
            $losses_by_parts, $format, (targets: u64, ignored: u64, out: u64, queue: u64, parts: u64),
            |gpu, rows| {
                let results = Losses { out, kept: Kept::NOTHING };
                let (queue, parts) = (Queue { address: queue }, Parts { address: parts });
                losses_by_parts::<_, First<$format>, _>(gpu, rows, of(targets, ignored), results, queue, parts);
            }
        }

        kernel! {
            /// See [`losses_by_parts`].
            ///
            /// # Safety
            ///
            /// Likewise, with `kept` as [`Kept`] has it.
            $losses_keeping_by_parts, $format,
            (targets: u64, ignored: u64, out: u64, kept: u64, queue: u64, parts: u64),
            |gpu, rows| {
                let results = Losses { out, kept: Kept { address: kept } };
                let (queue, parts) = (Queue { address: queue }, Parts { address: parts });
                losses_by_parts::<_, ToKeep<$format>, _>(gpu, rows, of(targets, ignored), results, queue, parts);
            }
        }

        kernel! {
            /// See [`settle_losses`].
            ///
            /// # Safety
            ///
            /// As for the kernel that filled the queue.
            $settle_losses, $format, (targets: u64, ignored: u64, out: u64, queue: u64),
            |gpu, rows| settle_losses(gpu, rows, of(targets, ignored), out, Queue { address: queue })
        }

        kernel! {
            /// See [`loss_gradients`].
            ///
            /// # Safety
            ///
            /// As for softmax, with `targets` as [`Targets`] has them, and `factors` as [`Weighted`].
            $loss_gradients, $format,
            (targets: u64, ignored: u64, factors: u64, out: u64, out_stride: u64, out_step: u64, lanes: u32,
                queue: u64),
            |gpu, rows| {
                let of = Weighted { targets: of(targets, ignored), factors };
                let results = results(rows, [out, out_stride, out_step], 0);
                loss_gradients::<_, AsRows, $loads, _>(gpu, rows, of, results, lanes, Queue { address: queue });
            }
        }

        kernel! {
            /// See [`loss_gradients`].
            ///
            /// # Safety
            ///
            /// Likewise.
            $loss_gradients_of_columns, $format,
            (targets: u64, ignored: u64, factors: u64, out: u64, out_stride: u64, out_step: u64, lanes: u32,
                queue: u64),
            |gpu, rows| {
                let of = Weighted { targets: of(targets, ignored), factors };
                let results = results(rows, [out, out_stride, out_step], 0);
                loss_gradients::<_, AsColumns, 8, _>(gpu, rows, of, results, lanes, Queue { address: queue });
            }
        }

        kernel! {
            /// See [`loss_gradients_of_kept`].
            ///
            /// # Safety
            ///
            /// Likewise, with what the kernels of losses wrote to `kept`, `parts` as [`Parts`] has it, and as many
            /// blocks in the grid's first direction as rows.
            $loss_gradients_of_kept, $format,
            (targets: u64, ignored: u64, factors: u64, kept: u64, out: u64, out_stride: u64, out_step: u64,
                queue: u64, parts: u64),
            |gpu, rows| {
                let of = Weighted { targets: of(targets, ignored), factors };
                let results = results(rows, [out, out_stride, out_step], 0);
                let (kept, queue, parts) =
                    (Kept { address: kept }, Queue { address: queue }, Parts { address: parts });
                loss_gradients_of_kept::<_, $loads, _>(gpu, rows, of, kept, results, queue, parts);
            }
        }

        kernel! {
            /// See [`settle_loss_gradients`].
            ///
            /// # Safety
            ///
            /// As for the kernel that filled the queue.
            $settle_loss_gradients, $format,
            (targets: u64, ignored: u64, factors: u64, out: u64, out_stride: u64, out_step: u64, queue: u64),
            |gpu, rows| {
                let of = Weighted { targets: of(targets, ignored), factors };
                let results = results(rows, [out, out_stride, out_step], 0);
                settle_loss_gradients(gpu, rows, of, results, Queue { address: queue });
            }
        }
    )*};
}

macro_rules! shares_kernel {
    ($name:ident, $format:ident, $layout:ident, $log:literal, $loads:literal) => {
        kernel! {
            /// See [`shares`].
            ///
            /// # Safety
            ///
            /// As for log-sum-exps, with results of `length` numbers for each row where [`Results`] says, and where
            /// `values` is not 0, `count` log-sum-exps.
            $name, $format, (out: u64, out_stride: u64, out_step: u64, values: u64, lanes: u32, queue: u64),
            |gpu, rows| {
                let results = results(rows, [out, out_stride, out_step], values);
                shares::<_, $layout, $log, $loads, _>(gpu, rows, results, lanes, Queue { address: queue });
            }
        }
    };
}

/// Where results for each number of rows are: the address of the first, bytes from one group of rows to the next, and
/// from a number to the next.
fn results<T>(rows: Rows<T>, [address, stride, step]: [u64; 3], values: u64) -> Results {
    Results { places: Places { address, beside: rows.places.beside, stride, step }, values }
}

/// What losses are summed in, and what losses whose sums are kept.
type First<T> = <T as Format>::First;
type ToKeep<T> = <T as Format>::Kept;

fn of(address: u64, ignored: u64) -> Targets {
    Targets { address, ignored: ignored as i64 }
}

entries! {
    F16: logsumexp_f16, logsumexp_of_columns_f16, logsumexp_by_parts_f16, settle_f16, softmax_f16, log_softmax_f16,
        softmax_of_columns_f16, log_softmax_of_columns_f16, settle_shares_f16, losses_f16, losses_of_columns_f16,
        losses_keeping_f16, losses_by_parts_f16, losses_keeping_by_parts_f16, settle_losses_f16, loss_gradients_f16,
        loss_gradients_of_columns_f16, loss_gradients_of_kept_f16, settle_loss_gradients_f16, 4;
    BF16: logsumexp_bf16, logsumexp_of_columns_bf16, logsumexp_by_parts_bf16, settle_bf16, softmax_bf16,
        log_softmax_bf16, softmax_of_columns_bf16, log_softmax_of_columns_bf16, settle_shares_bf16, losses_bf16,
        losses_of_columns_bf16, losses_keeping_bf16, losses_by_parts_bf16, losses_keeping_by_parts_bf16,
        settle_losses_bf16, loss_gradients_bf16, loss_gradients_of_columns_bf16, loss_gradients_of_kept_bf16,
        settle_loss_gradients_bf16, 4;
    F32: logsumexp_f32, logsumexp_of_columns_f32, logsumexp_by_parts_f32, settle_f32, softmax_f32, log_softmax_f32,
        softmax_of_columns_f32, log_softmax_of_columns_f32, settle_shares_f32, losses_f32, losses_of_columns_f32,
        losses_keeping_f32, losses_by_parts_f32, losses_keeping_by_parts_f32, settle_losses_f32, loss_gradients_f32,
        loss_gradients_of_columns_f32, loss_gradients_of_kept_f32, settle_loss_gradients_f32, 8;
    F64: logsumexp_f64, logsumexp_of_columns_f64, logsumexp_by_parts_f64, settle_f64, softmax_f64, log_softmax_f64,
        softmax_of_columns_f64, log_softmax_of_columns_f64, settle_shares_f64, losses_f64, losses_of_columns_f64,
        losses_keeping_f64, losses_by_parts_f64, losses_keeping_by_parts_f64, settle_losses_f64, loss_gradients_f64,
        loss_gradients_of_columns_f64, loss_gradients_of_kept_f64, settle_loss_gradients_f64, 8;
}

kernel! {
    /// See [`settle_in_fixed_point`].
    ///
    /// # Safety
    ///
    /// As for the kernel that filled `rest`, with `queue` as [`Queue`] has it and `parts` as [`Parts`], in a grid of at
    /// most `MOST_PARTS` blocks.
    settle_in_fixed_point_f64, F64, (out: u64, queue: u64, rest: u64, parts: u64),
    |gpu, rows| {
        let [queue, rest] = [queue, rest].map(|address| Queue { address });
        settle_in_fixed_point(gpu, rows, out, queue, rest, Parts { address: parts });
    }
}
