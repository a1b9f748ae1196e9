"""The arguments as the operators take them: tensors of one format and shape, and dimensions counted from the end."""

import functools

import torch
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from .._arguments import whole
from .._libraries import Torch, module_within, refuse_masked, refuse_rounding, tensor_of

# The formats that the operators compute in; torch also has narrower ones.
FORMATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def floating(x, name="input"):
    """A tensor of floats; integers are converted to torch's default format."""
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, not {type(x).__name__}")
    if x.is_complex():
        raise TypeError(f"{name} is of {x.dtype}, it must be of real numbers")
    if not x.is_floating_point():
        return x.to(torch.get_default_dtype())
    if x.dtype not in FORMATS:
        raise TypeError(f"{name} must be numbers, not {x.dtype}")
    # Autocast leaves exponentials and losses in float32, as it does torch's own.
    is_autocast = x.itemsize == 2 and x.device.type != "meta" and torch.is_autocast_enabled(x.device.type)
    return x.float() if is_autocast else x


def as_tensor(x, name, input):
    """The argument as a tensor: itself, or one that torch makes of it, on the device of `input`."""
    if not isinstance(x, torch.Tensor):
        refuse_masked(x)
        # Of a list of tensors torch would make numbers without derivatives.
        if module_within(x, "torch"):
            raise TypeError(f"{name} is a {type(x).__name__} of tensors: stack them first")
    try:
        tensor = tensor_of(torch, functools.partial(torch.as_tensor, device=input.device), x, input)
        # torch would not notice if the caller wrote to an array of another library before the gradient is computed.
        return tensor if isinstance(x, torch.Tensor) else tensor.clone()
    except (TypeError, ValueError, RuntimeError, NotImplementedError):
        raise TypeError(f"{name} must be a torch.Tensor on {input.device}, or numbers, not {type(x).__name__}") from None


def integers_of(x, name, input):
    """The argument as integers of 64 bits. An empty one may have any format: torch makes floats of an empty list."""
    x = as_tensor(x, name, input)
    if x.numel() and (x.is_floating_point() or x.is_complex() or x.dtype == torch.bool):
        raise TypeError(f"{name} must be integers, not {x.dtype}")
    return indices_of(x)


def indices_of(x):
    """Integers as signed ones of 64 bits. Those that do not fit become the greatest such integer, which is out of range
    as well."""
    indices = x.to(torch.int64)
    return torch.where(indices < 0, torch.iinfo(torch.int64).max, indices) if x.dtype == torch.uint64 else indices


def converted(x, dtype, name="input"):
    """The numbers in the format that is asked for, if any. It must represent them exactly; integers whose values are
    not known are rounded."""
    numbers = floating(x, name)
    if dtype is None:
        return numbers
    if not isinstance(dtype, torch.dtype) or dtype not in FORMATS:
        raise TypeError(f"dtype is {dtype!r}, it must be a floating-point format of torch")
    if not x.is_floating_point():
        if are_known(x):
            library = Torch(x)
            refuse_rounding(library.array(x), library.named(dtype), name)
        return x.to(dtype)
    # Under autocast, too, the format that is asked for is that of the result, as in torch.
    if torch.promote_types(x.dtype, dtype) != dtype:
        raise TypeError(f"{name} is of {x.dtype}, which {dtype} would round: convert it first if rounding is intended")
    return x.to(dtype)


def together(**named):
    """The tensors broadcast against each other, with at least one dimension."""
    first, *others = named.values()
    try:
        return torch.broadcast_tensors(torch.atleast_1d(first), *others)
    except RuntimeError:
        shapes = ", ".join(f"{name} has the shape {tuple(x.shape)}" for name, x in named.items())
        raise ValueError(f"{shapes}: they must broadcast against each other") from None


def dims_of(x, dim):
    """The dimensions, counted from the end and sorted, of a tensor that has at least one."""
    if dim is None or isinstance(dim, tuple | list) and len(dim) == 0:
        return list(range(-x.ndim, 0))
    dims = [whole(d, "dim") for d in (dim if isinstance(dim, tuple | list) else (dim,))]
    for d in dims:
        if not -x.ndim <= d < x.ndim:
            raise IndexError(f"Dimension out of range (expected to be in range of [{-x.ndim}, {x.ndim - 1}], but got {d})")
    dims = [d - x.ndim if d >= 0 else d for d in dims]
    if len(set(dims)) < len(dims):
        raise RuntimeError("a dimension appears twice in dim")
    return sorted(dims)


def of_dims(x, dim):
    """A tensor with at least one dimension, and the dimensions to reduce."""
    x = torch.atleast_1d(x)
    return x, dims_of(x, dim)


def one_dim(x, dim):
    return dims_of(x, whole(dim, "dim"))[0]


def stacked(parts, name):
    """Tensors of one shape as one tensor, whose first dimension enumerates them."""
    if isinstance(parts, torch.Tensor):
        return parts
    if not isinstance(parts, list | tuple) or not all(isinstance(part, torch.Tensor) for part in parts):
        raise TypeError(f"{name} must be a torch.Tensor, or a list of them, not {type(parts).__name__}")
    shapes = {tuple(part.shape) for part in parts}
    if len(shapes) != 1:
        raise ValueError(f"{name} has tensors of the shapes {sorted(shapes)}: it must have at least one, and all of one shape")
    return torch.stack(parts)


