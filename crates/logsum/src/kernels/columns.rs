//! Kernels over eight rows at once, one row per SIMD lane: the rows are the columns of a tile.
#![expect(
    clippy::needless_range_loop,
    reason = "loops over registers count to constants, so that these are registers"
)]

use crate::arithmetic::double_double::DoubleDouble;
use crate::arithmetic::precision::{Number, Precision, Sum};
use crate::formats::Format;
use crate::kernels::block::{self, LONG, STEP, Summed, bound_for, exp_from, padded, shift_for};
use crate::kernels::{Constants, Each};
use crate::simd::{Keep, Task, Vector, lanes, run, task};
use std::marker::PhantomData;
use std::ops::Range;

/// The number of rows processed at once.
pub(crate) const LANES: usize = 8;

/// The number of columns copied at once: a whole number of cache lines of each row.
pub(crate) const WIDTH: usize = 16 * LANES;

/// The number of columns summed in place: a page of each row, since rows that are far apart have pages of their own.
pub(crate) const WIDE: usize = 8 * WIDTH;

/// Eight rows, transposed: element k of all eight rows is contiguous.
pub(crate) type Tile = [[f64; LANES]];

task! {
    /// Transposes consecutive rows of the tile's length into its columns; a column without a row is filled with
    /// −∞.
    pub(crate) fn from_rows<T: Format>(rows: &[T], tile: &mut Tile; simd: V) {
        fill_from_rows(rows, tile, simd);
    }
}

/// [`from_rows`] for use within another task.
#[inline(always)]
pub(crate) fn fill_from_rows<T: Format, V: Vector>(rows: &[T], tile: &mut Tile, simd: V) {
    let length = tile.len();
    if length < LANES || rows.len() < LANES * length {
        for (k, place) in tile.iter_mut().enumerate() {
            *place = [f64::NEG_INFINITY; LANES];
            for (place, row) in place.iter_mut().zip(rows.chunks_exact(length)) {
                *place = row[k].widen();
            }
        }
        return;
    }
    for start in squares(length) {
        let mut vectors = [simd; LANES];
        for j in 0..LANES {
            vectors[j] = load(&rows[j * length + start..], simd);
        }
        let vectors = V::transposed(vectors);
        if let Some(places) = tile[start..].first_chunk_mut::<LANES>() {
            for k in 0..LANES {
                vectors[k].store(&mut places[k]);
            }
        }
    }
}

/// The start indices of the 8 × 8 squares that cover a tile of length ≥ 8; the last may overlap its predecessor.
fn squares(length: usize) -> impl Iterator<Item = usize> {
    (0..length).step_by(LANES).map(move |start| start.min(length - LANES))
}

task! {
    /// Transposes the columns of the tile, rounded, into consecutive rows of its length.
    pub(crate) fn to_rows<T: Format>(tile: &Tile, rows: &mut [T]; simd: V) {
        write_to_rows(tile, rows, simd);
    }
}

/// [`to_rows`] for use within another task.
#[inline(always)]
pub(crate) fn write_to_rows<T: Format, V: Vector>(tile: &Tile, rows: &mut [T], simd: V) {
    let length = tile.len();
    if length < LANES || rows.len() < LANES * length {
        for (j, row) in rows.chunks_exact_mut(length).enumerate() {
            for (out, place) in row.iter_mut().zip(tile) {
                *out = T::narrow(place[j]);
            }
        }
        return;
    }
    for start in squares(length) {
        let mut vectors = [simd; LANES];
        for k in 0..LANES {
            vectors[k] = simd.load(&tile[start + k]);
        }
        let vectors = V::transposed(vectors);
        for j in 0..LANES {
            store(vectors[j], &mut rows[j * length + start..]);
        }
    }
}

/// [`Summed`] of each of eight rows, bit for bit: row j consists of the numbers `tile[i * LANES + j]`. The result
/// of a row whose maximum is infinite is meaningless.
#[inline(always)]
pub(crate) fn summed<P: Keep, T: Format, V: Vector>(tile: &[T], simd: V) -> [Summed; LANES] {
    let length = tile.len() / LANES;
    let mut max = [0.0; LANES];
    maxima(tile, simd).store(&mut max);
    let (mut shift, mut bound) = ([0.0; LANES], [1.0; LANES]);
    let mut at_0 = true;
    for j in 0..LANES {
        if max[j].is_finite() {
            shift[j] = shift_for(max[j], length);
            bound[j] = bound_for(max[j], shift[j]);
        }
        at_0 &= shift[j] == 0.0;
    }
    let (c, bounds) = (simd.load(&shift), simd.load(&bound));
    let sum = if at_0 {
        sum::<true, P, T, V>(tile, c, bounds, None)
    } else {
        sum::<false, P, T, V>(tile, c, bounds, None)
    };
    each_of(max, shift, sum)
}

