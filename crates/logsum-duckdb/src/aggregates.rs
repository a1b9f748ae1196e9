//! The aggregates: the states of groups, and their values.

use logsum::{Accumulator, EffectiveSampleSize, Float};
use quack_rs::aggregate::AggregateState;

/// A state whose bits depend only on its numbers, not on their order or on how states are merged.
pub(crate) trait Sum: Copy + Send + Sync + 'static {
    type Number: Float;

    const EMPTY: Self;

    /// Adds numbers, with their weights unless `weights` is empty; otherwise it is as long as `z`.
    fn update(&mut self, z: &[Self::Number], weights: &[Self::Number]);

    fn merge(&mut self, other: &Self);
}

impl<T: Float> Sum for Accumulator<T> {
    type Number = T;

    const EMPTY: Self = Self::new();

    fn update(&mut self, z: &[T], weights: &[T]) {
        if weights.is_empty() {
            return Self::update(self, z);
        }
        // Both have the same length, so there is no error.
        let _ = self.update_weighted(z, weights);
    }

    fn merge(&mut self, other: &Self) {
        Self::merge(self, other);
    }
}

impl<T: Float> Sum for EffectiveSampleSize<T> {
    type Number = T;

    const EMPTY: Self = Self::new();

    fn update(&mut self, z: &[T], _weights: &[T]) {
        Self::update(self, z);
    }

    fn merge(&mut self, other: &Self) {
        Self::merge(self, other);
    }
}

/// The state of a group; None until there is a row without NULL.
pub(crate) struct Group<S>(pub(crate) Option<S>);

impl<S> Default for Group<S> {
    fn default() -> Self {
        Self(None)
    }
}

impl<S: Sum> AggregateState for Group<S> {}

impl<S: Sum> Group<S> {
    pub(crate) fn update(&mut self, z: &[S::Number], weights: &[S::Number]) {
        self.0.get_or_insert(S::EMPTY).update(z, weights);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        if let Some(other) = &other.0 {
            self.0.get_or_insert(S::EMPTY).merge(other);
        }
    }
}

/// An aggregate: a type of state, and the value that is computed from it.
pub(crate) trait Aggregate: 'static {
    type Sum: Sum;

    fn value(sum: &Self::Sum) -> <Self::Sum as Sum>::Number;
}

pub(crate) struct LogSumExp<T>(T);
pub(crate) struct LogMeanExp<T>(T);
pub(crate) struct SampleSize<T>(T);

impl<T: Float> Aggregate for LogSumExp<T> {
    type Sum = Accumulator<T>;

    fn value(sum: &Accumulator<T>) -> T {
        sum.value()
    }
}

impl<T: Float> Aggregate for LogMeanExp<T> {
    type Sum = Accumulator<T>;

    fn value(sum: &Accumulator<T>) -> T {
        sum.logmeanexp()
    }
}

impl<T: Float> Aggregate for SampleSize<T> {
    type Sum = EffectiveSampleSize<T>;

    fn value(sum: &EffectiveSampleSize<T>) -> T {
        sum.value()
    }
}