def refuse_tensors(**named):
    """Raises an error for a tensor in the place of a number with respect to which there is no derivative."""
    for name, number in named.items():
        if isinstance(number, torch.Tensor):
            raise TypeError(f"{name} must be a number, not a Tensor: there is no derivative with respect to it")


def in_common(**named):
    """The tensors in one format, as torch promotes: integers, and tensors without dimensions, count less than
    others."""
    for name, x in named.items():
        floating(x, name)
    floats = [x for x in named.values() if x.is_floating_point()]
    if not floats:
        return [floating(x) for x in named.values()]
    of_arrays = [x for x in floats if x.ndim] or floats
    dtype = of_arrays[0].dtype
    for x in of_arrays[1:]:
        dtype = torch.promote_types(dtype, x.dtype)
    return [floating(x.to(dtype)) for x in named.values()]


def terms_of(input, b, where):
    """Numbers, weights and mask of one shape, and whether none of them had a dimension. What is masked out is −∞ with
    weight 0."""
    x = floating(input)
    named = {"input": x}
    if b is not None:
        weights = as_tensor(b, "b", x)
        pair = (x, weights.to(x.dtype)) if isinstance(b, int | float) else in_common(input=input, b=weights)
        named = dict(zip(("input", "b"), pair))
    if where is not None:
        named["where"] = as_tensor(where, "where", x)
        if named["where"].dtype != torch.bool:
            raise TypeError(f"where must be of booleans, not {named['where'].dtype}")
    terms = dict(zip(named, together(**named)))
    x, b, where = (terms.get(name) for name in ("input", "b", "where"))
    if where is not None:
        x = torch.where(where, x, -torch.inf)
        b = None if b is None else torch.where(where, b, 0)
    return x, b, where, are_numbers(named)


def directed(input, direction, name, dim):
    """Numbers and a direction of one shape, the dimensions, and whether neither had a dimension."""
    named = {"input": input, name: as_tensor(direction, name, floating(input))}
    x, t = together(**dict(zip(named, in_common(**named))))
    return x, t, dims_of(x, dim), are_numbers(named)


def are_numbers(named):
    return all(x.ndim == 0 for x in named.values())


def without(is_number, dims, keepdim, *values):
    """Values in the shape that is asked for: without the dimensions unless `keepdim`, and without any for a scalar
    input."""
    return values if keepdim and not is_number else tuple(value.squeeze(dims) for value in values)


def summed_to(x, shape):
    """A gradient summed over the dimensions along which its tensor was broadcast, so that it has this shape."""
    return x.sum_to_size(shape) if shape else x.sum()


def offsets_of(offsets, x, dim):
    """The offsets as ids, and the number of segments."""
    offsets, length = integers_of(offsets, "offsets", x), x.shape[dim]
    if offsets.ndim != 1:
        raise ValueError(f"offsets has the shape {tuple(offsets.shape)}, it must have one dimension")
    lengths = offsets.diff()
    is_wrong = len(offsets) == 0 or are_known(offsets) and bool(
        offsets[0] != 0 or offsets[-1] != length or (lengths < 0).any()
    )
    if is_wrong:
        raise ValueError(f"offsets must start at 0, never go down, and end at {length}, the length of input along dim")
    segments = torch.arange(len(lengths), device=x.device)
    return torch.repeat_interleave(segments, lengths, output_size=length), len(lengths)


def ids_of(segment_ids, num_segments, mode, x, dim):
    """Ids that are at most the number of segments, that number, and whether each place is in a segment, or None if all
    are. A place in no segment has that number as its id."""
    ids, length = integers_of(segment_ids, "segment_ids", x), x.shape[dim]
    if ids.shape != (length,):
        raise ValueError(f"segment_ids has the shape {tuple(ids.shape)}, it must be ({length},): one id for each place along dim")
    if num_segments is None:
        num_segments = max(int(ids.max()) + 1, 0) if length else 0
    num_segments = whole(num_segments, "num_segments", 0)
    is_inside = (ids >= 0) & (ids < num_segments)
    if mode == "drop":
        return torch.where(is_inside, ids, num_segments), num_segments, is_inside
    if are_known(ids) and not is_inside.all():
        place = int((~is_inside).nonzero()[0, 0])
        raise ValueError(f"segment_ids has {int(ids[place])} at {place}, it must be from 0 to below {num_segments}, the number of segments")
    return ids, num_segments, None


def are_known(indices):
    """Whether the values can be read here. Otherwise the operator checks them, when it runs on the CPU."""
    return indices.device.type == "cpu" and not are_hidden(indices)


def are_hidden(indices):
    is_wrapped = torch.compiler.is_compiling() or torch._C._functorch.is_functorch_wrapped_tensor(indices)
    return is_wrapped or is_in_torch_dispatch_mode()


def within(indices, length, padding, name):
    """Raises an error for an index that is out of range: on GPUs, too, unless a graph is being captured, during which
    the values cannot be waited for."""
    device = indices.device.type
    if are_hidden(indices) or device not in ("cpu", "cuda") or device == "cuda" and torch.cuda.is_current_stream_capturing():
        return
    is_wrong = ((indices < 0) | (indices >= length)) & (indices != padding)
    if is_wrong.any():
        place = tuple(is_wrong.nonzero()[0].tolist())
        raise ValueError(f"{name} has {int(indices[place])}{f' at {place}' if place else ''}, it must be from 0 to below {length}")
