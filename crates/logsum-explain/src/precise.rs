//! Numbers with any number of bits, and how they are written.

use dashu_base::{Abs, Sign};
use dashu_float::FBig;
use dashu_float::round::mode::HalfEven;

pub(crate) type Real = FBig<HalfEven, 2>;

/// A finite float, exactly, in arithmetic of this many bits.
pub(crate) fn real(x: f64, bits: usize) -> Real {
    Real::try_from(x).unwrap_or_default().with_precision(bits).value()
}

/// 2^-n.
pub(crate) fn power_of_half(n: usize, bits: usize) -> Real {
    Real::from_parts(1.into(), -(n as isize)).with_precision(bits).value()
}

/// −log₁₀ of the difference of two numbers, relative to the larger one, or to `least` if that is larger still; infinite
/// if they are equal.
pub(crate) fn digits_in_common(a: &Real, b: &Real, least: &Real) -> f64 {
    let distance = (a - b).abs();
    if distance.repr().significand().is_zero() {
        return f64::INFINITY;
    }
    let size = a.clone().abs().max(b.clone().abs()).max(least.clone());
    log10(&size) - log10(&distance)
}

/// log₁₀ of a positive number; −∞ of 0.
pub(crate) fn log10(x: &Real) -> f64 {
    let significand = x.repr().significand();
    if significand.is_zero() {
        return f64::NEG_INFINITY;
    }
    // The leading bits, as a number from 1/2 to 1, and the exponent.
    let (_, words) = significand.as_sign_words();
    let length = words.len() as f64 * f64::from(usize::BITS)
        - f64::from(words.last().map_or(0, |word| word.leading_zeros()));
    let lead = words
        .iter()
        .rev()
        .take(2)
        .fold(0.0, |lead, &word| lead * 2f64.powi(usize::BITS as i32) + word as f64);
    let lead = lead
        / 2f64.powf((length - 1.0).rem_euclid(f64::from(usize::BITS)) + 1.0)
        / if words.len() > 1 { 2f64.powi(usize::BITS as i32) } else { 1.0 };
    (lead.log2() + length + x.repr().exponent() as f64) * std::f64::consts::LOG10_2
}

/// Five digits: `0.13534`, `−2`, `1.2e-9`; without an exponent unless that would be long.
pub(crate) fn short(x: &Real) -> Decimal {
    let (sign, magnitude) = (x.repr().significand().sign(), x.clone().abs());
    let mut exponent = log10(&magnitude);
    if exponent == f64::NEG_INFINITY {
        return Decimal { is_negative: false, digits: "0".into(), exponent: 0 };
    }
    // Rounded to five digits in f64, which has enough digits for that.
    let mut lead = 10f64.powf(exponent - exponent.floor());
    let plain = magnitude.to_f64().value();
    if (1e-300..1e300).contains(&plain) {
        let text = format!("{plain:.4e}");
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        (lead, exponent) = (digits.parse().unwrap_or(lead), power.parse().unwrap_or(exponent));
    }
    decimal(sign == Sign::Negative, lead, exponent.floor() as i64)
}

/// The shortest decimal number that reads back as this float.
pub(crate) fn shortest(x: f64) -> Decimal {
    let text = format!("{:e}", x.abs());
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    plain_if_short(x.is_sign_negative() && x != 0.0, digits, power.parse().unwrap_or(0))
}

fn decimal(is_negative: bool, lead: f64, exponent: i64) -> Decimal {
    let (lead, exponent) = if lead < 9.999_95 { (lead, exponent) } else { (1.0, exponent + 1) };
    plain_if_short(is_negative, &format!("{lead:.4}"), exponent)
}

/// Whether [`short`] is exact.
pub(crate) fn is_short(x: &Real, bits: usize) -> bool {
    let Decimal { is_negative, digits, exponent } = short(x);
    let text = format!("{}{digits}e{exponent}", if is_negative { "-" } else { "" });
    text.parse().is_ok_and(|short| real(short, bits) == *x)
}

/// A decimal number: its digits with a point, and a power of ten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decimal {
    pub(crate) is_negative: bool,
    pub(crate) digits: String,
    pub(crate) exponent: i64,
}

/// `lead` is one digit, a point, and further digits.
fn plain_if_short(is_negative: bool, lead: &str, exponent: i64) -> Decimal {
    let figures: String = lead.chars().filter(char::is_ascii_digit).collect();
    let figures = figures.trim_end_matches('0');
    let figures = if figures.is_empty() { "0" } else { figures };
    let digits = match exponent {
        0..16 => {
            let whole = exponent as usize + 1;
            let padded = format!("{figures:0<whole$}");
            let (whole, part) = padded.split_at(whole);
            if part.is_empty() { whole.into() } else { format!("{whole}.{part}") }
        }
        -4..0 => format!("0.{}{figures}", "0".repeat((-exponent) as usize - 1)),
        _ => {
            let (whole, part) = figures.split_at(1);
            let digits = if part.is_empty() { whole.into() } else { format!("{whole}.{part}") };
            return Decimal { is_negative, digits, exponent };
        }
    };
    Decimal { is_negative, digits, exponent: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let text = |x: f64| {
            let Decimal { is_negative, digits, exponent } = short(&real(x, 300));
            format!(
                "{}{digits}{}",
                if is_negative { "-" } else { "" },
                if exponent == 0 { String::new() } else { format!("e{exponent}") }
            )
        };
        for (x, expected) in [
            (0.0, "0"),
            (1.0, "1"),
            (-2.0, "-2"),
            (0.1353352832, "0.13534"),
            (1234567.0, "1234600"),
            (1e300, "1e300"),
            (9.99999, "10"),
            (0.00012345678, "0.00012346"),
            (1.5e-9, "1.5e-9"),
            (-3.25e-310, "-3.25e-310"),
            (100.0, "100"),
            (9.99999e305, "1e306"),
            (9.99998e-310, "1e-309"),
        ] {
            assert_eq!(text(x), expected, "{x}");
        }
    }

    #[test]
    fn logarithms_of_any_size() {
        for x in [1.0, 3.0, 1e-300, 1e300, 0.7, 123456.0] {
            assert!((log10(&real(x, 400)) - x.log10()).abs() < 1e-12 * x.log10().abs().max(1.0), "{x}");
        }
        let tiny = real(-2000.0, 400).exp();
        assert!((log10(&tiny) + 2000.0 * std::f64::consts::LOG10_E).abs() < 1e-9);
        assert_eq!(log10(&real(0.0, 100)), f64::NEG_INFINITY);
        let digits = |a, b, least| digits_in_common(&real(a, 100), &real(b, 100), &real(least, 100));
        assert_eq!(digits(2.0, 2.0, 0.0), f64::INFINITY);
        assert!((digits(1e-9, 2e-9, 1.0) - 9.0).abs() < 1e-6);
        assert!((digits(1.0, 1.001, 0.0) - 3.0).abs() < 0.01);
    }
}
