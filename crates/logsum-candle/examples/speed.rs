//! Compares the times of our operators with those of candle's own, forward, and forward with backward. Both take turns;
//! each time is the median of `TURNS`. It prints the table of the README:
//! `cargo run --release --manifest-path crates/frameworks/Cargo.toml --example candle-speed`.

use candle_core::{D, Device, Result, Tensor, Var};
use std::hint::black_box;
use std::time::Instant;

const TURNS: usize = 7;

type Work<'a> = Box<dyn Fn(&Tensor) -> Result<Tensor> + 'a>;

fn main() -> Result<()> {
    println!("| f32 | | ours, ms | candle, ms | ratio |\n|---|---|---|---|---|");
    for (rows, classes) in [(65_536, 1000), (512, 128_256), (4 << 20, 16)] {
        let z = Var::from_tensor(&Tensor::randn(0_f32, 3.0, (rows, classes), &Device::Cpu)?)?;
        let targets: Vec<u32> = (0..rows).map(|row| (row * 7 % classes) as u32).collect();
        let targets = Tensor::new(targets, &Device::Cpu)?;
        let works: [(&str, Work<'_>, Work<'_>); 4] = [
            (
                "logsumexp",
                Box::new(|z| logsum_candle::logsumexp(z, D::Minus1)),
                Box::new(|z| z.log_sum_exp(D::Minus1)),
            ),
            (
                "softmax",
                Box::new(|z| logsum_candle::softmax(z, D::Minus1)),
                Box::new(|z| candle_nn::ops::softmax(z, D::Minus1)),
            ),
            (
                "log_softmax",
                Box::new(|z| logsum_candle::log_softmax(z, D::Minus1)),
                Box::new(|z| candle_nn::ops::log_softmax(z, D::Minus1)),
            ),
            (
                "cross_entropy",
                Box::new(|z| logsum_candle::cross_entropy(z, &targets)),
                Box::new(|z| candle_nn::loss::cross_entropy(z, &targets)),
            ),
        ];
        for (name, ours, candles) in &works {
            for (pass, backward) in [("forward", false), ("with backward", true)] {
                let [ours, candles] = times([ours, candles], &z, backward)?;
                println!(
                    "| {name}, {rows} × {classes} | {pass} | {ours:.1} | {candles:.1} | {:.1} |",
                    candles / ours
                );
            }
        }
    }
    Ok(())
}

/// The median times of both, in milliseconds.
fn times(works: [&Work<'_>; 2], z: &Var, backward: bool) -> Result<[f64; 2]> {
    let mut turns = [const { Vec::new() }; 2];
    let constant = z.as_detached_tensor();
    for _ in 0..TURNS {
        for (work, turns) in works.iter().zip(&mut turns) {
            let start = Instant::now();
            match backward {
                true => {
                    black_box(work(z)?.sum_all()?.backward()?);
                }
                false => {
                    black_box(work(&constant)?);
                }
            }
            turns.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    Ok(turns.map(|mut turns| {
        turns.sort_by(f64::total_cmp);
        turns[TURNS / 2]
    }))
}
