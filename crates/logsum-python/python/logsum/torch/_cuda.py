"""The kernels for NVIDIA's GPUs, called on tensors there. They give the bits of the CPU, run on torch's current stream,
and are not waited for."""

import functools
import math
import warnings
from typing import NamedTuple

import torch

from .. import _core

FORMATS = {torch.float16: "float16", torch.bfloat16: "bfloat16", torch.float32: "float32", torch.float64: "float64"}

# Calls need memory beside that of their tensors: one workspace for each stream. A call in a captured graph has one of
# its own, unless the stream already has one when the graph is captured.
workspaces = {}
captured = []


def takes(x):
    return x.device.type == "cuda" and x.dtype in FORMATS and works(x.device.index)


@functools.cache
def works(device):
    """Whether the kernels run on a GPU. If not, a warning says so once, and torch's own operations are used."""
    if torch.version.cuda is None:
        return False
    problem = _core.cuda_problem(device)
    if problem:
        warnings.warn(f"logsum.torch uses torch's own operations on this GPU, so its results are not correctly rounded: {problem}", stacklevel=2)
    return problem is None


def workspace(device, stream):
    def new():
        return torch.zeros(_core.CUDA_WORKSPACE, dtype=torch.uint8, device=torch.device("cuda", device))

    if torch.cuda.is_current_stream_capturing() and (device, stream) not in workspaces:
        # It is part of the graph's own memory, and is set to 0 whenever the graph runs.
        captured.append(new())
        return captured[-1]
    if (device, stream) not in workspaces:
        workspaces[device, stream] = new()
    return workspaces[device, stream]


def place(x):
    device = x.device.index
    stream = torch.cuda.current_stream(x.device).cuda_stream
    return device, stream, workspace(device, stream).data_ptr()


def launch(kernels, x, *arguments):
    """Starts kernels on the GPU of a tensor, in torch's current stream there."""
    device, stream, memory = place(x)
    try:
        kernels((device, stream, memory), *arguments)
    except RuntimeError:
        # Kernels that were started before the error may have left the workspace other than 0.
        workspaces.pop((device, stream), None)
        raise


def as_rows(x, dim):
    """A matrix whose rows are contiguous, with the numbers along these dimensions, which are sorted. Copied only if the
    numbers of a row are not contiguous."""
    last = x.movedim(dim, list(range(-len(dim), 0))) if dim else x.unsqueeze(-1)
    length = math.prod(x.shape[d] for d in dim)
    rows = last.reshape(math.prod(last.shape[: last.ndim - max(len(dim), 1)]), length)
    return rows if length <= 1 or rows.stride(1) == 1 else rows.contiguous()


class Layout(NamedTuple):
    """Rows along some dimensions of a tensor: `beside` of them lie beside each other, as the columns of a matrix do, or
    1; `stride` numbers lie from one group of such rows to the next, and `step` from a number of a row to the next."""

    count: int
    length: int
    beside: int
    stride: int
    step: int

    def places(self, x):
        return x.data_ptr(), self.beside, self.stride * x.itemsize, self.step * x.itemsize

    def matrix(self, x):
        return FORMATS[x.dtype], self.count, self.length, self.places(x)


def layout_of(x, dim):
    """The layout of the rows along these dimensions, which are sorted; None if kernels need a copy of them."""
    last = x.movedim(dim, list(range(-len(dim), 0))) if dim else x.unsqueeze(-1)
    split = last.ndim - max(len(dim), 1)
    rows, numbers = (collapsed(last.shape[part], last.stride()[part]) for part in (slice(split), slice(split, None)))
    count, length = math.prod(last.shape[:split]), math.prod(last.shape[split:])
    if not count or not length:
        return Layout(count, length, 1, length, 1)
    if len(numbers) > 1:
        return None
    step = numbers[0][1] if numbers else 1
    if step == 1:
        return Layout(count, length, 1, rows[0][1] if rows else length, 1) if len(rows) <= 1 else None
    # Few columns leave the GPU idle: a copy of their rows is faster.
    is_worth_it = count >= 1024 or count * length <= 1 << 16
    if not 1 <= len(rows) <= 2 or rows[-1][1] != 1 or not is_worth_it:
        return None
    return Layout(count, length, rows[-1][0], rows[0][1] if len(rows) == 2 else 0, step)


def collapsed(shape, strides):
    """Sizes and strides of dimensions, without those of size 1, where those that lie in memory as one does are one."""
    merged = []
    for size, stride in zip(shape, strides):
        if size == 1:
            continue
        if merged and merged[-1][1] == size * stride:
            merged[-1] = merged[-1][0] * size, stride
        else:
            merged.append((size, stride))
    return merged


