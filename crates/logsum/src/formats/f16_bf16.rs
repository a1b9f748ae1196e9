//! f16 and bf16 of the crate `half` as number formats.

use crate::arithmetic::double_double::DoubleDouble;
use crate::arithmetic::float64::Float64;
use crate::arithmetic::precision::{FineF64, InDoubleDouble, InF64};
use crate::arithmetic::rounding_test::{ends_for_narrower, odd_f32};
use crate::formats::{Format, exp_sum_f32};
use crate::simd::{Vector, differing};
use half::{bf16, f16};
use std::fmt::{Debug, Display};

/// A 16-bit format.
trait Half: Copy + Default + PartialOrd + Debug + Display + Send + Sync + Into<f64> + 'static {
    const SIGNIFICAND_BITS: usize;
    const LEAST_POWER: isize;
    const NEG_INFINITY: Self;

    fn bits(self) -> u16;

    /// The nearest number, ties to even.
    fn from_single(single: f32) -> Self;

    /// Converts each number exactly.
    fn to_singles<V: Vector>(halves: &[Self; 8], simd: V) -> [f32; 8];

    /// Rounds each number as [`from_single`](Self::from_single) does.
    fn from_singles<V: Vector>(singles: [f32; 8], simd: V) -> [Self; 8];
}

impl Half for f16 {
    const SIGNIFICAND_BITS: usize = 11;
    const LEAST_POWER: isize = -24;
    const NEG_INFINITY: Self = Self::NEG_INFINITY;

    #[inline(always)]
    fn bits(self) -> u16 {
        self.to_bits()
    }

    #[inline(always)]
    fn from_single(single: f32) -> Self {
        Self::from_f32(single)
    }

    #[inline(always)]
    fn to_singles<V: Vector>(halves: &[Self; 8], simd: V) -> [f32; 8] {
        let mut bits = [0; 8];
        for i in 0..8 {
            bits[i] = halves[i].to_bits();
        }
        simd.f16_to_f32(bits)
    }

    #[inline(always)]
    fn from_singles<V: Vector>(singles: [f32; 8], simd: V) -> [Self; 8] {
        let (bits, mut halves) = (simd.f32_to_f16(singles), [Self::ZERO; 8]);
        for i in 0..8 {
            halves[i] = Self::from_bits(bits[i]);
        }
        halves
    }
}

/// A bf16 is the upper half of an f32.
impl Half for bf16 {
    const SIGNIFICAND_BITS: usize = 8;
    const LEAST_POWER: isize = -133;
    const NEG_INFINITY: Self = Self::NEG_INFINITY;

    #[inline(always)]
    fn bits(self) -> u16 {
        self.to_bits()
    }

    #[inline(always)]
    fn from_single(single: f32) -> Self {
        let bits = single.to_bits();
        // No rounding up for a NaN, which could become another number.
        let is_number = bits << 1 <= f32::INFINITY.to_bits() << 1;
        let up = u32::from(is_number) * (0x7fff + (bits >> 16 & 1));
        Self::from_bits(((bits + up) >> 16) as u16)
    }

    #[inline(always)]
    fn to_singles<V: Vector>(halves: &[Self; 8], _: V) -> [f32; 8] {
        let mut singles = [0.0; 8];
        for i in 0..8 {
            singles[i] = f32::from_bits(u32::from(halves[i].to_bits()) << 16);
        }
        singles
    }

    #[inline(always)]
    fn from_singles<V: Vector>(singles: [f32; 8], _: V) -> [Self; 8] {
        let mut halves = [Self::ZERO; 8];
        for i in 0..8 {
            halves[i] = Self::from_single(singles[i]);
        }
        halves
    }
}

#[inline(always)]
fn step_of_singles<T: Half, V: Vector>(step: &[T; exp_sum_f32::STEP], simd: V) -> [f32; exp_sum_f32::STEP] {
    let mut singles = [0.0; exp_sum_f32::STEP];
    let (eights, _) = step.as_chunks();
    let (places, _) = singles.as_chunks_mut();
    for i in 0..exp_sum_f32::STEP / 8 {
        places[i] = T::to_singles(&eights[i], simd);
    }
    singles
}

