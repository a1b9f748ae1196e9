//! The operations as methods of ndarray's arrays and views, over any axes and in any memory layout.

mod axes;
mod broadcast_terms;
#[cfg(feature = "complex")]
mod complex_arrays;
mod contiguous_rows;
mod matmul_batches;

pub use axes::Axes;
pub use broadcast_terms::ArrayTerms;
#[cfg(feature = "complex")]
pub use complex_arrays::ComplexLogSumExp;
pub use matmul_batches::LogMatmul;

use contiguous_rows::{PerRow, Plan, merged, size_of_shape, standard};

use crate::error::Error;
use crate::interrupt::checkpoint;
use crate::kernels::Each;
use crate::kernels::row_access::{PIECE, Series, SeriesMut};
use crate::memory::zeros;
use crate::operations::Float;
use crate::operations::batch::{Columns, Wanted};
use crate::operations::{self, CrossEntropy, Cumulative, Reduction, Segments, Targets, each};
use ndarray::{
    Array, ArrayBase, ArrayD, ArrayRef, ArrayViewD, ArrayViewMut, ArrayViewMutD, Axis, Dimension, IxDyn,
    RawData, Slice,
};

/// [`logsumexp`](crate::logsumexp) and related functions as methods of ndarray's arrays and views.
///
/// `axes` accepts anything that converts into [`Axes`]: `-1`, `[0, 2]`, [`Axes::all()`]. A *row* consists of the
/// numbers along these axes, one row for each index along the others. Values, bounds and special cases are those of the
/// function of each row alone; a row without elements has the log-sum-exp −∞.
///
/// The log-sum-exp, softmax and log-softmax read any layout in place: C or Fortran order, negative strides, gaps, and
/// the stride 0 of a broadcast axis. Their `_into` forms write into arrays that the caller provides, and allocate
/// nothing that grows with the input, except where the reduced axes vary slowest in memory: there a gradient, softmax
/// or log-softmax takes 16 bytes for each index along the reduced axes, and a row that cannot be settled together with
/// its neighbours is copied. The plain forms also allocate their result. The other methods copy an array that is not in
/// C order with the reduced axes last.
///
/// See also [`LogMatmul`] for matrix products, and [`ArrayTerms`] for weights and masks.
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
/// The trait is sealed: it is implemented for ndarray's arrays and views only.
///
/// # Errors
/// [`Error::AxisOutOfRange`] and [`Error::AxisTwice`] for invalid axes, [`Error::ShapeMismatch`] if an output or
/// another argument has the wrong shape, [`Error::OutOfMemory`] if a result does not fit into memory. Nothing is
/// written then.
///
/// # Panics
/// The functions of each element, [`log1pexp`](LogSumExp::log1pexp) to [`xlogx`](LogSumExp::xlogx), panic if the result
/// does not fit into memory; that of a view with broadcast axes may be much larger than the view's own memory.
pub trait LogSumExp<T: Float, D: Dimension>: Sealed<T, D> {
    /// The log-sum-exp over the axes, correctly rounded.
    ///
    /// ```
    /// use logsum::{Axes, LogSumExp};
    /// use ndarray::array;
    /// let z = array![[1e4, 1e4, 1e4, 1e4], [0.0, 0.0, 0.0, 0.0]];
    /// assert_eq!(z.logsumexp(1)?, array![1e4 + 4f64.ln(), 4f64.ln()].into_dyn());
    /// assert_eq!(z.logsumexp(Axes::from(1).keep())?.shape(), [2, 1]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn logsumexp(&self, axes: impl Into<Axes>) -> Result<ArrayD<T>, Error> {
        let plan = Plan::new(self.array(), axes)?;
        let mut out = array_of_zeros(IxDyn(&plan.reduced_shape))?;
        reduce(self.array(), &plan, Some(out.view_mut()), None)?;
        Ok(out)
    }

    /// Writes [`logsumexp`](LogSumExp::logsumexp) into `out`, which must have the shape of the result.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// use std::f64::consts::LN_2;
    /// let mut values = array![9.0, 9.0];
    /// array![[1e4, f64::NEG_INFINITY], [0.0, 0.0]].logsumexp_into(1, values.view_mut())?;
    /// assert_eq!(values, array![1e4, LN_2]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn logsumexp_into<E: Dimension>(
        &self,
        axes: impl Into<Axes>,
        out: ArrayViewMut<'_, T, E>,
    ) -> Result<(), Error> {
        reduce(self.array(), &Plan::new(self.array(), axes)?, Some(out.into_dyn()), None)
    }

    /// The log-sum-exp over the axes, and its gradient, which has the input's shape; both are correctly rounded.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// let (values, gradient) = array![[4.0, 4.0], [0.0, f64::NEG_INFINITY]].logsumexp_with_gradient(1)?;
    /// assert_eq!(values, array![4.0 + 2f64.ln(), 0.0].into_dyn());
    /// assert_eq!(gradient, array![[0.5, 0.5], [1.0, 0.0]]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn logsumexp_with_gradient(&self, axes: impl Into<Axes>) -> Result<(ArrayD<T>, Array<T, D>), Error> {
        let plan = Plan::new(self.array(), axes)?;
        let mut value = array_of_zeros(IxDyn(&plan.reduced_shape))?;
        let mut gradient = array_of_zeros(self.array().raw_dim())?;
        let each = (Each::Share, gradient.view_mut().into_dyn());
        reduce(self.array(), &plan, Some(value.view_mut()), Some(each))?;
        Ok((value, gradient))
    }

    /// Writes [`logsumexp_with_gradient`](LogSumExp::logsumexp_with_gradient) into `value`, which must have the shape
    /// of the result, and `gradient`.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// let (mut value, mut gradient) = (array![9.0], array![[9.0, 9.0]]);
    /// array![[4.0, 4.0]].logsumexp_with_gradient_into(1, value.view_mut(), gradient.view_mut())?;
    /// assert_eq!((value, gradient), (array![4.0 + 2f64.ln()], array![[0.5, 0.5]]));
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn logsumexp_with_gradient_into<E: Dimension>(
        &self,
        axes: impl Into<Axes>,
        value: ArrayViewMut<'_, T, E>,
        gradient: ArrayViewMut<'_, T, D>,
    ) -> Result<(), Error> {
        let plan = Plan::new(self.array(), axes)?;
        reduce(self.array(), &plan, Some(value.into_dyn()), Some((Each::Share, gradient.into_dyn())))
    }

    /// The softmax e^{z − LSE(z)}, with the log-sum-exp over the axes, correctly rounded.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// assert_eq!(array![[1e4, 1e4], [0.0, f64::NEG_INFINITY]].softmax(1)?, array![[0.5, 0.5], [1.0, 0.0]]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn softmax(&self, axes: impl Into<Axes>) -> Result<Array<T, D>, Error> {
        let mut out = array_of_zeros(self.array().raw_dim())?;
        self.softmax_into(axes, out.view_mut())?;
        Ok(out)
    }

    /// Writes [`softmax`](LogSumExp::softmax) into `out`.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// let mut p = array![[9.0], [9.0]];
    /// array![[1e4], [1e4]].softmax_into(0, p.view_mut())?;
    /// assert_eq!(p, array![[0.5], [0.5]]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn softmax_into(&self, axes: impl Into<Axes>, out: ArrayViewMut<'_, T, D>) -> Result<(), Error> {
        let plan = Plan::new(self.array(), axes)?;
        reduce(self.array(), &plan, None, Some((Each::Share, out.into_dyn())))
    }

    /// The log-softmax z − LSE(z), with the log-sum-exp over the axes, correctly rounded.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// let log_p = ndarray::array![[40.0], [0.0]].log_softmax(0)?;
    /// assert_eq!(log_p, ndarray::array![[-4.248354255291589e-18], [-40.0]]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn log_softmax(&self, axes: impl Into<Axes>) -> Result<Array<T, D>, Error> {
        let mut out = array_of_zeros(self.array().raw_dim())?;
        self.log_softmax_into(axes, out.view_mut())?;
        Ok(out)
    }

    /// Writes [`log_softmax`](LogSumExp::log_softmax) into `out`.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// use std::f64::consts::LN_2;
    /// let mut log_p = array![[9.0], [9.0]];
    /// array![[1e4], [1e4]].log_softmax_into(0, log_p.view_mut())?;
    /// assert_eq!(log_p, array![[-LN_2], [-LN_2]]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn log_softmax_into(&self, axes: impl Into<Axes>, out: ArrayViewMut<'_, T, D>) -> Result<(), Error> {
        let plan = Plan::new(self.array(), axes)?;
        reduce(self.array(), &plan, None, Some((Each::LogShare, out.into_dyn())))
    }

    /// The terms e^{z_k} over the axes; [`ArrayTerms`] adds weights, a mask, a temperature, and a convention for sums
    /// without mass.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// use std::f64::consts::LN_2;
    /// let (z, mask) = (array![[0.0, 0.0, 7.0]], array![true, true, false]);
    /// assert_eq!(z.terms(1)?.mask(&mask)?.logsumexp()?, array![LN_2].into_dyn());
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn terms<'a>(&'a self, axes: impl Into<Axes>) -> Result<ArrayTerms<'a, T, D>, Error>
    where
        D: 'a,
    {
        ArrayTerms::new(self.array(), axes)
    }

    /// [`logsumexp_jvp`](crate::logsumexp_jvp) of each row: the values and their derivatives in the direction
    /// `tangent`.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// use std::f64::consts::LN_2;
    /// let (values, derivatives) = array![[0.0, 0.0]].logsumexp_jvp(1, &array![[1.0, 2.0]])?;
    /// assert_eq!((values, derivatives), (array![LN_2].into_dyn(), array![1.5].into_dyn()));
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn logsumexp_jvp(
        &self,
        axes: impl Into<Axes>,
        tangent: &ArrayRef<T, D>,
    ) -> Result<(ArrayD<T>, ArrayD<T>), Error> {
        self.terms(axes)?.jvp(tangent)
    }

    /// [`logsumexp_hvp`](crate::logsumexp_hvp) of each row: the Hessian times a vector of the input's shape.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// assert_eq!(array![[0.0, 0.0]].logsumexp_hvp(1, &array![[1.0, 0.0]])?, array![[0.25, -0.25]]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn logsumexp_hvp(&self, axes: impl Into<Axes>, vector: &ArrayRef<T, D>) -> Result<Array<T, D>, Error> {
        self.terms(axes)?.hvp(vector)
    }

    /// [`logmeanexp`](crate::logmeanexp) of each row.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// assert_eq!(array![[1e8, 1e8, 1e8]].logmeanexp(1)?, array![1e8].into_dyn());
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn logmeanexp(&self, axes: impl Into<Axes>) -> Result<ArrayD<T>, Error> {
        per_row(self.array(), axes, operations::logmeanexp)
    }

    /// [`logvarexp`](crate::logvarexp) of each row.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// use std::f64::consts::LN_2;
    /// // The variance of 1 and 0 is 1/2.
    /// assert_eq!(array![[0.0, f64::NEG_INFINITY]].logvarexp(1, 1)?, array![-LN_2].into_dyn());
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn logvarexp(&self, axes: impl Into<Axes>, ddof: usize) -> Result<ArrayD<T>, Error> {
        per_row(self.array(), axes, |z| operations::logvarexp(z, ddof))
    }

    /// [`logvarexp_with_gradient`](crate::logvarexp_with_gradient) of each row.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// use std::f64::consts::LN_2;
    /// let (values, gradient) = array![[0.0, f64::NEG_INFINITY]].logvarexp_with_gradient(1, 1)?;
    /// assert_eq!((values, gradient), (array![-LN_2].into_dyn(), array![[2.0, 0.0]]));
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn logvarexp_with_gradient(
        &self,
        axes: impl Into<Axes>,
        ddof: usize,
    ) -> Result<(ArrayD<T>, Array<T, D>), Error> {
        with_gradient(self.array(), axes, |z, out| operations::logvarexp_with_gradient(z, ddof, out))
    }

    /// [`softmax_entropy`](crate::softmax_entropy) of each row.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// use std::f64::consts::LN_2;
    /// assert_eq!(array![[1e4, 1e4], [0.0, f64::NEG_INFINITY]].softmax_entropy(1)?, array![LN_2, 0.0].into_dyn());
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn softmax_entropy(&self, axes: impl Into<Axes>) -> Result<ArrayD<T>, Error> {
        per_row(self.array(), axes, operations::softmax_entropy)
    }

    /// [`softmax_entropy_with_gradient`](crate::softmax_entropy_with_gradient) of each row.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// use std::f64::consts::LN_2;
    /// let (values, gradient) = array![[1e4, 1e4]].softmax_entropy_with_gradient(1)?;
    /// assert_eq!((values, gradient), (array![LN_2].into_dyn(), array![[0.0, 0.0]]));
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn softmax_entropy_with_gradient(
        &self,
        axes: impl Into<Axes>,
    ) -> Result<(ArrayD<T>, Array<T, D>), Error> {
        with_gradient(self.array(), axes, operations::softmax_entropy_with_gradient)
    }

    /// [`softmax_kl`](crate::softmax_kl) of each row and that of `other`, which is broadcast to the shape of this
    /// array.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// let x = array![[0.0, 1.0], [0.0, 1e-9]];
    /// assert_eq!(x.softmax_kl(1, &array![[5.0, 6.0], [0.0, 0.0]])?, array![0.0, 1.25e-19].into_dyn());
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn softmax_kl<E: Dimension>(
        &self,
        axes: impl Into<Axes>,
        other: &ArrayRef<T, E>,
    ) -> Result<ArrayD<T>, Error> {
        let plan = Plan::new(self.array(), axes)?;
        let (x, y) = (plan.rows(self.array())?, plan.broadcast("other", other)?);
        let f =
            |i, [value]: [&mut [T]; 1]| value[0] = operations::softmax_kl(&x.row(i), &y.row(i)).expect(EQUAL);
        let [value] = plan.each([PerRow::One], f)?;
        Ok(plan.per_row(value))
    }

    /// [`softmax_kl_with_gradient`](crate::softmax_kl_with_gradient) of each row and that of `other`, which is
    /// broadcast to the shape of this array: the values, their derivatives with respect to this array, and those with
    /// respect to the broadcast `other`.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// let (values, by_x, by_y) = array![[0.0, 0.0]].softmax_kl_with_gradient(1, &array![0.0, 1e-9])?;
    /// assert_eq!(values, array![1.25e-19].into_dyn());
    /// assert_eq!((by_x, by_y), (array![[2.5e-10, -2.5e-10]], array![[-2.5e-10, 2.5e-10]]));
    /// # Ok::<(), logsum::Error>(())
    /// ```
    #[expect(clippy::type_complexity, reason = "an array of values, and two of derivatives")]
    fn softmax_kl_with_gradient<E: Dimension>(
        &self,
        axes: impl Into<Axes>,
        other: &ArrayRef<T, E>,
    ) -> Result<(ArrayD<T>, Array<T, D>, Array<T, D>), Error> {
        let plan = Plan::new(self.array(), axes)?;
        let (x, y) = (plan.rows(self.array())?, plan.broadcast("other", other)?);
        let sizes = [PerRow::One, PerRow::Each, PerRow::Each];
        let [values, by_x, by_y] = plan.each(sizes, |i, [value, by_x, by_y]| {
            let row = operations::softmax_kl_with_gradient(&x.row(i), &y.row(i), by_x, by_y);
            value[0] = row.expect(EQUAL);
        })?;
        Ok((plan.per_row(values), plan.per_element(by_x)?, plan.per_element(by_y)?))
    }

    /// [`Cumulative::logsumexp`] along one axis.
    ///
    /// ```
    /// use logsum::{Cumulative, LogSumExp};
    /// let z = ndarray::array![[0.0], [0.0]];
    /// assert_eq!(z.logcumsumexp(0, Cumulative::forward())?, ndarray::array![[0.0], [std::f64::consts::LN_2]]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn logcumsumexp(&self, axis: isize, which: Cumulative) -> Result<Array<T, D>, Error> {
        let plan = Plan::new(self.array(), axis)?;
        let z = plan.rows(self.array())?;
        let z = z.all()?;
        let mut out = zeros(z.len())?;
        // The length of a row may exceed memory if there are no rows.
        if !z.is_empty() {
            T::cumulative_rows(which, &z, plan.length, &mut out);
        }
        plan.per_element(out)
    }

    /// [`Segments::logsumexp`] along one axis; in the result, the index along this axis is that of the segment.
    ///
    /// ```
    /// use logsum::{LogSumExp, Segments};
    /// let z = ndarray::arr1(&[0.0, 5.0, 0.0]);
    /// let values = z.segment_logsumexp(0, &Segments::by_ids(&[1, 0, 1], 2)?)?;
    /// assert_eq!(values, ndarray::arr1(&[5.0, std::f64::consts::LN_2]).into_dyn());
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn segment_logsumexp(&self, axis: isize, segments: &Segments) -> Result<ArrayD<T>, Error> {
        let plan = Plan::new(self.array(), axis)?;
        segments.fit_axis(axis, plan.length)?;
        let z = plan.rows(self.array())?;
        let plan = plan.with_length(segments.count());
        let mut values = zeros(size_of_shape(&plan.shape).unwrap_or(usize::MAX))?;
        for (i, out) in values.chunks_mut(plan.length.max(1)).enumerate() {
            segments.logsumexp(&z.row(i), out)?;
        }
        plan.per_element(values)
    }

    /// The softmax of each segment along one axis, correctly rounded: the gradient of
    /// [`Segments::logsumexp_with_gradient`].
    ///
    /// ```
    /// use logsum::{LogSumExp, Segments};
    /// let z = ndarray::arr1(&[0.0, 5.0, 0.0]);
    /// assert_eq!(z.segment_softmax(0, &Segments::by_ids(&[1, 0, 1], 2)?)?, ndarray::arr1(&[0.5, 1.0, 0.5]));
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn segment_softmax(&self, axis: isize, segments: &Segments) -> Result<Array<T, D>, Error> {
        let plan = Plan::new(self.array(), axis)?;
        segments.fit_axis(axis, plan.length)?;
        let z = plan.rows(self.array())?;
        let mut values = zeros(segments.count())?;
        let mut shares = zeros(plan.count * plan.length)?;
        for (i, shares) in shares.chunks_mut(plan.length.max(1)).enumerate() {
            segments.logsumexp_with_gradient(&z.row(i), &mut values, shares)?;
        }
        plan.per_element(shares)
    }

    /// [`CrossEntropy::loss_with_gradient`] with the classes along `axis`. Targets are in the row-major order of the
    /// other axes; target probabilities have the probabilities of each row one after another.
    ///
    /// ```
    /// use logsum::{CrossEntropy, LogSumExp, Reduction, Targets};
    /// use ndarray::array;
    /// let (loss, targets) = (CrossEntropy::new(2), Targets::Classes(&[1]));
    /// let (value, gradient) = array![[7.0], [7.0]].cross_entropy_with_gradient(0, &loss, targets, Reduction::Mean)?;
    /// assert_eq!((value, gradient), (std::f64::consts::LN_2, array![[0.5], [-0.5]]));
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn cross_entropy_with_gradient(
        &self,
        axis: isize,
        loss: &CrossEntropy<'_, T>,
        targets: Targets<'_, T>,
        reduction: Reduction,
    ) -> Result<(T, Array<T, D>), Error> {
        let plan = Plan::new(self.array(), axis)?;
        let z = plan.rows(self.array())?;
        loss.has_classes(axis, plan.length)?;
        let z = z.all()?;
        let mut gradient = zeros(z.len())?;
        let value = loss.loss_with_gradient(&z, targets, reduction, &mut gradient)?;
        Ok((value, plan.per_element(gradient)?))
    }

    /// [`token_log_probs`](crate::token_log_probs) with the logits of a row along `axis`. Tokens are in the row-major
    /// order of the other axes.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// let logits = ndarray::array![[40.0, 0.0], [2.0, 2.0]];
    /// let log_p = logits.token_log_probs(1, &[0, 1])?;
    /// assert_eq!(log_p, ndarray::arr1(&[-4.248354255291589e-18, -std::f64::consts::LN_2]).into_dyn());
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn token_log_probs(&self, axis: isize, tokens: &[usize]) -> Result<ArrayD<T>, Error> {
        let plan = Plan::new(self.array(), axis)?;
        let (expected, found) = (plan.count, tokens.len());
        if expected != found {
            return Err(Error::LengthMismatch { argument: "tokens", fits: "logits", expected, found });
        }
        let z = plan.rows(self.array())?;
        let mut log_p = zeros(found)?;
        operations::token_log_probs(&z.all()?, tokens, &mut log_p)?;
        Ok(plan.per_row(log_p))
    }

    /// [`logaddexp`](crate::logaddexp) of each pair; `other` broadcasts to this array's shape.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// assert_eq!(array![0.0, 2.0].logaddexp(&array![f64::NEG_INFINITY])?, array![0.0, 2.0]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn logaddexp<E: Dimension>(&self, other: &ArrayRef<T, E>) -> Result<Array<T, D>, Error> {
        of_pairs(self.array(), ("other", other), each::logaddexp)
    }

    /// [`logsubexp`](crate::logsubexp) of each pair; `other` broadcasts to this array's shape.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// let difference = array![1e3, 2.0].logsubexp(&array![f64::NEG_INFINITY, 2.0])?;
    /// assert_eq!(difference, array![1e3, f64::NEG_INFINITY]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn logsubexp<E: Dimension>(&self, other: &ArrayRef<T, E>) -> Result<Array<T, D>, Error> {
        of_pairs(self.array(), ("other", other), each::logsubexp)
    }

    /// [`xlogy`](crate::xlogy) of each pair; `y` broadcasts to this array's shape.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// use std::f64::consts::LN_2;
    /// assert_eq!(array![0.0, 3.0].xlogy(&array![0.0, 2.0])?, array![0.0, 3.0 * LN_2]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn xlogy<E: Dimension>(&self, y: &ArrayRef<T, E>) -> Result<Array<T, D>, Error> {
        of_pairs(self.array(), ("y", y), each::xlogy)
    }

    /// [`log1pexp`](crate::log1pexp) of each element.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// use std::f64::consts::LN_2;
    /// assert_eq!(array![f64::NEG_INFINITY, 0.0, 1e3].log1pexp(), array![0.0, LN_2, 1e3]);
    /// ```
    fn log1pexp(&self) -> Array<T, D> {
        of_each(self.array(), each::log1pexp)
    }

    /// [`log1mexp`](crate::log1mexp) of each element.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// assert_eq!(array![f64::NEG_INFINITY, -1e-300, 0.0].log1mexp(), array![0.0, 1e-300_f64.ln(), f64::NEG_INFINITY]);
    /// ```
    fn log1mexp(&self) -> Array<T, D> {
        of_each(self.array(), each::log1mexp)
    }

    /// [`logexpm1`](crate::logexpm1) of each element.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// assert_eq!(array![0.0, 1e-300, 1e3].logexpm1(), array![f64::NEG_INFINITY, 1e-300_f64.ln(), 1e3]);
    /// ```
    fn logexpm1(&self) -> Array<T, D> {
        of_each(self.array(), each::logexpm1)
    }

    /// [`log_logistic`](crate::log_logistic) of each element.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// use std::f64::consts::LN_2;
    /// assert_eq!(array![-1e3, 0.0, 1e3].log_logistic(), array![-1e3, -LN_2, 0.0]);
    /// ```
    fn log_logistic(&self) -> Array<T, D> {
        of_each(self.array(), each::log_logistic)
    }

    /// [`logistic`](crate::logistic) of each element.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// assert_eq!(array![-1e3, 0.0, 1e3].logistic(), array![0.0, 0.5, 1.0]);
    /// ```
    fn logistic(&self) -> Array<T, D> {
        of_each(self.array(), each::logistic)
    }

    /// [`logit`](crate::logit) of each element.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// assert_eq!(array![0.0, 0.5, 1.0].logit(), array![f64::NEG_INFINITY, 0.0, f64::INFINITY]);
    /// ```
    fn logit(&self) -> Array<T, D> {
        of_each(self.array(), each::logit)
    }

    /// [`xlogx`](crate::xlogx) of each element.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// use std::f64::consts::LN_2;
    /// assert_eq!(array![0.0, 1.0, 2.0].xlogx(), array![0.0, 0.0, 2.0 * LN_2]);
    /// ```
    fn xlogx(&self) -> Array<T, D> {
        of_each(self.array(), each::xlogx)
    }
}

