//! Blocked matrix product: Σ_p left(i, p) · right(p, j) for two sources of numbers, one block of the result at a
//! time.
//!
//! Both factors are packed, [`INNER`] steps at a time, into panels of eight rows of the left or eight columns of the
//! right factor. Packing computes their numbers, hence each exponential once per block of the result. Every entry is
//! summed over [`INNER`] steps at a time, by a chain of fused multiply-adds unless it is in double-double, and these
//! partial sums are added in order. So its bits depend neither on the SIMD level nor on where its block begins.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two, two_product, two_sum};
use crate::arithmetic::precision::{Number, Precision};
use crate::formats::Format;
use crate::interrupt::checkpoint;
use crate::simd::{Task, Vector};
use std::ops::Range;

/// The number of steps packed at a time.
pub(crate) const INNER: usize = 128;

/// The maximum number of rows, and of columns, in a block of the result: the packed panels stay in the
/// second-level cache.
pub(crate) const OUTER: usize = 256;

/// Eight adjacent rows or columns of a factor, at one step, in one cache line; or eight sums.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Eight(pub(crate) [f64; 8]);

/// A matrix as a factor of a product.
pub(crate) trait Source {
    /// Eight numbers of `row` from `column` on; those beyond its end are finite.
    fn eight<V: Vector>(&self, row: usize, column: usize, simd: V) -> DoubleDouble<V>;
}

/// e^{z − shift} for the numbers z of a row-major matrix, or 0 where this is too large or NaN, as it may be if the
/// shift is infinite or NaN.
#[derive(Clone, Copy)]
pub(crate) struct Powers<'a, T> {
    pub(crate) z: &'a [T],
    pub(crate) columns: usize,
    pub(crate) shifts: Shifts<'a>,
    /// Factor of the results of [`Precision::exp`], which are scaled.
    pub(crate) unit: f64,
}

/// One shift per row, or one per column and up to seven for padding.
#[derive(Clone, Copy)]
pub(crate) enum Shifts<'a> {
    Rows(&'a [f64]),
    Columns(&'a [f64]),
}

impl<T: Format> Source for Powers<'_, T> {
    #[inline(always)]
    fn eight<V: Vector>(&self, row: usize, column: usize, simd: V) -> DoubleDouble<V> {
        let z = eight_of(&self.z[row * self.columns..][..self.columns], column, simd);
        let shift = match self.shifts {
            Shifts::Rows(shifts) => simd.splat(shifts[row]),
            Shifts::Columns(shifts) => simd.load(first_of(&shifts[column..])),
        };
        let power = T::First::exp(z, shift).to_dd().scaled(simd.splat(self.unit));
        let zero = simd.splat(0.0);
        power.where_at_most(f64::MAX, power, DoubleDouble::from(zero))
    }
}

/// The numbers themselves, row by row. None may be infinite; [`f64::MIN`] counts as 0, and so does the padding.
#[derive(Clone, Copy)]
pub(crate) struct Plain<'a> {
    pub(crate) numbers: &'a [f64],
    pub(crate) columns: usize,
}

impl Source for Plain<'_> {
    #[inline(always)]
    fn eight<V: Vector>(&self, row: usize, column: usize, simd: V) -> DoubleDouble<V> {
        let z = eight_of(&self.numbers[row * self.columns..][..self.columns], column, simd);
        let zero = simd.splat(0.0);
        DoubleDouble::from(z.where_at_most(f64::MIN, zero, z))
    }
}

/// Eight numbers of a row, padded with −∞ beyond its end.
#[inline(always)]
fn eight_of<T: Format, V: Vector>(row: &[T], column: usize, simd: V) -> V {
    match row[column..].first_chunk() {
        Some(numbers) => T::load(numbers, simd),
        None => T::load_up_to(&row[column..], simd),
    }
}

#[inline(always)]
pub(crate) fn first_of(numbers: &[f64]) -> &[f64; 8] {
    numbers.first_chunk().expect("columns are padded to eights")
}

/// A factor and its orientation.
pub(crate) struct Factor<S> {
    pub(crate) source: S,
    /// Whether the result has the rows of the factor; otherwise it has its columns.
    pub(crate) by_rows: bool,
}

/// The working precision of a product.
///
/// `Sliced` splits each number x into x₁, the nearest multiple of 2^-[`SLICE`], and the rest x₂ in f64. For
/// numbers of at most 1, Σ l₁r₁ over [`INNER`] steps is a multiple of 2^(−2·SLICE) and at most INNER = 2^7, hence
/// exact. The remaining part Σ (l₁r₂ + l₂r) is smaller by 2^-SLICE. These three products in f64 are as accurate as
/// double-doubles, but relative to the greatest possible terms rather than to the sum.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    One,
    Sliced,
    DoubleDouble,
}

