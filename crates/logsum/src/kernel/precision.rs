//! What a rung computes in: one word or two, each with the error of its exponentials, sums and logarithm.

use super::exp;
use super::log;
use super::two::{Two, fast_two_sum, power_of_two, two_product, two_sum};
use super::word::{Vector, Word};
use crate::ladder::Rung;
use crate::lane::BLOCK;

/// The precision that a rung computes in. All exponentials and sums are in units of [`exp::UNSCALE`].
pub trait Precision {
    /// Bounds the relative error of one exponential.
    const EXP_ERROR: f64;

    /// Bounds what the additions of a block add to the error of Σ e^{z_k}, relative to that sum.
    const SUM_ERROR: f64;

    /// Bounds what the products and additions of a block add to the error of Σ b_k e^{z_k}, relative to Σ |b_k| e^{z_k}.
    const SIGNED_SUM_ERROR: f64;

    /// Shares of a sum of any signs are taken from it if its relative error is at most this.
    const SHARE_ERROR: f64;

    /// How small, against e^max, the sum of all others may be when it is got by taking e^max from the whole sum:
    /// [`SUM_ERROR`](Self::SUM_ERROR) is then still less than the error of an exponential, against what remains.
    const LEAST_REST: f64;

    /// Whether sums start from nothing, whatever the bound of their terms.
    const STARTS_FROM_NOTHING: bool;

    /// The rung that computes in it.
    const RUNG: Rung;

    /// A number of this precision.
    type Number<W: Word>: Number<W>;

    /// A sum that is under way.
    type Sum<W: Word>: Sum<W, Number = Self::Number<W>>;

    /// e^{z − c}.
    fn exp<W: Word>(z: W, c: W) -> Self::Number<W>;

    /// e^z: the same as with c = 0, in fewer steps.
    fn exp_at_0<W: Word>(z: W) -> Self::Number<W>;

    /// e^d − 1 for |d| ≤ 2^-6: relative error below 2^-51 in one word, 2^-65 in two.
    fn minus_one_near_0<W: Word>(d: Self::Number<W>) -> Self::Number<W>;

    /// e^d − 1 for −1000 ≤ d ≤ 128: relative error below 2^-31 in one word, 2^-64 in two.
    fn minus_one<W: Word>(d: Self::Number<W>) -> Self::Number<W>;

    /// e^d, for a d of two words that is at least −1000; [`OneWord`] takes the first alone.
    fn exp_of_two<W: Word>(d: Two<W>) -> Self::Number<W>;

    /// Eight numbers in memory.
    type Kept: Copy + Default + Send;

    /// Stores a number, for [`kept`](Self::kept).
    fn keep<V: Vector>(number: Self::Number<V>, place: &mut Self::Kept);

    /// The number that was stored here.
    fn kept<V: Vector>(place: &Self::Kept, like: V) -> Self::Number<V>;

    /// The one of the eight at this index.
    fn kept_at(place: &Self::Kept, index: usize) -> Two;

    /// Puts another in the place of the one at this index.
    fn keep_at(place: &mut Self::Kept, index: usize, number: Two);

    /// The eight sums of a vector.
    fn lanes<V: Vector>(sum: Self::Sum<V>) -> [Self::Sum<f64>; 8];

    /// log(1 + t) for t ≥ 0, and a bound on its absolute error.
    fn log1p<W: Word>(t: Two<W>) -> (Two<W>, W);

    /// log y, relative error below 2^-48 in one word, 2^-58 in two, from the second, a power of 2, to 2^500.
    fn log<W: Word>(y: W) -> (Two<W>, f64);

    /// z − max − log, where z ≤ max and log ≥ 0: neither difference takes away from the other's accuracy.
    fn log_share<W: Word>(z: W, max: W, log: Two<W>) -> W;
}

/// A number in one word or two.
pub trait Number<W>: Copy {
    /// As a double word.
    fn to_two(self) -> Two<W>;

    /// Of a double word, its high word alone in one word.
    fn of(two: Two<W>) -> Self;

    /// a − b: exact in two words.
    fn difference(a: W, b: W) -> Self;

    /// Off by a rounding in one word, by 2^-104 in two where both have the same sign.
    fn added(self, other: Self) -> Self;

    /// Off by a rounding in one word, by 2^-103 in two.
    fn multiplied(self, other: Self) -> Self;

