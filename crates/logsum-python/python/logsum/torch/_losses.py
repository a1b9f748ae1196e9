"""The losses of classification of rows of scores: a loss for each row, and the gradient of each."""

import torch
from torch import Tensor

from .. import _general
from ._arguments import within
from ._differentiable import Differentiable, on_cpu
from ._reductions import Powers, finite_or_0, log_softmax, logsumexp, softmax, softmax_slope, times


def of_rows(argument):
    """The losses, of targets that users know as this argument."""

    def each_loss(x: Tensor, target: Tensor, weight: Tensor | None, ignored: int, smoothing: float) -> Tensor:
        if not target.is_floating_point():
            within(target, x.shape[-1], ignored, argument)
        if on_cpu(x):
            return by_core(x, target, weight, ignored, smoothing, False)[0]
        q, powers = weights_of(x, target, weight, ignored, smoothing), Powers(x, [-1])
        # Halves do not overflow where their sum does not.
        below = x / 2 - powers.shift / 2
        logs = torch.where(torch.isinf(powers.greatest), powers.logs, below) - powers.log_of_total / 2
        logs = torch.where(powers.greatest == -torch.inf, -torch.inf, logs)
        return (2 * torch.where(q == 0, 0, -q * logs).sum(-1)).to(x.dtype)

    return each_loss


def each_gradient(
    x: Tensor, target: Tensor, scale: Tensor, weight: Tensor | None, ignored: int, smoothing: float
) -> Tensor:
    """The gradient of the losses' sum, where each counts `scale` times."""
    if on_cpu(x):
        slope = by_core(x, target, weight, ignored, smoothing, True)[1].contiguous()
        return slope.mul_(scale[..., None])
    q = weights_of(x, target, weight, ignored, smoothing)
    whole = q.sum(-1, keepdim=True)
    # What does not count may hold anything; where all is −∞ nothing changes.
    is_constant = (whole == 0) | (x.amax(-1, keepdim=True) == -torch.inf)
    p = softmax(x, [-1])
    # Of what is nearly certain, what the others have: it may be small.
    others = torch.where(p > 0.5, 0, p).sum(-1, keepdim=True)
    slope = torch.where(p > 0.5, whole - q - whole * others, whole * p - q)
    return torch.where(is_constant, 0, slope * scale[..., None])


def by_core(x, target, weight, ignored, smoothing, gradient):
    options = dict(ignore_index=ignored, reduction="none", label_smoothing=smoothing, z_loss=0.0, temperature=1.0)
    return _general.losses(x, target, weight, -1, options, gradient)


def weights_of(x, target, weight, ignored, smoothing):
    """q: what each class weighs in each row."""
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
    # Where nobody could complain of it, what is out of range is not lost without a word.
    is_within = (target >= 0) & (target < classes)
    return torch.where(counts[..., None], torch.where(is_within[..., None], q, torch.nan), 0)


# q is linear in the probabilities and in the weights, by factors that may be 0 where a score is −∞. The functions below
# give the change of q for changes of these, and take cotangents of q back to them.


def by_weight(x, target, ignored, smoothing):
    """q without weights."""
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
    """Cotangents of the target and the weights."""
    of_target = times(by_probability(x, weight, smoothing), of_q) if target.is_floating_point() else None
    if weight is None:
        return of_target, None
    return of_target, times(by_weight(x, target, ignored, smoothing), of_q).reshape(-1, x.shape[-1]).sum(0)


def counted(x, target, ignored):
    """The scores, 0 in rows that do not count: those may hold anything."""
    return x if target.is_floating_point() else torch.where((target == ignored)[..., None], 0, x)


def of_targets(weight, target, counts):
    """The weight of each target, 0 of what does not count."""
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


