"""The calls of the package that its names for PyTorch and JAX must have, too, as both test them."""

import inspect

import numpy as np

RNG = np.random.default_rng(11)
X = RNG.normal(size=(3, 4))

# A call with one array, and arguments that are no arrays of a framework.
CALLS = {
    "logsumexp": lambda l, x: l.logsumexp(x, 1),
    "logsumexp, weights": lambda l, x: l.logsumexp(x, 0, b=x, return_sign=True)[0],
    "logsumexp, where": lambda l, x: l.logsumexp(x, 0, where=X > -0.5, keepdims=True),
    "softmax": lambda l, x: l.softmax(x, 0),
    "log_softmax": lambda l, x: l.log_softmax(x, axis=(0, 1)),
    "logmeanexp": lambda l, x: l.logmeanexp(x, 0, keepdims=True),
    "logvarexp": lambda l, x: l.logvarexp(x, [1], ddof=1),
    "softmax_entropy": lambda l, x: l.softmax_entropy(x),
    "logcumsumexp": lambda l, x: l.logcumsumexp(x, reverse=True, exclusive=True)[:, :-1],
    "segment_logsumexp": lambda l, x: l.segment_logsumexp(x, np.array([1, -1, 0, 1]), 2, axis=1, mode="drop"),
    "segment_logsumexp, offsets": lambda l, x: l.segment_logsumexp(x, offsets=np.array([0, 2, 3])),
    "segment_softmax": lambda l, x: l.segment_softmax(x, np.array([1, 9, 1]), 2, mode="drop"),
    "segment_softmax, offsets": lambda l, x: l.segment_softmax(x, axis=1, offsets=np.array([0, 0, 4])),
    "log_matmul": lambda l, x: l.log_matmul(x[:, :3], x),
    "cross_entropy": lambda l, x: l.cross_entropy(x, np.array([1, -100, 3])),
    "cross_entropy, options": lambda l, x: l.cross_entropy(
        x,
        np.array([1, 2, 7, 0]),
        np.array([0.5, 1.0, 2.0]),
        axis=0,
        ignore_index=7,
        label_smoothing=0.2,
        z_loss=0.3,
        temperature=1.5,
    ),
    "cross_entropy, probabilities": lambda l, x: l.cross_entropy(x, np.exp(X), reduction="sum"),
    "token_log_probs": lambda l, x: l.token_log_probs(x, np.array([0, 2, 1, 1]), axis=0, entropy=True)[1],
    "logsumexp_value_and_grad": lambda l, x: l.logsumexp_value_and_grad(x, 1, b=X, where=X < 1, keepdims=True)[1][1],
    "logsumexp_value_and_grad, uniform": lambda l, x: l.logsumexp_value_and_grad(x - np.inf, 1, no_mass="uniform")[1],
    "logsumexp_jvp": lambda l, x: l.logsumexp_jvp(x, X[0], 1)[1],
    "logsumexp_hvp": lambda l, x: l.logsumexp_hvp(x, X, 1),
}

WRONG = [
    "text", b"x", None, {}, object(), True, 3, -1, 2.5, float("nan"), 10**30, (0, 0), [], [[1, 2], [3]], np.zeros(2), np.zeros((1, 1, 1)),
    np.array([1 + 2j]), np.array([True]), np.array([7, 7, 7]), np.array(["a"]), np.array([1], object), np.array(["2020"], "M8[Y]"),
]  # fmt: skip


def complaints(module, array):
    """Every argument of every function with everything wrong: what is no clear complaint."""
    for name in module.__all__:
        function = getattr(module, name)
        if name == "__version__" or isinstance(function, np.ufunc):
            continue
        parameters = inspect.signature(function).parameters
        a = array(np.abs(X))
        right = {name: a for name in ("a", "x", "y", "input", "other", "p", "logits", "tangent", "vector", "target")}
        right |= {name: array(np.array([0, 1, 0])) for name in ("segment_ids", "labels", "tokens")}
        right |= {"linear_weight": array(np.eye(4)), "base": "e"}
        right |= {"outputs": array(np.ones((2, 3, 4))), "logsumexps": array(np.ones((2, 3)))}
        right |= {"target": right["tokens"]} if name.startswith("vocab_parallel") else {}
        needed = {p: right.get(p, 0) for p in parameters if parameters[p].default is inspect.Parameter.empty}
        needed |= {"segment_ids": right["segment_ids"]} if "segment_ids" in parameters else {}
        needed |= {list(parameters)[1]: array(X.T)} if name == "log_matmul" else {}
        function(**needed)
        for parameter in parameters:
            for wrong in WRONG + [array(x) for x in WRONG if isinstance(x, np.ndarray) and x.dtype.kind in "bifc"]:
                try:
                    function(**needed | {parameter: wrong})
                except Exception as error:
                    if not is_clear(parameters, error):
                        yield f"{name}({parameter}={wrong!r}): {type(error).__name__}: {error}"


def is_clear(parameters, error):
    """One line, of a usual kind, that is not about what is inside."""
    # For a truth value or a list of lists, NumPy and torch have messages of their own.
    usual = ("truth value", "Boolean value", "inhomogeneous", "Dimension out of range", "dimension appears twice", "log_matmul", "token of row")
    text = str(error)
    is_named = any(words in text for words in (*usual, *parameters))
    is_inner = any(words in text for words in ("extract", "instance of", "_core", "callback", "Traceback", "logsum::", "attribute"))
    return isinstance(error, (TypeError, ValueError, IndexError, RuntimeError)) and is_named and not is_inner and "\n" not in text
