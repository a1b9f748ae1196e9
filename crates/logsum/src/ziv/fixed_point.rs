//! Exponentials in fixed point of 256 bits, by integer arithmetic only.
//!
//! This phase is more accurate than words of f64: rows that were built to be near a half-way point of double-doubles or
//! triple-doubles are settled here, and not in arbitrary precision.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two, two_sum};
use crate::formats::Format;
use crate::kernels::term_source::{TermBlock, TermSource};
use crate::ziv::effort::{Rung, count};
use crate::ziv::integer_sums::{Sum, exponent_of, significand_of};
use dashu_int::{IBig, UBig};

/// The limbs of a fraction.
const LIMBS: usize = 4;

/// A number in [0, 1), as 64-bit limbs, least significant first; one unit is 2^-(64 LIMBS).
type Fraction = [u64; LIMBS];

/// A fraction and an integer part above it, in two's complement: wrapping sums are exact while the result fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fixed {
    fraction: Fraction,
    whole: u64,
}

impl Fixed {
    const ZERO: Self = Self { fraction: [0; LIMBS], whole: 0 };

    fn is_negative(self) -> bool {
        self.whole >> 63 == 1
    }

    fn limb(self, i: usize) -> u64 {
        match i {
            i if i < LIMBS => self.fraction[i],
            i if i == LIMBS => self.whole,
            _ => 0,
        }
    }
}

/// log 2 in units of 2^-320, rounded down.
const LN_2: [u64; LIMBS + 1] =
    [0xe7b876206debac98, 0x8a0d175b8baafa2b, 0x40f343267298b62d, 0xc9e3b39803f2f6af, 0xb17217f7d1cf79ab];

/// The argument of the Taylor series is divided by 2 to this power, and its sum squared as often.
const HALVINGS: usize = 8;

/// Taylor terms: (2^-8.5)^23/23! < 2^-270.
const TERMS: usize = 22;

/// 1/n! in units of 2^-256, rounded down; the entries for 0 and 1, which are no fractions, stay empty.
const INVERSE_FACTORIALS: [Fraction; TERMS + 1] = {
    let mut table = [[0; LIMBS]; TERMS + 1];
    table[2][LIMBS - 1] = 1 << 63;
    let mut n = 3;
    while n < table.len() {
        let mut rest = 0;
        let mut limb = LIMBS;
        while limb > 0 {
            limb -= 1;
            let dividend = (rest as u128) << 64 | table[n - 1][limb] as u128;
            table[n][limb] = (dividend / n as u128) as u64;
            rest = (dividend % n as u128) as u64;
        }
        n += 1;
    }
    table
};

/// The greatest power of 2 of a term: the term is then below 2^54.
const HIGHEST: i64 = 52;

/// Below this power of 2 a term is less than one unit.
const LOWEST: i64 = -64 * LIMBS as i64 - 2;

/// Σ b e^{x − center}, if no term is above about 2^52 and the sum of their magnitudes below 2^62.
///
/// Each term is m · 2^k · e^r with a weight's significand 1 ≤ m < 2. The bound, in units, from
/// [`exp_m1`]: e^r is off by less than 2^11, and so the term by less than 2^(k + 12), and by 1 where it is cut
/// off or left out. `size` has 2^(k + 2) for each, more than the term: together less than 2^10 · size + n.
pub(super) fn sum<T: Format>(source: &dyn TermSource<T>, center: DoubleDouble) -> Option<Sum> {
    let mut total = Total::EMPTY;
    source.blocks(&mut |block| total.add_block(&block, center));
    total.sum()
}

struct Total {
    sum: Fixed,
    size: f64,
    count: u64,
    is_in_range: bool,
}

impl Total {
    const EMPTY: Self = Self { sum: Fixed::ZERO, size: 0.0, count: 0, is_in_range: true };

    fn add_block<T: Format>(&mut self, block: &TermBlock<'_, T>, center: DoubleDouble) {
        count(Rung::FixedPoint, block.x.len());
        block.terms().for_each(|(x, b)| self.add(x, b, center));
    }

    fn add(&mut self, x: DoubleDouble, b: f64, center: DoubleDouble) {
        if !self.is_in_range {
            return;
        }
        self.count += 1;
        match term(x, b, center) {
            Some((term, power)) => {
                self.sum = plus(self.sum, if b < 0.0 { negated(term) } else { term });
                self.size += power_of_two(power as i32 + 2);
            }
            None => self.is_in_range = false,
        }
    }

