"""Keeps a checkpoint, whatever the training does to its name.

A hard link survives removal and rename-over, and costs nothing; it does not survive writing in
place, so a name that is used again (`last.pt`) is copied instead. Either way the identity is
compared after the load. A pin belongs to one generation of one claim, and is removed with it; what
is kept before anybody claims it is `labbook.watch.hold`'s.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from labbook.watch.identity import CHUNK, Identity, Tick, identify

__all__ = ["Moved", "NoLink", "copy", "is_reused_name", "link", "sweep", "unpin"]

_REUSED = re.compile(r"last|latest|best|final|current|newest|checkpoint(?!.*\d)", re.IGNORECASE)
_Keep = Callable[[Path, Path], None]


class Moved(Exception):
    """The checkpoint changed or vanished while it was being pinned."""


class NoLink(Exception):
    """No hard link can be made: another filesystem, or one that has none. A copy can."""


def is_reused_name(name: str) -> bool:
    """True for names that a training writes again and again: no number in them, or `last`."""
    return bool(_REUSED.search(name)) or not re.search(r"\d", name)


def link(source: Path, expected: Identity, folder: Path) -> Path:
    """Link `source` into `folder` (made here); the pinned path has the same name.

    Raises `Moved` when it is not what was examined any more, `NoLink`, or other `OSError`s.
    """
    return _pin(source, expected, folder, _link)


def copy(source: Path, expected: Identity, folder: Path, tick: Tick) -> Path:
    """Copy `source` into `folder`, with its times; raises as `link` does, but never `NoLink`."""
    return _pin(source, expected, folder, lambda a, b: _copy(a, b, tick))


def unpin(folder: Path) -> None:
    """Let the checkpoint go."""
    shutil.rmtree(folder, ignore_errors=True)


def sweep(pins: Path, live: set[str]) -> None:
    """Remove pins whose claim (`<key>.<generation>`) no lease backs any more."""
    try:
        names = os.listdir(pins)
    except OSError:
        return
    for name in names:
        if re.fullmatch(r"[0-9a-f]+\.\d+", name) and name not in live:
            unpin(pins / name)


def _pin(source: Path, expected: Identity, folder: Path, keep: _Keep) -> Path:
    target = folder / source.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, *_ in expected.files:
            there = target / name if name else target
            there.parent.mkdir(parents=True, exist_ok=True)
            keep(source / name if name else source, there)
        # a pin is pinned again: a copy has another inode, and the same size and time
        if identify(source).content() != expected.content():
            raise Moved(f"{source.name} was written again")
    except FileNotFoundError as error:
        unpin(folder)
        raise Moved(f"{source.name} was removed") from error
    except (OSError, Moved, NoLink):
        unpin(folder)
        raise
    return target


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise NoLink(str(error)) from error


def _copy(source: Path, target: Path, tick: Tick) -> None:
    with open(source, "rb") as old, open(target, "wb") as new:
        while chunk := old.read(CHUNK):
            new.write(chunk)
            tick()
    shutil.copystat(source, target)
