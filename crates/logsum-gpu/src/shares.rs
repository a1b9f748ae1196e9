//! Softmax and log-softmax of rows: the first phase, which settles all but about one number in 2^19 (of f64, in 2^15).

use crate::format::{Format, Number as _};
use crate::layout::Layout;
use crate::line::{Line as _, Places, Rows};
use crate::logsumexp::Relative;
use crate::queue::{Queue, Unsettled};
use crate::sum::{Sum, additions};
use crate::team::Any;
use crate::thread::Thread;
use logsum_arithmetic::double_double::DoubleDouble;
use logsum_arithmetic::exp::UNSCALE;
use logsum_arithmetic::ln::log1p_dd_fine;
use logsum_arithmetic::log_of_sum::{error_of_share, log_of_tail};
use logsum_arithmetic::precision::{Number, Precision};

/// Where results go.
#[derive(Clone, Copy)]
pub struct Results {
    /// Where rows of results are: as many beside each other as the rows that they are of.
    pub places: Places,
    /// The address of the log-sum-exps, or 0 where they are not asked for.
    pub values: u64,
}

impl Results {
    /// The address of the first result of a row, and bytes from one to the next.
    #[inline(always)]
    pub(crate) fn of_row<T: Format>(self, index: u64) -> [u64; 2] {
        [self.places.row(index, T::BYTES), self.places.step]
    }
}

/// Writes e^{z − LSE} of each number of each row, or with `LOG` the logarithm, and the log-sum-exps where asked for: a
/// team of `lanes` threads for each row. A row with a result that this phase does not settle goes into the queue.
#[inline(always)]
pub fn shares<T: Format, L: Layout, const LOG: bool, const LOADS: usize, G: Thread>(
    gpu: G,
    rows: Rows<T>,
    results: Results,
    lanes: u32,
    queue: Queue,
) {
    let (team, index) = L::team(gpu, lanes);
    let row = L::line(rows, index);
    let (sum, held) = Sum::<T::Elements>::of::<T, _, LOADS, false, G>(gpu, row, team);
    let relative_error = Sum::<T::Elements>::relative_error(additions(rows.length, lanes));
    let tail = sum.tail();
    let [out, step] = results.of_row::<T>(index);
    let mut is_unsettled = false;
    if sum.is_nan() || !sum.max.is_finite() {
        let [infinite, other] = without_answer::<T, LOG, G>(gpu, sum.is_nan(), sum.max, sum.greatest);
        let mut number = team.lane;
        while number < row.own_length() {
            let z = T::load(gpu, row.number(number)).to_f64();
            let bits = if z == f64::INFINITY { infinite } else { other };
            T::store(gpu, out + step * u64::from(number), bits);
            number += lanes;
        }
    } else if LOG {
        let (log, error) = log_of_tail::<T::Elements, f64>(tail, tail.hi * relative_error);
        row.write::<LOADS, G>(gpu, team, held, [out, step], |z| {
            let ends = T::Elements::log_share_ends(z.to_f64(), sum.max, log, error);
            let [low, high] = ends.map(|end| T::nearest(gpu, end));
            is_unsettled |= differ::<T>(low, high);
            high
        });
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
            high
        });
    }
    let relative = Relative { max: sum.max, tail };
    if results.values != 0 && index < rows.count {
        match relative.nearest::<T, T::Elements, G>(gpu, relative_error) {
            Ok(bits) if team.lane == 0 => T::store(gpu, results.values + index * u64::from(T::BYTES), bits),
            Ok(_) => {}
            Err(_) => is_unsettled = true,
        }
    }
    if team.all(gpu, Any(is_unsettled)).0 && team.lane == 0 && index < rows.count {
        queue.push(gpu, Unsettled { row: index, estimate: relative.estimate::<T::Elements>() });
    }
}

/// Whether two numbers of these bits differ; zeros do not, and the upper one is taken.
#[inline(always)]
pub(crate) fn differ<T: Format>(low: u64, high: u64) -> bool {
    let sign = 1 << (8 * T::BYTES - 1);
    low != high && (low | high) & !sign != 0
}

/// The bits of what stands at +∞ and elsewhere in rows without an ordinary answer.
#[inline(always)]
fn without_answer<T: Format, const LOG: bool, G: Thread>(
    gpu: G,
    is_nan: bool,
    max: f64,
    infinite: u32,
) -> [u64; 2] {
    let [nan, zero, minus_infinity] = [f64::NAN, 0.0, f64::NEG_INFINITY].map(|x| T::nearest(gpu, x));
    let count = f64::from(infinite);
    if is_nan {
        [nan; 2]
    } else if LOG {
        let log = DoubleDouble::ZERO - log_of_count(count);
        [if max == f64::INFINITY { T::nearest_to_sum(gpu, log) } else { minus_infinity }, minus_infinity]
    } else {
        [if max == f64::INFINITY { T::nearest(gpu, 1.0 / count) } else { zero }, zero]
    }
}

/// log n, for a number n ≥ 1 of scores that are +∞; its relative error is below 2^-80.
#[inline(always)]
pub(crate) fn log_of_count(count: f64) -> DoubleDouble {
    log1p_dd_fine(DoubleDouble::from(count - 1.0))
}

/// 1/(a sum in units of [`UNSCALE`]).
#[inline(always)]
pub(crate) fn inverse<P: Precision>(sum: DoubleDouble) -> DoubleDouble {
    if P::IS_DOUBLE_DOUBLE {
        DoubleDouble::ONE / sum.scaled(UNSCALE)
    } else {
        DoubleDouble::from(1.0 / (sum.hi * UNSCALE))
    }
}
