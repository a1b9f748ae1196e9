//! e^{z − c}, in f64 and in double-double, with proved bounds.
//!
//! Both split z − c = k·(ln 2)/16 + r with |r| ≤ (ln 2)/32 · (1 + 2^-16) < 2^-5.527, k = 16q + j, and take
//! 2^q · 2^{j/16} · e^r: a table of sixteen entries and a short polynomial. Results are in units of 2^-[`SCALE`], so
//! that nothing that could still matter underflows.

use crate::double_double::{DoubleDouble, fast_two_sum, power_of_two, two_product, two_sum};
use crate::float64::{Float64, called_as_one};

/// Exponentials and sums of them are kept in units of 2^-SCALE. With −1000 ≤ z − c ≤ 128 they lie between 2^-931
/// and 2^697: with 2^64 of them the sum does not overflow, and the low part of the smallest does not underflow.
pub const SCALE: i64 = 512;

/// Takes the scale off again.
pub const UNSCALE: f64 = power_of_two(-512);

/// An eighth of the least f64, in units of 2^-SCALE. A number computed as at most this, with an error below
/// its own size, is less than a quarter of the least f64: it rounds to 0.
pub const NOTHING: f64 = power_of_two(SCALE as i32 - 1077);

/// Differences z − c below this count as this. c is at most 128 from the maximum, so that e^-1000 is below 2^-1257 of
/// e^max: 2^64 such terms stay below 2^-1193, which no rounding can see (the smallest half-ulp is 2^-1075;
/// `Partial::is_its_maximum` has the argument).
pub const LEAST: f64 = -1000.0;

/// |[`exp_f64`] − exact| ≤ this · exact. Derivation there.
pub const EXP_F64_ERROR: f64 = 5.5e-12; // > 2^-37.43

/// |[`exp_dd`] − exact| ≤ this · exact. Derivation there.
pub const EXP_DD_ERROR: f64 = 1.9e-19; // > 2^-62.2

/// |[`exp_f64_fine`] − exact| ≤ this · exact, for z − c ≥ −128, and for c = 0 and z ≥ −176. Derivation there.
pub const EXP_F64_FINE_ERROR: f64 = 2.8e-14; // > 2^-45.05

/// Like [`EXP_F64_FINE_ERROR`], but for every z − c. Terms beyond the limits named there, −128, and −176 where c
/// = 0, are small, but a weight can make them large.
pub const EXP_F64_FINE_FAR_ERROR: f64 = 2e-13; // > 2^-42.2

/// |[`exp_dd_fine`] − exact| ≤ this · exact. Derivation there.
pub const EXP_DD_FINE_ERROR: f64 = 1.2e-21; // > 2^-69.5

/// |[`exp_dd_finer`] − exact| ≤ this · exact. Derivation there.
pub const EXP_DD_FINER_ERROR: f64 = 3.5e-23; // > 2^-74.6

/// |[`exp_f64_full`] − exact| ≤ this · exact. Derivation there.
pub const EXP_F64_FULL_ERROR: f64 = 1.16e-16; // > 2^-52.94

/// 16 / ln 2.
const PER_STEP: f64 = 23.083120654223414;

/// (ln 2)/16 in two parts: the first has 38 bits, so that its products with |k| < 2^15 are exact; together they are
/// off by less than 2^-96.
const STEP: [f64; 2] = [0.04332169878489367, 1.0291218489310676e-13];

/// (ln 2)/16, off by less than 2^-58.
const WHOLE_STEP: f64 = core::f64::consts::LN_2 / 16.0;

/// 2^{j/16}, rounded.
const POWERS: [f64; 16] = [
    1.0,
    1.0442737824274138,
    1.0905077326652577,
    1.1387886347566916,
    1.189207115002721,
    1.241857812073484,
    1.2968395546510096,
    1.3542555469368927,
    core::f64::consts::SQRT_2,
    1.4768261459394993,
    1.5422108254079407,
    1.6104903319492543,
    1.681792830507429,
    1.7562521603732995,
    1.8340080864093424,
    1.9152065613971474,
];

/// log(2^{j/16} / POWERS[j]): what the rounding took away.
pub(crate) const LOGS_OF_ROUNDING: [f64; 16] = [
    0.0,
    8.189317638195514e-17,
    -2.7939114859515733e-17,
    7.826573258636076e-17,
    3.3484623336251524e-17,
    3.750854201303127e-17,
    1.9572585293112036e-17,
    5.68648095791174e-17,
    -6.835808657661923e-17,
    -2.3591094770850053e-17,
    5.1548301170786783e-17,
    1.5341410053603723e-17,
    4.875160526227062e-17,
    1.685487290628973e-17,
    1.790126907604513e-17,
    -5.5450656186394274e-17,
];

/// 2^{j/16 + SCALE}, less j in bits 48 to 51: adding 2^48 · k to the bits, for k = 16q + j, makes it 2^{k/16 + SCALE}.
pub(crate) const SCALED_POWERS: [f64; 16] = {
    let mut table = POWERS;
    let mut j = 0;
    while j < 16 {
        let bits = table[j].to_bits() + ((SCALE as u64) << 52);
        table[j] = f64::from_bits(bits - ((j as u64) << 48));
        j += 1;
    }
    table
};

/// (e^r − 1)/r at four Chebyshev nodes of |r| ≤ (ln 2)/32, interpolated.
const EXP_F64: [f64; 4] = [0.9999999997706825, 0.4999999999617805, 0.16667057664898036, 0.04166731832879313];

/// The same at five.
const EXP_F64_FINE: [f64; 5] =
    [1.0, 0.4999999999044511, 0.16666666665301685, 0.04166748124517786, 0.008333449701475412];

/// (e^r − 1 − r)/r² at six.
const EXP_DD: [f64; 6] = [
    0.5000000000000001,
    0.16666666666666669,
    0.04166666666359546,
    0.008333333332992089,
    0.001388906344098826,
    0.00019841463787840103,
];

