//! The operations on ndarray's arrays and views, over any axes and in any layout.

mod array_terms;
mod axes;
#[cfg(feature = "complex")]
mod complex;
mod matmul;
mod rows;

pub use array_terms::ArrayTerms;
pub use axes::Axes;
#[cfg(feature = "complex")]
pub use complex::ComplexLogSumExp;
pub use matmul::LogMatmul;

use rows::{PerLane, Plan};

use crate::error::Error;
use crate::kernels::Each;
use crate::kernels::series::{PIECE, Series, SeriesMut};
use crate::operations::Float;
use crate::operations::batch::{Columns, Wanted};
use crate::operations::{self, CrossEntropy, Cumulative, Reduction, Segments, Targets, each};
use ndarray::{
    Array, ArrayBase, ArrayD, ArrayRef, ArrayViewD, ArrayViewMut, ArrayViewMutD, Axis, Dimension, IxDyn,
    RawData,
};

/// [`logsumexp`](crate::logsumexp) and its family as methods of ndarray's arrays and views.
///
/// `axes` is whatever converts into [`Axes`]: `-1`, `[0, 2]`, [`Axes::all()`]. Any layout is read in place: C or
/// Fortran order, negative strides, gaps, and the stride 0 of a broadcast axis. A lane without elements has the
/// log-sum-exp −∞. The `_into` forms write into arrays that the caller provides, and allocate nothing that grows
/// with the input; the others allocate their result and nothing else that grows.
///
/// ```
/// use logsum::LogSumExp;
/// use ndarray::array;
/// let z = array![[1e4, 1e4], [0.0, f64::NEG_INFINITY]];
/// assert_eq!(z.logsumexp(1)?, array![1e4 + 2f64.ln(), 0.0].into_dyn());
/// assert_eq!(z.softmax(-1)?, array![[0.5, 0.5], [1.0, 0.0]]);
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// [`Error::AxisOutOfRange`] and [`Error::AxisTwice`] speak of the axes, [`Error::ShapeMismatch`] of another array's shape,
/// [`Error::AxisLengthMismatch`] of an axis that does not fit the segments or classes. Nothing is written then.
pub trait LogSumExp<T: Float, D: Dimension> {
    /// The log-sum-exp over the axes, correctly rounded.
    fn logsumexp(&self, axes: impl Into<Axes>) -> Result<ArrayD<T>, Error>;

    /// Writes [`logsumexp`](LogSumExp::logsumexp) into `out`, whose shape is the result's.
    fn logsumexp_into<E: Dimension>(
        &self,
        axes: impl Into<Axes>,
        out: ArrayViewMut<'_, T, E>,
    ) -> Result<(), Error>;

    /// The log-sum-exp over the axes, and its gradient, which has the input's shape.
    fn logsumexp_with_gradient(&self, axes: impl Into<Axes>) -> Result<(ArrayD<T>, Array<T, D>), Error>;

    /// Writes [`logsumexp_with_gradient`](LogSumExp::logsumexp_with_gradient) into `value` and `gradient`.
    fn logsumexp_with_gradient_into<E: Dimension>(
        &self,
        axes: impl Into<Axes>,
        value: ArrayViewMut<'_, T, E>,
        gradient: ArrayViewMut<'_, T, D>,
    ) -> Result<(), Error>;

    /// e^{z − LSE(z)}, with the log-sum-exp over the axes.
    fn softmax(&self, axes: impl Into<Axes>) -> Result<Array<T, D>, Error>;

