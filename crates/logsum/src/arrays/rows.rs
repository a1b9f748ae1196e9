//! Arrays as rows: the axes that stay first, the reduced ones last, in C order. What lies otherwise in memory is copied first.

use crate::arrays::axes::Axes;
use crate::arrays::same_shape;
use crate::error::Error;
use crate::threads::{grain, join};
use ndarray::{Array, ArrayD, ArrayView, ArrayViewD, Axis, Dimension, IxDyn};
use std::borrow::Cow;

/// How an array of some shape is taken apart.
pub(super) struct Plan {
    shape: Vec<usize>,
    /// Of a result with one element for each lane.
    reduced_shape: Vec<usize>,
    /// The axes, those that stay first.
    order: Vec<usize>,
    /// How many axes stay.
    outer: usize,
    pub(super) count: usize,
    pub(super) length: usize,
}

/// The rows of one array.
pub(super) struct Rows<'a, A: Clone> {
    numbers: Cow<'a, [A]>,
    length: usize,
    /// Whether there is one row, which is each row.
    is_one: bool,
}

impl<A: Clone> Rows<'_, A> {
    /// One row after the other.
    pub(super) fn all(&self) -> &[A] {
        &self.numbers
    }

    pub(super) fn row(&self, index: usize) -> &[A] {
        let start = if self.is_one { 0 } else { index * self.length };
        &self.numbers[start..][..self.length]
    }
}

impl Plan {
    pub(super) fn new(shape: &[usize], axes: &Axes) -> Result<Self, Error> {
        let reduced = axes.reduced(shape.len())?;
        let reduced_shape = super::reduced_shape(shape, axes)?;
        let (inner, mut order): (Vec<usize>, Vec<usize>) = (0..shape.len()).partition(|&axis| reduced[axis]);
        let outer = order.len();
        order.extend(inner);
        let product = |axes: &[usize]| axes.iter().map(|&axis| shape[axis]).product();
        let (count, length) = (product(&order[..outer]), product(&order[outer..]));
        Ok(Self { shape: shape.to_vec(), reduced_shape, order, outer, count, length })
    }

