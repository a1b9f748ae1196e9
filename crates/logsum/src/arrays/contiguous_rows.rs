//! Arrays as contiguous rows: the remaining axes first, the reduced axes last, in C order; other layouts are
//! copied.

use crate::arrays::axes::Axes;
use crate::error::Error;
use crate::threads::{in_parts, worth};
use ndarray::{Array, ArrayD, ArrayRef, ArrayViewMutD, Axis, Dimension, IxDyn};
use std::borrow::Cow;

/// The decomposition of an array of a given shape into rows, one for each index along the axes that remain.
pub(super) struct Plan {
    shape: Vec<usize>,
    /// The shape of a result with one element per row.
    pub(super) reduced_shape: Vec<usize>,
    /// All axes, those that remain first.
    pub(super) order: Vec<usize>,
    /// The number of axes that remain.
    pub(super) outer: usize,
    /// Whether results keep the reduced axes with length 1.
    keeps: bool,
    pub(super) count: usize,
    pub(super) length: usize,
}

/// The rows of one array.
pub(super) struct Rows<'a, A: Clone> {
    numbers: Cow<'a, [A]>,
    length: usize,
    /// Whether a single row stands for all rows, as after broadcasting along the axes that remain.
    is_one: bool,
}

impl<A: Clone> Rows<'_, A> {
    /// All rows, one after another.
    pub(super) fn all(&self) -> &[A] {
        &self.numbers
    }

    pub(super) fn row(&self, index: usize) -> &[A] {
        let start = if self.is_one { 0 } else { index * self.length };
        &self.numbers[start..][..self.length]
    }
}

impl Plan {
    pub(super) fn new<A, D: Dimension>(array: &ArrayRef<A, D>, axes: impl Into<Axes>) -> Result<Self, Error> {
        let (shape, axes) = (array.shape(), axes.into());
        let reduced = axes.reduced(shape.len())?;
        let keeps = axes.are_kept();
        let (inner, mut order): (Vec<usize>, Vec<usize>) = (0..shape.len()).partition(|&axis| reduced[axis]);
        let reduced_shape = (0..shape.len())
            .filter(|&axis| keeps || !reduced[axis])
            .map(|axis| if reduced[axis] { 1 } else { shape[axis] })
            .collect();
        let outer = order.len();
        order.extend(inner);
        let product = |axes: &[usize]| axes.iter().map(|&axis| shape[axis]).product();
        let (count, length) = (product(&order[..outer]), product(&order[outer..]));
        Ok(Self { shape: shape.to_vec(), reduced_shape, order, outer, keeps, count, length })
    }

