"""Where things stand in a chart that is written as a picture, SVG or PNG, in pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from labbook_tui.curve import Curve
from labbook_tui.scale import Axis, linear_axis

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = [
    "BOTTOM", "HEIGHT", "LEFT", "RIGHT", "ROW", "TOP", "WIDTH", "axis_of", "pieces_of", "x_at",
    "y_at",
]  # fmt: skip

WIDTH, HEIGHT = 800, 450
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 40, 50
ROW = 18
"""Pixels for a line of the legend, which stands below the axis."""


def axis_of(curves: list[Curve], which: str, count: int) -> Axis:
    """The axis of all curves' `x` or `y`, with about `count` ticks."""
    import numpy as np

    found = [np.asarray(getattr(curve, which), np.float64) for curve in curves]
    values = [part[np.isfinite(part)] for part in found]
    lows = [float(part.min()) for part in values if len(part)]
    highs = [float(part.max()) for part in values if len(part)]
    return linear_axis(min(lows, default=0.0), max(highs, default=1.0), count)


def x_at(value: float, axis: Axis) -> float:
    """Pixels from the left."""
    return LEFT + (value - axis.low) / (axis.high - axis.low) * (WIDTH - LEFT - RIGHT)


def y_at(value: float, axis: Axis) -> float:
    """Pixels from the top."""
    floor = HEIGHT - BOTTOM
    return floor - (value - axis.low) / (axis.high - axis.low) * (floor - TOP)


def pieces_of(curve: Curve) -> Iterator[tuple[Floats, Floats]]:
    """Runs of finite values; of a long one the least and greatest of each half pixel."""
    import numpy as np

    x, y = np.asarray(curve.x, np.float64), np.asarray(curve.y, np.float64)
    is_good = np.isfinite(x) & np.isfinite(y)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], is_good, [False])).astype(np.int8)))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        xs, ys = x[start:end], y[start:end]
        if len(xs) > 4 * WIDTH:
            size = -(-len(xs) // (2 * WIDTH))
            chunks = range(0, len(xs), size)
            lows = [at + int(np.argmin(ys[at : at + size])) for at in chunks]
            highs = [at + int(np.argmax(ys[at : at + size])) for at in chunks]
            kept = sorted({0, len(xs) - 1, *lows, *highs})
            xs, ys = xs[kept], ys[kept]
        yield xs, ys
