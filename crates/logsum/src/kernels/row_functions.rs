//! Functions of each element of a row, with an optional second number and weight: all results, or their sum.

use super::block::{Store, first, maximum};
use crate::arithmetic::double_double::{DoubleDouble, power_of_two, two_product, two_sum};
use crate::arithmetic::exp::{self, UNSCALE};
use crate::arithmetic::float64::Float64;
use crate::arithmetic::precision::{InDoubleDouble, Number, Precision};
use crate::formats::Format;
use crate::kernels::row_access::BLOCK;
use crate::simd::{Vector, lanes, scalar_tasks, task};

/// Numbers z of a row, each with a second number v, by default 0, and a weight w, by default 1.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a, T> {
    pub(crate) z: &'a [T],
    pub(crate) v: Option<&'a [T]>,
    pub(crate) w: Option<&'a [T]>,
}

impl<'a, T> Block<'a, T> {
    /// Numbers alone.
    pub(crate) fn of(z: &'a [T]) -> Self {
        Self { z, v: None, w: None }
    }

    /// At most `count` elements from `start` on.
    pub(crate) fn part(self, start: usize, count: usize) -> Self {
        let of = |numbers: &'a [T]| &numbers[start..numbers.len().min(start + count)];
        Self { z: of(self.z), v: self.v.map(of), w: self.w.map(of) }
    }
}

/// How the exponential of a number is computed, and whether its weight is a factor of it.
pub(crate) trait Exponent: Copy {
    /// Whether w is a factor of the result.
    const IS_WEIGHTED: bool = false;

    /// The relative error is [`EXP_ERROR`](Precision::EXP_ERROR), for [`Tempered`] plus 2^-41.4 in f64, 2^-92 in
    /// double-double.
    fn exp<P: Precision, F: Float64>(self, z: F, w: F) -> P::Number<F>;
}

/// e^z.
#[derive(Clone, Copy)]
pub(crate) struct At0;

impl Exponent for At0 {
    #[inline(always)]
    fn exp<P: Precision, F: Float64>(self, z: F, _: F) -> P::Number<F> {
        P::exp_at_0(z)
    }
}

/// e^{z − c}.
#[derive(Clone, Copy)]
pub(crate) struct Shifted(pub(crate) f64);

impl Exponent for Shifted {
    #[inline(always)]
    fn exp<P: Precision, F: Float64>(self, z: F, _: F) -> P::Number<F> {
        P::exp(z, z.splat(self.0))
    }
}

/// The map from z to x = (z − max)/temperature.
#[derive(Clone, Copy)]
pub(crate) struct Tempered {
    pub(crate) max: f64,
    /// A power of 2 that multiplies differences first, so that the inverse is in range.
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
            inverse: scalar_tasks::quotient(DoubleDouble::ONE, DoubleDouble::from(temperature * power)),
        }
    }

    /// x, or −∞ where it is out of range. Relative error: three roundings in f64, 16u² in double-double.
    #[inline(always)]
    pub(crate) fn x<P: Precision, W: Float64>(self, z: W) -> P::Number<W> {
        const OUT_OF_RANGE: f64 = -8e307;
        let difference = P::Number::difference(z, z.splat(self.max)).by(z.splat(self.power));
        let rough = (z - z.splat(self.max)) * z.splat(self.power) * z.splat(self.inverse.hi);
        let x = (difference * P::Number::of(self.inverse.splat(z))).to_dd();
        let infinite = DoubleDouble::from(z.splat(f64::NEG_INFINITY));
        P::Number::of(DoubleDouble {
            hi: rough.where_at_most(OUT_OF_RANGE, infinite.hi, x.hi),
            lo: rough.where_at_most(OUT_OF_RANGE, infinite.lo, x.lo),
        })
    }

    /// `number` divided by the temperature.
    #[inline(always)]
    pub(crate) fn divided<P: Precision, V: Vector>(self, number: P::Number<V>) -> P::Number<V> {
        let simd = number.to_dd().hi;
        number.by(simd.splat(self.power)) * P::Number::of(self.inverse.splat(simd))
    }

    /// max(x, −1000): below that, e^x is negligible.
    #[inline(always)]
    pub(crate) fn near_x<P: Precision, W: Float64>(self, z: W) -> P::Number<W> {
        let x = self.x::<P, W>(z).to_dd();
        let least = DoubleDouble::from(z.splat(exp::LEAST));
        P::Number::of(x.where_at_most(exp::LEAST, least, x))
    }
}

