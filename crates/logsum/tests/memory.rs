//! The promise about memory: the plain operations allocate at most 1 MiB per thread, whatever the length and the
//! layout of the input, besides the arrays that they return, and a pointer per row for gradients over a leading axis.

use allocation_counter::measure;
use logsum::{Float, LogSumExp, log_softmax, logsumexp, logsumexp_with_gradient, softmax};
use ndarray::{Array2, Array3, ArrayD, ArrayViewD, s};

const MOST: u64 = 1 << 20;

/// The most bytes at a time that a call has allocated, on the one thread of its pool.
fn most(work: impl FnOnce() + Send) -> u64 {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    pool.install(|| measure(work).bytes_max)
}

/// Numbers of which every 8000th is far above the others, so that shifts jump.
fn numbers<T: Float>(of: impl Fn(f64) -> T, count: usize) -> Vec<T> {
    (0..count)
        .map(|i| of((i * 7919 % 10_007) as f64 * 1e-3 + if i % 8000 == 17 { 200.0 } else { 0.0 }))
        .collect()
}

fn check_slices<T: Float>(of: impl Fn(f64) -> T, what: &str) {
    let z = numbers(of, 3_000_001);
    let mut out = z.clone();
    let found = [
        most(|| assert!(logsumexp(&z).widen().is_finite())),
        most(|| assert!(logsumexp_with_gradient(&z, &mut out).is_ok())),
        most(|| assert!(softmax(&z, &mut out).is_ok())),
        most(|| assert!(log_softmax(&z, &mut out).is_ok())),
        // Its value is near 0, and takes the later phases.
        most(|| assert!(logsumexp(&out).widen().abs() < 1e-3)),
    ];
    println!("{what}: {found:?} bytes");
    assert!(found.iter().all(|&bytes| bytes <= MOST), "{what}: {found:?} bytes");
}

#[test]
fn slices() {
    check_slices(|x| x, "f64");
    check_slices(|x| x as f32, "f32");
}

fn check_view<T: Float>(z: ArrayViewD<'_, T>, axis: isize, what: &str) {
    let mut value: ArrayD<T> = z.logsumexp(axis).expect("an axis");
    let mut out = ArrayD::<T>::default(z.raw_dim());
    // A pointer and a length for each row of one table.
    let pointers = 16 * z.shape().iter().max().map_or(0, |&rows| rows as u64);
    let found = [
        most(|| z.logsumexp_into(axis, value.view_mut()).expect("shapes fit")),
        most(|| z.logsumexp_with_gradient_into(axis, value.view_mut(), out.view_mut()).expect("shapes fit")),
        most(|| z.softmax_into(axis, out.view_mut()).expect("shapes fit")),
        most(|| z.log_softmax_into(axis, out.view_mut()).expect("shapes fit")),
    ];
    println!("{what}, axis {axis}: {found:?} bytes");
    assert!(found.iter().all(|&bytes| bytes <= MOST + pointers), "{what}, axis {axis}: {found:?} bytes");
}

#[test]
fn arrays_in_any_layout() {
    let z = Array2::from_shape_vec((1500, 2000), numbers(|x| x as f32, 3_000_000)).expect("a shape");
    let cube = Array3::from_shape_vec((30, 200, 500), numbers(|x| x, 3_000_000)).expect("a shape");
    for axis in [0, 1] {
        check_view(z.view().into_dyn(), axis, "C order");
        check_view(z.t().into_dyn(), axis, "Fortran order");
        check_view(z.slice(s![..;-1, ..;2]).into_dyn(), axis, "strided");
    }
    for axis in [0, 1, 2] {
        check_view(cube.view().into_dyn(), axis, "three axes");
        check_view(cube.slice(s![.., ..;-2, 3..]).into_dyn(), axis, "a part of three axes");
    }
}
