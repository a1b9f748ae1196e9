//! The rounding test: a value with an error bound determines a float if both ends of its interval round to that
//! float.
//!
//! Rounding is monotone: if the ends round to the same float, so does every number between them.

use crate::double_double::{DoubleDouble, power_of_two, two_sum};
use crate::exp::SCALE;
use crate::float64::{Float64, WHOLE};

/// The two ends of an interval, rounded to f64, that contains every x with |x − v| ≤ `bound`: if they are equal,
/// they are the f64 nearest to each x.
///
/// Each end is hi + (lo ± bound), rounded once. The inner sum has a relative rounding error of at most 2^-53, which
/// the interval is widened to include.
#[inline(always)]
pub fn ends_in_f64<F: Float64>(v: DoubleDouble<F>, bound: F) -> [F; 2] {
    ends(v, widened(bound, v.lo))
}

/// [`ends_in_f64`] for a format narrower than f64, to which the caller then rounds the ends.
///
/// The first rounding, to f64, has a relative error of at most 2^-53; the interval is widened by four times that on
/// each side.
#[inline(always)]
pub fn ends_for_narrower<F: Float64>(v: DoubleDouble<F>, bound: F) -> [F; 2] {
    ends(v, widened(bound, v.hi))
}

/// The two ends of an interval that contains every x with |x − v| ≤ `bound`, each as an exact sum.
#[inline(always)]
pub fn ends_as_sums(v: DoubleDouble, bound: f64) -> [DoubleDouble; 2] {
    let bound = widened(bound, v.lo);
    [two_sum(v.hi, v.lo - bound), two_sum(v.hi, v.lo + bound)]
}

/// Numbers of a smaller magnitude are treated as being among the least f64: see [`nearest_of_least`].
pub const TINY: f64 = power_of_two(-900);

/// The f64 nearest to max + log(1 + t') for every t' within `error` of t, if there is one, for max and t below [`TINY`]
/// in magnitude. t and its error are in units of [`UNSCALE`](crate::exp::UNSCALE): nothing is subnormal here.
///
/// max is an integer in units of 2^-1074. log(1 + t) differs from t by t²/2, less than 2^-900 t; the sum of max
/// and t has a relative error of 2u². What t has lost to underflow, or to terms that count as e^-1000, is below
/// 2^-60 units.
#[inline(always)]
pub fn nearest_of_least(max: f64, t: DoubleDouble, error: f64) -> Option<f64> {
    const UNITS_OF_UNSCALED: f64 = power_of_two(1074 - SCALE as i32);
    /// The square root of a unit's inverse.
    const ROOT: f64 = power_of_two(537);
    let t = t.scaled(UNITS_OF_UNSCALED);
    let value = t + max * ROOT * ROOT;
    let bound =
        error * UNITS_OF_UNSCALED + power_of_two(-100) * t.hi.abs() + power_of_two(-104) * value.hi.abs();
    let bound = bound * (1.0 + power_of_two(-40)) + power_of_two(-60);
    let nearest = if value.hi.abs() >= power_of_two(53) {
        let [low, high] = ends_in_f64(value, bound);
        (low == high).then_some(low)
    } else {
        let nearest_to_hi = if value.hi.abs() >= WHOLE {
            value.hi
        } else {
            (value.hi + WHOLE.copysign(value.hi)) - WHOLE.copysign(value.hi)
        };
        let rest = (value.hi - nearest_to_hi) + value.lo;
        let step = if rest.abs() > 0.5 { 1_f64.copysign(rest) } else { 0.0 };
        let (whole, rest) = (nearest_to_hi + step, rest - step);
        // A zero has the sign of the value, which must be certain. The rest is rounded by at most 2^-54.
        const MARGIN: f64 = power_of_two(-52);
        let is_certain = whole != 0.0 || value.hi.abs() > bound + MARGIN;
        (is_certain && rest.abs() + bound < 0.5 - MARGIN).then(|| whole.copysign(value.hi))
    };
    nearest.map(|units| units / ROOT / ROOT)
}

/// An f32 that rounds to the same f16, and the same bf16, as x.
///
/// It is x rounded to odd: cut to 13 significant bits, with the last bit set if the cut removed anything. Formats
/// with at least two bits fewer then round correctly. f32 has all numbers of 13 bits from 2^-137 on; smaller ones
/// round to 0 in both formats.
#[inline(always)]
pub fn odd_f32(x: f64) -> f32 {
    const CUT: u64 = (1 << 40) - 1;
    let bits = x.to_bits();
    f64::from_bits((bits | ((bits & CUT) + CUT)) & !CUT) as f32
}

/// The sum rounded to odd: cut to 53 bits, with the last bit set if the cut removed anything. Formats with at least two
/// bits fewer then round it as they would the sum itself.
#[inline(always)]
pub fn odd_f64(sum: DoubleDouble) -> f64 {
    let DoubleDouble { hi, lo } = sum;
    if lo == 0.0 || !hi.is_finite() {
        return hi;
    }
    let is_beyond = (lo > 0.0) != (hi > 0.0);
    f64::from_bits((hi.to_bits() - u64::from(is_beyond)) | 1)
}

