"""Divergences, and attention in parts: values against mpmath and whole attention, derivatives, masks and bases."""

import math

import mpmath
import pytest

torch = pytest.importorskip("torch")

import logsum.torch as T
from logsum.torch import _divergence

INF = torch.inf


@pytest.fixture(params=["on the CPU", "elsewhere"])
def place(request, monkeypatch):
    """The code for the CPU, and that for other devices: torch's operations."""
    monkeypatch.setattr(_divergence, "on_cpu", lambda x: request.param == "on the CPU")


in_each_place = pytest.mark.usefixtures("place")


def exact_kl(x, y):
    with mpmath.workdps(60):
        e = [[mpmath.e ** mpmath.mpf(z) if z > -INF else mpmath.mpf(0) for z in row] for row in (x.tolist(), y.tolist())]
        (p, q) = ([z / sum(row) for z in row] for row in e)
        return float(sum(a * mpmath.log(a / b) for a, b in zip(p, q) if a))


@in_each_place
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("distance", [3.0, 1e-1, 1e-4, 1e-7])
def test_divergence_is_right_where_both_are_close(dtype, distance):
    torch.manual_seed(1)
    x = torch.randn(5, 40).mul(3).to(dtype)
    y = (x + distance * torch.randn(5, 40)).to(dtype)
    x[:, 3] = y[:, 3] = -INF
    found = T.softmax_kl(x, y, -1)
    exact = torch.tensor([exact_kl(*rows) for rows in zip(x.double(), y.double())], dtype=torch.float64)
    assert found.dtype == dtype
    bound = 2 * torch.finfo(torch.float32).eps if dtype == torch.float32 else 1e-13
    assert ((found.double() - exact).abs() <= bound * exact).all(), (found.double() - exact) / exact


@in_each_place
def test_divergence_where_a_logarithm_is_out_of_range():
    """A mask by the least number, below scores of 1e292: its share is 0, but it is there; only −∞ is missed."""
    least = torch.finfo(torch.float64).min
    slope = 0.19661193324148185
    for mask_of_x in (least, -INF):
        for mask_of_y in (least, -INF) if mask_of_x == -INF else (least,):
            x = torch.tensor([0.0, 1.0, mask_of_x], dtype=torch.float64, requires_grad=True)
            y = torch.tensor([1e292, 1e292, mask_of_y], dtype=torch.float64, requires_grad=True)
            found = T.softmax_kl(x, y, 0)
            of_x, of_y = torch.autograd.grad(found, (x, y))
            assert abs(found.item() - 0.110944071671727) < 1e-15
            assert torch.allclose(of_x, torch.tensor([-slope, slope, 0.0], dtype=torch.float64), rtol=1e-14, atol=0)
            assert torch.allclose(of_y, torch.tensor([0.23105857863000487, -0.23105857863000487, 0.0], dtype=torch.float64), rtol=1e-14, atol=0)
    x, y = torch.tensor([0.0, -1.0], dtype=torch.float64), torch.tensor([1e292, least], dtype=torch.float64)
    assert T.softmax_kl(x, y, 0).item() == pytest.approx(4.834741468769534e307, rel=1e-14)


def exact_scores(x, temperature, softcap):
    cap = (lambda z: z) if softcap is None else lambda z: softcap * mpmath.tanh(z / softcap)
    return [None if z == -INF else cap(mpmath.mpf(z)) / mpmath.mpf(temperature) for z in x.tolist()]


def exact_shares(scores):
    e = [0 if z is None else mpmath.e**z for z in scores]
    return [z / sum(e) for z in e]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
