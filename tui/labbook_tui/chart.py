"""Line charts in text: curves to lines of segments, and the widget that holds one chart.

Raw values are a dim band from their lowest to their highest in each column; the smoothed curve is
drawn over it in the bright hue. A later curve covers an earlier one cell by cell: mixing dots of
several curves in a cell makes all of them unreadable.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style

from labbook_tui.curve import Curve
from labbook_tui.lines import Line, Lines, fit, width_of
from labbook_tui.palette import LETTERS, Ink, seg
from labbook_tui.raster import BRAILLE, PLAIN, column_ranges, dots, pack
from labbook_tui.scale import Axis, linear_axis, log_axis, nice_ceiling
from labbook_tui.smooth import automatic
from labbook_tui.text import cut, number

__all__ = ["Chart", "ChartOptions", "draw_chart", "value_at"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ChartOptions:
    """How to draw: `smooth` None means by the number of points; `live` keeps room on the right."""

    log_y: bool = False
    smooth: float | None = None
    raw: bool = True
    live: bool = False
    x_name: str = "step"
    cursor: float | None = None
    x_limits: tuple[float, float] | None = None
    y_limits: tuple[float, float] | None = None
    letters: bool = True


@dataclass(frozen=True, eq=False)
class _Plot:
    axis_x: Axis
    axis_y: Axis
    width: int
    height: int
    codes: NDArray[np.uint32]
    colours: NDArray[np.int16]
    styles: list[Style] = field(default_factory=list)


def draw_chart(
    title: str,
    curves: list[Curve],
    size: tuple[int, int],
    ink: Ink,
    options: ChartOptions,
) -> list[Line]:
    """A chart of exactly `size` (columns, rows): a title row, the plot, and two rows of axis."""
    width, height = size
    if width < 16 or height < 5:
        return [fit([seg(cut(title, width), ink.of("dim"))], width)]
    head = fit(_legend(title, curves, width, ink, options), width)
    drawn = [_prepared(curve, options) for curve in curves]
    if not any(np.isfinite(y).any() for _, y, _ in drawn):
        return _nothing(head, curves, size, ink, options)
    rows = height - 3
    axis_y = _axis_y(drawn, rows, options)
    gutter = max(3, *(len(label) for _, label in axis_y.ticks)) if axis_y.ticks else 3
    columns = width - gutter - 1
    axis_x = _axis_x(drawn, columns, options)
    plot = _paint(drawn, (columns, rows), (axis_x, axis_y), ink, options)
    labels = _rows_of_ticks(axis_y, rows)
    body = [[*_gutter(labels.get(row, ""), gutter, ink), *_row(plot, row)] for row in range(rows)]
    return [head, *body, *_bottom(axis_x, gutter, columns, ink, options)]


def _prepared(curve: Curve, options: ChartOptions) -> tuple[Floats, Floats, Floats | None]:
    """x, the line to draw and, when that is smoothed, the raw values; in log units if asked."""
    weight = automatic(len(curve.y)) if options.smooth is None else options.smooth
    smoothed = weight > 0 and not curve.points and len(curve.y) > 2
    line = curve.smoothed(weight) if smoothed else curve.y
    raw = curve.y if smoothed and options.raw else None
    if not options.log_y:
        return curve.x, line, raw
    return curve.x, _log(line), None if raw is None else _log(raw)


def _log(values: Floats) -> Floats:
    return np.log10(values, out=np.full(len(values), np.nan), where=values > 0)


def _axis_y(
    drawn: list[tuple[Floats, Floats, Floats | None]], rows: int, options: ChartOptions
) -> Axis:
    if options.y_limits is not None:
        low, high = options.y_limits
    else:
        known = [a[np.isfinite(a)] for _, y, raw in drawn for a in (y, raw) if a is not None]
        known = [values for values in known if len(values)]
        low = min(float(values.min()) for values in known)
        high = max(float(values.max()) for values in known)
    count = max(2, rows // 3)
    if options.log_y:
        return log_axis(low, high, count)
    if not options.live:
        return linear_axis(low, high, count)
    if 0 <= low <= 0.4 * high:
        low = 0.0
    return linear_axis(low, high, count, slack=1.0)  # seldom another scale while it runs


def _axis_x(
    drawn: list[tuple[Floats, Floats, Floats | None]], columns: int, options: ChartOptions
) -> Axis:
    if options.x_limits is not None:
        low, high = options.x_limits
    else:
        known = [x[np.isfinite(y)] for x, y, _ in drawn]
        low = min(float(x.min()) for x in known if len(x))
        high = max(float(x.max()) for x in known if len(x))
        if 0 <= low <= 0.1 * high:
            low = 0.0
        if options.live and low >= 0:
            high = nice_ceiling(high)
    return linear_axis(low, high, max(2, columns // 14), slack=0)


def _paint(
    drawn: list[tuple[Floats, Floats, Floats | None]],
    size: tuple[int, int],
    axes: tuple[Axis, Axis],
    ink: Ink,
    options: ChartOptions,
) -> _Plot:
    (width, height), (axis_x, axis_y) = size, axes
    marker = BRAILLE if ink.glyphs.braille else PLAIN
    codes = np.zeros((height, width), np.uint32)
    colours = np.zeros((height, width), np.int16)
    plot = _Plot(axis_x, axis_y, width, height, codes, colours, [Style.null()])

    def lay(x: Floats, y: Floats, style: Style) -> None:
        low, high = column_ranges(x, y, axis_x.low, axis_x.high, width * marker.columns)
        cells = pack(dots(low, high, axis_y.low, axis_y.high, height * marker.rows), marker)
        codes[cells > 0] = cells[cells > 0]
        colours[cells > 0] = len(plot.styles)
        plot.styles.append(style)

    for index, (x, _, raw) in enumerate(drawn):
        band = ink.band(index)
        if raw is not None and band is not None:
            lay(x, raw, band)
    for index, (x, y, _) in enumerate(drawn):
        lay(x, y, ink.series(index))
    if options.letters and len(drawn) > 1:
        _letters(drawn, plot, ink)
    _crosshair(plot, ink, options)
    return plot


def _letters(drawn: list[tuple[Floats, Floats, Floats | None]], plot: _Plot, ink: Ink) -> None:
    """Write each curve's letter at its right end, so that hue is never the only difference."""
    taken: set[tuple[int, int]] = set()
    for index, (x, y, _) in enumerate(drawn[: len(LETTERS)]):
        ends = np.flatnonzero(np.isfinite(y))
        if not len(ends):
            continue
        column = _cell(float(x[ends[-1]]), plot.axis_x, plot.width) + 1
        row = plot.height - 1 - _cell(float(y[ends[-1]]), plot.axis_y, plot.height)
        column, row = min(max(column, 0), plot.width - 1), min(max(row, 0), plot.height - 1)
        # beside another letter, never above or below it: that would tell a wrong order
        spot = next((s for s in ((row, column - 2 * n) for n in range(8)) if s not in taken), None)
        if spot is not None:
            taken.add(spot)
            plot.codes[spot] = ord(ink.letter(index))
            plot.colours[spot] = len(plot.styles)
            plot.styles.append(ink.series(index, "b"))


