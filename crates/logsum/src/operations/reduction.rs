//! Log-sum-exp, softmax and log-softmax: of one row, and of many rows of one length.

use crate::edges::Edge;
use crate::error::Error;
use crate::formats::Format;
use crate::kernels::Each;
use crate::kernels::block::{LONG, Store};
use crate::kernels::map::{self, About, Block, LogSoftmax};
use crate::kernels::series::{BLOCK, Series, SeriesMut};
use crate::operations::batch::Wanted;
use crate::operations::compiled::{Float, compiled};
use crate::state::plain::{self, Kept, Partial, Shares};
use crate::threads::{in_parts, worth};
use crate::ziv::{self, Phase};

/// log Σ e^{z_k}, correctly rounded.
///
/// The result is the float nearest to the exact log-sum-exp of the numbers as given, ties to even: for every length
/// and every finite input, however large, close to each other or near to cancelling. The order of the numbers does
/// not change a bit of it.
///
/// | input | value |
/// |---|---|
/// | empty, or all −∞ | −∞ |
/// | some −∞ | they add nothing |
/// | a +∞, and no NaN | +∞ |
/// | a NaN | NaN |
///
/// ```
/// use logsum::logsumexp;
/// assert_eq!(logsumexp(&[1000.0, 1000.0]), 1000.6931471805599); // the naive formula: ∞
/// assert_eq!(logsumexp(&[0.0, -40.0]), 4.248354255291589e-18); // 1 + e^-40 in f64: 1
/// assert_eq!(logsumexp(&[0.3f64.ln(), 0.7f64.ln()]), -8.569561064103279e-17);
/// assert_eq!(logsumexp::<f32>(&[]), f32::NEG_INFINITY);
/// ```
pub fn logsumexp<T: Float>(z: &[T]) -> T {
    <T as Compiled<T>>::logsumexp(z)
}

/// [`logsumexp`], and which of Ziv's phases settled it.
#[doc(hidden)]
pub fn logsumexp_and_phase<T: Float>(z: &[T]) -> (T, Phase) {
    <T as Compiled<T>>::logsumexp_and_phase(z)
}

/// The value of [`logsumexp`], and into `gradient` its derivatives ∂LSE/∂z_i = e^{z_i} / Σ e^{z_k} = softmax(z)_i.
///
/// Each derivative is within 1 ulp of the exact one (subnormal ones too), none is negative, equal numbers get equal
/// shares. They add up to 1 but for the rounding of each.
///
/// | input | gradient |
/// |---|---|
/// | −∞ among others | 0 there |
/// | all −∞ | 0 everywhere |
/// | c times +∞, and no NaN | 1/c at each +∞, 0 elsewhere |
/// | a NaN | NaN everywhere |
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

/// e^{z_i} / Σ e^{z_k} into `out`: the gradient of [`logsumexp`], with the bounds and edges of
/// [`logsumexp_with_gradient`].
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
pub fn softmax<T: Float>(z: &[T], out: &mut [T]) -> Result<(), Error> {
    <T as Compiled<T>>::softmax(z, out)
}

/// z_i − LSE(z) into `out`: the logarithm of [`softmax`].
///
/// Each element is within 1 ulp of the exact one, also where the exact one is tiny: a score that is certain has
/// about −e^-40, not 0. Differences beyond the largest float are −∞. At the edges it is the logarithm of softmax's
/// convention: −∞ at a −∞ and everywhere if all are; −log c at each of c times +∞ and −∞ elsewhere; NaN everywhere
/// if there is a NaN.
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

/// The log-sum-exp of each row of a matrix that lies row by row: log Σ_k e^{z_ik} into `out[i]`, where z_ik is
/// `z[i * row_length + k]`.
///
/// Each value is that of [`logsumexp`] for the row alone, to the bit, edge cases included. With the feature `rayon` threads share
/// the rows. An empty `z` has no rows.
///
/// ```
/// let z = [1000.0, 1000.0, /* row 1 */ 0.0, f64::NEG_INFINITY];
/// let mut out = [0.0; 2];
/// logsum::logsumexp_rows(&z, 2, &mut out)?;
/// assert_eq!(out, [1000.6931471805599, 0.0]);
/// assert!(logsum::logsumexp_rows(&z, 3, &mut out).is_err()); // 4 numbers are no rows of 3
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// [`Error::RowLengthZero`] if `row_length` is 0; [`Error::NotAMultiple`] if the length of `z` is not a multiple of it; [`Error::LengthMismatch`] if `out` does
/// not have one place for each row. Nothing is written then.
pub fn logsumexp_rows<T: Float>(z: &[T], row_length: usize, out: &mut [T]) -> Result<(), Error> {
    has_length("out", out.len(), "z", rows_of(z, row_length)?)?;
    T::reduce_rows(z, row_length, Wanted { value: Some(out), each: None });
    Ok(())
}

