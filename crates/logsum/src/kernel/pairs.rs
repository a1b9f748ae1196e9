//! The loops over a block of one lane with a second number for each of its numbers: a weight, or a tangent.

use super::block::{STEP, exp_from, load, maximum, shift_for};
use super::precision::{Number, Precision};
use super::tempered::padded;
use super::two::{Two, power_of_two, two_product, two_sum};
use super::word::Vector;
use super::{Task, exp, run};
use crate::float::Float;

/// Sums over a block, in units of [`UNSCALE`](super::exp::UNSCALE).
#[derive(Clone, Copy)]
pub(crate) struct Weighted {
    pub(crate) shift: f64,
    /// Σ b e^{z − shift}.
    pub(crate) sum: Two,
    /// Σ |b| e^{z − shift}, roughly; not finite where a number of the block is a NaN or +∞, or a term is too large.
    pub(crate) size: f64,
}

/// [`Weighted`], of a block of at most [`BLOCK`](crate::lane::BLOCK) numbers and as many weights.
#[inline(always)]
pub(crate) fn weighted<P: Precision, T: Float, V: Vector>(z: &[T], b: &[T], like: V) -> Weighted {
    let max = maximum(z, like);
    if max == f64::INFINITY {
        return Weighted { shift: 0.0, sum: Two::ZERO, size: f64::NAN };
    }
    // Where all is −∞ the terms are e^-1000: nothing, but for a weight that is not finite.
    let shift = if max == f64::NEG_INFINITY { 0.0 } else { shift_for(max, z.len()) };
    let (sum, size) = if shift == 0.0 {
        sums::<true, P, T, V>(z, b, like.splat(0.0))
    } else {
        sums::<false, P, T, V>(z, b, like.splat(shift))
    };
    Weighted { shift, sum, size }
}

#[inline(always)]
fn sums<const AT_0: bool, P: Precision, T: Float, V: Vector>(z: &[T], b: &[T], c: V) -> (Two, f64) {
    let zero = c.splat(0.0);
    let (mut sum, mut size) = (Two { hi: zero, lo: zero }, zero);
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
fn step<const AT_0: bool, P: Precision, T: Float, V: Vector>(
    z: &[T; STEP],
    b: &[T; STEP],
    c: V,
    (mut sum, mut size): (Two<V>, V),
) -> (Two<V>, V) {
    let (z, b) = (load(z, c), load(b, c));
    for i in 0..2 {
        let term = exp_from::<AT_0, P, V>(z[i], c).by(b[i]);
        let high = term.to_two().hi;
        sum = term.added_to(sum);
        size = size + high.max(-high);
    }
    (sum, size)
}

/// The sum of eight sums that are not normalised, and of eight sizes.
#[inline(always)]
fn total<V: Vector>(sum: Two<V>, size: V) -> (Two, f64) {
    let [mut his, mut los, mut sizes] = [[0.0; 8]; 3];
    sum.hi.store(&mut his);
    sum.lo.store(&mut los);
    size.store(&mut sizes);
    let (mut all, mut whole) = (two_sum(his[0], los[0]), sizes[0]);
    for i in 1..8 {
        all = all.plus(two_sum(his[i], los[i]));
        whole += sizes[i];
    }
    (all, whole)
}

/// Σ b e^{z − center} and Σ |b| e^{z − center}, in full double words: [`exp::wide`].
pub(crate) fn about<T: Float>(z: &[T], b: &[T], center: Two) -> (Two, f64) {
    run(About { z, b, center })
}

struct About<'a, T> {
    z: &'a [T],
    b: &'a [T],
    center: Two,
}

impl<T: Float> Task for About<'_, T> {
    type Output = (Two, f64);

    #[inline(always)]
    fn run<V: Vector>(self, like: V) -> (Two, f64) {
        let Self { z, b, center } = self;
        let (center, zero) = (center.splat(like), like.splat(0.0));
        let (mut sum, mut size) = (Two { hi: zero, lo: zero }, zero);
        for (z, b) in z.chunks(8).zip(b.chunks(8)) {
            let term = exp::wide(T::load_up_to(z, like), center).by(T::load(&padded(b), like));
            sum = term.added_to(sum);
            size = size + term.hi.max(-term.hi);
        }
        total(sum, size)
    }
}

/// b e^{z − shift} · inverse for each z of a block and its b.
pub(crate) fn shares<T: Float>(z: &[T], b: &[T], shift: f64, inverse: Two, out: &mut [T]) {
    run(ForEach { a: z, b, out, f: Share { shift, inverse } });
}

/// A function of each number and its second number.
trait Function<T> {
    fn at<V: Vector>(&self, a: V, b: V) -> V;
}

struct Share {
    shift: f64,
    inverse: Two,
}

