//! The derivation of the gradient of log-sum-exp, checked line by line: with z_j = max z and ẑ = z − z_j,
//!
//! ```text
//! LSE(z) = log Σ_k e^{ẑ_k} + z_j
//! ```
//!
//! is differentiated by the chain rule, including the path through the maximum, once for i ≠ j and once for i = j.
//! Each line of the derivation is evaluated as written; each equals the previous line, and the last is the
//! library's gradient.

use logsum::{logsumexp_with_gradient, softmax};
use std::ops::{Add, Div, Sub};

/// The lines below have at most n + 3 roundings each of terms that add up to at most 2 in magnitude.
fn close(a: f64, b: f64, n: usize) -> bool {
    (a - b).abs() <= 2.0 * (n + 3) as f64 * f64::EPSILON
}

fn scores() -> Vec<Vec<f64>> {
    vec![
        vec![3.0, 1.0, -2.0],
        vec![1000.0, 1001.0, 1002.0],
        vec![-1000.0, -1001.5, -999.0, -1003.0],
        vec![0.1, 0.2, 0.3, 0.25, -0.7, 0.05],
        vec![5.0],
        vec![-3.0, 12.0],
        (0..50).map(|k| f64::from(k * 37 % 50) / 7.0).collect(),
    ]
}

struct Shifted {
    /// The index of the maximum.
    j: usize,
    /// e^{ẑ_k}
    exponentials: Vec<f64>,
    /// Σ_k e^{ẑ_k}
    sum: f64,
}

fn shifted(z: &[f64]) -> Shifted {
    let j = (0..z.len()).max_by(|&a, &b| z[a].total_cmp(&z[b])).expect("not empty");
    let exponentials: Vec<f64> = z.iter().map(|z_k| (z_k - z[j]).exp()).collect();
    let sum = exponentials.iter().sum();
    Shifted { j, exponentials, sum }
}

