"""Making a book and a run in it: ids, folders, `book.json`, `run.json`, attempts."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path
from typing import Any

from labbook.client.writing import write_json
from labbook.errors import StoreError
from labbook.paths import FORMAT, BookPaths, RunPaths

__all__ = ["claim_attempt", "make_book", "make_run", "new_run_id", "random_word", "writer_name"]

_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"


def random_word(length: int = 6) -> str:
    """Base-36 characters from the system's randomness: `random.seed` has no part in it."""
    return "".join(secrets.choice(_BASE36) for _ in range(length))


def new_run_id(now: float | None = None) -> str:
    """`YYYYMMDD-HHMMSS-` in UTC and six random characters."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
    return f"{stamp}-{random_word()}"


def writer_name(rank: int) -> str:
    """A name no other process has: two processes never write one file."""
    return f"r{rank}-{random_word()}"


def make_book(root: Path) -> BookPaths:
    """Make the book unless it is there; it ignores itself in git and is the user's alone (0700).

    Raises `StoreError` when the folder cannot be made or written.
    """
    paths = BookPaths(root)
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths.runs.mkdir(exist_ok=True)
        ignore = root / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        if not paths.book_json.exists():
            write_json(paths.book_json, {"format": FORMAT})
        if not os.access(paths.runs, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied", str(paths.runs))
    except OSError as error:
        raise StoreError(_no_book(root, error)) from error
    return paths


def make_run(book: BookPaths, run_id: str, identity: dict[str, Any]) -> RunPaths:
    """Make the run's folders and its `run.json`; an existing run keeps its identity.

    Raises `StoreError` when they cannot be made.
    """
    paths = book.run(run_id)
    folders = (
        paths.root,
        paths.attempts,
        paths.meta,
        paths.journal,
        paths.seals,
        paths.checkpoints,
    )
    try:
        for folder in folders:
            folder.mkdir(exist_ok=True)
        if not paths.run_json.exists():
            try:
                write_json(paths.run_json, identity, exclusive=True)
            except FileExistsError:
                pass  # another rank was first
    except OSError as error:
        raise StoreError(_no_book(book.root, error)) from error
    return paths


def claim_attempt(paths: RunPaths) -> int:
    """Make the next attempt's folder and return its number: two jobs never get the same one."""
    taken = [int(entry.name) for entry in paths.attempts.iterdir() if entry.name.isdigit()]
    number = max(taken, default=0) + 1
    while True:
        try:
            (paths.attempts / str(number)).mkdir()
            return number
        except FileExistsError:
            number += 1
        except OSError as error:
            raise StoreError(_no_book(paths.root, error)) from error


def _no_book(root: Path, error: OSError) -> str:
    where = error.filename or root
    return (
        f"cannot write the book at {root}: {error.strerror} ({where}). "
        "Name a folder you can write with LABBOOK_DIR or start(book=...)"
    )
