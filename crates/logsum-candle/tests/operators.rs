//! Each function against the library, on candle's tensors of every format and layout, and its gradients against
//! differences.

use candle_core::{D, DType, Device, Result, Tensor, Var};
use logsum::LogSumExp;
use logsum_candle::{CrossEntropy, cross_entropy, log_softmax, logsumexp, logsumexp_all, logsumexp_keepdim};
use logsum_candle::{softmax, token_log_probs};
use ndarray::{ArrayD, IxDyn};
use rand::{RngExt, SeedableRng, rngs::StdRng};

const CPU: Device = Device::Cpu;
const INF: f64 = f64::INFINITY;

/// Numbers about 0, with ties and a −∞ here and there.
fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut random = StdRng::seed_from_u64(seed);
    let count = shape.iter().product();
    let number = |_| match random.random_range(0..20) {
        0 => -INF,
        1 => 1.5,
        _ => random.random_range(-8.0..8.0),
    };
    let numbers: Vec<f64> = (0..count).map(number).collect();
    Tensor::from_vec(numbers, shape, &CPU).unwrap()
}

/// The tensor's numbers as f64, which holds those of all formats.
fn array(tensor: &Tensor) -> ArrayD<f64> {
    let numbers = tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    ArrayD::from_shape_vec(IxDyn(tensor.dims()), numbers).unwrap()
}

/// The same numbers, of the same shape, with NaN equal to NaN.
fn assert_same(found: &Tensor, expected: &ArrayD<f64>) {
    let found = array(found);
    assert_eq!(found.shape(), expected.shape());
    for (found, expected) in found.iter().zip(expected) {
        assert!(found == expected || found.is_nan() && expected.is_nan(), "{found:e} is not {expected:e}");
    }
}

/// Tensors of many layouts: as they are made, transposed, permuted, narrowed, strided, broadcast, empty, of no
/// dimension.
fn layouts() -> Vec<Tensor> {
    let cube = random(&[5, 6, 7], 1);
    vec![
        cube.clone(),
        cube.t().unwrap(),
        cube.permute((1, 2, 0)).unwrap(),
        cube.narrow(1, 2, 3).unwrap(),
        cube.narrow(2, 3, 2).unwrap().transpose(0, 2).unwrap(),
        cube.i_row(3),
        random(&[1, 6, 1], 2).broadcast_as((4, 6, 5)).unwrap(),
        random(&[7], 3).broadcast_left(3).unwrap(),
        random(&[300], 4),
        random(&[3, 1, 2, 1, 2, 3], 5),
        random(&[0, 3], 6),
        random(&[3, 0], 6),
        Tensor::new(2.5, &CPU).unwrap(),
    ]
}

trait Row {
    fn i_row(&self, row: usize) -> Tensor;
}

impl Row for Tensor {
    fn i_row(&self, row: usize) -> Tensor {
        self.narrow(0, row, 1).unwrap().squeeze(0).unwrap()
    }
}

/// All subsets of the dimensions of a tensor.
fn all_dims(rank: usize) -> Vec<Vec<usize>> {
    (0..1_usize << rank).map(|set| (0..rank).filter(|dim| set >> dim & 1 == 1).collect()).collect()
}

/// The library's results, rounded to the format, for the same numbers.
fn of_library(z: &Tensor, dims: &[usize]) -> [ArrayD<f64>; 3] {
    fn results<T: logsum::Float + candle_core::WithDType>(z: &Tensor, dims: &[usize]) -> [ArrayD<f64>; 3] {
        let numbers = z.flatten_all().unwrap().to_vec1::<T>().unwrap();
        let z = ArrayD::from_shape_vec(IxDyn(z.dims()), numbers).unwrap();
        let axes: Vec<isize> = dims.iter().map(|&dim| dim as isize).collect();
        [z.logsumexp(&axes[..]), z.softmax(&axes[..]), z.log_softmax(&axes[..])]
            .map(|result| result.unwrap().mapv(|x| candle_core::WithDType::to_f64(x)))
    }
    match z.dtype() {
        DType::F16 => results::<half::f16>(z, dims),
        DType::BF16 => results::<half::bf16>(z, dims),
        DType::F32 => results::<f32>(z, dims),
        _ => results::<f64>(z, dims),
    }
}

