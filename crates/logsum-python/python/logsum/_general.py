"""What the compiled part does not take as it is: lists, integers, weights, masks, complex numbers, other libraries' arrays."""

import numpy as np

from . import _core
from ._libraries import library_of, native


def brought(first, *others):
    """The library, the format, and the arguments as NumPy arrays of that format; none for none, but of the first."""
    library = library_of(first, *others)
    arrays = [library.array(first), *(None if x is None else library.array(x) for x in others)]
    dtype = library.dtype(*(x for x in arrays if x is not None))
    return library, dtype, [None if x is None else native(x, dtype) for x in arrays]


def mask_of(where, library):
    where = np.asarray(library.array(where))
    if where.dtype != np.bool_:
        raise TypeError(f"where must be of booleans, not {where.dtype}")
    return where


def axes_of(axis):
    """As the compiled part takes them: a list, as some write it, is a tuple."""
    return tuple(axis) if isinstance(axis, list) else axis


def together(a, *others):
    """Broadcast against each other, with an axis at least."""
    shapes = [x.shape for x in (a, *others) if x is not None]
    shape = np.broadcast_shapes((1,), *shapes)
    if a.shape == shape and all(x is None or x.shape == shape for x in others):
        return (a, *others)
    return tuple(x if x is None else np.broadcast_to(x, shape) for x in (a, *others))


def finished(library, dtype, value):
    """The format that was promised, of the library's type."""
    if value.dtype != dtype:
        value = value.astype(dtype.type(0).real.dtype if value.dtype.kind == "f" and dtype.kind == "c" else dtype)
    return library.result(value)


def written(out, value):
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy.ndarray, not {type(out).__name__}")
    if out.shape != np.shape(value):
        raise ValueError(f"out has the shape {out.shape}, the result has {np.shape(value)}")
    np.copyto(out, value, casting="same_kind")
    return out


def elsewhere(*arrays):
    """The module of this package for arrays that NumPy cannot read: traced by JAX, recorded by PyTorch, on another device. Else none."""
    for x in arrays:
        name = type(x).__module__.partition(".")[0]
        if name == "torch" and (x.device.type != "cpu" or x.requires_grad):
            from . import torch

            return torch
        if name in ("jax", "jaxlib"):
            import jax as framework

            is_traced = isinstance(x, framework.core.Tracer)
            if is_traced or x.dtype.kind == "c" or any(device.platform != "cpu" for device in x.devices()):
                from . import jax

                return jax
    return None


def logsumexp(a, axis, b, keepdims, return_sign, where, out):
    if (module := elsewhere(a, b, where)) is not None:
        if out is not None:
            raise TypeError("out must be left out for arrays of another library")
        return module.logsumexp(a, axis, b, keepdims, return_sign, where)
    library, dtype, (a, b) = brought(a, b)
    mask = None if where is None else mask_of(where, library)
    a, b, mask = together(a, b, mask)
    axis = axes_of(axis)
    if dtype.kind == "c":
        value, sign = of_complex(a, b, mask, axis, keepdims, return_sign)
    elif b is None and mask is None and not return_sign:
        value, sign = _core.logsumexp(a, axis, None, keepdims), None
    else:
        value, sign, _, _ = _core.terms(a, b, mask, axis, keepdims, False, "zero")
        if not return_sign:
            value = np.where(sign < 0, a.dtype.type(np.nan), value)[()]
    value = finished(library, dtype, value)
    if out is not None:
        value = written(out, value)
    return (value, finished(library, dtype, sign)) if return_sign else value


def of_complex(a, b, mask, axis, keepdims, return_sign):
    if mask is not None:
        b = np.where(mask, 1 if b is None else b, 0).astype(a.dtype)
    value = _core.of_complex(a, b, axis, keepdims)
    if not return_sign:
        return value, None
    with np.errstate(invalid="ignore"):
        sign = np.where(np.isneginf(value.real), 0, np.exp(1j * value.imag)).astype(a.dtype)[()]
    return value.real, sign


