"""A classifier whose log-probabilities, and the derivatives through them, are computed on a GPU, and all else on the
CPU. With logsum the losses have the bits of those computed on the CPU alone, as each log-probability is correctly
rounded; with torch's own log-softmax they do not.

    python same_bits.py [PICTURE.png]

Without a GPU of NVIDIA's it computes on the CPU alone, and says so.
"""

import sys

import matplotlib
import torch
from sklearn.datasets import load_digits

import logsum.torch

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


def train(log_softmax, device, steps=100):
    """The loss of each step, before its update."""
    digits = load_digits()
    x, y = torch.tensor(digits.data / 16, dtype=torch.float32), torch.tensor(digits.target)
    torch.manual_seed(0)
    model = torch.nn.Linear(64, 10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    history = []
    for _ in range(steps):
        # Log-probabilities on the device. Sums, whose order may be different there, are computed on the CPU.
        log_p = log_softmax(model(x).to(device), 1).cpu()
        loss = -log_p.gather(1, y[:, None]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    return history


def main(picture=None):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        print("no GPU: both curves are the CPU's")
    ours = [train(logsum.torch.log_softmax, place) for place in ("cpu", device)]
    theirs = [train(torch.log_softmax, place) for place in ("cpu", device)]
    different = [sum(a != b for a, b in zip(*curves)) for curves in (ours, theirs)]
    print(f"loss {ours[0][-1]:.6f}; of {len(ours[0])} losses {different[0]} differ between CPU and {device}, of torch's {different[1]}")
    if picture:
        figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
        for curves, name in ((theirs, "torch"), (ours, "logsum")):
            differences = [abs(a - b) for a, b in zip(*curves)]
            axes.plot(differences, label=f"{name}: {sum(d > 0 for d in differences)} of {len(differences)} differ")
        axes.set(xlabel="step", ylabel=f"|loss on the CPU − loss on {device}|", title="From the same scores")
        axes.legend(frameon=False)
        figure.savefig(picture, dpi=120)
    return different[0], ours[0]


if __name__ == "__main__":
    main(*sys.argv[1:2])
