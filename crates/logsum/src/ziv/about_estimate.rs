//! The centred phase: the sum about an estimate of its logarithm, in double-doubles. It settles rows whose value
//! is near the midpoint of two floats, as that of one row in thousands is by chance.

use crate::arithmetic::double_double::{DoubleDouble, parts, power_of_two, two_sum};
use crate::arithmetic::exp;
use crate::arithmetic::float64::Float64;
use crate::arithmetic::precision::Number;
use crate::formats::Format;
use crate::kernels::row_functions::padded;
use crate::kernels::signed_block::total;
use crate::kernels::term_source::{TermBlock, TermSource};
use crate::simd::{Vector, task};
use crate::state::signed::{Estimate, Log};
use crate::ziv::effort::{Rung, count};

/// No exponent may be further above the centre: e^x is then out of range.
const HIGHEST: f64 = 300.0;

/// The logarithm of the sum, from Σ b e^{x − center}.
///
/// The bound, relative to Σ |b| e^{x − center}, for exponents between −1000 and [`HIGHEST`]:
///
/// | error | block at once | term by term |
/// |---|---|---|
/// | the exponential, [`exp::WIDE_ERROR`] | 2^-94.9 | 2^-94.9 |
/// | the exponent: [`difference`], without 2^-104 \|center\|; [`scaled_term`] | 2^-94.4 | 2^-92.0 |
/// | the product with the weight, 2u² | 2^-105 | 2^-105 |
/// | additions of 3u² in a block: 63 in each of sixteen sums and 8 of these; 1023 | 2^-97.3 | 2^-94.4 |
/// | together | 2^-93.5 | 2^-91.5 |
/// | one addition per block, 3u² | 2^-104.4 | 2^-104.4 |
///
/// Terms that count as e^-1000 or underflow add up to less than 2^-400 per block, as in
/// [`SignedSum`](crate::state::signed::SignedSum).
pub(super) fn estimate<T: Format>(source: &dyn TermSource<T>, center: DoubleDouble) -> Option<Estimate> {
    let (mut sum, mut size, mut blocks) = (DoubleDouble::ZERO, 0.0, 0.0);
    source.blocks(&mut |block| {
        count(Rung::Centred, block.x.len());
        let is_near = block.b.is_none() || block.terms().all(|(x, _)| x.hi - center.hi < HIGHEST);
        let (mut part, mut part_size) =
            if is_near { sum_about(block, center) } else { (DoubleDouble::ZERO, f64::NAN) };
        // What is far below the centre, or counts as e^-1000, is seen with great weights only.
        let is_great = |weights: &[T]| weights.iter().any(|b| b.widen().abs() > power_of_two(100));
        let is_small = part_size <= power_of_two(-300);
        if block.b.is_some_and(|b| !part_size.is_finite() || is_small && is_great(b)) {
            // Weights out of range: one by one.
            (part, part_size) = (DoubleDouble::ZERO, 0.0);
            for (x, b) in block.terms() {
                let log = Log { shift: center.hi, rest: DoubleDouble::from(center.lo) };
                let term = scaled_term(x, b, log, 0.0);
                part = part + term;
                part_size += term.hi.abs();
            }
        }
        sum = sum + part;
        size += part_size;
        blocks += 1.0;
    });
    let error = power_of_two(-91) + power_of_two(-103) * (blocks + center.hi.abs());
    Estimate::new(center, sum, error * size + power_of_two(512 - 400) * blocks, source.divisor())
}

/// max(x − c, −1000), normalised.
///
/// The error is below 2^-104 |c| + 3u² |x − c|: |x.lo| and |c.lo| are at most u (|c| + |x − c|) and u |c|, and their
/// difference and its sum with the low part of x.hi − c.hi are rounded once each.
#[inline(always)]
pub(super) fn difference<F: Float64>(x: DoubleDouble<F>, c: DoubleDouble<F>) -> DoubleDouble<F> {
    let d = two_sum(x.hi, -c.hi);
    // Below −1000 the low part has no meaning.
    let low = d.hi.where_at_most(exp::LEAST, c.hi.splat(0.0), d.lo + (x.lo - c.lo));
    two_sum(c.hi.splat(exp::LEAST).max(d.hi), low)
}

