//! Complex exponentials in double-double, and their sums with complex weights.

use crate::arithmetic::double_double::{DoubleDouble, parts, power_of_two, two_sum};
use crate::arithmetic::exp::{self, INVERSE_FACTORIALS, UNSCALE};
use crate::arithmetic::float64::Float64;
use crate::arithmetic::ln;
use crate::formats::Format;
use crate::simd::{Task, Vector, task};
use dashu_float::FBig;
use dashu_float::round::mode;
use num_complex::Complex;
use std::ops::{Add, Mul};

/// A complex number with double-double parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ComplexTwo<W = f64> {
    pub(crate) re: DoubleDouble<W>,
    pub(crate) im: DoubleDouble<W>,
}

impl<W: Float64> Add for ComplexTwo<W> {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self { re: self.re + other.re, im: self.im + other.im }
    }
}

/// Each part has an error below 2^-102 times the product of the magnitudes.
impl<W: Float64> Mul for ComplexTwo<W> {
    type Output = Self;

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self { re: self.re * other.re - self.im * other.im, im: self.re * other.im + self.im * other.re }
    }
}

impl<W: Float64> ComplexTwo<W> {
    #[inline(always)]
    fn conjugate(self) -> Self {
        Self { im: -self.im, ..self }
    }

    #[inline(always)]
    fn scaled(self, factor: W) -> Self {
        Self { re: self.re.scaled(factor), im: self.im.scaled(factor) }
    }

    /// The square of the magnitude.
    #[inline(always)]
    fn norm(self) -> DoubleDouble<W> {
        self.re * self.re + self.im * self.im
    }
}

impl ComplexTwo {
    const ZERO: Self = Self { re: DoubleDouble::ZERO, im: DoubleDouble::ZERO };

    #[inline(always)]
    fn splat<W: Float64>(self, simd: W) -> ComplexTwo<W> {
        ComplexTwo { re: self.re.splat(simd), im: self.im.splat(simd) }
    }
}

/// π/2 in three parts, with an absolute error below 2^-122; the first two have 33 bits, so that their products
/// with |k| < 2^20 are exact.
const QUARTER: [f64; 3] = [1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21];

/// Angles of at most this magnitude have |k| < 2^20.
const FAR: f64 = 1e6;

/// 1/n! for n = 16 to 27.
const SMALL_INVERSE_FACTORIALS: [f64; 12] = {
    let (mut inverses, mut factorial, mut n) = ([0.0; 12], 1_307_674_368_000.0, 16);
    while n < 28 {
        factorial *= n as f64;
        inverses[n - 16] = 1.0 / factorial;
        n += 1;
    }
    inverses
};

