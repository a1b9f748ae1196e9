//! Random and adversarial rows against the run-time oracle: values, gradients and log-softmax to the bit.
//!
//! Every row is compared with the oracle at the first level, and must have the same bits at the other levels of
//! the machine. There are more than 100 000 rows, multiplied by the environment variable LOGSUM_ATTACK_SCALE
//! (0.05 on emulated CPUs). To print the statistics: `cargo test --test attack -- --nocapture`.

mod common;
#[path = "common/each_level.rs"]
mod each_level;

use common::{Big, Format, big, nearest, nearest_elements, oracle};
use each_level::each_level;
use logsum::{Phase, log_softmax, logsumexp_and_phase, logsumexp_with_gradient, softmax};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Mutex;

type Random = ChaCha8Rng;

/// A family of rows, and the number of them per format.
struct Regime<T> {
    name: &'static str,
    rows: usize,
    row: fn(&mut Random) -> Vec<T>,
}

fn length(random: &mut Random) -> usize {
    match random.random_range(0..2000) {
        0 => random.random_range(1000..5000),
        1..40 => random.random_range(12..200),
        _ => random.random_range(1..12),
    }
}

fn uniform(random: &mut Random, spread: f64) -> f64 {
    spread * (random.random::<f64>() - 0.5)
}

fn fill<T: Format>(random: &mut Random, mut z: impl FnMut(&mut Random) -> f64) -> Vec<T> {
    (0..length(random)).map(|_| T::of(z(random))).collect()
}

fn wide<T: Format>(random: &mut Random) -> Vec<T> {
    let spread = [20.0, 100.0, 300.0, 1500.0, 1e5][random.random_range(0..5)];
    let size = [0.0, 10.0, 1e3][random.random_range(0..3)];
    let offset = uniform(random, size);
    fill(random, |random| offset + uniform(random, spread))
}

fn narrow<T: Format>(random: &mut Random) -> Vec<T> {
    let spread = 2f64.powi(-random.random_range(0..60));
    let size = [0.0, 1.0, 50.0][random.random_range(0..3)];
    let offset = uniform(random, size);
    fill(random, |random| offset + uniform(random, spread))
}

/// Log-probabilities normalised in their own format: the value is a rounding error near 0.
fn normalised<T: Format>(random: &mut Random) -> Vec<T> {
    let spread = [1.0, 10.0, 60.0][random.random_range(0..3)];
    let z: Vec<T> = fill(random, |random| uniform(random, spread));
    let mut out = z.clone();
    log_softmax(&z, &mut out).unwrap();
    out
}

/// One score far above the others, often near 0, so that the value is tiny, or the maximum itself.
fn certain<T: Format>(random: &mut Random) -> Vec<T> {
    let top = if random.random() { 0.0 } else { uniform(random, 1e-3) };
    let gap = [5.0, 40.0, 100.0, 740.0, 900.0, 1e9][random.random_range(0..6)];
    let mut z: Vec<T> = fill(random, |random| top - gap * (0.5 + 0.5 * random.random::<f64>()));
    z.push(T::of(top));
    z
}

fn ties<T: Format>(random: &mut Random) -> Vec<T> {
    let different: Vec<T> = (0..random.random_range(1..4)).map(|_| T::of(uniform(random, 30.0))).collect();
    (0..length(random)).map(|_| different[random.random_range(0..different.len())]).collect()
}

/// The smallest positive number.
fn least<T: Format>() -> f64 {
    let half = (T::LEAST_EXPONENT / 2) as i32;
    2f64.powi(half) * 2f64.powi(T::LEAST_EXPONENT as i32 - half)
}

fn subnormal<T: Format>(random: &mut Random) -> Vec<T> {
    let least = least::<T>();
    let deep = [-88.0, -104.0, -709.0, -745.0][random.random_range(0..4)];
    fill(random, |random| match random.random_range(0..3) {
        0 => least * f64::from(random.random_range(-1000..1000)),
        1 => least * uniform(random, 1e6).round(),
        _ => deep + uniform(random, 8.0),
    })
}

/// Magnitudes at which, or just below which, the spacing of floats exceeds log n.
fn enormous<T: Format>(random: &mut Random) -> Vec<T> {
    let sizes = [1e8, 1e15, 9e15, 1e30, 3.4e38, 1e300, 1.79e308];
    let usable = if T::PRECISION == 24 { 5 } else { 7 };
    let size = if random.random() {
        sizes[random.random_range(0..usable)]
    } else {
        2f64.powi(random.random_range(10..60))
    };
    let start = T::of(if random.random() { size } else { -size });
    (0..length(random))
        .map(|_| (0..random.random_range(0..4)).fold(start, |z, _| z.neighbour(start.into() < 0.0)))
        .collect()
}

