//! Blocks of threads on the CPU, for tests: each thread is a coroutine, which stops where the threads of its warp or
//! block exchange something. Every access is checked to lie within memory that the launch named.

// Addresses are checked before they are used.
#![allow(unsafe_code)]

use crate::thread::{SHARED, Thread};
use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use half::f16;
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;

/// What a thread waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Warp,
    Block,
}

/// The memory that a launch may use.
#[derive(Default, Clone)]
pub struct Memory {
    readable: Vec<Range<u64>>,
    writable: Vec<Range<u64>>,
}

impl Memory {
    /// Adds numbers that are read. They must live until the launch has ended.
    pub fn reads<T>(mut self, numbers: &[T]) -> Self {
        self.readable.push(range(numbers.as_ptr(), numbers.len()));
        self
    }

    /// Adds numbers that are read and written. They must live until the launch has ended.
    pub fn writes<T>(mut self, numbers: &mut [T]) -> Self {
        self.writable.push(range(numbers.as_mut_ptr(), numbers.len()));
        self
    }

    fn sorted(mut self) -> Self {
        self.readable.sort_by_key(|range| range.start);
        self.writable.sort_by_key(|range| range.start);
        self
    }
}

/// Whether one of these ranges, which are sorted and do not overlap, has all of these bytes.
fn hold(ranges: &[Range<u64>], address: u64, bytes: u64) -> bool {
    let count = ranges.partition_point(|range| range.start <= address);
    count > 0 && address + bytes <= ranges[count - 1].end
}

fn range<T>(start: *const T, len: usize) -> Range<u64> {
    let start = start as u64;
    start..start + (len * size_of::<T>()) as u64
}

/// A block under way.
struct Block {
    memory: Rc<Memory>,
    shared: RefCell<[u64; SHARED as usize]>,
    words: RefCell<Vec<u32>>,
}

/// A thread of such a block.
#[derive(Clone, Copy)]
pub struct Emulated<'a> {
    block: &'a Block,
    yielder: &'a Yielder<(), Wait>,
    index: u32,
    count: u32,
    at: [u32; 2],
    blocks: [u32; 2],
}

