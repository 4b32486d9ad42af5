"""A run's checkpoints: what their sidecars say, and files under patterns it asked to watch.

A checkpoint's path is computed here and never opened: external files may lie anywhere, and are
named only because the run registered them. Standard library only.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from labbook.book.facts import Facts, as_int, as_text, entries, read_object
from labbook.errors import DamagedFile
from labbook.paths import RunPaths

__all__ = ["Checkpoint", "find", "patterns"]

MOST_WATCHED: Final = 10_000
"""Files looked at under one pattern."""
SLACK_NS: Final = 2_000_000_000


@dataclass(frozen=True)
class Checkpoint:
    """One saved state of the net."""

    file: str
    """As registered: relative to the run's folder, or to the book's when external."""
    path: Path
    step: int | None
    size: int | None
    digest: str | None
    """None for a file that was only found under a watched pattern."""
    time_ns: int | None
    external: bool

    @property
    def order(self) -> tuple[bool, int, int, str]:
        """By step, those without one last."""
        return self.step is None, self.step or 0, self.time_ns or 0, self.file


def find(paths: RunPaths, facts: Facts, ended_ns: int | None) -> tuple[list[Checkpoint], list[str]]:
    """Return the checkpoints by step, and what could not be read, one line each."""
    found: dict[str, Checkpoint] = {}
    damage: list[str] = []
    for entry in entries(paths.checkpoints):
        if entry.name.endswith(".json") and not entry.name.startswith("."):
            try:
                checkpoint = _registered(paths, Path(entry.path))
            except FileNotFoundError:
                continue  # removed since the listing
            except DamagedFile as error:
                damage.append(str(error))
                continue
            found[_real(checkpoint.path)] = checkpoint
    for checkpoint in _watched(paths, facts, ended_ns):
        found.setdefault(_real(checkpoint.path), checkpoint)
    return sorted(found.values(), key=lambda checkpoint: checkpoint.order), damage


def patterns(paths: RunPaths, facts: Facts) -> list[str]:
    """Absolute patterns of the files the run asked to watch."""
    book = _book_of(paths)
    texts = (as_text(record.get("pattern")) for record in facts.facts("watch"))
    return [os.path.normpath(book / text) for text in texts if text and "\0" not in text]


def _book_of(paths: RunPaths) -> Path:
    return paths.root.parent.parent


def _registered(paths: RunPaths, sidecar: Path) -> Checkpoint:
    value = read_object(sidecar)
    file = as_text(value.get("file"))
    if not file or "\0" in file:
        raise DamagedFile(f"{sidecar} names no file")
    external = value.get("external") is True
    base = _book_of(paths) if external else paths.root
    path = Path(os.path.normpath(base / file))
    if not external and not _is_inside(paths.root, path):
        raise DamagedFile(f"{sidecar} names {file!r}, which is not in the run's folder")
    return Checkpoint(
        file,
        path,
        as_int(value.get("step")),
        as_int(value.get("size")),
        as_text(value.get("digest")),
        as_int(value.get("time_ns")),
        external,
    )


def _real(path: Path) -> str:
    """One name for one file, whatever links lead to it."""
    return os.path.realpath(path)


def _is_inside(root: Path, path: Path) -> bool:
    """Whether `path` lies in `root`, with no link on the way that leads elsewhere."""
    if not path.is_relative_to(root):
        return False
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


def _watched(paths: RunPaths, facts: Facts, ended_ns: int | None) -> Iterator[Checkpoint]:
    """Files under watched patterns that were written while the run lived."""
    started_ns = min((p.started_ns for p in facts.processes.values()), default=0) - SLACK_NS
    for pattern in patterns(paths, facts):
        for name in islice(glob.iglob(pattern, recursive=True), MOST_WATCHED):
            try:
                info = os.stat(name)
            except OSError:
                continue  # gone since the listing
            late = ended_ns is not None and info.st_mtime_ns > ended_ns + SLACK_NS
            if not os.path.isfile(name) or info.st_mtime_ns < started_ns or late:
                continue
            path = Path(name)
            file = os.path.relpath(path, _book_of(paths))
            yield Checkpoint(file, path, None, info.st_size, None, info.st_mtime_ns, True)
