//! Log-sum-exp of complex numbers over the axes of an array.

use crate::arrays::axes::Axes;
use crate::arrays::contiguous_rows::{PerRow, Plan};
use crate::arrays::{EQUAL, Sealed};
use crate::error::Error;
use crate::operations::{self, Float};
use ndarray::{Array, ArrayD, ArrayRef, Dimension};
use num_complex::Complex;

/// [`complex_logsumexp`](crate::complex_logsumexp) and related functions as methods of ndarray's arrays and views.
///
/// `axes` accepts anything that converts into [`Axes`]; a row has the numbers along these axes. Arrays that are not in
/// C order with the reduced axes last are copied.
///
/// See also [`LogSumExp`](crate::LogSumExp) for real numbers.
///
/// ```
/// use logsum::ComplexLogSumExp;
/// use ndarray::array;
/// use num_complex::Complex;
/// let z = array![[0.0, 1.0], [1e3, 1e3]].mapv(Complex::from);
/// let values = z.complex_logsumexp(1)?;
/// assert_eq!(values[1], Complex::from(1000.6931471805599));
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// The trait is sealed: it is implemented for ndarray's arrays and views only.
///
/// # Errors
/// [`Error::AxisOutOfRange`] and [`Error::AxisTwice`] for invalid axes, [`Error::ShapeMismatch`] if the weights do not
/// broadcast to the array's shape, [`Error::OutOfMemory`] if a result does not fit into memory.
pub trait ComplexLogSumExp<T: Float, D: Dimension>: Sealed<Complex<T>, D> {
    /// [`complex_logsumexp`](crate::complex_logsumexp) of each row.
    ///
    /// ```
    /// use logsum::ComplexLogSumExp;
    /// use ndarray::array;
    /// use num_complex::Complex;
    /// let z = array![[1e3, 1e3]].mapv(Complex::from);
    /// assert_eq!(z.complex_logsumexp(1)?[0], Complex::from(1000.6931471805599));
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn complex_logsumexp(&self, axes: impl Into<Axes>) -> Result<ArrayD<Complex<T>>, Error> {
        let plan = Plan::new(self.array(), axes)?;
        let z = plan.rows(self.array())?;
        let [values] = plan.each([PerRow::One], |i, [value]| {
            value[0] = operations::complex_logsumexp(&z.row(i));
        })?;
        Ok(plan.per_row(values))
    }

    /// [`complex_logsumexp_weighted`](crate::complex_logsumexp_weighted) of each row; the weights broadcast to the
    /// array's shape.
    ///
    /// ```
    /// use logsum::ComplexLogSumExp;
    /// use ndarray::array;
    /// use num_complex::Complex;
    /// // log 4i
    /// let (z, b) = (array![[0.0, 0.0]].mapv(Complex::from), array![Complex::new(0.0, 3.0), Complex::new(0.0, 1.0)]);
    /// assert_eq!(z.complex_logsumexp_weighted(1, &b)?[0], Complex::new(4f64.ln(), std::f64::consts::FRAC_PI_2));
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn complex_logsumexp_weighted<E: Dimension>(
        &self,
        axes: impl Into<Axes>,
        weights: &ArrayRef<Complex<T>, E>,
    ) -> Result<ArrayD<Complex<T>>, Error> {
        let plan = Plan::new(self.array(), axes)?;
        let (z, b) = (plan.rows(self.array())?, plan.broadcast("weights", weights)?);
        let [values] = plan.each([PerRow::One], |i, [value]| {
            value[0] = operations::complex_logsumexp_weighted(&z.row(i), &b.row(i)).expect(EQUAL);
        })?;
        Ok(plan.per_row(values))
    }

    /// [`complex_logsumexp_with_gradient`](crate::complex_logsumexp_with_gradient) of each row: the values and the
    /// gradient, which has the array's shape.
    ///
    /// ```
    /// use logsum::ComplexLogSumExp;
    /// use ndarray::array;
    /// use num_complex::Complex;
    /// let (values, gradient) = array![[1e3, 1e3]].mapv(Complex::from).complex_logsumexp_with_gradient(1)?;
    /// assert_eq!(values[0], Complex::from(1000.6931471805599));
    /// assert_eq!(gradient, array![[0.5, 0.5]].mapv(Complex::from));
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn complex_logsumexp_with_gradient(&self, axes: impl Into<Axes>) -> Result<WithGradient<T, D>, Error> {
        let plan = Plan::new(self.array(), axes)?;
        let z = plan.rows(self.array())?;
        let [values, gradients] = plan.each([PerRow::One, PerRow::Each], |i, [value, gradient]| {
            value[0] = operations::complex_logsumexp_with_gradient(&z.row(i), gradient).expect(EQUAL);
        })?;
        Ok((plan.per_row(values), plan.per_element(gradients)?))
    }
}

/// The values, and the gradient, which has the input's shape.
type WithGradient<T, D> = (ArrayD<Complex<T>>, Array<Complex<T>, D>);

impl<T: Float, D: Dimension> ComplexLogSumExp<T, D> for ArrayRef<Complex<T>, D> {}
