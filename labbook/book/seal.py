"""Sealing journals into Parquet, as a child of the writer or from outside.

    python -m labbook.book.seal RUN_FOLDER --writer W --first A --last B [--compact]
    python -m labbook.book.seal RUN_FOLDER --dead

The first form is the writer's own: it names segments it has closed, so its lock is not asked for.
Segments of this writer before A that an earlier child left are sealed too. `--compact` says that
nothing follows: values that have not arrived are null, and the writer's parts become one a table.

The second form seals the journals of dead writers. It takes each writer's own lock, on the writer's
own host, and holds it until the segments are gone; where that proves nothing it refuses.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Final

import pyarrow as pa

from labbook.book.compact import compact
from labbook.book.death import hold_dead
from labbook.book.encode import (
    PointsWriter,
    by_name,
    write_events,
    write_examples,
    write_observations,
)
from labbook.book.facts import Facts
from labbook.book.live import WriterJournal
from labbook.book.observations import examples_table, observation_table, set_of, unified
from labbook.book.sealing import Staged, commit, sealer_lock, staged_path, sweep
from labbook.book.seals import Seals, part_path
from labbook.errors import LabbookError, StoreError
from labbook.journal.reader import Batch, SegmentReader
from labbook.paths import RunPaths, Span

__all__ = ["main", "seal_dead", "seal_span"]

SPAN_BYTES: Final = 64 << 20
"""Segments sealed at a time: bounds the memory a sealer needs."""


def seal_span(
    paths: RunPaths, writer: str, first: int, last: int, *, finish: bool = False
) -> list[Span]:
    """Seal closed segments `first` to `last`, and older ones left behind; return the seals made.

    Idempotent. Without `finish`, segments whose rows still wait for values are left for later.
    Raises `StoreError`, and `OSError` when the disk fails; no record is lost by either.
    """
    with sealer_lock(paths, writer, wait=True):
        seals = sweep(paths, writer)
        made: list[Span] = []
        for span in _spans(paths, seals, writer, last):
            sealed = _seal(paths, span, finish=finish)
            if sealed is not None:
                made.append(sealed)
            if sealed != span:
                break  # the rest waits for values
            sweep(paths, writer)
        if finish:
            compact(paths, writer)
    _touch(paths)
    return made


def seal_dead(paths: RunPaths) -> dict[str, list[Span] | str]:
    """Seal what dead writers left; return by writer the seals made, or why it was refused."""
    facts = Facts(paths)
    facts.refresh()
    seals = Seals(paths)
    seals.refresh()
    found: dict[str, list[Span] | str] = {}
    left = {(writer, n) for writer, n, _ in paths.segments()}
    for writer in sorted({writer for writer, n in left}):
        try:
            with hold_dead(paths, writer, facts.processes.get(writer)):
                last = max(n for owner, n in left if owner == writer)
                found[writer] = seal_span(paths, writer, 1, last, finish=True)
        except StoreError as error:
            found[writer] = str(error)
    return found


def _spans(paths: RunPaths, seals: Seals, writer: str, last: int) -> list[Span]:
    """Unsealed segments up to `last`, cut into spans that no seal overlaps."""
    sizes = {n: path.stat().st_size for w, n, path in paths.segments() if w == writer}
    spans: list[Span] = []
    first = size = 0
    numbers = sorted(n for n in sizes if n <= last and not seals.covers(writer, n))
    for before, n in zip([0, *numbers], numbers, strict=False):
        between = any(seals.covers(writer, k) for k in range(before + 1, n))
        if first and not between and size + sizes[n] <= SPAN_BYTES:
            spans[-1] = Span(writer, first, n)
            size += sizes[n]
        else:
            first, size = n, sizes[n]
            spans.append(Span(writer, n, n))
    return spans


def _seal(paths: RunPaths, span: Span, *, finish: bool) -> Span | None:
    """Seal one span, or as much of its beginning as does not wait for values."""
    journal, damaged = _read(paths, span)
    if not finish:
        waiting = journal.first_pending_segment()
        if waiting is not None:
            if waiting <= span.first:
                return None
            journal.drop({n for n in journal.readers if n >= waiting})
            span = Span(span.writer, span.first, waiting - 1)
    staged, unreadable = _stage(paths, journal, span)
    damaged = {n: why for n, why in damaged.items() if n <= span.last}
    commit(paths, span, staged, journal.stats(), damaged=unreadable | damaged)
    return span


def _read(paths: RunPaths, span: Span) -> tuple[WriterJournal, dict[int, str]]:
    """Read a span, with the late values that lie behind it; and what is damaged, by segment."""
    journal = WriterJournal(span.writer)
    damaged: dict[int, str] = {}
    on_disk = sorted(n for w, n, _ in paths.segments() if w == span.writer)
    for number in on_disk:
        reader = SegmentReader(paths.segment(span.writer, number))
        if span.first <= number <= span.last:
            journal.readers[number] = reader
            journal.add(number, reader.poll())
            if reader.damage:
                damaged[number] = reader.damage
        elif number > span.last and journal.is_waiting:
            journal.add(number, Batch(late=reader.poll().late))
    return journal, damaged


def _stage(
    paths: RunPaths, journal: WriterJournal, span: Span
) -> tuple[list[Staged], dict[int, str]]:
    """Write the parts under temporary names; return them, and what is no observation."""
    staged: list[Staged] = []

    def place(table: str) -> Path:
        path = part_path(paths, table, span)
        staged.append(Staged(table, staged_path(table, span, path), path, 0))
        return staged[-1].staged

    def done(rows: int) -> None:
        last = staged.pop()
        staged.append(Staged(last.table, last.staged, last.path, rows))

    for table in ("series", "gauges", "model"):
        if any(journal.blocks(table)):
            with PointsWriter(place(table), span.writer) as part:
                for name, points in by_name(journal, table):
                    part.add(name, points)
                    part.end_name()
            done(part.rows)
    if journal.events:
        events = [event for _, event in journal.events]
        done(write_events(place("events"), events, span.writer))
    observations, examples, damaged = _arrays(journal)
    for name, tables in observations.items():
        whole = unified(tables)
        path = place(f"chosen/{name}")
        done(write_observations(path, whole.schema, [whole], span.writer))
    for name, table in examples.items():
        done(write_examples(place(f"examples/{name}"), table))
    return staged, damaged


def _arrays(
    journal: WriterJournal,
) -> tuple[dict[str, list[pa.Table]], dict[str, pa.Table], dict[int, str]]:
    """Observations and examples by set; and segments with records that are neither."""
    observations: dict[str, list[pa.Table]] = {}
    examples: dict[str, pa.Table] = {}
    damaged: dict[int, str] = {}
    for segment, array in journal.arrays:
        try:
            if (name := set_of(array, "chosen")) is not None:
                observations.setdefault(name, []).append(observation_table(array))
            elif (name := set_of(array, "examples")) is not None:
                examples.setdefault(name, examples_table(array))
            else:
                raise ValueError("its header names no chosen set")
        except (ValueError, OverflowError, pa.ArrowException) as error:
            damaged[segment] = f"record {array.seq} is no observation: {error}"
    return observations, examples, damaged


def _touch(paths: RunPaths) -> None:
    """Tell catalogues that the run's files changed."""
    try:
        os.utime(paths.root)
    except OSError:
        pass  # a catalogue that does not notice shows the same values


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; see the module's docstring."""
    parser = argparse.ArgumentParser("python -m labbook.book.seal")
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--writer", help="the writer whose closed segments are sealed")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--last", type=int)
    parser.add_argument("--compact", action="store_true", help="nothing follows these segments")
    parser.add_argument("--dead", action="store_true", help="seal what dead writers left")
    args = parser.parse_args(arguments)
    if args.dead == (args.writer is not None) or (args.writer and args.last is None):
        parser.error("give either --dead, or --writer with --first and --last")
    paths = RunPaths(args.run.absolute())
    if arguments is None:
        os.nice(10)  # a process of its own: the training goes first
    try:
        if args.dead:
            outcome = seal_dead(paths)
            refused = {w: why for w, why in outcome.items() if isinstance(why, str)}
            for why in refused.values():
                print(f"labbook: not sealed: {why}", file=sys.stderr)
            return 1 if refused else 0
        seal_span(paths, args.writer, args.first, args.last, finish=args.compact)
    except (LabbookError, OSError, pa.ArrowException) as error:
        print(f"labbook: sealing {paths.root} failed, its journal stays: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
