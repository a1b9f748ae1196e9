//! Cumulative log-sum-exp (a scan), its Jacobian-vector and vector-Jacobian products.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two, two_sum};
use crate::arithmetic::exp::{self, UNSCALE};
use crate::error::Error;
use crate::formats::Format;
use crate::interrupt::checkpoint;
use crate::kernels::columns::{self, LANES};
use crate::kernels::row_functions;
use crate::kernels::scan::{self, Before, CHUNK, Sums};
use crate::operations::per_format::{Float, compiled};
use crate::operations::row_reduction::same_length;
use crate::simd::{scalar_tasks, task};
use crate::threads::{in_parts, worth};
use crate::ziv::prefixes::Prefixes;
use std::ops::Range;

/// Writes the cumulative log-sum-exp log Σ_{k ≤ i} e^{z_k} for each i into `out`.
///
/// Each value is correctly rounded: it has the bits of the [`logsumexp`](crate::logsumexp) of its numbers. The time is
/// proportional to the length, unless values are so near to half-way points that 256 bits do not settle them.
///
/// | input | value |
/// |---|---|
/// | only −∞ so far | −∞ |
/// | a +∞ so far, and no NaN | +∞ |
/// | a NaN so far | NaN |
///
/// See also [`Cumulative`] for the reverse direction, the exclusive form and the derivatives.
///
/// ```
/// let mut out = [0.0; 4];
/// logsum::logcumsumexp(&[0.0, -40.0, 1e3, 1e3], &mut out)?;
/// assert_eq!(out, [0.0, 4.248354255291589e-18, 1e3, 1000.6931471805599]);
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// [`Error::LengthMismatch`] if `out` is not as long as `z`; nothing is written then.
#[doc(alias("cumlogsumexp"))]
pub fn logcumsumexp<T: Float>(z: &[T], out: &mut [T]) -> Result<(), Error> {
    Cumulative::forward().logsumexp(z, out)
}

/// A kind of cumulative log-sum-exp: its direction, and whether value i includes number i.
///
/// ```
/// use logsum::Cumulative;
/// let mut out = [0.0; 3];
/// Cumulative::reverse().exclusive().logsumexp(&[5.0, 1.0, 1.0], &mut out)?;
/// assert_eq!(out, [1.0 + std::f64::consts::LN_2, 1.0, f64::NEG_INFINITY]);
/// # Ok::<(), logsum::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cumulative {
    is_reverse: bool,
    is_exclusive: bool,
}

impl Cumulative {
    /// Value i is the log-sum-exp of all numbers k ≤ i.
    ///
    /// ```
    /// let mut out = [0.0; 2];
    /// logsum::Cumulative::forward().logsumexp(&[0.0, 0.0], &mut out)?;
    /// assert_eq!(out, [0.0, std::f64::consts::LN_2]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    #[must_use]
    pub fn forward() -> Self {
        Self { is_reverse: false, is_exclusive: false }
    }

    /// Value i is the log-sum-exp of all numbers k ≥ i.
    ///
    /// ```
    /// let mut out = [0.0; 2];
    /// logsum::Cumulative::reverse().logsumexp(&[0.0, 0.0], &mut out)?;
    /// assert_eq!(out, [std::f64::consts::LN_2, 0.0]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    #[must_use]
    pub fn reverse() -> Self {
        Self { is_reverse: true, is_exclusive: false }
    }

    /// Excludes number i itself from value i: k < i, or k > i. The first value in the direction of the scan is −∞.
    ///
    /// ```
    /// let mut out = [0.0; 2];
    /// logsum::Cumulative::forward().exclusive().logsumexp(&[5.0, 0.0], &mut out)?;
    /// assert_eq!(out, [f64::NEG_INFINITY, 5.0]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    #[must_use]
    pub fn exclusive(self) -> Self {
        Self { is_exclusive: true, ..self }
    }

