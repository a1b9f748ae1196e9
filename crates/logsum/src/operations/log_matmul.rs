//! The matrix product in log space (log-sum-exp in place of sums, sums in place of products), and its derivatives.
//!
//! With r_i and c_j the maxima of A's rows and B's columns,
//!
//! ```text
//! C_ij = r_i + c_j + log S_ij,                  S = a b,  a_ik = e^{A_ik − r_i},  b_kj = e^{B_kj − c_j}
//! ∂/∂A = a ∘ (H bᵀ),   ∂/∂B = b ∘ (aᵀ H),       H = G / S entry by entry
//! ```
//!
//! are matrix products in f64, which [`matrix_product`] computes block by block. An entry that they do not settle,
//! because S_ij is too small or C_ij too near a rounding boundary, is computed on its own by the phases of
//! [`matrix_entry`].

use crate::arithmetic::double_double::{DoubleDouble, power_of_two, two_sum};
use crate::arithmetic::exp::UNSCALE;
use crate::arithmetic::float64::Float64;
use crate::arithmetic::ln;
use crate::arithmetic::precision::Precision;
use crate::error::Error;
use crate::formats::Format;
use crate::formats::nearest::settled;
use crate::kernels::matrix_product::{
    self, Block, Factor, OUTER, Place, Plain, Powers, Room, Shifts, Source, Span, Words,
};
use crate::kernels::near_product::{self, Factors, GREATEST};
use crate::operations::per_format::{Float, compiled};
use crate::operations::row_reduction::has_length;
use crate::simd::{Vector, run, task};
use crate::threads::{Split, grain, in_parts};
use crate::ziv::matrix_entry::{self, Sums};
use std::ops::Range;

/// The shape of a batch of matrix products: `rows` × `inner` times `inner` × `columns`, `batch` times.
///
/// Functions that take one also accept `[rows, inner, columns]` and `[batch, rows, inner, columns]`.
///
/// ```
/// use logsum::MatmulShape;
/// let shape = MatmulShape::from([2, 3, 4]);
/// assert_eq!(shape, MatmulShape { batch: 1, rows: 2, inner: 3, columns: 4 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MatmulShape {
    /// The number of products.
    pub batch: usize,
    /// The number of rows of the left factor and of the product.
    pub rows: usize,
    /// The number of columns of the left factor and of rows of the right factor.
    pub inner: usize,
    /// The number of columns of the right factor and of the product.
    pub columns: usize,
}

impl From<[usize; 3]> for MatmulShape {
    fn from([rows, inner, columns]: [usize; 3]) -> Self {
        Self { batch: 1, rows, inner, columns }
    }
}

impl From<[usize; 4]> for MatmulShape {
    fn from([batch, rows, inner, columns]: [usize; 4]) -> Self {
        Self { batch, rows, inner, columns }
    }
}

impl MatmulShape {
    /// The lengths of A, B and C, unless one is too large for memory.
    fn sizes(self) -> Result<[usize; 3], Error> {
        let Self { batch, rows, inner, columns } = self;
        let size = |a: usize, b: usize| {
            // The product of two lengths may overflow even if the third is 0.
            if [batch, a, b].contains(&0) {
                return Some(0);
            }
            let size = batch.checked_mul(a)?.checked_mul(b)?;
            isize::try_from(size).is_ok().then_some(size)
        };
        match (size(rows, inner), size(inner, columns), size(rows, columns)) {
            (Some(a), Some(b), Some(c)) => Ok([a, b, c]),
            _ => Err(Error::ShapeTooLarge { shape: vec![batch, rows, inner, columns] }),
        }
    }
}

