"""The runs of a book, and which of their arguments and series are worth a column."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from labbook_tui.models import Reading, RunsModel
from labbook_tui.series import ordered
from labbook_tui.text import grouped

if TYPE_CHECKING:
    from labbook.book.reading import Book
    from labbook.book.summary import RunSummary

__all__ = ["build", "differing_arguments"]


MANY = 500
"""From so many runs on the first reading is announced."""


def build(book: Book, before: object) -> RunsModel | Reading:
    """The model; `before` itself when no run changed; for a large book first an announcement."""
    if before is None:
        count = len(book.ids())
        if count >= MANY:
            return Reading(f"reading {grouped(count)} runs; the first time in a book takes longest")
    rows = tuple(book.summaries())
    if isinstance(before, RunsModel) and before.rows == rows:
        return before
    counts = Counter(name for row in rows for name in row.stats)
    metrics = Counter(
        (evaluation, metric)
        for row in rows
        for evaluation, found in row.results.items()
        for metric in found
    )
    ranked = ordered(metric for _, metric in metrics)
    pairs = sorted(metrics, key=lambda pair: (ranked.index(pair[1]), pair[0]))
    return RunsModel(rows, tuple(differing_arguments(rows)), tuple(ordered(counts)), tuple(pairs))


def differing_arguments(rows: tuple[RunSummary, ...]) -> list[str]:
    """Arguments whose values are not the same in all runs that have any, most telling first.

    One that has another value in every run (an output folder, say) tells the least.
    """
    values: dict[str, set[str]] = {}
    having: Counter[str] = Counter()
    total = 0
    for row in rows:
        total += bool(row.arguments)
        for name, value in row.arguments.items():
            having[name] += 1
            values.setdefault(name, set()).add(str(value))
    differing = [n for n, found in values.items() if len(found) > 1 or having[n] < total]
    return sorted(differing, key=lambda name: len(values[name]) >= max(3, having[name]))
