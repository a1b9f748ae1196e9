//! Double-word arithmetic: a number as the unevaluated sum of two f64, about 106 bits.
//!
//! The algorithms and their bounds are those of Joldes, Muller & Popescu, "Tight and rigorous error bounds for
//! basic building blocks of double-double arithmetic" (ACM TOMS 44, 2017); u = 2^-53. They need results that neither
//! overflow nor underflow, which each caller sees to.

use crate::float64::{Float64, called_as_one};
use core::ops::{Add, Div, Mul, Neg, Sub};

/// `hi + lo`, where hi is the f64 nearest to the sum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DoubleDouble<F = f64> {
    /// The high part.
    pub hi: F,
    /// The low part, at most half a unit in the last place of the high one.
    pub lo: F,
}

called_as_one! {
    /// a + b exactly (Knuth's 2Sum), for any order of magnitudes.
    pub fn two_sum<F: Float64>(a: F, b: F) -> DoubleDouble<F> {
        let hi = a + b;
        let b_part = hi - a;
        let a_part = hi - b_part;
        DoubleDouble { hi, lo: (a - a_part) + (b - b_part) }
    }
}

called_as_one! {
    /// a + b exactly where |a| ≥ |b| (Dekker's Fast2Sum).
    pub fn fast_two_sum<F: Float64>(a: F, b: F) -> DoubleDouble<F> {
        let hi = a + b;
        DoubleDouble { hi, lo: b - (hi - a) }
    }
}

called_as_one! {
    /// a · b exactly.
    pub fn two_product<F: Float64>(a: F, b: F) -> DoubleDouble<F> {
        let hi = a * b;
        DoubleDouble { hi, lo: a.mul_add(b, -hi) }
    }
}

/// 2^n, for −1074 ≤ n ≤ 1023.
pub const fn power_of_two(n: i32) -> f64 {
    if n < -1022 { f64::from_bits(1 << (n + 1074)) } else { f64::from_bits(((n + 1023) as u64) << 52) }
}

/// The significand, with a magnitude in [1, 2), and the exponent of a finite number other than 0.
pub fn parts(x: f64) -> (f64, i32) {
    let (normal, extra) = if x.abs() < f64::MIN_POSITIVE { (x * power_of_two(54), 54) } else { (x, 0) };
    let exponent = (normal.to_bits() >> 52 & 0x7ff) as i32 - 1023;
    let significand = f64::from_bits(normal.to_bits() & !(0x7ff << 52) | 1023 << 52);
    (significand, exponent - extra)
}

impl DoubleDouble {
    /// 1.
    pub const ONE: Self = Self { hi: 1.0, lo: 0.0 };
    /// 0.
    pub const ZERO: Self = Self { hi: 0.0, lo: 0.0 };
    /// log 2.
    pub const LN_2: Self = Self { hi: core::f64::consts::LN_2, lo: 2.319_046_813_846_299_6e-17 };

    /// This number in every lane.
    #[inline(always)]
    pub fn splat<F: Float64>(self, like: F) -> DoubleDouble<F> {
        DoubleDouble { hi: like.splat(self.hi), lo: like.splat(self.lo) }
    }
}

impl<F: Float64> DoubleDouble<F> {
    /// Exact, where no word leaves the normal range.
    #[inline(always)]
    pub fn scaled(self, power_of_two: F) -> Self {
        Self { hi: self.hi * power_of_two, lo: self.lo * power_of_two }
    }

    /// `then` where self.hi ≤ bound, `otherwise` elsewhere.
    #[inline(always)]
    pub fn where_at_most(self, bound: f64, then: Self, otherwise: Self) -> Self {
        Self {
            hi: self.hi.where_at_most(bound, then.hi, otherwise.hi),
            lo: self.hi.where_at_most(bound, then.lo, otherwise.lo),
        }
    }
}

/// Exact.
impl<F: Float64> From<F> for DoubleDouble<F> {
    #[inline(always)]
    fn from(hi: F) -> Self {
        Self { hi, lo: hi.splat(0.0) }
    }
}

/// Relative error below 3u² + 13u³ for any signs (AccurateDWPlusDW, theorem 3.1).
impl<F: Float64> Add for DoubleDouble<F> {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        sum(self, other)
    }
}

called_as_one! {
    fn sum<F: Float64>(x: DoubleDouble<F>, y: DoubleDouble<F>) -> DoubleDouble<F> {
        let high = two_sum(x.hi, y.hi);
        let low = two_sum(x.lo, y.lo);
        let sum = fast_two_sum(high.hi, high.lo + low.hi);
        fast_two_sum(sum.hi, sum.lo + low.lo)
    }
}

/// Relative error below 2u² for any signs (DWPlusFP, theorem 2.1).
impl<F: Float64> Add<F> for DoubleDouble<F> {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: F) -> Self {
        sum_with_one(self, other)
    }
}

called_as_one! {
    fn sum_with_one<F: Float64>(x: DoubleDouble<F>, y: F) -> DoubleDouble<F> {
        let high = two_sum(x.hi, y);
        fast_two_sum(high.hi, high.lo + x.lo)
    }
}

/// Computed as the sum with the negated number.
impl<F: Float64> Sub for DoubleDouble<F> {
    type Output = Self;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

/// Relative error below 5u² (DWTimesDW3, theorem 5.3).
impl<F: Float64> Mul for DoubleDouble<F> {
    type Output = Self;

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        product(self, other)
    }
}

called_as_one! {
    fn product<F: Float64>(x: DoubleDouble<F>, y: DoubleDouble<F>) -> DoubleDouble<F> {
        let high = two_product(x.hi, y.hi);
        let cross = x.lo.mul_add(y.hi, x.hi.mul_add(y.lo, x.lo * y.lo));
        fast_two_sum(high.hi, high.lo + cross)
    }
}