    fn sum(&self) -> Option<Sum> {
        // The sizes are rounded, each by 2^-53 of their sum.
        if !self.is_in_range || self.size > power_of_two(61) {
            return None;
        }
        let is_negative = self.sum.is_negative();
        let magnitude = if is_negative { negated(self.sum) } else { self.sum };
        let bytes: Vec<u8> = (0..=LIMBS).flat_map(|i| magnitude.limb(i).to_le_bytes()).collect();
        let magnitude = IBig::from(UBig::from_le_bytes(&bytes));
        let error = (self.size * (1024.0 * 1.001)) as u128 + u128::from(self.count) + 1;
        Some(Sum {
            value: if is_negative { -magnitude } else { magnitude },
            bits: 64 * LIMBS,
            error: IBig::from(error),
        })
    }
}

/// Σ e^{x − center} over a growing number of x, about a centre that moves up with the sum.
pub(super) struct Running {
    total: Total,
    center: DoubleDouble,
}

impl Running {
    pub(super) fn about(center: DoubleDouble) -> Self {
        Self { total: Total::EMPTY, center }
    }

    pub(super) fn center(&self) -> DoubleDouble {
        self.center
    }

    pub(super) fn add<T: Format>(&mut self, source: &dyn TermSource<T>) {
        source.blocks(&mut |block| self.total.add_block(&block, self.center));
    }

    /// Multiplies the sum S by f = e^{old − new} ≤ 1, for a centre that is not below the old one.
    ///
    /// f has an error below 2^(k + 12) units, and 1 where it is cut off, like a [`term`]; the product is cut once. So
    /// the error grows by S · 2^(k + 12), S, and 1.
    pub(super) fn move_up(&mut self, center: DoubleDouble) {
        let (total, old) = (&mut self.total, std::mem::replace(&mut self.center, center));
        match term(old, 1.0, center) {
            Some((factor, power)) if power <= 0 => {
                let above = total.sum.whole.saturating_add(1);
                let share = as_f64(factor) * (1.0 + power_of_two(-40)) + power_of_two(-120);
                total.sum = product(total.sum, factor);
                total.size =
                    (total.size * share).min(total.size) + above as f64 * power_of_two(power as i32 + 2);
                total.count = total.count.saturating_add(above).saturating_add(1);
            }
            _ => total.is_in_range = false,
        }
    }

    pub(super) fn sum(&self) -> Option<Sum> {
        self.total.sum()
    }
}

/// |b| e^{x − center}, rounded down, and k; none if it is out of range.
fn term(x: DoubleDouble, b: f64, center: DoubleDouble) -> Option<(Fixed, i64)> {
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
    // u = q log 2 + r with 0 ≤ r < log 2; the estimate of q may be one off.
    let mut q = (u * std::f64::consts::LOG2_E).floor() as i64;
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
    Some((shifted_down(product, (HIGHEST - power) as usize), power))
}

/// e^r − 1 for 0 ≤ r < log 2.
///
/// The bound, in units: r is off by at most 6 (four conversions, and two for the multiple of log 2), x = r/2^8 by
/// 6/256 + 1. A Horner step truncates its factor and its product, 2 in all, and what it inherits is shrunk by x <
/// 2^-8.5: e^x − 1 is off by at most 2.1. A squaring doubles the error, times 1 + e, and adds 1: eight of them
/// multiply it by 2^8 · Π(1 + e_i) < 2^9, in all below 2^9 · 3.1 < 2^11. All products are cut downward, so that
/// the result stays below 1.
fn exp_m1(r: Fraction) -> Fraction {
    let x = shifted_down(Fixed { fraction: r, whole: 0 }, HALVINGS).fraction;
    let mut sum = [0; LIMBS];
    for n in (2..=TERMS).rev() {
        sum = times(x, plus_fraction(INVERSE_FACTORIALS[n], sum));
    }
    let mut e = plus_fraction(x, times(x, sum));
    for _ in 0..HALVINGS {
        e = plus_fraction(plus_fraction(e, e), times(e, e));
    }
    e
}

/// x rounded toward 0 to an integer number of units, for |x| < 2^62.
fn fixed(x: f64) -> Fixed {
    let significand = significand_of(x);
    let shift = exponent_of(x) as i32 + 64 * LIMBS as i32;
    let mut result = Fixed::ZERO;
    let mut put = |limb: usize, part: u64| match result.fraction.get_mut(limb) {
        Some(place) => *place = part,
        None if limb == LIMBS => result.whole = part,
        None => {}
    };
    match shift {
        ..=-64 => {}
        -63..=-1 => put(0, significand >> -shift),
        0.. => {
            let (limb, bit) = (shift as usize / 64, shift as usize % 64);
            let wide = u128::from(significand) << bit;
            put(limb, wide as u64);
            put(limb + 1, (wide >> 64) as u64);
        }
    }
    if x < 0.0 { negated(result) } else { result }
}

fn plus(a: Fixed, b: Fixed) -> Fixed {
    let (fraction, carry) = sum_and_carry(a.fraction, b.fraction);
    Fixed { fraction, whole: a.whole.wrapping_add(b.whole).wrapping_add(carry.into()) }
}

