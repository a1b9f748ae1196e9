//! Losses of rows of logits against targets, and their derivatives, correctly rounded: the phases after the one that the
//! kernels do for all numbers.
//!
//! With weights q_k, their sum Q, S = Σ e^{z_k} and a divisor W, all but S rational, a loss is Σ_k q_k (log S − z_k), the
//! mean of rows their sum over W, and a derivative (Q e^{z_k} − q_k S)/(W S).
//!
//! | phase | error of a sum S, relative |
//! |---|---|
//! | double-double, only for derivatives with q_k = 0 | 2^-61; for f64 2^-75 |
//! | one group of equal numbers | 0 |
//! | fixed point of 128 and 256 bits | 2^-114, 2^-240 |
//! | arbitrary precision | as small as it takes |
//!
//! They end for every row. A derivative y is rational only if (Q e^{z_k} − q_k S) − y W S vanishes, which by Lindemann and
//! Weierstrass means that all finite numbers are equal (or that all coefficients are 0, as Q and q_k are): then it is a
//! quotient of whole numbers. The sum of losses is the logarithm of Π S_r^{Q_r}, but for a rational number. With a common
//! denominator the exponents are whole numbers, and the product is a sum of exponentials of rational numbers with
//! positive coefficients, whose logarithm is rational only if it is one exponential with the coefficient 1. Nothing
//! cancels, so that each S_r then is one exponential: each row has one finite number, and the sum of losses is 0. In all
//! other cases the result keeps a distance from every half-way point.

use crate::arithmetic::double_double::DoubleDouble;
use crate::formats::Format;
use crate::kernels::row_access::Series;
use crate::kernels::{Constants, Each, Factor};
use crate::simd::scalar_tasks;
use crate::state::positive::Partial;
use crate::ziv::elements::{alone, nearest_share, share};
use crate::ziv::fixed_point::{LONG, SHORT};
use crate::ziv::integer_sums::{Sum, fixed, quotient_ends, ratio};
use crate::ziv::{arbitrary_precision, fixed_point};
use dashu_int::IBig;
use std::borrow::Cow;
use std::cell::OnceCell;

/// The unit of weights, 2^-1074: that of the least f64.
const WEIGHT_BITS: usize = 1074;

/// The units of q_k, products of up to three numbers.
const BITS: usize = 3 * WEIGHT_BITS;

fn units(x: f64) -> IBig {
    fixed(x, WEIGHT_BITS)
}

/// The divisor of a mean.
pub(crate) struct Divisor(IBig);

impl Divisor {
    pub(crate) fn of(weights: impl Iterator<Item = f64>) -> Self {
        Self(weights.map(units).sum())
    }
}

/// The target of a row.
#[derive(Clone, Copy)]
pub(crate) enum Target<'a, T> {
    Class(usize),
    Probabilities(&'a [T]),
}

/// A row of logits, and what its weights q_k are made of.
#[derive(Clone, Copy)]
pub(crate) struct LossRow<'a, T> {
    pub(crate) z: &'a [T],
    pub(crate) target: Target<'a, T>,
    pub(crate) class_weights: Option<&'a [T]>,
    pub(crate) smoothing: f64,
}

