"""Log-sum-exp, softmax and log-softmax for arguments that the compiled functions of these names do not accept directly:
lists, integers, weights, masks, complex numbers, and arrays of other libraries. Also all other functions of the package
except for the ufuncs."""

import itertools

import numpy as np

from . import _core
from ._arguments import either, loss_options, one_of, whole
from ._libraries import (
    is_inexact,
    is_numeric,
    library_of,
    module_of,
    module_within,
    native,
    refuse_rounding,
)


def brought(optional=(), are_complex=False, **named):
    """The library, the format, and the arguments as NumPy arrays of that format; None for an optional argument that is
    None."""
    library = library_of(*named.values())
    arrays = {name: as_numbers(library, x, name) for name, x in named.items() if name not in optional or x is not None}
    # Python's own numbers have no format: they do not influence that of the result.
    weak = {name: x for name, x in named.items() if type(x) in (int, float, complex)}
    dtype = library.dtype(*(arrays | weak).values())
    if dtype.kind == "c" and not are_complex:
        raise TypeError(f"{' and '.join(arrays)} must be of real numbers, not {dtype}")
    return library, dtype, [native(arrays[name], dtype) if name in arrays else None for name in named]


def as_numbers(library, x, name):
    if x is None:
        raise TypeError(f"{name} must be numbers, not None")
    if (module := module_within(x, "torch", "jax", "jaxlib")) is not None:
        raise TypeError(f"{name} is a {type(x).__name__} of arrays of {module}: stack them first")
    array = np.asarray(library.array(x))
    if not is_numeric(array.dtype):
        # NumPy makes arrays of objects of what is not a sequence, and of integers of more than 64 bits.
        hint = ": give a list or an array of numbers of at most 64 bits" if array.dtype == object else ""
        what = "strings" if array.dtype.kind in "SU" else array.dtype
        raise TypeError(f"{name} must be numbers, not {what}{hint}")
    return array


def one_axis(axis, ndim):
    """The axis, counted from the front, of an array with `ndim` axes."""
    return np.lib.array_utils.normalize_axis_index(whole(axis, "axis"), ndim)


def mask_of(where, library):
    where = np.asarray(library.array(where))
    if where.dtype != np.bool_:
        raise TypeError(f"where must be of booleans, not {where.dtype}")
    return where


def common_shape(*shapes):
    """As `numpy.broadcast_shapes`, which is limited to 32 axes; arrays may have 64."""
    lengths = [set(of_axis) - {1} for of_axis in itertools.zip_longest(*map(reversed, shapes), fillvalue=1)]
    if any(len(of_axis) > 1 for of_axis in lengths):
        raise ValueError(f"the shapes {', '.join(map(str, shapes))} do not broadcast against each other")
    return tuple(next(iter(of_axis), 1) for of_axis in reversed(lengths))


def broadcast(*arrays):
    shape = common_shape(*(x.shape for x in arrays))
    return [np.broadcast_to(x, shape) for x in arrays]


def together(**named):
    """The arrays broadcast against each other, with at least one axis."""
    arrays = list(named.values())
    try:
        shape = common_shape((1,), *(x.shape for x in arrays if x is not None))
    except ValueError:
        shapes = ", ".join(f"{name} has the shape {x.shape}" for name, x in named.items() if x is not None)
        raise ValueError(f"{shapes}: they must broadcast against each other") from None
    return [x if x is None or x.shape == shape else np.broadcast_to(x, shape) for x in arrays]


def finished(library, dtype, value, out=None):
    """The value as an array of the library and of this format, written into `out` if that is given."""
    if value.dtype != dtype:
        value = value.astype(dtype.type(0).real.dtype if value.dtype.kind == "f" and dtype.kind == "c" else dtype)
    return library.result(value) if out is None else written(out, value)


def written(out, value):
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy.ndarray, not {type(out).__name__}")
    if out.shape != np.shape(value):
        raise ValueError(f"out has the shape {out.shape}, the result has {np.shape(value)}")
    if not np.can_cast(value.dtype, out.dtype, "same_kind"):
        raise TypeError(f"out is of {out.dtype}, which cannot hold the result's {value.dtype}")
    np.copyto(out, value, casting="same_kind")
    return out


def elsewhere(out, axis, *arrays, is_jax_for_complex=False):
    """`logsum.torch` or `logsum.jax` if PyTorch or JAX records or transforms what is done with one of the arrays, if
    one is on a device other than the CPU, if there is a tensor and torch's autocast is on, or, with
    `is_jax_for_complex`, if one is a complex array of JAX; otherwise None."""
    for x in arrays:
        name = module_of(x)
        if name == "torch" and is_recorded_by_torch(x):
            from . import torch as module
        elif name in ("jax", "jaxlib") and is_recorded_by_jax(x, is_jax_for_complex):
            from . import jax as module
        else:
            continue
        if out is not None:
            raise TypeError("out must be left out where logsum.torch or logsum.jax computes the result")
        if name == "torch" and module_of(arrays[0]) != "torch":
            raise TypeError(f"one argument is a tensor that torch records, but the first is a {type(arrays[0]).__name__}: make it a tensor, too")
        if name == "torch" and isinstance(axis, list | tuple) and len(axis) == 0:
            raise ValueError("axis is (), which means all dimensions to torch, but none to NumPy: give None for all")
        return module
    return None