@pytest.mark.parametrize("temperature, softcap", [(0.25, None), (3.0, None), (1.0, 5.0), (0.5, 2.5)])
def test_temperature_and_softcap(dtype, temperature, softcap):
    """Of masked scores, too: −∞ stays −∞ under a soft cap, and has neither a share nor a slope."""
    torch.manual_seed(1)
    x, y = (torch.randn(4, 9).mul(8).to(dtype) for _ in range(2))
    x[:, 3] = y[:, 3] = -INF
    options = dict(temperature=temperature, softcap=softcap)
    entropies, divergences = T.softmax_entropy(x, -1, **options), T.softmax_kl(x, y, -1, **options)
    assert entropies.dtype == divergences.dtype == dtype
    for row in range(4):
        with mpmath.workdps(50):
            p, q = (exact_shares(exact_scores(z[row], temperature, softcap)) for z in (x, y))
            entropy = float(-sum(a * mpmath.log(a) for a in p if a))
            divergence = float(sum(a * mpmath.log(a / b) for a, b in zip(p, q) if a))
        eps = torch.finfo(dtype).eps
        # Half a unit of the last place where the result is subnormal.
        within = dict(rel=1e-12 if dtype == torch.float64 else eps, abs=torch.finfo(dtype).tiny * eps / 2)
        assert entropies[row].item() == pytest.approx(entropy, **within)
        assert divergences[row].item() == pytest.approx(divergence, **within)
    x, y = x.double().requires_grad_(), y.double().requires_grad_()
    present = [i for i in range(9) if i != 3]
    for function, inputs in ((T.softmax_entropy, (x,)), (T.softmax_kl, (x, y))):
        slopes = torch.autograd.grad(function(*inputs, -1, **options).sum(), inputs)
        alone = [z.detach()[:, present].requires_grad_() for z in inputs]
        assert all((slope[:, 3] == 0).all() for slope in slopes)
        of_alone = torch.autograd.grad(function(*alone, -1, **options).sum(), alone)
        for slope, other in zip(slopes, of_alone):
            assert torch.allclose(slope[:, present], other, rtol=1e-12, atol=1e-15)
        assert torch.autograd.gradcheck(lambda *z: function(*z, -1, **options), alone)
        assert torch.autograd.gradgradcheck(lambda *z: function(*z, -1, **options), alone)


def test_temperature_of_rows_without_mass_and_of_extremes():
    nothing = torch.full((2, 3), -INF, requires_grad=True)
    entropy = T.softmax_entropy(nothing, -1, temperature=0.5, softcap=30.0)
    assert torch.equal(entropy, T.softmax_entropy(nothing, -1))
    assert torch.equal(torch.autograd.grad(entropy.sum(), nothing)[0], torch.zeros(2, 3))
    # No step overflows in float32, float16 or float64.
    for dtype, great in ((torch.float16, 6e4), (torch.float32, 3e38), (torch.float64, 1e308)):
        x = torch.tensor([great, great, -great], dtype=dtype)
        assert T.softmax_entropy(x, temperature=1e-3).item() == pytest.approx(math.log(2), rel=1e-3)
        assert T.softmax_kl(x, x, temperature=1e-3).item() == 0
    x = torch.tensor([INF, 1.0, INF], dtype=torch.float64)
    assert T.softmax_entropy(x, temperature=2.0).item() == math.log(2)
    for function in (T.softmax_entropy, lambda x, **options: T.softmax_kl(x, x, **options)):
        with pytest.raises(ValueError, match="^temperature is 0, it must be finite and positive$"):
            function(x, temperature=0)
        with pytest.raises(ValueError, match="^softcap is -1.0, it must be finite and positive$"):
            function(x, softcap=-1.0)
        with pytest.raises(TypeError, match="^temperature must be a number, not a Tensor: there is no derivative with respect to it$"):
            function(x, temperature=torch.tensor(1.0))


@in_each_place
def test_divergence_far_from_0():
    """Where logarithms of sums have lost the digits of the difference."""
    torch.manual_seed(1)
    for shift, spread in ((0, 1e-12), (1000, 1e-8), (1e6, 1e-6)):
        x = torch.randn(6, dtype=torch.float64) * 3 + shift
        y = x + spread * torch.randn(6, dtype=torch.float64)
        exact = exact_kl(x, y)
        assert abs(T.softmax_kl(x, y).item() - exact) <= 1e-12 * exact


@in_each_place
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_gradients_of_close_divergences(dtype):
    torch.manual_seed(2)
    x = torch.randn(20, 8).to(dtype)
    y = (x.float() + 0.05 * torch.randn(20, 8)).to(dtype)
    inputs = [z.clone().requires_grad_() for z in (x, y)]
    wide = [z.double().requires_grad_() for z in (x, y)]
    found = torch.autograd.grad(T.softmax_kl(*inputs, -1).sum(), inputs)
    p, q = (z.softmax(-1) for z in wide)
    exact = torch.autograd.grad((p * (p.log() - q.log())).sum(), wide)
    for slope, right in zip(found, exact):
        assert (slope.double() - right).norm() <= torch.finfo(dtype).eps * right.norm()


