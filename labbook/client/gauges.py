"""Gauges: what the machine does while the net trains, and what else is due every second.

Invariant: nothing here raises into the training or holds it up. Two daemon threads: one reads the
gauges (`labbook.client.sampler`); the other, which no driver can block, calls what `add` was given:
the journal's heartbeat, registering checkpoints, sealing. A forked child inherits neither.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from labbook.client.loop import TICK_S, Loop
from labbook.client.recorder import Recorder
from labbook.client.sampler import Sampler, Source

__all__ = ["TICK_S", "Gauges", "Source"]

_MOST_EVENTS: Final = 100
"""Failures and recoveries written into the journal; all are counted."""


def _nowhere() -> Sequence[str]:
    return ()


def _untold(fact: str, value: dict[str, Any]) -> None:
    return


class Gauges:
    """Samples the machine every `interval` seconds into the table "gauges"; 0 samples nothing.

    `places` gives the folders of checkpoints outside the book; `tell` keeps a fact about the run.
    """

    def __init__(
        self,
        writer: Recorder,
        interval: float = 1.0,
        *,
        book: Path | None = None,
        places: Callable[[], Sequence[str]] = _nowhere,
        tell: Callable[[str, dict[str, Any]], None] = _untold,
    ) -> None:
        self._writer = writer
        self._interval = interval
        self._book = book
        self._places = places
        self._tell = tell
        self._pid = os.getpid()
        self._is_started = False
        self._failing: set[str] = set()
        self._n_events = 0
        self._ticks = Loop("labbook-ticks", self._fault)
        self._sampler = Sampler(self._open, self._row, self.report)

    def add(self, callback: Callable[[], None], every: float = TICK_S) -> None:
        """Call `callback` beside the training every so many seconds; what it raises is counted."""
        self._ticks.add(callback, every)

    def start(self) -> None:
        """Begin sampling."""
        self._is_started = True
        if self._interval > 0:
            self._ticks.add(self._sampler.look_after)
            self._sampler.start(self._interval)
        self._ticks.start()

    def stop(self, timeout: float = 1.0) -> None:
        """End sampling; returns when the threads have ended, or after `timeout` seconds."""
        # in a forked child the threads are not there, and their locks may be held for ever
        if not self._is_started or os.getpid() != self._pid:
            return
        self._ticks.stop(timeout / 2)
        self._sampler.stop(timeout / 2)

    def sample(self) -> None:
        """Take one sample now and write it."""
        self._sampler.sample(self._interval)

    def report(self, who: str, error: BaseException | None) -> None:
        """Take note that a source fails, or that it works: the changes become events of the run."""
        if error is None:
            if who in self._failing:
                self._failing.discard(who)
                self._event(f"gauge {who} answers again")
            return
        if who not in self._failing:
            self._failing.add(who)
            self._event(f"gauge {who} is null from here on: {type(error).__name__}: {error}")
        self._fault(who, error)

    def _event(self, text: str) -> None:
        self._n_events += 1
        if self._n_events <= _MOST_EVENTS:
            self._writer.event("gauges", text)

    def _row(self, names: tuple[str, ...], values: list[float | None]) -> None:
        self._writer.row("gauges", names, values, None)

    def _open(self) -> list[Source]:
        sources: list[Source] = []
        try:
            # imported here: psutil costs 15 ms that start() must not wait for
            from labbook.client.gauge_host import DiskSource, HostSource, TrafficSource
            from labbook.client.gauge_process import ProcessSource, ShareSource
        except ImportError as error:
            self._fault("psutil", error)
            return sources
        processes = ProcessSource(self._pid)
        sources += [processes, HostSource(), TrafficSource(), ShareSource(processes)]
        if self._book is not None:
            sources.append(DiskSource(self._book, self._places))
        try:
            from labbook.client.gauge_gpu import visible_gpus

            sources += visible_gpus(lambda: processes.pids, self.report, self._tell)
        except Exception as error:  # the border to a driver: whatever it is, training goes on
            self.report("gpu", error)
        return sources

    def _fault(self, source: str, error: BaseException) -> None:
        self._writer.fault(f"gauges-{source}", f"gauge {source}: {type(error).__name__}: {error}")
