"""The loss over the observations of an example, and over the examples of an observation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labbook.dynamics.columns import Bools, Floats, Ints
from labbook.dynamics.grid import Grid

__all__ = ["QUARTILES", "Ranked", "far_out", "first_and_last", "rank", "suspects"]

QUARTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False)
class Ranked:
    """The finite losses of each step, (steps, examples), infinity for the others; sorted too.

    `n` (steps,) counts the finite ones.
    """

    losses: Floats
    ordered: Floats
    n: Ints

    def at(self, share: float) -> Ints:
        """The example at a quantile of each step, (steps,); -1 where no loss is finite.

        The smallest loss that at least `share` of the finite losses do not exceed: the inverse of
        the empirical distribution function, which always is some example's loss (type 1 in Hyndman
        and Fan, Sample Quantiles in Statistical Packages, The American Statistician 50(4), 1996).
        Of examples with this loss the first in the set.
        """
        if not self.ordered.shape[1]:
            return np.full(len(self.n), -1)
        place = np.maximum(np.ceil(share * self.n).astype(np.int64) - 1, 0)
        loss = self.ordered[np.arange(len(self.n)), place]
        return np.where(self.n > 0, (self.losses == loss[:, None]).argmax(axis=1), -1)


def rank(loss: Grid) -> Ranked:
    """Sort the finite losses of each step."""
    is_finite = loss.known & np.isfinite(loss.values)
    losses = np.ascontiguousarray(np.where(is_finite, loss.values, np.inf).T)
    return Ranked(losses, np.sort(losses, axis=1), is_finite.sum(axis=0))


def first_and_last(grid: Grid) -> tuple[NDArray[Any], NDArray[Any], Bools]:
    """The first and the last recorded value, finite or not, and where there is one; (examples,)."""
    n_steps, has = grid.known.shape[1], grid.has_any
    if not n_steps:
        nothing = np.zeros(len(has), grid.values.dtype)
        return nothing, nothing, has
    row = np.arange(len(has))
    last = n_steps - 1 - grid.known[:, ::-1].argmax(axis=1)
    return grid.values[row, grid.known.argmax(axis=1)], grid.values[row, last], has


def suspects(mean_loss: Floats) -> Ints:
    """Rank the examples by mean loss, (examples,): 1 is the greatest; 0 without a mean loss.

    A wrong label keeps its example's loss high until the net has learned it by heart, so the mean
    over the whole training tells wrong labels better than the loss at any time: the area under the
    loss curve, as the area under the margin in Pleiss et al. (NeurIPS 2020), §3. Equal ones are
    ranked by their place in the set.
    """
    known = np.flatnonzero(~np.isnan(mean_loss))
    ranks = np.zeros(len(mean_loss), np.int64)
    ranks[known[np.argsort(-mean_loss[known], kind="stable")]] = np.arange(len(known)) + 1
    return ranks


def far_out(mean_loss: Floats) -> Bools:
    """Whether a mean loss lies more than three interquartile ranges above the upper quartile.

    Such values are "far out" in Tukey, Exploratory Data Analysis (1977), §2D. Quartiles by linear
    interpolation (type 7 in Hyndman and Fan). None is, of fewer than four.
    """
    known = ~np.isnan(mean_loss)
    if known.sum() < 4:
        return np.zeros(len(mean_loss), np.bool_)
    low, high = np.quantile(mean_loss[known], [0.25, 0.75])
    with np.errstate(invalid="ignore"):
        found: Bools = mean_loss > high + 3 * (high - low)
    return found
