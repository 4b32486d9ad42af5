"""A chart of 120×40 drawn by the terminal program, against the least and greatest of each column.

The floor passes over the same values with `np.minimum.reduceat` and `np.maximum.reduceat` once.
The first frame of long curves is that of the values as they are: their average is made by the
reader thread, here "smoothing", and the next frames have it.
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
    from labbook_tui.smooth import prepared

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

    def smooth() -> None:
        for curve in curves:
            prepared(curve)

    draw_chart("", curves[:1], (20, 8), Ink(), ChartOptions(smooth=0.0))  # imports, first calls
    first = _ms(frame)
    smoothing = _ms(smooth)
    again = median(_ms(frame) for _ in range(times))
    least = [_ms(floor) for _ in range(times)]
    what = f"{points:,} points × {count}"
    floors = (median(least), "reduceat over the same values")
    limit = 100.0 * count if points == 1_000_000 else None
    return [
        _judged(f"{what}, first frame", first, floors, limit),
        _judged(what, again, floors, limit, note=f"median of {times} frames"),
        Figure(f"{what}, smoothing, in the reader thread", smoothing, "ms"),
    ]


def _judged(
    name: str, value: float, floors: tuple[float, str], limit: float | None, note: str = ""
) -> Figure:
    """Against its floor, and against 100 ms a curve."""
    goal, met = (f"< {limit:.0f} ms", value < limit) if limit else ("", None)
    return Figure(name, value, "ms", *floors, goal=goal, met=met, note=note)


def _ms(act: Callable[[], None]) -> float:
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1e3
