//! The matrix product of two sources of numbers, in f64: Σ_p left(i, p) · right(p, j), a block of the result at a time.
//!
//! Both factors are packed into panels of eight rows of the left, or columns of the right one, [`INNER`] steps at a time,
//! while their numbers are computed (their exponentials are taken then: once for each block of the result). Every entry is
//! a chain of fused multiply-adds over [`INNER`] steps, and then a sum of these, in order: its bits do not depend on
//! the level, nor on where its block begins.
#![expect(
    clippy::needless_range_loop,
    reason = "loops over registers count to constants, so that these are registers"
)]

use super::Task;
use super::precision::{Number, Precision};
use super::two::{Two, power_of_two, two_product, two_sum};
use super::word::Vector;
use crate::float::Float;
use std::ops::Range;

/// Steps that are packed at a time.
pub(crate) const INNER: usize = 128;

/// Rows, and columns, of the largest block of the result: what is packed of them stays in the second-level cache.
pub(crate) const OUTER: usize = 256;

/// Eight rows or columns of a factor, side by side.
type Eight = [f64; 8];

/// A matrix that a product is taken of.
pub(crate) trait Source {
    /// The numbers at `row`, from `column` on; what it gives beyond the last is finite.
    fn eight<V: Vector>(&self, row: usize, column: usize, like: V) -> Two<V>;
}

/// e^{z − shift} for the numbers z of a matrix, row by row; 0 where that is NaN, as it is for an infinite shift at least where
/// the sums with z are NaN or infinite.
#[derive(Clone, Copy)]
pub(crate) struct Powers<'a, T> {
    pub(crate) z: &'a [T],
    pub(crate) columns: usize,
    pub(crate) shifts: Shifts<'a>,
    /// What the units of [`Precision::exp`] are multiplied by.
    pub(crate) unit: f64,
}

/// One for each row, or for each column and then up to seven more.
#[derive(Clone, Copy)]
pub(crate) enum Shifts<'a> {
    Rows(&'a [f64]),
    Columns(&'a [f64]),
}

impl<T: Float> Source for Powers<'_, T> {
    #[inline(always)]
    fn eight<V: Vector>(&self, row: usize, column: usize, like: V) -> Two<V> {
        let z = eight_of(&self.z[row * self.columns..][..self.columns], column, like);
        let shift = match self.shifts {
            Shifts::Rows(shifts) => like.splat(shifts[row]),
            Shifts::Columns(shifts) => like.load(first_of(&shifts[column..])),
        };
        let power = T::First::exp(z, shift).to_two().scaled(like.splat(self.unit));
        let zero = like.splat(0.0);
        power.where_at_most(f64::MAX, power, Two { hi: zero, lo: zero })
    }
}

/// The numbers themselves, row by row. None may be infinite.
#[derive(Clone, Copy)]
pub(crate) struct Plain<'a> {
    pub(crate) numbers: &'a [f64],
    pub(crate) columns: usize,
}

impl Source for Plain<'_> {
    #[inline(always)]
    fn eight<V: Vector>(&self, row: usize, column: usize, like: V) -> Two<V> {
        let z = eight_of(&self.numbers[row * self.columns..][..self.columns], column, like);
        let zero = like.splat(0.0);
        Two { hi: z.where_at_most(f64::MIN, zero, z), lo: zero }
    }
}

/// Eight numbers of a row, −∞ beyond its end.
#[inline(always)]
fn eight_of<T: Float, V: Vector>(row: &[T], column: usize, like: V) -> V {
    match row[column..].first_chunk() {
        Some(numbers) => T::load(numbers, like),
        None => T::load_up_to(&row[column..], like),
    }
}

#[inline(always)]
pub(crate) fn first_of(numbers: &[f64]) -> &Eight {
    numbers.first_chunk().expect("columns are padded to eights")
}

/// A factor, and which way it lies.
pub(crate) struct Factor<S> {
    pub(crate) source: S,
    /// Whether its rows, or else its columns, are what the result has.
    pub(crate) by_rows: bool,
}

