"""What each of the runs on one axis came to: last and best value, and that at the cursor."""

from __future__ import annotations

import numpy as np

from labbook.book.text import clean
from labbook_tui.chart import value_at
from labbook_tui.comparison import OverlayModel
from labbook_tui.lines import Line
from labbook_tui.palette import LETTERS, Ink, seg
from labbook_tui.series import lower_is_better
from labbook_tui.states import mark
from labbook_tui.text import cut, decimals, fixed, grouped, number, pad

__all__ = ["figures_of", "legend_lines"]


def figures_of(model: OverlayModel, cursor: float | None) -> list[tuple[float | None, ...]]:
    """Last, best, step of the best, and the value at the cursor, a run a row."""
    lower = lower_is_better(model.name)
    rows: list[tuple[float | None, ...]] = []
    for run in model.about.runs:
        curve = model.curves.get(run.id)
        known = np.flatnonzero(np.isfinite(curve.y)) if curve is not None else ()
        if curve is None or not len(known):
            rows.append((None, None, None, None))
            continue
        best: float | None = None
        at: float | None = None
        if lower is not None:
            pick = np.argmin if lower else np.argmax
            index = known[int(pick(curve.y[known]))]
            best, at = float(curve.y[index]), float(curve.x[index])
        here = None if cursor is None else value_at(curve, cursor)
        rows.append((float(curve.y[-1]), best, at, here))
    return rows


def legend_lines(
    model: OverlayModel, slots: dict[str, int], width: int, look: tuple[str, float | None], ink: Ink
) -> list[Line]:
    """Heading, and a line a run; `look` is (axis, where the cursor is)."""
    axis, cursor = look
    figures = figures_of(model, cursor)
    places = decimals(value for row in figures for value in row[:2])
    here = "" if cursor is None else f"at {_x(cursor, axis)}"
    room = max(12, min(36, width - 62))
    titles = f"{'last':>11} {'best':>11} {'at ' + axis:>9} {here:>13}".rstrip()
    names = max([room // 2, *(len(clean(run.name)) for run in model.about.runs)])
    room = min(room, names)
    lines: list[Line] = [[seg(f"   {'run':<{room}} {titles}", ink.of("dim"))]]
    top = _leader(figures, model.name)
    for place, (run, row) in enumerate(zip(model.about.runs, figures, strict=True)):
        slot = slots.get(run.id, place)
        last, best, at, value = row
        state, style = mark(run.state, ink)
        lines.append(
            [
                seg(f" {LETTERS[slot]} ", ink.series(slot, "b")),
                seg(pad(clean(run.name), room), ink.series(slot)),
                seg(f" {fixed(last, places):>11}", ink.of("text")),
                seg(f" {fixed(best, places):>11}", ink.of("good" if place == top else "text")),
                seg(f" {_x(at, axis) if at is not None else '–':>9}", ink.of("dim")),
                seg(f" {fixed(value, places):>13}" if here else "", ink.of("accent", "b")),
                seg(f"  {cut(state, 14)}", style),
            ]
        )
    return lines


def _x(at: float, axis: str) -> str:
    return grouped(int(at)) if axis == "step" and at.is_integer() else number(at, 3)


def _leader(figures: list[tuple[float | None, ...]], name: str) -> int | None:
    """Which run has the best value; None when the name does not say what is better."""
    lower = lower_is_better(name)
    known = [(row[1], place) for place, row in enumerate(figures) if row[1] is not None]
    if lower is None or len(known) < 2:
        return None
    return (min if lower else max)(known)[1]
