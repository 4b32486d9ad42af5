"""What a run's conditions say about its code and its command, checked field by field.

The file may come from anyone: whatever is not of the shape a start writes raises `DamagedFile`
with the name of the field. Paths are kept exactly, also those that are no UTF-8.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from labbook.book.facts import MAX_BYTES, Process
from labbook.book.runreader import RunReader
from labbook.conditions.snapshot import LeftOut, Snapshot
from labbook.errors import DamagedFile, RunNotFound, SnapshotError

__all__ = [
    "Recorded",
    "from_conditions",
    "original_top",
    "read",
    "read_snapshot",
    "start_folder",
]

_OID = re.compile(r"[0-9a-f]{40}")
_DEEPEST = 20
"""Repositories inside repositories inside … go no deeper."""

T = TypeVar("T")


@dataclass(frozen=True)
class Recorded:
    """One process of a run: what it ran, where, and with what code.

    `conditions` is the file as a whole. `top` is where its working tree was, `start` the folder
    the command was typed in; both are null where that cannot be told.
    """

    run_id: str
    name: str
    file: Path
    conditions: dict[str, Any]
    snapshot: Snapshot
    editable: dict[str, Snapshot] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    script: str | None = None
    cwd: str | None = None
    top: Path | None = None
    start: Path | None = None
    n_attempts: int = 1
    attempt: int = 1
    world_size: int = 1


def read(run: RunReader, attempt: int | None = None) -> Recorded:
    """Read rank 0 of an attempt (default: the newest) of a run.

    Raises `RunNotFound` when there is no such attempt, `DamagedFile` for a file of another shape.
    """
    process = _process(run, attempt)
    path = run.paths.conditions(process.attempt, process.writer)
    return from_conditions(
        _load(path),
        path,
        run_id=run.id,
        name=run.name,
        attempt=process.attempt,
        n_attempts=len({p.attempt for p in run.processes}),
    )


def from_conditions(
    conditions: dict[str, Any],
    path: Path,
    *,
    run_id: str,
    name: str,
    attempt: int = 1,
    n_attempts: int = 1,
) -> Recorded:
    """Check the conditions that `path` holds; raises `DamagedFile` for what no start writes."""
    with_path = _Fields(path)
    snapshot = conditions.get("snapshot")
    editable = with_path.mapping(conditions, "editable")
    script, cwd = with_path.text(conditions, "script"), with_path.text(conditions, "cwd")
    prefix = ""
    if snapshot is None:
        reason = with_path.text(conditions, "git_reason") or "its start recorded none"
        code = Snapshot("none", reason)
    else:
        code = read_snapshot(snapshot, str(path))
        prefix = code.prefix
    command = tuple(with_path.texts(conditions, "command"))
    return Recorded(
        run_id=run_id,
        name=name,
        file=path,
        conditions=conditions,
        snapshot=code,
        editable={each: read_snapshot(item, str(path)) for each, item in editable.items()},
        command=command,
        script=script,
        cwd=cwd,
        top=original_top(script, cwd, prefix),
        start=start_folder(command, script, cwd),
        n_attempts=n_attempts,
        attempt=attempt,
        world_size=with_path.number(conditions, "world_size") or 1,
    )


def original_top(script: str | None, cwd: str | None, prefix: str) -> Path | None:
    """Where the working tree was: the script's folder (else the working directory), less `prefix`.

    Null when the folder does not end in `prefix`, also not with its links resolved.
    """
    folder = os.path.dirname(script) if script else cwd
    if not folder or not os.path.isabs(folder):
        return None
    parts = Path(prefix).parts
    for candidate in (Path(os.path.realpath(folder)), Path(folder)):
        if not parts:
            return candidate
        if candidate.parts[-len(parts) :] == parts:
            return Path(*candidate.parts[: -len(parts)])
    return None


def start_folder(command: tuple[str, ...], script: str | None, cwd: str | None) -> Path | None:
    """The folder the command was typed in; programs (Hydra) change theirs before they start a run.

    That is where the script's name, as typed, leads to the script.
    """
    here = Path(cwd) if cwd and os.path.isabs(cwd) else None
    if script is None:
        return here
    for word in command[1:]:
        if os.path.isabs(word) or not script.endswith(os.path.basename(word) or "\0"):
            continue
        if here is not None and os.path.normpath(here / word) == script:
            return here
        if script.endswith(f"/{os.path.normpath(word)}"):
            return Path(script[: -len(os.path.normpath(word)) - 1] or "/")
    return here


def read_snapshot(value: Any, where: str, depth: int = 0) -> Snapshot:
    """Read a snapshot back from JSON; raises `DamagedFile` naming `where` and the field."""
    check = _Fields(where)
    if not isinstance(value, dict) or depth > _DEEPEST:
        raise check.wrong("snapshot")
    kind = check.text(value, "kind")
    if kind not in ("complete", "partial", "none"):
        raise check.wrong("snapshot.kind")
    return Snapshot(
        kind,
        check.text(value, "reason"),
        tree=check.oid(value, "tree"),
        commit=check.oid(value, "commit"),
        base=check.oid(value, "base"),
        base_tree=check.oid(value, "base_tree"),
        prefix=_relative(check.text(value, "prefix") or "", check, "prefix"),
        files_modified=tuple(check.texts(value, "files_modified")),
        files_untracked=tuple(check.texts(value, "files_untracked")),
        deleted=tuple(check.texts(value, "deleted")),
        omitted=tuple(check.texts(value, "omitted")),
        left_out=tuple(_left_out(item, check) for item in check.items(value, "left_out")),
        raw={
            path: check.whole_oid(oid, "raw") for path, oid in check.mapping(value, "raw").items()
        },
        overlay=check.oid(value, "overlay"),
        cells=check.oid(value, "cells"),
        nested={
            _relative(path, check, "nested"): read_snapshot(inner, where, depth + 1)
            for path, inner in check.mapping(value, "nested").items()
        },
    )


def _process(run: RunReader, attempt: int | None) -> Process:
    if attempt is None:
        newest = run.facts.newest()
        if newest is None:
            raise RunNotFound(f"run {run.id} has no conditions: its start was cut short")
        return newest
    for process in run.processes:  # by attempt and rank
        if process.attempt == attempt:
            return process
    known = ", ".join(str(n) for n in sorted({p.attempt for p in run.processes})) or "none"
    raise RunNotFound(f"run {run.id} has no attempt {attempt}; it has: {known}")


def _load(path: Path) -> dict[str, Any]:
    """Read the file with its names as they are: the book's reader replaces what is no text."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode) or info.st_size > MAX_BYTES:
                raise DamagedFile(f"{path} is not a regular file of at most {MAX_BYTES >> 20} MiB")
            value = json.loads(file.read(MAX_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedFile(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise DamagedFile(f"{path} holds no JSON object")
    return value


def _left_out(item: Any, check: _Fields) -> LeftOut:
    if not isinstance(item, dict) or not isinstance(item.get("path"), str):
        raise check.wrong("left_out")
    size, mtime = item.get("bytes"), item.get("mtime")
    return LeftOut(
        item["path"],
        size if isinstance(size, int) else 0,
        float(mtime) if isinstance(mtime, int | float) else 0.0,
        str(item.get("why")),
    )


def _relative(path: str, check: _Fields, name: str) -> str:
    """A path that leads down and nowhere else."""
    parts = path.split("/") if path else []
    if "\0" in path or any(part in {"", ".", ".."} or part.lower() == ".git" for part in parts):
        raise SnapshotError(f"{check.where}: {name} {path!r} leads out of its folder: refused")
    return path


class _Fields:
    """Takes fields out of a JSON object, each with the type it must have, or null."""

    def __init__(self, where: str | os.PathLike[str]) -> None:
        self.where = os.fspath(where)

    def wrong(self, name: str) -> DamagedFile:
        return DamagedFile(f"{self.where}: {name} is not what labbook writes")

    def text(self, value: Mapping[str, Any], name: str) -> str | None:
        return self._typed(value, name, str)

    def number(self, value: Mapping[str, Any], name: str) -> int | None:
        return self._typed(value, name, int)

    def items(self, value: Mapping[str, Any], name: str) -> list[Any]:
        return self._typed(value, name, list) or []

    def mapping(self, value: Mapping[str, Any], name: str) -> dict[str, Any]:
        return self._typed(value, name, dict) or {}

    def texts(self, value: Mapping[str, Any], name: str) -> list[str]:
        return self._each(self.items(value, name), name, lambda item: isinstance(item, str))

    def oid(self, value: Mapping[str, Any], name: str) -> str | None:
        found = self.text(value, name)
        return None if found is None else self.whole_oid(found, name)

    def whole_oid(self, value: Any, name: str) -> str:
        if not isinstance(value, str) or not _OID.fullmatch(value):
            raise self.wrong(name)
        return value

    def _typed(self, value: Mapping[str, Any], name: str, kind: type[T]) -> T | None:
        found = value.get(name)
        if found is not None and not isinstance(found, kind):
            raise self.wrong(name)
        return found

    def _each(self, found: list[Any], name: str, fits: Callable[[Any], bool]) -> list[Any]:
        if not all(map(fits, found)):
            raise self.wrong(name)
        return found
