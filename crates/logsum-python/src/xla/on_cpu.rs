//! The functions that XLA calls on the CPU.

// XLA calls these functions with pointers.
#![allow(unsafe_code)]

use super::frame::{Buffer, CallFrame, Options, answer};
use super::operation::Operation;
use crate::float_environment::within_default;
use half::{bf16, f16};
use logsum::{CrossEntropy, Error, Float, Targets, log_softmax_rows, logsumexp_rows, softmax_rows};
use std::ffi::c_void;

impl Operation {
    fn takes_classes(self) -> bool {
        matches!(self, Self::Losses | Self::LossesWithGradient)
    }

    fn gives_one_for_each_row(self) -> bool {
        matches!(self, Self::Logsumexp | Self::Losses | Self::LossesWithGradient)
    }

    fn gives_gradients_too(self) -> bool {
        self == Self::LossesWithGradient
    }

    /// Writes the results, and gradients if they are asked for beside them.
    fn compute<T: Float>(
        self,
        rows: &[T],
        length: usize,
        classes: &Classes,
        out: &mut [T],
        gradients: &mut [T],
    ) -> Result<(), Error> {
        let loss = || CrossEntropy::new(length).ignore(IGNORED).label_smoothing(classes.smoothing);
        let targets = Targets::Classes(&classes.indices);
        match self {
            // Rows of no numbers.
            Self::Logsumexp if length == 0 => out.fill(logsum::logsumexp(rows)),
            _ if rows.is_empty() => {}
            Self::Logsumexp => logsumexp_rows(rows, length, out)?,
            Self::Softmax => softmax_rows(rows, length, out)?,
            Self::LogSoftmax => log_softmax_rows(rows, length, out)?,
            Self::Losses => loss()?.losses(rows, targets, out)?,
            Self::LossesWithGradient => loss()?.losses_with_gradient(rows, targets, out, gradients)?,
        }
        Ok(())
    }
}

/// The class of each row, and label smoothing.
#[derive(Default)]
struct Classes {
    indices: Vec<usize>,
    smoothing: f64,
}

/// The class of rows that do not count.
const IGNORED: usize = usize::MAX;

impl Options<'_> {
    /// The classes as indices. An error says which one is out of range, and where in an array of this shape.
    fn classes(
        &self,
        given: impl Iterator<Item = i64>,
        shape: &[i64],
        length: usize,
    ) -> Result<Classes, String> {
        let mut indices = Vec::new();
        for (i, class) in given.enumerate() {
            let index = usize::try_from(class).ok().filter(|&index| index < length);
            indices.push(match index {
                _ if class == self.ignored => IGNORED,
                Some(index) => index,
                None => {
                    let place = place(i, shape);
                    let name = self.argument;
                    return Err(format!("{name} has {class}{place}, it must be from 0 to below {length}"));
                }
            });
        }
        Ok(Classes { indices, smoothing: self.smoothing })
    }
}

/// Where the i-th number of an array of this shape is, as Python writes it.
fn place(i: usize, shape: &[i64]) -> String {
    let mut rest = i as i64;
    let mut places: Vec<_> = shape
        .iter()
        .rev()
        .map(|&length| {
            let place = rest % length.max(1);
            rest /= length.max(1);
            place.to_string()
        })
        .collect();
    places.reverse();
    match &places[..] {
        [] => String::new(),
        [one] => format!(" at ({one},)"),
        several => format!(" at ({})", several.join(", ")),
    }
}

/// # Safety
/// The frame is one that XLA made for a handler.
pub(super) unsafe fn by_rows(frame: *mut CallFrame, operation: Operation) -> *mut c_void {
    // SAFETY: the caller's; where it is called, the frame has its buffers.
    unsafe { answer(frame, |frame| Ok(within_default(|| compute(frame, operation))?)) }
}

/// # Safety
/// The frame has buffers that may be read and written.
unsafe fn compute(frame: &CallFrame, operation: Operation) -> Result<(), String> {
    let count = 1 + i64::from(operation.takes_classes());
    let of_results = 1 + i64::from(operation.gives_gradients_too());
    if (frame.arguments.size, frame.results.size) != (count, of_results) {
        return Err(format!("logsum expects {count} arrays, and gives {of_results}"));
    }
    // SAFETY: there are so many, and each is a buffer: XLA knows nothing else.
    let (input, output) = unsafe { (frame.arguments.buffer(0), frame.results.buffer(0)) };
    if input.kind != output.kind {
        return Err("logsum gives an array of the format of its argument".to_owned());
    }
    // SAFETY: the caller's.
    unsafe {
        match input.kind {
            10 => rows::<f16>(frame, input, output, operation),
            16 => rows::<bf16>(frame, input, output, operation),
            11 => rows::<f32>(frame, input, output, operation),
            12 => rows::<f64>(frame, input, output, operation),
            kind => Err(format!("logsum does not compute in XLA's format {kind}")),
        }
    }
}

/// # Safety
/// The buffers are the frame's and have numbers of this format, and the second may be written.
unsafe fn rows<T: Float>(
    frame: &CallFrame,
    input: &Buffer,
    output: &Buffer,
    operation: Operation,
) -> Result<(), String> {
    // SAFETY: the caller's.
    let (shape, of_results) = unsafe { (input.shape(), output.shape()) };
    let Some((&length, leading)) = shape.split_last() else {
        return Err("logsum expects rows".to_owned());
    };
    let [numbers, results, count] =
        [shape, of_results, leading].map(|shape| shape.iter().product::<i64>() as usize);
    let length = length as usize;
    if results != if operation.gives_one_for_each_row() { count } else { numbers } {
        return Err(format!("the result has the shape {of_results:?}, and the numbers {shape:?}"));
    }
    let classes = if operation.takes_classes() {
        // SAFETY: the frame has two arguments then, and the attributes of losses.
        unsafe { classes(frame.arguments.buffer(1), frame.attributes.options()?, leading, length)? }
    } else {
        Classes::default()
    };
    // SAFETY: the caller's; XLA's buffers are aligned, and results do not overlap arguments.
    let (rows, out) = unsafe { (input.numbers::<T>(numbers), output.results::<T>(results)) };
    let gradients: &mut [T] = if operation.gives_gradients_too() {
        // SAFETY: the frame has two results then.
        let buffer = unsafe { frame.results.buffer(1) };
        // SAFETY: the caller's.
        if buffer.kind != input.kind || unsafe { buffer.shape() } != shape {
            return Err("logsum gives gradients in the shape and the format of the numbers".to_owned());
        }
        // SAFETY: likewise.
        unsafe { buffer.results(numbers) }
    } else {
        &mut []
    };
    operation.compute(rows, length, &classes, out, gradients).map_err(|error| error.to_string())
}

/// # Safety
/// The buffer is one that XLA made, and may be read.
unsafe fn classes(
    buffer: &Buffer,
    options: Options<'_>,
    rows: &[i64],
    length: usize,
) -> Result<Classes, String> {
    // SAFETY: the caller's.
    let shape = unsafe { buffer.shape() };
    if shape != rows {
        return Err(format!("the classes have the shape {shape:?}, and the rows {rows:?}"));
    }
    let count = shape.iter().product::<i64>() as usize;
    // SAFETY: the caller's.
    unsafe {
        match buffer.kind {
            4 => options.classes(buffer.numbers::<i32>(count).iter().map(|&i| i.into()), shape, length),
            5 => options.classes(buffer.numbers::<i64>(count).iter().copied(), shape, length),
            kind => Err(format!("logsum does not take classes in XLA's format {kind}")),
        }
    }
}
