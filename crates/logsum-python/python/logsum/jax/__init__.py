"""logsum's functions for JAX, with JAX's argument names and defaults, and derivatives of any order.

They run under `jit`, `vmap`, `grad`, `jvp`, `hessian` and `shard_map`, in any composition, with one exception: where a
`lax.scan` is differentiated backward and then again, as in `jax.hessian`, JAX loses the derivative rule of compiled
functions, and raises an error. Use `jax.jacrev(jax.jacfwd(f))` there, which differentiates forward first.

Arguments
---------
Numbers are arrays of JAX or NumPy, lists or Python's numbers, in float16, bfloat16, float32 or float64; integers and
booleans are converted to JAX's default format, and formats are promoted as JAX promotes them. `logsumexp` also takes
complex numbers. `axis` is an axis, a tuple or list of axes, or None for all; with `keepdims` they stay, with length 1.

On the CPU traced labels, tokens, probabilities and class weights are checked when the loss or its gradient is computed;
JAX reports the ValueError as its own `JaxRuntimeError`. Under `jit` JAX drops computations whose results are not
needed, and their checks with them. So nothing is checked where only a second derivative is computed. On other devices
traced arguments are not checked: a label or token out of range makes the loss of its row, and the gradient, NaN. Traced
segment ids are never checked: those that are out of range are dropped.

Accuracy
--------
On the CPU values are as accurate as those of the same functions of `logsum`: mostly correctly rounded. The derivatives
that `logsumexp_jvp` and `logsumexp_hvp` return are less accurate, as the other derivatives below. On NVIDIA's GPUs
(Ampere and later) kernels of this package compute log-sum-exp, softmax and log-softmax without weights with the same
bits as on the CPU, and so token log-probabilities and losses of rows whose targets are classes, without class weights,
label smoothing, z-loss and temperature, with their gradients except for the sign of zeros. (Of rows that were
constructed so that the exact result is extremely close to the middle between two numbers, it may be the number next to
the nearest one.) These have not been run on a GPU yet. All other functions on GPUs, and all functions on other devices,
are computed by JAX's own operations, by the same formulas and conventions, with errors of some ulps.

Arrays on several devices
-------------------------
Where log-sum-exp, softmax, log-softmax, and losses and token log-probabilities of classes without class weights are of
rows along the last axes, an array that is sharded along other axes stays so. Other functions on the CPU gather sharded
arrays, unless they are called in `jax.shard_map`. `jax.export` asks for
`DisabledSafetyCheck.custom_call("logsum_…")` for a function that calls this package's compiled part.

First derivatives of log-sum-exps and losses are correctly rounded before they are multiplied by the cotangent. All
other derivatives have an error of some ulps of their largest terms; these terms cancel where a row is nearly certain
(one probability is close to 1) or nearly constant. For cumulative sums that error is multiplied by the size of the
logarithms, for matrix products by the distances between the logarithms in a row or a column.

Where all numbers are −∞, the gradient of a log-sum-exp is 0; with c numbers +∞ it is 1/c at each of these. Cumulative
sums and products that are ±∞ have the gradient 0.

Errors
------
TypeError for an argument of the wrong type or dtype; ValueError for an axis out of range or given twice, shapes that do
not fit, and options, classes, tokens or ids out of range.
"""

import jax
import jax.numpy as jnp
import numpy as np

from .._arguments import either, loss_options, one_of, whole
from . import _elementwise, _losses, _reductions, _scans_and_products, _segments
from ._arguments import (
    as_array,
    converted,
    ids_of,
    indices_of,
    inexact,
    integers_of,
    mask_of,
    normalized,
    offsets_of,
    one_axis,
    real,
    summed_to,
    together,
    within,
)

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


