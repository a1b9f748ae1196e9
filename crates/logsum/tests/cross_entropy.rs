//! Cross-entropy against its definition in arbitrary precision, derivatives against each other, and special cases.

mod common;
#[path = "common/each_level.rs"]
mod each_level;

use common::{Big, Format, big, nearest, ulps};
use each_level::each_level;
use logsum::{
    CrossEntropy, Error, Reduction, Targets, cross_entropy, cross_entropy_with_gradient, logsumexp,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const BITS: usize = 1300;

fn of(x: f64) -> Big {
    big(x, BITS)
}

/// The data of a row's loss: q_k, the z-loss and the temperature.
struct Row<'a> {
    z: &'a [f64],
    q: Vec<Big>,
    z_loss: f64,
    temperature: f64,
}

impl Row<'_> {
    fn scaled(&self) -> Vec<Big> {
        self.z.iter().map(|&z| of(z) / of(self.temperature)).collect()
    }

    /// LSE(z/τ), relative to the maximum.
    fn lse(&self) -> Big {
        let z = self.scaled();
        let max = z.iter().max().expect("not empty").clone();
        z.iter().fold(of(0.0), |sum, z| sum + (z - &max).exp()).ln() + max
    }

    fn loss(&self) -> Big {
        let lse = self.lse();
        let whole = self.q.iter().fold(of(0.0), |sum, q| sum + q);
        let nll = self.scaled().iter().zip(&self.q).fold(of(0.0), |sum, (z, q)| sum + q * (&lse - z));
        nll + whole * of(self.z_loss) * &lse * lse
    }

    fn gradient(&self) -> Vec<Big> {
        let lse = self.lse();
        let whole = self.q.iter().fold(of(0.0), |sum, q| sum + q);
        let growth = of(1.0) + of(2.0) * of(self.z_loss) * &lse;
        let slope = |(z, q): (&Big, &Big)| (&whole * (z - &lse).exp() * &growth - q) / of(self.temperature);
        self.scaled().iter().zip(&self.q).map(slope).collect()
    }
}

/// Random numbers that are exact in f32.
fn numbers(random: &mut ChaCha8Rng, count: usize, spread: f64) -> Vec<f64> {
    (0..count).map(|_| f64::from((spread * random.random_range(-1.0..1.0)) as f32)).collect()
}

#[derive(Default)]
struct Worst {
    loss: f64,
    mean: f64,
    gradient: f64,
}

fn check<T: Format>(plain: bool) -> Worst {
    let mut random = ChaCha8Rng::seed_from_u64(31);
    let mut worst = Worst::default();
    for case in 0..150 {
        let classes = [1, 2, 3, 10, 40, 70, 300][case % 7];
        let rows = random.random_range(1..4);
        let offset = [0.0, 1e8, -1000.0][case % 3];
        let spread = [1.0, 30.0, 300.0, 4000.0][case % 4];
        let logits: Vec<f64> = numbers(&mut random, rows * classes, spread)
            .into_iter()
            .map(|z| f64::from((z + offset) as f32))
            .collect();
        let targets: Vec<usize> = (0..rows).map(|_| random.random_range(0..classes)).collect();
        let weights: Vec<f64> = numbers(&mut random, classes, 3.0).into_iter().map(f64::abs).collect();
        let probabilities: Vec<f64> = numbers(&mut random, rows * classes, 1.0)
            .into_iter()
            .map(|p| if p < 0.0 { 0.0 } else { p })
            .collect();
        let (weighted, soft) = (!plain && case % 2 == 0, !plain && case % 3 == 1);
        let smoothing = if plain { 0.0 } else { [0.0, 0.25, 1.0][case % 3] };
        let z_loss = if plain || offset > 0.0 { 0.0 } else { [0.0, 1.0 / 1024.0][case / 2 % 2] };
        let temperature = if plain { 1.0 } else { [1.0, 0.25, 3.0][case / 3 % 3] };
        let [z, w, p] =
            [&logits, &weights, &probabilities].map(|x| x.iter().map(|&x| T::of(x)).collect::<Vec<T>>());
        let loss = CrossEntropy::new(classes).label_smoothing(smoothing).unwrap().z_loss(z_loss).unwrap();
        let loss = loss.temperature(temperature).unwrap();
        let loss = if weighted { loss.class_weights(&w).unwrap() } else { loss };
        let given = if soft { Targets::Probabilities(&p) } else { Targets::Classes(&targets) };
        let weight = |k: usize| if weighted { of(weights[k]) } else { of(1.0) };
        let spread_out = of(smoothing) / of(classes as f64);
        let exact: Vec<Row> = (0..rows)
            .map(|row| {
                let q = (0..classes).map(|k| {
                    let one = if soft {
                        of(probabilities[row * classes + k])
                    } else {
                        of(f64::from(u8::from(targets[row] == k)))
                    };
                    weight(k) * ((of(1.0) - of(smoothing)) * one + &spread_out)
                });
                Row { z: &logits[row * classes..][..classes], q: q.collect(), z_loss, temperature }
            })
            .collect();
        let (mut losses, mut gradient) = (vec![T::default(); rows], z.clone());
        loss.losses_with_gradient(&z, given, &mut losses, &mut gradient).unwrap();
        let mut total = of(0.0);
        for (row, exact) in exact.iter().enumerate() {
            let value = exact.loss();
            let error = ulps(losses[row], &value);
            let most = if plain { 1.0 } else { 2.0 };
            assert!(error <= most, "case {case}, {classes} classes: loss {} off by {error} ulp", losses[row]);
            worst.loss = worst.loss.max(error);
            if plain {
                // The terms of other classes may be too small for these bits, but decide ties.
                let trace = if classes > 1 { big(1.0, 6000) >> 5000 } else { of(0.0) };
                let above = value.clone().with_precision(6000).value() + trace;
                assert_eq!(losses[row].bits(), nearest::<T>(&above).bits(), "case {case}, {classes} classes");
            }
            total += value;
            for (k, slope) in exact.gradient().into_iter().enumerate() {
                let found = gradient[row * classes + k];
                let error = ulps(found, &slope);
                // Where Q p and q cancel, the bound is in ulps of q.
                let off = (of(found.into()) - &slope).to_f64().value().abs();
                let q = (&exact.q[k] / of(temperature)).to_f64().value();
                let is_close = !plain && slope.to_f64().value().abs() < q.max(1e-288);
                let allowed = 2.0 * q * 2f64.powi(1 - T::PRECISION as i32) + 1e-305;
                assert!(
                    error <= if plain { 1.0 } else { 2.0 } || is_close && off <= allowed,
                    "case {case}, {classes} classes: gradient {found} off by {error} ulp, {plain}"
                );
                if !is_close {
                    worst.gradient = worst.gradient.max(error);
                }
            }
        }
        let whole = if soft {
            of(rows as f64)
        } else {
            targets.iter().fold(of(0.0), |sum, &target| sum + weight(target))
        };
        let mut scaled = z.clone();
        let mean = loss.loss_with_gradient(&z, given, Reduction::Mean, &mut scaled).unwrap();
        assert_eq!(mean.bits(), loss.loss(&z, given, Reduction::Mean).unwrap().bits());
        worst.mean = worst.mean.max(ulps(mean, &(&total / &whole)));
        let sum = loss.loss_with_gradient(&z, given, Reduction::Sum, &mut gradient).unwrap();
        worst.mean = worst.mean.max(ulps(sum, &total));
        for (scaled, gradient) in scaled.into_iter().zip(gradient) {
            let expected = of(gradient.into()) / &whole;
            assert!(ulps(scaled, &expected) <= 2.0, "case {case}: {scaled}, {gradient}");
        }
    }
    assert!(worst.mean <= if plain { 1.0 } else { 2.0 }, "{}", worst.mean);
    worst
}

