//! One hash of the bits of everything that the library computes of one fixed set of inputs: the same at every level, and on
//! every machine. `cargo test --test bits -- --nocapture` prints it.

#[path = "bits/corpus.rs"]
mod corpus;

use corpus::HASH;
use logsum::Level;

#[test]
fn the_bits_are_the_same_everywhere() {
    let mut others = Vec::new();
    for level in Level::ALL {
        if !Level::force(Some(level)) {
            println!("skipped: {level:?}");
            continue;
        }
        let hash = corpus::hash(|line| println!("      {line}"));
        println!("bits: {level:?} {hash:016x}");
        if hash != HASH {
            others.push(format!("{level:?}: {hash:016x}"));
        }
    }
    assert!(Level::force(None));
    assert!(others.is_empty(), "not {HASH:016x}: {others:?}");
}
