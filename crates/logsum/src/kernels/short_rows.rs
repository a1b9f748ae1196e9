//! Rows too short to fill vectors by themselves: eight rows at a time, one per SIMD lane, from exponentials to
//! rounding.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two, two_sum};
use crate::arithmetic::exp::{self, UNSCALE};
use crate::arithmetic::ln;
use crate::arithmetic::log_of_sum::{
    SLACK, error_of_rest, error_of_share, estimate, log_of_tail, rest, scaled_log_of_tail, share_of_tail,
};
use crate::arithmetic::precision::{InDoubleDouble, InF64, Number, Precision};
use crate::formats::Format;
use crate::formats::nearest::settled;
use crate::kernels::block::{self, AT_0, LONG};
use crate::kernels::columns::{self, LANES, Tile};
use crate::kernels::signed_block;
use crate::kernels::{Each, Factor, Scaled};
use crate::simd::{Keep, Task, Vector, lanes, run, task};
use std::marker::PhantomData;

/// Rows shorter than this are processed eight at a time.
pub(crate) const SHORT: usize = LONG;

/// A tile, aligned to cache lines.
#[repr(align(64))]
struct AlignedTile([[f64; LANES]; SHORT]);

/// Scratch buffers for a tile of short rows and its exponentials, aligned to cache lines.
#[repr(align(64))]
pub(crate) struct Room<P: Keep> {
    tile: [[f64; LANES]; SHORT],
    kept: [P::Kept; SHORT],
}

impl<P: Keep> Default for Room<P> {
    fn default() -> Self {
        Self { tile: [[f64::NEG_INFINITY; LANES]; SHORT], kept: [P::Kept::default(); SHORT] }
    }
}

impl<P: Keep> Room<P> {
    /// A tile of this length.
    pub(crate) fn tile(&mut self, length: usize) -> &mut Tile {
        &mut self.tile[..length]
    }

    #[inline(always)]
    fn parts(&mut self, length: usize) -> (&mut Tile, &mut [P::Kept]) {
        (&mut self.tile[..length], &mut self.kept[..length])
    }
}

/// Which of eight rows must be processed alone, bit j for row j: their values, and the functions of their elements.
#[derive(Clone, Copy, Default)]
pub(crate) struct Left {
    pub(crate) values: u8,
    pub(crate) each: u8,
}

/// The number of groups of eight rows processed together, which hides the latency of each logarithm behind the
/// others.
pub(crate) const GROUPS: usize = 8;

task! {
    /// Writes a function of each element of up to [`GROUPS`] groups of eight rows, and the values if there is room for
    /// them.
    pub(crate) fn each<T: Format>(
        each: Each,
        rows: &[T],
        length: usize,
        values: Option<&mut [T]>,
        out: &mut [T],
        room: &mut Room<T::Elements>;
        simd: V
    ) -> [Left; GROUPS] {
        let (tile, kept) = room.parts(length);
        let (mut values, mut left) = (values, [Left::default(); GROUPS]);
        let groups = rows.chunks(LANES * length).zip(out.chunks_mut(LANES * length));
        for (g, ((rows, out), left)) in groups.zip(&mut left).enumerate() {
            columns::fill_from_rows(rows, tile, simd);
            let of_group = values.as_deref_mut().map(|values| &mut values[g * LANES..][..rows.len() / length]);
            *left = replace::<T, V>(each, tile, kept, of_group, simd);
            columns::write_to_rows(tile, out, simd);
        }
        left
    }
}

task! {
    /// [`each`] of at most eight rows, which are the columns of the room's tile: its elements are replaced by the
    /// results.
    pub(crate) fn each_of_tile<T: Format>(
        each: Each,
        length: usize,
        values: Option<&mut [T]>,
        room: &mut Room<T::Elements>;
        simd: V
    ) -> Left {
        let (tile, kept) = room.parts(length);
        replace::<T, V>(each, tile, kept, values, simd)
    }
}

