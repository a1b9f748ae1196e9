//! log Σ e^{z_k} of rows: the first phase, in f64, or for f64 in double-doubles.

use crate::format::Format;
use crate::layout::Layout;
use crate::line::Rows;
use crate::parts::Parts;
use crate::queue::{Queue, Unsettled};
use crate::row::Row;
use crate::sum::{Sum, Terms, additions, all_but_one};
use crate::team::Team;
use crate::thread::Thread;
use logsum_arithmetic::double_double::DoubleDouble;
use logsum_arithmetic::exp::{NOTHING, UNSCALE};
use logsum_arithmetic::log_of_sum::{SLACK, estimate};
use logsum_arithmetic::precision::{Number, Precision};
use logsum_arithmetic::rounding_test::{TINY, nearest_of_least};

/// Pieces of 16 bytes that a thread loads at once for a part of a row.
const LOADS: usize = 4;

/// Writes the log-sum-exp of each row: a team of `lanes` threads for each, which make `LOADS` loads at once. A row that
/// this phase does not settle goes into the queue.
#[inline(always)]
pub fn logsumexp<T: Format, L: Layout, const LOADS: usize, G: Thread>(
    gpu: G,
    rows: Rows<T>,
    out: u64,
    lanes: u32,
    queue: Queue,
) {
    let (team, index) = L::team(gpu, lanes);
    let (sum, _) = Sum::<T::First>::of::<T, _, LOADS, true, G>(gpu, L::line(rows, index), team);
    if team.lane == 0 && index < rows.count {
        let error = Sum::<T::First>::relative_error(additions(rows.length, lanes));
        Relative::from(sum).write::<T, T::First, G>(gpu, error, out, index, queue);
    }
}

/// The same for few long rows: a block for each of several parts of a row, as many as the grid has blocks in its second
/// direction, a power of 2.
#[inline(always)]
pub fn logsumexp_by_parts<T: Format, G: Thread>(gpu: G, rows: Rows<T>, out: u64, queue: Queue, parts: Parts) {
    let (team, index) = Team::of(gpu, gpu.count());
    let (part, count) = (gpu.block()[1], gpu.blocks()[1]);
    let (sum, _) =
        Sum::<T::First>::of::<T, _, LOADS, true, G>(gpu, Row::of(rows, index).part(part, count), team);
    let all = Relative::from(sum).with_other_parts::<T::First, G>(gpu, index, parts, team);
    if let (Some(sum), 0) = (all, team.lane) {
        let error = Sum::<T::First>::relative_error(additions(rows.length, team.lanes * count));
        sum.write::<T, T::First, G>(gpu, error + T::First::EXP_ERROR * SLACK, out, index, queue);
    }
}

/// Σ e^{z_k} of a row, or of a part of one, as e^max (1 + tail).
#[derive(Clone, Copy)]
pub(crate) struct Relative {
    /// The greatest number, NaN not counted.
    pub(crate) max: f64,
    /// The sum of the others' e^{z − max}, in units of [`UNSCALE`]; NaN if any number is.
    pub(crate) tail: DoubleDouble,
}

impl<P: Precision> From<Sum<P>> for Relative {
    #[inline(always)]
    fn from(sum: Sum<P>) -> Self {
        Self { max: sum.max, tail: sum.tail() }
    }
}

impl Relative {
    /// Writes the number nearest to the logarithm, or puts its row into the queue.
    #[inline(always)]
    fn write<T: Format, P: Precision, G: Thread>(
        self,
        gpu: G,
        relative_error: f64,
        out: u64,
        row: u64,
        queue: Queue,
    ) {
        match self.nearest::<T, P, G>(gpu, relative_error) {
            Ok(bits) => T::store(gpu, out + row * u64::from(T::BYTES), bits),
            Err(estimate) => queue.push(gpu, Unsettled { row, estimate }),
        }
    }

    /// The sum of all parts of this row, for the threads of the block that is the last to come here; nothing for
    /// others. All threads of the block must call it.
    #[inline(always)]
    pub(crate) fn with_other_parts<P: Precision, G: Thread>(
        self,
        gpu: G,
        row: u64,
        parts: Parts,
        team: Team,
    ) -> Option<Self> {
        let Self { max, tail } = self;
        let words = [max, tail.hi, tail.lo].map(f64::to_bits);
        if !parts.is_last(gpu, team, row, gpu.block()[1], gpu.blocks()[1], words) {
            return None;
        }
        let load = |part: u32| {
            let [max, hi, lo] = parts.of(gpu, row, part, gpu.blocks()[1]).map(f64::from_bits);
            Self { max, tail: DoubleDouble { hi, lo } }
        };
        let count = gpu.blocks()[1];
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
        Some(Self { max, tail: sum + all_but_one(greatest) })
    }

    /// An estimate of the logarithm of a sum with a finite maximum.
    #[inline(always)]
    pub(crate) fn estimate<P: Precision>(self) -> f64 {
        estimate::<P, f64>(self.max, self.tail, 0.0).0.hi
    }

    /// The bits of the number nearest to the logarithm, or an estimate of it.
    #[inline(always)]
    pub(crate) fn nearest<T: Format, P: Precision, G: Thread>(
        self,
        gpu: G,
        relative_error: f64,
    ) -> Result<u64, f64> {
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
        if T::BYTES == 8 && max.abs() < TINY && tail.hi * UNSCALE < TINY {
            return nearest_of_least(max, tail, error).map(|x| T::nearest(gpu, x)).ok_or(value.hi);
        }
        let [low, high] = T::ends(value, bound).map(|end| T::nearest(gpu, end));
        if low == high { Ok(low) } else { Err(value.hi) }
    }
}
