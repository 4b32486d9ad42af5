"""The cells of a chart: curves as dots, letters that tell them apart, and the crosshair."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style

from labbook_tui.lines import Line
from labbook_tui.palette import LETTERS, Ink
from labbook_tui.raster import BRAILLE, PLAIN, column_ranges, dots, pack
from labbook_tui.scale import Axis

if TYPE_CHECKING:
    from labbook_tui.chart import ChartOptions

__all__ = ["Plot", "Strand", "cell_of", "paint", "row_of"]

Floats = NDArray[np.float64]
_LETTER_EVERY = 18
"""Columns between the letters along a curve where hues are few."""


@dataclass(frozen=True, eq=False)
class Strand:
    """A curve in the units of the axes: its line and, when that is smoothed, the raw values."""

    x: Floats
    y: Floats
    raw: Floats | None = None


@dataclass(frozen=True, eq=False)
class Plot:
    """Character codes and numbers of styles (height, width)."""

    axis_x: Axis
    axis_y: Axis
    width: int
    height: int
    codes: NDArray[np.uint32]
    colours: NDArray[np.int16]
    styles: list[Style] = field(default_factory=list)


def paint(
    strands: list[Strand],
    size: tuple[int, int],
    axes: tuple[Axis, Axis],
    ink: Ink,
    options: ChartOptions,
) -> Plot:
    """Draw everything into cells of `size` (width, height); the cursor is in the axis' units."""
    (width, height), (axis_x, axis_y) = size, axes
    marker = BRAILLE if ink.glyphs.braille else PLAIN
    codes = np.zeros((height, width), np.uint32)
    colours = np.zeros((height, width), np.int16)
    plot = Plot(axis_x, axis_y, width, height, codes, colours, [Style.null()])

    def lay(x: Floats, y: Floats, style: Style) -> None:
        low, high = column_ranges(x, y, axis_x.low, axis_x.high, width * marker.columns)
        cells = pack(dots(low, high, axis_y.low, axis_y.high, height * marker.rows), marker)
        codes[cells > 0] = cells[cells > 0]
        colours[cells > 0] = len(plot.styles)
        plot.styles.append(style)

    for index, strand in enumerate(strands):
        band = ink.band(index)
        if strand.raw is not None and band is not None:
            lay(strand.x, strand.raw, band)
    for index, strand in enumerate(strands):
        lay(strand.x, strand.y, ink.series(index))
    if options.letters and len(strands) > 1:
        _letters(strands, plot, ink)
    _crosshair(plot, ink, options.cursor)
    return plot


def _letters(strands: list[Strand], plot: Plot, ink: Ink) -> None:
    """Write each curve's letter at its right end, so that hue is never the only difference.

    Where hues are few, along the curve too.
    """
    taken: set[tuple[int, int]] = set()
    for index, strand in enumerate(strands[: len(LETTERS)]):
        first, last = np.searchsorted(strand.x, (plot.axis_x.low, plot.axis_x.high))
        last = min(int(last) + 1, len(strand.x))
        ends = np.flatnonzero(np.isfinite(strand.y[first:last])) + first
        if not len(ends):
            continue
        style = ink.series(index, "b")
        row, column = _spot(strand, int(ends[-1]), plot)
        column = min(column + 1, plot.width - 1)
        # beside another letter, never above or below it: that would tell a wrong order
        spots = ((row, column - 2 * n) for n in range(8) if column >= 2 * n)
        spot = next((spot for spot in spots if spot not in taken), None)
        if spot is not None:
            taken.add(spot)
            _write(plot, spot, ink.letter(index), style)
        if ink.depth in {"16", "none"} or not ink.glyphs.braille:
            for column in range(4 + 5 * index, plot.width - 4, _LETTER_EVERY):
                part = (column + 0.5) / plot.width
                at = plot.axis_x.low + part * (plot.axis_x.high - plot.axis_x.low)
                place = int(np.searchsorted(strand.x[ends], at))
                if 0 < place < len(ends):
                    _write(plot, _spot(strand, int(ends[place]), plot), ink.letter(index), style)


def _spot(strand: Strand, at: int, plot: Plot) -> tuple[int, int]:
    """The cell (row, column) of a point, at the border when it lies outside."""
    column = cell_of(float(strand.x[at]), plot.axis_x, plot.width)
    row = plot.height - 1 - cell_of(float(strand.y[at]), plot.axis_y, plot.height)
    return min(max(row, 0), plot.height - 1), min(max(column, 0), plot.width - 1)


def _write(plot: Plot, spot: tuple[int, int], letter: str, style: Style) -> None:
    plot.codes[spot] = ord(letter)
    plot.colours[spot] = len(plot.styles)
    plot.styles.append(style)


def _crosshair(plot: Plot, ink: Ink, cursor: float | None) -> None:
    if cursor is None:
        return
    column = cell_of(cursor, plot.axis_x, plot.width)
    if 0 <= column < plot.width:
        free = plot.codes[:, column] == 0
        plot.codes[free, column] = ord(ink.glyphs.side)
        plot.colours[free, column] = len(plot.styles)
        plot.styles.append(ink.of("accent"))


def cell_of(value: float, axis: Axis, cells: int) -> int:
    """The cell that a value falls into; outside the axis below 0, or `cells` and more."""
    return int((value - axis.low) / (axis.high - axis.low) * cells - 1e-9)


def row_of(plot: Plot, row: int) -> Line:
    """One row of the plot, cells of one style joined."""
    codes, colours = plot.codes[row], plot.colours[row]
    text = np.where(codes > 0, codes, 32).astype("<u4").tobytes().decode("utf-32-le")
    cuts = [0, *(np.flatnonzero(np.diff(colours)) + 1).tolist(), len(colours)]
    return [Segment(text[a:b], plot.styles[int(colours[a])]) for a, b in pairwise(cuts)]
