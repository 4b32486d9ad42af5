"""Removing runs: into the book's trash, and back. Ids are never used again."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from labbook.book.runreader import RunReader
from labbook.client.writing import touch_folder, write_json
from labbook.errors import MisuseError, RunNotFound, StoreError
from labbook.paths import BookPaths

__all__ = ["Removed", "refuse_live", "remove", "restore", "trashed"]

SILENT_NS = 600 * 1_000_000_000
"""A run whose state is unknown counts as live while it was written to in the last ten minutes."""


@dataclass(frozen=True)
class Removed:
    """A run in the trash."""

    run_id: str
    folder: Path
    removed_ns: int


def refuse_live(run: RunReader, what: str) -> None:
    """Raise `MisuseError` when the run is, or may be, being written."""
    state = run.state
    if state.name == "running":
        raise MisuseError(f"run {run.id} is running: end it before you {what} it")
    silent = time.time_ns() - (state.seen_ns or 0)
    if state.name == "unknown" and silent < SILENT_NS:
        raise MisuseError(
            f"run {run.id} was written to {silent // 1_000_000_000} s ago and may be running "
            f"({state.why}): wait until it has been silent for ten minutes before you {what} it"
        )


def remove(book: BookPaths, run: RunReader) -> Removed:
    """Move a run to the trash. Raises `MisuseError` when it is, or may be, live."""
    refuse_live(run, "remove")
    folder = book.trash / run.id
    removed_ns = time.time_ns()
    try:
        book.trash.mkdir(exist_ok=True)
        os.rename(run.paths.root, folder)
        write_json(book.trash / f"{run.id}.json", {"id": run.id, "removed_ns": removed_ns})
    except OSError as error:
        raise StoreError(f"cannot move run {run.id} to {folder}: {error.strerror}") from error
    touch_folder(book.runs)
    return Removed(run.id, folder, removed_ns)


def trashed(book: BookPaths) -> list[Removed]:
    """The runs in the trash, removed last first."""
    found = []
    for entry in _folders(book.trash):
        marker = book.trash / f"{entry.name}.json"
        try:
            removed_ns = marker.stat().st_mtime_ns
        except OSError:
            removed_ns = entry.stat().st_mtime_ns
        found.append(Removed(entry.name, Path(entry.path), removed_ns))
    return sorted(found, key=lambda removed: removed.removed_ns, reverse=True)


def restore(book: BookPaths, which: str | None = None) -> Removed:
    """Bring a run back from the trash: the one whose id begins so, else the one removed last."""
    found = [r for r in trashed(book) if which is None or r.run_id.startswith(which)]
    if not found:
        what = "the trash is empty" if which is None else f"no run {which!r} in the trash"
        raise RunNotFound(f"{what} of {book.root}")
    if which is not None and len(found) > 1:
        listed = ", ".join(removed.run_id for removed in found[:5])
        raise MisuseError(f"{which!r} could be any of {listed}: give more of the id")
    removed = found[0]
    target = book.run(removed.run_id).root
    if target.exists():
        raise StoreError(f"run {removed.run_id} is in the book already; the trash keeps its copy")
    try:
        os.rename(removed.folder, target)
        (book.trash / f"{removed.run_id}.json").unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot bring {removed.run_id} back: {error.strerror}") from error
    touch_folder(book.runs)
    return removed


def _folders(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as scan:
            return [entry for entry in scan if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
