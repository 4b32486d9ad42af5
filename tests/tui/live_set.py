"""A live run that observes its chosen set when it is told to."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.tui.lab import environment

SCRIPT = """
import sys
import numpy as np
import labbook

n = int(sys.argv[2])
run = labbook.start({"lr": 0.1}, name="alive", book=sys.argv[1], output=False)
rng = np.random.default_rng(0)
labels = np.arange(n) % 10
images = rng.random((n, 16, 16, 1)).astype(np.float32)
chosen = run.choose((images, labels), n=n)
label, at = labels[list(chosen.indices)], np.arange(n)
step = 0
for line in sys.stdin:
    for _ in range(int(line)):
        step += 10
        out = rng.normal(0, 0.7, (n, 10)).astype(np.float32)
        out[at, label] += 2 - 2 * np.exp(-step / 3000)
        z = out - out.max(1, keepdims=True)
        log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
        run.log({"loss": float(-log_p[at, label].mean()), "val/loss": 2.5 / step}, step=step)
        chosen.record(step, loss=-log_p[at, label], output=out)
    print("observed", flush=True)
"""


@contextlib.contextmanager
def observing(book: Path, n_examples: int) -> Iterator[Callable[[int], None]]:
    """The run `alive`; what is yielded makes it observe so many times."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(book), str(n_examples)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def observe(times: int) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{times}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "observed\n"

    try:
        yield observe
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()
