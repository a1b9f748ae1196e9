//! Where numbers come from and go to: a row is the sequence that one log-sum-exp runs over.

/// Elements a block holds: 8 KiB of f64, so that a block and its result stay in the first-level cache.
pub(crate) const BLOCK: usize = 1024;

/// Elements a piece holds: 64 blocks. The unit that threads share a long row by.
pub(crate) const PIECE: usize = 64 * BLOCK;

const HERE: &str = "only a series that is not contiguous has its own way to be read";

/// A sequence of numbers that can be read again and again, piece by piece.
///
/// Every piece but the last has [`PIECE`] elements, whatever the layout in memory: the shape of every sum, and
/// with it every bit of a gradient, follows from the length alone.
pub trait Series<T> {
    /// Gives the pieces to `read`, in order.
    fn pieces(&self, read: &mut dyn FnMut(&[T])) {
        self.contiguous().expect(HERE).chunks(PIECE).for_each(read);
    }

    /// The number of numbers.
    fn len(&self) -> usize {
        self.contiguous().expect(HERE).len()
    }

    /// The numbers, if they lie one after the other.
    fn contiguous(&self) -> Option<&[T]>;
}

/// A place for as many numbers as its row has, filled piece by piece.
pub trait SeriesMut<T> {
    /// Lets `fill` write the next `len` numbers.
    fn next_piece(&mut self, len: usize, fill: &mut dyn FnMut(&mut [T]));

    /// The place, if it is whole and contiguous.
    fn contiguous(&mut self) -> Option<&mut [T]>;
}

impl<T> Series<T> for &[T] {
    fn contiguous(&self) -> Option<&[T]> {
        Some(self)
    }
}

impl<T> Series<T> for Vec<T> {
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
