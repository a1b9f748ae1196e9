//! Sums in pieces: the same bytes in whatever order and parts, and the nearest float where that is proved.

mod common;
#[path = "common/each_level.rs"]
mod each_level;
#[path = "common/rows.rs"]
mod rows;

use common::{Big, Format, big, ulps};
use each_level::each_level;
use half::{bf16, f16};
use logsum::{Accumulator, EffectiveSampleSize, Error, Terms, WeightedMean, logmeanexp, logsumexp};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rows::row;

fn of<T: Format>(z: &[T]) -> Accumulator<T> {
    let mut sum = Accumulator::new();
    sum.update(z);
    sum
}

fn of_weighted<T: Format>(z: &[T], weights: &[T]) -> Accumulator<T> {
    let mut sum = Accumulator::new();
    sum.update_weighted(z, weights).expect("as many weights as numbers");
    sum
}

/// The state of the numbers by a random tree of merges.
fn merged<T: Format>(random: &mut ChaCha8Rng, z: &[T], weights: &[T]) -> Accumulator<T> {
    if z.len() < 2 || random.random_range(0..8) == 0 {
        let mut sum = Accumulator::new();
        match random.random_range(0..3) {
            0 => z.iter().zip(weights).for_each(|(z, b)| {
                sum.update_weighted(std::slice::from_ref(z), std::slice::from_ref(b)).expect("one of each");
            }),
            1 if weights.iter().all(|&b| b.into() == 1.0) => sum.update(z),
            _ => sum.update_weighted(z, weights).expect("as many"),
        }
        return sum;
    }
    let at = random.random_range(0..=z.len());
    let mut left = merged(random, &z[..at], &weights[..at]);
    let right = merged(random, &z[at..], &weights[at..]);
    left.merge(&right);
    left
}

/// Asserts it, and returns the states.
fn order_is_free<T: Format>() -> Vec<[u8; 112]> {
    let mut states = Vec::new();
    let mut random = ChaCha8Rng::seed_from_u64(71);
    for case in 0..1500 {
        let mut z: Vec<T> = row(&mut random, if case % 10 == 0 { 5000 } else { 12 });
        let is_weighted = case % 3 == 0;
        let mut weight = || {
            let size = 2_f64.powi(random.random_range(-8..8)) * random.random_range(-1.0..1.0);
            T::of(if is_weighted { size } else { 1.0 })
        };
        let weights: Vec<T> = z.iter().map(|_| weight()).collect();
        let first = if is_weighted { of_weighted(&z, &weights) } else { of(&z) };
        let mut pairs: Vec<_> = z.iter().copied().zip(weights).collect();
        for _ in 0..3 {
            pairs.shuffle(&mut random);
            let weights: Vec<T>;
            (z, weights) = pairs.iter().copied().unzip();
            let again = merged(&mut random, &z, &weights);
            assert!(again.to_bytes() == first.to_bytes(), "{z:?} {weights:?}\n{first:?}\n{again:?}");
        }
        let read = Accumulator::<T>::from_bytes(&first.to_bytes()).expect("a state");
        assert!(read == first);
        states.push(first.to_bytes());
    }
    states
}

#[test]
fn order_is_free_at_every_level_and_in_every_format() {
    let mut states = Vec::new();
    for _ in each_level() {
        let of_level =
            [order_is_free::<f64>(), order_is_free::<f32>(), order_is_free::<f16>(), order_is_free::<bf16>()];
        states.push(of_level.concat());
    }
    assert!(states.iter().all(|of_level| *of_level == states[0]), "levels differ");
}

/// The digits of 20 000 terms just below the top of a cell are more than 64 bits hold.
#[test]
fn sums_of_many_terms() {
    fn check<T: Format>() {
        for z in [0.0, 33.2, -1.3, 33.9, 68.5] {
            let z = vec![T::of(z); 20_000];
            let whole = of(&z);
            let mut singles = Accumulator::new();
            let mut groups = [Accumulator::new(); 2];
            z.iter().for_each(|z| singles.update(std::slice::from_ref(z)));
            Accumulator::update_groups(&mut groups, &vec![1; z.len()], &z, None).expect("groups in range");
            let mut doubled = of(&z[..625]);
            for _ in 0..5 {
                let half = doubled;
                doubled.merge(&half);
            }
            for other in [singles, groups[1], doubled] {
                assert!(other == whole && other.to_bytes() == whole.to_bytes(), "{z:?}");
            }
            assert_eq!(whole.value().bits(), logsumexp(&z).bits(), "{z:?}");
        }
    }
    for _ in each_level() {
        check::<f64>();
        check::<f32>();
    }
}

