//! The log-sum-exps of the prefixes of a row, correctly rounded, where the scan's own phase leaves one unsettled.
//!
//! | phase | its sum | error of LSE, about |
//! |---|---|---|
//! | double-double, for f64 with a finer exponential | goes on from one prefix to the next | 2^-61; 2^-75 |
//! | about the estimate | is made anew, for as long as that is linear in the row | 2^-91 |
//! | fixed point, 128 and 256 bits | goes on likewise, about a centre that moves | 2^-112; 2^-240 |
//! | arbitrary precision | is made anew | as small as it takes |
//!
//! So a row whose prefixes all need the third phase, like normalised weights, takes a time in proportion to its length.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two};
use crate::formats::Format;
use crate::formats::nearest::Zero;
use crate::kernels::row_access::{PIECE, Series};
use crate::state::positive::Partial;
use crate::ziv::fixed_point::{LONG, Running, SHORT};
use crate::ziv::{Phase, about_estimate, arbitrary_precision, of_partial, settled};
use std::ops::Range;

/// What the phases know of a prefix of the row.
pub(crate) struct Prefixes<T: Format> {
    /// The state of the first `count` numbers.
    partial: Partial<T::Finer>,
    count: usize,
    /// Sums in fixed point, and how many numbers each has.
    short: Option<(Running<SHORT>, usize)>,
    long: Option<(Running<LONG>, usize)>,
    /// How many numbers the phase about the estimate has summed.
    centred: usize,
}

impl<T: Format> Prefixes<T> {
    pub(crate) fn new() -> Self {
        Self { partial: Partial::EMPTY, count: 0, short: None, long: None, centred: 0 }
    }

    /// The log-sum-exp of the first `count` numbers of a row, of which there is no +∞ or NaN; not fewer than those
    /// asked for before. `numbers` has those of a range of positions, in any order.
    #[cold]
    pub(crate) fn value<'a>(&mut self, count: usize, numbers: impl Fn(Range<usize>) -> &'a [T]) -> T {
        for piece in numbers(self.count..count).chunks(PIECE) {
            self.partial = self.partial.merge(Partial::of(piece));
        }
        self.count = count;
        let center = match of_partial(&self.partial) {
            Ok((value, _)) => return value,
            Err(center) => center,
        };
        let prefix = numbers(0..count);
        let prefix: &dyn Series<T> = &prefix;
        self.about_estimate(prefix, center)
            .or_else(|| in_fixed_point(&mut self.short, count, center, &numbers))
            .or_else(|| in_fixed_point(&mut self.long, count, center, &numbers))
            .unwrap_or_else(|| arbitrary_precision::settle(&prefix, center).value)
    }

    fn about_estimate(&mut self, prefix: &dyn Series<T>, center: DoubleDouble) -> Option<T> {
        /// Sums of so many times the prefix are not much beside all else.
        const MOST: usize = 8;
        if self.centred > MOST * prefix.len() {
            return None;
        }
        self.centred += prefix.len();
        let estimate = about_estimate::estimate(&prefix, center)?;
        settled(estimate, f64::INFINITY, Zero::Signed, Phase::Centred).map(|settled| settled.value)
    }
}

fn in_fixed_point<'a, const L: usize, T: Format>(
    state: &mut Option<(Running<L>, usize)>,
    count: usize,
    center: DoubleDouble,
    numbers: impl Fn(Range<usize>) -> &'a [T],
) -> Option<T> {
    /// The logarithm of 1 + δ is then a short series.
    const NEAR: f64 = power_of_two(-21);
    let (sum, done) = state.get_or_insert_with(|| (Running::about(center), 0));
    if (center - sum.center()).hi > NEAR {
        sum.move_up(center);
    }
    let rest = numbers(*done..count);
    *done = count;
    sum.add(&(&rest as &dyn Series<T>));
    let settled = sum.sum()?.settled(sum.center(), Zero::Signed, Phase::FixedPoint)?;
    Some(settled.value)
}
