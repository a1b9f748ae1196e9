//! Sources of terms: what a sum Σ b_k e^{x_k + y_k} runs over, wherever its numbers are.

use crate::arithmetic::double_double::{DoubleDouble, two_sum};
use crate::formats::Format;
use crate::formats::rounding::Zero;
use crate::kernels::series::{BLOCK, Series};

/// At most [`BLOCK`] terms b_k e^{x_k + y_k}. Where there is no y it is 0, where there is no b it is 1.
#[derive(Clone, Copy)]
pub(crate) struct TermBlock<'a, T> {
    pub(crate) x: &'a [T],
    pub(crate) y: Option<&'a [T]>,
    pub(crate) b: Option<&'a [T]>,
}

impl<T: Format> TermBlock<'_, T> {
    /// The exponent x + y of each term, exactly, and its weight; but for terms that are 0.
    pub(crate) fn terms(self) -> impl Iterator<Item = (DoubleDouble, f64)> {
        (0..self.x.len())
            .map(move |k| {
                let x = self.x[k].widen();
                let exponent = self.y.map_or(DoubleDouble::from(x), |y| two_sum(x, y[k].widen()));
                (exponent, self.b.map_or(1.0, |b| b[k].widen()))
            })
            .filter(|&(x, b)| b != 0.0 && x.hi > f64::NEG_INFINITY)
    }
}

/// A sum of terms that can be read again and again, block by block. All terms are finite, and at least one is not 0.
pub(crate) trait TermSource<T: Format> {
    /// Gives the blocks to `visit`, in order.
    fn blocks(&self, visit: &mut dyn FnMut(TermBlock<'_, T>));

    /// A whole number that the sum is divided by.
    fn divisor(&self) -> f64 {
        1.0
    }

    /// Whether terms may have opposite signs.
    fn is_signed(&self) -> bool;

    /// What a logarithm becomes that is negative and rounds to 0.
    fn zero(&self) -> Zero;
}

/// The terms e^{z_k}.
impl<'a, T: Format> TermSource<T> for &'a (dyn Series<T> + 'a) {
    fn blocks(&self, visit: &mut dyn FnMut(TermBlock<'_, T>)) {
        self.pieces(&mut |piece| {
            piece.chunks(BLOCK).for_each(|x| visit(TermBlock { x, y: None, b: None }));
        });
    }

    fn is_signed(&self) -> bool {
        false
    }

    fn zero(&self) -> Zero {
        Zero::Signed
    }
}
