"""The examples around the cursor as a table, where the map leaves room under it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from labbook_tui.example_output import said
from labbook_tui.lines import Line, fit, under
from labbook_tui.models import ChosenModel
from labbook_tui.palette import Ink, seg
from labbook_tui.text import cut, decimals, fixed, grouped, pad
from labbook_tui.views.chosen_look import Look

__all__ = ["table_lines"]

LEAST = 3
"""Rows with the heading below which there is no table."""

Cells = Callable[[int], str]


def table_lines(look: Look, width: int, height: int, ink: Ink) -> list[Line]:
    """A heading and the examples in their order, the cursor's among them."""
    if height < LEAST or not len(look.rows):
        return []
    n = min(height - 1, len(look.rows))
    top = max(0, min(look.place - n // 2, len(look.rows) - n))
    rows = look.rows[top : top + n].tolist()
    columns = _columns(look, rows)
    texts = {name: [name, *map(draw, rows)] for name, draw, _ in columns}
    widths = {name: min(24, max(map(len, column))) for name, column in texts.items()}
    kept: list[tuple[str, bool]] = []
    used = 2
    for name, _, is_left in columns:
        if used + widths[name] + 2 <= width and any(texts[name][1:]):
            kept.append((name, is_left))
            used += widths[name] + 2
    lines: list[Line] = []
    for at in range(n + 1):
        parts = [pad(texts[name][at], widths[name], right=not left) for name, left in kept]
        is_here = at > 0 and top + at - 1 == look.place
        style = ink.of("dim" if at == 0 else "text")
        mark = seg(ink.glyphs.cursor if is_here else " ", ink.of("accent", "b"))
        line: Line = [mark, seg(" " + "  ".join(parts), style)]
        if at and used + 8 < width:
            line.append(
                seg("  " + _input(look.model, rows[at - 1], width - used - 1), ink.of("dim"))
            )
        line = fit(line, width)
        lines.append(under(line, ink.cursor) if is_here else line)
    return lines


def _columns(look: Look, rows: list[int]) -> list[tuple[str, Cells, bool]]:
    """(name, text of a row, whether it stands on the left), the most wanted first."""
    model, at = look.model, look.observation
    assert model.table is not None
    table = model.table
    found: list[tuple[str, Cells, bool]] = [("id", lambda row: str(model.ids[row]), False)]
    found.append(("target", lambda row: cut(model.examples[row].target, 16), True))
    for name, grid in model.grids.items():
        if name == "correct":
            continue
        values = grid[:, at]
        places = decimals(values[rows].tolist())
        found.append((name, _fixed(values, places), False))
        if name == "loss" and at:
            change = grid[:, at] - grid[:, 0]
            found.append(("change", _fixed(change, decimals(change[rows].tolist())), False))
    found.append(("output", lambda row: cut(said(model, row, at), 24), True))

    def whole(name: str) -> Cells:
        column = table.column(name)

        def text(row: int) -> str:
            value = column[row].as_py()
            return "" if value is None else grouped(value)

        return text

    found.append(("learned", whole("first_correct"), False))
    found.append(("forgotten", whole("forgettings"), False))
    return found


def _fixed(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], places: int) -> Cells:
    return lambda row: fixed(float(values[row]), places) if np.isfinite(values[row]) else "–"


def _input(model: ChosenModel, row: int, width: int) -> str:
    """The beginning of a text that went in."""
    return cut(" ".join(model.examples[row].text.split()), width)
