"""logsum's functions for PyTorch, with torch's arguments, as operators of torch.library.

They have derivatives of any order, backward and forward, and run under torch.compile and vmap. On the CPU each runs in logsum's
compiled code; on other devices in torch's own operations, by the same formulas and conventions, where values are right to some
ulps rather than correctly rounded.
"""

import numpy as np
import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor

from . import _core, _general
from ._libraries import Torch

__all__ = ["cross_entropy", "log_softmax", "logaddexp", "logcumsumexp", "logsumexp", "softmax", "token_log_probs"]


def by_numpy(function, *tensors):
    """`function` of the tensors' memory as NumPy arrays."""
    library = Torch(tensors[0])
    return library.result(function(*(library.array(x) for x in tensors)))


def on_cpu(x):
    return x.device.type == "cpu"


def room(x):
    """Memory for a result like `x`: on the CPU NumPy's, which asks for large pages, and is there much sooner."""
    if not on_cpu(x):
        return torch.empty(x.shape, dtype=x.dtype, device=x.device)
    return torch.from_numpy(np.empty((*x.shape, x.itemsize), np.uint8)).view(x.dtype).squeeze(-1)


def finite_or_0(x):
    return torch.where(torch.isfinite(x), x, 0)


def with_tangents(function, slope, *tensors):
    """What `function` gives, and, where forward mode is on, `slope` of primals and tangents."""
    if torch.compiler.is_compiling():
        return function(*tensors)
    duals = [forward_ad.unpack_dual(x) if x.is_floating_point() else (x, None) for x in tensors]
    if all(tangent is None for _, tangent in duals):
        return function(*tensors)
    primals = [primal for primal, _ in duals]
    tangents = [torch.zeros_like(primal) if tangent is None else tangent for primal, tangent in duals]
    return forward_ad.make_dual(function(*primals), slope(*primals, *tangents))


class Differentiable:
    """An operator with its derivative backward and its rule for vmap.

    The transforms of torch.func take these from an autograd.Function, all else from the operator itself.
    """

    def __init__(self, operator, setup, backward, rule):
        operator.register_autograd(backward, setup_context=setup)
        operator.register_vmap(rule)
        self.operator = operator
        members = dict(forward=operator, setup_context=setup, backward=backward, vmap=rule)
        members = {name: staticmethod(member) for name, member in members.items()}
        self.function = type(operator._name, (torch.autograd.Function,), members)

    def __call__(self, *arguments):
        if not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active():
            return self.function.apply(*arguments)
        return self.operator(*arguments)


def over_batches(count, operator):
    """The rule of vmap for what `operator()` gives, whose first `count` arguments are tensors, with dimensions counted from the end."""

    def rule(info, in_dims, *arguments):
        if any(isinstance(d, int) for d in in_dims[count:]):
            raise NotImplementedError("vmap over the weights of classes")
        tensors = [
            x.expand(info.batch_size, *x.shape) if d is None else x.movedim(d, 0)
            for x, d in zip(arguments[:count], in_dims)
        ]
        return operator()(*tensors, *arguments[count:]), 0

    return rule


# The dimensions that are reduced are counted from the end, and stay.


@torch.library.custom_op("logsum::logsumexp", mutates_args=())
def _logsumexp(x: Tensor, dim: list[int]) -> Tensor:
    dim = tuple(dim)
    if on_cpu(x):
        return by_numpy(lambda x: _core.logsumexp(x, dim, None, True), x)
    if any(x.shape[d] == 0 for d in dim):
        return x.sum(dim, keepdim=True) - torch.inf
    shift = finite_or_0(x.amax(dim, keepdim=True))
    return (x - shift).exp().sum(dim, keepdim=True).log() + shift


@_logsumexp.register_fake
def _(x, dim):
    shape = list(x.shape)
    for d in dim:
        shape[d] = 1
    return x.new_empty(shape)


@torch.library.custom_op("logsum::softmax", mutates_args=())
def _softmax(x: Tensor, dim: list[int]) -> Tensor:
    dim = tuple(dim)
    if on_cpu(x):
        return by_numpy(lambda x: _core.softmax(x, dim), x)
    if x.numel() == 0:
        return torch.empty(x.shape, dtype=x.dtype, device=x.device)
    maximum = x.amax(dim, keepdim=True)
    at_infinity = torch.where(x == torch.inf, 0, -torch.inf).to(x.dtype)
    power = torch.where(maximum == torch.inf, at_infinity, x - finite_or_0(maximum)).exp()
    total = power.sum(dim, keepdim=True)
    return torch.where(total == 0, 0, power / torch.where(total == 0, 1, total)).contiguous()


