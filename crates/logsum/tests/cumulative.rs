//! Cumulative log-sum-exp against the log-sum-exp of each prefix or suffix; its derivatives against their
//! definition; drift.

mod common;
#[path = "common/each_level.rs"]
mod each_level;

use common::{Big, Format, big, ulps};
use each_level::each_level;
use half::{bf16, f16};
use logsum::{Cumulative, Error, LogSumExp, logcumsumexp, logsumexp};
use ndarray::{Array2, Array3, Axis};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn directions() -> [Cumulative; 4] {
    let (forward, reverse) = (Cumulative::forward(), Cumulative::reverse());
    [forward, reverse, forward.exclusive(), reverse.exclusive()]
}

/// The log-sum-exp of the numbers in the range of value i.
fn expected<T: Format>(which: usize, z: &[T], i: usize) -> T {
    logsumexp(match which {
        0 => &z[..=i],
        1 => &z[i..],
        2 => &z[..i],
        _ => &z[i + 1..],
    })
}

fn rows<T: Format>() -> Vec<Vec<T>> {
    let mut random = ChaCha8Rng::seed_from_u64(41);
    let mut rows: Vec<Vec<f64>> = vec![
        vec![],
        vec![f64::NEG_INFINITY; 300],
        vec![0.0; 1500],
        (0..400).map(|i| if i == 200 { f64::INFINITY } else { f64::from(i) }).collect(),
        (0..400).map(|i| if i == 300 { f64::NAN } else { -f64::from(i) }).collect(),
        (0..300)
            .map(|i| [f64::INFINITY, f64::NAN, 0.0][usize::from(i > 130) + usize::from(i > 260)])
            .collect(),
        vec![0.0, -1000.0, -2000.0, 1e5, -1e30, 1e30],
        // Values among the least floats of f32 and f64, of either sign.
        vec![-1e-45, -103.6, -110.0, f64::NEG_INFINITY],
        vec![-0.0, f64::NEG_INFINITY, -0.0],
        vec![-5e-324, -744.5, -750.0],
        vec![-1e-310, -713.0, -740.0, -744.0],
    ];
    for case in 0..120 {
        let length = [1, 2, 7, 127, 128, 129, 1023, 1024, 1025, 1300][case % 10];
        let mut uniform = || random.random_range(-1.0..1.0_f64);
        rows.push(match case % 8 {
            0 => (0..length).map(|_| uniform()).collect(),
            1 => (0..length).map(|_| 300.0 * uniform()).collect(),
            2 => (0..length).map(|i| i as f64 * 0.7 + uniform()).collect(),
            3 => (0..length).map(|i| -(i as f64) * 0.7 + uniform()).collect(),
            // Jumps that make all previous terms negligible.
            4 => (0..length).map(|i| (i / 50) as f64 * 700.0 + uniform()).collect(),
            // The first number dominates all others.
            5 => (0..length).map(|i| if i == 0 { 0.0 } else { -50.0 + uniform() }).collect(),
            6 if case % 16 < 7 => {
                (0..length).map(|i| if i % 3 == 0 { f64::NEG_INFINITY } else { 30.0 * uniform() }).collect()
            }
            // Normalised: the last values nearly cancel.
            6 if case % 16 > 7 => {
                let whole = logsumexp(&vec![0.0; length]);
                (0..length).map(|i| -whole + 1e-12 * (i % 5) as f64).collect()
            }
            // Each prefix nearly cancels: 1/2, 1/4, …, and shares of 1 that end in many −∞ or tiny ones.
            7 if case % 16 > 7 => (1..=length).map(|i| -(i as f64) * std::f64::consts::LN_2).collect(),
            _ => {
                let z: Vec<f64> = (0..length).map(|_| 5.0 * uniform()).collect();
                let whole = logsumexp(&z);
                z.iter().map(|z| z - whole).collect()
            }
        });
    }
    rows.into_iter().map(|row| row.into_iter().map(T::of).collect()).collect()
}

