"""What mypy and pyright check: calls as people write them."""

import numpy as np

import logsum

a = np.zeros((2, 3))
value = logsum.logsumexp(a, axis=-1)
value = logsum.logsumexp([1, 2.0], b=[1, -1], keepdims=True, where=[True, False], out=np.empty(1))
value, sign = logsum.logsumexp(a, (0, 1), return_sign=True)
value, gradient = logsum.logsumexp_value_and_grad(a)
value, (of_a, of_b) = logsum.logsumexp_value_and_grad(a, b=a)
total: float = float(logsum.logaddexp.reduce(a, axis=None))
loss = logsum.cross_entropy(a, [0, 1], reduction="none", label_smoothing=0.1)
shares = logsum.softmax(a, 1) + logsum.log_softmax(a, 1) + logsum.logcumsumexp(a, reverse=True)
version: str = logsum.__version__
draws = logsum.Accumulator(np.float32).update(a.astype(np.float32)).merge(logsum.Accumulator("float32"))
state: bytes = bytes(draws)
known: bool = logsum.Accumulator.from_bytes(state, np.float32).proved
size: float = float(logsum.EffectiveSampleSize().update([-1.0, 2]).value)
mean: float = float(logsum.WeightedMean().update(a, 2.0).value)
