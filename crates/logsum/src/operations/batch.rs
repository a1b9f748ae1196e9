//! Reduction of many rows at once: rows stored contiguously, and rows stored as the columns of a matrix.

use crate::edges::Edge;
use crate::formats::Format;
use crate::interrupt::checkpoint;
use crate::kernels::block::{AT_0, LONG, Store};
use crate::kernels::columns::{self, Functions, LANES, Place, WIDE, WIDTH};
use crate::kernels::row_access::{BLOCK, PIECE, Series, SeriesMut};
use crate::kernels::short_rows::{self, Left, SHORT};
use crate::kernels::{Constants, Each};
use crate::operations::per_format::compiled;
use crate::operations::row_reduction;
use crate::operations::terms::Terms;
use crate::simd::Keep;
use crate::state::positive::{self, Kept, Partial, Pieces};
use crate::threads::{Split, in_parts, worth};
use crate::ziv;
use crate::ziv::elements::Elements;
#[cfg(feature = "half")]
use crate::ziv::first_phase_f32;
use std::borrow::Cow;
use std::ops::Range;

/// The results requested for each row: its value, and a function of each of its elements.
pub struct Wanted<V, E> {
    pub value: Option<V>,
    pub each: Option<(Each, E)>,
}

/// Rows of weighted terms.
pub trait WeightedRows<T>: Sync {
    /// Writes the numbers of a row, and its weights, 0 where a number is masked out.
    fn copy(&self, row: usize, z: &mut [T], b: &mut [T]);

    /// The logarithm and the sign of a row's sum.
    fn alone(&self, row: usize) -> (T, T);
}

compiled! {
    fn reduce_rows(z: &[T], length: usize, wanted: Wanted<&mut [T], &mut [T]>) {
        let bounds = Bounds::Length(length);
        Rows { z, bounds }.reduce(wanted, Store::for_output::<T>(z.len()));
    }

    fn hessians_of_rows(z: &[T], vectors: &[T], length: usize, out: &mut [T]) {
        let count = z.len() / length;
        in_parts(0..count, (out, length), worth(count, length), LANES, &mut Default::default(), &|rows, (out, _), rooms| {
            let part = rows.start * length..rows.end * length;
            let (z, vectors) = (&z[part.clone()], &vectors[part]);
            let eight = LANES * length;
            for ((z, vectors), out) in z.chunks(eight).zip(vectors.chunks(eight)).zip(out.chunks_mut(eight)) {
                let left = short_rows::hessians(z, vectors, length, out, rooms);
                for j in rows_of(left, z.len() / length) {
                    let row = j * length..(j + 1) * length;
                    Terms::new(&z[row.clone()]).hvp(&vectors[row.clone()], &mut out[row]).expect("they are of one length");
                }
            }
        });
    }

    fn weighted_rows(rows: &dyn WeightedRows<T>, length: usize, values: &mut [T], signs: &mut [T]) {
        let count = values.len();
        let (out, least, rooms) = ([(values, 1), (signs, 1)], worth(count, length), &mut Default::default());
        in_parts(0..count, out, least, LANES, rooms, &|part, [(values, _), (signs, _)], rooms| {
            let [mut z, mut b] = [(); 2].map(|()| vec![T::default(); LANES * length]);
            let eights = part.step_by(LANES).zip(values.chunks_mut(LANES).zip(signs.chunks_mut(LANES)));
            for (first, (values, signs)) in eights {
                let numbers = values.len() * length;
                for (j, (z, b)) in z[..numbers].chunks_mut(length).zip(b.chunks_mut(length)).enumerate() {
                    rows.copy(first + j, z, b);
                }
                let left = short_rows::weighted(&z[..numbers], &b[..numbers], length, values, signs, rooms);
                for j in rows_of(left, values.len()) {
                    (values[j], signs[j]) = rows.alone(first + j);
                }
            }
        });
    }

    fn reduce_columns(columns: Columns<'_, T>, wanted: Wanted<&mut [T], Vec<&mut [T]>>) {
        let Wanted { value, each } = wanted;
        let (each, out) = each.unzip();
        columns.reduce(value, each, out);
    }

    fn reduce_series(z: &dyn Series<T>, wanted: Wanted<&mut T, &mut dyn SeriesMut<T>>) {
        series(z, wanted);
    }
}

