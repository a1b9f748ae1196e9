//! What a phase computes in: one f64 or two, each with the error of its exponentials, sums and logarithm.

use crate::double_double::{DoubleDouble, fast_two_sum, power_of_two, two_product, two_sum};
use crate::float64::Float64;
use crate::{exp, ln};
use core::ops::{Add, Div, Mul};

/// The precision that a phase computes in. All exponentials and sums are in units of [`exp::UNSCALE`].
pub trait Precision {
    /// Bounds the relative error of one exponential.
    const EXP_ERROR: f64;

    /// Bounds what the additions of a block add to the error of Σ e^{z_k}, relative to that sum.
    const SUM_ERROR: f64;

    /// Bounds what the products and additions of a block add to the error of Σ b_k e^{z_k}, relative to Σ |b_k| e^{z_k}.
    const SIGNED_SUM_ERROR: f64;

    /// Shares of a sum of any signs are taken from it if its relative error is at most this.
    const SHARE_ERROR: f64;

    /// How small, against e^max, the sum of all others may be when it is got by taking e^max from the whole sum:
    /// [`SUM_ERROR`](Self::SUM_ERROR) is then still less than the error of an exponential, against what remains.
    const LEAST_REST: f64;

    /// Whether sums start from nothing, whatever the bound of their terms.
    const STARTS_FROM_NOTHING: bool;

    /// Whether numbers are double-doubles.
    const IS_DOUBLE_DOUBLE: bool;

    /// A number of this precision.
    type Number<F: Float64>: Number<F>;

    /// A sum that is under way.
    type Sum<F: Float64>: Sum<F, Number = Self::Number<F>>;

    /// e^{z − c}.
    fn exp<F: Float64>(z: F, c: F) -> Self::Number<F>;

    /// e^z: the same as with c = 0, in fewer steps.
    fn exp_at_0<F: Float64>(z: F) -> Self::Number<F>;

    /// e^d − 1 for |d| ≤ 2^-6: relative error below 2^-51 in f64, 2^-65 in double-double.
    fn expm1_near_0<F: Float64>(d: Self::Number<F>) -> Self::Number<F>;

    /// e^d − 1 for −1000 ≤ d ≤ 128: relative error below 2^-31 in f64, 2^-64 in double-double.
    fn expm1<F: Float64>(d: Self::Number<F>) -> Self::Number<F>;

    /// e^d, for a d of two f64 that is at least −1000; [`InF64`] takes the first alone.
    fn exp_of_dd<F: Float64>(d: DoubleDouble<F>) -> Self::Number<F>;

    /// log(1 + t) for t ≥ 0, and a bound on its absolute error.
    fn log1p<F: Float64>(t: DoubleDouble<F>) -> (DoubleDouble<F>, F);

    /// log y, relative error below 2^-48 in f64, 2^-58 in double-double, from the second, a power of 2, to 2^500.
    fn ln<F: Float64>(y: F) -> (DoubleDouble<F>, f64);

    /// z − max − log, where z ≤ max and log ≥ 0: neither difference takes away from the other's accuracy.
    fn log_share<F: Float64>(z: F, max: F, log: DoubleDouble<F>) -> F;
}

/// A number in f64 or a double-double.
///
/// Sums, products and quotients are off by a rounding in f64; in double-double by 2^-104 (where both have the same sign), 2^-103
/// and 2^-102.
pub trait Number<F>: Copy + Add<Output = Self> + Mul<Output = Self> + Div<Output = Self> {
    /// As a double-double.
    fn to_dd(self) -> DoubleDouble<F>;

    /// Of a double-double, its high part alone in f64.
    fn of(two: DoubleDouble<F>) -> Self;

    /// a − b: exact in double-double.
    fn difference(a: F, b: F) -> Self;

    /// The product with `factor`, with the units taken off, rounded to one f64.
    fn round_scaled(self, factor: DoubleDouble<F>) -> F;

    /// The product with a number in f64: one rounding in f64, 2^-104 in double-double, which are normalised only for a power of 2.
    fn by(self, factor: F) -> Self;

    /// `sum` and this number, of any signs: one rounding in f64; in double-double, all roundings of a block are below
    /// 2^-89 of the sum of the magnitudes: 128 of low parts below 2^-45 of it. The sum is not normalised.
    fn added_to(self, sum: DoubleDouble<F>) -> DoubleDouble<F>;
}

/// A sum of at most [`TERMS`] numbers.
pub trait Sum<F>: Copy + Add<Self::Number, Output = Self> {
    /// What it is a sum of.
    type Number;

    /// No number yet. None will be greater than 2^k · e^0 for `bound` = 2^k.
    fn empty(bound: F) -> Self;

    /// The sum of eight sums, in pairs. `bound` as in [`empty`](Sum::empty).
    fn total(sums: [Self; 8], bound: F) -> DoubleDouble<F>;
}

