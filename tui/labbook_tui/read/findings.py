"""What came out of two runs: figures side by side, and the examples behind a difference."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from labbook.book.text import clean
from labbook.errors import StoreError
from labbook_tui.comparison import ExampleDelta, Examples, ResultRow, ResultsModel
from labbook_tui.read.picking import picked
from labbook_tui.read.readers import reader_of
from labbook_tui.series import is_setting, lower_is_better, ordered
from labbook_tui.text import grouped

if TYPE_CHECKING:
    from labbook.book.reading import Book
    from labbook.book.runreader import RunReader
    from labbook.compare import MetricPair, Paired, Results, SeriesPair
    from labbook_tui.models import Want

__all__ = ["MOST_EXAMPLES", "build_results"]

MOST_EXAMPLES = 50
"""Examples kept on each side; more are only counted."""


def build_results(book: Book, want: Want, before: object) -> ResultsModel:
    """Figures of A and B; a pair of runs is wanted, of more the first two are taken."""
    from labbook import compare

    about = picked(book, want)
    about = replace(about, runs=about.runs[:2])
    about = replace(about, seen=about.runs)
    if isinstance(before, ResultsModel) and before.about.seen == about.seen:
        return before
    if len(about.runs) < 2:
        return ResultsModel(about, (), (), ())
    a, b = (reader_of(book, run.id) for run in about.runs)
    results = compare.compare_results(a, b)
    notes = [*_steps(results), *(clean(note) for note in results.notes)]
    examples = tuple(_examples(a, b, results, notes))
    return ResultsModel(about, tuple(_rows(results)), examples, tuple(notes))


def _steps(results: Results) -> list[str]:
    """When a chosen set was compared: in general not at the end of the longer run."""
    steps = {pair.name: pair.step_a for pair in results.paired if pair.kind == "chosen"}
    return [
        f"set {clean(name)}: at step {grouped(step)}, the last at which both were observed"
        for name, step in steps.items()
        if step is not None
    ]


def _rows(results: Results) -> list[ResultRow]:
    paired = {(pair.kind, pair.name, pair.column): pair for pair in results.paired}
    rows: list[ResultRow] = []
    for metric in results.metrics:
        pair = paired.pop(("evaluation", metric.evaluation, metric.metric), None)
        rows.append(_metric(metric, pair))
    for pair in paired.values():
        rows.append(_pair(pair))
    by_name = {pair.name: pair for pair in results.series if not is_setting(pair.name)}
    for name in ordered(by_name):
        rows += _series(by_name[name])
    return rows


def _metric(metric: MetricPair, pair: Paired | None) -> ResultRow:
    if pair is not None and pair.interval.difference is not None:
        return replace(_pair(pair), part=clean(metric.evaluation), a=metric.a, b=metric.b)
    known = metric.a is not None and metric.b is not None
    difference = metric.b - metric.a if known else None  # type: ignore[operator]
    subsets = {metric.subset_a, metric.subset_b} - {None, "full"}
    note = "" if not subsets else " / ".join(sorted(clean(each) for each in subsets))
    name, lower = clean(metric.metric), lower_is_better(metric.metric)
    part = clean(metric.evaluation)
    return ResultRow(part, name, metric.a, metric.b, difference, None, None, None, lower, note)


def _pair(pair: Paired) -> ResultRow:
    found = pair.interval
    part = clean(pair.name if pair.kind == "evaluation" else f"set {pair.name}")
    return ResultRow(
        part,
        clean(pair.column),
        found.mean_a,
        found.mean_b,
        found.difference,
        found.stderr,
        found.n,
        found.is_clear,
        lower_is_better(pair.column),
        clean(pair.caveat or ""),
    )


def _series(pair: SeriesPair) -> list[ResultRow]:
    lower = lower_is_better(pair.name)
    kinds = ["last"] if lower is None else ["last", "min" if lower else "max"]
    rows = []
    for kind in kinds:
        a, b = (None if stat is None else getattr(stat, kind) for stat in (pair.a, pair.b))
        difference = None if a is None or b is None else b - a
        part = "last" if kind == "last" else "best"
        rows.append(ResultRow(part, clean(pair.name), a, b, difference, None, None, None, lower))
    return rows


def _examples(a: RunReader, b: RunReader, results: Results, notes: list[str]) -> list[Examples]:
    from labbook import compare

    found: list[Examples] = []
    for pair in results.paired:
        try:
            ids, one, other = compare.examples_of(a, b, pair)
        except (StoreError, ValueError) as error:
            notes.append(f"examples of {clean(pair.name)}: {clean(error)}")
            continue
        known = np.isfinite(one) & np.isfinite(other)
        ids, one, other = ids[known], one[known], other[known]
        delta = other - one
        order = np.argsort(delta, kind="stable")
        rows = [ExampleDelta(int(ids[i]), float(one[i]), float(other[i])) for i in order]
        n_less, n_more = int((delta < 0).sum()), int((delta > 0).sum())
        found.append(
            Examples(
                clean(f"{pair.name}/{pair.column}"),
                lower_is_better(pair.column),
                n_less,
                n_more,
                len(delta) - n_less - n_more,
                tuple(rows[: min(n_less, MOST_EXAMPLES)]),
                tuple(rows[::-1][: min(n_more, MOST_EXAMPLES)]),
            )
        )
    return found
