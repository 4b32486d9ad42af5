"""Heatmaps and small images in half-blocks: two pixels a cell, shades where colours are few.

Invariant: a column's place depends on how many observations there are only through a power of two,
so a new observation touches one column until the width is full.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style

from labbook_tui.lines import Line
from labbook_tui.palette import Ink, seg

__all__ = ["Grid", "draw_heatmap", "draw_image", "levels_of", "resample"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """How observations lie on columns: `chunk` of them share one, or one takes `stretch`.

    With `columns` they are spread over just so many, as evenly as whole ones can be.
    """

    n_observations: int
    chunk: int
    stretch: int
    columns: int = 0

    @classmethod
    def of(cls, n_observations: int, width: int, is_growing: bool = True) -> Grid:
        """The grid for a width in cells; one that will not grow may fill it better."""
        chunk = stretch = 1
        if n_observations > max(1, width) and not is_growing:
            return cls(n_observations, -(-n_observations // max(1, width)), 1, max(1, width))
        while n_observations > chunk * max(1, width):
            chunk *= 2
        while n_observations and chunk == 1 and n_observations * stretch * 2 <= width:
            stretch *= 2
        if chunk == 1 and n_observations and not is_growing:
            stretch = max(1, width // n_observations)
        return cls(n_observations, chunk, stretch)

    @property
    def width(self) -> int:
        """Columns in use."""
        if self.columns:
            return self.columns
        return -(-self.n_observations // self.chunk) * self.stretch

    def column(self, observation: int) -> int:
        """First column of an observation."""
        if self.columns:
            return ((observation + 1) * self.columns - 1) // self.n_observations
        return observation // self.chunk * self.stretch

    def observation(self, column: int) -> int:
        """Last observation drawn in a column."""
        if self.columns:
            return (column + 1) * self.n_observations // self.columns - 1
        return min(self.n_observations - 1, (column // self.stretch + 1) * self.chunk - 1)

    @property
    def whole(self) -> Grid:
        """Without the last column while not all is there that will share it.

        It would be painted anew with each observation; those on the left never are.
        """
        if self.columns or self.chunk == 1:
            return self
        return Grid(self.n_observations // self.chunk * self.chunk, self.chunk, self.stretch)

    def moved(self, observation: int, by: int) -> int:
        """The observation under the cursor `by` columns on, or by one of those that are wide."""
        if self.stretch > 1 or self.chunk == 1:
            to = observation + by
        else:
            to = self.observation(min(max(0, self.column(observation) + by), self.width - 1))
        return min(max(0, to), max(0, self.n_observations - 1))


def resample(values: Floats, grid: Grid) -> Floats:
    """Values (rows, observations) as (rows, grid.width): the mean of what shares a column."""
    values = values[:, : grid.n_observations]
    rows, n = values.shape
    if grid.columns and rows:
        starts = np.array([grid.observation(at - 1) + 1 for at in range(grid.columns)])
        known = np.isfinite(values)
        count = np.add.reduceat(known.astype(np.int64), starts, axis=1)
        total = np.add.reduceat(np.where(known, values, 0.0), starts, axis=1)
        return _quotient(total, count)
    columns = -(-n // grid.chunk)
    padded = np.full((rows, columns * grid.chunk), np.nan)
    padded[:, :n] = values
    parts = padded.reshape(rows, columns, grid.chunk)
    known = np.isfinite(parts)
    count = known.sum(axis=2)
    total = np.where(known, parts, 0.0).sum(axis=2)
    return np.repeat(_quotient(total, count), grid.stretch, axis=1)


def _quotient(total: Floats, count: NDArray[np.int64]) -> Floats:
    """The mean; NaN where nothing was counted."""
    mean: Floats = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean


def levels_of(values: Floats, low: float, high: float, count: int) -> NDArray[np.int16]:
    """Values to 0 … count-1 between the limits; -1 where there is none."""
    span = high - low if high > low else 1.0
    known = np.isfinite(values)
    part = (np.where(known, values, low) - low) / span
    level = np.floor(part * count).clip(0, count - 1).astype(np.int16)
    return np.where(known, level, np.int16(-1)).astype(np.int16)


def draw_heatmap(
    values: Floats,
    low: float,
    high: float,
    ink: Ink,
    *,
    colours: tuple[str, ...] = (),
    shades: str = "",
) -> list[Line]:
    """Values (pixel rows, columns) as lines: two pixel rows a line with colours, else one.

    `colours` and `shades`, from low to high, stand in for the ink's.
    """
    if not ink.heat:
        return _shades(values, low, high, ink, shades or ink.glyphs.shades)
    colours = colours or ink.heat
    levels = levels_of(values, low, high, len(colours))
    if len(levels) % 2:
        levels = np.vstack([levels, np.full((1, levels.shape[1]), -1, np.int16)])
    lines: list[Line] = []
    for upper, lower in zip(levels[::2], levels[1::2], strict=True):
        both = upper.astype(np.int32) * 64 + lower
        cuts = [0, *(np.flatnonzero(np.diff(both)) + 1).tolist(), len(both)]
        lines.append(
            [
                _pixels((int(upper[a]), int(lower[a])), b - a, ink, colours)
                for a, b in pairwise(cuts)
                if b > a
            ]
        )
    return lines


def _pixels(pair: tuple[int, int], width: int, ink: Ink, colours: tuple[str, ...]) -> Segment:
    upper, lower = pair
    if upper < 0 and lower < 0:
        return seg(" " * width)
    if upper == lower:  # a plain ground is one style less for the terminal
        return seg(" " * width, ink.pixel(None, colours[upper]))
    if upper < 0:
        return seg("▄" * width, ink.pixel(colours[lower], None))
    return seg("▀" * width, ink.pixel(colours[upper], colours[lower] if lower >= 0 else None))


def _shades(values: Floats, low: float, high: float, ink: Ink, shades: str) -> list[Line]:
    levels = levels_of(values, low, high, len(shades))
    marks = np.array([*shades, "·" if ink.glyphs.braille else "."])
    return [[seg("".join(marks[row]))] for row in levels]


def draw_image(pixels: NDArray[np.float64], width: int, height: int, ink: Ink) -> list[Line]:
    """An image (rows, columns) or (rows, columns, 3) of values 0 to 1 in at most width × height
    cells, enlarged by whole numbers; shades of brightness where colours are few.
    """
    rows, columns = pixels.shape[:2]
    per_cell = 2 if ink.heat else 1
    room = (
        min(width // columns, height * per_cell // rows)
        if ink.heat
        else min(width // (2 * columns), height // rows)
    )
    if room >= 1:
        wide = room if ink.heat else 2 * room
        pixels = np.repeat(np.repeat(pixels, room, axis=0), wide, axis=1)
    else:
        pixels = _shrunk(pixels, width, height * per_cell)
    if not ink.heat:
        bright = pixels if pixels.ndim == 2 else pixels.mean(axis=2)
        return _shades(np.asarray(bright, np.float64), 0.0, 1.0, ink, ink.glyphs.shades)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    if len(pixels) % 2:
        pixels = np.vstack([pixels, np.zeros((1, *pixels.shape[1:]))])
    # 32 levels a channel: finer ones only cost bytes
    values = (np.nan_to_num(pixels).clip(0, 1) * 31).round() * (255 / 31)
    colours = [[f"{int(r):02x}{int(g):02x}{int(b):02x}" for r, g, b in row] for row in values]
    return [
        _joined([(u, v) for u, v in zip(upper, lower, strict=True)], ink)
        for upper, lower in zip(colours[::2], colours[1::2], strict=True)
    ]


def _joined(pairs: list[tuple[str, str]], ink: Ink) -> Line:
    line: Line = []
    start = 0
    for index in range(1, len(pairs) + 1):
        if index == len(pairs) or pairs[index] != pairs[start]:
            style: Style = ink.pixel(*pairs[start])
            line.append(seg("▀" * (index - start), style))
            start = index
    return line


def _shrunk(pixels: NDArray[np.float64], width: int, rows: int) -> NDArray[np.float64]:
    """Nearest pixels so that the image fits."""
    factor = min(width / pixels.shape[1], rows / pixels.shape[0])
    new_rows = max(1, int(pixels.shape[0] * factor))
    new_columns = max(1, int(pixels.shape[1] * factor))
    down = (np.arange(new_rows) * pixels.shape[0] / new_rows).astype(int)
    across = (np.arange(new_columns) * pixels.shape[1] / new_columns).astype(int)
    return np.asarray(pixels[down][:, across])
