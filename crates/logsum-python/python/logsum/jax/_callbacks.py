"""The compiled code as operations of JAX, and operators that are linear in some of their arguments."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir


def called(function, shapes, *arrays):
    """`function` of NumPy arrays, whose leading axes may be those of a vmap."""

    def of_numpy(*arrays):
        results = function(*(np.asarray(x) for x in arrays))
        return jax.tree.map(lambda value, like: np.asarray(value, like.dtype), results, shapes)

    return alike(jax.pure_callback(of_numpy, shapes, *arrays, vmap_method="expand_dims"), arrays)


def varying(x):
    """The axes of a mesh along which an array of a shard_map differs, as its type has them in versions of JAX."""
    kind = jax.typeof(x)
    return getattr(getattr(kind, "manual_axis_type", kind), "varying", getattr(kind, "vma", frozenset()))


def alike(results, arrays):
    """What is made of arrays differs along the axes that any of them does: JAX has to be told so of callbacks."""
    axes = frozenset().union(*map(varying, arrays))

    def told(x):
        more = tuple(axes - varying(x))
        return jax.lax.pcast(x, more, to="varying") if more else x

    return jax.tree.map(told, results)


def dispatched(on_cpu, elsewhere, *arrays):
    return jax.lax.platform_dependent(*arrays, cpu=on_cpu, default=elsewhere)


def like(x):
    return jax.ShapeDtypeStruct(x.shape, x.dtype)


def operator(*static):
    """An operator to which a rule for derivatives is given, by all arguments but these, which are no arrays.

    It is a function that JAX compiles once for each shape and format, and each choice of those. The callbacks in it are
    made anew whenever it is traced: of a function that JAX does not know it would compile, and keep, every one.
    """
    return lambda function: jax.custom_jvp(jax.jit(function, static_argnums=static), nondiff_argnums=static)


class Linear:
    """An operator with derivatives of any order, which is linear in some of its arguments.

    `function(*arrays, **options)` counts axes from the end. `slope(arrays, tangents, options)` is what changes of the arguments
    change; `transposes` has for each argument that it is linear in, by its place, `transpose(cotangent, arrays, options)`, where that
    argument of `arrays` is unknown. JAX finds these only for a primitive of its own.
    """

    def __init__(self, name, function, slope, transposes):
        self.primitive = primitive = Primitive(f"logsum_{name}")
        # As an operator is.
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
    """What the result is like: it has the shape of an argument."""
    result = compiled.eval_shape(tuple(options.items()), *avals)
    return next(x for x in avals if x.shape == result.shape).update(dtype=result.dtype, weak_type=False)
