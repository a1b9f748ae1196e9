//! Weighted and masked sums against arbitrary precision: correctly rounded values and gradients whatever cancels,
//! derivatives against each other; special cases.

mod common;
#[path = "common/each_level.rs"]
mod each_level;

use common::{Big, Format, big, nearest};
use each_level::each_level;
use half::{bf16, f16};
use logsum::{Error, LogSumExp, NoMass, Terms, logsumexp, softmax};
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const BITS: usize = 3200;

/// Σ b e^{z − c} to 3200 bits, and c.
fn sum<T: Format>(z: &[T], b: &[T]) -> (Big, Big) {
    let present = || {
        z.iter()
            .zip(b)
            .map(|(&z, &b)| (z.into(), b.into()))
            .filter(|&(z, b)| b != 0.0 && z > f64::NEG_INFINITY)
    };
    let c = present().map(|(z, b)| z + b.abs().ln()).fold(f64::NEG_INFINITY, f64::max);
    let c = big(if c.is_finite() { c } else { 0.0 }, BITS);
    let sum = present().fold(big(0.0, BITS), |sum, (z, b)| {
        let d = (big(z, BITS) - &c).to_f64().value() + b.abs().ln();
        if d < -2200.0 { sum } else { sum + (big(z, BITS) - &c).exp() * big(b, BITS) }
    });
    (sum, c)
}

/// The value and the sign; `None` if the sum is too small for 3200 bits, which means that it is 0.
fn exact<T: Format>(z: &[T], b: &[T]) -> Option<(T, f64)> {
    let (sum, c) = sum(z, b);
    let zero = big(0.0, BITS);
    let sign = if sum < zero { -1.0 } else { 1.0 };
    let magnitude = if sum < zero { -sum } else { sum };
    let is_nothing =
        magnitude.repr().significand().is_zero() || common::exponent(&magnitude) < -(BITS as isize) + 60;
    if is_nothing {
        return None;
    }
    let value = magnitude.ln() + c;
    let is_zero = value.repr().significand().is_zero() || common::exponent(&value) < -1200;
    Some((if is_zero { T::of(0.0) } else { T::of(nearest::<T>(&value).into() + 0.0) }, sign))
}

fn rows<T: Format>(count: usize) -> Vec<(Vec<T>, Vec<T>)> {
    let mut random = ChaCha8Rng::seed_from_u64(21);
    let widest = if T::PRECISION == 53 { 1.0 } else { 0.1 };
    (0..count)
        .map(|i| {
            let length = if i % 50 == 0 { random.random_range(60..1100) } else { random.random_range(1..9) };
            let spread = [1.0, 30.0, 700.0, 1e-6][i % 4];
            let offset = [0.0, 0.0, 1e3, -5.0][i / 4 % 4];
            let mut uniform = || random.random_range(-1.0..1.0_f64);
            let mut z: Vec<T> = (0..length).map(|_| T::of(offset + spread * uniform())).collect();
            let mut b: Vec<T> = (0..length)
                .map(|_| {
                    T::of(match i % 11 {
                        0 | 1 => uniform(),
                        2 => uniform().abs(),
                        3 => uniform().signum(),
                        4 => uniform() * 10f64.powf(widest * 300.0 * uniform()),
                        5 => (uniform() * 3.0).round(),
                        6 => uniform() * 10f64.powf(widest * -310.0),
                        7 => uniform() * 10f64.powf(widest * 305.0),
                        _ => uniform() * 5.0,
                    })
                })
                .collect();
            match i % 7 {
                // All but a small part cancels.
                0 => {
                    let (mut z2, mut b2) =
                        (z.clone(), b.iter().map(|&b| T::of(-b.into())).collect::<Vec<T>>());
                    if i % 2 == 0 {
                        z2[0] = z2[0].neighbour(true);
                    } else {
                        b2[0] = b2[0].neighbour(true);
                    }
                    z.append(&mut z2);
                    b.append(&mut b2);
                }
                // A value near 0: the last weight makes the sum nearly 1.
                1 => {
                    let rest: f64 = z.iter().zip(&b).map(|(&z, &b)| b.into() * z.into().exp()).sum();
                    if rest.abs() < 1e30 {
                        z.push(T::of(0.0));
                        b.push(T::of(1.0 - rest));
                    }
                }
                _ => {}
            }
            (z, b)
        })
        .collect()
}

