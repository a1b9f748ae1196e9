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


def log_ratio(x, y, dim):
    """log p − log q, where neither is 0; elsewhere 0."""
    are_there = (x != -torch.inf) & (y != -torch.inf)
    ratio = log_softmax(x, dim) - log_softmax(y, dim)
    return torch.where(are_there, ratio, torch.zeros_like(ratio))


def divergence(x: torch.Tensor, y: torch.Tensor, dim: list[int]) -> torch.Tensor:
    """Σ p (e^−d − 1 + d) with d = log p − log q: Σ p log(p/q), as Σ p = Σ q, of terms that are not negative."""
    dtype, x, y = x.dtype, x.double(), y.double()
    total_x, total_y = logsumexp(x, dim), logsumexp(y, dim)
    p, q = softmax(x, dim), softmax(y, dim)
    # Numbers that are close to each other have an exact difference, their logarithms have not.
    are_finite = torch.isfinite(total_x) & torch.isfinite(total_y)
    d = torch.where(are_finite, (x - y) - (total_x - total_y), log_softmax(x, dim) - log_softmax(y, dim))
    terms = torch.where(p == 0, q, times(p, above_tangent(d)))
    value = terms.sum(dim, keepdim=True)
    # There is nothing in one of them: what is not there differs from nothing by nothing.
    nothing = (total_x == -torch.inf, total_y == -torch.inf)
    value = torch.where(nothing[0], 0, torch.where(nothing[1], torch.inf, value))
    unknown = torch.isnan(total_x) | torch.isnan(total_y)
    return torch.where(unknown, torch.nan, value).to(dtype)


def slopes(x, y, dim):
    """By x and y; 0 where the divergence is infinite."""
    p, q, ratio = softmax(x, dim), softmax(y, dim), log_ratio(x, y, dim)
    is_finite = torch.isfinite(softmax_kl(x, y, dim))
    of_x = times(p, ratio - times(p, ratio).sum(dim, keepdim=True))
    return [torch.where(is_finite, slope, 0 * p.detach()) for slope in (of_x, q - p)]


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
