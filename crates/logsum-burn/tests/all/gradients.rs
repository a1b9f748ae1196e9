//! Derivatives through burn's autodiff: against the library's bits, against finite differences, and at the edges.

use crate::{array, assert_bits, differentiating, numbers, tensor, wide};
use burn::tensor::{DType, Device, Element, ElementConversion, Int, Tensor, bf16, f16};
use logsum::{Axes, LogSumExp, Reduction};
use logsum_burn::{
    CrossEntropy, cross_entropy, log_softmax, logsumexp, logsumexp_all, logsumexp_dims, softmax,
    token_log_probs,
};
use ndarray::ArrayD;

const INF: f64 = f64::INFINITY;

type Function = Box<dyn Fn(Tensor<2>) -> Tensor<1>>;

/// Each operation, followed by a weighted sum, as a function of a 3 × 4 matrix.
fn functions() -> Vec<(&'static str, Function)> {
    fn weighted<const D: usize>(value: Tensor<D>) -> Tensor<1> {
        let shape = value.dims();
        let weights =
            tensor(&numbers(shape.iter().product(), 5), shape, value.dtype(), &value.device().inner());
        (value * weights).sum()
    }
    fn labels(z: &Tensor<2>) -> Tensor<1, Int> {
        Tensor::from_data([3, 0, 2], &z.device())
    }
    fn all_options() -> CrossEntropy {
        let loss = CrossEntropy::new().class_weights([0.5, 0.0, 2.0, 1.25]).ignore(0).label_smoothing(0.1);
        loss.z_loss(0.01).temperature(1.5)
    }
    let probabilities =
        |z: &Tensor<2>| tensor(&numbers(12, 6), [3, 4], DType::F64, &z.device().inner()).abs();
    vec![
        ("log-sum-exp of rows", Box::new(|z| weighted(logsumexp(z, 1).unwrap()))),
        ("log-sum-exp of columns", Box::new(|z| weighted(logsumexp(z, -2).unwrap()))),
        ("log-sum-exp of both", Box::new(|z| weighted(logsumexp_dims(z, &[0, 1]).unwrap()))),
        ("log-sum-exp of all", Box::new(|z| weighted(logsumexp_all(z).unwrap()))),
        ("softmax of rows", Box::new(|z| weighted(softmax(z, 1).unwrap()))),
        ("softmax of columns", Box::new(|z| weighted(softmax(z, 0).unwrap()))),
        ("log-softmax of rows", Box::new(|z| weighted(log_softmax(z, 1).unwrap()))),
        ("log-softmax of columns", Box::new(|z| weighted(log_softmax(z, 0).unwrap()))),
        ("token log-probabilities", Box::new(|z| weighted(token_log_probs(z.clone(), labels(&z)).unwrap()))),
        ("cross-entropy", Box::new(|z| weighted(cross_entropy(z.clone(), labels(&z)).unwrap()))),
        ("its mean", Box::new(|z| weighted(all_options().mean(z.clone(), labels(&z)).unwrap()))),
        ("its sum", Box::new(|z| weighted(all_options().sum(z.clone(), labels(&z)).unwrap()))),
        ("its rows", Box::new(|z| weighted::<1>(all_options().losses(z.clone(), labels(&z)).unwrap()))),
        (
            "of probabilities",
            Box::new(move |z| weighted(all_options().mean(z.clone(), probabilities(&z)).unwrap())),
        ),
    ]
}

type View = fn(Tensor<2>) -> Tensor<2>;

/// What of a leaf is the input: the matrix itself, or a view of it.
fn views() -> Vec<(&'static str, [usize; 2], View)> {
    vec![
        ("in order", [3, 4], |leaf| leaf),
        ("transposed", [4, 3], |leaf| leaf.transpose()),
        ("sliced", [5, 6], |leaf| leaf.slice([1..4, 2..6])),
        ("flipped", [3, 4], |leaf| leaf.flip([0, 1])),
        ("expanded", [1, 4], |leaf| leaf.expand([3, 4])),
    ]
}

#[test]
fn finite_differences() {
    const STEP: f64 = 1e-5;
    for device in differentiating() {
        for (view, shape, of_leaf) in views() {
            let at = numbers(shape[0] * shape[1], 7);
            for (name, f) in functions() {
                let leaf = tensor(&at, shape, DType::F64, &device).require_grad();
                let gradient = wide(&leaf.grad(&f(of_leaf(leaf.clone())).backward()).unwrap());
                let value =
                    |at: &[f64]| wide(&f(of_leaf(tensor(at, shape, DType::F64, &device.clone().inner()))))[0];
                for (index, slope) in gradient.iter().enumerate() {
                    let [mut up, mut down] = [at.clone(), at.clone()];
                    up[index] += STEP;
                    down[index] -= STEP;
                    let expected = (value(&up) - value(&down)) / (2.0 * STEP);
                    let error = (slope - expected).abs();
                    assert!(
                        error < 1e-8,
                        "{name}, {view}, {device:?}, {index}: {slope} instead of {expected}"
                    );
                }
            }
        }
    }
}

