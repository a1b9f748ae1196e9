//! log Σ e^{z_k} of rows: the first phase, in f64, or for f64 in double-doubles.

use crate::format::{Format, Number as _};
use crate::queue::{Queue, Unsettled};
use crate::row::{Row, Rows};
use crate::team::{Combined, Team};
use crate::thread::{Thread, exchange_f64};
use core::marker::PhantomData;
use logsum_arithmetic::double_double::{DoubleDouble, power_of_two, two_sum};
use logsum_arithmetic::exp::{EXP_F64_FINE_ERROR, NOTHING, UNSCALE};
use logsum_arithmetic::log_of_sum::{SLACK, estimate, scaled_log_of_tail};
use logsum_arithmetic::precision::{FineF64, Number, Precision};

/// Pieces of 16 bytes that a thread loads at once.
const LOADS: usize = 4;

/// Where a maximum must be for e^z to be summed as it is, without a shift: see `logsum_arithmetic::exp`.
const REACH: f64 = 64.0;

/// Writes the log-sum-exp of each row, one for each team of `lanes` threads, or, where the grid has several blocks in its
/// second direction, a power of 2, one block for each part of a row; a row that this phase does not settle goes into the queue.
/// `parts` is memory for [`BYTES_OF_PART`] bytes for each block, preceded by a counter of 16 bytes, 0 at first, for each
/// row.
#[inline(always)]
pub fn logsumexp<T: Format, G: Thread>(
    gpu: G,
    rows: Rows<T>,
    out: u64,
    lanes: u32,
    queue: Queue,
    parts: u64,
) {
    let (team, index) = Team::of(gpu, lanes);
    let row = rows.row(index);
    let (part, count) = (gpu.block()[1], gpu.blocks()[1]);
    let mut sum = Sum::of::<T, T::First, G>(gpu, row.part(part, count), team);
    // A chain of additions for each thread, and those of threads and parts.
    let additions = f64::from(rows.length >> (lanes * count).trailing_zeros()) + 64.0;
    let mut error = relative_error::<T::First>(additions);
    if count > 1 {
        let Some(all) = sum.with_other_parts::<T::First, G>(gpu, index, parts, team) else { return };
        sum = all;
        error += T::First::EXP_ERROR * SLACK;
    }
    if team.lane == 0 && index < rows.count {
        match sum.nearest::<T, T::First, G>(gpu, error) {
            Ok(bits) => T::store(gpu, out + index * u64::from(T::BYTES), bits),
            Err(estimate) => queue.push(gpu, Unsettled { row: index, estimate }),
        }
    }
}

/// Σ e^{z_k} of a row, or of a part of one, as e^max (1 + tail).
#[derive(Clone, Copy)]
struct Sum {
    /// The greatest number, NaN not counted.
    max: f64,
    /// The sum of the others' e^{z − max}, in units of [`UNSCALE`]; NaN if any number is.
    tail: DoubleDouble,
}

/// What the terms of a sum and the factor that makes them relative to e^max are off by, relatively, where threads add so many
/// terms one after the other.
///
/// In double-double, additions are those of [`Number::added_to`]: u²(k + 4) for the k-th.
#[inline(always)]
fn relative_error<P: Precision>(additions: f64) -> f64 {
    let of_additions = if P::IS_DOUBLE_DOUBLE {
        additions * (additions + 16.0) * power_of_two(-106)
    } else {
        additions * power_of_two(-53)
    };
    let of_factor = if P::IS_DOUBLE_DOUBLE { P::FACTOR_ERROR } else { EXP_F64_FINE_ERROR };
    (P::EXP_ERROR + of_factor + of_additions) * SLACK
}

