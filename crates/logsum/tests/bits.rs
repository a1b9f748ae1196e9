//! One hash of the bits of all results for a fixed set of inputs, which must be equal at every level and on every
//! machine. `cargo test --test bits -- --nocapture` prints it.

#[path = "bits/corpus.rs"]
mod corpus;
#[path = "common/each_level.rs"]
mod each_level;

use corpus::{FAMILIES, HASH, together};
use each_level::each_level;
use rayon::prelude::*;

#[test]
fn the_bits_are_the_same_everywhere() {
    let mut others = Vec::new();
    for level in each_level() {
        let of_all: Vec<fn() -> u64> = FAMILIES.iter().flat_map(|family| family.hashes).collect();
        let hashes: Vec<u64> = of_all.into_par_iter().map(|hash| hash()).collect();
        let hash = together(&hashes, |line| println!("      {line}"));
        println!("bits: {} {hash:016x}", level.name());
        if hash != HASH {
            others.push(format!("{}: {hash:016x}", level.name()));
        }
    }
    assert!(others.is_empty(), "not {HASH:016x}: {others:?}");
}
