"""The small JSON files of a run: identity, conditions, ends, facts known later.

Everything here was written by a program that may be older, broken or hostile: links are not
followed, only regular files are read, and whatever is not a JSON object raises `DamagedFile` with
the file's name. Standard library only.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from labbook.errors import DamagedFile
from labbook.paths import RunPaths

__all__ = ["Facts", "Process", "as_int", "as_text", "entries", "read_object"]

MAX_BYTES = 64 << 20
"""No small file is larger: conditions with very long arguments stay far below it."""

Key = tuple[int, int, int]


def entries(folder: str | os.PathLike[str]) -> list[os.DirEntry[str]]:
    """What lies in a folder; nothing when it is missing, a link or not a folder."""
    try:
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            return []
        with os.scandir(folder) as scan:
            return list(scan)
    except (FileNotFoundError, NotADirectoryError):
        return []


def read_object(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read one JSON object.

    Raises `FileNotFoundError` when it is not there, `DamagedFile` when it is anything else than a
    readable regular file with a JSON object.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode) or info.st_size > MAX_BYTES:
                raise DamagedFile(f"{path} is not a regular file of at most {MAX_BYTES >> 20} MiB")
            raw = file.read(MAX_BYTES)
        value = json.loads(raw)
        if b"\\ud" in raw.lower():  # half a surrogate pair is no text: Arrow would refuse it
            value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedFile(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise DamagedFile(f"{path} holds no JSON object")
    return value


def as_int(value: object) -> int | None:
    """The value when it is a whole number that fits 64 bits, else None."""
    if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return value
    return None


def as_text(value: object) -> str | None:
    """The value when it is text, else None."""
    return value if isinstance(value, str) else None


@dataclass
class Process:
    """One process of a run: its conditions, and how it ended."""

    attempt: int
    writer: str
    conditions: dict[str, Any]
    end: dict[str, Any] | None = None
    terminated: bool = False
    """The C-level evidence of SIGTERM is there."""
    exit_status: int | None = None
    """What the process passed to `exit`, written at C level; None while it is not known."""
    may_tell_exit: bool = False
    """An exit status may still come."""

    @property
    def rank(self) -> int:
        """0 for the only or the first process."""
        return as_int(self.conditions.get("rank")) or 0

    @property
    def started_ns(self) -> int:
        """When it started; 0 when that is not known."""
        return as_int(self.conditions.get("started_ns")) or 0


@dataclass
class Facts:
    """A run's small files, read again only when they changed."""

    paths: RunPaths
    identity: dict[str, Any] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)
    meta: list[dict[str, Any]] = field(default_factory=list)
    """Facts known later, oldest first."""
    damage: dict[str, str] = field(default_factory=dict)
    """What could not be read: path → why; it counts as empty."""
    _keys: dict[str, Key] = field(default_factory=dict)
    _objects: dict[str, dict[str, Any]] = field(default_factory=dict)

    def refresh(self) -> bool:
        """Read what is new; True when anything changed.

        Raises `FileNotFoundError` when `run.json` is missing.
        """
        before = dict(self._keys)
        self.identity = self._read(
            os.fspath(self.paths.run_json), _key(os.lstat(self.paths.run_json))
        )
        self.processes = self._read_processes()
        self._read_meta()
        return before != self._keys

    def newest(self) -> Process | None:
        """Rank 0 of the newest attempt, else the lowest rank there."""
        if not self.processes:
            return None
        return min(
            self.processes.values(), key=lambda p: (-p.attempt, p.rank, -p.started_ns, p.writer)
        )

    def why_unreadable(self, process: Process | None) -> str | None:
        """Why the files that tell this process's state cannot be read; None when they can."""
        if process is None:
            return None
        paths = (
            self.paths.conditions(process.attempt, process.writer),
            self.paths.end(process.attempt, process.writer),
        )
        return next((self.damage[str(p)] for p in paths if str(p) in self.damage), None)

    def fact(self, name: str) -> Any:
        """The newest value of a fact known later, or None."""
        for record in reversed(self.meta):
            if record.get("fact") == name:
                return record.get(name, record.get("value"))
        return None

    def facts(self, name: str) -> Iterator[dict[str, Any]]:
        """All records of a fact, oldest first."""
        return (record for record in self.meta if record.get("fact") == name)

    def _read_processes(self) -> dict[str, Process]:
        found: dict[str, Process] = {}
        for attempt in entries(self.paths.attempts):
            if not (attempt.name.isascii() and attempt.name.isdigit()):
                continue
            files = {entry.name: entry for entry in entries(attempt.path)}
            for name, entry in files.items():
                if name.endswith(".json") and not name.endswith(".end.json"):
                    writer = name.removesuffix(".json")
                    found[writer] = self._process(int(attempt.name), writer, entry, files)
        return found

    def _process(
        self, attempt: int, writer: str, entry: os.DirEntry[str], files: dict[str, os.DirEntry[str]]
    ) -> Process:
        process = Process(attempt, writer, self._entry(entry))
        if (end := files.get(f"{writer}.end.json")) is not None:
            process.end = self._entry(end)
        if (term := files.get(f"{writer}.term")) is not None:
            process.terminated = term.stat(follow_symlinks=False).st_size > 0
            self._keys[term.path] = (0, int(process.terminated), 0)
        if (status := files.get(f"{writer}.exit")) is not None:
            process.exit_status = _first_byte(status)
            process.may_tell_exit = process.exit_status is None
            self._keys[status.path] = (0, -1 if process.exit_status is None else 1, 0)
        return process

    def _read_meta(self) -> None:
        files = [entry for entry in entries(self.paths.meta) if entry.name.endswith(".json")]
        records = [(self._entry(entry), entry.name) for entry in files]
        records.sort(key=lambda record: (as_int(record[0].get("time_ns")) or 0, record[1]))
        self.meta = [record for record, _ in records]

    def _entry(self, entry: os.DirEntry[str]) -> dict[str, Any]:
        return self._read(entry.path, _key(entry.stat(follow_symlinks=False)))

    def _read(self, path: str, key: Key) -> dict[str, Any]:
        if self._keys.get(path) != key:
            self._keys[path] = key
            self.damage.pop(path, None)
            try:
                self._objects[path] = read_object(path)
            except DamagedFile as error:
                self._objects[path], self.damage[path] = {}, str(error)
        return self._objects[path]


def _first_byte(entry: os.DirEntry[str]) -> int | None:
    if not entry.is_file(follow_symlinks=False) or not entry.stat(follow_symlinks=False).st_size:
        return None
    with open(entry.path, "rb") as file:
        return next(iter(file.read(1)), None)


def _key(info: os.stat_result) -> Key:
    return info.st_mtime_ns, info.st_size, info.st_ino
