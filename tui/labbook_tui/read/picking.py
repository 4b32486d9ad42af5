"""Which runs are compared: the marked ones, else one run and what it is best held against."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from labbook_tui.comparison import Compared
from labbook_tui.series import is_validation, lower_is_better, ordered

if TYPE_CHECKING:
    from labbook.book.reading import Book
    from labbook.book.summary import RunSummary
    from labbook_tui.models import Want

__all__ = ["pick", "picked"]


def picked(book: Book, want: Want) -> Compared:
    """The runs of a want, whose detail is (baseline, marked ids joined by commas, …)."""
    baseline, marked = want.detail[:2]
    runs = book.summaries()
    ids = [run_id for run_id in marked.split(",") if run_id]
    return pick(runs, want.run, baseline, ids)


def pick(runs: list[RunSummary], at: str, baseline: str, marked: list[str]) -> Compared:
    """Two marked runs or more as they are; else the run `at` (default: the newest) as B."""
    known = {run.id: run for run in runs}
    chosen = [known[run_id] for run_id in marked if run_id in known]
    if len(chosen) > 1:
        return Compared(tuple(chosen), "")
    this = known.get(at) or (chosen[0] if chosen else runs[0] if runs else None)
    if this is None:
        return Compared((), "")
    other, why = _other(runs, this, known.get(baseline), chosen)
    return Compared((this,) if other is None else (other, this), why)


def _other(
    runs: list[RunSummary],
    this: RunSummary,
    baseline: RunSummary | None,
    marked: list[RunSummary],
) -> tuple[RunSummary | None, str]:
    if baseline is not None and baseline.id != this.id:
        return baseline, "against the baseline"
    if marked and marked[0].id != this.id:
        return marked[0], "against the one marked"
    found = _runner_up(runs, this)
    if found is not None:
        return found[0], f"against the best other run by {found[1]}"
    place = next(i for i, run in enumerate(runs) if run.id == this.id)
    if place + 1 < len(runs):
        return runs[place + 1], "against the run before it"
    if place:
        return runs[place - 1], "against the run after it"
    return None, "no other run to compare with"


def _runner_up(runs: list[RunSummary], this: RunSummary) -> tuple[RunSummary, str] | None:
    """The best of the other runs by the first metric of this one that another has too."""
    mine = _values(this)
    for name in sorted(mine, key=lambda name: (not is_validation(name), _rank(mine, name))):
        lower = lower_is_better(name)
        others = [(_values(run).get(name, math.nan), run) for run in runs if run.id != this.id]
        others = [(value, run) for value, run in others if math.isfinite(value)]
        if others:
            choose = min if lower else max
            return choose(others, key=lambda pair: pair[0])[1], name
    return None


def _rank(names: dict[str, float], name: str) -> int:
    return ordered(names).index(name)


def _values(run: RunSummary) -> dict[str, float]:
    """The best value of each metric and series whose name says which way is better."""
    found: dict[str, float] = {}
    for name, stat in run.stats.items():
        lower = lower_is_better(name)
        best = None if lower is None else stat.min if lower else stat.max
        if best is not None:
            found[name] = float(best)
    for evaluation, metrics in run.results.items():
        for metric, value in metrics.items():
            if lower_is_better(metric) is not None and value is not None:
                found[f"{evaluation}/{metric}"] = float(value)
    return found
