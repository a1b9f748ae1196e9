//! Log-sum-exp of segments: each has the bits of its own slice.

#[path = "common/each_level.rs"]
mod each_level;

use each_level::each_level;
use logsum::{Error, Segments, logsumexp, logsumexp_jvp, logsumexp_with_gradient, segment_logsumexp};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn bits(numbers: &[f64]) -> Vec<u64> {
    numbers.iter().map(|x| if x.is_nan() { 0 } else { x.to_bits() }).collect()
}

/// Segments of several lengths, some with special values, some that nearly cancel.
fn offsets_and_numbers() -> (Vec<usize>, Vec<f64>) {
    let mut random = ChaCha8Rng::seed_from_u64(51);
    let (mut offsets, mut z) = (vec![0], Vec::new());
    for s in 0..700 {
        let length = match s % 8 {
            0 => 0,
            1..5 => random.random_range(1..9),
            5 => random.random_range(1..64),
            6 if s > 350 => random.random_range(60..300),
            7 if s % 160 == 7 => random.random_range(1000..20_000),
            _ => 2,
        };
        let spread = [1.0, 40.0, 700.0][s % 3];
        z.extend((0..length).map(|i| match (s % 31, i) {
            (3, 1) => f64::NEG_INFINITY,
            (4, _) => f64::NEG_INFINITY,
            (5, 0) => f64::INFINITY,
            (6, 0) => f64::NAN,
            (7, 0) => 0.0,
            (7, _) => -60.0,
            _ => spread * random.random_range(-1.0..1.0),
        }));
        offsets.push(z.len());
    }
    (offsets, z)
}

#[test]
fn each_segment_is_as_its_slice() {
    let (offsets, z) = offsets_and_numbers();
    let count = offsets.len() - 1;
    let tangent: Vec<f64> = (0..z.len()).map(|i| (i as f64 * 0.618).fract()).collect();
    let (mut values, mut slopes, mut shares) = (vec![9.0; count], vec![9.0; count], z.clone());
    for s in 0..count {
        let range = offsets[s]..offsets[s + 1];
        values[s] = logsumexp_with_gradient(&z[range.clone()], &mut shares[range.clone()]).unwrap();
        slopes[s] = logsumexp_jvp(&z[range.clone()], &tangent[range]).unwrap().1;
    }
    // The same numbers in a random order.
    let ids: Vec<usize> = (0..count).flat_map(|s| vec![s; offsets[s + 1] - offsets[s]]).collect();
    let mut order: Vec<usize> = (0..z.len()).collect();
    let mut random = ChaCha8Rng::seed_from_u64(52);
    (1..order.len()).rev().for_each(|i| order.swap(i, random.random_range(0..=i)));
    // A stable sort keeps the random order within each segment.
    let shuffled = |from: &[f64]| -> Vec<f64> { order.iter().map(|&i| from[i]).collect() };
    let shuffled_ids: Vec<usize> = order.iter().map(|&i| ids[i]).collect();
    for level in each_level() {
        for segments in [Segments::by_offsets(&offsets).unwrap(), Segments::by_ids(&ids, count).unwrap()] {
            assert_eq!(segments.count(), count);
            let (mut out, mut same, mut gradient) = (vec![7.0; count], vec![7.0; count], vec![7.0; z.len()]);
            segments.logsumexp(&z, &mut out).unwrap();
            assert_eq!(bits(&out), bits(&values), "{level:?}");
            segments.logsumexp_with_gradient(&z, &mut same, &mut gradient).unwrap();
            assert_eq!((bits(&same), bits(&gradient)), (bits(&values), bits(&shares)), "{level:?}");
            let mut derivatives = vec![7.0; count];
            segments.logsumexp_jvp(&z, &tangent, &mut same, &mut derivatives).unwrap();
            assert_eq!((bits(&same), bits(&derivatives)), (bits(&values), bits(&slopes)));
        }
        let segments = Segments::by_ids(&shuffled_ids, count).unwrap();
        let (mut out, mut gradient) = (vec![7.0; count], vec![7.0; z.len()]);
        segments.logsumexp_with_gradient(&shuffled(&z), &mut out, &mut gradient).unwrap();
        assert_eq!(bits(&out), bits(&values));
        // Sums in another order: within 1 ulp each.
        for (found, expected) in gradient.iter().zip(shuffled(&shares)) {
            assert!(found.is_nan() && expected.is_nan() || (found - expected).abs() <= 3e-16 * expected);
        }
    }
}

