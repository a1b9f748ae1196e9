"""Losses of the classification of rows of scores: the loss of each row, and its gradient."""

import jax
import jax.numpy as jnp
import numpy as np

from .. import _core, _general
from ._arguments import is_out_of_range, within
from ._callbacks import Linear, called, called_by_xla, dispatched, like, operator, registered
from ._reductions import LONGEST, Powers, finite_or_0, log_softmax, logsumexp, softmax, softmax_slope, times, wide


def by_core(logits, target, weight, ignored, smoothing, gradient):
    """The losses, and with `gradient` their gradients."""
    is_soft = target.dtype.kind not in "iu"
    rows = _general.common_shape(logits.shape[:-1], target.shape[:-1] if is_soft else target.shape)
    logits = np.broadcast_to(logits, (*rows, logits.shape[-1]))
    target = np.broadcast_to(target, logits.shape if is_soft else rows)
    if weight is not None and weight.size > logits.shape[-1]:
        # Weights that differ along the leading axes of a vmap: the samples are computed one after the other.
        batch = _general.common_shape(weight.shape[:-1], logits.shape[: weight.ndim - 1])
        parts = [np.broadcast_to(x, batch + x.shape[len(batch) :]) for x in (logits, target, weight)]
        each = [by_core(*(x[i] for x in parts), ignored, smoothing, gradient) for i in np.ndindex(batch)]
        return tuple(np.reshape(results, batch + np.shape(results[0])) for results in zip(*each))
    weight = None if weight is None else weight.reshape(-1)
    options = dict(ignore_index=ignored, reduction="none", label_smoothing=smoothing, z_loss=0.0, temperature=1.0)
    return _general.losses(logits, target, weight, -1, options, gradient)[: 1 + gradient]


# What the functions of the compiled part give.
KINDS = {"losses": ("row",), "losses_with_gradient": ("row", "number")}


def by_rows(name, function, results, arrays, ignored, smoothing, argument):
    """Losses, or losses and gradients, by the compiled part: without Python for classes without weights."""
    (logits, target), weights = arrays[:2], arrays[2:]
    is_simple = not weights and target.dtype in (jnp.int32, jnp.int64) and target.shape == logits.shape[:-1]
    if not registered(name) or not is_simple or not logits.shape[-1]:
        return called(function, results, *arrays)
    options = dict(ignored=np.int64(ignored), smoothing=np.float64(smoothing), argument=argument)
    found = called_by_xla(name, KINDS[name], *arrays, **options)
    return found if isinstance(results, tuple) else found[0]


def by_kernels(name, logits, target, ignored):
    """Losses, or losses and gradients, by kernels of NVIDIA's GPUs. A label that is out of range makes its row NaN."""
    arrays, kinds = [logits, in_words(target)], KINDS[name]
    if name == "losses_with_gradient":
        # The kernels multiply each row's gradient by a factor. Those of losses keep sums of long rows for it.
        arrays.append(jnp.ones(logits.shape[:-1], logits.dtype))
        kinds = (*kinds, 8 if logits.shape[-1] >= _core.CUDA_KEPT_FROM else 0)
    options = dict(ignored=np.int64(ignored), smoothing=np.float64(0), argument="target")
    found = called_by_xla(name, kinds, *arrays, platform="CUDA", **options)
    return found[:2] if name == "losses_with_gradient" else found[0]


def in_words(labels):
    """Each label as the two words of a 64-bit integer, the lower one first: without `jax_enable_x64` JAX has no such
    integers."""
    if labels.dtype.itemsize == 8:
        return jax.lax.bitcast_convert_type(labels, jnp.int32)
    labels = labels.astype(jnp.int32)
    return jnp.stack([labels, labels >> 31], -1)


def on_cuda(name, logits, target, weight, ignored, smoothing):
    """The argument `on_cuda` of `dispatched`: None for losses that there are no kernels for."""
    is_simple = is_constant(target, weight) and smoothing == 0 and target.shape == logits.shape[:-1]
    is_possible = is_simple and logits.size and logits.shape[-1] <= LONGEST
    return (lambda *arrays: by_kernels(name, *arrays, ignored)) if is_possible else None


