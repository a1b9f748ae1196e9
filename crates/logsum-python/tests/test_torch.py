"""logsum.torch: derivatives of every kind and order, against torch's checks, and right where torch's own are wrong."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from family import CALLS, X as NUMBERS, complaints
from torch.autograd import gradcheck, gradgradcheck

import logsum
import logsum.torch as lt
from logsum.torch import _elementwise, _losses, _reductions, _scans_and_products, _segments

torch.manual_seed(0)
X = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
Y = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
LABELS = torch.tensor([1, -100, 3])
SOFT = torch.rand(3, 4, dtype=torch.float64)
WEIGHT = torch.tensor([0.5, 1.0, 2.0, 0.0], dtype=torch.float64)
TOKENS = LABELS.clamp(min=0)

FUNCTIONS = {
    "logsumexp": (lambda x: lt.logsumexp(x, 1), (X,)),
    "logsumexp, all": (lambda x: lt.logsumexp(x), (X,)),
    "logsumexp, two dimensions": (lambda x: lt.logsumexp(x, (0, -1), keepdim=True), (X,)),
    "softmax": (lambda x: lt.softmax(x, 0), (X,)),
    "log_softmax": (lambda x: lt.log_softmax(x, -1), (X,)),
    "logcumsumexp": (lambda x: lt.logcumsumexp(x, 1), (X,)),
    "logcumsumexp, reverse": (lambda x: lt.logcumsumexp(x, 0, reverse=True), (X,)),
    "logaddexp": (lt.logaddexp, (X, Y)),
    "cross_entropy": (lambda x: lt.cross_entropy(x, LABELS), (X,)),
    "cross_entropy, weighted": (lambda x: lt.cross_entropy(x, LABELS, WEIGHT, label_smoothing=0.1), (X,)),
    "cross_entropy, by weights": (lambda x, y: lt.cross_entropy(x, LABELS, y[0] ** 2, label_smoothing=0.1), (X, Y)),
    "cross_entropy, soft": (lambda x: lt.cross_entropy(x, SOFT, reduction="none"), (X,)),
    "token_log_probs": (lambda x: lt.token_log_probs(x, TOKENS), (X,)),
    "token_log_probs, entropy": (lambda x: torch.stack(lt.token_log_probs(x.T, TOKENS, 0, entropy=True)), (X,)),
    "logsumexp with weights": (lambda x, b: lt.logsumexp(x, 1, b * b), (X, Y)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives(name):
    function, inputs = FUNCTIONS[name]
    assert gradcheck(function, inputs, check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(function, inputs)


IDS, COUNT = torch.tensor([1, 0, 1]), 2
Z = torch.zeros(3, 3, dtype=torch.float64)

OPERATORS = [
    (_reductions.logsumexp, (X, [-1])),
    (_reductions.scaled_softmax, (X, Y[:, :1], [-1])),
    (_reductions.softmax, (X, [-2])),
    (_reductions.softmax_slope, (X, Y, [-1])),
    (_reductions.log_softmax, (X, [-2, -1])),
    (_reductions.log_softmax_gradient, (X, Y, [-2])),
    (_reductions.weighted, (X, Y, True, [-1])),
    (_reductions.by_weight, (X, Y, [-1])),
    (_reductions.sign_of_sum, (X, Y, [-1])),
    (_reductions.logmeanexp, (X, [-2])),
    (_reductions.logvarexp, (X, 1, [-2])),
    (_reductions.softmax_entropy, (X, [-2, -1])),
    (_scans_and_products.logcumsumexp, (X, -1, False)),
    (_scans_and_products.scan, (X, Y, X, -2, True)),
    (_scans_and_products.log_matmul, (X, Y.mT)),
    (_scans_and_products.product, (X, Y, Y.mT, X.mT, Z)),
    (_segments.segment_logsumexp, (X, IDS, COUNT, -2)),
    (_segments.segment_softmax, (X, IDS, COUNT, -2)),
    (_elementwise.logaddexp, (X, Y)),
    (_elementwise.log1pexp, (X,)),
    (_elementwise.odds, (-X.detach().abs(),)),
    (_losses.losses, (X, LABELS, WEIGHT, -100, 0.1)),
    (_losses.losses_gradient, (X, SOFT, Y[:, 0], None, None, -100, 0.0)),
]


@pytest.mark.parametrize("operator, arguments", OPERATORS, ids=lambda x: getattr(getattr(x, "operator", None), "_name", ""))
def test_operators(operator, arguments):
    torch.library.opcheck(operator.operator, arguments)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_agrees_with_torch(name):
    function, inputs = FUNCTIONS[name]
    theirs = {
        "logsumexp": lambda x: torch.logsumexp(x, 1),
        "logsumexp, all": lambda x: torch.logsumexp(x, (0, 1)),
        "logsumexp, two dimensions": lambda x: torch.logsumexp(x, (0, 1), keepdim=True),
        "softmax": lambda x: torch.softmax(x, 0),
        "log_softmax": lambda x: torch.log_softmax(x, -1),
        "logcumsumexp": lambda x: torch.logcumsumexp(x, 1),
        "logcumsumexp, reverse": lambda x: torch.logcumsumexp(x.flip(0), 0).flip(0),
        "logaddexp": torch.logaddexp,
        "cross_entropy": lambda x: torch.nn.functional.cross_entropy(x, LABELS),
        "cross_entropy, weighted": lambda x: torch.nn.functional.cross_entropy(x, LABELS, WEIGHT, label_smoothing=0.1),
        "cross_entropy, by weights": lambda x, y: torch.nn.functional.cross_entropy(x, LABELS, y[0].detach() ** 2, label_smoothing=0.1),
        "cross_entropy, soft": lambda x: torch.nn.functional.cross_entropy(x, SOFT, reduction="none"),
        "token_log_probs": lambda x: torch.log_softmax(x, 1).gather(1, TOKENS[:, None])[:, 0],
        "token_log_probs, entropy": lambda x: torch.stack([
            torch.log_softmax(x, 1).gather(1, TOKENS[:, None])[:, 0],
            torch.distributions.Categorical(logits=x).entropy(),
        ]),
        "logsumexp with weights": lambda x, b: (b * b * x.exp()).sum(1).log(),
    }[name]
    torch.testing.assert_close(function(*inputs), theirs(*inputs), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_formats(dtype):
    x = torch.randn(5, 7).to(dtype)
    for function in (lt.logsumexp, lt.softmax, lt.log_softmax, lt.logcumsumexp):
        ours = function(x, 1)
        assert ours.dtype == dtype
        torch.testing.assert_close(ours, function(x.double(), 1).to(dtype), rtol=0, atol=0.01)
    assert lt.logaddexp(x, x).dtype == dtype


def test_right_where_torch_is_not():
    inf = torch.inf
    x = torch.tensor([[1e8, 1e8], [-inf, -inf], [inf, 1.0]], requires_grad=True)
    lt.logsumexp(x, 1).sum().backward()
    assert x.grad.tolist() == [[0.5, 0.5], [0.0, 0.0], [1.0, 0.0]]
    assert lt.logsumexp(torch.tensor([0.0, -40.0], dtype=torch.float64), 0).item() == 4.248354255291589e-18
    # Masked scores: torch's own loss is NaN, its gradient too.
    z = torch.tensor([[2.0, -inf, 1.0]], requires_grad=True)
    probabilities = torch.tensor([[0.5, 0.0, 0.5]])
    loss = lt.cross_entropy(z, probabilities)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(z.grad).all()
    assert torch.isnan(torch.nn.functional.cross_entropy(z.detach(), probabilities))


@pytest.mark.parametrize("name", ["logsumexp", "softmax", "log_softmax", "logcumsumexp", "logaddexp"])
def test_vmap_and_transforms(name):
    one = {
        "logsumexp": lambda x: lt.logsumexp(x, 0),
        "softmax": lambda x: lt.softmax(x, 0),
        "log_softmax": lambda x: lt.log_softmax(x, 0),
        "logcumsumexp": lambda x: lt.logcumsumexp(x, 0),
        "logaddexp": lambda x: lt.logaddexp(x, 2 * x),
    }[name]
    x = X.detach()
    rows = torch.stack([one(row) for row in x])
    torch.testing.assert_close(torch.vmap(one)(x), rows, rtol=0, atol=0)
    gradients = torch.stack([torch.func.grad(lambda row: one(row).sum())(row) for row in x])
    batched = torch.vmap(torch.func.grad(lambda row: one(row).sum()))(x)
    torch.testing.assert_close(batched, gradients, rtol=1e-14, atol=1e-15)
    jacobian = torch.func.jacrev(one)(x[0])
    torch.testing.assert_close(torch.func.jacfwd(one)(x[0]), jacobian, rtol=1e-12, atol=1e-14)


ROW = torch.randn(4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_a_cotangent_of_0_has_a_derivative():
    """Where a loss is at its minimum, its Hessian is all that is left of it."""
    target = lt.logcumsumexp(ROW, 0)
    loss = lambda x: ((lt.logcumsumexp(x, 0) - target) ** 2).sum()
    jacobian = torch.func.jacrev(lambda x: lt.logcumsumexp(x, 0))(ROW)
    expected = 2 * jacobian.T @ jacobian
    for hessian in (torch.func.hessian(loss)(ROW), torch.autograd.functional.hessian(loss, ROW)):
        torch.testing.assert_close(hessian, expected, rtol=1e-12, atol=1e-14)


def test_package_takes_tensors():
    x = torch.randn(4, 5)
    assert isinstance(logsum.logsumexp(x, axis=1), torch.Tensor)
    y = torch.randn(4, 5, requires_grad=True)
    logsum.logsumexp(y).backward()
    torch.testing.assert_close(y.grad, torch.softmax(y.detach().reshape(-1), 0).reshape(4, 5))
    assert logsum.softmax(torch.randn(3, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize("name", CALLS)
def test_names_of_the_package_record_what_torch_records(name):
    """Given a tensor that needs a gradient, under torch.func and forward mode, they are those of logsum.torch."""
    call = lambda x: CALLS[name](logsum, x)
    x = torch.from_numpy(NUMBERS.copy()).requires_grad_()
    expected = torch.as_tensor(np.asarray(call(NUMBERS)))
    torch.testing.assert_close(call(x.detach()), expected, rtol=0, atol=0)
    values = call(x)
    torch.testing.assert_close(values, expected, rtol=1e-14, atol=1e-15)
    if "uniform" in name:
        return
    (gradient,) = torch.autograd.grad(values.square().sum(), x)
    assert gradient.abs().max() > 0
    by_transform = torch.func.grad(lambda x: call(x).square().sum())(x.detach())
    torch.testing.assert_close(by_transform, gradient, rtol=1e-13, atol=1e-15)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x.detach(), torch.ones_like(x))
        slope = torch.autograd.forward_ad.unpack_dual(call(dual).square().sum()).tangent
    torch.testing.assert_close(slope, gradient.sum(), rtol=1e-11, atol=1e-13)
    with pytest.raises(TypeError, match="out must be left out"):
        logsum.softmax(x, 1, out=np.empty((3, 4)))


def test_bad_arguments():
    with pytest.raises(IndexError, match="out of range"):
        lt.logsumexp(X, 2)
    with pytest.raises(ValueError, match="reduction"):
        lt.cross_entropy(X, LABELS, reduction="median")
    with pytest.raises(ValueError, match="target"):
        lt.cross_entropy(X, torch.tensor([1, 2]))


def test_token_log_probs():
    z = 10 * torch.randn(6, 5, generator=torch.Generator().manual_seed(3)).to(torch.float16)
    tokens = torch.tensor([0, 1, 2, 3, 4, 0])
    single = lt.token_log_probs(z, tokens, dtype=torch.float32)
    assert single.dtype == torch.float32
    expected = lt.log_softmax(z.to(torch.float64), -1).gather(1, tokens[:, None])[:, 0].to(torch.float32)
    assert torch.equal(single, expected)
    # Alone, or in a batch: the same bits.
    assert torch.equal(torch.stack([lt.token_log_probs(row, t, dtype=torch.float32) for row, t in zip(z, tokens)]), single)
    with pytest.raises(ValueError, match=r"tokens has 5 at \(0,\), it must be from 0 to below 5"):
        lt.token_log_probs(z[:1], torch.tensor([5]))
    with pytest.raises(ValueError, match=r"tokens has the shape \(3,\), it must be \(6,\)"):
        lt.token_log_probs(z, tokens[:3])


@pytest.mark.filterwarnings("ignore")
def test_complaints_are_clear():
    """Every argument of every function is tried with the wrong type, shape, length and dtype."""
    # A group with this process alone, for the functions that need a group.
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        assert list(complaints(lt, torch.as_tensor)) == []
    finally:
        torch.distributed.destroy_process_group()


def test_weights_whose_slope_is_infinite():
    """e^x / Σ is out of range, b e^x / Σ is not."""
    for x, b, expected in (
        ([0.0, 100.0], [1.0, 0.0], [1.0, 0.0]),
        ([0.0, 95.0], [1.0, 1e-40], None),
        ([-60.0, 0.0], [1e20, 1e25], None),
    ):
        x, b = torch.tensor(x, requires_grad=True), torch.tensor(b)
        expected = logsum.logsumexp_value_and_grad(x.detach().numpy(), b=b.numpy())[1][0] if expected is None else expected
        lt.logsumexp(x, 0, b).backward()
        torch.testing.assert_close(x.grad, torch.as_tensor(expected), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_means_of_narrow_losses(dtype):
    for rows in (257, 70_000):
        z, target = torch.zeros(rows, 10, dtype=dtype, requires_grad=True), torch.zeros(rows, dtype=torch.int64)
        loss = lt.cross_entropy(z, target)
        assert loss == logsum.cross_entropy(z.detach(), target)
        loss.backward()
        torch.testing.assert_close(z.grad[0], (torch.full((10,), 0.1) - torch.eye(10)[0]).to(dtype) / rows, rtol=0.01, atol=1e-7)


def test_targets():
    """Booleans are probabilities; what is ignored may hold anything."""
    z = torch.tensor([[1.0, 2.0]])
    assert lt.cross_entropy(z, torch.tensor([[True, False]])) == lt.cross_entropy(z, torch.tensor([0]))
    with pytest.raises(TypeError, match="target is of booleans"):
        lt.cross_entropy(z, torch.tensor([True]))
    z = torch.tensor([[torch.nan, 2.0], [1.0, 2.0]], requires_grad=True)
    lt.cross_entropy(z, torch.tensor([-100, 0]), z_loss=0.1).backward()
    assert z.grad[0].tolist() == [0, 0] and torch.isfinite(z.grad).all()


def test_tangents_where_the_softmax_is_0_do_not_count():
    for z, slope in (([0.0, -torch.inf], 1.0), ([-torch.inf, -torch.inf], 0.0), ([torch.inf, 0.0], 1.0)):
        for t in (torch.inf, torch.nan):
            assert lt.logsumexp_jvp(torch.tensor(z), torch.tensor([1.0, t]), 0)[1] == slope
            assert lt.logsumexp_hvp(torch.tensor(z), torch.tensor([1.0, t]), 0).tolist() == [0, 0]


def test_numbers_without_a_format_are_not_rounded():
    x = np.array([[0.3, -1.7], [2.2, 0.1]])
    tensor = torch.tensor(x)
    for b in (0.1, [0.1, 0.7], [[0.1], [1 / 3]]):
        expected = logsum.logsumexp(x, 1, b=b)
        assert lt.logsumexp(tensor, 1, b=b).tolist() == expected.tolist()
        assert logsum.logsumexp(tensor, 1, b=b).tolist() == expected.tolist()
    _, slope = lt.logsumexp_jvp(tensor, [[0.1, 0.7], [0.2, 0.3]], 1)
    _, expected = logsum.logsumexp_jvp(x, np.array([[0.1, 0.7], [0.2, 0.3]]), 1)
    assert slope.tolist() == expected.tolist()
    # Beside a float32 tensor they do not make the result float64.
    assert lt.logsumexp(tensor.float(), 1, b=[0.1, 0.7]).dtype == torch.float32
    assert lt.logsumexp(tensor.float(), 1, b=0.1).dtype == torch.float32


def test_autocast_gives_the_format_that_is_asked_for():
    x = torch.tensor([1.0, 2.0], dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert lt.softmax(x, 0, dtype=torch.bfloat16).dtype == torch.bfloat16
        assert lt.log_softmax(x, 0, dtype=torch.float32).dtype == torch.float32


def test_batches_that_do_not_broadcast():
    with pytest.raises(ValueError, match="their batches do not broadcast"):
        lt.log_matmul(torch.zeros(2, 3, 4), torch.zeros(3, 4, 5))


def test_autocast_leaves_exponentials_in_single_precision():
    z = torch.randn(3, 4).to(torch.bfloat16)
    with torch.autocast("cpu"):
        assert lt.cross_entropy(z, TOKENS).dtype == lt.logsumexp(z, 1).dtype == torch.float32


def test_what_is_traced_is_recorded():
    x, y = torch.zeros(2), torch.ones(2)
    traced = torch.fx.experimental.proxy_tensor.make_fx(lambda x: logsum.logsumexp(x))(x)
    assert traced(y) == logsum.logsumexp(y)
    assert torch.jit.trace(lambda x: logsum.softmax(x - 1, 0), x)(y).tolist() == [0.5, 0.5]

    class Own(torch.Tensor):
        pass

    assert isinstance(logsum.logsumexp(y.as_subclass(Own)), torch.Tensor)
    with pytest.raises(TypeError, match="a is a list of arrays of torch: stack them first"):
        logsum.logsumexp([x, y])
    with pytest.raises(ValueError, match="axis is"):
        logsum.logsumexp(x.requires_grad_(), axis=())


def test_formats_are_those_of_torch():
    z = torch.zeros(3, dtype=torch.bfloat16)
    for x in (z, z.clone().requires_grad_()):
        assert logsum.logsumexp(x, b=2.0).dtype == torch.bfloat16
        assert logsum.logsumexp(x.float() if x is z else x.detach().float().requires_grad_(), b=z.double() + 1).dtype == torch.float64
        with pytest.raises(TypeError, match="would round"):
            logsum.softmax(x, dtype=torch.float16)
    assert lt.logsumexp(torch.tensor(1.0), keepdim=True).shape == ()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_elements_are_nearest(dtype):
    """Functions by element, against the same in float64; what lies half-way between two numbers is as good as none."""
    x = torch.randn(2000, generator=torch.Generator().manual_seed(4)).to(dtype)
    cases = {"log1pexp": x, "log_logistic": x, "logistic": x, "log1mexp": -x.abs(), "logexpm1": x.abs(), "xlogx": x.abs()}
    for name, x in cases.items():
        function = getattr(lt, name)
        assert torch.equal(function(x), function(x.double()).to(dtype)), name


def test_import_is_light():
    """The compiler is not imported; it is told of the operators when it is."""
    script = """
