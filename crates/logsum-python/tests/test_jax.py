"""logsum.jax: values and derivatives under JAX's transforms."""

import ctypes
import functools
import itertools
import math
import os
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import ends_of_domains
from family import CALLS, X as NUMBERS, complaints

jax.config.update("jax_enable_x64", True)

import logsum  # noqa: E402
import logsum.jax as lj  # noqa: E402
from logsum import _core  # noqa: E402
from logsum.jax import _callbacks  # noqa: E402
from jax.test_util import check_grads  # noqa: E402

RNG = np.random.default_rng(0)
X, Y = jnp.asarray(RNG.normal(size=(2, 3, 4)))
B = jnp.asarray(RNG.uniform(0.5, 2, size=(3, 4)))
LABELS = jnp.array([1, -1, 3])
TOKENS = jnp.maximum(LABELS, 0)

FUNCTIONS = {
    "logsumexp": (lambda x: lj.logsumexp(x, 1), (X,)),
    "logsumexp, all": (lambda x: lj.logsumexp(x), (X,)),
    "logsumexp, two axes": (lambda x: lj.logsumexp(x, (0, 1), keepdims=True), (X,)),
    "logsumexp, weights": (lambda x, b: lj.logsumexp(x, 0, b), (X, B)),
    "logsumexp, where": (lambda x: lj.logsumexp(x, 0, where=X > 0), (X,)),
    "softmax": (lj.softmax, (X,)),
    "log_softmax": (lambda x: lj.log_softmax(x, 0), (X,)),
    "logcumsumexp": (lambda x: lj.logcumsumexp(x, 1), (X,)),
    "logcumsumexp, reverse": (lambda x: lj.logcumsumexp(x, reverse=True), (X,)),
    "logaddexp": (lj.logaddexp, (X, Y)),
    "cross_entropy": (lambda x: lj.cross_entropy(x, LABELS), (X,)),
    "token_log_probs": (lambda x: lj.token_log_probs(x, TOKENS), (X,)),
    "token_log_probs, entropy": (lambda x: jnp.stack(lj.token_log_probs(x, TOKENS, entropy=True)), (X,)),
}
THEIRS = {
    "logsumexp": lambda x: jax.nn.logsumexp(x, 1),
    "logsumexp, all": jax.nn.logsumexp,
    "logsumexp, two axes": lambda x: jax.nn.logsumexp(x, (0, 1), keepdims=True),
    "logsumexp, weights": lambda x, b: jax.nn.logsumexp(x, 0, b),
    "logsumexp, where": lambda x: jax.nn.logsumexp(x, 0, where=X > 0),
    "softmax": jax.nn.softmax,
    "log_softmax": lambda x: jax.nn.log_softmax(x, 0),
    "logcumsumexp": lambda x: jax.lax.cumlogsumexp(x, 1),
    "logcumsumexp, reverse": lambda x: jax.lax.cumlogsumexp(x, reverse=True),
    "logaddexp": jnp.logaddexp,
    "cross_entropy": lambda x: -jnp.where(LABELS < 0, 0, jax.nn.log_softmax(x)[jnp.arange(3), LABELS]),
    "token_log_probs": lambda x: jax.nn.log_softmax(x)[jnp.arange(3), TOKENS],
    "token_log_probs, entropy": lambda x: jnp.stack(
        [jax.nn.log_softmax(x)[jnp.arange(3), TOKENS], -jnp.sum(jax.nn.softmax(x) * jax.nn.log_softmax(x), -1)]
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients_are_those_of_jax(name):
    function, inputs = FUNCTIONS[name]
    np.testing.assert_allclose(function(*inputs), THEIRS[name](*inputs), rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(jax.jit(function)(*inputs), function(*inputs))
    ours, theirs = (
        jax.jit(jax.grad(lambda *x: (f(*x) ** 2).sum(), tuple(range(len(inputs)))))(*inputs)
        for f in (function, THEIRS[name])
    )
    for a, b in zip(ours, theirs):
        # JAX's own gradient of a sum over nothing is NaN.
        np.testing.assert_allclose(a, jnp.where(jnp.isnan(b), a, b), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "logsumexp, where"])
def test_derivatives(name):
    function, inputs = FUNCTIONS[name]
    check_grads(function, inputs, order=2, modes=("fwd", "rev"), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["logsumexp", "softmax", "log_softmax", "logcumsumexp"])
def test_vmap_and_hessian(name):
    one = {
        "logsumexp": lj.logsumexp,
        "softmax": lj.softmax,
        "log_softmax": lj.log_softmax,
        "logcumsumexp": lj.logcumsumexp,
    }[name]
    np.testing.assert_array_equal(jax.vmap(one)(X), jnp.stack([one(row) for row in X]))
    np.testing.assert_array_equal(jax.vmap(one, 1)(X), jnp.stack([one(row) for row in X.T]))
    hessian = jax.jit(jax.hessian(lambda x: one(x).sum()))(X[0])
    theirs = jax.hessian(lambda x: functools.partial({
        "logsumexp": jax.nn.logsumexp,
        "softmax": jax.nn.softmax,
        "log_softmax": jax.nn.log_softmax,
        "logcumsumexp": jax.lax.cumlogsumexp,
    }[name])(x).sum())(X[0])
    np.testing.assert_allclose(hessian, theirs, atol=1e-12)


def test_infinite_complex_numbers_are_those_of_numpy():
    z = [complex(np.inf, 0.78), 1]
    for value in (logsum.logsumexp(jnp.array(z)), jax.jit(lj.logsumexp)(jnp.array(z))):
        np.testing.assert_array_equal(value, logsum.logsumexp(np.array(z)))


def test_conventions():
    inf = jnp.inf
    x = jnp.array([[1e8, 1e8], [-inf, -inf], [inf, 1.0]])
    gradient = jax.grad(lambda x: lj.logsumexp(x, 1).sum())(x)
    assert gradient.tolist() == [[0.5, 0.5], [0, 0], [1, 0]]
    assert lj.logsumexp(jnp.array([0.0, -40.0])) == 4.248354255291589e-18
    loss, slope = jax.value_and_grad(lambda z: lj.cross_entropy(z, jnp.array(0)))(jnp.array([40.0, 0.0]))
    assert loss == 4.248354255291589e-18
    np.testing.assert_allclose(slope, [-4.248354255291589e-18, 4.248354255291589e-18], rtol=1e-15)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64])
