"""How often to ask what costs CPU time: together at most a fixed share of one core."""

from __future__ import annotations

from typing import Final

__all__ = ["BUDGET", "Pace"]

BUDGET: Final = 0.004
"""Seconds of CPU a second for all gauges together: below half a percent of one core."""

_NEWEST: Final = 0.3
"""Weight of the newest cost in the running mean: one disturbed reading does not set the pace."""


class Pace:
    """Knows what each thing costs, and stretches the intervals of the dear ones.

    Where all together would spend more than `budget`, those whose own share is above an even one
    are asked less often, all by the same factor; what is cheap keeps its interval.
    """

    def __init__(self, budget: float = BUDGET) -> None:
        self._budget = budget
        self._interval: dict[str, float] = {}
        self._cost: dict[str, float] = {}
        self._is_warm: set[str] = set()

    def spent(self, who: str, interval: float, seconds: float) -> None:
        """Take down what one reading cost; the first, which loads and opens, does not count."""
        self._interval[who] = interval
        if who not in self._is_warm:
            self._is_warm.add(who)
            return
        before = self._cost.get(who, seconds)
        self._cost[who] = before + _NEWEST * (seconds - before)

    def stretched(self, who: str, interval: float) -> float:
        """Seconds from one reading to the next, at least `interval`."""
        share = {name: cost / self._interval[name] for name, cost in self._cost.items()}
        if sum(share.values()) <= self._budget:
            return interval
        even = self._budget / len(share)
        dear = sum(each for each in share.values() if each > even)
        cheap = sum(each for each in share.values() if each <= even)
        factor = dear / (self._budget - cheap) if share.get(who, 0.0) > even else 1.0
        return interval * factor
