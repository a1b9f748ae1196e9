"""What mypy and pyright check: calls as people write them, and calls that are wrong."""

from collections.abc import Hashable
from typing import Any, assert_type

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

import logsum
import logsum.jax as lj
from logsum.polars import Expressions

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
draws.merge(logsum.EffectiveSampleSize())  # type: ignore[arg-type]
key: Hashable = draws  # type: ignore[assignment]
same: bool = draws == draws.copy()
flag = bool(len(a))
value, sign = logsum.logsumexp(a, None, None, False, True)
either = logsum.logsumexp(a, return_sign=flag)
value, (of_a, of_b) = logsum.logsumexp_value_and_grad(a, 1, a, no_mass="uniform")
sums = logsum.logcumsumexp(a, np.int64(1)), logsum.segment_logsumexp(a, [0, 1], axis=np.int64(0), mode="drop")
log_p, entropy = logsum.token_log_probs(a, [0, 1], axis=np.int64(1), entropy=True)
log_p = logsum.token_log_probs(a, [0, 1], dtype="float64")
either = logsum.token_log_probs(a, [0, 1], entropy=flag)
loss = logsum.cross_entropy(a, [0, 1], axis=np.int64(1), temperature=np.float32(2), reduction="sum")
logsum.cross_entropy(a, [0, 1], reduction="average")  # type: ignore[arg-type]

x = jnp.zeros((2, 3))
assert_type(lj.logsumexp(x), jax.Array)
assert_type(lj.logsumexp(a, (0, 1), [1, -1, 1], True, where=x > 0), jax.Array)
assert_type(lj.logsumexp(x, None, None, False, True), tuple[jax.Array, jax.Array])
assert_type(lj.logsumexp(x, return_sign=True), tuple[jax.Array, jax.Array])
assert_type(lj.logsumexp(x, return_sign=flag), jax.Array | tuple[jax.Array, jax.Array])
assert_type(lj.logsumexp_value_and_grad(x, 1), tuple[jax.Array, jax.Array])
assert_type(lj.logsumexp_value_and_grad(x, 1, x), tuple[jax.Array, tuple[jax.Array, jax.Array]])
assert_type(lj.logsumexp_value_and_grad(x, b=2.0), tuple[jax.Array, tuple[jax.Array, jax.Array]])
assert_type(lj.logsumexp_jvp(x, [1.0, 2, 3]), tuple[jax.Array, jax.Array])
assert_type(lj.softmax([1, 2.0, 3], dtype=jnp.float32) + lj.logaddexp(1.0, x), jax.Array)
assert_type(lj.segment_softmax(x, offsets=[0, 1, 2]), jax.Array)
assert_type(lj.cross_entropy(x, [0, -1], reduction="mean", temperature=1 + x[0, 0]), jax.Array)
assert_type(lj.token_log_probs(x, [0, 1], padding=None), jax.Array)
assert_type(lj.token_log_probs(x, [0, 1], -1, "float32", True), tuple[jax.Array, jax.Array])
assert_type(lj.token_log_probs(x, [0, 1], entropy=True), tuple[jax.Array, jax.Array])
assert_type(lj.token_log_probs(x, [0, 1], entropy=flag), jax.Array | tuple[jax.Array, jax.Array])
assert_type(jax.grad(lj.logmeanexp)(x), Any)
lj.logsumexp(x, return_signs=True)  # type: ignore[call-overload]

z = Expressions(pl.col("z"))
assert_type(z.logsumexp(), pl.Expr)
assert_type(z.logaddexp("y") + z.logaddexp(pl.col("y")) + z.logsubexp(1) + z.logsubexp(np.float32(1)), pl.Expr)
assert_type(z.logvarexp(ddof=0).alias("v"), pl.Expr)
