"""Claims on work, as files: any number of watchers on any number of hosts share a book.

A claim on a key is the file `<key>.<generation>`, created with O_EXCL. Its owner touches it; when
the newest generation is older than `TTL_S`, or its owner is known to be dead, or it was released,
anyone may create the next one. Nothing is ever renamed over or deleted while it could be live, and
what decides in the end is the publication of the result by a hard link: an owner that slept through
its lease can waste work, never spoil a result.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labbook.watch.clock import server_now_ns

__all__ = ["HEARTBEAT_S", "TTL_S", "Lease", "claim", "live", "newest", "sweep"]

HEARTBEAT_S = 15.0
TTL_S = 120.0  # three heartbeats and the 60 s an NFS client may cache attributes (nfs(5), acdirmax)


@dataclass(frozen=True)
class Lease:
    """One generation of a claim that this process made."""

    path: Path

    @property
    def key(self) -> str:
        """What is claimed."""
        return self.path.name.rpartition(".")[0]

    @property
    def generation(self) -> int:
        """Counts the claims on this key, from 1."""
        return int(self.path.name.rpartition(".")[2])

    def beat(self) -> bool:
        """Keep the claim; False when a newer generation exists, or ours is gone."""
        try:
            os.utime(self.path)
        except OSError:
            return False
        return newest(self.path.parent, self.key) == self.generation

    def release(self) -> None:
        """Give the claim up, without a result: the next claimer need not wait."""
        try:
            with open(self.path, "r+b") as file:
                file.write(b'{"released":true}')
                file.truncate()
        except OSError:
            pass  # gone, or unwritable: it expires

    def close(self) -> None:
        """The result is published: no generation of this key is needed any more."""
        for path, _ in _generations(self.path.parent, self.key):
            path.unlink(missing_ok=True)


def claim(folder: Path, key: str) -> Lease | None:
    """Claim `key`; None when someone else holds it. The caller then looks for a result again."""
    folder.mkdir(parents=True, exist_ok=True)
    generations = _generations(folder, key)
    if generations and not _is_void(generations[-1][0]):
        return None
    number = generations[-1][1] + 1 if generations else 1
    path = folder / f"{key}.{number}"
    try:
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return None
    with open(fd, "wb") as file:
        file.write(json.dumps(_owner()).encode())
    return Lease(path)


def newest(folder: Path, key: str) -> int:
    """The newest generation of a key; 0 when there is none."""
    generations = _generations(folder, key)
    return generations[-1][1] if generations else 0


def sweep(folder: Path, has_result: Callable[[str], bool] = lambda key: False) -> None:
    """Remove what dead owners left: generations that a newer one has replaced, and void claims on
    keys that have their result.
    """
    keys = {path.name.rpartition(".")[0] for path in _files(folder)}
    for key in keys:
        paths = [path for path, _ in _generations(folder, key)]
        is_over = bool(paths) and has_result(key) and _is_void(paths[-1])
        for path in paths if is_over else paths[:-1]:
            try:
                path.unlink(missing_ok=True)
            except OSError:
                pass  # not ours to remove: it does no harm


def live(folder: Path) -> set[str]:
    """File names of the claims someone may be working under."""
    return {path.name for path in _files(folder) if not _is_void(path)}


def _is_void(path: Path) -> bool:
    """True when nobody works under this claim any more."""
    try:
        # open and fstat: NFS revalidates attributes on open, not on stat
        with open(path, "rb") as file:
            touched_ns = os.fstat(file.fileno()).st_mtime_ns
            raw = file.read(4096)
    except OSError:
        return False
    age_s = (server_now_ns(path.parent) - touched_ns) / 1e9
    try:
        owner = json.loads(raw)
    except ValueError:
        owner = {}  # its owner has not written it yet, or died before it could
    if not isinstance(owner, dict):
        owner = {}
    # far in the future: the server's clock was set back, and nobody touched it since
    return owner.get("released") is True or abs(age_s) > TTL_S or _is_dead(owner)


def _is_dead(owner: dict[str, Any]) -> bool:
    """True only where it is certain: an owner of this boot and namespace whose process is gone."""
    mine = _owner()
    here = all(
        owner.get(part) is not None and owner.get(part) == mine[part]
        for part in ("host", "boot_id", "pid_namespace")
    )
    return here and _started(owner.get("pid")) != owner.get("started")


def _owner() -> dict[str, Any]:
    pid = os.getpid()
    return {
        "host": socket.gethostname(),
        "boot_id": _text("/proc/sys/kernel/random/boot_id"),
        "pid_namespace": _link("/proc/self/ns/pid"),
        "pid": pid,
        "started": _started(pid),
    }


def _started(pid: Any) -> str | None:
    """When a process began, in clock ticks since boot: tells a reused pid from the old one."""
    text = _text(f"/proc/{pid}/stat") if isinstance(pid, int) else None
    return text.rpartition(")")[2].split()[19] if text else None


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def _link(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def _generations(folder: Path, key: str) -> list[tuple[Path, int]]:
    prefix = f"{key}."
    found = []
    for path in _files(folder):
        if path.name.startswith(prefix) and path.name[len(prefix) :].isdigit():
            found.append((path, int(path.name[len(prefix) :])))
    return sorted(found, key=lambda pair: pair[1])


def _files(folder: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except OSError:
        return []
