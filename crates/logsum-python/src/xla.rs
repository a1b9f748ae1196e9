//! The functions that XLA calls for JAX, by its foreign function interface: no Python runs in such a call.
//!
//! The structures are those of `xla/ffi/api/c_api.h`, version 0.3, as far as they are used here. All of what is used
//! has been there since version 0.0; structures have only grown at their ends, except where the major version changes.

// XLA calls these functions with pointers.
#![allow(unsafe_code)]

use crate::float_environment::within_default;
use half::{bf16, f16};
use logsum::{CrossEntropy, Error, Float, Targets, log_softmax_rows, logsumexp_rows, softmax_rows};
use pyo3::prelude::*;
use std::ffi::{CString, c_char, c_int, c_void};
use std::panic::catch_unwind;
use std::{ptr, slice};

/// Adds `XLA_HANDLERS`, the address of each function by its name.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let handlers: [(&str, Handler); 6] = [
        ("logsumexp", logsumexp),
        ("softmax", softmax),
        ("log_softmax", log_softmax),
        ("losses", losses),
        ("losses_gradient", losses_gradient),
        ("losses_with_gradient", losses_with_gradient),
    ];
    let addresses = pyo3::types::PyDict::new(module.py());
    for (name, handler) in handlers {
        addresses.set_item(name, handler as usize)?;
    }
    module.add("XLA_HANDLERS", addresses)
}

type Handler = unsafe extern "C" fn(*mut CallFrame) -> *mut c_void;

/// The log-sum-exp of each row along the last axis.
unsafe extern "C" fn logsumexp(frame: *mut CallFrame) -> *mut c_void {
    // SAFETY: XLA's.
    unsafe { answer(frame, Operation::Logsumexp) }
}

/// Softmax of each row along the last axis.
unsafe extern "C" fn softmax(frame: *mut CallFrame) -> *mut c_void {
    // SAFETY: XLA's.
    unsafe { answer(frame, Operation::Softmax) }
}

/// Log-softmax of each row along the last axis.
unsafe extern "C" fn log_softmax(frame: *mut CallFrame) -> *mut c_void {
    // SAFETY: XLA's.
    unsafe { answer(frame, Operation::LogSoftmax) }
}

/// The cross-entropy of each row along the last axis with its class, the second argument. The attributes are those of
/// [`Options`].
unsafe extern "C" fn losses(frame: *mut CallFrame) -> *mut c_void {
    // SAFETY: XLA's.
    unsafe { answer(frame, Operation::Losses) }
}

/// The gradients of these losses.
unsafe extern "C" fn losses_gradient(frame: *mut CallFrame) -> *mut c_void {
    // SAFETY: XLA's.
    unsafe { answer(frame, Operation::LossesGradient) }
}

/// The losses and their gradients.
unsafe extern "C" fn losses_with_gradient(frame: *mut CallFrame) -> *mut c_void {
    // SAFETY: XLA's.
    unsafe { answer(frame, Operation::LossesWithGradient) }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Logsumexp,
    Softmax,
    LogSoftmax,
    Losses,
    LossesGradient,
    LossesWithGradient,
}