fn with_absent<T: Format>(random: &mut Random) -> Vec<T> {
    let mut z: Vec<T> = fill(random, |random| match random.random_range(0..3) {
        0 => f64::NEG_INFINITY,
        _ => uniform(random, 20.0),
    });
    z.push(T::of(uniform(random, 5.0)));
    z
}

/// Values near a power of two, where the spacing of floats changes.
fn near_powers<T: Format>(random: &mut Random) -> Vec<T> {
    let target = 2f64.powi(random.random_range(-8..8)) * [1.0, -1.0][random.random_range(0..2)];
    let n = random.random_range(1..12_usize);
    let weights: Vec<f64> = (0..n).map(|_| random.random::<f64>() + 1e-3).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| T::of(target + (weight / sum).ln())).collect()
}

/// The midpoint of a number and the next larger one.
fn above_half_way<T: Format>(low: T, bits: usize) -> Big {
    (big(low.into(), bits) + big(low.neighbour(true).into(), bits)) / big(2.0, bits)
}

/// Appends numbers to `row` until its log-sum-exp is within 2^-closeness of the target, on either side.
fn approach<T: Format>(
    random: &mut Random,
    target: Big,
    mut row: Vec<T>,
    closeness: isize,
    bits: usize,
) -> Vec<T> {
    let whole: Big = target.exp();
    let mut rest = row.iter().fold(whole.clone(), |rest, &z| rest - big(z.into(), bits).exp());
    loop {
        let mut z = T::of(rest.ln().to_f64().value());
        while big(z.into(), bits).exp() >= rest {
            z = z.neighbour(false);
        }
        // Reduce the first number, so that not every row is a float plus a tiny tail.
        if row.is_empty() {
            z = T::of(z.into() - random.random::<f64>() - 0.01);
        }
        rest -= big(z.into(), bits).exp();
        row.push(z);
        if common::exponent(&rest) < common::exponent(&whole) - closeness {
            // The sum is below the target's exponential; raising the last number by one step puts it above.
            if random.random() {
                *row.last_mut().expect("not empty") = z.neighbour(true);
            }
            return row;
        }
    }
}

/// Log-sum-exps whose distance from the midpoint of two floats is 2^-20 to 2^-220 of the spacing.
fn half_way<T: Format>(random: &mut Random) -> Vec<T> {
    const BITS: usize = 700;
    let size = [1.0, 0.01, 30.0, 1000.0][random.random_range(0..4)];
    let target = above_half_way(T::of(uniform(random, size)), BITS);
    let closeness = T::PRECISION + random.random_range(20..220_i64) as isize;
    approach(random, target, Vec::new(), closeness, BITS)
}

/// Log-sum-exps near midpoints at powers of two down to 2^-250, where the spacing changes and the value cancels.
fn half_way_at_powers<T: Format>(random: &mut Random) -> Vec<T> {
    const BITS: usize = 1500;
    let exponent = random.random_range(-9..if T::PRECISION == 24 { 120 } else { 250 });
    let sign = [1.0, -1.0][random.random_range(0..2)];
    let power = T::of(sign * 2f64.powi(-exponent));
    let low = if random.random() { power.neighbour(false) } else { power };
    let closeness = T::PRECISION + exponent.max(0) as isize + random.random_range(20..500_i64) as isize;
    let start = if exponent > 2 { vec![T::of(-0.3 - random.random::<f64>())] } else { Vec::new() };
    approach(random, above_half_way(low, BITS), start, closeness, BITS)
}

/// Log-sum-exps near midpoints of subnormal floats.
fn half_way_subnormal<T: Format>(random: &mut Random) -> Vec<T> {
    const BITS: usize = 3500;
    let most = if random.random() { 5 } else { 4_000_000 };
    let multiple = random.random_range(0..most);
    let low = T::of(least::<T>() * f64::from(multiple));
    let closeness = -T::LEAST_EXPONENT + random.random_range(5..220_i64) as isize;
    let start = if random.random() { low } else { T::of(-0.3 - random.random::<f64>()) };
    approach(random, above_half_way(low, BITS), vec![start], closeness, BITS)
}

