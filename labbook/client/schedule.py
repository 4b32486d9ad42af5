"""When `observe` is due: at every call, every n steps, ever more rarely, at given steps, by epoch.

Due is the first call at or after each of these steps, and the first call of a program.
"""

from __future__ import annotations

import bisect
import math
import operator
from collections.abc import Iterable
from typing import Any, Final, Literal

from labbook.errors import MisuseError

__all__ = ["EARLIEST", "NEVER", "Every", "Schedule"]

Every = int | Literal["log", "epoch"] | Iterable[int] | None

PER_DECADE: Final = 10
NEVER: Final = 1 << 62
EARLIEST: Final = -(1 << 62)


class Schedule:
    """Tells the next step that is due.

    `every`: None, each call; n, the multiples of n; "log", ten steps a decade, rounded: 1, 2, 3, 4,
    5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 63, 79, 100, 126 …; steps; "epoch", whenever the epoch
    that `observe(epoch=)` is given has changed. Raises `MisuseError` for anything else.
    """

    def __init__(self, every: Any) -> None:
        self.by_epoch = isinstance(every, str) and every == "epoch"
        self._n: int | None = None
        self._steps: list[int] | None = None
        self._is_log = isinstance(every, str) and every == "log"
        if every is None or self._is_log or self.by_epoch:
            return
        try:
            self._n = operator.index(every)
        except TypeError:
            self._steps = _steps(every)
        if self._n is not None and self._n < 1:
            raise MisuseError(f"choose(every=) must be at least 1, got {self._n}")

    @property
    def first(self) -> int:
        """The first step that is due; `EARLIEST` for whatever step comes first."""
        return EARLIEST if self._steps is None else self._steps[0]

    def after(self, step: int) -> int:
        """The next step that is due; the step itself where each call is."""
        if self._n is not None:
            return (step // self._n + 1) * self._n
        if self._steps is not None:
            place = bisect.bisect_right(self._steps, step)
            return self._steps[place] if place < len(self._steps) else NEVER
        return _next_log(step) if self._is_log else step


def _steps(every: Any) -> list[int]:
    if isinstance(every, str) or not isinstance(every, Iterable):
        raise MisuseError(
            f'choose(every=) must be a number of steps, "log", "epoch" or steps, got {every!r}'
        )
    try:
        steps = sorted({operator.index(step) for step in every})
    except TypeError as error:
        raise MisuseError(f"choose(every=) wants whole steps: {error}") from error
    if not steps:
        raise MisuseError("choose(every=) was given no steps")
    return steps


def _next_log(step: int) -> int:
    if step < 1:
        return 1
    k = int(PER_DECADE * math.log10(step))
    while round(10 ** (k / PER_DECADE)) <= step:
        k += 1
    return round(10 ** (k / PER_DECADE))
