//! Kernels over one block of one row: maximum, sum of exponentials, and softmax.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two};
use crate::arithmetic::float64::Float64;
use crate::arithmetic::precision::{Number, Precision, Sum};
use crate::formats::Format;
use crate::simd::{Keep, Vector};

/// The number of elements that one step of a loop processes.
pub(super) const STEP: usize = 16;

/// The maximum m of some numbers and Σ e^{z − shift} over all of them, in units of
/// [`UNSCALE`](crate::arithmetic::exp::UNSCALE).
///
/// The order of summation depends only on the number of elements: element i is added to partial sum i mod 8, in
/// order, and the eight are added in pairs. A NaN makes m or the sum NaN; if m is infinite, the sum is
/// meaningless.
#[derive(Clone, Copy)]
pub(crate) struct Summed {
    pub(crate) max: f64,
    pub(crate) shift: f64,
    pub(crate) sum: DoubleDouble,
}

/// From this length on, a maximum within ±[`AT_0`] is not subtracted: e^z needs fewer steps than e^{z − m}.
pub(crate) const LONG: usize = 64;
pub(crate) const AT_0: f64 = 64.0;

/// The shift subtracted from each number of a block with this maximum and length.
#[inline(always)]
pub(super) fn shift_for(max: f64, length: usize) -> f64 {
    if length >= LONG && max.abs() <= AT_0 { 0.0 } else { max }
}

/// The least power of 2 that is at least e^{max − shift}.
#[inline(always)]
pub(super) fn bound_for(max: f64, shift: f64) -> f64 {
    if shift == 0.0 { power_of_two((max * std::f64::consts::LOG2_E).ceil() as i32) } else { 1.0 }
}

// Code that runs at a level must be inlined in every call, or it is compiled without the level's instructions.
// Closures cannot be forced inline, hence functions and plain loops.

/// [`Summed`] of a block of at most [`BLOCK`](crate::kernels::row_access::BLOCK) numbers.
#[inline(always)]
pub(crate) fn summed<P: Keep, T: Format, V: Vector>(block: &[T], simd: V) -> Summed {
    let max = maximum(block, simd);
    if max.is_infinite() {
        return Summed { max: nan_in(block).unwrap_or(max), shift: max, sum: DoubleDouble::ZERO };
    }
    let shift = shift_for(max, block.len());
    let bound = bound_for(max, shift);
    let sum = if shift == 0.0 {
        sum::<true, P, T, V>(block, simd.splat(0.0), bound)
    } else {
        sum::<false, P, T, V>(block, simd.splat(shift), bound)
    };
    Summed { max, shift, sum: <P::Sum<f64>>::total(P::lanes(sum), bound) }
}

/// [`summed`], which also stores the exponentials in `kept`; `None` if the maximum is infinite.
#[inline(always)]
pub(crate) fn summed_and_kept<P: Keep, T: Format, V: Vector>(
    block: &[T],
    kept: &mut [P::Kept],
    simd: V,
) -> Option<Summed> {
    let max = maximum(block, simd);
    if max.is_infinite() {
        return None;
    }
    let shift = shift_for(max, block.len());
    let bound = bound_for(max, shift);
    let sum = if shift == 0.0 {
        sum_and_keep::<true, P, T, V>(block, simd.splat(0.0), bound, kept)
    } else {
        sum_and_keep::<false, P, T, V>(block, simd.splat(shift), bound, kept)
    };
    Some(Summed { max, shift, sum: <P::Sum<f64>>::total(P::lanes(sum), bound) })
}

#[cold]
fn nan_in<T: Format>(block: &[T]) -> Option<f64> {
    block.iter().map(|z| z.widen()).find(|z| z.is_nan())
}

#[inline(always)]
fn sum<const AT_0: bool, P: Keep, T: Format, V: Vector>(block: &[T], c: V, bound: f64) -> P::Sum<V> {
    let mut sum = <P::Sum<V>>::empty(c.splat(bound));
    let (whole, rest) = block.as_chunks();
    // The padding with −∞ adds terms too small to change any bit that is used.
    let last = [padded(rest)];
    // One loop over the whole steps and the last one, so that a step is in the code once.
    for steps in [whole, &last[..usize::from(!rest.is_empty())]] {
        for numbers in steps {
            ask_ahead(numbers, c);
            let [low, high] = exps::<AT_0, P, T, V>(numbers, c);
            sum = sum + low + high;
        }
    }
    sum
}

