//! Teams of threads that work on a row together, and what they know in common.

use crate::format::Number;
use crate::thread::Thread;

/// The threads of a team: some of a warp, or all of a block.
#[derive(Clone, Copy)]
pub struct Team {
    /// Which of them this thread is.
    pub lane: u32,
    /// How many they are: a power of 2, and all of the block if more than a warp.
    pub lanes: u32,
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
        (Self { lane: gpu.index() & (lanes - 1), lanes }, thread >> lanes.trailing_zeros())
    }

    /// What all threads of the team have, together. All threads of the block must call it.
    #[inline(always)]
    pub fn all<C: Combined, G: Thread>(self, gpu: G, mine: C) -> C {
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
