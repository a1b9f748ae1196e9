//! The state of a log-sum-exp over part of its numbers, and the merge of two states.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two};
use crate::arithmetic::exp::{self, UNSCALE};
use crate::arithmetic::log_of_sum::{
    SLACK, error_of_rest, error_of_share, estimate, log_of_tail, rest, scaled_log_of_tail, share_of_tail,
    term_of_max,
};
use crate::arithmetic::precision::Number;
use crate::formats::Format;
use crate::formats::nearest::settled;
use crate::interrupt::checkpoint;
use crate::kernels::block::{self, Store, Summed};
use crate::kernels::columns::{self, LANES};
use crate::kernels::row_access::{BLOCK, PIECE, Series};
use crate::kernels::{Constants, Each, Factor, Scaled};
use crate::simd::{Keep, task};
use crate::threads::{grain, in_tree};
use std::marker::PhantomData;
use std::ops::Range;

/// Σ e^{z_k} over some of the numbers, as e^max + e^shift · tail.
///
/// One element that equals the maximum is kept apart from the sum of all others, so that LSE = max + log(1 + t), t
/// = e^{shift − max} · tail, keeps the *relative* accuracy of a tiny t: the log-sum-exp of [0, −40] is e^-40, not
/// 0.
///
/// The shift follows the maximum only in jumps of more than [`REACH`]. If it followed each new maximum, the sum of
/// an ascending row would be multiplied by one more rounded factor per block; instead, a jump shrinks the sum
/// before it by e^-64, together with its error.
///
/// `max` alone decides the special cases: it is NaN if there is a NaN, else +∞ if there is a +∞, and −∞ if there is
/// nothing else; the tail is meaningless then.
#[derive(Debug)]
pub(crate) struct Partial<P> {
    pub(crate) max: f64,
    shift: f64,
    /// In units of UNSCALE.
    tail: DoubleDouble,
    /// Bounds the error of the tail, in the same units.
    error: f64,
    precision: PhantomData<fn() -> P>,
}

/// How far the maximum may rise above the shift.
const REACH: f64 = 64.0;

/// Bounds the relative error of the double-double steps of a merge: two additions and a product, 3u² + 3u² + 5u².
const MERGE_ERROR: f64 = 1e-30; // > 2^-100

// Derived implementations would require Clone and Copy of P.
impl<P> Clone for Partial<P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Partial<P> {}

impl<P: Keep> Partial<P> {
    /// The state without numbers, whose sum is e^−∞ = 0.
    pub(crate) const EMPTY: Self = Self {
        max: f64::NEG_INFINITY,
        shift: f64::NEG_INFINITY,
        tail: DoubleDouble::ZERO,
        error: 0.0,
        precision: PhantomData,
    };

    /// The state of numbers that are all 0.
    pub(crate) fn of_equal_numbers(count: usize) -> Self {
        let tail = DoubleDouble::from((count - 1) as f64 / UNSCALE);
        Self { max: 0.0, shift: 0.0, tail, ..Self::EMPTY }
    }

    /// The state of a piece of at most [`PIECE`] numbers.
    pub(crate) fn of<T: Format>(piece: &[T]) -> Self {
        checkpoint();
        of_piece(piece).unwrap_or_else(|| Self::of_each_block(piece))
    }

    /// The state of a piece in which too few terms are near some maximum, block by block.
    #[cold]
    fn of_each_block<T: Format>(piece: &[T]) -> Self {
        piece.chunks(BLOCK).fold(Self::EMPTY, |all, block| all.merge(of_block(block)))
    }

    /// The state of a whole row. Pieces are merged in a binary tree, with or without threads.
    pub(crate) fn over<T: Format>(row: &dyn Series<T>) -> Self {
        if let Some(numbers) = row.contiguous() {
            let piece = |range: Range<usize>, (), (): &mut ()| Self::of(&numbers[range]);
            return in_tree(0..numbers.len(), (), PIECE, grain(numbers.len()), &mut (), &piece, &Self::merge);
        }
        let mut merged = Merged::<P, 1>::EMPTY;
        row.pieces(&mut |piece| merged.push([Self::of(piece)]));
        merged.all_with([Self::EMPTY])[0]
    }

