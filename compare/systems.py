"""Each system's own call for each function, as its documentation has it; none where it has no such function."""

import json
import math
import os
import subprocess

import numpy as np

import logsum


def ours():
    import torch

    import logsum.torch

    return "logsum", logsum.__version__, {
        "logsumexp": lambda z: logsum.logsumexp(z),
        "weighted": lambda z, b: logsum.logsumexp(z, b=b),
        "logmeanexp": lambda z: logsum.logmeanexp(z),
        "logcumsumexp": lambda z: logsum.logcumsumexp(z),
        "softmax": lambda z: logsum.softmax(z),
        "log_softmax": lambda z: logsum.log_softmax(z),
        "entropy": lambda z: logsum.softmax_entropy(z),
        "cross_entropy": lambda z, target: logsum.cross_entropy(z[None], np.array([target])),
        "gradient": lambda z: logsum.logsumexp_value_and_grad(z)[1],
        "cross_entropy_gradient": lambda z, target: by_torch(
            lambda z: logsum.torch.cross_entropy(z[None], torch.tensor([target])), z
        ),
        "hessian": lambda z: np.stack([logsum.logsumexp_hvp(z, v) for v in np.eye(len(z), dtype=z.dtype)]),
        "logaddexp": logsum.logaddexp,
        "logaddexp_gradient": lambda x, y: by_torch(logsum.torch.logaddexp, x, y),
        "logsubexp": logsum.logsubexp,
        "log1pexp": logsum.log1pexp,
        "log1mexp": logsum.log1mexp,
        "logistic": logsum.logistic,
        "logit": logsum.logit,
        "log_logistic": logsum.log_logistic,
    }


def scipy_s():
    import scipy.stats
    from scipy import special

    return "SciPy", scipy.__version__, {
        "logsumexp": special.logsumexp,
        "weighted": lambda z, b: special.logsumexp(z, b=b),
        "softmax": special.softmax,
        "log_softmax": special.log_softmax,
        "entropy": lambda z: scipy.stats.entropy(special.softmax(z)),
        "cross_entropy": lambda z, target: -special.log_softmax(z)[target],
        "gradient": special.softmax,
        "logistic": special.expit,
        "logit": special.logit,
        "log_logistic": special.log_expit,
    }


def numpy_s():
    return "NumPy", np.__version__, {
        "logsumexp": np.logaddexp.reduce,
        "logcumsumexp": np.logaddexp.accumulate,
        "logaddexp": np.logaddexp,
    }


def by_torch(function, *numbers, **others):
    """The gradients by all numbers."""
    import torch

    tensors = [torch.from_numpy(np.array(x)).requires_grad_() for x in numbers]
    gradients = torch.autograd.grad(function(*tensors, **others), tensors)
    return gradients[0].numpy() if len(gradients) == 1 else np.array([float(g) for g in gradients])


def torch_s():
    import torch
    import torch.nn.functional as F

    of = lambda function: lambda *numbers: function(*(torch.from_numpy(np.asarray(x)) for x in numbers)).numpy()
    loss = lambda z, target: F.cross_entropy(z[None], torch.tensor([target]))
    return "PyTorch", torch.__version__.partition("+")[0], {
        "logsumexp": of(lambda z: torch.logsumexp(z, 0)),
        "logcumsumexp": of(lambda z: torch.logcumsumexp(z, 0)),
        "softmax": of(lambda z: torch.softmax(z, 0)),
        "log_softmax": of(lambda z: torch.log_softmax(z, 0)),
        "entropy": of(lambda z: torch.distributions.Categorical(logits=z, validate_args=False).entropy()),
        "cross_entropy": lambda z, target: loss(torch.from_numpy(z), target).numpy(),
        "gradient": lambda z: by_torch(lambda z: torch.logsumexp(z, 0), z),
        "cross_entropy_gradient": lambda z, target: by_torch(loss, z, target=target),
        "hessian": of(lambda z: torch.autograd.functional.hessian(lambda z: torch.logsumexp(z, 0), z)),
        "logaddexp": of(torch.logaddexp),
        "logaddexp_gradient": lambda x, y: by_torch(torch.logaddexp, x, y),
        "log1pexp": of(F.softplus),
        "logistic": of(torch.sigmoid),
        "logit": of(torch.logit),
        "log_logistic": of(F.logsigmoid),
    }