impl Words {
    fn forms(self) -> [Form; 2] {
        match self {
            Self::One => [Form::One; 2],
            Self::Sliced => [Form::Left, Form::Right],
            Self::DoubleDouble => [Form::DoubleDouble; 2],
        }
    }
}

const SLICE: i32 = 23;
const _: () = assert!(1 << (53 - 2 * SLICE) == INNER);

/// Adding and subtracting this rounds to a multiple of 2^-SLICE.
const SLICER: f64 = 1.5 * power_of_two(52 - SLICE);

/// Bounds the error of a sliced sum, apart from that of its factors, relative to Σ l + Σ r of its row and column.
///
/// As |l₂|, |r₂| ≤ 2^-24 and l₁ ≤ 2l, all parts but Σ l₁r₁ are together at most E = 2^-23 (Σ l + Σ r). Their
/// chains have 2·INNER roundings, and l₂, r₂ and r have one each. For each of n blocks of steps, the low part, at
/// most E plus 2^-53 n Σ l, has two more.
pub(crate) fn error_of_slices(steps: usize) -> f64 {
    let n = steps.div_ceil(INNER) as f64;
    1.01 * power_of_two(-53)
        * (power_of_two(-23) * (2.0 * INNER as f64 + 3.0 + 2.0 * n) + power_of_two(-52) * n * n)
}

/// Bounds the relative error of a sum in double-double of nonnegative numbers, apart from that of its factors.
///
/// At each step the low part accumulates the rounding error of the high part, 2^-53 of the sum, and three products
/// of 2^-53 of a term: at most 2^-53 (2·INNER + n) of the sum, for n blocks of steps, with 4·INNER + 2n roundings.
/// l₂r₂ is left out.
pub(crate) fn error_of_two_words(steps: usize) -> f64 {
    let n = steps.div_ceil(INNER) as f64;
    1.01 * power_of_two(-106) * ((2.0 * INNER as f64 + n) * (4.0 * INNER as f64 + 2.0 * n) + 1.0)
}

/// Bounds the error of a sum in f64, apart from that of its factors, relative to Σ |l r|.
pub(crate) fn error_of_one_word(steps: usize) -> f64 {
    1.01 * power_of_two(-53) * (INNER as f64 + steps.div_ceil(INNER) as f64)
}

/// Scratch buffers for a block of a product, to be reused.
#[derive(Default)]
pub(crate) struct Room {
    left: Vec<Eight>,
    right: Vec<Eight>,
    pub(crate) sums: Sums,
}

/// A block of the result, row by row, each row padded to a multiple of eight.
#[derive(Default)]
pub(crate) struct Sums {
    /// The number of eights per row.
    pub(crate) stride: usize,
    pub(crate) hi: Vec<Eight>,
    /// Not used for [`Words::One`].
    pub(crate) lo: Vec<Eight>,
    /// The sum of each row of the left factor, and of each column of the right one.
    pub(crate) left_sizes: Vec<Eight>,
    pub(crate) right_sizes: Vec<Eight>,
}

/// The position of a block of the result.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) rows: Span,
    pub(crate) columns: Span,
}

/// The range from `start` up to but excluding `end`.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Span {
    pub(crate) fn len(self) -> usize {
        self.end - self.start
    }
}

/// Task: computes a block of the product of two factors.
pub(crate) struct Block<'a, L, R> {
    pub(crate) left: &'a Factor<L>,
    pub(crate) right: &'a Factor<R>,
    pub(crate) place: Place,
    pub(crate) steps: usize,
    pub(crate) words: Words,
    pub(crate) room: &'a mut Room,
}

