//! Tensors of a GPU backend, with burn's fusion and without, whose numbers are copied to the CPU and back.
//!
//! ```text
//! cargo test --manifest-path crates/frameworks/Cargo.toml -p logsum-burn --features wgpu,fusion wgpu
//! ```
//!
//! Any adapter that wgpu finds will do, also Mesa's software one, lavapipe. Such adapters often lack f64.

use crate::gradients::check_bits;
use crate::values::{check, check_losses, layouts, special_values};
use crate::{assert_bits, tensor};
use burn::tensor::{DType, Device, DeviceKind, Int, Tensor, f16};
use ndarray::ArrayD;

fn devices() -> [Device; 3] {
    let device = Device::wgpu(DeviceKind::DefaultDevice);
    let differentiating = device.clone().autodiff();
    [device, differentiating.clone(), differentiating.gradient_checkpointing()]
}

#[test]
fn every_layout_and_format() {
    for device in devices() {
        for (layout, z) in layouts(DType::F32, &device) {
            check::<f32>(&z, &format!("f32, {layout}, {device:?}"));
        }
        check_losses::<f32>(&device);
        if device.supports_dtype(DType::F16) {
            for (layout, z) in layouts(DType::F16, &device) {
                check::<f16>(&z, &format!("f16, {layout}, {device:?}"));
            }
        }
    }
}

#[test]
fn special_rows() {
    for device in devices() {
        check::<f32>(&tensor(&special_values(), [4, 6, 5], DType::F32, &device), "special rows");
    }
}

#[test]
fn gradients() {
    for device in &devices()[1..] {
        check_bits::<f32>(device);
    }
}

/// The operations before and after ours belong to one graph, which fusion would delay, and reading the numbers ends.
#[test]
fn between_operations_of_burn() {
    for device in &devices()[1..] {
        let z = tensor::<2>(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [2, 3], DType::F32, device).require_grad();
        let halved = (z.clone() + 1.0) * 0.5;
        let value = (logsum_burn::logsumexp(halved.clone(), 1).unwrap() * 2.0).exp().sum();
        let gradient = z.grad(&value.backward()).unwrap();
        // The derivative of Σ e^{2 log Σ e^{(z + 1)/2}}.
        let expected: Vec<f64> = [[0.0f64, 1.0, 2.0], [3.0, 4.0, 5.0]]
            .iter()
            .flat_map(|row| {
                let sum: f64 = row.iter().map(|z| ((z + 1.0) / 2.0).exp()).sum();
                row.map(|z| sum * ((z + 1.0) / 2.0).exp())
            })
            .collect();
        for (found, expected) in gradient.to_data().iter::<f64>().zip(expected) {
            assert!((found / expected - 1.0).abs() < 1e-5, "{found} instead of {expected}");
        }
    }
}

#[test]
fn wrong_arguments() {
    for device in devices() {
        let z: Tensor<2> = tensor(&[1.0, 2.0, 3.0, 4.0], [2, 2], DType::F32, &device);
        assert!(logsum_burn::logsumexp(z.clone(), 2).is_err());
        let out_of_range = Tensor::<1, Int>::from_data([0, 2], &device);
        assert!(logsum_burn::cross_entropy(z, out_of_range).is_err());
        let empty = Tensor::<2>::zeros([3, 0], &device);
        let expected = ArrayD::from_elem(vec![3, 1], f32::NEG_INFINITY);
        assert_bits(&logsum_burn::logsumexp(empty, 1).unwrap(), &expected, "rows of none");
    }
}
