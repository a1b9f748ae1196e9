//! Log-sum-exp, softmax, log-softmax, their derivatives, and weighted sums.

use crate::memory::{View, filled};
use crate::numbers::{
    ComplexNumbers, Format, Numbers, axes, detached, given, in_format, indices, most, scalar_of, view,
};
use logsum::{Axes, ComplexLogSumExp, Error, LogSumExp, NoMass};
use ndarray::{ArrayViewD, ArrayViewMutD};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// Calls the function in Python that handles all arguments which the compiled part does not.
fn general<'py>(
    py: Python<'py>,
    name: &str,
    arguments: impl pyo3::call::PyCallArgs<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    py.import("logsum._general")?.getattr(name)?.call1(arguments)
}

/// log Σ b e^a over axes, correctly rounded.
///
/// Takes the arguments of ``scipy.special.logsumexp``, and returns the same type and dtype.
///
/// Parameters
/// ----------
/// a : array_like
///     Numbers in float16, bfloat16, float32, float64, complex formats, or integers, which are converted to float64.
///     longdouble is computed in float64. Arrays may have any strides. Arrays of PyTorch, JAX, and other libraries that
///     follow the array API are read in place if they are on the CPU, and the result has their type.
/// axis : None, int or tuple of ints
///     The axes to sum over; None for all.
/// b : array_like, optional
///     Weights of any sign, which broadcast against `a`. A term with the weight 0 is absent, even if it is NaN.
/// keepdims : bool
///     Whether the axes stay, with length 1.
/// return_sign : bool
///     Whether to return the logarithm of the sum's magnitude, and the sign of the sum. Without it a negative sum gives
///     NaN.
/// where : array_like of bool, optional
///     The terms to include; it broadcasts against `a`.
/// out : ndarray, optional
///     The array into which the values are written.
///
/// Returns
/// -------
/// value : array or scalar
///     The float nearest to the exact value; for complex numbers, within 1 ulp of the modulus. −∞ if there are no terms
///     or all numbers are −∞; +∞ if there is a +∞ and no NaN; NaN if there is a NaN. With weights it is also −∞ where
///     terms cancel exactly, and NaN where numbers +∞ have weights of both signs.
/// sign : array or scalar
///     Only with `return_sign`: 1, −1, or 0 where the terms cancel exactly or there are none; for complex numbers, the
///     phase e^{iφ} of the sum.
///
/// Raises
/// ------
/// TypeError
///     If `a` or `b` are not numbers, `where` is not boolean, an axis is not an integer, or `out` cannot hold the
///     result.
/// ValueError
///     If the shapes do not broadcast, an axis does not exist or is given twice, or `out` has another shape than the
///     result.
///
/// See Also
/// --------
/// logsumexp_value_and_grad, softmax, logmeanexp, logaddexp, Accumulator
///
/// Examples
/// --------
/// >>> import logsum
/// >>> float(logsum.logsumexp([1000.0, 1000.0]))
/// 1000.6931471805599
/// >>> float(logsum.logsumexp([0.0, -40.0]))
/// 4.248354255291589e-18
#[pyfunction]
#[pyo3(
    signature = (a, axis=None, b=None, keepdims=None, return_sign=None, *, r#where=None, out=None),
    text_signature = "(a, axis=None, b=None, keepdims=False, return_sign=False, *, where=None, out=None)"
)]
fn logsumexp<'py>(
    a: &Bound<'py, PyAny>,
    axis: Option<&Bound<'py, PyAny>>,
    b: Option<&Bound<'py, PyAny>>,
    keepdims: Option<&Bound<'py, PyAny>>,
    return_sign: Option<&Bound<'py, PyAny>>,
    r#where: Option<&Bound<'py, PyAny>>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = a.py();
    let keep = keepdims.map_or(Ok(false), |keepdims| keepdims.is_truthy())?;
    let with_sign = return_sign.map_or(Ok(false), |return_sign| return_sign.is_truthy())?;
    if b.is_none()
        && r#where.is_none()
        && out.is_none()
        && !with_sign
        && let Some(numbers) = Numbers::of(a)?
        && !numbers.is_scalar()
    {
        return in_format!(numbers, a => values(py, &a, axis, keep));
    }
    general(py, "logsumexp", (a, axis, b, keep, with_sign, r#where, out))
}

fn values<'py, T: Format>(
    py: Python<'py>,
    a: &View<'py, T>,
    axis: Option<&Bound<'py, PyAny>>,
    keep: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let a = a.as_array();
    let axes = axes(axis, keep)?;
    let values = detached(py, most(a.shape()), || a.logsumexp(axes))?;
    given(py, values)
}

