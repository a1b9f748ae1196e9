"""logsum's functions for PyTorch, with torch's arguments, as operators of torch.library.

They have derivatives of any order, backward and forward, and run under torch.func, vmap and torch.compile, also of one another. On
the CPU values are correctly rounded, as those of `logsum` are. On NVIDIA's GPUs (Ampere and later) log-sum-exp, softmax and
log-softmax have the same bits, without weights: kernels of their own run on torch's current stream. All else there, and on
other devices, is computed by torch's own operations, by the same formulas and conventions, and is right to some ulps. First derivatives of log-sum-exps and losses are correctly
rounded up to the product with the cotangent; all others are right to some ulps of their largest terms, which cancel where a row is
nearly certain or nearly constant, those of cumulative sums to that times the size of the logarithms, and those of matrix products to
that times how far those of a row or a column are apart.

Where all is −∞ the gradient of a log-sum-exp is 0; of c times +∞ it is 1/c at each. Cumulative sums and products that are ±∞ have
gradient 0.
"""

import contextlib
import math

import numpy as np
import torch

from .._arguments import either, loss_options, one_of, real, whole
from . import _cuda, _divergence, _elementwise, _linear, _losses, _reductions, _scans_and_products, _segments, _vocab_parallel
from ._arguments import (
    are_known,
    are_numbers,
    as_tensor,
    converted,
    dims_of,
    directed,
    floating,
    ids_of,
    in_common,
    indices_of,
    integers_of,
    of_dims,
    offsets_of,
    one_dim,
    refuse_tensors,
    stacked,
    summed_to,
    terms_of,
    together,
    within,
    without,
)

__all__ = [
    "cross_entropy",
    "linear_cross_entropy",
    "log1mexp",
    "log1pexp",
    "log_logistic",
    "log_matmul",
    "log_softmax",
    "logaddexp",
    "logcumsumexp",
    "logexpm1",
    "logistic",
    "logit",
    "logmeanexp",
    "logsubexp",
    "logsumexp",
    "logsumexp_hvp",
    "logsumexp_jvp",
    "logsumexp_value_and_grad",
    "logvarexp",
    "merge_attention",
    "segment_logsumexp",
    "segment_softmax",
    "softmax",
    "softmax_entropy",
    "softmax_kl",
    "token_log_probs",
    "unproved",
    "vocab_parallel_cross_entropy",
    "vocab_parallel_token_log_probs",
    "xlogx",
    "xlogy",
]


def logsumexp(input, dim=None, b=None, keepdim=False, return_sign=False, where=None):
    """log Σ b e^input over dimensions: `torch.logsumexp(input, dim, keepdim=False)`, and as `logsum.logsumexp` if there are weights `b`
    of any sign, a sign to return, or a mask `where`.

    Its gradient by `input` is the softmax: 0 where all is −∞, 1/c at each of c times +∞; that by `b` is e^input / Σ.
    """
    if isinstance(b, bool | np.bool_):
        # torch's third argument is keepdim.
        b, keepdim = None, bool(b)
    x, b, _, is_number = terms_of(input, b, where)
    dims = dims_of(x, dim)
    sign = None
    if b is not None:
        value = _reductions.weighted(x, b, bool(return_sign), dims)
        sign = _reductions.sign_of_sum(x, b, dims) if return_sign else None
    else:
        value = _reductions.logsumexp(x, dims)
        if return_sign:
            sign = torch.where(torch.isnan(value), torch.nan, torch.where(value == -torch.inf, 0.0, 1.0)).to(x.dtype)
    if not return_sign:
        return without(is_number, dims, keepdim, value)[0]
    return without(is_number, dims, keepdim, value, sign)


