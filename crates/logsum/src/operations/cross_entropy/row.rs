//! The loss and gradient of one row of logits with a z-loss or at a temperature other than 1, and the Hessian of every
//! row.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two, two_sum};
use crate::arithmetic::exp::UNSCALE;
use crate::arithmetic::precision::Precision;
use crate::formats::Format;
use crate::kernels::row_functions::{self, About, Block, Exp, Softmax, Times, for_exponent};
use crate::kernels::target_weights::{Curvature, Depth, Slope, Weight};
use crate::operations::cross_entropy::{Targets, Work};
use crate::operations::softmax_moments::tempered;
use crate::simd::{scalar_tasks, task};
use crate::state::positive::{Partial, Parts};
use std::borrow::Cow;

/// A row and the weights q_k of its targets.
pub(super) struct Row<'a, T> {
    /// The logits, the target probabilities, and the class weights.
    pub(super) block: Block<'a, T>,
    /// The part of q_k that is spread over all classes; `None` if only the target class has a weight.
    pub(super) weight: Option<Weight>,
    pub(super) target: Option<Target>,
    /// Q = Σ q_k.
    pub(super) whole: DoubleDouble,
    /// Bounds the errors of Q and q_k, relative to them, and of Q − q_k, relative to Q.
    pub(super) error: f64,
}

#[derive(Clone, Copy)]
pub(super) struct Target {
    pub(super) class: usize,
    pub(super) z: f64,
    /// (1 − ε) w_t.
    pub(super) weight: DoubleDouble,
    /// q_t.
    pub(super) q: DoubleDouble,
    /// Q − q_t.
    pub(super) others: DoubleDouble,
}

/// The exponential sum of a row with a finite maximum, and the exponent that its terms are relative to.
struct Sum {
    max: f64,
    about: About,
    parts: Parts,
}

/// Bounds the relative error of some sums and products in double-double.
const ERROR: f64 = power_of_two(-100);