/// What a product is taken in.
///
/// Sliced, each number x is x₁, the multiple of 2^-[`SLICE`] next to it, and x₂, the rest in one word. For numbers of at most
/// 1, Σ l₁r₁ over [`INNER`] steps is a multiple of 2^-2·SLICE and at most INNER = 2^7: it is exact. To that comes
/// Σ (l₁r₂ + l₂r), which is smaller by 2^-SLICE. Three products in one word give what double words give, but in relation to
/// the greatest terms that there might be, not to the sum.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    One,
    Sliced,
    Two,
}

impl Words {
    fn forms(self) -> [Form; 2] {
        match self {
            Self::One => [Form::One; 2],
            Self::Sliced => [Form::Left, Form::Right],
            Self::Two => [Form::Two; 2],
        }
    }
}

const SLICE: i32 = 23;
const _: () = assert!(1 << (53 - 2 * SLICE) == INNER);

/// Adding and subtracting this rounds to a multiple of 2^-SLICE.
const SLICER: f64 = 1.5 * power_of_two(52 - SLICE);

/// How far a sliced sum is off, beside what its factors are, relative to Σ l + Σ r of its row and column.
///
/// |l₂|, |r₂| ≤ 2^-24 and l₁ ≤ 2l, so that everything but Σ l₁r₁ comes to at most E = 2^-23 (Σ l + Σ r). Its chains have
/// 2·INNER roundings, and l₂, r₂ and r one each. For each of n blocks of steps the low word, at most E and 2^-53 n Σ l, takes
/// two more.
pub(crate) fn error_of_slices(steps: usize) -> f64 {
    let n = steps.div_ceil(INNER) as f64;
    1.01 * power_of_two(-53)
        * (power_of_two(-23) * (2.0 * INNER as f64 + 3.0 + 2.0 * n) + power_of_two(-52) * n * n)
}

/// How far a sum in two words is off, beside what its factors are, relative to itself, for numbers that are not negative.
///
/// The low word adds up what the high words leave, 2^-53 of the sum at each step, and three products of 2^-53 of a term:
/// at most 2^-53 (2·INNER + n) of the sum, for n blocks of steps, with 4·INNER + 2n roundings. l₂r₂ is left out.
pub(crate) fn error_of_two_words(steps: usize) -> f64 {
    let n = steps.div_ceil(INNER) as f64;
    1.01 * power_of_two(-106) * ((2.0 * INNER as f64 + n) * (4.0 * INNER as f64 + 2.0 * n) + 1.0)
}

/// How far a sum in one word is off, beside what its factors are, relative to Σ |l r|.
pub(crate) fn error_of_one_word(steps: usize) -> f64 {
    1.01 * power_of_two(-53) * (INNER as f64 + steps.div_ceil(INNER) as f64)
}

/// What a block of a product needs, to be used again.
#[derive(Default)]
pub(crate) struct Room {
    left: Vec<Eight>,
    right: Vec<Eight>,
    pub(crate) sums: Sums,
}

/// A block of the result, row by row, each padded to whole eights.
#[derive(Default)]
pub(crate) struct Sums {
    /// Eights in a row.
    pub(crate) stride: usize,
    pub(crate) hi: Vec<Eight>,
    /// But for one word.
    pub(crate) lo: Vec<Eight>,
    /// Σ of each row of the left factor and of each column of the right one.
    pub(crate) left_sizes: Vec<Eight>,
    pub(crate) right_sizes: Vec<Eight>,
}

/// A block of the result.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) rows: Span,
    pub(crate) columns: Span,
}

/// From `start` to before `end`.
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

/// Takes a block of the product of two factors.
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
    fn run<V: Vector>(self, like: V) {
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
            let inner = start..steps.min(start + INNER);
            let length = inner.len();
            let left_room = &mut left_room[..left_size * length];
            let right_room = &mut right_room[..right_size * length];
            pack(left, rows, inner.clone(), forms[0], left_room, &mut sums.left_sizes, like);
            pack(right, columns, inner, forms[1], right_room, &mut sums.right_sizes, like);
            if V::HAS_MANY_REGISTERS {
                multiply::<8, 3, V>(left_room, right_room, length, words, sums, like);
            } else {
                multiply::<4, 1, V>(left_room, right_room, length, words, sums, like);
            }
        }
    }
}

