"""logsum's functions for JAX: under jit, vmap, grad, jvp, hessian, with derivatives of any order.

On the CPU values are correctly rounded, as those of `logsum` are; on other devices they are computed by JAX's own operations, by the
same formulas and conventions, and are right to some ulps. First derivatives of log-sum-exps, softmaxes and losses are correctly
rounded up to the product with the cotangent; all other derivatives are right to some ulps.

Where all is −∞ the gradient of a log-sum-exp is 0; of c times +∞ it is 1/c at each. Cumulative sums and products that are ±∞ have
gradient 0.
"""

import jax
import jax.numpy as jnp
import numpy as np

from . import _elementwise, _losses, _reductions, _scans_and_products, _segments

__all__ = [
    "cross_entropy",
    "log1mexp",
    "log1pexp",
    "log_logistic",
    "log_matmul",
    "log_softmax",
    "logaddexp",
    "logcumsumexp",
    "logexpm1",
    "logistic",
    "logit",
    "logmeanexp",
    "logsubexp",
    "logsumexp",
    "logsumexp_hvp",
    "logsumexp_jvp",
    "logsumexp_value_and_grad",
    "logvarexp",
    "segment_logsumexp",
    "segment_softmax",
    "softmax",
    "softmax_entropy",
    "token_log_probs",
    "xlogx",
    "xlogy",
]


def normalized(axis, ndim):
    """Axes counted from the end, so that a vmap's may come first."""
    if axis is None:
        return tuple(range(-ndim, 0))
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = tuple(np.lib.array_utils.normalize_axis_index(axis, ndim) - ndim for axis in axes)
    if len(set(axes)) < len(axes):
        raise ValueError("duplicate value in 'axis'")
    return tuple(sorted(axes))


def inexact(*arrays):
    """Of one format, real or complex."""
    dtype = jnp.result_type(*arrays)
    if not jnp.issubdtype(dtype, jnp.inexact):
        dtype = jnp.zeros(()).dtype
    return tuple(jnp.asarray(x, dtype) for x in arrays)


def real(*arrays):
    arrays = inexact(*arrays)
    if jnp.issubdtype(arrays[0].dtype, jnp.complexfloating):
        raise TypeError(f"numbers are {arrays[0].dtype}: of complex ones there is logsumexp alone")
    return arrays


def reduced(function, a, axis, keepdims, *parameters):
    """Of real numbers, with an axis at least."""
    a = jnp.atleast_1d(*real(a))
    axes = normalized(axis, a.ndim)
    value = function(a, *parameters, axes)
    return value if keepdims else jnp.squeeze(value, axes)


def logsumexp(a, axis=None, b=None, keepdims=False, return_sign=False, where=None):
    """log Σ b e^a over axes: the arguments of `jax.nn.logsumexp`.

    Its gradient by `a` is the softmax: of −∞ alone 0, of c times +∞ 1/c at each; that by `b` is e^a / Σ.
    """
    if b is None:
        (a,) = inexact(a)
    else:
        a, b = jnp.broadcast_arrays(*inexact(a, b))
    if where is not None:
        where = jnp.asarray(where, bool)
        a, where = jnp.broadcast_arrays(a, where)
    a = jnp.atleast_1d(a)
    axes = normalized(axis, a.ndim)
    is_complex = jnp.issubdtype(a.dtype, jnp.complexfloating)
    if b is None and where is not None and not is_complex:
        a = jnp.where(where, a, -jnp.inf)
        where = None
    if b is None and (return_sign or is_complex):
        b = jnp.ones_like(a)
    if where is not None:
        b = jnp.where(where, jnp.broadcast_to(b, a.shape), 0)
    sign = None
    if b is None:
        value = _reductions.logsumexp(a, axes)
    elif is_complex:
        value = _reductions.of_complex(a, jnp.broadcast_to(b, a.shape), axes)
        if return_sign:
            sign = jnp.where(jnp.isneginf(value.real), 0, jnp.exp(1j * value.imag)).astype(a.dtype)
            value = value.real
    else:
        value, sign = _reductions.weighted(a, jnp.broadcast_to(b, a.shape), axes)
        if not return_sign:
            value = jnp.where(sign < 0, jnp.nan, value)
    if not keepdims:
        value = jnp.squeeze(value, axes)
        sign = None if sign is None else jnp.squeeze(sign, axes)
    return (value, sign) if return_sign else value