    /// Writes [`softmax`](LogSumExp::softmax) into `out`.
    fn softmax_into(&self, axes: impl Into<Axes>, out: ArrayViewMut<'_, T, D>) -> Result<(), Error>;

    /// z − LSE(z), with the log-sum-exp over the axes.
    fn log_softmax(&self, axes: impl Into<Axes>) -> Result<Array<T, D>, Error>;

    /// Writes [`log_softmax`](LogSumExp::log_softmax) into `out`.
    fn log_softmax_into(&self, axes: impl Into<Axes>, out: ArrayViewMut<'_, T, D>) -> Result<(), Error>;

    /// The terms e^{z_k} over the axes, to be given weights, a mask, or a choice at no mass.
    fn terms(&self, axes: impl Into<Axes>) -> Result<ArrayTerms<'_, T, D>, Error>;

    /// [`logsumexp_jvp`](crate::logsumexp_jvp) of each lane: values and derivatives in the direction `tangent`.
    fn logsumexp_jvp(
        &self,
        axes: impl Into<Axes>,
        tangent: &ArrayRef<T, D>,
    ) -> Result<(ArrayD<T>, ArrayD<T>), Error>;

    /// [`logsumexp_hvp`](crate::logsumexp_hvp) of each lane: the Hessian times a vector of the input's shape.
    fn logsumexp_hvp(&self, axes: impl Into<Axes>, vector: &ArrayRef<T, D>) -> Result<Array<T, D>, Error>;

    /// [`logmeanexp`](crate::logmeanexp) of each lane.
    fn logmeanexp(&self, axes: impl Into<Axes>) -> Result<ArrayD<T>, Error>;

    /// [`logvarexp`](crate::logvarexp) of each lane.
    fn logvarexp(&self, axes: impl Into<Axes>, ddof: usize) -> Result<ArrayD<T>, Error>;

    /// [`logvarexp_with_gradient`](crate::logvarexp_with_gradient) of each lane.
    fn logvarexp_with_gradient(
        &self,
        axes: impl Into<Axes>,
        ddof: usize,
    ) -> Result<(ArrayD<T>, Array<T, D>), Error>;

    /// [`softmax_entropy`](crate::softmax_entropy) of each lane.
    fn softmax_entropy(&self, axes: impl Into<Axes>) -> Result<ArrayD<T>, Error>;

    /// [`softmax_entropy_with_gradient`](crate::softmax_entropy_with_gradient) of each lane.
    fn softmax_entropy_with_gradient(&self, axes: impl Into<Axes>)
    -> Result<(ArrayD<T>, Array<T, D>), Error>;

    /// [`Cumulative::logsumexp`] along one axis.
    fn logcumsumexp(&self, axis: isize, which: Cumulative) -> Result<Array<T, D>, Error>;

    /// [`Segments::logsumexp`] along one axis, which then numbers the segments.
    fn segment_logsumexp(&self, axis: isize, segments: &Segments) -> Result<ArrayD<T>, Error>;

    /// [`CrossEntropy::loss_with_gradient`], with the classes along `axis`, and targets for the lanes in order. Probabilities lie
    /// lane by lane.
    fn cross_entropy_with_gradient(
        &self,
        axis: isize,
        loss: &CrossEntropy<'_, T>,
        targets: Targets<'_, T>,
        reduction: Reduction,
    ) -> Result<(T, Array<T, D>), Error>;

    /// [`logaddexp`](crate::logaddexp) of each pair; `other` broadcasts to this array's shape.
    fn logaddexp<E: Dimension>(&self, other: &ArrayRef<T, E>) -> Result<Array<T, D>, Error>;

    /// [`logsubexp`](crate::logsubexp) of each pair; `other` broadcasts to this array's shape.
    fn logsubexp<E: Dimension>(&self, other: &ArrayRef<T, E>) -> Result<Array<T, D>, Error>;

    /// [`xlogy`](crate::xlogy) of each pair; `y` broadcasts to this array's shape.
    fn xlogy<E: Dimension>(&self, y: &ArrayRef<T, E>) -> Result<Array<T, D>, Error>;

    /// [`log1pexp`](crate::log1pexp) of each element.
    fn log1pexp(&self) -> Array<T, D>;

    /// [`log1mexp`](crate::log1mexp) of each element.
    fn log1mexp(&self) -> Array<T, D>;

    /// [`logexpm1`](crate::logexpm1) of each element.
    fn logexpm1(&self) -> Array<T, D>;

    /// [`log_logistic`](crate::log_logistic) of each element.
    fn log_logistic(&self) -> Array<T, D>;

    /// [`logistic`](crate::logistic) of each element.
    fn logistic(&self) -> Array<T, D>;

    /// [`logit`](crate::logit) of each element.
    fn logit(&self) -> Array<T, D>;

    /// [`xlogx`](crate::xlogx) of each element.
    fn xlogx(&self) -> Array<T, D>;
}

impl<T: Float, D: Dimension> LogSumExp<T, D> for ArrayRef<T, D> {
    fn logsumexp(&self, axes: impl Into<Axes>) -> Result<ArrayD<T>, Error> {
        let axes = axes.into();
        let mut out = ArrayD::default(reduced_shape(self.shape(), &axes)?);
        self.logsumexp_into(axes, out.view_mut())?;
        Ok(out)
    }

    fn logsumexp_into<E: Dimension>(
        &self,
        axes: impl Into<Axes>,
        out: ArrayViewMut<'_, T, E>,
    ) -> Result<(), Error> {
        let lanes = Lanes::new(self, &axes.into())?;
        let out = lanes.one_per_lane("out", out.into_dyn())?;
        lanes.reduce(Some(out), None);
        Ok(())
    }

    fn logsumexp_with_gradient(&self, axes: impl Into<Axes>) -> Result<(ArrayD<T>, Array<T, D>), Error> {
        let axes = axes.into();
        let mut value = ArrayD::default(reduced_shape(self.shape(), &axes)?);
        let mut gradient = Array::default(self.raw_dim());
        self.logsumexp_with_gradient_into(axes, value.view_mut(), gradient.view_mut())?;
        Ok((value, gradient))
    }

    fn logsumexp_with_gradient_into<E: Dimension>(
        &self,
        axes: impl Into<Axes>,
        value: ArrayViewMut<'_, T, E>,
        gradient: ArrayViewMut<'_, T, D>,
    ) -> Result<(), Error> {
        let lanes = Lanes::new(self, &axes.into())?;
        let (value, gradient) = (
            lanes.one_per_lane("value", value.into_dyn())?,
            lanes.one_per_element("gradient", gradient.into_dyn())?,
        );
        lanes.reduce(Some(value), Some((Each::Share, gradient)));
        Ok(())
    }

    fn softmax(&self, axes: impl Into<Axes>) -> Result<Array<T, D>, Error> {
        let mut out = Array::default(self.raw_dim());
        self.softmax_into(axes, out.view_mut())?;
        Ok(out)
    }

    fn softmax_into(&self, axes: impl Into<Axes>, out: ArrayViewMut<'_, T, D>) -> Result<(), Error> {
        let lanes = Lanes::new(self, &axes.into())?;
        let out = lanes.one_per_element("out", out.into_dyn())?;
        lanes.reduce(None, Some((Each::Share, out)));
        Ok(())
    }

    fn log_softmax(&self, axes: impl Into<Axes>) -> Result<Array<T, D>, Error> {
        let mut out = Array::default(self.raw_dim());
        self.log_softmax_into(axes, out.view_mut())?;
        Ok(out)
    }

    fn log_softmax_into(&self, axes: impl Into<Axes>, out: ArrayViewMut<'_, T, D>) -> Result<(), Error> {
        let lanes = Lanes::new(self, &axes.into())?;
        let out = lanes.one_per_element("out", out.into_dyn())?;
        lanes.reduce(None, Some((Each::LogShare, out)));
        Ok(())
    }

    fn terms(&self, axes: impl Into<Axes>) -> Result<ArrayTerms<'_, T, D>, Error> {
        ArrayTerms::new(self, &axes.into())
    }

    fn logsumexp_jvp(
        &self,
        axes: impl Into<Axes>,
        tangent: &ArrayRef<T, D>,
    ) -> Result<(ArrayD<T>, ArrayD<T>), Error> {
        self.terms(axes)?.jvp(tangent)
    }

    fn logsumexp_hvp(&self, axes: impl Into<Axes>, vector: &ArrayRef<T, D>) -> Result<Array<T, D>, Error> {
        self.terms(axes)?.hvp(vector)
    }

    fn logmeanexp(&self, axes: impl Into<Axes>) -> Result<ArrayD<T>, Error> {
        per_lane(self, axes, operations::logmeanexp)
    }

    fn logvarexp(&self, axes: impl Into<Axes>, ddof: usize) -> Result<ArrayD<T>, Error> {
        per_lane(self, axes, |z| operations::logvarexp(z, ddof))
    }

    fn logvarexp_with_gradient(
        &self,
        axes: impl Into<Axes>,
        ddof: usize,
    ) -> Result<(ArrayD<T>, Array<T, D>), Error> {
        with_gradient(self, axes, |z, out| operations::logvarexp_with_gradient(z, ddof, out))
    }

    fn softmax_entropy(&self, axes: impl Into<Axes>) -> Result<ArrayD<T>, Error> {
        per_lane(self, axes, operations::softmax_entropy)
    }

    fn softmax_entropy_with_gradient(
        &self,
        axes: impl Into<Axes>,
    ) -> Result<(ArrayD<T>, Array<T, D>), Error> {
        with_gradient(self, axes, operations::softmax_entropy_with_gradient)
    }

    fn logcumsumexp(&self, axis: isize, which: Cumulative) -> Result<Array<T, D>, Error> {
        let plan = Plan::new(self.shape(), &Axes::from(axis))?;
        let z = plan.rows(self.view())?;
        let mut out = vec![T::default(); z.all().len()];
        T::cumulative_rows(which, z.all(), plan.length, &mut out);
        Ok(plan.per_element(out))
    }

    fn segment_logsumexp(&self, axis: isize, segments: &Segments) -> Result<ArrayD<T>, Error> {
        let plan = Plan::new(self.shape(), &Axes::from(axis))?;
        segments.fit_axis(axis, plan.length)?;
        let z = plan.rows(self.view())?;
        let mut values = vec![T::default(); plan.count * segments.count()];
        for (i, out) in values.chunks_mut(segments.count().max(1)).enumerate() {
            segments.logsumexp(z.row(i), out)?;
        }
        Ok(plan.with_length(segments.count()).per_element(values))
    }

    fn cross_entropy_with_gradient(
        &self,
        axis: isize,
        loss: &CrossEntropy<'_, T>,
        targets: Targets<'_, T>,
        reduction: Reduction,
    ) -> Result<(T, Array<T, D>), Error> {
        let plan = Plan::new(self.shape(), &Axes::from(axis))?;
        let z = plan.rows(self.view())?;
        loss.has_classes(axis, plan.length)?;
        let mut gradient = vec![T::default(); z.all().len()];
        let value = loss.loss_with_gradient(z.all(), targets, reduction, &mut gradient)?;
        Ok((value, plan.per_element(gradient)))
    }

    fn logaddexp<E: Dimension>(&self, other: &ArrayRef<T, E>) -> Result<Array<T, D>, Error> {
        of_pairs(self, ("other", other), each::logaddexp)
    }

    fn logsubexp<E: Dimension>(&self, other: &ArrayRef<T, E>) -> Result<Array<T, D>, Error> {
        of_pairs(self, ("other", other), each::logsubexp)
    }

    fn xlogy<E: Dimension>(&self, y: &ArrayRef<T, E>) -> Result<Array<T, D>, Error> {
        of_pairs(self, ("y", y), each::xlogy)
    }

    fn log1pexp(&self) -> Array<T, D> {
        of_each(self, each::log1pexp)
    }

    fn log1mexp(&self) -> Array<T, D> {
        of_each(self, each::log1mexp)
    }

    fn logexpm1(&self) -> Array<T, D> {
        of_each(self, each::logexpm1)
    }

    fn log_logistic(&self) -> Array<T, D> {
        of_each(self, each::log_logistic)
    }

    fn logistic(&self) -> Array<T, D> {
        of_each(self, each::logistic)
    }

    fn logit(&self) -> Array<T, D> {
        of_each(self, each::logit)
    }

    fn xlogx(&self) -> Array<T, D> {
        of_each(self, each::xlogx)
    }
}

/// A function of each lane.
fn per_lane<T: Float, D: Dimension>(
    z: &ArrayRef<T, D>,
    axes: impl Into<Axes>,
    f: impl Fn(&[T]) -> T + Sync,
) -> Result<ArrayD<T>, Error> {
    let plan = Plan::new(z.shape(), &axes.into())?;
    let z = plan.rows(z.view())?;
    let [value] = plan.each([PerLane::One], |i, [value]| {
        value[0] = f(z.row(i));
        Ok(())
    })?;
    Ok(plan.per_lane(value))
}

/// A function of each lane, and its gradient.
fn with_gradient<T: Float, D: Dimension>(
    z: &ArrayRef<T, D>,
    axes: impl Into<Axes>,
    f: impl Fn(&[T], &mut [T]) -> Result<T, Error> + Sync,
) -> Result<(ArrayD<T>, Array<T, D>), Error> {
    let plan = Plan::new(z.shape(), &axes.into())?;
    let z = plan.rows(z.view())?;
    let [value, gradient] = plan.each([PerLane::One, PerLane::Each], |i, [value, gradient]| {
        value[0] = f(z.row(i), gradient)?;
        Ok(())
    })?;
    Ok((plan.per_lane(value), plan.per_element(gradient)))
}

/// A function of each element, where all are one lane.
fn of_each<T: Float, D: Dimension>(
    x: &ArrayRef<T, D>,
    f: impl Fn(&[T], &mut [T]) -> Result<(), Error>,
) -> Array<T, D> {
    let x = x.as_standard_layout();
    let mut out = Array::default(x.raw_dim());
    if let (Some(x), Some(out)) = (x.as_slice(), out.as_slice_mut()) {
        // The lengths are equal.
        f(x, out).unwrap_or_default();
    }
    out
}

fn of_pairs<T: Float, D: Dimension, E: Dimension>(
    a: &ArrayRef<T, D>,
    (argument, b): (&'static str, &ArrayRef<T, E>),
    f: impl Fn(&[T], &[T], &mut [T]) -> Result<(), Error> + Sync,
) -> Result<Array<T, D>, Error> {
    let plan = Plan::new(a.shape(), &Axes::all())?;
    let (a, b) = (plan.rows(a.view())?, plan.broadcast(argument, b.view())?);
    let [out] = plan.each([PerLane::Each], |i, [out]| f(a.row(i), b.row(i), out))?;
    Ok(plan.per_element(out))
}

/// The shape of a result with one element per lane.
fn reduced_shape(shape: &[usize], axes: &Axes) -> Result<Vec<usize>, Error> {
    let reduced = axes.reduced(shape.len())?;
    let lengths = shape.iter().zip(reduced).filter_map(|(&length, reduced)| match reduced {
        true => axes.are_kept().then_some(1),
        false => Some(length),
    });
    Ok(lengths.collect())
}

/// An array seen as its lanes: the axes that stay come first, the reduced ones after them, each group in order.
struct Lanes<'a, T> {
    z: ArrayViewD<'a, T>,
    shape: Vec<usize>,
    reduced_shape: Vec<usize>,
    /// The axes of `shape`, those that stay first.
    order: Vec<usize>,
    /// How many axes stay.
    outer: usize,
    /// The reduced axes, if results keep them.
    kept: Vec<usize>,
}

impl<'a, T: Float> Lanes<'a, T> {
    fn new<D: Dimension>(z: &'a ArrayRef<T, D>, axes: &Axes) -> Result<Self, Error> {
        let shape = z.shape().to_vec();
        let reduced = axes.reduced(shape.len())?;
        let reduced_shape = reduced_shape(&shape, axes)?;
        let (inner, mut order): (Vec<usize>, Vec<usize>) = (0..shape.len()).partition(|&axis| reduced[axis]);
        let outer = order.len();
        order.extend(&inner);
        let z = z.view().into_dyn().permuted_axes(IxDyn(&order));
        Ok(Self {
            z,
            shape,
            reduced_shape,
            order,
            outer,
            kept: if axes.are_kept() { inner } else { Vec::new() },
        })
    }

