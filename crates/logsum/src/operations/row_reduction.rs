//! Log-sum-exp, softmax and log-softmax, of a single row and of many rows of equal length.

use crate::edges::Edge;
use crate::error::Error;
use crate::formats::Format;
use crate::interrupt::checkpoint;
use crate::kernels::block::{LONG, Store};
use crate::kernels::row_access::{BLOCK, Series, SeriesMut};
use crate::kernels::row_functions::{
    About, Block, BoundedLogSoftmax, BoundedSoftmax, each_bounded, for_exponent, settle,
};
use crate::kernels::{Constants, Each, Factor};
use crate::operations::batch::Wanted;
use crate::operations::per_format::{Float, compiled};
use crate::state::positive::{self, Kept, Partial};
use crate::threads::{in_parts, worth};
use crate::ziv::elements::Elements;
use crate::ziv::{self, Phase};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// log Σ e^{z_k}, correctly rounded.
///
/// The result is the float nearest to the exact log-sum-exp of the given numbers, ties to even, for every length
/// and all finite inputs, however large, close together or nearly cancelling. It does not depend on the order of
/// the numbers.
///
/// | input | value |
/// |---|---|
/// | empty, or all −∞ | −∞ |
/// | some −∞ | they add nothing |
/// | a +∞, and no NaN | +∞ |
/// | a NaN | NaN |
///
/// See also [`logsumexp_with_gradient`], [`logsumexp_rows`] for many rows, [`logmeanexp`](crate::logmeanexp),
/// [`Terms`](crate::Terms) for weights and masks, [`Accumulator`](crate::Accumulator) for sums that arrive in pieces.
///
/// ```
/// use logsum::logsumexp;
/// assert_eq!(logsumexp(&[1000.0, 1000.0]), 1000.6931471805599); // the naive formula: ∞
/// assert_eq!(logsumexp(&[0.0, -40.0]), 4.248354255291589e-18); // 1 + e^-40 in f64: 1
/// assert_eq!(logsumexp(&[0.3f64.ln(), 0.7f64.ln()]), -8.569561064103279e-17);
/// assert_eq!(logsumexp::<f32>(&[]), f32::NEG_INFINITY);
/// ```
#[doc(alias("lse", "log_sum_exp"))]
#[must_use]
pub fn logsumexp<T: Float>(z: &[T]) -> T {
    <T as Compiled<T>>::logsumexp(z)
}

/// [`logsumexp`], and the phase of Ziv's strategy that settled it.
#[doc(hidden)]
#[must_use]
pub fn logsumexp_and_phase<T: Float>(z: &[T]) -> (T, Phase) {
    <T as Compiled<T>>::logsumexp_and_phase(z)
}

/// Returns the value of [`logsumexp`] and writes its derivatives ∂LSE/∂z_i = e^{z_i} / Σ e^{z_k} = softmax(z)_i
/// into `gradient`.
///
/// Each derivative is correctly rounded, even if it is subnormal. So it does not depend on the order of the numbers,
/// and equal numbers have equal derivatives. Their sum is 1 up to the rounding error of each.
///
/// | input | gradient |
/// |---|---|
/// | −∞ and finite numbers | 0 at each −∞ |
/// | all −∞ | 0 everywhere |
/// | +∞ in c places, and no NaN | 1/c at each +∞, 0 elsewhere |
/// | a NaN | NaN everywhere |
///
/// See also [`softmax`], [`logsumexp_rows_with_gradient`], [`logsumexp_jvp`](crate::logsumexp_jvp),
/// [`logsumexp_hvp`](crate::logsumexp_hvp).
///
/// ```
/// use logsum::logsumexp_with_gradient;
/// let mut gradient = [0.0; 3];
/// let value = logsumexp_with_gradient(&[1e8f32, 1e8, f32::NEG_INFINITY], &mut gradient)?;
/// assert_eq!((value, gradient), (1e8, [0.5, 0.5, 0.0]));
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// [`Error::LengthMismatch`] if `gradient` is not as long as `z`; nothing is written then.
pub fn logsumexp_with_gradient<T: Float>(z: &[T], gradient: &mut [T]) -> Result<T, Error> {
    <T as Compiled<T>>::logsumexp_with_gradient(z, gradient)
}

