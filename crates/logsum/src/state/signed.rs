//! The state of a sum Σ b_k e^{z_k}, with weights of any sign, over part of its terms, and its merge.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two};
use crate::arithmetic::exp::UNSCALE;
use crate::arithmetic::log_of_sum::{SLACK, error_of_share};
use crate::arithmetic::precision::Precision;
use crate::formats::Format;
use crate::formats::nearest::Zero;
use crate::kernels::row_access::{BLOCK, PIECE};
use crate::kernels::row_functions::BoundedShare;
use crate::kernels::signed_block::{self, LEAST_ERROR, Weighted};
use crate::kernels::term_source::{TermBlock, TermSource};
use crate::simd::task;
use crate::threads::{grain, in_tree};
use std::marker::PhantomData;
use std::ops::Range;

/// Numbers with their weights: by default 1, and 0 where a number is masked out. The sum is divided by the integer
/// `divisor`.
#[derive(Clone, Copy)]
pub(crate) struct Pairs<'a, T> {
    pub(crate) z: &'a [T],
    pub(crate) b: Option<&'a [T]>,
    pub(crate) mask: Option<&'a [bool]>,
    pub(crate) divisor: f64,
}

impl<'a, T: Format> Pairs<'a, T> {
    pub(crate) fn blocks(self) -> impl Iterator<Item = Pairs<'a, T>> {
        (0..self.z.len()).step_by(BLOCK).map(move |start| self.part(start..self.z.len().min(start + BLOCK)))
    }

    fn part(self, range: Range<usize>) -> Self {
        let b = self.b.map(|b| &b[range.clone()]);
        let mask = self.mask.map(|mask| &mask[range.clone()]);
        Self { z: &self.z[range], b, mask, ..self }
    }

    /// The weights of a block, with 0 where the mask is false.
    pub(crate) fn weights<'b>(&'b self, room: &'b mut [T; BLOCK]) -> &'b [T] {
        if let (Some(b), None) = (self.b, self.mask) {
            return b;
        }
        let room = &mut room[..self.z.len()];
        match self.b {
            Some(b) => room.copy_from_slice(b),
            None => room.fill(T::narrow(1.0)),
        }
        for (room, _) in room.iter_mut().zip(self.mask.unwrap_or_default()).filter(|(_, counts)| !**counts) {
            *room = T::default();
        }
        room
    }

    /// The numbers with a weight other than 0, and their weights.
    pub(crate) fn present(self) -> impl Iterator<Item = (f64, f64)> {
        self.blocks().flat_map(|block| {
            let mut room = [T::default(); BLOCK];
            let present: Vec<(f64, f64)> = block
                .z
                .iter()
                .zip(block.weights(&mut room))
                .map(|(z, b)| (z.widen(), b.widen()))
                .filter(|&(_, b)| b != 0.0)
                .collect();
            present
        })
    }
}

impl<T: Format> TermSource<T> for Pairs<'_, T> {
    fn blocks(&self, visit: &mut dyn FnMut(TermBlock<'_, T>)) {
        for block in (*self).blocks() {
            let mut room = [T::default(); BLOCK];
            let b = self.is_signed().then(|| block.weights(&mut room));
            visit(TermBlock { x: block.z, y: None, b });
        }
    }

    fn divisor(&self) -> f64 {
        self.divisor
    }

    fn is_signed(&self) -> bool {
        self.b.is_some() || self.mask.is_some()
    }

    fn zero(&self) -> Zero {
        Zero::Positive
    }
}

/// Σ b_k e^{z_k} over some of the terms, as e^shift · sum. The shift is updated as that of a `Partial` is.
#[derive(Debug)]
pub(crate) struct SignedSum<P> {
    shift: f64,
    /// In units of UNSCALE.
    sum: DoubleDouble,
    /// About Σ |b_k| e^{z_k − shift} in the same units, the scale of errors. Not finite if the sum is meaningless.
    size: f64,
    /// Bounds the error of the sum, in the same units.
    error: f64,
    precision: PhantomData<fn() -> P>,
}

/// How far another shift may exceed the current one before the sum is rescaled to it.
const REACH: f64 = 64.0;

/// Bounds the relative error of the steps of a merge: a product and an addition of double-doubles.
const MERGE_ERROR: f64 = power_of_two(-100);