fn check_values<T: Format>(count: usize) {
    let rows = rows::<T>(count);
    let mut nothing = 0;
    for (i, (z, b)) in rows.iter().enumerate() {
        let terms = Terms::new(z).weights(b).unwrap();
        let expected = exact(z, b);
        nothing += usize::from(expected.is_none());
        let (expected, expected_sign) = expected.unwrap_or((T::of(f64::NEG_INFINITY), 0.0));
        for level in each_level() {
            let (value, sign) = terms.logsumexp_with_sign();
            assert_eq!(
                (value.bits(), sign.into()),
                (expected.bits(), expected_sign),
                "row {i} at {level:?}: {z:?}, {b:?}: {value}, not {expected}"
            );
            let value: f64 = terms.logsumexp().into();
            assert_eq!(value.is_nan(), expected_sign < 0.0);
        }
    }
    println!("{count} rows, {nothing} of them nothing: all correctly rounded");
}

#[test]
fn values_in_f64_are_correctly_rounded() {
    check_values::<f64>(700);
}

#[test]
fn values_in_f32_are_correctly_rounded() {
    check_values::<f32>(700);
}

fn check_gradients<T: Format>(count: usize) {
    let mut checked = 0;
    let is_finite = |row: &[T]| row.iter().all(|&x| Into::<f64>::into(x).is_finite());
    for (z, b) in rows::<T>(count).into_iter().filter(|(z, b)| is_finite(z) && is_finite(b)) {
        let (sum, c) = sum(&z, &b);
        let [mut by_z, mut by_weight] = [z.clone(), z.clone()];
        let terms = Terms::new(&z).weights(&b).unwrap();
        let value = terms.logsumexp_with_gradients(&mut by_z, &mut by_weight).unwrap();
        if let Some((expected, sign)) = exact(&z, &b) {
            // The value's own phases begin in another precision here.
            let is_right = if sign < 0.0 { value.into().is_nan() } else { value.bits() == expected.bits() };
            assert!(is_right, "{z:?}, {b:?}: {value}, not {expected}");
        }
        for level in each_level() {
            let mut both = [z.clone(), z.clone()];
            let [again_by_z, again_by_weight] = &mut both;
            terms.logsumexp_with_gradients(again_by_z, again_by_weight).unwrap();
            let bits = |row: &[T]| row.iter().map(|x| x.bits()).collect::<Vec<_>>();
            assert_eq!(
                both.map(|row| bits(&row)),
                [&by_z, &by_weight].map(|row| bits(row)),
                "{z:?}, {b:?} at {level:?}"
            );
        }
        let (_, sign) = terms.logsumexp_with_sign();
        if sign.into() == 0.0 {
            let is_absent = b.iter().all(|b| Into::<f64>::into(*b) == 0.0);
            for (&g, &b) in by_z.iter().zip(&b) {
                let (g, b): (f64, f64) = (g.into(), b.into());
                assert!(if is_absent || b == 0.0 { g == 0.0 } else { g.is_nan() }, "{z:?}: {by_z:?}");
            }
            continue;
        }
        for k in 0..z.len().min(40) {
            let by_weight_exact = (big(z[k].into(), BITS) - &c).exp() / &sum;
            let by_z_exact = &by_weight_exact * big(b[k].into(), BITS);
            for (kind, found, exact) in [("z", by_z[k], by_z_exact), ("b", by_weight[k], by_weight_exact)] {
                let expected = nearest::<T>(&exact);
                assert_eq!(
                    found.bits(),
                    expected.bits(),
                    "{z:?}, {b:?}: {k}, by {kind}: {found}, not {expected}"
                );
                checked += 1;
            }
        }
    }
    println!("{checked} derivatives, all correctly rounded");
}

#[test]
fn gradients_are_correctly_rounded_whatever_cancels() {
    check_gradients::<f64>(250);
    check_gradients::<f32>(250);
    check_gradients::<f16>(80);
    check_gradients::<bf16>(80);
}

/// A number of weight 0 is the greatest, and a great weight makes a far term the sum.
#[test]
fn far_terms_with_great_weights() {
    let b = [0.0, 1.9724156e35];
    for (z, expected) in [
        ([4.305922e-11, -319.7791], -238.50937),
        ([2.8484044e-14, -310.3783], -229.10855),
        ([7.106459e-13, -305.7862], -224.51645_f32),
    ] {
        let terms = Terms::new(&z).weights(&b).unwrap();
        assert_eq!(terms.logsumexp(), expected);
        let mut gradient = [9.0; 2];
        assert_eq!((terms.logsumexp_with_gradient(&mut gradient), gradient), (Ok(expected), [0.0, 1.0]));
    }
}