/// The values of [`logsumexp_rows`], and into `gradient`, which has the shape of `z`, the derivatives of each value in its row:
/// e^{z_ik} / Σ_k e^{z_ik}.
///
/// Values and derivatives are those of [`logsumexp_with_gradient`] for each row alone, to the bit, edge cases included.
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

/// The softmax of each row of a matrix that lies row by row: e^{z_ik} / Σ_k e^{z_ik} into `out`, which has the shape of `z`.
///
/// Each row has the bits of [`softmax`] for that row alone, edge cases included.
///
/// ```
/// let mut p = [0.0; 4];
/// logsum::softmax_rows(&[3.0, 3.0, /* row 1 */ 0.0, f64::INFINITY], 2, &mut p)?;
/// assert_eq!(p, [0.5, 0.5, 0.0, 1.0]);
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// [`Error::RowLengthZero`] if `row_length` is 0; [`Error::NotAMultiple`] if the length of `z` is not a multiple of it; [`Error::LengthMismatch`] if `out` is
/// not as long as `z`. Nothing is written then.
pub fn softmax_rows<T: Float>(z: &[T], row_length: usize, out: &mut [T]) -> Result<(), Error> {
    each_of_rows(Each::Share, z, row_length, out)
}

/// The log-softmax of each row of a matrix that lies row by row: z_ik − log Σ_k e^{z_ik} into `out`, which has the shape of `z`.
///
/// Each row has the bits of [`log_softmax`] for that row alone, edge cases included.
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
fn rows_of<T>(z: &[T], row_length: usize) -> Result<usize, Error> {
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

/// Whether an argument is as long as the other one that it must fit; both with their names.
pub(crate) fn same_length<A, B>(
    argument: &'static str,
    slice: &[A],
    fits: &'static str,
    other: &[B],
) -> Result<(), Error> {
    has_length(argument, slice.len(), fits, other.len())
}

/// Whether an argument has the length that another one asks for.
pub(crate) fn has_length(
    argument: &'static str,
    found: usize,
    fits: &'static str,
    expected: usize,
) -> Result<(), Error> {
    if found == expected { Ok(()) } else { Err(Error::LengthMismatch { argument, fits, expected, found }) }
}

/// [`logsumexp`] of any row.
pub(crate) fn value<T: Format>(row: &dyn Series<T>) -> T {
    ziv::value(row).0
}

/// Longer rows are read twice: what would be kept of them, 8 or 16 bytes for a number, leaves the nearest caches.
pub(super) const KEPT: usize = 8192;

/// The partial of a row, and a function of each of its numbers.
pub(crate) fn partial_and_each<T: Format>(
    function: Each,
    row: &[T],
    out: &mut [T],
    kept: &mut Kept<T>,
    to: Store,
) -> Partial<T::First> {
    if function == Each::Share
        && (LONG..=KEPT).contains(&row.len())
        && let Some(partial) = plain::with_shares(row, Shares::ALONE, out, kept, to)
    {
        return partial;
    }
    let partial = Partial::over(&row);
    each(function, &partial, &row, &mut { out }, to);
    partial
}

/// A function of each number of a row, given its partial.
///
/// [`Each::Share`]: e^{z_i − c} · 1/Σ e^{z_k − c}. The relative error before the last rounding is below 2^-60 in double-double
/// words and 2^-36 in f64: 2^-7 and 2^-12 ulp. The rounding adds 1/2; a subnormal result of two f64 is rounded
/// twice, the first time to 1/4 of its ulp at most.
///
/// [`Each::LogShare`]: z_i − LSE = (z_i − max) − log(1 + t). Both parts are negative or 0, so that neither takes away
/// from the other's accuracy, relative 2^-59 in double-double and 2^-29 in f64: 2^-6 and 2^-5 ulp.
pub(crate) fn each<T: Format>(
    each: Each,
    partial: &Partial<T::First>,
    row: &dyn Series<T>,
    out: &mut dyn SeriesMut<T>,
    to: Store,
) {
    if let Some(edge) = Edge::of(each, partial.max, row) {
        return each_piece(row, out, &|z, out| {
            out.iter_mut().zip(z).for_each(|(out, &z)| *out = edge.at(z));
        });
    }
    let (c, two) = partial.constants(each);
    each_piece(row, out, &|z, out| match each {
        Each::Share => map::softmax(Block::of(z), About::shift(c), two, out, to),
        Each::LogShare => {
            map::each::<T::First, T, _>(Block::of(z), LogSoftmax { max: c, log: two }, out, to);
        }
    });
}

fn each_piece<T: Format>(
    row: &dyn Series<T>,
    out: &mut dyn SeriesMut<T>,
    f: &(impl Fn(&[T], &mut [T]) + Sync),
) {
    match (row.contiguous(), out.contiguous()) {
        (Some(z), Some(out)) => {
            in_parts(0..z.len(), out, worth(z.len(), 1), BLOCK, &mut (), &|range, out, ()| f(&z[range], out));
        }
        _ => row.pieces(&mut |z| out.next_piece(z.len(), &mut |out| f(z, out))),
    }
}
