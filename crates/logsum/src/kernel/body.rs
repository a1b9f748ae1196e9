//! The loops over a block of numbers, written once for every precision.

use super::exp;
use super::two::{Two, two_sum};
use crate::ladder::Rung;
use crate::lane::BLOCK;

/// Independent accumulators of a sum: the element at index i goes to accumulator i mod 16, whatever the machine.
const ACCUMULATORS: usize = 16;

/// The precision that a rung computes in. All of its numbers are in units of [`exp::UNSCALE`].
pub trait Precision: Copy {
    /// Bounds the relative error of [`sum`], and of one exponential.
    ///
    /// A sum of exponentials has no cancellation, so that to their own error only the sum's is added.
    const ERROR: f64;

    /// The rung that computes in it.
    const RUNG: Rung;

    const ZERO: Self;

    /// e^{z − c}.
    fn exp(z: f64, c: f64) -> Self;

    fn plus(self, other: Self) -> Self;

    /// As a double word, normalised.
    fn to_two(self) -> Two;

    /// The product with `factor`, rounded to f64.
    fn times(self, factor: Two) -> f64;
}

/// One word. Up to BLOCK/16 + 4 additions in a row add 68 · 2^-53 < 7.6e-15 to the exponentials' error.
impl Precision for f64 {
    const ERROR: f64 = exp::ONE_WORD_ERROR + 8e-15; // < 2^-42.9
    const RUNG: Rung = Rung::Double;
    const ZERO: Self = 0.0;

    #[inline(always)]
    fn exp(z: f64, c: f64) -> Self {
        exp::one_word(z, c)
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self + other
    }

    fn to_two(self) -> Two {
        Two { hi: self, lo: 0.0 }
    }

    #[inline(always)]
    fn times(self, factor: Two) -> f64 {
        self * factor.hi
    }
}

/// Two words. In a sum the low words are added up without normalising: with at most 68 terms in a row each low word
/// stays below 2^-45 of the sum, hence each of its roundings below 2^-98, all together below 2^-91.
impl Precision for Two {
    const ERROR: f64 = exp::TWO_WORDS_ERROR * 1.0001;
    const RUNG: Rung = Rung::DoubleWord;
    const ZERO: Self = Two::ZERO;

    #[inline(always)]
    fn exp(z: f64, c: f64) -> Self {
        exp::two_words(z, c)
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        let high = two_sum(self.hi, other.hi);
        Two { hi: high.hi, lo: self.lo + (high.lo + other.lo) }
    }

    fn to_two(self) -> Two {
        two_sum(self.hi, self.lo)
    }

    #[inline(always)]
    fn times(self, factor: Two) -> f64 {
        Two::times(self, factor).hi
    }
}

/// The greatest number of a block and where it first stands; NaN where there is one.
pub(crate) fn maximum(block: &[f64]) -> (f64, usize) {
    let mut greatest = (f64::NEG_INFINITY, 0);
    for (index, &z) in block.iter().enumerate() {
        if z.is_nan() {
            return (z, index);
        }
        if z > greatest.0 {
            greatest = (z, index);
        }
    }
    greatest
}

/// Σ e^{z_i − c} over a block of at most [`BLOCK`] numbers.
pub(crate) fn sum<P: Precision>(block: &[f64], c: f64) -> Two {
    debug_assert!(block.len() <= BLOCK);
    let mut sums = [P::ZERO; ACCUMULATORS];
    for numbers in block.chunks(ACCUMULATORS) {
        for (sum, &z) in sums.iter_mut().zip(numbers) {
            *sum = sum.plus(P::exp(z, c));
        }
    }
    let mut width = ACCUMULATORS;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            sums[i] = sums[i].plus(sums[i + width]);
        }
    }
    sums[0].to_two()
}
