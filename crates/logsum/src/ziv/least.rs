//! The rounding test for values among the least f64.

use crate::arithmetic::double_double::DoubleDouble;
use crate::arithmetic::exp::UNSCALE;
use crate::arithmetic::rounding_test::{TINY, nearest_of_least};
use crate::formats::Format;

/// [`nearest_of_least`], where T is f64 and max and t are below [`TINY`] in magnitude; else `None`.
pub(super) fn nearest_among_least<T: Format>(
    max: f64,
    tail: impl FnOnce() -> (DoubleDouble, f64),
) -> Option<T> {
    if T::LEAST_POWER != -1074 || max.abs() >= TINY {
        return None;
    }
    let (t, error) = tail();
    if t.hi.abs() * UNSCALE >= TINY {
        return None;
    }
    nearest_of_least(max, t, error).map(T::narrow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arithmetic::double_double::power_of_two;
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
                // Half of the spacing of floats at the result; 2^-1075 among the least.
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
