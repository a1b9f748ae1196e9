//! Ziv's last phase: arbitrary precision, doubled until the rounding test succeeds.

use crate::arithmetic::double_double::DoubleDouble;
use crate::arithmetic::fixed_point::exponent_of;
use crate::formats::Format;
use crate::kernels::term_source::TermSource;
use crate::state::signed::Log;
use crate::ziv::effort::{Rung, count};
use crate::ziv::integer_sums::{Sum, fixed, integer, shifted};
use crate::ziv::{Phase, Settled};
use dashu_float::FBig;
use dashu_float::round::mode;
use dashu_int::IBig;
use dashu_int::ops::BitTest;

/// The value, from 512, 1024, 2048, … bits until the rounding test succeeds; [`super`] proves that it does.
///
/// If signs differ, the weights of equal exponents are first added exactly, which shows whether all terms cancel.
#[cold]
pub(super) fn settle<T: Format>(source: &dyn TermSource<T>, center: DoubleDouble) -> Settled<T> {
    let groups = source.is_signed().then(|| groups(source));
    let center = match &groups {
        None => center,
        Some(groups) if groups.is_empty() => {
            let log = Log { shift: f64::NEG_INFINITY, rest: DoubleDouble::ZERO };
            return Settled { value: T::NEG_INFINITY, sign: 0.0, log, phase: Phase::Arbitrary };
        }
        Some(groups) => DoubleDouble::from(greatest(groups)),
    };
    let settled = (9..).find_map(|log2| {
        let sum = match &groups {
            None => sum(source, center, 1 << log2),
            Some(groups) => sum_of_groups(groups, center, 1 << log2),
        };
        sum.over(source.divisor()).settled(center, source.zero(), Phase::Arbitrary)
    });
    settled.expect("the value keeps a distance from every half-way point (Lindemann and Weierstrass)")
}

/// Σ b e^{x − center} with an error of at most 2n · 2^-bits for n terms.
pub(super) fn sum<T: Format>(source: &dyn TermSource<T>, center: DoubleDouble, bits: usize) -> Sum {
    let mut total = Total::new(center, bits);
    source.blocks(&mut |block| {
        count(Rung::Arbitrary, block.x.len());
        block.terms().for_each(|(x, b)| total.add(x, &integer(b), exponent_of(b)));
    });
    total.sum()
}

fn sum_of_groups(groups: &[Group], center: DoubleDouble, bits: usize) -> Sum {
    let mut total = Total::new(center, bits);
    count(Rung::Arbitrary, groups.len());
    groups.iter().for_each(|group| total.add(group.x, &group.weight, -WEIGHT_BITS));
    total.sum()
}

/// Bits computed beyond those requested.
const GUARD: usize = 64;

struct Total {
    center: DoubleDouble,
    sum: IBig,
    bits: usize,
    count: usize,
}

impl Total {
    fn new(center: DoubleDouble, bits: usize) -> Self {
        Self { center, sum: IBig::ZERO, bits, count: 0 }
    }

    /// Adds weight · 2^exponent · e^{x − center} with an error below 2 units of 2^-bits.
    ///
    /// If the term is below 2^extra, the exponential's argument is truncated to 2^-(bits + GUARD + extra), with an
    /// error of at most 4 such units, and dashu rounds the exponential to GUARD more bits, of which 16 are not
    /// trusted: together far below one unit. The product is exact and truncated once; a term below one unit is
    /// left out.
    fn add(&mut self, x: DoubleDouble, weight: &IBig, exponent: isize) {
        let Self { center, bits, .. } = *self;
        self.count += 1;
        let (high, low) = (x.hi - center.hi, x.lo - center.lo);
        // Enlarged by a bound on the roundings of these operations.
        let u = high + low + (high.abs() + low.abs()) * (4.0 * f64::EPSILON);
        let power = u * std::f64::consts::LOG2_E + (weight.bit_len() as isize + exponent) as f64 + 1.0;
        // False if the difference exceeds the range of f64.
        let is_seen = power > -(bits as f64);
        if !is_seen {
            return;
        }
        let wide = bits + GUARD + power.max(0.0) as usize + 1;
        let u = [x.hi, x.lo].map(|x| fixed(x, wide)).into_iter().sum::<IBig>()
            - fixed(center.hi, wide)
            - fixed(center.lo, wide);
        let u = FBig::<mode::Zero, 2>::from_parts(u, -(wide as isize)).with_precision(wide + GUARD).value();
        let (significand, power) = u.exp().into_repr().into_parts();
        self.sum += shifted(significand * weight, power + exponent + bits as isize);
    }

    fn sum(self) -> Sum {
        Sum { value: self.sum, bits: self.bits, error: IBig::from(2 * self.count) }
    }
}

/// The unit of weights in [`Group`] is 2^-1074, of which every f64 is a multiple.
pub(super) const WEIGHT_BITS: isize = 1074;

/// All terms with the same exponent, and the sum of their weights, which is not 0.
pub(super) struct Group {
    pub(super) x: DoubleDouble,
    pub(super) weight: IBig,
}

/// The groups of all terms. Allocates memory in proportion to the row.
pub(super) fn groups<T: Format>(source: &dyn TermSource<T>) -> Vec<Group> {
    let mut terms = Vec::new();
    source.blocks(&mut |block| terms.extend(block.terms()));
    terms.sort_by(|(a, _), (b, _)| b.hi.total_cmp(&a.hi).then(b.lo.total_cmp(&a.lo)));
    let mut groups: Vec<Group> = Vec::new();
    for (x, b) in terms {
        let weight = fixed(b, WEIGHT_BITS as usize);
        match groups.last_mut() {
            Some(group) if group.x == x => group.weight += weight,
            _ => groups.push(Group { x, weight }),
        }
    }
    groups.retain(|group| group.weight != IBig::ZERO);
    groups
}

/// The greatest logarithm of a group's magnitude, approximately.
fn greatest(groups: &[Group]) -> f64 {
    let log = |group: &Group| {
        let power = group.weight.bit_len() as isize - WEIGHT_BITS;
        group.x.hi + power as f64 * std::f64::consts::LN_2
    };
    groups.iter().map(log).fold(f64::NEG_INFINITY, f64::max)
}
