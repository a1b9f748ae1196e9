//! From the arguments to the result.

use crate::args::{Args, Command, Destination, Format, Numbers};
use crate::input::{self, Input, Number};
use crate::output::Target;
use crate::progress::Progress;
use anyhow::{Context, Result};
use clap::CommandFactory;
use logsum::{Axes, LogSumExp};
use ndarray::{ArrayD, ArrayViewD, Axis};
use std::io::Write;
use std::path::PathBuf;

pub(crate) fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Lse(args) => Job::new(&args.numbers, args.keepdims).run(Operation::Value, &args.destination),
        Command::Grad(args) => {
            let gradient = Destination { output: Some(args.output), format: None };
            Job::new(&args.numbers, args.keepdims).run(Operation::ValueAndGradient(args.format), &gradient)
        }
        Command::Softmax(args) => Job::new(&args.numbers, false).run(Operation::Softmax, &args.destination),
        Command::LogSoftmax(args) => {
            Job::new(&args.numbers, false).run(Operation::LogSoftmax, &args.destination)
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "logsum", &mut script);
            Ok(std::io::stdout().write_all(&script)?)
        }
        Command::Man => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Args::command()).render(&mut page)?;
            Ok(std::io::stdout().write_all(&page)?)
        }
    }
}

#[derive(Clone, Copy)]
enum Operation {
    Value,
    /// The gradient is the result; the values go to standard output, in this format.
    ValueAndGradient(Option<Format>),
    Softmax,
    LogSoftmax,
}

struct Job {
    input: PathBuf,
    axis: Vec<isize>,
    axes: Axes,
}

/// Numbers taken at a time where the first axis stays: some megabytes.
const PIECE: usize = 1 << 20;

impl Job {
    fn new(numbers: &Numbers, keep: bool) -> Self {
        let Numbers { input, axis } = numbers;
        let axes = if axis.is_empty() { Axes::all() } else { Axes::from(&axis[..]) };
        Self { input: input.clone(), axis: axis.clone(), axes: if keep { axes.keep() } else { axes } }
    }

    /// Every output is opened before the input is read: nothing is computed that cannot be written.
    fn run(&self, operation: Operation, destination: &Destination) -> Result<()> {
        let target = Target::new(destination, &self.input)?;
        let progress = Progress::new();
        match input::read(&self.input, &progress)? {
            Input::F32(array) => self.compute(operation, array.view()?, target, &progress),
            Input::F64(array) => self.compute(operation, array.view()?, target, &progress),
        }
    }

    fn compute<T: Number>(
        &self,
        operation: Operation,
        z: ArrayViewD<'_, T>,
        target: Target,
        progress: &Progress,
    ) -> Result<()> {
        let pieces = self.pieces(&z);
        let rows = (pieces.len() > 1).then(|| z.len_of(Axis(0)));
        progress.computing(pieces.len());
        let mut result = target.writer(rows);
        let mut values = match operation {
            Operation::ValueAndGradient(format) => {
                Some(Target::new(&Destination { output: None, format }, &self.input)?.writer(rows))
            }
            _ => None,
        };
        let mut piece_values = Vec::new();
        for piece in &pieces {
            let axes = self.axes.clone();
            let computed = match operation {
                Operation::Value => piece.logsumexp(axes),
                Operation::Softmax => piece.softmax(axes),
                Operation::LogSoftmax => piece.log_softmax(axes),
                Operation::ValueAndGradient(_) => {
                    piece.logsumexp_with_gradient(axes).map(|(value, gradient)| {
                        piece_values.push(value);
                        gradient
                    })
                }
            };
            result.write(&computed.with_context(|| self.input.display().to_string())?)?;
            progress.piece_done();
        }
        progress.done();
        result.finish()?;
        if let Some(mut values) = values.take() {
            piece_values.iter().try_for_each(|piece: &ArrayD<T>| values.write(piece))?;
            values.finish()?;
        }
        Ok(())
    }

    /// The array in pieces along its first axis, if that stays, else whole.
    fn pieces<'a, T>(&self, z: &'a ArrayViewD<'a, T>) -> Vec<ArrayViewD<'a, T>> {
        let is_first = |&axis: &isize| axis == 0 || axis == -(z.ndim() as isize);
        if self.axis.is_empty() || self.axis.iter().any(is_first) || z.is_empty() {
            return vec![z.view()];
        }
        let rows = z.len_of(Axis(0));
        z.axis_chunks_iter(Axis(0), (PIECE / (z.len() / rows)).max(1)).collect()
    }
}