fn indicator(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

/// The right-hand sides of the derivation for i ≠ j.
fn lines_away_from_the_maximum(z: &[f64], i: usize) -> Vec<f64> {
    let Shifted { j, exponentials: e, sum } = shifted(z);
    assert_ne!(i, j);
    // ∂LSE/∂(log Σ) · ∂(log Σ)/∂z_i + ∂LSE/∂(max z) · ∂(max z)/∂z_i, where ∂(max z)/∂z_i = 0.
    let (through_log, through_max, max_sees_i) = (1.0, 1.0, 0.0);
    // ∂ẑ_k/∂z_i = ∂(z_k − max z)/∂z_i = 𝕀(k = i) − ∂(max z)/∂z_i
    let z_hat_sees_i = |k: usize| indicator(k == i) - max_sees_i;
    // ∂(log Σ)/∂Σ = 1/Σ
    let log_sees_sum = 1.0 / sum;
    let n = z.len();
    vec![
        through_log * (log_sees_sum * (0..n).map(|k| e[k] * z_hat_sees_i(k)).sum::<f64>())
            + through_max * max_sees_i,
        1.0 * log_sees_sum * (0..n).map(|k| e[k] * z_hat_sees_i(k)).sum::<f64>() + 1.0 * 0.0,
        1.0 / sum * (0..n).map(|k| e[k] * (indicator(k == i) - 0.0)).sum::<f64>(),
        1.0 / sum * (0..n).map(|k| e[k] * indicator(k == i)).sum::<f64>(),
        1.0 / sum * e[i],
        e[i] / sum,
    ]
}

/// The right-hand sides of the derivation for i = j.
fn lines_at_the_maximum(z: &[f64]) -> Vec<f64> {
    let Shifted { j: i, exponentials: e, sum } = shifted(z);
    let n = z.len();
    let others = || (0..n).filter(move |&k| k != i);
    // The path through the maximum now contributes 1,
    let (through_log, through_max, max_sees_i) = (1.0, 1.0, 1.0);
    // and every ẑ_k depends on z_i through it: ∂ẑ_k/∂z_i = 𝕀(k = i) − 1.
    let z_hat_sees_i = |k: usize| indicator(k == i) - max_sees_i;
    let log_sees_sum = 1.0 / sum;
    vec![
        through_log * (log_sees_sum * (0..n).map(|k| e[k] * z_hat_sees_i(k)).sum::<f64>())
            + through_max * max_sees_i,
        1.0 / sum * (0..n).map(|k| e[k] * z_hat_sees_i(k)).sum::<f64>() + 1.0,
        1.0 / sum * (e[i] * z_hat_sees_i(i) + others().map(|k| e[k] * z_hat_sees_i(k)).sum::<f64>()) + 1.0,
        1.0 / sum * (e[i] * 0.0 + others().map(|k| -e[k]).sum::<f64>()) + 1.0,
        1.0 / sum * -others().map(|k| e[k]).sum::<f64>() + 1.0,
        -others().map(|k| e[k]).sum::<f64>() / sum + e.iter().sum::<f64>() / sum,
        e[i] / sum,
    ]
}

#[test]
fn each_line_equals_the_one_before_and_the_last_is_the_gradient() {
    let mut lines_seen = [0, 0];
    for z in scores() {
        let mut gradient = vec![0.0; z.len()];
        logsumexp_with_gradient(&z, &mut gradient).unwrap();
        for (i, gradient) in gradient.into_iter().enumerate() {
            let at_maximum = i == shifted(&z).j;
            let lines =
                if at_maximum { lines_at_the_maximum(&z) } else { lines_away_from_the_maximum(&z, i) };
            lines_seen[usize::from(at_maximum)] += lines.len();
            for (number, pair) in lines.windows(2).enumerate() {
                assert!(close(pair[0], pair[1], z.len()), "{z:?}, i = {i}, lines {number}: {pair:?}");
            }
            let last = lines[lines.len() - 1];
            assert!(close(last, gradient, z.len()), "{z:?}, i = {i}: {last}, the library's {gradient}");
        }
    }
    assert!(lines_seen[0] > 300 && lines_seen[1] == 7 * scores().len(), "{lines_seen:?}");
}

#[test]
fn a_derivation_that_forgets_the_maximum_is_caught() {
    let z = [3.0, 1.0, -2.0];
    let Shifted { j, exponentials, sum } = shifted(&z);
    // ∂(log Σ)/∂z_j without the 1 of the path through the maximum.
    let forgetful =
        exponentials.iter().enumerate().map(|(k, e)| e * (indicator(k == j) - 1.0)).sum::<f64>() / sum;
    let mut gradient = [0.0; 3];
    softmax(&z, &mut gradient).unwrap();
    assert!(!close(forgetful, gradient[j], z.len()));
}

/// A dual number: a value and its derivative in one direction.
#[derive(Clone, Copy)]
struct Dual {
    value: f64,
    derivative: f64,
}

impl Add for Dual {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { value: self.value + other.value, derivative: self.derivative + other.derivative }
    }
}

impl Sub for Dual {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self { value: self.value - other.value, derivative: self.derivative - other.derivative }
    }
}

impl Div<f64> for Dual {
    type Output = Self;
    fn div(self, divisor: f64) -> Self {
        Self { value: self.value / divisor, derivative: self.derivative / divisor }
    }
}

impl Dual {
    fn exp(self) -> Self {
        let value = self.value.exp();
        Self { value, derivative: value * self.derivative }
    }

    fn ln(self) -> Self {
        Self { value: self.value.ln(), derivative: self.derivative / self.value }
    }
}

/// The shifted formula in dual numbers, independent of the derivation.
fn shifted_formula(z: &[Dual]) -> Dual {
    let max = z.iter().copied().reduce(|a, b| if b.value > a.value { b } else { a }).expect("not empty");
    let zero = Dual { value: 0.0, derivative: 0.0 };
    z.iter().map(|&z_k| (z_k - max).exp()).fold(zero, Add::add).ln() + max
}

#[test]
fn dual_numbers_through_the_shifted_formula_agree() {
    // With a tie the paths through either maximum cancel.
    for z in scores().into_iter().chain([vec![2.0, 2.0, -1.0], vec![0.5; 9]]) {
        let mut gradient = vec![0.0; z.len()];
        let value = logsumexp_with_gradient(&z, &mut gradient).unwrap();
        for (i, gradient) in gradient.into_iter().enumerate() {
            let dual = |(k, &value): (usize, &f64)| Dual { value, derivative: indicator(k == i) };
            let found = shifted_formula(&z.iter().enumerate().map(dual).collect::<Vec<_>>());
            assert!(close(found.derivative, gradient, z.len()), "{z:?}, i = {i}");
            assert!((found.value - value).abs() <= 2.0 * f64::EPSILON * value.abs().max(1.0), "{z:?}");
        }
    }
}
