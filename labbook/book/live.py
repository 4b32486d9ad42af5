"""The unsealed part of a run: its journals, tailed and decoded, late values in their places.

A refresh costs what is new. The race with a sealer is settled by order: segments are listed and
read first, seals afterwards; rows of segments that a seal covers are dropped; a segment that
vanished without a seal that covers it is looked for again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from labbook.book.decode import Block, decode
from labbook.book.facts import entries
from labbook.book.stats import SeriesStat, summarise
from labbook.journal.reader import Array, Batch, Event, SegmentReader
from labbook.paths import RunPaths

if TYPE_CHECKING:
    from labbook.book.seals import Seals

__all__ = ["Journal", "WriterJournal"]

ATTEMPTS = 100
"""A sealer would have to finish a seal within each of so many listings."""


@dataclass
class _Running:
    """A block, and the summary of its first rows."""

    block: Block
    stats: list[SeriesStat] = field(default_factory=list)
    n: int = 0  # rows in `stats`

    def summary(self, until: int) -> list[SeriesStat]:
        """Summarise all rows; those before `until` cannot change any more and are kept."""
        if until > self.n:
            self.stats = self._with(self.n, until)
            self.n = until
        return self._with(self.n, self.block.n) if self.n < self.block.n else self.stats

    def _with(self, start: int, end: int) -> list[SeriesStat]:
        block, part = self.block, slice(start, end)
        new = summarise(block.seq[part], block.step[part], block.values[part])
        if not self.stats:
            return new
        return [old.merge(later) for old, later in zip(self.stats, new, strict=True)]


class WriterJournal:
    """What one writer's unsealed segments hold."""

    def __init__(self, writer: str) -> None:
        self.writer = writer
        self.readers: dict[int, SegmentReader] = {}
        self.done: set[int] = set()  # segments with a successor, read to their end
        self.events: list[tuple[int, Event]] = []
        self.arrays: list[tuple[int, Array]] = []
        self._blocks: dict[tuple[str, tuple[str, ...]], _Running] = {}
        self._pending: dict[int, tuple[Block, int]] = {}

    def add(self, segment: int, batch: Batch) -> None:
        """Take in what a segment had new."""
        self.events += ((segment, event) for event in batch.events)
        self.arrays += ((segment, array) for array in batch.arrays)
        for rows in decode(batch):
            key = (rows.table, rows.names)
            running = self._blocks.get(key)
            if running is None:
                running = self._blocks[key] = _Running(Block(*key))
            block = running.block
            for row in block.append(rows, segment).tolist():
                self._pending[int(block.seq[row])] = (block, row)
        for seq, index, value in batch.late:
            if seq in self._pending:
                block, row = self._pending[seq]
                if block.patch(row, index, value):
                    del self._pending[seq]

    def blocks(self, table: str) -> Iterator[Block]:
        """The blocks of one table that hold rows."""
        return (r.block for r in self._blocks.values() if r.block.table == table and r.block.n)

    def stats(self) -> dict[str, SeriesStat]:
        """Summarise each series; of a name in several blocks, by the order of their first rows."""
        found: dict[str, SeriesStat] = {}
        pending: dict[int, int] = {}
        for block, row in self._pending.values():
            pending[id(block)] = min(row, pending.get(id(block), row))
        running = [r for r in self._blocks.values() if r.block.table == "series" and r.block.n]
        for one in sorted(running, key=lambda r: int(r.block.seq[0])):
            block = one.block
            stats = one.summary(pending.get(id(block), block.n))
            for name, stat in zip(block.names, stats, strict=True):
                found[name] = found[name].merge(stat) if name in found else stat
        return found

    @property
    def is_waiting(self) -> bool:
        """Whether values that were logged have not arrived."""
        return bool(self._pending)

    def first_pending_segment(self) -> int | None:
        """The oldest segment with a row that still waits for a value."""
        return min((block.segment_of(row) for block, row in self._pending.values()), default=None)

    def drop(self, segments: set[int]) -> None:
        """Forget these segments: a seal covers them."""
        self.events = [(n, event) for n, event in self.events if n not in segments]
        self.arrays = [(n, array) for n, array in self.arrays if n not in segments]
        moved: dict[int, list[int]] = {}
        for running in self._blocks.values():
            positions = running.block.drop(segments)
            if positions is not None:
                running.stats, running.n = [], 0
                moved[id(running.block)] = positions.tolist()
        for seq, (block, row) in list(self._pending.items()):
            if id(block) in moved:
                now = moved[id(block)][row]
                if now < 0:
                    del self._pending[seq]
                else:
                    self._pending[seq] = (block, now)
        for number in segments:
            del self.readers[number]
            self.done.discard(number)


class Journal:
    """All unsealed segments of a run."""

    def __init__(self, paths: RunPaths) -> None:
        self.paths = paths
        self.writers: dict[str, WriterJournal] = {}
        self.version = 0
        """Grows whenever the rows change."""
        self._lost: set[tuple[str, int]] = set()

    def refresh(self, seals: Seals) -> bool:
        """Read what is new in journals and seals; True when anything changed.

        Raises `DamagedFile` for a seal that cannot be read, `OSError` for a segment.
        """
        changed = False
        for _ in range(ATTEMPTS):
            new, vanished = self._poll(seals)
            sealed = seals.refresh()
            changed = self._drop(seals) or new or sealed or changed
            vanished = {(w, n) for w, n in vanished - self._lost if not seals.covers(w, n)}
            if not vanished:
                break
        self._lost |= vanished  # nobody sealed them: what was read of them stays
        self.version += changed
        return changed

    def damage(self) -> list[str]:
        """What could not be read, one line each, naming the file."""
        found = [
            f"{reader.path}: {reader.damage}"
            for writer in self.writers.values()
            for reader in writer.readers.values()
            if reader.damage
        ]
        for name, number in sorted(self._lost):
            found.append(f"{self.paths.segment(name, number)} was removed before it was sealed")
        return found

    def _poll(self, seals: Seals) -> tuple[bool, set[tuple[str, int]]]:
        """Poll each segment on disk, oldest first; return whether rows came, and what vanished."""
        listed = self._listed()
        vanished = {(w.writer, n) for w in self.writers.values() for n in w.readers} - set(listed)
        changed = False
        for at, (name, number) in enumerate(listed):
            writer = self.writers.setdefault(name, WriterJournal(name))
            if number in writer.done or seals.covers(name, number):
                continue
            path = self.paths.segment(name, number)
            reader = writer.readers.get(number) or SegmentReader(path)
            try:
                batch = reader.poll()
            except FileNotFoundError:
                vanished.add((name, number))
                continue
            writer.readers[number] = reader
            if batch:
                writer.add(number, batch)
                changed = True
            if at + 1 < len(listed) and listed[at + 1][0] == name:
                writer.done.add(number)  # the listing is older than the poll: nothing can follow
        return changed, vanished

    def _listed(self) -> list[tuple[str, int]]:
        if not entries(self.paths.journal):  # also: a link is not followed
            return []
        return sorted((writer, number) for writer, number, _ in self.paths.segments())

    def _drop(self, seals: Seals) -> bool:
        dropped = False
        for writer in self.writers.values():
            covered = {n for n in writer.readers if seals.covers(writer.writer, n)}
            if covered:
                writer.drop(covered)
                dropped = True
        return dropped
