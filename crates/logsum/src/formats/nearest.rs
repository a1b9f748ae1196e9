//! The rounding test for a format: whether the ends of one interval, or of eight, round to the same number of it.

use super::Format;
use crate::arithmetic::double_double::{DoubleDouble, two_sum};
use crate::arithmetic::rounding_test::ends_as_sums;
use crate::simd::Vector;

/// The zero that a negative value rounds to if the nearest number is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zero {
    /// −0.
    Signed,
    /// +0.
    Positive,
}

impl Zero {
    /// x, with −0 replaced by this zero.
    pub(crate) fn of<T: Format>(self, x: T) -> T {
        match self {
            Self::Signed => x,
            Self::Positive => x.plus_zero(),
        }
    }
}

/// The number of T nearest to every x with |x − value| ≤ bound, if there is one.
pub(crate) fn nearest<T: Format>(value: DoubleDouble, bound: f64, zero: Zero) -> Option<T> {
    let [low, high] = ends_as_sums(value, bound).map(|end| zero.of(T::narrow_sum(end)));
    low.same_bits(high).then_some(low)
}

/// The number of T nearest to every x with least < x ≤ value + bound, if there is one.
pub(crate) fn nearest_above<T: Format>(least: DoubleDouble, value: DoubleDouble, bound: f64) -> Option<T> {
    let DoubleDouble { hi, lo } = least;
    let [_, most] = ends_as_sums(value, bound);
    let [at, next, high] = [least, two_sum(hi, lo.next_up()), most].map(T::narrow_sum);
    // If `least` is half-way between two numbers, all x just above it round to the greater one.
    let is_half_way = (at.widen() - hi) + (next.widen() - hi) == 2.0 * lo;
    let low = if is_half_way { next } else { at };
    low.same_bits(high).then_some(low)
}

/// The lower ends of the eight intervals, rounded, and whether the upper ends round to the same numbers.
#[inline(always)]
pub(crate) fn settled<T: Format, V: Vector>(value: DoubleDouble<V>, bound: V) -> ([T; 8], [bool; 8]) {
    settled_between(T::ends(value, bound))
}

/// [`settled`], given the ends.
#[inline(always)]
pub(crate) fn settled_between<T: Format, V: Vector>([low, high]: [V; 2]) -> ([T; 8], [bool; 8]) {
    let [mut lows, mut highs] = [[T::default(); 8]; 2];
    T::store(low, &mut lows);
    T::store(high, &mut highs);
    let mut is_settled = [false; 8];
    for j in 0..8 {
        is_settled[j] = lows[j].same_bits(highs[j]);
    }
    (lows, is_settled)
}
