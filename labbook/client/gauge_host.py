"""Gauges of this process and its children, of the host, and of the disk the book lies on.

Units: bytes, percent (of one core for `cpu.percent`, of the whole host for `cpu.host_percent`).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil

__all__ = ["DiskSource", "HostSource", "ProcessSource"]


class ProcessSource:
    """The process and all below it: data loader workers count, neighbours do not."""

    names = ("cpu.percent", "memory.rss_bytes", "process.count", "process.threads")

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._known: dict[int, psutil.Process] = {}
        self._seconds: dict[int, float] = {}
        self._at: float | None = None

    def read(self) -> list[float | None]:
        """Return CPU since the last sample, memory (shared pages count in each process), counts."""
        now, before = time.monotonic(), self._at
        rss = threads = 0
        seconds: dict[int, float] = {}
        for process in self._processes():
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    rss += process.memory_info().rss
                    threads += process.num_threads()
            except psutil.NoSuchProcess:
                continue
            seconds[process.pid] = times.user + times.system
        # a process that is new counts from its start; one that ended takes its last share with it
        used = sum(total - self._seconds.get(pid, 0.0) for pid, total in seconds.items())
        self._seconds, self._at = seconds, now
        percent = None if before is None or now <= before else 100 * used / (now - before)
        return [percent, rss, len(seconds), threads]

    def _processes(self) -> list[psutil.Process]:
        known = {}
        for pid in _tree(self._pid):
            process = self._known.get(pid)
            try:
                # the same number may be another process by now
                if process is None or not process.is_running():
                    process = psutil.Process(pid)
            except psutil.NoSuchProcess:
                continue
            known[pid] = process
        self._known = known
        return list(known.values())


def _tree(root: int) -> list[int]:
    """The pids below `root`, itself first, by /proc's own list of children.

    psutil's `children()` reads every process of the host, which costs 50 ms where there are 2,000.
    """
    if not os.path.exists(f"/proc/{root}/task/{root}/children"):
        return [root, *(child.pid for child in psutil.Process(root).children(recursive=True))]
    pids = [root]
    for pid in pids:
        pids += _children(pid)
    return pids


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", "rb", buffering=0) as file:
                found += map(int, file.read().split())
    except (FileNotFoundError, ProcessLookupError):
        pass  # the process, or one of its threads, ended while we looked
    return found


class HostSource:
    """The whole machine."""

    names = ("cpu.host_percent", "load.1m", "memory.host_available_bytes", "memory.host_percent")

    def __init__(self) -> None:
        psutil.cpu_percent(None)  # the first call has nothing to compare with
        self._first = True

    def read(self) -> list[float | None]:
        """Return the host's CPU use since the last sample, load and memory."""
        cpu: float | None = psutil.cpu_percent(None)
        if self._first:
            self._first, cpu = False, None
        memory = psutil.virtual_memory()
        return [cpu, os.getloadavg()[0], memory.available, memory.percent]


class DiskSource:
    """The filesystem that holds the book."""

    names = ("disk.free_bytes",)

    def __init__(self, book: Path) -> None:
        self._book = book

    def read(self) -> list[float | None]:
        """Return what an ordinary user may still write there."""
        stat = os.statvfs(self._book)
        return [stat.f_bavail * stat.f_frsize]
