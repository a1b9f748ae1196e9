"""The losses of classification of rows of scores: a loss for each row, and the gradient of each."""

import torch
from torch import Tensor

from .. import _general
from ._differentiable import Differentiable, on_cpu
from ._reductions import log_softmax, softmax, softmax_slope


def each_loss(x: Tensor, target: Tensor, weight: Tensor | None, ignored: int, smoothing: float) -> Tensor:
    if on_cpu(x):
        return by_core(x, target, weight, ignored, smoothing, False)[0]
    q = weights_of(x, target, weight, ignored, smoothing)
    return torch.where(q == 0, 0, -q * log_softmax(x, [-1])).sum(-1)


def each_gradient(
    x: Tensor, target: Tensor, scale: Tensor, weight: Tensor | None, ignored: int, smoothing: float
) -> Tensor:
    """The gradient of the losses' sum, where each counts `scale` times."""
    if on_cpu(x):
        slope = by_core(x, target, weight, ignored, smoothing, True)[1].contiguous()
    else:
        q = weights_of(x, target, weight, ignored, smoothing)
        slope = q.sum(-1, keepdim=True) * softmax(x, [-1]) - q
    return slope.mul_(scale[..., None])


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
    own = torch.nn.functional.one_hot(torch.where(counts, target, 0), classes).to(x.dtype)
    if weight is None:
        q = own * (1 - smoothing) + smoothing / classes
    else:
        q = own * weight * (1 - smoothing) + weight * (smoothing / classes)
    return torch.where(counts[..., None], q, 0)


def losses_backward(inputs, _, g):
    x, target, *options = inputs
    return (losses_gradient(x, target, g, *options),)


def losses_slope(inputs, tangents):
    x, target, *options = inputs
    return (losses_gradient(x, target, x.new_ones(x.shape[:-1]), *options) * tangents[0]).sum(-1)


def second(x, target, scale, options, v):
    """The Hessian of each row's loss, scaled, times a vector."""
    whole = weights_of(x, target, *options).sum(-1)
    return (scale * whole)[..., None] * softmax_slope(softmax(x, [-1]), v, [-1])


def gradient_backward(inputs, _, v):
    x, target, scale, *options = inputs
    of_scale = (losses_gradient(x, target, torch.ones_like(scale), *options) * v).sum(-1)
    return second(x, target, scale, options, v), None, of_scale


def gradient_slope(inputs, tangents):
    (x, target, scale, *options), (t, _, u, *_) = inputs, tangents
    of_scale = u[..., None] * losses_gradient(x, target, torch.ones_like(scale), *options)
    return second(x, target, scale, options, t) + of_scale


losses = Differentiable(
    "cross_entropy",
    each_loss,
    2,
    losses_backward,
    losses_slope,
    lambda x, *_: x.new_empty(x.shape[:-1]),
)
losses_gradient = Differentiable("cross_entropy_gradient", each_gradient, 3, gradient_backward, gradient_slope)