impl<L: Source, R: Source> Task for Block<'_, L, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, simd: V) {
        let Self { left, right, place: Place { rows, columns }, steps, words, room } = self;
        let panels = [rows.len().div_ceil(8), columns.len().div_ceil(8)];
        let Room { left: left_room, right: right_room, sums } = room;
        sums.stride = panels[1];
        clear(&mut sums.hi, 8 * panels[0] * panels[1]);
        clear(&mut sums.left_sizes, panels[0]);
        clear(&mut sums.right_sizes, panels[1]);
        if words != Words::One {
            clear(&mut sums.lo, 8 * panels[0] * panels[1]);
        }
        let forms = words.forms();
        let [left_size, right_size] = [panels[0] * forms[0].slices(), panels[1] * forms[1].slices()];
        reserve(left_room, left_size * steps.min(INNER));
        reserve(right_room, right_size * steps.min(INNER));
        for start in (0..steps).step_by(INNER) {
            checkpoint();
            let inner = start..steps.min(start + INNER);
            let length = inner.len();
            let left_room = &mut left_room[..left_size * length];
            let right_room = &mut right_room[..right_size * length];
            pack(left, rows, inner.clone(), forms[0], left_room, &mut sums.left_sizes, simd);
            pack(right, columns, inner, forms[1], right_room, &mut sums.right_sizes, simd);
            // Registers for 24 sums, three eights of columns, and one number of a row.
            if V::REGISTERS >= 28 {
                multiply::<8, 3, V>(left_room, right_room, length, words, sums, simd);
            } else {
                multiply::<4, 1, V>(left_room, right_room, length, words, sums, simd);
            }
        }
    }
}

fn clear(eights: &mut Vec<Eight>, length: usize) {
    eights.clear();
    eights.resize(length, Eight([0.0; 8]));
}

fn reserve(eights: &mut Vec<Eight>, length: usize) {
    eights.resize(eights.len().max(length), Eight([0.0; 8]));
}

/// The packed form of each number x: x itself, both parts of a double-double, x₁ and x₂, or x₁, x₂ and x.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    One,
    DoubleDouble,
    Left,
    Right,
}

impl Form {
    fn slices(self) -> usize {
        match self {
            Self::One => 1,
            Self::DoubleDouble | Self::Left => 2,
            Self::Right => 3,
        }
    }
}

/// Packs panels of eight rows, or columns, of a factor: for each slice, the eights of all steps in `inner`.
#[inline(always)]
fn pack<S: Source, V: Vector>(
    factor: &Factor<S>,
    outer: Span,
    inner: Range<usize>,
    form: Form,
    out: &mut [Eight],
    sizes: &mut [Eight],
    simd: V,
) {
    let length = inner.len();
    let slices = form.slices();
    let zero = DoubleDouble::from(simd.splat(0.0));
    for ((panel, first), sizes) in
        out.chunks_mut(slices * length).zip((outer.start..outer.end).step_by(8)).zip(sizes)
    {
        let mut size = simd.load(&sizes.0);
        if factor.by_rows {
            for p in (0..length).step_by(8) {
                let mut his = [zero.hi; 8];
                let mut los = [zero.hi; 8];
                for i in 0..8.min(outer.end - first) {
                    let eight = factor.source.eight(first + i, inner.start + p, simd);
                    (his[i], los[i]) = (eight.hi, eight.lo);
                }
                let (his, los) = (V::transposed(his), V::transposed(los));
                for i in 0..8.min(length - p) {
                    size = size + his[i];
                    put(DoubleDouble { hi: his[i], lo: los[i] }, form, panel, p + i, length);
                }
            }
        } else {
            for p in 0..length {
                let eight = factor.source.eight(inner.start + p, first, simd);
                size = size + eight.hi;
                put(eight, form, panel, p, length);
            }
        }
        size.store(&mut sizes.0);
    }
}

#[inline(always)]
fn put<V: Vector>(x: DoubleDouble<V>, form: Form, panel: &mut [Eight], p: usize, length: usize) {
    match form {
        Form::One => return x.hi.store(&mut panel[p].0),
        Form::DoubleDouble => {
            x.hi.store(&mut panel[p].0);
            return x.lo.store(&mut panel[length + p].0);
        }
        Form::Left | Form::Right => {}
    }
    let slicer = x.hi.splat(SLICER);
    let high = (x.hi + slicer) - slicer;
    high.store(&mut panel[p].0);
    ((x.hi - high) + x.lo).store(&mut panel[length + p].0);
    if form == Form::Right {
        x.hi.store(&mut panel[2 * length + p].0);
    }
}

