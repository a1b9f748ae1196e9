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


def in_memory(dtype, count, length, address, stride):
    """Rows at an address as a tensor."""
    itemsize = dtype.itemsize
    if count * length == 0:
        return torch.empty(count, length, dtype=dtype)
    memory = (ctypes.c_uint8 * ((count - 1) * stride + length * itemsize)).from_address(address)
    flat = torch.frombuffer(memory, dtype=torch.uint8)
    return torch.as_strided(flat.view(dtype), (count, length), (stride // itemsize, 1))


@pytest.fixture
def kernels(monkeypatch):
    """The kernels' place is taken by the CPU's functions, on the same memory."""
    dtypes = {name: dtype for dtype, name in _cuda.FORMATS.items()}

    def logsumexp(place, matrix, out):
        name, count, length, address, stride = matrix
        x = in_memory(dtypes[name], count, length, address, stride)
        in_memory(x.dtype, count, 1, out, x.itemsize).copy_(L.logsumexp(x, 1, keepdim=True))

    def shares(place, matrix, is_log, out, values):
        name, count, length, address, stride = matrix
        x = in_memory(dtypes[name], count, length, address, stride)
        in_memory(x.dtype, count, length, *out).copy_(L.log_softmax(x, 1) if is_log else L.softmax(x, 1))

    def cross_entropy(place, matrix, targets):
        name, count, length, address, stride = matrix
        x = in_memory(dtypes[name], count, length, address, stride)
        target = in_memory(torch.int64, count, 1, targets[0], 8)[:, 0]
        return x, target, dict(ignore_index=targets[1], reduction="none")

    def losses(place, matrix, targets, out):
        x, target, options = cross_entropy(place, matrix, targets)
        in_memory(x.dtype, len(x), 1, out, x.itemsize)[:, 0].copy_(L.cross_entropy(x, target, **options))

    def loss_gradients(place, matrix, targets, factors, out):
        x, target, options = cross_entropy(place, matrix, targets)
        x = x.detach().requires_grad_()
        loss = L.cross_entropy(x, target, **options)
        loss.backward(in_memory(x.dtype, len(x), 1, factors, x.itemsize)[:, 0])
        in_memory(x.dtype, *x.shape, *out).copy_(x.grad)

    monkeypatch.setattr(_core, "cuda_losses", losses, raising=True)
    monkeypatch.setattr(_core, "cuda_loss_gradients", loss_gradients, raising=True)
    monkeypatch.setattr(_core, "cuda_logsumexp", logsumexp, raising=True)
    monkeypatch.setattr(_core, "cuda_shares", shares, raising=True)
    monkeypatch.setattr(_cuda, "place", lambda x: (0, 0, 0))


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
            loss = _losses.of_rows("target")(x, target, None, ignored, 0.0)
            return loss, _losses.each_gradient(x, target, scale, None, ignored, 0.0)

        exact, calls = both(), []
        with monkeypatch.context() as patch:
            patch.setattr(_losses, "on_cpu", lambda x: False)
            patch.setattr(_cuda, "takes", lambda x: True)
            # The replacements of the kernels call the CPU's functions.
            for name in ("cuda_losses", "cuda_loss_gradients"):
                kernel = getattr(_core, name)

                def on_the_cpu(*arguments, name=name, kernel=kernel):
                    calls.append(name)
                    with pytest.MonkeyPatch.context() as inner:
                        inner.setattr(_losses, "on_cpu", lambda x: True)
                        kernel(*arguments)

                patch.setattr(_core, name, on_the_cpu)
            found = both()
        assert calls == ["cuda_losses", "cuda_loss_gradients"]
        torch.testing.assert_close(found, exact, rtol=0, atol=0)


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
