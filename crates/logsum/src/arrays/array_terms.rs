//! Weighted and masked sums over the axes of arrays.

use crate::arrays::axes::Axes;
use crate::arrays::rows::{PerLane, Plan, Rows};
use crate::error::Error;
use crate::operations::Float;
use crate::operations::{NoMass, Terms};
use ndarray::{Array, ArrayD, ArrayRef, Dimension};
use std::marker::PhantomData;

/// [`Terms`] over the axes of an array: weights and mask broadcast to its shape. From
/// [`LogSumExp::terms`](super::LogSumExp::terms).
///
/// Values, edges and bounds are those of [`Terms`]. Arrays that do not lie in C order with the reduced axes last are copied.
///
/// ```
/// use logsum::LogSumExp;
/// use ndarray::array;
/// let z = array![[0.0, 1.0, 2.0], [3.0, 3.0, f64::NAN]];
/// let mask = array![[true, true, false], [true, true, false]];
/// let weights = array![1.0, 0.0, 5.0];
/// let terms = z.terms(-1)?.weights(&weights)?.mask(&mask)?;
/// let (value, gradient) = terms.logsumexp_with_gradient()?;
/// assert_eq!(value, array![0.0, 3.0].into_dyn());
/// assert_eq!(gradient, array![[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]);
/// # Ok::<(), logsum::Error>(())
/// ```
pub struct ArrayTerms<'a, T: Float, D> {
    plan: Plan,
    z: Rows<'a, T>,
    weights: Option<Rows<'a, T>>,
    mask: Option<Rows<'a, bool>>,
    no_mass: NoMass,
    dimension: PhantomData<D>,
}

impl<'a, T: Float, D: Dimension> ArrayTerms<'a, T, D> {
    pub(super) fn new(z: &'a ArrayRef<T, D>, axes: &Axes) -> Result<Self, Error> {
        let plan = Plan::new(z.shape(), axes)?;
        let z = plan.rows(z.view())?;
        Ok(Self { plan, z, weights: None, mask: None, no_mass: NoMass::Zero, dimension: PhantomData })
    }

    /// Each term with its weight, of any sign; the weights broadcast to the array's shape.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if they do not.
    pub fn weights<E: Dimension>(self, b: &'a ArrayRef<T, E>) -> Result<Self, Error> {
        Ok(Self { weights: Some(self.plan.broadcast("weights", b.view())?), ..self })
    }

    /// Only those count for which the mask is true; it broadcasts to the array's shape.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if it does not.
    pub fn mask<E: Dimension>(self, mask: &'a ArrayRef<bool, E>) -> Result<Self, Error> {
        Ok(Self { mask: Some(self.plan.broadcast("mask", mask.view())?), ..self })
    }

    /// What gradient and softmax are where there is no mass.
    pub fn no_mass(self, no_mass: NoMass) -> Self {
        Self { no_mass, ..self }
    }

    fn lane(&self, index: usize) -> Result<Terms<'_, T>, Error> {
        let terms = Terms::new(self.z.row(index)).no_mass(self.no_mass);
        let terms = match &self.weights {
            Some(weights) => terms.weights(weights.row(index))?,
            None => terms,
        };
        match &self.mask {
            Some(mask) => terms.mask(mask.row(index)),
            None => Ok(terms),
        }
    }

    /// [`Terms::logsumexp`] of each lane.
    pub fn logsumexp(&self) -> Result<ArrayD<T>, Error> {
        let [value] = self.plan.each([PerLane::One], |i, [value]| {
            value[0] = self.lane(i)?.logsumexp();
            Ok(())
        })?;
        Ok(self.plan.per_lane(value))
    }

    /// [`Terms::logsumexp_with_sign`] of each lane.
    pub fn logsumexp_with_sign(&self) -> Result<(ArrayD<T>, ArrayD<T>), Error> {
        let [value, sign] = self.plan.each([PerLane::One; 2], |i, [value, sign]| {
            (value[0], sign[0]) = self.lane(i)?.logsumexp_with_sign();
            Ok(())
        })?;
        Ok((self.plan.per_lane(value), self.plan.per_lane(sign)))
    }

    /// The values, NaN where a sum is negative, and the gradient of log |Σ b_k e^{z_k}|.
    pub fn logsumexp_with_gradient(&self) -> Result<(ArrayD<T>, Array<T, D>), Error> {
        let [value, gradient] = self.plan.each([PerLane::One, PerLane::Each], |i, [value, gradient]| {
            let terms = self.lane(i)?;
            let (magnitude, sign) = terms.logsumexp_with_gradient(gradient)?;
            value[0] = if sign < T::default() { T::narrow(f64::NAN) } else { magnitude };
            Ok(())
        })?;
        Ok((self.plan.per_lane(value), self.plan.per_element(gradient)))
    }

    /// The gradients by z and by weight, both of the array's shape: [`Terms::logsumexp_with_gradients`].
    pub fn gradients(&self) -> Result<[Array<T, D>; 2], Error> {
        let [by_z, by_weight] = self.plan.each([PerLane::Each; 2], |i, [by_z, by_weight]| {
            self.lane(i)?.logsumexp_with_gradients(by_z, by_weight).map(|_| ())
        })?;
        Ok([by_z, by_weight].map(|numbers| self.plan.per_element(numbers)))
    }

    /// [`Terms::softmax`] of each lane.
    pub fn softmax(&self) -> Result<Array<T, D>, Error> {
        let [p] = self.plan.each([PerLane::Each], |i, [p]| self.lane(i)?.softmax(p))?;
        Ok(self.plan.per_element(p))
    }

    /// [`Terms::jvp`] of each lane.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if `tangent` does not have the array's shape.
    pub fn jvp(&self, tangent: &ArrayRef<T, D>) -> Result<(ArrayD<T>, ArrayD<T>), Error> {
        let tangent = self.plan.rows_of_shape("tangent", tangent.view())?;
        let [value, derivative] = self.plan.each([PerLane::One; 2], |i, [value, derivative]| {
            (value[0], derivative[0]) = self.lane(i)?.jvp(tangent.row(i))?;
            Ok(())
        })?;
        Ok((self.plan.per_lane(value), self.plan.per_lane(derivative)))
    }

    /// [`Terms::hvp`] of each lane.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if `vector` does not have the array's shape.
    pub fn hvp(&self, vector: &ArrayRef<T, D>) -> Result<Array<T, D>, Error> {
        let vector = self.plan.rows_of_shape("vector", vector.view())?;
        let [out] = self.plan.each([PerLane::Each], |i, [out]| self.lane(i)?.hvp(vector.row(i), out))?;
        Ok(self.plan.per_element(out))
    }
}
