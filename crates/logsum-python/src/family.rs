//! The family: what is no log-sum-exp itself, row by row of a matrix, or over axes.

use crate::numbers::{Format, Numbers, axes, detached, exception, given, in_format, one};
use crate::reductions::like;
use logsum::{
    CrossEntropy, Cumulative, Error, LogMatmul, LogSumExp, Reduction, Segments, Targets, Temperature,
};
use ndarray::{ArrayD, IxDyn};
use numpy::{PyReadonlyArray1, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// Values of each lane, and with `gradient` their gradient, by name: "logmeanexp", "logvarexp", "softmax_entropy" or "temperature".
#[pyfunction]
#[pyo3(signature = (name, a, axis, keepdims, parameter))]
fn moment<'py>(
    name: &str,
    a: &Bound<'py, PyAny>,
    axis: Option<&Bound<'py, PyAny>>,
    keepdims: bool,
    parameter: f64,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = a.py();
    let axes = axes(axis, keepdims)?;
    in_format!(Numbers::needed(a)?, a => {
        let a = a.as_array();
        let work = || {
            Ok(match name {
                "logmeanexp" => (a.logmeanexp(axes.clone())?, a.softmax(axes)?),
                "logvarexp" => a.logvarexp_with_gradient(axes, parameter as usize)?,
                "softmax_entropy" => a.softmax_entropy_with_gradient(axes)?,
                _ => a.logsumexp_at_temperature(axes, Temperature::new(parameter)?)?,
            })
        };
        let (value, gradient) = detached(py, a.len(), work).map_err(|error| exception(py, error))?;
        (given(py, value)?, given(py, gradient)?).into_pyobject(py)
    })
}

/// The values alone.
#[pyfunction]
#[pyo3(signature = (name, a, axis, keepdims, parameter))]
fn moment_value<'py>(
    name: &str,
    a: &Bound<'py, PyAny>,
    axis: Option<&Bound<'py, PyAny>>,
    keepdims: bool,
    parameter: f64,
) -> PyResult<Bound<'py, PyAny>> {
    let py = a.py();
    let axes = axes(axis, keepdims)?;
    in_format!(Numbers::needed(a)?, a => {
        let a = a.as_array();
        let work = || match name {
            "logmeanexp" => a.logmeanexp(axes),
            "logvarexp" => a.logvarexp(axes, parameter as usize),
            "softmax_entropy" => a.softmax_entropy(axes),
            _ => Ok(a.logsumexp_at_temperature(axes, Temperature::new(parameter)?)?.0),
        };
        given(py, detached(py, a.len(), work).map_err(|error| exception(py, error))?)
    })
}

fn direction(is_reverse: bool, is_exclusive: bool) -> Cumulative {
    let which = if is_reverse { Cumulative::reverse() } else { Cumulative::forward() };
    if is_exclusive { which.exclusive() } else { which }
}

/// Cumulative log-sum-exps along an axis.
#[pyfunction]
#[pyo3(signature = (a, axis, reverse, exclusive))]
fn cumulative<'py>(
    a: &Bound<'py, PyAny>,
    axis: isize,
    reverse: bool,
    exclusive: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let py = a.py();
    in_format!(Numbers::needed(a)?, a => {
        let a = a.as_array();
        let sums = detached(py, a.len(), || a.logcumsumexp(axis, direction(reverse, exclusive)));
        given(py, sums.map_err(|error| exception(py, error))?)
    })
}

/// Rows of an array along its last axis, as one slice, and their length.
fn rows<'a, T: Format>(array: &'a PyReadonlyArrayDyn<'_, T>) -> PyResult<(&'a [T], usize)> {
    let error = || PyValueError::new_err("an array in C order with an axis is needed");
    let length = *array.shape().last().ok_or_else(error)?;
    Ok((array.as_slice().map_err(|_| error())?, length))
}

