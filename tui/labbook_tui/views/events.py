"""Events and faults: what happened besides numbers, newest first."""

from __future__ import annotations

import time
from typing import ClassVar

from labbook_tui.lines import Line
from labbook_tui.models import EventRow, EventsModel
from labbook_tui.palette import Ink, seg
from labbook_tui.text import cut, grouped, pad
from labbook_tui.views.base import Scrolled

__all__ = ["EventsView", "event_line"]

_BAD = {"fault", "failed", "error", "killed", "alert"}
_WARN = {"warning", "interrupted", "terminated", "dirty", "gap"}


class EventsView(Scrolled):
    """Time, step, kind and text."""

    KIND = "events"
    NAME = "Events"
    KEYS: ClassVar[list[tuple[str, str]]] = [("j k", "scroll"), ("/", "find"), ("n N", "next")]

    def __init__(self) -> None:
        super().__init__()
        self.model: EventsModel | None = None

    def accept(self, model: object) -> None:
        """Keep the model."""
        if isinstance(model, EventsModel):
            self.model = model

    def rows(self, width: int) -> list[Line]:
        """Heading and events."""
        model = self.model
        if model is None:
            return self.waiting()
        if not model.rows:
            return self.note(
                "no events, no faults. labbook.log writes numbers; run.event(text) an event"
            )
        head: Line = [seg(f" {'time':<8}  {'step':>9}  {'kind':<12}  what", self.ink.of("dim"))]
        return [head, *(event_line(row, width, self.ink) for row in model.rows)]


def event_line(row: EventRow, width: int, ink: Ink) -> Line:
    """One event."""
    at = time.strftime("%H:%M:%S", time.localtime(row.time_ns / 1e9)) if row.time_ns else ""
    step = grouped(row.step) if row.step is not None else ""
    meaning = "bad" if row.kind in _BAD else "warn" if row.kind in _WARN else "text"
    return [
        seg(f" {at if row.kind else '':<8}  {step:>9}  ", ink.of("dim")),
        seg(pad(row.kind, 12) + "  ", ink.of(meaning)),
        seg(cut(row.text, max(0, width - 36)), ink.of("text")),
    ]