task! {
    /// Writes the values of at most eight rows, the columns of the tile, and returns the mask of those that must be
    /// processed alone.
    pub(crate) fn values_of_tile<T: Format>(tile: &mut Tile, values: &mut [T]; simd: V) -> u8 {
        tails::<T::First, V>(tile, None, simd).write_values(values)
    }
}

#[inline(always)]
fn replace<T: Format, V: Vector>(
    each: Each,
    tile: &mut Tile,
    kept: &mut [<T::Elements as Keep>::Kept],
    values: Option<&mut [T]>,
    simd: V,
) -> Left {
    let tails = match each {
        Each::Share => tails::<T::Elements, V>(tile, Some(&mut *kept), simd),
        Each::LogShare => tails::<T::Elements, V>(tile, None, simd),
    };
    // A closure would not be compiled for the level.
    let values = match values {
        Some(values) => tails.write_values(values),
        None => 0,
    };
    let unsettled = match each {
        Each::Share => write_shares::<T, V>(tile, kept, tails),
        Each::LogShare => write_log_shares::<T, V>(tile, tails),
    };
    Left { values, each: tails.wrong | unsettled }
}

/// Replaces each number by its share, and returns the mask of the rows in which one is not settled.
#[inline(always)]
fn write_shares<T: Format, V: Vector>(
    tile: &mut Tile,
    kept: &[<T::Elements as Keep>::Kept],
    tails: Tails<T::Elements, V>,
) -> u8 {
    let Tails { max, tail, error, .. } = tails;
    let error = error_of_share::<T::Elements, V>(tail.hi + max.splat(1.0 / UNSCALE), error);
    let (inverse, mut mask) = (inverse(tail), 0);
    for (place, kept) in tile.iter_mut().zip(kept) {
        let [low, high] = T::Elements::kept(kept, max).scaled_ends(inverse, error);
        high.store(place);
        mask |= T::differ(low, high);
    }
    mask
}

/// Replaces each number by the logarithm of its share, and returns the mask of the rows in which one is not settled.
#[inline(always)]
fn write_log_shares<T: Format, V: Vector>(tile: &mut Tile, tails: Tails<T::Elements, V>) -> u8 {
    let Tails { max, tail, error, .. } = tails;
    let (log, error) = log_of_tail::<T::Elements, V>(tail, error);
    let mut mask = 0;
    for place in tile {
        let [low, high] = T::Elements::log_share_ends(max.load(place), max, log, error);
        high.store(place);
        mask |= T::differ(low, high);
    }
    mask
}

/// Writes the values of up to [`GROUPS`] groups of eight rows, and returns which of them are settled.
pub(crate) fn values<T: Format>(rows: &[T], length: usize, values: &mut [T]) -> [[bool; LANES]; GROUPS] {
    run(Values { rows, length, values })
}

struct Values<'a, T> {
    rows: &'a [T],
    length: usize,
    values: &'a mut [T],
}

impl<T: Format> Task for Values<'_, T> {
    type Output = [[bool; LANES]; GROUPS];

    #[inline(always)]
    fn run<V: Vector>(self, simd: V) -> Self::Output {
        let Self { rows, length, values } = self;
        if T::First::STARTS_FROM_NOTHING && length >= LANES && block::maximum(rows, simd) <= AT_0 {
            let has_value = plain_values(rows, length, values, simd);
            let count = has_value.as_flattened().iter().filter(|&&settled| settled).count();
            // Values near 0, which this cannot settle, tend to occur together: the groups below are faster for them.
            if count + LANES / 2 >= values.len() {
                return has_value;
            }
        }
        let nothing = Tails::<T::First, V>::nothing(simd);
        let mut groups = [nothing; GROUPS];
        let mut tile = AlignedTile([[0.0; LANES]; SHORT]);
        let tile = &mut tile.0[..length];
        for (rows, group) in rows.chunks(LANES * length).zip(&mut groups) {
            columns::fill_from_rows(rows, tile, simd);
            *group = tails(tile, None, simd);
        }
        let mut has_value = [[false; LANES]; GROUPS];
        for ((values, group), has_value) in values.chunks_mut(LANES).zip(&groups).zip(&mut has_value) {
            let (lows, settled) = group.values::<T>();
            *has_value = settled;
            values.copy_from_slice(&lows[..values.len()]);
        }
        if !T::First::IS_DOUBLE_DOUBLE {
            let groups = rows.chunks(LANES * length).zip(values.chunks_mut(LANES)).zip(&mut has_value);
            for ((rows, values), has_value) in groups {
                // A single one takes less time on its own.
                if has_value[..values.len()].iter().filter(|&&is_settled| !is_settled).count() > 1 {
                    columns::fill_from_rows(rows, tile, simd);
                    let (lows, settled) = tails::<InDoubleDouble, V>(tile, None, simd).values::<T>();
                    *has_value = settled;
                    values.copy_from_slice(&lows[..values.len()]);
                }
            }
        }
        has_value
    }
}

