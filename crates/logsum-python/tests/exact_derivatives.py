"""What derivatives of any order are compared with, for PyTorch and JAX alike: mpmath's, of the definitions."""

import dataclasses
import functools
import itertools
from collections.abc import Callable

import mpmath
import numpy as np

INF = float("inf")


def total(x):
    return mpmath.fsum(mpmath.exp(t) for t in x)


def shares(x):
    return [mpmath.exp(t) / total(x) for t in x]


def mean(x):
    return total(x) / len(x)


def variance(x, ddof):
    return mpmath.fsum((mpmath.exp(t) - mean(x)) ** 2 for t in x) / (len(x) - ddof)


def entropy(x):
    return mpmath.log(total(x)) - mpmath.fsum(p * t for p, t in zip(shares(x), x))


def losses(x, q):
    return mpmath.fsum(w * (mpmath.log(total(x)) - t) for w, t in zip(q, x))


def matmul(x):
    """Of the matrix [[x0, x1], [x2, x3]] with itself."""
    return [total([x[2 * i] + x[j], x[2 * i + 1] + x[2 + j]]) for i, j in itertools.product(range(2), repeat=2)]


def segments(x, ids):
    return [[t for t, id in zip(x, ids) if id == segment] for segment in range(2)]


def logistic(t):
    return 1 / (1 + mpmath.exp(-t))


@dataclasses.dataclass
class Case:
    """A function of one vector: by `library`, whose arrays `xp` makes, and by its definition. A number is a vector of one."""

    ours: Callable
    exact: Callable
    points: list
    # Whether it is made of sums, whose derivatives are by convention 0 where all numbers are −∞.
    is_sum: bool = True


REAL = [[0.3, -1.2, 0.7], [0.5, 0.5, 0.5], [0.4]]
PADDED = [[-INF, 0.2, -INF, 0.2], [0.0, -800.0, 0.0], [-INF, -INF]]
INFINITE = [[INF, 0.3, INF], [1.0, INF]]
NEGATIVE, POSITIVE, UNIT = [[-0.3, -1e-3, -40.0]], [[0.3, 1e-3, 40.0]], [[0.3, 1e-3, 0.9]]
FOUR = [[0.3, -1.2, 0.7, 0.1], [0.5, 0.5, 0.5, 0.5], [0.0, -INF, 1.0, 0.0], [-INF, -INF, 1.0, 0.0]]
IDS = [1, 0, 1, 1]
LN = mpmath.log

