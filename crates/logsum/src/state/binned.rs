//! The state of a sum whose bits depend on nothing but its terms: their digits are added as integers.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two};
use crate::arithmetic::exp::UNSCALE;
use crate::arithmetic::exp_td::exp_td;
use crate::arithmetic::ln::ln_dd;
use crate::arithmetic::triple_double::TripleDouble;
use crate::formats::Format;
use crate::interrupt::checkpoint;
use crate::kernels::block::maximum;
use crate::kernels::grid::{self, BITS, CELL, CELLS, Digits, HUGE, TERMS, Terms, UNIT, error_of_terms};
use crate::kernels::row_access::{BLOCK, PIECE};
use crate::simd::{Vector, task};

/// Σ b_k e^{z_k}: the sums of the digits of all terms, in the [`CELLS`] cells from that of the greatest term downwards.
///
/// Which cells these are, and which digits a term has there, depends on the terms alone, and integers are added
/// exactly. So the state is the same, bit for bit, in whatever order and parts the terms come. If the magnitude of the
/// greatest number is [`HUGE`] or more, only numbers equal to it have digits, relative to e^max. The state is 128
/// bytes, of which an ordinary term without a weight changes the first 56, in one cache line.
///
/// Additions wrap around: sums of terms never overflow, but a state that was read from bytes may have any sums.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub struct Binned {
    /// The sums of the digits without what is in `high`, that of index i in units of 2^{50 (top − i) − 48}: each term
    /// adds at most 2^50.
    pub(crate) low: [i64; CELLS],
    /// The cell of the greatest term; `i64::MIN` if there is none.
    pub(crate) top: i64,
    /// The bits of the greatest number that is finite; −∞ if there is none.
    pub(crate) max: u64,
    /// How many terms there are, including those that are 0 or infinite.
    pub(crate) count: u64,
    /// Which kinds of terms there are.
    pub(crate) kinds: u64,
    /// The magnitudes of the negative terms in the first two cells.
    pub(crate) negative: [i128; 2],
    /// What was taken out of `low`, in units of 2^[`LOW_BITS`] times those of `low`.
    pub(crate) high: [i64; CELLS],
}

const LOW_BITS: u32 = 60;
const LOW: i128 = (1 << LOW_BITS) - 1;

/// A sum modulo 2^124, as `low` and `high` hold it.
pub(crate) fn wrapped(sum: i128) -> i128 {
    const SPARE: u32 = 128 - (64 + LOW_BITS);
    sum << SPARE >> SPARE
}

/// From this many terms on, nothing is proved: the sum of their digits may have more bits than two f64 have.
const MOST_TERMS: u64 = 1 << 55;

/// Bits of [`Binned::kinds`].
pub(crate) mod kind {
    /// A NaN, as number, weight or product.
    pub(crate) const NAN: u64 = 1;
    /// A term +∞.
    pub(crate) const POSITIVE: u64 = 1 << 1;
    /// A term −∞.
    pub(crate) const NEGATIVE: u64 = 1 << 2;
    /// A number +∞.
    pub(crate) const INFINITE: u64 = 1 << 3;
    /// A term whose number is finite and whose weight is not 0.
    pub(crate) const FINITE: u64 = 1 << 4;
    /// Two such terms.
    pub(crate) const SEVERAL: u64 = 1 << 5;
    /// Two such terms with different numbers.
    pub(crate) const DISTINCT: u64 = 1 << 6;
    /// A weight that is not 1, of such a term.
    pub(crate) const WEIGHTED: u64 = 1 << 7;
    /// A number −∞, unless there are [`DISTINCT`] ones.
    pub(crate) const VANISHING: u64 = 1 << 8;
    /// All of them.
    pub(crate) const ALL: u64 = (1 << 9) - 1;
}

/// The logarithm of the magnitude of a sum, and a bound on its error, which is infinite if nothing is known.
pub(crate) struct Logarithm {
    pub(crate) log: DoubleDouble,
    pub(crate) bound: f64,
}

