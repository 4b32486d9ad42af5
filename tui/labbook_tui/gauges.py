"""Small pictures in a line: bars and sparklines."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from labbook_tui.palette import Glyphs

__all__ = ["bar", "level", "sparkline"]


def bar(part: float, width: int, glyphs: Glyphs) -> str:
    """A bar of `part` (0 to 1) of `width` cells, to an eighth of a cell."""
    part = 0.0 if math.isnan(part) else min(1.0, max(0.0, part))
    eighths = round(part * width * 8)
    full, rest = divmod(eighths, 8)
    text = glyphs.bar[8] * full + (glyphs.bar[rest] if rest and full < width else "")
    return text.ljust(width)


def sparkline(
    values: NDArray[np.float64],
    width: int,
    glyphs: Glyphs,
    low: float | None = None,
    high: float | None = None,
) -> str:
    """The last values as one row of blocks, the highest of each column; gaps stay blank.

    Without limits the scale is the values' own.
    """
    count = len(values)
    if not count or width <= 0:
        return " " * max(0, width)
    # equal chunks whose size doubles as the series grows, so that columns seldom shift
    chunk = 1
    while count > chunk * width:
        chunk *= 2
    columns = -(-count // chunk)
    padded = np.full(columns * chunk, np.nan)
    padded[:count] = values
    table = np.where(np.isfinite(padded), padded, -np.inf).reshape(columns, chunk)
    tops = table.max(axis=1)
    known = np.isfinite(tops)
    if not known.any():
        return " " * width
    bottom = float(tops[known].min()) if low is None else low
    top = float(tops[known].max()) if high is None else high
    scale = (len(glyphs.spark) - 1) / (top - bottom) if top > bottom else 0.0
    index = np.rint((np.where(known, tops, bottom) - bottom) * scale).clip(0, len(glyphs.spark) - 1)
    return "".join(
        glyphs.spark[int(i)] if ok else " " for i, ok in zip(index, known, strict=True)
    ).ljust(width)


def level(percent: float | None) -> str:
    """The colour's meaning of a share that is used: nearly full is worth a look."""
    if percent is None:
        return "dim"
    return "warn" if percent >= 90 else "live"
