//! The log-probability of a token whose row of scores is split into shards, as on several machines.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two, two_sum};
use crate::arithmetic::exp::{LEAST, UNSCALE, exp_f64_full};
use crate::arithmetic::exp_td::exp_td;
use crate::arithmetic::float64::Float64;
use crate::arithmetic::ln::log1p_dd_fine;
use crate::arithmetic::precision::{Number, Precision};
use crate::arithmetic::triple_double::TripleDouble;
use crate::error::Error;
use crate::formats::Format;
use crate::formats::nearest::nearest_above;
use crate::interrupt::checkpoint;
use crate::kernels::grid;
use crate::operations::accumulator::{Found, checked, of_another_format};
use crate::operations::per_format::{Float, compiled};
use crate::operations::row_reduction::{has_length, same_length};
use crate::simd::task;
use crate::state::binned::{Binned, Logarithm, Sum, kind};
use crate::threads::{in_parts, worth};
use std::fmt;
use std::marker::PhantomData;

/// The log-probability log p_t = z_t − log Σ_k e^{z_k} of a token t, for a row whose scores z are split into shards, as
/// a vocabulary over several machines. A value of this type is what one shard knows of one row, in 64 bytes; merging
/// the values of all shards gives the log-probability.
///
/// 1. Each shard computes a state for each of its rows ([`of_rows`](Self::of_rows)).
/// 2. The shards exchange these states ([`to_bytes`](Self::to_bytes), [`from_bytes`](Self::from_bytes)) and
///    [`merge`](Self::merge) those of each row.
/// 3. Then each shard has the log-probability ([`log_prob`](Self::log_prob)) and the derivatives with respect to its
///    own scores ([`gradients`](Self::gradients)).
///
/// The bits are *always* the same, however the row is cut into shards, and in whatever order these are merged. The
/// log-probability is the float nearest to the exact one whenever that can be [proved](Self::is_proved_nearest), even
/// where p_t is nearly 1: then it has the bits of [`token_log_probs`](crate::token_log_probs) for the whole row. The
/// terms of all scores but z_t are added as in an [`Accumulator`](crate::Accumulator), with its bound; z_t is kept
/// apart.
///
/// See also [`token_log_probs`](crate::token_log_probs), [`Accumulator`](crate::Accumulator).
///
/// ```
/// use logsum::ShardedLogProb;
/// // Two rows of four scores, whose tokens are 2 and 0, in two shards.
/// let (left, right) = ([1.0, 40.0, 0.0, 2.0], [3.0, 0.5, 0.0, f64::NEG_INFINITY]);
/// let mut rows = ShardedLogProb::of_rows(&left, &[None, Some(0)])?;
/// let others = ShardedLogProb::of_rows(&right, &[Some(0), None])?;
/// for (row, other) in rows.iter_mut().zip(&others) {
///     row.merge(&ShardedLogProb::from_bytes(&other.to_bytes())?);
/// }
/// let log_probs: Vec<_> = rows.iter().map(|row| row.log_prob()).collect();
///
/// let mut whole = [0.0; 2];
/// logsum::token_log_probs(&[1.0, 40.0, 3.0, 0.5, 0.0, 2.0, 0.0, f64::NEG_INFINITY], &[2, 0], &mut whole)?;
/// assert_eq!(log_probs, whole.map(Some));
/// # Ok::<(), logsum::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq)]
pub struct ShardedLogProb<T> {
    row: Row,
    format: PhantomData<fn() -> T>,
}

impl<T> ShardedLogProb<T> {
    /// The length of [`to_bytes`](Self::to_bytes).
    pub const BYTES: usize = 64;

    /// The state of a shard without scores.
    #[must_use]
    pub const fn new() -> Self {
        Self { row: Row::EMPTY, format: PhantomData }
    }

    /// Merges the state of another shard of the same row into this one. Merging is associative and commutative, to the
    /// bit, and [`new`](Self::new) is its identity.
    pub fn merge(&mut self, other: &Self) {
        self.row.merge(&other.row);
    }
}