def test_formats(dtype):
    x = X.astype(dtype)
    for function in (lj.logsumexp, lj.softmax, lj.log_softmax, lj.logcumsumexp):
        assert function(x).dtype == dtype
    assert logsum.logsumexp(x, axis=0).dtype == dtype and isinstance(logsum.softmax(x), jax.Array)


@pytest.mark.parametrize("name", CALLS)
def test_names_of_the_package_are_transformed(name):
    """Given an array that JAX traces, they are those of logsum.jax."""
    call = lambda x: CALLS[name](logsum, x)
    expected = call(NUMBERS)
    np.testing.assert_array_equal(call(jnp.array(NUMBERS)), expected)
    np.testing.assert_allclose(jax.jit(call)(NUMBERS), expected, rtol=1e-14, atol=1e-15)
    if "uniform" in name:
        return
    function = lambda x: (call(x) ** 2).sum()
    gradient = jax.grad(function)(NUMBERS)
    assert np.abs(gradient).max() > 0
    slope = jax.jvp(function, (NUMBERS,), (np.ones_like(NUMBERS),))[1]
    np.testing.assert_allclose(slope, gradient.sum(), rtol=1e-11, atol=1e-13)


def test_bad_arguments():
    with pytest.raises(ValueError, match="out of bounds"):
        lj.logsumexp(X, 2)
    with pytest.raises(ValueError, match="duplicate"):
        lj.logsumexp(X, (0, -2))
    with pytest.raises(ValueError):
        lj.cross_entropy(X, jnp.array([1, 2]))


@pytest.mark.filterwarnings("ignore")
def test_complaints_are_clear():
    """Every argument of every function is tried with the wrong type, shape, length and dtype."""
    assert list(complaints(lj, jnp.asarray)) == []


def test_ids_of_few_bits_may_number_many_segments():
    ids = jnp.array([0, 1, 2, 255], jnp.uint8)
    for function in (lj.segment_logsumexp, jax.jit(lj.segment_logsumexp, static_argnums=2)):
        found = function(jnp.arange(4.0), ids, 256)
        assert found[jnp.array([0, 1, 2, 255])].tolist() == [0, 1, 2, 3] and found[3:255].max() == -jnp.inf
    with pytest.raises(ValueError, match="offsets must start at 0, never go down"):
        lj.segment_logsumexp(jnp.zeros(200), offsets=jnp.array([0, 150, 100, 200], jnp.uint8))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_means_of_narrow_losses(dtype):
    z, labels = jnp.zeros((70_000, 10), dtype), jnp.zeros(70_000, int)
    for function in (lj.cross_entropy, jax.jit(lj.cross_entropy, static_argnames="reduction")):
        assert function(z, labels, reduction="mean") == logsum.cross_entropy(np.asarray(z), np.asarray(labels))


def test_vmap_over_labels_and_ids_alone():
    labels = jnp.array([[0, 1, 2], [3, 3, 0]])
    found = jax.vmap(lambda labels: lj.cross_entropy(X, labels))(labels)
    np.testing.assert_array_equal(found, jnp.stack([lj.cross_entropy(X, row) for row in labels]))
    ids = jnp.array([[0, 1, 0], [1, 1, 1]])
    both = jnp.stack([X.T, Y.T])[:, :2]
    for axis, a in ((0, both), (None, both[0])):
        found = jax.vmap(lambda a, ids: lj.segment_softmax(a, ids, 2, axis=1), (axis, 0))(a, ids)
        each = [lj.segment_softmax(both[i if axis == 0 else 0], row, 2, axis=1) for i, row in enumerate(ids)]
        np.testing.assert_array_equal(found, jnp.stack(each))
    found = jax.vmap(lambda ids: lj.segment_softmax(X[:, 0], ids, 2))(ids)
    np.testing.assert_array_equal(found, jnp.stack([lj.segment_softmax(X[:, 0], row, 2) for row in ids]))


def test_subnormal_numbers_are_numbers():
    """XLA's threads take them for 0."""
    z = np.float32([0.0, -95.0])
    np.testing.assert_array_equal(np.asarray(lj.softmax(z)).view(np.int32), logsum.softmax(z).view(np.int32))
    z, b = np.float32([0.0, 92.0]), np.float32([1.0, 1e-38])
    assert lj.logsumexp(z, b=b) == logsum.logsumexp(z, b=b) > 4.5


def test_tokens_out_of_range_are_told():
    with pytest.raises(ValueError, match=r"tokens has 4 at \(0,\), it must be from 0 to below 4"):
        lj.token_log_probs(X, jnp.array([4, 0, 0]))
    with pytest.raises(ValueError, match=r"labels has -4 at \(1,\), it must be from 0 to below 4"):
        lj.cross_entropy(X, jnp.array([1, -4, 0]))
    with pytest.raises(Exception, match=r"tokens has -1 at \(1,\), it must be from 0 to below 4"):
        jax.block_until_ready(jax.jit(lambda x: logsum.token_log_probs(x, jnp.array([0, -1, 0])))(X))


def test_arrays_on_several_devices():
    script = """
import jax, jax.numpy as jnp, logsum
from jax.sharding import NamedSharding, PartitionSpec
mesh = jax.make_mesh((2,), ("x",))
a = jax.device_put(jnp.zeros((2, 3)), NamedSharding(mesh, PartitionSpec("x")))
print(logsum.logsumexp(a, axis=1).shape, logsum.softmax(a, axis=1).shape)
"""
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert run.stdout == "(2,) (2, 3)\n", run.stderr


def test_the_gradient_of_an_entropy_near_its_maximum():
    np.testing.assert_allclose(jax.grad(lj.softmax_entropy)(jnp.array([0.0, 1e-12])), [2.5e-13, -2.5e-13], rtol=1e-12)


def test_labels_of_few_bits():
    z = jnp.zeros((2, 256)).at[1, 3].set(2.0)
    labels, wide = jnp.array([255, 3], jnp.uint8), jnp.array([255, 3])
    for reduction in ("none", "mean"):
        call = lambda labels: lj.cross_entropy(z, labels, reduction=reduction)
        np.testing.assert_array_equal(call(labels), call(wide))
    assert float(jnp.abs(jax.hessian(lambda z: lj.token_log_probs(z, jnp.uint8(0), padding=None))(X[0])).max()) > 0


