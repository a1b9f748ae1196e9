//! Rows that the first phase did not settle: their sum in triple-doubles about an estimate of its logarithm.

use crate::column::{Column, Summed};
use crate::format::{Format, Number as _};
use crate::line::{Line as _, Rows};
use crate::losses::{Target, Targets, Weighted, less_one_of_equal, rest_of_lesser};
use crate::parts::Parts;
use crate::queue::{Queue, Unsettled};
use crate::shares::{Results, inverse};
use crate::sum::{Sum, additions};
use crate::team::{Combined, Team};
use crate::thread::{Thread, exchange_f64};
use logsum_arithmetic::double_double::{DoubleDouble, power_of_two, two_sum};
use logsum_arithmetic::exp::{LEAST, NOTHING, SCALE, UNSCALE, WIDE_ERROR, exp_dd_wide};
use logsum_arithmetic::exp_td::{at_least, error_of_sum, exp_td, share_of_error};
use logsum_arithmetic::ln::log1p_dd_near_0;
use logsum_arithmetic::log_of_sum::{error_of_share, scaled_log_of_tail, share_of_tail};
use logsum_arithmetic::precision::{Number, Precision};
use logsum_arithmetic::rounding_test::{TINY, ends_as_sums, nearest_of_least};
use logsum_arithmetic::triple_double::TripleDouble;

/// Numbers that a thread loads at once.
const LOADS: usize = 1;

/// Writes the log-sum-exp of each row of the queue and empties it. What this leaves open of f64, most often the value
/// of a row whose logarithm is so near to 0 that 2^-116 is not enough, goes into `rest`, the queue of
/// [`settle_in_fixed_point`](crate::fixed_point::settle_in_fixed_point). A row of another format that is left open was
/// built to be hard: it gets the number nearest to the estimate, and is counted.
#[inline(always)]
pub fn settle<T: Format, G: Thread>(
    gpu: G,
    rows: Rows<T>,
    out: u64,
    queue: Queue,
    rest: Queue,
    parts: Parts,
) {
    queue.each_sum(gpu, rows, parts, |Unsettled { row, estimate }, terms| {
        let sum = CentredSum { center: center_for(DoubleDouble::from(estimate)), terms };
        sum.store::<T, G>(gpu, row, out, queue, rest);
    });
}

/// Writes softmax of each row of the queue, or with `log` log-softmax, and empties the queue; and the log-sum-exps
/// where asked for, as [`settle`] does. A block works on each row.
#[inline(always)]
pub fn settle_shares<T: Format, G: Thread>(
    gpu: G,
    rows: Rows<T>,
    results: Results,
    log: bool,
    queue: Queue,
    rest: Queue,
) {
    let (team, mut index) = Team::of(gpu, gpu.count());
    let count = u64::from(queue.len(gpu));
    while index < count {
        let Unsettled { row: at, .. } = queue.get(gpu, index as u32);
        let row = Column::of(rows, at);
        let elements = Elements::of_row(gpu, rows, at, team);
        if team.lane == 0 && results.values != 0 {
            elements.centred.store::<T, G>(gpu, at, results.values, queue, rest);
        }
        let [out, step] = results.of_row::<T>(at);
        let mut number = team.lane;
        while number < rows.length {
            let z = T::load(gpu, row.number(number)).to_f64();
            let found = if log { elements.log_share::<T, G>(gpu, z) } else { elements.share::<T, G>(gpu, z) };
            let bits = or_estimate::<T, G>(gpu, found, queue);
            T::store(gpu, out + step * u64::from(number), bits);
            number += team.lanes;
        }
        index += u64::from(gpu.blocks()[0]);
    }
    queue.finish(gpu);
}

/// Writes the loss of each row of the queue likewise.
#[inline(always)]
pub fn settle_losses<T: Format, G: Thread>(gpu: G, rows: Rows<T>, targets: Targets, out: u64, queue: Queue) {
    let (team, mut index) = Team::of(gpu, gpu.count());
    let count = u64::from(queue.len(gpu));
    while index < count {
        let Unsettled { row: at, .. } = queue.get(gpu, index as u32);
        let elements = Elements::of_row(gpu, rows, at, team);
        // No other rows were put there.
        if let (Target::Class(class), 0) = (targets.of(gpu, at, rows.length), team.lane) {
            let z = T::load(gpu, Column::of(rows, at).number(class)).to_f64();
            let bits = or_estimate::<T, G>(gpu, elements.log_share::<T, G>(gpu, z), queue);
            // The loss is the magnitude.
            let sign = 1 << (8 * T::BYTES - 1);
            T::store(gpu, out + at * u64::from(T::BYTES), bits & !sign);
        }
        index += u64::from(gpu.blocks()[0]);
    }
    queue.finish(gpu);
}

