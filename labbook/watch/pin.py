"""Keeps a checkpoint while it is evaluated, whatever the training does to its name.

A hard link survives removal and rename-over, and costs nothing; it does not survive writing in
place, so a name that is used again (`last.pt`) is copied instead. Either way the identity is
compared after the load. A pin belongs to one generation of one claim, and is removed with it.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from labbook.watch.identity import Identity, identify

__all__ = ["Moved", "is_reused_name", "pin", "sweep", "unpin"]

_REUSED = re.compile(r"last|latest|best|final|current|newest|checkpoint(?!.*\d)", re.IGNORECASE)


class Moved(Exception):
    """The checkpoint changed or vanished while it was being pinned."""


def is_reused_name(name: str) -> bool:
    """True for names that a training writes again and again: no number in them, or `last`."""
    return bool(_REUSED.search(name)) or not re.search(r"\d", name)


def pin(source: Path, expected: Identity, folder: Path, copy: bool) -> Path:
    """Pin `source` in `folder` (made here); the pinned path has the same name.

    Raises `Moved` when it is not what was examined any more, `OSError` when it cannot be kept.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    target = folder / source.name
    try:
        for name, *_ in expected.files:
            _keep(source / name if name else source, target / name if name else target, copy)
        if identify(source) != expected:
            raise Moved(f"{source.name} was written again")
    except FileNotFoundError as error:
        unpin(folder)
        raise Moved(f"{source.name} was removed") from error
    except (OSError, Moved):
        unpin(folder)
        raise
    return target


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
        if name not in live:
            unpin(pins / name)


def _keep(source: Path, target: Path, copy: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not copy:
        try:
            os.link(source, target)
            return
        except FileNotFoundError:
            raise
        except OSError:
            pass  # another filesystem, or protected_hardlinks: copy
    shutil.copy2(source, target)
