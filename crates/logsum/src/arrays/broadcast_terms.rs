//! Weighted and masked log-sum-exps over the axes of an array.

use crate::arrays::EQUAL;
use crate::arrays::axes::Axes;
use crate::arrays::contiguous_rows::{PerRow, Plan, Rows};
use crate::error::Error;
use crate::memory::zeros;
use crate::operations::Float;
use crate::operations::batch::WeightedRows;
use crate::operations::{NoMass, Terms};
use ndarray::{Array, ArrayD, ArrayRef, Dimension};
use std::marker::PhantomData;

/// [`Terms`] over the axes of an array: weights and mask broadcast to its shape.
/// [`LogSumExp::terms`](super::LogSumExp::terms) creates one.
///
/// Values, bounds and special cases are those of [`Terms`]: a row has the numbers along the reduced axes. If the array
/// is not in C order with the reduced axes last, its rows are copied.
///
/// # Errors
/// Methods that compute, and those that set weights or a mask, return [`Error::OutOfMemory`] if a result or a copy does
/// not fit into memory.
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
    temperature: f64,
    no_mass: NoMass,
    dimension: PhantomData<D>,
}

impl<'a, T: Float, D: Dimension> ArrayTerms<'a, T, D> {
    pub(super) fn new(z: &'a ArrayRef<T, D>, axes: impl Into<Axes>) -> Result<Self, Error> {
        let plan = Plan::new(z, axes)?;
        let z = plan.rows(z)?;
        Ok(Self {
            plan,
            z,
            weights: None,
            mask: None,
            temperature: 1.0,
            no_mass: NoMass::Zero,
            dimension: PhantomData,
        })
    }

    /// Sets the weights, of any sign, which broadcast to the array's shape.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// let (z, weights) = (array![[0.0, 0.0], [0.0, 1e4]], array![3.0, 1.0]);
    /// assert_eq!(z.terms(1)?.weights(&weights)?.logsumexp()?, array![4f64.ln(), 1e4].into_dyn());
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if they do not broadcast.
    pub fn weights<E: Dimension>(self, b: &'a ArrayRef<T, E>) -> Result<Self, Error> {
        Ok(Self { weights: Some(self.plan.broadcast("weights", b)?), ..self })
    }

    /// Includes only the terms for which the mask is true; it broadcasts to the array's shape.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// let (z, mask) = (array![[0.0, 7.0], [1.0, f64::NAN]], array![true, false]);
    /// assert_eq!(z.terms(1)?.mask(&mask)?.logsumexp()?, array![0.0, 1.0].into_dyn());
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if it does not broadcast.
    pub fn mask<E: Dimension>(self, mask: &'a ArrayRef<bool, E>) -> Result<Self, Error> {
        Ok(Self { mask: Some(self.plan.broadcast("mask", mask)?), ..self })
    }

    /// Sets the temperature, as [`Terms::temperature`].
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// let z = array![[1e4, 1e4 - 2.0]];
    /// assert_eq!(z.terms(1)?.temperature(2.0)?.softmax()?, array![[0.7310585786300049, 0.2689414213699951]]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::TemperatureOutOfRange`] unless `temperature` is positive and finite.
    pub fn temperature(self, temperature: f64) -> Result<Self, Error> {
        Terms::<T>::new(&[]).temperature(temperature)?;
        Ok(Self { temperature, ..self })
    }

    /// Sets the gradient and softmax of rows without mass, as [`Terms::no_mass`].
    ///
    /// ```
    /// use logsum::{LogSumExp, NoMass};
    /// use ndarray::array;
    /// let z = array![[f64::NEG_INFINITY, f64::NEG_INFINITY]];
    /// assert_eq!(z.terms(1)?.no_mass(NoMass::Uniform).softmax()?, array![[0.5, 0.5]]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    #[must_use]
    pub fn no_mass(self, no_mass: NoMass) -> Self {
        Self { no_mass, ..self }
    }

