"""What a page of a chosen set shows, as data: for the clipboard and for a file."""

from __future__ import annotations

import re

import numpy as np

from labbook_tui.example_output import said
from labbook_tui.shown import Shown
from labbook_tui.views.chosen_example import table_rows
from labbook_tui.views.chosen_histogram import histogram_rows
from labbook_tui.views.chosen_look import Look
from labbook_tui.views.chosen_pages import summary_curves
from labbook_tui.views.chosen_quartiles import exemplars

__all__ = ["shown_of"]


def shown_of(look: Look, page: str) -> Shown:
    """The data of a page, or of one example's table (`page` is "example")."""
    model = look.model
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", model.name) or "chosen"
    if page == "example" and look.row is not None:
        columns, rows = table_rows(model, look.row)
        return Shown(f"{stem}-example-{look.example_id}", columns, rows)
    if page == "quartiles":
        found = exemplars(model, look.observation, look.rows)
        listed = [
            (e.share, int(model.ids[e.row]), e.loss, model.examples[e.row].target,
             said(model, e.row, look.observation))
            for e in found
        ]  # fmt: skip
        names = ("quantile", "example", "loss", "target", "output")
        return Shown(f"{stem}-quartiles", names, listed, f"step {_step(look)}")
    if page == "histogram" and model.counts is not None:
        rows_of = histogram_rows(model.counts, look.observation)
        return Shown(
            f"{stem}-histogram", ("class", "predicted", "target"), rows_of, f"step {_step(look)}"
        )
    if page == "summary" and model.per_step is not None:
        table = model.per_step
        columns_of = [table.column(name).to_pylist() for name in table.column_names]
        rows_at = list(zip(*columns_of, strict=True))
        curves = [curve for _, chart in summary_curves(model)[:1] for curve in chart]
        return Shown(
            f"{stem}-steps", tuple(table.column_names), rows_at, "loss", "step", tuple(curves)
        )
    return _examples(look, stem)


def _examples(look: Look, stem: str) -> Shown:
    """Every measure of the examples in sight, in their order."""
    table = look.model.table
    assert table is not None
    rows = table.take(np.asarray(look.rows, np.int64))
    kept = [name for name in rows.column_names if rows.column(name).null_count < max(1, len(rows))]
    columns = [rows.column(name).to_pylist() for name in kept]
    return Shown(f"{stem}-examples", tuple(kept), list(zip(*columns, strict=True)))


def _step(look: Look) -> int:
    return int(look.model.steps[look.observation])