    /// Off by a rounding in one word, by 2^-102 in two.
    fn over(self, divisor: Self) -> Self;

    /// The product with `factor`, with the units taken off, rounded to one word.
    fn times(self, factor: Two<W>) -> W;

    /// The product with a number in one word: one rounding in one word, 2^-104 in two, which are normalised only for a power of 2.
    fn by(self, factor: W) -> Self;

    /// `sum` and this number, of any signs: one rounding in one word; in two, all roundings of a block are below
    /// 2^-89 of the sum of the magnitudes: 128 of low words below 2^-45 of it. The sum is not normalised.
    fn added_to(self, sum: Two<W>) -> Two<W>;
}

/// A sum of at most [`TERMS`] numbers.
pub trait Sum<W>: Copy {
    type Number;

    /// No number yet. None will be greater than 2^k · e^0 for `bound` = 2^k.
    fn empty(bound: W) -> Self;

    fn plus(self, number: Self::Number) -> Self;

    /// The sum of eight sums, in pairs. `bound` as in [`empty`](Sum::empty).
    fn total(sums: [Self; 8], bound: W) -> Two<W>;
}

/// Terms of each of a block's eight sums.
const TERMS: usize = BLOCK / 8;

/// f64 arithmetic.
pub struct OneWord;

impl Precision for OneWord {
    const EXP_ERROR: f64 = exp::ONE_WORD_ERROR;
    /// 128 additions, 3 more, and taking e^max away: 132 roundings of 2^-53.
    const SUM_ERROR: f64 = 1.5e-14;
    /// One rounding more: a product's.
    const SIGNED_SUM_ERROR: f64 = 1.5e-14;
    const SHARE_ERROR: f64 = power_of_two(-30);
    /// 2^-46 of 1 is then 2^-30 of the rest, a 64th of f32's ulp.
    const LEAST_REST: f64 = power_of_two(-16);
    const STARTS_FROM_NOTHING: bool = true;
    const RUNG: Rung = Rung::Double;
    type Number<W: Word> = One<W>;
    type Sum<W: Word> = One<W>;
    type Kept = [f64; 8];

    #[inline(always)]
    fn exp<W: Word>(z: W, c: W) -> One<W> {
        One(exp::one_word(z, c))
    }

    #[inline(always)]
    fn exp_at_0<W: Word>(z: W) -> One<W> {
        One(exp::one_word_at_0(z))
    }

    #[inline(always)]
    fn minus_one_near_0<W: Word>(d: One<W>) -> One<W> {
        One(exp::one_word_minus_one_near_0(d.0))
    }

    #[inline(always)]
    fn minus_one<W: Word>(d: One<W>) -> One<W> {
        One(exp::one_word_minus_one(d.0))
    }

    #[inline(always)]
    fn exp_of_two<W: Word>(d: Two<W>) -> One<W> {
        One(exp::one_word_at_0(d.hi))
    }

    #[inline(always)]
    fn keep<V: Vector>(number: One<V>, place: &mut [f64; 8]) {
        number.0.store(place);
    }

    #[inline(always)]
    fn kept<V: Vector>(place: &[f64; 8], like: V) -> One<V> {
        One(like.load(place))
    }

    #[inline(always)]
    fn kept_at(place: &[f64; 8], index: usize) -> Two {
        Two { hi: place[index], lo: 0.0 }
    }

    #[inline(always)]
    fn keep_at(place: &mut [f64; 8], index: usize, number: Two) {
        place[index] = number.hi;
    }

    #[inline(always)]
    fn lanes<V: Vector>(sum: One<V>) -> [One<f64>; 8] {
        let (mut words, mut sums) = ([0.0; 8], [One(0.0); 8]);
        sum.0.store(&mut words);
        for i in 0..8 {
            sums[i] = One(words[i]);
        }
        sums
    }

    #[inline(always)]
    fn log1p<W: Word>(t: Two<W>) -> (Two<W>, W) {
        let (log, error) = log::one_word(t.hi);
        (Two { hi: log, lo: log.splat(0.0) }, error)
    }

    #[inline(always)]
    fn log<W: Word>(y: W) -> (Two<W>, f64) {
        (Two { hi: log::of_one_word(y).0, lo: y.splat(0.0) }, power_of_two(-400))
    }