task! {
    /// Σ b e^{x + y − center} and Σ |b| e^{x + y − center} over a block, in units of UNSCALE.
    fn sum_about<T: Format>(block: TermBlock<'_, T>, center: DoubleDouble; simd: V) -> (DoubleDouble, f64) {
        let (center, zero) = (center.splat(simd), simd.splat(0.0));
        // Two sums, whose long chains of operations do not wait for each other.
        let (mut sums, mut sizes) = ([DoubleDouble::from(zero); 2], [zero; 2]);
        for start in (0..block.x.len()).step_by(16) {
            for (way, start) in [start, start + 8].into_iter().enumerate() {
                if start < block.x.len() {
                    let term = eight_terms::<T, V>(block, start, center);
                    sums[way] = sums[way] + term;
                    sizes[way] = sizes[way] + term.hi.max(-term.hi);
                }
            }
        }
        let (sum, size) = (sums[0] + sums[1], sizes[0] + sizes[1]);
        total(sum, size)
    }
}

task! {
    /// 2^-k b e^{x − log} in units of UNSCALE for any size of b, whose power of 2 is added to the exponent.
    /// Infinite beyond the range.
    ///
    /// The exponent's error is below 15 600u² < 2^-92.0 for exponents from −1000 on: that of three sums, 2u² ·
    /// 1745, 3u² · 1745 and 3u² · 1000, and of the multiple of log 2, 5u² · 745 and 1074 · 2^-109 for log 2 itself.
    pub(super) fn scaled_term(x: DoubleDouble, b: f64, log: Log, k: f64; _: V) -> DoubleDouble {
        if b == 0.0 || x.hi == f64::NEG_INFINITY {
            return DoubleDouble::ZERO;
        }
        let (significand, exponent) = parts(b);
        let powers = DoubleDouble::LN_2 * DoubleDouble::from(f64::from(exponent) - k);
        let d = two_sum(x.hi, -log.shift) + x.lo - log.rest + powers;
        if d.hi > HIGHEST {
            return DoubleDouble::from(b * f64::INFINITY);
        }
        // Below −1000 the low part has no meaning.
        let low = if d.hi > -1000.0 { -d.lo } else { 0.0 };
        exp::exp_dd_wide(d.hi, DoubleDouble::from(low)).by(significand)
    }
}