def logsumexp(a, axis=None, b=None, keepdims=False, return_sign=False, where=None):
    """log Σ b e^a over axes: the arguments of `jax.nn.logsumexp`.

    The weights `b`, of any sign, and the boolean mask `where` broadcast against `a`; terms that are masked out or have
    the weight 0 are absent, even if they are NaN. Without `return_sign` a negative sum gives NaN; with it the result is
    the pair of log |Σ b e^a| and the sign of the sum: 1, −1, or 0 where the terms cancel exactly or there are none; a
    phase for complex numbers. Special cases are those of `logsum.logsumexp`.

    The gradient with respect to `a` is b e^a / Σ b e^a, without weights the softmax; that with respect to `b` is e^a /
    Σ b e^a.
    """
    terms = dict(zip("a" if b is None else "ab", inexact(a=a) if b is None else inexact(a=a, b=b)))
    terms = terms if where is None else terms | {"where": mask_of(where)}
    is_number = all(x.ndim == 0 for x in terms.values())
    terms = dict(zip(terms, together(**terms)))
    a, b, where = (terms.get(name) for name in ("a", "b", "where"))
    axes = normalized(axis, a.ndim)
    is_complex = jnp.issubdtype(a.dtype, jnp.complexfloating)
    if b is None and where is not None and not is_complex:
        a, where = jnp.where(where, a, -jnp.inf), None
    if b is None and (return_sign or is_complex):
        b = jnp.ones_like(a)
    if where is not None:
        b, a = jnp.where(where, b, 0), jnp.where(where, a, -jnp.inf)
    sign = None
    if b is None:
        value = _reductions.logsumexp(a, axes)
    elif is_complex:
        value = _reductions.of_complex(a, b, axes)
        if return_sign:
            sign = jnp.where(jnp.isneginf(value.real), 0, jnp.exp(1j * value.imag)).astype(a.dtype)
            value = value.real
    else:
        value, sign = _reductions.weighted(a, b, axes)
        if not return_sign:
            # The value is NaN, but the derivative is that of the logarithm of the magnitude, as in the other libraries.
            value = value + jnp.where(sign < 0, jnp.nan, 0)
    if not keepdims or is_number:
        value = jnp.squeeze(value, axes)
        sign = None if sign is None else jnp.squeeze(sign, axes)
    return (value, sign) if return_sign else value


def logsumexp_value_and_grad(a, axis=None, b=None, where=None, keepdims=False, no_mass="zero"):
    """log Σ b e^a over axes, and its gradient; with weights `b` the pair of the gradients with respect to `a` and to
    `b`. See also `logsum.logsumexp_value_and_grad`, which documents `no_mass`."""
    one_of(("zero", "uniform", "nan"), no_mass, "no_mass")
    value = logsumexp(a, axis, b, keepdims, where=where)
    shapes = [jnp.shape(a), () if b is None else jnp.shape(b)]
    terms = dict(zip("a" if b is None else "ab", real(a=a) if b is None else real(a=a, b=b)))
    a, *weights, counted = together(**terms, where=True if where is None else mask_of(where))
    axes = normalized(axis, a.ndim)
    a = jnp.where(counted, a, -jnp.inf)
    if b is None:
        gradients = [_reductions.softmax(a, axes)]
    else:
        (weights,) = weights
        gradients = _reductions.weighted_gradients(a, jnp.where(counted, weights, 0), axes)
        counted = counted & (weights != 0)
    if no_mass != "zero":
        nothing = jnp.logical_not(jnp.any(counted & (a != -jnp.inf), axes, keepdims=True))
        stand_in = jnp.nan if no_mass == "nan" else (1 / jnp.sum(counted, axes, keepdims=True)).astype(a.dtype)
        gradients = [jnp.where(nothing & counted, stand_in, gradient) for gradient in gradients]
    gradients = tuple(summed_to(gradient, shape) for gradient, shape in zip(gradients, shapes))
    return value, gradients[0] if b is None else gradients