/// Writes C_ij = log Σ_k e^{A_ik + B_kj}, correctly rounded, into `out` for each product of a batch. All matrices
/// are row-major.
///
/// Each C_ij is the float nearest to the log-sum-exp of the exact sums A_ik + B_kj, which need not be floats. The
/// bits therefore do not depend on the machine, on threads, or on the rest of the shape: a batch has the bits of
/// its products one by one.
///
/// The cost is one matrix product in f64 for the narrower formats, and three for f64. If in f64 many entries of a block
/// are less than about e^-15 of the product of the maximal exponentials of their row and column, that block is
/// recomputed in double-double, which takes about three times as long. If many entries are near 0, a product in
/// triple-double settles them, in 1 ns for each of the `inner` terms of an entry. An entry below e^-600 of the product
/// of the maximal exponentials, or too near 0 or a rounding boundary to be settled by the matrix products, is computed
/// on its own, in 2 to 12 ns per term. The function allocates 3 MiB per thread, 5 MiB more for entries near 0, and
/// memory for `rows` + `inner` + `columns` numbers.
///
/// | the sums A_ik + B_kj | C_ij |
/// |---|---|
/// | none (`inner` is 0), or all −∞ | −∞ |
/// | some −∞ | they add nothing |
/// | a +∞, and no NaN | +∞ |
/// | a NaN, or −∞ + ∞ | NaN |
/// | a sum beyond the range of f64 | as for ±∞ |
///
/// See also [`log_matmul_vjp`], [`logsumexp`](crate::logsumexp).
///
/// ```
/// use logsum::log_matmul;
/// let a = [0.0, 1000.0, -1000.0, f64::NEG_INFINITY]; // 2 × 2
/// let b = [1.0, 2.0, 1.0, -999.0];
/// let mut c = [0.0; 4];
/// log_matmul(&a, &b, [2, 2, 2], &mut c)?;
/// assert_eq!(c, [1001.0, 2.313261687518223, -999.0, -998.0]);
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// [`Error::LengthMismatch`] if the length of a slice does not match the shape, [`Error::ShapeTooLarge`] if a
/// matrix exceeds the address space; nothing is written then.
#[doc(alias("logmatmulexp"))]
pub fn log_matmul<T: Float>(
    a: &[T],
    b: &[T],
    shape: impl Into<MatmulShape>,
    out: &mut [T],
) -> Result<(), Error> {
    <T as Compiled<T>>::log_matmul(a, b, shape.into(), out)
}

/// The vector-Jacobian product of [`log_matmul`]: writes the derivatives of Σ_ij G_ij C_ij with respect to A and B into
/// `grad_a` and `grad_b`, for a cotangent G of the shape of C = log_matmul(A, B).
///
/// ```text
/// grad_a_ik = Σ_j G_ij P_ijk    grad_b_kj = Σ_i G_ij P_ijk    P_ijk = e^{A_ik + B_kj − C_ij}
/// ```
///
/// With N = `rows` + `inner` + `columns`, the absolute error of each derivative is at most (N + 300) · 2^-53 (plus
/// 2^-35 for f32 and narrower formats) of Σ |G| P, plus half an ulp of the derivative; a P below 2^-700 may be
/// treated as 0. The cost is three matrix products in f64, and several times the memory of the gradients and the
/// cotangent. A sum e^{C_ij} that is below e^-200 of the product of the maximal exponentials is out of the range of
/// these products, and is computed on its own, as in [`log_matmul`].
///
/// | the sums A_ik + B_kj | P_ijk, for G_ij ≠ 0 |
/// |---|---|
/// | none (`inner` is 0), or all −∞ | 0 |
/// | +∞ in c places, and no NaN | 1/c at each, 0 elsewhere |
/// | a NaN | NaN |
///
/// A product of G and P with a factor 0 is 0, whatever the other factor.
///
/// ```
/// let (a, b) = ([0.0, 0.0, 1e9, -1e9], [5.0, 5.0]); // 2 × 2, 2 × 1
/// let (mut grad_a, mut grad_b) = ([0.0; 4], [0.0; 2]);
/// logsum::log_matmul_vjp(&a, &b, [2, 2, 1], &[1.0, 2.0], &mut grad_a, &mut grad_b)?;
/// assert_eq!(grad_a, [0.5, 0.5, 2.0, 0.0]);
/// assert_eq!(grad_b, [2.5, 0.5]);
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// As [`log_matmul`].
pub fn log_matmul_vjp<T: Float>(
    a: &[T],
    b: &[T],
    shape: impl Into<MatmulShape>,
    cotangent: &[T],
    grad_a: &mut [T],
    grad_b: &mut [T],
) -> Result<(), Error> {
    <T as Compiled<T>>::log_matmul_vjp(a, b, shape.into(), cotangent, grad_a, grad_b)
}