def is_recorded_by_torch(x):
    import torch
    from torch.utils._python_dispatch import is_in_torch_dispatch_mode

    if not isinstance(x, torch.Tensor):
        return False
    is_traced = torch.compiler.is_compiling() or torch.jit.is_tracing() or is_in_torch_dispatch_mode()
    is_transformed = is_traced or torch._C._functorch.is_functorch_wrapped_tensor(x)
    is_differentiated = x.requires_grad or torch.autograd.forward_ad._current_level >= 0
    # Autocast determines the format of the result, whether or not a graph is recorded.
    return is_transformed or is_differentiated or x.device.type != "cpu" or torch.is_autocast_enabled("cpu")


def is_recorded_by_jax(x, also_if_complex=False):
    import jax

    if isinstance(x, jax.core.Tracer):
        return True
    is_complex = also_if_complex and isinstance(x, jax.Array) and x.dtype.kind == "c"
    return is_complex or isinstance(x, jax.Array) and any(device.platform != "cpu" for device in x.devices())


def elementwise(name):
    """The function of that name for NumPy arrays of any format; the ufuncs do not accept bfloat16."""
    function = odds if name == "odds" else getattr(_core, name)

    def values(*arrays):
        is_bfloat16 = arrays[0].dtype.name == "bfloat16" and name != "odds"
        return _core.of_bfloat16(name, *broadcast(*arrays)) if is_bfloat16 else function(*arrays)

    return values


@np.errstate(all="ignore")
def odds(x):
    """e^x / (1 − e^x) for x ≤ 0, from which derivatives are computed; +∞ at 0 and −0, NaN for x > 0."""
    x = x.astype(np.promote_types(x.dtype, np.float32))
    return np.where(x > 0, np.nan, np.exp(x) / np.abs(np.expm1(x)))


def logsumexp(a, axis, b, keepdims, return_sign, where, out):
    if (module := elsewhere(out, axis, a, b, where, is_jax_for_complex=True)) is not None:
        # Here a bool in the third place is a weight; in `torch.logsumexp` it is keepdim.
        return module.logsumexp(a, axis, int(b) if isinstance(b, bool) else b, keepdims, return_sign, where)
    library, dtype, (a, b) = brought("b", True, a=a, b=b)
    mask = None if where is None else mask_of(where, library)
    a, b, mask = together(a=a, b=b, where=mask)
    if dtype.kind == "c":
        value, sign = of_complex(a, b, mask, axis, keepdims, return_sign)
    elif b is None and mask is None and not return_sign:
        value, sign = _core.logsumexp(a, axis, None, keepdims), None
    else:
        value, sign, _, _ = _core.terms(a, b, mask, axis, keepdims, False, "zero")
        if not return_sign:
            value = np.where(sign < 0, a.dtype.type(np.nan), value)[()]
    value = finished(library, dtype, value, out)
    return (value, finished(library, dtype, sign)) if return_sign else value


@np.errstate(all="ignore")
def of_complex(a, b, mask, axis, keepdims, return_sign):
    if mask is not None:
        b = np.where(mask, 1 if b is None else b, 0).astype(a.dtype)
    value = _core.of_complex(a, b, axis, keepdims)
    if not return_sign:
        return value, None
    sign = np.where(np.isneginf(value.real), 0, np.exp(1j * value.imag)).astype(a.dtype)[()]
    return value.real, sign


def softmax(x, axis, dtype, out):
    if (module := elsewhere(out, axis, x)) is not None:
        return module.softmax(x, axis, dtype=dtype)
    library, dtype, x = converted(x, dtype, "x")
    return finished(library, dtype, by_shares(_core.softmax, np.exp, x, axis), out)


def log_softmax(x, axis, dtype, out):
    if (module := elsewhere(out, axis, x)) is not None:
        return module.log_softmax(x, axis, dtype=dtype)
    library, dtype, x = converted(x, dtype, "x")
    return finished(library, dtype, by_shares(_core.log_softmax, lambda log: log, x, axis), out)


@np.errstate(all="ignore")
def by_shares(function, of_logarithm, x, axis):
    """`function` of real numbers, and `of_logarithm` of the log-softmax of complex ones. A scalar counts as an array of
    one."""
    rows = np.atleast_1d(x)
    value = of_logarithm(complex_log_softmax(rows, axis)) if x.dtype.kind == "c" else function(rows, axis)
    return np.reshape(value, x.shape)[()]


