//! The states of aggregates: an accumulator of the library for each group.

use crate::numbers::Number;
use datafusion::common::{DataFusionError, Result};
use logsum::{Accumulator, EffectiveSampleSize, Error};
use std::fmt::Debug;

/// An error of the library as one of the engine.
pub(crate) fn failed(error: Error) -> DataFusionError {
    DataFusionError::Execution(error.to_string())
}

/// A state whose bits depend only on its numbers, not on their order or on how states are merged.
pub(crate) trait State: Copy + Debug + Send + Sync + 'static {
    type Number: Number;

    fn empty() -> Self;

    /// Adds numbers, with their weights if there are weights.
    fn update(&mut self, z: &[Self::Number], weights: Option<&[Self::Number]>) -> Result<(), Error>;

    /// Adds each number, with its weight if there are weights, to the state of its group.
    fn update_groups(
        states: &mut [Self],
        groups: &[usize],
        z: &[Self::Number],
        weights: Option<&[Self::Number]>,
    ) -> Result<(), Error>;

    fn merge(&mut self, other: &Self);
    fn bytes(&self) -> impl AsRef<[u8]> + use<Self>;
    fn read(bytes: &[u8]) -> Result<Self, Error>;
}

impl<T: Number> State for Accumulator<T> {
    type Number = T;

    fn empty() -> Self {
        Self::new()
    }

    fn update(&mut self, z: &[T], weights: Option<&[T]>) -> Result<(), Error> {
        match weights {
            Some(weights) => self.update_weighted(z, weights),
            None => {
                Self::update(self, z);
                Ok(())
            }
        }
    }

    fn update_groups(
        states: &mut [Self],
        groups: &[usize],
        z: &[T],
        weights: Option<&[T]>,
    ) -> Result<(), Error> {
        Accumulator::update_groups(states, groups, z, weights)
    }

    fn merge(&mut self, other: &Self) {
        Self::merge(self, other);
    }

    fn bytes(&self) -> impl AsRef<[u8]> + use<T> {
        self.to_bytes()
    }

    fn read(bytes: &[u8]) -> Result<Self, Error> {
        Self::from_bytes(bytes)
    }
}

impl<T: Number> State for EffectiveSampleSize<T> {
    type Number = T;

    fn empty() -> Self {
        Self::new()
    }

    fn update(&mut self, z: &[T], _weights: Option<&[T]>) -> Result<(), Error> {
        Self::update(self, z);
        Ok(())
    }

    fn update_groups(
        states: &mut [Self],
        groups: &[usize],
        z: &[T],
        _weights: Option<&[T]>,
    ) -> Result<(), Error> {
        EffectiveSampleSize::update_groups(states, groups, z)
    }

    fn merge(&mut self, other: &Self) {
        Self::merge(self, other);
    }

    fn bytes(&self) -> impl AsRef<[u8]> + use<T> {
        self.to_bytes()
    }

    fn read(bytes: &[u8]) -> Result<Self, Error> {
        Self::from_bytes(bytes)
    }
}
