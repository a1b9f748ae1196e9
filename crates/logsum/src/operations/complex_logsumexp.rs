//! Log-sum-exp of complex numbers, with and without weights, and its complex derivative.

use crate::arithmetic::double_double::power_of_two;
use crate::error::Error;
use crate::formats::Format;
use crate::kernels::complex_exp::{Log, LogOf, Shares, Sum, normalised, unit, widened};
use crate::operations::per_format::{Float, compiled};
use crate::operations::row_reduction::same_length;
use crate::simd::run;
use dashu_float::FBig;
use dashu_float::ops::EstimatedLog2;
use dashu_float::round::mode;
use num_complex::Complex;

/// log Σ e^{z_k} of complex numbers: log |Σ e^{z_k}| + i arg Σ e^{z_k}, with the angle in [−π, π].
///
/// The real and the imaginary part are each rounded from an approximation with absolute error less than 2^-5 ulp
/// of the result's magnitude, so that the result is within 1 ulp of its magnitude, whatever cancels. For finite
/// floats Σ e^z is never exactly 0 (Lindemann–Weierstrass theorem). Zeros are +0.
///
/// A number with real part −∞ adds nothing, whatever its imaginary part. Other non-finite numbers follow C99's rules
/// for the complex exponential and logarithm:
///
/// | input | value |
/// |---|---|
/// | empty, or all −∞ | −∞ + 0i |
/// | +∞ + yi | +∞; the angle depends on the quadrant of y: 0 for y = 0, else ±π/4 or ±3π/4 |
/// | several +∞ + yi | the angle of the sum of their components ±∞; where these cancel, +∞ or NaN, with NaN as angle |
/// | an infinite imaginary part, or a NaN | NaN, or +∞ if its real part is +∞; NaN as angle |
///
/// See also [`complex_logsumexp_weighted`], [`complex_logsumexp_with_gradient`]; for real numbers
/// [`logsumexp`](crate::logsumexp).
///
/// ```
/// use logsum::complex_logsumexp;
/// use num_complex::Complex;
/// let z = [Complex::new(1000.0, 1.0), Complex::new(1000.0, -1.0)];
/// assert_eq!(complex_logsumexp(&z), Complex::new(1000.077520710174, 0.0)); // log(2 e^1000 cos 1)
///
/// // The float nearest to π is less than π by 1.2e-16, and so 1 + e^{iπ} is not 0.
/// let z = [Complex::new(0.0, 0.0), Complex::new(0.0, std::f64::consts::PI)];
/// assert_eq!(complex_logsumexp(&z), Complex::new(-36.63870901270898, 1.5707963267948966));
/// ```
#[must_use]
pub fn complex_logsumexp<T: Float>(z: &[Complex<T>]) -> Complex<T> {
    <T as Compiled<T>>::complex_logsumexp(z)
}

/// log Σ b_k e^{z_k} of complex numbers with complex weights; bounds and special cases are those of
/// [`complex_logsumexp`].
///
/// A term of weight 0 is absent, whatever its z. A non-finite weight makes the sum infinite or NaN. If the sum
/// still vanishes at 8192 bits of precision, the value is −∞ + 0i.
///
/// ```
/// use logsum::complex_logsumexp_weighted;
/// use num_complex::Complex;
/// let z = [1.0, 2.0].map(Complex::from);
/// // The logarithm of e − e² = −4.67…
/// assert_eq!(
///     complex_logsumexp_weighted(&z, &[1.0, -1.0].map(Complex::from))?,
///     Complex::new(1.5413248546129181, std::f64::consts::PI)
/// );
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// [`Error::LengthMismatch`] if `b` is not as long as `z`.
pub fn complex_logsumexp_weighted<T: Float>(z: &[Complex<T>], b: &[Complex<T>]) -> Result<Complex<T>, Error> {
    <T as Compiled<T>>::complex_logsumexp_weighted(z, b)
}

