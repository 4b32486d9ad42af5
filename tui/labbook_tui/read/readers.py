"""Readers of runs that pages of several runs keep warm, a few for each book."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from labbook.book.reading import Book
    from labbook.book.runreader import RunReader

__all__ = ["reader_of"]

KEPT = 8

_READERS: WeakKeyDictionary[Book, OrderedDict[str, RunReader]] = WeakKeyDictionary()


def reader_of(book: Book, run_id: str) -> RunReader:
    """The run's reader, brought up to date. For the reader thread only."""
    kept = _READERS.setdefault(book, OrderedDict())
    reader = kept.pop(run_id, None)
    if reader is None:
        reader = book.run(run_id)
    else:
        reader.refresh()
    kept[run_id] = reader
    while len(kept) > KEPT:
        kept.popitem(last=False)
    return reader
