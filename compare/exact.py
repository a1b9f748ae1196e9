"""The exact values, by mpmath, and how far from them a float is."""

import math

import mpmath
import numpy as np

# Enough for 1 + e^-745 and its like. The precision is that of this context alone.
mp = mpmath.MPContext()
mp.dps = 420
mpf = mp.mpf

INF, NAN = math.inf, math.nan


def exp(z):
    return mpf(0) if z == -INF else mp.exp(mpf(float(z)))


def sum_of(z, weights=None):
    """Σ w e^z, each number once."""
    weights = [1] * len(z) if weights is None else [float(w) for w in weights]
    counts = {}
    for x, w in zip(map(float, z), weights):
        counts[x] = counts.get(x, 0) + mpf(w)
    return sum((count * exp(x) for x, count in counts.items()), mpf(0))


def log(x):
    if x < 0:
        return NAN
    return -INF if x == 0 else mp.log(x)


def logsumexp(z, b=None):
    if b is not None:
        z, b = np.asarray(z)[b != 0], b[b != 0]
    if np.isnan(z).any():
        return NAN
    return INF if (np.asarray(z) == INF).any() else log(sum_of(z, b))


def softmax(z):
    if (z == INF).any():
        return [mpf(1) / int((z == INF).sum()) if x == INF else mpf(0) for x in z]
    whole = sum_of(z)
    if whole == 0:
        return [mpf(0)] * len(z)
    shares = {x: exp(x) / whole for x in map(float, z)}
    return [shares[float(x)] for x in z]


def log_softmax(z):
    whole = log(sum_of(z))
    return [-INF if x == -INF else mpf(float(x)) - whole for x in z]


def entropy(z):
    return -sum((p * mp.log(p) for p in softmax(z) if p), mpf(0))


def loss_gradient(z, target):
    return [p - (k == target) for k, p in enumerate(softmax(z))]


def hessian(z):
    p = softmax(z)
    return [[p[i] * ((i == j) - p[j]) for j in range(len(p))] for i in range(len(p))]


def logaddexp_gradient(x, y):
    return softmax(np.array([x, y], float))


FUNCTIONS = {
    "logsumexp": logsumexp,
    "weighted": logsumexp,
    "logmeanexp": lambda z: log(sum_of(z) / len(z)),
    "logcumsumexp": lambda z: [log(sums) for sums in prefixes([exp(x) for x in z])],
    "softmax": softmax,
    "log_softmax": log_softmax,
    "entropy": entropy,
    "cross_entropy": lambda z, target: -log_softmax(z)[target],
    "gradient": softmax,
    "cross_entropy_gradient": loss_gradient,
    "hessian": hessian,
    "logaddexp": lambda x, y: log(exp(x) + exp(y)),
    "logaddexp_gradient": logaddexp_gradient,
    "logsubexp": lambda x, y: log(exp(x) - exp(y)),
    "log1pexp": lambda z: log(1 + exp(z)),
    "log1mexp": lambda z: log(1 - exp(z)),
    "logistic": lambda z: 1 / (1 + mp.exp(-mpf(float(z)))),
    "logit": lambda z: log(mpf(float(z)) / (1 - mpf(float(z)))),
    "log_logistic": lambda z: -log(1 + mp.exp(-mpf(float(z)))),
}


def prefixes(numbers):
    sums = mpf(0)
    for x in numbers:
        sums += x
        yield sums


def ulp(x, dtype):
    """Of the exact value, in the format."""
    info = np.finfo(dtype)
    least = info.minexp - info.nmant
    if x == 0:
        return mpf(2) ** least
    exponent = int(mp.floor(mp.log(abs(x), 2)))
    return mpf(2) ** max(exponent - info.nmant, least)


def error(found, exact, dtype):
    """In ulps; infinite if it is no number where there is one, or the other way round."""
    found = float(found)
    info = np.finfo(dtype)
    if isinstance(exact, mpf) and abs(exact) >= mpf(float(info.max)) + ulp(mpf(float(info.max)), dtype) / 2:
        exact = INF if exact > 0 else -INF
    if not isinstance(exact, mpf):
        return 0.0 if found == exact or math.isnan(found) and math.isnan(exact) else INF
    if not math.isfinite(found):
        return INF
    return float(abs(mpf(found) - exact) / ulp(exact, dtype))


def worst(found, exact, dtype):
    """The greatest error of all elements."""
    found, exact = np.ravel(found), list(flat(exact))
    if len(found) != len(exact):
        return INF
    return max((error(*pair, dtype) for pair in zip(found, exact)), default=0.0)


def flat(exact):
    if isinstance(exact, list):
        for part in exact:
            yield from flat(part)
    else:
        yield exact
