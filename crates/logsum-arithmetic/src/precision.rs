//! What a phase computes in: one f64 or two, each with the error of its exponentials, sums and logarithm.

use crate::double_double::{DoubleDouble, fast_two_sum, power_of_two, two_product, two_sum};
use crate::float64::Float64;
use crate::{exp, ln};
use core::ops::{Add, Div, Mul};

/// The precision that a phase computes in. All exponentials and sums are in units of [`exp::UNSCALE`].
pub trait Precision {
    /// Bounds the relative error of one exponential.
    const EXP_ERROR: f64;

    /// Bounds the relative error of an exponential also where it is too small to be seen beside e^max, as terms with
    /// weights may be.
    const FAR_EXP_ERROR: f64;

    /// Bounds the relative error of [`factor`](Self::factor).
    const FACTOR_ERROR: f64;

    /// Bounds what the additions of a block add to the error of Σ e^{z_k}, relative to that sum.
    const SUM_ERROR: f64;

    /// Bounds what the products and additions of a block add to the error of Σ b_k e^{z_k}, relative to Σ |b_k|
    /// e^{z_k}.
    const SIGNED_SUM_ERROR: f64;

    /// The greatest relative error of a sum, of terms of any signs, from which shares e^{z − c} / sum are computed.
    const SHARE_ERROR: f64;

    /// How small, relative to e^max, the sum of all other terms may be if it is computed as the whole sum less e^max:
    /// [`SUM_ERROR`](Self::SUM_ERROR) is then about 2^-30 of it in f64, and 2^-61 or 2^-69 in double-double.
    const LEAST_REST: f64;

    /// Whether sums start from 0, whatever the bound of their terms.
    const STARTS_FROM_NOTHING: bool;

    /// Whether numbers are double-doubles.
    const IS_DOUBLE_DOUBLE: bool;

    /// A number of this precision.
    type Number<F: Float64>: Number<F>;

    /// A sum that is under way.
    type Sum<F: Float64>: Sum<F, Number = Self::Number<F>>;

    /// e^{z − c}.
    fn exp<F: Float64>(z: F, c: F) -> Self::Number<F>;

    /// e^{z − c} in double-double, as the factor of a whole sum.
    fn factor<F: Float64>(z: F, c: F) -> DoubleDouble<F>;

    /// e^z: the same as with c = 0, in fewer steps.
    fn exp_at_0<F: Float64>(z: F) -> Self::Number<F>;

    /// The same for z ≥ −1000.
    fn exp_of_clamped<F: Float64>(z: F) -> Self::Number<F>;

    /// e^d − 1 for |d| ≤ 2^-6: relative error below 2^-51 in f64, 2^-65 in double-double.
    fn expm1_near_0<F: Float64>(d: Self::Number<F>) -> Self::Number<F>;

    /// e^d − 1 for −1000 ≤ d ≤ 128: relative error below 2^-31 in f64, 2^-64 in double-double.
    fn expm1<F: Float64>(d: Self::Number<F>) -> Self::Number<F>;

    /// e^d, for a d of two f64 that is at least −1000; in f64 ([`F64`]) only the high part of d is used.
    fn exp_of_dd<F: Float64>(d: DoubleDouble<F>) -> Self::Number<F>;

    /// log(1 + t) for t ≥ 0, and a bound on its absolute error.
    fn log1p<F: Float64>(t: DoubleDouble<F>) -> (DoubleDouble<F>, F);

    /// Bounds the relative error of [`ln`](Self::ln).
    const LN_ERROR: f64;

    /// The least and the greatest number that [`ln`](Self::ln) takes.
    const LN_RANGE: [f64; 2];

    /// log y.
    fn ln<F: Float64>(y: F) -> DoubleDouble<F>;

    /// Two ends that enclose z − max − log, where the error of log is at most `error`. As z ≤ max and log ≥ 0, nothing
    /// cancels.
    fn log_share_ends<F: Float64>(z: F, max: F, log: DoubleDouble<F>, error: F) -> [F; 2];
}

/// A number in f64 or a double-double.
///
/// The relative error of sums, products and quotients is one rounding in f64; in double-double it is below
/// 2^-104, 2^-103 and 2^-102.
pub trait Number<F>: Copy + Add<Output = Self> + Mul<Output = Self> + Div<Output = Self> {
    /// As a double-double.
    fn to_dd(self) -> DoubleDouble<F>;

    /// From a double-double: in f64, its high part alone.
    fn of(two: DoubleDouble<F>) -> Self;

    /// a − b: exact in double-double.
    fn difference(a: F, b: F) -> Self;

    /// The product with `factor` and [`exp::UNSCALE`], rounded to one f64.
    fn round_scaled(self, factor: DoubleDouble<F>) -> F;

    /// Two ends that enclose the exact value of self · `factor` · [`exp::UNSCALE`], if the relative error of this
    /// product is at most `error`. In double-double the ends differ where the product is subnormal, unless self ·
    /// `factor` is at most [`exp::NOTHING`]: both are 0 then.
    fn scaled_ends(self, factor: DoubleDouble<F>, error: F) -> [F; 2];

    /// Like [`scaled_ends`](Self::scaled_ends), but in double-double the ends are rounded only once where they are
    /// subnormal, too: if they are equal there, they are the nearest f64.
    fn scaled_ends_among_least(self, factor: DoubleDouble<F>, error: F) -> [F; 2];

    /// The product with an f64, with a relative error of u in f64 and 2u² in double-double. A double-double result is
    /// normalised only if the factor is a power of 2.
    fn by(self, factor: F) -> Self;

