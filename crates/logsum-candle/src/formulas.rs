//! The same functions composed of candle's own operations, for devices on which the library does not compute. candle
//! differentiates them; they have the same conventions for rows of −∞, and are not correctly rounded.

use candle_core::{Result, Tensor};

/// log Σ e^z over `dims`, which are kept.
pub(crate) fn logsumexp(z: &Tensor, dims: &[usize]) -> Result<Tensor> {
    let shift = shift(z, dims)?;
    let (_, sum, none) = terms(&z.broadcast_sub(&shift)?, dims)?;
    none.where_cond(&(sum.ones_like()? * f64::NEG_INFINITY)?, &sum.log()?.add(&shift)?)
}

/// e^z / Σ e^z over `dims`.
pub(crate) fn softmax(z: &Tensor, dims: &[usize]) -> Result<Tensor> {
    let (terms, sum, _) = terms(&z.broadcast_sub(&shift(z, dims)?)?, dims)?;
    terms.broadcast_div(&sum)
}

/// z − log Σ e^z over `dims`.
pub(crate) fn log_softmax(z: &Tensor, dims: &[usize]) -> Result<Tensor> {
    let z = z.broadcast_sub(&shift(z, dims)?)?;
    let (_, sum, _) = terms(&z, dims)?;
    z.broadcast_sub(&sum.log()?)
}

/// e^z; the sum, or 1 for a row that is all −∞, to avoid a division by 0; and which rows these are.
fn terms(z: &Tensor, dims: &[usize]) -> Result<(Tensor, Tensor, Tensor)> {
    let terms = z.exp()?;
    let sum = terms.sum_keepdim(dims)?;
    let none = sum.eq(0.0)?;
    let sum = none.where_cond(&sum.ones_like()?, &sum)?;
    Ok((terms, sum, none))
}

/// The greatest number, or 0 if that is infinite. It is detached, as the result does not depend on it.
fn shift(z: &Tensor, dims: &[usize]) -> Result<Tensor> {
    let mut max = z.detach();
    for &dim in dims {
        max = max.max_keepdim(dim)?;
    }
    let infinite = max.abs()?.eq(f64::INFINITY)?;
    infinite.where_cond(&max.zeros_like()?, &max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Var};

    fn assert_near(found: &Tensor, expected: &Tensor) {
        assert_eq!(found.dims(), expected.dims());
        let numbers = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        for (found, expected) in numbers(found).into_iter().zip(numbers(expected)) {
            assert!(found == expected || (found - expected).abs() < 1e-13, "{found}, {expected}");
        }
    }

    #[test]
    fn they_are_near_the_library_with_its_rows_of_infinity_and_gradients() {
        let none = f64::NEG_INFINITY;
        let z = [[1.0, -3.0, 2.0], [none, none, none], [none, 1e8, 1e8], [800.0, -800.0, 0.0]];
        let z = Var::new(&z, &Device::Cpu).unwrap();
        let c = Tensor::arange(1.0, 13.0, &Device::Cpu).unwrap().reshape((4, 3)).unwrap();
        for dims in [&[1][..], &[0], &[0, 1]] {
            let value = logsumexp(&z, dims).unwrap();
            let ours = crate::logsumexp_keepdim(&z, dims).unwrap();
            assert_near(&value, &ours);
            assert_near(&softmax(&z, dims).unwrap(), &crate::softmax(&z, dims).unwrap());
            assert_near(&log_softmax(&z, dims).unwrap(), &crate::log_softmax(&z, dims).unwrap());
            for [found, expected] in [
                [value, ours],
                [
                    softmax(&z, dims).unwrap().mul(&c).unwrap(),
                    crate::softmax(&z, dims).unwrap().mul(&c).unwrap(),
                ],
                [log_softmax(&z, dims).unwrap(), crate::log_softmax(&z, dims).unwrap()],
            ] {
                let gradient = |of: Tensor| of.sum_all().unwrap().backward().unwrap().remove(&z).unwrap();
                assert_near(&gradient(found), &gradient(expected));
            }
        }
        assert_eq!(softmax(&z.to_dtype(DType::F32).unwrap(), &[0]).unwrap().dtype(), DType::F32);
    }
}