import sys, torch, logsum.torch as lt
print("torch._dynamo" in sys.modules)
x = torch.tensor([1.0, 2.0])
slope = lambda x: torch.func.jvp(lambda x: lt.softmax(x, 0)[0], (x,), (x,))[1]
print(torch.equal(torch.compile(slope, fullgraph=True, backend="eager")(x), slope(x)))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.stdout == "False\nTrue\n", run.stderr


def test_the_gradient_of_an_entropy_near_its_maximum():
    x = torch.tensor([0.0, 1e-12], dtype=torch.float64, requires_grad=True)
    lt.softmax_entropy(x, 0).backward()
    torch.testing.assert_close(x.grad, torch.tensor([2.5e-13, -2.5e-13], dtype=torch.float64), rtol=1e-12, atol=0)


def test_targets_of_any_format():
    z, target = torch.randn(3, 3, generator=torch.Generator().manual_seed(5)), torch.tensor([2, 1, 1])
    weight, wide = torch.tensor([1.0, 2.0, 4.0]), 10 * torch.randn(2, 200, generator=torch.Generator().manual_seed(6))
    for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32):
        for options in ({}, {"weight": weight}, {"weight": weight, "z_loss": 0.1, "label_smoothing": 0.1}):
            assert lt.cross_entropy(z, target.to(dtype), **options) == lt.cross_entropy(z, target, **options)
        assert torch.equal(lt.token_log_probs(z, target.to(dtype)), lt.token_log_probs(z, target))
    # −100 is 156 in eight bits.
    assert lt.cross_entropy(wide, torch.tensor([156, 3], dtype=torch.uint8)) == lt.cross_entropy(wide, torch.tensor([156, 3]))
    both = torch.stack([target, 2 - target])
    hessians = torch.vmap(torch.func.hessian(lt.cross_entropy), (None, 0))(z, both)
    torch.testing.assert_close(hessians[1], torch.func.hessian(lt.cross_entropy)(z, both[1]))
    ids = torch.tensor([[0, 1, 0], [1, 1, 1]])
    values = torch.vmap(lambda ids: lt.segment_softmax(z, ids, 2))(ids)
    torch.testing.assert_close(values, torch.stack([lt.segment_softmax(z, row, 2) for row in ids]), rtol=0, atol=0)