/// The softmax e^x / Σ e^x over axes, each element correctly rounded.
///
/// Takes the arguments of ``scipy.special.softmax``.
///
/// Parameters
/// ----------
/// x : array_like
///     Numbers, as for `logsumexp`.
/// axis : None, int or tuple of ints
///     The axes to sum over; None for all.
/// dtype : dtype, optional
///     The format of the computation and of the result; by default that of `x`. With float16 numbers, float32 gives the
///     nearest float32. It must represent the numbers exactly: numbers of a wider float format, or an integer that it
///     would round, are an error.
/// out : ndarray, optional
///     The array into which the result is written; it may overlap `x`.
///
/// Returns
/// -------
/// array or scalar
///     Of the shape of `x`. 0 where all numbers are −∞; with c numbers +∞ and no NaN, 1/c at each of these and 0
///     elsewhere; NaN everywhere if there is a NaN.
///
/// Raises
/// ------
/// TypeError
///     If `x` is not of numbers, or `dtype` or `out` cannot hold the numbers.
/// ValueError
///     If an axis does not exist or is given twice, an integer would be rounded, or `out` has another shape than `x`.
///
/// See Also
/// --------
/// log_softmax, logsumexp, segment_softmax
///
/// Examples
/// --------
/// >>> import logsum
/// >>> logsum.softmax([1000.0, 1001.0, 1002.0]).tolist()
/// [0.09003057317038046, 0.24472847105479764, 0.6652409557748219]
#[pyfunction]
#[pyo3(signature = (x, axis=None, dtype=None, *, out=None))]
fn softmax<'py>(
    x: &Bound<'py, PyAny>,
    axis: Option<&Bound<'py, PyAny>>,
    dtype: Option<&Bound<'py, PyAny>>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = x.py();
    let (None, Some(numbers)) = (dtype, Numbers::of(x)?.filter(|numbers| !numbers.is_scalar())) else {
        return general(py, "softmax", (x, axis, dtype, out));
    };
    let axes = axes(axis, false)?;
    in_format!(numbers, numbers => match each(py, &numbers, out, |x, out| x.softmax_into(axes.clone(), out))? {
        Some(shares) => Ok(shares),
        None => general(py, "softmax", (x, axis, dtype, out)),
    })
}

/// The logarithm of the softmax, x − log Σ e^x over axes, each element correctly rounded, even where it is close to 0.
///
/// Takes the arguments of ``scipy.special.log_softmax``, and `dtype` and `out` as `softmax` does.
///
/// Parameters
/// ----------
/// x, axis, dtype, out
///     As for `softmax`.
///
/// Returns
/// -------
/// array or scalar
///     Of the shape of `x`. −∞ where all numbers are −∞; with c numbers +∞ and no NaN, −log c at each of these and −∞
///     elsewhere; NaN everywhere if there is a NaN.
///
/// Raises
/// ------
/// TypeError, ValueError
///     As for `softmax`.
///
/// See Also
/// --------
/// softmax, token_log_probs, cross_entropy
///
/// Examples
/// --------
/// >>> import logsum
/// >>> logsum.log_softmax([40.0, 0.0]).tolist()
/// [-4.248354255291589e-18, -40.0]
#[pyfunction]
#[pyo3(signature = (x, axis=None, dtype=None, *, out=None))]
fn log_softmax<'py>(
    x: &Bound<'py, PyAny>,
    axis: Option<&Bound<'py, PyAny>>,
    dtype: Option<&Bound<'py, PyAny>>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = x.py();
    let (None, Some(numbers)) = (dtype, Numbers::of(x)?.filter(|numbers| !numbers.is_scalar())) else {
        return general(py, "log_softmax", (x, axis, dtype, out));
    };
    let axes = axes(axis, false)?;
    in_format!(numbers, numbers => match each(py, &numbers, out, |x, out| x.log_softmax_into(axes.clone(), out))? {
        Some(logs) => Ok(logs),
        None => general(py, "log_softmax", (x, axis, dtype, out)),
    })
}