impl<T: Format> LossRow<'_, T> {
    fn classes(&self) -> IBig {
        IBig::from(self.z.len())
    }

    /// K q_k, in units of 2^-[`BITS`].
    fn weight(&self, k: usize) -> IBig {
        let class_weight = self.class_weights.map_or_else(|| units(1.0), |weights| units(weights[k].widen()));
        let smoothing = units(self.smoothing);
        let certain = (units(1.0) - &smoothing) * self.classes();
        let smoothing = smoothing << WEIGHT_BITS;
        class_weight
            * match self.target {
                Target::Class(class) if class == k => (certain << WEIGHT_BITS) + smoothing,
                Target::Class(_) => smoothing,
                Target::Probabilities(t) => certain * units(t[k].widen()) + smoothing,
            }
    }

    /// The classes whose weights may be positive.
    fn weighted(&self) -> impl Iterator<Item = usize> + use<T> {
        match self.target {
            Target::Class(class) if self.smoothing == 0.0 => class..class + 1,
            _ => 0..self.z.len(),
        }
    }

    /// K Q.
    fn whole(&self) -> IBig {
        self.weighted().map(|k| self.weight(k)).sum()
    }

    /// The numbers; if some are +∞, these as equal numbers, beside which the others add nothing.
    pub(crate) fn counted(z: &[T]) -> Cow<'_, [T]> {
        if z.iter().all(|z| z.widen() < f64::INFINITY) {
            return Cow::Borrowed(z);
        }
        let counted = |z: &T| if z.widen() == f64::INFINITY { T::default() } else { T::NEG_INFINITY };
        Cow::Owned(z.iter().map(counted).collect())
    }
}

fn greatest<T: Format>(z: &[T]) -> f64 {
    z.iter().fold(f64::NEG_INFINITY, |max, z| max.max(z.widen()))
}

fn finite<T: Format>(z: &[T]) -> impl Iterator<Item = f64> {
    z.iter().map(|z| z.widen()).filter(|&z| z > f64::NEG_INFINITY)
}

/// The phases of a sum of exponentials.
#[derive(Clone, Copy)]
enum Bits {
    Short,
    Long,
    Arbitrary(usize),
}

impl Bits {
    fn all() -> impl Iterator<Item = Self> {
        [Self::Short, Self::Long].into_iter().chain((9..).map(|log2| Self::Arbitrary(1 << log2)))
    }

    fn sum<T: Format>(self, z: &[T], max: f64) -> Option<Sum> {
        let (source, center) = (&(&z as &dyn Series<T>), DoubleDouble::from(max));
        match self {
            Self::Short => fixed_point::sum::<SHORT, _>(source, center),
            Self::Long => fixed_point::sum::<LONG, _>(source, center),
            Self::Arbitrary(bits) => Some(arbitrary_precision::sum(source, center, bits)),
        }
    }
}

/// The sum of the losses of rows, over a divisor, correctly rounded. All are finite: no number with a positive weight is
/// −∞, and no row is all −∞.
#[cold]
pub(crate) fn nearest_loss<'a, T: Format>(
    rows: impl Iterator<Item = LossRow<'a, T>> + Clone,
    divisor: &Divisor,
) -> T {
    Bits::all()
        .find_map(|bits| loss(rows.clone(), divisor, bits))
        .expect("the loss keeps a distance from every half-way point (Lindemann and Weierstrass)")
}

/// The loss is above Σ q_k (max − z_k), by Σ Q log Σ e^{z_k − max}: that settles what is half-way between two floats but
/// for a tiny logarithm.
fn loss<'a, T: Format>(
    rows: impl Iterator<Item = LossRow<'a, T>>,
    divisor: &Divisor,
    bits: Bits,
) -> Option<T> {
    // Σ Q (max − z) in units of BITS and those of z, Σ Q log, and a bound on its error, in units of BITS and those of log.
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
    // In halves of a unit, so that there is a place for what is above `depth`.
    let depth = depth << (bits - WEIGHT_BITS + 1);
    let [log, error] = [log, error].map(|x| x << (bits - log_bits + 1));
    let divisor = (classes * &divisor.0) << (BITS + bits + 1 - WEIGHT_BITS);
    if !is_above {
        return Some(ratio(depth, &divisor));
    }
    let (low, high) = (&depth + &log - &error, &depth + log + error);
    let [low, high] = [low.max(depth + IBig::ONE), high].map(|end| ratio::<T>(end, &divisor));
    low.same_bits(high).then_some(low)
}

