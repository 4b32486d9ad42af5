"""What became of a run's code since it began: committed meanwhile, or changed under a live run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from labbook.book.facts import Facts
from labbook.upkeep.committed import commit_of
from labbook.upkeep.drift import changed_since_start
from labbook_tui.models import CodeModel

if TYPE_CHECKING:
    from labbook.book.reading import Book
    from labbook_tui.models import Want

__all__ = ["PERIOD_S", "build"]

PERIOD_S = 10.0
"""So often at most git is asked about a run's working tree."""


_KNOWN: WeakKeyDictionary[Book, dict[str, tuple[float, CodeModel]]] = WeakKeyDictionary()
"""What was found last of each run, and when."""


def build(book: Book, want: Want, before: object) -> CodeModel:
    """Look again after `PERIOD_S`; the same object while nothing changed."""
    known = _KNOWN.setdefault(book, {})
    at, model = known.get(want.run, (0.0, None))
    if model is not None and time.monotonic() - at < PERIOD_S:
        return model
    fresh = _look(book, want.run)
    if fresh != model:
        model = fresh
    known[want.run] = (time.monotonic(), model)
    return model


def _look(book: Book, run_id: str) -> CodeModel:
    facts = Facts(book.paths.run(run_id))
    try:
        facts.refresh()
    except OSError:
        return CodeModel(run_id, None, None)  # the views say why it cannot be read
    newest = facts.newest()
    commit = commit_of(facts, newest.conditions) if newest else None
    return CodeModel(run_id, commit, changed_since_start(book.paths, facts))
