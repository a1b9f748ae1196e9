//! The table of special cases for log-sum-exp, softmax and log-softmax, in f32 and f64, on slices and arrays.

use logsum::{Float, LogSumExp, log_softmax, logsumexp, logsumexp_with_gradient, softmax};
use ndarray::{Array1, ArrayView1};

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

/// A row of the table: the result of each operation for an input.
struct Row {
    name: &'static str,
    z: &'static [f64],
    value: f64,
    softmax: &'static [f64],
    log_softmax: &'static [f64],
}

const LN_2: f64 = std::f64::consts::LN_2;

#[rustfmt::skip]
const TABLE: &[Row] = &[
    Row { name: "empty", z: &[], value: -INF, softmax: &[], log_softmax: &[] },
    Row { name: "one number", z: &[-7.5], value: -7.5, softmax: &[1.0], log_softmax: &[0.0] },
    Row { name: "one zero", z: &[-0.0], value: 0.0, softmax: &[1.0], log_softmax: &[0.0] },
    Row { name: "a tie", z: &[0.0, 0.0], value: LN_2, softmax: &[0.5, 0.5], log_softmax: &[-LN_2, -LN_2] },
    Row { name: "a tie at 1e8", z: &[1e8, 1e8], value: 1e8 + LN_2, softmax: &[0.5, 0.5], log_softmax: &[-LN_2, -LN_2] },
    Row { name: "a tie of all sizes", z: &[-3e38, -3e38, -INF], value: -3e38, softmax: &[0.5, 0.5, 0.0], log_softmax: &[-LN_2, -LN_2, -INF] },
    Row { name: "some −∞", z: &[-INF, 2.0, -INF], value: 2.0, softmax: &[0.0, 1.0, 0.0], log_softmax: &[-INF, 0.0, -INF] },
    Row { name: "no mass, one", z: &[-INF], value: -INF, softmax: &[0.0], log_softmax: &[-INF] },
    Row { name: "no mass", z: &[-INF, -INF, -INF], value: -INF, softmax: &[0.0; 3], log_softmax: &[-INF; 3] },
    Row { name: "one +∞", z: &[INF, 0.0, -INF], value: INF, softmax: &[1.0, 0.0, 0.0], log_softmax: &[0.0, -INF, -INF] },
    Row { name: "two +∞", z: &[INF, 1e30, INF], value: INF, softmax: &[0.5, 0.0, 0.5], log_softmax: &[-LN_2, -INF, -LN_2] },
    Row { name: "a NaN", z: &[1.0, NAN, 2.0], value: NAN, softmax: &[NAN; 3], log_softmax: &[NAN; 3] },
    Row { name: "a NaN and +∞", z: &[INF, NAN], value: NAN, softmax: &[NAN; 2], log_softmax: &[NAN; 2] },
    Row { name: "a NaN and no mass", z: &[-INF, NAN, -INF], value: NAN, softmax: &[NAN; 3], log_softmax: &[NAN; 3] },
    Row { name: "far apart", z: &[3e38, -3e38], value: 3e38, softmax: &[1.0, 0.0], log_softmax: &[0.0, -6e38] },
    Row { name: "a certain score", z: &[1e9, 0.0], value: 1e9, softmax: &[1.0, 0.0], log_softmax: &[0.0, -1e9] },
];

/// A text that is equal for equal numbers, for all NaNs, and for both zeros.
fn bits<T: Float>(x: T) -> String {
    let text = format!("{x}");
    if text == "-0" { "0".into() } else { text }
}

