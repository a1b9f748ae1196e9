//! Sums that arrive in pieces: a small state whose bits do not depend on the order or the parts in which numbers come.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two};
use crate::error::Error;
use crate::formats::Format;
use crate::formats::nearest::{Zero, nearest};
use crate::kernels::grid::{BITS, CELLS, HUGE, TERMS, UNIT};
use crate::operations::per_format::{Float, compiled};
use crate::operations::row_reduction::same_length;
use crate::simd::scalar_tasks::{product, quotient};
use crate::simd::task;
use crate::state::binned::{Binned, Logarithm, Sum, kind, terms_of, wrapped};
use std::fmt;
use std::marker::PhantomData;

/// log Σ e^{z_k}, or log Σ b_k e^{z_k}, of numbers that arrive in pieces: draws of a sampler, shards of a vocabulary,
/// partitions of a table.
///
/// The state is 128 bytes in memory, `Copy`, and allocates nothing. For the same numbers it *always* has the same bits:
/// in whatever order and parts they come, on every machine, and however states are merged. The same holds for
/// [`value`](Self::value).
///
/// The value is the float nearest to the exact one whenever the bound on the error of the sum
/// [proves](Self::is_proved_nearest) it. That bound is 2^-74.5 of Σ |b_k| e^{z_k} (2^-51.5 for f32 and narrower
/// formats), plus 2^-98 of the greatest term for each number. If the greatest number has a magnitude m of 2^48 or more,
/// 2^-65 m of Σ |b_k| e^{z_k} is added. On average the bound leaves unproved about one value in 10^7 of f64 and one in
/// 10^8 of f32, and also values near 0 and sums whose weights nearly cancel. [`logsumexp`](crate::logsumexp) and
/// [`Terms`](crate::Terms), which have all numbers at once, return the nearest float in these cases, too.
///
/// See also [`EffectiveSampleSize`], [`WeightedMean`], [`ShardedLogProb`](crate::ShardedLogProb).
///
/// ```
/// use logsum::Accumulator;
/// let mut first = Accumulator::new();
/// first.update(&[1000.0, 1001.0]);
/// let mut second = Accumulator::new();
/// second.update(&[1002.0]);
/// first.merge(&second);
/// assert_eq!(first.value(), 1002.4076059644444);
/// assert!(first.is_proved_nearest());
/// assert_eq!((first.count(), first.max()), (3, 1002.0));
///
/// let mut all = Accumulator::new();
/// all.update(&[1002.0, 1000.0, 1001.0]);
/// assert_eq!(all.to_bytes(), first.to_bytes());
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// The method: [each term is cut into integers](https://doi.org/10.1145/3389360) at bit positions that depend only on
/// the term's own exponent. These integers are added exactly, in three cells of 50 bits each; the first cell is the one
/// in which the greatest term begins.
#[derive(Clone, Copy, PartialEq)]
pub struct Accumulator<T> {
    state: Binned,
    format: PhantomData<fn() -> T>,
}

impl<T> Accumulator<T> {
    /// The length of [`to_bytes`](Self::to_bytes).
    pub const BYTES: usize = 112;

    /// An accumulator without numbers, whose value is −∞.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: Binned::EMPTY, format: PhantomData }
    }

    /// How many numbers were added so far, −∞ included, but not those of weight 0.
    ///
    /// ```
    /// let mut sum = logsum::Accumulator::new();
    /// sum.update_weighted(&[1.0, f64::NEG_INFINITY, 7.0], &[2.0, 2.0, 0.0])?;
    /// assert_eq!((sum.count(), sum.max()), (2, 1.0));
    /// # Ok::<(), logsum::Error>(())
    /// ```
    #[must_use]
    pub fn count(&self) -> u64 {
        self.state.count
    }

    /// Adds all numbers of another accumulator. Merging is associative and commutative, to the bit, and
    /// [`new`](Self::new) is its identity.
    ///
    /// ```
    /// use logsum::Accumulator;
    /// let (mut first, mut second) = (Accumulator::new(), Accumulator::new());
    /// first.update(&[1000.0]);
    /// second.update(&[1000.0]);
    /// first.merge(&second);
    /// assert_eq!(first.value(), 1000.6931471805599);
    /// ```
    pub fn merge(&mut self, other: &Self) {
        self.state.merge(&other.state);
    }
}

