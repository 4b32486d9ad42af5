"""About the checkpoint under the cursor: its file, its code, and all to be said against it."""

from __future__ import annotations

import numpy as np

from labbook_tui.chart import ChartOptions, draw_chart
from labbook_tui.curve import Curve
from labbook_tui.lines import Line, rule
from labbook_tui.models import CheckpointRow, EvaluationsModel
from labbook_tui.palette import Ink, seg
from labbook_tui.text import bytes_text, cut, folded, grouped, plural
from labbook_tui.views.evaluation_table import Pair, places_of, reason_meaning, result_text

__all__ = ["about_lines", "curve_lines", "metric_curve"]


def about_lines(
    model: EvaluationsModel, row: CheckpointRow, told: str, size: tuple[int, int], ink: Ink
) -> list[Line]:
    """At most `size[1]` lines after an empty one; `told` is a command to be shown."""
    width, most = size
    lines = [_file_line(model, row, width, ink)]
    for text, meaning in _said(model, row, told):
        room = most - len(lines) + 1
        if room < 1:
            break
        glyph = "$" if meaning == "accent" else ink.glyphs.dirty
        parts = folded(text, width - 4, room)
        lines += [
            [seg(f" {glyph if at == 0 else ' '} {part}", ink.of(meaning))]
            for at, part in enumerate(parts)
        ]
    return [[], *lines]


def _file_line(model: EvaluationsModel, row: CheckpointRow, width: int, ink: Ink) -> Line:
    words = [bytes_text(row.size)] if row.size else []
    codes = {o.code for o in row.outcomes.values() if o.code}
    if codes:
        code = "the current" if codes == {"current"} else "the run's own"
        code = code if len(codes) == 1 else "the current and the run's own"
        words.append(f"evaluated with {code} code")
    if any(name.endswith("*") for name, _ in model.metrics):
        words.append("* mini set")
    text = f" {row.file}"
    more = "".join(f"  {word}" for word in words)
    room = max(0, width - len(text) - 1)
    return [seg(cut(text, width - 1), ink.of("text")), seg(cut(more, room), ink.of("dim"))]


def _said(model: EvaluationsModel, row: CheckpointRow, told: str) -> list[tuple[str, str]]:
    """Texts with the colour of each; each text once."""
    said: list[tuple[str, str]] = [(told, "accent")] if told else []
    if row.reason:
        meaning = reason_meaning(row.reason)
        said.append((row.reason, "warn" if meaning == "dim" else meaning))
    broken = sum(o.nonfinite for o in row.outcomes.values())
    if broken:
        said.append((plural(broken, "value") + " not finite, left out of the means", "warn"))
    texts = [*(text for o in row.outcomes.values() for text in o.warnings), *model.remarks]
    return [*said, *((text, "warn") for text in dict.fromkeys(texts))]


def curve_lines(
    model: EvaluationsModel, pair: Pair, width: int, height: int, ink: Ink
) -> list[Line]:
    """The metric over the checkpoints, with the training's own beside it for the first one."""
    evaluation = metric_curve(model, pair)
    curves = [*(c for c in model.training if pair == model.metrics[0]), evaluation]
    options = ChartOptions(live=model.summary.state == "running")
    title = "" if len(curves) > 1 else evaluation.name
    body = draw_chart(title, curves, (width, height - 1), ink, options)
    words: Line = [seg(evaluation.name, ink.of("text", "b"))]
    best = model.best.get(pair)
    if best is not None:
        row = model.rows[best]
        text = result_text(row, pair, places_of(model, pair))
        words.append(seg(f"  best {text} at step {grouped(row.step or 0)}", ink.of("good")))
    return [rule(words, width, ink), *body]


def metric_curve(model: EvaluationsModel, pair: Pair) -> Curve:
    """The metric over the checkpoints' steps."""
    points = sorted(
        (row.step, row.outcomes[pair[0]].metrics[pair[1]])
        for row in model.rows
        if row.step is not None
        and pair[0] in row.outcomes
        and pair[1] in row.outcomes[pair[0]].metrics
    )
    x, y = (np.array([p[i] for p in points], np.float64) for i in (0, 1))
    return Curve(f"{pair[0]}.{pair[1]}", x, y, points=True)
