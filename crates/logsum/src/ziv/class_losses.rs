//! Losses of rows of logits against targets, and their derivatives, correctly rounded: the phases after the one that
//! the kernels do for all numbers.
//!
//! With weights q_k, their sum Q, S = Σ e^{z_k} and a divisor W, all but S rational, a loss is Σ_k q_k (log S − z_k),
//! the mean of rows their sum over W, and a derivative (Q e^{z_k} − q_k S)/(W S).
//!
//! | phase | error of a sum S, relative |
//! |---|---|
//! | double-double, for derivatives | 2^-61; for f64 2^-74 |
//! | one group of equal numbers | 0 |
//! | triple-double | 2^-116 |
//! | fixed point of 256 bits | 2^-240 |
//! | arbitrary precision | as small as it takes |
//!
//! The phases end for every row. A derivative y is rational only if (Q e^{z_k} − q_k S) − y W S vanishes, which by
//! Lindemann and Weierstrass means that all finite numbers are equal (or that all coefficients are 0, because Q and q_k
//! are): then it is a quotient of integers. The sum of losses is the logarithm of Π S_r^{Q_r} plus a rational number.
//! With a common denominator the exponents are integers, and the product is a sum of exponentials of rational numbers
//! with positive coefficients, whose logarithm is rational only if it is one exponential with the coefficient 1.
//! Nothing cancels, so that each S_r then is one exponential: each row has one finite number, and the sum of losses
//! vanishes. In all other cases the result keeps a distance from every half-way point.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two, two_sum};
use crate::arithmetic::exp::UNSCALE;
use crate::arithmetic::log_of_sum::SLACK;
use crate::arithmetic::precision::InDoubleDouble;
use crate::formats::Format;
use crate::kernels::row_access::Series;
use crate::kernels::row_functions::{Block, sum};
use crate::kernels::target_weights::Weight;
use crate::kernels::{Constants, Each, Factor};
use crate::simd::scalar_tasks;
use crate::state::positive::Partial;
use crate::ziv::centred_sum::CentredSum;
use crate::ziv::elements::{alone, nearest_scaled, nearest_share, share};
use crate::ziv::integer_sums::{Sum, fixed, quotient_ends, ratio};
use crate::ziv::{arbitrary_precision, fixed_point};
use dashu_int::IBig;
use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::sync::LazyLock;

/// The unit of weights, 2^-1074: that of the least f64.
const WEIGHT_BITS: usize = 1074;

/// The units of q_k, products of up to three numbers.
const BITS: usize = 3 * WEIGHT_BITS;

fn units(x: f64) -> IBig {
    fixed(x, WEIGHT_BITS)
}

/// The divisor of a mean, a sum of weights, computed exactly when it is first needed.
pub(crate) struct Divisor<'a>(LazyLock<IBig, Box<dyn FnOnce() -> IBig + Send + Sync + 'a>>);

impl<'a> Divisor<'a> {
    pub(crate) fn of(weights: impl Iterator<Item = f64> + Send + Sync + 'a) -> Self {
        Self(LazyLock::new(Box::new(|| weights.map(units).sum())))
    }
}

/// The target of a row.
#[derive(Clone, Copy)]
pub(crate) enum Target<'a, T> {
    Class(usize),
    Probabilities(&'a [T]),
}

/// A row of logits, and the numbers that its weights q_k are computed from.
#[derive(Clone, Copy)]
pub(crate) struct LossRow<'a, T> {
    pub(crate) z: &'a [T],
    pub(crate) target: Target<'a, T>,
    pub(crate) class_weights: Option<&'a [T]>,
    pub(crate) smoothing: f64,
}

