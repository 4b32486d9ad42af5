"""One example large: its panel on the left, its outputs over the steps as a table beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from labbook_tui.example_input import input_lines
from labbook_tui.example_output import (
    changed_from,
    event_at,
    highest,
    output_lines,
    visible,
    weights_of,
)
from labbook_tui.example_panel import curve_lines, fact_lines
from labbook_tui.gauges import bar
from labbook_tui.images.picture import Place, fitted
from labbook_tui.lines import Line, beside, fit, under
from labbook_tui.models import ChosenModel
from labbook_tui.palette import Ink, seg
from labbook_tui.text import cut, decimals, fixed, grouped, pad
from labbook_tui.views.chosen_look import Look

__all__ = ["large_lines", "picture_place", "side_width", "table_rows"]


LEAST_BAR = 8
"""Columns below which a bar says nothing."""


@dataclass(frozen=True)
class _Column:
    name: str
    width: int
    draw: Callable[[int], str]
    is_text: bool = False
    meaning: str = "text"


def side_width(width: int) -> int:
    """Columns of the panel."""
    return max(28, min(44, width * 36 // 100))


def large_lines(look: Look, width: int, height: int, ink: Ink) -> list[Line]:
    """The whole page of one example."""
    model, row, observation = look.model, look.row, look.observation
    if row is None:
        return []
    left = side_width(width) - 1
    lines = fact_lines(model, row, observation, left, ink)
    shown = output_lines(model, row, observation, left, ink)
    room = height - len(lines) - len(shown)
    place = picture_place(look, width, height, ink)
    if place is None:
        lines += input_lines(model.examples[row], left, min(14, room - 1), ink)
    else:
        text = cut(model.examples[row].text, left)
        lines += [[] for _ in range(place.rows)] + ([[seg(text, ink.of("dim"))]] if text else [])
    lines += [[], *shown] if room > 1 else shown
    if height - len(lines) >= 7:
        lines += curve_lines(model, row, observation, (left, min(12, height - len(lines))), ink)
    gap: Line = [seg(f" {ink.glyphs.side} ", ink.of("faint"))]
    table = _table(look, width - left - 4, height, ink)
    lines = [[seg(" "), *line] for line in lines[:height]]
    lines += [[] for _ in range(height - len(lines))]
    return beside(lines, table, left + 1, gap)


def picture_place(look: Look, width: int, height: int, ink: Ink) -> Place | None:
    """The cells that stay empty for a picture which the terminal draws itself."""
    model, row = look.model, look.row
    example = model.examples[row] if row is not None else None
    if row is None or example is None or example.image is None or not ink.draws_pixels:
        return None
    left = side_width(width) - 1
    top = len(fact_lines(model, row, look.observation, left, ink))
    below = len(output_lines(model, row, look.observation, left, ink)) + bool(example.text)
    most = min(14, height - top - below - 1)
    if most < 3:
        return None
    columns, rows = fitted(example.image, left, most)
    return Place(1, top, columns, rows)


def _table(look: Look, width: int, height: int, ink: Ink) -> list[Line]:
    model, row = look.model, look.row
    assert row is not None
    columns = _columns(model, row, width)
    columns += _bar_column(model, row, width - sum(column.width + 1 for column in columns) - 3, ink)
    title = f"outputs over {grouped(len(model.steps))} steps"
    place = f"{look.place + 1} of {grouped(len(look.rows))} by {look.order_name}"
    head = [seg(title, ink.of("text", "b"))]
    if len(title) + len(place) + 3 <= width:
        head += [seg("  " + place, ink.of("dim"))]
    names: Line = [seg("  ")]
    for column in columns:
        names.append(
            seg(pad(column.name, column.width, right=not column.is_text) + " ", ink.of("dim"))
        )
    body = height - 2
    top = _top(look.observation, len(model.steps), body)
    lines: list[Line] = [head, names]
    for at in range(top, min(len(model.steps), top + body)):
        lines.append(_line(look, at, columns, width, ink))
    return lines


def _top(here: int, count: int, body: int) -> int:
    """The first row in sight: the cursor stands in the middle, except near the ends."""
    return max(0, min(here - body // 2, count - body))


def _line(look: Look, at: int, columns: list[_Column], width: int, ink: Ink) -> Line:
    """The row of the table for an observation: bright where the output changed."""
    model, row = look.model, look.row
    is_here = at == look.observation
    is_change = model.changed is not None and bool(model.changed[row, at])
    style = ink.of("text", "b") if is_change else ink.of("text")
    mark = ink.glyphs.cursor if is_here else " "
    line: Line = [seg(mark + " ", ink.of("accent", "b"))]
    for column in columns:
        text = column.draw(at)
        if column.name == "event":
            meaning = "bad" if text == "forgotten" else "good"
            line.append(seg(pad(text, column.width) + " ", ink.of(meaning)))
        elif column.is_text and at and not is_here:
            parts = changed_from(column.draw(at - 1), text, ink)
            line += [*fit(parts, column.width), seg(" ")]
        else:
            own = style if column.meaning == "text" else ink.of(column.meaning)
            line.append(seg(pad(text, column.width, right=not column.is_text) + " ", own))
    line = fit(line, width)
    return under(line, ink.cursor) if is_here else line


def _columns(model: ChosenModel, row: int, width: int) -> list[_Column]:
    """Step, loss, prediction with probabilities, further columns; those that fit."""
    recorded = model.recorded
    wide = max(len("step"), len(grouped(int(model.steps[-1]))))
    found = [_Column("step", wide, lambda at: grouped(int(model.steps[at])))]
    for name in ("loss", "error"):
        if name in model.grids:
            found.append(_numbers(name, model, row))
    if recorded is None:
        return found
    if recorded.scores(row, len(model.steps) - 1)[0] or "correct" in model.grids:
        found += _class_columns(model, row)
    elif recorded.width:
        found += _value_columns(model, row)
    weights = {weights_of(recorded, name) for name in recorded.looks}
    looks = [n for n in recorded.looks if n not in weights and not n.startswith("top_")]
    used = sum(column.width + 1 for column in found) + 2
    for place, name in enumerate(looks):
        each = (width - used) // (len(looks) - place) - 1
        if each < 6:
            break
        needed = max(len(name), *(len(_shown(model, name, row, at)) for at in _ends(model)))
        each = min(each, max(needed, 6)) if place < len(looks) - 1 else each
        found.append(_look_column(model, name, row, each))
        used += each + 1
    while len(found) > 1 and sum(column.width + 1 for column in found) + 2 > width:
        found.pop()
    return found


def _ends(model: ChosenModel) -> tuple[int, int]:
    return 0, len(model.steps) - 1


def _shown(model: ChosenModel, name: str, row: int, at: int) -> str:
    """A list with weights as its tokens one after the other, else as it was recorded."""
    recorded = model.recorded
    assert recorded is not None
    if weights_of(recorded, name):
        return " ".join(visible(token) for token in recorded.tokens(name, row, at))
    return recorded.text(name, row, at).rstrip()


def _look_column(model: ChosenModel, name: str, row: int, width: int) -> _Column:
    return _Column(name, width, lambda at: cut(_shown(model, name, row, at), width), is_text=True)


def _numbers(name: str, model: ChosenModel, row: int) -> _Column:
    values = model.grids[name][row]
    places = decimals(values.tolist())
    texts = [fixed(float(v), places) if np.isfinite(v) else "–" for v in values]
    return _Column(name, max(len(name), *map(len, texts)), lambda at: texts[at])


def _class_columns(model: ChosenModel, row: int) -> list[_Column]:
    recorded, label = model.recorded, model.examples[row].label
    assert recorded is not None

    def predicted(at: int) -> str:
        value = recorded.value("prediction", row, at)
        scores = recorded.scores(row, at)[0]
        if value is None and scores:
            value = highest(scores, None)[0][0]
        return "–" if value is None else str(value)

    def probability(at: int, of_target: bool) -> str:
        scores = recorded.scores(row, at)[0]
        if not scores:
            return "–"
        found = dict(scores).get(label if label is not None else -1) if of_target else None
        found = highest(scores, None)[0][1] if not of_target else found
        return "–" if found is None else f"{found:.3f}"

    columns = [_Column("output", 6, predicted)]
    if recorded.scores(row, len(model.steps) - 1)[0]:
        columns.append(_Column("p", 5, lambda at: probability(at, False)))
        columns.append(_Column("p(target)", 9, lambda at: probability(at, True)))
    if model.learned is not None:
        columns.append(_Column("event", 9, lambda at: event_at(model, row, at), is_text=True))
    return columns


def _bar_column(model: ChosenModel, row: int, width: int, ink: Ink) -> list[_Column]:
    """The probability of the target as a bar, where there is room for one."""
    if width < LEAST_BAR or "confidence" not in model.grids:
        return []
    width = min(width, 24)
    values = model.grids["confidence"][row]
    drawn = _Column("", width, lambda at: bar(float(values[at]), width, ink.glyphs), meaning="dim")
    return [drawn]


def _value_columns(model: ChosenModel, row: int) -> list[_Column]:
    """The first values of the output, each with its own decimals."""
    assert model.recorded is not None
    values = model.recorded.outputs(row)
    columns = []
    for at in range(min(6, model.recorded.width) if values is not None else 0):
        assert values is not None
        own = values[:, at].tolist()
        places = decimals(own)
        texts = [fixed(v, places) if np.isfinite(v) else "–" for v in own]
        name = "output" if model.recorded.width == 1 else f"[{at}]"
        columns.append(
            _Column(name, max(len(name), *map(len, texts)), lambda k, texts=texts: texts[k])  # type: ignore[misc]
        )
    return columns


def table_rows(model: ChosenModel, row: int) -> tuple[tuple[str, ...], list[list[str]]]:
    """The whole table of an example as data: names, and a row a step."""
    columns = _columns(model, row, 10**4)
    return tuple(column.name for column in columns), [
        [column.draw(at) for column in columns] for at in range(len(model.steps))
    ]