/// Writes log Σ e^z, without a shift, of rows whose numbers are at most [`AT_0`], each row in vectors of its own,
/// and returns which values are settled.
///
/// The relative error of the sum, from exponentials and additions, is an absolute error of the logarithm, which
/// adds its own. Numbers below −1000 count as −1000, less than 2^-1300 of a sum of at least [`LEAST_SUM`]. A NaN
/// settles nothing.
#[inline(always)]
fn plain_values<T: Format, V: Vector>(
    rows: &[T],
    length: usize,
    values: &mut [T],
    simd: V,
) -> [[bool; LANES]; GROUPS] {
    let zero = simd.splat(0.0);
    let mut sums = [zero; GROUPS];
    for (rows, sum) in rows.chunks(LANES * length).zip(&mut sums) {
        let mut parts = [zero; LANES];
        for (row, part) in rows.chunks_exact(length).zip(&mut parts) {
            let (whole, rest) = row.as_chunks();
            for numbers in whole {
                *part = *part + exp::exp_f64_at_0(T::load(numbers, simd));
            }
            if !rest.is_empty() {
                *part = *part + exp::exp_f64_at_0(T::load_up_to(rest, simd));
            }
        }
        let [a, b, c, d, e, f, g, h] = V::transposed(parts);
        *sum = (((a + e) + (c + g)) + ((b + f) + (d + h))) * simd.splat(UNSCALE);
    }
    let mut has_value = [[false; LANES]; GROUPS];
    for ((values, sum), has_value) in values.chunks_mut(LANES).zip(sums).zip(&mut has_value) {
        let (log, error) = ln::ln_f64(sum);
        let bound = error + simd.splat((InF64::EXP_ERROR + InF64::SUM_ERROR) * SLACK);
        let (lows, is_settled) = settled::<T, V>(DoubleDouble::from(log), bound);
        let mut sums = [0.0; LANES];
        sum.store(&mut sums);
        for j in 0..LANES {
            has_value[j] = is_settled[j] && sums[j] >= LEAST_SUM;
        }
        values.copy_from_slice(&lows[..values.len()]);
    }
    has_value
}

/// Below e^-[`AT_0`]. Rows with a smaller sum need the maximum as their shift.
const LEAST_SUM: f64 = power_of_two(-93);

/// The maximum of each of eight rows and the sum of its other terms.
struct Tails<P, V> {
    max: V,
    /// In units of UNSCALE.
    tail: DoubleDouble<V>,
    error: V,
    /// The mask of the rows whose maximum is infinite, or that have a NaN: their results are meaningless.
    wrong: u8,
    precision: PhantomData<fn() -> P>,
}

// Derived implementations would require Clone and Copy of P.
impl<P, V: Copy> Clone for Tails<P, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P, V: Copy> Copy for Tails<P, V> {}

impl<P: Precision, V: Vector> Tails<P, V> {
    #[inline(always)]
    fn nothing(simd: V) -> Self {
        let zero = simd.splat(0.0);
        Self {
            max: zero,
            tail: DoubleDouble::from(zero),
            error: zero,
            wrong: u8::MAX,
            precision: PhantomData,
        }
    }