/// Shares that are rational, as all other numbers cancel, and half-way between two floats, or next to it.
#[test]
fn rational_shares_are_rounded_to_even() {
    fn check<T: Format>(least_power: i32, large: i32) {
        let power = |n: i32| T::of(2f64.powi(n));
        let small = least_power - 1 + large;
        for (factor, expected) in [(1.0, 0.0), (3.0, 2.0), (5.0, 2.0), (7.0, 4.0)] {
            let own: f64 = power(small).into() * factor;
            let own = T::of(own);
            let negated = T::of(-own.into());
            // The weights of the last two cancel, of the first three not: they add up to a power of 2.
            let z = [3.0, 3.0, 3.0, -7.5, -7.5].map(T::of);
            let b = [own, power(large), negated, T::of(1.0), T::of(-1.0)];
            let mut share = z;
            Terms::new(&z).weights(&b).unwrap().logsumexp_with_gradient(&mut share).unwrap();
            let expected =
                T::of(expected * 2f64.powi(least_power / 2) * 2f64.powi(least_power - least_power / 2));
            assert_eq!(share[0].bits(), expected.bits(), "{factor}: {share:?}");
            assert_eq!(share[2].into(), -expected.into(), "{factor}: {share:?}");
        }
    }
    check::<f64>(-1074, 700);
    check::<f32>(-149, 100);
    check::<f16>(-24, 15);
    check::<bf16>(-133, 100);
}

/// Numbers, weights, and the expected value, sign, gradient and gradient by weight.
type Edge = (&'static [f64], &'static [f64], f64, f64, &'static [f64], &'static [f64]);

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

#[test]
fn edges_with_weights() {
    let rows: &[Edge] = &[
        (&[], &[], -INF, 0.0, &[], &[]),
        (&[0.0, NAN, 0.0], &[0.5, 0.0, 0.5], 0.0, 1.0, &[0.5, 0.0, 0.5], &[1.0, NAN, 1.0]),
        (&[0.0, INF], &[2.0, 0.0], std::f64::consts::LN_2, 1.0, &[1.0, 0.0], &[0.5, INF]),
        (&[0.0, -INF], &[1.0, 5.0], 0.0, 1.0, &[1.0, 0.0], &[1.0, 0.0]),
        (&[-INF, -INF], &[1.0, -5.0], -INF, 0.0, &[0.0, 0.0], &[0.0, 0.0]),
        (&[1.0, 2.0], &[0.0, 0.0], -INF, 0.0, &[0.0, 0.0], &[0.0, 0.0]),
        (&[3.0, 3.0], &[-7.0, 7.0], -INF, 0.0, &[NAN, NAN], &[NAN, NAN]),
        (&[3.0, 4.0, 3.0], &[0.1, 0.0, -0.1], -INF, 0.0, &[NAN, 0.0, NAN], &[NAN, NAN, NAN]),
        (
            &[2.0, 9.0, 9.0],
            &[-1.0, 3.0, -3.0],
            2.0,
            -1.0,
            &[1.0, -3.0 * 1096.6331584284585, 3.0 * 1096.6331584284585],
            &[-1.0, -1096.6331584284585, -1096.6331584284585],
        ),
        (&[INF, 0.0], &[3.0, 1.0], INF, 1.0, &[1.0, 0.0], &[1.0 / 3.0, 0.0]),
        (&[INF, INF], &[-1.0, -3.0], INF, -1.0, &[0.25, 0.75], &[-0.25, -0.25]),
        (&[INF, INF], &[1.0, -3.0], NAN, NAN, &[NAN, NAN], &[NAN, NAN]),
        (&[0.0, 1.0], &[INF, 1.0], INF, 1.0, &[1.0, 0.0], &[0.0, 0.0]),
        (&[-INF, 1.0], &[INF, 1.0], NAN, NAN, &[NAN, NAN], &[NAN, NAN]),
        (&[1.0, NAN], &[1.0, 1.0], NAN, NAN, &[NAN, NAN], &[NAN, NAN]),
        (&[1.0, 1.0], &[1.0, NAN], NAN, NAN, &[NAN, NAN], &[NAN, NAN]),
        (&[0.0, -1e300], &[1.0, -1.0], 0.0, 1.0, &[1.0, 0.0], &[1.0, 0.0]),
        (&[1e300, -1e300], &[-1e-300, 1e300], 1e300, -1.0, &[1.0, 0.0], &[-1e300, 0.0]),
    ];
    for (z, b, value, sign, by_z, by_weight) in rows {
        let terms = Terms::new(z).weights(b).unwrap();
        let [mut g, mut h] = [vec![9.0; z.len()], vec![9.0; z.len()]];
        let value_alone = terms.logsumexp_with_gradients(&mut g, &mut h).unwrap();
        let found = terms.logsumexp_with_sign();
        assert!(value_alone.to_bits() == terms.logsumexp().to_bits() || value_alone.is_nan(), "{z:?}, {b:?}");
        let same = |a: &f64, b: &f64| a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 4e-16 * b.abs();
        assert!(same(&found.0, value) && same(&found.1, sign), "{z:?}, {b:?}: {found:?}");
        assert!(g.iter().zip(*by_z).all(|(a, b)| same(a, b)), "{z:?}, {b:?}: by z {g:?}, not {by_z:?}");
        assert!(
            h.iter().zip(*by_weight).all(|(a, b)| same(a, b)),
            "{z:?}, {b:?}: by weight {h:?}, not {by_weight:?}"
        );
        let alone = terms.logsumexp();
        assert!(if *sign < 0.0 { alone.is_nan() } else { same(&alone, value) }, "{z:?}, {b:?}: {alone}");
    }
}

