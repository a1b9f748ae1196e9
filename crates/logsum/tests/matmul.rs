//! The matrix product in log space against arbitrary precision: correctly rounded values, gradients within their
//! bound, at every level, in batches and alone; special cases.

mod common;
#[path = "common/each_level.rs"]
mod each_level;

use common::{Big, Format, big, nearest};
use each_level::each_level;
use half::f16;
use logsum::{MatmulShape, log_matmul, log_matmul_vjp, logsumexp};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Enough bits for any sum of two f64.
const WIDE: usize = 2400;

/// The log-sum-exp m + log(1 + t) of exact sums x + y, at least one of them finite, the others −∞: m, log(1 + t),
/// and whether t is positive but too small for this precision.
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

/// The nearest T, infinite beyond its range; zeros are +0.
fn round<T: Format>(x: &Big) -> T {
    let largest = match T::PRECISION {
        8 => half::bf16::MAX.into(),
        11 => half::f16::MAX.into(),
        24 => f64::from(f32::MAX),
        _ => f64::MAX,
    };
    // The largest number plus half an ulp: larger values round to infinity.
    let end = big(largest, WIDE)
        + (big(largest, WIDE) >> (T::PRECISION + 1)) * (big(1.0, WIDE) + (big(1.0, WIDE) >> 10));
    match () {
        () if *x > end => T::of(f64::INFINITY),
        () if -x.clone() > end => T::of(f64::NEG_INFINITY),
        () => T::of(nearest::<T>(x).into() + 0.0),
    }
}

/// One entry, by the conventions for special cases, otherwise in arbitrary precision.
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

