"""The Kullback-Leibler divergence of two softmaxes."""

import math

import torch

from ._differentiable import Differentiable
from ._reductions import (
    exact_difference,
    finite_or_0,
    kept,
    log_softmax,
    log_softmax_gradient,
    logsumexp,
    mean,
    softmax,
    times,
)

# The first coefficients of the Taylor series of e^−d − 1 + d at 0, from that of d² on.
SERIES = [(-1) ** n / math.factorial(n) for n in range(2, 18)]


def above_tangent(d):
    """e^−d − 1 + d, which is not negative, without cancellation."""
    near = d.clamp(-0.5, 0.5)
    series = torch.zeros_like(near)
    for coefficient in reversed(SERIES):
        series = series * near + coefficient
    return torch.where(near == d, near * near * series, d + torch.expm1(-d))


# An element is far if its x − y differs by more than this from c, the x − y of the element where min(p, q) is
# greatest. For far elements log p − log q is computed as the difference of the two logarithms.
NEAR = 32.0


def log_shares(x, dim):
    """log softmax. The least finite number in place of −∞ where a finite score is too far below the greatest for the
    format: −∞ is reserved for elements without mass."""
    log = log_softmax(x, dim)
    is_far = torch.isneginf(log) & torch.isfinite(x) & (logsumexp(x, dim) != torch.inf)
    return torch.where(is_far, torch.finfo(x.dtype).min, log)


def log_ratios(x: torch.Tensor, y: torch.Tensor, dim: list[int]) -> torch.Tensor:
    """log p − log q, with p = softmax(x) and q = softmax(y); 0 where one of the logarithms is −∞.

    The difference of the two logarithms would lose the digits that p and q have in common. It equals x − y − c − log W
    for any c, with W = Σ q e^{x − y − c}, and x − y − c is exact if c is the difference of x and y where p and q are
    both large. Let P and Q be the parts of p and q at the elements where x − y is far from c. Then W (1 − P) = 1 − Q +
    Σ q expm1(x − y − c), with the sum over all other elements.
    """
    p, q, log_p, log_q = softmax(x, dim), softmax(y, dim), log_shares(x, dim), log_shares(y, dim)
    shared = torch.minimum(p, q)
    difference, rest = (part - shared_part(part, shared, dim) for part in exact_difference(x, y))
    difference = difference + rest
    is_near = difference.abs() <= NEAR
    near = torch.where(is_near, difference, 0)
    far_p, far_q = (torch.where(is_near, 0, share).sum(dim, keepdim=True) for share in (p, q))
    change = torch.where(is_near, q * torch.expm1(near), 0).sum(dim, keepdim=True) - far_q
    # Where p and q have little in common, they are far from each other, and their logarithms keep their digits.
    is_near = is_near & (change > -0.5) & (far_p < 0.5)
    d = torch.where(is_near, near - (torch.log1p(change) - torch.log1p(-far_p)), log_p - log_q)
    return torch.where((log_p == -torch.inf) | (log_q == -torch.inf), 0, d).contiguous()


def shared_part(part, shared, dim):
    """The greatest value of `part` where the shared probability is greatest."""
    if not part.numel():
        return 0
    is_greatest = shared == shared.amax(dim, keepdim=True)
    return finite_or_0(torch.where(is_greatest, part, -torch.inf).amax(dim, keepdim=True))


def where_both(x, y, dim, numbers):
    """The numbers where neither logarithm is −∞, and 0 elsewhere."""
    is_none = (log_shares(x, dim) == -torch.inf) | (log_shares(y, dim) == -torch.inf)
    return torch.where(is_none, 0, numbers)


def log_ratio_backward(inputs, _, g, needed):
    x, y, dim = inputs
    g = where_both(x, y, dim, g)
    return log_softmax_gradient(x, g, dim), -log_softmax_gradient(y, g, dim)


def log_ratio_slope(inputs, tangents):
    (x, y, dim), (of_x, of_y, _) = inputs, tangents
    change = of_x - mean(softmax(x, dim), of_x, dim) - of_y + mean(softmax(y, dim), of_y, dim)
    return where_both(x, y, dim, change)


log_ratio = Differentiable("log_ratio", log_ratios, 2, log_ratio_backward, log_ratio_slope)


def divergence(x: torch.Tensor, y: torch.Tensor, dim: list[int]) -> torch.Tensor:
    """Σ p (e^−d − 1 + d) with d = log p − log q. It equals Σ p log(p/q), since Σ p = Σ q, and its terms are not
    negative."""
    dtype, x, y = x.dtype, x.double(), y.double()
    p, q, d = softmax(x, dim), softmax(y, dim), log_ratio(x, y, dim)
    # Where p is tiny, e^−d overflows; the term tends to q.
    terms = torch.where(d < -NEAR, q - p + times(p, d), times(p, above_tangent(d.clamp(min=-NEAR))))
    terms = torch.where(p == 0, q, terms)
    is_missed = (log_shares(x, dim) != -torch.inf) & (log_shares(y, dim) == -torch.inf)
    value = torch.where(is_missed, torch.inf, terms).sum(dim, keepdim=True)
    # A row of x without mass has the divergence 0.
    value = torch.where(logsumexp(x, dim) == -torch.inf, 0, value)
    is_unknown = torch.isnan(x) | torch.isnan(y)
    return torch.where(is_unknown.sum(dim, keepdim=True) > 0, torch.nan, value).to(dtype)


def slopes(x, y, dim):
    """The derivatives with respect to x and y; 0 where the divergence is infinite, or x has no mass."""
    dtype, x, y = x.dtype, x.double(), y.double()
    p, q, d = softmax(x, dim), softmax(y, dim), log_ratio(x, y, dim)
    # A NaN divergence counts as changing, so that its derivatives are NaN.
    changes = ~torch.isinf(softmax_kl(x, y, dim)) & (logsumexp(x, dim) != -torch.inf)
    of_x = times(p, d - times(p, d).sum(dim, keepdim=True))
    # q − p, in a form that does not cancel.
    of_y = torch.where((p == 0) | (d.abs() > 1), q - p, times(p, torch.expm1(-d.clamp(-1, 1))))
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
