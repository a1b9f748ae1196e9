"""logsum's functions for PyTorch, with torch's argument names and defaults, as operators of `torch.library`.

They have derivatives of any order, backward and forward, and run under `torch.func`, `vmap` and `torch.compile`, in any
composition of these; exceptions are documented with the function.

Arguments
---------
`input` is a tensor of float16, bfloat16, float32 or float64; integers and booleans are converted to torch's default
format. Other arguments may be tensors, arrays or Python's numbers, except that those of elementwise functions and of
`log_matmul` must all be tensors. Formats are promoted as torch promotes them. `dim` is a dimension, a tuple or list of
dimensions, or None or () for all of them; with `keepdim` they stay, with length 1.
Under autocast, numbers of 16 bits are converted to float32, as for torch's own exponentials and losses.

Accuracy
--------
On the CPU values are as accurate as those of the same functions of `logsum`: mostly correctly rounded. The derivatives
that `logsumexp_jvp` and `logsumexp_hvp` return are less accurate, as the other derivatives below. On NVIDIA's GPUs
(Ampere and later) log-sum-exp, softmax and log-softmax without weights have the same bits as on the CPU. So have token
log-probabilities and the losses of rows whose targets are classes, without class weights, label smoothing, z-loss and
temperature, with their gradients except for the sign of zeros. All of these run as kernels of this package, on torch's
current stream; `unproved` counts the results that may be exceptions. All other functions on GPUs, and all functions on
other devices, are computed by torch's own operations, by the same formulas and conventions, with errors of some ulps.

First derivatives of log-sum-exps and losses are correctly rounded before they are multiplied by the cotangent. All
other derivatives have an error of some ulps of their largest terms; these terms cancel where a row is nearly certain
(one probability is close to 1) or nearly constant. For cumulative sums that error is multiplied by the size of the
logarithms, for matrix products by the distances between the logarithms in a row or a column.

Where all numbers are −∞, the gradient of a log-sum-exp is 0; with c numbers +∞ it is 1/c at each of these. Cumulative
sums and products that are ±∞ have the gradient 0.

Errors
------
TypeError for an argument of the wrong type or dtype; IndexError for a dimension out of range, and RuntimeError for one
that is given twice, as in torch; ValueError for shapes that do not fit, and for options, classes, tokens or ids out of
range.
"""

import contextlib
import math

import numpy as np
import torch

from .._arguments import either, loss_options, one_of, whole
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
    """log Σ b e^input over dimensions: `torch.logsumexp(input, dim, keepdim=False)`, with optional weights `b` of any
    sign and an optional boolean mask `where`.

    `b` and `where` broadcast against `input`; terms that are masked out or have the weight 0 are absent, even if they
    are NaN. A bool in the place of `b` is taken for `keepdim`, which is torch's third argument. Without `return_sign` a
    negative sum gives NaN; with it the result is the pair of log |Σ b e^input| and the sign of the sum: 1, −1, or 0
    where the terms cancel exactly or there are none. Special cases are those of `logsum.logsumexp`.

    The gradient with respect to `input` is b e^input / Σ b e^input, without weights the softmax; that with respect to
    `b` is e^input / Σ b e^input.

    >>> logsumexp(torch.tensor([1000.0, 1000.0]))
    tensor(1000.6931)
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
    """log Σ b e^input over dimensions, and its gradient; with weights `b` the pair of the gradients with respect to
    `input` and to `b`. See also `logsum.logsumexp_value_and_grad`, which documents `no_mass`.

    The value and the gradients can be differentiated again.
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
    """The values of `logsumexp`, and their derivatives in the direction `tangent`: Σ p t with p = softmax(input).

    `input` and `tangent` broadcast against each other. Tangents where p is 0 do not count. See also
    `logsum.logsumexp_jvp`.
    """
    x, t, dims, is_number = directed(input, tangent, "tangent", dim)
    slope = _reductions.times(_reductions.softmax(x, dims), t).sum(dims, keepdim=True)
    return without(is_number, dims, keepdim, _reductions.logsumexp(x, dims), slope)


