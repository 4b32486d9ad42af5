"""Examples: the chosen set's losses as a heatmap over the run, and the example under the cursor."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from textual.binding import Binding, BindingType

from labbook.book.text import clean
from labbook_tui.example_panel import example_lines
from labbook_tui.heatmap import Grid, draw_heatmap, resample
from labbook_tui.lines import Line, fit
from labbook_tui.models import ChosenModel, Want
from labbook_tui.palette import Ink, seg
from labbook_tui.text import grouped, number
from labbook_tui.views.base import MOVES, View

__all__ = ["ORDERS", "ChosenView", "colour_limits", "sort_examples"]

ORDERS = ("final loss", "mean loss", "change", "id")

Floats = NDArray[np.float64]


def sort_examples(loss: Floats, order: str) -> NDArray[np.intp]:
    """Rows of `loss` (examples, observations) in an order, the worst first; unknown ones last."""
    if order == "id" or not loss.shape[1]:
        return np.arange(len(loss))
    known = np.isfinite(loss)
    last = np.where(known.any(axis=1), loss.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1), 0)
    first = np.argmax(known, axis=1)
    rows = np.arange(len(loss))
    final = loss[rows, last]
    if order == "mean loss":
        count = known.sum(axis=1)
        total = np.where(known, loss, 0.0).sum(axis=1)
        key = np.divide(total, count, out=np.full(len(loss), np.nan), where=count > 0)
    elif order == "change":
        key = final - loss[rows, first]
    else:
        key = final
    return np.argsort(-np.where(np.isfinite(key), key, -np.inf), kind="stable")


def colour_limits(loss: Floats) -> tuple[float, float, bool]:
    """Lowest and highest colour, and whether they are logarithms.

    The 1st and 99th percentile, so that one outlier does not make all others one colour; in logs
    where losses span more than a factor of twenty.
    """
    known = loss[np.isfinite(loss)]
    if not len(known):
        return 0.0, 1.0, False
    low, high = (float(v) for v in np.percentile(known, (1, 99)))
    if low >= 0 and high > 20 * max(low, 1e-12) and high > 0:
        return float(np.log10(max(low, high / 1e3))), float(np.log10(high)), True
    return low, high, False


def side_width(width: int) -> int:
    """Columns of the panel beside the map."""
    return max(28, min(44, width * 36 // 100))


class ChosenView(View):
    """Rows are examples, columns are observations; two examples share a line of half-blocks."""

    KIND = "chosen"
    NAME = "Examples"
    KEYS: ClassVar[list[tuple[str, str]]] = [
        ("j k", "example"),
        ("h l", "step"),
        ("o", "sort"),
        ("c", "next set"),
    ]
    EXPLAINED: ClassVar[list[tuple[str, str]]] = [
        ("j k", "example"),
        ("h l H L", "step, ten steps"),
        ("o", "sort: final loss, mean, change, id"),
        ("c", "another chosen set"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        *MOVES,
        Binding("h,left", "step(-1)", "earlier", show=False),
        Binding("l,right", "step(1)", "later", show=False),
        Binding("H", "step(-10)", "ten earlier", show=False),
        Binding("L", "step(10)", "ten later", show=False),
        Binding("o", "sort", "sort", show=False),
        Binding("c", "other", "another chosen set", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.model: ChosenModel | None = None
        self.set_name = ""
        self.order_name = ORDERS[0]
        self.rows: NDArray[np.intp] = np.zeros(0, np.intp)
        self.place = 0
        self.top = 0
        self.at: int | None = None  # observation; None follows the newest

    def want(self, run_id: str) -> Want:
        """One chosen set."""
        return Want(self.KIND, run_id, (self.set_name,) if self.set_name else ())

    def accept(self, model: object) -> None:
        """Keep the model; the cursor stays on its example."""
        if isinstance(model, ChosenModel):
            current = self._current_id()
            self.model = model
            self._sort(current)

    def _current_id(self) -> int | None:
        if self.model is None or not len(self.rows):
            return None
        return self.model.examples[int(self.rows[self.place])].id

    def _sort(self, keep: int | None) -> None:
        model = self.model
        if model is None:
            return
        self.rows = sort_examples(model.loss, self.order_name)
        ids = [model.examples[int(row)].id for row in self.rows]
        moved = self.place > 0 and keep in ids
        self.place = (
            ids.index(keep) if moved and keep is not None else min(self.place, max(0, len(ids) - 1))
        )

    @property
    def observation(self) -> int:
        """The observation under the cursor."""
        count = len(self.model.steps) if self.model else 0
        return max(0, count - 1) if self.at is None else min(self.at, max(0, count - 1))

    def draw(self, width: int, height: int) -> list[Line]:
        """Heatmap on the left, its axis and scale under it, the example on the right."""
        model = self.model
        if model is None:
            return self.waiting()
        if not model.name:
            return self.note(
                "no chosen set. Add  chosen = run.choose(val_set, n=64)  "
                "and  chosen.observe(model, loss_fn)"
            )
        if not len(model.steps) or not len(model.examples):
            return self.note(f"chosen set {model.name!r}: nothing observed yet (chosen.observe)")
        side = side_width(width)
        left = width - side - 3
        map_lines = self._map(model, left, height)
        panel = example_lines(
            model, (int(self.rows[self.place]), self.observation), (side, height), self.ink
        )
        gap: Line = [seg(f" {self.ink.glyphs.side} ", self.ink.of("faint"))]
        lines: list[Line] = []
        for row in range(height):
            first = map_lines[row] if row < len(map_lines) else []
            lines.append([*fit(first, left), *gap, *(panel[row] if row < len(panel) else [])])
        return lines

    def _grid(self, width: int) -> Grid:
        """Columns for the observations; while there come more, they seldom move."""
        model = self.model
        count = len(model.steps) if model else 0
        is_live = model is not None and model.summary.state == "running"
        return Grid.of(count, width - 2, is_growing=is_live)

    def _map(self, model: ChosenModel, width: int, height: int) -> list[Line]:
        ink = self.ink
        per_line = 2 if ink.heat else 1
        body = height - 3
        grid = self._grid(width)
        visible = min(len(self.rows), body * per_line)
        stretch = max(1, min(4, body * per_line // max(1, len(self.rows))))
        self.top = min(
            max(self.top, self.place - visible + 1), self.place, len(self.rows) - visible
        )
        shown = self.rows[max(0, self.top) : max(0, self.top) + visible]
        low, high, is_log = colour_limits(model.loss)
        values = model.loss[shown]
        if is_log:
            values = np.log10(np.maximum(values, 1e-30))
        pixels = np.repeat(resample(values, grid), stretch, axis=0)
        head = self._head(model, len(shown))
        pointer = (self.place - max(0, self.top)) * stretch // per_line
        lines: list[Line] = []
        column = grid.column(self.observation)
        for row, line in enumerate(draw_heatmap(pixels, low, high, ink)):
            is_here = row == pointer
            mark = seg(ink.glyphs.cursor if is_here else " ", ink.of("accent", "b"))
            lines.append([mark, *line])
        axis = _axis(model, grid, column, width, ink)
        return [head, *lines, axis, self._scale(low, high, is_log, width)]

    def _head(self, model: ChosenModel, n_shown: int) -> Line:
        ink = self.ink
        counts = f"{len(model.examples)} examples × {grouped(len(model.steps))} steps"
        several = len(model.sets) > 1
        place = f" ({model.sets.index(model.name) + 1} of {len(model.sets)})" if several else ""
        named = several or model.name != "chosen"
        words = f"{clean(model.name)}{place}: {counts}" if named else counts
        first = self.top + 1
        part = f", {first}–{first + n_shown - 1}" if n_shown < len(self.rows) else ""
        return [
            seg(" " + words, ink.of("text", "b")),
            seg(f"  by {self.order_name}{part}", ink.of("dim")),
        ]

    def _scale(self, low: float, high: float, is_log: bool, width: int) -> Line:
        """The colours from low to high with their values."""
        ink = self.ink
        first, last = (10.0**low, 10.0**high) if is_log else (low, high)
        line: Line = [seg(f" loss {number(first, 3)} ", ink.of("dim"))]
        if ink.heat:
            line += [seg(" ", ink.pixel(None, colour)) for colour in ink.heat]
        else:
            line.append(seg(ink.glyphs.shades))
        return [*line, seg(f" {number(last, 3)}{' log' if is_log else ''}", ink.of("dim"))]

    def action_move(self, by: int) -> None:
        """To another example."""
        self.place = min(max(0, self.place + by), max(0, len(self.rows) - 1))
        self.redraw()

    def action_page(self, by: int) -> None:
        """By ten examples."""
        self.action_move(10 * by)

    def action_ends(self, last: int) -> None:
        """The worst or the best."""
        self.action_move(10**9 if last else -(10**9))

    def action_step(self, by: int) -> None:
        """To an earlier or later column; the newest is followed."""
        if self.model is None or not len(self.model.steps):
            return
        count = len(self.model.steps)
        width = self.size.width
        grid = self._grid(width - side_width(width) - 3)
        following = min(max(0, self.observation + by * grid.chunk), count - 1)
        self.at = None if following == count - 1 else following
        self.redraw()

    def action_sort(self) -> None:
        """Final loss, mean loss, change, id."""
        keep = self._current_id()
        self.order_name = ORDERS[(ORDERS.index(self.order_name) + 1) % len(ORDERS)]
        self._sort(keep)
        self.redraw()

    def action_other(self) -> None:
        """Another chosen set."""
        if self.model is not None and len(self.model.sets) > 1:
            sets = self.model.sets
            self.set_name = sets[(sets.index(self.model.name) + 1) % len(sets)]
            self.place, self.at = 0, None
            ask = getattr(self.screen, "ask", None)
            if ask is not None:
                ask()


def _axis(model: ChosenModel, grid: Grid, column: int, width: int, ink: Ink) -> Line:
    """The cursor's step under its column; first and last step where they do not touch it."""
    here = f"{'▴' if ink.glyphs.braille else '^'}{_step(model, column, grid)}"
    first, last = _step(model, 0, grid), _step(model, grid.width - 1, grid)
    start = max(0, min(1 + column, width - len(here)))
    words = [" "] * width
    end = min(width, 1 + grid.width)
    for label, at in ((first, 1), (last, end - len(last))):
        touches = at <= start + len(here) and start <= at + len(label)
        if not touches and at >= 1 and words[at : at + len(label)] == [" "] * len(label):
            words[at : at + len(label)] = label
    text = "".join(words)
    return [
        seg(text[:start], ink.of("dim")),
        seg(here, ink.of("accent", "b")),
        seg(text[start + len(here) :], ink.of("dim")),
    ]


def _step(model: ChosenModel, column: int, grid: Grid) -> str:
    value = model.steps[grid.observation(column)]
    return grouped(int(value)) if np.isfinite(value) else "–"