/// [`summed`] of each group of eight among at most [`WIDE`] columns from `start` on, read directly from rows of `pitch`
/// numbers. `None` for a group with a shift other than 0, and for all groups if the initial value of a sum depends
/// on the maximum or there are fewer than [`LONG`] rows.
pub(crate) fn summed_in_place<P: Precision, T: Format>(
    rows: &[T],
    pitch: usize,
    start: usize,
    count: usize,
) -> [Option<[Summed; LANES]>; WIDE / LANES] {
    run(SummedInPlace::<_, P> { rows, pitch, start, count, precision: PhantomData })
}

struct SummedInPlace<'a, T, P> {
    rows: &'a [T],
    pitch: usize,
    start: usize,
    count: usize,
    precision: PhantomData<P>,
}

impl<T: Format, P: Precision> Task for SummedInPlace<'_, T, P> {
    type Output = [Option<[Summed; LANES]>; WIDE / LANES];

    #[inline(always)]
    fn run<V: Vector>(self, simd: V) -> Self::Output {
        let Self { rows, pitch, start, count, .. } = self;
        let mut summed = [None; WIDE / LANES];
        if !P::STARTS_FROM_NOTHING || rows.len() / pitch < LONG {
            return summed;
        }
        let one = simd.splat(1.0);
        let mut sums = [[<P::Sum<V>>::empty(one); 2]; WIDE / STEP];
        let mut maxima = [T::wide(T::NEG_INFINITY, simd); WIDE / STEP];
        for rows in rows.chunks(LANES * pitch) {
            let columns = (start..start + count).step_by(STEP);
            for ((from, sums), max) in columns.zip(&mut sums).zip(&mut maxima) {
                let width = STEP.min(start + count - from);
                let part = part_of::<P, T, V>(rows, pitch, from..from + width, max, simd);
                *sums = [sums[0] + part[0], sums[1] + part[1]];
            }
        }
        for g in 0..count.div_ceil(LANES) {
            let mut sixteen = [T::NEG_INFINITY; STEP];
            T::store_wide(maxima[g / 2], &mut sixteen, simd);
            let (mut max, mut is_at_0) = ([0.0; LANES], true);
            for j in 0..LANES.min(count - g * LANES) {
                max[j] = sixteen[g % 2 * LANES + j].widen();
                is_at_0 &= max[j].is_infinite() || shift_for(max[j], LONG) == 0.0;
            }
            if is_at_0 {
                let mut eight = [<P::Sum<V>>::empty(one); 8];
                eight[0] = sums[g / 2][g % 2];
                summed[g] = Some(each_of(max, [0.0; LANES], <P::Sum<V>>::total(eight, one)));
            }
        }
        summed
    }
}

#[inline(always)]
fn plus<P: Precision, T: Format, V: Vector>(
    [a, b]: [P::Number<V>; 2],
    numbers: &[T; STEP],
    simd: V,
) -> [P::Number<V>; 2] {
    let [low, high] = block::load(numbers, simd);
    [a + P::exp_at_0(low), b + P::exp_at_0(high)]
}

/// Σ e^z over at most eight rows of at most [`STEP`] columns, in two chains, so that a sum of a block has 3 + 1 + 128
/// roundings; and the greatest numbers.
#[inline(always)]
fn part_of<P: Precision, T: Format, V: Vector>(
    rows: &[T],
    pitch: usize,
    columns: Range<usize>,
    max: &mut T::Wide<V>,
    simd: V,
) -> [P::Number<V>; 2] {
    let nothing = P::Number::of(DoubleDouble::from(simd.splat(0.0)));
    let mut chains = [[nothing; 2]; 2];
    if rows.len() == LANES * pitch && columns.len() == STEP {
        for pair in 0..LANES / 2 {
            for i in 0..2 {
                if let Some(numbers) = rows[(2 * pair + i) * pitch + columns.start..].first_chunk() {
                    // The next eight rows: they are too far apart for the hardware to recognise a stream.
                    simd.prefetch(numbers, size_of_val(rows));
                    *max = T::greater(*max, numbers, simd);
                    chains[i] = plus::<P, T, V>(chains[i], numbers, simd);
                }
            }
        }
    } else {
        for (i, row) in rows.chunks_exact(pitch).enumerate() {
            let numbers = padded(&row[columns.clone()]);
            *max = T::greater(*max, &numbers, simd);
            chains[i % 2] = plus::<P, T, V>(chains[i % 2], &numbers, simd);
        }
    }
    let [even, odd] = chains;
    [even[0] + odd[0], even[1] + odd[1]]
}

