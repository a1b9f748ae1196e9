//! Log-sum-exp of complex numbers: against the vectors of `mpmath/make_complex.py`, each result within 1 ulp of
//! its magnitude and with equal bits at every level; longer rows in arbitrary precision; special cases against
//! C99's formulas.

mod common;
#[path = "common/each_level.rs"]
mod each_level;

use common::{Big, Format, big, exact, exponent, hex};
use each_level::each_level;
use logsum::{
    Axes, ComplexLogSumExp, Error, LogSumExp, complex_logsumexp, complex_logsumexp_weighted,
    complex_logsumexp_with_gradient, logsumexp,
};
use ndarray::{Array3, arr1, s};
use num_complex::Complex;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// |found − exact| in ulps of T at the exact magnitude.
fn ulps<T: Format>(found: Complex<T>, re: &Big, im: &Big) -> f64 {
    let norm = re * re + im * im;
    let ulp = (exponent(&norm).div_euclid(2) - T::PRECISION + 1).max(T::LEAST_EXPONENT);
    let off = |found: T, exact: &Big| {
        let off = big(found.into(), 3000) - exact.clone().with_precision(3000).value();
        (off.with_precision(60).value() >> ulp).to_f64().value()
    };
    off(found.re, re).hypot(off(found.im, im))
}

fn number<T: Format>(text: &str) -> Complex<T> {
    let (re, im) = text.split_once(',').expect("re,im");
    Complex { re: T::of(hex(re)), im: T::of(hex(im)) }
}

fn exact_number(text: &str) -> Option<(Big, Big)> {
    let (re, im) = text.split_once(',')?;
    Some((exact(re)?, exact(im)?))
}

fn bits<T: Format>(z: Complex<T>) -> [u64; 2] {
    [z.re.bits(), z.im.bits()]
}

/// The number of lines; prints the worst error of values and derivatives.
fn check<T: Format>(lines: impl Iterator<Item = &'static str>) -> usize {
    let mut worst: BTreeMap<&str, [f64; 2]> = BTreeMap::new();
    let mut count = 0;
    for line in lines {
        let [regime, z, b, value, derivative] =
            line.split(" | ").collect::<Vec<_>>().try_into().expect("five fields");
        let short: String = line.chars().take(300).collect();
        let numbers = |text: &str| text.split(' ').map(number::<T>).collect::<Vec<_>>();
        let z = numbers(z);
        let b = (b != "~").then(|| numbers(b));
        let (re, im) = exact_number(value).expect("a value");
        let worst = worst.entry(regime).or_default();
        let mut first = None;
        for level in each_level() {
            let mut gradient = vec![Complex { re: T::of(f64::NAN), im: T::of(f64::NAN) }; z.len()];
            let found = match &b {
                Some(b) => complex_logsumexp_weighted(&z, b).unwrap(),
                None => {
                    let found = complex_logsumexp_with_gradient(&z, &mut gradient).unwrap();
                    assert_eq!(bits(found), bits(complex_logsumexp(&z)));
                    found
                }
            };
            let results = (bits(found), gradient.iter().map(|&g| bits(g)).collect::<Vec<_>>());
            assert_eq!(first.get_or_insert(results.clone()), &results, "{level:?}: {short}");
            let mut errors = [ulps(found, &re, &im), 0.0];
            if let Some((re, im)) = exact_number(derivative) {
                errors[1] = ulps(gradient[0], &re, &im);
            }
            for (worst, error) in worst.iter_mut().zip(errors) {
                assert!(error < 0.8, "{found:?} is off by {error} ulp: {short}");
                *worst = worst.max(error);
            }
        }
        count += 1;
    }
    println!("{count} rows, worst ulps of value and derivative: {worst:.4?}");
    assert_eq!(worst.len(), 6);
    assert!(
        worst.values().any(|worst| worst[0] > 0.5),
        "two parts that are rounded can be off by more than one"
    );
    count
}

fn lines() -> impl Iterator<Item = &'static str> {
    include_str!("mpmath/complex.txt").lines().filter(|line| !line.starts_with('#'))
}

#[test]
fn f64_vectors() {
    assert_eq!(check::<f64>(lines()), 260);
}

#[test]
fn f32_vectors() {
    let narrow = lines().filter(|line| {
        let inputs = line.split(" | ").skip(1).take(2).filter(|&field| field != "~");
        let mut parts = inputs.flat_map(|field| field.split([' ', ','])).map(hex);
        parts.all(|x| f64::from(x as f32) == x)
    });
    assert!(check::<f32>(narrow) > 110);
}

