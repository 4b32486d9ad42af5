"""Fingerprints of files and folders, within a time.

What counts is decided by the sizes alone, never by the speed of the disk: all bytes up to 256 MiB,
above that names, sizes, and both ends of at most 64 files.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from labbook.client.selection import draw
from labbook.conditions.limits import Deadline

__all__ = ["fingerprint_path"]

_CHUNK: Final = 1 << 20
_END: Final = 64 << 10
_WHOLE_BYTES: Final = 256 << 20
_N_SAMPLED: Final = 64
_MOST_FILES: Final = 1_000_000


@dataclass(frozen=True)
class _File:
    """A file, under the name by which it counts: relative to what was named."""

    name: str
    path: str
    bytes: int
    mtime_ns: int


def fingerprint_path(paths: list[str], deadline: Deadline) -> dict[str, Any]:
    """Return number, sizes, newest time and digests of the files that `paths` hold.

    `scope` says what `digest` is of: `all` bytes, or a `sample`. It is null where time ran out or a
    file cannot be read (`reason`).
    """
    is_file = len(paths) == 1 and os.path.isfile(paths[0])
    found: dict[str, Any] = {
        "kind": "file" if is_file else "folder" if len(paths) == 1 else "files",
        "path": paths[0] if len(paths) == 1 else paths,
        "n_files": None, "bytes": None, "mtime_ns": None,
        "digest": None,
    }  # fmt: skip
    files: list[_File] = []
    try:
        for file in _walk(paths):
            files.append(file)
            if deadline.passed() or len(files) > _MOST_FILES:
                return {**found, "reason": f"too many files to list: more than {len(files):,}"}
        files.sort(key=lambda file: os.fsencode(file.name))
        found |= _listed(files)
        is_small = found["bytes"] <= _WHOLE_BYTES
        found["scope"] = "all" if is_small else "sample"
        found["digest"] = _digest(files, deadline, is_small)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return {**found, "reason": f"cannot be read: {error.strerror or error}{where}"}
    if found["digest"] is None:
        found["reason"] = f"out of time: {found['bytes']:,} bytes in {len(files):,} files"
    return found


def _listed(files: list[_File]) -> dict[str, Any]:
    return {
        "n_files": len(files),
        "bytes": sum(file.bytes for file in files),
        "mtime_ns": max((file.mtime_ns for file in files), default=None),
    }


def _walk(paths: list[str]) -> Iterator[_File]:
    """Files below the paths; folders behind links inside them are not entered."""
    for place, top in enumerate(paths):
        prefix = "" if len(paths) == 1 else f"{place}/"
        if not os.path.isdir(top):
            yield _file(f"{prefix}file" if os.path.isfile(top) else prefix, top)
            continue
        for folder, folders, names in os.walk(top, onerror=_raise):
            folders.sort()
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path):
                    yield _file(prefix + os.path.relpath(path, top), path)


def _raise(error: OSError) -> None:
    raise error


def _file(name: str, path: str) -> _File:
    info = os.stat(path)
    return _File(name, path, info.st_size, info.st_mtime_ns)


def _digest(files: list[_File], deadline: Deadline, is_small: bool) -> str | None:
    """Digest names, sizes and bytes (of a sample: the ends); None when the time is up."""
    whole = hashlib.sha256()
    for file in files:
        whole.update(os.fsencode(file.name) + b"\0%d\n" % file.bytes)
    read = files if is_small else [files[i] for i in draw(len(files), _N_SAMPLED, 0)]
    for file in read:
        starts = [0] if is_small else [0, max(0, file.bytes - _END)]
        with open(file.path, "rb") as opened:
            for start in starts:
                opened.seek(start)
                left = file.bytes if is_small else min(_END, file.bytes)
                while left > 0 and (piece := opened.read(min(_CHUNK, left))):
                    if deadline.passed():
                        return None
                    whole.update(piece)
                    left -= len(piece)
    return f"sha256:{whole.hexdigest()}"
