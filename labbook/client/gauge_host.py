"""Gauges of the host: processors, memory, disks and network.

Units: bytes, bytes a second, percent of the whole host.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

__all__ = ["DiskSource", "HostSource", "TrafficSource", "mounts"]

_SWAP: Final = (b"Total", b"Free")


class HostSource:
    """Processors and memory."""

    least_s = 0.0
    names = (
        "cpu.host_percent",
        "load.1m",
        "memory.host_available_bytes",
        "memory.host_percent",
        "memory.host_swap_used_bytes",
    )

    def __init__(self) -> None:
        psutil.cpu_percent(None)  # the first call has nothing to compare with
        self._first = True

    def read(self) -> list[float | None]:
        """Return the host's CPU use since the last sample, load, memory and swap."""
        cpu: float | None = psutil.cpu_percent(None)
        if self._first:
            self._first, cpu = False, None
        memory = psutil.virtual_memory()
        return [cpu, os.getloadavg()[0], memory.available, memory.percent, _swap_used()]


class DiskSource:
    """What an ordinary user may still write where the book lies, and where checkpoints go.

    `disk.checkpoints_free_bytes` is there when `run.watch()` names a folder on another filesystem
    than the book's; of several the least. Every 10 s: on a network disk it is a question to the
    server.
    """

    least_s = 10.0

    def __init__(self, book: Path, places: Callable[[], Sequence[str]] = tuple) -> None:
        self._book = book
        self._places = places
        self.names: tuple[str, ...] = ("disk.free_bytes",)

    def read(self) -> list[float | None]:
        """Return the bytes that are free."""
        # once a place was elsewhere its gauge stays, null where it cannot be asked
        values: list[float | None] = [_free(self._book)]
        here = os.stat(self._book).st_dev
        elsewhere = [free for free in map(_free_elsewhere(here), self._places()) if free]
        if elsewhere and len(self.names) == 1:
            self.names = (*self.names, "disk.checkpoints_free_bytes")
        if len(self.names) > 1:
            values.append(min(elsewhere, default=None))
        return values


class TrafficSource:
    """Disks and network of the host, by the counters of its devices.

    Only devices with hardware behind them count, so that a byte through a loop device, a RAID or a
    bridge counts once; where a container shows none, all but the loopback. Traffic that bypasses
    the kernel (RDMA over InfiniBand) is not seen.
    """

    least_s = 0.0
    names = (
        "disk.read_bytes_per_s",
        "disk.write_bytes_per_s",
        "network.received_bytes_per_s",
        "network.sent_bytes_per_s",
    )

    def __init__(self) -> None:
        self._before: list[float | None] = [None] * len(self.names)
        self._at = 0.0

    def read(self) -> list[float | None]:
        """Return the rates since the last sample; None the first time, and where nothing counts."""
        disks = _real(psutil.disk_io_counters(perdisk=True, nowrap=False), "/sys/block", "loop")
        cards = _real(psutil.net_io_counters(pernic=True, nowrap=False), "/sys/class/net", "lo")
        now, before, at = time.monotonic(), self._before, self._at
        self._at = now
        self._before = [
            _total(disks, "read_bytes"),
            _total(disks, "write_bytes"),
            _total(cards, "bytes_recv"),
            _total(cards, "bytes_sent"),
        ]
        return [
            # less than before: a device left, or its counter began anew
            None
            if old is None or new is None or new < old or now <= at
            else (new - old) / (now - at)
            for old, new in zip(before, self._before, strict=True)
        ]


def mounts() -> list[str]:
    """Return where filesystems with a device behind them are mounted, the shortest path first."""
    return sorted((each.mountpoint for each in psutil.disk_partitions(all=False)), key=len)


def _swap_used() -> float | None:
    """psutil's own reads a second file, and warns where a container has not that."""
    try:
        with open("/proc/meminfo", "rb", buffering=0) as file:
            text = file.read()
    except OSError:
        return float(psutil.swap_memory().used)
    total, free = (re.search(rb"^Swap%b:\s+(\d+) kB" % word, text, re.M) for word in _SWAP)
    return None if total is None or free is None else (int(total[1]) - int(free[1])) * 1024


def _real(counters: Mapping[str, Any] | None, folder: str, software: str) -> list[Any]:
    found = counters or {}
    real = [c for name, c in found.items() if os.path.exists(f"{folder}/{name}/device")]
    return real or [c for name, c in found.items() if not name.startswith(software)]


def _total(counters: Iterable[Any], field: str) -> float | None:
    values = [getattr(each, field) for each in counters]
    return sum(values) if values else None


def _free(folder: str | os.PathLike[str]) -> int:
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize


def _free_elsewhere(device: int) -> Callable[[str], int | None]:
    """Free bytes of a folder that is not on `device`; None when it is, or is not there."""

    def ask(folder: str) -> int | None:
        try:
            return None if os.stat(folder).st_dev == device else _free(folder)
        except OSError:
            return None

    return ask
