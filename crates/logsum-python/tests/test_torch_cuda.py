"""`logsum.torch` on tensors of NVIDIA's GPUs, as far as it can be tested without one: the arguments of the kernels.
Their results are compared by `gpu/check` where there is a GPU, and by the tests of `logsum-gpu` anywhere."""

import ctypes
import subprocess
import sys

import numpy as np
import pytest
import torch

import logsum.torch as L
from logsum import _core
from logsum.torch import _cuda, _losses, _reductions

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def in_memory(dtype, count, length, address, beside, stride, step):
    """Rows at an address, in groups that lie beside each other, as a tensor of three dimensions: groups, rows of each,
    and numbers."""
    itemsize = dtype.itemsize
    groups = count // beside
    assert groups * beside == count
    if count * length == 0:
        return torch.empty(groups, beside, length, dtype=dtype)
    memory = (ctypes.c_uint8 * ((groups - 1) * stride + (length - 1) * step + beside * itemsize)).from_address(address)
    flat = torch.frombuffer(memory, dtype=torch.uint8)
    return torch.as_strided(flat.view(dtype), (groups, beside, length), (stride // itemsize, 1, step // itemsize))


def in_rows(dtype, count, length, address):
    """Numbers that follow each other, as rows."""
    itemsize = dtype.itemsize
    return in_memory(dtype, count, length, address, 1, length * itemsize, itemsize)[:, 0]


@pytest.fixture
def kernels(monkeypatch):
    """The kernels' place is taken by the CPU's functions, on the same memory."""
    dtypes = {name: dtype for dtype, name in _cuda.FORMATS.items()}

    def logsumexp(place, matrix, out):
        x = rows(matrix)
        in_rows(x.dtype, len(x), 1, out).copy_(L.logsumexp(x, 1, keepdim=True))
        calls.append(("logsumexp", is_of_columns(matrix)))

    def rows(matrix):
        name, count, length, places = matrix
        return in_memory(dtypes[name], count, length, *places).reshape(count, length)

    def is_of_columns(matrix):
        return matrix[3][3] != dtypes[matrix[0]].itemsize

    def shares(place, matrix, is_log, out, values):
        x = rows(matrix)
        results = in_memory(x.dtype, *x.shape, *out)
        results.copy_((L.log_softmax(x, 1) if is_log else L.softmax(x, 1)).view(results.shape))
        calls.append(("shares", is_of_columns(matrix)))

    def sums(x):
        """What stands in for what the kernels keep of each row."""
        return x.double().sum(1, keepdim=True).expand(-1, _core.CUDA_KEPT // 8)

    def classes(matrix, targets):
        x = rows(matrix)
        return x, in_rows(torch.int64, len(x), 1, targets[0])[:, 0], None, targets[1], 0.0

    def losses(place, matrix, targets, out, kept):
        x, *options = classes(matrix, targets)
        in_rows(x.dtype, len(x), 1, out)[:, 0].copy_(_losses.by_core(x, *options, False)[0])
        if kept:
            in_rows(torch.float64, *sums(x).shape, kept).copy_(sums(x))
        calls.append(("losses", is_of_columns(matrix), kept != 0))

    def loss_gradients(place, matrix, targets, factors, kept, out):
        x, *options = classes(matrix, targets)
        slope = _losses.by_core(x, *options, True)[1] * in_rows(x.dtype, len(x), 1, factors)
        results = in_memory(x.dtype, *x.shape, *out)
        results.copy_(slope.view(results.shape))
        if kept:
            assert torch.equal(in_rows(torch.float64, *sums(x).shape, kept), sums(x))
        calls.append(("loss_gradients", is_of_columns(matrix), kept != 0))

    calls = []
    monkeypatch.setattr(_core, "cuda_losses", losses, raising=True)
    monkeypatch.setattr(_core, "cuda_loss_gradients", loss_gradients, raising=True)
    monkeypatch.setattr(_core, "cuda_logsumexp", logsumexp, raising=True)
    monkeypatch.setattr(_core, "cuda_shares", shares, raising=True)
    monkeypatch.setattr(_cuda, "place", lambda x: (0, 0, 0))
    return calls


def as_if_on_a_gpu(monkeypatch):
    monkeypatch.setattr(_losses, "on_cpu", lambda x: False)
    monkeypatch.setattr(_cuda, "takes", lambda x: True)


def tensors(dtype):
    x = torch.from_numpy(np.random.default_rng(3).normal(0, 4, (4, 5, 6, 7))).to(dtype)
    yield x
    yield x.mT
    yield x.permute(3, 1, 0, 2)
    yield x[1:, :, ::2, 3:]
    yield x[:, :, :, 2:5]
    yield x[:1].expand(3, 5, 6, 7)
    yield x[:, :, :, :1]
    yield x[:0]
    yield x[:, :, :0]
    yield x[:, :, :, :0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_kernels_are_given_the_rows(kernels, dtype):
    for x in tensors(dtype):
        for dim in [[-1], [-2], [-4], [-1, -2], [-4, -1], [-3, -2], [-4, -3, -2, -1], []]:
            value = _cuda.logsumexp(x, dim)
            assert torch.equal(value, _reductions.values(x, dim)), (x.shape, dim)
            for is_log, function in [(False, _reductions.shares), (True, _reductions.log_shares)]:
                result = _cuda.shares(x, dim, is_log)
                assert torch.equal(result, function(x, dim)) and result.is_contiguous(), (x.shape, dim)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ignored", [-100, 1])
@pytest.mark.parametrize("integers", [torch.int64, torch.int8])
def test_kernels_are_given_the_targets(kernels, monkeypatch, dtype, ignored, integers):
    for x in tensors(dtype):
        if x.numel() == 0:
            continue
        target = (torch.arange(x[..., 0].numel()).reshape(x.shape[:-1]) % x.shape[-1]).to(integers)
        if ignored == -100:
            target[0] = -100
        scale = torch.linspace(-1, 2, target.numel(), dtype=dtype).reshape(target.shape)

        def both():
            loss, kept = _losses.of_rows("target")(x, target, None, ignored, 0.0)
            return loss, _losses.each_gradient(x, target, scale, kept, None, ignored, 0.0)

        exact = both()
        kernels.clear()
        with monkeypatch.context() as patch:
            as_if_on_a_gpu(patch)
            found = both()
        assert [(name, kept) for name, _, kept in kernels] == [("losses", False), ("loss_gradients", False)]
        torch.testing.assert_close(found, exact, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_beside_each_other_are_not_copied(kernels, monkeypatch, dtype):
    x = torch.from_numpy(np.random.default_rng(5).normal(0, 4, (3, 7, 40, 11))).to(dtype)
    for dim in [[1], [-3], [0], [1, 2], [0, 1]]:
        kernels.clear()
        found = _cuda.logsumexp(x, [d - 4 if d >= 0 else d for d in dim])
        assert torch.equal(found, _reductions.values(x, dim))
        found = _cuda.shares(x, [d - 4 if d >= 0 else d for d in dim], False)
        assert torch.equal(found, _reductions.shares(x, dim)) and found.is_contiguous()
        assert kernels == [("logsumexp", True), ("shares", True)], dim
    # Of the channels of images, in both orders of memory, and of a part of them.
    target = torch.randint(7, (3, 40, 11), generator=torch.Generator().manual_seed(6))
    for images, is_of_columns in [(x, True), (x.contiguous(memory_format=torch.channels_last), False), (x[:, :, 3:20], True)]:
        y = images.detach().requires_grad_()
        classes = target[:, 3:20] if images.shape[2] == 17 else target
        exact = torch.autograd.grad(L.cross_entropy(y, classes, reduction="sum"), y)[0]
        kernels.clear()
        with monkeypatch.context() as patch:
            as_if_on_a_gpu(patch)
            assert torch.equal(torch.autograd.grad(L.cross_entropy(y, classes, reduction="sum"), y)[0], exact)
        assert kernels == [("losses", is_of_columns, False), ("loss_gradients", is_of_columns, False)]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("way", ["eager", "strided", "compiled", "vmap", "by func", "second"])
def test_gradients_of_long_rows_are_given_what_the_losses_kept(kernels, monkeypatch, way):
    count, classes = 6, _core.CUDA_KEPT_FROM
    scores = torch.from_numpy(np.random.default_rng(4).normal(0, 4, (count, classes)))
    x = scores.T.contiguous().T if way == "strided" else scores
    target = torch.tensor([0, 5, 7, -100, 4000, classes - 1])

    def loss(x, target):
        return L.cross_entropy(x, target, reduction="sum")

    def gradient():
        y = x.clone().requires_grad_()
        match way:
            case "compiled":
                return torch.autograd.grad(torch.compile(loss, fullgraph=True, backend="aot_eager")(y, target), y)[0]
            case "vmap":
                shape = 3, 2, classes
                slopes = torch.vmap(torch.func.grad(loss), in_dims=(1, 1), out_dims=1)(x.view(shape), target.view(3, 2))
                return slopes.reshape(x.shape)
            case "by func":
                return torch.func.grad(loss)(x, target)
            case "second":
                slope = torch.autograd.grad(loss(y, target), y, create_graph=True)[0]
                return torch.autograd.grad(slope.square().sum(), y)[0]
            case _:
                return torch.autograd.grad(loss(y, target), y)[0]

    exact = gradient()
    as_if_on_a_gpu(monkeypatch)
    kernels.clear()
    assert torch.equal(gradient(), exact)
    # Long rows that lie beside each other are copied, so that something is kept of them.
    assert set(kernels) == {("losses", False, True), ("loss_gradients", False, True)}
    kernels.clear()
    tangent = torch.ones_like(x)
    assert torch.func.jvp(lambda x: loss(x, target), (x,), (tangent,))[1].abs() < 1e-9
    assert kernels == [("losses", False, True), ("loss_gradients", False, False)]


def test_rows_that_follow_each_other_are_not_copied(kernels):
    x = torch.zeros(4, 5, 6)
    for y, dim in [(x, [-1]), (x, [-2, -1]), (x[:, :, 2:], [-1]), (x[:, ::2][:, :1], [-1])]:
        assert _cuda.as_rows(y, dim).data_ptr() == y.data_ptr()


def test_a_machine_without_a_gpu_is_told():
    """In a process of its own, as the driver may be there."""
    problem = subprocess.run(
        [sys.executable, "-c", "from logsum import _core; print(_core.cuda_problem(0))"], capture_output=True, text=True, check=True
    )
    line = problem.stdout.strip()
    assert line == "None" or "driver" in line or "CUDA" in line
    assert torch.cuda.is_available() or line != "None"
    assert not _cuda.takes(torch.zeros(3))
    assert L.unproved() >= 0


def test_a_workspace_that_a_failed_call_used_is_not_used_again(monkeypatch):
    def fails(*_):
        raise RuntimeError("the driver says no")

    monkeypatch.setattr(_cuda, "place", lambda x: (0, 7, 0))
    monkeypatch.setitem(_cuda.workspaces, (0, 7), torch.ones(16, dtype=torch.uint8))
    with pytest.raises(RuntimeError, match="says no"):
        _cuda.launch(fails, torch.zeros(1))
    assert (0, 7) not in _cuda.workspaces
