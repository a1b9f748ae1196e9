//! Combinations of weights, mask and temperature: all results of a row against the formulas in arbitrary
//! precision.

mod common;

use common::{Big, Format, big};
use logsum::{Error, NoMass, Terms};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cell::Cell;

const BITS: usize = 400;

fn number(x: f64) -> Big {
    big(x, BITS)
}

/// The terms that are not absent, exactly: b, z/τ, p.
struct Exact {
    b: Vec<Big>,
    x: Vec<Big>,
    p: Vec<Big>,
    sum: Big,
    temperature: Big,
}

impl Exact {
    fn new(z: &[f64], b: &[f64], temperature: f64) -> Self {
        let tau = number(temperature);
        let x: Vec<Big> = z.iter().map(|&z| number(z) / &tau).collect();
        let b: Vec<Big> = b.iter().map(|&b| number(b)).collect();
        let terms: Vec<Big> = x.iter().zip(&b).map(|(x, b)| x.exp() * b).collect();
        let sum = terms.iter().fold(number(0.0), |sum, term| sum + term);
        let p = terms.iter().map(|term| term / &sum).collect();
        Self { b, x, p, sum, temperature: tau }
    }

    fn log_of(&self, x: &Big) -> Big {
        x.ln() * &self.temperature
    }

    fn mean_of(&self, v: &[Big]) -> Big {
        self.p.iter().zip(v).fold(number(0.0), |sum, (p, v)| sum + p * v)
    }

    /// −log p.
    fn surprisals(&self) -> Vec<Big> {
        self.p.iter().map(|p| -p.ln()).collect()
    }
}

/// The largest error so far, as a multiple of the allowed error.
struct Worst(Cell<f64>);

impl Worst {
    /// Checks that the error of `found` is at most 2^-`bits` of `size` plus slightly more than half an ulp.
    fn check<T: Format>(&self, what: &str, found: T, exact: &Big, size: f64, bits: i32) {
        let rounding = 2f64.powi(1 - T::PRECISION as i32) * 0.52;
        let wide: f64 = found.into();
        // The smallest positive number of the format.
        let least = 2f64.powi(T::LEAST_EXPONENT as i32 / 2)
            * 2f64.powi(T::LEAST_EXPONENT as i32 - T::LEAST_EXPONENT as i32 / 2);
        let off = (number(wide) - exact).to_f64().value().abs();
        // A subnormal number that is divided by a temperature is also rounded before the division.
        let allowed = exact.to_f64().value().abs() * rounding + (size + 1e-300) * 2f64.powi(-bits) + least;
        assert!(
            off <= allowed,
            "{what}: {wide:e}, exact {:e}, off by {:e} of what is allowed",
            exact.to_f64().value(),
            off / allowed
        );
        self.0.set(self.0.get().max(off / allowed));
    }
}

