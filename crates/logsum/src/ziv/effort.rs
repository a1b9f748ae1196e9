//! How many terms the later phases have summed: a measure of an input's cost that is the same on every machine.

use crate::interrupt::checkpoint;
use std::sync::atomic::{AtomicU64, Ordering};

/// Terms that this process has summed so far in the phases after a sum's own state. For tests.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    pub triple_double: u64,
    pub fixed_point: u64,
    pub arbitrary: u64,
}

impl Effort {
    pub fn so_far() -> Self {
        let [triple_double, fixed_point, arbitrary] = TERMS.each_ref().map(|n| n.load(Ordering::Relaxed));
        Self { triple_double, fixed_point, arbitrary }
    }

    /// The terms summed after `start`.
    #[must_use]
    pub fn since(start: Self) -> Self {
        let now = Self::so_far();
        Self {
            triple_double: now.triple_double - start.triple_double,
            fixed_point: now.fixed_point - start.fixed_point,
            arbitrary: now.arbitrary - start.arbitrary,
        }
    }
}

static TERMS: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

/// A phase whose terms are counted.
#[derive(Clone, Copy)]
pub(super) enum Rung {
    TripleDouble,
    FixedPoint,
    Arbitrary,
}

/// Also checks for interrupts, since this is called by work that takes long.
pub(super) fn count(rung: Rung, terms: usize) {
    checkpoint();
    TERMS[rung as usize].fetch_add(terms as u64, Ordering::Relaxed);
}