/// cos y + i sin y, for |y| ≤ 10^6 and a low part below 2^-51. Each part has an absolute error below 2^-98; the
/// sine of a y below π/4 in magnitude has a relative error below 2^-103: 3u² from the last sum, and a tenth of
/// that from products.
///
/// r = y − k π/2 has an error below 2^-99, from the product of k with the third part, which is below 2^-47, and
/// from the sum of the low parts. The Taylor series are in double-double down to r^15/15!, with 8u² per step
/// relative to its part of the sum, 2^-101.5 in all; the other terms, below 2^-49, are in f64: 2^-101; the first
/// term left out, r^28/28!, is below 2^-107.
#[inline(always)]
pub(crate) fn cis<W: Float64>(y: DoubleDouble<W>) -> ComplexTwo<W> {
    /// Adding and subtracting this rounds a small number to the nearest integer.
    const ROUNDER: f64 = 6755399441055744.0; // 1.5 · 2^52
    let simd = y.hi;
    let rounder = simd.splat(ROUNDER);
    let k = simd.mul_add(simd.splat(std::f64::consts::FRAC_2_PI), rounder) - rounder;
    let [part0, part1, part2] = QUARTER;
    let high = two_sum((-k).mul_add(simd.splat(part0), simd), -k * simd.splat(part1));
    let r = two_sum(high.hi, high.lo + (-k).mul_add(simd.splat(part2), y.lo));

    let square = r * r;
    let minus_square = -square;
    // Even n belong to the cosine, odd n to the sine.
    let mut series = [DoubleDouble::ZERO.splat(simd); 2];
    for n in (16..28).rev() {
        let sum = &mut series[n % 2].hi;
        *sum = sum.mul_add(minus_square.hi, simd.splat(SMALL_INVERSE_FACTORIALS[n - 16]));
    }
    for n in (2..16).rev() {
        let sum = &mut series[n % 2];
        *sum = *sum * minus_square + INVERSE_FACTORIALS[n].splat(simd);
    }
    let one = DoubleDouble::ONE.splat(simd);
    let cos = series[0] * minus_square + one;
    let sin = series[1] * minus_square * r + r;

    // i^k, whose parts are 0 and ±1: j, between −2 and 2, is k modulo 4.
    let four = simd.splat(4.0);
    let j = (-four).mul_add(k.mul_add(simd.splat(0.25), rounder) - rounder, k);
    let size = j.max(-j);
    let (turn_re, turn_im) = (simd.splat(1.0) - size, j * (simd.splat(2.0) - size));
    ComplexTwo {
        re: DoubleDouble { hi: cos.hi * turn_re - sin.hi * turn_im, lo: cos.lo * turn_re - sin.lo * turn_im },
        im: DoubleDouble { hi: sin.hi * turn_re + cos.hi * turn_im, lo: sin.lo * turn_re + cos.lo * turn_im },
    }
}

/// y, or if |y| > [`FAR`] an angle in [−π, π] that differs from y by whole turns, with an error below 2^-100.
#[inline(always)]
fn near(y: f64) -> DoubleDouble {
    if y.abs() <= FAR { DoubleDouble::from(y) } else { reduced(y) }
}

#[cold]
fn reduced(y: f64) -> DoubleDouble {
    type Big = FBig<mode::HalfEven, 2>;
    // Up to 1024 bits of y before the binary point, and 128 after it.
    const PRECISION: usize = 1024 + 128;
    let big = |x: f64| Big::try_from(x).unwrap_or_default().with_precision(PRECISION).value();
    let turn = Big::pi(PRECISION) * big(2.0);
    let rest = big(y) - (big(y) / &turn).round() * turn;
    let hi = rest.to_f64().value();
    DoubleDouble { hi, lo: (rest - big(hi)).to_f64().value() }
}

task! {
    /// cos y + i sin y, rounded.
    pub(crate) fn unit(y: f64; _: V) -> Complex<f64> {
        let unit = cis(near(y));
        Complex { re: unit.re.hi, im: unit.im.hi }
    }
}

/// Eight terms b e^z, with a power of 2 moved from b into e^z.
struct Terms {
    re: [f64; 8],
    re_low: [f64; 8],
    im: [f64; 8],
    im_low: [f64; 8],
    weight_re: [f64; 8],
    weight_im: [f64; 8],
}

/// b / 2^n and n, such that the greater part of the quotient has a magnitude in [1, 2); n = 0 for b = 0.
#[inline(always)]
pub(crate) fn normalised(b: Complex<f64>) -> (Complex<f64>, i32) {
    let greatest = if b.re.abs() > b.im.abs() { b.re } else { b.im };
    if greatest == 0.0 {
        return (b, 0);
    }
    let (_, exponent) = parts(greatest);
    let half = exponent / 2;
    let (first, second) = (power_of_two(-half), power_of_two(half - exponent));
    (Complex { re: b.re * first * second, im: b.im * first * second }, exponent)
}

#[inline(always)]
pub(crate) fn widened<T: Format>(z: Complex<T>) -> Complex<f64> {
    Complex { re: z.re.widen(), im: z.im.widen() }
}