fn rows<T: Format>(bits: i32) {
    let mut random = ChaCha8Rng::seed_from_u64(8);
    let worst = Worst(Cell::new(0.0));
    let mut count = 0;
    for i in 0..600 {
        let length = 1 + i % 13 + 20 * (i % 50 / 49);
        let spread = [1.0, 10.0, 60.0, 1e-3][i % 4];
        let temperature = [1.0, 0.3, 2.5, 0.05, 17.0][i % 5];
        let numbers = |random: &mut ChaCha8Rng, low: f64, high: f64| -> Vec<T> {
            (0..length).map(|_| T::of(random.random_range(low..high))).collect()
        };
        let z = numbers(&mut random, -spread, spread);
        let mut b = numbers(&mut random, 0.1, 3.0);
        if i % 11 == 3 {
            b[0] = T::of(0.0);
        }
        if i % 7 == 2 {
            b.iter_mut().for_each(|b| *b = T::of(1e-20 * Into::<f64>::into(*b)));
        }
        let (v, t) = (numbers(&mut random, -2.0, 2.0), numbers(&mut random, 0.0, 2.0));
        let mask: Vec<bool> = (0..length).map(|k| k == length - 1 || random.random_range(0..4) > 0).collect();
        let (has_weights, has_mask) = (i % 3 != 0, i % 2 == 1);
        let mut terms = Terms::new(&z).temperature(temperature).unwrap().no_mass(NoMass::Uniform);
        if has_weights {
            terms = terms.weights(&b).unwrap();
        }
        if has_mask {
            terms = terms.mask(&mask).unwrap();
        }
        let weight = |k: usize| if has_weights { b[k].into() } else { 1.0 };
        let places: Vec<usize> =
            (0..length).filter(|&k| (!has_mask || mask[k]) && weight(k) != 0.0).collect();
        if places.is_empty() {
            continue;
        }
        count += 1;
        let wide = |numbers: &[T]| -> Vec<f64> { places.iter().map(|&k| numbers[k].into()).collect() };
        let weights: Vec<f64> = places.iter().map(|&k| weight(k)).collect();
        let exact = Exact::new(&wide(&z), &weights, temperature);
        let scale = spread + temperature * 60.0;
        let what = |name: &str| {
            format!("{name}: {z:?}, {b:?} ({has_weights}), {mask:?} ({has_mask}), τ = {temperature}")
        };
        let zero = |out: &[T], name: &str| {
            for (k, x) in out.iter().enumerate().filter(|(k, _)| !places.contains(k)) {
                assert_eq!(Into::<f64>::into(*x), 0.0, "{}, {k}", what(name));
            }
        };

        let value = exact.log_of(&exact.sum);
        worst.check(&what("value"), terms.logsumexp(), &value, scale, bits);
        assert_eq!(Into::<f64>::into(terms.logsumexp_with_sign().1), 1.0);
        let total = exact.b.iter().fold(number(0.0), |sum, b| sum + b);
        let mean = &exact.sum / &total;
        worst.check(&what("mean"), terms.logmeanexp(), &exact.log_of(&mean), scale, bits);

        let mut out = vec![T::default(); length];
        assert_eq!(terms.logsumexp_with_gradient(&mut out).unwrap().bits(), terms.logsumexp().bits());
        zero(&out, "gradient");
        for (&k, p) in places.iter().zip(&exact.p) {
            worst.check(&what("gradient"), out[k], p, p.to_f64().value(), bits - 4);
        }
        let mut by_weight = out.clone();
        terms.logsumexp_with_gradients(&mut out, &mut by_weight).unwrap();
        for ((&k, p), b) in places.iter().zip(&exact.p).zip(&exact.b) {
            let slope = p / b * &exact.temperature;
            worst.check(&what("by weight"), by_weight[k], &slope, slope.to_f64().value(), bits - 4);
        }
        terms.log_softmax(&mut out).unwrap();
        for (k, log_p) in out.iter().enumerate() {
            match places.iter().position(|&place| place == k) {
                Some(i) => {
                    worst.check(&what("log-softmax"), *log_p, &exact.p[i].ln(), scale / temperature, bits)
                }
                None => assert_eq!(Into::<f64>::into(*log_p), f64::NEG_INFINITY),
            }
        }

        let (v_exact, t_exact): (Vec<Big>, Vec<Big>) =
            (wide(&v).into_iter().map(number).collect(), wide(&t).into_iter().map(number).collect());
        let (same, slope) = terms.jvp(&t).unwrap();
        assert_eq!(same.bits(), terms.logsumexp().bits());
        worst.check(&what("jvp"), slope, &exact.mean_of(&t_exact), 2.0, bits - 4);
        terms.hvp(&v, &mut out).unwrap();
        zero(&out, "hvp");
        let v_mean = exact.mean_of(&v_exact);
        for ((&k, p), v) in places.iter().zip(&exact.p).zip(&v_exact) {
            let slope = p * (v - &v_mean) / &exact.temperature;
            worst.check(&what("hvp"), out[k], &slope, p.to_f64().value() * 4.0 / temperature, bits - 4);
        }

        let a = exact.surprisals();
        let entropy = exact.mean_of(&a);
        worst.check(
            &what("entropy"),
            terms.softmax_entropy(),
            &entropy,
            60.0 + 2.0 * spread / temperature,
            bits - 2,
        );
        let size = |p: &Big| p.to_f64().value() * (200.0 + 4.0 * spread / temperature) / temperature;
        terms.softmax_entropy_with_gradient(&mut out).unwrap();
        zero(&out, "gradient of the entropy");
        let mut slope = number(0.0);
        for (((&k, p), a), t) in places.iter().zip(&exact.p).zip(&a).zip(&t_exact) {
            let gradient = p * (a - &entropy) / &exact.temperature;
            worst.check(&what("gradient of the entropy"), out[k], &gradient, size(p), bits - 2);
            slope += gradient * t;
        }
        let found = terms.softmax_entropy_jvp(&t).unwrap();
        assert_eq!(found.0.bits(), terms.softmax_entropy().bits());
        worst.check(&what("jvp of the entropy"), found.1, &slope, 2.0 * size(&number(1.0)), bits - 2);
        let covariance = (0..a.len())
            .fold(number(0.0), |sum, i| sum + &exact.p[i] * (&v_exact[i] - &v_mean) * (&a[i] - &entropy));
        terms.softmax_entropy_hvp(&v, &mut out).unwrap();
        zero(&out, "hvp of the entropy");
        for (i, &k) in places.iter().enumerate() {
            let inner = (&v_exact[i] - &v_mean) * (&a[i] - &entropy - number(1.0)) - &covariance;
            let hessian = &exact.p[i] * inner / &exact.temperature / &exact.temperature;
            worst.check(
                &what("hvp of the entropy"),
                out[k],
                &hessian,
                8.0 * size(&exact.p[i]) / temperature,
                bits - 2,
            );
        }

        // With frequency weights and ddof = 0. For cancelling numbers the variance is a rounding error.
        if places.len() > 1 {
            let squares = exact.x.iter().zip(&exact.b).fold(number(0.0), |sum, (x, b)| {
                let deviation = x.exp() - &mean;
                sum + &deviation * &deviation * b
            });
            let variance = exact.log_of(&(squares / &total));
            let cancels = 1.0 + 1.0 / (spread / temperature);
            worst.check(
                &what("variance"),
                terms.logvarexp(0),
                &variance,
                2.0 * scale + temperature * cancels,
                bits - 4,
            );
        }
    }
    println!("{count} rows, {} bits: worst {:.3} of what is allowed", T::PRECISION, worst.0.get());
    assert!(count > 500 && worst.0.get() > 0.5);
}

