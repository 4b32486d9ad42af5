"""What stands in the row of a fold: made of all its runs, and kept while they are the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from labbook_tui.folding import Fold
from labbook_tui.palette import Ink
from labbook_tui.table import Cell

if TYPE_CHECKING:
    from labbook.book.summary import RunSummary

__all__ = ["FoldCells", "agreed"]


class FoldCells:
    """Cells of folds by column: a fold of hundreds of runs is not looked through at each draw."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[tuple[RunSummary, ...], Cell]] = {}
        self._ink: Ink | None = None

    def use(self, ink: Ink) -> None:
        """Cells hold styles: those of another theme are made anew."""
        if ink is not self._ink:
            self._kept.clear()
            self._ink = ink

    def cell(self, column: str, row: Fold, make: Callable[[Fold], Cell]) -> Cell:
        """The cell of a fold; `make` is called when its runs are not those it was made of."""
        kept = self._kept.get((column, row.key))
        if kept is None or kept[0] != row.runs:
            kept = self._kept[column, row.key] = (row.runs, make(row))
        return kept[1]


def agreed(row: Fold, cell: Callable[[RunSummary], Cell], nothing: Cell) -> Cell:
    """The cell of its runs where it says the same of all, else `nothing`."""
    first = cell(row.runs[0])
    return first if all(cell(run)[0] == first[0] for run in row.runs[1:]) else nothing