def logsumexp_hvp(input, vector, dim=None):
    """The Hessian of `logsumexp` times a vector v: p (v − Σ p v) with p = softmax(input), of the shape of `input`.

    `input` and `vector` broadcast against each other. Numbers of `vector` where p is 0 do not count. See also
    `logsum.logsumexp_hvp`.
    """
    x, v, dims, _ = directed(input, vector, "vector", dim)
    p = _reductions.softmax(x, dims)
    return summed_to(_reductions.softmax_slope(p, torch.where(p == 0, 0, v), dims), input.shape)


def softmax(input, dim=None, dtype=None):
    """e^input / Σ e^input over dimensions: `torch.softmax`. 0 where all numbers are −∞; with c numbers +∞, 1/c at each
    of these.

    With `dtype`, numbers are first converted to that format; integers, too, are converted to it directly. It must
    represent them exactly: numbers of a wider format, or an integer that it would round, are an error.
    Integers whose values cannot be checked, since they are traced or on a device other than the CPU, are rounded.
    """
    x, dims = of_dims(converted(input, dtype), dim)
    return _reductions.softmax(x, dims).reshape(input.shape)


def log_softmax(input, dim=None, dtype=None):
    """input − log Σ e^input over dimensions: `torch.log_softmax`. −∞ where all numbers are −∞. `dtype` is as in
    `softmax`."""
    x, dims = of_dims(converted(input, dtype), dim)
    return _reductions.log_softmax(x, dims).reshape(input.shape)


def logmeanexp(input, dim=None, keepdim=False):
    """The logarithm of the mean of e^input over dimensions; NaN if there are no numbers. Its gradient is the softmax.

    See also `logsum.logmeanexp`.
    """
    x, dims = of_dims(floating(input), dim)
    return without(input.ndim == 0, dims, keepdim, _reductions.logmeanexp(x, dims))[0]


def logvarexp(input, dim=None, ddof=0, keepdim=False):
    """The logarithm of the variance of e^input over dimensions: log(Σ (e^input − mean)² / (n − ddof)) of n numbers.

    Where all numbers are equal it is −∞. Its derivative, which does not exist there, is NaN, or 0 where all numbers
    are −∞. See also `logsum.logvarexp`.
    """
    x, dims = of_dims(floating(input), dim)
    return without(input.ndim == 0, dims, keepdim, _reductions.logvarexp(x, whole(ddof, "ddof", 0), dims))[0]


def softmax_entropy(input, dim=None, keepdim=False, *, temperature=1.0, softcap=None):
    """The entropy −Σ p log p of p = softmax(input) over dimensions, in nats. See also `logsum.softmax_entropy`.

    With `softcap` c each score s is first replaced by c · tanh(s / c), except −∞, which stays masked out; then scores are
    divided by `temperature`. With a soft cap or a temperature other than 1 the computation is in float64, and the
    result is rounded to the format of `input`. Derivatives are with respect to `input` only.
    """
    temperature, softcap = _losses.scaling(temperature, softcap)
    x, dims = of_dims(floating(input), dim)
    entropy = _reductions.softmax_entropy(_losses.scaled(x, dims, temperature, softcap), dims)
    return without(input.ndim == 0, dims, keepdim, entropy.to(x.dtype))[0]


