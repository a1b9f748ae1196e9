//! Log-probabilities of tokens whose scores are in shards: the same bits for every cut and every order of merges, and
//! those of the whole row where that is proved.

mod common;
#[path = "common/each_level.rs"]
mod each_level;
#[path = "common/rows.rs"]
mod rows;

use common::Format;
use each_level::each_level;
use half::{bf16, f16};
use logsum::{Error, ShardedLogProb, token_log_probs, token_log_probs_with_gradient};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rows::row;
use std::ops::Range;

const INF: f64 = f64::INFINITY;

fn local(shard: &Range<usize>, token: usize) -> [Option<usize>; 1] {
    [shard.contains(&token).then(|| token - shard.start)]
}

/// The state of one row that is cut into these shards, which are merged in this order.
fn of<T: Format>(z: &[T], token: usize, shards: &[Range<usize>]) -> ShardedLogProb<T> {
    let mut merged = ShardedLogProb::new();
    for shard in shards {
        let state =
            ShardedLogProb::of_rows(&z[shard.clone()], &local(shard, token)).expect("a token of the row")[0];
        let read = ShardedLogProb::from_bytes(&state.to_bytes()).expect("a state");
        assert!(read == state, "{z:?} {shard:?}");
        merged.merge(&read);
    }
    merged
}

fn gradient<T: Format>(state: ShardedLogProb<T>, z: &[T], token: usize, shards: &[Range<usize>]) -> Vec<T> {
    let mut gradient = vec![T::of(5.0); z.len()];
    for shard in shards {
        let out = &mut gradient[shard.clone()];
        ShardedLogProb::gradients(&[state], &z[shard.clone()], &local(shard, token), out).expect("one row");
    }
    gradient
}

/// Up to eight shards of a row, some without scores, in some order.
fn cut(random: &mut ChaCha8Rng, length: usize) -> Vec<Range<usize>> {
    let mut ends: Vec<usize> =
        (0..random.random_range(0..8)).map(|_| random.random_range(0..=length)).collect();
    ends.extend([0, length]);
    ends.sort_unstable();
    let mut shards: Vec<_> = ends.windows(2).map(|ends| ends[0]..ends[1]).collect();
    shards.shuffle(random);
    shards
}

/// Infinite scores of both signs and NaN, in some rows.
fn disturbed<T: Format>(random: &mut ChaCha8Rng, mut z: Vec<T>) -> Vec<T> {
    if random.random_range(0..4) == 0 {
        for _ in 0..random.random_range(1..4) {
            let place = random.random_range(0..z.len());
            z[place] = T::of([INF, INF, -INF, f64::NAN][random.random_range(0..4)]);
        }
    }
    z
}

struct Counts {
    rows: usize,
    unproved: usize,
    elements: usize,
    unequal: usize,
}