fn check<T: Format>() {
    let mut values = 0;
    for z in rows::<T>() {
        for (which, cumulative) in directions().into_iter().enumerate() {
            let mut out = z.clone();
            cumulative.logsumexp(&z, &mut out).unwrap();
            let some = (0..z.len()).filter(|i| i % 7 == 0 || *i < 140 || *i > 1010 || z.len() - i < 140);
            for i in some {
                let right = expected(which, &z, i);
                let is_same = right.bits() == out[i].bits()
                    || Into::<f64>::into(right).is_nan() && Into::<f64>::into(out[i]).is_nan();
                values += 1;
                assert!(is_same, "{} numbers, direction {which}, {i}: {}, not {right}", z.len(), out[i]);
            }
        }
    }
    println!("{values} values, all those of the prefixes");
}

#[test]
fn values_are_those_of_the_prefixes() {
    check::<f64>();
    check::<f32>();
    check::<f16>();
    check::<bf16>();
}

#[test]
fn layouts_and_levels_have_the_same_bits() {
    let mut random = ChaCha8Rng::seed_from_u64(42);
    let z = Array2::from_shape_simple_fn((19, 1100), || 20.0 * random.random_range(-1.0..1.0_f64));
    for cumulative in directions() {
        let mut alone = z.clone();
        for (z, mut out) in z.rows().into_iter().zip(alone.rows_mut()) {
            cumulative.logsumexp(&z.to_vec(), out.as_slice_mut().unwrap()).unwrap();
        }
        for _ in each_level() {
            assert_eq!(z.logcumsumexp(-1, cumulative).unwrap(), alone);
            assert_eq!(z.t().logcumsumexp(0, cumulative).unwrap(), alone.t());
        }
    }
    let cube = Array3::from_shape_fn((4, 5, 6), |(i, j, k)| ((i * 31 + j * 17 + k * 7) % 23) as f32);
    for axis in 0..3 {
        let found = cube.logcumsumexp(axis as isize, Cumulative::reverse()).unwrap();
        for (z, out) in cube.lanes(Axis(axis)).into_iter().zip(found.lanes(Axis(axis))) {
            let mut expected = z.to_vec();
            Cumulative::reverse().logsumexp(&z.to_vec(), &mut expected).unwrap();
            assert_eq!(out.to_vec(), expected);
        }
    }
    let wrong = cube.logcumsumexp(3, Cumulative::forward());
    assert!(matches!(wrong, Err(Error::AxisOutOfRange { axis: 3, rank: 3, .. })));
    assert_eq!(Array2::<f32>::zeros((3, 0)).logcumsumexp(1, Cumulative::forward()).unwrap().shape(), [3, 0]);
}

/// After a value near 0, which is settled with many bits, nothing is added any more: 99 000 times the same value,
/// in no time.
#[test]
fn nothing_added_is_not_settled_again() {
    for rows in [1, 3] {
        let mut z: Vec<f64> = vec![-(1000_f64).ln(); 1000];
        z.resize(100_000, f64::NEG_INFINITY);
        let last = logsumexp(&z[..1000]);
        let all = Array2::from_shape_fn((rows, z.len()), |(_, i)| z[i]);
        let found = all.logcumsumexp(1, Cumulative::forward()).unwrap();
        assert!(found.slice(ndarray::s![.., 999..]).iter().all(|&value| value == last));
        let reversed = Array2::from_shape_fn((rows, z.len()), |(_, i)| z[z.len() - 1 - i]);
        let found = reversed.logcumsumexp(1, Cumulative::reverse().exclusive()).unwrap();
        assert!(found.slice(ndarray::s![.., ..99_000]).iter().all(|&value| value == last));
    }
}

