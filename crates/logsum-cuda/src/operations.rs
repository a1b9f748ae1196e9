//! The operations, on memory of the GPU.

// They take addresses, which the caller vouches for.
#![allow(unsafe_code)]

use crate::device::{Argument, Device};
use crate::error::Error;
use crate::kernels::{Format, Kernel};
use crate::shape::{MOST_PARTS, Shape, THREADS, grid};
use Argument::{Long, Short};

/// Bytes of memory that a call needs beside its arguments, aligned to 16 bytes. They are 0 before the first call and
/// belong to one stream; calls leave them as the next one needs them. The number of 32 bits at offset 8 counts the
/// results that no phase settled, each of which is the number nearest to an estimate, off by about 2^-116: those of
/// rows built to be hard, and of f64 about one in 300 log-sum-exps of normalised log-probabilities, which are some
/// 10^-17.
pub const WORKSPACE: usize = (QUEUE + PARTS) as usize;

/// Rows that may be unsettled at a time: see `logsum-gpu`, queue.rs.
const ROOM: u64 = 1 << 20;
const QUEUE: u64 = 16 + 16 * ROOM;
/// See `logsum-gpu`, parts.rs.
const PARTS: u64 = (4 + 8 * 5) * MOST_PARTS;

/// A stream of a GPU.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    /// The number of the GPU.
    pub device: i32,
    /// The driver's handle of the stream; 0 is the default one.
    pub handle: usize,
    /// The address of [`WORKSPACE`] bytes.
    pub workspace: u64,
}

/// Rows of numbers in a GPU's memory.
#[derive(Debug, Clone, Copy)]
pub struct Rows {
    /// The format of the numbers.
    pub format: Format,
    /// How many rows.
    pub count: u64,
    /// Numbers in each.
    pub length: u64,
    /// Where they are.
    pub memory: Memory,
}

/// Where rows are.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// The address of the first number, a multiple of the size of one.
    pub address: u64,
    /// Bytes from a row to the next, likewise; the numbers of a row follow each other.
    pub stride: u64,
}

/// Whether this GPU can be used, or why not.
///
/// # Errors
/// [`Error::NoDriver`], [`Error::TooOld`], or what the driver says.
pub fn is_available(device: i32) -> Result<(), Error> {
    Device::get(device).map(|_| ())
}

/// Writes log Σ e^{z_k} of each row to `out`, the address of as many numbers of the same format as there are rows: each
/// is the number nearest to the exact value, with the bits and the special cases of `logsum::logsumexp`.
///
/// # Safety
/// The rows may be read and `out` written by kernels in the stream, and [`WORKSPACE`] is as it says.
///
/// # Errors
/// [`Error`]; nothing was started then.
pub unsafe fn logsumexp(stream: Stream, rows: Rows, out: u64) -> Result<(), Error> {
    let device = Device::get(stream.device)?;
    let length = length(rows)?;
    let Rows { format, memory: Memory { address, stride }, .. } = rows;
    let _one_call = device.one_call();
    for (first, count) in in_calls(rows.count) {
        let head = || {
            [
                Long(address + stride * first),
                Long(stride),
                Long(count),
                Short(length),
                Long(out + format.bytes() * first),
            ]
        };
        let with = |more: Vec<Argument>| head().into_iter().chain(more).collect::<Vec<_>>();
        let (queue, parts) = (stream.workspace, stream.workspace + QUEUE);
        // SAFETY: the caller's, and these are the arguments that the kernels have.
        unsafe {
            match Shape::for_values(count, rows.length, format.bytes(), device.processors) {
                Shape::Teams(lanes) => {
                    let (blocks, threads) = grid(count, lanes);
                    let arguments = with(vec![Short(lanes), Long(queue)]);
                    let name = Kernel::Logsumexp.name(format);
                    device.launch(&name, stream.handle, blocks, threads, &arguments)?;
                }
                Shape::Parts(of_row) => {
                    let arguments = with(vec![Long(queue), Long(parts)]);
                    let blocks = [count as u32, of_row];
                    let name = Kernel::LogsumexpByParts.name(format);
                    device.launch(&name, stream.handle, blocks, THREADS, &arguments)?;
                }
            }
            let arguments = with(vec![Long(queue), Long(parts)]);
            let blocks = [2 * device.processors, 1];
            device.launch(&Kernel::Settle.name(format), stream.handle, blocks, THREADS, &arguments)?;
        }
    }
    Ok(())
}

