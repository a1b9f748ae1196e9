//! Σ_k e^{a_ik} e^{b_kj} in triple-doubles, for those entries of a matrix product whose logarithm is near 0, such as
//! all entries of a stochastic matrix times ones. Double-doubles do not settle these, and an exponential for each term
//! would take ten times as long.

use crate::arithmetic::double_double::power_of_two;
use crate::arithmetic::exp::{LEAST, UNSCALE};
use crate::arithmetic::exp_td::{EXP_TD_ERROR, exp_td};
use crate::arithmetic::ln::log1p_dd_near_0;
use crate::arithmetic::triple_double::TripleDouble;
use crate::formats::Format;
use crate::formats::nearest::settled;
use crate::kernels::matrix_product::{Eight, INNER, Span};
use crate::simd::{Vector, task};

/// The greatest number of a row or a column for which the exponentials are in range.
pub(crate) const GREATEST: f64 = 300.0;

/// Both factors of a product, row-major.
#[derive(Clone, Copy)]
pub(crate) struct Factors<'a, T> {
    pub(crate) a: &'a [T],
    pub(crate) b: &'a [T],
    pub(crate) inner: usize,
    pub(crate) columns: usize,
}

/// Eight triple-doubles.
#[derive(Clone, Copy)]
struct Eights([Eight; 3]);

impl Eights {
    const ZERO: Self = Self([Eight([0.0; 8]); 3]);

    #[inline(always)]
    fn load<V: Vector>(&self, simd: V) -> TripleDouble<V> {
        let [hi, mid, lo] = &self.0;
        TripleDouble { hi: simd.load(&hi.0), mid: simd.load(&mid.0), lo: simd.load(&lo.0) }
    }

    #[inline(always)]
    fn store<V: Vector>(&mut self, x: TripleDouble<V>) {
        let [hi, mid, lo] = &mut self.0;
        x.hi.store(&mut hi.0);
        x.mid.store(&mut mid.0);
        x.lo.store(&mut lo.0);
    }

    #[inline(always)]
    fn lane<V: Vector>(&self, i: usize, simd: V) -> TripleDouble<V> {
        let [hi, mid, lo] = &self.0;
        TripleDouble { hi: simd.splat(hi.0[i]), mid: simd.splat(mid.0[i]), lo: simd.splat(lo.0[i]) }
    }
}

/// An unfinished sum, and the sum of the magnitudes of its third word after each addition.
#[derive(Clone, Copy)]
struct Sum {
    sum: Eights,
    lows: Eight,
}

task! {
    /// The floats nearest to the logarithms of entries of a product, for these rows and a span of columns, row by row;
    /// `None` where that is not settled. No number of these rows and columns is above [`GREATEST`], or a NaN.
    ///
    /// Errors of the sum, relative to it: 2.01 · [`EXP_TD_ERROR`] from the exponentials, which includes the product's
    /// 2^-150 and the third words of terms, as in [`TripleDouble::plus`]; and 6u of `lows`. Terms that underflow are
    /// below 2^-640.
    pub(crate) fn values_near_0<T: Format>(
        factors: Factors<'_, T>,
        rows: &[usize],
        columns: Span;
        simd: V
    ) -> Vec<Option<T>> {
        let Factors { a, b, inner, columns: stride } = factors;
        let eights = columns.len().div_ceil(8);
        let mut sums = vec![Sum { sum: Eights::ZERO, lows: Eight([0.0; 8]) }; rows.len() * eights];
        let mut left = vec![Eights::ZERO; rows.len() * INNER / 8];
        let mut right = vec![Eights::ZERO; INNER * eights];
        for start in (0..inner).step_by(INNER) {
            let steps = INNER.min(inner - start);
            for (&row, left) in rows.iter().zip(left.chunks_mut(INNER / 8)) {
                let numbers = &a[row * inner + start..][..steps];
                for (numbers, left) in numbers.chunks(8).zip(left) {
                    left.store(power(T::load_up_to(numbers, simd)));
                }
            }
            for (p, right) in right.chunks_mut(eights).take(steps).enumerate() {
                let numbers = &b[(start + p) * stride + columns.start..][..columns.len()];
                for (numbers, right) in numbers.chunks(8).zip(right) {
                    right.store(power(T::load_up_to(numbers, simd)));
                }
            }
            for (left, sums) in left.chunks(INNER / 8).zip(sums.chunks_mut(eights)) {
                for (q, place) in sums.iter_mut().enumerate() {
                    let (mut sum, mut lows) = (place.sum.load(simd), simd.load(&place.lows.0));
                    for p in 0..steps {
                        let term = left[p / 8].lane(p % 8, simd).times(right[p * eights + q].load(simd));
                        sum = sum.plus(term);
                        lows = lows + sum.lo.max(-sum.lo);
                    }
                    place.sum.store(sum);
                    lows.store(&mut place.lows.0);
                }
            }
        }
        let mut values = vec![None; rows.len() * columns.len()];
        for (sums, values) in sums.chunks(eights).zip(values.chunks_mut(columns.len())) {
            for (sum, values) in sums.iter().zip(values.chunks_mut(8)) {
                let (found, is_settled) = nearest_logarithms::<T, V>(sum, simd);
                for (j, value) in values.iter_mut().enumerate() {
                    *value = is_settled[j].then(|| found[j].plus_zero());
                }
            }
        }
        values
    }
}

/// e^z, unscaled; z below −1000 counts as −1000, which gives 0.
#[inline(always)]
fn power<V: Vector>(z: V) -> TripleDouble<V> {
    let zero = z.splat(0.0);
    let d = TripleDouble { hi: z.splat(LEAST).max(z), mid: zero, lo: zero };
    exp_td(d).scaled(z.splat(UNSCALE)).normalised()
}

#[inline(always)]
fn nearest_logarithms<T: Format, V: Vector>(sum: &Sum, simd: V) -> ([T; 8], [bool; 8]) {
    const NEAR: f64 = power_of_two(-20);
    let (zero, nan) = (simd.splat(0.0), simd.splat(f64::NAN));
    let whole = sum.sum.load(simd);
    let rest = whole.plus(TripleDouble { hi: simd.splat(-1.0), mid: zero, lo: zero }).normalised().to_dd();
    let log = log1p_dd_near_0(rest);
    let of_exponentials = whole.hi.mul_add(simd.splat(2.02 * EXP_TD_ERROR), simd.splat(power_of_two(-600)));
    let error = simd.load(&sum.lows.0).mul_add(simd.splat(6.0 * power_of_two(-53)), of_exponentials);
    let size = log.hi.max(-log.hi);
    // 2u² of the rest and the logarithm's 2^-100.
    let bound = size.mul_add(simd.splat(power_of_two(-99)), error * simd.splat(1.000_01));
    settled::<T, V>(log, size.where_at_most(NEAR, bound, nan))
}
