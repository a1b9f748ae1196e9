//! Numbers and exponentials in fixed point of 256 bits, by integer arithmetic only: more accurate than three words of
//! f64. No index of an array depends on a number, so that a GPU keeps all of it in registers.

use crate::double_double::{DoubleDouble, power_of_two, two_sum};

/// The limbs of a fraction.
pub const LIMBS: usize = 4;

/// A number in [0, 1), as 64-bit limbs, least significant first; one unit is 2^-(64 LIMBS).
pub type Fraction = [u64; LIMBS];

/// A fraction and an integer part above it, in two's complement: wrapping sums are exact while the result fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fixed {
    /// The fraction.
    pub fraction: Fraction,
    /// The integer part.
    pub whole: u64,
}

impl Fixed {
    /// 0.
    pub const ZERO: Self = Self { fraction: [0; LIMBS], whole: 0 };

    /// Minus one.
    const MINUS_ONE: Self = Self { fraction: [0; LIMBS], whole: u64::MAX };

    /// Whether it is below 0.
    #[inline(always)]
    pub fn is_negative(self) -> bool {
        self.whole >> 63 == 1
    }

    /// Limb i: of the fraction, then the integer part, then 0.
    #[inline(always)]
    pub fn limb(self, i: usize) -> u64 {
        match i {
            i if i < LIMBS => self.fraction[i],
            i if i == LIMBS => self.whole,
            _ => 0,
        }
    }

    /// Its magnitude.
    #[inline(always)]
    pub fn magnitude(self) -> Self {
        if self.is_negative() { negated(self) } else { self }
    }

    /// A sum that rounds to the same number as this one in each format of at most 53 bits: of the 106 bits from the
    /// highest on, the last one is set if any bit below it is.
    #[inline(always)]
    pub fn as_odd_sum(self) -> DoubleDouble {
        let mut limbs = self.magnitude().limbs();
        // The highest limbs come to the top, so that no index depends on the number.
        let mut unit = -64 * LIMBS as i32;
        for step in [4, 2, 1] {
            if (0..step).all(|i| limbs[LIMBS - i] == 0) {
                limbs = core::array::from_fn(|i| if i >= step { limbs[i - step] } else { 0 });
                unit -= 64 * step as i32;
            }
        }
        let up = limbs[LIMBS].leading_zeros() % 64;
        let [top, next] = [0, 1].map(|i| (limbs[LIMBS - i] << up) | (limbs[LIMBS - i - 1] >> 1 >> (63 - up)));
        let rest = (limbs[LIMBS - 2] << up) | limbs[LIMBS - 3] | limbs[LIMBS - 4];
        let is_cut = rest != 0 || next << 42 != 0;
        let [hi, lo] = [top >> 11, (top << 53 >> 11) | next >> 22 | u64::from(is_cut)].map(|n| n as f64);
        let unit = power_of_two(unit + 64 * LIMBS as i32 - up as i32 + 11);
        let sum = two_sum(hi * unit, lo * (unit * power_of_two(-53)));
        if self.is_negative() { -sum } else { sum }
    }

    #[inline(always)]
    fn limbs(self) -> [u64; LIMBS + 1] {
        core::array::from_fn(|i| self.limb(i))
    }
}

/// log 2 in units of 2^-320, rounded down.
const LN_2: [u64; LIMBS + 1] =
    [0xe7b876206debac98, 0x8a0d175b8baafa2b, 0x40f343267298b62d, 0xc9e3b39803f2f6af, 0xb17217f7d1cf79ab];

/// The argument of the Taylor series is divided by 2 to this power, and its sum squared as often.
const HALVINGS: u32 = 8;

/// Taylor terms: (2^-8.5)^23/23! < 2^-270.
const TERMS: usize = 22;

/// 1/n! in units of 2^-256, rounded down; the entries for 0 and 1, which are no fractions, stay empty.
const INVERSE_FACTORIALS: [Fraction; TERMS + 1] = {
    let mut table = [[0; LIMBS]; TERMS + 1];
    table[2] = divided(1, [0; LIMBS], 2);
    let mut n = 3;
    while n < table.len() {
        table[n] = divided(0, table[n - 1], n as u64);
        n += 1;
    }
    table
};