def test_narrow_losses_with_options():
    z, target = torch.full((4, 10), 300.0, dtype=torch.float16), torch.zeros(4, dtype=torch.int64)
    assert lt.cross_entropy(z, target, z_loss=1e-4) == logsum.cross_entropy(z, target, z_loss=1e-4)
    z = torch.tensor([[800.0, 800.5, 801.0]], dtype=torch.float16)
    assert lt.cross_entropy(z, target[:1], temperature=0.01) == logsum.cross_entropy(z, target[:1], temperature=0.01) == 100
    x = torch.zeros(10_000, dtype=torch.bfloat16)
    slope = torch.func.jvp(lambda x: lt.segment_logsumexp(x, torch.zeros(10_000, dtype=torch.int64), 1), (x,), (torch.ones_like(x),))[1]
    assert slope.item() == 1


def test_a_batch_that_is_ignored_changes_nothing():
    for weight in (None, torch.ones(4)):
        z = torch.randn(3, 4, requires_grad=True)
        loss = lt.cross_entropy(z, torch.full((3,), -100), weight)
        loss.backward()
        assert torch.isnan(loss) and (z.grad == 0).all()


def test_formats_do_not_depend_on_gradients():
    z, labels = torch.zeros(2, 3, dtype=torch.float16), torch.full((2, 3), 1 / 3)
    for call in (
        lambda z: logsum.logsumexp(z, 1, b=torch.ones(3, dtype=torch.int64)),
        lambda z: logsum.log_matmul(z, torch.ones(3, dtype=torch.int64)),
        lambda z: logsum.cross_entropy(z, labels),
        lambda z: logsum.logsumexp_jvp(z, torch.ones(3))[1],
        lambda z: logsum.logsumexp(z, b=torch.tensor(2.0, dtype=torch.float64)),
    ):
        assert call(z).dtype == call(z.clone().requires_grad_()).dtype


