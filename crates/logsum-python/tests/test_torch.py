"""logsum.torch: derivatives of every kind and order, against torch's checks, and right where torch's own are wrong."""

import itertools

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import logsum.torch as lt

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
    "cross_entropy, soft": (lambda x: lt.cross_entropy(x, SOFT, reduction="none"), (X,)),
    "token_log_probs": (lambda x: lt.token_log_probs(x, TOKENS), (X,)),
    "token_log_probs, entropy": (lambda x: torch.stack(lt.token_log_probs(x.T, TOKENS, 0, entropy=True)), (X,)),
    "logsumexp with weights": (lambda x, b: lt.logsumexp(x, 1, b * b), (X, Y)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives(name):
    function, inputs = FUNCTIONS[name]
    assert gradcheck(function, inputs, check_forward_ad="with weights" not in name, check_batched_grad=True)
    assert gradgradcheck(function, inputs)


OPERATORS = {
    "logsumexp": (lt._logsumexp, (X, [-1])),
    "softmax": (lt._softmax, (X, [-2])),
    "log_softmax": (lt._log_softmax, (X, [-2, -1])),
    "logcumsumexp": (lt._logcumsumexp, (X, -1, False)),
    "logaddexp": (lt._logaddexp, (X, Y)),
    "cross_entropy": (lt._losses, (X, LABELS, WEIGHT, -100, 0.1)),
    "cross_entropy_gradient": (lt._losses_gradient, (X, SOFT, Y[:, 0], None, -100, 0.0)),
    "scaled_softmax": (lt._scaled_softmax, (X, Y[:, :1], [-1])),
    "softmax_slope": (lt._softmax_slope, (X, Y, [-1])),
    "log_softmax_gradient": (lt._log_softmax_gradient, (X, Y, [-2])),
    "cumulative_mean": (lt._cumulative_mean, (X, Y, -1, False)),
    "cumulative_gradient": (lt._cumulative_gradient, (X, Y, -2, True)),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name):
    operator, arguments = OPERATORS[name]
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


@pytest.mark.parametrize("name", ["logsumexp", "softmax", "log_softmax", "logcumsumexp", "logaddexp", "cross_entropy"])
def test_compile(name):
    function, inputs = FUNCTIONS[name]
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    ours = torch.autograd.grad(function(*inputs).sum(), inputs)
    theirs = torch.autograd.grad(compiled(*inputs).sum(), inputs)
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-15)


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

# A number of four, and what its derivatives of any order are taken from: torch's own third ones of scans are NaN.
COMPOSED = {
    "logsumexp": (lambda x: lt.logsumexp(x, 0), lambda x: x.exp().sum().log()),
    "softmax": (lambda x: (lt.softmax(x, 0) ** 2).sum(), lambda x: ((x.exp() / x.exp().sum()) ** 2).sum()),
    "log_softmax": (lambda x: (lt.log_softmax(x, 0) ** 2).sum(), lambda x: ((x - x.exp().sum().log()) ** 2).sum()),
    "logcumsumexp": (lambda x: (lt.logcumsumexp(x, 0) ** 2).sum(), lambda x: (x.exp().cumsum(0).log() ** 2).sum()),
    "logcumsumexp, reverse": (
        lambda x: (lt.logcumsumexp(x, 0, reverse=True) ** 2).sum(),
        lambda x: (x.flip(0).exp().cumsum(0).log() ** 2).sum(),
    ),
    "logaddexp": (lambda x: (lt.logaddexp(x, x * x) ** 2).sum(), lambda x: ((x.exp() + (x * x).exp()).log() ** 2).sum()),
    "cross_entropy": (lambda x: lt.cross_entropy(x, TOKENS[2]) ** 2, lambda x: (x.exp().sum().log() - x[3]) ** 2),
    "token_log_probs": (lambda x: lt.token_log_probs(x, TOKENS[2]) ** 3, lambda x: (x[3] - x.exp().sum().log()) ** 3),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_derivatives_composed(name):
    """Forward and backward in any order, to the third derivative, by torch.func, and by dual numbers over a graph."""
    ours, plain = COMPOSED[name]
    for order in (1, 2, 3):
        expected = plain
        for _ in range(order):
            expected = torch.func.jacrev(expected)
        for transforms in itertools.product((torch.func.jacfwd, torch.func.jacrev), repeat=order):
            derivative = ours
            for transform in transforms:
                derivative = transform(derivative)
            torch.testing.assert_close(derivative(ROW), expected(ROW), rtol=1e-9, atol=1e-12)
    hessian = torch.func.hessian(plain)(ROW)
    close = lambda found: torch.testing.assert_close(found, hessian, rtol=1e-9, atol=1e-12)
    for strategy in ("forward-mode", "reverse-mode"):
        close(torch.autograd.functional.hessian(ours, ROW, vectorize=True, outer_jacobian_strategy=strategy))
    close(torch.vmap(torch.func.hessian(ours))(torch.stack([ROW, ROW + 1]))[0])
    columns = []
    for direction in torch.eye(4, dtype=torch.float64):
        with torch.autograd.forward_ad.dual_level():
            x = torch.autograd.forward_ad.make_dual(ROW.clone().requires_grad_(), direction)
            (gradient,) = torch.autograd.grad(ours(x), x, create_graph=True)
            columns.append(torch.autograd.forward_ad.unpack_dual(gradient).tangent.detach())
    close(torch.stack(columns, 1))


@pytest.mark.parametrize("z", [[0.0, 0.0], [1.0, 1.0, 1.0], [0.0, -torch.inf, 1.0], [3.0], [0.0, -800.0, 0.0]])
def test_hessians_at_ties_and_padding(z):
    z = torch.tensor(z, dtype=torch.float64)
    p = torch.softmax(z, 0)
    for function in (lambda z: lt.logcumsumexp(z, 0)[-1], lambda z: lt.logsumexp(z, 0)):
        for hessian in (torch.func.hessian(function), torch.func.jacrev(torch.func.jacfwd(function))):
            torch.testing.assert_close(hessian(z), p.diag() - p.outer(p), rtol=0, atol=1e-15)


def test_a_cotangent_of_0_has_a_derivative():
    """Where a loss is at its minimum, its Hessian is all that is left of it."""
    target = lt.logcumsumexp(ROW, 0)
    loss = lambda x: ((lt.logcumsumexp(x, 0) - target) ** 2).sum()
    jacobian = torch.func.jacrev(lambda x: lt.logcumsumexp(x, 0))(ROW)
    expected = 2 * jacobian.T @ jacobian
    for hessian in (torch.func.hessian(loss)(ROW), torch.autograd.functional.hessian(loss, ROW)):
        torch.testing.assert_close(hessian, expected, rtol=1e-12, atol=1e-14)


def test_package_takes_tensors():
    import logsum

    x = torch.randn(4, 5)
    assert isinstance(logsum.logsumexp(x, axis=1), torch.Tensor)
    y = torch.randn(4, 5, requires_grad=True)
    logsum.logsumexp(y).backward()
    torch.testing.assert_close(y.grad, torch.softmax(y.detach().reshape(-1), 0).reshape(4, 5))
    assert logsum.softmax(torch.randn(3, dtype=torch.bfloat16)).dtype == torch.bfloat16


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
    with pytest.raises(ValueError, match="the token of row 0 is 5|the target of row 0 is 5"):
        lt.token_log_probs(z[:1], torch.tensor([5]))
    with pytest.raises(ValueError, match="must be integers of"):
        lt.token_log_probs(z, tokens[:3])
