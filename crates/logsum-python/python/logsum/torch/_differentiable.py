"""Operators of torch.library with derivatives of any order, backward and forward, under vmap, torch.func and torch.compile."""

import importlib.util
import sys

import numpy as np
import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor

from .._libraries import Torch


def by_numpy(function, *tensors):
    """`function` of the tensors' memory as NumPy arrays, in the format of the first."""
    library = Torch(tensors[0])
    first, *others = (library.array(x) for x in tensors)
    return library.result(np.asarray(function(first, *others), first.dtype))


def on_cpu(x):
    return x.device.type == "cpu"


def is_number(x):
    return isinstance(x, Tensor) and x.is_floating_point()


def tangent_of(x):
    """That of a dual number. There is one level of them, which torch.compile sets without Python's knowledge."""
    return torch._VF._unpack_dual(x, level=0)[1]


def without_tangent(x):
    return torch._VF._unpack_dual(x, level=0)[0]


def filled(primals, tangents):
    """Tangents, 0 where there is none."""
    return [torch.zeros_like(x) if t is None and is_number(x) else t for x, t in zip(primals, tangents)]


def levels():
    """The transforms of torch.func that are under way."""
    return torch._C._functorch.get_interpreter_stack() or []


def like_first(x, *_):
    """What operators give whose results are like their first argument."""
    return x.new_empty(x.shape)


# torch.compile must not look into an operator: which transforms are under way is found when the operator is recorded.
# It can be told so only once the compiler is imported. That takes more than a second, and is left to whoever compiles.
COMPILER = "torch._dynamo"
to_tell = []


def when_compiling(tell):
    if COMPILER in sys.modules:
        tell()
        return
    if not to_tell:
        sys.meta_path.insert(0, BeforeCompiler())
    to_tell.append(tell)


class BeforeCompiler:
    """Sees the import of the compiler."""

    def find_spec(self, name, path=None, target=None):
        if name != COMPILER or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module

        def run_and_tell(module):
            run(module)
            while to_tell:
                to_tell.pop()()

        spec.loader.exec_module = run_and_tell
        return spec


class Differentiable:
    """An operator with its derivatives backward and forward, and its rule for vmap.

    `function` takes some tensors, whose dimensions are counted from the end, then what is no such tensor. `backward(inputs, output,
    cotangent, needed)` gives a cotangent for each of those tensors, or None, which is enough where it is not needed; of inputs and
    output it has what `saves` names. `slope(inputs,
    tangents)` is what changes of the arguments change, with a tangent for each. Both are written with differentiable functions, so
    that there are derivatives of any order.

    The transforms of torch.func take all this from an autograd.Function, all else from the operator itself; forward mode is no part
    of an operator, so that dual numbers are taken apart before it.
    """

    def __init__(self, name, function, tensors, backward, slope, shaped=like_first, saves=("inputs",)):
        self.operator = operator = torch.library.custom_op(f"logsum::{name}", function, mutates_args=())
        operator.register_fake(shaped)

        def setup(ctx, inputs, output):
            ctx.are_tensors = [isinstance(x, Tensor) for x in inputs]
            ctx.others = [x for x in inputs if not isinstance(x, Tensor)]
            saved = [x for x in inputs if isinstance(x, Tensor)] if "inputs" in saves else []
            ctx.save_for_backward(*saved, *([output] if "output" in saves else []))

        def restored(ctx, saved, has_inputs):
            saved, others = iter(saved), iter(ctx.others)
            inputs = [(next(saved) if has_inputs else None) if is_tensor else next(others) for is_tensor in ctx.are_tensors]
            return inputs, next(saved, None)

        def backwards(ctx, cotangent):
            inputs, output = restored(ctx, ctx.saved_tensors, "inputs" in saves)
            cotangents = backward(inputs, output, cotangent, ctx.needs_input_grad)
            return *cotangents, *[None] * (len(inputs) - len(cotangents))

        def batched(info, in_dims, *arguments):
            if any(isinstance(d, int) for d in in_dims[tensors:]):
                # Of what is not expected to differ within a batch: one after the other.
                each = [[x.select(d, i) if isinstance(d, int) else x for x, d in zip(arguments, in_dims)] for i in range(info.batch_size)]
                return torch.stack([self(*one) for one in each]), 0
            batches = [
                x.expand(info.batch_size, *x.shape) if d is None else x.movedim(d, 0)
                for x, d in zip(arguments[:tensors], in_dims)
            ]
            return self(*batches, *arguments[tensors:]), 0

        operator.register_autograd(backwards, setup_context=setup)
        operator.register_vmap(batched)

        def keep(ctx, inputs, output):
            setup(ctx, inputs, output)
            ctx.save_for_forward(*(x for x in inputs if isinstance(x, Tensor)))

        def forwards(ctx, *tangents):
            primals, _ = restored(ctx, ctx.saved_tensors, True)
            if not any(level.key() == torch._C._functorch.TransformType.Jvp for level in levels()):
                return slope(primals, filled(primals, tangents))
            # torch turns forward mode off meanwhile, which would lose the tangents of outer levels.
            with forward_ad._set_fwd_grad_enabled(True):
                primals = [without_tangent(x) if is_number(x) else x for x in primals]
                return slope(primals, filled(primals, tangents))

        members = dict(forward=operator, setup_context=keep, backward=backwards, vmap=batched, jvp=forwards)
        members = {name: staticmethod(member) for name, member in members.items()}
        self.function = type(name, (torch.autograd.Function,), members)
        self.in_graph = lambda *arguments: self.called(*arguments)
        when_compiling(lambda: torch.compiler.allow_in_graph(self.in_graph))

    def __call__(self, *arguments):
        return self.in_graph(*arguments) if torch.compiler.is_compiling() else self.called(*arguments)

    def called(self, *arguments):
        if torch._C._are_functorch_transforms_active() or is_any_dual(arguments):
            return self.function.apply(*arguments)
        return self.operator(*arguments)


def is_any_dual(arguments):
    # They are looked for where they can be: there is no looking into those of torch's older vmap.
    can_be = forward_ad._current_level >= 0 or torch.compiler.is_compiling()
    can_be = can_be and torch._C._is_fwd_grad_enabled()
    return can_be and any(is_number(x) and tangent_of(x) is not None for x in arguments)


def refuse_transforms(name, *tensors):
    """Of what has a derivative backward, once, and no other rule. The compiler finds that by itself."""
    if torch.compiler.is_compiling():
        return
    if torch._C._are_functorch_transforms_active() or is_any_dual(tensors):
        raise RuntimeError(f"{name} has no rule for torch.func, vmap and forward mode")


class OnlyOnce(torch.autograd.Function):
    """A derivative that depends on some tensors, and has no derivative by them here."""

    @staticmethod
    def forward(ctx, slope, name, *tensors):
        ctx.name = name
        return slope.view_as(slope)

    @staticmethod
    def backward(ctx, _):
        raise RuntimeError(f"{ctx.name} has no second derivative")


def only_once(name, slopes, tensors):
    """The derivatives of what is called this, which depend on the tensors: an error where they are differentiated again."""
    if not torch.is_grad_enabled():
        return slopes
    tensors = [x for x in tensors if x is not None]
    return [None if slope is None else OnlyOnce.apply(slope, name, *tensors) for slope in slopes]
