"""The compiled code as operations of JAX, and operators that are linear in some of their arguments."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.extend.mlir import ir
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
    """Whether XLA can call this function of the compiled part without Python, by the name `logsum_…`: not where JAX
    cannot register such functions."""
    if not hasattr(jax, "ffi"):
        return False
    handlers = _core.XLA_HANDLERS if platform == "cpu" else _core.XLA_CUDA_HANDLERS
    jax.ffi.register_ffi_target(f"logsum_{name}", jax.ffi.pycapsule(handlers[name]), platform=platform)
    if hasattr(jax.ffi, "register_ffi_target_as_batch_partitionable"):
        jax.ffi.register_ffi_target_as_batch_partitionable(f"logsum_{name}")
    return True


@functools.cache
def has_kernels():
    """Whether JAX has NVIDIA's GPUs, and the kernels run on all of this process."""
    try:
        devices = jax.local_devices(backend="cuda")
    except RuntimeError:
        return False
    return hasattr(jax, "ffi") and all(_core.cuda_problem(device.local_hardware_id or 0) is None for device in devices)


def called_by_xla(name, kinds, *arrays, platform="cpu", **attributes):
    """Calls a function of the compiled part, without Python, for rows along the last axis of the first array. `kinds`
    says what each result has: "row" a number for each row, "number" one for each number, and an integer so many words of
    32 bits for each row."""
    registered(name, platform)
    options = dict(name=name, kinds=kinds, attributes=tuple(attributes.items()))
    return alike(tuple(rows_p.bind(*alike(arrays, arrays), **options)), arrays)


def results_of(x, kinds):
    """Arrays of the shapes of the results."""
    row = jnp.sum(x, -1)
    shapes = dict(row=lambda: row, number=lambda: x)
    words = lambda n: jnp.broadcast_to(row[..., None], (*row.shape, n)).astype(jnp.uint32)
    return [words(kind) if isinstance(kind, int) else shapes[kind]() for kind in kinds]


def lowered(context, *arrays, name, kinds, attributes):
    rule = jax.ffi.ffi_lowering(f"logsum_{name}", extra_attributes=by_rows_alone(context))
    return rule(context, *arrays, **dict(attributes))


def by_rows_alone(context):
    """Attributes that tell XLA that rows are independent: an array that is sharded along other axes than the last is
    not gathered. JAX has no function for this; its own linear algebra uses the same attributes."""
    avals = [*context.avals_in, *context.avals_out]
    rows = context.avals_in[0].shape[:-1]
    if not rows or any(not isinstance(n, int) for x in avals for n in x.shape):
        return None
    # The rule has a factor for each leading axis, which all arrays have in common, and one for each other axis.
    sizes, lists = list(rows), []
    for x in avals:
        own = range(len(sizes), len(sizes) + x.ndim - len(rows))
        sizes += x.shape[len(rows) :]
        lists.append(f"[{', '.join(map(factor, (*range(len(rows)), *own)))}]")
    inputs, outputs = lists[: len(context.avals_in)], lists[len(context.avals_in) :]
    sizes = ", ".join(f"{factor(i)}={n}" for i, n in enumerate(sizes))
    rule = f"#sdy.op_sharding_rule<({', '.join(inputs)})->({', '.join(outputs)}) {{{sizes}}}, custom>"
    return {
        "mhlo.frontend_attributes": mlir.ir_attribute({"num_batch_dims": str(len(rows))}),
        "sdy.sharding_rule": ir.Attribute.parse(rule, context.module_context.context),
    }


def factor(index):
    """The name of a factor in a sharding rule: i, j, …, z, z_1, z_2, …"""
    return "ijklmnopqrstuvwxyz"[index] if index < 18 else f"z_{index - 17}"


# The call, with a rule for vmap, and the lowering.
rows_p = Primitive("logsum_rows")
rows_p.multiple_results = True
rows_p.def_impl(lambda *arrays, **options: jax.jit(functools.partial(rows_p.bind, **options))(*arrays))
rows_p.def_abstract_eval(lambda x, *_, kinds, **options: jax.make_jaxpr(lambda x: results_of(x, kinds))(x).out_avals)
mlir.register_lowering(rows_p, lowered)


def in_batches(arrays, dims, **options):
    return rows_p.bind(*with_batches(arrays, dims), **options), [0] * len(options["kinds"])


def without_rule(*_, **__):
    """Operators have rules of their own, which JAX loses in a loop."""
    raise ValueError(
        "logsum's compiled part cannot be differentiated: where a loop is differentiated backward and then again, JAX loses the "
        "derivative rule of compiled functions; differentiate forward first, as in jax.jacrev(jax.jacfwd(f))"
    )


batching.primitive_batchers[rows_p] = in_batches
ad.primitive_jvps[rows_p] = without_rule


def with_batches(arrays, dims):
    """Arrays that all have the axis of a vmap, first."""
    (size,) = {x.shape[d] for x, d in zip(arrays, dims) if d is not None}
    return [
        jnp.broadcast_to(x, (size, *x.shape)) if d is None else jnp.moveaxis(x, d, 0) for x, d in zip(arrays, dims)
    ]


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
    """`on_cpu`, `on_cuda` or `elsewhere` of the arrays, as the device is. The second may be None, and is `elsewhere`
    also where the kernels do not run."""
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
            return self(*with_batches(arrays, dims), **options), 0

        ad.primitive_jvps[primitive] = jvp
        ad.primitive_transposes[primitive] = transposed
        batching.primitive_batchers[primitive] = batched

    def __call__(self, *arrays, **options):
        return self.primitive.bind(*alike(arrays, arrays), **options)


def shaped(compiled, avals, options):
    """The shape and type of the result, which has the shape of an argument."""
    result = compiled.eval_shape(tuple(options.items()), *avals)
    return next(x for x in avals if x.shape == result.shape).update(dtype=result.dtype, weak_type=False)