/// Rows of `length` numbers of two slices, and the results that `f` makes of each.
fn of_rows<T: Format>(
    (a, length): (&[T], usize),
    b: &[T],
    shape: &[usize],
    f: impl Fn(&[T], &[T], &mut [T]) -> Result<(), Error>,
) -> Result<ArrayD<T>, Error> {
    let mut out = vec![T::default(); a.len()];
    let step = length.max(1);
    for ((a, b), out) in a.chunks(step).zip(b.chunks(step)).zip(out.chunks_mut(step)) {
        f(a, b, out)?;
    }
    Ok(ArrayD::from_shape_vec(IxDyn(shape), out).unwrap_or_default())
}

/// The derivative of cumulative log-sum-exps along the last axis: forward, or, of a cotangent, backward.
#[pyfunction]
#[pyo3(signature = (a, other, reverse, exclusive, backward))]
fn cumulative_derivative<'py>(
    a: &Bound<'py, PyAny>,
    other: &Bound<'py, PyAny>,
    reverse: bool,
    exclusive: bool,
    backward: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let py = a.py();
    let which = direction(reverse, exclusive);
    in_format!(Numbers::needed(a)?, a => {
        let other = like(&a, other)?;
        let (numbers, (others, _), shape) = (rows(&a)?, rows(&other)?, a.shape().to_vec());
        let work = || of_rows(numbers, others, &shape, |z, other, out| {
            if backward { which.vjp(z, other, out) } else { which.jvp(z, other, out) }
        });
        given(py, detached(py, numbers.0.len(), work).map_err(|error| exception(py, error))?)
    })
}

/// Log-sum-exps of segments along an axis, by ids.
#[pyfunction]
#[pyo3(signature = (a, ids, count, axis))]
fn segments<'py>(
    a: &Bound<'py, PyAny>,
    ids: PyReadonlyArray1<'py, usize>,
    count: usize,
    axis: isize,
) -> PyResult<Bound<'py, PyAny>> {
    let py = a.py();
    let ids = ids.as_slice()?;
    in_format!(Numbers::needed(a)?, a => {
        let a = a.as_array();
        let sums = detached(py, a.len(), || a.segment_logsumexp(axis, &Segments::by_ids(ids, count)?));
        given(py, sums.map_err(|error| exception(py, error))?)
    })
}

/// Of a vector: log-sum-exps of its segments, and their gradient.
#[pyfunction]
#[pyo3(signature = (a, ids, count))]
fn segments_with_gradient<'py>(
    a: &Bound<'py, PyAny>,
    ids: PyReadonlyArray1<'py, usize>,
    count: usize,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = a.py();
    let ids = ids.as_slice()?;
    in_format!(Numbers::needed(a)?, a => {
        let (z, _) = rows(&a)?;
        let work = || {
            let (mut values, mut gradient) = (vec![Default::default(); count], vec![Default::default(); z.len()]);
            Segments::by_ids(ids, count)?.logsumexp_with_gradient(z, &mut values, &mut gradient)?;
            Ok((values, gradient))
        };
        let (values, gradient) = detached(py, z.len(), work).map_err(|error| exception(py, error))?;
        (given(py, ndarray::Array1::from(values))?, given(py, ndarray::Array1::from(gradient))?).into_pyobject(py)
    })
}

/// The matrix product in log space.
#[pyfunction]
fn log_matmul<'py>(a: &Bound<'py, PyAny>, b: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = a.py();
    in_format!(Numbers::needed(a)?, a => {
        let b = like(&a, b)?;
        let (a, b) = (a.as_array(), b.as_array());
        let product = detached(py, a.len() + b.len(), || a.log_matmul(&b));
        given(py, product.map_err(|error| exception(py, error))?)
    })
}

/// Its gradients, for a cotangent, of matrices or batches of as many.
#[pyfunction]
fn log_matmul_gradients<'py>(
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
    cotangent: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = a.py();
    in_format!(Numbers::needed(a)?, a => {
        let (b, g) = (like(&a, b)?, like(&a, cotangent)?);
        let (a, b, g) = (a.as_array(), b.as_array(), g.as_array());
        let both = detached(py, a.len() + b.len(), || a.log_matmul_vjp(&b, &g));
        let (of_a, of_b) = both.map_err(|error| exception(py, error))?;
        (given(py, of_a)?, given(py, of_b)?).into_pyobject(py)
    })
}

