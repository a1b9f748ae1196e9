//! Hessians, for which candle must be told not to detach gradients before a thread first differentiates: each test runs
//! itself again in a process that is told so.

use candle_core::{Device, Result, Tensor, Var};
use logsum_candle::{CrossEntropy, log_softmax, logsumexp, softmax, token_log_probs};

const SWITCH: &str = "CANDLE_GRAD_DO_NOT_DETACH";

/// Whether this process is the one that is told; the other runs the test of this name there.
fn is_told(test: &str) -> bool {
    if std::env::var(SWITCH).is_ok_and(|value| value == "1") {
        return true;
    }
    let this = std::env::current_exe().unwrap();
    let status =
        std::process::Command::new(this).args(["--exact", test, "--nocapture"]).env(SWITCH, "1").status();
    assert!(status.unwrap().success());
    false
}

fn numbers(count: usize, seed: f64) -> Vec<f64> {
    (0..count).map(|i| 3.0 * (seed + i as f64 * 1.3).sin()).collect()
}

fn gradient(of: &Tensor, by: &Tensor) -> Tensor {
    of.backward().unwrap().remove(by).unwrap()
}

/// Derivatives of derivatives of Σ c f(z) in the direction v, to `order`, against differences of those before.
fn assert_derivatives(order: usize, f: impl Fn(&Tensor) -> Result<Tensor>) {
    let count = 6;
    let like = |of: &Tensor, seed| {
        Tensor::from_vec(numbers(of.elem_count(), seed), of.shape(), &Device::Cpu).unwrap()
    };
    let derivative = |numbers: Vec<f64>, order: usize| {
        let z = Var::from_vec(numbers, (2, count / 2), &Device::Cpu).unwrap();
        let value = f(&z).unwrap();
        let mut slope = value.mul(&like(&value, 0.3)).unwrap().sum_all().unwrap();
        let mut found = slope.clone();
        for step in 0..order {
            found = gradient(&slope, &z);
            slope = found.mul(&like(&found, 1.0 + step as f64)).unwrap().sum_all().unwrap();
        }
        (found.flatten_all().unwrap().to_vec1::<f64>().unwrap(), slope.to_scalar::<f64>().unwrap())
    };
    let z = numbers(count, 2.0);
    for order in 2..=order {
        let (found, _) = derivative(z.clone(), order);
        for (k, &found) in found.iter().enumerate() {
            let at = |step: f64| {
                let mut moved = z.clone();
                moved[k] += step;
                derivative(moved, order - 1).1
            };
            let step = 1e-5;
            let difference = (at(step) - at(-step)) / (2.0 * step);
            assert!(
                (difference - found).abs() < 1e-7,
                "order {order}: {found}, differences give {difference}"
            );
        }
    }
}

#[test]
fn of_reductions() {
    if is_told("of_reductions") {
        for dims in [vec![0], vec![1], vec![0, 1]] {
            assert_derivatives(4, |z| logsumexp(z, &dims[..]));
            assert_derivatives(4, |z| softmax(z, &dims[..]));
            assert_derivatives(4, |z| log_softmax(z, &dims[..]));
        }
        assert_derivatives(3, |z| logsumexp(z, 1)?.sqr());
    }
}

#[test]
fn of_losses() {
    if is_told("of_losses") {
        let targets = Tensor::new(&[2_u32, 0], &Device::Cpu).unwrap();
        let loss = CrossEntropy::new().label_smoothing(0.1).z_loss(0.3).temperature(1.5);
        assert_derivatives(2, |z| loss.mean(z, &targets));
        assert_derivatives(2, |z| loss.sum(z, &targets));
        assert_derivatives(2, |z| loss.losses(z, &targets));
        assert_derivatives(2, |z| token_log_probs(z, &targets)?.sqr());
    }
}

#[test]
fn a_third_derivative_of_a_loss_is_an_error() {
    if is_told("a_third_derivative_of_a_loss_is_an_error") {
        let z = Var::from_vec(numbers(6, 2.0), (2, 3), &Device::Cpu).unwrap();
        let targets = Tensor::new(&[2_u32, 0], &Device::Cpu).unwrap();
        let first = gradient(&logsum_candle::cross_entropy(&z, &targets).unwrap(), &z);
        let second = gradient(&first.sqr().unwrap().sum_all().unwrap(), &z);
        let error = second.sum_all().unwrap().backward().unwrap_err().to_string();
        let words = "backward is not supported for the second derivative of cross_entropy";
        assert!(error.contains(words), "{error}");
    }
}
