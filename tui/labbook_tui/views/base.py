"""A view of one run: what it wants from the reader, what it draws, which keys it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType

from labbook_tui.lines import Line, Lines
from labbook_tui.models import Problem, Want
from labbook_tui.palette import seg
from labbook_tui.shown import Shown
from labbook_tui.text import folded

if TYPE_CHECKING:
    from labbook_tui.images.picture import Picture

__all__ = ["Scrolled", "View"]

MOVES = [
    Binding("j,down", "move(1)", "down", show=False),
    Binding("k,up", "move(-1)", "up", show=False),
    Binding("ctrl+d,pagedown", "page(1)", "page down", show=False),
    Binding("ctrl+u,pageup", "page(-1)", "page up", show=False),
    Binding("g,home", "ends(0)", "first", show=False),
    Binding("G,end", "ends(1)", "last", show=False),
]


class View(Lines, can_focus=True):
    """One of a run's views; the screen shows one at a time."""

    KIND: ClassVar[str] = ""
    NAME: ClassVar[str] = ""
    KEYS: ClassVar[list[tuple[str, str]]] = []
    """Keys in the footer, the most useful first: as many as fit are shown."""
    EXPLAINED: ClassVar[list[tuple[str, str]]] = []
    """Every key of this view with what it does in full, for the help page."""

    def __init__(self) -> None:
        super().__init__(id=f"view-{self.KIND}")
        self.problem = ""

    def keys(self) -> list[tuple[str, str]]:
        """The keys in the footer now: those of `KEYS` that have something to do."""
        return self.KEYS

    def want(self, run_id: str) -> Want:
        """What the reader should read for this view."""
        return Want(self.KIND, run_id)

    def take(self, model: object) -> None:
        """A model, or a problem in its place."""
        self.problem = model.text if isinstance(model, Problem) else ""
        if not isinstance(model, Problem):
            self.accept(model)
        self.redraw()

    def accept(self, model: object) -> None:
        """Keep what is drawn."""

    def note(self, text: str, is_bad: bool = False) -> list[Line]:
        """One line in place of the content."""
        width = self.size.width
        style = self.ink.of("bad" if is_bad else "dim")
        return [[], *([seg(" " + line, style)] for line in folded(text, width - 2, 6))]

    def waiting(self) -> list[Line]:
        """What is drawn before there is a model."""
        return self.note(self.problem or "reading…", bool(self.problem))

    def search(self, text: str) -> str:
        """Filter or find; returns what to say about it."""
        return ""

    def close(self) -> bool:
        """Leave an inner page of this view, if one is open; whether one was."""
        return False

    def copied(self) -> str:
        """What is copied from here: the thing under the cursor, "" for nothing."""
        return ""

    def shown(self) -> Shown | None:
        """What is shown, as data, to be written to a file."""
        return None

    def picture(self) -> Picture | None:
        """The picture that the terminal is to draw here, in cells of this view."""
        return None

    def remembered(self) -> dict[str, Any]:
        """How this view is looked at (axes, order, columns), as plain JSON, kept for next time."""
        return {}

    def recall(self, memory: dict[str, Any]) -> None:
        """Take up what `remembered` gave; it may be of another version, or damaged."""


class Scrolled(View):
    """A view of many lines; `follow` keeps the last line in sight while it is."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *MOVES,
        Binding("n", "next(1)", "next match", show=False),
        Binding("N", "next(-1)", "previous match", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.top = 0
        self.follow = False
        self.found = ""
        self.hits: list[int] = []

    def rows(self, width: int) -> list[Line]:
        """All lines."""
        return []

    def draw(self, width: int, height: int) -> list[Line]:
        """The lines in sight."""
        rows = self.rows(width)
        last = max(0, len(rows) - height)
        self.top = last if self.follow else min(self.top, last)
        shown = rows[self.top : self.top + height]
        if not self.found:
            return shown
        self.hits = [i for i, row in enumerate(rows) if self.found in _text(row).lower()]
        hit = self.ink.cursor
        return [
            [seg(part.text, (part.style or hit) + hit) for part in row]
            if self.top + i in self.hits
            else row
            for i, row in enumerate(shown)
        ]

    def search(self, text: str) -> str:
        """Find lines; n and N go between them."""
        self.found = text.lower()
        self.redraw()
        if not self.found:
            return ""
        if self.hits and not any(
            self.top <= hit < self.top + self.size.height for hit in self.hits
        ):
            self.action_next(1)
        return f"{len(self.hits)} lines"

    def action_next(self, by: int) -> None:
        """To the next or previous hit."""
        if not self.hits:
            return
        ahead = [hit for hit in self.hits if (hit > self.top if by > 0 else hit < self.top)]
        if ahead:
            self.follow = False
            self.top = ahead[0] if by > 0 else ahead[-1]
            self.redraw()

    def action_move(self, by: int) -> None:
        """Scroll by lines; past the end means follow."""
        rows = len(self.rows(self.size.width))
        last = max(0, rows - self.size.height)
        self.top = min(max(0, self.top + by), last)
        self.follow = self.FOLLOWS and self.top == last
        self.redraw()

    FOLLOWS: ClassVar[bool] = False

    def action_page(self, by: int) -> None:
        """Scroll by most of a screen."""
        self.action_move(by * max(1, self.size.height - 1))

    def action_ends(self, last: int) -> None:
        """First or last line."""
        self.action_move(10**9 if last else -(10**9))

    def on_mouse_scroll_down(self) -> None:
        """Wheel: three lines."""
        self.action_move(3)

    def on_mouse_scroll_up(self) -> None:
        """Wheel: three lines."""
        self.action_move(-3)


def _text(line: Line) -> str:
    return "".join(part.text for part in line)
