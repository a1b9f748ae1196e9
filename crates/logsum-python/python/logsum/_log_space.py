"""Sums of numbers of both signs whose factors are given by their logarithms: what derivatives of scans and products are made of.

Factors e^−∞ are 0, whatever they are multiplied by. Results are right to some ulps, times the size of the logarithms.
"""

import numpy as np

from . import _core


@np.errstate(all="ignore")
def scan(x, t, z, axis, reverse):
    """e^{z_i} Σ_{k ≤ i} t_k e^{x_k} along an axis; if `reverse`, Σ_{k ≥ i}."""
    x, t, z = wide(x, t, z)
    return sum(sign * scaled(_core.cumulative(part, axis, reverse, False), z) for sign, part in parts(x, t))


@np.errstate(all="ignore")
def product(x, s, y, t, z):
    """e^{z_ij} Σ_k s_ik e^{x_ik} t_kj e^{y_kj}, of matrices and batches of them."""
    x, s, y, t, z = wide(x, s, y, t, z)
    terms = ((p, a, q, b) for p, a in parts(x, s) for q, b in parts(y, t))
    return sum(p * q * scaled(_core.log_matmul(a, b), z) for p, a, q, b in terms)


def wide(*arrays):
    """Of one format of at least double precision: narrower logarithms would have no digits left."""
    return [np.asarray(x, np.float64) for x in arrays]


def parts(x, t):
    """The logarithms of t e^x where that is positive, or NaN, and those of −t e^x where it is negative, if it is anywhere."""
    logs = np.where(np.isneginf(x) | (t == 0), -np.inf, np.log(np.abs(t)) + x)
    is_negative = t < 0
    yield 1.0, np.where(is_negative, -np.inf, logs)
    if is_negative.any():
        yield -1.0, np.where(is_negative, logs, -np.inf)


def scaled(sums, z):
    return np.where(np.isneginf(sums) | np.isneginf(z), 0.0, np.exp(sums + z))
