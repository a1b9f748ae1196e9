//! f16 and bf16: every number through the functions of one number, rows against arbitrary precision, moments and
//! weighted sums against f64, special cases, and the limits of the range.

mod common;
#[path = "common/each_level.rs"]
mod each_level;

use common::{Format, big, nearest, nearest_elements, oracle, ulps};
use each_level::each_level;
use half::{bf16, f16};
use logsum::{
    Error, Float, LogSumExp, Phase, Terms, derivative, each, log_logistic, log_softmax, log1mexp, log1pexp,
    logaddexp, logexpm1, logistic, logit, logmeanexp, logsumexp, logsumexp_and_phase, logsumexp_jvp,
    logsumexp_with_gradient, logvarexp, softmax, softmax_entropy, xlogx,
};
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// An exact value rounded to T, given the value rounded to f64.
///
/// The f64 value is on the same side of every midpoint of T as the exact value, unless it is a midpoint, which is
/// asserted not to occur.
fn rounded<T: Format>(wide: f64) -> T {
    if !wide.is_finite() || wide == 0.0 {
        return T::of(wide);
    }
    let rounded: T = nearest(&big(wide, 100));
    for up in [false, true] {
        assert!(2.0 * wide != rounded.into() + rounded.neighbour(up).into(), "{wide} is half-way");
    }
    rounded
}

fn same<T: Format>(a: T, b: T) -> bool {
    a.bits() == b.bits() || a.into().is_nan() && b.into().is_nan()
}

/// Checks that `found` is within 1 ulp of the f64 value, and updates the worst error.
fn check_ulp<T: Format>(found: T, wide: f64, worst: &mut f64) {
    let narrow: f64 = found.into();
    if !wide.is_finite() || narrow.is_infinite() {
        let is_beyond = T::of(wide).into() == narrow;
        assert!(is_beyond || narrow.is_nan() && wide.is_nan(), "{found}, not {wide}");
        return;
    }
    let error = ulps(found, &big(wide, 100));
    assert!(error < 1.0, "{found}, not {wide}: {error} ulp");
    *worst = worst.max(error);
}

type Function<T> = (fn(T) -> T, fn(f64) -> f64);
type Slices<T> = fn(&[T], &mut [T]) -> Result<(), Error>;

fn check_every_number<T: Format>(of_bits: fn(u16) -> T) {
    let all: Vec<T> = (0..=u16::MAX).map(of_bits).collect();
    let nearest: [(Function<T>, Slices<T>); 4] = [
        ((log1pexp, log1pexp), each::log1pexp),
        ((log1mexp, log1mexp), each::log1mexp),
        ((logexpm1, logexpm1), each::logexpm1),
        ((log_logistic, log_logistic), each::log_logistic),
    ];
    for ((narrow, wide), slices) in nearest {
        let mut out = all.clone();
        let expected: Vec<T> = all.iter().map(|&x| narrow(x)).collect();
        for (&x, &found) in all.iter().zip(&expected) {
            assert!(same(found, rounded(wide(x.into()))), "of {x}: {found}, not {}", wide(x.into()));
        }
        for level in each_level() {
            slices(&all, &mut out).unwrap();
            for (&x, (&a, &b)) in all.iter().zip(out.iter().zip(&expected)) {
                assert!(same(a, b), "{x} at {level:?}");
            }
        }
    }
    let mut worst = 0.0;
    let within: [Function<T>; 5] = [
        (logistic, logistic),
        (logit, logit),
        (xlogx, xlogx),
        (derivative::log1mexp, derivative::log1mexp),
        (derivative::logistic, derivative::logistic),
    ];
    for (narrow, wide) in within {
        all.iter().for_each(|&x| check_ulp(narrow(x), wide(x.into()), &mut worst));
    }
    println!("all 65 536 numbers: 4 functions correctly rounded, 5 within {worst:.4} ulp");
    assert!(worst < 0.51 && worst > 0.49, "{worst}");
}

#[test]
fn every_f16() {
    check_every_number(f16::from_bits);
}

#[test]
fn every_bf16() {
    check_every_number(bf16::from_bits);
}

