"""Who watches a book, in lines: the first of them above the checkpoints, all of them on a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labbook.book.text import clean
from labbook_tui.lines import Line, width_of
from labbook_tui.palette import Ink, seg
from labbook_tui.text import cut, duration, grouped, plural

if TYPE_CHECKING:
    from labbook.book.watchers import Watcher, WorkerNow

__all__ = ["FOLDED", "watcher_lines", "watcher_page"]

FOLDED = 2
"""Watchers that stand above the checkpoints; the others are counted."""


def watcher_lines(watchers: tuple[Watcher, ...], width: int, ink: Ink) -> list[Line]:
    """The newest watchers, a line each, and how many more there are; nothing where nobody does."""
    lines = [_line(watcher, _busiest(watcher), width, ink) for watcher in watchers[:FOLDED]]
    hidden = len(watchers) - FOLDED
    workers = sum(max(0, len(watcher.workers) - 1) for watcher in watchers[:FOLDED])
    words = [f"+{grouped(hidden)} more"] if hidden > 0 else []
    words += [plural(workers, "further worker")] if workers else []
    if words:
        more = [seg("   " + ", ".join(words), ink.of("dim")), seg("  w", ink.of("accent"))]
        lines.append([*more, seg(" lists all", ink.of("dim"))])
    return lines


def watcher_page(watchers: tuple[Watcher, ...], width: int, ink: Ink) -> list[Line]:
    """Every watcher, and below it every worker and the evaluations that it makes."""
    lines: list[Line] = []
    for watcher in watchers:
        lines.append(_line(watcher, [], width, ink))
        names = clean(", ".join(watcher.evaluations))
        lines += [[seg(cut(f"   evaluates {names}", width), ink.of("dim"))]] if names else []
        for worker in watcher.workers:
            text = "  ".join(_work(worker))
            if worker.seconds:
                text += f"  for {duration(worker.seconds)}"
            lines.append([seg(cut(f"   {clean(text)}", width), ink.of("text"))])
        lines.append([])
    return lines[:-1]


def _line(watcher: Watcher, workers: list[WorkerNow], width: int, ink: Ink) -> Line:
    words = [f"watcher {watcher.host} {watcher.pid} {watcher.state}"]
    if watcher.why:
        words[0] += f": {watcher.why}"
    for worker in workers:
        words += _work(worker)
    counts = ((watcher.n_pending, "to do"), (watcher.n_waiting, "waiting"))
    words += [f"{n} {what}" for n, what in (*counts, (watcher.n_failed, "failed")) if n]
    if watcher.lag_s:
        words.append(f"behind {duration(watcher.lag_s)}")
    glyph = ink.glyphs.unknown if watcher.is_stale else ink.glyphs.live
    line = [seg(f" {glyph} ", ink.of("warn" if watcher.is_stale else "live"))]
    return [*line, seg(cut(clean("  ".join(words)), width - width_of(line) - 1), ink.of("dim"))]


def _busiest(watcher: Watcher) -> list[WorkerNow]:
    """One worker, of those that evaluate where any does."""
    return sorted(watcher.workers, key=lambda worker: worker.state != "evaluating")[:1]


def _work(worker: WorkerNow) -> list[str]:
    """What a worker is at, and how far."""
    if worker.state != "evaluating":
        return [f"{worker.device}: {worker.state}"]
    step = f" step {grouped(worker.step)}" if worker.step is not None else ""
    words = [f"{worker.device}: {worker.name}{step} {worker.evaluation}"]
    if worker.done is not None:
        of = f" of {grouped(worker.total)}" if worker.total else ""
        rate = f", {worker.rate:,.0f}/s" if worker.rate else ""
        words.append(f"{grouped(worker.done)}{of}{rate}")
    return words
