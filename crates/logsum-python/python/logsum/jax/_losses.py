"""The losses of classification of rows of scores: a loss for each row, and the gradient of each."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from .. import _general
from ._callbacks import called, dispatched, like
from ._reductions import log_softmax, softmax, softmax_slope


def by_core(logits, target, weight, ignored, smoothing, gradient):
    target = np.broadcast_to(target, logits.shape if target.dtype.kind == "f" else logits.shape[:-1])
    if weight is not None:
        # With the leading axes of a vmap.
        if weight.size != logits.shape[-1]:
            raise NotImplementedError("vmap over the weights of classes")
        weight = weight.reshape(-1)
    options = dict(ignore_index=ignored, reduction="none", label_smoothing=smoothing, z_loss=0.0, temperature=1.0)
    return _general.losses(logits, target, weight, -1, options, gradient)[int(gradient)]


def weights_of(logits, target, weight, ignored, smoothing):
    """q: what each class weighs in each row."""
    classes = logits.shape[-1]
    if jnp.issubdtype(target.dtype, jnp.floating):
        q = target * (1 - smoothing) + smoothing / classes
        return q if weight is None else q * weight
    own = jax.nn.one_hot(target, classes, dtype=logits.dtype)
    if weight is None:
        q = own * (1 - smoothing) + smoothing / classes
    else:
        q = own * weight * (1 - smoothing) + weight * (smoothing / classes)
    return jnp.where((target != ignored)[..., None], q, 0)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def losses(logits, target, weight, ignored, smoothing):
    shape = jax.ShapeDtypeStruct(logits.shape[:-1], logits.dtype)
    on_cpu = lambda *arrays: called(lambda *arrays: by_core(*given(arrays), ignored, smoothing, False), shape, *arrays)

    def elsewhere(*arrays):
        q = weights_of(*given(arrays), ignored, smoothing)
        return jnp.sum(jnp.where(q == 0, 0, -q * log_softmax(arrays[0], (-1,))), -1)

    return dispatched(on_cpu, elsewhere, *present(logits, target, weight))


def present(logits, target, weight):
    return (logits, target) if weight is None else (logits, target, weight)


def given(arrays):
    return (*arrays, None)[:3]


@losses.defjvp
def _(ignored, smoothing, primals, tangents):
    gradient = losses_gradient(*primals, ignored, smoothing)
    return losses(*primals, ignored, smoothing), jnp.sum(gradient * tangents[0], -1)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def losses_gradient(logits, target, weight, ignored, smoothing):
    on_cpu = lambda *arrays: called(
        lambda *arrays: by_core(*given(arrays), ignored, smoothing, True), like(logits), *arrays
    )

    def elsewhere(*arrays):
        q = weights_of(*given(arrays), ignored, smoothing)
        return jnp.sum(q, -1, keepdims=True) * softmax(arrays[0], (-1,)) - q

    return dispatched(on_cpu, elsewhere, *present(logits, target, weight))


@losses_gradient.defjvp
def _(ignored, smoothing, primals, tangents):
    whole = jnp.sum(weights_of(*primals, ignored, smoothing), -1, keepdims=True)
    slope = whole * softmax_slope(softmax(primals[0], (-1,)), tangents[0], (-1,))
    return losses_gradient(*primals, ignored, smoothing), slope
