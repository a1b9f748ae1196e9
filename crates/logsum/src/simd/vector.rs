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

    /// Like `store`, past the caches; `numbers` is aligned to 16 bytes. In order only after `fence`.
    fn stream(self, numbers: &mut [f64; 8]);

    /// Like `store_f32`, past the caches; `numbers` is aligned to 16 bytes. In order only after `fence`.
    fn stream_f32(self, numbers: &mut [f32; 8]);

    /// Ends a series of `stream`s.
    fn fence(self);

    /// Place i of vector j becomes place j of vector i.
    fn transposed(vectors: [Self; 8]) -> [Self; 8];

    /// Asks for the memory that lies so many bytes after this number's, if there is any, ahead of its use.
    fn prefetch<T>(self, number: &T, ahead: usize);

    fn load(self, numbers: &[f64; 8]) -> Self;

    fn load_f32(self, numbers: &[f32; 8]) -> Self;

    /// The first eight; −∞ in the place of each that there is not.
    fn load_up_to(self, numbers: &[f64]) -> Self;

    /// The same.
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