    /// The array that this is the plan for.
    pub(super) fn rows<'a, A: Clone, D: Dimension>(
        &self,
        array: ArrayView<'a, A, D>,
    ) -> Result<Rows<'a, A>, Error> {
        self.broadcast("self", array)
    }

    /// An argument that has this shape, or broadcasts to it.
    pub(super) fn broadcast<'a, A: Clone, D: Dimension>(
        &self,
        argument: &'static str,
        array: ArrayView<'a, A, D>,
    ) -> Result<Rows<'a, A>, Error> {
        let found = array.shape().to_vec();
        let mismatch = || Error::ShapeMismatch {
            argument,
            expected: self.shape.clone(),
            found: found.clone(),
            broadcasts: true,
        };
        let array = array.into_dyn();
        // A view of a broadcast does not live as long as what it was made from.
        let is_whole = array.shape() == self.shape;
        let lanes_of = |array: ArrayViewD<'_, A>| {
            let wide =
                array.broadcast(IxDyn(&self.shape)).ok_or_else(mismatch)?.permuted_axes(IxDyn(&self.order));
            let mut wide = wide.view();
            let is_one = self.count > 1 && wide.strides()[..self.outer].iter().all(|&stride| stride == 0);
            if is_one {
                for _ in 0..self.outer {
                    wide = wide.index_axis_move(Axis(0), 0);
                }
            }
            Ok((wide.iter().cloned().collect::<Vec<A>>(), is_one))
        };
        if is_whole {
            let permuted = array.permuted_axes(IxDyn(&self.order));
            if let Some(numbers) = permuted.to_slice() {
                return Ok(Rows { numbers: Cow::Borrowed(numbers), length: self.length, is_one: false });
            }
            let numbers = permuted.iter().cloned().collect();
            return Ok(Rows { numbers: Cow::Owned(numbers), length: self.length, is_one: false });
        }
        let (numbers, is_one) = lanes_of(array)?;
        Ok(Rows { numbers: Cow::Owned(numbers), length: self.length, is_one })
    }

    /// The same, without broadcasting.
    pub(super) fn rows_of_shape<'a, A: Clone, D: Dimension>(
        &self,
        argument: &'static str,
        array: ArrayView<'a, A, D>,
    ) -> Result<Rows<'a, A>, Error> {
        same_shape(argument, &self.shape, array.shape())?;
        self.rows(array)
    }

    /// For results with so many elements a lane, where one axis is reduced.
    pub(super) fn with_length(mut self, length: usize) -> Self {
        if let Some(&axis) = self.order.last() {
            self.shape[axis] = length;
        }
        self.length = length;
        self
    }

    /// One element for each lane.
    pub(super) fn per_lane<A: Default>(&self, values: Vec<A>) -> ArrayD<A> {
        // As many values as the shape has places.
        ArrayD::from_shape_vec(IxDyn(&self.reduced_shape), values).unwrap_or_default()
    }

    /// One element for each of the input's.
    pub(super) fn per_element<A: Clone + Default, D: Dimension>(&self, numbers: Vec<A>) -> Array<A, D> {
        let permuted: Vec<usize> = self.order.iter().map(|&axis| self.shape[axis]).collect();
        let mut inverse = vec![0; self.order.len()];
        for (place, &axis) in self.order.iter().enumerate() {
            inverse[axis] = place;
        }
        let array = ArrayD::from_shape_vec(IxDyn(&permuted), numbers).unwrap_or_default();
        let array = array.permuted_axes(IxDyn(&inverse));
        let array = if array.is_standard_layout() { array } else { array.as_standard_layout().into_owned() };
        // The rank is D's: the shape came from an array of it.
        array.into_dimensionality().unwrap_or_default()
    }

    /// Calls `f` for each lane, with its place in each of the results, which have one element a lane, or one an element.
    pub(super) fn each<A: Clone + Default + Send, const N: usize>(
        &self,
        sizes: [PerLane; N],
        f: impl Fn(usize, [&mut [A]; N]) -> Result<(), Error> + Sync,
    ) -> Result<[Vec<A>; N], Error> {
        let lengths = sizes.map(|size| match size {
            PerLane::One => 1,
            PerLane::Each => self.length,
        });
        let mut results = lengths.map(|length| vec![A::default(); length * self.count]);
        let mut parts = results.iter_mut().map(Vec::as_mut_slice);
        let parts = std::array::from_fn(|_| parts.next().unwrap_or_default());
        let least = (grain(self.count * self.length) / self.length.max(1)).max(1);
        each_part(0, self.count, least, lengths, parts, &f)?;
        Ok(results)
    }
}

/// How many elements a result has for each lane.
#[derive(Clone, Copy)]
pub(super) enum PerLane {
    One,
    /// One for each element.
    Each,
}

fn each_part<A: Send, const N: usize>(
    start: usize,
    count: usize,
    least: usize,
    lengths: [usize; N],
    mut parts: [&mut [A]; N],
    f: &(impl Fn(usize, [&mut [A]; N]) -> Result<(), Error> + Sync),
) -> Result<(), Error> {
    if count >= 2 * least {
        let half = count / 2;
        let mut seconds = std::array::from_fn(|_| Default::default());
        let mut firsts = std::array::from_fn(|_| Default::default());
        for (k, part) in parts.into_iter().enumerate() {
            (firsts[k], seconds[k]) = part.split_at_mut(half * lengths[k]);
        }
        let (first, second) = join(
            || each_part(start, half, least, lengths, firsts, f),
            || each_part(start + half, count - half, least, lengths, seconds, f),
        );
        return first.and(second);
    }
    for index in 0..count {
        let mut lengths = lengths.into_iter();
        let places = parts.each_mut().map(|part| {
            let length = lengths.next().unwrap_or_default();
            &mut part[index * length..][..length]
        });
        f(start + index, places)?;
    }
    Ok(())
}
