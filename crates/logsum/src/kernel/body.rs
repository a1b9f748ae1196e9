//! The loops over a block of numbers, written once for every format, precision and level.

use super::two::{Two, two_sum};
use super::word::{Vector, Word};
use super::{Task, exp, run};
use crate::float::Float;
use crate::ladder::Rung;
use crate::lane::BLOCK;
use std::marker::PhantomData;

/// Numbers in a step of a loop: two vectors. In a sum each has an accumulator of its own, so that the element at
/// index i goes to accumulator i mod 16 at every level.
const STEP: usize = 16;

/// The precision that a rung computes in. All of its sums are in units of [`exp::UNSCALE`].
pub trait Precision {
    /// Bounds the relative error of a block's sum, and of one exponential.
    ///
    /// A sum of exponentials has no cancellation, so that to their own error only the sum's is added.
    const ERROR: f64;

    /// The rung that computes in it.
    const RUNG: Rung;

    /// A number of this precision.
    type Number<W: Word>: Number<W>;

    /// e^{z − c}.
    fn exp<W: Word>(z: W, c: W) -> Self::Number<W>;
}

/// A number in one word or two.
pub trait Number<W>: Copy {
    /// A number that is one word.
    fn of(word: W) -> Self;

    fn plus(self, other: Self) -> Self;

    /// As a double word, normalised.
    fn to_two(self) -> Two<W>;

    /// The product with `factor`, rounded to one word.
    fn times(self, factor: Two<W>) -> W;
}

/// f64 arithmetic. Up to BLOCK/16 + 4 additions in a row add 68 · 2^-53 < 7.6e-15 to the exponentials' error.
pub struct OneWord;

impl Precision for OneWord {
    const ERROR: f64 = exp::ONE_WORD_ERROR + 8e-15; // < 2^-42.1
    const RUNG: Rung = Rung::Double;
    type Number<W: Word> = One<W>;

    #[inline(always)]
    fn exp<W: Word>(z: W, c: W) -> One<W> {
        One(exp::one_word(z, c))
    }
}

#[derive(Clone, Copy)]
pub struct One<W>(W);

impl<W: Word> Number<W> for One<W> {
    #[inline(always)]
    fn of(word: W) -> Self {
        Self(word)
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    #[inline(always)]
    fn to_two(self) -> Two<W> {
        Two { hi: self.0, lo: self.0.splat(0.0) }
    }

    #[inline(always)]
    fn times(self, factor: Two<W>) -> W {
        self.0 * factor.hi
    }
}

/// Double words. In a sum the low words are added up without normalising: with at most 68 terms in a row each low
/// word stays below 2^-45 of the sum, hence each of its roundings below 2^-98, all together below 2^-91.
pub struct TwoWords;

impl Precision for TwoWords {
    const ERROR: f64 = exp::TWO_WORDS_ERROR * 1.0001;
    const RUNG: Rung = Rung::DoubleWord;
    type Number<W: Word> = Two<W>;

    #[inline(always)]
    fn exp<W: Word>(z: W, c: W) -> Two<W> {
        exp::two_words(z, c)
    }
}

impl<W: Word> Number<W> for Two<W> {
    #[inline(always)]
    fn of(word: W) -> Self {
        Self { hi: word, lo: word.splat(0.0) }
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        let high = two_sum(self.hi, other.hi);
        Self { hi: high.hi, lo: self.lo + (high.lo + other.lo) }
    }

    #[inline(always)]
    fn to_two(self) -> Two<W> {
        two_sum(self.hi, self.lo)
    }

    #[inline(always)]
    fn times(self, factor: Two<W>) -> W {
        Two::times(self, factor).hi
    }
}

/// The maximum m of a block of at most [`BLOCK`] numbers and, if it is finite, Σ e^{z − m} over all but the first
/// that equals it. A NaN in the block makes m or the sum NaN.
pub(crate) fn maximum_and_sum<P: Precision, T: Float>(block: &[T]) -> (f64, Two) {
    debug_assert!(block.len() <= BLOCK);
    run(MaximumAndSum { block, precision: PhantomData::<P> })
}

struct MaximumAndSum<'a, T, P> {
    block: &'a [T],
    precision: PhantomData<P>,
}

impl<T: Float, P: Precision> Task for MaximumAndSum<'_, T, P> {
    type Output = (f64, Two);

    #[inline(always)]
    fn run<V: Vector>(self, like: V) -> (f64, Two) {
        let max = maximum(self.block, like);
        if max.is_infinite() {
            let nan = self.block.iter().map(|z| z.widen()).find(|z| z.is_nan());
            return (nan.unwrap_or(max), Two::ZERO);
        }
        let c = like.splat(max);
        let mut sums = [P::Number::of(like.splat(0.0)); 2];
        // The step with the first maximum is summed without it.
        let first = first(self.block, max);
        let (before, from) = self.block.split_at(first - first % STEP);
        let (with, after) = from.split_at(from.len().min(STEP));
        let mut without = padded(with);
        without[first % STEP] = T::NEG_INFINITY;
        for numbers in before.as_chunks().0 {
            sums = add::<P, T, V>(sums, numbers, c);
        }
        sums = add::<P, T, V>(sums, &without, c);
        let (whole, rest) = after.as_chunks();
        for numbers in whole {
            sums = add::<P, T, V>(sums, numbers, c);
        }
        if !rest.is_empty() {
            sums = add::<P, T, V>(sums, &padded(rest), c);
        }
        (max, total::<P, V>(sums))
    }
}

// In what runs at a level every call must be inlined, or it is compiled without the level's instructions. Closures
// cannot be made to: these are functions and plain loops.