#[test]
fn a_mask_is_as_if_the_others_were_not_there() {
    let z = [1.0, f64::NAN, -3.0, f64::INFINITY, 2.5, 700.0];
    let mask = [true, false, true, false, true, false];
    let few = [1.0, -3.0, 2.5];
    let mut expected = [0.0; 3];
    softmax(&few, &mut expected).unwrap();
    for b in [None, Some([1.0; 6])] {
        let terms = Terms::new(&z).mask(&mask).unwrap();
        let terms = if let Some(b) = &b { terms.weights(b).unwrap() } else { terms };
        let mut p = [9.0; 6];
        assert_eq!(terms.logsumexp_with_gradient(&mut p).unwrap(), logsumexp(&few));
        assert_eq!(terms.logsumexp_with_sign(), (logsumexp(&few), 1.0));
        assert_eq!(p, [expected[0], 0.0, expected[1], 0.0, expected[2], 0.0]);
        let t = [1.0, f64::NAN, 2.0, f64::INFINITY, 4.0, 8.0];
        let (_, mean) = terms.jvp(&t).unwrap();
        assert!((mean - (expected[0] + 2.0 * expected[1] + 4.0 * expected[2])).abs() < 1e-15);
        terms.hvp(&t, &mut p).unwrap();
        assert_eq!([p[1], p[3], p[5]], [0.0; 3]);
        assert!(p.iter().sum::<f64>().abs() < 1e-15);
    }
}

#[test]
fn no_mass_as_chosen() {
    let z = [f64::NEG_INFINITY; 4];
    for (no_mass, share) in [(NoMass::Zero, 0.0), (NoMass::Uniform, 1.0 / 3.0), (NoMass::NaN, NAN)] {
        for weighted in [false, true] {
            let terms = Terms::new(&z).mask(&[true, true, false, true]).unwrap().no_mass(no_mass);
            let terms = if weighted { terms.weights(&[1.0, 2.0, 3.0, 4.0]).unwrap() } else { terms };
            let mut p = [9.0; 4];
            assert_eq!(terms.logsumexp_with_gradient(&mut p).unwrap(), -INF);
            assert_eq!(terms.logsumexp_with_sign(), (-INF, 0.0));
            for (i, p) in p.into_iter().enumerate() {
                let expected = if i == 2 { 0.0 } else { share };
                assert!(p == expected || p.is_nan() && expected.is_nan(), "{no_mass:?}: {p}");
            }
        }
    }
    assert_eq!(Terms::new(&[0.0, 0.0]).mask(&[false, false]).unwrap().logsumexp(), -INF);
}

