//! The function family against the vectors of `mpmath/make_family.py`: value, derivative in a direction, gradient,
//! and Hessian times a vector, each within 2 ulp; and against each other.

mod common;

use common::{Big, Format, exact, hex, ulps};
use logsum::{
    Terms, derivative, each, logmeanexp, logsumexp_hvp, logsumexp_jvp, logsumexp_with_gradient, logvarexp,
    logvarexp_hvp, logvarexp_jvp, logvarexp_with_gradient, second_derivative, softmax_entropy,
    softmax_entropy_hvp, softmax_entropy_jvp, softmax_entropy_with_gradient,
};
use std::collections::BTreeMap;

/// The results of an operation for a row; empty where it has no such function.
#[derive(Debug, Default)]
struct Found<T> {
    value: Option<T>,
    jvp: Option<T>,
    gradient: Vec<T>,
    hvp: Vec<T>,
}

fn found<T: Format>(name: &str, parameters: &[T], z: &[T], v: &[T]) -> Found<T> {
    let room = || vec![T::default(); z.len()];
    let (mut gradient, mut hvp) = (room(), room());
    let [value, jvp] = match name {
        "logsumexp" => {
            logsumexp_hvp(z, v, &mut hvp).unwrap();
            let (value, jvp) = logsumexp_jvp(z, v).unwrap();
            assert_eq!(logsumexp_with_gradient(z, &mut gradient).unwrap().bits(), value.bits());
            [Some(value), Some(jvp)]
        }
        "terms" => {
            let terms = Terms::new(z).weights(parameters).unwrap();
            terms.hvp(v, &mut hvp).unwrap();
            let (value, jvp) = terms.jvp(v).unwrap();
            assert_eq!(terms.logsumexp_with_gradient(&mut gradient).unwrap().bits(), value.bits());
            [Some(value), Some(jvp)]
        }
        "logmeanexp" => {
            logsumexp_hvp(z, v, &mut hvp).unwrap();
            logsumexp_with_gradient(z, &mut gradient).unwrap();
            [Some(logmeanexp(z)), Some(logsumexp_jvp(z, v).unwrap().1)]
        }
        "logvarexp" => {
            let ddof = usize::from(parameters[0].into() != 0.0);
            logvarexp_hvp(z, ddof, v, &mut hvp).unwrap();
            let value = logvarexp_with_gradient(z, ddof, &mut gradient).unwrap();
            assert_eq!(logvarexp(z, ddof).bits(), value.bits());
            [Some(value), Some(logvarexp_jvp(z, ddof, v).unwrap().1)]
        }
        "softmax_entropy" => {
            softmax_entropy_hvp(z, v, &mut hvp).unwrap();
            let value = softmax_entropy_with_gradient(z, &mut gradient).unwrap();
            assert_eq!(softmax_entropy(z).bits(), value.bits());
            [Some(value), Some(softmax_entropy_jvp(z, v).unwrap().1)]
        }
        "temperature" => {
            let terms = Terms::new(z).temperature(parameters[0].into()).unwrap();
            terms.hvp(v, &mut hvp).unwrap();
            let (value, jvp) = terms.jvp(v).unwrap();
            assert_eq!(terms.logsumexp_with_gradient(&mut gradient).unwrap().bits(), value.bits());
            [Some(value), Some(jvp)]
        }
        "temperature_entropy" => {
            let terms = Terms::new(z).temperature(parameters[0].into()).unwrap();
            terms.softmax_entropy_hvp(v, &mut hvp).unwrap();
            let value = terms.softmax_entropy_with_gradient(&mut gradient).unwrap();
            [Some(value), Some(terms.softmax_entropy_jvp(v).unwrap().1)]
        }
        _ => return of_scalar(name, z),
    };
    Found { value, jvp, gradient, hvp }
}

type Pairs<T> = fn(&[T], &[T], &mut [T]) -> Result<(), logsum::Error>;
type Slices<T> = fn(&[T], &mut [T]) -> Result<(), logsum::Error>;

/// A function of one number with its slope, or of two numbers.
fn of_scalar<T: Format>(name: &str, z: &[T]) -> Found<T> {
    let one = |f: Slices<T>, slope: fn(T) -> T, _: fn(T) -> T| {
        let mut value = [T::default()];
        f(z, &mut value).unwrap();
        (value[0], vec![slope(z[0])])
    };
    let two = |f: Pairs<T>, slopes: fn(T, T) -> [T; 2]| {
        let mut value = [T::default()];
        f(&z[..1], &z[1..], &mut value).unwrap();
        (value[0], slopes(z[0], z[1]).to_vec())
    };
    let (value, gradient) = match name {
        "logaddexp" => two(each::logaddexp, derivative::logaddexp),
        "logsubexp" => two(each::logsubexp, derivative::logsubexp),
        "xlogy" => two(each::xlogy, derivative::xlogy),
        "log1pexp" => one(each::log1pexp, derivative::log1pexp, second_derivative::log1pexp),
        "log1mexp" => one(each::log1mexp, derivative::log1mexp, second_derivative::log1mexp),
        "logexpm1" => one(each::logexpm1, derivative::logexpm1, second_derivative::logexpm1),
        "log_logistic" => one(each::log_logistic, derivative::log_logistic, second_derivative::log_logistic),
        "logistic" => one(each::logistic, derivative::logistic, second_derivative::logistic),
        "logit" => one(each::logit, derivative::logit, second_derivative::logit),
        "xlogx" => one(each::xlogx, derivative::xlogx, second_derivative::xlogx),
        _ => panic!("no such operation: {name}"),
    };
    Found { value: Some(value), gradient, ..Found::default() }
}

