"""The arguments as the operators take them: arrays of one format and shape, and axes counted from the end."""

import jax
import jax.numpy as jnp
import numpy as np

from .._arguments import whole
from .._general import clamped
from .._libraries import is_inexact, is_numeric, refuse_masked, refuse_rounding


def normalized(axis, ndim):
    """The axes, counted from the end, so that a vmap may add axes in front."""
    if axis is None:
        return tuple(range(-ndim, 0))
    axes = tuple(one_axis(axis, ndim) for axis in (axis if isinstance(axis, (tuple, list)) else (axis,)))
    if len(set(axes)) < len(axes):
        raise ValueError("duplicate value in 'axis'")
    return tuple(sorted(axes))


def one_axis(axis, ndim):
    return np.lib.array_utils.normalize_axis_index(whole(axis, "axis"), ndim) - ndim


def as_array(x, name):
    if not isinstance(x, jax.Array):
        refuse_masked(x)
    try:
        return jnp.asarray(x)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name} must be an array of JAX, or numbers, not {type(x).__name__}") from None


def integers_of(x, name):
    """Integers, as a NumPy array where their values are known: JAX may cut them to 32 bits without an error."""
    if not isinstance(x, jax.Array):
        refuse_masked(x)
        try:
            if (known := np.asarray(x)).dtype.kind in "iu":
                return clamped(known)
        except (TypeError, ValueError, OverflowError):
            pass
    return as_array(x, name)


def inexact(**named):
    """The arrays in one format, real or complex."""
    arrays = [as_array(x, name) for name, x in named.items()]
    for name, x in zip(named, arrays):
        if not is_numeric(x.dtype):
            raise TypeError(f"{name} must be numbers, not {x.dtype}")
    # Python's numbers have no format of their own.
    dtype = jnp.result_type(*(x if isinstance(x, int | float | complex) else y for x, y in zip(named.values(), arrays)))
    if not jnp.issubdtype(dtype, jnp.inexact):
        dtype = jnp.zeros(()).dtype
    return tuple(x.astype(dtype) for x in arrays)


def real(**named):
    arrays = inexact(**named)
    if jnp.issubdtype(arrays[0].dtype, jnp.complexfloating):
        raise TypeError(f"{' and '.join(named)} must be of real numbers, not {arrays[0].dtype}")
    return arrays


def together(**named):
    """The arrays broadcast against each other, with at least one axis."""
    try:
        shape = jnp.broadcast_shapes((1,), *(jnp.shape(x) for x in named.values()))
    except ValueError:
        shapes = ", ".join(f"{name} has the shape {jnp.shape(x)}" for name, x in named.items())
        raise ValueError(f"{shapes}: they must broadcast against each other") from None
    return [jnp.broadcast_to(x, shape) for x in named.values()]


def mask_of(where):
    where = as_array(where, "where")
    if where.dtype != bool:
        raise TypeError(f"where must be of booleans, not {where.dtype}")
    return where


def converted(x, dtype, name):
    """The numbers in the format that is asked for, if any. It must represent them exactly; traced integers are
    rounded."""
    numbers = real(**{name: x})[0]
    if dtype is None:
        return numbers
    try:
        dtype = np.dtype(dtype)
        is_right = is_inexact(dtype) and dtype.kind != "c"
    except (TypeError, ValueError):
        is_right = False
    if not is_right:
        raise TypeError(f"dtype is {dtype!r}, it must be a floating-point format")
    x = integers_of(x, name)
    if x.dtype.kind in "biu":
        if not isinstance(x, jax.core.Tracer):
            refuse_rounding(np.asarray(x), np.dtype(jax.dtypes.canonicalize_dtype(dtype)), name)
        return jnp.asarray(x, dtype)
    if not np.can_cast(x.dtype, dtype):
        raise TypeError(f"{name} is of {x.dtype}, which {dtype} would round: convert it first if rounding is intended")
    return numbers.astype(dtype)


def indices_of(integers):
    """Integers as a JAX array of signed ones, wide enough for the label to ignore. Those that do not fit become the
    greatest such integer, which is out of range as well."""
    if integers.dtype in (np.int32, np.int64):
        return jnp.asarray(integers)
    is_wide = integers.dtype.kind == "u" and integers.dtype.itemsize >= 4
    format = np.dtype(jax.dtypes.canonicalize_dtype(np.int64 if is_wide else np.int32))
    if is_wide and integers.dtype.itemsize >= format.itemsize:
        integers = jnp.minimum(integers, integers.dtype.type(np.iinfo(format).max))
    return jnp.asarray(integers, format)


def is_out_of_range(indices, length):
    return (indices < 0) | (indices >= length)


def within(indices, length, padding, name):
    """Raises an error for an index of a row that is out of range, if the values are known."""
    if not isinstance(indices, jax.core.Tracer):
        indices = np.asarray(indices)
        is_wrong = is_out_of_range(indices, length) & (indices != padding)
        if is_wrong.any():
            place = np.unravel_index(int(np.argmax(is_wrong)), indices.shape)
            where = f" at {tuple(map(int, place))}" if place else ""
            raise ValueError(f"{name} has {indices[place]}{where}, it must be from 0 to below {length}")


def summed_to(x, shape):
    """A gradient summed over the axes along which its array was broadcast, so that it has this shape."""
    extra = x.ndim - len(shape)
    axes = (*range(extra), *(extra + i for i, n in enumerate(shape) if n == 1))
    return jnp.sum(x, axes).reshape(shape)


def integers(x, name):
    """A vector of integers, wide enough for one more than any id; a NumPy array if the values are known."""
    x = integers_of(x, name)
    if not jnp.issubdtype(x.dtype, jnp.integer) and x.size:
        raise TypeError(f"{name} must be integers, not {x.dtype}")
    if x.ndim != 1:
        raise ValueError(f"{name} has the shape {x.shape}, it must have one dimension")
    return indices_of(x) if isinstance(x, jax.core.Tracer) else np.asarray(x).astype(np.int64)


def offsets_of(offsets, length):
    """The offsets as ids, the number of segments, and whether the offsets are right, which is a traced value if they
    are traced."""
    offsets = integers(offsets, "offsets")
    is_right = len(offsets) > 0 and (offsets[0] == 0) & (offsets[-1] == length) & (offsets[1:] >= offsets[:-1]).all()
    if not isinstance(is_right, jax.core.Tracer) and not is_right:
        raise ValueError(f"offsets must start at 0, never go down, and end at {length}, the length of the axis")
    return jnp.searchsorted(jnp.asarray(offsets), jnp.arange(length), side="right") - 1, len(offsets) - 1, is_right


def ids_of(segment_ids, num_segments, mode, length):
    """The ids, and the number of segments."""
    ids = integers(segment_ids, "segment_ids")
    are_known = isinstance(ids, np.ndarray)
    if len(ids) != length:
        raise ValueError(f"segment_ids has the shape {ids.shape}, it must be ({length},): one id for each place along the axis")
    if num_segments is None:
        if not are_known:
            raise ValueError("num_segments must be given where segment_ids are traced: shapes may not depend on them")
        num_segments = max(int(ids.max()) + 1, 0) if length else 0
    num_segments = whole(num_segments, "num_segments", 0)
    is_outside = (ids < 0) | (ids >= num_segments)
    if mode == "raise" and are_known and is_outside.any():
        place = int(np.argmax(is_outside))
        raise ValueError(f"segment_ids has {ids[place]} at {place}, it must be from 0 to below {num_segments}, the number of segments")
    # Ids that are out of range may not fit into 32 bits.
    return jnp.asarray(np.where(is_outside, -1, ids) if are_known else ids), num_segments