/// A result of the input's shape, in `out` if that is given. None unless `out` is an array of this format and shape
/// that does not overlap the input: the caller then copies the result to it, or refuses it.
fn each<'py, T: Format>(
    py: Python<'py>,
    x: &View<'py, T>,
    out: Option<&Bound<'py, PyAny>>,
    fill: impl Fn(ArrayViewD<'_, T>, ArrayViewMutD<'_, T>) -> Result<(), Error> + Send + Sync,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let numbers = x.as_array();
    let Some(out) = out else {
        let fill = |out: ArrayViewMutD<'_, T>| detached(py, numbers.len(), || fill(numbers.view(), out));
        let (filled, ()) = filled(py, x.shape(), fill)?;
        return Ok(Some(filled));
    };
    let Some(array) = x.apart(out).filter(|array| array.shape() == x.shape()) else { return Ok(None) };
    detached(py, numbers.len(), || fill(numbers.view(), array))?;
    Ok(Some(out.clone()))
}

/// Values and gradient.
#[pyfunction]
fn value_and_grad<'py>(
    a: &Bound<'py, PyAny>,
    axis: Option<&Bound<'py, PyAny>>,
    keepdims: bool,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = a.py();
    let axes = axes(axis, keepdims)?;
    in_format!(Numbers::needed(a)?, a => {
        let a = a.as_array();
        let reduced = reduced(a.ndim(), axis)?;
        let left = |(&length, reduced)| match reduced {
            true => keepdims.then_some(1),
            false => Some(length),
        };
        let shape: Vec<usize> = a.shape().iter().zip(reduced).filter_map(left).collect();
        let (value, (gradient, ())) = filled(py, &shape, |value| {
            filled(py, a.shape(), |out| {
                detached(py, most(a.shape()), || a.logsumexp_with_gradient_into(axes, value, out))
            })
        })?;
        (scalar_of(value)?, gradient).into_pyobject(py)
    })
}

/// For each axis of an array of this rank, whether it is reduced. An axis out of range is ignored here, and refused by
/// the call that follows.
fn reduced(rank: usize, axis: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<bool>> {
    let Some(axis) = axis else { return Ok(vec![true; rank]) };
    let (axes, rank) = (indices(axis)?, rank as isize);
    Ok((0..rank).map(|i| axes.iter().any(|&axis| axis == i || axis == i - rank)).collect())
}

/// The optional weights and mask, of the first array's shape, and the gradient of a sum without mass.
struct Beside<'py, T: Format> {
    b: Option<View<'py, T>>,
    mask: Option<View<'py, bool>>,
    no_mass: NoMass,
}

impl<'py, T: Format> Beside<'py, T> {
    fn of(b: Option<&Bound<'py, PyAny>>, mask: Option<&Bound<'py, PyAny>>, no_mass: &str) -> PyResult<Self> {
        let no_mass = match no_mass {
            "zero" => NoMass::Zero,
            "uniform" => NoMass::Uniform,
            "nan" => NoMass::NaN,
            other => {
                let message = format!("no_mass is '{other}', it must be 'zero', 'uniform' or 'nan'");
                return Err(PyValueError::new_err(message));
            }
        };
        Ok(Self { b: b.map(view).transpose()?, mask: mask.map(view).transpose()?, no_mass })
    }
}

/// The results that are wanted of a call for weighted terms.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    Values,
    Gradients,
}

