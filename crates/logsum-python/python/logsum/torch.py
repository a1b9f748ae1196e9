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


def is_number(x):
    return isinstance(x, Tensor) and x.is_floating_point()


def filled(primals, tangents):
    """Tangents, 0 where there is none."""
    return [torch.zeros_like(x) if t is None and is_number(x) else t for x, t in zip(primals, tangents)]


def levels():
    """The transforms of torch.func that are under way."""
    return torch._C._functorch.get_interpreter_stack() or []


class Differentiable:
    """An operator with its derivatives backward and forward, and its rule for vmap.

    The transforms of torch.func take these from an autograd.Function, all else from the operator itself; forward mode is no part of
    an operator, so that dual numbers are taken apart before it. `slope` is what changes of the arguments change.
    """

    def __init__(self, operator, setup, backward, rule, slope):
        operator.register_autograd(backward, setup_context=setup)
        operator.register_vmap(rule)
        self.operator, self.slope = operator, slope

        def keep(ctx, inputs, output):
            setup(ctx, inputs, output)
            ctx.others = {i: x for i, x in enumerate(inputs) if not isinstance(x, Tensor)}
            ctx.save_for_forward(*(x for x in inputs if isinstance(x, Tensor)))

        def forward_slope(ctx, *tangents):
            tensors = iter(ctx.saved_tensors)
            primals = [ctx.others[i] if i in ctx.others else next(tensors) for i in range(len(tangents))]
            if not any(level.key() == torch._C._functorch.TransformType.Jvp for level in levels()):
                return slope(primals, filled(primals, tangents))
            # torch turns forward mode off meanwhile, which would lose the tangents of outer levels.
            with forward_ad._set_fwd_grad_enabled(True):
                primals = [forward_ad.unpack_dual(x)[0] if is_number(x) else x for x in primals]
                return slope(primals, filled(primals, tangents))

        members = dict(forward=operator, setup_context=keep, backward=backward, vmap=rule, jvp=forward_slope)
        members = {name: staticmethod(member) for name, member in members.items()}
        self.function = type(operator._name, (torch.autograd.Function,), members)

    def __call__(self, *arguments):
        if torch.compiler.is_compiling():
            return self.operator(*arguments)
        # Dual numbers are looked for where they can be: there is no looking into those of torch's older vmap.
        is_dual = lambda x: is_number(x) and forward_ad.unpack_dual(x)[1] is not None
        may_be_dual = torch._C._is_fwd_grad_enabled() and forward_ad._current_level >= 0
        if torch._C._are_functorch_transforms_active() or may_be_dual and any(map(is_dual, arguments)):
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


def logsumexp_slope(primals, tangents):
    (x, dim), (t, _) = primals, tangents
    return (_softmax(x, dim) * t).sum(dim, keepdim=True)


def scaled_softmax_slope(primals, tangents):
    (x, scale, dim), (t, u, _) = primals, tangents
    p = _softmax(x, dim)
    return p * u + scale * _softmax_slope(p, t, dim)


def softmax_slope_slope(primals, tangents):
    (p, t, dim), (dp, dt, _) = primals, tangents
    return dp * (t - (p * t).sum(dim, keepdim=True)) + p * (dt - (dp * t + p * dt).sum(dim, keepdim=True))


def log_softmax_gradient_slope(primals, tangents):
    (x, g, dim), (t, dg, _) = primals, tangents
    p = _softmax(x, dim)
    return dg - p * dg.sum(dim, keepdim=True) - _softmax_slope(p, t, dim) * g.sum(dim, keepdim=True)


