"""The examples give what they say, and draw their pictures."""

import importlib
import os
import pathlib
import runpy

import numpy as np

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"


def run(name, picture):
    result = runpy.run_path(str(EXAMPLES / name))["main"](str(picture))
    assert picture.stat().st_size > 5000
    return result


def test_waic(tmp_path):
    assert round(float(run("waic.py", tmp_path / "waic.png")), 2) == -30.72


def test_mixture(tmp_path):
    ours, theirs = run("mixture.py", tmp_path / "mixture.png")
    assert abs(ours - theirs) < 1e-6


def test_masked(tmp_path):
    accuracy, ours, theirs = run("masked.py", tmp_path / "masked.png")
    assert accuracy > 0.85 and np.isfinite(ours).all() and ours[-1] < 0.5 * ours[0]
    assert np.isnan(theirs).all()


def test_same_bits(tmp_path):
    different, losses = run("same_bits.py", tmp_path / "same_bits.png")
    assert different == 0 and losses[-1] < 0.5 * losses[0]


def test_agree(tmp_path, monkeypatch):
    # Its processes import it.
    monkeypatch.syspath_prepend(EXAMPLES)
    counts = importlib.import_module("agree").main(str(tmp_path / "agree.png"))
    ours = [count for (_, _, library), count in counts.items() if library == "logsum"]
    assert len(ours) == 2 * 10 and not any(ours)
    assert counts["4 shards", "float32", "torch"] > 0


def test_evidence():
    """In each of the ways that are there; ./test engines has all four."""
    found = runpy.run_path(str(EXAMPLES / "evidence.py"))["main"]()
    polars = found.pop("Polars")
    assert round(sum(log_density for _, log_density, _ in polars), 1) == -30.8
    for rows in found.values():
        assert rows == [expected[: len(row)] for row, expected in zip(rows, polars, strict=True)]
    wanted = os.environ.get("LOGSUM_WAYS")
    assert wanted is None or {"Polars", *found} == set(wanted.split(","))
