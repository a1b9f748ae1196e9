//! Many lanes at a time: rows that lie one after the other, and columns that lie side by side.

use crate::arithmetic::double_double::DoubleDouble;
use crate::edges::Edge;
use crate::formats::Format;
use crate::kernels::Each;
use crate::kernels::block::{AT_0, LONG, Store};
use crate::kernels::columns::{self, Functions, LANES, WIDTH};
use crate::kernels::series::{BLOCK, Series, SeriesMut};
use crate::kernels::short::{self, Reduced, SHORT, TileRoom};
use crate::operations::compiled::compiled;
use crate::operations::reduction;
use crate::simd::Keep;
use crate::state::plain::{self, Partial, Pieces};
use crate::threads::{grain, join};
use crate::ziv;
#[cfg(feature = "half")]
use crate::ziv::single;

/// What is wanted of each lane: its value, and a function of each of its elements.
pub struct Wanted<V, E> {
    pub value: Option<V>,
    pub each: Option<(Each, E)>,
}

compiled! {
    fn reduce_rows(z: &[T], length: usize, wanted: Wanted<&mut [T], &mut [T]>) {
        rows(z, length, wanted);
    }

    fn reduce_columns(columns: Columns<'_, T>, wanted: Wanted<&mut [T], Vec<&mut [T]>>) {
        columns.reduce(wanted);
    }

    fn reduce_series(z: &dyn Series<T>, wanted: Wanted<&mut T, &mut dyn SeriesMut<T>>) {
        series(z, wanted);
    }
}

/// One series, wherever its numbers lie.
fn series<T: Format>(z: &dyn Series<T>, wanted: Wanted<&mut T, &mut dyn SeriesMut<T>>) {
    let Some((each, out)) = wanted.each else {
        if let Some(value) = wanted.value {
            *value = reduction::value(z);
        }
        return;
    };
    let partial = Partial::over(z);
    reduction::each(each, &partial, z, out, Store::for_output::<T>(z.len()));
    if let Some(value) = wanted.value {
        *value = ziv::settle(&partial, z).0;
    }
}

/// Each row of `length` numbers is a lane.
fn rows<T: Format>(z: &[T], length: usize, wanted: Wanted<&mut [T], &mut [T]>) {
    rows_by(grain(z.len()), Store::for_output::<T>(z.len()), z, length, wanted);
}

fn rows_by<T: Format>(grain: usize, to: Store, z: &[T], length: usize, wanted: Wanted<&mut [T], &mut [T]>) {
    let count = z.len() / length;
    let Wanted { value, each } = wanted;
    if z.len() >= 2 * grain && count >= 2 * LANES {
        let half = (count / 2).next_multiple_of(LANES);
        let (first, second) = z.split_at(half * length);
        let (value, value2) = value.map(|value| value.split_at_mut(half)).unzip();
        let (each, each2) = each
            .map(|(each, out)| {
                let (out, out2) = out.split_at_mut(half * length);
                ((each, out), (each, out2))
            })
            .unzip();
        let halves = (Wanted { value, each }, Wanted { value: value2, each: each2 });
        join(|| rows_by(grain, to, first, length, halves.0), || rows_by(grain, to, second, length, halves.1));
        return;
    }
    let (mut value, mut each) = (value, each);
    if length < SHORT
        && each.is_none()
        && let Some(values) = value
    {
        return short_values(z, length, values);
    }
    let mut room = TileRoom::new();
    let mut kept = Vec::new();
    for (i, group) in z.chunks(LANES * length).enumerate() {
        let count = group.len() / length;
        let lane = |j: usize| &group[j * length..][..length];
        let mut value = value.as_mut().map(|value| &mut value[i * LANES..][..count]);
        let mut each =
            each.as_mut().map(|(each, out)| (*each, &mut out[i * LANES * length..][..group.len()]));
        if length < SHORT {
            let tile = room.tile(length);
            columns::from_rows(group, tile);
            let Reduced { values, has_value, has_each } =
                short::reduce::<T>(tile, value.is_some(), each.as_ref().map(|(each, _)| *each));
            if let Some(value) = &mut value {
                value.copy_from_slice(&values[..count]);
            }
            if let Some((_, out)) = &mut each {
                columns::to_rows(tile, out);
            }
            for j in 0..count {
                if value.is_some() && !has_value[j] || each.is_some() && !has_each[j] {
                    let partial = Partial::over(&lane(j));
                    if let Some((each, out)) = &mut each {
                        let mut out = &mut out[j * length..][..length];
                        reduction::each(*each, &partial, &lane(j), &mut out, to);
                    }
                    if let Some(value) = &mut value {
                        value[j] = ziv::settle(&partial, &lane(j)).0;
                    }
                }
            }
            continue;
        }
        #[cfg(feature = "half")]
        if T::HAS_SINGLES
            && each.is_none()
            && let Some(value) = &mut value
        {
            values_in_singles(group, length, value);
            continue;
        }
        let mut partials = [Partial::EMPTY; LANES];
        for (j, partial) in partials[..count].iter_mut().enumerate() {
            *partial = match &mut each {
                None => Partial::over(&lane(j)),
                // While the row is in the cache.
                Some((each, out)) => reduction::partial_and_each(
                    *each,
                    lane(j),
                    &mut out[j * length..][..length],
                    &mut kept,
                    to,
                ),
            };
        }
        if let Some(value) = value {
            settle(&partials, value, |j, partial| ziv::settle(partial, &lane(j)).0);
        }
    }
}

