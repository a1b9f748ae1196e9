//! From the arguments to the result.

use crate::args::{Args, Command, CrossEntropy, Destination, Format, Numbers, Op, TokenLogProbs};
use crate::explain;
use crate::input::{self, Input, Number};
use crate::output::Target;
use crate::progress::Progress;
use anyhow::{Context, Result, bail};
use clap::CommandFactory;
use logsum::{Axes, LogSumExp, Reduction, Targets};
use ndarray::{ArrayD, ArrayViewD, Axis};
use std::io::Write;
use std::path::{Path, PathBuf};

pub(crate) fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Lse(args) => Job::new(&args.numbers, args.keepdims)
            .weights(args.weights.weights)
            .run(Operation::Value(args.op), &args.destination),
        Command::Grad(args) => {
            let gradient = Destination { output: Some(args.output), format: None };
            Job::new(&args.numbers, args.keepdims)
                .weights(args.weights.weights)
                .run(Operation::ValueAndGradient(args.format), &gradient)
        }
        Command::CrossEntropy(args) => cross_entropy(&args),
        Command::TokenLogProbs(args) => token_log_probs(&args),
        Command::Softmax(args) => Job::new(&args.numbers, false).run(Operation::Softmax, &args.destination),
        Command::LogSoftmax(args) => {
            Job::new(&args.numbers, false).run(Operation::LogSoftmax, &args.destination)
        }
        Command::Explain(args) => explain::run(&args),
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
    Value(Op),
    /// The gradient is the result; the values go to standard output, in this format.
    ValueAndGradient(Option<Format>),
    Softmax,
    LogSoftmax,
}

struct Job {
    input: PathBuf,
    axis: Vec<isize>,
    axes: Axes,
    weights: Option<PathBuf>,
}

/// Numbers taken at a time where the first axis stays: some megabytes.
const PIECE: usize = 1 << 20;

impl Job {
    fn new(numbers: &Numbers, keep: bool) -> Self {
        let Numbers { input, axis } = numbers;
        let axes = if axis.is_empty() { Axes::all() } else { Axes::from(&axis[..]) };
        Self {
            input: input.clone(),
            axis: axis.clone(),
            axes: if keep { axes.keep() } else { axes },
            weights: None,
        }
    }

    fn weights(self, weights: Option<PathBuf>) -> Self {
        Self { weights, ..self }
    }

    /// Every output is opened before the input is read: nothing is computed that cannot be written.
    fn run(&self, operation: Operation, destination: &Destination) -> Result<()> {
        let target = Target::new(destination, &self.input)?;
        let progress = Progress::new();
        let weights = match &self.weights {
            Some(path) if path == &self.input => {
                bail!("{}: cannot be both the numbers and their weights", path.display())
            }
            Some(path) => Some(input::read(path, &progress)?),
            None => None,
        };
        match (input::read(&self.input, &progress)?, &weights) {
            (Input::F32(array), None) => self.compute(operation, array.view()?, None, target, &progress),
            (Input::F64(array), None) => self.compute(operation, array.view()?, None, target, &progress),
            (Input::F32(array), Some(Input::F32(weights))) => {
                self.compute(operation, array.view()?, Some(weights.view()?), target, &progress)
            }
            (Input::F64(array), Some(Input::F64(weights))) => {
                self.compute(operation, array.view()?, Some(weights.view()?), target, &progress)
            }
            (Input::F64(array), Some(Input::F32(weights))) => {
                let weights = weights.view()?.mapv(f64::from);
                self.compute(operation, array.view()?, Some(weights.view()), target, &progress)
            }
            (Input::F32(array), Some(Input::F64(weights))) => {
                // The numbers become f64, and with them the result: no weight is rounded.
                let array = array.view()?.mapv(f64::from);
                self.compute(operation, array.view(), Some(weights.view()?), target, &progress)
            }
        }
    }