def softmax(x, axis):
    if (module := elsewhere(x)) is not None:
        return module.softmax(x, axis)
    library, dtype, (x,) = brought(x)
    if dtype.kind == "c":
        return finished(library, dtype, complex_shares(x, axis, np.exp))
    return finished(library, dtype, _core.softmax(x, axes_of(axis)))


def log_softmax(x, axis):
    if (module := elsewhere(x)) is not None:
        return module.log_softmax(x, axis)
    library, dtype, (x,) = brought(x)
    if dtype.kind == "c":
        return finished(library, dtype, complex_shares(x, axis, lambda log: log))
    return finished(library, dtype, _core.log_softmax(x, axes_of(axis)))


def complex_shares(x, axis, f):
    if x.size == 0:
        return x.copy()
    value = _core.of_complex(np.atleast_1d(x), None, axes_of(axis), True)
    return f(x - np.reshape(value, np.shape(value) if x.ndim else ()))


def logsumexp_value_and_grad(a, axis=None, b=None, where=None, *, keepdims=False, no_mass="zero"):
    """log Σ b e^a over axes, and its gradient.

    Parameters
    ----------
    a, axis, b, where, keepdims
        As for `logsumexp`.
    no_mass : {"zero", "uniform", "nan"}
        What the gradient is where there is nothing but −∞: 0, equal parts, or NaN.

    Returns
    -------
    value : array or scalar
        log |Σ b e^a| where weights have any sign, NaN where the sum is negative: as `logsumexp`.
    grad : array, or with `b` a pair of arrays
        ∂/∂a = b e^a / Σ, and ∂/∂b = e^a / Σ, also where b is 0; each correctly rounded.

    Examples
    --------
    >>> import logsum
    >>> value, grad = logsum.logsumexp_value_and_grad([0.0, -40.0])
    >>> float(grad[1])
    4.248354255291589e-18
    """
    library, dtype, (a, b) = brought(a, b)
    if dtype.kind == "c":
        raise TypeError("gradients are of real numbers")
    shapes = [x.shape for x in (a, b) if x is not None]
    mask = None if where is None else mask_of(where, library)
    a, b, mask = together(a, b, mask)
    axis = axes_of(axis)
    if b is None and mask is None and no_mass == "zero":
        value, of_a = _core.value_and_grad(a, axis, keepdims)
        of_b = None
    else:
        value, sign, of_a, of_b = _core.terms(a, b, mask, axis, keepdims, True, no_mass)
        value = np.where(sign < 0, a.dtype.type(np.nan), value)[()]
    value = finished(library, dtype, value)
    of_a = finished(library, dtype, summed_to(of_a, shapes[0]))
    if b is None:
        return value, of_a
    return value, (of_a, finished(library, dtype, summed_to(of_b, shapes[1])))


def summed_to(gradient, shape):
    """What broadcasting spread out is added up again."""
    extra = gradient.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(
        extra + i for i, n in enumerate(shape) if n == 1 and gradient.shape[extra + i] != 1
    )
    return np.reshape(gradient.sum(axis=axes) if axes else gradient, shape)


def logsumexp_jvp(a, tangent, axis=None, *, keepdims=False):
    """The values of `logsumexp`, and their derivatives in the direction `tangent`: Σ softmax(a) · tangent."""
    library, dtype, (a, tangent) = brought(a, tangent)
    a, tangent = together(a, tangent)
    value, slope = _core.jvp(a, tangent, axes_of(axis), keepdims)
    return finished(library, dtype, value), finished(library, dtype, slope)


def logsumexp_hvp(a, vector, axis=None):
    """The Hessian of `logsumexp` times a vector: p (v − Σ p v) with p = softmax(a), in time and memory O(n)."""
    library, dtype, (a, vector) = brought(a, vector)
    shape = a.shape
    a, vector = together(a, vector)
    product = _core.hvp(a, vector, axes_of(axis))
    return finished(library, dtype, summed_to(product, shape))


