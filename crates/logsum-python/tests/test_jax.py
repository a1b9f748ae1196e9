"""logsum.jax: values and derivatives under JAX's transforms."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

jax.config.update("jax_enable_x64", True)

import logsum  # noqa: E402
import logsum.jax as lj  # noqa: E402
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


@pytest.mark.parametrize("name", set(FUNCTIONS) - {"logsumexp, where"})
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


@pytest.mark.parametrize("z", [[0.0, 0.0], [1.0] * 3, [-np.inf, 2.0, -np.inf, 2.0], [3.0], [0.0, -800.0, 0.0]])
@pytest.mark.parametrize("reverse", [False, True])
def test_scans_have_derivatives_at_ties_and_padding(z, reverse):
    """The last value is a log-sum-exp, whose second and third derivatives are known; by all compositions, under jit, too."""
    z = jnp.array(z)
    whole = lambda z: lj.logcumsumexp(z, reverse=reverse)[0 if reverse else -1]
    p, one = np.asarray(lj.softmax(z)), np.eye(len(z))
    second = np.diag(p) - np.outer(p, p)
    third = np.einsum("i,ij,ik->ijk", p, one, one) + 2 * np.einsum("i,j,k->ijk", p, p, p)
    for pair in ("i,ij,k", "i,ik,j", "j,jk,i"):
        third -= np.einsum(f"{pair}->ijk", p, one, p)
    compositions = list(itertools.product((jax.jacfwd, jax.jacrev), repeat=2))
    if not reverse:
        # A third derivative takes a second to compile for each number.
        compositions += [(jax.jacfwd, jax.jacrev, jax.jacfwd), (jax.jacrev, jax.jacfwd, jax.jacrev)]
    for transforms in compositions:
        derivative = whole
        for transform in transforms:
            derivative = transform(derivative)
        expected = second if len(transforms) == 2 else third
        np.testing.assert_allclose(jax.jit(derivative)(z), expected, rtol=0, atol=1e-14)
        if len(transforms) == 2:
            np.testing.assert_allclose(derivative(z), expected, rtol=0, atol=1e-14)
    both = jax.vmap(jax.hessian(whole))(jnp.stack([z, z + 1]))
    np.testing.assert_allclose(both, [second, second], rtol=0, atol=1e-14)


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


def test_bad_arguments():
    with pytest.raises(ValueError, match="out of bounds"):
        lj.logsumexp(X, 2)
    with pytest.raises(ValueError, match="duplicate"):
        lj.logsumexp(X, (0, -2))
    with pytest.raises(ValueError):
        lj.cross_entropy(X, jnp.array([1, 2]))