def softmax_kl(input, other, dim=None, keepdim=False, *, temperature=1.0, softcap=None):
    """The Kullback-Leibler divergence Σ p log(p/q) of p = softmax(input) and q = softmax(other) over dimensions, in
    nats.

    `input` and `other` broadcast against each other. The result is never negative, and accurate also where p and q are
    close to each other: it is computed as Σ p (e^−d − 1 + d) with d = log p − log q, on the CPU within 1 ulp, elsewhere
    in float64 with a relative error of at most 1e-12 and then rounded. Where both scores are −∞, an element is masked
    out and contributes nothing. Where p has mass and q has none, the result is +∞ with the derivative 0. A row of
    `input` without mass, all −∞, gives 0; a NaN gives NaN. Derivatives of any order are with respect to both arguments.

    `temperature` and `softcap` apply to both arguments, as in `softmax_entropy`. The scores that result are rounded to
    float64, so that the divergence of nearly equal arguments is less accurate.

    >>> softmax_kl(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 1.0]))
    tensor(0.)
    """
    temperature, softcap = _losses.scaling(temperature, softcap)
    named = dict(input=floating(input), other=as_tensor(other, "other", input))
    x, y = together(**dict(zip(named, in_common(**named))))
    dims, dtype = dims_of(x, dim), x.dtype
    x, y = (_losses.scaled(scores, dims, temperature, softcap) for scores in (x, y))
    return without(are_numbers(named), dims, keepdim, _divergence.softmax_kl(x, y, dims).to(dtype))[0]


def merge_attention(outputs, logsumexps, *, base):
    """Attention over all keys from attention over parts of them: `(output, logsumexp)`, given the outputs of the parts
    and the log-sum-exps of their scores.

    `outputs` and `logsumexps` are sequences of tensors, or tensors whose first dimension enumerates the parts; a part's
    output has the shape (…, d), its log-sum-exp the shape (…). `base` is the base of these logarithms: "e" for log Σ
    e^s, "2" for log2 Σ 2^s. It has no default, since attention kernels differ. A part without keys has the log-sum-exp
    −∞, and its output is ignored, whatever it is; if no part has keys, the result is 0 and −∞. The log-sum-exp does not
    depend on the order of the parts. Derivatives of any order are with respect to both arguments.

    >>> merge_attention(torch.tensor([[1.0], [3.0]]), torch.tensor([0.0, 0.0]), base="e")
    (tensor([2.]), tensor(0.6931))
    """
    one_of(("e", "2"), base, "base")
    values = floating(stacked(outputs, "outputs"), "outputs")
    logs = floating(stacked(logsumexps, "logsumexps"), "logsumexps")
    if values.ndim == 0 or logs.ndim == 0 or not len(logs):
        raise ValueError("outputs and logsumexps must have a first dimension, of at least one part")
    if values.shape[:-1] != logs.shape:
        raise ValueError(
            f"outputs has the shape {tuple(values.shape)} and logsumexps {tuple(logs.shape)}: "
            "the second must be the first without its last dimension"
        )
    unit = 1.0 if base == "e" else math.log(2)
    scores = logs.double() * unit
    weights = _reductions.softmax(scores, [-scores.ndim]).to(_reductions.wide(values).dtype)
    # The output of a part without keys may be anything.
    values, dtype = torch.where(logs[..., None] == -torch.inf, 0, _reductions.wide(values)), values.dtype
    output = _reductions.times(weights[..., None].expand(values.shape), values).sum(0)
    logsumexp = _reductions.logsumexp(scores, [-scores.ndim])[0] / unit
    return output.to(dtype), logsumexp.to(logs.dtype)


