#!/usr/bin/env python3
"""Asks logsum and its rivals for the same values, times them on the same arrays, and writes COMPARE.md. `compare/run`
calls it."""

import argparse
import datetime
import json
import math
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time
import warnings

# Each on one thread, which those in Rust are timed on.
os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import numpy as np

import exact
import inputs
import systems

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
SECTIONS = [("Sums", inputs.SUMS), ("Shares and losses", inputs.SHARES), ("Derivatives", inputs.SLOPES), ("By element", inputs.ELEMENTS)]
NAMES = {
    "logsumexp": "log Σ e^z",
    "weighted": "log Σ b e^z",
    "logmeanexp": "log mean e^z",
    "logcumsumexp": "cumulative",
    "softmax": "softmax",
    "log_softmax": "log-softmax",
    "entropy": "entropy",
    "cross_entropy": "cross-entropy",
    "gradient": "gradient",
    "cross_entropy_gradient": "gradient of cross-entropy",
    "hessian": "Hessian",
    "logaddexp": "log(e^x + e^y)",
    "logaddexp_gradient": "gradient of log(e^x + e^y)",
    "logsubexp": "log(e^x − e^y)",
    "log1pexp": "log(1 + e^x)",
    "log1mexp": "log(1 − e^x)",
    "logistic": "logistic",
    "logit": "logit",
    "log_logistic": "log logistic",
}
# Beyond this it is no matter of rounding.
WRONG = 1000


def found_by(functions, asked):
    """The value, an exception, or None where there is no such function."""
    function = functions.get(asked.function)
    if function is None:
        return None
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return np.asarray(function(*asked.arguments.values()))
        except Exception as error:
            return error


def numbers_of(values):
    return None if values is None else np.array([float(x) for x in values])


def short(x):
    """As people write it, with enough digits to see the difference."""
    if isinstance(x, float) or not isinstance(x, exact.mpf):
        x = float(x)
        if math.isnan(x):
            return "NaN"
        if math.isinf(x):
            return "∞" if x > 0 else "−∞"
        text = f"{x:.4g}"
    else:
        text = exact.mp.nstr(x, 4).removesuffix(".0")
    return text.replace("-", "−")


def written(values):
    values = list(exact.flat(values)) if isinstance(values, list) else list(np.ravel(values)) if isinstance(values, np.ndarray) else [values]
    if len(values) == 1:
        return short(values[0])
    return f"[{', '.join(map(short, values))}]" if len(values) <= 4 else f"{len(values)} numbers"


def verdict(found, error):
    if found is None:
        return ""
    if isinstance(found, Exception):
        return "✗ error"
    if error <= 0.5:
        return "✓"
    if error < WRONG:
        return f"{error:.2g} ulp" if error >= 1 else "1 ulp"
    return f"✗ {written(found)}" if found.size <= 4 else "✗"


def accuracy(runner):
    """For each system its name, version, and what it gives for each input, with the error."""
    every = [(name, version, [found_by(functions, asked) for asked in inputs.INPUTS]) for name, version, functions in (of() for of in systems.SYSTEMS)]
    for name, version, values in systems.in_rust(runner, inputs.INPUTS):
        every.append((name, version, [numbers_of(values.get((x.function, x.text))) for x in inputs.INPUTS]))
    values = [exact.FUNCTIONS[asked.function](*asked.arguments.values()) for asked in inputs.INPUTS]
    errors = [
        [
            math.inf if isinstance(found, Exception) else None if found is None else exact.worst(found, value, asked.dtype)
            for found, value, asked in zip(all_found, values, inputs.INPUTS)
        ]
        for _, _, all_found in every
    ]
    return every, values, errors


def summary(every, errors):
    lines = ["| | version | asked | nearest float | within 4 ulp | more | wrong, NaN or an error |", "|---|---|---|---|---|---|---|"]
    for (name, version, _), each in zip(every, errors):
        each = [error for error in each if error is not None]
        counts = [sum(low < error <= high for error in each) for low, high in ((-1, 0.5), (0.5, 4), (4, WRONG), (WRONG, math.inf))]
        lines.append(f"| {name} | {version} | {len(each)} | {' | '.join(map(str, counts))} |")
    return lines


def table(asked_for, every, values, errors):
    places = [inputs.INPUTS.index(asked) for asked in asked_for]
    present = [k for k in range(len(every)) if any(errors[k][place] is not None for place in places)]
    lines = [
        f"| | input | why | exact | {' | '.join(every[k][0] for k in present)} |",
        f"|---|---|---|---|{'---|' * len(present)}",
    ]
    last = None
    for place in places:
        asked = inputs.INPUTS[place]
        cells = [verdict(every[k][2][place], errors[k][place]) for k in present]
        name = NAMES[asked.function] if asked.function != last else ""
        last = asked.function
        lines.append(f"| {name} | {asked.text} | {asked.origin} | {written(values[place])} | {' | '.join(cells)} |")
    return lines


