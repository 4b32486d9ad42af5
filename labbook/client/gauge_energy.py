"""Energy of one GPU since the run began, by its counter, else by power times time."""

from __future__ import annotations

from typing import Final, Literal

__all__ = ["Energy"]

LONGEST_S: Final = 60.0
"""Power is not carried over a longer gap between two readings."""


class Energy:
    """Joules since the first reading. `kind` says how they were found; None: not at all."""

    def __init__(self) -> None:
        self.kind: Literal["counter", "integrated"] | None = None
        self._start = 0.0  # the counter's value at the first reading
        self._joules = 0.0
        self._power: tuple[float, float] | None = None

    def read(
        self, counter: float | None, power: float | None, at_s: float, *, has_counter: bool
    ) -> float | None:
        """Return the joules up to now; None when neither `counter` nor `power` is known now."""
        return self._counted(counter) if has_counter else self._integrated(power, at_s)

    def _counted(self, counter: float | None) -> float | None:
        if counter is None:
            return None
        if self.kind is None:
            self.kind, self._start = "counter", counter
        elif counter < self._start + self._joules:  # the driver was loaded anew: it counts from 0
            self._start = counter - self._joules
        self._joules = counter - self._start
        return self._joules

    def _integrated(self, power: float | None, at_s: float) -> float | None:
        """By the trapezoid rule."""
        before, self._power = self._power, None if power is None else (power, at_s)
        if power is None:
            return None
        self.kind = "integrated"
        if before is not None and at_s - before[1] <= LONGEST_S:
            self._joules += (before[0] + power) / 2 * (at_s - before[1])
        return self._joules