/// 1/2 to 1/8 likewise.
const INVERSES: [Fraction; 7] = {
    let mut table = [[0; LIMBS]; 7];
    let mut n = 2;
    while n <= 8 {
        table[n as usize - 2] = divided(1, [0; LIMBS], n);
        n += 1;
    }
    table
};

/// whole + a fraction over n > whole, rounded down.
const fn divided(whole: u64, dividend: Fraction, n: u64) -> Fraction {
    let mut quotient = [0; LIMBS];
    let mut rest = whole;
    let mut limb = LIMBS;
    while limb > 0 {
        limb -= 1;
        let part = (rest as u128) << 64 | dividend[limb] as u128;
        quotient[limb] = (part / n as u128) as u64;
        rest = (part % n as u128) as u64;
    }
    quotient
}

/// The greatest power of 2 of a term: the term is then below 2^54.
const HIGHEST: i64 = 52;

/// Below this power of 2 a term is less than one unit.
const LOWEST: i64 = -64 * LIMBS as i64 - 2;

/// Σ b e^{x − center} over terms that are added one by one.
///
/// Each term is m · 2^k · e^r with a weight's significand 1 ≤ m < 2. The bound, in units, from `exp_m1`: e^r is off by
/// less than 2^11, and so the term by less than 2^(k + 12), and by 1 where it is cut off or left out. `size` has
/// 2^(k + 2) for each, more than the term: together less than 2^10 · size + count.
#[derive(Debug, Clone, Copy)]
pub struct Total {
    /// The sum.
    pub value: Fixed,
    /// The sum of the terms' sizes.
    pub size: f64,
    /// A bound on the units that the terms were cut by.
    pub count: u64,
    /// False if a term was above about 2^52: then the sum means nothing.
    pub is_in_range: bool,
}

impl Total {
    /// Of no terms.
    pub const EMPTY: Self = Self { value: Fixed::ZERO, size: 0.0, count: 0, is_in_range: true };

    /// Adds b e^{x − center}.
    #[inline(always)]
    pub fn add(&mut self, x: DoubleDouble, b: f64, center: DoubleDouble) {
        if !self.is_in_range {
            return;
        }
        self.count += 1;
        match term(x, b, center) {
            Some((term, power)) => {
                self.value = plus(self.value, if b < 0.0 { negated(term) } else { term });
                self.size += power_of_two(power as i32 + 2);
            }
            None => self.is_in_range = false,
        }
    }

    /// A bound on the error of the value, in units; none if a term, or the sum of the magnitudes, was out of range:
    /// that sum must be below 2^62.
    #[inline(always)]
    pub fn error(&self) -> Option<u128> {
        let is_good = self.is_in_range && self.size <= power_of_two(61);
        // The sizes are rounded, each by 2^-53 of their sum, and their sum is cut here.
        let size = self.size as u64;
        is_good.then(|| (u128::from(size + size / 1000 + 2) << 10) + u128::from(self.count))
    }

    /// Two numbers that center + log(the exact sum) lies between, for a sum that is 1 but for 2^-32.
    ///
    /// log(1 + δ) = δ − δ²/2 + δ³/3 − …, where δ^9/9 is less than a unit. Each power, and each quotient, is cut by a
    /// unit, and so are the two words of the centre: 17 units together. An error of δ grows by less than a 64th.
    #[inline(always)]
    pub fn ends_of_log(&self, center: DoubleDouble) -> Option<[Fixed; 2]> {
        let delta = plus(self.value, Fixed::MINUS_ONE);
        let Fixed { fraction: size, whole } = delta.magnitude();
        if whole != 0 || size[LIMBS - 1] >> 32 != 0 || center.hi.abs() >= power_of_two(60) {
            return None;
        }
        let (mut log, mut power) = (delta, size);
        let mut is_subtracted = true;
        for &inverse in &INVERSES {
            power = times(power, size);
            let term = Fixed { fraction: times(power, inverse), whole: 0 };
            log = plus(log, if is_subtracted { negated(term) } else { term });
            is_subtracted = delta.is_negative() || !is_subtracted;
        }
        let value = plus(plus(fixed(center.hi), fixed(center.lo)), log);
        let error = self.error()?;
        let error = error + (error >> 6) + 20;
        let error = Fixed { fraction: [error as u64, (error >> 64) as u64, 0, 0], whole: 0 };
        Some([plus(value, negated(error)), plus(value, error)])
    }
}

