"""The runs of a book as a table, and the metric they are compared by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from labbook.checks.rule import Cannot
from labbook.direction import direction

if TYPE_CHECKING:
    from labbook.book.reading import Book

__all__ = ["Ledger", "Metric", "ledger_of"]

Row = dict[str, Any]

_HELD_OUT = ("val", "valid", "validation", "test", "eval", "dev")


@dataclass(frozen=True)
class Metric:
    """A column of the run table; `sign` times its value is better when larger."""

    column: str
    sign: int

    def score(self, row: Row) -> float | None:
        """Larger is better; None where the run has none."""
        value = row.get(self.column)
        return None if value is None or math.isnan(value) else self.sign * float(value)


class Ledger:
    """All runs, newest first, as rows of the run table."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows

    @cached_property
    def metric(self) -> Metric | None:
        """What most runs have of: an evaluation's metric, a held-out series, the training loss.

        Of an evaluation's metrics one of which more is better; None where no name says which way.
        """
        columns = list(
            dict.fromkeys(c for row in self.rows for c, v in row.items() if v is not None)
        )
        ranked = sorted(
            (m for c in columns if (m := _metric(c)) is not None),
            key=lambda m: (_kind(m), -self._count(m), -m.sign, m.column),
        )
        return next((m for m in ranked if self._count(m) >= 2), None)

    def _count(self, metric: Metric) -> int:
        return sum(metric.score(row) is not None for row in self.rows)

    def scored(self) -> list[tuple[float, Row]]:
        """(score, run) of ended runs that have the metric, best first. Raises `Cannot`."""
        metric = self.metric
        if metric is None:
            raise Cannot("not recorded: fewer than two runs with a metric whose direction is known")
        ended = [row for row in self.rows if row["state"] != "running"]
        found = [(score, row) for row in ended if (score := metric.score(row)) is not None]
        return sorted(found, key=lambda pair: -pair[0])

    @cached_property
    def varied(self) -> dict[str, list[Any]]:
        """Argument -> its values over the runs that have it, for those with more than one."""
        names = dict.fromkeys(c for row in self.rows for c in row if c.startswith("args."))
        found = {}
        for name in names:
            values = [row[name] for row in self.rows if row.get(name) is not None]
            if len({repr(v) for v in values}) > 1:
                found[name.removeprefix("args.")] = values
        return found


def _metric(column: str) -> Metric | None:
    kind, _, name = column.partition(".")
    if kind not in {"result", "last"}:
        return None
    way = direction(name)
    if way is None:
        return None
    held_out = any(word in name.lower().replace("/", "_").split("_") for word in _HELD_OUT)
    if kind == "last" and not held_out and "loss" not in name.lower():
        return None
    # the best of a series, not where it happened to end
    best = {"min": "min", "max": "max"}[way]
    return Metric(column if kind == "result" else f"{best}.{name}", 1 if way == "max" else -1)


def _kind(metric: Metric) -> int:
    if metric.column.startswith("result."):
        return 0
    words = metric.column.lower().replace("/", "_").replace(".", "_").split("_")
    return 1 if any(word in words for word in _HELD_OUT) else 2


def ledger_of(book: Book | None) -> Ledger:
    """The runs of a book. Raises `Cannot` without one."""
    if book is None:
        raise Cannot("not recorded: no book")
    return Ledger(book.runs().to_pylist())
