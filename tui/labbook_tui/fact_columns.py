"""Columns of what every run has: its age, how far it is, where it ran, what it is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from labbook.book.text import clean
from labbook_tui.fold_cells import FoldCells, agreed
from labbook_tui.folding import Fold, common
from labbook_tui.palette import Ink
from labbook_tui.states import age, last_step, seconds_taken, silence, took
from labbook_tui.table import Cell, Column
from labbook_tui.text import ago, grouped

if TYPE_CHECKING:
    from labbook.book.summary import RunSummary

    Row = RunSummary | Fold
    RunColumn = Column[Row]

__all__ = ["FactColumns"]

PASSING = {"silent", "took"}
"""Facts that change with the clock."""


class FactColumns:
    """Makes them by name."""

    def __init__(self, ink: Ink, cells: FoldCells) -> None:
        self.ink, self.cells = ink, cells

    def column(self, key: str) -> RunColumn:
        """The column of that name."""
        dim = self.ink.of("dim")
        if key == "age":
            return self._shown(
                "age", lambda run: (age(run), dim), lambda run: -(run.created_ns or 0), right=True,
                value=lambda run: run.created_ns, title="age", newest=True,
            )  # fmt: skip
        if key == "silent":
            return self._shown(
                key, lambda run: (_ago(silence(run)), dim), silence, right=True, title="silent"
            )
        if key == "took":
            return self._shown(key, lambda run: (took(run), dim), seconds_taken, right=True)
        counts: dict[str, Callable[[RunSummary], int | None]] = {
            "step": last_step,
            "checkpoints": lambda run: run.n_checkpoints,
            "results": lambda run: run.n_results,
            "faults": lambda run: sum(run.faults.values()),
            "attempt": lambda run: run.attempt,
        }
        if key in counts:
            count = counts[key]
            return self._shown(key, lambda run: _count(count(run), dim, key), count, right=True)
        texts: dict[str, Callable[[RunSummary], str | None]] = {
            "commit": lambda run: run.commit,
            "branch": lambda run: run.branch,
            "tags": lambda run: " ".join(run.tags) or None,
            "group": lambda run: run.group,
            "host": lambda run: run.host,
            "id": lambda run: run.id,
        }
        text, length = texts[key], 7 if key == "commit" else 32
        return self._shown(key, lambda run: (clean(text(run) or "–")[:length], dim), text, most=32)

    def _shown(
        self,
        key: str,
        cell: Callable[[RunSummary], Cell],
        sort: Callable[[RunSummary], Any],
        *,
        right: bool = False,
        most: int = 24,
        title: str = "",
        value: Callable[[RunSummary], Any] | None = None,
        newest: bool = False,
    ) -> RunColumn:
        """A column of a fact: a fold shows it where all its runs have the same."""
        dim = self.ink.of("dim")

        def of_row(row: Row) -> Cell:
            if not isinstance(row, Fold):
                return cell(row)
            if newest:
                return cell(max(row.runs, key=lambda run: run.created_ns or 0))
            if key in PASSING:
                return agreed(row, cell, ("", dim))
            return self.cells.cell(key, row, lambda fold: agreed(fold, cell, ("", dim)))

        real = value or sort
        return Column(
            key, title or key, of_row, right=right, most=most, least=3, by=sort,
            value=lambda row: None if isinstance(row, Fold) and newest else common(row, real),
        )  # fmt: skip


def _ago(seconds: float | None) -> str:
    return "–" if seconds is None else ago(seconds)


def _count(count: int | None, dim: Any, key: str) -> Cell:
    if count is None:
        return "–", dim
    return grouped(count), dim if count == 0 and key != "step" else None