/// The value for n equal numbers is z + log n.
#[test]
fn there_is_no_drift() {
    let z = vec![0.1f32; 5_000_000];
    let mut out = z.clone();
    logcumsumexp(&z, &mut out).unwrap();
    for i in [0, 1, 1000, 123_456, 1_048_576, 3_999_999, 4_999_999] {
        let exact = (f64::from(0.1f32) + ((i + 1) as f64).ln()) as f32;
        assert_eq!(out[i], exact, "{i}");
    }
    // Slowly rising: each chunk has a new maximum.
    let z: Vec<f64> = (0..2_000_000).map(|i| f64::from(i) * 1e-3).collect();
    let mut out = z.clone();
    logcumsumexp(&z, &mut out).unwrap();
    // Σ e^{-k/1000} over k ≤ i.
    let limit = |i: usize| (-(-1e-3 * (i + 1) as f64).exp_m1() / -(-1e-3f64).exp_m1()).ln() + z[i];
    for i in [5000, 100_000, 1_999_999] {
        assert!((out[i] / limit(i) - 1.0).abs() < 4e-16, "{i}: {}, {}", out[i], limit(i));
    }
}

/// Σ w_k e^{z_k} / Σ e^{z_k} over the given indices.
fn mean(z: &[f64], w: impl Fn(usize) -> f64, over: &[usize]) -> Big {
    let exp = |k: usize| big(z[k], 300).exp();
    let sum =
        |w: &dyn Fn(usize) -> f64| over.iter().fold(big(0.0, 300), |sum, &k| sum + exp(k) * big(w(k), 300));
    sum(&w) / sum(&|_| 1.0)
}

#[test]
fn derivatives_are_as_defined() {
    let mut random = ChaCha8Rng::seed_from_u64(43);
    let mut worst = [0f64; 2];
    for case in 0..12 {
        let n = 14;
        let spread = [2.0, 40.0, 0.01][case % 3];
        let slope = [0.0, 9.0, -9.0][case / 3 % 3];
        let z: Vec<f64> =
            (0..n).map(|i| spread * random.random_range(-1.0..1.0) + slope * i as f64).collect();
        // Positive tangents, so that nothing cancels.
        let t: Vec<f64> = (0..n).map(|_| random.random_range(0.1..1.0)).collect();
        for (which, cumulative) in directions().into_iter().enumerate() {
            let over = |i: usize| -> Vec<usize> {
                (0..n).filter(|&k| [k <= i, k >= i, k < i, k > i][which]).collect()
            };
            let [mut jvp, mut vjp] = [z.clone(), z.clone()];
            let [mut values, mut same] = [z.clone(), z.clone()];
            cumulative.jvp(&z, &t, &mut values, &mut jvp).unwrap();
            cumulative.logsumexp(&z, &mut same).unwrap();
            assert!(values.iter().zip(&same).all(|(a, b)| a.bits() == b.bits()));
            cumulative.vjp(&z, &t, &mut vjp).unwrap();
            for i in 0..n {
                let others = over(i);
                if others.is_empty() {
                    assert_eq!(jvp[i], 0.0);
                } else {
                    worst[0] = worst[0].max(ulps(jvp[i], &mean(&z, |k| t[k], &others)));
                }
                let gradient = (0..n).filter(|&j| over(j).contains(&i)).fold(big(0.0, 300), |sum, j| {
                    sum + mean(&z, |k| f64::from(u8::from(k == i)), &over(j)) * big(t[j], 300)
                });
                worst[1] = worst[1].max(ulps(vjp[i], &gradient));
            }
        }
    }
    println!("worst ulp: jvp {:.3}, vjp {:.3}", worst[0], worst[1]);
    assert!(worst.iter().all(|&worst| worst <= 1.0), "{worst:?}");
}

