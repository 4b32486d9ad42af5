"""One line that the user types: what is typed is told at once, and Tab completes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from textual.message import Message

from labbook.book.text import clean
from labbook_tui.lines import Line, Lines, fit, width_of
from labbook_tui.palette import seg
from labbook_tui.text import cut

if TYPE_CHECKING:
    from textual import events

    from labbook.book.completing import Completion

__all__ = ["Prompt"]

Completes = Callable[[str], "Completion"]


class Prompt(Lines, can_focus=True):
    """One line of text typed by the user; every change is told, so that filters are live."""

    DEFAULT_CSS = "Prompt { height: 1; display: none; } Prompt.open { display: block; }"
    HINTED: ClassVar[int] = 2
    """Rows with the candidates above what is typed."""

    class Changed(Message):
        """The text is another."""

    class Closed(Message):
        """Enter (`kept`) or Escape was pressed."""

        def __init__(self, kept: bool) -> None:
            super().__init__()
            self.kept = kept

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.value = ""
        self.label = "/"
        self.note = ""
        self.is_wrong = False
        self.completes: Completes | None = None
        self.cycle: list[str] = []
        """What Tab goes through, once nothing more is common to it."""
        self._base = ""

    def open(self, value: str = "", label: str = "/", completes: Completes | None = None) -> None:
        """Show it and take the keys; `label` stands before what is typed."""
        self.value, self.label, self.note = value, label, ""
        self.completes, self.cycle = completes, []
        self.styles.height = self.HINTED if completes is not None else 1
        self.add_class("open")
        self.focus()
        self.redraw()

    def tell(self, note: str, is_wrong: bool = False) -> None:
        """Say something at the right end, in red when wrong."""
        self.note, self.is_wrong = note, is_wrong
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        """The candidates, if there may be any, and below them `/text_` and the note."""
        hints = [self._hints(width)] if self.completes is not None and height > 1 else []
        return [*hints, self._typed(width)]

    def _hints(self, width: int) -> Line:
        """As many candidates as fit; the one that stands in the text is bright."""
        ink, room = self.ink, width - 1
        line: Line = [seg(" ")]
        found = self._candidates()
        for at, word in enumerate(found):
            is_here = bool(self.cycle) and self._standing() == word
            more = "" if at == len(found) - 1 else f"…+{len(found) - at}"
            if width_of(line) + cell_len(word) + 2 + len(more) > room:
                line.append(seg(more, ink.of("dim")))
                break
            line.append(
                seg(clean(word) + "  ", ink.of("accent", "b") if is_here else ink.of("dim"))
            )
        words = "tab" if found else ""
        if words and width_of(line) + len(words) + 1 < width:
            line = [*fit(line, width - len(words) - 1), seg(words, ink.of("accent"))]
        return line

    def _candidates(self) -> list[str]:
        if self.completes is None:
            return []
        if self.cycle:
            return self.cycle
        return list(self.completes(self.value).found)

    def _complete(self, by: int) -> None:
        """As far as all candidates agree; then one after the other."""
        if self.completes is None:
            return
        if self.cycle:
            at = self.cycle.index(self._standing()) if self._standing() in self.cycle else -by
            self.value = self._base + self.cycle[(at + by) % len(self.cycle)]
            return
        found = self.completes(self.value)
        if found.common != self.value:
            self.value = found.common
        elif found.found:
            self._base, self.cycle = self.value[: found.start], list(found.found)
            self.value = found.with_(found.found[0 if by > 0 else -1])

    def _standing(self) -> str:
        return self.value[len(self._base) :]

    def _typed(self, width: int) -> Line:
        ink = self.ink
        meaning = "bad" if self.is_wrong else "dim"
        left: Line = [
            seg(f" {self.label} ", ink.of("accent")),
            seg(cut(self.value, width - len(self.label) - 3)),
            seg(" ", ink.of("text", "r")),
        ]
        note = cut(self.note, width - width_of(left) - 2)
        if len(note) == len(self.note) or len(note) > 12:
            left = [*fit(left, width - len(note) - 1), seg(note, ink.of(meaning))]
        return left

    def _close(self, kept: bool) -> None:
        self.remove_class("open")
        self.post_message(self.Closed(kept))

    def on_key(self, event: events.Key) -> None:
        """Edit the line."""
        before = self.value
        if event.key not in {"tab", "shift+tab"}:
            self.cycle = []
        if event.key in {"enter", "escape"}:
            self._close(event.key == "enter")
        elif event.key == "backspace":
            self.value = self.value[:-1]
        elif event.key in {"ctrl+u", "ctrl+w"}:
            self.value = "" if event.key == "ctrl+u" else self.value.rpartition(" ")[0]
        elif event.key in {"tab", "shift+tab"}:
            # where nothing completes too: Textual would give the keys to another widget
            self._complete(1 if event.key == "tab" else -1)
        elif event.is_printable and event.character:
            self.value += event.character
        else:
            return
        event.stop()
        event.prevent_default()
        if self.value != before:
            self.redraw()
            self.post_message(self.Changed())

    def on_paste(self, event: events.Paste) -> None:
        """A pasted text, its line ends as spaces."""
        self.value, self.cycle = self.value + " ".join(event.text.split()), []
        self.redraw()
        self.post_message(self.Changed())
