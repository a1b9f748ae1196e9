"""Log-sum-exps and softmaxes of segments along the last axis; ids are below `count`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from .. import _core
from ._callbacks import called, dispatched, like


def by_rows(function):
    """Of NumPy arrays, whose leading axes, of the ids, too, may be those of a vmap."""

    def values(a, ids):
        if ids.size == ids.shape[-1]:
            shape = np.broadcast_shapes(a.shape[:-1], ids.shape[:-1])
            values = function(a, ids.reshape(-1).astype(np.uintp))
            return np.broadcast_to(values, (*shape, values.shape[-1]))
        shape = np.broadcast_shapes(a.shape, ids.shape)
        a, ids = (np.broadcast_to(x, shape).reshape(-1, shape[-1]) for x in (a, ids))
        rows = [function(row, of_row.astype(np.uintp)) for row, of_row in zip(a, ids)]
        return np.reshape(rows, (*shape[:-1], -1))

    return values


def sums(a, ids, count):
    return jnp.moveaxis(jax.ops.segment_sum(jnp.moveaxis(a, -1, 0), ids, count), 0, -1)


def maxima(a, ids, count):
    return jnp.moveaxis(jax.ops.segment_max(jnp.moveaxis(a, -1, 0), ids, count), 0, -1)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def logsumexp(a, ids, count):
    shape = jax.ShapeDtypeStruct((*a.shape[:-1], count), a.dtype)
    on_cpu = lambda a, ids: called(by_rows(lambda a, ids: _core.segments(a, ids, count, -1)), shape, a, ids)

    def elsewhere(a, ids):
        maximum = maxima(a, ids, count)
        shift = jnp.where(jnp.isfinite(maximum), maximum, 0)
        return shift + jnp.log(sums(jnp.exp(a - shift[..., ids]), ids, count))

    return dispatched(on_cpu, elsewhere, a, ids)


@logsumexp.defjvp
def _(count, primals, tangents):
    a, ids = primals
    return logsumexp(a, ids, count), sums(softmax(a, ids, count) * tangents[0], ids, count)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def softmax(a, ids, count):
    on_cpu = lambda a, ids: called(by_rows(lambda a, ids: _core.segment_shares(a, ids, count, -1)), like(a), a, ids)

    def elsewhere(a, ids):
        maximum = maxima(a, ids, count)[..., ids]
        at_infinity = jnp.where(a == jnp.inf, 0.0, -jnp.inf)
        power = jnp.exp(jnp.where(maximum == jnp.inf, at_infinity, a - jnp.where(jnp.isfinite(maximum), maximum, 0)))
        total = sums(power, ids, count)[..., ids]
        return jnp.where(total == 0, 0, power / jnp.where(total == 0, 1, total))

    return dispatched(on_cpu, elsewhere, a, ids)


@softmax.defjvp
def _(count, primals, tangents):
    (a, ids), (t, _) = primals, tangents
    p = softmax(a, ids, count)
    return p, p * (t - sums(p * t, ids, count)[..., ids])
