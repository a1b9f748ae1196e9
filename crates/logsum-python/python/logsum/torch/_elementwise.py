"""Elementwise functions of one tensor or of two of the same shape. Their derivatives are composed of these functions
again."""

import torch
from torch import Tensor

from .._general import elementwise
from ._differentiable import Differentiable, by_numpy, on_cpu
from ._reductions import exact_difference, logsumexp, softmax, times, wide


def of_one(name, elsewhere, derivative):
    def values(x: Tensor) -> Tensor:
        return by_numpy(elementwise(name), x) if on_cpu(x) else elsewhere(x).contiguous()

    return Differentiable(
        name,
        values,
        1,
        lambda inputs, _, g, needed: (times(g, derivative(*inputs)),),
        lambda inputs, tangents: times(derivative(*inputs), tangents[0]),
    )


def of_two(name, elsewhere, derivatives):
    def values(x: Tensor, y: Tensor) -> Tensor:
        return by_numpy(elementwise(name), x, y) if on_cpu(x) else elsewhere(x, y).contiguous()

    def slope(inputs, tangents):
        of_x, of_y = derivatives(*inputs)
        return times(of_x, tangents[0]) + times(of_y, tangents[1])

    return Differentiable(
        name, values, 2, lambda inputs, _, g, needed: tuple(times(g, partial) for partial in derivatives(*inputs)), slope
    )


def log1mexp_elsewhere(x):
    return torch.where(x > -0.6931471805599453, (-torch.expm1(x)).log(), torch.log1p(-x.exp()))


def logsubexp_elsewhere(x, y):
    value = torch.where((x == torch.inf) & (y < x), torch.inf, x + log1mexp_elsewhere(y - x))
    value = torch.where(y == -torch.inf, x, torch.where(x < y, torch.nan, value))
    return torch.where((x == y) & (x < torch.inf), -torch.inf, torch.where((x == y) & (x == torch.inf), torch.nan, value))


def logaddexp_shares(x, y):
    return softmax(torch.stack([x, y], -1), [-1]).unbind(-1)


def logsubexp_derivatives(x, y):
    dtype, x, y = x.dtype, wide(x), wide(y)
    difference, rest = exact_difference(y, x)
    # With y = −∞ nothing is subtracted, even from x = −∞.
    ratio = odds(torch.where(y == -torch.inf, -torch.inf, difference))
    # The rounding error of the difference, `rest`, causes a relative error of its exponential, of possibly many ulps.
    # It is corrected by adding `rest` times the derivative of the ratio with respect to the difference.
    ratio = ratio * (1 + times(rest.detach(), 1 + ratio))
    return (1 + ratio).to(dtype), (-ratio).to(dtype)


def by_torch(name, function, derivative):
    """A function of torch, of which derivatives are composed."""

    def values(x: Tensor) -> Tensor:
        return function(x).contiguous()

    return Differentiable(
        name,
        values,
        1,
        lambda inputs, _, g, needed: (times(g, derivative(*inputs)),),
        lambda inputs, tangents: times(derivative(*inputs), tangents[0]),
    )


# 1/x for x ≥ 0, +∞ at 0 and −0; NaN for x < 0, where the functions with this derivative are NaN.
reciprocal = by_torch("reciprocal", lambda x: torch.where(x < 0, torch.nan, 1 / x.abs()), lambda x: -times(reciprocal(x), reciprocal(x)))
log = by_torch("log", torch.log, lambda x: reciprocal(x))
logit_slope = by_torch(
    "logit_slope",
    lambda p: torch.where((p < 0) | (p > 1), torch.nan, 1 / (p.abs() * (1 - p))),
    lambda p: times(2 * p - 1, times(logit_slope(p), logit_slope(p))),
)


def ratio_or_0(x: Tensor, y: Tensor) -> Tensor:
    return torch.where((x == 0) & (y == 0), 0, torch.where(y < 0, torch.nan, x / y.abs())).contiguous()


def ratio_derivatives(x, y):
    return reciprocal(y), -times(ratio(x, y), reciprocal(y))


# x/y, the derivative of x log y with respect to y.
ratio = Differentiable(
    "ratio",
    ratio_or_0,
    2,
    lambda inputs, _, g, needed: tuple(times(g, partial) for partial in ratio_derivatives(*inputs)),
    lambda inputs, tangents: sum(map(times, ratio_derivatives(*inputs), tangents)),
)


def xlogy_derivatives(x, y):
    return torch.where((x == 0) & (y == 0), 0, log(y)), ratio(x, y)


# e^x / (1 − e^x) for x ≤ 0, +∞ at 0 and −0, NaN for x > 0.
odds = of_one(
    "odds",
    lambda x: torch.where(x > 0, torch.nan, x.exp() / x.expm1().abs()),
    lambda x: times(odds(x), 1 + odds(x)),
)
logistic = of_one("logistic", torch.sigmoid, lambda x: times(logistic(x), logistic(-x)))
log_logistic = of_one("log_logistic", torch.nn.functional.logsigmoid, lambda x: logistic(-x))
log1pexp = of_one("log1pexp", lambda x: torch.logaddexp(x, torch.zeros_like(x)), lambda x: logistic(x))
log1mexp = of_one("log1mexp", log1mexp_elsewhere, lambda x: -odds(x))
logexpm1 = of_one("logexpm1", lambda x: x + log1mexp_elsewhere(-x), lambda x: 1 + odds(-x))
logit = of_one("logit", torch.logit, lambda p: logit_slope(p))
xlogx = of_one("xlogx", lambda x: torch.xlogy(x, x), lambda x: 1 + log(x))
logaddexp = of_two("logaddexp", lambda x, y: logsumexp(torch.stack([x, y], -1), [-1])[..., 0], logaddexp_shares)
logsubexp = of_two("logsubexp", logsubexp_elsewhere, logsubexp_derivatives)
xlogy = of_two("xlogy", torch.xlogy, xlogy_derivatives)
