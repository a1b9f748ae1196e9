"""Reports by users of other libraries, repeated with logsum."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import ends_of_domains
import logsum
import logsum.torch as T
from logsum.torch import _differentiable, _losses

INF = torch.inf


def test_many_masked_scores():
    """flash-attention#1930: NaN where many scores are −∞."""
    for length in (1, 127, 128, 4096, 65_537):
        z = torch.full((3, length), -INF)
        z[1, length // 2] = 5.0
        z[2, ::2] = torch.linspace(-3, 3, len(z[2, ::2]))
        z.requires_grad_()
        values = T.logsumexp(z, -1)
        assert values[0] == -INF and values[1] == 5 and values[2].isfinite()
        p = T.softmax(z, -1)
        assert not p[0].any() and p[1].sum() == 1 and p[2].sum().sub(1).abs() < 1e-5
        (slope,) = torch.autograd.grad(values[1:].sum() + p.sum(), z)
        assert slope.isfinite().all() and not slope[:, 1::2][2].any()


@pytest.mark.parametrize("classes", [65_535, 65_536, 65_537])
def test_padded_classes_have_no_part(classes):
    """A vocabulary beyond 2^16, padded to whole blocks."""
    torch.manual_seed(0)
    z = torch.randn(4, classes)
    target = torch.tensor([0, classes - 1, classes // 2, 7])
    padded = torch.full((4, -(-classes // 1024) * 1024), -INF)
    padded[:, :classes] = z
    padded.requires_grad_(), z.requires_grad_()
    for call in (T.cross_entropy, T.token_log_probs):
        loss, of_padded = call(z, target), call(padded, target)
        assert torch.equal(loss, of_padded)
        slopes = torch.autograd.grad(loss.sum(), z)[0], torch.autograd.grad(of_padded.sum(), padded)[0]
        assert torch.equal(slopes[1][:, :classes], slopes[0]) and not slopes[1][:, classes:].any()


def test_a_mask_does_not_stop_other_gradients():
    z = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]], requires_grad=True)
    mask = torch.tensor([[True, False, False], [True, True, True]])
    loss = T.logsumexp(z.masked_fill(mask, -INF), -1)
    loss[0].backward()
    assert z.grad[0, 1:].gt(0).all() and not z.grad[1].any() and z.grad[0, 0] == 0
    z.grad = None
    T.log_softmax(z.masked_fill(mask, -INF), -1)[0, 2].backward()
    assert z.grad[0].isfinite().all() and z.grad[0, 2] > 0


def test_all_targets_are_ignored():
    z = torch.randn(3, 5, requires_grad=True)
    target = torch.full((3,), -100)
    for reduction, expected in (("sum", 0.0), ("none", [0.0] * 3)):
        assert T.cross_entropy(z, target, reduction=reduction).tolist() == expected
    mean = T.cross_entropy(z, target)
    mean.backward()
    assert mean.isnan() and not z.grad.any()


def test_targets_out_of_range():
    """An error that names them, or NaN where nobody can look: never a loss of 0, and no assertion that ends the process."""
    z = torch.randn(3, 5)
    for target in (torch.tensor([1, 5, 2]), torch.tensor([1, -1, 2])):
        with pytest.raises(ValueError, match=r"target has (5|-1) at \(1,\), it must be from 0 to below 5"):
            T.cross_entropy(z, target)
        with pytest.raises(ValueError, match=r"tokens has (5|-1) at \(1,\), it must be from 0 to below 5"):
            T.token_log_probs(z, target)


def test_targets_out_of_range_on_other_devices(monkeypatch):
    for module in (_losses, _differentiable):
        monkeypatch.setattr(module, "on_cpu", lambda x: False)
    z = torch.randn(3, 5)
    with pytest.raises(ValueError, match=r"target has 5 at \(1,\)"):
        T.cross_entropy(z, torch.tensor([1, 5, 2]))
    # Without the check, as while a CUDA graph is captured.
    monkeypatch.setattr(_losses, "within", lambda *_: None)
    losses = T.cross_entropy(z, torch.tensor([1, 5, -100]), reduction="none")
    assert losses[0].isfinite() and losses[1].isnan() and losses[2] == 0


def test_arrays_may_be_used_again():
    """What is no tensor is copied: torch would not know of changes before there is a gradient."""
    x = torch.zeros(2, 3, requires_grad=True)
    target, weight, tokens = np.array([0, 1]), np.ones(3, np.float32), np.array([0, 1])
    calls = (
        (lambda: T.cross_entropy(x, target), target),
        (lambda: T.cross_entropy(x, target, weight), weight),
        (lambda: logsum.token_log_probs(x, tokens).sum(), tokens),
        (lambda: T.logsumexp(x, b=weight), weight),
        (lambda: T.segment_logsumexp(x, tokens, 3).square().sum(), tokens),
    )
    for call, array in calls:
        (expected,) = torch.autograd.grad(call(), x)
        value, kept = call(), array.copy()
        array[:] = 2
        (found,) = torch.autograd.grad(value, x)
        array[:] = kept
        assert torch.equal(found, expected)


def test_nan_is_no_token():
    tokens = torch.tensor([float("nan"), 1.0]).long()
    for call in (T.token_log_probs, logsum.token_log_probs):
        for z in (torch.randn(2, 3), torch.randn(2, 3, requires_grad=True)):
            with pytest.raises(ValueError, match="token"):
                call(z, tokens)


def test_a_slope_that_is_infinite_where_nothing_changes():
    """jax#17070: NaN in masked gradients of an entropy by x log x."""
    for call, at in ((T.xlogx, 0.0), (T.logit, 0.0), (T.log1mexp, 0.0)):
        x = torch.tensor([at, 0.5 if at == 0 and call is not T.log1mexp else -0.5], requires_grad=True)
        (slope,) = torch.autograd.grad(torch.where(torch.tensor([True, False]), 0, call(x)).sum(), x)
        assert slope[0] == 0 and slope[1].isfinite()
    # The first derivative has no NaN in its own gradient, either.
    for call, at, partner in ends_of_domains.infinite_slopes(T, torch.ones_like):
        x = torch.tensor([at, partner], dtype=torch.float64, requires_grad=True)
        y = torch.tensor([partner], dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(torch.where(torch.tensor([True, False]), 0, call(x)).sum(), x, create_graph=True)
        (alone,) = torch.autograd.grad(call(y).sum(), y, create_graph=True)
        (second,) = torch.autograd.grad(slope.sum(), x)
        (second_alone,) = torch.autograd.grad(alone.sum(), y)
        assert slope.tolist() == [0, alone.item()] and second.tolist() == [0, second_alone.item()]


def test_no_slope_where_there_is_no_value():
    for name, numbers in ends_of_domains.WITHOUT_VALUE:
        call = getattr(T, name)
        inputs = [torch.tensor(x, requires_grad=True) for x in numbers]
        value = call(*inputs)
        assert value.isnan() and all(slope.isnan() for slope in torch.autograd.grad(value, inputs)), (name, numbers)


def test_autocast_says_the_format_with_a_graph_and_without():
    z = torch.randn(3, 4, dtype=torch.bfloat16)
    with torch.autocast("cpu"):
        for call in (logsum.logsumexp, logsum.softmax, logsum.log_softmax):
            assert call(z, axis=1).dtype == call(z.clone().requires_grad_(), axis=1).dtype == torch.float32


def test_numbers_beside_tensors_of_a_graph():
    b = torch.ones(2, requires_grad=True)
    with pytest.raises(TypeError, match="one argument is a tensor that torch records, but the first is a ndarray: make it a tensor, too"):
        logsum.logsumexp(np.zeros(2), b=b)


@pytest.mark.parametrize("dtype", ends_of_domains.FAR_APART)
def test_derivatives_of_logsubexp_far_apart(dtype):
    format = getattr(torch, dtype)
    number = lambda x: torch.tensor(x, dtype=format)
    grad = lambda x, y: torch.stack(torch.func.grad(T.logsubexp, (0, 1))(number(x), number(y))).double().numpy()
    for inner, outer in ((torch.func.jacrev, torch.func.jacfwd), (torch.func.jacrev, torch.func.jacrev), (torch.func.jacfwd, torch.func.jacrev)):
        of_both = outer(inner(T.logsubexp, (0, 1)), (0, 1))
        hessian = lambda x, y: np.array([[float(slope) for slope in row] for row in of_both(number(x), number(y))])
        ends_of_domains.check_logsubexp(dtype, torch.finfo(format).eps, lambda x: number(x).item(), grad, hessian)


def test_derivatives_at_the_ends_of_domains():
    double = lambda x: torch.tensor(x, dtype=torch.float64)
    ends_of_domains.check_derivatives(T, double, torch.where, torch.func.grad, torch.func.jacfwd)
