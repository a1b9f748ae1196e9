"""Log-sum-exp, softmax, and other functions of the numbers along dimensions. These are counted from the end, and stay
in the result, with length 1 if they are reduced."""

import math

import numpy as np
import torch
from torch import Tensor

from .. import _core
from . import _cuda
from ._differentiable import Differentiable, by_numpy, on_cpu


def room(x):
    """Memory for a result like `x`. On the CPU it is NumPy's, which asks for large pages and is thus available much
    sooner."""
    if not on_cpu(x) or x.numel() == 0:
        return torch.empty(x.shape, dtype=x.dtype, device=x.device)
    return torch.from_numpy(np.empty((*x.shape, x.itemsize), np.uint8)).view(x.dtype).squeeze(-1)


def finite_or_0(x):
    return torch.where(torch.isfinite(x), x, 0)


def exact_difference(x, y):
    """x − y rounded, and its rounding error."""
    s = x - y
    back = s - x
    return s, finite_or_0((x - (s - back)) - (y + back))


def wide(x):
    """In float32 at least: sums of narrower formats would overflow, or stop growing."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def count(x, dim):
    return math.prod(x.shape[d] for d in dim)


def kept(x, *others):
    """An empty tensor of the shape of a reduction of `x` over the dimensions in the last argument."""
    shape = list(x.shape)
    for d in others[-1]:
        shape[d] = 1
    return x.new_empty(shape)


class Powers:
    """e^{x − s} along dimensions, with s the greatest number, so that the greatest power is 1. If there is a +∞,
    each +∞ has the power 1 and all other numbers have 0. Log-sum-exp, softmax, log-softmax and losses are composed of
    these where tensors are not on the CPU and this package has no kernel for them."""

    def __init__(self, x, dim):
        x = wide(x)
        self.greatest = x.amax(dim, keepdim=True) if count(x, dim) else x.sum(dim, keepdim=True) - torch.inf
        self.shift = finite_or_0(self.greatest)
        at_infinity = torch.where(x == torch.inf, 0.0, -torch.inf)
        self.logs = torch.where(self.greatest == torch.inf, at_infinity, x - self.shift)
        self.powers = self.logs.exp()
        self.total = self.powers.sum(dim, keepdim=True)
        self.log_of_total = logarithm_of_sum(self.logs, lambda terms: terms.sum(dim, keepdim=True))


def logarithm_of_sum(logs, total):
    """log Σ e^logs. The greatest terms, which are 1, are summed apart from the rest, which may be small."""
    is_one = logs == 0
    ones, rest = total(is_one.to(logs.dtype)), total(torch.where(is_one, 0, logs.exp()))
    return torch.where(ones == 0, rest.log(), ones.log() + (rest / ones).log1p())


def values(x: Tensor, dim: list[int]) -> Tensor:
    if on_cpu(x):
        return by_numpy(lambda x: _core.logsumexp(x, tuple(dim), None, True), x)
    if _cuda.takes(x):
        return _cuda.logsumexp(x, dim)
    powers = Powers(x, dim)
    return torch.where(powers.greatest == torch.inf, torch.inf, powers.shift + powers.log_of_total).to(x.dtype)


def shares(x: Tensor, dim: list[int]) -> Tensor:
    if on_cpu(x):
        return by_numpy(lambda x: _core.softmax(x, tuple(dim)), x)
    if _cuda.takes(x):
        return _cuda.shares(x, dim, False)
    powers = Powers(x, dim)
    return torch.where(powers.total == 0, 0, powers.powers / powers.total).to(x.dtype).contiguous()


def scaled_shares(x: Tensor, scale: Tensor, dim: list[int]) -> Tensor:
    """The gradient of log-sum-exp times `scale`, one for each value, without memory for the product."""
    return softmax(x, dim).mul_(scale)


def log_shares(x: Tensor, dim: list[int]) -> Tensor:
    if on_cpu(x):
        return by_numpy(lambda x: _core.log_softmax(x, tuple(dim)), x)
    if _cuda.takes(x):
        return _cuda.shares(x, dim, True)
    powers = Powers(x, dim)
    logs = torch.where(powers.greatest == -torch.inf, -torch.inf, powers.logs - powers.log_of_total)
    return logs.to(x.dtype).contiguous()


def log_shares_gradient(x: Tensor, g: Tensor, dim: list[int]) -> Tensor:
    """g − softmax(x) Σ g: the pullback of a cotangent g through log-softmax."""
    p, wide_g = softmax(wide(x), dim), wide(g)
    total = wide_g.sum(dim, keepdim=True)
    if on_cpu(x) and torch.isfinite(total).all():
        return p.mul_(-total).add_(wide_g).to(x.dtype)
    # The sum overflows, or may overflow; that of the scaled cotangents does not.
    part = part_of(x, dim)
    total = (wide_g * part).sum(dim, keepdim=True)
    return p.mul_(-total).add_(wide_g, alpha=part).div_(part).to(x.dtype)


def part_of(x, dim):
    """A power of two that is less than 1/n for the n numbers along the dimensions. The sum of n numbers, each
    multiplied by it, is no greater in magnitude than the greatest of them."""
    return 0.5 ** max(count(x, dim), 1).bit_length()


def shares_slope(p: Tensor, t: Tensor, dim: list[int]) -> Tensor:
    """p (t − Σ p t): the derivative of softmax in the direction t, and the pullback of a cotangent t."""
    if p.itemsize == 2:
        # Differences of narrow formats overflow.
        return shares_slope(wide(p), wide(t), dim).to(p.dtype)
    out = torch.mul(p, t, out=room(p))
    return torch.sub(t, out.sum(dim, keepdim=True), out=out).mul_(p)


def mean(p, t, dim):
    return (p * t).sum(dim, keepdim=True)


def logsumexp_slope(inputs, tangents):
    (x, dim), (t, _) = inputs, tangents
    return mean(softmax(x, dim), t, dim)


def scaled_softmax_backward(inputs, _, v, needed):
    x, scale, dim = inputs
    p = softmax(x, dim)
    return scale * softmax_slope(p, v, dim), mean(p, v, dim)


def scaled_softmax_slope(inputs, tangents):
    (x, scale, dim), (t, u, _) = inputs, tangents
    p = softmax(x, dim)
    return p * u + scale * softmax_slope(p, t, dim)


def softmax_slope_backward(inputs, _, v, needed):
    p, t, dim = inputs
    return v * (t - mean(p, t, dim)) - t * mean(p, v, dim), softmax_slope(p, v, dim)


def softmax_slope_slope(inputs, tangents):
    (p, t, dim), (dp, dt, _) = inputs, tangents
    return dp * (t - mean(p, t, dim)) + p * (dt - (dp * t + p * dt).sum(dim, keepdim=True))


def log_softmax_gradient_backward(inputs, _, v, needed):
    x, g, dim = inputs
    p = softmax(x, dim)
    return times_total(g, -softmax_slope(p, v, dim), dim), v - mean(p, v, dim)


def log_softmax_gradient_slope(inputs, tangents):
    (x, g, dim), (t, dg, _) = inputs, tangents
    return log_softmax_gradient(x, dg, dim) - times_total(g, softmax_slope(softmax(x, dim), t, dim), dim)


def times_total(g, slope, dim):
    """The slope times Σ g, which may be out of the range of the format."""
    return (wide(g).sum(dim, keepdim=True) * slope).to(slope.dtype)


def of_logsumexp(inputs, _, g, needed):
    x, dim = inputs
    return (scaled_softmax(x, g, dim),)


logsumexp = Differentiable("logsumexp", values, 1, of_logsumexp, logsumexp_slope, kept)
scaled_softmax = Differentiable("scaled_softmax", scaled_shares, 2, scaled_softmax_backward, scaled_softmax_slope)
softmax_slope = Differentiable("softmax_slope", shares_slope, 2, softmax_slope_backward, softmax_slope_slope)
log_softmax_gradient = Differentiable(
    "log_softmax_gradient", log_shares_gradient, 2, log_softmax_gradient_backward, log_softmax_gradient_slope
)
softmax = Differentiable(
    "softmax",
    shares,
    1,
    lambda inputs, p, g, _: (softmax_slope(p, g, inputs[1]),),
    lambda inputs, tangents: softmax_slope(softmax(*inputs), tangents[0], inputs[1]),
    saves=("output",),
)
log_softmax = Differentiable(
    "log_softmax",
    log_shares,
    1,
    lambda inputs, _, g, needed: (log_softmax_gradient(inputs[0], g, inputs[1]),),
    lambda inputs, tangents: tangents[0] - logsumexp_slope(inputs, tangents),
)


# Weighted sums: log |Σ b e^x|, and its gradients, b e^x / Σ by x and e^x / Σ by b.


def weighted_values(x: Tensor, b: Tensor, is_signed: bool, dim: list[int]) -> Tensor:
    """log |Σ b e^x| if the sign is returned as well, otherwise log Σ b e^x, which is NaN for a negative sum."""
    value, sign = signed_logarithm(x, b, tuple(dim))
    return value if is_signed else torch.where(sign < 0, torch.nan, value)


def signed_logarithm(x, b, dim):
    if on_cpu(x):
        both = by_numpy(lambda x, b: np.stack(_core.terms(x, b, None, dim, True, False, "zero")[:2]), x, b)
        return both[0].clone(), both[1].clone()
    terms = SignedTerms(x, b, dim)
    sign = torch.where(torch.isnan(terms.total), torch.nan, terms.total.sign())
    value = torch.where(terms.greatest == torch.inf, torch.inf, terms.total.abs().log() + terms.shift)
    return torch.where(torch.isnan(sign), torch.nan, value).to(x.dtype), sign.to(x.dtype)


class SignedTerms:
    """b e^{x − s} along dimensions, with s such that the greatest magnitude is 1. If there is a +∞, each +∞ contributes
    its weight and all other numbers contribute 0."""

    def __init__(self, x, b, dim):
        x, b = wide(x), wide(b)
        logs = torch.where(b == 0, -torch.inf, x + b.abs().log())
        self.greatest = logs.amax(dim, keepdim=True) if count(x, dim) else x.sum(dim, keepdim=True) - torch.inf
        is_infinite, is_greatest = self.greatest == torch.inf, logs == torch.inf
        self.shift = finite_or_0(self.greatest)
        # Infinite numbers contribute their weights; if there are infinite weights, these contribute their signs.
        is_weight = is_greatest & torch.isinf(b)
        has_weight = is_weight.sum(dim, keepdim=True) > 0
        units = torch.where(is_greatest & ~has_weight, 1.0, 0.0)
        terms = torch.where(has_weight, torch.where(is_weight, b.sign(), 0), torch.where(is_greatest, b, 0))
        self.units = torch.where(is_infinite, units, (x - self.shift).exp())
        self.terms = torch.where(is_infinite, terms, b.sign() * (logs - self.shift).exp())
        self.total = self.terms.sum(dim, keepdim=True)
        signs = torch.where(is_greatest, b.sign(), 0)
        is_mixed = signs.abs().sum(dim, keepdim=True) != signs.sum(dim, keepdim=True).abs()
        self.total = torch.where(is_mixed, torch.nan, self.total)

    def over_total(self, terms):
        """The terms divided by their sum: NaN where they cancel exactly, 0 where there are none."""
        return torch.where(self.greatest == -torch.inf, 0, terms / torch.where(self.total == 0, torch.nan, self.total))


def signs(x: Tensor, b: Tensor, dim: list[int]) -> Tensor:
    return signed_logarithm(x, b, tuple(dim))[1]


def gradient_by_number(x: Tensor, b: Tensor, dim: list[int]) -> Tensor:
    if on_cpu(x):
        return by_numpy(lambda x, b: _core.terms(x, b, None, tuple(dim), True, True, "zero")[2], x, b)
    terms = SignedTerms(x, b, dim)
    return torch.where(b == 0, 0, terms.over_total(terms.terms)).to(x.dtype)


def gradient_by_weight(x: Tensor, b: Tensor, dim: list[int]) -> Tensor:
    if on_cpu(x):
        return by_numpy(lambda x, b: _core.terms(x, b, None, tuple(dim), True, True, "zero")[3], x, b)
    terms = SignedTerms(x, b, dim)
    return terms.over_total(terms.units).to(x.dtype)


def product_or_0(a: Tensor, b: Tensor) -> Tensor:
    """a b, where 0 · ∞ is 0: a change of 0 has no effect, even where the derivative is infinite."""
    if on_cpu(a) and not torch.isnan((product := a * b).sum()):
        return product.contiguous()
    return torch.where((a == 0) | (b == 0), 0, a * b).contiguous()


times = Differentiable(
    "times",
    product_or_0,
    2,
    lambda inputs, _, g, needed: (times(g, inputs[1]), times(inputs[0], g)),
    lambda inputs, tangents: times(tangents[0], inputs[1]) + times(inputs[0], tangents[1]),
)


def weighted_backward(inputs, _, g, needed):
    x, b, _, dim = inputs
    of_x = g * by_number(x, b, dim) if needed[0] else None
    return of_x, times(by_weight(x, b, dim), g.expand(x.shape)) if needed[1] else None


def weighted_slope(inputs, tangents):
    (x, b, _, dim), (t, u, *_) = inputs, tangents
    return change_of_value(x, b, dim, t, u)


def change_of_value(x, b, dim, t, u):
    return (times(by_number(x, b, dim), t) + times(by_weight(x, b, dim), u)).sum(dim, keepdim=True)


def by_number_backward(inputs, _, v, needed):
    x, b, dim = inputs
    of_x, of_b = by_number(x, b, dim), by_weight(x, b, dim)
    change = v - times(of_x, v).sum(dim, keepdim=True)
    return times(of_x, change), times(of_b, change)


def by_number_slope(inputs, tangents):
    (x, b, dim), (t, u, _) = inputs, tangents
    change = t - change_of_value(x, b, dim, t, u)
    return times(by_number(x, b, dim), change) + times(by_weight(x, b, dim), u)


def by_weight_backward(inputs, _, v, needed):
    x, b, dim = inputs
    of_b = by_weight(x, b, dim)
    total = times(of_b, v).sum(dim, keepdim=True)
    return times(of_b, v) - times(by_number(x, b, dim), total.expand(x.shape)), -times(of_b, total.expand(x.shape))


def by_weight_slope(inputs, tangents):
    (x, b, dim), (t, u, _) = inputs, tangents
    return times(by_weight(x, b, dim), t - change_of_value(x, b, dim, t, u))


weighted = Differentiable("weighted", weighted_values, 2, weighted_backward, weighted_slope, kept)
by_number = Differentiable("by_number", gradient_by_number, 2, by_number_backward, by_number_slope)
by_weight = Differentiable("by_weight", gradient_by_weight, 2, by_weight_backward, by_weight_slope)
# The sign of the sum, whose derivative is 0.
sign_of_sum = Differentiable(
    "sign_of_sum", signs, 2, lambda *_: (None, None), lambda inputs, _: torch.zeros_like(kept(*inputs)), kept, saves=()
)


# Means, variances, entropies.


def mean_values(x: Tensor, dim: list[int]) -> Tensor:
    if on_cpu(x):
        return moments("logmeanexp", x, dim, 0)
    return (logsumexp(wide(x), dim) - (math.log(count(x, dim)) if count(x, dim) else torch.nan)).to(x.dtype)


def variance_values(x: Tensor, ddof: int, dim: list[int]) -> Tensor:
    if on_cpu(x):
        return moments("logvarexp", x, dim, ddof)
    number = count(x, dim)
    if number <= ddof or number == 0:
        return logsumexp(x, dim) * torch.nan
    spread = (softmax(wide(x), dim) - 1 / number).square().sum(dim, keepdim=True)
    return (2 * logsumexp(wide(x), dim) + (spread / (number - ddof)).log()).to(x.dtype)


def entropies(x: Tensor, dim: list[int]) -> Tensor:
    if on_cpu(x):
        return moments("softmax_entropy", x, dim, 0)
    return mean(softmax(wide(x), dim), surprisal(wide(x), dim), dim).to(x.dtype)


def moments(name, x, dim, parameter):
    return by_numpy(lambda x: _core.moment_value(name, x, tuple(dim), True, float(parameter)), x)


def surprisal(x, dim):
    """−log softmax, and 0 where the softmax is 0 in its format."""
    return torch.where(softmax(x, dim) == 0, 0, -log_softmax(x, dim))


def entropy_slopes(x: Tensor, dim: list[int]) -> Tensor:
    """p (s − Σ p s) with s = −log p. s may be replaced by −x, since a number common to all elements has no influence;
    −x is not rounded."""
    if on_cpu(x):
        return by_numpy(lambda x: _core.softmax_entropy_gradient(x, tuple(dim)), x)
    p, greatest = softmax(x, dim), x.amax(dim, keepdim=True) if x.numel() else x
    # Numbers far below the greatest contribute nothing, and their distance from it may overflow.
    difference = torch.where(p == 0, 0, finite_or_0(greatest) - x)
    return shares_slope(p, torch.where(greatest == torch.inf, surprisal(x, dim), difference), dim)


def entropy_hessian(x, dim, v):
    """The Hessian times v: a (v − v̄) − p Σ a v − p (v − v̄) with the gradient a and means over p."""
    x, v, dtype = wide(x), wide(v), x.dtype
    p = softmax(x, dim)
    return (slope_of_gradient(p, entropy_slope(x, dim), v, dim) - softmax_slope(p, v, dim)).to(dtype)


def slope_of_gradient(p, a, v, dim):
    """a (v − v̄) − p Σ a v, with v̄ = Σ p v: the derivative in the direction v of a = p (f − Σ p f), without the part
    that comes from the derivative of f."""
    return times(a, v - mean(p, v, dim)) - p * times(a, v).sum(dim, keepdim=True)


def variance_gradient(x, dim):
    """2 p (p − 1/n) / Σ (p − 1/n)². NaN where all numbers are equal, and the logarithm of the variance is −∞."""
    p = softmax(wide(x), dim)
    spread = p - 1 / max(count(x, dim), 1)
    return (2 * p * spread / spread.square().sum(dim, keepdim=True)).to(x.dtype)


logmeanexp = Differentiable("logmeanexp", mean_values, 1, of_logsumexp, logsumexp_slope, kept)
logvarexp = Differentiable(
    "logvarexp",
    variance_values,
    1,
    lambda inputs, _, g, needed: (g * variance_gradient(inputs[0], inputs[2]),),
    lambda inputs, tangents: (variance_gradient(inputs[0], inputs[2]) * tangents[0]).sum(inputs[2], keepdim=True),
    kept,
)
softmax_entropy = Differentiable(
    "softmax_entropy",
    entropies,
    1,
    lambda inputs, _, g, needed: (g * entropy_slope(*inputs),),
    lambda inputs, tangents: (entropy_slope(*inputs) * tangents[0]).sum(inputs[1], keepdim=True),
    kept,
)
entropy_slope = Differentiable(
    "softmax_entropy_slope",
    entropy_slopes,
    1,
    lambda inputs, _, v, needed: (entropy_hessian(*inputs, v),),
    lambda inputs, tangents: entropy_hessian(*inputs, tangents[0]),
)
