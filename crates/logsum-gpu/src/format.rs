//! Number formats, as a thread reads and writes them.

use crate::thread::{Thread, exchange_f64};
use logsum_arithmetic::double_double::DoubleDouble;
use logsum_arithmetic::exp::LEAST;
use logsum_arithmetic::precision::{
    FineDoubleDouble, FineF64, FinerDoubleDouble, InDoubleDouble, InF64, Precision,
};
use logsum_arithmetic::rounding_test::{ends_for_narrower, ends_in_f64, odd_f32, odd_f64};

/// What numbers of a format are compared in: f32 where it holds them, as a GPU has few units for f64.
pub trait Number: Copy + PartialOrd {
    /// −∞.
    const NEG_INFINITY: Self;

    /// Exact.
    fn to_f64(self) -> f64;

    /// The number that [`to_f64`](Self::to_f64) gave.
    fn of_f64(x: f64) -> Self;

    /// The greater of a number that is not NaN and another, which may be; and the lesser one, which is NaN if that is.
    fn sorted<G: Thread>(self, gpu: G, other: Self) -> [Self; 2];

    /// e^self, for NaN NaN: a number of the precision.
    fn exp<P: Precision, G: Thread>(self, gpu: G) -> P::Number<f64>;

    /// The number of another thread of the warp: see [`Thread::exchange`].
    fn exchanged<G: Thread>(self, gpu: G, mask: u32) -> Self;
}

impl Number for f32 {
    const NEG_INFINITY: Self = Self::NEG_INFINITY;

    #[inline(always)]
    fn to_f64(self) -> f64 {
        self.into()
    }

    #[inline(always)]
    fn of_f64(x: f64) -> Self {
        x as Self
    }

    #[inline(always)]
    fn sorted<G: Thread>(self, gpu: G, other: Self) -> [Self; 2] {
        [gpu.greater(self, other), gpu.lesser_or_nan(self, other)]
    }

    #[inline(always)]
    fn exp<P: Precision, G: Thread>(self, gpu: G) -> P::Number<f64> {
        P::exp_of_clamped(gpu.greater_or_nan(self, LEAST as Self).into())
    }

    #[inline(always)]
    fn exchanged<G: Thread>(self, gpu: G, mask: u32) -> Self {
        Self::from_bits(gpu.exchange(self.to_bits(), mask))
    }
}

impl Number for f64 {
    const NEG_INFINITY: Self = Self::NEG_INFINITY;

    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }

    #[inline(always)]
    fn of_f64(x: f64) -> Self {
        x
    }

    #[inline(always)]
    fn sorted<G: Thread>(self, _: G, other: Self) -> [Self; 2] {
        if other > self { [other, self] } else { [self, other] }
    }

    #[inline(always)]
    fn exp<P: Precision, G: Thread>(self, _: G) -> P::Number<f64> {
        P::exp_at_0(self)
    }

    #[inline(always)]
    fn exchanged<G: Thread>(self, gpu: G, mask: u32) -> Self {
        exchange_f64(gpu, self, mask)
    }
}

/// A number format of inputs and results.
pub trait Format: Copy {
    /// What its numbers are compared in.
    type Number: Number;

    /// The precision of a value's first phase.
    type First: Precision;

    /// That of results of each number.
    type Elements: Precision;

    /// That of a sum that is kept for such results: of 16 bits, [`First`](Self::First) is enough.
    type Kept: Precision;

    /// That of the sum of a row whose results [`Elements`](Self::Elements) does not settle.
    type Finer: Precision;

    /// Bytes of a number.
    const BYTES: u32;

    /// Numbers in 16 bytes.
    const PER_LOAD: usize = 16 / Self::BYTES as usize;

    /// The numbers in 16 bytes; the last ones mean nothing if there are fewer than eight.
    fn unpacked<G: Thread>(gpu: G, words: [u32; 4]) -> [Self::Number; 8];

    /// Numbers of these bits one after the other; of f64, two.
    #[inline(always)]
    fn packed(bits: [u64; 8]) -> [u32; 8] {
        let pair = |i: usize| (bits[i] as u32) | (bits[i + 1] as u32) << 16;
        match Self::BYTES {
            2 => [pair(0), pair(2), pair(4), pair(6), 0, 0, 0, 0],
            4 => bits.map(|bits| bits as u32),
            _ => [bits[0] as u32, (bits[0] >> 32) as u32, bits[1] as u32, (bits[1] >> 32) as u32, 0, 0, 0, 0],
        }
    }

    /// Reads a number.
    fn load<G: Thread>(gpu: G, address: u64) -> Self::Number;

    /// The bits of the number nearest to x.
    fn nearest<G: Thread>(gpu: G, x: f64) -> u64;

    /// The bits of the number nearest to a sum.
    #[inline(always)]
    fn nearest_to_sum<G: Thread>(gpu: G, sum: DoubleDouble) -> u64 {
        Self::nearest(gpu, odd_f64(sum))
    }

    /// The number of these bits.
    fn of_bits<G: Thread>(gpu: G, bits: u64) -> Self::Number;

    /// The bits of the number nearest to the product of the number of these bits with another of the format.
    #[inline(always)]
    fn times<G: Thread>(gpu: G, bits: u64, factor: f64) -> u64 {
        // Exact but in f64.
        Self::nearest(gpu, Self::of_bits(gpu, bits).to_f64() * factor)
    }

