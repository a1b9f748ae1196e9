//! Exponentials as integers, cut at bit positions that depend on nothing but their own argument, so that sums of them
//! are exact: in any order, in any parts.
//!
//! Cells are the digit positions of numbers to the base 2^[`BITS`]: the unit of cell i is 2^{50 i − 48}. A term b·e^z
//! is a double-double, and each of its words is cut into one digit for each of [`CELLS`] cells, from the highest
//! downwards: a digit is the word rounded to a multiple of its cell's unit, to nearest, ties to even, and what is left
//! goes on to the next cell. Every step is exact. The first cell that can have a digit is the term's own ([`cell_of`]);
//! above it the word is less than half a unit, and rounds to 0. So the digit of a cell is the same whatever cell the
//! cutting starts from. A digit is dropped only if its cell is more than two below the greatest cell of all terms:
//! which digits are dropped in the end does not depend on the order of the terms.
//!
//! These are the bins of Ahrens, Demmel & Nguyen, "Algorithms for efficient reproducible floating point summation"
//! (ACM TOMS 46, 2020), for terms that are exponentials.
#![expect(
    clippy::needless_range_loop,
    reason = "with iterators the vectors go through memory: twice the time"
)]

use crate::arithmetic::double_double::{
    DoubleDouble, fast_two_sum, parts, power_of_two, two_product, two_sum,
};
use crate::arithmetic::exp::{EXP_F64_FULL_ERROR, FAR_RANGE as FAR, NEAR_RANGE, Reduced, SCALE};
use crate::arithmetic::float64::Float64;
use crate::arithmetic::precision::Precision;
use crate::arithmetic::triple_double::TripleDouble;
use crate::formats::Format;
use crate::kernels::block::ask_ahead;
use crate::simd::{Pair, Vector, task};

/// Bits of a cell.
pub(crate) const BITS: i64 = 50;

/// The number of cells that are kept: the digits below them are less than 2^-98 of the greatest term.
pub(crate) const CELLS: usize = 3;

/// The unit of cell 0 is 2^-48, so that 1 is near the upper end of its cell: where a sum is nearly 1, its logarithm
/// has the bits of the difference, down to 2^-148.
pub(crate) const UNIT: i64 = -48;

/// 50 · log 2, off by less than 2^-158.
pub(crate) const CELL: TripleDouble =
    TripleDouble { hi: 34.657359027997266, mid: -8.388780374021319e-16, lo: -2.6928240206271336e-32 };

/// The steps of (log 2)/16 in a cell.
const STEPS: f64 = 16.0 * BITS as f64;

/// From this magnitude on, the nearest multiple of [`CELL`] is found in integers.
const INTEGER_CELLS: f64 = power_of_two(48);

/// From this magnitude on, finite numbers are at least 2048 apart, and only those that equal the greatest count: even
/// with the greatest weight, and the least for the other term, e^-2048 is only about 2^-857 of that term. They have
/// cells of their own, relative to e^max.
pub(crate) const HUGE: f64 = power_of_two(63);

/// Adding this rounds a number to the nearest integer, and leaves it in the low bits.
const ROUNDER: f64 = 6755399441055744.0; // 1.5 · 2^52

/// Adding these rounds a number to a multiple of the unit of each cell, in units of 2^-SCALE, and leaves this multiple
/// in the low bits: up to 2^51 units, the bits are those of the rounder plus the multiple.
const ROUNDERS: [f64; CELLS] = {
    let mut rounders = [0.0; CELLS];
    let mut i = 0;
    while i < CELLS {
        rounders[i] = ROUNDER * power_of_two((SCALE - BITS * i as i64) as i32);
        i += 1;
    }
    rounders
};

