"""Examples a second of the watcher's worker against a loop by hand; and a warm worker against a
new process for every checkpoint.

Processor time of one thread, taken in turns, best of several: other programs do not count.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from labbook.watch.evaluation import Arguments, Context, Declaration
from labbook.watch.publish import publish, to_table
from labbook.watch.session import Session, Work
from tests.benchmarks import nets
from tests.benchmarks.ground import ROOT, environment
from tests.benchmarks.nets import pictures, small_cnn
from tests.benchmarks.report import Figure

COLD = """
import sys, torch
from torch.nn import functional as F
from tests.benchmarks import nets
torch.set_num_threads(1)
net, (x, y) = getattr(nets, sys.argv[2])(), nets.pictures(*map(int, sys.argv[3:]))
net.load_state_dict(torch.load(sys.argv[1], weights_only=True))
net.eval()
with torch.inference_mode():
    print(F.cross_entropy(net(x), y).item())
"""


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    torch.set_num_threads(1)
    many = pictures(512 if quick else 4096, 1, 28)
    cnn = throughput("small CNN", small_cnn(), many, 256, folder)
    warm = warm_and_cold("small_cnn", pictures(512, 1, 28), folder, 1 if quick else 5)
    return [cnn, warm]


def _session(
    net: torch.nn.Module, data: Any, size: int, folder: Path, evaluation: type | None
) -> Session:
    x, y = data

    class Evaluation:
        def setup(self, context: Any) -> Any:
            return net

        def data(self, context: Any) -> Any:
            return TensorDataset(x, y)

        def step(self, context: Any, batch: Any) -> Any:
            images, labels = batch
            out = context.model(images)
            loss = F.cross_entropy(out, labels, reduction="none")
            return {"loss": loss, "correct": out.argmax(1) == labels, "output": out}

    context = Context(Arguments({}), {}, "run", torch.device("cpu"), folder)
    declared = Declaration("v", batch_size=size)
    session = Session(declared, evaluation or Evaluation, None, context)
    session.start()
    return session


def throughput(
    name: str,
    net: torch.nn.Module,
    data: Any,
    size: int,
    folder: Path,
    *,
    evaluation: type | None = None,
) -> Figure:
    """Examples a second of `evaluation` (default: one by hand) against a loop by hand."""
    x, y = data
    session = _session(net, data, size, folder, evaluation)
    work = Work(folder / "none", "torch", "full", 0)
    count = 0

    def ours() -> None:
        nonlocal count
        count += 1
        outcome = session.evaluate(work, lambda done, total: None)
        publish(to_table(outcome.rows, {}), folder / name / f"{count}.parquet", folder)

    def bare() -> None:
        net.eval()
        found: list[list[torch.Tensor]] = [[], [], []]
        with torch.inference_mode():
            for start in range(0, len(x), size):
                out, labels = net(x[start : start + size]), y[start : start + size]
                found[0].append(F.cross_entropy(out, labels, reduction="none"))
                found[1].append(out.argmax(1) == labels)
                found[2].append(out)
        torch.cat(found[0]).double().mean().item()
        torch.cat(found[1]).double().mean().item()
        torch.cat(found[2])

    pairs = [(_seconds(bare), _seconds(ours)) for _ in range(9)]
    base, mine = min(a for a, _ in pairs), min(b for _, b in pairs)
    return Figure(
        f"throughput, {name}, rows published",
        len(x) / mine,
        "examples/s",
        len(x) / base,
        "bare loop",
        goal="ratio ≥ 0.98",
        met=base / mine >= 0.98,
    )


def warm_and_cold(net: str, data: Any, folder: Path, rounds: int) -> Figure:
    """One checkpoint of a network of `tests.benchmarks.nets`: load, evaluate, publish."""
    torch.manual_seed(0)
    path = folder / "net.pt"
    model = getattr(nets, net)()
    torch.save(model.state_dict(), path)
    session = _session(model, data, 256, folder, None)
    work = Work(path, "torch", "full", 0)
    count = 0

    def warm() -> None:
        nonlocal count
        count += 1
        session.load(work)
        outcome = session.evaluate(work, lambda done, total: None)
        publish(to_table(outcome.rows, {}), folder / "warm" / f"{count}.parquet", folder)

    def cold() -> None:
        shape = map(str, data[0].shape[:3])
        command = [sys.executable, "-c", COLD, str(path), net, *shape]
        subprocess.run(command, cwd=ROOT, env=environment(), check=True, capture_output=True)

    pairs = [(_wall(cold), _wall(warm)) for _ in range(rounds)]
    return Figure(
        f"one checkpoint, {net}, {len(data[0])} pictures, warm worker",
        min(b for _, b in pairs) * 1e3,
        "ms",
        min(a for a, _ in pairs) * 1e3,
        "a process of its own",
    )


def _seconds(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _wall(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