/// Reduces one series, whatever its memory layout.
fn series<T: Format>(z: &dyn Series<T>, wanted: Wanted<&mut T, &mut dyn SeriesMut<T>>) {
    let Some((each, out)) = wanted.each else {
        if let Some(value) = wanted.value {
            *value = row_reduction::value(z);
        }
        return;
    };
    let partial = Partial::<T::Elements>::over(z);
    row_reduction::each(each, &partial, z, out, Store::for_output::<T>(z.len()));
    if let Some(value) = wanted.value {
        *value = ziv::settle(&partial, z).0;
    }
}

/// Rows stored contiguously, one after another.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a, T> {
    pub(crate) z: &'a [T],
    pub(crate) bounds: Bounds<'a>,
}

#[derive(Clone, Copy)]
pub(crate) enum Bounds<'a> {
    /// Every row has this length, which is not 0.
    Length(usize),
    /// Row j extends from offset j to offset j + 1; `z` starts at the first offset.
    Offsets(&'a [usize]),
}

impl<'a, T: Format> Rows<'a, T> {
    fn count(&self) -> usize {
        match self.bounds {
            Bounds::Length(length) => self.z.len() / length,
            Bounds::Offsets(offsets) => offsets.len() - 1,
        }
    }

    /// The range of `z` that these rows occupy.
    fn places(&self, rows: Range<usize>) -> Range<usize> {
        match self.bounds {
            Bounds::Length(length) => rows.start * length..rows.end * length,
            Bounds::Offsets(offsets) => offsets[rows.start] - offsets[0]..offsets[rows.end] - offsets[0],
        }
    }

    fn part(&self, rows: Range<usize>) -> Self {
        let z = &self.z[self.places(rows.clone())];
        let bounds = match self.bounds {
            Bounds::Length(length) => Bounds::Length(length),
            Bounds::Offsets(offsets) => Bounds::Offsets(&offsets[rows.start..=rows.end]),
        };
        Self { z, bounds }
    }

