"""What `labbook check` says of a run, as rows of its events page.

The rules read whole curves, so a live run is looked at again only after a while; nothing of the
user's is imported or run.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from labbook.book.text import clean
from labbook_tui.models import EventRow

if TYPE_CHECKING:
    from labbook.book.runreader import RunReader
    from labbook.checks.finding import Finding

__all__ = ["KINDS", "check_rows"]

KINDS = ("fail", "warn", "note")

_LEAST_S = 10.0
_TIMES = 30
"""A look is taken again after so many times what the last one took."""

_kept: WeakKeyDictionary[RunReader, tuple[str, float, tuple[EventRow, ...]]] = WeakKeyDictionary()


def check_rows(reader: RunReader) -> tuple[EventRow, ...]:
    """One row a finding that no other explains, the severe first."""
    state, again, rows = _kept.get(reader, ("", 0.0, ()))
    began = time.monotonic()
    if reader.state.name == state and (began < again or state != "running"):
        return rows
    from labbook.checks.running import check_run

    rows = tuple(_row(finding) for finding in check_run(reader).causes)
    took = time.monotonic() - began
    _kept[reader] = (reader.state.name, began + max(_LEAST_S, _TIMES * took), rows)
    return rows


def _row(finding: Finding) -> EventRow:
    fields = {"where": finding.where, "fix": finding.fix, "advice": finding.advice}
    text = clean(f"{finding.rule}: {finding.evidence}")
    return EventRow(None, None, finding.status, text, {k: v for k, v in fields.items() if v})
