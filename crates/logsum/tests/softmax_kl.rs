//! Divergences of softmaxes and their derivatives in arbitrary precision, at each level; special cases.

mod common;
#[path = "common/each_level.rs"]
mod each_level;

use common::{Big, Format, big, ulps};
use each_level::each_level;
use half::{bf16, f16};
use logsum::{
    Error, LogSumExp, softmax_kl, softmax_kl_rows, softmax_kl_rows_with_gradient, softmax_kl_with_gradient,
};
use ndarray::{Array2, Axis, s};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;
/// What numbers up to some tens need, and up to some hundreds.
const BITS: [usize; 2] = [400, 1500];

/// The shares of a row and their logarithms, by the definition; `None` at −∞.
fn shares<T: Format>(row: &[T], bits: usize) -> Vec<Option<(Big, Big)>> {
    let wide: Vec<f64> = row.iter().map(|&z| z.into()).collect();
    let max = wide.iter().copied().fold(-INF, f64::max);
    let differences: Vec<Option<Big>> =
        wide.iter().map(|&z| (z > -INF).then(|| big(z, 2300) - big(max, 2300))).collect();
    let precise = |x: &Big| x.clone().with_precision(bits).value();
    // Terms below e^-2100, about 2^-3030, are negligible beside the results that are compared.
    let power = |d: &Big| if *d < big(-2100.0, 60) { big(0.0, bits) } else { precise(d).exp() };
    let powers: Vec<Option<Big>> = differences.iter().map(|d| d.as_ref().map(power)).collect();
    let sum = powers.iter().flatten().fold(big(0.0, bits), |sum, power| sum + power);
    let log = precise(&sum).ln();
    let share = |(power, d): (&Option<Big>, &Option<Big>)| {
        Some((power.as_ref()? / &sum, precise(d.as_ref()?) - &log))
    };
    powers.iter().zip(&differences).map(share).collect()
}

/// The divergence, its derivatives by x and by y, and what their errors are relative to: the greater share, times the
/// greatest finite logarithm of p/q.
fn exact<T: Format>(x: &[T], y: &[T], bits: usize) -> (Big, Vec<Big>, Vec<Big>, Vec<f64>) {
    let (p, q) = (shares(x, bits), shares(y, bits));
    let zero = || big(0.0, bits);
    let ratio = |i: usize| Some(&p[i].as_ref()?.1 - &q[i].as_ref()?.1);
    let ratios: Vec<Option<Big>> = (0..x.len()).map(ratio).collect();
    let of = |share: &Option<(Big, Big)>| share.as_ref().map_or(zero(), |(share, _)| share.clone());
    let float = |x: &Big| x.to_f64().value();
    let value = (0..x.len())
        .filter_map(|i| Some(of(&p[i]) * ratios[i].as_ref()?))
        .fold(zero(), |sum, term| sum + term);
    let greatest = ratios.iter().flatten().map(|d| float(d).abs()).fold(0.0, f64::max);
    let by_x = |i: usize| ratios[i].as_ref().map_or(zero(), |d| of(&p[i]) * (d - &value));
    let by_y = |i: usize| of(&q[i]) - of(&p[i]);
    let relative_to = |i: usize| float(&of(&p[i])).max(float(&of(&q[i]))) * greatest;
    let all = 0..x.len();
    (
        value.clone(),
        all.clone().map(by_x).collect(),
        all.clone().map(by_y).collect(),
        all.map(relative_to).collect(),
    )
}