    /// Writes the cumulative log-sum-exps into `out`, with the bounds and special cases of [`logcumsumexp`].
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `out` is not as long as `z`; nothing is written then.
    pub fn logsumexp<T: Float>(self, z: &[T], out: &mut [T]) -> Result<(), Error> {
        <T as Compiled<T>>::logsumexp(self, z, out)
    }

    /// Writes the values of [`logsumexp`](Self::logsumexp) into `out`, and their derivatives in the direction
    /// `tangent` into `slopes`: Σ t_k e^{z_k} / Σ e^{z_k} over the range of each value.
    ///
    /// The absolute error of each derivative is at most half an ulp plus 2^-59 of Σ |t_k| e^{z_k} / Σ e^{z_k}. A
    /// derivative is 0 if all numbers in its range are −∞; if some are +∞, it is the mean of the tangents there; and it
    /// is NaN if one is NaN.
    ///
    /// ```
    /// let (mut out, mut slopes) = ([0.0; 2], [0.0; 2]);
    /// logsum::Cumulative::forward().jvp(&[0.0, 0.0], &[1.0, 3.0], &mut out, &mut slopes)?;
    /// assert_eq!((out, slopes), ([0.0, std::f64::consts::LN_2], [1.0, 2.0]));
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `tangent`, `out` or `slopes` is not as long as `z`; nothing is written then.
    pub fn jvp<T: Float>(self, z: &[T], tangent: &[T], out: &mut [T], slopes: &mut [T]) -> Result<(), Error> {
        <T as Compiled<T>>::jvp(self, z, tangent, out, slopes)
    }

    /// Writes the gradient of Σ G_i value_i with respect to z into `out`, for a cotangent G: element k is
    /// Σ G_i e^{z_k − value_i} over the values whose range includes z_k.
    ///
    /// The absolute error of each element is at most half an ulp plus 2^-59 of the sum of its terms' magnitudes. An
    /// element is 0 where z is −∞. The cotangent of a value +∞ is shared equally by the +∞ in its range. A NaN
    /// in the range of a value makes all elements in that range NaN. The function allocates 24 bytes per number.
    ///
    /// ```
    /// let mut out = [0.0; 2];
    /// logsum::Cumulative::forward().vjp(&[0.0, 0.0], &[1.0, 1.0], &mut out)?;
    /// assert_eq!(out, [1.5, 0.5]); // the first number is in both values
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `cotangent` or `out` is not as long as `z`; nothing is written then.
    pub fn vjp<T: Float>(self, z: &[T], cotangent: &[T], out: &mut [T]) -> Result<(), Error> {
        <T as Compiled<T>>::vjp(self, z, cotangent, out)
    }
}

compiled! {
    fn cumulative_rows(which: Cumulative, z: &[T], length: usize, out: &mut [T]) {
        which.rows(z, length, out);
    }

    fn logsumexp(which: Cumulative, z: &[T], out: &mut [T]) -> Result<(), Error> {
        same_length("out", out, "z", z)?;
        which.rows(z, z.len(), out);
        Ok(())
    }

    fn jvp(
        which: Cumulative,
        z: &[T],
        tangent: &[T],
        out: &mut [T],
        slopes: &mut [T],
    ) -> Result<(), Error> {
        same_length("tangent", tangent, "z", z)?;
        same_length("out", out, "z", z)?;
        same_length("slopes", slopes, "z", z)?;
        which.rows(z, z.len(), out);
        let (mut sum, unit) = (Running::EMPTY, unit(tangent));
        for i in 0..z.len() {
            let place = which.place(i, z.len());
            let slope = |sum: &Running| T::narrow(sum.slope() * unit);
            if which.is_exclusive {
                slopes[place] = slope(&sum);
            }
            sum.push(z[place].widen(), tangent[place].widen() / unit);
            if !which.is_exclusive {
                slopes[place] = slope(&sum);
            }
        }
        Ok(())
    }

    fn vjp(which: Cumulative, z: &[T], cotangent: &[T], out: &mut [T]) -> Result<(), Error> {
        same_length("cotangent", cotangent, "z", z)?;
        same_length("out", out, "z", z)?;
        let mut sum = Running::EMPTY;
        // Maximum and sum of each value, the denominator of its shares.
        let parts: Vec<(f64, DoubleDouble)> = (0..z.len())
            .map(|i| {
                let before = (sum.max, sum.whole());
                sum.push(z[which.place(i, z.len())].widen(), 0.0);
                if which.is_exclusive { before } else { (sum.max, sum.whole()) }
            })
            .collect();
        let (mut weights, unit) = (Weights { max: f64::INFINITY, sum: DoubleDouble::ZERO }, unit(cotangent));
        for i in (0..z.len()).rev() {
            let place = which.place(i, z.len());
            let (max, whole) = parts[i];
            let share = |weights: &Weights| T::narrow(weights.share(z[place].widen()) * unit);
            if which.is_exclusive {
                out[place] = share(&weights);
            }
            weights.push(max, whole, cotangent[place].widen() / unit);
            if !which.is_exclusive {
                out[place] = share(&weights);
            }
        }
        Ok(())
    }
}

