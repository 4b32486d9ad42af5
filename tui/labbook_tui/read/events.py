"""Events of a run, newest first; faults and the end of the run among them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from labbook.book.agreement import remarks
from labbook.book.text import clean
from labbook_tui.models import EventRow, EventsModel, Want
from labbook_tui.read.arrays import floats, milliseconds

if TYPE_CHECKING:
    from labbook.book.runreader import RunReader

__all__ = ["build"]


def build(reader: RunReader, want: Want) -> EventsModel:
    """Rows newest first."""
    summary = reader.summary()
    table = reader.events()
    rows: list[EventRow] = []
    if table.num_rows:
        times = milliseconds(table.column("time"))
        steps = floats(table.column("step"))
        texts = (table.column(name).to_pylist() for name in ("kind", "text", "fields"))
        rows = [
            EventRow(
                int(at * 1e6),
                int(step) if np.isfinite(step) else None,
                clean(kind or ""),
                clean(text or ""),
                _fields(fields),
            )
            for at, step, kind, text, fields in zip(times, steps, *texts, strict=True)
        ]
    rows += _ending(reader)
    rows.sort(key=lambda row: row.time_ns or 0, reverse=True)
    faults = [
        EventRow(None, None, "fault", f"{clean(kind)}: {count} times")
        for kind, count in summary.faults.items()
        if count
    ]
    return EventsModel(summary, tuple([*_remarks(reader), *faults, *rows]))


def _remarks(reader: RunReader) -> list[EventRow]:
    """What is to be said against the run as a whole, with what to do where there is something."""
    said: list[tuple[str, str]] = [("damage", text) for text in reader.damage]
    dirty = reader.summary().dirty
    if dirty:
        names = ", ".join(dirty[:4]) + (f" and {len(dirty) - 4} more" if len(dirty) > 4 else "")
        said.append(("dirty", f"not as committed: {names}. Commit, so that the run can be found"))
    results = reader.results(strict=False)
    said += [("remark", line) for line in remarks(results)]
    for result in results:
        name = f"step {result.step}: {result.evaluation}"
        if result.coverage != "complete":
            said.append(("incomplete", f"{name} is {result.coverage}"))
        said += [("warning", f"{name}: {text}") for text in result.meta.get("warnings") or ()]
        probes = result.meta.get("probes")
        found = probes.get("found") if isinstance(probes, dict) else None
        for each in found if isinstance(found, list) else ():
            if isinstance(each, dict):
                said.append(("check", f"{name}: {each.get('text')}"))
    return [EventRow(None, None, kind, clean(text)) for kind, text in dict.fromkeys(said)]


def _fields(text: Any) -> dict[str, Any]:
    try:
        fields = json.loads(text) if text else {}
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _ending(reader: RunReader) -> list[EventRow]:
    """The run's end and, where an exception ended it, the traceback line by line."""
    end = reader.end
    if not end:
        return []
    at = end.get("ended_ns")
    found = end.get("exception") or {}
    words = clean(f"{found.get('type')}: {found.get('message')}") if found else "the run ended"
    rows = [EventRow(at, None, clean(end.get("state") or "end"), words)]
    trace = clean(found.get("traceback") or "", lines=True).split("\n") if found else []
    rows += [EventRow(at, None, "", line.rstrip()) for line in trace if line.strip()]
    return rows