/// |b| e^{x − center}, rounded down, and k; none if it is out of range.
#[inline(always)]
pub fn term(x: DoubleDouble, b: f64, center: DoubleDouble) -> Option<(Fixed, i64)> {
    /// With a weight, e^x matters up to here from the centre: (1074 + 53 + 256) log 2 is less.
    const FAR: f64 = 2000.0;
    let negligible = (Fixed::ZERO, LOWEST);
    let difference = two_sum(x.hi, -center.hi);
    let low = x.lo - center.lo;
    let u = difference.hi + low;
    if u < -FAR && low <= 0.5 * difference.hi.abs() {
        return Some(negligible);
    }
    if !(u.abs() < 2.0 * FAR && low.abs() < FAR) {
        return None;
    }
    // u = q log 2 + r with 0 ≤ r < log 2; the estimate of q may be two off.
    let mut q = (u * core::f64::consts::LOG2_E) as i64;
    let exponent = exponent_of(b) as i64;
    let integer = significand_of(b);
    let weight = i64::from(integer.ilog2());
    if q + exponent + weight < LOWEST {
        return Some(negligible);
    }
    let u = [difference.lo, x.lo, -center.lo].map(fixed).into_iter().fold(fixed(difference.hi), plus);
    let whole = times_ln_2(q.unsigned_abs());
    let mut r = plus(u, if q > 0 { negated(whole) } else { whole });
    let ln_2 = times_ln_2(1);
    while r.is_negative() {
        (r, q) = (plus(r, ln_2), q - 1);
    }
    while !plus(r, negated(ln_2)).is_negative() {
        (r, q) = (plus(r, negated(ln_2)), q + 1);
    }
    let power = q + exponent + weight;
    if power > HIGHEST {
        return None;
    }
    let power_of_r = Fixed { fraction: exp_m1(r.fraction), whole: 1 };
    // The product is below 2^54, and q + exponent ≤ 52 − weight, so that this only shifts down.
    let product = times_small(power_of_r, integer << (52 - weight));
    Some((shifted_down(product, (HIGHEST - power) as u32), power))
}

/// e^r − 1 for 0 ≤ r < log 2.
///
/// The bound, in units: r is off by at most 8 (four conversions, two for the multiple of log 2, two for corrections of
/// that), x = r/2^8 by 8/256 + 1. A Horner step truncates its factor and its product, 2 in all, and what it inherits is
/// shrunk by x < 2^-8.5: e^x − 1 is off by at most 2.1. A squaring doubles the error, times 1 + e, and adds 1: eight of
/// them multiply it by 2^8 · Π(1 + e_i) < 2^9, in all below 2^9 · 3.1 < 2^11. All products are cut downward, so that
/// the result stays below 1.
#[inline(always)]
fn exp_m1(r: Fraction) -> Fraction {
    let x = shifted_down(Fixed { fraction: r, whole: 0 }, HALVINGS).fraction;
    let mut sum = [0; LIMBS];
    for &inverse in INVERSE_FACTORIALS.iter().rev().take(TERMS - 1) {
        sum = times(x, plus_fraction(inverse, sum));
    }
    let mut e = plus_fraction(x, times(x, sum));
    for _ in 0..HALVINGS {
        e = plus_fraction(plus_fraction(e, e), times(e, e));
    }
    e
}

/// x rounded toward 0 to an integer number of units, for |x| < 2^62.
#[inline(always)]
pub fn fixed(x: f64) -> Fixed {
    let significand = significand_of(x);
    let magnitude = match -exponent_of(x) as i32 {
        down @ ..0 => Fixed { whole: significand << -down, ..Fixed::ZERO },
        down @ 0..320 => shifted_down(Fixed { whole: significand, ..Fixed::ZERO }, down as u32),
        _ => Fixed::ZERO,
    };
    if x < 0.0 { negated(magnitude) } else { magnitude }
}

