//! The functions other than log-sum-exp, softmax and log-softmax, over axes or for each row of a matrix.

use crate::memory::{View, collected, filled};
use crate::numbers::{Format, Numbers, axes, detached, given, in_format, most, one, view};
use crate::reductions::like;
use logsum::{CrossEntropy, Cumulative, Error, LogMatmul, LogSumExp, Reduction, Segments, Targets};
use ndarray::ArrayD;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// The values over axes of the function with this name: "logmeanexp", "logvarexp", or "softmax_entropy".
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
            _ => a.softmax_entropy(axes),
        };
        given(py, detached(py, most(a.shape()), work)?)
    })
}

/// The derivatives of the entropies over axes.
#[pyfunction]
fn softmax_entropy_gradient<'py>(
    a: &Bound<'py, PyAny>,
    axis: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = a.py();
    let axes = axes(axis, true)?;
    in_format!(Numbers::needed(a)?, a => {
        let a = a.as_array();
        let (_, slopes) = detached(py, most(a.shape()), || a.softmax_entropy_with_gradient(axes))?;
        given(py, slopes)
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
        let sums = detached(py, a.len(), || a.logcumsumexp(axis, direction(reverse, exclusive)))?;
        given(py, sums)
    })
}

/// Rows of an array along its last axis, as one slice, and their length.
fn rows<'a, T: Format>(array: &'a View<'_, T>) -> PyResult<(&'a [T], usize)> {
    let error = || PyValueError::new_err("an array with an axis is needed");
    let length = *array.shape().last().ok_or_else(error)?;
    Ok((array.as_slice()?, length))
}

/// Log-sum-exps of segments along an axis, by ids.
#[pyfunction]
#[pyo3(signature = (a, ids, count, axis))]
fn segments<'py>(
    a: &Bound<'py, PyAny>,
    ids: &Bound<'py, PyAny>,
    count: usize,
    axis: isize,
) -> PyResult<Bound<'py, PyAny>> {
    let py = a.py();
    let ids = view(ids)?;
    let ids = ids.as_slice()?;
    in_format!(Numbers::needed(a)?, a => {
        let a = a.as_array();
        let length = most(a.shape()).saturating_add(count);
        let sums = detached(py, length, || a.segment_logsumexp(axis, &Segments::by_ids(ids, count)?))?;
        given(py, sums)
    })
}

/// The softmax within each segment along an axis, by ids.
#[pyfunction]
#[pyo3(signature = (a, ids, count, axis))]
fn segment_shares<'py>(
    a: &Bound<'py, PyAny>,
    ids: &Bound<'py, PyAny>,
    count: usize,
    axis: isize,
) -> PyResult<Bound<'py, PyAny>> {
    let py = a.py();
    let ids = view(ids)?;
    let ids = ids.as_slice()?;
    in_format!(Numbers::needed(a)?, a => {
        let a = a.as_array();
        let length = most(a.shape()).saturating_add(count);
        let shares = detached(py, length, || a.segment_softmax(axis, &Segments::by_ids(ids, count)?))?;
        given(py, shares)
    })
}

/// The matrix product in log space.
#[pyfunction]
fn log_matmul<'py>(a: &Bound<'py, PyAny>, b: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = a.py();
    in_format!(Numbers::needed(a)?, a => {
        let b = like(&a, b)?;
        let (a, b) = (a.as_array(), b.as_array());
        let inner = a.shape().last().map_or(1, |&inner| inner.max(1));
        let results = (most(a.shape()) / inner).saturating_mul(most(b.shape()) / inner);
        let length = results.max(a.len() + b.len());
        let product = detached(py, length, || a.log_matmul(&b))?;
        given(py, product)
    })
}

/// The log-probability of one token for each row along an axis.
#[pyfunction]
#[pyo3(signature = (logits, tokens, axis))]
fn token_log_probs<'py>(
    logits: &Bound<'py, PyAny>,
    tokens: &Bound<'py, PyAny>,
    axis: isize,
) -> PyResult<Bound<'py, PyAny>> {
    let py = logits.py();
    // A negative number is not a token: it becomes a very large one.
    let tokens = collected(view::<isize>(tokens)?.as_slice()?.iter().map(|&token| token as usize))?;
    in_format!(Numbers::needed(logits)?, logits => {
        let logits = logits.as_array();
        let log_p = detached(py, logits.len(), || logits.token_log_probs(axis, &tokens))?;
        given(py, log_p)
    })
}

/// The divergences of the softmaxes of rows along the last axis, in C order.
#[pyfunction]
fn softmax_kl<'py>(x: &Bound<'py, PyAny>, y: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = x.py();
    in_format!(Numbers::needed(x)?, x => {
        let y = like(&x, y)?;
        let ((x, length), (y, _)) = (rows(&x)?, rows(&y)?);
        let (values, ()) = filled(py, &[x.len().checked_div(length).unwrap_or(0)], |mut values| {
            let values = values.as_slice_mut().unwrap_or_default();
            detached(py, x.len(), || logsum::softmax_kl_rows(x, y, length, values))
        })?;
        Ok(values)
    })
}