/// S = `sign` · `magnitude` · 2^{50 top − 48} · e^{anchor}, and a bound on its relative error.
#[derive(Clone, Copy)]
pub(crate) struct Sum {
    pub(crate) magnitude: TripleDouble,
    pub(crate) sign: f64,
    pub(crate) top: i64,
    pub(crate) anchor: f64,
    pub(crate) error: f64,
}

impl Binned {
    pub(crate) const EMPTY: Self = Self {
        low: [0; CELLS],
        top: i64::MIN,
        max: f64::NEG_INFINITY.to_bits(),
        count: 0,
        kinds: 0,
        negative: [0; 2],
        high: [0; CELLS],
    };

    /// The sums of the digits, in units of 2^{50 (top − i) − 48}.
    pub(crate) fn sums(&self) -> [i128; CELLS] {
        let mut sums = [0; CELLS];
        for (sum, (&low, &high)) in sums.iter_mut().zip(self.low.iter().zip(&self.high)) {
            *sum = wrapped((i128::from(high) << LOW_BITS).wrapping_add(i128::from(low)));
        }
        sums
    }

    /// With these sums of digits, which must be [`wrapped`].
    pub(crate) fn with_sums(self, sums: [i128; CELLS]) -> Self {
        Self {
            low: sums.map(|sum| (sum & LOW) as i64),
            high: sums.map(|sum| (sum >> LOW_BITS) as i64),
            ..self
        }
    }

    pub(crate) fn max(&self) -> f64 {
        f64::from_bits(self.max)
    }

    pub(crate) fn has(&self, kind: u64) -> bool {
        self.kinds & kind != 0
    }

    /// Adds the terms e^z.
    pub(crate) fn add<T: Format>(&mut self, numbers: &[T]) {
        /// Up to this many numbers are added one by one.
        const FEW: usize = 4;
        if numbers.len() <= FEW {
            return self.add_terms(numbers, None);
        }
        for piece in numbers.chunks(PIECE) {
            checkpoint();
            add_piece(self, piece);
        }
    }

    /// Adds the terms weight · e^z, or e^z.
    pub(crate) fn add_terms<T: Format>(&mut self, numbers: &[T], weights: Option<&[T]>) {
        terms_of(numbers, weights, |_, term| self.add_term(term));
    }

    /// Adds the term weight · e^z, given with its digits if z and the weight are finite; a weight of 0 adds nothing,
    /// whatever z is.
    #[inline(always)]
    pub(crate) fn add_term(&mut self, term: Term) {
        let Term { z, weight, digits } = term;
        let has_weight = weight != 1.0;
        let usual =
            kind::FINITE | kind::SEVERAL | kind::DISTINCT | if has_weight { kind::WEIGHTED } else { 0 };
        let is_usual = self.kinds & usual == usual
            && z <= self.max()
            && z > -HUGE
            && self.max() < HUGE
            && (!has_weight || (weight != 0.0 && weight.is_finite()));
        if is_usual {
            self.count = self.count.saturating_add(1);
            self.add_digits(&digits, weight < 0.0);
        } else {
            self.add_any_term(term);
        }
    }

    /// [`add_term`](Self::add_term), for terms that change more than the sums.
    #[inline(never)]
    fn add_any_term(&mut self, Term { z, weight, digits }: Term) {
        if weight == 0.0 {
            return;
        }
        self.count = self.count.saturating_add(1);
        if z == f64::INFINITY {
            self.note(kind::INFINITE);
        } else if z.is_finite() {
            self.note_number(z);
            let has_digits = self.rise_to_max(z);
            if weight.is_finite() {
                self.note(if weight == 1.0 { 0 } else { kind::WEIGHTED });
                if has_digits {
                    self.add_digits(&digits, weight < 0.0);
                }
                return;
            }
        }
        let is_vanishing = z == f64::NEG_INFINITY;
        self.note(match () {
            () if z.is_nan() || weight.is_nan() || (is_vanishing && weight.is_infinite()) => kind::NAN,
            () if is_vanishing => kind::VANISHING,
            () if weight > 0.0 => kind::POSITIVE,
            () => kind::NEGATIVE,
        });
    }

