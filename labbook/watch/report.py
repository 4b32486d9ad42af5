"""The watcher's lines for people; what comes from a run or from its code is made plain first."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from typing import Any

__all__ = ["Echo", "duration", "note", "plain", "result_line", "show"]

_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\)"  # OSC and other strings
    r"|\x1b.|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]",
    re.DOTALL,
)


def plain(text: object) -> str:
    """`text` without control sequences; tabs and line ends stay."""
    return _CONTROL.sub("", str(text))


def show(text: str) -> None:
    """One line on stdout, at once."""
    print(plain(text), flush=True)


def note(text: str) -> None:
    """One line on stderr."""
    print(f"labbook watch: {plain(text)}", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """`0.21 s`, `12.3 s`, `4 min 05 s`."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"


def result_line(run: str, step: int | None, lane: str, answer: Mapping[str, Any]) -> str:
    """What one result says: run, step, evaluation, examples, metrics, seconds."""
    metrics = answer.get("metrics") or {}
    shown = "  ".join(f"{name} {_number(value)}" for name, value in metrics.items())
    at = "no step" if step is None else f"step {step}"
    count = answer.get("n_examples")
    counted = "no rows" if count is None else f"{count} examples"
    seconds = duration(float(answer.get("seconds") or 0.0))
    line = f"{run}  {at}  {lane}  {counted}  {shown}  {seconds}"
    bad = {name: n for name, n in (answer.get("n_nonfinite") or {}).items() if n}
    if bad:
        line += "  non-finite: " + ", ".join(f"{name} in {n}" for name, n in bad.items())
    return line


def _number(value: Any) -> str:
    if isinstance(value, int | float) and math.isfinite(value):
        return f"{value:.4g}"
    return "not finite" if value is None else str(value)


class Echo:
    """Passes on what the user's code prints, a bounded number of lines for each evaluation."""

    def __init__(self, limit: int = 100) -> None:
        self._limit = limit
        self._left = limit
        self._partial = b""

    def begin(self) -> None:
        """A new evaluation: it may print again."""
        self._left = self._limit

    def feed(self, raw: bytes) -> None:
        """Print the complete lines of `raw` on stderr."""
        if self._left <= 0:
            return
        lines = (self._partial + raw[: 1 << 18]).split(b"\n")
        self._partial = lines.pop()[-4096:]
        for line in lines:
            if self._left <= 0:
                return
            self._left -= 1
            print(f"  | {plain(line[:4096].decode(errors='replace'))}", file=sys.stderr)
            if self._left == 0:
                print("  | (more output of this evaluation is held back)", file=sys.stderr)
        sys.stderr.flush()