def test_infinite_derivatives_have_their_sign():
    x, y = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    of_x, of_y = torch.autograd.grad(lt.logsubexp(x, y).sum(), (x, y))
    assert of_x.tolist() == [torch.inf] * 2 and of_y.tolist() == [-torch.inf] * 2
    for sign in (1, -1):
        slope = lambda function: torch.func.grad(function)(torch.tensor(sign * 0.0))
        assert slope(lt.log1mexp) == -torch.inf and slope(lt.logexpm1) == slope(lt.logit) == torch.inf


def test_sizes_may_be_dynamic():
    for function in (
        lambda z: lt.logsumexp(z, -1),
        lambda z: lt.logsumexp(z, -1, b=z),
        lambda z: lt.logaddexp(z, z[0]),
        lambda z: lt.segment_softmax(z, offsets=torch.tensor([0, 1, 3]), dim=1),
    ):
        torch._dynamo.reset()
        compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
        for rows in (3, 5, 7):
            z = torch.randn(rows, 3)
            torch.testing.assert_close(compiled(z), function(z), rtol=0, atol=0, equal_nan=True)


FAR_APART = [([20.0, 19.0, -65504.0], torch.float16), ([2e38, -2e38], torch.float32), ([1e308, -1e308], torch.float64)]


@pytest.mark.parametrize("numbers, dtype", FAR_APART)
def test_the_gradient_of_an_entropy_of_what_is_far_apart(numbers, dtype):
    """Distances overflow."""
    x = torch.tensor(numbers, dtype=dtype)
    near = torch.tensor([t for t in numbers if t > 0], dtype=torch.float64)
    expected = torch.cat([torch.func.grad(lambda x: lt.softmax_entropy(x, 0))(near), torch.zeros(1)]).to(dtype)
    for entropy in (lt.softmax_entropy, lambda x, dim: lt.token_log_probs(x, torch.tensor(0), entropy=True)[1]):
        torch.testing.assert_close(torch.func.grad(lambda x: entropy(x, 0))(x), expected)
        torch.testing.assert_close(torch.func.jacfwd(lambda x: entropy(x, 0))(x), expected)
        assert torch.isfinite(torch.func.hessian(lambda x: entropy(x, 0))(x)).all()


