"""Header, footer, prompt and the page that says the terminal is too small."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

from labbook_tui.lines import Line, Lines, fit, width_of
from labbook_tui.palette import Ink, seg
from labbook_tui.text import cut

if TYPE_CHECKING:
    from textual import events
    from textual.timer import Timer

__all__ = ["LEAST", "Header", "Keys", "Prompt", "Small", "keys_line", "small_lines"]

LEAST = (60, 15)
"""Columns and rows below which no screen is drawn."""
SAID_S = 4.0


class Header(Lines):
    """Lines on top, on a ground of their own."""

    DEFAULT_CSS = "Header { height: 1; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.content: list[Line] = []

    def show(self, content: list[Line]) -> None:
        """Replace the lines; those after the first stand on the plain ground."""
        self.content = content
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        """The first line on the bar's ground."""
        first = self.content[0] if self.content else []
        return [fit(first, width, self.ink.bar), *self.content[1:]]


def keys_line(keys: list[tuple[str, str]], width: int, ink: Ink) -> Line:
    """`key what` pairs, as many as fit whole; the last pair always does."""
    line: Line = [seg(" ")]
    tail = keys[-1:] if keys else []
    room = width - sum(len(key) + len(what) + 3 for key, what in tail)
    for key, what in [*keys[:-1], *tail]:
        pair = [seg(key, ink.of("accent")), seg(f" {what}  ", ink.of("dim"))]
        limit = width if (key, what) in tail else room
        if width_of(line) + width_of(pair) - 2 <= limit:
            line += pair
    return line


class Keys(Lines):
    """The footer: keys of the present view."""

    DEFAULT_CSS = "Keys { height: 1; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.keys: list[tuple[str, str]] = []
        self.said: tuple[str, str] | None = None
        self._timer: Timer | None = None

    def show(self, keys: list[tuple[str, str]]) -> None:
        """Replace the keys."""
        if keys != self.keys:
            self.keys = keys
            self.redraw()

    def tell(self, text: str, meaning: str = "good") -> None:
        """Say something in place of the keys for some seconds: cheaper than a box over the page."""
        if self._timer is not None:
            self._timer.stop()
        self.said = (text, meaning)
        self._timer = self.set_timer(SAID_S, self._unsay)
        self.redraw()

    def _unsay(self) -> None:
        self.said = None
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        """One line."""
        if self.said is not None:
            text, meaning = self.said
            return [
                fit([seg(f" {cut(text, width - 2)}", self.ink.of(meaning))], width, self.ink.bar)
            ]
        return [fit(keys_line(self.keys, width, self.ink), width, self.ink.bar)]


class Prompt(Lines, can_focus=True):
    """One line of text typed by the user; every change is told, so that filters are live."""

    DEFAULT_CSS = "Prompt { height: 1; display: none; } Prompt.open { display: block; }"

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

    def open(self, value: str = "", label: str = "/") -> None:
        """Show it and take the keys; `label` stands before what is typed."""
        self.value, self.label, self.note = value, label, ""
        self.add_class("open")
        self.focus()
        self.redraw()

    def tell(self, note: str, is_wrong: bool = False) -> None:
        """Say something at the right end, in red when wrong."""
        self.note, self.is_wrong = note, is_wrong
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        """`/text_` and the note."""
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
        return [left]

    def _close(self, kept: bool) -> None:
        self.remove_class("open")
        self.post_message(self.Closed(kept))

    def on_key(self, event: events.Key) -> None:
        """Edit the line."""
        before = self.value
        if event.key in {"enter", "escape"}:
            self._close(event.key == "enter")
        elif event.key == "backspace":
            self.value = self.value[:-1]
        elif event.key in {"ctrl+u", "ctrl+w"}:
            self.value = "" if event.key == "ctrl+u" else self.value.rpartition(" ")[0]
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
        self.value += " ".join(event.text.split())
        self.redraw()
        self.post_message(self.Changed())


def small_lines(width: int, height: int) -> list[str]:
    """What is said where no screen fits."""
    texts = [
        f"labbook needs {LEAST[0]}×{LEAST[1]} cells.",
        f"This terminal has {width}×{height}.",
        "Make it larger, or use",
        "  labbook ls",
    ]
    return texts[: max(1, height)] if height < 4 else texts


class Small(Lines):
    """Shown instead of a screen on a terminal that is too small."""

    DEFAULT_CSS = "Small { display: none; }"

    def draw(self, width: int, height: int) -> list[Line]:
        """The lines."""
        return [[seg(cut(text, width))] for text in small_lines(width, height)]
