//! The `logsum` command: log-sum-exp, its gradient, softmax and log-softmax of a file of numbers.
//!
//! `args` parses the arguments, `input` reads the numbers (as an ndarray view, in memory or mapped, or row by row),
//! `job` computes, `grouping` does so for groups of rows, `state` stores and merges states of sums, `output` writes;
//! `explain` calls the crate logsum-explain.

mod args;
mod explain;
mod grouping;
mod input;
mod job;
mod output;
mod progress;
mod state;

use std::ffi::OsString;

/// Runs the command with these arguments, the first of which is the name of the program.
///
/// # Errors
/// [`clap::Error`] if the arguments are invalid or ask for help; otherwise an error whose message the user sees in one
/// line.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> anyhow::Result<()> {
    job::run(args::read(arguments)?)
}
