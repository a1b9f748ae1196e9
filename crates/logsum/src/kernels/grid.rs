//! Exponentials as integers, cut at bit positions that depend on nothing but their own argument, so that sums of them
//! are exact: in any order, in any parts.
//!
//! Cells are the digits of a number to the base 2^[`BITS`]: the unit of cell i is 2^{40 i}. A term b·e^z is a
//! double-double, and each of its words is cut into multiples of the units of [`CELLS`] cells below one another, each
//! time to the nearest, ties to even: a digit is x rounded to its unit, and what is left goes on to the next cell.
//! Every step is exact. The first cell that can have a digit is the term's own ([`cell_of`]); above it x is less
//! than half a unit, and rounds to 0. So the digit of a cell is the same whatever cell the cutting starts from. A
//! digit is dropped only if its cell is more than three below the greatest cell of all terms; whether it is, in the
//! end, does not depend on the order of the terms.
//!
//! These are the bins of Ahrens, Demmel & Nguyen, "Algorithms for efficient reproducible floating point summation"
//! (ACM TOMS 46, 2020), for terms that are exponentials.

use crate::arithmetic::double_double::{
    DoubleDouble, fast_two_sum, parts, power_of_two, two_product, two_sum,
};
use crate::arithmetic::exp::{EXP_F64_FULL_ERROR, SCALE, exp_f64_full, exp_f64_full_at_0};
use crate::arithmetic::float64::Float64;
use crate::arithmetic::precision::{Number, Precision};
use crate::arithmetic::triple_double::TripleDouble;
use crate::formats::Format;
use crate::simd::{Vector, task};

/// Bits of a cell.
pub(crate) const BITS: i64 = 40;

/// The number of cells that are kept: the digits below them are less than 2^-116 of the greatest term.
pub(crate) const CELLS: usize = 4;

/// 40 · log 2, off by less than 2^-163.
pub(crate) const CELL: TripleDouble =
    TripleDouble { hi: 27.725887222397812, mid: 3.9440305838394616e-17, lo: -1.821069534491772e-33 };

/// 1 / (40 · log 2).
const PER_CELL: f64 = 0.03606737602222408;

/// Numbers between these are cut without being reduced first.
const NEAR: [f64; 2] = [-1000.0, 300.0];

/// From this magnitude on, the nearest multiple of [`CELL`] is not found in f64.
const FAR: f64 = power_of_two(48);

/// From this magnitude on, finite numbers are at least 2048 apart, and only those that equal the greatest count: with
/// the least and the greatest weights, e^-2048 is 2^-857 of the other term. They have cells of their own, relative to
/// e^max.
pub(crate) const HUGE: f64 = power_of_two(63);

/// Adding and subtracting this rounds a number to the nearest integer.
const ROUNDER: f64 = 6755399441055744.0; // 1.5 · 2^52

/// Adding and subtracting these rounds a number to a multiple of a cell's unit, in units of 2^-SCALE times a power of
/// 2.
const fn rounders(power: i64) -> [f64; CELLS] {
    let mut rounders = [0.0; CELLS];
    let mut i = 0;
    while i < CELLS {
        rounders[i] = ROUNDER * power_of_two((SCALE + power - BITS * i as i64) as i32);
        i += 1;
    }
    rounders
}

/// Bounds the relative error of the terms of T whose numbers are at most this in magnitude.
///
/// To the error of the exponential, the product with a weight adds 2^-104, and the error of the exponent less than
/// 2^-104 |z|: far less than the unit of a logarithm of this size. From [`FAR`] on the exponent's error is half a unit
/// of 2^-60 for each of |z|/27.7 cells; below [`HUGE`] that is less than 2^-2.7.
pub(crate) fn error_of_terms<T: Format>(magnitude: f64) -> f64 {
    let of_exponent = match magnitude {
        HUGE.. => 0.0,
        FAR.. => magnitude * power_of_two(-65),
        _ => magnitude * power_of_two(-104),
    };
    // In one word, the product with a weight is rounded, too.
    let in_one_word = EXP_F64_FULL_ERROR + power_of_two(-53);
    let of_exponential = if T::First::IS_DOUBLE_DOUBLE { T::Finer::EXP_ERROR } else { in_one_word };
    of_exponential + power_of_two(-104) + of_exponent
}

/// A finite number as `cells` · 40 log 2 + `rest`. Both depend on the number alone.
#[derive(Clone, Copy)]
struct Place {
    cells: i64,
    rest: DoubleDouble,
}

impl Place {
    #[inline(always)]
    fn of(z: f64) -> Self {
        if z.abs() < FAR {
            let (cells, rest) = reduced(z);
            return Self { cells: cells as i64, rest };
        }
        Self::of_far(z)
    }