/// Two numbers whose exponentials add up to 1 − 2^-34: the logarithm rounds to 0, and zeros are +0.
#[test]
fn what_is_below_0_and_rounds_to_it_is_positive() {
    let a = [9.382_812_5, 8.416_175_842_285_156e-5].map(|a| -f16::from_f64(a));
    for _ in each_level() {
        let mut out = [f16::ONE; 9];
        log_matmul(&a, &[f16::ZERO; 18], [1, 2, 9], &mut out).unwrap();
        assert!(out.iter().all(|out| out.to_bits() == 0), "{out:?}");
    }
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

/// Matrices of several kinds: numbers close together or far apart, tied, cancelling, sparse, huge and tiny.
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
                // Integers, halves, and numbers whose sums are midpoints of f32 or f64.
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

/// Checks every entry of products of several shapes, at every level.
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
        for level in each_level() {
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

#[test]
fn halves_are_correctly_rounded_at_every_level() {
    assert!(check::<half::f16>(1) > 10_000);
    assert!(check::<half::bf16>(2) > 10_000);
}

/// Checks a sample of the entries of products larger than a block in every direction.
fn check_blocks<T: Format>() {
    let mut random = ChaCha8Rng::seed_from_u64(21);
    let [rows, inner, columns] = [270, 300, 265];
    for kind in [0, 1, 2, 3] {
        let a: Vec<T> = matrix(kind, rows * inner, &mut random);
        let b: Vec<T> = matrix(kind, inner * columns, &mut random);
        let found = product(&a, &b, [rows, inner, columns]);
        for corner in [0, columns - 1, 255 * columns + 255, 256 * columns + 256, rows * columns - 1]
            .into_iter()
            .chain((0..20).map(|_| random.random_range(0..rows * columns)))
        {
            let (i, j) = (corner / columns, corner % columns);
            let expected = entry(&a[i * inner..][..inner], &column(&b, columns, j));
            assert!(
                same(found[corner], expected),
                "kind {kind}, ({i}, {j}): {}, not {expected}",
                found[corner]
            );
        }
        for level in each_level() {
            let again = product(&a, &b, [rows, inner, columns]);
            assert!(again.iter().zip(&found).all(|(&a, &b)| same(a, b)), "kind {kind} at {level:?}");
        }
    }
}

#[test]
fn blocks_are_put_together() {
    check_blocks::<f32>();
    check_blocks::<f64>();
}

/// With one column it is the log-sum-exp of rows; the identity matrix in log space changes nothing.
#[test]
fn laws() {
    let mut random = ChaCha8Rng::seed_from_u64(22);
    let a: Vec<f64> = matrix(2, 30 * 40, &mut random);
    let sums = product(&a, &[0.0; 40], [30, 40, 1]);
    assert!(sums.iter().zip(a.chunks(40)).all(|(&sum, row)| sum == logsumexp(row)));
    let identity: Vec<f64> =
        (0..40 * 40).map(|place| if place % 41 == 0 { 0.0 } else { f64::NEG_INFINITY }).collect();
    assert_eq!(product(&a, &identity, [30, 40, 40]), a);
    // Rows of log-probabilities add up to 1: the value is a rounding error.
    let rows: Vec<f64> = a.chunks(40).flat_map(|row| row.iter().map(|z| z - logsumexp(row))).collect();
    let totals = product(&rows, &[0.0; 40], [30, 40, 1]);
    assert!(
        totals
            .iter()
            .zip(rows.chunks(40))
            .all(|(&total, row)| total == logsumexp(row) && total.abs() < 1e-13)
    );
}

fn check_batch<T: Format>() {
    let mut random = ChaCha8Rng::seed_from_u64(23);
    for [batch, rows, inner, columns] in
        [[5, 3, 4, 9], [70, 2, 130, 3], [2, 200, 100, 150], [3, 1, 1, 1], [300, 30, 30, 30]]
    {
        let a: Vec<T> = matrix(2, batch * rows * inner, &mut random);
        let b: Vec<T> = matrix(2, batch * inner * columns, &mut random);
        let g: Vec<T> = matrix(0, batch * rows * columns, &mut random);
        let all = product(&a, &b, [batch, rows, inner, columns]);
        let [grad_a, grad_b] = gradients(&a, &b, [batch, rows, inner, columns], &g);
        for i in 0..batch {
            fn part<T>(all: &[T], i: usize, batch: usize) -> &[T] {
                &all[i * (all.len() / batch)..][..all.len() / batch]
            }
            let (a, b, g) = (part(&a, i, batch), part(&b, i, batch), part(&g, i, batch));
            assert_eq!(product(a, b, [rows, inner, columns]), part(&all, i, batch), "product {i}");
            let [of_a, of_b] = gradients(a, b, [rows, inner, columns], g);
            assert_eq!(
                (&of_a[..], &of_b[..]),
                (part(&grad_a, i, batch), part(&grad_b, i, batch)),
                "gradients {i}"
            );
        }
    }
}

#[test]
fn a_batch_is_its_products_one_by_one() {
    check_batch::<f32>();
    check_batch::<f64>();
}

fn gradients<T: Format>(a: &[T], b: &[T], shape: impl Into<MatmulShape>, g: &[T]) -> [Vec<T>; 2] {
    let mut gradients = [vec![T::of(7.0); a.len()], vec![T::of(7.0); b.len()]];
    let [of_a, of_b] = &mut gradients;
    log_matmul_vjp(a, b, shape, g, of_a, of_b).unwrap();
    gradients
}

/// The largest error of a derivative, relative to its bound, by Σ G P in high precision.
fn check_gradients<T: Format>(seed: u64) -> f64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (shapes, mut worst) = ([[1, 1, 1], [2, 3, 4], [9, 5, 17], [3, 40, 2]], 0.0_f64);
    for (a_kind, b_kind) in (0..KINDS * KINDS).map(|kind| (kind % KINDS, kind / KINDS)) {
        let [rows, inner, columns] = shapes[(a_kind + b_kind) % shapes.len()];
        let a: Vec<T> = matrix(a_kind, rows * inner, &mut random);
        let b: Vec<T> = matrix(b_kind, inner * columns, &mut random);
        let g: Vec<T> = matrix([0, 1, 6][a_kind % 3], rows * columns, &mut random);
        let is_infinite = |x: &T| (*x).into() == f64::INFINITY;
        if a.iter().chain(&b).any(is_infinite) || (a_kind, b_kind) == (13, 13) {
            // Special cases, which `edges` tests, and sums beyond the range.
            continue;
        }
        let found = gradients(&a, &b, [rows, inner, columns], &g);
        let zero = || big(0.0, 200);
        let mut exact = [vec![[zero(), zero()]; a.len()], vec![[zero(), zero()]; b.len()]];
        for (i, j) in (0..rows * columns).map(|place| (place / columns, place % columns)) {
            let pairs = || (0..inner).map(|k| (a[i * inner + k].into(), b[k * columns + j].into()));
            let sums: Vec<Option<Big>> = pairs()
                .map(|(x, y): (f64, f64)| {
                    // By convention a sum beyond the range of f64 is infinite.
                    (x + y).is_finite().then(|| big(x, WIDE) + big(y, WIDE))
                })
                .collect();
            let finite: Vec<Big> = sums.iter().flatten().cloned().collect();
            if finite.is_empty() {
                continue;
            }
            let log = Exact::new(&finite, 200).value();
            let g = big(g[i * columns + j].into(), 200);
            for (k, sum) in sums.iter().enumerate() {
                let Some(sum) = sum else { continue };
                let d = (sum - &log).with_precision(300).value();
                if d.to_f64().value() < -1000.0 {
                    continue;
                }
                let p = d.exp().with_precision(200).value();
                for (gradient, place) in exact.iter_mut().zip([i * inner + k, k * columns + j]) {
                    let [total, size] = &mut gradient[place];
                    *total += &g * &p;
                    *size += if g.to_f64().value() < 0.0 { -(&g * &p) } else { &g * &p };
                }
            }
        }
        let of_sum = (300 + rows + inner + columns) as f64 * 2f64.powi(-53)
            + if T::PRECISION == 53 { 0.0 } else { 2f64.powi(-35) };
        for (which, (found, exact)) in found.iter().zip(&exact).enumerate() {
            for (place, (&found, [exact, size])) in found.iter().zip(exact).enumerate() {
                let off = (big(found.into(), 2000) - exact).to_f64().value().abs();
                let to_neighbour = |up| (found.neighbour(up).into() - found.into()).abs();
                let half_ulp = to_neighbour(true).max(to_neighbour(false)) / 2.0;
                let size = size.to_f64().value();
                let bound = of_sum * size + 1.01 * half_ulp + 1e-200;
                assert!(
                    off <= bound,
                    "kinds {a_kind} and {b_kind}, {rows} × {inner} × {columns}, gradient {which}, place {place}: \
                     {found}, not {exact}: off by {off:e}, bound {bound:e}"
                );
                let beyond_rounding = off - half_ulp;
                if size > 1e-100 && beyond_rounding > 0.0 {
                    worst = worst.max(beyond_rounding / (of_sum * size));
                }
            }
        }
    }
    println!("worst error beyond the rounding: {worst:.3} of the bound");
    worst
}

#[test]
fn gradients_are_within_their_bound() {
    assert!(check_gradients::<f32>(31) > 1e-3);
    assert!(check_gradients::<f64>(32) > 1e-3);
    check_gradients::<half::f16>(33);
    check_gradients::<half::bf16>(34);
}

#[test]
fn gradients_are_those_of_the_values() {
    let mut random = ChaCha8Rng::seed_from_u64(33);
    let [rows, inner, columns] = [4, 5, 6];
    let a: Vec<f64> = matrix(1, rows * inner, &mut random);
    let b: Vec<f64> = matrix(1, inner * columns, &mut random);
    let g: Vec<f64> = matrix(0, rows * columns, &mut random);
    let shape = [rows, inner, columns];
    let objective =
        |a: &[f64], b: &[f64]| -> f64 { product(a, b, shape).iter().zip(&g).map(|(c, g)| c * g).sum() };
    let [of_a, of_b] = gradients(&a, &b, shape, &g);
    const STEP: f64 = 1e-5;
    for place in 0..a.len().max(b.len()) {
        let slope = |numbers: &[f64], f: &dyn Fn(&[f64]) -> f64| {
            let [up, down] = [STEP, -STEP].map(|step| {
                let mut numbers = numbers.to_vec();
                numbers[place] += step;
                f(&numbers)
            });
            (up - down) / (2.0 * STEP)
        };
        if place < a.len() {
            assert!((slope(&a, &|a| objective(a, &b)) - of_a[place]).abs() < 1e-8, "a {place}");
        }
        if place < b.len() {
            assert!((slope(&b, &|b| objective(&a, b)) - of_b[place]).abs() < 1e-8, "b {place}");
        }
    }
}

/// Gradients of products of several blocks, against sums in f64, at every level.
#[test]
fn gradients_of_blocks() {
    let mut random = ChaCha8Rng::seed_from_u64(34);
    let [rows, inner, columns] = [270, 265, 300];
    for kind in [1, 3] {
        let a: Vec<f64> = matrix(kind, rows * inner, &mut random);
        let b: Vec<f64> = matrix(kind, inner * columns, &mut random);
        let g: Vec<f64> = matrix(0, rows * columns, &mut random);
        let c = product(&a, &b, [rows, inner, columns]);
        let [of_a, of_b] = gradients(&a, &b, [rows, inner, columns], &g);
        let p =
            |i: usize, k: usize, j: usize| (a[i * inner + k] + b[k * columns + j] - c[i * columns + j]).exp();
        for _ in 0..200 {
            let (i, k, j) = (
                random.random_range(0..rows),
                random.random_range(0..inner),
                random.random_range(0..columns),
            );
            let sum: f64 = (0..columns).map(|j| g[i * columns + j] * p(i, k, j)).sum();
            assert!((sum - of_a[i * inner + k]).abs() < 1e-10, "kind {kind}, a ({i}, {k})");
            let sum: f64 = (0..rows).map(|i| g[i * columns + j] * p(i, k, j)).sum();
            assert!((sum - of_b[k * columns + j]).abs() < 1e-10, "kind {kind}, b ({k}, {j})");
        }
        for level in each_level() {
            assert!(
                gradients(&a, &b, [rows, inner, columns], &g) == [of_a.clone(), of_b.clone()],
                "{level:?}"
            );
        }
    }
}

/// A row of A, a column of B, the value, and the shares.
type Edge = ([f64; 3], [f64; 3], f64, [f64; 3]);

#[test]
fn edges() {
    const INF: f64 = f64::INFINITY;
    const NAN: f64 = f64::NAN;
    // No terms: the sum has no mass.
    assert_eq!(product::<f64>(&[], &[], [2, 0, 2]), [-INF; 4]);
    assert_eq!(gradients::<f64>(&[], &[], [2, 0, 2], &[1.0; 4]), [vec![], vec![]]);
    for shape in [[0, 3, 2], [2, 3, 0], [0, 0, 0]] {
        let [rows, inner, columns] = shape;
        let (a, b) = (vec![1.0; rows * inner], vec![1.0; inner * columns]);
        assert_eq!(product(&a, &b, shape), []);
        assert_eq!(gradients(&a, &b, shape, &[]), [vec![0.0; a.len()], vec![0.0; b.len()]]);
    }
    assert_eq!(product::<f64>(&[], &[], [0, 3, 3, 3]), []);

    // A row of A and a column of B: the value, and the gradients for the cotangent 2.
    #[rustfmt::skip]
    let rows: [Edge; 10] = [
        ([-INF, -INF, -INF], [0.0, 1.0, 2.0], -INF, [0.0; 3]),
        ([0.0, 1.0, 2.0], [-INF, -INF, -INF], -INF, [0.0; 3]),
        ([0.0, -INF, 2.0], [-INF, 5.0, -INF], -INF, [0.0; 3]),
        ([0.0, -INF, 2.0], [-INF, 5.0, 1.0], 3.0, [0.0, 0.0, 2.0]),
        ([INF, 0.0, 2.0], [1.0, 0.0, INF], INF, [1.0, 0.0, 1.0]),
        ([INF, 0.0, 2.0], [-INF, 0.0, 1.0], NAN, [NAN; 3]),
        ([-INF, 0.0, 2.0], [INF, 0.0, 1.0], NAN, [NAN; 3]),
        ([NAN, 0.0, 2.0], [-INF, 0.0, 1.0], NAN, [NAN; 3]),
        ([0.0, 0.0, 2.0], [1.0, NAN, INF], NAN, [NAN; 3]),
        ([0.0, -1e5, 0.0], [-1e5, 0.0, -1e5], -1e5 + 1.0986122886681098, [2.0 / 3.0; 3]),
    ];
    for (a, b, value, shares) in rows {
        fn check<T: Format>(a: [f64; 3], b: [f64; 3], value: f64, shares: [f64; 3]) {
            let [a, b] = [a, b].map(|row| row.map(T::of));
            let found = product(&a, &b, [1, 3, 1])[0];
            assert!(same(found, T::of(value)), "{a:?} {b:?}: {found}, not {value}");
            for of in gradients(&a, &b, [1, 3, 1], &[T::of(2.0)]) {
                for (found, share) in of.into_iter().zip(shares) {
                    let close = (found.into() - share).abs() <= share.abs() * 1e-6;
                    assert!(
                        close || found.into().is_nan() && share.is_nan(),
                        "{a:?} {b:?}: {found}, not {share}"
                    );
                }
            }
            // A cotangent of 0 contributes nothing.
            let nothing = gradients(&a, &b, [1, 3, 1], &[T::of(0.0)]);
            assert!(nothing.iter().flatten().all(|&of| of.into() == 0.0), "{a:?} {b:?}: {nothing:?}");
        }
        check::<f32>(a, b, value, shares);
        check::<f64>(a, b, value, shares);
    }
    // Special values affect their own rows and columns only.
    let c = product(&[NAN, 0.0, 1.0, 2.0, INF, 0.0, -INF, -INF], &[1.0, -INF, 2.0, 0.0], [4, 2, 2]);
    let expected = [NAN, NAN, 4.126928011042972, 2.0, INF, NAN, -INF, -INF];
    assert!(c.iter().zip(expected).all(|(&c, expected)| same(c, expected)), "{c:?}");
    // Sums beyond the range of the format.
    let [big, less] = [3e38, -2e38f32];
    assert_eq!(product(&[big], &[-less, less], [1, 1, 2]), [f32::INFINITY, big + less]);
    assert_eq!(product(&[-1.7e308], &[-1e308, 1.7e308, 0.0], [1, 1, 3]), [-INF, 0.0, -1.7e308]);
    // A non-finite cotangent contributes where P is not 0.
    let [of_a, _] = gradients(&[0.0, -INF], &[0.0, 0.0], [1, 2, 1], &[INF]);
    assert_eq!(of_a, [INF, 0.0]);
    let [of_a, _] = gradients(&[0.0, -INF], &[0.0, 0.0], [1, 2, 1], &[NAN]);
    assert!(of_a[0].is_nan() && of_a[1] == 0.0);
}

/// Rows that span millions, where exponentials relative to the maxima underflow.
#[test]
fn large_ranges() {
    let a = [-1e6, 1e6, 0.0, 5.0, 2e5, -1e6];
    let b = [1e6, -1e6, 3.0, 0.0, -1e6, 1e6];
    // The sums of the first entry: −1e6 + 1e6, 1e6 + 3, 0 − 1e6.
    assert_eq!(product(&a, &b, [2, 3, 2])[0], 1_000_003.0);
    assert_eq!(product(&[-1e6, 1e6], &[1e6, -1e6], [1, 2, 1])[0], std::f64::consts::LN_2);
    assert_eq!(product(&[-1e6f32, 1e6], &[1e6, -1e6], [1, 2, 1])[0], std::f32::consts::LN_2);
    assert_eq!(product(&[-1e300, 1e300], &[1e300, -1e300], [1, 2, 1])[0], std::f64::consts::LN_2);
}

#[test]
fn lengths_are_checked() {
    let check = |shape: MatmulShape, lengths: [usize; 3], message: &str| {
        let [a, b, mut out] = lengths.map(|length| vec![0.5; length]);
        let error = log_matmul(&a, &b, shape, &mut out).unwrap_err();
        assert_eq!(error.to_string(), message);
        let (mut grad_a, mut grad_b) = (vec![0.5; a.len()], vec![0.5; b.len()]);
        assert!(log_matmul_vjp(&a, &b, shape, &out.clone(), &mut grad_a, &mut grad_b).is_err());
        assert!(out.into_iter().chain(grad_a).chain(grad_b).all(|x| x == 0.5), "nothing is written");
    };
    check([2, 3, 4].into(), [5, 12, 8], "`a` has 5 elements, but needs 6 to fit `shape`");
    check([2, 3, 4].into(), [6, 11, 8], "`b` has 11 elements, but needs 12 to fit `shape`");
    check([2, 3, 4].into(), [6, 12, 9], "`out` has 9 elements, but needs 8 to fit `shape`");
    check([2, 1, 3, 1].into(), [6, 6, 1], "`out` has 1 element, but needs 2 to fit `shape`");
    let huge = usize::MAX / 2 + 1;
    check(
        [huge, 2, 1].into(),
        [0, 2, 0],
        &format!("matrices of shape [1, {huge}, 2, 1] have more elements than memory can hold"),
    );
    let (mut grad_a, mut grad_b) = ([0.5; 6], [0.5; 11]);
    let error = log_matmul_vjp(&[0.0; 6], &[0.0; 12], [2, 3, 4], &[0.0; 8], &mut grad_a, &mut grad_b);
    assert_eq!(error.unwrap_err().to_string(), "`grad_b` has 11 elements, but needs 12 to fit `shape`");
    assert_eq!((grad_a, grad_b), ([0.5; 6], [0.5; 11]));
    // Empty matrices, with one dimension huge.
    assert_eq!(product::<f64>(&[], &[], [0, 0, huge]), []);
}

/// Matrices without elements, some with lengths that exceed memory or whose product overflows.
#[test]
fn empty_matrices_of_any_lengths() {
    use logsum::{Error, LogMatmul};
    use ndarray::Array3;
    const MAX: usize = usize::MAX;
    for shape in [
        [0, 1 << 30, 0, 1 << 31],
        [0, 1 << 17, 0, 1 << 17],
        [0, 1 << 40, 1, 1 << 40],
        [0, MAX, MAX, MAX],
        [1, 0, 0, 1 << 61],
        [1, 1 << 61, 0, 0],
        [1, 0, 1 << 61, 0],
        [1, 0, 0, MAX],
        [MAX, 0, 0, MAX],
        [MAX, 0, MAX, 0],
        [MAX, MAX, 0, 0],
    ] {
        assert_eq!(log_matmul::<f64>(&[], &[], shape, &mut []), Ok(()), "{shape:?}");
        assert_eq!(log_matmul_vjp::<f64>(&[], &[], shape, &[], &mut [], &mut []), Ok(()), "{shape:?}");
    }
    let zeros = |shape: [usize; 3]| Array3::<f64>::zeros(shape);
    let (a, b) = (zeros([0, 1 << 30, 0]), zeros([0, 0, 1 << 31]));
    assert_eq!(a.log_matmul(&b).unwrap().shape(), [0, 1 << 30, 1 << 31]);
    assert_eq!(a.log_matmul(&zeros([1, 0, 1 << 31])).unwrap().shape(), [0, 1 << 30, 1 << 31]);
    assert_eq!(a.log_matmul_vjp(&b, &zeros([0, 1 << 30, 1 << 31])).unwrap(), (a, b));
    // No array can have the shape of this product.
    let product = zeros([0, 1 << 40, 1]).log_matmul(&zeros([0, 1, 1 << 40]));
    assert!(
        matches!(product, Err(Error::ShapeTooLarge { shape, .. }) if shape == [0, 1 << 40, 1 << 40]),
        "nothing is computed"
    );
}

#[test]
fn arrays() {
    use logsum::LogMatmul;
    use ndarray::{Array, Array2, Array3, Axis, IxDyn, ShapeBuilder, s};
    let mut random = ChaCha8Rng::seed_from_u64(41);
    let mut array = |shape: &[usize]| {
        let size = shape.iter().product();
        Array::from_shape_vec(IxDyn(shape), matrix::<f64>(1, size, &mut random)).unwrap()
    };
    let (a, b) = (array(&[3, 4]), array(&[4, 5]));
    let c = a.log_matmul(&b).unwrap();
    assert_eq!(c.shape(), [3, 5]);
    assert_eq!(c.as_slice().unwrap(), product(a.as_slice().unwrap(), b.as_slice().unwrap(), [3, 4, 5]));
    // Any memory layout.
    let mut fortran = Array2::zeros((3, 4).f());
    fortran.assign(&a);
    let reversed = b.slice(s![..;-1, ..]);
    assert_eq!(fortran.log_matmul(&b).unwrap(), c);
    assert_eq!(a.slice(s![.., ..;-1]).log_matmul(&reversed).unwrap(), c);
    assert_eq!(b.t().log_matmul(&a.t()).unwrap(), c.t());
    // Batches that broadcast.
    let (a, b) = (array(&[2, 1, 3, 4]), array(&[5, 4, 2]));
    let c = a.log_matmul(&b).unwrap();
    assert_eq!(c.shape(), [2, 5, 3, 2]);
    for (i, j) in (0..10).map(|place| (place / 5, place % 5)) {
        let one = a.slice(s![i, 0, .., ..]).log_matmul(&b.slice(s![j, .., ..])).unwrap();
        assert_eq!(c.slice(s![i, j, .., ..]).into_dyn(), one, "{i} {j}");
    }
    let g = array(&[5, 3, 2]);
    let many: Array3<f64> = Array3::from_shape_fn((5, 3, 4), |(_, i, k)| a[[1, 0, i, k]]);
    let (of_a, of_b) = many.log_matmul_vjp(&b, &g).unwrap();
    for j in 0..5 {
        let (one_a, one_b) = many
            .index_axis(Axis(0), j)
            .log_matmul_vjp(&b.index_axis(Axis(0), j), &g.index_axis(Axis(0), j))
            .unwrap();
        assert_eq!((of_a.index_axis(Axis(0), j), of_b.index_axis(Axis(0), j)), (one_a.view(), one_b.view()));
    }
    assert_eq!(
        array(&[2, 0]).log_matmul(&array(&[0, 3])).unwrap(),
        Array::from_elem(IxDyn(&[2, 3]), f64::NEG_INFINITY)
    );
    assert_eq!(array(&[0, 2, 2]).log_matmul(&array(&[1, 2, 3])).unwrap().shape(), [0, 2, 3]);
    // Shapes that do not fit.
    let message = |a: &[usize], b: &[usize]| {
        Array::<f64, _>::zeros(IxDyn(a)).log_matmul(&Array::zeros(IxDyn(b))).unwrap_err().to_string()
    };
    assert_eq!(message(&[2, 3], &[4, 5]), "`right` has the shape [4, 5], but needs [3, 5]");
    assert_eq!(message(&[2, 2, 3], &[4, 3, 5]), "`right` has the shape [4, 3, 5], but needs [2, 3, 5]");
    assert_eq!(message(&[3], &[3, 5]), "`self` has rank 1, but needs at least 2");
    assert_eq!(message(&[3, 5], &[]), "`right` has rank 0, but needs at least 2");
    let error = many.log_matmul_vjp(&b.slice(s![..1, .., ..]), &g).unwrap_err();
    assert_eq!(error.to_string(), "`right` has the shape [1, 4, 2], but needs [5, 4, 2]");
    let error = many.log_matmul_vjp(&b, &g.slice(s![.., .., ..1])).unwrap_err();
    assert_eq!(error.to_string(), "`cotangent` has the shape [5, 3, 1], but needs [5, 3, 2]");
}