impl<T: Half> Format for T {
    type First = InF64;
    type Elements = FineF64;
    type Finer = InDoubleDouble;
    const HAS_SINGLES: bool = true;
    const SIGNIFICAND_BITS: usize = <T as Half>::SIGNIFICAND_BITS;
    const LEAST_POWER: isize = <T as Half>::LEAST_POWER;

    const NEG_INFINITY: Self = <T as Half>::NEG_INFINITY;

    #[inline(always)]
    fn sum_in_singles<V: Vector>(block: &[Self], simd: V) -> Option<f64> {
        // As signed integers, the bits of positive numbers, ∞ and NaNs have the order of the numbers; negative
        // ones are below.
        let mut greatest = i16::MIN;
        for half in block {
            let bits = half.bits() as i16;
            greatest = if bits > greatest { bits } else { greatest };
        }
        if greatest > T::from_single(exp_sum_f32::GREATEST).bits() as i16 {
            return None;
        }
        let mut sum = exp_sum_f32::Sum::empty(simd);
        let (steps, rest) = block.as_chunks();
        for step in steps {
            sum = sum.plus(&step_of_singles(step, simd), simd);
        }
        if !rest.is_empty() {
            let mut step = [<T as Half>::NEG_INFINITY; exp_sum_f32::STEP];
            step[..rest.len()].copy_from_slice(rest);
            sum = sum.plus(&step_of_singles(&step, simd), simd);
        }
        Some(sum.total())
    }

    #[inline(always)]
    fn widen(self) -> f64 {
        self.into()
    }

    #[inline(always)]
    fn load<V: Vector>(numbers: &[Self; 8], simd: V) -> V {
        simd.load_f32(&T::to_singles(numbers, simd))
    }

    #[inline(always)]
    fn load_up_to<V: Vector>(numbers: &[Self], simd: V) -> V {
        let mut all = [<T as Half>::NEG_INFINITY; 8];
        let count = numbers.len().min(8);
        all[..count].copy_from_slice(&numbers[..count]);
        T::load(&all, simd)
    }

    #[inline(always)]
    fn store<V: Vector>(vector: V, numbers: &mut [Self; 8]) {
        let (mut wide, mut singles) = ([0.0; 8], [0.0; 8]);
        vector.store(&mut wide);
        for i in 0..8 {
            singles[i] = odd_f32(wide[i]);
        }
        *numbers = T::from_singles(singles, vector);
    }

    type Wide<V: Vector> = V::Singles;

    #[inline(always)]
    fn wide<V: Vector>(x: Self, simd: V) -> V::Singles {
        simd.singles(x.widen() as f32)
    }

    #[inline(always)]
    fn greater<V: Vector>(wide: V::Singles, numbers: &[Self; 16], simd: V) -> V::Singles {
        let (halves, _) = numbers.as_chunks();
        let mut singles = [0.0; 16];
        let (places, _) = singles.as_chunks_mut();
        places[0] = T::to_singles(&halves[0], simd);
        places[1] = T::to_singles(&halves[1], simd);
        simd.greater_singles(wide, &singles)
    }

    #[inline(always)]
    fn store_wide<V: Vector>(wide: V::Singles, numbers: &mut [Self; 16], simd: V) {
        let mut singles = [0.0; 16];
        simd.store_singles(wide, &mut singles);
        let (singles, _) = singles.as_chunks();
        let (places, _) = numbers.as_chunks_mut();
        places[0] = T::from_singles(singles[0], simd);
        places[1] = T::from_singles(singles[1], simd);
    }

    #[inline(always)]
    fn same_bits(self, other: Self) -> bool {
        self.bits() == other.bits()
    }

    #[inline(always)]
    fn narrow(x: f64) -> Self {
        T::from_single(odd_f32(x))
    }

    #[inline(always)]
    fn differ<V: Vector>(low: V, high: V) -> u8 {
        let [mut lows, mut highs] = [[T::default(); 8]; 2];
        T::store(low, &mut lows);
        T::store(high, &mut highs);
        differing(&lows, &highs)
    }

