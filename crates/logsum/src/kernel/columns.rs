//! The loops over a block of eight lanes that lie side by side.

use super::block::{Summed, bound_for, exp_from, shift_for};
use super::precision::{Precision, Sum};
use super::two::Two;
use super::word::Vector;
use super::{Each, Task, block, run};
use crate::float::Float;

/// Lanes that are worked on at once.
pub(crate) const LANES: usize = 8;

/// [`Summed`] of each of eight lanes, bit for bit: lane j has the numbers `tile[i * pitch + j]`. What it says of a lane
/// whose maximum is infinite means nothing.
#[inline(always)]
pub(crate) fn summed<P: Precision, T: Float, V: Vector>(tile: &[T], pitch: usize, like: V) -> [Summed; LANES] {
    let length = tile.len().div_ceil(pitch);
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

#[inline(always)]
fn maxima<T: Float, V: Vector>(tile: &[T], pitch: usize, like: V) -> V {
    let mut greatest = [like.splat(f64::NEG_INFINITY); 4];
    for rows in tile.chunks(4 * pitch) {
        for i in 0..4 {
            if let Some(row) = rows.get(i * pitch..) {
                greatest[i] = load(row, like).max(greatest[i]);
            }
        }
    }
    greatest[0].max(greatest[1]).max(greatest[2].max(greatest[3]))
}

/// Σ e^{z − c} of each lane; `bound` as in [`Sum::empty`].
#[inline(always)]
pub(crate) fn sum<const AT_0: bool, P: Precision, T: Float, V: Vector>(
    tile: &[T],
    pitch: usize,
    c: V,
    bound: V,
) -> Two<V> {
    let mut sums = [<P::Sum<V>>::empty(bound); 8];
    // Counted to a constant, so that the sums stay in registers.
    for rows in tile.chunks(8 * pitch) {
        for i in 0..8 {
            if let Some(row) = rows.get(i * pitch..) {
                sums[i] = sums[i].plus(exp_from::<AT_0, P, V>(load(row, c), c));
            }
        }
    }
    <P::Sum<V>>::total(sums, bound)
}

/// The first eight numbers of a row; fewer, and then −∞.
#[inline(always)]
pub(crate) fn load<T: Float, V: Vector>(row: &[T], like: V) -> V {
    match row.first_chunk() {
        Some(numbers) => T::load(numbers, like),
        None => {
            let mut numbers = [T::NEG_INFINITY; LANES];
            numbers[..row.len()].copy_from_slice(row);
            T::load(&numbers, like)
        }
    }
}

/// Copies `count` columns from `start` on out of rows of `pitch`: into rows of `count`, which is at most WIDTH.
pub(crate) fn copy<T: Float, const WIDTH: usize>(
    rows: &[T],
    pitch: usize,
    start: usize,
    tile: &mut [T],
    count: usize,
) {
    run(Copy::<T, WIDTH> { rows, pitch, start, tile, count });
}

struct Copy<'a, T, const WIDTH: usize> {
    rows: &'a [T],
    pitch: usize,
    start: usize,
    tile: &'a mut [T],
    count: usize,
}

impl<T: Float, const WIDTH: usize> Task for Copy<'_, T, WIDTH> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, like: V) {
        /// Rows between the one that is copied and the one that is asked for.
        const AHEAD: usize = 12;
        let Self { rows, pitch, start, tile, count } = self;
        let line = 64 / size_of::<T>();
        for (i, (row, place)) in rows.chunks(pitch).zip(tile.chunks_mut(count)).enumerate() {
            let mut ahead = (i + AHEAD) * pitch + start;
            for _ in 0..count.div_ceil(line) {
                if let Some(number) = rows.get(ahead) {
                    like.prefetch(number);
                }
                ahead += line;
            }
            let row = &row[start..];
            match (row.first_chunk::<WIDTH>(), place.first_chunk_mut::<WIDTH>()) {
                (Some(numbers), Some(place)) => *place = *numbers,
                _ => place.copy_from_slice(&row[..place.len()]),
            }
        }
    }
}

/// A function of each number, with constants of its own for each column.
pub(crate) struct Functions<const N: usize> {
    each: Each,
    /// What is subtracted: the shift, or the maximum.
    c: [f64; N],
    /// What it is multiplied with, or what is subtracted too.
    hi: [f64; N],
    lo: [f64; N],
}

impl<const N: usize> Functions<N> {
    /// Of all columns; a column that no constants are given for gets numbers that mean nothing.
    pub(crate) fn new(each: Each, constants: impl Iterator<Item = Option<(f64, Two)>>) -> Self {
        let mut functions = Self { each, c: [0.0; N], hi: [0.0; N], lo: [0.0; N] };
        for (j, (c, two)) in constants.enumerate().filter_map(|(j, constants)| Some((j, constants?))) {
            (functions.c[j], functions.hi[j], functions.lo[j]) = (c, two.hi, two.lo);
        }
        functions
    }

    /// Into each row's slice from `start` on, the functions of the tile's row, which has `pitch` columns.
    pub(crate) fn apply<T: Float>(&self, tile: &[T], pitch: usize, out: &mut [&mut [T]], start: usize) {
        let is_at_0 = self.c.iter().all(|&c| c == 0.0);
        match self.each {
            Each::Share if is_at_0 => run(Apply::<_, N, 0> { functions: self, tile, pitch, out, start }),
            Each::Share => run(Apply::<_, N, 1> { functions: self, tile, pitch, out, start }),
            Each::LogShare => run(Apply::<_, N, 2> { functions: self, tile, pitch, out, start }),
        }
    }

    /// 0: shares, all shifts being 0; 1: shares; 2: logarithms of shares.
    #[inline(always)]
    fn at<const KIND: u8, T: Float, V: Vector>(&self, z: V, column: usize) -> V {
        let c = load(&self.c[column..], z);
        let two = Two { hi: load(&self.hi[column..], z), lo: load(&self.lo[column..], z) };
        match KIND {
            0 => block::share::<true, T, V>(z, c, two),
            1 => block::share::<false, T, V>(z, c, two),
            _ => block::log_share(z, c, two),
        }
    }
}

struct Apply<'a, 'o, T, const N: usize, const KIND: u8> {
    functions: &'a Functions<N>,
    tile: &'a [T],
    pitch: usize,
    out: &'a mut [&'o mut [T]],
    start: usize,
}

impl<T: Float, const N: usize, const KIND: u8> Task for Apply<'_, '_, T, N, KIND> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, like: V) {
        for (out, row) in self.out.iter_mut().zip(self.tile.chunks(self.pitch)) {
            let out = &mut out[self.start..][..row.len()];
            let mut column = 0;
            while column < row.len() {
                let z = load(&row[column..], like);
                store(self.functions.at::<KIND, T, V>(z, column), &mut out[column..]);
                column += LANES;
            }
        }
    }
}

/// Into the first eight numbers of a row, or as many as there are.
#[inline(always)]
pub(crate) fn store<T: Float, V: Vector>(vector: V, row: &mut [T]) {
    match row.first_chunk_mut() {
        Some(numbers) => T::store(vector, numbers),
        None => {
            let mut numbers = [T::default(); LANES];
            T::store(vector, &mut numbers);
            row.copy_from_slice(&numbers[..row.len()]);
        }
    }
}