/// Runs all blocks of a grid, one after the other, in a mixed order: any must do.
pub fn launch(memory: &Memory, blocks: [u32; 2], threads: u32, kernel: impl Fn(Emulated<'_>) + 'static) {
    assert!(threads.is_power_of_two() && threads >= 32, "{threads} threads");
    let (all, kernel, memory) = (blocks[0] * blocks[1], Rc::new(kernel), Rc::new(memory.clone().sorted()));
    // A number prime to that of the blocks.
    let stride = (1..).map(|k| 7 * k + 1).find(|&stride| gcd(stride, all) == 1).unwrap_or(1);
    let mut stacks = Vec::new();
    for i in 0..all {
        let at = (i * stride) % all;
        run(&memory, [at % blocks[0], at / blocks[0]], blocks, threads, &kernel, &mut stacks);
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn run<K: Fn(Emulated<'_>) + 'static>(
    memory: &Rc<Memory>,
    at: [u32; 2],
    blocks: [u32; 2],
    threads: u32,
    kernel: &Rc<K>,
    stacks: &mut Vec<DefaultStack>,
) {
    let block = Rc::new(Block {
        memory: Rc::clone(memory),
        // What nobody wrote has no meaning.
        shared: RefCell::new([0xdead_dead_dead_dead; SHARED as usize]),
        words: RefCell::new(vec![0; threads as usize]),
    });
    let mut coroutines: Vec<_> = (0..threads)
        .map(|index| {
            let (block, kernel) = (Rc::clone(&block), Rc::clone(kernel));
            let stack = stacks.pop().unwrap_or_else(|| DefaultStack::new(64 << 10).expect("a small stack"));
            Coroutine::with_stack(stack, move |yielder: &Yielder<(), Wait>, ()| {
                kernel(Emulated { block: &block, yielder, index, count: threads, at, blocks });
            })
        })
        .collect();
    let states: Vec<_> = (0..threads).map(|_| Cell::new(Some(Wait::Warp))).collect();
    loop {
        // Each warp goes on until all of its threads wait for the block or have ended.
        for warp in 0..threads as usize / 32 {
            let threads = warp * 32..warp * 32 + 32;
            loop {
                for i in threads.clone() {
                    if states[i].get().is_some() {
                        states[i].set(match coroutines[i].resume(()) {
                            CoroutineResult::Yield(wait) => Some(wait),
                            CoroutineResult::Return(()) => None,
                        });
                    }
                }
                let first = states[threads.start].get();
                assert!(
                    threads.clone().all(|i| states[i].get() == first),
                    "a warp waits for different things"
                );
                if first != Some(Wait::Warp) {
                    break;
                }
            }
        }
        let first = states[0].get();
        assert!(
            states.iter().all(|state| state.get() == first),
            "some threads wait for others that have ended"
        );
        if first.is_none() {
            stacks.extend(coroutines.into_iter().map(Coroutine::into_stack));
            return;
        }
    }
}

impl Emulated<'_> {
    fn check(self, address: u64, bytes: u64, writes: bool) {
        assert!(address.is_multiple_of(bytes), "an address is not a multiple of {bytes}");
        let Memory { readable, writable } = &*self.block.memory;
        let is_good = hold(writable, address, bytes) || !writes && hold(readable, address, bytes);
        assert!(is_good, "thread {} of block {:?} leaves the memory that it was given", self.index, self.at);
    }

    fn load<T: Copy>(self, address: u64) -> T {
        self.check(address, size_of::<T>() as u64, false);
        // SAFETY: the address is aligned and lies within memory that the launch named and that still lives; any bits
        // are a T, which is one of whole numbers.
        unsafe { *(address as *const T) }
    }

    fn store<T>(self, address: u64, value: T) {
        self.check(address, size_of::<T>() as u64, true);
        // SAFETY: likewise, of memory that was borrowed to be written; coroutines take turns on one thread.
        unsafe { *(address as *mut T) = value }
    }
}

/// 16 bytes, aligned.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Sixteen([u32; 4]);

impl Thread for Emulated<'_> {
    fn index(self) -> u32 {
        self.index
    }

    fn count(self) -> u32 {
        self.count
    }

    fn block(self) -> [u32; 2] {
        self.at
    }

    fn blocks(self) -> [u32; 2] {
        self.blocks
    }

    fn exchange(self, word: u32, mask: u32) -> u32 {
        self.block.words.borrow_mut()[self.index as usize] = word;
        self.yielder.suspend(Wait::Warp);
        let other = self.block.words.borrow()[(self.index ^ mask) as usize];
        // None may go on to write before all have read.
        self.yielder.suspend(Wait::Warp);
        other
    }

    fn barrier(self) {
        self.yielder.suspend(Wait::Block);
    }

    fn share(self, place: u32, word: u64) {
        self.block.shared.borrow_mut()[place as usize] = word;
    }

    fn shared(self, place: u32) -> u64 {
        self.block.shared.borrow()[place as usize]
    }

    fn load_16_bytes(self, address: u64) -> [u32; 4] {
        self.load::<Sixteen>(address).0
    }

    fn ask(self) {}

    fn load_u16(self, address: u64) -> u16 {
        self.load(address)
    }

    fn load_u32(self, address: u64) -> u32 {
        self.load(address)
    }

    fn load_u64(self, address: u64) -> u64 {
        self.load(address)
    }

    fn store_16_bytes(self, address: u64, words: [u32; 4]) {
        self.store(address, Sixteen(words));
    }

    fn store_u16(self, address: u64, word: u16) {
        self.store(address, word);
    }

    fn store_u32(self, address: u64, word: u32) {
        self.store(address, word);
    }

    fn store_u64(self, address: u64, word: u64) {
        self.store(address, word);
    }

    fn load_written(self, address: u64) -> u64 {
        self.load(address)
    }

    fn add(self, address: u64, number: u32) -> u32 {
        let was: u32 = self.load(address);
        self.store(address, was + number);
        was
    }

    fn greater(self, a: f32, b: f32) -> f32 {
        a.max(b)
    }

    fn greater_or_nan(self, a: f32, b: f32) -> f32 {
        if a.is_nan() || b.is_nan() { f32::NAN } else { a.max(b) }
    }

    fn lesser_or_nan(self, a: f32, b: f32) -> f32 {
        if a.is_nan() || b.is_nan() { f32::NAN } else { a.min(b) }
    }

    fn f32_of_f16(self, bits: u16) -> f32 {
        f16::from_bits(bits).to_f32()
    }

    fn f16_of_f32(self, x: f32) -> u16 {
        f16::from_f32(x).to_bits()
    }
}