impl<T: Format> LossRow<'_, T> {
    /// Whether no class has a weight.
    pub(crate) fn is_weightless(&self) -> bool {
        self.whole() == IBig::ZERO
    }

    /// Whether the loss is infinite: if a class of positive weight has the softmax 0.
    pub(crate) fn is_infinite(&self) -> bool {
        let z = Self::counted(self.z);
        self.weighted().any(|k| z[k].widen() == f64::NEG_INFINITY && self.weight(k) > IBig::ZERO)
    }

    fn classes(&self) -> IBig {
        IBig::from(self.z.len())
    }

    /// K (1 − ε) and ε, in units of 2^-[`WEIGHT_BITS`].
    fn whole_parts(&self) -> [IBig; 2] {
        let smoothing = units(self.smoothing);
        [(units(1.0) - &smoothing) * self.classes(), smoothing]
    }

    /// w_k.
    fn class_weight(&self, k: usize) -> f64 {
        self.class_weights.map_or(1.0, |weights| weights[k].widen())
    }

    /// t_k.
    fn given(&self, k: usize) -> f64 {
        match self.target {
            Target::Class(class) => f64::from(u8::from(class == k)),
            Target::Probabilities(t) => t[k].widen(),
        }
    }

    /// K q_k = w_k (K (1 − ε) t_k + ε), in units of 2^-[`BITS`].
    fn weight(&self, k: usize) -> IBig {
        let [certain, smoothing] = self.whole_parts();
        units(self.class_weight(k)) * (certain * units(self.given(k)) + (smoothing << WEIGHT_BITS))
    }

    /// 1 − ε and ε/K.
    fn parts(&self) -> [DoubleDouble; 2] {
        let [smoothing, classes] = [self.smoothing, self.z.len() as f64].map(DoubleDouble::from);
        [two_sum(1.0, -self.smoothing), scalar_tasks::quotient(smoothing, classes)]
    }

    /// q_k, with a relative error below 2^-99 if the numbers that it is computed from are tame.
    fn weight_in_double_double(&self, k: usize) -> DoubleDouble {
        let [certain, spread] = self.parts();
        let weight = scalar_tasks::product(certain, DoubleDouble::from(self.given(k))) + spread;
        scalar_tasks::product(weight, DoubleDouble::from(self.class_weight(k)))
    }

    /// Q, with a relative error below 2^-87.
    fn whole_in_double_double(&self) -> DoubleDouble {
        let Self { z, class_weights: w, .. } = *self;
        let [certain, spread] = self.parts();
        let sum = |v, a| sum::<InDoubleDouble, T>(Block { z, v, w }, Weight::Smoothed { a, b: spread });
        match self.target {
            Target::Probabilities(t) => sum(Some(t), certain),
            Target::Class(class) if self.smoothing == 0.0 => self.weight_in_double_double(class),
            Target::Class(class) => {
                let own = DoubleDouble::from(self.class_weight(class));
                sum(None, certain) + scalar_tasks::product(certain, own)
            }
        }
    }

    /// The classes whose weights may be positive.
    fn weighted(&self) -> impl Iterator<Item = usize> + use<T> {
        match self.target {
            Target::Class(class) if self.smoothing == 0.0 => class..class + 1,
            _ => 0..self.z.len(),
        }
    }

    /// K Q = K (1 − ε) Σ w_k t_k + ε Σ w_k, in units of 2^-[`BITS`].
    fn whole(&self) -> IBig {
        let [certain, smoothing] = self.whole_parts();
        let given: IBig = match self.target {
            Target::Class(class) => units(self.class_weight(class)) << WEIGHT_BITS,
            Target::Probabilities(_) => {
                (0..self.z.len()).map(|k| units(self.class_weight(k)) * units(self.given(k))).sum()
            }
        };
        let weights: IBig = match self.class_weights {
            _ if self.smoothing == 0.0 => IBig::ZERO,
            None => units(1.0) * self.classes(),
            Some(weights) => weights.iter().map(|weight| units(weight.widen())).sum(),
        };
        certain * given + ((smoothing * weights) << WEIGHT_BITS)
    }

    /// The numbers; if some are +∞, only these count: they are returned as equal finite numbers, the others as −∞.
    pub(crate) fn counted(z: &[T]) -> Cow<'_, [T]> {
        if z.iter().all(|z| z.widen() < f64::INFINITY) {
            return Cow::Borrowed(z);
        }
        let counted = |z: &T| if z.widen() == f64::INFINITY { T::default() } else { T::NEG_INFINITY };
        Cow::Owned(z.iter().map(counted).collect())
    }
}

/// The greatest number, or a NaN.
pub(crate) fn greatest<T: Format>(z: &[T]) -> f64 {
    let greater = |max: f64, z: f64| if z > max || z.is_nan() { z } else { max };
    z.iter().fold(f64::NEG_INFINITY, |max, z| greater(max, z.widen()))
}

fn finite<T: Format>(z: &[T]) -> impl Iterator<Item = f64> {
    z.iter().map(|z| z.widen()).filter(|&z| z > f64::NEG_INFINITY)
}

/// The phases of a sum of exponentials.
#[derive(Clone, Copy)]
enum Bits {
    Triple,
    Long,
    Arbitrary(usize),
}

impl Bits {
    fn all() -> impl Iterator<Item = Self> {
        [Self::Triple, Self::Long].into_iter().chain((9..).map(|log2| Self::Arbitrary(1 << log2)))
    }

    fn sum<T: Format>(self, z: &[T], max: f64) -> Option<Sum> {
        let (source, center) = (&(&z as &dyn Series<T>), DoubleDouble::from(max));
        match self {
            Self::Triple => CentredSum::relative_to(max, source).as_integer(),
            Self::Long => fixed_point::sum(source, center),
            Self::Arbitrary(bits) => Some(arbitrary_precision::sum(source, center, bits)),
        }
    }
}