def moment(name, a, axis, keepdims, parameter):
    library, dtype, (a,) = brought(a)
    (a,) = together(a)
    return finished(library, dtype, _core.moment_value(name, a, axes_of(axis), keepdims, float(parameter)))


def logmeanexp(a, axis=None, keepdims=False):
    """log of the mean of e^a over axes, correctly rounded. NaN of nothing."""
    return moment("logmeanexp", a, axis, keepdims, 0)


def logvarexp(a, axis=None, ddof=0, keepdims=False):
    """log of the variance of e^a over axes: of Σ (e^a − mean)² / (n − ddof)."""
    if not (isinstance(ddof, (int, np.integer)) and ddof >= 0):
        raise ValueError(f"ddof is {ddof!r}, it must be an integer that is not negative")
    return moment("logvarexp", a, axis, keepdims, ddof)


def softmax_entropy(a, axis=None, keepdims=False):
    """−Σ p log p with p = softmax(a) over axes, in nats."""
    return moment("softmax_entropy", a, axis, keepdims, 0)


def logcumsumexp(a, axis=-1, reverse=False, exclusive=False):
    """log of the cumulative sums of e^a along an axis.

    Parameters
    ----------
    a : array_like
        Real numbers.
    axis : int
        Which way to add up.
    reverse : bool
        Whether to add up from the end.
    exclusive : bool
        Whether each sum leaves out its own number; the first is then −∞.

    Returns
    -------
    array
        Of a's shape, correctly rounded.
    """
    library, dtype, (a,) = brought(a)
    a = np.atleast_1d(a)
    return finished(library, dtype, _core.cumulative(a, axis, bool(reverse), bool(exclusive)))


def segment_logsumexp(a, segment_ids, num_segments=None, *, axis=0):
    """log-sum-exps of the segments of an array along an axis.

    Parameters
    ----------
    a : array_like
        Real numbers.
    segment_ids : array_like of int
        For each place along the axis, the segment it is in, in any order; 0 to num_segments − 1.
    num_segments : int, optional
        One more than the greatest id, if it is not given.
    axis : int
        The axis, which then numbers the segments.

    Returns
    -------
    array
        −∞ for an empty segment.
    """
    library, dtype, (a,) = brought(a)
    ids, count = segments_of(library.array(segment_ids), num_segments)
    return finished(library, dtype, _core.segments(np.atleast_1d(a), ids, count, axis))


def segments_of(ids, count):
    ids = np.asarray(ids)
    if ids.dtype.kind not in "iu" and ids.size:
        raise TypeError(f"segment_ids must be integers, not {ids.dtype}")
    if ids.size and ids.min() < 0:
        raise ValueError(f"segment_ids has {ids.min()}, they start from 0")
    if count is None:
        count = int(ids.max()) + 1 if ids.size else 0
    return np.ascontiguousarray(ids, dtype=np.uintp), count


