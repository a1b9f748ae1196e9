//! Numbers of any bits: values and derivatives of a row, of rows, and of columns, against the slow oracle of the tests.
//!
//! The first byte is the format and the length of a row.
#[path = "../../crates/logsum/tests/common/mod.rs"]
mod common;

use common::{Format, nearest_elements, oracle};
use half::{bf16, f16};
use logsum::{Accumulator, LogSumExp};
use ndarray::ArrayView2;

fn same<T: Format>(found: &[T], expected: &[T]) {
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let [found, expected]: [f64; 2] = [(*found).into(), (*expected).into()];
        assert!(found == expected || found.is_nan() && expected.is_nan(), "{i}: {found:e}, not {expected:e}");
    }
}

fn check<T: Format>(z: &[T], length: usize) {
    let length = length.min(z.len());
    if length == 0 {
        return;
    }
    let z = &z[..z.len() / length * length];
    let (mut values, mut gradient, mut log_p) = (vec![T::of(0.0); z.len() / length], z.to_vec(), z.to_vec());
    logsum::logsumexp_rows_with_gradient(z, length, &mut values, &mut gradient).expect("they fit");
    logsum::log_softmax_rows(z, length, &mut log_p).expect("they fit");
    for (i, row) in z.chunks(length).enumerate() {
        let place = i * length..(i + 1) * length;
        let value = logsum::logsumexp(row);
        let mut state = Accumulator::new();
        state.update(row);
        same(&[value], &[values[i]]);
        if state.is_proved_nearest() {
            same(&[state.value()], &[value]);
        }
        let (mut alone, mut log_alone) = (row.to_vec(), row.to_vec());
        logsum::softmax(row, &mut alone).expect("they fit");
        logsum::log_softmax(row, &mut log_alone).expect("they fit");
        same(&alone, &gradient[place.clone()]);
        same(&log_alone, &log_p[place]);
        if row.iter().all(|&z| z.into().is_finite()) {
            let (exact, shifted) = oracle(row);
            let [p, log_p] = nearest_elements(row, shifted);
            same(&[value], &[exact]);
            same(&alone, &p);
            same(&log_alone, &log_p);
        }
    }
    let columns = ArrayView2::from_shape((z.len() / length, length), z).expect("they fit");
    let of_columns = columns.t().logsumexp(0).expect("it has the axis");
    same(of_columns.as_slice().expect("it is new"), &values);
}

/// Compares values and derivatives of these numbers with exact ones.
pub fn values(data: &[u8]) {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let length = usize::from(choice >> 2) + 1;
    let bytes = &bytes[..bytes.len().min(1 << 10)];
    match choice & 3 {
        0 => check(&numbers(bytes, f64::from_le_bytes), length),
        1 => check(&numbers(bytes, f32::from_le_bytes), length),
        2 => check(&numbers(bytes, f16::from_le_bytes), length),
        _ => check(&numbers(bytes, bf16::from_le_bytes), length),
    }
}

fn numbers<T, const N: usize>(bytes: &[u8], of: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks().0.iter().map(|&bytes| of(bytes)).collect()
}
