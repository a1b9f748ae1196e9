"""A classifier in PyTorch that is told for each image which digits it cannot be: their scores are −∞.

    python masked.py [PICTURE.png]

Targets are probabilities, which are 0 for impossible digits, so that scores of −∞ contribute nothing to the loss
−Σ q log softmax(z). torch computes 0 · −∞ there, so that its loss is NaN at every step. The loss then shows nothing
about the training, and everything that depends on it fails: a schedule, a loss scale, early stopping, a check that the
loss is finite.
"""

import sys

import matplotlib
import torch
from sklearn.datasets import load_digits

import logsum.torch

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


def data():
    digits = load_digits()
    x = torch.tensor(digits.data / 16, dtype=torch.float32)
    y = torch.tensor(digits.target)
    generator = torch.Generator().manual_seed(0)
    possible = torch.rand(len(y), 10, generator=generator) < 0.3
    possible[torch.arange(len(y)), y] = True
    # 0.9 for the label; 0.1 spread over all possible digits.
    q = 0.1 * possible / possible.sum(1, keepdim=True)
    q[torch.arange(len(y)), y] += 0.9
    return x, y, possible, q


def train(cross_entropy, x, y, possible, q, steps=150):
    """The loss of each step, before its update, and the accuracy after the last step on the last 450 images, for which
    no digits are excluded."""
    torch.manual_seed(0)
    model = torch.nn.Linear(64, 10)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    known, history = slice(0, -450), []
    for _ in range(steps):
        scores = model(x[known]).masked_fill(~possible[known], -torch.inf)
        loss = cross_entropy(scores, q[known])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    with torch.no_grad():
        right = model(x[-450:]).argmax(1) == y[-450:]
    return history, right.float().mean().item()


def main(picture=None):
    everything = data()
    ours, accuracy = train(logsum.torch.cross_entropy, *everything)
    theirs, theirs_accuracy = train(torch.nn.functional.cross_entropy, *everything)
    print(f"logsum: loss {ours[-1]:.4f}, accuracy {accuracy:.4f}")
    print(f"torch:  loss {theirs[-1]:.4f}, accuracy {theirs_accuracy:.4f}")
    if picture:
        figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
        axes.plot(ours, label="logsum.torch.cross_entropy")
        axes.plot(theirs, marker="o", label="torch's own: NaN at each step")
        axes.set(xlabel="step", ylabel="loss", title="Training through scores of −∞")
        axes.legend()
        figure.savefig(picture, dpi=120)
        plt.close(figure)
    return accuracy, ours, theirs


if __name__ == "__main__":
    main(*sys.argv[1:])
