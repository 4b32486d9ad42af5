"""Which live runs execute code of a working tree: what changes there may change them.

Live is who holds the lock of its journal, or, where locks cannot be asked, who touched its journal
just now. Standard library only.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

from labbook.book.facts import Facts, Process
from labbook.journal.lock import probe
from labbook.paths import BookPaths, RunPaths
from labbook.upkeep.committed import RunName, name_of

__all__ = ["live_runs"]

SILENT_S: Final = 120.0
"""A journal is touched every second; one that was not for so long has no writer."""


def live_runs(book: BookPaths, top: str) -> list[RunName]:
    """Return the runs that are being recorded and whose script lies in the tree at `top`."""
    found = []
    for run_id in book.run_ids():
        paths = book.run(run_id)
        if not _is_touched(paths):
            continue
        facts = Facts(paths)
        try:
            facts.refresh()
        except OSError:
            continue  # removed, or not yet made
        newest = facts.newest()
        if newest and _is_live(paths, newest) and _is_inside(newest.conditions, top):
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
    return process.end is None and probe(paths.lock(process.writer)) != "free"


def _is_inside(conditions: dict[str, Any], top: str) -> bool:
    """Whether the script lies there, or, in a notebook or a shell, the working directory."""
    place = conditions.get("script") or conditions.get("cwd")
    if not isinstance(place, str):
        return False
    return Path(place).resolve().is_relative_to(Path(top).resolve())
