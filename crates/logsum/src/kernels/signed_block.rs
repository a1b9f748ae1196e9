//! Kernels over one block of one row with weights of any sign.

use crate::arithmetic::double_double::{DoubleDouble, two_sum};
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
