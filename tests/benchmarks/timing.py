"""Timing that survives a noisy machine: subjects take turns, round by round."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

Call = Callable[[int], None]
"""One call; it is given the number of the call."""


@dataclass(frozen=True)
class Cost:
    """Nanoseconds a call, the clock's own cost taken off."""

    p50: float
    p99: float
    mean: float
    best: float
    """The p50 of the least disturbed round."""


def cost_of(
    subjects: dict[str, Call], *, rounds: int, calls: int, idle_s: float = 0.0
) -> dict[str, Cost]:
    """Time every call of every subject; subjects take turns, `rounds` times `calls` calls each."""
    samples: dict[str, list[list[int]]] = {name: [] for name in subjects}
    clock = _clock_cost()
    for n in range(rounds):
        for name, call in subjects.items():
            samples[name].append(_round(call, n * calls, calls, idle_s))
    return {name: _cost(taken, clock) for name, taken in samples.items()}


def _round(call: Call, first: int, calls: int, idle_s: float) -> list[int]:
    clock, taken = time.perf_counter_ns, []
    for i in range(first, first + calls):
        if idle_s:
            time.sleep(idle_s)
        began = clock()
        call(i)
        taken.append(clock() - began)
    return taken


def _cost(rounds: list[list[int]], clock: float) -> Cost:
    every = sorted(t for taken in rounds for t in taken)
    return Cost(
        p50=statistics.median(every) - clock,
        p99=every[int(len(every) * 0.99)] - clock,
        mean=statistics.fmean(every) - clock,
        best=min(statistics.median(taken) for taken in rounds) - clock,
    )


def _clock_cost() -> float:
    clock = time.perf_counter_ns
    return statistics.median([-(clock() - clock()) for _ in range(2000)])


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes, once."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