    /// The state of the numbers of both. Associative and commutative within the error bounds;
    /// [`EMPTY`](Self::EMPTY) is its exact identity.
    pub(crate) fn merge(self, other: Self) -> Self {
        if self.max == f64::NEG_INFINITY {
            return other;
        }
        merge(self, other)
    }

    #[inline(always)]
    fn merged(self, other: Self) -> Self {
        let max = match () {
            () if self.max.is_nan() => self.max,
            () if other.max.is_nan() => other.max,
            () => self.max.max(other.max),
        };
        if self.max == f64::NEG_INFINITY {
            return other;
        }
        if other.max == f64::NEG_INFINITY {
            return self;
        }
        if !max.is_finite() {
            return Self { max, ..Self::EMPTY };
        }
        // If the maximum is out of reach of this shift, it is within reach of the other one, which then is
        // greater.
        let shift = if max <= self.shift + REACH { self.shift } else { other.shift };
        let (mine, theirs) = (self.shifted(shift), other.shifted(shift));
        let second = P::exp(self.max.min(other.max), shift).to_dd();
        let tail = mine.tail + theirs.tail + second;
        let error = mine.error + theirs.error + P::EXP_ERROR * second.hi + MERGE_ERROR * tail.hi;
        Self { max, shift, tail, error, precision: PhantomData }
    }

    #[inline(always)]
    fn shifted(self, shift: f64) -> Self {
        if self.shift == shift {
            return self;
        }
        // Each factor is multiplied by the square root of UNSCALE: either may be tiny, but no part of a t that matters
        // is subnormal.
        const ROOT: f64 = power_of_two(-256);
        let factor = P::factor(self.shift, shift).scaled(ROOT);
        let tail = self.tail.scaled(ROOT) * factor;
        let error = self.error * ROOT * factor.hi + P::FACTOR_ERROR * tail.hi;
        Self { shift, tail, error, ..self }
    }

    /// The state with the maximum as its shift, so that its tail is t. For a finite maximum.
    #[inline(always)]
    fn scaled_tail(&self) -> Self {
        self.shifted(self.max)
    }

    /// The state of some numbers, given the sum of all; `None` if subtracting e^max leaves too little.
    #[inline(always)]
    fn from_sum(Summed { max, shift, sum }: Summed) -> Option<Self> {
        if !max.is_finite() || sum.hi.is_nan() {
            return Some(Self { max: max + sum.hi, ..Self::EMPTY });
        }
        // The sum contains the term of the maximum with exactly these bits.
        let of_max = term_of_max::<P>(max, shift);
        let (tail, error) = rest::<P, f64>(sum, of_max);
        let is_enough = tail.hi >= P::LEAST_REST * of_max.hi;
        is_enough.then_some(Self { max, shift, tail, error, precision: PhantomData })
    }

    /// The state of a block with this finite maximum, given the sum of its other numbers.
    #[inline(always)]
    fn from_rest(max: f64, Summed { max: second, shift, sum }: Summed) -> Self {
        let alone = Self { max, shift: max, ..Self::EMPTY };
        if second == f64::NEG_INFINITY {
            return alone;
        }
        // Unscale the sum, which is about 1, before the product: the factor may be tiny.
        let tail = sum.scaled(UNSCALE) * P::factor(shift, max);
        Self { tail, error: error_of_rest::<P>(tail.hi), ..alone }
    }

    /// Whether the correctly rounded value is the maximum, because t < 2^-1076.
    ///
    /// Then 0 ≤ LSE − max < 2^-1076, while half of the least distance between two floats is 2^-1075. Terms that
    /// counted as e^-1000 do not matter: 2^64 of them are below 2^-1193. A row with a single finite number has t = 0;
    /// by the Lindemann–Weierstrass theorem the value is rational only for such rows.
    pub(crate) fn is_its_maximum(&self) -> bool {
        self.shift == self.max && self.tail.hi < exp::NOTHING
    }

    /// t = Σ e^{z_k − max} − 1 in units of UNSCALE, and a bound on its error. For a finite maximum.
    pub(crate) fn tail_of_maximum(&self) -> (DoubleDouble, f64) {
        tail_of_maximum(*self)
    }

    /// LSE as a double-double, and a bound on its error. For a finite maximum.
    pub(crate) fn estimate(&self) -> (DoubleDouble, f64) {
        estimate_of(*self)
    }