def median(work, seconds=1.5):
    work()
    times, start = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < seconds and len(times) < 100:
        before = time.perf_counter()
        work()
        times.append(time.perf_counter() - before)
    return sorted(times)[len(times) // 2]


SHAPES = [(1, 1 << 26), (65_536, 1000), (1 << 22, 16)]


def speeds(runner, quick):
    """Milliseconds for log-sum-exp and softmax over the last axis of float32 arrays; for a loss with its gradient."""
    import jax
    import torch
    import torch.nn.functional as F

    import logsum
    import logsum.torch
    import scipy.special

    torch.set_num_threads(1)
    names = ["logsum", "SciPy", "PyTorch", "JAX", "candle", "burn"]
    lines = [f"| float32 | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for operation in ("lse", "softmax", "loss"):
        for rows, columns in SHAPES:
            if operation != "lse" and rows == 1:
                continue
            rows, columns = (max(rows // 64, 1), columns if rows > 1 else columns // 64) if quick else (rows, columns)
            z = np.random.default_rng(1).standard_normal((rows, columns), np.float32) * 4
            tensor, array = torch.from_numpy(z), jax.numpy.asarray(z)
            targets = np.arange(rows) % columns
            labels, classes = torch.from_numpy(targets), jax.numpy.asarray(targets)

            def loss(function):
                graph = tensor.clone().requires_grad_()

                def work():
                    graph.grad = None
                    function(graph, labels).backward()

                return work

            def of_jax(z):
                return -jax.numpy.mean(jax.numpy.take_along_axis(jax.nn.log_softmax(z), classes[:, None], 1))

            compiled = jax.jit(jax.value_and_grad(of_jax))
            lse, softmax = jax.jit(lambda z: jax.scipy.special.logsumexp(z, 1)), jax.jit(lambda z: jax.nn.softmax(z, 1))
            works = {
                "lse": [
                    lambda: logsum.logsumexp(z, axis=1),
                    lambda: scipy.special.logsumexp(z, axis=1),
                    lambda: torch.logsumexp(tensor, 1),
                    lambda: lse(array).block_until_ready(),
                ],
                "softmax": [
                    lambda: logsum.softmax(z, axis=1),
                    lambda: scipy.special.softmax(z, axis=1),
                    lambda: torch.softmax(tensor, 1),
                    lambda: softmax(array).block_until_ready(),
                ],
                "loss": [
                    loss(logsum.torch.cross_entropy),
                    None,
                    loss(F.cross_entropy),
                    lambda: jax.block_until_ready(compiled(array)),
                ],
            }[operation]
            times = [work and median(work) for work in works]
            times += by_rust(runner, operation, z) if operation != "loss" else [None, None]
            what = {"lse": "log-sum-exp", "softmax": "softmax", "loss": "cross-entropy with its gradient (logsum.torch)"}[operation]
            cells = ["" if t is None else f"{t * 1e3:.3g} ms" + (f" ({t / times[0]:.1f})" if k else "") for k, t in enumerate(times)]
            lines.append(f"| {what}, {rows} × {columns} | {' | '.join(cells)} |")
            print(lines[-1], file=sys.stderr)
    return lines


def by_rust(runner, operation, z):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "z.npy"
        np.save(path, z)
        answer = subprocess.run([runner, operation, "1", path, path.with_name("out.npy")], capture_output=True, text=True, check=True)
    times = json.loads(answer.stdout)
    return [times.get("candle"), times.get("burn")]


def processor():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines() if os.path.exists("/proc/cpuinfo") else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="small arrays")
    arguments.add_argument("--programs", type=pathlib.Path, required=True, help="where the programs of benches are")
    arguments.add_argument("--output", type=pathlib.Path, default=ROOT / "COMPARE.md")
    options = arguments.parse_args()
    every, values, errors = accuracy(options.programs / "values")
    text = (HERE / "page.md").read_text()
    parts = {
        "summary": summary(every, errors),
        "count": [str(len(inputs.INPUTS))],
        "tables": [line for title, part in SECTIONS for line in (f"### {title}", "", *table(part, every, values, errors), "")],
        "speeds": speeds(options.programs / "logsum-benches", options.quick),
        "machine": [f"{processor()}, {datetime.date.today()}"],
    }
    for name, lines in parts.items():
        text = text.replace(f"{{{{{name}}}}}", "\n".join(lines).rstrip())
    options.output.write_text(text)
    for line in parts["summary"]:
        print(line)
    # Ours must be the nearest wherever the reference says which that is.
    mistakes = [asked.text for asked, error in zip(inputs.INPUTS, errors[0]) if error is None or error > 0.5]
    if mistakes:
        print("logsum is not the nearest for:", *mistakes, sep="\n  ")


if __name__ == "__main__":
    main()
