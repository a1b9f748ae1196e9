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

    return jax.pure_callback(of_numpy, shapes, *arrays, vmap_method="expand_dims")


def dispatched(on_cpu, elsewhere, *arrays):
    return jax.lax.platform_dependent(*arrays, cpu=on_cpu, default=elsewhere)


def like(x):
    return jax.ShapeDtypeStruct(x.shape, x.dtype)


class Linear:
    """An operator with derivatives of any order, which is linear in some of its arguments.

    `function(*arrays, **options)` counts axes from the end. `slope(arrays, tangents, options)` is what changes of the arguments
    change; `transposes` has for each argument that it is linear in, by its place, `transpose(cotangent, arrays, options)`, where that
    argument of `arrays` is unknown. JAX finds these only for a primitive of its own.
    """

    def __init__(self, name, function, slope, transposes):
        self.primitive = primitive = Primitive(f"logsum_{name}")
        primitive.def_impl(function)
        primitive.def_abstract_eval(lambda *avals, **options: shaped(function, avals, options))
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
        return self.primitive.bind(*arrays, **options)


def shaped(function, avals, options):
    result = jax.eval_shape(lambda *arrays: function(*arrays, **options), *avals)
    return jax.core.ShapedArray(result.shape, result.dtype)