/// Returns the value of [`complex_logsumexp`] and writes its holomorphic derivatives ∂/∂z_i = e^{z_i} / Σ e^{z_k}
/// into `gradient`.
///
/// Each is within 1 ulp of its magnitude. Their exact sum is 1, but their magnitudes may exceed 1. If all real parts
/// are −∞ they are 0; with a NaN or another non-finite number they are NaN.
///
/// ```
/// use logsum::complex_logsumexp_with_gradient;
/// use num_complex::Complex;
/// let mut gradient = [Complex::default(); 2];
/// let z = [Complex::new(7.0, 0.5), Complex::new(7.0, -0.5)];
/// complex_logsumexp_with_gradient(&z, &mut gradient)?;
/// assert_eq!(gradient, [Complex::new(0.5, 0.27315124492189524), Complex::new(0.5, -0.27315124492189524)]);
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// [`Error::LengthMismatch`] if `gradient` is not as long as `z`; nothing is written then.
pub fn complex_logsumexp_with_gradient<T: Float>(
    z: &[Complex<T>],
    gradient: &mut [Complex<T>],
) -> Result<Complex<T>, Error> {
    <T as Compiled<T>>::complex_logsumexp_with_gradient(z, gradient)
}

compiled! {
    fn complex_logsumexp(z: &[Complex<T>]) -> Complex<T> {
        narrowed(value(z, None))
    }

    fn complex_logsumexp_weighted(
    z: &[Complex<T>],
    b: &[Complex<T>],
) -> Result<Complex<T>, Error> {
        same_length("b", b, "z", z)?;
        Ok(narrowed(value(z, Some(b))))
    }

    fn complex_logsumexp_with_gradient(
    z: &[Complex<T>],
    gradient: &mut [Complex<T>],
) -> Result<Complex<T>, Error> {
        same_length("gradient", gradient, "z", z)?;
        let sum = match finite(z, None) {
            Ok(sum) => sum,
            Err(value) => {
                let share = if value.re == f64::NEG_INFINITY { 0.0 } else { f64::NAN };
                gradient.fill(narrowed(Complex { re: share, im: share }));
                return Ok(narrowed(value));
            }
        };
        let log = log(sum);
        if log.relative_error <= part_of_ulp::<T>() {
            run(Shares { sum, inverse: log.inverse, out: gradient });
        } else if let Some(exact) =
            Exact::sums(sum).find(|sum| sum.relative_error() < -PART - <T as Format>::SIGNIFICAND_BITS as f64)
        {
            gradient.iter_mut().zip(z).for_each(|(out, &z)| *out = narrowed(exact.share(widened(z))));
        }
        Ok(narrowed(settled(sum, &log)))
    }
}

fn narrowed<T: Format>(z: Complex<f64>) -> Complex<T> {
    Complex { re: T::narrow(z.re), im: T::narrow(z.im) }
}

/// −log₂ of the error allowed before the final rounding, in ulps of the result.
const PART: f64 = 5.0;

fn part_of_ulp<T: Format>() -> f64 {
    power_of_two(-(PART as i32) - T::SIGNIFICAND_BITS as i32)
}

type Big = FBig<mode::HalfEven, 2>;

/// Σ b e^{z − c} in arbitrary precision, for sums that the double-double phase does not settle.
///
/// dashu's exponentials, sines and cosines are assumed to be within 2^16 units in the last place; together with
/// rounded arguments and omitted terms, each term has an absolute error less than 2^20 · 2^-bits.
struct Exact {
    re: Big,
    im: Big,
    c: f64,
    bits: usize,
    count: f64,
}

/// x with a working precision of `bits` bits.
fn big(x: f64, bits: usize) -> Big {
    Big::try_from(x).unwrap_or_default().with_precision(bits).value()
}

fn exp(z: Complex<f64>, c: f64, bits: usize) -> (Big, Big) {
    let size = (big(z.re, bits) - big(c, bits)).exp();
    let (sin, cos) = big(z.im, bits).sin_cos();
    (&size * cos, size * sin)
}