    /// Calls `f` with the terms of a row.
    fn row<R>(&self, index: usize, f: impl FnOnce(Terms<'_, T>) -> R) -> R {
        let z = self.z.row(index);
        let weights = self.weights.as_ref().map(|weights| weights.row(index));
        let mask = self.mask.as_ref().map(|mask| mask.row(index));
        let terms = Terms::new(&z).no_mass(self.no_mass);
        let mut terms = terms.temperature(self.temperature).expect("it was checked when it was given");
        if let Some(weights) = &weights {
            terms = terms.weights(weights).expect(EQUAL);
        }
        if let Some(mask) = &mask {
            terms = terms.mask(mask).expect(EQUAL);
        }
        f(terms)
    }

    /// [`Terms::logsumexp`] of each row.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// let (z, b) = (array![[2.0, 2.0]], array![1.5, -0.5]);
    /// assert_eq!(z.terms(1)?.weights(&b)?.logsumexp()?, array![2.0].into_dyn());
    /// # Ok::<(), logsum::Error>(())
    /// ```
    pub fn logsumexp(&self) -> Result<ArrayD<T>, Error> {
        let [mut values, signs] = self.values_and_signs()?;
        for (value, sign) in values.iter_mut().zip(signs) {
            if sign.widen() < 0.0 {
                *value = T::narrow(f64::NAN);
            }
        }
        Ok(self.plan.per_row(values))
    }

    /// [`Terms::logsumexp_with_sign`] of each row.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// let (z, b) = (array![[2.0, 2.0]], array![0.5, -1.5]);
    /// let (values, signs) = z.terms(1)?.weights(&b)?.logsumexp_with_sign()?;
    /// assert_eq!((values, signs), (array![2.0].into_dyn(), array![-1.0].into_dyn()));
    /// # Ok::<(), logsum::Error>(())
    /// ```
    pub fn logsumexp_with_sign(&self) -> Result<(ArrayD<T>, ArrayD<T>), Error> {
        let [value, sign] = self.values_and_signs()?;
        Ok((self.plan.per_row(value), self.plan.per_row(sign)))
    }

    fn values_and_signs(&self) -> Result<[Vec<T>; 2], Error> {
        let Plan { count, length, .. } = self.plan;
        if count == 0 || !self.row(0, |terms| terms.has_short_weighted_sum()) {
            return self.plan.each([PerRow::One; 2], |i, [value, sign]| {
                (value[0], sign[0]) = self.alone(i);
            });
        }
        let [mut values, mut signs] = [zeros(count)?, zeros(count)?];
        T::weighted_rows(self, length, &mut values, &mut signs);
        if self.weights.is_some() {
            // A weighted sum whose value rounds to zero has the value +0, never −0.
            values.iter_mut().for_each(|value| *value = value.plus_zero());
        }
        Ok([values, signs])
    }

    /// [`Terms::logsumexp_with_gradient`] of each row: the values (NaN where the sum is negative) and the gradients.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// let (z, b) = (array![[2.0, 2.0]], array![1.5, -0.5]);
    /// let (values, gradient) = z.terms(1)?.weights(&b)?.logsumexp_with_gradient()?;
    /// assert_eq!((values, gradient), (array![2.0].into_dyn(), array![[1.5, -0.5]]));
    /// # Ok::<(), logsum::Error>(())
    /// ```
    pub fn logsumexp_with_gradient(&self) -> Result<(ArrayD<T>, Array<T, D>), Error> {
        let [value, gradient] = self.plan.each([PerRow::One, PerRow::Each], |i, [value, gradient]| {
            value[0] = self.row(i, |terms| terms.logsumexp_with_gradient(gradient).expect(EQUAL));
        })?;
        Ok((self.plan.per_row(value), self.plan.per_element(gradient)?))
    }

    /// [`Terms::logsumexp_with_gradients`] of each row: the gradients with respect to z and to the weights, both
    /// of the array's shape.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// let (z, b) = (array![[2.0, 2.0]], array![1.5, 0.5]);
    /// let [by_z, by_weight] = z.terms(1)?.weights(&b)?.gradients()?;
    /// assert_eq!((by_z, by_weight), (array![[0.75, 0.25]], array![[0.5, 0.5]]));
    /// # Ok::<(), logsum::Error>(())
    /// ```
    pub fn gradients(&self) -> Result<[Array<T, D>; 2], Error> {
        let [by_z, by_weight] = self.plan.each([PerRow::Each; 2], |i, [by_z, by_weight]| {
            self.row(i, |terms| terms.logsumexp_with_gradients(by_z, by_weight).expect(EQUAL));
        })?;
        Ok([self.plan.per_element(by_z)?, self.plan.per_element(by_weight)?])
    }

    /// [`Terms::softmax`] of each row.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// let (z, b) = (array![[2.0, 2.0]], array![3.0, 1.0]);
    /// assert_eq!(z.terms(1)?.weights(&b)?.softmax()?, array![[0.75, 0.25]]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    pub fn softmax(&self) -> Result<Array<T, D>, Error> {
        let [p] =
            self.plan.each([PerRow::Each], |i, [p]| self.row(i, |terms| terms.softmax(p).expect(EQUAL)))?;
        self.plan.per_element(p)
    }

    /// [`Terms::log_softmax`] of each row.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// use std::f64::consts::LN_2;
    /// let (z, mask) = (array![[2.0, 2.0, 2.0]], array![true, true, false]);
    /// let log_p = z.terms(1)?.mask(&mask)?.log_softmax()?;
    /// assert_eq!(log_p, array![[-LN_2, -LN_2, f64::NEG_INFINITY]]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] alone: the arguments were checked when they were set.
    pub fn log_softmax(&self) -> Result<Array<T, D>, Error> {
        let [log_p] = self
            .plan
            .each([PerRow::Each], |i, [log_p]| self.row(i, |terms| terms.log_softmax(log_p).expect(EQUAL)))?;
        self.plan.per_element(log_p)
    }