/// A maximum just below 0 and other numbers that compensate for it: values near ±0.
fn about_zero<T: Format>(random: &mut Random) -> Vec<T> {
    let (deficit, others) = (random.random_range(1..4), random.random_range(1..4));
    let each =
        T::LEAST_EXPONENT as f64 * std::f64::consts::LN_2 + (f64::from(deficit) / f64::from(others)).ln();
    let each = (0..random.random_range(0..3)).fold(T::of(each), |z, _| z.neighbour(random.random()));
    let mut row = vec![each; others as usize];
    row.push(T::of(-f64::from(deficit) * least::<T>()));
    row
}

/// Differences near the largest float, where log-softmax becomes −∞.
fn brink<T: Format>(random: &mut Random) -> Vec<T> {
    let largest = if T::PRECISION == 24 { f64::from(f32::MAX) } else { f64::MAX };
    let part = [0.25, 0.5, 0.75, 1.0, random.random::<f64>()][random.random_range(0..5)];
    let high = T::of(largest * part);
    let low = T::of(-(largest - high.into()));
    let low = (0..random.random_range(0..3)).fold(low, |z, _| z.neighbour(random.random()));
    let mut row = vec![low, T::of(uniform(random, 1.0)), high, T::of(high.into() * 0.5)];
    if random.random() {
        row.push(high);
    }
    row
}

/// Finite numbers with random bits.
fn any_bits<T: Format>(random: &mut Random) -> Vec<T> {
    let finite = |random: &mut Random| loop {
        let z = if T::PRECISION == 24 {
            f32::from_bits(random.random()).into()
        } else {
            f64::from_bits(random.random())
        };
        if z.is_finite() {
            return z;
        }
    };
    fill(random, finite)
}

/// Several blocks of rising or falling numbers, some of them −∞.
fn slopes<T: Format>(random: &mut Random) -> Vec<T> {
    let slope = [0.0, 0.01, 0.06, 0.2, 1.0, 3.0, -0.01, -0.06, -1.0][random.random_range(0..9)];
    let spread = [0.1, 3.0, 30.0][random.random_range(0..3)];
    let gaps = random.random_range(0..4) == 0;
    let mut row: Vec<T> = (0..random.random_range(1000..4200))
        .map(|i| match gaps && (i / 1024) % 2 == 0 {
            true => T::of(f64::NEG_INFINITY),
            false => T::of(slope * f64::from(i) + uniform(random, spread)),
        })
        .collect();
    row.push(T::of(0.0));
    row
}

fn regimes<T: Format>() -> [Regime<T>; 16] {
    [
        Regime { name: "wide", rows: 8_000, row: wide },
        Regime { name: "narrow", rows: 8_000, row: narrow },
        Regime { name: "normalised", rows: 9_000, row: normalised },
        Regime { name: "certain", rows: 6_000, row: certain },
        Regime { name: "ties", rows: 4_000, row: ties },
        Regime { name: "subnormal", rows: 3_000, row: subnormal },
        Regime { name: "enormous", rows: 5_000, row: enormous },
        Regime { name: "some −∞", rows: 3_000, row: with_absent },
        Regime { name: "near powers of 2", rows: 3_000, row: near_powers },
        Regime { name: "half-way", rows: 1_000, row: half_way },
        Regime { name: "… at powers of 2", rows: 100, row: half_way_at_powers },
        Regime { name: "… subnormal", rows: 30, row: half_way_subnormal },
        Regime { name: "about ±0", rows: 300, row: about_zero },
        Regime { name: "at the brink", rows: 2_000, row: brink },
        Regime { name: "any bits", rows: 2_000, row: any_bits },
        Regime { name: "slopes", rows: 60, row: slopes },
    ]
}

#[derive(Default)]
struct Tally {
    rows: usize,
    numbers: usize,
    rungs: BTreeMap<Phase, usize>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.numbers += other.numbers;
        other.rungs.into_iter().for_each(|(rung, count)| *self.rungs.entry(rung).or_default() += count);
    }
}

/// The value, the gradient and the log-softmax.
type Results<T> = (T, Vec<T>, Vec<T>);

fn results<T: Format>(z: &[T]) -> Results<T> {
    let (mut gradient, mut log_p) = (vec![T::of(f64::NAN); z.len()], vec![T::of(f64::NAN); z.len()]);
    let value = logsumexp_with_gradient(z, &mut gradient).unwrap();
    log_softmax(z, &mut log_p).unwrap();
    (value, gradient, log_p)
}

