"""The protocol of a seal: parts, then the manifest that commits them, then the segments go.

Invariant: at every moment each committed record is either in a segment that no manifest covers, or
in a part that a manifest in force names, and a reader can tell which. So a kill at any point loses
nothing: what was not committed is swept up by the next sealer and done again.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from labbook.book.facts import entries
from labbook.book.layout import stage
from labbook.book.seals import EXAMPLES, Manifest, Part, Seals
from labbook.book.stats import SeriesStat
from labbook.errors import StoreError
from labbook.paths import FORMAT, TABLES, RunPaths, Span

__all__ = ["Staged", "commit", "sealer_lock", "staged_path", "sweep"]

_LINKLESS: Final = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
_in_process = threading.Lock()


@dataclass(frozen=True)
class Staged:
    """A part that is complete and on the disk, under its temporary name."""

    table: str
    staged: Path
    path: Path
    rows: int


@contextmanager
def sealer_lock(paths: RunPaths, writer: str, *, wait: bool) -> Iterator[None]:
    """Keep other sealers away from one writer's segments and parts.

    Raises `StoreError` when another one is at work and `wait` is false, or when the file system has
    no locks.
    """
    paths.seals.mkdir(exist_ok=True)
    path = paths.sealer_lock(writer)
    with _in_process:  # a second descriptor, closed, would drop the lock
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise StoreError(f"{paths.id}: another process is sealing {writer}") from None
        finally:
            os.close(fd)


def staged_path(table: str, span: Span, path: Path) -> Path:
    """Where a part is written; the name tells whose it is, for `sweep`."""
    if table.startswith(EXAMPLES):
        return stage(path.with_name(f"{span}.examples.parquet"))
    return stage(path)


def commit(
    paths: RunPaths,
    span: Span,
    staged: list[Staged],
    series: dict[str, SeriesStat],
    *,
    replaces: list[Manifest] = [],  # noqa: B006 - never changed
    damaged: dict[int, str] | None = None,
    kept: list[Part] = [],  # noqa: B006 - never changed
) -> None:
    """Give the parts their names, then publish the manifest. `kept` parts have theirs already."""
    parts = list(kept)
    for one in staged:
        with open(one.staged, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        part = Part(one.table, one.path, one.rows, one.staged.stat().st_size, digest)
        if _publish_part(one, part):
            parts.append(part)
    for folder in {one.path.parent for one in staged}:
        _sync(folder)
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "span": str(span),
        "parts": [_as_json(paths, part) for part in parts],
        "replaces": [str(manifest.span) for manifest in replaces],
        "series": {name: stat.as_json() for name, stat in series.items()},
    }
    if damaged:
        manifest["damaged"] = {str(number): why for number, why in damaged.items()}
    _publish(paths.seal(span), json.dumps(manifest).encode())


def sweep(paths: RunPaths, writer: str) -> Seals:
    """Finish what an earlier sealer of this writer left: to be called under the sealer's lock.

    Removes segments that a seal covers (damaged ones stay), parts that a newer seal replaces, and
    whatever was not committed. Returns the seals as they are then.
    """
    seals = Seals(paths)
    seals.refresh()
    in_force = [m for m in seals.in_force() if m.span.writer == writer]
    damaged = {n for m in in_force for n in m.damaged}
    for owner, number, path in list(paths.segments()):
        if owner == writer and number not in damaged and seals.covers(writer, number):
            path.unlink(missing_ok=True)
    named = {part.path for manifest in seals.in_force() for part in manifest.parts}
    for path in _files_of(paths, writer):
        if path not in named:
            path.unlink(missing_ok=True)
    for manifest in seals.all.values():  # last: until then they say whose those parts were
        if manifest.span.writer == writer and manifest not in in_force:
            manifest.path.unlink(missing_ok=True)
    seals.refresh()
    return seals


def _files_of(paths: RunPaths, writer: str) -> Iterator[Path]:
    """Parts and temporary files of one writer."""
    folders = [paths.root / table for table in TABLES]
    folders += [Path(entry.path) for entry in entries(paths.chosen)]
    for folder in (*folders, paths.seals):
        for entry in entries(folder):
            stem = entry.name.removesuffix(".tmp")
            if folder == paths.seals and stem == entry.name:
                continue  # manifests are not parts
            for suffix in (".json", ".parquet", ".examples"):
                stem = stem.removesuffix(suffix)
            span = Span.parse(stem)
            if span is not None and span.writer == writer:
                yield Path(entry.path)


def _publish_part(one: Staged, part: Part) -> bool:
    """Rename a part into its place; False when other examples are there already."""
    if not one.table.startswith(EXAMPLES):
        os.replace(one.staged, one.path)
        return True
    try:
        os.link(one.staged, one.path)
    except FileExistsError:
        with open(one.path, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != part.sha256:
                # a set of this name with other examples: nothing is thrown away
                os.replace(one.staged, one.path.with_name(f"examples-{part.sha256[:8]}.parquet"))
                return False
    except OSError as error:
        if error.errno not in _LINKLESS:
            raise
        os.replace(one.staged, one.path)
        return True
    os.unlink(one.staged)
    return True


def _as_json(paths: RunPaths, part: Part) -> dict[str, Any]:
    return {
        "table": part.table,
        "path": os.path.relpath(part.path, paths.root),
        "rows": part.rows,
        "bytes": part.n_bytes,
        "sha256": part.sha256,
    }


def _publish(path: Path, content: bytes) -> None:
    """Bring a manifest in, complete and on the disk, or not at all."""
    staged = stage(path)
    with open(staged, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(staged, path)  # never over another seal
    except OSError as error:
        if error.errno not in _LINKLESS:
            raise
        os.rename(staged, path)
    else:
        os.unlink(staged)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot sync folders
            raise
    finally:
        os.close(fd)