impl Exponent for Tempered {
    /// e^x.
    #[inline(always)]
    fn exp<P: Precision, F: Float64>(self, z: F, _: F) -> P::Number<F> {
        P::exp_of_dd(self.near_x::<P, F>(z).to_dd())
    }
}

/// w e^x, with the x of another [`Exponent`].
#[derive(Clone, Copy)]
pub(crate) struct Weighted<E>(pub(crate) E);

impl<E: Exponent> Exponent for Weighted<E> {
    const IS_WEIGHTED: bool = true;

    #[inline(always)]
    fn exp<P: Precision, F: Float64>(self, z: F, w: F) -> P::Number<F> {
        self.0.exp::<P, F>(z, w).by(w)
    }
}

/// The exponent of a row's exponentials: z, z − shift, or (z − max)/temperature.
#[derive(Clone, Copy)]
pub(crate) enum About {
    Zero,
    Shift(f64),
    Temperature(Tempered),
}

impl About {
    /// For e^{z − c}.
    pub(crate) fn shift(c: f64) -> Self {
        if c == 0.0 { Self::Zero } else { Self::Shift(c) }
    }
}

/// Evaluates `$result` with `$exponent` bound to the [`Exponent`] that `$about` stands for.
macro_rules! for_exponent {
    ($about:expr, $exponent:ident => $result:expr) => {
        match $about {
            $crate::kernels::row_functions::About::Zero => {
                let $exponent = $crate::kernels::row_functions::At0;
                $result
            }
            $crate::kernels::row_functions::About::Shift(shift) => {
                let $exponent = $crate::kernels::row_functions::Shifted(shift);
                $result
            }
            $crate::kernels::row_functions::About::Temperature($exponent) => $result,
        }
    };
}

pub(crate) use for_exponent;

/// Which of v and w a function uses.
#[derive(Clone, Copy)]
pub(crate) struct Uses {
    pub(crate) v: bool,
    pub(crate) w: bool,
}

impl Uses {
    pub(crate) const NOTHING: Self = Self { v: false, w: false };

    pub(crate) const fn weights_of<E: Exponent>() -> Self {
        Self { v: false, w: E::IS_WEIGHTED }
    }

    pub(crate) const fn and_v(self) -> Self {
        Self { v: true, ..self }
    }
}

/// A function of a number z, its second number v, by default 0, and its weight w, by default 1.
pub(crate) trait Function: Copy {
    const USES: Uses;

    /// Whether it is so cheap that sixteen numbers at a time are faster than eight.
    const IS_SHORT: bool = false;

    fn at<P: Precision, V: Vector>(self, z: V, v: V, w: V) -> P::Number<V>;
}

/// e^x.
#[derive(Clone, Copy)]
pub(crate) struct Exp<E>(pub(crate) E);

impl<E: Exponent> Function for Exp<E> {
    const USES: Uses = Uses::weights_of::<E>();

    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, _: V, w: V) -> P::Number<V> {
        self.0.exp::<P, V>(z, w)
    }
}

/// v times another function.
#[derive(Clone, Copy)]
pub(crate) struct Times<F>(pub(crate) F);

impl<F: Function> Function for Times<F> {
    const USES: Uses = F::USES.and_v();

    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, v: V, w: V) -> P::Number<V> {
        self.0.at::<P, V>(z, v, w).by(v)
    }
}

/// Another function divided by the temperature.
#[derive(Clone, Copy)]
pub(crate) struct Divided<F>(pub(crate) F, pub(crate) Tempered);

