//! Σ e^{z_k} of a row, by all threads of a team.

use crate::format::{Format, Number as _};
use crate::line::Line;
use crate::team::{Combined, Team};
use crate::thread::{Thread, exchange_f64};
use core::marker::PhantomData;
use logsum_arithmetic::double_double::{DoubleDouble, power_of_two, two_sum};
use logsum_arithmetic::exp::{EXP_F64_FINE_ERROR, NOTHING, UNSCALE};
use logsum_arithmetic::log_of_sum::SLACK;
use logsum_arithmetic::precision::{FineF64, Number, Precision};

/// How far from 0 a maximum may be for e^z to be summed as it is, without a shift: nothing then leaves the range in
/// which the bounds of `logsum_arithmetic::exp` hold.
const REACH: f64 = 64.0;

/// Σ e^{z_k}, with terms of the greatest number kept apart.
pub struct Sum<P> {
    /// The greatest number, NaN not counted; −∞ if there is none.
    pub max: f64,
    /// What exponentials are relative to: 0, or the maximum.
    pub center: f64,
    /// How many numbers that equal the greatest are kept apart: all of them after [`about_max`](Sum::about_max) or
    /// where the maximum is beyond `REACH`, else one for each thread that has any.
    pub greatest: u32,
    /// Σ e^{z − center} of the others, in units of [`UNSCALE`]; NaN if any number is.
    others: DoubleDouble,
    precision: PhantomData<fn() -> P>,
}

impl<P: Precision> Sum<P> {
    /// Of a row, and the pieces that this thread loaded last. All threads of the block must call it.
    #[inline(always)]
    pub fn of<T: Format, L: Line<T>, const LOADS: usize, const WHOLE: bool, G: Thread>(
        gpu: G,
        row: L,
        team: Team,
    ) -> (Self, L::Held<LOADS>) {
        Self::within::<T, L, LOADS, WHOLE, G>(gpu, row, team, REACH)
    }

    /// Of a row, relative to its maximum, wherever that is: so all numbers that equal it are counted. All threads of
    /// the block must call it.
    #[inline(always)]
    pub fn about_max<T: Format, L: Line<T>, const LOADS: usize, G: Thread>(
        gpu: G,
        row: L,
        team: Team,
    ) -> Self {
        Self::within::<T, L, LOADS, false, G>(gpu, row, team, -1.0).0
    }

    /// Of a row with this greatest number, given the [`tail`](Self::tail).
    #[inline(always)]
    pub(crate) fn of_relative(max: f64, tail: DoubleDouble) -> Self {
        // Infinite scores are counted: each is 1 in the tail.
        let greatest = if max == f64::INFINITY { 1 + (tail.hi * UNSCALE) as u32 } else { 1 };
        Self { max, center: max, greatest, others: tail, precision: PhantomData }
    }

    /// Relative to 0 if the maximum is within `reach`, and else to the maximum.
    #[inline(always)]
    fn within<T: Format, L: Line<T>, const LOADS: usize, const WHOLE: bool, G: Thread>(
        gpu: G,
        row: L,
        team: Team,
        reach: f64,
    ) -> (Self, L::Held<LOADS>) {
        // One of each thread's greatest numbers stays out of its sum.
        let mut max = T::Number::NEG_INFINITY;
        let mut sums = [DoubleDouble::ZERO; 2];
        let mut held = row.each::<LOADS, WHOLE, G>(gpu, team, |i, z| {
            let [greater, other] = max.sorted(gpu, z);
            max = greater;
            sums[i % 2] = other.exp::<P, G>(gpu).added_to(sums[i % 2]);
        });
        let greatest = team.greatest(gpu, max).to_f64();
        let is_near = greatest.abs() <= reach;
        let mut terms = Terms::<P>::of(sums, 1);
        if max.to_f64() < greatest {
            terms = Terms::of([terms.sum, P::exp_at_0(max.to_f64()).to_dd()], 0);
        }
        if !is_near {
            // Once more, relative to the greatest number, which may be infinite.
            let (mut sums, mut count) = ([DoubleDouble::ZERO; 2], 0);
            row.each::<2, false, G>(gpu, team, |i, z| {
                let z = z.to_f64();
                if z == greatest {
                    count += 1;
                } else {
                    sums[i % 2] = P::exp(z, greatest).added_to(sums[i % 2]);
                }
            });
            terms = Terms::of(sums, count);
            held = row.last(gpu, team);
        }
        let Terms { sum, greatest: count, .. } = team.all(gpu, terms);
        let center = if is_near { 0.0 } else { greatest };
        (Self { max: greatest, center, greatest: count, others: sum, precision: PhantomData }, held)
    }

