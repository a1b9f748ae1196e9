//! Reverse-mode differentiation in a hundred lines, with log-sum-exp as an operator: a tape records each value together
//! with the derivative of the operation that computed it. Read backwards, it gives the gradient.
//!
//! It trains a classifier of handwritten digits: the loss is the mean over images i of log Σ_k e^{Z_ik} − Z_it,
//! where t is the class of image i and Z = X·W + b. At the end it compares the gradient of its own log-sum-exp with
//! the library's. Run it with `cargo run --release --example tape`.

use logsum_digits::Images;
use ndarray::{Array2, Axis};
use std::error::Error;

/// Computes the derivative of the loss with respect to an input of a value from that with respect to the value.
type Back = Box<dyn Fn(&Array2<f64>) -> Array2<f64>>;

#[derive(Default)]
struct Tape {
    nodes: Vec<Node>,
}

/// A value, and what it was made of.
struct Node {
    value: Array2<f64>,
    inputs: Vec<(Value, Back)>,
}

/// A place on the tape.
#[derive(Clone, Copy)]
struct Value(usize);

impl Tape {
    fn record(&mut self, value: Array2<f64>, inputs: Vec<(Value, Back)>) -> Value {
        self.nodes.push(Node { value, inputs });
        Value(self.nodes.len() - 1)
    }

    fn leaf(&mut self, value: Array2<f64>) -> Value {
        self.record(value, Vec::new())
    }

    fn value(&self, of: Value) -> &Array2<f64> {
        &self.nodes[of.0].value
    }

    /// The derivatives of a number with respect to all values before it. Each value passes its derivative on to its
    /// inputs, and what arrives at one of them is added up.
    fn gradients(&self, of: Value) -> Vec<Array2<f64>> {
        let mut gradients: Vec<_> =
            self.nodes.iter().map(|node| Array2::zeros(node.value.raw_dim())).collect();
        gradients[of.0].fill(1.0);
        for node in (0..=of.0).rev() {
            for (input, back) in &self.nodes[node].inputs {
                let contribution = back(&gradients[node]);
                gradients[input.0] += &contribution;
            }
        }
        gradients
    }

    /// X·W: ∂/∂W is Xᵀ·(what comes back). X is data, and has no derivative.
    fn product(&mut self, x: &Array2<f64>, w: Value) -> Value {
        let (value, xt) = (x.dot(self.value(w)), x.t().to_owned());
        self.record(value, vec![(w, Box::new(move |g| xt.dot(g)))])
    }

    /// Z + b, a row b for all rows: what comes back to it is their sum.
    fn plus_row(&mut self, z: Value, b: Value) -> Value {
        let value = self.value(z) + self.value(b);
        let of_row: Back = Box::new(|g| g.sum_axis(Axis(0)).insert_axis(Axis(0)));
        self.record(value, vec![(z, Box::new(Array2::clone)), (b, of_row)])
    }

    /// log Σ_k e^{z_k} of each row, as log Σ_k e^{z_k − max} + max, where max = z_j.
    ///
    /// Its derivative by z_i has two cases. For i ≠ j max does not depend on z_i, and what is left is e^{z_i − max}/Σ.
    /// For i = j every other exponent falls as z_i rises, and max rises with it: −Σ_{k≠j} e^{z_k − max}/Σ + 1. As 1 is
    /// Σ/Σ, that is e^{z_j − max}/Σ, too: both are the softmax.
    fn logsumexp(&mut self, z: Value) -> Value {
        let rows = self.value(z).clone();
        let values = rows.map_axis(Axis(1), |row| {
            let max = row[greatest(row)];
            row.map(|z| (z - max).exp()).sum().ln() + max
        });
        let back = move |g: &Array2<f64>| {
            let mut gradient = rows.clone();
            for (mut row, g) in gradient.rows_mut().into_iter().zip(g) {
                let j = greatest(row.view());
                let max = row[j];
                row.mapv_inplace(|z| (z - max).exp());
                let sum = row.sum();
                let others =
                    row.iter().enumerate().filter(|(k, _)| *k != j).map(|(_, power)| power).sum::<f64>();
                row.mapv_inplace(|power| power / sum);
                row[j] = -others / sum + 1.0;
                row *= *g;
            }
            gradient
        };
        self.record(values.insert_axis(Axis(1)), vec![(z, Box::new(back))])
    }