fn report(what: &str, worst: Worst) {
    println!(
        "{what}: worst loss {:.4} ulp, mean {:.4}, gradient {:.4}",
        worst.loss, worst.mean, worst.gradient
    );
}

/// Rows for which everything is the float nearest to the exact result, and these floats.
#[derive(Debug)]
struct Nearest<T> {
    logits: Vec<T>,
    classes: usize,
    targets: Vec<usize>,
    probabilities: Option<Vec<T>>,
    class_weights: Option<Vec<T>>,
    smoothing: f64,
    losses: Vec<T>,
    /// The sum and its gradient, the mean and its gradient.
    reduced: [(T, Vec<T>); 2],
}

/// x, but for something of this sign that is too small for its bits.
fn beside(x: Big, sign: f64) -> Big {
    x.with_precision(6000).value() + (big(sign, 6000) >> 5000)
}

impl<T: Format> Nearest<T> {
    fn random(case: usize, random: &mut ChaCha8Rng) -> Self {
        let classes = [2, 3, 10, 5, 1, 40, 17, 70, 8, 130][case % 10];
        let rows = random.random_range(1..5);
        let style = case / 3 % 9;
        let far = if T::PRECISION == 11 { 3e4 } else { 1e7 };
        let spread = [1.0, 30.0, 300.0, far, 1.0, 1.0, 0.0, 20.0, 0.25][style];
        let mut logits = Vec::new();
        let mut targets = Vec::new();
        for _ in 0..rows {
            let target = random.random_range(0..classes);
            let certain = if case.is_multiple_of(2) { target } else { random.random_range(0..classes) };
            targets.push(target);
            for k in 0..classes {
                let z: f64 = spread * random.random_range(-1.0..1.0);
                logits.push(T::of(match style {
                    // Subnormal probabilities, or very certain ones, and half-way differences.
                    4 | 5 if k == certain => [0.0, 2050.0 + 4.0 * z.round()][case / 27 % 2],
                    4 => -(730.0 + 15.0 * z),
                    5 => -100.0 - 40.0 * z.abs().round(),
                    7 if k != target && z < 0.0 => -INF,
                    8 => z + if T::PRECISION == 11 { 1e4 } else { 1e8 },
                    _ => z,
                }));
            }
        }
        let number = |random: &mut ChaCha8Rng| match (case / 7 % 4, random.random_range(-1.0..1.0)) {
            (0, x) => x,
            (1, x) if x < 0.0 => 0.0,
            (1, _) => 1.0,
            (2, x) => x * 2f64.powi((if T::PRECISION == 11 { 3.0 } else { 90.0 } * x) as i32),
            (_, x) => x * 3.0,
        };
        let mut numbers =
            |count: usize| -> Vec<T> { (0..count).map(|_| T::of(f64::abs(number(random)))).collect() };
        let class_weights = (case % 4 >= 2).then(|| numbers(classes));
        let probabilities = (case % 5 >= 3).then(|| match case / 5 % 3 {
            0 => vec![T::of(1.0 / classes as f64); rows * classes],
            _ => numbers(rows * classes),
        });
        let smoothing = [0.0, 0.0, 0.1, 0.5, 0.0, 1.0, 0.0][case % 7];
        Self::of(logits, classes, targets, probabilities, class_weights, smoothing)
    }

