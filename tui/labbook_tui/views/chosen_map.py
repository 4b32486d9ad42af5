"""The map of a chosen set: a row an example, a column an observation, with its axis and scale."""

from __future__ import annotations

import numpy as np

from labbook.book.text import clean
from labbook_tui.heatmap import Grid, draw_heatmap, resample
from labbook_tui.lines import Line, fit, width_of
from labbook_tui.models import ChosenModel
from labbook_tui.palette import Ink, seg
from labbook_tui.text import cut, grouped, number
from labbook_tui.views.chosen_look import Look
from labbook_tui.views.chosen_table import table_lines

__all__ = ["grid_of", "head_line", "map_lines", "step_text"]


def grid_of(model: ChosenModel, width: int) -> Grid:
    """Columns for the observations; while there come more, they seldom move."""
    return Grid.of(len(model.steps), width - 2, is_growing=model.summary.state == "running")


def map_lines(look: Look, width: int, height: int, ink: Ink) -> list[Line]:
    """Head, map, axis and scale, `height` lines at most; `look.top` follows the cursor."""
    model = look.model
    per_line = 2 if ink.heat else 1
    body = height - 3
    grid = grid_of(model, width)
    n_seen = min(len(look.rows), body * per_line)
    stretch = _stretch(len(look.rows), body, per_line)
    look.top = max(0, min(max(look.top, look.place - n_seen + 1), look.place))
    look.top = min(look.top, len(look.rows) - n_seen)
    shown = look.rows[look.top : look.top + n_seen]
    low, high, is_log = look.limits
    values = model.grids[look.measure][shown]
    if is_log:
        values = np.log10(np.maximum(values, 1e-30))
    pixels = np.repeat(resample(values, grid.whole), stretch, axis=0)
    colours, shades = _colours(look.measure, ink)
    pointer = (look.place - look.top) * stretch // per_line
    lines: list[Line] = [head_line(look, width, ink, len(shown))]
    painted = draw_heatmap(pixels, low, high, ink, colours=colours, shades=shades)
    for row, line in enumerate(painted):
        mark = seg(ink.glyphs.cursor if row == pointer else " ", ink.of("accent", "b"))
        lines.append([mark, *line])
    lines.append(_axis(look, grid, width, ink))
    lines.append(_scale(look, ink))
    table = table_lines(look, width, height - len(lines) - 1, ink)
    return [*lines, [], *table] if table else lines


def _stretch(n_rows: int, body: int, per_line: int) -> int:
    """Pixels for each example: as many as leave room for the table, else as many as fit."""
    most = max(1, min(4, body * per_line // max(1, n_rows)))
    for pixels in range(most, 0, -1):
        if -(-n_rows * pixels // per_line) + min(n_rows, 8) + 2 <= body:
            return pixels
    return most


def _colours(measure: str, ink: Ink) -> tuple[tuple[str, ...], str]:
    """Colours and shades from low to high. What is wrong stands out, what is right is quiet."""
    if measure != "correct":
        return ink.heat, ink.glyphs.shades
    table = ink.table
    return (table["bad"], table["warn"], table["faint"]), ink.glyphs.shades[4:0:-1]


def head_line(look: Look, width: int, ink: Ink, n_shown: int | None = None) -> Line:
    """Set, counts, order, filter; what does not fit is left out from the end."""
    model = look.model
    several = len(model.sets) > 1
    place = f" ({model.sets.index(model.name) + 1} of {len(model.sets)})" if several else ""
    named = f"{clean(model.name)}{place}: " if several or model.name != "chosen" else ""
    n, total = len(look.rows), len(model.ids)
    counted = f"{grouped(n)} of {grouped(total)}" if n < total else grouped(total)
    head: Line = [
        seg(f" {named}{counted} examples × {grouped(len(model.steps))} steps", ink.of("text", "b"))
    ]
    part = ""
    if n_shown is not None and n_shown < n:
        part = f", {look.top + 1}–{look.top + n_shown}"
    known = look.as_of < len(model.steps)
    since = f" at {step_text(model, look.as_of - 1)}" if known else ""
    parts = [f"by {look.order_name}{since}{part}"]
    if look.only_wrong:
        parts.append("wrong now")
    if look.pattern:
        parts.append("/" + clean(look.pattern))
    for text in parts:
        if width_of(head) + len(text) + 2 <= width:
            head.append(seg("  " + text, ink.of("dim")))
    return fit(head, width)


def step_text(model: ChosenModel, observation: int) -> str:
    """The step of an observation: `20 120`."""
    value = model.steps[observation] if len(model.steps) else np.nan
    return grouped(int(value)) if np.isfinite(value) else "–"


def _axis(look: Look, grid: Grid, width: int, ink: Ink) -> Line:
    """The cursor's step under its column; first and last step where they do not touch it."""
    model = look.model
    column = grid.column(look.observation)
    here = f"{'▴' if ink.glyphs.braille else '^'}{step_text(model, look.observation)}"
    first = step_text(model, grid.observation(0))
    last = step_text(model, grid.observation(grid.width - 1))
    start = max(0, min(1 + column, width - len(here)))
    words = [" "] * width
    end = min(width, 1 + grid.width)
    for label, at in ((first, 1), (last, end - len(last))):
        touches = at <= start + len(here) and start <= at + len(label)
        if (
            label != here[1:]
            and not touches
            and at >= 1
            and words[at : at + len(label)] == [" "] * len(label)
        ):
            words[at : at + len(label)] = label
    text = "".join(words)
    return [
        seg(text[:start], ink.of("dim")),
        seg(here, ink.of("accent", "b")),
        seg(text[start + len(here) :], ink.of("dim")),
    ]


def _scale(look: Look, ink: Ink) -> Line:
    """What the colours mean."""
    low, high, is_log = look.limits
    colours, shades = _colours(look.measure, ink)
    if look.measure == "correct":
        line: Line = [seg(" ")]
        for at, word in enumerate(("wrong", "both", "right")):
            style = ink.pixel(None, colours[at]) if ink.heat else ink.of("text")
            line += [seg("  " if ink.heat else shades[at + (at == 2)] * 2, style)]
            line += [seg(f" {word}  ", ink.of("dim"))]
        return line
    first, last = (10.0**low, 10.0**high) if is_log else (low, high)
    line = [seg(f" {cut(look.measure, 12)} {number(first, 3)} ", ink.of("dim"))]
    if ink.heat:
        line += [seg(" ", ink.pixel(None, colour)) for colour in colours]
    else:
        line.append(seg(shades))
    return [*line, seg(f" {number(last, 3)}{' log' if is_log else ''}", ink.of("dim"))]