/// What a loss is, beside logits and targets.
#[derive(FromPyObject)]
struct Options {
    #[pyo3(item)]
    ignore_index: isize,
    #[pyo3(item)]
    label_smoothing: f64,
    #[pyo3(item)]
    z_loss: f64,
    #[pyo3(item)]
    temperature: f64,
    #[pyo3(item)]
    reduction: String,
}

/// The loss of logits in rows of classes, in C order: one number, or one a row, and the gradient of their sum or mean.
#[pyfunction]
#[pyo3(signature = (logits, classes, probabilities, weight, options, gradient))]
fn cross_entropy<'py>(
    logits: &Bound<'py, PyAny>,
    classes: Option<PyReadonlyArray1<'py, isize>>,
    probabilities: Option<&Bound<'py, PyAny>>,
    weight: Option<&Bound<'py, PyAny>>,
    options: Options,
    gradient: bool,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = logits.py();
    in_format!(Numbers::needed(logits)?, logits => {
        let weight = weight.map(|weight| like(&logits, weight)).transpose()?;
        let probabilities = probabilities.map(|targets| like(&logits, targets)).transpose()?;
        let (z, count) = rows(&logits)?;
        let ids: Vec<usize> = match &classes {
            // What is negative is no class: as large as can be, unless it is ignored.
            Some(classes) => classes.as_slice()?.iter().map(|&class| class as usize).collect(),
            None => Vec::new(),
        };
        let targets = match &probabilities {
            Some(targets) => Targets::Probabilities(rows(targets)?.0),
            None => Targets::Classes(&ids),
        };
        let weight = weight.as_ref().map(rows).transpose()?;
        let (value, slope) = detached(py, z.len(), || loss(z, count, targets, weight.map(|(weight, _)| weight), &options, gradient))
            .map_err(|error| exception(py, error))?;
        let shape = IxDyn(logits.shape());
        let slope = slope.map(|slope| given(py, ArrayD::from_shape_vec(shape, slope).unwrap_or_default())).transpose()?;
        (given(py, value)?, slope).into_pyobject(py)
    })
}

/// Losses, and, if it is wanted, the gradient.
type Losses<T> = (ArrayD<T>, Option<Vec<T>>);

fn loss<T: Format>(
    z: &[T],
    count: usize,
    targets: Targets<'_, T>,
    weight: Option<&[T]>,
    options: &Options,
    gradient: bool,
) -> Result<Losses<T>, Error> {
    let mut loss = CrossEntropy::new(count)
        .ignore(options.ignore_index as usize)
        .label_smoothing(options.label_smoothing)?
        .z_loss(options.z_loss)?
        .temperature(options.temperature)?;
    if let Some(weight) = weight {
        loss = loss.class_weights(weight)?;
    }
    let mut slope = gradient.then(|| vec![T::default(); z.len()]);
    let reduction = match options.reduction.as_str() {
        "mean" => Reduction::Mean,
        "sum" => Reduction::Sum,
        _ => {
            let mut losses = vec![T::default(); z.len() / count.max(1)];
            match &mut slope {
                Some(slope) => loss.losses_with_gradient(z, targets, &mut losses, slope)?,
                None => loss.losses(z, targets, &mut losses)?,
            }
            return Ok((ndarray::Array1::from(losses).into_dyn(), slope));
        }
    };
    let value = match &mut slope {
        Some(slope) => loss.loss_with_gradient(z, targets, reduction, slope)?,
        None => loss.loss(z, targets, reduction)?,
    };
    Ok((one(value), slope))
}

pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(moment, module)?)?;
    module.add_function(wrap_pyfunction!(moment_value, module)?)?;
    module.add_function(wrap_pyfunction!(cumulative, module)?)?;
    module.add_function(wrap_pyfunction!(cumulative_derivative, module)?)?;
    module.add_function(wrap_pyfunction!(segments, module)?)?;
    module.add_function(wrap_pyfunction!(segments_with_gradient, module)?)?;
    module.add_function(wrap_pyfunction!(log_matmul, module)?)?;
    module.add_function(wrap_pyfunction!(log_matmul_gradients, module)?)?;
    module.add_function(wrap_pyfunction!(cross_entropy, module)?)
}
