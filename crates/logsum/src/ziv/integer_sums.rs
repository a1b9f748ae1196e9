//! Sums as big integers in units of 2^-bits, their logarithms, and rounding to a float.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two};
use crate::arithmetic::fixed_point::{exponent_of, significand_of};
use crate::formats::Format;
use crate::formats::nearest::Zero;
use crate::state::signed::Log;
use crate::ziv::{Phase, Settled};
use dashu_float::FBig;
use dashu_float::round::mode;
use dashu_int::ops::{Abs, BitTest, DivRem};
use dashu_int::{IBig, Sign};

/// Σ b_k e^{x_k − center}.
pub(super) struct Sum {
    /// In units of 2^-bits.
    pub(super) value: IBig,
    pub(super) bits: usize,
    /// Bounds the error of the value, in the same units.
    pub(super) error: IBig,
}

impl Sum {
    /// The sum divided by an integer. The quotient and its error are truncated.
    pub(super) fn over(self, divisor: f64) -> Self {
        if divisor == 1.0 {
            return self;
        }
        let divisor = IBig::from(divisor as u64);
        Self { value: self.value / &divisor, error: self.error / divisor + IBig::from(2), ..self }
    }

    /// The float that center + log |sum| rounds to for every sum within the error bound, if there is one.
    pub(super) fn settled<T: Format>(
        &self,
        center: DoubleDouble,
        zero: Zero,
        phase: Phase,
    ) -> Option<Settled<T>> {
        let Total { bits, middle, value, error } = self.total(center, 0.0)?;
        let [low, high] = [&value - &error, value + error].map(|end| zero.of(round::<T>(end, -bits)));
        let sign = if self.value < IBig::ZERO { -1.0 } else { 1.0 };
        let log = Log { shift: center.hi, rest: two_words(middle, bits) };
        low.same_bits(high).then_some(Settled { value: low, sign, log, phase })
    }

    /// center + log |sum|, and a bound on its error.
    pub(super) fn logarithm(&self, center: DoubleDouble) -> Option<(Log, f64)> {
        let Total { bits, middle, error, .. } = self.total(center, 0.0)?;
        let rest = two_words(middle, bits);
        let bound = round::<f64>(error, -bits) * 1.001 + power_of_two(-105) * rest.hi.abs();
        Some((Log { shift: center.hi, rest }, bound))
    }

    /// The float that z − center − log |sum| rounds to for every sum within the error bound, if there is one.
    pub(super) fn log_share<T: Format>(&self, z: f64, center: DoubleDouble) -> Option<T> {
        let Total { bits, value, error, .. } = self.total(center, z)?;
        let share = fixed(z, bits as usize) - value;
        nearest_within(share, error, -bits)
    }

    /// center + log |sum|, in units fine enough for z, too.
    fn total(&self, center: DoubleDouble, z: f64) -> Option<Total> {
        let (log, error) = self.log()?;
        let least = exponent_of(center.hi).min(exponent_of(center.lo)).min(exponent_of(z));
        let bits = (-least).max(self.bits as isize);
        let units = |x: f64| fixed(x, bits as usize);
        let shift = bits as usize - self.bits;
        let middle = units(center.lo) + (&log << shift);
        Some(Total { bits, value: units(center.hi) + &middle, middle, error: error << shift })
    }