/// For sums below 1.
fn plus_fraction(a: Fraction, b: Fraction) -> Fraction {
    sum_and_carry(a, b).0
}

fn sum_and_carry(a: Fraction, b: Fraction) -> (Fraction, bool) {
    let mut carry = false;
    let sum = std::array::from_fn(|i| {
        let (sum, first) = a[i].overflowing_add(b[i]);
        let (sum, second) = sum.overflowing_add(carry.into());
        carry = first | second;
        sum
    });
    (sum, carry)
}

fn negated(a: Fixed) -> Fixed {
    let mut unit = Fixed::ZERO;
    unit.fraction[0] = 1;
    plus(Fixed { fraction: a.fraction.map(|limb| !limb), whole: !a.whole }, unit)
}

/// Where the product fits.
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
fn times_ln_2(factor: u64) -> Fixed {
    let times = |limb: u64, carry: u128| u128::from(limb) * u128::from(factor) + carry;
    // Of the limb below the last unit only the carry is kept.
    let mut carry = times(LN_2[0], 0) >> 64;
    let fraction = std::array::from_fn(|i| {
        let product = times(LN_2[1 + i], carry);
        carry = product >> 64;
        product as u64
    });
    Fixed { fraction, whole: carry as u64 }
}

/// The product, rounded down.
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
fn product(a: Fixed, b: Fixed) -> Fixed {
    let of_fractions = Fixed { fraction: times(a.fraction, b.fraction), whole: 0 };
    let fraction = |x: Fixed| Fixed { whole: 0, ..x };
    plus(plus(of_fractions, times_small(fraction(a), b.whole)), times_small(b, a.whole))
}

/// A number that is not negative, within 2^-50 of itself.
fn as_f64(a: Fixed) -> f64 {
    (0..=LIMBS).map(|i| a.limb(i) as f64 * power_of_two(64 * (i as i32 - LIMBS as i32))).sum()
}

/// a / 2^count, rounded down, for a ≥ 0.
fn shifted_down(a: Fixed, count: usize) -> Fixed {
    let (limbs, bits) = (count / 64, count % 64);
    let shifted =
        |i: usize| ((u128::from(a.limb(i + limbs)) | u128::from(a.limb(i + limbs + 1)) << 64) >> bits) as u64;
    Fixed { fraction: std::array::from_fn(shifted), whole: shifted(LIMBS) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{Big, big, uniform};

    fn unit() -> Big {
        Big::from_parts(IBig::ONE, -64 * LIMBS as isize)
    }

    /// A fraction as a number.
    fn value(fraction: &[u64]) -> Big {
        let bytes: Vec<u8> = fraction.iter().flat_map(|limb| limb.to_le_bytes()).collect();
        let integer = IBig::from(UBig::from_le_bytes(&bytes));
        Big::from_parts(integer, -64 * fraction.len() as isize).with_precision(700).value()
    }

    fn value_of(x: Fixed) -> Big {
        value(&x.fraction) + big(x.whole as f64)
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

    /// Sums that grow and whose centre moves up, slowly and in leaps: within their bound, which does not run away.
    #[test]
    fn running_sums_keep_their_bound() {
        let mut uniform = uniform(53);
        for case in 0..40 {
            let (step, spread) = ([0.0, 1e-3, 0.7, 30.0][case % 4], [1.0, 1e-9, 20.0][case % 3]);
            let mut running = Running::about(DoubleDouble::from(0.0));
            let (mut all, mut moves) = (Vec::new(), 0.0);
            for i in 0..60 {
                let center = DoubleDouble { hi: step * f64::from(i), lo: power_of_two(-60) * uniform() };
                if i % 3 == 0 {
                    running.move_up(center);
                    moves += 1.0;
                }
                let x = running.center().hi - spread * uniform();
                all.push(x);
                running.add(&(&&all[all.len() - 1..] as &dyn crate::kernels::row_access::Series<f64>));
            }
            let (sum, center) = (running.sum().expect("it is in range"), running.center());
            let exact = all.iter().fold(big(0.0).with_precision(700).value(), |sum, &x| {
                let d = (big(x) - big(center.hi) - big(center.lo)).with_precision(700).value();
                sum + d.exp()
            });
            let found = Big::from_parts(sum.value, 0).with_precision(700).value() * unit();
            let off = ((found - exact.clone()) / unit()).to_f64().value().abs();
            let bound = sum.error.to_f64().value();
            assert!(off <= bound, "case {case}: off by {off} units, bound {bound}");
            let size = exact.to_f64().value();
            assert!(
                bound <= (1 << 14) as f64 * (size + 1.0) * (moves + 1.0) + 2000.0,
                "case {case}: {bound} is loose"
            );
        }
    }
}
