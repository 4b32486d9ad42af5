"""A chart of 120×40 drawn by the terminal program, against the least and greatest of each column.

The floor passes over the same values with `np.minimum.reduceat` and `np.maximum.reduceat` once.
"first" includes the smoothing, which is kept for the next frames.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from tests.benchmarks.report import Figure

SIZE = (120, 40)


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    figures = []
    for points in (2_000,) if quick else (20_000, 1_000_000):
        for count in (1, 8):
            figures += _draw(points, count, 2 if quick else 7)
    return figures


def _draw(points: int, count: int, times: int) -> list[Figure]:
    from labbook_tui.chart import ChartOptions, draw_chart
    from labbook_tui.curve import Curve
    from labbook_tui.palette import Ink

    rng = np.random.default_rng(0)
    x = np.arange(points, dtype=np.float64)
    data = [rng.normal(1.0 / (1.0 + x / points * 9), 0.1) for _ in range(count)]
    curves = [Curve(f"run{n}/loss", x, y) for n, y in enumerate(data)]
    starts = np.linspace(0, points, 2 * SIZE[0], endpoint=False).astype(np.int64)

    def frame() -> None:
        draw_chart("loss", curves, SIZE, Ink(), ChartOptions())

    def floor() -> None:
        for y in data:
            np.minimum.reduceat(y, starts)
            np.maximum.reduceat(y, starts)

    first, again = _ms(frame), median(_ms(frame) for _ in range(times))
    least = [_ms(floor) for _ in range(times)]
    what = f"{points:,} points × {count}"
    goal = 100.0 if (points, count) == (1_000_000, 1) else None
    against = "reduceat over the same values"
    return [
        Figure(f"{what}, first", first, "ms", median(least), against),
        Figure(
            what, again, "ms", median(least), against,
            goal=f"< {goal:.0f} ms" if goal else "", met=again < goal if goal else None,
            note=f"median of {times} frames",
        ),
    ]  # fmt: skip


def _ms(act: Callable[[], None]) -> float:
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1e3
