//! Rows as sequences: how the numbers of one log-sum-exp are read and its results are written, piece by piece.

/// Elements of a block: 8 KiB of f64, so that a block and its result stay in the first-level cache.
pub(crate) const BLOCK: usize = 1024;

/// Elements of a piece, 64 blocks: the unit in which threads share a long row.
pub(crate) const PIECE: usize = 64 * BLOCK;

const HERE: &str = "only a series that is not contiguous has its own way to be read";

/// A sequence of numbers that can be read repeatedly, piece by piece.
///
/// Every piece but the last has [`PIECE`] elements, whatever the layout in memory: the order of every summation,
/// and with it every bit of a gradient, depends on the length alone.
pub trait Series<T>: Sync {
    /// Passes the pieces to `read`, in order.
    fn pieces(&self, read: &mut dyn FnMut(&[T])) {
        self.contiguous().expect(HERE).chunks(PIECE).for_each(read);
    }

    fn len(&self) -> usize {
        self.contiguous().expect(HERE).len()
    }

    /// All numbers as one slice, if they are contiguous.
    fn contiguous(&self) -> Option<&[T]>;
}

/// A destination with one place per number of its row, filled piece by piece.
pub trait SeriesMut<T> {
    /// Lets `fill` write the next `len` numbers.
    fn next_piece(&mut self, len: usize, fill: &mut dyn FnMut(&mut [T]));

    /// The destination as one slice, if it is whole and contiguous.
    fn contiguous(&mut self) -> Option<&mut [T]>;
}

impl<T: Sync> Series<T> for &[T] {
    fn contiguous(&self) -> Option<&[T]> {
        Some(self)
    }
}

impl<T: Sync> Series<T> for Vec<T> {
    fn contiguous(&self) -> Option<&[T]> {
        Some(self)
    }
}

impl<T> SeriesMut<T> for &mut [T] {
    fn next_piece(&mut self, len: usize, fill: &mut dyn FnMut(&mut [T])) {
        let (piece, rest) = std::mem::take(self).split_at_mut(len);
        *self = rest;
        fill(piece);
    }

    fn contiguous(&mut self) -> Option<&mut [T]> {
        Some(self)
    }
}
