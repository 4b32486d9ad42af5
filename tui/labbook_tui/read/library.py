"""From a book to models: a few run readers kept warm, and one builder for each kind of model."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from labbook_tui.models import Want
from labbook_tui.read import (
    checkpoint,
    chosen,
    code,
    compare,
    conditions,
    curves,
    evaluations,
    events,
    findings,
    host,
    machine,
    output,
    runs,
)

if TYPE_CHECKING:
    from labbook.book.reading import Book
    from labbook.book.runreader import RunReader

__all__ = ["Library"]

Builder = Callable[["RunReader", Want], object]

_BUILDERS: dict[str, Builder] = {
    "preview": curves.build_preview,
    "curves": curves.build,
    "chosen": chosen.build,
    "evaluations": evaluations.build,
    "checkpoint": checkpoint.build,
    "machine": machine.build,
    "conditions": conditions.build,
    "output": output.build,
    "events": events.build,
}
_BOOK_BUILDERS: dict[str, Callable[[Book, Want, object], object]] = {
    "host": host.build,
    "code": code.build,
    "overlay": compare.build_overlay,
    "changes": compare.build_changes,
    "patch": compare.build_patch,
    "results": findings.build_results,
}
"""Kinds that are not of one run; each returns `before` itself when nothing changed."""
_POLLED = {"conditions", "evaluations", "output"}
"""Kinds whose files the run's own change mark does not cover: built each time, compared after."""

_PLAIN = {
    *("rows", "lines", "size", "metrics", "best", "compared", "gaps"),
    *("remarks", "watchers", "entries"),
}
"""Fields of their models by which they are compared."""

KEPT_READERS = 9
"""All marked runs and the one under the cursor, with one to spare."""


class Library:
    """Builds models; used by one thread only."""

    def __init__(self, book: Book) -> None:
        self._book = book
        table = runs.RunTable(book)
        self._tables: dict[str, Callable[[Want, object], object]] = {
            "runs": table.build,
            "glances": table.glances,
        }
        self._readers: OrderedDict[str, RunReader] = OrderedDict()
        self._versions: dict[str, int] = {}
        self._built: dict[Want, tuple[int, str]] = {}

    def build(self, want: Want, before: object) -> object:
        """The model for a want; `before` itself when nothing changed."""
        if want.kind in self._tables:
            return self._tables[want.kind](want, before)
        if want.kind in _BOOK_BUILDERS:
            return _BOOK_BUILDERS[want.kind](self._book, want, before)
        reader, version = self._reader(want.run)
        state = reader.state.name
        if (
            before is not None
            and want.kind not in _POLLED
            and (self._built.get(want) == (version, state))
        ):
            return before
        model = _BUILDERS[want.kind](reader, want)
        self._built[want] = (version, state)
        if want.kind in _POLLED and before is not None and _same(before, model):
            return before
        return model

    def _reader(self, run_id: str) -> tuple[RunReader, int]:
        """The run's reader, brought up to date, and a number that grows with every change."""
        reader = self._readers.pop(run_id, None)
        if reader is None:
            reader = self._book.run(run_id)
            reader.refresh()
            self._versions[run_id] = self._versions.get(run_id, 0) + 1
        elif reader.refresh():
            self._versions[run_id] += 1
        self._readers[run_id] = reader
        while len(self._readers) > KEPT_READERS:
            self._readers.popitem(last=False)
        return reader, self._versions[run_id]


def _same(before: object, after: object) -> bool:
    """Whether two models of one kind show the same; only plain fields are compared."""
    if type(before) is not type(after):
        return False
    plain = [name for name in vars(after) if name in _PLAIN]
    return all(getattr(before, name) == getattr(after, name) for name in plain) and (
        getattr(before, "summary", None) == getattr(after, "summary", None)
    )