impl<T: Format> Work<'_, T> {
    /// Returns the loss of a row, and writes its gradient.
    pub(super) fn row(&self, index: usize, z: &[T], gradient: Option<&mut [T]>) -> DoubleDouble {
        let row = self.weighted(index, z);
        if row.whole.hi == 0.0 {
            gradient.into_iter().for_each(|gradient| gradient.fill(T::default()));
            return DoubleDouble::ZERO;
        }
        let Some(gradient) = gradient else {
            return match self.sum(z) {
                Err(max) => self.at_edge(&row, max, None),
                Ok(sum) => self.finish(&row, sum.max, sum.parts).loss,
            };
        };
        let sum = match self.sum(z) {
            Ok(sum) => sum,
            Err(max) => return self.at_edge(&row, max, Some(gradient)),
        };
        let finished = self.finish(&row, sum.max, sum.parts);
        let Finished { inverse, factor, .. } = finished;
        for_exponent!(sum.about, exponent => {
            let slope = Slope { softmax: Softmax { exponent, inverse }, weight: row.weight, factor };
            row_functions::each::<T::First, T, _>(row.block, slope, gradient, self.to);
        });
        if let Some((class, slope)) = self.slope_apart(&row, &sum, &finished) {
            gradient[class] = T::narrow(slope.hi);
        }
        finished.loss
    }

    /// Bounds the relative error of sums of weights, and of sums of weights times max − z, over all classes. In f64
    /// these are 140 roundings: five for each weight, one for the difference, one for the product, 132 for the sum, and
    /// one to spare. In double-double the bound is likewise 140/256 of 2^-87.
    pub(super) const SPREAD_ERROR: f64 =
        power_of_two(if T::First::IS_DOUBLE_DOUBLE { -87 } else { -45 }) * (140.0 / 256.0);

    pub(super) fn weighted<'a>(&'a self, index: usize, z: &'a [T]) -> Row<'a, T> {
        let is_spread = self.of.smoothing > 0.0;
        let smoothed = |a| Weight::Smoothed { a, b: self.spread };
        match self.targets {
            Targets::Classes(targets) => {
                let class = targets[index];
                if self.of.ignored == Some(class) {
                    let (block, whole) = (Block::of(z), DoubleDouble::ZERO);
                    return Row { block, weight: None, target: None, whole, error: 0.0 };
                }
                let own = self.of.weight(class);
                let weight = scalar_tasks::product(self.certain, DoubleDouble::from(own));
                let target =
                    Target { class, z: z[class].widen(), weight, q: weight, others: DoubleDouble::ZERO };
                if !is_spread {
                    let block = Block::of(z);
                    return Row { block, weight: None, target: Some(target), whole: weight, error: ERROR };
                }
                let q = scalar_tasks::product(self.spread, DoubleDouble::from(own)) + weight;
                let others = scalar_tasks::product(self.spread, self.weights + (-own));
                Row {
                    block: Block { z, v: None, w: self.of.class_weights },
                    weight: Some(smoothed(DoubleDouble::ZERO)),
                    target: Some(Target { q, others, ..target }),
                    whole: q + others,
                    error: ERROR + self.of.classes as f64 * power_of_two(-104),
                }
            }
            Targets::Probabilities(targets) => {
                let v = &targets[index * z.len()..][..z.len()];
                let block = Block { z, v: Some(v), w: self.of.class_weights };
                let weight = if is_spread { smoothed(self.certain) } else { Weight::Given };
                let whole = sum_of(block, weight);
                Row { block, weight: Some(weight), target: None, whole, error: Self::SPREAD_ERROR }
            }
        }
    }

    /// The sum of a row; a maximum that is not finite is returned as the error.
    fn sum(&self, z: &[T]) -> Result<Sum, f64> {
        if self.of.temperature == 1.0 {
            let partial = Partial::<T::First>::over(&z);
            if !partial.max.is_finite() {
                return Err(partial.max);
            }
            let parts = partial.parts();
            return Ok(Sum { max: partial.max, about: About::shift(parts.shift), parts });
        }
        let (scale, parts) = tempered(z, self.of.temperature)?;
        Ok(Sum { max: scale.max, about: About::Temperature(scale), parts })
    }

    /// Σ q_k (max − z_k)/τ.
    fn depth(&self, row: &Row<'_, T>, max: f64) -> DoubleDouble {
        let of = |z: &[T], scale: f64| {
            let depth = Depth { weight: row.weight.unwrap_or(Weight::Given), max: max * scale };
            let spread = if row.weight.is_some() {
                sum_of(Block { z, ..row.block }, depth)
            } else {
                DoubleDouble::ZERO
            };
            let own = match row.target {
                Some(Target { z, weight, .. }) if weight.hi > 0.0 => {
                    scalar_tasks::product(two_sum(max * scale, -z * scale), weight)
                }
                _ => DoubleDouble::ZERO,
            };
            scalar_tasks::product(spread + own, self.per_temperature)
        };
        let depth = of(row.block.z, 1.0);
        if depth.hi.is_finite() {
            return depth;
        }
        // Differences or products may overflow although the sum is finite.
        const SMALL: f64 = power_of_two(-200);
        let small: Vec<T> = row.block.z.iter().map(|z| T::narrow(z.widen() * SMALL)).collect();
        let depth = of(&small, SMALL).scaled(1.0 / SMALL);
        if depth.hi.is_finite() { depth } else { DoubleDouble::from(f64::INFINITY) }
    }

    fn finish(&self, row: &Row<'_, T>, max: f64, parts: Parts) -> Finished {
        let finished = finish(
            max,
            parts,
            self.depth(row, max),
            row.whole,
            self.per_temperature,
            self.of.z_loss,
            self.factor.factor,
        );
        // All inputs are finite: a NaN stems from an overflow.
        if finished.loss.hi.is_finite() {
            return finished;
        }
        Finished { loss: DoubleDouble::from(f64::INFINITY), ..finished }
    }

    /// The class whose gradient element the loop does not compute accurately, and that element.
    ///
    /// For p > 1/2, Q p − q is computed as (Q − q) − Q (1 − p): Q − q and 1 − p both have full relative
    /// accuracy.
    fn slope_apart(&self, row: &Row<'_, T>, sum: &Sum, finished: &Finished) -> Option<(usize, DoubleDouble)> {
        let Finished { excess, inverse, factor, .. } = *finished;
        let is_certain = sum.parts.rest.hi < 0.5;
        let (class, others) = match row.target {
            Some(Target { class, z, q, .. }) if !is_certain || z != sum.max => {
                let share = for_exponent!(sum.about, exponent => {
                    row_functions::one::<T::First, _>(z, Softmax { exponent, inverse })
                });
                return Some((class, share - scalar_tasks::product(q, factor)));
            }
            Some(Target { class, others, .. }) => (class, others),
            None if is_certain => {
                let class = row.block.z.iter().position(|z| z.widen() == sum.max)?;
                let weight = row.weight?;
                let parts = [(0, class), (class + 1, usize::MAX - class - 1)];
                let [before, after] =
                    parts.map(|(start, count)| sum_of(row.block.part(start, count), weight));
                (class, before + after)
            }
            None => return None,
        };
        let rest = sum.parts.rest;
        Some((class, at_maximum(rest, others, row.whole, excess, factor)))
    }

    /// q_k of class k.
    pub(super) fn weight_at(&self, row: &Row<'_, T>, k: usize) -> f64 {
        let part = row.block.part(k, 1);
        let spread = row.weight.map_or(0.0, |weight| sum_of(part, weight).hi);
        spread + row.target.map_or(0.0, |target| if target.class == k { target.weight.hi } else { 0.0 })
    }

    /// The loss and gradient of a row without a finite maximum.
    fn at_edge(&self, row: &Row<'_, T>, max: f64, gradient: Option<&mut [T]>) -> DoubleDouble {
        let z = row.block.z;
        let is_infinite = |z: &T| z.widen() == f64::INFINITY;
        let count = z.iter().copied().filter(is_infinite).count() as f64;
        let factor = scalar_tasks::product(self.factor.factor, self.per_temperature).hi;
        for (k, out) in gradient.into_iter().flatten().enumerate() {
            let share = if is_infinite(&z[k]) { 1.0 / count } else { 0.0 };
            *out = T::narrow(match max {
                f64::NEG_INFINITY => 0.0,
                f64::INFINITY => (row.whole.hi * share - self.weight_at(row, k)) * factor,
                nan => nan,
            });
        }
        let hi = match max {
            f64::INFINITY
                if self.of.z_loss == 0.0
                    && (0..z.len()).all(|k| is_infinite(&z[k]) || self.weight_at(row, k) == 0.0) =>
            {
                return scalar_tasks::product(scalar_tasks::ln(count), row.whole);
            }
            nan if nan.is_nan() => nan,
            _ => f64::INFINITY,
        };
        DoubleDouble { hi, lo: 0.0 }
    }

    /// Writes the Hessian times a vector for the rows from `first` on.
    pub(super) fn hvp(&self, first: usize, z: &[T], v: &[T], out: &mut [T]) {
        let classes = self.of.classes;
        let rows = z.chunks(classes).zip(v.chunks(classes)).zip(out.chunks_mut(classes));
        for (i, ((z, v), out)) in rows.enumerate() {
            let row = self.weighted(first + i, z);
            match self.sum(z) {
                _ if row.whole.hi == 0.0 => out.fill(T::default()),
                Err(max) => out.fill(if max.is_nan() { T::narrow(max) } else { T::default() }),
                Ok(Sum { max, about, parts }) => {
                    let per_temperature = self.per_temperature;
                    let lse = scalar_tasks::product(DoubleDouble::from(max), per_temperature) + parts.log;
                    let twice = DoubleDouble::from(2.0 * self.of.z_loss);
                    let factor = scalar_tasks::product(
                        self.factor.factor,
                        scalar_tasks::product(per_temperature, per_temperature),
                    );
                    let inverse =
                        scalar_tasks::product(scalar_tasks::product(parts.inverse, row.whole), factor);
                    let Scaled { vector, is_great, factor: scale } = Scaled::new(z, v);
                    let block = Block { z, v: Some(&vector), w: None };
                    for_exponent!(about, exponent => {
                        let mean = if is_great {
                            // Exponentials in units of 2^-256, so that their products with the vector are in range.
                            let inverse = DoubleDouble::from(power_of_two(256));
                            sum_of(block, Times(Softmax { exponent, inverse })).scaled(power_of_two(-256))
                        } else {
                            sum_of(block, Times(Exp(exponent))).scaled(UNSCALE)
                        };
                        let mean = scalar_tasks::product(mean, parts.inverse);
                        let curvature = Curvature {
                            softmax: Softmax { exponent, inverse },
                            mean,
                            growth: scalar_tasks::product(lse, twice) + 1.0,
                            offset: scalar_tasks::product(mean, twice),
                        };
                        row_functions::each::<T::First, T, _>(block, curvature, out, self.to);
                    });
                    if is_great {
                        out.iter_mut().for_each(|out| *out = T::narrow(out.widen() / scale));
                    }
                }
            }
        }
    }
}