/// Real numbers have the real log-sum-exp, and complex conjugate rows have complex conjugate values.
#[test]
fn agrees_with_the_real_one() {
    let mut random = ChaCha8Rng::seed_from_u64(42);
    for length in (1..40).chain([255, 256, 1000, 5000]) {
        let real: Vec<f64> = (0..length).map(|_| random.random_range(-20.0..20.0)).collect();
        let z: Vec<Complex<f64>> = real.iter().map(|&x| x.into()).collect();
        let value = complex_logsumexp(&z);
        let exact = logsumexp(&real);
        // The error before rounding is at most 2^-5 ulp.
        assert!((value.re - exact).abs() <= exact.abs() * f64::EPSILON && value.im == 0.0, "{value} {exact}");
        let mut gradient = z.clone();
        complex_logsumexp_with_gradient(&z, &mut gradient).unwrap();
        let sum: Complex<f64> = gradient.iter().sum();
        assert!((sum - 1.0).l1_norm() < 1e-13, "{sum}");

        let z: Vec<Complex<f64>> =
            z.iter().map(|z| Complex { im: random.random_range(-9.0..9.0), ..*z }).collect();
        let mirrored: Vec<Complex<f64>> = z.iter().map(|z| z.conj()).collect();
        assert_eq!(complex_logsumexp(&mirrored), complex_logsumexp(&z).conj());
        let ones = vec![Complex::from(1.0); z.len()];
        assert_eq!(complex_logsumexp_weighted(&z, &ones).unwrap(), complex_logsumexp(&z));
        // Absent terms change the value by rounding errors at most.
        let with_absent: Vec<Complex<f64>> =
            z.iter().flat_map(|&z| [Complex { re: f64::NEG_INFINITY, im: f64::NAN }, z]).collect();
        let off = complex_logsumexp(&with_absent) - complex_logsumexp(&z);
        assert!(off.l1_norm() <= 1e-15 * complex_logsumexp(&z).l1_norm());
    }
}

/// A million terms on the unit circle that nearly cancel: Σ e^{i k t} is a geometric sum.
#[test]
fn a_geometric_sum() {
    let (count, t) = (1_000_000, 2f64.powi(-10));
    let z: Vec<Complex<f64>> = (0..count).map(|k| Complex { re: 0.0, im: f64::from(k) * t }).collect();
    let [half, all] = [0.5 * t, 0.5 * t * f64::from(count)].map(|x| big(x, 200).sin());
    let angle = big(0.5 * t, 200) * big(f64::from(count - 1), 200);
    let turn = Big::pi(200) * big(2.0, 200);
    let angle = &angle - (&angle / &turn).round() * &turn;
    let ratio = all / half;
    let is_negative = ratio < big(0.0, 200);
    let (re, im) = if is_negative {
        let away = turn / big(2.0, 200);
        ((-ratio).ln(), if angle > big(0.0, 200) { angle - away } else { angle + away })
    } else {
        (ratio.ln(), angle)
    };
    assert!(ulps(complex_logsumexp(&z), &re, &im) < 0.75);
}

/// log Σ b e^z by std's functions, with C99's exponential, product and logarithm of non-finite numbers.
fn by_c99(z: &[Complex<f64>]) -> Complex<f64> {
    let exp = |z: Complex<f64>| match z {
        Complex { re: f64::NEG_INFINITY, .. } => Complex::new(0.0, 0.0),
        Complex { im: 0.0, re } => Complex::new(re.exp(), 0.0),
        Complex { re: f64::INFINITY, im } if !im.is_finite() => Complex::new(f64::INFINITY, f64::NAN),
        Complex { re, im } => Complex::new(re.exp() * im.cos(), re.exp() * im.sin()),
    };
    let sum = z.iter().fold(Complex::new(0.0, 0.0), |sum, &z| sum + exp(z));
    let is_infinite = sum.re.is_infinite() || sum.im.is_infinite();
    let re = if is_infinite { f64::INFINITY } else { sum.re.hypot(sum.im).ln() };
    Complex { re, im: sum.im.atan2(sum.re) }
}