def converted(x, dtype, name):
    """The library, the format of the computation and of the result, which must represent all numbers of the array
    exactly, and the array in that format."""
    library, is_given = library_of(x), dtype is not None
    x = as_numbers(library, x, name)
    try:
        dtype = library.dtype(x) if dtype is None else library.named(dtype)
    except (TypeError, ValueError):
        raise TypeError(f"dtype is {dtype!r}, it must be a floating-point format") from None
    if not is_inexact(dtype):
        raise TypeError(f"dtype is {dtype}, it must be a floating-point format")
    if is_given:
        refuse_rounding(x, dtype, name)
    if x.dtype.kind not in "biu" and not np.can_cast(x.dtype, dtype):
        raise TypeError(f"{name} is of {x.dtype}, which {dtype} would round: convert it first if rounding is intended")
    return library, dtype, native(x, dtype)


def complex_log_softmax(x, axis):
    """The log-softmax of complex numbers, relative to the greatest real part, so that large numbers cause no rounding
    errors. Where that part is +∞, only the numbers that have it count."""
    if x.size == 0:
        return x.copy()
    greatest = x.real.max(axis if axis is None else tuple(np.atleast_1d(axis)), keepdims=True)
    logs = np.empty_like(x)
    below = x.real - np.where(np.isfinite(greatest), greatest, 0)
    logs.real = np.where(greatest == np.inf, np.where(x.real == np.inf, 0, -np.inf), below)
    logs.imag = np.where(np.isneginf(logs.real), 0, x.imag)
    total = _core.of_complex(logs, None, axis, True)
    return logs - np.where(np.isneginf(greatest), 0, total)


def logsumexp_value_and_grad(a, axis=None, b=None, where=None, *, keepdims=False, no_mass="zero", out=None):
    """log Σ b e^a over axes, and its gradient.

    Parameters
    ----------
    a, axis, b, where, keepdims
        As for `logsumexp`, but of real numbers.
    no_mass : {"zero", "uniform", "nan"}
        The gradient of a sum without mass, all of whose terms are −∞, masked out or of weight 0. "zero": 0 everywhere.
        "uniform" and "nan": 1/n or NaN at each of the n terms that are neither masked out nor of weight 0, and 0
        elsewhere.
    out : ndarray, optional
        The array into which the gradient with respect to `a` is written.

    Returns
    -------
    value : array or scalar
        The value of `logsumexp`: NaN where the sum is negative.
    grad : array, or with `b` a pair of arrays
        The derivatives with respect to `a`, b e^a / Σ b e^a, of the shape of `a`. With `b` also those with respect to
        `b`, e^a / Σ b e^a, of the shape of `b`, at weights of 0 too. Where the sum is negative, they are the
        derivatives of log |Σ b e^a|; where it is exactly 0, they are NaN. Without weights, c numbers +∞ have the
        derivative 1/c each. Each derivative is correctly rounded; where `a` or `b` was broadcast, the derivatives of
        its copies are then added with rounding.

    Raises
    ------
    TypeError
        If the arguments are not real numbers, `where` is not boolean, or `out` cannot hold the result.
    ValueError
        If the shapes do not broadcast, an axis does not exist or is given twice, `no_mass` is none of the three words,
        or `out` has another shape than the result.

    See Also
    --------
    logsumexp, softmax, logsumexp_jvp, logsumexp_hvp

    Examples
    --------
    >>> import logsum
    >>> value, grad = logsum.logsumexp_value_and_grad([0.0, -40.0])
    >>> float(grad[1])
    4.248354255291589e-18
    """
    if (module := elsewhere(out, axis, a, b, where)) is not None:
        return module.logsumexp_value_and_grad(a, axis, b, where, keepdims, no_mass)
    one_of(("zero", "uniform", "nan"), no_mass, "no_mass")
    keepdims = bool(keepdims)
    library, dtype, (a, b) = brought("b", a=a, b=b)
    shapes = [x.shape for x in (a, b) if x is not None]
    mask = None if where is None else mask_of(where, library)
    a, b, mask = together(a=a, b=b, where=mask)
    if b is None and mask is None and no_mass == "zero":
        value, of_a = _core.value_and_grad(a, axis, keepdims)
        of_b = None
    else:
        value, sign, of_a, of_b = _core.terms(a, b, mask, axis, keepdims, True, no_mass)
        value = np.where(sign < 0, a.dtype.type(np.nan), value)[()]
    if of_b is not None and no_mass != "zero":
        counted = (b != 0) & (True if mask is None else mask)
        nothing = ~(counted & (a != -np.inf)).any(axis if axis is None else tuple(np.atleast_1d(axis)), keepdims=True)
        of_b = np.where(nothing & ~counted, of_b.dtype.type(0), of_b)
    value = finished(library, dtype, value)
    of_a = finished(library, dtype, summed_to(of_a, shapes[0]), out)
    if b is None:
        return value, of_a
    return value, (of_a, finished(library, dtype, summed_to(of_b, shapes[1])))


@np.errstate(all="ignore")
def summed_to(gradient, shape):
    """A gradient summed over the axes along which its array was broadcast, so that it has this shape."""
    extra = gradient.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(
        extra + i for i, n in enumerate(shape) if n == 1 and gradient.shape[extra + i] != 1
    )
    if axes:
        # In a narrow format sums would overflow, or stop growing.
        gradient = gradient.astype(np.promote_types(gradient.dtype, np.float32)).sum(axis=axes).astype(gradient.dtype)
    return np.reshape(gradient, shape)


