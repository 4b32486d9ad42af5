"""From points to dots: a polyline drawn as the range of values it takes in each pixel column.

Invariant: every point lies inside the dots of its column, however many points there are, so a
single spike among a million points is seen; a value that is not finite breaks the line.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["BRAILLE", "PLAIN", "Marker", "column_ranges", "dots", "pack"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Codes = NDArray[np.uint32]


class Marker:
    """How the dots of one cell become a character: `weights` (rows, columns) sum to an index."""

    def __init__(self, weights: list[list[int]], characters: str) -> None:
        self.weights = np.array(weights, np.uint32)
        self.rows, self.columns = self.weights.shape
        self.codes = np.array([ord(c) for c in characters], np.uint32)


BRAILLE = Marker(
    [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]],
    "".join(chr(0x2800 + n) for n in range(256)),
)
PLAIN = Marker([[1], [2]], " '.:")


def column_ranges(
    x: Floats, y: Floats, low: float, high: float, columns: int
) -> tuple[Floats, Floats]:
    """Lowest and highest value of the polyline in each of `columns` pixel columns over [low, high].

    `x` is ascending. Columns the line does not touch hold NaN.
    """
    bottom, top = np.full(columns, np.nan), np.full(columns, np.nan)
    if not np.isfinite(x).all():
        known = np.isfinite(x)
        x, y = x[known], y[known]
    if not len(x) or high <= low:
        return bottom, top
    edges: Floats = low + np.arange(columns + 1, dtype=np.float64) * ((high - low) / columns)
    starts = np.searchsorted(x, edges, "left")
    starts[-1] = np.searchsorted(x, high, "right")
    # what stands right before and behind the window leads lines into it
    first, last = max(0, int(starts[0]) - 1), min(len(x), int(starts[-1]) + 1)
    x, y, starts = x[first:last], y[first:last], starts - first
    if np.isinf(y).any():
        y = np.where(np.isinf(y), np.nan, y)
    filled = np.flatnonzero(starts[:-1] < starts[1:])
    if len(filled):
        inside = y[: starts[-1]]
        bottom[filled] = np.fmin.reduceat(inside, starts[filled])
        top[filled] = np.fmax.reduceat(inside, starts[filled])
    crossing = _at(edges, x, y)
    for side in (crossing[:-1], crossing[1:]):
        np.fmin(bottom, side, out=bottom)
        np.fmax(top, side, out=top)
    return bottom, top


def _at(edges: Floats, x: Floats, y: Floats) -> Floats:
    """The polyline's value at `edges`; NaN outside it and in its gaps."""
    if len(x) < 2:
        return np.full(len(edges), np.nan)
    after = np.searchsorted(x, edges, "left")
    inside = (after > 0) & (after < len(x))
    after = np.clip(after, 1, len(x) - 1)
    before = after - 1
    width = x[after] - x[before]
    part = np.divide(edges - x[before], width, out=np.zeros(len(edges)), where=width > 0)
    return np.where(inside, y[before] + part * (y[after] - y[before]), np.nan)


def dots(bottom: Floats, top: Floats, low: float, high: float, rows: int) -> Bools:
    """Dots (rows, columns) between bottom and top of each column; row 0 is `high`.

    What lies outside [low, high] is drawn at the border, never left out.
    """
    known = np.isfinite(bottom)
    # a span near the smallest number has no inverse
    scale = (rows - 1) / (high - low) if high - low > 1e-300 else 0.0
    first = np.rint((high - np.where(known, top, low)) * scale).clip(0, rows - 1)
    last = np.rint((high - np.where(known, bottom, low)) * scale).clip(0, rows - 1)
    row = np.arange(rows)[:, None]
    return (row >= first) & (row <= last) & known


def pack(mask: Bools, marker: Marker) -> Codes:
    """Dots (height·rows, width·columns) as character codes (height, width); 0 where no dot is."""
    height, width = mask.shape[0] // marker.rows, mask.shape[1] // marker.columns
    cells = mask.reshape(height, marker.rows, width, marker.columns)
    index = np.einsum("hrwc,rc->hw", cells.astype(np.uint32), marker.weights)
    return np.where(index > 0, marker.codes[index], 0).astype(np.uint32)
