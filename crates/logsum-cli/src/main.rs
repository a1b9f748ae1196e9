//! Exit codes: 0 for success, 2 for bad usage, bad input, or an output that cannot be written.

use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Err(error) = logsum_cli::run(std::env::args_os()) else { return ExitCode::SUCCESS };
    if let Some(usage) = error.downcast_ref::<clap::Error>() {
        usage.exit();
    }
    // The reader of the output has closed the pipe, which is no error.
    if is_broken_pipe(&error) {
        return ExitCode::SUCCESS;
    }
    let style = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Red.into()));
    // One line, whatever characters a file name or a header contains.
    let message: String =
        format!("{error:#}").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    anstream::eprintln!("{style}logsum:{style:#} {message}");
    ExitCode::from(2)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