#[test]
fn edges() {
    const INF: f64 = f64::INFINITY;
    const NAN: f64 = f64::NAN;
    // The formulas have large relative errors where terms cancel.
    let same = |a: f64, b: f64| (a - b).abs() <= 1e-11 * b.abs() || a == b || a.is_nan() && b.is_nan();
    let parts = [-INF, INF, 0.3, NAN];
    let angles = [0.0, -0.0, 0.7533, 2.3562, 3.9270, 5.4978, INF, -INF, NAN];
    let numbers: Vec<Complex<f64>> =
        parts.iter().flat_map(|&re| angles.map(|im| Complex { re, im })).collect();
    for &a in &numbers {
        for &b in &numbers {
            let (found, expected) = (complex_logsumexp(&[a, b]), by_c99(&[a, b]));
            assert!(
                same(found.re, expected.re) && same(found.im, expected.im),
                "{a} {b}: {found}, not {expected}"
            );
            let mut gradient = [Complex::from(7.0); 2];
            complex_logsumexp_with_gradient(&[a, b], &mut gradient).unwrap();
            let is_nan = gradient.iter().all(|g| g.re.is_nan() && g.im.is_nan());
            let sum = gradient[0] + gradient[1];
            match found {
                Complex { re: f64::NEG_INFINITY, .. } => assert_eq!(gradient, [Complex::from(0.0); 2]),
                Complex { re, im } if re.is_finite() && im.is_finite() => {
                    assert!((sum - 1.0).l1_norm() < 1e-15)
                }
                _ => assert!(is_nan, "{a} {b}: {gradient:?}"),
            }
        }
    }
    assert_eq!(complex_logsumexp::<f64>(&[]), Complex::new(-INF, 0.0));
    // The same formulas hold in f32.
    let z = Complex::new(f32::INFINITY, 2.0);
    assert_eq!(complex_logsumexp(&[z]), Complex::new(f32::INFINITY, 3.0 * std::f32::consts::FRAC_PI_4));

    // A weight of 0 hides any number; an infinite weight is an infinite term.
    let weighted = |z: &[Complex<f64>], b: &[Complex<f64>]| complex_logsumexp_weighted(z, b).unwrap();
    let [zero, one, two] = [0.0, 1.0, 2.0].map(Complex::<f64>::from);
    for hidden in &numbers {
        assert_eq!(weighted(&[*hidden, two], &[zero, one]), two);
    }
    assert_eq!(weighted(&[one, one], &[one, -one]), Complex::new(-INF, 0.0));
    assert_eq!(weighted(&[one, one, one], &[one, one, -two]), Complex::new(-INF, 0.0));
    assert_eq!(weighted(&[zero; 2], &[one / 2.0; 2]), zero);
    assert_eq!(weighted(&[one], &[Complex::from(INF)]), Complex::new(INF, 0.0));
    assert_eq!(weighted(&[one], &[Complex::new(0.0, -INF)]), Complex::new(INF, -std::f64::consts::FRAC_PI_2));
    assert_eq!(weighted(&[Complex::from(INF)], &[-one]), Complex::new(INF, std::f64::consts::PI));
    assert!(weighted(&[one], &[Complex::from(NAN)]).re.is_nan());
    let says = |result: Result<_, Error>, words: &str| assert_eq!(result.unwrap_err().to_string(), words);
    says(complex_logsumexp_weighted(&[one, two], &[one]), "`b` has 1 element, but needs 2 to fit `z`");
    let mut gradient = [two; 3];
    says(
        complex_logsumexp_with_gradient(&[one, two], &mut gradient),
        "`gradient` has 3 elements, but needs 2 to fit `z`",
    );
    assert_eq!(gradient, [two; 3]);
}

#[test]
fn arrays_over_any_axes() {
    let z = Array3::from_shape_fn((3, 4, 2), |(i, j, k)| Complex::new(i as f64 - k as f64, j as f64));
    for axes in [Axes::from(0), Axes::from(-1), Axes::from([0, 2]), Axes::all(), Axes::from(1).keep()] {
        let (values, gradients) = z.complex_logsumexp_with_gradient(axes.clone()).unwrap();
        assert_eq!(values, z.complex_logsumexp(axes.clone()).unwrap());
        assert_eq!(gradients.dim(), z.dim());
        let ones = z.mapv(|_| Complex::from(1.0));
        assert_eq!(values, z.complex_logsumexp_weighted(axes, &ones).unwrap());
    }
    let middle = z.complex_logsumexp(1).unwrap();
    assert_eq!(middle[[2, 1]], complex_logsumexp(&z.slice(s![2, .., 1]).to_vec()));
    let weights = arr1(&[Complex::new(0.0, 1.0), Complex::new(2.0, 0.0)]);
    let last = z.complex_logsumexp_weighted(-1, &weights).unwrap();
    let lane = z.slice(s![1, 3, ..]).to_vec();
    assert_eq!(last[[1, 3]], complex_logsumexp_weighted(&lane, weights.as_slice().unwrap()).unwrap());
    assert_eq!(
        z.complex_logsumexp(3).unwrap_err().to_string(),
        z.mapv(|z| z.re).logsumexp(3).unwrap_err().to_string()
    );
    assert_eq!(
        z.complex_logsumexp_weighted(0, &arr1(&[Complex::from(1.0); 3])).unwrap_err().to_string(),
        "`weights` has the shape [3], but needs [3, 4, 2] or a shape that broadcasts to it"
    );
}
