//! The checks of a course on log-sum-exp: values and gradients over one axis, over several, and over all.

use crate::{assert_bits, devices, numbers, tensor};
use burn::tensor::{DType, Tensor};
use logsum::{Axes, LogSumExp};
use ndarray::{ArrayD, arr2};

fn check<const D: usize>(shape: [usize; D], choices: &[&[isize]]) {
    let values = numbers(shape.iter().product(), 4);
    let plain = ArrayD::from_shape_vec(shape.to_vec(), values.clone()).unwrap();
    for device in devices() {
        for axes in choices {
            let z: Tensor<D> = tensor(&values, shape, DType::F64, &device);
            let z = if z.is_autodiff() { z.require_grad() } else { z };
            let (value, gradient) = plain.logsumexp_with_gradient(Axes::from(*axes).keep()).unwrap();
            let found = logsum_burn::logsumexp_dims(z.clone(), axes).unwrap();
            assert_bits(&found, &value, &format!("{shape:?} over {axes:?}"));
            if z.is_autodiff() {
                let found = z.grad(&found.backward()).unwrap();
                assert_bits(&found, &gradient, &format!("gradient, {shape:?} over {axes:?}"));
            }
        }
        let z: Tensor<D> = tensor(&values, shape, DType::F64, &device);
        let all = plain.logsumexp(Axes::all()).unwrap().into_shape_with_order(vec![1]).unwrap();
        assert_bits(&logsum_burn::logsumexp_all(z).unwrap(), &all, "over all axes");
    }
}

#[test]
fn axes_none_and_tuples() {
    check([3, 3, 3], &[&[0], &[1, 2], &[0, 1, 2]]);
    check([1, 2, 3, 4], &[&[0], &[1, 2], &[0, 1, 2], &[0, 1, 2, 3]]);
    check([5, 5, 5], &[&[0], &[1], &[2], &[1, 2], &[0, 1, 2]]);
}

#[test]
fn large_numbers() {
    let rows = [[1e10, 1e9, 1e8, -10.0], [1e-10, 1e9, 1e8, -10.0]];
    for device in devices() {
        let z = Tensor::<2>::from_data(rows, (&device, DType::F64));
        let found = logsum_burn::logsumexp(z.clone(), 0).unwrap();
        // log(2 e^a) = a + log 2 for the columns of equal numbers; 1e10 and 1e-10 differ by more than f64 can see.
        let ln_2 = std::f64::consts::LN_2;
        let expected = arr2(&[[1e10, 1e9 + ln_2, 1e8 + ln_2, -10.0 + ln_2]]).into_dyn();
        assert_bits(&found, &expected, "over axis 0");
        assert_bits(&found, &arr2(&rows).logsumexp(Axes::from(0).keep()).unwrap(), "over axis 0");
    }
}