def logcumsumexp(input, dim, reverse=False, exclusive=False):
    """The logarithms of the cumulative sums of e^input along a dimension: `torch.logcumsumexp`.

    With `reverse` the sums start from the end. With `exclusive` each sum leaves out the number at its own place, so
    that the first one (with `reverse` the last) is −∞.
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
    """The matrix product in log space, log Σ_k e^{input_ik + other_kj}, of vectors, matrices and batches with the
    shapes of `torch.matmul`. See also `logsum.log_matmul`."""
    a, b = in_common(input=input, other=other)
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError("log_matmul needs vectors, matrices or batches of them, not a scalar")
    left, right = (a[None, :] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
    if left.shape[-1] != right.shape[-2]:
        shapes = f"input of shape {tuple(a.shape)} and other of shape {tuple(b.shape)}"
        raise ValueError(f"{shapes} do not fit: the length of the sums differs")
    try:
        batch = torch.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    except RuntimeError:
        shapes = f"input of shape {tuple(a.shape)} and other of shape {tuple(b.shape)}"
        raise ValueError(f"{shapes} do not fit: their batches do not broadcast against each other") from None
    left, right = left.expand(*batch, *left.shape[-2:]), right.expand(*batch, *right.shape[-2:])
    product = _scans_and_products.log_matmul(left, right)
    product = product.squeeze(-2) if a.ndim == 1 else product
    return product.squeeze(-1) if b.ndim == 1 else product


def by_segments(function, input, segment_ids, num_segments, dim, offsets, mode):
    """What `function` returns for the segments, the number of segments, and the dimension. If ids may be dropped, the
    result has one more segment at the end, for the places that are in none, whose numbers are replaced by −∞."""
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
    """The log-sum-exp of each segment of a tensor along a dimension, which enumerates the segments in the result.

    Segments are given by `segment_ids` or by `offsets`, as in `logsum.segment_logsumexp`. Traced ids on the CPU are
    checked when the operator runs. Ids on other devices, and offsets that are traced or on other devices, are not
    checked.
    """
    values, count, dim = by_segments(_segments.segment_logsumexp, input, segment_ids, num_segments, dim, offsets, mode)
    return values.narrow(dim, 0, count)


def segment_softmax(input, segment_ids=None, num_segments=None, dim=0, offsets=None, mode="raise"):
    """The softmax within each segment of a tensor along a dimension. Segments are given as in `segment_logsumexp`;
    places in no segment have 0."""
    return by_segments(_segments.segment_softmax, input, segment_ids, num_segments, dim, offsets, mode)[0]


def by_element(function, **named):
    """`function` of the tensors, brought to one format and shape."""
    tensors = in_common(**named)
    if len(tensors) == 1:
        return function(*tensors)
    value = function(*together(**dict(zip(named, tensors))))
    return value if any(x.ndim for x in tensors) else value[0]


def logaddexp(input, other):
    """log(e^input + e^other), of tensors that broadcast against each other: `torch.logaddexp`."""
    return by_element(_elementwise.logaddexp, input=input, other=other)


def logsubexp(input, other):
    """log(e^input − e^other), of tensors that broadcast against each other; NaN where input < other."""
    return by_element(_elementwise.logsubexp, input=input, other=other)


def log1pexp(input):
    """log(1 + e^input): `torch.nn.functional.softplus`, without its threshold."""
    return by_element(_elementwise.log1pexp, input=input)


def log1mexp(input):
    """log(1 − e^input) for input ≤ 0; NaN for input > 0."""
    return by_element(_elementwise.log1mexp, input=input)


def logexpm1(input):
    """log(e^input − 1) for input ≥ 0, the inverse of `log1pexp`; NaN for input < 0."""
    return by_element(_elementwise.logexpm1, input=input)


def logistic(input):
    """1/(1 + e^−input): `torch.sigmoid`."""
    return by_element(_elementwise.logistic, input=input)


def log_logistic(input):
    """−log(1 + e^−input): `torch.nn.functional.logsigmoid`."""
    return by_element(_elementwise.log_logistic, input=input)


def logit(input):
    """log(p/(1 − p)) for p between 0 and 1: `torch.logit`; NaN outside."""
    return by_element(_elementwise.logit, input=input)


def unproved():
    """The number of results on GPUs, since the program started, that were not proved to be the nearest numbers. Of
    calls in a captured graph usually only those of the graph's last run are counted.

    Each such result is the number nearest to an estimate. The estimate of a log-sum-exp has an error of about 2^-116
    (in float64, below 2^21 in magnitude, 2^-236), that of an element of softmax or of the derivative of a loss 2^-93,
    and that of the derivative with respect to the score of the target, where that score is the greatest, 2^-74. Usually
    there are no such results: they occur in rows that were constructed to be hard.

    This function waits for the current stream of each GPU. The functions that compute do not wait for the GPU, except
    that losses wait for their targets, since these may be out of range; they do not where a graph is captured or the
    function is compiled.

    >>> unproved()
    0
    """
    return _cuda.unproved()


def xlogx(input):
    """x log x for x ≥ 0, 0 at 0; NaN for x < 0."""
    return by_element(_elementwise.xlogx, input=input)


def xlogy(input, other):
    """input log other, of tensors that broadcast against each other: `torch.xlogy`; 0 where input is 0, unless other is
    NaN."""
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
    """The cross-entropy loss of classification: `torch.nn.functional.cross_entropy`, with a `dim` of the classes, a
    z-loss and a temperature. `logsum.cross_entropy` has the formula.

    The classes are in dimension 1, or 0 of a vector, unless `dim` says otherwise. `target` is a class for each row, as
    integers of the shape of `input` without `dim`, or probabilities of the shape of `input`. `z_loss` times the squared
    log-sum-exp, times the total weight of the row's target, is added to each loss. Scores are divided by `temperature`,
    which may be a tensor without dimensions. `weight` has one number for each class. A score of −∞ whose class has
    no weight in the target masks that class out: it has no influence on the loss, and the gradient 0.

    Derivatives are with respect to the scores, the probabilities, the class weights, and a temperature that is a
    tensor. Without z-loss and temperature each loss is correctly rounded; sum and mean are computed by torch from the
    losses. The mean of losses whose total weight is 0 is NaN.
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
    # An empty target may have any format: torch makes floats of an empty list.
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
    # In narrow formats intermediate results would overflow, and so would the derivatives of a mean over small weights.
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
    # In a narrow format the sum would overflow, or stop growing.
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
    """`cross_entropy` of the scores input · linear_weightᵀ + linear_bias, without storing all of these at once:
    `torch.nn.functional.linear_cross_entropy`, for rows in any number of dimensions.

    `input` has the shape (…, d), `linear_weight` (classes, d), `linear_bias` (classes,); `target` has a class for each
    row of `input`, or probabilities of the shape (…, classes). With `softcap` c each score s is replaced by c ·
    tanh(s/c) first, except −∞ (of a class with the bias −∞), which stays. The other options are those of
    `cross_entropy`. Scores are torch's matrix products in the format of `input` and `linear_weight`. The result has
    that format, or float32 if that format is narrower. If there is no z-loss, temperature or softcap, the loss of each
    row is the number of the result's format that is nearest to the exact loss of the computed scores.

    Derivatives are with respect to `input`, `linear_weight` and `linear_bias`. They are computed together with the
    loss; with `reduction="none"` they are computed in the backward pass, from scores that are computed again. Those
    with respect to the weight and the bias are summed in float32, or in float64 for float64. Second derivatives are an
    error, and so are `torch.func`, `vmap` and forward mode, and derivatives with respect to `target` or `weight`.

    The rows are processed in chunks of 2^24 scores, but of at least 256 rows. Beside the derivatives, and a float32
    copy of the one with respect to the weight, memory is needed for about four times the scores of a chunk, whatever
    the number of rows.

    >>> linear_cross_entropy(torch.zeros(2, 3), torch.zeros(4, 3), torch.tensor([0, 1]))
    tensor(1.3863)
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
    refuse_tensors(label_smoothing=label_smoothing, z_loss=z_loss)
    _, softcap = _losses.scaling(temperature, softcap)
    options = loss_options(ignore_index, reduction, label_smoothing, z_loss, temperature)
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
            scores = _losses.capped(scores, softcap)
        return cross_entropy(scores, target, weight, reduction="none", dim=-1, **numbers)

    rows, targets = x.reshape(-1, x.shape[-1]), target.reshape(-1, *target.shape[x.ndim - 1 :])
    weight = None if weight is None else _reductions.wide(weight.to(torch.promote_types(weight.dtype, x.dtype)))
    arguments = targets, weight, losses, 1 / options["temperature"]
    device = x.device.type
    can_cast = torch.amp.is_autocast_available(device)
    if can_cast and torch.is_autocast_enabled(device) and x.dtype != torch.float64:
        # As autocast would convert the factors of the products, which are thus the same in the backward pass.
        narrow = torch.get_autocast_dtype(device)
        rows, w, b = rows.to(narrow), w.to(narrow), None if b is None else b.to(narrow)
    with torch.autocast(device, enabled=False) if can_cast else contextlib.nullcontext():
        if reduction == "none":
            return _linear.each_loss(rows, w, b, *arguments).reshape(x.shape[:-1])
        total = _linear.sum_of_losses(rows, w, b, *arguments)
    return _losses.mean_of(total, len(rows), targets, weight, options["ignore_index"]) if reduction == "mean" else total


def token_log_probs(input, tokens, dim=-1, dtype=None, entropy=False, *, padding=None):
    """The log-probability of one token for each row along `dim`: log softmax(input) at one index, without the rest of
    the row.

    `tokens` has the shape of `input` without `dim`, and so has the result. With `dtype`, scores are converted first, as
    in `softmax`: float32 for float16 and bfloat16 scores gives the nearest float32. With `entropy` the result is a
    pair, the second of which is the entropy −Σ p log p of each row's softmax. Both have derivatives of any order with
    respect to the scores. Where a token equals `padding`, if that is given, its log-probability is 0.

    See also `cross_entropy` and `vocab_parallel_token_log_probs`.

    >>> token_log_probs(torch.tensor([[40.0, 0.0], [2.0, 2.0]]), torch.tensor([0, 1]))
    tensor([-4.2484e-18, -6.9315e-01])
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
        # The number that stands for no padding is not a token either.
        tokens = torch.where(tokens == nothing, -1, tokens)
    log_p = -_losses.surprisals(x, tokens, None, nothing, 0.0)
    return (log_p, softmax_entropy(x, -1)) if entropy else log_p


