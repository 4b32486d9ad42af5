"""Gauges of this process and all below it: data loader workers count, neighbours do not.

Units: percent of one core (several cores add up), bytes, counts. A sample walks the tree's own
children by `/proc`, so that its cost does not grow with the other processes of the host.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from typing import Final

import psutil

__all__ = ["ProcessSource", "ShareSource", "tree"]

WALK_S: Final = 5.0
"""Children of all threads are looked for so often; those of the main threads at every sample."""

_TICK: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_PSS = re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE)


@dataclass
class _Reading:
    """One process, in one look."""

    started: float
    cpu_s: float  # its own and of the children it has waited for
    rss: int
    threads: int
    is_zombie: bool


class ProcessSource:
    """CPU, memory, threads and open files of the process tree."""

    least_s = 0.0
    names = (
        "cpu.percent",
        "memory.rss_bytes",
        "process.count",
        "process.threads",
        "process.open_files",
    )

    def __init__(self, pid: int) -> None:
        self._root = pid
        self._started: dict[int, float] = {}
        self._walked = -WALK_S
        self._cpu_s: float | None = None
        self._at = 0.0
        self.pids: frozenset[int] = frozenset({pid})
        """The tree as of the last look."""

    def read(self) -> list[float | None]:
        """Return CPU since the last look, memory (shared pages count in each process), counts.

        CPU is exact for children too that ended in between: the kernel adds their time to that of
        the parent which waited for them. `process.open_files` counts descriptors: files, sockets
        and pipes. Memory is as the kernel counts it for each process, to a few pages a core.
        """
        found = self._look()
        now, before = time.monotonic(), self._at
        cpu_s = sum(each.cpu_s for each in found.values())
        used = None if self._cpu_s is None else cpu_s - self._cpu_s
        self._cpu_s, self._at = cpu_s, now
        percent = None
        if used is not None and used >= 0 and now > before:  # less: a process left the tree
            percent = 100 * used / (now - before)
        return [
            percent,
            sum(each.rss for each in found.values()),
            sum(not each.is_zombie for each in found.values()),
            sum(each.threads for each in found.values()),
            _sum(_open_files(pid) for pid, each in found.items() if not each.is_zombie),
        ]

    def _look(self) -> dict[int, _Reading]:
        found = {}
        for pid in self._candidates():
            each = _reading(pid)
            # the same number may be another process by now
            if each is not None and self._started.get(pid, each.started) == each.started:
                found[pid] = each
        if self._root not in found:
            raise ProcessLookupError(f"process {self._root} cannot be read")
        self._started = {pid: each.started for pid, each in found.items()}
        self.pids = frozenset(found)
        return found

    def _candidates(self) -> list[int]:
        now = time.monotonic()
        if now - self._walked >= WALK_S or not _has_children_file(self._root):
            self._walked = now
            return tree(self._root)
        pids = list(dict.fromkeys([self._root, *self._started]))
        for pid in pids:
            pids += (child for child in _children(pid, (pid,)) if child not in pids)
        return pids


class ShareSource:
    """Memory of the tree with shared pages counted once: each has its share (`Pss` in proc(5)).

    Workers forked from a large process share its memory, and the sum of their resident sizes is
    several times what is used. It costs the kernel about 10 ms a gigabyte: once a minute.
    """

    least_s = 60.0

    def __init__(self, processes: ProcessSource) -> None:
        self._processes = processes
        # before 5.9 the kernel kept the process from mapping memory while it counted
        self.names = ("memory.pss_bytes",) if _kernel() >= (5, 9) else ()

    def read(self) -> list[float | None]:
        """Return the sum of the shares; None when a process may not be asked."""
        return [_sum(_pss(pid) for pid in self._processes.pids)] if self.names else []


def tree(root: int) -> list[int]:
    """The pids below `root`, itself first, by /proc's own list of children.

    psutil's `children()` reads every process of the host, which costs 50 ms where there are 2,000.
    """
    if not _has_children_file(root):
        return [root, *(child.pid for child in psutil.Process(root).children(recursive=True))]
    pids = [root]
    for pid in pids:
        try:
            threads = tuple(map(int, os.listdir(f"/proc/{pid}/task")))
        except OSError:
            continue  # it ended while we looked
        pids += _children(pid, threads)
    return pids


def _has_children_file(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}/task/{pid}/children")


def _children(pid: int, threads: tuple[int, ...]) -> list[int]:
    found: list[int] = []
    for thread in threads:
        text = _read(f"/proc/{pid}/task/{thread}/children")
        found += map(int, text.split() if text else ())
    return found


def _reading(pid: int) -> _Reading | None:
    text = _read(f"/proc/{pid}/stat")
    if text is None:
        return None if os.path.exists("/proc/self/stat") else _by_psutil(pid)
    # from field 3 on, which follows the command in brackets; see proc(5)
    fields = text[text.rindex(b")") + 2 :].split()
    return _Reading(
        started=int(fields[19]),
        cpu_s=sum(map(int, fields[11:15])) / _TICK,
        rss=int(fields[21]) * _PAGE,
        threads=int(fields[17]),
        is_zombie=fields[0] == b"Z",
    )


def _by_psutil(pid: int) -> _Reading | None:
    """The same where there is no /proc."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            return _Reading(
                started=process.create_time(),
                cpu_s=times.user + times.system,
                rss=process.memory_info().rss,
                threads=process.num_threads(),
                is_zombie=process.status() == psutil.STATUS_ZOMBIE,
            )
    except psutil.Error:
        return None


def _open_files(pid: int) -> int | None:
    folder = f"/proc/{pid}/fd"
    try:
        # since Linux 6.2 the size is the count, and nothing needs to be listed
        return os.stat(folder).st_size or len(os.listdir(folder))
    except OSError:
        return None


def _pss(pid: int) -> int | None:
    found = _PSS.search(_read(f"/proc/{pid}/smaps_rollup") or b"")
    return int(found[1]) * 1024 if found else None


def _sum(parts: object) -> float | None:
    """The sum; None when a part is not known."""
    known = list(parts)  # type: ignore[call-overload]
    return None if None in known else sum(known)


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return None  # it ended while we looked, or is not ours to look at


def _kernel() -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    is_linux = os.uname().sysname == "Linux"
    return (int(found[1]), int(found[2])) if found and is_linux else (0, 0)
