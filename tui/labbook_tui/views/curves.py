"""Curves: charts of one x in a grid or one large, with a cursor that reads exact values."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType

from labbook.book.text import clean
from labbook_tui.chart import draw
from labbook_tui.curve import Curve
from labbook_tui.legend import last_words, value_at, weight_of
from labbook_tui.lines import Line, beside, fit, width_of
from labbook_tui.models import CurvesModel, Want
from labbook_tui.palette import LETTERS, seg
from labbook_tui.read_out import Rows, place_text
from labbook_tui.series import group, matching, ordered
from labbook_tui.shown import Shown
from labbook_tui.smooth import told
from labbook_tui.text import number
from labbook_tui.views.spanned import KINDS, WEIGHTS, Placed, Spanned
from labbook_tui.window import newest

if TYPE_CHECKING:
    pass

__all__ = ["CurvesView", "grid_shape"]

LEAST_HEIGHT, LEAST_WIDTH = 9, 36


def grid_shape(width: int, height: int, count: int) -> tuple[int, int]:
    """Columns and rows of charts that fill width × height, none below its least size."""
    columns = max(1, min(width // LEAST_WIDTH, 3 if count > 4 else 2, count))
    rows = max(1, min(height // LEAST_HEIGHT, -(-count // columns)))
    return columns, rows


class CurvesView(Spanned):
    """Charts of a run's series; enter makes one large. Zoom and cursor are those of all charts."""

    KIND = "curves"
    NAME = "Curves"
    KEYS: ClassVar[list[tuple[str, str]]] = [
        ("n N", "chart"),
        ("enter", "large"),
        ("← →", "cursor"),
        ("l", "log"),
        ("s", "smooth"),
        ("x", "axis"),
        ("+ - 0", "zoom"),
        ("/", "find"),
        ("o", "clip"),
        ("t", "tiles"),
        ("f", "follow"),
        ("r", "raw"),
    ]
    EXPLAINED: ClassVar[list[tuple[str, str]]] = [
        ("n N j k", "next, previous chart"),
        ("enter", "one chart large, or the grid"),
        ("← →", "cursor: exact values in all charts"),
        ("l", "linear, log y, log x, both"),
        ("s", "smoothing: by length, 0, .6, .9, .99"),
        ("r", "raw values behind"),
        ("o", "cut y to 1 to 99 % of the values"),
        ("x", "over steps, time, clock, epochs …"),
        ("+ - 0", "zoom in, out, all; also the wheel"),
        ("[ ] H L", "move the window"),
        ("f", "follow the newest values"),
        ("t", "a chart a series, or groups"),
        ("/", "series by name: words, -word"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n,j,down,tab", "next(1)", "next chart", show=False),
        Binding("N,k,up,shift+tab", "next(-1)", "previous chart", show=False),
        Binding("g,home", "ends(0)", "first chart", show=False),
        Binding("G,end", "ends(1)", "last chart", show=False),
        Binding("ctrl+d,pagedown", "next(4)", "charts further", show=False),
        Binding("ctrl+u,pageup", "next(-4)", "charts back", show=False),
        Binding("enter,z", "large", "large or grid", show=False),
        Binding("t", "tiles", "tiles", show=False),
        Binding("x", "axis", "x axis", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.axis = ""
        self.is_large = False
        self.is_tiled = False
        self.pattern = ""
        self._asked: tuple[str, ...] = ()

    def want(self, run_id: str) -> Want:
        """The series in sight; the axis "" is the run's own."""
        return Want(self.KIND, run_id, (self.axis, told(self.options.smooth), *self._asked))

    def accept(self, model: object) -> None:
        """Keep the model, and ask for series in sight that it lacks."""
        if not isinstance(model, CurvesModel):
            return
        if self.model is not None and model.axis != self.model.axis:
            self.options = replace(self.options, cursor=None, x_limits=None)
        self.model = model
        self.options = replace(
            self.options, x_name=clean(model.axis), x_kind=KINDS.get(model.axis, "number")
        )
        if self.is_following and self.options.x_limits is not None:
            limits = newest(self.options.x_limits, self._span())
            self.options = replace(self.options, x_limits=limits)
        self._look()

    def charts(self) -> list[tuple[str, list[str]]]:
        """(title, series) of every chart that the filter lets through."""
        names = matching(self._names(), self.pattern)
        return [(name, [name]) for name in ordered(names)] if self.is_tiled else group(names)

    def _names(self) -> tuple[str, ...]:
        """All series but the one that is x."""
        model = self.model
        return tuple(name for name in model.names if name != model.axis) if model else ()

    def search(self, text: str) -> str:
        """Only charts of series that match; when none does, what was shown stays."""
        names = self._names()
        found = matching(names, text)
        if not found and names:
            return f"0 of {len(names)} series"
        self.pattern = text
        self.chosen = 0
        self._look()
        self.redraw()
        return f"{len(found)} of {len(names)} series" if text.strip() else ""

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
            self._ask()

    def draw(self, width: int, height: int) -> list[Line]:
        """The grid, or the large chart with its read-out."""
        self._placed = []
        if self.model is None:
            return self.waiting()
        charts = self.charts()
        if not charts:
            return self.note(
                f"no series has {clean(self.pattern)!r} in its name: esc shows all"
                if self.pattern
                else "no series yet: run.log(loss=loss, step=step) writes one"
            )
        self.chosen = min(self.chosen, len(charts) - 1)
        body = self._large if self.is_large else self._grid
        has_foot = self.is_large or self.options.cursor is not None or self._window_words() != ""
        lines = body(charts, width, height - has_foot)
        return [*lines, self._foot(charts, width)] if has_foot else lines

    def _curves(self, names: list[str]) -> list[Curve]:
        known = self.model.curves if self.model else {}
        return [replace(known[name], name=clean(name)) for name in names if name in known]

    def _drawn(
        self, index: int, chart: tuple[str, list[str]], place: tuple[int, int, int, int]
    ) -> list[Line]:
        """One chart at (left, top, width, height)."""
        live = self.model is not None and self.model.summary.state == "running"
        options = replace(self.options, live=live)
        drawn = draw(clean(chart[0]), self._curves(chart[1]), place[2:], self.ink, options)
        self._placed.append(Placed(index, *place, drawn))
        return list(drawn.lines)

    def _grid(self, charts: list[tuple[str, list[str]]], width: int, height: int) -> list[Line]:
        columns, rows = grid_shape(width, self.size.height, len(charts))
        page = columns * rows
        start = self.chosen // page * page
        chart_height = height // rows
        chart_width = (width - (columns - 1) * 2) // columns
        lines: list[Line] = []
        for row in range(rows):
            block: list[Line] = []
            used = 0
            for column in range(columns):
                index = start + row * columns + column
                if index >= len(charts):
                    continue
                left = used + (2 if column else 0)
                place = (left, row * chart_height, chart_width, chart_height)
                drawn = self._drawn(index, charts[index], place)
                if index == self.chosen and len(charts) > 1:
                    drawn[0] = self._pointed(drawn[0], chart_width)
                block = beside(block, drawn, used, [seg("  ")]) if block else drawn
                used = left + chart_width
            lines += block
        return lines + [[] for _ in range(height - len(lines))]

    def _pointed(self, head: Line, width: int) -> Line:
        """The title row of the chart under the cursor."""
        accent = self.ink.of("accent", "b")
        first = seg(head[0].text, accent + self.ink.cursor)
        return fit([first, *head[1:]], width)

    def _large(self, charts: list[tuple[str, list[str]]], width: int, height: int) -> list[Line]:
        return self._drawn(self.chosen, charts[self.chosen], (0, 0, width, height))

    def _foot(self, charts: list[tuple[str, list[str]]], width: int) -> Line:
        """Exact values at the cursor, else which chart; on the right what part of x is shown."""
        ink = self.ink
        if self.options.cursor is None:
            line: Line = [seg(f" chart {self.chosen + 1} of {len(charts)}", ink.of("dim"))]
        else:
            line = self._read_out(charts[self.chosen][1])
        words = self._window_words()
        if width_of(line) + len(words) + 2 > width:
            line = self._read_out(charts[self.chosen][1], short=True)
        return [*fit(line, width - len(words) - 2), seg("  " + words, ink.of("dim"))]

    def _read_out(self, names: list[str], short: bool = False) -> Line:
        """Exact values at the cursor: as logged, and smoothed where it is."""
        at, ink = self.options.cursor, self.ink
        if at is None or self.model is None:
            return []
        line: Line = [seg(f" {place_text(self.model.axis, at)}", ink.of("accent", "b"))]
        for index, curve in enumerate(self._curves(names)):
            letter = LETTERS[index % 26] + " " if len(names) > 1 else ""
            name = "" if short and letter else curve.name + " "
            words = number(value_at(curve, at), 6)
            weight = weight_of(curve, self.options)
            line += [seg(f"   {letter}{name}", ink.series(index)), seg(words)]
            if weight > 0:
                smooth = number(value_at(curve, at, weight), 4)
                line.append(seg(f" {'~' if short else 'smooth '}{smooth}", ink.of("dim")))
        return line

    def _seen_curves(self) -> list[Curve]:
        return self._curves([name for _, series in self._in_sight() for name in series])

    def _chosen_curves(self) -> list[Curve]:
        charts = self.charts()
        names = charts[min(self.chosen, len(charts) - 1)][1] if charts else []
        return [curve for curve in self._curves(names) if len(curve.x)]

    def copied(self) -> str:
        """The values at the cursor as they were logged, without one the last ones."""
        curves, at = self._chosen_curves(), self.options.cursor
        if not curves or self.model is None:
            return ""
        if at is None:
            return "  ".join(f"{c.name} {last_words(c, self.model.axis)}" for c in curves)
        where = place_text(self.model.axis, at)
        if float(at).is_integer() and self.model.axis not in KINDS:
            where = f"{self.model.axis} {int(at)}"
        return "  ".join([where, *(f"{c.name} {value_at(c, at)!r}" for c in curves)])

    def shown(self) -> Shown | None:
        """The large chart, or all of the grid's page, between the limits of x."""
        charts = self._in_sight()
        curves = [c for c in self._curves([n for _, s in charts for n in s]) if len(c.x)]
        if not curves or self.model is None:
            return None
        title = clean(charts[0][0]) if len(charts) == 1 else clean(self.model.summary.name)
        columns = (self.options.x_name, *(curve.name for curve in curves))
        rows = Rows(curves, self.options.x_limits)
        return Shown("curves", columns, rows, title, self.options.x_name, tuple(curves))

    def remembered(self) -> dict[str, Any]:
        """Axis, scales, smoothing, and what is shown."""
        options = self.options
        return {
            "axis": self.axis,
            "log_x": options.log_x,
            "log_y": options.log_y,
            "smooth": options.smooth,
            "raw": options.raw,
            "clip": options.clip,
            "tiles": self.is_tiled,
            "pattern": self.pattern,
        }

    def recall(self, memory: dict[str, Any]) -> None:
        """Take up what is of the right type, leave the rest."""
        flags: dict[str, Any] = {
            name: memory[name]
            for name in ("log_x", "log_y", "raw", "clip")
            if isinstance(memory.get(name), bool)
        }
        self.options = replace(self.options, **flags)
        smooth = memory.get("smooth")
        if smooth in WEIGHTS:
            self.options = replace(self.options, smooth=smooth)
        self.axis = axis if isinstance(axis := memory.get("axis"), str) else self.axis
        self.pattern = text if isinstance(text := memory.get("pattern"), str) else self.pattern
        self.is_tiled = bool(memory.get("tiles", self.is_tiled))
        self.redraw()

    def close(self) -> bool:
        """Back to the grid, then without the cursor; False when neither is there."""
        if self.is_large:
            self.action_large()
            return True
        had_cursor = self.options.cursor is not None
        self._set(cursor=None)
        return had_cursor

    def action_next(self, by: int) -> None:
        """Another chart."""
        count = len(self.charts())
        if count:
            self.chosen = min(max(0, self.chosen + by), count - 1)
            self._look()
            self.redraw()

    def action_ends(self, last: int) -> None:
        """First or last chart."""
        self.action_next(10**6 if last else -(10**6))

    def action_large(self) -> None:
        """One chart over the whole view, or the grid."""
        self.is_large = not self.is_large
        self._look()
        self._set(cursor=None)

    def action_tiles(self) -> None:
        """One chart for each series, or for each group."""
        at = self.charts()[self.chosen][1][0] if self.charts() else ""
        self.is_tiled = not self.is_tiled
        found = [index for index, (_, names) in enumerate(self.charts()) if at in names]
        self.chosen = found[0] if found else 0
        self._look()
        self.redraw()

    def action_axis(self) -> None:
        """Over steps, time, the clock, or a series that counts."""
        if self.model is None:
            return
        axes = self.model.axes
        present = self.axis if self.axis in axes else self.model.axis
        self.axis = axes[(axes.index(present) + 1) % len(axes)]
        self.is_following = False
        self._set(cursor=None, x_limits=None)
        self._ask()
