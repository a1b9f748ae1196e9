//! Log-probabilities of tokens: each has the bits of the row's log-softmax at the token; derivatives and entropies; the
//! gradient in arbitrary precision; special cases.

mod common;
#[path = "common/each_level.rs"]
mod each_level;

use common::{Format, big, nearest, ulps};
use each_level::each_level;
use half::{bf16, f16};
use logsum::{
    Error, LogSumExp, log_softmax, softmax_entropy, token_log_probs, token_log_probs_with_entropy,
    token_log_probs_with_gradient,
};
use ndarray::Array3;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const BITS: usize = 1300;

/// Rows of this length, everyday and hard ones, and a token each.
fn rows<T: Format>(length: usize, count: usize) -> (Vec<T>, Vec<usize>) {
    let mut random = ChaCha8Rng::seed_from_u64(length as u64);
    let mut z = Vec::new();
    for row in 0..count {
        let (spread, offset) = ([1.0, 10.0, 50.0, 800.0][row % 4], [0.0, 1e3, -30.0][row / 4 % 3]);
        let mut numbers: Vec<f64> =
            (0..length).map(|_| spread * random.random_range(-1.0..1.0) + offset).collect();
        match row % 11 {
            // One score far exceeds all others: the logarithm that is subtracted from a difference is tiny.
            0 => numbers[0] = offset + 40.0 + spread,
            1 => numbers.fill(offset),
            2 => numbers[length / 2] = f64::NEG_INFINITY,
            3 => numbers.iter_mut().for_each(|z| *z = (*z * 8.0).round() / 8.0),
            _ => {}
        }
        z.extend(numbers.into_iter().map(T::of));
    }
    (z, (0..count).map(|row| if row % 3 == 0 { 0 } else { random.random_range(0..length) }).collect())
}

fn check<T: Format>() {
    let bits = |numbers: &[T]| numbers.iter().map(|x| T::of((*x).into() + 0.0).bits()).collect::<Vec<_>>();
    let mut checked = 0;
    for (length, count) in
        [(1, 9), (2, 50), (7, 51), (16, 40), (63, 30), (64, 30), (65, 30), (1000, 24), (70_000, 6)]
    {
        let (z, tokens) = rows::<T>(length, count);
        let mut expected = Vec::new();
        for (row, &token) in z.chunks(length).zip(&tokens) {
            let mut log_p = row.to_vec();
            log_softmax(row, &mut log_p).unwrap();
            expected.push(log_p[token]);
        }
        let [mut out, mut entropies, mut again] = [(); 3].map(|()| vec![T::default(); count]);
        for level in each_level() {
            token_log_probs_with_entropy(&z, &tokens, &mut out, &mut entropies).unwrap();
            assert_eq!(bits(&out), bits(&expected), "rows of {length} at {level:?}");
            let mut gradient = z.clone();
            token_log_probs_with_gradient(&z, &tokens, &mut again, &mut gradient).unwrap();
            assert_eq!(bits(&again), bits(&expected), "rows of {length} at {level:?}, with the gradient");
        }
        for (row, entropy) in z.chunks(length).zip(&entropies) {
            assert_eq!(entropy.bits(), softmax_entropy(row).bits());
        }
        // Each row alone: a batch does not matter.
        for (row, (&token, expected)) in z.chunks(length).zip(tokens.iter().zip(&expected)) {
            token_log_probs(row, &[token], &mut again[..1]).unwrap();
            assert_eq!(bits(&again[..1]), bits(&[*expected]));
        }
        checked += count;
    }
    println!("{checked} tokens, all with the bits of log-softmax");
}

#[test]
fn they_are_log_softmax_at_the_tokens() {
    check::<f64>();
    check::<f32>();
    check::<f16>();
    check::<bf16>();
}

/// Values against arbitrary precision, and derivatives within an ulp of it.
fn check_against_the_formula<T: Format>() {
    for length in [2, 7, 64, 100] {
        let (z, tokens) = rows::<T>(length, 44);
        let (mut out, mut gradient) = (vec![T::default(); tokens.len()], z.clone());
        token_log_probs_with_gradient(&z, &tokens, &mut out, &mut gradient).unwrap();
        for (i, &token) in tokens.iter().enumerate() {
            let (row, gradient) = (&z[i * length..][..length], &gradient[i * length..][..length]);
            let wide: Vec<f64> = row.iter().map(|&z| z.into()).collect();
            let max = wide.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let power = |z: f64| match z {
                f64::NEG_INFINITY => big(0.0, BITS),
                z => (big(z, BITS) - big(max, BITS)).exp(),
            };
            let sum = wide.iter().fold(big(0.0, BITS), |sum, &z| sum + power(z));
            if wide[token] > f64::NEG_INFINITY {
                let exact = big(wide[token], BITS) - big(max, BITS) - sum.ln();
                // The terms of other scores may be too small for these bits, but decide ties.
                let trace = if sum > big(1.0, BITS) { big(1.0, 6000) >> 5000 } else { big(0.0, BITS) };
                let exact = exact.with_precision(6000).value() - trace;
                let expected = nearest::<T>(&exact);
                let plus_0 = |x: T| T::of(x.into() + 0.0).bits();
                assert_eq!(
                    plus_0(out[i]),
                    plus_0(expected),
                    "row {i} of {length}: {}, not {expected}",
                    out[i]
                );
            }
            for (k, &found) in gradient.iter().enumerate() {
                let others = wide.iter().enumerate().filter(|&(j, _)| j != k);
                let exact = match k == token {
                    true => others.fold(big(0.0, BITS), |sum, (_, &z)| sum + power(z)) / &sum,
                    false => -power(wide[k]) / &sum,
                };
                let off = ulps(found, &exact);
                assert!(off <= 1.0, "row {i} of {length}: derivative {k} is {found}, {off} ulp off");
            }
        }
    }
}

