"""Line charts in text: curves to lines of segments.

Raw values are a dim band from their lowest to their highest in each column; the smoothed curve is
drawn over it in the bright hue. A later curve covers an earlier one cell by cell: mixing dots of
several curves in a cell makes all of them unreadable.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from labbook_tui.curve import Curve
from labbook_tui.legend import legend, value_at, weight_of
from labbook_tui.lines import Line, Lines, fit
from labbook_tui.palette import Ink, seg
from labbook_tui.plot import Strand, cell_of, paint, row_of
from labbook_tui.scale import Axis, linear_axis, log_axis, nice_ceiling
from labbook_tui.text import cut, plural
from labbook_tui.timescale import clock_axis, elapsed_axis

__all__ = ["Chart", "ChartOptions", "Drawn", "draw", "draw_chart", "value_at"]

Floats = NDArray[np.float64]
QUANTILES = (1.0, 99.0)
_SAMPLED = 200_000
"""Quantiles of more values are those of an even sample of so many."""


@dataclass(frozen=True)
class ChartOptions:
    """How to draw: `smooth` None means by the number of points; `live` keeps room on the right.

    `x_kind` says what x is: a number, seconds since the start, or seconds since 1970. `cursor` and
    limits are in the units of x and y, on logarithmic axes too. `clip` cuts y to the middle 98 %.
    """

    log_y: bool = False
    smooth: float | None = None
    raw: bool = True
    live: bool = False
    x_name: str = "step"
    cursor: float | None = None
    x_limits: tuple[float, float] | None = None
    y_limits: tuple[float, float] | None = None
    letters: bool = True
    log_x: bool = False
    clip: bool = False
    x_kind: Literal["number", "elapsed", "clock"] = "number"


@dataclass(frozen=True, eq=False)
class Drawn:
    """A chart as lines, and where its plot is: from `gutter`, `columns` wide, over `axis`."""

    lines: list[Line]
    gutter: int = 0
    columns: int = 0
    axis: Axis = field(default_factory=lambda: Axis(0.0, 1.0, ()))

    def x_at(self, column: int) -> float | None:
        """The x under a column of the chart; None beside the plot."""
        place = column - self.gutter
        if not 0 <= place < self.columns:
            return None
        at = self.axis.low + (place + 0.5) / self.columns * (self.axis.high - self.axis.low)
        return 10.0**at if self.axis.log else at


def draw_chart(
    title: str, curves: list[Curve], size: tuple[int, int], ink: Ink, options: ChartOptions
) -> list[Line]:
    """A chart of exactly `size` (columns, rows): a title row, the plot, and two rows of axis."""
    return draw(title, curves, size, ink, options).lines


def draw(
    title: str, curves: list[Curve], size: tuple[int, int], ink: Ink, options: ChartOptions
) -> Drawn:
    """As `draw_chart`, with the place of the plot."""
    width, height = size
    if width < 16 or height < 5:
        return Drawn([fit([seg(cut(title, width), ink.of("dim"))], width)])
    strands = [_strand(curve, options) for curve in curves]
    rows = height - 3
    seen = _in_sight(strands, options)
    if not any(_has_value(values) for part in seen for values in part):
        head = legend(title, curves, width, ink, options, left_out="")
        return Drawn(_nothing(fit(head, width), curves, size, ink, options))
    axis_y, outside = _axis_y(seen, rows, options)
    left_out = _left_out(curves, outside, options)
    head = legend(title, curves, width, ink, options, left_out=left_out)
    gutter = max(3, *(len(label) for _, label in axis_y.ticks)) if axis_y.ticks else 3
    columns = width - gutter - 1
    axis_x = _axis_x(strands, columns, options)
    shown = options
    if options.log_x and options.cursor is not None:
        at = math.log10(options.cursor) if options.cursor > 0 else None
        shown = replace(options, cursor=at)
    plot = paint(strands, (columns, rows), (axis_x, axis_y), ink, shown)
    labels = _rows_of_ticks(axis_y, rows)
    body = [[*_gutter(labels.get(row, ""), gutter, ink), *row_of(plot, row)] for row in range(rows)]
    lines = [fit(head, width), *body, *_bottom(axis_x, gutter, columns, ink, options)]
    return Drawn(lines, gutter + 1, columns, axis_x)


def _strand(curve: Curve, options: ChartOptions) -> Strand:
    """What is drawn of a curve, in log units where asked."""
    weight = weight_of(curve, options)
    x, line = curve.x, curve.smoothed(weight) if weight > 0 else curve.y
    raw = curve.y if weight > 0 and options.raw else None
    if options.log_x:
        first = int(np.searchsorted(x, 0.0, "right"))
        x, line = np.log10(x[first:]), line[first:]
        raw = None if raw is None else raw[first:]
    if options.log_y:
        line, raw = _log(line), None if raw is None else _log(raw)
    return Strand(x, line, raw)


def _log(values: Floats) -> Floats:
    return np.log10(values, out=np.full(len(values), np.nan), where=values > 0)


def _limits(options: ChartOptions) -> tuple[float, float] | None:
    """Limits of x in the units of the axis."""
    if options.x_limits is None or not options.log_x:
        return options.x_limits
    low, high = options.x_limits
    return (math.log10(low), math.log10(high)) if low > 0 else None


def _in_sight(strands: list[Strand], options: ChartOptions) -> tuple[list[Floats], list[Floats]]:
    """Smoothed lines, and values as logged, between the limits of x with the nearest on each side.

    Infinite ones are NaN.
    """
    limits = _limits(options)
    smooth: list[Floats] = []
    logged: list[Floats] = []
    for strand in strands:
        part = slice(None)
        if limits is not None:
            first, last = np.searchsorted(strand.x, limits)
            part = slice(max(0, int(first) - 1), int(last) + 1)
        logged.append(_known((strand.y if strand.raw is None else strand.raw)[part]))
        if strand.raw is not None:
            smooth.append(_known(strand.y[part]))
    return smooth, logged


def _known(values: Floats) -> Floats:
    return np.where(np.isinf(values), np.nan, values) if np.isinf(values).any() else values


def _has_value(values: Floats) -> bool:
    return bool(len(values)) and not math.isnan(float(np.fmax.reduce(values)))


def _axis_y(
    seen: tuple[list[Floats], list[Floats]], rows: int, options: ChartOptions
) -> tuple[Axis, int]:
    """The axis, and how many values in sight lie outside it."""
    outside = 0
    if options.y_limits is not None:
        low, high = options.y_limits
    else:
        known = [values for part in seen for values in part if _has_value(values)]
        if options.clip:
            low, high = _quantiles(known)
            logged = [values for values in seen[1] if _has_value(values)]
            outside = sum(int(((v < low) | (v > high)).sum()) for v in logged)
        else:
            low = min(float(np.fmin.reduce(values)) for values in known)
            high = max(float(np.fmax.reduce(values)) for values in known)
    count = max(2, rows // 3)
    if options.log_y:
        return log_axis(low, high, count), outside
    if not options.live or options.clip:
        return linear_axis(low, high, count), outside
    if 0 <= low <= 0.4 * high:
        low = 0.0
    return linear_axis(low, high, count, slack=1.0), outside  # seldom another scale while it runs


def _quantiles(known: list[Floats]) -> tuple[float, float]:
    """Of each curve, then the outermost: a rare curve counts as much as a dense one."""
    found = []
    for values in known:
        sample = values[:: max(1, len(values) // _SAMPLED)]
        sample = sample[~np.isnan(sample)]
        if len(sample):
            found.append(np.percentile(sample, QUANTILES))
    if not found:
        return 0.0, 1.0
    return float(min(low for low, _ in found)), float(max(high for _, high in found))


def _left_out(curves: list[Curve], outside: int, options: ChartOptions) -> str:
    """What of the data the chart does not show where it is."""
    words = []
    if options.clip and outside:
        words.append(f"{plural(outside, 'value')} outside")
    if options.log_y:
        low = sum(int((curve.y <= 0).sum()) for curve in curves)
        words += [f"{plural(low, 'value')} ≤ 0"] if low else []
    if options.log_x:
        low = sum(int(np.searchsorted(curve.x, 0.0, "right")) for curve in curves)
        words += [f"{options.x_name} ≤ 0: {plural(low, 'point')}"] if low else []
    return ", ".join(words)


def _axis_x(strands: list[Strand], columns: int, options: ChartOptions) -> Axis:
    limits = _limits(options)
    if limits is not None:
        low, high = limits
    else:
        # also where values are NaN: that they go on without a value is seen
        ends = [float(x) for strand in strands if len(strand.x) for x in strand.x[[0, -1]]]
        low, high = min(ends), max(ends)
        if options.x_kind != "clock" and not options.log_x:
            if 0 <= low <= 0.1 * high:
                low = 0.0
            if options.live and low >= 0:
                high = nice_ceiling(high)
    count = max(2, columns // 14)
    if options.log_x:
        return log_axis(low, high, count)
    if options.x_kind == "elapsed":
        return elapsed_axis(low, high, count)
    if options.x_kind == "clock":
        return clock_axis(low, high, count)
    return linear_axis(low, high, count, slack=0)


def _rows_of_ticks(axis: Axis, rows: int) -> dict[int, str]:
    span = axis.high - axis.low
    return {
        min(rows - 1, max(0, round((axis.high - at) / span * (rows - 1)))): label
        for at, label in axis.ticks
    }


def _gutter(label: str, width: int, ink: Ink) -> Line:
    mark = ink.glyphs.tick_y if label else ink.glyphs.side
    return [seg(label.rjust(width), ink.of("dim")), seg(mark, ink.of("faint"))]


def _bottom(axis: Axis, gutter: int, columns: int, ink: Ink, options: ChartOptions) -> list[Line]:
    """The axis line with its ticks, and the labels under them, none cut and none touching."""
    line = [ink.glyphs.rule] * columns
    words = [" "] * (gutter + 1 + columns)
    name = cut(options.x_name, columns // 2)
    end = len(words) - len(name) - 1
    words[len(words) - len(name) :] = name
    free_from = 0
    for at, label in axis.ticks:
        column = min(columns - 1, max(0, cell_of(at, axis, columns)))
        line[column] = ink.glyphs.tick_x
        start = min(max(0, gutter + 1 + column - len(label) // 2), len(words) - len(label))
        if start >= free_from and start + len(label) <= end:
            words[start : start + len(label)] = label
            free_from = start + len(label) + 1
    corner = " " * gutter + ink.glyphs.corner
    return [
        [seg(corner + "".join(line), ink.of("faint"))],
        [seg("".join(words), ink.of("dim"))],
    ]


def _nothing(
    head: Line, curves: list[Curve], size: tuple[int, int], ink: Ink, options: ChartOptions
) -> list[Line]:
    width, height = size
    n_points = sum(len(curve.y) for curve in curves)
    if not n_points:
        text = "no values yet"
    elif not any(np.isfinite(curve.y).any() for curve in curves):
        text = f"no finite value in {plural(n_points, 'point')}"
    elif options.x_limits is not None:
        text = "no value between these limits: 0 shows all"
    else:
        text = "no positive value: l goes back to a linear axis"
    lines: list[Line] = [head, *([] for _ in range(height - 1))]
    lines[max(1, height // 2)] = [seg(cut(text, width).center(width), ink.of("dim"))]
    return lines


class Chart(Lines):
    """One chart that fills its widget."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.title_text = ""
        self.curves: list[Curve] = []
        self.options = ChartOptions()

    def show(self, title: str, curves: list[Curve], **options: object) -> None:
        """Replace what is drawn; `options` change single fields of the present options."""
        self.title_text, self.curves = title, curves
        self.options = replace(self.options, **options)  # type: ignore[arg-type]
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        """The chart."""
        return draw_chart(self.title_text, self.curves, (width, height), self.ink, self.options)
