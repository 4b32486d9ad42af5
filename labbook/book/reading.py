"""Reading a book: `labbook.open()`."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import pyarrow as pa

from labbook.book.runreader import RunReader
from labbook.book.runtable import run_table
from labbook.book.summary import RunSummary, unreadable_run
from labbook.errors import AmbiguousRun, DamagedFile, RunNotFound, StoreError
from labbook.paths import BookPaths
from labbook.paths import open_book as find_book

__all__ = ["Book", "open_book"]


def open_book(book: str | os.PathLike[str] | None = None) -> Book:
    """Open a book for reading: a path, else `LABBOOK_DIR`, else the one of the git working tree.

    Raises `BookNotFound`, or `DamagedFile` when its format is newer.
    """
    return Book(find_book(book))


class Book:
    """A book, read only. Cheap to keep: what it has read of live runs it does not read again."""

    def __init__(self, paths: BookPaths) -> None:
        self.paths = paths
        self._readers: dict[str, RunReader] = {}

    @property
    def root(self) -> Path:
        """The book's folder."""
        return self.paths.root

    def __repr__(self) -> str:
        return f"Book({str(self.root)!r})"

    def ids(self) -> list[str]:
        """Ids of all runs, newest first."""
        return self.paths.run_ids()

    def run(self, which: str) -> RunReader:
        """Open a run by id, unique prefix of an id, or unique name.

        Raises `RunNotFound` or `AmbiguousRun`, both naming the runs that come close, and
        `DamagedFile` when its `run.json` cannot be read.
        """
        run_id = self._find(which)
        paths = self.paths.run(run_id)
        try:
            reader = RunReader(paths)
        except FileNotFoundError:
            raise DamagedFile(f"{paths.root} has no run.json: it is no complete run") from None
        damage = reader.facts.damage.get(str(paths.run_json))
        if damage:
            raise DamagedFile(damage)
        return reader

    def _find(self, which: str) -> str:
        ids = self.ids()
        if which in ids:
            return which
        found = [run_id for run_id in ids if which and run_id.startswith(which)]
        names = {}
        if not found:
            names = {s.id: s.name for s in self.summaries()}
            found = [run_id for run_id, name in names.items() if name == which]
        if len(found) == 1:
            return found[0]
        if found:
            some = ", ".join(found[:5]) + (" …" if len(found) > 5 else "")
            raise AmbiguousRun(f"{which!r} could be {len(found)} runs: {some}. Give more of the id")
        raise RunNotFound(f"no run {which!r} in {self.root}{_close(which, names)}")

    def summaries(self) -> list[RunSummary]:
        """All runs at a glance, newest first. A run that cannot be read is `unknown`, and why."""
        return [self._summary(run_id) for run_id in self.ids()]

    def runs(self) -> pa.Table:
        """The run table, newest first: see `labbook.book.runtable.run_table` for its columns."""
        return run_table(self.summaries())

    def _summary(self, run_id: str) -> RunSummary:
        try:
            reader = self._readers.get(run_id)
            if reader is None:
                reader = self._readers[run_id] = RunReader(self.paths.run(run_id))
            else:
                reader.refresh()
            return reader.summary()
        except (OSError, StoreError) as error:
            self._readers.pop(run_id, None)
            return unreadable_run(run_id, error)


def _close(which: str, names: dict[str, str]) -> str:
    """Runs whose id or name come close, as the end of a sentence."""
    if not names:
        return ": it has no runs"
    words = {**{run_id: run_id for run_id in names}, **{n: f"{i} ({n})" for i, n in names.items()}}
    close = difflib.get_close_matches(which, words, n=3, cutoff=0.5)
    if close:
        return f". Close: {', '.join(words[word] for word in close)}"
    return ". `labbook ls` lists them"
