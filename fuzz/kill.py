"""Runs the command over random files and ends it by SIGKILL at random moments: results are whole or absent.

`python3 fuzz/kill.py COMMAND [minutes]`, with COMMAND the file `logsum`. After each run the input must have the bytes
that it had, and the output must be what a run that nobody disturbs writes, or what stood there before. What is left of
temporary files is counted: nothing can remove them when a process is ended so.
"""

import hashlib
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import numpy as np

BEFORE = b"what stood there before"


def inputs(folder, seed):
    """A file of each kind whose reduction takes some tenths of a second."""
    numbers = np.random.default_rng(seed)
    wide = numbers.normal(scale=10.0, size=(2000, 1000))
    np.save(folder / "f32.npy", wide.astype("f4"))
    np.save(folder / "f64.npy", np.asfortranarray(wide))
    np.savez_compressed(folder / "packed.npz", scores=wide[:400])
    np.savetxt(folder / "table.csv", wide[:, :40], delimiter=",", fmt="%.17g")
    np.save(folder / "labels.npy", numbers.integers(0, 1000, 2000))


COMMANDS = [
    ("softmax f32.npy --axis 1 -o {}", "p.npy"),
    ("softmax f64.npy --axis 0 -o {}", "p.npy"),
    ("log-softmax packed.npz --array scores --axis 1 -o {}", "p.json"),
    ("log-softmax table.csv --axis 1 -o {}", "p.csv"),
    ("grad f64.npy --axis 1 -o {}", "gradient.npy"),
    ("lse f32.npy --axis 0 -o {}", "values.csv"),
    ("lse table.csv --state {}", "sum.lse"),
    ("cross-entropy f32.npy labels.npy --rows -o {}", "losses.npy"),
]


def digests(folder, names):
    return {name: hashlib.sha256((folder / name).read_bytes()).digest() for name in names}


def main(command, minutes=1.0):
    runs = killed = whole = left = 0
    chance = random.Random(1)
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            inputs(folder, chance.randrange(2**32))
            given = sorted(path.name for path in folder.iterdir())
            known = digests(folder, given)
            for words, output in COMMANDS:
                line = [command, *words.format(output).split()]
                target = folder / output
                started = time.monotonic()
                subprocess.run(line, cwd=folder, check=True, stdout=subprocess.DEVNULL)
                takes = time.monotonic() - started
                expected = target.read_bytes()
                for _ in range(20):
                    target.write_bytes(BEFORE)
                    process = subprocess.Popen(line, cwd=folder, stdout=subprocess.DEVNULL)
                    try:
                        process.wait(chance.uniform(0.0, 1.2 * takes))
                    except subprocess.TimeoutExpired:
                        process.kill()
                        process.wait()
                        killed += 1
                    found = target.read_bytes()
                    assert found in (BEFORE, expected), f"{line}: {len(found)} bytes, of {len(expected)}"
                    assert found == expected or process.returncode, line
                    whole += found == expected
                    runs += 1
                assert digests(folder, given) == known, f"{line}: an input has changed"
                target.unlink()
            stray = [path for path in folder.iterdir() if path.name not in given]
            left += len(stray)
    print(f"{runs} runs, {killed} of them killed: {whole} results whole, {runs - whole} absent; {left} temporary files left")


if __name__ == "__main__":
    main(str(pathlib.Path(sys.argv[1]).resolve()), *map(float, sys.argv[2:]))