    /// `sum` plus this number, of any signs. The result is not normalised.
    ///
    /// In double-double the error of [`TERMS`] such additions from 0 is below 8780u² = 2^-92.90 of M, the sum of the
    /// terms' magnitudes. The high parts are added exactly, |sum.hi| ≤ M, so that each addition passes at most uM and
    /// the term's low part, which is at most 2u of the term, on to the low part. After k additions the low part is
    /// below (k + 2)uM, and the two roundings of addition k are below (k + 4)u²M; the first addition has none.
    fn added_to(self, sum: DoubleDouble<F>) -> DoubleDouble<F>;
}

/// A sum of at most [`TERMS`] numbers.
pub trait Sum<F>: Copy + Add<Self::Number, Output = Self> {
    /// What it is a sum of.
    type Number;

    /// The sum of no numbers. `bound` is a power of 2; no number that is added may be greater than `bound` · e^0.
    fn empty(bound: F) -> Self;

    /// The sum of eight sums, in pairs. `bound` as in [`empty`](Sum::empty).
    fn total(sums: [Self; 8], bound: F) -> DoubleDouble<F>;
}

/// The greatest number of terms of a [`Sum`]. Those of a block are divided evenly among eight sums.
pub const TERMS: usize = 128;

/// f64 arithmetic.
pub struct F64<const FINE: bool>;

/// f64 arithmetic for operations with one result per row, such as log-sum-exp.
pub type InF64 = F64<false>;

/// f64 arithmetic for operations with a result for each number, such as softmax, with a better exponential, as each
/// result has a rounding test.
pub type FineF64 = F64<true>;

impl<const FINE: bool> Precision for F64<FINE> {
    /// For [`FineF64`], of terms that are not too small to matter in a narrower format ([`exp::exp_f64_fine`]).
    const EXP_ERROR: f64 = if FINE { exp::EXP_F64_FINE_ERROR } else { exp::EXP_F64_ERROR };
    const FAR_EXP_ERROR: f64 = if FINE { exp::EXP_F64_FINE_FAR_ERROR } else { exp::EXP_F64_ERROR };
    const FACTOR_ERROR: f64 = exp::EXP_DD_ERROR;
    /// 127 additions and 3 of the eight sums, or for columns summed in place 4 within eight rows and 128 of these sums;
    /// and the subtraction of e^max: at most 133 roundings of u = 2^-53, and 2^-97 for sums of blocks in double-double.
    /// The constant is about 135u.
    const SUM_ERROR: f64 = 1.5e-14;
    /// One product and 127 additions: 128 roundings; the eight sums are added in double-double.
    const SIGNED_SUM_ERROR: f64 = 1.45e-14;
    const SHARE_ERROR: f64 = power_of_two(-30);
    /// 2^-46 of 1 is then 2^-30 of the rest, a 64th of half an ulp in f32.
    const LEAST_REST: f64 = power_of_two(-16);
    const STARTS_FROM_NOTHING: bool = true;
    const IS_DOUBLE_DOUBLE: bool = false;
    type Number<F: Float64> = One<F>;
    type Sum<F: Float64> = One<F>;

    #[inline(always)]
    fn exp<F: Float64>(z: F, c: F) -> One<F> {
        One(if FINE { exp::exp_f64_fine(z, c) } else { exp::exp_f64(z, c) })
    }

    #[inline(always)]
    fn factor<F: Float64>(z: F, c: F) -> DoubleDouble<F> {
        exp::exp_dd(z, c)
    }

    #[inline(always)]
    fn exp_at_0<F: Float64>(z: F) -> One<F> {
        One(if FINE { exp::exp_f64_fine_at_0(z) } else { exp::exp_f64_at_0(z) })
    }

    #[inline(always)]
    fn exp_of_clamped<F: Float64>(z: F) -> One<F> {
        One(if FINE { exp::exp_f64_fine_of_clamped(z) } else { exp::exp_f64_of_clamped(z) })
    }

    #[inline(always)]
    fn expm1_near_0<F: Float64>(d: One<F>) -> One<F> {
        One(exp::expm1_f64_near_0(d.0))
    }

    #[inline(always)]
    fn expm1<F: Float64>(d: One<F>) -> One<F> {
        One(exp::expm1_f64(d.0))
    }

    #[inline(always)]
    fn exp_of_dd<F: Float64>(d: DoubleDouble<F>) -> One<F> {
        One(if FINE { exp::exp_f64_fine_at_0(d.hi) } else { exp::exp_f64_at_0(d.hi) })
    }

    #[inline(always)]
    fn log1p<F: Float64>(t: DoubleDouble<F>) -> (DoubleDouble<F>, F) {
        let (log, error) = ln::log1p_f64(t.hi);
        (DoubleDouble::from(log), error)
    }

    /// [`ln::ln_f64`]'s.
    const LN_ERROR: f64 = power_of_two(-48);
    const LN_RANGE: [f64; 2] = [power_of_two(-500), power_of_two(520)];

    #[inline(always)]
    fn ln<F: Float64>(y: F) -> DoubleDouble<F> {
        DoubleDouble::from(ln::ln_f64(y).0)
    }

    /// The roundings of the two differences and of each end are at most 2^-53 of the result; `shrink` and `grow` cover
    /// them and that of `error`.
    #[inline(always)]
    fn log_share_ends<F: Float64>(z: F, max: F, log: DoubleDouble<F>, error: F) -> [F; 2] {
        let (shrink, grow) = (z.splat(1.0 - power_of_two(-50)), z.splat(1.0 + power_of_two(-50)));
        let (v, error) = (z - max - log.hi, error * grow);
        [v.mul_add(grow, -error), v.mul_add(shrink, error)]
    }
}

/// A number in f64.
#[derive(Clone, Copy)]
pub struct One<F>(pub F);