    #[inline(always)]
    fn log_share<W: Word>(z: W, max: W, log: Two<W>) -> W {
        z - max - log.hi
    }
}

#[derive(Clone, Copy)]
pub struct One<W>(W);

impl<W: Word> Number<W> for One<W> {
    #[inline(always)]
    fn to_two(self) -> Two<W> {
        Two { hi: self.0, lo: self.0.splat(0.0) }
    }

    #[inline(always)]
    fn of(two: Two<W>) -> Self {
        Self(two.hi)
    }

    #[inline(always)]
    fn difference(a: W, b: W) -> Self {
        Self(a - b)
    }

    #[inline(always)]
    fn added(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    #[inline(always)]
    fn multiplied(self, other: Self) -> Self {
        Self(self.0 * other.0)
    }

    #[inline(always)]
    fn over(self, divisor: Self) -> Self {
        Self(self.0.div(divisor.0))
    }

    #[inline(always)]
    fn times(self, factor: Two<W>) -> W {
        self.0 * (factor.hi * factor.hi.splat(exp::UNSCALE))
    }

    #[inline(always)]
    fn by(self, factor: W) -> Self {
        Self(self.0 * factor)
    }

    #[inline(always)]
    fn added_to(self, sum: Two<W>) -> Two<W> {
        Two { hi: sum.hi + self.0, ..sum }
    }
}

impl<W: Word> Sum<W> for One<W> {
    type Number = Self;

    #[inline(always)]
    fn empty(bound: W) -> Self {
        Self(bound.splat(0.0))
    }

    #[inline(always)]
    fn plus(self, number: Self) -> Self {
        Self(self.0 + number.0)
    }

    #[inline(always)]
    fn total(mut sums: [Self; 8], _: W) -> Two<W> {
        for width in [4, 2, 1] {
            for i in 0..width {
                sums[i] = sums[i].plus(sums[i + width]);
            }
        }
        sums[0].to_two()
    }
}

/// Double words.
pub struct TwoWords;

impl Precision for TwoWords {
    const EXP_ERROR: f64 = exp::TWO_WORDS_ERROR;
    /// See [`Head`]; the sum is at least half of its bound.
    const SUM_ERROR: f64 = power_of_two(-82);
    /// See [`Number::added_to`].
    const SIGNED_SUM_ERROR: f64 = power_of_two(-88);
    const SHARE_ERROR: f64 = power_of_two(-59);
    /// 2^-82 of 1 is then 2^-62 of the rest.
    const LEAST_REST: f64 = power_of_two(-20);
    const STARTS_FROM_NOTHING: bool = false;
    const RUNG: Rung = Rung::DoubleWord;
    type Number<W: Word> = Two<W>;
    type Sum<W: Word> = Head<W>;
    type Kept = [[f64; 8]; 2];

    #[inline(always)]
    fn exp<W: Word>(z: W, c: W) -> Two<W> {
        exp::two_words(z, c)
    }

    #[inline(always)]
    fn exp_at_0<W: Word>(z: W) -> Two<W> {
        exp::two_words_at_0(z)
    }

    #[inline(always)]
    fn minus_one_near_0<W: Word>(d: Two<W>) -> Two<W> {
        exp::minus_one_near_0(d)
    }

    #[inline(always)]
    fn minus_one<W: Word>(d: Two<W>) -> Two<W> {
        exp::minus_one(d)
    }

    #[inline(always)]
    fn exp_of_two<W: Word>(d: Two<W>) -> Two<W> {
        exp::two_words_of_two(d)
    }

    #[inline(always)]
    fn keep<V: Vector>(number: Two<V>, place: &mut [[f64; 8]; 2]) {
        number.hi.store(&mut place[0]);
        number.lo.store(&mut place[1]);
    }

    #[inline(always)]
    fn kept<V: Vector>(place: &[[f64; 8]; 2], like: V) -> Two<V> {
        Two { hi: like.load(&place[0]), lo: like.load(&place[1]) }
    }

    #[inline(always)]
    fn kept_at(place: &[[f64; 8]; 2], index: usize) -> Two {
        Two { hi: place[0][index], lo: place[1][index] }
    }

    #[inline(always)]
    fn keep_at(place: &mut [[f64; 8]; 2], index: usize, number: Two) {
        [place[0][index], place[1][index]] = [number.hi, number.lo];
    }