impl<T: Float> Accumulator<T> {
    /// Adds numbers, each with weight 1.
    pub fn update(&mut self, z: &[T]) {
        <T as Compiled<T>>::update(&mut self.state, z);
    }

    /// Adds numbers with weights of any sign: the value becomes log Σ b_k e^{z_k}. A number of weight 0 is absent, even
    /// if it is infinite or NaN.
    ///
    /// ```
    /// let mut sum = logsum::Accumulator::new();
    /// sum.update_weighted(&[0.0, 3.0, f64::NAN], &[3.0, -0.05, 0.0])?;
    /// assert_eq!(sum.value(), 0.691006467788818); // log(3 − 0.05 e³)
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `weights` is not as long as `z`; nothing is added then.
    pub fn update_weighted(&mut self, z: &[T], weights: &[T]) -> Result<(), Error> {
        same_length("weights", weights, "z", z)?;
        <T as Compiled<T>>::update_weighted(&mut self.state, z, weights);
        Ok(())
    }

    /// Adds each z_i to the accumulator `states[groups[i]]`, with the weight b_i if there are weights. It does what
    /// [`update`](Self::update) or [`update_weighted`](Self::update_weighted) do for one number, but for many at once.
    ///
    /// ```
    /// use logsum::Accumulator;
    /// let mut states = [Accumulator::new(); 2];
    /// Accumulator::update_groups(&mut states, &[0, 1, 0], &[0.0, 5.0, 0.0], None)?;
    /// assert_eq!(states.map(|sum| sum.value()), [std::f64::consts::LN_2, 5.0]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `groups` or `weights` is not as long as `z`, [`Error::IdOutOfRange`] if a group
    /// is not an index of `states`; nothing is added then.
    pub fn update_groups(
        states: &mut [Self],
        groups: &[usize],
        z: &[T],
        weights: Option<&[T]>,
    ) -> Result<(), Error> {
        <T as Compiled<T>>::update_groups(states, groups, z, weights)
    }

    /// log Σ b_k e^{z_k}: the nearest float if that is [proved](Self::is_proved_nearest), otherwise almost certainly
    /// the nearest.
    ///
    /// | numbers | value |
    /// |---|---|
    /// | none, or all −∞ | −∞ |
    /// | a term b_k e^{z_k} = +∞, none −∞ or NaN | +∞ |
    /// | a NaN | NaN |
    /// | one number, with weight 1 | that number |
    /// | a negative sum Σ b_k e^{z_k}, or a term −∞ | NaN |
    #[must_use]
    pub fn value(&self) -> T {
        <T as Compiled<T>>::value(&self.state).value
    }

    /// Whether [`value`](Self::value) is proved to be the float nearest to the exact value. If false, it may still be.
    #[must_use]
    pub fn is_proved_nearest(&self) -> bool {
        <T as Compiled<T>>::value(&self.state).is_proved
    }

    /// log((1/n) Σ b_k e^{z_k}) with n = [`count`](Self::count); NaN if there are no numbers. Like the
    /// [`value`](Self::value), it always has the same bits, and is the nearest float if that is
    /// [proved](Self::is_logmeanexp_proved_nearest).
    ///
    /// ```
    /// let mut sum = logsum::Accumulator::new();
    /// sum.update(&[-1000.0, 0.0]);
    /// assert_eq!(sum.logmeanexp(), -std::f64::consts::LN_2);
    /// ```
    #[must_use]
    pub fn logmeanexp(&self) -> T {
        <T as Compiled<T>>::mean(&self.state).value
    }

