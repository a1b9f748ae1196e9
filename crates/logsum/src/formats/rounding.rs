//! The rounding test, of one number and of eight: where both ends of the interval round to the same number, all between them
//! does.

use super::Format;
use crate::arithmetic::double_double::DoubleDouble;
use crate::simd::Vector;

/// What a negative value becomes that is nearest to 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zero {
    /// −0.
    Signed,
    /// +0.
    Positive,
}

impl Zero {
    /// The number, with this zero.
    pub(crate) fn of<T: Format>(self, x: T) -> T {
        match self {
            Self::Signed => x,
            Self::Positive => x.plus_zero(),
        }
    }
}

/// The number of T that every x with |x − value| ≤ bound is nearest to, if there is one.
pub(crate) fn nearest<T: Format>(value: DoubleDouble, bound: f64, zero: Zero) -> Option<T> {
    let [low, high] = T::ends(value, bound).map(|end| zero.of(T::narrow(end)));
    low.same_bits(high).then_some(low)
}

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
