//! Every value has the bits of the library's, whatever the format, the layout, the dimensions and the backend.

use crate::{array, assert_bits, devices, numbers, tensor};
use burn::tensor::{DType, Device, Element, ElementConversion, Int, Tensor, bf16, f16};
use logsum::{Axes, LogSumExp, Reduction};
use ndarray::{ArrayD, arr0};

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

/// One tensor in each layout: of shape [4, 6, 5], whose memory is in order, or is not.
pub(crate) fn layouts(dtype: DType, device: &Device) -> Vec<(&'static str, Tensor<3>)> {
    let of = |shape: [usize; 3]| tensor(&numbers(shape.iter().product(), 1), shape, dtype, device);
    vec![
        ("in order", of([4, 6, 5])),
        ("transposed", of([4, 5, 6]).swap_dims(1, 2)),
        ("permuted", of([5, 4, 6]).permute([1, 2, 0])),
        ("sliced", of([7, 8, 9]).slice([2..6, 1..7, 3..8])),
        ("sliced from the start", of([7, 6, 5]).slice([0..4, 0..6, 0..5])),
        ("in steps", of([8, 6, 10]).slice(burn::tensor::s![0..8;2, .., 0..10;2])),
        ("flipped", of([4, 6, 5]).flip([0, 2])),
        ("flipped and sliced", of([4, 8, 5]).flip([1]).slice([0..4, 1..7, 0..5])),
        ("flipped and permuted", of([6, 5, 4]).flip([0, 1, 2]).permute([2, 0, 1])),
        ("expanded", of([4, 1, 5]).expand([4, 6, 5])),
        ("expanded from one row", of([1, 1, 5]).expand([4, 6, 5])),
        ("expanded from one number", of([1, 1, 1]).expand([4, 6, 5])),
    ]
}

pub(crate) fn check<T: logsum::Float + Element>(z: &Tensor<3>, what: &str) {
    let plain = array::<T, 3>(z);
    for dim in [0, 1, 2, -1, -3] {
        let what = format!("{what}, dimension {dim}");
        let value = plain.logsumexp(Axes::from(dim).keep()).unwrap();
        assert_bits(&logsum_burn::logsumexp(z.clone(), dim).unwrap(), &value, &what);
        assert_bits(&logsum_burn::softmax(z.clone(), dim).unwrap(), &plain.softmax(dim).unwrap(), &what);
        assert_bits(
            &logsum_burn::log_softmax(z.clone(), dim).unwrap(),
            &plain.log_softmax(dim).unwrap(),
            &what,
        );
    }
    for dims in [&[0isize, 2][..], &[1, 0], &[-1, 1], &[0, 1, 2], &[]] {
        let value = plain.logsumexp(Axes::from(dims).keep()).unwrap();
        let found = logsum_burn::logsumexp_dims(z.clone(), dims).unwrap();
        assert_bits(&found, &value, &format!("{what}, dimensions {dims:?}"));
    }
    let all = plain.logsumexp(Axes::all()).unwrap().into_shape_with_order([1]).unwrap().into_dyn();
    assert_bits(&logsum_burn::logsumexp_all(z.clone()).unwrap(), &all, what);

    let (rows, classes) = (4 * 6, 5);
    let targets: Vec<usize> = (0..rows).map(|row| row * 7 % classes).collect();
    let logits: Vec<T> = plain.iter().copied().collect();
    let mut log_p = vec![T::default(); rows];
    logsum::token_log_probs(&logits, &targets, &mut log_p).unwrap();
    let indices: Vec<i64> = targets.iter().map(|&target| target as i64).collect();
    let tokens = Tensor::<1, Int>::from_data(&indices[..], &z.device()).reshape([4, 6]);
    let expected = ArrayD::from_shape_vec(vec![4, 6], log_p).unwrap();
    assert_bits(&logsum_burn::token_log_probs(z.clone(), tokens.clone()).unwrap(), &expected, what);
    let loss = logsum::cross_entropy(&logits, &targets).unwrap();
    let expected = arr0(loss).into_shape_with_order([1]).unwrap().into_dyn();
    assert_bits(&logsum_burn::cross_entropy(z.clone(), tokens).unwrap(), &expected, what);
}

#[test]
fn every_layout_and_format() {
    for device in devices() {
        for (layout, z) in layouts(DType::F64, &device) {
            check::<f64>(&z, &format!("f64, {layout}, {device:?}"));
        }
        for (layout, z) in layouts(DType::F32, &device) {
            check::<f32>(&z, &format!("f32, {layout}, {device:?}"));
        }
    }
    for device in [Device::flex(), Device::flex().autodiff()] {
        for (layout, z) in layouts(DType::F16, &device) {
            check::<f16>(&z, &format!("f16, {layout}, {device:?}"));
        }
        for (layout, z) in layouts(DType::BF16, &device) {
            check::<bf16>(&z, &format!("bf16, {layout}, {device:?}"));
        }
    }
}

pub(crate) fn special_values() -> Vec<f64> {
    let rows = [
        [1e8, 1e8, 1e8, 1e8, 1e8],
        [-INF, -INF, -INF, -INF, -INF],
        [INF, 0.0, INF, -INF, 3.0],
        [NAN, 0.0, 1.0, INF, -INF],
        [0.0, -40.0, -800.0, -INF, 0.0],
        [1000.0, 1000.0, -1000.0, 0.0, 999.0],
    ];
    rows.iter().flatten().copied().cycle().take(4 * 6 * 5).collect()
}

