//! The first phase of f16 and bf16: Σ e^z in f32, without a shift.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two};
use crate::arithmetic::ln;
use crate::formats::nearest::settled;
use crate::formats::{Format, exp_sum_f32};
use crate::kernels::columns::LANES;
use crate::kernels::row_access::{BLOCK, PIECE, Series};
use crate::simd::task;
use crate::threads::{grain, in_tree};
use std::ops::Range;

/// The correctly rounded log-sum-exp, if this phase settles it.
pub(super) fn value<T: Format>(series: &dyn Series<T>) -> Option<T> {
    let (mut sum, mut count) = (Some(0.0), 0);
    match series.contiguous() {
        Some(numbers) => (sum, count) = (of(numbers), numbers.len()),
        None => series.pieces(&mut |piece| {
            sum = sum.zip(of(piece)).map(|(all, part)| all + part);
            count += piece.len();
        }),
    }
    settle(&[sum?; LANES], count)[0]
}

/// Σ e^z; `None` if a number is too great.
pub(crate) fn of<T: Format>(numbers: &[T]) -> Option<f64> {
    let piece = |range: Range<usize>, (), (): &mut ()| of_piece(&numbers[range]);
    let both = |left: Option<f64>, right: Option<f64>| Some(left? + right?);
    in_tree(0..numbers.len(), (), PIECE, grain(numbers.len()), &mut (), &piece, &both)
}

task! {
    fn of_piece<T: Format>(numbers: &[T]; simd: V) -> Option<f64> {
        let mut sum = 0.0;
        for block in numbers.chunks(BLOCK) {
            sum += T::sum_in_singles(block, simd)?;
        }
        Some(sum)
    }
}

task! {
    /// The logarithms of eight such sums of `count` numbers each; `None` where this phase does not settle them.
    pub(crate) fn settle<T: Format>(sums: &[f64; LANES], count: usize; simd: V) -> [Option<T>; LANES] {
        /// Above e^−80, the least term of any number, also of the padding of a block's last step.
        const LEAST_TERM: f64 = power_of_two(-115);
        let sum = simd.load(sums);
        let (log, log_error) = ln::ln_dd(DoubleDouble::from(sum));
        let least_terms = simd.splat((count + exp_sum_f32::STEP) as f64 * LEAST_TERM).div(sum);
        // The relative error of the sum, with a margin for its square.
        let bound = simd.splat(exp_sum_f32::ERROR * 1.001) + least_terms + log_error;
        let (lows, is_settled) = settled::<T, V>(log, bound);
        let mut values = [None; LANES];
        for j in 0..LANES {
            values[j] = if sums[j] > power_of_two(-100) && is_settled[j] { Some(lows[j]) } else { None };
        }
        values
    }
}