/// (e^r − 1 − r − r²/2)/r³ at six.
const EXP_DD_FINE: [f64; 6] = [
    0.16666666666666669,
    0.041666666666666664,
    0.008333333332992089,
    0.0013888888888547645,
    0.00019841463787840103,
    2.4801781248002453e-05,
];

/// 1/6 less its nearest f64, and (e^r − 1 − r − r²/2 − r³/6)/r⁴ at six.
const EXP_DD_FINER: [f64; 7] = [
    9.25185853854297e-18,
    0.041666666666666664,
    0.008333333333333333,
    0.0013888888888547645,
    0.00019841269840959618,
    2.4801781248002453e-05,
    2.755749553880029e-06,
];

/// Adding and subtracting this rounds a small number to the nearest integer, and leaves it in the low bits.
const ROUNDER: f64 = 6755399441055744.0; // 1.5 · 2^52

/// The number k of steps that is nearest to d: the first result has k in its low bits, the second is −k.
#[inline(always)]
pub(crate) fn step<F: Float64>(d: F) -> (F, F) {
    step_less(d, 0.0)
}

/// The same, with k less `steps` in the low bits of the first result.
#[inline(always)]
fn step_less<F: Float64>(d: F, steps: f64) -> (F, F) {
    let rounder = d.splat(ROUNDER - steps);
    let k = d.mul_add(d.splat(PER_STEP), rounder);
    (k, rounder - k)
}

/// c₀ + c₁·x + c₂·x² + …
#[inline(always)]
pub fn polynomial<const N: usize, F: Float64>(x: F, coefficients: [f64; N]) -> F {
    let mut sum = x.splat(coefficients[N - 1]);
    for &c in coefficients[..N - 1].iter().rev() {
        sum = sum.mul_add(x, x.splat(c));
    }
    sum
}

/// The same in two chains, of the even and the odd powers, which do not wait for each other.
#[inline(always)]
pub fn polynomial_by_halves<const N: usize, F: Float64>(x: F, coefficients: [f64; N]) -> F {
    let square = x * x;
    let (mut sums, mut n) = ([x.splat(0.0); 2], N);
    while n > 0 {
        n -= 1;
        sums[n % 2] = sums[n % 2].mul_add(square, x.splat(coefficients[n]));
    }
    sums[1].mul_add(x, sums[0])
}

/// e^{z − c} in units of 2^-[`SCALE`], in f64.
///
/// The bound, relative to e^{z − c}:
///
/// | error | at most |
/// |---|---|
/// | d = z − c, at most 1000 in magnitude, is rounded: 1000 · 2^-53 | 2^-43.03 |
/// | k·(ln 2)/16, where \|k\| < 23 100 and the step is off by 2^-58 | 2^-43.50 |
/// | interpolation of g = (e^r − 1)/r, h = \|r\|, g⁽⁴⁾ ≤ e^h/5: h⁵/8 · g⁽⁴⁾/4! · e^h | 2^-37.48 |
/// | the rest, some roundings | 2^-51 |
///
/// together below 2^-37.43 < [`EXP_F64_ERROR`]. e^0 is exactly 1.
#[inline(always)]
pub fn exp_f64<F: Float64>(z: F, c: F) -> F {
    exp_f64_at_0(z - c)
}

/// e^z likewise.
#[inline(always)]
pub fn exp_f64_at_0<F: Float64>(z: F) -> F {
    exp_f64_of_clamped(z.splat(LEAST).max(z))
}

called_as_one! {
    /// The same for z ≥ −1000.
    pub fn exp_f64_of_clamped<F: Float64>(z: F) -> F {
        exp_f64_by(z, EXP_F64)
    }
}

/// e^{z − c} likewise, with one more coefficient, for operations with a result for each number, such as softmax.
///
/// | error | at most |
/// |---|---|
/// | d = z − c, from −128 to 128, is rounded; not where c = 0 | 2^-47 |
/// | k·(ln 2)/16, \|k\| ≤ 2955 and the step off by 2^-58 | 2^-46.47 |
/// | where c = 0, \|k\| ≤ 4063 | 2^-46.01 |
/// | interpolation, as [`exp_f64`]'s, with one node more | 2^-46.6 |
/// | the rest, some roundings | 2^-51 |
///
/// together below 2^-45.05 < [`EXP_F64_FINE_ERROR`] for −128 ≤ z − c ≤ 128, and for c = 0 and |z| ≤ 176. For
/// all d ≥ −1000 it is below 2^-42.2: half an ulp of d is at most 2^-44, and the second line is that of [`exp_f64`].
#[inline(always)]
pub fn exp_f64_fine<F: Float64>(z: F, c: F) -> F {
    exp_f64_fine_at_0(z - c)
}

/// e^z likewise.
#[inline(always)]
pub fn exp_f64_fine_at_0<F: Float64>(z: F) -> F {
    exp_f64_fine_of_clamped(z.splat(LEAST).max(z))
}

called_as_one! {
    /// The same for z ≥ −1000.
    pub fn exp_f64_fine_of_clamped<F: Float64>(z: F) -> F {
        exp_f64_by(z, EXP_F64_FINE)
    }
}

called_as_one! {
    /// e^d to nearly the full precision of f64, for a normalised d of two f64 that is at least −1000.
    ///
    /// With s = r₀ + r₁ as in [`exp_dd`], it is 1 + s + s²·P(s) times the table's entry. The bound, relative to e^d, in
    /// units of 2^-53:
    ///
    /// | error | at most |
    /// |---|---|
    /// | the result is rounded once | 1.000 |
    /// | s and s + s²·P, below 2^-5.5, are rounded, each by 2^-59 | 0.032 |
    /// | interpolation, and roundings of s² and P | 0.001 |
    /// | the two lines above are relative to 1, but e^r may be as small as 2^-0.0313 | × 1.022 |
    ///
    /// together below 1.034 · 2^-53 < [`EXP_F64_FULL_ERROR`]. e^0 is exactly 1.
    pub fn exp_f64_full<F: Float64>(d: DoubleDouble<F>) -> F {
        Reduced::of(d).exp_full()
    }
}

