//! The elementwise functions against arbitrary precision: correctly rounded values, or within 1 ulp; at every
//! level; slices against single numbers; special cases.

mod common;
#[path = "common/each_level.rs"]
mod each_level;

use common::{Big, Format, big, nearest, ulps};
use each_level::each_level;
use half::{bf16, f16};
use logsum::{
    each, log_logistic, log1mexp, log1pexp, logaddexp, logexpm1, logistic, logit, logsubexp, xlogx, xlogy,
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
    let mut worst = 0.0_f64;
    for &x in &numbers {
        let one = big(1.0, 400);
        let exact = one.clone() / (one + (-big(x.into(), 400)).exp());
        worst = worst.max(ulps(logistic(x), &exact));
    }
    println!("logistic: {} numbers, worst {worst:.4} ulp", numbers.len());
    assert!(worst < 0.51 && worst > 0.45, "{worst}");
}

/// Checks the functions that are within 1 ulp, and prints the worst errors.
fn check_within_an_ulp<T: Format>(count: usize) {
    let mut random = ChaCha8Rng::seed_from_u64(13);
    let (mut worst_logit, mut worst_x_log_y, mut worst_x_log_x) = (0.0_f64, 0.0_f64, 0.0_f64);
    for i in 0..count {
        let mut uniform = || random.random_range(0.0..1.0_f64);
        let p = T::of(match i % 4 {
            0 => uniform(),
            1 => 2f64.powf(-140.0 * uniform()),
            2 => 0.5 + (uniform() - 0.5) * 2f64.powf(-50.0 * uniform()),
            _ => 1.0 - 2f64.powf(-22.0 * uniform()) * uniform(),
        });
        let wide: f64 = p.into();
        if wide > 0.0 && wide < 1.0 && wide != 0.5 {
            let exact =
                (big(wide, 2400) / (big(1.0, 2400) - big(wide, 2400))).with_precision(400).value().ln();
            worst_logit = worst_logit.max(ulps(logit(p), &exact));
        }
        let y = T::of(match i % 3 {
            0 => uniform() * 10.0,
            1 => 1.0 + (uniform() - 0.5) * 2f64.powf(-24.0 * uniform()),
            _ => 2f64.powf(200.0 * uniform() - 100.0),
        });
        let (x, wide) = (T::of(uniform() * 4.0 - 2.0), y.into());
        if wide > 0.0 && wide != 1.0 {
            let log = big(wide, 400).ln();
            worst_x_log_y = worst_x_log_y.max(ulps(xlogy(x, y), &(big(x.into(), 400) * &log)));
            worst_x_log_x = worst_x_log_x.max(ulps(xlogx(y), &(big(wide, 400) * log)));
            let (mut a, mut b) = ([y; 9], [y; 9]);
            each::xlogy(&[x; 9], &[y; 9], &mut a).unwrap();
            each::xlogx(&[y; 9], &mut b).unwrap();
            assert!(a.iter().all(|a| a.bits() == xlogy(x, y).bits()));
            assert!(b.iter().all(|b| b.bits() == xlogx(y).bits()));
        }
    }
    println!(
        "logit, xlogy, xlogx: {count} each, worst {worst_logit:.4}, {worst_x_log_y:.4}, {worst_x_log_x:.4} ulp"
    );
    for worst in [worst_logit, worst_x_log_y, worst_x_log_x] {
        assert!(worst < 0.51 && worst > 0.45, "{worst}");
    }
}

#[test]
fn logit_and_x_log_y_are_within_an_ulp() {
    check_within_an_ulp::<f64>(3000);
    check_within_an_ulp::<f32>(3000);
}

#[test]
fn f64_is_correctly_rounded_at_every_level() {
    check_pairs::<f64>(2000);
    check_numbers::<f64>(2000);
}

#[test]
fn f32_is_correctly_rounded_at_every_level() {
    check_pairs::<f32>(2000);
    check_numbers::<f32>(2000);
}

#[test]
fn half_is_correctly_rounded_at_every_level() {
    check_pairs::<f16>(2000);
    check_numbers::<f16>(2000);
    check_pairs::<bf16>(2000);
    check_numbers::<bf16>(2000);
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
