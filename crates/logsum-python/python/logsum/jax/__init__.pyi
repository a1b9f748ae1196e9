from collections.abc import Sequence
from typing import Any, Literal, SupportsIndex, TypeAlias, overload

import numpy as np
from jax import Array
from jax.typing import ArrayLike, DTypeLike
from numpy.typing import ArrayLike as _NumpyArrayLike

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

# An array, or a list of numbers, which the functions of JAX itself refuse.
_Numbers: TypeAlias = ArrayLike | _NumpyArrayLike
_Axis: TypeAlias = SupportsIndex | Sequence[SupportsIndex] | None
_Real: TypeAlias = float | np.floating[Any] | np.integer[Any]
_NoMass: TypeAlias = Literal["zero", "uniform", "nan"]
_Reduction: TypeAlias = Literal["mean", "sum", "none"]

@overload
def logsumexp(
    a: _Numbers,
    axis: _Axis = None,
    b: _Numbers | None = None,
    keepdims: bool = False,
    return_sign: Literal[False] = False,
    where: _Numbers | None = None,
) -> Array: ...
@overload
def logsumexp(
    a: _Numbers,
    axis: _Axis,
    b: _Numbers | None,
    keepdims: bool,
    return_sign: Literal[True],
    where: _Numbers | None = None,
) -> tuple[Array, Array]: ...
@overload
def logsumexp(
    a: _Numbers,
    axis: _Axis = None,
    b: _Numbers | None = None,
    keepdims: bool = False,
    *,
    return_sign: Literal[True],
    where: _Numbers | None = None,
) -> tuple[Array, Array]: ...
@overload
def logsumexp(
    a: _Numbers,
    axis: _Axis = None,
    b: _Numbers | None = None,
    keepdims: bool = False,
    return_sign: bool = False,
    where: _Numbers | None = None,
) -> Array | tuple[Array, Array]: ...
@overload
def logsumexp_value_and_grad(
    a: _Numbers,
    axis: _Axis = None,
    b: None = None,
    where: _Numbers | None = None,
    keepdims: bool = False,
    no_mass: _NoMass = "zero",
) -> tuple[Array, Array]: ...
@overload
def logsumexp_value_and_grad(
    a: _Numbers,
    axis: _Axis,
    b: _Numbers,
    where: _Numbers | None = None,
    keepdims: bool = False,
    no_mass: _NoMass = "zero",
) -> tuple[Array, tuple[Array, Array]]: ...
@overload
def logsumexp_value_and_grad(
    a: _Numbers,
    axis: _Axis = None,
    *,
    b: _Numbers,
    where: _Numbers | None = None,
    keepdims: bool = False,
    no_mass: _NoMass = "zero",
) -> tuple[Array, tuple[Array, Array]]: ...
def logsumexp_jvp(
    a: _Numbers, tangent: _Numbers, axis: _Axis = None, keepdims: bool = False
) -> tuple[Array, Array]: ...
def logsumexp_hvp(a: _Numbers, vector: _Numbers, axis: _Axis = None) -> Array: ...
def softmax(
    x: _Numbers, axis: _Axis = -1, where: _Numbers | None = None, dtype: DTypeLike | None = None
) -> Array: ...
def log_softmax(
    x: _Numbers, axis: _Axis = -1, where: _Numbers | None = None, dtype: DTypeLike | None = None
) -> Array: ...
def logmeanexp(a: _Numbers, axis: _Axis = None, keepdims: bool = False) -> Array: ...
def logvarexp(a: _Numbers, axis: _Axis = None, ddof: SupportsIndex = 0, keepdims: bool = False) -> Array: ...
def softmax_entropy(a: _Numbers, axis: _Axis = None, keepdims: bool = False) -> Array: ...
def logcumsumexp(a: _Numbers, axis: SupportsIndex = 0, reverse: bool = False, exclusive: bool = False) -> Array: ...
def log_matmul(a: _Numbers, b: _Numbers) -> Array: ...
def segment_logsumexp(
    a: _Numbers,
    segment_ids: _Numbers | None = None,
    num_segments: SupportsIndex | None = None,
    axis: SupportsIndex = 0,
    offsets: _Numbers | None = None,
    mode: Literal["raise", "drop"] = "raise",
) -> Array: ...
def segment_softmax(
    a: _Numbers,
    segment_ids: _Numbers | None = None,
    num_segments: SupportsIndex | None = None,
    axis: SupportsIndex = 0,
    offsets: _Numbers | None = None,
    mode: Literal["raise", "drop"] = "raise",
) -> Array: ...
def logaddexp(x: _Numbers, y: _Numbers) -> Array: ...
def logsubexp(x: _Numbers, y: _Numbers) -> Array: ...
def log1pexp(x: _Numbers) -> Array: ...
def log1mexp(x: _Numbers) -> Array: ...
def logexpm1(x: _Numbers) -> Array: ...
def logistic(x: _Numbers) -> Array: ...
def log_logistic(x: _Numbers) -> Array: ...
def logit(p: _Numbers) -> Array: ...
def xlogx(x: _Numbers) -> Array: ...
def xlogy(x: _Numbers, y: _Numbers) -> Array: ...
def cross_entropy(
    logits: _Numbers,
    labels: _Numbers,
    weight: _Numbers | None = None,
    ignore_index: SupportsIndex = -1,
    reduction: _Reduction = "none",
    label_smoothing: _Real = 0.0,
    axis: SupportsIndex = -1,
    z_loss: _Real = 0.0,
    temperature: _Real | Array = 1.0,
) -> Array: ...
@overload
def token_log_probs(
    logits: _Numbers,
    tokens: _Numbers,
    axis: SupportsIndex = -1,
    dtype: DTypeLike | None = None,
    entropy: Literal[False] = False,
    *,
    padding: SupportsIndex | None = -1,
) -> Array: ...
@overload
def token_log_probs(
    logits: _Numbers,
    tokens: _Numbers,
    axis: SupportsIndex,
    dtype: DTypeLike | None,
    entropy: Literal[True],
    *,
    padding: SupportsIndex | None = -1,
) -> tuple[Array, Array]: ...
@overload
def token_log_probs(
    logits: _Numbers,
    tokens: _Numbers,
    axis: SupportsIndex = -1,
    dtype: DTypeLike | None = None,
    *,
    entropy: Literal[True],
    padding: SupportsIndex | None = -1,
) -> tuple[Array, Array]: ...
@overload
def token_log_probs(
    logits: _Numbers,
    tokens: _Numbers,
    axis: SupportsIndex = -1,
    dtype: DTypeLike | None = None,
    entropy: bool = False,
    *,
    padding: SupportsIndex | None = -1,
) -> Array | tuple[Array, Array]: ...
