//! The loops of cumulative sums: eight chunks at a time, the columns of a tile.
#![expect(
    clippy::needless_range_loop,
    reason = "loops over registers count to constants, so that these are registers"
)]

use super::columns::{LANES, Tile};
use super::exp::{self, UNSCALE};
use super::log;
use super::precision::Number;
use super::two::{Two, fast_two_sum, power_of_two};
use super::word::Vector;
use super::{Task, run};
use crate::float::Float;
use crate::partial::estimate_of_log;

/// Numbers in a chunk. A cumulative sum within a chunk starts anew, and is added to what comes before: that is its shape, whether
/// the eight chunks are of one lane or of eight.
pub(crate) const CHUNK: usize = 128;

/// Cumulative sums, high words and low words.
pub(crate) struct Sums {
    pub(crate) hi: [[f64; LANES]; CHUNK],
    pub(crate) lo: [[f64; LANES]; CHUNK],
}

/// Σ e^{z_k − max} over the first rows of each column, in units of [`UNSCALE`].
pub(crate) fn sums(tile: &Tile, max: &[f64; LANES], sums: &mut Sums) {
    run(Accumulate { tile, max, sums });
}

struct Accumulate<'a> {
    tile: &'a Tile,
    max: &'a [f64; LANES],
    sums: &'a mut Sums,
}

impl Task for Accumulate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, like: V) {
        let Self { tile, max, sums } = self;
        let max = like.load(max);
        let mut sum = Two { hi: like.splat(0.0), lo: like.splat(0.0) };
        for ((z, hi), lo) in tile.iter().zip(&mut sums.hi).zip(&mut sums.lo) {
            sum = exp::two_words(like.load(z), max).added_to(sum);
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

/// max + log(1 + t), or max + log t above the maximum's row, into each place of the tile that the sums have; and whether each
/// place is settled.
///
/// t is off by 2^-62.2 of itself: an exponential's error. Its sums are of double words, and add less than 2^-88.
pub(crate) fn logarithms<T: Float>(
    sums: &Sums,
    before: &Before,
    tile: &mut Tile,
    settled: &mut [[bool; LANES]],
) {
    run(Logarithms::<T> { sums, before, tile, settled, format: std::marker::PhantomData });
}

struct Logarithms<'a, T> {
    sums: &'a Sums,
    before: &'a Before,
    tile: &'a mut Tile,
    settled: &'a mut [[bool; LANES]],
    format: std::marker::PhantomData<T>,
}

/// Bounds the relative error of t.
const T_ERROR: f64 = exp::TWO_WORDS_ERROR * 1.01;

impl<T: Float> Task for Logarithms<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, like: V) {
        /// A t above the maximum's row that is less than e^-600 may lack numbers that count as e^-1000.
        const LEAST: f64 = power_of_two(-860);
        let Self { sums, before, tile, settled, .. } = self;
        let max = like.load(&before.max);
        let carry = Two { hi: like.load(&before.hi), lo: like.load(&before.lo) };
        let mut last_first = 0;
        for j in 0..LANES {
            last_first = last_first.max(before.first[j]);
        }
        let unscale = like.splat(UNSCALE);
        for (i, ((hi, lo), (place, settled))) in
            sums.hi.iter().zip(&sums.lo).zip(tile.iter_mut().zip(settled)).enumerate()
        {
            let sum = fast_two_sum(like.load(hi), like.load(lo));
            let t = carry.plus(sum).scaled(unscale);
            let least_one = -(-t.hi).max(like.splat(-1.0));
            let from_t = least_one * like.splat(T_ERROR);
            let (mut value, mut bound) = estimate_of_log::<T::First, V>(max, t, from_t);
            if i < last_first {
                let (log, error) = log::of_two(t);
                let above = log.plus_one_word(max);
                let size = max.max(-max) + log.hi.max(-log.hi);
                let of_sum = size.mul_add(like.splat(power_of_two(-102)), like.splat(T_ERROR));
                // Not settled where t is too small.
                let nan = like.splat(f64::NAN);
                let above_bound = t.hi.where_at_most(LEAST, nan, error + of_sum);
                let mut is_above = [0.0; LANES];
                for j in 0..LANES {
                    is_above[j] = if i < before.first[j] { 1.0 } else { 0.0 };
                }
                let is_above = like.load(&is_above);
                value = Two {
                    hi: is_above.where_at_most(0.5, value.hi, above.hi),
                    lo: is_above.where_at_most(0.5, value.lo, above.lo),
                };
                bound = is_above.where_at_most(0.5, bound, above_bound);
            }
            let [low, high] = T::ends(value, bound);
            let (mut lows, mut highs) = ([T::default(); LANES], [T::default(); LANES]);
            T::store(low, &mut lows);
            T::store(high, &mut highs);
            // Beside f64 there is nothing wider: where the bound leaves two neighbours, the one that is nearer by the estimate.
            let is_widest = T::SIGNIFICAND_BITS == f64::MANTISSA_DIGITS as usize;
            if is_widest {
                value.hi.store(place)
            } else {
                low.store(place)
            }
            for j in 0..LANES {
                let are_near = is_widest && lows[j].widen().next_up() == highs[j].widen();
                settled[j] = (lows[j].same_bits(highs[j]) || are_near) && lows[j].widen().is_finite();
            }
        }
    }
}