def logsumexp_jvp(a, tangent, axis=None, *, keepdims=False):
    """The values of `logsumexp`, and their derivatives in the direction `tangent`: Σ p t with p = softmax(a).

    Parameters
    ----------
    a : array_like
        Real numbers.
    tangent : array_like
        The direction t; `a` and `tangent` broadcast against each other.
    axis : None, int or tuple of ints
        The axes to sum over; None for all.
    keepdims : bool
        Whether the axes stay, with length 1.

    Returns
    -------
    value : array or scalar
        log Σ e^a, correctly rounded.
    slope : array or scalar
        Σ p t, with an error of at most 1 ulp of Σ |p t|. 0 if there are no numbers or all are −∞; the mean of the
        tangents at the numbers +∞ if there are any; NaN if `a` has a NaN. Tangents where p is 0 do not count.

    Raises
    ------
    TypeError
        If the arguments are not real numbers.
    ValueError
        If the shapes do not broadcast, or an axis does not exist or is given twice.

    See Also
    --------
    logsumexp_value_and_grad, logsumexp_hvp

    Examples
    --------
    >>> import logsum
    >>> value, slope = logsum.logsumexp_jvp([0.0, 0.0, float("-inf")], [1.0, 2.0, 7.0])
    >>> float(value), float(slope)
    (0.6931471805599453, 1.5)
    """
    if (module := elsewhere(None, axis, a, tangent)) is not None:
        return module.logsumexp_jvp(a, tangent, axis, keepdims)
    library, dtype, (a, tangent) = brought(a=a, tangent=tangent)
    a, tangent = together(a=a, tangent=tangent)
    value, slope = _core.jvp(a, tangent, axis, bool(keepdims))
    return finished(library, dtype, value), finished(library, dtype, slope)


def logsumexp_hvp(a, vector, axis=None, *, out=None):
    """The Hessian of `logsumexp` times a vector v: p (v − Σ p v) with p = softmax(a).

    It is also the Jacobian of `softmax` times v. The matrix is never formed: time and memory are O(n).

    Parameters
    ----------
    a : array_like
        Real numbers.
    vector : array_like
        The vector v; `a` and `vector` broadcast against each other.
    axis : None, int or tuple of ints
        The axes that `logsumexp` sums over; None for all.
    out : ndarray, optional
        The array into which the result is written.

    Returns
    -------
    array
        Of the shape of `a`. Each element is within 1 ulp where v − Σ p v does not cancel. The absolute error of that
        difference is at most 2⁻⁵⁹ Σ |p v| (float32 and narrower: 2⁻²⁹ Σ |p v|). All elements are 0 where
        all numbers are −∞, and NaN where one number is NaN.

    Raises
    ------
    TypeError
        If the arguments are not real numbers, or `out` cannot hold the result.
    ValueError
        If the shapes do not broadcast, an axis does not exist or is given twice, or `out` has another shape than the
        result.

    See Also
    --------
    logsumexp_value_and_grad, logsumexp_jvp

    Examples
    --------
    >>> import logsum
    >>> logsum.logsumexp_hvp([1e8, 1e8], [1.0, 0.0]).tolist()
    [0.25, -0.25]
    """
    if (module := elsewhere(out, axis, a, vector)) is not None:
        return module.logsumexp_hvp(a, vector, axis)
    library, dtype, (a, vector) = brought(a=a, vector=vector)
    shape = a.shape
    a, vector = together(a=a, vector=vector)
    product = _core.hvp(a, vector, axis)
    return finished(library, dtype, summed_to(product, shape), out)


def moment(name, a, axis, keepdims, out, parameter=0):
    library, dtype, (a,) = brought(a=a)
    a = np.atleast_1d(a)
    return finished(library, dtype, _core.moment_value(name, a, axis, bool(keepdims), float(parameter)), out)


def logmeanexp(a, axis=None, keepdims=False, *, out=None):
    """The logarithm of the mean, log((1/n) Σ e^a) of n numbers, over axes.

    Parameters
    ----------
    a : array_like
        Real numbers.
    axis : None, int or tuple of ints
        The axes to average over; None for all.
    keepdims : bool
        Whether the axes stay, with length 1.
    out : ndarray, optional
        The array into which the values are written.

    Returns
    -------
    array or scalar
        Correctly rounded. NaN if there are no numbers or there is a NaN; −∞ if all are −∞; +∞ if there is a +∞ and no
        NaN.

    Raises
    ------
    TypeError
        If the arguments are not real numbers, or `out` cannot hold the result.
    ValueError
        If an axis does not exist or is given twice, or `out` has another shape than the result.

    See Also
    --------
    logsumexp, logvarexp, Accumulator.logmeanexp

    Examples
    --------
    >>> import logsum
    >>> float(logsum.logmeanexp([-1000.0, 0.0]))
    -0.6931471805599453
    """
    if (module := elsewhere(out, axis, a)) is not None:
        return module.logmeanexp(a, axis, keepdims)
    return moment("logmeanexp", a, axis, keepdims, out)