impl<F: Function> Function for Divided<F> {
    const USES: Uses = F::USES;

    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, v: V, w: V) -> P::Number<V> {
        self.1.divided::<P, V>(self.0.at::<P, V>(z, v, w))
    }
}

/// w e^x / Σ w e^x: softmax.
#[derive(Clone, Copy)]
pub(crate) struct Softmax<E> {
    pub(crate) exponent: E,
    /// 1 / Σ w e^x.
    pub(crate) inverse: DoubleDouble,
}

impl<E: Exponent> Softmax<E> {
    /// 2^512 times the softmax, so that nothing is subnormal; the caller removes the factor in a later product.
    #[inline(always)]
    fn scaled<P: Precision, V: Vector>(self, z: V, w: V) -> P::Number<V> {
        self.exponent.exp::<P, V>(z, w) * P::Number::of(self.inverse.splat(z))
    }

    /// The softmax times a possibly large number. Half of the scale is removed before the product and half after,
    /// so that neither factor nor result leaves the range.
    #[inline(always)]
    pub(super) fn times<P: Precision, V: Vector>(self, z: V, w: V, number: P::Number<V>) -> P::Number<V> {
        let half = z.splat(power_of_two(-256));
        (self.scaled::<P, V>(z, w).by(half) * number).by(half)
    }
}

impl<E: Exponent> Function for Softmax<E> {
    const USES: Uses = Uses::weights_of::<E>();

    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, _: V, w: V) -> P::Number<V> {
        self.scaled::<P, V>(z, w).by(z.splat(UNSCALE))
    }
}

/// Softmax as a final result, rounded to f64: in f64 with one product, with the scale folded into the inverse.
#[derive(Clone, Copy)]
struct Rounded<E>(Softmax<E>);

impl<E: Exponent> Function for Rounded<E> {
    const USES: Uses = Uses::weights_of::<E>();
    const IS_SHORT: bool = true;

    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, _: V, w: V) -> P::Number<V> {
        let Softmax { exponent, inverse } = self.0;
        P::Number::of(exponent.exp::<P, V>(z, w).round_scaled(inverse.splat(z)).into())
    }
}

/// p (v − v̄) for softmax p: the Hessian of log-sum-exp times v.
#[derive(Clone, Copy)]
pub(crate) struct Hessian<E> {
    pub(crate) softmax: Softmax<E>,
    pub(crate) mean: DoubleDouble,
}

impl<E: Exponent> Function for Hessian<E> {
    const USES: Uses = Uses::weights_of::<E>().and_v();

    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, v: V, w: V) -> P::Number<V> {
        self.softmax.times::<P, V>(z, w, P::Number::of(-self.mean.splat(z) + v))
    }
}

/// x − x̄, in double-double for any precision: it may cancel, and the mean shares the errors of its softmax.
#[inline(always)]
pub(crate) fn deviation<P: Precision, V: Vector>(x: DoubleDouble<V>, mean: DoubleDouble) -> P::Number<V> {
    P::Number::of(x - mean.splat(x.hi))
}

/// Softmax of a row or a part of it, given 1 / Σ w e^x.
pub(crate) fn softmax<T: Format>(
    block: Block<'_, T>,
    about: About,
    inverse: DoubleDouble,
    out: &mut [T],
    to: Store,
) {
    for_exponent!(about, exponent => {
        each::<T::First, T, _>(block, Rounded(Softmax { exponent, inverse }), out, to);
    });
}

/// A function of a number z, its second number v, by default 0, and its weight w, by default 1, with a bound on its
/// error.
pub(crate) trait Bounded: Copy {
    const USES: Uses = Uses::NOTHING;

    /// The ends of an interval that encloses the exact function; one is NaN where no such interval is known.
    fn ends<P: Precision, V: Vector>(self, z: V, v: V, w: V) -> [V; 2];

    /// The same, with more work where the ends are subnormal.
    #[inline(always)]
    fn ends_among_least<P: Precision, V: Vector>(self, z: V, v: V, w: V) -> [V; 2] {
        self.ends::<P, V>(z, v, w)
    }
}