compiled! {
    fn log_matmul(a: &[T], b: &[T], shape: MatmulShape, out: &mut [T]) -> Result<(), Error> {
        let sizes = shape.sizes()?;
        has_length("a", a.len(), "shape", sizes[0])?;
        has_length("b", b.len(), "shape", sizes[1])?;
        has_length("out", out.len(), "shape", sizes[2])?;
        values(Batch { a, b, shape, grain: grain_of(shape) }, out);
        Ok(())
    }

    fn log_matmul_vjp(
        a: &[T],
        b: &[T],
        shape: MatmulShape,
        cotangent: &[T],
        grad_a: &mut [T],
        grad_b: &mut [T],
    ) -> Result<(), Error> {
        let sizes = shape.sizes()?;
        has_length("a", a.len(), "shape", sizes[0])?;
        has_length("b", b.len(), "shape", sizes[1])?;
        has_length("cotangent", cotangent.len(), "shape", sizes[2])?;
        has_length("grad_a", grad_a.len(), "shape", sizes[0])?;
        has_length("grad_b", grad_b.len(), "shape", sizes[1])?;
        gradients(Batch { a, b, shape, grain: grain_of(shape) }, cotangent, grad_a, grad_b);
        Ok(())
    }
}

/// The number of multiplications worth a thread: sixteen take about as long as other operations take for one number.
fn grain_of(shape: MatmulShape) -> usize {
    grain(shape.work() / 16).saturating_mul(16)
}

impl MatmulShape {
    fn work(self) -> usize {
        [self.rows, self.inner, self.columns].into_iter().fold(self.batch, usize::saturating_mul)
    }
}

/// A batch of products, and the number of multiplications that one thread does at a time.
#[derive(Clone, Copy)]
struct Batch<'a, T> {
    a: &'a [T],
    b: &'a [T],
    shape: MatmulShape,
    grain: usize,
}

impl<T: Format> Batch<'_, T> {
    /// Calls `f` on ranges of the products, possibly in parallel, with the corresponding parts of `out`.
    fn in_parts<O: Split>(self, out: O, f: &(impl Fn(Range<usize>, O, &mut (Room, Maxima)) + Sync)) {
        let MatmulShape { batch, .. } = self.shape;
        let least = self.grain.div_ceil(MatmulShape { batch: 1, ..self.shape }.work().max(1));
        in_parts(0..batch, out, least, 1, &mut Default::default(), f);
    }

    /// One of the products, with the maxima of its rows and columns.
    fn product<'b>(&'b self, index: usize, maxima: &'b mut Maxima) -> Product<'b, T> {
        let MatmulShape { rows, inner, columns, .. } = self.shape;
        let a = &self.a[index * rows * inner..][..rows * inner];
        let b = &self.b[index * inner * columns..][..inner * columns];
        find_maxima(a, b, self.shape, maxima);
        let Maxima { of_rows: r, of_columns: c } = maxima;
        Product { a, b, rows, inner, columns, r, c, grain: self.grain }
    }
}

fn values<T: Format>(batch: Batch<'_, T>, out: &mut [T]) {
    // After this check no matrix is empty, and no length exceeds that of a slice.
    if out.is_empty() || batch.shape.inner == 0 {
        return out.fill(T::NEG_INFINITY);
    }
    let size = batch.shape.rows * batch.shape.columns;
    batch.in_parts((out, size), &|products, (out, _), (room, maxima)| {
        for (index, out) in products.zip(out.chunks_exact_mut(size)) {
            batch.product(index, maxima).values(out, room);
        }
    });
}

fn gradients<T: Format>(batch: Batch<'_, T>, cotangent: &[T], grad_a: &mut [T], grad_b: &mut [T]) {
    let MatmulShape { rows, inner, columns, .. } = batch.shape;
    // After this check no matrix is empty, and no length exceeds that of a slice.
    if cotangent.is_empty() || inner == 0 {
        grad_a.fill(T::default());
        return grad_b.fill(T::default());
    }
    let (size, size_a, size_b) = (rows * columns, rows * inner, inner * columns);
    batch.in_parts([(grad_a, size_a), (grad_b, size_b)], &|products, [(a, _), (b, _)], (room, maxima)| {
        let mut quotients = vec![0.0; size];
        for (i, index) in products.enumerate() {
            let g = &cotangent[index * size..][..size];
            let (a, b) = (&mut a[i * size_a..][..size_a], &mut b[i * size_b..][..size_b]);
            batch.product(index, maxima).gradients(g, a, b, &mut quotients, room);
        }
    });
}

/// The maxima of A's rows and B's columns; NaN if there is one. The latter are padded to a multiple of eight.
#[derive(Default)]
struct Maxima {
    of_rows: Vec<f64>,
    of_columns: Vec<f64>,
}

