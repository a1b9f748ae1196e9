//! The wider rung: exponentials in 256-bit fixed point, in whole numbers only.
//!
//! Against a double-double rung it costs about as much, knows no rounding modes, and reaches more than twice as far:
//! rows of normalised log-probabilities, whose log-sum-exp is a rounding error near 0, are settled here and not in
//! arbitrary precision.

use crate::arithmetic::double_double::{DoubleDouble, two_sum};
use crate::formats::Format;
use crate::kernels::series::Series;
use crate::ziv::Sum;
use dashu_int::{IBig, UBig};

/// 64-bit limbs of a fraction, least significant first; one unit is 2^-256.
const LIMBS: usize = 4;
const BITS: usize = 64 * LIMBS;

/// A number in [0, 1).
type Fraction = [u64; LIMBS];

/// Fraction and a whole part above it, in two's complement: wrapping sums are exact while the result fits.
type Fixed = [u64; LIMBS + 1];

/// log 2, rounded down.
const LN_2: Fraction = [0x8a0d175b8baafa2b, 0x40f343267298b62d, 0xc9e3b39803f2f6af, 0xb17217f7d1cf79ab];

/// The argument of the Taylor series is divided by 2 to this power, and its sum squared as often.
const HALVINGS: usize = 8;

/// Taylor terms: (2^-8.5)^23/23! < 2^-270.
const TERMS: usize = 22;

