//! The loops over a block of eight lanes that lie side by side.

use super::block::{Summed, bound_for, exp_from, shift_for};
use super::precision::{Precision, Sum};
use super::two::Two;
use super::word::Vector;
use super::{Task, run};
use crate::float::Float;
use crate::lane::BLOCK;
use std::marker::PhantomData;

/// Lanes that are worked on at once.
pub(crate) const LANES: usize = 8;

/// [`Summed`] of each of eight lanes, bit for bit: lane j has the numbers `tile[i * pitch + j]`. What it says of a lane
/// whose maximum is infinite means nothing.
pub(crate) fn summed<P: Precision, T: Float>(tile: &[T], pitch: usize) -> [Summed; LANES] {
    run(SumUp { tile, pitch, precision: PhantomData::<P> })
}

struct SumUp<'a, T, P> {
    tile: &'a [T],
    pitch: usize,
    precision: PhantomData<P>,
}

impl<T: Float, P: Precision> Task for SumUp<'_, T, P> {
    type Output = [Summed; LANES];

    #[inline(always)]
    fn run<V: Vector>(self, like: V) -> [Summed; LANES] {
        let Self { tile, pitch, .. } = self;
        let length = tile.len().div_ceil(pitch);
        debug_assert!(length <= BLOCK);
        let mut max = [0.0; LANES];
        maxima(tile, pitch, like).store(&mut max);
        let (mut shift, mut bound) = ([0.0; LANES], [1.0; LANES]);
        let mut at_0 = true;
        for j in 0..LANES {
            if max[j].is_finite() {
                shift[j] = shift_for(max[j], length);
                bound[j] = bound_for(max[j], shift[j]);
            }
            at_0 &= shift[j] == 0.0;
        }
        let (c, bounds) = (like.load(&shift), like.load(&bound));
        let sum = if at_0 {
            sum::<true, P, T, V>(tile, pitch, c, bounds)
        } else {
            sum::<false, P, T, V>(tile, pitch, c, bounds)
        };
        let (mut his, mut los) = ([0.0; LANES], [0.0; LANES]);
        sum.hi.store(&mut his);
        sum.lo.store(&mut los);
        let mut lanes = [Summed { max: 0.0, shift: 0.0, sum: Two::ZERO }; LANES];
        for j in 0..LANES {
            lanes[j] = Summed { max: max[j], shift: shift[j], sum: Two { hi: his[j], lo: los[j] } };
        }
        lanes
    }
}

#[inline(always)]
fn maxima<T: Float, V: Vector>(tile: &[T], pitch: usize, like: V) -> V {
    let mut greatest = [like.splat(f64::NEG_INFINITY); 2];
    let mut rows = tile.chunks(pitch);
    while let Some(row) = rows.next() {
        greatest[0] = load(row, like).max(greatest[0]);
        if let Some(row) = rows.next() {
            greatest[1] = load(row, like).max(greatest[1]);
        }
    }
    greatest[0].max(greatest[1])
}

#[inline(always)]
fn sum<const AT_0: bool, P: Precision, T: Float, V: Vector>(
    tile: &[T],
    pitch: usize,
    c: V,
    bound: V,
) -> Two<V> {
    let mut sums = [<P::Sum<V>>::empty(bound); 8];
    for rows in tile.chunks(8 * pitch) {
        for (sum, row) in sums.iter_mut().zip(rows.chunks(pitch)) {
            *sum = sum.plus(exp_from::<AT_0, P, V>(load(row, c), c));
        }
    }
    <P::Sum<V>>::total(sums, bound)
}

/// The first eight numbers of a row; fewer, and then −∞.
#[inline(always)]
fn load<T: Float, V: Vector>(row: &[T], like: V) -> V {
    match row.first_chunk() {
        Some(numbers) => T::load(numbers, like),
        None => {
            let mut numbers = [T::NEG_INFINITY; LANES];
            numbers[..row.len()].copy_from_slice(row);
            T::load(&numbers, like)
        }
    }
}
