//! logsum's functions for the SQL of DataFusion's Python package, which accepts functions of other libraries as
//! capsules.

use datafusion_ffi::udaf::FFI_AggregateUDF;
use datafusion_ffi::udf::FFI_ScalarUDF;
use datafusion_ffi::udwf::FFI_WindowUDF;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

/// A Python class of functions, each of which has a method that returns it as a capsule.
macro_rules! functions {
    ($Function:ident, $Ffi:ident, $capsule:literal, $method:ident, $all:path) => {
        /// A function of SQL.
        #[pyclass(frozen, module = "logsum_datafusion")]
        struct $Function {
            function: $Ffi,
            #[pyo3(get)]
            name: String,
        }

        #[pymethods]
        impl $Function {
            fn $method<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
                PyCapsule::new_with_value(py, self.function.clone(), $capsule)
            }
        }

        impl $Function {
            fn all() -> Vec<Self> {
                let functions = $all().into_iter();
                functions
                    .map(|function| Self { name: function.name().to_owned(), function: function.into() })
                    .collect()
            }
        }
    };
}

functions!(
    Aggregate,
    FFI_AggregateUDF,
    c"datafusion_aggregate_udf",
    __datafusion_aggregate_udf__,
    logsum_datafusion::aggregates
);
functions!(
    Window,
    FFI_WindowUDF,
    c"datafusion_window_udf",
    __datafusion_window_udf__,
    logsum_datafusion::windows
);
functions!(
    Scalar,
    FFI_ScalarUDF,
    c"datafusion_scalar_udf",
    __datafusion_scalar_udf__,
    logsum_datafusion::scalars
);

#[pymodule(name = "logsum_datafusion")]
mod module {
    use super::{Aggregate, Scalar, Window};
    use pyo3::prelude::*;

    /// The aggregates: logsumexp, logmeanexp, effective_sample_size.
    #[pyfunction]
    fn aggregates() -> Vec<Aggregate> {
        Aggregate::all()
    }

    /// The window functions: logcumsumexp, softmax.
    #[pyfunction]
    fn windows() -> Vec<Window> {
        Window::all()
    }

    /// The functions of one row.
    #[pyfunction]
    fn scalars() -> Vec<Scalar> {
        Scalar::all()
    }
}
