"""What a benchmark hands back, and the Markdown made of it."""

from __future__ import annotations

import datetime
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One measured figure. `floor` was measured in the same run, in the same unit."""

    what: str
    value: float
    unit: str  # "µs", "ms", "s", "%", "MiB", "B/point", or "" for a count
    floor: float | None = None
    against: str = ""  # what the floor is
    goal: str = ""  # as the design words it
    met: bool | None = None
    note: str = ""


def as_json(figures: list[Figure]) -> list[dict[str, Any]]:
    return [asdict(figure) for figure in figures]


def machine() -> str:
    """The machine, without its name."""
    cpu = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                cpu = line.partition(":")[2].strip()
                break
    except OSError:
        pass  # not Linux: the plain word has to do
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = os.getloadavg()[0]
    return (
        f"{cpu}, {cores} cores; {platform.system()} {platform.release()}; "
        f"{platform.python_implementation()} {platform.python_version()}; "
        f"{datetime.date.today().isoformat()}; load {load:.1f}"
    )


def table(figures: list[Figure]) -> str:
    """One benchmark as a Markdown table."""
    lines = ["| figure | measured | against | ratio | goal | |", "|---|---:|---|---:|---|---|"]
    for f in figures:
        against = f"{f.against} {number(f.floor, f.unit)}" if f.floor is not None else ""
        ratio = f"{f.value / f.floor:.2f}" if f.floor else ""
        met = {True: "met", False: "**not met**", None: ""}[f.met]
        what = f.what + (f" ({f.note})" if f.note else "")
        cells = (what, number(f.value, f.unit), against, ratio, f.goal, met)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def number(value: float | None, unit: str) -> str:
    """Three significant digits; a count as it is."""
    if value is None:
        return "–"
    text = f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
    return f"{text} {unit}".strip()
