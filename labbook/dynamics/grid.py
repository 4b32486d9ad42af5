"""Observations laid out as grids: a row an example, a column a step.

Invariant: each cell holds the last value that was recorded for it, or is unknown. Nothing is
filled in.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from labbook.dynamics.columns import Bools, Ints, Numbers
from labbook.errors import StoreError
from labbook.journal.format import NO_STEP

__all__ = ["Grid", "Places", "before"]

MOST_CELLS: Final = 200_000_000
"""Examples × steps of a grid; rows that would need more are too scattered to be a chosen set."""


@dataclass(frozen=True, eq=False)
class Grid:
    """One value a cell, (examples, steps) each; `values` means nothing where `known` is False."""

    values: NDArray[Any]
    known: Bools

    @property
    def has_any(self) -> Bools:
        """Which examples have any value, (examples,)."""
        found: Bools = np.asarray(self.known.any(axis=1))
        return found

    @property
    def has_any_at(self) -> Bools:
        """Which steps have any value, (steps,)."""
        found: Bools = np.asarray(self.known.any(axis=0))
        return found


class Places:
    """Where each row of a table of observations, sorted by example and step, stands in a grid.

    Rows without a step have no place. Raises `StoreError` for rows that are too scattered.
    """

    def __init__(self, rows: pa.Table, examples: Ints) -> None:
        step = rows.column("step").fill_null(NO_STEP).to_numpy()
        self.has_step: Bools = step != NO_STEP
        self.steps: Ints = np.unique(step[self.has_step])
        self.shape = len(examples), len(self.steps)
        n_cells = self.shape[0] * self.shape[1]
        if n_cells > MOST_CELLS:
            raise StoreError(
                f"{self.shape[0]} examples at {self.shape[1]} steps are {n_cells:,} cells, over "
                f"the limit of {MOST_CELLS:,}"
            )
        row = np.searchsorted(examples, rows.column("example").to_numpy())
        column = np.searchsorted(self.steps, np.where(self.has_step, step, 0))
        self.cells: Ints = np.where(self.has_step, row * self.shape[1] + column, 0).astype(np.int64)
        # most sets are: then a column is a grid as it stands
        self.is_full = bool(
            self.has_step.all()
            and len(self.cells) == n_cells
            and (self.cells[1:] > self.cells[:-1]).all()
        )

    @cached_property
    def columns(self) -> Ints:
        """The step's place of each row, (rows,)."""
        columns: Ints = self.cells % max(1, self.shape[1])
        return columns

    def grid(self, numbers: Numbers) -> Grid:
        """Lay out one value a row; of several for one cell the last known one counts."""
        if self.is_full:
            return Grid(numbers.values.reshape(self.shape), numbers.known.reshape(self.shape))
        at = np.flatnonzero(self.last(numbers.known))
        grid = Grid(np.zeros(self.shape, numbers.values.dtype), np.zeros(self.shape, np.bool_))
        grid.values.reshape(-1)[self.cells[at]] = numbers.values[at]
        grid.known.reshape(-1)[self.cells[at]] = True
        return grid

    def last(self, known: Bools) -> Bools:
        """Which of the known rows are the last known ones of their cells, (rows,)."""
        if self.is_full:
            return known
        at = np.flatnonzero(known & self.has_step)
        cells = self.cells[at]  # ascending, as the rows are
        is_last = np.zeros(len(known), np.bool_)
        is_last[at] = np.append(cells[1:] != cells[:-1], True)[: len(at)]
        return is_last


def before(known: Bools) -> Ints:
    """The column of the last known cell before each cell of its row, (examples, steps); else -1."""
    at = np.where(known, np.arange(known.shape[1]), -1)
    latest = np.full(known.shape, -1, np.int64)
    latest[:, 1:] = np.maximum.accumulate(at, axis=1)[:, :-1]
    return latest
