"""logsum's functions for JAX: under jit, vmap, grad, jvp, hessian, with the values and conventions of the package.

On the CPU each runs in logsum's compiled code; on other devices in JAX's own operations, by the same formulas and conventions,
where values are right to some ulps rather than correctly rounded.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from . import _core, _general

__all__ = ["cross_entropy", "log_softmax", "logaddexp", "logcumsumexp", "logsumexp", "softmax", "token_log_probs"]


def called(function, shapes, *arrays):
    """`function` of NumPy arrays, whose leading axes may be those of a vmap."""

    def of_numpy(*arrays):
        results = function(*(np.asarray(x) for x in arrays))
        return jax.tree.map(lambda value, like: np.asarray(value, like.dtype), results, shapes)

    return jax.pure_callback(of_numpy, shapes, *arrays, vmap_method="expand_dims")


def dispatched(on_cpu, elsewhere, *arrays):
    return jax.lax.platform_dependent(*arrays, cpu=on_cpu, default=elsewhere)


def normalized(axis, ndim):
    """Axes counted from the end, so that a vmap's may come first."""
    if axis is None:
        return tuple(range(-ndim, 0))
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = tuple(np.lib.array_utils.normalize_axis_index(axis, ndim) - ndim for axis in axes)
    if len(set(axes)) < len(axes):
        raise ValueError("duplicate value in 'axis'")
    return tuple(sorted(axes))


def real_or_complex(*arrays):
    dtype = jnp.result_type(*arrays)
    if not jnp.issubdtype(dtype, jnp.inexact):
        dtype = jnp.zeros(()).dtype
    return tuple(jnp.asarray(x, dtype) for x in arrays)


def kept(shape, axes):
    return tuple(1 if i - len(shape) in axes else n for i, n in enumerate(shape))


# log Σ e^a, with the axes kept: reductions of less are reshapes of it.
@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _logsumexp(a, axes):
    shape = jax.ShapeDtypeStruct(kept(a.shape, axes), a.dtype)
    on_cpu = lambda a: called(lambda a: _core.logsumexp(a, axes, None, True), shape, a)

    def elsewhere(a):
        maximum = jnp.max(a, axes, keepdims=True, initial=-jnp.inf)
        shift = jnp.where(jnp.isfinite(maximum), maximum, 0)
        return shift + jnp.log(jnp.sum(jnp.exp(a - shift), axes, keepdims=True))

    return dispatched(on_cpu, elsewhere, a)


@_logsumexp.defjvp
def _(axes, primals, tangents):
    (a,), (t,) = primals, tangents
    return _logsumexp(a, axes), jnp.sum(_softmax(a, axes) * t, axes, keepdims=True)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _softmax(a, axes):
    shape = jax.ShapeDtypeStruct(a.shape, a.dtype)
    on_cpu = lambda a: called(lambda a: _core.softmax(a, axes), shape, a)

    def elsewhere(a):
        maximum = jnp.max(a, axes, keepdims=True, initial=-jnp.inf)
        is_infinite = maximum == jnp.inf
        at_infinity = jnp.where(a == jnp.inf, 0.0, -jnp.inf)
        power = jnp.exp(jnp.where(is_infinite, at_infinity, a - jnp.where(jnp.isfinite(maximum), maximum, 0)))
        total = jnp.sum(power, axes, keepdims=True)
        return jnp.where(total == 0, 0, power / jnp.where(total == 0, 1, total))

    return dispatched(on_cpu, elsewhere, a)


@_softmax.defjvp
def _(axes, primals, tangents):
    (a,), (t,) = primals, tangents
    p = _softmax(a, axes)
    return p, p * (t - jnp.sum(p * t, axes, keepdims=True))


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _log_softmax(a, axes):
    shape = jax.ShapeDtypeStruct(a.shape, a.dtype)
    on_cpu = lambda a: called(lambda a: _core.log_softmax(a, axes), shape, a)

    def elsewhere(a):
        value = _logsumexp(a, axes)
        return jnp.where(value == -jnp.inf, -jnp.inf, a - value)

    return dispatched(on_cpu, elsewhere, a)


@_log_softmax.defjvp
def _(axes, primals, tangents):
    (a,), (t,) = primals, tangents
    return _log_softmax(a, axes), t - jnp.sum(_softmax(a, axes) * t, axes, keepdims=True)


# log |Σ b e^a| and its sign, of as many weights as numbers.
@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _weighted(a, b, axes):
    shape = jax.ShapeDtypeStruct(kept(a.shape, axes), a.dtype)
    on_cpu = lambda a, b: called(
        lambda a, b: _core.terms(*np.broadcast_arrays(a, b), None, axes, True, False, "zero")[:2], (shape, shape), a, b
    )

    def elsewhere(a, b):
        a = jnp.where(b == 0, -jnp.inf, a)
        maximum = jnp.max(a, axes, keepdims=True, initial=-jnp.inf)
        shift = jnp.where(jnp.isfinite(maximum), maximum, 0)
        total = jnp.sum(b * jnp.exp(a - shift), axes, keepdims=True)
        return shift + jnp.log(jnp.abs(total)), jnp.sign(total)

    return dispatched(on_cpu, elsewhere, a, b)