    /// A result with one element per lane, without the axes of length 1 that it may have kept.
    fn one_per_lane<'o>(
        &self,
        argument: &'static str,
        mut out: ArrayViewMutD<'o, T>,
    ) -> Result<ArrayViewMutD<'o, T>, Error> {
        same_shape(argument, &self.reduced_shape, out.shape())?;
        for &axis in self.kept.iter().rev() {
            out = out.index_axis_move(Axis(axis), 0);
        }
        Ok(out)
    }

    /// A result of the input's shape, with its axes in the order of the lanes.
    fn one_per_element<'o>(
        &self,
        argument: &'static str,
        out: ArrayViewMutD<'o, T>,
    ) -> Result<ArrayViewMutD<'o, T>, Error> {
        same_shape(argument, &self.shape, out.shape())?;
        Ok(out.permuted_axes(IxDyn(&self.order)))
    }

    /// Reduces every lane: its value, and a function of each element.
    fn reduce(&self, value: Option<ArrayViewMutD<'_, T>>, each: Option<(Each, ArrayViewMutD<'_, T>)>) {
        reduce(self.z.view(), Wanted { value, each }, self.outer);
    }
}

/// The first `outer` axes of all arrays are the ones that stay. Many lanes at once where memory allows it.
fn reduce<T: Float>(
    z: ArrayViewD<'_, T>,
    mut wanted: Wanted<ArrayViewMutD<'_, T>, ArrayViewMutD<'_, T>>,
    outer: usize,
) {
    if outer == 0 {
        let Wanted { mut value, mut each } = wanted;
        let mut scatter = each.as_mut().map(|(each, out)| (*each, Scatter::new(out)));
        let each = scatter.as_mut().map(|(each, out)| (*each, out as &mut dyn SeriesMut<T>));
        let mut of_all = T::default();
        T::reduce_series(&z, Wanted { value: value.is_some().then_some(&mut of_all), each });
        if let Some(value) = &mut value {
            value.fill(of_all);
        }
        return;
    }
    let count: usize = z.shape()[..outer].iter().product();
    let length: usize = z.shape()[outer..].iter().product();
    if count > 1 && length > 0 {
        if let (Some(z), Some(wanted)) = (z.as_slice(), wanted.as_rows()) {
            return T::reduce_rows(z, length, wanted);
        }
        if outer == 1
            && let (Some(z), Some(wanted)) = (first_axis_last(z.view()).to_slice(), wanted.as_columns(count))
        {
            return T::reduce_columns(Columns { z, pitch: count, start: 0, count }, wanted);
        }
    }
    for (index, z) in z.outer_iter().enumerate() {
        let value = wanted.value.as_mut().map(|value| value.index_axis_mut(Axis(0), index));
        let each = wanted.each.as_mut().map(|(each, out)| (*each, out.index_axis_mut(Axis(0), index)));
        reduce(z, Wanted { value, each }, outer - 1);
    }
}