impl Terms {
    /// From at most eight terms. Unused places add nothing, nor do terms with real part −∞ or weight 0.
    #[inline(always)]
    fn new<T: Format>(z: &[Complex<T>], b: Option<&[Complex<T>]>) -> Self {
        let mut terms = Self {
            re: [f64::NEG_INFINITY; 8],
            re_low: [0.0; 8],
            im: [0.0; 8],
            im_low: [0.0; 8],
            weight_re: [0.0; 8],
            weight_im: [0.0; 8],
        };
        for (i, &z) in z.iter().enumerate() {
            let z = widened(z);
            let (b, exponent) = b.map_or((Complex { re: 1.0, im: 0.0 }, 0), |b| normalised(widened(b[i])));
            if z.re == f64::NEG_INFINITY || b.re == 0.0 && b.im == 0.0 {
                continue;
            }
            let powers = DoubleDouble::LN_2 * DoubleDouble::from(f64::from(exponent));
            let re = two_sum(z.re, powers.hi);
            let im = near(z.im);
            (terms.re[i], terms.re_low[i]) = (re.hi, re.lo + powers.lo);
            (terms.im[i], terms.im_low[i]) = (im.hi, im.lo);
            (terms.weight_re[i], terms.weight_im[i]) = (b.re, b.im);
        }
        terms
    }

    /// b e^{z − c} in units of [`UNSCALE`].
    #[inline(always)]
    fn at<V: Vector>(&self, c: V) -> ComplexTwo<V> {
        let zero = c.splat(0.0);
        let d = two_sum(c.load(&self.re), -c);
        let low = d.hi.where_at_most(exp::LEAST, zero, d.lo + c.load(&self.re_low));
        let size = exp::exp_dd_wide(d.hi, DoubleDouble::from(-low));
        let angle = cis(DoubleDouble { hi: c.load(&self.im), lo: c.load(&self.im_low) });
        let power = ComplexTwo { re: (size * angle.re), im: (size * angle.im) };
        let weight = ComplexTwo {
            re: DoubleDouble::from(c.load(&self.weight_re)),
            im: DoubleDouble::from(c.load(&self.weight_im)),
        };
        power * weight
    }
}

/// The terms of a sum Σ b e^{z − c}, with optional weights, and its real shift c.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sum<'a, T> {
    pub(crate) z: &'a [Complex<T>],
    pub(crate) b: Option<&'a [Complex<T>]>,
    /// At least Re z + n log 2 for each z, where 2^n is the power of 2 taken from its weight.
    pub(crate) c: f64,
}

/// Σ b e^{z − c}, and a bound on its error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Summed {
    sum: ComplexTwo,
    error: f64,
}

impl<T: Format> Sum<'_, T> {
    /// The terms in groups of eight, each with its start index.
    fn eights(&self) -> impl Iterator<Item = (usize, Terms)> {
        (0..self.z.len()).step_by(8).map(move |start| {
            let end = self.z.len().min(start + 8);
            (start, Terms::new(&self.z[start..end], self.b.map(|b| &b[start..end])))
        })
    }
}

