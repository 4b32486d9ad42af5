"""ResNet-18 on synthetic pictures, evaluated by `labbook.evaluation.classification`.

Latency: from the rename of a checkpoint (45 MB) to the moment that its evaluation begins, with a
warm worker; against a sidecar that looks every second, as those of Keras, TensorFlow and Orbax do,
its network and data built before. The next checkpoint comes when the last one is evaluated, after
a random pause. Training: as in `watch_training`, with a chosen set and a checkpoint now and then.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from torch.utils.data import TensorDataset

import labbook
from labbook.paths import BookPaths, RunPaths
from tests.benchmarks.ground import environment, fresh
from tests.benchmarks.nets import pictures, resnet18
from tests.benchmarks.report import Figure
from tests.benchmarks.resnet import lay
from tests.benchmarks.watch_throughput import throughput, warm_and_cold
from tests.benchmarks.watch_training import await_results, compared, watch_beside

_TRAIN = "import runpy; runpy.run_path('train.py', run_name='__main__')"

SAVER = """
import json, os, sys, time, torch, labbook
from nets import resnet18
torch.set_num_threads(1)
plain = os.replace
def replace(source, target):
    plain(source, target)
    if str(target).endswith(".pt"):
        print(json.dumps(time.time_ns()), flush=True)
os.replace = replace
net = resnet18()
arguments = {"n_validation": 16, "side": 8, "classes": 10}
run = labbook.start(arguments, book=sys.argv[1], output=False, gauges=False)
print(json.dumps(run.id), flush=True)
for line in sys.stdin:
    with torch.no_grad():
        net[0].weight += 0.01
    run.save(net.state_dict(), step=int(line))
"""

SIDECAR = """
import json, sys, time
from pathlib import Path
import torch
from torch.nn import functional as F
from nets import pictures, resnet18
torch.set_num_threads(1)
net, (x, y), seen = resnet18().eval(), pictures(16, 3, 8), set()
print(json.dumps("ready"), flush=True)
while True:
    for path in sorted(Path(sys.argv[1]).glob("*.pt")):
        if path not in seen:
            seen.add(path)
            began_ns = time.time_ns()
            net.load_state_dict(torch.load(path, weights_only=True))
            with torch.inference_mode():
                F.cross_entropy(net(x), y).item()
            print(json.dumps(began_ns), flush=True)
    time.sleep(1.0)
"""


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    torch.set_num_threads(1)
    data, net = pictures(16 if quick else 128, 3, 32), resnet18()
    validation = labbook.evaluation.classification(
        TensorDataset(*data), lambda args: net, outputs=True
    )
    return [
        *_latency(folder / "latency", 4 if quick else 60),
        throughput("ResNet-18", net, data, 64, folder, evaluation=validation),
        warm_and_cold("resnet18", pictures(64, 3, 32), folder, 1 if quick else 5),
        *_training(folder / "training", quick=quick),
    ]


def _latency(folder: Path, count: int) -> list[Figure]:
    lay(folder)
    mine = _waits_of_watcher(folder, count)
    theirs = _waits_of_sidecar(folder, count)
    figures = []
    for name, place in (("p50", 0.5), ("p99", 0.99)):
        at = min(len(mine) - 1, int(len(mine) * place))
        figures.append(
            Figure(
                f"renamed → its evaluation begins, {name}",
                sorted(mine)[at],
                "ms",
                sorted(theirs)[at],
                "a sidecar that polls every second",
                goal="< 50 ms" if name == "p50" else "< 250 ms",
                met=sorted(mine)[at] < (50 if name == "p50" else 250),
            )
        )
    return figures


def _waits_of_watcher(folder: Path, count: int) -> list[float]:
    """Milliseconds, of all checkpoints but the first: with that the worker grows warm."""
    book = BookPaths(folder / "book")
    saver = _process(SAVER, str(book.root), cwd=folder)
    run = book.run(_told(saver))
    watcher = watch_beside(folder, book.root)
    renamed, pause = {}, random.Random(0)
    try:
        for step in range(count + 1):
            renamed[step] = _save(saver, step)
            await_results(book.root, run.id, step + 1)
            _remove(run, step)
            time.sleep(pause.uniform(0.0, 1.0))
    finally:
        _end(saver, watcher)
    begun = {}
    for path in run.evaluations.glob("*/*.parquet"):
        meta = json.loads(pq.read_schema(path).metadata[b"labbook"])
        begun[meta["checkpoint"]["step"]] = meta["started_ns"]
    return [(begun[step] - renamed[step]) / 1e6 for step in range(1, count + 1)]


def _waits_of_sidecar(folder: Path, count: int) -> list[float]:
    book = BookPaths(folder / "polled")
    saver = _process(SAVER, str(book.root), cwd=folder)
    run = book.run(_told(saver))
    sidecar = _process(SIDECAR, str(run.checkpoints), cwd=folder)
    _told(sidecar)
    waits, pause = [], random.Random(0)
    try:
        for step in range(count):
            renamed_ns = _save(saver, step)
            waits.append((_told(sidecar) - renamed_ns) / 1e6)
            _remove(run, step)
            time.sleep(pause.uniform(0.0, 1.0))
    finally:
        _end(saver, sidecar)
    return waits


def _training(folder: Path, *, quick: bool) -> list[Figure]:
    n_steps, rounds = (4, 1) if quick else (60, 4)
    words = ["--steps", str(n_steps), "--every", str(max(2, n_steps // 4)), "--side", "16"]
    done: dict[str, list[dict[str, Any]]] = {"none": [], "loop": [], "watcher": []}
    for place in range(rounds):
        for how, runs in done.items():
            # a folder each: the book lies in it, and with it what the watcher knows
            runs.append(_train(lay(folder / f"{how}-{place}"), how, words))
    return compared(done)


def _train(folder: Path, how: str, words: list[str]) -> dict[str, Any]:
    watcher, book = None, folder / ".labbook"
    place = {"LABBOOK_DIR": str(book)}
    if how == "watcher":
        watcher = watch_beside(folder, book)
        # first a short one, so that the worker is warm
        short = fresh(_TRAIN, *words, "--steps", "2", "--every", "2", cwd=folder, **place)
        await_results(book, short["id"], 1)
    try:
        more = ["--in-loop"] if how == "loop" else []
        found: dict[str, Any] = fresh(_TRAIN, *words, *more, cwd=folder, **place)
    finally:
        if watcher is not None:
            _end(watcher)
    return found


def _process(code: str, *words: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        cwd=cwd, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def _told(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def _save(saver: subprocess.Popen[str], step: int) -> int:
    """Have a checkpoint saved; when it was renamed in, in nanoseconds."""
    assert saver.stdin is not None
    saver.stdin.write(f"{step}\n")
    saver.stdin.flush()
    told: int = _told(saver)
    return told


def _remove(run: RunPaths, step: int) -> None:
    """Room for the next one: together they would take gigabytes."""
    for path in run.checkpoints.glob(f"step-{step}.pt*"):
        path.unlink()


def _end(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        process.terminate()
        process.communicate()
