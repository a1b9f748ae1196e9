//! Handwritten digits, told apart by multinomial logistic regression on logsum's loss and gradient.
//!
//! ```text
//! scores     Z = X·W + b
//! loss       ℓ_i = log Σ_k e^{Z_ik − Z_it}     for image i of class t
//! gradient   ∂ℓ_i/∂Z_ik = softmax(Z_i)_k − [k = t]
//! step       V ← μ·V − η·(Xᵀ·∂ℓ/∂Z / n + λ·W),   W ← W + V,   b likewise but for λ
//! ```
//!
//! Two runs: with pixels from 0 to 1, and with the same pixels times 10 000, where the scores grow so large that
//! log Σ e^z, as it is written, overflows. That is what the shift by the maximum is for.
//!
//! Run it with `cargo run --example digits`.

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};
use logsum::LogSumExp;
use logsum_digits::{CLASSES, HELD_OUT, IMAGES, Images, Outcome, PIXELS, REPOSITORY, SEED};
use ndarray::{Array1, Array2, Axis};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

const SCORES: &str = "target/digits/scores.npy";

const STEPS: u64 = 400;
const LEARNING_RATE: f64 = 0.5;
const MOMENTUM: f64 = 0.9;
const L2: f64 = 1e-4;

/// The accuracy on the held-out images below which something is wrong.
const ENOUGH: f64 = 0.95;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("digits: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let mut out = anstream::stdout();
    let (training, held_out) = Images::read()?.split();
    writeln!(
        out,
        "{IMAGES} handwritten digits of {PIXELS} pixels: {} to train on, {HELD_OUT} held out (seed {SEED})\n",
        training.classes.len(),
    )?;

    writeln!(out, "held out          accuracy          loss  largest |score|  rows where Σ e^z overflows")?;
    let plain = Run::new(&training, &held_out)?;
    writeln!(out, "pixels 0 to 1     {plain}")?;
    let scaled = Run::new(&scaled(&training, 1e4), &scaled(&held_out, 1e4))?;
    writeln!(out, "pixels × 10 000   {scaled}")?;

    writeln!(out, "\npixels 0 to 1:\n{}", plain.confusion())?;
    save(&plain.scores).map_err(|error| format!("{SCORES}: {error}"))?;
    writeln!(out, "scores of the held-out images: {SCORES}; their log-sum-exps:")?;
    writeln!(out, "  cargo run --release -p logsum-cli -- lse {SCORES} --axis -1")?;
    let accuracy = plain.accuracy();
    if accuracy < ENOUGH {
        return Err(format!("an accuracy of {accuracy:.4} is too low, {ENOUGH} is expected").into());
    }
    Ok(())
}

/// The same images, brighter.
fn scaled(images: &Images, factor: f64) -> Images {
    Images { pixels: &images.pixels * factor, classes: images.classes.clone() }
}

struct Model {
    weights: Array2<f64>,
    bias: Array1<f64>,
}

impl Model {
    fn scores(&self, pixels: &Array2<f64>) -> Array2<f64> {
        pixels.dot(&self.weights) + &self.bias
    }

