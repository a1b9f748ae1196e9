//! Rows whose numbers follow each other.

use crate::format::Format;
use crate::line::{Line, Rows};
use crate::team::Team;
use crate::thread::Thread;
use core::marker::PhantomData;

/// A row, or a part of one: in the middle pieces of 16 bytes that are loaded at once, and at either end, up to an
/// address that is a multiple of 16 and after the last such piece, fewer numbers: the edges.
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
    /// One of several rows; of nothing if there are not so many.
    #[inline(always)]
    pub fn of(rows: Rows<T>, index: u64) -> Self {
        let length = rows.length_of(index);
        let address = rows.places.address.wrapping_add(rows.places.stride.wrapping_mul(index));
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

    /// Which number of the row is the first one of its middle.
    #[inline(always)]
    fn first_of_middle(self) -> u32 {
        ((self.middle - self.address) / u64::from(T::BYTES)) as u32
    }

    /// Which number is at an edge, and its address.
    #[inline(always)]
    fn edge(self, index: u32) -> (u32, u64) {
        let number = if index < self.before { index } else { index + self.between };
        (number, self.number(number))
    }

    #[inline(always)]
    fn load<const LOADS: usize, G: Thread>(self, gpu: G, team: Team, first: u32) -> Held<LOADS> {
        let mut pieces = [[0; 4]; LOADS];
        for j in 0..LOADS {
            // Beyond the end the last one is loaded again, and not used: no load waits for a branch.
            let at = first + j as u32 * team.lanes;
            let at = if at < self.pieces { at } else { self.pieces - 1 };
            pieces[j] = gpu.load_16_bytes(self.middle + 16 * u64::from(at));
        }
        gpu.ask();
        Held { first, pieces }
    }
}

impl<T: Format> Line<T> for Row<T> {
    type Held<const LOADS: usize> = Held<LOADS>;

    #[inline(always)]
    fn each<const LOADS: usize, const WHOLE: bool, G: Thread>(
        self,
        gpu: G,
        team: Team,
        mut visit: impl FnMut(usize, T::Number),
    ) -> Held<LOADS> {
        let mut edge = team.lane;
        while edge < self.edges {
            visit(0, T::load(gpu, self.edge(edge).1));
            edge += team.lanes;
        }
        let mut held = Held { first: team.lane, pieces: [[0; 4]; LOADS] };
        let mut first = team.lane;
        // Whole steps without a question for each piece.
        while WHOLE && first + (LOADS as u32 - 1) * team.lanes < self.pieces {
            held = self.load(gpu, team, first);
            for j in 0..LOADS {
                let numbers = T::unpacked(gpu, held.pieces[j]);
                for i in 0..T::PER_LOAD {
                    visit(j * T::PER_LOAD + i, numbers[i]);
                }
            }
            first += LOADS as u32 * team.lanes;
        }
        while first < self.pieces {
            held = self.load(gpu, team, first);
            for j in 0..LOADS {
                if first + (j as u32) * team.lanes < self.pieces {
                    let numbers = T::unpacked(gpu, held.pieces[j]);
                    for i in 0..T::PER_LOAD {
                        visit(j * T::PER_LOAD + i, numbers[i]);
                    }
                }
            }
            first += LOADS as u32 * team.lanes;
        }
        held
    }

    #[inline(always)]
    fn last<const LOADS: usize, G: Thread>(self, gpu: G, team: Team) -> Held<LOADS> {
        let (mut first, step) = (team.lane, LOADS as u32 * team.lanes);
        while first + step < self.pieces {
            first += step;
        }
        if first < self.pieces {
            self.load(gpu, team, first)
        } else {
            Held { first, pieces: [[0; 4]; LOADS] }
        }
    }

    #[inline(always)]
    fn write<const LOADS: usize, G: Thread>(
        self,
        gpu: G,
        team: Team,
        mut held: Held<LOADS>,
        [out, _]: [u64; 2],
        mut result: impl FnMut(T::Number) -> u64,
    ) {
        let middle = out + u64::from(self.first_of_middle()) * u64::from(T::BYTES);
        let is_aligned = middle.is_multiple_of(16);
        while held.first < self.pieces {
            for j in 0..LOADS {
                let piece = held.first + j as u32 * team.lanes;
                if piece < self.pieces {
                    let numbers = T::unpacked(gpu, held.pieces[j]);
                    let mut results = [0; 8];
                    for i in 0..T::PER_LOAD {
                        results[i] = result(numbers[i]);
                    }
                    let address = middle + u64::from(piece) * u64::from(T::BYTES) * T::PER_LOAD as u64;
                    if is_aligned {
                        let words = T::packed(results);
                        for k in 0..T::PER_LOAD * T::BYTES as usize / 16 {
                            let four = [0, 1, 2, 3].map(|i| words[4 * k + i]);
                            gpu.store_16_bytes(address + 16 * k as u64, four);
                        }
                    } else {
                        for i in 0..T::PER_LOAD {
                            T::store(gpu, address + i as u64 * u64::from(T::BYTES), results[i]);
                        }
                    }
                }
            }
            let step = LOADS as u32 * team.lanes;
            if held.first < step {
                break;
            }
            held = self.load(gpu, team, held.first - step);
        }
        let mut edge = team.lane;
        while edge < self.edges {
            let (number, address) = self.edge(edge);
            let bits = result(T::load(gpu, address));
            T::store(gpu, out + u64::from(number) * u64::from(T::BYTES), bits);
            edge += team.lanes;
        }
    }

    #[inline(always)]
    fn number(self, index: u32) -> u64 {
        self.address + u64::from(index) * u64::from(T::BYTES)
    }

    #[inline(always)]
    fn own_length(self) -> u32 {
        self.edges + self.pieces * T::PER_LOAD as u32
    }

    #[inline(always)]
    fn own_index(self, index: u32) -> u32 {
        if index < self.edges { self.edge(index).0 } else { self.first_of_middle() + index - self.edges }
    }

    #[inline(always)]
    fn has(self, number: u32) -> bool {
        if number.wrapping_sub(self.before) < self.between {
            number.wrapping_sub(self.first_of_middle()) < self.pieces * T::PER_LOAD as u32
        } else {
            self.edges > 0
        }
    }
}

/// Pieces of a row in a thread's registers: one, and those that follow at distances of the team's threads.
pub struct Held<const LOADS: usize> {
    first: u32,
    pieces: [[u32; 4]; LOADS],
}
