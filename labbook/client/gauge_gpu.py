"""Gauges of the visible GPUs, whoever made them: `gpu.<i>.<gauge>_<unit>`, gpu.<i> being cuda:<i>.

Invariants: what a device does not have is null, and is not asked again; a device or driver that
fails in mid-run leaves nulls until it answers again, while the others go on; CUDA is never
initialised here. Which GPU is gpu.<i> is told as the fact "gpus", by UUID.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from labbook.client.gauge_energy import Energy
from labbook.client.sampler import Report, Source

__all__ = [
    "Card",
    "Driver",
    "GpuSource",
    "Question",
    "Unsupported",
    "any_driver",
    "tree_memory",
    "visible_gpus",
]

SLOW_S: Final = 10.0
"""What hardly changes, or takes the driver long to say, is asked so often."""

RETRY_S: Final = 10.0
"""A driver that failed is opened again so often."""

_FIRST_PID_NAMESPACE: Final = "pid:[4026531836]"  # PROC_PID_INIT_INO in Linux's proc_ns.h

Pids = frozenset[int]


class Unsupported(Exception):
    """This device has no such gauge, and never will."""


@dataclass
class Card:
    """One GPU as its driver knows it; `handle` is None when it cannot be reached."""

    uuid: str
    name: str | None
    handle: Any


@dataclass(frozen=True)
class Question:
    """What a driver is asked in one call, and the gauges its answer gives."""

    gauges: tuple[str, ...]
    ask: Callable[[Card, Pids], Sequence[float | None]]
    is_slow: bool = False


class Driver(Protocol):
    """A vendor's library. Its calls raise `Unsupported`, or one of `errors`."""

    kind: str
    errors: tuple[type[Exception], ...]
    questions: tuple[Question, ...]

    def open(self, uuids: Sequence[str] | None) -> list[Card]:
        """Begin anew: the GPUs this process may use in the order it numbers them, or `uuids`."""

    def order(self) -> list[str] | None:
        """UUIDs as the program numbers them, once it has initialised the GPUs; else None."""


@dataclass
class _Gpu:
    """A card, and what was learned of it."""

    card: Card
    lacks: set[Question] = field(default_factory=set)
    energy: Energy = field(default_factory=Energy)


