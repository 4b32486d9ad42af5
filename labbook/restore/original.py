"""Brings over from a run's original folder what its snapshot lacks, and says what has changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from labbook.restore.command import Command
from labbook.restore.linking import Linked, link_rest
from labbook.restore.recorded import Recorded
from labbook.restore.tree import Missing, Restored

__all__ = ["bring_over"]


def bring_over(
    recorded: Recorded,
    original: Path | None,
    restored: Restored,
    command: Command | None,
    *,
    book: Path,
    chosen: Sequence[str] = (),
    late: Callable[[str], bool] = lambda name: False,
) -> tuple[Linked, list[Missing], list[str]]:
    """Link what the snapshot lacks; returns that, what is still missing, and what to tell.

    `original` is where the run's folder is now, `command` what will run in the copy, null when its
    place is elsewhere, `book` the folder of the book; `chosen` are paths, and `late` tells of names
    of files, to link however new they are.
    """
    copy = restored.folder
    if original is None or not original.is_dir():
        return Linked(), restored.missing, [f"{original} is not here: no data is linked from it"]
    replaced = _take_out_git_forms(restored, original, copy)
    inside = None
    if command is not None and command.folder.is_relative_to(copy):
        inside = command.folder.relative_to(copy)
    started = recorded.conditions.get("started_ns")
    real = [] if inside is None or inside == Path() else [inside.as_posix()]
    linked = link_rest(
        original,
        copy,
        started_ns=started if isinstance(started, int) else 0,
        without=(book, copy.parent),
        chosen=chosen,
        real=real,
        late=late,
    )
    linked.links += replaced + _link_book(book, original, copy)
    if inside is not None:
        (copy / inside).mkdir(parents=True, exist_ok=True)
    missing = [
        item
        for item in restored.missing
        if item.path in {"", "./"}
        or (item.path not in linked.links and (item.is_replaced or not _is_there(copy, item)))
    ]
    return linked, missing, _changed(restored, original, linked)


def _take_out_git_forms(restored: Restored, original: Path, copy: Path) -> list[str]:
    """Link a file of which git keeps another form (LFS), when it is still as it was."""
    replaced = []
    for item in restored.missing:
        if (
            item.is_replaced
            and item.path in restored.files
            and _is_as_recorded(original / item.path, item)
        ):
            (copy / item.path).unlink()
            (copy / item.path).symlink_to(original / item.path)
            replaced.append(item.path)
    return replaced


def _link_book(book: Path, original: Path, copy: Path) -> list[str]:
    """Link the book at its place: a program that names it itself finds it there."""
    if not book.is_relative_to(original):
        return []
    path = book.relative_to(original)
    if path == Path() or os.path.lexists(copy / path):
        return []
    (copy / path).parent.mkdir(parents=True, exist_ok=True)
    (copy / path).symlink_to(book)
    return [path.as_posix()]


def _is_there(copy: Path, item: Missing) -> bool:
    return os.path.lexists(copy / item.path)


def _changed(restored: Restored, original: Path, linked: Linked) -> list[str]:
    """Files left out of the snapshot that are linked though they are not what they were."""
    links = set(linked.links)
    return [
        f"{item.path} was left out of the snapshot and has changed since: linked as it is now"
        for item in restored.missing
        if item.path in links and item.mtime and not _is_as_recorded(original / item.path, item)
    ]


def _is_as_recorded(path: Path, item: Missing) -> bool:
    try:
        stat = path.lstat()
    except OSError:
        return False
    return stat.st_size == item.bytes and abs(stat.st_mtime - item.mtime) < 1e-3