def test_narrow_losses_with_options():
    z, labels = jnp.full((4, 10), 300.0, jnp.float16), jnp.zeros(4, int)
    assert lj.cross_entropy(z, labels, reduction="mean", z_loss=1e-4) == logsum.cross_entropy(np.asarray(z), np.asarray(labels), z_loss=1e-4)
    z = jnp.array([800.0, 800.5, 801.0], jnp.float16)
    assert lj.cross_entropy(z, 0, temperature=0.01) == 100


def test_a_batch_that_is_ignored_changes_nothing():
    value, gradient = jax.value_and_grad(lambda z: lj.cross_entropy(z, -jnp.ones(3, int), reduction="mean"))(X)
    assert jnp.isnan(value) and (gradient == 0).all()


def test_a_complex_sum_of_nothing_has_gradient_0():
    slope = jax.grad(lambda z: lj.logsumexp(z).real, holomorphic=False)(jnp.full(2, -jnp.inf + 0j))
    assert (slope == 0).all()


def test_infinite_derivatives_have_their_sign():
    assert jax.grad(lj.logsubexp, (0, 1))(1.0, 1.0) == (jnp.inf, -jnp.inf)
    for zero in (0.0, -0.0):
        assert jax.grad(lj.log1mexp)(zero) == -jnp.inf and jax.grad(lj.logexpm1)(zero) == jax.grad(lj.logit)(zero) == jnp.inf


def test_a_negative_sum_has_the_derivative_of_its_magnitude():
    a, b = np.array([1.0, 2.0]), np.array([1.0, -1.0])
    np.testing.assert_allclose(jax.grad(lj.logsumexp)(a, b=b), logsum.logsumexp_value_and_grad(a, b=b)[1][0], rtol=1e-14)


@pytest.mark.parametrize(
    "numbers, dtype", [([20.0, 19.0, -65504.0], jnp.float16), ([2e38, -2e38], jnp.float32), ([1e308, -1e308], jnp.float64)]
)
def test_the_gradient_of_an_entropy_of_what_is_far_apart(numbers, dtype):
    """Distances overflow."""
    x = jnp.array(numbers, dtype)
    expected = np.append(jax.grad(lj.softmax_entropy)(jnp.array([t for t in numbers if t > 0])), 0).astype(dtype)
    for entropy in (lj.softmax_entropy, lambda x: lj.token_log_probs(x, 0, entropy=True)[1]):
        np.testing.assert_allclose(jax.grad(entropy)(x), expected, rtol=1e-3)
        np.testing.assert_allclose(jax.jacfwd(entropy)(x), expected, rtol=1e-3)
        assert jnp.isfinite(jax.hessian(entropy)(x)).all()


UNCOUNTED = {
    "masked": ([[0.0, 1.0, -np.inf]], [0], [1.3132616875182228, 0, 0]),
    "ignored, NaN": ([[0.0, 1.0, 2.0], [np.nan, 1.0, 0.0]], [0, -1], [2.4076059644443806, 0, 0]),
    "ignored, masked": ([[0.0, 1.0, 2.0], [-np.inf, 1.0, 0.0]], [0, -1], [2.4076059644443806, 0, 0]),
}


@pytest.mark.parametrize("name", UNCOUNTED)
def test_derivatives_by_weights_beside_what_does_not_count(name):
    z, labels, expected = map(jnp.array, UNCOUNTED[name])
    for derivative in (jax.jacrev, jax.jacfwd):
        for reduction, factor in (("sum", 1), ("mean", 0), ("none", 1)):
            found = derivative(lambda w: lj.cross_entropy(z, labels, w, reduction=reduction))(jnp.ones(3)).reshape(-1, 3)
            np.testing.assert_allclose(found.sum(0), factor * expected, rtol=1e-14)
    for hessian in (jax.hessian, lambda f, by: jax.jacrev(jax.jacrev(f, by), by)):
        rows = hessian(lambda z, w: lj.cross_entropy(z, labels, w, reduction="sum"), (0, 1))(z, jnp.ones(3))
        assert all(jnp.isfinite(block).all() for row in rows for block in row)
    if name == "masked":
        soft, weight = jax.nn.one_hot(labels, 3), jnp.array([1.0, 1.0, 0.0])
        for derivative in (jax.jacrev, jax.jacfwd):
            by_q, by_weight = derivative(lambda q, w: lj.cross_entropy(z, q, w, reduction="sum"), (0, 1))(soft, weight)
            np.testing.assert_allclose(by_q, [[expected[0], expected[0] - 1, 0]], rtol=1e-14)
            np.testing.assert_allclose(by_weight, expected, rtol=1e-14)


def test_what_is_dropped_has_no_part():
    a, ids = jnp.array([0.0, jnp.nan, 1.0, 2.0]), jnp.array([0, -1, 0, 7])
    for function in (lj.segment_logsumexp, lj.segment_softmax):
        kept = jax.grad(lambda a: function(a, ids[::2], 2)[0])(a[::2])
        expected = [kept[0], 0, kept[1], 0]
        for call in (lambda a, ids: function(a, ids, 2, mode="drop")[0], jax.jit(lambda a, ids: function(a, ids, 2)[0])):
            assert jax.grad(call)(a, ids).tolist() == jax.jacfwd(call)(a, ids).tolist() == expected
            assert jnp.isfinite(jax.hessian(call)(a, ids)).all()


def test_traced_offsets_that_are_wrong_give_nan():
    a = jnp.array([0.0, 1.0, 2.0])
    for function in (lj.segment_logsumexp, lj.segment_softmax):
        call = jax.jit(lambda a, offsets: function(a, offsets=offsets))
        np.testing.assert_array_equal(call(a, jnp.array([0, 2, 2, 3])), function(a, offsets=[0, 2, 2, 3]))
        for wrong in ([0, 2, 1, 3], [1, 2, 3], [0, 2], [0, 4]):
            assert jnp.isnan(call(a, jnp.array(wrong))).all()
            with pytest.raises(ValueError, match="offsets must start at 0, never go down, and end at 3"):
                function(a, offsets=wrong)
    both = jax.vmap(lambda offsets: lj.segment_logsumexp(a, offsets=offsets))(jnp.array([[0, 2, 3], [0, 4, 3]]))
    np.testing.assert_array_equal(both, [lj.segment_logsumexp(a, offsets=[0, 2, 3]), [np.nan, np.nan]])


