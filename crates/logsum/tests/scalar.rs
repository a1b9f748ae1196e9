//! The elementwise functions against arbitrary precision: correctly rounded at every level; slices against
//! single numbers; special cases.

mod common;
#[path = "common/each_level.rs"]
mod each_level;

use common::{Big, Format, big, nearest};
use each_level::each_level;
use half::{bf16, f16};
use logsum::{
    derivative, each, log_logistic, log1mexp, log1pexp, logaddexp, logexpm1, logistic, logit, logsubexp,
    second_derivative, xlogx, xlogy,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cmp::Ordering;

type Both<T> = fn(T, T) -> T;
type Slices<T> = fn(&[T], &[T], &mut [T]) -> Result<(), logsum::Error>;
type Rows<const N: usize> = &'static [[f64; N]];
type OneOf = fn(f64) -> f64;

/// log(e^a + sign · e^b) to `precision` bits, for a > b or a positive sign.
fn exact(a: f64, b: f64, sign: f64, precision: usize) -> Big {
    let wide = |x: f64| big(x, precision + 2300);
    let max = a.max(b);
    let exp = |z: f64| (wide(z) - wide(max)).with_precision(precision).value().exp();
    (exp(a) + big(sign, precision) * exp(b)).ln() + big(max, precision)
}

/// The nearest number of the format, at the first precision that determines it.
fn rounded<T: Format>(a: f64, b: f64, sign: f64) -> T {
    [300, 1300, 4000]
        .into_iter()
        .find_map(|precision| {
            let value = exact(a, b, sign, precision);
            // Half of the bits are reliable: the shift and the difference may have cancelled the others.
            let slack = big(1.0, precision) >> (precision as isize / 2);
            let [low, high] =
                [value.clone() * (big(1.0, precision) - &slack), value * (big(1.0, precision) + slack)]
                    .map(|end| nearest::<T>(&end));
            let lost = (a - b).abs() > precision as f64 / 4.0 && precision < 4000;
            (low.bits() == high.bits() && !lost).then_some(low)
        })
        .expect("4000 bits are enough")
}

/// Pairs of all sizes, pairs close together, and pairs whose logarithm nearly vanishes.
fn pairs<T: Format>(count: usize) -> Vec<(T, T)> {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    (0..count)
        .map(|i| {
            let mut uniform = || random.random_range(-1.0..1.0_f64);
            let a = T::of(uniform() * [1.0, 30.0, 700.0, 1e-3][i % 4]).into();
            let b = match i % 9 {
                0 => a - uniform().abs() * 40.0,
                1 => a - 2f64.powf(-60.0 * uniform().abs()),
                // e^b = ±(1 − e^a): the sum or the difference is nearly 1.
                2 if a < 0.0 => (-a.exp_m1()).ln(),
                3 if a > 0.0 => a.exp_m1().ln(),
                4 => T::of(a).neighbour(false).into(),
                5 => 0.0,
                6 => -a,
                7 => a + uniform() * 1e-8,
                _ => uniform() * 50.0,
            };
            (T::of(a), T::of(b))
        })
        .collect()
}

fn numbers<T: Format>(count: usize) -> Vec<T> {
    let mut random = ChaCha8Rng::seed_from_u64(12);
    let ln_2 = T::of(std::f64::consts::LN_2);
    let mut numbers = vec![ln_2, ln_2.neighbour(true), ln_2.neighbour(false)];
    numbers.extend((0..count).map(|i| {
        let mut uniform = || random.random_range(-1.0..1.0_f64);
        T::of(match i % 5 {
            0 => uniform() * 20.0,
            1 => uniform() * 100.0,
            2 => uniform().signum() * 2f64.powf(-50.0 * uniform().abs()),
            3 => std::f64::consts::LN_2 * (1.0 + uniform() * 1e-5),
            _ => uniform(),
        })
    }));
    numbers
}

/// A function of one number, the pair and the sign that it is equivalent to, and whether its result is negated.
struct Unary<T> {
    name: &'static str,
    f: fn(T) -> T,
    slice: fn(&[T], &mut [T]) -> Result<(), logsum::Error>,
    pair: fn(f64) -> (f64, f64, f64),
    negated: bool,
}

fn unary<T: Format>() -> [Unary<T>; 4] {
    [
        Unary {
            name: "log1pexp",
            f: log1pexp,
            slice: each::log1pexp,
            pair: |x| (x, 0.0, 1.0),
            negated: false,
        },
        Unary {
            name: "log1mexp",
            f: log1mexp,
            slice: each::log1mexp,
            pair: |x| (0.0, x, -1.0),
            negated: false,
        },
        Unary {
            name: "logexpm1",
            f: logexpm1,
            slice: each::logexpm1,
            pair: |x| (x, 0.0, -1.0),
            negated: false,
        },
        Unary {
            name: "log_logistic",
            f: log_logistic,
            slice: each::log_logistic,
            pair: |x| (-x, 0.0, 1.0),
            negated: true,
        },
    ]
}

fn check_pairs<T: Format>(count: usize) {
    let pairs = pairs::<T>(count);
    let (a, b): (Vec<T>, Vec<T>) = pairs.iter().copied().unzip();
    let cases: [(&str, Both<T>, Slices<T>, f64); 2] =
        [("logaddexp", logaddexp, each::logaddexp, 1.0), ("logsubexp", logsubexp, each::logsubexp, -1.0)];
    for (name, f, slice, sign) in cases {
        let bits = |x: T| if x.into().is_nan() { f64::NAN.to_bits() } else { x.bits() };
        let expected: Vec<u64> = pairs
            .iter()
            .map(|&(a, b)| match a.partial_cmp(&b) {
                // log 0, and the logarithm of a negative number.
                Some(Ordering::Equal) if sign < 0.0 => bits(T::of(f64::NEG_INFINITY)),
                Some(Ordering::Less) if sign < 0.0 => bits(T::of(f64::NAN)),
                _ => bits(rounded::<T>(a.into(), b.into(), sign)),
            })
            .collect();
        for level in each_level() {
            let mut out = a.clone();
            slice(&a, &b, &mut out).unwrap();
            for (((&(a, b), out), &expected), i) in pairs.iter().zip(&out).zip(&expected).zip(0..) {
                assert_eq!(bits(*out), expected, "{name} {a} {b}: {out}, at {level:?}, in a slice, {i}");
                assert_eq!(bits(f(a, b)), expected, "{name} {a} {b}: {}, at {level:?}", f(a, b));
            }
        }
        println!("{name}: {} pairs, all correctly rounded", pairs.len());
    }
}

fn check_numbers<T: Format>(count: usize) {
    let numbers = numbers::<T>(count);
    for Unary { name, f, slice, pair, negated } in unary::<T>() {
        let (mut out, mut count) = (numbers.clone(), 0);
        slice(&numbers, &mut out).unwrap();
        for (&x, out) in numbers.iter().zip(out) {
            let (a, b, sign) = pair(x.into());
            assert_eq!(out.bits(), f(x).bits(), "{name} {x}");
            if sign > 0.0 || a > b {
                let expected: T = rounded(a, b, sign);
                let expected: f64 = if negated { -expected.into() } else { expected.into() };
                assert_eq!(out.bits(), T::of(expected).bits(), "{name} {x}: {out}, not {expected}");
                count += 1;
            }
        }
        println!("{name}: {count} numbers, all correctly rounded");
    }
}

/// Functions of one number or two, for slices.
type Case<T> = (&'static str, Slices<T>, fn(f64, f64) -> Big);

const BITS: usize = 600;

fn wide(x: f64) -> Big {
    big(x, BITS + 1200)
}

/// 1/(1 + e^-x), log(p/(1 − p)), x log x and x log y, none of them 0 or in need of more than 600 bits.
fn shares_and_logarithms<T: Format>() -> [Case<T>; 4] {
    let log_of_odds: fn(f64, f64) -> Big =
        |p, _| (wide(p) / (wide(1.0) - wide(p))).with_precision(BITS).value().ln();
    [
        (
            "logistic",
            |x, _, out| each::logistic(x, out),
            |x, _| big(1.0, BITS) / (big(1.0, BITS) + (-big(x, BITS)).exp()),
        ),
        ("logit", |p, _, out| each::logit(p, out), log_of_odds),
        ("xlogx", |x, _, out| each::xlogx(x, out), |x, _| big(x, BITS) * big(x, BITS).ln()),
        ("xlogy", each::xlogy, |x, y| big(x, BITS) * big(y, BITS).ln()),
    ]
}

/// Arguments of all sizes, where results vanish, are subnormal, overflow, or lie next to a half-way point.
fn arguments<T: Format>(name: &str, count: usize) -> Vec<(T, T)> {
    let mut random = ChaCha8Rng::seed_from_u64(13);
    let least = T::LEAST_EXPONENT as f64;
    (0..count)
        .map(|i| {
            let mut uniform = || random.random_range(0.0..1.0_f64);
            let power = 2f64.powf(least.max(-1074.0) * uniform());
            let (x, y) = match (name, i % 6) {
                ("logistic", 0) => (40.0 * (uniform() - 0.5), 0.0),
                ("logistic", 1) => (least * 0.694 * uniform(), 0.0),
                ("logistic", 2) => ((uniform() - 0.5).signum() * power, 0.0),
                // 1/2 + x/4 may be half-way between two floats, less a little.
                ("logistic", 3) => ((uniform() - 0.5).signum() * 2f64.powi(-(60.0 * uniform()) as i32), 0.0),
                ("logistic", _) => (2.0 * least * uniform() * uniform(), 0.0),
                ("logit", 0) => (uniform(), 0.0),
                ("logit", 1) => (power, 0.0),
                ("logit", 2) => (0.5 + (uniform() - 0.5) * 2f64.powf(-50.0 * uniform()), 0.0),
                ("logit", _) => (1.0 - 2f64.powf(-54.0 * uniform()) * uniform(), 0.0),
                (_, 0) => (uniform() * 10.0, 2f64.powf(200.0 * uniform() - 100.0)),
                (_, 1) => (
                    1.0 + (uniform() - 0.5) * 2f64.powf(-52.0 * uniform()),
                    1.0 + (uniform() - 0.5) * 2f64.powf(-52.0 * uniform()),
                ),
                // A product that may be half-way between two floats, less a little.
                (_, 2) => (1.0 + (uniform() * 8.0).floor(), T::of(1.0).neighbour(true).into()),
                (_, 3) => (power, uniform() * 3.0),
                (_, 4) => (-power, power),
                _ => (2f64.powf(-least * uniform()), 2f64.powf(-least * uniform())),
            };
            (T::of(x), T::of(y))
        })
        .filter(|&(x, y)| {
            let (x, y): (f64, f64) = (x.into(), y.into());
            match name {
                "logistic" => x.is_finite(),
                "logit" => x > 0.0 && x < 1.0 && x != 0.5,
                "xlogx" => x > 0.0 && x != 1.0 && x.is_finite(),
                _ => x != 0.0 && x.is_finite() && y > 0.0 && y != 1.0 && y.is_finite(),
            }
        })
        .collect()
}

fn check_shares_and_logarithms<T: Format>(count: usize) {
    for (name, f, exact) in shares_and_logarithms::<T>() {
        let (x, y): (Vec<T>, Vec<T>) = arguments::<T>(name, count).into_iter().unzip();
        let expected: Vec<T> = x.iter().zip(&y).map(|(&x, &y)| nearest(&exact(x.into(), y.into()))).collect();
        for level in each_level() {
            let mut out = x.clone();
            f(&x, &y, &mut out).unwrap();
            for i in 0..x.len() {
                let (x, y, out, expected) = (x[i], y[i], out[i], expected[i]);
                assert_eq!(
                    out.bits(),
                    expected.bits(),
                    "{name} {x} {y}: {out}, not {expected}, at {level:?}"
                );
                let mut alone = [x];
                f(&[x], &[y], &mut alone).unwrap();
                assert_eq!(alone[0].bits(), expected.bits(), "{name} {x} {y}: {out}, at {level:?}");
            }
        }
        assert!(x.len() > count / 3, "{name}: {} numbers only", x.len());
        println!("{name}: {} numbers, all correctly rounded", x.len());
    }
}

/// Every f16 and bf16.
#[test]
fn shares_and_logarithms_of_every_half() {
    fn check<T: Format>(of: fn(u16) -> T) {
        let x: Vec<T> = (0..=u16::MAX).map(of).collect();
        for (name, f, _) in &shares_and_logarithms::<T>()[..3] {
            let mut out = x.clone();
            f(&x, &x, &mut out).unwrap();
            let mut checked = 0;
            for (&x, out) in x.iter().zip(out) {
                let wide: f64 = x.into();
                // f64 is enough: where it is not certain, the ends differ.
                let exact = match *name {
                    "logistic" => 1.0 / (1.0 + (-wide).exp()),
                    "logit" if wide < 0.5 => -((1.0 - 2.0 * wide) / wide).ln_1p(),
                    "logit" => ((2.0 * wide - 1.0) / (1.0 - wide)).ln_1p(),
                    _ => wide * wide.ln(),
                };
                let slack = exact.abs() * 2f64.powi(-46);
                if !exact.is_finite() || exact == 0.0 {
                    continue;
                }
                let ends = [exact - slack, exact + slack].map(|end| nearest::<T>(&big(end, 60)));
                if ends[0].bits() == ends[1].bits() {
                    assert_eq!(out.bits(), ends[0].bits(), "{name} {x}: {out}, not {}", ends[0]);
                    checked += 1;
                }
            }
            println!("{name}: {checked} numbers checked");
            assert!(checked > 13_000, "{name}: {checked}");
        }
    }
    check::<f16>(f16::from_bits);
    check::<bf16>(bf16::from_bits);
}

#[test]
fn f64_is_correctly_rounded_at_every_level() {
    check_pairs::<f64>(2000);
    check_numbers::<f64>(2000);
    check_shares_and_logarithms::<f64>(2000);
}

#[test]
fn f32_is_correctly_rounded_at_every_level() {
    check_pairs::<f32>(2000);
    check_numbers::<f32>(2000);
    check_shares_and_logarithms::<f32>(2000);
}

#[test]
fn half_is_correctly_rounded_at_every_level() {
    check_pairs::<f16>(2000);
    check_numbers::<f16>(2000);
    check_shares_and_logarithms::<f16>(2000);
    check_pairs::<bf16>(2000);
    check_numbers::<bf16>(2000);
    check_shares_and_logarithms::<bf16>(2000);
}

#[test]
fn edges() {
    const INF: f64 = f64::INFINITY;
    const NAN: f64 = f64::NAN;
    let same = |a: f64, b: f64| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
    let pairs: [(Both<f64>, Both<f32>, Rows<3>); 2] = [
        (
            logaddexp,
            logaddexp,
            &[
                [INF, INF, INF],
                [INF, -INF, INF],
                [-INF, -INF, -INF],
                [-INF, 2.0, 2.0],
                [2.0, -INF, 2.0],
                [NAN, 1.0, NAN],
                [1.0, NAN, NAN],
                [NAN, INF, NAN],
                [-INF, NAN, NAN],
                [3e38, -3e38, 3e38],
            ],
        ),
        (
            logsubexp,
            logsubexp,
            &[
                [INF, INF, NAN],
                [INF, -INF, INF],
                [INF, 0.0, INF],
                [-INF, -INF, -INF],
                [2.0, -INF, 2.0],
                [-INF, 2.0, NAN],
                [1.0, 2.0, NAN],
                [2.0, 2.0, -INF],
                [NAN, 1.0, NAN],
                [1.0, NAN, NAN],
                [NAN, NAN, NAN],
                [0.0, -0.0, -INF],
                [3e38, -3e38, 3e38],
                [-0.0, -INF, 0.0],
                [0.0, -2000.0, -0.0],
            ],
        ),
    ];
    for (f, narrow, rows) in pairs {
        for &[a, b, expected] in rows {
            assert!(same(f(a, b), expected), "{a} {b}: {}, not {expected}", f(a, b));
            let found = narrow(a as f32, b as f32);
            assert!(same(found.into(), (expected as f32).into()), "{a} {b} in f32: {found}");
        }
    }
    let numbers: [(OneOf, Rows<2>); 7] = [
        (
            logit,
            &[
                [0.0, -INF],
                [-0.0, -INF],
                [1.0, INF],
                [0.5, 0.0],
                [-0.1, NAN],
                [1.1, NAN],
                [INF, NAN],
                [NAN, NAN],
            ],
        ),
        (xlogx, &[[0.0, 0.0], [1.0, 0.0], [INF, INF], [-1.0, NAN], [-INF, NAN], [NAN, NAN]]),
        (log1pexp, &[[INF, INF], [-INF, 0.0], [NAN, NAN], [-2000.0, 0.0], [1e300, 1e300]]),
        (
            log1mexp,
            &[[-INF, 0.0], [0.0, -INF], [-0.0, -INF], [1.0, NAN], [INF, NAN], [NAN, NAN], [-2000.0, -0.0]],
        ),
        (logexpm1, &[[INF, INF], [0.0, -INF], [-1.0, NAN], [-INF, NAN], [NAN, NAN], [1e300, 1e300]]),
        (log_logistic, &[[INF, -0.0], [-INF, -INF], [NAN, NAN], [-1e300, -1e300]]),
        (
            logistic,
            &[[INF, 1.0], [-INF, 0.0], [NAN, NAN], [0.0, 0.5], [-0.0, 0.5], [-800.0, 0.0], [800.0, 1.0]],
        ),
    ];
    let x_log_y = [
        [0.0, 0.0, 0.0],
        [0.0, INF, 0.0],
        [0.0, NAN, NAN],
        [NAN, 1.0, NAN],
        [2.0, 0.0, -INF],
        [-2.0, 0.0, INF],
        [2.0, INF, INF],
        [-2.0, INF, -INF],
        [1.0, -1.0, NAN],
        [INF, 2.0, INF],
        [INF, 0.5, -INF],
        [1.0, 1.0, 0.0],
        [0.0, 0.5, 0.0],
        [1e308, 1e308, INF],
        [1.0, 5e-324, -744.4400719213812],
    ];
    for [x, y, expected] in x_log_y {
        assert!(same(xlogy(x, y), expected), "{x} log {y}: {}, not {expected}", xlogy(x, y));
    }
    // The derivatives do not know the sign of 0, either.
    assert_eq!(derivative::xlogy(1.0, -0.0), derivative::xlogy(1.0, 0.0));
    assert_eq!(second_derivative::xlogy(1.0, -0.0), [0.0, INF, -INF]);
    for (i, (f, rows)) in numbers.into_iter().enumerate() {
        for &[x, expected] in rows {
            assert!(same(f(x), expected), "function {i} of {x}: {}, not {expected}", f(x));
        }
    }
    // The difference or its logarithm is subnormal.
    assert_eq!(logsubexp(5e-324, 0.0), -744.4400719213812);
    assert_eq!(log1mexp(-740.0), -4.2e-322);
    assert_eq!(logsubexp(0.0f32, -1e-45), -103.27893);
    let mut out = [0.0; 2];
    let says = |result: Result<(), logsum::Error>, words: &str| {
        assert_eq!(result.unwrap_err().to_string(), words);
    };
    says(each::logsubexp(&[1.0, 2.0], &[1.0], &mut out), "`b` has 1 element, but needs 2 to fit `a`");
    says(each::xlogy(&[1.0, 2.0], &[1.0], &mut out), "`y` has 1 element, but needs 2 to fit `x`");
    says(each::logaddexp(&[1.0], &[1.0], &mut out), "`out` has 2 elements, but needs 1 to fit `a`");
    says(each::logit(&[0.5], &mut out), "`out` has 2 elements, but needs 1 to fit `p`");
    assert_eq!(out, [0.0; 2]);
}
