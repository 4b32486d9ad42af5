"""`labbook gc`: what could be deleted, by kind and in bytes; deleted only when told.

Kept whatever it is: everything younger than a day (a run that is starting cannot lose its code),
and all that a run in the book, or in the trash as long as it stays there, speaks of.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from labbook.conditions.objects import ObjectReader
from labbook.errors import StoreError
from labbook.paths import BookPaths
from labbook.upkeep import code
from labbook.upkeep.removal import trashed

__all__ = ["YOUNG_S", "Garbage", "collect", "size_of", "survey"]

YOUNG_S: Final = 86_400.0


@dataclass(frozen=True)
class Garbage:
    """One thing that could go: `kind` is trash, temporary, code, or cache (of the watchers)."""

    kind: str
    path: Path
    n_bytes: int
    ref: code.Ref | None = None


def survey(book: BookPaths, *, young_s: float = YOUNG_S) -> list[Garbage]:
    """Everything that could be deleted; nothing is touched."""
    before = time.time() - young_s
    found = [
        Garbage("trash", removed.folder, size_of(removed.folder))
        for removed in trashed(book)
        if removed.removed_ns < before * 1e9
    ]
    found += _temporary(book, before)
    found += _code(book, before, {garbage.path for garbage in found})
    return found


def collect(
    book: BookPaths, garbage: list[Garbage], *, young_s: float = YOUNG_S
) -> list[tuple[Garbage, str]]:
    """Delete what was surveyed; returns those that could not be, and why."""
    failed = []
    for each in garbage:
        if each.ref is not None:
            continue
        try:
            if each.kind == "trash":
                shutil.rmtree(each.path)
                (book.trash / f"{each.path.name}.json").unlink(missing_ok=True)
            elif each.kind == "cache":
                # out of everybody's way first: a code is there as a whole or not at all
                aside = each.path.with_name(f".gone-{each.path.name}")
                os.rename(each.path, aside)
                shutil.rmtree(aside)
            else:
                each.path.unlink()
        except OSError as error:
            failed.append((each, str(error)))
    unused = [each.ref for each in garbage if each.ref is not None]
    if unused:
        needed = _ids(book, set())  # a run may have started since the survey
        with ObjectReader(book.code) as reader:
            unused = [ref for ref in unused if not code.is_needed(reader, ref, needed)]
        code.prune(book.code, unused, young_s)
    return failed


def _temporary(book: BookPaths, before: float) -> Iterator[Garbage]:
    for folder, names, files in os.walk(book.root):
        names[:] = [name for name in names if Path(folder, name) not in (book.code, book.trash)]
        for name in files:
            path = Path(folder, name)
            if name.startswith(".") and name.endswith(".tmp"):
                info = path.lstat()
                if info.st_mtime < before:
                    yield Garbage("temporary", path, info.st_size)


def _code(book: BookPaths, before: float, going: set[Path]) -> Iterator[Garbage]:
    """Refs to code that no run speaks of any more."""
    if not (book.code / "objects").is_dir():
        return
    ids = _ids(book, going)
    with ObjectReader(book.code) as reader:
        for ref in code.refs(book.code):
            if ref.mtime < before and not code.is_needed(reader, ref, ids):
                path = book.code / "refs" / "labbook" / ref.name
                yield Garbage("code", path, 0, ref)


def _ids(book: BookPaths, going: set[Path]) -> set[str]:
    """Ids that runs name, those in the trash too unless they go as well."""
    folders = [book.run(run_id).root for run_id in book.run_ids()]
    folders += [removed.folder for removed in trashed(book) if removed.folder not in going]
    return {oid for folder in folders for oid in code.ids_of(folder)}


def size_of(folder: Path) -> int:
    """Bytes of the files in a folder; links count as links. Raises `StoreError`."""
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except OSError as error:
                raise StoreError(f"{parent}/{name} cannot be read: {error}") from error
    return total