    fn of(
        logits: Vec<T>,
        classes: usize,
        targets: Vec<usize>,
        probabilities: Option<Vec<T>>,
        class_weights: Option<Vec<T>>,
        smoothing: f64,
    ) -> Self {
        let (losses, reduced) = Default::default();
        let mut all =
            Self { logits, classes, targets, probabilities, class_weights, smoothing, losses, reduced };
        all.settle();
        all
    }

    /// One row whose target is class 0.
    fn row(logits: &[f64], probabilities: &[f64], class_weights: &[f64], smoothing: f64) -> Self {
        let of = |numbers: &[f64]| numbers.iter().map(|&x| T::of(x)).collect::<Vec<T>>();
        let some = |numbers: &[f64]| (!numbers.is_empty()).then(|| of(numbers));
        Self::of(of(logits), logits.len(), vec![0], some(probabilities), some(class_weights), smoothing)
    }

    /// q_k of each class of a row.
    fn weights(&self, row: usize) -> Vec<Big> {
        let one = |k: usize| match &self.probabilities {
            Some(p) => of(p[row * self.classes + k].into()),
            None => of(f64::from(u8::from(self.targets[row] == k))),
        };
        let weight = |k: usize| self.class_weights.as_ref().map_or(of(1.0), |w| of(w[k].into()));
        // K q_k, exactly.
        let classes = of(self.classes as f64);
        let smoothing = of(self.smoothing);
        let certain = (of(1.0) - &smoothing) * classes;
        (0..self.classes).map(|k| weight(k) * (&certain * one(k) + &smoothing)).collect()
    }

    /// Computes all in arbitrary precision.
    fn settle(&mut self) {
        let classes = of(self.classes as f64);
        let zero = || of(0.0);
        let whole = match (&self.probabilities, &self.class_weights) {
            (None, Some(weights)) => {
                self.targets.iter().fold(zero(), |sum, &target| sum + of(weights[target].into()))
            }
            _ => of(self.targets.len() as f64),
        };
        // The sum of losses times K, and whether the exact sum is greater by a tiny amount.
        let (mut sum, mut is_above, mut is_infinite) = (zero(), false, false);
        let divisors = [of(1.0), whole.clone()];
        let mut gradients = [Vec::new(), Vec::new()];
        for (row, z) in self.logits.chunks(self.classes).enumerate() {
            let q = self.weights(row);
            let total = q.iter().fold(zero(), |sum, q| sum + q);
            let z: Vec<f64> = z.iter().map(|&z| z.into()).collect();
            let max = z.iter().copied().fold(-INF, f64::max);
            let e: Vec<Big> =
                z.iter().map(|&z| if z == -INF { zero() } else { (of(z) - of(max)).exp() }).collect();
            let others: Vec<Big> = (0..self.classes)
                .map(|k| e.iter().enumerate().filter(|&(i, _)| i != k).fold(zero(), |sum, (_, e)| sum + e))
                .collect();
            let all = others[0].clone() + &e[0];
            let counts = total > zero();
            let has_others = z.iter().filter(|&&z| z > -INF).count() > 1;
            let is_equal = z.iter().all(|&z| z == max || z == -INF);
            // log S without cancellation where it is tiny.
            let first = z.iter().position(|&z| z == max).expect("a maximum");
            let mut loss = if has_others { log1p(&others[first]) * &total } else { zero() };
            let mut is_row_infinite = false;
            for (z, q) in z.iter().zip(&q).filter(|&(_, q)| *q > zero()) {
                if *z == -INF {
                    is_row_infinite = true;
                } else {
                    loss += q * (of(max) - of(*z));
                }
            }
            let trace = f64::from(u8::from(has_others && counts));
            self.losses.push(match is_row_infinite {
                true => T::of(INF),
                false => nearest(&beside(&loss / &classes, trace)),
            });
            is_infinite |= is_row_infinite;
            is_above |= has_others && counts;
            sum += loss;
            for k in 0..self.classes {
                // (Q − q) − Q (1 − p), or Q p − q; with equal numbers, exactly, times their number.
                let (slope, trace) = match () {
                    () if z[k] == -INF => (-&q[k], 0.0),
                    () if is_equal || !counts => (&total * &e[k] - &q[k] * &all, 0.0),
                    () if e[k] > others[k] => ((&total - &q[k]) - &total * &others[k] / &all, -1.0),
                    () => (&total * &e[k] / &all - &q[k], 1.0),
                };
                let times = &classes * if is_equal && z[k] > -INF { all.clone() } else { of(1.0) };
                for (divisor, gradient) in divisors.iter().zip(&mut gradients) {
                    gradient.push(match divisor {
                        divisor if *divisor == zero() => T::of(0.0),
                        divisor => nearest(&beside(&slope / (&times * divisor), trace)),
                    });
                }
            }
        }
        let mut gradients = gradients.into_iter();
        self.reduced = divisors.map(|divisor| {
            let value = match () {
                () if divisor == zero() => T::of(NAN),
                () if is_infinite => T::of(INF),
                () => {
                    let trace = f64::from(u8::from(is_above));
                    nearest(&beside(&sum / (&classes * divisor), trace))
                }
            };
            (value, gradients.next().expect("two"))
        });
    }