/// Bounds the relative error of the terms of T whose numbers are at most this in magnitude.
///
/// To the error of the exponential, the product with a weight adds 2^-104, and the error of the exponent less than
/// 2^-104 |z|: far less than an ulp of a logarithm of this size. From [`INTEGER_CELLS`] on the exponent's error is a
/// sixth of a unit of 2^-60 for each of |z|/34.6 cells, and half a unit; below [`HUGE`] that is less than 2^-4.
pub(crate) fn error_of_terms<T: Format>(magnitude: f64) -> f64 {
    let of_exponent = match magnitude {
        HUGE.. => 0.0,
        INTEGER_CELLS.. => magnitude * power_of_two(-65),
        _ => magnitude * power_of_two(-104),
    };
    // In one word, the product with a weight is rounded, too; the exponent is off by 2^-53.4 + 2^-58.
    let in_one_word = EXP_F64_FULL_ERROR + 1.8 * power_of_two(-53);
    let of_exponential = if is_in_one_word::<T>() { in_one_word } else { T::Finer::EXP_ERROR };
    of_exponential + power_of_two(-104) + of_exponent
}

/// Whether terms are of one f64, as for formats narrower than f64.
const fn is_in_one_word<T: Format>() -> bool {
    !T::First::IS_DOUBLE_DOUBLE
}

/// A finite number of magnitude [`FAR`] or more as `cells` · 50 log 2 + `rest`. Both depend on the number alone.
#[derive(Clone, Copy)]
struct Place {
    cells: i64,
    rest: DoubleDouble,
}

impl Place {
    #[inline(always)]
    fn of(z: f64) -> Self {
        match z.abs() {
            HUGE.. => Self { cells: 0, rest: DoubleDouble::ZERO },
            INTEGER_CELLS.. => Self::by_integers(z),
            _ => Self::by_words(z),
        }
    }

    /// z and the first product are within a factor of 2 of each other, so that their difference is exact. The numbers
    /// that follow are below 2^-53 |z|, and rounded twice.
    #[inline(always)]
    fn by_words(z: f64) -> Self {
        let cells = (z / CELL.hi).round_ties_even();
        let (first, second) = (two_product(cells, CELL.hi), two_product(cells, CELL.mid));
        let rest = two_sum(z - first.hi, -first.lo);
        let low = (rest.lo - second.hi) - (cells * CELL.lo + second.lo);
        Self { cells: cells as i64, rest: fast_two_sum(rest.hi, low) }
    }

    #[cold]
    fn by_integers(z: f64) -> Self {
        const UNITS: f64 = power_of_two(60);
        /// [`CELL`] in units of 2^-60.
        const WHOLE_CELL: i128 = 39_957_214_516_258_298_937;
        let whole = (z * UNITS) as i128;
        let cells = (whole + WHOLE_CELL / 2).div_euclid(WHOLE_CELL);
        let rest = whole - cells * WHOLE_CELL;
        let hi = rest as f64;
        let lo = (rest - hi as i128) as f64;
        Self { cells: cells as i64, rest: DoubleDouble { hi, lo }.scaled(1.0 / UNITS) }
    }
}

/// The cell of x · 2^{exponent + k/16} · e^r, in units of cell 0, for all x from 1 to 2 and |r| ≤ (log 2)/31:
/// ⌊(⌊k/16⌋ + exponent + 1)/50⌋. The base-2 logarithm of the term, in units of its cell, is at least −1.1; it is below
/// 49 if x is 1, and below 50 if it is not.
///
/// The quotient that is rounded is at least 0.5/800 away from a tie.
#[inline(always)]
fn cell_of<F: Float64>(minus_k: F, exponent: F) -> F {
    let steps = exponent.mul_add(exponent.splat(16.0), -minus_k);
    let cells = steps.mul_add(steps.splat(1.0 / STEPS), steps.splat((16.5 - STEPS / 2.0) / STEPS));
    let rounder = cells.splat(ROUNDER);
    (cells + rounder) - rounder
}

/// The cell of e^z, for a finite z.
#[inline(always)]
pub(crate) fn cell(z: f64) -> i64 {
    let cell = |z: f64| cell_of(Reduced::of_f64(z).minus_k(), -UNIT as f64) as i64;
    if z.abs() < FAR {
        return cell(z);
    }
    let place = Place::of(z);
    place.cells + cell(place.rest.hi)
}