#[inline(always)]
fn ends<F: Float64>(v: DoubleDouble<F>, bound: F) -> [F; 2] {
    [v.hi + (v.lo - bound), v.hi + (v.lo + bound)]
}

/// The bound, enlarged to cover the roundings of x and of the bound itself.
#[inline(always)]
fn widened<F: Float64>(bound: F, x: F) -> F {
    bound.mul_add(x.splat(1.0 + power_of_two(-50)), x.splat(power_of_two(-51)) * x.max(-x))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_reference::{Big, big, big_dd, uniform};
    use std::println;

    /// Values at, and next to, the midpoints of two floats whose ulp is `ulp` of their binade, with bounds that reach
    /// the midpoint or end just before it. Every number within the bound must round to one between the ends; and if
    /// all within the bound and `slack`, relative to v, round alike, the ends must nearly always be equal.
    fn attack(
        ulp: f64,
        slack: f64,
        ends: impl Fn(DoubleDouble, f64) -> [f64; 2],
        round: impl Fn(f64) -> f64,
        nearest: impl Fn(Big) -> f64,
    ) -> [usize; 2] {
        let mut uniform = uniform(41);
        let [mut settled, mut could_be] = [0; 2];
        for i in 0..60_000 {
            let binade = power_of_two([0, -30, 60, -100][i % 4]);
            let whole = 1.0 + (uniform() * 0.5 / ulp).floor() * 2.0 * ulp;
            let from_midpoint = [0.0, 1e-3, 0.3, 0.9][i / 4 % 4] * ulp * (uniform() - 0.5);
            let v = two_sum(whole + 0.5 * ulp, 0.0)
                + from_midpoint
                + from_midpoint * power_of_two(-53) * uniform();
            let v = if i % 3 == 0 { -v } else { v }.scaled(binade);
            let bound = match i % 5 {
                // The least that reaches beyond the midpoint: the computed end may be the midpoint, which rounds
                // to even.
                4 => {
                    let midpoint = big(whole) + big(0.5 * ulp);
                    let exact = big_dd(if i % 3 == 0 { -v } else { v }) - midpoint * big(binade);
                    let bound = exact.to_f64().value().abs();
                    let is_less = big(bound) <= if exact < big(0.0) { -exact } else { exact };
                    (if is_less { bound.next_up() } else { bound }) / binade
                }
                0 => 0.0,
                1 => from_midpoint.abs(),
                2 => from_midpoint.abs() * (1.0 - power_of_two(-40)),
                _ => ulp * uniform() * power_of_two(-((uniform() * 60.0) as i32)),
            } * binade;
            let [low, high] = ends(v, bound).map(&round);
            let most = bound + slack * v.hi.abs();
            let outermost = [-most, most].map(|off| nearest(big_dd(v) + big(off)));
            for part in [-1.0, -0.5, 0.0, 0.999, 1.0] {
                let x = nearest(big_dd(v) + big(bound) * big(part));
                assert!(low <= x && x <= high, "{v:?} ± {bound:e}: {x:e} is not in [{low:e}, {high:e}]");
            }
            could_be += usize::from(outermost[0] == outermost[1]);
            settled += usize::from(low == high);
        }
        [settled, could_be]
    }

    /// The ends as sums enclose the interval, and are wider by no more than 2^-100 of the value and 2^-49 of the bound.
    #[test]
    fn ends_as_sums_enclose_the_interval_closely() {
        let mut uniform = uniform(42);
        for i in 0..4000 {
            let hi = (uniform() - 0.5) * power_of_two(i % 40 - 20);
            let v = DoubleDouble { hi, lo: hi * power_of_two(-54) * (uniform() - 0.5) };
            let bound = hi.abs() * power_of_two(-40 - i % 50) * uniform();
            let slack = big(hi.abs() * power_of_two(-100) + bound * power_of_two(-49));
            for (side, end) in [-1.0, 1.0].into_iter().zip(ends_as_sums(v, bound)) {
                // How far the end lies outside.
                let beyond = (big_dd(end) - big_dd(v)) * big(side) - big(bound);
                assert!(beyond >= big(0.0) && beyond <= slack, "{v:?} ± {bound:e}: {end:?}");
            }
        }
    }

    #[test]
    fn the_ends_enclose_every_number_within_the_bound() {
        let of_f64 = attack(power_of_two(-52), 0.0, ends_in_f64, |x| x, |x| x.to_f64().value());
        let of_f32 = attack(
            power_of_two(-23),
            power_of_two(-50),
            ends_for_narrower,
            |x| f64::from(x as f32),
            |x| f64::from(x.to_f32().value()),
        );
        println!("settled, of those that round alike: f64 {of_f64:?}, f32 {of_f32:?}");
        for [settled, could_be] in [of_f64, of_f32] {
            assert!(settled > could_be / 100 * 99, "{settled} of {could_be}");
        }
    }
}