/// 1/n! rounded down; the entries for 0 and 1, which are no fractions, stay empty.
const INVERSE_FACTORIALS: [Fraction; TERMS + 1] = {
    let mut table = [[0; LIMBS]; TERMS + 1];
    table[2][LIMBS - 1] = 1 << 63;
    let mut n = 3;
    while n <= TERMS {
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

/// Σ e^{z − center} − 1, for a centre within 2^-20 of the log-sum-exp.
///
/// The bound, in units of 2^-256, from [`exp_m1`]: each term is 2^q · (e^r ± 2^12), 2^q ≤ e^{z − center} and these
/// add up to less than 1.01; each term is cut off once (1), or is left out below 1. Together less than 2^13 + n.
pub(super) fn sum<T: Format>(lane: &dyn Series<T>, center: DoubleDouble) -> Sum {
    let mut total = Total::EMPTY;
    lane.pieces(&mut |piece| piece.iter().for_each(|z| total.add(DoubleDouble::from(z.widen()), center)));
    total.sum()
}

/// The same of numbers in two words, each below 2^51.
pub(super) fn sum_of(numbers: impl Iterator<Item = DoubleDouble>, center: DoubleDouble) -> Sum {
    let mut total = Total::EMPTY;
    numbers.for_each(|z| total.add(z, center));
    total.sum()
}

struct Total {
    sum: Fixed,
    count: u64,
}

impl Total {
    const EMPTY: Self = Self { sum: [0; LIMBS + 1], count: 0 };

    fn add(&mut self, z: DoubleDouble, center: DoubleDouble) {
        self.sum = plus(self.sum, exp(z, center));
        self.count += 1;
    }

    fn sum(&self) -> Sum {
        let bytes: Vec<u8> = self.sum.iter().flat_map(|limb| limb.to_le_bytes()).collect();
        let delta = IBig::from(UBig::from_le_bytes(&bytes)) - (IBig::ONE << BITS);
        Sum { delta, bits: BITS, error: IBig::from(self.count) + IBig::from(1 << 13) }
    }
}

/// e^{z − center}, rounded down, where the centre is at least z − 2^-20.
fn exp(z: DoubleDouble, center: DoubleDouble) -> Fixed {
    /// e^-178 < 2^-256.7: what the low words add is below 2^-2.
    const NEGLIGIBLE: f64 = -178.0;
    let difference = two_sum(z.hi, -center.hi);
    if !matches!(difference.hi.partial_cmp(&NEGLIGIBLE), Some(std::cmp::Ordering::Greater)) {
        return [0; LIMBS + 1];
    }
    let u = [difference.lo, z.lo, -center.lo].map(fixed).into_iter().fold(fixed(difference.hi), plus);
    // u = q log 2 + r with 0 ≤ r < log 2; the estimate of q may be one off.
    let mut q = ((difference.hi + (z.lo - center.lo)) * std::f64::consts::LOG2_E).floor() as i64;
    let mut r = plus(u, times_small(LN_2, q.unsigned_abs()));
    if q > 0 {
        r = plus(u, negated(times_small(LN_2, q.unsigned_abs())));
    }
    let ln_2 = times_small(LN_2, 1);
    while r[LIMBS] >> 63 == 1 {
        (r, q) = (plus(r, ln_2), q - 1);
    }
    while plus(r, negated(ln_2))[LIMBS] >> 63 == 0 {
        (r, q) = (plus(r, negated(ln_2)), q + 1);
    }
    let [a, b, c, d, _] = r;
    let [a, b, c, d] = exp_m1([a, b, c, d]);
    shifted_down([a, b, c, d, 1], q.unsigned_abs() as usize)
}

/// e^r − 1 for 0 ≤ r < log 2.
///
/// The bound, in units: r is off by at most 261 (four conversions, |q| ≤ 257 times what log 2 lacks), x = r/2^8 by
/// 260/256 + 1. A Horner step truncates its factor and its product, 2 in all, and what it inherits is shrunk by
/// x < 2^-8.5; the sum is off by at most 3.2. A squaring doubles the error, times 1 + e, and adds 1: eight of them
/// multiply it by 2^8 · Π(1 + e_i) < 2^9, in all below 2^9 · 4.3 < 2^12. Every cut is downward, so that the result
/// stays below 1.
fn exp_m1(r: Fraction) -> Fraction {
    let [a, b, c, d] = r;
    let [a, b, c, d, _] = shifted_down([a, b, c, d, 0], HALVINGS);
    let x = [a, b, c, d];
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

/// x rounded toward 0 to a multiple of 2^-256, for |x| < 2^62.
fn fixed(x: f64) -> Fixed {
    let biased = (x.to_bits() >> 52 & 0x7ff) as i32;
    let fraction = x.to_bits() & ((1 << 52) - 1);
    let significand = if biased == 0 { fraction } else { fraction | 1 << 52 };
    let shift = biased.max(1) - 1075 + BITS as i32;
    let mut result = [0; LIMBS + 1];
    match shift {
        ..=-64 => {}
        -63..=-1 => result[0] = significand >> -shift,
        0.. => {
            let (limb, bit) = (shift as usize / 64, shift as usize % 64);
            let wide = u128::from(significand) << bit;
            for (offset, part) in [wide as u64, (wide >> 64) as u64].into_iter().enumerate() {
                if let Some(place) = result.get_mut(limb + offset) {
                    *place = part;
                }
            }
        }
    }
    if x < 0.0 { negated(result) } else { result }
}

fn plus(a: Fixed, b: Fixed) -> Fixed {
    wrapping_sum(a, b)
}

/// For sums below 1.
fn plus_fraction(a: Fraction, b: Fraction) -> Fraction {
    wrapping_sum(a, b)
}

fn wrapping_sum<const N: usize>(a: [u64; N], b: [u64; N]) -> [u64; N] {
    let mut carry = false;
    std::array::from_fn(|i| {
        let (sum, first) = a[i].overflowing_add(b[i]);
        let (sum, second) = sum.overflowing_add(carry.into());
        carry = first | second;
        sum
    })
}

fn negated(a: Fixed) -> Fixed {
    wrapping_sum(a.map(|limb| !limb), [1, 0, 0, 0, 0])
}

fn times_small(a: Fraction, factor: u64) -> Fixed {
    let mut carry = 0;
    std::array::from_fn(|i| {
        let product = u128::from(a.get(i).copied().unwrap_or(0)) * u128::from(factor) + carry;
        carry = product >> 64;
        product as u64
    })
}

/// The product, rounded down.
fn times(a: Fraction, b: Fraction) -> Fraction {
    let mut product = [0_u64; 2 * LIMBS];
    for (i, &factor) in a.iter().enumerate() {
        let mut carry = 0;
        for (j, &other) in b.iter().enumerate() {
            let sum = u128::from(factor) * u128::from(other) + u128::from(product[i + j]) + carry;
            product[i + j] = sum as u64;
            carry = sum >> 64;
        }
        product[i + LIMBS] = carry as u64;
    }
    let [_, _, _, _, a, b, c, d] = product;
    [a, b, c, d]
}

/// a / 2^count, rounded down, for a ≥ 0.
fn shifted_down(a: Fixed, count: usize) -> Fixed {
    let (limbs, bits) = (count / 64, count % 64);
    let limb = |i: usize| u128::from(a.get(i).copied().unwrap_or(0));
    std::array::from_fn(|i| ((limb(i + limbs) | limb(i + limbs + 1) << 64) >> bits) as u64)
}
