//! From the arguments to the result.

use crate::args::{Args, Command, Destination, Format, Numbers};
use crate::input::{self, Input, Number};
use crate::output::Target;
use crate::progress::Progress;
use anyhow::{Context, Result, bail};
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
        let values_shape =
            self.values_shape::<T>(z.shape()).with_context(|| self.input.display().to_string())?;
        let result_shape = match operation {
            Operation::Value => values_shape.clone(),
            _ => z.shape().to_vec(),
        };
        let mut result = target.writer(result_shape.clone())?;
        let mut values = match operation {
            Operation::ValueAndGradient(format) => {
                let stdout = Destination { output: None, format };
                Some(Target::new(&stdout, &self.input)?.writer(values_shape.clone())?)
            }
            _ => None,
        };
        let pieces = self.pieces(&z);
        progress.computing(pieces.len());
        // Pieces are cut along the first axis, and then it is the first of the results, too.
        let room = |shape: &[usize], piece: &ArrayViewD<'_, T>| {
            let mut shape = shape.to_vec();
            if pieces.len() > 1 {
                shape[0] = piece.len_of(Axis(0));
            }
            room(&shape).with_context(|| self.input.display().to_string())
        };
        let mut piece_values = Vec::new();
        for piece in &pieces {
            let axes = self.axes.clone();
            let mut computed = room(&result_shape, piece)?;
            let out = computed.view_mut();
            match operation {
                Operation::Value => piece.logsumexp_into(axes, out)?,
                Operation::Softmax => piece.softmax_into(axes, out)?,
                Operation::LogSoftmax => piece.log_softmax_into(axes, out)?,
                Operation::ValueAndGradient(_) => {
                    let mut value = room(&values_shape, piece)?;
                    piece.logsumexp_with_gradient_into(axes, value.view_mut(), out)?;
                    piece_values.push(value);
                }
            }
            result.write(&computed)?;
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
        if z.is_empty() || z.ndim() == 0 || self.is_reduced(0, z.ndim()) {
            return vec![z.view()];
        }
        let rows = z.len_of(Axis(0));
        z.axis_chunks_iter(Axis(0), (PIECE / (z.len() / rows)).max(1)).collect()
    }

    fn values_shape<T: Number>(&self, shape: &[usize]) -> Result<Vec<usize>, logsum::Error> {
        // The library's word on the axes, by way of an array without elements.
        let rank = ArrayD::<T>::default(vec![0; shape.len()]).logsumexp(self.axes.clone())?.ndim();
        let keep = rank == shape.len();
        let lengths =
            shape.iter().enumerate().filter_map(|(axis, &length)| match self.is_reduced(axis, shape.len()) {
                true => keep.then_some(1),
                false => Some(length),
            });
        Ok(lengths.collect())
    }

    fn is_reduced(&self, axis: usize, rank: usize) -> bool {
        let is_it = |&given: &isize| given == axis as isize || given == axis as isize - rank as isize;
        self.axis.is_empty() || self.axis.iter().any(is_it)
    }
}

/// Zeros for a result; one that memory cannot hold is a complaint, where an allocation would end the program.
fn room<T: Number>(shape: &[usize]) -> Result<ArrayD<T>> {
    let count: usize = shape.iter().product();
    let mut numbers = Vec::new();
    if numbers.try_reserve_exact(count).is_err() {
        bail!("the result has the shape {shape:?}: there is no memory for {count} numbers");
    }
    numbers.resize(count, T::zeroed());
    Ok(ArrayD::from_shape_vec(shape, numbers)?)
}
