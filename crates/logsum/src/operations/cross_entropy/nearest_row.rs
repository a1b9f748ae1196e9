//! The loss and gradient of one row of logits, correctly rounded: for class targets and probabilities, with weights and
//! label smoothing.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two, two_sum};
use crate::arithmetic::exp::UNSCALE;
use crate::arithmetic::log_of_sum::SLACK;
use crate::arithmetic::precision::Precision;
use crate::formats::Format;
use crate::formats::nearest::nearest_above;
use crate::kernels::block::LONG;
use crate::kernels::row_access::BLOCK;
use crate::kernels::row_functions::{
    About, Block, Bounded, BoundedSoftmax, each_bounded, for_exponent, settle,
};
use crate::kernels::target_weights::{BoundedSlope, Depth};
use crate::kernels::{Constants, Each, Factor, Scaled};
use crate::operations::cross_entropy::row::{Row, Target, sum_of};
use crate::operations::cross_entropy::{Targets, Work, is_tame};
use crate::operations::row_reduction::KEPT;
use crate::simd::{Keep, scalar_tasks};
use crate::state::positive::{self, Kept, Partial};
use crate::ziv::class_losses::{self, Divisor, LossRow, Slopes, greatest, nearest_loss};
use crate::ziv::elements::{nearest_scaled, share};

impl Scaled {
    pub(super) const ZERO: Self = Self { value: DoubleDouble::ZERO, error: 0.0 };

    /// Finite, but beyond the range of these numbers or not known in them.
    pub(super) const UNKNOWN: Self = Self { value: DoubleDouble::ZERO, error: f64::INFINITY };

    /// NaN or infinite.
    fn special(value: f64) -> Self {
        Self { value: DoubleDouble { hi: value, lo: 0.0 }, error: 0.0 }
    }

    /// The sum of two losses, off by 3u².
    pub(super) fn plus(self, other: Self) -> Self {
        let value = self.value + other.value;
        match self.value.hi + other.value.hi {
            sum if sum.is_finite() => {
                let error = self.error + other.error + power_of_two(-103) * value.hi;
                Self { value, error: error * (1.0 + f64::EPSILON) }
            }
            _ if self.value.hi.is_finite() && other.value.hi.is_finite() => Self::UNKNOWN,
            special => Self::special(special),
        }
    }

    /// The loss over a divisor, with a bound on the relative error of that.
    pub(super) fn over(self, divisor: DoubleDouble, error: f64) -> Self {
        if !self.value.hi.is_finite() {
            return self;
        }
        let value = scalar_tasks::quotient(self.value, divisor);
        let error = self.error / divisor.hi + value.hi * (error + power_of_two(-100));
        if value.hi.is_finite() { Self { value, error: error * SLACK } } else { Self::UNKNOWN }
    }

    /// The nearest float, if the bound of the error settles it.
    pub(super) fn nearest<T: Format>(self) -> Option<T> {
        match self.value.hi {
            special if !special.is_finite() => Some(T::narrow(special)),
            0.0 if self.error == 0.0 => Some(T::default()),
            _ if self.error == f64::INFINITY => None,
            _ => nearest_scaled(self.value, self.error),
        }
    }
}