impl<T: Float> ShardedLogProb<T> {
    /// The state of one shard for each row. `scores` is row-major, with one row per token, all of the same length; a
    /// token is an index into its row of this shard, or `None` if it belongs to another shard.
    ///
    /// ```
    /// let states = logsum::ShardedLogProb::of_rows(&[2.0, 2.0, /* row 1 */ 0.0, 7.0], &[Some(1), None])?;
    /// assert_eq!(states[0].log_prob(), Some(-std::f64::consts::LN_2)); // of this shard alone
    /// assert_eq!(states[1].log_prob(), None); // the token is in another shard
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotAMultiple`] if the number of scores is not a multiple of the number of tokens,
    /// [`Error::LengthMismatch`] if there are scores and no tokens, [`Error::TokenOutOfRange`] if a token is not an
    /// index of its row.
    pub fn of_rows(scores: &[T], tokens: &[Option<usize>]) -> Result<Vec<Self>, Error> {
        let length = row_length(scores, tokens)?;
        let mut states = vec![Self::new(); tokens.len()];
        <T as Compiled<T>>::of_rows(scores, length, tokens, &mut states);
        Ok(states)
    }

    /// log p_t; `None` unless exactly one of the shards has the token, and the row has fewer than 2^39 scores.
    ///
    /// It is the nearest float if that is [proved](Self::is_proved_nearest), otherwise within 1 ulp. The special cases
    /// are those of [`token_log_probs`](crate::token_log_probs): −∞ if z_t is −∞, or if z_t is finite and another score
    /// is +∞; −log c if z_t is one of c scores +∞; NaN if a score is NaN.
    #[must_use]
    pub fn log_prob(&self) -> Option<T> {
        <T as Compiled<T>>::found(&self.row).map(|found| found.value)
    }

    /// Whether [`log_prob`](Self::log_prob) is proved to be the float nearest to the exact value. If false, it may
    /// still be.
    #[must_use]
    pub fn is_proved_nearest(&self) -> bool {
        <T as Compiled<T>>::found(&self.row).is_some_and(|found| found.is_proved)
    }

    /// Writes the derivatives of each row's log-probability with respect to the scores of one shard, [k = t] − p_k with
    /// p = softmax(z), into `out`. `states` are the merged states of the rows; `scores` and `tokens` are those that
    /// [`of_rows`](Self::of_rows) was called with, and `out` has the shape of `scores`.
    ///
    /// Each is the nearest float, except for about one in 10^7 and for subnormal ones; this includes 1 − p_t where p_t
    /// is nearly 1. With scores of magnitude 2^48 or more, the error may be 2^-64 of that magnitude. In rows that are
    /// all −∞ the derivatives are 0; each of c scores +∞ has p_k = 1/c.
    ///
    /// ```
    /// use logsum::ShardedLogProb;
    /// let mut row = ShardedLogProb::of_rows(&[40.0], &[Some(0)])?[0];
    /// row.merge(&ShardedLogProb::of_rows(&[0.0], &[None])?[0]);
    /// let mut gradient = [0.0];
    /// ShardedLogProb::gradients(&[row], &[40.0], &[Some(0)], &mut gradient)?;
    /// assert_eq!(gradient, [4.248354255291589e-18]); // 1 − p in f64: 0
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`of_rows`](Self::of_rows), and [`Error::LengthMismatch`] if `states` is not as long as `tokens` or `out` not
    /// as long as `scores`. Nothing is written then.
    pub fn gradients(
        states: &[Self],
        scores: &[T],
        tokens: &[Option<usize>],
        out: &mut [T],
    ) -> Result<(), Error> {
        same_length("states", states, "tokens", tokens)?;
        same_length("out", out, "scores", scores)?;
        let length = row_length(scores, tokens)?;
        <T as Compiled<T>>::gradients(states, scores, length, tokens, out);
        Ok(())
    }

    /// The state as bytes, the same on every machine, to be read by [`from_bytes`](Self::from_bytes).
    ///
    /// | bytes | content, little-endian |
    /// |---|---|
    /// | 0 to 38 | the sums of three cells, of 13 bytes each |
    /// | 39 | 0 |
    /// | 40 to 47 | the greatest of the other scores, as f64 |
    /// | 48 to 55 | the token's score, as f64 |
    /// | 56 to 60 | the number of other scores |
    /// | 61, 62 | bits 0 to 8: kinds of terms; 9, 10: how many shards have the token; from 11 on: 1 if +∞, 2 if NaN |
    /// | 63 | the number of significand bits of T: 53 for f64, 24 for f32 |
    ///
    /// A row must have fewer than 2^39 scores; the state of a longer row has no log-probability.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 64] {
        let Row { others, token, shards, special } = &self.row;
        let mut bytes = [0; 64];
        for (place, sum) in bytes.as_chunks_mut::<13>().0.iter_mut().zip(others.sums()) {
            place.copy_from_slice(&sum.to_le_bytes()[..13]);
        }
        bytes[40..48].copy_from_slice(&others.max.to_le_bytes());
        bytes[48..56].copy_from_slice(&token.to_le_bytes());
        bytes[56..61].copy_from_slice(&others.count.min(MOST_SCORES).to_le_bytes()[..5]);
        let kinds = others.kinds | shards << 9 | (*special as u64) << 11;
        bytes[61..63].copy_from_slice(&kinds.to_le_bytes()[..2]);
        bytes[63] = T::SIGNIFICAND_BITS as u8;
        bytes
    }

    /// The state that [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`Error::NotAState`] if the bytes are recognisably not the state of any scores of this format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let row = read(bytes, T::SIGNIFICAND_BITS as u8).map_err(|reason| Error::NotAState { reason })?;
        Ok(Self { row, format: PhantomData })
    }
}

