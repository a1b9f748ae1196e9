//! The kernels at every level, in the first-level cache, the second, and from memory, with a plain read and a plain
//! copy of the same numbers beside them: `cargo bench` in this folder. Figures are per number.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use logsum::{Float, Level, log_softmax, logsumexp, logsumexp_with_gradient, softmax};
use std::hint::black_box;

fn row<T: Float>(of: impl Fn(f64) -> T, length: usize) -> Vec<T> {
    (0..length).map(|i| of((i as f64 * 0.618).fract() * 8.0 - 4.0)).collect()
}

fn kernels<T: Float>(
    criterion: &mut Criterion,
    format: &str,
    of: impl Fn(f64) -> T,
    add: impl Fn(T, T) -> T,
) {
    for length in [10, 1000, 100_000, 16 << 20] {
        let z = row(&of, length);
        let mut out = z.clone();
        let mut group = criterion.benchmark_group(format!("{format}/{length}"));
        group.throughput(Throughput::Elements(length as u64));
        group.sample_size(if length > 1 << 20 { 10 } else { 50 });
        group.bench_function("read", |bencher| {
            bencher.iter(|| {
                let mut sums = [of(0.0); 128];
                for numbers in black_box(&z).chunks(128) {
                    sums.iter_mut().zip(numbers).for_each(|(sum, &z)| *sum = add(*sum, z));
                }
                sums
            });
        });
        group.bench_function("copy", |bencher| bencher.iter(|| out.copy_from_slice(black_box(&z))));
        for level in Level::ALL.into_iter().filter(|&level| Level::force(Some(level))) {
            let id = |name| BenchmarkId::new(name, format!("{level:?}"));
            group.bench_function(id("logsumexp"), |bencher| bencher.iter(|| logsumexp(black_box(&z))));
            group.bench_function(id("with gradient"), |bencher| {
                bencher.iter(|| logsumexp_with_gradient(black_box(&z), &mut out));
            });
            group.bench_function(id("softmax"), |bencher| bencher.iter(|| softmax(black_box(&z), &mut out)));
            group.bench_function(id("log_softmax"), |bencher| {
                bencher.iter(|| log_softmax(black_box(&z), &mut out));
            });
        }
        group.finish();
    }
    Level::force(None);
}

fn all(criterion: &mut Criterion) {
    kernels(criterion, "f32", |x| x as f32, |a, b| a + b);
    kernels(criterion, "f64", |x| x, |a, b| a + b);
}

criterion_group!(benches, all);
criterion_main!(benches);
