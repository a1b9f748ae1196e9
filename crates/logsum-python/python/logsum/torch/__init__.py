"""logsum's functions for PyTorch, with torch's arguments, as operators of torch.library.

They have derivatives of any order, backward and forward, and run under torch.func, vmap and torch.compile, also of one another. On
the CPU values are correctly rounded, as those of `logsum` are; on other devices they are computed by torch's own operations, by the
same formulas and conventions, and are right to some ulps. First derivatives of log-sum-exps, softmaxes and losses are correctly
rounded up to the product with the cotangent; all other derivatives are right to some ulps.

Where all is −∞ the gradient of a log-sum-exp is 0; of c times +∞ it is 1/c at each. Cumulative sums and products that are ±∞ have
gradient 0.
"""

import torch

from . import _elementwise, _losses, _reductions, _scans_and_products, _segments

__all__ = [
    "cross_entropy",
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
    "segment_logsumexp",
    "segment_softmax",
    "softmax",
    "softmax_entropy",
    "token_log_probs",
    "xlogx",
    "xlogy",
]


def floating(x, name="input"):
    """Integers as torch's default format."""
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, not {type(x).__name__}")
    if x.is_complex():
        raise TypeError(f"{name} is {x.dtype}: complex numbers are taken by logsum.logsumexp, without derivatives")
    return x if x.is_floating_point() else x.to(torch.get_default_dtype())


def converted(input, dtype):
    """In the format that is asked for, which must hold all numbers of the input's, as in `logsum.softmax`."""
    x = floating(input)
    if dtype is None:
        return x
    if not dtype.is_floating_point:
        raise TypeError(f"dtype is {dtype}, it must be a floating-point format")
    return x.to(dtype)


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


def of_dims(x, dim):
    """A tensor with a dimension at least, and the dimensions to reduce."""
    x = x[None] if x.ndim == 0 else x
    return x, dims_of(x, dim)


def one_dim(x, dim):
    if not isinstance(dim, int):
        raise TypeError(f"dim must be an integer, not {type(dim).__name__}")
    return dims_of(x, dim)[0]


def without(dims, keepdim, *values):
    return values if keepdim else tuple(value.squeeze(dims) for value in values)


def terms_of(input, b, where):
    """Numbers, weights and mask of one shape, with a dimension at least; what is masked out is −∞, with weight 0."""
    x = floating(input)
    beside = [] if b is None else [torch.as_tensor(b, dtype=x.dtype, device=x.device)]
    if where is not None:
        where = torch.as_tensor(where, device=x.device)
        if where.dtype != torch.bool:
            raise TypeError(f"where must be of booleans, not {where.dtype}")
        beside.append(where)
    x, *beside = torch.broadcast_tensors(torch.atleast_1d(x), *beside)
    if where is not None:
        where = beside.pop()
        x = torch.where(where, x, -torch.inf)
        beside = [torch.where(where, b, 0) for b in beside]
    return x, beside[0] if beside else None, where


def summed_to(x, shape):
    """What broadcasting spread out is added up again."""
    return x.sum_to_size(shape) if shape else x.sum()


def logsumexp(input, dim=None, b=None, keepdim=False, return_sign=False, where=None):
    """log Σ b e^input over dimensions: `torch.logsumexp(input, dim, keepdim=False)`, and as `logsum.logsumexp` if there are weights `b`
    of any sign, a sign to return, or a mask `where`.

    Its gradient by `input` is the softmax: 0 where all is −∞, 1/c at each of c times +∞; that by `b` is e^input / Σ.
    """
    if isinstance(b, bool):
        # torch's third argument is keepdim.
        b, keepdim = None, b
    x, b, _ = terms_of(input, b, where)
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
        return without(dims, keepdim, value)[0]
    return without(dims, keepdim, value, sign)


