#!/usr/bin/env python3
"""Times the Python package beside SciPy, PyTorch and JAX on the same arrays, one thread each, and checks the answers.

    python3 benches/python.py            # some minutes after the first build
    python3 benches/python.py --quick    # small arrays: does it all still work?

It prints a table and writes benches/record/DATE-python.md.
"""

import argparse
import datetime
import os
import subprocess
import sys
import time

from compare import ALL_CORES, HERE, in_own_environment


ROUNDS = 11


def medians(**works):
    """The median time of each, all taken in turns: what else the machine does meets them alike."""
    for work in works.values():
        work()
    times = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            before = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - before)
    return {name: sorted(taken)[ROUNDS // 2] for name, taken in times.items()}


def repeated(work, count=2000):
    """Many short calls."""
    return lambda: [work() for _ in range(count)]


def rows(quick):
    million = 1 << (10 if quick else 20)
    few = 64 if quick else 65_536
    return [
        ("64 M f32, all", (64 * million,), "f4", None),
        ("512 × 128 000 f32, last axis", (8 if quick else 512, 128_000), "f4", -1),
        ("65 536 × 1000 f32, last axis", (few, 1000), "f4", -1),
        ("1000 × 65 536 f32, first axis", (1000, few), "f4", 0),
        ("4 M × 16 f32, last axis", (4 * million, 16), "f4", -1),
        ("65 536 × 1000 f64, last axis", (few, 1000), "f8", -1),
    ]


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--quick", action="store_true", help="small arrays")
    quick = arguments.parse_args().quick
    in_own_environment()
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", HERE.parent / "crates/logsum-python"], check=True)
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["RAYON_NUM_THREADS"] = "1"
    os.sched_setaffinity(0, {min(ALL_CORES)})
    import jax
    import numpy as np
    import scipy.special
    import torch

    import logsum
    import logsum.torch

    torch.set_num_threads(1)
    jax.config.update("jax_enable_x64", True)
    rng = np.random.default_rng(0)
    lines = ["| work | logsum | SciPy | PyTorch | JAX |", "|---|---|---|---|---|"]

    def row(name, ours, calls=1, **theirs):
        times = medians(ours=ours, **theirs)
        ours = times["ours"]
        cells = [f"{times[rival] / ours:.1f}" if rival in times else "" for rival in ("scipy", "torch", "jax")]
        seconds = ours / calls
        time_of_ours = f"{seconds * 1e3:.3g} ms" if seconds > 1e-3 else f"{seconds * 1e6:.3g} µs"
        lines.append(f"| {name} | {time_of_ours} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)

    print("\n".join(lines))
    for name, shape, dtype, axis in rows(quick):
        a = rng.standard_normal(shape, dtype)
        dims = tuple(range(a.ndim)) if axis is None else axis
        t, x = torch.from_numpy(a), jax.numpy.asarray(a)
        of_jax = jax.jit(lambda x: jax.nn.logsumexp(x, axis))
        for theirs in (scipy.special.logsumexp(a, axis), torch.logsumexp(t, dims).numpy(), np.asarray(of_jax(x))):
            np.testing.assert_allclose(logsum.logsumexp(a, axis), theirs, rtol=1e-4)
        row(
            name,
            lambda: logsum.logsumexp(a, axis),
            scipy=lambda: scipy.special.logsumexp(a, axis),
            torch=lambda: torch.logsumexp(t, dims),
            jax=lambda: of_jax(x).block_until_ready(),
        )

    a = rng.standard_normal((64 if quick else 65_536, 1000), "f4")
    t, x = torch.from_numpy(a).requires_grad_(), jax.numpy.asarray(a)

    def back(logsumexp):
        t.grad = None
        logsumexp(t, 1).sum().backward()

    of_jax = jax.jit(jax.value_and_grad(lambda x: jax.nn.logsumexp(x, 1).sum()))
    row(
        "value and gradient, 65 536 × 1000 f32",
        lambda: logsum.logsumexp_value_and_grad(a, 1),
        torch=lambda: back(torch.logsumexp),
        jax=lambda: jax.block_until_ready(of_jax(x)),
    )
    row(
        "forward and backward by `logsum.torch`",
        lambda: back(logsum.torch.logsumexp),
        torch=lambda: back(torch.logsumexp),
    )
    labels = torch.randint(0, 1000, (a.shape[0],))

    def train(cross_entropy):
        t.grad = None
        cross_entropy(t, labels).backward()

    row(
        "the same of its cross-entropy",
        lambda: train(logsum.torch.cross_entropy),
        torch=lambda: train(torch.nn.functional.cross_entropy),
    )
    row(
        "softmax, 65 536 × 1000 f32",
        lambda: logsum.softmax(a, 1),
        scipy=lambda: scipy.special.softmax(a, 1),
        torch=lambda: torch.softmax(t.detach(), 1),
    )
    few, b = rng.standard_normal((64 if quick else 200_000, 3)), np.array([0.2, 0.3, 0.5])
    x, weights = jax.numpy.asarray(few), jax.numpy.asarray(b)
    weighted_of_jax = jax.jit(lambda x, b: jax.nn.logsumexp(x, 1, b))
    np.testing.assert_allclose(logsum.logsumexp(few, 1, b), weighted_of_jax(x, weights), rtol=1e-9, atol=1e-9)
    row(
        "200 000 × 3 f64 with weights, last axis",
        lambda: logsum.logsumexp(few, 1, b),
        scipy=lambda: scipy.special.logsumexp(few, 1, b),
        jax=lambda: weighted_of_jax(x, weights).block_until_ready(),
    )
    ten = rng.standard_normal(10)
    t, x = torch.from_numpy(ten), jax.numpy.asarray(ten)
    of_jax = jax.jit(jax.nn.logsumexp)
    row(
        "ten f64",
        repeated(lambda: logsum.logsumexp(ten)),
        calls=2000,
        scipy=repeated(lambda: scipy.special.logsumexp(ten)),
        torch=repeated(lambda: torch.logsumexp(t, 0)),
        jax=repeated(lambda: of_jax(x).block_until_ready()),
    )
    if not quick:
        cpu = next(line for line in open("/proc/cpuinfo") if line.startswith("model name")).partition(":")[2].strip()
        date = datetime.date.today().isoformat()
        head = f"# The Python package, {date}\n\n{cpu}, one thread. Rivals as multiples of logsum's time. `python3 benches/python.py`\n\n"
        (HERE / "record" / f"{date}-python.md").write_text(head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