/// Merging a state with itself up to 2^64 terms gives log(2^k Σ e^z), and beyond 2^55 nothing is proved.
#[test]
fn a_state_may_be_doubled_often() {
    let z = [33.9, 1.0, 33.2, -5.0];
    let mut sum = of(&z);
    for power in 1..=70 {
        let half = sum;
        sum.merge(&half);
        let exact = f64::from(power) * std::f64::consts::LN_2 + logsumexp(&z);
        assert!((sum.value() - exact).abs() < 1e-13, "2^{power}: {}, not {exact}", sum.value());
        assert!(power < 53 || !sum.is_proved_nearest(), "2^{power}");
    }
}

/// Ten million states: small sets of numbers, each added at once, one by one in two orders, and by a merge.
#[test]
fn ten_million_states() {
    let mut random = ChaCha8Rng::seed_from_u64(72);
    for _ in 0..2_500_000 {
        let scale = [1.0, 30.0, 300.0, 3000.0][random.random_range(0..4)];
        let z: [f64; 4] = std::array::from_fn(|_| scale * random.random_range(-1.0..1.0));
        let whole = of(&z);
        for order in [[2, 0, 3, 1], [3, 1, 0, 2]] {
            let mut singles = Accumulator::new();
            for i in order {
                singles.update(&z[i..=i]);
            }
            assert!(singles == whole, "{z:?}");
        }
        let mut parts = of(&z[1..]);
        parts.merge(&of(&z[..1]));
        assert!(parts == whole, "{z:?}");
    }
}

/// Where the value, or the logarithm of the mean, is proved, it is that of the function that has all numbers at once.
/// Returns how often each is not.
fn values_are_nearest<T: Format>() -> [usize; 2] {
    let mut random = ChaCha8Rng::seed_from_u64(73);
    let mut unproved = [0; 2];
    for _ in 0..4000 {
        let z: Vec<T> = row(&mut random, 1025);
        let sum = of(&z);
        let exact = [logsumexp(&z), logmeanexp(&z)];
        assert_eq!(sum.count(), z.len() as u64);
        let found = [sum.value(), sum.logmeanexp()];
        let are_proved = [sum.is_proved_nearest(), sum.is_logmeanexp_proved_nearest()];
        for (place, is_proved) in are_proved.into_iter().enumerate() {
            if is_proved {
                assert_eq!(found[place].bits(), exact[place].bits(), "{z:?}: {found:?}, not {exact:?}");
            } else {
                unproved[place] += 1;
            }
        }
        for (found, exact) in found.into_iter().zip(exact) {
            let [found, exact]: [f64; 2] = [found.into(), exact.into()];
            let is_near = (found - exact).abs() <= 1e-15_f64.max(exact.abs() * 2.3e-16) || found == exact;
            assert!(is_near || T::PRECISION < 53, "{z:?}: {found}, not {exact}");
        }
    }
    unproved
}

#[test]
fn values_are_nearest_where_they_are_proved() {
    for _ in each_level() {
        let unproved = [
            values_are_nearest::<f64>(),
            values_are_nearest::<f32>(),
            values_are_nearest::<f16>(),
            values_are_nearest::<bf16>(),
        ];
        println!("unproved of 4000: {unproved:?}");
        assert!(unproved.iter().all(|&[value, mean]| value < 40 && mean < 80), "{unproved:?}");
    }
}

#[test]
fn ordinary_values_are_proved() {
    let mut random = ChaCha8Rng::seed_from_u64(74);
    let unproved = (0..100_000).filter(|_| {
        let z: [f64; 9] = std::array::from_fn(|_| random.random_range(-10.0..10.0));
        !of(&z).is_proved_nearest()
    });
    assert!(unproved.count() <= 1);
}

/// Those of the weighted sum that has all terms at once.
/// Where the sum is nearly 1, its logarithm has the digits of what else there is, though they are not proved: e^0 is
/// exact, and the cells reach far below it.
#[test]
fn values_near_0_have_all_their_digits() {
    for i in 1..600 {
        let far = -0.1 * f64::from(i);
        let z = [far, 0.0, far, far, far];
        assert_eq!(of(&z).value(), logsumexp(&z), "{z:?}");
        let far = (1.3 * far) as f32;
        let z = [far, 0.0, far];
        assert_eq!(of(&z).value(), logsumexp(&z), "{z:?}");
    }
}