/// Softmax, with a bound on its relative error.
#[derive(Clone, Copy)]
pub(crate) struct BoundedSoftmax<E> {
    pub(crate) exponent: E,
    /// 1 / Σ e^x.
    pub(crate) inverse: DoubleDouble,
    pub(crate) error: f64,
}

impl<E: Exponent> Bounded for BoundedSoftmax<E> {
    #[inline(always)]
    fn ends<P: Precision, V: Vector>(self, z: V, _: V, _: V) -> [V; 2] {
        self.exponent.exp::<P, V>(z, z).scaled_ends(self.inverse.splat(z), z.splat(self.error))
    }

    #[inline(always)]
    fn ends_among_least<P: Precision, V: Vector>(self, z: V, _: V, _: V) -> [V; 2] {
        self.exponent.exp::<P, V>(z, z).scaled_ends_among_least(self.inverse.splat(z), z.splat(self.error))
    }
}

/// A share of a sum with weights, w e^{z − shift} · inverse with inverse = 1 / Σ w e^{z − shift} of either sign, with a
/// bound on its relative error.
#[derive(Clone, Copy)]
pub(crate) struct BoundedShare {
    pub(crate) shift: f64,
    pub(crate) inverse: DoubleDouble,
    pub(crate) error: f64,
}

impl BoundedShare {
    /// The ends for the magnitude, with the sign restored; the lower end is 0 where the exponential counts as e^-1000.
    /// With a weight of 0, of either sign, or at −∞ the share is 0.
    #[inline(always)]
    fn ends<P: Precision, V: Vector>(self, z: V, w: V) -> [V; 2] {
        let Self { shift, inverse, error } = self;
        let (magnitude, sign) = if inverse.hi < 0.0 { (-inverse, -1.0) } else { (inverse, 1.0) };
        let sign = (-w).where_at_most(0.0, z.splat(sign), z.splat(-sign));
        let weight = z.where_at_most(f64::NEG_INFINITY, z.splat(0.0), w.max(-w));
        let term = P::exp(z, z.splat(shift)).by(weight);
        let [low, high] = term.scaled_ends_among_least(magnitude.splat(z), z.splat(error));
        let zero = z.splat(0.0);
        let low = (z - z.splat(shift)).where_at_most(exp::LEAST, zero, low);
        [weight.where_at_most(0.0, zero, low * sign), weight.where_at_most(0.0, zero, high * sign)]
    }
}

task! {
    /// Writes the share of each number of a block; without weights, what it would be with a weight of 1. Sets bit i of
    /// mask j if the share of number 8j + i is not settled, and clears the other bits.
    pub(crate) fn weighted_shares<T: Format>(
        block: Block<'_, T>,
        share: BoundedShare,
        out: &mut [T],
        masks: &mut [u8];
        simd: V
    ) {
        for (i, (out, mask)) in out.chunks_mut(8).zip(masks).enumerate() {
            let part = block.part(8 * i, 8);
            let w = part.w.map_or(simd.splat(1.0), |w| T::load(&padded(w), simd));
            let [low, high] = share.ends::<T::Elements, V>(T::load(&padded(part.z), simd), w);
            let mut eight = [T::default(); 8];
            T::store(high, &mut eight);
            out.copy_from_slice(&eight[..out.len()]);
            *mask = T::differ(low, high) & first(out.len());
        }
    }
}

/// z − max − log: log-softmax, for log = LSE − max with a bound on its error.
#[derive(Clone, Copy)]
pub(crate) struct BoundedLogSoftmax {
    pub(crate) max: f64,
    pub(crate) log: DoubleDouble,
    pub(crate) error: f64,
}

impl Bounded for BoundedLogSoftmax {
    #[inline(always)]
    fn ends<P: Precision, V: Vector>(self, z: V, _: V, _: V) -> [V; 2] {
        P::log_share_ends(z, z.splat(self.max), self.log.splat(z), z.splat(self.error))
    }
}

