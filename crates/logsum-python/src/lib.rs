//! The compiled part of the Python package: functions from NumPy arrays to NumPy arrays. Arguments that must first be
//! converted, such as lists, integers and other libraries' arrays, are handled in Python, in
//! `python/logsum/_general.py`.

mod accumulator;
mod cuda;
mod family;
mod float_environment;
mod memory;
mod numbers;
mod reductions;
mod shards;
mod ufunc;
mod xla;

use pyo3::prelude::*;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    accumulator::add_to(module)?;
    cuda::add_to(module)?;
    reductions::add_to(module)?;
    family::add_to(module)?;
    shards::add_to(module)?;
    ufunc::add_to(module)?;
    xla::add_to(module)
}
