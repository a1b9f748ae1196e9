"""Losses of linear functions: those of the scores stored whole, in chunks of any size, with their derivatives."""

import pytest

torch = pytest.importorskip("torch")
from torch.nn.functional import linear

import logsum.torch as T
from logsum.torch import _linear

OPTIONS = {
    "plain": {},
    "sum, z-loss": dict(reduction="sum", z_loss=1e-2),
    "none": dict(reduction="none"),
    "none, temperature": dict(reduction="none", temperature=2.5),
    "weight, smoothing": dict(weight=torch.linspace(0, 2, 33), label_smoothing=0.1),
    "ignore": dict(ignore_index=5),
    "softcap": dict(softcap=3.0),
    "softcap, none": dict(softcap=0.5, reduction="none", z_loss=0.1),
}


@pytest.fixture(params=[5, 10**6])
def chunked(request, monkeypatch):
    monkeypatch.setattr(_linear, "SCORES", 1)
    monkeypatch.setattr(_linear, "FEWEST", request.param)


def arguments(dtype=torch.float64):
    random = torch.Generator().manual_seed(2)
    x, w, b = (torch.randn(shape, generator=random).to(dtype).requires_grad_() for shape in ((3, 4, 6), (33, 6), (33,)))
    target = torch.randint(33, (3, 4), generator=random)
    target[0, 1], target[2, 3] = -100, 5
    return x, w, b, target


def whole(x, w, b, target, softcap=None, **options):
    scores = linear(x, w, b)
    scores = scores if softcap is None else softcap * torch.tanh(scores / softcap)
    return T.cross_entropy(scores, target, dim=-1, **options)


def prepared(name):
    options = dict(OPTIONS[name])
    x, w, b, target = arguments()
    if options.get("ignore_index") == 5:
        target[0, 1] = 5
    if "weight" in options:
        options["weight"] = options["weight"].double()
    return x, w, b, target, options


@pytest.mark.parametrize("name", OPTIONS)
def test_is_the_loss_of_all_scores(chunked, name):
    x, w, b, target, options = prepared(name)
    found = T.linear_cross_entropy(x, w, target, linear_bias=b, **options)
    expected = whole(x, w, b, target, **options)
    torch.testing.assert_close(found, expected, rtol=1e-14, atol=0)
    cotangent = torch.linspace(-1, 2, found.numel()).reshape(found.shape).double()
    slopes = [torch.autograd.grad(value, (x, w, b), cotangent) for value in (found, expected)]
    torch.testing.assert_close(*slopes, rtol=1e-12, atol=1e-14)
    # Without a bias, and with derivatives by one of them only.
    for one in (0, 1):
        inputs = [y.detach().clone().requires_grad_(i == one) for i, y in enumerate((x, w))]
        values = T.linear_cross_entropy(*inputs, target, **options), whole(*inputs, None, target, **options)
        slopes = [torch.autograd.grad(value, inputs[one], cotangent)[0] for value in values]
        torch.testing.assert_close(*slopes, rtol=1e-12, atol=1e-14)
    with torch.no_grad():
        assert torch.equal(T.linear_cross_entropy(x, w, target, linear_bias=b, **options), found)


def test_probabilities(chunked):
    x, w, b, _ = arguments()
    target = torch.rand(3, 4, 33, dtype=torch.float64)
    for reduction in ("mean", "sum", "none"):
        found = T.linear_cross_entropy(x, w, target, linear_bias=b, reduction=reduction)
        torch.testing.assert_close(found, whole(x, w, b, target, reduction=reduction), rtol=1e-14, atol=0)


def test_agrees_with_torch():
    x, w, b, target = arguments(torch.float32)
    rows, target = x.reshape(12, 6), target.reshape(12)
    theirs = torch.nn.functional.cross_entropy(linear(rows, w, b), target, label_smoothing=0.2)
    ours = T.linear_cross_entropy(rows, w, target, linear_bias=b, label_smoothing=0.2)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(*(torch.autograd.grad(loss, (x, w, b), retain_graph=True) for loss in (ours, theirs)))
    one = T.linear_cross_entropy(rows[0], w, torch.tensor(3), linear_bias=b, reduction="none")
    assert one.shape == () and one == T.cross_entropy(linear(rows[0], w, b), torch.tensor(3), reduction="none")


def test_derivatives_by_differences(chunked):
    x, w, b, target = arguments()
    for reduction in ("mean", "none"):
        loss = lambda x, w, b: T.linear_cross_entropy(x, w, target, linear_bias=b, reduction=reduction, softcap=4.0)
        assert torch.autograd.gradcheck(loss, (x, w, b), fast_mode=True)


def test_padded_classes_have_no_share_under_a_soft_cap(chunked):
    """A class with the bias −∞ is not there: c · tanh(−∞/c) would be −c, a score like any other."""
    x, w, b, target = arguments()
    padded_w, padded_b = torch.cat([w, torch.ones(4, 6)]), torch.cat([b, torch.full((4,), -torch.inf)])
    for reduction in ("mean", "none"):
        losses, padded = (
            T.linear_cross_entropy(x, w_, target, linear_bias=b_, reduction=reduction, softcap=3.0)
            for w_, b_ in ((w, b), (padded_w, padded_b))
        )
        torch.testing.assert_close(padded, losses, rtol=1e-14, atol=0)
        slopes, padded_slopes = (torch.autograd.grad(found.sum(), (x, w)) for found in (losses, padded))
        torch.testing.assert_close(padded_slopes, slopes, rtol=1e-12, atol=1e-14)


