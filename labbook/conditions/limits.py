"""How much a snapshot may take, and which files that leaves out, decided before any is read."""

from __future__ import annotations

import fnmatch
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = [
    "OUT_OF_TIME",
    "Candidate",
    "Choice",
    "Deadline",
    "LeftOut",
    "Limits",
    "choose",
    "left_out",
    "shorten",
]

OUT_OF_TIME = "out of time"

_LONGEST_LIST = 1000


@dataclass(frozen=True)
class Limits:
    """Limits for untracked and modified files; tracked files as committed cost nothing."""

    file_bytes: int = 10 * 2**20
    total_bytes: int = 100 * 2**20
    seconds: float = 2.0
    files: int = 2000
    """Most files of a folder that is in no git repository."""
    never: tuple[str, ...] = (".env*", "*.pem", "id_*", "*credentials*")
    """Untracked names that often hold secrets; matched against each part of the path."""


class Deadline:
    """A moment on the monotonic clock."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds left, at least 0."""
        return max(0.0, self._end - time.monotonic())

    def passed(self) -> bool:
        """Whether no time is left."""
        return self.left() == 0.0


class Candidate(NamedTuple):
    """A file that may go into the snapshot: path relative to the top, its `lstat`, git's mode."""

    path: str
    stat: os.stat_result
    is_tracked: bool
    mode: str


@dataclass(frozen=True)
class LeftOut:
    """A file that did not, or a folder of many (`path` ends with a slash)."""

    path: str
    bytes: int
    mtime: float
    why: str


@dataclass
class Choice:
    """What to record, in order, and what is left out."""

    taken: list[Candidate] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def choose(candidates: Iterable[Candidate], limits: Limits) -> Choice:
    """Choose by name and size: tracked files first, then the small before the large."""
    choice = Choice()
    total = 0
    order = sorted(candidates, key=lambda c: (not c.is_tracked, c.stat.st_size, c.path))
    for candidate in order:
        why = _refusal(candidate, limits, total)
        if why:
            choice.left_out.append(left_out(candidate, why))
        else:
            total += candidate.stat.st_size
            choice.taken.append(candidate)
    return choice


def left_out(candidate: Candidate, why: str) -> LeftOut:
    """Return the record of a file that is left out."""
    return LeftOut(candidate.path, candidate.stat.st_size, candidate.stat.st_mtime, why)


def shorten(found: list[LeftOut]) -> list[LeftOut]:
    """Return the list as it is, or, when it is very long, one line a folder and reason."""
    if len(found) <= _LONGEST_LIST:
        return found
    groups: dict[tuple[str, str], list[LeftOut]] = {}
    for item in found:
        folder, slash, _ = item.path.partition("/")
        groups.setdefault((folder + slash if slash else "./", item.why), []).append(item)
    return [
        LeftOut(
            path=folder,
            bytes=sum(item.bytes for item in items),
            mtime=max(item.mtime for item in items),
            why=f"{len(items)} files: {why}",
        )
        for (folder, why), items in groups.items()
    ]


def _refusal(candidate: Candidate, limits: Limits, total: int) -> str | None:
    if not candidate.is_tracked:
        for pattern in limits.never:
            if any(fnmatch.fnmatchcase(part, pattern) for part in candidate.path.split("/")):
                return f"may hold a secret ({pattern})"
    if candidate.stat.st_size > limits.file_bytes:
        return f"larger than {limits.file_bytes / 2**20:.3g} MiB"
    if total + candidate.stat.st_size > limits.total_bytes:
        return f"more than {limits.total_bytes / 2**20:.3g} MiB in all"
    return None