impl<P: Precision> SignedSum<P> {
    pub(crate) fn over<T: Format>(pairs: Pairs<'_, T>) -> Self {
        let piece = |range, (), (): &mut ()| of_piece(pairs.part(range));
        in_tree(0..pairs.z.len(), (), PIECE, grain(pairs.z.len()), &mut (), &piece, &merge)
    }

    #[inline(always)]
    fn of_block(Weighted { shift, sum, size }: Weighted) -> Self {
        Self { shift, sum, size, error: signed_block::error::<P, f64>(size), precision: PhantomData }
    }

    #[inline(always)]
    fn merged(self, other: Self) -> Self {
        let highest = self.shift.max(other.shift);
        let shift = if highest <= self.shift + REACH { self.shift } else { highest };
        let (mine, theirs) = (self.shifted(shift), other.shifted(shift));
        let size = mine.size + theirs.size;
        Self {
            shift,
            sum: (mine.sum + theirs.sum),
            size,
            error: mine.error + theirs.error + MERGE_ERROR * size,
            precision: PhantomData,
        }
    }

    /// This sum with another shift, at most [`REACH`] below the current one.
    #[inline(always)]
    fn shifted(self, shift: f64) -> Self {
        if self.shift == shift {
            return self;
        }
        let factor = P::factor(self.shift, shift).scaled(UNSCALE);
        let size = self.size * factor.hi;
        let error = self.error * factor.hi + P::FACTOR_ERROR * SLACK * size;
        Self { shift, sum: (self.sum * factor), size, error, ..self }
    }

    /// Whether no number is NaN or +∞, no weight NaN or infinite, and no term too large.
    pub(crate) fn is_finite(&self) -> bool {
        self.size.is_finite()
    }

    /// Whether it is possible that every number is −∞ or every weight 0, or that there are no numbers.
    pub(crate) fn may_be_nothing(&self) -> bool {
        self.size.is_nan() || self.size <= LEAST_ERROR
    }

    /// The logarithm of the sum's magnitude; `None` if not even a few bits of it are known.
    pub(crate) fn estimate(&self, divisor: f64) -> Option<Estimate> {
        Estimate::new(self.shift, self.sum, self.error, divisor)
    }

    /// 1 / Σ b_k e^{z_k − shift}, and a bound on the relative error of shares; `None` if the sum's may exceed
    /// [`SHARE_ERROR`](Precision::SHARE_ERROR).
    pub(crate) fn share(&self) -> Option<BoundedShare> {
        let size = self.sum.hi.abs();
        let is_good = self.error <= P::SHARE_ERROR * size && size.is_finite();
        // One rounding more than for a share without a weight, and the error of an exponential of any argument.
        let of_term = (P::FAR_EXP_ERROR - P::EXP_ERROR) + power_of_two(-102);
        let error = error_of_share::<P, f64>(size, self.error) * SLACK + of_term * SLACK;
        is_good.then(|| BoundedShare { shift: self.shift, inverse: inverse(self.sum), error })
    }
}

/// The logarithm of a sum's magnitude, as shift + rest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Log {
    pub(crate) shift: f64,
    pub(crate) rest: DoubleDouble,
}

/// The high part becomes the shift.
impl From<DoubleDouble> for Log {
    fn from(log: DoubleDouble) -> Self {
        Self { shift: log.hi, rest: DoubleDouble::from(log.lo) }
    }
}

impl Log {
    /// As a double-double, with an error of 2^-104 of the shift.
    pub(crate) fn to_dd(self) -> DoubleDouble {
        self.rest + self.shift
    }
}

/// The logarithm of the magnitude of a sum, a bound on the error of its rest, and the sum's sign.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Estimate {
    pub(crate) log: Log,
    pub(crate) bound: f64,
    pub(crate) sign: f64,
}

impl Estimate {
    /// For e^shift · sum / divisor, where the sum, in units of UNSCALE, has an error of at most `error`; `None` if
    /// that exceeds 2^-10 of the sum.
    pub(crate) fn new(shift: f64, sum: DoubleDouble, error: f64, divisor: f64) -> Option<Self> {
        estimating(shift, sum, error, divisor)
    }
}

task! {
    fn estimating(shift: f64, sum: DoubleDouble, error: f64, divisor: f64; _: V) -> Option<Estimate> {
        let sign = if sum.hi < 0.0 { -1.0 } else { 1.0 };
        let (rest, bound) = signed_block::log(sum, error, divisor);
        bound.is_finite().then_some(Estimate { log: Log { shift, rest }, bound, sign })
    }
}

