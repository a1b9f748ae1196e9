//! Element functions of cross-entropy: exponentials combined with the weights of the targets.

use super::row_functions::{Bounded, BoundedSoftmax, Exponent, Function, Softmax, Uses};
use crate::arithmetic::double_double::{DoubleDouble, power_of_two};
use crate::arithmetic::exp::UNSCALE;
use crate::arithmetic::log_of_sum::SLACK;
use crate::arithmetic::precision::{Number, Precision};
use crate::simd::Vector;

/// The weight of a target with probability t and class weight w.
#[derive(Clone, Copy)]
pub(crate) enum Weight {
    /// w t.
    Given,
    /// w (a t + b), neither negative.
    Smoothed { a: DoubleDouble, b: DoubleDouble },
}

impl Weight {
    /// The relative error is below 3 roundings in f64, 2^-102 in double-double.
    #[inline(always)]
    pub(crate) fn at<P: Precision, V: Vector>(self, t: V, w: V) -> P::Number<V> {
        let weight = match self {
            Self::Given => P::Number::of(DoubleDouble::from(t)),
            Self::Smoothed { a, b } => P::Number::of(a.splat(t)).by(t) + P::Number::of(b.splat(t)),
        };
        weight.by(w)
    }
}

impl Weight {
    /// A number that is 0 where the weight is, and positive elsewhere.
    #[inline(always)]
    fn witness<V: Vector>(self, t: V, w: V) -> V {
        match self {
            Self::Given => -(-t).max(-w),
            Self::Smoothed { .. } => w,
        }
    }
}

impl Function for Weight {
    const USES: Uses = Uses { v: true, w: true };

    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, _: V, v: V, w: V) -> P::Number<V> {
        self.at::<P, V>(v, w)
    }
}

/// The weight times max − z, or 0 where the weight is 0.
#[derive(Clone, Copy)]
pub(crate) struct Depth {
    pub(crate) weight: Weight,
    pub(crate) max: f64,
}

impl Function for Depth {
    const USES: Uses = Uses { v: true, w: true };

    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, v: V, w: V) -> P::Number<V> {
        let weight = self.weight.at::<P, V>(v, w);
        let depth = (P::Number::difference(z.splat(self.max), z) * weight).to_dd();
        let (size, zero) = (weight.to_dd().hi, z.splat(0.0));
        let (hi, lo) = (size.where_at_most(0.0, zero, depth.hi), size.where_at_most(0.0, zero, depth.lo));
        P::Number::of(DoubleDouble { hi, lo })
    }
}

/// The softmax minus `factor` times the weight, if there is one.
#[derive(Clone, Copy)]
pub(crate) struct Slope<E> {
    pub(crate) softmax: Softmax<E>,
    pub(crate) weight: Option<Weight>,
    pub(crate) factor: DoubleDouble,
}

impl<E: Exponent> Function for Slope<E> {
    const USES: Uses = Uses { v: true, w: true };

    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, v: V, w: V) -> P::Number<V> {
        let softmax = self.softmax.at::<P, V>(z, v, z.splat(1.0));
        match self.weight {
            None => softmax,
            Some(weight) => {
                let target = weight.at::<P, V>(v, w) * P::Number::of(self.factor.splat(z));
                softmax + target.by(z.splat(-1.0))
            }
        }
    }
}

/// [`Slope`] with a bound on its error.
#[derive(Clone, Copy)]
pub(crate) struct BoundedSlope<E> {
    pub(crate) softmax: BoundedSoftmax<E>,
    pub(crate) weight: Weight,
    pub(crate) factor: DoubleDouble,
    /// Bounds the relative error of the weight times the factor.
    pub(crate) error: f64,
}

impl<E: Exponent> Bounded for BoundedSlope<E> {
    const USES: Uses = Uses { v: true, w: true };

    /// Where the weight is 0 the ends are those of the softmax. Elsewhere the difference is rounded once, or by 3u² in
    /// double-double, and the ends to f64; underflow loses less than 2^-1060, or 2^-1060 times the factor if that is
    /// more. Differences that might be of either sign, or have a subnormal low part, remain unsettled.
    #[inline(always)]
    fn ends<P: Precision, V: Vector>(self, z: V, v: V, w: V) -> [V; 2] {
        const LEAST: f64 = power_of_two(-900);
        let BoundedSoftmax { exponent, inverse, error } = self.softmax;
        let shares = self.softmax.ends::<P, V>(z, v, w);
        let share = (exponent.exp::<P, V>(z, w) * P::Number::of(inverse.splat(z))).by(z.splat(UNSCALE));
        let target = self.weight.at::<P, V>(v, w) * P::Number::of(self.factor.splat(z));
        let slope = (share + target.by(z.splat(-1.0))).to_dd();
        let (share, target, size) = (share.to_dd().hi, target.to_dd().hi, slope.hi.max(-slope.hi));
        let of_rounding = power_of_two(if P::IS_DOUBLE_DOUBLE { -100 } else { -51 });
        let bound = share.mul_add(z.splat(error), target * z.splat(self.error));
        let of_underflow = power_of_two(-1060) * self.factor.hi.max(1.0);
        // The last addition is not fused: with a subnormal operand, a fused multiply-add takes Intel's processors about
        // a hundred cycles.
        let bound = size.mul_add(z.splat(of_rounding), bound) * z.splat(SLACK) + z.splat(of_underflow);
        let least = if P::IS_DOUBLE_DOUBLE { LEAST } else { 0.0 };
        let untold = (size - bound).where_at_most(least, z.splat(f64::NAN), z.splat(0.0));
        let (low, high) = (slope.hi + (slope.lo - bound), slope.hi + (slope.lo + bound) + untold);
        let witness = self.weight.witness(v, w);
        [witness.where_at_most(0.0, shares[0], low), witness.where_at_most(0.0, shares[1], high)]
    }
}

/// The softmax times the sum (v − mean) · growth + offset, which is in double-double for any precision, as it may
/// cancel.
#[derive(Clone, Copy)]
pub(crate) struct Curvature<E> {
    pub(crate) softmax: Softmax<E>,
    pub(crate) mean: DoubleDouble,
    pub(crate) growth: DoubleDouble,
    pub(crate) offset: DoubleDouble,
}

impl<E: Exponent> Function for Curvature<E> {
    const USES: Uses = Uses::NOTHING.and_v();

    #[inline(always)]
    fn at<P: Precision, V: Vector>(self, z: V, v: V, w: V) -> P::Number<V> {
        let deviation = -self.mean.splat(z) + v;
        let inner = deviation * self.growth.splat(z) + self.offset.splat(z);
        self.softmax.times::<P, V>(z, w, P::Number::of(inner))
    }
}
