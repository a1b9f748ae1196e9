//! Arrays as contiguous rows: the remaining axes first, the reduced axes last, in C order; rows of other layouts are
//! copied one by one.

use crate::arrays::axes::Axes;
use crate::error::Error;
use crate::interrupt::checkpoint;
use crate::memory::{has_room, zeros};
use crate::threads::{in_parts, worth};
use ndarray::{
    Array, ArrayBase, ArrayD, ArrayRef, ArrayView2, ArrayViewD, ArrayViewMutD, Axis, CowArray, Dimension,
    IxDyn, RawData,
};
use std::borrow::Cow;

/// The decomposition of an array of a given shape into rows, one for each index along the axes that remain.
pub(super) struct Plan {
    pub(super) shape: Vec<usize>,
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
pub(super) enum Rows<'a, A: Clone> {
    /// One after another, each of this length.
    Contiguous(Cow<'a, [A]>, usize),
    Strided(ArrayView2<'a, A>),
}

impl<A: Clone> Rows<'_, A> {
    /// All rows, one after another.
    pub(super) fn all(&self) -> Result<Cow<'_, [A]>, Error> {
        Ok(match self {
            Self::Contiguous(numbers, _) => Cow::Borrowed(numbers),
            Self::Strided(rows) => {
                has_room::<A>(rows.len())?;
                let numbers = rows.outer_iter().flat_map(|row| {
                    checkpoint();
                    row.into_iter().cloned()
                });
                numbers.collect()
            }
        })
    }

    pub(super) fn row(&self, index: usize) -> Cow<'_, [A]> {
        match self {
            Self::Contiguous(numbers, length) => Cow::Borrowed(&numbers[index * length..][..*length]),
            Self::Strided(rows) => {
                let row = rows.index_axis(Axis(0), index);
                row.to_slice().map_or_else(|| row.iter().cloned().collect(), Cow::Borrowed)
            }
        }
    }
}

