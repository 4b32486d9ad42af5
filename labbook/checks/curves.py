"""Robust statistics of a recorded curve: medians of windows, and their spread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["WINDOW", "Curve", "mad", "running_median", "spearman"]

Floats = NDArray[np.float64]

WINDOW = 50
"""Points of a window, where the curve is long enough for four of them."""

_MAD = 1.4826
"""Makes the median absolute deviation of a normal sample its standard deviation."""


def mad(values: Floats) -> float:
    """The median absolute deviation times 1.4826; 0 for fewer than two values."""
    if len(values) < 2:
        return 0.0
    return float(_MAD * np.median(np.abs(values - np.median(values))))


def running_median(values: Floats, window: int) -> Floats:
    """The median of each full window of this length, in order."""
    if len(values) < window:
        return np.empty(0)
    return np.median(np.lib.stride_tricks.sliding_window_view(values, window), axis=1)


def spearman(a: Any, b: Any) -> float:
    """Rank correlation, equal values sharing the mean of their ranks; NaN where one is constant."""
    x, y = _ranks(np.asarray(a, float)), _ranks(np.asarray(b, float))
    if x.std() == 0 or y.std() == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def _ranks(values: Floats) -> Floats:
    _, at, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[at]


@dataclass(frozen=True)
class Curve:
    """The finite points of a series, and what the rules ask of them.

    `first`: the median of the first ten points. `last`: the median of the last window. `best`: the
    lowest median of a window. `noise`: the spread of the differences between neighbours.
    """

    steps: NDArray[np.int64]
    values: Floats
    window: int
    first: float
    last: float
    best: float
    medians: Floats
    noise: float

    @classmethod
    def of(cls, steps: NDArray[np.int64], values: Floats) -> Curve | None:
        """None for fewer than 40 finite points: too few for a verdict."""
        finite = np.isfinite(values)
        steps, values = steps[finite], values[finite]
        if len(values) < 40:
            return None
        window = min(WINDOW, len(values) // 4)
        medians = running_median(values, window)
        return cls(
            steps,
            values,
            window,
            first=float(np.median(values[:10])),
            last=float(medians[-1]),
            best=float(medians.min()),
            medians=medians,
            noise=mad(np.diff(values)) / float(np.sqrt(2)),
        )

    @property
    def falls(self) -> float:
        """Spearman's rank correlation of value and step: -1 falls all the time, 0 no trend."""
        found = spearman(np.arange(len(self.values)), self.values)
        return 0.0 if np.isnan(found) else found