/// Values and signs; on request also the gradient with respect to a, and, with weights, that with respect to b.
#[pyfunction]
#[pyo3(signature = (a, b, r#where, axis, keepdims, gradients, no_mass))]
fn terms<'py>(
    a: &Bound<'py, PyAny>,
    b: Option<&Bound<'py, PyAny>>,
    r#where: Option<&Bound<'py, PyAny>>,
    axis: Option<&Bound<'py, PyAny>>,
    keepdims: bool,
    gradients: bool,
    no_mass: &str,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = a.py();
    let axes = axes(axis, keepdims)?;
    let want = if gradients { Want::Gradients } else { Want::Values };
    in_format!(Numbers::needed(a)?, a => of_terms(py, &a, &Beside::of(b, r#where, no_mass)?, axes, want))
}

fn of_terms<'py, T: Format>(
    py: Python<'py>,
    a: &View<'py, T>,
    Beside { b, mask, no_mass }: &Beside<'py, T>,
    axes: Axes,
    want: Want,
) -> PyResult<Bound<'py, PyTuple>> {
    let (a, b, mask) =
        (a.as_array(), b.as_ref().map(|b| b.as_array()), mask.as_ref().map(|mask| mask.as_array()));
    let work = || {
        let mut terms = a.terms(axes)?.no_mass(*no_mass);
        if let Some(b) = &b {
            terms = terms.weights::<ndarray::IxDyn>(b)?;
        }
        if let Some(mask) = &mask {
            terms = terms.mask::<ndarray::IxDyn>(mask)?;
        }
        let (value, sign) = terms.logsumexp_with_sign()?;
        Ok(match want {
            Want::Values => (value, sign, None, None),
            Want::Gradients if b.is_none() => (value, sign, Some(terms.logsumexp_with_gradient()?.1), None),
            Want::Gradients => {
                let [of_a, of_b] = terms.gradients()?;
                (value, sign, Some(of_a), Some(of_b))
            }
        })
    };
    let (value, sign, of_a, of_b) = detached(py, most(a.shape()), work)?;
    let of_a = of_a.map(|of_a| given(py, of_a)).transpose()?;
    let of_b = of_b.map(|of_b| given(py, of_b)).transpose()?;
    (given(py, value)?, given(py, sign)?, of_a, of_b).into_pyobject(py)
}

/// Values and their derivatives in a direction.
#[pyfunction]
#[pyo3(signature = (a, tangent, axis, keepdims))]
fn jvp<'py>(
    a: &Bound<'py, PyAny>,
    tangent: &Bound<'py, PyAny>,
    axis: Option<&Bound<'py, PyAny>>,
    keepdims: bool,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = a.py();
    let axes = axes(axis, keepdims)?;
    in_format!(Numbers::needed(a)?, a => {
        let tangent = like(&a, tangent)?;
        let (a, tangent) = (a.as_array(), tangent.as_array());
        let (value, slope) = detached(py, most(a.shape()), || a.logsumexp_jvp(axes, &tangent))?;
        (given(py, value)?, given(py, slope)?).into_pyobject(py)
    })
}

/// The Hessian times a vector.
#[pyfunction]
#[pyo3(signature = (a, vector, axis))]
fn hvp<'py>(
    a: &Bound<'py, PyAny>,
    vector: &Bound<'py, PyAny>,
    axis: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = a.py();
    let axes = axes(axis, false)?;
    in_format!(Numbers::needed(a)?, a => {
        let vector = like(&a, vector)?;
        let (a, vector) = (a.as_array(), vector.as_array());
        let product = detached(py, a.len(), || a.logsumexp_hvp(axes, &vector))?;
        given(py, product)
    })
}

/// An array of the format of the first.
pub(crate) fn like<'py, T: Format>(_: &View<'py, T>, other: &Bound<'py, PyAny>) -> PyResult<View<'py, T>> {
    view(other)
}

/// log Σ b e^a of complex numbers.
#[pyfunction]
#[pyo3(signature = (a, b, axis, keepdims))]
fn of_complex<'py>(
    a: &Bound<'py, PyAny>,
    b: Option<&Bound<'py, PyAny>>,
    axis: Option<&Bound<'py, PyAny>>,
    keepdims: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let py = a.py();
    let axes = axes(axis, keepdims)?;
    macro_rules! values {
        ($a:ident) => {{
            let b = b.map(view).transpose()?;
            let (a, b) = ($a.as_array(), b.as_ref().map(|b: &View<'py, _>| b.as_array()));
            let values = detached(py, most(a.shape()), || match &b {
                None => a.complex_logsumexp(axes),
                Some(b) => a.complex_logsumexp_weighted(axes, b),
            })?;
            given(py, values)
        }};
    }
    match ComplexNumbers::needed(a)? {
        ComplexNumbers::F32(a) => values!(a),
        ComplexNumbers::F64(a) => values!(a),
    }
}

pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(logsumexp, module)?)?;
    module.add_function(wrap_pyfunction!(softmax, module)?)?;
    module.add_function(wrap_pyfunction!(log_softmax, module)?)?;
    module.add_function(wrap_pyfunction!(value_and_grad, module)?)?;
    module.add_function(wrap_pyfunction!(terms, module)?)?;
    module.add_function(wrap_pyfunction!(jvp, module)?)?;
    module.add_function(wrap_pyfunction!(hvp, module)?)?;
    module.add_function(wrap_pyfunction!(of_complex, module)?)
}
