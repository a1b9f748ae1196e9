"""logsum.jax: every operator through every composition of JAX's transforms, against mpmath."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact_derivatives import CASES, CERTAIN, INF, PAIRS, ROWS, assert_close, composed, compositions, named
from jax import jacfwd, jacrev, jit, vmap

jax.config.update("jax_enable_x64", True)

import logsum.jax as lj  # noqa: E402
from logsum.jax import _elementwise, _losses, _reductions, _scans_and_products, _segments  # noqa: E402


def of(name):
    """A vector by a vector."""
    return lambda x: jnp.atleast_1d(CASES[name].ours(lj, jnp, x))


def at(name, place):
    return jnp.array(CASES[name].points[place])


ORDERS = compositions(jacfwd, jacrev)


@pytest.fixture
def elsewhere(monkeypatch):
    """From its call on all is made of JAX's own operations, as on other devices: what is compiled already is not."""

    def begin():
        jax.clear_caches()
        for module in (_elementwise, _losses, _reductions, _scans_and_products, _segments):
            monkeypatch.setattr(module, "dispatched", lambda on_cpu, elsewhere, *arrays, on_cuda=None: elsewhere(*arrays))

    yield begin
    jax.clear_caches()


@pytest.mark.parametrize("name, place", PAIRS)
def test_forward_and_backward_in_any_order(name, place):
    """All to the second order, and two third derivatives, at the first point; at others one of each order: each takes some tenths of a
    second to compile."""
    thirds = [(jacfwd, jacrev, jacfwd), (jacrev, jacfwd, jacrev)]
    for way in ORDERS[:6] + thirds if place == 0 else [(jacrev,), (jacfwd, jacrev), (jacrev, jacfwd)]:
        assert_close(jit(composed(of(name), way))(at(name, place)), name, place, len(way), named(way))


@pytest.mark.parametrize("name", CASES)
def test_eagerly_and_of_jit(name):
    for way in [(jacrev,), (jacfwd, jacrev)]:
        assert_close(composed(of(name), way)(at(name, 0)), name, 0, len(way), named(way))
        assert_close(composed(jit(of(name)), way)(at(name, 0)), name, 0, len(way), f"{named(way)} of jit")


@pytest.mark.parametrize("name", CASES)
def test_vmap_outside_and_inside(name):
    function, x = of(name), at(name, 0)
    both = jnp.stack([x, x])
    for way in [(jacfwd, jacrev), (jacrev, jacfwd)]:
        outside = jit(vmap(composed(function, way)))(both)
        inside = np.asarray(jit(composed(lambda both: vmap(function)(both).sum(0), way))(both))
        for i in range(2):
            assert_close(outside[i], name, 0, 2, f"vmap of {named(way)}")
            assert_close(inside[:, i, :, i], name, 0, 2, f"{named(way)} of vmap")
        assert np.abs(inside[:, 0, :, 1]).max() == 0


@pytest.mark.parametrize("name", ["logsumexp", "softmax", "log_softmax", "logcumsumexp", "log1pexp"])
def test_nothing(name):
    """No numbers at all: derivatives are empty."""
    for way in ORDERS[:6]:
        assert composed(of(name), way)(jnp.empty(0)).size == 0


@pytest.mark.parametrize("name", CASES)
def test_other_devices_have_the_conventions_of_the_cpu(name, elsewhere):
    """What is made of JAX's own operations, here on the CPU: values and gradients of what is ordinary and what is not."""
    points = [jnp.array(row) for row in ROWS[name]]
    both = lambda x: (of(name)(x), jax.vjp(of(name), x)[1](jnp.ones_like(of(name)(x)))[0])
    cpu = [both(x) for x in points]
    elsewhere()
    for row, x, expected in zip(ROWS[name], points, cpu):
        for a, b in zip(expected, both(x)):
            np.testing.assert_allclose(b, a, rtol=1e-10, atol=1e-13, err_msg=f"{name} at {row}")