/// Writes the derivatives of the loss of each row of the queue likewise.
#[inline(always)]
pub fn settle_loss_gradients<T: Format, G: Thread>(
    gpu: G,
    rows: Rows<T>,
    of: Weighted,
    results: Results,
    queue: Queue,
) {
    let (team, mut index) = Team::of(gpu, gpu.count());
    let count = u64::from(queue.len(gpu));
    while index < count {
        let Unsettled { row: at, .. } = queue.get(gpu, index as u32);
        let row = Column::of(rows, at);
        let elements = Elements::of_row(gpu, rows, at, team);
        let factor = of.factor::<T, G>(gpu, at, rows.count);
        let [out, step] = results.of_row::<T>(at);
        let target = match of.targets.of(gpu, at, rows.length) {
            Target::Class(class) => class,
            // No other rows were put there.
            _ => rows.length,
        };
        let mut number = team.lane;
        while number < rows.length {
            let z = T::load(gpu, row.number(number)).to_f64();
            let found = if number == target {
                elements.share_less_one::<T, G>(gpu, z)
            } else {
                elements.share::<T, G>(gpu, z)
            };
            let bits = T::times(gpu, or_estimate::<T, G>(gpu, found, queue), factor);
            T::store(gpu, out + step * u64::from(number), bits);
            number += team.lanes;
        }
        index += u64::from(gpu.blocks()[0]);
    }
    queue.finish(gpu);
}

/// The bits that were found, or those of the number nearest to an estimate, which is counted.
#[inline(always)]
fn or_estimate<T: Format, G: Thread>(gpu: G, found: Result<u64, DoubleDouble>, queue: Queue) -> u64 {
    found.unwrap_or_else(|estimate| {
        queue.leave(gpu);
        T::nearest_to_sum(gpu, estimate)
    })
}

/// What the results of a row with a finite maximum are computed from: its sum in double-doubles, and about its
/// logarithm.
struct Elements<P> {
    sum: Sum<P>,
    /// A bound on its relative error.
    relative_error: f64,
    /// 1/Σ e^{z − center}, and a bound on the relative error of a share that is computed from it.
    inverse: DoubleDouble,
    error_of_share: f64,
    /// log(1 + t) = LSE − max in units of [`UNSCALE`], and a bound on its error.
    log: DoubleDouble,
    error_of_log: f64,
    /// The sum about an estimate of its logarithm; what that lacks of the logarithm, and a bound on its error.
    centred: CentredSum,
    rest_of_log: DoubleDouble,
    bound: f64,
}

impl<P: Precision> Elements<P> {
    /// All threads of the block must call it.
    #[inline(always)]
    fn of_row<T: Format<Finer = P>, G: Thread>(gpu: G, rows: Rows<T>, row: u64, team: Team) -> Self {
        let sum = Sum::<P>::about_max::<T, _, LOADS, G>(gpu, Column::of(rows, row), team);
        let relative_error = Sum::<P>::relative_error(additions(rows.length, team.lanes));
        let whole = sum.whole().to_dd();
        let tail = sum.tail();
        let (log, error_of_log) = scaled_log_of_tail::<P, f64>(tail, tail.hi * relative_error);
        let centred = CentredSum::of(gpu, Column::of(rows, row), team, log.scaled(UNSCALE) + sum.max);
        let (rest_of_log, bound) = centred.rest();
        Self {
            inverse: inverse::<P>(whole),
            error_of_share: error_of_share::<P, f64>(whole.hi, whole.hi * relative_error),
            sum,
            relative_error,
            log,
            error_of_log,
            centred,
            rest_of_log,
            bound,
        }
    }

