"""How the state of a run looks: a mark, a colour, and its evidence in words."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.style import Style

from labbook.book.fields import seconds_taken
from labbook.book.text import clean
from labbook_tui.lines import Line
from labbook_tui.palette import Ink, seg
from labbook_tui.text import ago, duration, plural

if TYPE_CHECKING:
    from labbook.book.summary import RunSummary
    from labbook_tui.folding import Fold

__all__ = [
    "LOUD",
    "age",
    "dirty_text",
    "fold_mark",
    "last_step",
    "mark",
    "quiet_mark",
    "seconds_taken",
    "silence",
    "state_line",
    "took",
    "warning_line",
]

QUIET_S = 10
"""A live run writes each second; so long without is worth telling."""

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
    seconds = seconds_taken(summary)
    return "–" if seconds is None else duration(seconds)


def silence(summary: RunSummary) -> float | None:
    """Seconds since a live run wrote last; None for one that does not run."""
    if summary.state != "running" or summary.seen_ns is None:
        return None
    return max(0.0, (now_ns() - summary.seen_ns) / 1e9)


def quiet_mark(summary: RunSummary, ink: Ink) -> tuple[str, Style]:
    """Mark and name of the state; of a live run that writes nothing also for how long."""
    text, style = mark(summary.state, ink)
    seconds = silence(summary)
    if seconds is None or seconds < QUIET_S:
        return text, style
    return f"{text} {ago(seconds)}", ink.of("warn") if seconds >= 6 * QUIET_S else style


def fold_mark(fold: Fold, ink: Ink) -> tuple[str, Style]:
    """How many runs a fold has, and how many of them are live or died."""
    live = sum(run.state == "running" for run in fold.runs)
    dead = sum(run.state in LOUD for run in fold.runs)
    sign = ink.glyphs.down if fold.is_open else ink.glyphs.cursor
    words = [f"{sign} {len(fold.runs)} runs", *([f"{live}{ink.glyphs.live}"] if live else [])]
    words += [f"{dead}{ink.glyphs.fail}"] if dead else []
    return " ".join(words), ink.of("bad" if dead else "live" if live else "good")


def last_step(summary: RunSummary) -> int | None:
    """The newest step any series was logged at."""
    return max((s.step for s in summary.stats.values() if s.step is not None), default=None)


def state_line(summary: RunSummary, ink: Ink) -> Line:
    """Mark, name of the state, and since when or how long."""
    text, style = mark(summary.state, ink)
    if summary.state == "running":
        return [seg(text, style), seg(f"  {took(summary)}", ink.of("text"))]
    end = summary.ended_ns or summary.seen_ns
    age = ago((now_ns() - end) / 1e9) if end else ""
    since = f"  {age}{' ago' if age != 'now' else ''}" if age else ""
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
