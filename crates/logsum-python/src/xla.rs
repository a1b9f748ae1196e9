//! The functions that XLA calls for JAX, by its foreign function interface: no Python runs in such a call.
//!
//! The structures are those of `xla/ffi/api/c_api.h`, version 0.3, as far as they are used here. All of what is used
//! has been there since version 0.0; structures have only grown at their ends, except where the major version changes.

// XLA calls these functions with pointers.
#![allow(unsafe_code)]

use half::{bf16, f16};
use logsum::{Error, Float, log_softmax_rows, logsumexp_rows, softmax_rows};
use pyo3::prelude::*;
use std::ffi::{CString, c_char, c_int, c_void};
use std::panic::catch_unwind;
use std::{ptr, slice};

/// Adds `XLA_HANDLERS`, the address of each function by its name.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let handlers: [(&str, Handler); 3] =
        [("logsumexp", logsumexp), ("softmax", softmax), ("log_softmax", log_softmax)];
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

#[derive(Clone, Copy)]
enum Operation {
    Logsumexp,
    Softmax,
    LogSoftmax,
}

impl Operation {
    fn compute<T: Float>(self, rows: &[T], length: usize, out: &mut [T]) -> Result<(), Error> {
        match self {
            // Rows of no numbers.
            Self::Logsumexp if length == 0 => out.fill(logsum::logsumexp(rows)),
            _ if rows.is_empty() => {}
            Self::Logsumexp => logsumexp_rows(rows, length, out)?,
            Self::Softmax => softmax_rows(rows, length, out)?,
            Self::LogSoftmax => log_softmax_rows(rows, length, out)?,
        }
        Ok(())
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
    let done = catch_unwind(|| unsafe { compute(frame, operation) });
    match done.unwrap_or_else(|_| Err("an internal error of logsum".to_owned())) {
        Ok(()) => ptr::null_mut(),
        // SAFETY: each frame has the functions of XLA.
        Err(message) => unsafe { error(frame.api, &message) },
    }
}

/// # Safety
/// The frame has buffers that may be read and written.
unsafe fn compute(frame: &CallFrame, operation: Operation) -> Result<(), String> {
    if (frame.arguments.size, frame.results.size) != (1, 1) {
        return Err("logsum expects an array, and gives one".to_owned());
    }
    // SAFETY: there is one of each, and each is a buffer: XLA knows nothing else.
    let [input, output] =
        [&frame.arguments, &frame.results].map(|buffers| unsafe { &*(*buffers.places).cast::<Buffer>() });
    if input.kind != output.kind {
        return Err("logsum gives an array of the format of its argument".to_owned());
    }
    // SAFETY: the caller's.
    unsafe {
        match input.kind {
            10 => rows::<f16>(input, output, operation),
            16 => rows::<bf16>(input, output, operation),
            11 => rows::<f32>(input, output, operation),
            12 => rows::<f64>(input, output, operation),
            kind => Err(format!("logsum does not compute in XLA's format {kind}")),
        }
    }
}

/// # Safety
/// The buffers have numbers of this format, and the second may be written.
unsafe fn rows<T: Float>(input: &Buffer, output: &Buffer, operation: Operation) -> Result<(), String> {
    // SAFETY: the caller's.
    let (shape, of_results) = unsafe { (input.shape(), output.shape()) };
    let length = shape.last().map_or(1, |&length| length as usize);
    let [numbers, results] = [shape, of_results].map(|shape| shape.iter().product::<i64>() as usize);
    let count = shape.iter().rev().skip(1).product::<i64>() as usize;
    if results != if matches!(operation, Operation::Logsumexp) { count } else { numbers } {
        return Err(format!("the result has the shape {of_results:?}, and the numbers {shape:?}"));
    }
    // SAFETY: the caller's; XLA's buffers are aligned, and results do not overlap arguments.
    let (rows, out) = unsafe { (input.numbers::<T>(numbers), output.results::<T>(results)) };
    operation.compute(rows, length, out).map_err(|error| error.to_string())
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
    /// It has so many numbers of this format, which nothing writes meanwhile.
    unsafe fn numbers<T>(&self, count: usize) -> &[T] {
        // An empty buffer may have no address.
        if count == 0 {
            return &[];
        }
        // SAFETY: the caller's.
        unsafe { slice::from_raw_parts(self.data.cast(), count) }
    }

    /// # Safety
    /// It has room for so many numbers of this format, which nothing else reads or writes meanwhile.
    #[allow(clippy::mut_from_ref)]
    unsafe fn results<T>(&self, count: usize) -> &mut [T] {
        if count == 0 {
            return &mut [];
        }
        // SAFETY: the caller's.
        unsafe { slice::from_raw_parts_mut(self.data.cast(), count) }
    }
}