def logsumexp_jvp(a, tangent, axis=None, keepdims=False):
    """The values of `logsumexp`, and their derivatives in the direction `tangent`: Σ p t with p = softmax(a).

    `a` and `tangent` broadcast against each other. Tangents where p is 0 do not count. See also `logsum.logsumexp_jvp`.
    """
    x, t = together(**dict(zip(("a", "tangent"), real(a=a, tangent=tangent))))
    axes = normalized(axis, x.ndim)
    p = _reductions.softmax(x, axes)
    values = _reductions.logsumexp(x, axes), _reductions.mean(p, jnp.where(p == 0, 0, t), axes)
    is_number = jnp.ndim(a) == jnp.ndim(tangent) == 0
    return values if keepdims and not is_number else tuple(jnp.squeeze(value, axes) for value in values)


def logsumexp_hvp(a, vector, axis=None):
    """The Hessian of `logsumexp` times a vector v: p (v − Σ p v) with p = softmax(a), of the shape of `a`.

    `a` and `vector` broadcast against each other. Numbers of `vector` where p is 0 do not count. See also
    `logsum.logsumexp_hvp`.
    """
    x, v = together(**dict(zip(("a", "vector"), real(a=a, vector=vector))))
    axes = normalized(axis, x.ndim)
    p = _reductions.softmax(x, axes)
    return summed_to(_reductions.softmax_slope(p, jnp.where(p == 0, 0, v), axes), jnp.shape(a))


def by_shares(function, x, axis, dtype, where):
    x = converted(x, dtype, "x")
    x = x if where is None else jnp.where(mask_of(where), x, -jnp.inf)
    shape, x = x.shape, jnp.atleast_1d(x)
    return function(x, normalized(axis, x.ndim)).reshape(shape)


def softmax(x, axis=-1, where=None, dtype=None):
    """e^x / Σ e^x over axes: the arguments of `jax.nn.softmax`. 0 where all numbers are −∞, and where `where` is False;
    with c numbers +∞, 1/c at each of these.

    With `dtype`, numbers are first converted to that format. It must represent them exactly: numbers of a wider format,
    or an integer that it would round, are an error. Traced integers are rounded.
    """
    return by_shares(_reductions.softmax, x, axis, dtype, where)


def log_softmax(x, axis=-1, where=None, dtype=None):
    """x − log Σ e^x over axes: the arguments of `jax.nn.log_softmax`. −∞ where all numbers are −∞, and where `where` is
    False. `dtype` is as in `softmax`."""
    return by_shares(_reductions.log_softmax, x, axis, dtype, where)


def reduced(function, a, axis, keepdims, *parameters):
    """`function` of real numbers, with at least one axis."""
    x = jnp.atleast_1d(*real(a=a))
    axes = normalized(axis, x.ndim)
    value = function(x, *parameters, axes)
    return value if keepdims and jnp.ndim(a) else jnp.squeeze(value, axes)


def logmeanexp(a, axis=None, keepdims=False):
    """The logarithm of the mean of e^a over axes; NaN if there are no numbers. Its gradient is the softmax. See also
    `logsum.logmeanexp`."""
    return reduced(_reductions.logmeanexp, a, axis, keepdims)


def logvarexp(a, axis=None, ddof=0, keepdims=False):
    """The logarithm of the variance of e^a over axes: log(Σ (e^a − mean)² / (n − ddof)) of n numbers.

    Where all numbers are equal it is −∞. Its derivative, which does not exist there, is NaN, or 0 where all numbers
    are −∞. See also `logsum.logvarexp`.
    """
    return reduced(_reductions.logvarexp, a, axis, keepdims, whole(ddof, "ddof", 0))


def softmax_entropy(a, axis=None, keepdims=False):
    """The entropy −Σ p log p of p = softmax(a) over axes, in nats. See also `logsum.softmax_entropy`."""
    return reduced(_reductions.softmax_entropy, a, axis, keepdims)


