"""What is predicted against what there is: bars at one step, and a map over all steps."""

from __future__ import annotations

import numpy as np

from labbook_tui.gauges import bar
from labbook_tui.heatmap import draw_heatmap, resample
from labbook_tui.lines import Line, fit, width_of
from labbook_tui.models import Counts
from labbook_tui.palette import Ink, seg
from labbook_tui.text import cut, grouped, number, pad
from labbook_tui.views.chosen_look import Look
from labbook_tui.views.chosen_map import grid_of, step_text

__all__ = ["histogram_lines", "histogram_rows", "names_of"]


def names_of(counts: Counts) -> list[str]:
    """Classes, or the middles of the bins."""
    if counts.edges is None:
        return list(counts.names)
    middles = (counts.edges[:-1] + counts.edges[1:]) / 2
    return [number(float(v), 3) for v in middles]


def histogram_rows(counts: Counts, observation: int) -> list[list[object]]:
    """(class or bin, predicted, target) at one observation."""
    wanted = counts.target
    return [
        [name, int(counts.predicted[at, observation]), None if wanted is None else int(wanted[at])]
        for at, name in enumerate(names_of(counts))
    ]


def histogram_lines(look: Look, width: int, height: int, ink: Ink) -> list[Line]:
    """Bars on the left, the map of the same counts over the steps beside them.

    More classes than fit: those with the greatest differences at the step, in their own order.
    """
    model, counts = look.model, look.model.counts
    if counts is None or not len(counts.predicted):
        words = "no predictions: outputs are neither classes nor single numbers"
        return [[], [seg(" " + words, ink.of("dim"))]]
    observation = min(look.observation, counts.predicted.shape[1] - 1)
    body = height - 3
    counts = _merged(counts, body)
    each = _rows_each(counts, body)
    shown = _shown(counts, observation, body // each)
    left = max(30, min(56, width * 45 // 100))
    what = "class" if counts.edges is None else "output"
    title = f" {what}: predicted at step {step_text(model, observation)}"
    if len(shown) < len(counts.predicted):
        title += f", {len(shown)} of {grouped(len(counts.predicted))}"
    key = _key(counts, ink)
    if left + width_of(key) + 32 <= width:
        key.append(seg("  map: predicted, over the steps", ink.of("dim")))
    lines: list[Line] = [[*fit([seg(title, ink.of("text", "b"))], left), *key], []]
    bars = _bars(counts, shown, observation, (left, each), ink)
    drawn = _map(look, counts, shown, (width - left - 2, each), ink)
    for row in range(max(len(bars), len(drawn))):
        line = fit(bars[row] if row < len(bars) else [], left)
        lines.append([*line, seg("  "), *(drawn[row] if row < len(drawn) else [])])
    return lines[:height]


def _merged(counts: Counts, most: int) -> Counts:
    """Neighbouring bins of values joined until there is room for all; classes stay."""
    while counts.edges is not None and len(counts.predicted) > max(2, most):
        n = len(counts.predicted)
        starts = np.arange(0, n, 2)
        counts = Counts(
            (),
            np.add.reduceat(counts.predicted, starts, axis=0),
            None if counts.target is None else np.add.reduceat(counts.target, starts),
            np.append(counts.edges[:-1][starts], counts.edges[-1]),
        )
    return counts


def _rows_each(counts: Counts, body: int) -> int:
    """Lines of a class: predicted, target below it where both fit, and a blank one."""
    n = len(counts.predicted)
    wanted = (3, 2) if counts.target is not None else (2,)
    return next((each for each in wanted if each * n <= body), 1)


def _key(counts: Counts, ink: Ink) -> Line:
    """What the two bars are."""
    line: Line = [seg(ink.glyphs.bar[8] * 2, ink.of("accent")), seg(" predicted  ", ink.of("dim"))]
    if counts.target is not None:
        line += [seg(ink.glyphs.bar[8] * 2, ink.of("dim")), seg(" target", ink.of("dim"))]
    return [seg("  "), *line]


def _shown(counts: Counts, observation: int, most: int) -> list[int]:
    n = len(counts.predicted)
    if n <= most:
        return list(range(n))
    size = counts.predicted[:, observation].astype(np.int64)
    if counts.target is not None and counts.edges is None:
        size = np.maximum(abs(size - counts.target), np.where(size == counts.target, 0, 1))
    return sorted(np.argsort(-size, kind="stable")[: max(1, most)].tolist())


def _bars(
    counts: Counts, shown: list[int], observation: int, size: tuple[int, int], ink: Ink
) -> list[Line]:
    (width, each), names = size, names_of(counts)
    predicted = counts.predicted[:, observation]
    most = max(
        1, int(counts.predicted.max()), 0 if counts.target is None else int(counts.target.max())
    )
    wide = min(10, max(len(names[at]) for at in shown))
    digits = len(grouped(most))
    both = counts.target is not None and each == 1
    tail = digits + 1 + (digits + 3 if both else 0)
    room = max(4, width - wide - tail - 3)
    lines: list[Line] = []
    for at in shown:
        count = int(predicted[at])
        line: Line = [
            seg(" " + pad(cut(names[at], wide), wide, right=True) + " ", ink.of("text")),
            seg(bar(count / most, room, ink.glyphs), ink.of("accent")),
            seg(f" {grouped(count):>{digits}}", ink.of("text")),
        ]
        if counts.target is not None and each == 1:
            line.append(seg(f" / {grouped(int(counts.target[at])):>{digits}}", ink.of("dim")))
        lines.append(line)
        if counts.target is not None and each > 1:
            wanted = int(counts.target[at])
            lines.append(
                [
                    seg(" " * (wide + 2)),
                    seg(bar(wanted / most, room, ink.glyphs), ink.of("dim")),
                    seg(f" {grouped(wanted):>{digits}}", ink.of("dim")),
                ]
            )
        lines += [[] for _ in range(-len(lines) % each)]
    return lines


def _map(
    look: Look, counts: Counts, shown: list[int], size: tuple[int, int], ink: Ink
) -> list[Line]:
    """One row of the map for each bar, so that they stand beside each other; then the axis."""
    width, each = size
    grid = grid_of(look.model, width + 2)
    values = resample(counts.predicted[shown].astype(np.float64), grid)
    per_line = 2 if ink.heat else 1
    pixels = np.repeat(values, per_line * each, axis=0)
    full = each if each == 1 or (counts.target is not None and each == 2) else each - 1
    pixels[np.arange(len(pixels)) % (per_line * each) >= per_line * full] = np.nan
    high = float(max(1, counts.predicted.max()))
    lines = draw_heatmap(pixels, 0.0, high, ink)
    column = grid.column(look.observation)
    here = f"{'▴' if ink.glyphs.braille else '^'}{step_text(look.model, look.observation)}"
    start = max(0, min(column, width - len(here)))
    axis: Line = [seg(" " * start), seg(here, ink.of("accent", "b"))]
    return [*lines, axis]
