//! Weighted rows at any temperature, computed from the logarithms of their terms: the general scalar path for the
//! cases that the vector loops do not cover.

use crate::arithmetic::double_double::{DoubleDouble, parts, power_of_two};
use crate::arithmetic::exp::{self, UNSCALE};
use crate::arithmetic::ln::{ln_dd, ln_of_f64_fine, log1p_dd};
use crate::arithmetic::precision::InDoubleDouble;
use crate::formats::Format;
use crate::kernels::row_functions::Tempered;
use crate::simd::{scalar_tasks, task};

/// The terms b_k e^{z_k/τ} of nonzero weight of a row; at least one z_k is finite, others may be −∞.
///
/// x_k = (z_k − center)/τ and log |b_k| are double-doubles with errors of at most 2^-92 |x_k| and 2^-79 of the
/// logarithm. The logarithm of the sum has an error of at most 2^-60 Σ |b| e^x / |Σ b e^x|; results derived from
/// these are double-doubles, too.
pub(super) struct Logarithms {
    center: f64,
    temperature: f64,
    terms: Vec<Term>,
    /// The exponent of a power of 2 by which weights are multiplied before they are added: 0 unless they are very
    /// large or very small.
    weight_exponent: i32,
    /// Σ b times this power of 2.
    weight: DoubleDouble,
    /// log |Σ b e^x|.
    log: DoubleDouble,
    /// 1, −1, or 0 if the sum is 0.
    sign: f64,
}

#[derive(Clone, Copy)]
struct Term {
    z: f64,
    x: DoubleDouble,
    b: f64,
    /// log |b|.
    log_b: DoubleDouble,
    /// log |p|, where p = b e^x / Σ b e^x.
    log_share: DoubleDouble,
}

impl Term {
    /// Whether the exponent is out of range, so that the term is negligible.
    fn is_nothing(&self) -> bool {
        self.x.hi == f64::NEG_INFINITY
    }
}

/// Smaller exponents d are out of range: e^d counts as 0, and e^d − 1 is computed as for this one.
const LEAST: f64 = -1000.0;

/// e^d for d ≤ 300, in units of [`UNSCALE`].
fn exp_scaled(d: DoubleDouble) -> DoubleDouble {
    if d.hi < LEAST { DoubleDouble::ZERO } else { exp::exp_dd_of_dd(d) }
}

task! {
    /// log b for any finite b > 0, with relative error below 2^-79.
    fn ln_fine(b: f64; _: V) -> DoubleDouble {
        ln_of_f64_fine(b)
    }
}

impl Logarithms {
    pub(super) fn new<T: Format>(z: &[T], b: impl Fn(usize) -> f64, temperature: f64) -> Self {
        let center = z.iter().map(|z| z.widen()).fold(f64::NEG_INFINITY, f64::max);
        let scale = Tempered::new(center, temperature);
        let mut terms: Vec<Term> = z
            .iter()
            .enumerate()
            .map(|(k, z)| {
                let (z, b) = (z.widen(), b(k));
                let x = scale.x::<InDoubleDouble, f64>(z);
                // An infinite x must not have a low part.
                let x = if x.hi.is_finite() { x } else { DoubleDouble::from(f64::NEG_INFINITY) };
                Term { z, x, b, log_b: ln_fine(b.abs()), log_share: DoubleDouble::ZERO }
            })
            .collect();
        let size =
            |term: &Term| if term.is_nothing() { f64::NEG_INFINITY } else { term.x.hi + term.log_b.hi };
        let greatest = terms.iter().map(size).fold(f64::NEG_INFINITY, f64::max);
        let first = terms.iter().position(|term| size(term) == greatest);
        let weight_exponent = match terms.iter().map(|term| term.b.abs()).fold(0.0, f64::max) {
            small if small < power_of_two(-500) => 700,
            large if large > power_of_two(500) => -700,
            _ => 0,
        };
        let [mut sum, mut rest, mut weight] = [DoubleDouble::ZERO; 3];
        let mut largest = DoubleDouble::ZERO;
        for (k, term) in terms.iter().enumerate() {
            weight = weight + term.b * power_of_two(weight_exponent);
            if term.is_nothing() {
                continue;
            }
            let part = exp_scaled(term.x + term.log_b + -greatest);
            let part = if term.b < 0.0 { -part } else { part };
            sum = sum + part;
            if Some(k) == first { largest = part } else { rest = rest + part }
        }
        let sign = if sum.hi == 0.0 { 0.0 } else { sum.hi.signum() };
        let magnitude = if sum.hi < 0.0 { -sum } else { sum }.scaled(UNSCALE);
        let log =
            if sign == 0.0 { DoubleDouble::from(f64::NEG_INFINITY) } else { ln_dd(magnitude).0 + greatest };
        // p of the largest term is 1/(1 + t). A small t keeps its relative accuracy.
        let t = rest / largest;
        for (k, term) in terms.iter_mut().enumerate() {
            term.log_share = match term.is_nothing() {
                true => DoubleDouble::from(f64::NEG_INFINITY),
                false if Some(k) == first && t.hi >= 0.0 => -log1p_dd(t).0,
                false => term.x + term.log_b - log,
            };
        }
        Self { center, temperature, terms, weight_exponent, weight, log, sign }
    }

