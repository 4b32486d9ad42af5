"""How the state of a run looks: a mark, a colour, and its evidence in words."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.style import Style

from labbook.book.text import clean
from labbook_tui.lines import Line
from labbook_tui.palette import Ink, seg
from labbook_tui.text import ago, duration, plural

if TYPE_CHECKING:
    from labbook.book.summary import RunSummary

__all__ = ["LOUD", "age", "dirty_text", "last_step", "mark", "state_line", "took", "warning_line"]

_LOOKS = {
    "running": ("live", "live"),
    "finished": ("done", "good"),
    "failed": ("fail", "bad"),
    "interrupted": ("stop", "warn"),
    "terminated": ("stop", "warn"),
    "killed": ("fail", "bad"),
}
LOUD = frozenset({"failed", "interrupted", "terminated", "killed", "unknown"})
"""States whose evidence is worth a line."""


def mark(state: str, ink: Ink) -> tuple[str, Style]:
    """Mark and name of a state, and their style."""
    glyph, meaning = _LOOKS.get(state, ("unknown", "dim"))
    return f"{getattr(ink.glyphs, glyph)} {clean(state)}", ink.of(meaning)


def now_ns() -> int:
    """The present in nanoseconds since 1970."""
    return time.time_ns()


def age(summary: RunSummary) -> str:
    """Since when the run exists."""
    return ago((now_ns() - summary.created_ns) / 1e9) if summary.created_ns else "–"


def took(summary: RunSummary) -> str:
    """How long it ran: to its end, to now while it runs, else to its last sign of life."""
    end = summary.ended_ns or (now_ns() if summary.state == "running" else summary.seen_ns)
    if end is None or not summary.created_ns:
        return "–"
    return duration((end - summary.created_ns) / 1e9)


def last_step(summary: RunSummary) -> int | None:
    """The newest step any series was logged at."""
    return max((s.step for s in summary.stats.values() if s.step is not None), default=None)


def state_line(summary: RunSummary, ink: Ink) -> Line:
    """Mark, name of the state, and since when or how long."""
    text, style = mark(summary.state, ink)
    if summary.state == "running":
        return [seg(text, style), seg(f"  {took(summary)}", ink.of("text"))]
    end = summary.ended_ns or summary.seen_ns
    since = f"  {ago((now_ns() - end) / 1e9)} ago" if end else ""
    return [seg(text, style), seg(f"{since}  took {took(summary)}", ink.of("dim"))]


def dirty_text(summary: RunSummary) -> str:
    """Which files were not as committed when the run started; empty when none or not known."""
    if not summary.dirty:
        return ""
    names = " ".join(clean(path) for path in summary.dirty)
    return f"dirty tree: {plural(len(summary.dirty), 'file')} not as committed: {names}"


def warning_line(summary: RunSummary, ink: Ink) -> Line:
    """What must not be missed: how it died, and whether its code was committed."""
    line: Line = []
    if summary.state in LOUD and summary.why:
        _, style = mark(summary.state, ink)
        line += [seg(f"{summary.state}: {clean(summary.why)}", style), seg("   ")]
    dirty = dirty_text(summary)
    if dirty:
        line += [seg(f"{ink.glyphs.dirty} {dirty}", ink.of("warn"))]
    elif summary.dirty is None and summary.commit is None:
        line += [seg("no git commit recorded", ink.of("dim"))]
    return line
