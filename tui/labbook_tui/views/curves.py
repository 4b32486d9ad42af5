"""Curves: a grid of charts, one large on demand, with a cursor that reads exact values."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
from textual.binding import Binding, BindingType

from labbook.book.text import clean
from labbook_tui.chart import ChartOptions, draw_chart, value_at
from labbook_tui.curve import Curve
from labbook_tui.lines import Line, beside, fit
from labbook_tui.models import CurvesModel, Want
from labbook_tui.palette import LETTERS, seg
from labbook_tui.series import group
from labbook_tui.text import grouped, number
from labbook_tui.views.base import View

__all__ = ["CurvesView", "grid_shape"]

WEIGHTS: tuple[float | None, ...] = (None, 0.0, 0.6, 0.9, 0.99)
AXES = ("step", "hours")
LEAST_HEIGHT, LEAST_WIDTH = 9, 36


def grid_shape(width: int, height: int, count: int) -> tuple[int, int]:
    """Columns and rows of charts that fill width × height, none below its least size."""
    columns = max(1, min(width // LEAST_WIDTH, 3 if count > 4 else 2, count))
    rows = max(1, min(height // LEAST_HEIGHT, -(-count // columns)))
    return columns, rows


class CurvesView(View):
    """Charts of a run's series; enter makes one large."""

    KIND = "curves"
    NAME = "Curves"
    KEYS: ClassVar[list[tuple[str, str]]] = [
        ("n N", "chart"),
        ("enter", "large"),
        ("← →", "cursor"),
        ("l", "log"),
        ("s", "smooth"),
        ("r", "raw"),
        ("x", "axis"),
        ("+ - 0", "zoom"),
        ("/", "find"),
    ]
    EXPLAINED: ClassVar[list[tuple[str, str]]] = [
        ("n N", "next, previous chart"),
        ("enter", "one chart large"),
        ("← →", "cursor: exact values"),
        ("l", "log axis"),
        ("s", "smoothing: by length, 0, .6, .9, .99"),
        ("r", "raw values behind"),
        ("x", "over steps or hours"),
        ("+ - 0", "zoom in, out, all"),
        ("/", "series by name"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n,j,down,tab", "next(1)", "next chart", show=False),
        Binding("N,k,up,shift+tab", "next(-1)", "previous chart", show=False),
        Binding("g,home", "ends(0)", "first chart", show=False),
        Binding("G,end", "ends(1)", "last chart", show=False),
        Binding("ctrl+d,pagedown", "next(4)", "charts further", show=False),
        Binding("ctrl+u,pageup", "next(-4)", "charts back", show=False),
        Binding("enter,z", "large", "large or grid", show=False),
        Binding("left", "cursor(-1)", "cursor left", show=False),
        Binding("right", "cursor(1)", "cursor right", show=False),
        Binding("l", "log", "log axis", show=False),
        Binding("s", "smooth", "smoothing", show=False),
        Binding("r", "raw", "raw values", show=False),
        Binding("x", "axis", "x axis", show=False),
        Binding("plus,equals_sign", "zoom(0.5)", "zoom in", show=False),
        Binding("minus", "zoom(2.0)", "zoom out", show=False),
        Binding("0", "fit", "show all", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.model: CurvesModel | None = None
        self.options = ChartOptions()
        self.axis = "step"
        self.chosen = 0
        self.is_large = False
        self.pattern = ""
        self._asked: tuple[str, ...] = ()

    def want(self, run_id: str) -> Want:
        """The series in sight."""
        return Want(self.KIND, run_id, (self.axis, *self._asked))

    def accept(self, model: object) -> None:
        """Keep the model, and ask for series in sight that it lacks."""
        if isinstance(model, CurvesModel):
            self.model = model
            self._look()

    def charts(self) -> list[tuple[str, list[str]]]:
        """(title, series) of every chart that the filter lets through."""
        names = self.model.names if self.model else ()
        return group(name for name in names if self.pattern in name.lower())

    def search(self, text: str) -> str:
        """Only charts whose series hold the text."""
        self.pattern = text.lower()
        self.chosen = 0
        self._look()
        self.redraw()
        return f"{len(self.charts())} charts" if text else ""

    def _in_sight(self) -> list[tuple[str, list[str]]]:
        charts = self.charts()
        self.chosen = min(self.chosen, max(0, len(charts) - 1))
        if self.is_large:
            return charts[self.chosen : self.chosen + 1]
        columns, rows = grid_shape(self.size.width, self.size.height, len(charts))
        page = columns * rows
        start = self.chosen // page * page
        return charts[start : start + page]

    def _look(self) -> None:
        """Ask the reader for what is in sight, when it was not asked for before."""
        names = tuple(name for _, series in self._in_sight() for name in series)
        missing = self.model is not None and any(name not in self.model.curves for name in names)
        if missing and names != self._asked:
            self._asked = names
            ask = getattr(self.screen, "ask", None)
            if ask is not None:
                ask()

    def draw(self, width: int, height: int) -> list[Line]:
        """The grid, or the large chart with its read-out."""
        model = self.model
        if model is None:
            return self.waiting()
        charts = self.charts()
        if not charts:
            text = (
                f"no series has {self.pattern!r} in its name: esc shows all"
                if self.pattern
                else ("no series yet: run.log(loss=loss, step=step) writes one")
            )
            return self.note(text)
        if self.is_large:
            return self._large(width, height)
        return self._grid(charts, width, height)

    def _curves(self, names: list[str]) -> list[Curve]:
        known = self.model.curves if self.model else {}
        return [replace(known[name], name=clean(name)) for name in names if name in known]

    def _drawn(
        self, title: str, names: list[str], width: int, height: int, large: bool
    ) -> list[Line]:
        curves = self._curves(names)
        live = self.model is not None and self.model.summary.state == "running"
        options = replace(self.options, live=live, x_name=self.axis)
        if not large:
            options = replace(options, cursor=None, x_limits=None)
        return draw_chart(clean(title), curves, (width, height), self.ink, options)

    def _grid(self, charts: list[tuple[str, list[str]]], width: int, height: int) -> list[Line]:
        columns, rows = grid_shape(width, height, len(charts))
        page = columns * rows
        start = self.chosen // page * page
        chart_height = height // rows
        chart_width = (width - (columns - 1) * 2) // columns
        lines: list[Line] = []
        for row in range(rows):
            block: list[Line] = []
            used = 0
            for column in range(columns):
                place = start + row * columns + column
                if place >= len(charts):
                    continue
                drawn = self._drawn(*charts[place], chart_width, chart_height, large=False)
                if place == self.chosen and len(charts) > 1:
                    drawn[0] = self._pointed(drawn[0], chart_width)
                block = beside(block, drawn, used, [seg("  ")]) if block else drawn
                used += chart_width + (2 if column else 0)
            lines += block
        return lines

    def _pointed(self, head: Line, width: int) -> Line:
        """The title row of the chart under the cursor."""
        accent = self.ink.of("accent", "b")
        first = seg(head[0].text, accent + self.ink.cursor)
        return fit([first, *head[1:]], width)

    def _large(self, width: int, height: int) -> list[Line]:
        charts = self.charts()
        title, names = charts[self.chosen]
        place: Line = [seg(f" chart {self.chosen + 1} of {len(charts)}", self.ink.of("dim"))]
        return [
            *self._drawn(title, names, width, height - 1, large=True),
            self._read_out(names) or place,
        ]

    def _read_out(self, names: list[str]) -> Line:
        """Exact values at the cursor: as logged, and smoothed where it is."""
        at, ink = self.options.cursor, self.ink
        if at is None:
            return []
        where = grouped(int(at)) if at.is_integer() else number(at, 6)
        line: Line = [seg(f" {self.axis} {where}", ink.of("accent", "b"))]
        for index, curve in enumerate(self._curves(names)):
            value = value_at(curve, at)
            letter = LETTERS[index] + " " if len(names) > 1 else ""
            line += [seg(f"   {letter}{curve.name} ", ink.series(index)), seg(number(value, 6))]
        return line

    def _span(self) -> tuple[float, float]:
        """Limits of x over the curves of the chosen chart."""
        charts = self.charts()
        curves = self._curves(charts[self.chosen][1]) if charts else []
        xs = [curve.x for curve in curves if len(curve.x)]
        if not xs:
            return 0.0, 1.0
        return min(float(x[0]) for x in xs), max(float(x[-1]) for x in xs)

    def action_next(self, by: int) -> None:
        """Another chart."""
        count = len(self.charts())
        if count:
            self.chosen = min(max(0, self.chosen + by), count - 1)
            self.options = replace(self.options, cursor=None)
            self._look()
            self.redraw()

    def action_ends(self, last: int) -> None:
        """First or last chart."""
        self.action_next(10**6 if last else -(10**6))

    def action_large(self) -> None:
        """One chart over the whole view, or the grid."""
        self.is_large = not self.is_large
        self.options = replace(self.options, cursor=None, x_limits=None)
        self._look()
        self.redraw()

    def close(self) -> bool:
        """Back to the grid; False when it is shown already."""
        was = self.is_large
        if was:
            self.action_large()
        return was

    def action_cursor(self, by: int) -> None:
        """Move the reading cursor to the next point of the first curve, a column at a time."""
        if not self.is_large:
            self.action_next(by)
            return
        charts = self.charts()
        curves = [c for c in self._curves(charts[self.chosen][1]) if len(c.x)] if charts else []
        if not curves:
            return
        low, high = self.options.x_limits or self._span()
        stride = (high - low) / max(8, self.size.width - 8)
        at = self.options.cursor
        wanted = high if at is None and by < 0 else low if at is None else at + by * stride
        x = np.unique(np.concatenate([c.x[np.isfinite(c.x)] for c in curves]))
        index = int(np.argmin(np.abs(x - wanted)))
        if at is not None and x[index] == at:
            index = min(max(0, index + by), len(x) - 1)
        self.options = replace(self.options, cursor=float(x[index]))
        self.redraw()

    def action_log(self) -> None:
        """Logarithmic or linear values."""
        self.options = replace(self.options, log_y=not self.options.log_y)
        self.redraw()

    def action_smooth(self) -> None:
        """By length, none, 0.6, 0.9, 0.99."""
        following = WEIGHTS[(WEIGHTS.index(self.options.smooth) + 1) % len(WEIGHTS)]
        self.options = replace(self.options, smooth=following)
        self.redraw()

    def action_raw(self) -> None:
        """Raw values behind the smooth line, or not."""
        self.options = replace(self.options, raw=not self.options.raw)
        self.redraw()

    def action_axis(self) -> None:
        """Over steps, or over hours since the start."""
        self.axis = AXES[(AXES.index(self.axis) + 1) % len(AXES)]
        self.options = replace(self.options, cursor=None, x_limits=None)
        ask = getattr(self.screen, "ask", None)
        if ask is not None:
            ask()
        self.redraw()

    def action_zoom(self, factor: float) -> None:
        """Narrow or widen x around the cursor (else around the end); makes the chart large."""
        if not self.is_large:
            self.action_large()
        first, last = self._span()
        low, high = self.options.x_limits or (first, last)
        centre = self.options.cursor if self.options.cursor is not None else high
        low, high = centre - (centre - low) * factor, centre + (high - centre) * factor
        low, high = max(first, low), min(last, high)
        limits = None if (low, high) == (first, last) or high <= low else (low, high)
        self.options = replace(self.options, x_limits=limits)
        self.redraw()

    def action_fit(self) -> None:
        """Show all of x again."""
        self.options = replace(self.options, x_limits=None)
        self.redraw()