def jax_s():
    os.environ["JAX_ENABLE_X64"] = "1"
    import jax
    import jax.numpy as jnp

    lse = jax.scipy.special.logsumexp
    loss = lambda z, target: -jax.nn.log_softmax(z)[target]

    def entropy(z):
        return -jnp.sum(jax.scipy.special.xlogy(jax.nn.softmax(z), jax.nn.softmax(z)))

    functions = {
        "logsumexp": lse,
        "weighted": lambda z, b: lse(z, b=b),
        "logmeanexp": getattr(jax.nn, "logmeanexp", None),
        "logcumsumexp": jax.lax.cumlogsumexp,
        "softmax": jax.nn.softmax,
        "log_softmax": jax.nn.log_softmax,
        "entropy": entropy,
        "cross_entropy": loss,
        "gradient": jax.grad(lse),
        "cross_entropy_gradient": jax.grad(loss),
        "hessian": jax.hessian(lse),
        "logaddexp": jnp.logaddexp,
        "logaddexp_gradient": jax.grad(jnp.logaddexp, (0, 1)),
        "log1pexp": jax.nn.softplus,
        "log1mexp": getattr(jax.nn, "log1mexp", None),
        "logistic": jax.nn.sigmoid,
        "logit": jax.scipy.special.logit,
        "log_logistic": jax.nn.log_sigmoid,
    }
    # Its log1mexp is of e^−x.
    negated = functions["log1mexp"]
    if negated is not None:
        functions["log1mexp"] = lambda z: negated(-z)

    def of(function):
        arrays = lambda numbers: (x if isinstance(x, int) else jnp.asarray(x) for x in numbers)
        return lambda *numbers: np.asarray(function(*arrays(numbers)))

    return "JAX", jax.__version__, {name: function and of(function) for name, function in functions.items()}


def logexpfunctions():
    """The formulas of LogExpFunctions.jl 0.3, in NumPy: Julia itself is not here."""

    def log1pexp(x):
        if x < (-36.7 if x.dtype == np.float64 else -15.9):
            return np.exp(x)
        if x <= (18.0 if x.dtype == np.float64 else 9.0):
            return np.log1p(np.exp(x))
        return x + np.exp(-x) if x <= (33.3 if x.dtype == np.float64 else 16.0) else x

    def log1mexp(x):
        return np.log1p(-np.exp(x)) if x < -math.log(2) else np.log(-np.expm1(x))

    def logaddexp(x, y):
        gap = x.dtype.type(0) if x == y else -abs(x - y)
        return max(x, y) + log1pexp(gap)

    def logsumexp(z):
        if not z.size:
            return -np.inf
        greatest, rest = z[0], z.dtype.type(0)
        for x in z[1:]:
            # The greatest so far is apart from the sum of the others.
            if x == greatest:
                rest += 1
            elif x > greatest:
                greatest, rest = x, (rest + 1) * np.exp(greatest - x)
            else:
                rest += np.exp(x - greatest)
        return greatest + np.log1p(rest)

    def softmax(z):
        e = np.exp(z - z.max())
        return e / e.sum()

    def cumulative(z):
        sums = [z[0]]
        for x in z[1:]:
            sums.append(logaddexp(sums[-1], x))
        return np.array(sums)

    return "LogExpFunctions' formulas", "0.3", {
        "logsumexp": logsumexp,
        "logcumsumexp": cumulative,
        "softmax": softmax,
        "gradient": softmax,
        "logaddexp": logaddexp,
        "logsubexp": lambda x, y: max(x, y) + log1mexp(-abs(x - y)),
        "log1pexp": log1pexp,
        "log1mexp": log1mexp,
        "logistic": lambda x: 1 / (1 + np.exp(-x)),
        "logit": lambda x: np.log(x / (1 - x)),
        "log_logistic": lambda x: -log1pexp(-x),
    }


def duckdb_s():
    """What SQL has: ln(sum(exp(z)))."""
    import duckdb

    def of(text):
        def value(z, b=None):
            if z.dtype == np.float16:
                raise TypeError("DuckDB has no such format")
            connection = duckdb.connect()
            format = {"float32": "FLOAT", "float64": "DOUBLE"}[z.dtype.name]
            connection.execute(f"CREATE TABLE t (z {format}, b DOUBLE)")
            weights = np.ones(len(z)) if b is None else b
            if len(z):
                connection.register("numbers", dict(z=z, b=weights))
                connection.execute("INSERT INTO t SELECT z, b FROM numbers")
            (value,) = connection.execute(f"SELECT {text} FROM t").fetchone()
            return np.asarray(np.nan if value is None else value, z.dtype)

        return value

    return "DuckDB", duckdb.__version__, {"logsumexp": of("ln(sum(exp(z)))"), "weighted": of("ln(sum(b * exp(z)))")}


def in_rust(runner, inputs):
    """candle, burn and the crate logsumexp, in one process for all inputs."""
    names = ("logsumexp", "softmax", "log_softmax", "cross_entropy")
    asked = [x for x in inputs if x.function in names and x.dtype in ("float32", "float64") and x.arguments["z"].size]
    numbers = lambda z: [x if math.isfinite(x) else str(x) for x in z.tolist()]
    lines = [
        dict(function=x.function, dtype=x.dtype, z=numbers(x.arguments["z"]), target=x.arguments.get("target", 0)) for x in asked
    ]
    answer = subprocess.run([runner], input=json.dumps(lines), capture_output=True, text=True, check=True).stdout
    answer = json.loads(answer)
    return [
        (name, answer["versions"][key], {(x.function, x.text): found[key] for x, found in zip(asked, answer["values"])})
        for name, key in (("candle", "candle"), ("burn", "burn"), ("crate logsumexp", "logsumexp"))
    ]


SYSTEMS = [ours, scipy_s, numpy_s, torch_s, jax_s, logexpfunctions, duckdb_s]
