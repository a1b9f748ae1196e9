//! No input is copied, in whatever layout: a reduction allocates next to nothing, softmax no more than its result.

use crate::{numbers, tensor};
use burn::tensor::{DType, Device, Tensor};
use logsum_burn::{log_softmax, logsumexp, logsumexp_all, softmax};

const SIDE: usize = 1024;
const BYTES: u64 = (SIDE * SIDE * 8) as u64;

/// The most that is allocated at a time.
fn allocated<T>(f: impl Fn() -> T) -> u64 {
    allocation_counter::measure(|| drop(f())).bytes_max
}

#[test]
fn nothing_is_copied() {
    for device in [Device::flex(), Device::ndarray(), Device::flex().autodiff()] {
        let of =
            |shape: [usize; 2]| tensor::<2>(&numbers(shape[0] * shape[1], 30), shape, DType::F64, &device);
        let layouts: [(&str, Tensor<2>); 5] = [
            ("in order", of([SIDE, SIDE])),
            ("transposed", of([SIDE, SIDE]).transpose()),
            ("sliced", of([SIDE + 2, SIDE + 3]).slice([1..SIDE + 1, 2..SIDE + 2])),
            ("flipped", of([SIDE, SIDE]).flip([0, 1])),
            ("expanded", of([1, SIDE]).expand([SIDE, SIDE])),
        ];
        for (layout, z) in layouts {
            for dim in [0, 1] {
                let what = format!("{layout}, dimension {dim}, {device:?}");
                let bytes = allocated(|| logsumexp(z.clone(), dim).unwrap());
                assert!(bytes < BYTES / 4, "{what}: {bytes} bytes for a log-sum-exp");
                let bytes = allocated(|| softmax(z.clone(), dim).unwrap());
                assert!(bytes < BYTES * 5 / 4, "{what}: {bytes} bytes for a softmax");
                let bytes = allocated(|| log_softmax(z.clone(), dim).unwrap());
                assert!(bytes < BYTES * 5 / 4, "{what}: {bytes} bytes for a log-softmax");
            }
            let bytes = allocated(|| logsumexp_all(z.clone()).unwrap());
            assert!(bytes < BYTES / 4, "{layout}, {device:?}: {bytes} bytes for one number");
        }
    }
}