#[test]
fn weighted_values_are_nearest_where_they_are_proved() {
    let mut random = ChaCha8Rng::seed_from_u64(75);
    let [mut negative, mut unproved] = [0; 2];
    for case in 0..3000 {
        let z: Vec<f64> = row(&mut random, 100);
        let weights: Vec<f64> = z
            .iter()
            .map(|_| {
                let power = random.random_range(-3..3) * if case % 7 == 0 { 300 } else { 2 };
                let size = 2_f64.powi(power) * random.random_range(0.5..1.0);
                if random.random_range(0..6) == 0 { -size } else { size }
            })
            .collect();
        let sum = of_weighted(&z, &weights);
        let exact = Terms::new(&z).weights(&weights).expect("as many").logsumexp();
        negative += usize::from(exact.is_nan());
        unproved += usize::from(!sum.is_proved_nearest());
        if sum.is_proved_nearest() {
            let found = sum.value();
            assert!(
                found == exact || (found.is_nan() && exact.is_nan()),
                "{z:?} {weights:?}: {found}, not {exact}"
            );
        }
    }
    println!("{negative} negative, {unproved} unproved");
    assert!(negative > 100 && unproved < 30);
}

#[test]
fn edges() {
    let [nan, inf] = [f64::NAN, f64::INFINITY];
    /// Numbers, weights, value, greatest number, mean.
    type Case<'a> = (&'a [f64], &'a [f64], f64, f64, f64);
    let cases: [Case<'_>; 21] = [
        (&[], &[], -inf, -inf, nan),
        (&[-inf], &[1.0], -inf, -inf, -inf),
        (&[-inf, -inf], &[1.0, 1.0], -inf, -inf, -inf),
        (&[inf, 1.0], &[1.0, 1.0], inf, inf, inf),
        (&[inf, inf, -inf], &[1.0; 3], inf, inf, inf),
        (&[nan, inf], &[1.0; 2], nan, nan, nan),
        (&[5e-324], &[1.0], 5e-324, 5e-324, 5e-324),
        (&[-0.0], &[1.0], 0.0, 0.0, 0.0),
        (&[f64::MAX], &[1.0], f64::MAX, f64::MAX, f64::MAX),
        (&[f64::MAX, f64::MAX], &[1.0; 2], f64::MAX, f64::MAX, f64::MAX),
        (&[f64::MIN, -inf], &[1.0; 2], f64::MIN, f64::MIN, f64::MIN),
        (&[0.0, 0.0], &[1.0; 2], std::f64::consts::LN_2, 0.0, 0.0),
        (&[-1e-300; 3], &[1.0; 3], 3_f64.ln(), -1e-300, -1e-300),
        (&[1e8, 1e8, 1e8], &[1.0; 3], 100_000_001.098_612_3, 1e8, 1e8),
        // A term of weight 0 is absent, even if its number is NaN or infinite.
        (&[nan, inf, 2.0], &[0.0, -0.0, 1.0], 2.0, 2.0, 2.0),
        (&[nan], &[0.0], -inf, -inf, nan),
        (&[0.0, 0.0], &[-1.0, -1.0], nan, 0.0, nan),
        (&[inf, inf], &[1.0, -1.0], nan, inf, nan),
        (&[1.0, 2.0], &[inf, 1.0], inf, 2.0, inf),
        (&[1.0, -inf], &[1.0, inf], nan, nan, nan),
        (&[1.0, 2.0], &[nan, 1.0], nan, nan, nan),
    ];
    for _ in each_level() {
        for (z, weights, value, max, mean) in cases {
            let mut states = vec![of_weighted(z, weights)];
            if weights.iter().all(|&b| b == 1.0) {
                states.push(of(z));
            }
            for sum in states {
                let found = [sum.value(), sum.max(), sum.logmeanexp()];
                let same = |a: f64, b: f64| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
                assert!(
                    same(found[0], value) && same(found[1], max) && same(found[2], mean),
                    "{z:?} {weights:?}: {found:?}"
                );
                assert!(sum.is_proved_nearest(), "{z:?}");
                assert!(Accumulator::from_bytes(&sum.to_bytes()).expect("a state") == sum);
            }
        }
    }
}