/// Prefetches the next block at the pace of the summation: without this, its maximum, which is found first, would wait
/// for the whole block.
#[inline(always)]
pub(super) fn ask_ahead<T, const N: usize, V: Vector>(numbers: &[T; N], simd: V) {
    const LINE: usize = 64;
    const AHEAD: usize = 8 << 10;
    for line in (0..size_of_val(numbers)).step_by(LINE) {
        simd.prefetch(numbers, AHEAD + line);
    }
}

#[inline(always)]
fn exps<const AT_0: bool, P: Precision, T: Format, V: Vector>(
    numbers: &[T; STEP],
    c: V,
) -> [P::Number<V>; 2] {
    let [low, high] = load(numbers, c);
    [exp_from::<AT_0, P, V>(low, c), exp_from::<AT_0, P, V>(high, c)]
}

#[inline(always)]
fn sum_and_keep<const AT_0: bool, P: Keep, T: Format, V: Vector>(
    block: &[T],
    c: V,
    bound: f64,
    kept: &mut [P::Kept],
) -> P::Sum<V> {
    let mut sum = <P::Sum<V>>::empty(c.splat(bound));
    let (whole, rest) = block.as_chunks();
    let last = [padded(rest)];
    let (places, last_places) = kept.as_chunks_mut::<2>().0.split_at_mut(whole.len());
    for (steps, places) in [(whole, places), (&last[..usize::from(!rest.is_empty())], last_places)] {
        for (numbers, places) in steps.iter().zip(places) {
            ask_ahead(numbers, c);
            let [low, high] = exps::<AT_0, P, T, V>(numbers, c);
            P::keep(low, &mut places[0]);
            P::keep(high, &mut places[1]);
            sum = sum + low + high;
        }
    }
    sum
}

/// How results are stored: through the caches, or by non-temporal stores, for an output larger than the caches.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    Caches,
    Memory,
}

impl Store {
    /// The choice for an output of this total number of elements, also for a part of it.
    pub(crate) fn for_output<T>(numbers: usize) -> Self {
        /// In bytes: larger than the caches of one core.
        const LARGE: usize = 1 << 24;
        if numbers.saturating_mul(size_of::<T>()) > LARGE { Self::Memory } else { Self::Caches }
    }

    /// Whether to write `out` by non-temporal stores, which need an alignment of 16 bytes.
    #[inline(always)]
    pub(super) fn is_memory<T: Format>(self, out: &[T]) -> bool {
        T::HAS_STREAM && self == Self::Memory && out.as_ptr().addr().is_multiple_of(16)
    }
}

#[inline(always)]
pub(super) fn store<const TO_MEMORY: bool, T: Format, V: Vector>(vector: V, out: &mut [T; 8]) {
    if TO_MEMORY { T::stream(vector, out) } else { T::store(vector, out) }
}

/// The shares of a block whose exponentials are in `kept`, given 1 / Σ e^{z_k − shift} and a bound on a share's
/// relative error. Returns whether one is not settled.
#[inline(always)]
pub(crate) fn shares_of_kept<T: Format, V: Vector>(
    kept: &[<T::Elements as Keep>::Kept],
    inverse: DoubleDouble,
    error: f64,
    out: &mut [T],
    to: Store,
    simd: V,
) -> bool {
    if to.is_memory(out) {
        let is_unsettled = write_shares::<true, T, V>(kept, inverse, error, out, simd);
        simd.fence();
        return is_unsettled;
    }
    write_shares::<false, T, V>(kept, inverse, error, out, simd)
}