impl<T> Default for ShardedLogProb<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Float> fmt::Debug for ShardedLogProb<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardedLogProb")
            .field("log_prob", &self.log_prob())
            .field("is_proved_nearest", &self.is_proved_nearest())
            .finish_non_exhaustive()
    }
}

/// Sums of more terms may have more bits than [`to_bytes`](ShardedLogProb::to_bytes) writes.
const MOST_SCORES: u64 = (1 << 39) - 1;

fn row_length<T: Float>(scores: &[T], tokens: &[Option<usize>]) -> Result<usize, Error> {
    let Some(length) = scores.len().checked_div(tokens.len()) else {
        return has_length("scores", scores.len(), "tokens", 0).map(|()| 0);
    };
    if !scores.len().is_multiple_of(tokens.len()) {
        let (argument, found, divisor) = ("scores", scores.len(), tokens.len());
        return Err(Error::NotAMultiple { argument, found, divisor, of: "tokens" });
    }
    for (row, token) in tokens.iter().enumerate() {
        match *token {
            Some(token) if token >= length => return Err(Error::TokenOutOfRange { row, token, length }),
            _ => {}
        }
    }
    Ok(length)
}

/// What a shard knows of a row.
#[derive(Clone, Copy, PartialEq)]
pub struct Row {
    /// The terms of all scores but the token's; empty if there is a NaN. If there are scores +∞, a term e^0 for each of
    /// them but the token's, since nothing else counts.
    others: Binned,
    /// The bits of the token's score; +0 if it is not here, or there is a NaN.
    token: u64,
    /// How many shards have the token; 2 means two or more.
    shards: u64,
    special: Special,
}

/// The kind of scores that alone determine the results of a row, if there are any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Special {
    Nothing,
    Infinite,
    NaN,
}

impl Row {
    const EMPTY: Self = Self { others: Binned::EMPTY, token: 0, shards: 0, special: Special::Nothing };