def logsumexp_value_and_grad(input, dim=None, b=None, where=None, keepdim=False, no_mass="zero"):
    """As `logsum.logsumexp_value_and_grad`: log Σ b e^input, and its gradient, or with weights `b` the pair of those by `input` and by `b`.

    Both have derivatives, as far as weights have the shape of `input`.
    """
    if no_mass not in ("zero", "uniform", "nan"):
        raise ValueError(f"no_mass is {no_mass!r}, it must be 'zero', 'uniform' or 'nan'")
    shapes = [input.shape, None if b is None else torch.as_tensor(b).shape]
    value = logsumexp(input, dim, b, keepdim, where=where)
    x, b, where = terms_of(input, b, where)
    dims = dims_of(x, dim)
    if b is None:
        gradients = [_reductions.softmax(x, dims)]
    else:
        of_b = _reductions.by_weight(x, b, dims)
        gradients = [torch.where(b == 0, 0, b * of_b), of_b]
    if no_mass != "zero":
        counted = torch.ones_like(x, dtype=torch.bool) if b is None else b != 0
        counted = counted if where is None else counted & where
        nothing = (counted & (x != -torch.inf)).sum(dims, keepdim=True) == 0
        stand_in = torch.nan if no_mass == "nan" else 1 / counted.sum(dims, keepdim=True)
        gradients = [torch.where(nothing & counted, stand_in, gradient).to(x.dtype) for gradient in gradients]
    gradients = [summed_to(gradient, shape) for gradient, shape in zip(gradients, shapes)]
    return value, gradients[0] if b is None else tuple(gradients)


def directed(input, direction, name, dim):
    x, t = torch.broadcast_tensors(floating(input), floating(torch.as_tensor(direction), name))
    x, dims = of_dims(x, dim)
    return x, t.to(x.dtype).reshape(x.shape), dims


def logsumexp_jvp(input, tangent, dim=None, keepdim=False):
    """The values of `logsumexp`, and their derivatives in the direction `tangent`: Σ softmax(input) · tangent."""
    x, t, dims = directed(input, tangent, "tangent", dim)
    slope = (_reductions.softmax(x, dims) * t).sum(dims, keepdim=True)
    return without(dims, keepdim, _reductions.logsumexp(x, dims), slope)


def logsumexp_hvp(input, vector, dim=None):
    """The Hessian of `logsumexp` times a vector: p (v − Σ p v) with p = softmax(input)."""
    x, v, dims = directed(input, vector, "vector", dim)
    return summed_to(_reductions.softmax_slope(_reductions.softmax(x, dims), v, dims), input.shape)


def softmax(input, dim=None, dtype=None):
    """e^input / Σ e^input over dimensions: `torch.softmax`; 0 where all is −∞."""
    x, dims = of_dims(converted(input, dtype), dim)
    return _reductions.softmax(x, dims).reshape(input.shape)


def log_softmax(input, dim=None, dtype=None):
    """input − log Σ e^input over dimensions: `torch.log_softmax`; −∞ where all is −∞."""
    x, dims = of_dims(converted(input, dtype), dim)
    return _reductions.log_softmax(x, dims).reshape(input.shape)


def logmeanexp(input, dim=None, keepdim=False):
    """log of the mean of e^input over dimensions. NaN of nothing. Its gradient is the softmax."""
    x, dims = of_dims(floating(input), dim)
    return without(dims, keepdim, _reductions.logmeanexp(x, dims))[0]


def logvarexp(input, dim=None, ddof=0, keepdim=False):
    """log of the variance of e^input over dimensions, Σ (e^input − mean)² / (n − ddof).

    Where all numbers are equal it is −∞ and has no derivative: NaN.
    """
    if not (isinstance(ddof, int) and ddof >= 0):
        raise ValueError(f"ddof is {ddof!r}, it must be an integer that is not negative")
    x, dims = of_dims(floating(input), dim)
    return without(dims, keepdim, _reductions.logvarexp(x, ddof, dims))[0]


def softmax_entropy(input, dim=None, keepdim=False):
    """−Σ p log p with p = softmax(input) over dimensions, in nats."""
    x, dims = of_dims(floating(input), dim)
    return without(dims, keepdim, _reductions.softmax_entropy(x, dims))[0]


def logcumsumexp(input, dim, reverse=False, exclusive=False):
    """log of the cumulative sums of e^input along a dimension: `torch.logcumsumexp`.

    With `reverse` they are added up from the end; `exclusive` ones leave out their own number, so that the first is −∞.
    """
    x = floating(input)
    if x.ndim == 0:
        return logcumsumexp(x[None], 0, reverse, exclusive)[0]
    dim = one_dim(x, dim)
    if not exclusive or x.shape[dim] == 0:
        return _scans_and_products.logcumsumexp(x, dim, bool(reverse))
    nothing = torch.full_like(x.narrow(dim, 0, 1), -torch.inf)
    others = x.narrow(dim, 1 if reverse else 0, x.shape[dim] - 1)
    sums = _scans_and_products.logcumsumexp(others, dim, bool(reverse))
    return torch.cat([sums, nothing] if reverse else [nothing, sums], dim)