def logsumexp_value_and_grad(input, dim=None, b=None, where=None, keepdim=False, no_mass="zero"):
    """As `logsum.logsumexp_value_and_grad`: log Σ b e^input, and its gradient, or with weights `b` the pair of those by `input` and by `b`.

    Both have derivatives, as far as weights have the shape of `input`.
    """
    one_of(("zero", "uniform", "nan"), no_mass, "no_mass")
    shapes = [floating(input).shape, None if b is None else as_tensor(b, "b", input).shape]
    x, b, where, is_number = terms_of(input, b, where)
    dims = dims_of(x, dim)
    if b is None:
        value, gradients = _reductions.logsumexp(x, dims), [_reductions.softmax(x, dims)]
    else:
        value = _reductions.weighted(x, b, False, dims)
        gradients = [_reductions.by_number(x, b, dims), _reductions.by_weight(x, b, dims)]
    if no_mass != "zero":
        counted = torch.ones_like(x, dtype=torch.bool) if b is None else b != 0
        counted = counted if where is None else counted & where
        nothing = (counted & (x != -torch.inf)).sum(dims, keepdim=True) == 0
        stand_in = torch.nan if no_mass == "nan" else 1 / counted.sum(dims, keepdim=True)
        gradients = [torch.where(nothing & counted, stand_in, gradient).to(x.dtype) for gradient in gradients]
    gradients = [summed_to(gradient, shape) for gradient, shape in zip(gradients, shapes)]
    (value,) = without(is_number, dims, keepdim, value)
    return value, gradients[0] if b is None else tuple(gradients)


def logsumexp_jvp(input, tangent, dim=None, keepdim=False):
    """The values of `logsumexp`, and their derivatives in the direction `tangent`: Σ softmax(input) · tangent."""
    x, t, dims, is_number = directed(input, tangent, "tangent", dim)
    slope = (_reductions.softmax(x, dims) * t).sum(dims, keepdim=True)
    return without(is_number, dims, keepdim, _reductions.logsumexp(x, dims), slope)


def logsumexp_hvp(input, vector, dim=None):
    """The Hessian of `logsumexp` times a vector: p (v − Σ p v) with p = softmax(input)."""
    x, v, dims, _ = directed(input, vector, "vector", dim)
    return summed_to(_reductions.softmax_slope(_reductions.softmax(x, dims), v, dims), input.shape)


def softmax(input, dim=None, dtype=None):
    """e^input / Σ e^input over dimensions: `torch.softmax`; 0 where all is −∞.

    With `dtype` numbers are converted first, straight to it. It must hold them: a wider format, or an integer that it
    would round, is an error; of integers that are traced or on another device it takes what is nearest.
    """
    x, dims = of_dims(converted(input, dtype), dim)
    return _reductions.softmax(x, dims).reshape(input.shape)


def log_softmax(input, dim=None, dtype=None):
    """input − log Σ e^input over dimensions: `torch.log_softmax`; −∞ where all is −∞. `dtype` is as in `softmax`."""
    x, dims = of_dims(converted(input, dtype), dim)
    return _reductions.log_softmax(x, dims).reshape(input.shape)


def logmeanexp(input, dim=None, keepdim=False):
    """log of the mean of e^input over dimensions. NaN of nothing. Its gradient is the softmax."""
    x, dims = of_dims(floating(input), dim)
    return without(input.ndim == 0, dims, keepdim, _reductions.logmeanexp(x, dims))[0]


def logvarexp(input, dim=None, ddof=0, keepdim=False):
    """log of the variance of e^input over dimensions, Σ (e^input − mean)² / (n − ddof).

    Where all numbers are equal it is −∞ and has no derivative: NaN.
    """
    x, dims = of_dims(floating(input), dim)
    return without(input.ndim == 0, dims, keepdim, _reductions.logvarexp(x, whole(ddof, "ddof", 0), dims))[0]


def softmax_entropy(input, dim=None, keepdim=False):
    """−Σ p log p with p = softmax(input) over dimensions, in nats."""
    x, dims = of_dims(floating(input), dim)
    return without(input.ndim == 0, dims, keepdim, _reductions.softmax_entropy(x, dims))[0]


