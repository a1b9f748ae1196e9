//! What candle, burn and the crate logsumexp give for inputs that `compare/run` asks about: a list of
//! `{function, dtype, z, target}` in JSON on standard input, their values on standard output.

use burn::tensor::{Tensor, TensorData, activation};
use candle_core::{D, Device, WithDType};
use logsumexp::LogSumExp as _;
use serde_json::{Value, json};
use std::error::Error;
use std::io::{Read, stdin};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mut text = String::new();
    stdin().read_to_string(&mut text)?;
    let inputs: Vec<Value> = serde_json::from_str(&text)?;
    let values = inputs.iter().map(|input| match input["dtype"].as_str() {
        Some("float32") => values_of::<f32>(input),
        _ => values_of::<f64>(input),
    });
    let values = values.collect::<Result<Vec<Value>>>()?;
    let versions = json!({ "candle": "0.11", "burn": "0.22", "logsumexp": "0.1" });
    println!("{}", json!({ "versions": versions, "values": values }));
    Ok(())
}

fn values_of<T: Format>(input: &Value) -> Result<Value> {
    let numbers = input["z"].as_array().ok_or("z is a list")?;
    let z: Vec<T> = numbers.iter().map(|x| T::nearest(number(x))).collect();
    let function = input["function"].as_str().unwrap_or_default();
    let target = usize::try_from(input["target"].as_u64().unwrap_or_default())?;
    Ok(json!({
        "candle": by_candle(function, &z, target)?,
        "burn": by_burn(function, &z, target)?,
        "logsumexp": (function == "logsumexp").then(|| written(&[T::by_crate(&z)])),
    }))
}

/// Infinities and NaN are words.
fn number(x: &Value) -> f64 {
    x.as_f64().unwrap_or_else(|| x.as_str().and_then(|word| word.parse().ok()).unwrap_or(f64::NAN))
}

fn written<T: Format>(numbers: &[T]) -> Value {
    let number = |x: f64| if x.is_finite() { json!(x) } else { json!(x.to_string()) };
    numbers.iter().map(|&x| number(x.into())).collect()
}

trait Format: WithDType + burn::tensor::Element + Into<f64> {
    fn nearest(x: f64) -> Self;
    fn by_crate(z: &[Self]) -> Self;
}

macro_rules! is_format {
    ($t:ty) => {
        impl Format for $t {
            fn nearest(x: f64) -> Self {
                x as $t
            }
            fn by_crate(z: &[Self]) -> Self {
                z.iter().ln_sum_exp()
            }
        }
    };
}
is_format!(f32);
is_format!(f64);

fn by_candle<T: Format>(function: &str, z: &[T], target: usize) -> Result<Value> {
    let z = candle_core::Tensor::from_slice(z, (1, z.len()), &Device::Cpu)?;
    let found = match function {
        "softmax" => candle_nn::ops::softmax(&z, D::Minus1)?,
        "log_softmax" => candle_nn::ops::log_softmax(&z, D::Minus1)?,
        "cross_entropy" => {
            let target = candle_core::Tensor::from_slice(&[u32::try_from(target)?], 1, &Device::Cpu)?;
            candle_nn::loss::cross_entropy(&z, &target)?
        }
        _ => z.log_sum_exp(D::Minus1)?,
    };
    Ok(written(&found.flatten_all()?.to_vec1::<T>()?))
}

fn by_burn<T: Format>(function: &str, z: &[T], target: usize) -> Result<Value> {
    let device = Default::default();
    let data = TensorData::new(z.to_vec(), [1, z.len()]);
    let z = Tensor::<2>::from_data(data, (&device, T::dtype()));
    let found = match function {
        "softmax" => activation::softmax(z, 1).into_data(),
        "log_softmax" => activation::log_softmax(z, 1).into_data(),
        "cross_entropy" => activation::log_softmax(z, 1).narrow(1, target, 1).neg().into_data(),
        // It has none: the formula, with the maximum taken off.
        _ => {
            let greatest = z.clone().max_dim(1);
            ((z - greatest.clone()).exp().sum_dim(1).log() + greatest).into_data()
        }
    };
    Ok(written(&found.try_to_vec::<T>().map_err(|error| format!("{error:?}"))?))
}
