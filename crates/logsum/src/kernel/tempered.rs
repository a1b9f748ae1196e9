//! The loops over a block of one lane of what is taken of x = (z − max)/temperature, in two words.

use super::exp;
use super::two::{Two, two_sum};
use super::word::{Vector, Word};
use super::{Task, run};
use crate::float::Float;

/// What turns z into x.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) max: f64,
    pub(crate) temperature: f64,
}

impl Scale {
    /// An x from here down counts as −∞.
    const OUT_OF_RANGE: f64 = -8e307;

    /// Relative error below 11u².
    #[inline(always)]
    fn of<W: Word>(self, z: W) -> Two<W> {
        let (temperature, zero) = (z.splat(self.temperature), z.splat(0.0));
        let d = two_sum(z, z.splat(-self.max));
        let rough = d.hi.div(temperature);
        let x = d.over(Two { hi: temperature, lo: zero });
        Two {
            hi: rough.where_at_most(Self::OUT_OF_RANGE, z.splat(f64::NEG_INFINITY), x.hi),
            lo: rough.where_at_most(Self::OUT_OF_RANGE, zero, x.lo),
        }
    }
}

/// e^x in units of [`exp::UNSCALE`].
#[inline(always)]
pub(crate) fn power<W: Word>(x: Two<W>) -> Two<W> {
    exp::two_words(x.hi, -x.lo)
}

/// −x, but 1000 where it is more: e^x is nothing then.
#[inline(always)]
pub(crate) fn depth<W: Word>(x: Two<W>) -> Two<W> {
    let lo = x.hi.where_at_most(exp::LEAST, x.lo.splat(0.0), -x.lo);
    Two { hi: -x.hi.splat(exp::LEAST).max(x.hi), lo }
}

/// A function of x and a second number.
pub(crate) trait Function: Copy {
    fn at<V: Vector>(self, x: Two<V>, v: V) -> Two<V>;
}

/// Sum of a function over a block: rounding is 2^-88 of the sum of magnitudes.
pub(crate) fn sum<T: Float>(z: &[T], v: &[T], scale: Scale, f: impl Function) -> Two {
    run(Sum { z, v, scale, f })
}

/// A function of each number of a block.
pub(crate) fn each<T: Float>(z: &[T], v: &[T], scale: Scale, f: impl Function, out: &mut [T]) {
    run(ForEach { z, v, scale, f, out });
}

struct Sum<'a, T, F> {
    z: &'a [T],
    v: &'a [T],
    scale: Scale,
    f: F,
}

impl<T: Float, F: Function> Task for Sum<'_, T, F> {
    type Output = Two;

    #[inline(always)]
    fn run<V: Vector>(self, like: V) -> Two {
        let Self { z, v, scale, f } = self;
        let mut sum = Two { hi: like.splat(0.0), lo: like.splat(0.0) };
        let ((z, rest_z), (v, rest_v)) = (z.as_chunks::<8>(), v.as_chunks::<8>());
        for (z, v) in z.iter().zip(v) {
            sum = sum.plus(f.at(scale.of(T::load(z, like)), T::load(v, like)));
        }
        let (mut his, mut los) = ([0.0; 8], [0.0; 8]);
        sum.hi.store(&mut his);
        sum.lo.store(&mut los);
        let mut all = Two::ZERO;
        for i in 0..8 {
            all = all.plus(Two { hi: his[i], lo: los[i] });
        }
        if !rest_z.is_empty() {
            let last = f.at(scale.of(T::load_up_to(rest_z, like)), T::load(&padded(rest_v), like));
            last.hi.store(&mut his);
            last.lo.store(&mut los);
            for i in 0..rest_z.len() {
                all = all.plus(Two { hi: his[i], lo: los[i] });
            }
        }
        all
    }
}

struct ForEach<'a, T, F> {
    z: &'a [T],
    v: &'a [T],
    scale: Scale,
    f: F,
    out: &'a mut [T],
}

impl<T: Float, F: Function> Task for ForEach<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, like: V) {
        let Self { z, v, scale, f, out } = self;
        let ((z, rest_z), (v, rest_v)) = (z.as_chunks::<8>(), v.as_chunks::<8>());
        let (out, rest) = out.as_chunks_mut::<8>();
        for ((z, v), out) in z.iter().zip(v).zip(out) {
            T::store(f.at(scale.of(T::load(z, like)), T::load(v, like)).hi, out);
        }
        if !rest.is_empty() {
            let mut last = [T::default(); 8];
            let f = f.at(scale.of(T::load_up_to(rest_z, like)), T::load(&padded(rest_v), like));
            T::store(f.hi, &mut last);
            rest.copy_from_slice(&last[..rest.len()]);
        }
    }
}

/// Fewer than eight numbers, and then 0.
#[inline(always)]
pub(super) fn padded<T: Float>(numbers: &[T]) -> [T; 8] {
    let mut eight = [T::default(); 8];
    eight[..numbers.len()].copy_from_slice(numbers);
    eight
}
