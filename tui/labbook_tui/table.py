"""A table that draws only the rows on screen, however many there are.

Rows come from a callable; sorting and filtering are an index array over them. Live cells cost the
rows they stand in (`redraw` repaints changed lines only).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from rich.cells import cell_len
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from labbook_tui.lines import Line, Lines, fit, under, width_of
from labbook_tui.palette import seg
from labbook_tui.text import cut, pad

if TYPE_CHECKING:
    from labbook.book.summary import RunSummary

__all__ = ["Cell", "Column", "VTable", "columns_that_fit"]

R = TypeVar("R")
Cell = tuple[str, Style | None]


@dataclass(frozen=True)
class Column(Generic[R]):
    """One column: `cell` gives text and style, `most` bounds its width, numbers stand `right`.

    `value` is what stands in a row, as data; `by` orders the runs that rows are made of.
    """

    key: str
    title: str
    cell: Callable[[R], Cell]
    right: bool = False
    most: int = 24
    least: int = 1
    spacer: int = 2
    value: Callable[[R], Any] | None = None
    by: Callable[[RunSummary], Any] | None = None


def columns_that_fit(
    widths: Sequence[int], spacers: Sequence[int], room: int, start: int, frozen: int
) -> list[int]:
    """Indices of the columns shown: the frozen ones, then those from `start` that fit whole."""
    shown: list[int] = []
    for index, (width, spacer) in enumerate(zip(widths, spacers, strict=True)):
        if index >= frozen and index < start:
            continue
        if width + spacer > room and shown:
            break
        room -= width + spacer
        shown.append(index)
    return shown


class VTable(Lines, Generic[R], can_focus=True):
    """Virtual table with a row cursor. `set_columns`, `set_rows`, then `set_order` to sort."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "move(1)", "down", show=False),
        Binding("k,up", "move(-1)", "up", show=False),
        Binding("ctrl+d,pagedown", "page(1)", "page down", show=False),
        Binding("ctrl+u,pageup", "page(-1)", "page up", show=False),
        Binding("g,home", "end(0)", "first", show=False),
        Binding("G,end", "end(1)", "last", show=False),
        Binding("l,right", "columns(1)", "columns right", show=False),
        Binding("h,left", "columns(-1)", "columns left", show=False),
        Binding("enter", "choose", "open", show=False),
    ]

    class Moved(Message):
        """The cursor stands on another row."""

    class Chosen(Message):
        """Enter was pressed on a row."""

    def __init__(self, *, id: str | None = None, frozen: int = 1) -> None:
        super().__init__(id=id)
        self.columns: list[Column[R]] = []
        self.rows: Sequence[R] = ()
        self.order: Sequence[int] = ()
        self.frozen = frozen
        self.cursor = 0
        self.top = 0
        self.first_column = 0
        self.empty = ""
        self.sorted_by: tuple[str, bool] | None = None
        self.in_sight: list[int] = []
        """The columns drawn last."""
        self._widths: list[int] = []

    def set_columns(self, columns: list[Column[R]]) -> None:
        """Replace the columns."""
        self.columns = columns
        self.in_sight = [place for place in self.in_sight if place < len(columns)]
        self.first_column = min(self.first_column, max(0, len(columns) - 1))
        self._measure()

    def set_rows(self, rows: Sequence[R], order: Sequence[int], keep: int | None = None) -> None:
        """Replace rows and order; the cursor goes to position `keep` in the order if given."""
        self.rows, self.order = rows, order
        self.cursor = min(max(0, self.cursor if keep is None else keep), max(0, len(order) - 1))
        self._measure()
        self._follow()
        self.redraw()

    @property
    def current(self) -> R | None:
        """The row under the cursor; None when there is none."""
        if not len(self.order):
            return None
        return self.rows[self.order[self.cursor]]

    def _measure(self) -> None:
        """Widths from the titles; what is drawn widens them (`_widen`)."""
        key = self.sorted_by[0] if self.sorted_by is not None else None
        self._widths = [
            min(column.most, max(column.least, cell_len(column.title) + 2 * (column.key == key)))
            for column in self.columns
        ]

    def _widen(self, rows: Sequence[int], room: int) -> None:
        """Make room for these rows, in columns that may be in sight: measuring all would cost."""
        for place, column in enumerate(self.columns):
            if self.frozen <= place < self.first_column:
                continue
            if room < 0:
                break
            if self._widths[place] < column.most:
                widest = max((cell_len(column.cell(self.rows[row])[0]) for row in rows), default=0)
                self._widths[place] = min(column.most, max(self._widths[place], widest))
            room -= self._widths[place] + column.spacer

    @property
    def page_rows(self) -> int:
        """Rows that fit under the heading."""
        return max(1, self.size.height - 1)

    def _follow(self) -> None:
        rows = self.page_rows
        top = min(self.top, max(0, len(self.order) - rows))
        self.top = min(max(top, self.cursor - rows + 1), self.cursor)

    def draw(self, width: int, height: int) -> list[Line]:
        """Heading and visible rows."""
        self._follow()
        self._widen(self.order[self.top : self.top + height - 1], width)
        shown = columns_that_fit(
            self._widths,
            [c.spacer for c in self.columns],
            width - 1,
            self.first_column,
            self.frozen,
        )
        self.in_sight = shown
        lines = [self._heading(shown, width)]
        for place in range(self.top, min(len(self.order), self.top + height - 1)):
            row = self.rows[self.order[place]]
            line = self._row(row, shown, width)
            if place == self.cursor:
                line = under(fit(line, width), self.ink.cursor)
            lines.append(line)
        if not len(self.order) and self.empty:
            lines += [[], [seg(cut(" " + self.empty, width), self.ink.of("dim"))]]
        return lines

    def _heading(self, shown: list[int], width: int) -> Line:
        ink = self.ink
        line: Line = [seg(" ")]
        for index in shown:
            column = self.columns[index]
            title, style = column.title, ink.of("dim")
            if self.sorted_by is not None and self.sorted_by[0] == column.key:
                mark = ink.glyphs.down if self.sorted_by[1] else ink.glyphs.up
                title, style = f"{mark} {title}", ink.of("accent")
            line += [
                seg(pad(title, self._widths[index], column.right), style),
                seg(" " * column.spacer),
            ]
        hidden = len(self.columns) - len(shown)
        if hidden:
            # the last title ends two cells before the edge, or earlier
            room = width - (2 if width_of(line) + 3 <= width else 1)
            line = [*fit(line, room), seg("›" if ink.glyphs.braille else ">", ink.of("dim"))]
        return line

    def _row(self, row: R, shown: list[int], width: int) -> Line:
        line: Line = [seg(" ")]
        for index in shown:
            column = self.columns[index]
            text, style = column.cell(row)
            line += [
                seg(pad(text, self._widths[index], column.right), style),
                seg(" " * column.spacer),
            ]
        return line

    def go(self, place: int) -> None:
        """Put the cursor on a position of the order."""
        place = min(max(0, place), max(0, len(self.order) - 1))
        if place != self.cursor:
            self.cursor = place
            self._follow()
            self.redraw()
            self.post_message(self.Moved())

    def action_move(self, by: int) -> None:
        """Move the cursor by rows."""
        self.go(self.cursor + by)

    def action_page(self, by: int) -> None:
        """Move the cursor by most of a screen."""
        self.go(self.cursor + by * max(1, self.page_rows - 1))

    def action_end(self, last: int) -> None:
        """First or last row."""
        self.go(len(self.order) - 1 if last else 0)

    def action_columns(self, by: int) -> None:
        """Scroll columns."""
        last = max(self.frozen, len(self.columns) - 1)
        start = max(self.first_column, self.frozen) + by
        self.first_column = min(max(self.frozen, start), last)
        self.redraw()

    def action_choose(self) -> None:
        """Open the row under the cursor."""
        if self.current is not None:
            self.post_message(self.Chosen())

    def on_click(self, event: events.Click) -> None:
        """A click puts the cursor on a row; a second one there opens it."""
        place = self.top + event.y - 1
        if event.y < 1 or place >= len(self.order):
            return
        if place == self.cursor:
            self.action_choose()
        self.go(place)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Wheel: three rows."""
        self.action_move(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Wheel: three rows."""
        self.action_move(-3)