fn check<T: Float + From<f32> + std::ops::Neg<Output = T>>(of: impl Fn(f64) -> T) {
    let all = |numbers: &[f64]| numbers.iter().map(|&x| bits(of(x))).collect::<Vec<_>>();
    for Row { name, z, value, softmax: p, log_softmax: log_p } in TABLE {
        let z: Vec<T> = z.iter().map(|&z| of(z)).collect();
        let mut out = vec![of(0.25); z.len()];
        let found = |numbers: &[T]| numbers.iter().map(|&x| bits(x)).collect::<Vec<_>>();

        assert_eq!(bits(logsumexp(&z)), bits(of(*value)), "{name}: value");
        let with_gradient = logsumexp_with_gradient(&z, &mut out).unwrap();
        assert_eq!(bits(with_gradient), bits(of(*value)), "{name}: value with gradient");
        assert_eq!(found(&out), all(p), "{name}: gradient");
        softmax(&z, &mut out).unwrap();
        assert_eq!(found(&out), all(p), "{name}: softmax");
        log_softmax(&z, &mut out).unwrap();
        assert_eq!(found(&out), all(log_p), "{name}: log-softmax");

        // The same row as a non-contiguous view, padded so that the special value lies in a later block.
        let padding = if z.is_empty() { 0 } else { 3000 };
        let longer: Vec<T> = std::iter::repeat_n(of(-INF), padding).chain(z).collect();
        let spaced: Array1<T> = longer.iter().rev().flat_map(|&z| [z, of(NAN)]).collect();
        let view: ArrayView1<T> = spaced.slice(ndarray::s![..;2]);
        let view = view.slice_move(ndarray::s![..;-1]);
        let (array_value, array_gradient) = view.logsumexp_with_gradient(()).unwrap();
        assert_eq!(bits(array_value[[]]), bits(of(*value)), "{name}: value of a view");
        assert_eq!(bits(view.logsumexp(0).unwrap()[[]]), bits(of(*value)), "{name}: value of a view");
        let tail = |found: Array1<T>| found.iter().skip(padding).map(|&x| bits(x)).collect::<Vec<_>>();
        assert_eq!(tail(array_gradient), all(p), "{name}: gradient of a view");
        assert_eq!(tail(view.softmax(0).unwrap()), all(p), "{name}: softmax of a view");
        assert_eq!(tail(view.log_softmax(-1).unwrap()), all(log_p), "{name}: log-softmax of a view");
    }
}

#[test]
fn every_operation_follows_the_table_in_f64() {
    check(|x| x);
}

#[test]
fn every_operation_follows_the_table_in_f32() {
    check(|x| x as f32);
}

/// With one thread, as without the feature `rayon`: work is split by other rules, even if there is none.
#[test]
fn one_thread_follows_the_table() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        check(|x| x);
        let none: &mut [f64] = &mut [];
        logsum::logsumexp_hvp(&[], &[], none).unwrap();
        logsum::softmax_entropy_with_gradient(&[], none).unwrap();
        logsum::logvarexp_with_gradient(&[], 0, none).unwrap();
        logsum::logcumsumexp(&[], none).unwrap();
        logsum::segment_logsumexp(&[], &[], none).unwrap();
        logsum::log_matmul(&[], &[], [0, 0, 0], none).unwrap();
        logsum::each::log1pexp(&[], none).unwrap();
        logsum::CrossEntropy::new(3)
            .losses_with_gradient(&[], logsum::Targets::Classes(&[]), none, &mut [])
            .unwrap();
        let empty = ndarray::Array3::<f64>::zeros((2, 0, 3));
        for axis in 0..3 {
            empty.logsumexp_with_gradient(axis).unwrap();
            empty.softmax_entropy_with_gradient(axis).unwrap();
        }
    });
}

#[test]
fn ties_share_equally_at_any_number_and_size() {
    for count in [1_usize, 2, 3, 10, 1000, 1024, 1025, 5000] {
        for z in [0.0, -1e-300, 1e8, -1e8, 1e300, f64::MAX, f64::MIN, 5e-324] {
            let mut p = vec![0.0; count];
            let value = logsumexp_with_gradient(&vec![z; count], &mut p).unwrap();
            assert!(p.iter().all(|&p| p == 1.0 / count as f64), "{count} times {z}: {}", p[0]);
            assert!(
                (value - (z + (count as f64).ln())).abs() <= 4.0 * f64::EPSILON * value.abs(),
                "{count} times {z}"
            );
            softmax(&vec![z as f32; count], &mut vec![0.0; count]).unwrap();
        }
    }
}