def _crosshair(plot: _Plot, ink: Ink, options: ChartOptions) -> None:
    if options.cursor is None:
        return
    column = _cell(options.cursor, plot.axis_x, plot.width)
    if 0 <= column < plot.width:
        free = plot.codes[:, column] == 0
        plot.codes[free, column] = ord(ink.glyphs.side)
        plot.colours[free, column] = len(plot.styles)
        plot.styles.append(ink.of("accent"))


def _cell(value: float, axis: Axis, cells: int) -> int:
    return int((value - axis.low) / (axis.high - axis.low) * cells - 1e-9)


def _row(plot: _Plot, row: int) -> Line:
    """One row of the plot, cells of one style joined."""
    codes, colours = plot.codes[row], plot.colours[row]
    text = np.where(codes > 0, codes, 32).astype("<u4").tobytes().decode("utf-32-le")
    cuts = [0, *(np.flatnonzero(np.diff(colours)) + 1).tolist(), len(colours)]
    return [Segment(text[a:b], plot.styles[int(colours[a])]) for a, b in pairwise(cuts)]


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
    name = options.x_name
    end = len(words) - len(name) - 1
    words[len(words) - len(name) :] = name
    free_from = 0
    for at, label in axis.ticks:
        column = min(columns - 1, max(0, _cell(at, axis, columns)))
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


def _legend(title: str, curves: list[Curve], width: int, ink: Ink, options: ChartOptions) -> Line:
    """Title, then each curve's letter, name and last value, as far as they fit."""
    line: Line = [seg(title, ink.of("text", "b"))]
    single = len(curves) == 1
    for index, curve in enumerate(curves):
        finite = curve.y[np.isfinite(curve.y)]
        last = number(float(finite[-1])) if len(finite) else "nan"
        if len(finite) and not np.isfinite(curve.y[-1]):
            last += " then nan"
        letter = "" if single or not options.letters else ink.letter(index) + " "
        name = "" if single and curve.name == title else curve.name + " "
        words = [
            seg("  "),
            seg(letter + name, ink.series(index, "b" if letter else "")),
            seg(last, ink.of("text")),
        ]
        if width_of(line) + width_of(words) > width:
            line.append(seg(" …", ink.of("dim")))
            break
        line += words
    settings = _settings(curves, options)
    if settings and width_of(line) + len(settings) + 3 <= width:
        line = [*fit(line, width - len(settings)), seg(settings, ink.of("dim"))]
    return line


def _settings(curves: list[Curve], options: ChartOptions) -> str:
    lengths = [len(curve.y) for curve in curves if not curve.points]
    weight = options.smooth
    if weight is None:
        weight = automatic(max(lengths, default=0))
    words = [f"ema {weight:g}"] if weight > 0 and lengths else []
    return "  ".join([*words, *(["log"] if options.log_y else [])])


def _nothing(
    head: Line, curves: list[Curve], size: tuple[int, int], ink: Ink, options: ChartOptions
) -> list[Line]:
    width, height = size
    if any(len(curve.y) for curve in curves):
        text = (
            "no positive value: l goes back to a linear axis"
            if options.log_y
            else ("no finite value so far")
        )
    else:
        text = "no values yet"
    lines: list[Line] = [head, *([] for _ in range(height - 1))]
    lines[max(1, height // 2)] = [seg(cut(text, width).center(width), ink.of("dim"))]
    return lines


def value_at(curve: Curve, x: float) -> float | None:
    """The value logged nearest to `x`; None for an empty curve."""
    known = np.flatnonzero(np.isfinite(curve.x))
    if not len(known):
        return None
    return float(curve.y[known[np.argmin(np.abs(curve.x[known] - x))]])


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