#[inline(always)]
fn each_of<V: Vector>(max: [f64; LANES], shift: [f64; LANES], sum: DoubleDouble<V>) -> [Summed; LANES] {
    let sums = lanes(sum);
    let mut summed = [Summed { max: 0.0, shift: 0.0, sum: DoubleDouble::ZERO }; LANES];
    for j in 0..LANES {
        summed[j] = Summed { max: max[j], shift: shift[j], sum: sums[j] };
    }
    summed
}

/// The prefetch distance in rows, where rows are too far apart for the hardware to prefetch them.
const AHEAD: usize = 4;

/// Prefetches `count` numbers of the rows, from `place` on.
#[inline(always)]
fn ask_for_row<T, V: Vector>(rows: &[T], place: usize, count: usize, simd: V) {
    let line = 64 / size_of::<T>();
    let mut place = place;
    for _ in 0..count.div_ceil(line) {
        if let Some(number) = rows.get(place) {
            simd.prefetch(number, 0);
        }
        place += line;
    }
}

/// The greatest number of each row; NaNs are ignored.
#[inline(always)]
pub(crate) fn maxima<T: Format, V: Vector>(tile: &[T], simd: V) -> V {
    // Each comparison covers sixteen numbers, two of each row.
    let mut greatest = [T::wide(T::NEG_INFINITY, simd); 4];
    let (pairs, last) = tile.as_chunks();
    let (fours, few) = pairs.as_chunks::<4>();
    for numbers in fours {
        for i in 0..4 {
            greatest[i] = T::greater(greatest[i], &numbers[i], simd);
        }
    }
    for numbers in few {
        greatest[0] = T::greater(greatest[0], numbers, simd);
    }
    let mut pair = [T::NEG_INFINITY; 2 * LANES];
    // `first_chunk` fixes the length: a slice of variable length would be copied by a function call.
    if let (Some(last), Some(first)) = (last.first_chunk::<LANES>(), pair.first_chunk_mut()) {
        *first = *last;
    }
    greatest[0] = T::greater(greatest[0], &pair, simd);
    for i in 1..4 {
        T::store_wide(greatest[i], &mut pair, simd);
        greatest[0] = T::greater(greatest[0], &pair, simd);
    }
    T::store_wide(greatest[0], &mut pair, simd);
    let (rows, _) = pair.as_chunks();
    T::load(&rows[0], simd).max(T::load(&rows[1], simd))
}

/// Σ e^{z − c} of each row, with `bound` as in [`Sum::empty`]. The exponentials of each element of all eight rows are
/// stored in `kept`, if any.
#[inline(always)]
pub(crate) fn sum<const AT_0: bool, P: Keep, T: Format, V: Vector>(
    tile: &[T],
    c: V,
    bound: V,
    mut kept: Option<&mut [P::Kept]>,
) -> DoubleDouble<V> {
    let mut sums = [<P::Sum<V>>::empty(bound); 8];
    let (rows, _) = tile.as_chunks::<LANES>();
    // A constant trip count, so that the sums stay in registers.
    let (whole, rest) = rows.as_chunks::<8>();
    for (k, rows) in whole.iter().enumerate() {
        let mut places = kept.as_deref_mut().and_then(|kept| kept[8 * k..].first_chunk_mut::<8>());
        for i in 0..8 {
            let term = exp_from::<AT_0, P, V>(T::load(&rows[i], c), c);
            if let Some(places) = &mut places {
                P::keep(term, &mut places[i]);
            }
            sums[i] = sums[i] + term;
        }
    }
    let mut places = kept.map(|kept| &mut kept[8 * whole.len()..]);
    for i in 0..8 {
        if let Some(row) = rest.get(i) {
            let term = exp_from::<AT_0, P, V>(T::load(row, c), c);
            if let Some(place) = places.as_deref_mut().and_then(|places| places.get_mut(i)) {
                P::keep(term, place);
            }
            sums[i] = sums[i] + term;
        }
    }
    <P::Sum<V>>::total(sums, bound)
}

/// The first eight numbers of a row; a shorter row is padded with −∞.
#[inline(always)]
pub(crate) fn load<T: Format, V: Vector>(row: &[T], simd: V) -> V {
    match row.first_chunk() {
        Some(numbers) => T::load(numbers, simd),
        None => T::load_up_to(row, simd),
    }
}

task! {
    /// Copies `count` columns from `start` on, out of rows of `pitch` numbers, into consecutive tiles, one per
    /// eight columns; missing columns of the last tile are filled with −∞.
    pub(crate) fn copy<T: Format>(rows: &[T], pitch: usize, start: usize, count: usize, tiles: &mut [T]; simd: V) {
        let size = rows.len() / pitch * LANES;
        for (i, row) in rows.chunks_exact(pitch).enumerate() {
            ask_for_row(rows, (i + AHEAD) * pitch + start, count, simd);
            let mut place = i * LANES;
            for numbers in row[start..][..count].chunks(LANES) {
                if let (Some(numbers), Some(place)) =
                    (numbers.first_chunk::<LANES>(), tiles[place..].first_chunk_mut::<LANES>())
                {
                    *place = *numbers;
                } else {
                    let place = &mut tiles[place..][..LANES];
                    place.fill(T::NEG_INFINITY);
                    place[..numbers.len()].copy_from_slice(numbers);
                }
                place += size;
            }
        }
    }
}