/// The error relative to the sum of the magnitudes: 2^-94 from [`exp::exp_dd_wide`], 2^-105 · 1000 from its
/// argument, 2^-98 from [`cis`], 2^-100 from products, and 2^-103 from each addition.
impl<T: Format> Task for Sum<'_, T> {
    type Output = Summed;

    #[inline(always)]
    fn run<V: Vector>(self, simd: V) -> Summed {
        let c = simd.splat(self.c);
        let zero = simd.splat(0.0);
        let mut sum = ComplexTwo::ZERO.splat(simd);
        let mut size = zero;
        for (_, terms) in self.eights() {
            let term = terms.at(c);
            sum = sum + term;
            size = size + (term.re.hi.max(-term.re.hi) + term.im.hi.max(-term.im.hi));
        }
        let [mut re, mut re_low, mut im, mut im_low, mut sizes] = [[0.0; 8]; 5];
        sum.re.hi.store(&mut re);
        sum.re.lo.store(&mut re_low);
        sum.im.hi.store(&mut im);
        sum.im.lo.store(&mut im_low);
        size.store(&mut sizes);
        let mut all = ComplexTwo::ZERO;
        for i in 0..8 {
            all = all
                + ComplexTwo {
                    re: DoubleDouble { hi: re[i], lo: re_low[i] },
                    im: DoubleDouble { hi: im[i], lo: im_low[i] },
                };
        }
        let size: f64 = sizes.iter().sum();
        let relative = power_of_two(-92) + power_of_two(-102) * self.z.len() as f64;
        Summed { sum: all.scaled(UNSCALE), error: relative * size * UNSCALE }
    }
}

/// log Σ b e^z, with an angle in [−π, π].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Log {
    pub(crate) re: f64,
    pub(crate) im: f64,
    /// Bounds the error of each part before it was rounded.
    pub(crate) error: f64,
    /// 1/Σ b e^{z − c}, and a bound on its relative error.
    pub(crate) inverse: ComplexTwo,
    pub(crate) relative_error: f64,
}

/// The logarithm of a sum with shift c. Its error bounds may be infinite or NaN if the sum has no correct digit.
pub(crate) struct LogOf {
    pub(crate) summed: Summed,
    pub(crate) c: f64,
}

impl Task for LogOf {
    type Output = Log;

    /// With an estimate L + iθ of the logarithm, the sum times e^{−L − iθ} is 1 + δ, and the logarithm is L + iθ +
    /// δ − δ²/2. The parts of δ are below 2^-45, and the omitted δ³/3 is below 2^-135.
    #[inline(always)]
    fn run<V: Vector>(self, _: V) -> Log {
        let Self { summed: Summed { sum, error }, c } = self;
        let norm = sum.norm();
        let relative_error = error / norm.hi.sqrt();
        let length = 0.5 * ln::ln_dd(norm).0.hi;
        let angle = angle(sum);
        let turned = sum * cis(DoubleDouble::from(angle)).conjugate();
        let size = exp::exp_dd_wide(-length, DoubleDouble::ZERO).scaled(UNSCALE);
        let delta_re = turned.re * size + (-1.0);
        let delta_im = (turned.im * size).hi;
        let second = 0.5 * (delta_re.hi * delta_re.hi - delta_im * delta_im);
        let re = two_sum(c, length) + (delta_re.hi - second);
        let im = angle + delta_im * (1.0 - delta_re.hi);
        let pi = std::f64::consts::PI;
        Log {
            re: re.hi + 0.0,
            im: im.clamp(-pi, pi) + 0.0,
            error: relative_error + power_of_two(-98) + power_of_two(-105) * c.abs(),
            inverse: ComplexTwo { re: (sum.re / norm), im: (-sum.im / norm) },
            relative_error: relative_error + power_of_two(-98),
        }
    }
}

/// The angle of a complex number, with relative error below 2^-50.
///
/// A formula with an absolute error of at most 0.0039 gives a rough angle; the angle that remains after turning by
/// it is w − w³/3 + w⁵/5 with |w| < 2^-8, where the next term is below 2^-58.
#[inline(always)]
fn angle(z: ComplexTwo) -> f64 {
    const PI: f64 = std::f64::consts::PI;
    let (re, im) = (z.re.hi.abs(), z.im.hi.abs());
    let t = if im < re { im / re } else { re / im };
    let low = t * (std::f64::consts::FRAC_PI_4 + 0.273 * (1.0 - t));
    let upper = if im < re { low } else { std::f64::consts::FRAC_PI_2 - low };
    let right = if z.re.hi < 0.0 { PI - upper } else { upper };
    let rough = if z.im.hi < 0.0 { -right } else { right };
    let turned = z * cis(DoubleDouble::from(rough)).conjugate();
    let w = turned.im.hi / turned.re.hi;
    rough + w * (1.0 - w * w * (1.0 / 3.0 - w * w / 5.0))
}