/// The unit, a power of 2, in which sums of these numbers do not overflow. Beside numbers beyond 2^1000, those below
/// 2^-900 lose bits.
fn unit<T: Format>(numbers: &[T]) -> f64 {
    let is_great = |x: &T| x.widen().abs() > power_of_two(1000);
    if numbers.iter().any(is_great) { power_of_two(60) } else { 1.0 }
}

impl Cumulative {
    /// Writes the values of each row of `length` numbers.
    pub(crate) fn rows<T: Format>(self, z: &[T], length: usize, out: &mut [T]) {
        if length == 0 {
            return;
        }
        let count = z.len() / length;
        let (least, room) = (worth(count, length), &mut Work::default());
        in_parts(0..count, (out, length), least, LANES, room, &|rows, (out, _), work: &mut Work<T>| {
            self.rows_alone(&z[rows.start * length..rows.end * length], length, out, work);
        });
    }

    /// Writes the values of rows on the current thread.
    fn rows_alone<T: Format>(self, z: &[T], length: usize, out: &mut [T], work: &mut Work<T>) {
        work.make_room(length.min(CHUNK));
        for (z, out) in z.chunks(LANES * length).zip(out.chunks_mut(LANES * length)) {
            let rows = z.len() / length;
            let mut states = [State::EMPTY; LANES];
            // The last value of each row.
            let mut last = [T::NEG_INFINITY; LANES];
            let mut prefixes = [const { None }; LANES];
            // A single row is processed in eight consecutive chunks at a time; several rows one chunk per row at a
            // time.
            let step = if rows == 1 { LANES * CHUNK } else { CHUNK };
            for start in (0..length).step_by(step) {
                checkpoint();
                let size = step.min(length - start);
                // The length of a chunk, or of the part of one that is left.
                let height = size.min(CHUNK);
                for row in 0..rows {
                    let from = if self.is_reverse { length - start - size } else { start };
                    let numbers = &z[row * length + from..][..size];
                    let place = &mut work.numbers[row * height..][..size];
                    place.copy_from_slice(numbers);
                    if self.is_reverse {
                        place.reverse();
                    }
                }
                if rows == 1 {
                    work.numbers[size..].fill(T::NEG_INFINITY);
                }
                let columns = if rows == 1 { size.div_ceil(CHUNK) } else { rows };
                work.run(&mut states, rows == 1, columns, height);
                for column in 0..columns {
                    let (row, offset) = if rows == 1 { (0, start + column * CHUNK) } else { (column, start) };
                    let size = CHUNK.min(length - offset);
                    let z = &z[row * length..][..length];
                    for i in 0..size {
                        let value = &mut work.numbers[column * height + i];
                        if work.marks[i][column] != 0.0 {
                            // Nothing is added: the value is the one before.
                            let is_same =
                                self.at(z, offset + i).widen() == f64::NEG_INFINITY && offset + i > 0;
                            let prefixes = prefixes[row].get_or_insert_with(Prefixes::new);
                            let numbers = |places| self.numbers(z, places);
                            *value =
                                if is_same { last[row] } else { prefixes.value(offset + i + 1, numbers) };
                        }
                        last[row] = *value;
                    }
                    let values = &work.numbers[column * height..][..size];
                    self.write(values, offset, &mut out[row * length..][..length]);
                }
            }
        }
    }

