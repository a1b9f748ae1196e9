//! A short run without libFuzzer: each target on its corpus, and on random changes of it, always the same ones.
//!
//! What the command prints goes to standard output, the counts to standard error.

use logsum_fuzz::{command, explain, states, values};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use std::time::Instant;
use std::{fs, io};

type Target = fn(&[u8]);

/// Each target with the name of its corpus, and how many changed inputs it gets: some seconds' worth.
const TARGETS: [(&str, Target, usize); 4] = [
    ("command", command, 4000),
    ("explain", explain, 200),
    ("states", states, 2_000_000),
    ("values", values, 4000),
];

fn main() -> io::Result<()> {
    for (name, target, count) in TARGETS {
        let start = Instant::now();
        let mut files: Vec<_> =
            fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name))?
                .map(|entry| Ok(entry?.path()))
                .collect::<io::Result<_>>()?;
        files.sort();
        let seeds = files.iter().map(fs::read).collect::<io::Result<Vec<_>>>()?;
        seeds.iter().for_each(|seed| target(seed));
        let mut random = ChaCha8Rng::seed_from_u64(0);
        for i in 0..count {
            let (mut input, other) = (seeds[i % seeds.len()].clone(), random.random_range(0..seeds.len()));
            for _ in 0..random.random_range(1..8) {
                change(&mut input, &seeds[other], &mut random);
            }
            // A panic says which input it was.
            let _shown = Shown { name, input: &input };
            target(&input);
        }
        let [inputs, seconds] = [seeds.len() + count, start.elapsed().as_secs() as usize];
        eprintln!("{name}: {inputs} inputs in {seconds} s");
    }
    Ok(())
}

/// Flips a bit, sets a byte or a word of eight to a telling value, cuts, repeats, or takes over a part of another
/// input.
fn change(input: &mut Vec<u8>, other: &[u8], random: &mut impl Rng) {
    let place = random.random_range(0..=input.len());
    let end = (place + random.random_range(1..32)).min(input.len());
    match random.random_range(0..7) {
        0 if place < input.len() => input[place] ^= 1 << random.random_range(0..8),
        1 if place < input.len() => {
            input[place] = [0, 1, 0x7f, 0x80, 0xff, b'"', b',', b'\n'][random.random_range(0..8)]
        }
        2 if place + 8 <= input.len() => {
            let telling = [0.0, -0.0, f64::INFINITY, f64::NAN, f64::MIN_POSITIVE, -f64::MAX, 5e-324, -745.2];
            input[place..place + 8]
                .copy_from_slice(&telling[random.random_range(0..telling.len())].to_le_bytes());
        }
        3 => drop(input.drain(place..end)),
        4 => input.extend_from_within(place..end),
        5 => input.truncate(place),
        _ => {
            let from = random.random_range(0..=other.len());
            let part = &other[from..(from + 32).min(other.len())];
            input.splice(place..end, part.iter().copied());
        }
    }
}

/// Says in a panic which input led to it.
struct Shown<'a> {
    name: &'a str,
    input: &'a [u8],
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: {:?}", self.name, self.input);
        }
    }
}