/// Writes softmax of each row to `out`, e^{z_i}/Σ e^{z_k}, which is the gradient of the log-sum-exp, and that to
/// `values` where it is not 0: each result is the number nearest to the exact one, with the bits and the special cases
/// of `logsum::softmax`.
///
/// # Safety
/// As for [`logsumexp`]. `out` and the rows do not overlap.
///
/// # Errors
/// [`Error`]; nothing was started then.
pub unsafe fn softmax(stream: Stream, rows: Rows, out: Memory, values: u64) -> Result<(), Error> {
    // SAFETY: the caller's.
    unsafe { shares(stream, rows, out, values, Kernel::Softmax) }
}

/// Writes log-softmax of each row to `out`, z_i − log Σ e^{z_k}, likewise.
///
/// # Safety
/// As for [`softmax`].
///
/// # Errors
/// [`Error`]; nothing was started then.
pub unsafe fn log_softmax(stream: Stream, rows: Rows, out: Memory, values: u64) -> Result<(), Error> {
    // SAFETY: the caller's.
    unsafe { shares(stream, rows, out, values, Kernel::LogSoftmax) }
}

unsafe fn shares(stream: Stream, rows: Rows, out: Memory, values: u64, kernel: Kernel) -> Result<(), Error> {
    let device = Device::get(stream.device)?;
    let length = length(rows)?;
    let Rows { format, memory: Memory { address, stride }, .. } = rows;
    let _one_call = device.one_call();
    for (first, count) in in_calls(rows.count) {
        let values = if values == 0 { 0 } else { values + format.bytes() * first };
        let with = |more: [Argument; 2]| {
            let head = [
                Long(address + stride * first),
                Long(stride),
                Long(count),
                Short(length),
                Long(out.address + out.stride * first),
                Long(out.stride),
                Long(values),
            ];
            head.into_iter().chain(more).collect::<Vec<_>>()
        };
        let lanes = Shape::for_shares(count, rows.length, format.bytes(), device.processors);
        let (blocks, threads) = grid(count, lanes);
        let arguments = with([Short(lanes), Long(stream.workspace)]);
        let is_log = u32::from(kernel == Kernel::LogSoftmax);
        // SAFETY: the caller's, and these are the arguments that the kernels have.
        unsafe {
            device.launch(&kernel.name(format), stream.handle, blocks, threads, &arguments)?;
            let arguments = with([Short(is_log), Long(stream.workspace)]);
            let blocks = [2 * device.processors, 1];
            device.launch(&Kernel::SettleShares.name(format), stream.handle, blocks, THREADS, &arguments)?;
        }
    }
    Ok(())
}

fn length(rows: Rows) -> Result<u32, Error> {
    match u32::try_from(rows.length) {
        Ok(length) if length <= 1 << 31 => Ok(length),
        _ => Err(Error::TooLong { length: rows.length }),
    }
}

/// Rows in calls of at most [`ROOM`]: the first row of each, and how many.
fn in_calls(count: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..count).step_by(ROOM as usize).map(move |first| (first, ROOM.min(count - first)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use logsum_gpu::{parts, queue};

    #[test]
    fn the_workspace_is_what_the_kernels_need() {
        assert_eq!((ROOM, QUEUE), (queue::ROOM, queue::BYTES));
        assert_eq!((MOST_PARTS, PARTS), (parts::MOST_PARTS, parts::BYTES));
    }
}
