"""Columns of what a run was given and what came of it: arguments, series, metrics."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from labbook.book.text import clean
from labbook_tui.fold_cells import FoldCells, agreed
from labbook_tui.folding import Fold, members, spread
from labbook_tui.models import RunsModel
from labbook_tui.palette import Ink
from labbook_tui.series import lower_is_better
from labbook_tui.table import Cell, Column
from labbook_tui.text import decimals, fixed, on_the_point, point_of, value_text

if TYPE_CHECKING:
    from labbook.book.summary import RunSummary

    Row = RunSummary | Fold
    RunColumn = Column[Row]

__all__ = ["SAMPLE", "ValueColumns"]

SAMPLE = 200
"""Rows that say how many decimals a column needs."""


class ValueColumns:
    """Makes them by name; `main` is the series whose best value needs no name."""

    def __init__(
        self, model: RunsModel, ink: Ink, cells: FoldCells, main: str, is_folded: bool
    ) -> None:
        self.model, self.ink, self.cells = model, ink, cells
        self.main, self.is_folded = main, is_folded

    def series(self, stat: str, name: str) -> RunColumn:
        """The last, best, least or greatest value of a series."""
        field = stat
        if stat == "best":
            field = "min" if lower_is_better(name) else "max"

        def get(run: RunSummary) -> float | None:
            found = run.stats.get(name)
            return getattr(found, field) if found else None

        title = clean(name) if stat == "last" else f"{stat} {clean(name)}"
        if stat == "best" and name == self.main:
            title = "best"
        like = self.model.fields.series[name]["last"].get
        places = decimals(like(run) for run in self.model.rows[:SAMPLE])
        return self._number(f"{stat}.{name}", title, get, places)

    def result(self, key: str, evaluation: str, metric: str) -> RunColumn:
        """A metric of an evaluation, of the newest checkpoint that has it."""

        def get(run: RunSummary) -> float | None:
            return run.results.get(evaluation, {}).get(metric)

        title = clean(metric)
        if len({name for name, _ in self.model.metrics}) > 1:
            title = f"{clean(evaluation)[:10]} {title}"
        elif metric in self.model.series:
            title = f"eval {title}"
        return self._number(key, title, get, decimals(get(run) for run in self.model.rows[:SAMPLE]))

    def _number(
        self, key: str, title: str, get: Callable[[RunSummary], float | None], places: int
    ) -> RunColumn:
        """Values on the point; a fold has their mean, deviation, and how many when not all have."""
        dim, bad = self.ink.of("dim"), self.ink.of("bad")
        places = max(places, 1) if self.is_folded else places  # a mean of counts has a fraction
        tail = " " * (places + 4) if self.is_folded else ""  # as wide as ` ±0.12`

        def cell(row: Row) -> Cell:
            if isinstance(row, Fold):
                return self.cells.cell(f"{key}:{places}", row, of_fold)
            found = get(row)
            style = dim if found is None else bad if math.isnan(found) else None
            return fixed(found, places) + tail, style

        def of_fold(row: Fold) -> Cell:
            found = spread([get(run) for run in row.runs])
            if found is None:
                return "–" + tail, dim
            around = "" if found.deviation is None else f" ±{found.deviation:.{places}f}"
            count = "" if found.count == len(row.runs) else f" n={found.count}"
            style = bad if math.isnan(found.mean) else None
            return fixed(found.mean, places) + around.ljust(len(tail)) + count, style

        most = 30 if self.is_folded else 16
        return Column(
            key, title, cell, right=True, most=most, least=5, by=get,
            value=lambda row: _mean(row, get),
        )  # fmt: skip

    def argument(self, name: str) -> RunColumn:
        """An argument as it was given."""
        dim = self.ink.of("dim")
        sample = [run.arguments[name] for run in self.model.rows[:SAMPLE] if name in run.arguments]
        is_number = bool(sample) and all(
            isinstance(v, int | float) and not isinstance(v, bool) for v in sample
        )
        places = max((point_of(value_text(v)) for v in sample), default=0) if is_number else 0

        def get(run: RunSummary) -> Any:
            return run.arguments.get(name)

        def of_run(run: RunSummary) -> Cell:
            if name not in run.arguments:
                return "–", dim
            text = clean(value_text(run.arguments[name]))
            return (on_the_point(text, places) if is_number else text), None

        def cell(row: Row) -> Cell:
            if not isinstance(row, Fold):
                return of_run(row)
            return self.cells.cell(
                f"args.{name}:{places}", row, lambda fold: agreed(fold, of_run, ("", dim))
            )

        return Column(
            f"args.{name}", self._short(name), cell, right=is_number, most=16, by=get,
            value=lambda row: _alike(row, get),
        )  # fmt: skip

    def _short(self, name: str) -> str:
        """The last part of an argument's name where no other argument shown ends so."""
        leaf = name.rsplit(".", 1)[-1]
        others = {*self.model.differing, name}
        is_unique = sum(other.rsplit(".", 1)[-1] == leaf for other in others) == 1
        return clean(leaf if is_unique else name)


def _mean(row: Row, get: Callable[[RunSummary], float | None]) -> float | None:
    if not isinstance(row, Fold):
        return get(row)
    found = spread([get(run) for run in row.runs])
    return found.mean if found else None


def _alike(row: Row, get: Callable[[RunSummary], Any]) -> Any:
    """What all runs of a row have; None where they differ: the mean of arguments says nothing."""
    values = [get(run) for run in members(row)]
    return values[0] if all(value == values[0] for value in values) else None
