"""Which live runs execute code of a working tree: what changes there may change them.

Live is who holds the lock of its journal, or, where locks cannot be asked, who touched its journal
just now. Standard library only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from labbook.book.facts import Facts, Process
from labbook.errors import MisuseError
from labbook.journal.lock import probe
from labbook.paths import BookPaths, RunPaths
from labbook.upkeep.committed import RunName, name_of

__all__ = ["live_runs"]

SILENT_S: Final = 120.0
"""A journal is touched every second; one that was not for so long has no writer."""


def live_runs(
    book: BookPaths, top: str, run_ids: Sequence[str], tree: str | None = None
) -> list[RunName]:
    """Return those of the runs that are being recorded and whose script lies in the tree at `top`.

    Runs whose snapshot is `tree` are passed over: the tree is what they began with.
    """
    found = []
    for run_id in run_ids:
        try:
            paths = book.run(run_id)
        except MisuseError:
            continue  # no name of a run
        if not _is_touched(paths):
            continue
        facts = Facts(paths)
        try:
            facts.refresh()
        except OSError:
            continue  # removed, or not yet made
        newest = facts.newest()
        if newest and _is_live(paths, newest) and _is_affected(newest.conditions, top, tree):
            found.append(RunName(run_id, name_of(facts, paths)))
    return found


def _is_touched(paths: RunPaths) -> bool:
    now = time.time()
    for _, _, segment in paths.segments():
        try:
            if now - segment.stat().st_mtime < SILENT_S:
                return True
        except OSError:
            continue  # sealed while we look
    return False


def _is_live(paths: RunPaths, process: Process) -> bool:
    if process.end is not None:
        return False
    if process.conditions.get("host") != os.uname().nodename:
        return True  # its lock cannot be asked, but it was touched just now
    return probe(paths.lock(process.writer)) != "free"


def _is_affected(conditions: dict[str, Any], top: str, tree: str | None) -> bool:
    """Whether the script (in a notebook or a shell, the working directory) lies in a changed tree.

    A run that began with `tree` is as good as unchanged.
    """
    place = conditions.get("script") or conditions.get("cwd")
    if not isinstance(place, str) or not Path(place).resolve().is_relative_to(Path(top).resolve()):
        return False
    snapshot = conditions.get("snapshot")
    return tree is None or not isinstance(snapshot, dict) or snapshot.get("tree") != tree