def softmax_kl(input, other, dim=None, keepdim=False):
    """Kullback-Leibler divergence Σ p log(p/q) with p = softmax(input) and q = softmax(other) over dimensions, in nats.

    It is never negative, and right to some ulps also where p and q are close to each other: Σ p (e^−d − 1 + d) with d = log p − log q, in
    float64. What both mask out by −∞ has no part in it; where p has mass and q has none it is +∞, and does not change. A row without mass in
    `input` gives 0. Derivatives of any order are by both.
    """
    named = dict(input=floating(input), other=as_tensor(other, "other", input))
    x, y = together(**dict(zip(named, in_common(**named))))
    dims = dims_of(x, dim)
    return without(are_numbers(named), dims, keepdim, _divergence.softmax_kl(x, y, dims))[0]


def merge_attention(outputs, logsumexps, *, base):
    """Attention over keys that are in parts, of the parts' outputs and log-sum-exps of scores: `(output, logsumexp)` of all keys.

    Both are sequences, or tensors whose first dimension enumerates the parts: outputs of shape (…, d), log-sum-exps of shape (…). `base`
    says what their logarithms are to, and has no default, as kernels differ: "e" for log Σ e^s, "2" for log2 Σ 2^s. A part
    without keys has −∞, and whatever its output is has no part in the result, which is 0 and −∞ if no part has keys. The order
    of parts has no influence on the log-sum-exp. Derivatives of any order are by both.
    """
    one_of(("e", "2"), base, "base")
    values = floating(stacked(outputs, "outputs"), "outputs")
    logs = floating(stacked(logsumexps, "logsumexps"), "logsumexps")
    if values.ndim == 0 or logs.ndim == 0 or not len(logs):
        raise ValueError("outputs and logsumexps must have a first dimension, of at least one part")
    if values.shape[:-1] != logs.shape:
        raise ValueError(
            f"outputs has the shape {tuple(values.shape)} and logsumexps {tuple(logs.shape)}: it must be that of outputs without its last dimension"
        )
    unit = 1.0 if base == "e" else math.log(2)
    scores = logs.double() * unit
    weights = _reductions.softmax(scores, [-scores.ndim]).to(_reductions.wide(values).dtype)
    # What a part without keys holds may be anything.
    values, dtype = torch.where(logs[..., None] == -torch.inf, 0, _reductions.wide(values)), values.dtype
    output = _reductions.times(weights[..., None].expand(values.shape), values).sum(0)
    logsumexp = _reductions.logsumexp(scores, [-scores.ndim])[0] / unit
    return output.to(dtype), logsumexp.to(logs.dtype)


def logcumsumexp(input, dim, reverse=False, exclusive=False):
    """log of the cumulative sums of e^input along a dimension: `torch.logcumsumexp`.

    With `reverse` they are added up from the end; `exclusive` ones leave out their own number, so that the first is −∞.
    """
    x = floating(input)
    if x.ndim == 0:
        return logcumsumexp(x[None], dim, reverse, exclusive)[0]
    dim = one_dim(x, dim)
    if not exclusive or x.shape[dim] == 0:
        return _scans_and_products.logcumsumexp(x, dim, bool(reverse))
    nothing = torch.full_like(x.narrow(dim, 0, 1), -torch.inf)
    others = x.narrow(dim, 1 if reverse else 0, x.shape[dim] - 1)
    sums = _scans_and_products.logcumsumexp(others, dim, bool(reverse))
    return torch.cat([sums, nothing] if reverse else [nothing, sums], dim)