/// With the lanes as the columns of a table.
fn first_axis_last<S: RawData>(array: ArrayBase<S, IxDyn>) -> ArrayBase<S, IxDyn> {
    let rank = array.ndim();
    array.permuted_axes(IxDyn(&(1..rank).chain([0]).collect::<Vec<_>>()))
}

impl<T> Wanted<ArrayViewMutD<'_, T>, ArrayViewMutD<'_, T>> {
    /// The results as slices, if they lie in memory as rows do.
    fn as_rows(&mut self) -> Option<Wanted<&mut [T], &mut [T]>> {
        let value = match &mut self.value {
            Some(value) => Some(value.as_slice_mut()?),
            None => None,
        };
        let each = match &mut self.each {
            Some((each, out)) => Some((*each, out.as_slice_mut()?)),
            None => None,
        };
        Some(Wanted { value, each })
    }

    /// The results as slices, if they lie in memory as columns do.
    fn as_columns(&mut self, count: usize) -> Option<Wanted<&mut [T], Vec<&mut [T]>>> {
        let value = match &mut self.value {
            Some(value) => Some(value.as_slice_mut()?),
            None => None,
        };
        let each = match &mut self.each {
            Some((each, out)) => {
                let out = first_axis_last(out.view_mut()).into_slice()?;
                Some((*each, out.chunks_mut(count).collect()))
            }
            None => None,
        };
        Some(Wanted { value, each })
    }
}