def log_matmul(input, other):
    """The matrix product in log space: log Σ_k e^{input_ik + other_kj}, with vectors and batches as in `torch.matmul`."""
    a, b = floating(input), floating(other, "other")
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError("log_matmul needs vectors, matrices or batches of them, not a scalar")
    dtype = torch.promote_types(a.dtype, b.dtype)
    left, right = (a[None, :] if a.ndim == 1 else a).to(dtype), (b[:, None] if b.ndim == 1 else b).to(dtype)
    if left.shape[-1] != right.shape[-2]:
        raise ValueError(f"input of shape {tuple(a.shape)} and other of shape {tuple(b.shape)} do not fit: the length of the sums differs")
    batch = torch.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    left, right = left.expand(*batch, *left.shape[-2:]), right.expand(*batch, *right.shape[-2:])
    product = _scans_and_products.log_matmul(left, right)
    product = product.squeeze(-2) if a.ndim == 1 else product
    return product.squeeze(-1) if b.ndim == 1 else product


def segments_of(x, segment_ids, num_segments, offsets, mode, dim):
    """Ids below a number of segments, that number, and whether each is of a segment, or None if all are."""
    if mode not in ("raise", "drop"):
        raise ValueError(f"mode is {mode!r}, it must be 'raise' or 'drop'")
    if (segment_ids is None) == (offsets is None):
        raise ValueError("either segment_ids or offsets must be given")
    length = x.shape[dim]
    if offsets is not None:
        offsets = torch.as_tensor(offsets, device=x.device)
        if num_segments is not None:
            raise ValueError("num_segments goes with segment_ids: offsets have a number of segments of their own")
        if offsets.is_floating_point() or offsets.ndim != 1 or len(offsets) == 0:
            raise ValueError(f"offsets is {offsets.dtype} of the shape {tuple(offsets.shape)}, it must be integers of one dimension")
        lengths = offsets.diff()
        if offsets[0] != 0 or offsets[-1] != length or (lengths < 0).any():
            raise ValueError(f"offsets must go from 0 to {length}, the length of input, and never down")
        count = len(lengths)
        return torch.repeat_interleave(torch.arange(count, device=x.device), lengths), count, None
    ids = torch.as_tensor(segment_ids, device=x.device)
    if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
        raise TypeError(f"segment_ids must be integers, not {ids.dtype}")
    if ids.shape != (length,):
        raise ValueError(f"segment_ids has the shape {tuple(ids.shape)}, it must be ({length},), the length of input along dim")
    ids = ids.to(torch.int64)
    if num_segments is None:
        num_segments = max(int(ids.max()) + 1, 0) if length else 0
    is_inside = (ids >= 0) & (ids < num_segments)
    if mode == "drop":
        return torch.where(is_inside, ids, num_segments), num_segments, is_inside
    # Under torch.compile the operator looks.
    if not torch.compiler.is_compiling() and not is_inside.all():
        place = int((~is_inside).nonzero()[0, 0])
        raise ValueError(f"segment_ids has {int(ids[place])} at {place}, it must be from 0 to below {num_segments}, the number of segments")
    return ids, num_segments, None


def segment_logsumexp(input, segment_ids=None, num_segments=None, dim=0, offsets=None, mode="raise"):
    """Log-sum-exps of the segments of a tensor along a dimension, which then enumerates them: as `logsum.segment_logsumexp`."""
    x = floating(input)
    dim = one_dim(x, dim)
    ids, count, is_inside = segments_of(x, segment_ids, num_segments, offsets, mode, dim)
    if is_inside is None:
        return _segments.segment_logsumexp(x, ids, count, dim)
    return _segments.segment_logsumexp(x, ids, count + 1, dim).narrow(dim, 0, count)


def segment_softmax(input, segment_ids=None, num_segments=None, dim=0, offsets=None, mode="raise"):
    """The softmax within each segment of a tensor along a dimension: as `logsum.segment_softmax`."""
    x = floating(input)
    dim = one_dim(x, dim)
    ids, count, is_inside = segments_of(x, segment_ids, num_segments, offsets, mode, dim)
    if is_inside is None:
        return _segments.segment_softmax(x, ids, count, dim)
    shape = [1] * x.ndim
    shape[dim] = -1
    return torch.where(is_inside.reshape(shape), _segments.segment_softmax(x, ids, count + 1, dim), 0)