    fn row(&self, j: usize) -> &'a [T] {
        &self.z[self.places(j..j + 1)]
    }

    fn longest(&self) -> usize {
        match self.bounds {
            Bounds::Length(length) => length,
            Bounds::Offsets(offsets) => {
                offsets.windows(2).map(|pair| pair[1] - pair[0]).max().expect("there is a row")
            }
        }
    }

    /// Computes the requested results of each row, in groups of eight rows.
    pub(crate) fn reduce(self, wanted: Wanted<&mut [T], &mut [T]>, to: Store) {
        let count = self.count();
        let least = match self.bounds {
            Bounds::Length(length) => worth(count, length),
            // Smaller parts than for equal rows, since a few rows may hold most of the numbers.
            Bounds::Offsets(_) => worth(count, self.z.len() / count.max(1)).div_ceil(16),
        };
        let Wanted { value, each } = wanted;
        let (each, out) = each.unzip();
        let out = (value, out.map(|out| Places { out, rows: self }));
        in_parts(0..count, out, least, LANES, &mut Room::default(), &|rows, (mut value, out), room| {
            let rows = self.part(rows);
            let mut out = out.map(|Places { out, .. }| out);
            if let Bounds::Length(length) = self.bounds
                && length < SHORT
            {
                return reduce_short(rows.z, length, Wanted { value, each: each.zip(out) }, &mut room.short);
            }
            for first in (0..rows.count()).step_by(LANES) {
                let group = first..rows.count().min(first + LANES);
                let value = value.as_mut().map(|value| &mut value[group.clone()]);
                let out = out.as_mut().map(|out| &mut out[rows.places(group.clone())]);
                rows.part(group).reduce_group(Wanted { value, each: each.zip(out) }, room, to);
            }
        });
    }

    /// Reduces at most eight rows.
    fn reduce_group(self, wanted: Wanted<&mut [T], &mut [T]>, room: &mut Room<T>, to: Store) {
        let longest = self.longest();
        if longest < SHORT {
            // If all segments have the same length, they are copied faster.
            if longest > 0 && longest * self.count() == self.z.len() {
                return reduce_short(self.z, longest, wanted, &mut room.short);
            }
            return self.reduce_short(longest, wanted, &mut room.short);
        }
        let Wanted { value, mut each } = wanted;
        #[cfg(feature = "half")]
        if T::HAS_SINGLES && each.is_none() {
            return value.into_iter().for_each(|value| values_in_singles(self, value));
        }
        match &mut each {
            None => {
                let partials = self.partials(|j| Partial::<T::First>::over(&self.row(j)));
                self.settle(&partials, value);
            }
            Some((each, out)) => {
                let partials = self.partials(|j| {
                    let out = &mut out[self.places(j..j + 1)];
                    row_reduction::partial_and_each(*each, self.row(j), out, &mut room.kept, to)
                });
                self.settle(&partials, value);
            }
        }
    }

    fn partials<P: Keep>(&self, of: impl FnMut(usize) -> Partial<P>) -> [Partial<P>; LANES] {
        let mut partials = [Partial::EMPTY; LANES];
        partials.iter_mut().zip((0..self.count()).map(of)).for_each(|(place, partial)| *place = partial);
        partials
    }

    fn settle<P: Keep>(&self, partials: &[Partial<P>; LANES], value: Option<&mut [T]>) {
        if let Some(value) = value {
            settle(partials, value, |j, partial| ziv::settle(partial, &self.row(j)).0);
        }
    }

    /// Reduces at most eight rows shorter than [`SHORT`] side by side. Each is padded with −∞, which changes no
    /// bit.
    fn reduce_short(
        self,
        longest: usize,
        wanted: Wanted<&mut [T], &mut [T]>,
        room: &mut short_rows::Room<T::Elements>,
    ) {
        let Wanted { value, each } = wanted;
        let (each, out) = each.unzip();
        let tile = room.tile(longest);
        tile.fill([f64::NEG_INFINITY; LANES]);
        for j in 0..self.count() {
            tile.iter_mut().zip(self.row(j)).for_each(|(place, z)| place[j] = z.widen());
        }
        reduce_tile(room, longest, self.count(), value, each, |j| Cow::Borrowed(self.row(j)));
        if let Some(out) = out {
            for j in 0..self.count() {
                let out = &mut out[self.places(j..j + 1)];
                out.iter_mut().zip(&*room.tile(longest)).for_each(|(out, place)| *out = T::narrow(place[j]));
            }
        }
    }
}

/// The rows among the first `count` whose bits are set.
fn rows_of(mask: u8, count: usize) -> impl Iterator<Item = usize> {
    (0..count).filter(move |j| mask >> j & 1 == 1)
}

/// Reduces rows shorter than [`SHORT`], all of one length.
fn reduce_short<T: Format>(
    z: &[T],
    length: usize,
    wanted: Wanted<&mut [T], &mut [T]>,
    room: &mut short_rows::Room<T::Elements>,
) {
    const ROWS: usize = short_rows::GROUPS * LANES;
    let Wanted { mut value, each } = wanted;
    let Some((each, out)) = each else {
        return value.into_iter().for_each(|values| short_values(z, length, values));
    };
    for (g, (z, out)) in z.chunks(ROWS * length).zip(out.chunks_mut(ROWS * length)).enumerate() {
        let mut values = value.as_mut().map(|values| &mut values[g * ROWS..][..z.len() / length]);
        let left = short_rows::each(each, z, length, values.as_deref_mut(), out, room);
        for (g, (z, out)) in z.chunks(LANES * length).zip(out.chunks_mut(LANES * length)).enumerate() {
            for j in rows_of(left[g].values | left[g].each, z.len() / length) {
                let row = j * length..(j + 1) * length;
                let value = values.as_mut().map(|values| &mut values[g * LANES + j]);
                series(&&z[row.clone()], Wanted { value, each: Some((each, &mut &mut out[row])) });
            }
        }
    }
}

