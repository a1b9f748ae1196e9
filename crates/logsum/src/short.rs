//! Lanes that are too short to fill vectors by themselves: eight at a time, side by side, from exponentials to rounding.

use crate::float::Float;
use crate::kernel::block::{self, LONG};
use crate::kernel::columns::{self, LANES, Tile};
use crate::kernel::exp::{self, UNSCALE};
use crate::kernel::precision::Precision;
use crate::kernel::two::Two;
use crate::kernel::word::Vector;
use crate::kernel::{Each, Task, run};
use crate::partial::{estimate, rest};

/// Lanes shorter than this are taken eight at a time.
pub(crate) const SHORT: usize = LONG;

/// What became of eight lanes.
pub(crate) struct Reduced<T> {
    pub(crate) values: [T; LANES],
    /// Whether the value, and whether the function of each element, is what the lane would have alone.
    pub(crate) has_value: [bool; LANES],
    pub(crate) has_each: [bool; LANES],
}

/// The values of eight lanes, the columns of the tile, if they are wanted; and into the tile, a function of each element.
pub(crate) fn reduce<T: Float>(tile: &mut Tile, wants_value: bool, each: Option<Each>) -> Reduced<T> {
    run(Reduce { tile, wants_value, each, values: [T::default(); LANES] })
}

struct Reduce<'a, T> {
    tile: &'a mut Tile,
    wants_value: bool,
    each: Option<Each>,
    values: [T; LANES],
}

impl<T: Float> Task for Reduce<'_, T> {
    type Output = Reduced<T>;

    #[inline(always)]
    fn run<V: Vector>(self, like: V) -> Reduced<T> {
        let Self { tile, wants_value, each, mut values } = self;
        let one = Two { hi: like.splat(1.0 / UNSCALE), lo: like.splat(0.0) };
        let maxima = columns::maxima(tile.as_flattened(), like);
        let mut is_finite = [false; LANES];
        let mut max = [0.0; LANES];
        for j in 0..LANES {
            is_finite[j] = maxima[j].is_finite();
            max[j] = if is_finite[j] { maxima[j] } else { 0.0 };
        }
        let max = like.load(&max);
        let sum = columns::sum::<false, T::First, f64, V>(tile.as_flattened(), max, like.splat(1.0));
        let (mut tail, mut error) = rest::<T::First, V>(sum, one);
        let mut tails = [0.0; LANES];
        tail.hi.store(&mut tails);
        let (mut has_each, mut is_small) = (is_finite, [false; LANES]);
        for j in 0..LANES {
            // A NaN is not enough, and not small either: it is left to the lane alone.
            has_each[j] &= tails[j] >= T::First::LEAST_REST / UNSCALE;
            is_small[j] = is_finite[j] && tails[j] < T::First::LEAST_REST / UNSCALE;
        }
        if is_small.contains(&true) {
            (tail, error) = with_rests::<T, V>(tile, max, (tail, error), &is_small);
            for j in 0..LANES {
                has_each[j] |= is_small[j];
            }
        }
        let mut has_value = [false; LANES];
        if wants_value {
            let (value, bound) = estimate::<T::First, V>(max, tail, error);
            let [low, high] = T::ends(value, bound);
            let mut highs = [T::default(); LANES];
            T::store(low, &mut values);
            T::store(high, &mut highs);
            for j in 0..LANES {
                has_value[j] = has_each[j] && values[j].same_bits(highs[j]);
            }
        }
        match each {
            None => {}
            Some(Each::Share) => {
                let sum = tail.plus(one).scaled(like.splat(UNSCALE));
                let inverse = Two { hi: like.splat(1.0), lo: like.splat(0.0) }.over(sum);
                for place in tile {
                    block::share::<false, T, V>(like.load(place), max, inverse).store(place);
                }
            }
            Some(Each::LogShare) => {
                let (log, _) = T::First::log1p(tail.scaled(like.splat(UNSCALE)));
                for place in tile {
                    T::First::log_share(like.load(place), max, log).store(place);
                }
            }
        }
        Reduced { values, has_value, has_each }
    }
}

/// The tails and their errors, where they are too small to be what a sum leaves: the first maximum of such a lane is
/// left out, and the sum is taken again, about the greatest of the others.
#[cold]
#[inline(always)]
fn with_rests<T: Float, V: Vector>(
    tile: &mut Tile,
    max: V,
    (tail, error): (Two<V>, V),
    is_small: &[bool; LANES],
) -> (Two<V>, V) {
    let mut maxima = [0.0; LANES];
    max.store(&mut maxima);
    let mut firsts = [None; LANES];
    for j in 0..LANES {
        if is_small[j] {
            firsts[j] = tile.iter().position(|place| place[j] == maxima[j]);
        }
        if let Some(first) = firsts[j] {
            tile[first][j] = f64::NEG_INFINITY;
        }
    }
    let mut seconds = columns::maxima(tile.as_flattened(), max);
    let mut is_alone = [false; LANES];
    for j in 0..LANES {
        is_alone[j] = seconds[j] == f64::NEG_INFINITY;
        seconds[j] = if seconds[j].is_finite() { seconds[j] } else { maxima[j] };
    }
    let second = max.load(&seconds);
    let sum = columns::sum::<false, T::First, f64, V>(tile.as_flattened(), second, max.splat(1.0));
    let small = sum.scaled(max.splat(UNSCALE)).times(exp::two_words(second, max));
    let [mut hi, mut lo, mut errors, mut small_hi, mut small_lo] = [[0.0; LANES]; 5];
    tail.hi.store(&mut hi);
    tail.lo.store(&mut lo);
    error.store(&mut errors);
    small.hi.store(&mut small_hi);
    small.lo.store(&mut small_lo);
    for j in 0..LANES {
        let Some(first) = firsts[j] else { continue };
        tile[first][j] = maxima[j];
        (hi[j], lo[j]) = if is_alone[j] { (0.0, 0.0) } else { (small_hi[j], small_lo[j]) };
        errors[j] = crate::partial::error_of_rest::<T::First>(hi[j]);
    }
    (Two { hi: max.load(&hi), lo: max.load(&lo) }, max.load(&errors))
}
