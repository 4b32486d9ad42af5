"""What a file is, apart from its name: identities around a load, and digests of content.

An identity (device, inode, size, modification time) is compared before and after a checkpoint is
loaded: a difference means that it was rewritten meanwhile, and what was loaded is thrown away.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["CHUNK", "Identity", "Tick", "canonical", "digest_of", "hash_files", "identify"]

CHUNK = 4 << 20
_DEPTH = 8  # tensor stores keep an array in folders of its own
Tick = Callable[[], None]
"""Called between chunks of a long read, so that leases stay fresh."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The identities of every file of a checkpoint: (name, dev, ino, size, mtime_ns), by name."""

    files: tuple[tuple[str, int, int, int, int], ...]

    @property
    def size(self) -> int:
        """Bytes, all files together."""
        return sum(entry[3] for entry in self.files)

    @property
    def mtime_ns(self) -> int:
        """When the newest file last changed, by the file server's clock."""
        return max((entry[4] for entry in self.files), default=0)

    def content(self) -> tuple[tuple[str, int, int], ...]:
        """(name, size, mtime_ns): what a copy that keeps times has in common with it."""
        return tuple((name, size, mtime) for name, _, _, size, mtime in self.files)


def identify(path: Path) -> Identity:
    """The identity of a file, or of the files in a folder, up to `_DEPTH` levels of subfolders.

    Raises `FileNotFoundError` when it is gone.
    """
    status = os.stat(path)
    if not os.path.isdir(path):
        return Identity((_entry("", status),))
    found = []
    for folder, names in _levels(path):
        for name in names:
            inner = os.path.join(folder, name)
            found.append(_entry(os.path.relpath(inner, path), os.stat(inner)))
    return Identity(tuple(sorted(found)))


def hash_files(root: Path, names: Iterable[str], tick: Tick) -> str:
    """SHA-256 over the bytes of `names` below `root`, each with its name and size; `""` is root."""
    whole = hashlib.sha256()
    for name in names:
        path = root / name if name else root
        whole.update(f"{name}\0{os.path.getsize(path)}\0".encode())
        _feed(whole, path, tick)
    return f"sha256:{whole.hexdigest()}"


def digest_of(path: Path, tick: Tick) -> str:
    """SHA-256 of one file's bytes, written `sha256:…`."""
    whole = hashlib.sha256()
    _feed(whole, path, tick)
    return f"sha256:{whole.hexdigest()}"


def canonical(value: Any) -> bytes:
    """`value` as JSON bytes that are equal for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _feed(whole: hashlib._Hash, path: Path, tick: Tick) -> None:
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            whole.update(chunk)
            tick()


def _levels(path: Path) -> Iterable[tuple[str, list[str]]]:
    for folder, folders, names in os.walk(path):
        if os.path.relpath(folder, path).count(os.sep) >= _DEPTH:
            folders.clear()
        yield folder, names


def _entry(name: str, status: os.stat_result) -> tuple[str, int, int, int, int]:
    return (name, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