/// Writes the values of `count` short rows, which are the columns of the tile, and overwrites the tile with a
/// function of each element. `row` returns a row that the side-by-side kernel leaves unsettled.
fn reduce_tile<'a, T: Format>(
    room: &mut short_rows::Room<T::Elements>,
    length: usize,
    count: usize,
    mut value: Option<&mut [T]>,
    each: Option<Each>,
    row: impl Fn(usize) -> Cow<'a, [T]>,
) {
    let left = match (each, value.as_deref_mut()) {
        (Some(each), value) => short_rows::each_of_tile(each, length, value, room),
        (None, Some(value)) => Left { values: short_rows::values_of_tile(room.tile(length), value), each: 0 },
        (None, None) => return,
    };
    for j in rows_of(left.values | left.each, count) {
        let row = &*row(j);
        let value = value.as_mut().map(|value| &mut value[j]);
        let Some(each) = each else {
            series(&row, Wanted { value, each: None });
            continue;
        };
        let mut alone = row.to_vec();
        series(&row, Wanted { value, each: Some((each, &mut &mut alone[..])) });
        room.tile(length).iter_mut().zip(alone).for_each(|(place, x)| place[j] = x.widen());
    }
}

/// The output of a function of each element of some rows.
struct Places<'a, T> {
    out: &'a mut [T],
    rows: Rows<'a, T>,
}

impl<T: Format> Split for Places<'_, T> {
    fn cut(self, rows: usize) -> (Self, Self) {
        let (out, out2) = self.out.split_at_mut(self.rows.places(0..rows).end);
        let parts = [0..rows, rows..self.rows.count()].map(|rows| self.rows.part(rows));
        (Self { out, rows: parts[0] }, Self { out: out2, rows: parts[1] })
    }
}

/// Buffers that are reused from one group of rows to the next.
struct Room<T: Format> {
    short: short_rows::Room<T::Elements>,
    kept: Kept<T>,
}

impl<T: Format> Default for Room<T> {
    fn default() -> Self {
        Self { short: short_rows::Room::default(), kept: Vec::new() }
    }
}

fn short_values<T: Format>(z: &[T], length: usize, values: &mut [T]) {
    const ROWS: usize = short_rows::GROUPS * LANES;
    for (rows, values) in z.chunks(ROWS * length).zip(values.chunks_mut(ROWS)) {
        let has_value = short_rows::values(rows, length, values);
        for (j, value) in values.iter_mut().enumerate().filter(|(j, _)| !has_value.as_flattened()[*j]) {
            let row = &rows[j * length..][..length];
            *value = row_reduction::value(&row);
        }
    }
}

/// The values of at most eight rows: a first phase for values only, then the general phases where it does not
/// settle one.
#[cfg(feature = "half")]
fn values_in_singles<T: Format>(rows: Rows<'_, T>, values: &mut [T]) {
    let mut sums = [f64::NAN; LANES];
    for (j, sum) in sums[..values.len()].iter_mut().enumerate() {
        *sum = first_phase_f32::of(rows.row(j)).unwrap_or(f64::NAN);
    }
    let settled = first_phase_f32::settle::<T>(&sums, rows.longest());
    for (j, value) in values.iter_mut().enumerate() {
        *value = settled[j]
            .unwrap_or_else(|| ziv::settle(&Partial::<T::First>::over(&rows.row(j)), &rows.row(j)).0);
    }
}

/// The constants of the rows with a finite maximum; `None` for the others.
fn constants<P: Keep>(each: Each, partials: &[Partial<P>]) -> impl Iterator<Item = Option<Constants>> {
    partials.iter().map(move |partial| partial.max.is_finite().then(|| partial.constants(each)))
}

/// Rounds eight values at a time, and calls `otherwise` for each that the rounding test does not settle.
fn settle<T: Format, P: Keep>(
    partials: &[Partial<P>; LANES],
    values: &mut [T],
    otherwise: impl Fn(usize, &Partial<P>) -> T,
) {
    let settled = positive::settle::<T, P>(partials);
    for (j, value) in values.iter_mut().enumerate() {
        *value = settled[j].unwrap_or_else(|| otherwise(j, &partials[j]));
    }
}

/// A matrix in row-major order with rows of `pitch` numbers; its columns `start..start + count` are the rows to be
/// reduced.
#[derive(Clone, Copy)]
pub struct Columns<'a, T> {
    pub z: &'a [T],
    pub pitch: usize,
    pub start: usize,
    pub count: usize,
}