    /// Whether [`logmeanexp`](Self::logmeanexp) is proved to be the float nearest to the exact value.
    ///
    /// ```
    /// let mut sum = logsum::Accumulator::new();
    /// sum.update(&[0.0, 3.0]);
    /// assert!(sum.is_logmeanexp_proved_nearest());
    /// assert_eq!(sum.logmeanexp(), logsum::logmeanexp(&[0.0, 3.0]));
    /// ```
    #[must_use]
    pub fn is_logmeanexp_proved_nearest(&self) -> bool {
        <T as Compiled<T>>::mean(&self.state).is_proved
    }

    /// The greatest number so far, whatever its weight, except that numbers of weight 0 are ignored; NaN if the sum has
    /// a NaN, −∞ if there are no numbers.
    #[must_use]
    pub fn max(&self) -> T {
        T::narrow(match () {
            () if self.state.has(kind::NAN) => f64::NAN,
            () if self.state.has(kind::INFINITE) => f64::INFINITY,
            () => self.state.max(),
        })
    }

    /// The state as bytes, the same on every machine, to be read by [`from_bytes`](Self::from_bytes).
    ///
    /// | bytes | content, little-endian |
    /// |---|---|
    /// | 0 to 3 | `LSE1` |
    /// | 4 | the number of significand bits of T: 53 for f64, 24 for f32 |
    /// | 5 | 0; in states that consist of two such parts, the kind of the state |
    /// | 6, 7 | flags for kinds of terms, such as finite, infinite or NaN |
    /// | 8 to 15 | the index of the greatest cell |
    /// | 16 to 23 | the greatest number, as f64 |
    /// | 24 to 31 | the number of terms, as in [`count`](Self::count) |
    /// | 32 to 79 | the sums of three cells |
    /// | 80 to 111 | the magnitudes of negative terms in two cells |
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 112] {
        let state = &self.state;
        let mut bytes = [0; 112];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = T::SIGNIFICAND_BITS as u8;
        bytes[6..8].copy_from_slice(&(state.kinds as u16).to_le_bytes());
        bytes[8..16].copy_from_slice(&state.top.to_le_bytes());
        bytes[16..24].copy_from_slice(&state.max.to_le_bytes());
        bytes[24..32].copy_from_slice(&state.count.to_le_bytes());
        let sums = state.sums().into_iter().chain(state.negative);
        for (place, sum) in bytes[32..].as_chunks_mut::<16>().0.iter_mut().zip(sums) {
            *place = sum.to_le_bytes();
        }
        bytes
    }

    /// The state that [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// ```
    /// use logsum::Accumulator;
    /// let mut sum = Accumulator::new();
    /// sum.update(&[0.5f32, 1.5]);
    /// assert!(Accumulator::from_bytes(&sum.to_bytes())? == sum);
    /// let error = Accumulator::<f64>::from_bytes(&sum.to_bytes()).unwrap_err();
    /// assert_eq!(error.to_string(), "these bytes are not a state: the state is of f32, another format");
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotAState`] if the bytes are recognisably not the state of any numbers of this format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let state = read(bytes, T::SIGNIFICAND_BITS as u8).map_err(|reason| Error::NotAState { reason })?;
        Ok(Self { state, format: PhantomData })
    }
}

/// The first bytes of a state of this version.
const MAGIC: [u8; 4] = *b"LSE1";

fn read(bytes: &[u8], significand_bits: u8) -> Result<Binned, &'static str> {
    let bytes: &[u8; 112] = bytes.try_into().map_err(|_| "a state of this kind has 112 bytes")?;
    let word = |at: usize| -> [u8; 8] { std::array::from_fn(|i| bytes[at + i]) };
    let wide = |at: usize| i128::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
    if bytes[..4] != MAGIC {
        return Err("a state begins with LSE1");
    }
    if bytes[4] != significand_bits {
        return Err(of_another_format(bytes[4]));
    }
    if bytes[5] != 0 {
        return Err("the state is of another kind");
    }
    let state = Binned {
        negative: std::array::from_fn(|i| wide(32 + 16 * (CELLS + i))),
        top: i64::from_le_bytes(word(8)),
        max: u64::from_le_bytes(word(16)),
        count: u64::from_le_bytes(word(24)),
        kinds: u64::from(u16::from_le_bytes([bytes[6], bytes[7]])),
        ..Binned::EMPTY
    };
    checked(state, std::array::from_fn(|i| wide(32 + 16 * i)))
}

/// What is wrong with a state of numbers with this many significand bits, if another format is expected.
pub(crate) fn of_another_format(significand_bits: u8) -> &'static str {
    match significand_bits {
        53 => "the state is of f64, another format",
        24 => "the state is of f32, another format",
        11 => "the state is of f16, another format",
        8 => "the state is of bf16, another format",
        _ => "its number format is unknown",
    }
}

/// A state with these sums, unless it is recognisably not the state of any numbers.
pub(crate) fn checked(state: Binned, sums: [i128; CELLS]) -> Result<Binned, &'static str> {
    let has = |kinds: u64| state.has(kinds);
    let is_consistent = state.kinds & !kind::ALL == 0
        && (!has(kind::SEVERAL) || has(kind::FINITE))
        && (!has(kind::DISTINCT) || has(kind::SEVERAL))
        && !(has(kind::DISTINCT) && has(kind::VANISHING))
        && (!has(kind::WEIGHTED) || has(kind::FINITE))
        && (state.kinds == 0) == (state.count == 0);
    if !is_consistent {
        return Err("its kinds of terms contradict each other");
    }
    let max = state.max();
    let is_max = max.is_finite() && state.max != (-0.0_f64).to_bits();
    let needs_max = has(kind::FINITE);
    if !(is_max || (max == f64::NEG_INFINITY && !needs_max)) {
        return Err("its maximum is not valid");
    }
    let most = i128::from(state.count) << (BITS + 1);
    // A count that is saturated says nothing of the sums.
    let is_possible = |sum: &i128| state.count == u64::MAX || sum.unsigned_abs() <= most.unsigned_abs();
    let are_sums = sums.iter().all(|&sum| is_possible(&sum) && wrapped(sum) == sum)
        && state.negative.iter().all(is_possible);
    let is_top = if has(kind::FINITE) {
        state.top.unsigned_abs() < 1 << 59 || state.top == i64::MIN
    } else {
        state.top == i64::MIN
    };
    let is_empty = sums == [0; CELLS] && state.negative == [0; 2];
    if !are_sums || !is_top || (state.top == i64::MIN && !is_empty) {
        return Err("its sums do not fit its number of terms");
    }
    Ok(state.with_sums(sums))
}

/// A result, and whether it is the float nearest to the exact one.
#[derive(Debug, Clone, Copy)]
pub struct Found<T> {
    pub(crate) value: T,
    pub(crate) is_proved: bool,
}

impl<T: Format> Found<T> {
    pub(crate) fn proved(value: f64) -> Self {
        Self { value: T::narrow(value), is_proved: true }
    }

    pub(crate) fn within(value: DoubleDouble, bound: f64) -> Self {
        match nearest(value, bound, Zero::Positive) {
            Some(value) if bound.is_finite() => Self { value, is_proved: true },
            _ => Self { value: T::narrow_sum(value), is_proved: false },
        }
    }

    /// The value of a sum without finite terms, or with a NaN or an infinite term.
    fn edge(state: &Binned) -> Option<Self> {
        let value = match () {
            () if state.has(kind::NAN | kind::NEGATIVE) => f64::NAN,
            () if state.has(kind::POSITIVE) => f64::INFINITY,
            () if !state.has(kind::FINITE) => f64::NEG_INFINITY,
            () => return None,
        };
        Some(Self::proved(value))
    }

    fn of_log(state: &Binned, divisor: u64) -> Self {
        let sum = state.sum::<T>();
        if sum.sign > 0.0 {
            let Logarithm { log, bound } = sum.log(divisor);
            return Self::within(log, bound);
        }
        let value = if sum.sign < 0.0 { f64::NAN } else { f64::NEG_INFINITY };
        Self { is_proved: sum.sign < 0.0 && sum.has_sign(), ..Self::proved(value) }
    }
}

compiled! {
    fn update(state: &mut Binned, z: &[T]) {
        state.add(z);
    }

    fn update_weighted(state: &mut Binned, z: &[T], weights: &[T]) {
        state.add_terms(z, Some(weights));
    }

    fn update_groups(
        states: &mut [Accumulator<T>],
        groups: &[usize],
        z: &[T],
        weights: Option<&[T]>,
    ) -> Result<(), Error> {
        if let Some(weights) = weights {
            same_length("weights", weights, "z", z)?;
        }
        check_groups(states, groups, "z", z)?;
        let all = groups.chunks(AT_ONCE).zip(z.chunks(AT_ONCE)).enumerate();
        for (i, (groups, z)) in all {
            fetch(states, groups, weights.is_some());
            let weights = weights.map(|weights| &weights[i * AT_ONCE..][..z.len()]);
            terms_of(z, weights, |j, term| states[groups[j]].state.add_term(term));
        }
        Ok(())
    }

    fn update_sizes(
        states: &mut [EffectiveSampleSize<T>],
        groups: &[usize],
        z: &[T],
    ) -> Result<(), Error> {
        check_groups(states, groups, "log_weights", z)?;
        for (groups, z) in groups.chunks(AT_ONCE).zip(z.chunks(AT_ONCE)) {
            fetch(states, groups, false);
            terms_of(z, None, |j, term| states[groups[j]].weights.state.add_term(term));
            let doubled = doubled(z);
            terms_of(&doubled[..z.len()], None, |j, term| states[groups[j]].squares.state.add_term(term));
        }
        Ok(())
    }

    fn value(state: &Binned) -> Found<T> {
        let is_one = !state.has(kind::SEVERAL | kind::WEIGHTED);
        Found::edge(state).unwrap_or_else(|| {
            if is_one { Found::proved(state.max()) } else { Found::of_log(state, 1) }
        })
    }

    fn mean(state: &Binned) -> Found<T> {
        if state.count == 0 {
            return Found::proved(f64::NAN);
        }
        let are_equal = !state.has(kind::DISTINCT | kind::WEIGHTED | kind::VANISHING);
        Found::edge(state).unwrap_or_else(|| {
            if are_equal { Found::proved(state.max()) } else { Found::of_log(state, state.count) }
        })
    }

    fn ratio(numerator: &Binned, denominator: &Binned, is_square: bool) -> Found<T> {
        let [above, below] = [numerator, denominator].map(|state| state.sum::<T>());
        quotient_of(above, below, is_square)
    }
}

/// The number of states that are fetched from memory while the terms for them are computed.
const AT_ONCE: usize = TERMS;

fn check_groups<S, T>(states: &[S], groups: &[usize], fits: &'static str, z: &[T]) -> Result<(), Error> {
    same_length("groups", groups, fits, z)?;
    let segments = states.len();
    match groups.iter().position(|&group| group >= segments) {
        Some(index) => Err(Error::IdOutOfRange { index, id: groups[index], segments }),
        None => Ok(()),
    }
}

/// The logarithms of the squared weights.
fn doubled<T: Format>(log_weights: &[T]) -> [f64; AT_ONCE] {
    const MOST: f64 = power_of_two(1022);
    let mut doubled = [0.0; AT_ONCE];
    for (place, z) in doubled.iter_mut().zip(log_weights) {
        let z = z.widen();
        *place = 2.0 * if z.is_finite() { z.clamp(-MOST, MOST) } else { z };
    }
    doubled
}

task! {
    /// Prefetches those cache lines of the groups' states that their terms will change: all lines if there are weights,
    /// otherwise the first line of each [`Binned`].
    fn fetch<S: Sync>(states: &[S], groups: &[usize], have_weights: bool; simd: V) {
        let step = if have_weights { 64 } else { size_of::<Binned>() };
        for &group in groups {
            let state = &states[group];
            for line in (0..size_of_val(state)).step_by(step) {
                simd.prefetch(state, line);
            }
        }
    }
}

/// above/below, or above²/below.
fn quotient_of<T: Format>(above: Sum, below: Sum, is_square: bool) -> Found<T> {
    if above.anchor != below.anchor {
        return Found::proved(0.0);
    }
    let [mut high, low] = [above, below].map(|sum| sum.magnitude.to_dd());
    let (mut cells, mut unit, mut error) = (above.top, 0, above.error);
    if is_square {
        (high, cells, unit, error) = (product(high, high), cells.saturating_mul(2), UNIT, 2.0 * error);
    }
    let ratio = quotient(high, low).scaled(above.sign * below.sign);
    let power = BITS.saturating_mul(cells.saturating_sub(below.top)).saturating_add(unit);
    let [first, second] =
        [power / 2, power - power / 2].map(|power| power_of_two(power.clamp(-1022, 1022) as i32));
    let value = ratio.scaled(first).scaled(second);
    let relative = (error + below.error) * (1.0 + power_of_two(-8)) + power_of_two(-99);
    let is_known = relative < power_of_two(-9) && value.hi.abs() > power_of_two(-900);
    Found::within(value, if is_known { relative * value.hi.abs() } else { f64::INFINITY })
}

impl<T> Default for Accumulator<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Float> fmt::Debug for Accumulator<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accumulator").field("value", &self.value()).field("count", &self.count()).finish()
    }
}

impl<T: Float> fmt::Debug for EffectiveSampleSize<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.weights.count();
        f.debug_struct("EffectiveSampleSize").field("value", &self.value()).field("count", &count).finish()
    }
}

impl<T: Float> fmt::Debug for WeightedMean<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.weights.count();
        f.debug_struct("WeightedMean").field("value", &self.value()).field("count", &count).finish()
    }
}

/// Adds all numbers.
impl<T: Float> Extend<T> for Accumulator<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, numbers: I) {
        let (mut block, mut filled) = ([T::default(); AT_ONCE], 0);
        for z in numbers {
            block[filled] = z;
            filled += 1;
            if filled == block.len() {
                self.update(&block);
                filled = 0;
            }
        }
        self.update(&block[..filled]);
    }
}

/// The effective sample size (Σ w_k)² / Σ w_k² of importance weights w_k = e^{z_k} (Kong, 1992), for log-weights z_k
/// that arrive in pieces. It is between 1 and the number of weights, which it reaches if all weights are equal.
///
/// Like an [`Accumulator`], it has the same bits whatever the order and the parts: it consists of two of them, one for
/// the weights and one for their squares. Log-weights beyond ±2^1022 count as ±2^1022.
///
/// See also [`Accumulator`], [`WeightedMean`].
///
/// ```
/// let mut weights = logsum::EffectiveSampleSize::new();
/// weights.update(&[-1000.0, -1000.0, -1001.0, f64::NEG_INFINITY]);
/// assert_eq!(weights.value(), 2.6257483271778526);
/// ```
#[derive(Clone, Copy, PartialEq)]
pub struct EffectiveSampleSize<T> {
    weights: Accumulator<T>,
    squares: Accumulator<f64>,
}

