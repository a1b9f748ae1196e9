//! Weighted rows at any temperature, computed from the logarithms of their terms: the general scalar path for the
//! cases that the vector loops do not cover.

use crate::arithmetic::double_double::DoubleDouble;
use crate::arithmetic::exp::{self, UNSCALE};
use crate::arithmetic::ln::ln_dd;
use crate::arithmetic::precision::InDoubleDouble;
use crate::formats::Format;
use crate::kernels::row_functions::Tempered;
use crate::simd::scalar_tasks;

/// The nonzero, finite terms b_k e^{z_k/τ} of a row; there is at least one.
///
/// x_k = (z_k − center)/τ and log |b_k| are double-doubles with errors of at most 2^-92 |x_k| and 2^-58 of the
/// logarithm. The logarithm of the sum has an error of at most 2^-60 Σ |b| e^x / |Σ b e^x|; results derived from
/// these are double-doubles, too.
pub(super) struct Logarithms {
    center: f64,
    temperature: f64,
    terms: Vec<Term>,
    /// Σ b.
    weight: DoubleDouble,
    /// log |Σ b e^x|.
    log: DoubleDouble,
    /// 1, −1, or 0 if the sum is 0.
    sign: f64,
}

#[derive(Clone, Copy)]
struct Term {
    x: DoubleDouble,
    b: f64,
    /// log |b|.
    log_b: DoubleDouble,
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

impl Logarithms {
    pub(super) fn new<T: Format>(z: &[T], b: impl Fn(usize) -> f64, temperature: f64) -> Self {
        let center = z.iter().map(|z| z.widen()).fold(f64::NEG_INFINITY, f64::max);
        let scale = Tempered::new(center, temperature);
        let terms: Vec<Term> = z
            .iter()
            .enumerate()
            .map(|(k, z)| {
                let (x, b) = (scale.x::<InDoubleDouble, f64>(z.widen()), b(k));
                // An infinite x must not have a low part.
                let x = if x.hi.is_finite() { x } else { DoubleDouble::from(f64::NEG_INFINITY) };
                Term { x, b, log_b: scalar_tasks::ln(b.abs()) }
            })
            .collect();
        let size =
            |term: &Term| if term.is_nothing() { f64::NEG_INFINITY } else { term.x.hi + term.log_b.hi };
        let greatest = terms.iter().map(size).fold(f64::NEG_INFINITY, f64::max);
        let (mut sum, mut weight) = (DoubleDouble::ZERO, DoubleDouble::ZERO);
        for term in &terms {
            weight = weight + term.b;
            if !term.is_nothing() {
                let part = exp_scaled(term.x + term.log_b + -greatest);
                sum = if term.b < 0.0 { sum - part } else { sum + part };
            }
        }
        let sign = if sum.hi == 0.0 { 0.0 } else { sum.hi.signum() };
        let magnitude = if sum.hi < 0.0 { -sum } else { sum }.scaled(UNSCALE);
        let log =
            if sign == 0.0 { DoubleDouble::from(f64::NEG_INFINITY) } else { ln_dd(magnitude).0 + greatest };
        Self { center, temperature, terms, weight, log, sign }
    }

    /// τ log |Σ b e^{z/τ}|, and the sign of the sum.
    pub(super) fn value(&self) -> (f64, f64) {
        (self.at_temperature(self.log, 1.0), self.sign)
    }

    /// τ log(Σ b e^{z/τ} / Σ b).
    pub(super) fn mean(&self) -> f64 {
        match self.log_mean() {
            Some(log) => self.at_temperature(log, 1.0),
            None => f64::NAN,
        }
    }

    /// log(Σ b e^x / Σ b), unless the quotient is negative.
    fn log_mean(&self) -> Option<DoubleDouble> {
        (self.sign * self.weight.hi > 0.0).then(|| self.log - ln_dd(self.magnitude_of_weight()).0)
    }

    fn magnitude_of_weight(&self) -> DoubleDouble {
        if self.weight.hi < 0.0 { -self.weight } else { self.weight }
    }

    /// τ log(Σ b (e^{z/τ} − mean)² / (Σ b − ddof)).
    pub(super) fn variance(&self, ddof: usize) -> f64 {
        let divisor = self.weight + -(ddof as f64);
        let Some(log_mean) = self.log_mean().filter(|_| divisor.hi > 0.0) else { return f64::NAN };
        // The deviation of each e^x from the mean, relative to the mean: e^{x − log mean} − 1.
        let excess: Vec<DoubleDouble> = self
            .terms
            .iter()
            .map(|term| {
                if term.is_nothing() {
                    DoubleDouble::from(-1.0)
                } else {
                    exp::expm1_dd(near(term.x - log_mean))
                }
            })
            .collect();
        let of_terms = |f: &dyn Fn(DoubleDouble) -> DoubleDouble| {
            let parts =
                self.terms.iter().zip(&excess).map(|(term, &excess)| f(excess) * DoubleDouble::from(term.b));
            parts.fold(DoubleDouble::ZERO, |sum, part| sum + part)
        };
        let mean = of_terms(&|excess| excess) / self.weight;
        let squares = of_terms(&|excess| (excess - mean) * (excess - mean));
        if squares.hi <= 0.0 {
            return if squares.hi == 0.0 { f64::NEG_INFINITY } else { f64::NAN };
        }
        let log = ln_dd(squares / divisor).0 + log_mean.scaled(2.0);
        self.at_temperature(log, 2.0)
    }

    /// τ times a logarithm, plus `times` times the center that was subtracted from z.
    fn at_temperature(&self, log: DoubleDouble, times: f64) -> f64 {
        if !log.hi.is_finite() {
            return log.hi;
        }
        (log * DoubleDouble::from(self.temperature) + times * self.center).hi + 0.0
    }

    /// log |p|, where p = b e^x / Σ b e^x.
    fn log_share(&self, term: &Term) -> DoubleDouble {
        if term.is_nothing() { DoubleDouble::from(f64::NEG_INFINITY) } else { term.x + term.log_b - self.log }
    }

    /// p = b e^x / Σ b e^x.
    fn share(&self, term: &Term) -> DoubleDouble {
        let log = self.log_share(term);
        let share = exp_scaled(log).scaled(UNSCALE);
        if term.b * self.sign < 0.0 { -share } else { share }
    }

    pub(super) fn shares(&self) -> impl Iterator<Item = DoubleDouble> {
        self.terms.iter().map(|term| self.share(term))
    }

    /// log p, NaN where p is negative.
    pub(super) fn log_shares(&self) -> impl Iterator<Item = f64> {
        self.terms
            .iter()
            .map(|term| if term.b * self.sign < 0.0 { f64::NAN } else { self.log_share(term).hi })
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
            p => (p, -self.log_share(term)),
        });
        let each: Vec<_> = each.collect();
        let entropy = each.iter().fold(DoubleDouble::ZERO, |sum, &(p, a)| sum + p * a);
        (each, entropy)
    }
}

/// Clamps an exponent to the range in which e^d − 1 is computed.
fn near(d: DoubleDouble) -> DoubleDouble {
    if d.hi < LEAST { DoubleDouble::from(LEAST) } else { d }
}
