//! The hash of logsum's bit test as WebAssembly: `.ci/wasm` compares it with the hash of every other machine.
#![expect(
    unsafe_code,
    reason = "the names must be found from outside; the one that is called takes a string's bytes"
)]

#[path = "../../logsum/tests/bits/corpus.rs"]
mod corpus;

use corpus::{FAMILIES, HASH, together};

#[cfg_attr(target_family = "wasm", link(wasm_import_module = "env"))]
unsafe extern "C" {
    /// Prints `length` bytes of UTF-8.
    fn print(text: *const u8, length: usize);
}

/// The hash of the bits of all results.
#[unsafe(no_mangle)]
pub extern "C" fn hash() -> u64 {
    let hashes: Vec<u64> = FAMILIES.iter().flat_map(|family| family.hashes).map(|hash| hash()).collect();
    // SAFETY: the bytes of a string are read while it lives.
    together(&hashes, |line| unsafe { print(line.as_ptr(), line.len()) })
}

/// The expected hash.
#[unsafe(no_mangle)]
pub extern "C" fn expected() -> u64 {
    HASH
}