fn check<T: Format>(z: &[T], tally: &mut Tally) -> Results<T> {
    let row = || z.iter().take(300).map(|&z| format!("{:#x}", z.bits())).collect::<Vec<_>>().join(" ");
    let (expected, exact) = oracle(z);
    let (value, rung) = logsumexp_and_phase(z);
    assert_eq!(value.bits(), expected.bits(), "{value:?}, not {expected:?}, by {rung:?}, of {}", row());
    let (with_gradient, gradient, log_p) = results(z);
    assert_eq!(with_gradient.bits(), value.bits());
    assert!(gradient.iter().all(|&p| p.into() >= 0.0), "a gradient is negative: {}", row());
    let mut p = vec![T::of(f64::NAN); z.len()];
    softmax(z, &mut p).unwrap();
    assert!(p == gradient);
    let [nearest, nearest_log] = nearest_elements(z, exact);
    for (name, found, nearest) in [("softmax", &gradient, nearest), ("log-softmax", &log_p, nearest_log)] {
        if let Some(i) = (0..z.len()).find(|&i| found[i] != nearest[i]) {
            panic!("{name} {i}, of {}, is {}, not {}, of {}", z[i], found[i], nearest[i], row());
        }
    }
    tally.rows += 1;
    tally.numbers += z.len();
    *tally.rungs.entry(rung).or_default() += 1;
    (value, gradient, log_p)
}

/// The part of the rows to try, for emulated machines.
fn scale() -> f64 {
    std::env::var("LOGSUM_ATTACK_SCALE").map_or(1.0, |scale| scale.parse().expect("a number"))
}

fn attack<T: Format>(name: &str) {
    let scale = scale();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut all = Tally::default();
    println!("{name:<18}{:>8}  phases of the values", "rows");
    for (number, regime) in regimes::<T>().into_iter().enumerate() {
        let mut levels = each_level();
        levels.next().expect("each machine has a level");
        let count = (regime.rows as f64 * scale).ceil() as usize;
        let (tally, rows) = (Mutex::new(Tally::default()), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let (tally, rows, regime) = (&tally, &rows, &regime);
                scope.spawn(move || {
                    let (mut mine, mut my_rows) = (Tally::default(), Vec::new());
                    for index in (0..count).skip(thread).step_by(threads) {
                        // One seed per row, so that the rows do not depend on the number of threads.
                        let mut random = Random::seed_from_u64((number as u64) << 40 | index as u64);
                        random.set_stream(T::PRECISION as u64);
                        let row = (regime.row)(&mut random);
                        let results = check(&row, &mut mine);
                        my_rows.push((row, results));
                    }
                    rows.lock().expect("no thread panicked").extend(my_rows);
                    tally.lock().expect("no thread panicked").add(mine);
                });
            }
        });
        let rows = rows.into_inner().expect("no thread panicked");
        for level in levels {
            for (row, expected) in &rows {
                assert!(results(row) == *expected, "{level:?} differs: {row:?}");
            }
        }
        let tally = tally.into_inner().expect("no thread panicked");
        println!("{:<18}{:>8}  {:?}", regime.name, tally.rows, tally.rungs);
        all.add(tally);
    }
    println!("together {} rows of {} numbers, {:?}\n", all.rows, all.numbers, all.rungs);
    let least = |rows: f64| (rows * scale.min(1.0)) as usize;
    assert!(all.rows >= least(50_000.0));
    let hardest = all.rungs.get(&Phase::FixedPoint).copied().unwrap_or(0)
        + all.rungs.get(&Phase::Arbitrary).copied().unwrap_or(0);
    assert!(hardest >= least(500.0), "the rows are too easy: {:?}", all.rungs);
}

#[test]
fn f64_rows() {
    attack::<f64>("f64");
}

#[test]
fn f32_rows() {
    attack::<f32>("f32");
}

