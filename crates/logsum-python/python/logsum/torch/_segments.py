"""Log-sum-exps and softmaxes of segments along a dimension, which is counted from the end; ids are below `count`."""

import torch
from torch import Tensor

from .. import _core
from ._differentiable import Differentiable, by_numpy, on_cpu
from ._reductions import finite_or_0


def with_length(x, length, dim):
    shape = list(x.shape)
    shape[dim] = length
    return x.new_empty(shape)


def segment_values(x: Tensor, ids: Tensor, count: int, dim: int) -> Tensor:
    if on_cpu(x):
        return by_numpy(lambda x, ids: _core.segments(x, ids.astype("uintp"), count, dim), x, ids)
    shift = finite_or_0(maxima(x, ids, count, dim))
    return sums((x - shift.index_select(dim, ids)).exp(), ids, count, dim).log() + shift


def segment_shares(x: Tensor, ids: Tensor, count: int, dim: int) -> Tensor:
    if on_cpu(x):
        return by_numpy(lambda x, ids: _core.segment_shares(x, ids.astype("uintp"), count, dim), x, ids)
    greatest = maxima(x, ids, count, dim).index_select(dim, ids)
    at_infinity = torch.where(x == torch.inf, 0, -torch.inf).to(x.dtype)
    power = torch.where(greatest == torch.inf, at_infinity, x - finite_or_0(greatest)).exp()
    total = sums(power, ids, count, dim).index_select(dim, ids)
    return torch.where(total == 0, 0, power / torch.where(total == 0, 1, total)).contiguous()


def maxima(x, ids, count, dim):
    return torch.full_like(with_length(x, count, dim), -torch.inf).index_reduce(dim, ids, x, "amax")


def sums(x, ids, count, dim):
    return torch.zeros_like(with_length(x, count, dim)).index_add(dim, ids, x)


def softmax_slope(p, t, ids, count, dim):
    return p * (t - sums(p * t, ids, count, dim).index_select(dim, ids))


def logsumexp_backward(inputs, _, g):
    x, ids, count, dim = inputs
    return (segment_softmax(x, ids, count, dim) * g.index_select(dim, ids),)


def logsumexp_slope(inputs, tangents):
    return sums(segment_softmax(*inputs) * tangents[0], *inputs[1:])


segment_logsumexp = Differentiable(
    "segment_logsumexp",
    segment_values,
    1,
    logsumexp_backward,
    logsumexp_slope,
    lambda x, ids, count, dim: with_length(x, count, dim),
)
segment_softmax = Differentiable(
    "segment_softmax",
    segment_shares,
    1,
    lambda inputs, p, g: (softmax_slope(p, g, *inputs[1:]),),
    lambda inputs, tangents: softmax_slope(segment_softmax(*inputs), tangents[0], *inputs[1:]),
    saves=("inputs", "output"),
)
