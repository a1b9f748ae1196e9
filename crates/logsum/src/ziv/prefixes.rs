//! The log-sum-exps of the prefixes of a row, correctly rounded, for those prefixes that the scan's own phase leaves
//! unsettled.
//!
//! | phase | its sum | error of LSE, about |
//! |---|---|---|
//! | triple-double | continues from one prefix to the next, about a centre that moves | 2^-116 |
//! | fixed point, 256 bits | continues in the same way | 2^-240 |
//! | arbitrary precision | starts anew for each prefix | as small as necessary |
//!
//! So a row whose prefixes all need the second phase, like normalised weights, takes a time proportional to its length.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two};
use crate::formats::Format;
use crate::formats::nearest::Zero;
use crate::kernels::row_access::Series;
use crate::kernels::row_functions::greatest;
use crate::kernels::term_source::TermSource;
use crate::ziv::arbitrary_precision;
use crate::ziv::centred_sum::CentredSum;
use crate::ziv::fixed_point::Running;
use crate::ziv::{Phase, Settled};
use std::ops::Range;

/// What the phases know of a prefix of the row.
pub(crate) struct Prefixes {
    /// The first `count` numbers.
    sum: CentredSum,
    max: f64,
    count: usize,
    /// The sum in fixed point, and how many numbers it has.
    long: Option<(Running, usize)>,
}

impl Prefixes {
    pub(crate) fn new() -> Self {
        Self { sum: CentredSum::about(DoubleDouble::ZERO), max: f64::NEG_INFINITY, count: 0, long: None }
    }

    /// The log-sum-exp of the first `count` numbers of a row, none of which is +∞ or NaN; `count` must not decrease
    /// from call to call. `numbers` returns the numbers of a range of positions, in any order.
    #[cold]
    pub(crate) fn value<'a, T: Format>(
        &mut self,
        count: usize,
        numbers: impl Fn(Range<usize>) -> &'a [T],
    ) -> T {
        let new = numbers(self.count..count);
        self.count = count;
        self.max = self.max.max(greatest(new));
        if self.max == f64::NEG_INFINITY {
            return T::NEG_INFINITY;
        }
        self.sum.move_up_to(self.max);
        (&(&new as &dyn Series<T>)).blocks(&mut |block| self.sum.add(block));
        // With a number 0 the sum is at least 1, and so its logarithm not negative.
        let zero = if self.max == 0.0 { Zero::Positive } else { Zero::Signed };
        let mut settled = self.sum.settled(1.0, zero, f64::INFINITY);
        if let Err(Some(log)) = settled
            && self.sum.move_to(log.hi)
        {
            settled = self.sum.settled(1.0, zero, f64::INFINITY);
        }
        let center = match settled {
            Ok(Settled { value, .. }) => return value,
            Err(center) => center.unwrap_or(DoubleDouble::from(self.sum.center())),
        };
        self.in_fixed_point(count, center, &numbers).unwrap_or_else(|| {
            arbitrary_precision::settle(&(&numbers(0..count) as &dyn Series<T>), center).value
        })
    }

    fn in_fixed_point<'a, T: Format>(
        &mut self,
        count: usize,
        center: DoubleDouble,
        numbers: impl Fn(Range<usize>) -> &'a [T],
    ) -> Option<T> {
        /// The logarithm of 1 + δ is then a short series.
        const NEAR: f64 = power_of_two(-21);
        let (sum, done) = self.long.get_or_insert_with(|| (Running::about(center), 0));
        if (center - sum.center()).hi > NEAR {
            sum.move_up(center);
        }
        let rest = numbers(*done..count);
        *done = count;
        sum.add(&(&rest as &dyn Series<T>));
        let settled = sum.sum()?.settled(sum.center(), Zero::Signed, Phase::FixedPoint)?;
        Some(settled.value)
    }
}