class GpuSource:
    """All visible GPUs of one driver. The driver is opened at the first reading, not before."""

    least_s = 0.0

    def __init__(
        self,
        driver: Driver,
        pids: Callable[[], Pids],
        report: Report,
        tell: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._driver = driver
        self._pids = pids
        self._report = report
        self._tell = tell
        self._gpus: list[_Gpu] = []
        self._is_open = False
        self._order = "environment"
        self._told: dict[str, Any] = {}
        self._error: Exception | None = None  # why it could not be opened
        self._retry_at = 0.0
        self._slow_at = -SLOW_S
        self.names: tuple[str, ...] = ()

    def read(self) -> list[float | None]:
        """Return the gauges of every GPU; those that are slow to get in one of several readings."""
        now = time.monotonic()
        self._attend(now)
        is_slow = now - self._slow_at >= SLOW_S
        if is_slow:
            self._slow_at = now
        pids = self._pids()
        found: dict[str, float | None] = {}
        for index, gpu in enumerate(self._gpus):
            values = self._ask(index, gpu, pids, is_slow)
            found.update((f"gpu.{index}.{gauge}", value) for gauge, value in values.items())
        self.names = tuple(found)
        self._say()
        return list(found.values())

    def _attend(self, now: float) -> None:
        """Open the driver, again after a failure, and put the GPUs into the program's order."""
        here = [gpu.card.uuid for gpu in self._gpus]
        order = None if self._order == "program" else self._driver.order()
        if order is not None:
            self._order = "program"
            if order != here:
                self._open(order, now)
        elif not self._is_open or any(gpu.card.handle is None for gpu in self._gpus):
            if now >= self._retry_at:
                self._open(here or None, now)
            elif self._error is not None:
                raise self._error  # nothing was ever opened, and it is too early to try again

    def _open(self, uuids: list[str] | None, now: float) -> None:
        self._retry_at = now + RETRY_S
        try:
            cards = self._driver.open(uuids)
        except self._driver.errors as error:
            for gpu in self._gpus:
                gpu.card.handle = None
            if self._is_open:
                return  # each GPU reported it when it failed
            self._error = error
            raise
        self._is_open, self._error = True, None
        known = {gpu.card.uuid: gpu for gpu in self._gpus}
        self._gpus = [known.get(card.uuid) or _Gpu(card) for card in cards]
        for gpu, card in zip(self._gpus, cards, strict=True):
            gpu.card = card

    def _ask(self, index: int, gpu: _Gpu, pids: Pids, is_slow: bool) -> dict[str, float | None]:
        found: dict[str, float | None] = {}
        failure: Exception | None = None
        for question in self._driver.questions:
            if question.is_slow and not is_slow:
                continue
            found.update(dict.fromkeys(question.gauges))
            if gpu.card.handle is None or question in gpu.lacks:
                continue
            try:
                found.update(zip(question.gauges, question.ask(gpu.card, pids), strict=True))
            except Unsupported:
                gpu.lacks.add(question)
            except self._driver.errors as error:
                gpu.card.handle, failure = None, error
        if failure is not None:  # half an answer is none
            self._report(f"gpu.{index}", failure)
            return dict.fromkeys(found)
        if gpu.card.handle is not None:
            self._report(f"gpu.{index}", None)
            has_counter = all("energy_joules" not in question.gauges for question in gpu.lacks)
            power, counter = found.get("power_watts"), found.get("energy_joules")
            found["energy_joules"] = gpu.energy.read(
                counter, power, time.monotonic(), has_counter=has_counter
            )
        return found

    def _say(self) -> None:
        """Tell which GPU has which number, when that is new."""
        body = {
            "driver": self._driver.kind,
            "order": self._order,
            "gpus": [
                {
                    "gauge": f"gpu.{index}",
                    "uuid": gpu.card.uuid,
                    "name": gpu.card.name,
                    "energy": gpu.energy.kind,
                }
                for index, gpu in enumerate(self._gpus)
            ],
        }
        if self._gpus and body != self._told:
            self._told = body
            self._tell("gpus", body)


def visible_gpus(
    pids: Callable[[], Pids],
    report: Report,
    tell: Callable[[str, dict[str, Any]], None],
    environment: Mapping[str, str] = os.environ,
) -> list[Source]:
    """Sources for the GPUs this process may use, and for what torch says of its own."""
    from labbook.client.gauge_torch import TorchSource

    driver = any_driver(environment)
    # without its driver's library there can still be torch, with a GPU that it knows
    sources: list[Source] = [TorchSource()]
    return sources if driver is None else [GpuSource(driver, pids, report, tell), *sources]


def any_driver(environment: Mapping[str, str]) -> Driver | None:
    """NVIDIA's driver; where there is none AMD's; None without either, which is normal.

    `environment` says which GPUs are visible, as `CUDA_VISIBLE_DEVICES` and its like do.
    """
    from labbook.client import gauge_amd, gauge_nvidia

    return gauge_nvidia.driver(environment) or gauge_amd.driver(environment)


def tree_memory(listed: Iterable[tuple[int, int | None]], pids: Pids) -> float | None:
    """Bytes that the processes `pids` hold, of (pid, bytes) as a driver lists them.

    None inside a container with pids of its own: drivers list those of the host.
    """
    if not _sees_pids_of_host():
        return None
    mine = [size for pid, size in listed if pid in pids]
    known = [size for size in mine if size is not None]
    return sum(known) if len(known) == len(mine) else None


def _sees_pids_of_host() -> bool:
    try:
        return os.readlink("/proc/self/ns/pid") == _FIRST_PID_NAMESPACE
    except OSError:
        return False
