from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self, SupportsFloat, SupportsIndex, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

__all__ = [
    "Accumulator",
    "EffectiveSampleSize",
    "WeightedMean",
    "__version__",
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

__version__: str

_Axis: TypeAlias = SupportsIndex | Sequence[SupportsIndex] | None
# An array or a scalar, of the type of the input: NumPy's, or another library's.
_Result: TypeAlias = Any
_Array: TypeAlias = Any
_Out: TypeAlias = NDArray[Any] | None
_Real: TypeAlias = float | np.floating[Any] | np.integer[Any]
_NoMass: TypeAlias = Literal["zero", "uniform", "nan"]

class Accumulator:
    def __init__(self, dtype: DTypeLike | Any = ...) -> None: ...
    def update(self, a: ArrayLike | _Array, b: ArrayLike | _Array | None = None) -> Self: ...
    def merge(self, other: Self) -> Self: ...
    def copy(self) -> Self: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: dict[int, Any]) -> Self: ...
    def __bytes__(self) -> bytes: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]
    @classmethod
    def from_bytes(cls, state: bytes | bytearray | memoryview, dtype: DTypeLike | Any = ...) -> Self: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def value(self) -> Any: ...
    @property
    def proved(self) -> bool: ...
    @property
    def logmeanexp(self) -> Any: ...
    @property
    def count(self) -> int: ...
    @property
    def max(self) -> Any: ...

class EffectiveSampleSize:
    def __init__(self, dtype: DTypeLike | Any = ...) -> None: ...
    def update(self, log_weights: ArrayLike | _Array) -> Self: ...
    def merge(self, other: Self) -> Self: ...
    def copy(self) -> Self: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: dict[int, Any]) -> Self: ...
    def __bytes__(self) -> bytes: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]
    @classmethod
    def from_bytes(cls, state: bytes | bytearray | memoryview, dtype: DTypeLike | Any = ...) -> Self: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def value(self) -> Any: ...
    @property
    def proved(self) -> bool: ...
    @property
    def count(self) -> int: ...

class WeightedMean:
    def __init__(self, dtype: DTypeLike | Any = ...) -> None: ...
    def update(self, log_weights: ArrayLike | _Array, x: ArrayLike | _Array) -> Self: ...
    def merge(self, other: Self) -> Self: ...
    def copy(self) -> Self: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: dict[int, Any]) -> Self: ...
    def __bytes__(self) -> bytes: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]
    @classmethod
    def from_bytes(cls, state: bytes | bytearray | memoryview, dtype: DTypeLike | Any = ...) -> Self: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def value(self) -> Any: ...
    @property
    def proved(self) -> bool: ...

logaddexp: np.ufunc
logsubexp: np.ufunc
xlogy: np.ufunc
log1pexp: np.ufunc
log1mexp: np.ufunc
logexpm1: np.ufunc
log_logistic: np.ufunc
logistic: np.ufunc
logit: np.ufunc
xlogx: np.ufunc

