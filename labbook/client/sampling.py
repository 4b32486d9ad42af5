"""Which training steps are sampled."""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["EARLY", "EVERY", "Sampling"]

EVERY: Final = 100
EARLY: Final = (0, 1, 2, 5, 10, 20, 50)
"""The first steps tell the most: they are sampled too, unless the user names a distance."""

SHARE: Final = 0.01
"""So much of the training's time may go into sampling at the default distance."""


class Sampling:
    """Counts from 0; `due` is the next step to sample.

    With `every` the multiples of it. Without, the first steps log-spaced and then each hundredth;
    where that takes more than 1 % of the time the distance doubles, so that two runs still share
    steps.
    """

    def __init__(self, every: int | None = None) -> None:
        self.every = every or EVERY
        self.due = 0
        self._is_given = every is not None
        self._costs: deque[float] = deque(maxlen=8)
        self._last: tuple[int, float] | None = None  # step and time of the sample before

    def sampled(self, step: int, seconds: float, now: float) -> None:
        """Note that `step` was sampled, at a cost; sets what is due next."""
        self._costs.append(seconds)
        if not self._is_given and self._last is not None and step >= 2 * EVERY:
            before, then = self._last
            # the cheapest of several: one that the system interrupted says nothing
            cost = min(self._costs)
            a_step = (now - then - seconds) / max(1, step - before)
            while a_step > 0 and cost > SHARE * self.every * a_step and self.every < 1 << 30:
                self.every *= 2
        self._last = (step, now)
        self.due = self._after(step)

    def _after(self, step: int) -> int:
        if not self._is_given:
            for early in EARLY:
                if early > step:
                    return early
        return (step // self.every + 1) * self.every
