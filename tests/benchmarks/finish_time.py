"""How long `finish()` keeps the program, and when the run is sealed after it."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.ground import recording, wait_until_sealed
from tests.benchmarks.report import Figure
from tests.benchmarks.timing import seconds


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    figures = []
    for points in (100,) if quick else (1_000, 1_000_000, 10_000_000):
        with recording(folder / str(points)) as run:
            row = {f"loss{i}": 0.1 * i for i in range(10)}
            for step in range(points // 10):
                run.log(row, step=step)
            took = seconds(run.finish)
        waited = wait_until_sealed(run.paths)
        figures += [
            Figure(
                f"finish() after {points:,} points", took, "s", goal="≤ 2 s + 0.1", met=took <= 2.1
            ),
            Figure(f"sealed that much later, {points:,} points", waited, "s"),
        ]
    return figures