def logcumsumexp(a, axis=0, reverse=False, exclusive=False):
    """The logarithms of the cumulative sums of e^a along an axis: the arguments of `jax.lax.cumlogsumexp`.

    With `reverse` the sums start from the end. With `exclusive` each sum leaves out the number at its own place, so
    that the first one (with `reverse` the last) is −∞.
    """
    (a,) = real(a=a)
    if a.ndim == 0:
        return logcumsumexp(a[None], axis, reverse, exclusive)[0]
    axis = one_axis(axis, a.ndim)
    if not exclusive or a.shape[axis] == 0:
        return _scans_and_products.logcumsumexp(a, axis, bool(reverse))
    length, place = a.shape[axis], axis + a.ndim
    nothing = jnp.full_like(jax.lax.slice_in_dim(a, 0, 1, axis=place), -jnp.inf)
    others = jax.lax.slice_in_dim(a, 1, length, axis=place) if reverse else jax.lax.slice_in_dim(a, 0, length - 1, axis=place)
    sums = _scans_and_products.logcumsumexp(others, axis, bool(reverse))
    return jnp.concatenate([sums, nothing] if reverse else [nothing, sums], place)


def log_matmul(a, b):
    """The matrix product in log space, log Σ_k e^{a_ik + b_kj}, of vectors, matrices and batches with the shapes of
    `jax.numpy.matmul`. See also `logsum.log_matmul`."""
    a, b = real(a=a, b=b)
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
    """`function` of the numbers, with the axis of the segments last; the number of segments; and the axis. One more
    segment holds what is in no segment, as −∞."""
    one_of(("raise", "drop"), mode, "mode")
    either(segment_ids, offsets, num_segments)
    a = jnp.atleast_1d(*real(a=a))
    axis = one_axis(axis, a.ndim)
    a = jnp.moveaxis(a, axis, -1)
    if offsets is None:
        ids, count = ids_of(segment_ids, num_segments, mode, a.shape[-1])
        is_right = True
    else:
        ids, count, is_right = offsets_of(offsets, a.shape[-1])
    is_inside = (ids >= 0) & (ids < count)
    a, ids = jnp.where(is_inside, a, -jnp.inf), jnp.where(is_inside, ids, count).astype(jnp.int32)
    return jnp.where(is_right, function(a, ids, count + 1), jnp.nan), count, axis


def segment_logsumexp(a, segment_ids=None, num_segments=None, axis=0, offsets=None, mode="raise"):
    """The log-sum-exp of each segment of an array along an axis, which enumerates the segments in the result.

    Segments are given by `segment_ids` or by `offsets`, as in `logsum.segment_logsumexp`. Where ids are traced,
    `num_segments` must be given, and ids out of range are dropped, as `jax.ops.segment_sum` drops them. Where offsets
    are traced, and do not start at 0, never decrease, and end at the length of the axis, the whole result is NaN.
    """
    values, count, axis = by_segments(_segments.logsumexp, a, segment_ids, num_segments, axis, offsets, mode)
    return jnp.moveaxis(values[..., :count], -1, axis)


def segment_softmax(a, segment_ids=None, num_segments=None, axis=0, offsets=None, mode="raise"):
    """The softmax within each segment of an array along an axis. Segments are given as in `segment_logsumexp`; places
    in no segment have 0."""
    shares, _, axis = by_segments(_segments.softmax, a, segment_ids, num_segments, axis, offsets, mode)
    return jnp.moveaxis(shares, -1, axis)


def of_two(function, x, y):
    x, y = real(x=x, y=y)
    value = function(*together(x=x, y=y))
    return value[0] if x.ndim == y.ndim == 0 else value


def logaddexp(x, y):
    """log(e^x + e^y), of arrays that broadcast against each other: the arguments of `jax.numpy.logaddexp`."""
    return of_two(_elementwise.logaddexp, x, y)


def logsubexp(x, y):
    """log(e^x − e^y), of arrays that broadcast against each other; NaN where x < y."""
    return of_two(_elementwise.logsubexp, x, y)


def log1pexp(x):
    """log(1 + e^x): `jax.nn.softplus`."""
    return _elementwise.log1pexp(*real(x=x))


def log1mexp(x):
    """log(1 − e^x) for x ≤ 0; NaN for x > 0."""
    return _elementwise.log1mexp(*real(x=x))


def logexpm1(x):
    """log(e^x − 1) for x ≥ 0, the inverse of `log1pexp`; NaN for x < 0."""
    return _elementwise.logexpm1(*real(x=x))