impl<T: Float, D: Dimension> LogSumExp<T, D> for ArrayRef<T, D> {}

/// Restricts the traits of this module to ndarray's arrays and views.
pub trait Sealed<A, D: Dimension> {
    fn array(&self) -> &ArrayRef<A, D>;
}

impl<A, D: Dimension> Sealed<A, D> for ArrayRef<A, D> {
    fn array(&self) -> &ArrayRef<A, D> {
        self
    }
}

/// The message of an `expect`: why an operation on the rows of an array cannot fail.
const EQUAL: &str = "rows and their results have one length";

/// The message of an `expect`: why an array in standard layout has a slice.
const STANDARD: &str = "the standard layout is contiguous";

/// An array of zeros for a result, or an error if there is too little memory for it. Internal, for the library's
/// bindings to frameworks and languages.
#[doc(hidden)]
pub fn array_of_zeros<T: Float, D: Dimension>(shape: D) -> Result<Array<T, D>, Error> {
    let numbers = zeros(size_of_shape(shape.slice()).unwrap_or(usize::MAX))?;
    Ok(Array::from_shape_vec(shape, numbers).expect("as many numbers as the shape has places"))
}

/// Applies `f` to each row.
fn per_row<T: Float, D: Dimension>(
    z: &ArrayRef<T, D>,
    axes: impl Into<Axes>,
    f: impl Fn(&[T]) -> T + Sync,
) -> Result<ArrayD<T>, Error> {
    let plan = Plan::new(z, axes)?;
    let z = plan.rows(z)?;
    let [value] = plan.each([PerRow::One], |i, [value]| value[0] = f(&z.row(i)))?;
    Ok(plan.per_row(value))
}