fn rows<T: Format>(count: usize) -> Vec<Vec<T>> {
    let mut random = ChaCha8Rng::seed_from_u64(31);
    (0..count)
        .map(|i| {
            let length = match i % 100 {
                0 => random.random_range(1000..2500),
                1..6 => random.random_range(12..200),
                _ => random.random_range(1..12),
            };
            let spread = [1.0, 20.0, 1e-3, 100.0, 3e4, 1e-7][i % 6];
            let offset = [0.0, -5.0, 300.0, 0.0][i / 6 % 4];
            let mut row: Vec<T> =
                (0..length).map(|_| T::of(offset + spread * random.random_range(-1.0..1.0_f64))).collect();
            match i % 7 {
                // Normalised: the value is a rounding error near 0.
                0 => {
                    let z = row.clone();
                    log_softmax(&z, &mut row).unwrap();
                }
                1 => row[0] = T::of(f64::NEG_INFINITY),
                2 => row.fill(T::of(offset)),
                _ => {}
            }
            row.push(T::of(offset));
            row
        })
        .collect()
}

/// 1/n is half-way between 0 and the least f16 for n = 2^25 equal numbers, and nearest to that for one less.
#[test]
fn shares_that_are_half_of_the_least_number() {
    let mut z = vec![f16::ONE; 1 << 25];
    z.push(f16::NEG_INFINITY);
    let mut p = vec![f16::NAN; z.len()];
    softmax(&z, &mut p).unwrap();
    assert!(p.iter().all(|&p| p == f16::ZERO));
    z[5] = f16::NEG_INFINITY;
    softmax(&z, &mut p).unwrap();
    assert!(p.iter().zip(&z).all(|(&p, &z)| p == if z == f16::ONE { f16::from_bits(1) } else { f16::ZERO }));
}

fn results<T: Float>(z: &[T]) -> (T, Vec<T>, Vec<T>) {
    let (mut gradient, mut log_p) = (z.to_vec(), z.to_vec());
    let value = logsumexp_with_gradient(z, &mut gradient).unwrap();
    log_softmax(z, &mut log_p).unwrap();
    (value, gradient, log_p)
}

fn check_rows<T: Format>(count: usize) {
    let mut rungs: BTreeMap<Phase, usize> = BTreeMap::new();
    for z in rows::<T>(count) {
        let (expected, exact) = oracle(&z);
        let (value, p, log_p) = results(&z);
        assert_eq!(value.bits(), expected.bits(), "{z:?}: {value}, not {expected}");
        let [nearest, nearest_log] = nearest_elements(&z, exact);
        assert!(p == nearest, "softmax of {z:?}: {p:?}, not {nearest:?}");
        assert!(log_p == nearest_log, "log-softmax of {z:?}: {log_p:?}, not {nearest_log:?}");
        for level in each_level() {
            let (alone, rung) = logsumexp_and_phase(&z);
            assert_eq!(alone.bits(), expected.bits(), "{level:?}, {rung:?}: {z:?}: {alone}, not {expected}");
            *rungs.entry(rung).or_default() += 1;
            assert!(results(&z) == (value, p.clone(), log_p.clone()), "{level:?}: {z:?}");
        }
    }
    println!("{count} rows correctly rounded, and their softmax and log-softmax, {rungs:?}");
    assert!(rungs[&Phase::Single] > count && rungs[&Phase::Double] > count / 2);
}

#[test]
fn rows_of_f16() {
    check_rows::<f16>(4000);
}

#[test]
fn rows_of_bf16() {
    check_rows::<bf16>(4000);
}

/// Weighted sums and moments, against the f64 results for the same numbers.
fn check_against_f64<T: Format>(count: usize) {
    let wide = |z: &[T]| -> Vec<f64> { z.iter().map(|&z| z.into()).collect() };
    let mut random = ChaCha8Rng::seed_from_u64(32);
    let mut worst = 0.0;
    for z in rows::<T>(count) {
        let b: Vec<T> = z.iter().map(|_| T::of(random.random_range(-1.0..3.0))).collect();
        let (z64, b64) = (wide(&z), wide(&b));
        assert!(logmeanexp(&z) == rounded(logmeanexp(&z64)), "{z:?}");
        let terms = Terms::new(&z).weights(&b).unwrap();
        let terms64 = Terms::new(&z64).weights(&b64).unwrap();
        let ((value, sign), (value64, sign64)) = (terms.logsumexp_with_sign(), terms64.logsumexp_with_sign());
        assert!(value == rounded(value64) && sign.into() == sign64, "{z:?} {b:?}");
        let (mut p, mut p64) = (z.clone(), z64.clone());
        terms.softmax(&mut p).unwrap();
        terms64.softmax(&mut p64).unwrap();
        p.iter().zip(&p64).for_each(|(&p, &p64)| check_ulp(p, p64, &mut worst));
        // Nonnegative tangents, so that nothing cancels.
        let t: Vec<T> = b.iter().map(|&b| T::of(b.into().abs())).collect();
        check_ulp(logsumexp_jvp(&z, &t).unwrap().1, logsumexp_jvp(&z64, &wide(&t)).unwrap().1, &mut worst);
        check_ulp(softmax_entropy(&z), softmax_entropy(&z64), &mut worst);
        Terms::new(&z).temperature(0.3).unwrap().softmax(&mut p).unwrap();
        Terms::new(&z64).temperature(0.3).unwrap().softmax(&mut p64).unwrap();
        p.iter().zip(&p64).for_each(|(&p, &p64)| check_ulp(p, p64, &mut worst));
        if z64.iter().all(|z| z.abs() < 1e3) {
            check_ulp(logvarexp(&z, 0), logvarexp(&z64, 0), &mut worst);
        }
    }
    println!("{count} rows, weighted and averaged: within {worst:.4} ulp");
    assert!(worst > 0.49, "{worst}");
}

