"""How the command line says states, numbers, times and sizes."""

from __future__ import annotations

import bisect
import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import click

from labbook.book.text import clean
from labbook.wrapping import width_of, wrapped

__all__ = [
    "bytes_text",
    "local_time",
    "number_text",
    "say",
    "seconds_text",
    "short_ids",
    "state_paint",
    "value_text",
]

_SHORTEST_ID = 13
"""`YYYYMMDD-HHMM`: the shortest beginning of an id that is shown."""

_COLOURS = {
    "running": "green",
    "failed": "red",
    "killed": "red",
    "interrupted": "yellow",
    "terminated": "yellow",
    "unknown": "magenta",
}


def say(text: str, *, err: bool = False, indent: int = 2) -> None:
    """Print a line of prose, without control sequences; a terminal gets it folded."""
    width = width_of(sys.stderr if err else sys.stdout)
    for line in wrapped(clean(text), width, indent=indent):
        click.echo(line, err=err)


def short_ids(ids: Iterable[str], among: Sequence[str]) -> list[str]:
    """Return beginnings of the ids, equally long and as short as no other id `among` has them."""
    ordered, chosen = sorted(among), list(ids)
    length = _SHORTEST_ID
    for run_id in chosen:
        place = bisect.bisect_left(ordered, run_id)
        neighbours = [*ordered[max(0, place - 1) : place], *ordered[place + 1 : place + 2]]
        common = max((_common(run_id, other) for other in neighbours), default=0)
        length = max(length, common + 1)
    return [run_id[:length] for run_id in chosen]


def _common(left: str, right: str) -> int:
    for i, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return i
    return min(len(left), len(right))


def state_paint(state: str) -> Callable[[str], str]:
    """Return the function that colours text of a run in this state."""
    colour = _COLOURS.get(state)
    return partial(click.style, fg=colour) if colour else str


def local_time(time_ns: int) -> str:
    """Return local time to the second, `2026-11-23 08:10:00`."""
    return datetime.fromtimestamp(time_ns / 1e9).isoformat(" ", "seconds")


def seconds_text(seconds: float | None) -> str:
    """Return at most two units: `42s`, `3m07s`, `2h05m`, `6d03h`; `?` when it is not known."""
    if seconds is None or not math.isfinite(seconds):
        return "?"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def number_text(value: float | None) -> str:
    """Return four significant digits; `-` where there is no value."""
    if value is None:
        return "-"
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e6):
        return str(int(value))
    return f"{value:.4g}"


def value_text(value: Any) -> str:
    """Return an argument or another field as it would be typed; `-` where there is none."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def bytes_text(size: int | None) -> str:
    """Return a size with a binary unit: `912 B`, `1.4 MiB`; `?` when it is not known."""
    if size is None:
        return "?"
    scaled = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if scaled < 1024:
            return f"{scaled:.0f} {unit}" if unit == "B" else f"{scaled:.1f} {unit}"
        scaled /= 1024
    return f"{scaled:.1f} TiB"