#[test]
fn weights_masks_and_temperatures_compose() {
    rows::<f64>(56);
    rows::<f32>(27);
}

#[test]
fn signs_and_edges_at_a_temperature() {
    const INF: f64 = f64::INFINITY;
    let z = [1.0, 2.0];
    let terms = Terms::new(&z).weights(&[1.0, -1.0]).unwrap().temperature(2.0).unwrap();
    let exact = 2.0 * (1f64.exp() - 0.5f64.exp()).ln();
    let (value, sign) = terms.logsumexp_with_sign();
    assert!((value - exact).abs() < 1e-15 && sign == -1.0, "{value} {sign}");
    assert!(terms.logsumexp().is_nan() && terms.softmax_entropy().is_nan());
    let mut log_p = [0.0; 2];
    terms.log_softmax(&mut log_p).unwrap();
    assert!(log_p[0].is_nan() && log_p[1] > 0.0, "{log_p:?}");
    let nothing = Terms::new(&[3.0, 3.0]).weights(&[1.0, -1.0]).unwrap().temperature(0.5).unwrap();
    let mut p = [0.0; 2];
    assert_eq!(nothing.logsumexp_with_sign(), (-INF, 0.0));
    nothing.softmax(&mut p).unwrap();
    assert!(p.iter().all(|p| p.is_nan()));

    // Without finite terms the temperature has no effect.
    let rows: [(&[f64], &[f64]); 6] = [
        (&[], &[]),
        (&[-INF, -INF], &[1.0, 2.0]),
        (&[INF, 0.0], &[2.0, 1.0]),
        (&[INF, INF], &[1.0, 3.0]),
        (&[f64::NAN, 0.0], &[1.0, 1.0]),
        (&[INF, INF], &[1.0, -1.0]),
    ];
    let same = |a: f64, b: f64| a == b || a.is_nan() && b.is_nan();
    for (z, b) in rows {
        let at_one = Terms::new(z).weights(b).unwrap().no_mass(NoMass::Uniform);
        let cold = at_one.temperature(0.25).unwrap();
        let (found, expected) = (cold.logsumexp_with_sign(), at_one.logsumexp_with_sign());
        assert!(same(found.0, expected.0) && same(found.1, expected.1), "{z:?}: {found:?}");
        let [mut p, mut expected] = [vec![9.0; z.len()], vec![8.0; z.len()]];
        cold.softmax(&mut p).unwrap();
        at_one.softmax(&mut expected).unwrap();
        assert!(p.iter().zip(&expected).all(|(&p, &q)| same(p, q)), "{z:?}: {p:?}");
        let mut log_p = p.clone();
        cold.log_softmax(&mut log_p).unwrap();
        assert!(
            log_p
                .iter()
                .zip(&expected)
                .all(|(&log_p, &q)| same(log_p, q.ln()) || (log_p - q.ln()).abs() < 1e-15),
            "{z:?}: {log_p:?}"
        );
        let entropy: f64 = expected.iter().filter(|&&q| q != 0.0).map(|q| -q * q.ln()).sum();
        assert!(
            same(cold.softmax_entropy(), entropy) || (cold.softmax_entropy() - entropy).abs() < 1e-15,
            "{z:?}"
        );
    }
    assert!(Terms::new(&[1.0f64]).mask(&[false]).unwrap().logmeanexp().is_nan());
    assert_eq!(Terms::new(&[1.0f64, 7.0]).mask(&[true, false]).unwrap().logvarexp(0), -INF);
    let one = [0.0; 1];
    assert!(matches!(terms.jvp(&one), Err(Error::LengthMismatch { argument: "tangent", .. })));
    assert!(matches!(terms.log_softmax(&mut [0.0]), Err(Error::LengthMismatch { argument: "out", .. })));
}

/// The Hessian is linear: a power of two, however great, changes little but exponents.
#[test]
fn hessians_times_the_greatest_vectors() {
    let z = [0.5, 1.0, 2.25];
    let b = [1.0, -0.25, 3.0];
    let vector = [1.75, -1.0, -1.5];
    let of = |scale: f64, terms: Terms<'_, f64>| {
        let mut out = [0.0; 3];
        terms.hvp(&vector.map(|v| v * scale), &mut out).unwrap();
        out
    };
    for temperature in [1.0, 0.5] {
        let plain = Terms::new(&z).temperature(temperature).unwrap();
        for terms in [plain, plain.weights(&b).unwrap()] {
            let expected = of(1.0, terms);
            for exponent in [700, 768, 900, 1023] {
                let scale = 2_f64.powi(exponent);
                for (found, expected) in of(scale, terms).iter().zip(expected) {
                    assert!((found / scale - expected).abs() < 1e-15, "2^{exponent}, {temperature}: {found}");
                }
            }
        }
    }
}