impl<F: Float64> Add for One<F> {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl<F: Float64> Mul for One<F> {
    type Output = Self;

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(self.0 * other.0)
    }
}

impl<F: Float64> Div for One<F> {
    type Output = Self;

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(self.0.div(other.0))
    }
}

impl<F: Float64> Number<F> for One<F> {
    #[inline(always)]
    fn to_dd(self) -> DoubleDouble<F> {
        DoubleDouble::from(self.0)
    }

    #[inline(always)]
    fn of(two: DoubleDouble<F>) -> Self {
        Self(two.hi)
    }

    #[inline(always)]
    fn difference(a: F, b: F) -> Self {
        Self(a - b)
    }

    #[inline(always)]
    fn round_scaled(self, factor: DoubleDouble<F>) -> F {
        self.0 * (factor.hi * factor.hi.splat(exp::UNSCALE))
    }

    #[inline(always)]
    fn scaled_ends(self, factor: DoubleDouble<F>, error: F) -> [F; 2] {
        let (factor, one) = (factor.hi * error.splat(exp::UNSCALE), error.splat(1.0));
        [self.0 * (factor * (one - error)), self.0 * (factor * (one + error))]
    }

    #[inline(always)]
    fn scaled_ends_among_least(self, factor: DoubleDouble<F>, error: F) -> [F; 2] {
        self.scaled_ends(factor, error)
    }

    #[inline(always)]
    fn by(self, factor: F) -> Self {
        Self(self.0 * factor)
    }

    #[inline(always)]
    fn added_to(self, sum: DoubleDouble<F>) -> DoubleDouble<F> {
        DoubleDouble { hi: sum.hi + self.0, ..sum }
    }
}

impl<F: Float64> Sum<F> for One<F> {
    type Number = Self;

    #[inline(always)]
    fn empty(bound: F) -> Self {
        Self(bound.splat(0.0))
    }

    #[inline(always)]
    fn total(mut sums: [Self; 8], _: F) -> DoubleDouble<F> {
        for width in [4, 2, 1] {
            for i in 0..width {
                sums[i] = sums[i] + sums[i + width];
            }
        }
        sums[0].to_dd()
    }
}

/// Double-doubles, with one of three exponentials.
pub struct Two<const FINENESS: u8>;

/// Double-doubles for operations with one result per row.
pub type InDoubleDouble = Two<0>;

/// Double-doubles for operations with a result for each number, with a better exponential and logarithm, as each result
/// has a rounding test.
pub type FineDoubleDouble = Two<1>;

/// Double-doubles for the sum of a row, some of whose results [`FineDoubleDouble`] did not settle.
pub type FinerDoubleDouble = Two<2>;

impl<const FINENESS: u8> Precision for Two<FINENESS> {
    const EXP_ERROR: f64 = match FINENESS {
        0 => exp::EXP_DD_ERROR,
        1 => exp::EXP_DD_FINE_ERROR,
        _ => exp::EXP_DD_FINER_ERROR,
    };
    const FAR_EXP_ERROR: f64 = Self::EXP_ERROR;
    const FACTOR_ERROR: f64 = Self::EXP_ERROR;
    /// See [`Head`]: 2^-82.33 of the bound, of which the sum is at least half; up to 64 sums of blocks add 192u².
    const SUM_ERROR: f64 = power_of_two(-81);
    /// See [`Number::added_to`]: 8780u², 2u² for the product, 7 · 3u² for the sum of the eight sums.
    const SIGNED_SUM_ERROR: f64 = power_of_two(-92);
    const SHARE_ERROR: f64 = power_of_two(-59);
    /// 2^-81 of 1 is then 2^-61 of the rest, or 2^-69.
    const LEAST_REST: f64 = power_of_two(if FINENESS == 0 { -20 } else { -12 });
    const STARTS_FROM_NOTHING: bool = false;
    const IS_DOUBLE_DOUBLE: bool = true;
    type Number<F: Float64> = DoubleDouble<F>;
    type Sum<F: Float64> = Head<F>;

    #[inline(always)]
    fn exp<F: Float64>(z: F, c: F) -> DoubleDouble<F> {
        match FINENESS {
            0 => exp::exp_dd(z, c),
            1 => exp::exp_dd_fine(z, c),
            _ => exp::exp_dd_finer(z, c),
        }
    }

    #[inline(always)]
    fn factor<F: Float64>(z: F, c: F) -> DoubleDouble<F> {
        Self::exp(z, c)
    }

    #[inline(always)]
    fn exp_at_0<F: Float64>(z: F) -> DoubleDouble<F> {
        match FINENESS {
            0 => exp::exp_dd_at_0(z),
            1 => exp::exp_dd_fine_at_0(z),
            _ => exp::exp_dd_finer_at_0(z),
        }
    }

    #[inline(always)]
    fn exp_of_clamped<F: Float64>(z: F) -> DoubleDouble<F> {
        Self::exp_at_0(z)
    }

    #[inline(always)]
    fn expm1_near_0<F: Float64>(d: DoubleDouble<F>) -> DoubleDouble<F> {
        exp::expm1_dd_near_0(d)
    }

    #[inline(always)]
    fn expm1<F: Float64>(d: DoubleDouble<F>) -> DoubleDouble<F> {
        exp::expm1_dd(d)
    }

    #[inline(always)]
    fn exp_of_dd<F: Float64>(d: DoubleDouble<F>) -> DoubleDouble<F> {
        match FINENESS {
            0 => exp::exp_dd_of_dd(d),
            1 => exp::exp_dd_fine_of_dd(d),
            _ => exp::exp_dd_finer_of_dd(d),
        }
    }