task! {
    fn find_maxima<T: Format>(a: &[T], b: &[T], shape: MatmulShape, maxima: &mut Maxima; simd: V) {
        let MatmulShape { rows, inner, columns, .. } = shape;
        let Maxima { of_rows, of_columns } = maxima;
        of_rows.clear();
        of_rows.resize(rows, f64::NEG_INFINITY);
        of_columns.clear();
        of_columns.resize(columns.next_multiple_of(8), f64::NEG_INFINITY);
        for (row, max) in a.chunks_exact(inner.max(1)).zip(of_rows) {
            let mut greatest = simd.splat(f64::NEG_INFINITY);
            for numbers in row.chunks(8) {
                greatest = greater(T::load_up_to(numbers, simd), greatest);
            }
            let mut eight = [0.0; 8];
            greatest.store(&mut eight);
            for x in eight {
                *max = greater(x, *max);
            }
        }
        let (eights, _) = of_columns.as_chunks_mut();
        for row in b.chunks_exact(columns.max(1)) {
            for (numbers, max) in row.chunks(8).zip(&mut *eights) {
                greater(T::load_up_to(numbers, simd), simd.load(max)).store(max);
            }
        }
    }
}

/// The larger of both; NaN if either is NaN.
#[inline(always)]
fn greater<W: Float64>(a: W, b: W) -> W {
    // `max` returns a NaN in b, but not one in a.
    let greater = a.max(b);
    a.where_at_most(f64::INFINITY, greater, a)
}

/// One product of a batch, with the maxima of its rows and columns.
struct Product<'a, T> {
    a: &'a [T],
    b: &'a [T],
    rows: usize,
    inner: usize,
    columns: usize,
    /// The maxima of A's rows and of B's columns.
    r: &'a [f64],
    c: &'a [f64],
    grain: usize,
}

/// In f64, a and b are stored in units of 2^-POWER, so that neither they nor their products underflow too early.
const POWER: i32 = 240;
const UNIT: f64 = UNSCALE * power_of_two(POWER);

/// A block is recomputed in double-double if more than one entry in this many remains unsettled by the sliced
/// product.
const MANY: usize = 16;

