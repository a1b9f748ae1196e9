//! The memory of NumPy's arrays, to read and to write. As with NumPy itself, the caller is responsible for other
//! threads that write to it meanwhile. Whether arrays overlap is decided by their addresses, since arrays with
//! different owners may.
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

/// An array that is read in place: aligned, with strides that are multiples of the item size.
pub(crate) struct View<'py, T>(Bound<'py, PyArrayDyn<T>>);

impl<'py, T: Element> View<'py, T> {
    /// None unless `a` is such an array of this format.
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

    /// The memory of `out`, to write to. None unless it is a writeable array of this format whose elements do not
    /// overlap each other or this array.
    pub(crate) fn apart<'a>(&self, out: &'a Bound<'py, PyAny>) -> Option<ArrayViewMutD<'a, T>> {
        let array = out.cast::<PyArrayDyn<T>>().ok()?;
        // SAFETY: the array is alive.
        let is_writeable = unsafe { (*array.as_array_ptr()).flags } & NPY_ARRAY_WRITEABLE != 0;
        let (read, written) = (addresses(&self.0), addresses(array));
        let is_apart = read.end <= written.start || written.end <= read.start;
        let may_be_written = is_writeable && is_plain(array.as_untyped()) && has_places_apart(array);
        // SAFETY: no two elements overlap, and nothing that is read is written.
        (may_be_written && is_apart).then(|| unsafe { writeable(array) })
    }
}

/// Whether the elements are aligned, and the strides are multiples of the item size.
pub(crate) fn is_plain(array: &Bound<'_, PyUntypedArray>) -> bool {
    let size = array.dtype().itemsize().max(1) as isize;
    array.is_aligned() && array.strides().iter().all(|stride| stride % size == 0)
}

/// The shape with positive strides, the pointer to the lowest address, and the axes whose strides are negative.
fn layout<T: Element>(array: &Bound<'_, PyArrayDyn<T>>) -> (StrideShape<IxDyn>, *mut T, Vec<usize>) {
    let (shape, strides) = (array.shape(), array.strides());
    if shape.contains(&0) {
        return (IxDyn(shape).into(), std::ptr::dangling_mut(), Vec::new());
    }
    let inverted: Vec<usize> = (0..shape.len()).filter(|&axis| strides[axis] < 0).collect();
    let back = inverted.iter().map(|&axis| strides[axis] * (shape[axis] as isize - 1)).sum();
    let mut steps = IxDyn::zeros(shape.len());
    (0..shape.len()).for_each(|axis| steps[axis] = strides[axis].unsigned_abs() / size_of::<T>());
    // SAFETY: the last element along these axes is in the array.
    let first = unsafe { array.data().byte_offset(back) };
    (IxDyn(shape).strides(steps), first, inverted)
}

/// # Safety
/// The elements do not overlap each other, and nothing else reads or writes them.
unsafe fn writeable<'a, T: Element>(array: &'a Bound<'_, PyArrayDyn<T>>) -> ArrayViewMutD<'a, T> {
    let (shape, first, inverted) = layout(array);
    // SAFETY: as for reading, and by the caller's guarantee.
    let mut view = unsafe { ArrayViewMutD::from_shape_ptr(shape, first) };
    inverted.into_iter().for_each(|axis| view.invert_axis(Axis(axis)));
    view
}

/// The addresses of an array, from the lowest to the end of the highest element.
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

/// Whether the stride of each axis is at least the extent of all axes with smaller strides, so that no two elements
/// overlap.
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

/// A new array of this shape, and what `fill` returns for it. NumPy allocates the memory, since it asks for large
/// pages, and the memory is thus available much sooner.
pub(crate) fn filled<'py, T: Element, R>(
    py: Python<'py>,
    shape: &[usize],
    fill: impl FnOnce(ArrayViewMutD<'_, T>) -> PyResult<R>,
) -> PyResult<(Bound<'py, PyAny>, R)> {
    let mut lengths: Vec<npy_intp> = shape.iter().map(|&length| length as npy_intp).collect();
    let (rank, dtype) = (lengths.len() as i32, T::get_dtype(py).into_dtype_ptr());
    // SAFETY: NumPy takes over the reference to the format, and returns an array, or null with an error.
    let array = unsafe {
        let array = PY_ARRAY_API.PyArray_Zeros(py, rank, lengths.as_mut_ptr(), dtype, 0);
        Bound::from_owned_ptr_or_err(py, array)?.cast_into_unchecked::<PyArrayDyn<T>>()
    };
    // SAFETY: the array is new, so that nothing else refers to it.
    let beside = fill(unsafe { writeable(&array) })?;
    Ok((array.into_any(), beside))
}

/// The numbers as a vector, or an error if memory has no room for it.
pub(crate) fn collected<T>(numbers: impl ExactSizeIterator<Item = T>) -> PyResult<Vec<T>> {
    let mut all = Vec::new();
    all.try_reserve_exact(numbers.len())
        .map_err(|_| PyMemoryError::new_err(format!("there is no memory for {} numbers", numbers.len())))?;
    all.extend(numbers);
    Ok(all)
}