/// Asserts that states do not depend on the cut; proved values and all but few derivatives are those of the whole row.
fn shards_are_the_row<T: Format>(seed: u64) -> (Vec<u8>, Counts) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut bytes, mut counts) = (Vec::new(), Counts { rows: 0, unproved: 0, elements: 0, unequal: 0 });
    for _ in 0..1200 {
        let z: Vec<T> = row(&mut random, 5000);
        if z.is_empty() {
            continue;
        }
        let z = disturbed(&mut random, z);
        let token = match random.random_range(0..3) {
            0 => random.random_range(0..z.len()),
            _ => (0..z.len()).fold(0, |best, k| if z[k] > z[best] { k } else { best }),
        };
        let whole = of(&z, token, std::slice::from_ref(&(0..z.len())));
        let shards = cut(&mut random, z.len());
        let sharded = of(&z, token, &shards);
        assert_eq!(whole.to_bytes(), sharded.to_bytes(), "{z:?} {token} {shards:?}");

        let (mut log_prob, mut slopes) = ([T::of(5.0)], vec![T::of(5.0); z.len()]);
        token_log_probs_with_gradient(&z, &[token], &mut log_prob, &mut slopes).expect("one row");
        let same = |a: T, b: T| a.same_bits(b) || (a.into().is_nan() && b.into().is_nan());
        let greatest = z.iter().map(|&z| z.into().abs()).filter(|z| *z < 2_f64.powi(63)).fold(0.0, f64::max);
        let of_far = if greatest < 2_f64.powi(47) { 0.0 } else { greatest * 2_f64.powi(-64) };
        let found = sharded.log_prob().expect("one shard has it");
        let close = (found.into() - log_prob[0].into()).abs()
            <= 2_f64.powi(1 - T::PRECISION as i32) * log_prob[0].into().abs() + of_far;
        assert!(
            same(found, log_prob[0]) || (close && !sharded.is_proved_nearest()),
            "{z:?} {token}: {found}"
        );
        counts.unproved += usize::from(!sharded.is_proved_nearest());

        let found = gradient(sharded, &z, token, &shards);
        let in_one = gradient(sharded, &z, token, std::slice::from_ref(&(0..z.len())));
        assert!(found.iter().zip(&in_one).all(|(&a, &b)| same(a, b)), "{z:?} {token} {shards:?}");
        for (k, (&a, &b)) in found.iter().zip(&slopes).enumerate() {
            let (narrow, exact): (f64, f64) = (a.into(), b.into());
            let is_equal = narrow == exact || (narrow.is_nan() && exact.is_nan());
            let ulp =
                2_f64.powi(1 - T::PRECISION as i32) * exact.abs() + 2_f64.powi(T::LEAST_EXPONENT as i32);
            let is_next = (narrow - exact).abs() <= ulp + of_far * exact.abs();
            assert!(is_equal || is_next, "{z:?} {token}: {k} is {narrow:e}, not {exact:e}");
            counts.unequal += usize::from(!is_equal && of_far == 0.0);
        }
        counts.rows += 1;
        counts.elements += z.len();
        bytes.extend(sharded.to_bytes());
        bytes.extend(found.iter().flat_map(|&slope| slope.into().to_le_bytes()));
    }
    (bytes, counts)
}

#[test]
fn shards_are_the_row_at_every_level_and_in_every_format() {
    let mut of_levels = Vec::new();
    for _ in each_level() {
        let formats = [
            shards_are_the_row::<f64>(81),
            shards_are_the_row::<f32>(82),
            shards_are_the_row::<f16>(83),
            shards_are_the_row::<bf16>(84),
        ];
        for (_, counts) in &formats {
            let Counts { rows, unproved, elements, unequal } = counts;
            // Many of these rows are of scores far apart, where all but one term is below the error of the sum.
            assert!(*rows > 1000 && unproved * 8 < *rows, "{unproved} of {rows} are not proved");
            assert!(unequal * 100_000 < *elements, "{unequal} of {elements} derivatives are others");
        }
        of_levels.push(formats.map(|(bytes, _)| bytes).concat());
    }
    assert!(of_levels.iter().all(|bytes| *bytes == of_levels[0]), "levels differ");
}

/// Ordinary rows are proved, and derivatives are those of the whole row: with a certain token, and with an unlikely one.
#[test]
fn ordinary_rows_are_proved() {
    let mut random = ChaCha8Rng::seed_from_u64(85);
    for case in 0..2000 {
        let length = random.random_range(2..2000);
        let mut z: Vec<f32> = (0..length).map(|_| random.random_range(-8.0..8.0)).collect();
        z[0] += [0.0, 20.0, -30.0, 60.0][case % 4];
        let shards = cut(&mut random, length);
        let state = of(&z, 0, &shards);
        let (mut log_prob, mut slopes) = ([0.0], vec![0.0; length]);
        token_log_probs_with_gradient(&z, &[0], &mut log_prob, &mut slopes).expect("one row");
        assert!(state.is_proved_nearest(), "{z:?}");
        assert_eq!(state.log_prob(), Some(log_prob[0]));
        assert!(gradient(state, &z, 0, &shards) == slopes, "{z:?}");
    }
}