impl<T: Format> Product<'_, T> {
    /// The arithmetic of the first attempt at values.
    const WORDS: Words = if T::First::IS_DOUBLE_DOUBLE { Words::Sliced } else { Words::One };

    fn powers_of_a(&self, unit: f64) -> Powers<'_, T> {
        Powers { z: self.a, columns: self.inner, shifts: Shifts::Rows(self.r), unit }
    }

    fn powers_of_b(&self, unit: f64) -> Powers<'_, T> {
        Powers { z: self.b, columns: self.columns, shifts: Shifts::Columns(self.c), unit }
    }

    fn values(&self, out: &mut [T], room: &mut Room) {
        let (product, again) = (self.plan(Self::WORDS), self.plan(Words::DoubleDouble));
        product.over(self.rows, out, room, &|place, out, room| {
            let mut unsettled = self.settle(product.words, place, out, room);
            if product.words == Words::Sliced && unsettled.len() > room.sums.hi.len() * 8 / MANY {
                again.block(place, room);
                unsettled = self.settle(again.words, place, out, room);
            }
            self.settle_near_0(place, &mut unsettled, out);
            self.settle_alone(place, &mut unsettled, out);
        });
    }

    /// The product of the exponentials a and b.
    fn plan(&self, words: Words) -> Plan<Powers<'_, T>, Powers<'_, T>> {
        let unit = if words == Words::Sliced { UNSCALE } else { UNIT };
        Plan {
            left: Factor { source: self.powers_of_a(unit), by_rows: true },
            right: Factor { source: self.powers_of_b(unit), by_rows: false },
            columns: self.columns,
            steps: self.inner,
            words,
            grain: self.grain,
        }
    }

    /// Writes the settled entries, and returns the places of the others as (column, row).
    fn settle(&self, words: Words, place: Place, out: &mut [T], room: &Room) -> Vec<(usize, usize)> {
        let bounds = Bounds::new::<T>(words, self.inner);
        let mut unsettled = Vec::new();
        settled_values(self, place, &room.sums, bounds, out, &mut unsettled);
        unsettled
    }

    /// Settles entries near 0 together if there are many.
    fn settle_near_0(&self, place: Place, unsettled: &mut Vec<(usize, usize)>, out: &mut [T]) {
        const NEAR: f64 = power_of_two(-22);
        let at = |j: usize, i: usize| (i - place.rows.start) * self.columns + j;
        let is_near = |j: usize, i: usize, out: &[T]| {
            out[at(j, i)].widen().abs() <= NEAR && self.r[i] <= GREATEST && self.c[j] <= GREATEST
        };
        let mut rows: Vec<usize> =
            unsettled.iter().filter(|&&(j, i)| is_near(j, i, out)).map(|&(_, i)| i).collect();
        let count = rows.len();
        rows.sort_unstable();
        rows.dedup();
        if count < 2 || count * MANY < rows.len() * place.columns.len() {
            return;
        }
        let factors = Factors { a: self.a, b: self.b, inner: self.inner, columns: self.columns };
        let values = near_product::values_near_0(factors, &rows, place.columns);
        unsettled.retain(|&(j, i)| {
            let row = rows.binary_search(&i).ok().filter(|_| is_near(j, i, out));
            let value = row.and_then(|row| values[row * place.columns.len() + j - place.columns.start]);
            if let Some(value) = value {
                out[at(j, i)] = value;
            }
            value.is_none()
        });
    }

    fn settle_alone(&self, place: Place, unsettled: &mut [(usize, usize)], out: &mut [T]) {
        unsettled.sort_unstable();
        let mut b = Vec::new();
        for same_column in unsettled.chunk_by(|(j, _), (j2, _)| j == j2) {
            let j = same_column[0].0;
            self.copy_column(j, &mut b);
            for &(_, i) in same_column {
                out[(i - place.rows.start) * self.columns + j] = match (self.r[i], self.c[j]) {
                    (r, c) if (r + c).is_nan() => T::narrow(f64::NAN),
                    (f64::NEG_INFINITY, _) | (_, f64::NEG_INFINITY) => T::NEG_INFINITY,
                    _ => matrix_entry::settle(self.sums(i, &b)),
                };
            }
        }
    }

    fn copy_column(&self, j: usize, to: &mut Vec<T>) {
        to.clear();
        to.extend(self.b.iter().skip(j).step_by(self.columns));
    }

    /// The sums A_ik + B_kj for all k.
    fn sums<'b>(&'b self, i: usize, column: &'b [T]) -> Sums<'b, T> {
        Sums { x: &self.a[i * self.inner..][..self.inner], y: column }
    }

    fn gradients(
        &self,
        cotangent: &[T],
        grad_a: &mut [T],
        grad_b: &mut [T],
        quotients: &mut [f64],
        room: &mut Room,
    ) {
        let Self { rows, inner, columns, grain, .. } = *self;
        self.plan(Words::One).over(rows, quotients, room, &|place, out, room| {
            let g = &cotangent[place.rows.start * columns..];
            take_quotients(place, &room.sums, g, out, columns);
        });
        let alone = self.gradients_alone(cotangent, quotients);
        let (of_a, of_b) = alone.as_ref().map(|alone| (&alone.of_a[..], &alone.of_b[..])).unzip();
        let h = Plain { numbers: quotients, columns };
        let (a, b) = (self.powers_of_a(UNIT), self.powers_of_b(UNIT));
        let words = Words::One;
        Plan {
            left: Factor { source: h, by_rows: true },
            right: Factor { source: b, by_rows: true },
            columns: inner,
            steps: columns,
            words,
            grain,
        }
        .over(rows, grad_a, room, &|place, out, room| {
            gradient(&a, of_a, place, &room.sums, out, inner);
        });
        Plan {
            left: Factor { source: a, by_rows: false },
            right: Factor { source: h, by_rows: false },
            columns,
            steps: rows,
            words,
            grain,
        }
        .over(inner, grad_b, room, &|place, out, room| {
            gradient(&b, of_b, place, &room.sums, out, columns);
        });
    }

    /// The contributions of the entries whose quotient is NaN, which are then set to 0.
    #[cold]
    fn gradients_alone(&self, cotangent: &[T], quotients: &mut [f64]) -> Option<Alone> {
        let Self { rows, inner, columns, .. } = *self;
        if !quotients.iter().any(|h| h.is_nan()) {
            return None;
        }
        let mut alone = Alone { of_a: vec![0.0; rows * inner], of_b: vec![0.0; inner * columns] };
        let (mut b, mut shares) = (Vec::new(), vec![0.0; inner]);
        for j in 0..columns {
            b.clear();
            for i in 0..rows {
                let place = i * columns + j;
                if !quotients[place].is_nan() {
                    continue;
                }
                quotients[place] = 0.0;
                if b.is_empty() {
                    self.copy_column(j, &mut b);
                }
                matrix_entry::shares(self.sums(i, &b), &mut shares);
                let g = cotangent[place].widen();
                for (k, &share) in shares.iter().enumerate().filter(|&(_, &share)| share != 0.0) {
                    alone.of_a[i * inner + k] += g * share;
                    alone.of_b[k * columns + j] += g * share;
                }
            }
        }
        Some(alone)
    }
}

