"""A prompt for a text that is written into the book, not searched: a tag, or a line of notes."""

from __future__ import annotations

from collections.abc import Callable

from labbook_tui.lines import Line, fit, width_of
from labbook_tui.palette import seg
from labbook_tui.prompt import Prompt
from labbook_tui.text import cut

__all__ = ["Entry"]


class Entry(Prompt):
    """`ask` opens it with a label; enter hands the text over, escape does nothing."""

    class Changed(Prompt.Changed):
        """The text is another; nobody acts on it before enter."""

    class Closed(Prompt.Closed):
        """Enter or Escape was pressed."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.label = ""
        self.then: Callable[[str], None] | None = None

    def ask(self, label: str, note: str, then: Callable[[str], None]) -> None:
        """Ask for a text; `then` gets it when it is not empty."""
        self.label, self.then = label, then
        self.tell(note)
        self.open()

    def draw(self, width: int, height: int) -> list[Line]:
        """The label, the text, and what may be typed."""
        ink = self.ink
        line: Line = [
            seg(f" {self.label}: ", ink.of("accent")),
            seg(cut(self.value, width - len(self.label) - 5)),
            seg(" ", ink.of("text", "r")),
        ]
        if width_of(line) + len(self.note) + 2 <= width:
            line = [*fit(line, width - len(self.note) - 1), seg(self.note, ink.of("dim"))]
        return [line]
