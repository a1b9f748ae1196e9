"""A Gaussian mixture fitted by expectation-maximisation in log space, compared with scikit-learn's.

    python mixture.py [PICTURE.png]

The log-likelihood of a point is a log-sum-exp over components, and the responsibilities are its gradient.
"""

import sys
import warnings

import matplotlib
import numpy as np
from sklearn.datasets import load_iris
from sklearn.mixture import GaussianMixture

import logsum

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

COMPONENTS = 3
FLOOR = 1e-6


def log_densities(x, log_weights, means, covariances):
    """log(w_k N(x_i | μ_k, Σ_k)), with a row for each x_i."""
    columns = []
    for log_weight, mean, covariance in zip(log_weights, means, covariances):
        root = np.linalg.cholesky(covariance)
        scaled = np.linalg.solve(root, (x - mean).T)
        log_norm = 0.5 * len(mean) * np.log(2 * np.pi) + np.log(np.diag(root)).sum()
        columns.append(log_weight - log_norm - 0.5 * (scaled**2).sum(axis=0))
    return np.stack(columns, axis=1)


def maximised(x, responsibilities):
    counts = responsibilities.sum(axis=0)
    means = (responsibilities.T @ x) / counts[:, None]
    covariances = [
        (r[:, None] * (x - mean)).T @ (x - mean) / count + FLOOR * np.eye(x.shape[1])
        for r, mean, count in zip(responsibilities.T, means, counts)
    ]
    return np.log(counts / len(x)), means, covariances


def fit(x, responsibilities, tolerance=1e-10):
    """The mean log-likelihood after each step, the mixture, and the responsibilities."""
    history = []
    while len(history) < 2 or history[-1] - history[-2] > tolerance:
        mixture = maximised(x, responsibilities)
        values, responsibilities = logsum.logsumexp_value_and_grad(log_densities(x, *mixture), axis=1)
        history.append(values.mean())
    return history, mixture, responsibilities


def main(picture=None):
    x = load_iris().data
    start = GaussianMixture(COMPONENTS, random_state=0, max_iter=1, tol=0)
    with warnings.catch_warnings(action="ignore"):
        start.fit(x)
        theirs = GaussianMixture(COMPONENTS, random_state=0, tol=1e-10, max_iter=1000).fit(x).score(x)
    history, (_, means, _), responsibilities = fit(x, start.predict_proba(x))
    print(f"mean log-likelihood after {len(history)} steps {history[-1]:.6f}, scikit-learn's {theirs:.6f}")
    # In units 1e6 times as small each density is smaller by the factor 1e24; the log-likelihood changes by a constant
    # only.
    small, _, _ = fit(x * 1e6, start.predict_proba(x))
    print(f"in other units {small[-1] + x.shape[1] * np.log(1e6):.6f}")
    if picture:
        figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
        axes.scatter(x[:, 2], x[:, 3], c=responsibilities @ np.eye(3), s=18, edgecolor="none")
        axes.scatter(means[:, 2], means[:, 3], marker="x", color="black", s=80)
        axes.set(xlabel="petal length, cm", ylabel="petal width, cm", title="Responsibilities: the gradient of log-sum-exp")
        figure.savefig(picture, dpi=120)
        plt.close(figure)
    return history[-1], theirs


if __name__ == "__main__":
    main(*sys.argv[1:])
