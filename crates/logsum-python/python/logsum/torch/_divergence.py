"""The Kullback-Leibler divergence of two softmaxes."""

import math

import torch

from ._differentiable import Differentiable
from ._reductions import kept, log_softmax, logsumexp, softmax, times

# The first derivatives of e^−d − 1 + d at 0 that are not 0, over their factorials.
SERIES = [(-1) ** n / math.factorial(n) for n in range(2, 18)]


def above_tangent(d):
    """e^−d − 1 + d, which is not negative, without cancellation."""
    near = d.clamp(-0.5, 0.5)
    series = torch.zeros_like(near)
    for coefficient in reversed(SERIES):
        series = series * near + coefficient
    return torch.where(near == d, near * near * series, d + torch.expm1(-d))


def ratios(x, y, dim):
    """p, q, and log p − log q where neither is 0, elsewhere 0."""
    p, q = softmax(x, dim), softmax(y, dim)
    masked = x == -torch.inf, y == -torch.inf
    are_there = torch.isfinite(x) & torch.isfinite(y)
    difference = torch.where(are_there, x - y, 0)
    # Numbers that are close to each other have an exact difference, and the logarithm of the ratio of their sums is that of
    # Σ q e^{x − y}. Of others there are two logarithms.
    is_far = ~(are_there | masked[0] & masked[1]) | (difference.detach().abs() >= 0.5)
    is_near = is_far.sum(dim, keepdim=True) == 0
    near = difference - torch.log1p(times(q, torch.expm1(torch.where(is_near, difference, 0))).sum(dim, keepdim=True))
    far = torch.where(masked[0] | masked[1], 0, log_softmax(x, dim) - log_softmax(y, dim))
    return p, q, torch.where(is_near, near, far)


def divergence(x: torch.Tensor, y: torch.Tensor, dim: list[int]) -> torch.Tensor:
    """Σ p (e^−d − 1 + d) with d = log p − log q: Σ p log(p/q), as Σ p = Σ q, of terms that are not negative."""
    dtype, x, y = x.dtype, x.double(), y.double()
    p, q, d = ratios(x, y, dim)
    terms = torch.where(p == 0, q, times(p, above_tangent(d)))
    value = torch.where((x != -torch.inf) & (y == -torch.inf), torch.inf, terms).sum(dim, keepdim=True)
    # A row without mass has none that could be elsewhere.
    value = torch.where(logsumexp(x, dim) == -torch.inf, 0, value)
    return torch.where(torch.isnan(x + y).sum(dim, keepdim=True) > 0, torch.nan, value).to(dtype)


def slopes(x, y, dim):
    """By x and y; 0 where the divergence is infinite, or x has no mass."""
    dtype, x, y = x.dtype, x.double(), y.double()
    p, q, d = ratios(x, y, dim)
    changes = torch.isfinite(softmax_kl(x, y, dim)) & (logsumexp(x, dim) != -torch.inf)
    of_x = times(p, d - times(p, d).sum(dim, keepdim=True))
    of_y = torch.where(p == 0, q, times(p, torch.expm1(-d)))
    return [torch.where(changes, slope, 0 * p.detach()).to(dtype) for slope in (of_x, of_y)]


softmax_kl = Differentiable(
    "softmax_kl",
    divergence,
    2,
    lambda inputs, _, g, needed: [times(g.expand(inputs[0].shape), slope) for slope in slopes(*inputs)],
    lambda inputs, tangents: sum(
        times(slope, tangent).sum(inputs[2], keepdim=True) for slope, tangent in zip(slopes(*inputs), tangents)
    ),
    lambda x, y, dim: kept(x, dim),
)