task! {
    /// Writes a function of each number, rounded. Returns whether one is not settled.
    pub(crate) fn each_bounded<T: Format, F: Bounded>(
        block: Block<'_, T>,
        f: F,
        out: &mut [T],
        to: Store;
        simd: V
    ) -> bool {
        let is_memory = to.is_memory(out);
        let (last, mut last_out) = (Last::of(block, F::USES), [[T::default(); 8]]);
        let (out, rest) = out.as_chunks_mut();
        let (whole, last) = (Eights::of(block, F::USES), last.eights());
        let in_pairs = whole.z.len() / 2 * 2;
        let ((pairs, few), (out, few_out)) = (whole.split_at(in_pairs), out.split_at_mut(in_pairs));
        let mut unsettled = 0;
        for (i, out) in out.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            let [low, high] = pairs.ends::<F, V>(2 * i, f, simd);
            let [low2, high2] = pairs.ends::<F, V>(2 * i + 1, f, simd);
            if is_memory {
                T::stream(high, &mut out[0]);
                T::stream(high2, &mut out[1]);
            } else {
                T::store(high, &mut out[0]);
                T::store(high2, &mut out[1]);
            }
            unsettled |= T::differ(low, high) | T::differ(low2, high2);
        }
        // One loop over both, so that the function is in the code once more, not twice.
        let last_eight = &mut last_out[..last.z.len()];
        for (eights, out, is_number) in [(few, few_out, u8::MAX), (last, last_eight, first(rest.len()))] {
            for (i, out) in out.iter_mut().enumerate() {
                let [low, high] = eights.ends::<F, V>(i, f, simd);
                T::store(high, out);
                unsettled |= T::differ(low, high) & is_number;
            }
        }
        if is_memory {
            simd.fence();
        }
        rest.copy_from_slice(&last_out[0][..rest.len()]);
        unsettled != 0
    }
}

task! {
    /// Writes a function of each number again, with more work where it is subnormal. Sets bit i of mask j if the
    /// function of number 8j + i is not settled, and clears the other bits.
    fn mark<T: Format, F: Bounded>(block: Block<'_, T>, f: F, out: &mut [T], masks: &mut [u8]; simd: V) {
        let (last, mut last_out) = (Last::of(block, F::USES), [[T::default(); 8]]);
        let (out, rest) = out.as_chunks_mut();
        let (whole, last) = (Eights::of(block, F::USES), last.eights());
        let (masks, last_mask) = masks.split_at_mut(whole.z.len());
        for (eights, out, masks, is_number) in
            [(whole, out, masks, u8::MAX), (last, &mut last_out, last_mask, first(rest.len()))]
        {
            for i in 0..eights.z.len() {
                let [z, v, w] = eights.load(i, simd);
                let [low, high] = f.ends_among_least::<T::Elements, V>(z, v, w);
                T::store(high, &mut out[i]);
                masks[i] = T::differ(low, high) & is_number;
            }
        }
        rest.copy_from_slice(&last_out[0][..rest.len()]);
    }
}

/// Settles those results of a row that are written but not settled: `nearest` computes the result for an index.
#[cold]
pub(crate) fn settle<T: Format>(
    row: Block<'_, T>,
    f: impl Bounded,
    out: &mut [T],
    nearest: impl Fn(usize) -> T,
) {
    let mut masks = [0; BLOCK / 8];
    for (i, out) in out.chunks_mut(BLOCK).enumerate() {
        mark(row.part(i * BLOCK, BLOCK), f, out, &mut masks);
        // Masks beyond the end of a shorter block are left over from the block before.
        marked(&masks[..out.len().div_ceil(8)]).for_each(|k| out[k] = nearest(i * BLOCK + k));
    }
}

/// The numbers whose bits are set: bit i of mask j for number 8j + i.
pub(crate) fn marked(masks: &[u8]) -> impl Iterator<Item = usize> {
    let some = masks.iter().enumerate().filter(|&(_, &mask)| mask != 0);
    some.flat_map(|(j, &mask)| (0..8).filter(move |i| mask >> i & 1 == 1).map(move |i| 8 * j + i))
}