/// b e^{x + y − center} for the eight terms from `start` on, in units of UNSCALE; missing ones are about 0.
#[inline(always)]
fn eight_terms<T: Format, V: Vector>(
    TermBlock { x, y, b }: TermBlock<'_, T>,
    start: usize,
    center: DoubleDouble<V>,
) -> DoubleDouble<V> {
    let (simd, eight) = (center.hi, start..x.len().min(start + 8));
    let x = T::load_up_to(&x[eight.clone()], simd);
    let exponent = match y {
        Some(y) => two_sum(x, T::load_up_to(&y[eight.clone()], simd)),
        None => DoubleDouble::from(x),
    };
    let d = difference(exponent, center);
    let term = exp::exp_dd_wide(d.hi, DoubleDouble { hi: simd.splat(0.0), lo: -d.lo });
    match b {
        None => term,
        Some(b) => {
            let product = term.by(T::load(&padded(&b[eight]), simd));
            two_sum(product.hi, product.lo)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{big, big_dd, uniform};
    use crate::state::signed::Pairs;
    use crate::ziv::matrix_entry::Sums;

    /// Weights and numbers whose product is about 1, at both ends of the range of exponents: −1000 + center, a
    /// block at once, and far above the center, term by term. There the error of the exponent is greatest.
    #[test]
    fn keeps_its_bound_far_from_the_center() {
        for log_of_b in [705.0, -740.0] {
            let mut uniform = uniform(12);
            let mut worst = 0.0_f64;
            for i in 0..400 {
                let length = [1, 2, 9, 1000][i % 4];
                let b: Vec<f64> = (0..length).map(|_| f64::exp(log_of_b + 3.0 * uniform())).collect();
                let z: Vec<f64> = b.iter().map(|b| -b.ln() + uniform()).collect();
                let center = DoubleDouble { hi: uniform(), lo: power_of_two(-55) * uniform() };
                let pairs = Pairs { z: &z, b: Some(&b), mask: None, divisor: 1.0 };
                // About its own logarithm, of which the second one's error is then no part.
                let center = estimate::<f64>(&pairs, center).expect("the terms are in range").log.to_dd();
                let Estimate { log, bound, .. } =
                    estimate::<f64>(&pairs, center).expect("the terms are in range");
                let exact = z
                    .iter()
                    .zip(&b)
                    .fold(big(0.0), |sum, (&z, &b)| sum + (big(z) - big_dd(center)).exp() * big(b));
                let off = big(log.shift) + big_dd(log.rest) - exact.ln() - big_dd(center);
                let off = off.to_f64().value().abs();
                assert!(off <= bound, "{z:?}, {b:?}: off by {off:e}, bound {bound:e}");
                worst = worst.max(off / bound);
            }
            println!("weights of e^{log_of_b}: worst error {worst:.4} of the bound");
            assert!(worst > 1.0 / 100.0, "the bound is too loose: {worst}");
        }
    }

    /// The logarithm is within the bound that it states, of everyday terms, terms that nearly cancel, and weights
    /// of any size; and the bound is not far above the worst error.
    #[test]
    fn keeps_its_bound() {
        let mut uniform = uniform(11);
        let mut worst = 0.0_f64;
        for i in 0..600 {
            let length = [2, 3, 9, 40, 1030][i % 5];
            let (spread, level) = ([1.0, 30.0, 300.0][i % 3], [0.0, 700.0, -1e5][i % 4 % 3]);
            let z: Vec<f64> = (0..length).map(|_| level + spread * (uniform() - 0.5)).collect();
            let scale = [1.0, 1e-290, 1e200][i % 7 % 3];
            let mut b: Vec<f64> = (0..length).map(|_| scale * (uniform() - [0.0, 0.5][i % 2])).collect();
            if i % 6 == 1 {
                // What is left is some 2^-30 of the terms.
                b[0] = scale;
                b[1] = -scale * (z[0] - z[1]).exp() * (1.0 + 1e-9 * uniform());
                b[2..].fill(0.0);
            }
            let pairs = Pairs { z: &z, b: Some(&b), mask: None, divisor: 1.0 };
            let size = |k: &usize| z[*k] + b[*k].abs().ln();
            let greatest = (0..length).map(|k| size(&k)).fold(f64::NEG_INFINITY, f64::max);
            let center = DoubleDouble { hi: greatest, lo: greatest * power_of_two(-54) * (uniform() - 0.5) };
            // About its own logarithm, of which the second one's error is then no part.
            let Some(Estimate { log, .. }) = estimate::<f64>(&pairs, center) else { continue };
            let center = log.to_dd();
            let Some(Estimate { log, bound, sign }) = estimate::<f64>(&pairs, center) else { continue };
            let exact = (0..length)
                .filter(|k| b[*k] != 0.0 && size(k) > greatest - 250.0)
                .fold(big(0.0), |sum, k| sum + (big(z[k]) - big_dd(center)).exp() * big(b[k]));
            assert_eq!(exact.to_f64().value() < 0.0, sign < 0.0);
            let exact = (exact.clone() * big(sign)).ln() + big_dd(center);
            let off = (big(log.shift) + big_dd(log.rest) - exact).to_f64().value().abs();
            assert!(off <= bound, "{z:?}, {b:?}: off by {off:e}, bound {bound:e}");
            worst = worst.max(off / bound);
        }
        println!("worst error {worst:.4} of the bound");
        assert!(worst > 1.0 / 100.0, "the bound is too loose: {worst}");
    }

    /// Exponents x + y far from 0, whose low parts are rounded against the centre's.
    #[test]
    fn keeps_its_bound_of_sums_far_from_0() {
        let mut uniform = uniform(14);
        let mut worst = 0.0_f64;
        for i in 0..200 {
            let (length, level) = ([1, 2, 9, 100][i % 4], [1e6, -3e8][i % 2]);
            let x: Vec<f64> = (0..length).map(|_| level + 10.0 * uniform()).collect();
            let y: Vec<f64> = (0..length).map(|_| -level / 3.0 + 10.0 * uniform()).collect();
            let sums = Sums { x: &x, y: &y };
            let center = DoubleDouble::from(x[0] + y[0]);
            let center = estimate::<f64>(&sums, center).expect("the terms are in range").log.to_dd();
            let Estimate { log, bound, .. } = estimate::<f64>(&sums, center).expect("the terms are in range");
            let exact = x
                .iter()
                .zip(&y)
                .fold(big(0.0), |sum, (&x, &y)| sum + (big(x) + big(y) - big_dd(center)).exp());
            let off = big(log.shift) + big_dd(log.rest) - exact.ln() - big_dd(center);
            let off = off.to_f64().value().abs();
            assert!(off <= bound, "{x:?}, {y:?}: off by {off:e}, bound {bound:e}");
            worst = worst.max(off / bound);
        }
        println!("sums: worst error {worst:.4} of the bound");
        assert!(worst > 1.0 / 32.0, "the bound is too loose: {worst}");
    }
}