    /// Compares all that the library computes. Returns the number of results.
    fn check(&self, what: &str) -> usize {
        let mut loss = CrossEntropy::new(self.classes).label_smoothing(self.smoothing).unwrap();
        if let Some(weights) = &self.class_weights {
            loss = loss.class_weights(weights).unwrap();
        }
        let targets = match &self.probabilities {
            Some(probabilities) => Targets::Probabilities(probabilities),
            None => Targets::Classes(&self.targets),
        };
        let same = |name: &str, found: &[T], expected: &[T]| {
            for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
                let is_nan = |x: T| <T as Into<f64>>::into(x).is_nan();
                let is_same = found.bits() == expected.bits() || is_nan(found) && is_nan(expected);
                assert!(is_same, "{what}, {name} {i}: {found:?}, not {expected:?}, of {self:?}");
            }
        };
        let (mut losses, mut gradient) = (self.losses.clone(), self.logits.clone());
        let [sum, mean] = &self.reduced;
        loss.losses(&self.logits, targets, &mut losses).unwrap();
        same("loss", &losses, &self.losses);
        loss.losses_with_gradient(&self.logits, targets, &mut losses, &mut gradient).unwrap();
        same("loss beside its gradient", &losses, &self.losses);
        same("gradient of each loss", &gradient, &sum.1);
        for (name, reduction, (value, slopes)) in
            [("sum", Reduction::Sum, sum), ("mean", Reduction::Mean, mean)]
        {
            let found = loss.loss_with_gradient(&self.logits, targets, reduction, &mut gradient).unwrap();
            same(name, &[found, loss.loss(&self.logits, targets, reduction).unwrap()], &[*value; 2]);
            same(&format!("gradient of the {name}"), &gradient, slopes);
        }
        3 * gradient.len() + 2 * losses.len() + 4
    }
}

/// log(1 + x).
fn log1p(x: &Big) -> Big {
    (x.clone().with_precision(3000).value() + big(1.0, 3000)).ln()
}

fn check_nearest<T: Format>(cases: usize) {
    let mut random = ChaCha8Rng::seed_from_u64(77);
    let cases: Vec<_> = (0..cases).map(|case| Nearest::<T>::random(case, &mut random)).collect();
    for level in each_level() {
        let checked = cases.iter().enumerate().map(|(i, case)| case.check(&format!("case {i}, {level:?}")));
        println!(
            "{}, {level:?}: {} results, each the nearest",
            std::any::type_name::<T>(),
            checked.sum::<usize>()
        );
    }
}

/// Weights near the ends of the range, for which double-doubles would lose bits, see what is far below the maximum, or
/// take a positive weight for 0.
#[test]
fn weights_of_any_size() {
    let least = 5e-324;
    for level in each_level() {
        for (i, case) in [
            Nearest::<f64>::row(&[0.3, 0.1], &[], &[1.5e308, 1.1e308], 0.0),
            Nearest::row(&[0.3, 0.1, 0.7], &[], &[1e200; 3], 0.1),
            Nearest::row(&[0.0, -1200.0], &[], &[1e308, 1.0], 0.0),
            Nearest::row(&[0.0, -1100.0], &[], &[1e200, 1.0], 0.0),
            Nearest::row(&[0.0, -700.0], &[], &[1e-300, 1.0], 0.0),
            Nearest::row(&[0.0, -347.0], &[], &[least, 1.0], 0.0),
            Nearest::row(&[0.0, -900.0], &[], &[1e-110, 1.0], 0.0),
            Nearest::row(&[0.0, 1.0, 0.3], &[1e-200, 2e-200, 1e-200], &[1e-200; 3], 0.0),
            Nearest::row(&[0.0, -INF], &[1.0, 1e-200], &[1.0, 1e-200], 0.0),
            Nearest::row(&[0.0, -INF], &[], &[1.0, 1e-200], 1e-200),
            Nearest::row(&[0.0, 0.3], &[], &[least; 2], 0.9),
            Nearest::row(&[0.0, 0.3, 0.1], &[], &[least; 3], 0.9),
            Nearest::row(&[0.2, 0.7, -0.4], &[], &[1.3e-307, 1.7e-307, 1.1e-307], 0.1),
            Nearest::row(&[0.0, -1.234e300], &[0.0, 1.37e-157], &[1.0, 1.83e-163], 0.0),
            Nearest::row(&[0.0, -1e300, 2.0], &[0.0; 3], &[], 1e-320),
            Nearest::row(&[0.3, -0.2, 0.5], &[], &[1.0, 1.1e308, 0.7e308], 1.7e-310),
            Nearest::row(&[0.3, -500.0, 0.5], &[1e300, 1e-300, 1.0], &[1e100, 1e-100, 1e-300], 0.3),
            Nearest::row(&[-INF, -1000.0, 0.0, -990.0], &[0.0, 1e300, 1e-300, 0.0], &[], 0.0),
        ]
        .iter()
        .enumerate()
        {
            case.check(&format!("f64, case {i}, {level:?}"));
        }
        for (i, case) in [
            Nearest::<f32>::row(&[0.0, 0.0, -40.0], &[0.5, 0.5, 0.0], &[1e-45; 3], 0.0),
            Nearest::row(&[0.0, -1.0, 2.0], &[0.0; 3], &[], 1e-320),
            Nearest::row(&[0.0, -2000.0], &[], &[1e-45, 3e38], 0.0),
            Nearest::row(&[0.0, -110.0], &[], &[1e30, 3e38], 0.0),
            Nearest::row(&[0.0, -150.0], &[1e20, 0.0], &[3e30, 3e38], 0.0),
            Nearest::row(&[2.0, -150.0], &[1e-45, 3e38], &[1e-45, 3e38], 0.25),
        ]
        .iter()
        .enumerate()
        {
            case.check(&format!("f32, case {i}, {level:?}"));
        }
        let halves = &[2f64.powi(-24); 3];
        Nearest::<half::f16>::row(&[0.0, 0.0, -35.0], &[0.5, 0.5, 0.0], halves, 0.0).check("f16");
    }
}