#[test]
fn many_segments_by_threads() {
    let z: Vec<f32> = (0..1_000_000).map(|i| ((i as f32) * 0.618).fract() * 9.0).collect();
    let offsets: Vec<usize> = (0..=10_000).map(|s| s * 100).collect();
    let (mut out, mut gradient) = (vec![0.0; 10_000], z.clone());
    Segments::by_offsets(&offsets).unwrap().logsumexp_with_gradient(&z, &mut out, &mut gradient).unwrap();
    for (s, row) in z.chunks(100).enumerate() {
        let mut expected = row.to_vec();
        assert_eq!(out[s], logsumexp_with_gradient(row, &mut expected).unwrap());
        assert_eq!(gradient[s * 100..][..100], expected);
    }
}

#[test]
fn edges() {
    let mut out = [9.0; 3];
    segment_logsumexp(&[1.0, 2.0], &[1, 1], &mut out).unwrap();
    assert_eq!(out, [f64::NEG_INFINITY, logsumexp(&[1.0, 2.0]), f64::NEG_INFINITY]);
    segment_logsumexp(&[0.0, f64::INFINITY, f64::NAN], &[0, 1, 2], &mut out).unwrap();
    assert!(out[0] == 0.0 && out[1] == f64::INFINITY && out[2].is_nan());
    Segments::by_offsets(&[0]).unwrap().logsumexp::<f64>(&[], &mut []).unwrap();
    segment_logsumexp::<f32>(&[], &[], &mut []).unwrap();
}

#[test]
fn what_is_wrong_is_said() {
    let says =
        |result: Result<Segments, Error>, words: &str| assert_eq!(result.unwrap_err().to_string(), words);
    says(Segments::by_offsets(&[]), "`offsets` is empty, but needs at least 1 element");
    says(Segments::by_offsets(&[1, 2]), "offset 0 is 1, but must be 0");
    says(Segments::by_offsets(&[0, 3, 2]), "offset 2 is 2, but must be at least 3, the offset before it");
    says(Segments::by_ids(&[0, 5], 3), "the id at index 1 is 5, but must be below 3, the number of segments");
    let words = "18446744073709551615 segments are more than memory can hold";
    says(Segments::by_ids(&[], usize::MAX), words);
    let mut out = [9.0; 2];
    let says = |result: Result<(), Error>, words: &str| assert_eq!(result.unwrap_err().to_string(), words);
    let words = "`ids` has 2 elements, but needs 3 to fit `z`";
    says(segment_logsumexp(&[0.0; 3], &[0, 1], &mut out), words);
    let (segments, z) = (Segments::by_offsets(&[0, 1, 2]).unwrap(), [0.0; 2]);
    says(segments.logsumexp(&[0.0; 3], &mut out), "`z` has 3 elements, but needs 2 to fit `segments`");
    says(segments.logsumexp(&z, &mut [0.0]), "`out` has 1 element, but needs 2 to fit `segments`");
    let words = "`gradient` has 1 element, but needs 2 to fit `z`";
    says(segments.logsumexp_with_gradient(&z, &mut out, &mut [0.0]), words);
    says(
        segments.logsumexp_jvp(&z, &[0.0], &mut out, &mut [0.0]),
        "`tangent` has 1 element, but needs 2 to fit `z`",
    );
    says(
        segments.logsumexp_jvp(&z, &z, &mut out, &mut [0.0]),
        "`slopes` has 1 element, but needs 2 to fit `out`",
    );
    assert_eq!(out, [9.0; 2]);
}
