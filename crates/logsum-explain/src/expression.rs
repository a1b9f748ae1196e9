//! Formulas of the derivation, and their values at a point.

use crate::precise::{Real, power_of_half, real};

/// Which of the numbers: z_i, with respect to which LSE is differentiated, or z_k, where k is the index of a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    I,
    K,
}

/// Named quantities, each defined by those after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// log S + max z
    Lse,
    /// log S
    Log,
    /// Σ_k e^{ẑ_k}
    Sum,
    /// e^{ẑ_k}
    Power(Which),
    /// ẑ_k = z_k − max z
    Shifted(Which),
    /// max z = z_j
    Max,
    /// z_k
    Number(Which),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expression {
    Name(Name),
    Whole(i8),
    /// A derivative ∂/∂. With respect to one of the numbers it is the total derivative; with respect to any other name
    /// it is the partial derivative of the definition with respect to that name.
    Slope(Name, Name),
    /// 1 if k = i, otherwise 0.
    IsI,
    /// Σ over all k.
    SumOfAll(Box<Expression>),
    /// Σ over all k ≠ i.
    SumOfOthers(Box<Expression>),
    Plus(Vec<Expression>),
    Times(Vec<Expression>),
    Over(Box<Expression>, Box<Expression>),
    Negative(Box<Expression>),
    /// A number that was put in.
    Value(Real),
    /// Terms that are left out when numbers are put in.
    Dots,
}

/// The values of all named quantities, for one z.
#[derive(Debug, Clone)]
struct Values {
    z: Vec<Real>,
    shifted: Vec<Real>,
    powers: Vec<Real>,
    max: Real,
    sum: Real,
    log: Real,
    lse: Real,
}

impl Values {
    fn new(z: Vec<Real>, j: usize, counts: &[bool], bits: usize) -> Self {
        let max = z[j].clone();
        let shifted: Vec<Real> = z.iter().map(|z| z - &max).collect();
        let powers: Vec<Real> =
            shifted.iter().zip(counts).map(|(x, &counts)| power(x, counts, bits)).collect();
        let sum = powers.iter().fold(real(0.0, bits), |sum, power| sum + power);
        let log = sum.ln();
        let lse = &log + &max;
        Self { z, shifted, powers, max, sum, log, lse }
    }
}

/// e^x, or 0 if it does not count.
fn power(x: &Real, counts: bool, bits: usize) -> Real {
    if counts { x.exp() } else { real(0.0, bits) }
}

/// The point at which formulas are evaluated: numbers z below +∞, the index i, and the index j of the maximum.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    pub(crate) i: usize,
    j: usize,
    pub(crate) bits: usize,
    /// Whether z_k is within [`LEAST`] of the maximum: otherwise e^{ẑ_k} is taken for 0.
    counts: Vec<bool>,
    here: Values,
    /// The values for z_i increased and decreased by `step`.
    around: [Values; 2],
    step: Real,
}

/// Powers e^x with x below −800 are taken for 0: a number like e^-1000000 would need too many bits.
pub(crate) const LEAST: f64 = 800.0;

/// The step of the difference quotients is 2^-96: their relative error is 2^-193, and their differences may cancel more
/// than 96 bits.
const STEP_BITS: usize = 96;

impl Point {
    pub(crate) fn new(z: &[f64], i: usize, j: usize) -> Self {
        let max = z[j];
        let depths = z.iter().map(|z| max - z).filter(|depth| depth.is_finite());
        let deepest = depths.fold(0.0, f64::max).min(LEAST);
        let size = max.abs().max(1.0).log2();
        let bits = 384 + (deepest * std::f64::consts::LOG2_E + size + (z.len() as f64).log2()) as usize;
        let counts: Vec<bool> = z.iter().map(|z| max - z <= LEAST).collect();
        // −∞ adds nothing, so that any number may stand for it, as long as it does not count.
        let real = |&z: &f64| real(if z.is_finite() { z } else { max }, bits);
        let z: Vec<Real> = z.iter().map(real).collect();
        let step = power_of_half(STEP_BITS, bits);
        let moved = |by: Real| {
            let mut z = z.clone();
            z[i] += by;
            Values::new(z, j, &counts, bits)
        };
        let around = [moved(step.clone()), moved(-step.clone())];
        let here = Values::new(z, j, &counts, bits);
        Self { i, j, bits, counts, here, around, step }
    }

    pub(crate) fn count(&self) -> usize {
        self.here.z.len()
    }

    /// Whether some number is so far below the maximum that e^ẑ is taken for 0.
    pub(crate) fn leaves_out(&self, z: &[f64]) -> bool {
        self.counts.iter().zip(z).any(|(&counts, z)| !counts && z.is_finite())
    }

    /// ẑ and e^ẑ; ẑ is `None` unless z is finite.
    pub(crate) fn shifted_and_powers(&self, z: &[f64]) -> (Vec<Option<Real>>, Vec<Real>) {
        let shifted = self.here.shifted.iter().zip(z).map(|(x, z)| z.is_finite().then(|| x.clone()));
        (shifted.collect(), self.here.powers.clone())
    }