#[test]
fn every_format_and_layout_has_the_bits_of_the_library() {
    let mut compared = 0;
    for format in [DType::F16, DType::BF16, DType::F32, DType::F64] {
        for z in layouts() {
            let z = match format {
                // Keeps the strides.
                DType::F64 => z,
                format => z.to_dtype(format).unwrap(),
            };
            for dims in all_dims(z.rank()) {
                let [value, shares, log_shares] = of_library(&z, &dims);
                assert_same(&logsumexp(&z, &dims[..]).unwrap(), &value);
                assert_same(&softmax(&z, &dims[..]).unwrap(), &shares);
                assert_same(&log_softmax(&z, &dims[..]).unwrap(), &log_shares);
                let kept = logsumexp_keepdim(&z, &dims[..]).unwrap();
                assert_eq!(kept.dtype(), format);
                assert_eq!(kept.rank(), z.rank());
                assert_same(&kept.reshape(value.shape()).unwrap(), &value);
                compared += 1;
            }
            assert_same(&logsumexp_all(&z).unwrap(), &of_library(&z, &all_dims(z.rank()).pop().unwrap())[0]);
        }
    }
    assert_eq!(compared, 4 * (7 * 8 + 4 + 2 + 64 + 2 * 4 + 1 - 4));
}

#[test]
fn narrow_tensors_that_are_transposed_are_read_where_they_lie() {
    for format in [DType::F16, DType::BF16, DType::F32] {
        let z = random(&[40, 30], 7).to_dtype(format).unwrap().t().unwrap();
        assert!(!z.is_contiguous());
        assert_same(&logsumexp(&z, 1).unwrap(), &of_library(&z, &[1])[0]);
        assert_same(&softmax(&z, 0).unwrap(), &of_library(&z, &[0])[1]);
    }
}

#[test]
fn edges_are_those_of_the_library() {
    let rows = [[-INF, -INF], [INF, INF], [INF, 0.0], [f64::NAN, 0.0], [1e8, 1e8], [-INF, 3.0]];
    let z = Var::new(&rows, &CPU).unwrap();
    let value = logsumexp(&z, D::Minus1).unwrap();
    let ln_2 = std::f64::consts::LN_2;
    assert_same(&value, &ndarray::arr1(&[-INF, INF, INF, f64::NAN, 1e8 + ln_2, 3.0]).into_dyn());
    let gradient = value.sum_all().unwrap().backward().unwrap().remove(&z).unwrap();
    let nan = f64::NAN;
    let expected = [[0.0, 0.0], [0.5, 0.5], [1.0, 0.0], [nan, nan], [0.5, 0.5], [0.0, 1.0]];
    assert_same(&gradient, &ndarray::arr2(&expected).into_dyn());
    let log_p = log_softmax(&z, 1).unwrap();
    let expected = [[-INF, -INF], [-ln_2, -ln_2], [0.0, -INF], [nan, nan], [-ln_2, -ln_2], [-INF, 0.0]];
    assert_same(&log_p, &ndarray::arr2(&expected).into_dyn());
}

#[test]
fn the_checks_of_a_course() {
    // Shapes and axes as a course on automatic differentiation has them: one, several, all.
    for (shape, dims) in [
        (vec![3, 3, 3], vec![1, 2]),
        (vec![3, 3, 3], vec![0]),
        (vec![3, 3, 3], vec![0, 1, 2]),
        (vec![1, 2, 3, 4], vec![0, 1, 2, 3]),
        (vec![3, 1], vec![0]),
        (vec![5, 3, 2, 4], vec![1, 3]),
    ] {
        let z = random(&shape, 8);
        assert_same(&logsumexp(&z, &dims[..]).unwrap(), &of_library(&z, &dims)[0]);
    }
    let z = Tensor::new(&[[1e10, 1e9, 1e8, -10.0], [1e-10, 1e9, 1e8, -10.0]], &CPU).unwrap();
    let ln_2 = std::f64::consts::LN_2;
    let expected = ndarray::arr1(&[1e10, 1e9 + ln_2, 1e8 + ln_2, -9.306852819440055]).into_dyn();
    assert_same(&logsumexp(&z, (0,)).unwrap(), &expected);
}

/// The derivative of Σ c f(z), with f's results weighted by c, against central differences.
fn assert_gradient(z: &Tensor, f: impl Fn(&Tensor) -> Result<Tensor>) {
    let weights = |of: &Tensor| {
        let count = of.elem_count();
        let c: Vec<f64> = (0..count).map(|i| (1.0 + i as f64 * 0.37).sin()).collect();
        Tensor::from_vec(c, of.shape(), &CPU)
    };
    let total = |z: &Tensor| f(z)?.mul(&weights(&f(z)?)?)?.sum_all();
    let variable = Var::from_tensor(z).unwrap();
    let gradient = array(&total(&variable).unwrap().backward().unwrap().remove(&variable).unwrap());
    let numbers = array(z);
    for (index, &slope) in gradient.indexed_iter() {
        let at = |step: f64| {
            let mut moved = numbers.clone();
            moved[&index] += step;
            let moved = Tensor::from_vec(moved.into_raw_vec_and_offset().0, z.dims(), &CPU).unwrap();
            total(&moved).unwrap().to_scalar::<f64>().unwrap()
        };
        let step = 1e-5;
        let difference = (at(step) - at(-step)) / (2.0 * step);
        assert!((difference - slope).abs() < 1e-8, "{slope} at {index:?}, differences give {difference}");
    }
}