impl<'a, T: Format> Columns<'a, T> {
    fn rows(self) -> impl Iterator<Item = &'a [T]> {
        self.z.chunks(self.pitch).map(move |row| &row[self.start..][..self.count])
    }

    fn part(self, from: usize, count: usize) -> Self {
        Self { start: self.start + from, count, ..self }
    }

    fn length(self) -> usize {
        self.z.len() / self.pitch
    }

    /// Column j as a contiguous copy.
    fn column(self, j: usize) -> Vec<T> {
        self.rows().map(|row| row[j]).collect()
    }

    /// Reduces each column. If a function of each element is requested, `out` has one slice per row of the matrix.
    fn reduce(self, value: Option<&mut [T]>, each: Option<Each>, out: Option<Vec<&mut [T]>>) {
        let least = worth(self.count, self.length());
        in_parts(0..self.count, (value, out), least, 2 * WIDTH, &mut (), &|columns, (value, out), ()| {
            self.part(columns.start, columns.len()).reduce_alone(value, each.zip(out));
        });
    }

    /// Reduces columns on the current thread.
    fn reduce_alone(self, mut value: Option<&mut [T]>, mut each: Option<(Each, Vec<&mut [T]>)>) {
        if self.length() < SHORT {
            for from in (0..self.count).step_by(LANES) {
                let count = LANES.min(self.count - from);
                self.part(from, count).reduce_short(
                    value.as_mut().map(|value| &mut value[from..][..count]),
                    each.as_mut().map(|(each, out)| (*each, &mut out[..], from)),
                );
            }
            return;
        }
        let mut tiles = Vec::new();
        // Copy only where needed: for a function of each element, or for numbers that need a shift. The first row
        // predicts which case is likely, so that a matrix that needs shifts is rarely summed in place in vain.
        let is_wild = |z: &T| z.widen().is_finite() && z.widen().abs() > AT_0;
        let mut in_place = each.is_none() && self.rows().next().is_some_and(|row| !row.iter().any(is_wild));
        let mut from = 0;
        while from < self.count {
            let count = (self.count - from).min(if in_place { WIDE } else { WIDTH });
            let part = self.part(from, count);
            let value = value.as_mut().map(|value| &mut value[from..][..count]);
            match &mut each {
                None => {
                    let partials = part.partials::<T::First>(&mut tiles, &mut in_place);
                    part.settle(&partials, value);
                }
                Some((each, out)) => {
                    let partials = part.partials::<T::Elements>(&mut tiles, &mut in_place);
                    part.each(*each, &mut tiles, partials.as_flattened(), out, from);
                    part.settle(&partials, value);
                }
            }
            from += count;
        }
    }

    /// Reduces at most eight columns of fewer than [`SHORT`] rows.
    fn reduce_short(self, value: Option<&mut [T]>, each: Option<(Each, &mut [&mut [T]], usize)>) {
        let (mut room, length) = (short_rows::Room::default(), self.length());
        for (place, row) in room.tile(length).iter_mut().zip(self.rows()) {
            place.iter_mut().zip(row).for_each(|(place, z)| *place = z.widen());
        }
        let function = each.as_ref().map(|&(each, ..)| each);
        reduce_tile(&mut room, length, self.count, value, function, |j| Cow::Owned(self.column(j)));
        if let Some((_, out, from)) = each {
            for (out, place) in out.iter_mut().zip(&*room.tile(length)) {
                out[from..][..self.count].iter_mut().zip(place).for_each(|(out, &x)| *out = T::narrow(x));
            }
        }
    }

    /// Copies this range of columns of a block of rows into tiles of eight columns.
    fn fill(self, tiles: &mut Vec<T>, block: &[T]) {
        tiles.resize(block.len() / self.pitch * self.count.next_multiple_of(LANES), T::default());
        columns::copy(block, self.pitch, self.start, self.count, tiles);
    }

    /// The states of at most [`WIDTH`] columns, or [`WIDE`] if `in_place`: this says whether to try to sum without a
    /// copy, and is cleared once that fails for a long block. If there are copies, `tiles` holds the last block.
    fn partials<P: Keep>(self, tiles: &mut Vec<T>, in_place: &mut bool) -> Vec<[Partial<P>; LANES]> {
        let groups = self.count.div_ceil(LANES);
        let mut pieces: Vec<Pieces<P>> = (0..groups).map(|_| Pieces::EMPTY).collect();
        for block in self.z.chunks(BLOCK * self.pitch) {
            checkpoint();
            let rows = block.len() / self.pitch;
            let mut summed = [None; WIDE / LANES];
            if *in_place {
                summed = columns::summed_in_place::<P, T>(block, self.pitch, self.start, self.count);
            }
            *in_place &= rows < LONG || summed[..groups].iter().all(Option::is_some);
            let of_parts = pieces.chunks_mut(WIDTH / LANES).zip(summed.chunks(WIDTH / LANES));
            for (from, (pieces, summed)) in (0..self.count).step_by(WIDTH).zip(of_parts) {
                if summed[..pieces.len()].iter().any(Option::is_none) {
                    self.part(from, WIDTH.min(self.count - from)).fill(tiles, block);
                }
                for (g, (pieces, summed)) in pieces.iter_mut().zip(summed).enumerate() {
                    match summed {
                        Some(blocks) => pieces.push_summed(*blocks),
                        None => pieces.push(&tiles[g * rows * LANES..][..rows * LANES]),
                    }
                }
            }
        }
        let close = |(g, mut pieces): (usize, Pieces<P>)| {
            let count = LANES.min(self.count - g * LANES);
            pieces.close(|j| Partial::over(&self.column(g * LANES + j)), count)
        };
        pieces.into_iter().enumerate().map(close).collect()
    }

    fn settle<P: Keep>(self, partials: &[[Partial<P>; LANES]], value: Option<&mut [T]>) {
        for (g, value) in value.into_iter().flat_map(|value| value.chunks_mut(LANES)).enumerate() {
            settle(&partials[g], value, |j, partial| ziv::settle(partial, &self.column(g * LANES + j)).0);
        }
    }

    /// Applies `each` to every element, given the columns' partials; `tiles` holds the block that was read last.
    fn each(
        self,
        each: Each,
        tiles: &mut Vec<T>,
        partials: &[Partial<T::Elements>],
        out: &mut [&mut [T]],
        from: usize,
    ) {
        let functions = Functions::<WIDTH>::new(each, constants(each, &partials[..self.count]));
        let is_whole = out.len() <= BLOCK;
        let columns: [_; WIDTH] = std::array::from_fn(|j| Column { columns: self, j });
        let elements = columns.each_ref().map(|column| Elements::new(each, column));
        let mut unsettled = Vec::new();
        for (out, block) in out.chunks_mut(BLOCK).zip(self.z.chunks(BLOCK * self.pitch)) {
            checkpoint();
            if !is_whole {
                self.fill(tiles, block);
            }
            functions.apply(tiles, out, from, self.count, &mut unsettled);
            for Place { row, column } in unsettled.drain(..) {
                let (row, column) = (usize::from(row), usize::from(column));
                if partials[column].max.is_finite() {
                    let z = block[row * self.pitch + self.start + column];
                    out[row][from + column] = elements[column].nearest(z);
                }
            }
        }
        for (j, partial) in partials[..self.count].iter().enumerate() {
            if partial.max.is_finite() {
                continue;
            }
            let column = self.column(j);
            if let Some(edge) = Edge::of(each, partial.max, &column) {
                out.iter_mut().zip(column).for_each(|(out, z)| out[from + j] = edge.at(z));
            }
        }
    }
}

/// A column of a matrix as a series.
struct Column<'a, T> {
    columns: Columns<'a, T>,
    j: usize,
}

impl<T: Format> Series<T> for Column<'_, T> {
    fn pieces(&self, read: &mut dyn FnMut(&[T])) {
        let Self { columns, j } = *self;
        let mut piece = Vec::new();
        for rows in columns.z.chunks(PIECE * columns.pitch) {
            checkpoint();
            piece.clear();
            piece.extend(Columns { z: rows, ..columns }.rows().map(|row| row[j]));
            read(&piece);
        }
    }

    fn len(&self) -> usize {
        self.columns.length()
    }

    fn contiguous(&self) -> Option<&[T]> {
        None
    }
}
