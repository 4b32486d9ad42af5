"""Marked runs on one axis, what changed between them, and whether the difference is real."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from textual.binding import Binding, BindingType
from textual.widget import Widget

from labbook.book.text import clean
from labbook_tui.bars import Header, Keys
from labbook_tui.chart import ChartOptions, draw_chart, value_at
from labbook_tui.curve import Curve
from labbook_tui.lines import Line, fit
from labbook_tui.models import CompareModel, DifferenceRow, MeasureRow, Problem, Want
from labbook_tui.palette import LETTERS, Ink, seg
from labbook_tui.screens.base import BaseScreen
from labbook_tui.shown import Shown
from labbook_tui.states import mark
from labbook_tui.text import cut, folded, grouped, number, pad
from labbook_tui.views.base import Scrolled

__all__ = ["CompareScreen", "measure_lines"]

PAGES = ("curves", "what changed", "results")
WEIGHTS: tuple[float | None, ...] = (None, 0.0, 0.6, 0.9, 0.99)


class _Pane(Scrolled):
    """What is compared, on one of three pages."""

    KIND = "compare"

    def __init__(self) -> None:
        super().__init__()
        self.model: CompareModel | None = None
        self.letters: tuple[str, ...] = ()
        self.page = 0
        self.options = ChartOptions()

    def accept(self, model: object) -> None:
        """Keep the model."""
        if isinstance(model, CompareModel):
            self.model = model

    def hue(self, place: int) -> int:
        """A run's hue is that of its letter."""
        letter = self.letters[place] if place < len(self.letters) else ""
        return LETTERS.index(letter) if letter else place

    def draw(self, width: int, height: int) -> list[Line]:
        """The page."""
        if self.model is None or self.problem:
            return self.waiting()
        if self.page == 0:
            return self._curves(self.model, width, height)
        return super().draw(width, height)

    def rows(self, width: int) -> list[Line]:
        """All lines of a page that scrolls."""
        if self.model is None:
            return self.waiting()
        if self.page == 1:
            return _changed(self.model, self.letters, width, self.ink)
        return measure_lines(self.model, width, self.ink)

    def _curves(self, model: CompareModel, width: int, height: int) -> list[Line]:
        """The legend of the runs, and their curves of one series."""
        ink = self.ink
        if not model.names:
            return self.note("no series yet in these runs")
        lines = [self._legend(model, place, width) for place in range(len(model.runs))]
        curves = [
            replace(model.curves[run.id], name=self.letters[place])
            if run.id in model.curves
            else Curve(self.letters[place], *_EMPTY)
            for place, run in enumerate(model.runs)
        ]
        options = replace(self.options, live=any(run.state == "running" for run in model.runs))
        room = height - len(lines) - 1
        place = model.names.index(model.name) + 1
        title: Line = [
            seg(f" {clean(model.name)}", ink.of("text", "b")),
            seg(f"  {place} of {len(model.names)}", ink.of("dim")),
        ]
        drawn = draw_chart("", curves, (width - 1, room + 1), ink, options)
        return [*lines, title, *([seg(" "), *line] for line in drawn[1:])]

    def _legend(self, model: CompareModel, place: int, width: int) -> Line:
        ink, run = self.ink, model.runs[place]
        curve = model.curves.get(run.id)
        hue = ink.series(self.hue(place), "b")
        value: str = "no such series"
        if curve is not None and len(curve.y):
            cursor = self.options.cursor
            value = number(value_at(curve, cursor) if cursor is not None else float(curve.y[-1]), 6)
        text, style = mark(run.state, ink)
        dirty = f"{ink.glyphs.dirty} dirty tree" if run.dirty else ""
        line: Line = [
            seg(f" {self.letters[place]} ", hue),
            seg(pad(clean(run.name), 28) + "  ", ink.of("text", "b")),
            seg(pad(value, 14, right=True) + "   ", hue),
            seg(pad(text, 14), style),
            seg(f"{dirty}  ", ink.of("warn")),
            seg(clean(run.id), ink.of("dim")),
        ]
        return fit(line, width)


_EMPTY = (np.zeros(0), np.zeros(0))


