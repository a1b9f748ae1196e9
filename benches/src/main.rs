//! Times one piece of work, by logsum, by the rivals in Rust, and as a plain read and copy of the same memory:
//! `logsum-benches OP AXIS INPUT.npy OUTPUT.npy` prints medians in seconds as JSON and writes logsum's result.
//! `logsum-benches count OP f32|f64 ROWS` does OP once on rows of 1000 numbers, for callgrind.
//! AXIS is `all`, 0 or 1; OP is `lse`, `value-grad`, `softmax` or `log-softmax`. RAYON_NUM_THREADS says how many
//! threads may work.

use burn::tensor::{Tensor, TensorData, activation};
use candle_core::{Device, WithDType};
use logsum::{Axes, Float, LogSumExp};
use logsumexp::LogSumExp as _;
use ndarray::{Array2, ArrayD, Axis};
use ndarray_npy::{ReadableElement, WritableElement, read_npy, write_npy};
use serde_json::{Map, Value, json};
use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// What all formats of the benchmark have in common.
trait Format:
    Float + ReadableElement + WritableElement + WithDType + std::iter::Sum + burn::tensor::Element
{
    fn crate_logsumexp(row: &[Self]) -> Self;
    fn nearest(x: f64) -> Self;
    fn plus(self, other: Self) -> Self;
}

macro_rules! is_format {
    ($t:ty) => {
        impl Format for $t {
            fn crate_logsumexp(row: &[Self]) -> Self {
                row.iter().ln_sum_exp()
            }
            fn nearest(x: f64) -> Self {
                x as $t
            }
            fn plus(self, other: Self) -> Self {
                self + other
            }
        }
    };
}
is_format!(f32);
is_format!(f64);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["count", op, "f32", rows] => count::<f32>(op, rows.parse()?),
        ["count", op, "f64", rows] => count::<f64>(op, rows.parse()?),
        [op, axis, input, output] => match read_npy::<_, Array2<f32>>(input) {
            Ok(z) => time(op, axis, &z, output),
            Err(_) => time(op, axis, &read_npy::<_, Array2<f64>>(input)?, output),
        },
        _ => Err("OP AXIS INPUT.npy OUTPUT.npy, or count OP FORMAT ROWS".into()),
    }
}

