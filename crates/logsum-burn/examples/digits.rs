//! Handwritten digits, told apart by the same classifier twice: trained through our cross-entropy, and through burn's.
//!
//! Scores Z = X·W + b, the mean cross-entropy, gradient descent with momentum and weight decay. Run it with
//! `cargo run --release --manifest-path crates/frameworks/Cargo.toml --example burn-digits`.

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Device, Int, Tensor, TensorData};
use logsum_digits::{CLASSES, Images, Outcome, PIXELS, Training, compare};
use std::process::ExitCode;
use std::time::Instant;

const STEPS: usize = 400;
const LEARNING_RATE: f32 = 0.5;
const MOMENTUM: f32 = 0.9;
const L2: f32 = 1e-4;

type Loss = fn(Tensor<2>, Tensor<1, Int>) -> Outcome<Tensor<1>>;

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
    // A run that does not count, so that neither pays for the first use of memory and threads.
    train("", ours, &training, &held_out, 20)?;
    let trainings = [
        train("ours", ours, &training, &held_out, STEPS)?,
        train("burn's", burns, &training, &held_out, STEPS)?,
    ];
    compare(&trainings, "burn")
}

fn ours(scores: Tensor<2>, classes: Tensor<1, Int>) -> Outcome<Tensor<1>> {
    Ok(logsum_burn::cross_entropy(scores, classes)?)
}

fn burns(scores: Tensor<2>, classes: Tensor<1, Int>) -> Outcome<Tensor<1>> {
    Ok(CrossEntropyLossConfig::new().init(&scores.device()).forward(scores, classes))
}

/// The pixels, and the classes.
fn tensors(images: &Images, device: &Device) -> (Tensor<2>, Tensor<1, Int>) {
    let pixels: Vec<f32> = images.pixels.iter().map(|&pixel| pixel as f32).collect();
    let classes: Vec<i64> = images.classes.iter().map(|&class| class as i64).collect();
    let count = classes.len();
    let pixels = Tensor::from_data(TensorData::new(pixels, [count, PIXELS]), device);
    (pixels, Tensor::from_data(TensorData::new(classes, [count]), device))
}

fn train(
    name: &'static str,
    loss: Loss,
    training: &Images,
    held_out: &Images,
    steps: usize,
) -> Outcome<Training> {
    let device = Device::flex();
    let (pixels, classes) = tensors(training, &device.clone().autodiff());
    let mut weights = Tensor::<2>::zeros([PIXELS, CLASSES], &device);
    let mut bias = Tensor::<2>::zeros([1, CLASSES], &device);
    let (mut weights_speed, mut bias_speed) = (weights.clone(), bias.clone());
    let mut history = Vec::with_capacity(steps);
    let start = Instant::now();
    for _ in 0..steps {
        let w = Tensor::from_inner(weights.clone()).require_grad();
        let b = Tensor::from_inner(bias.clone()).require_grad();
        let mean = loss(pixels.clone().matmul(w.clone()) + b.clone(), classes.clone())?;
        let gradients = mean.backward();
        let [w, b] = [w, b].map(|leaf| leaf.grad(&gradients).ok_or("no gradient"));
        weights_speed = weights_speed * MOMENTUM - (w? + weights.clone() * L2) * LEARNING_RATE;
        bias_speed = bias_speed * MOMENTUM - b? * LEARNING_RATE;
        weights = weights + weights_speed.clone();
        bias = bias + bias_speed.clone();
        history.push((f64::from(mean.into_scalar::<f32>()), start.elapsed().as_secs_f64()));
    }
    let (pixels, classes) = tensors(held_out, &device);
    let scores = pixels.matmul(weights) + bias;
    let count = held_out.classes.len();
    let right = scores.clone().argmax(1).reshape([count]).equal(classes.clone()).int().sum();
    Ok(Training {
        name,
        steps: history,
        loss: f64::from(loss(scores, classes)?.into_scalar::<f32>()),
        accuracy: right.into_scalar::<i64>() as f64 / count as f64,
    })
}
