//! The loops of cumulative sums: eight chunks at a time, the columns of a tile.
#![expect(
    clippy::needless_range_loop,
    reason = "loops over registers count to constants, so that these are registers"
)]

use crate::arithmetic::double_double::{DoubleDouble, fast_two_sum, power_of_two};
use crate::arithmetic::estimate::estimate_of_log;
use crate::arithmetic::exp::{self, UNSCALE};
use crate::arithmetic::ln;
use crate::arithmetic::precision::Number;
use crate::formats::Format;
use crate::kernels::columns::{LANES, Tile};
use crate::simd::{Task, Vector, run, task};
use std::marker::PhantomData;

/// Numbers in a chunk. A cumulative sum within a chunk starts anew, and is added to what comes before: that is its shape, whether
/// the eight chunks are of one row or of eight.
pub(crate) const CHUNK: usize = 128;

/// Cumulative sums, high parts and low parts.
pub(crate) struct Sums {
    pub(crate) hi: [[f64; LANES]; CHUNK],
    pub(crate) lo: [[f64; LANES]; CHUNK],
}

task! {
    /// Σ e^{z_k − max} over the first rows of each column, in units of [`UNSCALE`].
    pub(crate) fn sums(tile: &Tile, max: &[f64; LANES], sums: &mut Sums; simd: V) {
        let max = simd.load(max);
        let mut sum = DoubleDouble::from(simd.splat(0.0));
        for ((z, hi), lo) in tile.iter().zip(&mut sums.hi).zip(&mut sums.lo) {
            sum = exp::exp_dd(simd.load(z), max).added_to(sum);
            sum.hi.store(hi);
            sum.lo.store(lo);
        }
    }
}

/// What the columns of a tile start from.
pub(crate) struct Before {
    pub(crate) max: [f64; LANES],
    /// What comes before, in units of UNSCALE and relative to e^max, without the maximum itself.
    pub(crate) hi: [f64; LANES],
    pub(crate) lo: [f64; LANES],
    /// The row from which on the maximum counts, which is no part of the sums.
    pub(crate) first: [usize; LANES],
}

/// max + log(1 + t), or max + log t above the maximum's row, into each place of the tile that the sums have. What is not
/// settled is marked by a number other than 0.
///
/// t is off by 2^-62.2 of itself: an exponential's error. Its sums are of double-doubles, and add less than 2^-88. Narrower formats
/// are settled by the rounding test; beside f64 there is nothing wider, and a bound of 2^-5 ulp is enough.
pub(crate) fn logarithms<T: Format>(sums: &Sums, before: &Before, tile: &mut Tile, marks: &mut Tile) {
    let all = run(Logarithms::<T, false> { sums, before, tile, marks, format: PhantomData });
    if all == [0.0; LANES] {
        marks.fill(all);
    } else {
        run(Logarithms::<T, true> { sums, before, tile, marks, format: PhantomData });
    }
}

struct Logarithms<'a, T, const MARKS: bool> {
    sums: &'a Sums,
    before: &'a Before,
    tile: &'a mut Tile,
    marks: &'a mut Tile,
    format: PhantomData<T>,
}

/// Bounds the relative error of t.
const T_ERROR: f64 = exp::EXP_DD_ERROR * 1.01;

/// The same where it is in f64: three roundings more.
const WORD_ERROR: f64 = power_of_two(-51);

impl<T: Format, const MARKS: bool> Task for Logarithms<'_, T, MARKS> {
    type Output = [f64; LANES];

    #[inline(always)]
    fn run<V: Vector>(self, simd: V) -> [f64; LANES] {
        let Self { sums, before, tile, marks, .. } = self;
        let max = simd.load(&before.max);
        let carry = DoubleDouble { hi: simd.load(&before.hi), lo: simd.load(&before.lo) };
        let mut last_first = 0;
        for j in 0..LANES {
            last_first = last_first.max(before.first[j]);
        }
        let unscale = simd.splat(UNSCALE);
        let mut all = simd.splat(0.0);
        for (i, ((hi, lo), (place, mark))) in
            sums.hi.iter().zip(&sums.lo).zip(tile.iter_mut().zip(marks)).enumerate()
        {
            let t = if is_widest::<T>() {
                (carry + fast_two_sum(simd.load(hi), simd.load(lo))).scaled(unscale)
            } else {
                // The logarithm looks at one f64 only.
                let word = (carry.hi + simd.load(hi)) + (carry.lo + simd.load(lo));
                DoubleDouble::from(word * unscale)
            };
            let least_one = -(-t.hi).max(simd.splat(-1.0));
            let from_t = least_one * simd.splat(if is_widest::<T>() { T_ERROR } else { WORD_ERROR });
            let (mut value, mut bound) = estimate_of_log::<T::First, V>(max, t, from_t);
            if i < last_first {
                (value, bound) = with_above(i, before, max, t, (value, bound));
            }
            let unsettled = if is_widest::<T>() {
                (value.hi + simd.splat(0.0)).store(place);
                let size = value.hi.max(-value.hi);
                let excess = bound - size * simd.splat(power_of_two(-58));
                excess.where_at_most(0.0, simd.splat(0.0), excess)
            } else {
                let [low, high] = T::ends(value, bound);
                let (mut lows, mut highs) = ([T::default(); LANES], [T::default(); LANES]);
                T::store(low, &mut lows);
                T::store(high, &mut highs);
                let low = T::load(&lows, simd);
                (low + simd.splat(0.0)).store(place);
                low - T::load(&highs, simd)
            };
            if MARKS {
                unsettled.store(mark);
            } else {
                all = all + unsettled.max(-unsettled);
            }
        }
        let mut marks = [0.0; LANES];
        all.store(&mut marks);
        marks
    }
}

fn is_widest<T: Format>() -> bool {
    T::SIGNIFICAND_BITS == f64::MANTISSA_DIGITS as usize
}

/// What is above the maximum's row in its column has max + log t.
#[inline(always)]
fn with_above<V: Vector>(
    i: usize,
    before: &Before,
    max: V,
    t: DoubleDouble<V>,
    (value, bound): (DoubleDouble<V>, V),
) -> (DoubleDouble<V>, V) {
    /// A t that is less than e^-600 may lack numbers that count as e^-1000.
    const LEAST: f64 = power_of_two(-860);
    let (log, error) = ln::ln_dd(t);
    let above = log + max;
    let size = max.max(-max) + log.hi.max(-log.hi);
    let of_sum = size.mul_add(max.splat(power_of_two(-102)), max.splat(WORD_ERROR));
    // Not settled where t is too small.
    let above_bound = t.hi.where_at_most(LEAST, max.splat(f64::NAN), error + of_sum);
    let mut is_above = [0.0; LANES];
    for j in 0..LANES {
        is_above[j] = if i < before.first[j] { 1.0 } else { 0.0 };
    }
    let is_above = max.load(&is_above);
    let value = DoubleDouble {
        hi: is_above.where_at_most(0.5, value.hi, above.hi),
        lo: is_above.where_at_most(0.5, value.lo, above.lo),
    };
    (value, is_above.where_at_most(0.5, bound, above_bound))
}
