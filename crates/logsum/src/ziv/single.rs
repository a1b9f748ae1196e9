//! The rung of f16 and bf16 before all others: Σ e^z in f32, about 0.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two};
use crate::arithmetic::ln;
use crate::formats::{Format, exp_f32};
use crate::kernels::columns::LANES;
use crate::kernels::series::{BLOCK, PIECE, Series};
use crate::simd::{Task, Vector, run, task};
use crate::threads::in_tree;
use std::ops::Range;

/// The float that the log-sum-exp rounds to, if this shows it.
pub(super) fn value<T: Format>(lane: &dyn Series<T>) -> Option<T> {
    let (mut sum, mut count) = (Some(0.0), 0);
    match lane.contiguous() {
        Some(numbers) => (sum, count) = (of(numbers), numbers.len()),
        None => lane.pieces(&mut |piece| {
            sum = sum.zip(of(piece)).map(|(all, part)| all + part);
            count += piece.len();
        }),
    }
    settle(&[sum?; LANES], count)[0]
}

/// Σ e^z, unless a number is too great for that.
pub(crate) fn of<T: Format>(numbers: &[T]) -> Option<f64> {
    let piece = |range: Range<usize>, (), (): &mut ()| of_piece(&numbers[range]);
    let both = |left: Option<f64>, right: Option<f64>| Some(left? + right?);
    in_tree(0..numbers.len(), (), PIECE, PIECE / 2, &mut (), &piece, &both)
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

/// The logarithms of eight such sums of `count` numbers each, where these show them.
pub(crate) fn settle<T: Format>(sums: &[f64; LANES], count: usize) -> [Option<T>; LANES] {
    run(Settle { sums, count, values: [None; LANES] })
}

struct Settle<'a, T> {
    sums: &'a [f64; LANES],
    count: usize,
    values: [Option<T>; LANES],
}

impl<T: Format> Task for Settle<'_, T> {
    type Output = [Option<T>; LANES];

    #[inline(always)]
    fn run<V: Vector>(self, simd: V) -> Self::Output {
        /// Above e^−80, what a number adds at least; the last step of a block is filled up with such.
        const LEAST_TERM: f64 = power_of_two(-115);
        let Self { sums, count, mut values } = self;
        let sum = simd.load(sums);
        let (log, log_error) = ln::ln_dd(DoubleDouble::from(sum));
        let least_terms = simd.splat((count + exp_f32::STEP) as f64 * LEAST_TERM).div(sum);
        // A relative error of the sum, and a little for its square.
        let bound = simd.splat(exp_f32::ERROR * 1.001) + least_terms + log_error;
        let [low, high] = T::ends(log, bound);
        let [mut lows, mut highs] = [[T::default(); LANES]; 2];
        T::store(low, &mut lows);
        T::store(high, &mut highs);
        for j in 0..LANES {
            let is_settled = sums[j] > power_of_two(-100) && lows[j].same_bits(highs[j]);
            values[j] = if is_settled { Some(lows[j]) } else { None };
        }
        values
    }
}