    /// Bounds the relative error of [`whole`](Self::whole), and with that of a factor that of the tail, where threads
    /// add so many terms one after the other.
    ///
    /// In double-double, additions are those of [`Number::added_to`]: u²(k + 4) for the k-th.
    #[inline(always)]
    pub fn relative_error(additions: f64) -> f64 {
        let of_additions = if P::IS_DOUBLE_DOUBLE {
            additions * (additions + 16.0) * power_of_two(-106)
        } else {
            additions * power_of_two(-53)
        };
        let of_factor = if P::IS_DOUBLE_DOUBLE { P::FACTOR_ERROR } else { EXP_F64_FINE_ERROR };
        (P::EXP_ERROR + of_factor + of_additions) * SLACK
    }

    /// Whether any number is NaN.
    #[inline(always)]
    pub fn is_nan(&self) -> bool {
        self.others.hi.is_nan()
    }

    /// Whether numbers below the greatest one may be seen in a result, where the sum is relative to that.
    #[inline(always)]
    pub fn has_lesser(&self) -> bool {
        self.others.hi >= NOTHING
    }

    /// Σ e^{z − center}, in units of [`UNSCALE`].
    #[inline(always)]
    pub fn whole(&self) -> P::Number<f64> {
        let of_max = P::exp(self.max, self.center);
        P::Number::of(self.others) + of_max.by(f64::from(self.greatest))
    }

    /// The sum of all but one of the greatest numbers, relative to that one, in units of [`UNSCALE`]; NaN if any number
    /// is.
    #[inline(always)]
    pub fn tail(&self) -> DoubleDouble {
        let others =
            if self.center == self.max { self.others } else { relative_to_max::<P>(self.others, self.max) };
        let equal = all_but_one(self.greatest);
        if P::IS_DOUBLE_DOUBLE { others + equal } else { DoubleDouble::from(others.hi + equal) }
    }
}

/// The terms of so many greatest numbers but one, each 1, in units of [`UNSCALE`]. There is no greatest number only
/// where there are no numbers but NaN.
#[inline(always)]
pub(crate) fn all_but_one(greatest: u32) -> f64 {
    if greatest == 0 { 0.0 } else { f64::from(greatest - 1) / UNSCALE }
}

/// Additions that follow each other in the sum of a row by so many threads: of its numbers, and of threads and parts.
#[inline(always)]
pub fn additions(length: u32, threads: u32) -> f64 {
    f64::from(length >> threads.trailing_zeros()) + 64.0
}

/// Makes a sum that is relative to e^0 relative to e^max, the greatest term.
#[inline(always)]
fn relative_to_max<P: Precision>(sum: DoubleDouble, max: f64) -> DoubleDouble {
    if P::IS_DOUBLE_DOUBLE {
        // Each factor is scaled by the square root of UNSCALE: either may be tiny, but no part of a tail that matters
        // is subnormal.
        const ROOT: f64 = power_of_two(-256);
        sum.scaled(ROOT) * P::factor(0.0, max).scaled(ROOT)
    } else {
        // Off by two roundings more.
        let of_max = FineF64::exp_at_0(max).0;
        DoubleDouble::from(sum.hi / of_max / UNSCALE)
    }
}

/// A sum of terms in a precision, and how many numbers are the greatest, and not in it.
pub(crate) struct Terms<P> {
    pub(crate) sum: DoubleDouble,
    pub(crate) greatest: u32,
    precision: PhantomData<fn() -> P>,
}

// Derived implementations would require Clone and Copy of P.
impl<P> Clone for Terms<P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Terms<P> {}

impl<P: Precision> Terms<P> {
    /// Of two sums, which need not be normalised.
    #[inline(always)]
    pub(crate) fn of([a, b]: [DoubleDouble; 2], greatest: u32) -> Self {
        let sum = if P::IS_DOUBLE_DOUBLE {
            two_sum(a.hi, a.lo) + two_sum(b.hi, b.lo)
        } else {
            DoubleDouble::from(a.hi + b.hi)
        };
        Self { sum, greatest, precision: PhantomData }
    }
}

impl<P: Precision> Combined for Terms<P> {
    const WORDS: u32 = 3;

    #[inline(always)]
    fn exchanged<G: Thread>(self, gpu: G, mask: u32) -> Self {
        let lo = if P::IS_DOUBLE_DOUBLE { exchange_f64(gpu, self.sum.lo, mask) } else { 0.0 };
        let sum = DoubleDouble { hi: exchange_f64(gpu, self.sum.hi, mask), lo };
        Self { sum, greatest: gpu.exchange(self.greatest, mask), ..self }
    }

    #[inline(always)]
    fn with(self, other: Self) -> Self {
        let sum = (P::Number::of(self.sum) + P::Number::of(other.sum)).to_dd();
        Self { sum, greatest: self.greatest + other.greatest, ..self }
    }

    #[inline(always)]
    fn word(self, index: u32) -> u64 {
        match index {
            0 => self.sum.hi.to_bits(),
            1 => self.sum.lo.to_bits(),
            _ => self.greatest.into(),
        }
    }

    #[inline(always)]
    fn of_words(word: impl Fn(u32) -> u64) -> Self {
        let [hi, lo] = [0, 1].map(|index| f64::from_bits(word(index)));
        Self { sum: DoubleDouble { hi, lo }, greatest: word(2) as u32, precision: PhantomData }
    }
}