    /// The mean of values_i − z_{i, t_i}: what comes back goes to the values, and negated to the one z of each row.
    fn mean_difference(&mut self, values: Value, z: Value, targets: &[usize]) -> Value {
        let (rows, n) = (self.value(z), targets.len() as f64);
        let sum =
            targets.iter().zip(rows.rows()).zip(self.value(values)).map(|((&t, row), value)| value - row[t]);
        let mean = sum.sum::<f64>() / n;
        let (shape, targets) = (rows.raw_dim(), targets.to_vec());
        let to_targets = move |g: &Array2<f64>| {
            let mut gradient = Array2::zeros(shape);
            targets.iter().enumerate().for_each(|(i, &t)| gradient[[i, t]] = -g[[0, 0]] / n);
            gradient
        };
        let column = self.value(values).raw_dim();
        let to_values = move |g: &Array2<f64>| Array2::from_elem(column, g[[0, 0]] / n);
        self.record(
            Array2::from_elem((1, 1), mean),
            vec![(values, Box::new(to_values)), (z, Box::new(to_targets))],
        )
    }
}

/// The index of the first greatest number.
fn greatest(row: ndarray::ArrayView1<'_, f64>) -> usize {
    (1..row.len()).fold(0, |j, k| if row[k] > row[j] { k } else { j })
}

fn main() -> Result<(), Box<dyn Error>> {
    let Images { pixels, classes: targets } = Images::read()?;
    let (mut w, mut b) = (Array2::zeros((pixels.ncols(), 10)), Array2::zeros((1, 10)));
    for step in 0..=200 {
        let mut tape = Tape::default();
        let (wv, bv) = (tape.leaf(w.clone()), tape.leaf(b.clone()));
        let product = tape.product(&pixels, wv);
        let z = tape.plus_row(product, bv);
        let values = tape.logsumexp(z);
        let loss = tape.mean_difference(values, z, &targets);
        let gradients = tape.gradients(loss);
        if step % 50 == 0 {
            let right =
                tape.value(z).rows().into_iter().zip(&targets).filter(|(row, t)| greatest(*row) == **t);
            let accuracy = right.count() as f64 / targets.len() as f64;
            println!("step {step:3}: loss {:.4}, accuracy {accuracy:.4}", tape.value(loss)[[0, 0]]);
        }
        w.scaled_add(-0.5, &gradients[wv.0]);
        b.scaled_add(-0.5, &gradients[bv.0]);
    }
    println!(
        "the gradient of log-sum-exp differs from the library's by at most {:.1e}",
        difference(&[1.0, -2.0, 3.0, 3.0])?
    );
    Ok(())
}

/// How far the tape's gradient of a row's log-sum-exp is from the library's.
fn difference(row: &[f64]) -> Result<f64, Box<dyn Error>> {
    let mut tape = Tape::default();
    let z = tape.leaf(Array2::from_shape_vec((1, row.len()), row.to_vec())?);
    let value = tape.logsumexp(z);
    let mut exact = vec![0.0; row.len()];
    logsum::logsumexp_with_gradient(row, &mut exact)?;
    let gradient = &tape.gradients(value)[z.0];
    Ok(gradient.iter().zip(&exact).map(|(g, exact)| (g - exact).abs()).fold(0.0, f64::max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_is_the_librarys() {
        let rows: [&[f64]; 6] = [
            &[0.0],
            &[1.0, 2.0, 3.0],
            &[3.0, 3.0, 3.0],
            &[1e8, 1e8],
            &[1000.0, 1001.0, 999.5],
            &[-800.0, 0.0, -3.0],
        ];
        for row in rows {
            let difference = difference(row).unwrap();
            assert!(difference <= 4.0 * f64::EPSILON, "{row:?}: {difference:e}");
        }
    }

    /// Central difference quotients of the whole loss.
    #[test]
    fn derivatives_are_those_of_the_loss() {
        let x = Array2::from_shape_fn((3, 2), |(i, k)| (i as f64 - 1.0) * 0.7 + k as f64 * 0.3);
        let w = Array2::from_shape_fn((2, 4), |(k, c)| (k as f64 + 1.0) * 0.2 - c as f64 * 0.4);
        let loss = |w: &Array2<f64>| {
            let mut tape = Tape::default();
            let (w, b) = (tape.leaf(w.clone()), tape.leaf(Array2::zeros((1, 4))));
            let product = tape.product(&x, w);
            let z = tape.plus_row(product, b);
            let values = tape.logsumexp(z);
            let loss = tape.mean_difference(values, z, &[0, 3, 1]);
            (tape.value(loss)[[0, 0]], tape.gradients(loss)[w.0].clone())
        };
        let (_, gradient) = loss(&w);
        for (at, derivative) in gradient.indexed_iter() {
            let moved = |step: f64| {
                let mut w = w.clone();
                w[at] += step;
                loss(&w).0
            };
            let quotient = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((quotient - derivative).abs() < 1e-9, "{at:?}: {derivative}, not {quotient}");
        }
    }
}
