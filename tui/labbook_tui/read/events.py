"""Events of a run, newest first; faults and the end of the run among them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from labbook.book.agreement import remarks
from labbook.book.text import clean
from labbook_tui.models import EventRow, EventsModel, Want
from labbook_tui.read.arrays import floats, milliseconds
from labbook_tui.read.checks import check_rows
from labbook_tui.text import plural

if TYPE_CHECKING:
    from labbook.book.results import Result
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
    at_step = {row.kind: row.step for row in reversed(rows)}  # its first, where events name it
    rows += _ending(reader)
    rows.sort(key=lambda row: row.time_ns or 0, reverse=True)
    faults = [
        EventRow(None, at_step.get(kind), "fault", f"{clean(kind)}: {plural(count, 'time')}")
        for kind, count in summary.faults.items()
        if count
    ]
    found = check_rows(reader)
    alarms, notes = (
        [row for row in found if (row.kind == "note") == is_note] for is_note in (False, True)
    )
    return EventsModel(summary, (*alarms, *_remarks(reader), *faults, *notes, *rows))


def _remarks(reader: RunReader) -> list[EventRow]:
    """What is to be said against the run as a whole, with what to do where there is something."""
    said: list[tuple[str, int | None, str]] = [("damage", None, text) for text in reader.damage]
    dirty = reader.summary().dirty
    if dirty:
        names = ", ".join(dirty[:4]) + (f" and {len(dirty) - 4} more" if len(dirty) > 4 else "")
        text = f"not as committed: {names}. Commit, so that the run can be found"
        said.append(("dirty", None, text))
    results = reader.results(strict=False)
    said += [("remark", None, line) for line in remarks(results)]
    for result in results:
        said += [(kind, result.step, f"{result.evaluation}{text}") for kind, text in _of(result)]
    return [EventRow(None, at, kind, clean(text)) for kind, at, text in dict.fromkeys(said)]


def _of(result: Result) -> Iterator[tuple[str, str]]:
    """What is to be said against one result."""
    if result.coverage != "complete":
        yield "incomplete", f" is {result.coverage}"
    for text in result.meta.get("warnings") or ():
        yield "warning", f": {text}"
    probes = result.meta.get("probes")
    found = probes.get("found") if isinstance(probes, dict) else None
    for each in found if isinstance(found, list) else ():
        if isinstance(each, dict):
            yield "check", f": {each.get('text')}"


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