def logistic(x):
    """1/(1 + e^−x): `jax.nn.sigmoid`."""
    return _elementwise.logistic(*real(x=x))


def log_logistic(x):
    """−log(1 + e^−x): `jax.nn.log_sigmoid`."""
    return _elementwise.log_logistic(*real(x=x))


def logit(p):
    """log(p/(1 − p)) for p between 0 and 1: `jax.scipy.special.logit`; NaN outside."""
    return _elementwise.logit(*real(p=p))


def xlogx(x):
    """x log x for x ≥ 0, 0 at 0; NaN for x < 0."""
    return _elementwise.xlogx(*real(x=x))


def xlogy(x, y):
    """x log y, of arrays that broadcast against each other: `jax.scipy.special.xlogy`; 0 where x is 0, unless y is
    NaN."""
    return of_two(_elementwise.xlogy, x, y)


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
    """The cross-entropy loss of each row, −log softmax(logits) at its label:
    `optax.softmax_cross_entropy_with_integer_labels`, with further options. `logsum.cross_entropy` has the formula.

    `labels` is a class for each row, as integers of the shape of `logits` without `axis`, or probabilities of the shape
    of `logits`. A row whose label is `ignore_index`, by default −1, has the loss 0 and is not counted in the mean.
    `reduction` is "none" by default. The other options are those of `logsum.cross_entropy`; class weights and
    probabilities must not be negative. Losses and gradients keep their digits even where a loss is as small as 1e-17.

    Derivatives are with respect to the scores, the probabilities, the class weights, and a temperature that is an array
    of JAX, which must have no axes. `weight` has one number for each class. Without z-loss and temperature each loss is
    correctly rounded; sum and mean are computed by JAX from the losses. The mean of losses whose total weight is 0 is
    NaN.
    """
    for name, number in (("label_smoothing", label_smoothing), ("z_loss", z_loss)):
        if isinstance(number, jax.Array):
            raise TypeError(f"{name} must be a number, not an array of JAX: there is no derivative with respect to it")
    is_learned = isinstance(temperature, jax.Array)
    if is_learned and temperature.ndim:
        raise ValueError(f"temperature has the shape {temperature.shape}, it must be one number")
    number = temperature
    if is_learned:
        number = 1.0 if isinstance(temperature, jax.core.Tracer) else temperature.item()
    options = loss_options(ignore_index, reduction, label_smoothing, z_loss, number)
    ignore_index, label_smoothing, z_loss = (options[name] for name in ("ignore_index", "label_smoothing", "z_loss"))
    temperature = temperature if is_learned else options["temperature"]
    scores, (logits,) = logits, real(logits=logits)
    if logits.ndim == 0:
        raise ValueError("logits must have an axis of classes")
    axis = one_axis(axis, logits.ndim)
    labels = integers_of(labels, "labels")
    # Empty labels may have any format: JAX makes floats of an empty list.
    labels = labels if labels.size or labels.shape == logits.shape else labels.astype(np.int32)
    if labels.dtype == bool:
        if labels.shape != logits.shape:
            raise TypeError("labels are booleans: give classes as integers, or probabilities")
        labels = labels.astype(logits.dtype)
    is_soft = jnp.issubdtype(labels.dtype, jnp.floating)
    if is_soft and labels.shape != logits.shape:
        raise ValueError(f"labels has the shape {labels.shape}, that of probabilities must be {logits.shape}")
    weight = None if weight is None else as_array(weight, "weight")
    of_arrays = dict(logits=scores) | (dict(labels=labels) if is_soft else {})
    of_arrays |= dict(weight=weight) if weight is not None else {}
    logits = real(**of_arrays)[0]
    if not is_soft:
        within(labels, logits.shape[axis], ignore_index, "labels")
        labels = indices_of(labels)
    # In narrow formats intermediate results would overflow, and so would the derivatives of a mean over small weights.
    is_between = z_loss or is_learned or temperature != 1 or weight is not None and reduction == "mean"
    dtype = logits.dtype
    logits = _reductions.wide(logits) if is_between else logits
    logits = jnp.moveaxis(logits, axis, -1)
    if not logits.shape[-1]:
        raise ValueError("there are 0 classes, but there must be at least 1")
    labels = jnp.moveaxis(labels, axis, -1).astype(logits.dtype) if is_soft else labels
    if not is_soft and labels.shape != logits.shape[:-1]:
        expected = f"it must be {logits.shape[:-1]}, that of the rows of logits, or that of logits with probabilities, as floats"
        raise ValueError(f"labels has the shape {labels.shape}, {expected}")
    weight = None if weight is None else weight.astype(logits.dtype)
    if weight is not None and weight.shape != logits.shape[-1:]:
        raise ValueError(f"weight has the shape {weight.shape}, it must be {logits.shape[-1:]}: one for each class")
    if weight is not None and not isinstance(weight, jax.core.Tracer):
        is_wrong = ~((np.asarray(weight) >= 0) & np.isfinite(weight))
        if is_wrong.any():
            place = int(np.argmax(is_wrong))
            raise ValueError(f"the weight of class {place} is {weight[place]}, it must be finite and not negative")
    logits, shift = _losses.at_temperature(logits, temperature) if is_learned or temperature != 1 else (logits, 0)
    each = _losses.losses(logits, labels, weight, ignore_index, label_smoothing)
    if z_loss:
        whole = _losses.whole_of(logits, labels, weight, ignore_index, label_smoothing)
        each = each + _reductions.times(whole * z_loss, _losses.squares(logits, shift, whole))
    if reduction == "none":
        return each.astype(dtype)
    # In a narrow format the sum would overflow, or stop growing.
    total = jnp.sum(_reductions.wide(each))
    if reduction == "mean" and is_soft:
        total = total / each.size
    elif reduction == "mean":
        is_counted = labels != ignore_index
        counted = is_counted if weight is None else jnp.where(is_counted, weight[jnp.where(is_counted, labels, 0)], 0)
        number = jnp.sum(counted, dtype=total.dtype)
        # The mean of losses whose total weight is 0 is NaN, with the derivative 0.
        total = jnp.where(number == 0, jnp.nan, total / jnp.where(number == 0, 1, number))
    return total.astype(dtype)


