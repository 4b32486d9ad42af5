"""How fast a journal becomes Parquet, and how much memory that takes."""

from __future__ import annotations

from pathlib import Path

from labbook.journal.writer import JournalWriter, RowSchema
from labbook.paths import BookPaths, RunPaths
from tests.benchmarks.ground import fresh
from tests.benchmarks.report import Figure

CODE = """
import json, resource, sys, time
from labbook.book.seal import main
began = time.perf_counter()
if main(sys.argv[1:]):
    raise SystemExit("sealing failed")
took = time.perf_counter() - began
print(json.dumps([took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    figures = []
    for points in (10_000,) if quick else (1_000_000, 10_000_000):
        paths = BookPaths(folder / str(points)).run("20260101-000000-aaaaaa")
        last = _journal(paths, points)
        words = [str(paths.root), "--writer", "r0-aaaaaa", "--last", str(last), "--compact"]
        took, peak = fresh(CODE, *words, cwd=folder)
        figures += [
            Figure(f"{points:,} points sealed", took, "s", note=f"{points / took / 1e6:.1f} M/s"),
            Figure(f"{points:,} points sealed, peak memory", peak, "MiB"),
        ]
    return figures


def _journal(paths: RunPaths, points: int) -> int:
    """Write rows of 10 points; return the number of the last segment."""
    for folder in (paths.journal, paths.seals, paths.meta):
        folder.mkdir(parents=True)
    writer = JournalWriter(paths, "r0-aaaaaa")
    schema = RowSchema("series", tuple(f"loss{i}" for i in range(10)))
    with writer.lock:
        for step in range(points // 10):
            noise = hash((step, 1.5)) % 65536 / 65536
            writer.append(schema, step, (noise,) * 5 + (1.0 / (step + 1),) * 5)
    writer.close()
    return writer.number