@_softmax.register_fake
def _(x, dim):
    return x.new_empty(x.shape)


@torch.library.custom_op("logsum::scaled_softmax", mutates_args=())
def _scaled_softmax(x: Tensor, scale: Tensor, dim: list[int]) -> Tensor:
    """The gradient of log-sum-exp where each value counts `scale` times: the product takes no memory of its own."""
    return _softmax(x, dim).mul_(scale)


@_scaled_softmax.register_fake
def _(x, scale, dim):
    return x.new_empty(x.shape)


@torch.library.custom_op("logsum::log_softmax", mutates_args=())
def _log_softmax(x: Tensor, dim: list[int]) -> Tensor:
    dim = tuple(dim)
    if on_cpu(x):
        return by_numpy(lambda x: _core.log_softmax(x, dim), x)
    value = _logsumexp(x, list(dim))
    return torch.where(value == -torch.inf, -torch.inf, x - value).contiguous()


@_log_softmax.register_fake
def _(x, dim):
    return x.new_empty(x.shape)


def keep_input(ctx, inputs, output):
    x, ctx.dim = inputs
    ctx.save_for_backward(x)


def keep_output(ctx, inputs, output):
    _, ctx.dim = inputs
    ctx.save_for_backward(output)


@torch.library.custom_op("logsum::log_softmax_gradient", mutates_args=())
def _log_softmax_gradient(x: Tensor, g: Tensor, dim: list[int]) -> Tensor:
    """g − softmax(x) Σ g: what takes the cotangents of log-softmax back."""
    return _softmax(x, dim).mul_(-g.sum(dim, keepdim=True)).add_(g)


@_log_softmax_gradient.register_fake
def _(x, g, dim):
    return x.new_empty(x.shape)


def log_softmax_gradient_backward(ctx, v):
    x, g = ctx.saved_tensors
    p = _softmax(x, ctx.dim)
    of_x = -g.sum(ctx.dim, keepdim=True) * _softmax_slope(p, v, ctx.dim)
    return of_x, v - (p * v).sum(ctx.dim, keepdim=True), None


@torch.library.custom_op("logsum::softmax_slope", mutates_args=())
def _softmax_slope(p: Tensor, t: Tensor, dim: list[int]) -> Tensor:
    """p (t − Σ p t): the derivative of softmax in a direction, and what takes cotangents back."""
    out = torch.mul(p, t, out=room(p))
    return torch.sub(t, out.sum(dim, keepdim=True), out=out).mul_(p)


@_softmax_slope.register_fake
def _(p, t, dim):
    return p.new_empty(p.shape)


def softmax_slope_backward(ctx, v):
    p, t = ctx.saved_tensors
    of_p = v * (t - (p * t).sum(ctx.dim, keepdim=True)) - t * (p * v).sum(ctx.dim, keepdim=True)
    return of_p, _softmax_slope(p, v, ctx.dim), None


def keep_two(ctx, inputs, output):
    *tensors, ctx.dim = inputs
    ctx.save_for_backward(*tensors)


def scaled_softmax_backward(ctx, v):
    x, scale = ctx.saved_tensors
    p = _softmax(x, ctx.dim)
    return scale * _softmax_slope(p, v, ctx.dim), (p * v).sum(ctx.dim, keepdim=True), None


_logsumexp = Differentiable(
    _logsumexp,
    keep_input,
    lambda ctx, g: (_scaled_softmax(ctx.saved_tensors[0], g, ctx.dim), None),
    over_batches(1, lambda: _logsumexp),
)
_scaled_softmax = Differentiable(
    _scaled_softmax, keep_two, scaled_softmax_backward, over_batches(2, lambda: _scaled_softmax)
)
_softmax_slope = Differentiable(
    _softmax_slope, keep_two, softmax_slope_backward, over_batches(2, lambda: _softmax_slope)
)
_log_softmax_gradient = Differentiable(
    _log_softmax_gradient, keep_two, log_softmax_gradient_backward, over_batches(2, lambda: _log_softmax_gradient)
)
_softmax = Differentiable(
    _softmax,
    keep_output,
    lambda ctx, g: (_softmax_slope(ctx.saved_tensors[0], g, ctx.dim), None),
    over_batches(1, lambda: _softmax),
)
_log_softmax = Differentiable(
    _log_softmax,
    keep_input,
    lambda ctx, g: (_log_softmax_gradient(ctx.saved_tensors[0], g, ctx.dim), None),
    over_batches(1, lambda: _log_softmax),
)