#[test]
fn edges() {
    let nan = f64::NAN;
    let cases: &[(&[f64], usize)] = &[
        (&[3.0], 0),
        (&[-INF], 0),
        (&[INF], 0),
        (&[nan], 0),
        (&[0.0, -INF], 0),
        (&[0.0, -INF], 1),
        (&[-INF, -INF], 0),
        (&[INF, 1.0], 0),
        (&[INF, 1.0], 1),
        (&[INF, INF, 0.0, INF], 1),
        (&[INF, INF, 0.0, INF], 2),
        (&[INF, nan], 0),
        (&[nan, INF], 1),
        (&[-INF, INF, -INF], 0),
        (&[1e300, -1e300], 0),
        (&[f64::MAX, -f64::MAX], 0),
        (&[1e300, 1e300, 1e300], 2),
        (&[0.0, -800.0], 0),
        (&[0.0, -740.0], 0),
        (&[0.0, -700.0], 0),
        (&[0.0, -0.0], 0),
    ];
    for _ in each_level() {
        for &(z, token) in cases {
            let (mut log_prob, mut slopes) = ([5.0], vec![5.0; z.len()]);
            token_log_probs_with_gradient(z, &[token], &mut log_prob, &mut slopes).expect("one row");
            let singles: Vec<_> = (0..z.len()).map(|k| k..k + 1).collect();
            let state = of(z, token, &singles);
            let found = state.log_prob().expect("one shard has it");
            let same = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan());
            assert!(same(found, log_prob[0]), "{z:?} {token}: {found}, not {}", log_prob[0]);
            let found = gradient(state, z, token, &singles);
            let close = |a: f64, b: f64| same(a, b) || (a - b).abs() <= 5e-324;
            assert!(found.iter().zip(&slopes).all(|(&a, &b)| close(a, b)), "{z:?} {token}: {found:?}");
        }
    }
    // If the difference of two scores overflows, the value is not proved.
    let state = of(&[f64::MAX, -f64::MAX], 1, &[0..1, 1..2]);
    assert_eq!((state.log_prob(), state.is_proved_nearest()), (Some(-INF), false));
}

/// Where another score dominates, and its difference to the token's is half-way between two floats, or next to that.
#[test]
fn half_way_differences_are_rounded_up() {
    let mut random = ChaCha8Rng::seed_from_u64(87);
    let mut proved = 0;
    for _ in 0..3000 {
        let length = random.random_range(2..6);
        let z: Vec<f64> = (0..length).map(|_| random.random_range(-300.0..300.0)).collect();
        let token = random.random_range(0..length);
        let mut log_prob = [0.0];
        token_log_probs(&z, &[token], &mut log_prob).expect("one row");
        let state = of(&z, token, &cut(&mut random, length));
        assert_eq!(state.log_prob(), Some(log_prob[0]), "{z:?} {token}");
        proved += usize::from(state.is_proved_nearest());
    }
    assert!(proved > 2990, "{proved}");
    // The difference is 2^53 + 3 − 2^-53, just below half-way.
    let z = [2_f64.powi(53) + 2.0, -1.0 + 2_f64.powi(-53)];
    let state = of(&z, 1, &[0..1, 1..2]);
    assert_eq!(state.log_prob(), Some(-2_f64.powi(53) - 2.0));
}

#[test]
fn a_token_is_in_one_shard() {
    let z = [1.0, 2.0];
    let none = ShardedLogProb::of_rows(&z, &[None]).expect("a row")[0];
    assert_eq!((none.log_prob(), none.is_proved_nearest()), (None, false));
    let mut twice = ShardedLogProb::of_rows(&z, &[Some(1)]).expect("a row")[0];
    twice.merge(&twice.clone());
    assert_eq!((twice.log_prob(), twice.is_proved_nearest()), (None, false));
    twice.merge(&none);
    assert_eq!(twice.log_prob(), None);
    assert_eq!(ShardedLogProb::<f64>::default().log_prob(), None);
}

