//! The run-time oracle: log-sum-exp, softmax and log-softmax in arbitrary precision with dashu, by the plain
//! formulas.
//!
//! It shares no code with the library: it splits relative to the maximum (the library's high-precision phases
//! centre on their estimate), and has its own rounding. But the last of these phases also use dashu's
//! exponential and logarithm.
#![allow(dead_code, reason = "each test uses its part")]

use dashu_float::{FBig, round::mode};
use dashu_int::{IBig, Sign, UBig, ops::BitTest};
use half::{bf16, f16};
use logsum::Float;
use rayon::prelude::*;

pub type Big = FBig<mode::HalfEven, 2>;

/// A format to round into.
pub trait Format: Float + Into<f64> {
    const PRECISION: isize;
    const LEAST_EXPONENT: isize;
    fn of(x: f64) -> Self;
    fn bits(self) -> u64;
    fn neighbour(self, up: bool) -> Self;
}

impl Format for f32 {
    const PRECISION: isize = 24;
    const LEAST_EXPONENT: isize = -149;
    fn of(x: f64) -> Self {
        x as f32
    }
    fn bits(self) -> u64 {
        self.to_bits().into()
    }
    fn neighbour(self, up: bool) -> Self {
        if up { self.next_up() } else { self.next_down() }
    }
}

impl Format for f64 {
    const PRECISION: isize = 53;
    const LEAST_EXPONENT: isize = -1074;
    fn of(x: f64) -> Self {
        x
    }
    fn bits(self) -> u64 {
        self.to_bits()
    }
    fn neighbour(self, up: bool) -> Self {
        if up { self.next_up() } else { self.next_down() }
    }
}

impl Format for f16 {
    const PRECISION: isize = 11;
    const LEAST_EXPONENT: isize = -24;
    fn of(x: f64) -> Self {
        Self::from_f64(x)
    }
    fn bits(self) -> u64 {
        self.to_bits().into()
    }
    fn neighbour(self, up: bool) -> Self {
        Self::from_bits(neighbour(self.to_bits(), up))
    }
}

impl Format for bf16 {
    const PRECISION: isize = 8;
    const LEAST_EXPONENT: isize = -133;
    fn of(x: f64) -> Self {
        Self::from_f64(x)
    }
    fn bits(self) -> u64 {
        self.to_bits().into()
    }
    fn neighbour(self, up: bool) -> Self {
        Self::from_bits(neighbour(self.to_bits(), up))
    }
}

/// The bits of the next number up or down in a 16-bit format.
fn neighbour(bits: u16, up: bool) -> u16 {
    const SIGN: u16 = 1 << 15;
    match (bits & SIGN != 0, up) {
        _ if bits & !SIGN == 0 => 1 | if up { 0 } else { SIGN },
        (false, true) | (true, false) => bits + 1,
        _ => bits - 1,
    }
}

/// x with a working precision of `precision` bits.
pub fn big(x: f64, precision: usize) -> Big {
    Big::try_from(x).expect("finite").with_precision(precision).value()
}

fn precise(x: &Big, precision: usize) -> Big {
    x.clone().with_precision(precision).value()
}

/// ⌊log₂ |x|⌋ for x ≠ 0.
pub fn exponent(x: &Big) -> isize {
    let significand = x.repr().significand().clone().into_parts().1;
    significand.bit_len() as isize - 1 + x.repr().exponent()
}

/// The exponent of one ulp of T at x.
fn ulp_exponent<T: Format>(x: &Big) -> isize {
    (exponent(x) - T::PRECISION + 1).max(T::LEAST_EXPONENT)
}

/// The T nearest to x, ties to even, by division with remainder.
pub fn nearest<T: Format>(x: &Big) -> T {
    let (sign, magnitude) = x.repr().significand().clone().into_parts();
    if magnitude.is_zero() {
        return T::of(0.0);
    }
    let grid = ulp_exponent::<T>(x);
    let shift = x.repr().exponent() - grid;
    let (mut whole, rest, unit) = match shift {
        0.. => (magnitude << shift as usize, UBig::ZERO, UBig::ONE),
        _ => {
            let unit = UBig::ONE << shift.unsigned_abs();
            (&magnitude / &unit, &magnitude % &unit, unit)
        }
    };
    let twice: UBig = rest << 1;
    if twice > unit || (twice == unit && whole.bit(0)) {
        whole += UBig::ONE;
    }
    // At most 2^53 times a power of two: two multiplications are exact.
    let whole = u64::try_from(whole).expect("a significand") as f64;
    let magnitude = whole * 2f64.powi((grid / 2) as i32) * 2f64.powi((grid - grid / 2) as i32);
    T::of(if sign == Sign::Negative { -magnitude } else { magnitude })
}