    #[inline(always)]
    fn log1p<F: Float64>(t: DoubleDouble<F>) -> (DoubleDouble<F>, F) {
        if FINENESS == 0 {
            return ln::log1p_dd(t);
        }
        let log = ln::log1p_dd_fine(t);
        (log, log.hi * t.hi.splat(power_of_two(-80)))
    }

    /// [`ln::ln_dd`]'s: 2^-63 of log(1 + f), which is not more than the whole, and 2^-98.
    const LN_ERROR: f64 = 1.001 * power_of_two(-63);
    const LN_RANGE: [f64; 2] = [power_of_two(-1000), power_of_two(1000)];

    #[inline(always)]
    fn ln<F: Float64>(y: F) -> DoubleDouble<F> {
        ln::ln_dd(DoubleDouble::from(y)).0
    }

    /// z − max is exact, and subtracting the logarithm has an error of 3u².
    #[inline(always)]
    fn log_share_ends<F: Float64>(z: F, max: F, log: DoubleDouble<F>, error: F) -> [F; 2] {
        let difference = two_sum(z, -max);
        let v = difference - log;
        let bound = v.hi.mul_add(z.splat(-power_of_two(-100)), error);
        let minus_infinity = z.splat(f64::NEG_INFINITY);
        let (low, high) = (v.hi + (v.lo - bound), v.hi + (v.lo + bound));
        [
            difference.hi.where_at_most(f64::NEG_INFINITY, minus_infinity, low),
            difference.hi.where_at_most(f64::NEG_INFINITY, minus_infinity, high),
        ]
    }
}

impl<F: Float64> Number<F> for DoubleDouble<F> {
    #[inline(always)]
    fn to_dd(self) -> Self {
        self
    }

    #[inline(always)]
    fn of(two: Self) -> Self {
        two
    }

    #[inline(always)]
    fn difference(a: F, b: F) -> Self {
        two_sum(a, -b)
    }

    #[inline(always)]
    fn round_scaled(self, factor: Self) -> F {
        (self * factor).hi * self.hi.splat(exp::UNSCALE)
    }

    #[inline(always)]
    fn scaled_ends(self, factor: Self, error: F) -> [F; 2] {
        /// Half of the least f64, and a little more: where the product is subnormal, the ends round to different
        /// numbers.
        const HALF_A_UNIT: f64 = 0.51 * power_of_two(exp::SCALE as i32 - 1074);
        // The product, not normalised: 7u²; the ends' roundings: 3u².
        let high = two_product(self.hi, factor.hi);
        let (hi, lo) = (high.hi, self.hi.mul_add(factor.lo, self.lo * factor.hi) + high.lo);
        let unscale = hi.splat(exp::UNSCALE);
        let of_rounding = hi.where_at_most(exp::NOTHING, hi.splat(0.0), hi.splat(HALF_A_UNIT));
        let bound = hi.mul_add(error, of_rounding);
        [(hi + (lo - bound)) * unscale, (hi + (lo + bound)) * unscale]
    }

    /// The sum of `hi` and 1.5 · 2^52 units, each the least f64, is a multiple of a unit, and 2Sum gives its rounding
    /// error exactly. That error, `lo` and the bound are added with a rounding by 2^-53 of half a unit, which the bound
    /// covers; adding the result to the multiple rounds it once, to a whole number of units.
    #[inline(always)]
    fn scaled_ends_among_least(self, factor: Self, error: F) -> [F; 2] {
        const UNIT: f64 = power_of_two(exp::SCALE as i32 - 1074);
        const ROUNDER: f64 = 1.5 * power_of_two(52) * UNIT;
        /// Below it there are at most 2^51 units.
        const SUBNORMAL: f64 = power_of_two(51) * UNIT;
        let ends = self.scaled_ends(factor, error);
        let high = two_product(self.hi, factor.hi);
        let (hi, lo) = (high.hi, self.hi.mul_add(factor.lo, self.lo * factor.hi) + high.lo);
        let (rounder, unscale) = (hi.splat(ROUNDER), hi.splat(exp::UNSCALE));
        let sum = two_sum(rounder, hi);
        let bound = hi.mul_add(error, hi.splat(power_of_two(-50) * UNIT));
        let low = (sum.hi + (sum.lo + (lo - bound)) - rounder) * unscale;
        let high = (sum.hi + (sum.lo + (lo + bound)) - rounder) * unscale;
        [hi.where_at_most(SUBNORMAL, low, ends[0]), hi.where_at_most(SUBNORMAL, high, ends[1])]
    }

    #[inline(always)]
    fn by(self, factor: F) -> Self {
        let product = two_product(self.hi, factor);
        Self { hi: product.hi, lo: self.lo.mul_add(factor, product.lo) }
    }

    #[inline(always)]
    fn added_to(self, sum: Self) -> Self {
        let high = two_sum(sum.hi, self.hi);
        Self { hi: high.hi, lo: sum.lo + (high.lo + self.lo) }
    }
}

/// A sum of normalised double-doubles. Its high part starts from `HEAD`, 2^8 times the bound of the terms, so that it
/// is never less than a term: the three operations of Fast2Sum add exactly, where 2Sum would take six.
///
/// The bound on the error of [`total`](Sum::total), in units of the terms' bound, for 128 terms in each of eight sums.
/// A rounding to a value below 2^e is off by at most 2^(e − 54).
///
/// The high part lies in [2^8, 2^9), with ulps of 2^-44. So each addition passes at most 2^-45 on to the low part, and
/// the term's own low part, at most 2^-53: for k in [2^j, 2^(j + 1)) the low part is below 2^(j − 44), for k =
/// 128 below 2^-37.
///
/// | roundings | at most | in all |
/// |---|---|---|
/// | the low part after 2^j ≤ k < 2^(j + 1) additions, j < 7 | 2^j of 2^(j − 98) | 5461 · 2^-98 |
/// | the low part after 128 additions | 2^-91 | 128 · 2^-98 |
/// | the two parts that an addition passes on, below 2^-44 | 128 of 2^-98 | 128 · 2^-98 |
/// | the above, in eight sums | | 2^-82.52 |
/// | the low parts of 4, 2 and 1 pairs, twice each | 2^-90, 2^-89, 2^-88 | 2^-85.41 |
///
/// Together below 2^-82.33. High parts below 2^10 are added exactly, with low parts of at most 2^-43.
#[derive(Clone, Copy)]
pub struct Head<F> {
    /// The high part.
    pub hi: F,
    /// The sum of the low parts and of the rounding errors of the high part.
    pub lo: F,
}