UNCOUNTED = {
    "masked": ([[0.0, 1.0, -torch.inf]], [0], [1.3132616875182228, 0, 0]),
    "ignored, NaN": ([[0.0, 1.0, 2.0], [torch.nan, 1.0, 0.0]], [0, -100], [2.4076059644443806, 0, 0]),
    "ignored, masked": ([[0.0, 1.0, 2.0], [-torch.inf, 1.0, 0.0]], [0, -100], [2.4076059644443806, 0, 0]),
}


@pytest.mark.parametrize("name", UNCOUNTED)
def test_derivatives_by_weights_beside_what_does_not_count(name):
    z, target, expected = (torch.tensor(x, dtype=torch.float64 if i != 1 else None) for i, x in enumerate(UNCOUNTED[name]))
    ones = torch.ones(3, dtype=torch.float64)
    for derivative in (torch.func.jacrev, torch.func.jacfwd):
        for reduction, factor in (("sum", 1), ("mean", 0), ("none", 1)):
            found = derivative(lambda w: lt.cross_entropy(z, target, w, reduction=reduction))(ones).reshape(-1, 3)
            torch.testing.assert_close(found.sum(0), factor * expected)
    for hessian in (torch.func.hessian, lambda f, by: torch.func.jacrev(torch.func.jacrev(f, by), by)):
        rows = hessian(lambda z, w: lt.cross_entropy(z, target, w, reduction="sum"), (0, 1))(z, ones)
        assert all(torch.isfinite(block).all() for row in rows for block in row)
    if name == "masked":
        soft, weight = torch.nn.functional.one_hot(target, 3).double(), ones.clone()
        weight[2] = 0
        for derivative in (torch.func.jacrev, torch.func.jacfwd):
            by_q, by_weight = derivative(lambda q, w: lt.cross_entropy(z, q, w, reduction="sum"), (0, 1))(soft, weight)
            torch.testing.assert_close(by_q, torch.tensor([[expected[0], expected[0] - 1, 0]], dtype=torch.float64))
            torch.testing.assert_close(by_weight, expected)