impl Operation {
    fn takes_classes(self) -> bool {
        matches!(self, Self::Losses | Self::LossesGradient | Self::LossesWithGradient)
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
            Self::LossesGradient => {
                let mut losses = rows[..classes.indices.len()].to_vec();
                loss()?.losses_with_gradient(rows, targets, &mut losses, out)?;
            }
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

/// The attributes of losses, in the order of their names.
struct Options<'a> {
    /// What errors call the classes.
    argument: &'a str,
    /// The class of rows that do not count.
    ignored: i64,
    /// Label smoothing.
    smoothing: f64,
}

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

/// Answers a call, or a question for the version of the interface. Returns null, or an error that XLA owns.
///
/// # Safety
/// The frame is one that XLA made for a handler.
unsafe fn answer(frame: *mut CallFrame, operation: Operation) -> *mut c_void {
    // SAFETY: the caller's.
    let frame = unsafe { &*frame };
    // SAFETY: it is null or points to an extension.
    if let Some(extension) = unsafe { frame.extension_start.as_ref() }
        && extension.kind == METADATA
    {
        // SAFETY: an extension of this kind has this type.
        let metadata = unsafe { &mut *(*frame.extension_start.cast::<MetadataExtension>()).metadata };
        // SAFETY: it is null or points to the functions of XLA.
        let minor = unsafe { frame.api.as_ref() }.map_or(MINOR, |api| api.api_version.minor_version);
        metadata.api_version.major_version = MAJOR;
        metadata.api_version.minor_version = minor;
        metadata.traits = 0;
        return ptr::null_mut();
    }
    if frame.stage != EXECUTE {
        return ptr::null_mut();
    }
    // SAFETY: in this stage the frame has its buffers.
    let done = catch_unwind(|| within_default(|| unsafe { compute(frame, operation) }));
    match done.unwrap_or_else(|_| Err("an internal error of logsum".to_owned())) {
        Ok(()) => ptr::null_mut(),
        // SAFETY: each frame has the functions of XLA.
        Err(message) => unsafe { error(frame.api, &message) },
    }
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

/// An error of XLA with this message.
///
/// # Safety
/// The pointer is that of XLA's functions.
unsafe fn error(api: *const Api, message: &str) -> *mut c_void {
    const INTERNAL: c_int = 13;
    let message = CString::new(message).unwrap_or_default();
    let mut arguments = ErrorArguments {
        struct_size: size_of::<ErrorArguments>(),
        extension_start: ptr::null_mut(),
        message: message.as_ptr(),
        code: INTERNAL,
    };
    // SAFETY: the caller's. XLA copies the message.
    unsafe { ((*api).error_create)(&raw mut arguments) }
}

const MAJOR: c_int = 0;
const MINOR: c_int = 1;
/// The stage in which a function computes.
const EXECUTE: c_int = 3;
/// The extension that asks for the version.
const METADATA: c_int = 1;

#[repr(C)]
struct Extension {
    struct_size: usize,
    kind: c_int,
    next: *mut Self,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Version {
    struct_size: usize,
    extension_start: *mut Extension,
    major_version: c_int,
    minor_version: c_int,
}

#[repr(C)]
struct Metadata {
    struct_size: usize,
    api_version: Version,
    traits: u32,
}

#[repr(C)]
struct MetadataExtension {
    base: Extension,
    metadata: *mut Metadata,
}

#[repr(C)]
struct ErrorArguments {
    struct_size: usize,
    extension_start: *mut Extension,
    message: *const c_char,
    code: c_int,
}

/// XLA's functions, of which the first makes an error.
#[repr(C)]
struct Api {
    struct_size: usize,
    extension_start: *mut Extension,
    api_version: Version,
    internal_api: *const c_void,
    error_create: unsafe extern "C" fn(*mut ErrorArguments) -> *mut c_void,
}

/// Arguments or results.
#[repr(C)]
struct Buffers {
    struct_size: usize,
    extension_start: *mut Extension,
    size: i64,
    kinds: *mut c_int,
    places: *mut *mut c_void,
}

#[repr(C)]
struct Buffer {
    struct_size: usize,
    extension_start: *mut Extension,
    kind: c_int,
    data: *mut c_void,
    rank: i64,
    dimensions: *const i64,
}

#[repr(C)]
struct CallFrame {
    struct_size: usize,
    extension_start: *mut Extension,
    api: *const Api,
    context: *mut c_void,
    stage: c_int,
    arguments: Buffers,
    results: Buffers,
    attributes: Attributes,
}

/// Attributes in the order of their names.
#[repr(C)]
struct Attributes {
    struct_size: usize,
    extension_start: *mut Extension,
    size: i64,
    kinds: *const c_int,
    names: *const *const Text,
    places: *const *const c_void,
}

#[repr(C)]
struct Text {
    start: *const u8,
    length: usize,
}

#[repr(C)]
struct Scalar {
    kind: c_int,
    place: *const c_void,
}

impl Attributes {
    /// # Safety
    /// XLA made them.
    unsafe fn options(&self) -> Result<Options<'_>, String> {
        const SCALAR: c_int = 3;
        const TEXT: c_int = 4;
        let unknown = || "logsum's losses have other attributes".to_owned();
        if self.size != 3 {
            return Err(unknown());
        }
        // SAFETY: the caller's; there are three of each.
        let (kinds, places) =
            unsafe { (slice::from_raw_parts(self.kinds, 3), slice::from_raw_parts(self.places, 3)) };
        if kinds != [TEXT, SCALAR, SCALAR] {
            return Err(unknown());
        }
        // SAFETY: attributes of these kinds have these types.
        let (text, ignored, smoothing) = unsafe {
            (&*places[0].cast::<Text>(), &*places[1].cast::<Scalar>(), &*places[2].cast::<Scalar>())
        };
        if (ignored.kind, smoothing.kind) != (5, 12) {
            return Err(unknown());
        }
        // SAFETY: the text has this length; numbers of these formats are i64 and f64.
        let (text, ignored, smoothing) = unsafe {
            (slice::from_raw_parts(text.start, text.length), *ignored.place.cast(), *smoothing.place.cast())
        };
        Ok(Options { argument: std::str::from_utf8(text).unwrap_or_default(), ignored, smoothing })
    }
}

impl Buffers {
    /// # Safety
    /// XLA made them, and there are more than so many.
    unsafe fn buffer(&self, index: usize) -> &Buffer {
        // SAFETY: the caller's.
        unsafe { &*(*self.places.add(index)).cast() }
    }
}

impl Buffer {
    /// # Safety
    /// It is one that XLA made.
    unsafe fn shape(&self) -> &[i64] {
        if self.rank == 0 {
            return &[];
        }
        // SAFETY: the caller's.
        unsafe { slice::from_raw_parts(self.dimensions, self.rank as usize) }
    }

    /// # Safety
    /// It has `count` numbers of this format, and nothing writes to them while the slice lives.
    unsafe fn numbers<T>(&self, count: usize) -> &[T] {
        // An empty buffer may have no address.
        if count == 0 {
            return &[];
        }
        // SAFETY: the caller's.
        unsafe { slice::from_raw_parts(self.data.cast(), count) }
    }

    /// # Safety
    /// It has room for `count` numbers of this format, and nothing else reads or writes them while the slice lives.
    #[allow(clippy::mut_from_ref)]
    unsafe fn results<T>(&self, count: usize) -> &mut [T] {
        if count == 0 {
            return &mut [];
        }
        // SAFETY: the caller's.
        unsafe { slice::from_raw_parts_mut(self.data.cast(), count) }
    }
}