/// Pairs of rows: alike and not, with numbers that are far from 0, far apart, or masked in both, or one whose shares in
/// both are nearly equal, though those of others are not.
fn pair<T: Format>(round: usize, random: &mut ChaCha8Rng) -> [Vec<T>; 2] {
    let spread = [3.0, 0.1, 30.0, 300.0][round / 9 % 4];
    let length = [2, 3, 5, 8, 9, 17, 64, 130, 700][round % if spread == 300.0 { 6 } else { 9 }];
    let shift = [0.0, -5.0, 1000.0][round % 3];
    let distance = [1.0, 1e-2, 1e-5, 1e-9, 40.0, 1e-14, 700.0, 0.3][round % 8];
    let mut noise = |size: f64| size * random.random_range(-1.0..1.0);
    let mut x: Vec<f64> = (0..length).map(|_| shift + noise(spread)).collect();
    let mut y: Vec<f64> = x.iter().map(|x| x + noise(distance) + [0.0, 7.0][round / 3 % 2]).collect();
    if round.is_multiple_of(5) {
        // Nearly all mass of each row at a single place.
        x[0] += 50.0;
        y[[0, length - 1][round / 5 % 2]] += 50.0;
    }
    if round.is_multiple_of(7) {
        (x[1], y[1]) = (-INF, [-INF, y[1]][round / 7 % 2]);
    }
    if round % 4 == 1 {
        for _ in 0..9 {
            x[0] = y[0] + (logsum::logsumexp(&x) - logsum::logsumexp(&y));
        }
    }
    [x, y].map(|row| row.into_iter().map(T::of).collect())
}

fn check<T: Format>(rounds: usize) {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let [mut worst, mut worst_slope]: [f64; 2] = [0.0; 2];
    let unit = 2f64.powi(if T::PRECISION == 53 { -55 } else { -30 });
    let least = 2f64.powi(T::LEAST_EXPONENT as i32);
    for round in 0..rounds {
        let [x, y] = pair::<T>(round, &mut random);
        let bits = BITS[usize::from(round / 9 % 4 == 3 || round % 8 == 6)];
        let (value, by_x, by_y, relative_to) = exact(&x, &y, bits);
        let mut first = None;
        for level in each_level() {
            let [mut found_x, mut found_y] = [x.clone(), y.clone()];
            let found = softmax_kl_with_gradient(&x, &y, &mut found_x, &mut found_y).unwrap();
            let off = ulps(found, &value);
            assert!(off <= 1.0, "{level:?} {round}: {found}, off by {off} ulp: {x:?}, {y:?}");
            worst = worst.max(off);
            for (by, found, slopes) in [("x", &found_x, &by_x), ("y", &found_y, &by_y)] {
                for ((&found, slope), relative_to) in found.iter().zip(slopes).zip(&relative_to) {
                    let error: f64 = (big(found.into(), bits) - slope).to_f64().value().abs();
                    let ulp = (2f64.powi(1 - T::PRECISION as i32) * slope.to_f64().value().abs()).max(least);
                    assert!(
                        error <= ulp + unit * relative_to,
                        "{level:?} {round}: by {by}: {found}, off by {error}: {x:?}, {y:?}"
                    );
                    let off = (error - 0.5 * (1.0 + 2f64.powi(-20)) * ulp) / (unit * relative_to).max(least);
                    worst_slope = worst_slope.max(off);
                }
            }
            let bits_of = |row: &[T]| row.iter().map(|x| x.bits()).collect::<Vec<_>>();
            let all = (found.bits(), bits_of(&found_x), bits_of(&found_y));
            assert_eq!(softmax_kl(&x, &y).unwrap().bits(), all.0);
            assert_eq!(*first.get_or_insert(all.clone()), all, "{level:?}");
        }
    }
    println!(
        "{}: worst {worst:.4} ulp; derivatives {worst_slope:.5} of their bound",
        std::any::type_name::<T>()
    );
}

#[test]
fn values_and_derivatives_keep_their_bounds() {
    check::<f64>(720);
    check::<f32>(720);
    check::<bf16>(288);
    check::<f16>(288);
}