    /// The number at position i of the scan.
    fn at<T: Format>(self, z: &[T], i: usize) -> T {
        if self.is_reverse { z[z.len() - 1 - i] } else { z[i] }
    }

    /// The numbers at these positions of the scan.
    fn numbers<T: Format>(self, z: &[T], Range { start, end }: Range<usize>) -> &[T] {
        if self.is_reverse { &z[z.len() - end..z.len() - start] } else { &z[start..end] }
    }

    /// Writes the inclusive values at the positions from `offset` on, shifted by one if exclusive.
    fn write<T: Format>(self, values: &[T], offset: usize, out: &mut [T]) {
        let shift = usize::from(self.is_exclusive);
        if self.is_exclusive && offset == 0 {
            let first = if self.is_reverse { out.len() - 1 } else { 0 };
            out[first] = T::NEG_INFINITY;
        }
        let start = offset + shift;
        let count = values.len().min(out.len().saturating_sub(start));
        if !self.is_reverse {
            out[start..][..count].copy_from_slice(&values[..count]);
            return;
        }
        let length = out.len();
        for (i, &value) in values[..count].iter().enumerate() {
            out[length - 1 - start - i] = value;
        }
    }

    /// The index of the number at position i of the scan.
    fn place(self, i: usize, length: usize) -> usize {
        if self.is_reverse { length - 1 - i } else { i }
    }
}

/// The sum so far, as e^max · (1 + t).
#[derive(Clone, Copy)]
struct State {
    max: f64,
    /// In units of UNSCALE.
    t: DoubleDouble,
    has_nan: bool,
}

impl State {
    const EMPTY: Self = Self { max: f64::NEG_INFINITY, t: DoubleDouble::ZERO, has_nan: false };
}

/// Buffers for eight chunks.
#[derive(Default)]
struct Work<T> {
    /// The numbers, chunk by chunk; later the values.
    numbers: Vec<T>,
    tile: Vec<[f64; LANES]>,
    sums: Sums,
    /// 0 where the rounding test settles a value.
    marks: Vec<[f64; LANES]>,
}

impl<T: Format> Work<T> {
    /// Makes room for chunks of this length.
    fn make_room(&mut self, height: usize) {
        self.numbers.resize(LANES * height, T::NEG_INFINITY);
        for rows in [&mut self.tile, &mut self.sums.hi, &mut self.sums.lo, &mut self.marks] {
            rows.resize(height, [0.0; LANES]);
        }
    }

