//! Handwritten digits, told apart by multinomial logistic regression on logsum's loss and gradient.
//!
//! ```text
//! scores     Z = X·W + b
//! loss       ℓ_i = log Σ_k e^{Z_ik − Z_it}     for image i of class t
//! gradient   ∂ℓ_i/∂Z_ik = softmax(Z_i)_k − [k = t]
//! step       W ← W − η·(momentum of Xᵀ·∂ℓ/∂Z)
//! ```
//!
//! Two runs: with pixels from 0 to 1, and with the same pixels times 10 000, where the scores grow so large that
//! log Σ e^z, as it is written, overflows. That is what the shift by the maximum is for.
//!
//! Run it with `cargo run --release --example digits`.

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};
use logsum::LogSumExp;
use ndarray::{Array1, Array2, ArrayView1, Axis};
use rand::{SeedableRng, seq::SliceRandom};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const CLASSES: usize = 10;
const SEED: u64 = 7;
const HELD_OUT: usize = 450;
const STEPS: u64 = 400;
const LEARNING_RATE: f64 = 0.5;
const MOMENTUM: f64 = 0.9;

/// The accuracy on the held-out images that a sound loss and gradient reach with room to spare.
const ENOUGH: f64 = 0.95;

type Outcome<T> = Result<T, Box<dyn Error>>;

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
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/digits.csv");
    let all = Images::read(&data).map_err(|error| format!("{}: {error}", data.display()))?;
    let (training, held_out) = all.split();
    anstream::println!(
        "{} handwritten digits of {} pixels: {} to train on, {} held out (seed {SEED})\n",
        all.classes.len(),
        all.pixels.ncols(),
        training.classes.len(),
        held_out.classes.len(),
    );

    anstream::println!(
        "{:<17} {:>8} {:>9} {:>14}  rows where log Σ e^z overflows",
        "",
        "accuracy",
        "loss",
        "largest score"
    );
    let plain = Run::new("pixels 0 to 1", &training, &held_out)?;
    let scaled = Run::new("pixels × 10 000", &training.scaled(1e4), &held_out.scaled(1e4))?;

    anstream::println!("\n{}", plain.confusion(&held_out));
    save(&plain.scores)?;
    if !scaled.loss.is_finite() {
        return Err("the loss of the scaled pixels is not finite".into());
    }
    if plain.accuracy < ENOUGH {
        return Err(format!("an accuracy of {:.4} is too low, {ENOUGH} is expected", plain.accuracy).into());
    }
    Ok(())
}

/// Pixels, one image a row, and the digit that each shows.
struct Images {
    pixels: Array2<f64>,
    classes: Vec<usize>,
}

impl Images {
    fn read(path: &Path) -> Outcome<Self> {
        let (mut pixels, mut classes) = (Vec::new(), Vec::new());
        for row in csv::Reader::from_path(path)?.deserialize() {
            let mut numbers: Vec<u8> = row?;
            classes.push(numbers.pop().ok_or("a row is empty")?.into());
            pixels.extend(numbers.into_iter().map(|pixel| f64::from(pixel) / 16.0));
        }
        let columns = pixels.len().checked_div(classes.len()).ok_or("there are no images")?;
        Ok(Self { pixels: Array2::from_shape_vec((classes.len(), columns), pixels)?, classes })
    }

    fn split(&self) -> (Self, Self) {
        let mut order: Vec<usize> = (0..self.classes.len()).collect();
        order.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(SEED));
        let (held_out, training) = order.split_at(HELD_OUT);
        (self.select(training), self.select(held_out))
    }

    fn select(&self, which: &[usize]) -> Self {
        let classes = which.iter().map(|&index| self.classes[index]).collect();
        Self { pixels: self.pixels.select(Axis(0), which), classes }
    }

    fn scaled(&self, factor: f64) -> Self {
        Self { pixels: &self.pixels * factor, classes: self.classes.clone() }
    }
}