impl<T: Float> EffectiveSampleSize<T> {
    /// The length of [`to_bytes`](Self::to_bytes).
    pub const BYTES: usize = 224;

    /// A state without log-weights, whose value is NaN.
    #[must_use]
    pub const fn new() -> Self {
        Self { weights: Accumulator::new(), squares: Accumulator::new() }
    }

    /// Adds log-weights.
    pub fn update(&mut self, log_weights: &[T]) {
        self.weights.update(log_weights);
        for block in log_weights.chunks(AT_ONCE) {
            self.squares.update(&doubled(block)[..block.len()]);
        }
    }

    /// Adds each log-weight i to the state `states[groups[i]]`. It does what [`update`](Self::update) does for one
    /// log-weight, but for many at once.
    ///
    /// ```
    /// use logsum::EffectiveSampleSize;
    /// let mut states = [EffectiveSampleSize::new(); 2];
    /// EffectiveSampleSize::update_groups(&mut states, &[0, 1, 0], &[0.0, 5.0, 0.0])?;
    /// assert_eq!(states.map(|state| state.value()), [2.0, 1.0]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `groups` is not as long as `log_weights`, [`Error::IdOutOfRange`] if a group is not
    /// an index of `states`; nothing is added then.
    pub fn update_groups(states: &mut [Self], groups: &[usize], log_weights: &[T]) -> Result<(), Error> {
        <T as Compiled<T>>::update_sizes(states, groups, log_weights)
    }