impl<T: Format> Work<'_, T> {
    /// The mean or the sum of the losses, given their sum from the first phase.
    pub(super) fn nearest_loss(&self, z: &[T], loss: Scaled) -> T {
        let nearest = |loss: Scaled| match self.whole {
            None => loss.nearest(),
            Some(whole) => loss.over(whole, self.factor.error).nearest(),
        };
        nearest(loss).or_else(|| nearest(self.over::<T::Elements>(z, None, None, None).loss)).unwrap_or_else(
            || {
                let rows = z.chunks(self.of.classes).enumerate();
                nearest_loss(rows.filter_map(|(index, z)| self.loss_row(index, z)), &self.divisor)
            },
        )
    }

    /// The loss of a row, given that of the first phase.
    pub(super) fn nearest_loss_of_row(&self, index: usize, z: &[T], loss: Scaled) -> T {
        let exactly = || {
            let row = self.loss_row(index, z).expect("the loss of an ignored row is 0");
            nearest_loss(std::iter::once(row), &Divisor::of(std::iter::once(1.0)))
        };
        loss.nearest().or_else(|| self.above_depth(index, z, loss)).unwrap_or_else(exactly)
    }

    /// The float nearest to the loss of a row whose target has the weight 1, without label smoothing, if the following
    /// argument settles it. Such a loss exceeds max − z_t by what the other classes add. Where max − z_t is half-way
    /// between two floats, and the excess is less than the bound on the error, the loss is rounded up.
    fn above_depth(&self, index: usize, z: &[T], loss: Scaled) -> Option<T> {
        let Target { z: of_target, weight, .. } = self.weighted(index, z).target?;
        if weight.hi != 1.0 || weight.lo != 0.0 || self.of.smoothing > 0.0 || loss.error == f64::INFINITY {
            return None;
        }
        let depth = two_sum(greatest(z), -of_target);
        nearest_above(depth, loss.value.scaled(UNSCALE), loss.error * UNSCALE)
    }

    /// The row in the form that the exact phases need; `None` if it does not count.
    fn loss_row<'a>(&'a self, index: usize, z: &'a [T]) -> Option<LossRow<'a, T>> {
        let target = match self.targets {
            Targets::Classes(targets) if self.of.ignored == Some(targets[index]) => return None,
            Targets::Classes(targets) => class_losses::Target::Class(targets[index]),
            Targets::Probabilities(targets) => {
                class_losses::Target::Probabilities(&targets[index * z.len()..][..z.len()])
            }
        };
        let (class_weights, smoothing) = (self.of.class_weights, self.of.smoothing);
        Some(LossRow { z, target, class_weights, smoothing })
    }

    /// The loss of a row.
    pub(super) fn row_loss<P: Keep>(&self, index: usize, z: &[T]) -> Scaled {
        let row = self.weighted(index, z);
        if !self.is_tame_row(&row) {
            return self.untamed_loss(index, z);
        }
        if row.whole.hi == 0.0 {
            return Scaled::ZERO;
        }
        self.loss_of::<P>(&row, &Partial::over(&z))
    }

    /// The loss of a row, and its gradient times the factor.
    pub(super) fn row_loss_with_gradient(
        &self,
        index: usize,
        z: &[T],
        gradient: &mut [T],
        kept: &mut Kept<T>,
    ) -> Scaled {
        let row = self.weighted(index, z);
        let is_tame = self.is_tame_row(&row);
        let loss_row = self.loss_row(index, z).filter(|loss_row| {
            let is_weightless = if is_tame { row.whole.hi == 0.0 } else { loss_row.is_weightless() };
            // A sum of weights beyond the range is a NaN here.
            !is_weightless && self.whole.is_none_or(|whole| whole.hi != 0.0)
        });
        let Some(loss_row) = loss_row else {
            gradient.fill(T::default());
            return if is_tame { Scaled::ZERO } else { self.untamed_loss(index, z) };
        };
        let slopes = Slopes::new(loss_row, &self.divisor, is_tame.then_some(self.factor));
        if !is_tame {
            let max = greatest(z);
            if max.is_finite() {
                (0..z.len()).for_each(|k| gradient[k] = slopes.nearest(k));
            } else {
                self.write_edge(&row, loss_row, max, gradient);
            }
            return self.untamed_loss(index, z);
        }
        let factor = self.factor_of(row.whole, row.error);
        let partial = self.write_shares(&row, factor, &slopes, gradient, kept).unwrap_or_else(|| {
            let partial = Partial::over(&z);
            if partial.max.is_finite() {
                self.write_slopes(&row, &partial, factor, &slopes, gradient);
            } else {
                self.write_edge(&row, loss_row, partial.max, gradient);
            }
            partial
        });
        if partial.max.is_finite()
            && let Some((class, slope)) = self.slope_of_target(&row, &partial, factor)
        {
            gradient[class] = slope.nearest().unwrap_or_else(|| slopes.nearest(class));
        }
        self.loss_of(&row, &partial)
    }

    /// Whether all weights of a row are tame.
    fn is_tame_row(&self, row: &Row<'_, T>) -> bool {
        let is_narrow = T::LEAST_POWER > -1074;
        self.is_tame
            && (is_narrow || row.block.v.is_none_or(|given| given.iter().all(|given| is_tame(given.widen()))))
    }

    /// The loss of a row with weights of any size, as far as it is known without computing its digits.
    fn untamed_loss(&self, index: usize, z: &[T]) -> Scaled {
        match self.loss_row(index, z).filter(|row| !row.is_weightless()) {
            None => Scaled::ZERO,
            Some(row) => match greatest(z) {
                f64::INFINITY if !row.is_infinite() => Scaled::UNKNOWN,
                max if !max.is_finite() => Scaled::special(if max.is_nan() { max } else { f64::INFINITY }),
                _ if row.is_infinite() => Scaled::special(f64::INFINITY),
                _ => Scaled::UNKNOWN,
            },
        }
    }

    /// Q divided by the divisor, and what this factor adds to the relative error of a share.
    pub(super) fn factor_of(&self, whole: DoubleDouble, error: f64) -> Factor {
        let factor = scalar_tasks::product(self.factor.factor, whole);
        let error = self.factor.error + error + of_rounding::<T::Elements>();
        Factor { factor, error: error + of_far::<T::Elements>(factor.hi) }
    }

    /// The gradient except for the target's element, with one exponential per number if that is possible.
    fn write_shares(
        &self,
        row: &Row<'_, T>,
        factor: Factor,
        slopes: &Slopes<'_, '_, T>,
        gradient: &mut [T],
        kept: &mut Kept<T>,
    ) -> Option<Partial<T::Elements>> {
        let z = row.block.z;
        if row.weight.is_some() || !(LONG..=KEPT).contains(&z.len()) || !factor.is_ordinary() {
            return None;
        }
        let shared = positive::with_shares(z, factor, gradient, kept, self.to)?;
        if !shared.is_settled {
            let Constants { c, two, error } = shared.partial.constants(Each::Share);
            let (inverse, error) = (scalar_tasks::product(two, factor.factor), error + factor.error);
            for_exponent!(About::shift(c), exponent => {
                let softmax = BoundedSoftmax { exponent, inverse, error };
                settle(row.block, softmax, gradient, |k| slopes.nearest(k));
            });
        }
        Some(shared.partial)
    }

    /// The gradient, except for the element of [`slope_of_target`](Self::slope_of_target).
    fn write_slopes(
        &self,
        row: &Row<'_, T>,
        partial: &Partial<T::Elements>,
        factor: Factor,
        slopes: &Slopes<'_, '_, T>,
        gradient: &mut [T],
    ) {
        let Constants { c, two, error } = partial.constants(Each::Share);
        let inverse = scalar_tasks::product(two, factor.factor);
        // With a factor beyond the range, nothing is settled here.
        let error = if factor.is_ordinary() { error + factor.error } else { f64::NAN };
        for_exponent!(About::shift(c), exponent => {
            let softmax = BoundedSoftmax { exponent, inverse, error };
            match row.weight {
                None => self.write(row.block, softmax, slopes, gradient),
                Some(weight) => {
                    let error = self.factor.error + row.error + 2.0 * of_rounding::<T::Elements>();
                    let slope = BoundedSlope { softmax, weight, factor: self.factor.factor, error };
                    self.write(row.block, slope, slopes, gradient);
                }
            }
        });
    }

    fn write(&self, row: Block<'_, T>, f: impl Bounded, slopes: &Slopes<'_, '_, T>, gradient: &mut [T]) {
        for (i, gradient) in gradient.chunks_mut(BLOCK).enumerate() {
            let part = row.part(i * BLOCK, BLOCK);
            if each_bounded(part, f, gradient, self.to) {
                settle(part, f, gradient, |k| slopes.nearest(i * BLOCK + k));
            }
        }
    }

    /// The gradient of a row without a finite maximum.
    fn write_edge(&self, row: &Row<'_, T>, loss_row: LossRow<'_, T>, max: f64, gradient: &mut [T]) {
        if max != f64::INFINITY {
            gradient.fill(if max.is_nan() { T::narrow(max) } else { T::default() });
            return;
        }
        let z = LossRow::counted(row.block.z);
        // Now each number is 0 or −∞, and each exponential 1 or 0: integers suffice, for weights of any size.
        let slopes = Slopes::new(LossRow { z: &z, ..loss_row }, &self.divisor, None);
        // Classes without a weight of their own differ only in whether they are +∞.
        let has_weight =
            |k: usize| row.weight.is_some() || row.target.is_some_and(|target| target.class == k);
        let mut known = [None; 2];
        for (k, (z, gradient)) in z.iter().zip(gradient).enumerate() {
            *gradient = match &mut known[usize::from(z.widen() == 0.0)] {
                _ if has_weight(k) => slopes.nearest(k),
                Some(slope) => *slope,
                place => *place.insert(slopes.nearest(k)),
            };
        }
    }

    /// The class whose element of the gradient the loop over all classes does not compute accurately, and that element:
    /// the target's class or, with target probabilities, a class whose softmax is above 1/2.
    ///
    /// At the maximum, Q p − q is computed as (Q − q) − Q (1 − p): Q − q and 1 − p both have full relative
    /// accuracy.
    fn slope_of_target(
        &self,
        row: &Row<'_, T>,
        partial: &Partial<T::Elements>,
        factor: Factor,
    ) -> Option<(usize, Scaled)> {
        let rest = partial.scaled_rest();
        let of_share = |z: f64| {
            let Constants { c, two, error } = partial.constants(Each::Share);
            let share = share::<T::Elements>(z, c, two);
            Scaled { value: share, error: share.hi * error }
        };
        let (class, share, weight, sign) = match row.target {
            Some(Target { class, z, q, .. }) if z != partial.max => (class, of_share(z), q, 1.0),
            Some(Target { class, others, .. }) => (class, rest, others, -1.0),
            None if rest.value.hi * UNSCALE < 0.5 => {
                let class = row.block.z.iter().position(|z| z.widen() == partial.max)?;
                let weight = row.weight?;
                let parts = [(0, class), (class + 1, usize::MAX - class - 1)];
                let [before, after] =
                    parts.map(|(start, count)| sum_of(row.block.part(start, count), weight));
                (class, rest, before + after, -1.0)
            }
            None => return None,
        };
        if !factor.is_ordinary() {
            return Some((class, Scaled::UNKNOWN));
        }
        let (plus, minus) = (scalar_tasks::product(share.value, row.whole), weight.scaled(1.0 / UNSCALE));
        let value = scalar_tasks::product(plus - minus, self.factor.factor);
        let of_terms = row.error + power_of_two(-99);
        let of_share = (of_terms + of_far::<T::Elements>(factor.factor.hi)) * plus.hi;
        // Q − q has an error relative to Q.
        let of_weight = if row.weight.is_some() { row.whole.hi / UNSCALE } else { minus.hi } * of_terms;
        let error = share.error * row.whole.hi + of_share + of_weight;
        let error = error * self.factor.factor.hi + value.hi.abs() * (self.factor.error + power_of_two(-99));
        Some((class, Scaled { value: value.scaled(sign), error: error * SLACK }))
    }

    /// The loss of a row of positive weight from the state of its sum. log(1 + t) and all max − z are not negative,
    /// so that nothing cancels.
    fn loss_of<P: Keep>(&self, row: &Row<'_, T>, partial: &Partial<P>) -> Scaled {
        let (z, max) = (row.block.z, partial.max);
        let is_infinite = |z: &T| z.widen() == f64::INFINITY;
        let (log, depth) = match max {
            f64::INFINITY => {
                let has_no_mass = |k: usize| !is_infinite(&z[k]) && self.weight_at(row, k) > 0.0;
                if (0..z.len()).any(has_no_mass) {
                    return Scaled::special(f64::INFINITY);
                }
                let count = z.iter().filter(|z| is_infinite(z)).count();
                (Partial::<P>::of_equal_numbers(count).scaled_log(), DoubleDouble::ZERO)
            }
            max if !max.is_finite() => return Scaled::special(-max),
            max => (partial.scaled_log(), self.scaled_depth(row, max)),
        };
        let value = scalar_tasks::product(log.value, row.whole) + depth;
        if !value.hi.is_finite() {
            let has_no_mass = |k: usize| z[k].widen() == f64::NEG_INFINITY && self.weight_at(row, k) > 0.0;
            let is_infinite = (0..z.len()).any(has_no_mass);
            return if is_infinite { Scaled::special(f64::INFINITY) } else { Scaled::UNKNOWN };
        }
        // If a depth times its weight underflows, the number is close to the maximum, and the logarithm is large.
        let of_sum = if row.weight.is_some() { Self::SPREAD_ERROR } else { 0.0 };
        let of_terms = row.error + of_sum + power_of_two(-99) + of_far::<P>(row.whole.hi);
        let error = log.error * row.whole.hi + value.hi * of_terms;
        Scaled { value, error: error * SLACK }
    }

    /// Σ q_k (max − z_k), in units of UNSCALE.
    fn scaled_depth(&self, row: &Row<'_, T>, max: f64) -> DoubleDouble {
        let scale = 1.0 / UNSCALE;
        let own = row.target.filter(|target| target.weight.hi > 0.0).map_or(DoubleDouble::ZERO, |target| {
            scalar_tasks::product(two_sum(max, -target.z).scaled(scale), target.weight)
        });
        match row.weight {
            None => own,
            Some(weight) => own + sum_of(row.block, Depth { weight, max }).scaled(scale),
        }
    }
}

/// A bound on two roundings in this precision.
fn of_rounding<P: Precision>() -> f64 {
    power_of_two(if P::IS_DOUBLE_DOUBLE { -100 } else { -51 })
}

/// What a factor greater than 1 adds to the relative error of an exponential: it may make visible what is far below the
/// maximum.
fn of_far<P: Precision>(factor: f64) -> f64 {
    if factor > 1.0 { P::FAR_EXP_ERROR - P::EXP_ERROR } else { 0.0 }
}