struct Model {
    weights: Array2<f64>,
    bias: Array1<f64>,
}

impl Model {
    fn scores(&self, pixels: &Array2<f64>) -> Array2<f64> {
        pixels.dot(&self.weights) + &self.bias
    }

    /// Gradient descent with momentum on the mean loss.
    fn train(images: &Images) -> Outcome<Self> {
        let shape = (images.pixels.ncols(), CLASSES);
        let mut model = Self { weights: Array2::zeros(shape), bias: Array1::zeros(CLASSES) };
        let (mut weights_speed, mut bias_speed) =
            (Array2::<f64>::zeros(shape), Array1::<f64>::zeros(CLASSES));
        let rate = LEARNING_RATE / images.classes.len() as f64;
        let bar = ProgressBar::new(STEPS)
            .with_style(ProgressStyle::with_template("training {bar:40} step {pos} of {len}  loss {msg}")?);
        for _ in 0..STEPS {
            let (loss, gradient) = loss_and_gradient(&model.scores(&images.pixels), &images.classes)?;
            weights_speed = MOMENTUM * weights_speed - rate * images.pixels.t().dot(&gradient);
            bias_speed = MOMENTUM * bias_speed - rate * gradient.sum_axis(Axis(0));
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
    Ok((losses.mean().unwrap_or(0.0), gradient))
}

/// What a trained model does on the held-out images.
struct Run {
    scores: Array2<f64>,
    accuracy: f64,
    loss: f64,
}

impl Run {
    fn new(name: &str, training: &Images, held_out: &Images) -> Outcome<Self> {
        let scores = Model::train(training)?.scores(&held_out.pixels);
        let (loss, _) = loss_and_gradient(&scores, &held_out.classes)?;
        let found = predictions(&scores);
        let right = found.iter().zip(&held_out.classes).filter(|(found, class)| found == class).count();
        let accuracy = right as f64 / held_out.classes.len() as f64;
        let largest = scores.fold(0.0, |largest: f64, score| largest.max(score.abs()));
        let overflows =
            scores.rows().into_iter().filter(|row| !row.mapv(f64::exp).sum().ln().is_finite()).count();
        anstream::println!(
            "{name:<17} {accuracy:>8.4} {loss:>9.4} {largest:>14.1}  {overflows} of {}",
            scores.nrows()
        );
        Ok(Self { scores, accuracy, loss })
    }

    fn confusion(&self, held_out: &Images) -> String {
        let mut counts = Array2::<usize>::zeros((CLASSES, CLASSES));
        for (found, &class) in predictions(&self.scores).into_iter().zip(&held_out.classes) {
            counts[[class, found]] += 1;
        }
        let (dim, right, wrong) = (
            Style::new().dimmed(),
            Style::new().bold().fg_color(Some(AnsiColor::Green.into())),
            Style::new().fg_color(Some(AnsiColor::Red.into())),
        );
        let digits: String = (0..CLASSES).map(|digit| format!("{digit:>4}")).collect();
        let mut text = format!("            predicted\n{dim}       {digits}{dim:#}\n");
        for (class, row) in counts.rows().into_iter().enumerate() {
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

/// For each image the class with the greatest score.
fn predictions(scores: &Array2<f64>) -> Vec<usize> {
    let greatest =
        |row: ArrayView1<f64>| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0);
    scores.rows().into_iter().map(greatest).collect()
}

/// The scores of the held-out images, for the command to read.
fn save(scores: &Array2<f64>) -> Outcome<()> {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/digits");
    std::fs::create_dir_all(&folder)?;
    ndarray_npy::write_npy(folder.join("scores.npy"), scores)?;
    anstream::println!("scores of the held-out images: target/digits/scores.npy; their log-sum-exps:");
    anstream::println!("  cargo run --release --bin logsum -- lse target/digits/scores.npy --axis 1");
    Ok(())
}
