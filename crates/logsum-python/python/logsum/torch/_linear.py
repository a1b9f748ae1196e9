"""Losses of classification whose scores are linear functions of rows, and are never all stored at once."""

import torch
from torch.nn.functional import linear

from . import _reductions
from ._differentiable import only_once, refuse_transforms

# The number of scores that are stored at once, and the fewest rows of scores with which a matrix product is fast.
SCORES, FEWEST = 2**24, 256


def chunks(x, w):
    rows = max(SCORES // max(len(w), 1), FEWEST)
    return [slice(start, start + rows) for start in range(0, len(x), rows)]


def losses_of(x, w, b, target, weight, loss):
    """The losses of some rows, recorded, and their scores, in float32 at least: narrow scores would give narrow
    losses."""
    with torch.enable_grad():
        scores = _reductions.wide(linear(x, w, b).detach()).requires_grad_()
        return loss(scores, target, weight), scores


class Slopes:
    """The derivatives with respect to x, w and b, if they are needed. Those with respect to w and b are summed in
    float32 at least."""

    def __init__(self, x, w, b, needed):
        self.inputs = x, w, b
        like = lambda y: torch.zeros_like(y, dtype=torch.promote_types(y.dtype, torch.float32))
        self.of_x = torch.zeros_like(x) if needed[0] else None
        self.of_w, self.of_b = (like(y) if is_needed else None for y, is_needed in zip((w, b), needed[1:]))

    def add(self, rows, of_scores):
        """Adds the contribution of these rows, given the derivatives with respect to their scores."""
        x, w, _ = self.inputs
        if self.of_b is not None:
            self.of_b += of_scores.sum(0)
        of_scores = of_scores.to(x.dtype)
        if self.of_x is not None:
            torch.mm(of_scores, w, out=self.of_x[rows])
        if self.of_w is not None and self.of_w.dtype == x.dtype:
            self.of_w.addmm_(of_scores.T, x[rows])
        elif self.of_w is not None:
            self.of_w += of_scores.T @ x[rows]

    def times(self, factor):
        slopes = zip((self.of_x, self.of_w, self.of_b), self.inputs)
        return [None if slope is None else (_reductions.wide(slope) * factor).to(y.dtype) for slope, y in slopes]


def unit_of(numbers):
    """The greatest magnitude of these numbers, which are factors of the derivatives; 1 if there are none, and within
    1e-18 to 1e18. Derivatives are divided by it until they are complete, so that they neither overflow nor underflow in
    narrow formats."""
    greatest = 1.0 if numbers is None or not numbers.numel() else numbers.abs().max()
    return torch.as_tensor(greatest).nan_to_num(1.0, 1.0).clamp(1e-18, 1e18)


class SumOfLosses(torch.autograd.Function):
    """The sum of the losses. Its derivatives are computed in the same pass."""

    @staticmethod
    def forward(ctx, x, w, b, target, weight, loss, steepness, is_recorded):
        needed = [is_recorded and is_needed for is_needed in ctx.needs_input_grad[:3]]
        ctx.slopes, ctx.unit, total = Slopes(x, w, b, needed), unit_of(weight) * steepness, 0
        for rows in chunks(x, w):
            losses, scores = losses_of(x[rows], w, b, target[rows], weight, loss)
            total = total + losses.detach().sum()
            if any(needed):
                ctx.slopes.add(rows, *torch.autograd.grad(losses, scores, torch.ones_like(losses) / ctx.unit))
        ctx.save_for_backward(x, w, b)
        return total + _reductions.wide(x.new_zeros(()))

    @staticmethod
    def backward(ctx, g):
        with torch.no_grad():
            slopes = ctx.slopes.times(g * ctx.unit)
        return *only_once("linear_cross_entropy", slopes, (*ctx.saved_tensors, g)), None, None, None, None, None


class EachLoss(torch.autograd.Function):
    """The loss of each row. The scores are computed again for the derivatives."""

    @staticmethod
    def forward(ctx, x, w, b, target, weight, loss, steepness):
        ctx.save_for_backward(x, w, b, target, weight)
        ctx.loss, ctx.steepness = loss, steepness
        each = [losses_of(x[rows], w, b, target[rows], weight, loss)[0].detach() for rows in chunks(x, w)]
        return torch.cat([_reductions.wide(x.new_zeros(0)), *each])

    @staticmethod
    def backward(ctx, g):
        x, w, b, target, weight = ctx.saved_tensors
        with torch.no_grad():
            slopes, unit = Slopes(x, w, b, ctx.needs_input_grad), unit_of(weight) * unit_of(g) * ctx.steepness
            for rows in chunks(x, w):
                losses, scores = losses_of(x[rows], w, b, target[rows], weight, ctx.loss)
                slopes.add(rows, *torch.autograd.grad(losses, scores, g[rows] / unit))
            slopes = slopes.times(unit)
        return *only_once("linear_cross_entropy", slopes, (x, w, b, g)), None, None, None, None


def sum_of_losses(x, w, b, *others):
    refuse_transforms("linear_cross_entropy", x, w, b)
    return SumOfLosses.apply(x, w, b, *others, torch.is_grad_enabled())


def each_loss(x, w, b, *others):
    refuse_transforms("linear_cross_entropy", x, w, b)
    return EachLoss.apply(x, w, b, *others)
