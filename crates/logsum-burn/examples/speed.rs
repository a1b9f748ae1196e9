//! Compares the times of this crate's operations with those of burn's own, on the backend Flex: forward, and forward
//! with backward.
//!
//! ```text
//! cargo run --release --manifest-path crates/frameworks/Cargo.toml --example burn-speed
//! ```
//!
//! The two take turns, and each figure is the median of their times. burn has no log-sum-exp: the one here is what its
//! users write, with the maximum detached, which spares burn the derivative of the maximum.

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Device, Distribution, Int, Tensor, activation};
use std::time::{Duration, Instant};

const SHAPES: [[usize; 2]; 3] = [[65_536, 1000], [512, 128_256], [1 << 22, 16]];
const TURNS: usize = 5;

type Operation = Box<dyn Fn(Tensor<2>) -> Tensor<2>>;

fn main() -> Result<(), logsum_burn::Error> {
    println!(
        "| f32 | shape | forward: logsum-burn | burn | ratio | with backward: logsum-burn | burn | ratio |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for [rows, classes] in SHAPES {
        let device = Device::flex();
        let z = Tensor::<2>::random([rows, classes], Distribution::Normal(0.0, 3.0), &device);
        let targets = Tensor::<1, Int>::random([rows], Distribution::Uniform(0.0, classes as f64), &device);
        for (name, ours, theirs) in operations(&targets) {
            let forward = medians([&ours, &theirs], |operation| {
                let value = operation(z.clone());
                drop(value);
            });
            let backward = medians([&ours, &theirs], |operation| {
                let z = Tensor::from_inner(z.clone()).require_grad();
                let gradients = operation(z.clone()).sum().backward();
                drop(z.grad(&gradients));
            });
            let columns = [forward, backward].map(|[ours, theirs]| {
                let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
                let times = milliseconds(theirs) / milliseconds(ours);
                format!("{:.0} ms | {:.0} ms | {times:.1}", milliseconds(ours), milliseconds(theirs))
            });
            println!("| {name} | {rows} × {classes} | {} | {} |", columns[0], columns[1]);
        }
    }
    Ok(())
}

/// Each operation of this crate, and the corresponding one of burn.
fn operations(targets: &Tensor<1, Int>) -> Vec<(&'static str, Operation, Operation)> {
    let (ours, theirs) = (targets.clone(), targets.clone());
    const VALID: &str = "the shapes and targets are right";
    vec![
        (
            "log-sum-exp",
            Box::new(|z| logsum_burn::logsumexp(z, 1).expect(VALID)),
            Box::new(|z| {
                let max = z.clone().max_dim(1).detach();
                (z - max.clone()).exp().sum_dim(1).log() + max
            }),
        ),
        (
            "softmax",
            Box::new(|z| logsum_burn::softmax(z, 1).expect(VALID)),
            Box::new(|z| activation::softmax(z, 1)),
        ),
        (
            "log-softmax",
            Box::new(|z| logsum_burn::log_softmax(z, 1).expect(VALID)),
            Box::new(|z| activation::log_softmax(z, 1)),
        ),
        (
            "cross-entropy",
            Box::new(move |z| logsum_burn::cross_entropy(z, ours.clone()).expect(VALID).unsqueeze()),
            Box::new(move |z| {
                CrossEntropyLossConfig::new().init(&z.device()).forward(z, theirs.clone()).unsqueeze()
            }),
        ),
    ]
}

/// The median times of two operations that take turns, after a first turn that does not count.
fn medians(operations: [&Operation; 2], run: impl Fn(&Operation)) -> [Duration; 2] {
    let mut times = [const { Vec::new() }; 2];
    for _ in 0..=TURNS {
        for (operation, times) in operations.iter().zip(&mut times) {
            let start = Instant::now();
            run(operation);
            times.push(start.elapsed());
        }
    }
    times.map(|mut times| {
        times.remove(0);
        times.sort();
        times[TURNS / 2]
    })
}
