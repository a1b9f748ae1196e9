//! What families of rows cost, in nanoseconds a number and as multiples of an everyday row of the same length, format and
//! operation: `cargo run --release --manifest-path benches/Cargo.toml --bin worst`. One thread, from the caches.
//! The test `effort` has the counts behind these times.

use logsum::{
    CrossEntropy, Float, Reduction, Targets, Terms, log_matmul, log_softmax, logcumsumexp, logsumexp,
    logsumexp_rows, softmax,
};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Numbers in (−1, 1), the same at each run.
struct Random(u64);

impl Random {
    fn number(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / 2f64.powi(52) - 1.0
    }

    fn numbers(&mut self, n: usize, spread: f64) -> Vec<f64> {
        (0..n).map(|_| spread * self.number()).collect()
    }
}

type Row = fn(&mut Random, usize) -> Vec<f64>;

const FAMILIES: [(&str, Row); 11] = [
    ("everyday: uniform in −3 … 3", |random, n| random.numbers(n, 3.0)),
    ("normalised log-probabilities", |random, n| {
        let z = random.numbers(n, 3.0);
        let log = logsumexp(&z);
        z.iter().map(|z| z - log).collect()
    }),
    ("normalised, k log ½", |_, n| (0..n).map(|k| (k + 1) as f64 * 0.5f64.ln()).collect()),
    ("spread over ±10 000", |random, n| random.numbers(n, 1e4)),
    ("about −10⁶", |random, n| random.numbers(n, 1.0).iter().map(|z| z - 1e6).collect()),
    ("0, and else −740 … −720", |random, n| {
        (0..n).map(|k| if k == 0 { 0.0 } else { -730.0 + 10.0 * random.number() }).collect()
    }),
    ("all −∞ but two", |random, n| {
        let mut row = vec![f64::NEG_INFINITY; n];
        (row[0], row[n - 1]) = (random.number(), random.number());
        row
    }),
    ("equal", |random, n| vec![random.number(); n]),
    ("ascending by 0.37", |_, n| (0..n).map(|k| 0.37 * k as f64).collect()),
    ("descending by 0.37", |_, n| (0..n).map(|k| -0.37 * k as f64).collect()),
    ("subnormal", |random, n| random.numbers(n, 1e-310)),
];

const OPERATIONS: [&str; 6] = [
    "log-sum-exp",
    "softmax",
    "log-softmax",
    "scan",
    "weights, with gradient",
    "cross-entropy, with gradient",
];

/// The least time for each number, in nanoseconds.
fn least(numbers: usize, mut work: impl FnMut()) -> f64 {
    let (start, mut least) = (Instant::now(), f64::INFINITY);
    for i in 0..1000 {
        let before = Instant::now();
        work();
        least = least.min(before.elapsed().as_secs_f64());
        if i >= 2 && start.elapsed() > Duration::from_millis(60) {
            break;
        }
    }
    least * 1e9 / numbers as f64
}

fn times<T: Float>(rows: &[f64], n: usize, of: fn(f64) -> T) -> [f64; OPERATIONS.len()] {
    let z: Vec<T> = rows.iter().map(|&z| of(z)).collect();
    let (mut out, mut values) = (vec![T::default(); z.len()], vec![T::default(); z.len() / n]);
    let weights: Vec<T> = (0..n).map(|k| of([1.0, 0.5, 0.25][k % 3])).collect();
    let targets: Vec<usize> = (0..values.len()).map(|row| row * 7 % n).collect();
    let each = |out: &mut [T], work: fn(&[T], &mut [T])| {
        least(z.len(), || z.chunks(n).zip(out.chunks_mut(n)).for_each(|(z, out)| work(z, out)))
    };
    [
        least(z.len(), || logsumexp_rows(black_box(&z), n, &mut values).expect("whole rows")),
        each(&mut out, |z, out| softmax(z, out).expect("equal lengths")),
        each(&mut out, |z, out| log_softmax(z, out).expect("equal lengths")),
        each(&mut out, |z, out| logcumsumexp(z, out).expect("equal lengths")),
        least(z.len(), || {
            for (z, out) in z.chunks(n).zip(out.chunks_mut(n)) {
                let terms = Terms::new(z).weights(&weights).expect("as many weights");
                black_box(terms.logsumexp_with_gradient(out).expect("equal lengths"));
            }
        }),
        least(z.len(), || {
            let (loss, targets) = (CrossEntropy::new(n), Targets::Classes(&targets));
            black_box(loss.loss_with_gradient(&z, targets, Reduction::Mean, &mut out).expect("whole rows"));
        }),
    ]
}