    /// log(1 + t). For a finite maximum.
    pub(crate) fn scaled_log(&self) -> Scaled {
        scaled_log_of(*self)
    }

    /// t/(1 + t), the share of all but one number that equals the maximum. For a finite maximum.
    pub(crate) fn scaled_rest(&self) -> Scaled {
        scaled_rest_of(*self)
    }

    /// The quantities from which shares and their logarithms are computed. For a finite maximum.
    pub(crate) fn parts(&self) -> Parts {
        parts_of(*self)
    }

    /// The constants of [`Each`] for a row. For a finite maximum.
    pub(crate) fn constants(&self, each: Each) -> Constants {
        constants_of(*self, each)
    }
}

/// The state of a piece while its blocks are added. Consecutive sums with the same shift are added before they
/// become a [`Partial`].
struct Piece<P> {
    done: Partial<P>,
    open: Option<Summed>,
    /// Whether subtracting the term of some maximum left too little.
    has_failed: bool,
}

impl<P: Keep> Piece<P> {
    const EMPTY: Self = Self { done: Partial::EMPTY, open: None, has_failed: false };

    #[inline(always)]
    fn push(&mut self, block: Summed) {
        match &mut self.open {
            Some(open) if open.shift == block.shift && block.max.is_finite() => {
                open.sum = open.sum + block.sum;
                open.max = open.max.max(block.max);
            }
            _ => {
                self.close();
                self.open = Some(block);
            }
        }
    }

    #[inline(always)]
    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            match Partial::from_sum(open) {
                Some(partial) => self.done = self.done.merged(partial),
                None => self.has_failed = true,
            }
        }
    }
}

/// Pieces of N rows, merged in a binary tree as they come.
struct Merged<P, const N: usize> {
    /// One subtree of 2^k pieces for each bit k set in `pieces`, largest first.
    parts: Vec<[Partial<P>; N]>,
    pieces: u64,
}

impl<P: Keep, const N: usize> Merged<P, N> {
    const EMPTY: Self = Self { parts: Vec::new(), pieces: 0 };

    fn push(&mut self, mut piece: [Partial<P>; N]) {
        for _ in 0..self.pieces.trailing_ones() {
            piece = self.with_last(piece);
        }
        self.parts.push(piece);
        self.pieces += 1;
    }

    /// Merges all subtrees and one more piece.
    fn all_with(&mut self, mut last: [Partial<P>; N]) -> [Partial<P>; N] {
        while !self.parts.is_empty() {
            last = self.with_last(last);
        }
        last
    }

    fn with_last(&mut self, right: [Partial<P>; N]) -> [Partial<P>; N] {
        let left = self.parts.pop().unwrap_or([Partial::EMPTY; N]);
        std::array::from_fn(|j| left[j].merge(right[j]))
    }
}

/// States of eight rows while their blocks are added, all eight at a time.
pub(crate) struct Pieces<P> {
    rows: [Piece<P>; LANES],
    blocks: usize,
    merged: Merged<P, LANES>,
}

impl<P: Keep> Pieces<P> {
    pub(crate) const EMPTY: Self =
        Self { rows: [const { Piece::EMPTY }; LANES], blocks: 0, merged: Merged::EMPTY };

    /// Adds a block of at most [`BLOCK`] numbers per row; only the last block may be shorter.
    pub(crate) fn push<T: Format>(&mut self, tile: &[T]) {
        push(self, tile);
    }

    /// Adds a block as [`push`](Self::push) does, given its sums.
    pub(crate) fn push_summed(&mut self, blocks: [Summed; LANES]) {
        push_summed(self, blocks);
    }

    #[inline(always)]
    fn push_blocks(&mut self, blocks: [Summed; LANES]) {
        if self.blocks == PIECE / BLOCK {
            let piece = self.end_piece();
            self.merged.push(piece);
        }
        self.blocks += 1;
        for (row, block) in self.rows.iter_mut().zip(blocks) {
            row.has_failed |= !block.max.is_finite();
            row.push(block);
        }
    }

    /// The states of the first `count` rows. Rows that cannot be processed eight at a time are computed by
    /// `alone`.
    pub(crate) fn close(&mut self, alone: impl Fn(usize) -> Partial<P>, count: usize) -> [Partial<P>; LANES] {
        let last = end_piece(self);
        let mut partials = self.merged.all_with(last);
        for (j, partial) in partials[..count].iter_mut().enumerate() {
            if self.rows[j].has_failed {
                *partial = alone(j);
            }
        }
        partials
    }