impl Sum {
    /// All threads of the block must call it.
    #[inline(always)]
    fn of<T: Format, P: Precision, G: Thread>(gpu: G, row: Row<T>, team: Team) -> Self {
        // One of each thread's greatest numbers stays out of its sum.
        let mut max = T::Number::NEG_INFINITY;
        let mut sums = [DoubleDouble::ZERO; 2];
        row.each::<LOADS, G>(gpu, team, |i, z| {
            let other = if z > max { max } else { z };
            max = if z > max { z } else { max };
            sums[i % 2] = P::exp_at_0(other.to_f64()).added_to(sums[i % 2]);
        });
        let greatest = team.greatest(gpu, max).to_f64();
        let is_near = -REACH <= greatest && greatest <= REACH;
        let mut terms = Terms::<P>::of(sums, 1);
        if max.to_f64() < greatest {
            terms = Terms::of([terms.sum, P::exp_at_0(max.to_f64()).to_dd()], 0);
        }
        if !is_near {
            // Once more, relative to the greatest number, which may be infinite.
            let (mut sums, mut count) = ([DoubleDouble::ZERO; 2], 0);
            row.each::<LOADS, G>(gpu, team, |i, z| {
                let z = z.to_f64();
                if z == greatest {
                    count += 1;
                } else {
                    sums[i % 2] = P::exp(z, greatest).added_to(sums[i % 2]);
                }
            });
            terms = Terms::of(sums, count);
        }
        let Terms { sum, greatest: count, .. } = team.all(gpu, terms);
        let tail = if is_near { relative_to_max::<P>(sum, greatest) } else { sum };
        // None is greatest only where all are NaN.
        let others = if count == 0 { 0.0 } else { f64::from(count - 1) / UNSCALE };
        let tail = if P::IS_DOUBLE_DOUBLE { tail + others } else { DoubleDouble::from(tail.hi + others) };
        Self { max: greatest, tail }
    }

    /// The sum of all parts of this row, for the threads of the block that is the last to come here; nothing for others.
    /// All threads of the block must call it.
    #[inline(always)]
    fn with_other_parts<P: Precision, G: Thread>(
        self,
        gpu: G,
        row: u64,
        parts: u64,
        team: Team,
    ) -> Option<Self> {
        let (part, count) = (gpu.block()[1], gpu.blocks()[1]);
        let counter = parts + BYTES_OF_COUNTER * row;
        let first =
            parts + BYTES_OF_COUNTER * u64::from(gpu.blocks()[0]) + BYTES_OF_PART * u64::from(count) * row;
        if team.lane == 0 {
            let address = first + BYTES_OF_PART * u64::from(part);
            for (i, word) in [self.max, self.tail.hi, self.tail.lo].into_iter().enumerate() {
                gpu.store_u64(address + 8 * i as u64, word.to_bits());
            }
            gpu.share(0, gpu.add(counter, 1).into());
        }
        gpu.barrier();
        if gpu.shared(0) != u64::from(count - 1) {
            return None;
        }
        gpu.barrier();
        let load = |part: u32| {
            let address = first + BYTES_OF_PART * u64::from(part);
            let [max, hi, lo] = [0, 8, 16].map(|at| f64::from_bits(gpu.load_written(address + at)));
            Self { max, tail: DoubleDouble { hi, lo } }
        };
        let mut max = f64::NEG_INFINITY;
        let mut part = team.lane;
        while part < count {
            let other = load(part);
            max = if other.max > max { other.max } else { max };
            part += team.lanes;
        }
        let max = team.greatest(gpu, max);
        let (mut sum, mut greatest) = (DoubleDouble::ZERO, 0);
        let mut part = team.lane;
        while part < count {
            let other = load(part);
            if other.max == max {
                greatest += 1;
                sum = P::Number::of(other.tail).added_to(sum);
            } else {
                let factor = P::exp(other.max, max);
                let tail = factor * P::Number::of(other.tail.scaled(UNSCALE));
                sum = (factor + tail).added_to(sum);
            }
            part += team.lanes;
        }
        let Terms { sum, greatest, .. } = team.all(gpu, Terms::<P>::of([sum, DoubleDouble::ZERO], greatest));
        let others = if greatest == 0 { 0.0 } else { f64::from(greatest - 1) / UNSCALE };
        if team.lane == 0 {
            gpu.store_u64(counter, 0);
        }
        Some(Self { max, tail: sum + others })
    }