#[test]
fn a_sum_that_cancels_is_not_proved() {
    let sum = of_weighted(&[1.0, 1.0], &[1.0, -1.0]);
    assert_eq!((sum.value(), sum.is_proved_nearest()), (f64::NEG_INFINITY, false));
    // The great terms cancel, but terms below their cells were dropped.
    let sum = of_weighted(&[1e300, 1e300, 0.0], &[1.0, -1.0, 1.0]);
    assert!(!sum.is_proved_nearest());
}

#[test]
fn wrong_lengths_add_nothing() {
    let mut sum = of(&[1.0]);
    let error = sum.update_weighted(&[1.0, 2.0], &[1.0]).unwrap_err();
    assert_eq!(error.to_string(), "`weights` has 1 element, but needs 2 to fit `z`");
    assert!(sum == of(&[1.0]));
}

/// Bytes from elsewhere give a state or an error, and states of any such bytes can be merged.
#[test]
fn hostile_bytes() {
    let mut random = ChaCha8Rng::seed_from_u64(76);
    let mut states: Vec<Accumulator<f64>> = Vec::new();
    let mut errors = 0;
    for case in 0..100_000 {
        let z: Vec<f64> = row(&mut random, 4);
        let mut bytes = of(&z).to_bytes();
        for _ in 0..random.random_range(1..4) {
            bytes[random.random_range(0..112)] = random.random();
        }
        match Accumulator::<f64>::from_bytes(&bytes) {
            Ok(state) => {
                assert_eq!(state.to_bytes(), bytes);
                states.push(state);
            }
            Err(Error::NotAState { .. }) => errors += 1,
            Err(error) => panic!("{error}"),
        }
        if case % 8 == 0 && states.len() > 2 {
            let mut sum = states[random.random_range(0..states.len())];
            for _ in 0..40 {
                sum.merge(&states[random.random_range(0..states.len())]);
            }
            sum.update(&[0.5, 1e20]);
            let _ = (sum.value(), sum.logmeanexp(), sum.is_proved_nearest(), sum.max());
        }
    }
    assert!(errors > 20_000 && states.len() > 10_000, "{errors} errors, {} states", states.len());
    for length in [0, 1, 111, 113, 224] {
        let error = Accumulator::<f64>::from_bytes(&vec![0; length]).unwrap_err();
        assert_eq!(error.to_string(), "these bytes are not a state: a state of this kind has 112 bytes");
    }
}

/// No first cell that bytes may hold overflows anything, whatever follows.
#[test]
fn cells_of_hostile_bytes() {
    let mut size = EffectiveSampleSize::new();
    size.update(&[1.0, 2.0]);
    let mut found = 0;
    for top in [i64::MIN, i64::MAX, -(1 << 59) + 1, (1 << 59) - 1, 3 << 56, 1 << 54, -(1 << 54), 1 << 53] {
        for place in [8, 120] {
            let mut bytes = size.to_bytes();
            bytes[place..place + 8].copy_from_slice(&top.to_le_bytes());
            if let Ok(mut state) = EffectiveSampleSize::<f64>::from_bytes(&bytes) {
                let _ = (state.value(), state.is_proved_nearest());
                state.update(&[0.5; 20]);
                let _ = (state.value(), state.is_proved_nearest());
                found += 1;
            }
            let mut bytes = of(&[1.0, 2.0]).to_bytes();
            bytes[8..16].copy_from_slice(&top.to_le_bytes());
            if let Ok(mut state) = Accumulator::<f64>::from_bytes(&bytes) {
                state.update(&[0.5; 20]);
                let _ = (state.value(), state.is_proved_nearest());
            }
        }
    }
    assert!(found > 5, "{found}");
}

/// Sums of as many terms as cannot be counted: what is read is written again, and merges have the same bytes in either
/// order, also where a sum wraps around.
#[test]
fn sums_of_a_saturated_count() {
    let mut found = 0;
    for exponent in 100..128 {
        for sum in [(1_i128 << (exponent - 1)) - 1, 1 << (exponent - 1), i128::MIN >> (127 - exponent), -1] {
            let mut bytes = of(&[1.0, 2.0]).to_bytes();
            bytes[24..32].fill(0xff);
            bytes[48..64].copy_from_slice(&sum.to_le_bytes());
            let Ok(state) = Accumulator::<f64>::from_bytes(&bytes) else { continue };
            found += 1;
            assert_eq!(state.to_bytes(), bytes, "{sum}");
            let few = of(&[0.5; 20]);
            let [mut all, mut other] = [state, few];
            all.merge(&few);
            other.merge(&state);
            assert_eq!(all.to_bytes(), other.to_bytes());
            all.merge(&state);
            assert!(Accumulator::from_bytes(&all.to_bytes()).expect("a state") == all);
            assert!(!all.is_proved_nearest());
        }
    }
    assert!(found > 90, "{found}");
}

