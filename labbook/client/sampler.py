"""Reads the sources of gauges, one after another, on one daemon thread.

Invariants: nothing raises out of it; a source that fails leaves nulls, never zeros; a call into a
driver that does not come back holds up neither the training nor the end of the run. Such a source
is given up with its thread and the others go on in a new one; when the call does come back the
source is read again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from labbook.client.pace import Pace

__all__ = ["HUNG_S", "Report", "Sampler", "Source"]

HUNG_S: Final = 10.0
"""A source that has not answered for so long is given up for the time being."""

Report = Callable[[str, "BaseException | None"], None]
"""Told of a source (or part of one) by name: the error when it fails, None when it works."""

Write = Callable[[tuple[str, ...], "list[float | None]"], None]


class Source(Protocol):
    """One group of gauges, read together."""

    least_s: float
    """It is not read more often than this, in seconds."""

    @property
    def names(self) -> tuple[str, ...]:
        """The gauges of the last reading; empty where the machine has none of these."""

    def read(self) -> list[float | None]:
        """Return the values in the order of `names`; None where the machine does not say."""


@dataclass
class _Due:
    source: Source
    name: str
    interval: float
    at: float = 0.0
    is_given_up: bool = False


class Sampler:
    """Reads each source every `interval` seconds, or as seldom as it asks for."""

    def __init__(
        self, open_sources: Callable[[], Sequence[Source]], write: Write, report: Report
    ) -> None:
        self._open = open_sources
        self._write = write
        self._report = report
        self._due: list[_Due] | None = None
        self._pace = Pace()
        self._stopping = threading.Event()
        self._guard = threading.Lock()
        self._turn = 0  # which thread samples; a thread of another turn was given up
        self._asking: tuple[_Due, float] | None = None
        self.thread: threading.Thread | None = None

    def start(self, interval: float) -> None:
        """Begin sampling."""
        self._interval = interval
        self._begin(self._turn)

    def stop(self, timeout: float) -> None:
        """End sampling: nothing is written afterwards. Waits at most `timeout` seconds."""
        deadline = time.monotonic() + timeout
        # the lock is held while a row is written: a row that is late must not follow the end
        has_it = self._guard.acquire(timeout=timeout)
        self._stopping.set()
        if has_it:
            self._guard.release()
        if self.thread is not None and self.thread is not threading.current_thread():
            self.thread.join(max(0.0, deadline - time.monotonic()))

    def sample(self, interval: float = 1.0) -> None:
        """Read every source once, now, on this thread."""
        self._interval = interval
        for due in self._opened():
            self._sample(due, self._turn)

    def look_after(self) -> None:
        """Give up a source that does not answer; to be called every second, on another thread."""
        with self._guard:
            if self._asking is None or self._stopping.is_set():
                return
            due, since = self._asking
            if time.monotonic() - since < HUNG_S:
                return
            due.is_given_up, self._asking = True, None
            self._turn += 1
        self._report(due.name, TimeoutError(f"no answer for {HUNG_S:.0f} s"))
        self._begin(self._turn)

    def _begin(self, turn: int) -> None:
        self.thread = threading.Thread(
            target=self._run, args=(turn,), name="labbook-gauges", daemon=True
        )
        self.thread.start()

    def _opened(self) -> list[_Due]:
        if self._due is None:
            self._due = [
                _Due(source, type(source).__name__, max(self._interval, source.least_s))
                for source in self._open()
            ]
        return self._due

    def _run(self, turn: int) -> None:
        sources = self._opened()
        while sources:
            now = time.monotonic()
            for due in sources:
                if now >= due.at:
                    self._sample(due, turn)
                    if self._stopping.is_set() or turn != self._turn:
                        return
                    step = self._pace.stretched(due.name, due.interval)
                    # what was missed while something took long is not made up for
                    due.at = max(due.at + step, now) if due.at else now + step
            if self._stopping.wait(max(0.0, min(d.at for d in sources) - time.monotonic())):
                return

    def _sample(self, due: _Due, turn: int) -> None:
        values: list[float | None] | None = None
        if not due.is_given_up:
            self._asking = due, time.monotonic()
            began = time.thread_time()
            values = self._read(due)
            self._pace.spent(due.name, due.interval, time.thread_time() - began)
        with self._guard:
            if turn != self._turn:
                due.is_given_up = False  # it came back at last: the thread that samples now asks it
                return
            self._asking = None
            names = due.source.names
            if names and not self._stopping.is_set():
                self._write(names, [None] * len(names) if values is None else values)

    def _read(self, due: _Due) -> list[float | None] | None:
        try:
            values = due.source.read()
        except Exception as error:  # the border to the system: a gauge must not end the thread
            self._report(due.name, error)
            return None
        self._report(due.name, None)
        return values