    /// The bits of the number nearest to the logarithm, or an estimate of it.
    #[inline(always)]
    fn nearest<T: Format, P: Precision, G: Thread>(self, gpu: G, relative_error: f64) -> Result<u64, f64> {
        let Self { max, tail } = self;
        if tail.hi.is_nan() {
            return Ok(T::nearest(gpu, f64::NAN));
        }
        if !max.is_finite() || tail.hi < NOTHING {
            // A zero becomes +0, as log(e^-0) is.
            return Ok(T::nearest(gpu, max + 0.0));
        }
        let error = tail.hi * relative_error;
        let (value, bound) = estimate::<P, f64>(max, tail, error);
        let [low, high] = if T::BYTES == 8 && max == 0.0 {
            // The value may be subnormal.
            let (log, bound) = scaled_log_of_tail::<P, f64>(tail, error);
            log.scaled_ends_among_least(DoubleDouble::ONE, bound / log.hi)
        } else {
            T::ends(value, bound)
        }
        .map(|end| T::nearest(gpu, end));
        if low == high { Ok(low) } else { Err(value.hi) }
    }
}

/// A sum of terms that are not relative to the maximum, as one that is.
#[inline(always)]
fn relative_to_max<P: Precision>(sum: DoubleDouble, max: f64) -> DoubleDouble {
    if P::IS_DOUBLE_DOUBLE {
        // Each factor takes half of UNSCALE: either may be tiny, but no part of a tail that matters is subnormal.
        const ROOT: f64 = power_of_two(-256);
        sum.scaled(ROOT) * P::factor(0.0, max).scaled(ROOT)
    } else {
        // Off by two roundings more, 2^-52; the quotient may be as small as 2^-1900, which is 0.
        let of_max = FineF64::exp_at_0(max).0;
        DoubleDouble::from(sum.hi / of_max / UNSCALE)
    }
}

/// Bytes of a counter of parts.
pub const BYTES_OF_COUNTER: u64 = 16;

/// Bytes of what is known of a part of a row.
pub const BYTES_OF_PART: u64 = 24;

/// A sum of terms in a precision, and how many numbers are the greatest, and not in it.
struct Terms<P> {
    sum: DoubleDouble,
    greatest: u32,
    precision: PhantomData<fn() -> P>,
}

// Derived implementations would require Clone and Copy of P.
impl<P> Clone for Terms<P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Terms<P> {}

impl<P: Precision> Terms<P> {
    /// Of two sums, which need not be normalised.
    #[inline(always)]
    fn of([a, b]: [DoubleDouble; 2], greatest: u32) -> Self {
        let sum = if P::IS_DOUBLE_DOUBLE {
            two_sum(a.hi, a.lo) + two_sum(b.hi, b.lo)
        } else {
            DoubleDouble::from(a.hi + b.hi)
        };
        Self { sum, greatest, precision: PhantomData }
    }
}

impl<P: Precision> Combined for Terms<P> {
    const WORDS: u32 = 3;

    #[inline(always)]
    fn exchanged<G: Thread>(self, gpu: G, mask: u32) -> Self {
        let lo = if P::IS_DOUBLE_DOUBLE { exchange_f64(gpu, self.sum.lo, mask) } else { 0.0 };
        let sum = DoubleDouble { hi: exchange_f64(gpu, self.sum.hi, mask), lo };
        Self { sum, greatest: gpu.exchange(self.greatest, mask), ..self }
    }

    #[inline(always)]
    fn with(self, other: Self) -> Self {
        let sum = (P::Number::of(self.sum) + P::Number::of(other.sum)).to_dd();
        Self { sum, greatest: self.greatest + other.greatest, ..self }
    }

    #[inline(always)]
    fn word(self, index: u32) -> u64 {
        match index {
            0 => self.sum.hi.to_bits(),
            1 => self.sum.lo.to_bits(),
            _ => self.greatest.into(),
        }
    }

    #[inline(always)]
    fn of_words(word: impl Fn(u32) -> u64) -> Self {
        let [hi, lo] = [0, 1].map(|index| f64::from_bits(word(index)));
        Self { sum: DoubleDouble { hi, lo }, greatest: word(2) as u32, precision: PhantomData }
    }
}
