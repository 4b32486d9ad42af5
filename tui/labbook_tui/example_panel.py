"""One example of a chosen set: its input drawn, its target, its output at a step, its loss."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from labbook_tui.chart import ChartOptions, draw_chart
from labbook_tui.curve import Curve
from labbook_tui.gauges import bar
from labbook_tui.heatmap import draw_image
from labbook_tui.lines import Line
from labbook_tui.models import ChosenModel, Example
from labbook_tui.palette import Ink, seg
from labbook_tui.text import cut, grouped, number

__all__ = ["example_lines", "output_lines", "top_outputs"]

TOP = 5


def example_lines(
    model: ChosenModel, at: tuple[int, int], size: tuple[int, int], ink: Ink
) -> list[Line]:
    """Lines of the panel for `at` (row, observation), from what matters most to what fits."""
    (row, observation), (width, height) = at, size
    example = model.examples[row]
    loss = model.loss[row, observation]
    step = model.steps[observation]
    when = grouped(int(step)) if np.isfinite(step) else "–"
    lines: list[Line] = [
        [
            seg(f"example {example.id}", ink.of("text", "b")),
            seg(f"  at step {when}", ink.of("dim")),
        ],
        [seg("loss ", ink.of("dim")), seg(number(float(loss)), ink.of("text", "b"))],
    ]
    if example.target:
        lines.append([seg("target ", ink.of("dim")), seg(cut(example.target, width - 8))])
    output = None if model.outputs is None else model.outputs[row, observation]
    shown = [] if output is None else output_lines(output, example.label, width, ink)
    room = height - len(lines) - len(shown)
    picture = _input_lines(example, width, min(16, room if room < 14 else room - 6), ink)
    lines += [*picture, *shown]
    rest = height - len(lines)
    if rest >= 6:
        curve = Curve("loss", *_known(model.steps, model.loss[row]), points=True)
        cursor = float(step) if np.isfinite(step) else None
        options = ChartOptions(x_name="", cursor=cursor)
        lines += draw_chart("loss", [curve], (width, min(rest, 12)), ink, options)
    return lines[:height]


def _known(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    both = np.isfinite(x) & np.isfinite(y)
    return x[both], y[both]


def _input_lines(example: Example, width: int, height: int, ink: Ink) -> list[Line]:
    """The input as picture, text or bars; nothing when none was stored or there is no room."""
    if height < 3:
        return []
    if example.image is not None:
        caption = [[seg(cut(example.text, width), ink.of("dim"))]] if example.text else []
        return [*draw_image(example.image, width, height - len(caption), ink), *caption]
    if example.text:
        parts = [example.text[at : at + width] for at in range(0, len(example.text), width)]
        shown = parts[: min(height, 6)]
        if len(parts) > len(shown):
            shown[-1] = cut(shown[-1][:-1] + "…", width)
        return [[seg(part)] for part in shown]
    if example.vector is not None:
        values = " ".join(number(float(v), 3) for v in example.vector[:64])
        parts = [values[at : at + width] for at in range(0, len(values), width)][: min(height, 3)]
        return [[seg(part, ink.of("dim"))] for part in parts]
    return []


def top_outputs(
    output: NDArray[np.float32], label: int | None
) -> tuple[list[tuple[int, float]], str]:
    """The highest outputs as (index, value), the label's among them, and what the values are.

    Values that are no probabilities are turned into them by softmax, and the panel says so.
    """
    values = output.astype(np.float64)
    if not np.isfinite(values).all():
        values = np.where(np.isfinite(values), values, -np.inf)
    name = "output"
    is_distribution = (values >= 0).all() and abs(values.sum() - 1) < 1e-3
    if len(values) > 1 and not is_distribution and np.isfinite(values).any():
        exp = np.exp(values - values.max())
        values, name = exp / exp.sum(), "softmax of output"
    order = [int(i) for i in np.argsort(-values, kind="stable")[:TOP]]
    if label is not None and 0 <= label < len(values) and label not in order:
        order[-1] = label
    return [(i, float(values[i])) for i in order], name


def output_lines(
    output: NDArray[np.float32], label: int | None, width: int, ink: Ink
) -> list[Line]:
    """Bars of the highest outputs; the target's is marked, a wrong first one is red."""
    if not np.isfinite(output).any():
        return [[seg("output not recorded at this step", ink.of("dim"))]]
    if len(output) == 1:
        return [[seg("output ", ink.of("dim")), seg(number(float(output[0])))]]
    top, name = top_outputs(output, label)
    classes = label is not None and 0 <= label < len(output)
    head: Line = [seg(name, ink.of("dim"))]
    if classes:
        right = top[0][0] == label
        glyph = ink.glyphs.done if right else ink.glyphs.fail
        head.append(
            seg(f"  {glyph} {'right' if right else 'wrong'}", ink.of("good" if right else "bad"))
        )
    lines = [head]
    digits = max(len(str(i)) for i, _ in top)
    for index, value in top:
        is_target = classes and index == label
        style = ink.of("good" if is_target else "text")
        lines.append(
            [
                seg(f"{index:>{digits}} ", style),
                seg(
                    bar(value, max(4, width - digits - 8), ink.glyphs),
                    ink.of("good" if is_target else "accent"),
                ),
                seg(f" {value:.3f}", style),
            ]
        )
    return lines
