"""Checks and events: what happened besides numbers, and what is to be said against the run."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from labbook.book.text import clean
from labbook_tui.advice import advice_on
from labbook_tui.lines import Line, rule, under, width_of
from labbook_tui.models import EventRow, EventsModel
from labbook_tui.palette import Ink, seg
from labbook_tui.read.checks import KINDS
from labbook_tui.shown import Shown
from labbook_tui.text import cut, folded, grouped, pad, value_text
from labbook_tui.views.base import Scrolled

__all__ = ["EventsView", "event_line"]

_BAD = {"fail", "fault", "failed", "error", "killed", "alert", "nonfinite", "damage"}
_WARN = {
    "warn",
    "finding",
    "warning",
    "interrupted",
    "terminated",
    "dirty",
    "gap",
    "remark",
    "check",
    "incomplete",
}
_LABELLED = ("where", "advice")
"""What a finding says besides its text and what to do, each on a line of its own."""
_MOST = 6
"""Lines for the whole text of the one under the cursor."""


class EventsView(Scrolled):
    """Time, step, kind and text, newest first; what holds for the whole run on top."""

    KIND = "events"
    NAME = "Events"
    KEYS: ClassVar[list[tuple[str, str]]] = [
        ("j k", "event"),
        ("enter", "curves there"),
        ("f", "kind"),
        ("/", "find"),
    ]
    EXPLAINED: ClassVar[list[tuple[str, str]]] = [
        ("enter", "the curves, with the cursor at its step"),
        ("f F", "only the next, the previous kind; all"),
        ("n N", "next, previous that was found"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "kind(1)", "next kind", show=False),
        Binding("F", "kind(-1)", "previous kind", show=False),
        Binding("enter", "open", "curves at its step", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.model: EventsModel | None = None
        self.cursor = 0
        self.kind = ""

    def accept(self, model: object) -> None:
        """Keep the model; the cursor stays on its event."""
        if isinstance(model, EventsModel):
            old = self.current if self.cursor else None
            self.model = model
            rows = self.listed
            if old is not None and old in rows:
                self.cursor = rows.index(old)

    @property
    def listed(self) -> list[EventRow]:
        """Those of the chosen kind; the lines of a traceback go with their end."""
        rows = list(self.model.rows) if self.model else []
        return [row for row in rows if self.kind in {"", row.kind}]

    @property
    def current(self) -> EventRow | None:
        """The one under the cursor."""
        rows = self.listed
        return rows[min(self.cursor, len(rows) - 1)] if rows else None

    def draw(self, width: int, height: int) -> list[Line]:
        """Heading, events, and the whole text of the one under the cursor."""
        model, ink = self.model, self.ink
        if model is None:
            return self.waiting()
        if not model.rows:
            return self.note(
                "nothing to report: no events, no faults, no remarks. "
                'run.event("text") records an event'
            )
        rows = self.listed
        if not rows:
            return self.note(f"no {self.kind} any more: f shows another kind")
        self.cursor = min(self.cursor, len(rows) - 1)
        about = self._about(rows[self.cursor], width)
        body = max(1, height - 1 - len(about))
        self.top = min(max(self.top, self.cursor - body + 1), self.cursor, len(rows))
        what = (
            f"what  ({self.kind} only, {len(rows)} of {len(model.rows)})" if self.kind else "what"
        )
        lines: list[Line] = [
            [seg(f" {'time':<8}  {'step':>9}  {'kind':<12}  {what}", ink.of("dim"))]
        ]
        for place in range(self.top, min(len(rows), self.top + body)):
            line = event_line(rows[place], width, ink)
            if self._is_found(rows[place]):
                line = [seg(part.text, ink.of("accent", "b")) for part in line]
            if place == self.cursor:
                line = under([*line, seg(" " * max(0, width - width_of(line)))], ink.cursor)
            lines.append(line)
        lines += [[] for _ in range(body - (len(lines) - 1))]
        return [*lines, *about]

    def _about(self, row: EventRow, width: int) -> list[Line]:
        """The text and fields where they say more than the line above, and what to do."""
        ink, advice = self.ink, advice_on(row)
        labelled = _LABELLED if row.kind in KINDS else ()
        told = {*labelled, "fix"} if labelled or row.kind == "finding" else set()
        fields = clean(
            "  ".join(f"{k}={value_text(v)}" for k, v in row.fields.items() if k not in told)
        )
        lines: list[Line] = []
        if len(row.text) > width - 36 or fields:
            lines += [
                [seg(f" {part}", ink.of("text"))] for part in folded(row.text, width - 2, _MOST)
            ]
        if fields:
            lines += [[seg(f" {part}", ink.of("dim"))] for part in folded(fields, width - 2, 2)]
        for name in labelled:
            lines += self._labelled(name, clean(value_text(row.fields.get(name, ""))), "text")
        lines += self._labelled("to do", advice, "accent")
        if not lines:
            return []
        return [rule([seg(row.kind or "traceback", ink.of("dim"))], width, ink), *lines]

    def _labelled(self, label: str, text: str, meaning: str) -> list[Line]:
        """A text behind its label, folded; nothing for no text."""
        parts = folded(text, self.size.width - 11, 3) if text else []
        return [
            [
                seg(f" {label if at == 0 else '':<9}", self.ink.of("dim")),
                seg(part, self.ink.of(meaning)),
            ]
            for at, part in enumerate(parts)
        ]

    def _is_found(self, row: EventRow) -> bool:
        return bool(self.found) and self.found in f"{row.kind} {row.text}".lower()

    def search(self, text: str) -> str:
        """Mark what holds the text and go to the first."""
        self.found = text.lower()
        hits = [place for place, row in enumerate(self.listed) if self._is_found(row)]
        if hits and self.cursor not in hits:
            self.cursor = hits[0]
        self.redraw()
        return f"{len(hits)} found" if text else ""

    def action_next(self, by: int) -> None:
        """To the next or previous match."""
        hits = [place for place, row in enumerate(self.listed) if self._is_found(row)]
        ahead = [place for place in hits if (place - self.cursor) * by > 0]
        if ahead:
            self.cursor = ahead[0] if by > 0 else ahead[-1]
            self.redraw()

    def action_kind(self, by: int) -> None:
        """Show one kind only; all after the last."""
        found = dict.fromkeys(row.kind for row in (self.model.rows if self.model else ()))
        kinds = ["", *sorted(kind for kind in found if kind)]
        place = kinds.index(self.kind) if self.kind in kinds else 0
        self.kind = kinds[(place + by) % len(kinds)]
        self.cursor = self.top = 0
        self.redraw()

    def action_move(self, by: int) -> None:
        """To another event."""
        self.cursor = min(max(0, self.cursor + by), max(0, len(self.listed) - 1))
        self.redraw()

    def action_page(self, by: int) -> None:
        """By most of a screen."""
        self.action_move(by * max(1, self.size.height - 3))

    def action_ends(self, last: int) -> None:
        """Newest or oldest."""
        self.action_move(10**9 if last else -(10**9))

    def action_open(self) -> None:
        """The curves at the event's step."""
        row = self.current
        show, say = (getattr(self.screen, "show_step", None), getattr(self.app, "say", None))
        if row is not None and row.step is not None and show is not None:
            show(row.step)
        elif say is not None:
            say("no step is known here", "dim")

    def close(self) -> bool:
        """Escape shows all kinds again."""
        if not self.kind:
            return False
        self.kind = ""
        self.redraw()
        return True

    def copied(self) -> str:
        """The text of the one under the cursor."""
        row = self.current
        return row.text if row else ""

    def shown(self) -> Shown | None:
        """The events of the chosen kind."""
        if self.model is None:
            return None
        rows = [(row.time_ns, row.step, row.kind, row.text) for row in self.listed]
        return Shown("events", ("time_ns", "step", "kind", "text"), rows)

    def remembered(self) -> dict[str, Any]:
        """The kind."""
        return {"kind": self.kind}

    def recall(self, memory: dict[str, Any]) -> None:
        """The kind, where it is one."""
        kind = memory.get("kind")
        self.kind = kind if isinstance(kind, str) else ""


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
