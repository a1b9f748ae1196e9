//! Random rows for sums in pieces.

use crate::common::Format;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Rows of every size and place, with ties, −∞ and numbers at the ends of cells.
pub fn row<T: Format>(random: &mut ChaCha8Rng, most: usize) -> Vec<T> {
    let length = [1, 2, 3, 7, 8, 9, 100, 1023, 1025, 5000][random.random_range(0..10)].min(most);
    let center = match random.random_range(0..8) {
        0 | 1 => 0.0,
        2 => random.random_range(-1100.0..400.0),
        3 => random.random_range(-1e6..1e6),
        4 => random.random_range(-1.0..1.0) * 2_f64.powi(random.random_range(30..66)),
        5 => (f64::from(random.random_range(-50..50)) - 0.42) * 40.0 * std::f64::consts::LN_2,
        6 => [-1000.0, 300.0, 2_f64.powi(47), 2_f64.powi(48), -(2_f64.powi(48)), 2_f64.powi(63)]
            [random.random_range(0..6)],
        _ => random.random_range(-1.0..1.0) * 1e300,
    };
    let spread = [0.0, 1e-6, 1.0, 10.0, 50.0, 200.0, 5000.0, 1e18][random.random_range(0..8)];
    let row = (0..length).map(|_| match random.random_range(0..60) {
        0 => f64::NEG_INFINITY,
        1 => center,
        _ => center + spread * random.random_range(-1.0..1.0),
    });
    row.map(T::of).filter(|z| Into::<f64>::into(*z) != f64::INFINITY).collect()
}
