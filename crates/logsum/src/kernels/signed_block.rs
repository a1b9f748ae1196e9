//! Kernels over one block of one row with weights of any sign; the error of such a sum, and its logarithm.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two, two_sum};
use crate::arithmetic::exp::UNSCALE;
use crate::arithmetic::float64::Float64;
use crate::arithmetic::ln;
use crate::arithmetic::log_of_sum::SLACK;
use crate::arithmetic::precision::{Number, Precision};
use crate::formats::Format;
use crate::kernels::block::{STEP, exp_from, load, maximum, shift_for};
use crate::simd::{Vector, lanes};

/// Sums over a block, in units of [`UNSCALE`](crate::arithmetic::exp::UNSCALE).
#[derive(Clone, Copy)]
pub(crate) struct Weighted {
    pub(crate) shift: f64,
    /// Σ b e^{z − shift}.
    pub(crate) sum: DoubleDouble,
    /// About Σ |b| e^{z − shift}; not finite if the block has a NaN or +∞, or if a term is too large.
    pub(crate) size: f64,
}

/// Bounds, in units of UNSCALE, the error of the terms of a block that count as e^-1000 or underflow: |b| <
/// 2^1024, so that 1024 of them are below 2^-408 · e^shift.
pub(crate) const LEAST_ERROR: f64 = power_of_two(512 - 400);

/// A bound on the error of a sum of at most [`BLOCK`](crate::kernels::row_access::BLOCK) terms, given
/// Σ |b| e^{z − shift}, all in units of UNSCALE.
#[inline(always)]
pub(crate) fn error<P: Precision, F: Float64>(size: F) -> F {
    size * size.splat((P::FAR_EXP_ERROR + P::SIGNED_SUM_ERROR) * SLACK) + size.splat(LEAST_ERROR)
}

/// log(|sum|/divisor), for a sum in units of UNSCALE with an error of at most `error`, and a bound on its error. That
/// is infinite if the sum is not known to 2^-10 of itself, or its magnitude is not from 2^-1000 to 2^1000.
#[inline(always)]
pub(crate) fn log<F: Float64>(sum: DoubleDouble<F>, error: F, divisor: F) -> (DoubleDouble<F>, F) {
    let splat = |x: f64| divisor.splat(x);
    let magnitude = (-sum.hi).where_at_most(0.0, sum.hi, -sum.hi) * splat(UNSCALE);
    let low = (-sum.hi).where_at_most(0.0, sum.lo, -sum.lo) * splat(UNSCALE);
    // The quotient's relative error, below 16u², is part of that of the logarithm's argument.
    let quotient = DoubleDouble { hi: magnitude, lo: low } / DoubleDouble::from(divisor);
    let (log, log_error) = ln::ln_dd(quotient);
    // A relative error e of its argument changes the logarithm by less than e · (1 + e).
    let relative = error.div(sum.hi.max(-sum.hi)) + splat(power_of_two(-102));
    let rounding = splat(power_of_two(-103)) * (log.hi.max(-log.hi) + splat(power_of_two(-900)));
    let bound = relative * splat(1.002) + log_error + rounding;
    // NaN satisfies no condition.
    let unknown = splat(f64::INFINITY);
    let bound = (error * splat(UNSCALE * power_of_two(10)) - magnitude).where_at_most(0.0, bound, unknown);
    let bound = magnitude.where_at_most(power_of_two(1000), bound, unknown);
    (log, (-magnitude).where_at_most(-power_of_two(-1000), bound, unknown))
}

/// [`Weighted`] of a block of at most [`BLOCK`](crate::kernels::row_access::BLOCK) numbers and their weights.
#[inline(always)]
pub(crate) fn weighted<P: Precision, T: Format, V: Vector>(z: &[T], b: &[T], simd: V) -> Weighted {
    let max = maximum(z, simd);
    if max == f64::INFINITY {
        return Weighted { shift: 0.0, sum: DoubleDouble::ZERO, size: f64::NAN };
    }
    // If all numbers are −∞, the terms are e^-1000, which is negligible unless a weight is not finite.
    let shift = if max == f64::NEG_INFINITY { 0.0 } else { shift_for(max, z.len()) };
    let (sum, size) = if shift == 0.0 {
        sums::<true, P, T, V>(z, b, simd.splat(0.0))
    } else {
        sums::<false, P, T, V>(z, b, simd.splat(shift))
    };
    Weighted { shift, sum, size }
}

#[inline(always)]
fn sums<const AT_0: bool, P: Precision, T: Format, V: Vector>(z: &[T], b: &[T], c: V) -> (DoubleDouble, f64) {
    let zero = c.splat(0.0);
    let (mut sum, mut size) = (DoubleDouble::from(zero), zero);
    let ((whole_z, rest_z), (whole_b, rest_b)) = (z.as_chunks::<STEP>(), b.as_chunks::<STEP>());
    for (z, b) in whole_z.iter().zip(whole_b) {
        (sum, size) = step::<AT_0, P, T, V>(z, b, c, (sum, size));
    }
    if !rest_z.is_empty() {
        let (mut z, mut b) = ([T::NEG_INFINITY; STEP], [T::default(); STEP]);
        z[..rest_z.len()].copy_from_slice(rest_z);
        b[..rest_b.len()].copy_from_slice(rest_b);
        (sum, size) = step::<AT_0, P, T, V>(&z, &b, c, (sum, size));
    }
    total(sum, size)
}

#[inline(always)]
fn step<const AT_0: bool, P: Precision, T: Format, V: Vector>(
    z: &[T; STEP],
    b: &[T; STEP],
    c: V,
    (mut sum, mut size): (DoubleDouble<V>, V),
) -> (DoubleDouble<V>, V) {
    let (z, b) = (load(z, c), load(b, c));
    for i in 0..2 {
        let term = exp_from::<AT_0, P, V>(z[i], c).by(b[i]);
        let high = term.to_dd().hi;
        sum = term.added_to(sum);
        size = size + high.max(-high);
    }
    (sum, size)
}

/// Adds eight sums, which are not normalised, and eight sizes.
#[inline(always)]
pub(crate) fn total<V: Vector>(sum: DoubleDouble<V>, size: V) -> (DoubleDouble, f64) {
    let (sums, mut sizes) = (lanes(sum), [0.0; 8]);
    size.store(&mut sizes);
    let (mut all, mut whole) = (two_sum(sums[0].hi, sums[0].lo), sizes[0]);
    for i in 1..8 {
        all = all + two_sum(sums[i].hi, sums[i].lo);
        whole += sizes[i];
    }
    (all, whole)
}
