"""Sums of numbers that arrive in pieces: states that are updated and merged."""

import copy

import numpy as np

from . import _core
from ._general import as_numbers
from ._libraries import library_of, module_of, native, refuse_rounding, types_in


class _Pieces:
    """The base of the states: they can be merged, compared, copied, pickled, and written as bytes."""

    __slots__ = ("_dtype", "_state")
    _kind = None

    def __init__(self, dtype=np.float64):
        self._dtype = format_named(dtype)
        self._state = _core.State(self._kind, self._dtype.name)

    @property
    def dtype(self):
        """The format of the numbers and of the value."""
        return self._dtype

    @property
    def value(self):
        """The result for all numbers so far: the nearest float if `proved` is true, otherwise almost certainly the
        nearest."""
        return self._dtype.type(self._state.value())

    @property
    def proved(self):
        """Whether `value` is proved to be the float nearest to the exact value."""
        return self._state.is_proved()

    def merge(self, other):
        """Adds all numbers of another state of the same type and dtype, and returns this one.

        The resulting bits do not depend on the order in which states are merged. Another type or dtype raises
        TypeError.
        """
        if type(other) is not type(self):
            raise TypeError(f"only another {type(self).__name__} can be merged, not {type(other).__name__}")
        if other._dtype != self._dtype:
            raise TypeError(f"dtypes differ: {self._dtype} and {other._dtype}")
        self._state.merge(other._state)
        return self

    def copy(self):
        """An independent state with the same numbers."""
        new = object.__new__(type(self))
        for name, value in self._additions().items():
            setattr(new, name, value)
        new._dtype, new._state = self._dtype, self._state.copy()
        return new

    def _additions(self):
        """The attributes that a user's subclass adds."""
        of_instance, of_slots = object.__getstate__(self)
        attributes = {**(of_instance or {}), **of_slots}
        return {name: value for name, value in attributes.items() if name not in _Pieces.__slots__}

    __copy__ = copy

    def __deepcopy__(self, memo):
        new = self.copy()
        for name, value in self._additions().items():
            setattr(new, name, copy.deepcopy(value, memo))
        return new

    def __bytes__(self):
        return self._state.to_bytes()

    @classmethod
    def from_bytes(cls, state, dtype=np.float64):
        """The state from which `bytes(…)` made these bytes, on this or another machine.

        Bytes that are not a state of this type and dtype raise ValueError.
        """
        new = object.__new__(cls)
        new._dtype = format_named(dtype)
        new._state = _core.State.from_bytes(cls._kind, new._dtype.name, bytes(memoryview(state)))
        return new

    def __reduce__(self):
        return type(self).from_bytes, (bytes(self), self._dtype), (None, self._additions())

    def __eq__(self, other):
        if type(other) is not type(self):
            return NotImplemented
        return self._dtype == other._dtype and self._state.equals(other._state)

    # A state changes with each update, so it cannot be hashed.
    __hash__ = None

    def __repr__(self):
        return f"<{type(self).__name__} of {self._dtype}: {self.value!s}>"

    def _numbers(self, x, name):
        """The numbers as an array of the state's format. Arrays of floats must be of a format whose numbers the state's
        format represents exactly, and integers, Python's included, must be such numbers. Python's own floats have no
        format, and are rounded to that of the state."""
        if module_of(x) == "torch" and is_differentiated(x):
            raise TypeError(f"{name} is differentiated by torch, but a state has no derivatives: give {name}.detach()")
        if module_of(x) in ("jax", "jaxlib") and is_traced_by_jax(x):
            raise TypeError(f"{name} is traced by JAX, which states do not support: update them outside of jit, grad and vmap")
        array = as_numbers(library_of(x), x, name)
        if array.dtype.kind == "c":
            raise TypeError(f"{name} has dtype {array.dtype}, but must be of real numbers")
        is_python_s = types_in([x]) <= {list, tuple, float, int, bool}
        if array.dtype.kind in "iu":
            refuse_rounding(array, self._dtype, name)
        elif not (is_python_s or np.can_cast(array.dtype, self._dtype, "safe")):
            raise TypeError(
                f"{name} has dtype {array.dtype}, which {self._dtype} does not hold: convert it, or choose another dtype"
            )
        with np.errstate(over="ignore"):
            numbers = native(array, self._dtype)
        if is_python_s:
            is_lost = (np.isinf(numbers) & np.isfinite(array)) | ((numbers == 0) & (array != 0))
            if is_lost.any():
                raise ValueError(f"{name} has {array[is_lost].flat[0]}, which is out of the range of {self._dtype}")
        return numbers

    def _flat(self, x, name):
        return np.ascontiguousarray(self._numbers(x, name)).reshape(-1)

    def _pair(self, a, b, name_of_a, name):
        a, b = self._numbers(a, name_of_a), self._numbers(b, name)
        try:
            b = np.broadcast_to(b, a.shape)
        except ValueError:
            shapes = f"{name} has the shape {b.shape}, which does not broadcast to {a.shape}, that of {name_of_a}"
            raise ValueError(shapes) from None
        return [np.ascontiguousarray(x).reshape(-1) for x in (a, b)]


def format_named(dtype):
    try:
        named = np.dtype(dtype).newbyteorder("=")
    except (TypeError, ValueError):
        named = None
    if dtype is None or named is None or named.name not in ("float64", "float32", "float16", "bfloat16"):
        raise TypeError(f"dtype must be float64, float32, float16 or bfloat16, not {dtype!r}")
    return named


def is_differentiated(x):
    from torch.autograd import forward_ad

    return x.requires_grad or (forward_ad._current_level >= 0 and forward_ad.unpack_dual(x).tangent is not None)


