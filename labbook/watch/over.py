"""What is known of the processes that train: whether a run is over, and what it trains on."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from labbook.book.facts import Facts, as_int
from labbook.book.states import derive, is_alive, is_own_namespace
from labbook.watch.devices import Training
from labbook.watch.discover import Scene

__all__ = ["all_over", "is_over", "trainings"]

_OVER = frozenset({"finished", "failed", "interrupted", "terminated", "killed"})
_SILENT_NS = 900 * 10**9
"""A live run touches its journal every second: after so long, elsewhere, it is over."""


def all_over(scenes: Iterable[Scene]) -> bool:
    """Whether there are runs, and each of them is over."""
    found = list(scenes)
    return bool(found) and all(is_over(scene) for scene in found)


def is_over(scene: Scene) -> bool:
    """Whether a run has ended, by its own word or by evidence."""
    if scene.facts.is_over:
        return True
    facts = Facts(scene.paths)
    try:
        facts.refresh()
    except OSError:
        return True  # removed meanwhile
    state = derive(scene.paths, facts.newest())
    if state.name == "unknown" and state.seen_ns is not None:
        return time.time_ns() - state.seen_ns > _SILENT_NS
    return state.name in _OVER


def trainings(scenes: Iterable[Scene]) -> list[Training]:
    """The processes of runs that train on this host now, all ranks."""
    found = []
    for scene in scenes:
        if scene.facts.is_over:
            continue
        facts = Facts(scene.paths)
        try:
            facts.refresh()
        except OSError:
            continue
        for process in facts.processes.values():
            pid = as_int(process.conditions.get("pid"))
            if process.end is None and pid is not None and pid != os.getpid():
                own = is_own_namespace(process.conditions)
                if own and is_alive(process.conditions, process.started_ns):
                    found.append(Training(pid, _uuids(process.conditions)))
    return found


def _uuids(conditions: dict[str, object]) -> frozenset[str]:
    machine = conditions.get("machine")
    gpus = machine.get("gpus") if isinstance(machine, dict) else None
    items = gpus if isinstance(gpus, list) else []
    return frozenset(str(gpu["uuid"]) for gpu in items if isinstance(gpu, dict) and "uuid" in gpu)
