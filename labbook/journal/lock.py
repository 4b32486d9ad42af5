"""Who is alive: a POSIX record lock that the writing process holds for as long as it lives.

`fcntl.lockf`, not `flock`: a forked data-loader worker inherits a `flock` and would keep a killed
trainer looking alive. The price: closing *any* descriptor of the file drops the lock, so the file
is opened exactly once by its owner, and `probe` never opens a file this process holds.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path
from typing import Literal

__all__ = ["Presence", "WriterLock", "holds", "probe"]

Presence = Literal["held", "free", "unknown"]

# (pid, device, inode) of the lock files this process holds; the pid tells a fork from its parent
_held: set[tuple[int, int, int]] = set()

_TAKEN_OR_WITHOUT_LOCKS = {
    errno.EACCES,
    errno.EAGAIN,
    errno.ENOLCK,
    errno.ENOTSUP,
    errno.ENOSYS,
}
_FLOCK = struct.Struct("hhqqi4x")  # struct flock on 64-bit Linux


class WriterLock:
    """An exclusive lock on one file, released when closed or when the process dies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None
        self._key: tuple[int, int, int] | None = None

    def acquire(self) -> bool:
        """Take the lock; False when another process has it, or the file system has no locks.

        Raises `OSError` when the file cannot be made.
        """
        if holds(self.path):
            return False
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            if error.errno in _TAKEN_OR_WITHOUT_LOCKS:
                return False
            raise
        info = os.fstat(fd)
        self._fd = fd
        self._key = (os.getpid(), info.st_dev, info.st_ino)
        _held.add(self._key)
        return True

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._fd is None:
            return
        fd, self._fd = self._fd, None
        _held.discard(self._key or (0, 0, 0))
        os.close(fd)


def holds(path: Path) -> bool:
    """Whether this very process holds the lock on `path`."""
    try:
        info = os.stat(path)
    except OSError:
        return False
    return (os.getpid(), info.st_dev, info.st_ino) in _held


def probe(path: Path) -> Presence:
    """Whether a live process of this host holds the lock, without taking it.

    `unknown` when the file is missing or cannot be asked. What `free` means on another host, or in
    another pid namespace, is for the caller to judge.
    """
    if holds(path):
        return "held"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return "unknown"
    try:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = fcntl.fcntl(fd, fcntl.F_GETLK, asked)
    except OSError:
        return "unknown"
    finally:
        os.close(fd)
    return "free" if _FLOCK.unpack(answer)[0] == fcntl.F_UNLCK else "held"