def is_traced_by_jax(x):
    import jax

    return isinstance(x, jax.core.Tracer)


class Accumulator(_Pieces):
    """log Σ e^z, or log Σ b e^z, of numbers that arrive in pieces.

    `bytes(state)` has 112 bytes. These bytes, and the bits of `value`, depend only on the numbers: not on their order,
    on the parts in which they arrive, on how states are merged, or on the machine. `value` is the float nearest to the
    exact value whenever that can be proved; `proved` tells whether it is. Typically one float64 value in some 10⁷ is
    not proved; values near 0, and sums whose terms of both signs nearly cancel, are not proved either. The error of the
    sum Σ b e^z is less than 2⁻⁷⁴ Σ |b| e^z (2⁻⁵¹ for narrower formats), plus 2⁻⁹⁸ times the greatest term times the
    number of terms. For |z| ≥ 2⁴⁸ a term also has a relative error of 2⁻⁶⁵ |z|. Threads may share a state.

    The value is −∞ if there are no numbers, all are −∞, or the terms cancel exactly, and +∞ if a term is +∞ and none is
    −∞ or NaN. It is NaN if a number or a weight is NaN, if −∞ has an infinite weight, or if the sum is negative or has
    terms +∞ and −∞.

    Parameters
    ----------
    dtype
        The format of the numbers and of the value: float64, float32, float16, or bfloat16 of ml_dtypes. Another raises
        TypeError.

    See Also
    --------
    logsumexp : the same for numbers that are all there at once, correctly rounded in every case.
    EffectiveSampleSize, WeightedMean

    Examples
    --------
    >>> import logsum
    >>> draws = logsum.Accumulator()
    >>> draws.update([1000.0, 1001.0]).update(1002.0)
    <Accumulator of float64: 1002.4076059644444>
    >>> shard = logsum.Accumulator().update([-5.0, 1003.0])
    >>> float(draws.merge(shard).value), draws.proved, draws.count, float(draws.max)
    (1003.4401896985612, True, 5, 1003.0)
    >>> logsum.Accumulator.from_bytes(bytes(draws)) == draws
    True
    """

    __slots__ = ()
    _kind = "accumulator"

    def update(self, a, b=None):
        """Adds numbers, of any shape, and returns this state.

        Parameters
        ----------
        a
            Real numbers. Those of an array must be representable in the state's dtype: a wider float format raises
            TypeError. Python's own floats are rounded to that dtype; one that is out of its range raises ValueError. An
            integer that would be rounded, also one of Python's, raises ValueError.
        b
            Weights of any sign, which broadcast to the shape of `a`. A number with the weight 0 counts as absent, even
            if it is NaN.
        """
        if b is None:
            self._state.update(self._flat(a, "a"), None)
        else:
            self._state.update(*self._pair(a, b, "a", "b"))
        return self

    @property
    def logmeanexp(self):
        """log((1/n) Σ b e^z) of all n numbers so far; NaN if there are none. Numbers with the weight 0 are not counted
        in n."""
        return self._dtype.type(self._state.statistics()[2])

    @property
    def count(self):
        """The number of numbers so far, −∞ included, without those that have the weight 0."""
        return self._state.statistics()[0]

    @property
    def max(self):
        """The greatest number so far; −∞ if there are none; NaN if a number or a weight is NaN, or if −∞ has an
        infinite weight."""
        return self._dtype.type(self._state.statistics()[1])


class EffectiveSampleSize(_Pieces):
    """Kish's effective sample size (Σ w)² / Σ w² of importance weights w = e^z that arrive in pieces.

    It lies between 1 and the number of weights, and is that number if all weights are equal. `bytes(state)` has 224
    bytes. As for an `Accumulator`, these bytes and `value` depend only on the numbers, and `dtype` is their format. The
    value is NaN if there are no log-weights z or all are −∞, and if one is +∞ or NaN.

    See Also
    --------
    Accumulator, WeightedMean

    Examples
    --------
    >>> import logsum
    >>> size = logsum.EffectiveSampleSize().update([-1000.0, -1000.0, -1001.0])
    >>> float(size.value)
    2.6257483271778526
    """

    __slots__ = ()
    _kind = "sample size"

    def update(self, log_weights):
        """Adds log-weights z, of any shape, and returns this state. They are checked as in `Accumulator.update`."""
        self._state.update(self._flat(log_weights, "log_weights"), None)
        return self

    @property
    def count(self):
        """The number of log-weights so far, −∞ included."""
        return self._state.statistics()[0]


class WeightedMean(_Pieces):
    """The weighted mean Σ x e^z / Σ e^z of numbers x with log-weights z, which arrive in pieces.

    `bytes(state)` has 224 bytes. As for an `Accumulator`, these bytes and `value` depend only on the numbers, and
    `dtype` is their format. The value is NaN if there are no log-weights or all are −∞, and if a log-weight is +∞ or
    NaN or an x is NaN. An infinite x makes the value infinite, or NaN if infinite x of both signs occur, or if the
    log-weight of that x is −∞.

    See Also
    --------
    Accumulator, EffectiveSampleSize

    Examples
    --------
    >>> import logsum
    >>> mean = logsum.WeightedMean().update([-1000.0, -1001.0], [1.0, 2.0])
    >>> float(mean.value)
    1.2689414213699952
    """

    __slots__ = ()
    _kind = "mean"

    def update(self, log_weights, x):
        """Adds log-weights z, of any shape, and numbers x, which broadcast to that shape; returns this state.

        Both are checked as in `Accumulator.update`.
        """
        self._state.update(*self._pair(log_weights, x, "log_weights", "x"))
        return self