    /// The bits of the number nearest to e^{z − LSE}, or an estimate of it.
    #[inline(always)]
    fn share<T: Format, G: Thread>(&self, gpu: G, z: f64) -> Result<u64, DoubleDouble> {
        if z == f64::NEG_INFINITY {
            return Ok(0);
        }
        let share = P::exp(z, self.sum.center).to_dd() * self.inverse;
        if let Some(bits) = nearest_scaled::<T, G>(gpu, share, share.hi * self.error_of_share) {
            return Ok(bits);
        }
        let (share, error) = self.centred_share(z);
        nearest_scaled::<T, G>(gpu, share, share.hi * error).ok_or(share.scaled(UNSCALE))
    }

    /// e^{z − LSE} by the estimate of the logarithm, in units of [`UNSCALE`], and a bound on its relative error.
    #[inline(always)]
    fn centred_share(&self, z: f64) -> (DoubleDouble, f64) {
        // The exponent is rounded by 3u² of less than 1000, and by as much of the centre's low part, which is below 32:
        // the log-sum-exp is a score and at most 22.
        let error = (self.bound + WIDE_ERROR + power_of_two(-94)) * 1.001;
        let d = two_sum(z, -self.centred.center.hi) - (self.rest_of_log + self.centred.center.lo);
        (exp_dd_wide(d.hi, DoubleDouble::from(-d.lo)), error)
    }

    /// The bits of the number nearest to e^{z − LSE} − 1, or an estimate of it.
    #[inline(always)]
    fn share_less_one<T: Format, G: Thread>(&self, gpu: G, z: f64) -> Result<u64, DoubleDouble> {
        let same = |ends: [DoubleDouble; 2]| {
            let [low, high] = ends.map(|end| T::nearest_to_sum(gpu, end));
            (low == high).then_some(low)
        };
        if z < self.sum.max {
            let (rest, bound) = rest_of_lesser(&self.sum, self.relative_error, z);
            if let Some(bits) = same(ends_as_sums(-rest, bound)) {
                return Ok(bits);
            }
            let (share, error) = self.centred_share(z);
            let less_one = share.scaled(UNSCALE) - DoubleDouble::ONE;
            return same(ends_as_sums(less_one, share.hi * UNSCALE * error + power_of_two(-104)))
                .ok_or(less_one);
        }
        let (tail, equal) = (self.sum.tail(), less_one_of_equal(self.sum.greatest));
        if !self.sum.has_lesser() {
            return Ok(T::nearest_to_sum(gpu, equal));
        }
        let (rest, bound) = share_of_tail(tail, tail.hi * self.relative_error);
        nearest_scaled::<T, G>(gpu, -rest, bound)
            .or_else(|| {
                // Lesser scores make the result less than of equal ones alone, which may be half-way between two floats
                // where their number is a power of 2. It is exact then.
                let [least, _] = ends_as_sums(-rest.scaled(UNSCALE), bound * UNSCALE);
                let below = two_sum(equal.hi, equal.lo.next_down());
                if self.sum.greatest.is_power_of_two() { same([least, below]) } else { None }
            })
            .ok_or(-rest.scaled(UNSCALE))
    }

    /// The bits of the number nearest to z − LSE, or the best estimate of it.
    #[inline(always)]
    fn log_share<T: Format, G: Thread>(&self, gpu: G, z: f64) -> Result<u64, DoubleDouble> {
        let difference = two_sum(z, -self.sum.max);
        if difference.hi == f64::NEG_INFINITY {
            return Ok(T::nearest(gpu, f64::NEG_INFINITY));
        }
        if difference.hi == 0.0 {
            // As the first phase has it, whose bound is 2^-1070 there.
            let is_zero =
                self.log.hi <= NOTHING || T::BYTES < 8 && self.log.hi < power_of_two(SCALE as i32 - 1070);
            if is_zero {
                return Ok(0);
            }
            return nearest_scaled::<T, G>(gpu, -self.log, self.error_of_log)
                .ok_or(-self.log.scaled(UNSCALE));
        }
        let same = |ends: [DoubleDouble; 2]| {
            let [low, high] = ends.map(|end| T::nearest_to_sum(gpu, end));
            (low == high).then_some(low)
        };
        let value = difference - self.log.scaled(UNSCALE);
        let bound = self.error_of_log * UNSCALE + power_of_two(-100) * value.hi.abs();
        let near = two_sum(z, -self.centred.center.hi) - (self.rest_of_log + self.centred.center.lo);
        same(ends_as_sums(value, bound))
            .or_else(|| {
                // The exact result is below the difference, which is often half-way between two floats.
                let below = two_sum(difference.hi, difference.lo.next_down());
                same([value + DoubleDouble::from(-bound), below])
            })
            .or_else(|| same(ends_as_sums(near, self.bound + power_of_two(-100) * near.hi.abs())))
            .ok_or(if self.bound.is_finite() { near } else { value })
    }
}

