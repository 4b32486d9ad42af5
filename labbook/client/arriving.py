"""Measurements on their way from the devices: one small vector a device and sample.

Invariant: sending never waits for a CUDA device. The copy is enqueued behind the kernels that make
the numbers; an event behind it tells when they are there, and they are handed on by a later call.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Arriving", "Vector"]

Vector = tuple[Sequence[str], "Tensor"]
"""Names (n,) and their values (n,), on any device and of any number type."""

MOST: Final = 64
"""Samples on their way; beyond it the newest is dropped, and counted by the caller."""


@dataclass
class _Sample:
    then: Callable[[Mapping[str, float]], None]
    found: dict[str, float] = field(default_factory=dict)
    waiting: list[tuple[Sequence[str], Tensor, Any]] = field(default_factory=list)
    """(names, pinned copy, event) of each CUDA device."""


class Arriving:
    """Samples in the order of sending."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque()
        self._lock = threading.Lock()

    def send(self, vectors: Sequence[Vector], then: Callable[[Mapping[str, float]], None]) -> bool:
        """Fetch the values and call `then` with them by name, now or in a later `drain`.

        False when too many are on their way already.
        """
        sample = _Sample(then)
        devices: dict[Any, list[Vector]] = {}
        for names, values in vectors:
            devices.setdefault(values.device, []).append((names, values))
        for device, group in devices.items():
            names = [name for some, _ in group for name in some]
            values = _joined(group, device)
            if device.type == "cuda":
                sample.waiting.append((names, *_copied(values, device)))
            else:
                sample.found.update(zip(names, values.tolist(), strict=True))
        if not sample.waiting and not self._samples:
            then(sample.found)
            return True
        with self._lock:
            if len(self._samples) >= MOST:
                return False
            self._samples.append(sample)
        self.drain()
        return True

    def drain(self, timeout_s: float = 0.0) -> None:
        """Hand on what has arrived, waiting at most `timeout_s` for more."""
        deadline = time.monotonic() + timeout_s
        with self._lock:
            while self._samples:
                sample = self._samples[0]
                if not all(event.query() for _, _, event in sample.waiting):
                    if time.monotonic() >= deadline:
                        return
                    time.sleep(0.0005)
                    continue
                self._samples.popleft()
                for names, copy, _ in sample.waiting:
                    sample.found.update(zip(names, copy.tolist(), strict=True))
                sample.then(sample.found)


def _joined(group: Sequence[Vector], device: Any) -> Tensor:
    import torch

    # counts are exact in a double; Apple's GPUs have none
    kind = torch.float32 if device.type == "mps" else torch.float64
    return torch.cat([values.detach().to(kind) for _, values in group])


def _copied(values: Tensor, device: Any) -> tuple[Tensor, Any]:
    import torch

    with torch.cuda.device(device):
        copy = torch.empty(len(values), dtype=values.dtype, pin_memory=True)
        copy.copy_(values, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
    return copy, event
