//! Shares b e^z / Σ b_k e^{z_k} of sums with weights of any sign, correctly rounded: the phases after the one that the
//! kernels do for all numbers.
//!
//! | phase | error of a share, relative |
//! |---|---|
//! | about the logarithm of the sum, from triple-doubles, or fixed point where that cancels | 2^-60 or less |
//! | fixed point | 2^-240, more where the sum cancels |
//! | one group | 0 |
//! | arbitrary precision | as small as it takes |
//!
//! The phases end for every row. For each x among the numbers, let B_x be the sum of the weights of all numbers equal
//! to x, and leave out those x where this sum is 0. A rational share y means b e^z − y Σ B_x e^x = 0, and by
//! Lindemann and Weierstrass the coefficients of equal exponents vanish: either y is 0, or z is the only x and y =
//! b/B_z, a quotient of integers, which is rounded exactly. Any other share keeps a distance from every half-way point.

use crate::arithmetic::double_double::{DoubleDouble, parts, power_of_two, two_sum};
use crate::arithmetic::exp::{UNSCALE, WIDE_ERROR, exp_dd_wide};
use crate::arithmetic::log_of_sum::{SLACK, error_of_share};
use crate::arithmetic::precision::{Number, Precision};
use crate::formats::Format;
use crate::formats::nearest::{Zero, nearest};
use crate::kernels::row_functions::{BoundedShare, greatest};
use crate::simd::{scalar_tasks, task};
use crate::state::signed::{Estimate, Log, Pairs};
use crate::ziv::arbitrary_precision::{self, Group, WEIGHT_BITS, groups};
use crate::ziv::centred_sum::CentredSum;
use crate::ziv::fixed_point;
use crate::ziv::integer_sums::{Sum, fixed, nearest_within, quotient, ratio};
use dashu_int::IBig;
use std::cell::{OnceCell, RefCell};

/// The data from which the shares of a sum that is not 0 are computed; all terms are finite. Sums are computed when
/// they are first needed.
pub(crate) struct WeightedShares<'a, T> {
    pairs: Pairs<'a, T>,
    center: DoubleDouble,
    /// The sign of the sum.
    sign: f64,
    log: OnceCell<Option<(Log, f64)>>,
    fixed: OnceCell<Option<Sum>>,
    groups: OnceCell<Vec<Group>>,
    /// With the most bits that were needed so far.
    arbitrary: RefCell<Option<Sum>>,
}

impl<'a, T: Format> WeightedShares<'a, T> {
    /// `log` is that of the sum's magnitude, approximately.
    pub(crate) fn new(pairs: Pairs<'a, T>, log: Log, sign: f64) -> Self {
        let center = log.to_dd();
        let (logarithm, fixed, groups) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Self { pairs, center, sign, log: logarithm, fixed, groups, arbitrary: RefCell::new(None) }
    }

    /// The float nearest to b e^z / Σ b_k e^{z_k}, for a number z of the row, and its weight b or 1.
    #[cold]
    pub(crate) fn nearest(&self, z: T, b: T) -> T {
        match z.widen() {
            _ if b.widen() == 0.0 => return T::default(),
            f64::NEG_INFINITY => return T::default(),
            // The derivative with respect to a weight of 0.
            wide if !wide.is_finite() => return T::narrow(wide * self.sign),
            _ => {}
        }
        let sign = self.sign * b.widen().signum();
        let power = self.power(z.widen(), b.widen());
        match power {
            ..-1080.0 => return T::narrow(sign * 0.0),
            1030.0.. => return T::narrow(sign * f64::INFINITY),
            _ => {}
        }
        self.about_logarithm(z.widen(), b.widen(), power.round())
            .or_else(|| self.in_fixed_point(z, b))
            .or_else(|| self.of_one_group(z.widen(), b.widen()))
            .or_else(|| (9..).find_map(|log2| self.in_arbitrary_precision(z, b, 1 << log2)))
            .expect("the share keeps a distance from every half-way point (Lindemann and Weierstrass)")
    }

