//! Functions of each number of a lane, with a second number and a weight beside it: all their results, or their sum.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two, two_product, two_sum};
use crate::arithmetic::exp::{self, UNSCALE};
use crate::arithmetic::float64::Float64;
use crate::arithmetic::precision::{InDoubleDouble, Number, Precision};
use crate::formats::Format;
use crate::kernels::block::{Store, maximum, store};
use crate::kernels::series::BLOCK;
use crate::simd::{Task, Vector, run, scalar, task};
use std::marker::PhantomData;

/// Numbers of a lane, with a second one for each, 0 where there is none, and a weight, 1 where there is none.
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

/// What turns z into x = (z − max)/temperature.
#[derive(Clone, Copy)]
pub(crate) struct Tempered {
    pub(crate) max: f64,
    /// A power of 2, by which differences are multiplied first, so that the inverse is in range.
    power: f64,
    inverse: DoubleDouble,
}

impl Tempered {
    pub(crate) fn new(max: f64, temperature: f64) -> Self {
        const FAR: f64 = power_of_two(900);
        let power = match temperature {
            small if small < 1.0 / FAR => power_of_two(200),
            large if large > FAR => power_of_two(-200),
            _ => 1.0,
        };
        Self {
            max,
            power,
            inverse: scalar::quotient(DoubleDouble::ONE, DoubleDouble::from(temperature * power)),
        }
    }

    /// x, −∞ where it is out of range: off by three roundings in one word, by 16u² in two.
    #[inline(always)]
    pub(crate) fn x<P: Precision, W: Float64>(self, z: W) -> P::Number<W> {
        const OUT_OF_RANGE: f64 = -8e307;
        let difference = P::Number::difference(z, z.splat(self.max)).by(z.splat(self.power));
        let rough = (z - z.splat(self.max)) * z.splat(self.power) * z.splat(self.inverse.hi);
        let x = (difference * P::Number::of(self.inverse.splat(z))).to_dd();
        let infinite = DoubleDouble::from(z.splat(f64::NEG_INFINITY));
        P::Number::of(where_at_most(rough, OUT_OF_RANGE, infinite, x))
    }

    /// A number over the temperature.
    #[inline(always)]
    pub(crate) fn divided<P: Precision, V: Vector>(self, number: P::Number<V>) -> P::Number<V> {
        let simd = number.to_dd().hi;
        number.by(simd.splat(self.power)) * P::Number::of(self.inverse.splat(simd))
    }

    /// x, but −1000 where it is less: e^x is nothing then.
    #[inline(always)]
    pub(crate) fn near_x<P: Precision, W: Float64>(self, z: W) -> P::Number<W> {
        let x = self.x::<P, W>(z).to_dd();
        let least = DoubleDouble::from(z.splat(exp::LEAST));
        P::Number::of(x.where_at_most(exp::LEAST, least, x))
    }
}

#[inline(always)]
fn where_at_most<W: Float64>(
    x: W,
    bound: f64,
    then: DoubleDouble<W>,
    otherwise: DoubleDouble<W>,
) -> DoubleDouble<W> {
    DoubleDouble {
        hi: x.where_at_most(bound, then.hi, otherwise.hi),
        lo: x.where_at_most(bound, then.lo, otherwise.lo),
    }
}

/// How the exponential of a number is taken.
#[derive(Clone, Copy)]
pub(crate) enum Exponent {
    /// e^z.
    At0,
    /// e^{z − c}.
    Shifted(f64),
    /// e^x.
    Tempered(Tempered),
}

impl Exponent {
    /// e^{z − c}.
    pub(crate) fn from(c: f64) -> Self {
        if c == 0.0 { Self::At0 } else { Self::Shifted(c) }
    }

    /// At a temperature x adds 2^-41.4 to [`EXP_ERROR`](Precision::EXP_ERROR) in one word, 2^-92 in two.
    #[inline(always)]
    pub(crate) fn power<P: Precision, V: Vector>(self, z: V) -> P::Number<V> {
        match self {
            Self::At0 => P::exp_at_0(z),
            Self::Shifted(c) => P::exp(z, z.splat(c)),
            Self::Tempered(tempered) => P::exp_of_dd(tempered.near_x::<P, V>(z).to_dd()),
        }
    }
}