called_as_one! {
    /// e^z likewise.
    pub fn exp_f64_full_at_0<F: Float64>(z: F) -> F {
        Reduced::of_f64(z.splat(LEAST).max(z)).exp_full()
    }
}

/// e^d by the interpolation of (e^r − 1)/r that has these coefficients, for d ≥ −1000.
#[inline(always)]
fn exp_f64_by<const N: usize, F: Float64>(d: F, coefficients: [f64; N]) -> F {
    let (k, minus_k) = step(d);
    let r = minus_k.mul_add(d.splat(WHOLE_STEP), d);
    let power = k.scaled_entry(&SCALED_POWERS);
    power.mul_add(r * polynomial(r, coefficients), power)
}

/// e^{z − c} in units of 2^-[`SCALE`], in double-double.
///
/// z − c = d + d' exactly (2Sum). r₀ = d − k·STEP₀ is exact, as STEP₀ has 38 bits; r₁ is the sum of d',
/// −k·STEP₁ and what the table's entry lost, |r₁| < 2^-28, with an error below 2^-81. For s = r₀ + r₁,
/// rounded, e^{r₀ + r₁} − 1 = r₀ + q, q = r₁ + s²·P(s), |q| < 2^-12.0. The bound, relative to e^{z − c}
/// in units of 2^-65:
///
/// | error | at most |
/// |---|---|
/// | interpolation: g(r) = (e^r − 1 − r)/r² has g⁽⁶⁾ ≤ e^\|r\|/56; r² · 2(h/2)⁶/6! · g⁽⁶⁾, h = \|r\| | 1.54 |
/// | s is rounded by 2^-59: times s | 1.39 |
/// | s² is rounded: 2^-53 · s²·P | 0.98 |
/// | P is rounded: 2^-54 · s², and its inner steps 2^-61 · s² | 0.98 |
/// | q is rounded once, below 2^-12 | 0.50 |
/// | the lines above are relative to 1, but e^r may be as small as 2^-0.0313 | × 1.022 |
/// | the low part of the result, below 2^-11 where the table's entry is above 1.03, is rounded once | 1.00 |
/// | roundings of terms below 2^-52 | 0.01 |
///
/// together below 6.6 · 2^-65 < 2^-62.2 < [`EXP_DD_ERROR`]. e^0 is exactly 1.
#[inline(always)]
pub fn exp_dd<F: Float64>(z: F, c: F) -> DoubleDouble<F> {
    exp_dd_of_dd(difference(z, c))
}

called_as_one! {
    /// e^z likewise: [`exp_dd`] where c = 0, in fewer steps.
    pub fn exp_dd_at_0<F: Float64>(z: F) -> DoubleDouble<F> {
        Reduced::of_f64(z.splat(LEAST).max(z)).exp()
    }
}

called_as_one! {
    /// e^d likewise, for a normalised d of two f64 that is at least −1000.
    pub fn exp_dd_of_dd<F: Float64>(d: DoubleDouble<F>) -> DoubleDouble<F> {
        Reduced::of(d).exp()
    }
}

/// e^{z − c} likewise, with r² in double-double, for operations with a result for each number, such as softmax.
///
/// With r₀ and r₁ as in [`exp_dd`], e^{r₀} − 1 = r₀ + r₀²/2 + r₀³·P(r₀), and r₁ enters as (1 + (e^{r₀} − 1))
/// (r₁ + r₁²/2). The first word of r₀ + r₀²/2 is taken out without error; what is left, q, is below 2^-19.0, and in
/// f64. The bound, relative to e^{z − c}, in units of 2^-72:
///
/// | error | at most |
/// |---|---|
/// | interpolation, found by evaluation at 2001 points: 2^-72.66 | 0.64 |
/// | r₀³·P < 2^-19.1: r₀² and r₀³ rounded, P by 1.1 roundings: 3.1 · 2^-53 · 2^-19.16 | 2.77 |
/// | q is rounded twice, by 2^-73 | 1.00 |
/// | r₁, below 2^-28, is off by 2^-81 | 0.01 |
/// | the lines above are relative to 1, but e^r may be as small as 2^-0.0313 | × 1.022 |
/// | the low part of the result, below 2^-18 where the table's entry is above 1.11, is rounded once | 0.93 |
///
/// together below 5.5 · 2^-72 < 2^-69.5 < [`EXP_DD_FINE_ERROR`]. e^0 is exactly 1.
#[inline(always)]
pub fn exp_dd_fine<F: Float64>(z: F, c: F) -> DoubleDouble<F> {
    exp_dd_fine_of_dd(difference(z, c))
}

called_as_one! {
    /// e^z likewise.
    pub fn exp_dd_fine_at_0<F: Float64>(z: F) -> DoubleDouble<F> {
        Reduced::of_f64(z.splat(LEAST).max(z)).exp_fine()
    }
}

called_as_one! {
    /// e^d likewise, for a normalised d of two f64 that is at least −1000.
    pub fn exp_dd_fine_of_dd<F: Float64>(d: DoubleDouble<F>) -> DoubleDouble<F> {
        Reduced::of(d).exp_fine()
    }
}