CASES = {
    "logsumexp": Case(lambda l, xp, x: l.logsumexp(x, 0), lambda x: [LN(total(x))], REAL + PADDED + INFINITE),
    "logsumexp, weights": Case(
        lambda l, xp, x: l.logsumexp(x, 0, x * x - 0.1),
        lambda x: [LN(abs(mpmath.fsum((t * t - mpmath.mpf(0.1)) * mpmath.exp(t) for t in x)))],
        REAL + [[0.0, -800.0, 0.7]],
    ),
    "logsumexp, where": Case(
        lambda l, xp, x: l.logsumexp(x, 0, where=xp.asarray([True, False, True])), lambda x: [LN(total([x[0], x[2]]))], REAL[:2]
    ),
    "softmax": Case(lambda l, xp, x: l.softmax(x, 0), shares, REAL + PADDED + INFINITE),
    "log_softmax": Case(
        lambda l, xp, x: l.log_softmax(x, 0), lambda x: [t - LN(total(x)) for t in x], REAL + PADDED[:2] + INFINITE, False
    ),
    "logmeanexp": Case(lambda l, xp, x: l.logmeanexp(x, 0), lambda x: [LN(mean(x))], REAL + PADDED + INFINITE),
    "logvarexp": Case(
        lambda l, xp, x: l.logvarexp(x, 0, 1), lambda x: [LN(variance(x, 1))], [REAL[0], PADDED[0], [0.0, -800.0, 1.0]]
    ),
    "softmax_entropy": Case(lambda l, xp, x: l.softmax_entropy(x, 0), lambda x: [entropy(x)], REAL + PADDED + INFINITE),
    "logcumsumexp": Case(
        lambda l, xp, x: l.logcumsumexp(x, 0),
        lambda x: [LN(total(x[: i + 1])) for i in range(len(x))],
        REAL + PADDED + [[0.0, 0.3, INF]],
    ),
    "logcumsumexp, reverse and exclusive": Case(
        lambda l, xp, x: l.logcumsumexp(x, 0, True, True)[:-1],
        lambda x: [LN(total(x[i + 1 :])) for i in range(len(x) - 1)],
        REAL[:2] + PADDED,
    ),
    "log_matmul": Case(
        lambda l, xp, x: l.log_matmul(x.reshape(2, 2), x.reshape(2, 2)).reshape(4), lambda x: [LN(t) for t in matmul(x)], FOUR
    ),
    "log_matmul, vectors": Case(lambda l, xp, x: l.log_matmul(x, 2 * x), lambda x: [LN(total([3 * t for t in x]))], REAL),
    "segment_logsumexp": Case(
        lambda l, xp, x: l.segment_logsumexp(x, xp.asarray(IDS), 2),
        lambda x: [LN(total(segment)) for segment in segments(x, IDS)],
        FOUR,
    ),
    "segment_softmax": Case(
        lambda l, xp, x: l.segment_softmax(x, xp.asarray(IDS), 2),
        lambda x: [mpmath.exp(t) / total(segments(x, IDS)[id]) for t, id in zip(x, IDS)],
        FOUR[:3],
    ),
    "logsumexp_value_and_grad": Case(
        lambda l, xp, x: xp.stack([l.logsumexp_value_and_grad(x, 0)[0], *l.logsumexp_value_and_grad(x, 0)[1]]),
        lambda x: [LN(total(x)), *shares(x)],
        REAL + PADDED[:2],
    ),
    "logsumexp_jvp": Case(
        lambda l, xp, x: l.logsumexp_jvp(x, x * x, 0)[1], lambda x: [mpmath.fsum(p * t * t for p, t in zip(shares(x), x))], REAL
    ),
    "logsumexp_hvp": Case(
        lambda l, xp, x: l.logsumexp_hvp(x, x * x, 0),
        lambda x: [p * (t * t - mpmath.fsum(q * u * u for q, u in zip(shares(x), x))) for p, t in zip(shares(x), x)],
        REAL,
    ),
    "cross_entropy": Case(
        lambda l, xp, x: l.cross_entropy(x, xp.asarray(2)), lambda x: [losses(x, [0, 0, 1])], [REAL[0], REAL[1], [-INF, 40.0, 0.0]]
    ),
    "cross_entropy, options": Case(
        lambda l, xp, x: l.cross_entropy(
            x, xp.asarray(1), xp.asarray([0.5, 1.5, 2.0], dtype=xp.float64), -100, "none", 0.1, 0, 0.25, 2.0
        ),
        lambda x: [with_z_loss([t / 2 for t in x], [w * u for w, u in zip([0.5, 1.5, 2.0], smoothed(3, 1, 0.1))], 0.25)],
        REAL[:2],
    ),
    "cross_entropy, probabilities": Case(
        lambda l, xp, x: l.cross_entropy(x, xp.asarray([0.25, 0.0, 0.75], dtype=xp.float64)),
        lambda x: [losses(x, [0.25, 0, 0.75])],
        REAL[:2] + [[0.0, -INF, 2.0]],
    ),
    "cross_entropy, by probabilities and weights": Case(
        lambda l, xp, x: l.cross_entropy(x, x * x, x + 3, -100, "none", 0.1),
        lambda x: [losses(x, [(t + 3) * (t * t * (1 - mpmath.mpf(0.1)) + mpmath.mpf(0.1) / len(x)) for t in x])],
        REAL,
    ),
    "cross_entropy, by weights": Case(
        lambda l, xp, x: l.cross_entropy(x, xp.asarray(2), x * x, -100, "none", 0.1),
        lambda x: [losses(x, [t * t * w for t, w in zip(x, smoothed(3, 2, mpmath.mpf(0.1)))])],
        REAL[:2],
    ),
    "cross_entropy, by temperature": Case(
        lambda l, xp, x: l.cross_entropy(x[:2], xp.asarray(1), temperature=x[2]),
        lambda x: [losses([t / x[2] for t in x[:2]], [0, 1])],
        REAL[:2],
    ),
    "cross_entropy, by temperature beside what is masked": Case(
        lambda l, xp, x: l.cross_entropy(x[:3], xp.asarray(0), z_loss=0.25, temperature=x[3], ignore_index=-100),
        lambda x: [with_z_loss([t / x[3] for t in x[:3]], [1, 0, 0], 0.25)],
        [[0.3, -INF, 0.7, 0.5]],
    ),
    "cross_entropy, by weights beside what is masked": Case(
        lambda l, xp, x: l.cross_entropy(x, xp.asarray(2), xp.exp(x), -100, "none", z_loss=0.25),
        lambda x: [with_z_loss(x, [0, 0, mpmath.exp(x[2])], 0.25)],
        [[0.3, -INF, 0.7]],
    ),
    "logsumexp, weights that mask": Case(
        lambda l, xp, x: l.logsumexp(x, 0, xp.asarray([1.0, 2.0, 0.0, 0.0], dtype=xp.float64)),
        lambda x: [LN(mpmath.exp(x[0]) + 2 * mpmath.exp(x[1]))],
        [[0.0, 1.0, 800.0, -INF]],
    ),
    "token_log_probs": Case(
        lambda l, xp, x: xp.stack(l.token_log_probs(x, xp.asarray(1), entropy=True)),
        lambda x: [x[1] - LN(total(x)), entropy(x)],
        REAL[:2] + [[-INF, 0.0, 1.0]],
        False,
    ),
    "logaddexp": Case(
        lambda l, xp, x: l.logaddexp(x[0], x), lambda x: [LN(total([x[0], t])) for t in x], REAL + PADDED + [[0.3, INF]]
    ),
    "logsubexp": Case(
        lambda l, xp, x: l.logsubexp(x[0], x[1:]),
        lambda x: [LN(mpmath.exp(x[0]) - mpmath.exp(t)) for t in x[1:]],
        [[0.3, -1.2, 0.2999], [0.3, -INF, -800.0]],
    ),
    "xlogy": Case(lambda l, xp, x: l.xlogy(x[0], x), lambda x: [x[0] * LN(t) for t in x], POSITIVE),
    "log1pexp": Case(lambda l, xp, x: l.log1pexp(x), lambda x: [LN(1 + mpmath.exp(t)) for t in x], REAL + PADDED[:2]),
    "log_logistic": Case(lambda l, xp, x: l.log_logistic(x), lambda x: [LN(logistic(t)) for t in x], REAL + INFINITE, False),
    "logistic": Case(lambda l, xp, x: l.logistic(x), lambda x: [logistic(t) for t in x], REAL + PADDED[:2] + INFINITE),
    "log1mexp": Case(
        lambda l, xp, x: l.log1mexp(x), lambda x: [LN(1 - mpmath.exp(t)) for t in x], NEGATIVE + [[-INF, -800.0]]
    ),
    "logexpm1": Case(
        lambda l, xp, x: l.logexpm1(x), lambda x: [LN(mpmath.exp(t) - 1) for t in x], POSITIVE + [[INF, 800.0]], False
    ),
    "logit": Case(lambda l, xp, x: l.logit(x), lambda x: [LN(t / (1 - t)) for t in x], UNIT),
    "xlogx": Case(lambda l, xp, x: l.xlogx(x), lambda x: [t * LN(t) for t in x], POSITIVE),
}

