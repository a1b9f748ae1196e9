//! The log-sum-exp of arrays of complex numbers.

use crate::arrays::axes::Axes;
use crate::arrays::rows::{PerLane, Plan};
use crate::error::Error;
use crate::operations;
use crate::operations::Float;
use ndarray::{Array, ArrayD, ArrayRef, Dimension};
use num_complex::Complex;

/// [`complex_logsumexp`](crate::complex_logsumexp) and its kin as methods of ndarray's arrays and views.
///
/// `axes` is whatever converts into [`Axes`]. Lanes that do not lie one after the other are copied.
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
/// # Errors
/// [`Error::AxisOutOfRange`] and [`Error::AxisTwice`] speak of the axes, [`Error::ShapeMismatch`] of the weights' shape.
pub trait ComplexLogSumExp<T: Float, D: Dimension> {
    /// [`complex_logsumexp`](crate::complex_logsumexp) of each lane.
    fn complex_logsumexp(&self, axes: impl Into<Axes>) -> Result<ArrayD<Complex<T>>, Error>;

    /// [`complex_logsumexp_weighted`](crate::complex_logsumexp_weighted) of each lane; the weights may be broadcast.
    fn complex_logsumexp_weighted<E: Dimension>(
        &self,
        axes: impl Into<Axes>,
        weights: &ArrayRef<Complex<T>, E>,
    ) -> Result<ArrayD<Complex<T>>, Error>;

    /// [`complex_logsumexp_with_gradient`](crate::complex_logsumexp_with_gradient) of each lane.
    fn complex_logsumexp_with_gradient(&self, axes: impl Into<Axes>) -> Result<WithGradient<T, D>, Error>;
}

/// Values, and a gradient of the input's shape.
type WithGradient<T, D> = (ArrayD<Complex<T>>, Array<Complex<T>, D>);

impl<T: Float, D: Dimension> ComplexLogSumExp<T, D> for ArrayRef<Complex<T>, D> {
    fn complex_logsumexp(&self, axes: impl Into<Axes>) -> Result<ArrayD<Complex<T>>, Error> {
        let plan = Plan::new(self.shape(), &axes.into())?;
        let z = plan.rows(self.view())?;
        let [values] = plan.each([PerLane::One], |i, [value]| {
            value[0] = operations::complex_logsumexp(z.row(i));
            Ok(())
        })?;
        Ok(plan.per_lane(values))
    }

    fn complex_logsumexp_weighted<E: Dimension>(
        &self,
        axes: impl Into<Axes>,
        weights: &ArrayRef<Complex<T>, E>,
    ) -> Result<ArrayD<Complex<T>>, Error> {
        let plan = Plan::new(self.shape(), &axes.into())?;
        let (z, b) = (plan.rows(self.view())?, plan.broadcast("weights", weights.view())?);
        let [values] = plan.each([PerLane::One], |i, [value]| {
            value[0] = operations::complex_logsumexp_weighted(z.row(i), b.row(i))?;
            Ok(())
        })?;
        Ok(plan.per_lane(values))
    }

    fn complex_logsumexp_with_gradient(&self, axes: impl Into<Axes>) -> Result<WithGradient<T, D>, Error> {
        let plan = Plan::new(self.shape(), &axes.into())?;
        let z = plan.rows(self.view())?;
        let [values, gradients] = plan.each([PerLane::One, PerLane::Each], |i, [value, gradient]| {
            value[0] = operations::complex_logsumexp_with_gradient(z.row(i), gradient)?;
            Ok(())
        })?;
        Ok((plan.per_lane(values), plan.per_element(gradients)))
    }
}
