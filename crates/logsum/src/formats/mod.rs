//! The number formats of input and output: f32 and f64, and with the feature `half` f16 and bf16.

#[cfg(feature = "half")]
pub(crate) mod exp_sum_f32;
#[cfg(feature = "half")]
mod f16_bf16;
pub(crate) mod nearest;

use crate::arithmetic::double_double::DoubleDouble;
use crate::arithmetic::float64::Float64;
use crate::arithmetic::precision::{FineDoubleDouble, FineF64, FinerDoubleDouble, InDoubleDouble, InF64};
use crate::arithmetic::rounding_test::{ends_for_narrower, ends_in_f64, odd_f64};
use crate::simd::{Keep, Vector};
use std::fmt::{Debug, Display};

/// A number format of inputs and results.
pub trait Format: Copy + Default + PartialOrd + Debug + Display + Send + Sync + 'static {
    /// The working precision of a value's first phase: double-double for f64, f64 for the narrower formats (for 16-bit
    /// formats, after a phase in f32).
    type First: Keep;

    /// The working precision of the first phase for results of each number, such as a softmax.
    type Elements: Keep;

    /// The working precision of the sum of a row with results that [`Elements`](Self::Elements) does not settle.
    type Finer: Keep;

    /// Whether [`sum_in_singles`](Format::sum_in_singles) is implemented.
    #[cfg(feature = "half")]
    const HAS_SINGLES: bool = false;

    /// Σ e^z of a block in f32 arithmetic, with an error bounded by [`exp_sum_f32::ERROR`]; `None` if a number is too
    /// great.
    #[cfg(feature = "half")]
    #[inline(always)]
    fn sum_in_singles<V: Vector>(_: &[Self], _: V) -> Option<f64> {
        None
    }

    /// Bits of the significand, including the implicit one.
    const SIGNIFICAND_BITS: usize;

    /// Every finite number of this type is a multiple of 2 to this power.
    const LEAST_POWER: isize;

    const NEG_INFINITY: Self;

    /// Converts exactly.
    fn widen(self) -> f64;

    /// Converts each number exactly.
    fn load<V: Vector>(numbers: &[Self; 8], simd: V) -> V;

    /// The first eight numbers, exactly; a shorter slice is padded with −∞.
    fn load_up_to<V: Vector>(numbers: &[Self], simd: V) -> V;

    /// Rounds each number to nearest.
    fn store<V: Vector>(vector: V, numbers: &mut [Self; 8]);

    /// Whether [`stream`](Format::stream) differs from [`store`](Format::store). It does not for 16-bit formats: their
    /// exponentials take far longer than reading the cache lines to be written, which a non-temporal store would avoid.
    const HAS_STREAM: bool = false;

    /// Rounds each number to nearest and uses a non-temporal store where there is one.
    #[inline(always)]
    fn stream<V: Vector>(vector: V, numbers: &mut [Self; 8]) {
        Self::store(vector, numbers);
    }

    /// Sixteen numbers, for maxima.
    type Wide<V: Vector>: Copy;

    /// x in every lane.
    fn wide<V: Vector>(x: Self, simd: V) -> Self::Wide<V>;

    /// Each number that is greater than its counterpart in `wide`, which has no NaN; else the counterpart.
    fn greater<V: Vector>(wide: Self::Wide<V>, numbers: &[Self; 16], simd: V) -> Self::Wide<V>;

    fn store_wide<V: Vector>(wide: Self::Wide<V>, numbers: &mut [Self; 16], simd: V);

    /// Whether the bits are equal.
    fn same_bits(self, other: Self) -> bool;

    /// The nearest number of this type, ties to even.
    fn narrow(x: f64) -> Self;

    /// The number nearest to a sum, ties to even.
    fn narrow_sum(sum: DoubleDouble) -> Self {
        Self::narrow(odd_f64(sum))
    }

    /// A mask: bit i is set if the numbers nearest to `low` and `high` in lane i are not equal, or one is NaN.
    fn differ<V: Vector>(low: V, high: V) -> u8;

    /// The number itself, or +0 for −0.
    fn plus_zero(self) -> Self {
        Self::narrow(self.widen() + 0.0)
    }

    /// The ends of an interval that encloses every x with |x − v| ≤ bound: if both round to the same number of this
    /// type, that is the number nearest to each such x.
    fn ends<W: Float64>(v: DoubleDouble<W>, bound: W) -> [W; 2];
}

impl Format for f32 {
    type First = InF64;
    type Elements = FineF64;
    type Finer = InDoubleDouble;
    const SIGNIFICAND_BITS: usize = 24;
    const LEAST_POWER: isize = -149;

