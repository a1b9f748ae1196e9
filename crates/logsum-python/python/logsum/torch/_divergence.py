"""The Kullback-Leibler divergence of two softmaxes."""

import math

import torch

from ._differentiable import Differentiable
from ._reductions import finite_or_0, kept, log_softmax, logsumexp, softmax, times

# The first derivatives of e^−d − 1 + d at 0 that are not 0, over their factorials.
SERIES = [(-1) ** n / math.factorial(n) for n in range(2, 18)]


def above_tangent(d):
    """e^−d − 1 + d, which is not negative, without cancellation."""
    near = d.clamp(-0.5, 0.5)
    series = torch.zeros_like(near)
    for coefficient in reversed(SERIES):
        series = series * near + coefficient
    return torch.where(near == d, near * near * series, d + torch.expm1(-d))


# From here on e^−d is all that counts beside 1, and is better taken from q: where p is tiny, it overflows.
FAR = 32.0


def exact_difference(x, y):
    """x − y, and what rounding left out of it."""
    s = x - y
    back = s - x
    return s, torch.where(torch.isfinite(s), (x - (s - back)) - (y + back), 0).detach()


def ratios(x, y, dim):
    """p, q, and log p − log q where neither is 0, elsewhere 0."""
    p, q = softmax(x, dim), softmax(y, dim)
    logs = log_softmax(x, dim), log_softmax(y, dim)
    masked = (x == -torch.inf) | (y == -torch.inf)
    # The logarithm of the ratio of their sums is that of Σ q e^{x − y − c}, and c, for any c. What is left of x − y is exact where c
    # is the difference of numbers that have much of both. If there are none, p and q are far from each other: two logarithms.
    difference, rest = exact_difference(torch.where(masked, 0, x), torch.where(masked, 0, y))
    difference = difference - shared_difference(difference.detach(), torch.minimum(p, q).detach(), dim) + rest
    close = times(q, torch.expm1(difference.clamp(max=FAR)))
    beyond = torch.exp(torch.where(difference > FAR, logs[1] + difference, 0)) - q
    changes = torch.where(difference > FAR, beyond, close)
    change = torch.where(masked, torch.where(y == -torch.inf, 0, -q), changes).sum(dim, keepdim=True)
    is_near = change.detach() > -0.5
    near = difference - torch.log1p(torch.where(is_near, change, 0))
    return p, q, torch.where(masked, 0, torch.where(is_near, near, logs[0] - logs[1]))


def shared_difference(difference, shared, dim):
    """The difference where most is shared."""
    if not difference.numel():
        return 0
    is_greatest = shared == shared.amax(dim, keepdim=True)
    return finite_or_0(torch.where(is_greatest, difference, -torch.inf).amax(dim, keepdim=True))


def divergence(x: torch.Tensor, y: torch.Tensor, dim: list[int]) -> torch.Tensor:
    """Σ p (e^−d − 1 + d) with d = log p − log q: Σ p log(p/q), as Σ p = Σ q, of terms that are not negative."""
    dtype, x, y = x.dtype, x.double(), y.double()
    p, q, d = ratios(x, y, dim)
    terms = torch.where(d < -FAR, q - p + times(p, d), times(p, above_tangent(d.clamp(min=-FAR))))
    terms = torch.where(p == 0, q, terms)
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
    of_y = torch.where((p == 0) | (d < -FAR), q - p, times(p, torch.expm1(-d.clamp(min=-FAR))))
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