/// A function of a number, its second number, 0 where there is none, and its weight, 1 where there is none.
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

/// The exponential times the weight and the second number.
#[derive(Clone, Copy)]
pub(crate) struct PowerTimes(pub(crate) Exponent);

impl Function for PowerTimes {
    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, v: V, w: V) -> P::Number<V> {
        self.0.power::<P, V>(z).by(w).by(v)
    }
}

/// `inverse` times the exponential times the weight.
#[derive(Clone, Copy)]
pub(crate) struct Share {
    pub(crate) exponent: Exponent,
    pub(crate) inverse: DoubleDouble,
}

impl Share {
    /// A factor of 2^512 above its value, so that nothing is subnormal; it goes with what else is to be multiplied.
    #[inline(always)]
    pub(crate) fn scaled<P: Precision, V: Vector>(self, z: V, w: V) -> P::Number<V> {
        (self.exponent.power::<P, V>(z).by(w)) * P::Number::of(self.inverse.splat(z))
    }
}

impl Function for Share {
    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, _: V, w: V) -> P::Number<V> {
        self.scaled::<P, V>(z, w).by(z.splat(UNSCALE))
    }
}

/// The share times v − mean.
#[derive(Clone, Copy)]
pub(crate) struct Hessian {
    pub(crate) share: Share,
    pub(crate) mean: DoubleDouble,
}

impl Function for Hessian {
    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, v: V, w: V) -> P::Number<V> {
        times_share::<P, V>(self.share.scaled::<P, V>(z, w), difference::<P, V>(v, self.mean))
    }
}

/// v − mean, taken in two words in any precision: it may cancel, and a mean has the errors of its shares in common with them.
#[inline(always)]
pub(crate) fn difference<P: Precision, V: Vector>(v: V, mean: DoubleDouble) -> P::Number<V> {
    P::Number::of(-mean.splat(v) + v)
}

/// The product of a scaled share and a number that may be large.
///
/// Half of the scale goes before, half after: neither is out of range.
#[inline(always)]
pub(crate) fn times_share<P: Precision, V: Vector>(
    share: P::Number<V>,
    number: P::Number<V>,
) -> P::Number<V> {
    let half = number.to_dd().hi.splat(power_of_two(-256));
    (share.by(half) * number).by(half)
}

/// A function of one number alone.
pub(crate) fn one<P: Precision>(z: f64, f: impl Function) -> DoubleDouble {
    one_number::<P, _>(z, f)
}

task! {
    fn one_number<P: Precision, F: Function>(z: f64, f: F; simd: V) -> DoubleDouble {
        let value = f.at::<P, V>(simd.splat(z), simd.splat(0.0), simd.splat(1.0)).to_dd();
        let [mut hi, mut lo] = [[0.0; 8]; 2];
        value.hi.store(&mut hi);
        value.lo.store(&mut lo);
        DoubleDouble { hi: hi[0], lo: lo[0] }
    }
}

/// The sum of a function over a lane. Additions are off by 132 roundings of the sum of the magnitudes in one word, by 2^-88 of it
/// in two.
pub(crate) fn sum<P: Precision, T: Format>(lane: Block<'_, T>, f: impl Function) -> DoubleDouble {
    let starts = (0..lane.z.len()).step_by(BLOCK);
    starts.fold(DoubleDouble::ZERO, |sum, start| sum + sum_of_block::<P, T, _>(lane.part(start, BLOCK), f))
}

/// Σ a b: additions as in [`sum`], in two words.
pub(crate) fn dot<T: Format>(a: &[T], b: &[T]) -> DoubleDouble {
    sum::<InDoubleDouble, T>(Block { z: a, v: Some(b), w: None }, Product)
}

#[derive(Clone, Copy)]
struct Product;

impl Function for Product {
    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, v: V, _: V) -> P::Number<V> {
        P::Number::of(two_product(z, v))
    }
}