@_weighted.defjvp
def _(axes, primals, tangents):
    (a, b), (t, u) = primals, tangents
    of_a, of_b = _gradients(a, b, axes)
    value, sign = _weighted(a, b, axes)
    return (value, sign), (jnp.sum(of_a * t + of_b * u, axes, keepdims=True), jnp.zeros_like(sign))


# b e^a / Σ and e^a / Σ.
@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _gradients(a, b, axes):
    shape = jax.ShapeDtypeStruct(a.shape, a.dtype)
    on_cpu = lambda a, b: called(
        lambda a, b: _core.terms(*np.broadcast_arrays(a, b), None, axes, True, True, "zero")[2:], (shape, shape), a, b
    )

    def elsewhere(a, b):
        value, sign = _weighted(a, b, axes)
        of_b = sign * jnp.exp(a - jnp.where(jnp.isfinite(value), value, 0))
        return jnp.where(b == 0, 0, b * of_b), of_b

    return dispatched(on_cpu, elsewhere, a, b)


@_gradients.defjvp
def _(axes, primals, tangents):
    (a, b), (t, u) = primals, tangents
    of_a, of_b = _gradients(a, b, axes)
    mean = jnp.sum(of_a * t + of_b * u, axes, keepdims=True)
    return (of_a, of_b), (of_a * (t - mean) + of_b * u, of_b * (t - mean))


# log Σ b e^a of complex numbers: holomorphic.
@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _complex(a, b, axes):
    shape = jax.ShapeDtypeStruct(kept(a.shape, axes), a.dtype)
    return called(lambda a, b: _core.of_complex(*map(np.array, np.broadcast_arrays(a, b)), axes, True), shape, a, b)


@_complex.defjvp
def _(axes, primals, tangents):
    (a, b), (t, u) = primals, tangents
    value = _complex(a, b, axes)
    power = jnp.exp(a - value)
    return value, jnp.sum(power * (b * t + u), axes, keepdims=True)


def logsumexp(a, axis=None, b=None, keepdims=False, return_sign=False, where=None):
    """log Σ b e^a over axes: the arguments of `jax.nn.logsumexp`, correctly rounded on the CPU.

    Its gradient is the softmax, of −∞ alone 0, of c times +∞ 1/c at each.
    """
    if b is None:
        (a,) = real_or_complex(a)
    else:
        a, b = jnp.broadcast_arrays(*real_or_complex(a, b))
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
        value = _logsumexp(a, axes)
    elif is_complex:
        value = _complex(a, jnp.broadcast_to(b, a.shape), axes)
        if return_sign:
            sign = jnp.where(jnp.isneginf(value.real), 0, jnp.exp(1j * value.imag)).astype(a.dtype)
            value = value.real
    else:
        value, sign = _weighted(a, jnp.broadcast_to(b, a.shape), axes)
        if not return_sign:
            value = jnp.where(sign < 0, jnp.nan, value)
    if not keepdims:
        value = jnp.squeeze(value, axes)
        sign = None if sign is None else jnp.squeeze(sign, axes)
    return (value, sign) if return_sign else value


def masked(x, where):
    return x if where is None else jnp.where(where, x, -jnp.inf)


def softmax(x, axis=-1, where=None):
    """e^x / Σ e^x over axes: the arguments of `jax.nn.softmax`; of −∞ alone 0."""
    (x,) = real_or_complex(x)
    return _softmax(masked(x, where), normalized(axis, x.ndim))


def log_softmax(x, axis=-1, where=None):
    """x − log Σ e^x over axes: the arguments of `jax.nn.log_softmax`."""
    (x,) = real_or_complex(x)
    return _log_softmax(masked(x, where), normalized(axis, x.ndim))


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _logcumsumexp(a, axis, reverse):
    shape = jax.ShapeDtypeStruct(a.shape, a.dtype)
    on_cpu = lambda a: called(lambda a: _core.cumulative(a, axis, reverse, False), shape, a)
    elsewhere = lambda a: jax.lax.cumlogsumexp(a, axis + a.ndim, reverse)
    return dispatched(on_cpu, elsewhere, a)


@_logcumsumexp.defjvp
def _(axis, reverse, primals, tangents):
    (a,), (t,) = primals, tangents
    value = _logcumsumexp(a, axis, reverse)
    return value, _cumulative_mean(a, t, value, axis, reverse)


