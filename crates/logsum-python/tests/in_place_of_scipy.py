"""A plugin for pytest: SciPy's own tests find logsum's functions in the place of SciPy's; it is a failure if one is never called.

They compile what they call for JAX; with EAGER=1 in the environment they do not.
"""

import collections
import functools
import os

import pytest
import scipy.special
from scipy._lib._array_api import xp_capabilities_table

import logsum

CALLS = collections.Counter()


def counted(name):
    ours = getattr(logsum, name)

    @functools.wraps(ours)
    def call(*arguments, **options):
        CALLS[name] += 1
        return ours(*arguments, **options)

    return call


NAMES = ("logsumexp", "softmax", "log_softmax")
for name in NAMES:
    ours = counted(name)
    capabilities = xp_capabilities_table[getattr(scipy.special, name)]
    xp_capabilities_table[ours] = capabilities | {"jax_jit": os.environ.get("EAGER") != "1"}
    setattr(scipy.special, name, ours)


def pytest_sessionfinish(session):
    if any(CALLS[name] == 0 for name in NAMES):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    calls = ", ".join(f"{name} {CALLS[name]}" for name in NAMES)
    terminalreporter.write_line(f"calls of logsum in the place of SciPy: {calls}")