/// The contributions to the gradients of entries that are computed on their own.
struct Alone {
    of_a: Vec<f64>,
    of_b: Vec<f64>,
}

/// A matrix product, its arithmetic, and the number of multiplications that one thread does at a time.
struct Plan<L, R> {
    left: Factor<L>,
    right: Factor<R>,
    columns: usize,
    steps: usize,
    words: Words,
    grain: usize,
}

impl<L: Source + Sync, R: Source + Sync> Plan<L, R> {
    /// Computes the product block by block, and calls `finish` on each block with its rows of the output.
    fn over<O: Send>(
        &self,
        rows: usize,
        out: &mut [O],
        room: &mut Room,
        finish: &(impl Fn(Place, &mut [O], &mut Room) + Sync),
    ) {
        let least = self.grain.div_ceil(self.columns.saturating_mul(self.steps).max(1));
        in_parts(0..rows, (out, self.columns), least, 8, room, &|rows, (out, _), room: &mut Room| {
            for (out, rows) in out.chunks_mut(OUTER.saturating_mul(self.columns)).zip(blocks(rows)) {
                for columns in blocks(0..self.columns) {
                    let place = Place { rows, columns };
                    self.block(place, room);
                    finish(place, out, room);
                }
            }
        });
    }

    fn block(&self, place: Place, room: &mut Room) {
        let Self { left, right, steps, words, .. } = self;
        run(Block { left, right, place, steps: *steps, words: *words, room });
    }
}

fn blocks(range: Range<usize>) -> impl Iterator<Item = Span> {
    let end = range.end;
    range.step_by(OUTER).map(move |start| Span { start, end: end.min(start + OUTER) })
}

task! {
    /// Writes the settled values of a block, and lists the places of the others.
    fn settled_values<T: Format>(product: &Product<'_, T>, place: Place, sums: &matrix_product::Sums, bounds: Bounds, out: &mut [T], unsettled: &mut Vec<(usize, usize)>; simd: V) {
        let Place { rows, columns } = place;
        for i in 0..rows.len() {
            let row = &mut out[i * product.columns + columns.start..][..columns.len()];
            let r = simd.splat(product.r[rows.start + i]);
            for (q, out) in row.chunks_mut(8).enumerate() {
                let first = columns.start + 8 * q;
                let c = simd.load(matrix_product::first_of(&product.c[first..]));
                let (value, bound) = bounds.estimate(sums, i, q, two_sum(r, c));
                let (values, is_settled) = settled::<T, V>(value, bound);
                for (j, out) in out.iter_mut().enumerate() {
                    *out = values[j].plus_zero();
                    if !(is_settled[j] & values[j].widen().is_finite()) {
                        unsettled.push((first + j, rows.start + i));
                    }
                }
            }
        }
    }
}

/// The error of S: `relative` to S itself, and relative to the sizes of a's row and b's column.
struct Bounds {
    words: Words,
    relative: f64,
    of_sizes: f64,
}

impl Bounds {
    /// Underflow changes an S that is large enough for [`estimate`](Self::estimate) by less than 2^-300 of it.
    fn new<T: Format>(words: Words, steps: usize) -> Self {
        // Double-double exponentials.
        let relative = 2.000_01 * T::First::EXP_ERROR;
        let (sum, of_sizes) = match words {
            Words::One => (matrix_product::error_of_one_word(steps), 0.0),
            Words::DoubleDouble => (matrix_product::error_of_two_words(steps), 0.0),
            Words::Sliced => (0.0, matrix_product::error_of_slices(steps)),
        };
        Self { words, relative: relative + sum, of_sizes }
    }

