"""Values that lie on a GPU: copied on their own stream, written when they have arrived.

`log()` never waits for the device. The copy is enqueued on the tensor's current stream before the
call returns, so that what the user does to the tensor afterwards comes after it; an event behind
the copy tells when the number is there, and it follows in a LATE record with the call's seq.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from typing import Any, Final, NamedTuple

from labbook.journal.writer import JournalWriter

__all__ = ["Copied", "DeviceValues"]

_SLOTS: Final = 4096


class Copied(NamedTuple):
    """Copies under way, of one call and one device."""

    event: Any
    cells: tuple[tuple[int, int], ...]
    """(index in the row, slot in pinned memory)."""


class DeviceValues:
    """The copies that have not arrived yet, oldest first."""

    def __init__(self, writer: JournalWriter) -> None:
        self._writer = writer
        self._waiting: deque[tuple[int, Copied]] = deque()
        self._lock = threading.Lock()
        self._pinned: Any = None
        self._free: list[int] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def copy(self, tensors: list[tuple[int, Any]]) -> list[Copied]:
        """Enqueue copies of (index, 0-d CUDA tensor); what cannot be copied stays null.

        A full ring, a stream under graph capture or a CUDA error costs the value, never the loop:
        it is counted.
        """
        torch = sys.modules["torch"]
        by_device: dict[Any, list[tuple[int, Any]]] = {}
        for index, tensor in tensors:
            by_device.setdefault(tensor.device, []).append((index, tensor))
        done = []
        for device, group in by_device.items():
            try:
                with torch.no_grad(), torch.cuda.device(device):
                    copied = self._enqueue(torch, group)
            except RuntimeError as error:
                self._writer.fault("device", f"a value on {device} could not be copied: {error}")
                continue
            if copied is not None:
                done.append(copied)
        return done

    def wait_for(self, seq: int, copies: list[Copied]) -> None:
        """Remember which row the copies belong to."""
        self._waiting.extend((seq, copied) for copied in copies)

    def drain(self, timeout_s: float = 0.0) -> None:
        """Write what has arrived, for at most `timeout_s`; with 0, what is there already."""
        deadline = time.monotonic() + timeout_s
        with self._lock:
            while self._waiting:
                seq, copied = self._waiting[0]
                if not self._arrived(copied):
                    if time.monotonic() >= deadline:
                        return
                    time.sleep(0.0005)
                    continue
                self._waiting.popleft()
                cells = [(index, float(self._pinned[slot])) for index, slot in copied.cells]
                self._free += (slot for _, slot in copied.cells)
                self._writer.late(seq, cells)

    def _arrived(self, copied: Copied) -> bool:
        try:
            return bool(copied.event.query())
        except RuntimeError:  # a broken context: the value will never come
            return False

    def _enqueue(self, torch: Any, group: list[tuple[int, Any]]) -> Copied | None:
        if torch.cuda.is_current_stream_capturing():
            self._writer.fault(
                "device", "values logged while a CUDA graph is captured cannot be copied: null"
            )
            return None
        if self._pinned is None:
            self._pinned = torch.empty(_SLOTS, dtype=torch.float64, pin_memory=True)
            self._free = list(range(_SLOTS))
        if len(self._free) < len(group):
            self._writer.fault(
                "device", f"over {_SLOTS} values are on their way from the device: null"
            )
            return None
        cells = []
        for index, tensor in group:
            slot = self._free.pop()
            value = tensor.detach().reshape(1).to(torch.float64)
            self._pinned[slot : slot + 1].copy_(value, non_blocking=True)
            cells.append((index, slot))
        event = torch.cuda.Event()
        event.record()
        return Copied(event, tuple(cells))