task! {
    /// A function of a single number.
    pub(crate) fn one<P: Precision, F: Function>(z: f64, f: F; simd: V) -> DoubleDouble {
        lanes(f.at::<P, V>(simd.splat(z), simd.splat(0.0), simd.splat(1.0)).to_dd())[0]
    }
}

/// The sum of a function over a row. The additions have an error, relative to the sum of the magnitudes, of at
/// most 132 roundings in f64 and 2^-88 in double-double.
pub(crate) fn sum<P: Precision, T: Format>(row: Block<'_, T>, f: impl Function) -> DoubleDouble {
    let starts = (0..row.z.len()).step_by(BLOCK);
    starts.fold(DoubleDouble::ZERO, |sum, start| sum + sum_of_block::<P, T, _>(row.part(start, BLOCK), f))
}

/// Σ a b in double-double, with the additions of [`sum`].
pub(crate) fn dot<T: Format>(a: &[T], b: &[T]) -> DoubleDouble {
    sum::<InDoubleDouble, T>(Block { z: a, v: Some(b), w: None }, Product)
}

#[derive(Clone, Copy)]
struct Product;

impl Function for Product {
    const USES: Uses = Uses::NOTHING.and_v();

    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, v: V, _: V) -> P::Number<V> {
        P::Number::of(two_product(z, v))
    }
}

task! {
    fn sum_of_block<P: Precision, T: Format, F: Function>(block: Block<'_, T>, f: F; simd: V) -> DoubleDouble {
        let (whole, last) = (Eights::of(block, F::USES), Last::of(block, F::USES));
        let (mut sum, mut last_terms) = (DoubleDouble::from(simd.splat(0.0)), [DoubleDouble::ZERO; 8]);
        // One loop over both, so that the function is in the code once.
        for (eights, are_whole) in [(whole, true), (last.eights(), false)] {
            for i in 0..eights.z.len() {
                let terms = eights.function::<P, F, V>(i, f, simd);
                if are_whole {
                    sum = terms.added_to(sum);
                } else {
                    last_terms = lanes(terms.to_dd());
                }
            }
        }
        let mut all = DoubleDouble::ZERO;
        for sum in lanes(sum) {
            all = all + two_sum(sum.hi, sum.lo);
        }
        for &term in &last_terms[..block.z.len() % 8] {
            all = all + term;
        }
        all
    }
}

task! {
    /// Writes a function of each number of a row, rounded.
    pub(crate) fn each<P: Precision, T: Format, F: Function>(
        block: Block<'_, T>,
        f: F,
        out: &mut [T],
        to: Store;
        simd: V
    ) {
        let is_memory = to.is_memory(out);
        let (last, mut last_out) = (Last::of(block, F::USES), [[T::default(); 8]]);
        let (out, rest) = out.as_chunks_mut();
        let (whole, last) = (Eights::of(block, F::USES), last.eights());
        let in_pairs = if F::IS_SHORT { whole.z.len() / 2 * 2 } else { 0 };
        let ((pairs, few), (out, few_out)) = (whole.split_at(in_pairs), out.split_at_mut(in_pairs));
        for (i, out) in out.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            let result = pairs.function::<P, F, V>(2 * i, f, simd).to_dd().hi;
            let result2 = pairs.function::<P, F, V>(2 * i + 1, f, simd).to_dd().hi;
            if is_memory {
                T::stream(result, &mut out[0]);
                T::stream(result2, &mut out[1]);
            } else {
                T::store(result, &mut out[0]);
                T::store(result2, &mut out[1]);
            }
        }
        // One loop over both, so that the function is in the code once more, not twice.
        let last_eight = &mut last_out[..last.z.len()];
        for (eights, out, is_memory) in [(few, few_out, is_memory), (last, last_eight, false)] {
            for (i, out) in out.iter_mut().enumerate() {
                let result = eights.function::<P, F, V>(i, f, simd).to_dd().hi;
                if is_memory { T::stream(result, out) } else { T::store(result, out) }
            }
        }
        if is_memory {
            simd.fence();
        }
        rest.copy_from_slice(&last_out[0][..rest.len()]);
    }
}

