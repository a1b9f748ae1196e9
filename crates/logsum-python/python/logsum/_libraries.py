"""Arrays of other libraries as NumPy arrays that share their memory, and NumPy arrays as arrays of these libraries."""

import functools
import sys

import numpy as np


class Elsewhere(TypeError):
    """The numbers of an array are not in memory that the CPU can read, or not known, since JAX traces the array."""


def refuse_masked(x):
    """Raises an error for masked arrays, also within lists, of which NumPy would make arrays without masks."""
    if any(issubclass(kind, np.ma.MaskedArray) for kind in types_in([x])):
        hint = "give its data, and where=~mask; or x.compressed() if the function has no where"
        raise TypeError(f"a masked array: {hint}")


def types_in(numbers):
    types = set(map(type, numbers))
    lists = (x for x in numbers if isinstance(x, list | tuple)) if types & {list, tuple} else ()
    return types.union(*map(types_in, lists))


class Numpy:
    """NumPy's arrays, and everything of which NumPy makes arrays."""

    def array(self, x):
        if x is None:
            raise TypeError("numbers are needed, not None")
        refuse_masked(x)
        if isinstance(x, np.matrix):
            raise TypeError("a numpy.matrix is always of two dimensions: give numpy.asarray(x)")
        return np.asarray(x)

    def dtype(self, *arrays):
        return floating(np.result_type(*arrays), np.dtype(np.float64))

    def named(self, dtype):
        """The format that a caller's `dtype` stands for."""
        return np.dtype(dtype)

    def result(self, value):
        return value


def tensor_of(torch, make, x, example):
    """The tensor that `make`, a function of torch, makes of numbers. If the example is in double precision, so are
    numbers without a dtype, such as Python's, which torch would otherwise round to its default format."""
    tensor = make(x)
    if hasattr(x, "dtype") or example.dtype not in (torch.float64, torch.complex128):
        return tensor
    if tensor.is_complex():
        return make(x, dtype=torch.complex128)
    return make(x, dtype=torch.float64) if tensor.is_floating_point() else tensor


class Torch(Numpy):
    """Tensors of PyTorch."""

    def __init__(self, example):
        self.torch = sys.modules["torch"]
        self.device = example.device
        self.example = example

    def array(self, x):
        if not isinstance(x, self.torch.Tensor):
            refuse_masked(x)
            x = tensor_of(self.torch, functools.partial(self.torch.asarray, device="cpu"), x, self.example)
        if x.device.type != "cpu":
            raise Elsewhere(f"a tensor on {x.device}: call logsum.torch, or move it to the CPU with .cpu()")
        x = x.detach().resolve_conj().resolve_neg()
        if x.dtype == self.torch.bfloat16:
            import ml_dtypes

            return x.view(self.torch.int16).numpy().view(ml_dtypes.bfloat16)
        return x.numpy()

    def dtype(self, *arrays):
        # Tensors without dimensions count less than others, as in torch's promotion.
        empty = lambda x: self.result(np.empty((1,) * x.ndim, x.dtype)) if isinstance(x, np.ndarray) else x
        first, *others = map(empty, arrays)
        whole = self.torch.asarray(first, device="cpu") if not isinstance(first, self.torch.Tensor) else first
        for other in others:
            dtype = self.torch.result_type(whole, other)
            whole = self.torch.empty((1,) * max(whole.ndim, np.ndim(other)), dtype=dtype, device="cpu")
        dtype = whole.dtype
        if not (dtype.is_floating_point or dtype.is_complex):
            dtype = self.torch.get_default_dtype()
        return self.named(dtype)

    def named(self, dtype):
        if not isinstance(dtype, self.torch.dtype):
            return np.dtype(dtype)
        return self.array(self.torch.empty(1, dtype=dtype, device="cpu")).dtype

    def result(self, value):
        value = np.ascontiguousarray(value) if np.ndim(value) else np.array(value)
        if value.dtype.name == "bfloat16":
            return self.torch.from_numpy(value.view(np.int16)).view(self.torch.bfloat16)
        return self.torch.from_numpy(value)


class Jax(Numpy):
    """Arrays of JAX that are not traced."""

    def __init__(self, example):
        import jax

        self.jax = jax
        is_on_one = not isinstance(example, jax.core.Tracer) and len(example.devices()) == 1
        self.device = example.device if is_on_one else None

    def array(self, x):
        if isinstance(x, self.jax.core.Tracer):
            raise Elsewhere("a traced array: call logsum.jax, which can be transformed")
        if isinstance(x, self.jax.Array) and any(device.platform != "cpu" for device in x.devices()):
            raise Elsewhere(f"an array on {x.device}: call logsum.jax")
        refuse_masked(x)
        return np.asarray(x)

    def dtype(self, *arrays):
        dtype = self.jax.numpy.result_type(*(getattr(x, "dtype", x) for x in arrays))
        return floating(np.dtype(dtype), np.dtype(self.jax.numpy.zeros(()).dtype))

    def named(self, dtype):
        # JAX itself warns of formats that are not enabled.
        return np.dtype(self.jax.numpy.empty((), dtype).dtype)

    def result(self, value):
        value = self.jax.numpy.asarray(value)
        # The sharding of an array on several devices depends on its shape, which may not be that of the result.
        return value if self.device is None else self.jax.device_put(value, self.device)


