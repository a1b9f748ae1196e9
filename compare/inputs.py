"""The inputs: what is asked, of which numbers, in which format, and who met it."""

import dataclasses
import math

import numpy as np

INF, NAN = math.inf, math.nan


@dataclasses.dataclass(frozen=True)
class Input:
    """A function, its arguments by name, and where the case is from: a public report, or a paper, or the reason why it is hard."""

    function: str
    text: str
    arguments: dict
    origin: str
    dtype: str = "float64"


def one(function, text, z, origin, dtype="float64", **others):
    return Input(function, text, dict(z=np.asarray(z, dtype), **others), origin, dtype)


def two(function, text, x, y, origin, dtype="float64"):
    return Input(function, text, dict(x=np.asarray(x, dtype), y=np.asarray(y, dtype)), origin, dtype)


def random(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


LN_2 = math.log(2.0)

SUMS = [
    one("logsumexp", "[1000, 1000]", [1000, 1000], "e^1000 overflows"),
    one("logsumexp", "[−1000, −1000]", [-1000, -1000], "e^−1000 underflows"),
    one("logsumexp", "[0, −40]", [0, -40], "log(1 + t) of a small t"),
    one("logsumexp", "[0, −700]", [0, -700], "the same, far below the smallest ulp of 1"),
    one("logsumexp", "[0, −740]", [0, -740], "a subnormal result"),
    one("logsumexp", "[−ln 2, −ln 2]", [-LN_2, -LN_2], "maximum and logarithm cancel"),
    one("logsumexp", "[ln .3, ln .7]", [math.log(0.3), math.log(0.7)], "the same: probabilities that add up to 1"),
    one("logsumexp", "100 logarithms of probabilities", np.log(np.full(100, 0.01)), "the same, of many"),
    one("logsumexp", "[1e8, 1e8, 1e8]", [1e8] * 3, "a large common offset"),
    one("logsumexp", "[1e8, 1e8, 1e8] f32", [1e8] * 3, "the same", "float32"),
    one("logsumexp", "[1e300, 1]", [1e300, 1], "differences that are not exact"),
    one("logsumexp", "1000 random", random(1, 1000), "sums that lose digits"),
    one("logsumexp", "1000 random f32", random(1, 1000), "the same", "float32"),
    one("logsumexp", "70 000 zeros f16", np.zeros(70_000), "the sum leaves the format: last#43, jax#40409", "float16"),
    one("logsumexp", "10^6 zeros f32", np.zeros(10**6), "many equal terms", "float32"),
    one("logsumexp", "[]", [], "nothing: scipy#20399, numpy#4599"),
    one("logsumexp", "[−∞, −∞]", [-INF, -INF], "no mass"),
    one("logsumexp", "[−∞, 0]", [-INF, 0], "a masked number"),
    one("logsumexp", "[∞, 0]", [INF, 0], "∞ − ∞: jax#1624"),
    one("logsumexp", "[∞, −∞]", [INF, -INF], "the same"),
    one("logsumexp", "[NaN, 1]", [NAN, 1], "a NaN is passed on"),
    one("logsumexp", "[∞, NaN]", [INF, NAN], "beside ∞, too"),
    one("logsumexp", "2000 −∞ and one 3 f32", [3.0] + [-INF] * 2000, "flash-attention#1930", "float32"),
    one("weighted", "[0, −750], weights [1e−200, 1e300]", [0, -750], "a small term has a large weight", b=np.array([1e-200, 1e300])),
    one("weighted", "[1, 1], weights [1, −1 + 2^−52]", [1, 1], "weights cancel", b=np.array([1.0, -1 + 2.0**-52])),
    one("weighted", "[NaN], weight 0", [NAN], "what is absent may be anything", b=np.array([0.0])),
    one("weighted", "[1, 0], weights [−1, 5]", [1, 0], "a negative weight at the maximum: scipy#22903", b=np.array([-1.0, 5.0])),
    one("weighted", "500 zeros, weights 1/500", np.zeros(500), "their sum is nearly 1: arviz#509", b=np.full(500, 1 / 500)),
    one("weighted", "[∞, 0], weights [0, 1]", [INF, 0], "what is absent: jax#37729", b=np.array([0.0, 1.0])),
    one("weighted", "[1000, 0], weights [1, −1]", [1000, 0], "a negative term", b=np.array([1.0, -1.0])),
    one("logmeanexp", "[1e8, 1e8, 1e8]", [1e8] * 3, "a mean of equal numbers is that number"),
    one("logmeanexp", "[0, 1e−20, 2e−20]", [0, 1e-20, 2e-20], "log Σ and log n cancel"),
    one("logcumsumexp", "[0, −40, −40]", [0, -40, -40], "small increments"),
    one("logcumsumexp", "[−∞, −∞, 0]", [-INF, -INF, 0], "nothing at first: pytorch#52213"),
    one("logcumsumexp", "1000 random f32", random(2, 1000), "errors add up", "float32"),
]

SHARES = [
    one("softmax", "[∞, 0]", [INF, 0], "∞ − ∞: scipy#23225"),
    one("softmax", "[∞, ∞, 0]", [INF, INF, 0], "the same, shared"),
    one("softmax", "[1000, 0]", [1000, 0], "a share that underflows"),
    one("softmax", "[0, −745]", [0, -745], "a subnormal share"),
    one("softmax", "[1e8, 1e8 + 8] f32", [1e8, 1e8 + 8], "a large common offset", "float32"),
    one("softmax", "1000 random f32", random(3, 1000), "sums that lose digits", "float32"),
    one("log_softmax", "[0, −40]", [0, -40], "log p of p near 1: scipy#19521"),
    one("log_softmax", "[0, −1e6]", [0, -1e6], "log p of p that underflows"),
    one("log_softmax", "[−∞, 0]", [-INF, 0], "a masked number"),
    one("log_softmax", "1000 random f32", random(4, 1000), "sums that lose digits", "float32"),
    one("log_softmax", "[1e8, 1e8, 1e8]", [1e8] * 3, "a large common offset"),
    one("entropy", "[40, 0]", [40, 0], "nearly certain"),
    one("entropy", "[1000, 0]", [1000, 0], "certain: 0 · log 0"),
    one("entropy", "[0, −∞]", [0, -INF], "masked: jax#17070, pytorch#40553"),
    one("cross_entropy", "[40, 0], target 0", [40, 0], "a small loss", target=0),
    one("cross_entropy", "[1e8, 1e8, 1e8], target 0", [1e8] * 3, "a large common offset", target=0),
    one("cross_entropy", "[1e4, 0], target 1 f32", [1e4, 0], "p underflows", "float32", target=1),
    one("cross_entropy", "[−∞, 0], target 1", [-INF, 0], "a masked class", target=1),
    one("cross_entropy", "32 000 random f32, target 7", random(5, 32_000), "a vocabulary", "float32", target=7),
]

SLOPES = [
    one("gradient", "[1e8, 1e8] f32", [1e8, 1e8], "shares of a large offset", "float32"),
    one("gradient", "[1e50, 1e50]", [1e50, 1e50], "a larger one: stan-dev/math#1679"),
    one("gradient", "[−∞, −∞]", [-INF, -INF], "no mass: nothing changes"),
    one("gradient", "[∞, 0]", [INF, 0], "∞ − ∞"),
    one("gradient", "[0, −40]", [0, -40], "a small share"),
    one("gradient", "[3, 3, 1]", [3, 3, 1], "ties"),
    one("cross_entropy_gradient", "[40, 0], target 0", [40, 0], "1 − p of p near 1", target=0),
    one("hessian", "[0, 40]", [0, 40], "p (1 − p) of p near 1"),
    one("hessian", "[−∞, 0, 0]", [-INF, 0, 0], "a masked number: LogExpFunctions.jl#59"),
    one("hessian", "[1000, 0]", [1000, 0], "underflow: pytorch#196704"),
    two("logaddexp_gradient", "(∞, 0)", INF, 0, "∞ − ∞"),
    two("logaddexp_gradient", "(−∞, −∞)", -INF, -INF, "no mass"),
    two("logaddexp_gradient", "(5, 5)", 5, 5, "a tie: tensorflow#127232"),
]

ELEMENTS = [
    two("logaddexp", "(0, −40)", 0, -40, "log(1 + t) of a small t"),
    two("logaddexp", "(−ln 2, −ln 2)", -LN_2, -LN_2, "maximum and logarithm cancel"),
    two("logaddexp", "(−∞, −∞)", -INF, -INF, "−∞ − −∞"),
    two("logaddexp", "(1e8, 1e8)", 1e8, 1e8, "a large common offset"),
    two("logsubexp", "(1, 1 − 2^−53)", 1, 1 - 2.0**-53, "nearly equal"),
    two("logsubexp", "(1, 1)", 1, 1, "equal: numpyro#2007"),
    two("logsubexp", "(−∞, −∞)", -INF, -INF, "−∞ − −∞: pytensor#1883"),
    two("logsubexp", "(0, −40)", 0, -40, "log(1 − t) of a small t"),
    one("log1pexp", "−40", -40, "log(1 + t) of a small t"),
    one("log1pexp", "−745", -745, "a subnormal result"),
    one("log1pexp", "20 f32", 20, "torch's softplus is linear from 20 on", "float32"),
    one("log1mexp", "−1e−20", -1e-20, "1 − e^x of a small x"),
    one("log1mexp", "−40", -40, "log(1 − t) of a small t"),
    one("logistic", "−745", -745, "a subnormal result"),
    one("logistic", "−88.5 f32", -88.5, "e^88.5 is near the end of the format", "float32"),
    one("logit", "1/2 + 2^−52", 0.5 + 2.0**-52, "log(p/(1 − p)) near 0"),
    one("log_logistic", "−1e4", -1e4, "p underflows"),
    one("log_logistic", "40", 40, "log p of p near 1"),
]

INPUTS = SUMS + SHARES + SLOPES + ELEMENTS