_logsumexp = Differentiable(
    _logsumexp,
    keep_input,
    lambda ctx, g: (_scaled_softmax(ctx.saved_tensors[0], g, ctx.dim), None),
    over_batches(1, lambda: _logsumexp),
    logsumexp_slope,
)
_scaled_softmax = Differentiable(
    _scaled_softmax, keep_two, scaled_softmax_backward, over_batches(2, lambda: _scaled_softmax), scaled_softmax_slope
)
_softmax_slope = Differentiable(
    _softmax_slope, keep_two, softmax_slope_backward, over_batches(2, lambda: _softmax_slope), softmax_slope_slope
)
_log_softmax_gradient = Differentiable(
    _log_softmax_gradient,
    keep_two,
    log_softmax_gradient_backward,
    over_batches(2, lambda: _log_softmax_gradient),
    log_softmax_gradient_slope,
)
_softmax = Differentiable(
    _softmax,
    keep_output,
    lambda ctx, g: (_softmax_slope(ctx.saved_tensors[0], g, ctx.dim), None),
    over_batches(1, lambda: _softmax),
    lambda primals, tangents: _softmax_slope(_softmax(*primals), tangents[0], primals[1]),
)
_log_softmax = Differentiable(
    _log_softmax,
    keep_input,
    lambda ctx, g: (_log_softmax_gradient(ctx.saved_tensors[0], g, ctx.dim), None),
    over_batches(1, lambda: _log_softmax),
    lambda primals, tangents: tangents[0] - logsumexp_slope(primals, tangents),
)


@torch.library.custom_op("logsum::logcumsumexp", mutates_args=())
def _logcumsumexp(x: Tensor, dim: int, reverse: bool) -> Tensor:
    if on_cpu(x):
        return by_numpy(lambda x: _core.cumulative(x, dim, reverse, False), x)
    return torch.logcumsumexp(x.flip(dim), dim).flip(dim) if reverse else torch.logcumsumexp(x, dim).contiguous()


@_logcumsumexp.register_fake
def _(x, dim, reverse):
    return x.new_empty(x.shape)


# Two linear maps, each the other's transpose, of which all derivatives of the scan are made: the means of t,
# Σ_{k ≤ i} e^{x_k − y_i} t_k, and what takes cotangents back, Σ_{i ≥ k} e^{x_k − y_i} g_i. They are summed in log space,
# both signs apart.


def has_mass(y):
    return (y > -torch.inf) & (y < torch.inf)


@torch.library.custom_op("logsum::cumulative_mean", mutates_args=())
def _cumulative_mean(x: Tensor, t: Tensor, dim: int, reverse: bool) -> Tensor:
    y = _logcumsumexp(x, dim, reverse)

    def of_sign(t):
        logs = torch.where((t > 0) & has_mass(x), t.log() + x, -torch.inf)
        sums = _logcumsumexp(torch.where(torch.isnan(t), torch.nan, logs), dim, reverse)
        return torch.where(has_mass(y) | torch.isnan(sums), (sums - y).exp(), 0)

    return torch.where(torch.isnan(y), torch.nan, of_sign(t) - of_sign(-t))


@torch.library.custom_op("logsum::cumulative_gradient", mutates_args=())
def _cumulative_gradient(x: Tensor, g: Tensor, dim: int, reverse: bool) -> Tensor:
    y = _logcumsumexp(x, dim, reverse)

    def of_sign(g):
        logs = torch.where((g > 0) & has_mass(y), g.log() - y, -torch.inf)
        sums = _logcumsumexp(logs, dim, not reverse)
        return torch.where(has_mass(x) & (sums > -torch.inf), (x + sums).exp(), 0)

    return torch.where(torch.isnan(y) | torch.isnan(g), torch.nan, of_sign(g) - of_sign(-g))


@_cumulative_mean.register_fake
def _(x, t, dim, reverse):
    return x.new_empty(x.shape)


@_cumulative_gradient.register_fake
def _(x, g, dim, reverse):
    return x.new_empty(x.shape)


def keep_scan(ctx, inputs, output):
    *tensors, ctx.dim, ctx.reverse = inputs
    ctx.save_for_backward(*tensors)


def scan_slope(primals, tangents):
    return _cumulative_mean(primals[0], tangents[0], *primals[1:])


def mean_slope(primals, tangents):
    (x, t, *way), (dx, dt, *_) = primals, tangents
    return _cumulative_mean(x, dx * t + dt, *way) - _cumulative_mean(x, dx, *way) * _cumulative_mean(x, t, *way)


def gradient_slope(primals, tangents):
    (x, g, *way), (dx, dg, *_) = primals, tangents
    return dx * _cumulative_gradient(x, g, *way) + _cumulative_gradient(x, dg - g * _cumulative_mean(x, dx, *way), *way)


