"""The correctly rounded, differentiable log-sum-exp, log Σ e^z, and related functions.

`logsumexp`, `softmax` and `log_softmax` have the parameters of the functions of the same names in `scipy.special`.
`logsum.torch` and `logsum.jax` have the same functions (but not the classes) for PyTorch and JAX, with derivatives of
any order. Except for the ufuncs, the functions here call those of `logsum.torch` or `logsum.jax` when an argument is an
array that PyTorch or JAX records or transforms, is on a device other than the CPU, is a tensor under torch's autocast,
or, for `logsumexp`, is a complex array of JAX. `logsum.polars` adds expressions to Polars, and `logsum.datafusion` adds
functions to the SQL of DataFusion.
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
