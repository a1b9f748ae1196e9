//! Rows that the first phase did not settle: their sum in triple-doubles about an estimate of its logarithm.

use crate::format::{Format, Number as _};
use crate::queue::{Queue, Unsettled};
use crate::row::{Row, Rows};
use crate::team::{Combined, Team};
use crate::thread::{Thread, exchange_f64};
use logsum_arithmetic::double_double::{DoubleDouble, power_of_two, two_sum};
use logsum_arithmetic::exp::{SCALE, UNSCALE};
use logsum_arithmetic::exp_td::{at_least, error_of_sum, exp_td, share_of_error};
use logsum_arithmetic::ln::log1p_dd_near_0;
use logsum_arithmetic::precision::Number;
use logsum_arithmetic::rounding_test::ends_as_sums;
use logsum_arithmetic::triple_double::TripleDouble;

/// Pieces of 16 bytes that a thread loads at once.
const LOADS: usize = 1;

/// Writes the log-sum-exp of each row of the queue, one for a block at a time, and empties it. A row that even this does not
/// settle, as only those built to be hard are, gets the number nearest to the estimate, and is counted.
#[inline(always)]
pub fn settle<T: Format, G: Thread>(gpu: G, rows: Rows<T>, out: u64, queue: Queue) {
    let (team, mut index) = Team::of(gpu, gpu.count());
    let count = u64::from(queue.len(gpu));
    while index < count {
        let Unsettled { row, estimate } = queue.get(gpu, index as u32);
        let sum = CentredSum::of(gpu, rows.row(row), team, estimate);
        if team.lane == 0 {
            let address = out + row * u64::from(T::BYTES);
            match sum.nearest::<T, G>(gpu) {
                Ok(bits) => T::store(gpu, address, bits),
                Err(estimate) => {
                    T::store(gpu, address, T::nearest_to_sum(gpu, estimate));
                    queue.leave(gpu);
                }
            }
        }
        index += u64::from(gpu.blocks()[0]);
    }
    queue.finish(gpu);
}

/// Σ e^{z − c}, in units of [`UNSCALE`], about an estimate of its logarithm, or about 0 if that is near 0. What bounds its error
/// is said at [`error_of_sum`].
struct CentredSum {
    center: f64,
    terms: Terms,
}

#[derive(Clone, Copy)]
struct Terms {
    sum: TripleDouble,
    size: f64,
    lows: f64,
}

impl CentredSum {
    /// All threads of the block must call it.
    #[inline(always)]
    fn of<T: Format, G: Thread>(gpu: G, row: Row<T>, team: Team, estimate: f64) -> Self {
        /// How near to 0 the logarithm must be for the series that keeps its relative accuracy.
        const NEAR: f64 = power_of_two(-21);
        let center = if estimate.abs() <= NEAR { 0.0 } else { estimate };
        let mut terms = Terms { sum: TripleDouble::ZERO, size: 0.0, lows: 0.0 };
        row.each::<LOADS, G>(gpu, team, |_, z| {
            let d = at_least(TripleDouble::from(two_sum(z.to_f64(), -center)));
            let term = exp_td(d);
            terms.sum = terms.sum.plus(term);
            terms.size += term.hi * share_of_error(d.hi);
            terms.lows += terms.sum.lo.abs();
        });
        Self { center, terms: team.all(gpu, terms) }
    }

    /// The bits of the number nearest to the logarithm, or the best estimate of it.
    #[inline(always)]
    fn nearest<T: Format, G: Thread>(self, gpu: G) -> Result<u64, DoubleDouble> {
        const ONE: TripleDouble = TripleDouble { hi: -power_of_two(SCALE as i32), mid: 0.0, lo: 0.0 };
        let Self { center, terms: Terms { sum, size, lows } } = self;
        let rest = sum.plus(ONE).normalised().to_dd();
        // Rounded by 2u².
        let bound = error_of_sum(size, lows) * 1.000_01 + power_of_two(-100) * rest.hi.abs();
        if center == 0.0 && rest.hi.abs() * UNSCALE <= power_of_two(-110) {
            // log(1 + t) is t but for t²/2. In these units nothing of it is subnormal.
            return nearest_scaled::<T, G>(gpu, rest, bound).ok_or(rest.scaled(UNSCALE));
        }
        let log = log1p_dd_near_0(rest.scaled(UNSCALE));
        let value = log + center;
        let bound = bound * UNSCALE + power_of_two(-99) * log.hi.abs() + power_of_two(-103) * value.hi.abs();
        let [low, high] =
            ends_as_sums(value, bound + power_of_two(-1060)).map(|end| T::nearest_to_sum(gpu, end));
        if low == high { Ok(low) } else { Err(value) }
    }
}

/// The bits of the number nearest to a value in units of [`UNSCALE`], as its bound.
#[inline(always)]
fn nearest_scaled<T: Format, G: Thread>(gpu: G, value: DoubleDouble, bound: f64) -> Option<u64> {
    let size = value.hi.abs();
    if size <= bound {
        return None;
    }
    let positive = if value.hi < 0.0 { -value } else { value };
    let [low, high] = if T::BYTES == 8 {
        let ends = positive.scaled_ends_among_least(DoubleDouble::ONE, bound / size);
        ends.map(|end| T::nearest(gpu, end.copysign(value.hi)))
    } else {
        ends_as_sums(positive.scaled(UNSCALE), bound * UNSCALE)
            .map(|end| T::nearest_to_sum(gpu, if value.hi < 0.0 { -end } else { end }))
    };
    (low == high).then_some(low)
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