#[test]
fn everything_is_the_nearest_f64() {
    check_nearest::<f64>(360);
}

#[test]
fn everything_is_the_nearest_f32() {
    check_nearest::<f32>(360);
}

#[test]
fn everything_is_the_nearest_f16() {
    check_nearest::<half::f16>(360);
}

#[test]
fn everything_is_the_nearest_bf16() {
    check_nearest::<half::bf16>(360);
}

#[test]
fn losses_and_gradients_of_classes_keep_their_bounds() {
    report("f64, class targets", check::<f64>(true));
    report("f32, class targets", check::<f32>(true));
}

#[test]
fn losses_and_gradients_with_options_keep_their_bounds_in_f64() {
    report("f64, with options", check::<f64>(false));
}

#[test]
fn losses_and_gradients_with_options_keep_their_bounds_in_f32() {
    report("f32, with options", check::<f32>(false));
}

#[test]
fn certain_targets_have_small_losses_and_slopes() {
    for offset in [0.0, 1e8, -1e15] {
        for classes in [3, 100] {
            let mut z = vec![offset - 64.0; classes];
            z[1] = offset;
            let mut gradient = vec![9.0; classes];
            let loss = cross_entropy_with_gradient(&z, &[1], &mut gradient).unwrap();
            let expected = (classes - 1) as f64 * (-64f64).exp();
            assert!((loss / expected - 1.0).abs() < 1e-15, "{loss}");
            assert!((gradient[1] / -expected - 1.0).abs() < 1e-15, "{gradient:?}");
            assert_eq!(gradient[0], gradient[2]);
        }
    }
    assert_eq!(cross_entropy(&[5.0f32], &[0]).unwrap(), 0.0);
}

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

#[test]
fn edges() {
    let third = 1.0 / 3.0;
    let rows: [([f64; 3], usize, f64, [f64; 3]); 9] = [
        ([0.0, 0.0, -INF], 0, std::f64::consts::LN_2, [-0.5, 0.5, 0.0]),
        ([0.0, 0.0, -INF], 2, INF, [0.5, 0.5, -1.0]),
        ([0.0, -INF, -INF], 0, 0.0, [0.0, 0.0, 0.0]),
        ([-INF; 3], 0, INF, [0.0; 3]),
        ([INF, INF, 0.0], 0, std::f64::consts::LN_2, [-0.5, 0.5, 0.0]),
        ([INF, INF, INF], 1, 3f64.ln(), [third, third - 1.0, third]),
        ([INF, 0.0, 0.0], 1, INF, [1.0, -1.0, 0.0]),
        ([NAN, 0.0, 0.0], 1, NAN, [NAN; 3]),
        ([f64::MAX, f64::MIN, 0.0], 1, INF, [1.0, -1.0, 0.0]),
    ];
    let same = |a: f64, b: f64| a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 3e-16 * b.abs();
    for (z, target, value, slopes) in rows {
        // In short rows, in long rows, and by the general path: as probabilities, which also take a temperature.
        for length in [3, 90] {
            let mut long = vec![if z[0].is_nan() || z == [-INF; 3] { z[0] } else { -INF }; length];
            long[..3].copy_from_slice(&z);
            let mut one_hot = vec![0.0; length];
            one_hot[target] = 1.0;
            for targets in [Targets::Classes(&[target]), Targets::Probabilities(&one_hot)] {
                let mut gradient = vec![9.0; length];
                let mut losses = [9.0];
                let loss = CrossEntropy::new(length);
                loss.losses_with_gradient(&long, targets, &mut losses, &mut gradient).unwrap();
                assert!(same(losses[0], value), "{z:?}, {target}: {}", losses[0]);
                assert!(same(loss.loss(&long, targets, Reduction::Mean).unwrap(), value));
                for (k, slope) in slopes.into_iter().enumerate() {
                    assert!(same(gradient[k], slope), "{z:?}, {target}, {targets:?}: {gradient:?}");
                }
                let rest = if z[0].is_nan() { NAN } else { 0.0 };
                assert!(gradient[3..].iter().all(|&g| same(g, rest)), "{z:?}: {gradient:?}");
            }
        }
    }
    // Smoothing gives every class a part of the target, even a class with logit −∞.
    let smooth = CrossEntropy::new(2).label_smoothing(0.5).unwrap();
    assert_eq!(smooth.loss(&[0.0, -INF], Targets::Classes(&[0]), Reduction::Mean).unwrap(), INF);
}