    /// τ log |Σ b e^{z/τ}|, and the sign of the sum.
    pub(super) fn value(&self) -> (f64, f64) {
        (self.at_temperature(self.log), self.sign)
    }

    /// τ log(Σ b e^{z/τ} / Σ b).
    pub(super) fn mean(&self) -> f64 {
        match self.log_mean() {
            Some(log) => self.at_temperature(log),
            None => f64::NAN,
        }
    }

    /// log(Σ b e^x / Σ b), unless the quotient is negative.
    fn log_mean(&self) -> Option<DoubleDouble> {
        (self.sign * self.weight.hi > 0.0).then(|| self.log - self.log_weight())
    }

    /// log |Σ b|.
    fn log_weight(&self) -> DoubleDouble {
        let magnitude = if self.weight.hi < 0.0 { -self.weight } else { self.weight };
        let log = ln_dd(magnitude).0;
        if self.weight_exponent == 0 { log } else { log - log_of_power(self.weight_exponent) }
    }

    /// τ log(Σ b (e^{z/τ} − mean)² / (Σ b − ddof)).
    ///
    /// −∞ if all z are equal. NaN if the mean is not positive, so that it has no logarithm.
    ///
    /// Deviations are found from e^{(z − c)/τ} − 1, with relative errors below 2^-64, for a float c near the
    /// logarithm of the mean. If the mean of e^{(z − c)/τ} − 1 is at most the standard deviation, and no weight is
    /// negative, the root mean square of the errors is below 2^-62 of the latter. The mean is that small if c is the
    /// float nearest to that logarithm, since no z lies between the two floats around the logarithm.
    pub(super) fn variance(&self, ddof: usize) -> f64 {
        let divisor = self.weight + -(ddof as f64 * power_of_two(self.weight_exponent));
        if divisor.hi <= 0.0 {
            return f64::NAN;
        }
        let least = self.terms.iter().map(|term| term.z).fold(f64::INFINITY, f64::min);
        if least == self.center {
            return f64::NEG_INFINITY;
        }
        let lift = self.lift(least);
        let mut center = self.mean().clamp(least.max(f64::MIN), self.center);
        let mut squares = self.squares(center, lift);
        for _ in 0..4 {
            let next = center + squares.offset;
            if next == center || next.is_nan() {
                break;
            }
            center = next;
            squares = self.squares(center, lift);
        }
        let ratio = squares.ratio * self.weight / divisor;
        if ratio.hi.is_nan() || ratio.hi <= 0.0 {
            return if ratio.hi == 0.0 { f64::NEG_INFINITY } else { f64::NAN };
        }
        let log = ln_dd(ratio).0 + squares.unit;
        // Twice the center may overflow.
        2.0 * ((log * DoubleDouble::from(self.temperature)).scaled(0.5) + center).hi + 0.0
    }

    /// The powers of 2 by which close numbers are multiplied.
    fn lift(&self, least: f64) -> Option<Lift> {
        let spread = |power: f64| {
            let scale = Tempered::new(self.center * power, self.temperature);
            scale.x::<InDoubleDouble, f64>(least * power).hi.abs()
        };
        (spread(1.0) < power_of_two(-100)).then(|| {
            let of_z = (500 - parts(self.center.abs().max(least.abs())).1).min(1000);
            let of_x = (-parts(spread(power_of_two(of_z))).1).clamp(-1000, 1000);
            Lift { of_z, of_x }
        })
    }