task! {
    fn sum_of_block<P: Precision, T: Format, F: Function>(block: Block<'_, T>, f: F; simd: V) -> DoubleDouble {
        let Block { z, v, w } = block;
        let (one, zero) = (simd.splat(1.0), simd.splat(0.0));
        let mut sum = DoubleDouble::from(zero);
        let (whole, rest) = z.as_chunks::<8>();
        for (i, z) in whole.iter().enumerate() {
            let v = eight(v, i, zero);
            let w = eight(w, i, one);
            sum = f.at::<P, V>(T::load(z, simd), v, w).added_to(sum);
        }
        let [mut his, mut los] = [[0.0; 8]; 2];
        sum.hi.store(&mut his);
        sum.lo.store(&mut los);
        let mut all = DoubleDouble::ZERO;
        for i in 0..8 {
            all = all + two_sum(his[i], los[i]);
        }
        if !rest.is_empty() {
            let (v, w) = (last(v, zero), last(w, one));
            let terms = f.at::<P, V>(T::load(&padded(rest), simd), v, w).to_dd();
            terms.hi.store(&mut his);
            terms.lo.store(&mut los);
            for i in 0..rest.len() {
                all = all + DoubleDouble { hi: his[i], lo: los[i] };
            }
        }
        all
    }
}

/// The i-th eight numbers, or `otherwise`.
#[inline(always)]
fn eight<T: Format, V: Vector>(numbers: Option<&[T]>, i: usize, otherwise: V) -> V {
    match numbers {
        Some(numbers) => T::load(&numbers.as_chunks::<8>().0[i], otherwise),
        None => otherwise,
    }
}

/// The numbers after the last whole eight, or `otherwise`.
#[inline(always)]
fn last<T: Format, V: Vector>(numbers: Option<&[T]>, otherwise: V) -> V {
    match numbers {
        Some(numbers) => T::load(&padded(numbers.as_chunks::<8>().1), otherwise),
        None => otherwise,
    }
}

/// A function of each number of a lane.
pub(crate) fn each<P: Precision, T: Format>(block: Block<'_, T>, f: impl Function, out: &mut [T], to: Store) {
    run(ForEach::<P, T, _> { block, f, out, to, precision: PhantomData });
}

struct ForEach<'a, P, T, F> {
    block: Block<'a, T>,
    f: F,
    out: &'a mut [T],
    to: Store,
    precision: PhantomData<fn() -> P>,
}

impl<P: Precision, T: Format, F: Function> Task for ForEach<'_, P, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, simd: V) {
        if self.to.is_memory(self.out) {
            self.fill::<true, V>(simd);
            simd.fence();
        } else {
            self.fill::<false, V>(simd);
        }
    }
}

impl<P: Precision, T: Format, F: Function> ForEach<'_, P, T, F> {
    #[inline(always)]
    fn fill<const TO_MEMORY: bool, V: Vector>(self, simd: V) {
        let Self { block: Block { z, v, w }, f, out, .. } = self;
        let (one, zero) = (simd.splat(1.0), simd.splat(0.0));
        let ((whole, rest), (out, rest_out)) = (z.as_chunks::<8>(), out.as_chunks_mut::<8>());
        for (i, (z, out)) in whole.iter().zip(out).enumerate() {
            let v = eight(v, i, zero);
            let w = eight(w, i, one);
            let result = f.at::<P, V>(T::load(z, simd), v, w).to_dd().hi;
            store::<TO_MEMORY, T, V>(result, out);
        }
        if !rest.is_empty() {
            let (v, w) = (last(v, zero), last(w, one));
            let mut results = [T::default(); 8];
            T::store(f.at::<P, V>(T::load(&padded(rest), simd), v, w).to_dd().hi, &mut results);
            rest_out.copy_from_slice(&results[..rest.len()]);
        }
    }
}

/// Fewer than eight numbers, and then 0.
#[inline(always)]
pub(super) fn padded<T: Format>(numbers: &[T]) -> [T; 8] {
    let mut eight = [T::default(); 8];
    eight[..numbers.len()].copy_from_slice(numbers);
    eight
}

task! {
    /// The greatest of some numbers; a NaN is passed over.
    pub(crate) fn greatest<T: Format>(z: &[T]; simd: V) -> f64 {
        maximum(z, simd)
    }
}