/// The sum of the losses of rows, over a divisor, correctly rounded. All are finite: no number with a positive weight
/// is −∞, and no row is all −∞.
#[cold]
pub(crate) fn nearest_loss<'a, T: Format>(
    rows: impl Iterator<Item = LossRow<'a, T>> + Clone,
    divisor: &Divisor<'_>,
) -> T {
    Bits::all()
        .find_map(|bits| loss(rows.clone(), divisor, bits))
        .expect("the loss keeps a distance from every half-way point (Lindemann and Weierstrass)")
}

/// The loss is above Σ q_k (max − z_k) by Σ Q log Σ e^{z_k − max}. This settles losses that differ from a half-way
/// point between two floats only by a tiny logarithm.
fn loss<'a, T: Format>(
    rows: impl Iterator<Item = LossRow<'a, T>>,
    divisor: &Divisor<'_>,
    bits: Bits,
) -> Option<T> {
    // With the number of classes K: K Σ q (max − z) in units of BITS and those of z, K Σ Q log, and a bound on the
    // error of that, in units of BITS and those of log.
    let (mut depth, mut log, mut error) = (IBig::ZERO, IBig::ZERO, IBig::ZERO);
    let (mut log_bits, mut classes, mut is_above) = (0, IBig::ONE, false);
    for row in rows {
        let whole = row.whole();
        if whole == IBig::ZERO {
            continue;
        }
        classes = row.classes();
        let z = &LossRow::counted(row.z)[..];
        let max = greatest(z);
        for k in row.weighted().filter(|&k| z[k].widen() != max) {
            let weight = row.weight(k);
            if weight > IBig::ZERO {
                depth += weight * (units(max) - units(z[k].widen()));
            }
        }
        is_above |= finite(z).nth(1).is_some();
        let sum = bits.sum(z, max)?;
        log_bits = sum.bits;
        let (of_row, of_error) = sum.log()?;
        log += &whole * of_row;
        error += whole * of_error;
    }
    let bits = log_bits.max(WEIGHT_BITS);
    // In halves of a unit, so that a number just above `depth` can be written.
    let depth = depth << (bits - WEIGHT_BITS + 1);
    let [log, error] = [log, error].map(|x| x << (bits - log_bits + 1));
    let divisor = (classes * &*divisor.0) << (BITS + bits + 1 - WEIGHT_BITS);
    if !is_above {
        return Some(ratio(depth, &divisor));
    }
    let (low, high) = (&depth + &log - &error, &depth + log + error);
    let [low, high] = [low.max(depth + IBig::ONE), high].map(|end| ratio::<T>(end, &divisor));
    low.same_bits(high).then_some(low)
}

/// The data from which the derivatives of a row's loss, over a divisor, are computed. The row's weights are not all 0,
/// and its greatest number is finite. Sums are computed when they are first needed.
pub(crate) struct Slopes<'a, 'd, T: Format> {
    row: LossRow<'a, T>,
    divisor: &'a Divisor<'d>,
    /// 1 over the divisor, with a bound on its relative error; `None` if it or weights are too large or small for
    /// double-doubles.
    per_divisor: Option<Factor>,
    max: OnceCell<f64>,
    first: OnceCell<First>,
    whole: OnceCell<IBig>,
    /// The number of equal numbers, if all finite ones are equal.
    equal: OnceCell<Option<usize>>,
    sums: [OnceCell<Option<Sum>>; 2],
    /// With the most bits that were needed so far.
    arbitrary: RefCell<Option<Sum>>,
}

/// A row in double-doubles.
struct First {
    constants: Constants,
    /// Q over the divisor.
    factor: Factor,
}

impl<'a, 'd, T: Format> Slopes<'a, 'd, T> {
    pub(crate) fn new(row: LossRow<'a, T>, divisor: &'a Divisor<'d>, per_divisor: Option<Factor>) -> Self {
        Self {
            row,
            divisor,
            per_divisor,
            max: OnceCell::new(),
            first: OnceCell::new(),
            whole: OnceCell::new(),
            equal: OnceCell::new(),
            sums: Default::default(),
            arbitrary: RefCell::new(None),
        }
    }

    /// The float nearest to the derivative with respect to the logit of class k.
    #[cold]
    pub(crate) fn nearest(&self, k: usize) -> T {
        self.in_double_doubles(k)
            .or_else(|| {
                let weight = self.row.weight(k);
                self.of_equal_numbers(k, &weight)
                    .or_else(|| Bits::all().find_map(|bits| self.slope(k, &weight, bits)))
            })
            .expect("the derivative keeps a distance from every half-way point (Lindemann and Weierstrass)")
    }

