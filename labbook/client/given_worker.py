"""Batches on their way from the training to the data card: arriving from a device, then described.

Invariant: nothing here raises into the training or waits in it; copies that have not arrived are
looked at again at the next forward pass, on the training's own thread, because a call into CUDA
from another one would break a graph that is being captured.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Literal, NamedTuple

from labbook.client.given_leaves import Copy

__all__ = ["Batch", "Describer", "Mode"]

Mode = Literal["train", "eval"]


class Batch(NamedTuple):
    """Copies of one batch's inputs and targets."""

    mode: Mode
    inputs: list[Copy]
    targets: list[Copy]

    @property
    def n_bytes(self) -> int:
        """What the copies take."""
        return sum(copy.n_bytes for copy in (*self.inputs, *self.targets))

    def has_arrived(self) -> bool:
        """Whether all of it can be read."""
        return all(copy.has_arrived() for copy in (*self.inputs, *self.targets))


class Describer:
    """A thread that describes batches, and writes the card after 1, 2, 4, 8 … of them."""

    def __init__(
        self,
        describe: Callable[[Batch], None],
        write: Callable[[], None],
        fault: Callable[[str], None],
    ) -> None:
        self._describe, self._write, self._fault = describe, write, fault
        self._arriving: deque[Batch] = deque()
        self._arrived: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._worker: threading.Thread | None = None
        self.waiting = 0
        """Bytes that are not described yet."""

    @property
    def has_arrived(self) -> bool:
        """Whether no copy is on its way."""
        return not self._arriving

    def submit(self, batch: Batch) -> None:
        """Take a batch in."""
        with self._lock:
            self.waiting += batch.n_bytes
        self._arriving.append(batch)
        self.pass_on()

    def pass_on(self) -> None:
        """Hand over what has arrived."""
        while self._arriving and self._arriving[0].has_arrived():
            self._arrived.put(self._arriving.popleft())
            if self._worker is None:
                self._worker = threading.Thread(
                    target=self._work, name="labbook-given", daemon=True
                )
                self._worker.start()

    def end(self) -> None:
        """Let the thread end, and write the card, when it has described what it has."""
        self._arrived.put(None)

    def finish(self, timeout_s: float) -> None:
        """Wait until all is described and written, or the time is up."""
        deadline = time.monotonic() + max(timeout_s, 0.0)
        try:
            self.pass_on()
            while self._arriving and time.monotonic() < deadline:
                time.sleep(0.0005)
                self.pass_on()
        except RuntimeError as error:  # a broken device: its copies will never come
            self._fault(f"the last batches did not arrive: {error}")
        self.end()
        if self._worker is not None and self._worker is not threading.current_thread():
            self._worker.join(max(deadline - time.monotonic(), 0.0))

    def _work(self) -> None:
        n_described, due = 0, 1
        while (batch := self._arrived.get()) is not None:
            try:
                self._describe(batch)
                n_described += 1
                if n_described >= due:
                    due *= 2
                    self._write()
            except Exception as error:  # the border of the daemon loop
                self._fault(f"a batch could not be described: {type(error).__name__}: {error}")
            with self._lock:
                self.waiting -= batch.n_bytes
        self._write()
