"""Writing observations into the journal without making the training wait for the disk.

Invariants. A small observation is in the journal when `put` returns, and so survives SIGKILL. A
large one is written by a thread, in records of `CHUNK_BYTES`, so that `log()` never waits long for
the journal's lock; what is queued at a SIGKILL is lost, up to `QUEUE_BYTES` and usually a few
milliseconds' worth. What does not fit into the queue is refused, never dropped in silence.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from labbook.client.columns import Column, cut, header_of
from labbook.client.recorder import Recorder

__all__ = ["CHUNK_BYTES", "DIRECT_BYTES", "QUEUE_BYTES", "Outbox"]

DIRECT_BYTES: Final = 128 << 10
"""Up to here an observation is written at once: a fifth of a millisecond."""

CHUNK_BYTES: Final = 256 << 10
QUEUE_BYTES: Final = 256 << 20


@dataclass(frozen=True)
class _Letter:
    header: dict[str, Any]
    columns: list[Column]
    step: int
    time_ns: int
    n_bytes: int
    refused: Callable[[str], None]


class Outbox:
    """The way of a run's observations into its journal. Thread-safe."""

    def __init__(self, writer: Recorder) -> None:
        self.sets: dict[str, Any] = {}
        """Names of the run's chosen sets, and what each of them holds."""
        self._writer = writer
        self._pid = os.getpid()
        self._changed = threading.Condition()  # over an RLock: a signal handler may come in between
        self._queue: deque[_Letter] = deque()
        self._queued = 0
        self._thread: threading.Thread | None = None
        self._closed = False

    def put(
        self,
        header: dict[str, Any],
        columns: list[Column],
        step: int,
        refused: Callable[[str], None],
    ) -> bool:
        """Write or queue the columns; False, and `refused(reason)` called, where there is no room.

        `refused` is called too, by `close`, for what time did not suffice for.
        """
        n_bytes = sum(column.n_bytes for column in columns)
        # a forked child has neither the thread nor, perhaps, the lock
        if n_bytes <= DIRECT_BYTES or self._closed or os.getpid() != self._pid:
            parts = [part for column in columns for part in column.parts()]
            self._writer.array({**header, "columns": header_of(columns)}, parts, step)
            return True
        letter = _Letter(header, columns, step, time.time_ns(), n_bytes, refused)
        with self._changed:
            if not self._queued or self._queued + n_bytes <= QUEUE_BYTES:
                self._queue.append(letter)
                self._queued += n_bytes
                self._start()
                self._changed.notify()
                return True
        refused(f"{self._queued >> 20} MiB of earlier ones still wait for the disk")
        return False

    def close(self, timeout_s: float) -> None:
        """Wait until all is written, so long at most; what is left then is refused."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            self._closed = True
            self._changed.notify()
            while self._queued and self._changed.wait(max(0.0, deadline - time.monotonic())):
                pass
            left = list(self._queue)
            self._queue.clear()
        for letter in left:
            letter.refused("the run ended before it was written")

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="labbook-outbox", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # no more threads: write it here and now
                self._thread = None
                self._write_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queue:
                    if self._closed:
                        return
                    self._changed.wait()
            self._write_all()

    def _write_all(self) -> None:
        while True:
            with self._changed:
                if not self._queue:
                    return
                letter = self._queue[0]
            try:
                self._write(letter)
            except MemoryError:
                letter.refused("out of memory while it was written")
            with self._changed:
                if self._queue and self._queue[0] is letter:
                    self._queue.popleft()
                self._queued -= letter.n_bytes
                self._changed.notify_all()

    def _write(self, letter: _Letter) -> None:
        """Write one observation as records of some of its examples each."""
        first = letter.columns[0]
        n = first.shape[0] if first.lengths is None else len(first.lengths)
        rows = max(1, n * CHUNK_BYTES // letter.n_bytes)
        for start in range(0, n, rows):
            columns = [cut(column, start, min(start + rows, n)) for column in letter.columns]
            header = {**letter.header, "first": start, "columns": header_of(columns)}
            parts = [part for column in columns for part in column.parts()]
            self._writer.array(header, parts, letter.step, letter.time_ns)