fn short_values<T: Format>(z: &[T], length: usize, values: &mut [T]) {
    const ROWS: usize = short::GROUPS * LANES;
    for (rows, values) in z.chunks(ROWS * length).zip(values.chunks_mut(ROWS)) {
        let has_value = short::values(rows, length, values);
        for (j, value) in values.iter_mut().enumerate().filter(|(j, _)| !has_value.as_flattened()[*j]) {
            *value = reduction::value(&&rows[j * length..][..length]);
        }
    }
}

/// The values of up to eight rows, by the rung that is for values alone where that settles them.
#[cfg(feature = "half")]
fn values_in_singles<T: Format>(rows: &[T], length: usize, values: &mut [T]) {
    let lane = |j: usize| &rows[j * length..][..length];
    let mut sums = [f64::NAN; LANES];
    for (j, sum) in sums[..values.len()].iter_mut().enumerate() {
        *sum = single::of(lane(j)).unwrap_or(f64::NAN);
    }
    let settled = single::settle::<T>(&sums, length);
    for (j, value) in values.iter_mut().enumerate() {
        *value = settled[j].unwrap_or_else(|| ziv::settle(&Partial::over(&lane(j)), &lane(j)).0);
    }
}

/// The constants of the lanes that have any.
fn constants<P: Keep>(
    each: Each,
    partials: &[Partial<P>],
) -> impl Iterator<Item = Option<(f64, DoubleDouble)>> {
    partials.iter().map(move |partial| partial.max.is_finite().then(|| partial.constants(each)))
}

/// Each value, by eight at a time where that settles it.
fn settle<T: Format>(
    partials: &[Partial<T::First>; LANES],
    values: &mut [T],
    otherwise: impl Fn(usize, &Partial<T::First>) -> T,
) {
    let settled = plain::settle::<T, T::First>(partials);
    for (j, value) in values.iter_mut().enumerate() {
        *value = settled[j].unwrap_or_else(|| otherwise(j, &partials[j]));
    }
}