/// |x| / 2^[`exponent_of`] x, an integer below 2^53, for finite x.
#[inline(always)]
pub fn significand_of(x: f64) -> u64 {
    let fraction = x.to_bits() & ((1 << 52) - 1);
    if x.to_bits() >> 52 & 0x7ff == 0 { fraction } else { fraction | 1 << 52 }
}

/// The exponent of the last bit of x.
#[inline(always)]
pub fn exponent_of(x: f64) -> isize {
    let biased = (x.to_bits() >> 52 & 0x7ff) as isize;
    biased.max(1) - 1075
}

/// The sum, where it fits.
#[inline(always)]
pub fn plus(a: Fixed, b: Fixed) -> Fixed {
    let (fraction, carry) = sum_and_carry(a.fraction, b.fraction);
    Fixed { fraction, whole: a.whole.wrapping_add(b.whole).wrapping_add(carry.into()) }
}

/// For sums below 1.
#[inline(always)]
fn plus_fraction(a: Fraction, b: Fraction) -> Fraction {
    sum_and_carry(a, b).0
}

#[inline(always)]
fn sum_and_carry(a: Fraction, b: Fraction) -> (Fraction, bool) {
    let mut carry = false;
    let sum = core::array::from_fn(|i| {
        let (sum, first) = a[i].overflowing_add(b[i]);
        let (sum, second) = sum.overflowing_add(carry.into());
        carry = first | second;
        sum
    });
    (sum, carry)
}

/// −a.
#[inline(always)]
pub fn negated(a: Fixed) -> Fixed {
    let mut unit = Fixed::ZERO;
    unit.fraction[0] = 1;
    plus(Fixed { fraction: a.fraction.map(|limb| !limb), whole: !a.whole }, unit)
}

/// Where the product fits.
#[inline(always)]
fn times_small(a: Fixed, factor: u64) -> Fixed {
    let mut carry = 0;
    let mut times = |limb: u64| {
        let product = u128::from(limb) * u128::from(factor) + carry;
        carry = product >> 64;
        product as u64
    };
    Fixed { fraction: a.fraction.map(&mut times), whole: times(a.whole) }
}

/// factor · log 2, off by less than two units.
#[inline(always)]
fn times_ln_2(factor: u64) -> Fixed {
    let times = |limb: u64, carry: u128| u128::from(limb) * u128::from(factor) + carry;
    // Of the limb below the last unit only the carry is kept.
    let mut carry = times(LN_2[0], 0) >> 64;
    let fraction = core::array::from_fn(|i| {
        let product = times(LN_2[1 + i], carry);
        carry = product >> 64;
        product as u64
    });
    Fixed { fraction, whole: carry as u64 }
}

/// The product, rounded down.
#[inline(always)]
fn times(a: Fraction, b: Fraction) -> Fraction {
    let [mut low, mut high] = [[0_u64; LIMBS]; 2];
    for (i, &factor) in a.iter().enumerate() {
        let mut carry = 0;
        for (j, &other) in b.iter().enumerate() {
            let place = if i + j < LIMBS { &mut low[i + j] } else { &mut high[i + j - LIMBS] };
            let sum = u128::from(factor) * u128::from(other) + u128::from(*place) + carry;
            *place = sum as u64;
            carry = sum >> 64;
        }
        high[i] = carry as u64;
    }
    high
}

/// The product of two numbers that are not negative, rounded down, where it fits.
///
/// (a + A)(b + B) with fractions a, b and integer parts A, B: only ab is cut.
#[inline(always)]
pub fn product(a: Fixed, b: Fixed) -> Fixed {
    let of_fractions = Fixed { fraction: times(a.fraction, b.fraction), whole: 0 };
    let fraction = |x: Fixed| Fixed { whole: 0, ..x };
    plus(plus(of_fractions, times_small(fraction(a), b.whole)), times_small(b, a.whole))
}