#[test]
fn values_and_derivatives_are_those_of_the_formula() {
    check_against_the_formula::<f64>();
    check_against_the_formula::<f32>();
}

#[test]
fn edges() {
    const INF: f64 = f64::INFINITY;
    let of = |z: &[f64], token: usize| {
        let (mut out, mut entropy, mut gradient) = ([9.0], [9.0], z.to_vec());
        token_log_probs_with_entropy(z, &[token], &mut out, &mut entropy).unwrap();
        token_log_probs_with_gradient(z, &[token], &mut out, &mut gradient).unwrap();
        (out[0], entropy[0], gradient)
    };
    assert_eq!(of(&[3.0], 0), (0.0, 0.0, vec![0.0]));
    assert_eq!(of(&[-INF, -INF], 1), (-INF, 0.0, vec![0.0, 0.0]));
    assert_eq!(of(&[0.0, -INF], 1).0, -INF);
    assert_eq!(of(&[INF, 0.0], 0), (0.0, 0.0, vec![0.0, 0.0]));
    assert_eq!(of(&[INF, 0.0], 1).0, -INF);
    assert_eq!(of(&[INF, INF, 1.0], 0).0, -std::f64::consts::LN_2);
    assert!(of(&[f64::NAN, 0.0], 1).0.is_nan());
    assert_eq!(of(&[-1e308, 1e308], 0).0, -INF);
    assert_eq!(of(&[0.0, -740.0], 0).0, -4.2e-322);
    // No rows.
    token_log_probs::<f64>(&[], &[], &mut []).unwrap();
    token_log_probs_with_entropy::<f64>(&[], &[], &mut [], &mut []).unwrap();
}

#[test]
fn errors_say_what_is_wrong_and_write_nothing() {
    let (mut out, mut entropies, mut gradient) = ([7.0; 2], [7.0; 2], [7.0; 4]);
    let z = [1.0, 2.0, 3.0, 4.0];
    let says = |result: Result<(), Error>, words: &str| assert_eq!(result.unwrap_err().to_string(), words);
    let beyond = "the token of row 1 is 2, but must be below 2, the length of the row";
    says(token_log_probs(&z, &[0, 2], &mut out), beyond);
    says(token_log_probs_with_entropy(&z, &[0, 2], &mut out, &mut entropies), beyond);
    says(token_log_probs_with_gradient(&z, &[0, 2], &mut out, &mut gradient), beyond);
    says(
        token_log_probs(&z[..3], &[0, 0], &mut out),
        "`logits` has 3 elements, but needs a multiple of 2, the number of tokens",
    );
    says(token_log_probs(&z, &[0], &mut out), "`out` has 2 elements, but needs 1 to fit `tokens`");
    says(
        token_log_probs::<f64>(&[], &[4, 1], &mut out),
        "the token of row 0 is 4, but must be below 0, the length of the row",
    );
    says(token_log_probs(&z, &[], &mut []), "`logits` has 4 elements, but needs 0 to fit `tokens`");
    says(
        token_log_probs_with_entropy(&z, &[0, 0], &mut out, &mut entropies[..1]),
        "`entropies` has 1 element, but needs 2 to fit `tokens`",
    );
    says(
        token_log_probs_with_gradient(&z, &[0, 0], &mut out, &mut gradient[..3]),
        "`gradient` has 3 elements, but needs 4 to fit `logits`",
    );
    assert_eq!((out, entropies, gradient), ([7.0; 2], [7.0; 2], [7.0; 4]));
}

#[test]
fn along_any_axis() {
    let z = Array3::from_shape_fn((4, 5, 6), |(i, j, k)| ((i * 31 + j * 17 + k * 7) % 23) as f32);
    for axis in 0..3 {
        let log_p = z.log_softmax(axis).unwrap();
        let length = z.shape()[axis as usize];
        let count = z.len() / length;
        let tokens: Vec<usize> = (0..count).map(|i| i * 3 % length).collect();
        let found = z.token_log_probs(axis, &tokens).unwrap();
        let lanes = log_p.lanes(ndarray::Axis(axis as usize));
        let expected: Vec<f32> = lanes.into_iter().zip(&tokens).map(|(lane, &token)| lane[token]).collect();
        assert_eq!(found.iter().copied().collect::<Vec<_>>(), expected);
        assert!(z.token_log_probs(axis, &tokens[1..]).is_err());
    }
}