/// Numbers in rows of `pitch`, of which some columns are lanes: those from `start`, as many as are wanted.
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

    /// One column, gathered.
    fn lane(self, j: usize) -> Vec<T> {
        self.rows().map(|row| row[j]).collect()
    }

    /// Each column is a lane. `out` has a slice for each row, if a function of each element is wanted.
    pub(crate) fn reduce(self, wanted: Wanted<&mut [T], Vec<&mut [T]>>) {
        self.reduce_by(grain(self.z.len()), wanted);
    }

    fn reduce_by(self, grain: usize, wanted: Wanted<&mut [T], Vec<&mut [T]>>) {
        let Wanted { value, each } = wanted;
        if self.z.len() / self.pitch * self.count >= 2 * grain && self.count >= 4 * WIDTH {
            let half = (self.count / 2).next_multiple_of(WIDTH);
            let (value, value2) = value.map(|value| value.split_at_mut(half)).unzip();
            let (each, each2) = each
                .map(|(each, out)| {
                    let (out, out2) = out.into_iter().map(|row| row.split_at_mut(half)).unzip();
                    ((each, out), (each, out2))
                })
                .unzip();
            let (first, second) = (self.part(0, half), self.part(half, self.count - half));
            join(
                || first.reduce_by(grain, Wanted { value, each }),
                || second.reduce_by(grain, Wanted { value: value2, each: each2 }),
            );
            return;
        }
        let (mut value, mut each) = (value, each);
        if self.z.len() / self.pitch < SHORT {
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
        // Copied only where something asks for it: a function of each element, or numbers that need a shift. The first row tells
        // the likely case, so that no wild table is summed in vain.
        let is_wild = |z: &T| z.widen().is_finite() && z.widen().abs() > AT_0;
        let mut in_place = each.is_none() && self.rows().next().is_some_and(|row| !row.iter().any(is_wild));
        for from in (0..self.count).step_by(WIDTH) {
            let count = WIDTH.min(self.count - from);
            self.part(from, count).reduce_tile(
                &mut tiles,
                &mut in_place,
                value.as_mut().map(|value| &mut value[from..][..count]),
                each.as_mut().map(|(each, out)| (*each, out, from)),
            );
        }
    }

    /// At most eight columns of fewer than [`SHORT`] rows.
    fn reduce_short(self, value: Option<&mut [T]>, each: Option<(Each, &mut [&mut [T]], usize)>) {
        let mut room = TileRoom::new();
        let tile = room.tile(self.z.len() / self.pitch);
        for (place, row) in tile.iter_mut().zip(self.rows()) {
            place.iter_mut().zip(row).for_each(|(place, z)| *place = z.widen());
        }
        let Reduced { values, has_value, has_each } =
            short::reduce::<T>(tile, value.is_some(), each.as_ref().map(|&(each, ..)| each));
        if let Some((each, out, from)) = each {
            for (out, place) in out.iter_mut().zip(&*tile) {
                out[from..][..self.count].iter_mut().zip(place).for_each(|(out, &x)| *out = T::narrow(x));
            }
            for j in (0..self.count).filter(|&j| !has_each[j]) {
                let lane = self.lane(j);
                let mut alone = lane.clone();
                reduction::each(
                    each,
                    &Partial::over(&&lane[..]),
                    &&lane[..],
                    &mut &mut alone[..],
                    Store::Caches,
                );
                out.iter_mut().zip(alone).for_each(|(out, x)| out[from + j] = x);
            }
        }
        if let Some(value) = value {
            value.copy_from_slice(&values[..self.count]);
            for j in (0..self.count).filter(|&j| !has_value[j]) {
                value[j] = reduction::value(&&self.lane(j)[..]);
            }
        }
    }

    /// The columns' part of a block of rows, eight columns after eight.
    fn fill(self, tiles: &mut Vec<T>, block: &[T]) {
        tiles.resize(block.len() / self.pitch * self.count.next_multiple_of(LANES), T::default());
        columns::copy(block, self.pitch, self.start, self.count, tiles);
    }

    /// At most [`WIDTH`] columns; `in_place`: whether to try without a copy, which is no longer so where that did not do.
    fn reduce_tile(
        self,
        tiles: &mut Vec<T>,
        in_place: &mut bool,
        value: Option<&mut [T]>,
        each: Option<(Each, &mut Vec<&mut [T]>, usize)>,
    ) {
        let groups = self.count.div_ceil(LANES);
        let mut pieces = [const { Pieces::<T::First>::EMPTY }; WIDTH / LANES];
        for block in self.z.chunks(BLOCK * self.pitch) {
            let rows = block.len() / self.pitch;
            let mut summed = [None; WIDTH / LANES];
            if *in_place {
                summed = columns::summed_in_place::<T::First, T>(block, self.pitch, self.start, self.count);
            }
            if summed[..groups].iter().any(Option::is_none) {
                *in_place &= rows < LONG;
                self.fill(tiles, block);
            }
            for (g, pieces) in pieces[..groups].iter_mut().enumerate() {
                match summed[g] {
                    Some(blocks) => pieces.push_summed(blocks),
                    None => pieces.push(&tiles[g * rows * LANES..][..rows * LANES]),
                }
            }
        }
        let mut partials = [[Partial::<T::First>::EMPTY; LANES]; WIDTH / LANES];
        for (g, pieces) in pieces[..groups].iter_mut().enumerate() {
            let count = LANES.min(self.count - g * LANES);
            partials[g] = pieces.close(|j| Partial::over(&&self.lane(g * LANES + j)[..]), count);
        }
        if let Some((each, out, from)) = each {
            self.each(each, tiles, partials.as_flattened(), out, from);
        }
        if let Some(value) = value {
            for (g, value) in value.chunks_mut(LANES).enumerate() {
                settle(&partials[g], value, |j, partial| {
                    ziv::settle(partial, &&self.lane(g * LANES + j)[..]).0
                });
            }
        }
    }

    /// `each` of every element, given the columns' partials, and in `tiles` the block that was read last.
    fn each(
        self,
        each: Each,
        tiles: &mut Vec<T>,
        partials: &[Partial<T::First>],
        out: &mut [&mut [T]],
        from: usize,
    ) {
        let functions = Functions::<WIDTH>::new(each, constants(each, &partials[..self.count]));
        let is_whole = out.len() <= BLOCK;
        for (out, block) in out.chunks_mut(BLOCK).zip(self.z.chunks(BLOCK * self.pitch)) {
            if !is_whole {
                self.fill(tiles, block);
            }
            functions.apply(tiles, out, from, self.count);
        }
        for (j, partial) in partials[..self.count].iter().enumerate() {
            if partial.max.is_finite() {
                continue;
            }
            let lane = self.lane(j);
            if let Some(edge) = Edge::of(each, partial.max, &&lane[..]) {
                out.iter_mut().zip(lane).for_each(|(out, z)| out[from + j] = edge.at(z));
            }
        }
    }
}
