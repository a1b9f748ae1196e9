//! The vectors that `mpmath/make.py` made with mpmath: values to the bit, softmax and log-softmax to 1 ulp.

use logsum::{Float, LogSumExp, log_softmax, logsumexp_with_gradient, softmax};
use ndarray::{Array1, s};

/// A format and how its numbers are made from f64, exactly.
trait Format: Float + Into<f64> {
    const BITS: i32;
    const LEAST: i32;
    fn of(x: f64) -> Self;
    fn bits(self) -> u64;
}

impl Format for f32 {
    const BITS: i32 = 24;
    const LEAST: i32 = -149;
    fn of(x: f64) -> Self {
        x as f32
    }
    fn bits(self) -> u64 {
        self.to_bits().into()
    }
}

impl Format for f64 {
    const BITS: i32 = 53;
    const LEAST: i32 = -1074;
    fn of(x: f64) -> Self {
        x
    }
    fn bits(self) -> u64 {
        self.to_bits()
    }
}

/// A float as Python's float.hex() writes it.
fn hex(text: &str) -> f64 {
    let (sign, magnitude) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    if magnitude == "inf" {
        return sign * f64::INFINITY;
    }
    let (significand, exponent) =
        magnitude.strip_prefix("0x").and_then(|m| m.split_once('p')).expect("0x…p…");
    let digits: String = significand.chars().filter(|&c| c != '.').collect();
    let fraction_digits = significand.split_once('.').map_or(0, |(_, fraction)| fraction.len() as i32);
    let whole = u64::from_str_radix(&digits, 16).expect("hexadecimal digits");
    sign * scaled(whole as f64, exponent.parse::<i32>().expect("an exponent") - 4 * fraction_digits)
}

/// x · 2^e, in steps that neither overflow nor lose bits before the end.
fn scaled(x: f64, e: i32) -> f64 {
    let step = e.clamp(-500, 500);
    if step == 0 { x } else { scaled(x * 2f64.powi(step), e - step) }
}

/// (hi + lo) · 2^e, where 1/2 ≤ |hi| < 1.
#[derive(Clone, Copy)]
struct Exact {
    hi: f64,
    lo: f64,
    e: i32,
}

impl Exact {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (hi, lo) = (hex(parts.next()?), parts.next().map(hex)?);
        Some(Self { hi, lo, e: parts.next()?.parse().ok()? })
    }

    /// |found − exact| in ulps of T at the exact value.
    fn ulps<T: Format>(self, found: T) -> f64 {
        if self.hi == 0.0 {
            return scaled(found.into(), -T::LEAST).abs();
        }
        let ulp = (self.e - T::BITS).max(T::LEAST);
        // In units of 2^e both are below 2, and found is exact: it has no bits below 2^-1074, nor above 2^e.
        if ulp > self.e + 60 {
            return scaled(found.into(), -ulp).abs();
        }
        let off = (scaled(found.into(), -self.e) - self.hi) - self.lo;
        scaled(off, self.e - ulp).abs()
    }
}

fn recipe(text: &str) -> Vec<f64> {
    let mut fields = text.split(',');
    let mut next = || fields.next().expect("seed,n,k");
    let (mut state, n, k): (u64, usize, i32) = (
        next().parse().expect("a seed"),
        next().parse().expect("a length"),
        next().parse().expect("a power"),
    );
    let mut splitmix64 = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (0..n).map(|_| scaled((splitmix64() >> 40) as f64 - 8_388_608.0, k)).collect()
}

/// The exact values of a field by index: `hi:lo:e` for each element, or `index=hi:lo:e` for some.
fn expected(field: &str) -> Vec<(usize, Option<Exact>)> {
    let element = |(position, text): (usize, &str)| match text.split_once('=') {
        Some((index, exact)) => (index.parse().expect("an index"), Exact::parse(exact)),
        None => (position, Exact::parse(text)),
    };
    field.split(' ').enumerate().map(element).collect()
}

fn worst<T: Format>(line: &str, found: &[T], field: &str) -> f64 {
    let mut worst: f64 = 0.0;
    for (index, exact) in expected(field) {
        let error = match exact {
            Some(exact) => exact.ulps(found[index]),
            None => {
                if found[index].into() == f64::NEG_INFINITY {
                    0.0
                } else {
                    f64::INFINITY
                }
            }
        };
        assert!(error <= 1.0, "element {index} is {:?}, off by {error} ulp: {line}", found[index]);
        worst = worst.max(error);
    }
    worst
}

fn check<T: Format>(text: &str) -> usize {
    let (mut rows, mut worst_softmax, mut worst_log_softmax) = (0, 0f64, 0f64);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let short: String = line.chars().take(400).collect();
        let [_, z, value, p, log_p] = line.split(" | ").collect::<Vec<_>>().try_into().expect("five fields");
        let z: Vec<f64> = z.strip_prefix('@').map_or_else(|| z.split(' ').map(hex).collect(), recipe);
        let z: Vec<T> = z.into_iter().map(T::of).collect();
        let value = T::of(hex(value));
        let (mut gradient, mut out) = (vec![T::default(); z.len()], vec![T::default(); z.len()]);
        let found = logsumexp_with_gradient(&z, &mut gradient).unwrap();
        assert_eq!(found.bits(), value.bits(), "{found:?}, not {value:?}: {short}");
        worst_softmax = worst_softmax.max(worst(&short, &gradient, p));
        softmax(&z, &mut out).unwrap();
        assert!(out == gradient, "{short}");
        log_softmax(&z, &mut out).unwrap();
        worst_log_softmax = worst_log_softmax.max(worst(&short, &out, log_p));

        // The same bits through a view that runs backwards over every other element.
        let spaced: Array1<T> = z.iter().rev().flat_map(|&z| [z, T::of(f64::NAN)]).collect();
        let view = spaced.slice(s![..;2]);
        let view = view.slice(s![..;-1]);
        assert_eq!(view.logsumexp(0).unwrap()[[]].bits(), value.bits(), "as a view: {short}");
        assert!(view.softmax(0).unwrap().to_vec() == gradient, "as a view: {short}");
        assert!(view.log_softmax(0).unwrap().to_vec() == out, "as a view: {short}");
        rows += 1;
    }
    println!("{rows} rows, worst ulp: softmax {worst_softmax:.4}, log-softmax {worst_log_softmax:.4}");
    rows
}

#[test]
fn f64_vectors() {
    assert_eq!(check::<f64>(include_str!("mpmath/f64.txt")), 284);
}

#[test]
fn f32_vectors() {
    assert_eq!(check::<f32>(include_str!("mpmath/f32.txt")), 280);
}

#[test]
fn a_wrong_vector_is_seen() {
    let line = |value: &str, p: &str| {
        format!(
            "tie | 0x0p+0 0x0p+0 | {value} | {p} {p} | {log} {log}",
            log = "-0x1.62e42fefa39efp-1:-0x1.abc9e3b39803fp-56:0"
        )
    };
    let half = "0x1p-1:0x0p+0:0";
    assert_eq!(check::<f64>(&line("0x1.62e42fefa39efp-1", half)), 1);
    let fails = |text: String| std::panic::catch_unwind(|| check::<f64>(&text)).is_err();
    assert!(fails(line("0x1.62e42fefa39f0p-1", half)));
    assert!(fails(line("0x1.62e42fefa39efp-1", "0x1.0000000000003p-1:0x0p+0:0")));
}