# Scans and products, whose values at +∞ have derivative 0.
HAVE_NO_INFINITY = {"logcumsumexp", "logcumsumexp, reverse and exclusive", "log_matmul"}


def smoothed(classes, target, smoothing):
    return [(1 - smoothing) * (k == target) + mpmath.mpf(smoothing) / classes for k in range(classes)]


def with_z_loss(x, q, z_loss):
    return losses(x, q) + sum(q) * z_loss * LN(total(x)) ** 2


# The inputs for which the results of other devices are compared with those of the CPU: the points above, and these.
NAN = float("nan")
EDGES = [[1e8, 1e8, -1e8], [40.0, 0.0, -40.0], [NAN, 1.0, 2.0], [INF, NAN, 0.0], [INF, INF, -INF], [-INF] * 3, [1e4, 1e4, 1e4]]
OF_ROWS = ["logsumexp", "logsumexp, weights", "softmax", "log_softmax", "logmeanexp", "logvarexp", "softmax_entropy", "logcumsumexp"]
OF_ROWS += ["cross_entropy", "cross_entropy, options", "cross_entropy, probabilities", "token_log_probs", "logaddexp", "logsubexp", "log1pexp"]
ROWS = {name: case.points + (EDGES if name in OF_ROWS else []) for name, case in CASES.items()}
# Numbers whose difference overflows.
ROWS["segment_logsumexp"] += [[INF, 0.0, -40.0, NAN], [1.5e308, 0.0, -1.5e308, 1.5e308]]
ROWS["cross_entropy, probabilities"] += [[-1.5e308, 0.0, 1.5e308], [1e308, 0.0, -1e308]]
# Rows in which one number dominates, so that all other shares are small.
CERTAIN = {
    "segment_logsumexp": [0.0, 3.0, -40.0, -50.0],
    "logsumexp": [0.0, -40.0, -50.0],
    "cross_entropy": [-40.0, -50.0, 0.0],
    "log_softmax": [-40.0, 0.0, -50.0],
}