/// Rows of several pieces of 65 536 numbers whose levels differ, so that the shift jumps where pieces are merged.
#[test]
fn shifts_jump_between_pieces() {
    const PIECE: usize = 65_536;
    if scale() < 1.0 {
        eprintln!("skipped: long rows, as LOGSUM_ATTACK_SCALE is below 1");
        return;
    }
    let mut random = Random::seed_from_u64(77);
    for levels in [[0.0, 300.0, 0.0], [900.0, -900.0, 0.0], [0.0, 63.0, 130.0], [-40.0, -700.0, 30.0]] {
        let z: Vec<f64> = (0..2 * PIECE + 4000)
            .map(|i| {
                levels[i / PIECE] + random.random_range(-3.0..3.0) + if i % 9001 == 5 { 66.0 } else { 0.0 }
            })
            .collect();
        let backwards: Vec<f64> = z.iter().rev().copied().collect();
        let single: Vec<f32> = z.iter().map(|&z| z as f32).collect();
        assert_eq!(logsumexp_and_phase(&single).0.bits(), oracle(&single).0.bits(), "{levels:?}");
        let expected = oracle(&z).0.bits();
        for z in [&z, &backwards] {
            assert_eq!(logsumexp_and_phase(z).0.bits(), expected, "{levels:?}");
            let mut gradient = vec![f64::NAN; z.len()];
            logsumexp_with_gradient(z, &mut gradient).unwrap();
            assert!((gradient.iter().sum::<f64>() - 1.0).abs() < 1e-11, "{levels:?}");
        }
    }
}

/// Rows of two blocks whose terms beside the maximum are subnormal: in the least bits of t, of the value, and of
/// a tiny maximum.
#[test]
fn subnormal_terms_in_other_blocks() {
    let mut tally = Tally::default();
    for (z, max) in
        [(-740.0, 0.0), (-747.0, 0.0), (-740.0, 2f64.powi(-1016)), (-745.2, -5e-324), (-708.0, 1e-310)]
    {
        let mut row = vec![z; 1024];
        row.push(max);
        check(&row, &mut tally);
        row.reverse();
        check(&row, &mut tally);
        row[700] = max;
        check(&row, &mut tally);
    }
    // Values so near to 0 that their sign is not certain in double-double.
    for (units, z) in [
        (8_440_907_983_208_980, -707.7682056427002),
        (8_434_760_117_027_508, -707.7689342498779),
        (8_417_242_382_396_775, -707.7710132598877),
    ] {
        let least = f64::from_bits(units);
        check(&[-least, z], &mut tally);
        let exact = common::big(least, 3000) + (common::big(1.0, 3000) - common::big(z, 3000).exp()).ln();
        assert_eq!(logsum::logsubexp(least, z).to_bits(), signed_zero(&exact).to_bits(), "{least:e}, {z}");
    }
}

/// The zero with the sign of a value that rounds to 0.
fn signed_zero(x: &Big) -> f64 {
    if *x < common::big(0.0, 60) { -0.0 } else { 0.0 }
}

/// Rows that are known to be wrong in other implementations.
#[test]
fn known_hard_rows() {
    let mut tally = Tally::default();
    for row in [
        &[0.0, -40.0][..],
        &[-std::f64::consts::LN_2; 2],
        &[0.3f64.ln(), 0.7f64.ln()],
        &[1e-20f64.ln(), -1e-20],
        &[0.0, -100.0],
        &[0.0, -170.0],
        &[0.0, -700.0],
        &[0.0, -740.0],
        &[0.0, -745.13],
        &[0.0, -746.0],
        &[0.0, -1000.0],
        &[0.0, -1e9],
        &[-1e-320, -800.0],
        &[5e-324, -740.0],
        &[1e300, 1e300],
        &[f64::MAX, f64::MAX],
        &[f64::MIN, f64::MIN],
        &[5e-324, -5e-324, 1e-310],
    ] {
        check(row, &mut tally);
        check(
            &row.iter().map(|&z| z as f32).map(|z| z.clamp(f32::MIN, f32::MAX)).collect::<Vec<_>>(),
            &mut tally,
        );
    }
    println!("{:?}", tally.rungs);
}

/// Shows that the oracle does not accept every result.
#[test]
fn an_error_of_one_ulp_is_seen() {
    let mut random = Random::seed_from_u64(1);
    for _ in 0..200 {
        let z: Vec<f64> = narrow(&mut random);
        let (value, exact) = oracle(&z);
        assert_eq!(value, logsumexp_and_phase(&z).0);
        assert_ne!(value.next_up(), logsumexp_and_phase(&z).0);
        let mut p = vec![0.0; z.len()];
        softmax(&z, &mut p).unwrap();
        p.iter_mut().for_each(|p| *p = p.next_up().next_up());
        assert!(exact.softmax::<f64>().expect("192 bits settle it") != p);
    }
    assert_eq!(nearest::<f32>(&big(1.0 + 2f64.powi(-24), 100)), 1.0);
}