def token_log_probs(logits, tokens, axis=-1, dtype=None, entropy=False, *, padding=-1):
    """The log-probability of one token for each row along `axis`: log softmax(logits) at one index, without the rest of
    the row.

    `tokens` has the shape of `logits` without `axis`, and so has the result. Where a token equals `padding`, by default
    −1, its log-probability is 0; with None every token must be an index. With `dtype`, scores are converted first, as
    in `softmax`: float32 for float16 and bfloat16 scores gives the nearest float32. With `entropy` the result is a
    pair, the second of which is the entropy −Σ p log p of each row's softmax.
    """
    logits = jnp.atleast_1d(converted(logits, dtype, "logits"))
    logits, tokens = jnp.moveaxis(logits, one_axis(axis, logits.ndim), -1), integers_of(tokens, "tokens")
    if not jnp.issubdtype(tokens.dtype, jnp.integer) and tokens.size:
        raise TypeError(f"tokens must be integers, not {tokens.dtype}")
    if tokens.shape != logits.shape[:-1]:
        raise ValueError(f"tokens has the shape {tokens.shape}, it must be {logits.shape[:-1]}, that of logits without axis {axis}")
    if padding is None:
        # The number that stands for no padding is not a token either.
        padding = jnp.iinfo(jnp.int32).min
        if tokens.size and jnp.iinfo(tokens.dtype).min <= padding:
            tokens = jnp.where(tokens == padding, -1, tokens)
    padding = whole(padding, "padding")
    within(tokens, logits.shape[-1], padding, "tokens")
    tokens = indices_of(tokens)
    log_p = -_losses.surprisals(logits, tokens, None, padding, 0.0)
    return (log_p, softmax_entropy(logits, -1)) if entropy else log_p