def logvarexp(a, axis=None, ddof=0, keepdims=False, *, out=None):
    """The logarithm of the variance, log(Σ (e^a − mean)² / (n − ddof)) of n numbers, over axes.

    Parameters
    ----------
    a : array_like
        Real numbers.
    axis : None, int or tuple of ints
        The axes to sum over; None for all.
    ddof : int
        What is subtracted from n in the divisor; not negative.
    keepdims : bool
        Whether the axes stay, with length 1.
    out : ndarray, optional
        The array into which the values are written.

    Returns
    -------
    array or scalar
        Within 1 ulp. NaN if n ≤ ddof; −∞ where all numbers are equal and finite, or all −∞; +∞ where some, but not all,
        are +∞ and there is no NaN; NaN where all are +∞, or there is a NaN.

    Raises
    ------
    TypeError
        If the arguments are not real numbers, or `out` cannot hold the result.
    ValueError
        If an axis does not exist or is given twice, `ddof` is negative, or `out` has another shape than the result.

    See Also
    --------
    logmeanexp

    Examples
    --------
    >>> import logsum
    >>> float(logsum.logvarexp([1000.0, 1001.0]))
    1999.696355348106
    """
    ddof = whole(ddof, "ddof", 0)
    if (module := elsewhere(out, axis, a)) is not None:
        return module.logvarexp(a, axis, ddof, keepdims)
    return moment("logvarexp", a, axis, keepdims, out, ddof)


def softmax_entropy(a, axis=None, keepdims=False, *, out=None):
    """The entropy of the softmax, −Σ p log p with p = softmax(a), over axes, in nats.

    Parameters
    ----------
    a : array_like
        Real numbers.
    axis : None, int or tuple of ints
        The axes to sum over; None for all.
    keepdims : bool
        Whether the axes stay, with length 1.
    out : ndarray, optional
        The array into which the values are written.

    Returns
    -------
    array or scalar
        Within 1 ulp. 0 if there are no numbers or all are −∞; log c where c numbers are +∞ and there is no NaN; NaN if
        there is a NaN.

    Raises
    ------
    TypeError
        If the arguments are not real numbers, or `out` cannot hold the result.
    ValueError
        If an axis does not exist or is given twice, or `out` has another shape than the result.

    See Also
    --------
    softmax, token_log_probs

    Examples
    --------
    >>> import logsum
    >>> float(logsum.softmax_entropy([40.0, 0.0]))
    1.7418252446695514e-16
    """
    if (module := elsewhere(out, axis, a)) is not None:
        return module.softmax_entropy(a, axis, keepdims)
    return moment("softmax_entropy", a, axis, keepdims, out)


def logcumsumexp(a, axis=-1, reverse=False, exclusive=False, *, out=None):
    """The logarithms of the cumulative sums of e^a along an axis: log Σ_{k ≤ i} e^{a_k} for each i.

    Parameters
    ----------
    a : array_like
        Real numbers.
    axis : int
        The axis along which to add.
    reverse : bool
        Whether to add from the end: Σ_{k ≥ i}.
    exclusive : bool
        Whether each sum leaves out the number at its own place. The first sum, or with `reverse` the last, is then −∞.
    out : ndarray, optional
        The array into which the result is written.

    Returns
    -------
    array
        Of the shape of `a`. Each element is correctly rounded: it has the bits of `logsumexp` of the same numbers,
        special cases included.

    Raises
    ------
    TypeError
        If the arguments are not real numbers, or `out` cannot hold the result.
    ValueError
        If the axis does not exist, or `out` has another shape than the result.

    See Also
    --------
    logsumexp

    Examples
    --------
    >>> import logsum
    >>> logsum.logcumsumexp([0.0, -40.0, 1e3, 1e3]).tolist()
    [0.0, 4.248354255291589e-18, 1000.0, 1000.6931471805599]
    """
    if (module := elsewhere(out, axis, a)) is not None:
        return module.logcumsumexp(a, axis, reverse, exclusive)
    library, dtype, (a,) = brought(a=a)
    shape, a = a.shape, np.atleast_1d(a)
    axis = one_axis(axis, a.ndim)
    value = _core.cumulative(a, axis, bool(reverse), bool(exclusive))
    return finished(library, dtype, np.reshape(value, shape)[()], out)


