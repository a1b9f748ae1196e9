"""The Kullback-Leibler divergence of two softmaxes."""

import math

import torch

from .. import _core
from ._differentiable import Differentiable, by_numpy, on_cpu
from ._reductions import (
    count,
    exact_difference,
    finite_or_0,
    kept,
    log_softmax,
    logsumexp,
    slope_of_gradient,
    softmax,
    softmax_slope,
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


def in_rows(function, dim, *tensors):
    """`function` of matrices whose rows have the numbers along the dimensions."""
    last = list(range(-len(dim), 0))
    rows = [x.movedim(dim, last).reshape(-1, count(x, dim)).contiguous() for x in tensors]
    return by_numpy(function, *rows), last


def values(x: torch.Tensor, y: torch.Tensor, dim: list[int]) -> torch.Tensor:
    """Σ p log(p/q)."""
    if x.numel() == 0:
        return torch.zeros_like(kept(x, dim))
    if on_cpu(x):
        return in_rows(_core.softmax_kl, dim, x, y)[0].reshape(kept(x, dim).shape)
    return composed_values(x, y, dim)


def slopes_by_x(x: torch.Tensor, y: torch.Tensor, dim: list[int]) -> torch.Tensor:
    """p (log(p/q) − Σ p log(p/q)), the derivatives with respect to x; 0 where x has no mass, or has mass where
    y has none."""
    return slopes_by(0, x, y, dim)


def slopes_by_y(x: torch.Tensor, y: torch.Tensor, dim: list[int]) -> torch.Tensor:
    """q − p, the derivatives with respect to y; 0 where x has no mass, or has mass where y has none."""
    return slopes_by(1, x, y, dim)


def slopes_by(which, x, y, dim):
    if x.numel() == 0:
        return torch.empty_like(x)
    if not on_cpu(x):
        return composed_slopes(which, x, y, dim)
    rows, last = in_rows(lambda x, y: _core.softmax_kl_gradient(x, y, which), dim, x, y)
    return rows.reshape(x.movedim(dim, last).shape).movedim(last, dim).contiguous()


def composed_values(x, y, dim):
    """By torch's operations: Σ p (e^−d − 1 + d) with d = log p − log q. It equals Σ p log(p/q), since Σ p = Σ q, and
    its terms are not negative."""
    dtype, x, y = x.dtype, x.double(), y.double()
    p, q, d = softmax(x, dim), softmax(y, dim), log_ratios(x, y, dim)
    # Where p is tiny, e^−d overflows; the term tends to q.
    terms = torch.where(d < -NEAR, q - p + times(p, d), times(p, above_tangent(d.clamp(min=-NEAR))))
    value = torch.where(p == 0, q, terms).sum(dim, keepdim=True)
    special = special_values(x, y, dim)
    return torch.where(special == ORDINARY, value, special).to(dtype)


def composed_slopes(which, x, y, dim):
    """By torch's operations: the derivatives with respect to x (0) or y (1)."""
    dtype, x, y = x.dtype, x.double(), y.double()
    p, d = softmax(x, dim), log_ratios(x, y, dim)
    if which == 0:
        slope = times(p, d - times(p, d).sum(dim, keepdim=True))
    else:
        # q − p, in a form that does not cancel.
        is_far = (p == 0) | (d.abs() > 1)
        slope = torch.where(is_far, softmax(y, dim) - p, times(p, torch.expm1(-d.clamp(-1, 1))))
    return where_ordinary(x, y, dim, slope).to(dtype)


ORDINARY = -1.0


def special_values(x, y, dim):
    """The divergence of each row that is a special case: NaN, 0 or +∞. `ORDINARY` for the others."""
    is_unknown = torch.isnan(x) | torch.isnan(y)
    is_missed = (log_shares(x, dim) != -torch.inf) & (log_shares(y, dim) == -torch.inf)
    value = torch.where(is_missed.sum(dim, keepdim=True) > 0, torch.inf, ORDINARY)
    # A row of x without mass has the divergence 0.
    value = torch.where(logsumexp(x, dim) == -torch.inf, 0.0, value)
    return torch.where(is_unknown.sum(dim, keepdim=True) > 0, torch.nan, value)


def where_ordinary(x, y, dim, slope):
    """NaN where the divergence is NaN, 0 in the other special cases."""
    with torch.no_grad():
        special = special_values(x, y, dim)
    slope = torch.where(special == ORDINARY, slope, 0)
    return torch.where(torch.isnan(special), torch.nan, slope)


# The second derivatives. With a = p (log(p/q) − Σ p log(p/q)) and v̄ = Σ p v, the Hessian with respect to x times v is
# a (v − v̄) − p Σ a v + p (v − v̄); that with respect to y is q (v − Σ q v); the mixed one is −p (v − v̄).


def hessian_by_x(x, y, dim, v):
    dtype, x, y, v = x.dtype, x.double(), y.double(), v.double()
    p, a = softmax(x, dim), slope_by_x(x, y, dim)
    curved = slope_of_gradient(p, a, v, dim) + softmax_slope(p, v, dim)
    return where_ordinary(x, y, dim, curved).to(dtype)


def hessian_by_y(x, y, dim, v):
    slope = softmax_slope(softmax(y.double(), dim), v.double(), dim)
    return where_ordinary(x, y, dim, slope).to(y.dtype)


def mixed(x, y, dim, v):
    slope = -softmax_slope(softmax(x.double(), dim), v.double(), dim)
    return where_ordinary(x, y, dim, slope).to(x.dtype)


def backward(inputs, _, g, needed):
    x, y, dim = inputs
    g = g.expand(x.shape)
    of_x = times(g, slope_by_x(x, y, dim)) if needed[0] else None
    return of_x, times(g, slope_by_y(x, y, dim)) if needed[1] else None


def slope(inputs, tangents):
    (x, y, dim), (t, u, _) = inputs, tangents
    return (times(slope_by_x(x, y, dim), t) + times(slope_by_y(x, y, dim), u)).sum(dim, keepdim=True)


softmax_kl = Differentiable("softmax_kl", values, 2, backward, slope, lambda x, y, dim: kept(x, dim))
slope_by_x = Differentiable(
    "softmax_kl_slope_by_x",
    slopes_by_x,
    2,
    lambda inputs, _, v, needed: (hessian_by_x(*inputs, v), mixed(*inputs, v)),
    lambda inputs, tangents: hessian_by_x(*inputs, tangents[0]) + mixed(*inputs, tangents[1]),
)
slope_by_y = Differentiable(
    "softmax_kl_slope_by_y",
    slopes_by_y,
    2,
    lambda inputs, _, v, needed: (mixed(*inputs, v), hessian_by_y(*inputs, v)),
    lambda inputs, tangents: mixed(*inputs, tangents[0]) + hessian_by_y(*inputs, tangents[1]),
)
