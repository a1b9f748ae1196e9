//! Multiples of logarithms of single numbers, x log y and log(p/(1 − p)), correctly rounded: the phases after the one
//! that the elementwise functions do for eight numbers.
//!
//! | phase | relative error of the logarithm |
//! |---|---|
//! | double-double, two steps | 2^-78 |
//! | arbitrary precision | as small as it takes |
//!
//! The phases end: by Lindemann and Weierstrass the logarithm of a rational number other than 1 is transcendental, and
//! so is its product with a rational x ≠ 0. So the result keeps a distance from every half-way point. log 1 is 0.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two};
use crate::arithmetic::fixed_point::exponent_of;
use crate::arithmetic::ln::{ln_of_f64_fine, log1p_dd_fine};
use crate::formats::Format;
use crate::simd::task;
use crate::ziv::integer_sums::{fixed, integer, nearest_within, shifted};
use dashu_float::FBig;
use dashu_float::round::mode;
use dashu_int::IBig;
use dashu_int::ops::Abs;

type Big = FBig<mode::HalfEven, 2>;

/// x log y, for finite x ≠ 0 and finite positive y ≠ 1.
#[cold]
pub(crate) fn x_log_y<T: Format>(x: f64, y: f64) -> T {
    nearest(x, ln(y), |bits| big(y, bits))
}

/// log(p/(1 − p)), for 0 < p < 1.
#[cold]
pub(crate) fn logit<T: Format>(p: f64) -> T {
    if p == 0.5 {
        return T::default();
    }
    // 1 − p is exact with this many bits.
    let quotient = |bits: usize| big(p, bits) / (big(1.0, bits + 1200) - big(p, bits + 1200));
    nearest(1.0, log_of_odds(p), |bits| quotient(bits).with_precision(bits).value())
}

/// The float nearest to x log r, given log r ≠ 0 with a relative error of at most 2^-78, and r with any number of bits.
fn nearest<T: Format>(x: f64, log: DoubleDouble, ratio: impl Fn(usize) -> Big) -> T {
    /// |log r| is at least 2^-54, so that the bits cut off are below 2^-100 of it.
    const BITS: usize = 160;
    let fine = fixed(log.hi, BITS) + fixed(log.lo, BITS);
    let error = (fine.clone().abs() >> 78) + IBig::ONE;
    product(x, fine, error, BITS)
        .or_else(|| (8..).find_map(|power| in_arbitrary_precision(x, &ratio, 1 << power)))
        .expect("a transcendental number keeps a distance from every half-way point")
}

/// dashu's logarithm of a number of bits + 128 bits is trusted to 64 bits less than that.
fn in_arbitrary_precision<T: Format>(x: f64, ratio: impl Fn(usize) -> Big, bits: usize) -> Option<T> {
    let (significand, exponent) = ratio(bits + 128).ln().into_repr().into_parts();
    product(x, shifted(significand, exponent + bits as isize), IBig::from(2), bits)
}

/// The float that x · log, in units of 2^-bits, rounds to for every log within its error, if there is one.
fn product<T: Format>(x: f64, log: IBig, error: IBig, bits: usize) -> Option<T> {
    let x_units = integer(x);
    nearest_within(log * &x_units, error * x_units, exponent_of(x) - bits as isize)
}

fn big(x: f64, bits: usize) -> Big {
    Big::try_from(x).expect("a finite number").with_precision(bits).value()
}

task! {
    /// Relative error below 2^-79.
    fn ln(y: f64; _: V) -> DoubleDouble {
        ln_of_f64_fine(y)
    }
}

task! {
    /// log(p/q) with q = 1 − p; relative error below 2^-78.
    ///
    /// It is ±log(1 + t) with t = |p − q|/min(p, q), in which only the quotient has an error, of 15u². For p below
    /// 2^-54, −log q differs from p by about p²/2.
    fn log_of_odds(p: f64; _: V) -> DoubleDouble {
        if p < power_of_two(-54) {
            return ln_of_f64_fine(p) + p;
        }
        let (p_less_q, q) = (DoubleDouble::from(p + p) + -1.0, DoubleDouble::from(-p) + 1.0);
        if p < 0.5 { -log1p_dd_fine(-p_less_q / DoubleDouble::from(p)) } else { log1p_dd_fine(p_less_q / q) }
    }
}