@overload
def logsumexp(
    a: ArrayLike | _Array,
    axis: _Axis = None,
    b: ArrayLike | _Array | None = None,
    keepdims: bool = False,
    return_sign: Literal[False] = False,
    *,
    where: ArrayLike | _Array | None = None,
    out: _Out = None,
) -> _Result: ...
@overload
def logsumexp(
    a: ArrayLike | _Array,
    axis: _Axis,
    b: ArrayLike | _Array | None,
    keepdims: bool,
    return_sign: Literal[True],
    *,
    where: ArrayLike | _Array | None = None,
    out: _Out = None,
) -> tuple[_Result, _Result]: ...
@overload
def logsumexp(
    a: ArrayLike | _Array,
    axis: _Axis = None,
    b: ArrayLike | _Array | None = None,
    keepdims: bool = False,
    *,
    return_sign: Literal[True],
    where: ArrayLike | _Array | None = None,
    out: _Out = None,
) -> tuple[_Result, _Result]: ...
@overload
def logsumexp(
    a: ArrayLike | _Array,
    axis: _Axis = None,
    b: ArrayLike | _Array | None = None,
    keepdims: bool = False,
    return_sign: bool = False,
    *,
    where: ArrayLike | _Array | None = None,
    out: _Out = None,
) -> _Result | tuple[_Result, _Result]: ...
def softmax(
    x: ArrayLike | _Array, axis: _Axis = None, dtype: DTypeLike | Any = None, *, out: _Out = None
) -> _Result: ...
def log_softmax(
    x: ArrayLike | _Array, axis: _Axis = None, dtype: DTypeLike | Any = None, *, out: _Out = None
) -> _Result: ...
@overload
def logsumexp_value_and_grad(
    a: ArrayLike | _Array,
    axis: _Axis = None,
    b: None = None,
    where: ArrayLike | _Array | None = None,
    *,
    keepdims: bool = False,
    no_mass: _NoMass = "zero",
    out: _Out = None,
) -> tuple[_Result, _Array]: ...
@overload
def logsumexp_value_and_grad(
    a: ArrayLike | _Array,
    axis: _Axis,
    b: ArrayLike | _Array,
    where: ArrayLike | _Array | None = None,
    *,
    keepdims: bool = False,
    no_mass: _NoMass = "zero",
    out: _Out = None,
) -> tuple[_Result, tuple[_Array, _Array]]: ...
@overload
def logsumexp_value_and_grad(
    a: ArrayLike | _Array,
    axis: _Axis = None,
    *,
    b: ArrayLike | _Array,
    where: ArrayLike | _Array | None = None,
    keepdims: bool = False,
    no_mass: _NoMass = "zero",
    out: _Out = None,
) -> tuple[_Result, tuple[_Array, _Array]]: ...
def logsumexp_jvp(
    a: ArrayLike | _Array, tangent: ArrayLike | _Array, axis: _Axis = None, *, keepdims: bool = False
) -> tuple[_Result, _Result]: ...
def logsumexp_hvp(a: ArrayLike | _Array, vector: ArrayLike | _Array, axis: _Axis = None, *, out: _Out = None) -> _Array: ...
def logmeanexp(a: ArrayLike | _Array, axis: _Axis = None, keepdims: bool = False, *, out: _Out = None) -> _Result: ...
def logvarexp(a: ArrayLike | _Array, axis: _Axis = None, ddof: SupportsIndex = 0, keepdims: bool = False, *, out: _Out = None) -> _Result: ...
def softmax_entropy(a: ArrayLike | _Array, axis: _Axis = None, keepdims: bool = False, *, out: _Out = None) -> _Result: ...
def logcumsumexp(
    a: ArrayLike | _Array, axis: SupportsIndex = -1, reverse: bool = False, exclusive: bool = False, *, out: _Out = None
) -> _Array: ...
def segment_logsumexp(
    a: ArrayLike | _Array,
    segment_ids: ArrayLike | _Array | None = None,
    num_segments: SupportsIndex | None = None,
    *,
    axis: SupportsIndex = 0,
    offsets: ArrayLike | _Array | None = None,
    mode: Literal["raise", "drop"] = "raise",
    out: _Out = None,
) -> _Array: ...
def segment_softmax(
    a: ArrayLike | _Array,
    segment_ids: ArrayLike | _Array | None = None,
    num_segments: SupportsIndex | None = None,
    *,
    axis: SupportsIndex = 0,
    offsets: ArrayLike | _Array | None = None,
    mode: Literal["raise", "drop"] = "raise",
    out: _Out = None,
) -> _Array: ...
def log_matmul(a: ArrayLike | _Array, b: ArrayLike | _Array, *, out: _Out = None) -> _Result: ...
def cross_entropy(
    logits: ArrayLike | _Array,
    target: ArrayLike | _Array,
    weight: ArrayLike | _Array | None = None,
    *,
    axis: SupportsIndex = -1,
    ignore_index: SupportsIndex = -100,
    reduction: Literal["mean", "sum", "none"] = "mean",
    label_smoothing: _Real = 0.0,
    z_loss: _Real = 0.0,
    temperature: SupportsFloat = 1.0,
) -> _Result: ...
@overload
def token_log_probs(
    logits: ArrayLike | _Array,
    tokens: ArrayLike | _Array,
    *,
    axis: SupportsIndex = -1,
    dtype: DTypeLike | Any = None,
    entropy: Literal[False] = False,
    out: _Out = None,
) -> _Result: ...
@overload
def token_log_probs(
    logits: ArrayLike | _Array,
    tokens: ArrayLike | _Array,
    *,
    axis: SupportsIndex = -1,
    dtype: DTypeLike | Any = None,
    entropy: Literal[True],
    out: _Out = None,
) -> tuple[_Result, _Result]: ...
@overload
def token_log_probs(
    logits: ArrayLike | _Array,
    tokens: ArrayLike | _Array,
    *,
    axis: SupportsIndex = -1,
    dtype: DTypeLike | Any = None,
    entropy: bool = False,
    out: _Out = None,
) -> _Result | tuple[_Result, _Result]: ...
