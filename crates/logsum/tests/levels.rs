//! Every level of this machine gives the same bits: values, gradients and log-softmax, at every length near the
//! steps and blocks of the loops, at every memory offset, special cases included. It is a separate binary because
//! the level is a process-wide setting.

#[path = "common/each_level.rs"]
mod each_level;

use each_level::each_level;
use half::{bf16, f16};
use logsum::{
    Cumulative, Float, Level, LogSumExp, Terms, cross_entropy_with_gradient, log_softmax, logsumexp,
    logsumexp_with_gradient, softmax,
};
use ndarray::{Array1, Array2, Array3, ArrayViewMut2, Axis, Zip, s};
use rand::{RngExt, SeedableRng};
use rayon::iter::{ParallelBridge, ParallelIterator};

fn lengths() -> impl Iterator<Item = usize> {
    (0..70).chain([127, 128, 1007, 1008, 1009, 1023, 1024, 1025, 1040, 2047, 2049, 5000])
}

/// A row of this kind; some kinds contain infinities or a NaN.
fn row<T: Float>(of: impl Fn(f64) -> T, length: usize, kind: usize) -> Vec<T> {
    let mut state = (length * 31 + kind) as u64;
    (0..length)
        .map(|i| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let unit = (state >> 11) as f64 / (1_u64 << 53) as f64;
            of(match kind {
                0 => 20.0 * unit - 10.0,
                1 => 3000.0 * unit - 1500.0,
                2 => 1e-9 * unit,
                3 => (2.0 * unit - 1.0) * 3e38,
                4 => (unit * 4.0).floor(),
                5 => -103.0 * unit,
                6 => -745.0 * unit,
                _ if i % 40 == 17 => [f64::NEG_INFINITY, f64::INFINITY, f64::NAN][kind - 7],
                _ => unit,
            })
        })
        .collect()
}

/// All results for a row as text, in which all NaNs are equal.
fn results<T: Float>(z: &[T]) -> String {
    let (mut gradient, mut log_p) = (vec![T::default(); z.len()], vec![T::default(); z.len()]);
    let value = logsumexp_with_gradient(z, &mut gradient).unwrap();
    log_softmax(z, &mut log_p).unwrap();
    format!("{:?} {value:?} {gradient:?} {log_p:?}", logsumexp(z))
}

fn all_results<T: Float>(of: impl Fn(f64) -> T + Copy) -> Vec<String> {
    let rows = lengths().flat_map(|length| (0..10).map(move |kind| (length, kind)));
    rows.map(|(length, kind)| {
        let z = row(of, length + 3, kind);
        let offset = (length + kind) % 4;
        results(&z[offset..][..length])
    })
    .collect()
}

#[test]
fn all_levels_give_the_same_bits() {
    let mut first: Option<(Level, [Vec<String>; 4])> = None;
    for level in each_level() {
        let found = [
            all_results(|x| x),
            all_results(|x| x as f32),
            all_results(f16::from_f64),
            all_results(bf16::from_f64),
        ];
        println!("{}: {} rows", level.name(), 4 * found[0].len());
        match &first {
            None => first = Some((level, found)),
            Some((other, expected)) => {
                for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
                    assert!(
                        found == expected,
                        "{level:?} gives {found:.300}\n{other:?} gives {expected:.300}"
                    );
                }
            }
        }
    }
}

/// A matrix with rows of all kinds.
fn table<T: Float>(of: impl Fn(f64) -> T + Copy, rows: usize, columns: usize) -> Array2<T> {
    let mut table = Array2::default((rows, columns));
    for (i, mut place) in table.rows_mut().into_iter().enumerate() {
        // Mostly runs of one kind, so that a group of rows takes one path.
        let kind = if i % 11 == 5 { i % 10 } else { i / 40 % 7 };
        place.assign(&Array1::from(row(of, columns + i % 5, kind)).slice(s![i % 5..]));
    }
    table
}

/// The bits of a number, those of one NaN for all.
fn bits<T: Float>(x: T) -> u64 {
    let x = x.widen();
    if x.is_nan() { f64::NAN.to_bits() } else { x.to_bits() }
}