    /// log |sum| and a bound on its error, in units of 2^-bits; `None` if the relative error of the sum may exceed
    /// 2^-64.
    ///
    /// For |δ| < 2^-20, log(1 + δ) = δ − δ²/2 + δ³/3 − …: each of the n terms has an error below 4 units (the
    /// floor of its power and the error of the previous power times δ; the division), the first term left out is
    /// below 2^(-bits - 20), and the error of δ grows by 1/(1 − 2^-20). Elsewhere dashu's logarithm is trusted to
    /// 2^16 units, and an error e of the sum changes it by less than e/(sum − e).
    pub(super) fn log(&self) -> Option<(IBig, IBig)> {
        const SMALL: usize = 20;
        let Self { value, bits, error } = self;
        let magnitude = value.clone().abs();
        if magnitude <= error << 64 {
            return None;
        }
        let delta = &magnitude - (IBig::ONE << *bits);
        if delta.clone().abs() >> (bits - SMALL) != IBig::ZERO {
            let from_sum = (error << *bits) / (&magnitude - error);
            let sum = FBig::<mode::HalfEven, 2>::from_parts(magnitude, -(*bits as isize));
            let log = sum.with_precision(bits + 64).value().ln();
            let (significand, exponent) = log.into_repr().into_parts();
            return Some((
                shifted(significand, exponent + *bits as isize),
                from_sum + IBig::from((1 << 16) + 2),
            ));
        }
        let terms = bits / SMALL + 1;
        let mut log = IBig::ZERO;
        let mut power = delta.clone();
        for n in 1..=terms {
            let term = &power / IBig::from(n);
            log += if n % 2 == 1 { term } else { -term };
            power = (power * &delta) >> *bits;
        }
        Some((log, error + (error >> (SMALL - 1)) + IBig::from(4 * terms + 1)))
    }
}

/// A number of units of 2^-bits as a double-double.
fn two_words(n: IBig, bits: isize) -> DoubleDouble {
    let hi: f64 = round(n.clone(), -bits);
    DoubleDouble { hi, lo: round(n - fixed(hi, bits as usize), -bits) }
}

/// The logarithm of a sum, in units of 2^-bits.
struct Total {
    bits: isize,
    value: IBig,
    /// The value without the high part of the centre.
    middle: IBig,
    error: IBig,
}

/// The float that term/sum rounds to for every two numbers within their error bounds, if there is one.
pub(super) fn quotient<T: Format>(term: &Sum, sum: &Sum) -> Option<T> {
    let [low, high] = quotient_ends::<T>(term, sum)?;
    low.same_bits(high).then_some(low)
}

/// The floats that the least and the greatest of these quotients round to; `None` if the sum may be 0.
pub(super) fn quotient_ends<T: Format>(term: &Sum, sum: &Sum) -> Option<[T; 2]> {
    let (term_value, size) = (term.value.clone() * sum.value.sign(), sum.value.clone().abs());
    if size <= sum.error {
        return None;
    }
    // As many bits as the sum has, for a quotient of any size.
    let bits = (length(&size) - length(&term_value)).max(0) + sum.bits as isize;
    // The divisor that makes a numerator of this sign the greatest, or the least.
    let divided = |numerator: IBig, is_high: bool| {
        let is_small = (numerator < IBig::ZERO) != is_high;
        let divisor = if is_small { &size - &sum.error } else { &size + &sum.error };
        shifted(numerator, bits) / divisor
    };
    // Each quotient is cut by less than one.
    let low = divided(&term_value - &term.error, false) - IBig::ONE;
    let high = divided(term_value + &term.error, true) + IBig::ONE;
    let power = sum.bits as isize - term.bits as isize - bits;
    Some([low, high].map(|end| round::<T>(end, power)))
}

/// The float nearest to every n · 2^exponent for an integer n within the error, if there is one.
pub(super) fn nearest_within<T: Format>(n: IBig, error: IBig, exponent: isize) -> Option<T> {
    let [low, high] = [&n - &error, n + error].map(|end| round::<T>(end, exponent));
    low.same_bits(high).then_some(low)
}

/// The float nearest to a quotient of integers, ties to even.
pub(super) fn ratio<T: Format>(a: IBig, b: &IBig) -> T {
    // Enough bits that a further bit, for the remainder, only breaks ties.
    let bits = (length(b) - length(&a)).max(0) + 2 * T::SIGNIFICAND_BITS as isize;
    let sign = a.sign() * b.sign();
    let (whole, rest) = shifted(a.abs(), bits).div_rem(b.clone().abs());
    let sticky = IBig::from(u8::from(rest != IBig::ZERO));
    round(((whole << 1) + sticky) * sign, -bits - 1)
}