@torch.library.custom_op("logsum::logcumsumexp", mutates_args=())
def _logcumsumexp(x: Tensor, dim: int, reverse: bool) -> Tensor:
    if on_cpu(x):
        return by_numpy(lambda x: _core.cumulative(x, dim, reverse, False), x)
    return torch.logcumsumexp(x.flip(dim), dim).flip(dim) if reverse else torch.logcumsumexp(x, dim).contiguous()


@_logcumsumexp.register_fake
def _(x, dim, reverse):
    return x.new_empty(x.shape)


def keep_cumulative(ctx, inputs, output):
    x, ctx.dim, ctx.reverse = inputs
    ctx.save_for_backward(x, output)


def cumulative_backward(ctx, g):
    """Σ g_i e^{x_k − y_i}, of both signs of g apart, in log space."""
    x, y = ctx.saved_tensors

    def of_sign(g):
        # The place of a y without mass has no part; a second derivative must not see what is computed there.
        counts = (g > 0) & (y > -torch.inf) & (y < torch.inf)
        logs = torch.where(counts, torch.where(counts, g, 1).log() - torch.where(counts, y, 0), -torch.inf)
        sums = _logcumsumexp(logs, ctx.dim, not ctx.reverse)
        has_mass = (x > -torch.inf) & (x < torch.inf) & (sums > -torch.inf)
        return torch.where(has_mass, (torch.where(has_mass, x, 0) + torch.where(has_mass, sums, 0)).exp(), 0)

    gradient = of_sign(g) - of_sign(-g)
    return torch.where(torch.isnan(y) | torch.isnan(g), torch.nan, gradient), None, None


_logcumsumexp = Differentiable(
    _logcumsumexp, keep_cumulative, cumulative_backward, over_batches(1, lambda: _logcumsumexp)
)


@torch.library.custom_op("logsum::logaddexp", mutates_args=())
def _logaddexp(x: Tensor, y: Tensor) -> Tensor:
    if on_cpu(x) and x.dtype != torch.bfloat16:
        return by_numpy(_core.logaddexp, x, y)
    return _logsumexp(torch.stack([x, y], -1), [-1])[..., 0]


@_logaddexp.register_fake
def _(x, y):
    return x.new_empty(x.shape)


def logaddexp_shares(x, y):
    return _softmax(torch.stack([x, y], -1), [-1]).unbind(-1)


def logaddexp_backward(ctx, g):
    of_x, of_y = logaddexp_shares(*ctx.saved_tensors)
    return g * of_x, g * of_y


