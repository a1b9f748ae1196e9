//! How many terms the later phases have summed: what an input costs, as a count that no machine changes.

use std::sync::atomic::{AtomicU64, Ordering};

/// Terms that this process has summed so far in the phases after a sum's own state. For tests.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    pub centred: u64,
    pub bits_128: u64,
    pub bits_256: u64,
    pub arbitrary: u64,
}

impl Effort {
    pub fn so_far() -> Self {
        let [centred, bits_128, bits_256, arbitrary] = TERMS.each_ref().map(|n| n.load(Ordering::Relaxed));
        Self { centred, bits_128, bits_256, arbitrary }
    }

    /// The terms summed after `start`.
    pub fn since(start: Self) -> Self {
        let now = Self::so_far();
        Self {
            centred: now.centred - start.centred,
            bits_128: now.bits_128 - start.bits_128,
            bits_256: now.bits_256 - start.bits_256,
            arbitrary: now.arbitrary - start.arbitrary,
        }
    }
}

static TERMS: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

/// A phase whose terms are counted.
#[derive(Clone, Copy)]
pub(super) enum Rung {
    Centred,
    Bits128,
    Bits256,
    Arbitrary,
}

pub(super) fn count(rung: Rung, terms: usize) {
    TERMS[rung as usize].fetch_add(terms as u64, Ordering::Relaxed);
}
