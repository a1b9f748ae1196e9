//! From the arguments to the result.

use crate::args::{Args, Command, CrossEntropy, Destination, Format, Numbers, Op, TokenLogProbs, Weights};
use crate::explain;
use crate::grouping;
use crate::input::{self, Input, Number, Part};
use crate::output::{StateFile, Target, write};
use crate::progress::Progress;
use crate::state;
use anyhow::{Context, Result, bail};
use clap::CommandFactory;
use logsum::{Axes, LogSumExp, Reduction, Targets};
use ndarray::{ArrayD, ArrayViewD, Axis};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The same work on numbers of any type.
macro_rules! of_any {
    ($input:expr, $array:ident => $work:expr) => {
        match $input {
            Input::F16($array) => $work,
            Input::Bf16($array) => $work,
            Input::F32($array) => $work,
            Input::F64($array) => $work,
        }
    };
}

pub(crate) fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Lse(args) => match &args.by {
            Some(by) => grouping::run(&args, by),
            None => Job::new(&args.numbers, args.keepdims)
                .weights(&args.weights)
                .with_state(args.state)
                .run(Operation::Value(args.op), &args.destination),
        },
        Command::Merge(args) => state::merge(&args),
        Command::Grad(args) => {
            let gradient = Destination { output: Some(args.output), format: None };
            Job::new(&args.numbers, args.keepdims)
                .weights(&args.weights)
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
    part: Part,
    axis: Vec<isize>,
    axes: Axes,
    weights: Option<(PathBuf, Part)>,
    /// Where the state of the sum goes.
    state: Option<PathBuf>,
}

/// The numbers that are processed at a time if the first axis remains: a few megabytes.
const PIECE: usize = 1 << 20;

impl Job {
    fn new(numbers: &Numbers, keep: bool) -> Self {
        let Numbers { input, axis, part } = numbers;
        let axes = if axis.is_empty() { Axes::all() } else { Axes::from(&axis[..]) };
        Self {
            input: input.clone(),
            part: part.part(),
            axis: axis.clone(),
            axes: if keep { axes.keep() } else { axes },
            weights: None,
            state: None,
        }
    }

    fn with_state(self, state: Option<PathBuf>) -> Self {
        Self { state, ..self }
    }

    fn weights(self, weights: &Weights) -> Self {
        Self { weights: weights.weights.clone().map(|path| (path, weights.part.part())), ..self }
    }