def logsumexp_value_and_grad(a, axis=None, b=None, where=None, keepdims=False, no_mass="zero"):
    """As `logsum.logsumexp_value_and_grad`: log Σ b e^a, and its gradient, or with weights `b` the pair of those by `a` and by `b`."""
    if no_mass not in ("zero", "uniform", "nan"):
        raise ValueError(f"no_mass is {no_mass!r}, it must be 'zero', 'uniform' or 'nan'")
    value = logsumexp(a, axis, b, keepdims, where=where)
    shapes = [jnp.shape(a), jnp.shape(b)]
    a, *weights = real(a) if b is None else real(a, b)
    a, *beside = jnp.broadcast_arrays(jnp.atleast_1d(a), *weights, *(() if where is None else [jnp.asarray(where, bool)]))
    counted = jnp.ones(a.shape, bool) if where is None else beside.pop()
    axes = normalized(axis, a.ndim)
    a = jnp.where(counted, a, -jnp.inf)
    if b is None:
        gradients = [_reductions.softmax(a, axes)]
    else:
        (weights,) = beside
        gradients = _reductions.weighted_gradients(a, jnp.where(counted, weights, 0), axes)
        counted = counted & (weights != 0)
    if no_mass != "zero":
        nothing = jnp.logical_not(jnp.any(counted & (a != -jnp.inf), axes, keepdims=True))
        stand_in = jnp.nan if no_mass == "nan" else 1 / jnp.sum(counted, axes, keepdims=True)
        gradients = [jnp.where(nothing & counted, stand_in, gradient).astype(a.dtype) for gradient in gradients]
    gradients = tuple(summed_to(gradient, shape) for gradient, shape in zip(gradients, shapes))
    return value, gradients[0] if b is None else gradients


def summed_to(x, shape):
    """What broadcasting spread out is added up again."""
    extra = x.ndim - len(shape)
    axes = (*range(extra), *(extra + i for i, n in enumerate(shape) if n == 1))
    return jnp.sum(x, axes).reshape(shape)


def logsumexp_jvp(a, tangent, axis=None, keepdims=False):
    """The values of `logsumexp`, and their derivatives in the direction `tangent`: Σ softmax(a) · tangent."""
    a, t = jnp.broadcast_arrays(*real(a, tangent))
    return logsumexp(a, axis, keepdims=keepdims), jnp.sum(softmax(a, axis) * t, axis if axis is None else normalized(axis, a.ndim), keepdims=keepdims)


def logsumexp_hvp(a, vector, axis=None):
    """The Hessian of `logsumexp` times a vector: p (v − Σ p v) with p = softmax(a)."""
    x, v = jnp.broadcast_arrays(*real(a, vector))
    x, v = jnp.atleast_1d(x, v)
    axes = normalized(axis, x.ndim)
    return summed_to(_reductions.softmax_slope(_reductions.softmax(x, axes), v, axes), jnp.shape(a))


def by_shares(function, x, axis, dtype, where):
    (x,) = real(x) if dtype is None else real(jnp.asarray(x).astype(dtype))
    x = x if where is None else jnp.where(where, x, -jnp.inf)
    shape, x = x.shape, jnp.atleast_1d(x)
    return function(x, normalized(axis, x.ndim)).reshape(shape)


def softmax(x, axis=-1, where=None, dtype=None):
    """e^x / Σ e^x over axes: the arguments of `jax.nn.softmax`; of −∞ alone 0. With `dtype` numbers are converted first."""
    return by_shares(_reductions.softmax, x, axis, dtype, where)


def log_softmax(x, axis=-1, where=None, dtype=None):
    """x − log Σ e^x over axes: the arguments of `jax.nn.log_softmax`. With `dtype` numbers are converted first."""
    return by_shares(_reductions.log_softmax, x, axis, dtype, where)


def logmeanexp(a, axis=None, keepdims=False):
    """log of the mean of e^a over axes. NaN of nothing. Its gradient is the softmax."""
    return reduced(_reductions.logmeanexp, a, axis, keepdims)


def logvarexp(a, axis=None, ddof=0, keepdims=False):
    """log of the variance of e^a over axes, Σ (e^a − mean)² / (n − ddof). Where all numbers are equal it is −∞ and has no
    derivative: NaN."""
    return reduced(_reductions.logvarexp, a, axis, keepdims, ddof)


def softmax_entropy(a, axis=None, keepdims=False):
    """−Σ p log p with p = softmax(a) over axes, in nats."""
    return reduced(_reductions.softmax_entropy, a, axis, keepdims)