#[inline(always)]
fn add<P: Precision, T: Float, V: Vector>(
    sums: [P::Number<V>; 2],
    numbers: &[T; STEP],
    c: V,
) -> [P::Number<V>; 2] {
    let [low, high] = load(numbers, c);
    [sums[0].plus(P::exp(low, c)), sums[1].plus(P::exp(high, c))]
}

/// The sixteen accumulators, added pair by pair.
#[inline(always)]
fn total<P: Precision, V: Vector>(sums: [P::Number<V>; 2]) -> Two {
    let Two { hi, lo } = sums[0].plus(sums[1]).to_two();
    let (mut highs, mut lows) = ([0.0; 8], [0.0; 8]);
    hi.store(&mut highs);
    lo.store(&mut lows);
    let mut all = [Two::ZERO; 8];
    for i in 0..8 {
        all[i] = Two { hi: highs[i], lo: lows[i] };
    }
    for width in [4, 2, 1] {
        for i in 0..width {
            all[i] = all[i].plus(all[i + width]);
        }
    }
    all[0]
}

#[inline(always)]
fn maximum<T: Float, V: Vector>(block: &[T], like: V) -> f64 {
    let mut greatest = [like.splat(f64::NEG_INFINITY); 2];
    let (whole, rest) = block.as_chunks();
    for numbers in whole {
        greatest = greater(greatest, numbers);
    }
    if !rest.is_empty() {
        greatest = greater(greatest, &padded(rest));
    }
    let mut all = [0.0; 8];
    greatest[0].max(greatest[1]).store(&mut all);
    let mut max = f64::NEG_INFINITY;
    for z in all {
        max = Word::max(z, max);
    }
    max
}

/// The index of the first number that equals `max`, step by step.
#[inline(always)]
fn first<T: Float>(block: &[T], max: f64) -> usize {
    let max = T::narrow(max);
    let mut start = 0;
    for numbers in block.as_chunks::<STEP>().0 {
        let mut is_here = false;
        for &z in numbers {
            is_here |= z == max;
        }
        if is_here {
            break;
        }
        start += STEP;
    }
    start + block[start..].iter().position(|&z| z == max).unwrap_or(0)
}

#[inline(always)]
fn greater<T: Float, V: Vector>(greatest: [V; 2], numbers: &[T; STEP]) -> [V; 2] {
    let [low, high] = load(numbers, greatest[0]);
    [low.max(greatest[0]), high.max(greatest[1])]
}

#[inline(always)]
fn load<T: Float, V: Vector>(numbers: &[T; STEP], like: V) -> [V; 2] {
    let (halves, _) = numbers.as_chunks();
    [T::load(&halves[0], like), T::load(&halves[1], like)]
}

/// Up to a step of numbers, then −∞.
#[inline(always)]
fn padded<T: Float>(numbers: &[T]) -> [T; STEP] {
    let mut step = [T::NEG_INFINITY; STEP];
    step[..numbers.len()].copy_from_slice(numbers);
    step
}

/// e^{z − max} · inverse for each z of a block, where inverse is 1 / Σ e^{z_k − max}.
pub(crate) fn shares<T: Float>(block: &[T], max: f64, inverse: Two, out: &mut [T]) {
    run(Each { block, out, f: Share { max, inverse } });
}

/// z − max − log for each z of a block, where log is log Σ e^{z_k − max}.
pub(crate) fn log_shares<T: Float>(block: &[T], max: f64, log: Two, out: &mut [T]) {
    run(Each { block, out, f: LogShare { max, log } });
}

/// A function of each number.
trait Function<T> {
    fn at<V: Vector>(&self, z: V) -> V;
}

struct Share {
    max: f64,
    inverse: Two,
}

impl<T: Float> Function<T> for Share {
    #[inline(always)]
    fn at<V: Vector>(&self, z: V) -> V {
        T::First::exp(z, z.splat(self.max)).times(self.inverse.splat(z)) * z.splat(exp::UNSCALE)
    }
}

struct LogShare {
    max: f64,
    log: Two,
}

impl<T> Function<T> for LogShare {
    #[inline(always)]
    fn at<V: Vector>(&self, z: V) -> V {
        let difference = two_sum(z, z.splat(-self.max));
        let log_share = difference.plus(self.log.negated().splat(z)).hi;
        // A difference beyond the largest f64 has a low word that means nothing.
        let minus_infinity = z.splat(f64::NEG_INFINITY);
        difference.hi.where_at_most(f64::NEG_INFINITY, minus_infinity, log_share)
    }
}

struct Each<'a, T, F> {
    block: &'a [T],
    out: &'a mut [T],
    f: F,
}

impl<T: Float, F: Function<T>> Task for Each<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, like: V) {
        let (whole, rest) = self.block.as_chunks();
        let (whole_out, rest_out) = self.out.as_chunks_mut();
        for (numbers, out) in whole.iter().zip(whole_out) {
            apply(&self.f, numbers, out, like);
        }
        if !rest.is_empty() {
            let mut last = [T::default(); STEP];
            apply(&self.f, &padded(rest), &mut last, like);
            rest_out.copy_from_slice(&last[..rest.len()]);
        }
    }
}

#[inline(always)]
fn apply<T: Float, F: Function<T>, V: Vector>(f: &F, numbers: &[T; STEP], out: &mut [T; STEP], like: V) {
    let [low, high] = load(numbers, like);
    let (halves, _) = out.as_chunks_mut();
    T::store(f.at(low), &mut halves[0]);
    T::store(f.at(high), &mut halves[1]);
}
