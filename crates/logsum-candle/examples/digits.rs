//! Handwritten digits, told apart by the same classifier twice: trained through our cross-entropy, and through that of
//! candle.
//!
//! Scores Z = X·W + b, the mean cross-entropy, gradient descent with momentum and weight decay. Run it with
//! `cargo run --release --manifest-path crates/frameworks/Cargo.toml --example candle-digits`.

use candle_core::{D, DType, Device, Result, Tensor, Var};
use logsum_digits::{CLASSES, Images, Outcome, PIXELS, Training, compare};
use std::process::ExitCode;
use std::time::Instant;

const STEPS: usize = 400;
const LEARNING_RATE: f64 = 0.5;
const MOMENTUM: f64 = 0.9;
const L2: f64 = 1e-4;

type Loss = fn(&Tensor, &Tensor) -> Result<Tensor>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("digits: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let (training, held_out) = Images::read()?.split();
    let (training, held_out) = (tensors(training)?, tensors(held_out)?);
    // A run that does not count, so that neither pays for the first use of memory and threads.
    train("", logsum_candle::cross_entropy, &training, &held_out, 20)?;
    let trainings = [
        train("ours", logsum_candle::cross_entropy, &training, &held_out, STEPS)?,
        train("candle's", candle_nn::loss::cross_entropy, &training, &held_out, STEPS)?,
    ];
    compare(&trainings, "candle")
}

/// The pixels, and the classes.
fn tensors(images: Images) -> Result<(Tensor, Tensor)> {
    let classes: Vec<u32> = images.classes.iter().map(|&class| class as u32).collect();
    let pixels = images.pixels.into_raw_vec_and_offset().0;
    let pixels = Tensor::from_vec(pixels, (classes.len(), PIXELS), &Device::Cpu)?;
    Ok((pixels, Tensor::new(classes, &Device::Cpu)?))
}

fn train(
    name: &'static str,
    loss: Loss,
    (pixels, classes): &(Tensor, Tensor),
    held_out: &(Tensor, Tensor),
    steps: usize,
) -> Result<Training> {
    let weights = Var::zeros((PIXELS, CLASSES), DType::F64, &Device::Cpu)?;
    let bias = Var::zeros(CLASSES, DType::F64, &Device::Cpu)?;
    let scores = |pixels: &Tensor| pixels.matmul(&weights)?.broadcast_add(&bias);
    let mut speeds = [weights.zeros_like()?, bias.zeros_like()?];
    let mut history = Vec::with_capacity(steps);
    let start = Instant::now();
    for _ in 0..steps {
        let mean = loss(&scores(pixels)?, classes)?;
        let mut gradients = mean.backward()?;
        for ((variable, decay), speed) in [(&weights, L2), (&bias, 0.0)].into_iter().zip(&mut speeds) {
            let gradient = gradients.remove(variable).expect("the loss depends on it");
            let gradient = (gradient + (variable.as_tensor() * decay)?)?.detach();
            *speed = ((&*speed * MOMENTUM)? - (gradient * LEARNING_RATE)?)?;
            variable.set(&variable.add(speed)?.detach())?;
        }
        history.push((mean.to_scalar()?, start.elapsed().as_secs_f64()));
    }
    let (pixels, classes) = held_out;
    let scores = scores(pixels)?;
    let right = scores.argmax(D::Minus1)?.eq(classes)?.to_dtype(DType::F64)?.mean_all()?;
    Ok(Training {
        name,
        steps: history,
        loss: loss(&scores, classes)?.to_scalar()?,
        accuracy: right.to_scalar()?,
    })
}