def logcumsumexp(a, axis=0, reverse=False, exclusive=False):
    """log of the cumulative sums of e^a: the arguments of `jax.lax.cumlogsumexp`.

    With `reverse` they are added up from the end; `exclusive` ones leave out their own number, so that the first is −∞.
    """
    a = jnp.atleast_1d(*real(a))
    (axis,) = normalized(axis, a.ndim)
    if not exclusive or a.shape[axis] == 0:
        return _scans_and_products.logcumsumexp(a, axis, bool(reverse))
    length, place = a.shape[axis], axis + a.ndim
    nothing = jnp.full_like(jax.lax.slice_in_dim(a, 0, 1, axis=place), -jnp.inf)
    others = jax.lax.slice_in_dim(a, 1, length, axis=place) if reverse else jax.lax.slice_in_dim(a, 0, length - 1, axis=place)
    sums = _scans_and_products.logcumsumexp(others, axis, bool(reverse))
    return jnp.concatenate([sums, nothing] if reverse else [nothing, sums], place)


def log_matmul(a, b):
    """The matrix product in log space: log Σ_k e^{a_ik + b_kj}, with vectors and batches as in `jax.numpy.matmul`."""
    a, b = real(a, b)
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError("log_matmul needs vectors, matrices or batches of them, not a scalar")
    left, right = (a[None, :] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
    if left.shape[-1] != right.shape[-2]:
        raise ValueError(f"a of shape {a.shape} and b of shape {b.shape} do not fit: the length of the sums differs")
    batch = jnp.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    left, right = (jnp.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (left, right))
    product = _scans_and_products.log_matmul(left, right)
    product = product[..., 0, :] if a.ndim == 1 else product
    return product[..., 0] if b.ndim == 1 else product


def by_segments(function, a, segment_ids, num_segments, axis, offsets, mode):
    """`function` of the numbers with the segments' axis last, ids below a number of segments, and that number, which has one more for
    what is in no segment; whether each number is in one; and how to move the axis back."""
    if mode not in ("raise", "drop"):
        raise ValueError(f"mode is {mode!r}, it must be 'raise' or 'drop'")
    if (segment_ids is None) == (offsets is None):
        raise TypeError("either segment_ids or offsets must be given, and not both")
    a = jnp.moveaxis(jnp.atleast_1d(*real(a)), axis, -1)
    length = a.shape[-1]
    if offsets is not None:
        offsets = jnp.asarray(offsets)
        if not jnp.issubdtype(offsets.dtype, jnp.integer) or offsets.ndim != 1 or offsets.size == 0:
            raise TypeError(f"offsets is {offsets.dtype} of the shape {offsets.shape}, it must be integers of one dimension")
        num_segments = offsets.size - 1
        ids = jnp.searchsorted(offsets, jnp.arange(length), side="right") - 1
        lengths = jnp.diff(offsets)
        if not isinstance(offsets, jax.core.Tracer) and (offsets[0] != 0 or offsets[-1] != length or (lengths < 0).any()):
            raise ValueError(f"offsets must start at 0, never go down, and end at {length}, the length of axis {axis}")
    else:
        ids = jnp.asarray(segment_ids)
        if not jnp.issubdtype(ids.dtype, jnp.integer):
            raise TypeError(f"segment_ids must be integers, not {ids.dtype}")
        if ids.shape != (length,):
            raise ValueError(f"segment_ids has the shape {ids.shape}, it must be ({length},): one id for each place along axis {axis}")
        if num_segments is None:
            if isinstance(ids, jax.core.Tracer):
                raise ValueError("num_segments must be given under a transformation of segment_ids: shapes may not depend on them")
            num_segments = max(int(ids.max()) + 1, 0) if length else 0
        if mode == "raise" and not isinstance(ids, jax.core.Tracer) and ((ids < 0) | (ids >= num_segments)).any():
            place = int(jnp.argmax((ids < 0) | (ids >= num_segments)))
            raise ValueError(
                f"segment_ids has {ids[place]} at {place}, it must be from 0 to below {num_segments}, the number of segments"
            )
    is_inside = (ids >= 0) & (ids < num_segments)
    values = function(a, jnp.where(is_inside, ids, num_segments).astype(jnp.int32), num_segments + 1)
    return values, is_inside, num_segments


def segment_logsumexp(a, segment_ids=None, num_segments=None, axis=0, offsets=None, mode="raise"):
    """Log-sum-exps of the segments of an array along an axis, which then enumerates them: as `logsum.segment_logsumexp`.

    Where ids are traced, `num_segments` must be given, and ids out of range are dropped, as `jax.ops.segment_sum` drops them.
    """
    values, _, count = by_segments(_segments.logsumexp, a, segment_ids, num_segments, axis, offsets, mode)
    return jnp.moveaxis(values[..., :count], -1, axis)


def segment_softmax(a, segment_ids=None, num_segments=None, axis=0, offsets=None, mode="raise"):
    """The softmax within each segment of an array along an axis: as `logsum.segment_softmax`, with ids as in `segment_logsumexp`."""
    shares, is_inside, _ = by_segments(_segments.softmax, a, segment_ids, num_segments, axis, offsets, mode)
    return jnp.moveaxis(jnp.where(is_inside, shares, 0), -1, axis)


def logaddexp(x, y):
    """log(e^x + e^y): the arguments of `jax.numpy.logaddexp`."""
    return _elementwise.logaddexp(*jnp.broadcast_arrays(*real(x, y)))


def logsubexp(x, y):
    """log(e^x − e^y); NaN where x < y."""
    return _elementwise.logsubexp(*jnp.broadcast_arrays(*real(x, y)))


def log1pexp(x):
    """log(1 + e^x), softplus."""
    return _elementwise.log1pexp(*real(x))


def log1mexp(x):
    """log(1 − e^x) for x ≤ 0."""
    return _elementwise.log1mexp(*real(x))


def logexpm1(x):
    """log(e^x − 1) for x ≥ 0, the inverse of `log1pexp`."""
    return _elementwise.logexpm1(*real(x))


def logistic(x):
    """1/(1 + e^−x): `jax.nn.sigmoid`."""
    return _elementwise.logistic(*real(x))


def log_logistic(x):
    """−log(1 + e^−x): `jax.nn.log_sigmoid`."""
    return _elementwise.log_logistic(*real(x))


def logit(p):
    """log(p/(1 − p)): `jax.scipy.special.logit`."""
    return _elementwise.logit(*real(p))


def xlogx(x):
    """x log x; 0 at 0."""
    return _elementwise.xlogx(*real(x))


def xlogy(x, y):
    """x log y: `jax.scipy.special.xlogy`; 0 where x is 0, unless y is NaN."""
    return _elementwise.xlogy(*jnp.broadcast_arrays(*real(x, y)))


def cross_entropy(
    logits,
    labels,
    weight=None,
    ignore_index=-1,
    reduction="none",
    label_smoothing=0.0,
    axis=-1,
    z_loss=0.0,
    temperature=1.0,
):
    """−log softmax(logits) at each integer label, as `optax.softmax_cross_entropy_with_integer_labels` gives it; or by probabilities
    of the shape of `logits`.

    A label −1, or what `ignore_index` says, is ignored: its loss is 0. The other options are those of `logsum.cross_entropy`. Right
    where the loss is 1e-17, and so is its gradient. Derivatives are by the scores only.
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction is {reduction!r}, it must be 'mean', 'sum' or 'none'")
    (logits,) = real(logits)
    logits, labels = jnp.moveaxis(logits, axis, -1), jnp.asarray(labels)
    is_soft = jnp.issubdtype(labels.dtype, jnp.floating)
    labels = jnp.moveaxis(labels, axis, -1).astype(logits.dtype) if is_soft else labels
    expected = logits.shape if is_soft else logits.shape[:-1]
    if labels.shape != expected:
        raise ValueError(f"labels has the shape {labels.shape}, it must be {expected}, as logits has")
    weight = None if weight is None else jnp.asarray(weight, logits.dtype)
    logits = logits if temperature == 1 else logits / temperature
    each = _losses.losses(logits, labels, weight, int(ignore_index), float(label_smoothing))
    if z_loss:
        whole = jnp.sum(_losses.weights_of(logits, labels, weight, ignore_index, label_smoothing), -1)
        square = _reductions.logsumexp(logits, (-1,))[..., 0] ** 2
        each = each + jnp.where(whole == 0, 0, whole * z_loss * square)
    if reduction == "none":
        return each
    if reduction == "sum":
        return jnp.sum(each)
    if is_soft:
        return jnp.mean(each)
    is_counted = labels != ignore_index
    if weight is None:
        return jnp.sum(each) / jnp.sum(is_counted)
    return jnp.sum(each) / jnp.sum(jnp.where(is_counted, weight[jnp.where(is_counted, labels, 0)], 0))


def token_log_probs(logits, tokens, axis=-1, dtype=None, entropy=False):
    """log softmax(logits) at one token a row along `axis`, without the rest of the row.

    A token −1 is padding: its log-probability is 0. With `dtype`, scores are converted first: float32 for float16 and
    bfloat16 ones gives the nearest float32. With `entropy`, the entropy −Σ p log p of each row's softmax follows.
    """
    (logits,) = real(logits) if dtype is None else real(jnp.asarray(logits).astype(dtype))
    logits, tokens = jnp.moveaxis(logits, axis, -1), jnp.asarray(tokens)
    if not jnp.issubdtype(tokens.dtype, jnp.integer) or tokens.shape != logits.shape[:-1]:
        raise ValueError(f"tokens is {tokens.dtype} of the shape {tokens.shape}, it must be integers of {logits.shape[:-1]}")
    log_p = -_losses.losses(logits, tokens, None, -1, 0.0)
    return (log_p, softmax_entropy(logits, -1)) if entropy else log_p
