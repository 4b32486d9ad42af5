"""What `run.loader` adds to a step, and `run.inspect` to a forward pass that it counts.

The inspection's own thread is counted too: its processor time over all batches, once a run.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.benchmarks.ground import recording
from tests.benchmarks.report import Figure

STEPS = 1000
"""Of a loop: a millisecond, which a busy machine now and then leaves undisturbed."""


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    import torch

    batch = (torch.zeros(32, 1, 8, 8), torch.zeros(32, dtype=torch.int64))
    plain = [batch] * (100 if quick else STEPS)
    with recording(folder) as run:
        loaders = {"plain": plain, "floor": Floor(plain), "loader": run.loader(plain)}
        taken: dict[str, list[float]] = {name: [] for name in loaders}
        for _ in range(3 if quick else 400):
            for name, loader in loaders.items():
                taken[name].append(_loop(loader) / len(plain) * 1e6)
        best = {name: min(found) for name, found in taken.items()}
        added, floor = (best[name] - best["plain"] for name in ("loader", "floor"))
        passes, spent_ms = _inspected(run, batch[0], 40 if quick else 320)
    return [
        Figure(
            "run.loader, added to a step",
            added,
            "µs",
            floor,
            "two readings of the clock",
            goal="≤ 1 µs",
            met=added <= 1,
        ),
        Figure("run.inspect, a pass that counts", passes, "µs", note="batches of 32 × 1 × 8 × 8"),
        Figure("run.inspect, all of it", spent_ms, "ms", note="processor time, once a run"),
    ]


class Floor:
    """The least that times a loop: an iterator that reads the clock twice a batch."""

    def __init__(self, batches: Iterable[object]) -> None:
        self._batches, self.waited = batches, 0.0

    def __iter__(self) -> Iterator[object]:
        self._next = iter(self._batches).__next__
        return self

    def __next__(self) -> object:
        before = time.perf_counter()
        batch = self._next()
        self.waited += time.perf_counter() - before
        return batch


def _loop(loader: Iterable[object]) -> float:
    began = time.perf_counter()
    for _ in loader:
        pass
    return time.perf_counter() - began


def _inspected(run: object, x: object, n: int) -> tuple[float, float]:
    from torch import nn

    net = nn.Identity()
    began = time.process_time()
    for _ in range(n):
        net(x)
    bare = time.process_time() - began
    inspection = run.inspect(net, batches=n)  # type: ignore[attr-defined]
    each, began = [], time.process_time()
    for _ in range(n):
        at = time.perf_counter()
        net(x)
        each.append(time.perf_counter() - at)
    inspection.close(60)
    return statistics.median(each) * 1e6, (time.process_time() - began - bare) * 1e3