/// b e^z / Σ b e^z for each term, given 1/Σ b e^{z − c}.
pub(crate) struct Shares<'a, 'o, T> {
    pub(crate) sum: Sum<'a, T>,
    pub(crate) inverse: ComplexTwo,
    pub(crate) out: &'o mut [Complex<T>],
}

impl<T: Format> Task for Shares<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, simd: V) {
        let c = simd.splat(self.sum.c);
        let (inverse, unscale) = (self.inverse.splat(simd), simd.splat(UNSCALE));
        for (start, terms) in self.sum.eights() {
            let share = terms.at(c) * inverse;
            let (mut re, mut im) = ([0.0; 8], [0.0; 8]);
            (share.re.hi * unscale).store(&mut re);
            (share.im.hi * unscale).store(&mut im);
            for (i, out) in self.out[start..].iter_mut().take(8).enumerate() {
                *out = Complex { re: T::narrow(re[i]), im: T::narrow(im[i]) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{Big, big, big_dd, uniform};

    fn exact(y: f64) -> (Big, Big) {
        big(y).with_precision(if y.abs() < 1e7 { 400 } else { 2200 }).value().sin_cos()
    }

    #[test]
    fn cis_keeps_its_bound() {
        let mut uniform = uniform(6);
        let mut worst = [0f64; 2];
        for i in 0..6000 {
            let y = match i % 5 {
                0 => 2e6 * (uniform() - 0.5),
                1 => (2e6 * (uniform() - 0.5)).round() * std::f64::consts::FRAC_PI_4 / 2.0,
                2 => power_of_two(-((uniform() * 200.0) as i32)) * uniform(),
                _ => 20.0 * (uniform() - 0.5),
            };
            let found = cis(DoubleDouble::from(y));
            let (sin, cos) = exact(y);
            let off =
                |found: DoubleDouble, exact: &Big| (big_dd(found) - exact.clone()).to_f64().value().abs();
            worst[0] = worst[0].max(off(found.re, &cos)).max(off(found.im, &sin));
            if y != 0.0 && y.abs() < 0.7 {
                worst[1] = worst[1].max(off(found.im, &sin) / y.abs());
            }
        }
        println!("worst 2^{:.2}, relative 2^{:.2}", worst[0].log2(), worst[1].log2());
        for (worst, bound) in worst.into_iter().zip([power_of_two(-98), power_of_two(-103)]) {
            assert!(worst < bound && worst > bound / 64.0, "{worst:e}");
        }
    }

    #[test]
    fn large_angles_are_reduced() {
        let mut uniform = uniform(7);
        for i in 0..300 {
            let y = [1e7, 1e15, 1e22, 1e100, 1e300, f64::MAX][i % 6] * (2.0 * uniform() - 1.0);
            let (found, (sin, cos)) = (cis(near(y)), exact(y));
            for (found, exact) in [(found.re, cos), (found.im, sin)] {
                let off = (big_dd(found) - exact).to_f64().value().abs();
                assert!(off < power_of_two(-98), "{y:e}: {off:e}");
            }
        }
    }

    #[test]
    fn angles_are_within_their_bound() {
        let two = |hi: f64| DoubleDouble { hi, lo: 0.0 };
        for i in 0..10_000 {
            let exact = (f64::from(i) - 5000.0) / 5000.0 * std::f64::consts::PI;
            let z = cis(two(exact));
            let off = (angle(z) - exact).abs();
            assert!(off <= power_of_two(-50) * exact.abs(), "{exact}: {}", angle(z));
        }
        assert_eq!(angle(ComplexTwo { re: two(2.0), im: two(1e-300) }), 5e-301);
    }
}
