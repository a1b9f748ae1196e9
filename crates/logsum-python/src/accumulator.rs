//! Sums of numbers that arrive in pieces. The numbers are checked and converted in Python, in
//! `python/logsum/_accumulator.py`.

use crate::memory::View;
use crate::numbers::{Format, detached, exception, view};
use half::{bf16, f16};
use logsum::{Accumulator, EffectiveSampleSize, Error, WeightedMean};
use numpy::Element;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::any::Any;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The operations that all states have.
trait Sum: Copy + PartialEq + Send + 'static {
    type Number: Format;
    fn empty() -> Self;
    fn update(&mut self, z: &[Self::Number], other: Option<&[Self::Number]>) -> Result<(), Error>;
    fn merge(&mut self, other: &Self);
    fn value(&self) -> Self::Number;
    fn is_proved(&self) -> bool;
    fn to_bytes(&self) -> Vec<u8>;
    fn read(bytes: &[u8]) -> Result<Self, Error>;
    fn log_weights(&self) -> Option<&Accumulator<Self::Number>>;
}

macro_rules! sum {
    ($name:ident, |$state:ident, $z:ident, $other:ident| $update:expr, |$of:ident| $log_weights:expr) => {
        impl<T: Format> Sum for $name<T> {
            type Number = T;
            fn empty() -> Self {
                Self::new()
            }
            fn update(&mut self, $z: &[T], $other: Option<&[T]>) -> Result<(), Error> {
                let $state = self;
                $update
            }
            fn merge(&mut self, other: &Self) {
                $name::merge(self, other);
            }
            fn value(&self) -> T {
                $name::value(self)
            }
            fn is_proved(&self) -> bool {
                self.is_proved_nearest()
            }
            fn to_bytes(&self) -> Vec<u8> {
                $name::to_bytes(self).to_vec()
            }
            fn read(bytes: &[u8]) -> Result<Self, Error> {
                Self::from_bytes(bytes)
            }
            fn log_weights(&self) -> Option<&Accumulator<T>> {
                let $of = self;
                $log_weights
            }
        }
    };
}

sum!(
    Accumulator,
    |state, z, weights| match weights {
        Some(weights) => state.update_weighted(z, weights),
        None => {
            state.update(z);
            Ok(())
        }
    },
    |state| Some(state)
);
sum!(
    EffectiveSampleSize,
    |state, z, _other| {
        state.update(z);
        Ok(())
    },
    |state| Some(state.log_weights())
);
sum!(WeightedMean, |state, z, x| state.update(z, x.unwrap_or_default()), |_state| None);

/// A state of any kind and format.
trait AnySum: Send {
    /// A state of the same kind with only these numbers.
    fn of<'py>(&self, a: &Bound<'py, PyAny>, b: Option<&Bound<'py, PyAny>>) -> PyResult<Box<dyn AnySum>>;
    /// Adds the numbers of the other state, and returns whether it is of the same kind; if not, nothing is added.
    fn merge(&mut self, other: &dyn Any) -> bool;
    fn value(&self) -> f64;
    fn is_proved(&self) -> bool;
    fn to_bytes(&self) -> Vec<u8>;
    fn is(&self, other: &dyn Any) -> bool;
    fn copied(&self) -> Box<dyn AnySum>;
    fn as_any(&self) -> &dyn Any;
    /// The number of terms, the greatest number, and the logarithm of the mean.
    fn statistics(&self) -> Option<(u64, f64, f64)>;
}

