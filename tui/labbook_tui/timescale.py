"""Axes of time: ticks at round lengths (`30s`, `5m`, `2h`), or at round times of the clock."""

from __future__ import annotations

import datetime
import math

from labbook_tui.scale import Axis, linear_axis
from labbook_tui.text import DAY, HOUR, MINUTE

__all__ = ["clock_axis", "clock_text", "elapsed_axis", "elapsed_text"]

_STEPS = (
    *(1, 2, 5, 10, 15, 30),
    *(n * MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * HOUR for n in (1, 2, 3, 6, 12)),
    *(n * DAY for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)),
)


def _step(low: float, high: float, count: int) -> int | None:
    """Seconds between ticks; None where the span is too short, or too long, for round ones."""
    if not (math.isfinite(low) and math.isfinite(high)) or high - low < 2:
        return None
    fitting = [step for step in _STEPS if 0 < (high - low) / step <= max(2, count)]
    return fitting[0] if fitting else None


def elapsed_text(seconds: float, step: float = 1) -> str:
    """A length of time in as few units as the step between ticks allows: `90s` is `1m30`."""
    whole, sign = abs(round(seconds)), "-" if seconds < -0.5 else ""
    days, hours = whole // DAY, whole % DAY // HOUR
    minutes, rest = whole % HOUR // MINUTE, whole % MINUTE
    if whole == 0:
        return "0"
    if days:
        return f"{sign}{days}d{f'{hours:02d}h' if step < DAY and hours else ''}"
    if hours:
        return f"{sign}{hours}h{f'{minutes:02d}' if step < HOUR and minutes else ''}"
    if minutes:
        return f"{sign}{minutes}m{f'{rest:02d}' if step < MINUTE and rest else ''}"
    return f"{sign}{rest}s"


def elapsed_axis(low: float, high: float, count: int) -> Axis:
    """An axis over seconds since a start."""
    step = _step(low, high, count)
    if step is None:
        axis = linear_axis(low, high, count, slack=0)
        ticks = tuple((at, text if text == "0" else text + "s") for at, text in axis.ticks)
        return Axis(axis.low, axis.high, ticks)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    ticks = tuple((float(n * step), elapsed_text(n * step, step)) for n in range(first, last + 1))
    return Axis(low, high, ticks)


def _moment(seconds: float) -> datetime.datetime | None:
    try:
        return datetime.datetime.fromtimestamp(seconds)
    except (ValueError, OverflowError, OSError):
        return None


def clock_text(seconds: float) -> str:
    """A time of day and its date where this machine is."""
    moment = _moment(seconds)
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment else f"{seconds:g}"


def clock_axis(low: float, high: float, count: int) -> Axis:
    """An axis over seconds since 1970, read as this machine's clock; a date where a day begins."""
    step, begin = _step(low, high, count), _moment(low)
    if step is None or begin is None or _moment(high) is None:
        axis = linear_axis(low, max(high, low + 1), count, slack=0)
        places = [low, max(high, low + 1)]
        return Axis(axis.low, axis.high, tuple((at, clock_text(at)[11:]) for at in places))
    offset = (begin.astimezone().utcoffset() or datetime.timedelta()).total_seconds()
    first, last = math.ceil((low + offset) / step), math.floor((high + offset) / step)
    ticks: list[tuple[float, str]] = []
    day = None
    for n in range(first, last + 1):
        moment = _moment(n * step - offset)
        if moment is None:
            continue
        is_new = moment.date() != day and (day is not None or step >= DAY)
        day = moment.date()
        form = "%d %b" if is_new or step >= DAY else "%H:%M:%S" if step < MINUTE else "%H:%M"
        ticks.append((n * step - offset, moment.strftime(form)))
    return Axis(low, high, tuple(ticks))