class CompareScreen(BaseScreen):
    """The comparison of runs: those marked, else two that the screen before it suggests."""

    NAME = "compare"
    EXPLAINED: ClassVar[list[tuple[str, str]]] = [
        ("v tab", "curves, what changed, results"),
        ("n N", "next, previous series or hunk"),
        ("l s r", "log axis, smoothing, raw values"),
        ("← →", "cursor: exact values"),
        ("x", "the two runs the other way round"),
        ("/", "find"),
    ]
    DEFAULT_CSS = "CompareScreen Header { height: 2; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace", "back", "back"),
        Binding("v,tab", "turn(1)", "next page"),
        Binding("shift+tab", "turn(-1)", "page before"),
        Binding("n", "next(1)", "next series", show=False, priority=True),
        Binding("N", "next(-1)", "series before", show=False, priority=True),
        Binding("l", "log", "log axis", show=False),
        Binding("s", "smooth", "smoothing", show=False),
        Binding("r", "raw", "raw values", show=False),
        Binding("x", "swap", "the other way round", show=False),
        Binding("left", "cursor(-1)", "cursor left", show=False),
        Binding("right", "cursor(1)", "cursor right", show=False),
    ]

    def __init__(self, ids: tuple[str, ...], letters: tuple[str, ...], why: str = "") -> None:
        super().__init__()
        self.ids, self.letters, self.why = ids, letters, why
        self.series = ""
        self.problem = ""

    def page(self) -> Iterable[Widget]:
        """Header, page, footer."""
        yield Header(id="head")
        yield _Pane()
        yield Keys(id="keys")

    @property
    def pane(self) -> _Pane:
        """What is below the header."""
        return self.query_one(_Pane)

    def on_mount(self) -> None:
        """Take the keys."""
        self.pane.letters = self.letters
        self.pane.focus()
        self._head()

    def wants(self) -> tuple[Want, ...]:
        """The comparison, with curves of one series."""
        if len(self.ids) < 2:
            return ()
        return (Want("compare", "", (self.series, *self.ids)),)

    def take(self, want: Want, model: object) -> None:
        """A model, or a problem in its place."""
        self.problem = model.text if isinstance(model, Problem) else ""
        self.pane.take(model)
        self._head()

    def repaint(self) -> None:
        """Other colours."""
        self._head()

    def at_run(self) -> str:
        """The first of the runs."""
        return self.ids[0] if self.ids else ""

    def _head(self) -> None:
        ink, pane = self.host.ink, self.pane
        title: Line = [seg(" compare ", ink.of("accent", "b"))]
        for place, name in enumerate(PAGES):
            style = ink.of("accent", "bu") if place == pane.page else ink.of("dim")
            title += [seg(" "), seg(name, style), seg(" ")]
        if self.why:
            title.append(seg(f"  {self.why}", ink.of("dim")))
        second: Line = []
        if len(self.ids) < 2:
            pane.problem = "mark two runs or more with space on the runs page, then press 9"
        elif pane.model is not None:
            model = pane.model
            words = model.headline
            glyph = f"{ink.glyphs.dirty} " if model.is_warning else ""
            meaning = "warn" if model.is_warning else "text"
            second = [seg(" " + cut(glyph + words, self.size.width - 2), ink.of(meaning))]
        self.query_one("#head", Header).show([title, second])
        keys = [("v", "page"), ("n N", "series" if pane.page == 0 else "find")]
        more = [("l", "log"), ("s", "smooth"), ("← →", "cursor")] if pane.page == 0 else []
        tail = [("y", "copy"), ("e", "export"), ("esc", "back"), ("?", "help")]
        self.query_one("#keys", Keys).show([*keys, *more, ("x", "swap"), *tail])
        pane.redraw()

    def action_back(self) -> None:
        """To where it was opened."""
        self.app.pop_screen()

    def action_turn(self, by: int) -> None:
        """Another page."""
        self.pane.page = (self.pane.page + by) % len(PAGES)
        self.pane.top = 0
        self._head()

    def action_next(self, by: int) -> None:
        """Another series; on a page with a patch, another hunk."""
        pane = self.pane
        if pane.model is None:
            return
        if pane.page == 0 and pane.model.names:
            names = pane.model.names
            self.series = names[(names.index(pane.model.name) + by) % len(names)]
            self.ask()
        elif pane.page == 1:
            rows = pane.rows(pane.size.width)
            marks = [i for i, row in enumerate(rows) if row and row[0].text.startswith(" @@")]
            ahead = [i for i in marks if (i > pane.top if by > 0 else i < pane.top)]
            if ahead:
                pane.top = ahead[0] if by > 0 else ahead[-1]
                pane.redraw()

    def _options(self, **more: Any) -> None:
        self.pane.options = replace(self.pane.options, **more)
        self.pane.redraw()

    def action_log(self) -> None:
        """Logarithmic or linear values."""
        self._options(log_y=not self.pane.options.log_y)

    def action_smooth(self) -> None:
        """By length, none, 0.6, 0.9, 0.99."""
        place = WEIGHTS.index(self.pane.options.smooth) + 1
        self._options(smooth=WEIGHTS[place % len(WEIGHTS)])

    def action_raw(self) -> None:
        """Raw values behind, or not."""
        self._options(raw=not self.pane.options.raw)

    def action_cursor(self, by: int) -> None:
        """Read exact values a column further."""
        model = self.pane.model
        ends = [
            (float(curve.x[0]), float(curve.x[-1]))
            for curve in (model.curves.values() if model else ())
            if len(curve.x)
        ]
        if not ends or self.pane.page != 0:
            return
        low, high = min(first for first, _ in ends), max(last for _, last in ends)
        stride = max((high - low) / max(8, self.size.width - 10), 1.0)
        at = self.pane.options.cursor
        wanted = (high if by < 0 else low) if at is None else at + by * stride
        self._options(cursor=float(round(min(max(low, wanted), high))))

    def action_swap(self) -> None:
        """B against A in place of A against B."""
        self.ids, self.letters = self.ids[::-1], self.letters[::-1]
        self.pane.letters, self.pane.model = self.letters, None
        self.ask()
        self._head()

    def copied(self) -> str:
        """The command that prints the same."""
        return f"labbook diff {' '.join(self.ids)}"

    def shown(self) -> Shown | None:
        """The curves, the changes or the results."""
        model = self.pane.model
        if model is None:
            return None
        letters = self.letters
        if self.pane.page == 1:
            return Shown("changes", ("section", "name", *letters), [_row(r) for r in model.rows])
        if self.pane.page == 2:
            columns = ("name", *letters[:2], "difference_low", "difference_high", "n", "caveat")
            rows = [(m.name, m.a, m.b, m.low, m.high, m.n, m.caveat) for m in model.measures]
            return Shown("results", columns, rows)
        curves = [
            replace(model.curves[run.id], name=f"{letter} {clean(run.name)}")
            for letter, run in zip(letters, model.runs, strict=True)
            if run.id in model.curves
        ]
        points = [
            (curve.name, x, y)
            for curve in curves
            for x, y in zip(curve.x.tolist(), curve.y.tolist(), strict=True)
        ]
        return Shown(
            "curves", ("run", "step", model.name), points, model.name, "step", tuple(curves)
        )

    def remembered(self) -> dict[str, Any]:
        """The page."""
        return {"page": self.pane.page}

    def recall(self, memory: dict[str, Any]) -> None:
        """The page."""
        page = memory.get("page")
        self.pane.page = page if isinstance(page, int) and 0 <= page < len(PAGES) else 0