/// The number of terms that are computed at once.
pub(crate) const TERMS: usize = 64;

/// The digits of terms from the cell of each downwards.
pub(crate) struct Terms {
    tops: [i64; TERMS],
    digits: [[i64; TERMS]; CELLS],
}

impl Terms {
    pub(crate) const EMPTY: Self = Self { tops: [0; TERMS], digits: [[0; TERMS]; CELLS] };

    #[inline(always)]
    pub(crate) fn at(&self, i: usize) -> Digits {
        let mut digits = [0; CELLS];
        for cell in 0..CELLS {
            digits[cell] = self.digits[cell][i];
        }
        Digits { top: self.tops[i], digits }
    }
}

/// The digits of a term, or the sums of those of several, from cell `top` downwards.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Digits {
    pub(crate) top: i64,
    pub(crate) digits: [i64; CELLS],
}

task! {
    /// The terms weight · e^z of at most [`TERMS`] numbers, with weights of 1 if none are given; for a z of magnitude
    /// [`HUGE`] or more, the weight alone. The result is meaningless for a weight of 0, and where a number or a weight
    /// is not finite.
    pub(crate) fn terms<T: Format>(numbers: &[T], weights: Option<&[T]>, terms: &mut Terms; simd: V) {
        for (i, numbers) in numbers.chunks(8).enumerate() {
            let z = match numbers.as_array() {
                Some(numbers) => T::load(numbers, simd),
                None => T::load_up_to(numbers, simd),
            };
            let (mut significands, mut exponents) = ([1.0; 8], [-UNIT as f64; 8]);
            if let Some(weights) = weights {
                for (j, weight) in weights[8 * i..].iter().take(numbers.len()).enumerate() {
                    let (significand, exponent) = parts(weight.widen());
                    (significands[j], exponents[j]) = (significand, f64::from(exponent - UNIT as i32));
                }
                eight::<true, T, V>(z, significands, exponents, terms, 8 * i, simd);
            } else {
                eight::<false, T, V>(z, significands, exponents, terms, 8 * i, simd);
            }
        }
    }
}

/// Eight terms significand · 2^exponent · e^z, in units of cell 0, to be stored from index `first` on.
#[inline(always)]
fn eight<const IS_WEIGHTED: bool, T: Format, V: Vector>(
    z: V,
    significands: [f64; 8],
    exponents: [f64; 8],
    terms: &mut Terms,
    first: usize,
    simd: V,
) {
    let near = z.max(-z).where_at_most(NEAR_RANGE, z, simd.splat(0.0));
    let are_near = z.differ(near) == 0;
    let (reduced, far) =
        if are_near { (reduced::<true, T, V>(z, 0.0), [0; 8]) } else { anywhere::<T, V>(z, simd) };
    let exponents = simd.load(&exponents);
    let cells = cell_of(reduced.minus_k(), exponents);
    let steps = cells.mul_add(simd.splat(-STEPS), exponents * simd.splat(16.0));
    let mut term = exponential::<T, V>(reduced.plus_steps(steps));
    if IS_WEIGHTED {
        let significands = simd.load(&significands);
        let high = two_product(term.hi, significands);
        term = fast_two_sum(high.hi, term.lo.mul_add(significands, high.lo));
    }
    let mut sums = Sums::empty(simd);
    sums.add::<T>(term);
    let digits = sums.less_rounders::<T>(1, simd);
    for cell in 0..CELLS {
        store_bits(digits[cell], &mut terms.digits[cell], first);
    }
    let rounder = simd.splat(ROUNDER);
    let tops = (cells + rounder).plus_bits(simd.splat(f64::from_bits(ROUNDER.to_bits().wrapping_neg())));
    store_bits(tops, &mut terms.tops, first);
    if !are_near {
        for (top, far) in terms.tops[first..].iter_mut().zip(far) {
            *top += far;
        }
    }
}

