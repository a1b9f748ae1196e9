"""Cumulative sums and matrix products in log space. All their derivatives are composed of the operators `scan` and
`product`: sums of products of factors e^x, given by x, and other factors, given as they are. The sums are linear in the
latter, and the transposes of these linear maps are again sums of the same kind. Dimensions are counted from the end."""

import torch
from torch import Tensor

from .. import _core, _log_space
from ._differentiable import Differentiable, by_numpy, on_cpu
from ._reductions import finite_or_0, logsumexp, times, wide


def negated(y):
    """−y, but −∞ where y is infinite: such sums contribute nothing to derivatives."""
    return torch.where(torch.isinf(y), -torch.inf, -y)


def cumulative(x: Tensor, dim: int, reverse: bool) -> Tensor:
    if on_cpu(x):
        return by_numpy(lambda x: _core.cumulative(x, dim, reverse, False), x)
    return (torch.logcumsumexp(x.flip(dim), dim).flip(dim) if reverse else torch.logcumsumexp(x, dim)).contiguous()


def scaled_cumulative(x: Tensor, t: Tensor, z: Tensor, dim: int, reverse: bool) -> Tensor:
    """e^{z_i} Σ_{k ≤ i} t_k e^{x_k}, or with `reverse` the sum over k ≥ i."""
    if on_cpu(x):
        return by_numpy(lambda x, t, z: _log_space.scan(x, t, z, dim, reverse), x, t, z)
    positive, negative = (scaled(cumulative(part, dim, reverse), z) for part in logarithms(x, t))
    return positive - negative


def logarithms(x, t):
    """The logarithms of t e^x where that is positive, and those of −t e^x where it is negative; −∞ elsewhere."""
    logs = torch.where((x == -torch.inf) | (t == 0), -torch.inf, t.abs().log() + x)
    return torch.where(t < 0, -torch.inf, logs), torch.where(t < 0, logs, -torch.inf)


def scaled(sums, z):
    return torch.where((sums == -torch.inf) | (z == -torch.inf), 0, (sums + z).exp())


def unrounded(whole):
    """The divisor Σ e^{x − y}, which would be 1 if y were not rounded: with it, derivatives do not depend on the
    rounding of y."""
    return torch.where(whole == 0, 1, whole)


def logcumsumexp_backward(inputs, y, g, needed):
    x, dim, reverse = inputs
    # In a narrow format the sum divided by e^y, with its rounded logarithm y, may overflow.
    wide_x, z = wide(x), negated(wide(y))
    whole = unrounded(scan(wide_x, torch.ones_like(wide_x), z, dim, reverse))
    return (scan(z, times(wide(g), 1 / whole), wide_x, dim, not reverse).to(x.dtype),)


def logcumsumexp_slope(inputs, tangents):
    (x, *way), (t, *_) = inputs, tangents
    wide_x, z = wide(x), negated(wide(logcumsumexp(x, *way)))
    slope = scan(wide_x, wide(t), z, *way) / unrounded(scan(wide_x, torch.ones_like(wide_x), z, *way))
    return slope.to(x.dtype)


def scan_backward(inputs, output, h, needed):
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


def of_matrices(a, b):
    return a.new_empty(*a.shape[:-1], b.shape[-1])


def relative(a, b):
    """The logarithms of the factors relative to the greatest of their rows or columns, in double precision if they are
    on the CPU, and the negated logarithms of their product. Derivatives are computed from these, so that they do not
    depend on the size of the logarithms. A factor +∞ is replaced by −∞: it occurs only in infinite elements, which
    contribute nothing."""
    a, b = (x.double() if on_cpu(x) else wide(x) for x in (a, b))
    a, b = (x - finite_or_0(x.detach().amax(d, keepdim=True)) if x.numel() else x for x, d in ((a, -1), (b, -2)))
    z = negated(log_matmul(a, b))
    return *(torch.where(x == torch.inf, -torch.inf, x) for x in (a, b)), z


def log_matmul_backward(inputs, _, g, needed):
    a, b, z = relative(*inputs)
    g, ones = g.to(z.dtype), (torch.ones_like(a), torch.ones_like(b))
    of_a = product(z, g, b.mT, ones[1].mT, a).to(inputs[0].dtype) if needed[0] else None
    return of_a, product(a.mT, ones[0].mT, z, g, b).to(inputs[1].dtype) if needed[1] else None


def log_matmul_slope(inputs, tangents):
    a, b, z = relative(*inputs)
    t, u = (x.to(z.dtype) for x in tangents)
    return (product(a, t, b, torch.ones_like(b), z) + product(a, torch.ones_like(a), b, u, z)).to(inputs[0].dtype)


def product_backward(inputs, output, h, needed):
    x, s, y, t, z = inputs
    of_s, of_t = product(z, h, y.mT, t.mT, x), product(x.mT, s.mT, z, h, y)
    return s * of_s, of_s, t * of_t, of_t, h * product(x, s, y, t, z)


def product_slope(inputs, tangents):
    (x, s, y, t, z), (dx, ds, dy, dt, dz) = inputs, tangents
    of_left, of_right = product(x, ds + s * dx, y, t, z), product(x, s, y, dt + t * dy, z)
    return of_left + of_right + dz * product(x, s, y, t, z)


log_matmul = Differentiable("log_matmul", matrix_product, 2, log_matmul_backward, log_matmul_slope, of_matrices)
product = Differentiable("product", scaled_product, 5, product_backward, product_slope, lambda x, s, y, *_: of_matrices(x, y))
