"""Outputs and targets that are real numbers: how far one is from the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from labbook.dynamics.columns import Bools, Floats, Ints, Numbers, Vectors
from labbook.dynamics.grid import Places

__all__ = ["Residuals", "Spread", "residuals", "spread"]

LONG: Final = 64
"""Values of one example in a block from which on adding them an example at a time is faster."""


@dataclass(frozen=True, eq=False)
class Residuals:
    """Output less target, a row each, (rows,): its root mean square over the values of an example,
    and its mean over them.
    """

    error: Numbers
    mean: Numbers


def residuals(output: Vectors, keep: Bools, target: Floats, example: Ints) -> Residuals:
    """Compare outputs (rows, D) with targets (examples, D); `example` (rows,) is -1 for none."""
    n = len(keep)
    error, mean, known = np.zeros(n), np.zeros(n), np.zeros(n, np.bool_)
    for at, values in output.blocks(keep & (example >= 0)):
        with np.errstate(invalid="ignore", over="ignore"):
            difference = values - target[example[at]]
            error[at] = np.sqrt((difference**2).mean(axis=1))
        mean[at] = difference.mean(axis=1)
        known[at] = True
    return Residuals(Numbers(error, known), Numbers(mean, known))


@dataclass(frozen=True, eq=False)
class Spread:
    """How outputs differ between steps and between examples.

    `change` (rows,): root mean square difference to the same example's previous output, unknown for
    its first. `variance` (steps,): the variance over the `n` examples (steps,), summed over the
    values of an output.
    """

    change: Numbers
    variance: Floats
    n: Floats


def spread(output: Vectors, keep: Bools, places: Places) -> Spread:
    """Measure the outputs (rows, D) of the rows in `keep`, which have one row a cell at most."""
    n_steps, width = places.shape[1], output.width
    change, known = np.zeros(len(keep)), np.zeros(len(keep), np.bool_)
    n, squares, sums = np.zeros(n_steps), np.zeros(n_steps), np.zeros((n_steps, width))
    row = places.cells // max(1, n_steps)
    last, last_row, origin = np.zeros((1, width)), -1, None
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        for at, values in output.blocks(keep):
            moved = values - np.concatenate([last, values[:-1]])
            change[at] = np.sqrt(np.einsum("rd,rd->r", moved, moved) / width)
            known[at] = row[at] == np.append(last_row, row[at[:-1]])
            last, last_row = values[-1:], int(row[at[-1]])
            if origin is None:  # of large numbers the squares would hide the differences
                origin = np.nan_to_num(values[0], posinf=0, neginf=0)
            apart, column = values - origin, places.columns[at]
            n += np.bincount(column, minlength=n_steps)
            squares += np.bincount(column, np.einsum("rd,rd->r", apart, apart), n_steps)
            _add(sums, row[at], column, apart)
        means = sums / n[:, None]
        variance = np.maximum(squares / n - (means**2).sum(axis=1), 0)
    return Spread(Numbers(change, known), variance, n)


def _add(sums: Floats, row: Ints, column: Ints, values: Floats) -> None:
    """Add values (rows, D) to the sums (steps, D) of their columns."""
    n_steps, width = sums.shape
    starts = np.flatnonzero(np.append(True, row[1:] != row[:-1]))
    if values.size < LONG * len(starts):
        cells = column[:, None] * width + np.arange(width)
        sums += np.bincount(cells.ravel(), values.ravel(), n_steps * width).reshape(sums.shape)
        return
    for start, stop in zip(starts, [*starts[1:], len(row)], strict=True):
        sums[column[start:stop]] += values[start:stop]  # rows of one example differ in their steps
