"""The file server's clock: what a file gets as its time when it is touched now.

Ages of leases and checkpoints are differences of two such times, so a wrong clock on a host, or
one that jumps, changes nothing.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["Clock", "server_now_ns"]

_REFRESH_S = 30.0


class Clock:
    """The server's clock without a probe at every look: the monotonic clock counts in between."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._probed = -_REFRESH_S
        self._server_ns = 0

    def now_ns(self) -> int:
        """Now, by the file server."""
        now = time.monotonic()
        if self._server_ns == 0 or now - self._probed > _REFRESH_S:
            self._server_ns, self._probed = server_now_ns(self._folder), now
        return self._server_ns + int((now - self._probed) * 1e9)


def server_now_ns(folder: Path) -> int:
    """Now, by the clock that stamps files in `folder` (ours, where nothing can be written)."""
    probe = folder / f".clock-{os.getpid()}"
    try:
        fd = os.open(probe, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.utime(fd)
            return os.fstat(fd).st_mtime_ns
        finally:
            os.close(fd)
            os.unlink(probe)
    except OSError:
        # a folder that cannot be written holds no leases either
        return time.time_ns()