#[test]
fn lengths_must_agree() {
    fn says<R>(result: Result<R, Error>, argument: &str, has: &str) {
        let words = format!("`{argument}` has {has}, but needs 2 to fit `z`");
        assert_eq!(result.err().unwrap().to_string(), words);
    }
    let (one, three) = ("1 element", "3 elements");
    let terms = Terms::new(&[0.0, 1.0]);
    says(terms.weights(&[1.0]), "weights", one);
    says(terms.mask(&[true; 3]), "mask", three);
    says(terms.logsumexp_with_gradient(&mut [0.0]), "gradient", one);
    says(terms.logsumexp_with_gradients(&mut [0.0], &mut [0.0; 2]), "gradient", one);
    says(terms.logsumexp_with_gradients(&mut [0.0; 2], &mut [0.0]), "by_weight", one);
    says(terms.jvp(&[0.0]), "tangent", one);
    says(terms.hvp(&[0.0; 3], &mut [0.0; 2]), "vector", three);
    says(terms.hvp(&[0.0; 2], &mut [0.0; 1]), "out", one);
}

#[test]
fn long_rows_are_the_same_at_every_level() {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let z: Vec<f64> = (0..200_000).map(|i| random.random_range(-5.0..5.0) + f64::from(i) * 1e-3).collect();
    let b: Vec<f64> = z.iter().map(|_| random.random_range(-1.0..1.0)).collect();
    let mask: Vec<bool> = z.iter().map(|_| random.random()).collect();
    let terms = Terms::new(&z).weights(&b).unwrap().mask(&mask).unwrap();
    let mut results: Vec<(Vec<u64>, u64, u64)> = Vec::new();
    for _ in each_level() {
        let mut g = z.clone();
        let value = terms.logsumexp_with_gradient(&mut g).unwrap();
        let (_, derivative) = terms.jvp(&b).unwrap();
        results.push((g.iter().map(|g| g.to_bits()).collect(), value.to_bits(), derivative.to_bits()));
    }
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
}

/// A sum that is 1 but for what is subnormal, whose weights of equal numbers add up to 1: the value is what is beside
/// it, and so are shares.
#[test]
fn values_and_shares_among_the_least_numbers() {
    let mut random = ChaCha8Rng::seed_from_u64(90);
    for _level in each_level() {
        for case in 0..60 {
            let n = 2 + case % 11;
            let mut z: Vec<f64> = (0..n).map(|_| random.random_range(-745.0..-700.0)).collect();
            let mut b: Vec<f64> = (0..n).map(|_| random.random_range(0.25..4.0)).collect();
            let parts = [&[1.0][..], &[0.25, 0.75], &[2.0, -1.0]][case % 3];
            for (k, &part) in parts.iter().enumerate() {
                z.insert(k, 0.0);
                b.insert(k, part);
            }
            let mut found = vec![0.0; z.len()];
            let value = Terms::new(&z).weights(&b).unwrap().logsumexp_with_gradient(&mut found).unwrap();
            let bits = 2500;
            let terms: Vec<Big> =
                z.iter().zip(&b).map(|(&z, &b)| big(z, bits).exp() * big(b, bits)).collect();
            let sum = terms.iter().fold(big(0.0, bits), |sum, term| sum + term);
            assert_eq!(value.to_bits(), nearest::<f64>(&sum.ln()).to_bits(), "{z:?} {b:?}: {value:e}");
            for (found, term) in found.iter().zip(&terms).skip(parts.len()) {
                let share = nearest::<f64>(&(term / &sum));
                assert_eq!(found.to_bits(), share.to_bits(), "{z:?} {b:?}: {found:e}, not {share:e}");
            }
        }
    }
}

/// A row without mass has the log-softmax of its softmax, whatever its weights and its temperature are.
#[test]
fn log_softmax_without_mass() {
    let z = [f64::NEG_INFINITY; 4];
    let mask = [true, true, false, true];
    for (no_mass, expected) in [
        (NoMass::Zero, f64::NEG_INFINITY),
        (NoMass::Uniform, -1.0986122886681098), // −log 3
        (NoMass::NaN, f64::NAN),
    ] {
        for temperature in [1.0, 0.5] {
            let terms =
                Terms::new(&z).mask(&mask).unwrap().temperature(temperature).unwrap().no_mass(no_mass);
            for terms in [terms, terms.weights(&[2.0; 4]).unwrap()] {
                let mut out = [7.0; 4];
                terms.log_softmax(&mut out).unwrap();
                let expected = [expected, expected, f64::NEG_INFINITY, expected];
                assert_eq!(format!("{out:?}"), format!("{expected:?}"), "{no_mass:?} {temperature}");
            }
        }
    }
}

