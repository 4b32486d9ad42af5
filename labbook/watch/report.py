"""The watcher's lines for people; what comes from a run or from its code is made plain first."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from labbook.wrapping import width_of, wrapped

if TYPE_CHECKING:
    from labbook.watch.discover import Scene
    from labbook.watch.jobs import State

__all__ = [
    "Echo",
    "above",
    "duration",
    "environment_line",
    "note",
    "plain",
    "plan",
    "result_line",
    "show",
]

_NAMED = 6

_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\)"  # OSC and other strings
    r"|\x1b.|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]",
    re.DOTALL,
)


def plain(text: object) -> str:
    """`text` without control sequences; tabs and line ends stay."""
    return _CONTROL.sub("", str(text))


class Lines(Protocol):
    """Something that stands below what is printed, and can be taken away."""

    def clear(self) -> None:
        """Take it away; whoever drew it draws it again."""


_below: list[Lines] = []


@contextmanager
def above(lines: Lines) -> Iterator[None]:
    """Print everything above `lines`, for the time of the block."""
    _below.append(lines)
    try:
        yield
    finally:
        _below.remove(lines)


def show(text: str) -> None:
    """One line on stdout, at once; a terminal gets it folded."""
    _make_way()
    print("\n".join(wrapped(plain(text), width_of(sys.stdout))), flush=True)


def note(text: str) -> None:
    """One line on stderr; a terminal gets it folded."""
    _make_way()
    lines = wrapped(f"labbook watch: {plain(text)}", width_of(sys.stderr))
    print("\n".join(lines), file=sys.stderr, flush=True)


def _make_way() -> None:
    for lines in _below:
        lines.clear()


def plan(scenes: Sequence[Scene], state: State) -> None:
    """What would be evaluated, and why everything else would not."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for job in state.pending:
        row = (job.found.file, job.lane, "to evaluate")
        found.setdefault(job.facts.id, []).append(row)
    for each in state.left:
        found.setdefault(each.run, []).append((each.file, each.lane, each.text))
    for scene in scenes:
        run = scene.facts.id
        if run not in found:
            continue
        show(run if scene.facts.name == run else f"{run} {scene.facts.name}")
        order = {each.file: place for place, each in enumerate(scene.checkpoints)}
        for file, lane, text in sorted(found[run], key=lambda row: (order[row[0]], row[1])):
            show(f"  {file}  {f'{lane}: ' if lane else ''}{text}")
    n_to_do = len(state.pending)
    show(f"{n_to_do} to evaluate, {len(state.left)} not; nothing was evaluated or written")


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


def environment_line(found: object) -> str | None:
    """`torch 2.1.0 then, 2.13.0 now; …`; null when nothing differs that was imported."""
    differs = found.get("differs") if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping) or not differs:
        return None
    words = [f"{each['name']} {each['then']} then, {each['now']} now" for each in differs]
    if len(words) > _NAMED:
        words[_NAMED:] = [f"{len(words) - _NAMED} more"]
    if found.get("n_others"):
        words.append(f"{found['n_others']} packages that are not used here")
    return "; ".join(words)


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
        if lines:
            _make_way()
        for line in lines:
            if self._left <= 0:
                return
            self._left -= 1
            print(f"  | {plain(line[:4096].decode(errors='replace'))}", file=sys.stderr)
            if self._left == 0:
                print("  | (more output of this evaluation is held back)", file=sys.stderr)
        sys.stderr.flush()
