//! Rows of numbers in the GPU's memory, and how a team of threads goes through one of them.

use crate::format::Format;
use crate::team::Team;
use crate::thread::Thread;
use core::marker::PhantomData;

/// Rows of the same length.
#[derive(Clone, Copy)]
pub struct Rows<T> {
    /// The address of the first number.
    pub address: u64,
    /// Bytes from a row to the next.
    pub stride: u64,
    /// Rows.
    pub count: u64,
    /// Numbers in each: at most 2^31.
    pub length: u32,
    /// The format of the numbers.
    pub format: PhantomData<T>,
}

impl<T: Format> Rows<T> {
    /// A row; one of nothing if there are not so many.
    #[inline(always)]
    pub fn row(self, index: u64) -> Row<T> {
        let length = if index < self.count { self.length } else { 0 };
        Row::new(self.address.wrapping_add(self.stride.wrapping_mul(index)), length)
    }
}

/// A row, or a part of one: in the middle pieces of 16 bytes that are loaded at once, and at either end, up to an address
/// that is a multiple of 16 and after the last such piece, fewer numbers: the edges.
#[derive(Clone, Copy)]
pub struct Row<T> {
    /// The address of the first number.
    address: u64,
    /// The address of the first piece.
    middle: u64,
    pieces: u32,
    /// Numbers at the edges.
    edges: u32,
    /// Those of them that come before the middle.
    before: u32,
    /// Numbers of the middle.
    between: u32,
    format: PhantomData<T>,
}

impl<T: Format> Row<T> {
    #[inline(always)]
    fn new(address: u64, length: u32) -> Self {
        let to_multiple = (address.wrapping_neg() as u32 & 15) / T::BYTES;
        let before = if to_multiple < length { to_multiple } else { length };
        let pieces = (length - before) / T::PER_LOAD as u32;
        let between = pieces * T::PER_LOAD as u32;
        let middle = address + u64::from(before * T::BYTES);
        Self { address, middle, pieces, edges: length - between, before, between, format: PhantomData }
    }

    /// One of several parts of about the same length, a power of 2 of them. The first has the edges.
    #[inline(always)]
    pub fn part(self, index: u32, parts: u32) -> Self {
        let each = (self.pieces + parts - 1) >> parts.trailing_zeros();
        let from = if each * index < self.pieces { each * index } else { self.pieces };
        let pieces = if self.pieces - from < each { self.pieces - from } else { each };
        let edges = if index == 0 { self.edges } else { 0 };
        Self { middle: self.middle + 16 * u64::from(from), pieces, edges, ..self }
    }

    /// Calls `visit` for each number that falls to this thread of the team. `LOADS` pieces are loaded at once; the first
    /// argument is the place of the number in these, for who keeps several sums.
    #[inline(always)]
    pub fn each<const LOADS: usize, G: Thread>(
        self,
        gpu: G,
        team: Team,
        mut visit: impl FnMut(usize, T::Number),
    ) {
        let mut edge = team.lane;
        while edge < self.edges {
            let number = if edge < self.before { edge } else { edge + self.between };
            visit(0, T::load(gpu, self.address + u64::from(number) * u64::from(T::BYTES)));
            edge += team.lanes;
        }
        let mut piece = team.lane;
        while piece < self.pieces {
            let mut held = [[0; 4]; LOADS];
            for j in 0..LOADS {
                // Beyond the end the last one is loaded again, and not used: no load waits for a branch.
                let at = piece + j as u32 * team.lanes;
                let at = if at < self.pieces { at } else { self.pieces - 1 };
                held[j] = gpu.load_16_bytes(self.middle + 16 * u64::from(at));
            }
            for j in 0..LOADS {
                if piece + (j as u32) * team.lanes < self.pieces {
                    let numbers = T::unpacked(gpu, held[j]);
                    for i in 0..T::PER_LOAD {
                        visit(j * T::PER_LOAD + i, numbers[i]);
                    }
                }
            }
            piece += LOADS as u32 * team.lanes;
        }
    }
}