    /// Σ b (e^x − mean)² / Σ b for x = (z − center)/τ, where Σ b is positive.
    fn squares(&self, center: f64, lift: Option<Lift>) -> Squares {
        let Lift { of_z, of_x } = lift.unwrap_or(Lift { of_z: 0, of_x: 0 });
        let power_of_z = power_of_two(of_z);
        let scale = Tempered::new(center * power_of_z, self.temperature);
        let greatest = self.terms.iter().map(|term| term.b.abs()).fold(0.0, f64::max);
        let log_weight = self.log_weight();
        let terms = self.terms.iter().map(|term| {
            let x = scale.x::<InDoubleDouble, f64>(term.z * power_of_z);
            let is_far = lift.is_none() && x.hi > FAR;
            let excess = match lift {
                _ if is_far => DoubleDouble::ZERO,
                // e^x − 1 is x.
                Some(_) => x.scaled(power_of_two(of_x)),
                None => exp::expm1_dd(near(x)),
            };
            let is_faint = is_far || term.b.abs() < power_of_two(-200) * greatest;
            // log |b / Σ b|.
            let log_part = if is_faint { term.log_b - log_weight } else { DoubleDouble::ZERO };
            let b = DoubleDouble::from(term.b * power_of_two(self.weight_exponent));
            Excess { b, excess, far: is_far.then_some(x), faint: is_faint.then_some(log_part) }
        });
        let terms: Vec<Excess> = terms.collect();
        let [mut mean, mut mean_of_faint] = [DoubleDouble::ZERO; 2];
        for &Excess { b, excess, far, faint } in &terms {
            let Some(log_part) = faint else {
                mean = mean + excess * b;
                continue;
            };
            let part = match far {
                Some(x) => exp_scaled(log_part + x).scaled(UNSCALE),
                None => exp_scaled(log_part).scaled(UNSCALE) * excess,
            };
            mean_of_faint = if b.hi.is_sign_negative() { mean_of_faint - part } else { mean_of_faint + part };
        }
        let mean = mean / self.weight + mean_of_faint;
        let mut sum = DoubleDouble::ZERO;
        // The signs and logarithms of parts out of the range of the sum.
        let mut parts: Vec<(f64, DoubleDouble)> = Vec::new();
        for &Excess { b, excess, far, faint } in &terms {
            let deviation = excess - mean;
            match (faint, far) {
                (None, _) => sum = sum + deviation * deviation * b,
                // The mean is negligible.
                (Some(log_part), Some(x)) => parts.push((b.hi, log_part + x.scaled(2.0))),
                (Some(log_part), None) if deviation.hi != 0.0 => {
                    parts.push((b.hi, log_part + ln_of_magnitude(deviation).scaled(2.0)));
                }
                _ => {}
            }
        }
        let mut ratio = sum / self.weight;
        let mut unit = DoubleDouble::ZERO;
        if !parts.is_empty() {
            if ratio.hi != 0.0 {
                parts.push((ratio.hi, ln_of_magnitude(ratio)));
            }
            let log = parts.iter().map(|(_, log)| log.hi).fold(f64::NEG_INFINITY, f64::max);
            unit = DoubleDouble::from(log);
            ratio = parts.iter().fold(DoubleDouble::ZERO, |sum, &(sign, log)| {
                let part = exp_scaled(log - unit).scaled(UNSCALE);
                if sign.is_sign_negative() { sum - part } else { sum + part }
            });
        }
        let is_centered = mean.hi == 0.0
            || ratio.hi != 0.0 && 2.0 * ln_of_magnitude(mean).hi <= (ln_of_magnitude(ratio) + unit).hi;
        // In units of x.
        let offset = mean.hi * power_of_two(-of_x);
        let is_near = lift.is_some() || offset.abs() <= power_of_two(-20);
        let offset =
            if is_centered || !is_near { 0.0 } else { offset * self.temperature * power_of_two(-of_z) };
        Squares { ratio, unit: unit - log_of_power(2 * (of_z + of_x)), offset }
    }

