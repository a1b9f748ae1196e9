"""Log-sum-exp, softmax, and what else is made of the numbers along axes, which are counted from the end and stay."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from .. import _core
from ._callbacks import Linear, called, dispatched, like


def over_axes(function):
    """With a rule for derivatives by all arguments but the last, the axes."""
    count = function.__code__.co_argcount - 1
    return functools.partial(jax.custom_jvp, nondiff_argnums=(count,))(function)


def kept(a, axes):
    shape = tuple(1 if i - a.ndim in axes else n for i, n in enumerate(a.shape))
    return jax.ShapeDtypeStruct(shape, a.dtype)


def shift_of(a, axes):
    """The greatest number, 0 for what is infinite."""
    maximum = jnp.max(a, axes, keepdims=True, initial=-jnp.inf)
    return jnp.where(jnp.isfinite(maximum), maximum, 0)


def mean(p, t, axes):
    return jnp.sum(p * t, axes, keepdims=True)


@over_axes
def logsumexp(a, axes):
    on_cpu = lambda a: called(lambda a: _core.logsumexp(a, axes, None, True), kept(a, axes), a)

    def elsewhere(a):
        shift = shift_of(a, axes)
        return shift + jnp.log(jnp.sum(jnp.exp(a - shift), axes, keepdims=True))

    return dispatched(on_cpu, elsewhere, a)


@logsumexp.defjvp
def _(axes, primals, tangents):
    return logsumexp(*primals, axes), mean(softmax(*primals, axes), *tangents, axes)


@over_axes
def softmax(a, axes):
    on_cpu = lambda a: called(lambda a: _core.softmax(a, axes), like(a), a)

    def elsewhere(a):
        maximum = jnp.max(a, axes, keepdims=True, initial=-jnp.inf)
        is_infinite = maximum == jnp.inf
        at_infinity = jnp.where(a == jnp.inf, 0.0, -jnp.inf)
        power = jnp.exp(jnp.where(is_infinite, at_infinity, a - jnp.where(jnp.isfinite(maximum), maximum, 0)))
        total = jnp.sum(power, axes, keepdims=True)
        return jnp.where(total == 0, 0, power / jnp.where(total == 0, 1, total))

    return dispatched(on_cpu, elsewhere, a)


def softmax_slope(p, t, axes):
    return p * (t - mean(p, t, axes))


@softmax.defjvp
def _(axes, primals, tangents):
    p = softmax(*primals, axes)
    return p, softmax_slope(p, *tangents, axes)


@over_axes
def log_softmax(a, axes):
    on_cpu = lambda a: called(lambda a: _core.log_softmax(a, axes), like(a), a)

    def elsewhere(a):
        value = logsumexp(a, axes)
        return jnp.where(value == -jnp.inf, -jnp.inf, a - value)

    return dispatched(on_cpu, elsewhere, a)


@log_softmax.defjvp
def _(axes, primals, tangents):
    return log_softmax(*primals, axes), tangents[0] - mean(softmax(*primals, axes), *tangents, axes)


# log |Σ b e^a| and its sign, of as many weights as numbers.
@over_axes
def weighted(a, b, axes):
    on_cpu = lambda a, b: called(
        lambda a, b: _core.terms(*np.broadcast_arrays(a, b), None, axes, True, False, "zero")[:2],
        (kept(a, axes), kept(a, axes)),
        a,
        b,
    )

    def elsewhere(a, b):
        a = jnp.where(b == 0, -jnp.inf, a)
        shift = shift_of(a, axes)
        total = jnp.sum(b * jnp.exp(a - shift), axes, keepdims=True)
        return shift + jnp.log(jnp.abs(total)), jnp.sign(total)

    return dispatched(on_cpu, elsewhere, a, b)


# a b, where 0 · ∞ is 0: where nothing changes, nothing does, though its slope is infinite.
times = Linear(
    "times",
    lambda a, b: jnp.where((a == 0) | (b == 0), 0, a * b),
    lambda arrays, tangents, _: times(arrays[0], tangents[1]) + times(tangents[0], arrays[1]),
    {0: lambda g, arrays, _: times(g, arrays[1]), 1: lambda g, arrays, _: times(arrays[0], g)},
)


@weighted.defjvp
def _(axes, primals, tangents):
    (of_a, of_b), (t, u) = weighted_gradients(*primals, axes), tangents
    value, sign = weighted(*primals, axes)
    return (value, sign), (jnp.sum(times(of_a, t) + times(of_b, u), axes, keepdims=True), jnp.zeros_like(sign))


# b e^a / Σ and e^a / Σ.
@over_axes
def weighted_gradients(a, b, axes):
    on_cpu = lambda a, b: called(
        lambda a, b: _core.terms(*np.broadcast_arrays(a, b), None, axes, True, True, "zero")[2:], (like(a), like(a)), a, b
    )

    def elsewhere(a, b):
        value, sign = weighted(a, b, axes)
        of_b = sign * jnp.exp(a - jnp.where(jnp.isfinite(value), value, 0))
        return jnp.where(b == 0, 0, b * of_b), of_b

    return dispatched(on_cpu, elsewhere, a, b)


@weighted_gradients.defjvp
def _(axes, primals, tangents):
    (of_a, of_b), (t, u) = weighted_gradients(*primals, axes), tangents
    slope = jnp.sum(times(of_a, t) + times(of_b, u), axes, keepdims=True)
    return (of_a, of_b), (times(of_a, t - slope) + times(of_b, u), times(of_b, t - slope))


# log Σ b e^a of complex numbers: holomorphic.
@over_axes
def of_complex(a, b, axes):
    on_cpu = lambda a, b: _core.of_complex(*map(np.array, np.broadcast_arrays(a, b)), axes, True)
    value = called(on_cpu, kept(a, axes), a, b)
    # What is not finite is as JAX's own functions have it; a product with 1 would make NaN of ∞.
    power = jnp.exp(a)
    terms = jnp.where(b == 1, power, jnp.where(b == 0, 0, b * power))
    return jnp.where(jnp.isfinite(value), value, jnp.log(jnp.sum(terms, axes, keepdims=True)))


@of_complex.defjvp
def _(axes, primals, tangents):
    (a, b), (t, u) = primals, tangents
    value = of_complex(a, b, axes)
    return value, jnp.sum(jnp.exp(a - value) * (b * t + u), axes, keepdims=True)


# Means, variances, entropies.


def moments(name, a, axes, parameter=0):
    return called(lambda a: _core.moment_value(name, a, axes, True, float(parameter)), kept(a, axes), a)


def count(a, axes):
    return math.prod(a.shape[axis] for axis in axes)


@over_axes
def logmeanexp(a, axes):
    elsewhere = lambda a: logsumexp(a, axes) - math.log(count(a, axes)) if count(a, axes) else logsumexp(a, axes) * jnp.nan
    return dispatched(lambda a: moments("logmeanexp", a, axes), elsewhere, a)


@logmeanexp.defjvp
def _(axes, primals, tangents):
    return logmeanexp(*primals, axes), mean(softmax(*primals, axes), *tangents, axes)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def logvarexp(a, ddof, axes):
    def elsewhere(a):
        whole, n = logsumexp(a, axes), count(a, axes)
        spread = jnp.sum((jnp.exp(a - jnp.where(jnp.isfinite(whole), whole, 0)) - 1 / max(n, 1)) ** 2, axes, keepdims=True)
        return 2 * whole + jnp.log(spread / (n - ddof))

    return dispatched(lambda a: moments("logvarexp", a, axes, ddof), elsewhere, a)


def variance_gradient(a, axes):
    """2 p (p − 1/n) / Σ (p − 1/n)²: NaN where all numbers are equal, which is where the logarithm is −∞."""
    p = softmax(a.astype(jnp.promote_types(a.dtype, jnp.float32)), axes)
    spread = p - 1 / max(count(a, axes), 1)
    return (2 * p * spread / jnp.sum(spread**2, axes, keepdims=True)).astype(a.dtype)


@logvarexp.defjvp
def _(ddof, axes, primals, tangents):
    return logvarexp(*primals, ddof, axes), mean(variance_gradient(*primals, axes), *tangents, axes)


def surprisal(a, axes):
    """−log softmax, 0 where that is 0 as a number."""
    return jnp.where(softmax(a, axes) == 0, 0, -log_softmax(a, axes))


@over_axes
def softmax_entropy(a, axes):
    elsewhere = lambda a: mean(softmax(a, axes), surprisal(a, axes), axes)
    return dispatched(lambda a: moments("softmax_entropy", a, axes), elsewhere, a)


@softmax_entropy.defjvp
def _(axes, primals, tangents):
    (a,), (t,) = primals, tangents
    # p (s − Σ p s) with s = −log p, or −a, as what all numbers have in common has no part in it: so nothing is rounded before.
    greatest = jax.lax.stop_gradient(jnp.max(a, axes, keepdims=True, initial=-jnp.inf))
    difference = jnp.where(jnp.isneginf(a), 0, jnp.where(jnp.isfinite(greatest), greatest, 0) - a)
    surprisals = jnp.where(greatest == jnp.inf, surprisal(a, axes), difference)
    gradient = softmax_slope(softmax(a, axes), surprisals, axes)
    return softmax_entropy(a, axes), mean(gradient, t, axes)