@pytest.mark.parametrize(
    "dtype, great", [(jnp.float16, 4e4), (jnp.bfloat16, 3e38), (jnp.float32, 3e38), (jnp.float64, 1.5e308)]
)
def test_cotangents_of_log_softmax_whose_sum_overflows(dtype, great):
    taken_back = lambda x, g: jax.vjp(lj.log_softmax, x)[1](g)[0]
    x, g = jnp.zeros((2, 2), dtype), jnp.array([[great, great], [1.0, 3.0]], dtype)
    for call in (taken_back, jax.jit(taken_back)):
        assert call(x, g).tolist() == [[0, 0], [-1, 1]]
        assert call(jnp.array([0.0, -jnp.inf], dtype), g[0]).tolist() == [-g[0, 0], g[0, 0]]
    x = jnp.zeros(70_000, dtype)
    assert jnp.abs(taken_back(x, jnp.ones_like(x))).max() < 1e-3
    assert jnp.isfinite(jax.jvp(jax.grad(lambda x: lj.log_softmax(x).sum()), (x,), (x,))[1]).all()


TEMPERATURES = [
    ([[0.0, 1.0, -np.inf]], [0], 2.0, -0.15561483),
    ([[0.0, 1.0, -1e38]], [0], 0.5, -3.5231884),
    ([[0.0, 1.0], [np.nan, -np.inf]], [0, -1], 2.0, -0.15561483),
    ([[3e38, 1e38]], [0], 0.1, 0.0),
    ([[3e38, -3e38]], [1], 10.0, -6e36),
]


@pytest.mark.parametrize("z, labels, temperature, expected", TEMPERATURES)
def test_temperatures_of_what_is_masked_or_large(z, labels, temperature, expected):
    z, labels, given = np.float32(z), np.array(labels), jnp.float32(temperature)
    loss = lambda temperature: lj.cross_entropy(z, labels, temperature=temperature, reduction="sum")
    theirs = logsum.cross_entropy(z, labels, temperature=temperature, reduction="sum", ignore_index=-1)
    assert loss(given) == loss(temperature) == theirs
    for derivative in (jax.jacrev, jax.jacfwd):
        np.testing.assert_allclose(derivative(loss)(given), expected, rtol=1e-6)
    assert jnp.isfinite(jax.hessian(loss)(given))


def test_a_temperature_is_positive():
    for wrong in (-1.0, 0.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="temperature is .*, it must be finite and positive"):
            lj.cross_entropy(X, LABELS, temperature=jnp.array(wrong))


def test_a_z_loss_has_a_derivative_by_weights_that_are_0():
    z, weight = jnp.array([1.0, 2.0, -jnp.inf]), jnp.array([0.0, 1.0, 1.0])
    slope = jax.grad(lambda w: lj.cross_entropy(z, 0, w, z_loss=1.0))(weight)
    whole = np.logaddexp(1, 2)
    np.testing.assert_allclose(slope, [whole - 1 + whole**2, 0, 0], rtol=1e-14)


def test_axes_stay_where_anything_has_them():
    b, mask = jnp.ones((3, 2)), jnp.ones((3, 2), bool)
    for values in (
        lj.logsumexp(0.0, 0, b=b, keepdims=True),
        lj.logsumexp(0.0, 0, where=mask, keepdims=True),
        lj.logsumexp_value_and_grad(0.0, 0, b=b, keepdims=True)[0],
        lj.logsumexp_value_and_grad(0.0, 0, where=mask, keepdims=True)[0],
        *lj.logsumexp_jvp(0.0, b, 0, keepdims=True),
    ):
        assert values.shape == (1, 2)
    assert lj.logsumexp(0.0, b=jnp.ones(1), keepdims=True).shape == (1,)
    assert lj.logsumexp(0.0, b=1.0, keepdims=True).shape == ()


def test_a_number_is_a_number():
    for function in (lj.logcumsumexp, lj.softmax, lj.log_softmax):
        assert function(3.0).shape == getattr(logsum, function.__name__)(jnp.array(3.0)).shape == ()


def test_masked_arrays_are_refused():
    masked = np.ma.array([1.0, 2.0], mask=[False, True])
    for wrong in (masked, [masked, masked], [[masked]]):
        for module in (lj, logsum):
            with pytest.raises(TypeError, match="a masked array: give its data, and where=~mask"):
                module.logsumexp(jnp.ones(2), b=wrong)


def test_without_64_bits():
    """Integers of NumPy are looked at before JAX cuts them to 32 bits; of a format that it lacks it warns."""
    script = """
import jax, jax.numpy as jnp, numpy as np, logsum, logsum.jax as lj
z = jnp.zeros((2, 3))
for wrong in (2**32, 2**32 - 1, -(2**32), 2**40):
    for call in (
        lambda ids: lj.cross_entropy(z, ids),
        lambda ids: jax.jit(lambda z: lj.cross_entropy(z, ids))(z),
        lambda ids: lj.token_log_probs(z, ids),
        lambda ids: lj.segment_logsumexp(z, ids, 2),
        lambda ids: lj.segment_softmax(z, ids, 2),
    ):
        for ids in (np.array([0, wrong]), [0, wrong]):
            try:
                print("passes", wrong, call(ids))
            except ValueError as error:
                assert f" has {wrong} at " in str(error), error
            except TypeError:
                assert False, wrong
    assert lj.segment_logsumexp(jnp.zeros(2), np.array([0, wrong]), 1, mode="drop").tolist() == [0]
    try:
        print("passes", wrong, lj.segment_logsumexp(z, offsets=np.array([0, 2 + 2**32])))
    except ValueError as error:
        assert "offsets must" in str(error)
print(lj.cross_entropy(z, np.array([0, -1])).shape)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.stdout == "(2,)\n", run.stdout + run.stderr
    script = """
import jax.numpy as jnp, logsum
print(logsum.softmax(jnp.zeros(2), dtype="float64").dtype)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.stdout == "float32\n" and "requested dtype float64" in run.stderr, run.stderr