/// Checks that all results for the rows of `table` equal those of each row alone; all NaNs are equal.
fn check_rows<T: Float>(table: &Array2<T>, found: &[Array2<T>; 3], what: &str) {
    let same = |a: T, b: T| bits(a) == bits(b);
    let [values, gradient, log_p] = found;
    Zip::indexed(table.rows()).and(gradient.rows()).and(log_p.rows()).for_each(|i, z, gradient, log_p| {
        let z = z.to_vec();
        let (mut expected, mut expected_log) = (z.clone(), z.clone());
        let value = logsumexp_with_gradient(&z, &mut expected).unwrap();
        log_softmax(&z, &mut expected_log).unwrap();
        assert!(same(values[[i, 0]], value), "{what}, row {i}: {} and alone {value}", values[[i, 0]]);
        assert!(gradient.iter().zip(expected).all(|(&a, b)| same(a, b)), "{what}, gradient of row {i}");
        assert!(log_p.iter().zip(expected_log).all(|(&a, b)| same(a, b)), "{what}, log-softmax of row {i}");
    });
}

/// Checks reductions of rows, of columns, and of the columns of several matrices.
fn check_every_way<T: Float>(z: &Array2<T>, level: Level) {
    let (rows, columns) = z.dim();
    let what = format!("{level:?}, {rows} rows of {columns}");
    let as_column = |values: ndarray::ArrayD<T>| values.into_shape_with_order((rows, 1)).unwrap();
    let (values, gradient) = z.logsumexp_with_gradient(1).unwrap();
    check_rows(z, &[as_column(values), gradient, z.log_softmax(1).unwrap()], &what);
    check_rows(
        z,
        &[as_column(z.logsumexp(1).unwrap()), z.softmax(1).unwrap(), z.log_softmax(1).unwrap()],
        &what,
    );

    let columnwise = z.t().as_standard_layout().to_owned();
    let (values, gradient) = columnwise.logsumexp_with_gradient(0).unwrap();
    let log_p = columnwise.log_softmax(0).unwrap();
    let turned = |array: Array2<T>| array.t().as_standard_layout().to_owned();
    check_rows(z, &[as_column(values), turned(gradient), turned(log_p)], &format!("{what}, as columns"));

    let mut several = Array3::default((3, columns, rows));
    several.axis_iter_mut(Axis(0)).for_each(|mut table| table.assign(&columnwise));
    let values = several.logsumexp(1).unwrap();
    let softmax = several.softmax(1).unwrap();
    for i in 0..3 {
        let values = as_column(values.index_axis(Axis(0), i).to_owned());
        let softmax = turned(softmax.index_axis(Axis(0), i).to_owned());
        let log_p = turned(columnwise.log_softmax(0).unwrap());
        check_rows(z, &[values, softmax, log_p], &format!("{what}, table {i}"));
    }
}

#[test]
fn many_lanes_at_once_have_the_bits_that_each_has_alone() {
    for level in each_level() {
        let short = (1..=67).flat_map(|length| [1, 2, 7, 8, 9, 16, 83].map(|rows| (rows, length)));
        let long = [
            (3, 1000),
            (9, 1023),
            (17, 1024),
            (20, 1025),
            (5, 3000),
            (140, 70),
            (300, 90),
            (2, 66_000),
            (9, 300_000),
        ];
        // The longest first, so that no thread is left with one of them at the end.
        long.into_iter().rev().chain(short).par_bridge().for_each(|(rows, length)| {
            check_every_way(&table(|x| x, rows, length), level);
            check_every_way(&table(|x| x as f32, rows, length), level);
            if rows * length < 30_000 {
                check_every_way(&table(f16::from_f64, rows, length), level);
            }
        });
    }
}

#[test]
fn lanes_at_every_edge_do_not_disturb_their_neighbours() {
    const EDGES: [f64; 12] = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NEG_INFINITY,
        0.0,
        -0.0,
        1.0,
        100.0,
        -800.0,
        3e38,
        -3e38,
        1e-40,
    ];
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(5);
    for level in each_level() {
        for length in [1, 2, 3, 4, 7, 8, 9, 20, 63, 64, 65, 130] {
            for _ in 0..10 {
                // Sparse special values: some lanes lack the dominant ones.
                let least = random.random_range(0..6);
                let z = Array2::from_shape_fn((83, length), |_| EDGES[random.random_range(least..12)]);
                check_every_way(&z, level);
                check_every_way(&z.mapv(|z| z as f32), level);
            }
        }
    }
}