impl<T: Float> Function<T> for Share {
    #[inline(always)]
    fn at<V: Vector>(&self, z: V, b: V) -> V {
        T::First::exp(z, z.splat(self.shift)).by(b).times(self.inverse.splat(z))
    }
}

struct ForEach<'a, T, F> {
    a: &'a [T],
    b: &'a [T],
    out: &'a mut [T],
    f: F,
}

impl<T: Float, F: Function<T>> Task for ForEach<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, like: V) {
        let Self { a, b, out, f } = self;
        let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
        let (out, rest) = out.as_chunks_mut::<8>();
        for ((a, b), out) in a.iter().zip(b).zip(out) {
            T::store(f.at(T::load(a, like), T::load(b, like)), out);
        }
        if !rest.is_empty() {
            let mut last = [T::default(); 8];
            T::store(f.at(T::load(&padded(rest_a), like), T::load(&padded(rest_b), like)), &mut last);
            rest.copy_from_slice(&last[..rest.len()]);
        }
    }
}

/// Σ a b over a block: off by 2^-88 of the sum of the magnitudes at most.
pub(crate) fn dot<T: Float>(a: &[T], b: &[T]) -> Two {
    run(Dot { a, b })
}

struct Dot<'a, T> {
    a: &'a [T],
    b: &'a [T],
}

impl<T: Float> Task for Dot<'_, T> {
    type Output = Two;

    #[inline(always)]
    fn run<V: Vector>(self, like: V) -> Two {
        let zero = like.splat(0.0);
        let mut sum = Two { hi: zero, lo: zero };
        let ((a, rest_a), (b, rest_b)) = (self.a.as_chunks::<8>(), self.b.as_chunks::<8>());
        for (a, b) in a.iter().zip(b) {
            sum = two_product(T::load(a, like), T::load(b, like)).added_to(sum);
        }
        sum = two_product(T::load(&padded(rest_a), like), T::load(&padded(rest_b), like)).added_to(sum);
        total(sum, zero).0
    }
}

/// Σ b e^{z − shift} t over a block; not finite where a tangent is not, or is too large.
pub(crate) fn slope<T: Float>(z: &[T], b: &[T], t: &[T], shift: f64) -> Two {
    run(Slope { z, b, t, shift })
}

struct Slope<'a, T> {
    z: &'a [T],
    b: &'a [T],
    t: &'a [T],
    shift: f64,
}

impl<T: Float> Task for Slope<'_, T> {
    type Output = Two;

    #[inline(always)]
    fn run<V: Vector>(self, like: V) -> Two {
        let (shift, zero) = (like.splat(self.shift), like.splat(0.0));
        let mut sum = Two { hi: zero, lo: zero };
        for ((z, b), t) in self.z.chunks(8).zip(self.b.chunks(8)).zip(self.t.chunks(8)) {
            let (b, t) = (T::load(&padded(b), like), T::load(&padded(t), like));
            sum = T::First::exp(T::load_up_to(z, like), shift).by(b).by(t).added_to(sum);
        }
        total(sum, zero).0
    }
}

/// b e^{z − shift} · inverse · (v − mean) for each z of a block, its b and its v.
pub(crate) struct Hessian {
    pub(crate) shift: f64,
    pub(crate) inverse: Two,
    pub(crate) mean: Two,
}

impl Hessian {
    pub(crate) fn fill<T: Float>(&self, z: &[T], b: &[T], v: &[T], out: &mut [T]) {
        run(FillHessian { z, b, v, hessian: self, out });
    }
}

struct FillHessian<'a, T> {
    z: &'a [T],
    b: &'a [T],
    v: &'a [T],
    hessian: &'a Hessian,
    out: &'a mut [T],
}

impl<T: Float> Task for FillHessian<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, like: V) {
        /// Half of [`exp::UNSCALE`], before the difference comes in, and half after: neither factor alone is out of range.
        const HALF: f64 = power_of_two(-256);
        let Hessian { shift, inverse, mean } = *self.hessian;
        let (shift, half) = (like.splat(shift), like.splat(HALF));
        let (inverse, mean) = (inverse.splat(like), mean.negated().splat(like));
        let inputs = self.z.chunks(8).zip(self.b.chunks(8)).zip(self.v.chunks(8));
        for (((z, b), v), out) in inputs.zip(self.out.chunks_mut(8)) {
            let (b, v) = (T::load(&padded(b), like), T::load(&padded(v), like));
            let power = T::First::exp(T::load_up_to(z, like), shift).by(b).to_two();
            let share = power.times(inverse).scaled(half);
            let mut rounded = [T::default(); 8];
            T::store(share.times(mean.plus_one_word(v)).hi * half, &mut rounded);
            out.copy_from_slice(&rounded[..out.len()]);
        }
    }
}
