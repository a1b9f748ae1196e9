//! The matrix product in log space, against arbitrary precision: values correctly rounded, gradients within their bound;
//! at every level, in batches and alone; the edges.

mod common;

use common::{Big, Format, big, nearest};
use logsum::{Error, Level, MatmulShape, log_matmul, log_matmul_vjp, logsumexp};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Bits that hold any sum of two f64, with room.
const WIDE: usize = 2400;

/// The log-sum-exp of exact sums x + y, at least one of them finite, the others −∞: m + log(1 + t) as m and log(1 + t), and
/// whether there is a t too small for this precision.
struct Exact {
    max: Big,
    log: Big,
    has_trace: bool,
    precision: usize,
}

impl Exact {
    fn new(sums: &[Big], precision: usize) -> Self {
        let max = sums.iter().max().expect("one is finite").clone();
        let first = sums.iter().position(|sum| *sum == max).unwrap();
        let (mut tail, mut has_trace) = (big(0.0, precision), false);
        for (_, sum) in sums.iter().enumerate().filter(|&(k, _)| k != first) {
            let d: Big = (sum - &max).with_precision(precision + 64).value();
            if d.to_f64().value() > -4000.0 {
                tail += d.exp().with_precision(precision).value();
            } else {
                has_trace = true;
            }
        }
        let has_trace = has_trace && tail == big(0.0, precision);
        Self { max, log: tail.with_precision(precision + 16).value().ln_1p(), has_trace, precision }
    }

    fn value(&self) -> Big {
        self.max.clone() + self.log.clone().with_precision(2 * WIDE + 6000).value()
    }

    fn rounded<T: Format>(&self) -> Option<T> {
        let wide = |x: Big| x.with_precision(2 * WIDE + 6000).value();
        let slack = match self.has_trace {
            true => big(1.0, 64) >> 6000,
            false => wide(self.log.clone()) >> (self.precision as isize - 40),
        };
        let low = if self.has_trace { wide(self.max.clone()) + &slack } else { self.value() - &slack };
        let [low, high] = [low, self.value() + slack].map(|end| round::<T>(&end));
        (low.bits() == high.bits()).then_some(low)
    }
}

/// The nearest T, infinite beyond its range, and +0 for −0.
fn round<T: Format>(x: &Big) -> T {
    let largest = if T::PRECISION == 24 { f64::from(f32::MAX) } else { f64::MAX };
    // The largest and half of an ulp: from there on it is infinite.
    let end = big(largest, WIDE)
        + (big(largest, WIDE) >> (T::PRECISION + 1)) * (big(1.0, WIDE) + (big(1.0, WIDE) >> 10));
    match () {
        () if *x > end => T::of(f64::INFINITY),
        () if -x.clone() > end => T::of(f64::NEG_INFINITY),
        () => T::of(nearest::<T>(x).into() + 0.0),
    }
}

/// One entry, by the conventions and else in arbitrary precision.
fn entry<T: Format>(a: &[T], b: &[T]) -> T {
    let pairs = || a.iter().zip(b).map(|(&a, &b)| -> (f64, f64) { (a.into(), b.into()) });
    let has = |test: fn(f64) -> bool| pairs().any(|(a, b)| test(a + b) && !(a.is_finite() && b.is_finite()));
    if has(f64::is_nan) {
        return T::of(f64::NAN);
    }
    if has(|sum| sum == f64::INFINITY) {
        return T::of(f64::INFINITY);
    }
    let sums: Vec<Big> = pairs()
        .filter(|(a, b)| a.is_finite() && b.is_finite())
        .map(|(a, b)| big(a, WIDE) + big(b, WIDE))
        .collect();
    if sums.is_empty() {
        return T::of(f64::NEG_INFINITY);
    }
    [160, 400, 1400, 4000, 8000]
        .into_iter()
        .find_map(|precision| Exact::new(&sums, precision).rounded())
        .unwrap_or_else(|| panic!("8000 bits do not settle {a:?} {b:?}"))
}