/// The start of a sum's high part, for terms of at most 1 in units of [`exp::UNSCALE`].
const HEAD: f64 = power_of_two(8 + exp::SCALE as i32);

impl<F: Float64> Add<DoubleDouble<F>> for Head<F> {
    type Output = Self;

    #[inline(always)]
    fn add(self, number: DoubleDouble<F>) -> Self {
        let sum = fast_two_sum(self.hi, number.hi);
        Self { hi: sum.hi, lo: self.lo + (sum.lo + number.lo) }
    }
}

impl<F: Float64> Sum<F> for Head<F> {
    type Number = DoubleDouble<F>;

    #[inline(always)]
    fn empty(bound: F) -> Self {
        Self { hi: bound * bound.splat(HEAD), lo: bound.splat(0.0) }
    }

    #[inline(always)]
    fn total(mut sums: [Self; 8], bound: F) -> DoubleDouble<F> {
        let head = bound * bound.splat(HEAD);
        for sum in &mut sums {
            sum.hi = sum.hi - head;
        }
        for width in [4, 2, 1] {
            for i in 0..width {
                let (a, b) = (sums[i], sums[i + width]);
                let high = two_sum(a.hi, b.hi);
                sums[i] = Self { hi: high.hi, lo: (a.lo + b.lo) + high.lo };
            }
        }
        two_sum(sums[0].hi, sums[0].lo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_reference::{Big, big, big_dd, uniform};
    use std::{println, vec, vec::Vec};

    /// The unit roundoff.
    const U: f64 = power_of_two(-53);

    /// Two numbers of a precision, close to 1 and of any sign: what its operations give, and exactly.
    fn check_numbers<P: Precision>() {
        let mut uniform = uniform(25);
        let mut number = || {
            let hi = 4.0 * uniform() - 2.0;
            P::Number::<f64>::of(DoubleDouble { hi, lo: hi * power_of_two(-54) * (uniform() - 0.5) })
        };
        let roundings = if P::IS_DOUBLE_DOUBLE { power_of_two(-102) } else { U };
        for _ in 0..2000 {
            let (a, b) = (number(), number());
            let [x, y] = [a, b].map(|n| big_dd(n.to_dd()));
            let difference = P::Number::<f64>::difference(a.to_dd().hi, b.to_dd().hi);
            let of_his = big(a.to_dd().hi) - big(b.to_dd().hi);
            let by = (&x * big(b.to_dd().hi), a.by(b.to_dd().hi));
            let all = [(&x + &y, a + b), (&x * &y, a * b), (&x / &y, a / b), by, (of_his, difference)];
            for (i, (exact, found)) in all.into_iter().enumerate() {
                let size = exact.to_f64().value().abs();
                let most = roundings * size;
                assert!(error(found.to_dd(), &exact) <= most, "operation {i} on {x} and {y}");
            }
        }
    }

    #[test]
    fn numbers_keep_the_bounds_of_their_operations() {
        check_numbers::<InF64>();
        check_numbers::<FineF64>();
        check_numbers::<InDoubleDouble>();
        check_numbers::<FinerDoubleDouble>();
    }

    /// z − max − log is between the ends for every log within its error, also at both ends, and the ends are close.
    fn check_log_share_ends<P: Precision>() {
        let mut uniform = uniform(26);
        for i in 0..4000 {
            let max = [0.0, 700.0, -1e5, 1.0 / 3.0][i % 4];
            let z = max - [0.0, 1e-9, 1.0, 800.0][i / 4 % 4] * uniform();
            let log = [3.0, 1e-8, 1e-40][i % 3] * uniform();
            let log =
                DoubleDouble { hi: log, lo: if P::IS_DOUBLE_DOUBLE { log * power_of_two(-55) } else { 0.0 } };
            let error = log.hi * [0.0, power_of_two(-40), power_of_two(-61)][i / 3 % 3];
            let [low, high] = P::log_share_ends(z, max, log, error).map(big);
            for side in [-1.0, 0.0, 1.0] {
                let exact = big(z) - big(max) - big_dd(log) - big(side) * big(error);
                // An end is rounded to nearest, as is what lies between.
                let half_ulp = big((exact.to_f64().value() * U).abs());
                assert!(
                    &low - &half_ulp <= exact && exact <= &high + &half_ulp,
                    "{z} {max} {log:?} {error:e}"
                );
            }
            let size = (z - max).abs() + log.hi;
            let roundings = if P::IS_DOUBLE_DOUBLE { 4.0 * U } else { power_of_two(-48) };
            let width = (high - low).to_f64().value();
            assert!(
                width <= 2.001 * error + roundings * size,
                "{z} {max} {log:?} {error:e}: width {width:e}"
            );
        }
    }

    #[test]
    fn ends_of_log_shares_enclose_them_closely() {
        check_log_share_ends::<FineF64>();
        check_log_share_ends::<FineDoubleDouble>();
    }

    /// The ends of a product with a relative error enclose it closely; where it is subnormal in f64, they differ.
    fn check_scaled_ends<P: Precision>() {
        let mut uniform = uniform(28);
        let roundings = if P::IS_DOUBLE_DOUBLE { 2.0 * U } else { 8.0 * U };
        for i in 0..4000 {
            let hi = (1.0 + uniform()) * power_of_two(512 + [0, -40, -600, -1000][i % 4]);
            let number =
                P::Number::<f64>::of(DoubleDouble { hi, lo: hi * power_of_two(-54) * (uniform() - 0.5) });
            let factor = 0.5 + uniform();
            let factor = DoubleDouble { hi: factor, lo: factor * power_of_two(-54) * (uniform() - 0.5) };
            let error = [power_of_two(-30), power_of_two(-45), power_of_two(-70)][i / 4 % 3];
            let used = if P::IS_DOUBLE_DOUBLE { factor } else { DoubleDouble::from(factor.hi) };
            let exact = big_dd(number.to_dd()) * big_dd(used) * big(exp::UNSCALE);
            let size = exact.to_f64().value();
            let rounded = number.round_scaled(factor);
            assert!((big(rounded) - &exact).to_f64().value().abs() <= roundings * size, "{size:e}");
            let [low, high] = number.scaled_ends(factor, error);
            assert!(low <= high);
            // One rounding for each end is not part of the interval; in f64 errors cover the others.
            let slack = big(if P::IS_DOUBLE_DOUBLE { U } else { 4.0 * U } * size);
            for side in [-1.0, 1.0] {
                let end = &exact * (big(1.0) + big(side * error));
                assert!(big(low) - &slack <= end && end <= big(high) + &slack, "{size:e}, {error:e}");
            }
            let width = 2.001 * error * size + 2.0 * roundings * size;
            assert!(high - low <= width, "{size:e}: {:e}", high - low);
        }
        let of = |power: i32| P::Number::<f64>::of(DoubleDouble::from(power_of_two(power)));
        let ends = |power| of(power).scaled_ends(DoubleDouble::ONE, power_of_two(-60));
        assert_eq!(ends(512 - 1080), [0.0; 2]);
        if P::IS_DOUBLE_DOUBLE {
            for power in -1076..-1030 {
                let [low, high] = ends(512 + power);
                assert!(low < high, "2^{power}: {low:e}, {high:e}");
                assert!(high - low <= 4.0 * power_of_two(-1074), "2^{power}");
            }
        }
    }

    #[test]
    fn the_head_of_a_sum_follows_the_bound_of_its_terms() {
        let (mut uniform, bound) = (uniform(30), power_of_two(40));
        let mut sums = [Head::<f64>::empty(bound); 8];
        let mut exact = big(0.0);
        for i in 0..8 * TERMS {
            let hi = bound * uniform() / exp::UNSCALE;
            let term = two_sum(hi, hi * power_of_two(-54) * uniform());
            exact += big_dd(term);
            sums[i % 8] = sums[i % 8] + term;
        }
        let off = (big_dd(Head::total(sums, bound)) - &exact).to_f64().value().abs();
        let most = InDoubleDouble::SUM_ERROR * exact.to_f64().value();
        assert!(off <= most, "{off:e} > {most:e}");
    }

    /// For products among the least numbers, the ends enclose all products within the error; wherever these all round
    /// to the same float, also next to midpoints, both ends are that float.
    #[test]
    fn ends_among_the_least_numbers_are_rounded_once() {
        let mut uniform = uniform(29);
        let least = power_of_two(-1074);
        let (mut settled, mut could_be) = (0, 0);
        for i in 0..20_000 {
            // In units of the least number: whole ones and a half, and a little more or less.
            let whole = (uniform() * power_of_two([0, 3, 20, 50][i % 4])).floor() + [0.0, 0.5][i / 4 % 2];
            let off = [0.0, 1e-12, 1e-9, 0.3][i / 8 % 4] * (uniform() - 0.5);
            let units = two_sum(whole, off);
            let scaled = units.scaled(power_of_two(-1074 + 512 + 60)).scaled(power_of_two(-60));
            if scaled.hi <= 0.0 {
                continue;
            }
            let error = [power_of_two(-50), power_of_two(-70)][i / 32 % 2];
            let [low, high] = scaled.scaled_ends_among_least(DoubleDouble::ONE, error);
            // The distances from the exact ends in units, for ends that are floats.
            let exact = [-1.0, 1.0].map(|side| big_dd(units) * (big(1.0) + big(side * error)));
            let nearest = exact.clone().map(|end| (end + big(0.5)).floor().to_f64().value() * least);
            let is_tie = exact.iter().any(|end| {
                let rest = (end.clone() - end.clone().floor() - big(0.5)).to_f64().value();
                rest.abs() < power_of_two(-40)
            });
            if !is_tie {
                assert!(low <= nearest[0] && high >= nearest[1], "{units:?}: {low:e} {high:e}");
                could_be += usize::from(nearest[0] == nearest[1]);
                settled += usize::from(low == high);
                assert!(low != high || nearest == [low, high], "{units:?}: {low:e}");
            }
        }
        println!("among the least numbers {settled} of {could_be} settled");
        assert!(could_be > 5000 && settled == could_be, "{settled} of {could_be}");
    }

    #[test]
    fn scaled_ends_enclose_products_closely() {
        check_scaled_ends::<InF64>();
        check_scaled_ends::<InDoubleDouble>();
    }

    /// Each precision's own exponentials and logarithm, with errors near what it says.
    fn check_exponentials<P: Precision>(fineness: f64) {
        let mut uniform = uniform(29);
        let (mut worst, mut worst_log) = ([0.0_f64; 3], 0.0_f64);
        for i in 0..3000 {
            let (z, c) = (-60.0 * uniform(), [0.0, 1.0 / 3.0][i % 2]);
            let d = two_sum(z, -c);
            let of_dd = if P::IS_DOUBLE_DOUBLE { big_dd(d) } else { big(d.hi) };
            let all = [(P::exp(z, c), big_dd(d)), (P::exp_at_0(z), big(z)), (P::exp_of_dd(d), of_dd)];
            for (worst, (found, exponent)) in worst.iter_mut().zip(all) {
                let found = big_dd(found.to_dd()) * big(exp::UNSCALE);
                *worst = worst.max((found / exponent.exp() - big(1.0)).to_f64().value().abs());
            }
            let t = 3.0 * uniform();
            let (log, bound) = P::log1p(DoubleDouble::from(t));
            let exact = (big(t) + big(1.0)).ln();
            let off = error(log, &exact);
            assert!(off <= bound, "log(1 + {t}): {off:e}");
            worst_log = worst_log.max(bound / log.hi);
        }
        for worst in worst {
            assert!(worst <= P::EXP_ERROR && worst > P::EXP_ERROR / 8.0, "{worst:e} of {:e}", P::EXP_ERROR);
        }
        assert!(worst_log <= fineness && worst_log >= fineness / 4.0, "{worst_log:e}");
    }

    #[test]
    fn each_precision_has_its_own_functions() {
        check_exponentials::<InF64>(power_of_two(-49));
        check_exponentials::<FineF64>(power_of_two(-49));
        check_exponentials::<InDoubleDouble>(power_of_two(-63) * 1.001);
        check_exponentials::<FineDoubleDouble>(power_of_two(-80));
        check_exponentials::<FinerDoubleDouble>(power_of_two(-80));
        let errors = [InDoubleDouble::EXP_ERROR, FineDoubleDouble::EXP_ERROR, FinerDoubleDouble::EXP_ERROR];
        assert_eq!(errors, [exp::EXP_DD_ERROR, exp::EXP_DD_FINE_ERROR, exp::EXP_DD_FINER_ERROR]);
    }

    fn check_ln<P: Precision>() {
        let (mut uniform, mut worst) = (uniform(27), 0.0_f64);
        let [least, greatest] = P::LN_RANGE;
        for i in 0..2000 {
            let y = match i % 3 {
                0 => least * power_of_two((uniform() * (greatest / least).min(1e300).log2()) as i32),
                1 => 1.0 + (uniform() - 0.5) * power_of_two(-((uniform() * 50.0) as i32)),
                _ => [least, greatest][i % 2],
            };
            let exact = big(y).with_precision(1000).value().ln();
            let off = error(P::ln(y), &exact);
            let most = P::LN_ERROR * exact.to_f64().value().abs();
            assert!(off <= most, "log {y:e}: {off:e}");
            worst = worst.max(if most > 0.0 { off / most } else { 0.0 });
        }
        assert!(worst > 1.0 / 64.0, "the bound is too loose: {worst}");
        // The range includes every positive f32.
        assert!(least <= power_of_two(-149) && greatest >= power_of_two(128));
    }

    #[test]
    fn logarithms_keep_their_bounds() {
        check_ln::<InF64>();
        check_ln::<InDoubleDouble>();
    }

    /// What the constants are derived from.
    #[test]
    fn thresholds_are_what_they_are_derived_from() {
        // A 64th of half an ulp in f32, or in f64.
        assert_eq!([InF64::SHARE_ERROR, InDoubleDouble::SHARE_ERROR], [power_of_two(-30), power_of_two(-59)]);
        let of_rest = |sum: f64, least: f64| (sum / least).log2();
        assert!((of_rest(InF64::SUM_ERROR, InF64::LEAST_REST) + 30.0).abs() < 0.2);
        assert_eq!(of_rest(InDoubleDouble::SUM_ERROR, InDoubleDouble::LEAST_REST), -61.0);
        assert_eq!(of_rest(FineDoubleDouble::SUM_ERROR, FineDoubleDouble::LEAST_REST), -69.0);
    }

    /// The sum of 128 terms for each of eight sums, of which none is above 1, as a kernel forms it; the exact sum.
    fn sums<P: Precision>(terms: &[[DoubleDouble; 8]]) -> (DoubleDouble, Big) {
        let mut sums = [P::Sum::<f64>::empty(1.0); 8];
        let mut exact = big(0.0);
        for eight in terms {
            for (sum, &term) in sums.iter_mut().zip(eight) {
                *sum = *sum + P::Number::of(term.scaled(1.0 / exp::UNSCALE));
                exact += big_dd(P::Number::of(term).to_dd());
            }
        }
        (P::Sum::total(sums, 1.0).scaled(exp::UNSCALE), exact)
    }

    fn error(found: DoubleDouble, exact: &Big) -> f64 {
        (big_dd(found) - exact).to_f64().value().abs()
    }

    /// The greatest f64 below `limit` whose last bits make a sum whose ulp is `ulp` lose just under half of it.
    fn loses_half(limit: f64, ulp: f64) -> f64 {
        let steps = (limit / ulp - 0.5).floor();
        let tie = (steps + 0.5) * ulp;
        if tie > 0.0 { tie.next_down() } else { limit.next_down() }
    }

    /// The terms of the derivation at [`Head`]: one just above half of the bound; the others just under half an ulp of
    /// the high part, so that all goes to the low part, and each addition there loses half of its ulp.
    #[test]
    fn sums_of_double_doubles_keep_their_bound() {
        let mut low = 0.0_f64;
        let mut terms = Vec::new();
        for k in 0..TERMS {
            let ulp = if low == 0.0 { 0.0 } else { low.next_up() - low };
            let limit = power_of_two(-45);
            let small = if ulp == 0.0 { limit.next_down() } else { loses_half(limit, ulp) };
            low += small;
            let mut eight = [DoubleDouble::from(small); 8];
            if k == 0 {
                eight[0] = DoubleDouble::from(0.5 + U);
            }
            terms.push(eight);
        }
        let (found, exact) = sums::<InDoubleDouble>(&terms);
        let worst = error(found, &exact) / exact.to_f64().value();
        println!("sum of double-doubles: worst 2^{:.2}, bound 2^-81", worst.log2());
        assert!(worst < InDoubleDouble::SUM_ERROR, "2^{}", worst.log2());
        assert!(worst > InDoubleDouble::SUM_ERROR / 2.0, "the terms are no attack: 2^{}", worst.log2());
    }

    /// Random terms of any magnitude below the bound stay far below the bound on the error.
    #[test]
    fn random_sums_of_double_doubles_keep_their_bound() {
        let mut uniform = uniform(21);
        for round in 0..40 {
            let mut terms = vec![[DoubleDouble::ZERO; 8]; TERMS];
            for term in terms.as_flattened_mut() {
                let hi = (1.0 - uniform() * 0.5)
                    * power_of_two(-(uniform() * [1.0, 60.0, 110.0][round % 3]) as i32);
                *term = DoubleDouble { hi, lo: hi * U * (uniform() - 0.5) };
            }
            terms[0][0] = DoubleDouble::from(0.5 + U);
            let (found, exact) = sums::<InDoubleDouble>(&terms);
            assert!(error(found, &exact) <= InDoubleDouble::SUM_ERROR * exact.to_f64().value());
        }
    }

    /// One term of 1, and 127 that round it down by just under half an ulp each, in all eight sums.
    #[test]
    fn sums_of_f64_keep_their_bound() {
        let small = DoubleDouble::from(U.next_down());
        let mut terms = vec![[small; 8]; TERMS];
        terms[0] = [DoubleDouble::ONE; 8];
        let (found, exact) = sums::<InF64>(&terms);
        let worst = error(found, &exact) / exact.to_f64().value();
        println!("sum of f64: worst {:.1} u, bound {:.1} u", worst / U, InF64::SUM_ERROR / U);
        assert!(worst < InF64::SUM_ERROR && worst > 0.9 * InF64::SUM_ERROR, "{}", worst / U);
    }

    /// The sum of eight sums of weighted terms, as a kernel forms it; the exact sum, and that of the magnitudes.
    fn weighted<P: Precision>(terms: &[[(DoubleDouble, f64); 8]]) -> (DoubleDouble, Big, f64) {
        let mut sums = [DoubleDouble::ZERO; 8];
        let (mut exact, mut size) = (big(0.0), 0.0);
        for eight in terms {
            for (sum, &(term, weight)) in sums.iter_mut().zip(eight) {
                let term = P::Number::<f64>::of(term);
                *sum = term.by(weight).added_to(*sum);
                exact += big_dd(term.to_dd()) * big(weight);
                size += (term.to_dd().hi * weight).abs();
            }
        }
        let mut all = DoubleDouble::ZERO;
        for sum in sums {
            all = all + two_sum(sum.hi, sum.lo);
        }
        (all, exact, size)
    }

    /// As for the sums without weights: the first term of each sum is 1, the others are lost by the high part.
    #[test]
    fn signed_sums_keep_their_bounds() {
        let mut terms = vec![[(DoubleDouble::from(U.next_down()), 1.0); 8]; TERMS];
        // An odd significand, whose product with the weight is rounded by nearly half an ulp.
        terms[0] =
            [(DoubleDouble::from(1.0 + 3.0 * power_of_two(-27)), 1.0 + power_of_two(-26) + 2.0 * U); 8];
        let (found, exact, size) = weighted::<InF64>(&terms);
        let worst = error(found, &exact) / size;
        println!("signed sum of f64: worst {:.1} u, bound {:.1} u", worst / U, InF64::SIGNED_SUM_ERROR / U);
        assert!(worst < InF64::SIGNED_SUM_ERROR && worst > 0.9 * InF64::SIGNED_SUM_ERROR, "{}", worst / U);

        let mut low = 0.0_f64;
        for (k, eight) in terms.iter_mut().enumerate() {
            let ulp = low.next_up() - low;
            let small = if low == 0.0 { U.next_down() } else { loses_half(U, ulp) };
            let term = if k == 0 { 1.0 } else { small };
            low += if k == 0 { 0.0 } else { small };
            *eight = [(DoubleDouble::from(term), 1.0); 8];
        }
        let (found, exact, size) = weighted::<InDoubleDouble>(&terms);
        let worst = error(found, &exact) / size;
        println!("signed sum of double-doubles: worst 2^{:.2}, bound 2^-92", worst.log2());
        let bound = InDoubleDouble::SIGNED_SUM_ERROR;
        assert!(worst < bound && worst > bound / 4.0, "2^{}", worst.log2());

        // Random signs and weights, which cancel.
        let mut uniform = uniform(22);
        for round in 0..60 {
            for (term, weight) in terms.as_flattened_mut() {
                let hi = uniform() * power_of_two(-(uniform() * [1.0, 20.0, 60.0][round % 3]) as i32);
                *term = DoubleDouble { hi, lo: hi * U * (uniform() - 0.5) };
                *weight = uniform() - [0.5, 0.0][round % 2];
            }
            let (found, exact, size) = weighted::<InF64>(&terms);
            assert!(error(found, &exact) <= InF64::SIGNED_SUM_ERROR * size);
            let (found, exact, size) = weighted::<InDoubleDouble>(&terms);
            assert!(error(found, &exact) <= bound * size);
        }
    }
}
