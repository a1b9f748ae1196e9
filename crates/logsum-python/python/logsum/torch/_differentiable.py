"""Operators of torch.library with derivatives of any order, backward and forward, under vmap, torch.func and
torch.compile."""

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
    """The tangent of a dual number, or None. torch has one level of dual numbers, 0, which is given here explicitly:
    `forward_ad` does not know that it has been entered if torch.compile entered it."""
    return torch._VF._unpack_dual(x, level=0)[1]


def without_tangent(x):
    return torch._VF._unpack_dual(x, level=0)[0]


def filled(primals, tangents):
    """The tangents, with 0 in the place of each that is None."""
    return [torch.zeros_like(x) if t is None and is_number(x) else t for x, t in zip(primals, tangents)]


def levels():
    """The transforms of torch.func that are active."""
    return torch._C._functorch.get_interpreter_stack() or []


def like_first(x, *_):
    """The result of an operator whose results are like its first argument, without values."""
    return x.new_empty(x.shape)


# torch.compile must not trace into an operator: which transforms are active is determined when the operator is
# recorded. The compiler can be told so only once it has been imported. That takes more than a second, so we wait until
# a caller does it.
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
    """An import hook that is called before the compiler is imported."""

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

    `function` takes first the differentiable tensors, as many as `tensors` says, whose dimensions are counted from the
    end, then other arguments. `backward(inputs, output, cotangent, needed)` returns a cotangent for each of those
    tensors, or None where `needed` says that it is not needed; `inputs` and `output` are None unless `saves` names
    them. If `saves` names "kept", `function` returns a second tensor, which is not differentiable: `backward` gets it in
    the place of the output, and nobody else sees it. Under vmap its first dimensions are batched like the output's.
    `slope(inputs, tangents)` returns the change of the output for changes of the arguments, of which `tangents`
    has one for each. Both are written with differentiable functions, so that there are derivatives of any order.

    For the transforms of torch.func the rules are in an autograd.Function, for everything else in the operator itself.
    An operator has no rule for forward mode, so that dual numbers are passed to the autograd.Function instead.
    """

    def __init__(self, name, function, tensors, backward, slope, shaped=like_first, saves=("inputs",)):
        self.operator = operator = torch.library.custom_op(f"logsum::{name}", function, mutates_args=())
        operator.register_fake(shaped)

        self.keeps = "kept" in saves

        def setup(ctx, inputs, output):
            if self.keeps:
                output = output[1]
                ctx.mark_non_differentiable(output)
            ctx.are_tensors = [isinstance(x, Tensor) for x in inputs]
            ctx.others = [x for x in inputs if not isinstance(x, Tensor)]
            saved = [x for x in inputs if isinstance(x, Tensor)] if "inputs" in saves else []
            ctx.save_for_backward(*saved, *([output] if self.keeps or "output" in saves else []))

        def restored(ctx, saved, has_inputs):
            saved, others = iter(saved), iter(ctx.others)
            inputs = [(next(saved) if has_inputs else None) if is_tensor else next(others) for is_tensor in ctx.are_tensors]
            return inputs, next(saved, None)

        def backwards(ctx, cotangent, *_):
            inputs, output = restored(ctx, ctx.saved_tensors, "inputs" in saves)
            cotangents = backward(inputs, output, cotangent, ctx.needs_input_grad)
            return *cotangents, *[None] * (len(inputs) - len(cotangents))

        def batched(info, in_dims, *arguments):
            if any(isinstance(d, int) for d in in_dims[tensors:]):
                # An argument that is not expected to be batched: the samples are computed one after the other.
                each = [[x.select(d, i) if isinstance(d, int) else x for x, d in zip(arguments, in_dims)] for i in range(info.batch_size)]
                results = [self.all(*one) for one in each]
                return (tuple(map(torch.stack, zip(*results))), (0, 0)) if self.keeps else (torch.stack(results), 0)
            batches = [
                None if x is None else x.expand(info.batch_size, *x.shape) if d is None else x.movedim(d, 0)
                for x, d in zip(arguments[:tensors], in_dims)
            ]
            return self.all(*batches, *arguments[tensors:]), (0, 0) if self.keeps else 0

        operator.register_autograd(backwards, setup_context=setup)
        operator.register_vmap(batched)

        def keep(ctx, inputs, output):
            setup(ctx, inputs, output)
            ctx.save_for_forward(*(x for x in inputs if isinstance(x, Tensor)))

        def forwards(ctx, *tangents):
            primals, _ = restored(ctx, ctx.saved_tensors, True)
            if not any(level.key() == torch._C._functorch.TransformType.Jvp for level in levels()):
                change = slope(primals, filled(primals, tangents))
                return (change, None) if self.keeps else change
            # torch turns forward mode off during this call, which would lose the tangents of outer levels.
            with forward_ad._set_fwd_grad_enabled(True):
                primals = [without_tangent(x) if is_number(x) else x for x in primals]
                change = slope(primals, filled(primals, tangents))
            return (change, None) if self.keeps else change

        members = dict(forward=operator, setup_context=keep, backward=backwards, vmap=batched, jvp=forwards)
        members = {name: staticmethod(member) for name, member in members.items()}
        self.function = type(name, (torch.autograd.Function,), members)
        self.in_graph = lambda *arguments: self.called(*arguments)
        when_compiling(lambda: torch.compiler.allow_in_graph(self.in_graph))

    def __call__(self, *arguments):
        return self.all(*arguments)[0] if self.keeps else self.all(*arguments)

    def all(self, *arguments):
        """The result, and what is kept."""
        return self.in_graph(*arguments) if torch.compiler.is_compiling() else self.called(*arguments)

    def called(self, *arguments):
        if torch._C._are_functorch_transforms_active() or is_any_dual(arguments):
            return self.function.apply(*arguments)
        return self.operator(*arguments)


def is_any_dual(arguments):
    # Tangents are looked up only where there can be some: that fails for the tensors of torch's older vmap.
    can_be = forward_ad._current_level >= 0 or torch.compiler.is_compiling()
    can_be = can_be and torch._C._is_fwd_grad_enabled()
    return can_be and any(is_number(x) and tangent_of(x) is not None for x in arguments)


def refuse_transforms(name, *tensors):
    """Raises an error under a transform, for an operator whose only rule is that for the first derivative, backward.
    The compiler detects that by itself."""
    if torch.compiler.is_compiling():
        return
    if torch._C._are_functorch_transforms_active() or is_any_dual(tensors):
        raise RuntimeError(f"{name} has no rule for torch.func, vmap and forward mode")


class OnlyOnce(torch.autograd.Function):
    """The identity of a derivative that depends on some tensors; differentiating it with respect to them is an
    error."""

    @staticmethod
    def forward(ctx, slope, name, *tensors):
        ctx.name = name
        return slope.view_as(slope)

    @staticmethod
    def backward(ctx, _):
        raise RuntimeError(f"{ctx.name} has no second derivative")


def only_once(name, slopes, tensors):
    """The derivatives of the operator `name`, which depend on these tensors: differentiating them again is an error."""
    if not torch.is_grad_enabled():
        return slopes
    tensors = [x for x in tensors if x is not None]
    return [None if slope is None else OnlyOnce.apply(slope, name, *tensors) for slope in slopes]