/// Without −∞, which has no differences.
fn finite(shape: &[usize], seed: u64) -> Tensor {
    random(shape, seed).clamp(-8.0, 8.0).unwrap()
}

#[test]
fn gradients_are_those_of_differences() {
    let z = finite(&[3, 4, 2], 9);
    for dims in [vec![0], vec![1], vec![2], vec![0, 2], vec![0, 1, 2]] {
        assert_gradient(&z, |z| logsumexp(z, &dims[..]));
        assert_gradient(&z, |z| logsumexp_keepdim(z, &dims[..]));
        assert_gradient(&z, |z| softmax(z, &dims[..]));
        assert_gradient(&z, |z| log_softmax(z, &dims[..]));
        assert_gradient(&z, |z| logsumexp(&z.transpose(0, 2)?, &dims[..]));
        assert_gradient(&z, |z| softmax(&z.narrow(1, 1, 2)?, &dims[..]));
        assert_gradient(&z, |z| log_softmax(&z.unsqueeze(0)?.broadcast_as((2, 3, 4, 2))?, &dims[..]));
    }
}

fn every_option() -> Vec<CrossEntropy> {
    let weights = Tensor::new(&[1.0, 0.5, 0.0, 2.0], &CPU).unwrap();
    vec![
        CrossEntropy::new(),
        CrossEntropy::new().ignore(-100),
        CrossEntropy::new().ignore(2).class_weights(&weights),
        CrossEntropy::new().label_smoothing(0.2).class_weights(&weights),
        CrossEntropy::new().z_loss(0.1),
        CrossEntropy::new().temperature(1.7),
        CrossEntropy::new()
            .ignore(1)
            .label_smoothing(0.1)
            .z_loss(0.01)
            .temperature(0.5)
            .class_weights(&weights),
    ]
}

#[test]
fn gradients_of_losses_are_those_of_differences() {
    let z = finite(&[2, 3, 4], 10);
    let labels = Tensor::new(&[[0_u32, 1, 3], [2, 1, 0]], &CPU).unwrap();
    let probabilities = softmax(&finite(&[2, 3, 4], 11), D::Minus1).unwrap();
    for loss in every_option() {
        for targets in [&labels, &probabilities] {
            assert_gradient(&z, |z| loss.mean(z, targets));
            assert_gradient(&z, |z| loss.sum(z, targets));
            assert_gradient(&z, |z| loss.losses(z, targets));
        }
    }
    assert_gradient(&z, |z| token_log_probs(z, &labels));
    assert_gradient(&z, |z| cross_entropy(&z.t()?.contiguous()?.t()?, &labels));
}

#[test]
fn losses_have_the_bits_of_the_library() {
    let z = random(&[6, 5], 12);
    let labels = [4_usize, 0, 2, 1, 3, 0];
    let targets = Tensor::from_vec(labels.map(|label| label as i64).to_vec(), 6, &CPU).unwrap();
    let numbers = array(&z);
    let rows = numbers.as_slice().unwrap();
    let of = logsum::CrossEntropy::new(5).label_smoothing(0.1).unwrap().z_loss(1e-4).unwrap();
    let (mut losses, mut gradient) = ([0.0; 6], [0.0; 30]);
    of.losses_with_gradient(rows, logsum::Targets::Classes(&labels), &mut losses, &mut gradient).unwrap();
    let ours = CrossEntropy::new().label_smoothing(0.1).z_loss(1e-4);
    let z = Var::from_tensor(&z).unwrap();
    for targets in
        [targets.clone(), targets.to_dtype(DType::U32).unwrap(), targets.to_dtype(DType::U8).unwrap()]
    {
        let each = ours.losses(&z, &targets).unwrap();
        assert_same(&each, &ndarray::arr1(&losses).into_dyn());
        let found = each.sum_all().unwrap().backward().unwrap().remove(&z).unwrap();
        assert_same(&found, &ndarray::arr1(&gradient).into_shape_with_order([6, 5]).unwrap().into_dyn());
    }
    for format in [DType::F16, DType::BF16, DType::F32] {
        let z = z.to_dtype(format).unwrap();
        let log_p = array(&log_softmax(&z, 1).unwrap());
        let chosen: Vec<f64> = labels.iter().enumerate().map(|(row, &label)| log_p[[row, label]]).collect();
        assert_same(&token_log_probs(&z, &targets).unwrap(), &ndarray::arr1(&chosen).into_dyn());
    }
}

