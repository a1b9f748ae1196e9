//! The interface of a level: vectors of eight f64, with their loads, stores and prefetches.

use crate::arithmetic::float64::Float64;

/// Eight f64.
pub trait Vector: Float64 {
    /// Sixteen f32.
    type Singles: Copy;

    /// The number of vectors that fit into the registers, apart from other needs of a loop.
    const REGISTERS: usize;

    /// x in every lane.
    fn singles(self, x: f32) -> Self::Singles;

    /// Each number that is greater than its counterpart in `singles`, which has no NaN; else the counterpart.
    fn greater_singles(self, singles: Self::Singles, numbers: &[f32; 16]) -> Self::Singles;

    fn store_singles(self, singles: Self::Singles, numbers: &mut [f32; 16]);

    /// A non-temporal `store` where the level has one. `numbers` is aligned to 16 bytes; the store is ordered only
    /// by `fence`.
    #[inline(always)]
    fn stream(self, numbers: &mut [f64; 8]) {
        self.store(numbers);
    }

    /// A non-temporal `store_f32` where the level has one. `numbers` is aligned to 16 bytes; the store is ordered
    /// only by `fence`.
    #[inline(always)]
    fn stream_f32(self, numbers: &mut [f32; 8]) {
        self.store_f32(numbers);
    }

    /// Orders the non-temporal stores before it.
    #[inline(always)]
    fn fence(self) {}

    /// Element i of vector j becomes element j of vector i.
    fn transposed(vectors: [Self; 8]) -> [Self; 8];

    /// Prefetches the cache line `ahead` bytes after `number`. The address need not be valid.
    #[inline(always)]
    fn prefetch<T>(self, _number: &T, _ahead: usize) {}

    fn load(self, numbers: &[f64; 8]) -> Self;

    fn load_f32(self, numbers: &[f32; 8]) -> Self;

    /// The first eight numbers; a shorter slice is padded with −∞.
    fn load_up_to(self, numbers: &[f64]) -> Self;

    /// The first eight f32; a shorter slice is padded with −∞.
    fn load_f32_up_to(self, numbers: &[f32]) -> Self;

    fn store(self, numbers: &mut [f64; 8]);

    /// Rounds each number to the nearest f32.
    fn store_f32(self, numbers: &mut [f32; 8]);

    /// The numbers whose bits are the sums of the bits, as integers of 64 bits.
    fn plus_bits(self, other: Self) -> Self;

    /// Bit i is set where the numbers i are not equal, or one is NaN.
    fn differ(self, other: Self) -> u8;

    /// [`differ`](Self::differ) of the nearest f32s.
    fn differ_as_f32(self, other: Self) -> u8;

    /// Sixteen f32 with arithmetic.
    #[cfg(feature = "half")]
    type Sixteen: Sixteen;

    #[cfg(feature = "half")]
    fn sixteen(self, numbers: &[f32; 16]) -> Self::Sixteen;

    /// Converts the bits of eight f16 to f32, exactly.
    #[cfg(feature = "half")]
    fn f16_to_f32(self, halves: [u16; 8]) -> [f32; 8];

    /// The bits of the f16 nearest to each f32, ties to even.
    #[cfg(feature = "half")]
    fn f32_to_f16(self, singles: [f32; 8]) -> [u16; 8];
}

/// f32 arithmetic on sixteen numbers.
#[cfg(feature = "half")]
pub trait Sixteen: Copy {
    /// x in every lane.
    fn splat(self, x: f32) -> Self;

    fn add(self, other: Self) -> Self;

    fn mul(self, other: Self) -> Self;

    /// self · a + b, rounded once.
    fn mul_add(self, a: Self, b: Self) -> Self;

    /// self where it is greater; x elsewhere, also where either is NaN.
    fn max(self, x: Self) -> Self;

    /// The entry indexed by the low four bits of self, with 2^19 times the bits of self added to its bits.
    fn scaled_entry(self, table: &[f32; 16]) -> Self;

    fn store(self, numbers: &mut [f32; 16]);
}
