"""Calls each function of the Python package a million times, and errors a tenth as often: its memory must not grow.

`python3 fuzz/soak.py [calls]` prints a line for each function: calls in a second, and by how many KiB the process grew after the first tenth.
"""

import pickle
import resource
import sys
import time

import numpy as np

import logsum

z, v = np.linspace(-3.0, 3.0, 24).reshape(4, 6), np.ones((4, 6))
labels, ids = np.array([0, 5, 2, 1]), np.array([0, 0, 2, 1])


def pieces(kind, *numbers):
    state = kind()
    state.update(*numbers)
    state.merge(pickle.loads(pickle.dumps(state)))
    return kind.from_bytes(bytes(state)).value


CALLS = {
    "Accumulator": lambda: pieces(logsum.Accumulator, z[0]),
    "EffectiveSampleSize": lambda: pieces(logsum.EffectiveSampleSize, z[0]),
    "WeightedMean": lambda: pieces(logsum.WeightedMean, z[0], v[0]),
    "cross_entropy": lambda: logsum.cross_entropy(z, labels),
    "log_matmul": lambda: logsum.log_matmul(z, z.T),
    "logsumexp": lambda: logsum.logsumexp(z, 1, b=v),
    "logsumexp_hvp": lambda: logsum.logsumexp_hvp(z, v),
    "logsumexp_jvp": lambda: logsum.logsumexp_jvp(z, v),
    "logsumexp_value_and_grad": lambda: logsum.logsumexp_value_and_grad(z),
    "segment_logsumexp": lambda: logsum.segment_logsumexp(z[:, 0], ids),
    "segment_softmax": lambda: logsum.segment_softmax(z[:, 0], ids),
    "token_log_probs": lambda: logsum.token_log_probs(z, labels),
} | {name: lambda f=getattr(logsum, name): f(z[0], v[0]) for name in ("logaddexp", "logsubexp", "xlogy")}
CALLS |= {
    name: lambda f=getattr(logsum, name): f(z)
    for name in logsum.__all__
    if name not in CALLS and name != "__version__"
}
WRONG = [
    lambda: logsum.logsumexp(z, 7),
    lambda: logsum.cross_entropy(z, labels + 9),
    lambda: logsum.log_matmul(z, z),
    lambda: logsum.Accumulator.from_bytes(b"x" * 112),
    lambda: logsum.softmax("x"),
]


def kib():
    """How large the process is now; how large it ever was where the system does not say."""
    try:
        with open("/proc/self/statm") as sizes:
            return int(sizes.read().split()[1]) * resource.getpagesize() // 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def refused(call):
    try:
        call()
    except (TypeError, ValueError, IndexError):
        return
    raise AssertionError("a wrong call has an answer")


def main(calls):
    worst = 0
    with np.errstate(all="ignore"):
        for name, call in (CALLS | {f"error {i}": lambda call=call: refused(call) for i, call in enumerate(WRONG)}).items():
            count = calls // 10 if name.startswith("error") else calls
            for _ in range(count // 10):
                call()
            before, start = kib(), time.perf_counter()
            for _ in range(count - count // 10):
                call()
            grown = kib() - before
            worst = max(worst, grown)
            print(f"{name:26} {(count - count // 10) / (time.perf_counter() - start):10.0f} /s {grown:6} KiB", flush=True)
    print(f"the most: {worst} KiB")
    return worst > 4096


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 1_000_000))