/// Every value of some rows against sums in 300 bits, which share nothing with the library.
fn check_against_big<T: Format>() -> f64 {
    let mut random = ChaCha8Rng::seed_from_u64(45);
    let mut worst = 0.0_f64;
    for round in 0..60 {
        let (spread, slope) = ([1.0, 30.0, 1e-6][round % 3], [0.0, 0.5, -0.5, 9.0][round / 3 % 4]);
        let length = [1, 7, 129, 400][round / 12 % 4];
        let z: Vec<T> =
            (0..length).map(|i| T::of(spread * random.random_range(-1.0..1.0) + slope * i as f64)).collect();
        for cumulative in [Cumulative::forward(), Cumulative::reverse()] {
            let mut found = z.clone();
            cumulative.logsumexp(&z, &mut found).unwrap();
            let pairs: Vec<(T, T)> = z.iter().copied().zip(found).collect();
            let is_forward = cumulative == Cumulative::forward();
            let in_order: Vec<(T, T)> = if is_forward { pairs } else { pairs.into_iter().rev().collect() };
            let mut sum = big(0.0, 300);
            for (z, found) in in_order {
                sum += big(z.into(), 300).exp();
                worst = worst.max(ulps(found, &sum.ln()));
            }
        }
    }
    worst
}

#[test]
fn values_are_those_of_arbitrary_precision() {
    let worst = [check_against_big::<f32>(), check_against_big::<f64>()];
    println!("worst ulp against 300 bits: {worst:.4?}");
    assert!(worst[0] <= 0.5 && worst[1] <= 0.54, "{worst:?}");
}

#[test]
fn edges() {
    const INF: f64 = f64::INFINITY;
    const NAN: f64 = f64::NAN;
    let table: [(&[f64], &[f64]); 7] = [
        (&[], &[]),
        (&[-INF, -INF], &[-INF, -INF]),
        (&[-INF, 0.0, -INF], &[-INF, 0.0, 0.0]),
        (&[1.0, INF, -INF, 3.0], &[1.0, INF, INF, INF]),
        (&[INF, INF], &[INF, INF]),
        (&[1.0, NAN, 0.0, INF], &[1.0, NAN, NAN, NAN]),
        (&[INF, NAN, -INF], &[INF, NAN, NAN]),
    ];
    let same = |a: f64, b: f64| a == b || a.is_nan() && b.is_nan();
    for (z, expected) in table {
        let mut out = vec![9.0; z.len()];
        logcumsumexp(z, &mut out).unwrap();
        assert!(out.iter().zip(expected).all(|(&a, &b)| same(a, b)), "{z:?}: {out:?}");
        let backwards: Vec<f64> = z.iter().rev().copied().collect();
        Cumulative::reverse().logsumexp(&backwards, &mut out).unwrap();
        assert!(out.iter().rev().zip(expected).all(|(&a, &b)| same(a, b)), "reverse of {z:?}: {out:?}");
        if !z.is_empty() {
            Cumulative::forward().exclusive().logsumexp(z, &mut out).unwrap();
            assert_eq!(out[0], -INF);
            assert!(
                out[1..].iter().zip(expected).all(|(&a, &b)| same(a, b)),
                "before each of {z:?}: {out:?}"
            );
        }
    }
}

#[test]
fn derivatives_at_the_edges() {
    const INF: f64 = f64::INFINITY;
    let forward = Cumulative::forward();
    let of = |z: &[f64]| {
        let [mut jvp, mut vjp] = [vec![9.0; z.len()], vec![9.0; z.len()]];
        let ones: Vec<f64> = (1..=z.len()).map(|i| i as f64).collect();
        forward.jvp(z, &ones, &mut vec![0.0; z.len()], &mut jvp).unwrap();
        forward.vjp(z, &ones, &mut vjp).unwrap();
        (jvp, vjp)
    };
    assert_eq!(of(&[-INF, -INF, 0.0]), (vec![0.0, 0.0, 3.0], vec![0.0, 0.0, 3.0]));
    assert_eq!(of(&[0.0, INF, 5.0, INF]), (vec![1.0, 2.0, 2.0, 3.0], vec![1.0, 2.0 + 3.0 + 2.0, 0.0, 2.0]));
    let (jvp, vjp) = of(&[0.0, f64::NAN, 0.0]);
    assert!(jvp[0] == 1.0 && jvp[1..].iter().all(|x| x.is_nan()));
    assert!(vjp.iter().all(|x| x.is_nan()));
    assert_eq!(of(&[]), (vec![], vec![]));
    let z = [0.0; 2];
    let is_short = |argument: &str, result: Result<(), Error>| {
        let words = format!("`{argument}` has 1 element, but needs 2 to fit `z`");
        assert_eq!(result.unwrap_err().to_string(), words);
    };
    is_short("tangent", forward.jvp(&z, &[0.0], &mut [0.0; 2], &mut [0.0; 2]));
    is_short("out", forward.jvp(&z, &z, &mut [0.0], &mut [0.0; 2]));
    is_short("slopes", forward.jvp(&z, &z, &mut [0.0; 2], &mut [0.0]));
    is_short("cotangent", forward.vjp(&z, &[0.0], &mut [0.0; 2]));
    is_short("out", forward.vjp(&z, &z, &mut [0.0]));
    is_short("out", logcumsumexp(&z, &mut [0.0]));
}

