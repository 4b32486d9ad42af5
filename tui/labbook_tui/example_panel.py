"""One example of a chosen set: what it is, how it was learned, its input drawn, its outputs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from labbook.book.text import clean
from labbook_tui.chart import ChartOptions, draw_chart
from labbook_tui.curve import Curve
from labbook_tui.example_input import input_lines
from labbook_tui.example_output import change_lines, output_curves, output_lines
from labbook_tui.lines import Line, width_of
from labbook_tui.models import ChosenModel
from labbook_tui.palette import Ink, seg
from labbook_tui.text import cut, grouped, number

__all__ = ["chart_options", "curve_lines", "example_lines", "fact_lines"]

CHART_ROWS = 8
CHANGES = 6


def example_lines(
    model: ChosenModel, at: tuple[int, int], size: tuple[int, int], ink: Ink
) -> list[Line]:
    """Lines of the panel for `at` (row, observation), from what matters most to what fits."""
    (row, observation), (width, height) = at, size
    example = model.examples[row]
    lines = fact_lines(model, row, observation, width, ink)
    shown = output_lines(model, row, observation, width, ink)
    room = height - len(lines) - len(shown)
    spare = CHART_ROWS if room >= CHART_ROWS + 8 else 0
    lines += input_lines(example, width, min(12, room - spare), ink)
    lines += shown
    rest = height - len(lines)
    changes = change_lines(model, row, observation, (width, min(CHANGES, rest - 7)), ink)
    chart = min(rest - len(changes), 11)
    if chart >= 6:
        lines += curve_lines(model, row, observation, (width, chart), ink)
    return [*lines, *changes][:height]


def fact_lines(model: ChosenModel, row: int, observation: int, width: int, ink: Ink) -> list[Line]:
    """Example and step; loss; target and prediction; when it was learned, forgotten, changed."""
    example, dim = model.examples[row], ink.of("dim")
    step = grouped(int(model.steps[observation]))
    lines: list[Line] = [
        [seg(f"example {example.id}", ink.of("text", "b")), seg(f"  at step {step}", dim)]
    ]
    lines += _loss_line(model, row, observation, ink)
    verdict = _verdict(model, row, observation, width, ink)
    if verdict:
        lines.append(verdict)
    return [*lines, *_folded(_story(model, row), width, ink)]


def _loss_line(model: ChosenModel, row: int, observation: int, ink: Ink) -> list[Line]:
    """The loss, and what it is more or less than at the observation before."""
    loss = model.grids.get("loss")
    if loss is None:
        return []
    line: Line = [
        seg("loss ", ink.of("dim")),
        seg(number(float(loss[row, observation])), ink.of("text", "b")),
    ]
    if observation:
        change = float(loss[row, observation] - loss[row, observation - 1])
        if np.isfinite(change) and change:
            sign = "+" if change > 0 else "-"
            line.append(seg(f"  {sign}{number(abs(change), 3)}", ink.of("dim")))
    return [line]


def _verdict(model: ChosenModel, row: int, observation: int, width: int, ink: Ink) -> Line:
    """`target 7  predicts 3 .81 ✗`."""
    example, line = model.examples[row], []
    if example.target:
        line = [seg("target ", ink.of("dim")), seg(cut(example.target, max(4, width - 8)))]
    found = model.recorded.value("prediction", row, observation) if model.recorded else None
    if isinstance(found, int) and width_of(line) + 14 + len(str(found)) <= width:
        line += [seg("  predicts ", ink.of("dim")), seg(clean(found))]
    correct = model.grids.get("correct")
    if correct is not None and np.isfinite(correct[row, observation]):
        right = bool(correct[row, observation])
        glyph = ink.glyphs.done if right else ink.glyphs.fail
        line.append(seg(f" {glyph}", ink.of("good" if right else "bad", "b")))
    return line


def _story(model: ChosenModel, row: int) -> list[str]:
    """When it was learned, how often forgotten, when its output last changed."""
    table, parts = model.table, []
    if table is None:
        return []
    status = table.column("status")[row].as_py()
    if status == "never learned":
        parts.append("never learned")
    elif status is not None:
        parts.append(f"learned {grouped(table.column('first_correct')[row].as_py())}")
        count = table.column("forgettings")[row].as_py()
        parts.append(f"forgotten {count}×" if count else "never forgotten")
    changed = None if model.changed is None else np.flatnonzero(model.changed[row])
    if changed is not None and len(changed):
        parts.append(f"last changed {grouped(int(model.steps[changed[-1]]))}")
    elif changed is not None and len(model.steps) > 1:
        parts.append("never changed")
    region = table.column("region")[row].as_py()
    return [*parts, region] if region else parts


def _folded(parts: list[str], width: int, ink: Ink) -> list[Line]:
    """Parts with a comma between, none broken in two."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(part) + 2 <= width:
            lines[-1] += f", {part}"
        else:
            lines.append(part)
    return [[seg(cut(line, width), ink.of("dim"))] for line in lines]


def curve_lines(
    model: ChosenModel, row: int, observation: int, size: tuple[int, int], ink: Ink
) -> list[Line]:
    """Outputs over the steps where they are few real numbers, else the loss."""
    curves = output_curves(model, row)
    title = "output"
    if not curves and "loss" in model.grids:
        curves, title = [_curve("loss", model.steps, model.grids["loss"][row])], "loss"
    if not curves:
        return []
    return draw_chart(title, curves, size, ink, chart_options(model, observation))


def chart_options(model: ChosenModel, observation: int) -> ChartOptions:
    """The cursor at an observation's step, and room for the label of the last one, or for more."""
    steps = model.steps
    if model.summary.state == "running":
        return ChartOptions(x_name="", cursor=float(steps[observation]), live=True)
    first, last = float(steps[0]), float(steps[-1])
    limits = min(first, 0.0), last + 0.07 * ((last - min(first, 0.0)) or 1.0)
    return ChartOptions(x_name="", cursor=float(steps[observation]), x_limits=limits)


def _curve(name: str, x: NDArray[np.float64], y: NDArray[np.float64]) -> Curve:
    known = np.isfinite(x) & np.isfinite(y)
    return Curve(name, x[known], y[known], points=True)
