//! Where numbers come from and go to: a lane is the sequence that one log-sum-exp runs over.

/// Elements a block holds: 8 KiB of f64, so that a block and its result stay in the first-level cache.
pub(crate) const BLOCK: usize = 1024;

/// Elements a piece holds: 64 blocks. The unit that threads share a long lane by.
pub(crate) const PIECE: usize = 64 * BLOCK;

/// A sequence of numbers that can be read again and again, piece by piece.
///
/// Every piece but the last has [`PIECE`] elements, whatever the layout in memory: the shape of every sum, and
/// with it every bit of a gradient, follows from the length alone.
pub trait Series<T> {
    /// Gives the pieces to `read`, in order.
    fn pieces(&self, read: &mut dyn FnMut(&[T]));

    /// How many numbers there are.
    fn len(&self) -> usize;

    /// The numbers, if they lie one after the other.
    fn contiguous(&self) -> Option<&[T]>;
}

/// A place for as many numbers as its lane has, filled piece by piece.
pub trait SeriesMut<T> {
    /// Lets `fill` write the next `len` numbers.
    fn next_piece(&mut self, len: usize, fill: &mut dyn FnMut(&mut [T]));

    /// The place, if it is whole and contiguous.
    fn contiguous(&mut self) -> Option<&mut [T]>;
}

impl<T> Series<T> for &[T] {
    fn pieces(&self, read: &mut dyn FnMut(&[T])) {
        self.chunks(PIECE).for_each(read);
    }

    fn len(&self) -> usize {
        <[T]>::len(self)
    }

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
