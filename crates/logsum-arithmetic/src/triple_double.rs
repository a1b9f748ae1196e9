//! Triple-word arithmetic: a number as the unevaluated sum of three f64, about 159 bits, for sums that double-doubles
//! do not settle. Operations neither overflow nor underflow, which each caller sees to; u = 2^-53.

use crate::double_double::{DoubleDouble, fast_two_sum, two_product, two_sum};
use crate::float64::{Float64, called_as_one};
use core::ops::{Mul, Neg};

/// `hi + mid + lo`, of decreasing magnitudes: unless said otherwise |mid| ≤ 2^-51 |hi| and |lo| ≤ 2^-52 |mid|.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TripleDouble<F = f64> {
    /// The greatest word.
    pub hi: F,
    /// What `hi` lacks of the number.
    pub mid: F,
    /// What `hi` and `mid` lack.
    pub lo: F,
}

impl TripleDouble {
    /// 0.
    pub const ZERO: Self = Self { hi: 0.0, mid: 0.0, lo: 0.0 };
    /// log 2, off by less than 2^-144: the first two words have 42 bits, so that their products with integers below
    /// 2^11 are exact.
    pub const LN_2: Self = Self {
        hi: 0.693_147_180_559_890_3,
        mid: 5.497_923_018_708_502_4e-14,
        lo: -1.312_469_841_778_525_5e-27,
    };
}

/// Exact.
impl<F: Float64> From<DoubleDouble<F>> for TripleDouble<F> {
    #[inline(always)]
    fn from(two: DoubleDouble<F>) -> Self {
        Self { hi: two.hi, mid: two.lo, lo: two.hi.splat(0.0) }
    }
}

impl<F: Float64> TripleDouble<F> {
    /// a + b + c + d, off by at most 15u³ (|a| + |b| + |c| + |d|), for any order of magnitudes.
    #[inline(always)]
    pub fn sum_of(a: F, b: F, c: F, d: F) -> Self {
        sum_of_four(a, b, c, d)
    }

    /// The same number, with words that overlap by one bit at most. The rounding error is below 2u · |lo|.
    #[inline(always)]
    pub fn normalised(self) -> Self {
        normalised(self)
    }

    /// The sum of both, for any order of magnitudes, not normalised. The first two words are added exactly, so that
    /// only the third is rounded, by at most u (3 |lo| + 2 |self.lo| + |other.lo|) (1 + 2u), where `lo` is the
    /// result's.
    #[inline(always)]
    pub fn plus(self, other: Self) -> Self {
        sum(self, other)
    }

    /// The product with an f64, with a relative error below 2^-154; below 2^-146 for numbers with |mid| ≤ 2^-43 |hi|,
    /// such as [`exp_td`](crate::exp_td::exp_td) returns.
    ///
    /// With |mid| ≤ 2^-51 |hi| and |lo| ≤ 2^-103 |hi|, the third word is rounded three times, when it is below
    /// 2^-102.4 |hi|; in the other case it is 2^8 times as large.
    #[inline(always)]
    pub fn by(self, factor: F) -> Self {
        product_with_one(self, factor)
    }

    /// The product of normalised numbers, with a relative error below 2^-151; its words overlap: |mid| ≤ 2^-50 |hi| and
    /// |lo| ≤ 2^-101 |hi|.
    ///
    /// The products of words that are left out or inexact, and the roundings of the third word, are together below
    /// 2^-152 of the product.
    #[inline(always)]
    pub fn times(self, other: Self) -> Self {
        product(self, other)
    }

    /// Exact, where no word leaves the normal range.
    #[inline(always)]
    pub fn scaled(self, power_of_two: F) -> Self {
        Self { hi: self.hi * power_of_two, mid: self.mid * power_of_two, lo: self.lo * power_of_two }
    }

    /// The first two words of a normalised number: the error is at most u |mid|.
    #[inline(always)]
    pub fn to_dd(self) -> DoubleDouble<F> {
        DoubleDouble { hi: self.hi, lo: self.mid }
    }
}

called_as_one! {
    fn sum_of_four<F: Float64>(a: F, b: F, c: F, d: F) -> TripleDouble<F> {
        let first = two_sum(a, b);
        let second = two_sum(first.hi, c);
        let third = two_sum(second.hi, d);
        let rest = two_sum(first.lo, second.lo);
        let all = two_sum(rest.hi, third.lo);
        TripleDouble { hi: third.hi, mid: all.hi, lo: rest.lo + all.lo }.normalised()
    }
}

called_as_one! {
    fn normalised<F: Float64>(x: TripleDouble<F>) -> TripleDouble<F> {
        let high = two_sum(x.hi, x.mid);
        let low = two_sum(high.lo, x.lo);
        let high = fast_two_sum(high.hi, low.hi);
        let low = fast_two_sum(high.lo, low.lo);
        TripleDouble { hi: high.hi, mid: low.hi, lo: low.lo }
    }
}

called_as_one! {
    fn sum<F: Float64>(x: TripleDouble<F>, y: TripleDouble<F>) -> TripleDouble<F> {
        let high = two_sum(x.hi, y.hi);
        let middle = two_sum(x.mid, y.mid);
        let carried = two_sum(middle.hi, high.lo);
        let lo = x.lo + (y.lo + (middle.lo + carried.lo));
        TripleDouble { hi: high.hi, mid: carried.hi, lo }
    }
}