#[test]
fn special_rows() {
    let values = special_values();
    for device in devices() {
        check::<f64>(&tensor(&values, [4, 6, 5], DType::F64, &device), "special rows in f64");
        check::<f32>(&tensor(&values, [4, 6, 5], DType::F32, &device), "special rows in f32");
    }
    check::<f16>(&tensor(&values, [4, 6, 5], DType::F16, &Device::flex()), "special rows in f16");
    check::<bf16>(&tensor(&values, [4, 6, 5], DType::BF16, &Device::flex()), "special rows in bf16");
}

#[test]
fn empty_tensors() {
    for device in devices() {
        let z = Tensor::<2>::zeros([3, 0], (&device, DType::F64));
        let expected = ArrayD::from_elem(vec![3, 1], -INF);
        assert_bits(&logsum_burn::logsumexp(z.clone(), 1).unwrap(), &expected, "rows of none");
        assert_eq!(logsum_burn::logsumexp(z.clone(), 0).unwrap().dims(), [1, 0]);
        assert_eq!(logsum_burn::softmax(z.clone(), 1).unwrap().dims(), [3, 0]);
        assert_eq!(logsum_burn::log_softmax(z.clone(), 0).unwrap().dims(), [3, 0]);
        assert_bits(&logsum_burn::logsumexp_all(z).unwrap(), &ArrayD::from_elem(vec![1], -INF), "nothing");
    }
}

/// All options of the cross-entropy, in each format, with classes and with probabilities.
pub(crate) fn check_losses<T: logsum::Float + Element>(device: &Device) {
    let (rows, classes) = (6, 4);
    let z: Tensor<2> = tensor(&numbers(rows * classes, 2), [rows, classes], T::dtype(), device);
    let weights = [0.5, 0.0, 2.0, 1.25];
    let narrow: Vec<T> = weights.iter().map(|weight: &f64| weight.elem()).collect();
    let labels = [3i64, 0, -100, 2, 1, 2];
    let classes_of: Vec<usize> = labels.iter().map(|&label| usize::try_from(label).unwrap_or(99)).collect();
    let probabilities: Tensor<2> =
        tensor(&numbers(rows * classes, 3), [rows, classes], T::dtype(), device).abs().flip([0]);

    let of_library = logsum::CrossEntropy::new(classes).class_weights(&narrow).unwrap().ignore(99);
    let of_library = of_library.label_smoothing(0.1).unwrap();
    let ours = logsum_burn::CrossEntropy::new().class_weights(weights).ignore(-100).label_smoothing(0.1);
    let pairs = [
        (ours.clone(), of_library),
        (ours.clone().z_loss(1e-2), of_library.z_loss(1e-2).unwrap()),
        (ours.temperature(0.7), of_library.temperature(0.7).unwrap()),
    ];
    let (logits, dense) = (array::<T, 2>(&z), array::<T, 2>(&probabilities));
    let (logits, dense) = (logits.as_slice().unwrap(), dense.as_slice().unwrap());
    let kinds = [
        (
            logsum_burn::Targets::from(Tensor::<1, Int>::from_data(labels, device)),
            logsum::Targets::Classes(&classes_of),
        ),
        (logsum_burn::Targets::from(probabilities), logsum::Targets::Probabilities(dense)),
    ];
    for (ours, of_library) in pairs {
        for (targets, of_targets) in &kinds {
            let what = format!("{ours:?}, {targets:?}");
            let mut losses = vec![T::default(); rows];
            of_library.losses(logits, *of_targets, &mut losses).unwrap();
            let losses = ArrayD::from_shape_vec(vec![rows], losses).unwrap();
            let found: Tensor<1> = ours.losses(z.clone(), targets.clone()).unwrap();
            assert_bits(&found, &losses, &what);
            let mean = of_library.loss(logits, *of_targets, Reduction::Mean).unwrap();
            assert_bits(&ours.mean(z.clone(), targets.clone()).unwrap(), &one(mean), &what);
            let sum = of_library.loss(logits, *of_targets, Reduction::Sum).unwrap();
            assert_bits(&ours.sum(z.clone(), targets.clone()).unwrap(), &one(sum), &what);
        }
    }
}

fn one<T: Clone>(number: T) -> ArrayD<T> {
    ArrayD::from_elem(vec![1], number)
}

#[test]
fn losses_with_all_options() {
    for device in devices() {
        check_losses::<f64>(&device);
        check_losses::<f32>(&device);
    }
    check_losses::<f16>(&Device::flex());
    check_losses::<bf16>(&Device::flex().autodiff());
}

#[test]
fn targets_of_every_integer_type() {
    for device in devices() {
        let z: Tensor<2> = tensor(&[0.0, 1.0, 2.0, 3.0], [2, 2], DType::F64, &device);
        let expected = one(logsum::cross_entropy(&[0.0, 1.0, 2.0, 3.0], &[1, 0]).unwrap());
        for dtype in
            [DType::I64, DType::I32, DType::I16, DType::I8, DType::U64, DType::U32, DType::U16, DType::U8]
        {
            let targets = Tensor::<1, Int>::from_data([1, 0], (&device, dtype));
            assert_bits(
                &logsum_burn::cross_entropy(z.clone(), targets).unwrap(),
                &expected,
                &format!("{dtype:?}"),
            );
        }
    }
}
