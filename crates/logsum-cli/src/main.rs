//! The `logsum` command: log-sum-exp, its gradient, softmax and log-softmax of a file of numbers.
//!
//! `args` says what can be asked for, `input` finds the numbers (as an ndarray view, in memory or mapped, or row by
//! row), `job` computes, `grouping` does so for groups of rows, `state` has sums in parts, `output` writes; `explain`
//! is a face of the crate logsum-explain. Exit codes: 0 done, 2 for bad usage, bad input, or an output that cannot be
//! written.

mod args;
mod explain;
mod grouping;
mod input;
mod job;
mod output;
mod progress;
mod state;

use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    match job::run(args::from_command_line()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has had enough of it.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let style = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Red.into()));
            // A line whatever a file name or a header holds.
            let message: String =
                format!("{error:#}").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            anstream::eprintln!("{style}logsum:{style:#} {message}");
            ExitCode::from(2)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