    /// Replaces the numbers of each chunk by values, and marks those that are not settled. The chunks are
    /// consecutive if `are_one_row`; otherwise each belongs to its own row and state.
    fn run(&mut self, states: &mut [State; LANES], are_one_row: bool, columns: usize, height: usize) {
        let (numbers, tile) = (&mut self.numbers[..LANES * height], &mut self.tile[..height]);
        columns::from_rows(numbers, tile);
        if columns < LANES {
            // Columns without a chunk are filled with 0. Sums of −∞ alone would leave a subnormal bound there,
            // whose products take Intel's processors about a hundred cycles in every step.
            for row in &mut *tile {
                row[columns..].fill(0.0);
            }
        }
        let mut before = Before { max: [0.0; LANES], hi: [0.0; LANES], lo: [0.0; LANES], first: [0; LANES] };
        let mut is_edge = [false; LANES];
        // The maximum before each chunk.
        let mut old_max = [f64::NEG_INFINITY; LANES];
        let mut running = states[0].max;
        for j in 0..columns {
            let chunk = &numbers[j * height..][..height];
            let max = row_functions::greatest(chunk);
            let so_far = if are_one_row { running } else { states[j].max };
            old_max[j] = so_far;
            let together = if so_far.is_nan() { so_far } else { so_far.max(max) };
            running = together;
            is_edge[j] = !together.is_finite();
            before.max[j] = if is_edge[j] { 0.0 } else { together };
            if max > so_far && !is_edge[j] {
                // The first maximum is left out of the sum.
                let first = chunk.iter().position(|z| z.widen() == max).unwrap_or(0);
                before.first[j] = first;
                tile[first][j] = f64::NEG_INFINITY;
            }
            if !are_one_row {
                states[j].max = together;
            }
        }
        if are_one_row {
            states[0].max = running;
        }
        scan::sums(tile, &before.max, &mut self.sums);
        for j in 0..columns {
            let state = if are_one_row { 0 } else { j };
            // After a NaN every value is NaN.
            let has_nan = match before.max[j] {
                0.0 if is_edge[j] => numbers[j * height..][..height].iter().any(|z| z.widen().is_nan()),
                _ => self.sums.hi[height - 1][j].is_nan(),
            };
            if has_nan || states[state].has_nan {
                old_max[j] = if states[state].has_nan { f64::NAN } else { old_max[j] };
                states[state] = State { max: f64::NAN, t: DoubleDouble::ZERO, has_nan: true };
                is_edge[j] = true;
            }
            let t = states[state].t;
            let shifted = if is_edge[j] {
                DoubleDouble::ZERO
            } else if old_max[j] == before.max[j] {
                t
            } else {
                raise(t, old_max[j], before.max[j])
            };
            (before.hi[j], before.lo[j]) = (shifted.hi, shifted.lo);
            // The padding after the last number is −∞, which changes nothing.
            let sum = two_sum(self.sums.hi[height - 1][j], self.sums.lo[height - 1][j]);
            states[state].t = shifted + sum;
        }
        scan::logarithms::<T>(&self.sums, &before, tile, &mut self.marks);
        let edges: Vec<T> = self.edges(&is_edge, &old_max, columns, height);
        columns::to_rows(&self.tile[..height], &mut self.numbers[..LANES * height]);
        for (j, _) in is_edge.iter().enumerate().filter(|(_, is_edge)| **is_edge) {
            self.numbers[j * height..][..height].copy_from_slice(&edges[j * height..][..height]);
        }
    }

    /// The values of chunks in which the maximum so far is NaN, +∞ or −∞; values before the first NaN or +∞ are
    /// marked as unsettled.
    fn edges(
        &mut self,
        is_edge: &[bool; LANES],
        old_max: &[f64; LANES],
        columns: usize,
        height: usize,
    ) -> Vec<T> {
        if !is_edge[..columns].contains(&true) {
            return Vec::new();
        }
        let mut values = self.numbers.clone();
        for j in (0..columns).filter(|&j| is_edge[j]) {
            let mut max = old_max[j];
            for i in 0..height {
                let z = self.numbers[j * height + i].widen();
                max = if max.is_nan() || z.is_nan() { f64::NAN } else { max.max(z) };
                values[j * height + i] = T::narrow(max);
                self.marks[i][j] = if max.is_finite() { 1.0 } else { 0.0 };
            }
        }
        values
    }
}

task! {
    /// (1 + t) e^{from − to}, in units of UNSCALE.
    fn raise(t: DoubleDouble, from: f64, to: f64; _: V) -> DoubleDouble {
        if from == f64::NEG_INFINITY {
            return DoubleDouble::ZERO;
        }
        let factor = exp::exp_dd_wide(from, DoubleDouble::from(to));
        (t.scaled(UNSCALE) + 1.0) * factor
    }
}

/// A number times a power e^d that is given in units of UNSCALE, and that counts as 0 from d = −1000 on. A great number
/// times the power may overflow; a small one in these units may be subnormal.
#[inline(always)]
fn times_power(number: DoubleDouble, power: DoubleDouble, d: f64) -> DoubleDouble {
    match number.hi.abs() > 1.0 {
        _ if d <= exp::LEAST => DoubleDouble::ZERO,
        true => power * number.scaled(UNSCALE),
        false => (power * number).scaled(UNSCALE),
    }
}

