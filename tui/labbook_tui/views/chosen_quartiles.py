"""The examples at the quartiles of the loss at one step, side by side with their inputs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from labbook.dynamics.grid import Grid
from labbook.dynamics.losses import QUARTILES, rank
from labbook_tui.chart import draw_chart
from labbook_tui.curve import Curve
from labbook_tui.example_input import input_lines
from labbook_tui.example_output import said
from labbook_tui.example_panel import chart_options
from labbook_tui.lines import Line, fit
from labbook_tui.models import ChosenModel
from labbook_tui.palette import Ink, seg
from labbook_tui.text import cut, folded, number
from labbook_tui.views.chosen_look import Look, Rows
from labbook_tui.views.chosen_map import head_line, step_text

__all__ = ["Exemplar", "exemplars", "quartile_lines"]

LEAST_CHART = 9
"""Lines below which the losses over the steps are left out."""
_NAMES = ("lowest loss", "25 %", "median", "75 %", "highest loss")


@dataclass(frozen=True)
class Exemplar:
    """The example (its row) whose loss is the quantile `share` at an observation."""

    share: float
    row: int
    loss: float


def exemplars(model: ChosenModel, observation: int, rows: Rows) -> list[Exemplar]:
    """Those of the examples in `rows`; none when no finite loss was recorded then."""
    loss = model.grids.get("loss")
    if loss is None or not loss.shape[1] or not len(rows):
        return []
    rows = np.sort(rows)  # of equal losses the first in the set, as in labbook.dynamics
    column = loss[rows, observation][:, None]
    ranked = rank(Grid(column, np.isfinite(column)))
    places = [int(ranked.at(share)[0]) for share in QUARTILES]
    return [
        Exemplar(share, int(rows[at]), float(column[at, 0]))
        for share, at in zip(QUARTILES, places, strict=True)
        if at >= 0
    ]


def quartile_lines(look: Look, width: int, height: int, ink: Ink) -> list[Line]:
    """Five columns from the lowest loss to the highest; the cursor's example is marked."""
    model, observation = look.model, look.observation
    head = head_line(look, width, ink)
    found = exemplars(model, observation, look.rows)
    if not found:
        return [head, [], [seg(" no finite loss was recorded at this step", ink.of("dim"))]]
    wide = (width - 1) // len(found) - 1
    blocks = [_card(look, each, (wide, height - 3), ink) for each in found]
    title = f" examples at the quartiles of the loss at step {step_text(model, observation)}"
    lines: list[Line] = [head, [seg(title, ink.of("dim"))], []]
    for row in range(max(map(len, blocks))):
        line: Line = [seg(" ")]
        for block in blocks:
            line += [*fit(block[row] if row < len(block) else [], wide), seg(" ")]
        lines.append(line)
    rest = height - len(lines) - 1
    if rest < LEAST_CHART:
        return lines
    options = chart_options(model, observation)
    if look.limits_of("loss")[2]:
        options = replace(options, log_y=True)
    curves = [_curve(model, each) for each in found]
    chart = draw_chart("loss", curves, (width - 1, min(rest, 18)), ink, options)
    return [*lines, [], *([seg(" "), *line] for line in chart)]


def _curve(model: ChosenModel, each: Exemplar) -> Curve:
    """The loss of one of them over all steps."""
    y = model.grids["loss"][each.row]
    known = np.isfinite(y)
    return Curve(
        f"example {model.examples[each.row].id}", model.steps[known], y[known], points=True
    )


def _card(look: Look, each: Exemplar, size: tuple[int, int], ink: Ink) -> list[Line]:
    model, observation = look.model, look.observation
    (width, height), example = size, model.examples[each.row]
    is_here = each.row == look.row
    name = _NAMES[QUARTILES.index(each.share)]
    mark = ink.glyphs.cursor if is_here else " "
    lines: list[Line] = [
        [seg(f"{mark}{name}", ink.of("accent" if is_here else "text", "b"))],
        [seg(" loss ", ink.of("dim")), seg(number(each.loss), ink.of("text", "b"))],
        [seg(cut(f" example {example.id}", width), ink.of("dim"))],
    ]
    room = height - len(lines) - 4
    drawn = input_lines(example, width - 2, max(0, min(room, (width - 2) // 2 + 2)), ink)
    lines += [[], *([seg(" "), *line] for line in drawn), []]
    if example.target:
        lines.append([seg(" target ", ink.of("dim")), seg(cut(example.target, width - 9))])
    return [*lines, *_answer(model, each.row, observation, width, ink)]


def _answer(model: ChosenModel, row: int, observation: int, width: int, ink: Ink) -> list[Line]:
    """The output, after whether it is right where that is known."""
    text = said(model, row, observation)
    correct = model.grids.get("correct")
    if correct is None or not np.isfinite(correct[row, observation]):
        return [[seg(" " + part, ink.of("text"))] for part in folded(text, width - 1, 3) if part]
    right = bool(correct[row, observation])
    glyph = ink.glyphs.done if right else ink.glyphs.fail
    return [[seg(cut(f" {glyph} {text}", width), ink.of("good" if right else "bad"))]]