def vocab_parallel_token_log_probs(input, tokens, start=None, group=None, dtype=None, *, padding=None):
    """`token_log_probs` over a vocabulary whose scores are split into shards, one for each process of a
    `torch.distributed` group.

    Each process passes its columns of the scores, in the last dimension of `input`, and the same `tokens`, of the shape
    of `input` without that dimension, which count from the start of the vocabulary. `start` is the column of the
    vocabulary at which this process's columns begin. By default it is the rank times the number of columns, which must
    then be the same in all processes. `group` is by default the group of all processes. `dtype` and `padding` are as in
    `token_log_probs`.

    Every process gets the same values, which are correctly rounded: they have the bits of `token_log_probs` of the
    whole rows, for any number of processes and wherever the vocabulary is cut. The bits of the gradient with respect to
    the shard do not depend on the cut either; before the multiplication by the cotangent it is correctly rounded,
    except for one element in some 10^7. The backward pass needs no communication. Second derivatives are an error, and
    so are `torch.func`, `vmap` and forward mode.

    In one exchange each process sends 64 bytes for each row, and 64 more. A row whose value is not proved to be the
    nearest number by what is exchanged is gathered whole in a second exchange. By chance this is one float32 row in
    some 10^8; it is also every row in which one score is more than about 36 above all others while the token is another
    one. Scores on devices other than the CPU are copied to the CPU, and the results are computed there.
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
    """`cross_entropy` over a vocabulary whose scores are split into shards, one for each process of a
    `torch.distributed` group. The classes are in the last dimension.

    The losses are the negated values of `vocab_parallel_token_log_probs`, which documents `start`, `group` and `dtype`.
    Rows whose target is `ignore_index` have the loss 0, and are not counted in the mean. Sum and mean are computed by
    torch from the losses.
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