fn clear(eights: &mut Vec<Eight>, length: usize) {
    eights.clear();
    eights.resize(length, [0.0; 8]);
}

fn reserve(eights: &mut Vec<Eight>, length: usize) {
    eights.resize(eights.len().max(length), [0.0; 8]);
}

/// What is packed of each number: itself; or two words; or x₁, x₂; or x₁, x₂, x.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    One,
    Two,
    Left,
    Right,
}

impl Form {
    fn slices(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two | Self::Left => 2,
            Self::Right => 3,
        }
    }
}

/// Panels of eight rows, or columns, of a factor: `inner` of its eights one after the other, for each slice.
#[inline(always)]
fn pack<S: Source, V: Vector>(
    factor: &Factor<S>,
    outer: Span,
    inner: Range<usize>,
    form: Form,
    out: &mut [Eight],
    sizes: &mut [Eight],
    like: V,
) {
    let length = inner.len();
    let slices = form.slices();
    let zero = Two { hi: like.splat(0.0), lo: like.splat(0.0) };
    for ((panel, first), sizes) in
        out.chunks_mut(slices * length).zip((outer.start..outer.end).step_by(8)).zip(sizes)
    {
        let mut size = like.load(sizes);
        if factor.by_rows {
            for p in (0..length).step_by(8) {
                let mut his = [zero.hi; 8];
                let mut los = [zero.hi; 8];
                for i in 0..8.min(outer.end - first) {
                    let eight = factor.source.eight(first + i, inner.start + p, like);
                    (his[i], los[i]) = (eight.hi, eight.lo);
                }
                let (his, los) = (V::transposed(his), V::transposed(los));
                for i in 0..8.min(length - p) {
                    size = size + his[i];
                    put(Two { hi: his[i], lo: los[i] }, form, panel, p + i, length);
                }
            }
        } else {
            for p in 0..length {
                let eight = factor.source.eight(inner.start + p, first, like);
                size = size + eight.hi;
                put(eight, form, panel, p, length);
            }
        }
        size.store(sizes);
    }
}

#[inline(always)]
fn put<V: Vector>(x: Two<V>, form: Form, panel: &mut [Eight], p: usize, length: usize) {
    match form {
        Form::One => return x.hi.store(&mut panel[p]),
        Form::Two => {
            x.hi.store(&mut panel[p]);
            return x.lo.store(&mut panel[length + p]);
        }
        Form::Left | Form::Right => {}
    }
    let slicer = x.hi.splat(SLICER);
    let high = (x.hi + slicer) - slicer;
    high.store(&mut panel[p]);
    ((x.hi - high) + x.lo).store(&mut panel[length + p]);
    if form == Form::Right {
        x.hi.store(&mut panel[2 * length + p]);
    }
}

/// Adds the product of packed factors to the sums: R rows and N eights of columns at a time.
#[inline(always)]
fn multiply<const R: usize, const N: usize, V: Vector>(
    left: &[Eight],
    right: &[Eight],
    length: usize,
    words: Words,
    sums: &mut Sums,
    like: V,
) {
    let [left_slices, right_slices] = words.forms().map(Form::slices);
    let panels = sums.stride;
    let stride = right_slices * length;
    for (i, left) in left.chunks_exact(left_slices * length).enumerate() {
        let mut j = 0;
        while j < panels {
            let right = &right[j * stride..];
            if words == Words::Two {
                for first in (0..8).step_by(R / 2) {
                    let place = (8 * i + first) * panels + j;
                    tile_of_two::<R, V>(left, first, right, length, place, sums, like);
                }
                j += 1;
                continue;
            }
            let is_whole = j + N <= panels;
            for first in (0..8).step_by(R) {
                let place = (8 * i + first) * panels + j;
                if is_whole {
                    tile::<R, N, V>(left, first, right, stride, length, words, place, sums, like);
                } else {
                    tile::<R, 1, V>(left, first, right, stride, length, words, place, sums, like);
                }
            }
            j += if is_whole { N } else { 1 };
        }
    }
}

