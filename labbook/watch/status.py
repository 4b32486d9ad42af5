"""What a watcher is doing now, as a small file that others read: `labbook.book.watchers`."""

from __future__ import annotations

import json
import os
import socket
import time
from typing import Any

from labbook.book.watchers import HEARTBEAT_S
from labbook.conditions.machine import boot_id, pid_namespace, pid_started
from labbook.paths import BookPaths
from labbook.watch.crew import Crew
from labbook.watch.desk import Desk
from labbook.watch.slots import Slot

__all__ = ["StatusFile", "standing", "worker_now"]

_FORMAT = 1
_LEAST_S = 1.0
_OLD_S = 86_400.0
_BETWEEN_S = 2.0
"""A worker whose evaluations take milliseconds is not idle while the next is looked for."""


class StatusFile:
    """This watcher's file in the book: renamed in whole, removed at the end."""

    def __init__(self, book: BookPaths) -> None:
        self._book = book
        self._path = book.watchers / f"{_plain(socket.gethostname())}-{os.getpid()}.json"
        self._written = -HEARTBEAT_S
        self._last: dict[str, Any] = {}
        self._is_swept = False
        self._who = {
            "format": _FORMAT,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "boot_id": boot_id(),
            "pid_namespace": pid_namespace(),
            "pid_started": pid_started(),
            "started_ns": time.time_ns(),
        }

    @property
    def is_due(self) -> bool:
        """True when a change may be written; an idle watcher writes a heartbeat now and then."""
        return time.monotonic() - self._written >= _LEAST_S

    def write(self, now: dict[str, Any]) -> None:
        """Say what is done now, unless that is on record and fresh."""
        age_s = time.monotonic() - self._written
        if (now == self._last and age_s < HEARTBEAT_S) or not self._book.root.is_dir():
            return
        self._written, self._last = time.monotonic(), now
        aside = self._path.with_name(f".{self._path.name}.tmp")
        try:
            self._path.parent.mkdir(exist_ok=True)
            self._sweep()
            aside.write_text(json.dumps({**self._who, **now, "time_ns": time.time_ns()}))
            os.replace(aside, self._path)
        except OSError:
            pass  # nobody sees us from elsewhere; the work goes on

    def remove(self) -> None:
        """The watcher ends."""
        self._path.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Once: remove what watchers left that died long ago."""
        if self._is_swept:
            return
        self._is_swept = True
        for entry in os.scandir(self._path.parent):
            if time.time() - entry.stat(follow_symlinks=False).st_mtime > _OLD_S:
                os.unlink(entry.path)


def standing(crew: Crew, state: str, evaluations: list[str], lag_s: float | None) -> dict[str, Any]:
    """What `crew` is doing, as JSON data; whatever moves by itself is rounded."""
    found = crew.state
    return {
        "state": state,
        "evaluations": evaluations,
        "n_pending": len(found.pending),
        "n_waiting": len(found.waiting),
        "n_failed": len(found.failed),
        "n_results": crew.outcomes.n_results,
        "lag_s": None if lag_s is None else round(lag_s),
        "workers": [worker_now(slot, bool(found.pending)) for slot in crew.slots],
    }


def worker_now(slot: Slot, has_work: bool = False) -> dict[str, Any]:
    """What one slot is doing; `has_work`: there is more to do."""
    device = slot.name
    if slot.device is not None:
        device = slot.device.uuid or slot.device.name
    desk = slot.at_work
    if desk is None:
        used = max((each.used for each in slot.desks), default=-_BETWEEN_S)
        is_between = has_work and time.monotonic() - used < _BETWEEN_S
        return {"device": device, "state": "between evaluations" if is_between else "idle"}
    if desk.task is None:
        return {"device": device, "state": "starting"}
    return {"device": device, "state": "evaluating", **_task(desk)}


def _task(desk: Desk) -> dict[str, Any]:
    task, progress = desk.task, desk.progress
    assert task is not None
    rate = None if progress is None else progress.rate
    return {
        "run": task.job.facts.id,
        "name": task.job.facts.name,
        "evaluation": task.job.lane,
        "step": task.job.found.step,
        "done": None if progress is None else progress.done,
        "total": None if progress is None else progress.total,
        "rate": None if rate is None else float(f"{rate:.3g}"),
        "seconds": round(time.monotonic() - desk.used),
    }


def _plain(name: str) -> str:
    return (
        "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in name) or "host"
    )