fn length(n: &IBig) -> isize {
    n.clone().into_parts().1.bit_len() as isize
}

/// n · 2^shift, rounded down.
pub(super) fn shifted(n: IBig, shift: isize) -> IBig {
    match shift {
        0.. => n << shift as usize,
        _ => n >> shift.unsigned_abs(),
    }
}

/// x in units of 2^-bits, rounded down.
pub(super) fn fixed(x: f64, bits: usize) -> IBig {
    shifted(integer(x), exponent_of(x) + bits as isize)
}

/// x = integer(x) · 2^exponent_of(x), for finite x.
pub(super) fn integer(x: f64) -> IBig {
    let magnitude = IBig::from(significand_of(x));
    if x.is_sign_negative() { -magnitude } else { magnitude }
}

/// The float nearest to n · 2^exponent, ties to even; infinite beyond the range of T.
pub(super) fn round<T: Format>(n: IBig, exponent: isize) -> T {
    let (sign, magnitude) = n.into_parts();
    let length = magnitude.bit_len() as isize;
    if length + exponent > 1030 {
        return T::narrow(if sign == Sign::Negative { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    let dropped = (length - T::SIGNIFICAND_BITS as isize).max(T::LEAST_POWER - exponent).max(0);
    if dropped > length {
        return T::narrow(if sign == Sign::Negative { -0.0 } else { 0.0 });
    }
    let dropped = dropped as usize;
    let mut kept = u64::try_from(&magnitude >> dropped).unwrap_or(u64::MAX);
    let is_half_or_more = dropped > 0 && magnitude.bit(dropped - 1);
    if is_half_or_more && (kept % 2 == 1 || magnitude.trailing_zeros() != Some(dropped - 1)) {
        kept += 1;
    }
    // The significand is an integer that fits, and the product, apart from its range, is a number of T: both are
    // exact.
    let power = (exponent + dropped as isize) as i32;
    let rounded = kept as f64 * power_of_two(power / 2) * power_of_two(power - power / 2);
    T::narrow(if sign == Sign::Negative { -rounded } else { rounded })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_to_the_nearest_and_ties_to_even() {
        let check = |n: i128, exponent: isize, expected: f64| {
            for (n, expected) in [(n, expected), (-n, -expected)] {
                assert_eq!(
                    round::<f64>(IBig::from(n), exponent).to_bits(),
                    expected.to_bits(),
                    "{n}·2^{exponent}"
                );
            }
        };
        let (one, ulp) = (1_i128 << 60, 1_i128 << 8);
        check(one + ulp / 2, -60, 1.0);
        check(one + ulp / 2 + 1, -60, 1.0 + f64::EPSILON);
        check(one + ulp + ulp / 2 - 1, -60, 1.0 + f64::EPSILON);
        check(one + ulp + ulp / 2, -60, 1.0 + 2.0 * f64::EPSILON);
        check(2 * one - 1, -60, 2.0);
        check(1, -1074, 5e-324);
        check(1, -1075, 0.0);
        check(3, -1076, 5e-324);
        check(3, -1075, 1e-323);
        check(1, -1076, 0.0);
        check(1, -2000, 0.0);
        check((1 << 53) - 1, 971, f64::MAX);
        check((1 << 54) - 1, -1076, f64::MIN_POSITIVE);
        check((1 << 54) - 1, 970, f64::INFINITY);
        check(1, 1024, f64::INFINITY);
        check(1, 5000, f64::INFINITY);
        assert_eq!(round::<f32>(IBig::from((1_i64 << 25) + 1), 0), 33554432.0);
        assert_eq!(round::<f32>(IBig::from(3), -150), 3e-45);
        assert_eq!(round::<f64>(IBig::ZERO, -256).to_bits(), 0);
    }

    #[test]
    fn floats_are_integers_times_powers() {
        for x in [1.0, -1.5, 5e-324, -1e-310, f64::MAX, f64::MIN_POSITIVE, 0.0] {
            assert_eq!(round::<f64>(integer(x), exponent_of(x)), x);
        }
    }
}