    /// The values of eight entries and bounds on their errors, given r + c; NaN where there is no bound.
    ///
    /// A relative error e < 2^-10 of S changes log S by at most 1.001 e. The sum r + c + log S − log 2^(2 POWER)
    /// has rounding errors of a few 2^-105 of its parts.
    #[inline(always)]
    fn estimate<V: Vector>(
        &self,
        sums: &matrix_product::Sums,
        row: usize,
        q: usize,
        shift: DoubleDouble<V>,
    ) -> (DoubleDouble<V>, V) {
        /// The largest relative error of S.
        const MOST: f64 = power_of_two(-10);
        /// The smallest S, in its units.
        const LEAST: f64 = power_of_two(-400);
        let simd = shift.hi;
        let (place, nan) = (row * sums.stride + q, simd.splat(f64::NAN));
        let hi = simd.load(&sums.hi[place].0);
        let (s, (log, log_error)) = if self.words == Words::One {
            let (log, error) = ln::ln_f64(hi);
            (hi, (DoubleDouble::from(log), error))
        } else {
            let s = two_sum(hi, simd.load(&sums.lo[place].0));
            (s.hi, ln::ln_dd(s))
        };
        let (relative, power) = if self.words == Words::Sliced {
            let sizes = simd.splat(sums.left_sizes[row / 8].0[row % 8]) + simd.load(&sums.right_sizes[q].0);
            let of_sizes = (sizes * simd.splat(self.of_sizes)).div(s);
            (of_sizes + simd.splat(self.relative), DoubleDouble::ZERO)
        } else {
            (simd.splat(self.relative), DoubleDouble::LN_2 * DoubleDouble::from(-2.0 * f64::from(POWER)))
        };
        let relative = (-s).where_at_most(-LEAST, relative.where_at_most(MOST, relative, nan), nan);
        let value = shift + (log + power.splat(simd));
        let size = shift.hi.max(-shift.hi) + log.hi.max(-log.hi) + simd.splat(-power.hi);
        let bound = relative.mul_add(simd.splat(1.001), log_error);
        (value, size.mul_add(simd.splat(power_of_two(-102)), bound))
    }
}

task! {
    /// H = G/S of a block, in units of 2^0; 0 if G is 0, NaN if the entry must be computed on its own. S is in
    /// units of 2^-480. For S ≥ 2^-300 and G < 2^300, H b in units of 2^-240 is below 2^840, and a (H b) in units
    /// of 2^-480 below 2^780, times the number of terms: no product overflows.
    fn take_quotients<T: Format>(place: Place, sums: &matrix_product::Sums, g: &[T], out: &mut [f64], stride: usize; simd: V) {
        const LEAST_SUM: f64 = power_of_two(2 * POWER - 300);
        const MOST: f64 = power_of_two(300);
        let Place { rows, columns } = place;
        let nan = simd.splat(f64::NAN);
        for i in 0..rows.len() {
            let start = i * stride + columns.start;
            let (g, out) = (&g[start..][..columns.len()], &mut out[start..][..columns.len()]);
            for (q, (g, out)) in g.chunks(8).zip(out.chunks_mut(8)).enumerate() {
                let s = simd.load(&sums.hi[i * sums.stride + q].0);
                let g = T::load_up_to(g, simd);
                let h = g * simd.splat(power_of_two(2 * POWER)).div(s);
                let size = g.max(-g);
                let h = (-s).where_at_most(-LEAST_SUM, size.where_at_most(MOST, h, nan), nan);
                let mut eight = [0.0; 8];
                size.where_at_most(0.0, simd.splat(0.0), h).store(&mut eight);
                out.copy_from_slice(&eight[..out.len()]);
            }
        }
    }
}

