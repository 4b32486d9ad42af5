"""Gauges: what each is now, and how it went over the run."""

from __future__ import annotations

import math
import re
from typing import Any, ClassVar

import numpy as np
from rich.cells import cell_len

from labbook_tui.gauges import bar, sparkline
from labbook_tui.lines import Line
from labbook_tui.models import Gauge, GaugesModel
from labbook_tui.palette import Ink, seg
from labbook_tui.shown import Shown
from labbook_tui.text import bytes_text, duration, folded, number, pad
from labbook_tui.views.base import Scrolled

__all__ = ["MachineView", "gauge_line", "reading"]

WINDOWS = (0, 600, 60)
"""Seconds shown: the whole run, ten minutes, one minute."""

BARS_FROM = 100
"""Columns from which percentages get a bar beside their sparkline."""
ENDS = 25
"""Columns for the least and greatest value: `  473.2 KiB/s – 1.1 MiB/s`."""

_PERCENT = re.compile(r"percent|util|load_pct|%|_pct$")
_BYTES = re.compile(r"bytes")
_DEVICE = re.compile(r"gpu[/._]\d+|[^/._]*")


class MachineView(Scrolled):
    """One line a gauge: name, value, bar where it has a whole, sparkline, lowest and highest."""

    KIND = "machine"
    NAME = "Machine"
    KEYS: ClassVar[list[tuple[str, str]]] = [("j k", "scroll"), ("w", "run/10m/1m"), ("/", "find")]
    EXPLAINED: ClassVar[list[tuple[str, str]]] = [
        ("w", "whole run, its last ten minutes or one"),
        ("n N", "next, previous line that was found"),
    ]
    BINDINGS: ClassVar = [("w", "window", "how much time is shown")]

    def __init__(self) -> None:
        super().__init__()
        self.model: GaugesModel | None = None
        self.window = 0

    def accept(self, model: object) -> None:
        """Keep the model."""
        if isinstance(model, GaugesModel):
            self.model = model

    def action_window(self) -> None:
        """The whole run, its last ten minutes, its last minute."""
        self.window = WINDOWS[(WINDOWS.index(self.window) + 1) % len(WINDOWS)]
        self.redraw()

    def remembered(self) -> dict[str, Any]:
        """How much time is shown."""
        return {"window": self.window}

    def recall(self, memory: dict[str, Any]) -> None:
        """Take it up."""
        if memory.get("window") in WINDOWS:
            self.window = memory["window"]

    def copied(self) -> str:
        """What it came to, and each gauge as it is now."""
        if self.model is None:
            return ""
        now = [f"{g.name}\t{g.values[-1]:g}" for g in self.model.gauges if len(g.values)]
        return "\n".join([*self.model.use, *now])

    def shown(self) -> Shown | None:
        """A gauge a row, over the time in sight."""
        if self.model is None:
            return None
        last = max((float(g.seconds[-1]) for g in self.model.gauges if len(g.seconds)), default=0.0)
        since = last - self.window if self.window else -math.inf
        rows: list[tuple[object, ...]] = []
        for gauge in self.model.gauges:
            values = gauge.values[gauge.seconds >= since]
            known = values[np.isfinite(values)]
            figures = (known.min(), known.mean(), known.max()) if len(known) else (None,) * 3
            now = values[-1] if len(values) and np.isfinite(values[-1]) else None
            figures = (now, *figures)
            rows.append((gauge.name, *(None if v is None else float(v) for v in figures)))
        return Shown("gauges", ("gauge", "last", "least", "mean", "greatest"), rows)

    def rows(self, width: int) -> list[Line]:
        """Heading and gauges, a blank line between devices."""
        model = self.model
        if model is None:
            return self.waiting()
        use: list[Line] = [
            [seg(f" {part}", self.ink.of("text", "b"))]
            for line in model.use
            for part in _folded_between(line, width - 2)
        ]
        if not model.gauges:
            text = "no gauges were recorded: labbook.start(gauges=1.0) samples once a second"
            return [*use, *self.note(text)]
        last = max((float(g.seconds[-1]) for g in model.gauges if len(g.seconds)), default=0.0)
        span = f"last {duration(self.window)}" if self.window else f"whole run, {duration(last)}"
        names = min(32, width * 2 // 5, max(len(gauge.name) for gauge in model.gauges))
        bars = " " * 12 if width >= BARS_FROM else ""
        head = f" {'gauge'.ljust(names)}  {'now':>10}{bars}  {span}"
        lines: list[Line] = [*use, [], [seg(head, self.ink.of("dim"))]] if use else []
        lines = lines or [[seg(head, self.ink.of("dim"))]]
        group = ""
        for gauge in model.gauges:
            device = _DEVICE.match(gauge.name)[0]  # type: ignore[index]  # it matches everything
            if group and device != group:
                lines.append([])
            group = device
            lines.append(
                gauge_line(
                    gauge, names, width, last - self.window if self.window else 0.0, self.ink
                )
            )
        return lines


def _folded_between(line: str, width: int) -> list[str]:
    """Figures with ` · ` between them, broken only there; one alone that is too wide is folded."""
    lines: list[str] = []
    for figure in line.split(" · "):
        joined = f"{lines[-1]} · {figure}" if lines else figure
        if lines and cell_len(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(figure)
    return [part for line in lines for part in folded(line, width, 3)]


def reading(name: str, value: float) -> str:
    """A gauge's value with the unit its name tells."""
    if math.isnan(value):
        return "–"
    if _PERCENT.search(name):
        return f"{value:.0f} %"
    if _BYTES.search(name):
        return bytes_text(value) + ("/s" if "per_s" in name or name[-2:] == "_s" else "")
    if name.endswith("joules"):
        return f"{value / 3600:.4g} Wh"
    if name.endswith("bitmask"):
        return f"{int(value):#x}" if math.isfinite(value) else "–"
    for ending, unit in (
        ("watts", "W"),
        ("_w", "W"),
        ("celsius", "°C"),
        ("_c", "°C"),
        ("mhz", "MHz"),
    ):
        if name.endswith(ending):
            return f"{value:.0f} {unit}"
    return f"{value:g}" if value.is_integer() and abs(value) < 1e6 else number(value, 3)


def gauge_line(gauge: Gauge, names: int, width: int, since: float, ink: Ink) -> Line:
    """One gauge."""
    shown = gauge.values[gauge.seconds >= since] if since else gauge.values
    known = shown[np.isfinite(shown)]
    now = float(gauge.values[-1]) if len(gauge.values) else float("nan")
    percent = bool(_PERCENT.search(gauge.name))
    bars = 12 if width >= BARS_FROM else 0
    line: Line = [
        seg(f" {pad(gauge.name, names)}  ", ink.of("text")),
        seg(f"{reading(gauge.name, now):>10}", ink.of("text", "b")),
    ]
    if bars:
        line.append(
            seg("  " + (bar(now / 100, 10, ink.glyphs) if percent else " " * 10), ink.of("live"))
        )
    ends = ""
    if len(known):
        low, high = (reading(gauge.name, float(v)) for v in (known.min(), known.max()))
        ends = f"  {low} – {high}" if low != high else ""
    room = width - names - (15 + bars) - ENDS
    top = max(100.0, float(known.max())) if len(known) else 100.0  # several cores add up
    limits = (0.0, top) if percent else (None, None)
    line += [
        seg("  "),
        seg(sparkline(shown, max(4, room), ink.glyphs, *limits), ink.of("accent")),
        seg(ends, ink.of("dim")),
    ]
    return line
