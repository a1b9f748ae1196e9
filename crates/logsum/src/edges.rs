//! Special cases: one table of conventions for all operations.
//!
//! | input | value | gradient, softmax | log-softmax |
//! |---|---|---|---|
//! | empty | −∞ | empty | empty |
//! | some −∞ | they add nothing | 0 there | −∞ there |
//! | all −∞: no mass | −∞ | 0 everywhere | −∞ everywhere |
//! | c times +∞ | +∞ | 1/c at each +∞, 0 elsewhere | −log c at each +∞, −∞ elsewhere |
//! | NaN anywhere | NaN | NaN everywhere | NaN everywhere |
//!
//! In every row of the table the value is the maximum, where NaN counts as greater than any number, and
//! log-softmax is the logarithm of softmax.

use crate::arithmetic::double_double::DoubleDouble;
use crate::arithmetic::ln;
use crate::formats::Format;
use crate::kernels::Each;
use crate::kernels::row_access::Series;

/// The result of an operation for the elements of a row that is a special case.
pub(crate) struct Edge<T> {
    at_infinity: T,
    elsewhere: T,
}

impl<T: Format> Edge<T> {
    /// The results that replace `each` for a row with this maximum; `None` if the maximum is finite.
    pub(crate) fn of(each: Each, max: f64, lane: &dyn Series<T>) -> Option<Self> {
        let [at_infinity, elsewhere] = match (max, each) {
            (f64::INFINITY, Each::Share) => [1.0 / count_infinite(lane), 0.0],
            (f64::INFINITY, Each::LogShare) => {
                let log = ln::log1p_dd(DoubleDouble::from(count_infinite(lane) - 1.0)).0;
                [0.0 - log.hi, f64::NEG_INFINITY]
            }
            (f64::NEG_INFINITY, Each::Share) => [0.0; 2],
            (f64::NEG_INFINITY, Each::LogShare) => [f64::NEG_INFINITY; 2],
            _ if max.is_nan() => [max; 2],
            _ => return None,
        };
        Some(Self { at_infinity: T::narrow(at_infinity), elsewhere: T::narrow(elsewhere) })
    }

    pub(crate) fn at(&self, z: T) -> T {
        if z.widen() == f64::INFINITY { self.at_infinity } else { self.elsewhere }
    }
}

fn count_infinite<T: Format>(lane: &dyn Series<T>) -> f64 {
    let mut count = 0_u64;
    lane.pieces(&mut |piece| count += piece.iter().filter(|z| z.widen() == f64::INFINITY).count() as u64);
    count as f64
}