/// Second derivatives, as the rows of a matrix.
fn second<T: Format>(name: &str, z: &[T]) -> Option<Vec<Vec<T>>> {
    let two = |[aa, ab, bb]: [T; 3]| vec![vec![aa, ab], vec![ab, bb]];
    let one = |x: T| vec![vec![x]];
    Some(match name {
        "logaddexp" => two(second_derivative::logaddexp(z[0], z[1])),
        "logsubexp" => two(second_derivative::logsubexp(z[0], z[1])),
        "xlogy" => two(second_derivative::xlogy(z[0], z[1])),
        "log1pexp" => one(second_derivative::log1pexp(z[0])),
        "log1mexp" => one(second_derivative::log1mexp(z[0])),
        "logexpm1" => one(second_derivative::logexpm1(z[0])),
        "log_logistic" => one(second_derivative::log_logistic(z[0])),
        "logistic" => one(second_derivative::logistic(z[0])),
        "logit" => one(second_derivative::logit(z[0])),
        "xlogx" => one(second_derivative::xlogx(z[0])),
        _ => return None,
    })
}

fn numbers<T: Format>(field: &str) -> Vec<T> {
    field.split_whitespace().map(|text| T::of(hex(text))).collect()
}

/// Checks the vectors, and prints the worst error of value, jvp, gradient and hvp in ulps.
fn check<T: Format>(format: &str) {
    let mut worst: BTreeMap<String, [f64; 4]> = BTreeMap::new();
    let mut seen = 0;
    for line in include_str!("mpmath/family.txt").lines().filter(|line| !line.starts_with('#')) {
        let fields: [&str; 8] = line.split(" | ").collect::<Vec<_>>().try_into().expect("eight fields");
        let [name, parameters, z, v, value, jvp, gradient, hvp] = fields;
        let [parameters, z, v] = [parameters, z, v].map(numbers::<T>);
        let found = found(name, &parameters, &z, &v);
        let mut compare = |kind: usize, found: T, field: &str| {
            if let Some(exact) = exact(field) {
                let error = ulps(found, &exact);
                assert!(
                    error <= 2.0,
                    "{format}: {found}, {} off by {error} ulp: {line}",
                    ["value", "jvp", "gradient", "hvp"][kind]
                );
                let worst = &mut worst.entry(name.to_owned()).or_default()[kind];
                *worst = worst.max(error);
                seen += 1;
            }
        };
        if let Some(found) = found.value {
            compare(0, found, value);
        }
        if let Some(found) = found.jvp {
            compare(1, found, jvp);
        }
        for (&found, field) in found.gradient.iter().zip(gradient.split(' ')) {
            compare(2, found, field);
        }
        for (&found, field) in found.hvp.iter().zip(hvp.split(' ')) {
            compare(3, found, field);
        }
        // Second derivatives of elementwise functions times v, summed exactly.
        for (row, field) in second(name, &z).iter().flatten().zip(hvp.split(' ')) {
            let big = |x: T| common::big(x.into(), 300);
            let sum =
                row.iter().zip(&v).fold(common::big(0.0, 300), |sum: Big, (&h, &v)| sum + big(h) * big(v));
            let size: f64 = row.iter().zip(&v).map(|(&h, &v)| (h.into() * v.into()).abs()).sum();
            let least: f64 =
                v.iter().map(|&v| v.into().abs()).sum::<f64>() * 2f64.powi(T::LEAST_EXPONENT as i32);
            if let Some(exact) = exact(field) {
                // 2 ulp of each second derivative; where they cancel, as f32's do, of the sum of the magnitudes.
                let off = (sum - &exact).to_f64().value().abs();
                let ulp = 2f64.powi(1 - T::PRECISION as i32) * size + least;
                assert!(off <= 2.0 * ulp, "{format}: second derivative off by {} ulp: {line}", off / ulp);
                let relative = off / exact.to_f64().value().abs() * 2f64.powi(T::PRECISION as i32 - 1);
                assert!(
                    relative <= 2.0 || T::PRECISION == 24,
                    "{format}: second derivative off by {relative} ulp: {line}"
                );
                let worst = &mut worst.entry(name.to_owned()).or_default()[3];
                *worst = worst.max(off / ulp);
            }
        }
    }
    for (name, [value, jvp, gradient, hvp]) in worst {
        println!(
            "{format} {name:20} worst ulp: value {value:.3}, jvp {jvp:.3}, gradient {gradient:.3}, hvp {hvp:.3}"
        );
    }
    assert!(seen > 1000, "{seen}");
}

#[test]
fn f64_vectors() {
    check::<f64>("f64");
}

#[test]
fn f32_vectors() {
    check::<f32>("f32");
}

#[test]
fn tangents_where_the_softmax_is_0_do_not_count() {
    const INF: f64 = f64::INFINITY;
    for (z, value, slope) in [([0.0, -INF], 0.0, 1.0), ([-INF, -INF], -INF, 0.0), ([INF, 0.0], INF, 1.0)] {
        for t in [INF, f64::NAN] {
            assert_eq!(logsumexp_jvp(&z, &[1.0, t]).unwrap(), (value, slope), "{z:?} {t}");
            let mut out = [9.0; 2];
            logsumexp_hvp(&z, &[1.0, t], &mut out).unwrap();
            assert_eq!(out, [0.0; 2], "{z:?} {t}");
        }
    }
}
