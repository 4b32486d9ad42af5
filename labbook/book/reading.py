"""Reading a book: `labbook.open()`."""

from __future__ import annotations

import difflib
import math
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

NOTHING: Key = (0, 0)
"""The key of a run that is not there."""
KEEP_RUNS = 200
"""To write the catalogue of 10,000 runs takes the memory of all of them: not for a few."""
KEEP_S = 10.0
"""Who is ended while it reads thousands of runs for the first time loses no more than that."""


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
        self._table: pa.Table | None = None  # read from the catalogue when it is needed
        self._n_news = 0  # runs that the catalogue does not have as they are
        self._kept_at = time.monotonic()
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
        return self.summaries_within(None)[0]

    def summaries_within(self, seconds: float | None) -> tuple[list[RunSummary], int]:
        """As `summaries`, of the runs that can be read in that time, and how many are left.

        What is left comes with the next calls: runs of which nothing is known, newest first, then
        those that were read longest ago. For a program that stays and asks often: the catalogue is
        written only when many runs are new to it.
        """
        until = math.inf if seconds is None else time.monotonic() + seconds
        if self._known is None:
            self._known = catalogue.load(self.paths)
        known, ids = self._known, self.ids()
        keys = catalogue.run_keys(self.paths, ids)
        due = [run_id for run_id in ids if self._is_due(run_id, keys.get(run_id, NOTHING))]
        due.sort(key=lambda run_id: known[run_id].read_ns if run_id in known else -1)
        found = {run_id: known[run_id] for run_id in ids if run_id in known}
        n_left = len(due)
        for run_id in due:
            found[run_id] = self._read(run_id, keys.get(run_id, NOTHING))
            self._stale.add(run_id)
            self._n_news += found[run_id].is_lasting
            n_left -= 1
            if time.monotonic() > until:
                break
        self._n_news += len(known.keys() - found.keys())
        self._known = dict(sorted(found.items(), key=_created, reverse=True))
        if self._n_news >= (1 if seconds is None else KEEP_RUNS):
            self._keep(is_all=not n_left)
        return [entry.summary for entry in self._known.values()], n_left

    def _is_due(self, run_id: str, key: Key) -> bool:
        """Whether the run has to be read."""
        entry = (self._known or {}).get(run_id)
        if entry is None:
            return True
        is_as_it_was = entry.is_settled and entry.key == key
        return not (is_as_it_was or entry.is_fresh(key, self.paths))

    def _keep(self, is_all: bool) -> None:
        """Write down what is new: all of it, or what is known after a while of reading."""
        if is_all or time.monotonic() > self._kept_at + KEEP_S:
            if catalogue.save(self.paths, self._known or {}, self._current_table()):
                self._table = None  # wide, and from now on in the file
            self._n_news, self._kept_at = 0, time.monotonic()

    def runs(self) -> pa.Table:
        """The run table, newest first: see `labbook.book.runtable.run_table` for its columns."""
        self.summaries()
        return self._current_table()

    def _current_table(self) -> pa.Table:
        """The run table of what is known, rows that are out of date made anew."""
        known = self._known or {}
        if self._table is None:
            self._table = catalogue.load_table(self.paths, known)
        table = self._table
        ids = list(known)
        if table.num_columns == 0 or self._stale or table.column("id").to_pylist() != ids:
            self._table, self._stale = self._merged(table, ids), set()
        return self._table

    def _merged(self, table: pa.Table, ids: list[str]) -> pa.Table:
        """A table with a row for each run, those that `table` has up to date taken from it."""
        have = set(table.column("id").to_pylist()) if table.num_columns else set()
        anew = [i for i in ids if i in self._stale or i not in have]
        fresh = run_table((self._known or {})[run_id].summary for run_id in anew)
        kept = pa.array([i for i in ids if i in have and i not in self._stale], pa.string())
        if len(kept):
            rows = pc.index_in(kept, value_set=table.column("id").combine_chunks())
            fresh = merge_run_tables(table.take(rows), fresh) if anew else table.take(rows)
        order = pc.index_in(
            pa.array(ids, pa.string()), value_set=fresh.column("id").combine_chunks()
        )
        return fresh.take(order).combine_chunks()

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
