"""Compares what two runs recorded: every series, and every chosen set's outputs.

Two values are equal bit for bit, or both NaN, or both missing; within the tolerance when
`|a - b| <= atol + rtol * |a|`, as in `numpy.isclose` with `a`, the first run, as the reference.
Rows are paired in order of step; those after the first step that only one of the runs has are not
compared any more.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass

from labbook.book.runreader import RunReader
from labbook.restore.columns import Column, Tolerance, chosen_columns, series_column
from labbook.restore.pairing import Divergence, Pairing, pair

__all__ = ["Comparison", "Part", "compare", "is_timing"]

_LAST = frozenset({
    "second", "seconds", "sec", "secs", "ms", "milliseconds", "minutes", "hours", "time",
    "walltime", "elapsed", "duration", "eta", "throughput", "fps",
})  # fmt: skip
_FIRST = frozenset({"time", "times", "timing", "timings", "timer"})
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


@dataclass(frozen=True)
class Part:
    """One series, or one column of a chosen set, in both runs.

    `why_not_counted` is null when the part counts towards the verdict.
    """

    kind: str
    name: str
    pairing: Pairing
    why_not_counted: str | None = None

    @property
    def is_counted(self) -> bool:
        """Whether a difference here makes the runs different."""
        return self.why_not_counted is None


@dataclass(frozen=True)
class Comparison:
    """What comparing the runs `a` and `b` gave; series first, then chosen sets, by name."""

    a: str
    b: str
    tolerance: Tolerance
    parts: tuple[Part, ...]

    @property
    def verdict(self) -> str:
        """`bitwise`, `within` (the tolerance), `different`, or `incomparable`: nothing to pair."""
        counted = [part.pairing.verdict for part in self.parts if part.is_counted]
        if not counted:
            return "incomparable"
        return next((v for v in ("different", "within") if v in counted), "bitwise")

    @property
    def first(self) -> Divergence | None:
        """The earliest divergence of what counts (a step that is null comes last)."""
        found = [p.pairing.first for p in self.parts if p.is_counted and p.pairing.first]
        return min(found, key=_when, default=None)

    @property
    def n_rows(self) -> int:
        """Pairs of rows that were compared and count."""
        return sum(part.pairing.n_compared for part in self.parts if part.is_counted)


def compare(
    a: RunReader,
    b: RunReader,
    *,
    rtol: float = 0.0,
    atol: float = 0.0,
    ignore: tuple[str, ...] = (),
    timings: bool = False,
) -> Comparison:
    """Compare two runs.

    Series that measure time by their name (`is_timing`) and those that match a pattern of `ignore`
    are compared and reported, and do not count; `timings=True` counts the former. Raises
    `DamagedFile` when the rows of a run cannot be read.
    """
    tolerance = Tolerance(rtol, atol)
    parts = [
        Part(kind, name, pair(left, right, tolerance), _why_not(kind, name, ignore, timings))
        for kind, name, left, right in (*_series(a, b), *_chosen(a, b))
    ]
    return Comparison(a.id, b.id, tolerance, tuple(parts))


def is_timing(name: str) -> bool:
    """Whether a series measures time, which no two runs share.

    Its last word is one of time, seconds, sec, ms, elapsed, duration, eta, throughput, fps and the
    like (`step_time`, `epoch_seconds`, `samples_per_second`), or it ends in `/s`, or its first
    folder is `time`, `timing` or `timer` (`timing/forward`).
    """
    folders = name.split("/")
    words = [word.lower() for word in _WORDS.findall(name)]
    is_rate = len(folders) > 1 and folders[-1] == "s"
    in_folder = len(folders) > 1 and folders[0].lower() in _FIRST
    return is_rate or in_folder or bool(words and words[-1] in _LAST)


def _why_not(kind: str, name: str, ignore: tuple[str, ...], timings: bool) -> str | None:
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in ignore):
        return "ignored"
    return "a timing" if kind == "series" and not timings and is_timing(name) else None


_Found = tuple[str, str, Column | None, Column | None]


def _series(a: RunReader, b: RunReader) -> Iterator[_Found]:
    in_a, in_b = set(a.names()), set(b.names())
    for name in sorted(in_a | in_b):
        left = series_column(a.series(name), name) if name in in_a else None
        right = series_column(b.series(name), name) if name in in_b else None
        yield "series", name, left, right


def _chosen(a: RunReader, b: RunReader) -> Iterator[_Found]:
    for chosen in sorted({*a.chosen_sets(), *b.chosen_sets()}):
        left, right = chosen_columns(a, chosen), chosen_columns(b, chosen)
        for name in sorted(left.keys() | right.keys()):
            yield "chosen", name, left.get(name), right.get(name)


def _when(divergence: Divergence) -> tuple[bool, int]:
    return divergence.step is None, divergence.step or 0