/// Σ e^{z − c}, in units of [`UNSCALE`], about an estimate of its logarithm, or about 0 if that is near 0. What bounds
/// its error is said at [`error_of_sum`].
#[derive(Clone, Copy)]
struct CentredSum {
    center: DoubleDouble,
    terms: Terms,
}

#[derive(Clone, Copy)]
struct Terms {
    sum: TripleDouble,
    size: f64,
    lows: f64,
}

/// What a sum is about, given an estimate of its logarithm.
#[inline(always)]
fn center_for(estimate: DoubleDouble) -> DoubleDouble {
    /// How near to 0 the logarithm must be for the series that keeps its relative accuracy.
    const NEAR: f64 = power_of_two(-21);
    if estimate.hi.abs() <= NEAR { DoubleDouble::ZERO } else { estimate }
}

/// z − center in three words, or −1000 if it is less.
#[inline(always)]
fn difference(z: f64, center: DoubleDouble) -> TripleDouble {
    let high = at_least(TripleDouble::from(two_sum(z, -center.hi)));
    let low = if high.hi <= LEAST { 0.0 } else { -center.lo };
    at_least(TripleDouble::sum_of(high.hi, high.mid, low, 0.0))
}

impl CentredSum {
    /// All threads of the block must call it.
    #[inline(always)]
    fn of<T: Format, G: Thread>(gpu: G, row: Column<T>, team: Team, estimate: DoubleDouble) -> Self {
        let center = center_for(estimate);
        let terms = Terms::of_differences(gpu, row, team, |z| difference(z, center));
        Self { center, terms: team.all(gpu, terms) }
    }

    /// Writes the number nearest to the logarithm to its place after `out`. Where that is not known, an f64's row goes
    /// into `rest`, and other formats get the number nearest to the estimate, which is counted.
    #[inline(always)]
    fn store<T: Format, G: Thread>(&self, gpu: G, row: u64, out: u64, queue: Queue, rest: Queue) {
        let found = self.nearest::<T, G>(gpu);
        if let (8, Err(estimate)) = (T::BYTES, found) {
            rest.push(gpu, Unsettled { row, estimate: estimate.hi });
        } else {
            T::store(gpu, out + row * u64::from(T::BYTES), or_estimate::<T, G>(gpu, found, queue));
        }
    }

    /// The sum less 1, in units of [`UNSCALE`], and a bound on its error.
    #[inline(always)]
    fn less_one(&self) -> (DoubleDouble, f64) {
        const MINUS_ONE: TripleDouble = TripleDouble { hi: -power_of_two(SCALE as i32), mid: 0.0, lo: 0.0 };
        let Terms { sum, size, lows } = self.terms;
        let rest = sum.plus(MINUS_ONE).normalised().to_dd();
        // Rounded by 2u².
        (rest, error_of_sum(size, lows) * 1.000_01 + power_of_two(-100) * rest.hi.abs())
    }

    /// What the centre lacks of the logarithm, and a bound on its error: 0 and an infinite one if the centre was too
    /// far off, as one f64 is where the logarithm is above 2^33.
    #[inline(always)]
    fn rest(&self) -> (DoubleDouble, f64) {
        /// Up to here the logarithm has the accuracy that the bound says.
        const NEAR: f64 = power_of_two(-20);
        let (rest, bound) = self.less_one();
        if rest.hi.abs() * UNSCALE > NEAR {
            return (DoubleDouble::ZERO, f64::INFINITY);
        }
        let log = log1p_dd_near_0(rest.scaled(UNSCALE));
        (log, bound * UNSCALE + power_of_two(-99) * log.hi.abs() + power_of_two(-1060))
    }

