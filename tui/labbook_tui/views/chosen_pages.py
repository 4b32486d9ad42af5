"""The inner pages of a chosen set beside its map: scatter, quartiles, histogram, summary."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from labbook.dynamics.columns import Floats
from labbook_tui.chart import draw_chart
from labbook_tui.curve import Curve
from labbook_tui.example_panel import chart_options
from labbook_tui.lines import Line, beside, fit
from labbook_tui.models import ChosenModel
from labbook_tui.palette import Ink, seg
from labbook_tui.read.arrays import floats
from labbook_tui.scale import linear_axis
from labbook_tui.scatter import Points, draw_scatter
from labbook_tui.text import plural
from labbook_tui.views.chosen_look import Look
from labbook_tui.views.chosen_map import head_line

__all__ = ["scatter_lines", "summary_curves", "summary_lines"]


WIDE = 100
"""Columns from which two charts stand side by side."""
LEAST_ROWS = 8


def scatter_lines(look: Look, width: int, height: int, ink: Ink) -> list[Line]:
    """Mean confidence against its variability, coloured by the share of right observations.

    Where outputs are no class scores: the mean error, or loss, against its variability.
    """
    model = look.model
    x, y, names = _axes_of(model)
    shade = model.numbers("correctness")
    rows = look.rows
    known = np.isfinite(x[rows]) & np.isfinite(y[rows])
    head = head_line(look, width, ink)
    if not known.any():
        return [
            head,
            [],
            [seg(" nothing to place: no confidence or loss over steps", ink.of("dim"))],
        ]
    marked = look.place if len(rows) else None
    points = Points(x[rows], y[rows], shade[rows], marked)
    low, top = float(np.nanmin(y[rows])), float(np.nanmax(y[rows]))
    limits = (low, 1.0) if names[0] == "confidence" else (min(0.0, low), top)
    axes = (
        linear_axis(0.0, float(np.nanmax(x[rows])) or 1.0, max(2, width // 16)),
        linear_axis(*limits, max(2, height // 4)),
    )
    title: Line = [
        seg(f" mean {names[0]} ", ink.of("dim")),
        *_legend(ink, bool(np.isfinite(shade).any())),
    ]
    below: Line = [
        seg(f" variability of {names[0]} over {plural(len(model.steps), 'step')}", ink.of("dim"))
    ]
    plot = draw_scatter(points, axes, (width - 1, height - 3), ink)
    return [head, fit(title, width), *([seg(" "), *line] for line in plot), below]


def _axes_of(model: ChosenModel) -> tuple[Floats, Floats, tuple[str]]:
    """Variability and mean of the confidence, else of the error, else of the loss."""
    for mean, spread, name in (
        ("confidence", "variability", "confidence"),
        ("mean_error", "error_variability", "error"),
    ):
        found = model.numbers(mean)
        if np.isfinite(found).any():
            return model.numbers(spread), found, (name,)
    loss = model.grids.get("loss")
    nothing = np.full(len(model.ids), np.nan)
    if loss is None:
        return nothing, nothing, ("loss",)
    from labbook.dynamics.cartography import moments
    from labbook.dynamics.grid import Grid

    mean_loss, spread_loss = moments(Grid(loss, np.isfinite(loss)))
    return spread_loss, mean_loss, ("loss",)


def _legend(ink: Ink, has_shade: bool) -> Line:
    if not has_shade:
        return []
    if not ink.heat:
        return [seg("  x wrong  - both  o right", ink.of("dim"))]
    ends = [seg("  right 0 ", ink.of("dim")), seg(" 1", ink.of("dim"))]
    return [ends[0], *(seg(" ", ink.pixel(None, colour)) for colour in ink.heat), ends[1]]


def summary_curves(model: ChosenModel) -> list[tuple[str, list[Curve]]]:
    """(title, curves) of each chart over the steps; those that have anything to show."""
    table = model.per_step
    if table is None:
        return []

    def curve(name: str, column: str) -> Curve:
        y = floats(table.column(column))
        known = np.isfinite(y)
        return Curve(name, model.steps[known], y[known], points=True)

    charts = [
        ("loss", [
            curve("max", "max_loss"), curve("75 %", "q3_loss"), curve("median", "median_loss"),
            curve("25 %", "q1_loss"), curve("min", "min_loss"),
        ]),
        ("share right", [curve("now", "accuracy"), curve("ever", "share_learned")]),
        ("share ever forgotten", [curve("share ever forgotten", "share_forgotten")]),
        ("confidence", [curve("confidence", "confidence")]),
        ("error", [curve("error", "error"), curve("bias", "bias")]),
        ("R²", [curve("R²", "r_squared")]),
        ("predictions", [
            curve("as before", "agreement"), curve("commonest class", "top_share"),
        ]),
        ("output change", [curve("output change", "output_change")]),
    ]  # fmt: skip
    kept = [(title, [c for c in curves if len(c.x)]) for title, curves in charts]
    return [(title, curves) for title, curves in kept if curves]


def summary_lines(look: Look, width: int, height: int, ink: Ink) -> list[Line]:
    """Charts over the steps, as many as fit from `look.chart` on, the cursor's step in each."""
    model = look.model
    head = head_line(look, width, ink)
    charts = summary_curves(model)
    if not charts:
        word = "reading…" if model.per_step is None else "nothing measured over the steps"
        return [head, [], [seg(" " + word, ink.of("dim"))]]
    across = 2 if width >= WIDE and len(charts) > 1 else 1
    down = max(1, min(-(-len(charts) // across), (height - 1) // LEAST_ROWS))
    last = max(0, len(charts) - across * down)
    look.chart = min(max(0, look.chart), -(-last // across) * across)
    shown = charts[look.chart : look.chart + across * down]
    if len(shown) < len(charts):
        told = f"charts {look.chart + 1}–{look.chart + len(shown)} of {len(charts)}, ctrl+d further"
        head = [*fit(head, max(0, width - len(told) - 1)), seg(told, ink.of("dim"))]
    wide, high = (width - 1 - 2 * (across - 1)) // across, (height - 1) // down
    options = chart_options(model, look.observation)
    is_log = "loss" in model.grids and look.limits_of("loss")[2]
    lines: list[Line] = [head]
    for first in range(0, len(shown), across):
        drawn = [
            draw_chart(t, c, (wide, high), ink, replace(options, log_y=t == "loss" and is_log))
            for t, c in shown[first : first + across]
        ]
        both = drawn[0] if len(drawn) == 1 else beside(drawn[0], drawn[1], wide, [seg("  ")])
        lines += [[seg(" "), *line] for line in both]
    return lines
