"""logsum.torch: every operator through every composition of torch's transforms, against mpmath."""

import pytest
import torch
from exact_derivatives import CASES, CERTAIN, INF, PAIRS, ROWS, assert_close, composed, compositions, named
from torch.func import jacfwd, jacrev, vmap

import logsum.torch as lt
from logsum.torch import _elementwise, _losses, _reductions, _scans_and_products, _segments


def of(name):
    """A vector by a vector."""
    return lambda x: torch.atleast_1d(CASES[name].ours(lt, torch, x))


def at(name, place):
    return torch.tensor(CASES[name].points[place], dtype=torch.float64)


ORDERS = compositions(jacfwd, jacrev)


@pytest.mark.parametrize("name, place", PAIRS)
def test_forward_and_backward_in_any_order(name, place):
    for way in ORDERS:
        assert_close(composed(of(name), way)(at(name, place)), name, place, len(way), named(way))


@pytest.mark.parametrize("name, place", PAIRS)
def test_graphs_and_dual_numbers(name, place):
    """Derivatives without torch.func: of graphs by graphs, by dual numbers over a graph, by torch's older vmap."""
    function, x = of(name), at(name, place)
    outputs = range(len(function(x)))
    for strategy in ("forward-mode", "reverse-mode"):
        hessians = [
            torch.autograd.functional.hessian(
                lambda x: function(x)[i], x, vectorize=strategy == "forward-mode", outer_jacobian_strategy=strategy
            )
            for i in outputs
        ]
        assert_close(torch.stack(hessians).detach(), name, place, 2, strategy)
    columns = []
    for direction in torch.eye(len(x), dtype=torch.float64):
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(x.clone().requires_grad_(), direction)
            values = function(dual)
            gradients = [torch.autograd.grad(values[i], dual, create_graph=True)[0] for i in outputs]
            tangents = [torch.autograd.forward_ad.unpack_dual(gradient).tangent for gradient in gradients]
            columns.append(torch.stack([torch.zeros_like(x) if t is None else t.detach() for t in tangents]))
    assert_close(torch.stack(columns, -1), name, place, 2, "dual numbers over a graph")


@pytest.mark.parametrize("name", CASES)
def test_vmap_outside_and_inside(name):
    function, x = of(name), at(name, 0)
    both = torch.stack([x, x])
    for way in ORDERS[2:6]:
        outside = vmap(composed(function, way))(both)
        inside = composed(lambda both: vmap(function)(both).sum(0), way)(both)
        for i in range(2):
            assert_close(outside[i], name, 0, 2, f"vmap of {named(way)}")
            assert_close(inside[:, i, :, i], name, 0, 2, f"{named(way)} of vmap")
        assert inside[:, 0, :, 1].abs().max() == 0


@pytest.mark.parametrize("name", CASES)
def test_compiled(name):
    """torch.compile outside of transforms, to the third order, and inside of autograd."""
    torch._dynamo.reset()
    x = at(name, 0)
    for way in [(jacrev,), (jacfwd,), (jacrev, jacfwd), (jacfwd, jacrev), (jacrev, jacrev, jacfwd)]:
        compiled = torch.compile(composed(of(name), way), fullgraph=True, backend="aot_eager")
        assert_close(compiled(x), name, 0, len(way), f"compiled {named(way)}")
    compiled = torch.compile(of(name), fullgraph=True, backend="aot_eager")
    assert_close(torch.autograd.functional.jacobian(compiled, x), name, 0, 1, "of compiled")


@pytest.mark.parametrize("name", ["logsumexp", "softmax", "log_softmax", "logcumsumexp", "log1pexp"])
def test_nothing(name):
    """No numbers at all: derivatives are empty."""
    x = torch.empty(0, dtype=torch.float64)
    for way in ORDERS:
        assert composed(of(name), way)(x).numel() == 0


@pytest.mark.parametrize("name", CASES)
def test_other_devices_have_the_conventions_of_the_cpu(name, monkeypatch):
    """What is made of torch's own operations, here on the CPU: values and gradients of what is ordinary and what is not."""
    results = []
    for is_cpu in (True, False):
        for module in (_elementwise, _losses, _reductions, _scans_and_products, _segments):
            monkeypatch.setattr(module, "on_cpu", lambda x: is_cpu)
        points = [torch.tensor(row, dtype=torch.float64) for row in ROWS[name]]
        results.append([(of(name)(x), torch.autograd.functional.jacobian(of(name), x)) for x in points])
    for row, cpu, other in zip(ROWS[name], *results):
        for a, b in zip(cpu, other):
            message = lambda text: f"{name} at {row}: {text}"
            torch.testing.assert_close(b, a, rtol=1e-10, atol=1e-13, equal_nan=True, msg=message)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_other_devices_sum_in_single_precision(dtype, monkeypatch):
    for module in (_losses, _reductions, _segments):
        monkeypatch.setattr(module, "on_cpu", lambda x: False)
    x, ids = torch.zeros(70_000, dtype=dtype), torch.zeros(70_000, dtype=torch.int64)
    value = torch.tensor(70_000.0).log().to(dtype)
    assert lt.logsumexp(x, 0) == lt.segment_logsumexp(x, ids, 1) == value
    assert lt.softmax(x, 0)[0] == lt.segment_softmax(x, ids, 1)[0] == torch.tensor(1 / 70_000).to(dtype)
    assert lt.logmeanexp(x, 0) == 0 and lt.logsumexp(x, 0, torch.ones_like(x)) == value
    torch.testing.assert_close(lt.softmax_entropy(x, 0), value)