    /// τ times a logarithm, plus the center that was subtracted from z.
    fn at_temperature(&self, log: DoubleDouble) -> f64 {
        if !log.hi.is_finite() {
            return log.hi;
        }
        (log * DoubleDouble::from(self.temperature) + self.center).hi + 0.0
    }

    /// p = b e^x / Σ b e^x.
    fn share(&self, term: &Term) -> DoubleDouble {
        let share = exp_scaled(term.log_share).scaled(UNSCALE);
        if term.b * self.sign < 0.0 { -share } else { share }
    }

    pub(super) fn shares(&self) -> impl Iterator<Item = DoubleDouble> {
        self.terms.iter().map(|term| self.share(term))
    }

    /// log p, NaN where p is negative.
    pub(super) fn log_shares(&self) -> impl Iterator<Item = f64> {
        self.terms.iter().map(|term| {
            let is_negative = term.b * self.sign < 0.0 && !term.is_nothing();
            if is_negative { f64::NAN } else { term.log_share.hi + 0.0 }
        })
    }

    /// e^x / Σ b e^x, for any z.
    pub(super) fn share_by_weight(&self, z: f64) -> f64 {
        let x = Tempered::new(self.center, self.temperature).x::<InDoubleDouble, f64>(z);
        if !x.hi.is_finite() {
            return 0.0;
        }
        self.sign * exp_scaled(x - self.log).hi * UNSCALE
    }

    /// Σ p v.
    pub(super) fn mean_of<T: Format>(&self, v: &[T]) -> DoubleDouble {
        let parts = self.shares().zip(v).map(|(p, v)| p * DoubleDouble::from(v.widen()));
        parts.fold(DoubleDouble::ZERO, |sum, part| sum + part)
    }

    /// x divided by the temperature.
    pub(super) fn divided(&self, x: DoubleDouble) -> DoubleDouble {
        x / DoubleDouble::from(self.temperature)
    }

    /// p and a = −log p of each term, both 0 if p is 0 and NaN if p is negative; and the entropy Σ p a.
    pub(super) fn surprisals(&self) -> (Vec<(DoubleDouble, DoubleDouble)>, DoubleDouble) {
        let each = self.terms.iter().map(|term| match self.share(term) {
            p if p.hi == 0.0 => (DoubleDouble::ZERO, DoubleDouble::ZERO),
            p if p.hi < 0.0 => (DoubleDouble::from(f64::NAN), DoubleDouble::from(f64::NAN)),
            p => (p, -term.log_share),
        });
        let each: Vec<_> = each.collect();
        let entropy = each.iter().fold(DoubleDouble::ZERO, |sum, &(p, a)| sum + p * a);
        (each, entropy)
    }
}

/// The exponents of the powers of 2 by which close numbers z and their exponents x are multiplied, so that deviations
/// and their squares are in range.
#[derive(Clone, Copy)]
struct Lift {
    of_z: i32,
    of_x: i32,
}

/// e^{(z − c)/τ} − 1 of a term.
struct Excess {
    /// b times the power of 2 of weights.
    b: DoubleDouble,
    excess: DoubleDouble,
    /// (z − c)/τ where e^{(z − c)/τ} − 1 is out of range; the 1 is negligible.
    far: Option<DoubleDouble>,
    /// log |b / Σ b| where b or b e^{(z − c)/τ} may be out of range.
    faint: Option<DoubleDouble>,
}

/// The mean of squared deviations: ratio · e^unit.
struct Squares {
    ratio: DoubleDouble,
    unit: DoubleDouble,
    /// What to add to the center, so that it is nearer to the logarithm of the mean; 0 if it is near enough.
    offset: f64,
}

/// Terms with greater exponents are added by their logarithms.
const FAR: f64 = 128.0;

/// log 2^n.
fn log_of_power(n: i32) -> DoubleDouble {
    DoubleDouble::LN_2 * DoubleDouble::from(f64::from(n))
}

/// log |s|.
fn ln_of_magnitude(s: DoubleDouble) -> DoubleDouble {
    scalar_tasks::ln_dd(if s.hi < 0.0 { -s } else { s })
}

/// Clamps an exponent to the range in which e^d − 1 is computed.
fn near(d: DoubleDouble) -> DoubleDouble {
    if d.hi < LEAST { DoubleDouble::from(LEAST) } else { d }
}