def arranged(x, dim):
    """The tensor, or a copy of it whose rows have a layout, and this."""
    layout = layout_of(x, dim)
    if layout is None:
        x = as_rows(x, dim)
        layout = layout_of(x, [-1])
    return x, layout


def fit(layout, other):
    """Whether kernels can read rows of the one layout and write results in the other."""
    return layout and other and (layout.beside, layout.step == 1) == (other.beside, other.step == 1)


def logsumexp(x, dim):
    dim = sorted(dim)
    rows, layout = arranged(x, dim)
    out = rows.new_empty(layout.count)
    launch(_core.cuda_logsumexp, x, layout.matrix(rows), out.data_ptr())
    return out.view([1 if d - x.ndim in dim else n for d, n in enumerate(x.shape)])


def shares(x, dim, is_log):
    """Softmax, or with `is_log` log-softmax, along these dimensions."""
    dim = sorted(dim)
    out = x.new_empty(x.shape)
    layout, of_out = layout_of(x, dim), layout_of(out, dim)
    if fit(layout, of_out):
        launch(_core.cuda_shares, x, layout.matrix(x), is_log, of_out.places(out), 0)
        return out
    del out
    rows = as_rows(x, dim)
    out = torch.empty_like(rows, memory_format=torch.contiguous_format)
    layout, of_out = layout_of(rows, [-1]), layout_of(out, [-1])
    launch(_core.cuda_shares, x, layout.matrix(rows), is_log, of_out.places(out), 0)
    if not dim:
        return out.view(x.shape)
    order = list(range(-len(dim), 0))
    return out.view(x.movedim(dim, order).shape).movedim(order, dim).contiguous()


def losses(x, target, ignored):
    """The cross-entropy of each row along the last dimension with its target, 0 where that is `ignored`; and what is
    kept of the row for its gradient."""
    (rows, layout), target = arranged_to_keep(x), per_row(x, target.to(torch.int64))
    out, kept = rows.new_empty(layout.count), new_kept(x)
    launch(_core.cuda_losses, x, layout.matrix(rows), (target.data_ptr(), ignored), out.data_ptr(), address_of(kept))
    return out.view(x.shape[:-1]), kept


def arranged_to_keep(x):
    """`arranged`, along the last dimension; with a copy of long rows that lie beside each other, of which nothing would
    be kept."""
    if x.shape[-1] >= _core.CUDA_KEPT_FROM:
        rows = as_rows(x, [-1])
        return rows, layout_of(rows, [-1])
    return arranged(x, [-1])


def new_kept(x):
    """Memory for what is kept of each row of numbers along the last dimension; none where rows are short."""
    words = _core.CUDA_KEPT // 8 if x.shape[-1] >= _core.CUDA_KEPT_FROM else 0
    return x.new_empty((*x.shape[:-1], words), dtype=torch.float64)


def address_of(kept):
    return kept.data_ptr() if kept is not None and kept.shape[-1] else 0


def loss_gradients(x, target, ignored, factors, kept):
    """The gradient of each row's loss, multiplied by its factor, with what `losses` kept, or with None. It lies in
    memory as `torch.empty_like` has it."""
    target, factors = per_row(x, target.to(torch.int64)), per_row(x, factors.to(x.dtype))
    out = torch.empty_like(x)
    (rows, layout), results, of_results = arranged_to_keep(x), out, layout_of(out, [-1])
    if not fit(layout, of_results):
        if layout.step != 1:
            rows = as_rows(x, [-1])
            layout = layout_of(rows, [-1])
        results = x.new_empty(layout.count, layout.length)
        of_results = layout_of(results, [-1])
    kept = None if kept is None else kept.contiguous()
    of_rows = (target.data_ptr(), ignored), factors.data_ptr(), address_of(kept)
    launch(_core.cuda_loss_gradients, x, layout.matrix(rows), *of_rows, of_results.places(results))
    return out if results is out else out.copy_(results.view(x.shape))


def per_row(x, numbers):
    """A number for each row along the last dimension, one after the other."""
    return numbers.expand(x.shape[:-1]).reshape(-1).contiguous()


def unproved():
    """The number of results that were not proved to be the nearest numbers."""
    # The count is a number of 32 bits at offset 8 of a workspace.
    return sum(int(memory[8:12].view(torch.int32)) for memory in [*workspaces.values(), *captured])
