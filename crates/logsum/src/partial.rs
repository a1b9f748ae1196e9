//! The state of a log-sum-exp that is under way, and its merge.

use crate::float::Float;
use crate::kernel::body::{self, Precision};
use crate::kernel::exp::{self, UNSCALE};
use crate::kernel::log::log1p;
use crate::kernel::two::{Two, power_of_two};
use crate::lane::{BLOCK, Lane};
use std::marker::PhantomData;

/// Σ e^{z_k} over some of the numbers, as e^max + e^shift · tail.
///
/// One element that equals the maximum stands apart from the sum of all others, so that
/// LSE = max + log(1 + t), t = e^{shift − max} · tail, keeps the *relative* accuracy of t where it is tiny:
/// log-sum-exp of [0, −40] is e^-40, not 0.
///
/// The shift follows the maximum only in jumps of more than [`REACH`]. Would it follow at each new maximum, a row in
/// ascending order would multiply its sum by one more rounded factor per block; so the sums before a jump are less
/// than e^-64 of the sum after it, and their factor's error is no concern.
///
/// `max` alone decides the edges: NaN if there is one, else +∞ if there is one, −∞ if there is nothing else; the
/// tail says nothing then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Partial<P> {
    pub(crate) max: f64,
    shift: f64,
    /// In units of UNSCALE.
    tail: Two,
    /// Bounds the tail's relative error.
    error: f64,
    precision: PhantomData<P>,
}

/// How far the maximum may rise above the shift.
const REACH: f64 = 64.0;

/// Bounds what [`Partial::merge`] adds to the relative error: two additions and a product of double words,
/// 3u² + 3u² + 5u².
const MERGE_ERROR: f64 = 1e-30; // > 2^-100

impl<P: Precision> Partial<P> {
    /// No number yet: e^−∞ = 0.
    pub(crate) const EMPTY: Self = Self {
        max: f64::NEG_INFINITY,
        shift: f64::NEG_INFINITY,
        tail: Two::ZERO,
        error: 0.0,
        precision: PhantomData,
    };

    /// One block of at most [`BLOCK`] numbers.
    pub(crate) fn of<T: Float>(block: &[T]) -> Self {
        let mut wide = [0.0; BLOCK];
        let wide = &mut wide[..block.len()];
        wide.iter_mut().zip(block).for_each(|(to, from)| *to = from.to_f64());
        let (max, index) = body::maximum(wide);
        if !max.is_finite() {
            return Self { max, ..Self::EMPTY };
        }
        wide[index] = f64::NEG_INFINITY; // the one that stands apart
        Self { max, shift: max, tail: body::sum::<P>(wide, max), error: P::ERROR, precision: PhantomData }
    }

    /// All numbers of a lane.
    pub(crate) fn over<T: Float>(lane: &impl Lane<T>) -> Self {
        let mut all = Self::EMPTY;
        lane.blocks(|block| all = all.merge(Self::of(block)));
        all
    }

    /// The numbers of both. Associative and commutative within the bounds that it keeps; [`EMPTY`](Self::EMPTY) is
    /// its identity, exactly.
    pub(crate) fn merge(self, other: Self) -> Self {
        let max = match () {
            () if self.max.is_nan() => self.max,
            () if other.max.is_nan() => other.max,
            () => self.max.max(other.max),
        };
        if self.max == f64::NEG_INFINITY {
            return other;
        }
        if other.max == f64::NEG_INFINITY {
            return self;
        }
        if !max.is_finite() {
            return Self { max, ..Self::EMPTY };
        }
        // Where the maximum is out of this shift's reach it is within the other's, which then is greater.
        let shift = if max <= self.shift + REACH { self.shift } else { other.shift };
        let (mine, theirs) = (self.shifted(shift), other.shifted(shift));
        let second = P::exp(self.max.min(other.max), shift).to_two();
        Self {
            max,
            shift,
            tail: mine.tail.plus(theirs.tail).plus(second),
            error: mine.error.max(theirs.error) + MERGE_ERROR,
            precision: PhantomData,
        }
    }

    fn shifted(self, shift: f64) -> Self {
        if self.shift == shift {
            return self;
        }
        let factor = exp::two_words(self.shift, shift).scaled(UNSCALE);
        Self { shift, tail: self.tail.times(factor), error: self.error + exp::TWO_WORDS_ERROR, ..self }
    }

    /// t in units of UNSCALE. For a finite maximum.
    fn scaled_tail(&self) -> Self {
        self.shifted(self.max)
    }

    /// Whether the value is the maximum, and nothing else can be nearer: t < 2^-1076.
    ///
    /// Then 0 ≤ LSE − max < 2^-1076, while half of the least distance between two floats is 2^-1075. Terms that
    /// counted as 0 do not matter: 2^64 of them are below 2^-1378. A row with a single finite number is this case
    /// with t = 0, and by Lindemann and Weierstrass the only one in which the value is rational.
    pub(crate) fn is_its_maximum(&self) -> bool {
        self.scaled_tail().tail.hi < power_of_two(512 - 1077)
    }

    /// LSE as a double word and a bound on its error. For a finite maximum.
    pub(crate) fn estimate(&self) -> (Two, f64) {
        let Self { tail, error, .. } = self.scaled_tail();
        let t = tail.scaled(UNSCALE);
        let (log, log_error) = log1p(t);
        let estimate = log.plus_one_word(self.max);
        // d log(1 + t) = dt/(1 + t); the factors above 1 cover this line's own roundings and second-order terms.
        let from_tail = error * 1.000_001 * t.hi / (1.0 + t.hi);
        // The sum max + log is exact but for its low word. t may have lost up to 2^-1074 to underflow.
        let from_sum = power_of_two(-103) * (self.max.abs() + log.hi) + power_of_two(-1070);
        (estimate, (from_tail + log_error * 1.000_001 + from_sum) * 1.000_001)
    }

    /// log(1 + t) = LSE − max, relative error below 2^-61. For a finite maximum.
    pub(crate) fn above_maximum(&self) -> Two {
        log1p(self.scaled_tail().tail.scaled(UNSCALE)).0
    }

    /// 1/(1 + t) = e^{max − LSE}, relative error below 2^-61 in two words, 2^-44 in one. For a finite maximum.
    pub(crate) fn inverse(&self) -> Two {
        Two::ONE.over(self.scaled_tail().tail.scaled(UNSCALE).plus_one_word(1.0))
    }
}
