//! Storage of numbers of each precision, eight at a time, and access to the lanes of a vector.

use super::Vector;
use crate::arithmetic::double_double::DoubleDouble;
use crate::arithmetic::precision::{F64, Head, One, Precision, Two};

/// A precision whose numbers can be stored in memory, eight at a time.
pub trait Keep: Precision {
    type Kept: Copy + Default + Send;

    /// Stores eight numbers, to be read by [`kept`](Self::kept).
    fn keep<V: Vector>(number: Self::Number<V>, place: &mut Self::Kept);

    /// The eight numbers stored here.
    fn kept<V: Vector>(place: &Self::Kept, simd: V) -> Self::Number<V>;

    /// The eight sums of a vector.
    fn lanes<V: Vector>(sum: Self::Sum<V>) -> [Self::Sum<f64>; 8];
}

/// The eight numbers of a vector.
#[inline(always)]
pub(crate) fn lanes<V: Vector>(x: DoubleDouble<V>) -> [DoubleDouble; 8] {
    let ([mut hi, mut lo], mut lanes) = ([[0.0; 8]; 2], [DoubleDouble::ZERO; 8]);
    x.hi.store(&mut hi);
    x.lo.store(&mut lo);
    for i in 0..8 {
        lanes[i] = DoubleDouble { hi: hi[i], lo: lo[i] };
    }
    lanes
}

/// Bit i is set where the numbers i are not equal, or one is NaN.
#[inline(always)]
pub(crate) fn differing<T: PartialEq>(a: &[T; 8], b: &[T; 8]) -> u8 {
    let mut mask = 0;
    for i in 0..8 {
        mask |= u8::from(a[i] != b[i]) << i;
    }
    mask
}

impl<const FINE: bool> Keep for F64<FINE> {
    type Kept = [f64; 8];

    #[inline(always)]
    fn keep<V: Vector>(number: One<V>, place: &mut [f64; 8]) {
        number.0.store(place);
    }

    #[inline(always)]
    fn kept<V: Vector>(place: &[f64; 8], simd: V) -> One<V> {
        One(simd.load(place))
    }

    #[inline(always)]
    fn lanes<V: Vector>(sum: One<V>) -> [One<f64>; 8] {
        let (mut words, mut sums) = ([0.0; 8], [One(0.0); 8]);
        sum.0.store(&mut words);
        for i in 0..8 {
            sums[i] = One(words[i]);
        }
        sums
    }
}

impl<const FINENESS: u8> Keep for Two<FINENESS> {
    type Kept = [[f64; 8]; 2];

    #[inline(always)]
    fn keep<V: Vector>(number: DoubleDouble<V>, place: &mut [[f64; 8]; 2]) {
        number.hi.store(&mut place[0]);
        number.lo.store(&mut place[1]);
    }

    #[inline(always)]
    fn kept<V: Vector>(place: &[[f64; 8]; 2], simd: V) -> DoubleDouble<V> {
        DoubleDouble { hi: simd.load(&place[0]), lo: simd.load(&place[1]) }
    }

    #[inline(always)]
    fn lanes<V: Vector>(sum: Head<V>) -> [Head<f64>; 8] {
        let (mut his, mut los, mut sums) = ([0.0; 8], [0.0; 8], [Head { hi: 0.0, lo: 0.0 }; 8]);
        sum.hi.store(&mut his);
        sum.lo.store(&mut los);
        for i in 0..8 {
            sums[i] = Head { hi: his[i], lo: los[i] };
        }
        sums
    }
}
