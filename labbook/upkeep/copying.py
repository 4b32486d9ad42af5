"""Taking one run into another book, its code with it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from labbook.book.runreader import RunReader
from labbook.client.identity import make_book, random_word
from labbook.client.writing import touch_folder
from labbook.errors import MisuseError, StoreError
from labbook.paths import BookPaths
from labbook.upkeep.code import copy_code, ids_of
from labbook.upkeep.removal import refuse_live

__all__ = ["copy_run"]


def copy_run(run: RunReader, target: Path) -> BookPaths:
    """Copy a run into the book at `target`, which is made when it is not there.

    Raises `MisuseError` for a live run or one that is there already, `StoreError` for storage
    faults; a copy that fails leaves nothing behind.
    """
    refuse_live(run, "copy")
    book = make_book(target)
    destination = book.run(run.id).root
    if destination.exists():
        raise MisuseError(f"run {run.id} is in {book.root} already")
    staging = book.runs / f".{run.id}.{random_word()}.tmp"
    copy_code(_book_of(run).code, book.code, ids_of(run.paths.root))
    try:
        shutil.copytree(run.paths.root, staging, symlinks=True)
        os.rename(staging, destination)
    except (OSError, shutil.Error) as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise StoreError(f"cannot copy run {run.id} to {book.root}: {error}") from error
    touch_folder(book.runs)
    return book


def _book_of(run: RunReader) -> BookPaths:
    return BookPaths(run.paths.root.parent.parent)