    /// Adds all log-weights of another state, with the properties of [`Accumulator::merge`].
    pub fn merge(&mut self, other: &Self) {
        self.weights.merge(&other.weights);
        self.squares.merge(&other.squares);
    }

    /// (Σ w_k)² / Σ w_k²; NaN if no log-weight is finite, or if one is +∞ or NaN.
    #[must_use]
    pub fn value(&self) -> T {
        self.found().value
    }

    /// Whether [`value`](Self::value) is proved to be the float nearest to the exact value.
    #[must_use]
    pub fn is_proved_nearest(&self) -> bool {
        self.found().is_proved
    }

    fn found(&self) -> Found<T> {
        let [weights, squares] = [&self.weights.state, &self.squares.state];
        if !weights.has(kind::FINITE) || weights.has(kind::NAN | kind::POSITIVE) {
            return Found::proved(f64::NAN);
        }
        if squares.max().abs() >= HUGE {
            // All weights but the greatest vanish: if n weights are the greatest, the value is n²/n = n.
            let sum = squares.sum::<f64>();
            let bound = if sum.error < 1.0 { 0.0 } else { f64::INFINITY };
            return Found::within(sum.magnitude.to_dd().scaled(power_of_two(UNIT as i32)), bound);
        }
        <T as Compiled<T>>::ratio(weights, squares, true)
    }