#[test]
fn a_value_that_is_nan_has_no_sign() {
    for temperature in [1.0, 0.5] {
        let z = [f64::NAN, 1.0];
        let (value, sign) = Terms::new(&z).temperature(temperature).unwrap().logsumexp_with_sign();
        assert!(value.is_nan() && sign.is_nan(), "{temperature}: {value}, {sign}");
    }
}

/// A term e^−∞ is 0, but its weight counts in means and variances, with weights of 1 as without weights.
#[test]
fn means_count_the_weights_of_vanishing_terms() {
    let z = [0.0, 1.0, f64::NEG_INFINITY];
    let ones = Terms::new(&z).weights(&[1.0; 3]).unwrap();
    assert!((ones.logmeanexp() - Terms::new(&z).logmeanexp()).abs() < 1e-16);
    assert!((ones.logvarexp(1) - Terms::new(&z).logvarexp(1)).abs() < 2e-16);
    let z = [0.0, f64::NEG_INFINITY];
    let ones = Terms::new(&z).weights(&[1.0; 2]).unwrap();
    assert_eq!(ones.logmeanexp(), -std::f64::consts::LN_2);
    assert_eq!(ones.logvarexp(0), -2.0 * std::f64::consts::LN_2);
    // A number far below the others, at another temperature, too.
    let value = |low: f64| Terms::new(&[3.0, low]).temperature(2.0).unwrap().logvarexp(0);
    assert_eq!(value(f64::NEG_INFINITY), value(-1e6));
    // The mean of weights whose sum is negative; 0/0; the mean of infinite terms.
    let mean = |z: &[f64], b: &[f64]| Terms::new(z).weights(b).unwrap().logmeanexp();
    assert!(mean(&[0.0, f64::NEG_INFINITY, 4e-4], &[0.5, -2.7, 0.5]).is_nan());
    assert!(mean(&[f64::NEG_INFINITY; 2], &[1.0, -1.0]).is_nan());
    assert_eq!(mean(&[f64::INFINITY], &[-1.0]), f64::INFINITY);
    assert!(mean(&[f64::INFINITY, 0.0], &[1.0, -3.0]).is_nan());
    assert_eq!(mean(&[f64::NEG_INFINITY; 2], &[1.0, 2.0]), f64::NEG_INFINITY);
    let variance = |z: &[f64], b: &[f64], ddof| Terms::new(z).weights(b).unwrap().logvarexp(ddof);
    assert_eq!(variance(&[f64::NEG_INFINITY], &[3.0], 1), f64::NEG_INFINITY);
    assert!(variance(&[f64::INFINITY, 0.0], &[0.5, 0.5], 1).is_nan());
}

/// Derivatives at a temperature where a number is infinite or NaN, and where one of weight 0 is NaN.
#[test]
fn derivatives_beside_special_numbers_at_a_temperature() {
    let at = |z: &[f64], weights: Option<&[f64]>, temperature: f64| {
        let terms = Terms::new(z).temperature(temperature).unwrap();
        let terms = weights.map_or(terms, |weights| terms.weights(weights).unwrap());
        let (mut gradient, mut by_weight) = (vec![7.0; z.len()], vec![7.0; z.len()]);
        terms.logsumexp_with_gradients(&mut gradient, &mut by_weight).unwrap();
        (gradient, by_weight)
    };
    let (gradient, by_weight) = at(&[f64::NAN, 0.0], None, 2.0);
    assert!(gradient.iter().chain(&by_weight).all(|x| x.is_nan()));
    for weights in [None, Some(&[1.0, 1.0][..])] {
        assert_eq!(at(&[f64::INFINITY, 0.0], weights, 2.0), (vec![1.0, 0.0], vec![2.0, 0.0]));
        assert_eq!(at(&[f64::INFINITY, 0.0], weights, 1.0), (vec![1.0, 0.0], vec![1.0, 0.0]));
    }
    let mut out = [7.0; 2];
    Terms::new(&[f64::INFINITY; 2]).temperature(2.0).unwrap().hvp(&[1.0, 0.0], &mut out).unwrap();
    assert_eq!(out, [0.125, -0.125]);
    let (z, b) = ([0.0, 0.0, f64::NAN], [1.0, 1.0, 0.0]);
    for (temperature, expected) in [(1.0, 0.25), (2.0, 0.125)] {
        let mut out = [7.0; 3];
        let terms = Terms::new(&z).weights(&b).unwrap().temperature(temperature).unwrap();
        terms.hvp(&[1.0, 0.0, 3.0], &mut out).unwrap();
        assert_eq!(out, [expected, -expected, 0.0]);
    }
}

