"""Log-sum-exps and softmaxes of segments along a dimension, which is counted from the end. Ids are below `count`."""

import torch
from torch import Tensor

from .. import _core
from ._differentiable import Differentiable, by_numpy, on_cpu
from ._reductions import finite_or_0, logarithm_of_sum, wide


def with_length(x, length, dim):
    shape = list(x.shape)
    shape[dim] = length
    return x.new_empty(shape)


def segment_values(x: Tensor, ids: Tensor, count: int, dim: int) -> Tensor:
    if on_cpu(x):
        return by_numpy(lambda x, ids: _core.segments(x, ids.astype("uintp"), count, dim), x, ids)
    logs, greatest = logs_of(x, ids, count, dim)
    value = logarithm_of_sum(logs, lambda terms: sums(terms, ids, count, dim)) + finite_or_0(greatest)
    return torch.where(greatest == torch.inf, torch.inf, value).to(x.dtype)


def segment_shares(x: Tensor, ids: Tensor, count: int, dim: int) -> Tensor:
    if on_cpu(x):
        return by_numpy(lambda x, ids: _core.segment_shares(x, ids.astype("uintp"), count, dim), x, ids)
    powers = logs_of(x, ids, count, dim)[0].exp()
    total = sums(powers, ids, count, dim).index_select(dim, ids)
    return torch.where(total == 0, 0, powers / total).to(x.dtype).contiguous()


def logs_of(x, ids, count, dim):
    """x − s, with s the greatest number of the segment, which is returned as well. If that is +∞, each +∞ of the
    segment has 0, and all its other numbers have −∞."""
    x = wide(x)
    greatest = torch.full_like(with_length(x, count, dim), -torch.inf).index_reduce(dim, ids, x, "amax")
    shift = greatest.index_select(dim, ids)
    at_infinity = torch.where(x == torch.inf, 0.0, -torch.inf)
    return torch.where(shift == torch.inf, at_infinity, x - finite_or_0(shift)), greatest


def sums(x, ids, count, dim):
    return torch.zeros_like(with_length(wide(x), count, dim)).index_add(dim, ids, wide(x)).to(x.dtype)


def softmax_slope(p, t, ids, count, dim):
    return p * (t - sums(p * t, ids, count, dim).index_select(dim, ids))


def logsumexp_backward(inputs, _, g, needed):
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
    lambda inputs, p, g, _: (softmax_slope(p, g, *inputs[1:]),),
    lambda inputs, tangents: softmax_slope(segment_softmax(*inputs), tangents[0], *inputs[1:]),
    saves=("inputs", "output"),
)
