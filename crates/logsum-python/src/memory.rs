//! The memory of NumPy's arrays, to read and to write. As for NumPy itself, what other threads write meanwhile is up to
//! the caller; whether arrays overlap is told by their addresses, as those of different owners may.
#![expect(unsafe_code, reason = "arrays are made and given by NumPy as pointers, lengths and steps")]

use ndarray::{ArrayViewD, ArrayViewMutD, Axis, IxDyn, ShapeBuilder, StrideShape};
use numpy::npyffi::flags::NPY_ARRAY_WRITEABLE;
use numpy::npyffi::npy_intp;
use numpy::{
    Element, PY_ARRAY_API, PyArrayDescrMethods, PyArrayDyn, PyArrayMethods, PyUntypedArray,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::{PyMemoryError, PyValueError};
use pyo3::prelude::*;
use std::ops::Range;

/// An array that is read where it is: aligned, its numbers whole steps apart.
pub(crate) struct View<'py, T>(Bound<'py, PyArrayDyn<T>>);

impl<'py, T: Element> View<'py, T> {
    /// None unless it is such an array of this format.
    pub(crate) fn of(a: &Bound<'py, PyAny>) -> Option<Self> {
        let array = a.cast::<PyArrayDyn<T>>().ok()?;
        is_plain(array.as_untyped()).then(|| Self(array.clone()))
    }

    pub(crate) fn as_array(&self) -> ArrayViewD<'_, T> {
        let (shape, first, inverted) = layout(&self.0);
        // SAFETY: the array lives as long as the view; it is plain, and of this format.
        let mut view = unsafe { ArrayViewD::from_shape_ptr(shape, first) };
        inverted.into_iter().for_each(|axis| view.invert_axis(Axis(axis)));
        view
    }

    /// The numbers of an array in C order.
    pub(crate) fn as_slice(&self) -> PyResult<&[T]> {
        let error = || PyValueError::new_err("an array in C order is needed");
        self.as_array().to_slice().ok_or_else(error)
    }

    pub(crate) fn shape(&self) -> &[usize] {
        self.0.shape()
    }

    pub(crate) fn ndim(&self) -> usize {
        self.0.ndim()
    }

    /// An array's memory to write to. None unless it is of this format, and its numbers lie apart from those of this
    /// one and from each other.
    pub(crate) fn apart<'a>(&self, out: &'a Bound<'py, PyAny>) -> Option<ArrayViewMutD<'a, T>> {
        let array = out.cast::<PyArrayDyn<T>>().ok()?;
        // SAFETY: the array is alive.
        let is_writeable = unsafe { (*array.as_array_ptr()).flags } & NPY_ARRAY_WRITEABLE != 0;
        let (read, written) = (addresses(&self.0), addresses(array));
        let is_apart = read.end <= written.start || written.end <= read.start;
        let may_be_written = is_writeable && is_plain(array.as_untyped()) && has_places_apart(array);
        // SAFETY: no two numbers are in one place, and nothing that is read is written.
        (may_be_written && is_apart).then(|| unsafe { writeable(array) })
    }
}

/// Whether numbers are aligned, and whole steps apart.
pub(crate) fn is_plain(array: &Bound<'_, PyUntypedArray>) -> bool {
    let size = array.dtype().itemsize().max(1) as isize;
    array.is_aligned() && array.strides().iter().all(|stride| stride % size == 0)
}

/// Shape and steps in the ascending order of addresses, the first of these, and the axes along which they go down.
fn layout<T: Element>(array: &Bound<'_, PyArrayDyn<T>>) -> (StrideShape<IxDyn>, *mut T, Vec<usize>) {
    let (shape, strides) = (array.shape(), array.strides());
    if shape.contains(&0) {
        return (IxDyn(shape).into(), std::ptr::dangling_mut(), Vec::new());
    }
    let inverted: Vec<usize> = (0..shape.len()).filter(|&axis| strides[axis] < 0).collect();
    let back = inverted.iter().map(|&axis| strides[axis] * (shape[axis] as isize - 1)).sum();
    let mut steps = IxDyn::zeros(shape.len());
    (0..shape.len()).for_each(|axis| steps[axis] = strides[axis].unsigned_abs() / size_of::<T>());
    // SAFETY: the last number along these axes is one of the array's.
    let first = unsafe { array.data().byte_offset(back) };
    (IxDyn(shape).strides(steps), first, inverted)
}

/// # Safety
/// The numbers lie apart from each other, and nobody else reads or writes them.
unsafe fn writeable<'a, T: Element>(array: &'a Bound<'_, PyArrayDyn<T>>) -> ArrayViewMutD<'a, T> {
    let (shape, first, inverted) = layout(array);
    // SAFETY: as for reading, and by the caller's promise.
    let mut view = unsafe { ArrayViewMutD::from_shape_ptr(shape, first) };
    inverted.into_iter().for_each(|axis| view.invert_axis(Axis(axis)));
    view
}

/// From the lowest address of an array to past the highest.
fn addresses<T: Element>(array: &Bound<'_, PyArrayDyn<T>>) -> Range<isize> {
    let (mut low, mut high) = (array.data().addr() as isize, array.data().addr() as isize);
    if array.shape().contains(&0) {
        return low..low;
    }
    for (&length, &stride) in array.shape().iter().zip(array.strides()) {
        let end = stride * (length as isize - 1);
        if end < 0 { low += end } else { high += end }
    }
    low..high + size_of::<T>() as isize
}

/// Whether each axis steps over all that is within it, so that no two numbers share a place.
fn has_places_apart<T: Element>(array: &Bound<'_, PyArrayDyn<T>>) -> bool {
    let lengths = array.shape().iter().zip(array.strides()).filter(|&(&length, _)| length > 1);
    let mut axes: Vec<(isize, isize)> =
        lengths.map(|(&length, stride)| (stride.abs(), length as isize)).collect();
    axes.sort_unstable();
    let mut within = size_of::<T>() as isize;
    axes.into_iter().all(|(stride, length)| {
        let is_apart = stride >= within;
        within += stride * (length - 1);
        is_apart
    })
}

/// An array of this shape in memory that NumPy gives, which asks for large pages, and is there much sooner; and what
/// `fill` gives.
pub(crate) fn filled<'py, T: Element, R>(
    py: Python<'py>,
    shape: &[usize],
    fill: impl FnOnce(ArrayViewMutD<'_, T>) -> PyResult<R>,
) -> PyResult<(Bound<'py, PyAny>, R)> {
    let mut lengths: Vec<npy_intp> = shape.iter().map(|&length| length as npy_intp).collect();
    let (rank, dtype) = (lengths.len() as i32, T::get_dtype(py).into_dtype_ptr());
    // SAFETY: NumPy takes the format's reference, and gives an array, or an error.
    let array = unsafe {
        let array = PY_ARRAY_API.PyArray_Zeros(py, rank, lengths.as_mut_ptr(), dtype, 0);
        Bound::from_owned_ptr_or_err(py, array)?.cast_into_unchecked::<PyArrayDyn<T>>()
    };
    // SAFETY: it is new.
    let beside = fill(unsafe { writeable(&array) })?;
    Ok((array.into_any(), beside))
}

/// As many as these are, if memory has room for them.
pub(crate) fn collected<T>(numbers: impl ExactSizeIterator<Item = T>) -> PyResult<Vec<T>> {
    let mut all = Vec::new();
    all.try_reserve_exact(numbers.len())
        .map_err(|_| PyMemoryError::new_err(format!("there is no memory for {} numbers", numbers.len())))?;
    all.extend(numbers);
    Ok(all)
}