class Standard(Numpy):
    """Arrays of any library that follows the array API standard."""

    def __init__(self, example):
        self.namespace = example.__array_namespace__()
        self.device = example.device
        self.cpu = self.namespace.asarray(0).device

    def array(self, x):
        if not hasattr(x, "__array_namespace__"):
            refuse_masked(x)
            return np.asarray(x)
        if x.device != self.cpu:
            x = x.to_device(self.cpu)
        try:
            return np.from_dlpack(x)
        except (BufferError, TypeError, RuntimeError) as error:
            message = f"an array of {type(x).__module__} on {x.device} that NumPy cannot read: move it to the CPU"
            raise Elsewhere(message) from error

    def dtype(self, *arrays):
        arrays = [np.asarray(x) for x in arrays if isinstance(x, np.ndarray) or len(arrays) == 1]
        floats = [array.dtype for array in arrays if array.dtype.kind in "fcV"]
        default = np.from_dlpack(self.namespace.asarray(1.0)).dtype
        if len(floats) < len(arrays):
            floats.append(default)
        return floating(np.result_type(*floats), default)

    def result(self, value):
        return self.namespace.asarray(np.asarray(value), device=self.device)


NUMPY = Numpy()


def module_of(x):
    return module_of_type(type(x))


def module_of_type(kind):
    """The top-level package of a type, such as torch or jax; for a user's subclass that of its base."""
    names = [base.__module__.partition(".")[0] for base in kind.__mro__]
    return next((name for name in names if name in ("torch", "jax", "jaxlib")), names[0])


# NumPy's own formats. The float8 formats of ml_dtypes are not among them, although one of them claims to be a float.
FLOATS = np.typecodes["AllFloat"]
NUMBERS = "?" + np.typecodes["AllInteger"] + FLOATS


def is_numeric(dtype):
    return dtype.char in NUMBERS or dtype.name == "bfloat16"


def is_inexact(dtype):
    return dtype.char in FLOATS or dtype.name == "bfloat16"


def refuse_rounding(x, dtype, name):
    """Raises an error for integers that a format cannot represent, since the result would be that of other numbers."""
    digits = 8 if dtype.name == "bfloat16" else min(np.finfo(dtype).nmant, 52) + 1
    if x.dtype.kind not in "iu" or np.iinfo(x.dtype).max < 2**digits:
        return
    magnitudes = np.where(x < 0, 0 - x.astype(np.uint64), x.astype(np.uint64))
    lowest = magnitudes & (0 - magnitudes)
    is_rounded = (magnitudes >> np.uint64(digits)) >= np.maximum(lowest, 1)
    if digits == 11:
        is_rounded |= magnitudes > 65504
    if is_rounded.any():
        number = x[is_rounded].flat[0]
        raise ValueError(f"{name} has {number}, which {dtype} would round: convert it first if rounding is intended")


def module_within(x, *modules):
    """The first of these modules whose arrays a list, or a list of lists, contains; None if there are none."""
    kinds = types_in(x) if isinstance(x, list | tuple) else ()
    return next((name for name in map(module_of_type, kinds) if name in modules), None)


def library_of(*arrays):
    """The library of the first array that is not NumPy's; NumPy if there is none."""
    for x in arrays:
        if isinstance(x, (np.ndarray, np.generic, list, tuple, int, float, complex)) or x is None:
            continue
        name = module_of(x)
        if name == "torch":
            return Torch(x)
        if name in ("jax", "jaxlib"):
            return Jax(x)
        if hasattr(x, "__array_namespace__"):
            return Standard(x)
    return NUMPY


def floating(dtype, default):
    """The format to compute in; `default` for integers and booleans."""
    if dtype.kind in "biu":
        return default
    if is_inexact(dtype):
        return dtype
    raise TypeError(f"numbers are needed, not {dtype}")


def native(array, dtype):
    """The numbers in the form that the compiled part reads: in one of its formats, aligned, with strides that are
    multiples of the item size. Copied only if they are not."""
    if dtype.char == "g":
        dtype = np.dtype(np.float64)
    elif dtype.char == "G":
        dtype = np.dtype(np.complex128)
    array = np.asarray(array, dtype=dtype.newbyteorder("="))
    if not array.flags.aligned or any(step % array.itemsize for step in array.strides):
        array = array.copy()
    return array