/// Where the softmax is 0, a tangent or a vector counts nothing, however great it is beside the others.
#[test]
fn great_tangents_where_the_softmax_is_0() {
    fn at(temperature: f64, z: &[f64]) -> Terms<'_, f64> {
        Terms::new(z).temperature(temperature).expect("a positive temperature")
    }
    let few = [0.25, 0.0];
    let v = [3e-300, 1e-300];
    for temperature in [1.0, 2.0] {
        let mut hessians = [[0.0; 2]; 2];
        at(temperature, &few).hvp(&v, &mut hessians[0]).unwrap();
        at(temperature, &few).softmax_entropy_hvp(&v, &mut hessians[1]).unwrap();
        let slopes =
            [at(temperature, &few).jvp(&v).unwrap(), at(temperature, &few).softmax_entropy_jvp(&v).unwrap()];
        for great in [1e100, 1e120, 1e200, f64::MAX, f64::INFINITY, f64::NAN] {
            for (far, is_masked) in [(f64::NEG_INFINITY, false), (-2e4, false), (0.5, true), (-2e4, true)] {
                let z = [0.25, far, 0.0];
                let mask = [true, !is_masked, true];
                for weights in [None, Some([1.0; 3])] {
                    // A weight may make up for any distance.
                    if weights.is_some() && far == -2e4 && !is_masked {
                        continue;
                    }
                    let mut terms = at(temperature, &z);
                    if is_masked {
                        terms = terms.mask(&mask).unwrap();
                    }
                    if let Some(weights) = &weights {
                        terms = terms.weights(weights).unwrap();
                    }
                    let case = format!("{terms:?} {great:e}");
                    let v = [3e-300, great, 1e-300];
                    let close = |a: f64, b: f64| (a - b).abs() <= 1e-14 * b.abs();
                    let found = [terms.jvp(&v).unwrap(), terms.softmax_entropy_jvp(&v).unwrap()];
                    for (found, expected) in found.iter().zip(slopes) {
                        assert!(close(found.1, expected.1), "{case}: {found:?}, not {expected:?}");
                    }
                    let mut found = [[1.0; 3]; 2];
                    terms.hvp(&v, &mut found[0]).unwrap();
                    terms.softmax_entropy_hvp(&v, &mut found[1]).unwrap();
                    for ([a, zero, b], expected) in found.into_iter().zip(hessians) {
                        assert!(
                            close(a, expected[0]) && close(b, expected[1]) && zero == 0.0,
                            "{case}: {a:e} {zero:e} {b:e}, not {expected:?}"
                        );
                    }
                }
            }
        }
    }
}

/// A great weight makes up for a number far below the greatest, whose tangent counts then.
#[test]
fn great_tangents_of_far_terms_with_great_weights() {
    let (z, b) = ([0.0, -1001.0], [1e-300, 1e300]);
    let terms = Terms::new(&z).weights(&b).unwrap();
    assert_eq!(terms.jvp(&[0.0, 1e200]).unwrap().1, 1e200);
    assert_eq!(terms.temperature(2.0).unwrap().jvp(&[0.0, 1e200]).unwrap().1, 1e200);
}

/// The shares of terms +∞ are those of their weights, also where the sum of these is out of range.
#[test]
fn infinite_terms_with_great_weights() {
    let inf = f64::INFINITY;
    for (b, share) in [(1e308, 0.25), (f64::MAX, 0.25), (5e-324, 0.25), (-1e308, 0.25), (0.1, 0.25)] {
        let (z, b) = ([inf, 0.0, inf, inf, inf], [b, 1.0, b, b, b]);
        let terms = Terms::new(&z).weights(&b).unwrap();
        let (mut gradient, mut by_weight) = ([7.0; 5], [7.0; 5]);
        terms.logsumexp_with_gradients(&mut gradient, &mut by_weight).unwrap();
        assert_eq!(gradient, [share, 0.0, share, share, share], "{b:?}");
        let expected = 0.25 / b[0];
        assert_eq!(by_weight, [expected, 0.0, expected, expected, expected], "{b:?}");
    }
    // The quotients by the exact sum; those by the rounded sum are different floats.
    let b = [0.6793586961546274, 0.6616245327506757, 0.08038055387302934];
    let (z, mut gradient) = ([inf; 3], [0.0; 3]);
    let terms = Terms::new(&z).weights(&b).unwrap();
    terms.logsumexp_with_gradients(&mut gradient, &mut [0.0; 3]).unwrap();
    assert_eq!(gradient, [0.4779625767772755, 0.4654857122202746, 0.056551711002449975]);
}