/// A function of each number, with constants per column.
pub(crate) struct Functions<const N: usize> {
    each: Each,
    /// The shift, or the maximum: it is subtracted.
    c: [f64; N],
    /// The double-double factor, or a second number to subtract.
    hi: [f64; N],
    lo: [f64; N],
    error: [f64; N],
}

/// Where a number is in a block of rows.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) row: u16,
    pub(crate) column: u16,
}

impl<const N: usize> Functions<N> {
    /// For all columns; the results for a column without constants are meaningless.
    pub(crate) fn new(each: Each, constants: impl Iterator<Item = Option<Constants>>) -> Self {
        let zeros = [0.0; N];
        let mut functions = Self { each, c: zeros, hi: zeros, lo: zeros, error: zeros };
        for (j, constants) in constants.enumerate().filter_map(|(j, constants)| Some((j, constants?))) {
            let Constants { c, two, error } = constants;
            (functions.c[j], functions.hi[j], functions.lo[j], functions.error[j]) =
                (c, two.hi, two.lo, error);
        }
        functions
    }

    /// Writes the functions of the tiles into `count` places from `start` on of each row of `out`, of at most
    /// [`BLOCK`](crate::kernels::row_access::BLOCK) rows, and adds the places of those that are not settled.
    pub(crate) fn apply<T: Format>(
        &self,
        tiles: &[T],
        out: &mut [&mut [T]],
        start: usize,
        count: usize,
        unsettled: &mut Vec<Place>,
    ) {
        let is_at_0 = self.c.iter().all(|&c| c == 0.0);
        let functions = self;
        match self.each {
            Each::Share if is_at_0 => {
                run(Apply::<_, N, 0> { functions, tiles, out, start, count, unsettled })
            }
            Each::Share => run(Apply::<_, N, 1> { functions, tiles, out, start, count, unsettled }),
            Each::LogShare => run(Apply::<_, N, 2> { functions, tiles, out, start, count, unsettled }),
        }
    }

    /// KIND 0: shares with all shifts 0; 1: shares; 2: logarithms of shares.
    #[inline(always)]
    fn ends<const KIND: u8, T: Format, V: Vector>(&self, z: V, column: usize) -> [V; 2] {
        let c = load(&self.c[column..], z);
        let two = DoubleDouble { hi: load(&self.hi[column..], z), lo: load(&self.lo[column..], z) };
        let error = load(&self.error[column..], z);
        match KIND {
            0 => block::share_ends::<true, T, V>(z, c, two, error),
            1 => block::share_ends::<false, T, V>(z, c, two, error),
            _ => T::Elements::log_share_ends(z, c, two, error),
        }
    }
}

struct Apply<'a, 'o, T, const N: usize, const KIND: u8> {
    functions: &'a Functions<N>,
    tiles: &'a [T],
    out: &'a mut [&'o mut [T]],
    start: usize,
    count: usize,
    unsettled: &'a mut Vec<Place>,
}

impl<T: Format, const N: usize, const KIND: u8> Task for Apply<'_, '_, T, N, KIND> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, simd: V) {
        let Self { functions, tiles, out, start, count, unsettled } = self;
        let size = out.len() * LANES;
        for (i, row) in out.iter_mut().enumerate() {
            for (g, out) in row[start..][..count].chunks_mut(LANES).enumerate() {
                let z = load(&tiles[g * size + i * LANES..], simd);
                let [low, high] = functions.ends::<KIND, T, V>(z, g * LANES);
                let mask = T::differ(low, high) & block::first(out.len());
                store(high, out);
                if mask != 0 {
                    add_places(mask, i, g * LANES, unsettled);
                }
            }
        }
    }
}

#[cold]
fn add_places(mask: u8, row: usize, column: usize, places: &mut Vec<Place>) {
    let lanes = (0..LANES).filter(|lane| mask >> lane & 1 == 1);
    places.extend(lanes.map(|lane| Place { row: row as u16, column: (column + lane) as u16 }));
}

/// Stores into the first eight places of a row, or into the whole of a shorter row.
#[inline(always)]
pub(crate) fn store<T: Format, V: Vector>(vector: V, row: &mut [T]) {
    match row.first_chunk_mut() {
        Some(numbers) => T::store(vector, numbers),
        None => {
            let mut numbers = [T::default(); LANES];
            T::store(vector, &mut numbers);
            row.copy_from_slice(&numbers[..row.len()]);
        }
    }
}
