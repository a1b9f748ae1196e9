//! Rows that a first phase leaves to a later kernel.

use crate::column::{Column, Summed};
use crate::format::Format;
use crate::line::Rows;
use crate::parts::Parts;
use crate::team::Team;
use crate::thread::Thread;

/// In the GPU's memory: three words of 32 bits, how many rows there are, how many blocks have finished with them, and
/// how many results of all calls no phase settled; four unused bytes; and two words of 64 bits for each row: its index,
/// and an estimate of its log-sum-exp. All are 0 before the first call.
#[derive(Clone, Copy)]
pub struct Queue {
    /// Where it is: a multiple of 16.
    pub address: u64,
}

/// A row to be settled.
#[derive(Clone, Copy)]
pub struct Unsettled {
    /// Which row.
    pub row: u64,
    /// Its log-sum-exp: off by less than 2^-21 where it is below 2^32 in magnitude, else by little more than half an
    /// ulp.
    pub estimate: f64,
}

/// Rows that it has room for. A call of more rows is made in parts.
pub const ROOM: u64 = 1 << 20;

/// Bytes of a queue.
pub const BYTES: u64 = HEAD + 16 * ROOM;

const HEAD: u64 = 16;

impl Queue {
    /// Adds a row.
    #[inline(always)]
    pub fn push<G: Thread>(self, gpu: G, unsettled: Unsettled) {
        let place = u64::from(gpu.add(self.address, 1));
        let address = self.address + HEAD + 16 * place;
        gpu.store_u64(address, unsettled.row);
        gpu.store_u64(address + 8, unsettled.estimate.to_bits());
    }

    /// How many rows the kernel before added.
    #[inline(always)]
    pub fn len<G: Thread>(self, gpu: G) -> u32 {
        gpu.load_written(self.address) as u32
    }

    /// A row that the kernel before added.
    #[inline(always)]
    pub fn get<G: Thread>(self, gpu: G, index: u32) -> Unsettled {
        let address = self.address + HEAD + 16 * u64::from(index);
        let estimate = f64::from_bits(gpu.load_u64(address + 8));
        Unsettled { row: gpu.load_u64(address), estimate }
    }

    /// Sums each row that the kernel before added, and empties the queue: one block for each row, or several where
    /// there are at least twice as many blocks as rows. One thread calls `store` with the sum.
    #[inline(always)]
    pub fn each_sum<T: Format, S: Summed, G: Thread>(
        self,
        gpu: G,
        rows: Rows<T>,
        parts: Parts,
        store: impl Fn(Unsettled, S),
    ) {
        let (team, block) = Team::of(gpu, gpu.count());
        let (count, blocks) = (self.len(gpu), gpu.blocks()[0]);
        // The greatest power of 2 that leaves a block for each part of each row.
        let mut of_row = 1;
        while 2 * of_row * count <= blocks && count > 0 {
            of_row *= 2;
        }
        let (part, step) = (block as u32 & (of_row - 1), blocks >> of_row.trailing_zeros());
        let mut index = block as u32 >> of_row.trailing_zeros();
        while index < count {
            let unsettled = self.get(gpu, index);
            let row = Column::of(rows, unsettled.row).part(part, of_row);
            let mine = team.all(gpu, S::of(gpu, row, team, unsettled.estimate));
            let all = parts.all(gpu, team, [index, part, of_row], mine);
            if let (Some(all), 0) = (all, team.lane) {
                store(unsettled, all);
            }
            index += step;
        }
        self.finish(gpu);
    }

    /// Counts a result that no phase settled.
    #[inline(always)]
    pub fn leave<G: Thread>(self, gpu: G) {
        gpu.add(self.address + 8, 1);
    }

    /// Once all threads of a one-dimensional grid have called it, the queue is empty.
    #[inline(always)]
    pub fn finish<G: Thread>(self, gpu: G) {
        gpu.barrier();
        if gpu.index() == 0 && gpu.add(self.address + 4, 1) == gpu.blocks()[0] - 1 {
            gpu.store_u64(self.address, 0);
        }
    }
}