    /// The bits of the number nearest to the logarithm, or the best estimate of it.
    #[inline(always)]
    fn nearest<T: Format, G: Thread>(&self, gpu: G) -> Result<u64, DoubleDouble> {
        let (rest, bound) = self.less_one();
        if self.center.hi == 0.0 && rest.hi.abs() * UNSCALE <= power_of_two(-110) {
            // log(1 + t) is t but for t²/2. In these units nothing of it is subnormal.
            return nearest_scaled::<T, G>(gpu, rest, bound).ok_or(rest.scaled(UNSCALE));
        }
        let (log, bound) = self.rest();
        let value = log + self.center;
        let ends = ends_as_sums(value, bound + power_of_two(-103) * value.hi.abs());
        let [low, high] = ends.map(|end| T::nearest_to_sum(gpu, end));
        if low == high { Ok(low) } else { Err(value) }
    }
}

/// The bits of the number nearest to a value in units of [`UNSCALE`], as its bound.
#[inline(always)]
fn nearest_scaled<T: Format, G: Thread>(gpu: G, value: DoubleDouble, bound: f64) -> Option<u64> {
    if value.hi.abs() <= bound {
        return None;
    }
    if T::BYTES == 8 && value.hi.abs() < power_of_two(SCALE as i32 - 1100) {
        return Some(T::nearest(gpu, 0_f64.copysign(value.hi)));
    }
    if T::BYTES == 8 && value.hi.abs() * UNSCALE < TINY {
        return nearest_of_least(0.0, value, bound).map(|x| T::nearest(gpu, x));
    }
    let ends = ends_as_sums(value.scaled(UNSCALE), bound * UNSCALE);
    let [low, high] = ends.map(|end| T::nearest_to_sum(gpu, end));
    (low == high).then_some(low)
}

impl Summed for Terms {
    const NOTHING: Self = Self { sum: TripleDouble::ZERO, size: 0.0, lows: 0.0 };

    #[inline(always)]
    fn of<T: Format, G: Thread>(gpu: G, row: Column<T>, team: Team, estimate: f64) -> Self {
        let center = center_for(DoubleDouble::from(estimate)).hi;
        Self::of_differences(gpu, row, team, |z| at_least(TripleDouble::from(two_sum(z, -center))))
    }
}

impl Terms {
    /// Σ e^d over the numbers that fall to this thread of the team, with the difference d of each.
    #[inline(always)]
    fn of_differences<T: Format, G: Thread>(
        gpu: G,
        row: Column<T>,
        team: Team,
        difference: impl Fn(f64) -> TripleDouble,
    ) -> Self {
        let mut terms = Self::NOTHING;
        row.each::<LOADS, false, G>(gpu, team, |_, z| {
            let d = difference(z.to_f64());
            let term = exp_td(d);
            terms.sum = terms.sum.plus(term);
            terms.size += term.hi * share_of_error(d.hi);
            terms.lows += terms.sum.lo.abs();
        });
        terms
    }
}

impl Combined for Terms {
    const WORDS: u32 = 5;

    #[inline(always)]
    fn exchanged<G: Thread>(self, gpu: G, mask: u32) -> Self {
        let Self { sum: TripleDouble { hi, mid, lo }, size, lows } = self;
        let [hi, mid, lo, size, lows] = [hi, mid, lo, size, lows].map(|word| exchange_f64(gpu, word, mask));
        Self { sum: TripleDouble { hi, mid, lo }, size, lows }
    }

    #[inline(always)]
    fn with(self, other: Self) -> Self {
        // In an order that does not depend on the thread.
        let [a, b] = if self.sum.lo < other.sum.lo { [other, self] } else { [self, other] };
        let sum = a.sum.plus(b.sum);
        let normalised = sum.normalised();
        Self {
            sum: normalised,
            size: a.size + b.size,
            lows: (a.lows + b.lows) + (sum.lo.abs() + normalised.lo.abs()),
        }
    }

    #[inline(always)]
    fn word(self, index: u32) -> u64 {
        let Self { sum: TripleDouble { hi, mid, lo }, size, lows } = self;
        [hi, mid, lo, size, lows][index as usize].to_bits()
    }

    #[inline(always)]
    fn of_words(word: impl Fn(u32) -> u64) -> Self {
        let [hi, mid, lo, size, lows] = [0, 1, 2, 3, 4].map(|index| f64::from_bits(word(index)));
        Self { sum: TripleDouble { hi, mid, lo }, size, lows }
    }
}
