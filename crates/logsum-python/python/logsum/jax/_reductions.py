"""Log-sum-exp, softmax, and other functions of the numbers along axes. These are counted from the end, and stay in the
result, with length 1 if they are reduced."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from .. import _core, _general
from ._callbacks import Linear, called, called_by_xla, dispatched, like, operator, registered


def over_axes(function):
    """A decorator for an operator with a rule for derivatives with respect to all arguments but the last, the axes."""
    return operator(function.__code__.co_argcount - 1)(function)


def kept(a, axes):
    shape = tuple(1 if i - a.ndim in axes else n for i, n in enumerate(a.shape))
    return jax.ShapeDtypeStruct(shape, a.dtype)


def wide(a):
    """In float32 at least: sums of narrower formats would overflow, or stop growing."""
    return a.astype(jnp.float32) if a.dtype.itemsize == 2 else a


def finite_or_0(a):
    return jnp.where(jnp.isfinite(a), a, 0)


def count(a, axes):
    return math.prod(a.shape[axis] for axis in axes)


class Powers:
    """e^{a − s} over axes, with s the greatest number, so that the greatest power is 1. If there is a +∞, each +∞
    has the power 1 and all other numbers have 0. Where neither the CPU's functions nor kernels can be used, log-sum-exp,
    softmax, log-softmax and losses are composed of these."""

    def __init__(self, a, axes):
        a = wide(a)
        total = functools.partial(jnp.sum, axis=axes, keepdims=True)
        self.greatest = jnp.max(a, axes, keepdims=True, initial=-jnp.inf)
        self.shift = finite_or_0(self.greatest)
        at_infinity = jnp.where(a == jnp.inf, 0.0, -jnp.inf)
        self.logs = jnp.where(self.greatest == jnp.inf, at_infinity, a - self.shift)
        self.powers = jnp.exp(self.logs)
        self.total = total(self.powers)
        self.log_of_total = logarithm_of_sum(self.logs, total)


def logarithm_of_sum(logs, total):
    """log Σ e^logs. The greatest terms, which are 1, are summed apart from the rest, which may be small."""
    is_one = logs == 0
    ones, rest = total(is_one.astype(logs.dtype)), total(jnp.where(is_one, 0, jnp.exp(logs)))
    return jnp.where(ones == 0, jnp.log(rest), jnp.log(ones) + jnp.log1p(rest / ones))


def mean(p, t, axes):
    return jnp.sum(p * t, axes, keepdims=True)


def by_rows(name, function, results, a, axes):
    """A function of the numbers along axes by the compiled part: without Python where these axes are the last ones."""
    first = a.ndim - len(axes)
    if not registered(name) or sorted(axes) != list(range(-len(axes), 0)):
        return called(function, results, a)
    rows = a.reshape(*a.shape[:first], count(a, axes))
    return called_by_xla(name, kinds_of(name), rows)[0].reshape(results.shape)


def kinds_of(name):
    return ("row",) if name == "logsumexp" else ("number",)


# Numbers in a row that the kernels for GPUs take at most.
LONGEST = 2**31


def by_kernels(name, results, a, axes):
    """A function of the numbers along axes by a kernel of NVIDIA's GPUs. Axes that are not the last ones are moved to
    the end."""
    others = [d for d in range(-a.ndim, 0) if d not in axes]
    order = [*others, *sorted(axes)]
    rows = a.transpose(order)
    rows = rows.reshape(*rows.shape[: len(others)], count(a, axes))
    (found,) = called_by_xla(name, kinds_of(name), rows, platform="CUDA")
    if kinds_of(name) == ("row",):
        return found.reshape(results.shape)
    return found.reshape([a.shape[d] for d in order]).transpose(np.argsort(np.mod(order, a.ndim)))


def on_cuda(name, results, a, axes):
    """The argument `on_cuda` of `dispatched`: None for rows that there are no kernels for."""
    is_possible = a.size and count(a, axes) <= LONGEST
    return functools.partial(by_kernels, name, results, axes=axes) if is_possible else None


@over_axes
def logsumexp(a, axes):
    by_numpy = lambda a: _core.logsumexp(a, axes, None, True)
    on_cpu = lambda a: by_rows("logsumexp", by_numpy, kept(a, axes), a, axes)

    def elsewhere(a):
        powers = Powers(a, axes)
        return jnp.where(powers.greatest == jnp.inf, jnp.inf, powers.shift + powers.log_of_total).astype(a.dtype)

    return dispatched(on_cpu, elsewhere, a, on_cuda=on_cuda("logsumexp", kept(a, axes), a, axes))


@logsumexp.defjvp
def _(axes, primals, tangents):
    return logsumexp(*primals, axes), mean(softmax(*primals, axes), *tangents, axes)


@over_axes
def softmax(a, axes):
    on_cpu = lambda a: by_rows("softmax", lambda a: _core.softmax(a, axes), like(a), a, axes)

    def elsewhere(a):
        powers = Powers(a, axes)
        return jnp.where(powers.total == 0, 0, powers.powers / powers.total).astype(a.dtype)

    return dispatched(on_cpu, elsewhere, a, on_cuda=on_cuda("softmax", like(a), a, axes))


def softmax_slope(p, t, axes):
    # Differences of narrow formats overflow.
    return (wide(p) * (wide(t) - mean(wide(p), wide(t), axes))).astype(p.dtype)


@softmax.defjvp
def _(axes, primals, tangents):
    p = softmax(*primals, axes)
    return p, softmax_slope(p, *tangents, axes)


@over_axes
def log_softmax(a, axes):
    on_cpu = lambda a: by_rows("log_softmax", lambda a: _core.log_softmax(a, axes), like(a), a, axes)

    def elsewhere(a):
        powers = Powers(a, axes)
        logs = jnp.where(powers.greatest == -jnp.inf, -jnp.inf, powers.logs - powers.log_of_total)
        return logs.astype(a.dtype)

    return dispatched(on_cpu, elsewhere, a, on_cuda=on_cuda("log_softmax", like(a), a, axes))


@log_softmax.defjvp
def _(axes, primals, tangents):
    p = softmax(wide(primals[0]), axes)
    return log_softmax(*primals, axes), log_softmax_slope(p, *tangents, axes=axes)


def cotangent_of_log_softmax(p, g, axes):
    """g − p Σ g, computed by parts where the sum overflows."""
    total = functools.partial(jnp.sum, axis=axes, keepdims=True)
    wide_g, part = wide(g), 0.5 ** max(count(g, axes), 1).bit_length()
    by_parts = (wide_g * part - p * total(wide_g * part)) / part
    return jnp.where(jnp.isfinite(total(wide_g)), wide_g - p * total(wide_g), by_parts).astype(g.dtype)


# The derivative of log-softmax in a direction, and the pullback of cotangents, given p = softmax(a). They are each
# other's transposes.
log_softmax_slope = Linear(
    "log_softmax_slope",
    lambda p, t, axes: (wide(t) - mean(p, wide(t), axes)).astype(t.dtype),
    lambda arrays, tangents, way: log_softmax_slope(arrays[0], tangents[1], **way)
    - mean(tangents[0], wide(arrays[1]), **way).astype(arrays[1].dtype),
    {1: lambda g, arrays, way: log_softmax_gradient(arrays[0], g, **way)},
)
log_softmax_gradient = Linear(
    "log_softmax_gradient",
    cotangent_of_log_softmax,
    lambda arrays, tangents, way: log_softmax_gradient(arrays[0], tangents[1], **way)
    - (tangents[0] * jnp.sum(wide(arrays[1]), way["axes"], keepdims=True)).astype(arrays[1].dtype),
    {1: lambda t, arrays, way: log_softmax_slope(arrays[0], t, **way)},
)


class SignedTerms:
    """b e^{a − s} over axes, with s such that the greatest magnitude is 1. If there is a +∞, each +∞ contributes its
    weight and all other numbers contribute 0."""

    def __init__(self, a, b, axes):
        a, b = wide(a), wide(b)
        total = functools.partial(jnp.sum, axis=axes, keepdims=True)
        logs = jnp.where(b == 0, -jnp.inf, a + jnp.log(jnp.abs(b)))
        self.greatest = jnp.max(logs, axes, keepdims=True, initial=-jnp.inf)
        is_infinite, is_greatest = self.greatest == jnp.inf, logs == jnp.inf
        self.shift = finite_or_0(self.greatest)
        # Infinite numbers contribute their weights; if there are infinite weights, these contribute their signs.
        is_weight = is_greatest & jnp.isinf(b)
        has_weight = jnp.any(is_weight, axes, keepdims=True)
        units = jnp.where(is_greatest & ~has_weight, 1.0, 0.0)
        terms = jnp.where(has_weight, jnp.where(is_weight, jnp.sign(b), 0), jnp.where(is_greatest, b, 0))
        self.units = jnp.where(is_infinite, units, jnp.exp(a - self.shift))
        self.terms = jnp.where(is_infinite, terms, jnp.sign(b) * jnp.exp(logs - self.shift))
        signs = jnp.where(is_greatest, jnp.sign(b), 0)
        is_mixed = total(jnp.abs(signs)) != jnp.abs(total(signs))
        self.total = jnp.where(is_mixed, jnp.nan, total(self.terms))

    def over_total(self, terms):
        """The terms divided by their sum: NaN where they cancel exactly, 0 where there are none."""
        return jnp.where(self.greatest == -jnp.inf, 0, terms / jnp.where(self.total == 0, jnp.nan, self.total))


# log |Σ b e^a| and the sign of the sum, with a weight for each number.
@over_axes
def weighted(a, b, axes):
    on_cpu = lambda a, b: called(
        lambda a, b: _core.terms(*_general.broadcast(a, b), None, axes, True, False, "zero")[:2],
        (kept(a, axes), kept(a, axes)),
        a,
        b,
    )

    def elsewhere(a, b):
        terms = SignedTerms(a, b, axes)
        value = jnp.where(terms.greatest == jnp.inf, jnp.inf, jnp.log(jnp.abs(terms.total)) + terms.shift)
        value = jnp.where(jnp.isnan(terms.total), jnp.nan, value)
        return value.astype(a.dtype), jnp.sign(terms.total).astype(a.dtype)

    return dispatched(on_cpu, elsewhere, a, b)


# a b, where 0 · ∞ is 0: a change of 0 has no effect, even where the derivative is infinite.
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
        lambda a, b: _core.terms(*_general.broadcast(a, b), None, axes, True, True, "zero")[2:],
        (like(a), like(a)),
        a,
        b,
    )

    def elsewhere(a, b):
        terms = SignedTerms(a, b, axes)
        of_a = jnp.where(b == 0, 0, terms.over_total(terms.terms))
        return of_a.astype(a.dtype), terms.over_total(terms.units).astype(a.dtype)

    return dispatched(on_cpu, elsewhere, a, b)


@weighted_gradients.defjvp
def _(axes, primals, tangents):
    (of_a, of_b), (t, u) = weighted_gradients(*primals, axes), tangents
    slope = jnp.sum(times(of_a, t) + times(of_b, u), axes, keepdims=True)
    return (of_a, of_b), (times(of_a, t - slope) + times(of_b, u), times(of_b, t - slope))


# log Σ b e^a of complex numbers: holomorphic.
@over_axes
def of_complex(a, b, axes):
    on_cpu = lambda a, b: _core.of_complex(*map(np.array, _general.broadcast(a, b)), axes, True)
    value = called(on_cpu, kept(a, axes), a, b)
    # Values that are not finite are those of JAX's own functions. A weight of 1 is not multiplied: that would turn ∞
    # into NaN.
    power = jnp.exp(a)
    terms = jnp.where(b == 1, power, jnp.where(b == 0, 0, b * power))
    return jnp.where(jnp.isfinite(value), value, jnp.log(jnp.sum(terms, axes, keepdims=True)))


@of_complex.defjvp
def _(axes, primals, tangents):
    (a, b), (t, u) = primals, tangents
    value = of_complex(a, b, axes)
    power = jnp.where(jnp.isneginf(a.real), 0, jnp.exp(a - value))
    return value, jnp.sum(power * (b * t + u), axes, keepdims=True)


# Means, variances, entropies.


def moments(name, a, axes, parameter=0):
    return called(lambda a: _core.moment_value(name, a, axes, True, float(parameter)), kept(a, axes), a)


@over_axes
def logmeanexp(a, axes):
    def elsewhere(a):
        number = count(a, axes)
        return (logsumexp(wide(a), axes) - (math.log(number) if number else jnp.nan)).astype(a.dtype)

    return dispatched(lambda a: moments("logmeanexp", a, axes), elsewhere, a)


@logmeanexp.defjvp
def _(axes, primals, tangents):
    return logmeanexp(*primals, axes), mean(softmax(*primals, axes), *tangents, axes)


@operator(1, 2)
def logvarexp(a, ddof, axes):
    def elsewhere(a):
        number = count(a, axes)
        if number <= ddof or number == 0:
            return logsumexp(a, axes) * jnp.nan
        spread = jnp.sum((softmax(wide(a), axes) - 1 / number) ** 2, axes, keepdims=True)
        return (2 * logsumexp(wide(a), axes) + jnp.log(spread / (number - ddof))).astype(a.dtype)

    return dispatched(lambda a: moments("logvarexp", a, axes, ddof), elsewhere, a)


def variance_gradient(a, axes):
    """2 p (p − 1/n) / Σ (p − 1/n)². NaN where all numbers are equal, and the logarithm of the variance is −∞."""
    p = softmax(wide(a), axes)
    spread = p - 1 / max(count(a, axes), 1)
    return (2 * p * spread / jnp.sum(spread**2, axes, keepdims=True)).astype(a.dtype)


@logvarexp.defjvp
def _(ddof, axes, primals, tangents):
    return logvarexp(*primals, ddof, axes), mean(variance_gradient(*primals, axes), *tangents, axes)


def surprisal(a, axes):
    """−log softmax, and 0 where the softmax is 0 in its format."""
    return jnp.where(softmax(a, axes) == 0, 0, -log_softmax(a, axes))


@over_axes
def softmax_entropy(a, axes):
    elsewhere = lambda a: mean(softmax(wide(a), axes), surprisal(wide(a), axes), axes).astype(a.dtype)
    return dispatched(lambda a: moments("softmax_entropy", a, axes), elsewhere, a)


@softmax_entropy.defjvp
def _(axes, primals, tangents):
    (a,), (t,) = primals, tangents
    # p (s − Σ p s) with s = −log p. s may be replaced by −a, since a number common to all elements has no influence; −a
    # is not rounded. Numbers far below the greatest contribute nothing, and their distance from it may overflow.
    p, greatest = softmax(a, axes), jax.lax.stop_gradient(jnp.max(a, axes, keepdims=True, initial=-jnp.inf))
    difference = jnp.where(p == 0, 0, finite_or_0(greatest) - a)
    surprisals = jnp.where(greatest == jnp.inf, surprisal(a, axes), difference)
    gradient = softmax_slope(p, surprisals, axes)
    return softmax_entropy(a, axes), mean(gradient, t, axes)
