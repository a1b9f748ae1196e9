#!/usr/bin/env python3
"""Times the family of log-sum-exp beside its rivals on the same arrays, and checks the answers, as compare.py does for the
reduction itself.

    python3 benches/family.py            # some minutes after the first build
    python3 benches/family.py --quick    # small arrays: does it all still work?

One thread each. It prints a table of times and writes benches/record/DATE-family.md.
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import subprocess
import tempfile

from compare import ALL_CORES, HERE, TARGET, in_own_environment, median

RUNNER = TARGET / "release" / "family"


def work(quick):
    """Name, shape, and how the inputs are made: of the numbers, and of what comes with them."""
    rows = (1024, 1000) if quick else (65_536, 1000)
    two_million = (1, 1 << 14) if quick else (1, 1 << 21)
    square = (128, 128) if quick else (512, 512)
    table = (256, 256) if quick else (4096, 4096)
    return [
        ("logsumexp", rows, "normal", None),
        ("terms", rows, "normal", "positive"),
        ("mask", rows, "normal", "positive"),
        ("f16", rows, "normal", None),
        ("logsumexp_jvp", rows, "normal", "positive"),
        ("logsumexp_hvp", rows, "normal", "positive"),
        ("logmeanexp", rows, "normal", None),
        ("logvarexp", (64, 1000), "normal", None),
        ("softmax_entropy", rows, "normal", None),
        ("softmax_kl", rows, "normal", "normal"),
        ("temperature", rows, "normal", None),
        ("cross_entropy", rows, "normal", "labels"),
        ("cross_entropy, smoothed", rows, "normal", "labels"),
        ("token_log_probs", rows, "normal", "labels"),
        ("ShardedLogProb", rows, "normal", "labels"),
        ("logcumsumexp", table, "normal", None),
        ("segment_logsumexp", (1, rows[0] * 256), "normal", "ids"),
        ("Accumulator", rows, "normal", None),
        ("EffectiveSampleSize", rows, "normal", None),
        ("WeightedMean", rows, "normal", "positive"),
        ("log_matmul", square, "normal", "normal"),
        ("complex_logsumexp", (1024, 1000), "normal", "normal"),
        ("logaddexp", two_million, "normal", "normal"),
        ("logsubexp", two_million, "positive", "negative"),
        ("log1pexp", two_million, "normal", None),
        ("log1mexp", two_million, "negative", None),
        ("logexpm1", two_million, "positive", None),
        ("log_logistic", two_million, "normal", None),
        ("logistic", two_million, "normal", None),
        ("logit", two_million, "positive", None),
        ("xlogx", two_million, "positive", None),
        ("xlogy", two_million, "normal", "positive"),
    ]


def array(kind, shape, seed):
    import numpy as np

    random = np.random.default_rng(seed)
    if kind == "normal":
        return random.standard_normal(shape, dtype="float32")
    if kind in ("positive", "negative"):
        x = random.random(shape, dtype="float32") * np.float32(0.98) + np.float32(0.01)
        return x if kind == "positive" else -x
    if kind == "labels":
        return random.integers(0, shape[1], shape[0])
    return np.arange(shape[0] * shape[1]) // 100


def rivals(op, z, other):
    """A function for each rival, which returns its answer."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import scipy.special as sp
    import torch

    a = torch.from_numpy(z)
    b = None if other is None else torch.from_numpy(other)
    x = jnp.asarray(z)
    y = None if other is None else jnp.asarray(other)

    def by_jax(f, *arguments):
        f = jax.jit(f)
        return lambda: np.asarray(jax.block_until_ready(f(*arguments)))

    def torch_gradient(smoothing):
        leaf = a.clone().requires_grad_()

        def loss():
            leaf.grad = None
            value = torch.nn.functional.cross_entropy(leaf, b, label_smoothing=smoothing)
            value.backward()
            return value.detach()

        return loss

    def jvp():
        return torch.func.jvp(lambda q: torch.logsumexp(q, 1), (a,), (b,))[1]

    def hvp():
        return torch.func.jvp(lambda q: torch.softmax(q, 1), (a,), (b,))[1]

    def entropy():
        log_p = torch.log_softmax(a, 1)
        return -(log_p.exp() * log_p).sum(1)

    def divergence():
        # Of numbers that are far from each other: it cancels otherwise.
        log_p, log_q = torch.log_softmax(a, 1), torch.log_softmax(b, 1)
        return functions.kl_div(log_q, log_p, reduction="none", log_target=True).sum(1)

    def segments():
        ids, count = b, int(other[-1]) + 1
        flat = a.flatten()
        most = torch.full((count,), -torch.inf).scatter_reduce(0, ids, flat, "amax")
        return torch.zeros(count).scatter_add(0, ids, (flat - most[ids]).exp()).log() + most

    def log_matmul():
        # As people write it: right only where nothing underflows.
        top, side = a.amax(1, keepdim=True), b.amax(0, keepdim=True)
        return ((a - top).exp() @ (b - side).exp()).log() + top + side

    functions = torch.nn.functional
    return {
        "logsumexp": {"torch": lambda: torch.logsumexp(a, 1), "scipy": lambda: sp.logsumexp(z, 1)},
        "terms": {
            "scipy": lambda: sp.logsumexp(z, 1, b=other),
            "jax": by_jax(lambda x, y: jax.nn.logsumexp(x, 1, b=y), x, y),
        },
        "mask": {"jax": by_jax(lambda x, y: jax.nn.logsumexp(x, 1, where=y > 0.5), x, y)},
        "f16": {"torch": lambda half=a.half(): torch.logsumexp(half, 1).float()},
        "logsumexp_jvp": {
            "torch": jvp,
            "jax": by_jax(lambda x, y: jax.jvp(lambda q: jax.nn.logsumexp(q, 1), (x,), (y,))[1], x, y),
        },
        "logsumexp_hvp": {
            "torch": hvp,
            "jax": by_jax(lambda x, y: jax.jvp(lambda q: jax.nn.softmax(q, 1), (x,), (y,))[1], x, y),
        },
        "logmeanexp": {"torch": lambda: torch.logsumexp(a, 1) - np.log(z.shape[1])},
        "logvarexp": {"torch": lambda: torch.log(torch.var(a.exp(), 1))},
        "softmax_entropy": {"torch": entropy},
        "softmax_kl": {"torch": divergence},
        "temperature": {"torch": lambda: 0.7 * torch.logsumexp(a / 0.7, 1)},
        "cross_entropy": {"torch": torch_gradient(0.0)},
        "cross_entropy, smoothed": {"torch": torch_gradient(0.1)},
        "token_log_probs": {"torch": lambda: torch.log_softmax(a, 1).gather(1, b[:, None])[:, 0]},
        "ShardedLogProb": {"torch": lambda: torch.log_softmax(a, 1).gather(1, b[:, None])[:, 0]},
        "logcumsumexp": {
            "torch": lambda: torch.logcumsumexp(a, 1),
            "jax": by_jax(lambda x: jax.lax.cumlogsumexp(x, axis=1), x),
        },
        "segment_logsumexp": {"torch": segments},
        # What people merge partial sums from: with bits that depend on the order.
        "Accumulator": {"torch": lambda: torch.logsumexp(a, 1)},
        "EffectiveSampleSize": {"torch": lambda: torch.exp(2 * torch.logsumexp(a, 1) - torch.logsumexp(2 * a, 1))},
        "WeightedMean": {"torch": lambda: (torch.softmax(a, 1) * b).sum(1)},
        "log_matmul": {"torch": log_matmul, "torch's plain product": lambda: a @ b},
        "complex_logsumexp": {"scipy": lambda: sp.logsumexp(z + 1j * other, 1).real},
        "logaddexp": {"torch": lambda: torch.logaddexp(a, b), "numpy": lambda: np.logaddexp(z, other)},
        "logsubexp": {"torch": lambda: a + torch.log(-torch.expm1(b - a))},
        "log1pexp": {"torch": lambda: functions.softplus(a), "jax": by_jax(jax.nn.softplus, x)},
        "log1mexp": {"torch": lambda: torch.log(-torch.expm1(a))},
        "logexpm1": {"torch": lambda: torch.log(torch.expm1(a))},
        "log_logistic": {"torch": lambda: functions.logsigmoid(a), "scipy": lambda: sp.log_expit(z)},
        "logistic": {"torch": lambda: torch.sigmoid(a), "scipy": lambda: sp.expit(z)},
        "logit": {"torch": lambda: torch.logit(a), "scipy": lambda: sp.logit(z)},
        "xlogx": {"torch": lambda: torch.special.xlogy(a, a), "scipy": lambda: sp.xlogy(z, z)},
        "xlogy": {"torch": lambda: torch.special.xlogy(a, b), "scipy": lambda: sp.xlogy(z, other)},
    }[op]


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--quick", action="store_true", help="small arrays")
    quick = arguments.parse_args().quick
    in_own_environment()
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.sched_setaffinity(0, {min(ALL_CORES)})
    import numpy as np
    import torch

    torch.set_num_threads(1)
    lines = ["| work | logsum | reads, copies | rivals, as multiples of logsum's time |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        paths = [pathlib.Path(folder, name) for name in ("out.npy", "z.npy", "other.npy")]
        for op, shape, kind, other_kind in work(quick):
            z = array(kind, shape, 1)
            other = None if other_kind is None else array(other_kind, shape, 2)
            np.save(paths[1], z)
            if other is not None:
                np.save(paths[2], other)
            environment = {**os.environ, "RAYON_NUM_THREADS": "1"}
            command = ["taskset", "--cpu-list", str(min(ALL_CORES)), RUNNER, op, *paths]
            output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
            times = json.loads(output)
            expected = np.load(paths[0])
            ratios = []
            for name, rival in rivals(op, z, other).items():
                answer = np.asarray(rival())
                if "plain" not in name:
                    worst = float(np.max(np.abs(answer.reshape(expected.shape) - expected)))
                    assert worst < ({"f16": 1e-2, "EffectiveSampleSize": 1e-1}.get(op, 2e-3)), f"{name} differs by {worst} on {op}"
                ratios.append(f"{name} {median(rival) / times['logsum']:.2f}")
            label = f"{op}, {shape[0]} × {shape[1]} f32" if op != "f16" else f"logsumexp, {shape[0]} × {shape[1]} f16"
            reads, copies = times["logsum"] / times["read"], times["logsum"] / times["copy"]
            line = f"| {label} | {times['logsum'] * 1e3:.3f} ms | {reads:.2f}, {copies:.2f} | {', '.join(ratios)} |"
            print(line, flush=True)
            lines.append(line)
    if quick:
        return
    date = datetime.date.today().isoformat()
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())[1]
    head = [
        f"# The family, {date}, {cpu}",
        "",
        "`python3 benches/family.py`: medians on one thread. \"reads, copies\" is logsum's time as multiples of a plain",
        "read and a plain copy of the first input as f32, in the same run. A rival at 2.00 takes twice logsum's time.",
        "",
    ]
    (HERE / "record" / f"{date}-family.md").write_text("\n".join(head + lines) + "\n")


if __name__ == "__main__":
    main()