    /// The accumulator of the log-weights so far: its value is their log-sum-exp.
    ///
    /// ```
    /// let mut weights = logsum::EffectiveSampleSize::new();
    /// weights.update(&[0.0, 0.0]);
    /// assert_eq!(weights.log_weights().value(), std::f64::consts::LN_2);
    /// ```
    #[must_use]
    pub fn log_weights(&self) -> &Accumulator<T> {
        &self.weights
    }

    /// The state as bytes: those of two accumulators.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 224] {
        joined(PairKind::EffectiveSampleSize, self.weights.to_bytes(), self.squares.to_bytes())
    }

    /// The state that [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`Error::NotAState`], as [`Accumulator::from_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let [weights, squares] = halves(PairKind::EffectiveSampleSize, bytes)?;
        Ok(Self { weights: Accumulator::from_bytes(&weights)?, squares: Accumulator::from_bytes(&squares)? })
    }
}

/// The weighted mean Σ x_k e^{z_k} / Σ e^{z_k} of numbers x_k, with weights given by their logarithms z_k, for pairs
/// that arrive in pieces.
///
/// Like an [`Accumulator`], it has the same bits whatever the order and the parts: it consists of two of them, one for
/// each sum. Where x_k of both signs cancel, the error is relative to Σ |x_k| e^{z_k}.
///
/// See also [`Accumulator`], [`EffectiveSampleSize`].
///
/// ```
/// let mut mean = logsum::WeightedMean::new();
/// mean.update(&[-1000.0, -1001.0], &[1.0, 2.0])?;
/// assert_eq!(mean.value(), 1.2689414213699952); // 1 + 1/(1 + e)
/// # Ok::<(), logsum::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq)]
pub struct WeightedMean<T> {
    products: Accumulator<T>,
    weights: Accumulator<T>,
}