#[test]
fn what_weighs_and_averages() {
    check_against_f64::<f16>(3000);
    check_against_f64::<bf16>(3000);
}

#[test]
fn many_equal_numbers() {
    // log 70 000 = 11.15625052…: 11.15625 in f16, just above the midpoint of 11.125 and 11.1875 in bf16.
    assert_eq!(logsumexp(&vec![f16::ZERO; 70_000]), f16::from_f64(11.15625));
    assert_eq!(logsumexp(&vec![bf16::ZERO; 70_000]), bf16::from_f64(11.1875));
    let mut p = vec![f16::ONE; 70_000];
    softmax(&vec![f16::ONE; 70_000], &mut p).unwrap();
    // 1/70 000 is 239.67 times the smallest subnormal.
    assert!(p.iter().all(|p| p.to_bits() == 240));

    // log Σ = 65 504 + log n: the midpoint to 65 536, which rounds to ∞, is at log n = 16, and e^16 = 8 886
    // 110.52.
    let largest = vec![f16::MAX; 8_886_111];
    assert_eq!(logsumexp(&largest[1..]), f16::MAX);
    assert_eq!(logsumexp(&largest), f16::INFINITY);
    assert_eq!(logaddexp(f16::MAX, f16::MAX), f16::MAX);
    assert_eq!(logsumexp(&[bf16::MAX; 1000]), bf16::MAX);
}

#[test]
fn edges() {
    const INF: f64 = f64::INFINITY;
    fn check<T: Format>(z: &[f64], value: f64, p: &[f64], log_p: &[f64]) {
        let of = |numbers: &[f64]| numbers.iter().map(|&x| T::of(x)).collect::<Vec<T>>();
        assert_eq!(format!("{:?}", results(&of(z))), format!("{:?}", (T::of(value), of(p), of(log_p))));
    }
    fn check_both(z: &[f64], value: f64, p: &[f64], log_p: &[f64]) {
        check::<f16>(z, value, p, log_p);
        check::<bf16>(z, value, p, log_p);
    }
    let log_third = -(3f64.ln());
    check_both(&[], -INF, &[], &[]);
    check_both(&[-7.5], -7.5, &[1.0], &[0.0]);
    check_both(&[-INF, 2.0, -INF], 2.0, &[0.0, 1.0, 0.0], &[-INF, 0.0, -INF]);
    check_both(&[-INF; 3], -INF, &[0.0; 3], &[-INF; 3]);
    check_both(
        &[INF, 0.0, INF, INF],
        INF,
        &[1.0 / 3.0, 0.0, 1.0 / 3.0, 1.0 / 3.0],
        &[log_third, -INF, log_third, log_third],
    );
    check_both(&[1.0, f64::NAN, INF], f64::NAN, &[f64::NAN; 3], &[f64::NAN; 3]);
    // −65 504 − 65 504 is beyond f16.
    check::<f16>(&[65504.0, -65504.0], 65504.0, &[1.0, 0.0], &[0.0, -INF]);
    // e^-16 is subnormal in f16, 1.8877 times the smallest number; e^-18 rounds to 0.
    check::<f16>(&[0.0, -16.0], 2f64.powi(-23), &[1.0, 2f64.powi(-23)], &[-(2f64.powi(-23)), -16.0]);
    check::<f16>(&[0.0, -18.0], 0.0, &[1.0, 0.0], &[-0.0, -18.0]);

    let z = Array2::from_elem((20, 70), f16::from_f64(1.0));
    for axis in [0, 1] {
        let log: f16 = nearest(&big((z.shape()[axis] as f64).ln() + 1.0, 100));
        assert!(z.logsumexp(axis as isize).unwrap().iter().all(|&value| value == log));
    }
}