def weights_of(logits, target, weight, ignored, smoothing):
    """q: the weight of each class in the loss of each row."""
    classes = logits.shape[-1]
    weight = None if weight is None else jnp.broadcast_to(weight, logits.shape)
    if jnp.issubdtype(target.dtype, jnp.floating):
        q = target * (1 - smoothing) + smoothing / classes
        return q if weight is None else q * weight
    own = jax.nn.one_hot(target, classes, dtype=logits.dtype)
    # Where nothing raises an error, a label that is out of range makes its row NaN.
    own = jnp.where(is_out_of_range(target, classes)[..., None], jnp.nan, own)
    if weight is None:
        q = own * (1 - smoothing) + smoothing / classes
    else:
        q = own * weight * (1 - smoothing) + weight * (smoothing / classes)
    return jnp.where((target != ignored)[..., None], q, 0)


def of_rows(argument):
    """The function of the losses, whose errors call the targets by the name of this argument."""

    @operator(3, 4)
    def losses(logits, target, weight, ignored, smoothing):
        shape = jax.ShapeDtypeStruct(logits.shape[:-1], logits.dtype)

        def values(*arrays):
            if arrays[1].dtype.kind in "iu":
                within(arrays[1], logits.shape[-1], ignored, argument)
            return by_core(*given(arrays), ignored, smoothing, False)[0]

        def elsewhere(*arrays):
            q, powers = wide(weights_of(*given(arrays), ignored, smoothing)), Powers(arrays[0], (-1,))
            # Halves of differences do not overflow.
            below = wide(arrays[0]) / 2 - powers.shift / 2
            logs = jnp.where(jnp.isinf(powers.greatest), powers.logs, below) - powers.log_of_total / 2
            logs = jnp.where(powers.greatest == -jnp.inf, -jnp.inf, logs)
            return (2 * jnp.sum(jnp.where(q == 0, 0, -q * logs), -1)).astype(logits.dtype)

        on_cpu = lambda *arrays: by_rows("losses", values, shape, arrays, ignored, smoothing, argument)
        kernels = on_cuda("losses", logits, target, weight, ignored, smoothing)
        return dispatched(on_cpu, elsewhere, *present(logits, target, weight), on_cuda=kernels)

    @operator(3, 4)
    def with_gradient(logits, target, weight, ignored, smoothing):
        """The losses and their gradients, which share the sum of each row."""
        shapes = jax.ShapeDtypeStruct(logits.shape[:-1], logits.dtype), like(logits)

        def values(*arrays):
            if arrays[1].dtype.kind in "iu":
                within(arrays[1], logits.shape[-1], ignored, argument)
            return by_core(*given(arrays), ignored, smoothing, True)

        def elsewhere(*arrays):
            arrays = given(arrays)
            return losses(*arrays, ignored, smoothing), gradient_by_formula(*arrays, ignored, smoothing)

        on_cpu = lambda *arrays: by_rows("losses_with_gradient", values, shapes, arrays, ignored, smoothing, argument)
        kernels = on_cuda("losses_with_gradient", logits, target, weight, ignored, smoothing)
        return dispatched(on_cpu, elsewhere, *present(logits, target, weight), on_cuda=kernels)

    @losses.defjvp
    def _(ignored, smoothing, primals, tangents):
        each, gradient = with_gradient(*primals, ignored, smoothing)
        return each, slope_of_losses(gradient, primals, tangents, ignored, smoothing)

    @with_gradient.defjvp
    def _(ignored, smoothing, primals, tangents):
        each, gradient = with_gradient(*primals, ignored, smoothing)
        slope = slope_of_losses(gradient, primals, tangents, ignored, smoothing)
        return (each, gradient), (slope, slope_of_gradient(primals, tangents, ignored, smoothing))

    return losses


def slope_of_losses(gradient, primals, tangents, ignored, smoothing):
    (logits, target, weight), (t, dt, dw) = primals, tangents
    slope = jnp.sum(times(gradient, t), -1)
    if is_constant(target, weight):
        return slope
    surprisal = -log_softmax(counted(logits, target, ignored), (-1,))
    return slope + jnp.sum(times(surprisal, change_of_q(*primals, ignored, smoothing, dt, dw)), -1)


losses, surprisals = of_rows("labels"), of_rows("tokens")


def present(logits, target, weight):
    return (logits, target) if weight is None else (logits, target, weight)


def given(arrays):
    return (*arrays, None)[:3]


