//! Special cases of mean, variance, entropy and temperature, and values for which the naive formulas fail.

mod common;

use common::{Big, Format, big, nearest, ulps};
use logsum::{
    Error, Terms, log_softmax, logmeanexp, logsumexp, logsumexp_hvp, logvarexp, logvarexp_hvp, logvarexp_jvp,
    logvarexp_with_gradient, softmax, softmax_entropy, softmax_entropy_hvp, softmax_entropy_jvp,
    softmax_entropy_with_gradient,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

fn same(a: f64, b: f64) -> bool {
    a == b || a.is_nan() && b.is_nan()
}

fn all_same(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(&a, &b)| same(a, b))
}

/// A row, its mean, its variance with gradient, and its entropy with gradient.
type Edge = (&'static [f64], f64, f64, &'static [f64], f64, &'static [f64]);

/// log of the variance by the definition, in 600 bits.
fn exact_log_variance<T: Format>(z: &[T], ddof: usize) -> Big {
    let wide = |x: f64| big(x, 600);
    let x: Vec<Big> =
        z.iter().map(|&z| if z.widen() == -INF { wide(0.0) } else { wide(z.widen()).exp() }).collect();
    let mean = x.iter().fold(wide(0.0), |sum, x| sum + x) / wide(z.len() as f64);
    let squares = x.iter().map(|x| (x - &mean) * (x - &mean)).fold(wide(0.0), |sum, x| sum + x);
    (squares / wide((z.len() - ddof) as f64)).ln()
}

fn check_log_variance<T: Format>(z: &[T], ddof: usize, worst: &mut f64) {
    let value = logvarexp(z, ddof);
    let off = ulps(value, &exact_log_variance(z, ddof));
    assert!(off <= 1.0, "{z:?}, {ddof}: {value} is off by {off} ulp");
    let mut gradient = vec![T::of(0.0); z.len()];
    let same = [
        logvarexp_with_gradient(z, ddof, &mut gradient).unwrap(),
        logvarexp_jvp(z, ddof, &gradient.clone()).unwrap().0,
    ];
    for value in same {
        assert!(ulps(value, &exact_log_variance(z, ddof)) <= 1.0, "{z:?}, {ddof}: {value}");
    }
    *worst = worst.max(off);
}

/// Rows whose variance is 1 but for the rounding of their numbers, with terms that are close together, far apart,
/// or absent.
#[test]
fn log_variances_near_zero_are_within_an_ulp() {
    let mut random = ChaCha8Rng::seed_from_u64(15);
    let [mut single, mut double] = [0.0; 2];
    check_log_variance(&[0.96338198, -1.80834861, -0.9371896, -0.89041368], 0, &mut double);
    for round in 0..400 {
        let length = [2, 3, 4, 9, 70, 1100][if round < 397 { round % 5 } else { 5 }];
        let (spread, level) = ([1.0, 30.0, 1e-3, 1e-9, 4.0][round / 5 % 5], [0.0, 20.0, -3.0][round % 3]);
        let mut z: Vec<f64> = (0..length).map(|_| level + spread * random.random_range(-1.0..1.0)).collect();
        if round % 7 == 0 && length > 2 {
            z[1] = -INF;
        }
        let ddof = round % 2;
        for _ in 0..2 {
            let half = logvarexp(&z, ddof) / 2.0;
            z.iter_mut().for_each(|z| *z -= half);
        }
        check_log_variance(&z, ddof, &mut double);
        let mut z: Vec<f32> = z.iter().map(|&z| z as f32).collect();
        if z.iter().all(|&other| other == z[0]) {
            z[0] = z[0].next_up();
        }
        check_log_variance(&z, ddof, &mut single);
    }
    println!("log-variance near 0: worst {single:.3} ulp in f32, {double:.3} in f64");
}

/// Two numbers a, and two of −∞: the variance with three degrees of freedom taken away is e^{2a}.
#[test]
fn a_rational_log_variance_is_exact() {
    for a in [0.0, 0.5, -1e-300, 1e-5, -40.0, 1e-310] {
        let z = [a, -INF, a, -INF];
        assert_eq!(logvarexp(&z, 3), 2.0 * a);
        assert_eq!(logvarexp(&z.map(|z| z as f32), 3), 2.0 * a as f32);
    }
}

#[test]
fn edges() {
    let rows: &[Edge] = &[
        (&[], NAN, NAN, &[], 0.0, &[]),
        (&[5.0], 5.0, -INF, &[NAN], 0.0, &[0.0]),
        (&[2.0, 2.0], 2.0, -INF, &[NAN, NAN], std::f64::consts::LN_2, &[0.0, 0.0]),
        (&[-INF, -INF], -INF, -INF, &[0.0, 0.0], 0.0, &[0.0, 0.0]),
        (&[INF, 0.0], INF, INF, &[2.0, 0.0], 0.0, &[0.0, 0.0]),
        (&[INF, INF], INF, NAN, &[NAN, NAN], std::f64::consts::LN_2, &[0.0, 0.0]),
        (&[INF, INF, 1.0], INF, INF, &[1.0, 1.0, 0.0], std::f64::consts::LN_2, &[0.0; 3]),
        (&[NAN, 0.0], NAN, NAN, &[NAN, NAN], NAN, &[NAN, NAN]),
    ];
    for &(z, mean, variance, variance_gradient, entropy, entropy_gradient) in rows {
        let mut g = vec![9.0; z.len()];
        assert!(same(logmeanexp(z), mean), "{z:?}: {}", logmeanexp(z));
        assert!(same(logvarexp_with_gradient(z, 0, &mut g).unwrap(), variance), "{z:?}: {}", logvarexp(z, 0));
        assert!(all_same(&g, variance_gradient), "{z:?}: {g:?}");
        assert!(
            same(softmax_entropy_with_gradient(z, &mut g).unwrap(), entropy),
            "{z:?}: {}",
            softmax_entropy(z)
        );
        assert!(all_same(&g, entropy_gradient), "{z:?}: {g:?}");
        let ones = vec![1.0; z.len()];
        let [a, b] = [softmax_entropy_jvp(z, &ones).unwrap().1, logvarexp_jvp(z, 0, &ones).unwrap().1];
        assert!(same(a, entropy_gradient.iter().sum()), "{z:?}: {a}");
        assert!(same(b, variance_gradient.iter().sum()), "{z:?}: {b}");
        let cold = Terms::new(z).temperature(0.5).unwrap();
        let mut tempered = g.clone();
        cold.logsumexp_with_gradient(&mut tempered).unwrap();
        assert!(same(cold.softmax_entropy(), entropy), "{z:?}");
        softmax(z, &mut g).unwrap();
        assert!(all_same(&tempered, &g), "{z:?}");
        cold.log_softmax(&mut tempered).unwrap();
        log_softmax(z, &mut g).unwrap();
        assert!(all_same(&tempered, &g), "{z:?}");
        type Hvp = fn(&[f64], &[f64], &mut [f64]) -> Result<(), Error>;
        let hvps: [Hvp; 3] = [logsumexp_hvp, softmax_entropy_hvp, |z, v, out| logvarexp_hvp(z, 0, v, out)];
        for hvp in hvps {
            hvp(z, &ones, &mut g).unwrap();
            let is_ordinary = g.iter().all(|x| *x == 0.0 || x.is_nan());
            assert!(is_ordinary, "{z:?}: {g:?}");
        }
    }
    assert!(logvarexp(&[1f64, 2.0], 2).is_nan());
    assert_eq!(logvarexp(&[0.0, -INF], 0), -2.0 * std::f64::consts::LN_2);
}

#[test]
fn means_are_correctly_rounded() {
    fn check<T: Format>() {
        let mut random = ChaCha8Rng::seed_from_u64(61);
        for case in 0..400 {
            let n = random.random_range(1..12);
            let spread = [1.0, 40.0, 1e-9, 1e-200][case % 4];
            let offset = [0.0, 0.0, 1e3][case % 3];
            let z: Vec<T> = (0..n).map(|_| T::of(offset + spread * random.random_range(-1.0..1.0))).collect();
            let wide = |x: f64| big(x, 2500);
            let sum = z.iter().fold(wide(0.0), |sum, &z| sum + wide(z.into()).exp());
            let mean = (sum / wide(n as f64)).ln();
            let is_exact = z.iter().all(|&x| x == z[0]);
            // A zero is +0.
            let expected = if is_exact { T::of(z[0].into() + 0.0) } else { nearest::<T>(&mean) };
            assert_eq!(logmeanexp(&z).bits(), expected.bits(), "{z:?}: {}", logmeanexp(&z));
        }
    }
    check::<f64>();
    check::<f32>();
}

#[test]
fn where_plain_formulas_fail() {
    // Two numbers that differ by an ulp: the variance is (ulp/2)² times the squared exponential.
    let z = [1.0, 1.0 + f64::EPSILON];
    let expected = 2.0 * (f64::EPSILON / 2.0).ln() + 2.0;
    assert!((logvarexp(&z, 0) - expected).abs() < 1e-13);
    // The squares of such small differences underflow.
    let least = f64::from_bits(1);
    assert!((logvarexp(&[0.0, least], 0) - 2.0 * ((-1074.0 - 1.0) * std::f64::consts::LN_2)).abs() < 1e-11);
    assert!((logvarexp(&[1e5f64, 1e5 + 1.0], 0) - 2e5 - logvarexp(&[0.0, 1.0], 0)).abs() < 1e-10);
    let at = |z, temperature| Terms::new(z).temperature(temperature).unwrap();
    assert_eq!(at(&[3.0, 2.0], 1e-300).logsumexp(), 3.0);
    assert_eq!(at(&[3.0, -5.0], 1e300).softmax_entropy(), std::f64::consts::LN_2);
    for temperature in [0.0, -1.0, NAN, INF] {
        let words = format!("`temperature` is {temperature:?}, but must be positive and finite");
        assert_eq!(Terms::new(&[0.0]).temperature(temperature).unwrap_err().to_string(), words);
    }
    let z = [0.1, 0.7, -3.0, 0.0];
    assert_eq!(at(&z, 1.0).logsumexp(), logsumexp(&z));
}

/// Numbers, weights, degrees of freedom, temperature, and the logarithm of the variance from mpmath in 6000 bits.
type Weighted = (&'static [f64], &'static [f64], usize, f64, f64);

/// Close numbers, weights at the ends of the range, and terms −∞, whose weights count.
#[test]
fn weighted_log_variances_are_within_an_ulp() {
    const LEAST: f64 = f64::from_bits(1);
    let rows: &[Weighted] = &[
        (&[0.0, 1e-100], &[0.3, 0.7], 0, 1.0, -462.07766634707383),
        (&[0.0, 1e-100], &[1e-30, 1.0], 0, 1.0, -529.5945713886305),
        (&[0.0, 1e-100], &[1e-100, 1.0], 0, 1.0, -690.7755278982137),
        (&[0.0, 1e-160], &[1.0, 1.0], 0, 1.0, -738.2135241192145),
        (&[0.0, 1e-300], &[1.0, 1.0], 0, 1.0, -1382.9373501575474),
        (&[0.0, 1e-300], &[1.0, 3.0], 1, 1.0, -1382.9373501575474),
        (&[0.0, LEAST], &[1.0, 3.0], 0, 1.0, -1490.5541202763343),
        (&[0.0, LEAST], &[1.0, 3.0], 0, 2.0, -2983.880829274908),
        (&[0.0, LEAST], &[1.0, 3.0], 0, 1e20, -1.582657523996096e23),
        (&[1.0, 1.0 + f64::EPSILON], &[1.0, 3.0], 0, 1e290, -1.4092606371483526e293),
        (&[1.0, 1.0 + f64::EPSILON], &[1e-30, 1.0], 0, 1.0, -139.16485956805568),
        (&[1.0, 1.0 + f64::EPSILON, 1.0 + 2.0 * f64::EPSILON], &[0.1, 0.2, 0.3], 0, 1.0, -70.67509344313643),
        (&[700.3, 700.3000000000001], &[0.1, 0.2], 0, 1.0, 1339.4852650750684),
        (&[0.0, 1.0], &[LEAST, LEAST], 0, 1.0, -0.3036446518940544),
        (&[0.0, 1.0], &[1e-320, LEAST], 0, 1.0, -6.531169219448087),
        (&[0.0, 1.0], &[1.7e308, 1.7e308], 0, 1.0, -0.3036446518940544),
        (&[0.0, 1.0], &[1.7e308, 1e308], 1, 1.0, -0.37322558573256015),
        (&[0.0, 1.0], &[1e308, 1e-300], 0, 1.0, -1398.889086831154),
        (&[0.0, -300.0, -301.0], &[LEAST, 1.0, 1.0], 0, 1.0, -602.303644651894),
        (&[0.0, -500.0, -501.0], &[LEAST, 1e308, 1e308], 0, 1.0, -1002.303644651894),
        (&[-1e5, -1e5 + 1.0], &[0.5, 2.0], 0, 1.0, -200000.74993175452),
        (&[3.0, 2.0, -7.0], &[0.5, 2.0, 3.0], 1, 0.25, 5.423414283105975),
        (&[0.0, -INF], &[1.0, 1.0], 1, 1.0, -std::f64::consts::LN_2),
        (&[0.0, -INF], &[1e-300, 1e300], 0, 1.0, -1381.5510557964274),
        (&[0.0, 1.0, -INF], &[1.0, 1.0, 1.0], 1, 1.0, 0.6367133753874096),
        (&[0.0, 1.0, -INF], &[0.5, 2.0, 3.0], 1, 2.0, -0.6114556272964857),
        (&[3.0, 3.0, 3.0], &[0.1, 0.2, 0.3], 0, 1.0, -INF),
        (&[0.1, 0.1, 0.1], &[0.1, 0.2, 0.3], 0, 1.0, -INF),
        (&[700.3, 700.3], &[0.1, 0.3], 0, 3.0, -INF),
        (&[3.0, 3.0], &[0.5, 0.5], 1, 1.0, NAN),
        (&[f64::MAX, 0.0], &[1.0, 1.0], 0, 1.0, INF),
        (&[-f64::MAX, -1.0], &[1.0, 1.0], 0, 1.0, -3.386294361119891),
    ];
    for &(z, b, ddof, temperature, expected) in rows {
        let terms = Terms::new(z).weights(b).unwrap().temperature(temperature).unwrap();
        let value = terms.logvarexp(ddof);
        let is_near = value >= expected.next_down() && value <= expected.next_up();
        assert!(same(value, expected) || is_near, "{z:?}, {b:?}, {ddof}, {temperature}: {value}");
    }
}

/// The term that dominates has a p that rounds to 1. Expected values are from mpmath.
#[test]
fn weighted_entropies_of_concentrated_terms_are_within_an_ulp() {
    let rows: &[([f64; 2], [f64; 2], f64)] = &[
        ([0.0, -45.0], [1.3, 0.7], 7.185654319922803e-19),
        ([0.0, -50.0], [1.3, 0.7], 5.360934601359993e-21),
        ([0.0, -60.0], [1.3, 0.7], 2.9053649693138425e-25),
        ([0.0, -70.0], [1.3, 0.7], 1.533096333499713e-29),
        ([0.0, -80.0], [1.3, 0.7], 7.932089640994686e-34),
        ([0.0, -300.0], [1.3, 0.7], 8.361204948580695e-129),
        ([0.0, -750.0], [1e-200, 1e+300], 2.1154531598225474e-172),
        ([-650.0, 0.0], [1e+300, 1e-10], 1.2676445216832036e-26),
    ];
    for &(z, b, expected) in rows {
        let value = Terms::new(&z).weights(&b).unwrap().softmax_entropy();
        let is_near = value >= expected.next_down() && value <= expected.next_up();
        assert!(is_near, "{z:?}, {b:?}: {value}");
    }
}

#[test]
fn lengths_must_agree() {
    let z = [0.0, 1.0];
    fn is_short<R>(argument: &str, result: Result<R, Error>) {
        let words = format!("`{argument}` has 1 element, but needs 2 to fit `z`");
        assert_eq!(result.err().unwrap().to_string(), words);
    }
    let one = &mut [0.0][..];
    is_short("gradient", logvarexp_with_gradient(&z, 0, one));
    is_short("gradient", softmax_entropy_with_gradient(&z, one));
    is_short("vector", softmax_entropy_hvp(&z, &[0.0], &mut [0.0; 2]));
    is_short("out", logvarexp_hvp(&z, 0, &[0.0; 2], one));
    is_short("tangent", softmax_entropy_jvp(&z, &[0.0]));
    is_short("tangent", logvarexp_jvp(&z, 0, &[0.0]));
    is_short("out", Terms::new(&z).temperature(2.0).unwrap().softmax(one));
    is_short("tangent", Terms::new(&z).temperature(2.0).unwrap().jvp(&[0.0]));
}
