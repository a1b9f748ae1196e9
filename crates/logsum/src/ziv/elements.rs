//! Softmax and log-softmax of single numbers of a row, correctly rounded: the phases after the one that the
//! kernels do for all numbers.
//!
//! | phase | error of a share, relative | of its logarithm |
//! |---|---|---|
//! | double-double; for f64 with a finer exponential | 2^-61; 2^-74 | that of log(1 + t), relative 2^-61 |
//! | about the logarithm of the sum | 2^-90 | 2^-90 |
//! | fixed point, arbitrary precision | as small as it takes | as small as it takes |
//!
//! The phases end for every row. A share e^{z_i}/Σ e^{z_k} = y makes e^{z_i} − y Σ c_k e^{z_k} vanish, where equal
//! numbers are grouped: a combination of exponentials of distinct rational numbers. By Lindemann and Weierstrass a
//! rational y then requires a single group, and is 1/n. This is half-way between two floats, m/2^k with an odd m, only
//! if it is half of the least float, which [`Elements::half_of_least`] decides. The share's logarithm is rational only
//! if one number is finite, and is then 0.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two, two_sum};
use crate::arithmetic::exp::{UNSCALE, WIDE_ERROR, exp_dd_wide};
use crate::arithmetic::precision::{Number, Precision};
use crate::formats::Format;
use crate::formats::nearest::{Zero, nearest};
use crate::kernels::row_access::Series;
use crate::kernels::{Constants, Each};
use crate::simd::task;
use crate::state::positive::Partial;
use crate::state::signed::{Estimate, Log};
use crate::ziv::centred_sum::CentredSum;
use crate::ziv::integer_sums::{Sum, quotient};
use crate::ziv::least::nearest_among_least;
use crate::ziv::{arbitrary_precision, fixed_point};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// The data from which the elements of a row with a finite maximum are computed. Sums over the row are computed when
/// they are first needed.
pub(crate) struct Elements<'a, T> {
    each: Each,
    row: &'a (dyn Series<T> + 'a),
    first: OnceLock<First>,
    centred: OnceLock<Option<Estimate>>,
    fixed: OnceLock<Option<Sum>>,
    /// The last number and its result: equal numbers tend to be unsettled together.
    last: Mutex<Option<[T; 2]>>,
}

/// The row in double-doubles.
struct First {
    constants: Constants,
    /// The sum of all but one of the greatest terms, relative to that, in units of UNSCALE, and a bound on its error.
    tail: (DoubleDouble, f64),
    /// The logarithm of the sum.
    log: DoubleDouble,
    /// The greatest number if the sum of the others is small, or the logarithm of the sum.
    center: DoubleDouble,
}

impl<'a, T: Format> Elements<'a, T> {
    pub(crate) fn new(each: Each, row: &'a (dyn Series<T> + 'a)) -> Self {
        let (first, centred, fixed) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { each, row, first, centred, fixed, last: Mutex::new(None) }
    }

    /// Sums the row now: from within work that is already on several threads, doing so later could wait for itself.
    pub(crate) fn prepared(self) -> Self {
        self.first();
        self
    }

    /// The float nearest to the share of z, a number of the row, or to its logarithm.
    #[cold]
    pub(crate) fn nearest(&self, z: T) -> T {
        if z.widen() == f64::NEG_INFINITY {
            return match self.each {
                Each::Share => T::default(),
                Each::LogShare => T::NEG_INFINITY,
            };
        }
        if let Some([_, result]) = self.last().filter(|last| last[0].same_bits(z)) {
            return result;
        }
        let result = self
            .in_double_doubles(z)
            .or_else(|| self.half_of_least(z))
            .or_else(|| self.about_logarithm(z))
            .or_else(|| self.in_fixed_point(z))
            .or_else(|| (9..).find_map(|log2| self.in_arbitrary_precision(z, 1 << log2)))
            .expect("the result keeps a distance from every half-way point (Lindemann and Weierstrass)");
        *self.last() = Some([z, result]);
        result
    }

    fn last(&self) -> MutexGuard<'_, Option<[T; 2]>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// 0, for a row of n equal numbers (and any −∞) whose share 1/n is half of the least float, a tie.
    fn half_of_least(&self, z: T) -> Option<T> {
        // For f64 there is no such n.
        let n = power_of_two((1 - T::LEAST_POWER as i32).min(1023));
        let (mut count, mut are_equal) = (0.0, self.each == Each::Share);
        if are_equal && (self.row.len() as f64) < n {
            return None;
        }
        self.row.pieces(&mut |piece| {
            for other in piece.iter().filter(|other| other.widen() > f64::NEG_INFINITY) {
                count += 1.0;
                are_equal &= other.widen() == z.widen();
            }
        });
        (are_equal && count == n).then(T::default)
    }

    fn first(&self) -> &First {
        self.first.get_or_init(|| {
            let partial = Partial::<T::Finer>::over(self.row);
            let (log, _) = partial.estimate();
            let tail = partial.tail_of_maximum();
            let is_small = tail.0.hi * UNSCALE < power_of_two(-22);
            let center = if is_small { DoubleDouble::from(partial.max) } else { log };
            First { constants: partial.constants(self.each), tail, log, center }
        })
    }

    fn in_double_doubles(&self, z: T) -> Option<T> {
        let Constants { c, two, error } = self.first().constants;
        match self.each {
            Each::Share => nearest_share(share::<T::Finer>(z.widen(), c, two), error),
            Each::LogShare => {
                let difference = two_sum(z.widen(), -c);
                if difference.hi == f64::NEG_INFINITY {
                    return Some(T::NEG_INFINITY);
                }
                let (tail, tail_error) = self.first().tail;
                nearest_among_least(difference.hi, || (-tail, tail_error))
                    .filter(|_| difference.hi == 0.0)
                    .or_else(|| nearest_log_share(difference, two, error))
            }
        }
    }

    fn about_logarithm(&self, z: T) -> Option<T> {
        let center = self.first().log;
        let centred = self.centred.get_or_init(|| CentredSum::over(&self.row, center).estimate(1.0));
        let &Estimate { log: Log { shift, rest }, bound, .. } = centred.as_ref()?;
        match self.each {
            Each::Share => {
                // The exponent is rounded by 3u² of less than 1000.
                let error = (bound + WIDE_ERROR + power_of_two(-94)) * 1.001;
                nearest_share(share_about(z.widen(), shift, rest), error)
            }
            Each::LogShare => {
                let value = sum(two_sum(z.widen(), -shift), -rest);
                nearest(value, bound + power_of_two(-100) * value.hi.abs(), Zero::Signed)
            }
        }
    }

    fn in_fixed_point(&self, z: T) -> Option<T> {
        let center = self.first().center;
        let sum = self.fixed.get_or_init(|| fixed_point::sum(&self.row, center)).as_ref()?;
        match self.each {
            Each::Share => quotient(&fixed_point::sum(&(&alone(&z) as &dyn Series<T>), center)?, sum),
            Each::LogShare => sum.log_share(z.widen(), center),
        }
    }

    fn in_arbitrary_precision(&self, z: T, bits: usize) -> Option<T> {
        let center = self.first().center;
        let sum = arbitrary_precision::sum(&self.row, center, bits);
        match self.each {
            Each::Share => {
                quotient(&arbitrary_precision::sum(&(&alone(&z) as &dyn Series<T>), center, bits), &sum)
            }
            Each::LogShare => sum.log_share(z.widen(), center),
        }
    }
}

