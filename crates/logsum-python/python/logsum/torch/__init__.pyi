from collections.abc import Sequence
from typing import Any, Literal, SupportsIndex, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor, dtype as _dtype
from torch.distributed import ProcessGroup

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

# An argument that need not be a tensor: torch makes it one, on the device of the first argument.
_Numbers: TypeAlias = Tensor | ArrayLike
_Dim: TypeAlias = SupportsIndex | Sequence[SupportsIndex] | None
_Real: TypeAlias = float | np.floating[Any] | np.integer[Any]
_NoMass: TypeAlias = Literal["zero", "uniform", "nan"]
_Reduction: TypeAlias = Literal["mean", "sum", "none"]

@overload
def logsumexp(
    input: Tensor,
    dim: _Dim = None,
    b: _Numbers | None = None,
    keepdim: bool = False,
    return_sign: Literal[False] = False,
    where: _Numbers | None = None,
) -> Tensor: ...
@overload
def logsumexp(
    input: Tensor,
    dim: _Dim,
    b: _Numbers | None,
    keepdim: bool,
    return_sign: Literal[True],
    where: _Numbers | None = None,
) -> tuple[Tensor, Tensor]: ...
@overload
def logsumexp(
    input: Tensor,
    dim: _Dim = None,
    b: _Numbers | None = None,
    keepdim: bool = False,
    *,
    return_sign: Literal[True],
    where: _Numbers | None = None,
) -> tuple[Tensor, Tensor]: ...
@overload
def logsumexp(
    input: Tensor,
    dim: _Dim = None,
    b: _Numbers | None = None,
    keepdim: bool = False,
    return_sign: bool = False,
    where: _Numbers | None = None,
) -> Tensor | tuple[Tensor, Tensor]: ...
@overload
def logsumexp_value_and_grad(
    input: Tensor,
    dim: _Dim = None,
    b: None = None,
    where: _Numbers | None = None,
    keepdim: bool = False,
    no_mass: _NoMass = "zero",
) -> tuple[Tensor, Tensor]: ...
@overload
def logsumexp_value_and_grad(
    input: Tensor,
    dim: _Dim,
    b: _Numbers,
    where: _Numbers | None = None,
    keepdim: bool = False,
    no_mass: _NoMass = "zero",
) -> tuple[Tensor, tuple[Tensor, Tensor]]: ...
@overload
def logsumexp_value_and_grad(
    input: Tensor,
    dim: _Dim = None,
    *,
    b: _Numbers,
    where: _Numbers | None = None,
    keepdim: bool = False,
    no_mass: _NoMass = "zero",
) -> tuple[Tensor, tuple[Tensor, Tensor]]: ...
def logsumexp_jvp(
    input: Tensor, tangent: _Numbers, dim: _Dim = None, keepdim: bool = False
) -> tuple[Tensor, Tensor]: ...
def logsumexp_hvp(input: Tensor, vector: _Numbers, dim: _Dim = None) -> Tensor: ...
def softmax(input: Tensor, dim: _Dim = None, dtype: _dtype | None = None) -> Tensor: ...
def log_softmax(input: Tensor, dim: _Dim = None, dtype: _dtype | None = None) -> Tensor: ...
def logmeanexp(input: Tensor, dim: _Dim = None, keepdim: bool = False) -> Tensor: ...
def logvarexp(input: Tensor, dim: _Dim = None, ddof: SupportsIndex = 0, keepdim: bool = False) -> Tensor: ...
def softmax_entropy(
    input: Tensor,
    dim: _Dim = None,
    keepdim: bool = False,
    *,
    temperature: _Real = 1.0,
    softcap: _Real | None = None,
) -> Tensor: ...
def softmax_kl(
    input: Tensor,
    other: _Numbers,
    dim: _Dim = None,
    keepdim: bool = False,
    *,
    temperature: _Real = 1.0,
    softcap: _Real | None = None,
) -> Tensor: ...
def merge_attention(
    outputs: Tensor | Sequence[Tensor], logsumexps: Tensor | Sequence[Tensor], *, base: Literal["e", "2"]
) -> tuple[Tensor, Tensor]: ...
def logcumsumexp(input: Tensor, dim: SupportsIndex, reverse: bool = False, exclusive: bool = False) -> Tensor: ...
def log_matmul(input: Tensor, other: Tensor) -> Tensor: ...
def segment_logsumexp(
    input: Tensor,
    segment_ids: _Numbers | None = None,
    num_segments: SupportsIndex | None = None,
    dim: SupportsIndex = 0,
    offsets: _Numbers | None = None,
    mode: Literal["raise", "drop"] = "raise",
) -> Tensor: ...
def segment_softmax(
    input: Tensor,
    segment_ids: _Numbers | None = None,
    num_segments: SupportsIndex | None = None,
    dim: SupportsIndex = 0,
    offsets: _Numbers | None = None,
    mode: Literal["raise", "drop"] = "raise",
) -> Tensor: ...
def logaddexp(input: Tensor, other: Tensor) -> Tensor: ...
def logsubexp(input: Tensor, other: Tensor) -> Tensor: ...
def log1pexp(input: Tensor) -> Tensor: ...
def log1mexp(input: Tensor) -> Tensor: ...
def logexpm1(input: Tensor) -> Tensor: ...
def logistic(input: Tensor) -> Tensor: ...
def log_logistic(input: Tensor) -> Tensor: ...
def logit(input: Tensor) -> Tensor: ...
def unproved() -> int: ...
def xlogx(input: Tensor) -> Tensor: ...
def xlogy(input: Tensor, other: Tensor) -> Tensor: ...
def cross_entropy(
    input: Tensor,
    target: _Numbers,
    weight: _Numbers | None = None,
    ignore_index: SupportsIndex = -100,
    reduction: _Reduction = "mean",
    label_smoothing: _Real = 0.0,
    dim: SupportsIndex | None = None,
    z_loss: _Real = 0.0,
    temperature: _Real | Tensor = 1.0,
) -> Tensor: ...
def linear_cross_entropy(
    input: Tensor,
    linear_weight: _Numbers,
    target: _Numbers,
    *,
    linear_bias: _Numbers | None = None,
    weight: _Numbers | None = None,
    ignore_index: SupportsIndex = -100,
    reduction: _Reduction = "mean",
    label_smoothing: _Real = 0.0,
    z_loss: _Real = 0.0,
    temperature: _Real = 1.0,
    softcap: _Real | None = None,
) -> Tensor: ...
@overload
def token_log_probs(
    input: Tensor,
    tokens: _Numbers,
    dim: SupportsIndex = -1,
    dtype: _dtype | None = None,
    entropy: Literal[False] = False,
    *,
    padding: SupportsIndex | None = None,
) -> Tensor: ...
@overload
def token_log_probs(
    input: Tensor,
    tokens: _Numbers,
    dim: SupportsIndex,
    dtype: _dtype | None,
    entropy: Literal[True],
    *,
    padding: SupportsIndex | None = None,
) -> tuple[Tensor, Tensor]: ...
@overload
def token_log_probs(
    input: Tensor,
    tokens: _Numbers,
    dim: SupportsIndex = -1,
    dtype: _dtype | None = None,
    *,
    entropy: Literal[True],
    padding: SupportsIndex | None = None,
) -> tuple[Tensor, Tensor]: ...
@overload
def token_log_probs(
    input: Tensor,
    tokens: _Numbers,
    dim: SupportsIndex = -1,
    dtype: _dtype | None = None,
    entropy: bool = False,
    *,
    padding: SupportsIndex | None = None,
) -> Tensor | tuple[Tensor, Tensor]: ...
def vocab_parallel_token_log_probs(
    input: Tensor,
    tokens: _Numbers,
    start: SupportsIndex | None = None,
    group: ProcessGroup | None = None,
    dtype: _dtype | None = None,
    *,
    padding: SupportsIndex | None = None,
) -> Tensor: ...
def vocab_parallel_cross_entropy(
    input: Tensor,
    target: _Numbers,
    start: SupportsIndex | None = None,
    group: ProcessGroup | None = None,
    dtype: _dtype | None = None,
    *,
    ignore_index: SupportsIndex = -100,
    reduction: _Reduction = "mean",
) -> Tensor: ...