#[test]
fn what_is_ignored_does_not_count() {
    let logits = [1.0, 2.0, NAN, NAN, 3.0, 3.0];
    let loss = CrossEntropy::new(2).ignore(usize::MAX);
    let targets = Targets::Classes(&[0, usize::MAX, 1]);
    let mut gradient = [9.0; 6];
    let mean = loss.loss_with_gradient(&logits, targets, Reduction::Mean, &mut gradient).unwrap();
    let few = cross_entropy(&[1.0, 2.0, 3.0, 3.0], &[0, 1]).unwrap();
    assert_eq!(mean, few);
    assert_eq!(gradient[2..4], [0.0, 0.0]);
    assert_eq!(gradient[4..], [0.25, -0.25]);
    let all = Targets::Classes(&[usize::MAX; 3]);
    assert!(loss.loss_with_gradient(&logits, all, Reduction::Mean, &mut gradient).unwrap().is_nan());
    assert_eq!(gradient, [0.0; 6]);
    assert_eq!(loss.loss(&logits, all, Reduction::Sum).unwrap(), 0.0);
    let weights = [0.0, 2.0];
    let weighted = CrossEntropy::new(2).class_weights(&weights).unwrap();
    let targets = Targets::Classes(&[0, 1]);
    assert_eq!(
        weighted.loss(&[NAN, 0.0, 3.0, 3.0], targets, Reduction::Mean).unwrap(),
        logsumexp(&[0.0, 0.0])
    );
    assert!(weighted.loss(&[0.0; 2], Targets::Classes(&[0]), Reduction::Mean).unwrap().is_nan());
    assert!(CrossEntropy::new(3).loss(&[0f64; 0], Targets::Classes(&[]), Reduction::Mean).unwrap().is_nan());
    assert_eq!(CrossEntropy::new(3).loss(&[0f64; 0], Targets::Classes(&[]), Reduction::Sum).unwrap(), 0.0);
}

/// Value, gradient, derivative in a direction, and Hessian times a vector: each against the previous one.
#[test]
fn derivatives_agree() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    for case in 0..12 {
        let (rows, classes) = (3, 7);
        let z: Vec<f64> = numbers(&mut random, rows * classes, 3.0);
        let v = numbers(&mut random, rows * classes, 1.0);
        let p: Vec<f64> = numbers(&mut random, rows * classes, 1.0).into_iter().map(f64::abs).collect();
        let loss = CrossEntropy::new(classes).ignore(99).temperature([1.0, 0.5][case % 2]).unwrap();
        let loss = loss.z_loss([0.0, 0.01][case / 2 % 2]).unwrap();
        let loss = loss.label_smoothing([0.0, 0.1][case / 4 % 2]).unwrap();
        let targets = [Targets::Classes(&[1, 99, 6]), Targets::Probabilities(&p)][case % 2];
        let reduction = [Reduction::Mean, Reduction::Sum][case / 2 % 2];
        let value = |z: &[f64]| loss.loss(z, targets, reduction).unwrap();
        let gradient = |z: &[f64]| {
            let mut gradient = z.to_vec();
            loss.loss_with_gradient(z, targets, reduction, &mut gradient).unwrap();
            gradient
        };
        let moved = |by: f64| -> Vec<f64> { z.iter().zip(&v).map(|(z, v)| z + by * v).collect() };
        // The error of the difference quotient is O(h⁴), h = 2^-10.
        let h = 2f64.powi(-10);
        let slope = |f: &dyn Fn(f64) -> f64| (8.0 * (f(h) - f(-h)) - (f(2.0 * h) - f(-2.0 * h))) / (12.0 * h);
        let (same, derivative) = loss.jvp(&z, targets, reduction, &v).unwrap();
        assert_eq!(same, value(&z));
        assert!((slope(&|by| value(&moved(by))) - derivative).abs() < 1e-9, "{case}");
        let dot: f64 = gradient(&z).iter().zip(&v).map(|(g, v)| g * v).sum();
        assert!((dot - derivative).abs() < 1e-14);
        let mut hessian = z.clone();
        loss.hvp(&z, targets, reduction, &v, &mut hessian).unwrap();
        for (k, &found) in hessian.iter().enumerate() {
            let expected = slope(&|by| gradient(&moved(by))[k]);
            assert!((found - expected).abs() < 1e-9, "case {case}: {found}, {expected}");
        }
    }
}

/// Whether numbers are within a few ulp of these, which mpmath computed with 4000 bits.
fn assert_close(found: &[f64], expected: &[f64], what: &str) {
    let is_close = |(a, b): (&f64, &f64)| a == b || (a - b).abs() <= 8.0 * f64::EPSILON * b.abs();
    let all_are = found.len() == expected.len() && found.iter().zip(expected).all(is_close);
    assert!(all_are, "{what}: {found:?}, expected {expected:?}");
}