def change_of_q(logits, target, weight, ignored, smoothing, dt, dw):
    """The change of q for changes of probabilities and weights: q is linear in them, by factors that may be 0 where a
    score is −∞."""
    change = jnp.zeros_like(logits)
    spread = lambda x: jnp.broadcast_to(x, logits.shape).astype(logits.dtype)
    if jnp.issubdtype(target.dtype, jnp.floating):
        change = change + times(spread((1 - smoothing) * (1 if weight is None else weight)), dt)
    if weight is not None:
        change = change + times(weights_of(logits, target, None, ignored, smoothing), spread(dw))
    return change


def counted(logits, target, ignored):
    """The scores, with 0 in rows that do not count, since these may contain any numbers."""
    if jnp.issubdtype(target.dtype, jnp.floating):
        return logits
    return jnp.where((target == ignored)[..., None], 0, logits)


def is_constant(target, weight):
    return weight is None and not jnp.issubdtype(target.dtype, jnp.floating)


def whole_of(logits, target, weight, ignored, smoothing):
    """Σ q for each row."""
    if jnp.issubdtype(target.dtype, jnp.floating):
        return jnp.sum(weights_of(logits, target, weight, ignored, smoothing), -1)
    counts = target != ignored
    # An ignored label has no NaN: backward, it would reach the weights.
    own = jnp.where(counts & is_out_of_range(target, logits.shape[-1]), jnp.nan, 1).astype(logits.dtype)
    if weight is not None:
        own = own * ((1 - smoothing) * weight[jnp.where(counts, target, 0)] + smoothing * jnp.mean(weight))
    return jnp.where(counts, own, 0)


# x/y. In its derivative with respect to y, 0 times an infinite x/y is 0: scores that mask classes out contribute
# nothing.
quotient = Linear(
    "quotient",
    lambda x, y: x / y,
    lambda arrays, tangents, _: quotient(tangents[0], arrays[1]) - times(quotient(*arrays), quotient(tangents[1], arrays[1])),
    {0: lambda g, arrays, _: quotient(g, arrays[1])},
)


def greatest_of(logits):
    return jax.lax.stop_gradient(jnp.max(logits, -1, keepdims=True, initial=-jnp.inf))


def at_temperature(logits, temperature):
    """(logits − s) / temperature, which has the same losses as logits / temperature, and s / temperature, with s the
    greatest score. Only scores that contribute nothing to a loss can then overflow."""
    temperature = jnp.asarray(temperature, logits.dtype)
    greatest = finite_or_0(greatest_of(logits))
    # Differences of halves do not overflow.
    below, half = logits / 2 - greatest / 2, jnp.broadcast_to(temperature / 2, logits.shape)
    # What is infinite does not change with the temperature.
    half = jnp.where(jnp.isinf(below / half), jax.lax.stop_gradient(half), half)
    return quotient(below, half), quotient(greatest, jnp.broadcast_to(temperature, greatest.shape))[..., 0]


def squares(logits, shift, whole):
    """The squared log-sum-exps. A row that does not count may contain any numbers: zeros take its place if its greatest
    is infinite or NaN."""
    is_void = (whole[..., None] == 0) & ~jnp.isfinite(greatest_of(logits))
    return (shift + logsumexp(jnp.where(is_void, 0, logits), (-1,))[..., 0]) ** 2


def gradient_by_formula(logits, target, weight, ignored, smoothing):
    q = weights_of(logits, target, weight, ignored, smoothing)
    whole = jnp.sum(q, -1, keepdims=True)
    # Rows that do not count may contain any numbers; where all scores are −∞, the loss is constant.
    is_constant = (whole == 0) | (jnp.max(logits, -1, keepdims=True) == -jnp.inf)
    p = softmax(logits, (-1,))
    # For a probability p > 0.5, 1 − p is the sum of the others, which may be small.
    others = jnp.sum(jnp.where(p > 0.5, 0, p), -1, keepdims=True)
    return jnp.where(is_constant, 0, jnp.where(p > 0.5, whole - q - whole * others, whole * p - q))


def slope_of_gradient(primals, tangents, ignored, smoothing):
    (logits, target, weight), (t, dt, dw) = primals, tangents
    p = softmax(counted(logits, target, ignored), (-1,))
    whole = jnp.broadcast_to(whole_of(*primals, ignored, smoothing)[..., None], logits.shape)
    slope = times(whole, softmax_slope(p, jnp.where(p == 0, 0, t), (-1,)))
    if not is_constant(target, weight):
        dq = change_of_q(*primals, ignored, smoothing, dt, dw)
        slope = slope + jnp.sum(dq, -1, keepdims=True) * p - dq
    return slope
