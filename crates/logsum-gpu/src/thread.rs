//! What a thread of a GPU can do beyond arithmetic. The kernels are written over this trait alone, so that each of
//! them runs on the CPU, too.

/// A thread of a block of threads, 32 of which are a warp. A value of this type exists only while a kernel runs, whose
/// launch vouches for the addresses that it was given.
pub trait Thread: Copy {
    /// Which thread of its block it is.
    fn index(self) -> u32;

    /// How many threads its block has: a power of 2.
    fn count(self) -> u32;

    /// Which block of the grid it is in.
    fn block(self) -> [u32; 2];

    /// How many blocks the grid has.
    fn blocks(self) -> [u32; 2];

    /// The word of that thread of the same warp whose index differs in the bits of `mask`. All threads of the warp must
    /// call it.
    fn exchange(self, word: u32, mask: u32) -> u32;

    /// Waits for all threads of the block, and makes what they wrote visible to each other.
    fn barrier(self);

    /// Writes to the memory that the block shares, of [`SHARED`] words.
    fn share(self, place: u32, word: u64);

    /// Reads what was written there before the last barrier.
    fn shared(self, place: u32) -> u64;

    /// Reads 16 bytes that nothing writes meanwhile, from an address that is a multiple of 16.
    fn load_16_bytes(self, address: u64) -> [u32; 4];

    /// Asks for what was to be loaded before anything that follows is done: else a compiler moves loads to where they
    /// are used, and each is waited for alone.
    fn ask(self);

    /// Reads a 16-bit word that nothing writes meanwhile.
    fn load_u16(self, address: u64) -> u16;

    /// Reads a 32-bit word that nothing writes meanwhile.
    fn load_u32(self, address: u64) -> u32;

    /// Reads a 64-bit word that nothing writes meanwhile.
    fn load_u64(self, address: u64) -> u64;

    /// Writes 16 bytes to an address that is a multiple of 16.
    fn store_16_bytes(self, address: u64, words: [u32; 4]);

    /// Writes a 16-bit word.
    fn store_u16(self, address: u64, word: u16);

    /// Writes a 32-bit word.
    fn store_u32(self, address: u64, word: u32);

    /// Writes a 64-bit word.
    fn store_u64(self, address: u64, word: u64);

    /// Reads a 64-bit word that other blocks may have written, before they added to a counter that this one read.
    fn load_written(self, address: u64) -> u64;

    /// Adds to a counter that all blocks share, and returns what it was: what was written before is then seen by who
    /// reads the counter so.
    fn add(self, address: u64, number: u32) -> u32;

    /// The greater number; the other one where one is NaN.
    fn greater(self, a: f32, b: f32) -> f32;

    /// The greater number, or NaN.
    fn greater_or_nan(self, a: f32, b: f32) -> f32;

    /// The lesser number, or NaN.
    fn lesser_or_nan(self, a: f32, b: f32) -> f32;

    /// An f16 as an f32.
    fn f32_of_f16(self, bits: u16) -> f32;

    /// The f16 nearest to an f32, ties to even.
    fn f16_of_f32(self, x: f32) -> u16;
}

/// How many 64-bit words a block shares.
pub const SHARED: u32 = 256;

/// [`Thread::exchange`] of a 64-bit word.
#[inline(always)]
pub fn exchange_u64<G: Thread>(gpu: G, word: u64, mask: u32) -> u64 {
    let [low, high] = [word as u32, (word >> 32) as u32].map(|half| gpu.exchange(half, mask));
    u64::from(high) << 32 | u64::from(low)
}

/// [`Thread::exchange`] of an f64.
#[inline(always)]
pub fn exchange_f64<G: Thread>(gpu: G, x: f64, mask: u32) -> f64 {
    f64::from_bits(exchange_u64(gpu, x.to_bits(), mask))
}