def by_element(function, *inputs):
    tensors = [x if isinstance(x, torch.Tensor) else torch.as_tensor(x) for x in inputs]
    dtype = floating(tensors[0]).dtype
    for x in tensors[1:]:
        dtype = torch.promote_types(dtype, floating(x, "other").dtype)
    return function(*(x.to(dtype) for x in torch.broadcast_tensors(*tensors)))


def logaddexp(input, other):
    """log(e^input + e^other): `torch.logaddexp`."""
    return by_element(_elementwise.logaddexp, input, other)


def logsubexp(input, other):
    """log(e^input − e^other); NaN where input < other."""
    return by_element(_elementwise.logsubexp, input, other)


def log1pexp(input):
    """log(1 + e^input), softplus."""
    return by_element(_elementwise.log1pexp, input)


def log1mexp(input):
    """log(1 − e^input) for input ≤ 0."""
    return by_element(_elementwise.log1mexp, input)


def logexpm1(input):
    """log(e^input − 1) for input ≥ 0, the inverse of `log1pexp`."""
    return by_element(_elementwise.logexpm1, input)


def logistic(input):
    """1/(1 + e^−input): `torch.sigmoid`."""
    return by_element(_elementwise.logistic, input)


def log_logistic(input):
    """−log(1 + e^−input): `torch.nn.functional.logsigmoid`."""
    return by_element(_elementwise.log_logistic, input)


def logit(input):
    """log(p/(1 − p)): `torch.logit`."""
    return by_element(_elementwise.logit, input)


def xlogx(input):
    """x log x; 0 at 0."""
    return by_element(_elementwise.xlogx, input)


def xlogy(input, other):
    """input log other: `torch.xlogy`; 0 where input is 0, unless other is NaN."""
    return by_element(_elementwise.xlogy, input, other)


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

    `z_loss` times the squared log-sum-exp is added to each loss; scores are divided by `temperature`. Scores −∞ of classes that the
    target does not weigh have no part in the loss, and gradient 0: they may mask classes out. Derivatives are by the scores only.
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction is {reduction!r}, it must be 'mean', 'sum' or 'none'")
    dim = (1 if input.ndim > 1 else 0) if dim is None else dim
    x = floating(input).movedim(dim, -1)
    target = torch.as_tensor(target, device=x.device)
    if target.is_floating_point():
        target = target.to(x.dtype).movedim(dim, -1)
    if weight is not None:
        weight = torch.as_tensor(weight, device=x.device).to(x.dtype)
    if not (z_loss >= 0 and temperature > 0):
        raise ValueError(f"z_loss is {z_loss!r} and temperature {temperature!r}, they must not be negative, and temperature not 0")
    x = x if temperature == 1 else x / temperature
    each = _losses.losses(x, target, weight, ignore_index, label_smoothing)
    is_counted = None if target.is_floating_point() else target != ignore_index
    if z_loss:
        whole = _losses.weights_of(x, target, weight, ignore_index, label_smoothing).sum(-1)
        square = _reductions.logsumexp(x, [-1])[..., 0].square()
        each = each + torch.where(whole == 0, 0, whole * z_loss * square)
    if reduction == "none":
        return each
    if reduction == "sum":
        return each.sum()
    if is_counted is None:
        return each.mean() if each.ndim else each
    if weight is None:
        return each.sum() / is_counted.sum()
    return each.sum() / torch.where(is_counted, weight[torch.where(is_counted, target, 0)], 0).sum()


def token_log_probs(input, tokens, dim=-1, dtype=None, entropy=False):
    """log softmax(input) at one index for each row along `dim`, without the rest of the row: `tokens` has the shape of
    `input` without `dim`.

    With `dtype`, scores are converted first: float32 for float16 and bfloat16 ones gives the nearest float32. With
    `entropy`, the entropy −Σ p log p of each row's softmax follows. Both have derivatives of any order by the scores.
    """
    x = converted(input, dtype).movedim(dim, -1)
    tokens = torch.as_tensor(tokens, device=x.device)
    if tokens.is_floating_point() or tokens.shape != x.shape[:-1]:
        raise ValueError(f"tokens is {tokens.dtype} of the shape {tuple(tokens.shape)}, it must be integers of {tuple(x.shape[:-1])}")
    nothing = torch.iinfo(torch.int64).min
    log_p = -_losses.losses(x, tokens, None, nothing, 0.0)
    return (log_p, softmax_entropy(x, -1)) if entropy else log_p