    #[inline(always)]
    fn ends<W: Float64>(v: DoubleDouble<W>, bound: W) -> [W; 2] {
        ends_for_narrower(v, bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arithmetic::double_double::power_of_two;
    use crate::simd::{Level, Task, run};

    struct Stored<T>([f64; 8], std::marker::PhantomData<T>);

    impl<T: Half> Task for Stored<T> {
        type Output = [u16; 8];

        #[inline(always)]
        fn run<V: Vector>(self, simd: V) -> [u16; 8] {
            let mut halves = [T::default(); 8];
            T::store(simd.load(&self.0), &mut halves);
            halves.map(Half::bits)
        }
    }

    struct Loaded<T>([T; 8]);

    impl<T: Half> Task for Loaded<T> {
        type Output = [f64; 8];

        #[inline(always)]
        fn run<V: Vector>(self, simd: V) -> [f64; 8] {
            let mut wide = [0.0; 8];
            T::load(&self.0, simd).store(&mut wide);
            wide
        }
    }

    /// `of_bits` makes numbers of T; `infinity` is the bits of ∞, whose place in the sequence of numbers has the
    /// value `beyond`.
    fn check<T: Half>(of_bits: impl Fn(u16) -> T, infinity: u16, beyond: f64) {
        let value = |bits: u16| if bits == infinity { beyond } else { of_bits(bits).into() };
        let stored = |numbers: [f64; 8], expected: [u16; 8]| {
            assert_eq!(numbers.map(|x| T::narrow(x).bits()), expected, "{numbers:?}, alone");
            assert_eq!(run(Stored::<T>(numbers, Default::default())), expected, "{numbers:?}");
        };
        for _ in Level::ALL.into_iter().filter(|&level| Level::force(Some(level))) {
            for bits in 0..infinity {
                let (low, high) = (value(bits), value(bits + 1));
                let half_way = low + (high - low) / 2.0;
                assert!(low < half_way && half_way < high && half_way - low == high - half_way);
                let even = bits + bits % 2;
                let numbers = [
                    low,
                    low.next_up(),
                    half_way.next_down(),
                    half_way,
                    half_way.next_up(),
                    high.next_down(),
                    low + (high - low) / 4.0,
                    low + (high - low) * 0.75,
                ];
                let expected = [bits, bits, bits, even, bits + 1, bits + 1, bits, bits + 1];
                stored(numbers, expected);
                stored(numbers.map(|x| -x), expected.map(|bits| bits | 1 << 15));
                let signs = [bits, bits | 1 << 15, bits, bits, bits, bits, bits, bits];
                let loaded = run(Loaded(signs.map(&of_bits)));
                let expected = [low, -low, low, low, low, low, low, low];
                assert_eq!(loaded.map(f64::to_bits), expected.map(f64::to_bits));
            }
            let large = [beyond, 1e30 * beyond, 1e200, 1e300, f64::MAX, f64::INFINITY, beyond * 1.5, 1.1e60];
            stored(large, [infinity; 8]);
            let small = [0.0, 5e-324, 1e-310, 1e-300, 1e-200, 1e-100, 1e-60, 1e-50];
            stored(small, [0; 8]);
            stored(small.map(|x| -x), [1 << 15; 8]);
            for nan in
                [1, 1 << 51, (1 << 52) - 1].map(|payload| f64::from_bits(f64::INFINITY.to_bits() | payload))
            {
                for nan in [nan, -nan] {
                    assert!(T::narrow(nan).into().is_nan());
                    let stored = run(Stored::<T>([nan; 8], Default::default()));
                    assert!(stored.iter().all(|&bits| of_bits(bits).into().is_nan()));
                }
            }
            for (bits, expected) in [(infinity, f64::INFINITY), (infinity | 1 << 15, f64::NEG_INFINITY)] {
                assert_eq!(run(Loaded([of_bits(bits); 8])), [expected; 8]);
            }
            for bits in infinity + 1..1 << 15 {
                assert!(run(Loaded([of_bits(bits); 8])).iter().all(|x| x.is_nan()));
            }
        }
        assert!(Level::force(None));
    }

    #[test]
    fn rounding_is_single_to_nearest_ties_to_even() {
        check(f16::from_bits, 0x7c00, 65536.0);
        check(bf16::from_bits, 0x7f80, power_of_two(127) * 2.0);
    }
}
