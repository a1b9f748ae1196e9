"""Elementwise functions of one array or of two of the same shape. Their derivatives are composed of these functions
again."""

import jax
import jax.numpy as jnp

from .._general import elementwise
from ._callbacks import called, dispatched, like, operator
from ._reductions import finite_or_0, softmax, times, wide


def of_one(name, elsewhere, derivative):
    @operator()
    def values(x):
        return dispatched(lambda x: called(elementwise(name), like(x), x), elsewhere, x)

    values.defjvp(lambda primals, tangents: (values(*primals), times(derivative(*primals), tangents[0])))
    return values


def of_two(name, elsewhere, derivatives):
    @operator()
    def values(x, y):
        return dispatched(lambda x, y: called(elementwise(name), like(x), x, y), elsewhere, x, y)

    @values.defjvp
    def _(primals, tangents):
        of_x, of_y = derivatives(*primals)
        return values(*primals), times(of_x, tangents[0]) + times(of_y, tangents[1])

    return values


def log1mexp_elsewhere(x):
    return jnp.where(x > -0.6931471805599453, jnp.log(-jnp.expm1(x)), jnp.log1p(-jnp.exp(x)))


def logsubexp_elsewhere(x, y):
    value = jnp.where((x == jnp.inf) & (y < x), jnp.inf, x + log1mexp_elsewhere(y - x))
    value = jnp.where(y == -jnp.inf, x, jnp.where(x < y, jnp.nan, value))
    return jnp.where((x == y) & (x < jnp.inf), -jnp.inf, jnp.where((x == y) & (x == jnp.inf), jnp.nan, value))


def logaddexp_shares(x, y):
    p = softmax(jnp.stack([x, y], -1), (-1,))
    return p[..., 0], p[..., 1]


def logsubexp_derivatives(x, y):
    dtype, x, y = x.dtype, wide(x), wide(y)
    difference = y - x
    back = difference - y
    rest = finite_or_0((y - (difference - back)) - (x + back))
    # With y = −∞ nothing is subtracted, even from x = −∞.
    ratio = odds(jnp.where(jnp.isneginf(y), -jnp.inf, difference))
    # The rounding error of the difference, `rest`, causes a relative error of its exponential, of possibly many ulps.
    # It is corrected by adding `rest` times the derivative of the ratio with respect to the difference.
    ratio = ratio * (1 + times(jax.lax.stop_gradient(rest), 1 + ratio))
    return (1 + ratio).astype(dtype), (-ratio).astype(dtype)


def by_jax(function, derivative):
    """A function of JAX, of which derivatives are composed."""
    values = operator()(function)
    values.defjvp(lambda primals, tangents: (values(*primals), times(derivative(*primals), tangents[0])))
    return values


# 1/x for x ≥ 0, +∞ at 0 and −0; NaN for x < 0, where the functions with this derivative are NaN.
reciprocal = by_jax(lambda x: jnp.where(x < 0, jnp.nan, 1 / jnp.abs(x)), lambda x: -times(reciprocal(x), reciprocal(x)))
log = by_jax(lambda x: jnp.log(x), lambda x: reciprocal(x))
logit_slope = by_jax(
    lambda p: jnp.where((p < 0) | (p > 1), jnp.nan, 1 / (jnp.abs(p) * (1 - p))),
    lambda p: times(2 * p - 1, times(logit_slope(p), logit_slope(p))),
)


# x/y, the derivative of x log y with respect to y.
@operator()
def ratio(x, y):
    return jnp.where((x == 0) & (y == 0), 0, jnp.where(y < 0, jnp.nan, x / jnp.abs(y)))


@ratio.defjvp
def _(primals, tangents):
    (x, y), (dx, dy) = primals, tangents
    return ratio(x, y), times(reciprocal(y), dx) - times(times(ratio(x, y), reciprocal(y)), dy)


def xlogy_derivatives(x, y):
    return jnp.where((x == 0) & (y == 0), 0, log(y)), ratio(x, y)


# e^x / (1 − e^x) for x ≤ 0, +∞ at 0 and −0, NaN for x > 0.
odds = of_one(
    "odds",
    lambda x: jnp.where(x > 0, jnp.nan, jnp.exp(x) / jnp.abs(jnp.expm1(x))),
    lambda x: times(odds(x), 1 + odds(x)),
)
logistic = of_one("logistic", jax.nn.sigmoid, lambda x: times(logistic(x), logistic(-x)))
log_logistic = of_one("log_logistic", jax.nn.log_sigmoid, lambda x: logistic(-x))
log1pexp = of_one("log1pexp", lambda x: jnp.logaddexp(x, 0), lambda x: logistic(x))
log1mexp = of_one("log1mexp", log1mexp_elsewhere, lambda x: -odds(x))
logexpm1 = of_one("logexpm1", lambda x: x + log1mexp_elsewhere(-x), lambda x: 1 + odds(-x))
logit = of_one("logit", lambda p: jnp.log(p) - jnp.log1p(-p), lambda p: logit_slope(p))
xlogx = of_one("xlogx", lambda x: jax.scipy.special.xlogy(x, x), lambda x: 1 + log(x))
logaddexp = of_two("logaddexp", jnp.logaddexp, logaddexp_shares)
logsubexp = of_two("logsubexp", logsubexp_elsewhere, logsubexp_derivatives)
xlogy = of_two("xlogy", jax.scipy.special.xlogy, xlogy_derivatives)
