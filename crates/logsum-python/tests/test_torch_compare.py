"""The hard inputs of COMPARE.md: our results are the nearest floats, and the page has these inputs."""

import pathlib
import sys

import pytest

pytest.importorskip("torch")
ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "compare"))
import exact
import inputs
import systems


def test_ours_are_the_nearest():
    _, _, functions = systems.ours()
    assert len(inputs.INPUTS) >= 60
    for asked in inputs.INPUTS:
        numbers = asked.arguments.values()
        error = exact.worst(functions[asked.function](*numbers), exact.FUNCTIONS[asked.function](*numbers), asked.dtype)
        # Hessians are within 1 ulp.
        assert error <= (1 if asked.function == "hessian" else 0.5), (asked.function, asked.text, error)


def test_the_page_has_these_inputs():
    page = (ROOT / "COMPARE.md").read_text()
    for asked in inputs.INPUTS:
        assert f"| {asked.text} | {asked.origin} |" in page, asked.text
