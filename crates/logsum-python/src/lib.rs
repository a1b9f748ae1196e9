//! The compiled part of the Python package: NumPy arrays in and out. What has to be brought into shape first, lists, integers, other
//! libraries' arrays, is seen to in Python, in `python/logsum/_general.py`.

mod accumulator;
mod cuda;
mod family;
mod float_environment;
mod memory;
mod numbers;
mod reductions;
mod shards;
mod ufunc;

use pyo3::prelude::*;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    accumulator::add_to(module)?;
    cuda::add_to(module)?;
    reductions::add_to(module)?;
    family::add_to(module)?;
    shards::add_to(module)?;
    ufunc::add_to(module)
}
