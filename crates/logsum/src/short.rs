//! Rows that are too short to fill vectors by themselves: eight at a time, from the load to the rounding.

use crate::float::Float;
use crate::kernel::block;
use crate::kernel::columns::{LANES, load, store, sum};
use crate::kernel::exp::UNSCALE;
use crate::kernel::precision::Precision;
use crate::kernel::two::Two;
use crate::kernel::word::Vector;
use crate::kernel::{Each, Task, run};
use crate::partial::{estimate, rest};

/// Rows shorter than this are taken eight at a time.
pub(crate) const SHORT: usize = block::LONG;

/// At most eight rows of `length` numbers, one after the other, and what is wanted of them.
pub(crate) struct Rows<'a, T> {
    pub(crate) z: &'a [T],
    pub(crate) length: usize,
    pub(crate) value: Option<&'a mut [T]>,
    pub(crate) each: Option<(Each, &'a mut [T])>,
}

impl<T: Float> Rows<'_, T> {
    /// Does what can be done side by side, with the bits that each row would have alone: whether the values, and
    /// whether the functions of the elements, of each row are done.
    pub(crate) fn reduce(self, tile: &mut [[f64; LANES]; SHORT]) -> [[bool; LANES]; 2] {
        run(Reduce(self, tile))
    }
}

struct Reduce<'a, 't, T>(Rows<'a, T>, &'t mut [[f64; LANES]; SHORT]);

impl<T: Float> Task for Reduce<'_, '_, T> {
    type Output = [[bool; LANES]; 2];

    #[inline(always)]
    fn run<V: Vector>(self, like: V) -> [[bool; LANES]; 2] {
        let Self(Rows { z, length, value, each }, tile) = self;
        let tile = &mut tile[..length];
        let max = transpose(z, tile, like);
        // Of a lane whose maximum is infinite nothing is used.
        let finite = max.max(-max).where_at_most(f64::MAX, max, like.splat(0.0));
        let sum = sum::<false, T::First, f64, V>(tile.as_flattened(), finite, like.splat(1.0));
        let (tail, error) =
            rest::<T::First, V>(sum, Two { hi: like.splat(1.0 / UNSCALE), lo: like.splat(0.0) });
        let mut is_done = [[false; LANES]; 2];
        let (mut maxima, mut tails) = ([0.0; LANES], [0.0; LANES]);
        max.store(&mut maxima);
        tail.hi.store(&mut tails);
        for j in 0..LANES {
            is_done[1][j] = maxima[j].is_finite() && tails[j] >= T::First::LEAST_REST / UNSCALE;
        }
        if let Some(value) = value {
            let (v, bound) = estimate::<T::First, V>(finite, tail, error);
            let [low, high] = T::ends(v, bound);
            let [mut lows, mut highs] = [[T::default(); LANES]; 2];
            T::store(low, &mut lows);
            T::store(high, &mut highs);
            for j in 0..value.len() {
                is_done[0][j] = is_done[1][j] && lows[j].same_bits(highs[j]);
                value[j] = lows[j];
            }
        }
        match each {
            None => {}
            Some((Each::Share, out)) => {
                let inverse = Two { hi: like.splat(1.0), lo: like.splat(0.0) }.over(sum_of(tail, like));
                write::<true, T, V>(tile, finite, inverse, out);
            }
            Some((Each::LogShare, out)) => {
                let (log, _) = T::First::log1p(tail.scaled(like.splat(UNSCALE)));
                write::<false, T, V>(tile, finite, log, out);
            }
        }
        is_done
    }
}

/// 1 + t.
#[inline(always)]
fn sum_of<V: Vector>(tail: Two<V>, like: V) -> Two<V> {
    let one = Two { hi: like.splat(1.0 / UNSCALE), lo: like.splat(0.0) };
    tail.plus(one).scaled(like.splat(UNSCALE))
}

// The loops count to constants, so that the vectors stay in registers.

/// The rows as the columns of the tile, columns without a row being −∞, and their maxima.
#[inline(always)]
fn transpose<T: Float, V: Vector>(z: &[T], tile: &mut [[f64; LANES]], like: V) -> V {
    let length = tile.len();
    let mut max = like.splat(f64::NEG_INFINITY);
    for (i, square) in tile.chunks_mut(LANES).enumerate() {
        let mut vectors = [like.splat(f64::NEG_INFINITY); LANES];
        for j in 0..LANES {
            if let Some(row) = z.get(j * length..(j + 1) * length) {
                vectors[j] = load(&row[i * LANES..], like);
            }
        }
        let vectors = V::transposed(vectors);
        for k in 0..LANES {
            if let Some(place) = square.get_mut(k) {
                vectors[k].store(place);
                max = vectors[k].max(max);
            }
        }
    }
    max
}

#[inline(always)]
fn write<const SHARES: bool, T: Float, V: Vector>(tile: &[[f64; LANES]], c: V, two: Two<V>, out: &mut [T]) {
    let length = tile.len();
    for (i, square) in tile.chunks(LANES).enumerate() {
        let mut vectors = [c; LANES];
        for k in 0..LANES {
            if let Some(place) = square.get(k) {
                let z = c.load(place);
                vectors[k] =
                    if SHARES { block::share::<false, T, V>(z, c, two) } else { block::log_share(z, c, two) };
            }
        }
        let vectors = V::transposed(vectors);
        for j in 0..LANES {
            if let Some(row) = out.get_mut(j * length..(j + 1) * length) {
                store(vectors[j], &mut row[i * LANES..]);
            }
        }
    }
}