    fn compute<T: Number>(
        &self,
        operation: Operation,
        z: ArrayViewD<'_, T>,
        weights: Option<ArrayViewD<'_, T>>,
        target: Target,
        progress: &Progress,
    ) -> Result<()> {
        let values_shape =
            self.values_shape::<T>(z.shape()).with_context(|| self.input.display().to_string())?;
        let result_shape = match operation {
            Operation::Value(_) => values_shape.clone(),
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
        let wide = match (&weights, &self.weights) {
            (Some(weights), Some(path)) => Some(weights.broadcast(z.raw_dim()).with_context(|| {
                let (found, shape) = (weights.shape(), z.shape());
                format!("{}: has the shape {found:?}, which does not broadcast to {shape:?}", path.display())
            })?),
            _ => None,
        };
        let wide_pieces = wide.as_ref().map(|wide| self.pieces(wide));
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
        for (i, piece) in pieces.iter().enumerate() {
            let axes = self.axes.clone();
            let weights = wide_pieces.as_ref().map(|pieces| &pieces[i]);
            let mut computed = room(&result_shape, piece)?;
            let out = computed.view_mut();
            match operation {
                Operation::Value(op) => match (op, weights) {
                    (_, Some(weights)) => computed.assign(&piece.terms(axes)?.weights(weights)?.logsumexp()?),
                    (Op::Sum, None) => piece.logsumexp_into(axes, out)?,
                    (Op::Mean, None) => computed.assign(&piece.logmeanexp(axes)?),
                    (Op::Variance, None) => computed.assign(&piece.logvarexp(axes, 0)?),
                    (Op::Entropy, None) => computed.assign(&piece.softmax_entropy(axes)?),
                },
                Operation::Softmax => piece.softmax_into(axes, out)?,
                Operation::LogSoftmax => piece.log_softmax_into(axes, out)?,
                Operation::ValueAndGradient(_) if let Some(weights) = weights => {
                    let (value, gradient) = piece.terms(axes)?.weights(weights)?.logsumexp_with_gradient()?;
                    computed.assign(&gradient);
                    piece_values.push(value);
                }
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

/// The losses of rows of scores, or their mean.
fn cross_entropy(args: &CrossEntropy) -> Result<()> {
    let target = Target::new(&args.destination, &args.scores)?;
    let progress = Progress::new();
    let labels = indices(&args.labels, "label", &args.scores, &progress)?;
    match input::read(&args.scores, &progress)? {
        Input::F32(array) => losses(args, array.view()?, &labels, target),
        Input::F64(array) => losses(args, array.view()?, &labels, target),
    }
}

/// The log-probability of a token in each row of scores.
fn token_log_probs(args: &TokenLogProbs) -> Result<()> {
    let target = Target::new(&args.destination, &args.scores)?;
    let progress = Progress::new();
    let tokens = indices(&args.tokens, "token", &args.scores, &progress)?;
    match input::read(&args.scores, &progress)? {
        Input::F32(array) => log_probs(args, array.view()?, &tokens, target),
        Input::F64(array) => log_probs(args, array.view()?, &tokens, target),
    }
}

/// The whole numbers of a file, one for each row of the scores; `what` is the word for one.
fn indices(path: &Path, what: &str, scores: &Path, progress: &Progress) -> Result<Vec<usize>> {
    if scores == path {
        bail!("{}: cannot be both the scores and the {what}s", scores.display());
    }
    let indices = match input::read(path, progress)? {
        Input::F32(array) => array.view()?.mapv(f64::from),
        Input::F64(array) => array.view()?.to_owned(),
    };
    let indices = indices.iter().enumerate().map(|(row, &index)| {
        let is_whole = index >= 0.0 && index < 2f64.powi(53) && index.trunc() == index;
        let words =
            || format!("{}: {what} {row} is {index}, it must be a whole number from 0 on", path.display());
        is_whole.then_some(index as usize).with_context(words)
    });
    indices.collect()
}

/// The number of rows of a table of scores, which is that of their indices, and the length of each.
fn table<T>(
    array: &ArrayViewD<'_, T>,
    scores: &Path,
    found: usize,
    indices: &Path,
    what: &str,
) -> Result<[usize; 2]> {
    let &[rows, columns] = array.shape() else {
        bail!(
            "{}: has the shape {:?}, scores are a table of rows and columns",
            scores.display(),
            array.shape()
        );
    };
    if found != rows {
        bail!("{}: has {found} {what}s, the scores have {rows} rows", indices.display());
    }
    Ok([rows, columns])
}

fn losses<T: Number>(
    args: &CrossEntropy,
    scores: ArrayViewD<'_, T>,
    labels: &[usize],
    target: Target,
) -> Result<()> {
    let name = || args.scores.display().to_string();
    let [rows, classes] = table(&scores, &args.scores, labels.len(), &args.labels, "label")?;
    let scores = scores.as_standard_layout();
    let loss = logsum::CrossEntropy::new(classes);
    let loss = args.ignore.map_or(loss, |label| loss.ignore(label));
    let targets = Targets::Classes(labels);
    let scores = scores.as_slice().unwrap_or_default();
    let result = if args.rows {
        let mut losses = room::<T>(&[rows]).with_context(name)?;
        if let Some(losses) = losses.as_slice_mut() {
            loss.losses(scores, targets, losses).with_context(name)?;
        }
        losses
    } else {
        ndarray::arr0(loss.loss(scores, targets, Reduction::Mean).with_context(name)?).into_dyn()
    };
    write(&result, target)
}

fn log_probs<T: Number>(
    args: &TokenLogProbs,
    scores: ArrayViewD<'_, T>,
    tokens: &[usize],
    target: Target,
) -> Result<()> {
    table(&scores, &args.scores, tokens.len(), &args.tokens, "token")?;
    write(&scores.token_log_probs(1, tokens).with_context(|| args.tokens.display().to_string())?, target)
}

fn write<T: Number>(result: &ArrayD<T>, target: Target) -> Result<()> {
    let mut writer = target.writer(result.shape().to_vec())?;
    writer.write(result)?;
    writer.finish()
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
