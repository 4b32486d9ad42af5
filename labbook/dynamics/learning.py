"""When an example is learned and forgotten.

From Toneva et al., An Empirical Study of Example Forgetting during Deep Neural Network Learning
(ICLR 2019), §2, with one difference: there an example is judged when its batch comes up in
training, here at each observation. What happens between two observations is not seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labbook.dynamics.columns import Bools, Floats, Ints
from labbook.dynamics.grid import Grid, before

__all__ = ["FORGOTTEN", "NEVER", "UNFORGETTABLE", "Learning", "changes", "learning"]

UNFORGETTABLE, FORGOTTEN, NEVER = "unforgettable", "forgotten", "never learned"


@dataclass(frozen=True, eq=False)
class Learning:
    """(examples,) each, unless said otherwise. Columns are -1 where there is none.

    `first_correct`: the first observation that is right. `stays_correct_from`: the first from which
    on none is wrong, up to the last one that is known. `forgettings`: how often a right observation
    is followed by a wrong one. `status`: "never learned" when none is right, "forgotten" when it
    was at least once, else "unforgettable"; None when nothing is known. `correctness`: the share of
    observations that are right, NaN when nothing is known. `is_forgotten`, `is_learned` (examples,
    steps): the observation is wrong after a right one, or right after a wrong one or as the first.
    """

    first_correct: Ints
    stays_correct_from: Ints
    forgettings: Ints
    status: NDArray[np.object_]
    correctness: Floats
    is_right_last: NDArray[np.object_]
    is_forgotten: Bools
    is_learned: Bools


def learning(correct: Grid) -> Learning:
    """Find the events of a grid of 0 and 1; unknown observations are passed over."""
    right, wrong = correct.known & (correct.values == 1), correct.known & (correct.values != 1)
    earlier = before(correct.known)
    was_right = _at(right, earlier)
    is_forgotten, is_learned = wrong & was_right, right & ~was_right
    forgettings = is_forgotten.sum(axis=1)
    n_known = correct.known.sum(axis=1)
    status = np.full(len(right), None, np.object_)
    status[n_known > 0] = NEVER
    status[right.any(axis=1)] = UNFORGETTABLE
    status[forgettings > 0] = FORGOTTEN
    last_wrong = _last(wrong)
    after = right & (np.arange(right.shape[1]) > last_wrong[:, None])
    is_right_last = np.full(len(right), None, np.object_)
    last = _last(correct.known)
    is_right_last[last >= 0] = [bool(right[i, last[i]]) for i in np.flatnonzero(last >= 0)]
    with np.errstate(invalid="ignore"):
        correctness = right.sum(axis=1) / n_known
    return Learning(
        _first(right),
        _first(after),
        forgettings,
        status,
        correctness,
        is_right_last,
        is_forgotten,
        is_learned,
    )


def changes(prediction: Grid) -> tuple[Bools, Bools]:
    """Where a prediction differs from the example's previous one, and where it has one.

    Both (examples, steps).
    """
    earlier = before(prediction.known)
    has_earlier = prediction.known & (earlier >= 0)
    previous = np.take_along_axis(prediction.values, np.maximum(earlier, 0), axis=1)
    return has_earlier & (previous != prediction.values), has_earlier


def _at(flags: Bools, column: Ints) -> Bools:
    """The flag at another column of each cell's row; False for column -1."""
    found: Bools = np.take_along_axis(flags, np.maximum(column, 0), axis=1) & (column >= 0)
    return found


def _first(flags: Bools) -> Ints:
    """The first column that is set, (rows,); -1 when none is."""
    if not flags.shape[1]:
        return np.full(len(flags), -1)
    return np.where(flags.any(axis=1), flags.argmax(axis=1), -1)


def _last(flags: Bools) -> Ints:
    return np.where(flags.any(axis=1), flags.shape[1] - 1 - _first(flags[:, ::-1]), -1)
