//! The functions that `logsum.torch` calls for tensors in the memory of NVIDIA's GPUs. The tensors are given by their
//! addresses, which the Python code guarantees to be right.

// The addresses are those of tensors that live until the stream no longer uses them.
#![allow(unsafe_code)]

use logsum_cuda::{
    Format, KEPT, KEPT_FROM, Memory, Rows, Stream, Targets, WORKSPACE, is_available, log_softmax, logsumexp,
    loss_gradients, losses, softmax,
};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("CUDA_WORKSPACE", WORKSPACE)?;
    module.add("CUDA_KEPT", KEPT)?;
    module.add("CUDA_KEPT_FROM", KEPT_FROM)?;
    module.add_function(wrap_pyfunction!(cuda_problem, module)?)?;
    module.add_function(wrap_pyfunction!(cuda_logsumexp, module)?)?;
    module.add_function(wrap_pyfunction!(cuda_shares, module)?)?;
    module.add_function(wrap_pyfunction!(cuda_losses, module)?)?;
    module.add_function(wrap_pyfunction!(cuda_loss_gradients, module)?)
}

/// Why a GPU cannot be used, or None if it can.
#[pyfunction]
fn cuda_problem(py: Python<'_>, device: i32) -> Option<String> {
    py.detach(|| is_available(device)).err().map(|error| error.to_string())
}

/// A GPU, a stream, and the address of a workspace.
type Place = (i32, usize, u64);

/// An address, how many rows lie beside each other, bytes from one group of these to the next, and from a number of a
/// row to the next: see [`Memory`].
type Places = (u64, u64, u64, u64);

/// A format, the number of rows, their length, and where they are.
type Matrix<'a> = (&'a str, u64, u64, Places);

fn stream((device, handle, workspace): Place) -> Stream {
    Stream { device, handle, workspace }
}

fn memory((address, beside, stride, step): Places) -> Memory {
    Memory { address, beside, stride, step }
}

fn rows((format, count, length, places): Matrix<'_>) -> PyResult<Rows> {
    let format = match format {
        "float16" => Format::F16,
        "bfloat16" => Format::BF16,
        "float32" => Format::F32,
        "float64" => Format::F64,
        _ => return Err(PyValueError::new_err(format!("there are no kernels for {format}"))),
    };
    Ok(Rows { format, count, length, memory: memory(places) })
}

#[pyfunction]
fn cuda_logsumexp(py: Python<'_>, place: Place, matrix: Matrix<'_>, out: u64) -> PyResult<()> {
    let (stream, rows) = (stream(place), rows(matrix)?);
    // SAFETY: the addresses are those of tensors of these shapes, and the stream is the one that torch uses them on.
    py.detach(|| unsafe { logsumexp(stream, rows, out) })
        .map_err(|error| PyRuntimeError::new_err(error.to_string()))
}

#[pyfunction]
fn cuda_shares(
    py: Python<'_>,
    place: Place,
    matrix: Matrix<'_>,
    is_log: bool,
    out: Places,
    values: u64,
) -> PyResult<()> {
    let (stream, rows, out) = (stream(place), rows(matrix)?, memory(out));
    py.detach(|| {
        // SAFETY: likewise.
        unsafe {
            if is_log { log_softmax(stream, rows, out, values) } else { softmax(stream, rows, out, values) }
        }
    })
    .map_err(|error| PyRuntimeError::new_err(error.to_string()))
}

/// The address of the targets, one for each row, and the target of rows that do not count.
type Classes = (u64, i64);

fn targets((address, ignored): Classes) -> Targets {
    Targets { address, ignored }
}

#[pyfunction]
fn cuda_losses(
    py: Python<'_>,
    place: Place,
    matrix: Matrix<'_>,
    of: Classes,
    out: u64,
    kept: u64,
) -> PyResult<()> {
    let (stream, rows) = (stream(place), rows(matrix)?);
    // SAFETY: likewise.
    py.detach(|| unsafe { losses(stream, rows, targets(of), out, kept) })
        .map_err(|error| PyRuntimeError::new_err(error.to_string()))
}

#[pyfunction]
fn cuda_loss_gradients(
    py: Python<'_>,
    place: Place,
    matrix: Matrix<'_>,
    of: Classes,
    factors: u64,
    kept: u64,
    out: Places,
) -> PyResult<()> {
    let (stream, rows, out) = (stream(place), rows(matrix)?, memory(out));
    // SAFETY: likewise.
    py.detach(|| unsafe { loss_gradients(stream, rows, targets(of), factors, kept, out) })
        .map_err(|error| PyRuntimeError::new_err(error.to_string()))
}