@pytest.mark.parametrize("dtype, far", [(torch.float16, 1000.0), (torch.bfloat16, 1e8), (torch.float32, 1e8)])
def test_derivatives_of_large_numbers(dtype, far):
    """Their sums are rounded by more than what tells them apart."""
    x = torch.tensor([far, far], dtype=dtype, requires_grad=True)
    for call in (lambda: lt.logcumsumexp(x, 0)[1], lambda: lt.log_matmul(x, torch.zeros_like(x)), lambda: lt.logsumexp(x, 0)):
        assert torch.autograd.grad(call(), x)[0].tolist() == [0.5, 0.5]
    y = x.detach()
    assert torch.func.jvp(lambda x: lt.logcumsumexp(x, 0), (y,), (torch.ones_like(y),))[1].tolist() == [1, 1]


@pytest.mark.parametrize("is_cpu", [True, False])
@pytest.mark.parametrize(
    "dtype, x, y", [(torch.bfloat16, 100, -1e5), (torch.float16, 20, 6e4), (torch.float32, 100, 3e9), (torch.float64, 1e5, 1e20)]
)
def test_derivatives_of_products_of_large_numbers(dtype, x, y, is_cpu, monkeypatch):
    """They are as those of small ones, whatever is lost in the sums."""
    monkeypatch.setattr(_scans_and_products, "on_cpu", lambda x: is_cpu)
    x, y = torch.tensor([[x, x]], dtype=dtype), torch.tensor([[y], [y]], dtype=dtype)
    for way in (jacrev, jacfwd):
        of_x, of_y = way(lt.log_matmul, (0, 1))(x, y)
        assert of_x.flatten().tolist() == of_y.flatten().tolist() == [0.5, 0.5]
    hessian = jacfwd(jacrev(lt.log_matmul))(x, y).reshape(2, 2)
    torch.testing.assert_close(hessian, torch.tensor([[0.25, -0.25], [-0.25, 0.25]], dtype=dtype))


def test_derivatives_of_scans_of_many_narrow_numbers():
    x = torch.full((70_000,), 6e4, dtype=torch.float16)
    gradient = torch.func.grad(lambda x: lt.logcumsumexp(x, 0)[-1] * 1024)(x)
    torch.testing.assert_close(gradient, torch.full_like(x, 1024 / 70_000))
    slope = torch.func.jvp(lambda x: lt.logcumsumexp(x, 0), (x,), (torch.ones_like(x),))[1]
    torch.testing.assert_close(slope, torch.ones_like(x))


def test_a_nan_that_is_not_asked_for_has_no_part():
    x = torch.tensor([0.0, 0.0, torch.nan], dtype=torch.float64)
    gradient = torch.func.grad(lambda x: lt.logcumsumexp(x, 0)[1])(x)
    torch.testing.assert_close(gradient, torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64))


@pytest.mark.parametrize(
    "x, b",
    [([0.0, 1.0], [INF, 1.0]), ([0.0, 1.0], [-INF, 1.0]), ([0.0, 1.0], [INF, INF]), ([0.0, 1.0], [INF, -INF]), ([INF, 1.0], [1.0, INF])]
    + [([INF, INF, 0.0], [1.0, 3.0, 2.0]), ([INF, 0.0], [0.0, INF]), ([INF, 0.0], [-1.0, INF]), ([-INF, 1.0], [INF, 1.0])],
)
def test_other_devices_have_infinite_weights(x, b, monkeypatch):
    results = []
    for is_cpu in (True, False):
        monkeypatch.setattr(_reductions, "on_cpu", lambda x: is_cpu)
        call = lambda x, b: lt.logsumexp(x, 0, b, return_sign=True)
        arguments = torch.tensor(x, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)
        results.append([*call(*arguments), *jacrev(lambda *y: call(*y)[0], (0, 1))(*arguments)])
    for cpu, other in zip(*results):
        torch.testing.assert_close(other, cpu, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", CERTAIN)
def test_other_devices_have_what_is_small(name, monkeypatch):
    x, results = torch.tensor(CERTAIN[name], dtype=torch.float64), []
    for is_cpu in (True, False):
        for module in (_losses, _reductions, _segments):
            monkeypatch.setattr(module, "on_cpu", lambda x: is_cpu)
        results.append((of(name)(x), torch.func.vjp(of(name), x)[1](torch.ones_like(of(name)(x)))[0]))
    for cpu, other in zip(*results):
        torch.testing.assert_close(other, cpu, rtol=1e-10, atol=0 if name != "log_softmax" else 1e-13)