    #[inline(always)]
    fn end_piece(&mut self) -> [Partial<P>; LANES] {
        self.blocks = 0;
        let mut done = [Partial::EMPTY; LANES];
        for (row, done) in self.rows.iter_mut().zip(&mut done) {
            row.close();
            *done = std::mem::replace(&mut row.done, Partial::EMPTY);
        }
        done
    }
}

task! {
    fn push<T: Format, P: Keep>(pieces: &mut Pieces<P>, tile: &[T]; simd: V) {
        pieces.push_blocks(columns::summed::<P, T, V>(tile, simd));
    }
}

task! {
    fn push_summed<P: Keep>(pieces: &mut Pieces<P>, blocks: [Summed; LANES]; _: V) {
        pieces.push_blocks(blocks);
    }
}

task! {
    fn end_piece<P: Keep>(pieces: &mut Pieces<P>; _: V) -> [Partial<P>; LANES] {
        pieces.end_piece()
    }
}

task! {
    /// `None` if subtracting the term of some maximum left too little.
    fn of_piece<T: Format, P: Keep>(numbers: &[T]; simd: V) -> Option<Partial<P>> {
        let mut piece = Piece::EMPTY;
        for block in numbers.chunks(BLOCK) {
            piece.push(block::summed::<P, T, V>(block, simd));
        }
        piece.close();
        (!piece.has_failed).then_some(piece.done)
    }
}

task! {
    /// The state of a block. If subtracting the maximum's term from the sum leaves too little, the other numbers are
    /// summed without it.
    fn of_block<T: Format, P: Keep>(block: &[T]; simd: V) -> Partial<P> {
        let (mut room, mut max) = ([T::NEG_INFINITY; BLOCK], None);
        let mut numbers = block;
        loop {
            let summed = block::summed::<P, T, V>(numbers, simd);
            if let Some(max) = max {
                return Partial::from_rest(max, summed);
            }
            if let Some(partial) = Partial::from_sum(summed) {
                return partial;
            }
            // Once more, without the first occurrence of the maximum.
            max = Some(summed.max);
            let rest = &mut room[..block.len()];
            rest.copy_from_slice(block);
            if let Some(first) = rest.iter_mut().find(|z| z.widen() == summed.max) {
                *first = T::NEG_INFINITY;
            }
            numbers = rest;
        }
    }
}

task! {
    fn merge<P: Keep>(left: Partial<P>, right: Partial<P>; _: V) -> Partial<P> {
        left.merged(right)
    }
}

task! {
    fn tail_of_maximum<P: Keep>(partial: Partial<P>; _: V) -> (DoubleDouble, f64) {
        let Partial { tail, error, .. } = partial.scaled_tail();
        (tail, error * SLACK)
    }
}

task! {
    fn estimate_of<P: Keep>(partial: Partial<P>; _: V) -> (DoubleDouble, f64) {
        let Partial { max, tail, error, .. } = partial.scaled_tail();
        estimate::<P, f64>(max, tail, error)
    }
}

task! {
    fn scaled_log_of<P: Keep>(partial: Partial<P>; _: V) -> Scaled {
        let Partial { tail, error, .. } = partial.scaled_tail();
        let (value, error) = scaled_log_of_tail::<P, f64>(tail, error);
        Scaled { value, error }
    }
}

task! {
    fn scaled_rest_of<P: Keep>(partial: Partial<P>; _: V) -> Scaled {
        let Partial { tail, error, .. } = partial.scaled_tail();
        let (value, error) = share_of_tail(tail, error);
        Scaled { value, error }
    }
}

/// A scratch buffer of exponentials, from which shares are computed.
pub(crate) type Kept<T> = Vec<<<T as Format>::Elements as Keep>::Kept>;

/// The state of a row whose shares are written.
pub(crate) struct Shared<T: Format> {
    pub(crate) partial: Partial<T::Elements>,
    /// Whether all shares are certain to be correctly rounded.
    pub(crate) is_settled: bool,
}