def test_what_is_dropped_has_no_part():
    x, ids = torch.tensor([0.0, torch.nan, 1.0, 2.0], dtype=torch.float64), torch.tensor([0, -1, 0, 7])
    for function in (lt.segment_logsumexp, lt.segment_softmax):
        call = lambda x: function(x, ids, 2, mode="drop")[:1].sum()
        kept = torch.func.grad(lambda x: function(x, ids[::2], 2)[:1].sum())(x[::2])
        expected = torch.stack([kept[0], torch.zeros(()), kept[1], torch.zeros(())])
        assert torch.equal(torch.func.grad(call)(x), expected) and torch.equal(torch.func.jacfwd(call)(x), expected)
        assert torch.isfinite(torch.func.hessian(call)(x)).all()
        y = x.clone().requires_grad_()
        getattr(logsum, function.__name__)(y, ids, 2, mode="drop")[0].backward()
        assert torch.equal(y.grad, expected)


def test_a_bool_is_a_weight_where_weights_are_in_numpy():
    x = torch.zeros(2, 2)
    for b in (False, True):
        assert torch.equal(logsum.logsumexp(x, 1, b), logsum.logsumexp(x.clone().requires_grad_(), 1, b).detach())
    assert lt.logsumexp(x, 1, True).shape == (2, 1)


@pytest.mark.parametrize("is_cpu", [True, False])
@pytest.mark.parametrize(
    "dtype, great", [(torch.float16, 4e4), (torch.bfloat16, 3e38), (torch.float32, 3e38), (torch.float64, 1.5e308)]
)
def test_cotangents_of_log_softmax_whose_sum_overflows(dtype, great, is_cpu, monkeypatch):
    monkeypatch.setattr(_reductions, "on_cpu", lambda x: is_cpu)
    taken_back = lambda x, g: torch.func.vjp(lambda x: lt.log_softmax(x, -1), x)[1](g)[0]
    x, g = torch.tensor([[0.0, 0.0], [0.0, 0.0]], dtype=dtype), torch.tensor([[great, great], [1.0, 3.0]], dtype=dtype)
    assert taken_back(x, g).tolist() == [[0, 0], [-1, 1]]
    x = torch.tensor([0.0, -torch.inf], dtype=dtype)
    assert taken_back(x, g[0]).tolist() == [-g[0, 0].item(), g[0, 0].item()]
    x = torch.zeros(70_000, dtype=dtype)
    assert taken_back(x, torch.ones_like(x)).abs().max() < 1e-3
    assert torch.isfinite(torch.func.jvp(torch.func.grad(lambda x: lt.log_softmax(x, 0).sum()), (x,), (x,))[1]).all()


TEMPERATURES = [
    ([[0.0, 1.0, -torch.inf]], [0], 2.0, -0.15561483),
    ([[0.0, 1.0, -1e38]], [0], 0.5, -3.5231884),
    ([[0.0, 1.0], [torch.nan, -torch.inf]], [0, -100], 2.0, -0.15561483),
    ([[3e38, 1e38]], [0], 0.1, 0.0),
    ([[3e38, -3e38]], [1], 10.0, -6e36),
]


@pytest.mark.parametrize("z, target, temperature, expected", TEMPERATURES)
def test_temperatures_of_what_is_masked_or_large(z, target, temperature, expected):
    z, target, temperature = torch.tensor(z), torch.tensor(target), torch.tensor(temperature)
    loss = lambda temperature: lt.cross_entropy(z, target, temperature=temperature, reduction="sum")
    assert loss(temperature) == loss(temperature.item()) == logsum.cross_entropy(z, target, temperature=temperature.item(), reduction="sum")
    for derivative in (torch.func.jacrev, torch.func.jacfwd):
        torch.testing.assert_close(derivative(loss)(temperature), torch.tensor(expected))
    assert torch.isfinite(torch.func.hessian(loss)(temperature))


def test_a_temperature_has_all_its_digits():
    z = X.detach()
    expected = logsum.cross_entropy(z, LABELS, temperature=0.1)
    for temperature in (0.1, torch.tensor(0.1, dtype=torch.float64)):
        torch.testing.assert_close(lt.cross_entropy(z, LABELS, temperature=temperature), expected, rtol=1e-15, atol=0)


def test_a_temperature_is_positive():
    for wrong in (-1.0, 0.0, torch.inf, torch.nan):
        with pytest.raises(ValueError, match="temperature is .*, it must be finite and positive"):
            lt.cross_entropy(X, LABELS, temperature=torch.tensor(wrong, requires_grad=True))


