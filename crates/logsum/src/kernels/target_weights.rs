//! Element functions of cross-entropy: exponentials combined with the weights of the targets.

use super::row_functions::{Exponent, Function, Softmax, Uses};
use crate::arithmetic::double_double::DoubleDouble;
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
