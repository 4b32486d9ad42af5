"""One tracker in one process, in a folder of its own: `peer_child NAME TASK SECONDS`.

Tasks: `cost`, `bytes`, `kill` (logs 5,000 calls and kills itself), `count` (how many can be read).
Every tracker is used as its own documentation says, offline, with its defaults.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks.step_slowdown import one_ms_step, slowdown

HERE = Path.cwd()
Log = Callable[[Mapping[str, float], int], object]
Finish = Callable[[], object]
KILLED_AFTER = 5_000


def labbook() -> tuple[Log, Finish]:
    import labbook

    run = labbook.start({}, book=HERE / "book", output=False)
    return lambda metrics, step: run.log(metrics, step=step), run.finish


def labbook_count() -> int:
    import labbook

    book = labbook.open(HERE / "book")
    return book.run(book.ids()[0]).series("loss").num_rows


def wandb() -> tuple[Log, Finish]:
    import wandb

    run = wandb.init(project="bench", mode="offline", dir=str(HERE))
    return lambda metrics, step: run.log(metrics, step=step), run.finish


def wandb_count() -> int:
    """The package has no reader: its log is LevelDB's (blocks of 32 KiB) of protobuf records."""
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = HERE.glob("wandb/offline-run-*/run-*.wandb")
    data, at, count, body = path.read_bytes(), 7, 0, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        part = data[at + 7 : at + 7 + length]
        if kind == 0 or len(part) < length:
            break
        body = part if kind in (1, 2) else body + part
        at += 7 + length
        if kind in (1, 4):
            record = Record.FromString(body)
            count += record.WhichOneof("record_type") == "history"
    return count


def mlflow() -> tuple[Log, Finish]:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{HERE}/mlflow.db")
    mlflow.start_run()
    return lambda metrics, step: mlflow.log_metrics(dict(metrics), step=step), mlflow.end_run


def mlflow_count() -> int:
    with sqlite3.connect(HERE / "mlflow.db") as db:
        return int(db.execute("select count(*) from metrics").fetchone()[0])


def tensorboard() -> tuple[Log, Finish]:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(HERE / "events"))

    def log(metrics: Mapping[str, float], step: int) -> None:
        for name, value in metrics.items():
            writer.add_scalar(name, value, step)

    return log, writer.close


def tensorboard_count() -> int:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    (path,) = (HERE / "events").iterdir()
    return sum(len(event.summary.value) for event in EventFileLoader(str(path)).Load())


def aim() -> tuple[Log, Finish]:
    from aim import Run

    run = Run(repo=str(HERE))

    def log(metrics: Mapping[str, float], step: int) -> None:
        for name, value in metrics.items():
            run.track(value, name=name, step=step)

    return log, run.close


def aim_count() -> int:
    import subprocess

    from aim import Repo

    program = Path(sys.executable).parent / "aim"
    subprocess.run(
        [program, "storage", "--repo", str(HERE), "reindex", "-y"], check=True, capture_output=True
    )
    found = [m for run in Repo(str(HERE)).iter_runs() for m in run.metrics() if m.name == "loss"]
    return sum(len(metric.values.sparse_list()[1]) for metric in found)


def trackio() -> tuple[Log, Finish]:
    import trackio

    trackio.init(project="bench")
    return lambda metrics, step: trackio.log(dict(metrics), step=step), trackio.finish


def trackio_count() -> int:
    found = [path for path in HERE.rglob("bench*.db") if path.stat().st_size]
    if not found:
        return 0
    with sqlite3.connect(found[0]) as db:
        return int(db.execute("select count(*) from metrics").fetchone()[0])


PACKAGES = {name: name for name in ("labbook", "wandb", "mlflow", "tensorboard", "aim", "trackio")}
TRACKERS = {f.__name__: f for f in (labbook, wandb, mlflow, tensorboard, aim, trackio)}
COUNTS = {
    "labbook": labbook_count,
    "wandb": wandb_count,
    "mlflow": mlflow_count,
    "tensorboard": tensorboard_count,
    "aim": aim_count,
    "trackio": trackio_count,
}
HEAVY = {"tensorboard": "torch.utils.tensorboard"}
"""What is imported to use it, where that is not the package itself."""


def cost(name: str, budget_s: float) -> dict[str, Any]:
    """Import, start, and the calls; each loop ends with its budget at the latest."""
    import importlib

    step = one_ms_step()
    began = time.perf_counter()
    importlib.import_module(HEAVY.get(name, name))
    imported = time.perf_counter()
    log, finish = TRACKERS[name]()
    started = time.perf_counter()
    ten = {f"metric{i}": 0.1 * i for i in range(10)}
    one_us = _calls(lambda i: log({"loss": 0.5}, i), 20_000, budget_s)
    first = len(one_us)
    ten_us = _calls(lambda i: log(ten, first + i), 5_000, budget_s)
    first += len(ten_us)
    idle_us = _calls(lambda i: log({"loss": 0.5}, first + i), 200, budget_s, idle_s=0.005)
    first += len(idle_us)
    five = {f"metric{i}": 0.1 * i for i in range(5)}

    def logged(i: int) -> None:
        step()
        log(five, first + i)

    ratio, _ = slowdown(step, logged, pairs=max(2, int(budget_s * 12)))
    ended = time.perf_counter()
    finish()
    return {
        "version": version(PACKAGES[name]),
        "import ms": (imported - began) * 1e3,
        "start ms": (started - imported) * 1e3,
        "1 scalar p50 µs": statistics.median(one_us),
        "p99": sorted(one_us)[int(len(one_us) * 0.99)],
        "mean": statistics.fmean(one_us),
        "10 scalars p50 µs": statistics.median(ten_us),
        "idle 5 ms, p50 µs": statistics.median(idle_us),
        "1 ms step, slower by %": (ratio - 1) * 100,
        "finish ms": (time.perf_counter() - ended) * 1e3,
    }


def _calls(call: Callable[[int], object], count: int, budget_s: float, idle_s: float = 0.0) -> Any:
    clock, taken = time.perf_counter_ns, []
    end = clock() + int(budget_s * 1e9)
    for i in range(count):
        if idle_s:
            time.sleep(idle_s)
        began = clock()
        call(i)
        done = clock()
        taken.append((done - began) / 1e3)
        if done > end:
            break
    return taken


def size(name: str, budget_s: float) -> dict[str, Any]:
    """Log 10 noisy losses a step (none without a budget) and finish; the parent weighs it."""
    import random

    from tests.benchmarks.bytes_per_point import losses

    rng, steps = random.Random(0), 0
    rows = [losses(step, rng) for step in range(20_000 if budget_s else 0)]
    log, finish = TRACKERS[name]()
    end = time.monotonic() + budget_s
    for row in rows:
        log(row, steps)
        steps += 1
        if time.monotonic() > end:
            break
    finish()
    return {"points": steps * 10}


def kill(name: str, budget_s: float) -> None:
    log, _ = TRACKERS[name]()
    end = time.monotonic() + budget_s
    for step in range(KILLED_AFTER):
        log({"loss": 0.5}, step)
        if time.monotonic() > end:
            break
    (HERE / "returned").write_text(str(step + 1))
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    name, task, budget_s = sys.argv[1], sys.argv[2], float(sys.argv[3])
    if task == "kill":
        kill(name, budget_s)
    told = {
        "cost": lambda: cost(name, budget_s),
        "bytes": lambda: size(name, budget_s),
        "count": lambda: {"count": COUNTS[name]()},
    }[task]()
    print(f"\n{json.dumps(told)}", flush=True)


if __name__ == "__main__":
    main()
