"""Reading one series of 20,000 points out of ten, sealed and still in the journal."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from tests.benchmarks.bytes_per_point import losses
from tests.benchmarks.ground import fresh, recording, wait_until_sealed
from tests.benchmarks.report import Figure

CODE = """
import json, sys, time
import labbook.book.reading
began = time.perf_counter()
book = labbook.open(sys.argv[1])
table = book.run(book.ids()[0]).series("loss3")
print(json.dumps([time.perf_counter() - began, table.num_rows]))
"""


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    rng, steps = random.Random(0), 500 if quick else 20_000
    with recording(folder, gauges=False) as run:
        for step in range(steps):
            run.log(losses(step, rng), step=step)
        live = folder / "live"
        shutil.copytree(folder / "book", live)
    wait_until_sealed(run.paths)
    figures = []
    for word, book in (("sealed", folder / "book"), ("in the journal", live)):
        taken = [fresh(CODE, str(book), cwd=folder) for _ in range(1 if quick else 5)]
        if any(rows != steps for _, rows in taken):
            raise RuntimeError(f"{taken[0][1]} points of {steps}")
        best = min(took for took, _ in taken) * 1e3
        figures.append(Figure(f"one series of {steps:,} points, {word}", best, "ms"))
    return figures