    /// The input for the kernel that computes the shares, for sums that cancel too much for the kernels' own sums.
    pub(crate) fn share<P: Precision>(&self) -> Option<BoundedShare> {
        /// How far the numbers may be above the logarithm.
        const REACH: f64 = 64.0;
        let &(Log { shift, rest }, bound) = self.log.get_or_init(|| self.logarithm()).as_ref()?;
        let is_near = rest.hi.abs() <= 1.0 && greatest(self.pairs.z) <= shift + REACH;
        let is_good = bound <= P::SHARE_ERROR && is_near;
        // One rounding more than for a share without a weight, the error of an exponential of any argument, and that of
        // the rest.
        let of_term = (P::FAR_EXP_ERROR - P::EXP_ERROR) + power_of_two(-92);
        let error = (error_of_share::<P, f64>(1.0, bound) + of_term) * SLACK;
        is_good.then(|| BoundedShare { shift, inverse: exp_of(-rest).scaled(self.sign), error })
    }

    /// The logarithm of the sum's magnitude and a bound on its error, from triple-doubles or, where the sum cancels
    /// too much for these, from fixed point.
    fn logarithm(&self) -> Option<(Log, f64)> {
        const ENOUGH: f64 = power_of_two(-60);
        CentredSum::over(&self.pairs, self.center)
            .estimate(1.0)
            .map(|Estimate { log, bound, .. }| (log, bound))
            .filter(|&(_, bound)| bound <= ENOUGH)
            .or_else(|| self.fixed().as_ref()?.logarithm(self.center))
    }

    fn fixed(&self) -> &Option<Sum> {
        self.fixed.get_or_init(|| fixed_point::sum(&self.pairs, self.center))
    }

    /// The binary logarithm of the share's magnitude, approximately. Below −1080 the share is less than half of any
    /// format's least number, from 1030 on it overflows.
    fn power(&self, z: f64, b: f64) -> f64 {
        ((z - self.center.hi) - self.center.lo + scalar_tasks::ln(b.abs()).hi) * std::f64::consts::LOG2_E
    }

    /// The share is divided by 2^k, so that its size does not matter. The error of its exponent is 2^-92, from
    /// [`scaled_term`].
    fn about_logarithm(&self, z: f64, b: f64, k: f64) -> Option<T> {
        let &(log, bound) = self.log.get_or_init(|| self.logarithm()).as_ref()?;
        let sign = self.sign;
        let share = scaled_term(DoubleDouble::from(z), b, log, k).scaled(sign * UNSCALE);
        let error = (bound + WIDE_ERROR + power_of_two(-91)) * 1.001;
        if k.abs() < 900.0 {
            let share = share.scaled(power_of_two(k as i32));
            return nearest(share, share.hi.abs() * error, Zero::Signed);
        }
        // The share, between 1/2 and 2, in these units.
        const BITS: usize = 160;
        let units = fixed(share.hi, BITS) + fixed(share.lo, BITS);
        let error = fixed(error, BITS) * IBig::from(2) + IBig::from(3);
        nearest_within(units, error, k as isize - BITS as isize)
    }

    fn in_fixed_point(&self, z: T, b: T) -> Option<T> {
        let sum = self.fixed().as_ref()?;
        quotient(&fixed_point::sum(&term(&z, &b), self.center)?, sum)
    }

    fn of_one_group(&self, z: f64, b: f64) -> Option<T> {
        match &self.groups.get_or_init(|| groups(&self.pairs))[..] {
            [Group { x, weight }] if *x == DoubleDouble::from(z) => {
                Some(ratio(fixed(b, WEIGHT_BITS as usize), weight))
            }
            _ => None,
        }
    }

    fn in_arbitrary_precision(&self, z: T, b: T, bits: usize) -> Option<T> {
        let mut sum = self.arbitrary.borrow_mut();
        if sum.as_ref().is_none_or(|sum| sum.bits < bits) {
            *sum = Some(arbitrary_precision::sum(&self.pairs, self.center, bits));
        }
        quotient(&arbitrary_precision::sum(&term(&z, &b), self.center, bits), sum.as_ref()?)
    }
}