def test_other_devices_make_rows_of_wrong_labels_nan(elsewhere):
    """Traced labels cannot be checked there; a loss of 0 would hide them."""
    elsewhere()
    logits, labels = jnp.zeros((4, 3)), jnp.array([2, 3, -2, -1])
    losses = lambda logits, labels: lj.cross_entropy(logits, labels, reduction="none")
    nan, ln3 = jnp.nan, jnp.log(3.0)
    np.testing.assert_allclose(jit(losses)(logits, labels), [ln3, nan, nan, 0], rtol=1e-6)
    gradient = jit(jax.grad(lambda *arguments: losses(*arguments).sum()))(logits, labels)
    np.testing.assert_array_equal(np.isnan(gradient).all(-1), [False, True, True, False])
    tokens = labels.at[3].set(0)
    log_p = jit(lambda *arguments: lj.token_log_probs(*arguments))(logits, tokens)
    np.testing.assert_allclose(log_p, [-ln3, nan, nan, -ln3], rtol=1e-6)


@pytest.mark.parametrize("dtype, far", [(jnp.float16, 1000.0), (jnp.bfloat16, 1e8), (jnp.float32, 1e8)])
def test_derivatives_of_large_numbers(dtype, far):
    """Their sums are rounded by more than what tells them apart."""
    x = jnp.array([far, far], dtype)
    for function in (lambda x: lj.logcumsumexp(x)[1], lambda x: lj.log_matmul(x, jnp.zeros_like(x)), lj.logsumexp):
        assert jax.grad(function)(x).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    "dtype, x, y", [(jnp.bfloat16, 100, -1e5), (jnp.float16, 20, 6e4), (jnp.float32, 100, 3e9), (jnp.float64, 1e5, 1e20)]
)
def test_derivatives_of_products_of_large_numbers(dtype, x, y):
    """They are as those of small ones, whatever is lost in the sums."""
    x, y = jnp.full((1, 2), x, dtype), jnp.full((2, 1), y, dtype)
    for way in (jacrev, jacfwd):
        of_x, of_y = way(lj.log_matmul, (0, 1))(x, y)
        assert of_x.flatten().tolist() == of_y.flatten().tolist() == [0.5, 0.5]
    hessian = jacfwd(jacrev(lj.log_matmul))(x, y).reshape(2, 2)
    np.testing.assert_allclose(hessian, [[0.25, -0.25], [-0.25, 0.25]], rtol=1e-3)


def test_derivatives_of_scans_of_many_narrow_numbers():
    x = jnp.full(70_000, 6e4, jnp.float16)
    gradient = jax.grad(lambda x: lj.logcumsumexp(x)[-1] * 1024)(x)
    np.testing.assert_allclose(gradient.astype(float), 1024 / 70_000, rtol=1e-3)
    slope = jax.jvp(lj.logcumsumexp, (x,), (jnp.ones_like(x),))[1]
    np.testing.assert_allclose(slope.astype(float), 1, rtol=1e-3)


def test_a_nan_that_is_not_asked_for_has_no_part():
    assert jax.grad(lambda x: lj.logcumsumexp(x)[1])(jnp.array([0.0, 0.0, jnp.nan])).tolist() == [0.5, 0.5, 0]


@pytest.mark.parametrize(
    "x, b",
    [([0.0, 1.0], [INF, 1.0]), ([0.0, 1.0], [-INF, 1.0]), ([0.0, 1.0], [INF, INF]), ([0.0, 1.0], [INF, -INF]), ([INF, 1.0], [1.0, INF])]
    + [([INF, INF, 0.0], [1.0, 3.0, 2.0]), ([INF, 0.0], [0.0, INF]), ([INF, 0.0], [-1.0, INF]), ([-INF, 1.0], [INF, 1.0])],
)
def test_other_devices_have_infinite_weights(x, b, elsewhere):
    call = lambda x, b: lj.logsumexp(x, b=b, return_sign=True)
    both = lambda: (*call(jnp.array(x), jnp.array(b)), *jacrev(lambda *y: call(*y)[0], (0, 1))(jnp.array(x), jnp.array(b)))
    cpu = both()
    elsewhere()
    for expected, other in zip(cpu, both()):
        np.testing.assert_array_equal(other, expected)


@pytest.mark.parametrize("name", CERTAIN)
def test_other_devices_have_what_is_small(name, elsewhere):
    x = jnp.array(CERTAIN[name])
    both = lambda: (of(name)(x), jax.vjp(of(name), x)[1](jnp.ones_like(of(name)(x)))[0])
    cpu = both()
    elsewhere()
    for expected, other in zip(cpu, both()):
        np.testing.assert_allclose(other, expected, rtol=1e-10, atol=0 if name != "log_softmax" else 1e-13)