/// The gradients that the library gives, times the derivative of what follows, to the bit.
pub(crate) fn check_bits<T: logsum::Float + Element>(device: &Device) {
    let shape = [3, 4];
    let what = format!("{:?} on {device:?}", T::dtype());
    let z = tensor(&numbers(12, 8), shape, T::dtype(), device).require_grad();
    let plain = array::<T, 2>(&z);
    let p = plain.softmax(1).unwrap();

    let found = z.grad(&logsumexp(z.clone(), 1).unwrap().backward()).unwrap();
    assert_bits(&found, &p, &what);

    let cotangent: Tensor<2> = tensor(&numbers(3, 9), [3, 1], T::dtype(), &device.clone().inner());
    let found = z.grad(&(logsumexp(z.clone(), 1).unwrap() * cotangent.clone()).backward()).unwrap();
    let by_row = array::<T, 2>(&cotangent);
    let expected =
        ArrayD::from_shape_fn(vec![3, 4], |at| (p[&at].to_f64() * by_row[[at[0], 0]].to_f64()).elem::<T>());
    assert_bits(&found, &expected, &what);

    let vector: Tensor<2> = tensor(&numbers(12, 10), shape, T::dtype(), &device.clone().inner());
    let v = array::<T, 2>(&vector);
    let found = z.grad(&(softmax(z.clone(), 1).unwrap() * vector.clone()).backward()).unwrap();
    assert_bits(&found, &plain.logsumexp_hvp(1, &v).unwrap(), &what);
    let found = z.grad(&(log_softmax(z.clone(), 1).unwrap() * vector).backward()).unwrap();
    let expected = ArrayD::from_shape_fn(vec![3, 4], |at| {
        let sum: f64 = v.index_axis(ndarray::Axis(0), at[0]).iter().map(|v| v.to_f64()).sum();
        (v[&at].to_f64() - p[&at].to_f64() * sum).elem::<T>()
    });
    assert_bits(&found, &expected, &what);

    let (logits, labels) = (plain.as_slice().unwrap(), Tensor::<1, Int>::from_data([1, 3, 0], device));
    let mut gradient = vec![T::default(); 12];
    let loss = logsum::CrossEntropy::new(4);
    let targets = logsum::Targets::Classes(&[1, 3, 0]);
    loss.loss_with_gradient(logits, targets, Reduction::Mean, &mut gradient).unwrap();
    let expected = ArrayD::from_shape_vec(vec![3, 4], gradient.clone()).unwrap();
    let found = z.grad(&cross_entropy(z.clone(), labels.clone()).unwrap().backward()).unwrap();
    assert_bits(&found, &expected, &what);
    logsum::token_log_probs_with_gradient(logits, &[1, 3, 0], &mut [T::default(); 3], &mut gradient).unwrap();
    let expected = ArrayD::from_shape_vec(vec![3, 4], gradient).unwrap();
    let found = z.grad(&token_log_probs(z.clone(), labels).unwrap().backward()).unwrap();
    assert_bits(&found, &expected, &what);
}

#[test]
fn bits_of_the_library() {
    for device in differentiating() {
        check_bits::<f64>(&device);
        check_bits::<f32>(&device);
    }
    check_bits::<f16>(&Device::flex().autodiff());
    check_bits::<bf16>(&Device::flex().autodiff());
}

#[test]
fn edges() {
    let rows = [
        ([1e8, 1e8, -INF], [0.5, 0.5, 0.0]),
        ([-INF, -INF, -INF], [0.0, 0.0, 0.0]),
        ([INF, INF, 0.0], [0.5, 0.5, 0.0]),
        ([f64::NAN, 0.0, INF], [f64::NAN; 3]),
    ];
    for device in differentiating() {
        for (z, gradient) in rows {
            for dtype in [DType::F64, DType::F32] {
                let z = tensor(&z, [1, 3], dtype, &device).require_grad();
                let found = z.grad(&logsumexp(z.clone(), 1).unwrap().backward()).unwrap().cast(DType::F64);
                let expected = ArrayD::from_shape_vec(vec![1, 3], gradient.to_vec()).unwrap();
                assert_bits(&found, &expected, &format!("{z:?}"));
            }
        }
        // A nearly certain target: softmax − 1 in f64 would be 0.
        let z = tensor(&[40.0, 0.0], [1, 2], DType::F64, &device).require_grad();
        let loss = cross_entropy(z.clone(), Tensor::<1, Int>::from_data([0], &device)).unwrap();
        let gradient = wide(&z.grad(&loss.backward()).unwrap());
        assert_eq!(gradient, [-4.248354255291589e-18, 4.248354255291589e-18]);
        let z = Tensor::<2>::zeros([2, 0], (&device, DType::F64)).require_grad();
        assert_eq!(z.grad(&logsumexp(z.clone(), 1).unwrap().sum().backward()).unwrap().dims(), [2, 0]);
    }
}

/// One tensor in several operations, of which the gradients add up.
#[test]
fn operations_in_one_graph() {
    for device in differentiating() {
        let z = tensor(&numbers(12, 11), [3, 4], DType::F64, &device).require_grad();
        let loss =
            logsumexp(z.clone(), 1).unwrap().sum() - (z.clone() * softmax(z.clone(), 1).unwrap()).sum();
        let found = wide(&z.grad(&loss.backward()).unwrap());
        // The entropy of softmax, whose gradient the library has.
        let mut expected = [0.0; 12];
        let plain = wide(&z);
        for (z, out) in plain.chunks(4).zip(expected.chunks_mut(4)) {
            logsum::softmax_entropy_with_gradient(z, out).unwrap();
        }
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-14, "{found} instead of {expected}");
        }
    }
}

#[test]
fn without_a_gradient() {
    for device in differentiating() {
        let z: Tensor<2> = tensor(&numbers(12, 12), [3, 4], DType::F64, &device);
        assert!(!logsumexp(z.clone(), 1).unwrap().is_tracked());
        assert!(logsumexp(z.clone(), 1).unwrap().is_autodiff());
        let plain = array::<f64, 2>(&z).logsumexp(Axes::from(1).keep()).unwrap();
        assert_bits(&logsumexp(z.require_grad().detach(), 1).unwrap(), &plain, "detached");
    }
}