/// Writes e^{z_i} / Σ e^{z_k} into `out`, correctly rounded: the gradient of [`logsumexp`], with the special cases of
/// [`logsumexp_with_gradient`].
///
/// See also [`log_softmax`], [`softmax_rows`], [`softmax_entropy`](crate::softmax_entropy). The Jacobian of the softmax
/// times a vector is [`logsumexp_hvp`](crate::logsumexp_hvp).
///
/// ```
/// let mut p = [0.0; 3];
/// logsum::softmax(&[0.0, f64::INFINITY, f64::INFINITY], &mut p)?;
/// assert_eq!(p, [0.0, 0.5, 0.5]);
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// [`Error::LengthMismatch`] if `out` is not as long as `z`; nothing is written then.
#[doc(alias("normalized_exponential"))]
pub fn softmax<T: Float>(z: &[T], out: &mut [T]) -> Result<(), Error> {
    <T as Compiled<T>>::softmax(z, out)
}

/// Writes z_i − LSE(z) into `out`: the logarithm of [`softmax`].
///
/// Each element is correctly rounded, even if it is tiny: for a score that exceeds the others by 40 it is about −e^-40,
/// not 0. A difference beyond the largest float is −∞; a zero may have either sign.
///
/// | input | elements |
/// |---|---|
/// | some −∞ | −∞ there |
/// | all −∞ | −∞ everywhere |
/// | +∞ in c places, and no NaN | −log c at each +∞, −∞ elsewhere |
/// | a NaN | NaN everywhere |
///
/// See also [`softmax`], [`log_softmax_rows`], [`token_log_probs`](crate::token_log_probs) for one element of each row,
/// [`cross_entropy`](crate::cross_entropy).
///
/// ```
/// let mut log_p = [0.0; 2];
/// logsum::log_softmax(&[40.0, 0.0], &mut log_p)?;
/// assert_eq!(log_p, [-4.248354255291589e-18, -40.0]);
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// [`Error::LengthMismatch`] if `out` is not as long as `z`; nothing is written then.
pub fn log_softmax<T: Float>(z: &[T], out: &mut [T]) -> Result<(), Error> {
    <T as Compiled<T>>::log_softmax(z, out)
}

/// Writes the log-sum-exp of each row of a row-major matrix into `out`: `out[i]` is log Σ_k e^{z_ik} with z_ik
/// = `z[i * row_length + k]`.
///
/// Each value has the bits of [`logsumexp`] for the row alone, special cases included. With the feature `rayon`
/// the rows are distributed over threads. An empty `z` has no rows.
///
/// See also [`logsumexp_rows_with_gradient`], [`softmax_rows`], [`Segments`](crate::Segments) for rows of different
/// lengths.
///
/// ```
/// let z = [1000.0, 1000.0, /* row 1 */ 0.0, f64::NEG_INFINITY];
/// let mut out = [0.0; 2];
/// logsum::logsumexp_rows(&z, 2, &mut out)?;
/// assert_eq!(out, [1000.6931471805599, 0.0]);
/// assert!(logsum::logsumexp_rows(&z, 3, &mut out).is_err()); // 4 is not a multiple of 3
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// [`Error::RowLengthZero`] if `row_length` is 0; [`Error::NotAMultiple`] if the length of `z` is not a multiple
/// of it; [`Error::LengthMismatch`] if `out` does not have one element per row. Nothing is written then.
pub fn logsumexp_rows<T: Float>(z: &[T], row_length: usize, out: &mut [T]) -> Result<(), Error> {
    has_length("out", out.len(), "z", rows_of(z, row_length)?)?;
    T::reduce_rows(z, row_length, Wanted { value: Some(out), each: None });
    Ok(())
}

/// Writes the values of [`logsumexp_rows`] into `values`, and the derivatives e^{z_ik} / Σ_j e^{z_ij} of each
/// value into its row of `gradient`, which has the shape of `z`.
///
/// Values and derivatives have the bits of [`logsumexp_with_gradient`] for each row alone, special cases included.
///
/// See also [`logsumexp_rows`], [`softmax_rows`].
///
/// ```
/// let z = [1e8f32, 1e8, /* row 1 */ 0.0, f32::NEG_INFINITY];
/// let (mut values, mut gradient) = ([0.0; 2], [0.0; 4]);
/// logsum::logsumexp_rows_with_gradient(&z, 2, &mut values, &mut gradient)?;
/// assert_eq!((values, gradient), ([1e8, 0.0], [0.5, 0.5, 1.0, 0.0]));
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// As [`logsumexp_rows`], and [`Error::LengthMismatch`] if `gradient` is not as long as `z`.
pub fn logsumexp_rows_with_gradient<T: Float>(
    z: &[T],
    row_length: usize,
    values: &mut [T],
    gradient: &mut [T],
) -> Result<(), Error> {
    has_length("values", values.len(), "z", rows_of(z, row_length)?)?;
    same_length("gradient", gradient, "z", z)?;
    T::reduce_rows(z, row_length, Wanted { value: Some(values), each: Some((Each::Share, gradient)) });
    Ok(())
}

