"""This machine in one page: GPUs, processors, memory, traffic, disks, and its live runs."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from textual.binding import Binding, BindingType

from labbook_tui.host_lines import WINDOWS, history_charts, host_lines
from labbook_tui.lines import Line, fit, under
from labbook_tui.models import HostModel
from labbook_tui.shown import Shown
from labbook_tui.views.base import Scrolled

__all__ = ["HostView"]

CHART_ROWS, MOST_ROWS = 8, 18
"""Charts of the history take what is free below, when it is at least so much."""


class HostView(Scrolled):
    """Lines of the machine, then its live runs under a cursor."""

    KIND = "host"
    NAME = "This machine"
    KEYS: ClassVar[list[tuple[str, str]]] = [
        ("j k", "run"),
        ("enter", "open it"),
        ("w", "10m/1m"),
        ("/", "find"),
    ]
    EXPLAINED: ClassVar[list[tuple[str, str]]] = [
        ("j k", "next, previous live run"),
        ("enter", "open the run"),
        ("w", "history: ten minutes or one"),
        ("n N", "next, previous line that was found"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w", "window", "how much history", show=False),
        Binding("enter", "open", "open the run", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.model: HostModel | None = None
        self.window = next(iter(WINDOWS))
        self.cursor = 0
        self._place = 0  # the line under the cursor

    def accept(self, model: object) -> None:
        """Keep the model; the cursor stays on its run."""
        if isinstance(model, HostModel):
            before = self.run_id
            self.model = model
            ids = [run["id"] for run in model.now["runs"]]
            self.cursor = ids.index(before) if before in ids else 0

    @property
    def run_id(self) -> str:
        """The run under the cursor; "" without live runs."""
        runs = self.model.now["runs"] if self.model else []
        return str(runs[self.cursor]["id"]) if self.cursor < len(runs) else ""

    def rows(self, width: int) -> list[Line]:
        """All lines, the run under the cursor marked."""
        if self.model is None:
            return self.waiting()
        lines = host_lines(self.model, width, self.window, self.ink)
        count = len(self.model.now["runs"])
        if count:
            self._place = len(lines) - count + self.cursor
            lines[self._place] = under(fit(lines[self._place], width), self.ink.cursor)
        room = self.size.height - len(lines) - 1
        if room >= CHART_ROWS:
            size = (width, min(room, MOST_ROWS))
            lines += [[], *history_charts(self.model, size, self.window, self.ink)]
        return lines

    def action_window(self) -> None:
        """Ten minutes, or one."""
        choices = list(WINDOWS)
        self.window = choices[(choices.index(self.window) + 1) % len(choices)]
        self.redraw()

    def action_move(self, by: int) -> None:
        """Among the runs; without any, or past them, scroll."""
        count = len(self.model.now["runs"]) if self.model else 0
        if count and abs(by) == 1:
            self.cursor = min(max(0, self.cursor + by), count - 1)
            self.rows(self.size.width)
            self.top = min(max(self.top, self._place - self.size.height + 1), self._place)
            self.redraw()
        else:
            super().action_move(by)

    def action_open(self) -> None:
        """The page of the run under the cursor."""
        opened = getattr(self.screen, "open_run", None)
        if opened is not None and self.run_id:
            opened(self.run_id)

    def copied(self) -> str:
        """The id of the run under the cursor, else the machine's name."""
        return self.run_id or (str(self.model.now["host"]) if self.model else "")

    def shown(self) -> Shown | None:
        """The history, a gauge a row: what it is now, its least and greatest."""
        if self.model is None:
            return None
        rows = []
        for name, gauge in self.model.history.items():
            known = gauge.values[np.isfinite(gauge.values)]
            now = gauge.values[-1] if len(gauge.values) else math.nan
            least, most = (float(known.min()), float(known.max())) if len(known) else (None, None)
            rows.append((name, float(now) if math.isfinite(now) else None, least, most))
        return Shown("machine", ("gauge", "now", "least", "greatest"), rows)

    def remembered(self) -> dict[str, Any]:
        """How much history."""
        return {"window": self.window}

    def recall(self, memory: dict[str, Any]) -> None:
        """Take it up."""
        if memory.get("window") in WINDOWS:
            self.window = memory["window"]