    /// Writes a number of these bits.
    #[inline(always)]
    fn store<G: Thread>(gpu: G, address: u64, bits: u64) {
        match Self::BYTES {
            2 => gpu.store_u16(address, bits as u16),
            4 => gpu.store_u32(address, bits as u32),
            _ => gpu.store_u64(address, bits),
        }
    }

    /// Two ends with every x for which |x − v| ≤ bound between them: if they are equal once rounded to this format,
    /// that is the nearest number to each x.
    #[inline(always)]
    fn ends(v: DoubleDouble, bound: f64) -> [f64; 2] {
        ends_for_narrower(v, bound)
    }
}

/// f32.
#[derive(Clone, Copy)]
pub struct F32;

/// f64.
#[derive(Clone, Copy)]
pub struct F64;

/// f16.
#[derive(Clone, Copy)]
pub struct F16;

/// bf16: the upper half of an f32.
#[derive(Clone, Copy)]
pub struct BF16;

impl Format for F32 {
    type Number = f32;
    type First = InF64;
    type Elements = FineF64;
    type Kept = FineF64;
    type Finer = InDoubleDouble;
    const BYTES: u32 = 4;

    #[inline(always)]
    fn unpacked<G: Thread>(_: G, [a, b, c, d]: [u32; 4]) -> [f32; 8] {
        [a, b, c, d, 0, 0, 0, 0].map(f32::from_bits)
    }

    #[inline(always)]
    fn load<G: Thread>(gpu: G, address: u64) -> f32 {
        f32::from_bits(gpu.load_u32(address))
    }

    #[inline(always)]
    fn of_bits<G: Thread>(_: G, bits: u64) -> f32 {
        f32::from_bits(bits as u32)
    }

    #[inline(always)]
    fn nearest<G: Thread>(_: G, x: f64) -> u64 {
        (x as f32).to_bits().into()
    }
}

impl Format for F64 {
    type Number = f64;
    type First = InDoubleDouble;
    type Elements = FineDoubleDouble;
    type Kept = FineDoubleDouble;
    type Finer = FinerDoubleDouble;
    const BYTES: u32 = 8;

    #[inline(always)]
    fn unpacked<G: Thread>(_: G, [a, b, c, d]: [u32; 4]) -> [f64; 8] {
        let [first, second] =
            [[a, b], [c, d]].map(|[low, high]| f64::from_bits(u64::from(high) << 32 | u64::from(low)));
        [first, second, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    }

    #[inline(always)]
    fn load<G: Thread>(gpu: G, address: u64) -> f64 {
        f64::from_bits(gpu.load_u64(address))
    }

    #[inline(always)]
    fn of_bits<G: Thread>(_: G, bits: u64) -> f64 {
        f64::from_bits(bits)
    }

    #[inline(always)]
    fn nearest<G: Thread>(_: G, x: f64) -> u64 {
        x.to_bits()
    }

    #[inline(always)]
    fn nearest_to_sum<G: Thread>(_: G, sum: DoubleDouble) -> u64 {
        sum.hi.to_bits()
    }

    #[inline(always)]
    fn ends(v: DoubleDouble, bound: f64) -> [f64; 2] {
        ends_in_f64(v, bound)
    }
}

impl Format for F16 {
    type Number = f32;
    type First = InF64;
    type Elements = FineF64;
    type Kept = InF64;
    type Finer = InDoubleDouble;
    const BYTES: u32 = 2;

    #[inline(always)]
    fn unpacked<G: Thread>(gpu: G, [a, b, c, d]: [u32; 4]) -> [f32; 8] {
        [a, a >> 16, b, b >> 16, c, c >> 16, d, d >> 16].map(|word| gpu.f32_of_f16(word as u16))
    }

    #[inline(always)]
    fn load<G: Thread>(gpu: G, address: u64) -> f32 {
        gpu.f32_of_f16(gpu.load_u16(address))
    }

    #[inline(always)]
    fn of_bits<G: Thread>(gpu: G, bits: u64) -> f32 {
        gpu.f32_of_f16(bits as u16)
    }

    #[inline(always)]
    fn nearest<G: Thread>(gpu: G, x: f64) -> u64 {
        gpu.f16_of_f32(odd_f32(x)).into()
    }
}

impl Format for BF16 {
    type Number = f32;
    type First = InF64;
    type Elements = FineF64;
    type Kept = InF64;
    type Finer = InDoubleDouble;
    const BYTES: u32 = 2;

    #[inline(always)]
    fn unpacked<G: Thread>(_: G, [a, b, c, d]: [u32; 4]) -> [f32; 8] {
        [a << 16, a, b << 16, b, c << 16, c, d << 16, d].map(|word| f32::from_bits(word & 0xffff_0000))
    }

    #[inline(always)]
    fn load<G: Thread>(gpu: G, address: u64) -> f32 {
        f32::from_bits(u32::from(gpu.load_u16(address)) << 16)
    }

    #[inline(always)]
    fn of_bits<G: Thread>(_: G, bits: u64) -> f32 {
        f32::from_bits((bits as u32) << 16)
    }

    #[inline(always)]
    fn nearest<G: Thread>(_: G, x: f64) -> u64 {
        let bits = odd_f32(x).to_bits();
        // No rounding up for a NaN, which could become another number.
        let is_number = bits << 1 <= f32::INFINITY.to_bits() << 1;
        let up = u32::from(is_number) * (0x7fff + (bits >> 16 & 1));
        ((bits + up) >> 16).into()
    }
}
