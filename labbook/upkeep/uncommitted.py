"""The best run so far, when its code is in no commit: named once, at the commit that follows.

What is best is asked of a metric that most runs have, results on held-out data first: the least
of a loss or an error, the most of an accuracy or a score. Where no metric says what is better,
nothing is named.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from labbook.book.facts import Facts, read_object
from labbook.client.writing import write_json
from labbook.errors import DamagedFile
from labbook.paths import BookPaths
from labbook.upkeep.committed import commit_of

if TYPE_CHECKING:
    from labbook.book.summary import RunSummary

__all__ = ["best", "look", "say_once"]

_WAITING: Final = ".uncommitted"
_NAMED: Final = ".uncommitted-named"

_LESS: Final = re.compile(r"loss|error|nll|perplexity|ppl|rmse|mse|mae", re.IGNORECASE)
_MORE: Final = re.compile(r"acc|auc|f1|score|bleu|reward|return|map\b|iou", re.IGNORECASE)
_HELD_OUT: Final = re.compile(r"val|test|eval|dev", re.IGNORECASE)
_FEWEST: Final = 2
"""The best of one run is no finding."""


def say_once(book: BookPaths) -> list[str]:
    """Return what `look` found and nobody has heard yet; afterwards it counts as said."""
    path = book.root / _WAITING
    try:
        found = read_object(path)
        path.unlink()
    except (OSError, DamagedFile):
        return []
    run_id, text = found.get("run"), found.get("text")
    if (
        not isinstance(run_id, str)
        or not isinstance(text, str)
        or not _is_uncommitted(book, run_id)
    ):
        return []
    return [f"labbook: {text}"]


def look(book: BookPaths) -> None:
    """Find the best run; when its code is in no commit, leave a line for `say_once`, one a run."""
    from labbook.book.reading import Book

    found = best(Book(book).summaries())
    if found is None or not _is_uncommitted(book, found[0].id):
        return
    run, metric, value = found
    named = _named(book)
    if run.id in named:
        return
    text = (
        f"the best run by {metric} ({value:.4g}), as of the last commit, is {run.name} ({run.id}): "
        "its code is in the book, but in no commit"
    )
    try:
        write_json(book.root / _NAMED, {"runs": [*named, run.id]})
        write_json(book.root / _WAITING, {"run": run.id, "text": text})
    except OSError:
        pass  # a book that cannot be written


def best(summaries: list[RunSummary]) -> tuple[RunSummary, str, float] | None:
    """Return (run, metric, value) of the best run; None when nothing says what is better."""
    values = [(summary, _values(summary)) for summary in summaries]
    counts = Counter(name for _, found in values for name in found)
    names = [name for name, count in counts.items() if count >= _FEWEST]
    if not names:
        return None
    metric = min(names, key=lambda name: (not _HELD_OUT.search(name), -counts[name], name))
    have = [(summary, found[metric]) for summary, found in values if metric in found]
    order = min if _LESS.search(metric) else max
    run, value = order(have, key=lambda pair: pair[1])
    return run, metric, value


def _values(summary: RunSummary) -> dict[str, float]:
    """The best value of each metric whose name says what is better."""
    found: dict[str, float] = {}
    for name, stat in summary.stats.items():
        found[name] = _number(stat.min if _LESS.search(name) else stat.max)
    for evaluation, metrics in summary.results.items():
        for metric, value in metrics.items():
            found[f"{evaluation}.{metric}"] = _number(value)
    return {
        name: value
        for name, value in found.items()
        if math.isfinite(value) and (_LESS.search(name) or _MORE.search(name))
    }


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _is_uncommitted(book: BookPaths, run_id: str) -> bool:
    """Whether a run's code is known, and in no commit that is known."""
    facts = Facts(book.run(run_id))
    try:
        facts.refresh()
    except OSError:
        return False
    newest = facts.newest()
    conditions = newest.conditions if newest else {}
    has_git = isinstance(conditions.get("git"), dict)
    has_tree = isinstance((conditions.get("snapshot") or {}).get("tree"), str)
    return has_git and has_tree and commit_of(facts, conditions) is None


def _named(book: BookPaths) -> list[str]:
    try:
        return [name for name in read_object(book.root / _NAMED)["runs"] if isinstance(name, str)]
    except (OSError, DamagedFile, KeyError, TypeError):
        return []
