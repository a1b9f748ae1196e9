//! The functions that XLA calls for JAX, by its foreign function interface: no Python runs in such a call.

mod frame;
mod on_cpu;
mod on_cuda;

use frame::Handler;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Adds `XLA_HANDLERS` and `XLA_CUDA_HANDLERS`, the address of each function by its name.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let on_cpu: [(&str, Handler); 5] = [
        ("logsumexp", on_cpu::logsumexp),
        ("softmax", on_cpu::softmax),
        ("log_softmax", on_cpu::log_softmax),
        ("losses", on_cpu::losses),
        ("losses_with_gradient", on_cpu::losses_with_gradient),
    ];
    let on_cuda: [(&str, Handler); 5] = [
        ("logsumexp", on_cuda::logsumexp),
        ("softmax", on_cuda::softmax),
        ("log_softmax", on_cuda::log_softmax),
        ("losses", on_cuda::losses),
        ("losses_with_gradient", on_cuda::losses_with_gradient),
    ];
    for (name, handlers) in [("XLA_HANDLERS", on_cpu), ("XLA_CUDA_HANDLERS", on_cuda)] {
        let addresses = PyDict::new(module.py());
        for (name, handler) in handlers {
            addresses.set_item(name, handler as usize)?;
        }
        module.add(name, addresses)?;
    }
    Ok(())
}