#[test]
fn edges() {
    use std::f64::consts::{E, LN_2};
    let far = 5e307;
    /// x, y, the divergence, and its derivatives by x and y.
    type Edge = (&'static [f64], &'static [f64], f64, &'static [f64], &'static [f64]);
    let edges: &[Edge] = &[
        (&[], &[], 0.0, &[], &[]),
        (&[1.0], &[-7.0], 0.0, &[0.0], &[0.0]),
        (&[0.0, 3.0], &[1e3, 1e3 + 3.0], 0.0, &[0.0; 2], &[0.0; 2]),
        (&[0.0, -INF], &[0.0, -INF], 0.0, &[0.0; 2], &[0.0; 2]),
        (&[0.0, -INF], &[0.0, 0.0], LN_2, &[0.0; 2], &[-0.5, 0.5]),
        (&[0.0, 0.0], &[0.0, -INF], INF, &[0.0; 2], &[0.0; 2]),
        (&[0.0, -1e5], &[0.0, -INF], INF, &[0.0; 2], &[0.0; 2]),
        (&[-INF, -INF], &[0.0, -INF], 0.0, &[0.0; 2], &[0.0; 2]),
        (&[-INF, -INF], &[-INF, -INF], 0.0, &[0.0; 2], &[0.0; 2]),
        (&[1.0, 2.0], &[-INF, -INF], INF, &[0.0; 2], &[0.0; 2]),
        (&[INF, 1.0], &[0.0, 0.0], LN_2, &[0.0; 2], &[-0.5, 0.5]),
        (&[INF, 1.0, INF], &[INF, INF, INF], 1.5f64.ln(), &[0.0; 3], &[-1.0 / 6.0, 1.0 / 3.0, -1.0 / 6.0]),
        (&[1.0, 2.0], &[INF, 2.0], INF, &[0.0; 2], &[0.0; 2]),
        (&[NAN, 0.0], &[0.0, 0.0], NAN, &[NAN; 2], &[NAN; 2]),
        (&[0.0, 0.0], &[-INF, NAN], NAN, &[NAN; 2], &[NAN; 2]),
        (&[-INF, -INF], &[NAN, 0.0], NAN, &[NAN; 2], &[NAN; 2]),
        // Differences beyond the largest float, or nearly.
        (&[0.0, -1.2e308], &[-1.2e308, 0.0], 1.2e308, &[0.0; 2], &[-1.0, 1.0]),
        (
            &[-1e308, 0.0, 1.0],
            &[0.0, -9e307, -9e307],
            9e307,
            &[0.0; 3],
            &[1.0, -1.0 / (1.0 + E), -E / (1.0 + E)],
        ),
        (&[1.7e308, -1.7e308], &[-1.7e308, 1.7e308], f64::MAX, &[0.0; 2], &[-1.0, 1.0]),
        (&[1e300, -INF], &[2.0, 1e300], 1e300, &[0.0; 2], &[-1.0, 1.0]),
        (&[0.0, f64::MIN, -1e308], &[f64::MIN, 0.0, -1e308], f64::MAX, &[0.0; 3], &[-1.0, 1.0, 0.0]),
        (&[f64::MAX, f64::MAX], &[f64::MIN, f64::MIN], 0.0, &[0.0; 2], &[0.0; 2]),
        (&[f64::MAX, 0.0], &[0.0, f64::MIN], 0.0, &[0.0; 2], &[0.0; 2]),
    ];
    for &(x, y, value, by_x, by_y) in edges {
        let mut slopes = [vec![9.0; x.len()], vec![9.0; x.len()]];
        let [found_x, found_y] = &mut slopes;
        let found = softmax_kl_with_gradient(x, y, found_x, found_y).unwrap();
        let same = |a: f64, b: f64, unit: f64| a == b || a.is_nan() && b.is_nan() || (a - b).abs() < unit;
        assert!(same(found, value, 1e-15), "{x:?} {y:?}: {found}, not {value}");
        // Errors of the derivatives by x are relative to the greatest logarithm.
        let unit = if value.is_finite() { 1e-15 * value.max(1.0) } else { 1e-15 };
        for (found, expected, unit) in [(&slopes[0], by_x, unit), (&slopes[1], by_y, 1e-15)] {
            assert!(
                found.iter().zip(expected).all(|(&a, &b)| same(a, b, unit)),
                "{x:?} {y:?}: {found:?}, not {expected:?}"
            );
        }
    }
    // A share of the largest distance.
    let p = 1.0 / (1.0 + 1f64.exp());
    let found = softmax_kl(&[0.0, -1.0], &[0.0, -far]).unwrap();
    assert!(
        (found / far - p).abs() < 1e-15
            && softmax_kl(&[0.0, 0.0], &[f64::MAX, f64::MIN]).unwrap() == f64::MAX / 2.0
    );
    // Where p underflows to 0, its term is q, which still counts.
    assert_eq!(softmax_kl(&[0.0, -1e300], &[0.0, 0.0]).unwrap(), LN_2);
}

