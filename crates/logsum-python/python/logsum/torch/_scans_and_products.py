"""Cumulative sums and matrix products in log space. All their derivatives are made of sums with factors e^x, which are linear in
the rest: one operator for each, whose transposes are of its own kind. Dimensions are counted from the end."""

import torch
from torch import Tensor

from .. import _core, _log_space
from ._differentiable import Differentiable, by_numpy, on_cpu
from ._reductions import logsumexp


def negated(y):
    """−y, of what is infinite −∞: it has no part in derivatives."""
    return torch.where(torch.isinf(y), -torch.inf, -y)


def cumulative(x: Tensor, dim: int, reverse: bool) -> Tensor:
    if on_cpu(x):
        return by_numpy(lambda x: _core.cumulative(x, dim, reverse, False), x)
    return (torch.logcumsumexp(x.flip(dim), dim).flip(dim) if reverse else torch.logcumsumexp(x, dim)).contiguous()


def scaled_cumulative(x: Tensor, t: Tensor, z: Tensor, dim: int, reverse: bool) -> Tensor:
    """e^{z_i} Σ_{k ≤ i} t_k e^{x_k}; if `reverse`, Σ_{k ≥ i}."""
    if on_cpu(x):
        return by_numpy(lambda x, t, z: _log_space.scan(x, t, z, dim, reverse), x, t, z)
    positive, negative = (scaled(cumulative(part, dim, reverse), z) for part in logarithms(x, t))
    return positive - negative


def logarithms(x, t):
    """Of t e^x, where it is positive, and of −t e^x, where it is negative."""
    logs = torch.where((x == -torch.inf) | (t == 0), -torch.inf, t.abs().log() + x)
    return torch.where(t < 0, -torch.inf, logs), torch.where(t < 0, logs, -torch.inf)


def scaled(sums, z):
    return torch.where((sums == -torch.inf) | (z == -torch.inf), 0, (sums + z).exp())


def logcumsumexp_backward(inputs, y, g):
    x, dim, reverse = inputs
    return (scan(negated(y), g, x, dim, not reverse),)


def logcumsumexp_slope(inputs, tangents):
    (x, *way), (t, *_) = inputs, tangents
    return scan(x, t, negated(logcumsumexp(x, *way)), *way)


def scan_backward(inputs, output, h):
    x, t, z, dim, reverse = inputs
    of_t = scan(z, h, x, dim, not reverse)
    return t * of_t, of_t, h * scan(x, t, z, dim, reverse)


def scan_slope(inputs, tangents):
    (x, t, z, *way), (dx, dt, dz, *_) = inputs, tangents
    return scan(x, dt + t * dx, z, *way) + dz * scan(x, t, z, *way)


logcumsumexp = Differentiable(
    "logcumsumexp", cumulative, 1, logcumsumexp_backward, logcumsumexp_slope, saves=("inputs", "output")
)
scan = Differentiable("scan", scaled_cumulative, 3, scan_backward, scan_slope)


def matrix_product(a: Tensor, b: Tensor) -> Tensor:
    if on_cpu(a):
        return by_numpy(_core.log_matmul, a, b)
    return logsumexp(a[..., :, :, None] + b[..., None, :, :], [-2])[..., 0, :]


def scaled_product(x: Tensor, s: Tensor, y: Tensor, t: Tensor, z: Tensor) -> Tensor:
    """e^{z_ij} Σ_k s_ik e^{x_ik} t_kj e^{y_kj}."""
    if on_cpu(x):
        return by_numpy(_log_space.product, x, s, y, t, z)
    parts = [[scaled(matrix_product(a, b), z) for b in logarithms(y, t)] for a in logarithms(x, s)]
    return parts[0][0] + parts[1][1] - parts[0][1] - parts[1][0]


def like_product(a, *others):
    b = others[0] if len(others) == 1 else others[1]
    return a.new_empty(*a.shape[:-1], b.shape[-1])


def log_matmul_backward(inputs, c, g):
    a, b = inputs
    z = negated(c)
    return product(z, g, b.mT, torch.ones_like(b.mT), a), product(a.mT, torch.ones_like(a.mT), z, g, b)


def log_matmul_slope(inputs, tangents):
    (a, b), (t, u) = inputs, tangents
    z = negated(log_matmul(a, b))
    return product(a, t, b, torch.ones_like(b), z) + product(a, torch.ones_like(a), b, u, z)


def product_backward(inputs, output, h):
    x, s, y, t, z = inputs
    of_s, of_t = product(z, h, y.mT, t.mT, x), product(x.mT, s.mT, z, h, y)
    return s * of_s, of_s, t * of_t, of_t, h * product(x, s, y, t, z)


def product_slope(inputs, tangents):
    (x, s, y, t, z), (dx, ds, dy, dt, dz) = inputs, tangents
    of_left, of_right = product(x, ds + s * dx, y, t, z), product(x, s, y, dt + t * dy, z)
    return of_left + of_right + dz * product(x, s, y, t, z)


log_matmul = Differentiable(
    "log_matmul", matrix_product, 2, log_matmul_backward, log_matmul_slope, like_product, saves=("inputs", "output")
)
product = Differentiable("product", scaled_product, 5, product_backward, product_slope, like_product)
