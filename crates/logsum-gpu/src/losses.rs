//! The loss −log softmax(z)_t of each row z with its target t, and its gradient: the first phases.

use crate::column::Column;
use crate::format::{Format, Number as _};
use crate::layout::Layout;
use crate::line::{Line, Rows};
use crate::logsumexp::Relative;
use crate::parts::Parts;
use crate::queue::{Queue, Unsettled};
use crate::row::Row;
use crate::shares::{Results, differ, inverse, log_of_count};
use crate::sum::{Sum, additions};
use crate::team::{Any, Team};
use crate::thread::Thread;
use logsum_arithmetic::double_double::{DoubleDouble, power_of_two};
use logsum_arithmetic::exp::{NOTHING, UNSCALE};
use logsum_arithmetic::log_of_sum::{SLACK, error_of_share, log_of_tail, share_of_tail};
use logsum_arithmetic::precision::{Number, Precision};

/// Pieces of 16 bytes that a thread loads at once for a part of a row.
const LOADS: usize = 4;

/// The target of each row, in the GPU's memory.
#[derive(Clone, Copy)]
pub struct Targets {
    /// The address of as many signed 64-bit indices as there are rows.
    pub address: u64,
    /// The index that rows which do not count have.
    pub ignored: i64,
}

/// What the loss of a row is about.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// The probability of this class.
    Class(u32),
    /// Nothing: the loss is 0.
    Ignored,
    /// A class that the row does not have: the loss is NaN, since a kernel has no errors.
    OutOfRange,
}

impl Targets {
    #[inline(always)]
    pub(crate) fn of<G: Thread>(self, gpu: G, row: u64, length: u32) -> Target {
        let index = gpu.load_u64(self.address + 8 * row);
        if index == self.ignored as u64 {
            Target::Ignored
        } else if index < u64::from(length) {
            Target::Class(index as u32)
        } else {
            Target::OutOfRange
        }
    }
}

/// What the kernels of losses keep of each row for its gradient, in the GPU's memory, so that this need not sum the row
/// again: the greatest number; the sum of the others relative to it, in two words; and what [`Sum::relative_error`]
/// says of the whole. The sum is one in the precision [`Format::Kept`].
#[derive(Clone, Copy)]
pub struct Kept {
    /// The address of [`BYTES`](Self::BYTES) bytes for each row, a multiple of 8; or 0, where nothing is kept.
    pub address: u64,
}

impl Kept {
    /// Where nothing is kept.
    pub const NOTHING: Self = Self { address: 0 };

    /// Bytes that are kept of a row.
    pub const BYTES: u64 = 32;

    #[inline(always)]
    fn store<G: Thread>(self, gpu: G, row: u64, Relative { max, tail }: Relative, relative_error: f64) {
        if self.address != 0 {
            let words = [max, tail.hi, tail.lo, relative_error];
            for i in 0..4 {
                gpu.store_u64(self.address + Self::BYTES * row + 8 * i as u64, words[i].to_bits());
            }
        }
    }

    /// The sum of a row, and a bound on its relative error.
    #[inline(always)]
    fn load<P: Precision, G: Thread>(self, gpu: G, row: u64) -> (Sum<P>, f64) {
        let words = [0, 1, 2, 3].map(|i| gpu.load_u64(self.address + Self::BYTES * row + 8 * i));
        let [max, hi, lo, relative_error] = words.map(f64::from_bits);
        (Sum::of_relative(max, DoubleDouble { hi, lo }), relative_error)
    }
}

/// Where what is known of the losses of rows goes.
#[derive(Clone, Copy)]
pub struct Losses {
    /// The address of a number of the rows' format for each.
    pub out: u64,
    /// What their gradients need of them.
    pub kept: Kept,
}

/// Writes the loss of each row: a team of `lanes` threads for each, which make `LOADS` loads at once and sum in the
/// precision `P`. A row that this phase does not settle goes into the queue.
#[inline(always)]
pub fn losses<T: Format, L: Layout, P: Precision, const LOADS: usize, G: Thread>(
    gpu: G,
    rows: Rows<T>,
    targets: Targets,
    results: Losses,
    lanes: u32,
    queue: Queue,
) {
    let (team, index) = L::team(gpu, lanes);
    let (sum, _) = Sum::<P>::of::<T, _, LOADS, true, G>(gpu, L::line(rows, index), team);
    if team.lane == 0 && index < rows.count {
        let error = Sum::<P>::relative_error(additions(rows.length, lanes));
        write::<T, P, G>(gpu, rows, index, Relative::from(sum), error, targets, results, queue);
    }
}

