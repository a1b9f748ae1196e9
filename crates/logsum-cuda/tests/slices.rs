//! The operations on slices, on a GPU against the CPU: every bit, of f32 and f64 (cudarc has slices of f16 and bf16
//! only with a feature). Where there is no GPU, only that is said.

use logsum_cuda::cudarc::driver::{CudaContext, DeviceRepr, ValidAsZeroBits};
use logsum_cuda::{Error, Handle, Number, is_available};
use std::fmt::Debug;
use std::sync::Arc;

const LENGTH: usize = 37;
const COUNT: usize = 300;
const IGNORED: i64 = -100;

/// Pseudo-random scores from −8 to 8; each other row is normalised, so that its value is a rounding error.
fn scores<T: logsum::Float>(of: impl Fn(f64) -> T) -> Vec<T> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / (1 << 20) as f64 - 8.0
    };
    let mut all = Vec::new();
    for i in 0..COUNT {
        let row: Vec<f64> = (0..LENGTH).map(|_| next()).collect();
        let shift = if i % 2 == 0 { 0.0 } else { logsum::logsumexp(&row) };
        all.extend(row.iter().map(|x| of(x - shift)));
    }
    all
}

fn check<T: Number + logsum::Float + DeviceRepr + ValidAsZeroBits + PartialEq + Debug + Into<f64>>(
    context: &Arc<CudaContext>,
    of: impl Fn(f64) -> T,
) {
    let x = scores(&of);
    let targets: Vec<i64> =
        (0..COUNT).map(|i| if i % 9 == 0 { IGNORED } else { (i * 7 % LENGTH) as i64 }).collect();
    // The kernels run in another stream than the copies.
    let (copies, stream) = (context.default_stream(), context.new_stream().unwrap());
    let mut gpu = Handle::new(&stream).unwrap();
    let (rows, classes) = (copies.clone_htod(&x).unwrap(), copies.clone_htod(&targets).unwrap());
    let factors = copies.clone_htod(&vec![of(-3.0); COUNT]).unwrap();
    let [mut values, mut beside, mut losses] = [(); 3].map(|()| copies.alloc_zeros::<T>(COUNT).unwrap());
    let [mut p, mut log_p, mut gradient, mut slope] =
        [(); 4].map(|()| copies.alloc_zeros::<T>(x.len()).unwrap());
    gpu.logsumexp(&rows, LENGTH, &mut values).unwrap();
    gpu.softmax(&rows, LENGTH, &mut p).unwrap();
    gpu.log_softmax(&rows, LENGTH, &mut log_p).unwrap();
    gpu.logsumexp_with_gradient(&rows, LENGTH, &mut beside, &mut gradient).unwrap();
    gpu.losses(&rows, LENGTH, &classes, IGNORED, &mut losses).unwrap();
    gpu.loss_gradients(&rows, LENGTH, &classes, IGNORED, &factors, &mut slope).unwrap();
    assert_eq!(gpu.unproved().unwrap(), 0);
    let [values, beside, losses] = [&values, &beside, &losses].map(|it| copies.clone_dtoh(it).unwrap());
    let [p, log_p, gradient, slope] =
        [&p, &log_p, &gradient, &slope].map(|it| copies.clone_dtoh(it).unwrap());
    for (i, row) in x.chunks(LENGTH).enumerate() {
        let of_row = |all: &[T]| all[i * LENGTH..][..LENGTH].to_vec();
        let mut exact = vec![of(0.0); LENGTH];
        assert_eq!([values[i], beside[i]], [logsum::logsumexp(row); 2]);
        logsum::softmax(row, &mut exact).unwrap();
        assert_eq!([of_row(&p), of_row(&gradient)], [exact.clone(), exact.clone()]);
        logsum::log_softmax(row, &mut exact).unwrap();
        assert_eq!(of_row(&log_p), exact);
        let class = [usize::try_from(targets[i]).unwrap_or(usize::MAX)];
        let mut loss = [of(0.0)];
        logsum::CrossEntropy::new(LENGTH)
            .ignore(usize::MAX)
            .losses_with_gradient(row, logsum::Targets::Classes(&class), &mut loss, &mut exact)
            .unwrap();
        assert_eq!(losses[i], loss[0]);
        let product = |slope: T| of(-3.0 * Into::<f64>::into(slope));
        assert_eq!(of_row(&slope), exact.into_iter().map(product).collect::<Vec<_>>());
    }
    let mut short = copies.alloc_zeros::<T>(COUNT - 1).unwrap();
    let error = gpu.logsumexp(&rows, LENGTH, &mut short).unwrap_err();
    assert_eq!(error, Error::Size { what: "scores", found: x.len(), expected: x.len() - LENGTH });
}

#[test]
fn every_bit_is_that_of_the_cpu() {
    if let Err(error) = is_available(0) {
        println!("nothing was compared: {error}");
        return;
    }
    let context = CudaContext::new(0).unwrap();
    check::<f32>(&context, |x| x as f32);
    check::<f64>(&context, |x| x);
}
