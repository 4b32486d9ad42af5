"""The run table of many runs, without and with the catalogue, in a fresh process each."""

from __future__ import annotations

import time
from pathlib import Path

from tests.benchmarks.ground import book_of, fresh
from tests.benchmarks.report import Figure

CODE = """
import json, sys, time
import labbook.book.reading
began = time.perf_counter()
table = labbook.open(sys.argv[1]).runs()
print(json.dumps([time.perf_counter() - began, table.num_rows]))
"""
LS = """
import json, subprocess, sys, time
began = time.perf_counter()
program = "import sys; from labbook.cli import main; main(sys.argv[1:])"
done = subprocess.run([sys.executable, "-c", program, "ls", "--book", sys.argv[1]],
                      capture_output=True, text=True)
print(json.dumps([time.perf_counter() - began, done.returncode, done.stderr]))
"""


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    figures = []
    for runs, limit_ms in ((20, None),) if quick else ((1_000, 50), (10_000, 300)):
        book = book_of(folder / str(runs), runs)
        time.sleep(2.1)  # the catalogue trusts no time younger than two seconds
        cold, rows = fresh(CODE, str(book), cwd=folder)
        if rows != runs:
            raise RuntimeError(f"{rows} rows of {runs} runs")
        warm = min(fresh(CODE, str(book), cwd=folder)[0] for _ in range(5)) * 1e3
        figures += [
            Figure(f"run table of {runs:,} runs, no catalogue", cold, "s"),
            Figure(
                f"run table of {runs:,} runs, catalogue", warm, "ms",
                goal=f"< {limit_ms} ms" if limit_ms else "",
                met=warm < limit_ms if limit_ms else None, note="best of 5 fresh processes",
            ),
        ]  # fmt: skip
        took, code, told = fresh(LS, str(book), cwd=folder)
        if code:
            raise RuntimeError(told)
        figures.append(Figure(f"labbook ls over {runs:,} runs, the whole program", took, "s"))
    return figures
