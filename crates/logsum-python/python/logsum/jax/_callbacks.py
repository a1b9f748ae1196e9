"""The compiled code as operations of JAX, and operators that are linear in some of their arguments."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from .. import _core


def called(function, shapes, *arrays):
    """Calls `function` with NumPy arrays, whose leading axes may be those of a vmap."""

    def of_numpy(*arrays):
        results = function(*(np.asarray(x) for x in arrays))
        return jax.tree.map(lambda value, like: np.asarray(value, like.dtype), results, shapes)

    return alike(jax.pure_callback(of_numpy, shapes, *arrays, vmap_method="expand_dims"), arrays)


@functools.cache
def registered(name, platform="cpu"):
    """The name under which XLA knows a function of the compiled part that it can call without Python; None where JAX
    cannot register such functions."""
    if not hasattr(jax, "ffi"):
        return None
    target = f"logsum_{name}"
    handlers = _core.XLA_HANDLERS if platform == "cpu" else _core.XLA_CUDA_HANDLERS
    jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(handlers[name]), platform=platform)
    return target


@functools.cache
def has_kernels():
    """Whether the kernels for NVIDIA's GPUs can be used: with their driver, from compute capability 8.0 on."""
    return hasattr(jax, "ffi") and _core.cuda_problem(0) is None


def called_by_xla(name, shapes, *arrays, platform="cpu", **attributes):
    """Calls a function of the compiled part, without Python, for rows along the last axis of the first array. For a
    tuple of shapes, there is a tuple of results."""
    call = jax.ffi.ffi_call(registered(name, platform), shapes, vmap_method="broadcast_all")
    results = call(*arrays, **attributes)
    return alike(tuple(results) if isinstance(shapes, tuple) else results, arrays)


def varying(x):
    """The axes of a mesh along which an array within a shard_map varies, in the types of older and newer versions of
    JAX."""
    kind = jax.typeof(x)
    return getattr(getattr(kind, "manual_axis_type", kind), "varying", getattr(kind, "vma", frozenset()))


def alike(results, arrays):
    """Results that vary along all mesh axes along which one of the arrays does: for callbacks JAX has to be told."""
    axes = frozenset().union(*map(varying, arrays))

    def told(x):
        more = tuple(axes - varying(x))
        return jax.lax.pcast(x, more, to="varying") if more else x

    return jax.tree.map(told, results)


def dispatched(on_cpu, elsewhere, *arrays, on_cuda=None):
    """The result of the function for the device: without one for NVIDIA's GPUs, or where that cannot be used, it is
    `elsewhere`."""
    others = dict(cuda=on_cuda) if on_cuda is not None and has_kernels() else {}
    return jax.lax.platform_dependent(*arrays, cpu=on_cpu, default=elsewhere, **others)


def like(x):
    return jax.ShapeDtypeStruct(x.shape, x.dtype)


def operator(*static):
    """A decorator that makes an operator, to which a rule for derivatives is given. The rule is with respect to all
    arguments but `static`, which are not arrays.

    The operator is a function that JAX compiles once for each shape and format, and each value of the static arguments.
    The callbacks in it are created anew whenever it is traced: called outside of a function that JAX knows, each of
    them would be compiled, and kept.
    """
    return lambda function: jax.custom_jvp(jax.jit(function, static_argnums=static), nondiff_argnums=static)


class Linear:
    """An operator with derivatives of any order, which is linear in some of its arguments.

    `function(*arrays, **options)` counts axes from the end. `slope(arrays, tangents, options)` returns the change of
    the result for changes of the arguments. `transposes` maps the position of each argument in which the operator is
    linear to `transpose(cotangent, arrays, options)`, for which that argument in `arrays` is unknown. JAX accepts such
    rules only for a primitive.
    """

    def __init__(self, name, function, slope, transposes):
        self.primitive = primitive = Primitive(f"logsum_{name}")
        # Compiled once for each shape, as in `operator`.
        compiled = jax.jit(lambda options, *arrays: function(*arrays, **dict(options)), static_argnums=0)
        primitive.def_impl(lambda *arrays, **options: compiled(tuple(options.items()), *arrays))
        primitive.def_abstract_eval(lambda *avals, **options: shaped(compiled, avals, options))
        mlir.register_lowering(primitive, mlir.lower_fun(function, multiple_results=False))

        def jvp(arrays, tangents, **options):
            tangents = [ad.instantiate_zeros(t) for t in tangents]
            return self(*arrays, **options), slope(arrays, tangents, options)

        def transposed(cotangent, *arrays, **options):
            cotangent = ad.instantiate_zeros(cotangent)
            return [
                transposes[place](cotangent, arrays, options) if ad.is_undefined_primal(x) else None
                for place, x in enumerate(arrays)
            ]

        def batched(arrays, dims, **options):
            (size,) = {x.shape[d] for x, d in zip(arrays, dims) if d is not None}
            batches = [
                jnp.broadcast_to(x, (size, *x.shape)) if d is None else jnp.moveaxis(x, d, 0)
                for x, d in zip(arrays, dims)
            ]
            return self(*batches, **options), 0

        ad.primitive_jvps[primitive] = jvp
        ad.primitive_transposes[primitive] = transposed
        batching.primitive_batchers[primitive] = batched

    def __call__(self, *arrays, **options):
        return self.primitive.bind(*alike(arrays, arrays), **options)


def shaped(compiled, avals, options):
    """The shape and type of the result, which has the shape of an argument."""
    result = compiled.eval_shape(tuple(options.items()), *avals)
    return next(x for x in avals if x.shape == result.shape).update(dtype=result.dtype, weak_type=False)
