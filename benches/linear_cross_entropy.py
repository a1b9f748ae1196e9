"""Times the loss of linear functions and its derivatives beside torch's own, in chunks and with all scores, and measures their memory:
`python benches/linear_cross_entropy.py [ROWS [FEATURES [CLASSES]]]`. Each runs in a process of its own."""

import resource
import subprocess
import sys
import time

import torch
from torch.nn.functional import cross_entropy, linear, linear_cross_entropy

WAYS = ("logsum", "torch, all scores", "torch, chunked")


def measure(way, dtype, rows, features, classes):
    torch.manual_seed(0)
    x = torch.randn(rows, features).to(dtype).requires_grad_()
    w = (torch.randn(classes, features) / features**0.5).to(dtype).requires_grad_()
    target = torch.randint(classes, (rows,))
    if way == "logsum":
        import logsum.torch

        loss = lambda: logsum.torch.linear_cross_entropy(x, w, target)
    elif way == "torch, chunked":
        options = torch.nn.LinearCrossEntropyOptions()
        loss = lambda: linear_cross_entropy(x, w, target, options=options)
    else:
        loss = lambda: cross_entropy(linear(x, w), target)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    best = float("inf")
    for _ in range(4):
        x.grad = w.grad = None
        start = time.perf_counter()
        loss().backward()
        best = min(best, time.perf_counter() - start)
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{best:.3f} {memory:.0f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(sys.argv[2], getattr(torch, sys.argv[3]), *map(int, sys.argv[4:]))
    else:
        given, defaults = sys.argv[1:], ["2048", "1024", "32000"]
        sizes = given + defaults[len(given) :]
        print(f"{sizes[0]} rows, {sizes[1]} features, {sizes[2]} classes; loss and derivatives by both\n\n| | time | more memory |\n|---|---|---|")
        for dtype in ("float32", "bfloat16"):
            for way in WAYS:
                call = [sys.executable, __file__, "measure", way, dtype, *sizes]
                seconds, megabytes = subprocess.run(call, check=True, capture_output=True, text=True).stdout.split()
                print(f"| {way}, {dtype} | {seconds} s | {megabytes} MB |", flush=True)
