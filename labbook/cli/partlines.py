"""Pages of pictures and words (`labbook.checks.page`) in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import click

from labbook.book.text import clean
from labbook.cli.pictures import colours, draw
from labbook.cli.tables import cell_width

if TYPE_CHECKING:
    from labbook.checks.page import Cell, Part

__all__ = ["part_lines"]

_WIDTH: Final = 80
_NARROW, _WIDE = 14, 18
"""Cells of a picture: five or four stand side by side."""
_LINES: Final = 8
_GAP = "  "


def part_lines(parts: Iterable[Part]) -> Iterator[str]:
    """Yield the parts in 80 columns: pictures side by side, what is said below each."""
    for part in parts:
        yield ""
        yield click.style(clean(part.title), bold=True)
        yield from _wrapped(clean(part.about), _WIDTH)
        for row in part.rows:
            columns = _NARROW if all(_width(cell) <= _NARROW for cell in row) else _WIDE
            per_line = (_WIDTH + len(_GAP)) // (columns + len(_GAP))
            for at in range(0, len(row), per_line):
                yield ""
                yield from _beside(row[at : at + per_line], columns)


def _width(cell: Cell) -> int:
    return 0 if cell.what.picture is None else int(cell.what.picture.shape[1])


def _beside(cells: Sequence[Cell], columns: int) -> Iterator[str]:
    blocks = []
    for cell in cells:
        said = [
            line for word in clean(cell.caption).split(", ") for line in _wrapped(word, columns)
        ]
        blocks.append([*_pictured(cell, columns), *said])
    for n in range(max(map(len, blocks))):
        line = [block[n] if n < len(block) else "" for block in blocks]
        yield _GAP.join(_padded(text, columns) for text in line).rstrip()


def _padded(text: str, columns: int) -> str:
    return text + " " * max(0, columns - cell_width(click.unstyle(text)))


def _pictured(cell: Cell, columns: int) -> list[str]:
    picture = cell.what.picture
    if picture is None:
        return _wrapped(clean(cell.what.text), columns)[:_LINES]
    import numpy as np

    scale = max(1, min(columns // picture.shape[1], 2 * _LINES // picture.shape[0]))
    grown = np.repeat(np.repeat(picture, scale, 0), scale, 1)
    flat = grown[:, :, 0] if grown.shape[2] == 1 else grown[:, :, :3]
    return draw(flat, columns, _LINES, colours())


def _wrapped(text: str, width: int) -> list[str]:
    from textwrap import wrap

    return wrap(text, width) or [""]