    #[cold]
    fn of_far(z: f64) -> Self {
        if z.abs() >= HUGE {
            return Self { cells: 0, rest: DoubleDouble::ZERO };
        }
        const UNITS: f64 = power_of_two(60);
        /// [`CELL`] in units of 2^-60.
        const WHOLE_CELL: i128 = 31_965_771_613_006_639_149;
        let whole = (z * UNITS) as i128;
        let cells = (whole + WHOLE_CELL / 2).div_euclid(WHOLE_CELL);
        let rest = whole - cells * WHOLE_CELL;
        let hi = rest as f64;
        let lo = (rest - hi as i128) as f64;
        Self { cells: cells as i64, rest: DoubleDouble { hi, lo }.scaled(1.0 / UNITS) }
    }
}

/// The cell of x · 2^exponent · e^rest for all x from 1 to 2. Its logarithm to base 2 is above 40 cell − 4 and below
/// 40 cell + 38.
///
/// The logarithm is at most 40 (cell + ½ + 0.42) + 1 and at least 40 (cell − ½ + 0.42), each within 0.1.
#[inline(always)]
fn cell_of<F: Float64>(rest: F, exponent: F) -> F {
    let of_exponent = exponent * rest.splat(1.0 / BITS as f64) - rest.splat(0.42);
    whole(rest.mul_add(rest.splat(PER_CELL), of_exponent))
}

/// The nearest integer.
#[inline(always)]
fn whole<F: Float64>(x: F) -> F {
    let rounder = x.splat(ROUNDER);
    (x + rounder) - rounder
}

/// [`Place`], for numbers below [`FAR`] in magnitude.
///
/// Outside of [`NEAR`], z and the first product are within a factor of 2 of each other, so that their difference is
/// exact. The numbers that follow are below 2^-53 |z|, and rounded twice.
#[inline(always)]
fn reduced<F: Float64>(z: F) -> (F, DoubleDouble<F>) {
    let far = whole(z * z.splat(PER_CELL));
    let [least, greatest] = NEAR;
    let near = z.where_at_most(greatest, z.splat(0.0), far);
    let cells = (-z).where_at_most(-least, near, far);
    let first = two_product(cells, z.splat(CELL.hi));
    let second = two_product(cells, z.splat(CELL.mid));
    let rest = two_sum(z - first.hi, -first.lo);
    let low = (rest.lo - second.hi) - cells.mul_add(z.splat(CELL.lo), second.lo);
    (cells, fast_two_sum(rest.hi, low))
}

/// The digits of a term, or the sums of those of several, from cell `top` downwards.
#[derive(Clone, Copy)]
pub(crate) struct Digits {
    pub(crate) top: i64,
    pub(crate) digits: [i64; CELLS],
}

/// The cell of e^z, for a finite z.
#[inline(always)]
pub(crate) fn cell(z: f64) -> i64 {
    let place = Place::of(z);
    place.cells + cell_of(place.rest.hi, 0.0) as i64
}

/// The number of terms that are computed at once.
pub(crate) const TERMS: usize = 64;

task! {
    /// The terms weight · e^z of at most [`TERMS`] numbers, with weights of 1 if none are given; for a z of magnitude
    /// [`HUGE`] or more, the weight alone. The result is meaningless for a weight of 0, and where a number or a weight
    /// is not finite.
    pub(crate) fn terms<T: Format>(numbers: &[T], weights: Option<&[T]>, terms: &mut [Digits; TERMS]; simd: V) {
        let (eights, _) = terms.as_chunks_mut();
        for (i, (numbers, terms)) in numbers.chunks(8).zip(eights).enumerate() {
            let [mut z, mut exponents] = [[0.0; 8]; 2];
            let mut significands = [1.0; 8];
            for (place, number) in z.iter_mut().zip(numbers) {
                *place = number.widen();
            }
            if let Some(weights) = weights {
                for (j, weight) in weights[8 * i..].iter().take(numbers.len()).enumerate() {
                    let (significand, exponent) = parts(weight.widen());
                    (significands[j], exponents[j]) = (significand, f64::from(exponent));
                }
                *terms = eight::<true, T, V>(z, significands, exponents, simd);
            } else {
                *terms = eight::<false, T, V>(z, significands, exponents, simd);
            }
        }
    }
}