/// e^{z − c} likewise, with r³ in double-double, too, for the sums of rows with results that [`exp_dd_fine`] leaves
/// unsettled.
///
/// h is r₀ rounded to a multiple of 2^-23. So h², h³ (below 2^-16.58) and 1 + h + h²/2 have at most 53 bits and are
/// exact, and 1 + h + h²/2 + h³/6 is a sum of two f64, up to 2^-106 and the rounding error of 1/6, which P includes.
/// The rest of the exponent is l = (r₀ − h) + r₁ < 2^-23.9, and e^r = e^h (1 + (e^l − 1)). All that is added to the
/// first of the two f64 is below 2^-23.6, and in f64. The bound, relative to e^{z − c}, in units of 2^-80:
///
/// | error | at most |
/// |---|---|
/// | interpolation, found by evaluation at 2001 points: 2^-79.85 | 1.11 |
/// | P has 1.1 roundings of 2^-58, times h⁴; h·P has one of 2^-64, times h³ | 1.70 |
/// | what is left of e^h, below 2^-26.6, is rounded twice, by 2^-80 | 2.00 |
/// | r₁, below 2^-28, is rounded twice and off by 2^-81.5 | 0.86 |
/// | l, e^l − 1 and the sum are rounded, by 2^-77 each | 24.00 |
/// | the low part of the result, below 2^-23.68 of it, is rounded once | 10.00 |
/// | the lines above are relative to 1, but e^r may be as small as 2^-0.0313 | × 1.022 |
///
/// together below 40.6 · 2^-80 < 2^-74.6 < [`EXP_DD_FINER_ERROR`]. e^0 is exactly 1.
#[inline(always)]
pub fn exp_dd_finer<F: Float64>(z: F, c: F) -> DoubleDouble<F> {
    exp_dd_finer_of_dd(difference(z, c))
}

called_as_one! {
    /// e^z likewise.
    pub fn exp_dd_finer_at_0<F: Float64>(z: F) -> DoubleDouble<F> {
        Reduced::of_f64(z.splat(LEAST).max(z)).exp_finer()
    }
}

called_as_one! {
    /// e^d likewise, for a normalised d of two f64 that is at least −1000.
    pub fn exp_dd_finer_of_dd<F: Float64>(d: DoubleDouble<F>) -> DoubleDouble<F> {
        Reduced::of(d).exp_finer()
    }
}

called_as_one! {
    /// z − c exactly, or −1000 where z − c is less.
    fn difference<F: Float64>(z: F, c: F) -> DoubleDouble<F> {
        let d = two_sum(z, -c);
        // What counts as −1000 has no low part: it might be anything.
        let lo = d.hi.where_at_most(LEAST, z.splat(0.0), d.lo);
        DoubleDouble { hi: z.splat(LEAST).max(d.hi), lo }
    }
}

/// An exponent as k·(ln 2)/16 + r₀ + r₁, where r₁ includes what the table's entry for k lost.
///
/// Whole powers of 2 can be taken out of an exponential before it is computed: 16 less in k is 1 less in the exponent
/// of 2.
#[derive(Clone, Copy)]
pub struct Reduced<F> {
    /// [`ROUNDER`] + k, with k in its low bits.
    k: F,
    r0: F,
    r1: F,
}

/// The greatest magnitude that [`Reduced::of_f64`] takes; |k| < 23 100.
pub const NEAR_RANGE: f64 = 1000.0;

/// The greatest magnitude that [`Reduced::of_far_less`] takes.
pub const FAR_RANGE: f64 = power_of_two(32);

/// [`STEP`] less (ln 2)/16, off by less than 2^-154.
const LOW_STEP: f64 = 6.298718209940715e-30;

impl<F: Float64> Reduced<F> {
    /// A normalised d at most [`NEAR_RANGE`] in magnitude.
    #[inline(always)]
    pub fn of(d: DoubleDouble<F>) -> Self {
        let (k, minus_k) = step(d.hi);
        Self::by_steps(d.hi, k, minus_k, d.lo + k.entry(&LOGS_OF_ROUNDING))
    }

    /// A d at most [`NEAR_RANGE`] in magnitude.
    #[inline(always)]
    pub fn of_f64(d: F) -> Self {
        Self::of_f64_less(d, 0.0)
    }

    /// The same, with `steps` less in k: a multiple of 16, below 2^50. This takes no additional operation.
    #[inline(always)]
    pub fn of_f64_less(d: F, steps: f64) -> Self {
        let (k, minus_k) = step_less(d, steps);
        Self::by_steps(d, k, minus_k, k.entry(&LOGS_OF_ROUNDING))
    }

    /// Like [`of_f64_less`](Self::of_f64_less), for a d at most [`FAR_RANGE`] in magnitude, but without what the
    /// table's entry lost, which is below 2^-53.4. The other error is below 2^-58: −k·STEP₁, below 2^-6, is
    /// rounded by 2^-60, and the two parts of the step together are off by 2^-96.
    #[inline(always)]
    pub fn of_f64_coarse_less(d: F, steps: f64) -> Self {
        let (k, minus_k) = step_less(d, steps);
        Self::by_steps(d, k, minus_k, d.splat(0.0))
    }

    /// Like [`of_f64_less`](Self::of_f64_less), with the same bits up to [`NEAR_RANGE`], but for a d of up to
    /// [`FAR_RANGE`].
    ///
    /// Beyond [`NEAR_RANGE`], d and k·STEP₀ are multiples of 2^-43 whose difference is below 1, so that it is exact.
    /// r₁, below 2^-49, is rounded three times: by less than 2^-101 in all.
    #[inline(always)]
    pub fn of_far_less(d: F, steps: f64) -> Self {
        let (near, (_, minus_k)) = (Self::of_f64_less(d, steps), step_less(d, steps));
        let second = two_product(minus_k, d.splat(STEP[1]));
        let r0 = two_sum(near.r0, second.hi);
        let low = minus_k.mul_add(d.splat(-LOW_STEP), near.k.entry(&LOGS_OF_ROUNDING));
        let far = Self { k: near.k, r0: r0.hi, r1: r0.lo + (second.lo + low) };
        far.unless_within(d, near)
    }

    /// `near` where d is at most [`NEAR_RANGE`] in magnitude.
    #[inline(always)]
    fn unless_within(self, d: F, near: Self) -> Self {
        let size = d.max(-d);
        let of = |near: F, far: F| size.where_at_most(NEAR_RANGE, near, far);
        Self { k: near.k, r0: of(near.r0, self.r0), r1: of(near.r1, self.r1) }
    }

