//! Teams of threads that work on a row together, and what they know in common.

use crate::format::Number;
use crate::thread::Thread;

/// The threads of a team: some of a warp, or all of a block; or, for columns, threads at the same distance in a block.
#[derive(Clone, Copy)]
pub struct Team {
    /// Which of them this thread is.
    pub lane: u32,
    /// How many they are: a power of 2, and all of the block if more than a warp.
    pub lanes: u32,
    /// The distance of their indices in the block: 1, or for columns a power of 2, in a block of at most as many
    /// threads as there are words that it shares.
    apart: u32,
}

/// Threads of a warp.
const WARP: u32 = 32;

/// What threads of a team put together.
pub trait Combined: Copy {
    /// How many words it has in the memory of a block: at most 8.
    const WORDS: u32;

    /// The value of another thread of the warp: see [`Thread::exchange`].
    fn exchanged<G: Thread>(self, gpu: G, mask: u32) -> Self;

    /// Both: commutative to the bit, so that all threads come to the same.
    fn with(self, other: Self) -> Self;

    /// A word of it.
    fn word(self, index: u32) -> u64;

    /// What has these words.
    fn of_words(word: impl Fn(u32) -> u64) -> Self;
}

impl Team {
    /// The team of this thread, and which one that is among those of the grid.
    #[inline(always)]
    pub fn of<G: Thread>(gpu: G, lanes: u32) -> (Self, u64) {
        let thread = u64::from(gpu.block()[0]) * u64::from(gpu.count()) + u64::from(gpu.index());
        (Self { lane: gpu.index() & (lanes - 1), lanes, apart: 1 }, thread >> lanes.trailing_zeros())
    }

    /// The team of this thread, and which one that is, where the first threads of a block belong to different teams: so
    /// they read what different columns have beside each other.
    #[inline(always)]
    pub fn of_column<G: Thread>(gpu: G, lanes: u32) -> (Self, u64) {
        let apart = gpu.count() >> lanes.trailing_zeros();
        let index = u64::from(gpu.block()[0]) * u64::from(apart) + u64::from(gpu.index() & (apart - 1));
        (Self { lane: gpu.index() >> apart.trailing_zeros(), lanes, apart }, index)
    }

    /// What all threads of the team have, together. All threads of the block must call it.
    #[inline(always)]
    pub fn all<C: Combined, G: Thread>(self, gpu: G, mine: C) -> C {
        if self.apart > 1 {
            return self.all_of_column(gpu, mine);
        }
        let mut all = mine;
        let mut mask = if self.lanes < WARP { self.lanes } else { WARP } / 2;
        while mask > 0 {
            all = all.with(all.exchanged(gpu, mask));
            mask /= 2;
        }
        if self.lanes <= WARP {
            return all;
        }
        let (warps, warp) = (self.lanes / WARP, self.lane / WARP);
        if self.lane.is_multiple_of(WARP) {
            for i in 0..C::WORDS {
                gpu.share(warp * C::WORDS + i, all.word(i));
            }
        }
        gpu.barrier();
        let place = self.lane % warps * C::WORDS;
        all = C::of_words(|i| gpu.shared(place + i));
        // Else a thread could write the next value before another has read this one.
        gpu.barrier();
        let mut mask = warps / 2;
        while mask > 0 {
            all = all.with(all.exchanged(gpu, mask));
            mask /= 2;
        }
        all
    }

    /// The same for a team of columns: word by word, since there is one shared word for each thread of the block.
    #[inline(always)]
    fn all_of_column<C: Combined, G: Thread>(self, gpu: G, mine: C) -> C {
        let mut all = mine;
        let mut distance = self.lanes / 2;
        while distance > 0 {
            let mut words = [0; 8];
            for i in 0..8 {
                if i < C::WORDS {
                    gpu.share(gpu.index(), all.word(i));
                    gpu.barrier();
                    words[i as usize] = gpu.shared(gpu.index() ^ (distance * self.apart));
                    gpu.barrier();
                }
            }
            all = all.with(C::of_words(|i| words[i as usize]));
            distance /= 2;
        }
        all
    }

    /// The greatest number of the team, if it is not NaN.
    #[inline(always)]
    pub fn greatest<N: Number, G: Thread>(self, gpu: G, mine: N) -> N {
        self.all(gpu, Greatest(mine)).0
    }
}

#[derive(Clone, Copy)]
struct Greatest<N>(N);

impl<N: Number> Combined for Greatest<N> {
    const WORDS: u32 = 1;

    #[inline(always)]
    fn exchanged<G: Thread>(self, gpu: G, mask: u32) -> Self {
        Self(self.0.exchanged(gpu, mask))
    }

    #[inline(always)]
    fn with(self, other: Self) -> Self {
        if other.0 > self.0 { other } else { self }
    }

    #[inline(always)]
    fn word(self, _: u32) -> u64 {
        self.0.to_f64().to_bits()
    }

    #[inline(always)]
    fn of_words(word: impl Fn(u32) -> u64) -> Self {
        Self(N::of_f64(f64::from_bits(word(0))))
    }
}

/// Whether any thread says so.
#[derive(Clone, Copy)]
pub struct Any(pub bool);

impl Combined for Any {
    const WORDS: u32 = 1;

    #[inline(always)]
    fn exchanged<G: Thread>(self, gpu: G, mask: u32) -> Self {
        Self(gpu.exchange(self.0.into(), mask) != 0)
    }

    #[inline(always)]
    fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[inline(always)]
    fn word(self, _: u32) -> u64 {
        self.0.into()
    }

    #[inline(always)]
    fn of_words(word: impl Fn(u32) -> u64) -> Self {
        Self(word(0) != 0)
    }
}
