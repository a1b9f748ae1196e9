"""Sums of products of factors e^x, given by x, and of factors of any sign, given as they are. The derivatives of
cumulative sums and matrix products in log space are computed from these sums.

A factor e^−∞ is 0, whatever it is multiplied by. Results have errors of some ulps times the size of the logarithms.
"""

import numpy as np

from . import _core


@np.errstate(all="ignore")
def scan(x, t, z, axis, reverse):
    """e^{z_i} Σ_{k ≤ i} t_k e^{x_k} along an axis, or with `reverse` the sum over k ≥ i."""
    x, t, z = wide(x, t, z)
    return sum(sign * scaled(_core.cumulative(part, axis, reverse, False), z) for sign, part in parts(x, t))


@np.errstate(all="ignore")
def product(x, s, y, t, z):
    """e^{z_ij} Σ_k s_ik e^{x_ik} t_kj e^{y_kj}, of matrices or batches of matrices."""
    x, s, y, t, z = wide(x, s, y, t, z)
    terms = ((p, a, q, b) for p, a in parts(x, s) for q, b in parts(y, t))
    return sum(p * q * scaled(_core.log_matmul(a, b), z) for p, a, q, b in terms)


def wide(*arrays):
    """The arrays in float64: logarithms in narrower formats would have too few digits."""
    return [np.asarray(x, np.float64) for x in arrays]


def parts(x, t):
    """Yields 1 with the logarithms of t e^x where that is positive or NaN, and, if it is negative anywhere, −1 with the
    logarithms of −t e^x there. The logarithms are −∞ elsewhere."""
    logs = np.where(np.isneginf(x) | (t == 0), -np.inf, np.log(np.abs(t)) + x)
    is_negative = t < 0
    yield 1.0, np.where(is_negative, -np.inf, logs)
    if is_negative.any():
        yield -1.0, np.where(is_negative, logs, -np.inf)


def scaled(sums, z):
    return np.where(np.isneginf(sums) | np.isneginf(z), 0.0, np.exp(sums + z))
