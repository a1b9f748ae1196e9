//! The functions of many rows give the bits of each row alone: at every level, for short and long rows, for
//! numbers of rows that are not a multiple of eight, and for enough numbers to be distributed over threads. It is
//! a separate binary because the level is a process-wide setting.

#[path = "common/each_level.rs"]
mod each_level;

use each_level::each_level;
use half::{bf16, f16};
use logsum::{
    Error, Float, log_softmax, log_softmax_rows, logsumexp, logsumexp_rows, logsumexp_rows_with_gradient,
    logsumexp_with_gradient, softmax, softmax_rows,
};

/// Rows of several kinds in turn: ordinary numbers, ties, tiny and huge numbers, values near 0, infinities, a NaN.
fn rows<T: Float>(of: impl Fn(f64) -> T, length: usize, count: usize) -> Vec<T> {
    let mut state = (length * 31 + count) as u64;
    (0..length * count)
        .map(|i| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let unit = (state >> 11) as f64 / (1_u64 << 53) as f64;
            let (row, column) = (i / length, i % length);
            of(match row % 13 {
                0 => 3000.0 * unit - 1500.0,
                1 => 1e-9 * unit,
                2 => (unit * 4.0).floor(),
                3 => -745.0 * unit,
                4 => -(length as f64).ln(),
                5 if column.is_multiple_of(5) => f64::NEG_INFINITY,
                6 if column == row % length => f64::INFINITY,
                7 if column == row % length => f64::NAN,
                8 => f64::NEG_INFINITY,
                _ => 20.0 * unit - 10.0,
            })
        })
        .collect()
}

/// Checks that the bits are equal, with all NaNs equal.
fn same<T: Float>(found: &[T], expected: &[T], what: &str, length: usize, count: usize) {
    let bits = |x: &T| x.widen().to_bits() & if x.widen().is_nan() { 0x7ff8 << 48 } else { u64::MAX };
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            bits(found) == bits(expected),
            "{what}, {count} rows of {length}, at {i}: {found:?}, alone {expected:?}"
        );
    }
}

fn check<T: Float>(of: impl Fn(f64) -> T, length: usize, count: usize) {
    let z = rows(of, length, count);
    let mut found = [(); 3].map(|()| vec![T::default(); z.len()]);
    let mut values = [(); 2].map(|()| vec![T::default(); count]);
    logsumexp_rows(&z, length, &mut values[0]).unwrap();
    logsumexp_rows_with_gradient(&z, length, &mut values[1], &mut found[0]).unwrap();
    softmax_rows(&z, length, &mut found[1]).unwrap();
    log_softmax_rows(&z, length, &mut found[2]).unwrap();
    let mut alone = [(); 3].map(|()| vec![T::default(); z.len()]);
    let mut values_alone = [(); 2].map(|()| vec![T::default(); count]);
    for (i, z) in z.chunks(length).enumerate() {
        let [gradient, p, log_p] = alone.each_mut().map(|out| &mut out[i * length..][..length]);
        values_alone[0][i] = logsumexp(z);
        values_alone[1][i] = logsumexp_with_gradient(z, gradient).unwrap();
        softmax(z, p).unwrap();
        log_softmax(z, log_p).unwrap();
    }
    for (what, found, alone) in [
        ("values", &values[0], &values_alone[0]),
        ("values beside a gradient", &values[1], &values_alone[1]),
        ("gradient", &found[0], &alone[0]),
        ("softmax", &found[1], &alone[1]),
        ("log-softmax", &found[2], &alone[2]),
    ] {
        same(found, alone, what, length, count);
    }
}

#[test]
fn every_row_has_the_bits_that_it_has_alone() {
    for _level in each_level() {
        for length in [1, 2, 3, 7, 8, 9, 16, 31, 63, 64, 65, 100, 1023, 1025] {
            for count in [1, 7, 8, 9, 27, 64, 65, 131] {
                check(|x| x, length, count);
                check(|x| x as f32, length, count);
                check(f16::from_f64, length, count);
                check(bf16::from_f64, length, count);
            }
        }
    }
}

/// More than 2^18 numbers are distributed even over four threads; a row of more than 2^17 is divided itself.
#[test]
fn threads_change_no_bit() {
    for (length, count) in [(1, 300_001), (5, 80_003), (70, 5003), (4099, 131), (150_001, 3)] {
        for threads in [1, 3, 4] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                check(|x| x, length, count);
                check(|x| x as f32, length, count);
            });
        }
    }
}

#[test]
fn what_is_no_matrix_is_an_error() {
    let (z, mut two, mut four) = ([1.0; 4], [7.0; 2], [7.0; 4]);
    let message = |result: Result<(), Error>| result.unwrap_err().to_string();
    for (length, expected) in [
        (0, "`row_length` is 0, but must be at least 1"),
        (3, "`z` has 4 elements, but needs a multiple of 3, the number of elements of a row"),
    ] {
        assert_eq!(message(logsumexp_rows(&z, length, &mut two)), expected);
        assert_eq!(message(logsumexp_rows_with_gradient(&z, length, &mut two, &mut four)), expected);
        assert_eq!(message(softmax_rows(&z, length, &mut four)), expected);
        assert_eq!(message(log_softmax_rows(&z, length, &mut four)), expected);
    }
    assert!(logsumexp_rows(&z, 4, &mut two).is_err());
    assert!(logsumexp_rows_with_gradient(&z, 1, &mut two, &mut four).is_err());
    assert!(logsumexp_rows_with_gradient(&z, 2, &mut two, &mut [0.0; 3]).is_err());
    assert!(softmax_rows(&z, 2, &mut [0.0; 3]).is_err());
    assert!(log_softmax_rows(&z, 2, &mut two).is_err());
    assert_eq!((two, four), ([7.0; 2], [7.0; 4]), "nothing is written");
    assert_eq!(logsumexp_rows::<f64>(&[], 5, &mut []), Ok(()));
    assert_eq!(softmax_rows::<f64>(&[], 5, &mut []), Ok(()));
}