/// Adds the product of R of a panel's rows and N panels of columns to the sums at `place`.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a struct of them would be taken apart at once")]
fn tile<const R: usize, const N: usize, V: Vector>(
    left: &[Eight],
    first: usize,
    right: &[Eight],
    stride: usize,
    length: usize,
    words: Words,
    place: usize,
    sums: &mut Sums,
    like: V,
) {
    let mut columns: [&[Eight]; N] = [&[]; N];
    for n in 0..N {
        columns[n] = &right[n * stride..][..length];
    }
    let high = chains::<R, N, V>(&left[..length], first, columns, like);
    if words == Words::One {
        for r in 0..R {
            let row = &mut sums.hi[place + r * sums.stride..][..N];
            for n in 0..N {
                (like.load(&row[n]) + high[r][n]).store(&mut row[n]);
            }
        }
        return;
    }
    for r in 0..R {
        for n in 0..N {
            add(Two { hi: high[r][n], lo: like.splat(0.0) }, place + r * sums.stride + n, sums);
        }
    }
    for n in 0..N {
        columns[n] = &right[n * stride + length..][..2 * length];
    }
    let low = chains::<R, N, V>(&left[..2 * length], first, columns, like);
    for r in 0..R {
        let row = &mut sums.lo[place + r * sums.stride..][..N];
        for n in 0..N {
            (like.load(&row[n]) + low[r][n]).store(&mut row[n]);
        }
    }
}

/// Adds a number to the sum at `place`.
#[inline(always)]
fn add<V: Vector>(number: Two<V>, place: usize, sums: &mut Sums) {
    let (hi, lo) = (&mut sums.hi[place], &mut sums.lo[place]);
    let like = number.hi;
    let sum = two_sum(like.load(hi), number.hi);
    sum.hi.store(hi);
    (like.load(lo) + (sum.lo + number.lo)).store(lo);
}

/// [`tile`], in two words: half as many rows, for each sum takes twice the registers, and one panel of columns.
#[inline(always)]
fn tile_of_two<const R: usize, V: Vector>(
    left: &[Eight],
    first: usize,
    right: &[Eight],
    length: usize,
    place: usize,
    sums: &mut Sums,
    like: V,
) {
    let zero = like.splat(0.0);
    let mut totals = [Two { hi: zero, lo: zero }; R];
    let (left, left_low) = left[..2 * length].split_at(length);
    let (right, right_low) = right[..2 * length].split_at(length);
    for p in 0..length {
        let r = Two { hi: like.load(&right[p]), lo: like.load(&right_low[p]) };
        for i in 0..R / 2 {
            let l = Two { hi: like.splat(left[p][first + i]), lo: like.splat(left_low[p][first + i]) };
            let product = two_product(l.hi, r.hi);
            let high = two_sum(totals[i].hi, product.hi);
            let low = l.lo.mul_add(r.hi, l.hi.mul_add(r.lo, high.lo + product.lo));
            totals[i] = Two { hi: high.hi, lo: totals[i].lo + low };
        }
    }
    for i in 0..R / 2 {
        add(totals[i], place + i * sums.stride, sums);
    }
}

/// Σ_p left(p, first + r) · columns_n(p), each a chain of fused multiply-adds.
#[inline(always)]
fn chains<const R: usize, const N: usize, V: Vector>(
    left: &[Eight],
    first: usize,
    columns: [&[Eight]; N],
    like: V,
) -> [[V; N]; R] {
    let mut sums = [[like.splat(0.0); N]; R];
    let first = first.min(8 - R);
    for p in 0..left.len() {
        let mut eights = [like; N];
        for n in 0..N {
            eights[n] = like.load(&columns[n][p]);
        }
        for r in 0..R {
            let x = like.splat(left[p][first + r]);
            for n in 0..N {
                sums[r][n] = x.mul_add(eights[n], sums[r][n]);
            }
        }
    }
    sums
}
