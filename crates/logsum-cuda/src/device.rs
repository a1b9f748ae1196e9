//! A GPU: its context, and the kernels that were loaded into it.

// The driver's interface takes handles and addresses as they are.
#![allow(unsafe_code)]

use crate::error::Error;
use crate::kernels::module;
use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys;
use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// A GPU.
pub(crate) struct Device {
    context: sys::CUcontext,
    /// The number of its multiprocessors: it runs a multiple of so many blocks at the same time.
    pub(crate) processors: u32,
    functions: Mutex<HashMap<String, Function>>,
    order: Mutex<()>,
}

// SAFETY: contexts and functions are handles that any thread may use.
unsafe impl Send for Device {}
// SAFETY: likewise.
unsafe impl Sync for Device {}

/// A loaded kernel.
#[derive(Clone, Copy)]
struct Function(sys::CUfunction);

/// The compute capability that the kernels are compiled for.
const TARGET: [i32; 2] = [8, 0];

fn said(action: &'static str) -> impl Fn(DriverError) -> Error {
    move |error| Error::Driver { action, message: error.to_string() }
}

impl Device {
    /// The GPU of this number, whose context stays for good.
    pub(crate) fn get(number: i32) -> Result<&'static Self, Error> {
        static DEVICES: OnceLock<Mutex<HashMap<i32, &'static Device>>> = OnceLock::new();
        let mut devices = DEVICES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(device) = devices.get(&number) {
            return Ok(device);
        }
        let device: &'static Self = Box::leak(Box::new(Self::open(number)?));
        devices.insert(number, device);
        Ok(device)
    }

    fn open(number: i32) -> Result<Self, Error> {
        // SAFETY: it only looks for the library.
        if !unsafe { sys::is_culib_present() } {
            return Err(Error::NoDriver);
        }
        result::init().map_err(said("start"))?;
        let device = result::device::get(number).map_err(said("find the GPU"))?;
        use sys::CUdevice_attribute::{
            CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR as MAJOR,
            CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR as MINOR,
            CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT as PROCESSORS,
        };
        let attribute = |attribute| {
            // SAFETY: the device is one that the driver gave.
            unsafe { result::device::get_attribute(device, attribute) }.map_err(said("ask the GPU"))
        };
        let capability = [attribute(MAJOR)?, attribute(MINOR)?];
        if capability < TARGET {
            return Err(Error::TooOld { device: number, capability });
        }
        let processors = attribute(PROCESSORS)?.max(1) as u32;
        // SAFETY: likewise; it is the context that every library shares, and is not released.
        let context = unsafe { result::primary_ctx::retain(device) }.map_err(said("open the GPU"))?;
        Ok(Self { context, processors, functions: Mutex::default(), order: Mutex::default() })
    }

    /// While it lives, no other thread puts kernels into streams: those of a call share a workspace, and must follow
    /// each other.
    pub(crate) fn one_call(&self) -> MutexGuard<'_, ()> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Allocates memory that is never freed, and sets it to 0 for what follows in this stream.
    ///
    /// # Safety
    /// The stream is one of this GPU, or 0.
    pub(crate) unsafe fn zeros(&self, bytes: usize, stream: usize) -> Result<u64, Error> {
        let _current = Current::make(self.context)?;
        // SAFETY: the context is current.
        let address = unsafe { result::malloc_sync(bytes) }.map_err(said("allocate a workspace"))?;
        // SAFETY: the caller's; nobody else knows the memory.
        unsafe { self.clear(address, bytes, stream)? };
        Ok(address)
    }

    /// Sets memory to 0 for what follows in this stream.
    ///
    /// # Safety
    /// The memory has at least `bytes` bytes, and the stream is one of this GPU, or 0.
    pub(crate) unsafe fn clear(&self, address: u64, bytes: usize, stream: usize) -> Result<(), Error> {
        let _current = Current::make(self.context)?;
        // SAFETY: the caller's.
        unsafe { result::memset_d8_async(address, 0, bytes, stream as sys::CUstream) }
            .map_err(said("clear a workspace"))
    }

    fn function(&self, name: &str) -> Result<Function, Error> {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&function) = functions.get(name) {
            return Ok(function);
        }
        let missing = || Error::Driver { action: "find a kernel", message: name.to_owned() };
        let ptx = module(name).ok_or_else(missing)?;
        let name_of_function = CString::new(name).map_err(|_| missing())?;
        // SAFETY: the text ends with a zero, and the module stays loaded for good.
        let function = unsafe {
            let module = result::module::load_data(ptx.as_ptr().cast()).map_err(said("load a kernel"))?;
            result::module::get_function(module, name_of_function).map_err(said("find a kernel"))?
        };
        functions.insert(name.to_owned(), Function(function));
        Ok(Function(function))
    }

    /// Puts a kernel into a stream.
    ///
    /// # Safety
    /// The arguments are those that the kernel asks for, and the stream is one of this GPU, or 0, its default.
    pub(crate) unsafe fn launch(
        &self,
        name: &str,
        stream: usize,
        blocks: [u32; 2],
        threads: u32,
        arguments: &[Argument],
    ) -> Result<(), Error> {
        let _current = Current::make(self.context)?;
        let Function(function) = self.function(name)?;
        let mut addresses: Vec<*mut c_void> = arguments.iter().map(Argument::address).collect();
        // SAFETY: the caller's.
        unsafe {
            result::launch_kernel(
                function,
                (blocks[0], blocks[1], 1),
                (threads, 1, 1),
                0,
                stream as sys::CUstream,
                &mut addresses,
            )
        }
        .map_err(said("start a kernel"))
    }
}

/// An argument of a kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Argument {
    Long(u64),
    Short(u32),
}

impl Argument {
    fn address(&self) -> *mut c_void {
        match self {
            Self::Long(word) => std::ptr::from_ref(word).cast_mut().cast(),
            Self::Short(word) => std::ptr::from_ref(word).cast_mut().cast(),
        }
    }
}

/// The thread's context while a call lasts; then again the one it had.
struct Current(sys::CUcontext);

impl Current {
    fn make(context: sys::CUcontext) -> Result<Self, Error> {
        let before = result::ctx::get_current().map_err(said("find the thread's GPU"))?;
        let before = before.unwrap_or(std::ptr::null_mut());
        if before != context {
            // SAFETY: the context is not released.
            unsafe { result::ctx::set_current(context) }.map_err(said("use the GPU"))?;
        }
        Ok(Self(before))
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        // SAFETY: it was current before, or is none.
        let _ = unsafe { result::ctx::set_current(self.0) };
    }
}