def test_a_z_loss_has_a_derivative_by_weights_that_are_0():
    z, weight = torch.tensor([1.0, 2.0, -torch.inf], dtype=torch.float64), torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64)
    slope = torch.func.grad(lambda w: lt.cross_entropy(z, torch.tensor(0), w, z_loss=1.0, reduction="sum"))(weight)
    whole = lt.logsumexp(z, 0)
    torch.testing.assert_close(slope, torch.stack([whole - z[0] + whole**2, torch.zeros(()), torch.zeros(())]))


def test_dimensions_stay_where_anything_has_them():
    zero, b, mask = torch.tensor(0.0), torch.ones(3, 2), torch.ones(3, 2, dtype=torch.bool)
    for values in (
        lt.logsumexp(zero, 0, b=b, keepdim=True),
        lt.logsumexp(zero, 0, where=mask, keepdim=True),
        lt.logsumexp_value_and_grad(zero, 0, b=b, keepdim=True)[0],
        lt.logsumexp_value_and_grad(zero, 0, where=mask, keepdim=True)[0],
        *lt.logsumexp_jvp(zero, b, 0, keepdim=True),
    ):
        assert values.shape == (1, 2)
    assert lt.logsumexp(zero, 0, b=torch.tensor(1.0), keepdim=True).shape == ()


def test_masked_arrays_are_refused():
    masked = np.ma.array([1.0, 2.0], mask=[False, True])
    for wrong in (masked, [masked, masked], [[masked]], [1.0, np.ma.masked]):
        for module in (lt, logsum):
            with pytest.raises(TypeError, match="a masked array: give its data, and where=~mask"):
                module.logsumexp(torch.ones(2), None, wrong)


def test_cotangents_of_softmax_whose_difference_overflows():
    x, g = torch.tensor([0.0, 8.0], dtype=torch.float16), torch.tensor([6e4, -6e4], dtype=torch.float16)
    found, expected = (torch.func.vjp(lambda x: lt.softmax(x, 0), x)[1](g)[0] for x, g in ((x, g), (x.double(), g.double())))
    # The other element is small, and its relative error is that of p.
    torch.testing.assert_close(found[0], expected[0].half())
    assert torch.isfinite(found[1])


def test_class_weights_count_as_they_are():
    """They are not rounded to the scores' format, and small ones of float16 do not make derivatives of the mean infinite."""
    scores, target, weight = torch.tensor([[0.0, 1.0], [0.0, 2.0]]), torch.tensor([0, 1]), torch.tensor([1e-8, 1e-7])
    value = lt.cross_entropy(scores.half(), target, weight)
    assert value.dtype == torch.float32 and np.isclose(value, 0.23477652708617708, rtol=1e-6)
    for dtype in (torch.float16, torch.float32):
        x = torch.zeros(1, 2, dtype=torch.float16, requires_grad=True)
        lt.cross_entropy(x, torch.tensor([0]), torch.tensor([1e-5, 1e-5], dtype=dtype)).backward()
        assert x.grad.tolist() == [[-0.5, 0.5]]


def test_integers_are_rounded_once():
    """To the format of the result, not to torch's default one before."""
    x, p, ones = torch.tensor([16777217, 16777218]), torch.tensor([1.0, 0.0]).double(), torch.ones(2).double()
    shares = lt.softmax(x.double(), 0)
    assert torch.equal(lt.softmax(x, 0, torch.float64), shares) and abs(shares[0] - 0.2689) < 1e-4
    assert torch.equal(lt.log_softmax(x, 0, torch.float64), lt.log_softmax(x.double(), 0))
    assert lt.token_log_probs(x, torch.tensor(0), dtype=torch.float64) == lt.log_softmax(x.double(), 0)[0]
    loss = lt.cross_entropy(x.double(), torch.tensor(0))
    assert lt.cross_entropy(x, p) == lt.cross_entropy(x, torch.tensor(0), ones) == loss
    # Integers that the format can represent are accepted.
    assert lt.softmax(torch.tensor([1, 2048]), 0, torch.float16).dtype == torch.float16
    for function in (lt.softmax, lambda x, dim, dtype: lt.token_log_probs(x, torch.tensor(0), dim, dtype)):
        with pytest.raises(ValueError, match="input has 2049, which float16 would round: convert it first"):
            function(torch.tensor([1, 2049]), 0, torch.float16)


def test_lists_of_tensors_are_refused():
    """torch makes numbers of them, which have no derivative."""
    x, one = torch.zeros(2), torch.tensor(1.0, requires_grad=True)
    for call in (
        lambda wrong: lt.logsumexp(x, 0, b=wrong),
        lambda wrong: lt.cross_entropy(x, torch.tensor(0), weight=wrong),
        lambda wrong: lt.cross_entropy(x, wrong),
        lambda wrong: lt.logsumexp_jvp(x, wrong),
        lambda wrong: lt.logsumexp_hvp(x, wrong),
        lambda wrong: logsum.logsumexp(np.zeros(2), b=wrong),
    ):
        for wrong in ([one, one], (one, 1.0), [[one, one]]):
            with pytest.raises(TypeError, match="stack them first"):
                call(wrong)


