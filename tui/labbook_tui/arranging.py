"""Which rows the runs table shows, and in which order: filter, fold, sort, open folds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from labbook_tui.folding import Fold, common, fold
from labbook_tui.text import value_text

if TYPE_CHECKING:
    from labbook.book.filtering import Test
    from labbook.book.summary import RunSummary

__all__ = ["arranged", "sort_key"]


def sort_key(value: object) -> tuple[int, float, str]:
    """Orders numbers before texts, and both before what is missing or NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return (2, 0.0, "")
    if isinstance(value, bool | int | float):
        return (0, float(value), "")
    return (1, 0.0, value_text(value).lower())


def arranged(
    runs: Sequence[RunSummary],
    test: Test | None = None,
    *,
    by: Callable[[RunSummary], Any] | None = None,
    is_down: bool = False,
    folds: Callable[[RunSummary], str | None] | None = None,
    opened: frozenset[str] | set[str] = frozenset(),
) -> tuple[list[RunSummary | Fold], int]:
    """The rows, and how many runs are in them; `folds` gives a run's key, None: fold nothing.

    Rows without a value for `by` come last whichever way it is sorted.
    """
    kept = runs if test is None else [run for run in runs if test(run)]
    top: list[RunSummary | Fold] = [*kept] if folds is None else fold(kept, opened, folds)
    if by is not None:
        top = _sorted(top, by, is_down)
    rows: list[RunSummary | Fold] = []
    for row in top:
        rows.append(row)
        if isinstance(row, Fold) and row.is_open:
            rows += _sorted([*row.runs], by, is_down) if by is not None else row.runs
    return rows, len(kept)


def _sorted(
    rows: list[RunSummary | Fold], by: Callable[[RunSummary], Any], is_down: bool
) -> list[RunSummary | Fold]:
    keyed = [(sort_key(common(row, by) if isinstance(row, Fold) else by(row)), row) for row in rows]
    known = [pair for pair in keyed if pair[0][0] < 2]
    known.sort(key=lambda pair: pair[0], reverse=is_down)
    return [row for _, row in known] + [row for key, row in keyed if key[0] == 2]