    /// `low`: what is to be added to d and does not fit into it.
    #[inline(always)]
    fn by_steps(d: F, k: F, minus_k: F, low: F) -> Self {
        let [step0, step1] = STEP;
        Self { k, r0: minus_k.mul_add(d.splat(step0), d), r1: minus_k.mul_add(d.splat(step1), low) }
    }

    /// The exponent plus this many steps of (ln 2)/16.
    #[inline(always)]
    pub fn plus_steps(self, steps: F) -> Self {
        Self { k: self.k + steps, ..self }
    }

    /// The exponent plus a small number.
    #[inline(always)]
    pub fn plus(self, low: F) -> Self {
        Self { r1: self.r1 + low, ..self }
    }

    /// −k, for a number that was reduced with `steps` of 0.
    #[inline(always)]
    pub fn minus_k(&self) -> F {
        self.k.splat(ROUNDER) - self.k
    }

    /// 2^{k/16} in units of 2^-[`SCALE`], without what the table's entry lost.
    #[inline(always)]
    fn power(&self) -> F {
        self.k.scaled_entry(&SCALED_POWERS)
    }

    #[inline(always)]
    fn exp(self) -> DoubleDouble<F> {
        let (power, Self { r0, r1, .. }) = (self.power(), self);
        let s = r0 + r1;
        let q = (s * s).mul_add(polynomial(s, EXP_DD), r1);
        times_one_and(power, r0, q)
    }

    /// [`exp_f64_full`].
    #[inline(always)]
    pub fn exp_full(self) -> F {
        let (power, Self { r0, r1, .. }) = (self.power(), self);
        let s = r0 + r1;
        power.mul_add((s * s).mul_add(polynomial(s, EXP_DD), s), power)
    }

    #[inline(always)]
    fn exp_fine(self) -> DoubleDouble<F> {
        let (power, Self { r0, r1, .. }) = (self.power(), self);
        let half = r0.splat(0.5);
        let square = two_product(r0, r0);
        let e = fast_two_sum(r0, square.hi * half);
        let q = (square.hi * r0).mul_add(polynomial(r0, EXP_DD_FINE), square.lo.mul_add(half, e.lo));
        times_one_and(power, e.hi, q + grown(r1, e.hi + q))
    }

    /// [`exp_dd_finer`].
    #[inline(always)]
    pub fn exp_finer(self) -> DoubleDouble<F> {
        let (power, Self { r0, r1, .. }) = (self.power(), self);
        let (half, sixth, one) = (r0.splat(0.5), r0.splat(1.0 / 6.0), r0.splat(1.0));
        let rounder = r0.splat(ROUNDER * power_of_two(-23));
        let h = (r0 + rounder) - rounder;
        let l = (r0 - h) + r1;
        let square = h * h;
        let cube = square * h;
        let quadratic = square.mul_add(half, one + h);
        let cubic = cube.mul_add(sixth, quadratic);
        let rest = cube.mul_add(polynomial(h, EXP_DD_FINER), cube.mul_add(sixth, quadratic - cubic));
        let of_l = (l * l).mul_add(l.mul_add(sixth, half), l);
        let low = of_l.mul_add(cubic, of_l.mul_add(rest, rest));
        let hi = power * cubic;
        fast_two_sum(hi, power.mul_add(low, power.mul_add(cubic, -hi)))
    }
}

/// (e^r − 1)(1 + e) for |r| < 2^-28.
#[inline(always)]
fn grown<F: Float64>(r: F, e: F) -> F {
    let half = r * r.splat(0.5);
    r.mul_add(half.mul_add(e, half + e), r)
}

/// power·(1 + e + q): the leading part power + power·e is exact, the rest is in f64.
#[inline(always)]
fn times_one_and<F: Float64>(power: F, e: F, q: F) -> DoubleDouble<F> {
    let hi = power.mul_add(e, power);
    let lo = power.mul_add(q, power.mul_add(e, power - hi));
    fast_two_sum(hi, lo)
}

/// |[`exp_dd_wide`] − exact| ≤ this · exact + 2^-104 · |c| · exact. Derivation there.
pub const WIDE_ERROR: f64 = power_of_two(-94);

/// (ln 2)/16 in three parts, the first two of 38 bits; together they are off by less than 2^-140.
pub(crate) const WIDE_STEP: [f64; 3] = [0.04332169878489367, 1.0291218489291539e-13, 1.9136504600116575e-25];

/// 1/n! in double-double, for n = 0 to 15.
pub const INVERSE_FACTORIALS: [DoubleDouble; 16] = [
    DoubleDouble { hi: 1.0, lo: 0.0 },
    DoubleDouble { hi: 1.0, lo: 0.0 },
    DoubleDouble { hi: 1.0 / 2.0, lo: 0.0 },
    DoubleDouble { hi: 1.0 / 6.0, lo: 9.25185853854297e-18 },
    DoubleDouble { hi: 1.0 / 24.0, lo: 2.3129646346357427e-18 },
    DoubleDouble { hi: 1.0 / 120.0, lo: 1.1564823173178714e-19 },
    DoubleDouble { hi: 1.0 / 720.0, lo: -5.300543954373577e-20 },
    DoubleDouble { hi: 1.0 / 5040.0, lo: 1.7209558293420705e-22 },
    DoubleDouble { hi: 1.0 / 40_320.0, lo: 2.1511947866775882e-23 },
    DoubleDouble { hi: 1.0 / 362_880.0, lo: -1.858393274046472e-22 },
    DoubleDouble { hi: 1.0 / 3_628_800.0, lo: 2.3767714622250297e-23 },
    DoubleDouble { hi: 1.0 / 39_916_800.0, lo: -1.448814070935912e-24 },
    DoubleDouble { hi: 1.0 / 479_001_600.0, lo: -1.20734505911326e-25 },
    DoubleDouble { hi: 1.0 / 6_227_020_800.0, lo: 1.2585294588752098e-26 },
    DoubleDouble { hi: 1.0 / 87_178_291_200.0, lo: 2.0655512752830745e-28 },
    DoubleDouble { hi: 1.0 / 1_307_674_368_000.0, lo: 7.03872877733453e-30 },
];

