"""Tags, names and notes given to a run later: each a fact in a file of its own, newest wins."""

from __future__ import annotations

import getpass
import re
import time
from collections.abc import Iterable
from typing import Any

from labbook.book.runreader import RunReader
from labbook.client.identity import random_word
from labbook.client.writing import touch_folder, write_json
from labbook.errors import MisuseError, StoreError
from labbook.paths import RunPaths

__all__ = ["note", "rename", "tag"]


def tag(run: RunReader, add: Iterable[str] = (), remove: Iterable[str] = ()) -> list[str]:
    """Add and remove tags; return those the run has now, in the order they were given."""
    gone = set(remove)
    tags = list(dict.fromkeys([*run.tags, *(_tag(text) for text in add)]))
    kept = [text for text in tags if text not in gone]
    if kept != list(run.tags):
        _record(run.paths, "tags", kept)
    return kept


def rename(run: RunReader, name: str) -> None:
    """Give the run another name; its id stays. Names need not be unique."""
    if not name or not name.isprintable():
        raise MisuseError(f"a run's name must be printable text, got {name!r}")
    _record(run.paths, "name", name)


def note(run: RunReader, text: str) -> None:
    """Replace the notes of the run."""
    temporary = run.paths.notes.with_name(f".notes.md.{random_word()}.tmp")
    try:
        temporary.write_text(text.rstrip() + "\n" if text.strip() else "", encoding="utf-8")
        temporary.replace(run.paths.notes)
    except OSError as error:
        raise StoreError(f"cannot write {run.paths.notes}: {error.strerror}") from error
    touch_folder(run.paths.root)


def _tag(text: str) -> str:
    if not text or not text.isprintable() or "," in text or text != text.strip():
        raise MisuseError(f"a tag is one printable word or phrase without commas, got {text!r}")
    return text


def _record(paths: RunPaths, fact: str, value: Any) -> None:
    who = re.sub(r"[^0-9A-Za-z_-]", "_", getpass.getuser()) or "user"
    body = {"fact": fact, "time_ns": time.time_ns(), fact: value, "by": who}
    try:
        paths.meta.mkdir(exist_ok=True)
        write_json(paths.meta / f"{fact}-{who}-{random_word()}.json", body)
    except OSError as error:
        raise StoreError(f"cannot write to {paths.meta}: {error.strerror}") from error
    touch_folder(paths.root)
