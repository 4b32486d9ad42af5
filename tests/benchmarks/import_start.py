"""`import labbook`, and `start()` in a repository of 1,000 files: the book's first, and later."""

from __future__ import annotations

import statistics
import subprocess
from pathlib import Path

from tests.benchmarks.ground import fresh, repository
from tests.benchmarks.report import Figure
from tests.benchmarks.timing import seconds

CODE = """
import json, time
began = time.perf_counter()
import labbook
imported = time.perf_counter()
run = labbook.start({"lr": 0.1})
started = time.perf_counter()
run.finish()
print(json.dumps([imported - began, started - imported]))
"""


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    place = repository(folder / "repository", 50 if quick else 1000)
    taken = [fresh(CODE, cwd=place) for _ in range(3 if quick else 11)]
    imports = statistics.median(t[0] for t in taken) * 1e3
    first, later = taken[0][1] * 1e3, statistics.median(t[1] for t in taken[1:]) * 1e3
    git = ["git", "status", "--porcelain"]
    status = statistics.median(
        seconds(lambda: subprocess.run(git, cwd=place, check=True, stdout=subprocess.DEVNULL))
        for _ in range(11)
    )
    return [
        Figure("import labbook", imports, "ms", goal="< 20 ms", met=imports < 20),
        Figure("start(), the book's first", first, "ms"),
        Figure(
            "start(), later",
            later,
            "ms",
            status * 1e3,
            "git status in the same repository",
            goal="< 150 ms",
            met=later < 150,
        ),
    ]
