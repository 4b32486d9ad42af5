"""Gauges: what the machine does while the net trains, sampled by one daemon thread.

Invariant: nothing here raises into the training. A source that fails leaves nulls, is counted and
said once, and the others go on. The thread also calls what is due every second (`add`): the
journal's heartbeat, registering checkpoints, sealing. A forked child does not inherit it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from labbook.client.recorder import Recorder

__all__ = ["TICK_S", "Gauges", "Source"]

TICK_S: Final = 1.0
"""Callbacks are due so often, whatever the interval of the gauges."""


class Source(Protocol):
    """One group of gauges that work or fail together."""

    @property
    def names(self) -> tuple[str, ...]:
        """The gauges' names, always the same."""

    def read(self) -> list[float | None]:
        """Return the values in the order of `names`; None where the machine does not say."""


@dataclass
class _Due:
    """Something to be done every `interval` seconds."""

    interval: float
    call: Callable[[], None]
    name: str
    at: float = 0.0


class Gauges:
    """Samples the machine every `interval` seconds into the table "gauges"; 0 samples nothing."""

    def __init__(
        self, writer: Recorder, interval: float = 1.0, *, book: Path | None = None
    ) -> None:
        self._writer = writer
        self._book = book
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        self._sources: list[Source] | None = None
        self._names: tuple[str, ...] = ()
        self._due: list[_Due] = []
        if interval > 0:
            self._due.append(_Due(interval, self.sample, "gauges"))

    def add(self, callback: Callable[[], None], every: float = TICK_S) -> None:
        """Call `callback` on this thread every so many seconds; what it raises is counted."""
        name = getattr(callback, "__qualname__", "callback")
        self._due.append(_Due(every, callback, name))

    def start(self) -> None:
        """Begin sampling."""
        self._thread = threading.Thread(target=self._run, name="labbook-gauges", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 1.0) -> None:
        """End sampling; returns when the thread has ended, or after `timeout` seconds."""
        # in a forked child the thread is not there, and its locks may be held for ever
        if self._thread is None or os.getpid() != self._pid:
            return
        self._stopping.set()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def sample(self) -> None:
        """Take one sample now and write it."""
        if self._sources is None:
            self._sources = self._open()
            self._names = tuple(name for source in self._sources for name in source.names)
        values: list[float | None] = []
        for source in self._sources:
            values += self._read(source)
        if self._names:
            self._writer.row("gauges", self._names, values, None)

    def _open(self) -> list[Source]:
        from labbook.client.gauge_nvidia import visible_gpus

        sources: list[Source] = []
        try:
            # imported here: psutil costs 15 ms that start() must not wait for
            from labbook.client.gauge_host import DiskSource, HostSource, ProcessSource

            sources += [ProcessSource(self._pid), HostSource()]
            if self._book is not None:
                sources.append(DiskSource(self._book))
        except ImportError as error:
            self._fault("psutil", error)
        try:
            sources += visible_gpus()
        except Exception as error:  # the border to a driver: whatever it is, training goes on
            self._fault("nvidia", error)
        return sources

    def _read(self, source: Source) -> list[float | None]:
        try:
            return source.read()
        except Exception as error:  # the border to the system: a gauge must not end the thread
            self._fault(type(source).__name__, error)
            return [None] * len(source.names)

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

    def _fault(self, source: str, error: BaseException) -> None:
        self._writer.fault(f"gauges-{source}", f"gauge {source}: {type(error).__name__}: {error}")
