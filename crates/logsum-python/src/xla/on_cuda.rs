//! The functions that XLA calls on NVIDIA's GPUs: they put kernels into XLA's stream, and return.

// XLA calls these functions with pointers.
#![allow(unsafe_code)]

use super::frame::{Buffer, CallFrame, Failure, answer};
use super::operation::Operation;
use logsum_cuda::{Format, KEPT, KEPT_FROM, Memory, Rows, Stream, Targets};
use std::ffi::c_void;

impl Operation {
    /// How many arrays it takes and gives here. Each class is the two words of a 64-bit integer, the lower one first:
    /// without `jax_enable_x64` JAX has no such integers. One that its row does not have gives NaN. The third argument
    /// has a factor for each row's gradient. The third result has the sums that the kernels of losses keep for those of
    /// gradients: [`KEPT`] bytes for each row, if rows are long.
    fn arrays(self) -> (i64, i64) {
        match self {
            Self::Logsumexp | Self::Softmax | Self::LogSoftmax => (1, 1),
            Self::Losses => (2, 1),
            Self::LossesWithGradient => (3, 3),
        }
    }

    /// The bytes of each result, for `count` rows of `length` numbers of `bytes` bytes each.
    fn sizes(self, count: usize, length: usize, bytes: usize) -> [usize; 3] {
        let (values, numbers) = (count * bytes, count * length * bytes);
        match self {
            Self::Logsumexp | Self::Losses => [values, 0, 0],
            Self::Softmax | Self::LogSoftmax => [numbers, 0, 0],
            Self::LossesWithGradient if length >= KEPT_FROM => [values, numbers, count * KEPT],
            Self::LossesWithGradient => [values, numbers, 0],
        }
    }
}

/// # Safety
/// The frame is one that XLA made for a handler on CUDA.
pub(super) unsafe fn start(frame: *mut CallFrame, operation: Operation) -> *mut c_void {
    // SAFETY: the caller's; where it is called, the frame has its buffers.
    unsafe { answer(frame, |frame| kernels(frame, operation)) }
}

/// # Safety
/// The frame has buffers in the memory of a GPU that may be read and written by what is put into its stream.
unsafe fn kernels(frame: &CallFrame, operation: Operation) -> Result<(), Failure> {
    let of_other_kinds = || Failure::from("logsum's kernels are for other arrays".to_owned());
    if (frame.arguments.size, frame.results.size) != operation.arrays() {
        return Err(of_other_kinds());
    }
    // SAFETY: there are so many, and each is a buffer: XLA knows nothing else.
    let [input, classes, factors] =
        [0, 1, 2].map(|i| (i < frame.arguments.size).then(|| unsafe { frame.arguments.buffer(i as usize) }));
    // SAFETY: likewise.
    let results =
        [0, 1, 2].map(|i| (i < frame.results.size).then(|| unsafe { frame.results.buffer(i as usize) }));
    let input = input.ok_or_else(of_other_kinds)?;
    let (format, bytes) = match input.kind {
        10 => (Format::F16, 2),
        16 => (Format::BF16, 2),
        11 => (Format::F32, 4),
        12 => (Format::F64, 8),
        _ => return Err(of_other_kinds()),
    };
    // SAFETY: XLA made it.
    let (&length, leading) = unsafe { input.shape() }.split_last().ok_or_else(of_other_kinds)?;
    let (count, length) = (leading.iter().product::<i64>() as usize, length as usize);
    if count == 0 {
        return Ok(());
    }
    // SAFETY: XLA made them.
    let size = |buffer: Option<&Buffer>| unsafe { buffer.map_or(Some(0), |buffer| buffer.bytes()) };
    if results.map(size) != operation.sizes(count, length, bytes).map(Some)
        || classes.is_some() && size(classes) != Some(8 * count)
        || factors.is_some() && size(factors) != Some(count * bytes)
    {
        return Err(of_other_kinds());
    }
    let address = |buffer: Option<&Buffer>| buffer.map_or(0, |buffer| buffer.data as u64);
    let rows = |address| Memory::of_rows(address, (length * bytes) as u64, format);
    let matrix =
        Rows { format, count: count as u64, length: length as u64, memory: rows(address(Some(input))) };
    let mut targets = Targets { address: address(classes), ignored: 0 };
    if classes.is_some() {
        // SAFETY: XLA made the attributes.
        targets.ignored = unsafe { frame.attributes.options()? }.ignored;
    }
    let [out, gradients, kept] = results.map(address);
    let kept = if length >= KEPT_FROM { kept } else { 0 };
    // SAFETY: the caller's.
    let (device, handle) = unsafe { frame.stream()? };
    let call = |stream: Stream| {
        // SAFETY: the buffers are on this GPU and have these sizes; XLA lets nothing else use them meanwhile.
        unsafe {
            match operation {
                Operation::Logsumexp => logsum_cuda::logsumexp(stream, matrix, out),
                Operation::Softmax => logsum_cuda::softmax(stream, matrix, rows(out), 0),
                Operation::LogSoftmax => logsum_cuda::log_softmax(stream, matrix, rows(out), 0),
                Operation::Losses => logsum_cuda::losses(stream, matrix, targets, out, 0),
                Operation::LossesWithGradient => {
                    logsum_cuda::losses(stream, matrix, targets, out, kept)?;
                    logsum_cuda::loss_gradients(
                        stream,
                        matrix,
                        targets,
                        address(factors),
                        kept,
                        rows(gradients),
                    )
                }
            }
        }
    };
    // SAFETY: XLA's stream is one of this GPU.
    unsafe { Stream::with_workspace(device, handle, call) }.map_err(|error| error.to_string().into())
}