/// Class weights whose sum overflows, or is so small that its inverse does.
#[test]
fn sums_of_class_weights_beyond_the_range() {
    let (z, v) = ([0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 2.0]);
    let targets = Targets::Classes(&[0, 1]);
    let (equal, other) = ([9e307; 2], [1.7e308, 1e308]);
    // Label smoothing and temperature; the loss, its gradient, and its Hessian times v.
    type Case<'a> = (&'a [f64; 2], f64, f64, f64, [f64; 4], [f64; 4]);
    let table: [Case<'_>; 6] = [
        (
            &equal,
            0.0,
            1.0,
            0.8132616875182228,
            [-0.36552928931500245, 0.36552928931500245, 0.13447071068499755, -0.13447071068499755],
            [0.09830596662074093, -0.09830596662074093, -0.19661193324148185, 0.19661193324148185],
        ),
        (
            &other,
            0.0,
            1.0,
            0.9428913171478525,
            [-0.46029614210037345, 0.46029614210037345, 0.09960793384073893, -0.09960793384073893],
            [0.12379269870759968, -0.12379269870759968, -0.14563846906776434, 0.14563846906776434],
        ),
        (
            &other,
            0.25,
            1.0,
            0.9428913171478525,
            [-0.3903081326077344, 0.3903081326077344, 0.02961992434809989, -0.02961992434809989],
            [0.11742101568588499, -0.11742101568588499, -0.15838183511119372, 0.15838183511119372],
        ),
        (
            &equal,
            0.0,
            2.0,
            0.7240769841801067,
            [-0.15561483280046365, 0.15561483280046365, 0.09438516719953637, -0.09438516719953637],
            [0.029375464025199312, -0.029375464025199312, -0.058750928050398624, 0.058750928050398624],
        ),
        (
            &[5e-324; 2],
            0.0,
            2.0,
            0.7240769841801067,
            [-0.15561483280046365, 0.15561483280046365, 0.09438516719953637, -0.09438516719953637],
            [0.029375464025199312, -0.029375464025199312, -0.058750928050398624, 0.058750928050398624],
        ),
        (
            &other,
            0.0,
            2.0,
            0.7888917989949215,
            [-0.19595941908206532, 0.19595941908206532, 0.06991493866632323, -0.06991493866632323],
            [0.0369913250687695, -0.0369913250687695, -0.04351920596325824, 0.04351920596325824],
        ),
    ];
    for (weights, smoothing, temperature, value, slopes, curvatures) in table {
        let what = format!("{weights:?}, smoothing {smoothing}, temperature {temperature}");
        let loss = CrossEntropy::new(2).class_weights(weights).unwrap();
        let loss = loss.label_smoothing(smoothing).unwrap().temperature(temperature).unwrap();
        let [mut gradient, mut hessian] = [[9.0; 4]; 2];
        let found = loss.loss_with_gradient(&z, targets, Reduction::Mean, &mut gradient).unwrap();
        assert_close(&[found, loss.loss(&z, targets, Reduction::Mean).unwrap()], &[value; 2], &what);
        assert_close(&gradient, &slopes, &what);
        if temperature == 1.0 {
            assert_eq!((found, gradient), (value, slopes), "{what}");
        }
        let slope: f64 = slopes.iter().zip(&v).map(|(slope, v)| slope * v).sum();
        let (found, derivative) = loss.jvp(&z, targets, Reduction::Mean, &v).unwrap();
        assert_close(&[found, derivative], &[value, slope], &what);
        loss.hvp(&z, targets, Reduction::Mean, &v, &mut hessian).unwrap();
        assert_close(&hessian, &curvatures, &what);
    }
    // With a z-loss and label smoothing.
    let loss = CrossEntropy::new(2).class_weights(&other).unwrap().z_loss(0.125).unwrap();
    let loss = loss.label_smoothing(0.25).unwrap();
    let [mut gradient, mut hessian] = [[9.0; 4]; 2];
    let found = loss.loss_with_gradient(&z, targets, Reduction::Mean, &mut gradient).unwrap();
    assert_close(&[found], &[1.1584733496357538], "z-loss");
    let slopes = [-0.33757483403310906, 0.5336520998778437, 0.06518424199145186, 0.06705391404336919];
    assert_close(&gradient, &slopes, "z-loss");
    loss.hvp(&z, targets, Reduction::Mean, &v, &mut hessian).unwrap();
    let curvatures = [0.16677134039639888, -0.126616892066851, -0.17078557534598507, 0.3180126502089722];
    assert_close(&hessian, &curvatures, "z-loss");
}