/// 1/n! for n = 7 to 13.
const SMALL_INVERSE_FACTORIALS: [f64; 7] = [
    1.0 / 5040.0,
    1.0 / 40_320.0,
    1.0 / 362_880.0,
    1.0 / 3_628_800.0,
    1.0 / 39_916_800.0,
    1.0 / 479_001_600.0,
    1.0 / 6_227_020_800.0,
];

called_as_one! {
    /// e^{z − c} in units of 2^-[`SCALE`], as a double-double to nearly its full precision, for a c in double-double.
    ///
    /// d = z − c₀ exactly, as d + d' with |d'| ≤ 2^-44. All of d', −c₁, the table's lost part and the least part of
    /// the step go into the low part of r = r₀ + r₁, which is below 2^-44 + 2^-53 |c| and is rounded four times. The
    /// bound, relative to e^{z − c}, without 4 · 2^-106 |c|:
    ///
    /// | error | at most |
    /// |---|---|
    /// | four roundings of the low part, each 2^-53 · 2^-44 | 2^-95 |
    /// | k times the error of the step, 23 100 · 2^-140; the error of the table's lost part, 2^-107 | 2^-106.8 |
    /// | Taylor series in double-double to r⁶/6!: 4u² for its last step, r times that for the one before | 2^-103.9 |
    /// | the rest of the series, r⁷/7! + …, below 2^-50.7, in f64 | 2^-102 |
    /// | r^14/14! and what follows | 2^-113 |
    /// | the product with the table's entry, 2u² | 2^-105 |
    ///
    /// together below 2^-94.9 < [`WIDE_ERROR`]. For |d| ≤ 2^n, n < 10, the first line is 2^(n − 105).
    pub fn exp_dd_wide<F: Float64>(z: F, c: DoubleDouble<F>) -> DoubleDouble<F> {
        let d = two_sum(z, -c.hi);
        let low = d.hi.where_at_most(LEAST, z.splat(0.0), d.lo - c.lo);
        let d = z.splat(LEAST).max(d.hi);
        let (k, minus_k) = step(d);
        let [step0, step1, step2] = WIDE_STEP;
        let high = two_sum(minus_k.mul_add(z.splat(step0), d), minus_k * z.splat(step1));
        let low = minus_k.mul_add(z.splat(step2), low + k.entry(&LOGS_OF_ROUNDING));
        let r = two_sum(high.hi, high.lo + low);
        let mut e = DoubleDouble::from(polynomial(r.hi, SMALL_INVERSE_FACTORIALS));
        for inverse in INVERSE_FACTORIALS[..7].iter().rev() {
            e = times_and(e, r, inverse.splat(z));
        }
        let power = k.scaled_entry(&SCALED_POWERS);
        let product = two_product(e.hi, power);
        fast_two_sum(product.hi, e.lo.mul_add(power, product.lo))
    }
}

/// e · r + c for |e r| ≤ |c|/8, |r.lo| ≤ u |r|, |c.lo| ≤ u |c| and |e.lo| ≤ 2u |e|: the high parts wait for
/// nothing but each other.
///
/// The error, relative to c: the product's low part drops e.lo · r.lo, and has three roundings, together 12u² of |e r|,
/// 1.5u²; the sum's low part has two, below 1.2u² + 1.3u².
#[inline(always)]
fn times_and<F: Float64>(e: DoubleDouble<F>, r: DoubleDouble<F>, c: DoubleDouble<F>) -> DoubleDouble<F> {
    let product = two_product(e.hi, r.hi);
    let low = product.lo + e.hi.mul_add(r.lo, e.lo * r.hi);
    let sum = fast_two_sum(c.hi, product.hi);
    DoubleDouble { hi: sum.hi, lo: sum.lo + (c.lo + low) }
}

/// 3!, 4!, …, 9!
const FACTORIALS: [f64; 7] = [6.0, 24.0, 120.0, 720.0, 5040.0, 40_320.0, 362_880.0];

called_as_one! {
    /// e^d − 1 for |d| ≤ 2^-6, relative error below 2^-65: in the series of (e^d − 1)/d, d²/3! and what follows is
    /// below 2^-14.5, with four roundings in f64; the first term left out, d⁹/10!, is below 2^-75.
    pub fn expm1_dd_near_0<F: Float64>(d: DoubleDouble<F>) -> DoubleDouble<F> {
        let like = d.hi;
        let [.., last] = FACTORIALS;
        let mut series = like.splat(1.0 / last);
        for factorial in FACTORIALS.into_iter().rev().skip(1) {
            series = series.mul_add(d.hi, like.splat(1.0 / factorial));
        }
        let half = like.splat(0.5);
        let first = fast_two_sum(like.splat(1.0), half * d.hi);
        d * fast_two_sum(first.hi, first.lo + (d.hi * d.hi).mul_add(series, half * d.lo))
    }
}

called_as_one! {
    /// The same in f64, relative error below 2^-51: that of its first rounding and its last two.
    pub fn expm1_f64_near_0<F: Float64>(d: F) -> F {
        let [.., last, _, _] = FACTORIALS;
        let mut series = d.splat(1.0 / last);
        for factorial in FACTORIALS.into_iter().rev().skip(3) {
            series = series.mul_add(d, d.splat(1.0 / factorial));
        }
        (d * d).mul_add(series.mul_add(d, d.splat(0.5)), d)
    }
}

/// Up to this magnitude of d, e^d − 1 is computed by its series.
const NEAR: f64 = power_of_two(-6);

called_as_one! {
    /// e^d − 1 in f64, for d ≤ 128; a d below −1000 counts as −1000. The relative error of e^d − 1 is that of
    /// the exponential divided by |1 − e^-d|: at most 2^6.1 times as large, as |d| > 2^-6 where the exponential is
    /// used.
    pub fn expm1_f64<F: Float64>(d: F) -> F {
        let far = exp_f64_at_0(d).mul_add(d.splat(UNSCALE), d.splat(-1.0));
        d.max(-d).where_at_most(NEAR, expm1_f64_near_0(d), far)
    }
}