/// A vector times a power of 2, so that its products with a Hessian do not overflow on the way.
struct Scaled<'a, T: Clone> {
    vector: Cow<'a, [T]>,
    /// Whether some of its numbers are great. Else the factor is 1.
    is_great: bool,
    factor: f64,
}

impl<'a, T: Format> Scaled<'a, T> {
    fn new(z: &[T], vector: &'a [T]) -> Self {
        // Beyond it, numbers times exponentials in units of UNSCALE may overflow.
        const MOST: f64 = power_of_two(400);
        let is_great = |v: &T| v.widen().abs() > MOST;
        if !vector.iter().any(is_great) {
            return Self { vector: Cow::Borrowed(vector), is_great: false, factor: 1.0 };
        }
        // The softmax is 0 at −∞: numbers there do not count.
        let counts = |z: &T| z.widen() > f64::NEG_INFINITY;
        let is_great = z.iter().zip(vector).any(|(z, v)| counts(z) && is_great(v));
        let factor = if is_great { 1.0 / MOST } else { 1.0 };
        let scaled = |(z, v): (&T, &T)| if counts(z) { T::narrow(v.widen() * factor) } else { T::default() };
        Self { vector: z.iter().zip(vector).map(scaled).collect(), is_great, factor }
    }
}

/// Σ f over a row.
pub(super) fn sum_of<T: Format>(row: Block<'_, T>, f: impl row_functions::Function) -> DoubleDouble {
    row_functions::sum::<<T as Format>::First, T>(row, f)
}