/// The same for few long rows: a block for each of several parts of a row, as many as the grid has blocks in its second
/// direction, a power of 2.
#[inline(always)]
pub fn losses_by_parts<T: Format, P: Precision, G: Thread>(
    gpu: G,
    rows: Rows<T>,
    targets: Targets,
    results: Losses,
    queue: Queue,
    parts: Parts,
) {
    let (team, index) = Team::of(gpu, gpu.count());
    let (part, count) = (gpu.block()[1], gpu.blocks()[1]);
    let (sum, _) = Sum::<P>::of::<T, _, LOADS, true, G>(gpu, Row::of(rows, index).part(part, count), team);
    let all = Relative::from(sum).with_other_parts::<P, G>(gpu, index, parts, team);
    if let (Some(sum), 0) = (all, team.lane) {
        let error = Sum::<P>::relative_error(additions(rows.length, team.lanes * count));
        let error = error + P::EXP_ERROR * SLACK;
        write::<T, P, G>(gpu, rows, index, sum, error, targets, results, queue);
    }
}

/// Writes the loss of a row, or puts the row into the queue.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "what a row's loss is made of")]
fn write<T: Format, P: Precision, G: Thread>(
    gpu: G,
    rows: Rows<T>,
    row: u64,
    sum: Relative,
    relative_error: f64,
    targets: Targets,
    results: Losses,
    queue: Queue,
) {
    results.kept.store(gpu, row, sum, relative_error);
    let found = match targets.of(gpu, row, rows.length) {
        Target::Class(class) => {
            let z = T::load(gpu, Column::of(rows, row).number(class)).to_f64();
            loss::<T, P, G>(gpu, sum, relative_error, z)
        }
        Target::Ignored => Ok(T::nearest(gpu, 0.0)),
        Target::OutOfRange => Ok(T::nearest(gpu, f64::NAN)),
    };
    match found {
        Ok(bits) => T::store(gpu, results.out + row * u64::from(T::BYTES), bits),
        Err(estimate) => queue.push(gpu, Unsettled { row, estimate }),
    }
}

/// The bits of the number nearest to LSE − z, or an estimate of the log-sum-exp.
#[inline(always)]
fn loss<T: Format, P: Precision, G: Thread>(
    gpu: G,
    sum: Relative,
    relative_error: f64,
    z: f64,
) -> Result<u64, f64> {
    let Relative { max, tail } = sum;
    if tail.hi.is_nan() {
        return Ok(T::nearest(gpu, f64::NAN));
    }
    if !max.is_finite() {
        if max == f64::INFINITY && z == f64::INFINITY {
            // The tail is the number of the other infinite scores.
            return Ok(T::nearest_to_sum(gpu, log_of_count(1.0 + tail.hi * UNSCALE)));
        }
        return Ok(T::nearest(gpu, f64::INFINITY));
    }
    let (log, error) = log_of_tail::<P, f64>(tail, tail.hi * relative_error);
    let [high, low] = P::log_share_ends(z, max, log, error).map(|end| T::nearest(gpu, 0.0 - end));
    if differ::<T>(low, high) { Err(sum.estimate::<P>()) } else { Ok(high) }
}

/// The targets and factors that the gradients of losses are computed from.
#[derive(Clone, Copy)]
pub struct Weighted {
    /// The target of each row.
    pub targets: Targets,
    /// The address of a number of the rows' format for each row, by which its gradient is multiplied.
    pub factors: u64,
}

impl Weighted {
    /// The factor of a row; 0 for one that the rows do not have.
    #[inline(always)]
    pub(crate) fn factor<T: Format, G: Thread>(self, gpu: G, row: u64, count: u64) -> f64 {
        if row < count { T::load(gpu, self.factors + row * u64::from(T::BYTES)).to_f64() } else { 0.0 }
    }
}

