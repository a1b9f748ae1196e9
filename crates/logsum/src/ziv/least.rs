//! The rounding test for values among the least f64, in units of the least one: there nothing is subnormal.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two};
use crate::arithmetic::exp::{UNSCALE, WIDE_ERROR};
use crate::arithmetic::rounding_test::ends_in_f64;
use crate::formats::Format;
use crate::kernels::term_source::TermSource;
use crate::simd::scalar_tasks;
use crate::state::signed::Log;
use crate::ziv::about_estimate::scaled_term;
use crate::ziv::effort::{self, Rung};
use crate::ziv::elements::nearest_scaled;
use crate::ziv::integer_sums::fixed;
use crate::ziv::{Phase, Settled};
use dashu_int::IBig;

/// The number nearest to max + log(1 + t') for every t' within `error` of t, if there is one. t and its error are
/// in units of UNSCALE. `None` unless T is f64, and max and t are below 2^-900 in magnitude.
///
/// max is an integer in units of 2^-1074. log(1 + t) differs from t by t²/2, less than 2^-900 t; the sum of max
/// and t has a relative error of 2u². What t has lost to underflow, or to terms that count as e^-1000, is below
/// 2^-60 units.
pub(super) fn nearest_among_least<T: Format>(
    max: f64,
    tail: impl FnOnce() -> (DoubleDouble, f64),
) -> Option<T> {
    const TINY: f64 = power_of_two(-900);
    const UNITS_OF_UNSCALED: f64 = power_of_two(1074 - 512);
    /// The square root of a unit's inverse.
    const ROOT: f64 = power_of_two(537);
    if T::LEAST_POWER != -1074 || max.abs() >= TINY {
        return None;
    }
    let (t, error) = tail();
    if t.hi.abs() * UNSCALE >= TINY {
        return None;
    }
    let t = t.scaled(UNITS_OF_UNSCALED);
    let value = t + max * ROOT * ROOT;
    let bound =
        error * UNITS_OF_UNSCALED + power_of_two(-100) * t.hi.abs() + power_of_two(-104) * value.hi.abs();
    let bound = bound * (1.0 + power_of_two(-40)) + power_of_two(-60);
    let nearest = if value.hi.abs() >= power_of_two(53) {
        let [low, high] = ends_in_f64(value, bound);
        (low == high).then_some(low)
    } else {
        let nearest_to_hi = value.hi.round_ties_even();
        let rest = (value.hi - nearest_to_hi) + value.lo;
        let step = if rest.abs() > 0.5 { rest.signum() } else { 0.0 };
        let (whole, rest) = (nearest_to_hi + step, rest - step);
        // A zero has the sign of the value, which must be certain. The rest is rounded by at most 2^-54.
        const MARGIN: f64 = power_of_two(-52);
        let is_certain = whole != 0.0 || value.hi.abs() > bound + MARGIN;
        (is_certain && rest.abs() + bound < 0.5 - MARGIN).then(|| whole.copysign(value.hi))
    };
    nearest.map(|units| T::narrow(units / ROOT / ROOT))
}

/// The logarithm of a sum of weighted terms that is 1, times its divisor, but for terms that add up to less than 2^-110:
/// terms e^0 are taken apart, exactly, and log(1 + t) is t but for 2^-111 of it.
pub(super) fn beside_one<T: Format>(source: &dyn TermSource<T>, center: DoubleDouble) -> Option<Settled<T>> {
    const SMALL: f64 = power_of_two(-110);
    if center.hi.abs() > SMALL {
        return None;
    }
    let (mut ones, mut t, mut size, mut count) = (IBig::ZERO, DoubleDouble::ZERO, 0.0, 0.0);
    source.blocks(&mut |block| {
        effort::count(Rung::Centred, block.x.len());
        for (x, b) in block.terms() {
            if x.hi == 0.0 && x.lo == 0.0 {
                ones += fixed(b, 1074);
            } else {
                let term = scaled_term(x, b, Log::from(DoubleDouble::ZERO), 0.0);
                t = t + term;
                size += term.hi.abs();
                count += 1.0;
            }
        }
    });
    if ones != fixed(source.divisor(), 1074) {
        return None;
    }
    let t = scalar_tasks::quotient(t, DoubleDouble::from(source.divisor()));
    // The exponent's error, [`scaled_term`]'s, and that of its exponential; additions of 3u².
    let relative = WIDE_ERROR + power_of_two(-91) + SMALL + count * power_of_two(-104);
    // The sign of what counts as e^-1000 is known if all have the same.
    let is_lost = t.hi.abs() < power_of_two(512 - 1100) && source.is_signed();
    if t.hi.abs() * UNSCALE > SMALL || is_lost {
        return None;
    }
    let value = nearest_scaled(t, size / source.divisor() * relative * 1.001)?;
    let log = Log { shift: 0.0, rest: t.scaled(UNSCALE) };
    Some(Settled { value: source.zero().of(value), sign: 1.0, log, phase: Phase::Centred })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{Big, big, big_dd, uniform};

    /// Sums of least numbers and tiny ones, near midpoints too: each result is the nearest, and nearly all have one.
    #[test]
    fn results_are_the_nearest() {
        let mut uniform = uniform(61);
        let mut settled = 0;
        for i in 0..40_000 {
            let max = f64::from_bits((uniform() * [0.0, 3.0, 1e15, 1e18][i % 4]) as u64);
            let max = if i % 3 == 0 { -max } else { max };
            let units = uniform() * power_of_two((uniform() * 80.0) as i32 - 10) + [0.0, 0.5][i / 8 % 2];
            let hi = units * power_of_two(512 - 1074 + 200) * power_of_two(-200);
            let t = DoubleDouble { hi, lo: hi * power_of_two(-54) * (uniform() - 0.5) };
            let t = if i % 5 == 0 { -t } else { t };
            let error = hi * power_of_two(-62);
            // t²/2 is far below the bits of the reference.
            let exact = big(max) + big_dd(t) * big(UNSCALE);
            if let Some(found) = nearest_among_least::<f64>(max, || (t, error)) {
                settled += 1;
                let [low, high] =
                    [-1.0, 1.0].map(|side| exact.clone() + big(error) * big(UNSCALE) * big(side));
                let magnitude = |x: Big| if x < big(0.0) { -x } else { x };
                let distance = |x: Big| magnitude(x - big(found));
                // Of the spacing of floats at the result; 2^-1075 among the least.
                let half = match found.abs() >= power_of_two(-1021) {
                    true => magnitude(big(found.next_up() - found)) / big(2.0),
                    false => big(power_of_two(-600)) * big(power_of_two(-475)),
                };
                assert!(distance(low) <= half && distance(high) <= half, "{max:e} + {t:?}: {found:e}");
            }
        }
        assert!(settled > 35_500, "{settled}");
        let exactly = |power: i32| move || (DoubleDouble::from(power_of_two(512 + power)), 0.0);
        assert_eq!(nearest_among_least::<f64>(0.0, exactly(-1075)), None);
        assert_eq!(nearest_among_least::<f32>(0.0, exactly(-1073)), None);
    }
}