fn each<T>(lanes: &[Vec<f64>], of: impl Fn(f64) -> T) -> Vec<Vec<T>> {
    lanes.iter().map(|lane| lane.iter().map(|&z| of(z)).collect()).collect()
}

/// Checks that the values of columns and of rows equal those of each lane alone.
fn check_lanes<T: Float>(lanes: &[Vec<T>], what: &str) {
    let (rows, columns) = (lanes[0].len(), lanes.len());
    let several = Array3::from_shape_fn((2, rows, columns), |(_, i, j)| lanes[j][i]);
    let values = several.logsumexp(1).unwrap();
    let of_rows = Array2::from_shape_fn((columns, rows), |(j, i)| lanes[j][i]).logsumexp(1).unwrap();
    for (j, lane) in lanes.iter().enumerate() {
        let alone = bits(logsumexp(lane));
        assert_eq!(bits(of_rows[[j]]), alone, "{what}: row {j} of {columns} of length {rows}");
        for table in 0..2 {
            assert_eq!(bits(values[[table, j]]), alone, "{what}: {rows} rows, column {j} of {columns}");
        }
    }
}

/// Columns whose shift is 0 are summed in place, and short rows of such numbers without a shift; one number that
/// needs a shift makes its neighbours take another path, and so do rows that nearly cancel.
#[test]
fn tame_lanes_have_the_values_of_each_alone() {
    let lanes = |rows: usize, columns: usize, wild: usize| -> Vec<Vec<f64>> {
        let kind = |j: usize| if j == wild { [1, 5, 8][rows % 3] } else { [0, 2, 4, 7, 9][j % 5] };
        (0..columns).map(|j| row(|x| x, rows, kind(j))).collect()
    };
    let singles = |lanes: &[Vec<f64>]| each(lanes, |z| z as f32);
    for level in each_level() {
        let what = format!("{level:?}");
        let lengths = [63, 64, 65, 71, 72, 1023, 1024, 1087, 1088, 1089, 3000];
        lengths.into_iter().par_bridge().for_each(|rows| {
            for columns in [1, 7, 8, 9, 15, 16, 17, 24, 127, 128, 129, 145, 300] {
                for wild in [usize::MAX, 0, 20, columns - 1] {
                    check_lanes(&singles(&lanes(rows, columns, wild)), &what);
                }
            }
        });
        let short = (1..64).step_by(3).chain([8, 15, 16, 17, 24, 32, 63]);
        short.par_bridge().for_each(|length| {
            for rows in [1, 7, 8, 9, 63, 64, 65, 130] {
                check_lanes(&singles(&lanes(length, rows, usize::MAX)), &what);
                check_lanes(&singles(&lanes(length, rows, 3 * rows / 4)), &what);
                check_lanes(&each(&lanes(length, rows, usize::MAX), bf16::from_f64), &what);
            }
            // All rows, or some of them, are log-probabilities.
            for some in [1, 3, 20] {
                let normalised = lanes(length, 130, usize::MAX).into_iter().enumerate().map(|(j, lane)| {
                    let c = if j % some == 0 { logsumexp(&lane) } else { 0.0 };
                    lane.into_iter().map(|z| z - c).collect()
                });
                check_lanes(&singles(&normalised.collect::<Vec<_>>()), &what);
            }
            check_lanes(&singles(&vec![vec![f64::NEG_INFINITY; length]; 70]), &what);
        });
        // A number that needs a shift after the first row or in the second block, numbers at the limit, and a row
        // without mass.
        for (place, z) in
            [(1, 64.0), (1, -70.0), (1, 64.00001), (1500, 1e3), (1500, f64::INFINITY), (1029, 64.0)]
        {
            let mut lanes = lanes(3000, 40, usize::MAX);
            (lanes[3][place], lanes[17]) = (z, vec![f64::NEG_INFINITY; 3000]);
            lanes[21] = vec![-64.0; 3000];
            lanes[22] = vec![-64.00001; 3000];
            check_lanes(&singles(&lanes), &what);
            check_lanes(&lanes, &what);
        }
        let some = lanes(1100, 145, 20);
        check_lanes(&each(&some, f16::from_f64), &what);
        check_lanes(&each(&some, bf16::from_f64), &what);
        check_lanes(&singles(&lanes(70_000, 9, usize::MAX)), &what);
    }
}