    /// The rows of the array that this plan was made for.
    pub(super) fn rows<'a, A: Clone, D: Dimension>(&self, array: &'a ArrayRef<A, D>) -> Rows<'a, A> {
        self.broadcast("self", array).expect("the plan is for this shape")
    }

    /// The rows of an argument that has this plan's shape, or broadcasts to it.
    pub(super) fn broadcast<'a, A: Clone, D: Dimension>(
        &self,
        argument: &'static str,
        array: &'a ArrayRef<A, D>,
    ) -> Result<Rows<'a, A>, Error> {
        let (array, length) = (array.view().into_dyn(), self.length);
        if array.shape() == self.shape {
            let permuted = array.permuted_axes(IxDyn(&self.order));
            let numbers = match permuted.to_slice() {
                Some(numbers) => Cow::Borrowed(numbers),
                None => Cow::Owned(permuted.iter().cloned().collect()),
            };
            return Ok(Rows { numbers, length, is_one: false });
        }
        let wide = array.broadcast(IxDyn(&self.shape)).ok_or_else(|| Error::ShapeMismatch {
            argument,
            expected: self.shape.clone(),
            found: array.shape().to_vec(),
            broadcasts: true,
        })?;
        let mut wide = wide.permuted_axes(IxDyn(&self.order));
        let is_one = self.count > 1 && wide.strides()[..self.outer].iter().all(|&stride| stride == 0);
        if is_one {
            for _ in 0..self.outer {
                wide = wide.index_axis_move(Axis(0), 0);
            }
        }
        // The broadcast view does not live long enough to be borrowed.
        Ok(Rows { numbers: Cow::Owned(wide.iter().cloned().collect()), length, is_one })
    }

    /// The rows of an argument that has this plan's shape.
    pub(super) fn rows_of_shape<'a, A: Clone, D: Dimension>(
        &self,
        argument: &'static str,
        array: &'a ArrayRef<A, D>,
    ) -> Result<Rows<'a, A>, Error> {
        same_shape(argument, &self.shape, array.shape())?;
        Ok(self.rows(array))
    }

    /// A view of an output with one element per row, without any kept axes of length 1.
    pub(super) fn one_per_row<'o, T>(
        &self,
        argument: &'static str,
        mut out: ArrayViewMutD<'o, T>,
    ) -> Result<ArrayViewMutD<'o, T>, Error> {
        same_shape(argument, &self.reduced_shape, out.shape())?;
        for &axis in self.order[self.outer..].iter().rev().filter(|_| self.keeps) {
            out = out.index_axis_move(Axis(axis), 0);
        }
        Ok(out)
    }

    /// A view of an output of the input's shape, with the axes that remain first.
    pub(super) fn one_per_element<'o, T>(
        &self,
        argument: &'static str,
        out: ArrayViewMutD<'o, T>,
    ) -> Result<ArrayViewMutD<'o, T>, Error> {
        same_shape(argument, &self.shape, out.shape())?;
        Ok(out.permuted_axes(IxDyn(&self.order)))
    }

    /// The plan for results with `length` elements per row, if one axis is reduced.
    pub(super) fn with_length(mut self, length: usize) -> Self {
        let axis = *self.order.last().expect("one axis is reduced");
        self.shape[axis] = length;
        self.length = length;
        self
    }

    /// An array with one element per row.
    pub(super) fn per_row<A>(&self, values: Vec<A>) -> ArrayD<A> {
        ArrayD::from_shape_vec(IxDyn(&self.reduced_shape), values).expect("one value for each row")
    }

    /// An array with one element per element of the input.
    pub(super) fn per_element<A: Clone, D: Dimension>(&self, numbers: Vec<A>) -> Array<A, D> {
        let permuted: Vec<usize> = self.order.iter().map(|&axis| self.shape[axis]).collect();
        let mut inverse = vec![0; self.order.len()];
        for (place, &axis) in self.order.iter().enumerate() {
            inverse[axis] = place;
        }
        let array = ArrayD::from_shape_vec(IxDyn(&permuted), numbers)
            .expect("as many numbers as the shape has places");
        let array = array.permuted_axes(IxDyn(&inverse));
        let array = if array.is_standard_layout() { array } else { array.as_standard_layout().into_owned() };
        array.into_dimensionality().expect("the shape came from an array of this dimension")
    }

    /// Calls `f` for each row, with the row's part of each result.
    pub(super) fn each<A: Clone + Default + Send, const N: usize>(
        &self,
        sizes: [PerRow; N],
        f: impl Fn(usize, [&mut [A]; N]) + Sync,
    ) -> [Vec<A>; N] {
        let mut results = sizes.map(|size| {
            let length = if size == PerRow::One { 1 } else { self.length };
            (vec![A::default(); length * self.count], length)
        });
        let out = results.each_mut().map(|(result, length)| (&mut result[..], *length));
        let least = worth(self.count, self.length);
        in_parts(0..self.count, out, least, 1, &mut (), &|rows, mut out, ()| {
            for (i, row) in rows.enumerate() {
                f(row, out.each_mut().map(|(out, length)| &mut out[i * *length..][..*length]));
            }
        });
        results.map(|(result, _)| result)
    }
}

/// The number of elements of a result per row.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum PerRow {
    One,
    /// One per element of the row.
    Each,
}

pub(super) fn same_shape(argument: &'static str, expected: &[usize], found: &[usize]) -> Result<(), Error> {
    if expected == found {
        return Ok(());
    }
    let (expected, found) = (expected.to_vec(), found.to_vec());
    Err(Error::ShapeMismatch { argument, expected, found, broadcasts: false })
}