@in_each_place
def test_divergence_at_the_edges():
    x = torch.tensor([[0.0, 1, -INF], [0, 1, 2], [-INF] * 3, [0, 0, 0], [INF, 1, INF], [torch.nan, 1, 2], [5, 5, 5]])
    y = torch.tensor([[0.0, 1, -INF], [0, 1, -INF], [-INF] * 3, [-INF] * 3, [INF, 1, INF], [0, 1, 2], [7, 7, 7]])
    x.requires_grad_(), y.requires_grad_()
    found = T.softmax_kl(x, y, -1)
    assert found[:5].tolist() == [0, INF, 0, INF, 0] and found[5].isnan() and found[6] < 1e-29
    found[[0, 1, 2, 3, 6]].sum().backward()
    for slope in (x.grad, y.grad):
        assert not slope[[1, 2, 3]].any() and slope[0].abs().max() < 1e-6
    assert T.softmax_kl(torch.tensor(3.0), torch.tensor(2.0)) == 0
    assert T.softmax_kl(torch.zeros(2, 3), torch.zeros(3), -1, keepdim=True).shape == (2, 1)
    assert T.softmax_kl(torch.zeros(2, 0), torch.zeros(2, 0), -1).tolist() == [0, 0]
    # Probabilities that underflow in float64 are not 0; a row without mass has a gradient of 0.
    assert T.softmax_kl(torch.tensor([0.0, -800.0]), torch.tensor([0.0, -INF])) == INF
    other = torch.tensor([0.0, 1.0], requires_grad=True)
    value = T.softmax_kl(torch.full((2,), -INF), other)
    assert value == 0 and torch.autograd.grad(value, other)[0].tolist() == [0, 0]
    masked = T.softmax_kl(torch.tensor([0.0, 1.0, -INF]), torch.tensor([1.0, 1.0, 0.0]))
    assert masked == pytest.approx(exact_kl(torch.tensor([0.0, 1.0, -INF]), torch.tensor([1.0, 1.0, 0.0])), rel=1e-6)