/// Numbers of any magnitude, each less the number of whole cells that is returned with it; what is not finite counts as
/// 0.
#[inline(always)]
fn anywhere<T: Format, V: Vector>(numbers: V, simd: V) -> (Reduced<V>, [i64; 8]) {
    let [mut z, mut low] = [[0.0; 8]; 2];
    let mut cells = [0; 8];
    numbers.store(&mut z);
    for j in 0..8 {
        let is_finite = z[j].is_finite();
        if is_finite && z[j].abs() < FAR {
            continue;
        }
        let place = if is_finite { Place::of(z[j]) } else { Place { cells: 0, rest: DoubleDouble::ZERO } };
        (cells[j], z[j], low[j]) = (place.cells, place.rest.hi, place.rest.lo);
    }
    (reduced::<false, T, V>(simd.load(&z), 0.0).plus(simd.load(&low)), cells)
}

/// A number below [`FAR`] in magnitude, or, with IS_NEAR, at most [`NEAR_RANGE`]; less this many steps.
#[inline(always)]
fn reduced<const IS_NEAR: bool, T: Format, F: Float64>(z: F, steps: f64) -> Reduced<F> {
    match () {
        () if is_in_one_word::<T>() => Reduced::of_f64_coarse_less(z, steps),
        () if IS_NEAR => Reduced::of_f64_less(z, steps),
        () => Reduced::of_far_less(z, steps),
    }
}

#[inline(always)]
fn store_bits<V: Vector>(bits: V, places: &mut [i64; TERMS], first: usize) {
    let mut lanes = [0.0; 8];
    bits.store(&mut lanes);
    for j in 0..8 {
        places[first + j] = lanes[j].to_bits() as i64;
    }
}

/// The exponential, in f64 for formats narrower than f64.
#[inline(always)]
fn exponential<T: Format, F: Float64>(reduced: Reduced<F>) -> DoubleDouble<F> {
    if is_in_one_word::<T>() { DoubleDouble::from(reduced.exp_full()) } else { reduced.exp_finer() }
}

/// The digits of Σ e^z from cell `top` downwards, in a block of at most 2^12 numbers, none of which has a greater
/// cell or is above [`FAR`]/2; `None` if one is NaN.
#[inline(always)]
pub(crate) fn summed<T: Format, V: Vector>(block: &[T], top: i64, simd: V) -> Option<[i64; CELLS]> {
    // No number below this has a digit in the cells that are kept.
    let floor = (top as f64 - 5.0) * CELL.hi;
    let is_near = floor >= -NEAR_RANGE && (top + 1) as f64 * CELL.hi <= NEAR_RANGE;
    let steps = 16.0 * (BITS as f64 * top as f64 + UNIT as f64);
    let (sums, vectors) = if is_near {
        sums::<true, T, V>(block, steps, floor, simd)
    } else {
        sums::<false, T, V>(block, steps, floor, simd)
    };
    let mut lanes = [0.0; 8];
    sums.rough.store(&mut lanes);
    if lanes.iter().any(|lane| lane.is_nan()) {
        return None;
    }
    let digits = sums.less_rounders::<T>(vectors, simd);
    let mut totals = [0_i64; CELLS];
    for cell in 0..CELLS {
        digits[cell].store(&mut lanes);
        for lane in lanes {
            // Wrapping: a state that was read from bytes may have any first cell.
            totals[cell] = totals[cell].wrapping_add(lane.to_bits() as i64);
        }
    }
    Some(totals)
}

#[inline(always)]
fn sums<const IS_NEAR: bool, T: Format, V: Vector>(
    block: &[T],
    steps: f64,
    floor: f64,
    simd: V,
) -> (Sums<V>, usize) {
    let mut sums = Sums::empty(simd);
    let (sixteens, rest) = block.as_chunks::<16>();
    for numbers in sixteens {
        ask_ahead(numbers, simd);
        let ([first, second], []) = numbers.as_chunks::<8>() else { unreachable!("16 is twice 8") };
        let z = Pair(T::load(first, simd), T::load(second, simd));
        let term = term_at::<IS_NEAR, T, Pair<V>>(z, steps, floor);
        sums.add::<T>(DoubleDouble { hi: term.hi.0, lo: term.lo.0 });
        sums.add::<T>(DoubleDouble { hi: term.hi.1, lo: term.lo.1 });
    }
    let (eights, rest) = rest.as_chunks::<8>();
    for numbers in eights {
        ask_ahead(numbers, simd);
        sums.add::<T>(term_at::<IS_NEAR, T, V>(T::load(numbers, simd), steps, floor));
    }
    if !rest.is_empty() {
        sums.add::<T>(term_at::<IS_NEAR, T, V>(T::load_up_to(rest, simd), steps, floor));
    }
    (sums, block.len().div_ceil(8))
}

