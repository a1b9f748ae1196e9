"""What mypy and pyright check of logsum.torch: calls as people write them, and calls that are wrong."""

from typing import assert_type

import numpy as np
import torch
from torch import Tensor

import logsum.torch as lt

x = torch.zeros(2, 3)
flag = bool(x.numel())
assert_type(lt.logsumexp(x, -1), Tensor)
assert_type(lt.logsumexp(x, (0, 1), [1, -1, 1], True, where=x > 0), Tensor)
assert_type(lt.logsumexp(x, 1, True), Tensor)
assert_type(lt.logsumexp(x, None, None, False, True), tuple[Tensor, Tensor])
assert_type(lt.logsumexp(x, return_sign=True), tuple[Tensor, Tensor])
assert_type(lt.logsumexp(x, return_sign=flag), Tensor | tuple[Tensor, Tensor])
assert_type(lt.logsumexp_value_and_grad(x, 1), tuple[Tensor, Tensor])
assert_type(lt.logsumexp_value_and_grad(x, 1, x), tuple[Tensor, tuple[Tensor, Tensor]])
assert_type(lt.logsumexp_value_and_grad(x, b=2.0, no_mass="nan"), tuple[Tensor, tuple[Tensor, Tensor]])
assert_type(lt.logsumexp_jvp(x, np.ones(3)), tuple[Tensor, Tensor])
assert_type(lt.softmax(x, 1, torch.float64) + lt.logaddexp(x, x) + lt.logcumsumexp(x, 0, reverse=True), Tensor)
assert_type(lt.softmax_entropy(x, 1, temperature=0.5, softcap=30), Tensor)
assert_type(lt.softmax_kl(x, [0.0, 1, 2], [0, 1], keepdim=True, softcap=None), Tensor)
assert_type(lt.merge_attention([x, x], (x[:, 0], x[:, 0]), base="2"), tuple[Tensor, Tensor])
assert_type(lt.segment_logsumexp(x, [0, 1], mode="drop"), Tensor)
assert_type(lt.cross_entropy(x, x.argmax(1), reduction="none", temperature=torch.tensor(2.0)), Tensor)
assert_type(lt.linear_cross_entropy(x, torch.nn.Parameter(x), [0, 1], softcap=np.float32(30)), Tensor)
assert_type(lt.token_log_probs(x, [0, 1], padding=-1), Tensor)
assert_type(lt.token_log_probs(x, [0, 1], -1, torch.float32, True), tuple[Tensor, Tensor])
assert_type(lt.token_log_probs(x, [0, 1], entropy=True), tuple[Tensor, Tensor])
assert_type(lt.token_log_probs(x, [0, 1], entropy=flag), Tensor | tuple[Tensor, Tensor])
assert_type(lt.vocab_parallel_token_log_probs(x, [0, 1], group=torch.distributed.group.WORLD), Tensor)
assert_type(lt.vocab_parallel_cross_entropy(x, [0, 1], 3, reduction="sum"), Tensor)
unproved: int = lt.unproved()
lt.logsumexp([0.0, 1.0])  # type: ignore[call-overload]
lt.merge_attention(x, x)  # type: ignore[call-arg]
lt.linear_cross_entropy(x, x, x, temperature=x.sum())  # type: ignore[arg-type]
