"""Losses of the classification of rows of scores: the loss of each row, and its gradient."""

import torch
from torch import Tensor

from .. import _general
from .._arguments import positive
from . import _cuda
from ._arguments import refuse_tensors, within
from ._differentiable import Differentiable, on_cpu
from ._reductions import Powers, finite_or_0, log_softmax, logsumexp, softmax, softmax_slope, times


def of_rows(argument):
    """The function of the losses, and of what is kept for their gradient. Its errors call the targets by the name of
    this argument."""

    def each_loss(
        x: Tensor, target: Tensor, weight: Tensor | None, ignored: int, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        if not target.is_floating_point():
            within(target, x.shape[-1], ignored, argument)
        if on_cpu(x):
            return by_core(x, target, weight, ignored, smoothing, False)[0], nothing_kept(x)
        if has_kernel(x, target, weight, smoothing):
            return _cuda.losses(x, target, ignored)
        q, powers = weights_of(x, target, weight, ignored, smoothing), Powers(x, [-1])
        # Halves of differences do not overflow.
        below = x / 2 - powers.shift / 2
        logs = torch.where(torch.isinf(powers.greatest), powers.logs, below) - powers.log_of_total / 2
        logs = torch.where(powers.greatest == -torch.inf, -torch.inf, logs)
        return (2 * torch.where(q == 0, 0, -q * logs).sum(-1)).to(x.dtype), nothing_kept(x)

    return each_loss


def nothing_kept(x):
    return x.new_empty((*x.shape[:-1], 0), dtype=torch.float64)


def without_values(x, target, weight, ignored, smoothing):
    """Results like those of `of_rows`."""
    return x.new_empty(x.shape[:-1]), _cuda.new_kept(x) if has_kernel(x, target, weight, smoothing) else nothing_kept(x)


def gradient_without_values(x, target, scale, kept, weight, ignored, smoothing):
    return torch.empty_like(x) if has_kernel(x, target, weight, smoothing) else x.new_empty(x.shape)


def each_gradient(
    x: Tensor,
    target: Tensor,
    scale: Tensor,
    kept: Tensor | None,
    weight: Tensor | None,
    ignored: int,
    smoothing: float,
) -> Tensor:
    """The gradient of the sum of the losses, each multiplied by `scale`, with what the losses kept, or None."""
    if on_cpu(x):
        slope = by_core(x, target, weight, ignored, smoothing, True)[1].contiguous()
        return slope.mul_(scale[..., None])
    if has_kernel(x, target, weight, smoothing):
        return _cuda.loss_gradients(x, target, ignored, scale, kept)
    q = weights_of(x, target, weight, ignored, smoothing)
    whole = q.sum(-1, keepdim=True)
    # Rows that do not count may contain any numbers; where all scores are −∞, the loss is constant.
    is_constant = (whole == 0) | (x.amax(-1, keepdim=True) == -torch.inf)
    p = softmax(x, [-1])
    # For a probability p > 0.5, 1 − p is the sum of the others, which may be small.
    others = torch.where(p > 0.5, 0, p).sum(-1, keepdim=True)
    slope = torch.where(p > 0.5, whole - q - whole * others, whole * p - q)
    return torch.where(is_constant, 0, slope * scale[..., None])


def has_kernel(x, target, weight, smoothing):
    """Whether there is a kernel for the GPU that the scores are on: for classes as targets, without further options."""
    return not target.is_floating_point() and weight is None and smoothing == 0 and _cuda.takes(x)


def by_core(x, target, weight, ignored, smoothing, gradient):
    options = dict(ignore_index=ignored, reduction="none", label_smoothing=smoothing, z_loss=0.0, temperature=1.0)
    return _general.losses(x, target, weight, -1, options, gradient)


def weights_of(x, target, weight, ignored, smoothing):
    """q: the weight of each class in the loss of each row."""
    classes = x.shape[-1]
    if target.is_floating_point():
        q = target * (1 - smoothing) + smoothing / classes
        return q if weight is None else q * weight
    counts = target != ignored
    own = (target[..., None] == torch.arange(classes, device=x.device)).to(x.dtype)
    if weight is None:
        q = own * (1 - smoothing) + smoothing / classes
    else:
        q = own * weight * (1 - smoothing) + weight * (smoothing / classes)
    # Where a target out of range could not raise an error, the result is NaN.
    is_within = (target >= 0) & (target < classes)
    return torch.where(counts[..., None], torch.where(is_within[..., None], q, torch.nan), 0)


# q is linear in the probabilities and in the weights; the factors may be 0 where a score is −∞. The functions below
# compute the change of q for changes of these, and pull cotangents of q back to them.


def by_weight(x, target, ignored, smoothing):
    """q without weights, which is the derivative of q with respect to them."""
    return weights_of(x, target, None, ignored, smoothing)


def by_probability(x, weight, smoothing):
    factor = x.new_tensor(1 - smoothing) if weight is None else weight * (1 - smoothing)
    return factor.expand(x.shape)


def change_of_q(x, target, weight, ignored, smoothing, dt, dw):
    change = torch.zeros_like(x)
    if dt is not None and target.is_floating_point():
        change = change + times(by_probability(x, weight, smoothing), dt)
    if dw is not None:
        change = change + times(by_weight(x, target, ignored, smoothing), dw.expand(x.shape))
    return change


def back_from_q(x, target, weight, ignored, smoothing, of_q):
    """The cotangents of the target and of the weights, given that of q."""
    of_target = times(by_probability(x, weight, smoothing), of_q) if target.is_floating_point() else None
    if weight is None:
        return of_target, None
    return of_target, times(by_weight(x, target, ignored, smoothing), of_q).reshape(-1, x.shape[-1]).sum(0)


def counted(x, target, ignored):
    """The scores, with 0 in rows that do not count, since these may contain any numbers."""
    return x if target.is_floating_point() else torch.where((target == ignored)[..., None], 0, x)


def of_targets(weight, target, counts):
    """The weight of each target; 0 where it does not count."""
    own = weight.index_select(0, torch.where(counts, target, 0).reshape(-1)).reshape(target.shape)
    return torch.where(counts, own, 0)


def whole_of(x, target, weight, ignored, smoothing):
    """Σ q for each row."""
    if target.is_floating_point():
        return weights_of(x, target, weight, ignored, smoothing).sum(-1)
    counts = target != ignored
    if weight is None:
        return counts.to(x.dtype)
    return (1 - smoothing) * of_targets(weight, target, counts) + torch.where(counts, smoothing * weight.mean(), 0)


def ratio(x: Tensor, y: Tensor) -> Tensor:
    return (x / y).contiguous()


# x/y. In its derivative with respect to y, 0 times an infinite x/y is 0: scores that mask classes out contribute
# nothing.
quotient = Differentiable(
    "quotient",
    ratio,
    2,
    lambda inputs, _, g, needed: (
        quotient(g, inputs[1]),
        -times(quotient(g, inputs[1]), quotient(*inputs)) if needed[1] else None,
    ),
    lambda inputs, tangents: quotient(tangents[0], inputs[1]) - times(quotient(*inputs), quotient(tangents[1], inputs[1])),
)


def greatest_of(x):
    return x.detach().amax(-1, keepdim=True) if x.numel() else x.sum(-1, keepdim=True)


def at_temperature(x, temperature):
    """(x − s) / temperature, which has the same losses as x / temperature, and s / temperature, with s the greatest
    score. Only scores that contribute nothing to a loss can then overflow."""
    temperature = torch.as_tensor(temperature, dtype=x.dtype, device=x.device)
    greatest = finite_or_0(greatest_of(x))
    # Differences of halves do not overflow.
    below, half = x / 2 - greatest / 2, (temperature / 2).expand(x.shape)
    # What is infinite does not change with the temperature.
    half = torch.where(torch.isinf(below / half), half.detach(), half)
    return quotient(below, half), quotient(greatest, temperature.expand(greatest.shape))[..., 0]


def scaling(temperature, softcap):
    """A temperature and a soft cap (or None), checked."""
    refuse_tensors(temperature=temperature, softcap=softcap)
    return positive(temperature, "temperature"), None if softcap is None else positive(softcap, "softcap")


def capped(x, softcap):
    """c · tanh(x / c), which lies within ±c; −∞ stays what it is, so that a masked score gets no share."""
    return torch.where(torch.isneginf(x), x, softcap * torch.tanh(x / softcap))


def scaled(x, dim, temperature, softcap):
    """The scores with a soft cap, divided by a temperature, in float64; unchanged if there is neither. After the cap
    the greatest score, if it is finite, is subtracted. That leaves the softmax as it is, and only scores whose softmax
    is 0 can then overflow."""
    if temperature == 1 and softcap is None:
        return x
    x = x.double()
    x = x if softcap is None else capped(x, softcap)
    return (x - finite_or_0(x.detach().amax(dim, keepdim=True))) / temperature if x.numel() else x


def squares(x, shift, whole):
    """The squared log-sum-exps. A row that does not count may contain any numbers: zeros take its place if its greatest
    is infinite or NaN."""
    is_void = (whole[..., None] == 0) & ~torch.isfinite(greatest_of(x))
    return (shift + logsumexp(torch.where(is_void, 0, x), [-1])[..., 0]).square()


def losses_backward(inputs, kept, g, needed):
    x, target, weight, *options = inputs
    by_scores = losses_gradient(x, target, g, kept, weight, *options) if needed[0] else None
    if not any(needed[1:]):
        return by_scores, None, None
    surprisal = -log_softmax(counted(x, target, options[0]), [-1])
    return by_scores, *back_from_q(x, target, weight, *options, times(surprisal, g[..., None].expand(x.shape)))


def losses_slope(inputs, tangents):
    (x, target, weight, *options), (t, dt, dw, *_) = inputs, tangents
    slope = times(losses_gradient(x, target, x.new_ones(x.shape[:-1]), None, weight, *options), t).sum(-1)
    if not target.is_floating_point() and weight is None:
        return slope
    surprisal = -log_softmax(counted(x, target, options[0]), [-1])
    return slope + times(surprisal, change_of_q(x, target, weight, *options, dt, dw)).sum(-1)


def second(x, p, target, scale, options, v):
    """The Hessian of each row's loss, multiplied by `scale`, times a vector."""
    factor = (scale * whole_of(x, target, *options))[..., None].expand(x.shape)
    return times(factor, softmax_slope(p, torch.where(p == 0, 0, v), [-1]))


def gradient_backward(inputs, _, v, needed):
    x, target, scale, kept, weight, *options = inputs
    of_scale = (losses_gradient(x, target, torch.ones_like(scale), kept, weight, *options) * v).sum(-1)
    p = softmax(counted(x, target, options[0]), [-1])
    by_scores = second(x, p, target, scale, (weight, *options), v)
    if not (needed[1] or any(needed[4:])):
        return by_scores, None, of_scale
    of_q = scale[..., None] * ((p * v).sum(-1, keepdim=True) - v)
    of_target, of_weight = back_from_q(x, target, weight, *options, of_q)
    return by_scores, of_target, of_scale, None, of_weight


def gradient_slope(inputs, tangents):
    (x, target, scale, kept, weight, *options), (t, dt, u, _, dw, *_) = inputs, tangents
    slope = u[..., None] * losses_gradient(x, target, torch.ones_like(scale), kept, weight, *options)
    p = softmax(counted(x, target, options[0]), [-1])
    slope = slope + second(x, p, target, scale, (weight, *options), t)
    if not target.is_floating_point() and weight is None:
        return slope
    dq = change_of_q(x, target, weight, *options, dt, dw)
    return slope + scale[..., None] * (dq.sum(-1, keepdim=True) * p - dq)


losses, surprisals = (
    Differentiable(name, of_rows(argument), 2, losses_backward, losses_slope, without_values, ("inputs", "kept"))
    for name, argument in (("cross_entropy", "target"), ("token_log_probs", "tokens"))
)
losses_gradient = Differentiable(
    "cross_entropy_gradient", each_gradient, 4, gradient_backward, gradient_slope, gradient_without_values
)


def mean_of(total, count, target, weight, ignored):
    """The mean, given the sum `total` of `count` losses: divided by the total weight of the targets, or by `count` if
    the targets are probabilities. If the divisor is 0, the result is NaN, and its derivative 0."""
    if target.is_floating_point():
        return total / count if count else total.masked_fill(torch.ones_like(total, dtype=torch.bool), torch.nan)
    counts = target != ignored
    number = (counts if weight is None else of_targets(weight, target, counts).to(total.dtype)).sum()
    return torch.where(number == 0, torch.nan, total / torch.where(number == 0, 1, number))