/// Writes the derivatives of each row's loss, softmax(z)_i − [i = t], rounded to the nearest number and then multiplied
/// by the row's factor: a team of `lanes` threads for each row. A row with a result that this phase does not settle
/// goes into the queue. The log-sum-exps are not written. Of zeros the sign means nothing.
#[inline(always)]
pub fn loss_gradients<T: Format, L: Layout, const LOADS: usize, G: Thread>(
    gpu: G,
    rows: Rows<T>,
    of: Weighted,
    results: Results,
    lanes: u32,
    queue: Queue,
) {
    let (team, index) = L::team(gpu, lanes);
    let row = L::line(rows, index);
    let (sum, held) = Sum::<T::Elements>::of::<T, _, LOADS, false, G>(gpu, row, team);
    let relative_error = Sum::<T::Elements>::relative_error(additions(rows.length, lanes));
    let part = Part { rows, index, row, held, sum, relative_error };
    let estimate = part.estimate();
    if part.write_derivatives(gpu, of, results, team) && team.lane == 0 && index < rows.count {
        queue.push(gpu, Unsettled { row: index, estimate });
    }
}

/// The same with what the kernels of losses kept of each row, which is then read only once: a block for each of several
/// parts of a row, as many as the grid has blocks in its second direction, a power of 2.
#[inline(always)]
pub fn loss_gradients_of_kept<T: Format, const LOADS: usize, G: Thread>(
    gpu: G,
    rows: Rows<T>,
    of: Weighted,
    kept: Kept,
    results: Results,
    queue: Queue,
    parts: Parts,
) {
    let (team, index) = Team::of(gpu, gpu.count());
    let (part_of_row, count) = (gpu.block()[1], gpu.blocks()[1]);
    let row = Row::of(rows, index).part(part_of_row, count);
    let held = row.last::<LOADS, G>(gpu, team);
    let (sum, relative_error) = kept.load(gpu, index);
    let part = Part { rows, index, row, held, sum, relative_error };
    let estimate = part.estimate();
    let is_unsettled = part.write_derivatives(gpu, of, results, team);
    // The last block of a row to come here puts it into the queue, if any of them has to.
    let is_any = [u64::from(is_unsettled)];
    if count > 1 && !parts.is_last(gpu, team, index, part_of_row, count, is_any) {
        return;
    }
    let mut is_unsettled = is_unsettled;
    let mut other = team.lane;
    while count > 1 && other < count {
        let [word] = parts.of(gpu, index, other, count);
        is_unsettled |= word != 0;
        other += team.lanes;
    }
    if team.all(gpu, Any(is_unsettled)).0 && team.lane == 0 {
        queue.push(gpu, Unsettled { row: index, estimate });
    }
}

/// A row, or a part of one, with the pieces that this thread has loaded last, the sum of the whole row, and a bound on
/// the relative error of that.
struct Part<T: Format, L: Line<T>, const LOADS: usize> {
    rows: Rows<T>,
    index: u64,
    row: L,
    held: L::Held<LOADS>,
    sum: Sum<T::Elements>,
    relative_error: f64,
}

impl<T: Format, L: Line<T>, const LOADS: usize> Part<T, L, LOADS> {
    /// An estimate of the row's log-sum-exp.
    #[inline(always)]
    fn estimate(&self) -> f64 {
        Relative { max: self.sum.max, tail: self.sum.tail() }.estimate::<T::Elements>()
    }

