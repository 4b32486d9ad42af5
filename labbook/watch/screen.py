"""A few lines at the bottom of a terminal that say what the workers are doing.

They are drawn on stderr, only on a terminal, a few times a second at most and only when they
changed; whatever is printed goes above them. Each line fits, so none ever wraps, and nothing of
the terminal's state is changed: taking the lines away is all there is to restore.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from labbook.watch.report import plain

__all__ = ["Screen", "bar", "lines"]

_EVERY_S = 0.25
_BAR = 16
_PARTS = " ▏▎▍▌▋▊▉█"


class Screen:
    """The lines, as they stand on the terminal now."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._shown: list[str] = []
        self._drawn = -_EVERY_S
        self._is_live = self._stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"

    @property
    def is_due(self) -> bool:
        """True on a terminal when the lines may be drawn again."""
        return self._is_live and time.monotonic() - self._drawn >= _EVERY_S

    def draw(self, found: Sequence[str]) -> None:
        """Show these lines in place of those before."""
        width = self._width()
        cut = [plain(line)[: width - 1] for line in found]
        if not self.is_due or cut == self._shown:
            return
        self._drawn = time.monotonic()
        self._write(self._erasing() + "\n".join(cut))
        self._shown = cut

    def clear(self) -> None:
        """Take the lines away, so that something can be printed, or because it is over."""
        if self._shown:
            self._write(self._erasing())
            self._shown = []
            self._drawn = -_EVERY_S  # and have them back at once

    def _erasing(self) -> str:
        """To the first of our lines, and nothing from there on."""
        if not self._shown:
            return ""
        up = len(self._shown) - 1
        return (f"\x1b[{up}F" if up else "\r") + "\x1b[J"

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            self._is_live = False  # the terminal went away; the work goes on

    def _width(self) -> int:
        try:
            return max(20, os.get_terminal_size(self._stream.fileno()).columns)
        except (OSError, ValueError):
            return 80


def lines(standing: Mapping[str, Any]) -> list[str]:
    """A line a worker, and one for all: what they do, how fast, and what is left to do."""
    workers = standing["workers"]
    total = _total(standing)
    if len(workers) == 1:
        return [f"{_worker(workers[0])}  {total}"]
    width = len(str(len(workers)))
    return [*(f"{n + 1:>{width}} {_worker(each)}" for n, each in enumerate(workers)), total]


def bar(done: int, total: int, width: int = _BAR) -> str:
    """`done` of `total` as blocks, to an eighth of a cell."""
    eighths = round(width * 8 * min(1.0, done / total)) if total > 0 else 0
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_PARTS[rest] if rest else "")).ljust(width)


def _worker(now: Mapping[str, Any]) -> str:
    if now["state"] != "evaluating":
        return f"{now['state']} on {now['device']}"
    name = str(now["name"])
    short = name if len(name) <= 18 else name[:17] + "…"
    step = "no step" if now["step"] is None else f"step {now['step']}"
    what = f"{short} {step} {now['evaluation']}"
    done, total = now.get("done"), now.get("total")
    if done is None:
        return f"{what} {now['seconds']} s"
    how = f"▕{bar(done, total)}▏ {done * 100 // total} %" if total else f"{done} examples"
    rate = f" {now['rate']:,.0f}/s" if now.get("rate") else ""
    return f"{what} {how}{rate}"


def _total(standing: Mapping[str, Any]) -> str:
    words = [f"{standing['n_pending']} to do"]
    if standing["lag_s"]:
        words.append(f"behind {_age(standing['lag_s'])}")
    if standing["n_failed"]:
        words.append(f"{standing['n_failed']} failed")
    words.append(f"{standing['n_results']} done")
    if standing["state"] == "draining":
        words.append("ending (again to abandon)")
    return " · ".join(words)


def _age(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
