"""How fast the loops over `run.loader(…)` went, from what their process wrote."""

from __future__ import annotations

import math
from typing import Any

from labbook.book.facts import Facts, as_int

__all__ = ["throughput"]


def throughput(facts: Facts) -> list[dict[str, Any]]:
    """Return one object a loader, of the newest attempt's rank 0; None is "not known".

    Rates are means from the beginning of the first loop to the last batch, pauses in between
    included; `first_batch_s` and `first_step_s` count from the start of the run's process.
    """
    record = _newest(facts)
    loaders = record.get("loaders")
    process = facts.processes.get(str(record.get("writer"))) or facts.newest()
    started_ns = process.started_ns if process else 0
    if not isinstance(loaders, dict):
        return []
    return [
        _described(name, about, started_ns)
        for name, about in loaders.items()
        if isinstance(about, dict)
    ]


def _newest(facts: Facts) -> dict[str, Any]:
    process = facts.newest()
    records = list(facts.facts("loaders"))
    mine = [r for r in records if process is not None and r.get("writer") == process.writer]
    return (mine or records or [{}])[-1]


def _described(name: str, about: dict[str, Any], started_ns: int) -> dict[str, Any]:
    steps, examples = as_int(about.get("steps")), as_int(about.get("examples"))
    seconds, waited = _seconds(about.get("seconds")), _seconds(about.get("wait_seconds"))
    part = _ratio(waited, seconds)
    return {
        "name": name,
        "steps": steps or 0,
        "examples": examples,
        "seconds": seconds,
        "wait_seconds": waited,
        "steps_per_second": _ratio(steps, seconds),
        "examples_per_second": _ratio(examples, seconds),
        "wait_percent": None if part is None else 100 * part,
        "first_batch_s": _since(about.get("first_batch_ns"), started_ns),
        "first_step_s": _since(about.get("first_step_ns"), started_ns),
        "batch_size": as_int(about.get("batch_size")),
        "workers": as_int(about.get("workers")),
    }


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) and value >= 0 else None


def _ratio(part: float | None, seconds: float | None) -> float | None:
    return None if part is None or not seconds else part / seconds


def _since(at: Any, started_ns: int) -> float | None:
    at_ns = as_int(at)
    if at_ns is None or not started_ns or at_ns < started_ns:
        return None
    return (at_ns - started_ns) / 1e9
