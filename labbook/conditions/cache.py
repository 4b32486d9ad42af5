"""What a snapshot remembers between starts: one small folder per host, working tree and book.

All of it can be deleted at any time. Two starts at once each work on their own copy and rename it
back; the last one wins, and loses nothing but time.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["Cache", "stamp"]

FORMAT = 1

_TICK_NS = 20_000_000
"""File times move in ticks of the kernel, at most 10 ms long."""
_COARSE_NS = 2_000_000_000
"""… or of 1 or 2 s, on file systems without a finer clock."""


def stamp(stat: os.stat_result) -> list[int]:
    """Return what changes whenever a file's bytes do."""
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_mode]


class Cache:
    """Object ids by file, and notes, for one working tree and one book.

    `files` maps a path to [stamp, id in git's normal form, id of the bytes as they are]. `notes`
    are facts of the caller, JSON.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, list[Any]] = {}
        self.notes: dict[str, Any] = {}
        self._is_changed = False

    @classmethod
    def open(cls, private: Path, top: Path, code_git: Path) -> Cache:
        """Open the folder of this working tree and book; an unreadable cache is an empty one."""
        key = "\0".join([os.uname().nodename, os.path.realpath(top), os.path.realpath(code_git)])
        cache = cls(private / hashlib.sha256(os.fsencode(key)).hexdigest()[:20])
        cache.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            found = json.loads((cache.folder / "files.json").read_bytes())
            if found["format"] == FORMAT:
                cache.files, cache.notes = dict(found["files"]), dict(found["notes"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return cache

    def get(self, path: str, stat: os.stat_result) -> tuple[str, str] | None:
        """Return (normal id, raw id) of a file that has not changed since, else None."""
        found = self.files.get(path)
        if found is None or found[0] != stamp(stat):
            return None
        return str(found[1]), str(found[2])

    def put(self, path: str, stat: os.stat_result, normal: str, raw: str) -> None:
        """Remember a file that was read after `stat` was taken, unless it is too young to tell."""
        if not is_settled(stat):
            return
        self.files[path] = [stamp(stat), normal, raw]
        self._is_changed = True

    def note(self, name: str, value: Any) -> None:
        """Remember a fact."""
        if self.notes.get(name) != value:
            self.notes[name] = value
            self._is_changed = True

    def forget(self) -> None:
        """Drop everything known about objects: the store they were written to has lost them."""
        self.files.clear()
        self.notes.clear()
        self._is_changed = True

    def keep_only(self, paths: Mapping[str, object] | set[str]) -> None:
        """Drop files that take no part any more."""
        gone = self.files.keys() - paths
        for path in gone:
            del self.files[path]
        self._is_changed = self._is_changed or bool(gone)

    def save(self) -> None:
        """Write what is new, whole; raises `OSError`."""
        if not self._is_changed:
            return
        aside = self.folder / f"files.{secrets.token_hex(6)}.tmp"
        text = json.dumps({"format": FORMAT, "files": self.files, "notes": self.notes})
        aside.write_text(text)
        os.replace(aside, self.folder / "files.json")
        self._is_changed = False


def is_settled(stat: os.stat_result) -> bool:
    """Whether a change from now on would show in the file's times (git calls the others racy)."""
    newest = max(stat.st_mtime_ns, stat.st_ctime_ns)
    is_coarse = not stat.st_mtime_ns % 1_000_000_000 and not stat.st_ctime_ns % 1_000_000_000
    margin = _COARSE_NS if is_coarse else _TICK_NS
    return newest + margin < time.time_ns()