def compositions(forward, backward):
    """Of two transforms, every order of them to the third derivative."""
    return [way for order in (1, 2, 3) for way in itertools.product((forward, backward), repeat=order)]


def composed(function, transforms):
    for transform in transforms:
        function = transform(function)
    return function


def named(way):
    return " of ".join(transform.__name__ for transform in reversed(way))


PAIRS = [(name, i) for name, case in CASES.items() for i in range(len(case.points))]


@functools.cache
def expected(name, place, order):
    """The derivatives of an order, of the shape (outputs, inputs, …). What is infinite is ±100 000, whose exponentials are as good
    as 0 and ∞."""
    case = CASES[name]
    point = case.points[place]
    with mpmath.workdps(60):
        x = [mpmath.mpf(max(min(t, 1e5), -1e5)) for t in point]
        values = case.exact(x)
        result = np.empty((len(values), *[len(x)] * order))
        for i, value in enumerate(values):
            is_nothing = case.is_sum and (value < -1000 or max(x) <= -1e5) or name in HAVE_NO_INFINITY and value > 1000
            of_orders = functools.cache(lambda orders: 0.0 if is_nothing else derivative(case.exact, i, x, orders))
            for inputs in itertools.product(range(len(x)), repeat=order):
                result[i, *inputs] = of_orders(tuple(inputs.count(k) for k in range(len(x))))
    return result


def derivative(function, output, x, orders):
    return float(mpmath.diff(lambda *x: function(list(x))[output], tuple(x), orders))


def assert_close(found, name, place, order, message=""):
    exact = expected(name, place, order)
    scale = max(1.0, np.abs(exact).max(initial=0))
    found = np.asarray(found).reshape(exact.shape)
    np.testing.assert_allclose(found, exact, rtol=1e-11, atol=1e-13 * scale, err_msg=f"{name} at {CASES[name].points[place]} {message}")