/// Eights of the numbers of a block, and of its second numbers and weights as far as a function uses them.
#[derive(Clone, Copy)]
struct Eights<'a, T> {
    z: &'a [[T; 8]],
    v: Option<&'a [[T; 8]]>,
    w: Option<&'a [[T; 8]]>,
}

impl<'a, T: Format> Eights<'a, T> {
    /// Those of a block that are whole.
    #[inline(always)]
    fn of(block: Block<'a, T>, uses: Uses) -> Self {
        Self {
            z: block.z.as_chunks().0,
            v: block.v.filter(|_| uses.v).map(|v| v.as_chunks().0),
            w: block.w.filter(|_| uses.w).map(|w| w.as_chunks().0),
        }
    }

    /// The first `count`, and the others.
    #[inline(always)]
    fn split_at(self, count: usize) -> (Self, Self) {
        let (z, z_after) = self.z.split_at(count);
        let (v, v_after) = self.v.map(|v| v.split_at(count)).unzip();
        let (w, w_after) = self.w.map(|w| w.split_at(count)).unzip();
        (Self { z, v, w }, Self { z: z_after, v: v_after, w: w_after })
    }

    /// The i-th eight: z, v and w.
    #[inline(always)]
    fn load<V: Vector>(self, i: usize, simd: V) -> [V; 3] {
        let z = T::load(&self.z[i], simd);
        [z, eight(self.v, i, simd.splat(0.0)), eight(self.w, i, simd.splat(1.0))]
    }

    /// A function of the i-th eight.
    #[inline(always)]
    fn function<P: Precision, F: Function, V: Vector>(self, i: usize, f: F, simd: V) -> P::Number<V> {
        let [z, v, w] = self.load(i, simd);
        f.at::<P, V>(z, v, w)
    }

    /// The ends of a function of the i-th eight.
    #[inline(always)]
    fn ends<F: Bounded, V: Vector>(self, i: usize, f: F, simd: V) -> [V; 2] {
        let [z, v, w] = self.load(i, simd);
        f.ends::<T::Elements, V>(z, v, w)
    }
}

/// The numbers of a block after its whole eights, if there are any, padded with zeros.
struct Last<T> {
    z: [[T; 8]; 1],
    v: Option<[[T; 8]; 1]>,
    w: Option<[[T; 8]; 1]>,
    /// 0 or 1.
    count: usize,
}

impl<T: Format> Last<T> {
    #[inline(always)]
    fn of(block: Block<'_, T>, uses: Uses) -> Self {
        let rest = |numbers: &[T]| [padded(numbers.as_chunks::<8>().1)];
        Self {
            z: rest(block.z),
            v: block.v.filter(|_| uses.v).map(rest),
            w: block.w.filter(|_| uses.w).map(rest),
            count: usize::from(!block.z.len().is_multiple_of(8)),
        }
    }

    #[inline(always)]
    fn eights(&self) -> Eights<'_, T> {
        Eights {
            z: &self.z[..self.count],
            v: self.v.as_ref().map(|v| &v[..self.count]),
            w: self.w.as_ref().map(|w| &w[..self.count]),
        }
    }
}

/// The i-th eight numbers, or the default where there are none.
#[inline(always)]
fn eight<T: Format, V: Vector>(eights: Option<&[[T; 8]]>, i: usize, default: V) -> V {
    match eights {
        Some(eights) => T::load(&eights[i], default),
        None => default,
    }
}

/// At most eight numbers, padded with zeros.
#[inline(always)]
pub(crate) fn padded<T: Format>(numbers: &[T]) -> [T; 8] {
    let mut eight = [T::default(); 8];
    eight[..numbers.len()].copy_from_slice(numbers);
    eight
}

task! {
    /// The greatest number; NaNs are ignored.
    pub(crate) fn greatest<T: Format>(z: &[T]; simd: V) -> f64 {
        maximum(z, simd)
    }
}