    /// Writes the derivatives, and returns whether any of them is not settled. All threads of the block must call it.
    #[inline(always)]
    fn write_derivatives<G: Thread>(self, gpu: G, of: Weighted, results: Results, team: Team) -> bool {
        let Self { rows, index, row, held, sum, relative_error } = self;
        let target =
            if index < rows.count { of.targets.of(gpu, index, rows.length) } else { Target::Ignored };
        let factor = of.factor::<T, G>(gpu, index, rows.count);
        let times_factor = |bits: u64| T::times(gpu, bits, factor);
        let [out, step] = results.of_row::<T>(index);
        let mut is_unsettled = false;
        if !matches!(target, Target::Class(_)) || sum.is_nan() || !sum.max.is_finite() {
            let is_infinite = sum.max == f64::INFINITY;
            let [nan, zero, minus_one] = [f64::NAN, 0.0, -1.0].map(|x| T::nearest(gpu, x));
            let share = T::nearest(gpu, 1.0 / f64::from(sum.greatest));
            let less_one = T::nearest_to_sum(gpu, less_one_of_equal(sum.greatest));
            // At +∞ and elsewhere: for other classes, and for the target.
            let [of_others, of_target] = match target {
                Target::Ignored => [[zero; 2]; 2],
                _ if sum.is_nan() || matches!(target, Target::OutOfRange) => [[nan; 2]; 2],
                _ if is_infinite => [[share, zero], [less_one, minus_one]],
                // Without any mass the loss is constant.
                _ => [[zero; 2]; 2],
            };
            let mut own = team.lane;
            while own < row.own_length() {
                let number = row.own_index(own);
                let is_target = matches!(target, Target::Class(class) if class == number);
                let [infinite, finite] = if is_target { of_target } else { of_others };
                let z = T::load(gpu, row.number(number)).to_f64();
                let bits = times_factor(if z == f64::INFINITY { infinite } else { finite });
                T::store(gpu, out + step * u64::from(number), bits);
                own += team.lanes;
            }
        } else {
            let whole = sum.whole().to_dd();
            let error = error_of_share::<T::Elements, f64>(whole.hi, whole.hi * relative_error);
            let inverse = inverse::<T::Elements>(whole);
            row.write::<LOADS, G>(gpu, team, held, [out, step], |z| {
                let term = if sum.center == 0.0 {
                    z.exp::<T::Elements, G>(gpu)
                } else {
                    T::Elements::exp(z.to_f64(), sum.center)
                };
                let [low, high] = term.scaled_ends(inverse, error).map(|end| T::nearest(gpu, end));
                is_unsettled |= differ::<T>(low, high);
                times_factor(high)
            });
        }
        // The target's own derivative takes the place of its share.
        gpu.barrier();
        if let (Target::Class(class), 0, true) = (target, team.lane, sum.max.is_finite() && !sum.is_nan())
            && row.has(class)
        {
            let z = T::load(gpu, row.number(class)).to_f64();
            let [low, high] =
                rest_ends::<T, _>(&sum, relative_error, z).map(|end| T::nearest(gpu, 0.0 - end));
            is_unsettled |= differ::<T>(low, high);
            T::store(gpu, out + step * u64::from(class), times_factor(high));
        }
        team.all(gpu, Any(is_unsettled)).0
    }
}

/// The share of one of so many equal scores less 1, where no others count: exact where their number is a power of 2.
#[inline(always)]
pub(crate) fn less_one_of_equal(count: u32) -> DoubleDouble {
    let count = f64::from(count);
    DoubleDouble::from(1.0 - count) / DoubleDouble::from(count)
}

/// Two ends with 1 − p between them, where p is the share of z. Where they are subnormal in f64, they differ.
#[inline(always)]
fn rest_ends<T: Format, P: Precision>(sum: &Sum<P>, relative_error: f64, z: f64) -> [f64; 2] {
    if z < sum.max {
        let (rest, bound) = rest_of_lesser(sum, relative_error, z);
        return T::ends(rest, bound);
    }
    let tail = sum.tail();
    if tail.hi < NOTHING {
        return [0.0; 2];
    }
    let (rest, bound) = share_of_tail(tail, tail.hi * relative_error);
    // Where f64s are enough the low part is left out; and the ends are rounded.
    let of_rounding = power_of_two(if P::IS_DOUBLE_DOUBLE { -101 } else { -50 });
    P::Number::of(rest).scaled_ends(DoubleDouble::ONE, bound / rest.hi * SLACK + of_rounding)
}

/// 1 − p, and a bound on its error, where p is the share of a z that is not the greatest: it is at most a half, so that
/// the difference keeps its accuracy.
#[inline(always)]
pub(crate) fn rest_of_lesser<P: Precision>(sum: &Sum<P>, relative_error: f64, z: f64) -> (DoubleDouble, f64) {
    let whole = sum.whole().to_dd();
    let error = error_of_share::<P, f64>(whole.hi, whole.hi * relative_error);
    let p = (P::exp(z, sum.center) * P::Number::of(inverse::<P>(whole))).to_dd().scaled(UNSCALE);
    // The difference is off by 3u² of at most 1.
    (DoubleDouble::ONE - p, p.hi * error * SLACK + power_of_two(-104))
}