def test_narrow_formats_are_summed_in_float32():
    """Scores in bfloat16 have losses in float32; derivatives by the weight do not stand still over many chunks."""
    random = torch.Generator().manual_seed(4)
    x = (torch.randn(4096, 8, generator=random) + 1).bfloat16()
    w = torch.randn(20, 8, generator=random).bfloat16().requires_grad_()
    target = torch.zeros(4096, dtype=int)
    loss = T.linear_cross_entropy(x, w, target, reduction="sum")
    assert loss.dtype == torch.float32
    wide = linear(x, w.detach()).float()
    assert loss == T.cross_entropy(wide, target, reduction="sum")
    (found,) = torch.autograd.grad(loss, w)
    exact = T.softmax(wide.double(), -1)
    exact[:, 0] -= 1
    exact = exact.T @ x.double()
    error = ((found.double() - exact).abs() / exact.abs().amax()).amax()
    assert found.dtype == torch.bfloat16 and error < 2**-8
    in_bfloat16 = torch.zeros_like(w)
    for rows in range(0, 4096, 8):
        scores = wide[rows : rows + 8]
        slope = T.softmax(scores, -1)
        slope[:, 0] -= 1
        in_bfloat16 = in_bfloat16 + slope.bfloat16().T @ x[rows : rows + 8]
    assert ((in_bfloat16.double() - exact).abs() / exact.abs().amax()).amax() > 4 * error


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_weights_of_any_size_in_narrow_formats(dtype, reduction):
    """A mean is divided by its weights: whether they are large or small has no part in it."""
    torch.manual_seed(0)
    x, w = torch.randn(4, 5).to(dtype).requires_grad_(), torch.randn(7, 5).to(dtype).requires_grad_()
    target = torch.tensor([0, 3, 2, 6])
    slopes = []
    for weight in (1.0, 2.0**-30, 2.0**20):
        loss = T.linear_cross_entropy(x, w, target, weight=torch.full((7,), weight), reduction=reduction)
        loss = loss if reduction == "mean" else loss.sum() / (4 * weight)
        slopes.append(torch.autograd.grad(loss, (x, w)))
    for other in slopes[1:]:
        assert all(torch.equal(*pair) for pair in zip(slopes[0], other))


def test_changes_before_the_gradient_are_seen():
    x, w, _, target = arguments()
    weight = torch.ones(33, dtype=torch.float64)
    for changed in (target, weight):
        loss = T.linear_cross_entropy(x, w, target, weight=weight, reduction="none")
        changed[0] = 2
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.sum().backward()


