//! The loops over a block of one lane of what cross-entropy asks for: exponentials beside what the targets weigh.

use super::block::{Store, maximum};
use super::exp::UNSCALE;
use super::precision::{Number, Precision};
use super::tempered::padded;
use super::two::Two;
use super::word::Vector;
use super::{Task, run};
use crate::float::Float;
use std::marker::PhantomData;

/// Some numbers of a lane, with a second one for each, 0 where there is none, and a weight, 1 where there is none.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a, T> {
    pub(crate) z: &'a [T],
    pub(crate) v: Option<&'a [T]>,
    pub(crate) w: Option<&'a [T]>,
}

impl<'a, T> Block<'a, T> {
    /// Those from `start` on, `count` at most.
    pub(crate) fn part(self, start: usize, count: usize) -> Self {
        let of = |numbers: &'a [T]| &numbers[start..numbers.len().min(start + count)];
        Self { z: of(self.z), v: self.v.map(of), w: self.w.map(of) }
    }
}

/// How the exponential of a number is taken.
#[derive(Clone, Copy)]
pub(crate) enum Exponent {
    /// e^z.
    At0,
    /// e^{z − c}.
    Shifted(f64),
    /// e^{(z − max)/temperature}, of the inverse of the temperature.
    Tempered { max: f64, inverse: Two },
}

impl Exponent {
    #[inline(always)]
    fn power<P: Precision, V: Vector>(self, z: V) -> P::Number<V> {
        match self {
            Self::At0 => P::exp_at_0(z),
            Self::Shifted(c) => P::exp(z, z.splat(c)),
            Self::Tempered { max, inverse } => P::exp_at_temperature(z, z.splat(max), inverse.splat(z)),
        }
    }
}

/// What a target weighs, of a probability t and a class weight w.
#[derive(Clone, Copy)]
pub(crate) enum Weight {
    /// w t.
    Given,
    /// w (a t + b), neither negative.
    Smoothed { a: Two, b: Two },
}

impl Weight {
    /// Relative error below 3 roundings in one word, 2^-102 in two.
    #[inline(always)]
    pub(crate) fn at<P: Precision, V: Vector>(self, t: V, w: V) -> P::Number<V> {
        let weight = match self {
            Self::Given => P::Number::of(Two { hi: t, lo: t.splat(0.0) }),
            Self::Smoothed { a, b } => P::Number::of(a.splat(t)).by(t).added(P::Number::of(b.splat(t))),
        };
        weight.by(w)
    }
}

/// A function of a number, its second number and its weight.
pub(crate) trait Function: Copy {
    fn at<P: Precision, V: Vector>(self, z: V, v: V, w: V) -> P::Number<V>;
}

/// The exponential alone.
#[derive(Clone, Copy)]
pub(crate) struct Power(pub(crate) Exponent);

impl Function for Power {
    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, _: V, _: V) -> P::Number<V> {
        self.0.power::<P, V>(z)
    }
}

/// The exponential times the second number.
#[derive(Clone, Copy)]
pub(crate) struct PowerTimes(pub(crate) Exponent);

impl Function for PowerTimes {
    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, v: V, _: V) -> P::Number<V> {
        self.0.power::<P, V>(z).by(v)
    }
}

impl Function for Weight {
    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, _: V, v: V, w: V) -> P::Number<V> {
        self.at::<P, V>(v, w)
    }
}

/// The weight times max − z; 0 where the weight is.
#[derive(Clone, Copy)]
pub(crate) struct Depth {
    pub(crate) weight: Weight,
    pub(crate) max: f64,
}

impl Function for Depth {
    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, v: V, w: V) -> P::Number<V> {
        let weight = self.weight.at::<P, V>(v, w);
        let depth = P::Number::difference(z.splat(self.max), z).multiplied(weight).to_two();
        let (size, zero) = (weight.to_two().hi, z.splat(0.0));
        let (hi, lo) = (size.where_at_most(0.0, zero, depth.hi), size.where_at_most(0.0, zero, depth.lo));
        P::Number::of(Two { hi, lo })
    }
}

/// `inverse` times the exponential, less `factor` times the weight, if there is one.
#[derive(Clone, Copy)]
pub(crate) struct Slope {
    pub(crate) exponent: Exponent,
    pub(crate) inverse: Two,
    pub(crate) weight: Option<Weight>,
    pub(crate) factor: Two,
}

impl Function for Slope {
    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, v: V, w: V) -> P::Number<V> {
        let share = share::<P, V>(self.exponent.power::<P, V>(z), self.inverse);
        match self.weight {
            None => share,
            Some(weight) => {
                let target = weight.at::<P, V>(v, w).multiplied(P::Number::of(self.factor.splat(z)));
                share.added(target.by(z.splat(-1.0)))
            }
        }
    }
}

/// `inverse` times the exponential times ((v − mean) · growth + offset).
#[derive(Clone, Copy)]
pub(crate) struct Curvature {
    pub(crate) exponent: Exponent,
    pub(crate) inverse: Two,
    pub(crate) mean: Two,
    pub(crate) growth: Two,
    pub(crate) offset: Two,
}

impl Function for Curvature {
    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, v: V, _: V) -> P::Number<V> {
        // What cancels is taken in two words in any precision.
        let difference = self.mean.negated().splat(z).plus_one_word(v);
        let inner = difference.times(self.growth.splat(z)).plus(self.offset.splat(z));
        share::<P, V>(self.exponent.power::<P, V>(z), self.inverse).multiplied(P::Number::of(inner))
    }
}

/// [`Slope`] without a weight, of one number.
pub(crate) fn share_of<P: Precision>(z: f64, exponent: Exponent, inverse: Two) -> Two {
    run(ShareOf::<P> { z, exponent, inverse, precision: PhantomData })
}

