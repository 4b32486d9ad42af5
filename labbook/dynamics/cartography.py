"""Where an example lies on the data map.

From Swayamdipta et al., Dataset Cartography: Mapping and Diagnosing Datasets with Training Dynamics
(EMNLP 2020), §2: over the observations, *confidence* is the mean of the probability that the model
gives to the target's class, *variability* its standard deviation (of the population), and
*correctness* the share of observations that are right.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from labbook.dynamics.columns import Floats
from labbook.dynamics.grid import Grid

__all__ = ["AMBIGUOUS", "EASY", "HARD", "moments", "regions"]

EASY, AMBIGUOUS, HARD = "easy", "ambiguous", "hard"


def moments(grid: Grid) -> tuple[Floats, Floats]:
    """Mean and population standard deviation over each example's finite values, (examples,).

    NaN for an example that has none.
    """
    values, known = grid.values, grid.known & np.isfinite(grid.values)
    n = known.sum(axis=1)
    with np.errstate(invalid="ignore"):
        mean = np.where(known, values, 0.0).sum(axis=1) / n
        deviation = np.where(known, values - mean[:, None], 0.0)
        return mean, np.sqrt((deviation**2).sum(axis=1) / n)


def regions(confidence: Floats, variability: Floats, n_observed: int) -> NDArray[np.object_]:
    """The region of each example, (examples,); None where its confidence is not known.

    The paper takes a third (33 %) of the data for each region: the most variable (ambiguous), the
    most and the least confident (easy, hard). Its thirds may overlap; here they share out the set.
    The third with the greatest variability is ambiguous; of the rest, the more confident half is
    easy and the other hard; equals by their order in the set. So a region is a rank within this set
    and says nothing absolute. With fewer than two observations or three examples there is none.
    """
    found = np.full(len(confidence), None, np.object_)
    known = np.flatnonzero(~np.isnan(confidence))
    if n_observed < 2 or len(known) < 3:
        return found
    n = round(len(known) / 3)
    by_variability = known[np.argsort(-variability[known], kind="stable")]
    found[by_variability[:n]] = AMBIGUOUS
    rest = np.sort(by_variability[n:])
    rest = rest[np.argsort(-confidence[rest], kind="stable")]
    half = (len(rest) + 1) // 2
    found[rest[:half]], found[rest[half:]] = EASY, HARD
    return found
