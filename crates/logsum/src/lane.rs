//! Where numbers come from and go to: a lane is the sequence that one log-sum-exp runs over.

/// Elements a block holds: 8 KiB of f64, so that a block and its result stay in the first-level cache.
pub(crate) const BLOCK: usize = 1024;

/// A sequence of numbers that can be read again and again, block by block.
///
/// Every block but the last has [`BLOCK`] elements, whatever the layout in memory: the shape of every sum, and
/// with it every bit of a gradient, follows from the length alone.
pub(crate) trait Lane<T> {
    /// Gives the blocks to `read`, in order.
    fn blocks(&self, read: impl FnMut(&[T]));
}

/// A place for as many numbers as its lane has, filled block by block.
pub(crate) trait LaneMut<T> {
    /// Lets `fill` write the next `len` numbers.
    fn next_block(&mut self, len: usize, fill: impl FnOnce(&mut [T]));
}

impl<T> Lane<T> for &[T] {
    fn blocks(&self, read: impl FnMut(&[T])) {
        self.chunks(BLOCK).for_each(read);
    }
}

impl<T> LaneMut<T> for &mut [T] {
    fn next_block(&mut self, len: usize, fill: impl FnOnce(&mut [T])) {
        let (block, rest) = std::mem::take(self).split_at_mut(len);
        *self = rest;
        fill(block);
    }
}