    /// The log-sum-exps, and whether each is settled.
    #[inline(always)]
    fn values<T: Format>(&self) -> ([T; LANES], [bool; LANES]) {
        let (value, bound) = estimate::<P, V>(self.max, self.tail, self.error);
        let (lows, mut has_value) = settled::<T, V>(value, bound);
        for (j, has_value) in has_value.iter_mut().enumerate() {
            *has_value &= self.wrong >> j & 1 == 0;
        }
        (lows, has_value)
    }

    /// Writes the log-sum-exps of the first rows, and returns the mask of those that are not settled.
    #[inline(always)]
    fn write_values<T: Format>(&self, values: &mut [T]) -> u8 {
        let (lows, has_value) = self.values::<T>();
        values.copy_from_slice(&lows[..values.len()]);
        let mut left = 0;
        for (j, has_value) in has_value.iter().enumerate() {
            left |= u8::from(!has_value) << j;
        }
        left
    }
}

/// The maximum of each row, and the mask of the rows whose maximum is infinite, for which it is 0.
#[inline(always)]
fn finite_maxima<V: Vector>(tile: &Tile, simd: V) -> (V, u8) {
    let greatest = columns::maxima(tile.as_flattened(), simd);
    let zero = simd.splat(0.0);
    let max = greatest.where_at_most(f64::MAX, greatest, zero);
    let max = (-max).where_at_most(f64::MAX, max, zero);
    (max, greatest.differ(max))
}

/// The exponentials are stored in `kept`, if any.
#[inline(always)]
fn tails<P: Keep, V: Vector>(tile: &mut Tile, kept: Option<&mut [P::Kept]>, simd: V) -> Tails<P, V> {
    let one = DoubleDouble::from(simd.splat(1.0 / UNSCALE));
    let (max, infinite) = finite_maxima(tile, simd);
    let sum = columns::sum::<false, P, f64, V>(tile.as_flattened(), max, simd.splat(1.0), kept);
    let (mut tail, mut error) = rest::<P, V>(sum, one);
    let wrong = infinite | tail.hi.differ(tail.hi);
    let small = tail.hi.differ(tail.hi.max(simd.splat(P::LEAST_REST / UNSCALE))) & !wrong;
    if small != 0 {
        (tail, error) = with_rests::<P, V>(tile, max, (tail, error), small);
    }
    Tails { max, tail, error, wrong, precision: PhantomData }
}

/// 1 / Σ e^{z_k − max}.
#[inline(always)]
fn inverse<V: Vector>(tail: DoubleDouble<V>) -> DoubleDouble<V> {
    let simd = tail.hi;
    let one = DoubleDouble::from(simd.splat(1.0));
    one / (tail + DoubleDouble { hi: simd.splat(1.0 / UNSCALE), lo: one.lo }).scaled(simd.splat(UNSCALE))
}

task! {
    /// Writes log |Σ b e^z| of at most eight rows, and the sign of each sum. Returns the mask of the rows that must be
    /// processed alone.
    pub(crate) fn weighted<T: Format>(
        z: &[T],
        b: &[T],
        length: usize,
        values: &mut [T],
        signs: &mut [T],
        rooms: &mut (Room<T::First>, Room<T::First>);
        simd: V
    ) -> u8 {
        let (tile, weights) = (rooms.0.tile(length), rooms.1.tile(length));
        columns::fill_from_rows(z, tile, simd);
        columns::fill_from_rows(b, weights, simd);
        let (max, wrong) = finite_maxima(tile, simd);
        let zero = simd.splat(0.0);
        let (mut sum, mut size) = (DoubleDouble::from(zero), zero);
        for (z, b) in tile.iter().zip(&*weights) {
            let term = T::First::exp(simd.load(z), max).by(simd.load(b));
            let high = term.to_dd().hi;
            sum = term.added_to(sum);
            size = size + high.max(-high);
        }
        let sum = two_sum(sum.hi, sum.lo);
        let (rest, bound) = signed_block::log(sum, signed_block::error::<T::First, V>(size), simd.splat(1.0));
        let value = rest + max;
        let rounding = simd.splat(power_of_two(-103)) * (value.hi.max(-value.hi) + max.max(-max));
        let (lows, is_settled) = settled::<T, V>(value, bound + rounding);
        let mut sums = [0.0; LANES];
        sum.hi.store(&mut sums);
        // `settled` also accepts two ends that are NaN.
        let mut left = wrong | value.hi.differ(value.hi);
        for (j, (value, sign)) in values.iter_mut().zip(signs).enumerate() {
            (*value, *sign) = (lows[j], T::narrow(sums[j].signum()));
            left |= u8::from(!is_settled[j]) << j;
        }
        left
    }
}

