#!/usr/bin/env python3
"""Times logsum beside its rivals on the same arrays, and checks their answers.

    python3 benches/compare.py            # everything: about ten minutes after the first build
    python3 benches/compare.py --quick    # small arrays: does it all still work?

It makes a virtual environment of its own under target/, installs NumPy, SciPy, PyTorch, JAX and Matplotlib there,
builds the Rust side (with candle, burn and the crate logsumexp), prints a table of ratios, and writes
benches/record/DATE.md and benches/record/speed.svg. One thread each, but where a row says otherwise.
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TARGET = HERE / "target"
RUNNER = TARGET / "release" / "logsum-benches"
PACKAGES = ["numpy==2.4.6", "scipy==1.17.1", "torch==2.15.0", "jax==0.10.2", "matplotlib==3.10.8"]

# Operation, shape, axis, format, what it is measured by, and the multiple of that which it is meant not to exceed.
WORK = [
    ("lse", (1, 1 << 26), "all", "float32", "read", 1.5),
    ("lse", (512, 128_000), "1", "float32", "read", 1.6),
    ("lse", (65_536, 1000), "1", "float32", "read", 1.6),
    ("lse", (1000, 65_536), "0", "float32", "read", 1.8),
    ("lse", (1 << 22, 16), "1", "float32", "read", 2.5),
    ("lse", (1, 1 << 26), "all", "float64", "read", 2.0),
    ("lse", (65_536, 1000), "1", "float64", "read", 2.0),
    ("value-grad", (65_536, 1000), "1", "float32", "copy", 1.6),
    ("softmax", (65_536, 1000), "1", "float32", "copy", 1.6),
    ("lse", (64, 4096), "1", "float32", "read", None),
    ("softmax", (64, 4096), "1", "float32", "copy", None),
    ("log-softmax", (64, 4096), "1", "float32", "copy", None),
]


def in_own_environment():
    """Runs this script again in a virtual environment that has the rivals."""
    python = TARGET / "rivals" / "bin" / "python"
    if pathlib.Path(sys.prefix) == python.parent.parent:
        return
    if not python.exists():
        print("installing the rivals: several hundred megabytes", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", python.parent.parent], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES], check=True)
    subprocess.run(["cargo", "build", "--release", "--quiet", "--target-dir", TARGET], cwd=HERE, check=True)
    os.execv(python, [python, *sys.argv])


def median(work):
    work()
    times, start = [], time.perf_counter()
    while len(times) < 3 or (len(times) < 1000 and time.perf_counter() - start < 1):
        before = time.perf_counter()
        work()
        times.append(time.perf_counter() - before)
    return sorted(times)[len(times) // 2]


def rivals(op, axis, z):
    """The rivals in Python: a function each, which returns its answer as an array."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import scipy.special
    import torch

    axis = None if axis == "all" else int(axis)
    dim = tuple(range(z.ndim)) if axis is None else axis
    tensor, array = torch.from_numpy(z), jnp.asarray(z)
    if op == "value-grad":
        leaf = tensor.clone().requires_grad_()

        def by_torch():
            leaf.grad = None
            torch.logsumexp(leaf, dim).sum().backward()
            return leaf.grad

        gradient = jax.jit(jax.grad(lambda x: jax.nn.logsumexp(x, axis).sum()))
        return {"torch": by_torch, "jax": lambda: gradient(array).block_until_ready()}
    functions = {
        "lse": (scipy.special.logsumexp, torch.logsumexp, jax.nn.logsumexp),
        "softmax": (scipy.special.softmax, torch.softmax, jax.nn.softmax),
        "log-softmax": (scipy.special.log_softmax, torch.log_softmax, jax.nn.log_softmax),
    }
    by_scipy, by_torch, by_jax = functions[op]
    jitted = jax.jit(lambda x: by_jax(x, axis))
    return {
        "scipy": lambda: np.asarray(by_scipy(z, axis)),
        "torch": lambda: by_torch(tensor, dim),
        "jax": lambda: jitted(array).block_until_ready(),
    }


def run_rust(op, axis, source, result, threads):
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads)}
    cores = sorted(ALL_CORES)[:threads]
    command = ["taskset", "--cpu-list", ",".join(map(str, cores)), RUNNER, op, axis, source, result]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return json.loads(output)


