//! Long calls part by part, so that an interrupt is heard between them.

use crate::numbers::{Format, detached, exception, indices};
use logsum::Error;
use ndarray::{ArrayD, ArrayViewD, ArrayViewMutD, Axis, Slice};
use pyo3::prelude::*;

/// The approximate number of elements in a part: milliseconds of work, or a second if all rows are hard.
pub(crate) const PART: usize = 1 << 21;

/// A part of the input and of each result, along an axis that all have.
#[derive(Clone, Copy)]
pub(crate) struct Part(Option<(Axis, Slice)>);

impl Part {
    pub(crate) fn of<'a, T>(self, array: &'a ArrayViewD<'_, T>) -> ArrayViewD<'a, T> {
        match self.0 {
            Some((axis, slice)) => array.slice_axis(axis, slice),
            None => array.view(),
        }
    }

    pub(crate) fn of_mut<'a, T>(self, array: &'a mut ArrayViewMutD<'_, T>) -> ArrayViewMutD<'a, T> {
        match self.0 {
            Some((axis, slice)) => array.slice_axis_mut(axis, slice),
            None => array.view_mut(),
        }
    }
}

/// Does `work` without the interpreter, part by part along the axis with the longest stride that is not reduced.
/// The numbers of a single row are one part.
pub(crate) fn in_parts<T: Format>(
    py: Python<'_>,
    a: &ArrayViewD<'_, T>,
    reduced: &[bool],
    mut work: impl FnMut(Part) -> Result<(), Error> + Send,
) -> PyResult<()> {
    let mut done = |part| detached(py, a.len(), || work(Part(part))).map_err(|error| exception(py, error));
    let kept_axes = (0..a.ndim()).filter(|&axis| a.shape()[axis] > 1 && !reduced[axis]);
    match kept_axes.max_by_key(|&axis| a.strides()[axis].abs()) {
        Some(axis) if a.len() > PART => {
            let length = a.shape()[axis];
            let step = (PART / (a.len() / length)).max(1);
            for start in (0..length).step_by(step) {
                py.check_signals()?;
                done(Some((Axis(axis), Slice::from(start..length.min(start + step)))))?;
            }
            Ok(())
        }
        _ => done(None),
    }
}

/// Of each axis of an array of this rank, whether it is reduced over. What is no axis is left for the call to
/// complain of.
pub(crate) fn reduced(rank: usize, axis: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<bool>> {
    let Some(axis) = axis else { return Ok(vec![true; rank]) };
    let (axes, rank) = (indices(axis)?, rank as isize);
    Ok((0..rank).map(|i| axes.iter().any(|&axis| axis == i || axis == i - rank)).collect())
}

/// The shape of what is reduced, if all axes stay.
pub(crate) fn reduced_shape(shape: &[usize], reduced: &[bool]) -> Vec<usize> {
    shape.iter().zip(reduced).map(|(&length, &reduced)| if reduced { 1 } else { length }).collect()
}

/// Without the axes that are reduced over, unless they are to stay.
pub(crate) fn without_axes<T>(array: ArrayD<T>, reduced: &[bool], keep: bool) -> ArrayD<T> {
    let axes = (0..reduced.len()).rev().filter(|&axis| reduced[axis] && !keep);
    axes.fold(array, |array, axis| array.index_axis_move(Axis(axis), 0))
}