/// Relative error below 15u².
///
/// With q = xh/yh rounded, r = y q has a rounding error of at most 3u² of itself, xh − rh is exact, and the rest x − y
/// q is at most 3u of x. First-order terms of the relative error: 3u² from r; 2u² for the rounding of xl − rl, 3u² for
/// that of the rest, 3u² for that of its quotient; 3u² as the rest is divided by yh instead of y: 14u² together, and
/// terms of order u³. The paper has 15u² + 56u³ for its DWDivDW2, which is this but for the rounding of r.
impl<F: Float64> Div for DoubleDouble<F> {
    type Output = Self;

    #[inline(always)]
    fn div(self, divisor: Self) -> Self {
        quotient(self, divisor)
    }
}

called_as_one! {
    fn quotient<F: Float64>(x: DoubleDouble<F>, y: DoubleDouble<F>) -> DoubleDouble<F> {
        let quotient = x.hi.div(y.hi);
        let product = y * DoubleDouble::from(quotient);
        let rest = (x.hi - product.hi) + (x.lo - product.lo);
        fast_two_sum(quotient, rest.div(y.hi))
    }
}

/// Exact.
impl<F: Float64> Neg for DoubleDouble<F> {
    type Output = Self;

    #[inline(always)]
    fn neg(self) -> Self {
        Self { hi: -self.hi, lo: -self.lo }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_reference::{Big, big, big_dd, relative_error, uniform};

    /// Pairs of numbers that are hard for double-doubles: significands near 1, near 2 and near the square root of
    /// 2, low parts near half an ulp, exponents near each other, of both signs.
    fn pairs() -> impl Iterator<Item = [DoubleDouble; 2]> {
        let mut uniform = uniform(31);
        (0..40_000).map(move |i| {
            let mut number = |i: usize| {
                let near = uniform() * power_of_two(-[50, 26, 10, 1][i / 2 % 4]);
                let hi = [1.0 + near, 2.0 - near, core::f64::consts::SQRT_2 + near][i % 3];
                let ulp = power_of_two(-52);
                let lo = ulp * (0.5 - uniform() * [0.0, 1e-3, 1.0][i / 3 % 3]);
                let lo = if uniform() < 0.5 { -lo } else { lo };
                two_sum(hi, lo)
            };
            let [x, y] = [number(i), number(i / 7)];
            let y = y.scaled(power_of_two((uniform() * 5.0) as i32 - 2));
            [x, if i % 5 == 0 { -y } else { y }]
        })
    }

    /// The worst relative error of an operation, in units of u².
    fn worst(
        found: impl Fn([DoubleDouble; 2]) -> DoubleDouble,
        exact: impl Fn([DoubleDouble; 2]) -> Big,
    ) -> f64 {
        let errors = pairs().map(|pair| {
            let exact = exact(pair);
            if exact == big(0.0) { 0.0 } else { relative_error(big_dd(found(pair)), &exact) }
        });
        errors.fold(0.0, f64::max) * power_of_two(106)
    }

    #[test]
    fn powers_and_parts() {
        for n in -1074..=1023 {
            // 2^n in two exact steps.
            let exact = (n as f64 / 2.0).floor().exp2() * (n as f64 - (n as f64 / 2.0).floor()).exp2();
            assert_eq!(power_of_two(n), exact, "2^{n}");
        }
        for x in [1.0, -1.5, 3.75e300, 5e-324, -1e-310, f64::MIN_POSITIVE, f64::MAX] {
            let (significand, exponent) = parts(x);
            assert!((1.0..2.0).contains(&significand.abs()), "{x:e}: {significand}");
            let half = exponent / 2;
            assert_eq!(significand * power_of_two(half) * power_of_two(exponent - half), x);
        }
    }

    #[test]
    fn differences_and_negatives_are_those_of_both_words() {
        let (a, b) = (
            DoubleDouble { hi: 3.0, lo: power_of_two(-54) },
            DoubleDouble { hi: 1.0, lo: power_of_two(-60) },
        );
        assert_eq!(a - b, DoubleDouble { hi: 2.0, lo: power_of_two(-54) - power_of_two(-60) });
        assert_eq!(-a, DoubleDouble { hi: -3.0, lo: -power_of_two(-54) });
        assert_eq!(
            Float64::max(0.0, -0.0).to_bits(),
            (-0.0_f64).to_bits(),
            "the other one, unless self is greater"
        );
    }

    #[test]
    fn operations_keep_their_bounds() {
        let operations = [
            ("x + y", 3.0, worst(|[x, y]| x + y, |[x, y]| big_dd(x) + big_dd(y))),
            ("x + f64", 2.0, worst(|[x, y]| x + y.hi, |[x, y]| big_dd(x) + big(y.hi))),
            ("x · y", 5.0, worst(|[x, y]| x * y, |[x, y]| big_dd(x) * big_dd(y))),
            ("x / y", 15.0, worst(|[x, y]| x / y, |[x, y]| big_dd(x) / big_dd(y))),
        ];
        for (name, bound, worst) in operations {
            println!("{name}: worst {worst:.2} u², bound {bound} u²");
            assert!(worst <= bound && worst > bound / 4.0, "{name}: {worst} u²");
        }
    }

    #[test]
    fn numbers_are_their_parts() {
        for x in [1.0, -1.5, 5e-324, -1e-310, f64::MAX, f64::MIN_POSITIVE, 0.1] {
            let (significand, exponent) = parts(x);
            assert!((1.0..2.0).contains(&significand.abs()));
            assert_eq!(significand * power_of_two(exponent / 2) * power_of_two(exponent - exponent / 2), x);
        }
    }
}