def test_indices_out_of_range_are_told_by_name():
    x, wrong = torch.zeros(2, 3, 4), torch.tensor([[0, 1, 2], [3, 4, 0]])
    for function, name in ((lt.token_log_probs, "tokens"), (lt.cross_entropy, "target")):
        for call in (torch.vmap(function), torch.compile(torch.vmap(function), backend="eager")):
            with pytest.raises(ValueError, match=rf"{name} has 4 at \(1, 1\), it must be from 0 to below 4"):
                call(x, wrong)
        with pytest.raises(ValueError, match=rf"{name} has 4 at \(1,\), it must be from 0 to below 4"):
            function(x[0], wrong[1])


def test_what_is_empty_may_be_a_list():
    none = torch.zeros(0, 2)
    assert lt.segment_logsumexp(none, [], 3).shape == (3, 2) and lt.segment_softmax(none, []).shape == (0, 2)
    assert lt.cross_entropy(none, []).isnan() and lt.cross_entropy(none, [], reduction="none").shape == (0,)
    assert lt.token_log_probs(none, []).shape == (0,)
    assert lt.cross_entropy(none, torch.zeros(0, 2), reduction="none").shape == (0,)


def test_float8_is_refused():
    for x in (torch.zeros(2).to(torch.float8_e5m2), torch.zeros(2).to(torch.float8_e4m3fn)):
        for function in (lt.logsumexp, lt.softmax, lt.logcumsumexp, lt.log1pexp):
            with pytest.raises(TypeError, match="input must be numbers, not torch.float8"):
                function(x, *[0] * (function is lt.logcumsumexp))
    with pytest.raises(TypeError, match="dtype is torch.float8_e5m2, it must be a floating-point format"):
        lt.softmax(torch.zeros(2), 0, torch.float8_e5m2)


def test_what_does_not_fit_into_memory_is_an_error():
    many = torch.zeros(1).expand(2**45)
    for call in (
        lambda: lt.log_matmul(torch.zeros(2**23, 1), torch.zeros(1, 2**23)),
        lambda: lt.softmax(many, 0),
        lambda: lt.logcumsumexp(many, 0),
        lambda: lt.logsumexp(many[:, None], 1),
    ):
        with pytest.raises(MemoryError):
            call()


def test_out_may_share_a_tensors_memory():
    """Views of it as arrays have no owner in common."""
    for function in (logsum.softmax, logsum.log_softmax):
        t = torch.arange(900, dtype=torch.float64).remainder(7).reshape(30, 30)
        for x, out in ((t, t.T), (t[:-1], t[1:])):
            expected = function(x.clone().numpy(), 1)
            assert np.array_equal(function(x.numpy(), 1, out=out.numpy()), expected)


def test_many_dimensions():
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    deep = x.reshape(*(1,) * 38, 3, 4)
    for call in (
        lambda x: lt.softmax(x, -1),
        lambda x: lt.logsumexp(x, -2, b=x),
        lambda x: lt.cross_entropy(x, x.abs(), dim=-1, reduction="none"),
        lambda x: lt.log_matmul(x, x.mT),
        lambda x: lt.logaddexp(x.bfloat16(), x.bfloat16()),
    ):
        assert torch.equal(call(deep).reshape(call(x).shape), call(x))


def test_products_that_are_infinite_have_no_part_in_others():
    a = torch.tensor([[torch.inf, 0.0], [0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    b = torch.zeros(2, 1, dtype=torch.float64, requires_grad=True)
    # The same as log-sum-exps, whose infinite results are not differentiated.
    finite = lambda a, b: lt.logsumexp(a[1, :, None] + b, 0)
    for of_product in (lambda a, b: lt.log_matmul(a, b)[1, 0], lambda a, b: lt.log_matmul(a, b).sum()):
        of_a, of_b = torch.autograd.grad(of_product(a, b), (a, b))
        expected = torch.autograd.grad(finite(a, b).sum(), (a, b))
        assert torch.equal(of_a, expected[0]) and torch.equal(of_b, expected[1])
    hessian = torch.func.hessian(lambda b: lt.log_matmul(a.detach(), b)[1, 0])(b.detach()).reshape(2, 2)
    assert torch.equal(hessian, torch.tensor([[0.25, -0.25], [-0.25, 0.25]], dtype=torch.float64))


def test_operators_have_the_layout_that_compilers_are_told():
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(5)).T
    for operator in (torch.ops.logsum.quotient, torch.ops.logsum.times):
        torch.library.opcheck(operator.default, (x, x))
    x, labels = torch.randn(2, 3, 4), torch.zeros(2, 4, dtype=torch.long)
    loss = lambda x: lt.cross_entropy(x, labels, temperature=2.0)
    assert torch.equal(torch.compile(loss, backend="aot_eager", fullgraph=True)(x), loss(x))


def test_labels_beyond_64_bits_with_a_sign_are_out_of_range():
    labels = lambda label: torch.from_numpy(np.array([label, 0], np.uint64))
    with pytest.raises(ValueError, match="target has"):
        lt.cross_entropy(torch.zeros(2, 3, requires_grad=True), labels(2**64 - 100))
    with pytest.raises(ValueError, match="tokens has"):
        lt.token_log_probs(torch.zeros(2, 3), labels(2**64 - 1), padding=-1)


def test_tensors_are_where_they_are_whatever_torchs_default_is():
    t, integers = torch.ones(3), torch.tensor([1, 2])
    with torch.device("meta"):
        assert logsum.logsumexp(t).device == logsum.softmax(t).device == torch.device("cpu")
        assert lt.softmax(integers, 0, dtype=torch.float32).device == torch.device("cpu")
