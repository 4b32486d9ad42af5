"""One working tree being captured: what every step of it needs to know."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from labbook.conditions.cache import Cache
from labbook.conditions.limits import Candidate, Deadline, LeftOut, Limits
from labbook.conditions.store import ObjectStore
from labbook.conditions.trees import Leaf

__all__ = ["Job", "Recorded"]


@dataclass
class Job:
    """The tree at `top`, the book's store, and what may still be spent on them.

    `spent` bytes of the limit are taken already. `settings` are git's, where there is git.
    """

    top: Path
    store: ObjectStore
    cache: Cache
    limits: Limits
    deadline: Deadline
    prefix: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    spent: int = 0

    @property
    def book(self) -> Path:
        """The book itself is no part of the code, wherever it lies."""
        return Path(os.path.realpath(self.store.root.parent))

    @property
    def modes_count(self) -> bool:
        """Whether the executable bit means anything on this file system (`core.fileMode`)."""
        return self.settings.get("core.filemode", "true") != "false"

    def left(self) -> Limits:
        """The limits, less what is spent."""
        return replace(self.limits, total_bytes=max(0, self.limits.total_bytes - self.spent))

    def spend(self, taken: list[Candidate]) -> None:
        """Count files against the limit."""
        self.spent += sum(candidate.stat.st_size for candidate in taken)


@dataclass
class Recorded:
    """What was stored: leaves by path, bytes that differ from git's form, and what could not be."""

    leaves: dict[str, Leaf] = field(default_factory=dict)
    raw: dict[str, str] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    n_read: int = 0
    is_out_of_time: bool = False