/// Writes the softmax e^{z_ik} / Σ_j e^{z_ij} of each row of a row-major matrix into `out`, which has the shape of
/// `z`.
///
/// Each row has the bits of [`softmax`] for that row alone, special cases included.
///
/// See also [`log_softmax_rows`], [`logsumexp_rows_with_gradient`].
///
/// ```
/// let mut p = [0.0; 4];
/// logsum::softmax_rows(&[3.0, 3.0, /* row 1 */ 0.0, f64::INFINITY], 2, &mut p)?;
/// assert_eq!(p, [0.5, 0.5, 0.0, 1.0]);
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// [`Error::RowLengthZero`] if `row_length` is 0; [`Error::NotAMultiple`] if the length of `z` is not a multiple
/// of it; [`Error::LengthMismatch`] if `out` is not as long as `z`. Nothing is written then.
pub fn softmax_rows<T: Float>(z: &[T], row_length: usize, out: &mut [T]) -> Result<(), Error> {
    each_of_rows(Each::Share, z, row_length, out)
}

/// Writes the log-softmax z_ik − log Σ_j e^{z_ij} of each row of a row-major matrix into `out`, which has the
/// shape of `z`.
///
/// Each row has the bits of [`log_softmax`] for that row alone, special cases included.
///
/// See also [`softmax_rows`], [`token_log_probs`](crate::token_log_probs).
///
/// ```
/// let mut log_p = [0.0; 4];
/// logsum::log_softmax_rows(&[40.0, 0.0, /* row 1 */ 0.0, f64::NEG_INFINITY], 2, &mut log_p)?;
/// assert_eq!(log_p, [-4.248354255291589e-18, -40.0, 0.0, f64::NEG_INFINITY]);
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// As [`softmax_rows`].
pub fn log_softmax_rows<T: Float>(z: &[T], row_length: usize, out: &mut [T]) -> Result<(), Error> {
    each_of_rows(Each::LogShare, z, row_length, out)
}

fn each_of_rows<T: Float>(each: Each, z: &[T], row_length: usize, out: &mut [T]) -> Result<(), Error> {
    rows_of(z, row_length)?;
    same_length("out", out, "z", z)?;
    T::reduce_rows(z, row_length, Wanted { value: None, each: Some((each, out)) });
    Ok(())
}

/// The number of rows.
pub(super) fn rows_of<T>(z: &[T], row_length: usize) -> Result<usize, Error> {
    match z.len().checked_rem(row_length) {
        None => Err(Error::RowLengthZero),
        Some(0) => Ok(z.len() / row_length),
        Some(_) => Err(Error::NotAMultiple {
            argument: "z",
            found: z.len(),
            divisor: row_length,
            of: "elements of a row",
        }),
    }
}

compiled! {
    fn logsumexp(z: &[T]) -> T {
        value(&z)
    }

    fn logsumexp_and_phase(z: &[T]) -> (T, Phase) {
        ziv::value(&z)
    }

    fn logsumexp_with_gradient(z: &[T], gradient: &mut [T]) -> Result<T, Error> {
        same_length("gradient", gradient, "z", z)?;
        let to = Store::for_output::<T>(z.len());
        let partial = partial_and_each(Each::Share, z, gradient, &mut Vec::new(), to);
        Ok(ziv::settle(&partial, &z).0)
    }

    fn softmax(z: &[T], out: &mut [T]) -> Result<(), Error> {
        same_length("out", out, "z", z)?;
        partial_and_each(Each::Share, z, out, &mut Vec::new(), Store::for_output::<T>(z.len()));
        Ok(())
    }

    fn log_softmax(z: &[T], out: &mut [T]) -> Result<(), Error> {
        same_length("out", out, "z", z)?;
        partial_and_each(Each::LogShare, z, out, &mut Vec::new(), Store::for_output::<T>(z.len()));
        Ok(())
    }
}