fn main() {
    let mut random = Random(88_172_645_463_325_252);
    let mut worst = [(0.0, String::new()), (0.0, String::new())];
    for n in [2, 10, 1000, 20_000] {
        println!("\nRows of {n}: multiples of the everyday row, whose line has ns a number; f32, f64\n");
        println!("| | {} |", OPERATIONS.join(" | "));
        println!("|---{}|", "|---".repeat(OPERATIONS.len()));
        let mut everyday = [[0.0; OPERATIONS.len()]; 2];
        for (i, (name, row)) in FAMILIES.iter().enumerate() {
            let rows: Vec<f64> = (0..(20_000 / n)).flat_map(|_| row(&mut random, n)).collect();
            let found = [times(&rows, n, |x| x as f32), times(&rows, n, |x| x)];
            if i == 0 {
                everyday = found;
            }
            let cells: Vec<String> = (0..OPERATIONS.len())
                .map(|j| {
                    let of_format = [0, 1].map(|format| {
                        let (time, base) = (found[format][j], everyday[format][j]);
                        if i == 0 {
                            return format!("{time:.2}");
                        }
                        let multiple = time / base;
                        if multiple > worst[format].0 {
                            worst[format] = (multiple, format!("{name}, rows of {n}, {}", OPERATIONS[j]));
                        }
                        format!("{multiple:.1}")
                    });
                    of_format.join(", ")
                })
                .collect();
            println!("| {name} | {} |", cells.join(" | "));
        }
    }
    for (format, (multiple, what)) in ["f32", "f64"].iter().zip(worst) {
        println!("\nThe worst of these in {format}: {multiple:.0} times, {what}.");
    }
    println!("\nSums that cancel to 10⁻¹⁵ of their terms, rows of 1000, with gradient, f64:");
    let pairs: Vec<f64> = random.numbers(500, 3.0).iter().flat_map(|&z| [z, z + 1e-15]).collect();
    let signs: Vec<f64> = (0..1000).map(|k| if k % 2 == 0 { -1.0 } else { 1.0 }).collect();
    let mut out = vec![0.0; 1000];
    let time = |b: &[f64], out: &mut [f64]| {
        let terms = Terms::new(&pairs).weights(b).expect("as many weights");
        least(1000, || {
            black_box(terms.logsumexp_with_gradient(out).expect("equal lengths"));
        })
    };
    let (plain, cancelling) =
        (time(&signs.iter().map(|b| b.abs()).collect::<Vec<_>>(), &mut out), time(&signs, &mut out));
    println!("{cancelling:.0} ns a number, {:.0} times", cancelling / plain);
    let n = 100;
    let a: Vec<f64> = (0..n).flat_map(|_| FAMILIES[1].1(&mut random, n)).collect();
    let mut c = vec![0.0; n * n];
    let mut product =
        |b: &[f64]| least(n * n * n, || log_matmul(&a, b, [n, n, n], &mut c).expect("its shapes"));
    let (near_0, other) = (product(&vec![0.0; n * n]), product(&random.numbers(n * n, 3.0)));
    println!(
        "Products of 100 × 100 with each entry near 0: {near_0:.1} ns a term, {:.0} times",
        near_0 / other
    );
    println!("\nRows built to be hard, f64, µs each:");
    for row in [
        vec![1e-20f64.ln(), -1e-20],
        vec![5e-324, -1e-310, 1e-300],
        vec![9007199254740992.0, 9007199254740991.0],
    ] {
        let micro = least(1, || {
            black_box(logsumexp(black_box(&row)));
        }) / 1e3;
        println!("{row:?}: {micro:.2}");
    }
}
