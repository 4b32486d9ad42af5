"""One series of several runs on one axis, and under it what each of them came to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from textual.binding import Binding, BindingType

from labbook.book.text import clean
from labbook_tui.chart import ChartOptions, draw_chart
from labbook_tui.comparison import OverlayModel
from labbook_tui.curve import Curve
from labbook_tui.lines import Line, fit, width_of
from labbook_tui.overlay_legend import figures_of, legend_lines
from labbook_tui.palette import seg
from labbook_tui.shown import Shown
from labbook_tui.smooth import told
from labbook_tui.views.base import View
from labbook_tui.views.spanned import WEIGHTS

__all__ = ["OverlayView", "clipped"]

CLIP = (1.0, 99.0)
"""Percentiles of the values that stay in sight when outliers are cut off."""


AXES = ("step", "time")
"""Time is since the run began."""


class OverlayView(View):
    """A chart and its legend; n and N go through the series that any of the runs has."""

    KIND = "overlay"
    NAME = "Overlay"
    KEYS: ClassVar[list[tuple[str, str]]] = [
        ("n N", "series"),
        ("← →", "cursor"),
        ("l", "log"),
        ("s", "smooth"),
        ("x", "axis"),
        ("o", "clip"),
        ("r", "raw"),
        ("+ - 0", "zoom"),
        ("/", "find"),
    ]
    EXPLAINED: ClassVar[list[tuple[str, str]]] = [
        ("n N", "next, previous series"),
        ("← →", "cursor: exact values of every run"),
        ("l", "log axis"),
        ("s", "smoothing: by length, 0, .6, .9, .99"),
        ("x", "over steps or hours"),
        ("o", "cut off outliers: 1st to 99th percentile"),
        ("r", "raw values behind"),
        ("+ - 0", "zoom in, out, all"),
        ("/", "series by name"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n,j,down", "next(1)", "next series", show=False),
        Binding("N,k,up", "next(-1)", "previous series", show=False),
        Binding("g,home", "next(-100000)", "first series", show=False),
        Binding("G,end", "next(100000)", "last series", show=False),
        Binding("left", "cursor(-1)", "cursor left", show=False),
        Binding("right", "cursor(1)", "cursor right", show=False),
        Binding("l", "log", "log axis", show=False),
        Binding("s", "smooth", "smoothing", show=False),
        Binding("x", "axis", "x axis", show=False),
        Binding("o", "clip", "cut off outliers", show=False),
        Binding("r", "raw", "raw values", show=False),
        Binding("plus,equals_sign", "zoom(0.5)", "zoom in", show=False),
        Binding("minus", "zoom(2.0)", "zoom out", show=False),
        Binding("0", "fit", "show all", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.model: OverlayModel | None = None
        self.slots: dict[str, int] = {}
        self.options = ChartOptions()
        self.axis = AXES[0]
        self.name_asked = ""
        self.is_clipped = False
        self.pattern = ""

    def wanted(self) -> tuple[str, tuple[str, ...]]:
        """Kind and details of the model."""
        return self.KIND, (self.axis, self.name_asked, told(self.options.smooth))

    def accept(self, model: object) -> None:
        """Keep the model."""
        if isinstance(model, OverlayModel):
            self.model = model

    def names(self) -> list[str]:
        """Series that the search lets through."""
        names = self.model.names if self.model else ()
        return [name for name in names if self.pattern in name.lower()]

    def search(self, text: str) -> str:
        """Only series whose names hold the text; the first of them is shown."""
        self.pattern = text.lower()
        names = self.names()
        if text and names and self.model and self.model.name not in names:
            self._show(names[0])
        self.redraw()
        return f"{len(names)} series" if text else ""

    def _show(self, name: str) -> None:
        self.name_asked = name
        self.options = replace(self.options, cursor=None, x_limits=None)
        self._ask()

    def _ask(self) -> None:
        ask = getattr(self.screen, "ask", None)
        if ask is not None:
            ask()
        self.redraw()

    # ------------------------------------------------------------------ drawing

    def draw(self, width: int, height: int) -> list[Line]:
        """Title, chart, and one line a run."""
        model = self.model
        if model is None:
            return self.waiting()
        if not model.about.runs:
            return self.note("no runs yet: labbook.start() records one")
        if not model.names:
            return self.note("none of these runs has a series: run.log(loss=loss, step=step)")
        look = (self.axis, self.options.cursor)
        legend = legend_lines(model, self.slots, width, look, self.ink)
        curves = self._placed(model)
        options = replace(
            self.options,
            live=any(run.state == "running" for run in model.about.runs),
            x_name=self.axis,
            y_limits=clipped(curves, self.options.log_y) if self.is_clipped else None,
        )
        room = max(5, height - len(legend))
        chart = draw_chart("", curves, (width - 1, room), self.ink, options)
        title = self._title(model, width, options)
        return [title, *([seg(" "), *line] for line in chart[1:]), *legend]

    def _placed(self, model: OverlayModel) -> list[Curve]:
        """The curves by their runs' letters; a letter that nobody has here is an empty curve."""
        count = max(
            (self.slots.get(run.id, i) for i, run in enumerate(model.about.runs)), default=0
        )
        nothing = np.empty(0)
        placed = [Curve("", nothing, nothing) for _ in range(count + 1)]
        for place, run in enumerate(model.about.runs):
            if run.id in model.curves:
                placed[self.slots.get(run.id, place)] = model.curves[run.id]
        return placed

    def _title(self, model: OverlayModel, width: int, options: ChartOptions) -> Line:
        ink, names = self.ink, self.names()
        line: Line = [seg(f" {clean(model.name)}", ink.of("text", "b"))]
        if model.name in names:
            line.append(
                seg(f"  series {names.index(model.name) + 1} of {len(names)}", ink.of("dim"))
            )
        words = [f"over {self.axis}"]
        words += ["log"] if options.log_y else []
        words += [f"{CLIP[0]:g}–{CLIP[1]:g} %"] if self.is_clipped else []
        if options.smooth is not None:
            words.append(f"ema {options.smooth:g}" if options.smooth else "not smoothed")
        settings = "  ".join(words)
        if width_of(line) + len(settings) + 2 <= width:
            line = [*fit(line, width - len(settings) - 1), seg(settings, ink.of("dim"))]
        return line

    # ------------------------------------------------------------------ keys

    def action_next(self, by: int) -> None:
        """Another series."""
        names = self.names()
        if self.model is None or not names:
            return
        current = self.name_asked or self.model.name
        place = names.index(current) if current in names else 0
        place = min(max(0, place + by), len(names) - 1)
        if names[place] != current:
            self._show(names[place])

    def action_log(self) -> None:
        """Logarithmic or linear values."""
        self.options = replace(self.options, log_y=not self.options.log_y)
        self.redraw()

    def action_smooth(self) -> None:
        """By length, none, 0.6, 0.9, 0.99."""
        following = WEIGHTS[(WEIGHTS.index(self.options.smooth) + 1) % len(WEIGHTS)]
        self.options = replace(self.options, smooth=following)
        self._ask()

    def action_raw(self) -> None:
        """Raw values behind the smooth lines, or not."""
        self.options = replace(self.options, raw=not self.options.raw)
        self.redraw()

    def action_clip(self) -> None:
        """Cut off outliers, or not."""
        self.is_clipped = not self.is_clipped
        self.redraw()

    def action_axis(self) -> None:
        """Over steps, or over hours since each run's start."""
        self.axis = AXES[(AXES.index(self.axis) + 1) % len(AXES)]
        self.options = replace(self.options, cursor=None, x_limits=None)
        self._ask()

    def _xs(self) -> np.ndarray[Any, Any]:
        """All places where a run has a value, ascending."""
        curves = self.model.curves.values() if self.model else ()
        found = [curve.x[np.isfinite(curve.x)] for curve in curves]
        return np.unique(np.concatenate(found)) if found else np.empty(0)

    def action_cursor(self, by: int) -> None:
        """Move the reading cursor by a column, to a place where a run has a value."""
        x = self._xs()
        if not len(x):
            return
        low, high = self.options.x_limits or (float(x[0]), float(x[-1]))
        stride = (high - low) / max(8, self.size.width - 8)
        at = self.options.cursor
        wanted = (high if by < 0 else low) if at is None else at + by * stride
        index = int(np.argmin(np.abs(x - wanted)))
        if at is not None and x[index] == at:
            index = min(max(0, index + by), len(x) - 1)
        self.options = replace(self.options, cursor=float(x[index]))
        self.redraw()

    def action_zoom(self, factor: float) -> None:
        """Narrow or widen x around the cursor, else around the end."""
        x = self._xs()
        if not len(x):
            return
        first, last = float(x[0]), float(x[-1])
        low, high = self.options.x_limits or (first, last)
        centre = self.options.cursor if self.options.cursor is not None else high
        low, high = centre - (centre - low) * factor, centre + (high - centre) * factor
        low, high = max(first, low), min(last, high)
        is_all = high <= low or (low, high) == (first, last)
        self.options = replace(self.options, x_limits=None if is_all else (low, high))
        self.redraw()

    def action_fit(self) -> None:
        """Show all of x again."""
        self.options = replace(self.options, x_limits=None)
        self.redraw()

    def close(self) -> bool:
        """Take the cursor away, if there is one."""
        had = self.options.cursor is not None
        self.options = replace(self.options, cursor=None)
        self.redraw()
        return had

    # ------------------------------------------------------------------ hooks

    def copied(self) -> str:
        """The figures as they stand, tabs between."""
        if self.model is None:
            return ""
        rows = zip(self.model.about.runs, figures_of(self.model, None), strict=True)
        lines = ["\t".join(["run", "last", "best"])]
        lines += [f"{clean(run.name)}\t{row[0]}\t{row[1]}" for run, row in rows]
        return "\n".join(lines)

    def shown(self) -> Shown | None:
        """The figures, and the curves."""
        model = self.model
        if model is None or not model.about.runs:
            return None
        rows = [
            (run.id, clean(run.name), *row[:3])
            for run, row in zip(model.about.runs, figures_of(model, None), strict=True)
        ]
        names = {run.id: clean(run.name) for run in model.about.runs}
        curves = tuple(replace(curve, name=names[key]) for key, curve in model.curves.items())
        columns = ("id", "run", "last", "best", f"best at {self.axis}")
        return Shown("compare", columns, rows, clean(model.name), self.axis, curves)

    def remembered(self) -> dict[str, Any]:
        """Axis, scale, smoothing."""
        options = self.options
        return {
            "axis": self.axis,
            "log": options.log_y,
            "smooth": options.smooth,
            "raw": options.raw,
            "clip": self.is_clipped,
        }

    def recall(self, memory: dict[str, Any]) -> None:
        """Take them up where they still mean something."""
        if memory.get("axis") in AXES:
            self.axis = memory["axis"]
        if memory.get("smooth") in WEIGHTS:
            self.options = replace(self.options, smooth=memory["smooth"])
        self.options = replace(
            self.options,
            log_y=memory.get("log") is True,
            raw=memory.get("raw") is not False,
        )
        self.is_clipped = memory.get("clip") is True


def clipped(curves: list[Curve], log_y: bool) -> tuple[float, float] | None:
    """Limits of y that leave out the outermost values; None where nothing would stay."""
    values = np.concatenate([curve.y for curve in curves]) if curves else np.empty(0)
    values = values[np.isfinite(values)]
    if log_y:
        values = np.log10(values[values > 0])
    if not len(values):
        return None
    low, high = (float(limit) for limit in np.percentile(values, CLIP))
    return (low, high) if high > low else None
