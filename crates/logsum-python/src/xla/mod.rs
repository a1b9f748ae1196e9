//! The functions that XLA calls for JAX, by its foreign function interface: no Python runs in such a call.

// XLA calls these functions with pointers.
#![allow(unsafe_code)]

mod frame;
mod on_cpu;
mod on_cuda;
mod operation;

use frame::{CallFrame, Handler};
use operation::Operation;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::ffi::c_void;

/// A function that XLA calls: `$answer` of a frame and an operation.
macro_rules! handler {
    ($answer:path, $operation:ident) => {{
        unsafe extern "C" fn handler(frame: *mut CallFrame) -> *mut c_void {
            // SAFETY: XLA's.
            unsafe { $answer(frame, Operation::$operation) }
        }
        handler
    }};
}

/// The functions for a device, by their names.
macro_rules! handlers {
    ($answer:path) => {
        [
            ("logsumexp", handler!($answer, Logsumexp)),
            ("softmax", handler!($answer, Softmax)),
            ("log_softmax", handler!($answer, LogSoftmax)),
            ("losses", handler!($answer, Losses)),
            ("losses_with_gradient", handler!($answer, LossesWithGradient)),
        ]
    };
}

/// Adds `XLA_HANDLERS` and `XLA_CUDA_HANDLERS`, the address of each function by its name.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let on_cpu: [(&str, Handler); 5] = handlers!(on_cpu::by_rows);
    let on_cuda: [(&str, Handler); 5] = handlers!(on_cuda::start);
    for (name, handlers) in [("XLA_HANDLERS", on_cpu), ("XLA_CUDA_HANDLERS", on_cuda)] {
        let addresses = PyDict::new(module.py());
        for (name, handler) in handlers {
            addresses.set_item(name, handler as usize)?;
        }
        module.add(name, addresses)?;
    }
    Ok(())
}
