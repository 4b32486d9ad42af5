"""The watchers of a book, from the small file that each of them keeps: `watchers/*.json`.

A watcher renames its file in anew whenever something changes, and at least every `HEARTBEAT_S`; it
removes it when it ends. What was not renewed for `STALE_S`, or whose process is gone, is stale: it
says what was, not what is. Readers lock nothing and write nothing. Standard library only.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any, Final

from labbook.book.facts import as_int, as_text, entries, read_object
from labbook.book.states import is_alive, is_own_namespace
from labbook.errors import DamagedFile
from labbook.paths import BookPaths

__all__ = ["HEARTBEAT_S", "STALE_S", "Watcher", "WorkerNow", "read_watchers"]

HEARTBEAT_S: Final = 10.0
STALE_S: Final = 60.0
"""Longer than a network file system may show an old file (nfs(5): acregmax)."""


@dataclass(frozen=True)
class WorkerNow:
    """One worker of a watcher. `state` is idle, starting or evaluating; what it is not doing is
    null. `rate` is examples a second, `seconds` how long it has been at it."""

    device: str
    state: str
    run: str | None = None
    name: str | None = None
    evaluation: str | None = None
    step: int | None = None
    done: int | None = None
    total: int | None = None
    rate: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Watcher:
    """A watcher as it last said. `state` is starting, watching, draining or stale (`why`)."""

    host: str
    pid: int
    state: str
    why: str | None
    started_ns: int | None
    heard_ns: int
    evaluations: list[str]
    n_pending: int | None
    n_waiting: int | None
    n_failed: int | None
    n_results: int | None
    lag_s: float | None
    """How long the newest checkpoint without a result had been there; null: every one has one."""
    workers: list[WorkerNow] = field(default_factory=list)

    @property
    def is_stale(self) -> bool:
        """True when it tells of the past."""
        return self.state == "stale"


def read_watchers(book: BookPaths, now_ns: int | None = None) -> list[Watcher]:
    """Every watcher that left a readable file, the newest first."""
    now_ns = time.time_ns() if now_ns is None else now_ns
    found = []
    for entry in entries(book.watchers):
        if entry.name.endswith(".json") and not entry.name.startswith("."):
            try:
                row = read_object(entry.path)
                heard_ns = entry.stat(follow_symlinks=False).st_mtime_ns
            except (DamagedFile, OSError):
                continue
            found.append(_watcher(row, heard_ns, now_ns))
    return sorted(found, key=lambda each: (each.started_ns or 0, each.pid), reverse=True)


def _watcher(row: dict[str, Any], heard_ns: int, now_ns: int) -> Watcher:
    pid = as_int(row.get("pid")) or 0
    why = _why_stale(row, pid, (now_ns - heard_ns) / 1e9)
    names = row.get("evaluations")
    workers = row.get("workers")
    return Watcher(
        host=as_text(row.get("host")) or "unknown",
        pid=pid,
        state="stale" if why else as_text(row.get("state")) or "unknown",
        why=why,
        started_ns=as_int(row.get("started_ns")),
        heard_ns=heard_ns,
        evaluations=[str(name) for name in names] if isinstance(names, list) else [],
        n_pending=as_int(row.get("n_pending")),
        n_waiting=as_int(row.get("n_waiting")),
        n_failed=as_int(row.get("n_failed")),
        n_results=as_int(row.get("n_results")),
        lag_s=_number(row.get("lag_s")),
        workers=[_worker(each) for each in workers if isinstance(each, dict)]
        if isinstance(workers, list)
        else [],
    )


def _worker(row: dict[str, Any]) -> WorkerNow:
    return WorkerNow(
        device=as_text(row.get("device")) or "unknown",
        state=as_text(row.get("state")) or "unknown",
        run=as_text(row.get("run")),
        name=as_text(row.get("name")),
        evaluation=as_text(row.get("evaluation")),
        step=as_int(row.get("step")),
        done=as_int(row.get("done")),
        total=as_int(row.get("total")),
        rate=_number(row.get("rate")),
        seconds=_number(row.get("seconds")),
    )


def _why_stale(row: dict[str, Any], pid: int, age_s: float) -> str | None:
    started_ns = as_int(row.get("started_ns")) or 0
    if is_own_namespace(row) and is_alive(row, started_ns) is False:
        return f"its process {pid} is gone"
    if age_s > STALE_S:
        return f"not heard from for {age_s:.0f} s"
    return None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
