"""Reading a book: `labbook.open()`."""

from __future__ import annotations

import difflib
import os
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from labbook.book import catalogue
from labbook.book.catalogue import Entry, Key
from labbook.book.runreader import RunReader
from labbook.book.runtable import merge_run_tables, run_table
from labbook.book.states import whereabouts_of
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
    """A book, read only but for its catalogue. Cheap to keep: nothing is read twice in vain."""

    def __init__(self, paths: BookPaths) -> None:
        self.paths = paths
        self._readers: dict[str, RunReader] = {}
        self._known: dict[str, Entry] | None = None
        self._table = pa.table({})
        self._stale: set[str] = set()  # runs whose row in the table is out of date

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

    # ------------------------------------------------------------------ the run table

    def summaries(self) -> list[RunSummary]:
        """All runs at a glance, newest first. A run that cannot be read is `unknown`, and why.

        Costs two `stat` calls a run that is settled, and what is new of one that lives.
        """
        ids = self.ids()
        keys = catalogue.run_keys(self.paths, ids)
        if self._known is None:
            self._known, self._table = catalogue.load(self.paths)
        known = self._known
        found: dict[str, Entry] = {}
        is_news = False
        for run_id in ids:
            entry, key = known.get(run_id), keys.get(run_id, (0, 0))
            is_as_it_was = entry is not None and entry.is_settled and entry.key == key
            if entry is None or not (is_as_it_was or entry.is_fresh(key, self.paths)):
                entry = self._read(run_id, key)
                self._stale.add(run_id)
                is_news = is_news or entry.is_lasting
            found[run_id] = entry
        is_news = is_news or bool(known.keys() - found.keys())
        found = dict(sorted(found.items(), key=_created, reverse=True))
        self._known = found
        if is_news:
            catalogue.save(self.paths, found, self._current_table())
        return [entry.summary for entry in found.values()]

    def runs(self) -> pa.Table:
        """The run table, newest first: see `labbook.book.runtable.run_table` for its columns."""
        self.summaries()
        return self._current_table()

    def _current_table(self) -> pa.Table:
        """The run table of what is known, rows that are out of date made anew."""
        known = self._known or {}
        table = self._table
        ids = list(known)
        if table.num_columns == 0 or self._stale or table.column("id").to_pylist() != ids:
            have = set(table.column("id").to_pylist()) if table.num_columns else set()
            anew = [i for i in ids if i in self._stale or i not in have]
            fresh = run_table(known[run_id].summary for run_id in anew)
            kept = pa.array([i for i in ids if i in have and i not in self._stale], pa.string())
            if len(kept):
                rows = pc.index_in(kept, value_set=table.column("id").combine_chunks())
                fresh = merge_run_tables(table.take(rows), fresh) if anew else table.take(rows)
            order = pc.index_in(
                pa.array(ids, pa.string()), value_set=fresh.column("id").combine_chunks()
            )
            self._table, self._stale = fresh.take(order).combine_chunks(), set()
        return self._table

    def _read(self, run_id: str, key: Key) -> Entry:
        now_ns = time.time_ns()
        paths = self.paths.run(run_id)
        try:
            mark = catalogue.journal_mark(paths)
            reader = self._readers.pop(run_id, None)
            if reader is None:
                reader = RunReader(paths)
            else:
                reader.refresh()
            trusted_ns = 0 if reader.is_exiting else now_ns
            where = whereabouts_of(reader.conditions)
            entry = Entry(reader.summary(), key, trusted_ns, where, mark)
            if not entry.is_lasting:
                self._readers[run_id] = reader  # it will be asked again soon
            return entry
        except (OSError, StoreError) as error:
            return Entry(unreadable_run(run_id, error), key, now_ns, "", "")


def _created(item: tuple[str, Entry]) -> tuple[str, int, str]:
    """When a run began: its id tells the second, `run.json` the nanosecond."""
    run_id, entry = item
    return run_id[:15], entry.summary.created_ns or 0, run_id


def _close(which: str, names: dict[str, str]) -> str:
    """Runs whose id or name come close, as the end of a sentence."""
    if not names:
        return ": it has no runs"
    words = {**{run_id: run_id for run_id in names}, **{n: f"{i} ({n})" for i, n in names.items()}}
    close = difflib.get_close_matches(which, words, n=3, cutoff=0.5)
    if close:
        return f". Close: {', '.join(words[word] for word in close)}"
    return ". `labbook ls` lists them"
