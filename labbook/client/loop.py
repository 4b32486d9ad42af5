"""One daemon thread that calls what is due, and never lets anything raise out of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

__all__ = ["TICK_S", "Loop"]

TICK_S: Final = 1.0


@dataclass
class _Due:
    """Something to be done every `interval` seconds."""

    interval: float
    call: Callable[[], None]
    name: str
    at: float = 0.0


class Loop:
    """Calls what was added, each at its interval; `fault` gets name and error of what raised."""

    def __init__(self, name: str, fault: Callable[[str, Exception], None]) -> None:
        self._fault = fault
        self._due: list[_Due] = []
        self._stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def add(self, callback: Callable[[], None], every: float = TICK_S) -> None:
        """Call `callback` on the thread every so many seconds."""
        self._due.append(_Due(every, callback, getattr(callback, "__qualname__", "callback")))

    def start(self) -> None:
        """Begin."""
        self.thread.start()

    def stop(self, timeout: float) -> None:
        """End; returns when the thread has ended, or after `timeout` seconds."""
        self._stopping.set()
        if self.thread is not threading.current_thread():
            self.thread.join(timeout)

    def _run(self) -> None:
        while not self._stopping.is_set():
            now = time.monotonic()
            for due in tuple(self._due):
                if now >= due.at:
                    # what was missed while something took long is not made up for
                    due.at = max(due.at + due.interval, now) if due.at else now + due.interval
                    self._call(due)
            wait = min((due.at for due in self._due), default=now + TICK_S) - time.monotonic()
            self._stopping.wait(max(wait, 0.0))

    def _call(self, due: _Due) -> None:
        try:
            due.call()
        except Exception as error:  # the border of the daemon loop
            self._fault(due.name, error)