/// Eight terms significand · 2^exponent · e^z.
#[inline(always)]
fn eight<const IS_WEIGHTED: bool, T: Format, V: Vector>(
    mut z: [f64; 8],
    significands: [f64; 8],
    exponents: [f64; 8],
    simd: V,
) -> [Digits; 8] {
    let mut far = [None; 8];
    let mut has_far = false;
    for j in 0..8 {
        if z[j].abs() >= FAR || z[j].is_nan() {
            far[j] = z[j].is_finite().then(|| Place::of(z[j]));
            (z[j], has_far) = (0.0, true);
        }
    }
    let (cells, mut rest) = reduced(simd.load(&z));
    if has_far {
        let [mut hi, mut lo] = [[0.0; 8]; 2];
        rest.hi.store(&mut hi);
        rest.lo.store(&mut lo);
        for j in 0..8 {
            if let Some(place) = far[j] {
                (hi[j], lo[j]) = (place.rest.hi, place.rest.lo);
            }
        }
        rest = DoubleDouble { hi: simd.load(&hi), lo: simd.load(&lo) };
    }
    let exponents = simd.load(&exponents);
    let above = cell_of(rest.hi, exponents);
    let mut term = exp_of_rest::<T, V>(rest);
    if IS_WEIGHTED {
        let significands = simd.load(&significands);
        let high = two_product(term.hi, significands);
        term = fast_two_sum(high.hi, term.lo.mul_add(significands, high.lo));
    }
    // Either half of the power is within the range.
    let power = above.mul_add(simd.splat(-BITS as f64), exponents);
    let first = whole(power * simd.splat(0.5));
    for half in [first, power - first] {
        let steps = half.mul_add(simd.splat(16.0), simd.splat(ROUNDER));
        term = term.scaled(steps.scaled_entry(&[1.0; 16]));
    }
    let mut digits = [simd.splat(0.0); CELLS];
    add::<T, V>(&mut digits, term, &rounders(0));
    let mut lanes = [[0.0; 8]; CELLS];
    for i in 0..CELLS {
        digits[i].store(&mut lanes[i]);
    }
    let mut tops = [0.0; 8];
    (cells + above).store(&mut tops);
    let mut terms = [Digits { top: 0, digits: [0; CELLS] }; 8];
    for j in 0..8 {
        let mut digits = [0.0; CELLS];
        for i in 0..CELLS {
            digits[i] = lanes[i][j];
        }
        let far = far[j].map_or(0, |place| place.cells);
        terms[j] = Digits { top: tops[j] as i64 + far, digits: as_integers(digits, 0) };
    }
    terms
}

/// The exponential of a double-double: in f64 for formats narrower than that.
#[inline(always)]
pub(crate) fn exp_of_rest<T: Format, F: Float64>(rest: DoubleDouble<F>) -> DoubleDouble<F> {
    if T::First::IS_DOUBLE_DOUBLE {
        T::Finer::exp_of_dd(rest).to_dd()
    } else {
        DoubleDouble::from(exp_f64_full(rest))
    }
}

/// The same for e^z.
#[inline(always)]
fn exp_at_0<T: Format, F: Float64>(z: F) -> DoubleDouble<F> {
    if T::First::IS_DOUBLE_DOUBLE {
        T::Finer::exp_at_0(z).to_dd()
    } else {
        DoubleDouble::from(exp_f64_full_at_0(z))
    }
}

/// From multiples of the units of cells, in units of 2^-SCALE and times 2^power.
#[inline(always)]
fn as_integers(digits: [f64; CELLS], power: i64) -> [i64; CELLS] {
    let mut integers = [0; CELLS];
    for i in 0..CELLS {
        integers[i] = (digits[i] * power_of_two((BITS * i as i64 - SCALE - power) as i32)) as i64;
    }
    integers
}

/// The digits of Σ e^z from cell `top` downwards, in a block of at most 2^12 numbers, none of which has a greater
/// cell or is above [`FAR`]; `None` if one is NaN.
#[inline(always)]
pub(crate) fn summed<T: Format, V: Vector>(block: &[T], top: i64, simd: V) -> Option<[i64; CELLS]> {
    let [least, greatest] = NEAR;
    let floor = (top as f64 - 6.0) * CELL.hi;
    let power = BITS * top;
    let is_near = floor >= least && power >= -1000 && (top + 1) as f64 * CELL.hi <= greatest;
    let power = if is_near { power } else { 0 };
    let rounders = rounders(power);
    let sums = if is_near {
        sums::<true, T, V>(block, top as f64, floor, &rounders, simd)
    } else {
        sums::<false, T, V>(block, top as f64, floor, &rounders, simd)
    };
    // Exact: below 2^52 units.
    let mut totals = [0.0; CELLS];
    for i in 0..CELLS {
        let mut lanes = [0.0; 8];
        sums[i].store(&mut lanes);
        for lane in lanes {
            totals[i] += lane;
        }
    }
    // The first digit of NaN is NaN.
    if totals[0].is_nan() { None } else { Some(as_integers(totals, power)) }
}

