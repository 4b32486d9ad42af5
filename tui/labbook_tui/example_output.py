"""What a net put out for an example: at one step, and what changed from step to step."""

from __future__ import annotations

import numpy as np

from labbook_tui.curve import Curve
from labbook_tui.gauges import bar
from labbook_tui.lines import Line
from labbook_tui.models import ChosenModel
from labbook_tui.palette import Ink, seg
from labbook_tui.recorded import Recorded
from labbook_tui.text import cut, grouped, number, pad

__all__ = [
    "change_lines",
    "changed_from",
    "highest",
    "output_curves",
    "output_lines",
    "said",
    "visible",
    "weights_of",
]

TOP = 5
MOST_CURVES = 4
TEXT_ROWS = 3


def highest(scores: list[tuple[int, float]], label: int | None) -> list[tuple[int, float]]:
    """The highest class scores, the label's in the last place when it is not among them."""
    ordered = sorted(scores, key=lambda pair: -np.nan_to_num(pair[1], nan=-1.0))
    top = ordered[:TOP]
    if label is not None and label not in [at for at, _ in top]:
        top[-1:] = [pair for pair in ordered if pair[0] == label] or top[-1:]
    return top


def weights_of(recorded: Recorded, name: str) -> str:
    """The column that gives a number to each entry of `name` (`top5`, `top5_p`), or ""."""
    return next((other for other in recorded.looks if other in {f"{name}_p", f"{name}_prob"}), "")


def output_lines(
    model: ChosenModel, row: int, observation: int, width: int, ink: Ink
) -> list[Line]:
    """Classes as bars, few numbers as numbers, and every other column that was recorded."""
    recorded = model.recorded
    if recorded is None:
        return []
    example = model.examples[row]
    scores, told = recorded.scores(row, observation)
    lines: list[Line] = []
    if scores:
        pairs = highest(scores, example.label)
        names = [(str(at), value, at == example.label) for at, value in pairs]
        lines = [[seg(told, ink.of("dim"))], *_bars(names, width, ink)]
    else:
        output = recorded.output(row, observation)
        if output is not None:
            few = " ".join(number(float(v)) for v in output[:8]) + " …" * (len(output) > 8)
            lines = [[seg("output ", ink.of("dim")), seg(cut(few, width - 7))]]
        elif recorded.width:
            lines = [[seg("no output at this step", ink.of("dim"))]]
    weights = {weights_of(recorded, name) for name in recorded.looks}
    for name in recorded.looks:
        if name not in weights and not (scores and name.startswith("top_")):
            lines += _look(model, (row, observation), name, width, ink)
    return lines


