"""Tables of text for a terminal or a pipe.

Invariant: no line of a fitted table is wider than the width it was given, unless the columns the
user asked for by name leave no choice; every cell is clean of control characters.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import click

from labbook.book.text import clean
from labbook.wrapping import width_of

__all__ = ["Column", "cell_width", "has_colour", "render", "terminal_width"]

_GAP = "  "
_SHORTEST = 8
"""Cells that a shrinking column keeps, its last one an ellipsis."""


@dataclass
class Column:
    """One column: its cells, and what may happen to it when the terminal is narrow.

    The columns with the highest `rank` are dropped first; rank 0 always stays.
    """

    title: str
    cells: list[str]
    rank: int = 0
    is_number: bool = False
    can_shrink: bool = False
    paint: Callable[[str], str] | None = None

    def __post_init__(self) -> None:
        self.title = clean(self.title)
        self.cells = [clean(cell) for cell in self.cells]

    @property
    def width(self) -> int:
        """Cells of the terminal that its widest cell takes."""
        return max(map(cell_width, (self.title, *self.cells)))


def cell_width(text: str) -> int:
    """Cells of a terminal that `text` takes: two for wide characters, none for combining ones."""
    if text.isascii():
        return len(text)
    return sum(
        2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
        if not unicodedata.combining(character)
    )


def terminal_width() -> int | None:
    """Columns of the terminal on stdout; None when stdout is a file or a pipe."""
    return width_of(sys.stdout)


def has_colour() -> bool:
    """Whether stdout is a terminal that wants colour (https://no-color.org)."""
    return (
        sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )


def render(columns: Sequence[Column], width: int | None) -> tuple[list[str], int]:
    """Return the lines of a table no wider than `width`, and how many columns were left out."""
    shown, widths = _fit(columns, width)
    lines = [[column.title for column in shown]]
    lines += [list(row) for row in zip(*(column.cells for column in shown), strict=True)]
    colour = has_colour()
    texts = []
    for number, line in enumerate(lines):
        cells = []
        for column, cell, room in zip(shown, line, widths, strict=True):
            text = _aligned(cell, room, column.is_number)
            if colour:
                text = _painted(text, column, is_title=number == 0)
            cells.append(text)
        texts.append(_GAP.join(cells).rstrip())
    return texts, len(columns) - len(shown)


def _fit(columns: Sequence[Column], width: int | None) -> tuple[list[Column], list[int]]:
    shown = list(columns)
    while True:
        widths = [column.width for column in shown]
        excess = 0 if width is None else sum(widths) + len(_GAP) * (len(widths) - 1) - width
        for i, column in enumerate(shown):
            if excess > 0 and column.can_shrink:
                room = max(min(widths[i], _SHORTEST), widths[i] - excess)
                excess -= widths[i] - room
                widths[i] = room
        droppable = max((column.rank for column in shown), default=0)
        if excess <= 0 or droppable == 0:
            return shown, widths
        # of equal rank the rightmost goes first
        index = max(i for i, column in enumerate(shown) if column.rank == droppable)
        del shown[index]


def _aligned(text: str, room: int, is_number: bool) -> str:
    while cell_width(text) > room:
        text = text[: -2 if text.endswith("…") else -1] + "…"
    space = " " * (room - cell_width(text))
    return space + text if is_number else text + space


def _painted(text: str, column: Column, *, is_title: bool) -> str:
    if is_title:
        return click.style(text, dim=True)
    return column.paint(text) if column.paint else text