impl Exact {
    /// The sum at precisions that double; with weights up to 8192 bits only, since the sum may be exactly 0.
    fn sums<T: Format>(sum: Sum<'_, T>) -> impl Iterator<Item = Self> {
        let most = if sum.b.is_some() { 13 } else { usize::BITS - 1 };
        (8..=most).map(move |log2| Self::of(sum, 1 << log2))
    }

    fn of<T: Format>(Sum { z, b, c }: Sum<'_, T>, bits: usize) -> Self {
        let (mut re, mut im) = (big(0.0, bits), big(0.0, bits));
        for (z, b) in present(z, b) {
            if z.re + f64::from(normalised(b).1) * std::f64::consts::LN_2 - c < -(bits as f64) {
                continue;
            }
            let (cos, sin) = exp(z, c, bits);
            let [b_re, b_im] = [b.re, b.im].map(|b| big(b, bits));
            re += &cos * &b_re - &sin * &b_im;
            im += cos * b_im + sin * b_re;
        }
        Self { re, im, c, bits, count: z.len() as f64 }
    }

    fn norm(&self) -> Big {
        &self.re * &self.re + &self.im * &self.im
    }

    /// log₂ of a bound on the relative error of the sum; ∞ if the computed sum is 0.
    fn relative_error(&self) -> f64 {
        let norm = self.norm();
        if norm.repr().significand().is_zero() {
            return f64::INFINITY;
        }
        20.0 + self.count.log2() - self.bits as f64 - f64::from(norm.log2_bounds().0) / 2.0
    }

    /// The logarithm, if its error is below the allowed part of an ulp, or too small to change any float.
    fn log<T: Format>(&self) -> Option<Complex<f64>> {
        let error = self.relative_error().max(self.c.abs().log2() + 4.0 - self.bits as f64) + 1.0;
        if error > -4.0 {
            return None;
        }
        let re = (self.norm().ln() >> 1) + big(self.c, self.bits);
        let im = self.im.atan2(&self.re);
        let [re, im] = [re, im].map(|part| part.to_f64().value() + 0.0);
        let size = re.abs().max(im.abs()).log2();
        (error < (size - PART - T::SIGNIFICAND_BITS as f64).max(-1140.0)).then_some(Complex { re, im })
    }

    /// e^{z − c} divided by the sum, which has no weights.
    fn share(&self, z: Complex<f64>) -> Complex<f64> {
        if z.re == f64::NEG_INFINITY {
            return Complex { re: 0.0, im: 0.0 };
        }
        let ((cos, sin), norm) = (exp(z, self.c, self.bits), self.norm());
        let re = (&cos * &self.re + &sin * &self.im) / &norm;
        let im = (sin * &self.re - cos * &self.im) / norm;
        Complex { re: re.to_f64().value(), im: im.to_f64().value() }
    }
}

/// The logarithm of the sum of the exponentials by C99's rules, if a term is infinite or NaN. Finite terms are
/// negligible against infinite ones.
fn at_edge<T: Format>(z: &[Complex<T>], b: Option<&[Complex<T>]>) -> Complex<f64> {
    let mut sum = Complex { re: 0.0, im: 0.0 };
    for (z, b) in present(z, b) {
        let e = exp_at_edge(z);
        // A product with a zero component must not become NaN through 0 · ∞.
        let product = |x: f64, y: f64| if x == 0.0 || y == 0.0 { 0.0 } else { x * y };
        sum.re += product(e.re, b.re) - product(e.im, b.im);
        sum.im += product(e.re, b.im) + product(e.im, b.re);
    }
    let re = if sum.re.is_infinite() || sum.im.is_infinite() { f64::INFINITY } else { f64::NAN };
    Complex { re, im: angle_at_edge(sum) }
}