/// Applies a function and its gradient to each row.
fn with_gradient<T: Float, D: Dimension>(
    z: &ArrayRef<T, D>,
    axes: impl Into<Axes>,
    f: impl Fn(&[T], &mut [T]) -> Result<T, Error> + Sync,
) -> Result<(ArrayD<T>, Array<T, D>), Error> {
    let plan = Plan::new(z, axes)?;
    let z = plan.rows(z)?;
    let [value, gradient] = plan.each([PerRow::One, PerRow::Each], |i, [value, gradient]| {
        value[0] = f(&z.row(i), gradient).expect(EQUAL);
    })?;
    Ok((plan.per_row(value), plan.per_element(gradient)?))
}

/// Applies `f` to all elements as one row. Panics if there is too little memory.
fn of_each<T: Float, D: Dimension>(
    x: &ArrayRef<T, D>,
    f: impl Fn(&[T], &mut [T]) -> Result<(), Error>,
) -> Array<T, D> {
    const ROOM: &str = "there must be memory for the result";
    let x = standard(x).expect(ROOM);
    let mut out = array_of_zeros(x.raw_dim()).expect(ROOM);
    let (from, to) = (x.as_slice().expect(STANDARD), out.as_slice_mut().expect(STANDARD));
    f(from, to).expect(EQUAL);
    out
}

