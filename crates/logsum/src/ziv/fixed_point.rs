//! Sums of exponentials in fixed point of 256 bits.
//!
//! This phase is more accurate than words of f64: rows that were built to be near a half-way point of double-doubles or
//! triple-doubles are settled here, and not in arbitrary precision.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two};
use crate::arithmetic::fixed_point::{LIMBS, Total, as_f64, product, term};
use crate::formats::Format;
use crate::kernels::term_source::{TermBlock, TermSource};
use crate::ziv::effort::{Rung, count};
use crate::ziv::integer_sums::Sum;
use dashu_int::{IBig, UBig};

/// Σ b e^{x − center}, if no term is above about 2^52 and the sum of their magnitudes below 2^62.
pub(super) fn sum<T: Format>(source: &dyn TermSource<T>, center: DoubleDouble) -> Option<Sum> {
    let mut total = Total::EMPTY;
    source.blocks(&mut |block| add_block(&mut total, &block, center));
    in_integers(&total)
}

fn add_block<T: Format>(total: &mut Total, block: &TermBlock<'_, T>, center: DoubleDouble) {
    count(Rung::FixedPoint, block.x.len());
    block.terms().for_each(|(x, b)| total.add(x, b, center));
}

fn in_integers(total: &Total) -> Option<Sum> {
    let error = total.error()?;
    let magnitude = total.value.magnitude();
    let bytes: Vec<u8> = (0..=LIMBS).flat_map(|i| magnitude.limb(i).to_le_bytes()).collect();
    let magnitude = IBig::from(UBig::from_le_bytes(&bytes));
    let value = if total.value.is_negative() { -magnitude } else { magnitude };
    Some(Sum { value, bits: 64 * LIMBS, error: IBig::from(error) })
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
        source.blocks(&mut |block| add_block(&mut self.total, &block, self.center));
    }

    /// Multiplies the sum S by f = e^{old − new} ≤ 1, for a centre that is not below the old one.
    ///
    /// f has an error below 2^(k + 12) units, and 1 where it is cut off, like a [`term`]; the product is cut once. So
    /// the error grows by S · 2^(k + 12), S, and 1.
    pub(super) fn move_up(&mut self, center: DoubleDouble) {
        let (total, old) = (&mut self.total, std::mem::replace(&mut self.center, center));
        match term(old, 1.0, center) {
            Some((factor, power)) if power <= 0 => {
                let above = total.value.whole.saturating_add(1);
                let share = as_f64(factor) * (1.0 + power_of_two(-40)) + power_of_two(-120);
                total.value = product(total.value, factor);
                total.size =
                    (total.size * share).min(total.size) + above as f64 * power_of_two(power as i32 + 2);
                total.count = total.count.saturating_add(above).saturating_add(1);
            }
            _ => total.is_in_range = false,
        }
    }

    pub(super) fn sum(&self) -> Option<Sum> {
        in_integers(&self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{Big, big, uniform};

    fn unit() -> Big {
        Big::from_parts(IBig::ONE, -64 * LIMBS as isize)
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