    fn named<'a>(&self, values: &'a Values, name: Name, k: usize) -> &'a Real {
        let at = |which| if which == Which::I { self.i } else { k };
        match name {
            Name::Lse => &values.lse,
            Name::Log => &values.log,
            Name::Sum => &values.sum,
            Name::Max => &values.max,
            Name::Power(which) => &values.powers[at(which)],
            Name::Shifted(which) => &values.shifted[at(which)],
            Name::Number(which) => &values.z[at(which)],
        }
    }

    /// The value of `expression`; `k` is the index of the sum around it.
    pub(crate) fn value(&self, expression: &Expression, k: usize) -> Real {
        let number = |x: i8| real(f64::from(x), self.bits);
        match expression {
            Expression::Name(name) => self.named(&self.here, *name, k).clone(),
            Expression::Whole(x) => number(*x),
            Expression::Slope(of, by) => self.slope(*of, *by, k),
            Expression::IsI => number(i8::from(k == self.i)),
            Expression::SumOfAll(term) => {
                (0..self.count()).fold(number(0), |sum, k| sum + self.value(term, k))
            }
            Expression::SumOfOthers(term) => {
                let others = (0..self.count()).filter(|&k| k != self.i);
                others.fold(number(0), |sum, k| sum + self.value(term, k))
            }
            Expression::Plus(terms) => terms.iter().fold(number(0), |sum, term| sum + self.value(term, k)),
            Expression::Times(factors) => {
                factors.iter().fold(number(1), |product, factor| product * self.value(factor, k))
            }
            Expression::Over(above, below) => self.value(above, k) / self.value(below, k),
            Expression::Negative(x) => -self.value(x, k),
            Expression::Value(x) => x.clone(),
            Expression::Dots => number(0),
        }
    }

    /// A central difference quotient: it uses the definition of a derivative, and none of the rules.
    fn slope(&self, of: Name, by: Name, k: usize) -> Real {
        let [above, below] = match by {
            Name::Number(Which::I) => [0, 1].map(|side: usize| self.named(&self.around[side], of, k).clone()),
            _ => [self.step.clone(), -self.step.clone()]
                .map(|by_how_much| self.definition(of, by, by_how_much, k)),
        };
        (above - below) / (&self.step + &self.step)
    }

    /// The value of a name's definition if one of the names in it is increased by `by_how_much`.
    fn definition(&self, of: Name, by: Name, by_how_much: Real, k: usize) -> Real {
        let at = |name: Name, k: usize| {
            let value = self.named(&self.here, name, k).clone();
            if name == by { value + &by_how_much } else { value }
        };
        match of {
            Name::Lse => at(Name::Log, k) + at(Name::Max, k),
            Name::Log => at(Name::Sum, k).ln(),
            Name::Sum => {
                (0..self.count()).fold(real(0.0, self.bits), |sum, k| sum + at(Name::Power(Which::K), k))
            }
            Name::Power(which) => {
                let of = if which == Which::I { self.i } else { k };
                power(&at(Name::Shifted(which), k), self.counts[of], self.bits)
            }
            Name::Shifted(which) => at(Name::Number(which), k) - at(Name::Max, k),
            Name::Max | Name::Number(_) => at(of, k),
        }
    }

    /// The same formula with numbers put in: values replace names and derivatives, terms replace sums.
    pub(crate) fn put_in(&self, expression: &Expression, k: usize) -> Expression {
        let each = |parts: &[Expression]| parts.iter().map(|part| self.put_in(part, k)).collect();
        let sum = |indices: Vec<usize>, term: &Expression| {
            // The first ones, the last, and those that matter.
            let is_needed = |place: usize, k: usize| place == indices.len() - 1 || k == self.i || k == self.j;
            let needed = indices.iter().enumerate().filter(|&(place, &k)| is_needed(place, k)).count();
            let mut room = SHOWN.saturating_sub(needed);
            let mut terms: Vec<Expression> = Vec::new();
            for (place, &k) in indices.iter().enumerate() {
                if is_needed(place, k) || indices.len() <= SHOWN {
                    terms.push(self.put_in(term, k));
                } else if room > 0 {
                    room -= 1;
                    terms.push(self.put_in(term, k));
                } else if terms.last() != Some(&Expression::Dots) {
                    terms.push(Expression::Dots);
                }
            }
            match terms.len() {
                0 => Expression::Whole(0),
                1 => terms.remove(0),
                _ => Expression::Plus(terms),
            }
        };
        match expression {
            Expression::Name(_) | Expression::Slope(..) => Expression::Value(self.value(expression, k)),
            Expression::IsI => Expression::Whole((k == self.i).into()),
            Expression::SumOfAll(term) => sum((0..self.count()).collect(), term),
            Expression::SumOfOthers(term) => sum((0..self.count()).filter(|&k| k != self.i).collect(), term),
            Expression::Plus(terms) => {
                let terms = terms.iter().flat_map(|term| match self.put_in(term, k) {
                    Expression::Plus(terms) => terms,
                    term => vec![term],
                });
                Expression::Plus(terms.collect())
            }
            Expression::Times(factors) => Expression::Times(each(factors)),
            Expression::Over(above, below) => {
                Expression::Over(self.put_in(above, k).into(), self.put_in(below, k).into())
            }
            Expression::Negative(x) => Expression::Negative(self.put_in(x, k).into()),
            Expression::Whole(_) | Expression::Value(_) | Expression::Dots => expression.clone(),
        }
    }
}

/// Longer sums are cut when numbers are put in.
pub(crate) const SHOWN: usize = 5;
