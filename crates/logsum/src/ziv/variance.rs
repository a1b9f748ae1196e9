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
/// the greatest exponent, 2 max, the coefficient is m (n − m) for the m numbers that are max, so not 0, and so it
/// is in the least. By the Lindemann–Weierstrass theorem the logarithm is rational only if these are one
/// exponent, all other x_k being 0, and m (n − m) = n (n − ddof). Then it is 2 max, which is no midpoint of two
/// floats; so the phases end.
#[cold]
pub(crate) fn settle_log_variance<T: Format>(z: &[T], ddof: usize, max: f64) -> T {
    let (numbers, squares) = (Pairs { z, b: None, mask: None, divisor: 1.0 }, Sums { x: z, y: z });
    let [center, twice] = [max, 2.0 * max].map(DoubleDouble::from);
    let settled = |sum: Sum, of_squares: Sum, phase| {
        let settled = variance(sum, of_squares, z.len(), ddof).settled::<T>(twice, Zero::Positive, phase);
        settled.map(|settled| settled.value)
    };
    let in_fixed_point = || {
        settled(fixed_point::sum(&numbers, center)?, fixed_point::sum(&squares, twice)?, Phase::FixedPoint)
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