/// |found − exact| in ulps of T at the exact value. An exact 0 has the smallest ulp.
pub fn ulps<T: Format>(found: T, exact: &Big) -> f64 {
    let found: f64 = found.into();
    let grid =
        if exact.repr().significand().is_zero() { T::LEAST_EXPONENT } else { ulp_exponent::<T>(exact) };
    let off = precise(&(big(found, 3000) - precise(exact, 3000)), 60);
    let off = off * (Big::ONE.with_precision(60).value() >> grid);
    off.to_f64().value().abs()
}

/// Exponentials of a row of finite numbers and −∞, relative to the maximum, each to `precision` bits.
pub struct Shifted {
    pub max: f64,
    precision: usize,
    /// e^{z_i − max}; `None` if it is negligible.
    exponentials: Vec<Option<Big>>,
    /// t = Σ e^{z_i − max} − 1 without the negligible terms, which are less than 2^-(precision + 40) of it.
    tail: Big,
    /// All terms of t are too small for any format: 0 < t < 2^-7000.
    vanishing: bool,
}

impl Shifted {
    pub fn new<T: Format>(z: &[T], precision: usize) -> Self {
        let z: Vec<f64> = z.iter().map(|&z| z.into()).collect();
        let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let first = z.iter().position(|&z| z == max).expect("not empty");
        let greatest = z.iter().enumerate().filter(|&(i, _)| i != first).map(|(_, z)| z - max);
        let greatest = greatest.fold(f64::NEG_INFINITY, f64::max);
        // The negligible terms are less than 2^20 terms of 2^-(precision + 100) of the largest, and their gradient
        // is 0.
        const GRADIENT: f64 = -760.0;
        let least = greatest - (precision as f64 + 100.0) * std::f64::consts::LN_2;
        // A thread for a part of a long row: no exponential depends on another.
        let exponentials: Vec<Option<Big>> = z
            .par_iter()
            .with_min_len(512)
            .map(|&z| {
                let d = z - max;
                (d >= least.clamp(-5000.0, GRADIENT)).then(|| {
                    if d == 0.0 && z == max {
                        return big(1.0, precision);
                    }
                    let exact = precise(&(big(z, 2300) - big(max, 2300)), precision + 64);
                    precise(&exact.exp(), precision)
                })
            })
            .collect();
        let others =
            exponentials.iter().enumerate().filter(|&(i, _)| i != first).filter_map(|(_, e)| e.as_ref());
        let tail = others.fold(big(0.0, precision), |sum, e| sum + e);
        let vanishing = tail.repr().significand().is_zero() && greatest > f64::NEG_INFINITY;
        Self { max, precision, exponentials, tail, vanishing }
    }

    /// `tail` has a relative error below 2^-slack_bits: 2^20 roundings and the negligible terms, with a large
    /// margin.
    fn slack_bits(&self) -> isize {
        self.precision as isize - 40
    }

    /// log(1 + t), which is LSE − max.
    fn log(&self) -> Big {
        precise(&self.tail, self.precision + 16).ln_1p()
    }

    /// The log-sum-exp, if this precision determines its rounding.
    pub fn value<T: Format>(&self) -> Option<T> {
        let max = big(self.max, 12_000);
        if self.tail.repr().significand().is_zero() && !self.vanishing {
            return Some(T::of(self.max + 0.0));
        }
        let (low, high) = if self.vanishing {
            (max.clone(), max + (big(1.0, 12_000) >> 7000))
        } else {
            let log = precise(&self.log(), 12_000);
            let slack = log.clone() >> self.slack_bits();
            (&max + &log - &slack, max + log + slack)
        };
        let (low, high): (T, T) = (nearest(&low), nearest(&high));
        let is_positive = |x: T| !x.into().is_sign_negative();
        (low == high && is_positive(low) == is_positive(high)).then_some(low)
    }

    /// The correctly rounded softmax, if this precision determines it.
    pub fn softmax<T: Format>(&self) -> Option<Vec<T>> {
        let sum = &self.tail + big(1.0, self.precision);
        let share = |e: &Option<Big>| {
            let exact = e.as_ref().map_or(big(0.0, self.precision), |e| precise(&(e / &sum), 3000));
            let slack = exact.clone() >> self.slack_bits();
            agreed([&exact - &slack, exact + slack])
        };
        self.exponentials.iter().map(share).collect()
    }