/// Checks that an argument is as long as another one; both are given with their names.
pub(crate) fn same_length<A, B>(
    argument: &'static str,
    slice: &[A],
    fits: &'static str,
    other: &[B],
) -> Result<(), Error> {
    has_length(argument, slice.len(), fits, other.len())
}

/// Checks that an argument has the length that another one requires.
pub(crate) fn has_length(
    argument: &'static str,
    found: usize,
    fits: &'static str,
    expected: usize,
) -> Result<(), Error> {
    if found == expected { Ok(()) } else { Err(Error::LengthMismatch { argument, fits, expected, found }) }
}

/// [`logsumexp`] of a row in any memory layout.
pub(crate) fn value<T: Format>(row: &dyn Series<T>) -> T {
    ziv::value(row).0
}

/// Longer rows are read twice: keeping their exponentials, 8 or 16 bytes per number, would overflow the nearest
/// caches.
pub(super) const KEPT: usize = 8192;

/// Evaluates `$result` with `$f` bound to the [`Bounded`](crate::kernels::row_functions::Bounded) function that `$each`
/// stands for, with the constants of a row.
macro_rules! for_bounded {
    ($each:expr, $partial:expr, $f:ident => $result:expr) => {{
        let Constants { c, two, error } = $partial.constants($each);
        match $each {
            Each::Share => for_exponent!(About::shift(c), exponent => {
                let $f = BoundedSoftmax { exponent, inverse: two, error };
                $result
            }),
            Each::LogShare => {
                let $f = BoundedLogSoftmax { max: c, log: two, error };
                $result
            }
        }
    }};
}

/// Computes the partial of a row, and writes a function of each of its numbers.
pub(crate) fn partial_and_each<T: Format>(
    function: Each,
    row: &[T],
    out: &mut [T],
    kept: &mut Kept<T>,
    to: Store,
) -> Partial<T::Elements> {
    if function == Each::Share
        && (LONG..=KEPT).contains(&row.len())
        && let Some(shared) = positive::with_shares(row, Factor::ONE, out, kept, to)
    {
        if !shared.is_settled {
            let elements = Elements::new(function, &row).prepared();
            for_bounded!(function, shared.partial, f => settle(Block::of(row), f, out, |i| elements.nearest(row[i])));
        }
        return shared.partial;
    }
    let partial = Partial::over(&row);
    each(function, &partial, &row, &mut { out }, to);
    partial
}

/// Writes a function of each number of a row, given the row's partial.
///
/// The first phase is done for all numbers at once, with a rounding test for each. The numbers that it does not settle,
/// about one in 2^19 of f32 and one in 2^15 of f64, go through the phases of [`Elements`].
pub(crate) fn each<T: Format>(
    each: Each,
    partial: &Partial<T::Elements>,
    row: &dyn Series<T>,
    out: &mut dyn SeriesMut<T>,
    to: Store,
) {
    if let Some(edge) = Edge::of(each, partial.max, row) {
        return row.pieces(&mut |z| {
            out.next_piece(z.len(), &mut |out| out.iter_mut().zip(z).for_each(|(out, &z)| *out = edge.at(z)));
        });
    }
    for_bounded!(each, partial, f => match (row.contiguous(), out.contiguous()) {
        (Some(z), Some(out)) => {
            let unsettled = Regions::of(z.len());
            in_blocks(z, out, &|range, out| {
                for (block, out) in blocks_of(range).zip(out.chunks_mut(BLOCK)) {
                    if each_bounded::<T, _>(Block::of(&z[block.clone()]), f, out, to) {
                        unsettled.mark(block.start);
                    }
                }
            });
            if unsettled.is_any_marked() {
                settle_each(each, partial, z, out, &unsettled);
            }
        }
        _ => {
            let elements = Elements::new(each, row);
            row.pieces(&mut |z| out.next_piece(z.len(), &mut |out| {
                if each_bounded::<T, _>(Block::of(z), f, out, to) {
                    settle(Block::of(z), f, out, |i| elements.nearest(z[i]));
                }
            }));
        }
    });
}

