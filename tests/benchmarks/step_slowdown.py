"""How much slower a 1 ms training step gets when 5 scalars are logged in it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.ground import recording
from tests.benchmarks.report import Figure


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    step = one_ms_step()
    with recording(folder) as run:
        log = run.log

        def logged(i: int) -> None:
            step()
            log(loss=0.5, accuracy=0.25, lr=0.01, norm=2.0, entropy=1.5, step=i)

        ratio, added_us = slowdown(step, logged, pairs=5 if quick else 150)
    return [
        Figure(
            "slowdown of a 1 ms step, 5 scalars",
            (ratio - 1) * 100,
            "%",
            goal="≤ 1 %",
            met=ratio <= 1.01,
            note=f"{added_us:+.1f} µs a step",
        )
    ]


def one_ms_step() -> Callable[[], object]:
    """A numpy matrix product repeated until it takes about a millisecond."""
    import numpy as np

    a = np.random.default_rng(0).standard_normal((128, 128)).astype(np.float32)

    def product(times: int) -> None:
        for _ in range(times):
            a @ a

    product(20)
    took = min(_seconds(lambda: product(20)) for _ in range(20)) / 20
    times = max(1, round(0.001 / took))
    return lambda: product(times)


def slowdown(
    bare: Callable[[], object], logged: Callable[[int], None], *, pairs: int, steps: int = 20
) -> tuple[float, float]:
    """Blocks of steps with and without logging take turns; the order flips with every pair.

    Returns the median of the pairs' ratios, and the median microseconds added to a step.
    """
    ratios, added = [], []
    for pair in range(pairs):
        took = {}
        for is_logged in (pair % 2 == 0, pair % 2 == 1):
            began = time.perf_counter()
            for i in range(steps):
                if is_logged:
                    logged(pair * steps + i)
                else:
                    bare()
            took[is_logged] = (time.perf_counter() - began) / steps
        ratios.append(took[True] / took[False])
        added.append((took[True] - took[False]) * 1e6)
    return statistics.median(ratios), statistics.median(added)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
