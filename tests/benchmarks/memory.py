"""Peak memory of a training process because of labbook: against Python alone, and over time."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.ground import fresh
from tests.benchmarks.report import Figure

PEAK = "import json, resource; p = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024"
CODE = """
import sys
import labbook
run = labbook.start({}, book="book", output=False)
for step in range(int(sys.argv[1])):
    run.log(loss=0.5, lr=0.1, step=step)
run.finish()
"""


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    steps = 1_000 if quick else 1_000_000
    bare = fresh(f"{PEAK}; print(json.dumps(p))", cwd=folder)
    short = fresh(f"{CODE}\n{PEAK}\nprint(json.dumps(p))", "100", cwd=folder)
    long = fresh(f"{CODE}\n{PEAK}\nprint(json.dumps(p))", str(steps), cwd=folder)
    return [
        Figure("peak memory, 100 steps", short, "MiB", bare, "Python alone"),
        Figure(f"peak memory, {steps:,} steps", long, "MiB", short, "100 steps"),
    ]
