//! The conventions where log-sum-exp has no ordinary answer: one table for every operation.
//!
//! | input | value | gradient, softmax | log-softmax |
//! |---|---|---|---|
//! | empty | −∞ | empty | empty |
//! | some −∞ | they add nothing | 0 there | −∞ there |
//! | all −∞: no mass | −∞ | 0 everywhere | −∞ everywhere |
//! | c times +∞ | +∞ | 1/c at each +∞, 0 elsewhere | −log c at each +∞, −∞ elsewhere |
//! | NaN anywhere | NaN | NaN everywhere | NaN everywhere |
//!
//! In every row the value is the maximum, where a NaN counts as the greatest of all, and log-softmax is the
//! logarithm of softmax.

use crate::float::Float;
use crate::kernel::log;
use crate::kernel::two::Two;
use crate::lane::Lane;

/// What an operation gives to each element of a lane at the edge.
pub(crate) struct Edge<T> {
    at_infinity: T,
    elsewhere: T,
}

impl<T: Float> Edge<T> {
    /// The softmax of a lane with this maximum, unless it is finite.
    pub(crate) fn softmax(max: f64, lane: &impl Lane<T>) -> Option<Self> {
        Self::of(max, lane, [0.0, 0.0], |count| [1.0 / count, 0.0])
    }

    /// The log-softmax of a lane with this maximum, unless it is finite.
    pub(crate) fn log_softmax(max: f64, lane: &impl Lane<T>) -> Option<Self> {
        let log = |count: f64| log::two_words(Two { hi: count - 1.0, lo: 0.0 }).0.hi;
        Self::of(max, lane, [f64::NEG_INFINITY; 2], |count| [0.0 - log(count), f64::NEG_INFINITY])
    }

    fn of(
        max: f64,
        lane: &impl Lane<T>,
        no_mass: [f64; 2],
        infinite: impl Fn(f64) -> [f64; 2],
    ) -> Option<Self> {
        let [at_infinity, elsewhere] = match max {
            f64::INFINITY => infinite(count_infinite(lane)),
            f64::NEG_INFINITY => no_mass,
            _ if max.is_nan() => [max; 2],
            _ => return None,
        };
        Some(Self { at_infinity: T::narrow(at_infinity), elsewhere: T::narrow(elsewhere) })
    }

    pub(crate) fn at(&self, z: T) -> T {
        if z.widen() == f64::INFINITY { self.at_infinity } else { self.elsewhere }
    }
}

fn count_infinite<T: Float>(lane: &impl Lane<T>) -> f64 {
    let mut count = 0_u64;
    lane.blocks(|block| count += block.iter().filter(|z| z.widen() == f64::INFINITY).count() as u64);
    count as f64
}
