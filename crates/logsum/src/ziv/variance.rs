//! Ziv's last phases for the logarithm of a variance, as a difference of two sums of exponentials.

use crate::arithmetic::double_double::DoubleDouble;
use crate::formats::Format;
use crate::formats::nearest::Zero;
use crate::state::signed::Pairs;
use crate::ziv::integer_sums::Sum;
use crate::ziv::matrix_entry::Sums;
use crate::ziv::{Phase, arbitrary_precision, fixed_point};
use dashu_int::IBig;

/// log((1/(n − ddof)) Σ (x_k − x̄)²), x_k = e^{z_k}, correctly rounded. No z_k is NaN or +∞, not all are equal,
/// `max` is the greatest, and n > ddof.
///
/// The variance is (n Σ x_k² − (Σ x_k)²) / (n (n − ddof)), a sum of exponentials with integer coefficients. In
/// the greatest exponent, 2 max, the coefficient is m (n − m) for the m numbers that equal max, so not 0; the same
/// holds for the least exponent. By the Lindemann–Weierstrass theorem the logarithm is rational only if these are one
/// exponent, all other x_k being 0, and m (n − m) = n (n − ddof). Then it is 2 max, which is no midpoint of two floats;
/// so the phases end.
#[cold]
pub(crate) fn settle_log_variance<T: Format>(z: &[T], ddof: usize, max: f64) -> T {
    let (numbers, squares) = (Pairs { z, b: None, mask: None, divisor: 1.0 }, Sums { x: z, y: z });
    let [center, twice] = [max, 2.0 * max].map(DoubleDouble::from);
    let settled = |sum: Sum, of_squares: Sum, phase| {
        let settled = variance(sum, of_squares, z.len(), ddof).settled::<T>(twice, Zero::Positive, phase);
        settled.map(|settled| settled.value)
    };
    let in_fixed_point = || {
        let sum = fixed_point::sum(&numbers, center)?;
        settled(sum, fixed_point::sum(&squares, twice)?, Phase::FixedPoint)
    };
    let in_arbitrary_precision = |log2: u32| {
        let sum = arbitrary_precision::sum(&numbers, center, 1 << log2);
        settled(sum, arbitrary_precision::sum(&squares, twice, 1 << log2), Phase::Arbitrary)
    };
    in_fixed_point()
        .or_else(|| (9..).find_map(in_arbitrary_precision))
        .expect("the value keeps a distance from every half-way point (Lindemann and Weierstrass)")
}

/// (n Σ x² − (Σ x)²) / (n (n − ddof)), with twice the bits of both sums.
fn variance(sum: Sum, of_squares: Sum, n: usize, ddof: usize) -> Sum {
    let (bits, count) = (sum.bits, IBig::from(n));
    let value = ((&count * of_squares.value) << bits) - &sum.value * &sum.value;
    let of_square = (&sum.value + &sum.value + &sum.error) * sum.error;
    let error = ((&count * of_squares.error) << bits) + of_square;
    let divisor = count * IBig::from(n - ddof);
    Sum { value: value / &divisor, bits: 2 * bits, error: error / divisor + IBig::from(2) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::uniform;
    use dashu_int::ops::Abs;

    /// Sums that are off by their whole error bounds: the variance stays within its own bound, which is not loose.
    #[test]
    fn errors_of_both_sums_reach_the_variance() {
        let mut uniform = uniform(71);
        let mut integer = |size: f64| IBig::from((uniform() * size) as u64);
        for i in 0..400 {
            let (n, ddof, bits) = (2 + i % 9, i % 2, 60);
            let (sum, of_squares) = (integer(1e18) + IBig::from(1_u64 << 60), integer(1e18));
            let errors =
                [integer(1e6), integer(1e6)].map(|error| if i % 3 == 0 { IBig::ZERO } else { error });
            // One of the errors, or both.
            let [of_sum, of_square] = errors.map(|error| if i % 5 == 0 { error << 20 } else { error });
            let divisor = IBig::from(n * (n - ddof));
            let exact = ((IBig::from(n) * &of_squares) << bits) - &sum * &sum;
            for signs in [[1, 1], [1, -1], [-1, 1], [-1, -1]] {
                let [value, squares] =
                    [&sum + IBig::from(signs[0]) * &of_sum, &of_squares + IBig::from(signs[1]) * &of_square];
                let found = variance(
                    Sum { value, bits, error: of_sum.clone() },
                    Sum { value: squares, bits, error: of_square.clone() },
                    n,
                    ddof,
                );
                let off = (&found.value * &divisor - &exact).abs();
                assert!(off <= (&found.error + IBig::ONE) * &divisor, "{i}: {signs:?}");
                if signs == [-1, 1] {
                    // Both errors have the same direction: nothing is lost but the truncations.
                    assert!(
                        off + IBig::from(8) * &divisor
                            >= &found.error * &divisor - ((&of_sum * &of_sum) << 2),
                        "{i}"
                    );
                }
            }
        }
    }
}