    /// Gradient descent with momentum on the mean loss and λ/2·‖W‖².
    fn train(images: &Images) -> Outcome<Self> {
        let (weights, bias) = (Array2::zeros((PIXELS, CLASSES)), Array1::zeros(CLASSES));
        let (mut weights_speed, mut bias_speed) = (weights.clone(), bias.clone());
        let mut model = Self { weights, bias };
        let count = images.classes.len() as f64;
        let bar = ProgressBar::new(STEPS)
            .with_style(ProgressStyle::with_template("training {bar:40} step {pos} of {len}  loss {msg}")?);
        for _ in 0..STEPS {
            let (loss, gradient) = loss_and_gradient(&model.scores(&images.pixels), &images.classes)?;
            let weights_gradient = images.pixels.t().dot(&gradient) / count + L2 * &model.weights;
            let bias_gradient = gradient.sum_axis(Axis(0)) / count;
            weights_speed = MOMENTUM * weights_speed - LEARNING_RATE * weights_gradient;
            bias_speed = MOMENTUM * bias_speed - LEARNING_RATE * bias_gradient;
            model.weights += &weights_speed;
            model.bias += &bias_speed;
            bar.set_message(format!("{loss:.4}"));
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(model)
    }
}

/// The mean loss, and the derivative of each row's loss with respect to its scores.
fn loss_and_gradient(scores: &Array2<f64>, classes: &[usize]) -> Outcome<(f64, Array2<f64>)> {
    // Z_ik − Z_it first: log Σ e^z − z_t would lose a loss that is small against the scores.
    let mut differences = scores.clone();
    for (mut row, &class) in differences.rows_mut().into_iter().zip(classes) {
        let target = row[class];
        row -= target;
    }
    let (losses, mut gradient) = differences.logsumexp_with_gradient(1)?;
    for (mut row, &class) in gradient.rows_mut().into_iter().zip(classes) {
        row[class] -= 1.0;
    }
    let loss = losses.sum() / classes.len() as f64;
    if !loss.is_finite() || gradient.iter().any(|slope| !slope.is_finite()) {
        return Err("the loss or its gradient is not finite".into());
    }
    Ok((loss, gradient))
}

/// What a trained model does on the held-out images.
struct Run {
    scores: Array2<f64>,
    loss: f64,
    /// How many images of each class (row) are taken for each class (column).
    counts: Array2<usize>,
}

impl Run {
    fn new(training: &Images, held_out: &Images) -> Outcome<Self> {
        let scores = Model::train(training)?.scores(&held_out.pixels);
        let (loss, _) = loss_and_gradient(&scores, &held_out.classes)?;
        let mut counts = Array2::zeros((CLASSES, CLASSES));
        for (row, &class) in scores.rows().into_iter().zip(&held_out.classes) {
            let found = (0..CLASSES).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0);
            counts[[class, found]] += 1;
        }
        Ok(Self { scores, loss, counts })
    }

    fn accuracy(&self) -> f64 {
        self.counts.diag().sum() as f64 / self.counts.sum() as f64
    }

    fn confusion(&self) -> String {
        let dim = Style::new().dimmed();
        let right = Style::new().bold().fg_color(Some(AnsiColor::Green.into()));
        let wrong = Style::new().fg_color(Some(AnsiColor::Red.into()));
        let digits: String = (0..CLASSES).map(|digit| format!("{digit:>4}")).collect();
        let mut text = format!("            predicted\n{dim}       {digits}{dim:#}\n");
        for (class, row) in self.counts.rows().into_iter().enumerate() {
            let title = if class == 0 { "true" } else { "" };
            text += &format!("{title:<5}{dim}{class:>2}{dim:#}");
            for (found, &count) in row.iter().enumerate() {
                text += &match count {
                    0 => format!("{dim}   ·{dim:#}"),
                    _ if found == class => format!("{right}{count:>4}{right:#}"),
                    _ => format!("{wrong}{count:>4}{wrong:#}"),
                };
            }
            text.push('\n');
        }
        text
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let (accuracy, loss, rows) = (self.accuracy(), self.loss, self.scores.nrows());
        let largest = self.scores.fold(0.0, |largest: f64, score| largest.max(score.abs()));
        // log Σ e^z as it is written, with nothing taken off z, is infinite where the sum is.
        let sums = self.scores.exp().sum_axis(Axis(1));
        let overflows = sums.iter().filter(|sum| sum.is_infinite()).count();
        write!(f, "{accuracy:>8.4}  {loss:>12.4}  {largest:>15.1}  {overflows} of {rows}")
    }
}

/// Leaves the scores where the command can read them.
fn save(scores: &Array2<f64>) -> Outcome<()> {
    std::fs::create_dir_all(Path::new(REPOSITORY).join("target/digits"))?;
    Ok(ndarray_npy::write_npy(Path::new(REPOSITORY).join(SCORES), scores)?)
}