/// Infinite weights and weights that are NaN, too, leave the same bytes in any order.
#[test]
fn order_is_free_with_weights_that_are_not_finite() {
    let terms = [(0.0, 1.0), (1.0, 1.0), (1.0, f64::INFINITY), (3.0, f64::NAN), (2.0, f64::NEG_INFINITY)];
    let mut random = ChaCha8Rng::seed_from_u64(78);
    for _ in 0..2000 {
        let length = random.random_range(2..6);
        let chosen: Vec<(f64, f64)> = (0..length).map(|_| terms[random.random_range(0..5)]).collect();
        let mut orders = Vec::new();
        for shift in 0..length {
            let mut sum = Accumulator::new();
            let mut other = Accumulator::new();
            for i in 0..length {
                let (z, weight) = chosen[(i + shift) % length];
                let state = if i % 2 == 0 { &mut sum } else { &mut other };
                state.update_weighted(&[z], &[weight]).unwrap();
            }
            sum.merge(&other);
            orders.push(sum.to_bytes());
        }
        assert!(orders.iter().all(|bytes| *bytes == orders[0]), "{chosen:?}");
    }
}

#[test]
fn size() {
    assert_eq!((size_of::<Accumulator<f64>>(), size_of::<Accumulator<f32>>()), (128, 128));
}

#[test]
fn extends_like_update() {
    let z: Vec<f64> = (0..1000).map(|i| f64::from(i).sin() * 30.0).collect();
    let mut sum = Accumulator::default();
    sum.extend(z.iter().copied());
    assert!(sum == of(&z));
}

/// (Σ w)² / Σ w² and Σ x w / Σ w by dashu.
#[test]
fn ratios_are_nearest_where_they_are_proved() {
    let mut random = ChaCha8Rng::seed_from_u64(77);
    let [mut proved, mut all] = [0; 2];
    for _ in 0..600 {
        let z: Vec<f64> = row(&mut random, 100);
        let z: Vec<f64> = z.into_iter().filter(|z| z.abs() < 1e9).collect();
        let Some(max) = z.iter().copied().reduce(f64::max) else { continue };
        let x: Vec<f64> = z.iter().map(|_| random.random_range(-1.0..3.0)).collect();
        let weight =
            |z: f64| if z - max < -1200.0 { big(0.0, 400) } else { (big(z, 400) - big(max, 400)).exp() };
        let sum = |f: &dyn Fn(usize) -> Big| (0..z.len()).fold(big(0.0, 400), |sum, i| sum + f(i));
        let total = sum(&|i| weight(z[i]));
        let squares = sum(&|i| weight(z[i]) * weight(z[i]));
        let products = sum(&|i| weight(z[i]) * big(x[i], 400));
        let (mut size, mut mean) = (EffectiveSampleSize::new(), WeightedMean::new());
        size.update(&z);
        mean.update(&z, &x).expect("as many");
        let found = [
            (size.value(), size.is_proved_nearest(), total.clone() * total.clone() / squares),
            (mean.value(), mean.is_proved_nearest(), products / total),
        ];
        for (found, is_proved, exact) in found {
            let off = ulps(found, &exact);
            assert!(off <= if is_proved { 0.5 } else { 1.0 }, "{z:?} {x:?}: {found}, {off} ulp");
            proved += usize::from(is_proved);
            all += 1;
        }
        let again = EffectiveSampleSize::<f64>::from_bytes(&size.to_bytes()).expect("a state");
        assert_eq!(again, size);
        let mut merged = WeightedMean::<f64>::from_bytes(&mean.to_bytes()).expect("a state");
        assert_eq!(merged, mean);
        let error = WeightedMean::<f64>::from_bytes(&size.to_bytes()).unwrap_err().to_string();
        assert_eq!(error, "these bytes are not a state: the state is of another kind");
        merged.merge(&WeightedMean::new());
        assert_eq!(merged, mean);
    }
    println!("{proved} of {all} proved");
    assert!(all > 700 && proved > all - all / 20);
}