    /// The correctly rounded log-softmax of the row z, if this precision determines it.
    pub fn log_softmax<T: Format>(&self, z: &[T]) -> Option<Vec<T>> {
        let [least, greatest] = match self.vanishing {
            true => [big(1.0, 12_000) >> 9000, big(1.0, 12_000) >> 7000],
            false => {
                let log = precise(&self.log(), 12_000);
                let slack = log.clone() >> self.slack_bits();
                [&log - &slack, log + slack]
            }
        };
        let log_share = |&z: &T| {
            let z: f64 = z.into();
            if z == f64::NEG_INFINITY {
                return Some(T::of(z));
            }
            let difference = big(z, 12_000) - big(self.max, 12_000);
            let largest = IBig::from(2) * (IBig::ONE << (T::PRECISION as usize)) - IBig::ONE;
            let beyond = Big::from_parts(-largest, T::LARGEST_EXPONENT - T::PRECISION - 1);
            let ends = [&difference - &greatest, difference - &least];
            if ends[1] <= beyond { Some(T::of(f64::NEG_INFINITY)) } else { agreed(ends) }
        };
        z.iter().map(log_share).collect()
    }
}

/// The number that both are rounded to, if it is one.
fn agreed<T: Format>(ends: [Big; 2]) -> Option<T> {
    let [low, high] = ends.map(|end| nearest(&end));
    (low == high).then_some(low)
}

trait Largest {
    /// The base-2 exponent of a bound on all numbers of this format.
    const LARGEST_EXPONENT: isize;
}

impl<T: Format> Largest for T {
    const LARGEST_EXPONENT: isize = match T::PRECISION {
        8 | 24 => 128,
        11 => 16,
        _ => 1024,
    };
}

/// The correctly rounded log-sum-exp of finite numbers and −∞ (at least one finite), and the exponentials that
/// gave it.
pub fn oracle<T: Format>(z: &[T]) -> (T, Shifted) {
    for precision in [192, 400, 1000, 2500, 6000] {
        let shifted = Shifted::new(z, precision);
        if let Some(value) = shifted.value() {
            return (value, shifted);
        }
    }
    panic!("6000 bits do not settle {z:?}");
}

/// The correctly rounded softmax and log-softmax of finite numbers and −∞, of which one is finite.
pub fn nearest_elements<T: Format>(z: &[T], exact: Shifted) -> [Vec<T>; 2] {
    let more = [400, 1000, 2500, 6000].map(|precision| move || Shifted::new(z, precision));
    let mut all = std::iter::once(exact).chain(more.into_iter().map(|shifted| shifted()));
    all.find_map(|exact| Some([exact.softmax()?, exact.log_softmax(z)?])).expect("6000 bits settle it")
}

/// Parses a float in the format of Python's `float.hex()`.
pub fn hex(text: &str) -> f64 {
    let (sign, magnitude) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    if magnitude == "inf" {
        return sign * f64::INFINITY;
    }
    let (significand, exponent) =
        magnitude.strip_prefix("0x").and_then(|m| m.split_once('p')).expect("0x…p…");
    let digits: String = significand.chars().filter(|&c| c != '.').collect();
    let fraction_digits = significand.split_once('.').map_or(0, |(_, fraction)| fraction.len() as i32);
    let whole = u64::from_str_radix(&digits, 16).expect("hexadecimal digits");
    let exponent = exponent.parse::<i32>().expect("an exponent") - 4 * fraction_digits;
    // In two steps, so that nothing overflows and no bit is lost before the last one.
    sign * (whole as f64 * 2f64.powi(exponent / 2)) * 2f64.powi(exponent - exponent / 2)
}

/// Parses (hi + lo) · 2^e from hi:lo:e, the format of the scripts in `mpmath/`; `None` for anything else.
pub fn exact(text: &str) -> Option<Big> {
    let mut parts = text.split(':');
    let (hi, lo) = (hex(parts.next().filter(|hi| hi.contains("0x"))?), parts.next().map(hex)?);
    let e: isize = parts.next()?.parse().ok()?;
    let sum = big(hi, 300) + big(lo, 300);
    Some(if e < 0 { sum >> e.unsigned_abs() as isize } else { sum << e })
}
