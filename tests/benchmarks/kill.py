"""Records lost to SIGKILL among those whose `log()` returned; records read that were never logged.

A child logs and publishes the number of returned calls in a shared page; it is killed at a random
moment, by turns at full speed and at 500 calls a second.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks.ground import environment
from tests.benchmarks.report import Figure

CHILD = """
import mmap, sys, time
import labbook
pause = float(sys.argv[2])
with open(sys.argv[1], "r+b") as file:
    page = memoryview(mmap.mmap(file.fileno(), 8)).cast("q")  # one store: never half a number
run = labbook.start({}, book="book", gauges=False, output=False)
step = 0
while True:
    run.log(loss=step * 0.5, twice=step * 2.0, step=step)
    step += 1
    page[0] = step
    if pause:
        time.sleep(pause)
"""


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    rng, kills = random.Random(0), 4 if quick else 200
    lost = returned = invented = 0
    for n in range(kills):
        place = folder / str(n)
        place.mkdir()
        count = _kill(place, pause=0.002 * (n % 2), after_s=rng.uniform(0.0, 0.3))
        steps, wrong = _read(place / "book")
        returned += count
        lost += len(set(range(count)) - steps)
        # one more than returned may be there: killed between the write and the return
        invented += wrong + sum(step > count for step in steps)
    return [
        Figure("SIGKILLs", kills, ""),
        Figure("calls that returned", returned, ""),
        Figure("of those, not readable", lost, "", goal="0", met=lost == 0),
        Figure("rows read that were never logged", invented, "", goal="0", met=invented == 0),
    ]


def _kill(place: Path, *, pause: float, after_s: float) -> int:
    page = place / "page"
    page.write_bytes(bytes(8))
    with (
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(page), str(pause)],
            cwd=place,
            env=environment(),
            stderr=subprocess.DEVNULL,
        ) as child,
        open(page, "r+b") as file,
    ):
        shared = mmap.mmap(file.fileno(), 8)
        while struct.unpack("<q", shared[:])[0] == 0:
            if child.poll() is not None:
                raise RuntimeError(f"the child ended by itself with {child.returncode}")
            time.sleep(0.001)
        time.sleep(after_s)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        return int(struct.unpack("<q", shared[:])[0])


def _read(book: Path) -> tuple[set[int], int]:
    import labbook

    opened = labbook.open(book)
    table = opened.run(opened.ids()[0]).table("loss", "twice").to_pydict()
    rows = list(zip(table["step"], table["loss"], table["twice"], strict=True))
    wrong = sum((loss, twice) != (step * 0.5, step * 2.0) for step, loss, twice in rows)
    return {step for step, _, _ in rows}, wrong + len(rows) - len({row[0] for row in rows})