/// Sums of short rows of an array, which are found eight at a time, are those of each row alone.
fn check_short_rows<T: Format>(seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for length in [1, 2, 3, 5, 8, 9, 16, 31, 63, 64] {
        let count = 41;
        let size = [count, length];
        let (mut z, mut b) = (Array2::from_elem(size, T::of(0.0)), Array2::from_elem(size, T::of(0.0)));
        for row in 0..count {
            let spread = [1.0, 30.0, 600.0, 1e-3][row % 4];
            let (positive, scale) =
                (random.random_range(0..3) > 0, [1.0, 1e-4, 2e4][random.random_range(0..3)]);
            for k in 0..length {
                z[[row, k]] = T::of(spread * random.random_range(-1.0..1.0));
                let weight = scale * random.random_range(if positive { 0.0..1.0 } else { -1.0..1.0 });
                b[[row, k]] = T::of(if random.random_range(0..9) == 0 { 0.0 } else { weight });
                if random.random_range(0..40) == 0 {
                    let special = [f64::NEG_INFINITY, f64::INFINITY, f64::NAN, -0.0, 60000.0];
                    z[[row, k]] = T::of(special[random.random_range(0..5)]);
                }
                if random.random_range(0..200) == 0 {
                    b[[row, k]] = T::of([f64::INFINITY, f64::NAN, -0.0][random.random_range(0..3)]);
                }
            }
            // In f16 the value is nearest to 0, from below.
            if row == 40 && length > 1 {
                z.row_mut(row).fill(T::of(0.0));
                b.row_mut(row).fill(T::of(0.0));
                (z[[row, 0]], b[[row, 0]], b[[row, 1]]) =
                    (T::of(-(2_f64.powi(-24))), T::of(0.25), T::of(0.75));
            }
            // The greatest number has the weight 0, and equal terms cancel.
            if row % 10 == 7 && length > 2 {
                (z[[row, 0]], b[[row, 0]]) = (T::of(800.0), T::of(0.0));
                (z[[row, 1]], b[[row, 1]]) = (z[[row, 2]], T::of(-b[[row, 2]].into()));
            }
        }
        let mask = Array2::from_shape_simple_fn(size, || random.random_range(0..4) > 0);
        let same = |a: T, b: T| a.same_bits(b) || (a.into().is_nan() && b.into().is_nan());
        let transposed = (z.t(), b.t(), mask.t());
        for _ in each_level() {
            for (has_weights, has_mask) in [(true, false), (false, true), (true, true)] {
                let (mut all, mut columns) = (z.terms(1).unwrap(), transposed.0.terms(0).unwrap());
                if has_weights {
                    (all, columns) = (all.weights(&b).unwrap(), columns.weights(&transposed.1).unwrap());
                }
                if has_mask {
                    (all, columns) = (all.mask(&mask).unwrap(), columns.mask(&transposed.2).unwrap());
                }
                let (values, signs) = all.logsumexp_with_sign().unwrap();
                assert_eq!(format!("{values:?}"), format!("{:?}", columns.logsumexp_with_sign().unwrap().0));
                let sums = all.logsumexp().unwrap();
                for row in 0..count {
                    let (z, b, mask) = (z.row(row).to_vec(), b.row(row).to_vec(), mask.row(row).to_vec());
                    let mut terms = Terms::new(&z);
                    if has_weights {
                        terms = terms.weights(&b).unwrap();
                    }
                    if has_mask {
                        terms = terms.mask(&mask).unwrap();
                    }
                    let (value, sign) = terms.logsumexp_with_sign();
                    assert!(
                        same(values[row], value)
                            && same(signs[row], sign)
                            && same(sums[row], terms.logsumexp()),
                        "{terms:?}: {} with sign {}, not {value} with {sign}",
                        values[row],
                        signs[row]
                    );
                }
            }
        }
    }
}

#[test]
fn short_rows_are_as_alone() {
    check_short_rows::<f64>(91);
    check_short_rows::<f32>(92);
    check_short_rows::<f16>(93);
    check_short_rows::<bf16>(94);
}