    fn note(&mut self, kinds: u64) {
        self.kinds |= kinds;
        if self.has(kind::DISTINCT) {
            self.kinds &= !kind::VANISHING;
        }
    }

    /// Notes a number that is not +∞, before the maximum rises to it.
    fn note_number(&mut self, z: f64) {
        self.note(match () {
            () if z == f64::NEG_INFINITY => kind::VANISHING,
            () if !self.has(kind::FINITE) => kind::FINITE,
            () if z == self.max() => kind::SEVERAL,
            () => kind::SEVERAL | kind::DISTINCT,
        });
    }

    /// Notes numbers up to the first two that differ.
    #[inline(never)]
    fn note_numbers<T: Format>(&mut self, block: &[T]) {
        for z in block.iter().map(|z| z.widen()).filter(|z| !z.is_nan()) {
            if self.has(kind::DISTINCT) {
                return;
            }
            self.note_number(z);
            if z.is_finite() {
                self.rise_to_max(z);
            }
        }
    }

    /// Takes a finite number into account for the maximum. Returns whether its term has digits.
    fn rise_to_max(&mut self, z: f64) -> bool {
        let max = self.max();
        let is_alone = z.abs() >= HUGE || max.abs() >= HUGE;
        if z <= max {
            return !is_alone || z == max;
        }
        if is_alone {
            self.drop_digits();
        }
        // +0 and −0 are one number.
        self.max = (z + 0.0).to_bits();
        true
    }

    fn drop_digits(&mut self) {
        (self.low, self.high, self.negative, self.top) = ([0; CELLS], [0; CELLS], [0; 2], i64::MIN);
    }

    #[inline(always)]
    fn add_digits(&mut self, term: &Digits, is_negative: bool) {
        self.rise_to(term.top);
        let lower = self.top.wrapping_sub(term.top);
        if !(0..CELLS as i64).contains(&lower) {
            return;
        }
        let lower = lower as usize;
        if lower == 0 {
            for i in 0..CELLS {
                self.add_to_cell(i, term.digits[i]);
            }
        } else {
            for i in lower..CELLS {
                self.add_to_cell(i, term.digits[i - lower]);
            }
        }
        if is_negative {
            for i in lower..2 {
                self.negative[i] = self.negative[i].wrapping_sub(i128::from(term.digits[i - lower]));
            }
        }
    }

    /// Adds at most 2^62 units.
    #[inline(always)]
    fn add_to_cell(&mut self, i: usize, digits: i64) {
        match self.low[i].checked_add(digits) {
            Some(sum) => self.low[i] = sum,
            None => {
                self.carry_from_low(i);
                self.low[i] += digits;
            }
        }
    }

    #[cold]
    fn carry_from_low(&mut self, i: usize) {
        self.high[i] = self.high[i].wrapping_add(self.low[i] >> LOW_BITS);
        self.low[i] &= LOW as i64;
    }

    /// Makes `top` the first cell, if it is above the current one.
    #[inline(always)]
    fn rise_to(&mut self, top: i64) {
        if top > self.top {
            self.rise_by(top.saturating_sub(self.top));
            self.top = top;
        }
    }

    fn rise_by(&mut self, cells: i64) {
        let cells = usize::try_from(cells).unwrap_or(CELLS).min(CELLS);
        for sums in [&mut self.low, &mut self.high] {
            sums.copy_within(..CELLS - cells, cells);
            sums[..cells].fill(0);
        }
        let cells = cells.min(2);
        self.negative.copy_within(..2 - cells, cells);
        self.negative[..cells].fill(0);
    }

    /// Adds the terms of another state.
    pub(crate) fn merge(&mut self, other: &Self) {
        if self.has(kind::FINITE) && other.has(kind::FINITE) {
            self.note(if self.max == other.max { kind::SEVERAL } else { kind::SEVERAL | kind::DISTINCT });
        }
        self.note(other.kinds);
        self.count = self.count.saturating_add(other.count);
        if other.max() == f64::NEG_INFINITY || !self.rise_to_max(other.max()) {
            return;
        }
        self.rise_to(other.top);
        let lower = self.top.saturating_sub(other.top).min(CELLS as i64) as usize;
        for i in lower..CELLS {
            let (low, high) = (other.low[i - lower], other.high[i - lower]);
            self.high[i] = self.high[i].wrapping_add(high).wrapping_add(low >> LOW_BITS);
            self.add_to_cell(i, low & LOW as i64);
        }
        for i in lower..2 {
            self.negative[i] = self.negative[i].wrapping_add(other.negative[i - lower]);
        }
    }