/// The state of a row of at most [`PIECE`] numbers, and its shares in `out`, with one exponential per number.
/// `None`, with nothing written, if this is not possible.
pub(crate) fn with_shares<T: Format>(
    row: &[T],
    factor: Factor,
    out: &mut [T],
    kept: &mut Kept<T>,
    to: Store,
) -> Option<Shared<T>> {
    // Whole steps of sixteen numbers, each stored as two eights.
    kept.resize(kept.len().max(2 * row.len().div_ceil(16)), Default::default());
    kept_and_shared(row, factor, out, kept, to)
}

task! {
    fn kept_and_shared<T: Format>(
        row: &[T],
        factor: Factor,
        out: &mut [T],
        kept: &mut [<T::Elements as Keep>::Kept],
        to: Store;
        simd: V
    ) -> Option<Shared<T>> {
        let mut piece = Piece::<T::Elements>::EMPTY;
        for (block, kept) in row.chunks(BLOCK).zip(kept.chunks_mut(BLOCK / 8)) {
            let block = block::summed_and_kept::<T::Elements, T, V>(block, kept, simd)?;
            // All stored exponentials must have the same shift.
            if piece.open.is_some_and(|open| open.shift != block.shift) {
                return None;
            }
            piece.push(block);
        }
        piece.close();
        let partial = piece.done;
        if piece.has_failed || !partial.max.is_finite() {
            return None;
        }
        let Constants { two: inverse, error, .. } = constants(&partial, Each::Share);
        let error = error + factor.error;
        let is_settled = !block::shares_of_kept(kept, inverse * factor.factor, error, out, to, simd);
        Some(Shared { partial, is_settled })
    }
}

/// Quantities derived from Σ e^{z_k − shift} = e^{max − shift} (1 + t), with the bounds of [`Partial::constants`].
#[derive(Clone, Copy)]
pub(crate) struct Parts {
    pub(crate) shift: f64,
    /// 1 / Σ e^{z_k − shift}.
    pub(crate) inverse: DoubleDouble,
    /// log(1 + t).
    pub(crate) log: DoubleDouble,
    /// t/(1 + t): the share of all but one number that equals the maximum.
    pub(crate) rest: DoubleDouble,
}

impl Parts {
    /// For a sum whose shift is the maximum.
    pub(crate) fn at_maximum<P: Keep>(tail: DoubleDouble) -> Self {
        Partial::<P> { max: 0.0, shift: 0.0, tail, error: 0.0, precision: PhantomData }.parts()
    }
}

task! {
    fn parts_of<P: Keep>(partial: Partial<P>; _: V) -> Parts {
        let Constants { c: shift, two: inverse, .. } = constants(&partial, Each::Share);
        let t = partial.scaled_tail().tail.scaled(UNSCALE);
        Parts { shift, inverse, log: P::log1p(t).0, rest: (t / (t + 1.0)) }
    }
}

task! {
    fn constants_of<P: Keep>(partial: Partial<P>, each: Each; _: V) -> Constants {
        constants(&partial, each)
    }
}

#[inline(always)]
fn constants<P: Keep>(partial: &Partial<P>, each: Each) -> Constants {
    match each {
        Each::Share => {
            let Partial { max, shift, tail, error, .. } = *partial;
            let of_max = term_of_max::<P>(max, shift);
            let sum = tail + of_max;
            let of_sum = if shift == max { error } else { error + P::EXP_ERROR * of_max.hi };
            let two = DoubleDouble::from(1.0) / sum.scaled(UNSCALE);
            Constants { c: shift, two, error: error_of_share::<P, f64>(sum.hi, of_sum) }
        }
        Each::LogShare => {
            let Partial { max, tail, error, .. } = partial.scaled_tail();
            let (two, error) = log_of_tail::<P, f64>(tail, error);
            Constants { c: max, two, error }
        }
    }
}

