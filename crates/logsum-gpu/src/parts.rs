//! What blocks that work on parts of the same row tell each other.

use crate::column::Summed;
use crate::team::Team;
use crate::thread::Thread;

/// In the GPU's memory: a counter of 32 bits for each row, and eight words of 64 bits for each part. The counters are 0
/// before the first call, and each call leaves them so.
#[derive(Clone, Copy)]
pub struct Parts {
    /// Where it is: a multiple of 8.
    pub address: u64,
}

/// Blocks that there is room for.
pub const MOST_PARTS: u64 = 16384;

/// Bytes of what they tell each other.
pub const BYTES: u64 = (4 + 8 * WORDS) * MOST_PARTS;

const WORDS: u64 = 8;

impl Parts {
    /// Leaves what a block knows of its part of a row, and returns whether it is the last of these to come here. All
    /// threads of the block must call it.
    #[inline(always)]
    pub fn is_last<const N: usize, G: Thread>(
        self,
        gpu: G,
        team: Team,
        row: u64,
        part: u32,
        count: u32,
        words: [u64; N],
    ) -> bool {
        if team.lane == 0 {
            let address = self.place(row, part, count);
            for i in 0..N {
                gpu.store_u64(address + 8 * i as u64, words[i]);
            }
            let counter = self.address + 4 * row;
            let is_last = gpu.add(counter, 1) == count - 1;
            if is_last {
                gpu.store_u32(counter, 0);
            }
            gpu.share(0, is_last.into());
        }
        gpu.barrier();
        let is_last = gpu.shared(0) != 0;
        // Else the place could be written again before all have read it.
        gpu.barrier();
        is_last
    }

    /// What a block left, once the last one has come.
    #[inline(always)]
    pub fn of<const N: usize, G: Thread>(self, gpu: G, row: u64, part: u32, count: u32) -> [u64; N] {
        let address = self.place(row, part, count);
        let mut words = [0; N];
        for i in 0..N {
            words[i] = gpu.load_written(address + 8 * i as u64);
        }
        words
    }

    /// What all parts of a row have together, for the threads of the block that is the last to come here; nothing for
    /// others. `mine` is what this block has of its part. All threads of the block must call it.
    #[inline(always)]
    pub fn all<S: Summed, G: Thread>(
        self,
        gpu: G,
        team: Team,
        [row, part, count]: [u32; 3],
        mine: S,
    ) -> Option<S> {
        if count == 1 {
            return Some(mine);
        }
        let words = [0, 1, 2, 3, 4, 5, 6, 7].map(|i| if i < S::WORDS { mine.word(i) } else { 0 });
        if !self.is_last(gpu, team, row.into(), part, count, words) {
            return None;
        }
        let mut all = S::NOTHING;
        let mut part = team.lane;
        while part < count {
            let words: [u64; 8] = self.of(gpu, row.into(), part, count);
            all = all.with(S::of_words(|i| words[i as usize]));
            part += team.lanes;
        }
        Some(team.all(gpu, all))
    }

    #[inline(always)]
    fn place(self, row: u64, part: u32, count: u32) -> u64 {
        self.address + 4 * MOST_PARTS + 8 * WORDS * (row * u64::from(count) + u64::from(part))
    }
}
