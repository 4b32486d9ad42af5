"""What evaluation does to training: none, in the loop, and by a watcher on the same host.

Trainings of the small CNN on one thread, each in a process of its own, taken in turns. "Equal" is
of every loss and every weight, bit for bit, with the training that evaluates nothing.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from labbook.paths import BookPaths
from tests.benchmarks.ground import ROOT, environment, fresh
from tests.benchmarks.report import Figure

TRAIN = """
import hashlib, json, sys, time, torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
import labbook
from tests.benchmarks.nets import pictures, small_cnn

book, how, n_steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.set_num_threads(1)
torch.manual_seed(0)
train = TensorDataset(*pictures(2048, 1, 28, seed=1))
val = TensorDataset(*pictures(2048, 1, 28, seed=2))
loader, val_loader = DataLoader(train, 64, shuffle=True), DataLoader(val, 256)
net = small_cnn()
optimizer = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9)
run = labbook.start({}, book=book, output=False)
digest, times, step = hashlib.sha256(), [], 0
began = time.perf_counter()
while step < n_steps:
    for x, y in loader:
        before = time.perf_counter()
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        run.log(loss=loss, step=step)
        digest.update(loss.detach().numpy().tobytes())
        times.append(time.perf_counter() - before)
        if step % 50 == 0:
            run.save(net.state_dict(), step=step)
            if how == "loop":
                net.eval()
                with torch.no_grad():
                    losses = [F.cross_entropy(net(x), y, reduction="none") for x, y in val_loader]
                run.log({"val.loss": torch.cat(losses).mean()}, step=step)
                net.train()
        if step == n_steps:
            break
seconds = time.perf_counter() - began
for value in net.state_dict().values():
    digest.update(value.numpy().tobytes())
run.finish()
times.sort()
print(json.dumps({"id": run.id, "seconds": seconds, "step": times[len(times) // 2],
                  "digest": digest.hexdigest()}))
"""

EVALUATION = """
import labbook
from torch.nn import functional as F
from torch.utils.data import TensorDataset
from tests.benchmarks.nets import pictures, small_cnn

@labbook.evaluation
class Validation:
    def setup(self, context):
        return small_cnn()
    def data(self, context):
        return TensorDataset(*pictures(2048, 1, 28, seed=2))
    def step(self, context, batch):
        x, y = batch
        return {"loss": F.cross_entropy(context.model(x), y, reduction="none")}
"""


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    n_steps, rounds = (50, 1) if quick else (300, 4)
    (folder / "evaluation.py").write_text(EVALUATION)
    done: dict[str, list[dict[str, Any]]] = {"none": [], "loop": [], "watcher": []}
    for place in range(rounds):
        for how, runs in done.items():
            runs.append(_train(folder, folder / f"{how}-{place}", how, n_steps))
    return compared(done)


def compared(done: dict[str, list[dict[str, Any]]]) -> list[Figure]:
    """Figures of trainings by what evaluated them ("none", "loop", "watcher"), taken in turns."""
    equal = {
        how: len({run["digest"] for run in runs + done["none"]}) == 1 for how, runs in done.items()
    }
    figures = []
    for how, text in (("loop", "validation in the loop"), ("watcher", "a watcher beside it")):
        for what, unit, scale in (("seconds", "s", 1.0), ("step", "ms", 1e3)):
            pairs = zip(done[how], done["none"], strict=True)
            ratio = statistics.median(run[what] / bare[what] for run, bare in pairs)
            figures.append(
                Figure(
                    f"training {'wall time' if what == 'seconds' else 'step, median'}, {text}",
                    min(run[what] for run in done[how]) * scale,
                    unit,
                    min(run[what] for run in done["none"]) * scale,
                    "none",
                    note=f"median of pairs {ratio - 1:+.2%}",
                )
            )
        figures.append(
            Figure(
                f"losses and weights equal bit for bit, {text}",
                float(equal[how]),
                "",
                goal="1" if how == "watcher" else "",
                met=equal[how] if how == "watcher" else None,
            )
        )
    return figures


def _train(folder: Path, book: Path, how: str, n_steps: int) -> dict[str, Any]:
    watcher = None
    if how == "watcher":
        # started first and warm, as on a machine where it has been running for days
        watcher = watch_beside(folder, book)
        await_results(book, fresh(TRAIN, str(book), "none", "50", cwd=ROOT)["id"], 1)
    try:
        found: dict[str, Any] = fresh(TRAIN, str(book), how, str(n_steps), cwd=ROOT)
    finally:
        if watcher is not None:
            watcher.terminate()
            watcher.communicate()
    return found


def await_results(book: Path, run_id: str, count: int, timeout_s: float = 120.0) -> None:
    """Wait until a run has so many results; raise when they never come."""
    folder = BookPaths(book).run(run_id).evaluations
    began = time.monotonic()
    while len(list(folder.glob("*/*.parquet"))) < count:
        if time.monotonic() - began > timeout_s:
            raise RuntimeError(f"{run_id} has no {count} results after {timeout_s:.0f} s")
        time.sleep(0.02)


def watch_beside(folder: Path, book: Path) -> subprocess.Popen[str]:
    """A watcher of a new book that is ready: its worker has imported the evaluation."""
    book.mkdir(exist_ok=True)
    watcher = subprocess.Popen(
        watch_command(book),
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watcher.stderr is not None
    watcher.stderr.readline()
    return watcher


def watch_command(book: Path) -> list[str]:
    """The command line of a watcher with one thread, for a folder with an evaluation.py."""
    words = [sys.executable, "-m", "labbook.cli", "watch", "evaluation.py", "--book", str(book)]
    return [*words, "--threads", "1"]