/// Terms as for [`term_at`], with the rounders for near numbers made for 2^{40 top}, so that none is scaled.
#[inline(always)]
fn sums<const IS_NEAR: bool, T: Format, V: Vector>(
    block: &[T],
    top: f64,
    floor: f64,
    rounders: &[f64; CELLS],
    simd: V,
) -> [V; CELLS] {
    let mut sums = [simd.splat(0.0); CELLS];
    let (eights, rest) = block.as_chunks::<8>();
    for numbers in eights {
        add::<T, V>(&mut sums, term_at::<IS_NEAR, T, V>(T::load(numbers, simd), top, floor), rounders);
    }
    if !rest.is_empty() {
        add::<T, V>(&mut sums, term_at::<IS_NEAR, T, V>(T::load_up_to(rest, simd), top, floor), rounders);
    }
    sums
}

/// e^z, in units of cell `top` unless z is near; a z below `floor` has no digit in the cells that are kept.
#[inline(always)]
fn term_at<const IS_NEAR: bool, T: Format, F: Float64>(z: F, top: f64, floor: f64) -> DoubleDouble<F> {
    let z = z.splat(floor).max(z);
    if IS_NEAR {
        return exp_at_0::<T, F>(z);
    }
    let (cells, rest) = reduced(z);
    // The root of 2^{40 (cells − top)}, which may be beyond the range.
    let steps = (cells - z.splat(top)).mul_add(z.splat((8 * BITS) as f64), z.splat(ROUNDER));
    let root = steps.scaled_entry(&[1.0; 16]);
    exp_of_rest::<T, F>(rest).scaled(root).scaled(root)
}

/// Adds the [digits](self) of a term. The term is below 2^39 units of the topmost cell, and each digit is below 2^40
/// units of its cell.
///
/// For formats narrower than f64 the second word is ignored.
#[inline(always)]
fn add<T: Format, F: Float64>(sums: &mut [F; CELLS], term: DoubleDouble<F>, rounders: &[f64; CELLS]) {
    let (mut high, mut low) = (term.hi, term.lo);
    for i in 0..CELLS {
        let rounder = high.splat(rounders[i]);
        sums[i] = sums[i] + cut(&mut high, rounder);
        // 2^-53 of the first word, the second has no digit in the topmost cell.
        if T::First::IS_DOUBLE_DOUBLE && i > 0 {
            sums[i] = sums[i] + cut(&mut low, rounder);
        }
    }
}

/// The digit of a cell, which is subtracted from the word.
#[inline(always)]
fn cut<F: Float64>(word: &mut F, rounder: F) -> F {
    let digit = (*word + rounder) - rounder;
    *word = *word - digit;
    digit
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
        let log = wide(z) - wide(2.0).ln() * (high + low) * big(BITS as f64);
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
                3 => power_of_two(30 + (uniform() * 17.0) as i32) * (uniform() - 0.5),
                4 => power_of_two(49 + (uniform() * 13.0) as i32) * (uniform() - 0.5),
                5 => (((uniform() * 80.0).floor() - 40.0) - 0.42) * CELL.hi + 1e-9 * uniform(),
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
            let mut terms = [Digits { top: 0, digits: [0; CELLS] }; TERMS];
            super::terms(&[T::narrow(z)], Some(&[T::narrow(weight)]), &mut terms);
            let Digits { top, digits } = terms[0];
            let exact = exact(z, weight, top);
            let size = exact.log2_est();
            assert!((-4.0..38.0).contains(&size), "{weight:e} e^{z}: 2^{size} units");
            assert!(digits.iter().all(|digit| digit.unsigned_abs() <= 1 << BITS), "{digits:?}");
            let off = (found(digits) - exact.clone()).to_f64().value().abs();
            let cut = power_of_two(-(BITS as i32) * (CELLS as i32 - 1));
            let size = exact.to_f64().value().abs();
            let share = (off - cut) / (size * error_of_terms::<T>(z.abs()));
            assert!(share <= 1.0, "{weight:e} e^{z}: {share} of the error");
            let place = if z.abs() < FAR { &mut worst } else { &mut worst_far };
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
            let mut terms = [Digits { top: 0, digits: [0; CELLS] }; TERMS];
            super::terms(&[z], None, &mut terms);
            assert_eq!(terms[0].top, cell(z));
            for above in 0..6 {
                let found = summed_block(&[z, f64::NEG_INFINITY], cell(z) + above).expect("no NaN");
                let mut expected = [0; CELLS];
                for (place, digit) in expected.iter_mut().skip(above as usize).zip(terms[0].digits) {
                    *place = digit;
                }
                assert_eq!(found, expected, "e^{z}, {above} cells above");
            }
        }
    }

    #[test]
    fn constants_are_those_that_they_should_be() {
        let exact = big(2.0).with_precision(600).value().ln() * big(40.0);
        let words = big(CELL.hi) + big(CELL.mid) + big(CELL.lo);
        assert!((words - exact.clone()).to_f64().value().abs() < power_of_two(-163));
        assert_eq!((big(1.0) / exact).to_f64().value(), PER_CELL);
    }
}
