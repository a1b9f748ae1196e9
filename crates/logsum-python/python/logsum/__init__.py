"""The correctly rounded, differentiable log-sum-exp: log Σ e^z, and the family around it.

`logsumexp`, `softmax` and `log_softmax` take what those of `scipy.special` take. `logsum.torch` and `logsum.jax` have the same
words for PyTorch and JAX, with derivatives of any order. The functions here, ufuncs apart, hand over to them what those libraries
record or transform, and what is on another device.
"""

from ._accumulator import Accumulator, EffectiveSampleSize, WeightedMean
from ._core import (
    __version__,
    log1mexp,
    log1pexp,
    log_logistic,
    log_softmax,
    logaddexp,
    logexpm1,
    logistic,
    logit,
    logsubexp,
    logsumexp,
    softmax,
    xlogx,
    xlogy,
)
from ._general import (
    cross_entropy,
    log_matmul,
    logcumsumexp,
    logmeanexp,
    logsumexp_hvp,
    logsumexp_jvp,
    logsumexp_value_and_grad,
    logvarexp,
    segment_logsumexp,
    segment_softmax,
    softmax_entropy,
    token_log_probs,
)

__all__ = [
    "Accumulator",
    "EffectiveSampleSize",
    "WeightedMean",
    "__version__",
    "cross_entropy",
    "log1mexp",
    "log1pexp",
    "log_logistic",
    "log_matmul",
    "log_softmax",
    "logaddexp",
    "logcumsumexp",
    "logexpm1",
    "logistic",
    "logit",
    "logmeanexp",
    "logsubexp",
    "logsumexp",
    "logsumexp_hvp",
    "logsumexp_jvp",
    "logsumexp_value_and_grad",
    "logvarexp",
    "segment_logsumexp",
    "segment_softmax",
    "softmax",
    "softmax_entropy",
    "token_log_probs",
    "xlogx",
    "xlogy",
]