/// Products of the softmax with numbers above this may be wrong where the exact product is negligible, since small
/// exponentials count as e^-1000, above 2^-1443.
pub(crate) const GREAT: f64 = power_of_two(300);

task! {
    /// Writes p (v − Σ p v) of at most eight rows: the Hessians of their log-sum-exps times v. Returns the mask of the
    /// rows that must be processed alone.
    pub(crate) fn hessians<T: Format>(
        z: &[T],
        vectors: &[T],
        length: usize,
        out: &mut [T],
        rooms: &mut (Room<T::First>, Room<T::First>);
        simd: V
    ) -> u8 {
        let ((tile, kept), slopes) = (rooms.0.parts(length), rooms.1.tile(length));
        columns::fill_from_rows(z, tile, simd);
        columns::fill_from_rows(vectors, slopes, simd);
        let Tails { tail, wrong, .. } = tails::<T::First, V>(tile, Some(&mut *kept), simd);
        let inverse = inverse(tail);
        let of = |number| <<T as Format>::First as Precision>::Number::<V>::of(number);
        let mut sum = of(DoubleDouble::from(simd.splat(0.0)));
        let mut most = simd.splat(0.0);
        for (kept, v) in kept.iter().zip(&*slopes) {
            let v = simd.load(v);
            sum = sum + T::First::kept(kept, simd).by(v);
            most = most.max(v).max(-v);
        }
        let mean = (sum.to_dd() * inverse).scaled(simd.splat(UNSCALE));
        // Half of the scale of the exponentials is removed before the product and half after: see `Softmax::times`.
        let half = simd.splat(power_of_two(-256));
        for (kept, place) in kept.iter().zip(&mut *slopes) {
            let share = (T::First::kept(kept, simd) * of(inverse)).by(half);
            let slope = (share * of(-mean + simd.load(place))).by(half);
            slope.to_dd().hi.store(place);
        }
        columns::write_to_rows(slopes, out, simd);
        let zero = simd.splat(0.0);
        let is_great = most.max(simd.splat(GREAT)).differ(simd.splat(GREAT));
        wrong | is_great | (mean.hi * zero).differ(zero)
    }
}

/// Targets and weights of eight rows.
pub(crate) struct Chosen {
    pub(crate) targets: [usize; LANES],
    pub(crate) weights: [f64; LANES],
}

/// The weights times log Σ e^{z_k − z_t} of at most eight rows of the tile's length; `None` where the row must be
/// processed alone.
pub(crate) fn cross_entropy<T: Format, P: Keep>(
    rows: &[T],
    chosen: &Chosen,
    tile: &mut Tile,
) -> [Option<Scaled>; LANES] {
    run(CrossEntropy::<T, P> { rows, chosen, tile, slopes: None })
}

/// [`cross_entropy`] of at most eight rows of this length; also writes the gradient of each log Σ e^{z_k − z_t}
/// times the row's factor, each element correctly rounded.
pub(crate) fn cross_entropy_with_gradient<T: Format>(
    rows: &[T],
    length: usize,
    chosen: &Chosen,
    factors: &[Factor; LANES],
    gradient: &mut [T],
    room: &mut Room<T::Elements>,
) -> [Option<Scaled>; LANES] {
    let (tile, kept) = room.parts(length);
    run(CrossEntropy::<T, T::Elements> {
        rows,
        chosen,
        tile,
        slopes: Some(Slopes { factors, gradient, kept }),
    })
}