/// Settles the results of a row that the first phase wrote but did not settle.
#[cold]
fn settle_each<T: Format>(
    each: Each,
    partial: &Partial<T::Elements>,
    z: &[T],
    out: &mut [T],
    unsettled: &Regions,
) {
    let elements = Elements::new(each, &z).prepared();
    for_bounded!(each, partial, f => in_blocks(z, out, &|range, out| {
        for (block, out) in blocks_of(range).zip(out.chunks_mut(BLOCK)) {
            if unsettled.is_marked(block.start) {
                let z = &z[block];
                settle(Block::of(z), f, out, |i| elements.nearest(z[i]));
            }
        }
    }));
}

/// The blocks of a range that starts at the beginning of a block.
fn blocks_of(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    range.clone().step_by(BLOCK).map(move |start| {
        checkpoint();
        start..range.end.min(start + BLOCK)
    })
}

/// A mark for each region of a row. A row has at most 4096 regions, however long it is, so that a region is one block
/// or several.
struct Regions {
    /// A region has 2^shift numbers.
    shift: u32,
    marks: [AtomicU64; Self::WORDS],
}

impl Regions {
    const WORDS: usize = 64;

    fn of(length: usize) -> Self {
        let numbers = length.div_ceil(64 * Self::WORDS).max(BLOCK).next_power_of_two();
        Self { shift: numbers.trailing_zeros(), marks: [const { AtomicU64::new(0) }; Self::WORDS] }
    }

    fn place(&self, number: usize) -> (&AtomicU64, u64) {
        let region = number >> self.shift;
        (&self.marks[region / 64], 1 << (region % 64))
    }

    fn mark(&self, number: usize) {
        let (word, bit) = self.place(number);
        word.fetch_or(bit, Ordering::Relaxed);
    }

    fn is_marked(&self, number: usize) -> bool {
        let (word, bit) = self.place(number);
        word.load(Ordering::Relaxed) & bit != 0
    }

    fn is_any_marked(&self) -> bool {
        self.marks.iter().any(|word| word.load(Ordering::Relaxed) != 0)
    }
}

/// Calls `f` for parts of a row, each a number of whole blocks, and for their results; on several threads if that pays.
fn in_blocks<T: Format>(z: &[T], out: &mut [T], f: &(impl Fn(Range<usize>, &mut [T]) + Sync)) {
    in_parts(0..z.len(), out, worth(z.len(), 1), BLOCK, &mut (), &|range, out, ()| f(range, out));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::uniform;

    /// However a row is cut and its parts are merged, the value, each share and its logarithm are the same.
    #[test]
    fn results_do_not_depend_on_the_order_of_sums() {
        type State = Partial<<f64 as Format>::Elements>;
        let mut uniform = uniform(17);
        let mut results = 0;
        for i in 0..800 {
            let (length, spread) = ([1, 3, 40, 3000, 20_000][i % 5], [1.0, 5.0, 700.0, 1e-9][i / 5 % 4]);
            let mut row: Vec<f64> = (0..length).map(|_| spread * (uniform() - 0.5)).collect();
            if i % 3 == 0 {
                // Normalised: the value is a rounding error near 0.
                let value = value(&row);
                row.iter_mut().for_each(|z| *z -= value);
            }
            let mut merged: Vec<State> = Vec::new();
            let mut rest = &row[..];
            while !rest.is_empty() {
                let (part, others) =
                    rest.split_at(1 + (uniform() * (rest.len() - 1).min(2000) as f64) as usize);
                merged.push(State::of(part));
                rest = others;
            }
            while merged.len() > 1 {
                let state = merged.swap_remove((uniform() * merged.len() as f64) as usize);
                let other = (uniform() * merged.len() as f64) as usize;
                merged[other] = merged[other].merge(state);
            }
            let series: &dyn Series<f64> = &row;
            let whole = State::over(series);
            let bits = |state: &State| {
                let (mut all, mut out) = (vec![ziv::settle(state, series).0.to_bits()], vec![0.0; row.len()]);
                for function in [Each::Share, Each::LogShare] {
                    each(function, state, series, &mut &mut out[..], Store::Caches);
                    all.extend(out.iter().map(|x: &f64| x.to_bits()));
                }
                all
            };
            let expected = bits(&whole);
            results += expected.len();
            assert!(
                bits(&merged[0]) == expected,
                "{} numbers, from {:?}",
                row.len(),
                &row[..row.len().min(9)]
            );
        }
        println!("{results} results, all the same");
    }
}
