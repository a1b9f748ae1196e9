//! Rows whose numbers lie at any distance, as those of the columns of a matrix do. The later phases go through
//! contiguous rows in this way, too.

use crate::format::{Format, Number as _};
use crate::line::{Line, Rows};
use crate::team::{Combined, Team};
use crate::thread::Thread;
use core::marker::PhantomData;

/// A row whose numbers lie anywhere at the same distance, or a part of one.
#[derive(Clone, Copy)]
pub struct Column<T> {
    /// The address of the row's first number.
    address: u64,
    /// Bytes from a number to the next.
    step: u64,
    /// Which of the row's numbers is its first.
    first: u32,
    /// How many it has.
    length: u32,
    format: PhantomData<T>,
}

impl<T: Format> Column<T> {
    /// One of several rows, wherever they are; of nothing if there are not so many.
    #[inline(always)]
    pub fn of(rows: Rows<T>, index: u64) -> Self {
        let address = rows.places.row(index, T::BYTES);
        Self { address, step: rows.places.step, first: 0, length: rows.length_of(index), format: PhantomData }
    }

    /// One of several parts of about the same length, a power of 2 of them.
    #[inline(always)]
    pub fn part(self, index: u32, parts: u32) -> Self {
        let each = (self.length + parts - 1) >> parts.trailing_zeros();
        let from = if each * index < self.length { each * index } else { self.length };
        let length = if self.length - from < each { self.length - from } else { each };
        Self { first: from, length, ..self }
    }

    #[inline(always)]
    fn load<const LOADS: usize, G: Thread>(self, gpu: G, team: Team, first: u32) -> HeldOfColumn<T, LOADS> {
        let mut numbers = [T::Number::NEG_INFINITY; LOADS];
        for j in 0..LOADS {
            // As for rows, no load waits for a branch.
            let at = first + j as u32 * team.lanes;
            let at = if at < self.length { at } else { self.length - 1 };
            numbers[j] = T::load(gpu, self.number(self.first + at));
        }
        gpu.ask();
        HeldOfColumn { first, numbers }
    }
}

/// Numbers of a column in a thread's registers: one, and those that follow at distances of the team's threads.
pub struct HeldOfColumn<T: Format, const LOADS: usize> {
    first: u32,
    numbers: [T::Number; LOADS],
}

impl<T: Format> Line<T> for Column<T> {
    type Held<const LOADS: usize> = HeldOfColumn<T, LOADS>;

    #[inline(always)]
    fn each<const LOADS: usize, const WHOLE: bool, G: Thread>(
        self,
        gpu: G,
        team: Team,
        mut visit: impl FnMut(usize, T::Number),
    ) -> HeldOfColumn<T, LOADS> {
        let mut first = team.lane;
        let mut held = HeldOfColumn { first, numbers: [T::Number::NEG_INFINITY; LOADS] };
        while first < self.length {
            held = self.load(gpu, team, first);
            for j in 0..LOADS {
                if first + (j as u32) * team.lanes < self.length {
                    visit(j, held.numbers[j]);
                }
            }
            first += LOADS as u32 * team.lanes;
        }
        held
    }

    #[inline(always)]
    fn last<const LOADS: usize, G: Thread>(self, gpu: G, team: Team) -> HeldOfColumn<T, LOADS> {
        let (mut first, step) = (team.lane, LOADS as u32 * team.lanes);
        while first + step < self.length {
            first += step;
        }
        if first < self.length {
            self.load(gpu, team, first)
        } else {
            HeldOfColumn { first, numbers: [T::Number::NEG_INFINITY; LOADS] }
        }
    }

    #[inline(always)]
    fn write<const LOADS: usize, G: Thread>(
        self,
        gpu: G,
        team: Team,
        mut held: HeldOfColumn<T, LOADS>,
        [out, step]: [u64; 2],
        mut result: impl FnMut(T::Number) -> u64,
    ) {
        while held.first < self.length {
            for j in 0..LOADS {
                let at = held.first + j as u32 * team.lanes;
                if at < self.length {
                    T::store(gpu, out + step * u64::from(self.first + at), result(held.numbers[j]));
                }
            }
            let back = LOADS as u32 * team.lanes;
            if held.first < back {
                break;
            }
            held = self.load(gpu, team, held.first - back);
        }
    }

    #[inline(always)]
    fn number(self, index: u32) -> u64 {
        self.address + self.step * u64::from(index)
    }

    #[inline(always)]
    fn own_length(self) -> u32 {
        self.length
    }

    #[inline(always)]
    fn own_index(self, index: u32) -> u32 {
        self.first + index
    }

    #[inline(always)]
    fn has(self, number: u32) -> bool {
        number.wrapping_sub(self.first) < self.length
    }
}

/// A sum over the numbers of a row.
pub trait Summed: Combined {
    /// Of no numbers.
    const NOTHING: Self;

    /// Of those numbers of a row, or of a part of one, that fall to this thread of the team, given an estimate of the
    /// row's log-sum-exp.
    fn of<T: Format, G: Thread>(gpu: G, row: Column<T>, team: Team, estimate: f64) -> Self;
}
