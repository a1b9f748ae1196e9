//! The portable level, without intrinsics: every machine has it.

use crate::arithmetic::float64::Float64;
use crate::simd::{Task, Vector, differing};
use std::ops::{Add, Mul, Neg, Sub};

#[derive(Clone, Copy)]
pub(super) struct Portable([f64; 8]);

/// Runs a task at this level. Not inlined, or each caller of a task would have a copy of it.
#[inline(never)]
pub(super) fn run_task<T: Task>(task: T) -> T::Output {
    task.run(Portable([0.0; 8]))
}

impl Portable {
    #[inline(always)]
    fn each(self, f: impl Fn(f64) -> f64) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i])))
    }

    #[inline(always)]
    fn with(self, other: Self, f: impl Fn(f64, f64) -> f64) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

impl Add for Portable {
    type Output = Self;
    #[inline(never)]
    fn add(self, other: Self) -> Self {
        self.with(other, |a, b| a + b)
    }
}

impl Sub for Portable {
    type Output = Self;
    #[inline(never)]
    fn sub(self, other: Self) -> Self {
        self.with(other, |a, b| a - b)
    }
}

impl Mul for Portable {
    type Output = Self;
    #[inline(never)]
    fn mul(self, other: Self) -> Self {
        self.with(other, |a, b| a * b)
    }
}

impl Neg for Portable {
    type Output = Self;
    #[inline(never)]
    fn neg(self) -> Self {
        self.each(|a| -a)
    }
}

// Not inlined: without hardware vectors and fused multiply-adds each of these is eight times the code, and the
// inlined kernels would be three quarters of the library's size and compile time.
impl Float64 for Portable {
    const HAS_CALLS: bool = true;

    #[inline(always)]
    fn splat(self, x: f64) -> Self {
        Self([x; 8])
    }

    #[inline(never)]
    fn div(self, divisor: Self) -> Self {
        self.with(divisor, |a, b| a / b)
    }

    #[inline(never)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i].mul_add(a.0[i], b.0[i])))
    }

    #[inline(never)]
    fn max(self, x: Self) -> Self {
        self.with(x, Float64::max)
    }

    #[inline(never)]
    fn where_at_most(self, bound: f64, then: Self, otherwise: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i].where_at_most(bound, then.0[i], otherwise.0[i])))
    }

    #[inline(never)]
    fn entry(self, table: &[f64; 16]) -> Self {
        self.each(|a| a.entry(table))
    }

    #[inline(never)]
    fn scaled_entry(self, table: &[f64; 16]) -> Self {
        self.each(|a| a.scaled_entry(table))
    }

    #[inline(never)]
    fn power_and_inverse(self) -> (Self, Self) {
        (self.each(|a| a.power_and_inverse().0), self.each(|a| a.power_and_inverse().1))
    }
}

impl Vector for Portable {
    type Singles = [f32; 16];
    const REGISTERS: usize = 5;

    #[inline(always)]
    fn singles(self, x: f32) -> [f32; 16] {
        [x; 16]
    }

    #[inline(always)]
    fn greater_singles(self, singles: [f32; 16], numbers: &[f32; 16]) -> [f32; 16] {
        std::array::from_fn(|i| if numbers[i] > singles[i] { numbers[i] } else { singles[i] })
    }

    #[inline(always)]
    fn store_singles(self, singles: [f32; 16], numbers: &mut [f32; 16]) {
        *numbers = singles;
    }

    #[inline(always)]
    fn transposed(vectors: [Self; 8]) -> [Self; 8] {
        std::array::from_fn(|i| Self(std::array::from_fn(|j| vectors[j].0[i])))
    }

    #[inline(always)]
    fn load(self, numbers: &[f64; 8]) -> Self {
        Self(*numbers)
    }

    #[inline(always)]
    fn load_f32(self, numbers: &[f32; 8]) -> Self {
        Self(numbers.map(f64::from))
    }

    #[inline(always)]
    fn load_up_to(self, numbers: &[f64]) -> Self {
        let mut all = [f64::NEG_INFINITY; 8];
        all.iter_mut().zip(numbers).for_each(|(place, &z)| *place = z);
        Self(all)
    }

    #[inline(always)]
    fn load_f32_up_to(self, numbers: &[f32]) -> Self {
        let mut all = [f64::NEG_INFINITY; 8];
        all.iter_mut().zip(numbers).for_each(|(place, &z)| *place = z.into());
        Self(all)
    }

    #[inline(always)]
    fn store(self, numbers: &mut [f64; 8]) {
        *numbers = self.0;
    }

    #[inline(always)]
    fn store_f32(self, numbers: &mut [f32; 8]) {
        *numbers = self.0.map(|x| x as f32);
    }

    #[inline(never)]
    fn plus_bits(self, other: Self) -> Self {
        self.with(other, |a, b| f64::from_bits(a.to_bits().wrapping_add(b.to_bits())))
    }

    #[inline(always)]
    fn differ(self, other: Self) -> u8 {
        differing(&self.0, &other.0)
    }

    #[inline(always)]
    fn differ_as_f32(self, other: Self) -> u8 {
        differing(&self.0.map(|x| x as f32), &other.0.map(|x| x as f32))
    }

    #[cfg(feature = "half")]
    type Sixteen = [f32; 16];

    #[cfg(feature = "half")]
    #[inline(always)]
    fn sixteen(self, numbers: &[f32; 16]) -> [f32; 16] {
        *numbers
    }

    #[cfg(feature = "half")]
    #[inline(always)]
    fn f16_to_f32(self, halves: [u16; 8]) -> [f32; 8] {
        halves.map(|bits| half::f16::from_bits(bits).to_f32())
    }

    #[cfg(feature = "half")]
    #[inline(always)]
    fn f32_to_f16(self, singles: [f32; 8]) -> [u16; 8] {
        singles.map(|single| half::f16::from_f32(single).to_bits())
    }
}

#[cfg(feature = "half")]
impl super::Sixteen for [f32; 16] {
    #[inline(always)]
    fn splat(self, x: f32) -> Self {
        [x; 16]
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        std::array::from_fn(|i| self[i] + other[i])
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        std::array::from_fn(|i| self[i] * other[i])
    }

    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        std::array::from_fn(|i| self[i].mul_add(a[i], b[i]))
    }

    #[inline(always)]
    fn max(self, x: Self) -> Self {
        std::array::from_fn(|i| if self[i] > x[i] { self[i] } else { x[i] })
    }

    #[inline(always)]
    fn scaled_entry(self, table: &[f32; 16]) -> Self {
        self.map(|k| {
            let entry = table[k.to_bits() as usize & 15];
            f32::from_bits(entry.to_bits().wrapping_add(k.to_bits() << 19))
        })
    }

    #[inline(always)]
    fn store(self, numbers: &mut [f32; 16]) {
        *numbers = self;
    }
}
