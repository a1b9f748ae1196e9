//! What XLA passes to a function that it calls, and the answer.
//!
//! The structures are those of `xla/ffi/api/c_api.h`, version 0.3, as far as they are used here. XLA accepts functions
//! for earlier versions than its own as long as it is compatible with these.

// XLA passes pointers.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int, c_void};
use std::mem::offset_of;
use std::panic::{UnwindSafe, catch_unwind};
use std::{ptr, slice};

/// A function that XLA calls.
pub(super) type Handler = unsafe extern "C" fn(*mut CallFrame) -> *mut c_void;

/// Why a call failed: our words, or an error that XLA made.
pub(super) enum Failure {
    Message(String),
    OfXla(*mut c_void),
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Message(message)
    }
}

/// Answers a call, or a question for the version of the interface. Returns null, or an error that XLA owns.
///
/// # Safety
/// The frame is one that XLA made for a handler. In the stage of execution, in which it has its buffers, `compute` may
/// be called with it.
pub(super) unsafe fn answer(
    frame: *mut CallFrame,
    compute: impl FnOnce(&CallFrame) -> Result<(), Failure> + UnwindSafe,
) -> *mut c_void {
    // SAFETY: the caller's.
    let frame = unsafe { &*frame };
    // SAFETY: it is null or points to an extension.
    if let Some(extension) = unsafe { frame.extension_start.as_ref() }
        && extension.kind == METADATA
    {
        // SAFETY: an extension of this kind has this type.
        let metadata = unsafe { &mut *(*frame.extension_start.cast::<MetadataExtension>()).metadata };
        // SAFETY: it is null or points to the functions of XLA.
        let own = unsafe { frame.api.as_ref() }.map_or(MINOR, |api| api.api_version.minor_version);
        // What is used here is the same in all of them.
        let minor = own.min(MINOR);
        metadata.api_version.major_version = MAJOR;
        metadata.api_version.minor_version = minor;
        metadata.traits = 0;
        return ptr::null_mut();
    }
    if frame.stage != EXECUTE {
        return ptr::null_mut();
    }
    let done = catch_unwind(|| compute(frame));
    match done.unwrap_or_else(|_| Err("an internal error of logsum".to_owned().into())) {
        Ok(()) => ptr::null_mut(),
        // SAFETY: each frame has the functions of XLA.
        Err(Failure::Message(message)) => unsafe { error(frame.api, &message) },
        Err(Failure::OfXla(error)) => error,
    }
}

/// The attributes of losses, in the order of their names.
pub(super) struct Options<'a> {
    /// What errors call the classes.
    pub(super) argument: &'a str,
    /// The class of rows that do not count.
    pub(super) ignored: i64,
    /// Label smoothing.
    pub(super) smoothing: f64,
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
const MINOR: c_int = 3;
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

/// XLA's functions. Older versions have fewer of them: `struct_size` tells.
#[repr(C)]
pub(super) struct Api {
    struct_size: usize,
    extension_start: *mut Extension,
    api_version: Version,
    internal_api: *const c_void,
    error_create: unsafe extern "C" fn(*mut ErrorArguments) -> *mut c_void,
    others: [*const c_void; 3],
    stream_get: unsafe extern "C" fn(*mut StreamArguments) -> *mut c_void,
    more: [*const c_void; 12],
    device_ordinal_get: unsafe extern "C" fn(*mut DeviceArguments) -> *mut c_void,
}

#[repr(C)]
struct StreamArguments {
    struct_size: usize,
    extension_start: *mut Extension,
    context: *mut c_void,
    stream: *mut c_void,
}

#[repr(C)]
struct DeviceArguments {
    struct_size: usize,
    extension_start: *mut Extension,
    context: *mut c_void,
    device: i32,
}

/// Arguments or results.
#[repr(C)]
pub(super) struct Buffers {
    struct_size: usize,
    extension_start: *mut Extension,
    pub(super) size: i64,
    kinds: *mut c_int,
    places: *mut *mut c_void,
}

#[repr(C)]
pub(super) struct Buffer {
    struct_size: usize,
    extension_start: *mut Extension,
    pub(super) kind: c_int,
    pub(super) data: *mut c_void,
    rank: i64,
    dimensions: *const i64,
}

#[repr(C)]
pub(super) struct CallFrame {
    struct_size: usize,
    extension_start: *mut Extension,
    api: *const Api,
    context: *mut c_void,
    stage: c_int,
    pub(super) arguments: Buffers,
    pub(super) results: Buffers,
    pub(super) attributes: Attributes,
}

/// Attributes in the order of their names.
#[repr(C)]
pub(super) struct Attributes {
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
    pub(super) unsafe fn options(&self) -> Result<Options<'_>, String> {
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
    pub(super) unsafe fn buffer(&self, index: usize) -> &Buffer {
        // SAFETY: the caller's.
        unsafe { &*(*self.places.add(index)).cast() }
    }
}

impl Buffer {
    /// # Safety
    /// It is one that XLA made.
    pub(super) unsafe fn shape(&self) -> &[i64] {
        if self.rank == 0 {
            return &[];
        }
        // SAFETY: the caller's.
        unsafe { slice::from_raw_parts(self.dimensions, self.rank as usize) }
    }

    /// How many bytes it has; None for formats that are not used here.
    ///
    /// # Safety
    /// It is one that XLA made.
    pub(super) unsafe fn bytes(&self) -> Option<usize> {
        let of_one = match self.kind {
            10 | 16 => 2,
            4 | 8 | 11 => 4,
            5 | 12 => 8,
            _ => return None,
        };
        // SAFETY: the caller's.
        Some(unsafe { self.shape() }.iter().product::<i64>() as usize * of_one)
    }

    /// # Safety
    /// It has `count` numbers of this format, and nothing writes to them while the slice lives.
    pub(super) unsafe fn numbers<T>(&self, count: usize) -> &[T] {
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
    pub(super) unsafe fn results<T>(&self, count: usize) -> &mut [T] {
        if count == 0 {
            return &mut [];
        }
        // SAFETY: the caller's.
        unsafe { slice::from_raw_parts_mut(self.data.cast(), count) }
    }
}

impl CallFrame {
    /// The GPU and the stream of a call for CUDA.
    ///
    /// # Safety
    /// XLA made the frame for such a call.
    pub(super) unsafe fn stream(&self) -> Result<(i32, usize), Failure> {
        // SAFETY: each frame has the functions of XLA.
        let api = unsafe { &*self.api };
        if api.struct_size < offset_of!(Api, device_ordinal_get) + size_of::<usize>() {
            return Err("logsum needs a newer version of JAX on GPUs".to_owned().into());
        }
        let (extension_start, context) = (ptr::null_mut(), self.context);
        let struct_size = size_of::<StreamArguments>();
        let mut stream = StreamArguments { struct_size, extension_start, context, stream: ptr::null_mut() };
        let struct_size = size_of::<DeviceArguments>();
        let mut device = DeviceArguments { struct_size, extension_start, context, device: 0 };
        // SAFETY: XLA writes the results into these structures, which are its own.
        let errors =
            unsafe { [(api.stream_get)(&raw mut stream), (api.device_ordinal_get)(&raw mut device)] };
        match errors.into_iter().find(|error| !error.is_null()) {
            Some(error) => Err(Failure::OfXla(error)),
            None => Ok((device.device, stream.stream as usize)),
        }
    }
}