fn of_pairs<T: Float, D: Dimension, E: Dimension>(
    a: &ArrayRef<T, D>,
    (argument, b): (&'static str, &ArrayRef<T, E>),
    f: impl Fn(&[T], &[T], &mut [T]) -> Result<(), Error> + Sync,
) -> Result<Array<T, D>, Error> {
    let plan = Plan::new(a, Axes::all())?;
    let (a, b) = (plan.rows(a)?, plan.broadcast(argument, b)?);
    let [out] = plan.each([PerRow::Each], |i, [out]| f(&a.row(i), &b.row(i), out).expect(EQUAL))?;
    plan.per_element(out)
}

/// Reduces each row to its value, and computes a function of each element.
fn reduce<T: Float, D: Dimension>(
    z: &ArrayRef<T, D>,
    plan: &Plan,
    value: Option<ArrayViewMutD<'_, T>>,
    each: Option<(Each, ArrayViewMutD<'_, T>)>,
) -> Result<(), Error> {
    let names = if value.is_some() && each.is_some() { ["value", "gradient"] } else { ["out"; 2] };
    let value = value.map(|out| plan.one_per_row(names[0], out)).transpose()?;
    let each = each.map(|(each, out)| Ok((each, plan.one_per_element(names[1], out)?))).transpose()?;
    // If nothing is to be written, there may be very many rows without elements.
    if plan.count == 0 || plan.length == 0 && value.is_none() {
        return Ok(());
    }
    let (mut z, mut wanted) = (z.view().into_dyn().permuted_axes(IxDyn(&plan.order)), Wanted { value, each });
    let mut outer = plan.outer;
    for first in (0..outer.saturating_sub(1)).rev() {
        if merged(z.view(), first).is_some() && wanted.can_merge(first) {
            z = merged(z, first).expect(MERGED);
            wanted = wanted.merged(first);
            outer -= 1;
        }
    }
    reduce_views(z, wanted, outer);
    Ok(())
}

/// The message of an `expect`: why axes could be merged.
const MERGED: &str = "the strides allow it";

/// Reduces the rows of arrays whose first `outer` axes are those that remain; many rows at once where the memory layout
/// allows it.
fn reduce_views<T: Float>(
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
        if outer == 1 && length <= GATHERED {
            return reduce_gathered(&z, wanted, length);
        }
    }
    for (index, z) in z.outer_iter().enumerate() {
        let value = wanted.value.as_mut().map(|value| value.index_axis_mut(Axis(0), index));
        let each = wanted.each.as_mut().map(|(each, out)| (*each, out.index_axis_mut(Axis(0), index)));
        reduce_views(z, Wanted { value, each }, outer - 1);
    }
}

/// How many numbers of rows are copied to be reduced together.
const GATHERED: usize = PIECE / 2;

/// Reduces the rows of the first axis, a few at a time, by copying them.
fn reduce_gathered<T: Float>(
    z: &ArrayViewD<'_, T>,
    mut wanted: Wanted<ArrayViewMutD<'_, T>, ArrayViewMutD<'_, T>>,
    length: usize,
) {
    let [mut rows, mut values, mut results] = [const { Vec::new() }; 3];
    let most = GATHERED / length;
    for (part, z) in z.axis_chunks_iter(Axis(0), most).enumerate() {
        checkpoint();
        let here = Slice::from(part * most..part * most + z.shape()[0]);
        rows.clear();
        rows.extend(z.iter().copied());
        values.resize(z.shape()[0], T::default());
        results.resize(rows.len(), T::default());
        let value = wanted.value.is_some().then_some(&mut values[..]);
        let each = wanted.each.as_ref().map(|(each, _)| (*each, &mut results[..]));
        T::reduce_rows(&rows, length, Wanted { value, each });
        if let Some(out) = &mut wanted.value {
            out.slice_axis_mut(Axis(0), here).iter_mut().zip(&values).for_each(|(to, &from)| *to = from);
        }
        if let Some((_, out)) = &mut wanted.each {
            out.slice_axis_mut(Axis(0), here).iter_mut().zip(&results).for_each(|(to, &from)| *to = from);
        }
    }
}

/// Moves the first axis last, so that rows become the columns of a matrix.
fn first_axis_last<S: RawData>(array: ArrayBase<S, IxDyn>) -> ArrayBase<S, IxDyn> {
    let rank = array.ndim();
    array.permuted_axes(IxDyn(&(1..rank).chain([0]).collect::<Vec<_>>()))
}

impl<T> Wanted<ArrayViewMutD<'_, T>, ArrayViewMutD<'_, T>> {
    fn can_merge(&self, first: usize) -> bool {
        let can = |out: &ArrayViewMutD<'_, T>| merged(out.view(), first).is_some();
        self.value.as_ref().is_none_or(can) && self.each.as_ref().is_none_or(|(_, out)| can(out))
    }

    fn merged(self, first: usize) -> Self {
        Self {
            value: self.value.map(|out| merged(out, first).expect(MERGED)),
            each: self.each.map(|(each, out)| (each, merged(out, first).expect(MERGED))),
        }
    }

    /// The results as slices, if they are stored in row-major order.
    fn as_rows(&mut self) -> Option<Wanted<&mut [T], &mut [T]>> {
        self.as_slices(|out| out.as_slice_mut())
    }

    /// The results as slices, if they are stored in column-major order.
    fn as_columns(&mut self, count: usize) -> Option<Wanted<&mut [T], Vec<&mut [T]>>> {
        self.as_slices(|out| Some(first_axis_last(out.view_mut()).into_slice()?.chunks_mut(count).collect()))
    }

    fn as_slices<'s, E>(
        &'s mut self,
        of_each: impl FnOnce(&'s mut ArrayViewMutD<'_, T>) -> Option<E>,
    ) -> Option<Wanted<&'s mut [T], E>> {
        let value = match &mut self.value {
            Some(value) => Some(value.as_slice_mut()?),
            None => None,
        };
        let each = match &mut self.each {
            Some((each, out)) => Some((*each, of_each(out)?)),
            None => None,
        };
        Some(Wanted { value, each })
    }
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

/// Writes the elements of a view in order.
enum Scatter<'a, T> {
    Contiguous(&'a mut [T]),
    Strided(ndarray::iter::IterMut<'a, T, IxDyn>),
}

impl<'a, T> Scatter<'a, T> {
    fn new(out: &'a mut ArrayViewMutD<'_, T>) -> Self {
        match out.is_standard_layout() {
            true => Self::Contiguous(out.as_slice_mut().expect(STANDARD)),
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
