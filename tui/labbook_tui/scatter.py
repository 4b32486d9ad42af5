"""A scatter plot in braille: two numbers a point, a third as its colour, one point marked."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labbook_tui.lines import Line, fit
from labbook_tui.palette import Ink, seg
from labbook_tui.raster import BRAILLE, pack
from labbook_tui.scale import Axis

__all__ = ["Points", "draw_scatter"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Points:
    """`x`, `y` and `shade` (0 to 1), (points,) each; NaN in `x` or `y`: not drawn."""

    x: Floats
    y: Floats
    shade: Floats
    marked: int | None = None


def draw_scatter(
    points: Points, axes: tuple[Axis, Axis], size: tuple[int, int], ink: Ink
) -> list[Line]:
    """Exactly `size` (columns, rows) with an axis on the left and two rows of axis below."""
    width, height = size
    axis_x, axis_y = axes
    gutter = max(3, *(len(label) for _, label in axis_y.ticks))
    columns, rows = width - gutter - 1, height - 2
    column, row = _cells(points, axes, (columns, rows))
    codes, shade = _dots(points, axes, (columns, rows))
    is_sparse = len(points.x) * 8 <= columns * rows  # few points are seen better as whole marks
    texts = _marks(codes, shade, ink, is_sparse)
    mark = points.marked
    here = None
    if mark is not None and np.isfinite(points.x[mark]) and np.isfinite(points.y[mark]):
        here = int(row[mark]), int(column[mark])
    labels = {_place(value, axis_y, rows, flip=True): label for value, label in axis_y.ticks}
    lines: list[Line] = []
    for y in range(rows):
        label = labels.get(y, "")
        edge = ink.glyphs.tick_y if label else ink.glyphs.side
        line: Line = [seg(f"{label:>{gutter}}", ink.of("dim")), seg(edge, ink.of("faint"))]
        for x in range(columns):
            if here == (y, x):
                line.append(seg(ink.glyphs.best, ink.of("text", "br")))
            else:
                line.append(texts[y][x])
        lines.append(line)
    return [*lines, *_bottom(axis_x, gutter, columns, ink)]


def _part(values: Floats, axis: Axis) -> Floats:
    span = (axis.high - axis.low) or 1.0
    return ((values - axis.low) / span).clip(0, 1)


def _cells(
    points: Points, axes: tuple[Axis, Axis], size: tuple[int, int]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The cell of each point; 0 where it has none."""
    across = np.nan_to_num(_part(points.x, axes[0])) * (size[0] - 1e-9)
    up = np.nan_to_num(1 - _part(points.y, axes[1])) * (size[1] - 1e-9)
    return across.astype(np.intp), up.astype(np.intp)


def _dots(
    points: Points, axes: tuple[Axis, Axis], size: tuple[int, int]
) -> tuple[NDArray[np.uint32], Floats]:
    """The braille mark of each cell (rows, columns), 0 for none, and the mean shade in it."""
    columns, rows = size
    known = np.isfinite(points.x) & np.isfinite(points.y)
    x = (_part(points.x[known], axes[0]) * (2 * columns - 1e-9)).astype(np.intp)
    y = ((1 - _part(points.y[known], axes[1])) * (4 * rows - 1e-9)).astype(np.intp)
    mask = np.zeros((4 * rows, 2 * columns), np.bool_)
    mask[y, x] = True
    codes = pack(mask, BRAILLE)
    cell = y // 4 * columns + x // 2
    shades = points.shade[known]
    has = np.isfinite(shades)
    count = np.bincount(cell[has], minlength=rows * columns)
    total = np.bincount(cell[has], shades[has], rows * columns)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return codes, mean.reshape(rows, columns)


def _marks(codes: NDArray[np.uint32], shade: Floats, ink: Ink, is_sparse: bool) -> list[Line]:
    """A segment a cell in the colour of its shade; letters where colours are few."""
    lines: list[Line] = []
    for code_row, shade_row in zip(codes, shade, strict=True):
        line: Line = []
        for code, value in zip(code_row.tolist(), shade_row.tolist(), strict=True):
            if not code:
                line.append(seg(" "))
            elif ink.heat:
                known = math.isfinite(value)
                at = min(len(ink.heat) - 1, int(value * len(ink.heat))) if known else 0
                style = ink.pixel(ink.heat[at], None) if known else ink.of("dim")
                line.append(seg(ink.glyphs.live if is_sparse else chr(code), style))
            else:
                at = min(2, int(value * 3)) if math.isfinite(value) else 1
                line.append(seg("x-o"[at], ink.of("text")))
        lines.append(line)
    return lines


def _place(value: float, axis: Axis, cells: int, flip: bool = False) -> int:
    part = (value - axis.low) / ((axis.high - axis.low) or 1.0)
    part = 1 - part if flip else part
    return min(cells - 1, max(0, int(part * (cells - 1e-9))))


def _bottom(axis: Axis, gutter: int, columns: int, ink: Ink) -> list[Line]:
    glyphs = ink.glyphs
    rule, words = [glyphs.rule] * columns, [" "] * columns
    for value, label in axis.ticks:
        at = _place(value, axis, columns)
        rule[at] = glyphs.tick_x
        start = min(max(0, at - len(label) // 2), columns - len(label))
        free = words[max(0, start - 1) : start + len(label) + 1]
        if all(word == " " for word in free):
            words[start : start + len(label)] = label
    pad = " " * gutter
    return [
        [seg(pad), seg(glyphs.corner + "".join(rule), ink.of("faint"))],
        fit([seg(pad + " " + "".join(words), ink.of("dim"))], gutter + 1 + columns),
    ]