impl<S: Sum> AnySum for S
where
    S::Number: Element,
{
    fn of<'py>(&self, a: &Bound<'py, PyAny>, b: Option<&Bound<'py, PyAny>>) -> PyResult<Box<dyn AnySum>> {
        let py = a.py();
        let a: View<'_, S::Number> = view(a)?;
        let b: Option<View<'_, S::Number>> = b.map(view).transpose()?;
        let z = a.as_slice()?;
        let other = b.as_ref().map(View::as_slice).transpose()?;
        let mut sum = S::empty();
        detached(py, z.len(), || sum.update(z, other))?;
        Ok(Box::new(sum))
    }

    fn merge(&mut self, other: &dyn Any) -> bool {
        other.downcast_ref::<S>().map(|other| Sum::merge(self, other)).is_some()
    }

    fn value(&self) -> f64 {
        widened(Sum::value(self))
    }

    fn is_proved(&self) -> bool {
        Sum::is_proved(self)
    }

    fn to_bytes(&self) -> Vec<u8> {
        Sum::to_bytes(self)
    }

    fn is(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<S>() == Some(self)
    }

    fn copied(&self) -> Box<dyn AnySum> {
        Box::new(*self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn statistics(&self) -> Option<(u64, f64, f64)> {
        let sum = self.log_weights()?;
        Some((sum.count(), widened(sum.max()), widened(sum.logmeanexp())))
    }
}

/// Exact, since no format is wider than f64.
fn widened<T: Format>(x: T) -> f64 {
    x.widen()
}

/// A state that threads may share.
#[pyclass(frozen, module = "logsum._core")]
struct State {
    sum: Mutex<Box<dyn AnySum>>,
}

/// Evaluates an expression for the type of the state with this kind and format, which are given by name.
macro_rules! in_kind {
    ($kind:expr, $dtype:expr, $State:ident => $then:expr) => {
        match ($kind, $dtype) {
            ("accumulator", "float64") => {
                type $State = Accumulator<f64>;
                $then
            }
            ("accumulator", "float32") => {
                type $State = Accumulator<f32>;
                $then
            }
            ("accumulator", "float16") => {
                type $State = Accumulator<f16>;
                $then
            }
            ("accumulator", "bfloat16") => {
                type $State = Accumulator<bf16>;
                $then
            }
            ("sample size", "float64") => {
                type $State = EffectiveSampleSize<f64>;
                $then
            }
            ("sample size", "float32") => {
                type $State = EffectiveSampleSize<f32>;
                $then
            }
            ("sample size", "float16") => {
                type $State = EffectiveSampleSize<f16>;
                $then
            }
            ("sample size", "bfloat16") => {
                type $State = EffectiveSampleSize<bf16>;
                $then
            }
            ("mean", "float64") => {
                type $State = WeightedMean<f64>;
                $then
            }
            ("mean", "float32") => {
                type $State = WeightedMean<f32>;
                $then
            }
            ("mean", "float16") => {
                type $State = WeightedMean<f16>;
                $then
            }
            ("mean", "bfloat16") => {
                type $State = WeightedMean<bf16>;
                $then
            }
            (_, dtype) => Err(PyTypeError::new_err(format!(
                "dtype must be float64, float32, float16 or bfloat16, not {dtype}"
            ))),
        }
    };
}

impl State {
    fn sum(&self) -> MutexGuard<'_, Box<dyn AnySum>> {
        // After a panic the state is still consistent: sums are replaced or merged in one step.
        self.sum.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn holding(sum: Box<dyn AnySum>) -> Self {
        Self { sum: Mutex::new(sum) }
    }
}

#[pymethods]
impl State {
    #[new]
    fn new(kind: &str, dtype: &str) -> PyResult<Self> {
        in_kind!(kind, dtype, State => Ok(Self::holding(Box::new(<State as Sum>::empty()))))
    }

    #[staticmethod]
    fn from_bytes(py: Python<'_>, kind: &str, dtype: &str, bytes: &[u8]) -> PyResult<Self> {
        in_kind!(kind, dtype, State => {
            let sum = <State as Sum>::read(bytes).map_err(|error| exception(py, error))?;
            Ok(Self::holding(Box::new(sum)))
        })
    }

    /// Adds all numbers, or none if an exception is raised.
    fn update<'py>(&self, a: &Bound<'py, PyAny>, b: Option<&Bound<'py, PyAny>>) -> PyResult<()> {
        // First a sum of only the new numbers, so that other threads need not wait. The order does not change the bits.
        let empty = self.sum().copied();
        let new = empty.of(a, b)?;
        self.sum().merge(new.as_any());
        Ok(())
    }

    fn merge(&self, other: &Self) -> PyResult<()> {
        let other = other.sum().copied();
        if self.sum().merge(other.as_any()) {
            return Ok(());
        }
        Err(PyTypeError::new_err("both must have the same dtype"))
    }

    fn equals(&self, other: &Self) -> bool {
        let other = other.sum().copied();
        self.sum().is(other.as_any())
    }

    fn copy(&self) -> Self {
        Self::holding(self.sum().copied())
    }

    fn value(&self) -> f64 {
        self.sum().value()
    }

    fn is_proved(&self) -> bool {
        self.sum().is_proved()
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.sum().to_bytes())
    }

    fn statistics(&self) -> PyResult<(u64, f64, f64)> {
        self.sum().statistics().ok_or_else(|| PyValueError::new_err("a mean has no such statistics"))
    }
}

pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<State>()
}