def _row(row: DifferenceRow) -> tuple[str, ...]:
    return (row.section, row.name, *row.values)


def _changed(model: CompareModel, letters: tuple[str, ...], width: int, ink: Ink) -> list[Line]:
    """What differs, section by section, then the lines of code that do."""
    if not model.rows:
        return [[], [seg(" nothing that was recorded differs", ink.of("dim"))]]
    lines: list[Line] = []
    names = min(28, max(len(row.name) for row in model.rows))
    room = (width - names - 4) // max(2, len(letters)) - 2
    section = ""
    for row in model.rows:
        if row.section != section:
            section = row.section
            heads = [seg(f"  {pad(letter, room)}", ink.of("dim")) for letter in letters]
            lines += [[], [seg(f" {pad(section, names + 2)}", ink.of("accent", "b")), *heads]]
        line: Line = [seg(f"   {pad(row.name, names)}", ink.of("text"))]
        if len(row.values) == 1:
            line.append(seg("  " + cut(row.values[0], width - names - 6), ink.of("dim")))
        for value in row.values if len(row.values) > 1 else ():
            line.append(seg("  " + pad(value, room), ink.of("text", "b")))
        lines.append(line)
    return [*lines, *_patch_lines(model.patch, ink)]


def _patch_lines(patch: tuple[str, ...], ink: Ink) -> list[Line]:
    lines: list[Line] = [[]] if patch else []
    for text in patch:
        meaning = {"+": "good", "-": "bad", "@": "live"}.get(text[:1], "text")
        if text.startswith(("diff ", "+++", "---", "index ", "new file", "deleted")):
            meaning = "dim"
        lines.append([seg(" " + text, ink.of(meaning))])
    return lines


def measure_lines(model: CompareModel, width: int, ink: Ink) -> list[Line]:
    """A, B, and B - A with its 95 % interval where both were measured on the same examples."""
    if not model.measures:
        more = " (only between two runs)" if len(model.runs) > 2 else ""
        return [[], [seg(f" nothing measured in both{more}", ink.of("dim"))]]
    names = min(34, max(len(row.name) for row in model.measures))
    head = f"   {pad('', names)}  {'A':>11}  {'B':>11}  {'B - A':>11}  95 % interval, paired"
    lines: list[Line] = [[], [seg(head, ink.of("dim"))]]
    for row in model.measures:
        lines.append(_measure_line(row, names, ink))
        for text in folded(row.caveat, width - 6, 3) if row.caveat else ():
            lines.append([seg("      " + text, ink.of("warn"))])
    for note in model.notes:
        lines += [[seg("   " + text, ink.of("dim"))] for text in folded(note, width - 4, 3)]
    return lines


def _measure_line(row: MeasureRow, names: int, ink: Ink) -> Line:
    delta = None if row.a is None or row.b is None else row.b - row.a
    is_clear = row.low is not None and row.high is not None and not row.low <= 0 <= row.high
    style = ink.of("text", "b") if is_clear else ink.of("dim")
    line: Line = [seg(f"   {pad(row.name, names)}", ink.of("text"))]
    for value in (row.a, row.b):
        line.append(seg(f"  {number(value, 6):>11}", ink.of("text")))
    line.append(seg(f"  {number(delta, 3):>11}", style))
    if row.low is not None and row.high is not None:
        span = f"  {number(row.low, 3)} to {number(row.high, 3)}, n {grouped(row.n or 0)}"
        line.append(seg(span + ("" if is_clear else ", noise"), style))
    return line