def test_cotangents_of_softmax_whose_difference_overflows():
    x, g = jnp.array([0.0, 8.0], jnp.float16), jnp.array([6e4, -6e4], jnp.float16)
    found, expected = (jax.vjp(lj.softmax, x)[1](g)[0] for x, g in ((x, g), (x.astype(float), g.astype(float))))
    # The other element is small, and its relative error is that of p.
    np.testing.assert_allclose(found[0], expected[0], rtol=2e-3)
    assert jnp.isfinite(found[1])


def test_class_weights_count_as_they_are():
    """They are not rounded to the scores' format, and small ones of float16 do not make derivatives of the mean infinite."""
    scores, labels, weight = jnp.float16(np.array([[0, 1], [0, 2]])), jnp.array([0, 1]), jnp.float32(np.array([1e-8, 1e-7]))
    value = logsum.jax.cross_entropy(scores, labels, weight, reduction="mean")
    assert value.dtype == jnp.float32 and np.isclose(value, 0.23477652708617708, rtol=1e-6)
    for dtype in (jnp.float16, jnp.float32):
        small = jnp.array([1e-5, 1e-5], dtype)
        loss = lambda x: logsum.jax.cross_entropy(x, jnp.array([0]), small, reduction="mean")
        assert jax.grad(loss)(jnp.zeros((1, 2), jnp.float16)).tolist() == [[-0.5, 0.5]]


def test_calls_compile_once():
    """Eager ones of the same shapes and options, also of derivatives; they keep no memory either."""
    script = """
import resource, jax, jax.numpy as jnp, logsum.jax as lj
compiled = []
def listen(name, *_, **__):
    if "backend_compile" in name:
        compiled.append(name)
jax.monitoring.register_event_duration_secs_listener(listen)
x, ids, weight = jnp.arange(12.0).reshape(3, 4), jnp.array([0, 1, 0]), jnp.arange(4.0)
loss = lambda x: lj.cross_entropy(x, ids, weight, reduction="mean", z_loss=0.1, temperature=2.0, label_smoothing=0.1)
calls = [
    lambda: lj.logsumexp(x, 1),
    lambda: lj.logsumexp(x, 1, b=x, return_sign=True),
    lambda: lj.logsumexp(x + 1j),
    lambda: lj.softmax(x),
    lambda: lj.log_softmax(x, 0),
    lambda: lj.logsumexp_value_and_grad(x, b=x),
    lambda: lj.logsumexp_hvp(x, x, 1),
    lambda: (lj.logmeanexp(x), lj.logvarexp(x, 0), lj.softmax_entropy(x, 1)),
    lambda: lj.logcumsumexp(x, 1, reverse=True),
    lambda: lj.log_matmul(x, x.T),
    lambda: (lj.segment_logsumexp(x, ids), lj.segment_softmax(x, ids)),
    lambda: (lj.logistic(x), lj.logaddexp(x, x)),
    lambda: lj.token_log_probs(x, ids, entropy=True),
    lambda: jax.value_and_grad(loss)(x),
    lambda: jax.grad(lambda x: lj.log_softmax(x)[0, 0] + lj.logcumsumexp(x)[0, 0] + lj.log_matmul(x, x.T)[0, 0])(x),
    lambda: jax.jvp(lj.softmax, (x,), (x,)),
    lambda: jax.vmap(jax.hessian(lj.logsumexp))(x),
]
def run(times):
    for call in calls:
        for _ in range(times):
            jax.block_until_ready(call())
run(2)
most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = len(compiled), most()
run(1)
for _ in range(1000):
    calls[0]()
print(before[0] > 0, len(compiled) - before[0], most() - before[1] < 64 * 1024)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.stdout == "True 0 True\n", run.stdout + run.stderr


def test_parts_of_a_mesh():
    """In a shard_map JAX knows which values differ among devices."""
    script = """
