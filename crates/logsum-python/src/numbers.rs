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

/// The formats that are computed in as they are.
pub(crate) enum Numbers<'py> {
    F16(View<'py, f16>),
    BF16(View<'py, bf16>),
    F32(View<'py, f32>),
    F64(View<'py, f64>),
}

/// The same expression for the array of any format.
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

/// A float that NumPy has, too.
pub(crate) trait Format: logsum::Float + Element {}

impl<T: logsum::Float + Element> Format for T {}

impl<'py> Numbers<'py> {
    /// None unless it is an ndarray, no subclass, of native floats in whole steps.
    pub(crate) fn of(a: &Bound<'py, PyAny>) -> PyResult<Option<Self>> {
        let Ok(array) = a.cast_exact::<PyUntypedArray>() else { return Ok(None) };
        let dtype = array.dtype();
        Ok(match dtype.char() {
            _ if !dtype.is_native_byteorder().unwrap_or(false) || !is_plain(array) => None,
            b'd' => Some(Self::F64(view(a)?)),
            b'f' => Some(Self::F32(view(a)?)),
            b'e' => Some(Self::F16(view(a)?)),
            // What ml_dtypes registers; its character is not its own.
            _ if dtype.itemsize() == 2 && dtype.typeobj().name()? == "bfloat16" => Some(Self::BF16(view(a)?)),
            _ => None,
        })
    }

    /// SciPy gives a scalar an axis, so that one can be named.
    pub(crate) fn is_scalar(&self) -> bool {
        in_format!(self, array => array.ndim() == 0)
    }

    pub(crate) fn needed(a: &Bound<'py, PyAny>) -> PyResult<Self> {
        let error = || PyTypeError::new_err("an array of floats in the machine's byte order is needed");
        Self::of(a)?.ok_or_else(error)
    }
}

/// A view of an argument that goes with the first one.
pub(crate) fn view<'py, T: Element>(a: &Bound<'py, PyAny>) -> PyResult<View<'py, T>> {
    View::of(a).ok_or_else(|| {
        let dtype = T::get_dtype(a.py());
        PyTypeError::new_err(format!("an array of {dtype} is needed, as the first one is"))
    })
}

/// Axes as NumPy writes them: none, a number, or several, as a tuple or a list.
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

/// Whole numbers, and whatever says that it is one. One that is too large is as good as the largest: out of range.
pub(crate) fn index(axis: &Bound<'_, PyAny>) -> PyResult<isize> {
    let number = axis.py().import("operator")?.call_method1("index", (axis,)).map_err(|_| {
        let name = axis.get_type().to_string();
        PyTypeError::new_err(format!(
            "axis must be an integer, a tuple or list of integers, or None, not {name}"
        ))
    })?;
    number.extract().or(Ok(isize::MAX))
}

/// The most numbers that there are of an array's shape, or in what is reduced of it: axes of length 0 may go.
pub(crate) fn most(shape: &[usize]) -> usize {
    shape.iter().map(|&length| length.max(1)).fold(1, usize::saturating_mul)
}

/// Runs what takes long without the interpreter, until an exception is raised by a signal's handler. `length` is how
/// many numbers go in or come out, if more do.
pub(crate) fn detached<R: Send>(
    py: Python<'_>,
    length: usize,
    work: impl FnOnce() -> Result<R, Error> + Send,
) -> PyResult<R> {
    /// So few numbers take milliseconds at most, however hard they are.
    const FEW: usize = 32;
    /// It takes about as long to let go of the interpreter as to sum so many numbers.
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
    // What is given up has been by an exception.
    logsum::unless(is_interrupted, work)
        .ok_or_else(|| raised.take().unwrap_or_else(|| PyKeyboardInterrupt::new_err(())))
}

/// An array, or a scalar for one without axes.
pub(crate) fn given<A: Element, D: Dimension>(
    py: Python<'_>,
    array: Array<A, D>,
) -> PyResult<Bound<'_, PyAny>> {
    /// More axes than NumPy once had are more than its bindings know.
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

/// The same for an array of NumPy's.
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

/// A result that is one number is an array without axes.
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
        // A label that was negative.
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

/// What Python's functions call an argument of the library's.
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