def test_autocast():
    x, w, b, target = arguments(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        loss = T.linear_cross_entropy(x, w, target, linear_bias=b)
        scores = linear(x, w, b)
    assert scores.dtype == torch.bfloat16 and loss.dtype == torch.float32
    assert loss == T.cross_entropy(scores.float(), target, dim=-1)
    # Each loss by itself goes the same way.
    with torch.autocast("cpu", torch.bfloat16):
        each = T.linear_cross_entropy(x, w, target, linear_bias=b, reduction="none")
    slopes = [torch.autograd.grad(value, x, retain_graph=True)[0] for value in (loss, each.sum() / (target != -100).sum())]
    torch.testing.assert_close(*slopes, rtol=2**-7, atol=1e-6)
    (wide,) = torch.autograd.grad(T.linear_cross_entropy(x, w, target, linear_bias=b), x)
    assert (slopes[1] - wide).norm() > 1e-3 * wide.norm()
    assert {slope.dtype for slope in torch.autograd.grad(loss, (x, w, b))} == {torch.float32}


def test_scores_are_never_stored_whole(monkeypatch):
    sizes = []
    original = _linear.linear
    monkeypatch.setattr(_linear, "linear", lambda *inputs: sizes.append(len(inputs[0])) or original(*inputs))
    x, w = torch.randn(2000, 3, requires_grad=True), torch.randn(2**17, 3)
    T.linear_cross_entropy(x, w, torch.arange(2000)).backward()
    assert max(sizes) == _linear.FEWEST and sum(sizes) == 2000
    sizes.clear()
    T.linear_cross_entropy(x, w[:1000], torch.arange(2000) % 1000)
    assert sizes == [2000]


def test_edges(chunked):
    x, w, b, _ = arguments()
    nothing = torch.full((3, 4), -100)
    loss = T.linear_cross_entropy(x, w, nothing)
    assert loss.isnan() and not any(slope.any() for slope in torch.autograd.grad(loss, (x, w)))
    empty = T.linear_cross_entropy(x[:0], w, nothing[:0], reduction="none")
    assert empty.shape == (0, 4)
    assert T.linear_cross_entropy(x[:0], w, nothing[:0], reduction="sum") == 0
    # A class that is masked by its bias has no part in it.
    masked = b.detach().clone()
    masked[7] = -torch.inf
    target = torch.ones(3, 4, dtype=int)
    loss = T.linear_cross_entropy(x, w, target, linear_bias=masked)
    rest = [k for k in range(33) if k != 7]
    torch.testing.assert_close(loss, T.linear_cross_entropy(x, w[rest], target, linear_bias=masked[rest]), rtol=1e-14, atol=0)
    of_x, of_w = torch.autograd.grad(loss, (x, w))
    assert of_x.isfinite().all() and not of_w[7].any()


def test_complaints():
    x, w, b, target = arguments()
    call = lambda **changed: T.linear_cross_entropy(
        **(dict(input=x, linear_weight=w, target=target, linear_bias=b, weight=None) | changed)
    )
    for changed, kind, words in [
        (dict(linear_weight=w[:, :5]), ValueError, r"linear_weight has the shape \(33, 5\) and input \(3, 4, 6\)"),
        (dict(linear_weight=w[0]), ValueError, "it must have two dimensions"),
        (dict(linear_bias=b[1:]), ValueError, r"linear_bias has the shape \(32,\), it must be \(33,\)"),
        (dict(target=target[1:]), ValueError, r"target has the shape \(2, 4\), it must be \(3, 4\)"),
        (dict(target=torch.rand(3, 4)), ValueError, r"target has the shape \(3, 4\), it must be \(3, 4, 33\)"),
        (dict(target=target + 30), ValueError, r"target has .* at \(.*\), it must be from 0 to below 33"),
        (dict(target=torch.rand(3, 4, 33).requires_grad_()), TypeError, "target requires a derivative"),
        (dict(weight=torch.ones(33).requires_grad_()), TypeError, "weight requires a derivative"),
        (dict(weight=torch.ones(32)), ValueError, r"weight has the shape \(32,\), it must be \(33,\)"),
        (dict(softcap=0), ValueError, "softcap is 0, it must be finite and positive"),
        (dict(softcap="a"), TypeError, "softcap must be a number, not str"),
        (dict(temperature=-1), ValueError, "temperature is -1"),
        (dict(reduction="all"), ValueError, "reduction is 'all'"),
        (dict(input=x.tolist()), TypeError, "input must be a torch.Tensor, not list"),
    ]:
        with pytest.raises(kind, match=words):
            call(**changed)
    for reduction in ("mean", "none"):
        (slope,) = torch.autograd.grad(call(reduction=reduction).sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match="linear_cross_entropy has no second derivative"):
            slope.sum().backward()
    factor = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    for reduction in ("mean", "none"):
        # The gradient also depends on whatever the cotangent depends on.
        (slope,) = torch.autograd.grad((factor * call(reduction=reduction)).sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match="linear_cross_entropy has no second derivative"):
            torch.autograd.grad(slope.square().sum() + factor, factor)
        loss = lambda x: call(input=x, reduction=reduction)
        for transformed in (lambda x: torch.vmap(loss)(x[None]), torch.func.jacrev(loss), torch.func.jacfwd(loss)):
            with pytest.raises(RuntimeError, match="linear_cross_entropy has no rule for torch.func, vmap and forward mode"):
                transformed(x.detach())


def test_autocast_leaves_double_precision():
    x, w, b, target = arguments()
    with torch.autocast("cpu", torch.bfloat16):
        loss = T.linear_cross_entropy(x, w, target, linear_bias=b)
    assert loss.dtype == torch.float64 and loss == T.linear_cross_entropy(x, w, target, linear_bias=b)


def test_no_rows_of_probabilities():
    _, w, b, _ = arguments()
    x, target = torch.zeros(0, 6, dtype=torch.float64), torch.zeros(0, 33, dtype=torch.float64)
    for loss in (T.linear_cross_entropy(x, w, target, linear_bias=b), T.cross_entropy(linear(x, w, b), target)):
        assert loss.isnan() and not any(slope.any() for slope in torch.autograd.grad(loss, (w, b)))


@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_low_temperature_in_narrow_formats(reduction):
    x = torch.tensor([[1e-5, 0.0]], dtype=torch.float16, requires_grad=True)
    w = torch.tensor([[1e-4, 0.0], [0.0, 1e-4]], dtype=torch.float16)
    loss = T.linear_cross_entropy(x, w, torch.tensor([1]), temperature=1e-5, reduction=reduction).sum()
    (found,) = torch.autograd.grad(loss, x)
    wide = x.detach().double().requires_grad_()
    (expected,) = torch.autograd.grad(T.cross_entropy(wide @ w.double().T, torch.tensor([1]), temperature=1e-5), wide)
    torch.testing.assert_close(found.double(), expected, rtol=2e-3, atol=1e-6)


def test_meta_tensors():
    x, w = torch.empty(3, 4, device="meta"), torch.empty(5, 4, device="meta")
    loss = T.linear_cross_entropy(x, w, torch.zeros(3, dtype=int, device="meta"))
    assert loss.device.type == "meta" and loss.shape == ()