#[test]
fn a_batch_of_no_rows_and_rows_that_are_ignored() {
    let none = Tensor::zeros((0, 3), DType::F32, &CPU).unwrap();
    let no_targets = Tensor::zeros(0, DType::U32, &CPU).unwrap();
    assert!(cross_entropy(&none, &no_targets).unwrap().to_scalar::<f32>().unwrap().is_nan());
    assert_eq!(token_log_probs(&none, &no_targets).unwrap().dims(), [0]);
    let z = Var::new(&[[1.0, f64::NAN], [0.0, 0.0]], &CPU).unwrap();
    let targets = Tensor::new(&[-1_i64, -1], &CPU).unwrap();
    let loss = CrossEntropy::new().ignore(-1);
    assert!(loss.mean(&z, &targets).unwrap().to_scalar::<f64>().unwrap().is_nan());
    let sum = loss.sum(&z, &targets).unwrap();
    assert_eq!(sum.to_scalar::<f64>().unwrap(), 0.0);
    let gradient = sum.backward().unwrap().remove(&z).unwrap();
    assert_eq!(gradient.to_vec2::<f64>().unwrap(), [[0.0; 2]; 2]);
}

#[test]
fn complaints_name_what_is_wrong() {
    let z = random(&[2, 3], 13);
    let of = |result: Result<Tensor>| result.unwrap_err().to_string().lines().next().unwrap().to_string();
    let whole = Tensor::zeros((2, 3), DType::U32, &CPU).unwrap();
    let labels = |labels: &[i64]| Tensor::new(labels, &CPU).unwrap();
    let weights = |count| CrossEntropy::new().class_weights(&Tensor::ones(count, DType::F64, &CPU).unwrap());
    let variable = Var::ones((2, 3), DType::F64, &CPU).unwrap();
    let first = labels(&[0, 1]);
    for (complaint, words) in [
        (of(logsumexp(&z, 2)), "logsumexp: dimension index 2 out of range for shape [2, 3]"),
        (of(softmax(&z, (0, 0))), "softmax: duplicate dim index [0, 0] for shape [2, 3]"),
        (of(log_softmax(&whole, 0)), "unsupported dtype U32 for op log_softmax"),
        (
            of(cross_entropy(&z, &labels(&[0, 3]))),
            "targets: 3 in row 1 is not one of 3 classes, which count from 0",
        ),
        (
            of(cross_entropy(&z, &labels(&[-4, 0]))),
            "targets: -4 in row 0 is not one of 3 classes, which count from 0",
        ),
        (
            of(token_log_probs(&z, &labels(&[0, 7]))),
            "tokens: 7 in row 1 is not one of 3 classes, which count from 0",
        ),
        (
            of(cross_entropy(&z, &labels(&[0]))),
            "targets have the shape [1], but logits of shape [2, 3] need [2]",
        ),
        (of(token_log_probs(&z, &z)), "tokens are F64, but must be integers"),
        (
            of(cross_entropy(&z, &z.narrow(1, 0, 2).unwrap())),
            "probabilities as targets have the shape [2, 2], but the logits [2, 3]",
        ),
        (of(cross_entropy(&z, &variable)), "cross-entropy has no derivatives by targets: detach them"),
        (of(cross_entropy(&z.to_dtype(DType::F32).unwrap(), &z)), "targets are F64, but logits F32"),
        (
            of(CrossEntropy::new().temperature(0.0).mean(&z, &first)),
            "`temperature` is 0.0, but must be positive and finite",
        ),
        (
            of(CrossEntropy::new().label_smoothing(2.0).mean(&z, &first)),
            "`label_smoothing` is 2.0, but must be between 0 and 1",
        ),
        (of(weights(2).mean(&z, &first)), "`class_weights` has 2 elements, but needs 3 to fit `classes`"),
        (
            of(cross_entropy(&Tensor::new(1.0, &CPU).unwrap(), &labels(&[0]))),
            "logits have no dimension, but need one of classes",
        ),
    ] {
        assert_eq!(complaint, words);
    }
}