task! {
    fn inverse(sum: DoubleDouble; _: V) -> DoubleDouble {
        DoubleDouble::from(1.0) / sum.scaled(UNSCALE)
    }
}

task! {
    fn of_piece<T: Format, P: Precision>(pairs: Pairs<'_, T>; simd: V) -> SignedSum<P> {
        let mut all: Option<SignedSum<P>> = None;
        let mut room = [T::default(); BLOCK];
        for block in pairs.blocks() {
            let sum = signed_block::weighted::<P, T, V>(block.z, block.weights(&mut room), simd);
            let sum = SignedSum::of_block(sum);
            all = match all {
                Some(all) => Some(all.merged(sum)),
                None => Some(sum),
            };
        }
        all.unwrap_or(SignedSum {
            shift: 0.0,
            sum: DoubleDouble::ZERO,
            size: 0.0,
            error: 0.0,
            precision: PhantomData,
        })
    }
}

task! {
    fn merge<P: Precision>(left: SignedSum<P>, right: SignedSum<P>; _: V) -> SignedSum<P> {
        left.merged(right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arithmetic::precision::{FineDoubleDouble, FineF64, InDoubleDouble, InF64};
    use crate::reference::{big, big_dd, uniform};

    /// Asserts that the sum of a row has an error within its own bound, and that the bound is not loose.
    fn check<P: Precision>(z: &[f64], b: &[f64], worst: &mut f64) {
        let SignedSum { shift, sum, error, size, .. } =
            SignedSum::<P>::over(Pairs { z, b: Some(b), mask: None, divisor: 1.0 });
        let exact =
            z.iter().zip(b).fold(big(0.0), |sum, (&z, &b)| sum + (big(z) - big(shift)).exp() * big(b));
        let off = (big_dd(sum) * big(UNSCALE) - exact).to_f64().value().abs();
        assert!(off <= error * UNSCALE, "{z:?}, {b:?}: off by {off:e}, bound {:e}", error * UNSCALE);
        assert!(
            error
                <= 8.0 * (P::FAR_EXP_ERROR.max(P::FACTOR_ERROR) + P::SIGNED_SUM_ERROR) * size
                    + 1e3 * LEAST_ERROR
        );
        *worst = worst.max(off / (error * UNSCALE));
    }

    fn keeps_its_bound<P: Precision>() {
        let mut uniform = uniform(6);
        let mut worst = 0f64;
        for i in 0..400 {
            let length = [1, 2, 7, 17, 63, 64, 100, 1025, 3000][i % 9];
            let (spread, slope) = ([1.0, 30.0, 300.0][i % 3], [0.0, 0.5, -0.1, 100.0][i % 4]);
            let z: Vec<f64> = (0..length).map(|k| spread * uniform() + slope * k as f64).collect();
            let scale = power_of_two([0, -149, 120, 300][i % 4]);
            let b: Vec<f64> = (0..length).map(|_| scale * (uniform() - [0.5, 0.0][i % 2])).collect();
            check::<P>(&z, &b, &mut worst);
        }
        println!("worst {worst:.3} of the bound");
        assert!(worst > 1.0 / 20.0, "the bound is too loose: {worst}");
    }

    #[test]
    fn keeps_its_bound_in_f64() {
        keeps_its_bound::<InF64>();
    }

    #[test]
    fn keeps_its_bound_in_the_precisions_of_elements() {
        keeps_its_bound::<FineDoubleDouble>();
        let mut uniform = uniform(7);
        let (mut worst, mut worst_far) = (0.0, 0.0_f64);
        for i in 0..4000 {
            let z: Vec<f64> = (0..1 + i % 9).map(|_| 30.0 * uniform()).collect();
            let b: Vec<f64> = z.iter().map(|_| uniform() - 0.5).collect();
            check::<FineF64>(&z, &b, &mut worst);
            // A number of weight 0 determines the shift, and a far term is the whole sum: the difference is rounded.
            let far = [1e-10 * uniform(), -256.0 - 80.0 * uniform()];
            check::<FineF64>(&far, &[0.0, 2e35], &mut worst_far);
        }
        println!("worst {worst:.3} of the bound, far {worst_far:.3}");
        assert!(worst_far > 1.0 / 8.0, "{worst_far}");
    }

    #[test]
    fn keeps_its_bound_in_double_double() {
        keeps_its_bound::<InDoubleDouble>();
    }
}
