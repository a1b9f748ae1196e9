//! What a level provides beside arithmetic: eight f64 in a vector, and their memory.

use crate::arithmetic::float64::Float64;

/// Eight f64.
pub trait Vector: Float64 {
    /// Sixteen f32.
    type Singles: Copy;

    /// How many vectors fit into the registers, beside what else a loop needs.
    const REGISTERS: usize;

    /// The same f32 everywhere.
    fn singles(self, x: f32) -> Self::Singles;

    /// The number where it is greater than that of `singles`, which has no NaN, else that of `singles`.
    fn greater_singles(self, singles: Self::Singles, numbers: &[f32; 16]) -> Self::Singles;

    fn store_singles(self, singles: Self::Singles, numbers: &mut [f32; 16]);

    /// A non-temporal `store`, where the level has one; `numbers` is aligned to 16 bytes. In order only after `fence`.
    #[inline(always)]
    fn stream(self, numbers: &mut [f64; 8]) {
        self.store(numbers);
    }

    /// A non-temporal `store_f32`, where the level has one; `numbers` is aligned to 16 bytes. In order only after `fence`.
    #[inline(always)]
    fn stream_f32(self, numbers: &mut [f32; 8]) {
        self.store_f32(numbers);
    }

    /// Ends a series of non-temporal stores.
    #[inline(always)]
    fn fence(self) {}

    /// Place i of vector j becomes place j of vector i.
    fn transposed(vectors: [Self; 8]) -> [Self; 8];

    /// Prefetches the cache line that is `ahead` bytes after a number. The address need not be valid.
    #[inline(always)]
    fn prefetch<T>(self, _number: &T, _ahead: usize) {}

    fn load(self, numbers: &[f64; 8]) -> Self;

    fn load_f32(self, numbers: &[f32; 8]) -> Self;

    /// The first eight numbers; a shorter slice is filled up with −∞.
    fn load_up_to(self, numbers: &[f64]) -> Self;

    /// The first eight f32; a shorter slice is filled up with −∞.
    fn load_f32_up_to(self, numbers: &[f32]) -> Self;

    fn store(self, numbers: &mut [f64; 8]);

    /// Each rounded to the nearest f32.
    fn store_f32(self, numbers: &mut [f32; 8]);

    /// Sixteen f32 to compute with.
    #[cfg(feature = "half")]
    type Sixteen: Sixteen;

    #[cfg(feature = "half")]
    fn sixteen(self, numbers: &[f32; 16]) -> Self::Sixteen;

    /// The bits of eight f16 as f32, exactly.
    #[cfg(feature = "half")]
    fn f16_to_f32(self, halves: [u16; 8]) -> [f32; 8];

    /// The bits of the f16 nearest to each, ties to even.
    #[cfg(feature = "half")]
    fn f32_to_f16(self, singles: [f32; 8]) -> [u16; 8];
}

/// f32 arithmetic on sixteen numbers.
#[cfg(feature = "half")]
pub trait Sixteen: Copy {
    /// x everywhere.
    fn splat(self, x: f32) -> Self;

    fn add(self, other: Self) -> Self;

    fn mul(self, other: Self) -> Self;

    /// self · a + b, rounded once.
    fn mul_add(self, a: Self, b: Self) -> Self;

    /// x where self is not greater, and where either is NaN.
    fn max(self, x: Self) -> Self;

    /// The entry that the low four bits of self point at, plus 2^19 times the bits of self.
    fn scaled_entry(self, table: &[f32; 16]) -> Self;

    fn store(self, numbers: &mut [f32; 16]);
}
