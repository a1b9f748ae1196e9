//! The `logsum` command: log-sum-exp, its gradient, softmax and log-softmax of a file of numbers.
//!
//! `args` says what can be asked for, `input` finds the numbers (as an ndarray view, in memory or mapped, or row by
//! row), `job` computes, `grouping` does so for groups of rows, `state` has sums in parts, `output` writes; `explain`
//! is a face of the crate logsum-explain.

mod args;
mod explain;
mod grouping;
mod input;
mod job;
mod output;
mod progress;
mod state;

use std::ffi::OsString;

/// Does what the arguments say, the first of which is the name of the command.
///
/// # Errors
/// [`clap::Error`] where the arguments cannot be understood, or ask for help; else what the user is told in one line.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> anyhow::Result<()> {
    job::run(args::read(arguments)?)
}