struct CrossEntropy<'a, T, P: Keep> {
    rows: &'a [T],
    chosen: &'a Chosen,
    tile: &'a mut Tile,
    slopes: Option<Slopes<'a, T, P>>,
}

struct Slopes<'a, T, P: Keep> {
    factors: &'a [Factor; LANES],
    gradient: &'a mut [T],
    kept: &'a mut [P::Kept],
}

impl<T: Format, P: Keep> Task for CrossEntropy<'_, T, P> {
    type Output = [Option<Scaled>; LANES];

    #[inline(always)]
    fn run<V: Vector>(self, simd: V) -> [Option<Scaled>; LANES] {
        let Self { rows, chosen: Chosen { targets, weights }, tile, mut slopes } = self;
        columns::fill_from_rows(rows, tile, simd);
        let tails = match &mut slopes {
            Some(slopes) => tails::<P, V>(tile, Some(&mut *slopes.kept), simd),
            None => tails::<P, V>(tile, None, simd),
        };
        let mut at_targets = [0.0; LANES];
        for j in 0..LANES {
            at_targets[j] = tile[targets[j]][j];
        }
        let (z, weight) = (simd.load(&at_targets), simd.load(weights));
        let depth = two_sum(tails.max, -z).scaled(simd.splat(1.0 / UNSCALE));
        let (log, of_log) = scaled_log_of_tail::<P, V>(tails.tail, tails.error);
        let loss = (log + depth) * DoubleDouble::from(weight);
        // A weight may make terms far below the maximum visible.
        let far = log.hi.mul_add(simd.splat(P::FAR_EXP_ERROR - P::EXP_ERROR), of_log);
        // The sum and the product are off by less than 10u².
        let bound = loss.hi.mul_add(simd.splat(power_of_two(-100)), far * weight) * simd.splat(SLACK);
        let mut left = tails.wrong;
        if let Some(Slopes { factors, gradient, kept }) = slopes {
            left |= write_slopes::<T, P, V>(tile, kept, targets, z, tails, factors);
            columns::write_to_rows(tile, gradient, simd);
        }
        let (losses, mut bounds, mut done) = (lanes(loss), [0.0; LANES], [None; LANES]);
        bound.store(&mut bounds);
        for j in 0..LANES {
            // Finite losses only: a target of probability 0, or an overflow, is left to the row processed alone.
            if left >> j & 1 == 0 && weights[j] > 0.0 && losses[j].hi.is_finite() {
                done[j] = Some(Scaled { value: losses[j], error: bounds[j] });
            }
        }
        done
    }
}