/// A row of one number.
pub(super) fn alone<T>(z: &T) -> &[T] {
    std::slice::from_ref(z)
}

task! {
    /// e^{z − c} · inverse, in units of UNSCALE.
    pub(crate) fn share<P: Precision>(z: f64, c: f64, inverse: DoubleDouble; _: V) -> DoubleDouble {
        P::exp(z, c).to_dd() * inverse
    }
}

task! {
    /// e^{z − c − rest}, in units of UNSCALE.
    fn share_about(z: f64, c: f64, rest: DoubleDouble; _: V) -> DoubleDouble {
        let d = two_sum(z, -c) - rest;
        exp_dd_wide(d.hi, DoubleDouble::from(-d.lo))
    }
}

/// The float nearest to a share, in units of UNSCALE and with a bound on its relative error.
pub(super) fn nearest_share<T: Format>(share: DoubleDouble, error: f64) -> Option<T> {
    nearest_scaled(share, share.hi * error)
}

/// The float nearest to a value, if the bound on its error settles it; both are in units of UNSCALE.
///
/// A value that counts as e^-1000 may be smaller than its bound says, but its sign is right: it rounds to a zero of
/// that sign.
pub(crate) fn nearest_scaled<T: Format>(value: DoubleDouble, bound: f64) -> Option<T> {
    let is_f64 = T::LEAST_POWER == -1074;
    let size = value.hi.abs();
    if size < power_of_two(if is_f64 { -1100 } else { -900 } + 512) {
        return (size > bound).then(|| T::narrow(0.0_f64.copysign(value.hi)));
    }
    if is_f64 && size < power_of_two(-900 + 512) {
        return nearest_among_least(0.0, || (value, bound));
    }
    nearest(value.scaled(UNSCALE), bound * UNSCALE, Zero::Signed)
}

/// The float nearest to difference − log, for a positive log with this error and an exact difference of at most 0.
///
/// The exact result is below the difference. This settles the many cases in which the difference is half-way between
/// two floats and log is negligible beside it.
fn nearest_log_share<T: Format>(difference: DoubleDouble, log: DoubleDouble, error: f64) -> Option<T> {
    let value = sum(difference, -log);
    let bound = error + power_of_two(-100) * value.hi.abs();
    nearest(value, bound, Zero::Signed).or_else(|| {
        let below = two_sum(difference.hi, difference.lo.next_down());
        let [low, high] = [sum(value, DoubleDouble::from(-bound)), below].map(T::narrow_sum);
        low.same_bits(high).then_some(low)
    })
}

task! {
    fn sum(a: DoubleDouble, b: DoubleDouble; _: V) -> DoubleDouble {
        a + b
    }
}
