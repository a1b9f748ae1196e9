"""Log-sum-exps and softmaxes of segments along the last axis; ids are below `count`."""

import jax
import jax.numpy as jnp
import numpy as np

from .. import _core, _general
from ._callbacks import called, dispatched, like, operator
from ._reductions import finite_or_0, logarithm_of_sum, wide


def by_rows(function):
    """The function for NumPy arrays whose leading axes may be those of a vmap; so may those of the ids."""

    def values(a, ids):
        # The ids may have the axes of a vmap, but not those of the rows.
        ids = ids.reshape(*ids.shape[:-1], *(1,) * (a.ndim - ids.ndim), ids.shape[-1])
        shape = _general.common_shape(a.shape, ids.shape)
        if ids.size == ids.shape[-1]:
            return function(np.broadcast_to(a, shape), ids.reshape(-1).astype(np.uintp))
        a, ids = (np.broadcast_to(x, shape).reshape(-1, shape[-1]) for x in (a, ids))
        rows = [function(row, of_row.astype(np.uintp)) for row, of_row in zip(a, ids)]
        return np.reshape(rows, (*shape[:-1], -1))

    return values


def sums(a, ids, count):
    return jnp.moveaxis(jax.ops.segment_sum(jnp.moveaxis(wide(a), -1, 0), ids, count), 0, -1).astype(a.dtype)


def logs_of(a, ids, count):
    """a − s, with s the greatest number of the segment, which is returned as well. If that is +∞, each +∞ of the
    segment has 0, and all its other numbers have −∞."""
    a = wide(a)
    greatest = jnp.moveaxis(jax.ops.segment_max(jnp.moveaxis(a, -1, 0), ids, count), 0, -1)
    shift = greatest[..., ids]
    at_infinity = jnp.where(a == jnp.inf, 0.0, -jnp.inf)
    return jnp.where(shift == jnp.inf, at_infinity, a - finite_or_0(shift)), greatest


@operator(2)
def logsumexp(a, ids, count):
    shape = jax.ShapeDtypeStruct((*a.shape[:-1], count), a.dtype)
    on_cpu = lambda a, ids: called(by_rows(lambda a, ids: _core.segments(a, ids, count, -1)), shape, a, ids)

    def elsewhere(a, ids):
        logs, greatest = logs_of(a, ids, count)
        value = logarithm_of_sum(logs, lambda terms: sums(terms, ids, count)) + finite_or_0(greatest)
        return jnp.where(greatest == jnp.inf, jnp.inf, value).astype(a.dtype)

    return dispatched(on_cpu, elsewhere, a, ids)


@logsumexp.defjvp
def _(count, primals, tangents):
    a, ids = primals
    return logsumexp(a, ids, count), sums(softmax(a, ids, count) * tangents[0], ids, count)


@operator(2)
def softmax(a, ids, count):
    on_cpu = lambda a, ids: called(by_rows(lambda a, ids: _core.segment_shares(a, ids, count, -1)), like(a), a, ids)

    def elsewhere(a, ids):
        powers = jnp.exp(logs_of(a, ids, count)[0])
        total = sums(powers, ids, count)[..., ids]
        return jnp.where(total == 0, 0, powers / total).astype(a.dtype)

    return dispatched(on_cpu, elsewhere, a, ids)


@softmax.defjvp
def _(count, primals, tangents):
    (a, ids), (t, _) = primals, tangents
    p = softmax(a, ids, count)
    return p, p * (t - sums(p * t, ids, count)[..., ids])
