//! The exact rung: as many bits as it takes.

use crate::arithmetic::double_double::DoubleDouble;
use crate::formats::Format;
use crate::kernels::series::Series;
use crate::ziv::{Sum, exponent_of, integer};
use dashu_float::FBig;
use dashu_float::round::mode;
use dashu_int::IBig;

/// Σ e^{z − center} − 1 with an error of about n · 2^-bits, for a centre within 2^-20 of the log-sum-exp.
///
/// The bound, in units of 2^-bits: dashu rounds an exponential correctly to bits + [`GUARD`] significant bits; here
/// it is trusted to 2^16 units in the last of them. z − center is cut off at 2^-(bits + GUARD), which changes the
/// exponential, at most 1.01, by less than 1 with the cut of the result; or it is left out, below 1. Together
/// less than 4 for each number.
pub(super) fn sum<T: Format>(lane: &dyn Series<T>, center: DoubleDouble, bits: usize) -> Sum {
    let mut total = Total::new(center, bits);
    lane.pieces(&mut |piece| piece.iter().for_each(|z| total.add(DoubleDouble::from(z.widen()))));
    total.sum()
}

/// The same of numbers in two words.
pub(super) fn sum_of(numbers: impl Iterator<Item = DoubleDouble>, center: DoubleDouble, bits: usize) -> Sum {
    let mut total = Total::new(center, bits);
    numbers.for_each(|z| total.add(z));
    total.sum()
}

struct Total {
    center: IBig,
    delta: IBig,
    bits: usize,
    count: usize,
}

impl Total {
    fn new(center: DoubleDouble, bits: usize) -> Self {
        let center = fixed(center.hi, bits + GUARD) + fixed(center.lo, bits + GUARD);
        Self { center, delta: IBig::NEG_ONE << bits, bits, count: 0 }
    }

    fn add(&mut self, z: DoubleDouble) {
        if !z.hi.is_finite() {
            return;
        }
        self.count += 1;
        let fine = self.bits + GUARD;
        let u = fixed(z.hi, fine) + fixed(z.lo, fine) - &self.center;
        let negligible = -(IBig::from(self.bits) << fine); // e^-bits < 2^-bits
        if u > negligible {
            self.delta += exp(u, fine) >> GUARD;
        }
    }

    fn sum(self) -> Sum {
        Sum { delta: self.delta, bits: self.bits, error: IBig::from(4 * self.count) }
    }
}

/// e^{a − center} − e^{b − center} − 1, for a > b and a centre within 2^-20 of log(e^a − e^b).
///
/// Each exponential may be as large as 2^extra, and is taken with so many bits more: its error of at most 4 units of those,
/// as above, and 2^extra for the cut of its argument, is less than 4 units once they are dropped.
pub(super) fn difference(a: f64, b: f64, center: DoubleDouble, bits: usize) -> Sum {
    let extra = ((a - center.hi).max(0.0) * std::f64::consts::LOG2_E) as usize + 2;
    let wide = bits + extra;
    let fine = wide + GUARD;
    let center = fixed(center.hi, fine) + fixed(center.lo, fine);
    let [a, b] = [a, b].map(|z| exp(fixed(z, fine) - &center, fine) >> GUARD);
    Sum { delta: ((a - b) >> extra) - (IBig::ONE << bits), bits, error: IBig::from(10) }
}

/// weight · 2^-weight_bits · e^{z − center} with an error below 4 units of 2^-bits, if that is at most about 1.
///
/// e^{z − center} may be large or small where the weight is the opposite: it is taken to so many bits more, or fewer.
pub(super) fn weighted(z: f64, weight: &IBig, weight_bits: usize, center: f64, bits: usize) -> IBig {
    let length = weight.as_sign_words().1.len() * 64;
    let wide = bits + length;
    let fine = wide + GUARD;
    let u = fixed(z, fine) - fixed(center, fine);
    let negligible = -(IBig::from(fine + weight_bits) << fine);
    if u < negligible {
        return IBig::ZERO;
    }
    (exp(u, fine) * weight) >> (length + GUARD + weight_bits)
}

/// Bits computed beyond those asked for.
const GUARD: usize = 64;

/// x in units of 2^-bits, rounded down.
pub(super) fn fixed(x: f64, bits: usize) -> IBig {
    match exponent_of(x) + bits as isize {
        shift @ 0.. => integer(x) << shift as usize,
        shift => integer(x) >> shift.unsigned_abs(),
    }
}

/// e^u, both in units of 2^-bits.
fn exp(u: IBig, bits: usize) -> IBig {
    let precision = bits + GUARD;
    let u = FBig::<mode::Zero, 2>::from_parts(u, -(bits as isize)).with_precision(precision).value();
    let (significand, exponent) = u.exp().into_repr().into_parts();
    match exponent + bits as isize {
        shift @ 0.. => significand << shift as usize,
        shift => significand >> shift.unsigned_abs(),
    }
}