def instructions():
    """Instructions per number at the AVX2 level, by callgrind: the same on every run."""
    def count(op, format, rows):
        valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
        environment = {**os.environ, "RAYON_NUM_THREADS": "1"}
        command = [*valgrind, RUNNER, "count", op, format, str(rows)]
        log = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stderr
        return int(re.search(r"Collected : (\d+)", log)[1])

    counts = {}
    for format in ("f32", "f64"):
        # 32 rows more, less what making them takes.
        input = count("nothing", format, 48) - count("nothing", format, 16)
        for op in ("lse", "value-grad", "softmax", "log-softmax"):
            counts[op, format] = (count(op, format, 48) - count(op, format, 16) - input) / 32_000
    return counts


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--quick", action="store_true", help="small arrays")
    quick = arguments.parse_args().quick
    in_own_environment()
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["JAX_ENABLE_X64"] = "1"
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.sched_setaffinity(0, {min(ALL_CORES)})
    import numpy as np
    import torch

    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        source, result = pathlib.Path(folder, "z.npy"), pathlib.Path(folder, "result.npy")
        for op, shape, axis, format, unit, target in WORK:
            if quick:
                shape = tuple(max(1, length // 64) for length in shape)
            z = np.random.default_rng(1).standard_normal(shape, dtype=format)
            np.save(source, z)
            times = run_rust(op, axis, source, result, 1)
            expected = np.load(result)
            worst = {}
            for name, rival in rivals(op, axis, z).items():
                answer = np.asarray(rival())
                worst[name] = float(np.max(np.abs(answer.reshape(expected.shape) - expected)))
                assert worst[name] < 1e-3, f"{name} differs by {worst[name]} on {op} of {shape}"
                times[name] = median(rival)
            if len(ALL_CORES) > 1:
                times["logsum, 2 threads"] = run_rust(op, axis, source, result, 2)["logsum"]
            where = "all" if axis == "all" else ["first axis", "last axis"][int(axis)]
            label = f"{op} {shape[0]} × {shape[1]} {format}, {where}"
            rows.append((label, unit, target, times))
            print(label, {name: f"{seconds * 1e3:.3f} ms" for name, seconds in times.items()}, flush=True)
    write(rows, None if quick else instructions(), quick)


def write(rows, counts, quick):
    date = datetime.date.today().isoformat()
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())[1]
    names = ["logsum", "logsum, 2 threads", "torch", "jax", "scipy", "candle", "burn", "crate logsumexp"]
    lines = [
        f"# {date}, {cpu}",
        "",
        "`python3 benches/compare.py`. Medians on one thread but where it says 2, as multiples of a plain read (a copy,",
        "for gradients and softmax) of the same memory in the same run. Versions: " + ", ".join(PACKAGES[1:4]) + ", and those of crates/frameworks/Cargo.lock.",
        "\"target\" is the multiple that logsum is meant not to exceed.",
        "",
        "| work | unit | target | " + " | ".join(names) + " |",
        "|---|---|---|" + "---|" * len(names),
    ]
    for label, unit, target, times in rows:
        ratios = [f"{times[name] / times[unit]:.2f}" if name in times else "–" for name in names]
        lines.append(f"| {label} | {unit} {times[unit] * 1e3:.3f} ms | {target or '–'} | " + " | ".join(ratios) + " |")
    if counts:
        lines += ["", "Instructions per number at the AVX2 level (callgrind, rows of 1000):", "",
                  "| | f32 | f64 |", "|---|---|---|"]
        for op in dict.fromkeys(op for op, _ in counts):
            lines.append(f"| {op} | {counts[op, 'f32']:.2f} | {counts[op, 'f64']:.2f} |")
    text = "\n".join(lines) + "\n"
    print("\n" + text)
    if quick:
        return
    record = HERE / "record"
    record.mkdir(exist_ok=True)
    (record / f"{date}.md").write_text(text)
    chart(rows, record / "speed.svg", f"{date}, {cpu}, one thread")


def chart(rows, path, title):
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "logsum"
    import matplotlib.pyplot as plt

    colours = {"logsum": "#0b6e4f", "jax": "#8da0cb", "torch": "#fc8d62", "scipy": "#b3b3b3"}
    rows = rows[:9]
    figure, axes = plt.subplots(figsize=(9, 6))
    height = 0.8 / len(colours)
    for i, (name, colour) in enumerate(colours.items()):
        at = [row + i * height for row in range(len(rows))]
        ratios = [times.get(name, float("nan")) / times[unit] for _, unit, _, times in rows]
        axes.barh(at, ratios, height, label=name, color=colour)
        for y, ratio in zip(at, ratios):
            if ratio == ratio:
                axes.text(ratio * 1.03, y, f"{ratio:.1f}", va="center", fontsize=7)
    axes.set_yticks([row + 0.3 for row in range(len(rows))], [label for label, *_ in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    ticks = [1, 2, 5, 10, 20, 50, 100]
    axes.set_xticks(ticks, map(str, ticks))
    axes.minorticks_off()
    axes.set_xlim(right=1.3 * max(times[name] / times[unit] for _, unit, _, times in rows for name in colours if name in times))
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("time, as a multiple of one read (copy, for gradients and softmax) of the same memory")
    axes.set_title(title, fontsize=9)
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


ALL_CORES = os.sched_getaffinity(0)

if __name__ == "__main__":
    main()