def segment_logsumexp(a, segment_ids=None, num_segments=None, *, axis=0, offsets=None, mode="raise", out=None):
    """The log-sum-exp of each segment of an array along an axis.

    Exactly one of `segment_ids` and `offsets` must be given.

    Parameters
    ----------
    a : array_like
        Real numbers.
    segment_ids : array_like of int
        The segment of each place along the axis, from 0 to num_segments − 1, in any order.
    num_segments : int, optional
        The number of segments. By default one more than the greatest id. Not allowed with `offsets`, which determine
        it.
    axis : int
        The axis that is divided into segments.
    offsets : array_like of int
        Segment s consists of the places offsets[s] to offsets[s + 1] − 1, as the rows of a sparse matrix in CSR format
        do. They start at 0, never decrease, and end at the length of the axis.
    mode : {"raise", "drop"}
        What to do with an id that is negative or not below num_segments: raise an error, or leave the place out of all
        segments.
    out : ndarray, optional
        The array into which the result is written.

    Returns
    -------
    array
        The shape of `a` with one element for each segment along the axis. Each is correctly rounded, and −∞ for an
        empty segment; other special cases are those of `logsumexp`.

    Raises
    ------
    TypeError
        If `a` is not of real numbers, ids or offsets are not integers, both or neither of them are given, or `out`
        cannot hold the result.
    ValueError
        If an id is out of range and `mode` is "raise", the offsets are not as described, the shape or number of the ids
        does not fit, the axis does not exist, or `out` has another shape than the result.

    See Also
    --------
    segment_softmax, logsumexp

    Examples
    --------
    >>> import logsum
    >>> logsum.segment_logsumexp([0.0, 0.0, 7.0], [0, 0, -1], 2, mode="drop")
    array([0.69314718,       -inf])
    """
    if (module := elsewhere(out, axis, a, segment_ids, offsets)) is not None:
        return module.segment_logsumexp(a, segment_ids, num_segments, axis, offsets, mode)
    library, dtype, a, axis, ids, count, is_inside = segments_of(a, segment_ids, num_segments, axis, offsets, mode)
    if is_inside is None:
        value = _core.segments(a, ids, count, axis)
    else:
        value = np.delete(_core.segments(a, ids, count + 1, axis), count, axis)
    return finished(library, dtype, value, out)


def segment_softmax(a, segment_ids=None, num_segments=None, *, axis=0, offsets=None, mode="raise", out=None):
    """The softmax within each segment of an array along an axis: e^a divided by the sum of e^a over the same segment.

    Parameters
    ----------
    a, segment_ids, num_segments, axis, offsets, mode, out
        As for `segment_logsumexp`.

    Returns
    -------
    array
        Of the shape of `a`, each element correctly rounded. 0 in a segment that is all −∞, and at places that are in no
        segment; other special cases are those of `softmax`.

    Raises
    ------
    TypeError, ValueError
        As for `segment_logsumexp`.

    See Also
    --------
    segment_logsumexp, softmax

    Examples
    --------
    >>> import logsum
    >>> logsum.segment_softmax([0.0, 5.0, 0.0], [1, 0, 1])
    array([0.5, 1. , 0.5])
    """
    if (module := elsewhere(out, axis, a, segment_ids, offsets)) is not None:
        return module.segment_softmax(a, segment_ids, num_segments, axis, offsets, mode)
    library, dtype, a, axis, ids, count, is_inside = segments_of(a, segment_ids, num_segments, axis, offsets, mode)
    if is_inside is None:
        shares = _core.segment_shares(a, ids, count, axis)
    else:
        shares = _core.segment_shares(a, ids, count + 1, axis)
        np.moveaxis(shares, axis, 0)[~is_inside] = 0
    return finished(library, dtype, shares, out)


def segments_of(a, segment_ids, num_segments, axis, offsets, mode):
    """The library, the format, the numbers, the axis of the segments, the id of the segment of each place along it, the
    number of segments, and whether each place is in a segment, or None if all are. The id of a place in no segment is
    the number of segments."""
    one_of(("raise", "drop"), mode, "mode")
    either(segment_ids, offsets, num_segments)
    library, dtype, (a,) = brought(a=a)
    a = np.atleast_1d(a)
    axis = one_axis(axis, a.ndim)
    length = a.shape[axis]
    if offsets is not None:
        offsets = integers(library, offsets, "offsets")
        lengths = np.diff(offsets)
        if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != length or (lengths < 0).any():
            raise ValueError(f"offsets must start at 0, never go down, and end at {length}, the length of axis {axis}")
        return library, dtype, a, axis, np.repeat(np.arange(len(lengths), dtype=np.uintp), lengths), len(lengths), None
    ids = integers(library, segment_ids, "segment_ids")
    if len(ids) != length:
        raise ValueError(f"segment_ids has the shape {ids.shape}, it must be ({length},): one id for each place along axis {axis}")
    if num_segments is None:
        num_segments = max(int(ids.max()) + 1, 0) if length else 0
    num_segments = whole(num_segments, "num_segments", 0)
    is_outside = (ids < 0) | (ids >= num_segments)
    if not is_outside.any():
        return library, dtype, a, axis, np.ascontiguousarray(ids, dtype=np.uintp), num_segments, None
    if mode == "raise":
        place = int(np.argmax(is_outside))
        message = f"segment_ids has {ids[place]} at {place}, it must be from 0 to below {num_segments}, the number of segments"
        raise ValueError(message)
    return library, dtype, a, axis, np.where(is_outside, num_segments, ids).astype(np.uintp), num_segments, ~is_outside


def integers(library, x, name):
    """A vector of integers."""
    x = np.asarray(library.array(x))
    if x.dtype.kind not in "iu" and x.size:
        raise TypeError(f"{name} must be integers, not {x.dtype}")
    if x.ndim != 1:
        raise ValueError(f"{name} has the shape {x.shape}, it must have one dimension")
    return clamped(x).astype(np.int64)