def log_matmul(input, other):
    """The matrix product in log space: log Σ_k e^{input_ik + other_kj}, with vectors and batches as in `torch.matmul`."""
    a, b = in_common(input=input, other=other)
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError("log_matmul needs vectors, matrices or batches of them, not a scalar")
    left, right = (a[None, :] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
    if left.shape[-1] != right.shape[-2]:
        shapes = f"input of shape {tuple(a.shape)} and other of shape {tuple(b.shape)}"
        raise ValueError(f"{shapes} do not fit: the length of the sums differs")
    batch = torch.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    left, right = left.expand(*batch, *left.shape[-2:]), right.expand(*batch, *right.shape[-2:])
    product = _scans_and_products.log_matmul(left, right)
    product = product.squeeze(-2) if a.ndim == 1 else product
    return product.squeeze(-1) if b.ndim == 1 else product


def by_segments(function, input, segment_ids, num_segments, dim, offsets, mode):
    """`function` of the segments, of which one more has what is in no segment, as −∞; their number, and the dimension."""
    one_of(("raise", "drop"), mode, "mode")
    either(segment_ids, offsets, num_segments)
    x = torch.atleast_1d(floating(input))
    dim = one_dim(x, dim)
    if offsets is not None:
        (ids, count), is_inside = offsets_of(offsets, x, dim), None
    else:
        ids, count, is_inside = ids_of(segment_ids, num_segments, mode, x, dim)
    if is_inside is None:
        return function(x, ids, count, dim), count, dim
    x = torch.where(is_inside.reshape([-1 if d == dim else 1 for d in range(-x.ndim, 0)]), x, -torch.inf)
    return function(x, ids, count + 1, dim), count, dim


def segment_logsumexp(input, segment_ids=None, num_segments=None, dim=0, offsets=None, mode="raise"):
    """Log-sum-exps of the segments of a tensor along a dimension, which then enumerates them: as `logsum.segment_logsumexp`."""
    values, count, dim = by_segments(_segments.segment_logsumexp, input, segment_ids, num_segments, dim, offsets, mode)
    return values.narrow(dim, 0, count)


def segment_softmax(input, segment_ids=None, num_segments=None, dim=0, offsets=None, mode="raise"):
    """The softmax within each segment of a tensor along a dimension: as `logsum.segment_softmax`."""
    return by_segments(_segments.segment_softmax, input, segment_ids, num_segments, dim, offsets, mode)[0]


def by_element(function, **named):
    """Of one format and shape."""
    tensors = in_common(**named)
    if len(tensors) == 1:
        return function(*tensors)
    value = function(*together(**dict(zip(named, tensors))))
    return value if any(x.ndim for x in tensors) else value[0]


def logaddexp(input, other):
    """log(e^input + e^other): `torch.logaddexp`."""
    return by_element(_elementwise.logaddexp, input=input, other=other)


def logsubexp(input, other):
    """log(e^input − e^other); NaN where input < other."""
    return by_element(_elementwise.logsubexp, input=input, other=other)


def log1pexp(input):
    """log(1 + e^input), softplus."""
    return by_element(_elementwise.log1pexp, input=input)


def log1mexp(input):
    """log(1 − e^input) for input ≤ 0."""
    return by_element(_elementwise.log1mexp, input=input)


def logexpm1(input):
    """log(e^input − 1) for input ≥ 0, the inverse of `log1pexp`."""
    return by_element(_elementwise.logexpm1, input=input)


def logistic(input):
    """1/(1 + e^−input): `torch.sigmoid`."""
    return by_element(_elementwise.logistic, input=input)


def log_logistic(input):
    """−log(1 + e^−input): `torch.nn.functional.logsigmoid`."""
    return by_element(_elementwise.log_logistic, input=input)


def logit(input):
    """log(p/(1 − p)): `torch.logit`."""
    return by_element(_elementwise.logit, input=input)


def unproved():
    """How many results on GPUs were not proved to be the nearest numbers, since the program started.

    Each is the nearest number to an estimate with an error of about 2^-116: 0 but for rows that were built to be hard, and in float64
    for one in some 300 log-sum-exps of normalised log-probabilities, which are some 1e-17. It waits for the GPUs, which
    calls that compute do not.

    >>> unproved()
    0
    """
    return _cuda.unproved()


def xlogx(input):
    """x log x; 0 at 0."""
    return by_element(_elementwise.xlogx, input=input)


def xlogy(input, other):
    """input log other: `torch.xlogy`; 0 where input is 0, unless other is NaN."""
    return by_element(_elementwise.xlogy, input=input, other=other)


def cross_entropy(
    input,
    target,
    weight=None,
    ignore_index=-100,
    reduction="mean",
    label_smoothing=0.0,
    dim=None,
    z_loss=0.0,
    temperature=1.0,
):
    """The loss of classification: `torch.nn.functional.cross_entropy`, with the classes in dimension 1, or 0 of a vector, unless `dim`
    says otherwise.

    `z_loss` times the squared log-sum-exp is added to each loss, times what its target weighs; scores are divided by `temperature`, which may be a tensor that is
    learned. Scores −∞ of classes that the target does not weigh have no part in the loss, and gradient 0: they may mask classes out.
    Derivatives are by the scores, by probabilities, by weights, and by such a temperature. Without z-loss and temperature each loss is
    correctly rounded; their sum and mean are torch's.
    """
    refuse_tensors(label_smoothing=label_smoothing, z_loss=z_loss)
    is_learned = isinstance(temperature, torch.Tensor)
    if is_learned and temperature.ndim:
        raise ValueError(f"temperature has the shape {tuple(temperature.shape)}, it must be one number")
    number = temperature
    if is_learned:
        number = temperature.item() if are_known(temperature) else 1.0
    options = loss_options(ignore_index, reduction, label_smoothing, z_loss, number)
    ignore_index, label_smoothing, z_loss = (options[name] for name in ("ignore_index", "label_smoothing", "z_loss"))
    temperature = temperature if is_learned else options["temperature"]
    x = floating(input)
    if x.ndim == 0:
        raise ValueError("input must have a dimension of classes")
    dim = one_dim(x, (1 if x.ndim > 1 else 0) if dim is None else dim)
    target = as_tensor(target, "target", x)
    # What is empty may have any format, as a list that is.
    target = target if target.numel() or target.shape == x.shape else indices_of(target)
    if target.dtype == torch.bool:
        if target.shape != x.shape:
            raise TypeError("target is of booleans: give classes as integers, or probabilities")
        target = target.to(x.dtype)
    is_soft = target.is_floating_point()
    if is_soft and target.shape != x.shape:
        raise ValueError(f"target has the shape {tuple(target.shape)}, that of probabilities must be {tuple(x.shape)}")
    weight = None if weight is None else as_tensor(weight, "weight", x)
    of_arrays = dict(input=input) | (dict(target=target) if is_soft else {})
    of_arrays |= dict(weight=weight) if weight is not None else {}
    x = in_common(**of_arrays)[0]
    # Narrow formats would overflow in between, the derivatives of a mean over small weights, too.
    is_between = z_loss or is_learned or temperature != 1 or weight is not None and reduction == "mean"
    dtype, is_narrow = x.dtype, x.itemsize == 2 and is_between
    x = (x.float() if is_narrow else x).movedim(dim, -1)
    target = target.to(x.dtype).movedim(dim, -1) if is_soft else indices_of(target)
    if not is_soft and target.shape != x.shape[:-1]:
        raise ValueError(
            f"target has the shape {tuple(target.shape)}, it must be {tuple(x.shape[:-1])}, that of input without the classes, "
            "or that of input with probabilities, as floats"
        )
    if weight is not None:
        weight = weight.to(x.dtype)
        if weight.shape != x.shape[-1:]:
            raise ValueError(f"weight has the shape {tuple(weight.shape)}, it must be {tuple(x.shape[-1:])}: one for each class")
    x, shift = _losses.at_temperature(x, temperature) if is_learned or temperature != 1 else (x, 0)
    each = _losses.losses(x, target, weight, ignore_index, label_smoothing)
    if z_loss:
        whole = _losses.whole_of(x, target, weight, ignore_index, label_smoothing)
        each = each + _reductions.times(whole * z_loss, _losses.squares(x, shift, whole))
    if reduction == "none":
        return each.to(dtype)
    # Sums of narrow formats would overflow, or stand still.
    total = _reductions.wide(each).sum()
    if reduction == "mean":
        total = _losses.mean_of(total, each.numel(), target, weight, ignore_index)
    return total.to(dtype)


def linear_cross_entropy(
    input,
    linear_weight,
    target,
    *,
    linear_bias=None,
    weight=None,
    ignore_index=-100,
    reduction="mean",
    label_smoothing=0.0,
    z_loss=0.0,
    temperature=1.0,
    softcap=None,
):
    """`cross_entropy` of the scores input · linear_weightᵀ + linear_bias, which are never stored whole:
    `torch.nn.functional.linear_cross_entropy`, with rows in any number of dimensions.

    `linear_weight` has a row for each class; `target` is a class for each row of `input`, or probabilities. With `softcap` c each score s
    becomes c · tanh(s/c) first. The other options are those of `cross_entropy`. Scores are torch's matrix products, in the format of
    `input` and `linear_weight`; the loss of each row is that of these scores, correctly rounded in float32 at least, which is the
    format of the result, without z-loss, temperature and softcap.

    Derivatives are by `input`, `linear_weight` and `linear_bias`, found with the loss, and with `reduction="none"` by computing
    the scores again. Those by the weight and the bias are summed in float32 at least. Second derivatives are an error.

    Beside the derivatives, and one in float32 by the weight, memory for some four times as many scores as 256 rows have, or 2^24 scores if that is more,
    is needed at once, whatever the number of rows.
    """
    named = dict(input=floating(input), linear_weight=as_tensor(linear_weight, "linear_weight", input))
    if linear_bias is not None:
        named["linear_bias"] = as_tensor(linear_bias, "linear_bias", input)
    x, w, *b = in_common(**named)
    b = b[0] if b else None
    if w.ndim != 2 or x.ndim == 0 or x.shape[-1] != w.shape[1]:
        raise ValueError(
            f"linear_weight has the shape {tuple(w.shape)} and input {tuple(x.shape)}: it must have two dimensions, of which the second is "
            "as long as the last one of input"
        )
    if b is not None and b.shape != w.shape[:1]:
        raise ValueError(f"linear_bias has the shape {tuple(b.shape)}, it must be {tuple(w.shape[:1])}: one for each class")
    refuse_tensors(label_smoothing=label_smoothing, z_loss=z_loss, temperature=temperature, softcap=softcap)
    options = loss_options(ignore_index, reduction, label_smoothing, z_loss, temperature)
    softcap = None if softcap is None else real(softcap, "softcap")
    if softcap is not None and not 0 < softcap < math.inf:
        raise ValueError(f"softcap is {softcap!r}, it must be finite and positive")
    target = as_tensor(target, "target", x)
    if not target.is_floating_point():
        target = integers_of(target, "target", x)
    shape = (*x.shape[:-1], len(w)) if target.is_floating_point() else x.shape[:-1]
    if target.shape != shape:
        raise ValueError(f"target has the shape {tuple(target.shape)}, it must be {tuple(shape)}")
    if not target.is_floating_point():
        within(target, len(w), options["ignore_index"], "target")
    weight = None if weight is None else as_tensor(weight, "weight", x)
    for name, tensor in (("target", target), ("weight", weight)):
        if tensor is not None and tensor.requires_grad:
            raise TypeError(f"{name} requires a derivative, which linear_cross_entropy does not have: call cross_entropy on the scores")
    numbers = {name: options[name] for name in ("ignore_index", "label_smoothing", "z_loss", "temperature")}

    def losses(scores, target, weight):
        if softcap is not None:
            scores = softcap * torch.tanh(scores / softcap)
        return cross_entropy(scores, target, weight, reduction="none", dim=-1, **numbers)

    rows, targets = x.reshape(-1, x.shape[-1]), target.reshape(-1, *target.shape[x.ndim - 1 :])
    weight = None if weight is None else _reductions.wide(weight.to(torch.promote_types(weight.dtype, x.dtype)))
    arguments = targets, weight, losses, 1 / options["temperature"]
    device = x.device.type
    can_cast = torch.amp.is_autocast_available(device)
    if can_cast and torch.is_autocast_enabled(device) and x.dtype != torch.float64:
        # As the products would be; backward they are the same again.
        narrow = torch.get_autocast_dtype(device)
        rows, w, b = rows.to(narrow), w.to(narrow), None if b is None else b.to(narrow)
    with torch.autocast(device, enabled=False) if can_cast else contextlib.nullcontext():
        if reduction == "none":
            return _linear.each_loss(rows, w, b, *arguments).reshape(x.shape[:-1])
        total = _linear.sum_of_losses(rows, w, b, *arguments)
    return _losses.mean_of(total, len(rows), targets, weight, options["ignore_index"]) if reduction == "mean" else total


def token_log_probs(input, tokens, dim=-1, dtype=None, entropy=False, *, padding=None):
    """log softmax(input) at one index for each row along `dim`, without the rest of the row: `tokens` has the shape of
    `input` without `dim`.

    With `dtype`, scores are converted first, as in `softmax`: float32 for float16 and bfloat16 ones gives the nearest
    float32. With
    `entropy`, the entropy −Σ p log p of each row's softmax follows. Both have derivatives of any order by the scores. Where a token is
    `padding`, if that is given, its log-probability is 0.
    """
    x = torch.atleast_1d(converted(input, dtype))
    x = x.movedim(one_dim(x, dim), -1)
    tokens = integers_of(tokens, "tokens", x)
    if tokens.shape != x.shape[:-1]:
        raise ValueError(
            f"tokens has the shape {tuple(tokens.shape)}, it must be {tuple(x.shape[:-1])}, that of input without dim {dim}"
        )
    nothing = torch.iinfo(torch.int64).min if padding is None else whole(padding, "padding")
    if padding is None:
        # What stands for no padding is no token either.
        tokens = torch.where(tokens == nothing, -1, tokens)
    log_p = -_losses.surprisals(x, tokens, None, nothing, 0.0)
    return (log_p, softmax_entropy(x, -1)) if entropy else log_p


def vocab_parallel_token_log_probs(input, tokens, start=None, group=None, dtype=None, *, padding=None):
    """`token_log_probs` over a vocabulary whose scores are in shards, one for each process of a `torch.distributed` group.

    Each process gives its columns of the scores, in the last dimension of `input`, and the same `tokens`, of the shape
    of `input` without that dimension, which count from the start of the vocabulary; `start` is where this process's
    columns begin, by default its rank times their number, which must be that of all others then, too. `group` is by
    default all processes. `dtype` and `padding` are as in `token_log_probs`.

    Every process gets the same values, the nearest numbers to the exact ones: those of `token_log_probs` of whole rows,
    bit for bit, however many processes there are and wherever the vocabulary is cut. The gradient by the shard has the
    same bits for any cut, too, and is the nearest number times the cotangent, but for one in some 10^7. It needs no
    communication; a second derivative is an error.

    Processes exchange 64 bytes for each row and 64 more, once. Rows that this does not prove, one in some 10^8 float32 ones by
    chance, and such where one score is more than some 36 above all others and another one is asked for, are brought together whole, in a second exchange.
    Scores on other devices than the CPU are copied to it, and computed there.
    """
    x = converted(input, dtype)
    tokens = integers_of(tokens, "tokens", x)
    if x.ndim == 0 or tokens.shape != x.shape[:-1]:
        expected = "without its last dimension, which is the vocabulary"
        raise ValueError(
            f"tokens has the shape {tuple(tokens.shape)}, but input {tuple(x.shape)}: it must have that of input {expected}"
        )
    padding = None if padding is None else whole(padding, "padding")
    start = None if start is None else whole(start, "start", 0)
    return _vocab_parallel.token_log_probs(x, tokens, padding, start, group)


def vocab_parallel_cross_entropy(
    input, target, start=None, group=None, dtype=None, *, ignore_index=-100, reduction="mean"
):
    """`cross_entropy` over a vocabulary whose scores are in shards, one for each process of a `torch.distributed` group:
    the classes are in the last dimension.

    As `vocab_parallel_token_log_probs`, whose values it negates. Rows whose target is `ignore_index` are 0, and not
    counted in the mean; sum and mean are torch's.
    """
    options = loss_options(ignore_index, reduction, 0.0, 0.0, 1.0)
    target = integers_of(target, "target", floating(input))
    losses = -vocab_parallel_token_log_probs(input, target, start, group, dtype, padding=options["ignore_index"])
    if reduction == "none":
        return losses
    total = _reductions.wide(losses).sum()
    if reduction == "mean":
        total = _losses.mean_of(total, losses.numel(), target, None, options["ignore_index"])
    return total.to(losses.dtype)