/// e^z in units of 2^{steps/16}; a z below `floor` counts as this.
#[inline(always)]
fn term_at<const IS_NEAR: bool, T: Format, F: Float64>(z: F, steps: f64, floor: f64) -> DoubleDouble<F> {
    let z = z.splat(floor).max(z);
    exponential::<T, F>(reduced::<IS_NEAR, T, F>(z, steps))
}

/// Sums of [digits](self), one for each cell, as integers in the bits of f64. With each digit the bits of the cell's
/// rounder are added, too; `less_rounders` subtracts them.
#[derive(Clone, Copy)]
struct Sums<V> {
    cells: [V; CELLS],
    /// The terms, added in f64: NaN if one of them is.
    rough: V,
}

impl<V: Vector> Sums<V> {
    #[inline(always)]
    fn empty(simd: V) -> Self {
        Self { cells: [simd.splat(0.0); CELLS], rough: simd.splat(0.0) }
    }

    /// Adds the digits of a term, which is below 2^50 units of the first cell; each digit is at most 2^50 units of its
    /// cell.
    #[inline(always)]
    fn add<T: Format>(&mut self, term: DoubleDouble<V>) {
        self.rough = self.rough + term.hi;
        self.add_word(0, term.hi);
        if !is_in_one_word::<T>() {
            // The second word, at most 2^-53 of the first, has no digit in the first cell.
            self.add_word(1, term.lo);
        }
    }

    /// Adds the digits of a word from this cell downwards.
    #[inline(always)]
    fn add_word(&mut self, first: usize, mut word: V) {
        for i in first..CELLS {
            let rounder = word.splat(ROUNDERS[i]);
            let rounded = word + rounder;
            self.cells[i] = self.cells[i].plus_bits(rounded);
            word = word - (rounded - rounder);
        }
    }