impl<T: Float> WeightedMean<T> {
    /// The length of [`to_bytes`](Self::to_bytes).
    pub const BYTES: usize = 224;

    /// A state without pairs, whose value is NaN.
    #[must_use]
    pub const fn new() -> Self {
        Self { products: Accumulator::new(), weights: Accumulator::new() }
    }

    /// Adds pairs of a log-weight z_k and a number x_k.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `x` is not as long as `log_weights`; nothing is added then.
    pub fn update(&mut self, log_weights: &[T], x: &[T]) -> Result<(), Error> {
        same_length("x", x, "log_weights", log_weights)?;
        self.products.update_weighted(log_weights, x)?;
        self.weights.update(log_weights);
        Ok(())
    }

    /// Adds all pairs of another state, with the properties of [`Accumulator::merge`].
    pub fn merge(&mut self, other: &Self) {
        self.products.merge(&other.products);
        self.weights.merge(&other.weights);
    }

    /// Σ x_k e^{z_k} / Σ e^{z_k}; NaN if no log-weight is finite, if one is +∞, or if there is a NaN. An infinite x_k
    /// makes the value infinite; or NaN, if there is one of the other sign, or if its log-weight is −∞ (∞ · 0).
    #[must_use]
    pub fn value(&self) -> T {
        self.found().value
    }