fn same_shape(argument: &'static str, expected: &[usize], found: &[usize]) -> Result<(), Error> {
    if expected == found {
        return Ok(());
    }
    let (expected, found) = (expected.to_vec(), found.to_vec());
    Err(Error::ShapeMismatch { argument, expected, found, broadcasts: false })
}

impl<T: Float> Series<T> for ArrayViewD<'_, T> {
    fn pieces(&self, read: &mut dyn FnMut(&[T])) {
        if let Some(contiguous) = self.as_slice() {
            return contiguous.pieces(read);
        }
        let mut numbers = self.iter().copied();
        let mut gathered = Vec::with_capacity(self.len().min(PIECE));
        loop {
            gathered.clear();
            gathered.extend(numbers.by_ref().take(PIECE));
            if gathered.is_empty() {
                return;
            }
            read(&gathered);
        }
    }

    fn len(&self) -> usize {
        self.len()
    }

    fn contiguous(&self) -> Option<&[T]> {
        self.as_slice()
    }
}

/// The elements of a view, written in order.
enum Scatter<'a, T> {
    Contiguous(&'a mut [T]),
    Strided(ndarray::iter::IterMut<'a, T, IxDyn>),
}

impl<'a, T> Scatter<'a, T> {
    fn new(out: &'a mut ArrayViewMutD<'_, T>) -> Self {
        match out.is_standard_layout() {
            true => Self::Contiguous(out.as_slice_mut().unwrap_or_default()),
            false => Self::Strided(out.iter_mut()),
        }
    }
}

impl<T: Float> SeriesMut<T> for Scatter<'_, T> {
    fn next_piece(&mut self, len: usize, fill: &mut dyn FnMut(&mut [T])) {
        match self {
            Self::Contiguous(rest) => rest.next_piece(len, fill),
            Self::Strided(rest) => {
                let mut piece = vec![T::default(); len];
                fill(&mut piece);
                piece.iter().zip(rest).for_each(|(&from, to)| *to = from);
            }
        }
    }

    fn contiguous(&mut self) -> Option<&mut [T]> {
        match self {
            Self::Contiguous(rest) => Some(rest),
            Self::Strided(_) => None,
        }
    }
}
