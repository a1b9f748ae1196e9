//! Sums in pieces beside the plain reduction of the same slice, many of them at once beside sums of f64, and merges:
//! `cargo run --release --manifest-path benches/Cargo.toml --bin pieces`. Times are per number or per state, the least
//! of many runs, on one thread.

use logsum::{Accumulator, Float, logsumexp};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// The least time in nanoseconds, divided by `count`.
fn least(count: usize, mut work: impl FnMut()) -> f64 {
    let (start, mut least) = (Instant::now(), Duration::MAX);
    while start.elapsed() < Duration::from_secs(1) {
        let before = Instant::now();
        work();
        least = least.min(before.elapsed());
    }
    least.as_secs_f64() * 1e9 / count as f64
}

/// Number i of a sequence from 0 to 1 that jumps about.
fn share(i: usize) -> f64 {
    (i as f64 * 0.618_033_988_749_895).fract()
}

fn slices<T: Float>(format: &str, of: impl Fn(f64) -> T) {
    const NUMBERS: usize = 1 << 20;
    for (middle, reach) in [(0.0, 4.0), (0.0, 50.0), (-5000.0, 1000.0)] {
        for length in [1000, NUMBERS] {
            let z: Vec<T> = (0..length).map(|i| of(middle + reach * (2.0 * share(i) - 1.0))).collect();
            let times = NUMBERS / length;
            let plain = least(times * length, || {
                for _ in 0..times {
                    black_box(logsumexp(black_box(&z)));
                }
            });
            let pieces = least(times * length, || {
                for _ in 0..times {
                    let mut sum = Accumulator::new();
                    sum.update(black_box(&z));
                    black_box(sum);
                }
            });
            let ratio = pieces / plain;
            println!("| {format} | {length} | {middle} ± {reach} | {plain:.2} | {pieces:.2} | {ratio:.2} |");
        }
    }
}

fn groups(count: usize) {
    const ROWS: usize = 1 << 22;
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let groups: Vec<usize> = (0..ROWS).map(|_| random() % count).collect();
    let z: Vec<f64> = (0..ROWS).map(|i| 20.0 * share(i) - 10.0).collect();
    let weights: Vec<f64> = (0..ROWS).map(|i| 2.0 * share(7 * i) - 1.0).collect();
    let mut sums = vec![0.0; count];
    let plain = least(ROWS, || groups.iter().zip(&z).for_each(|(&group, z)| sums[group] += z));
    black_box(sums);
    let mut states = vec![Accumulator::new(); count];
    let mut update = |weights| {
        least(ROWS, || {
            Accumulator::update_groups(&mut states, &groups, &z, weights).expect("groups in range")
        })
    };
    let (pieces, weighted) = (update(None), update(Some(&weights[..])));
    let others: Vec<Accumulator<f64>> = z[..1000]
        .iter()
        .map(|&z| {
            let mut sum = Accumulator::new();
            sum.update(&[z, 1.0, 3.0]);
            sum
        })
        .collect();
    let merges = least(ROWS, || {
        for (i, &group) in groups.iter().enumerate() {
            states[group].merge(&others[i % others.len()]);
        }
    });
    let values = least(count, || {
        for state in &states {
            black_box(state.value());
        }
    });
    println!("| {count} | {plain:.1} | {pieces:.1} | {weighted:.1} | {merges:.1} | {values:.1} |");
}

fn main() {
    println!(
        "| format | length | numbers | logsumexp, ns | Accumulator, ns | ratio |\n|---|---|---|---|---|---|"
    );
    slices("f64", |x| x);
    slices("f32", |x| x as f32);
    println!(
        "\n| groups | sum of f64, ns | update_groups | with weights | merge | value |\n|---|---|---|---|---|---|"
    );
    for count in [1, 1000, 1_000_000] {
        groups(count);
    }
}
