//! The operations on burn's tensors, against the library and against what is known of their derivatives.
// burn has deprecated its backend NdArray, which it still ships.
#![allow(deprecated)]

mod course;
mod errors;
mod gradients;
mod in_place;
mod second_derivatives;
mod values;
#[cfg(feature = "wgpu")]
mod wgpu;

use burn::tensor::{DType, Device, Element, Shape, Tensor, TensorData};
use ndarray::ArrayD;

/// The backends, with and without autodiff.
fn devices() -> Vec<Device> {
    [Device::flex(), Device::ndarray()]
        .into_iter()
        .flat_map(|device| [device.clone(), device.autodiff()])
        .collect()
}

/// Those that differentiate, with either way to keep what the backward pass needs.
fn differentiating() -> Vec<Device> {
    let devices = [Device::flex().autodiff(), Device::ndarray().autodiff()];
    devices.into_iter().flat_map(|device| [device.clone(), device.gradient_checkpointing()]).collect()
}

/// Numbers between −3 and 3, which look random.
fn numbers(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(2) + 1;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..count).map(|_| 6.0 * next() - 3.0).collect()
}

fn tensor<const D: usize>(values: &[f64], shape: [usize; D], dtype: DType, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), (device, dtype))
}

/// The numbers of a tensor, which are of the format T.
fn array<T: Element, const D: usize>(tensor: &Tensor<D>) -> ArrayD<T> {
    let data = tensor.to_data();
    ArrayD::from_shape_vec(data.shape().to_vec(), data.to_vec().unwrap()).unwrap()
}

/// Each number in f64, in row-major order.
fn wide<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
    tensor.to_data().iter::<f64>().collect()
}

/// Panics unless the tensor has the shape and the bits of the array.
#[track_caller]
fn assert_bits<T: Element, const D: usize>(found: &Tensor<D>, expected: &ArrayD<T>, what: &str) {
    let data = found.to_data();
    assert_eq!(data.dtype(), T::dtype(), "{what}");
    assert_eq!(data.shape(), &Shape::from(expected.shape().to_vec()), "{what}");
    let bits = |number: f64| if number.is_nan() { f64::NAN.to_bits() } else { number.to_bits() };
    for (index, (found, expected)) in data.iter::<f64>().zip(expected.iter()).enumerate() {
        let expected = expected.to_f64();
        assert_eq!(bits(found), bits(expected), "{what}, number {index}: {found} instead of {expected}");
    }
}