called_as_one! {
    fn product_with_one<F: Float64>(x: TripleDouble<F>, factor: F) -> TripleDouble<F> {
        let (high, middle) = (two_product(x.hi, factor), two_product(x.mid, factor));
        let mid = two_sum(middle.hi, high.lo);
        TripleDouble { hi: high.hi, mid: mid.hi, lo: x.lo.mul_add(factor, middle.lo + mid.lo) }.normalised()
    }
}

called_as_one! {
    fn product<F: Float64>(x: TripleDouble<F>, y: TripleDouble<F>) -> TripleDouble<F> {
        let high = two_product(x.hi, y.hi);
        let cross = [two_product(x.hi, y.mid), two_product(x.mid, y.hi)];
        let sum = two_sum(cross[0].hi, cross[1].hi);
        let mid = two_sum(high.lo, sum.hi);
        let least = x.mid.mul_add(y.mid, x.hi.mul_add(y.lo, x.lo * y.hi));
        let lo = ((cross[0].lo + cross[1].lo) + (sum.lo + mid.lo)) + least;
        TripleDouble { hi: high.hi, mid: mid.hi, lo }
    }
}

/// [`TripleDouble::times`], normalised.
impl<F: Float64> Mul for TripleDouble<F> {
    type Output = Self;

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.times(other).normalised()
    }
}

/// Exact.
impl<F: Float64> Neg for TripleDouble<F> {
    type Output = Self;

    #[inline(always)]
    fn neg(self) -> Self {
        Self { hi: -self.hi, mid: -self.mid, lo: -self.lo }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::double_double::power_of_two;
    use crate::test_reference::{Big, big, big_sum, relative_error, uniform};

    fn big_td(x: TripleDouble) -> Big {
        big_sum([x.hi, x.mid, x.lo])
    }

    /// Numbers with random words, whose low ones are often near half an ulp, of both signs and many sizes.
    fn numbers() -> impl FnMut() -> TripleDouble {
        let mut uniform = uniform(71);
        move || {
            let mut word = |size: f64| {
                let x = size * (1.0 + uniform());
                if uniform() < 0.5 { -x } else { x }
            };
            let hi = word(power_of_two(-2));
            let mid = word(hi * power_of_two(-54));
            let number = TripleDouble { hi, mid, lo: word(mid * power_of_two(-54)) }.normalised();
            number.scaled(power_of_two((uniform() * 70.0) as i32 - 35))
        }
    }

    fn size(x: &Big) -> f64 {
        x.to_f64().value().abs()
    }

    #[test]
    fn operations_keep_their_bounds() {
        let mut number = numbers();
        let [mut of_sum, mut of_four, mut of_product, mut of_triple] = [0.0_f64; 4];
        for _ in 0..40_000 {
            let [x, y] = [number(), number()];
            assert!(
                x.mid.abs() <= power_of_two(-52) * x.hi.abs()
                    && x.lo.abs() <= power_of_two(-52) * x.mid.abs()
            );
            let sum = x.plus(y);
            let bound = power_of_two(-53) * (3.0 * sum.lo.abs() + 2.0 * x.lo.abs() + y.lo.abs());
            let off = size(&(big_td(sum) - big_td(x) - big_td(y)));
            assert!(off <= bound, "{x:?} + {y:?}: {off:e}, bound {bound:e}");
            of_sum = of_sum.max(if bound > 0.0 { off / bound } else { 0.0 });
            let words = [x.hi, y.hi, x.mid, y.mid];
            let four = TripleDouble::sum_of(words[0], words[1], words[2], words[3]);
            let exact = words.into_iter().fold(big(0.0), |sum, word| sum + big(word));
            let magnitudes: f64 = words.iter().map(|word| word.abs()).sum();
            of_four = of_four.max(size(&(big_td(four) - exact)) / magnitudes);
            of_product = of_product.max(relative_error(big_td(x.by(y.hi)), &(big_td(x) * big(y.hi))));
            of_triple = of_triple.max(relative_error(big_td(x * y), &(big_td(x) * big_td(y))));
        }
        println!("sums: worst {of_sum:.2} of the bound; of four words 2^{:.1}", of_four.log2());
        println!("products: 2^{:.1} by one word, 2^{:.1} by three", of_product.log2(), of_triple.log2());
        assert!(of_sum > 0.2, "{of_sum}");
        assert!(of_four <= power_of_two(-155), "{of_four:e}");
        assert!(of_product < power_of_two(-154) && of_product > power_of_two(-162), "{of_product:e}");
        assert!(of_triple < power_of_two(-151) && of_triple > power_of_two(-160), "{of_triple:e}");
    }

    #[test]
    fn log_2_has_three_words() {
        let TripleDouble { hi, mid, lo } = TripleDouble::LN_2;
        assert!(hi.to_bits().trailing_zeros() >= 11 && mid.to_bits().trailing_zeros() >= 11);
        let off = big_td(TripleDouble { hi, mid, lo }) - big(2.0).ln();
        assert!(size(&off) < power_of_two(-144));
    }
}