    const NEG_INFINITY: Self = Self::NEG_INFINITY;

    #[inline(always)]
    fn load<V: Vector>(numbers: &[Self; 8], simd: V) -> V {
        simd.load_f32(numbers)
    }

    #[inline(always)]
    fn load_up_to<V: Vector>(numbers: &[Self], simd: V) -> V {
        simd.load_f32_up_to(numbers)
    }

    #[inline(always)]
    fn store<V: Vector>(vector: V, numbers: &mut [Self; 8]) {
        vector.store_f32(numbers);
    }

    const HAS_STREAM: bool = true;

    #[inline(always)]
    fn stream<V: Vector>(vector: V, numbers: &mut [Self; 8]) {
        vector.stream_f32(numbers);
    }

    #[inline(always)]
    fn widen(self) -> f64 {
        self.into()
    }

    #[inline(always)]
    fn same_bits(self, other: Self) -> bool {
        self.to_bits() == other.to_bits()
    }

    #[inline(always)]
    fn narrow(x: f64) -> Self {
        x as f32
    }

    #[inline(always)]
    fn differ<V: Vector>(low: V, high: V) -> u8 {
        low.differ_as_f32(high)
    }

    type Wide<V: Vector> = V::Singles;

    #[inline(always)]
    fn wide<V: Vector>(x: Self, simd: V) -> V::Singles {
        simd.singles(x)
    }

    #[inline(always)]
    fn greater<V: Vector>(wide: V::Singles, numbers: &[Self; 16], simd: V) -> V::Singles {
        simd.greater_singles(wide, numbers)
    }

    #[inline(always)]
    fn store_wide<V: Vector>(wide: V::Singles, numbers: &mut [Self; 16], simd: V) {
        simd.store_singles(wide, numbers);
    }

    #[inline(always)]
    fn ends<W: Float64>(v: DoubleDouble<W>, bound: W) -> [W; 2] {
        ends_for_narrower(v, bound)
    }
}

impl Format for f64 {
    type First = InDoubleDouble;
    type Elements = FineDoubleDouble;
    type Finer = FinerDoubleDouble;
    const SIGNIFICAND_BITS: usize = 53;
    const LEAST_POWER: isize = -1074;

    const NEG_INFINITY: Self = Self::NEG_INFINITY;

    #[inline(always)]
    fn load<V: Vector>(numbers: &[Self; 8], simd: V) -> V {
        simd.load(numbers)
    }

    #[inline(always)]
    fn load_up_to<V: Vector>(numbers: &[Self], simd: V) -> V {
        simd.load_up_to(numbers)
    }

    #[inline(always)]
    fn store<V: Vector>(vector: V, numbers: &mut [Self; 8]) {
        vector.store(numbers);
    }

    const HAS_STREAM: bool = true;

    #[inline(always)]
    fn stream<V: Vector>(vector: V, numbers: &mut [Self; 8]) {
        vector.stream(numbers);
    }

    #[inline(always)]
    fn widen(self) -> f64 {
        self
    }

    #[inline(always)]
    fn same_bits(self, other: Self) -> bool {
        self.to_bits() == other.to_bits()
    }

    #[inline(always)]
    fn narrow(x: f64) -> Self {
        x
    }

    fn narrow_sum(sum: DoubleDouble) -> Self {
        sum.hi
    }

    #[inline(always)]
    fn differ<V: Vector>(low: V, high: V) -> u8 {
        low.differ(high)
    }

    type Wide<V: Vector> = [V; 2];

    #[inline(always)]
    fn wide<V: Vector>(x: Self, simd: V) -> [V; 2] {
        [simd.splat(x); 2]
    }

    #[inline(always)]
    fn greater<V: Vector>(wide: [V; 2], numbers: &[Self; 16], simd: V) -> [V; 2] {
        let (halves, _) = numbers.as_chunks();
        [simd.load(&halves[0]).max(wide[0]), simd.load(&halves[1]).max(wide[1])]
    }

    #[inline(always)]
    fn store_wide<V: Vector>(wide: [V; 2], numbers: &mut [Self; 16], _: V) {
        let (halves, _) = numbers.as_chunks_mut();
        wide[0].store(&mut halves[0]);
        wide[1].store(&mut halves[1]);
    }

    #[inline(always)]
    fn ends<W: Float64>(v: DoubleDouble<W>, bound: W) -> [W; 2] {
        ends_in_f64(v, bound)
    }
}