/// The Hessian times numbers whose products with scaled exponentials overflow.
#[test]
fn hessians_times_great_vectors() {
    let table: [(&[f64], &[f64], &[f64]); 5] = [
        (&[7.0, 7.0], &[1e160, 0.0], &[2.5e159, -2.5e159]),
        (&[7.0, 7.0], &[1.7e308, -1.7e308], &[8.5e307, -8.5e307]),
        (&[0.0, -700.0], &[1e160, 0.0], &[9.85967654375977e-145, -9.85967654375977e-145]),
        (&[0.0, -700.0], &[1e-150, 1e300], &[-9.859676543759771e-05, 9.859676543759771e-05]),
        // What is great only where the softmax is 0 does not change the others.
        (&[0.0, 0.0, -INF], &[1e-300, 0.0, 1e300], &[2.5e-301, -2.5e-301, 0.0]),
    ];
    for level in each_level() {
        for (z, v, expected) in table {
            let (mut out, targets) = (z.to_vec(), Targets::Classes(&[0]));
            CrossEntropy::new(z.len()).hvp(z, targets, Reduction::Sum, v, &mut out).unwrap();
            assert_close(&out, expected, &format!("{z:?}, {v:?}, {level:?}"));
        }
    }
    let loss = CrossEntropy::new(3).temperature(2.0).unwrap().z_loss(0.125).unwrap();
    let (mut out, v) = ([0.0; 3], [1e200, -3e200, 2e200]);
    loss.hvp(&[0.0, 1.0, 2.0], Targets::Classes(&[0]), Reduction::Sum, &v, &mut out).unwrap();
    let expected = [5.101279817537502e+198, -3.521329827185042e+199, 3.1847623755448295e+199];
    assert_close(&out, &expected, "with options");
}

#[test]
fn what_is_wrong_is_said() {
    let z = [0.0; 6];
    let says = |result: Result<f64, Error>, words: &str| assert_eq!(result.unwrap_err().to_string(), words);
    says(
        cross_entropy(&z, &[0, 1, 0, 1]),
        "`logits` has 6 elements, but needs a multiple of 4, the number of targets",
    );
    says(cross_entropy(&z, &[]), "`targets` is empty, but needs at least 1 element");
    says(cross_entropy(&[0.0; 0], &[0]), "`logits` is empty, but needs at least 1 element");
    says(cross_entropy(&z, &[0, 3]), "the target of row 1 is 3, but must be below 3, the number of classes");
    let mean = |loss: CrossEntropy<f64>, targets| loss.loss(&z, targets, Reduction::Mean);
    says(
        mean(CrossEntropy::new(4), Targets::Classes(&[0])),
        "`logits` has 6 elements, but needs a multiple of 4, the number of classes",
    );
    says(
        mean(CrossEntropy::new(0), Targets::Classes(&[0])),
        "there are 0 classes, but there must be at least 1",
    );
    says(
        mean(CrossEntropy::new(3), Targets::Classes(&[0])),
        "`targets` has 1 element, but needs 2 to fit `logits`",
    );
    says(
        mean(CrossEntropy::new(3), Targets::Probabilities(&[0.0; 2])),
        "`targets` has 2 elements, but needs 6 to fit `logits`",
    );
    says(
        mean(CrossEntropy::new(3), Targets::Probabilities(&[0.0, 0.0, 0.0, 1.0, -1.0, 0.0])),
        "the target of row 1, class 1 is -1.0, but must be finite and not negative",
    );
    let loss = CrossEntropy::<f64>::new(2);
    let words = |result: Result<CrossEntropy<f64>, Error>| result.unwrap_err().to_string();
    assert_eq!(words(loss.label_smoothing(1.5)), "`label_smoothing` is 1.5, but must be between 0 and 1");
    assert_eq!(words(loss.label_smoothing(NAN)), "`label_smoothing` is NaN, but must be between 0 and 1");
    assert_eq!(words(loss.temperature(0.0)), "`temperature` is 0.0, but must be positive and finite");
    assert_eq!(words(loss.z_loss(-1.0)), "`z_loss` is -1.0, but must be finite and not negative");
    assert_eq!(
        words(loss.class_weights(&[1.0, INF])),
        "the weight of class 1 is inf, but must be finite and not negative"
    );
    assert_eq!(
        words(loss.class_weights(&[1.0])),
        "`class_weights` has 1 element, but needs 2 to fit `classes`"
    );
    let mut gradient = [7.0; 5];
    says(
        cross_entropy_with_gradient(&z, &[0, 0], &mut gradient),
        "`gradient` has 5 elements, but needs 6 to fit `logits`",
    );
    assert_eq!(gradient, [7.0; 5]);
    let (loss, classes) = (CrossEntropy::new(3), Targets::Classes(&[0, 0]));
    let none = |result: Result<(), Error>| result.map(|()| 0.0);
    says(
        none(loss.losses(&z, classes, &mut gradient)),
        "`losses` has 5 elements, but needs 2 to fit `logits`",
    );
    says(
        loss.jvp(&z, classes, Reduction::Sum, &[0.0]).map(|(value, _)| value),
        "`tangent` has 1 element, but needs 6 to fit `logits`",
    );
    says(
        none(loss.hvp(&z, classes, Reduction::Sum, &[0.0], &mut gradient)),
        "`vector` has 1 element, but needs 6 to fit `logits`",
    );
    says(
        none(loss.hvp(&z, classes, Reduction::Sum, &z, &mut gradient)),
        "`out` has 5 elements, but needs 6 to fit `logits`",
    );
    assert_eq!(gradient, [7.0; 5]);
}

/// A loss just below half-way between two floats: the difference of the logits is 2^53 + 3 − 2^-53.
#[test]
fn a_loss_just_below_half_way_is_rounded_down() {
    let z = [2_f64.powi(53) + 2.0, -1.0 + 2_f64.powi(-53)];
    let mut losses = [0.0];
    CrossEntropy::new(2).losses(&z, Targets::Classes(&[1]), &mut losses).unwrap();
    assert_eq!(losses, [2_f64.powi(53) + 2.0]);
}