    fn of<T: Format>(scores: &[T], token: Option<usize>) -> Self {
        let (before, after) = token.map_or((scores, &scores[..0]), |t| (&scores[..t], &scores[t + 1..]));
        let mut others = Binned::EMPTY;
        others.add(before);
        others.add(after);
        let score = token.map_or(0.0, |token| scores[token].widen());
        let special = match () {
            () if score.is_nan() || others.has(kind::NAN) => Special::NaN,
            () if score == f64::INFINITY || others.has(kind::POSITIVE) => Special::Infinite,
            () => Special::Nothing,
        };
        let mut row = Self { others, token: score.to_bits(), shards: u64::from(token.is_some()), special };
        if special != Special::Nothing {
            row.others = Binned::EMPTY;
        }
        if special == Special::NaN {
            row.token = 0;
        }
        if special == Special::Infinite {
            for _ in before.iter().chain(after).filter(|z| z.widen() == f64::INFINITY) {
                row.others.add(&[T::default()]);
            }
        }
        row
    }

    fn token(&self) -> f64 {
        f64::from_bits(self.token)
    }

    fn merge(&mut self, other: &Self) {
        let special = self.special.max(other.special);
        if self.special < special {
            self.others = Binned::EMPTY;
        }
        if other.special == special {
            self.others.merge(&other.others);
        }
        // At most one of the two has the token's score, unless several shards claim the token, which is an error.
        self.shards = (self.shards + other.shards).min(2);
        self.token = match special {
            Special::NaN => 0,
            _ if self.shards > 1 => 0,
            _ => self.token | other.token,
        };
        self.special = special;
    }

    /// log Σ e^z, and the part of the sum that is not the token's; `None` if no term is above 0.
    fn total<T: Format>(&self) -> Option<Total> {
        let (others, token) = (&self.others, self.token());
        let of_token = Total {
            reference: token,
            rest: DoubleDouble::ZERO,
            loss: DoubleDouble::ZERO,
            bound: 0.0,
            of_others: NOTHING,
        };
        if !others.has(kind::FINITE) {
            return token.is_finite().then_some(of_token);
        }
        // The logarithm without the anchor, which is the greatest of the others if that is huge, and otherwise 0: the
        // anchor minus the token's score is then exact in two words.
        let sum = others.sum::<T>();
        let Logarithm { log, bound } = Sum { anchor: 0.0, ..sum }.log(1);
        Some(log_of_total(sum.anchor, log, bound, token, others.max()))
    }
}

/// A logarithm whose exponential is 0 in f64.
const NOTHING: DoubleDouble = DoubleDouble { hi: 2.0 * LEAST, lo: 0.0 };

/// log Σ e^z = `reference` + `rest`. The reference is the token's score if its term is at least the sum of the others,
/// otherwise the greatest of the other scores.
#[derive(Clone, Copy)]
struct Total {
    reference: f64,
    rest: DoubleDouble,
    /// −log p_t.
    loss: DoubleDouble,
    /// A bound on the error of `loss`; infinite or NaN if nothing is known.
    bound: f64,
    /// The logarithm of the others' part of the sum.
    of_others: DoubleDouble,
}

task! {
    /// The total, given log S = `anchor` + `log` for the sum S of the others, with an error of at most `bound`.
    ///
    /// With d = log S − z_t, −log p_t = log(1 + e^d), which for d > 0 is d + log(1 + e^−d). Its derivative with respect
    /// to d is at most 1, and at most −log p_t. To the error of log S, two sums of double-doubles add 6u² of the parts
    /// of d. The exponential has a relative error of 2^-117, the logarithm one of 2^-80.
    fn log_of_total(anchor: f64, log: DoubleDouble, bound: f64, token: f64, max: f64; _: V) -> Total {
        // For greater |d|, one of the two terms is negligible: e^-760 is 0 in f64.
        const FAR: f64 = 760.0;
        // Below that the second word of e^d may be subnormal.
        const SUBNORMAL: f64 = -650.0;
        let rough = anchor + log.hi - token;
        let apart = two_sum(anchor, -token);
        let d = if rough.abs() < power_of_two(1000) { apart + log } else { DoubleDouble::from(rough) };
        let of_d = bound + power_of_two(-103) * (apart.hi.abs() + log.hi.abs());
        let less = if d.hi.abs() > FAR { DoubleDouble::from(-FAR) } else if d.hi > 0.0 { -d } else { d };
        let power = exp_td(TripleDouble::from(less)).to_dd().scaled(UNSCALE);
        let of_less = if d.hi.abs() > FAR { DoubleDouble::ZERO } else { log1p_dd_fine(power) };
        if d.hi > 0.0 {
            let loss = if d.hi < f64::INFINITY { d + of_less } else { d };
            let rest = two_sum(anchor, -max) + log + of_less;
            return Total { reference: max, rest, loss, bound: of_d + power_of_two(-79) * loss.hi, of_others: -of_less };
        }
        let lost = if (-FAR..SUBNORMAL).contains(&d.hi) { of_less.hi } else { 0.0 };
        let bound = (of_d * (1.0 + power_of_two(-20)) + power_of_two(-79)) * of_less.hi + lost;
        let of_others = if d.hi > NOTHING.hi { d - of_less } else { NOTHING };
        Total { reference: token, rest: of_less, loss: of_less, bound, of_others }
    }
}