    /// The sums of digits, as integers, if this many terms were added to each lane.
    #[inline(always)]
    fn less_rounders<T: Format>(&self, terms: usize, simd: V) -> [V; CELLS] {
        let mut cells = self.cells;
        for i in 0..CELLS {
            let words = if i == 0 || is_in_one_word::<T>() { terms } else { 2 * terms };
            let rounders = ROUNDERS[i].to_bits().wrapping_mul(words as u64);
            cells[i] = cells[i].plus_bits(simd.splat(f64::from_bits(rounders.wrapping_neg())));
        }
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{Big, big, uniform};
    use dashu_float::ops::EstimatedLog2;

    /// A term in units of its topmost cell, to 600 bits.
    fn exact(z: f64, weight: f64, top: i64) -> Big {
        let wide = |x: f64| big(x).with_precision(600).value();
        let [high, low] = [top >> 32 << 32, top & 0xffff_ffff].map(|cells| wide(cells as f64));
        let log = wide(z) - wide(2.0).ln() * ((high + low) * big(BITS as f64) + big(UNIT as f64));
        wide(weight) * log.exp()
    }

    fn found(digits: [i64; CELLS]) -> Big {
        (0..CELLS).fold(big(0.0).with_precision(600).value(), |sum, i| {
            sum + big(digits[i] as f64) * big(power_of_two(-(BITS * i as i64) as i32))
        })
    }

    fn numbers() -> impl Iterator<Item = (f64, f64)> {
        let mut uniform = uniform(91);
        (0..8000).map(move |i| {
            let z = match i % 8 {
                0 => -1000.0 + 2.0 * (uniform() - 0.5),
                1 => 300.0 + 2.0 * (uniform() - 0.5),
                2 => 1e6 * (uniform() - 0.5),
                3 => power_of_two(20 + (uniform() * 12.0) as i32) * (uniform() - 0.5),
                4 => power_of_two(32 + (uniform() * 30.0) as i32) * (uniform() - 0.5),
                5 => (((uniform() * 80.0).floor() - 40.0) - 0.02) * CELL.hi + 0.1 * (uniform() - 0.5),
                6 => -((uniform() * 20_000.0).floor() + 0.5) / 23.083_120_654_223_414,
                _ => 40.0 * (uniform() - 0.5),
            };
            let weight = match i / 8 % 4 {
                0 => 1.0,
                1 => uniform() - 0.5,
                2 => power_of_two((uniform() * 2000.0) as i32 - 1000) * (1.0 + uniform()),
                _ => [5e-324, f64::MAX, -1.0, 1.0_f64.next_down()][i / 32 % 4],
            };
            (z, weight)
        })
    }

    /// Terms are within their error and one unit of the last cell, and within the bounds of a topmost cell.
    fn check<T: Format>(loose: f64) {
        let [mut worst, mut worst_far] = [0_f64; 2];
        for (z, weight) in numbers() {
            let [z, weight] = [z, weight].map(|x| T::narrow(x).widen());
            if weight == 0.0 || !weight.is_finite() {
                continue;
            }
            let mut terms = Terms::EMPTY;
            super::terms(&[T::narrow(z)], Some(&[T::narrow(weight)]), &mut terms);
            let Digits { top, digits } = terms.at(0);
            let exact = exact(z, weight, top);
            let size = exact.log2_est();
            assert!((-1.1..50.0).contains(&size), "{weight:e} e^{z}: 2^{size} units");
            assert!(digits.iter().all(|digit| digit.unsigned_abs() <= 1 << BITS), "{digits:?}");
            let off = (found(digits) - exact.clone()).to_f64().value().abs();
            let cut = power_of_two(-(BITS as i32) * (CELLS as i32 - 1));
            let size = exact.to_f64().value().abs();
            let share = (off - cut) / (size * error_of_terms::<T>(z.abs()));
            assert!(share <= 1.0, "{weight:e} e^{z}: {share} of the error");
            let place = if z.abs() < INTEGER_CELLS { &mut worst } else { &mut worst_far };
            *place = place.max(share);
        }
        println!("worst {worst:.3} of the error, from 2^48 on {worst_far:.3}");
        assert!(worst > loose && worst_far > 0.1, "{worst}, {worst_far}");
    }

    #[test]
    fn terms_keep_their_bound() {
        check::<f64>(0.25);
        check::<f32>(0.5);
    }

    /// A term in a block has the digits that it has alone, wherever the topmost cell is.
    #[test]
    fn blocks_have_the_digits_of_their_terms() {
        task! {
            fn summed_block<T: Format>(block: &[T], top: i64; simd: V) -> Option<[i64; CELLS]> {
                super::summed(block, top, simd)
            }
        }
        for (z, _) in numbers().filter(|(z, _)| z.abs() < FAR / 2.0) {
            let mut terms = Terms::EMPTY;
            super::terms(&[z], None, &mut terms);
            let term = terms.at(0);
            assert_eq!(term.top, cell(z));
            for above in 0..6 {
                let found = summed_block(&[z, f64::NEG_INFINITY], cell(z) + above).expect("no NaN");
                let mut expected = [0; CELLS];
                for (place, digit) in expected.iter_mut().skip(above as usize).zip(term.digits) {
                    *place = digit;
                }
                assert_eq!(found, expected, "e^{z}, {above} cells above");
            }
        }
    }

    #[test]
    fn constants_are_those_that_they_should_be() {
        let exact = big(2.0).with_precision(600).value().ln() * big(BITS as f64);
        let words = big(CELL.hi) + big(CELL.mid) + big(CELL.lo);
        assert!((words - exact).to_f64().value().abs() < power_of_two(-158));
    }
}