    /// Every output is opened before the input is read: nothing is computed that cannot be written.
    fn run(&self, operation: Operation, destination: &Destination) -> Result<()> {
        let target = Target::new(destination, &self.input)?;
        let progress = Progress::new();
        let weights = match &self.weights {
            Some((path, part)) => {
                must_differ((&self.input, &self.part), (path, part), "the numbers and their weights")?;
                Some(input::read(path, part, &progress)?)
            }
            None => None,
        };
        match (input::read(&self.input, &self.part, &progress)?, &weights) {
            (z, None) => of_any!(z, z => self.compute(operation, z.view()?, None, target, &progress)),
            (Input::F16(z), Some(Input::F16(weights))) => {
                self.compute(operation, z.view()?, Some(weights.view()?), target, &progress)
            }
            (Input::Bf16(z), Some(Input::Bf16(weights))) => {
                self.compute(operation, z.view()?, Some(weights.view()?), target, &progress)
            }
            (Input::F32(z), Some(Input::F32(weights))) => {
                self.compute(operation, z.view()?, Some(weights.view()?), target, &progress)
            }
            // If the types differ, both become f64, and so does the result: neither numbers nor weights are rounded.
            (z, Some(weights)) => {
                let (z, weights) = (z.in_f64()?, weights.in_f64()?);
                self.compute(operation, z.view(), Some(weights.view()), target, &progress)
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
        let state = self.state.as_ref().map(|path| StateFile::new(path, &self.input)).transpose()?;
        let mut values = match operation {
            Operation::ValueAndGradient(format) => {
                let stdout = Destination { output: None, format };
                Some(Target::new(&stdout, &self.input)?.writer(values_shape.clone())?)
            }
            _ => None,
        };
        let pieces = self.pieces(&z);
        let wide = match (&weights, &self.weights) {
            (Some(weights), Some((path, _))) => Some(weights.broadcast(z.raw_dim()).with_context(|| {
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
        if let Some(file) = state {
            file.write(&state::of(&z, wide.as_ref()).to_bytes())?;
        }
        progress.done();
        result.finish()?;
        if let Some(mut values) = values.take() {
            piece_values.iter().try_for_each(|piece: &ArrayD<T>| values.write(piece))?;
            values.finish()?;
        }
        Ok(())
    }

    /// The array in pieces along its first axis if that remains, otherwise whole.
    fn pieces<'a, T>(&self, z: &'a ArrayViewD<'a, T>) -> Vec<ArrayViewD<'a, T>> {
        if z.is_empty() || z.ndim() == 0 || self.is_reduced(0, z.ndim()) {
            return vec![z.view()];
        }
        let rows = z.len_of(Axis(0));
        z.axis_chunks_iter(Axis(0), (PIECE / (z.len() / rows)).max(1)).collect()
    }

    fn values_shape<T: Number>(&self, shape: &[usize]) -> Result<Vec<usize>, logsum::Error> {
        // An array without elements makes the library check the axes.
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
    let (part, label_part) = (args.part.part(), args.label_part.part());
    must_differ((&args.scores, &part), (&args.labels, &label_part), "the scores and the labels")?;
    let labels = indices(&args.labels, &label_part, "label", args.ignore, &progress)?;
    of_any!(input::read(&args.scores, &part, &progress)?, array => losses(args, array.view()?, &labels, target))
}

/// The log-probability of a token in each row of scores.
fn token_log_probs(args: &TokenLogProbs) -> Result<()> {
    let target = Target::new(&args.destination, &args.scores)?;
    let progress = Progress::new();
    let (part, token_part) = (args.part.part(), args.token_part.part());
    must_differ((&args.scores, &part), (&args.tokens, &token_part), "the scores and the tokens")?;
    let tokens = indices(&args.tokens, &token_part, "token", None, &progress)?;
    of_any!(input::read(&args.scores, &part, &progress)?, array => log_probs(args, array.view()?, &tokens, target))
}

/// Two inputs must be two files, or two chosen parts of one file that is not a pipe.
fn must_differ(one: (&Path, &Part), other: (&Path, &Part), what: &str) -> Result<()> {
    let (path, is_pipe) = (one.0, one.0 == Path::new("-"));
    let are_parts = one.1.is_chosen() && other.1.is_chosen() && !one.1.is_same(other.1);
    if path != other.0 || (are_parts && !is_pipe) {
        return Ok(());
    }
    let name = if is_pipe { "standard input".into() } else { path.display().to_string() };
    let part = match path.extension().and_then(|ending| ending.to_str()) {
        _ if is_pipe => None,
        Some("npy") => None,
        Some("npz" | "safetensors") => Some("array"),
        _ => Some("columns"),
    };
    let options =
        |part| format!("; give {} and {} to choose parts of it", one.1.option(part), other.1.option(part));
    bail!("{name}: cannot be both {what}{}", part.map(options).unwrap_or_default())
}

/// The index that stands for an ignored label: no row has as many scores.
const IGNORED: usize = usize::MAX;

/// The integers of a file, one for each row of the scores; `what` names one of them in messages.
fn indices(
    path: &Path,
    part: &Part,
    what: &str,
    ignored: Option<i64>,
    progress: &Progress,
) -> Result<Vec<usize>> {
    let file = input::read(path, part, progress)?;
    let indices = file.in_f64()?;
    if indices.shape().iter().filter(|&&length| length != 1).count() > 1 {
        let (path, shape) = (path.display(), indices.shape());
        bail!("{path}: has the shape {shape:?}, but there is one {what} for each row: choose a column");
    }
    let indices = indices.iter().enumerate().map(|(row, &index)| {
        if ignored.is_some_and(|ignored| index == ignored as f64) {
            return Ok(IGNORED);
        }
        let is_whole = index >= 0.0 && index < 2f64.powi(53) && index.trunc() == index;
        let words = || {
            let path = path.display();
            let hint =
                if what == "label" && index < 0.0 { "; --ignore leaves out rows of a label" } else { "" };
            // 1e300 is printed without its zeros, but -4 as it is in the file.
            let index = if index.abs() < 2f64.powi(53) { index.to_string() } else { format!("{index:?}") };
            let number = row + 1;
            format!(
                "{path}: {what} {number} of the file is {index}, it must be a whole number from 0 on{hint}"
            )
        };
        is_whole.then_some(index as usize).with_context(words)
    });
    indices.collect()
}

/// The number of rows of a table of scores, which is that of their indices, and the length of each.
fn table<T>(
    array: &ArrayViewD<'_, T>,
    scores: &Path,
    found: &[usize],
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
    let indices = indices.display();
    if found.len() != rows {
        bail!("{indices}: must have a {what} for each row of scores, but has {} for {rows}", found.len());
    }
    let is_bad = |&(_, &index): &(usize, &usize)| index >= columns && index != IGNORED;
    if let Some((row, index)) = found.iter().enumerate().find(is_bad) {
        let number = row + 1;
        bail!(
            "{indices}: {what} {number} of the file is {index}, it must be below {columns}, the number of scores in a \
             row"
        );
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
    let [rows, classes] = table(&scores, &args.scores, labels, &args.labels, "label")?;
    let scores = scores.as_standard_layout();
    let loss = logsum::CrossEntropy::new(classes);
    let loss = args.ignore.map_or(loss, |_| loss.ignore(IGNORED));
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
    table(&scores, &args.scores, tokens, &args.tokens, "token")?;
    write(&scores.token_log_probs(1, tokens).with_context(|| args.tokens.display().to_string())?, target)
}

/// Zeros for a result; an error if memory cannot hold it, where an ordinary allocation would end the program.
fn room<T: Number>(shape: &[usize]) -> Result<ArrayD<T>> {
    let count: usize = shape.iter().product();
    let mut numbers = Vec::new();
    if numbers.try_reserve_exact(count).is_err() {
        bail!("the result has the shape {shape:?}: there is no memory for {count} numbers");
    }
    numbers.resize(count, T::zeroed());
    Ok(ArrayD::from_shape_vec(shape, numbers)?)
}