struct ShareOf<P> {
    z: f64,
    exponent: Exponent,
    inverse: Two,
    precision: PhantomData<fn() -> P>,
}

impl<P: Precision> Task for ShareOf<P> {
    type Output = Two;

    #[inline(always)]
    fn run<V: Vector>(self, like: V) -> Two {
        let share = share::<P, V>(self.exponent.power::<P, V>(like.splat(self.z)), self.inverse).to_two();
        let [mut hi, mut lo] = [[0.0; 8]; 2];
        share.hi.store(&mut hi);
        share.lo.store(&mut lo);
        Two { hi: hi[0], lo: lo[0] }
    }
}

/// The units are taken off last: the factor alone may be too small for that.
#[inline(always)]
fn share<P: Precision, V: Vector>(power: P::Number<V>, inverse: Two) -> P::Number<V> {
    let like = power.to_two().hi;
    power.multiplied(P::Number::of(inverse.splat(like))).by(like.splat(UNSCALE))
}

/// The sum of a function over a block of at most [`BLOCK`](crate::lane::BLOCK) numbers. Additions are off by 132 roundings of the
/// sum of the magnitudes in one word, by 2^-88 of it in two.
pub(crate) fn sum<P: Precision, T: Float>(block: Block<'_, T>, f: impl Function) -> Two {
    run(Sum::<P, T, _> { block, f, precision: PhantomData })
}

struct Sum<'a, P, T, F> {
    block: Block<'a, T>,
    f: F,
    precision: PhantomData<fn() -> P>,
}

impl<P: Precision, T: Float, F: Function> Task for Sum<'_, P, T, F> {
    type Output = Two;

    #[inline(always)]
    fn run<V: Vector>(self, like: V) -> Two {
        let Self { block: Block { z, v, w }, f, .. } = self;
        let (one, zero) = (like.splat(1.0), like.splat(0.0));
        let mut sum = Two { hi: zero, lo: zero };
        let (whole, rest) = z.as_chunks::<8>();
        for (i, z) in whole.iter().enumerate() {
            let v = eight(v, i, zero);
            let w = eight(w, i, one);
            sum = f.at::<P, V>(T::load(z, like), v, w).added_to(sum);
        }
        let [mut his, mut los] = [[0.0; 8]; 2];
        sum.hi.store(&mut his);
        sum.lo.store(&mut los);
        let mut all = Two::ZERO;
        for i in 0..8 {
            all = all.plus(super::two::two_sum(his[i], los[i]));
        }
        if !rest.is_empty() {
            let (v, w) = (last(v, zero), last(w, one));
            let terms = f.at::<P, V>(T::load(&padded(rest), like), v, w).to_two();
            terms.hi.store(&mut his);
            terms.lo.store(&mut los);
            for i in 0..rest.len() {
                all = all.plus(Two { hi: his[i], lo: los[i] });
            }
        }
        all
    }
}

/// The i-th eight numbers, or `otherwise`.
#[inline(always)]
fn eight<T: Float, V: Vector>(numbers: Option<&[T]>, i: usize, otherwise: V) -> V {
    match numbers {
        Some(numbers) => T::load(&numbers.as_chunks::<8>().0[i], otherwise),
        None => otherwise,
    }
}

/// The numbers after the last whole eight, or `otherwise`.
#[inline(always)]
fn last<T: Float, V: Vector>(numbers: Option<&[T]>, otherwise: V) -> V {
    match numbers {
        Some(numbers) => T::load(&padded(numbers.as_chunks::<8>().1), otherwise),
        None => otherwise,
    }
}

/// A function of each number of a block.
pub(crate) fn each<P: Precision, T: Float>(block: Block<'_, T>, f: impl Function, out: &mut [T], to: Store) {
    run(ForEach::<P, T, _> { block, f, out, to, precision: PhantomData });
}

struct ForEach<'a, P, T, F> {
    block: Block<'a, T>,
    f: F,
    out: &'a mut [T],
    to: Store,
    precision: PhantomData<fn() -> P>,
}

impl<P: Precision, T: Float, F: Function> Task for ForEach<'_, P, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, like: V) {
        if self.to.is_memory(self.out) {
            self.fill::<true, V>(like);
            like.fence();
        } else {
            self.fill::<false, V>(like);
        }
    }
}

impl<P: Precision, T: Float, F: Function> ForEach<'_, P, T, F> {
    #[inline(always)]
    fn fill<const TO_MEMORY: bool, V: Vector>(self, like: V) {
        let Self { block: Block { z, v, w }, f, out, .. } = self;
        let (one, zero) = (like.splat(1.0), like.splat(0.0));
        let ((whole, rest), (out, rest_out)) = (z.as_chunks::<8>(), out.as_chunks_mut::<8>());
        for (i, (z, out)) in whole.iter().zip(out).enumerate() {
            let v = eight(v, i, zero);
            let w = eight(w, i, one);
            let result = f.at::<P, V>(T::load(z, like), v, w).to_two().hi;
            super::block::store::<TO_MEMORY, T, V>(result, out);
        }
        if !rest.is_empty() {
            let (v, w) = (last(v, zero), last(w, one));
            let mut results = [T::default(); 8];
            T::store(f.at::<P, V>(T::load(&padded(rest), like), v, w).to_two().hi, &mut results);
            rest_out.copy_from_slice(&results[..rest.len()]);
        }
    }
}

/// The greatest of some numbers; a NaN is passed over.
pub(crate) fn greatest<T: Float>(z: &[T]) -> f64 {
    run(Greatest(z))
}

struct Greatest<'a, T>(&'a [T]);

impl<T: Float> Task for Greatest<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run<V: Vector>(self, like: V) -> f64 {
        maximum(self.0, like)
    }
}