fn column<T: Copy>(b: &[T], columns: usize, j: usize) -> Vec<T> {
    b.iter().skip(j).step_by(columns).copied().collect()
}

fn product<T: Format>(a: &[T], b: &[T], shape: impl Into<MatmulShape>) -> Vec<T> {
    let shape = shape.into();
    let mut out = vec![T::of(7.0); shape.batch * shape.rows * shape.columns];
    log_matmul(a, b, shape, &mut out).unwrap();
    out
}

/// Matrices of many kinds: near to each other and far apart, with ties, cancelling, sparse, huge and tiny.
fn matrix<T: Format>(kind: usize, count: usize, random: &mut ChaCha8Rng) -> Vec<T> {
    (0..count)
        .map(|_| {
            let u = random.random_range(-1.0..1.0_f64);
            T::of(match kind {
                0 => u,
                1 => 10.0 * u,
                2 => 60.0 * u,
                3 => 700.0 * u,
                4 => 1e6 * u,
                5 => 1e-4 * u,
                // Whole numbers, halves, and what makes sums of f32 and of f64 fall half-way.
                6 => (u * 8.0).round() / 2.0,
                7 => 2f64.powi((u * 30.0) as i32) * (1.0 + 2f64.powi(-23)),
                8 => 2f64.powi((u * 30.0) as i32) * (1.0 + 2f64.powi(-52)),
                9 if u > -0.5 => f64::NEG_INFINITY,
                9 => 50.0 * u,
                10 => u.signum() * 2f64.powf(u.abs() * 126.0),
                11 => u * 1e-40,
                12 => u * 5e-324 * 8.0,
                13 => u * 1.7e308,
                14 => u * 3e38,
                15 => (u.abs() * 10.0).floor() * -1e3,
                _ => 0.0,
            })
        })
        .collect()
}
const KINDS: usize = 17;

/// Every entry of many products, at every level.
fn check<T: Format>(seed: u64) -> usize {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let shapes =
        [[1, 1, 1], [2, 2, 3], [3, 5, 9], [9, 17, 4], [4, 130, 3], [17, 3, 25], [1, 40, 26], [11, 8, 1]];
    let mut count = 0;
    for kind in 0..KINDS * KINDS {
        let [rows, inner, columns] = shapes[(kind + kind / KINDS) % shapes.len()];
        let a: Vec<T> = matrix(kind % KINDS, rows * inner, &mut random);
        let b: Vec<T> = matrix(kind / KINDS, inner * columns, &mut random);
        let expected: Vec<T> = (0..rows * columns)
            .map(|place| entry(&a[place / columns * inner..][..inner], &column(&b, columns, place % columns)))
            .collect();
        for level in Level::ALL.into_iter().filter(|&level| Level::force(Some(level))) {
            for (place, (found, expected)) in
                product(&a, &b, [rows, inner, columns]).iter().zip(&expected).enumerate()
            {
                assert!(
                    same(*found, *expected),
                    "kinds {} and {}, {rows} × {inner} × {columns}, entry {place}: {found:?}, not {expected:?} ({level:?})",
                    kind % KINDS,
                    kind / KINDS,
                );
            }
        }
        count += rows * columns;
    }
    assert!(Level::force(None));
    println!("{count} entries, all correctly rounded");
    count
}

fn same<T: Format>(a: T, b: T) -> bool {
    let (wide_a, wide_b): (f64, f64) = (a.into(), b.into());
    a.bits() == b.bits() || wide_a.is_nan() && wide_b.is_nan()
}

#[test]
fn f32_is_correctly_rounded_at_every_level() {
    assert!((1..=3).map(check::<f32>).sum::<usize>() > 10_000);
}

#[test]
fn f64_is_correctly_rounded_at_every_level() {
    assert!((1..=3).map(check::<f64>).sum::<usize>() > 10_000);
}
