"""`start()` must cost the same in a book of 1 run and of 10,000."""

from __future__ import annotations

import statistics
from pathlib import Path

from tests.benchmarks.ground import book_of, fresh
from tests.benchmarks.report import Figure

CODE = """
import json, sys, time
import labbook
began = time.perf_counter()
run = labbook.start({"lr": 0.1}, book=sys.argv[1])
print(json.dumps(time.perf_counter() - began), flush=True)
run.finish()
"""


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    runs = 20 if quick else 10_000
    few, many = book_of(folder / "few", 1), book_of(folder / "many", runs)
    taken: dict[Path, list[float]] = {few: [], many: []}
    for _ in range(2 if quick else 11):
        for book, took in taken.items():
            took.append(fresh(CODE, str(book), cwd=folder) * 1e3)
    alone, crowded = statistics.median(taken[few]), statistics.median(taken[many])
    return [
        Figure(
            f"start() in a book of {runs:,} runs",
            crowded,
            "ms",
            alone,
            "a book of one run",
            goal="the same",
            met=crowded < alone * 1.2,
        )
    ]
