//! Second and third derivatives. burn's `Tensor` differentiates once; what it is made of, a backend and `Autodiff` of
//! that, also nest: the gradient of a function of `Autodiff<Autodiff<B>>` is again a tensor of `Autodiff<B>`.

use crate::numbers;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Flex, NdArray, TensorMetadata};
use burn::tensor::{Device, Int, Tensor, TensorData, read_sync};
use logsum_burn::{Host, Operation};

const SHAPE: [usize; 2] = [2, 3];

fn constant<X: Backend>(values: &[f64], shape: [usize; 2], device: &X::Device) -> FloatTensor<X> {
    X::float_from_data(TensorData::new(values.to_vec(), shape), device)
}

fn values<X: Backend>(tensor: FloatTensor<X>) -> Vec<f64> {
    read_sync(X::float_into_data(tensor)).unwrap().to_vec().unwrap()
}

/// Σ w f, whose weights look random.
fn weighted<X: Backend>(f: FloatTensor<X>, seed: u64) -> FloatTensor<X> {
    let shape = f.shape();
    let weights = TensorData::new(numbers(shape.num_elements(), seed), shape);
    let weights = X::float_from_data(weights, &f.device());
    X::float_sum(X::float_mul(f, weights))
}

/// The gradient of a function at z. If X differentiates too, so does the result.
fn gradient<X: Host>(
    z: FloatTensor<X>,
    f: impl Fn(FloatTensor<Autodiff<X>>) -> FloatTensor<Autodiff<X>>,
) -> FloatTensor<X> {
    let z = Autodiff::<X>::float_set_require_grad(Autodiff::<X>::from_inner(z), true);
    let grads = Autodiff::<X>::backward(f(z.clone()));
    Autodiff::<X>::grad(&z, &grads).expect("z has a gradient")
}

/// The derivatives of Σ w f along fixed directions: the gradient of that of one order less.
fn first<X: Host>(z: FloatTensor<X>, operation: &Operation) -> FloatTensor<X> {
    gradient::<X>(z, |z| weighted::<Autodiff<X>>(Autodiff::<X>::value(z, operation).unwrap(), 1))
}

fn second<X: Host>(z: FloatTensor<X>, operation: &Operation) -> FloatTensor<X> {
    gradient::<X>(z, |z| weighted::<Autodiff<X>>(first::<Autodiff<X>>(z, operation), 2))
}

fn third<X: Host>(z: FloatTensor<X>, operation: &Operation) -> FloatTensor<X> {
    gradient::<X>(z, |z| weighted::<Autodiff<X>>(second::<Autodiff<X>>(z, operation), 3))
}

/// A derivative against finite differences of the one before it, along its direction.
fn check<X: Host>(
    before: impl Fn(FloatTensor<X>) -> FloatTensor<X>,
    after: impl Fn(FloatTensor<X>) -> FloatTensor<X>,
    (seed, what): (u64, &str),
    device: &X::Device,
) {
    const STEP: f64 = 1e-5;
    let at = numbers(6, 20);
    let found = values::<X>(after(constant::<X>(&at, SHAPE, device)));
    let along = |at: &[f64]| values::<X>(weighted::<X>(before(constant::<X>(at, SHAPE, device)), seed))[0];
    for (index, found) in found.into_iter().enumerate() {
        let [mut up, mut down] = [at.clone(), at.clone()];
        up[index] += STEP;
        down[index] -= STEP;
        let expected = (along(&up) - along(&down)) / (2.0 * STEP);
        assert!((found - expected).abs() < 1e-8, "{what}, {index}: {found} instead of {expected}");
    }
}

fn operations() -> Vec<Operation> {
    vec![
        Operation::LogSumExp(vec![1]),
        Operation::LogSumExp(vec![0, -1]),
        Operation::Softmax(vec![-1]),
        Operation::LogSoftmax(0),
    ]
}

fn check_all<X: Host>(device: &X::Device) {
    for operation in &operations() {
        let what = format!("{operation:?}");
        check::<X>(|z| first::<X>(z, operation), |z| second::<X>(z, operation), (2, &what), device);
        check::<X>(|z| second::<X>(z, operation), |z| third::<X>(z, operation), (3, &what), device);
    }
}

#[test]
fn to_the_third_order() {
    check_all::<Flex>(&Default::default());
    check_all::<NdArray>(&Default::default());
}

/// The Hessian of the log-sum-exp times a vector has the library's bits.
#[test]
fn hessian_times_vector() {
    let (z, v) = (numbers(3, 21), numbers(3, 22));
    let mut expected = [0.0; 3];
    logsum::logsumexp_hvp(&z, &v, &mut expected).unwrap();
    let operation = Operation::LogSumExp(vec![1]);
    let device = Default::default();
    let found = gradient::<Flex>(constant::<Flex>(&z, [1, 3], &device), |z| {
        type A = Autodiff<Flex>;
        let slope = gradient::<A>(z, |z| Autodiff::<A>::value(z, &operation).unwrap());
        A::float_sum(A::float_mul(slope, constant::<A>(&v, [1, 3], &device)))
    });
    assert_eq!(values::<Flex>(found), expected);
}

/// The cross-entropy differentiates twice; its third derivative says that there is none.
#[test]
fn of_the_cross_entropy() {
    for operation in losses() {
        let what = format!("{operation:?}");
        let device = Default::default();
        check::<Flex>(
            |z| first::<Flex>(z, &operation),
            |z| second::<Flex>(z, &operation),
            (2, &what),
            &device,
        );
    }
}

#[test]
#[should_panic(expected = "logsum-burn: the third derivative of the cross-entropy is not provided")]
fn no_third_derivative_of_the_cross_entropy() {
    third::<Flex>(constant::<Flex>(&numbers(6, 23), SHAPE, &Default::default()), &losses()[0]);
}

fn losses() -> Vec<Operation> {
    use logsum_burn::{CrossEntropy, Targets};
    let device = Device::flex();
    let targets = Targets::from(Tensor::<1, Int>::from_data([2, 0], &device));
    let loss = CrossEntropy::new().label_smoothing(0.1).z_loss(0.1).temperature(1.5);
    vec![
        loss.operation(&SHAPE, targets.clone(), Some(logsum::Reduction::Mean)).unwrap(),
        loss.operation(&SHAPE, targets, None).unwrap(),
    ]
}

/// The gradient of a `Tensor` has left autodiff: what would be a second derivative by it is visibly none.
#[test]
fn a_tensor_differentiates_once() {
    let z = Tensor::<1>::from_data([1.0, 2.0], &Device::flex().autodiff()).require_grad();
    let slope = z.grad(&logsum_burn::logsumexp(z.clone(), 0).unwrap().backward()).unwrap();
    assert!(!slope.is_autodiff());
}
