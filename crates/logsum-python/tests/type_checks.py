"""Checks of the stubs: by mypy and pyright of files that use them, by stubtest against the functions themselves."""

import os
import pathlib
import shutil
import subprocess
import sys

import logsum

HERE = pathlib.Path(__file__).parent


def check_calls(name):
    for checker in (["mypy", "--strict"], ["pyright", "--pythonpath", sys.executable]):
        run([*checker, HERE / name])


def check_stubs(module, folder):
    """Compares the names, parameters and defaults in the stubs of a module, and of those in it, with the real ones.

    The stubs are copied to a folder of their own: beside the modules without stubs, stubtest would check those as well.
    """
    package = pathlib.Path(logsum.__file__).parent
    for stub in package.rglob("*.pyi"):
        copy = folder / stub.relative_to(package.parent)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(stub, copy)
    options = ["--allowlist", HERE / "stubtest_allowed.txt", "--mypy-config-file", HERE / "stubtest.ini"]
    run(["mypy.stubtest", module.__name__, *options], MYPYPATH=str(folder))


def run(module, **environment):
    command = [sys.executable, "-m", *module]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