def _bars(pairs: list[tuple[str, float, bool]], width: int, ink: Ink) -> list[Line]:
    """(name, value from 0 to 1, whether it is the target) as bars."""
    wide = min(max(len(name) for name, _, _ in pairs), max(1, width // 3))
    lines: list[Line] = []
    for name, value, is_target in pairs:
        style = ink.of("good" if is_target else "text")
        lines.append(
            [
                seg(pad(name, wide, right=True) + " ", style),
                seg(
                    bar(value, max(4, width - wide - 7), ink.glyphs),
                    ink.of("good" if is_target else "accent"),
                ),
                seg(f" {value:.3f}", style),
            ]
        )
    return lines


def _look(model: ChosenModel, at: tuple[int, int], name: str, width: int, ink: Ink) -> list[Line]:
    """A further column: tokens with their weights as bars, else a text, what changed in bright."""
    recorded = model.recorded
    assert recorded is not None
    title = f"{name} (as bytes)" if name in recorded.are_bytes else name
    head: Line = [seg(cut(title, width), ink.of("dim"))]
    other = weights_of(recorded, name)
    weights = recorded.value(other, *at) if other else None
    if isinstance(weights, list):
        tokens = recorded.tokens(name, *at)
        pairs = zip(tokens[:TOP], weights, strict=False)
        named = [(visible(token), float(p), False) for token, p in pairs if p is not None]
        return [head, *(_bars(named, width, ink) if named else [])]
    text = recorded.text(name, *at)
    if not text:
        return []
    before = recorded.text(name, at[0], at[1] - 1) if at[1] else ""
    if len(title) + len(text) + 1 <= width:
        return [[seg(f"{title} ", ink.of("dim")), *changed_from(before, text, ink)]]
    parts = [text[i : i + width] for i in range(0, len(text), width)][:TEXT_ROWS]
    old = [before[i : i + width] for i in range(0, len(before), width)]
    old += [""] * (len(parts) - len(old))
    is_new = False
    lines = [head]
    for part, was in zip(parts, old, strict=False):
        lines.append([seg(part, ink.of("text", "b"))] if is_new else changed_from(was, part, ink))
        is_new = is_new or part != was
    return lines


def changed_from(before: str, after: str, ink: Ink) -> Line:
    """A text, dim as far as it begins like the one before, bright from where it differs."""
    same = 0
    while same < min(len(before), len(after)) and before[same] == after[same]:
        same += 1
    if not before or same == len(after):
        return [seg(after, ink.of("text"))]
    return [seg(after[:same], ink.of("dim")), seg(after[same:], ink.of("text", "b"))]


def visible(token: str) -> str:
    """A token as it can be seen: blanks have a mark."""
    return token.replace(" ", "␣") or "·"


def said(model: ChosenModel, row: int, observation: int) -> str:
    """The output in a few words: the class and its probability, a number, or a text."""
    recorded = model.recorded
    if recorded is None:
        return ""
    scores, _ = recorded.scores(row, observation)
    predicted = recorded.value("prediction", row, observation)
    if scores and (predicted is None or isinstance(predicted, int)):
        top = max(scores, key=lambda pair: np.nan_to_num(pair[1], nan=-1.0))
        name = top[0] if predicted is None else predicted
        value = dict(scores).get(name)
        return f"{name}" if value is None else f"{name} {value:.3f}"
    if predicted is not None:
        return " ".join(map(str, predicted)) if isinstance(predicted, list) else str(predicted)
    output = recorded.output(row, observation)
    if output is not None:
        return " ".join(number(float(v)) for v in output[:4]) + " …" * (len(output) > 4)
    texts = [name for name in recorded.looks if not name.endswith(("_p", "_prob"))]
    return recorded.text(texts[-1], row, observation).rstrip() if texts else ""


def change_lines(
    model: ChosenModel, row: int, observation: int, size: tuple[int, int], ink: Ink
) -> list[Line]:
    """A heading and the last changes up to the cursor and after it, with what they were."""
    width, most = size
    if most < 3 or model.changed is None:
        return []
    marks = model.changed[row].copy()
    if model.learned is not None:
        marks |= model.learned[row]
    places = np.flatnonzero(marks)
    if not len(places):
        return []
    here = int(np.searchsorted(places, observation, side="right")) - 1
    start = max(0, min(here - (most - 2), len(places) - (most - 1)))
    shown = places[start : start + most - 1]
    wide = max(len(grouped(int(model.steps[at]))) for at in shown)
    title = "changes" if len(places) <= len(shown) else f"changes ({len(places)})"
    lines: list[Line] = [[seg(title, ink.of("dim"))]]
    for at in shown.tolist():
        style = ink.of("text", "b") if at == (places[here] if here >= 0 else -1) else ink.of("dim")
        event = event_at(model, row, at)
        room = width - wide - 2 - len(event) - 1
        lines.append(
            [
                seg(f"{grouped(int(model.steps[at])):>{wide}}  ", style),
                seg(pad(said(model, row, at), room) + " ", style),
                seg(event, ink.of("bad" if event == "forgotten" else "good")),
            ]
        )
    return lines


def event_at(model: ChosenModel, row: int, observation: int) -> str:
    """`learned`, `forgotten` or nothing."""
    if model.learned is not None and model.learned[row, observation]:
        return "learned"
    if model.forgotten is not None and model.forgotten[row, observation]:
        return "forgotten"
    return ""


def output_curves(model: ChosenModel, row: int) -> list[Curve]:
    """The outputs over the steps where they are a few real numbers; none of class scores."""
    recorded = model.recorded
    if recorded is None or recorded.kind is not None or not 0 < recorded.width <= MOST_CURVES:
        return []
    values = recorded.outputs(row)
    if values is None:
        return []
    curves = []
    for at in range(recorded.width):
        known = np.isfinite(values[:, at])
        name = "output" if recorded.width == 1 else f"output {at}"
        curves.append(Curve(name, model.steps[known], values[known, at], points=True))
    return curves if any(len(curve.x) for curve in curves) else []
