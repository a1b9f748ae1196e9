//! Log-sum-exps that triple-doubles did not settle: their sum in fixed point of 256 bits.

use crate::column::{Column, Summed};
use crate::format::{Format, Number as _};
use crate::line::{Line as _, Rows};
use crate::parts::Parts;
use crate::queue::{Queue, Unsettled};
use crate::team::{Combined, Team};
use crate::thread::{Thread, exchange_u64};
use logsum_arithmetic::double_double::DoubleDouble;
use logsum_arithmetic::fixed_point::{Fixed, Total, plus};

/// Writes the log-sum-exp of each row of the queue `rest` and empties it. What even this leaves open was built to be
/// hard: such a row gets a number next to the exact value, and `queue` counts it.
#[inline(always)]
pub fn settle_in_fixed_point<T: Format, G: Thread>(
    gpu: G,
    rows: Rows<T>,
    out: u64,
    queue: Queue,
    rest: Queue,
    parts: Parts,
) {
    rest.each_sum(gpu, rows, parts, |Unsettled { row, estimate }, total: Total| {
        let ends = total.ends_of_log(DoubleDouble::from(estimate));
        let bits = match ends.map(|ends| ends.map(|end| T::nearest_to_sum(gpu, end.as_odd_sum()))) {
            Some([low, high]) if low == high => low,
            other => {
                queue.leave(gpu);
                other.map_or_else(|| T::nearest(gpu, estimate), |[low, _]| low)
            }
        };
        T::store(gpu, out + row * u64::from(T::BYTES), bits);
    });
}

impl Summed for Total {
    const NOTHING: Self = Self::EMPTY;

    #[inline(always)]
    fn of<T: Format, G: Thread>(gpu: G, row: Column<T>, team: Team, estimate: f64) -> Self {
        let (center, mut total) = (DoubleDouble::from(estimate), Self::EMPTY);
        // One by one, since a program that has this exponential more than once is large.
        let mut number = team.lane;
        while number < row.own_length() {
            let z = T::load(gpu, row.number(row.own_index(number))).to_f64();
            total.add(DoubleDouble::from(z), 1.0, center);
            number += team.lanes;
        }
        total
    }
}

impl Combined for Total {
    const WORDS: u32 = 8;

    #[inline(always)]
    fn exchanged<G: Thread>(self, gpu: G, mask: u32) -> Self {
        Self::of_words(|index| exchange_u64(gpu, self.word(index), mask))
    }

    #[inline(always)]
    fn with(self, other: Self) -> Self {
        Self {
            value: plus(self.value, other.value),
            size: self.size + other.size,
            count: self.count + other.count,
            is_in_range: self.is_in_range && other.is_in_range,
        }
    }

    #[inline(always)]
    fn word(self, index: u32) -> u64 {
        match index {
            5 => self.size.to_bits(),
            6 => self.count,
            7 => self.is_in_range.into(),
            limb => self.value.limb(limb as usize),
        }
    }

    #[inline(always)]
    fn of_words(word: impl Fn(u32) -> u64) -> Self {
        Self {
            value: Fixed { fraction: [0, 1, 2, 3].map(&word), whole: word(4) },
            size: f64::from_bits(word(5)),
            count: word(6),
            is_in_range: word(7) != 0,
        }
    }
}