/// The median of as many runs as fit into a second, three at least and a thousand at most, after one to warm up.
fn median(mut work: impl FnMut()) -> f64 {
    work();
    let (start, mut times) = (Instant::now(), Vec::new());
    while times.len() < 3 || (times.len() < 1000 && start.elapsed() < Duration::from_secs(1)) {
        let before = Instant::now();
        work();
        times.push(before.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The fastest plain sum: 128 accumulators, so that only memory limits it.
fn read<T: Format>(numbers: &[T]) -> T {
    let mut sums = [T::default(); 128];
    for numbers in numbers.as_chunks::<128>().0 {
        for (sum, &z) in sums.iter_mut().zip(numbers) {
            *sum = sum.plus(z);
        }
    }
    sums.into_iter().sum()
}

fn time<T: Format>(op: &str, axis: &str, z: &Array2<T>, output: &str) -> Result<(), Box<dyn Error>> {
    let numbers = z.as_slice().ok_or("the input is not in C order")?;
    let axes = || axis.parse::<isize>().map_or(Axes::all(), Axes::from);
    let mut times = Map::new();
    let mut note = |name: &str, seconds: f64| times.insert(name.into(), json!(seconds));
    note("read", median(|| _ = black_box(read(black_box(numbers)))));
    let mut out = Array2::<T>::default(z.raw_dim());
    let to = out.as_slice_mut().ok_or("an array of our own is contiguous")?;
    note("copy", median(|| to.copy_from_slice(black_box(numbers))));
    let mut value: ArrayD<T> = z.logsumexp(axes())?;
    let seconds = match op {
        "lse" => median(|| z.logsumexp_into(axes(), value.view_mut()).unwrap()),
        "value-grad" => {
            median(|| z.logsumexp_with_gradient_into(axes(), value.view_mut(), out.view_mut()).unwrap())
        }
        "softmax" => median(|| z.softmax_into(axes(), out.view_mut()).unwrap()),
        "log-softmax" => median(|| z.log_softmax_into(axes(), out.view_mut()).unwrap()),
        _ => return Err(format!("unknown operation {op}").into()),
    };
    note("logsum", seconds);
    if std::env::var("RAYON_NUM_THREADS").as_deref() == Ok("1") && op != "value-grad" {
        rivals(op, axis, z, &mut note)?;
    }
    match op {
        "lse" => write_npy(output, &value)?,
        _ => write_npy(output, &out)?,
    }
    println!("{}", Value::Object(times));
    Ok(())
}

/// candle, burn and the crate logsumexp, where they have the operation.
fn rivals<T: Format>(
    op: &str,
    axis: &str,
    z: &Array2<T>,
    note: &mut impl FnMut(&str, f64) -> Option<Value>,
) -> Result<(), Box<dyn Error>> {
    let numbers = z.as_slice().ok_or("the input is not in C order")?;
    let (rows, columns) = z.dim();
    let shape = if axis == "all" { (1, rows * columns) } else { (rows, columns) };
    let dim: usize = axis.parse().unwrap_or(1);
    let tensor = candle_core::Tensor::from_slice(numbers, shape, &Device::Cpu)?;
    note(
        "candle",
        match op {
            "lse" => median(|| drop(black_box(tensor.log_sum_exp(dim).unwrap()))),
            "softmax" if dim == 1 => {
                median(|| drop(black_box(candle_nn::ops::softmax_last_dim(&tensor).unwrap())))
            }
            "softmax" => median(|| drop(black_box(candle_nn::ops::softmax(&tensor, dim).unwrap()))),
            _ => median(|| drop(black_box(candle_nn::ops::log_softmax(&tensor, dim).unwrap()))),
        },
    );
    drop(tensor);
    let data = TensorData::new(numbers.to_vec(), [shape.0, shape.1]);
    let tensor: Tensor<2> = Tensor::from_data(data, &burn::tensor::Device::default());
    note(
        "burn",
        match op {
            "lse" => median(|| {
                let max = tensor.clone().max_dim(dim);
                let value = (tensor.clone() - max.clone()).exp().sum_dim(dim).log() + max;
                drop(black_box(value.into_data()));
            }),
            "softmax" => median(|| drop(black_box(activation::softmax(tensor.clone(), dim).into_data()))),
            _ => median(|| drop(black_box(activation::log_softmax(tensor.clone(), dim).into_data()))),
        },
    );
    drop(tensor);
    if op == "lse" && dim == 1 {
        note(
            "crate logsumexp",
            match axis {
                "all" => median(|| _ = black_box(T::crate_logsumexp(numbers))),
                _ => median(|| {
                    for row in z.axis_iter(Axis(0)) {
                        _ = black_box(T::crate_logsumexp(row.as_slice().unwrap_or_default()));
                    }
                }),
            },
        );
    }
    Ok(())
}

fn count<T: Format>(op: &str, rows: usize) -> Result<(), Box<dyn Error>> {
    let z = Array2::from_shape_fn((rows, 1000), |(i, j)| {
        T::nearest(((i * 1000 + j) as f64 * 0.618).fract() * 8.0 - 4.0)
    });
    match op {
        "lse" => drop(black_box(z.logsumexp(1)?)),
        "value-grad" => drop(black_box(z.logsumexp_with_gradient(1)?)),
        "softmax" => drop(black_box(z.softmax(1)?)),
        "log-softmax" => drop(black_box(z.log_softmax(1)?)),
        // Only the input is made.
        _ => drop(black_box(z)),
    }
    Ok(())
}