    /// The sum of the finite terms, and a bound on its error. The error of the terms is proportional to the sum of
    /// their magnitudes. In addition, each term loses at most one unit of the last cell when it is cut: half a unit for
    /// each of its two words, or the whole term if it is below the last cell.
    pub(crate) fn sum<T: Format>(&self) -> Sum {
        let (sign, [high, low, second, third]) = words(self.sums());
        let magnitude = TripleDouble::sum_of(high, low, second, third).normalised();
        let (count, unit) = (self.count as f64, power_of_two(-BITS as i32));
        let negative = self.negative[0] as f64 + (self.negative[1] as f64 + count) * unit;
        let negative = if self.negative == [0; 2] { 0.0 } else { negative };
        let size = magnitude.hi + 2.0 * negative;
        // Numbers with digits are less than 4096 below the greatest one: weights and cells make up for no more.
        let max = self.max().abs();
        let farthest = if max >= HUGE { HUGE } else { (max + 4096.0).min(HUGE.next_down()) };
        let error =
            error_of_terms::<T>(farthest) * size + count * power_of_two(-BITS as i32 * (CELLS as i32 - 1));
        let error = if self.count < MOST_TERMS { error } else { f64::INFINITY };
        Sum {
            magnitude,
            sign,
            top: self.top,
            anchor: if self.max().abs() >= HUGE { self.max() } else { 0.0 },
            error: error * (1.0 + power_of_two(-40)) / magnitude.hi,
        }
    }
}

/// The term weight · e^z.
#[derive(Clone, Copy)]
pub(crate) struct Term {
    z: f64,
    weight: f64,
    digits: Digits,
}

/// Passes the term weight · e^z of each number, or e^z, to `add`, with its index.
pub(crate) fn terms_of<T: Format>(numbers: &[T], weights: Option<&[T]>, mut add: impl FnMut(usize, Term)) {
    let mut terms = Terms::EMPTY;
    for (i, numbers) in numbers.chunks(TERMS).enumerate() {
        let first = i * TERMS;
        if first.is_multiple_of(PIECE) && numbers.len() == TERMS {
            checkpoint();
        }
        let weights = weights.map(|weights| &weights[first..first + numbers.len()]);
        grid::terms(numbers, weights, &mut terms);
        for (j, z) in numbers.iter().enumerate() {
            let weight = weights.map_or(1.0, |weights| weights[j].widen());
            add(first + j, Term { z: z.widen(), weight, digits: terms.at(j) });
        }
    }
}

/// The sign and the magnitude of Σ sums_i 2^{-50 i}, as a sum of numbers of decreasing size without cancellation.
fn words(mut sums: [i128; CELLS]) -> (f64, [f64; CELLS + 1]) {
    carry(&mut sums);
    let sign = f64::from(sums[0].signum() as i8);
    if sums[0] < 0 {
        for sum in &mut sums {
            *sum = sum.wrapping_neg();
        }
        carry(&mut sums);
    }
    let sign = if sign == 0.0 && sums.iter().any(|&sum| sum > 0) { 1.0 } else { sign };
    const LOW: i128 = (1 << 52) - 1;
    let mut words = [0.0; CELLS + 1];
    // Two words are exact below 2^105, as they are for fewer than MOST_TERMS terms.
    words[0] = (sums[0] & !LOW) as f64;
    words[1] = (sums[0] & LOW) as f64;
    for i in 1..CELLS {
        words[i + 1] = sums[i] as f64 * power_of_two(-(BITS as i32) * i as i32);
    }
    (sign, words)
}

/// Makes all digits but the first nonnegative and less than 2^50.
fn carry(sums: &mut [i128; CELLS]) {
    for i in (1..CELLS).rev() {
        let carried = sums[i] >> BITS;
        sums[i] -= carried << BITS;
        sums[i - 1] = sums[i - 1].wrapping_add(carried);
    }
}