/// Derivatives are linear in tangent and cotangent, up to the greatest numbers.
#[test]
fn great_tangents_are_in_range() {
    let mut random = ChaCha8Rng::seed_from_u64(44);
    let z: Vec<f64> = (0..50).map(|_| random.random_range(-30.0..30.0)).collect();
    let v: Vec<f64> = z.iter().map(|_| random.random_range(-0.25..0.25)).collect();
    for cumulative in directions() {
        let derivatives = |v: &[f64]| {
            let (mut out, mut slopes, mut gradient) = (z.clone(), z.clone(), z.clone());
            cumulative.jvp(&z, v, &mut out, &mut slopes).unwrap();
            cumulative.vjp(&z, v, &mut gradient).unwrap();
            [slopes, gradient].concat()
        };
        let expected = derivatives(&v);
        for power in [300, 500, 512, 600, 890, 910, 1000, 1020] {
            let factor = 2_f64.powi(power);
            let times = |v: &[f64]| -> Vec<f64> { v.iter().map(|v| v * factor).collect() };
            assert_eq!(derivatives(&times(&v)), times(&expected), "2^{power}");
        }
    }
    let (mut out, mut slopes) = ([0.0; 3], [0.0; 3]);
    Cumulative::forward().jvp(&[0.0; 3], &[1.5e308; 3], &mut out, &mut slopes).unwrap();
    assert_eq!(slopes, [1.5e308; 3]);
    // Small ones beside great ones.
    Cumulative::forward().jvp(&[0.0; 2], &[1e-300, 1e300], &mut out[..2], &mut slopes[..2]).unwrap();
    assert_eq!(slopes[..2], [1e-300, 5e299]);
    Cumulative::forward().vjp(&[0.0, 800.0], &[1e300, 1e-300], &mut slopes[..2]).unwrap();
    assert_eq!(slopes[..2], [1e300, 1e-300]);
    // e^-800 times a great tangent is not negligible; where the share is 0, the tangent contributes nothing.
    let exact: f64 = 3.667_874_584_177_687e-40; // 1e308 e^-800
    for (z, tangent) in [([0.0, -800.0], [0.0, 1e308]), ([-800.0, 0.0], [1e308, 0.0])] {
        Cumulative::forward().jvp(&z, &tangent, &mut out[..2], &mut slopes[..2]).unwrap();
        assert!((slopes[1] / exact - 1.0).abs() < 1e-14, "{z:?}: {slopes:?}");
    }
    Cumulative::forward().vjp(&[0.0, 800.0], &[0.0, 1e308], &mut slopes[..2]).unwrap();
    assert!((slopes[0] / exact - 1.0).abs() < 1e-14, "{slopes:?}");
    Cumulative::forward().jvp(&[0.0, -2000.0], &[0.0, 1e308], &mut out[..2], &mut slopes[..2]).unwrap();
    assert_eq!(slopes[..2], [0.0; 2]);
    // A great cotangent of a value from which a number is far away.
    Cumulative::forward().vjp(&[0.0, 700.0], &[0.0, 1e300], &mut slopes[..2]).unwrap();
    assert!((slopes[0] / (1e300 * (-700.0_f64).exp()) - 1.0).abs() < 1e-15, "{slopes:?}");
}