task! {
    /// The log-sum-exps of eight series; `None` where this precision does not settle them.
    pub(crate) fn settle<T: Format, P: Keep>(series: &[Partial<P>; LANES]; simd: V) -> [Option<T>; LANES] {
        let [mut max, mut hi, mut lo, mut error] = [[0.0; LANES]; 4];
        for (j, row) in series.iter().enumerate() {
            let Partial { max: m, tail, error: e, .. } = row.scaled_tail();
            (max[j], hi[j], lo[j], error[j]) = (m, tail.hi, tail.lo, e);
        }
        let tail = DoubleDouble { hi: simd.load(&hi), lo: simd.load(&lo) };
        let (value, bound) = estimate::<P, V>(simd.load(&max), tail, simd.load(&error));
        let (lows, is_settled) = settled::<T, V>(value, bound);
        let mut values = [None; LANES];
        for j in 0..LANES {
            values[j] = if max[j].is_finite() && is_settled[j] { Some(lows[j]) } else { None };
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arithmetic::precision::{FineDoubleDouble, FineF64, FinerDoubleDouble, InDoubleDouble, InF64};
    use crate::reference::{Big, big, big_dd, uniform};

    /// Rows whose maximum rises, falls, jumps beyond reach, or repeats.
    fn rows() -> Vec<Vec<f64>> {
        let mut uniform = uniform(3);
        let mut row = |length: usize, spread: f64, slope: f64| -> Vec<f64> {
            (0..length).map(|i| spread * uniform() + slope * i as f64).collect()
        };
        vec![
            row(1, 1.0, 0.0),
            row(2, 1e-9, 0.0),
            row(7, 700.0, 0.0),
            row(100, 3.0, 1.0),
            row(100, 3.0, -1.0),
            row(64, 1.0, 65.0),
            row(64, 1.0, 1001.0),
            row(64, 1.0, -1001.0),
            row(2500, 1.0, 0.0),
            row(2500, 10.0, 0.1),
            row(2500, 0.0, 0.0),
            vec![f64::NEG_INFINITY, 3.0, f64::NEG_INFINITY],
            vec![f64::MAX, f64::MIN, 1e300, f64::MAX],
            vec![0.0, -750.0, -1e-300],
        ]
    }

    /// 1 + t = Σ e^{z − max}, to sufficient precision.
    fn exact(row: &[f64]) -> Big {
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let near = row.iter().filter(|&&z| z - max > -1200.0);
        near.fold(big(0.0), |sum, &z| sum + (big(z) - big(max)).exp())
    }

    /// Asserts that the state of `row` has an error within its own bound, and that the bound is not loose.
    fn check<P: Keep>(partial: Partial<P>, row: &[f64]) {
        assert_eq!(partial.max, row.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        let Partial { tail, error, .. } = partial.scaled_tail();
        let (found, exact) = (big_dd(tail) * big(UNSCALE), exact(row) - big(1.0));
        let off = (found - exact.clone()).to_f64().value().abs();
        let exact = exact.to_f64().value();
        let error = error * UNSCALE * SLACK + power_of_two(-1000);
        assert!(off <= error, "{} numbers: off by {off:e} of {exact:e}, bound {error:e}", row.len());
        let least = P::EXP_ERROR.max(P::FACTOR_ERROR) * exact + P::SUM_ERROR * (1.0 + exact);
        assert!(
            error <= 6.0 * least + power_of_two(-999),
            "{error:e} is a loose bound: one term and up to four shifts have {least:e} each"
        );
    }

    fn merged<P: Keep>(row: &[f64], block: usize) -> Partial<P> {
        row.chunks(block).fold(Partial::EMPTY, |all, block| all.merge(Partial::of(block)))
    }

    #[test]
    fn merging_keeps_the_bound_whatever_the_blocks() {
        for row in rows() {
            for block in [1, 2, 3, 16, 100, 1024] {
                check(merged::<InF64>(&row, block), &row);
                check(merged::<InDoubleDouble>(&row, block), &row);
            }
        }
    }

    #[test]
    fn merge_is_associative_and_commutative_within_its_bound() {
        let rows = rows();
        for a in &rows {
            for b in &rows {
                for c in &rows {
                    if a.len() + b.len() + c.len() > 300 {
                        continue;
                    }
                    let all = [&a[..], b, c].concat();
                    let [a, b, c] = [a, b, c].map(|row| Partial::<InDoubleDouble>::over(row));
                    check(a.merge(b).merge(c), &all);
                    check(a.merge(b.merge(c)), &all);
                    check(c.merge(b).merge(a), &all);
                }
            }
        }
    }

    /// Shares and log(1 + t) are within the bounds of the constants of their rows, and these are not loose.
    fn check_constants<P: Keep>(row: &[f64]) {
        let partial = Partial::<P>::over(&row);
        let exact = exact(row);
        let Constants { c, two, error } = partial.constants(Each::Share);
        for &z in row.iter().filter(|&&z| z - partial.max > -100.0) {
            let found = big_dd(P::exp(z, c).to_dd() * two) * big(UNSCALE);
            let share = (big(z) - big(partial.max)).exp() / exact.clone();
            let off = (found / share - big(1.0)).to_f64().value().abs();
            assert!(off <= error, "{z} of {row:?}: off by {off:e}, bound {error:e}");
        }
        let rounding = power_of_two(if P::IS_DOUBLE_DOUBLE { -100 } else { -49 });
        assert!(error <= 2.1 * (P::EXP_ERROR + P::SUM_ERROR) + rounding + 16.0 * P::FACTOR_ERROR);
        let Constants { two, error, .. } = partial.constants(Each::LogShare);
        let off = (big_dd(two) - exact.ln()).to_f64().value().abs();
        assert!(off <= error + power_of_two(-1070), "log of {row:?}: off by {off:e}, bound {error:e}");
    }

    #[test]
    fn constants_keep_their_bounds() {
        for row in rows() {
            check_constants::<FineF64>(&row);
            check_constants::<FineDoubleDouble>(&row);
            check_constants::<FinerDoubleDouble>(&row);
        }
    }

    /// States that are shifted again and again, by amounts chosen because the factor's exponential has a large error.
    #[test]
    fn shifting_keeps_the_bound() {
        let mut uniform = uniform(5);
        let error = |d: f64| {
            let factor = big_dd(exp::exp_dd(-d, 0.0)) * big(UNSCALE);
            (factor / big(-d).exp() - big(1.0)).to_f64().value()
        };
        let steps: Vec<f64> = (0..2000).map(|_| 1.0 + (40.0 * uniform() * 1024.0).floor() / 1024.0).collect();
        for sign in [-1.0, 1.0] {
            let worst =
                steps.iter().copied().max_by(|&a, &b| (sign * error(a)).total_cmp(&(sign * error(b))));
            let d = worst.expect("there are steps");
            let mut partial = Partial::<InDoubleDouble>::of(&[0.0, 0.0, 0.0]);
            for k in 1..=20 {
                partial = partial.shifted(f64::from(k) * d);
            }
            let exact = big(-20.0 * d).exp() * big(2.0);
            let off = (big_dd(partial.tail) * big(UNSCALE) / exact.clone() - big(1.0)).to_f64().value().abs();
            let bound = partial.error * SLACK / partial.tail.hi;
            assert!(off <= bound, "20 times {d}: off by {off:e}, bound {bound:e}");
            assert!(off > bound / 4.0, "the steps are no attack: {off:e} of {bound:e}");
        }
    }

    #[test]
    fn empty_is_the_identity() {
        for row in rows() {
            let partial = Partial::<InDoubleDouble>::over(&row);
            for merged in [partial.merge(Partial::EMPTY), Partial::EMPTY.merge(partial)] {
                assert_eq!(
                    (merged.max, merged.shift, merged.tail),
                    (partial.max, partial.shift, partial.tail)
                );
            }
        }
    }

    #[test]
    fn edges_absorb() {
        let of = |z: f64| Partial::<InF64>::of(&[z]);
        let [nan, infinite, finite, nothing] = [f64::NAN, f64::INFINITY, 1.0, f64::NEG_INFINITY].map(of);
        for other in [nan, infinite, finite, nothing] {
            assert!(nan.merge(other).max.is_nan() && other.merge(nan).max.is_nan());
        }
        for other in [infinite, finite, nothing] {
            assert_eq!(
                (infinite.merge(other).max, other.merge(infinite).max),
                (f64::INFINITY, f64::INFINITY)
            );
        }
        assert_eq!(nothing.merge(nothing).max, f64::NEG_INFINITY);
    }

    #[test]
    fn estimate_keeps_its_bound() {
        for row in rows() {
            let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let exact = big(max).with_precision(3000).value() + exact(&row).ln();
            for (estimate, bound) in
                [Partial::<InF64>::over(&row).estimate(), Partial::<InDoubleDouble>::over(&row).estimate()]
            {
                let off = (big_dd(estimate) - exact.clone()).to_f64().value().abs();
                assert!(off <= bound, "{} numbers: off by {off:e}, bound {bound:e}", row.len());
            }
        }
    }
}