impl PartialEq for Binned {
    /// How sums are split into `low` and `high` makes no difference.
    fn eq(&self, other: &Self) -> bool {
        let fields = |state: &Self| (state.top, state.max, state.count, state.kinds, state.negative);
        self.sums() == other.sums() && fields(self) == fields(other)
    }
}

impl Sum {
    /// Whether the sign is known.
    pub(crate) fn has_sign(&self) -> bool {
        self.error < 1.0
    }

    /// log(|S|/divisor), for a sum that is not 0.
    pub(crate) fn log(&self, divisor: u64) -> Logarithm {
        let (log, bound) = log_of(*self, divisor);
        // |log(1 + x)| ≤ |x|/(1 − |x|).
        let of_sum = self.error / (1.0 - self.error) * (1.0 + power_of_two(-40));
        let bound = if self.error <= 0.5 { of_sum + bound } else { f64::INFINITY };
        Logarithm { log, bound }
    }
}

task! {
    /// log(|S|/n), and a bound on its error.
    ///
    /// With the estimate y, a double-double that is off by less than 2^-60, the logarithm is y + log(1 + δ) with
    /// δ = (|S| e^-y − n)/n. The errors of the triple-doubles are below 2^-116 of n; the last sum adds 3u² of itself.
    fn log_of(sum: Sum, divisor: u64; _: V) -> (DoubleDouble, f64) {
        let n = divisor as f64;
        let n = DoubleDouble { hi: n, lo: (i128::from(divisor) - n as i128) as f64 };
        let [high, low] = [sum.top >> 32 << 32, sum.top & 0xffff_ffff].map(|cells| CELL.by(cells as f64));
        let unit = TripleDouble::LN_2.by(UNIT as f64);
        let anchor = TripleDouble { hi: sum.anchor, ..TripleDouble::ZERO };
        let offset = high.plus(low).plus(unit).plus(anchor).normalised();
        let estimate = offset.to_dd() + (ln_dd(sum.magnitude.to_dd()).0 - ln_dd(n).0);
        let power = exp_td(offset.plus(-TripleDouble::from(estimate)).normalised()).scaled(UNSCALE);
        let rest = (sum.magnitude * power).plus(-TripleDouble::from(n)).normalised();
        let delta = rest.to_dd() / n;
        let log = estimate + (delta + -0.5 * delta.hi * delta.hi);
        (log, power_of_two(-115) + power_of_two(-102) * log.hi.abs())
    }
}

task! {
    fn add_piece<T: Format>(state: &mut Binned, piece: &[T]; simd: V) {
        for block in piece.chunks(BLOCK) {
            add_block(state, block, simd);
        }
    }
}

#[inline(always)]
fn add_block<T: Format, V: Vector>(state: &mut Binned, block: &[T], simd: V) {
    let max = maximum(block, simd);
    if !(is_ordinary(max) && is_ordinary(state.max()) && add_ordinary(state, block, max, simd)) {
        state.add_terms(block, None);
    }
}

/// Whether a maximum allows adding a block as a whole.
fn is_ordinary(max: f64) -> bool {
    max.abs() < power_of_two(31) || max == f64::NEG_INFINITY
}

/// Adds a block; false, with nothing added, if it has a NaN.
#[inline(always)]
fn add_ordinary<T: Format, V: Vector>(state: &mut Binned, block: &[T], max: f64, simd: V) -> bool {
    let mut next = *state;
    next.count = next.count.saturating_add(block.len() as u64);
    if !next.has(kind::DISTINCT) {
        next.note_numbers(block);
    }
    if max == f64::NEG_INFINITY {
        if block.iter().any(|z| z.widen().is_nan()) {
            return false;
        }
    } else {
        next.rise_to_max(max);
        next.rise_to(grid::cell(max));
        let Some(digits) = grid::summed(block, next.top, simd) else { return false };
        next.add_digits(&Digits { top: next.top, digits }, false);
    }
    *state = next;
    true
}
