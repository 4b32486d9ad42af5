"""The catalogue: the run table, kept, so that a list of 10,000 runs reads one file.

Derived and disposable: missing, damaged or stale, it is built anew; where it cannot be written it
is done without. The key of a run is the modification time of its folder and of `meta/`: whoever
writes deeper down touches the folder. A time so recent that another change could share it is not
trusted, and neither is anything about a run that may still be alive.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from labbook.book.facts import entries
from labbook.book.states import whereabouts
from labbook.book.summary import GROUPS, RunSummary, pack
from labbook.paths import BookPaths, RunPaths

__all__ = ["Entry", "journal_mark", "load", "load_table", "run_keys", "save"]

_VERSION: Final = b"2"
_METADATA: Final = b"labbook.catalogue"
_RACE_NS: Final = 2_000_000_000
"""Coarser than the clock of any file system."""

_OPEN: Final = frozenset({"running", "unknown", "killed"})
"""States that depend on who looks, and when."""

_PLAIN: Final = (
    "id",
    "name",
    "group",
    "parent",
    "state",
    "why",
    "attempt",
    "host",
    "n_checkpoints",
    "n_results",
)
_GIT: Final = ("git.commit", "git.branch")
_MOMENT: Final = ("_folder_ns", "_meta_ns", "_read_ns")
"""Of what moment a row is: `Entry.key` and `Entry.read_ns`."""
_HIDDEN: Final = pa.schema(
    [
        ("_folder_ns", pa.int64()),
        ("_meta_ns", pa.int64()),
        ("_read_ns", pa.int64()),
        ("_where", pa.string()),
        ("_journal", pa.string()),
        ("_created_ns", pa.int64()),
        ("_ended_ns", pa.int64()),
        ("_seen_ns", pa.int64()),
        *((f"_{group}", pa.string()) for group in GROUPS),
    ]
)

Key = tuple[int, int]


@dataclass(slots=True)
class Entry:
    """What is known of a run, and of what moment."""

    summary: RunSummary
    key: Key
    read_ns: int
    where: str
    """Host, boot and pid namespace of its process."""
    journal: str
    """`journal_mark` at that moment."""
    is_settled: bool = field(init=False)
    """Whether nothing can change it but what changes the key."""

    def __post_init__(self) -> None:
        is_trusted = max(self.key) + _RACE_NS <= self.read_ns
        self.is_settled = is_trusted and self.summary.state not in _OPEN

    def is_fresh(self, key: Key | None, book: BookPaths) -> bool:
        """Whether reading the run again would say the same."""
        if key != self.key or max(key) + _RACE_NS > self.read_ns:
            return False
        if self.is_settled:
            return True
        state, is_here = self.summary.state, self.where == whereabouts()
        if state == "unknown" and self.where and not is_here:
            # on another host: until something is written there
            return journal_mark(book.run(self.summary.id)) == self.journal
        return state == "killed" and is_here

    @property
    def is_lasting(self) -> bool:
        """Whether it is worth writing down."""
        return self.summary.state != "running" and max(self.key) + _RACE_NS <= self.read_ns


def run_keys(paths: BookPaths, ids: Iterable[str]) -> dict[str, Key]:
    """The key of each run that is there: modification times of its folder and of `meta/`, in ns."""
    try:
        fd = os.open(paths.runs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return {}
    found: dict[str, Key] = {}
    stat = os.stat
    try:
        for run_id in ids:
            try:
                folder_ns = stat(run_id, dir_fd=fd).st_mtime_ns
            except OSError:
                continue
            try:
                meta_ns = stat(f"{run_id}/meta", dir_fd=fd).st_mtime_ns
            except OSError:
                meta_ns = 0
            found[run_id] = (folder_ns, meta_ns)
    finally:
        os.close(fd)
    return found


def journal_mark(paths: RunPaths) -> str:
    """Changes when anything is written to the journal."""
    files = [entry for entry in entries(paths.journal) if entry.name.endswith(".lbj")]
    stats = [entry.stat(follow_symlinks=False) for entry in files]
    newest = max((info.st_mtime_ns for info in stats), default=0)
    return f"{len(stats)}:{sum(info.st_size for info in stats)}:{newest}"


def load(paths: BookPaths) -> dict[str, Entry]:
    """The entries by run; none when there is no usable catalogue.

    Of its columns only those are read that entries need: there are hundreds of others.
    """
    try:
        with pq.ParquetFile(paths.catalog, page_checksum_verification=True) as file:
            if (file.schema_arrow.metadata or {}).get(_METADATA) != _VERSION:
                return {}
            return _entries(file.read([*_PLAIN, *_GIT, *_HIDDEN.names]))
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError):
        return {}  # it is built anew


def load_table(paths: BookPaths, known: dict[str, Entry]) -> pa.Table:
    """The run table as kept: rows made of what is known; an empty one when it cannot be used.

    Another program may have written the catalogue since the entries were read.
    """
    try:
        with pq.ParquetFile(paths.catalog, page_checksum_verification=True) as file:
            if (file.schema_arrow.metadata or {}).get(_METADATA) != _VERSION:
                return pa.table({})
            table = file.read()
        moments = {(run_id, *entry.key, entry.read_ns) for run_id, entry in known.items()}
        kept = zip(*(table.column(name).to_pylist() for name in ("id", *_MOMENT)), strict=True)
        same = pa.array([row in moments for row in kept], pa.bool_())
        return table.filter(same).drop_columns(_HIDDEN.names)
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError):
        return pa.table({})


def _entries(table: pa.Table) -> dict[str, Entry]:
    plain = {name: table.column(name).to_pylist() for name in _PLAIN}
    plain["commit"] = table.column("git.commit").to_pylist()
    plain["branch"] = table.column("git.branch").to_pylist()
    for name in ("created_ns", "ended_ns", "seen_ns"):
        plain[name] = table.column(f"_{name}").to_pylist()
    names = tuple(plain)
    columns = {group: table.column(f"_{group}").combine_chunks() for group in GROUPS}
    hidden = [table.column(name).to_pylist() for name in (*_MOMENT, "_where", "_journal")]
    found: dict[str, Entry] = {}
    rows = zip(zip(*plain.values(), strict=True), zip(*hidden, strict=True), strict=True)
    for row, (fields, (folder_ns, meta_ns, read_ns, where, journal)) in enumerate(rows):
        summary = RunSummary.stored(dict(zip(names, fields, strict=True)), columns, row)
        found[fields[0]] = Entry(summary, (folder_ns, meta_ns), read_ns, where, journal)
    return found


def save(paths: BookPaths, found: dict[str, Entry], table: pa.Table) -> bool:
    """Write the catalogue; False when the book cannot be written to.

    `table` is the run table with a row for each entry, in the same order.
    """
    rows: dict[str, list[Any]] = {name: [] for name in _HIDDEN.names}
    for entry in found.values():
        summary = entry.summary
        values = (
            *entry.key,
            entry.read_ns,
            entry.where,
            entry.journal,
            summary.created_ns,
            summary.ended_ns,
            summary.seen_ns,
            *(_packed(group, summary) for group in GROUPS),
        )
        for name, value in zip(rows, values, strict=True):
            rows[name].append(value)
    for column in _HIDDEN:
        table = table.append_column(column, pa.array(rows[column.name], column.type))
    table = table.replace_schema_metadata({_METADATA: _VERSION})
    staged = paths.root / f".catalog.{os.getpid()}.{time.monotonic_ns()}.tmp"
    try:
        try:
            pq.write_table(table, staged, compression="zstd", write_page_checksum=True)
            os.replace(staged, paths.catalog)
        finally:
            staged.unlink(missing_ok=True)
    except OSError:
        return False  # read-only, full or gone: the next reader builds it again
    return True


def _packed(group: str, summary: RunSummary) -> str:
    stored = summary.__dict__.get("_stored")
    if stored is None:
        return pack(group, summary)
    columns, row = stored
    text: str = columns[group][row].as_py()
    return text
