"""A curve: what the reader thread makes and charts draw. No numpy is imported here.

The first frame is painted before numpy and Arrow are loaded (tests/tui/test_start.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["Curve"]

QUICK = 20_000
"""Points that are smoothed in about two milliseconds."""


@dataclass(frozen=True, eq=False)
class Curve:
    """One line: `x` ascending, `y` of the same length, NaN where a value is missing.

    `points` marks exact values (evaluations, settings): they are never smoothed.
    """

    name: str
    x: Floats
    y: Floats
    points: bool = False
    _smooth: dict[float, Floats] = field(default_factory=dict, repr=False)

    def is_ready(self, weight: float) -> bool:
        """Whether the average is there, or so few points that a frame does not wait for it."""
        return weight in self._smooth or len(self.y) <= QUICK

    def smoothed(self, weight: float) -> Floats:
        """The moving average over x, computed once a weight: of long curves by the reader."""
        if weight not in self._smooth:
            from labbook_tui.smooth import ema

            self._smooth[weight] = ema(self.y, weight, self.x)
        return self._smooth[weight]
