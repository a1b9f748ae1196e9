//! Rows of numbers in the GPU's memory, and what can be done with the numbers of one.

use crate::format::Format;
use crate::team::Team;
use crate::thread::Thread;
use core::marker::PhantomData;

/// Where rows are. They are contiguous; or groups of them lie beside each other, as the columns of a matrix do: then
/// the first numbers of these rows are contiguous, and so are the second ones.
#[derive(Clone, Copy)]
pub struct Places {
    /// The address of the first number of the first row.
    pub address: u64,
    /// How many rows lie beside each other: the first numbers of these follow each other. 1 for rows that are
    /// contiguous.
    pub beside: u32,
    /// Bytes from each group of rows that lie beside each other to the next.
    pub stride: u64,
    /// Bytes from a number of a row to the next.
    pub step: u64,
}

impl Places {
    /// The address of a row's first number, where a number has `bytes` bytes.
    #[inline(always)]
    pub fn row(self, index: u64, bytes: u32) -> u64 {
        // A call has at most 2^20 rows.
        let index = index as u32;
        let group = index.checked_div(self.beside).unwrap_or(0);
        let place = index - self.beside * group;
        self.address + self.stride * u64::from(group) + u64::from(bytes) * u64::from(place)
    }
}

/// Rows of the same length.
#[derive(Clone, Copy)]
pub struct Rows<T> {
    /// Where they are.
    pub places: Places,
    /// Rows.
    pub count: u64,
    /// Numbers in each: at most 2^31.
    pub length: u32,
    /// The format of the numbers.
    pub format: PhantomData<T>,
}

impl<T> Rows<T> {
    /// How many numbers the row of this index has: none if the index is beyond the last row.
    #[inline(always)]
    pub(crate) fn length_of(&self, index: u64) -> u32 {
        if index < self.count { self.length } else { 0 }
    }
}

/// The numbers of a row, or of a part of one, as a team of threads goes through them.
pub trait Line<T: Format>: Copy {
    /// What a thread has in its registers, of `LOADS` loads.
    type Held<const LOADS: usize>;

    /// Calls `visit` for each number that falls to this thread of the team. `LOADS` loads are made at once; the first
    /// argument is the place of the number in these, for who keeps several sums. Returns what was loaded last.
    fn each<const LOADS: usize, const WHOLE: bool, G: Thread>(
        self,
        gpu: G,
        team: Team,
        visit: impl FnMut(usize, T::Number),
    ) -> Self::Held<LOADS>;

    /// What this thread of the team loads last.
    fn last<const LOADS: usize, G: Thread>(self, gpu: G, team: Team) -> Self::Held<LOADS>;

    /// Writes the bits that `result` gives for each number that falls to this thread of the team, those that are held
    /// first, which saves loading them again. `out` is the address of the first result of the whole row, and a column's
    /// results are `step` bytes apart.
    fn write<const LOADS: usize, G: Thread>(
        self,
        gpu: G,
        team: Team,
        held: Self::Held<LOADS>,
        out: [u64; 2],
        result: impl FnMut(T::Number) -> u64,
    );

    /// The address of a number of the row, which need not be one of its own.
    fn number(self, index: u32) -> u64;

    /// How many numbers it has.
    fn own_length(self) -> u32;

    /// Which number of the row one of its [`own_length`](Self::own_length) numbers is.
    fn own_index(self, index: u32) -> u32;

    /// Whether it has this number of the row.
    fn has(self, number: u32) -> bool;
}