/// The sum so far as e^max · (1 + t), and Σ t_k e^{z_k − max}, updated one number at a time.
#[derive(Clone, Copy)]
struct Running {
    max: f64,
    /// The number of +∞ so far.
    count: f64,
    t: DoubleDouble,
    slope: DoubleDouble,
}

impl Running {
    const EMPTY: Self =
        Self { max: f64::NEG_INFINITY, count: 0.0, t: DoubleDouble::ZERO, slope: DoubleDouble::ZERO };

    fn push(&mut self, z: f64, tangent: f64) {
        *self = push(*self, z, tangent);
    }

    /// 1 + t; the number of +∞ if the maximum is +∞.
    fn whole(&self) -> DoubleDouble {
        if self.max == f64::INFINITY { DoubleDouble::from(self.count) } else { self.t + 1.0 }
    }

    fn slope(&self) -> f64 {
        match self.max {
            f64::NEG_INFINITY => 0.0,
            max if max.is_nan() => max,
            _ => scalar_tasks::quotient(self.slope, self.whole()).hi,
        }
    }
}

task! {
    fn push(sum: Running, z: f64, tangent: f64; _: V) -> Running {
        let tangent = DoubleDouble::from(tangent);
        if sum.max.is_nan() || z.is_nan() {
            return Running { max: f64::NAN, ..sum };
        }
        if z == f64::INFINITY {
            let slope = if sum.max == z { sum.slope + tangent } else { tangent };
            return Running { max: z, count: sum.count + 1.0, t: DoubleDouble::ZERO, slope };
        }
        if z == f64::NEG_INFINITY || sum.max == f64::INFINITY {
            return sum;
        }
        if sum.max == f64::NEG_INFINITY {
            return Running { max: z, slope: tangent, ..sum };
        }
        if z > sum.max {
            let factor = exp::exp_dd_wide(sum.max, DoubleDouble::from(z));
            let slope = times_power(sum.slope, factor, sum.max - z) + tangent;
            return Running { max: z, t: ((sum.t + 1.0) * factor.scaled(UNSCALE)), slope, ..sum };
        }
        let power = exp::exp_dd(z, sum.max);
        let slope = sum.slope + times_power(tangent, power, z - sum.max);
        Running { t: (sum.t + power.scaled(UNSCALE)), slope, ..sum }
    }
}

/// Σ G_i / e^{value_i} over the values from the last one backwards, as e^-max · sum.
struct Weights {
    max: f64,
    sum: DoubleDouble,
}

impl Weights {
    fn push(&mut self, max: f64, whole: DoubleDouble, cotangent: f64) {
        if max == f64::NEG_INFINITY {
            return;
        }
        *self = push_weight(self.max, self.sum, max, whole, cotangent);
    }

    /// e^z times the sum.
    fn share(&self, z: f64) -> f64 {
        if self.max.is_nan() || z.is_nan() {
            return f64::NAN;
        }
        match z {
            f64::NEG_INFINITY => 0.0,
            f64::INFINITY if self.max == z => self.sum.hi,
            _ if self.max == f64::INFINITY => 0.0,
            _ => share_of(z, self.max, self.sum),
        }
    }
}

task! {
    fn push_weight(max: f64, sum: DoubleDouble, new: f64, whole: DoubleDouble, cotangent: f64; _: V) -> Weights {
        if max.is_nan() || new.is_nan() {
            return Weights { max: f64::NAN, sum };
        }
        let sum = match () {
            () if new == max => sum,
            // Values +∞ contribute nothing to finite numbers.
            () if max == f64::INFINITY => DoubleDouble::ZERO,
            () => times_power(sum, exp::exp_dd_wide(new, DoubleDouble::from(max)), new - max),
        };
        let weight = DoubleDouble::from(cotangent) / whole;
        Weights { max: new, sum: (sum + weight) }
    }
}

task! {
    fn share_of(z: f64, max: f64, sum: DoubleDouble; _: V) -> f64 {
        times_power(sum, exp::exp_dd_wide(z, DoubleDouble::from(max)), z - max).hi
    }
}