import jax, jax.numpy as jnp, numpy as np, logsum.jax as lj
from jax.sharding import NamedSharding, PartitionSpec as P
mesh = jax.make_mesh((2,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
a, ids, one = jnp.arange(12.0).reshape(4, 3) / 3, jnp.array([0, 1, 2, 0]), jnp.arange(1.0, 4.0)
squares = lambda a: (lj.log_softmax(a) ** 2).sum()
both = lambda a, b: lj.logsumexp(a, 1, b=b)
loss = lambda a, ids, weight: lj.cross_entropy(a, ids, weight, z_loss=0.1, temperature=2.0, label_smoothing=0.1)
# Functions of rows, which are sharded, and of arrays that all devices have.
for function, *others in (
    (lambda a: lj.logsumexp(a, 1),),
    (jax.grad(squares),),
    (jax.vmap(jax.hessian(lj.logsumexp)),),
    (lambda a: lj.logcumsumexp(a, 1),),
    (both, one),
    (lj.log_matmul, a.T),
    (lambda a, ids: lj.segment_softmax(a, ids, 2, axis=1), jnp.array([0, 1, 0])),
):
    sharded = jax.shard_map(function, mesh=mesh, in_specs=(P("d"), *(P() for _ in others)), out_specs=P("d"))
    np.testing.assert_allclose(sharded(a, *others), function(a, *others), rtol=1e-5, atol=1e-6)
    # Derivatives with respect to what all devices have, taken outside of shard_map.
    if others and jnp.issubdtype(others[0].dtype, jnp.floating):
        found, expected = (jax.grad(lambda b: f(a, b).sum())(others[0]) for f in (sharded, function))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
sharded = jax.shard_map(loss, mesh=mesh, in_specs=(P("d"), P("d"), P()), out_specs=P("d"))
for i in (0, 2):
    found, expected = (jax.grad(lambda *x: f(*x).sum(), i)(a, ids, one) for f in (sharded, loss))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
explicit = jax.make_mesh((2,), ("d",))
rows = jax.device_put(a, NamedSharding(explicit, P("d")))
sharded = jax.shard_map(lj.softmax, mesh=explicit, in_specs=P("d"), out_specs=P("d"))
np.testing.assert_allclose(sharded(rows), lj.softmax(a))
with jax.set_mesh(explicit):
    assert jax.typeof(jax.jit(lj.softmax)(rows)).sharding.spec == P("d", None)
# Without shard_map rows stay where they are, too.
rows, labels = (jax.device_put(x, NamedSharding(mesh, P("d"))) for x in (a, ids))
gradient = jax.grad(lambda a, ids: lj.cross_entropy(a, ids).sum())
for function, *others in ((lj.softmax,), (lambda a: lj.logsumexp(a, 1),), (gradient, labels)):
    compiled = jax.jit(function).lower(rows, *others).compile()
    assert "all-gather" not in compiled.as_text()
    np.testing.assert_array_equal(compiled(rows, *others), function(a, *(ids for _ in others)))
print("all")
"""
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert run.stdout == "all\n", run.stdout + run.stderr


def test_strict_promotion():
    """Of formats that JAX does not bring together by itself."""
    ids, known = jnp.array([0, 1, 3]), np.array([0, 1, 3])
    with jax.numpy_dtype_promotion("strict"):
        for dtype in (jnp.float16, jnp.float64):
            x, weight = (X + 2).astype(dtype), jnp.ones(4, dtype)
            for function in (
                lambda x: lj.logsumexp(x, 1, b=x),
                lambda x: lj.logsumexp_value_and_grad(x, 1, b=x, where=x > 0, no_mass="uniform")[1][0],
                lambda x: lj.softmax(x, dtype=jnp.float64),
                lj.log_softmax,
                lambda x: lj.logvarexp(x, 1),
                lj.softmax_entropy,
                lambda x: lj.logcumsumexp(x, 1),
                lambda x: lj.log_matmul(x, x.T),
                lambda x: lj.segment_logsumexp(x, ids, 4),
                lambda x: lj.segment_softmax(x, known.astype(np.int8), 4),
                lambda x: lj.cross_entropy(x, ids),
                lambda x: lj.cross_entropy(x, ids.astype(jnp.uint32), weight, reduction="mean", z_loss=0.1),
                lambda x: lj.cross_entropy(x, lj.softmax(x), reduction="mean", label_smoothing=0.1),
                lambda x: lj.token_log_probs(x, known, entropy=True)[1],
            ):
                function(x)
                jax.jit(jax.grad(lambda x: function(x).sum()))(x)
                jax.jit(lambda ids: lj.cross_entropy(x, ids))(ids.astype(jnp.int8))


def test_a_format_holds_the_integers_it_is_given():
    for function in (lj.softmax, lj.log_softmax, lambda x, dtype: lj.token_log_probs(x, 0, dtype=dtype)):
        for x in (jnp.array([1, 2048]), [1, 2048], np.array([1, 2048])):
            np.testing.assert_array_equal(function(x, dtype=jnp.float16), function(np.float16(x), dtype=jnp.float16))
        for x in (jnp.array([1, 2049]), [1, 2049], np.array([1, 2049])):
            with pytest.raises(ValueError, match=" has 2049, which float16 would round: convert it first"):
                function(x, dtype=jnp.float16)
    # Traced integers are not checked, and are rounded once.
    found = jax.jit(lambda x: lj.softmax(x, dtype=jnp.float16))(jnp.array([2049, 2051]))
    np.testing.assert_array_equal(found, lj.softmax(jnp.array([2048, 2052], jnp.float16)))


def test_float8_is_refused():
    for dtype in (jnp.float8_e5m2, jnp.float8_e4m3fn):
        for function in (lj.logsumexp, lj.logcumsumexp):
            with pytest.raises(TypeError, match="a must be numbers, not float8"):
                function(jnp.zeros(2, dtype))
        with pytest.raises(TypeError, match="dtype is .* it must be a floating-point format"):
            lj.softmax(jnp.zeros(2), dtype=dtype)


def test_what_is_empty_may_be_a_list():
    none = jnp.zeros((0, 2))
    assert lj.cross_entropy(none, []).shape == lj.token_log_probs(none, []).shape == (0,)
    assert lj.cross_entropy(none, jnp.zeros((0, 2))).shape == (0,)
    assert lj.segment_logsumexp(none, [], 3).shape == (3, 2)


def test_products_that_are_infinite_have_no_part_in_others():
    a, b = jnp.array([[jnp.inf, 0.0], [0.0, 0.0]]), jnp.zeros((2, 1))
    for of_product in (lambda b: lj.log_matmul(a, b)[1, 0], lambda b: jnp.sum(lj.log_matmul(a, b))):
        for derivative in (jax.jacrev, jax.jacfwd):
            np.testing.assert_array_equal(derivative(of_product)(b).ravel(), [0.5, 0.5])
    np.testing.assert_array_equal(jax.grad(lambda a: lj.log_matmul(a, b)[1, 0])(a), [[0.0, 0.0], [0.5, 0.5]])


def test_traced_labels_without_a_sign_do_not_wrap():
    for label, dtype, ignored in ((2**64 - 1, np.uint64, -1), (2**64 - 100, np.uint64, -100)):
        labels = jnp.array([label, 0], dtype)
        with pytest.raises((ValueError, jax.errors.JaxRuntimeError), match="labels has"):
            jax.jit(lambda y: lj.cross_entropy(jnp.zeros((2, 3)), y, ignore_index=ignored))(labels).block_until_ready()


def test_weights_that_are_known_are_complained_of_in_words():
    for wrong in (-1.0, jnp.nan, jnp.inf):
        with pytest.raises(ValueError, match="the weight of class 1 is"):
            lj.cross_entropy(X, LABELS, jnp.array([1.0, wrong, 1.0, 1.0]))


def test_no_rank_is_promoted():
    weight = jnp.array([1.0, 2.0, 0.5, 1.0])
    expected = lj.cross_entropy(X, LABELS, weight)
    with jax.numpy_rank_promotion("raise"):
        assert (lj.cross_entropy(X, LABELS, weight) == expected).all()


def test_a_slope_that_is_infinite_where_nothing_changes():
    """jax#17070: NaN in masked gradients of an entropy by x log x. Nor does the slope change."""
    for call, at, partner in ends_of_domains.infinite_slopes(lj, jnp.ones_like):
        masked = lambda x, call=call: jnp.where(jnp.array([False, True]), call(x), 0).sum()
        x = jnp.array([at, partner])
        for transform in (jax.grad, jax.jacfwd, lambda f: jax.jit(jax.grad(f))):
            slope = transform(masked)
            assert slope(x).tolist() == [0, pytest.approx(float(jax.grad(call)(partner)), rel=1e-6)]
            second = jax.grad(lambda x, slope=slope: slope(x).sum())(x)
            assert second.tolist() == [0, pytest.approx(float(jax.grad(jax.grad(call))(partner)), rel=1e-6)]
        assert jax.jvp(lambda x, call=call: call(x), (x,), (jnp.array([0.0, 1.0]),))[1][0] == 0
        assert jax.vmap(jax.grad(masked))(jnp.stack([x, x])).tolist() == [jax.grad(masked)(x).tolist()] * 2


def test_no_slope_where_there_is_no_value():
    for name, numbers in ends_of_domains.WITHOUT_VALUE:
        call = getattr(lj, name)
        assert jnp.isnan(call(*numbers))
        assert all(jnp.isnan(slope) for slope in jax.grad(call, argnums=tuple(range(len(numbers))))(*numbers))


def test_states_are_not_traced():
    with pytest.raises(TypeError, match="a is traced by JAX, which states do not support"):
        jax.jit(lambda x: logsum.Accumulator().update(x).value)(jnp.zeros(2))


@pytest.mark.parametrize("dtype", ends_of_domains.FAR_APART)
def test_derivatives_of_logsubexp_far_apart(dtype):
    number = lambda x: jnp.asarray(x, dtype)
    of = lambda transform: lambda x, y: np.asarray(transform(lj.logsubexp, (0, 1))(number(x), number(y)), float)
    for grad, hessian in ((jax.grad, jax.hessian), (lambda f, by: jax.jit(jax.grad(f, by)), lambda f, by: jax.jit(jax.jacrev(jax.jacrev(f, by), by)))):
        ends_of_domains.check_logsubexp(dtype, float(jnp.finfo(dtype).eps), lambda x: float(number(x)), of(grad), of(hessian))


def test_tangents_where_the_softmax_is_0_do_not_count():
    for z, slope in (([0.0, -jnp.inf], 1.0), ([-jnp.inf, -jnp.inf], 0.0), ([jnp.inf, 0.0], 1.0)):
        for t in (jnp.inf, jnp.nan):
            assert lj.logsumexp_jvp(jnp.array(z), jnp.array([1.0, t]), 0)[1] == slope
            assert lj.logsumexp_hvp(jnp.array(z), jnp.array([1.0, t]), 0).tolist() == [0, 0]


def test_derivatives_at_the_ends_of_domains():
    ends_of_domains.check_derivatives(lj, lambda x: jnp.asarray(x, jnp.float64), jnp.where, jax.grad, jax.jacfwd)


def test_second_derivatives_of_loops():
    """JAX loses the rule of compiled functions where a loop is differentiated backward and then again: forward first goes."""
    value = lambda x: jax.lax.map(lambda r: lj.logsumexp(r * x), jnp.ones((3, 2))).sum()
    x = jnp.arange(2.0)
    expected = 3 * jax.hessian(lj.logsumexp)(x)
    for second in (lambda f: jax.jacrev(jax.jacfwd(f)), lambda f: jax.jacfwd(jax.jacfwd(f))):
        np.testing.assert_allclose(second(value)(x), expected, rtol=1e-6)
    with pytest.raises(ValueError, match="cannot be differentiated|do not support JVP"):
        jax.hessian(value)(x)


def test_rows_are_computed_without_python():
    """Of any batch, and also where axes were moved or merged."""
    labels = jnp.array([1, -1, 0])
    x = jnp.asarray(np.random.default_rng(5).normal(size=(2, 3, 4)), jnp.float32)
    loss = lambda x: lj.cross_entropy(x, labels, reduction="none", label_smoothing=0.1)
    for function in (
        lambda x: lj.logsumexp(x, -1),
        lambda x: lj.logsumexp(x, (1, 2)),
        lambda x: lj.softmax(x, (2, 1)),
        lambda x: lj.log_softmax(x, -1),
        jax.grad(lambda x: lj.logsumexp(x, -1).sum()),
        jax.vmap(loss),
        jax.grad(lambda x: jax.vmap(loss)(x).sum()),
    ):
        text = jax.jit(function).lower(x).as_text()
        assert "logsum_" in text and "callback" not in text
    options = dict(ignore_index=-1, reduction="none", label_smoothing=0.1)
    each = np.stack([logsum.cross_entropy(np.asarray(row), np.asarray(labels), **options) for row in x])
    np.testing.assert_array_equal(jax.vmap(loss)(x), each)
    assert "callback" in jax.jit(lambda x: lj.softmax(x, 0)).lower(x).as_text()


def test_gpus_are_given_the_kernels(monkeypatch):
    """What is compiled for a GPU, which need not be there."""
    monkeypatch.setattr(_callbacks, "has_kernels", lambda: True)
    x = jnp.asarray(np.random.default_rng(8).normal(size=(2, 3, 53)), jnp.float32)
    labels = jnp.array([[0, 1, 52], [4, -1, 3]])
    loss = lambda x, **options: lj.cross_entropy(x, labels, **options).sum()
    for function, calls in [
        (lambda x: lj.logsumexp(x, -1), ["logsumexp"]),
        (lambda x: lj.logsumexp(x, (0, 2)), ["logsumexp"]),
        (lambda x: lj.softmax(x, 1), ["softmax"]),
        (lambda x: lj.log_softmax(x, (0, 1)), ["log_softmax"]),
        (jax.grad(lambda x: lj.logsumexp(x, 1).sum()), ["softmax"]),
        (loss, ["losses"]),
        (jax.vmap(lambda x: lj.cross_entropy(x, labels[0])), ["losses"]),
        (jax.grad(loss), ["losses_with_gradient"]),
        (lambda x: loss(x, label_smoothing=0.1), []),
        (jax.grad(lambda x: loss(x, label_smoothing=0.1)), ["softmax"]),
        (lambda x: lj.logsumexp(x[:0], -1), []),
    ]:
        text = jax.jit(function).trace(x).lower(lowering_platforms=("cuda",)).as_text()
        assert re.findall(r"custom_call @logsum_(\w+)\(", text) == calls
        assert "callback" not in text


class Frame:
    """A call as XLA makes it, by the structures of its `c_api.h`."""

    def __init__(self, arguments, results, stage=3, extension=None, functions=18):
        pointer, word = ctypes.c_void_p, ctypes.c_size_t
        self.kept, self.message = [], None
        create = ctypes.CFUNCTYPE(pointer, ctypes.POINTER(word * 4))(self.create)
        get = ctypes.CFUNCTYPE(pointer, pointer)(lambda _: None)
        addresses = [ctypes.cast(f, pointer).value for f in [create, *[get] * (functions - 1)]]
        api = self.words(48 + 8 * functions, 0, 24, 0, 1 << 32, 0, *addresses)
        attributes = self.attributes(argument=b"target", ignored=-1, smoothing=0.0)
        body = [self.buffers(arguments), self.buffers(results), attributes]
        self.frame = self.words(0, extension or 0, api, 0, stage, *itertools.chain(*body))
        self.kept += [create, get]

    def create(self, arguments):
        self.message = ctypes.string_at(arguments[0][2]).decode()
        return 1

    def words(self, *words):
        memory = (ctypes.c_uint64 * len(words))(*(w % 2**64 for w in words))
        self.kept.append(memory)
        return ctypes.addressof(memory)

    def ints(self, *ints):
        memory = (ctypes.c_int32 * max(len(ints), 1))(*ints)
        self.kept.append(memory)
        return ctypes.addressof(memory)

    def buffers(self, buffers):
        places = [self.words(0, 0, kind, 16, len(shape), self.words(*shape)) for kind, shape in buffers]
        return 0, 0, len(buffers), self.ints(*[1] * len(buffers)), self.words(*places)

    def attributes(self, argument, ignored, smoothing):
        text = ctypes.create_string_buffer(argument)
        self.kept.append(text)
        number = self.words(np.float64(smoothing).view(np.uint64).item())
        places = [self.words(ctypes.addressof(text), len(argument)), self.words(5, self.words(ignored)), self.words(12, number)]
        return 0, 0, 3, self.ints(4, 3, 3), 0, self.words(*places)

    def call(self, name):
        handler = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(_core.XLA_CUDA_HANDLERS[name])
        return handler(self.frame), self.message


def test_handlers_on_gpus_check_what_they_are_given():
    """Here without a GPU: they come to the point where they ask for it, or refuse what they are given."""
    f32, u32, s32 = 11, 8, 4
    x, classes, ones, kept = (f32, (2, 5)), (s32, (2, 2)), (f32, (2,)), (u32, (2, 0))
    long, kept_of_long = (f32, (2, _core.CUDA_KEPT_FROM)), (u32, (2, 8))
    good = {
        "logsumexp": ([x], [ones]),
        "softmax": ([x], [x]),
        "log_softmax": ([x], [x]),
        "losses": ([x, classes], [ones]),
        "losses_with_gradient": ([x, classes, ones], [ones, x, kept]),
    }
    assert good.keys() == _core.XLA_CUDA_HANDLERS.keys()
    for name, (arguments, results) in [*good.items(), ("losses_with_gradient", ([long, classes, ones], [ones, long, kept_of_long]))]:
        if _core.cuda_problem(0) is not None:
            error, message = Frame(arguments, results).call(name)
            assert error and "NVIDIA" in message, (name, message)
        for bad in [(arguments[1:], results), (arguments, [*results, x]), ([(3, (2, 5)), *arguments[1:]], results)]:
            error, message = Frame(*bad).call(name)
            assert error and message == "logsum's kernels are for other arrays"
        for place in range(len(results)):
            worse = [(kind, (*shape[:-1], shape[-1] + 1)) if i == place else (kind, shape) for i, (kind, shape) in enumerate(results)]
            assert Frame(arguments, worse).call(name) == (1, "logsum's kernels are for other arrays")
        # Nothing is to be done before the stage of execution, or for no rows.
        assert Frame(arguments, results, stage=1).call(name) == (None, None)
        nothing = lambda arrays: [(kind, (0, *shape[1:])) for kind, shape in arrays]
        assert Frame(nothing(arguments), nothing(results)).call(name) == (None, None)
        error, message = Frame(arguments, results, functions=17).call(name)
        assert error and message == "logsum needs a newer version of JAX on GPUs"


def test_an_ignored_label_has_no_part_in_derivatives_by_weights():
    x, labels = jnp.array([[0.3, 1.2, -0.5], [0.1, 0.7, 2.0]]), jnp.array([1, -1])
    loss = lambda w: lj.cross_entropy(x, labels, weight=w, z_loss=0.1, ignore_index=-1).sum()
    w = jnp.array([0.5, 1.5, 2.0])
    alone = jax.grad(lambda w: lj.cross_entropy(x[:1], labels[:1], weight=w, z_loss=0.1).sum())(w)
    np.testing.assert_allclose(jax.grad(loss)(w), alone, rtol=1e-14)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_rows_have_the_bits_of_numpy(dtype):
    inf, nan = math.inf, math.nan
    some = [[0, -40, 3], [inf, 1, inf], [-inf, -inf, -inf], [nan, 1, 2], [5e4, -5e4, 0], [-inf, 2, 1e-3]]
    for shape in ((6, 3), (6, 3, 1), (6, 0), (0, 3), (2, 3, 3), (18,)):
        x = jnp.asarray(np.resize(some, shape), dtype)
        for axis in (-1, None):
            for name in ("logsumexp", "softmax", "log_softmax"):
                found = getattr(lj, name)(x, axis)
                expected = getattr(logsum, name)(np.asarray(x), axis)
                np.testing.assert_array_equal(np.asarray(found, float), np.asarray(expected, float))
                assert found.dtype == dtype


def test_losses_need_classes():
    for labels in (jnp.array([-1, -1]), jnp.zeros((2, 0))):
        with pytest.raises(ValueError, match="there are 0 classes"):
            lj.cross_entropy(jnp.zeros((2, 0)), labels)


def test_shares_of_complex_arrays():
    z = np.array([1 + 2j, 0.5 - 1j])
    for function in (logsum.softmax, logsum.log_softmax):
        assert np.allclose(np.asarray(function(jnp.asarray(z))), function(z), rtol=1e-6)