/// Terms that a [`Sum`] may have at most: so many of a block go to each of its eight sums.
pub const TERMS: usize = 128;

/// f64 arithmetic.
pub struct InF64;

impl Precision for InF64 {
    const EXP_ERROR: f64 = exp::EXP_F64_ERROR;
    /// 128 additions, 3 more, and taking e^max away: 132 roundings of 2^-53.
    const SUM_ERROR: f64 = 1.5e-14;
    /// One rounding more: a product's.
    const SIGNED_SUM_ERROR: f64 = 1.5e-14;
    const SHARE_ERROR: f64 = power_of_two(-30);
    /// 2^-46 of 1 is then 2^-30 of the rest, a 64th of f32's ulp.
    const LEAST_REST: f64 = power_of_two(-16);
    const STARTS_FROM_NOTHING: bool = true;
    const IS_DOUBLE_DOUBLE: bool = false;
    type Number<F: Float64> = One<F>;
    type Sum<F: Float64> = One<F>;

    #[inline(always)]
    fn exp<F: Float64>(z: F, c: F) -> One<F> {
        One(exp::exp_f64(z, c))
    }

    #[inline(always)]
    fn exp_at_0<F: Float64>(z: F) -> One<F> {
        One(exp::exp_f64_at_0(z))
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
        One(exp::exp_f64_at_0(d.hi))
    }

    #[inline(always)]
    fn log1p<F: Float64>(t: DoubleDouble<F>) -> (DoubleDouble<F>, F) {
        let (log, error) = ln::log1p_f64(t.hi);
        (DoubleDouble::from(log), error)
    }

    #[inline(always)]
    fn ln<F: Float64>(y: F) -> (DoubleDouble<F>, f64) {
        (DoubleDouble::from(ln::ln_f64(y).0), power_of_two(-400))
    }

    #[inline(always)]
    fn log_share<F: Float64>(z: F, max: F, log: DoubleDouble<F>) -> F {
        z - max - log.hi
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

/// Double-doubles.
pub struct InDoubleDouble;

impl Precision for InDoubleDouble {
    const EXP_ERROR: f64 = exp::EXP_DD_ERROR;
    /// See [`Head`]; the sum is at least half of its bound.
    const SUM_ERROR: f64 = power_of_two(-82);
    /// See [`Number::added_to`].
    const SIGNED_SUM_ERROR: f64 = power_of_two(-88);
    const SHARE_ERROR: f64 = power_of_two(-59);
    /// 2^-82 of 1 is then 2^-62 of the rest.
    const LEAST_REST: f64 = power_of_two(-20);
    const STARTS_FROM_NOTHING: bool = false;
    const IS_DOUBLE_DOUBLE: bool = true;
    type Number<F: Float64> = DoubleDouble<F>;
    type Sum<F: Float64> = Head<F>;

    #[inline(always)]
    fn exp<F: Float64>(z: F, c: F) -> DoubleDouble<F> {
        exp::exp_dd(z, c)
    }

    #[inline(always)]
    fn exp_at_0<F: Float64>(z: F) -> DoubleDouble<F> {
        exp::exp_dd_at_0(z)
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
        exp::exp_dd_of_dd(d)
    }

    #[inline(always)]
    fn log1p<F: Float64>(t: DoubleDouble<F>) -> (DoubleDouble<F>, F) {
        ln::log1p_dd(t)
    }

    #[inline(always)]
    fn ln<F: Float64>(y: F) -> (DoubleDouble<F>, f64) {
        (ln::ln_dd(DoubleDouble::from(y)).0, power_of_two(-1000))
    }

    #[inline(always)]
    fn log_share<F: Float64>(z: F, max: F, log: DoubleDouble<F>) -> F {
        let difference = two_sum(z, -max);
        let log_share = (difference - log).hi;
        // A difference beyond the largest f64 has a low part that means nothing.
        let minus_infinity = z.splat(f64::NEG_INFINITY);
        difference.hi.where_at_most(f64::NEG_INFINITY, minus_infinity, log_share)
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

/// A sum of double-doubles. Its high part starts from 2^8 times the bound of the terms, `HEAD`, so that it is never
/// less than a term: Dekker's three operations add exactly, where Knuth's would take six.
///
/// In units of the bound: with 128 terms the high part stays below 2^9, what each addition leaves below 2^-44; the
/// low part adds up 128 of those, stays below 2^-37, and each of its roundings below 2^-90, all below 2^-83.9. The
/// total's three roundings of at most 2^-34 · 2^-53 vanish beside that.
#[derive(Clone, Copy)]
pub struct Head<F> {
    /// The high part.
    pub hi: F,
    /// What the high part has lost.
    pub lo: F,
}

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