/// A number that is not negative, within 2^-50 of itself.
#[inline(always)]
pub fn as_f64(a: Fixed) -> f64 {
    (0..=LIMBS).map(|i| a.limb(i) as f64 * power_of_two(64 * (i as i32 - LIMBS as i32))).sum()
}

/// a / 2^count, rounded down, for a ≥ 0 and a count below 512.
#[inline(always)]
fn shifted_down(a: Fixed, count: u32) -> Fixed {
    let mut limbs = a.limbs();
    for step in [4, 2, 1] {
        if (count / 64) & step as u32 != 0 {
            limbs = core::array::from_fn(|i| if i + step <= LIMBS { limbs[i + step] } else { 0 });
        }
    }
    let bits = count % 64;
    let shifted =
        |i: usize| (limbs[i] >> bits) | if i < LIMBS { limbs[i + 1] << 1 << (63 - bits) } else { 0 };
    Fixed { fraction: core::array::from_fn(shifted), whole: shifted(LIMBS) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_reference::{Big, big, big_dd, uniform};
    use std::println;

    fn unit() -> Big {
        big(power_of_two(-64 * LIMBS as i32))
    }

    /// A fraction as a number.
    fn value(fraction: &[u64]) -> Big {
        fraction.iter().rev().enumerate().fold(big(0.0).with_precision(700).value(), |sum, (i, limb)| {
            let [high, low] = [limb >> 32, limb & 0xffff_ffff].map(|half| big(half as f64));
            let unit = power_of_two(-64 * (i as i32 + 1));
            sum + high * big(unit * power_of_two(32)) + low * big(unit)
        })
    }

    fn value_of(x: Fixed) -> Big {
        let size = x.magnitude();
        let magnitude = value(&size.fraction) + value(&[size.whole]) * big(power_of_two(64));
        if x.is_negative() { -magnitude } else { magnitude }
    }

    /// A random fixed number: limbs of any bits, of which the upper ones may be 0.
    fn some(uniform: &mut impl FnMut() -> f64, i: usize) -> Fixed {
        let mut limb = || (uniform() * 2f64.powi(53)) as u64 ^ ((uniform() * 2f64.powi(53)) as u64) << 11;
        let mut limbs: [u64; LIMBS + 1] = core::array::from_fn(|_| limb());
        let down = limb() % 330;
        limbs[LIMBS] >>= 2;
        let [fraction @ .., whole] = limbs;
        let mut x = shifted_down(Fixed { fraction, whole }, down as u32);
        if i.is_multiple_of(3) {
            // Few bits, such as those of a tie.
            x = plus(fixed(as_f64(x)), Fixed { fraction: [(i / 3 % 2) as u64, 0, 0, 0], whole: 0 });
        }
        if i.is_multiple_of(2) { x } else { negated(x) }
    }

    /// A number as an odd sum is rounded as the number itself.
    #[test]
    fn odd_sums_round_as_their_numbers() {
        let mut uniform = uniform(54);
        for i in 0..6000 {
            let x = some(&mut uniform, i);
            let (sum, exact) = (x.as_odd_sum(), value_of(x));
            assert_eq!(sum.hi, exact.to_f64().value(), "{x:?}");
            if x == Fixed::ZERO {
                continue;
            }
            let off = big_dd(sum) - exact.clone();
            let most = big(sum.hi.abs() * power_of_two(-105));
            assert!(off.clone() <= most && -off <= most, "{x:?}");
            // On the same side of each number of 54 bits, or equal to it.
            let rest = big_dd(sum) - big(sum.hi);
            let half = power_of_two(((sum.hi.to_bits() >> 52 & 0x7ff) as i32 - 1023) - 53);
            for tie in [0.0, half, -half] {
                assert_eq!(
                    rest.clone().partial_cmp(&big(tie)),
                    (exact.clone() - big(sum.hi)).partial_cmp(&big(tie)),
                    "{x:?}"
                );
            }
        }
    }

    #[test]
    fn numbers_are_cut_toward_0() {
        let mut uniform = uniform(55);
        for i in 0..4000 {
            let x = (uniform() - 0.5) * power_of_two(i % 380 - 318);
            let off = big(x) - value_of(fixed(x));
            let off = if x < 0.0 { -off } else { off };
            assert!(off >= big(0.0) && off < unit(), "{x:e}");
        }
    }

    /// center + log of sums near 1: the ends enclose it, and are as near as the bound says.
    #[test]
    fn ends_enclose_the_logarithm() {
        let mut uniform = uniform(56);
        for i in 0..2000 {
            let center = [0.0, 1e-17, 3.5, -1e5][i % 4] * (1.0 + uniform());
            let center = DoubleDouble { hi: center, lo: center * power_of_two(-54) * (uniform() - 0.5) };
            let mut total = Total::EMPTY;
            let off = (uniform() - 0.5) * power_of_two(-31 - (i as i32 / 4) % 225);
            total.add(DoubleDouble { hi: center.hi, lo: center.lo }, 1.0, center);
            total.value = plus(total.value, fixed(off));
            let exact = value_of(total.value).with_precision(900).value().ln() + big_dd(center);
            let bound = total.error().expect("no term is large");
            let [low, high] = total.ends_of_log(center).expect("it is near 1");
            assert!(value_of(low) <= exact && exact <= value_of(high), "{center:?} + log(1 + {off:e})");
            let width = ((value_of(high) - value_of(low)) / unit()).to_f64().value();
            assert!(width <= 2.02 * bound as f64 + 300.0, "{width} units, {bound}");
        }
        let mut total = Total::EMPTY;
        total.add(DoubleDouble::from(power_of_two(-31)), 1.0, DoubleDouble::ZERO);
        assert!(total.ends_of_log(DoubleDouble::ZERO).is_none());
    }

    /// The error of e^r − 1 in units, against 700 bits.
    #[test]
    fn exponentials_keep_their_bound() {
        let mut uniform = uniform(51);
        let mut limb = || (uniform() * 2f64.powi(53)) as u64 ^ ((uniform() * 2f64.powi(53)) as u64) << 11;
        let mut worst = 0.0_f64;
        let most = LN_2[LIMBS];
        for i in 0..3000 {
            let top = limb() % most;
            let mut r: Fraction = std::array::from_fn(|_| limb());
            r[LIMBS - 1] = [top, most - 1, top >> 40, 0][i % 4];
            let exact = value(&r).exp() - big(1.0);
            let off = ((value(&exp_m1(r)) - exact) / unit()).to_f64().value();
            worst = worst.max(off.abs());
        }
        println!("e^r − 1: worst error {worst:.1} units, bound {}", 1 << 11);
        // 6 units of r are part of the bound, but not of this error.
        assert!(worst < 2048.0 && worst > 100.0, "{worst}");
    }

    /// Terms from the least to the greatest power of 2, with weights: the error in units times 2^k, k the term's
    /// power.
    #[test]
    fn terms_keep_their_bound() {
        let mut uniform = uniform(52);
        let mut worst = 0.0_f64;
        for i in 0..3000 {
            let center = [0.0, 1e3, -1e-3, 7e5][i % 4];
            let x = center + [-150.0, 30.0, 1.0, -20.0][i / 4 % 4] * uniform();
            let center = DoubleDouble { hi: center, lo: center * power_of_two(-55) * uniform() };
            let b = (1.0 + uniform()) * [1.0, power_of_two(-40), power_of_two(6)][i % 3];
            let (found, power) = term(DoubleDouble::from(x), b, center).expect("it is in range");
            let exact = (big(x) - big(center.hi) - big(center.lo)).with_precision(700).value().exp() * big(b);
            let off = ((value_of(found) - exact) / unit()).to_f64().value().abs();
            // 2^11 of e^r, times a significand below 2, and one unit where it is cut off.
            let bound = power_of_two(power as i32 + 12) + 1.0;
            assert!(off <= bound, "{x} {b} {center:?}: off by {off} units, bound {bound}");
            worst = worst.max(off / bound);
        }
        println!("terms: worst error {worst:.3} of the bound");
        assert!(worst > 1.0 / 16.0, "{worst}");
    }
}