task! {
    /// −e^{z − reference − rest} of each score, in f64 for formats narrower than that.
    fn shares<T: Format>(total: Total, scores: &[T], out: &mut [T]; simd: V) {
        let (eights, last) = scores.as_chunks::<8>();
        let (places, rest) = out.as_chunks_mut::<8>();
        for (z, place) in eights.iter().zip(places) {
            T::store(share::<T, V>(total, T::load(z, simd)), place);
        }
        if !last.is_empty() {
            let mut eight = [T::default(); 8];
            T::store(share::<T, V>(total, T::load_up_to(last, simd)), &mut eight);
            rest.copy_from_slice(&eight[..last.len()]);
        }
    }
}

#[inline(always)]
fn share<T: Format, F: Float64>(total: Total, z: F) -> F {
    let least = DoubleDouble::from(z.splat(LEAST));
    let d = two_sum(z, z.splat(-total.reference)) - total.rest.splat(z);
    // For z = −∞, d is NaN, but this is not.
    let rough = z - z.splat(total.reference);
    let near = DoubleDouble {
        hi: rough.where_at_most(LEAST, least.hi, d.hi),
        lo: rough.where_at_most(LEAST, least.lo, d.lo),
    };
    let near = near.where_at_most(LEAST, least, near);
    let power =
        if T::First::IS_DOUBLE_DOUBLE { T::Finer::exp_of_dd(near).to_dd().hi } else { exp_f64_full(near) };
    -(power * z.splat(UNSCALE))
}

compiled! {
    fn of_rows(scores: &[T], length: usize, tokens: &[Option<usize>], states: &mut [ShardedLogProb<T>]) {
        in_parts(0..tokens.len(), states, worth(tokens.len(), length), 1, &mut (), &|rows, states, ()| {
            for (row, state) in rows.zip(states) {
                checkpoint();
                state.row = Row::of(&scores[row * length..][..length], tokens[row]);
            }
        });
    }

    fn found(row: &Row) -> Option<Found<T>> {
        if row.shards != 1 || row.others.count >= MOST_SCORES {
            return None;
        }
        let mut row = *row;
        match row.special {
            Special::NaN => return Some(Found::proved(f64::NAN)),
            Special::Infinite if row.token() == f64::INFINITY => row.token = 0,
            Special::Infinite => return Some(Found::proved(f64::NEG_INFINITY)),
            Special::Nothing => {}
        }
        if row.token() == f64::NEG_INFINITY {
            return Some(Found::proved(f64::NEG_INFINITY));
        }
        let Total { loss, bound, .. } = row.total::<T>()?;
        let mut found = Found::<T>::within(loss, bound);
        let max = row.others.max();
        if !found.is_proved && bound.is_finite() && max.is_finite() {
            // The loss exceeds max − z_t by what the other terms add, which may be less than the bound.
            if let Some(value) = nearest_above(two_sum(max, -row.token()), loss, bound) {
                found = Found { value, is_proved: true };
            }
        }
        Some(Found { value: T::narrow(-found.value.widen()), ..found })
    }

    fn gradients(
        states: &[ShardedLogProb<T>],
        scores: &[T],
        length: usize,
        tokens: &[Option<usize>],
        out: &mut [T],
    ) {
        in_parts(0..tokens.len(), (out, length), worth(tokens.len(), length), 1, &mut (), &|rows, (out, _), ()| {
            for (i, row) in rows.enumerate() {
                checkpoint();
                let out = &mut out[i * length..][..length];
                gradient(&states[row].row, &scores[row * length..][..length], tokens[row], out);
            }
        });
    }
}