def log_matmul(a, b):
    """The matrix product in log space: C_ij = log Σ_k e^{a_ik + b_kj}, correctly rounded; batches broadcast as in `numpy.matmul`."""
    library, dtype, (a, b) = brought(a, b)
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError("log_matmul needs vectors, matrices or batches of them, not a scalar")
    left, right = (a[None, :] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
    product = _core.log_matmul(left, right)
    if a.ndim == 1:
        product = product[..., 0, :]
    if b.ndim == 1:
        product = product[..., 0]
    return finished(library, dtype, product)


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
    """The loss of classification, −Σ q log softmax(logits), as PyTorch defines its options.

    Parameters
    ----------
    logits : array_like
        Scores, with the classes along `axis`.
    target : array_like
        A class for each row of scores, as integers; or probabilities of the shape of `logits`.
    weight : array_like, optional
        A weight for each class.
    axis : int
        Which axis has the classes.
    ignore_index : int
        Rows of this target do not count.
    reduction : {"mean", "sum", "none"}
        What to give: by "mean", divided by the weights of the targets.
    label_smoothing : float
        How much of each target is spread over all classes, between 0 and 1.
    z_loss : float
        How much of the squared log-sum-exp is added.
    temperature : float
        What logits are divided by.

    Returns
    -------
    array or scalar
        Correctly rounded; within 2 ulp with a z-loss or a temperature. NaN for the mean over nothing.
    """
    options = dict(
        ignore_index=ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
        z_loss=z_loss,
        temperature=temperature,
    )
    return losses(logits, target, weight, axis, options, False)[0]


def token_log_probs(logits, tokens, *, axis=-1, dtype=None, entropy=False):
    """The log-probability of one token a row: log softmax(logits) at an index, without the rest of the row.

    Parameters
    ----------
    logits : array_like
        Scores, with those of a row along `axis`.
    tokens : array_like of int
        An index into each row, of the shape of `logits` without `axis`.
    axis : int
        Which axis has the scores of a row.
    dtype : dtype, optional
        What to compute in and to give: by default that of the logits. float32 for float16 logits is the nearest float32.
    entropy : bool
        Whether to give the entropy −Σ p log p of each row's softmax, too.

    Returns
    -------
    array or scalar, or a pair of them
        Log-probabilities, correctly rounded: the same for every batch, padding, order and number of threads. Then
        entropies, within 1 ulp.

    Examples
    --------
    >>> import logsum
    >>> logsum.token_log_probs([[40.0, 0.0], [2.0, 2.0]], [0, 1])
    array([-4.24835426e-18, -6.93147181e-01])
    """
    library = library_of(logits, tokens)
    z, tokens = library.array(logits), library.array(tokens)
    if tokens.dtype.kind not in "iu":
        raise TypeError(f"tokens are {tokens.dtype}, they must be integers")
    if z.ndim == 0:
        raise ValueError("logits must have an axis of scores")
    dtype = library.dtype(z) if dtype is None else np.dtype(dtype)
    if not np.can_cast(z.dtype, dtype):
        raise TypeError(f"logits are {z.dtype}, which {dtype} would round")
    z = native(z, dtype)
    shape = np.moveaxis(z, axis, -1).shape[:-1]
    if tokens.shape != shape:
        raise ValueError(f"tokens has the shape {tokens.shape}, it must be {shape}, that of logits without axis {axis}")
    ids = np.ascontiguousarray(tokens.reshape(-1), dtype=np.intp)
    log_p = finished(library, dtype, _core.token_log_probs(z, ids, axis))
    if not entropy:
        return log_p
    return log_p, finished(library, dtype, _core.moment_value("softmax_entropy", z, axis, False, 0.0))


def losses(logits, target, weight, axis, options, gradient):
    if options["reduction"] not in ("mean", "sum", "none"):
        raise ValueError(f"reduction is {options['reduction']!r}, it must be 'mean', 'sum' or 'none'")
    library = library_of(logits, target)
    z, target = library.array(logits), library.array(target)
    are_classes = target.dtype.kind in "iu"
    others = [] if are_classes else [target]
    dtype = library.dtype(z, *others)
    if z.ndim == 0:
        raise ValueError("logits must have an axis of classes")
    rows = np.ascontiguousarray(np.moveaxis(native(z, dtype), axis, -1))
    if are_classes:
        if target.shape != rows.shape[:-1]:
            raise ValueError(f"target has the shape {target.shape}, it must be {rows.shape[:-1]}, that of the rows of logits")
        classes, probabilities = np.ascontiguousarray(target.reshape(-1), dtype=np.intp), None
    else:
        if target.shape != z.shape:
            raise ValueError(f"target has the shape {target.shape}, that of probabilities must be {z.shape}")
        classes, probabilities = None, np.ascontiguousarray(np.moveaxis(native(target, dtype), axis, -1))
    if weight is not None:
        weight = np.ascontiguousarray(native(library.array(weight), dtype))
    value, slope = _core.cross_entropy(rows, classes, probabilities, weight, options, gradient)
    if options["reduction"] == "none":
        value = np.reshape(value, rows.shape[:-1])[()]
    if slope is not None:
        slope = finished(library, dtype, np.moveaxis(slope, -1, axis))
    return finished(library, dtype, value), slope