/// Adds the product of packed factors to the sums, R rows by N eights of columns at a time.
#[inline(always)]
fn multiply<const R: usize, const N: usize, V: Vector>(
    left: &[Eight],
    right: &[Eight],
    length: usize,
    words: Words,
    sums: &mut Sums,
    simd: V,
) {
    let [left_slices, right_slices] = words.forms().map(Form::slices);
    let (panels, stride) = (sums.stride, right_slices * length);
    for (i, left) in left.chunks_exact(left_slices * length).enumerate() {
        let mut j = 0;
        while j < panels {
            // A double-double sum needs two registers, and its temporaries more.
            let (rows, eights) = match words {
                Words::DoubleDouble => (R / 2, 1),
                _ if j + N <= panels => (R, N),
                _ => (R, 1),
            };
            for first in (0..8).step_by(rows) {
                let right = &right[j * stride..];
                let tile = Tile { left, first, right, stride, length, place: (8 * i + first) * panels + j };
                match words {
                    Words::One if eights == 1 => tile.add_in_one::<R, 1, V>(sums, simd),
                    Words::One => tile.add_in_one::<R, N, V>(sums, simd),
                    Words::Sliced if eights == 1 => tile.add_in_slices::<R, 1, V>(sums, simd),
                    Words::Sliced => tile.add_in_slices::<R, N, V>(sums, simd),
                    Words::DoubleDouble => tile.add_in_two::<R, V>(sums, simd),
                }
            }
            j += eights;
        }
    }
}

/// Some rows of a panel, from `first` on; some panels of columns, `stride` apart; and the place of their sums.
#[derive(Clone, Copy)]
struct Tile<'a> {
    left: &'a [Eight],
    first: usize,
    right: &'a [Eight],
    stride: usize,
    length: usize,
    place: usize,
}

impl Tile<'_> {
    #[inline(always)]
    fn add_in_one<const R: usize, const N: usize, V: Vector>(self, sums: &mut Sums, simd: V) {
        let chains = self.chains::<R, N, V>(0, 1, simd);
        add_words(chains, &mut sums.hi, self.place, sums.stride, simd);
    }

    #[inline(always)]
    fn add_in_slices<const R: usize, const N: usize, V: Vector>(self, sums: &mut Sums, simd: V) {
        let high = self.chains::<R, N, V>(0, 1, simd);
        for (r, row) in high.into_iter().enumerate() {
            for (n, hi) in row.into_iter().enumerate() {
                add(DoubleDouble { hi, lo: simd.splat(0.0) }, self.place + r * sums.stride + n, sums);
            }
        }
        let low = self.chains::<R, N, V>(1, 2, simd);
        add_words(low, &mut sums.lo, self.place, sums.stride, simd);
    }

    /// R / 2 rows and one panel of columns.
    #[inline(always)]
    fn add_in_two<const R: usize, V: Vector>(self, sums: &mut Sums, simd: V) {
        let (length, first) = (self.length, self.first.min(8 - R / 2));
        let zero = simd.splat(0.0);
        let mut totals = [DoubleDouble::from(zero); R];
        let (left, left_low) = self.left[..2 * length].split_at(length);
        let (right, right_low) = self.right[..2 * length].split_at(length);
        for p in 0..length {
            let r = DoubleDouble { hi: simd.load(&right[p].0), lo: simd.load(&right_low[p].0) };
            for (i, total) in totals[..R / 2].iter_mut().enumerate() {
                let l = DoubleDouble {
                    hi: simd.splat(left[p].0[first + i]),
                    lo: simd.splat(left_low[p].0[first + i]),
                };
                let product = two_product(l.hi, r.hi);
                let high = two_sum(total.hi, product.hi);
                let low = l.lo.mul_add(r.hi, l.hi.mul_add(r.lo, high.lo + product.lo));
                *total = DoubleDouble { hi: high.hi, lo: total.lo + low };
            }
        }
        for (i, &total) in totals[..R / 2].iter().enumerate() {
            add(total, self.place + i * sums.stride, sums);
        }
    }

    /// Σ_p left(p) · right(p) for R rows and N panels of columns, each a chain of fused multiply-adds over
    /// `slices` slices: from the first one of the left factor and from `from` on of the right one.
    #[allow(
        clippy::needless_range_loop,
        reason = "a pair of iterators that is not inlined keeps the sums in memory"
    )]
    #[inline(always)]
    fn chains<const R: usize, const N: usize, V: Vector>(
        self,
        from: usize,
        slices: usize,
        simd: V,
    ) -> [[V; N]; R] {
        let length = slices * self.length;
        let left = &self.left[..length];
        let mut columns: [&[Eight]; N] = [&[]; N];
        for (n, columns) in columns.iter_mut().enumerate() {
            *columns = &self.right[n * self.stride + from * self.length..][..length];
        }
        let first = self.first.min(8 - R);
        let mut sums = [[simd.splat(0.0); N]; R];
        for p in 0..length {
            let mut eights = [simd; N];
            for n in 0..N {
                eights[n] = simd.load(&columns[n][p].0);
            }
            for r in 0..R {
                let x = simd.splat(left[p].0[first + r]);
                for n in 0..N {
                    sums[r][n] = x.mul_add(eights[n], sums[r][n]);
                }
            }
        }
        sums
    }
}

