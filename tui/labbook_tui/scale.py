"""Axes: nice limits and ticks, linear and logarithmic."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Axis", "linear_axis", "log_axis", "nice_ceiling", "tick_text"]

_HUGE = 1e300
_NICE = (1.0, 2.0, 5.0, 10.0)
_CEILINGS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0)


@dataclass(frozen=True)
class Axis:
    """Limits (in log10 units when `log`) and ticks as (position in those units, label)."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    log: bool = False

    def part(self, value: float) -> float:
        """Where a value lies: 0 at the low end, 1 at the high one."""
        return (value - self.low) / (self.high - self.low)


def _nice_step(span: float, count: int) -> float:
    rough = span / max(1, count)
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * nice for nice in _NICE if power * nice >= rough * 0.999999)


def nice_ceiling(value: float) -> float:
    """The next round number at or above a positive value.

    A growing axis that ends on it is rescaled now and then, not at every new point.
    """
    if value <= 0 or not math.isfinite(value):
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * top for top in _CEILINGS if power * top >= value * (1 - 1e-12))


def tick_text(value: float, step: float) -> str:
    """A label with as many decimals as the step between ticks needs, and k, M, G for thousands."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e15:
        return f"{value:.0e}".replace("e+", "e")
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= limit:
            unit = 1e3 if letter == "k" else limit
            places = max(0, -math.floor(math.log10(step / unit) + 1e-9))
            return f"{value / unit:.{min(places, 3)}f}{letter}"
    if size < 1e-4:
        return f"{value:.0e}".replace("e-0", "e-")
    return f"{value:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def linear_axis(low: float, high: float, count: int, slack: float = 0.25) -> Axis:
    """An axis over [low, high] with about `count` ticks.

    Its limits go out to the next multiple of `slack` tick steps, so small changes move nothing;
    0 means not at all.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        low, high = 0.0, 1.0
    low, high = max(low, -_HUGE), min(high, _HUGE)
    size = max(abs(low), abs(high))
    if high - low <= 1e-12 * size or size < 1 / _HUGE:  # rounding, not a range
        spread = size * 0.1 if size >= 1 / _HUGE else 1.0
        low, high = low - spread, high + spread
    step = _nice_step(high - low, count)
    if slack > 0:
        part = step * slack
        low, high = math.floor(low / part + 1e-9) * part, math.ceil(high / part - 1e-9) * part
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    while last <= first:  # one label says nothing about the scale
        step = _nice_step(step / 2.6, 1)  # 5, 2, 1: the next lower one
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    ticks = tuple((n * step, tick_text(n * step, step)) for n in range(first, last + 1))
    return Axis(low, high, ticks)


def log_axis(bottom: float, top: float, count: int) -> Axis:
    """A logarithmic axis over powers of ten: ticks at 1, and at 2 and 5 where there is room."""
    if not (math.isfinite(bottom) and math.isfinite(top)):
        bottom, top = -1.0, 0.0
    if top <= bottom:
        bottom, top = bottom - 0.3, top + 0.3
    pad = 0.02 * (top - bottom)
    bottom, top = max(-300.0, bottom - pad), min(300.0, top + pad)
    exponents = range(math.floor(bottom), math.ceil(top) + 1)
    chosen: list[tuple[float, str]] = []
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 4, 5, 6, 7, 8, 9)):
        marks = [d * 10.0**e for e in exponents for d in digits]
        chosen = [(math.log10(m), _log_text(m)) for m in marks if bottom <= math.log10(m) <= top]
        if len(chosen) >= 2:
            break
    else:
        places = [bottom + part * (top - bottom) for part in (0.1, 0.5, 0.9)]
        chosen = [(at, f"{10.0**at:.4g}") for at in places]
    while len(chosen) > max(2, count):
        chosen = chosen[::2]
    return Axis(bottom, top, tuple(chosen), log=True)


def _log_text(value: float) -> str:
    if 1e-3 <= value < 1e4:
        return f"{value:g}"
    return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