called_as_one! {
    /// e^d − 1, relative error below 2^-64, for d ≤ 128; a d below −1000 counts as −1000.
    pub fn expm1_dd<F: Float64>(d: DoubleDouble<F>) -> DoubleDouble<F> {
        let far = exp_dd_wide(d.hi, DoubleDouble::from(-d.lo)).scaled(d.hi.splat(UNSCALE));
        let far = far + d.hi.splat(-1.0);
        let near = expm1_dd_near_0(d);
        let size = d.hi.max(-d.hi);
        DoubleDouble {
            hi: size.where_at_most(NEAR, near.hi, far.hi),
            lo: size.where_at_most(NEAR, near.lo, far.lo),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_reference::{big, big_dd, relative_error, uniform};
    use dashu_float::ops::EstimatedLog2;

    #[test]
    fn table_is_two_to_sixteenths() {
        for (j, (power, log)) in POWERS.into_iter().zip(LOGS_OF_ROUNDING).enumerate() {
            let exact = (big(2.0).ln() * big(j as f64 / 16.0)).exp();
            assert_eq!(exact.to_f64().value(), power, "2^({j}/16)");
            let lost = (exact / big(power)).ln();
            assert_eq!(lost.to_f64().value(), log, "2^({j}/16), what its rounding lost");
        }
    }

    #[test]
    fn steps_add_up_to_a_sixteenth_of_log_2() {
        let exact = big(2.0).ln() / big(16.0);
        let [a, b] = STEP.map(big);
        assert!((a + b - exact.clone()).to_f64().value().abs() < power_of_two(-96));
        assert_eq!(exact.to_f64().value(), WHOLE_STEP);
        assert_eq!((big(1.0) / exact).to_f64().value(), PER_STEP);
        assert!(STEP[0].to_bits().trailing_zeros() >= 15, "38 bits leave room for k");
    }

    /// Differences of every size and sign that a sum meets, and those where the table's step or the polynomial's
    /// argument is at its worst.
    fn arguments() -> impl Iterator<Item = (f64, f64)> {
        let mut uniform = uniform(1);
        (0..20_000).map(move |i| {
            let c = (uniform() - 0.5) * [2.0, 100.0, 1e4, 1e8][i % 4];
            let d = match i % 7 {
                0 => -1000.0 * uniform(),
                1 => 128.0 * uniform(),
                2 => -uniform() * power_of_two(-((uniform() * 60.0) as i32)),
                3 => -((uniform() * 20_000.0).floor() + 0.5) / PER_STEP * (1.0 - 1e-9 * uniform()),
                4 => -((uniform() * 300.0).floor() + 0.5 - 1e-3 * uniform()) / PER_STEP,
                _ => -20.0 * uniform(),
            };
            (c + d, c)
        })
    }

    /// A bound that the worst case comes nowhere near would be as much of a defect as one that it exceeds.
    fn worst(error: impl Fn(f64, f64) -> crate::test_reference::Big) -> f64 {
        let mut worst = 0f64;
        for (z, c) in arguments() {
            let exact = (big(z) - big(c)).exp();
            worst = worst.max(relative_error(error(z, c), &exact));
        }
        worst
    }

    #[test]
    fn exp_f64_keeps_its_bound() {
        let worst = worst(|z, c| big(exp_f64(z, c)) * big(UNSCALE));
        println!("worst 2^{:.2}, bound 2^{:.2}", worst.log2(), EXP_F64_ERROR.log2());
        assert!(worst < EXP_F64_ERROR && worst > EXP_F64_ERROR / 16.0, "{worst:e}");
    }

    #[test]
    fn exp_f64_full_keeps_its_bound() {
        let worst = worst(|z, c| big(exp_f64_full(difference(z, c))) * big(UNSCALE));
        println!("worst 2^{:.2}, bound 2^{:.2}", worst.log2(), EXP_F64_FULL_ERROR.log2());
        assert!(worst < EXP_F64_FULL_ERROR && worst > EXP_F64_FULL_ERROR / 1.1, "{worst:e}");
        let mut uniform = uniform(5);
        for _ in 0..1000 {
            let z = 2000.0 * uniform() - 1200.0;
            let same = exp_f64_full(DoubleDouble::from(z.max(-1000.0)));
            assert_eq!(exp_f64_full_at_0(z), same, "e^{z}");
        }
    }

    #[test]
    fn exp_dd_keeps_its_bound() {
        let worst = worst(|z, c| big_dd(exp_dd(z, c)) * big(UNSCALE));
        println!("worst 2^{:.2}, bound 2^{:.2}", worst.log2(), EXP_DD_ERROR.log2());
        assert!(worst < EXP_DD_ERROR && worst > EXP_DD_ERROR / 8.0, "{worst:e}");
    }

    #[test]
    fn fine_exponentials_keep_their_bounds() {
        let [mut of_f64, mut of_f64_far, mut of_dd, mut of_finer] = [0f64; 4];
        for (z, c) in arguments() {
            let exact = (big(z) - big(c)).exp();
            let error = relative_error(big(exp_f64_fine(z, c)) * big(UNSCALE), &exact);
            if (z - c).abs() <= 128.0 {
                of_f64 = of_f64.max(error)
            } else {
                of_f64_far = of_f64_far.max(error)
            }
            of_dd = of_dd.max(relative_error(big_dd(exp_dd_fine(z, c)) * big(UNSCALE), &exact));
            of_finer = of_finer.max(relative_error(big_dd(exp_dd_finer(z, c)) * big(UNSCALE), &exact));
            let z = c % 176.0;
            let exact = big(z).exp();
            of_f64 = of_f64.max(relative_error(big(exp_f64_fine_at_0(z)) * big(UNSCALE), &exact));
            assert_eq!(exp_dd_fine_at_0(z), exp_dd_fine(z, 0.0));
            assert_eq!(exp_dd_finer_at_0(z), exp_dd_finer(z, 0.0));
        }
        println!("f64: worst 2^{:.2}, far 2^{:.2}", of_f64.log2(), of_f64_far.log2());
        println!("double-double: worst 2^{:.2}, finer 2^{:.2}", of_dd.log2(), of_finer.log2());
        assert!(of_f64 < EXP_F64_FINE_ERROR && of_f64 > EXP_F64_FINE_ERROR / 4.0, "{of_f64:e}");
        assert!(of_f64_far < power_of_two(-42), "{of_f64_far:e}");
        assert!(of_dd < EXP_DD_FINE_ERROR && of_dd > EXP_DD_FINE_ERROR / 8.0, "{of_dd:e}");
        assert!(of_finer < EXP_DD_FINER_ERROR && of_finer > EXP_DD_FINER_ERROR / 16.0, "{of_finer:e}");
        assert_eq!(exp_dd_finer(1.5, 1.5), DoubleDouble::from(power_of_two(512)));
        assert_eq!(exp_dd_fine(1.5, 1.5), DoubleDouble::from(power_of_two(512)));
        assert_eq!(exp_f64_fine(-3.0, -3.0), power_of_two(512));
    }

    #[test]
    fn exp_dd_wide_keeps_its_bound() {
        let mut worst = 0f64;
        for (z, c) in arguments() {
            let lo = c * power_of_two(-54);
            let bound = WIDE_ERROR + power_of_two(-104) * c.abs();
            let exact = (big(z) - big(c) - big(lo)).exp();
            let found = big_dd(exp_dd_wide(z, DoubleDouble { hi: c, lo })) * big(UNSCALE);
            let error = relative_error(found, &exact) / bound;
            assert!(error < 1.0, "e^({z} - {c}): {error} of the bound");
            worst = worst.max(error);
        }
        println!("worst {worst:.3} of the bound");
        assert!(worst > 1.0 / 64.0, "{worst:e}");
    }

    #[test]
    fn expm1_keeps_its_bound() {
        let [mut worst, mut worst_of_one, mut worst_near] = [0f64; 3];
        for (z, c) in arguments() {
            let d = two_sum(z, -c);
            let d = if d.hi < -900.0 { DoubleDouble::from(-900.0) } else { d };
            if d.hi == 0.0 {
                continue;
            }
            let exact = if d.hi.abs() < power_of_two(-40) {
                let d = big_dd(d);
                d.clone() * (big(1.0) + d.clone() / big(2.0) * (big(1.0) + d / big(3.0)))
            } else {
                big_dd(d).with_precision(600).value().exp() - big(1.0)
            };
            worst = worst.max(relative_error(big_dd(expm1_dd(d)), &exact));
            let of_one = relative_error(big(expm1_f64(d.hi)), &exact);
            let of_rounding = d.lo.abs() / d.hi.abs();
            worst_of_one = worst_of_one.max(of_one - 2.0 * of_rounding);
            if d.hi.abs() <= NEAR {
                worst_near = worst_near.max(of_one - 2.0 * of_rounding);
            }
        }
        println!("one word: worst 2^{:.2}, near 0 2^{:.2}", worst_of_one.log2(), worst_near.log2());
        assert!(worst_of_one < power_of_two(-31) && worst_of_one > power_of_two(-37), "{worst_of_one:e}");
        assert!(worst_near < power_of_two(-51) && worst_near > power_of_two(-56), "{worst_near:e}");
        println!("worst 2^{:.2}", worst.log2());
        assert!(worst < power_of_two(-64) && worst > power_of_two(-70), "{worst:e}");
    }

    #[test]
    fn factorials() {
        let mut factorial = big(1.0);
        for (n, inverse) in INVERSE_FACTORIALS.into_iter().enumerate() {
            factorial = if n > 0 { factorial * big(n as f64) } else { factorial };
            let exact = big(1.0).with_precision(400).value() / factorial.clone();
            assert!(relative_error(big_dd(inverse), &exact) < power_of_two(-106), "1/{n}!");
        }
    }

    #[test]
    fn ends_of_the_range() {
        assert_eq!(exp_dd(0.0, 0.0), DoubleDouble::from(power_of_two(512)));
        assert_eq!(exp_f64(-1e300, -1e300), power_of_two(512));
        assert_eq!(exp_dd(1.5, 0.0), exp_dd_at_0(1.5));
        // `NOTHING` rounds to 0; eight times it is the least number.
        assert_eq!([NOTHING * UNSCALE, 8.0 * NOTHING * UNSCALE], [0.0, power_of_two(-1074)]);
        // z − c with a low part.
        let (z, c) = (1.0 / 3.0, -1e-9);
        assert_eq!(exp_dd_of_dd(two_sum(z, -c)), exp_dd(z, c));
        assert_eq!(exp_dd_fine_of_dd(two_sum(z, -c)), exp_dd_fine(z, c));
        assert_eq!(exp_dd_finer_of_dd(two_sum(z, -c)), exp_dd_finer(z, c));
        let least = (exp_f64(-1000.0, 0.0), exp_dd(-1000.0, 0.0));
        for (z, c) in [(f64::NEG_INFINITY, 0.0), (-1001.0, 0.0), (f64::MIN, f64::MAX), (-1e300, 1e-300)] {
            assert_eq!((exp_f64(z, c), exp_dd(z, c)), least, "{z} {c}");
            assert!(least.0 < power_of_two(-930) && least.1.hi < power_of_two(-930));
        }
        let smallest = big(-1000.0).exp();
        assert!(smallest.log2_bounds().0 > -1443.0);
        assert!(relative_error(big_dd(least.1), &(smallest * big(power_of_two(512)))) < EXP_DD_ERROR);
        assert!(exp_f64(f64::NAN, 0.0).is_nan() && exp_dd(f64::NAN, 0.0).hi.is_nan());
        assert!(exp_dd(128.0, 0.0).hi.is_finite());
    }
}
