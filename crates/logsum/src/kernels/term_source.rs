//! Sources of terms: the interface through which Ziv's later phases read any sum Σ b_k e^{x_k + y_k}.

use crate::arithmetic::double_double::{DoubleDouble, two_sum};
use crate::formats::Format;
use crate::formats::nearest::Zero;
use crate::kernels::row_access::{BLOCK, Series};

/// At most [`BLOCK`] terms b_k e^{x_k + y_k}. A missing y is 0, a missing b is 1.
#[derive(Clone, Copy)]
pub(crate) struct TermBlock<'a, T> {
    pub(crate) x: &'a [T],
    pub(crate) y: Option<&'a [T]>,
    pub(crate) b: Option<&'a [T]>,
}

impl<T: Format> TermBlock<'_, T> {
    /// The exact exponent x + y and the weight of each term that is not 0.
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

/// A sum of terms that can be read repeatedly, block by block. All terms are finite, and at least one is not 0.
pub(crate) trait TermSource<T: Format> {
    /// Passes the blocks to `visit`, in order.
    fn blocks(&self, visit: &mut dyn FnMut(TermBlock<'_, T>));

    /// An integer that the sum is divided by.
    fn divisor(&self) -> f64 {
        1.0
    }

    /// Whether terms may have opposite signs.
    fn is_signed(&self) -> bool;

    /// The zero that a negative logarithm rounds to.
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