task! {
    /// A block of a gradient: the exponentials times the sums, plus the contributions of entries computed on their
    /// own.
    fn gradient<T: Format>(powers: &Powers<'_, T>, alone: Option<&[f64]>, place: Place, sums: &matrix_product::Sums, out: &mut [T], stride: usize; simd: V) {
        let Place { rows, columns } = place;
        for i in 0..rows.len() {
            let row = &mut out[i * stride + columns.start..][..columns.len()];
            let start = (rows.start + i) * stride + columns.start;
            let alone = alone.map(|alone| &alone[start..][..columns.len()]);
            for (q, out) in row.chunks_mut(8).enumerate() {
                let sum = simd.load(&sums.hi[i * sums.stride + q].0);
                let power = powers.eight(rows.start + i, columns.start + 8 * q, simd).hi;
                let mut gradient = sum * power * simd.splat(power_of_two(-2 * POWER));
                if let Some(alone) = alone {
                    let mut eight = [0.0; 8];
                    let alone = &alone[8 * q..];
                    let count = alone.len().min(8);
                    eight[..count].copy_from_slice(&alone[..count]);
                    gradient = gradient + simd.load(&eight);
                }
                let mut eight = [T::default(); 8];
                T::store(gradient, &mut eight);
                out.copy_from_slice(&eight[..out.len()]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::uniform;

    /// The number of entries, out of 10 000, that the matrix product does not settle.
    fn unsettled<T: Format>(words: Words, spread: f64) -> usize {
        let mut uniform = uniform(9);
        let mut numbers = || -> Vec<T> { (0..10_000).map(|_| T::narrow(spread * uniform())).collect() };
        let (a, b, mut out) = (numbers(), numbers(), numbers());
        let batch = Batch { a: &a, b: &b, shape: [100, 100, 100].into(), grain: usize::MAX };
        let (mut maxima, mut room) = (Maxima::default(), Room::default());
        let product = batch.product(0, &mut maxima);
        let whole = Span { start: 0, end: 100 };
        let place = Place { rows: whole, columns: whole };
        product.plan(words).block(place, &mut room);
        product.settle(words, place, &mut out, &room).len()
    }

    /// Rows of log-probabilities times numbers near 0, some of them far below 0 or −∞: nearly all entries are near 0,
    /// and have the same bits whether they are settled together or alone.
    fn check_near_0<T: Format>(seed: u64) -> usize {
        let mut uniform = uniform(seed);
        let (rows, inner, columns) = (21, 300, 19);
        let mut numbers =
            |count: usize, least: f64| -> Vec<f64> { (0..count).map(|_| least * uniform()).collect() };
        let mut a = numbers(rows * inner, -9.0);
        for (i, row) in a.chunks_mut(inner).enumerate() {
            row[i] = [-700.0, -1500.0, f64::NEG_INFINITY][i % 3];
            let whole = matrix_entry::settle(Sums { x: &row[..], y: &[0.0; 300] });
            row.iter_mut().for_each(|a| *a -= whole);
        }
        let mut b = numbers(inner * columns, [-1e-9, -1e-16][seed as usize % 2]);
        b.iter_mut().step_by(3).for_each(|b| *b = 0.0);
        b.iter_mut().step_by(57).for_each(|b| *b = -3.0);
        let [a, b] = [a, b].map(|numbers| numbers.into_iter().map(T::narrow).collect::<Vec<T>>());
        let factors = Factors { a: &a, b: &b, inner, columns };
        let span = Span { start: 1, end: columns };
        let chosen: Vec<usize> = (0..rows).filter(|i| i % 4 != 1).collect();
        let found = near_product::values_near_0(factors, &chosen, span);
        let mut settled = 0;
        for (&i, found) in chosen.iter().zip(found.chunks_exact(span.len())) {
            for (j, value) in (1..columns).zip(found) {
                let column: Vec<T> = b.iter().skip(j).step_by(columns).copied().collect();
                let exact = matrix_entry::settle(Sums { x: &a[i * inner..][..inner], y: &column });
                settled += usize::from(value.is_some());
                assert!(value.is_none_or(|value| value.same_bits(exact)), "{i}, {j}");
            }
        }
        settled
    }

    #[test]
    fn entries_near_0_are_settled_together() {
        // Enough entries to detect an error that the bound does not include.
        let settled: usize = (0..200).map(check_near_0::<f64>).sum();
        let of_f32: usize = (0..10).map(check_near_0::<f32>).sum();
        println!("settled {settled} of 57 600, and {of_f32} of 2880 in f32");
        assert!(settled > 20_000 && of_f32 > 1000, "{settled} {of_f32}");
    }

    #[test]
    fn matrix_products_settle_nearly_all() {
        let of_f32 = [1.0, 10.0, 100.0].map(|spread| unsettled::<f32>(Words::One, spread));
        let of_f64 = [1.0, 10.0].map(|spread| unsettled::<f64>(Words::Sliced, spread));
        let of_f64_in_two = [1.0, 10.0, 100.0].map(|spread| unsettled::<f64>(Words::DoubleDouble, spread));
        println!("unsettled of 10 000: f32 {of_f32:?}, f64 {of_f64:?}, in two words {of_f64_in_two:?}");
        assert!(of_f32.iter().chain(&of_f64_in_two).all(|&count| count < 100));
        assert!(of_f64.iter().all(|&count| count < 300));
    }
}