#[derive(Clone, Copy)]
struct Finished {
    loss: DoubleDouble,
    /// 2ζ LSE.
    excess: DoubleDouble,
    /// The factor of the exponentials in the first part of the gradient.
    inverse: DoubleDouble,
    /// The factor of q in the second part of the gradient.
    factor: DoubleDouble,
}

task! {
    /// The loss of a row from its exponential sum. log(1 + t) and all max − z are nonnegative, so that nothing
    /// cancels.
    fn finish(max: f64, parts: Parts, depth: DoubleDouble, whole: DoubleDouble, per_temperature: DoubleDouble, z_loss: f64, factor: DoubleDouble; _: V) -> Finished {
        let mut loss = parts.log * whole + depth;
        let mut excess = DoubleDouble::ZERO;
        if z_loss > 0.0 {
            let lse = DoubleDouble::from(max) * per_temperature + parts.log;
            let scaled = lse * DoubleDouble::from(z_loss);
            loss = loss + scaled * lse * whole;
            excess = scaled.scaled(2.0);
        }
        let factor = factor * per_temperature;
        let inverse = parts.inverse * whole * factor * (excess + 1.0);
        Finished { loss, excess, inverse, factor }
    }
}

task! {
    /// factor · ((Q − q) − Q (1 − p) + Q p · excess), with rest = 1 − p.
    fn at_maximum(rest: DoubleDouble, others: DoubleDouble, whole: DoubleDouble, excess: DoubleDouble, factor: DoubleDouble; _: V) -> DoubleDouble {
        let share = -rest + 1.0;
        let grown = (share * excess - rest) * whole;
        (others + grown) * factor
    }
}