def _cumulative_mean(a, t, value, axis, reverse):
    """Σ_{k ≤ i} e^{a_k − value_i} t_k as a scan of pairs: each step is a mean of two, so that nothing is out of range."""

    def step(left, right):
        (x, mean_x), (y, mean_y) = left, right
        both = _sum_of_two(x, y)
        mean = mean_y + _share_of_first(x, y) * (mean_x - mean_y)
        return both, jnp.where(jnp.isneginf(both), 0, mean)

    start = jnp.where(jnp.isneginf(a), 0, t)
    return jax.lax.associative_scan(step, (a, start), reverse=reverse, axis=axis + a.ndim)[1]


def _share_of_first(x, y):
    """e^x / (e^x + e^y), of equal infinities 1/2; with derivatives of any order, also where x = y."""
    return jax.nn.sigmoid(jnp.where(jnp.isinf(x) & (x == y), 0, x - y))


# log(e^x + e^y) in JAX's own operations, as its share is.
@jax.custom_jvp
def _sum_of_two(x, y):
    return jnp.logaddexp(x, y)


@_sum_of_two.defjvp
def _(primals, tangents):
    (x, y), (t, u) = primals, tangents
    return _sum_of_two(x, y), u + _share_of_first(x, y) * (t - u)


def logcumsumexp(a, axis=0, reverse=False):
    """log of the cumulative sums of e^a: the arguments of `jax.lax.cumlogsumexp`."""
    (a,) = real_or_complex(a)
    (axis,) = normalized(axis, a.ndim)
    return _logcumsumexp(a, axis, bool(reverse))


@jax.custom_jvp
def _logaddexp(x, y):
    shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
    return dispatched(lambda x, y: called(_core.logaddexp, shape, x, y), jnp.logaddexp, x, y)


@_logaddexp.defjvp
def _(primals, tangents):
    (x, y), (t, u) = primals, tangents
    p = _softmax(jnp.stack([x, y], -1), (-1,))
    return _logaddexp(x, y), p[..., 0] * t + p[..., 1] * u


def logaddexp(x, y):
    """log(e^x + e^y), correctly rounded on the CPU: the arguments of `jax.numpy.logaddexp`."""
    return _logaddexp(*jnp.broadcast_arrays(*real_or_complex(x, y)))


@functools.partial(jax.custom_jvp, nondiff_argnums=())
def _class_losses(logits, labels):
    shape = jax.ShapeDtypeStruct(labels.shape, logits.dtype)

    def of_numpy(logits, labels):
        labels = np.broadcast_to(labels, logits.shape[:-1])
        return _general.cross_entropy(logits, labels, reduction="none", ignore_index=-1)

    def elsewhere(logits, labels):
        chosen = jnp.take_along_axis(_log_softmax(logits, (-1,)), labels[..., None], -1)
        return jnp.where(labels == -1, 0, -chosen[..., 0])

    return dispatched(lambda *arrays: called(of_numpy, shape, *arrays), elsewhere, logits, labels)


@_class_losses.defjvp
def _(primals, tangents):
    (logits, labels), (t, _) = primals, tangents
    # p − 1 at the class, as minus the others' sum, which has its digits where p is nearly 1.
    p = _softmax(logits, (-1,))
    own = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
    of_own = jnp.take_along_axis(t, jnp.maximum(labels, 0)[..., None], -1)
    slope = jnp.sum(jnp.where(own, 0, p * (t - of_own)), -1)
    return _class_losses(logits, labels), jnp.where(labels == -1, 0, slope)


def cross_entropy(logits, labels):
    """−log softmax(logits) at each integer label, as `optax.softmax_cross_entropy_with_integer_labels` gives it: classes last.

    A label −1 is ignored: its loss is 0. Right where the loss is 1e-17, and so is its gradient.
    """
    return _class_losses(*rows_and_indices(logits, labels, "labels"))


def rows_and_indices(logits, indices, name):
    (logits,) = real_or_complex(logits)
    indices = jnp.asarray(indices)
    if indices.shape != logits.shape[:-1]:
        raise ValueError(f"{name} has the shape {indices.shape}, it must be {logits.shape[:-1]}, that of the rows of logits")
    return logits, indices


def token_log_probs(logits, tokens, *, dtype=None, entropy=False):
    """log softmax(logits) at one token a row, the last axis, without the rest of the row.

    A token −1 is padding: its log-probability is 0. With `dtype`, scores are converted first: float32 for float16 and
    bfloat16 ones gives the nearest float32. With `entropy`, the entropy −Σ p log p of each row's softmax follows.
    """
    logits, tokens = rows_and_indices(logits, tokens, "tokens")
    logits = logits if dtype is None else logits.astype(dtype)
    log_p = -_class_losses(logits, tokens)
    if not entropy:
        return log_p
    p = _softmax(logits, (-1,))
    return log_p, -jnp.sum(p * jnp.where(p == 0, 0, _log_softmax(logits, (-1,))), -1)