def clamped(x):
    """Integers that fit into signed ones of 64 bits. Those that do not fit become the greatest such integer, which is
    out of range as well. The dtype stays as it is."""
    return np.minimum(x, np.uint64(2**63 - 1)) if x.dtype == np.uint64 else x


def log_matmul(a, b, *, out=None):
    """The matrix product in log space: C_ij = log Σ_k e^{a_ik + b_kj}.

    Parameters
    ----------
    a, b : array_like
        Real numbers: vectors, matrices, or batches of matrices in the last two axes, with the shapes and broadcasting
        of `numpy.matmul`.
    out : ndarray, optional
        The array into which the result is written.

    Returns
    -------
    array or scalar
        Of the shape of `numpy.matmul(a, b)`. Each element is correctly rounded: the float nearest to the log-sum-exp of
        the exact sums a_ik + b_kj. −∞ if there are no sums or all are −∞; +∞ if one is +∞ and none is NaN; NaN if one
        is NaN, as −∞ + ∞ is.

    Raises
    ------
    TypeError
        If the arguments are not real numbers, or `out` cannot hold the result.
    ValueError
        If an argument is a scalar, the shapes do not fit, or `out` has another shape than the result.

    See Also
    --------
    logsumexp

    Examples
    --------
    >>> import logsum
    >>> logsum.log_matmul([[0.0, 1000.0], [-1000.0, float("-inf")]], [[1.0, 2.0], [1.0, -999.0]]).tolist()
    [[1001.0, 2.313261687518223], [-999.0, -998.0]]
    """
    if (module := elsewhere(out, None, a, b)) is not None:
        return module.log_matmul(a, b)
    library, dtype, (a, b) = brought(a=a, b=b)
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError("log_matmul needs vectors, matrices or batches of them, not a scalar")
    left, right = (a[None, :] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
    product = _core.log_matmul(left, right)
    if a.ndim == 1:
        product = product[..., 0, :]
    if b.ndim == 1:
        product = product[..., 0]
    return finished(library, dtype, product, out)


def cross_entropy(
    logits,
    target,
    weight=None,
    *,
    axis=-1,
    ignore_index=-100,
    reduction="mean",
    label_smoothing=0.0,
    z_loss=0.0,
    temperature=1.0,
):
    """The cross-entropy loss of classification, −Σ q log softmax(logits) for each row, with PyTorch's definition of the
    options.

    With all options, the loss of a row z with the temperature τ and the z-loss ζ is Σ_k q_k (log Σ e^{z/τ} − z_k/τ) + ζ
    (Σ q_k) (log Σ e^{z/τ})². q is the target as probabilities, smoothed, and multiplied by the class weights.

    Parameters
    ----------
    logits : array_like
        Real scores, with the classes along `axis`.
    target : array_like
        The class of each row as integers, of the shape of `logits` without `axis`; or probabilities, of the shape of
        `logits`.
    weight : array_like, optional
        A weight for each class, finite and not negative.
    axis : int
        The axis of the classes.
    ignore_index : int
        Rows with this target are ignored: their loss is 0, and they are not counted in the mean.
    reduction : {"mean", "sum", "none"}
        "mean": the sum of the losses divided by the total weight of the targets, or, if these are probabilities, by the
        number of rows. "sum": the sum of the losses. "none": the loss of each row.
    label_smoothing : float
        The part of each target, between 0 and 1, that is spread evenly over all classes.
    z_loss : float
        The coefficient ζ of the squared log-sum-exp; finite and not negative.
    temperature : float
        The number τ that the logits are divided by; finite and positive.

    Returns
    -------
    array or scalar
        Correctly rounded; with a z-loss or a temperature, losses are within 2 ulp. A score of −∞ whose class has no
        weight in the target masks that class out; where it has some, the loss is +∞. NaN for a mean whose total weight
        is 0, and for a row that has a NaN and is neither ignored nor of weight 0.

    Raises
    ------
    TypeError
        If the scores, weights or probabilities are not real numbers, or an option is not of its type.
    ValueError
        If the shapes do not fit, a target is not a class, or a weight, a probability or an option is out of its range.

    See Also
    --------
    token_log_probs, log_softmax

    Examples
    --------
    >>> import logsum
    >>> logits = [[3.0, 1.0], [0.0, 0.0], [7.0, 7.0]]
    >>> float(logsum.cross_entropy(logits, [0, -100, 1], label_smoothing=0.1))
    0.4600375958014589
    """
    if (module := elsewhere(None, axis, logits, target, weight, temperature, z_loss, label_smoothing)) is not None:
        return module.cross_entropy(
            logits, target, weight, ignore_index, reduction, label_smoothing, axis, z_loss, temperature
        )
    options = dict(
        ignore_index=ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
        z_loss=z_loss,
        temperature=temperature,
    )
    return losses(logits, target, weight, axis, options, False)[0]


def token_log_probs(logits, tokens, *, axis=-1, dtype=None, entropy=False, out=None):
    """The log-probability of one token for each row, z_t − log Σ e^z for the scores z and the token t: log-softmax at
    one index, without the rest of the row.

    Parameters
    ----------
    logits : array_like
        Real scores, with those of a row along `axis`.
    tokens : array_like of int
        An index into each row, of the shape of `logits` without `axis`.
    axis : int
        The axis of the scores of a row.
    dtype : dtype, optional
        The format of the computation and of the result; by default that of the logits. With float16 logits, float32
        gives the nearest float32. It must represent the logits exactly: logits of a wider float format, or an integer
        that it would round, are an error.
    entropy : bool
        Whether to also return the entropy −Σ p log p of each row's softmax.
    out : ndarray, optional
        The array into which the log-probabilities are written.

    Returns
    -------
    array or scalar, or a pair of them
        The log-probabilities, correctly rounded: they do not depend on the batch, the padding with −∞, the order of the
        scores or the number of threads. Special cases are those of `log_softmax`. With `entropy` the entropies follow,
        within 1 ulp.

    Raises
    ------
    TypeError
        If the logits are not real numbers, the tokens are not integers, or `dtype` or `out` cannot hold the numbers.
    ValueError
        If the shapes do not fit, a token is not an index of its row, the axis does not exist, `dtype` would round an
        integer, or `out` has another shape than the result.

    See Also
    --------
    log_softmax, cross_entropy, softmax_entropy

    Examples
    --------
    >>> import logsum
    >>> logsum.token_log_probs([[40.0, 0.0], [2.0, 2.0]], [0, 1])
    array([-4.24835426e-18, -6.93147181e-01])
    """
    if (module := elsewhere(out, axis, logits, tokens)) is not None:
        return module.token_log_probs(logits, tokens, axis, dtype, entropy, padding=None)
    library, dtype, z = converted(logits, dtype, "logits")
    if dtype.kind == "c":
        raise TypeError(f"logits must be real numbers, not {dtype}")
    tokens = as_numbers(library, tokens, "tokens")
    if tokens.dtype.kind not in "iu" and tokens.size:
        raise TypeError(f"tokens are {tokens.dtype}, they must be integers")
    if z.ndim == 0:
        raise ValueError("logits must have an axis of scores")
    place = one_axis(axis, z.ndim)
    shape = z.shape[:place] + z.shape[place + 1 :]
    if tokens.shape != shape:
        raise ValueError(f"tokens has the shape {tokens.shape}, it must be {shape}, that of logits without axis {axis}")
    ids = np.ascontiguousarray(tokens.reshape(-1), dtype=np.intp)
    log_p = _core.token_log_probs(z, ids, place)
    # Before `out` is written to, which may be where the logits are.
    entropies = _core.moment_value("softmax_entropy", z, place, False, 0.0) if entropy else None
    log_p = finished(library, dtype, log_p, out)
    return (log_p, finished(library, dtype, entropies)) if entropy else log_p


def losses(logits, target, weight, axis, options, gradient):
    options = loss_options(**options)
    library = library_of(logits, target)
    z, target = as_numbers(library, logits, "logits"), as_numbers(library, target, "target")
    if z.dtype.kind == "c":
        raise TypeError(f"logits must be real numbers, not {z.dtype}")
    # An empty target may have any format: NumPy makes floats of an empty list.
    are_classes = target.dtype.kind in "iu" or target.size == 0 and target.shape != z.shape
    if target.dtype.kind == "b" and not are_classes and target.shape != z.shape:
        raise TypeError("target is of booleans: give classes as integers, or probabilities")
    weight = None if weight is None else as_numbers(library, weight, "weight")
    if weight is not None and weight.dtype.kind == "c":
        raise TypeError(f"weight must be of real numbers, not {weight.dtype}")
    dtype = library.dtype(z, *[x for x in (None if are_classes else target, weight) if x is not None])
    if z.ndim == 0:
        raise ValueError("logits must have an axis of classes")
    axis = one_axis(axis, z.ndim)
    rows = np.ascontiguousarray(np.moveaxis(native(z, dtype), axis, -1))
    if are_classes:
        if target.shape != rows.shape[:-1]:
            expected = f"it must be {rows.shape[:-1]}, that of the rows of logits, or {z.shape} with probabilities, as floats"
            raise ValueError(f"target has the shape {target.shape}, {expected}")
        classes, probabilities = np.ascontiguousarray(clamped(target.reshape(-1)), dtype=np.intp), None
    else:
        if target.shape != z.shape:
            raise ValueError(f"target has the shape {target.shape}, that of probabilities must be {z.shape}")
        classes, probabilities = None, np.ascontiguousarray(np.moveaxis(native(target, dtype), axis, -1))
    if weight is not None:
        weight = np.ascontiguousarray(native(weight, dtype))
    value, slope = _core.cross_entropy(rows, classes, probabilities, weight, options, gradient)
    if options["reduction"] == "none":
        value = np.reshape(value, rows.shape[:-1])[()]
    if slope is not None:
        slope = finished(library, dtype, np.moveaxis(slope, -1, axis))
    return finished(library, dtype, value), slope