def keep_both(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


_logaddexp = Differentiable(_logaddexp, keep_both, logaddexp_backward, over_batches(2, lambda: _logaddexp))


@torch.library.custom_op("logsum::cross_entropy", mutates_args=())
def _losses(x: Tensor, target: Tensor, weight: Tensor | None, ignored: int, smoothing: float) -> Tensor:
    return losses(x, target, weight, ignored, smoothing, False)[0]


@torch.library.custom_op("logsum::cross_entropy_gradient", mutates_args=())
def _losses_gradient(
    x: Tensor, target: Tensor, scale: Tensor, weight: Tensor | None, ignored: int, smoothing: float
) -> Tensor:
    """The gradient of the losses' sum, where each counts `scale` times."""
    return losses(x, target, weight, ignored, smoothing, True)[1].mul_(scale[..., None])


def losses(x, target, weight, ignored, smoothing, gradient):
    """Of rows of scores: a loss for each, and the gradient of each."""
    if on_cpu(x):
        options = dict(
            ignore_index=ignored, reduction="none", label_smoothing=smoothing, z_loss=0.0, temperature=1.0
        )
        value, slope = _general.losses(x, target, weight, -1, options, gradient)
        return value, slope if slope is None else slope.contiguous()
    q = weights_of(x, target, weight, ignored, smoothing)
    whole = q.sum(-1, keepdim=True)
    if gradient:
        return None, whole * _softmax(x, [-1]) - q
    return torch.where(q == 0, 0, -q * _log_softmax(x, [-1])).sum(-1), None


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


@_losses.register_fake
def _(x, target, weight, ignored, smoothing):
    return x.new_empty(x.shape[:-1])


@_losses_gradient.register_fake
def _(x, target, scale, weight, ignored, smoothing):
    return x.new_empty(x.shape)


def keep_losses(ctx, inputs, output):
    x, target, weight, *ctx.options = inputs
    ctx.save_for_backward(x, target, weight)


def losses_backward(ctx, g):
    x, target, weight = ctx.saved_tensors
    return _losses_gradient(x, target, g, weight, *ctx.options), None, None, None, None


def keep_losses_gradient(ctx, inputs, output):
    x, target, scale, weight, *ctx.options = inputs
    ctx.save_for_backward(x, target, scale, weight)


def gradient_backward(ctx, v):
    x, target, scale, weight = ctx.saved_tensors
    whole = weights_of(x, target, weight, *ctx.options).sum(-1)
    of_scores = (scale * whole)[..., None] * _softmax_slope(_softmax(x, [-1]), v, [-1])
    of_scale = (_losses_gradient(x, target, torch.ones_like(scale), weight, *ctx.options) * v).sum(-1)
    return of_scores, None, of_scale, None, None, None


_losses = Differentiable(_losses, keep_losses, losses_backward, over_batches(2, lambda: _losses))
_losses_gradient = Differentiable(
    _losses_gradient, keep_losses_gradient, gradient_backward, over_batches(3, lambda: _losses_gradient)
)


def floating(x):
    """Integers as torch's default format."""
    return x if x.is_floating_point() else x.to(torch.get_default_dtype())


def dims_of(x, dim):
    """Counted from the end, of a tensor that has a dimension."""
    dims = range(x.ndim) if dim is None or dim == () else (dim,) if isinstance(dim, int) else dim
    dims = [d - x.ndim if d >= 0 else d for d in dims]
    for d in dims:
        if not -x.ndim <= d < 0:
            found = d + x.ndim if d >= 0 else d
            raise IndexError(f"Dimension out of range (expected to be in range of [{-x.ndim}, {x.ndim - 1}], but got {found})")
    if len(set(dims)) < len(dims):
        raise RuntimeError("a dimension appears twice in dim")
    return sorted(dims)


def logsumexp(input, dim=None, b=None, keepdim=False, return_sign=False, where=None):
    """log Σ e^input over dimensions: `torch.logsumexp(input, dim, keepdim=False)`, correctly rounded on the CPU.

    Its gradient is the softmax: 0 where all is −∞, 1/c at each of c times +∞. `b`, `return_sign` and `where` are as for
    `logsum.logsumexp`; with weights the values of this function are right to some ulps.
    """
    if isinstance(b, bool):
        # torch's third argument is keepdim.
        b, keepdim = None, b
    x = floating(input)
    if where is not None:
        x = torch.where(torch.as_tensor(where, device=x.device), x, -torch.inf)
    if b is not None:
        x, b = torch.broadcast_tensors(x, torch.as_tensor(b, dtype=x.dtype, device=x.device))
    is_scalar = x.ndim == 0
    x = x[None] if is_scalar else x
    dims = dims_of(x, dim)
    if b is None:
        value = with_tangents(
            lambda x: _logsumexp(x, dims),
            lambda x, t: (_softmax(x, dims) * t).sum(dims, keepdim=True),
            x,
        )
        sign = torch.where(torch.isnan(value), torch.nan, torch.where(value == -torch.inf, 0.0, 1.0)).to(x.dtype)
    else:
        shift = finite_or_0(torch.where(b == 0, -torch.inf, x).amax(dims, keepdim=True)).detach()
        total = torch.where(b == 0, 0, b * (torch.where(b == 0, 0, x) - shift).exp()).sum(dims, keepdim=True)
        value, sign = total.abs().log() + shift, total.sign().detach()
        if not return_sign:
            value = torch.where(sign < 0, torch.nan, value)
    if not keepdim:
        value, sign = value.squeeze(dims), sign.squeeze(dims)
    return (value, sign) if return_sign else value


def softmax(input, dim=None, dtype=None):
    """e^input / Σ e^input over dimensions: `torch.softmax`; 0 where all is −∞."""
    x = floating(input if dtype is None else input.to(dtype))
    if x.ndim == 0:
        return softmax(x[None], 0)[0]
    dims = dims_of(x, dim)
    return with_tangents(lambda x: _softmax(x, dims), lambda x, t: _softmax_slope(_softmax(x, dims), t, dims), x)


def log_softmax(input, dim=None, dtype=None):
    """input − log Σ e^input over dimensions: `torch.log_softmax`; −∞ where all is −∞."""
    x = floating(input if dtype is None else input.to(dtype))
    if x.ndim == 0:
        return log_softmax(x[None], 0)[0]
    dims = dims_of(x, dim)
    return with_tangents(
        lambda x: _log_softmax(x, dims), lambda x, t: t - (_softmax(x, dims) * t).sum(dims, keepdim=True), x
    )


def logcumsumexp(input, dim, *, reverse=False):
    """log of the cumulative sums of e^input along a dimension: `torch.logcumsumexp`."""
    x = floating(input)
    if x.ndim == 0:
        return logcumsumexp(x[None], 0)[0]
    (dim,) = dims_of(x, dim)

    def slope(x, t):
        y = _logcumsumexp(x, dim, reverse)
        has_mass = (y > -torch.inf) & (y < torch.inf)

        def of_sign(t):
            logs = torch.where(t > 0, torch.where(t > 0, t, 1).log() + x, -torch.inf)
            sums = _logcumsumexp(logs, dim, reverse)
            return torch.where(has_mass, (sums - torch.where(has_mass, y, 0)).exp(), 0)

        return of_sign(t) - of_sign(-t)

    return with_tangents(lambda x: _logcumsumexp(x, dim, reverse), slope, x)


def logaddexp(input, other):
    """log(e^input + e^other): `torch.logaddexp`, correctly rounded on the CPU."""
    x, y = torch.broadcast_tensors(floating(input), floating(other))
    dtype = torch.promote_types(x.dtype, y.dtype)

    def slope(x, y, t, u):
        of_x, of_y = logaddexp_shares(x, y)
        return of_x * t + of_y * u

    return with_tangents(_logaddexp, slope, x.to(dtype), y.to(dtype))


def losses_with_tangents(x, *options):
    """The losses of rows of scores, as `_losses` takes them, with their derivative in forward mode."""

    def slope(x, t):
        target, *others = options
        return (_losses_gradient(x, target, x.new_ones(x.shape[:-1]), *others) * t).sum(-1)

    return with_tangents(lambda x: _losses(x, *options), slope, x)


def cross_entropy(input, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    """The loss of classification: `torch.nn.functional.cross_entropy`, with the classes in dimension 1, or 0 of a vector.

    Scores −∞ of classes that the target does not weigh have no part in it, and gradient 0: they may mask classes out. Derivatives
    are by the scores only.
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction is {reduction!r}, it must be 'mean', 'sum' or 'none'")
    x = floating(input).movedim(1 if input.ndim > 1 else 0, -1)
    if target.is_floating_point():
        target = target.to(x.dtype).movedim(1 if input.ndim > 1 else 0, -1)
    if weight is not None:
        weight = weight.to(x.dtype)
    each = losses_with_tangents(x, target, weight, ignore_index, label_smoothing)
    if reduction == "none":
        return each
    if reduction == "sum":
        return each.sum()
    if target.is_floating_point():
        return each.mean() if each.ndim else each
    counts = target != ignore_index
    if weight is None:
        return each.sum() / counts.sum()
    return each.sum() / torch.where(counts, weight[torch.where(counts, target, 0)], 0).sum()


def token_log_probs(input, tokens, dim=-1, *, dtype=None, entropy=False):
    """log softmax(input) at one index for each row along `dim`, without the rest of the row: `tokens` has the shape of
    `input` without `dim`.

    With `dtype`, scores are converted first: float32 for float16 and bfloat16 ones gives the nearest float32. With
    `entropy`, the entropy −Σ p log p of each row's softmax follows. Both have derivatives of any order by the scores.
    """
    x = floating(input if dtype is None else input.to(dtype)).movedim(dim, -1)
    if tokens.is_floating_point() or tokens.shape != x.shape[:-1]:
        raise ValueError(f"tokens is {tokens.dtype} of the shape {tuple(tokens.shape)}, it must be integers of {tuple(x.shape[:-1])}")
    nothing = torch.iinfo(torch.int64).min
    log_p = -losses_with_tangents(x, tokens, None, nothing, 0.0)
    if not entropy:
        return log_p
    p = softmax(x, -1)
    return log_p, -(p * torch.where(p == 0, 0, log_softmax(x, -1))).sum(-1)