    /// [`Terms::logmeanexp`] of each row.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// let (z, mask) = (array![[2.0, 2.0, 7.0]], array![true, true, false]);
    /// assert_eq!(z.terms(1)?.mask(&mask)?.logmeanexp()?, array![2.0].into_dyn());
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] alone: the arguments were checked when they were set.
    pub fn logmeanexp(&self) -> Result<ArrayD<T>, Error> {
        self.one_each(|terms| terms.logmeanexp())
    }

    /// [`Terms::logvarexp`] of each row.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// use std::f64::consts::LN_2;
    /// let (z, mask) = (array![[0.0, f64::NEG_INFINITY, 7.0]], array![true, true, false]);
    /// assert_eq!(z.terms(1)?.mask(&mask)?.logvarexp(1)?, array![-LN_2].into_dyn());
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] alone: the arguments were checked when they were set.
    pub fn logvarexp(&self, ddof: usize) -> Result<ArrayD<T>, Error> {
        self.one_each(|terms| terms.logvarexp(ddof))
    }

    /// [`Terms::softmax_entropy`] of each row.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// use std::f64::consts::LN_2;
    /// let (z, mask) = (array![[2.0, 2.0, 7.0]], array![true, true, false]);
    /// assert_eq!(z.terms(1)?.mask(&mask)?.softmax_entropy()?, array![LN_2].into_dyn());
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] alone: the arguments were checked when they were set.
    pub fn softmax_entropy(&self) -> Result<ArrayD<T>, Error> {
        self.one_each(|terms| terms.softmax_entropy())
    }

    fn one_each(&self, f: impl Fn(Terms<'_, T>) -> T + Sync) -> Result<ArrayD<T>, Error> {
        let [value] = self.plan.each([PerRow::One], |i, [value]| value[0] = self.row(i, &f))?;
        Ok(self.plan.per_row(value))
    }

    /// [`Terms::jvp`] of each row.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// let (z, b) = (array![[0.0, 0.0]], array![3.0, 1.0]);
    /// let (values, derivatives) = z.terms(1)?.weights(&b)?.jvp(&array![[1.0, 2.0]])?;
    /// assert_eq!((values, derivatives), (array![4f64.ln()].into_dyn(), array![1.25].into_dyn()));
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if `tangent` does not have the array's shape.
    pub fn jvp(&self, tangent: &ArrayRef<T, D>) -> Result<(ArrayD<T>, ArrayD<T>), Error> {
        let tangent = self.plan.rows_of_shape("tangent", tangent)?;
        let [value, derivative] = self.plan.each([PerRow::One; 2], |i, [value, derivative]| {
            (value[0], derivative[0]) = self.row(i, |terms| terms.jvp(&tangent.row(i))).expect(EQUAL);
        })?;
        Ok((self.plan.per_row(value), self.plan.per_row(derivative)))
    }

    /// [`Terms::hvp`] of each row.
    ///
    /// ```
    /// use logsum::LogSumExp;
    /// use ndarray::array;
    /// let (z, mask) = (array![[0.0, 0.0, 7.0]], array![true, true, false]);
    /// let out = z.terms(1)?.mask(&mask)?.hvp(&array![[1.0, 0.0, 1.0]])?;
    /// assert_eq!(out, array![[0.25, -0.25, 0.0]]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if `vector` does not have the array's shape.
    pub fn hvp(&self, vector: &ArrayRef<T, D>) -> Result<Array<T, D>, Error> {
        let vector = self.plan.rows_of_shape("vector", vector)?;
        if let (Rows::Contiguous(z, length), Rows::Contiguous(vector, _)) = (&self.z, &vector)
            && self.plan.count > 0
            && self.row(0, |terms| terms.has_short_hessian())
        {
            let mut out = zeros(z.len())?;
            T::hessians_of_rows(z, vector, *length, &mut out);
            return self.plan.per_element(out);
        }
        let [out] = self.plan.each([PerRow::Each], |i, [out]| {
            self.row(i, |terms| terms.hvp(&vector.row(i), out).expect(EQUAL))
        })?;
        self.plan.per_element(out)
    }
}

impl<T: Float, D: Dimension> WeightedRows<T> for ArrayTerms<'_, T, D> {
    fn copy(&self, row: usize, z: &mut [T], b: &mut [T]) {
        z.copy_from_slice(&self.z.row(row));
        match &self.weights {
            Some(weights) => b.copy_from_slice(&weights.row(row)),
            None => b.fill(T::narrow(1.0)),
        }
        if let Some(mask) = &self.mask {
            for (b, counts) in b.iter_mut().zip(&*mask.row(row)) {
                *b = if *counts { *b } else { T::default() };
            }
        }
    }

    fn alone(&self, row: usize) -> (T, T) {
        self.row(row, |terms| terms.logsumexp_with_sign())
    }
}
