//! No wrong argument panics: each has an error of one clear line.

use crate::{devices, tensor};
use burn::tensor::{DType, Device, Int, Tensor};
use logsum_burn::{
    CrossEntropy, Error, cross_entropy, log_softmax, logsumexp, logsumexp_dims, softmax, token_log_probs,
};

fn z(device: &Device) -> Tensor<2> {
    tensor(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3], DType::F64, device)
}

fn labels<const R: usize>(values: &[i64], shape: [usize; R], device: &Device) -> Tensor<R, Int> {
    Tensor::<1, Int>::from_data(values, device).reshape(shape)
}

#[track_caller]
fn says<T: std::fmt::Debug>(result: Result<T, Error>, message: &str) {
    assert_eq!(result.unwrap_err().to_string(), message);
}

#[test]
fn dimensions() {
    for device in devices() {
        let message = "axis 2 is out of range: the array has rank 2, its axes are 0 to 1 or -2 to -1";
        says(logsumexp(z(&device), 2), message);
        says(softmax(z(&device), 2), message);
        says(log_softmax(z(&device), 2), message);
        let message = "axis -3 is out of range: the array has rank 2, its axes are 0 to 1 or -2 to -1";
        says(logsumexp(z(&device), -3), message);
        let twice = logsumexp_dims(z(&device), &[1, -1]).unwrap_err();
        assert!(matches!(twice, Error::Logsum(logsum::Error::AxisTwice { axis: 1, .. })));
    }
}

#[test]
fn labels_and_shapes() {
    for device in devices() {
        let (three, out) = (labels(&[0, 1, 2], [3], &device), labels(&[0, 3], [2], &device));
        says(cross_entropy(z(&device), three.clone()), "`targets` has the shape [3], but needs [2]");
        says(token_log_probs(z(&device), three.clone()), "`targets` has the shape [3], but needs [2]");
        says(
            cross_entropy(z(&device), labels(&[0, 1], [2, 1], &device)),
            "`targets` has the shape [2, 1], but needs [2]",
        );
        let message = cross_entropy(z(&device), out.clone()).unwrap_err().to_string();
        assert!(message.contains("3"), "{message}");
        let message = token_log_probs(z(&device), out).unwrap_err();
        assert!(
            matches!(message, Error::Logsum(logsum::Error::TokenOutOfRange { row: 1, token: 3, length: 3 })),
            "{message}"
        );
        let negative = labels(&[0, -100], [2], &device);
        says(
            cross_entropy(z(&device), negative.clone()),
            "row 1 has the target -100, which is negative and is not ignored",
        );
        assert!(CrossEntropy::new().ignore(-100).mean(z(&device), negative).is_ok());
    }
}

#[test]
fn options_and_probabilities() {
    for device in devices() {
        let targets = labels(&[0, 1], [2], &device);
        let of = |loss: CrossEntropy| loss.mean(z(&device), targets.clone());
        for wrong in [
            CrossEntropy::new().class_weights([1.0, 1.0]),
            CrossEntropy::new().class_weights([1.0, -1.0, 1.0]),
            CrossEntropy::new().label_smoothing(1.5),
            CrossEntropy::new().z_loss(f64::NAN),
            CrossEntropy::new().temperature(0.0),
        ] {
            assert!(matches!(of(wrong.clone()), Err(Error::Logsum(_))), "{wrong:?}");
        }
        let negative = z(&device).neg();
        assert!(matches!(cross_entropy(z(&device), negative), Err(Error::Logsum(_))));
        let other = z(&device).cast(DType::F32);
        says(
            cross_entropy(z(&device), other),
            "`targets` has numbers of type F32, which is not supported here",
        );
        let no_classes = Tensor::<2>::zeros([2, 0], &device);
        assert!(matches!(cross_entropy(no_classes, targets.clone()), Err(Error::Logsum(_))));
    }
}

#[test]
fn probabilities_that_need_a_gradient() {
    let device = Device::flex().autodiff();
    let targets = z(&device).require_grad();
    says(
        cross_entropy(z(&device), targets.clone()),
        "derivatives by target probabilities are not provided: pass `targets.inner()`",
    );
    assert!(cross_entropy(z(&device), targets.inner()).is_ok());
}

/// Targets may be on another backend than the logits: the CPU reads them where they are.
#[test]
fn targets_on_another_backend() {
    let (flex, other) = (Device::flex(), Device::ndarray().autodiff());
    let here = cross_entropy(z(&flex), z(&flex)).unwrap();
    let there = cross_entropy(z(&flex), z(&other)).unwrap();
    here.into_data().assert_eq(&there.into_data(), true);
}
