"""Header, footer and the page that says the terminal is too small."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labbook_tui.lines import Line, Lines, fit, width_of
from labbook_tui.palette import Ink, seg
from labbook_tui.text import cut

if TYPE_CHECKING:
    from textual.timer import Timer

__all__ = ["LEAST", "Header", "Keys", "Small", "keys_line", "small_lines"]

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