#[test]
fn errors() {
    let message = |error: Error| error.to_string();
    let z = [1.0, 2.0, 3.0, 4.0];
    assert_eq!(
        message(ShardedLogProb::of_rows(&z, &[None, Some(2)]).unwrap_err()),
        "the token of row 1 is 2, but must be below 2, the length of the row"
    );
    assert!(matches!(
        ShardedLogProb::of_rows(&z, &[None; 3]),
        Err(Error::NotAMultiple { argument: "scores", found: 4, divisor: 3, of: "tokens", .. })
    ));
    assert!(matches!(
        ShardedLogProb::of_rows(&z, &[]),
        Err(Error::LengthMismatch { argument: "scores", .. })
    ));
    assert_eq!(ShardedLogProb::<f64>::of_rows(&[], &[]).expect("nothing"), []);
    let states = ShardedLogProb::of_rows(&z, &[None, None]).expect("two rows");
    let mut out = [7.0; 4];
    assert!(ShardedLogProb::gradients(&states[..1], &z, &[None, None], &mut out).is_err());
    assert!(ShardedLogProb::gradients(&states, &z, &[None, None], &mut out[..3]).is_err());
    assert!(ShardedLogProb::gradients(&states, &z, &[None, Some(2)], &mut out).is_err());
    assert_eq!(out, [7.0; 4]);
    // A shard may have no scores.
    assert_eq!(ShardedLogProb::<f64>::of_rows(&[], &[None; 3]).expect("three rows").len(), 3);
}

/// Bytes from elsewhere give a state or an error, and states of any such bytes can be merged.
#[test]
fn hostile_bytes() {
    let mut random = ChaCha8Rng::seed_from_u64(86);
    let (mut states, mut errors) = (Vec::<ShardedLogProb<f32>>::new(), 0);
    for _ in 0..100_000 {
        let z: Vec<f32> = row(&mut random, 9);
        let token = (!z.is_empty() && random.random()).then(|| random.random_range(0..z.len()));
        let z = if z.is_empty() { z } else { disturbed(&mut random, z) };
        let mut bytes = ShardedLogProb::of_rows(&z, &[token]).expect("a row")[0].to_bytes();
        for _ in 0..random.random_range(1..4) {
            bytes[random.random_range(0..64)] = random.random();
        }
        match ShardedLogProb::<f32>::from_bytes(&bytes) {
            Ok(state) => {
                assert_eq!(state.to_bytes(), bytes);
                states.push(state);
            }
            Err(Error::NotAState { .. }) => errors += 1,
            Err(error) => panic!("{error}"),
        }
        if states.len() > 2 {
            let mut state = states[random.random_range(0..states.len())];
            for _ in 0..3 {
                state.merge(&states[random.random_range(0..states.len())]);
            }
            let _ = (state.log_prob(), state.is_proved_nearest());
            ShardedLogProb::gradients(&[state], &z, &[token], &mut vec![0.0; z.len()]).expect("one row");
        }
    }
    assert!(errors > 20_000 && states.len() > 10_000, "{errors} errors, {} states", states.len());
    for length in [0, 63, 65, 128] {
        let error = ShardedLogProb::<f64>::from_bytes(&vec![0; length]).unwrap_err();
        assert_eq!(error.to_string(), "these bytes are not a state: a state of this kind has 64 bytes");
    }
}

/// A batch is its rows, whatever the number of threads.
#[test]
fn rows_are_apart() {
    let (rows, length) = (700, 333);
    let z: Vec<f32> = (0..rows * length).map(|i| ((i * 7919) % 1000) as f32 / 50.0).collect();
    let tokens: Vec<_> = (0..rows).map(|row| (row % 3 > 0).then_some(row % length)).collect();
    let states = ShardedLogProb::of_rows(&z, &tokens).expect("rows");
    let mut gradients = vec![0.0; z.len()];
    ShardedLogProb::gradients(&states, &z, &tokens, &mut gradients).expect("rows");
    let mut log_probs = vec![0.0; rows];
    let known: Vec<usize> = tokens.iter().map(|token| token.unwrap_or(0)).collect();
    token_log_probs(&z, &known, &mut log_probs).expect("rows");
    for (row, (z, gradients)) in z.chunks(length).zip(gradients.chunks(length)).enumerate() {
        let state = ShardedLogProb::of_rows(z, &tokens[row..=row]).expect("a row");
        assert!(state[0] == states[row]);
        assert!(tokens[row].is_none() || states[row].log_prob() == Some(log_probs[row]));
        let mut gradient = vec![0.0; length];
        ShardedLogProb::gradients(&state, z, &tokens[row..=row], &mut gradient).expect("a row");
        assert_eq!(gradient, gradients);
    }
}