/// The derivatives of the divergences with respect to x (0) or y (1).
#[pyfunction]
fn softmax_kl_gradient<'py>(
    x: &Bound<'py, PyAny>,
    y: &Bound<'py, PyAny>,
    by: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let py = x.py();
    in_format!(Numbers::needed(x)?, x => {
        let y = like(&x, y)?;
        let shape = x.shape().to_vec();
        let ((x, length), (y, _)) = (rows(&x)?, rows(&y)?);
        let mut values = collected((0..x.len().checked_div(length).unwrap_or(0)).map(|_| Default::default()))?;
        let (slope, ()) = filled(py, &shape, |mut slope| {
            let (mut slopes, values) = ([None, None], &mut values);
            slopes[by] = slope.as_slice_mut();
            let [by_x, by_y] = slopes;
            detached(py, x.len(), || logsum::softmax_kl_rows_with_gradient(x, y, length, values, by_x, by_y))
        })?;
        Ok(slope)
    })
}

/// The options of a loss: everything except logits, targets and weights.
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

/// The cross-entropy of logits, in C order with the classes last: one number, or one for each row; on request with the
/// gradient of it, or of the loss of each row.
#[pyfunction]
#[pyo3(signature = (logits, classes, probabilities, weight, options, gradient))]
fn cross_entropy<'py>(
    logits: &Bound<'py, PyAny>,
    classes: Option<&Bound<'py, PyAny>>,
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
        let ids = match classes {
            // A negative number is not a class: it becomes a very large one, which may be the one to ignore.
            Some(classes) => collected(view::<isize>(classes)?.as_slice()?.iter().map(|&class| class as usize))?,
            None => Vec::new(),
        };
        let targets = match &probabilities {
            Some(targets) => Targets::Probabilities(rows(targets)?.0),
            None => Targets::Classes(&ids),
        };
        let weight = weight.as_ref().map(rows).transpose()?;
        let loss = |slope: Option<&mut [_]>| loss(z, count, targets, weight.map(|(weight, _)| weight), &options, slope);
        let (value, slope) = if gradient {
            let (slope, value) = filled(py, logits.shape(), |mut slope| {
                detached(py, z.len(), || loss(slope.as_slice_mut()))
            })?;
            (value, Some(slope))
        } else {
            (detached(py, z.len(), || loss(None))?, None)
        };
        (given(py, value)?, slope).into_pyobject(py)
    })
}

/// Returns the loss, or the losses, and writes the gradient into `slope`, if that is given.
fn loss<T: Format>(
    z: &[T],
    count: usize,
    targets: Targets<'_, T>,
    weight: Option<&[T]>,
    options: &Options,
    slope: Option<&mut [T]>,
) -> Result<ArrayD<T>, Error> {
    let mut loss = CrossEntropy::new(count)
        .ignore(options.ignore_index as usize)
        .label_smoothing(options.label_smoothing)?
        .z_loss(options.z_loss)?
        .temperature(options.temperature)?;
    if let Some(weight) = weight {
        loss = loss.class_weights(weight)?;
    }
    let reduction = match options.reduction.as_str() {
        "mean" => Reduction::Mean,
        "sum" => Reduction::Sum,
        _ => {
            let mut losses = vec![T::default(); z.len() / count.max(1)];
            match slope {
                Some(slope) => loss.losses_with_gradient(z, targets, &mut losses, slope)?,
                None => loss.losses(z, targets, &mut losses)?,
            }
            return Ok(ndarray::Array1::from(losses).into_dyn());
        }
    };
    let value = match slope {
        Some(slope) => loss.loss_with_gradient(z, targets, reduction, slope)?,
        None => loss.loss(z, targets, reduction)?,
    };
    Ok(one(value))
}

pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(moment_value, module)?)?;
    module.add_function(wrap_pyfunction!(softmax_entropy_gradient, module)?)?;
    module.add_function(wrap_pyfunction!(cumulative, module)?)?;
    module.add_function(wrap_pyfunction!(segments, module)?)?;
    module.add_function(wrap_pyfunction!(segment_shares, module)?)?;
    module.add_function(wrap_pyfunction!(log_matmul, module)?)?;
    module.add_function(wrap_pyfunction!(token_log_probs, module)?)?;
    module.add_function(wrap_pyfunction!(softmax_kl, module)?)?;
    module.add_function(wrap_pyfunction!(softmax_kl_gradient, module)?)?;
    module.add_function(wrap_pyfunction!(cross_entropy, module)?)
}