/// Adds a tile of f64 to `words`.
#[inline(always)]
fn add_words<const R: usize, const N: usize, V: Vector>(
    tile: [[V; N]; R],
    words: &mut [Eight],
    place: usize,
    stride: usize,
    simd: V,
) {
    for (r, row) in tile.into_iter().enumerate() {
        let words = &mut words[place + r * stride..][..N];
        for (word, sum) in words.iter_mut().zip(row) {
            (simd.load(&word.0) + sum).store(&mut word.0);
        }
    }
}

/// Adds a number to the sum at `place`.
#[inline(always)]
fn add<V: Vector>(number: DoubleDouble<V>, place: usize, sums: &mut Sums) {
    let (hi, lo) = (&mut sums.hi[place].0, &mut sums.lo[place].0);
    let simd = number.hi;
    let sum = two_sum(simd.load(hi), number.hi);
    sum.hi.store(hi);
    (simd.load(lo) + (sum.lo + number.lo)).store(lo);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arithmetic::exp::UNSCALE;
    use crate::reference::{big, uniform};
    use crate::simd::run;

    const ALL: [Words; 3] = [Words::One, Words::Sliced, Words::DoubleDouble];

    /// For sums in each of ALL, the worst error as a fraction of its bound, against 400 bits. Two blocks of steps
    /// and a part.
    fn worst_errors(spread: f64) -> [f64; 3] {
        const STEPS: usize = 2 * INNER + 44;
        let mut uniform = uniform(8);
        let mut numbers = |count: usize| -> Vec<f64> { (0..count).map(|_| -spread * uniform()).collect() };
        let (mut a, mut b) = (numbers(9 * STEPS), numbers(STEPS * 11));
        // Where all terms are equal, their errors accumulate.
        a.chunks_mut(STEPS).step_by(2).for_each(|row| row.fill(row[0]));
        for k in 1..STEPS {
            (0..11).step_by(2).for_each(|j| b[k * 11 + j] = b[j]);
        }
        let exact = [&a, &b].map(|z| z.iter().map(|&z| big(z).exp()).collect::<Vec<_>>());
        let (left, right) = (
            Powers { z: &a[..], columns: STEPS, shifts: Shifts::Rows(&[0.0; 9]), unit: UNSCALE },
            Powers { z: &b[..], columns: 11, shifts: Shifts::Columns(&[0.0; 16]), unit: UNSCALE },
        );
        let mut rooms = ALL.map(|_| Room::default());
        for (room, words) in rooms.iter_mut().zip(ALL) {
            run(Block {
                left: &Factor { source: left, by_rows: true },
                right: &Factor { source: right, by_rows: false },
                place: Place { rows: Span { start: 0, end: 9 }, columns: Span { start: 0, end: 11 } },
                steps: STEPS,
                words,
                room,
            });
        }
        let mut worst = [0f64; 3];
        for (i, j) in (0..99).map(|place| (place / 11, place % 11)) {
            let (mut sum, mut sizes) = (big(0.0), big(0.0));
            for k in 0..STEPS {
                let (l, r) = (&exact[0][i * STEPS + k], &exact[1][k * 11 + j]);
                sum += l * r;
                sizes += l + r;
            }
            let [size, sizes] = [&sum, &sizes].map(|sum| sum.to_f64().value());
            let of_exponentials = 2.0 * <f64 as crate::formats::Format>::First::EXP_ERROR * size;
            let bounds = [
                // The exponentials' high parts alone.
                error_of_one_word(STEPS) * size + power_of_two(-52) * size,
                error_of_slices(STEPS) * sizes,
                error_of_two_words(STEPS) * size,
            ];
            for ((worst, bound), room) in worst.iter_mut().zip(bounds).zip(&rooms) {
                let place = i * room.sums.stride + j / 8;
                let low = room.sums.lo.get(place).map_or(0.0, |low| low.0[j % 8]);
                let off = big(room.sums.hi[place].0[j % 8]) + big(low) - &sum;
                *worst = worst.max(off.to_f64().value().abs() / (1.001 * of_exponentials + bound));
            }
        }
        println!("spread {spread}: worst errors {worst:.4?} of the bounds");
        worst
    }

    #[test]
    fn sums_keep_their_bounds() {
        let worst = [0.01, 1.0, 10.0, 100.0].map(worst_errors);
        for words in 0..ALL.len() {
            let worst = worst.iter().map(|worst| worst[words]).fold(0.0, f64::max);
            assert!(worst < 1.0 && worst > 1.0 / 16.0, "{worst:e}");
        }
    }
}