    /// Whether [`value`](Self::value) is proved to be the float nearest to the exact value.
    #[must_use]
    pub fn is_proved_nearest(&self) -> bool {
        self.found().is_proved
    }

    fn found(&self) -> Found<T> {
        let [products, weights] = [&self.products.state, &self.weights.state];
        let signs = kind::POSITIVE | kind::NEGATIVE;
        let is_unknown = products.has(kind::NAN)
            || weights.has(kind::NAN | kind::POSITIVE)
            || products.kinds & signs == signs
            || !weights.has(kind::FINITE);
        if is_unknown {
            return Found::proved(f64::NAN);
        }
        if products.has(signs) {
            return Found::proved(if products.has(kind::POSITIVE) {
                f64::INFINITY
            } else {
                f64::NEG_INFINITY
            });
        }
        let is_below = products.max() < weights.max() && weights.max().abs() >= HUGE;
        if !products.has(kind::FINITE) || is_below {
            return Found::proved(0.0);
        }
        <T as Compiled<T>>::ratio(products, weights, false)
    }

    /// The state as bytes: those of two accumulators.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 224] {
        joined(PairKind::WeightedMean, self.products.to_bytes(), self.weights.to_bytes())
    }

    /// The state that [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`Error::NotAState`], as [`Accumulator::from_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let [products, weights] = halves(PairKind::WeightedMean, bytes)?;
        Ok(Self {
            products: Accumulator::from_bytes(&products)?,
            weights: Accumulator::from_bytes(&weights)?,
        })
    }
}

/// The kind of a state that consists of two, in byte 5 of each.
#[derive(Clone, Copy)]
enum PairKind {
    EffectiveSampleSize = 1,
    WeightedMean = 2,
}

const KIND: usize = 5;

fn joined(kind: PairKind, first: [u8; 112], second: [u8; 112]) -> [u8; 224] {
    let mut bytes = [0; 224];
    for (place, mut half) in bytes.as_chunks_mut::<112>().0.iter_mut().zip([first, second]) {
        half[KIND] = kind as u8;
        *place = half;
    }
    bytes
}

fn halves(kind: PairKind, bytes: &[u8]) -> Result<[[u8; 112]; 2], Error> {
    let (&[mut first, mut second], []) = bytes.as_chunks::<112>() else {
        return Err(Error::NotAState { reason: "a state of this kind has 224 bytes" });
    };
    for half in [&mut first, &mut second] {
        if std::mem::take(&mut half[KIND]) != kind as u8 {
            return Err(Error::NotAState { reason: "the state is of another kind" });
        }
    }
    Ok([first, second])
}

impl<T: Float> Default for EffectiveSampleSize<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Float> Default for WeightedMean<T> {
    fn default() -> Self {
        Self::new()
    }
}