/// What the derivatives of a row's loss, over a divisor, are computed from. Its weights are not all 0, and its greatest
/// number is finite. Sums are made when they are needed.
pub(crate) struct Slopes<'a, T: Format> {
    row: LossRow<'a, T>,
    divisor: &'a Divisor,
    /// The whole weight over the divisor, approximately.
    factor: Factor,
    whole: OnceCell<IBig>,
    first: OnceCell<Constants>,
    /// The number of equal numbers, if all finite ones are equal.
    equal: OnceCell<Option<usize>>,
    sums: [OnceCell<Option<Sum>>; 2],
}

impl<'a, T: Format> Slopes<'a, T> {
    pub(crate) fn new(row: LossRow<'a, T>, divisor: &'a Divisor, factor: Factor) -> Self {
        let (whole, first, equal, sums) =
            (OnceCell::new(), OnceCell::new(), OnceCell::new(), Default::default());
        Self { row, divisor, factor, whole, first, equal, sums }
    }

    /// The float nearest to the derivative by the logit of class k.
    #[cold]
    pub(crate) fn nearest(&self, k: usize) -> T {
        let weight = self.row.weight(k);
        self.share(k, &weight)
            .or_else(|| self.of_equal_numbers(k, &weight))
            .or_else(|| Bits::all().find_map(|bits| self.slope(k, &weight, bits)))
            .expect("the derivative keeps a distance from every half-way point (Lindemann and Weierstrass)")
    }

    fn whole(&self) -> &IBig {
        self.whole.get_or_init(|| self.row.whole())
    }

    /// K W, in units of 2^-[`WEIGHT_BITS`].
    fn divisor(&self) -> IBig {
        self.row.classes() * &self.divisor.0
    }

    /// A share alone, in double-double, for a factor with which no number far below the maximum is seen.
    fn share(&self, k: usize, weight: &IBig) -> Option<T> {
        let z = self.row.z[k].widen();
        if *weight != IBig::ZERO || !self.factor.is_ordinary() {
            return None;
        }
        let &Constants { c, two, error } =
            self.first.get_or_init(|| Partial::<T::Finer>::over(&self.row.z).constants(Each::Share));
        let share = share::<T::Finer>(z, c, scalar_tasks::product(two, self.factor.factor));
        nearest_share(share, error + self.factor.error)
    }

    fn of_equal_numbers(&self, k: usize, weight: &IBig) -> Option<T> {
        let z = self.row.z;
        let count = *self.equal.get_or_init(|| {
            let max = greatest(z);
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

    /// The derivative is above −q_k/W and below (Q − q_k)/W: that settles what is half-way between two floats but for a
    /// tiny exponential.
    fn slope(&self, k: usize, weight: &IBig, bits: Bits) -> Option<T> {
        let z = self.row.z;
        let max = greatest(z);
        let of_sum = |sum: &Sum| {
            let term = bits.sum(alone(&z[k]), max)?;
            let (value, error) = (self.whole() * term.value, self.whole() * term.error);
            let (value, error) = (value - weight * &sum.value, error + weight * &sum.error);
            let term = Sum { value, error, bits: sum.bits + BITS };
            let divisor = self.divisor();
            let (value, error) = (&divisor * &sum.value, &divisor * &sum.error);
            let [low, high] = quotient_ends::<T>(&term, &Sum { value, error, bits: sum.bits + WEIGHT_BITS })?;
            // In halves of a unit, so that there is a place beside each limit.
            let divisor = divisor << (BITS - WEIGHT_BITS + 1);
            let least = -weight * IBig::from(2) + IBig::ONE;
            let most = (self.whole() - weight) * IBig::from(2) - IBig::ONE;
            let [least, most] = [least, most].map(|limit| ratio::<T>(limit, &divisor));
            let low = if least.widen() >= low.widen() { least } else { low };
            let high = if most.widen() <= high.widen() { most } else { high };
            low.same_bits(high).then_some(low)
        };
        match bits {
            Bits::Short | Bits::Long => {
                let place = &self.sums[usize::from(matches!(bits, Bits::Long))];
                of_sum(place.get_or_init(|| bits.sum(z, max)).as_ref()?)
            }
            Bits::Arbitrary(_) => of_sum(&bits.sum(z, max)?),
        }
    }
}