#[test]
fn groups_are_as_alone() {
    let mut random = ChaCha8Rng::seed_from_u64(78);
    let z: Vec<f64> = (0..1000)
        .map(|i| if i % 90 == 0 { f64::NEG_INFINITY } else { random.random_range(-900.0..900.0) })
        .collect();
    let weights: Vec<f64> = z.iter().map(|_| random.random_range(-1.0..2.0)).collect();
    let groups: Vec<usize> = z.iter().map(|_| random.random_range(0..37)).collect();
    let (mut sums, mut weighted) = ([Accumulator::new(); 37], [Accumulator::new(); 37]);
    let mut sizes = [EffectiveSampleSize::new(); 37];
    Accumulator::update_groups(&mut sums, &groups, &z, None).expect("groups");
    Accumulator::update_groups(&mut weighted, &groups, &z, Some(&weights)).expect("groups");
    EffectiveSampleSize::update_groups(&mut sizes, &groups, &z).expect("groups");
    for group in 0..37 {
        let of_group = |numbers: &[f64]| -> Vec<f64> {
            numbers.iter().zip(&groups).filter(|(_, found)| **found == group).map(|(&x, _)| x).collect()
        };
        let (z, weights) = (of_group(&z), of_group(&weights));
        assert!(sums[group] == of(&z) && weighted[group] == of_weighted(&z, &weights));
        let mut size = EffectiveSampleSize::new();
        size.update(&z);
        assert_eq!(sizes[group], size);
    }
    let error = Accumulator::update_groups(&mut sums, &[0, 37], &[1.0, 2.0], None).unwrap_err();
    assert_eq!(error.to_string(), "the id at index 1 is 37, but must be below 37, the number of segments");
    assert!(Accumulator::update_groups(&mut sums, &[0], &[1.0, 2.0], None).is_err());
    assert!(Accumulator::update_groups(&mut sums, &[0], &[1.0], Some(&[])).is_err());
    assert!(EffectiveSampleSize::update_groups(&mut sizes, &[37], &[1.0]).is_err());
}

#[test]
fn ratios_at_the_edges() {
    let size = |z: &[f64]| {
        let mut size = EffectiveSampleSize::new();
        size.update(z);
        size.value()
    };
    assert_eq!(size(&[f64::MAX, f64::MAX, 0.0]), 2.0);
    assert_eq!(size(&[2_f64.powi(62), 2_f64.powi(62), 2_f64.powi(62).next_down()]), 2.0);
    assert_eq!(size(&[-1e5; 1000]), 1000.0);
    let mut many = EffectiveSampleSize::new();
    many.update(&[f64::MAX]);
    for power in 1..=57 {
        let half = many;
        many.merge(&half);
        assert!(many.value() == 2_f64.powi(power) && (power >= 55 || many.is_proved_nearest()), "2^{power}");
    }
    many.update(&[f64::MAX; 17]);
    assert!(many.value() == 144_115_188_075_855_904.0 || !many.is_proved_nearest());
    assert!(
        size(&[]).is_nan() && size(&[f64::NEG_INFINITY]).is_nan() && size(&[f64::INFINITY, 1.0]).is_nan()
    );
    let mean = |z: &[f64], x: &[f64]| {
        let mut mean = WeightedMean::new();
        mean.update(z, x).expect("as many");
        mean.value()
    };
    assert_eq!(mean(&[1e300, 0.0], &[0.0, 5.0]), 0.0);
    // Just below 2^63, where numbers count whatever they differ by.
    let mut far = WeightedMean::new();
    let x = 1.5 * 2_f64.powi(996) + 2_f64.powi(960);
    far.update(&[2_f64.powi(63) - 1024.0, 2_f64.powi(63) - 2048.0], &[0.0, x]).expect("as many");
    assert!(!far.is_proved_nearest(), "the exponent of the terms is off by 2^-65 · 2^63");
    assert_eq!(mean(&[0.0, 0.0], &[1e300, f64::INFINITY]), f64::INFINITY);
    assert_eq!(mean(&[0.0, 0.0], &[1.0, 0.0]), 0.5);
    assert!(mean(&[0.0, 1.0], &[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
    assert!(mean(&[], &[]).is_nan() && mean(&[f64::INFINITY], &[1.0]).is_nan());
}