def scan_backward(ctx, g):
    return _cumulative_gradient(*ctx.saved_tensors, g, ctx.dim, ctx.reverse), None, None


def mean_backward(ctx, v):
    (x, t), way = ctx.saved_tensors, (ctx.dim, ctx.reverse)
    of_t = _cumulative_gradient(x, v, *way)
    return t * of_t - _cumulative_gradient(x, v * _cumulative_mean(x, t, *way), *way), of_t, None, None


def gradient_of_scan_backward(ctx, v):
    (x, g), way = ctx.saved_tensors, (ctx.dim, ctx.reverse)
    of_g = _cumulative_mean(x, v, *way)
    return v * _cumulative_gradient(x, g, *way) - _cumulative_gradient(x, g * of_g, *way), of_g, None, None


_logcumsumexp = Differentiable(
    _logcumsumexp, keep_scan, scan_backward, over_batches(1, lambda: _logcumsumexp), scan_slope
)
_cumulative_mean = Differentiable(
    _cumulative_mean, keep_scan, mean_backward, over_batches(2, lambda: _cumulative_mean), mean_slope
)
_cumulative_gradient = Differentiable(
    _cumulative_gradient,
    keep_scan,
    gradient_of_scan_backward,
    over_batches(2, lambda: _cumulative_gradient),
    gradient_slope,
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


def logaddexp_slope(primals, tangents):
    (of_x, of_y), (t, u) = logaddexp_shares(*primals), tangents
    return of_x * t + of_y * u


_logaddexp = Differentiable(
    _logaddexp, keep_both, logaddexp_backward, over_batches(2, lambda: _logaddexp), logaddexp_slope
)


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


def losses_slope(primals, tangents):
    x, target, *options = primals
    return (_losses_gradient(x, target, x.new_ones(x.shape[:-1]), *options) * tangents[0]).sum(-1)


def losses_gradient_slope(primals, tangents):
    (x, target, scale, *options), (t, _, u, *_) = primals, tangents
    whole = weights_of(x, target, *options).sum(-1)
    of_scores = (scale * whole)[..., None] * _softmax_slope(_softmax(x, [-1]), t, [-1])
    return of_scores + u[..., None] * _losses_gradient(x, target, torch.ones_like(scale), *options)


_losses = Differentiable(_losses, keep_losses, losses_backward, over_batches(2, lambda: _losses), losses_slope)
_losses_gradient = Differentiable(
    _losses_gradient,
    keep_losses_gradient,
    gradient_backward,
    over_batches(3, lambda: _losses_gradient),
    losses_gradient_slope,
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
        value = _logsumexp(x, dims)
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
    return _softmax(x, dims_of(x, dim))


def log_softmax(input, dim=None, dtype=None):
    """input − log Σ e^input over dimensions: `torch.log_softmax`; −∞ where all is −∞."""
    x = floating(input if dtype is None else input.to(dtype))
    if x.ndim == 0:
        return log_softmax(x[None], 0)[0]
    return _log_softmax(x, dims_of(x, dim))


def logcumsumexp(input, dim, *, reverse=False):
    """log of the cumulative sums of e^input along a dimension: `torch.logcumsumexp`."""
    x = floating(input)
    if x.ndim == 0:
        return logcumsumexp(x[None], 0)[0]
    (dim,) = dims_of(x, dim)

    return _logcumsumexp(x, dim, reverse)


def logaddexp(input, other):
    """log(e^input + e^other): `torch.logaddexp`, correctly rounded on the CPU."""
    x, y = torch.broadcast_tensors(floating(input), floating(other))
    dtype = torch.promote_types(x.dtype, y.dtype)

    return _logaddexp(x.to(dtype), y.to(dtype))


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
    each = _losses(x, target, weight, ignore_index, label_smoothing)
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
    log_p = -_losses(x, tokens, None, nothing, 0.0)
    if not entropy:
        return log_p
    p = softmax(x, -1)
    return log_p, -(p * torch.where(p == 0, 0, log_softmax(x, -1))).sum(-1)
