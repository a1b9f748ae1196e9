//! NumPy arrays as views of numbers, results as NumPy arrays, and errors as exceptions.

use crate::float_environment::within_default;
use crate::memory::{View, is_plain};
use half::{bf16, f16};
use logsum::{Axes, Error};
use ndarray::{Array, ArrayD, Dimension};
use num_complex::Complex;
use numpy::{Element, IntoPyArray, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyKeyboardInterrupt, PyMemoryError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use std::cell::Cell;
use std::rc::Rc;

/// An array of one of the formats that are computed without conversion.
pub(crate) enum Numbers<'py> {
    F16(View<'py, f16>),
    BF16(View<'py, bf16>),
    F32(View<'py, f32>),
    F64(View<'py, f64>),
}

/// Evaluates an expression for the array, whatever its format is.
macro_rules! in_format {
    ($numbers:expr, $array:ident => $then:expr) => {
        match $numbers {
            $crate::numbers::Numbers::F16($array) => $then,
            $crate::numbers::Numbers::BF16($array) => $then,
            $crate::numbers::Numbers::F32($array) => $then,
            $crate::numbers::Numbers::F64($array) => $then,
        }
    };
}
pub(crate) use in_format;

/// A float format that NumPy arrays can have.
pub(crate) trait Format: logsum::Float + Element {}

impl<T: logsum::Float + Element> Format for T {}

impl<'py> Numbers<'py> {
    /// None unless `a` is an ndarray, not of a subclass, of floats in native byte order, aligned, and with strides that
    /// are multiples of the item size.
    pub(crate) fn of(a: &Bound<'py, PyAny>) -> PyResult<Option<Self>> {
        let Ok(array) = a.cast_exact::<PyUntypedArray>() else { return Ok(None) };
        let dtype = array.dtype();
        Ok(match dtype.char() {
            _ if !dtype.is_native_byteorder().unwrap_or(false) || !is_plain(array) => None,
            b'd' => Some(Self::F64(view(a)?)),
            b'f' => Some(Self::F32(view(a)?)),
            b'e' => Some(Self::F16(view(a)?)),
            // The type that ml_dtypes registers. Its character code is not unique.
            _ if dtype.itemsize() == 2 && dtype.typeobj().name()? == "bfloat16" => Some(Self::BF16(view(a)?)),
            _ => None,
        })
    }

    /// Whether the array has no axes. SciPy gives such arrays one, so that `axis` can refer to it.
    pub(crate) fn is_scalar(&self) -> bool {
        in_format!(self, array => array.ndim() == 0)
    }

    pub(crate) fn needed(a: &Bound<'py, PyAny>) -> PyResult<Self> {
        let error = || PyTypeError::new_err("an array of floats in the machine's byte order is needed");
        Self::of(a)?.ok_or_else(error)
    }
}

/// A view of an argument that must have the format of the first one.
pub(crate) fn view<'py, T: Element>(a: &Bound<'py, PyAny>) -> PyResult<View<'py, T>> {
    View::of(a).ok_or_else(|| {
        let dtype = T::get_dtype(a.py());
        PyTypeError::new_err(format!("an array of {dtype} is needed, as the first one is"))
    })
}

/// Axes as NumPy takes them: None, an integer, or a tuple or list of integers.
pub(crate) fn axes(axis: Option<&Bound<'_, PyAny>>, keepdims: bool) -> PyResult<Axes> {
    let axes = axis.map_or(Ok(Axes::all()), |axis| PyResult::Ok(Axes::from(indices(axis)?)))?;
    Ok(if keepdims { axes.keep() } else { axes })
}

pub(crate) fn indices(axis: &Bound<'_, PyAny>) -> PyResult<Vec<isize>> {
    if axis.is_instance_of::<PyTuple>() || axis.is_instance_of::<PyList>() {
        return axis.try_iter()?.map(|axis| index(&axis?)).collect();
    }
    Ok(vec![index(axis)?])
}

/// An integer, or an object with `__index__`. One that is too large becomes the largest, which is out of range as well.
pub(crate) fn index(axis: &Bound<'_, PyAny>) -> PyResult<isize> {
    let number = axis.py().import("operator")?.call_method1("index", (axis,)).map_err(|_| {
        let name = axis.get_type().to_string();
        PyTypeError::new_err(format!(
            "axis must be an integer, a tuple or list of integers, or None, not {name}"
        ))
    })?;
    number.extract().or(Ok(isize::MAX))
}

/// The greatest number of elements of an array of this shape, or of a reduction of it, which may remove axes of length
/// 0.
pub(crate) fn most(shape: &[usize]) -> usize {
    shape.iter().map(|&length| length.max(1)).fold(1, usize::saturating_mul)
}

/// Runs `work` until it ends, or a signal handler raises an exception; long work runs without holding the interpreter.
/// `length` is the number of inputs or results, whichever is greater.
pub(crate) fn detached<R: Send>(
    py: Python<'_>,
    length: usize,
    work: impl FnOnce() -> Result<R, Error> + Send,
) -> PyResult<R> {
    /// Fewer numbers than this take milliseconds at most, however hard they are.
    const FEW: usize = 32;
    /// Releasing the interpreter takes about as long as summing this many numbers.
    const SHORT: usize = 1024;
    let work = || within_default(work);
    let result = match length {
        ..FEW => work(),
        FEW..SHORT => interruptible(work)?,
        SHORT.. => py.detach(|| interruptible(work))?,
    };
    result.map_err(|error| exception(py, error))
}

fn interruptible<R>(work: impl FnOnce() -> R) -> PyResult<R> {
    let raised = Rc::new(Cell::new(None));
    let place = Rc::clone(&raised);
    let is_interrupted = move || match Python::attach(|py| py.check_signals()) {
        Ok(()) => false,
        Err(error) => {
            place.set(Some(error));
            true
        }
    };
    // Work is given up only because of an exception.
    logsum::unless(is_interrupted, work)
        .ok_or_else(|| raised.take().unwrap_or_else(|| PyKeyboardInterrupt::new_err(())))
}

/// A result as a NumPy array, or as a scalar if it has no axes.
pub(crate) fn given<A: Element, D: Dimension>(
    py: Python<'_>,
    array: Array<A, D>,
) -> PyResult<Bound<'_, PyAny>> {
    /// The most axes that the bindings support: NumPy's former limit.
    const MOST_AXES: usize = 32;
    let array = array.into_dyn();
    if array.ndim() <= MOST_AXES {
        return scalar_of(array.into_pyarray(py).into_any());
    }
    let shape = PyTuple::new(py, array.shape())?;
    // Results are in C order.
    let (numbers, _) = array.into_raw_vec_and_offset();
    numbers.into_pyarray(py).call_method1("reshape", (shape,))
}

/// A NumPy array, or a scalar if it has no axes.
pub(crate) fn scalar_of(array: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    let is_scalar = array.cast::<PyUntypedArray>().is_ok_and(|array| array.ndim() == 0);
    if is_scalar { array.get_item(PyTuple::empty(array.py())) } else { Ok(array) }
}

/// Complex numbers of one of the two formats.
pub(crate) enum ComplexNumbers<'py> {
    F32(View<'py, Complex<f32>>),
    F64(View<'py, Complex<f64>>),
}

impl<'py> ComplexNumbers<'py> {
    pub(crate) fn needed(a: &Bound<'py, PyAny>) -> PyResult<Self> {
        Ok(match a.cast::<PyUntypedArray>()?.dtype().char() {
            b'F' => Self::F32(view(a)?),
            _ => Self::F64(view(a)?),
        })
    }
}

/// One number as an array without axes.
pub(crate) fn one<T>(value: T) -> ArrayD<T> {
    ndarray::arr0(value).into_dyn()
}

pub(crate) fn exception(py: Python<'_>, mut error: Error) -> PyErr {
    match &mut error {
        Error::OutOfMemory { .. } | Error::TooManySegments { .. } | Error::ShapeTooLarge { .. } => {
            return PyMemoryError::new_err(error.to_string());
        }
        &mut Error::AxisOutOfRange { axis, rank, .. } => {
            let of_numpy = || py.import("numpy.exceptions")?.getattr("AxisError")?.call1((axis, rank));
            return of_numpy().map_or_else(|error| error, PyErr::from_value);
        }
        // The label was negative.
        &mut Error::TargetOutOfRange { row, target, classes, .. } if (target as isize) < 0 => {
            let target = target as isize;
            return PyValueError::new_err(format!(
                "the target of row {row} is {target}, but must be from 0 to below {classes}, the number of classes"
            ));
        }
        &mut Error::TokenOutOfRange { row, token, length, .. } if (token as isize) < 0 => {
            let token = token as isize;
            return PyValueError::new_err(format!(
                "the token of row {row} is {token}, but must be from 0 to below {length}, the length of the row"
            ));
        }
        Error::LengthMismatch { argument, fits, .. } => {
            *argument = name_in_python(argument);
            *fits = name_in_python(fits);
        }
        Error::ShapeMismatch { argument, .. } => *argument = name_in_python(argument),
        Error::AxisLengthMismatch { fits, .. } => *fits = name_in_python(fits),
        _ => {}
    }
    PyValueError::new_err(error.to_string())
}

/// The name that the Python functions have for an argument of the library.
fn name_in_python(argument: &'static str) -> &'static str {
    match argument {
        "self" | "z" => "a",
        "weights" | "right" => "b",
        "mask" => "where",
        "class_weights" => "weight",
        "targets" => "target",
        "segments" => "segment_ids",
        other => other,
    }
}