fn gradient<T: Format>(row: &Row, scores: &[T], token: Option<usize>, out: &mut [T]) {
    match row.special {
        Special::NaN => return out.fill(T::narrow(f64::NAN)),
        Special::Infinite => {
            let of_token = u64::from(row.token() == f64::INFINITY);
            let count = (row.others.count + of_token) as f64;
            for (z, place) in scores.iter().zip(&mut *out) {
                *place = T::narrow(if z.widen() == f64::INFINITY { -1.0 / count } else { 0.0 });
            }
            if let Some(token) = token {
                out[token] = T::narrow(if of_token == 1 { row.others.count as f64 / count } else { 1.0 });
            }
            return;
        }
        Special::Nothing => {}
    }
    let Some(total) = row.total::<T>() else { return out.fill(T::default()) };
    shares(total, scores, out);
    if let Some(token) = token {
        let share = Total { reference: 0.0, rest: -total.of_others, ..total };
        let mut of_others = [T::default()];
        shares(share, &[T::default()], &mut of_others);
        out[token] = T::narrow(-of_others[0].widen());
    }
}

fn read(bytes: &[u8], significand_bits: u8) -> Result<Row, &'static str> {
    let bytes: &[u8; 64] = bytes.try_into().map_err(|_| "a state of this kind has 64 bytes")?;
    if bytes[63] != significand_bits {
        return Err(of_another_format(bytes[63]));
    }
    if bytes[39] != 0 {
        return Err("its sums do not fit its number of terms");
    }
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
    let sum = |i: usize| {
        let mut sum = [if bytes[13 * i + 12] < 128 { 0 } else { 255 }; 16];
        sum[..13].copy_from_slice(&bytes[13 * i..][..13]);
        i128::from_le_bytes(sum)
    };
    let kinds = number(&bytes[61..63]);
    let (shards, special) = (kinds >> 9 & 3, kinds >> 11);
    let (max, kinds) = (number(&bytes[40..48]), kinds & kind::ALL);
    let is_max = f64::from_bits(max).is_finite() && kinds & kind::FINITE != 0;
    let others = Binned {
        top: if is_max { grid::cell(f64::from_bits(max)) } else { i64::MIN },
        max,
        count: number(&bytes[56..61]),
        kinds,
        ..Binned::EMPTY
    };
    let others = checked(others, std::array::from_fn(sum))?;
    let row = Row {
        others,
        token: number(&bytes[48..56]),
        shards,
        special: match special {
            0 => Special::Nothing,
            1 => Special::Infinite,
            2 => Special::NaN,
            _ => return Err("its kind of special scores is unknown"),
        },
    };
    let may_be = match row.special {
        Special::Nothing => row.token() < f64::INFINITY,
        Special::Infinite => !row.token().is_nan() && matches!(f64::from_bits(max), 0.0 | f64::NEG_INFINITY),
        Special::NaN => row.token == 0 && others == Binned::EMPTY,
    };
    if others.count > MOST_SCORES {
        return Err("its sums do not fit its number of terms");
    }
    if shards > 2 || (shards != 1 && row.token != 0) || !may_be {
        return Err("its token's score contradicts its other fields");
    }
    if kinds & (kind::NAN | kind::POSITIVE | kind::NEGATIVE | kind::INFINITE | kind::WEIGHTED) != 0 {
        return Err("its kinds of terms contradict each other");
    }
    Ok(row)
}
