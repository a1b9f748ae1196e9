//! How many terms the phases after double-double sum for families of ordinary inputs, for each number: counts, which
//! no machine changes. The README and `benches` have the times.

use half::{bf16, f16};
use logsum::{
    CrossEntropy, Effort, Float, Reduction, Targets, Terms, log_softmax, logcumsumexp, logsumexp,
    logsumexp_rows, softmax,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a family may need, in terms for each of its numbers: triple-double, 256 bits, arbitrary precision.
type Most = [f64; 3];

/// A few values in a thousand are near a half-way point by chance.
const VALUE: Most = [0.06, 0.0, 0.0];

/// Of a row of many thousand elements one is, so that the row is summed again.
const EACH: Most = [1.001, 0.0, 0.0];

const EVERYDAY: [Most; 5] = [VALUE, EACH, EACH, EACH, EACH];

fn measured(numbers: usize, work: impl FnOnce()) -> [f64; 3] {
    let start = Effort::so_far();
    work();
    let Effort { triple_double, fixed_point, arbitrary } = Effort::since(start);
    [triple_double, fixed_point, arbitrary].map(|terms| terms as f64 / numbers as f64)
}

struct Family {
    name: &'static str,
    /// What log-sum-exp, softmax with log-softmax, sums with weights, scans and cross-entropy may need.
    most: [Most; 5],
    row: fn(&mut ChaCha8Rng, usize) -> Vec<f64>,
}

fn uniform(random: &mut ChaCha8Rng, n: usize, spread: f64) -> Vec<f64> {
    (0..n).map(|_| spread * random.random_range(-1.0..1.0)).collect()
}

fn normalised(random: &mut ChaCha8Rng, n: usize) -> Vec<f64> {
    let z = uniform(random, n, 3.0);
    let log = logsumexp(&z);
    z.iter().map(|z| z - log).collect()
}

/// Near 0, by a rounding error: each value needs more than double-double has.
const NEAR_0: Most = [1.06, 0.03, 0.0];

const FAMILIES: [Family; 11] = [
    Family { name: "everyday", most: EVERYDAY, row: |random, n| uniform(random, n, 3.0) },
    Family { name: "spread widely", most: EVERYDAY, row: |random, n| uniform(random, n, 1e4) },
    Family {
        name: "far from 0",
        most: EVERYDAY,
        row: |random, n| uniform(random, n, 1.0).iter().map(|z| z - 1e6).collect(),
    },
    Family { name: "normalised", most: [NEAR_0, EACH, NEAR_0, NEAR_0, EACH], row: normalised },
    Family { name: "ascending", most: EVERYDAY, row: |_, n| (0..n).map(|k| k as f64 * 0.37).collect() },
    Family { name: "descending", most: EVERYDAY, row: |_, n| (0..n).map(|k| k as f64 * -0.37).collect() },
    Family {
        name: "two numbers, else −∞",
        most: EVERYDAY,
        row: |random, n| {
            let mut row = vec![f64::NEG_INFINITY; n];
            [row[0], row[n - 1]] = [random.random_range(-1.0..1.0), random.random_range(-1.0..1.0)];
            row
        },
    },
    Family {
        name: "subnormal shares",
        most: [VALUE, EACH, EACH, EACH, EACH],
        row: |random, n| {
            (0..n).map(|k| if k == 0 { 0.0 } else { random.random_range(-740.0..-720.0) }).collect()
        },
    },
    Family {
        name: "k log ½",
        most: [NEAR_0, EACH, NEAR_0, NEAR_0, EACH],
        row: |_, n| (0..n).map(|k| (k + 1) as f64 * 0.5f64.ln()).collect(),
    },
    Family { name: "equal", most: EVERYDAY, row: |random, n| vec![random.random_range(-9.0..9.0); n] },
    Family { name: "subnormal", most: EVERYDAY, row: |random, n| uniform(random, n, 1e-310) },
];

fn check<T: Float>(format: &str, of: fn(f64) -> T) {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    for family in &FAMILIES {
        for n in [10, 1000, 20_000] {
            let rows = 40_000 / n;
            let z: Vec<T> = (0..rows).flat_map(|_| (family.row)(&mut random, n)).map(of).collect();
            let weights: Vec<T> = (0..n).map(|k| of([1.0, 0.5, 0.25][k % 3])).collect();
            let targets: Vec<usize> = (0..rows).map(|row| if row % 2 == 0 { 0 } else { n - 1 }).collect();
            let mut out = vec![T::default(); z.len()];
            let mut values = vec![T::default(); rows];
            let each = |work: &mut dyn FnMut(&[T], &mut [T])| {
                measured(z.len(), || {
                    let mut out = vec![T::default(); n];
                    z.chunks(n).for_each(|row| work(row, &mut out));
                })
            };
            let found = [
                measured(z.len(), || logsumexp_rows(&z, n, &mut values).unwrap()),
                each(&mut |row, out| {
                    softmax(row, out).unwrap();
                    log_softmax(row, out).unwrap();
                }),
                each(&mut |row, out| {
                    Terms::new(row).weights(&weights).unwrap().logsumexp_with_gradient(out).unwrap();
                }),
                each(&mut |row, out| logcumsumexp(row, out).unwrap()),
                measured(z.len(), || {
                    let loss = CrossEntropy::new(n).label_smoothing(0.1).unwrap();
                    for loss in [CrossEntropy::new(n), loss] {
                        let targets = Targets::Classes(&targets);
                        loss.loss_with_gradient(&z, targets, Reduction::Mean, &mut out).unwrap();
                    }
                }),
            ];
            let names = ["log-sum-exp", "softmax, log-softmax", "weights", "scan", "cross-entropy"];
            for ((name, found), most) in names.iter().zip(found).zip(family.most) {
                println!("{format} {n:>6} {:<20} {name:<20} {found:.4?}", family.name);
                let is_kept = found.iter().zip(most).all(|(found, most)| *found <= most);
                assert!(is_kept, "{format}, {n}, {}, {name}: {found:?}, at most {most:?}", family.name);
            }
        }
    }
}

#[test]
fn ordinary_families_need_few_terms_of_later_phases() {
    check("f64", |x| x);
    check("f32", |x| x as f32);
    check("f16", f16::from_f64);
    check("bf16", bf16::from_f64);
}