/// The axes that remain as one axis, and those that are reduced, if the strides allow it.
fn as_matrix<A>(mut array: ArrayViewD<'_, A>, outer: usize) -> Option<ArrayView2<'_, A>> {
    let inner = array.ndim() - outer;
    for _ in 1..inner {
        array = merged(array, outer)?;
    }
    for _ in 1..outer {
        array = merged(array, 0)?;
    }
    if outer == 0 {
        array = array.insert_axis(Axis(0));
    }
    if inner == 0 {
        array = array.insert_axis(Axis(1));
    }
    array.into_dimensionality().ok()
}

/// Merges an axis and the next into one, if the strides allow it.
pub(super) fn merged<S: RawData>(
    mut array: ArrayBase<S, IxDyn>,
    first: usize,
) -> Option<ArrayBase<S, IxDyn>> {
    // Without rows there is nothing to merge.
    let has_rows = array.shape()[first] > 0 && array.shape()[first + 1] > 0;
    (has_rows && array.merge_axes(Axis(first), Axis(first + 1))).then(|| array.remove_axis(Axis(first)))
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
    pub(super) fn rows<'a, A: Clone, D: Dimension>(
        &self,
        array: &'a ArrayRef<A, D>,
    ) -> Result<Rows<'a, A>, Error> {
        self.broadcast("self", array)
    }

    /// The rows of an argument that has this plan's shape, or broadcasts to it.
    pub(super) fn broadcast<'a, A: Clone, D: Dimension>(
        &self,
        argument: &'static str,
        array: &'a ArrayRef<A, D>,
    ) -> Result<Rows<'a, A>, Error> {
        let wide = array.broadcast(IxDyn(&self.shape)).ok_or_else(|| Error::ShapeMismatch {
            argument,
            expected: self.shape.clone(),
            found: array.shape().to_vec(),
            broadcasts: true,
        })?;
        let permuted = wide.permuted_axes(IxDyn(&self.order));
        if let Some(numbers) = permuted.to_slice() {
            return Ok(Rows::Contiguous(Cow::Borrowed(numbers), self.length));
        }
        let matrix = as_matrix(permuted.clone(), self.outer);
        // Rows are copied one at a time, or all together.
        has_room::<A>(if matrix.is_some() { self.length } else { permuted.len() })?;
        Ok(match matrix {
            Some(rows) => Rows::Strided(rows),
            None => Rows::Contiguous(permuted.iter().cloned().collect(), self.length),
        })
    }

    /// The rows of an argument that has this plan's shape.
    pub(super) fn rows_of_shape<'a, A: Clone, D: Dimension>(
        &self,
        argument: &'static str,
        array: &'a ArrayRef<A, D>,
    ) -> Result<Rows<'a, A>, Error> {
        same_shape(argument, &self.shape, array.shape())?;
        self.rows(array)
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
    pub(super) fn per_element<A: Clone, D: Dimension>(&self, numbers: Vec<A>) -> Result<Array<A, D>, Error> {
        let permuted: Vec<usize> = self.order.iter().map(|&axis| self.shape[axis]).collect();
        let mut inverse = vec![0; self.order.len()];
        for (place, &axis) in self.order.iter().enumerate() {
            inverse[axis] = place;
        }
        let array = ArrayD::from_shape_vec(IxDyn(&permuted), numbers)
            .expect("as many numbers as the shape has places");
        let array = array.permuted_axes(IxDyn(&inverse));
        let array = if array.is_standard_layout() {
            array
        } else {
            has_room::<A>(array.len())?;
            array.as_standard_layout().into_owned()
        };
        Ok(array.into_dimensionality().expect("the shape came from an array of this dimension"))
    }

    /// Calls `f` for each row, with the row's part of each result.
    pub(super) fn each<A: Clone + Default + Send, const N: usize>(
        &self,
        sizes: [PerRow; N],
        f: impl Fn(usize, [&mut [A]; N]) + Sync,
    ) -> Result<[Vec<A>; N], Error> {
        let mut results = sizes.map(|size| (Vec::new(), if size == PerRow::One { 1 } else { self.length }));
        for (result, length) in &mut results {
            *result = zeros(*length * self.count)?;
        }
        // There may be very many rows without elements.
        if results.iter().all(|(result, _)| result.is_empty()) {
            return Ok(results.map(|(result, _)| result));
        }
        let out = results.each_mut().map(|(result, length)| (&mut result[..], *length));
        let least = worth(self.count, self.length);
        in_parts(0..self.count, out, least, 1, &mut (), &|rows, mut out, ()| {
            for (i, row) in rows.enumerate() {
                f(row, out.each_mut().map(|(out, length)| &mut out[i * *length..][..*length]));
            }
        });
        Ok(results.map(|(result, _)| result))
    }
}

/// The number of elements of a result per row.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum PerRow {
    One,
    /// One per element of the row.
    Each,
}

/// The number of elements of an array of this shape; `None` if there is no such array. Even for an empty array, the
/// lengths other than 0 have a product of at most `isize::MAX`.
pub(super) fn size_of_shape(shape: &[usize]) -> Option<usize> {
    let mut lengths = shape.iter().filter(|&&length| length > 0);
    let product = lengths.try_fold(1_usize, |product, &length| product.checked_mul(length))?;
    isize::try_from(product).ok()?;
    Some(if shape.contains(&0) { 0 } else { product })
}

/// The array in standard layout, copied if it is not.
pub(super) fn standard<T: Clone, D: Dimension>(array: &ArrayRef<T, D>) -> Result<CowArray<'_, T, D>, Error> {
    if !array.is_standard_layout() {
        has_room::<T>(array.len())?;
    }
    Ok(array.as_standard_layout())
}

pub(super) fn same_shape(argument: &'static str, expected: &[usize], found: &[usize]) -> Result<(), Error> {
    if expected == found {
        return Ok(());
    }
    let (expected, found) = (expected.to_vec(), found.to_vec());
    Err(Error::ShapeMismatch { argument, expected, found, broadcasts: false })
}
