//! States of sums, as files: what `lse --state` writes and `merge` adds up.

use crate::args::{Destination, Merge, MergeOp};
use crate::input::Number;
use crate::output::{StateFile, Target, write};
use anyhow::{Context, Result, bail};
use half::{bf16, f16};
use logsum::Accumulator;
use ndarray::{ArrayViewD, arr0};
use std::fs::File;
use std::io::{Read, stdin};
use std::path::Path;

/// The state of log Σ w e^z over all numbers.
pub(crate) fn of<T: Number>(z: &ArrayViewD<'_, T>, weights: Option<&ArrayViewD<'_, T>>) -> Accumulator<T> {
    let mut sum = Accumulator::new();
    match (weights, z.as_slice_memory_order()) {
        (None, Some(numbers)) => sum.update(numbers),
        (None, None) => sum.extend(z.iter().copied()),
        (Some(weights), _) => {
            let mut pairs = z.iter().zip(weights).peekable();
            let (mut some_z, mut some_weights) = (Vec::new(), Vec::new());
            while pairs.peek().is_some() {
                some_z.clear();
                some_weights.clear();
                for (&z, &weight) in pairs.by_ref().take(1 << 12) {
                    some_z.push(z);
                    some_weights.push(weight);
                }
                sum.update_weighted(&some_z, &some_weights).expect("one weight for each number");
            }
        }
    }
    sum
}

/// Adds up states, prints the value of the sum, and writes its state if requested.
pub(crate) fn merge(args: &Merge) -> Result<()> {
    let file = args.state.as_ref().map(|path| StateFile::new(path, Path::new(""))).transpose()?;
    // All are read first, since a pipe can be read only once.
    let states = args.states.iter().map(|path| read(path)).collect::<Result<Vec<_>>>()?;
    let [first, ..] = &states[..] else { bail!("there are no states to merge") };
    match first[4] {
        53 => merged::<f64>(args, &states, file),
        24 => merged::<f32>(args, &states, file),
        11 => merged::<f16>(args, &states, file),
        8 => merged::<bf16>(args, &states, file),
        _ => bail!("{}: is not the state of a sum", name(&args.states[0])),
    }
}

fn merged<T: Number>(args: &Merge, states: &[[u8; 112]], file: Option<StateFile>) -> Result<()> {
    let target = Target::new(&Destination { output: None, format: args.format }, Path::new(""))?;
    let mut sum = Accumulator::<T>::new();
    for (path, state) in args.states.iter().zip(states) {
        let state = Accumulator::from_bytes(state).with_context(|| name(path))?;
        sum.merge(&state);
    }
    let value = match args.op {
        MergeOp::Sum => sum.value(),
        MergeOp::Mean => sum.logmeanexp(),
    };
    // Nothing is printed if the state cannot be written.
    file.map(|file| file.write(&sum.to_bytes())).transpose()?;
    write(&arr0(value).into_dyn(), target)
}

/// The bytes of a state.
fn read(path: &Path) -> Result<[u8; 112]> {
    // One byte more than a state has, to notice longer files.
    let begun = |from: &mut dyn Read| {
        let mut bytes = Vec::new();
        from.take(Accumulator::<f64>::BYTES as u64 + 1).read_to_end(&mut bytes).map(|_| bytes)
    };
    let is_pipe = path == Path::new("-");
    let found =
        if is_pipe { begun(&mut stdin()) } else { File::open(path).and_then(|mut file| begun(&mut file)) };
    let bytes = found.with_context(|| name(path))?;
    let length = if bytes.len() > 112 { "more".to_owned() } else { bytes.len().to_string() };
    let words = || format!("{}: is not the state of a sum: a state has 112 bytes, not {length}", name(path));
    bytes.try_into().ok().with_context(words)
}

fn name(path: &Path) -> String {
    if path == Path::new("-") { "standard input".into() } else { path.display().to_string() }
}
