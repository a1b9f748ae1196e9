//! The log-softmax of each row at one index, and the entropy of its softmax, without writing the row.

use crate::error::Error;
use crate::formats::Format;
use crate::operations::cross_entropy::{CrossEntropy, Targets};
use crate::operations::per_format::{Float, compiled};
use crate::operations::row_reduction::{has_length, same_length};
use crate::operations::softmax_moments::softmax_entropy;
use crate::threads::{in_parts, worth};

/// Writes the log-probability of one token per row into `out`: log p_t = z_t − LSE(z), for the row z of `logits` and
/// its token t, an index into the row. `logits` is row-major, with one row per token; all rows have the same length.
///
/// Each value is correctly rounded: it has the bits of element t of the row's [`log_softmax`](crate::log_softmax),
/// special cases included, except perhaps the sign of a zero. So it depends on nothing but the row: not on the other
/// rows of a batch, nor on the number of threads. The row is read once, and its log-softmax is not written.
///
/// See also [`token_log_probs_with_gradient`], [`token_log_probs_with_entropy`],
/// [`ShardedLogProb`](crate::ShardedLogProb) for rows that are split over several machines, and [`CrossEntropy`].
///
/// ```
/// let logits = [40.0, 0.0, /* row 1 */ 2.0, 2.0, /* row 2 */ 0.0, f64::NEG_INFINITY];
/// let mut log_p = [0.0; 3];
/// logsum::token_log_probs(&logits, &[0, 1, 1], &mut log_p)?;
/// assert_eq!(log_p, [-4.248354255291589e-18, -std::f64::consts::LN_2, f64::NEG_INFINITY]);
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// [`Error::LengthMismatch`] if `out` is not as long as `tokens`, or if there are logits but no tokens;
/// [`Error::NotAMultiple`] if the number of logits is not a multiple of the number of tokens;
/// [`Error::TokenOutOfRange`] if a token is not an index of its row. Nothing is written then.
pub fn token_log_probs<T: Float>(logits: &[T], tokens: &[usize], out: &mut [T]) -> Result<(), Error> {
    same_length("out", out, "tokens", tokens)?;
    rows(logits, tokens)?.losses(logits, Targets::Classes(tokens), out).map_err(of_token)?;
    negate(out);
    Ok(())
}

/// Writes the values of [`token_log_probs`] into `out`, and the entropy −Σ p_k log p_k of each row's softmax into
/// `entropies`, within 1 ulp, with the special cases of [`softmax_entropy`].
///
/// ```
/// let (mut log_p, mut entropies) = ([0.0], [0.0]);
/// logsum::token_log_probs_with_entropy(&[5.0, 5.0], &[1], &mut log_p, &mut entropies)?;
/// assert_eq!((log_p[0], entropies[0]), (-std::f64::consts::LN_2, std::f64::consts::LN_2));
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// As [`token_log_probs`], and [`Error::LengthMismatch`] if `entropies` is not as long as `tokens`.
pub fn token_log_probs_with_entropy<T: Float>(
    logits: &[T],
    tokens: &[usize],
    out: &mut [T],
    entropies: &mut [T],
) -> Result<(), Error> {
    same_length("entropies", entropies, "tokens", tokens)?;
    token_log_probs(logits, tokens, out)?;
    <T as Compiled<T>>::entropies(logits, entropies);
    Ok(())
}

/// Writes the values of [`token_log_probs`] into `out`, and the derivatives of each with respect to its row,
/// [k = t] − p_k with p = softmax(z), into `gradient`, which has the shape of `logits`.
///
/// Each derivative is correctly rounded, even 1 − p_t where p_t is nearly 1. Special cases are those of the gradient of
/// [`CrossEntropy`], negated; in rows that are all −∞ the derivatives are 0.
///
/// ```
/// let (mut log_p, mut gradient) = ([0.0], [0.0; 2]);
/// logsum::token_log_probs_with_gradient(&[40.0, 0.0], &[0], &mut log_p, &mut gradient)?;
/// assert_eq!(gradient, [4.248354255291589e-18, -4.248354255291589e-18]); // 1 − p in f64: 0
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// As [`token_log_probs`], and [`Error::LengthMismatch`] if `gradient` is not as long as `logits`.
pub fn token_log_probs_with_gradient<T: Float>(
    logits: &[T],
    tokens: &[usize],
    out: &mut [T],
    gradient: &mut [T],
) -> Result<(), Error> {
    same_length("out", out, "tokens", tokens)?;
    let of = rows(logits, tokens)?;
    of.losses_with_gradient(logits, Targets::Classes(tokens), out, gradient).map_err(of_token)?;
    negate(out);
    negate(gradient);
    Ok(())
}

/// A cross-entropy for the rows of `logits`: its losses are the log-probabilities, negated.
fn rows<'a, T: Float>(logits: &[T], tokens: &[usize]) -> Result<CrossEntropy<'a, T>, Error> {
    match logits.len().checked_rem(tokens.len()) {
        None => has_length("logits", logits.len(), "tokens", 0).map(|()| CrossEntropy::new(1)),
        Some(0) if logits.is_empty() => Err(Error::TokenOutOfRange { row: 0, token: tokens[0], length: 0 }),
        Some(0) => Ok(CrossEntropy::new(logits.len() / tokens.len())),
        Some(_) => Err(Error::NotAMultiple {
            argument: "logits",
            found: logits.len(),
            divisor: tokens.len(),
            of: "tokens",
        }),
    }
}

/// The same error, with the names that the functions of this module use.
fn of_token(error: Error) -> Error {
    match error {
        Error::TargetOutOfRange { row, target, classes } => {
            Error::TokenOutOfRange { row, token: target, length: classes }
        }
        error => error,
    }
}

fn negate<T: Format>(numbers: &mut [T]) {
    for x in numbers {
        *x = T::narrow(-x.widen());
    }
}

compiled! {
    fn entropies(logits: &[T], entropies: &mut [T]) {
        let count = entropies.len();
        let length = logits.len().checked_div(count).unwrap_or(0);
        in_parts(0..count, entropies, worth(count, length), 1, &mut (), &|rows, entropies, ()| {
            for (row, entropy) in rows.zip(entropies) {
                *entropy = softmax_entropy(&logits[row * length..][..length]);
            }
        });
    }
}