/// Replaces the tile by gradients, and returns the mask of the rows in which an element is not settled.
#[inline(always)]
fn write_slopes<T: Format, P: Keep, V: Vector>(
    tile: &mut Tile,
    kept: &[P::Kept],
    targets: &[usize; LANES],
    z: V,
    tails: Tails<P, V>,
    factors: &[Factor; LANES],
) -> u8 {
    let (max, [mut hi, mut lo, mut errors]) = (tails.max, [[0.0; LANES]; 3]);
    for j in 0..LANES {
        [hi[j], lo[j], errors[j]] = [factors[j].factor.hi, factors[j].factor.lo, factors[j].error];
    }
    let (factor, of_factor) = (DoubleDouble { hi: max.load(&hi), lo: max.load(&lo) }, max.load(&errors));
    let one = max.splat(1.0 / UNSCALE);
    let of_share = error_of_share::<P, V>(tails.tail.hi + one, tails.error) + of_factor;
    let inverse = inverse(tails.tail);
    // 1 − p without loss of accuracy: the share of the tail at the maximum; elsewhere p ≤ 1/2.
    let share = P::exp(z, max).to_dd() * inverse;
    let (others, of_others) = (-share + one, share.hi * of_share);
    let (of_max, of_tail) = share_of_tail(tails.tail, tails.error);
    let depth = max - z;
    let rest = DoubleDouble {
        hi: depth.where_at_most(0.0, of_max.hi, others.hi),
        lo: depth.where_at_most(0.0, of_max.lo, others.lo),
    };
    let of_rest = depth.where_at_most(0.0, of_tail, of_others);
    let slope = rest * factor;
    let of_roundings = max.splat(power_of_two(-100)) + of_factor;
    let bound = slope.hi.mul_add(of_roundings, of_rest * factor.hi) * max.splat(SLACK);
    let scaled = inverse * factor;
    let mut mask = 0;
    for (place, kept) in tile.iter_mut().zip(kept) {
        let [low, high] = P::kept(kept, max).scaled_ends(scaled, of_share);
        high.store(place);
        mask |= T::differ(low, high);
    }
    // Slopes whose low parts would be subnormal remain unsettled.
    const TINY: f64 = power_of_two(-900) / UNSCALE;
    let is_known = slope.hi.where_at_most(TINY, max.splat(f64::NAN), slope.hi);
    let is_known = slope.hi.where_at_most(0.0, slope.hi, is_known);
    let slope = if P::IS_DOUBLE_DOUBLE { DoubleDouble { hi: is_known, ..slope } } else { slope };
    let unscale = max.splat(UNSCALE);
    let [low, high] = T::ends(slope.scaled(unscale), bound * unscale);
    let mut slopes = [0.0; LANES];
    slope.hi.where_at_most(0.0, high, -high).store(&mut slopes);
    for j in 0..LANES {
        tile[targets[j]][j] = slopes[j];
    }
    mask | T::differ(low, high)
}

/// Replaces tails, and their errors, that are too small to be obtained by subtracting the maximum's term: the
/// first maximum of such a row is left out, and the other terms are summed relative to the greatest of them.
#[cold]
#[inline(always)]
fn with_rests<P: Keep, V: Vector>(
    tile: &mut Tile,
    max: V,
    (tail, error): (DoubleDouble<V>, V),
    small: u8,
) -> (DoubleDouble<V>, V) {
    let mut maxima = [0.0; LANES];
    max.store(&mut maxima);
    let mut firsts = [None; LANES];
    for j in 0..LANES {
        if small >> j & 1 == 1 {
            firsts[j] = tile.iter().position(|place| place[j] == maxima[j]);
        }
        if let Some(first) = firsts[j] {
            tile[first][j] = f64::NEG_INFINITY;
        }
    }
    let (mut is_alone, mut seconds) = ([false; LANES], [0.0; LANES]);
    columns::maxima(tile.as_flattened(), max).store(&mut seconds);
    for j in 0..LANES {
        is_alone[j] = seconds[j] == f64::NEG_INFINITY;
        seconds[j] = if seconds[j].is_finite() { seconds[j] } else { maxima[j] };
    }
    let second = max.load(&seconds);
    let sum = columns::sum::<false, P, f64, V>(tile.as_flattened(), second, max.splat(1.0), None);
    let small = sum.scaled(max.splat(UNSCALE)) * P::factor(second, max);
    let (small, [mut hi, mut lo, mut errors]) = (lanes(small), [[0.0; LANES]; 3]);
    tail.hi.store(&mut hi);
    tail.lo.store(&mut lo);
    error.store(&mut errors);
    for j in 0..LANES {
        let Some(first) = firsts[j] else { continue };
        tile[first][j] = maxima[j];
        (hi[j], lo[j]) = if is_alone[j] { (0.0, 0.0) } else { (small[j].hi, small[j].lo) };
        errors[j] = error_of_rest::<P>(hi[j]);
    }
    (DoubleDouble { hi: max.load(&hi), lo: max.load(&lo) }, max.load(&errors))
}
