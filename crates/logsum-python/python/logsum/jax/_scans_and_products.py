"""Cumulative sums and matrix products in log space. All their derivatives are composed of the operators `scan` and
`product`: sums of products of factors e^x, given by x, and other factors, given as they are. The sums are linear in the
latter, and the transposes of these linear maps are again sums of the same kind. Axes are counted from the end."""

import jax
import jax.numpy as jnp

from .. import _core, _log_space
from ._callbacks import Linear, called, dispatched, like, operator
from ._reductions import finite_or_0, logsumexp, times, wide


def negated(y):
    """−y, but −∞ where y is infinite: such sums contribute nothing to derivatives."""
    return jnp.where(jnp.isinf(y), -jnp.inf, -y)


def scaled(sums, z):
    return jnp.where(jnp.isneginf(sums) | jnp.isneginf(z), 0, jnp.exp(sums + z))


def logarithms(x, t):
    """The logarithms of t e^x where that is positive, and those of −t e^x where it is negative; −∞ elsewhere."""
    logs = jnp.where(jnp.isneginf(x) | (t == 0), -jnp.inf, jnp.log(jnp.abs(t)) + x)
    return jnp.where(t < 0, -jnp.inf, logs), jnp.where(t < 0, logs, -jnp.inf)


@operator(1, 2)
def logcumsumexp(a, axis, reverse):
    on_cpu = lambda a: called(lambda a: _core.cumulative(a, axis, reverse, False), like(a), a)
    return dispatched(on_cpu, lambda a: jax.lax.cumlogsumexp(a, axis + a.ndim, reverse), a)


def unrounded(whole):
    """The divisor Σ e^{x − y}, which would be 1 if y were not rounded: with it, derivatives do not depend on the
    rounding of y."""
    return jnp.where(whole == 0, 1, whole)


@logcumsumexp.defjvp
def _(axis, reverse, primals, tangents):
    (a,), (t,), way = primals, tangents, dict(axis=axis, reverse=reverse)
    value = logcumsumexp(a, axis, reverse)
    # In a narrow format the sum divided by e^y, with its rounded logarithm y, may overflow.
    wide_a, z = wide(a), negated(wide(value))
    factor = 1 / unrounded(scan(wide_a, jnp.ones_like(wide_a), z, **way))
    return value, times(factor, scan(wide_a, wide(t), z, **way)).astype(a.dtype)


def scaled_cumulative(x, t, z, axis, reverse):
    """e^{z_i} Σ_{k ≤ i} t_k e^{x_k}, or with `reverse` the sum over k ≥ i."""
    on_cpu = lambda *arrays: called(lambda x, t, z: _log_space.scan(x, t, z, axis, reverse), like(x), *arrays)

    def elsewhere(x, t, z):
        positive, negative = (scaled(logcumsumexp(part, axis, reverse), z) for part in logarithms(x, t))
        return positive - negative

    return dispatched(on_cpu, elsewhere, x, t, z)


def scan_slope(arrays, tangents, way):
    (x, t, z), (dx, dt, dz) = arrays, tangents
    return scan(x, dt + t * dx, z, **way) + dz * scan(x, t, z, **way)


def scan_transpose(h, arrays, way):
    x, _, z = arrays
    return scan(z, h, x, axis=way["axis"], reverse=not way["reverse"])


scan = Linear("scan", scaled_cumulative, scan_slope, {1: scan_transpose})


@operator()
def log_matmul(a, b):
    shape = jax.ShapeDtypeStruct((*a.shape[:-1], b.shape[-1]), a.dtype)
    elsewhere = lambda a, b: logsumexp(a[..., :, :, None] + b[..., None, :, :], (-2,))[..., 0, :]
    return dispatched(lambda a, b: called(_core.log_matmul, shape, a, b), elsewhere, a, b)


@log_matmul.defjvp
def _(primals, tangents):
    # Relative to the greatest of their rows or columns, so that derivatives do not depend on the size of the
    # logarithms.
    a, b = (wide(x) - shift_of(wide(x), axis) for x, axis in zip(primals, (-1, -2)))
    t, u = map(wide, tangents)
    z, ones = negated(log_matmul(a, b)), (jnp.ones_like(a), jnp.ones_like(b))
    # A factor +∞ occurs only in infinite elements, which contribute nothing to derivatives.
    a, b = (jnp.where(x == jnp.inf, -jnp.inf, x) for x in (a, b))
    change = product(a, t, b, ones[1], z) + product(a, ones[0], b, u, z)
    c = log_matmul(*primals)
    return c, (change / unrounded(product(a, ones[0], b, ones[1], z))).astype(c.dtype)


def shift_of(x, axis):
    return finite_or_0(jax.lax.stop_gradient(jnp.max(x, axis, keepdims=True, initial=-jnp.inf)))


def scaled_product(x, s, y, t, z):
    """e^{z_ij} Σ_k s_ik e^{x_ik} t_kj e^{y_kj}."""
    on_cpu = lambda *arrays: called(_log_space.product, like(z), *arrays)

    def elsewhere(x, s, y, t, z):
        left, right = logarithms(x, s), logarithms(y, t)
        parts = [[scaled(log_matmul(a, b), z) for b in right] for a in left]
        return parts[0][0] + parts[1][1] - parts[0][1] - parts[1][0]

    return dispatched(on_cpu, elsewhere, x, s, y, t, z)


def product_slope(arrays, tangents, _):
    (x, s, y, t, z), (dx, ds, dy, dt, dz) = arrays, tangents
    of_left, of_right = product(x, ds + s * dx, y, t, z), product(x, s, y, dt + t * dy, z)
    return of_left + of_right + dz * product(x, s, y, t, z)


def transpose_left(h, arrays, _):
    x, _, y, t, z = arrays
    return product(z, h, y.mT, t.mT, x)


def transpose_right(h, arrays, _):
    x, s, y, _, z = arrays
    return product(x.mT, s.mT, z, h, y)


product = Linear("product", scaled_product, product_slope, {1: transpose_left, 3: transpose_right})
