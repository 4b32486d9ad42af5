"""What `run.advice()` costs in the training loop, with 200 results in the run's folder.

The floor, in the same process and taking turns, is one `os.stat` of a file. The look for new
results, on the other thread, is timed apart: with all results new, and with none.
"""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks.ground import recording
from tests.benchmarks.report import Figure
from tests.benchmarks.timing import cost_of, seconds


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    from labbook.client.advice import Adviser

    with recording(folder, gauges=0) as run:
        results = run.paths.evaluations / "validation"
        results.mkdir(parents=True)
        n_results = 20 if quick else 200
        for step in range(n_results):
            _result(results / f"{step:032x}.parquet", step)
        adviser = Adviser(run.paths, run._journal)
        adviser.ask("accuracy", None, "auto", 5, 0.0, None)
        first = seconds(adviser.tick)
        later = min(seconds(adviser.tick) for _ in range(5 if quick else 50))
        file = str(run.paths.run_json)
        costs = cost_of(
            {
                "advice": lambda _: run.advice("accuracy", patience=5),
                "stat": lambda _: os.stat(file),
            },
            rounds=5 if quick else 100,
            calls=50 if quick else 200,
        )
    ours, floor = costs["advice"], costs["stat"]
    goal = 10_000.0
    return [
        Figure("run.advice(), p50", ours.p50 / 1e3, "µs", floor.p50 / 1e3, "os.stat of a file",
               "< 10 µs", ours.p50 < goal),
        Figure("run.advice(), p99", ours.p99 / 1e3, "µs", floor.p99 / 1e3, "os.stat of a file",
               "< 10 µs", ours.p99 < goal),
        Figure(f"looking for results, {n_results} new", first * 1e3, "ms"),
        Figure("looking for results, none new", later * 1e3, "ms"),
    ]  # fmt: skip


def _result(path: Path, step: int) -> None:
    import json

    meta = {
        "format": 1,
        "checkpoint": {"step": step, "digest": f"zip:{step}"},
        "metrics": {"accuracy": step / 1000, "loss": 1 / (step + 1)},
        "subset": "full",
        "ended_ns": step,
        "code": {"files": {f"package/module{n}.py": "0" * 64 for n in range(20)}},
    }
    table = pa.table({"example": list(range(100)), "accuracy": [True] * 100})
    pq.write_table(table.replace_schema_metadata({"labbook": json.dumps(meta)}), path)
