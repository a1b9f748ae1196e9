//! All f32 numbers as x in log(e^0 + e^x), and in the functions of one number that are a share or a logarithm.

mod common;

use common::{Big, Format, big, nearest, oracle};
use logsum::{logistic, logit, logsumexp, xlogx};
use std::sync::atomic::{AtomicU64, Ordering};

/// log(1 + e^x) rounded to f32, by f64 where that settles the rounding, otherwise by the oracle (counted).
///
/// x ≤ 0: ln_1p(exp(x)); x > 0: x + ln_1p(exp(−x)). The platform's exp and ln_1p are within 1 ulp
/// (2^-52 relative). log(1 + e) multiplies a relative error by a factor of at most 1, and the sum of two positive
/// numbers adds 2^-53: the total is below 2^-50. f32's results, e^-104 and more, are not subnormal in f64.
fn expected(x: f32, settled_by_oracle: &AtomicU64) -> f32 {
    let wide = f64::from(x);
    if x.is_nan() || x.is_infinite() {
        return if x == f32::NEG_INFINITY { 0.0 } else { x };
    }
    let value = if wide <= 0.0 { wide.exp().ln_1p() } else { wide + (-wide).exp().ln_1p() };
    // Sixteen times the bound, for platforms with less accurate functions.
    let slack = value * 2f64.powi(-46);
    let (low, high) = ((value - slack) as f32, (value + slack) as f32);
    if low == high {
        return low;
    }
    settled_by_oracle.fetch_add(1, Ordering::Relaxed);
    oracle(&[0.0, x]).0
}

/// A function of one number; its value in f64, within 2^-50 of itself, if there is a finite one; the value exactly.
type Function = (&'static str, fn(f32) -> f32, fn(f64) -> f64, fn(Big) -> Big);

const FUNCTIONS: [Function; 3] = [
    ("logistic", logistic, |x| 1.0 / (1.0 + (-x).exp()), |x| one() / (one() + (-x).exp())),
    (
        "logit",
        logit,
        // p − q and q = 1 − p are exact, or q is rounded; the argument of ln_1p is positive.
        |p| if p < 0.5 { -((1.0 - 2.0 * p) / p).ln_1p() } else { ((2.0 * p - 1.0) / (1.0 - p)).ln_1p() },
        |p| (p.clone() / (one() - p)).ln(),
    ),
    ("xlogx", xlogx, |x| x * x.ln(), |x| x.clone() * x.ln()),
];

fn one() -> Big {
    big(1.0, 400)
}

fn check_functions(x: f32, settled_by_oracle: &AtomicU64) {
    for (name, f, in_f64, exactly) in FUNCTIONS {
        let value = in_f64(x.into());
        let found = f(x);
        // Limits, 0 and what is not defined are tested elsewhere.
        if !value.is_finite() || value == 0.0 {
            continue;
        }
        let slack = value.abs() * 2f64.powi(-46);
        let (low, high) = ((value - slack) as f32, (value + slack) as f32);
        let expected = if low.bits() == high.bits() {
            low
        } else {
            settled_by_oracle.fetch_add(1, Ordering::Relaxed);
            nearest(&exactly(big(x.into(), 400)))
        };
        assert_eq!(
            found.bits(),
            expected.bits(),
            "{name} {x:?} ({:#x}): {found:?}, not {expected:?}",
            x.to_bits()
        );
    }
}

/// Checks every `step`-th bit pattern, and returns the number of values that the oracle had to settle.
fn walk(step: usize) -> u64 {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let settled_by_oracle = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let settled_by_oracle = &settled_by_oracle;
            scope.spawn(move || {
                for bits in (0..=u32::MAX).step_by(step).skip(thread).step_by(threads) {
                    let x = f32::from_bits(bits);
                    let (found, expected) = (logsumexp(&[0.0, x]), expected(x, settled_by_oracle));
                    let agree = found.bits() == expected.bits() || found.is_nan() && expected.is_nan();
                    assert!(agree, "log(1 + e^x) for x = {x:?} ({bits:#x}): {found:?}, not {expected:?}");
                    check_functions(x, settled_by_oracle);
                }
            });
        }
    });
    settled_by_oracle.into_inner()
}

/// All 2^32 values: `cargo test --release --test exhaustive -- --ignored --nocapture`.
#[test]
#[ignore = "2^32 values: 20 minutes of processor time, 5 minutes on four cores"]
fn every_f32() {
    println!("of 2^32 values {} were settled by arbitrary precision", walk(1));
}

#[test]
fn every_4001st_f32() {
    walk(4001);
}