#[inline(always)]
fn write_shares<const TO_MEMORY: bool, T: Format, V: Vector>(
    kept: &[<T::Elements as Keep>::Kept],
    inverse: DoubleDouble,
    error: f64,
    out: &mut [T],
    simd: V,
) -> bool {
    let (inverse, error) = (inverse.splat(simd), simd.splat(error));
    let (whole, rest) = out.as_chunks_mut();
    let mut unsettled = 0;
    for (out, place) in whole.iter_mut().zip(kept) {
        let [low, high] = T::Elements::kept(place, error).scaled_ends(inverse, error);
        store::<TO_MEMORY, T, V>(high, out);
        unsettled |= T::differ(low, high);
    }
    if let (false, Some(place)) = (rest.is_empty(), kept.get(whole.len())) {
        let [low, high] = T::Elements::kept(place, error).scaled_ends(inverse, error);
        let mut last = [T::default(); 8];
        T::store(high, &mut last);
        rest.copy_from_slice(&last[..rest.len()]);
        unsettled |= T::differ(low, high) & first(rest.len());
    }
    unsettled != 0
}

/// The mask of the first `count` of eight.
#[inline(always)]
pub(super) fn first(count: usize) -> u8 {
    ((1_u16 << count) - 1) as u8
}

/// e^{z − c}; with AT_0, c must be 0.
#[inline(always)]
pub(super) fn exp_from<const AT_0: bool, P: Precision, W: Float64>(z: W, c: W) -> P::Number<W> {
    if AT_0 { P::exp_at_0(z) } else { P::exp(z, c) }
}

/// The greatest number, ignoring NaNs; −∞ if there is no other number.
#[inline(always)]
pub(crate) fn maximum<T: Format, V: Vector>(block: &[T], simd: V) -> f64 {
    const WAYS: usize = 4;
    let mut greatest = [T::wide(T::NEG_INFINITY, simd); WAYS];
    let (whole, rest) = block.as_chunks::<STEP>();
    let (groups, few) = whole.as_chunks::<WAYS>();
    for group in groups {
        for i in 0..WAYS {
            greatest[i] = T::greater(greatest[i], &group[i], simd);
        }
    }
    for numbers in few {
        greatest[0] = T::greater(greatest[0], numbers, simd);
    }
    let mut last = simd.splat(f64::NEG_INFINITY);
    if !rest.is_empty() {
        last = T::load_up_to(rest, simd).max(last);
    }
    if let Some(rest) = rest.get(STEP / 2..) {
        last = T::load_up_to(rest, simd).max(last);
    }
    if !whole.is_empty() {
        let mut numbers = [T::NEG_INFINITY; STEP];
        for i in 1..WAYS.min(whole.len()) {
            T::store_wide(greatest[i], &mut numbers, simd);
            greatest[0] = T::greater(greatest[0], &numbers, simd);
        }
        T::store_wide(greatest[0], &mut numbers, simd);
        let (halves, _) = numbers.as_chunks();
        last = T::load(&halves[0], simd).max(T::load(&halves[1], simd).max(last));
    }
    let mut max = [0.0; 8];
    last.store(&mut max);
    for width in [4, 2, 1] {
        for i in 0..width {
            max[i] = if max[i + width] > max[i] { max[i + width] } else { max[i] };
        }
    }
    max[0]
}

#[inline(always)]
pub(super) fn load<T: Format, V: Vector>(numbers: &[T; STEP], simd: V) -> [V; 2] {
    let (halves, _) = numbers.as_chunks();
    [T::load(&halves[0], simd), T::load(&halves[1], simd)]
}

/// At most a step of numbers, padded to a step with −∞.
#[inline(always)]
pub(super) fn padded<T: Format>(numbers: &[T]) -> [T; STEP] {
    let mut step = [T::NEG_INFINITY; STEP];
    step[..numbers.len()].copy_from_slice(numbers);
    step
}

/// The ends of the interval around e^{z − shift} · inverse.
#[inline(always)]
pub(super) fn share_ends<const AT_0: bool, T: Format, V: Vector>(
    z: V,
    shift: V,
    inverse: DoubleDouble<V>,
    error: V,
) -> [V; 2] {
    exp_from::<AT_0, T::Elements, V>(z, shift).scaled_ends(inverse, error)
}
