//! Σ e^z in f32, sixteen numbers at a time: usually accurate enough to round its logarithm to the 8 or 11
//! significant bits of bf16 or f16.

use crate::simd::{Sixteen, Vector};

/// No number may be greater, or the sum of a block could overflow in f32.
pub(crate) const GREATEST: f32 = 64.0;

/// Smaller numbers count as this one.
pub(crate) const LEAST: f32 = -80.0;

/// Bounds the relative error of a [`Sum`], except for an absolute error of e^[`LEAST`] per number.
///
/// | error | at most, in units of 2^-24 |
/// |---|---|
/// | k·(ln 2)/16, where the step has relative error 2^-28.4: 80 · 2^-28.4 | 3.8 |
/// | interpolation, of g(r) = (e^r − 1)/r with \|g''\| < 0.35: \|r\| · h²/2 · g''/2, h = \|r\| < 0.0217 | 15.0 |
/// | the table's entry, and the last sum | 1.5 |
/// | r and its products, below 2^-5.5, have three roundings | 0.1 |
/// | 16 additions to each sum, and two additions of these sums | 18.0 |
///
/// Together 38.4.
pub(crate) const ERROR: f64 = 2.4e-6;

/// 16 / ln 2.
const PER_STEP: f32 = 23.083_12;

const LOG_STEP: f32 = (std::f64::consts::LN_2 / 16.0) as f32;

/// (e^r − 1)/r at two Chebyshev nodes of |r| ≤ (ln 2)/32, interpolated.
const POLYNOMIAL: [f32; 2] = [1.000_039_1, 0.500_009_8];

/// Adding this rounds a small number to the nearest integer, which is left in the low bits.
const ROUNDER: f32 = 12_582_912.0; // 1.5 · 2^23

/// 2^{j/16}, with j subtracted in bits 19 to 22: adding 2^19 · k to the bits, for k = 16q + j, gives 2^{k/16}.
const POWERS: [f32; 16] = {
    let mut table = [
        1.0,
        1.0442737,
        1.0905077,
        1.1387886,
        1.1892071,
        1.2418578,
        1.2968396,
        1.3542556,
        std::f32::consts::SQRT_2,
        1.4768262,
        1.5422108,
        1.6104903,
        1.6817929,
        1.7562522,
        1.8340081,
        1.9152066,
    ];
    let mut j = 0;
    while j < 16 {
        table[j] = f32::from_bits(table[j].to_bits() - ((j as u32) << 19));
        j += 1;
    }
    table
};

/// The number of numbers added in one step of a sum.
pub(crate) const STEP: usize = 64;

/// A partial sum of at most sixteen steps.
#[derive(Clone, Copy)]
pub(crate) struct Sum<S>([S; 4]);

impl<S: Sixteen> Sum<S> {
    #[inline(always)]
    pub(crate) fn empty<V: Vector<Sixteen = S>>(simd: V) -> Self {
        Self([simd.sixteen(&[0.0; 16]); 4])
    }

    /// Adds e^z of 64 numbers. A NaN makes the sum NaN.
    #[inline(always)]
    pub(crate) fn plus<V: Vector<Sixteen = S>>(mut self, numbers: &[f32; STEP], simd: V) -> Self {
        let (quarters, _) = numbers.as_chunks();
        for (sum, numbers) in self.0.iter_mut().zip(quarters) {
            *sum = sum.add(exp(simd.sixteen(numbers)));
        }
        self
    }

    #[inline(always)]
    pub(crate) fn total(self) -> f64 {
        let [a, b, c, d] = self.0;
        let mut total = [0.0; 16];
        a.add(b).add(c.add(d)).store(&mut total);
        let mut sum = 0.0;
        for single in total {
            sum += f64::from(single);
        }
        sum
    }
}

#[inline(always)]
fn exp<S: Sixteen>(z: S) -> S {
    let d = z.splat(LEAST).max(z);
    let k = d.mul_add(z.splat(PER_STEP), z.splat(ROUNDER));
    let r = k.add(z.splat(-ROUNDER)).mul_add(z.splat(-LOG_STEP), d);
    let power = k.scaled_entry(&POWERS);
    let [c0, c1] = POLYNOMIAL;
    power.mul_add(r.mul(r.mul_add(z.splat(c1), z.splat(c0))), power)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{big, relative_error, uniform};
    use crate::simd::{Task, run};

    struct Of<'a>(&'a [[f32; STEP]]);

    impl Task for Of<'_> {
        type Output = f64;

        #[inline(always)]
        fn run<V: Vector>(self, simd: V) -> f64 {
            self.0.iter().fold(Sum::empty(simd), |sum, numbers| sum.plus(numbers, simd)).total()
        }
    }

    #[test]
    fn the_table_is_of_powers() {
        for (j, power) in POWERS.into_iter().enumerate() {
            let exact = (big(2.0).ln() * big(j as f64 / 16.0)).exp().to_f32().value();
            assert_eq!(power.to_bits() + ((j as u32) << 19), exact.to_bits(), "2^({j}/16)");
        }
    }

    /// One step alone shows the error of the exponential; sixteen steps of equal numbers add that of the
    /// additions.
    #[test]
    fn the_sum_keeps_its_bound() {
        let mut uniform = uniform(8);
        let mut worst = 0f64;
        for i in 0..3000 {
            let z = match i % 3 {
                0 => LEAST + (GREATEST - LEAST) * uniform() as f32,
                1 => (((uniform() * 3000.0).floor() - 1700.0 + 0.499) * f64::from(LOG_STEP)) as f32,
                _ => uniform() as f32,
            };
            let many = [[z; STEP]; 16];
            for (numbers, count) in [(&many[..1], 64.0), (&many[..], 1024.0)] {
                let exact = big(z.into()).exp() * big(count);
                worst = worst.max(relative_error(big(run(Of(numbers))), &exact));
            }
        }
        println!("worst {worst:e}, bound {ERROR:e}");
        assert!(worst < ERROR && worst > ERROR / 8.0, "{worst:e}");
    }
}
