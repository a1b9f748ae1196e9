//! The numbers that logsum takes: f32 and f64.

use crate::kernel::body::{OneWord, Precision, TwoWords};
use crate::kernel::two::{Two, power_of_two};
use crate::kernel::word::Vector;
use std::fmt::{Debug, Display};

/// A floating-point number that logsum computes with: `f32` or `f64`.
///
/// The trait is sealed: its rounding test and its error bounds belong to the library.
pub trait Float:
    Copy + Default + PartialOrd + Debug + Display + Send + Sync + sealed::Sealed + 'static
{
}

impl Float for f32 {}
impl Float for f64 {}

pub(crate) mod sealed {
    use super::*;

    pub trait Sealed: Copy {
        /// What its first rung computes in: the next wider precision.
        type First: Precision;

        /// Bits of the significand, the implicit one included.
        const SIGNIFICAND_BITS: usize;

        /// Every number of this type is a multiple of 2 to this power.
        const LEAST_POWER: isize;

        const NEG_INFINITY: Self;

        /// Exactly.
        fn widen(self) -> f64;

        /// Each exactly.
        fn load<V: Vector>(numbers: &[Self; 8], like: V) -> V;

        /// Each rounded to the nearest.
        fn store<V: Vector>(vector: V, numbers: &mut [Self; 8]);

        /// The nearest number of this type, ties to even.
        fn narrow(x: f64) -> Self;

        /// The one number of this type that is nearest to every x with |x − v| ≤ bound, if there is one.
        fn settle(v: Two, bound: f64) -> Option<Self>;
    }

    impl Sealed for f32 {
        type First = OneWord;
        const SIGNIFICAND_BITS: usize = 24;
        const LEAST_POWER: isize = -149;

        const NEG_INFINITY: Self = Self::NEG_INFINITY;

        #[inline(always)]
        fn load<V: Vector>(numbers: &[Self; 8], like: V) -> V {
            like.load_f32(numbers)
        }

        #[inline(always)]
        fn store<V: Vector>(vector: V, numbers: &mut [Self; 8]) {
            vector.store_f32(numbers);
        }

        fn widen(self) -> f64 {
            self.into()
        }

        fn narrow(x: f64) -> Self {
            x as f32
        }

        /// The ends of the interval are rounded to f64 on the way, each by at most 2^-53 of itself: the interval is
        /// widened by twice that. Rounding is monotone, so that equal ends settle all between them.
        fn settle(v: Two, bound: f64) -> Option<Self> {
            let bound = bound * (1.0 + power_of_two(-50)) + power_of_two(-51) * v.hi.abs();
            let (low, high) = ((v.hi + (v.lo - bound)) as f32, (v.hi + (v.lo + bound)) as f32);
            (low.to_bits() == high.to_bits()).then_some(low)
        }
    }

    impl Sealed for f64 {
        type First = TwoWords;
        const SIGNIFICAND_BITS: usize = 53;
        const LEAST_POWER: isize = -1074;

        const NEG_INFINITY: Self = Self::NEG_INFINITY;

        #[inline(always)]
        fn load<V: Vector>(numbers: &[Self; 8], like: V) -> V {
            like.load(numbers)
        }

        #[inline(always)]
        fn store<V: Vector>(vector: V, numbers: &mut [Self; 8]) {
            vector.store(numbers);
        }

        fn widen(self) -> f64 {
            self
        }

        fn narrow(x: f64) -> Self {
            x
        }

        /// hi + x is the exact sum rounded once, for x = lo ± bound, itself rounded by at most 2^-53 of itself.
        fn settle(v: Two, bound: f64) -> Option<Self> {
            let bound = bound * (1.0 + power_of_two(-50)) + power_of_two(-51) * v.lo.abs();
            let (low, high) = (v.hi + (v.lo - bound), v.hi + (v.lo + bound));
            (low.to_bits() == high.to_bits()).then_some(low)
        }
    }
}
