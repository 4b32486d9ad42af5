"""This machine now and over the last ten minutes, and the live runs on it."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from labbook.upkeep.host_now import Host
from labbook_tui.models import Gauge, HostModel

if TYPE_CHECKING:
    from labbook.book.reading import Book
    from labbook_tui.models import Want

__all__ = ["KEPT_S", "build", "sampled"]

KEPT_S = 600.0
"""So much of the past is kept, while the program lives; it grows while the page is open."""

RATE_S = 30.0
"""A run's steps a second are over this time, where it was looked at for so long."""


@dataclass
class _Past:
    """Samples of one machine, oldest first: (seconds since 1970, {gauge: value})."""

    host: Host
    samples: deque[tuple[float, dict[str, float | None]]] = field(default_factory=deque)


_PASTS: WeakKeyDictionary[Book, _Past] = WeakKeyDictionary()


def build(book: Book, want: Want, before: object) -> HostModel:
    """The machine now; its past is kept from one reading to the next."""
    past = _PASTS.get(book)
    if past is None:
        past = _PASTS[book] = _Past(Host(book))
        time.sleep(0.2)  # the first rates are over this
    now = past.host.now()
    at = now["time_ns"] / 1e9
    past.samples.append((at, sampled(now)))
    while past.samples and at - past.samples[0][0] > KEPT_S:
        past.samples.popleft()
    names = dict.fromkeys(name for _, sample in past.samples for name in sample)
    history = {name: _gauge(name, past.samples, at) for name in names}
    rates = {run["id"]: _rate(run, history) for run in now["runs"]}
    return HostModel(now, history, rates)


def sampled(now: dict[str, Any]) -> dict[str, float | None]:
    """What is worth a history, by name; None where it was not measured."""
    found: dict[str, float | None] = dict(now["gauges"])
    for card in now["gpus"]:
        for name in ("util_percent", "memory_used_bytes", "power_watts", "temperature_celsius"):
            found[f"gpu.{card['index']}.{name}"] = card.get(name)
    for run in now["runs"]:
        found[f"step {run['id']}"] = run["step"]
    return found


def _gauge(name: str, samples: deque[tuple[float, dict[str, float | None]]], now: float) -> Gauge:
    """One gauge's past; seconds are counted back from now."""
    seconds = np.array([at - now for at, _ in samples], np.float64)
    values = [sample.get(name) for _, sample in samples]
    return Gauge(name, seconds, np.array([np.nan if v is None else v for v in values], np.float64))


def _rate(run: dict[str, Any], history: dict[str, Gauge]) -> float | None:
    """Steps a second just now; else over the whole loop, as the run says it."""
    steps = history.get(f"step {run['id']}")
    if steps is not None:
        known = np.isfinite(steps.values) & (steps.seconds >= -RATE_S)
        at, values = steps.seconds[known], steps.values[known]
        if len(at) > 1 and at[-1] - at[0] >= 3.0:
            return float(max(0.0, values[-1] - values[0]) / (at[-1] - at[0]))
    rate = run.get("steps_per_second")
    return None if rate is None else float(rate)
