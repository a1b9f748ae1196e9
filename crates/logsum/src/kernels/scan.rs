//! Kernels of cumulative sums, over eight chunks at a time: the chunks are the columns of a tile.
#![expect(
    clippy::needless_range_loop,
    reason = "loops over registers count to constants, so that these are registers"
)]

use crate::arithmetic::double_double::{DoubleDouble, fast_two_sum, power_of_two};
use crate::arithmetic::exp::{self, UNSCALE};
use crate::arithmetic::ln;
use crate::arithmetic::log_of_sum::estimate_of_log;
use crate::arithmetic::precision::{InDoubleDouble, Number};
use crate::formats::Format;
use crate::kernels::columns::{LANES, Tile};
use crate::simd::{Task, Vector, run, task};
use std::marker::PhantomData;

/// The length of a chunk. A cumulative sum starts anew in each chunk and is added to the total before it: the
/// order of summation is the same whether the eight chunks belong to one row or to eight.
pub(crate) const CHUNK: usize = 128;

/// Cumulative sums, as the rows of a tile.
#[derive(Default)]
pub(crate) struct Sums {
    pub(crate) hi: Vec<[f64; LANES]>,
    pub(crate) lo: Vec<[f64; LANES]>,
}

task! {
    /// Cumulative sums Σ e^{z_k − max} down each column, in units of [`UNSCALE`].
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

/// The state that the columns of a tile continue.
pub(crate) struct Before {
    pub(crate) max: [f64; LANES],
    /// The sum of the terms before, in units of UNSCALE and relative to e^max, without the maximum's term.
    pub(crate) hi: [f64; LANES],
    pub(crate) lo: [f64; LANES],
    /// The row from which on the maximum's term counts, which is not part of the sums.
    pub(crate) first: [usize; LANES],
}

/// Writes max + log(1 + t), or max + log t above the row of the maximum, into each row of the tile that has sums.
/// A mark other than 0 means that the value is not settled.
///
/// t has relative error 2^-62.2, from the exponentials; sums in double-double add less than 2^-88. For narrower formats
/// the logarithm is in f64, or in double-double if f64 leaves a value of the tile unsettled.
pub(crate) fn logarithms<T: Format>(sums: &Sums, before: &Before, tile: &mut Tile, marks: &mut Tile) {
    if const { !is_widest::<T>() } {
        let all = run(Logarithms::<T, false> { sums, before, tile, marks, format: PhantomData });
        if all == [0.0; LANES] {
            marks.fill(all);
            return;
        }
    }
    run(Logarithms::<T, true> { sums, before, tile, marks, format: PhantomData });
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

/// [`T_ERROR`] where t is in f64: three roundings more.
const WORD_ERROR: f64 = power_of_two(-51);

impl<T: Format, const MARKS: bool> Task for Logarithms<'_, T, MARKS> {
    type Output = [f64; LANES];

    #[inline(always)]
    fn run<V: Vector>(self, simd: V) -> [f64; LANES] {
        let Self { sums, before, tile, marks, .. } = self;
        // The log-sum-exp of −0 alone is +0.
        let max = simd.load(&before.max) + simd.splat(0.0);
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
            let t = if MARKS {
                (carry + fast_two_sum(simd.load(hi), simd.load(lo))).scaled(unscale)
            } else {
                // The logarithm in f64 uses only one word of t.
                let word = (carry.hi + simd.load(hi)) + (carry.lo + simd.load(lo));
                DoubleDouble::from(word * unscale)
            };
            let least_one = -(-t.hi).max(simd.splat(-1.0));
            let error_of_t = const { if MARKS { T_ERROR } else { WORD_ERROR } };
            let from_t = least_one * simd.splat(error_of_t);
            let (mut value, mut bound) = if MARKS {
                estimate_of_log::<InDoubleDouble, V>(max, t, from_t)
            } else {
                estimate_of_log::<T::First, V>(max, t, from_t)
            };
            if i < last_first {
                (value, bound) = with_above::<V>(i, before, max, t, error_of_t, (value, bound));
            }
            let [low, high] = T::ends(value, bound);
            let (mut lows, mut highs) = ([T::default(); LANES], [T::default(); LANES]);
            T::store(low, &mut lows);
            T::store(high, &mut highs);
            // Where the value is 0, only the lower end is negative.
            let high = T::load(&highs, simd);
            high.store(place);
            let unsettled = high - T::load(&lows, simd);
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

const fn is_widest<T: Format>() -> bool {
    T::SIGNIFICAND_BITS == f64::MANTISSA_DIGITS as usize
}

/// Replaces value and bound by those of max + log t in columns where row i is above the row of the maximum.
#[inline(always)]
fn with_above<V: Vector>(
    i: usize,
    before: &Before,
    max: V,
    t: DoubleDouble<V>,
    error_of_t: f64,
    (value, bound): (DoubleDouble<V>, V),
) -> (DoubleDouble<V>, V) {
    /// A t below this may be wrong by terms that count as e^-1000.
    const LEAST: f64 = power_of_two(-860);
    let (log, error) = ln::ln_dd(t);
    let above = log + max;
    let size = max.max(-max) + log.hi.max(-log.hi);
    let of_t = max.splat(error_of_t);
    let of_sum = size.mul_add(max.splat(power_of_two(-102)), of_t);
    // Never settled where t is too small.
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