@in_each_place
def test_derivatives_of_divergence():
    torch.manual_seed(2)
    x, y = (torch.randn(3, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    call = lambda x, y: T.softmax_kl(x, y, -1)
    assert torch.autograd.gradcheck(call, (x, y), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(call, (x, y))
    slopes = torch.autograd.grad(T.softmax_kl(x, y, -1).sum(), (x, y))
    reference = (x.softmax(-1) * (x.log_softmax(-1) - y.log_softmax(-1))).sum()
    torch.testing.assert_close(slopes, torch.autograd.grad(reference, (x, y)))
    mask = torch.tensor([0, 0, -INF, 0, 0])
    masked = torch.autograd.grad(T.softmax_kl(x + mask, y + mask, -1).sum(), (x, y))
    kept = [0, 1, 3, 4]
    alone = torch.autograd.grad(T.softmax_kl(x[:, kept], y[:, kept], -1).sum(), (x, y))
    torch.testing.assert_close(masked, alone)
    torch.testing.assert_close(torch.vmap(lambda x: T.softmax_kl(x, y[0]))(x), T.softmax_kl(x, y[0], -1))


def attention(query, keys, values, base):
    """Of one query, and the log-sum-exp of its scores in the base."""
    scores = query @ keys.mT
    unit = 1 if base == "e" else math.log(2)
    return torch.softmax(scores, -1) @ values, T.logsumexp(scores, -1) / unit


@pytest.mark.parametrize("base", ["e", "2"])
def test_parts_are_the_whole(base):
    torch.manual_seed(3)
    query, keys, values = (torch.randn(n, 8, dtype=torch.float64) * 2 for n in (4, 30, 30))
    ends = [0, 7, 8, 8, 20, 30]
    parts = [attention(query, keys[a:b], values[a:b], base) for a, b in zip(ends, ends[1:]) if a < b]
    # A part without keys, whose output nobody wrote.
    parts.append((torch.full((4, 8), torch.nan, dtype=torch.float64), torch.full((4,), -INF, dtype=torch.float64)))
    output, logs = T.merge_attention(*zip(*parts), base=base)
    whole, total = attention(query, keys, values, base)
    torch.testing.assert_close(output, whole, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(logs, total, rtol=1e-15, atol=1e-15)
    again = T.merge_attention(*(torch.stack(one)[[3, 0, 4, 2, 1]] for one in zip(*parts)), base=base)[1]
    assert torch.equal(again, logs)
    for dtype in (torch.bfloat16, torch.float32):
        narrow = T.merge_attention([o.to(dtype) for o, _ in parts], [s.float() for _, s in parts], base=base)
        assert narrow[0].dtype == dtype and narrow[1].dtype == torch.float32
        torch.testing.assert_close(narrow[1].double(), total, rtol=1e-6, atol=1e-6)


def test_no_part_has_keys():
    output, logs = T.merge_attention(torch.full((2, 3, 4), torch.nan), torch.full((2, 3), -INF), base="e")
    assert not output.any() and (logs == -INF).all()
    alone = torch.randn(1, 3, 4), torch.randn(1, 3)
    for base in ("e", "2"):
        output, logs = T.merge_attention(*alone, base=base)
        assert torch.equal(output, alone[0][0]) and torch.equal(logs, alone[1][0])


def test_derivatives_of_merged_attention():
    torch.manual_seed(4)
    outputs = torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True)
    logs = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    for base in ("e", "2"):
        call = lambda outputs, logs: T.merge_attention(outputs, logs, base=base)
        assert torch.autograd.gradcheck(call, (outputs, logs))
        assert torch.autograd.gradgradcheck(call, (outputs, logs))
    masked = logs.detach().clone()
    masked[1, 0] = -INF
    masked.requires_grad_()
    garbage = outputs.detach().clone()
    garbage[1, 0] = torch.tensor([torch.nan, INF, 1, -INF])
    garbage.requires_grad_()
    slopes = []
    for values in (outputs, garbage):
        output, total = T.merge_attention(values, masked, base="2")
        slopes.append(torch.autograd.grad(output.sum() + total.sum(), (values, masked)))
    assert all(torch.equal(*pair) for pair in zip(*slopes))
    output, total = T.merge_attention(outputs, masked, base="2")
    slopes = torch.autograd.grad(output.sum() + total.sum(), (outputs, masked))
    assert all(slope.isfinite().all() for slope in slopes) and not slopes[0][1, 0].any() and slopes[1][1, 0] == 0


def test_bases_cannot_be_mixed_up():
    outputs, logs = torch.zeros(2, 3, 4), torch.zeros(2, 3)
    with pytest.raises(TypeError, match="base"):
        T.merge_attention(outputs, logs)
    for base in (2, "10", None, math.e):
        with pytest.raises(ValueError, match=r"base is .*, it must be 'e' or '2'"):
            T.merge_attention(outputs, logs, base=base)
    # Of two parts with one key each, whose scores are 0: log 2, and 1 bit.
    assert T.merge_attention(outputs, logs, base="e")[1][0] == torch.tensor(math.log(2))
    assert T.merge_attention(outputs, logs, base="2")[1][0] == 1
    with pytest.raises(ValueError, match=r"outputs has the shape \(2, 3, 4\) and logsumexps \(2, 4\)"):
        T.merge_attention(outputs, torch.zeros(2, 4), base="e")
    with pytest.raises(ValueError, match="it must have at least one, and all of one shape"):
        T.merge_attention([], [], base="e")


@in_each_place
def test_divergence_of_what_is_shifted():
    """What both have in common is taken off; numbers without mass do not count."""
    for shift in (0.4, 5, 100, 1e6):
        for distance in (1e-1, 1e-5, 1e-8):
            torch.manual_seed(3)
            x = torch.randn(20, dtype=torch.float64) * 3
            y = x + shift + distance * torch.randn(20, dtype=torch.float64)
            x[3], y[3] = -40, shift - 39
            exact = exact_kl(x, y)
            assert abs(T.softmax_kl(x, y).item() - exact) <= 1e-15 * exact


@in_each_place
@pytest.mark.parametrize("gap", [700, 712, 740, 744, 746, 800, 1e5])
def test_divergence_where_shares_are_subnormal(gap):
    x, y = torch.tensor([-gap, 0.0], dtype=torch.float64), torch.tensor([0.0, -gap], dtype=torch.float64)
    for other, exact, slope in ((torch.zeros_like(x), math.log(2), 0.5), (y, gap, 1.0)):
        a, b = x.clone().requires_grad_(), other.clone().requires_grad_()
        value = T.softmax_kl(a, b)
        assert abs(value.item() - exact) <= 1e-15 * exact
        (of_b,) = torch.autograd.grad(value, b, create_graph=True)
        torch.testing.assert_close(of_b.detach(), torch.tensor([slope, -slope], dtype=torch.float64), rtol=1e-14, atol=1e-300)
        second = [torch.autograd.grad(of_b[1], z, retain_graph=True)[0] for z in (a, b)]
        assert all(torch.isfinite(z).all() for z in second)
    assert T.softmax_kl(x.float(), torch.zeros(2)).item() == pytest.approx(math.log(2), rel=1e-7)


@pytest.mark.parametrize("base", ["e", "2"])
def test_merging_in_batches(base):
    torch.manual_seed(5)
    outputs, logs = torch.randn(3, 4, 2, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    merged = lambda o, l: T.merge_attention(o, l, base=base)
    for found, each in zip(torch.vmap(merged)(outputs, logs), zip(*map(merged, outputs, logs))):
        torch.testing.assert_close(found, torch.stack(each), rtol=1e-15, atol=1e-15)
    value = lambda l: merged(outputs[0], l)[0]
    expected = torch.autograd.functional.jacobian(value, logs[0])
    for transform in (torch.func.jacrev, torch.func.jacfwd):
        torch.testing.assert_close(transform(value)(logs[0]), expected, rtol=1e-14, atol=1e-15)


LOWEST = torch.finfo(torch.float32).min


@in_each_place
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    "x, y",
    [
        # Scores that some programs mask by large finite numbers.
        ([0.3, 1.0, -150.0], [0.1, 0.2, LOWEST]),
        ([0.3, 1.0, 0.2], [0.1, 0.2, LOWEST]),
        ([0.3, 1.0, 0.2], [0.1, LOWEST, LOWEST]),
        ([0.3, 1.0, LOWEST], [0.1, 0.2, LOWEST]),
        ([-0.25, -1.5], [1e16, -1e16]),
        ([-0.25, -1.5, 0.5], [1e15, -1e15, 0.25]),
        # p and q have almost no mass in common.
        ([0.0, -719.0], [0.0, 720.0]),
        ([0.0, -710.0], [0.0, 715.0]),
        ([3519.0, 851.0, 2857.0], [435.0, 307.0, 142.0]),
    ],
)
def test_divergence_of_what_lies_far_apart(x, y, dtype):
    x, y = (torch.tensor(z, dtype=dtype, requires_grad=True) for z in (x, y))
    value = T.softmax_kl(x, y)
    with mpmath.workdps(1600):
        e = [[mpmath.e ** mpmath.mpf(z) for z in row.tolist()] for row in (x, y)]
        p, q = ([z / sum(row) for z in row] for row in e)
        logs = [mpmath.log(a / b) for a, b in zip(p, q)]
        exact = sum(a * d for a, d in zip(p, logs))
        slopes = [[a * (d - exact) for a, d in zip(p, logs)], [b - a for a, b in zip(p, q)]]
        digits = 4 * torch.finfo(dtype).eps
        least = torch.finfo(dtype).tiny
        assert abs(value.item() - exact) <= digits * exact + least
        # d − Σ p d may cancel.
        scales = sum(a * (abs(d) + exact) for a, d in zip(p, logs)), sum(map(abs, slopes[1]))
        for found, right, scale in zip(torch.autograd.grad(value, (x, y)), slopes, scales):
            assert all(abs(a - b) <= 4 * digits * scale + least for a, b in zip(found.tolist(), right)), (found, right)


@in_each_place
@pytest.mark.parametrize(
    "x, y, exact, of_y",
    [
        ([INF, 0], [0, 0], math.log(2), [-0.5, 0.5]),
        ([-INF, 0], [INF, 0], INF, [0, 0]),
        ([INF, 0], [INF, 0], 0, [0, 0]),
        ([INF, INF], [0, 0], 0, [0, 0]),
        ([-INF, -INF], [0, 1], 0, [0, 0]),
        ([0, 1], [-INF, -INF], INF, [0, 0]),
        ([-0.12130740868121902], [999.8786925913188], 0, [0]),
    ],
)
def test_divergence_of_infinite_numbers(x, y, exact, of_y):
    x, y = (torch.tensor(z, dtype=torch.float64, requires_grad=True) for z in (x, y))
    value = T.softmax_kl(x, y)
    assert value.item() == pytest.approx(exact, rel=1e-15, abs=0)
    assert torch.autograd.grad(value, y)[0].tolist() == of_y
