//! The rounding test of eight numbers at once.

use super::Format;
use crate::arithmetic::double_double::DoubleDouble;
use crate::simd::Vector;

/// The lower ends of what is within the bounds, rounded; and which of them are the upper ends, too.
#[inline(always)]
pub(crate) fn settled<T: Format, V: Vector>(value: DoubleDouble<V>, bound: V) -> ([T; 8], [bool; 8]) {
    settled_between(T::ends(value, bound))
}

/// The lower ends, rounded; and which of them are the upper ends, too.
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