    #[inline(always)]
    fn lanes<V: Vector>(sum: Head<V>) -> [Head<f64>; 8] {
        let (mut his, mut los, mut sums) = ([0.0; 8], [0.0; 8], [Head { hi: 0.0, lo: 0.0 }; 8]);
        sum.hi.store(&mut his);
        sum.lo.store(&mut los);
        for i in 0..8 {
            sums[i] = Head { hi: his[i], lo: los[i] };
        }
        sums
    }

    #[inline(always)]
    fn log1p<W: Word>(t: Two<W>) -> (Two<W>, W) {
        log::two_words(t)
    }

    #[inline(always)]
    fn log<W: Word>(y: W) -> (Two<W>, f64) {
        (log::of_two(Two { hi: y, lo: y.splat(0.0) }).0, power_of_two(-1000))
    }

    #[inline(always)]
    fn log_share<W: Word>(z: W, max: W, log: Two<W>) -> W {
        let difference = two_sum(z, -max);
        let log_share = difference.plus(log.negated()).hi;
        // A difference beyond the largest f64 has a low word that means nothing.
        let minus_infinity = z.splat(f64::NEG_INFINITY);
        difference.hi.where_at_most(f64::NEG_INFINITY, minus_infinity, log_share)
    }
}

impl<W: Word> Number<W> for Two<W> {
    #[inline(always)]
    fn to_two(self) -> Self {
        self
    }

    #[inline(always)]
    fn of(two: Self) -> Self {
        two
    }

    #[inline(always)]
    fn difference(a: W, b: W) -> Self {
        two_sum(a, -b)
    }

    #[inline(always)]
    fn added(self, other: Self) -> Self {
        self.plus(other)
    }

    #[inline(always)]
    fn multiplied(self, other: Self) -> Self {
        Two::times(self, other)
    }

    #[inline(always)]
    fn over(self, divisor: Self) -> Self {
        Two::over(self, divisor)
    }

    #[inline(always)]
    fn times(self, factor: Self) -> W {
        Two::times(self, factor).hi * self.hi.splat(exp::UNSCALE)
    }

    #[inline(always)]
    fn by(self, factor: W) -> Self {
        let product = two_product(self.hi, factor);
        Self { hi: product.hi, lo: self.lo.mul_add(factor, product.lo) }
    }

    #[inline(always)]
    fn added_to(self, sum: Self) -> Self {
        let high = two_sum(sum.hi, self.hi);
        Self { hi: high.hi, lo: sum.lo + (high.lo + self.lo) }
    }
}

/// A sum of double words. Its high word starts from 2^8 times the bound of the terms, [`HEAD`], so that it is never
/// less than a term: Dekker's three operations add exactly, where Knuth's would take six.
///
/// In units of the bound: with 128 terms the high word stays below 2^9, what each addition leaves below 2^-44; the
/// low word adds up 128 of those, stays below 2^-37, and each of its roundings below 2^-90, all below 2^-83.9. The
/// total's three roundings of at most 2^-34 · 2^-53 vanish beside that.
#[derive(Clone, Copy)]
pub struct Head<W> {
    hi: W,
    lo: W,
}

const HEAD: f64 = power_of_two(8 + exp::SCALE as i32);

const _: () = assert!(TERMS <= 128);

impl<W: Word> Sum<W> for Head<W> {
    type Number = Two<W>;

    #[inline(always)]
    fn empty(bound: W) -> Self {
        Self { hi: bound * bound.splat(HEAD), lo: bound.splat(0.0) }
    }

    #[inline(always)]
    fn plus(self, number: Two<W>) -> Self {
        let sum = fast_two_sum(self.hi, number.hi);
        Self { hi: sum.hi, lo: self.lo + (sum.lo + number.lo) }
    }

    #[inline(always)]
    fn total(mut sums: [Self; 8], bound: W) -> Two<W> {
        let head = bound * bound.splat(HEAD);
        for sum in &mut sums {
            sum.hi = sum.hi - head;
        }
        for width in [4, 2, 1] {
            for i in 0..width {
                let (a, b) = (sums[i], sums[i + width]);
                let high = two_sum(a.hi, b.hi);
                sums[i] = Self { hi: high.hi, lo: (a.lo + b.lo) + high.lo };
            }
        }
        two_sum(sums[0].hi, sums[0].lo)
    }
}