# By y only as far as it is by x: what masks, and may be as far away as it will, has no part in it.
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
    """(x − s) / temperature, which has the same losses, and s / temperature: the greatest score is s, so that nothing overflows but
    what has no part in a loss."""
    temperature = torch.as_tensor(temperature, dtype=x.dtype, device=x.device)
    greatest = finite_or_0(greatest_of(x))
    # Differences of halves do not overflow.
    below, half = x / 2 - greatest / 2, (temperature / 2).expand(x.shape)
    # What is infinite does not change with the temperature.
    half = torch.where(torch.isinf(below / half), half.detach(), half)
    return quotient(below, half), quotient(greatest, temperature.expand(greatest.shape))[..., 0]


def squares(x, shift, whole):
    """Squared log-sum-exps; of rows that do not count, which may hold anything, some number."""
    is_void = (whole[..., None] == 0) & ~torch.isfinite(greatest_of(x))
    return (shift + logsumexp(torch.where(is_void, 0, x), [-1])[..., 0]).square()


def losses_backward(inputs, _, g, needed):
    x, target, weight, *options = inputs
    by_scores = losses_gradient(x, target, g, weight, *options) if needed[0] else None
    if not any(needed[1:]):
        return by_scores, None, None
    surprisal = -log_softmax(counted(x, target, options[0]), [-1])
    return by_scores, *back_from_q(x, target, weight, *options, times(surprisal, g[..., None].expand(x.shape)))


def losses_slope(inputs, tangents):
    (x, target, weight, *options), (t, dt, dw, *_) = inputs, tangents
    slope = times(losses_gradient(x, target, x.new_ones(x.shape[:-1]), weight, *options), t).sum(-1)
    if not target.is_floating_point() and weight is None:
        return slope
    surprisal = -log_softmax(counted(x, target, options[0]), [-1])
    return slope + times(surprisal, change_of_q(x, target, weight, *options, dt, dw)).sum(-1)


def second(x, p, target, scale, options, v):
    """The Hessian of each row's loss, scaled, times a vector."""
    factor = (scale * whole_of(x, target, *options))[..., None].expand(x.shape)
    return times(factor, softmax_slope(p, torch.where(p == 0, 0, v), [-1]))


def gradient_backward(inputs, _, v, needed):
    x, target, scale, weight, *options = inputs
    of_scale = (losses_gradient(x, target, torch.ones_like(scale), weight, *options) * v).sum(-1)
    p = softmax(counted(x, target, options[0]), [-1])
    by_scores = second(x, p, target, scale, (weight, *options), v)
    if not (needed[1] or any(needed[3:])):
        return by_scores, None, of_scale, None
    of_q = scale[..., None] * ((p * v).sum(-1, keepdim=True) - v)
    of_target, of_weight = back_from_q(x, target, weight, *options, of_q)
    return by_scores, of_target, of_scale, of_weight


def gradient_slope(inputs, tangents):
    (x, target, scale, weight, *options), (t, dt, u, dw, *_) = inputs, tangents
    slope = u[..., None] * losses_gradient(x, target, torch.ones_like(scale), weight, *options)
    p = softmax(counted(x, target, options[0]), [-1])
    slope = slope + second(x, p, target, scale, (weight, *options), t)
    if not target.is_floating_point() and weight is None:
        return slope
    dq = change_of_q(x, target, weight, *options, dt, dw)
    return slope + scale[..., None] * (dq.sum(-1, keepdim=True) * p - dq)


losses, surprisals = (
    Differentiable(name, of_rows(argument), 2, losses_backward, losses_slope, lambda x, *_: x.new_empty(x.shape[:-1]))
    for name, argument in (("cross_entropy", "target"), ("token_log_probs", "tokens"))
)
losses_gradient = Differentiable("cross_entropy_gradient", each_gradient, 3, gradient_backward, gradient_slope)


def mean_of(total, count, target, weight, ignored):
    """The sum of so many losses, divided by what all targets weigh: NaN, which does not change, if that is nothing."""
    if target.is_floating_point():
        return total / count if count else total.masked_fill(torch.ones_like(total, dtype=torch.bool), torch.nan)
    counts = target != ignored
    number = (counts if weight is None else of_targets(weight, target, counts).to(total.dtype)).sum()
    return torch.where(number == 0, torch.nan, total / torch.where(number == 0, 1, number))
