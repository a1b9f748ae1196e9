//! The sum about the estimate of the rung before, in double words: what a row needs whose value is near to a point
//! half-way between two floats, as one in thousands is by chance.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two, two_sum};
use crate::arithmetic::exp::{self, UNSCALE};
use crate::formats::Format;
use crate::kernels::series::{BLOCK, Series};
use crate::simd::{Task, Vector, run, task};

/// The float that the log-sum-exp rounds to, if this shows it, for a centre within 2^-50 of it.
///
/// Σ e^{z − center} = 1 + δ, and LSE = center + δ but for δ²/2. The bound: [`exp::WIDE_ERROR`] of a sum of 1; the additions
/// of a block, 131 of 3u², and one for each block; the centre's low word, taken from z's with one rounding.
pub(super) fn value<T: Format>(lane: &dyn Series<T>, center: DoubleDouble) -> Option<T> {
    let (mut sum, mut blocks) = (DoubleDouble::ZERO, 0_u64);
    lane.pieces(&mut |piece| {
        sum = sum + sum_about(piece, center);
        blocks += piece.len().div_ceil(BLOCK) as u64;
    });
    let error = exp::WIDE_ERROR + power_of_two(-96) + power_of_two(-104) * blocks as f64;
    nearest(sum, center, error)
}

/// The same for log(e^a − e^b), where the centre is not more than 40 below a.
///
/// Each exponential has its own error, and its part of the error of the centre's low word.
pub(super) fn difference<T: Format>(a: f64, b: f64, center: DoubleDouble) -> Option<T> {
    if a - center.hi > 40.0 {
        return None;
    }
    let [plus, minus] = run(Exponentials { z: [a, b], center });
    let size = (plus.hi + minus.hi) * UNSCALE;
    // A difference of double words has no bound relative to itself, but 2^-104 of each.
    let error = (exp::WIDE_ERROR + power_of_two(-100) + power_of_two(-104) * center.hi.abs()) * size;
    nearest(plus - minus, center, error)
}

struct Exponentials {
    z: [f64; 2],
    center: DoubleDouble,
}

impl Task for Exponentials {
    type Output = [DoubleDouble; 2];

    #[inline(always)]
    fn run<V: Vector>(self, _: V) -> [DoubleDouble; 2] {
        [exp::exp_dd_wide(self.z[0], self.center), exp::exp_dd_wide(self.z[1], self.center)]
    }
}

/// `sum` is Σ e^{z − center} in units of UNSCALE, off by at most `error` and what the centre's size adds.
pub(super) fn nearest<T: Format>(sum: DoubleDouble, center: DoubleDouble, error: f64) -> Option<T> {
    let delta = (sum + (-1.0 / UNSCALE)).scaled(UNSCALE);
    // Not so if it is NaN.
    let is_near = delta.hi.abs() < power_of_two(-50);
    let low = two_sum(center.lo, delta.hi);
    let error =
        error + power_of_two(-104) * center.hi.abs() + (delta.hi * delta.hi + low.lo.abs() + delta.lo.abs());
    let [a, b] = T::ends(DoubleDouble { hi: center.hi, lo: low.hi }, error).map(T::narrow);
    (is_near && a.same_bits(b)).then_some(a)
}

task! {
    fn sum_about<T: Format>(piece: &[T], center: DoubleDouble; simd: V) -> DoubleDouble {
        let center = center.splat(simd);
        let mut all = DoubleDouble::ZERO;
        for block in piece.chunks(BLOCK) {
            let mut sum = DoubleDouble::ZERO.splat(simd);
            for numbers in block.chunks(8) {
                sum = sum + exp::exp_dd_wide(T::load_up_to(numbers, simd), center);
            }
            let (mut his, mut los) = ([0.0; 8], [0.0; 8]);
            sum.hi.store(&mut his);
            sum.lo.store(&mut los);
            for i in 0..8 {
                all = all + DoubleDouble { hi: his[i], lo: los[i] };
            }
        }
        all
    }
}