    /// Q e^z/(W S) − q/W.
    fn in_double_doubles(&self, k: usize) -> Option<T> {
        let (row, per_divisor) = (&self.row, self.per_divisor?);
        let First { constants: Constants { c, two, error }, factor } = self.first.get_or_init(|| {
            let factor = scalar_tasks::product(row.whole_in_double_double(), per_divisor.factor);
            let error = per_divisor.error + power_of_two(-86);
            let constants = Partial::<T::Finer>::over(&row.z).constants(Each::Share);
            First { constants, factor: Factor { factor, error } }
        });
        if !factor.is_ordinary() {
            return None;
        }
        let share = share::<T::Finer>(row.z[k].widen(), *c, scalar_tasks::product(*two, factor.factor));
        let weight = row.weight_in_double_double(k);
        if weight.hi == 0.0 {
            return nearest_share(share, error + factor.error);
        }
        let weight = scalar_tasks::product(weight, per_divisor.factor).scaled(1.0 / UNSCALE);
        let slope = share - weight;
        let of_weight = per_divisor.error + power_of_two(-98);
        let error =
            share.hi * (error + factor.error) + weight.hi * of_weight + slope.hi.abs() * power_of_two(-100);
        nearest_scaled(slope, error * SLACK)
    }

    fn max(&self) -> f64 {
        *self.max.get_or_init(|| greatest(self.row.z))
    }

    fn whole(&self) -> &IBig {
        self.whole.get_or_init(|| self.row.whole())
    }

    /// K W, in units of 2^-[`WEIGHT_BITS`].
    fn divisor(&self) -> IBig {
        self.row.classes() * &*self.divisor.0
    }

    fn of_equal_numbers(&self, k: usize, weight: &IBig) -> Option<T> {
        let z = self.row.z;
        let count = *self.equal.get_or_init(|| {
            let max = self.max();
            finite(z).all(|z| z == max).then(|| finite(z).count())
        });
        let is_finite = z[k].widen() > f64::NEG_INFINITY;
        if count.is_none() && is_finite {
            return None;
        }
        let count = IBig::from(count.unwrap_or(1));
        let mut slope = -(weight * &count);
        if is_finite {
            slope += self.whole();
        }
        Some(ratio(slope, &((self.divisor() * count) << (BITS - WEIGHT_BITS))))
    }

    /// The derivative is above −q_k/W and below (Q − q_k)/W. This settles derivatives that differ from a half-way point
    /// between two floats only by a tiny exponential.
    fn slope(&self, k: usize, weight: &IBig, bits: Bits) -> Option<T> {
        let (z, max) = (self.row.z, self.max());
        let of_sum = |sum: &Sum, bits: Bits| {
            let term = bits.sum(alone(&z[k]), max)?;
            let (value, error) = (self.whole() * term.value, self.whole() * term.error);
            let (value, error) = (value - weight * &sum.value, error + weight * &sum.error);
            let term = Sum { value, error, bits: sum.bits + BITS };
            let divisor = self.divisor();
            let (value, error) = (&divisor * &sum.value, &divisor * &sum.error);
            let [low, high] = quotient_ends::<T>(&term, &Sum { value, error, bits: sum.bits + WEIGHT_BITS })?;
            // In halves of a unit, so that a number just inside each limit can be written.
            let divisor = divisor << (BITS - WEIGHT_BITS + 1);
            let least = -weight * IBig::from(2) + IBig::ONE;
            let most = (self.whole() - weight) * IBig::from(2) - IBig::ONE;
            let [least, most] = [least, most].map(|limit| ratio::<T>(limit, &divisor));
            // The order in which −0 is below +0.
            let low = if least.widen().total_cmp(&low.widen()).is_gt() { least } else { low };
            let high = if most.widen().total_cmp(&high.widen()).is_lt() { most } else { high };
            low.same_bits(high).then_some(low)
        };
        match bits {
            Bits::Triple | Bits::Long => {
                let place = &self.sums[usize::from(matches!(bits, Bits::Long))];
                of_sum(place.get_or_init(|| bits.sum(z, max)).as_ref()?, bits)
            }
            Bits::Arbitrary(least) => {
                let mut sum = self.arbitrary.borrow_mut();
                if sum.as_ref().is_none_or(|sum| sum.bits < least) {
                    *sum = bits.sum(z, max);
                }
                let sum = sum.as_ref()?;
                of_sum(sum, Bits::Arbitrary(sum.bits))
            }
        }
    }
}