#[test]
fn rows_have_the_bits_of_each_alone() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    for length in [1, 7, 8, 33, 1000] {
        let mut numbers = || (0..length * 90).map(|_| random.random_range(-9.0..9.0)).collect::<Vec<f32>>();
        let (x, y) = (numbers(), numbers());
        let [mut values, mut again, mut one] = [(); 3].map(|()| vec![0.0; 90]);
        let [mut by_x, mut by_y] = [x.clone(), x.clone()];
        softmax_kl_rows(&x, &y, length, &mut values).unwrap();
        softmax_kl_rows_with_gradient(&x, &y, length, &mut again, Some(&mut by_x), Some(&mut by_y)).unwrap();
        assert_eq!(values, again);
        let mut alone = x.clone();
        softmax_kl_rows_with_gradient(&x, &y, length, &mut one, None, Some(&mut alone)).unwrap();
        assert_eq!((&one, &alone), (&values, &by_y));
        for (i, &value) in values.iter().enumerate() {
            let row = |numbers: &[f32]| numbers[i * length..][..length].to_vec();
            let [mut slopes_x, mut slopes_y] = [row(&x), row(&x)];
            assert_eq!(
                softmax_kl_with_gradient(&row(&x), &row(&y), &mut slopes_x, &mut slopes_y).unwrap(),
                value
            );
            assert_eq!((slopes_x, slopes_y), (row(&by_x), row(&by_y)));
        }
    }
}

#[test]
fn complaints() {
    let [mut two, mut values] = [[9.0; 2]; 2];
    let is_short = |found: Result<f64, Error>, name: &str| {
        let error = found.unwrap_err();
        assert!(matches!(error, Error::LengthMismatch { argument, .. } if argument == name), "{error}");
    };
    let (x, ones) = ([1.0, 2.0], [1.0; 4]);
    is_short(softmax_kl(&x, &[1.0]), "y");
    is_short(softmax_kl_with_gradient(&x, &x, &mut [1.0], &mut two), "by_x");
    is_short(softmax_kl_with_gradient(&x, &x, &mut two, &mut [1.0]), "by_y");
    is_short(softmax_kl_rows(&ones, &ones, 4, &mut two).map(|()| 0.0), "out");
    is_short(softmax_kl_rows(&ones, &ones[1..], 2, &mut two).map(|()| 0.0), "y");
    let short = softmax_kl_rows_with_gradient(&ones, &ones, 2, &mut values, None, Some(&mut two));
    is_short(short.map(|()| 0.0), "by_y");
    assert!(matches!(softmax_kl_rows(&x, &x, 0, &mut two), Err(Error::RowLengthZero)));
    assert_eq!((two, values), ([9.0; 2], [9.0; 2]));
    softmax_kl_rows::<f64>(&[], &[], 3, &mut []).unwrap();
}

#[test]
fn arrays_have_the_bits_of_rows() {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut numbers =
        |shape: [usize; 2]| Array2::from_shape_simple_fn(shape, || random.random_range(-9.0..9.0));
    let (x, one) = (numbers([33, 7]), numbers([33, 1]));
    let columns = x.t().as_standard_layout().into_owned().reversed_axes();
    for x in [x.view(), columns.view(), x.slice(s![..;-1, ..])] {
        for (axis, y) in [(0, &one), (1, &numbers([33, 7]))] {
            let (values, by_x, by_y) = x.softmax_kl_with_gradient(axis as isize, y).unwrap();
            assert_eq!(x.softmax_kl(axis as isize, y).unwrap(), values);
            let y = y.broadcast(x.dim()).unwrap();
            let rows = x.lanes(Axis(axis)).into_iter().zip(y.lanes(Axis(axis)));
            let slopes = by_x.lanes(Axis(axis)).into_iter().zip(by_y.lanes(Axis(axis)));
            for (((x, y), (by_x, by_y)), &value) in rows.zip(slopes).zip(&values) {
                let [mut found_x, mut found_y] = [x.to_vec(), y.to_vec()];
                let found = softmax_kl_with_gradient(&x.to_vec(), &y.to_vec(), &mut found_x, &mut found_y);
                assert_eq!(found.unwrap(), value);
                assert_eq!((found_x, found_y), (by_x.to_vec(), by_y.to_vec()));
            }
        }
    }
    assert!(matches!(
        x.softmax_kl(1, &numbers([32, 7])),
        Err(Error::ShapeMismatch { argument: "other", .. })
    ));
}