task! {
    /// 2^-k b e^{x − log} in units of UNSCALE for any size of b, whose power of 2 is added to the exponent.
    /// Infinite beyond the range.
    ///
    /// The exponent's error is below 15 600u² < 2^-92.0 for exponents from −1000 on: that of three sums, 2u² ·
    /// 1745, 3u² · 1745 and 3u² · 1000, and of the multiple of log 2, 5u² · 745 and 1074 · 2^-109 for log 2 itself.
    pub(super) fn scaled_term(x: DoubleDouble, b: f64, log: Log, k: f64; _: V) -> DoubleDouble {
        if b == 0.0 || x.hi == f64::NEG_INFINITY {
            return DoubleDouble::ZERO;
        }
        let (significand, exponent) = parts(b);
        let powers = DoubleDouble::LN_2 * DoubleDouble::from(f64::from(exponent) - k);
        let d = two_sum(x.hi, -log.shift) + x.lo - log.rest + powers;
        /// e^d is out of range.
        const HIGHEST: f64 = 300.0;
        if d.hi > HIGHEST {
            return DoubleDouble::from(b * f64::INFINITY);
        }
        // Below −1000 the low part has no meaning.
        let low = if d.hi > -1000.0 { -d.lo } else { 0.0 };
        exp_dd_wide(d.hi, DoubleDouble::from(low)).by(significand)
    }
}

task! {
    fn exp_of(x: DoubleDouble; _: V) -> DoubleDouble {
        exp_dd_wide(x.hi, DoubleDouble::from(-x.lo)).scaled(UNSCALE)
    }
}

/// A sum of one term.
fn term<'a, T>(z: &'a T, b: &'a T) -> Pairs<'a, T> {
    use std::slice::from_ref;
    Pairs { z: from_ref(z), b: Some(from_ref(b)), mask: None, divisor: 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arithmetic::precision::InDoubleDouble;
    use crate::kernels::row_functions::{Block, weighted_shares};
    use crate::reference::uniform;
    use crate::state::signed::SignedSum;
    use crate::ziv::Settled;
    use crate::ziv::weighted::settle;

    /// Rows that cancel to 10^-15 of their terms: shares that the kernel settles equal those that are computed alone.
    #[test]
    fn shares_of_what_cancels_are_settled_together() {
        type Elements = <f64 as Format>::Elements;
        let mut uniform = uniform(18);
        let (mut settled, mut count) = (0, 0);
        for _ in 0..150 {
            let z: Vec<f64> = (0..500)
                .flat_map(|_| {
                    let z = 6.0 * (uniform() - 0.5);
                    [z, z + 1e-15]
                })
                .collect();
            let b: Vec<f64> = (0..1000).map(|k| [-1.0, 1.0][k % 2]).collect();
            let pairs = Pairs { z: &z, b: Some(&b), mask: None, divisor: 1.0 };
            let Settled::<f64> { log, sign, .. } =
                settle(pairs, &SignedSum::<InDoubleDouble>::over(pairs), f64::INFINITY);
            let phases = WeightedShares::new(pairs, log, sign);
            let share = phases.share::<Elements>().expect("it is known well enough");
            let (mut out, mut masks) = (vec![0.0; z.len()], [0; 125]);
            weighted_shares(Block { z: &z, v: None, w: Some(&b) }, share, &mut out, &mut masks);
            for (i, &found) in out.iter().enumerate().filter(|(i, _)| masks[i / 8] >> (i % 8) & 1 == 0) {
                assert_eq!(found, phases.nearest(z[i], b[i]), "{} of {i}", z[i]);
                settled += 1;
            }
            count += z.len();
        }
        println!("settled {settled} of {count}");
        assert!(settled > count / 10 * 9, "{settled}");
    }
}