/// e^z if z is not finite; otherwise a number with the same angle.
fn exp_at_edge(z: Complex<f64>) -> Complex<f64> {
    match z {
        _ if z.re.is_finite() && z.im.is_finite() => unit(z.im),
        _ if z.im == 0.0 => Complex { re: z.re, im: 0.0 },
        Complex { re: f64::INFINITY, .. } if z.im.is_finite() => {
            let unit = unit(z.im);
            Complex { re: unit.re * f64::INFINITY, im: unit.im * f64::INFINITY }
        }
        Complex { re: f64::INFINITY, .. } => Complex { re: f64::INFINITY, im: f64::NAN },
        _ => Complex { re: f64::NAN, im: f64::NAN },
    }
}

/// A multiple of π/4, or NaN.
fn angle_at_edge(Complex { re, im }: Complex<f64>) -> f64 {
    use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};
    let angle = match (re.is_infinite(), im.is_infinite()) {
        _ if re.is_nan() || im.is_nan() => return f64::NAN,
        (true, true) if re > 0.0 => FRAC_PI_4,
        (true, true) => 3.0 * FRAC_PI_4,
        (false, true) => FRAC_PI_2,
        _ if re > 0.0 => 0.0,
        // The finite part of the sum is unknown, but its angle is that of the negative real axis.
        _ => return PI,
    };
    if im < 0.0 { -angle } else { angle }
}

fn log<T: Format>(sum: Sum<'_, T>) -> Log {
    run(LogOf { summed: run(sum), c: sum.c })
}

/// Each z with its weight, without the terms that add nothing.
fn present<'a, T: Format>(
    z: &'a [Complex<T>],
    b: Option<&'a [Complex<T>]>,
) -> impl Iterator<Item = (Complex<f64>, Complex<f64>)> + 'a {
    let one = Complex { re: 1.0, im: 0.0 };
    let pairs = z.iter().enumerate().map(move |(i, &z)| (widened(z), b.map_or(one, |b| widened(b[i]))));
    pairs.filter(|(z, b)| z.re != f64::NEG_INFINITY && (b.re != 0.0 || b.im != 0.0))
}

/// The largest real part, with log 2 times the exponent of the weight added to each.
fn greatest<T: Format>(z: &[Complex<T>], b: Option<&[Complex<T>]>) -> f64 {
    let with_power = |(z, b): (Complex<f64>, _)| z.re + f64::from(normalised(b).1) * std::f64::consts::LN_2;
    present(z, b).map(with_power).fold(f64::NEG_INFINITY, f64::max)
}

fn value<T: Format>(z: &[Complex<T>], b: Option<&[Complex<T>]>) -> Complex<f64> {
    match finite(z, b) {
        Ok(sum) => settled(sum, &log(sum)),
        Err(value) => value,
    }
}

/// The sum, if all its terms are finite and at least one is nonzero; otherwise the value as the error.
fn finite<'a, T: Format>(
    z: &'a [Complex<T>],
    b: Option<&'a [Complex<T>]>,
) -> Result<Sum<'a, T>, Complex<f64>> {
    let is_finite = |z: Complex<f64>| z.re.is_finite() && z.im.is_finite();
    if !present(z, b).all(|(z, b)| is_finite(z) && is_finite(b)) {
        return Err(at_edge(z, b));
    }
    let c = greatest(z, b);
    if c == f64::NEG_INFINITY { Err(NOTHING) } else { Ok(Sum { z, b, c }) }
}

/// log 0.
const NOTHING: Complex<f64> = Complex { re: f64::NEG_INFINITY, im: 0.0 };

fn settled<T: Format>(sum: Sum<'_, T>, log: &Log) -> Complex<f64> {
    let &Log { re, im, error, .. } = log;
    if error <= part_of_ulp::<T>() * re.abs().max(im.abs()) {
        return Complex { re, im };
    }
    // A result near 0 may fail that test although it is exact: for a single unweighted term.
    let mut alone = present(sum.z, sum.b);
    if let (Some((z, b)), None) = (alone.next(), alone.next())
        && (b.re, b.im) == (1.0, 0.0)
        && z.im.abs() <= std::f64::consts::PI
    {
        return Complex { re: z.re + 0.0, im: z.im + 0.0 };
    }
    Exact::sums(sum).find_map(|sum| sum.log::<T>()).unwrap_or(NOTHING)
}