#[test]
fn large_outputs_have_the_bits_of_small_ones() {
    // More than 16 MiB: aligned outputs are written past the caches.
    let z = table(|x| x as f32, 4100, 1100).mapv(|z| if z.is_finite() { z } else { -1e3 });
    let expected: Vec<f32> = z.rows().into_iter().flat_map(|row| row.softmax(()).unwrap()).collect();
    for offset in [0, 1, 3, 4] {
        let mut place = vec![-1.0; z.len() + 8];
        let out = ArrayViewMut2::from_shape(z.dim(), &mut place[offset..][..z.len()]).unwrap();
        z.softmax_into(1, out).unwrap();
        assert_eq!(place[offset..][..z.len()], expected, "softmax, offset {offset}");
        assert!(place[..offset].iter().chain(&place[offset + z.len()..]).all(|&x| x == -1.0));
    }
    // All of it as one long row, in halves and pieces.
    let row: Vec<f64> = z.iter().map(|&z| z.into()).collect();
    let mut expected = vec![0.0; row.len()];
    let (c, mut out) = (logsumexp(&row), vec![0.0; row.len() + 1]);
    softmax(&row, &mut expected).unwrap();
    softmax(&row, &mut out[1..]).unwrap();
    assert!(out[1..] == expected);
    for (p, z) in expected.iter().zip(&row).step_by(997) {
        assert!((p - (z - c).exp()).abs() <= 1e-12 * p, "{z}: {p}");
    }
}

/// A hash of the bits of numbers, in their order.
fn hash<'a, T: Float>(numbers: impl IntoIterator<Item = &'a T>) -> u64 {
    numbers.into_iter().fold(0, |hash: u64, &x| (hash ^ bits(x)).wrapping_mul(0x100_0000_01b3).rotate_left(7))
}

/// All results of some operations that work in parts: many rows, long rows, columns, scans, products and losses.
fn results_in_parts<T: Float>(of: impl Fn(f64) -> T + Copy) -> String {
    let mut results = String::new();
    for (rows, length) in [(40_000, 16), (700, 800), (3, 400_000), (1, 300_001)] {
        let z = table(of, rows, length);
        for z in [z.view(), z.t()] {
            for axis in [0, 1] {
                let (value, gradient) = z.logsumexp_with_gradient(axis).unwrap();
                let all = [value.into_dyn(), gradient.into_dyn(), z.log_softmax(axis).unwrap().into_dyn()];
                results += &format!("{rows} × {length}, {axis}: {:x}\n", hash(all.iter().flatten()));
            }
        }
    }
    let (z, mut out) = (table(of, 1, 300_001), vec![T::default(); 300_001]);
    let z = z.as_slice().unwrap();
    let weights: Vec<T> = (0..z.len()).map(|k| of((k % 7) as f64 - 2.0)).collect();
    let weighted = Terms::new(z).weights(&weights).unwrap().logsumexp_with_gradient(&mut out).unwrap();
    results += &format!("weighted {:x} {:x}\n", bits(weighted), hash(&out));
    Cumulative::forward().logsumexp(z, &mut out).unwrap();
    results += &format!("cumulative {:x}\n", hash(&out));
    let labels: Vec<usize> = (0..3000).map(|i| i % 100).collect();
    let loss = cross_entropy_with_gradient(&z[..300_000], &labels, &mut out[..300_000]).unwrap();
    results += &format!("loss {:x} {:x}\n", bits(loss), hash(&out));
    results
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let all = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let wide = results_in_parts(|x| x) + &results_in_parts(|x| x as f32);
            wide + &results_in_parts(f16::from_f64) + &results_in_parts(bf16::from_f64)
        })
    };
    let one = all(1);
    assert_eq!(one, all(4));
    assert_eq!(one, all(3));
}
