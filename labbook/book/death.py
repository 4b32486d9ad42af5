"""Proof that a writer is dead, before anybody else may remove its segments.

The proof is the writer's own lock, held for as long as the answer is needed. A lock alone can lie:
another host may not share it, and a careless second open drops it. So the writer's host must be
ours, and where its process can be looked up it must be gone.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from labbook.book.facts import Process
from labbook.book.states import FRESH_NS, heartbeat_ns, is_alive, is_own_host, is_own_namespace
from labbook.errors import StoreError
from labbook.journal.lock import WriterLock, probe
from labbook.paths import RunPaths

__all__ = ["hold_dead"]

_LOCAL: Final = frozenset(
    {"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"}
)


@contextmanager
def hold_dead(paths: RunPaths, writer: str, process: Process | None) -> Iterator[None]:
    """Hold a dead writer's lock.

    Raises `StoreError` saying why when the writer lives, or when nobody can know.
    """
    why = _doubt(paths, writer, process)
    if why is not None:
        raise StoreError(f"{paths.id}: {writer} {why}; its journal stays, and is read as it is")
    lock = WriterLock(paths.lock(writer))
    if not lock.acquire():
        raise StoreError(f"{paths.id}: {writer} holds its lock: it is alive")
    try:
        yield
    finally:
        lock.release()


def _doubt(paths: RunPaths, writer: str, process: Process | None) -> str | None:
    """Why it may not be dead, as far as that shows without the lock."""
    if process is None or not process.conditions:
        return "has no conditions that say where it ran"
    conditions = process.conditions
    if conditions.get("host") != socket.gethostname():
        return f"ran on host {conditions.get('host')}: only that host can know whether it is dead"
    if not is_own_host(conditions) and not _is_local(paths.root):
        return "ran before this host was booted, or on another of that name"
    if process.end is not None:
        return None
    is_gone = False
    if is_own_namespace(conditions):
        alive = is_alive(conditions, process.started_ns)
        if alive:
            return f"is alive as process {conditions.get('pid')}"
        is_gone = alive is False
    seen_ns = heartbeat_ns(paths)
    if not is_gone and seen_ns is not None and time.time_ns() - seen_ns < FRESH_NS:
        return "wrote within the last minute"
    if not is_gone and probe(paths.lock(writer)) == "unknown":
        return "has no lock that could be asked"
    return None


def _is_local(path: Path) -> bool:
    """Whether a file system belongs to this host alone."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return False
    real = os.path.realpath(path)
    best, kind = "", ""
    for line in lines:  # fields: see proc_pid_mountinfo(5)
        left, _, right = line.partition(" - ")
        mount = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), left.split()[4])
        inside = real == mount or real.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, right.split()[0]
    return kind in _LOCAL
