"""Compaction: at the end of a writer's life its parts become one a table.

The new seal replaces the older ones, which are swept away after it is committed. Memory is bounded
by a row group where the parts of a series follow one another in steps, else by the series.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import reduce
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from labbook.book.encode import PointsWriter, write_observations
from labbook.book.layout import EVENTS, PartWriter
from labbook.book.observations import unified
from labbook.book.points import Points, names_in, open_parquet, read_name, read_parquet
from labbook.book.sealing import Staged, commit, staged_path, sweep
from labbook.book.seals import EXAMPLES, Part, part_path
from labbook.book.stats import SeriesStat
from labbook.errors import DamagedFile
from labbook.journal.format import NO_STEP
from labbook.paths import TABLES, RunPaths, Span

__all__ = ["compact"]

OBSERVATION_BYTES: Final = 128 << 20
"""So much of a chosen set, decoded, is merged at a time."""


def compact(paths: RunPaths, writer: str) -> Span | None:
    """Merge the parts of a writer that has ended; the new span, or None when there is one already.

    To be called under the sealer's lock. Raises `DamagedFile` when a part cannot be read: then
    everything stays as it is.
    """
    seals = sweep(paths, writer)
    old = [m for m in seals.in_force() if m.span.writer == writer]
    if len(old) < 2:
        return None
    span = Span(writer, old[0].span.first, old[-1].span.last)
    if any(m.span.writer == writer and m.span == span for m in seals.all.values()):
        return None
    parts: dict[str, list[Part]] = {}
    for manifest in old:
        for part in manifest.parts:
            parts.setdefault(part.table, []).append(part)
    staged, kept = [], []
    for table, group in parts.items():
        if table.startswith(EXAMPLES):
            kept.append(group[0])
        else:
            path = part_path(paths, table, span)
            temporary = staged_path(table, span, path)
            rows = _merge(paths, table, group, temporary, writer)
            staged.append(Staged(table, temporary, path, rows))
    damaged = {number: why for m in old for number, why in m.damaged.items()}
    series = reduce(_merge_stats, (m.series for m in old))
    commit(paths, span, staged, series, replaces=old, damaged=damaged, kept=kept)
    sweep(paths, writer)
    return span


def _merge(paths: RunPaths, table: str, parts: list[Part], path: Path, writer: str) -> int:
    if table == "events":
        return _append(paths, parts, path)
    if table in TABLES:
        return _merge_points(paths, table, parts, path, writer)
    return _merge_observations(paths, parts, path, writer)


def _append(paths: RunPaths, parts: list[Part], path: Path) -> int:
    with PartWriter(path, EVENTS) as out:
        for part in parts:
            out.write(read_parquet(paths.root, part.path))
        return out.rows


def _merge_points(paths: RunPaths, table: str, parts: list[Part], path: Path, writer: str) -> int:
    with ExitStack() as stack:
        files = [(stack.enter_context(open_parquet(paths.root, p.path)), p.path) for p in parts]
        present = [names_in(file) for file, _ in files]
        with PointsWriter(path, writer) as out:
            for name in sorted(set().union(*present)):
                having = [f for f, names in zip(files, present, strict=True) if name in names]
                for points in _sorted(having, name, by_time=table == "gauges"):
                    out.add(name, points)
                out.end_name()
    return out.rows


def _merge_observations(paths: RunPaths, parts: list[Part], path: Path, writer: str) -> int:
    with ExitStack() as stack:
        files = [(stack.enter_context(open_parquet(paths.root, p.path)), p.path) for p in parts]
        empty = [file.schema_arrow.empty_table().drop_columns("writer") for file, _ in files]
        schema = unified(empty).schema
        ranges = _ranges(files)
        tables = (
            unified([schema.empty_table(), *_with_examples(files, first, last)]).cast(schema)
            for first, last in ranges
        )
        return write_observations(path, schema, tables, writer)


def _ranges(files: list[tuple[Any, Path]]) -> list[tuple[int, int]]:
    """Examples from first to last, inclusive, that are merged together."""
    found: Counter[int] = Counter()
    n_bytes = 0
    for file, _ in files:
        ids, counts = np.unique(file.read(["example"]).column(0).to_numpy(), return_counts=True)
        found.update(dict(zip(ids.tolist(), counts.tolist(), strict=True)))
        groups = range(file.metadata.num_row_groups)
        n_bytes += sum(file.metadata.row_group(number).total_byte_size for number in groups)
    most = max(1, found.total() * OBSERVATION_BYTES // max(1, n_bytes))
    ranges: list[tuple[int, int]] = []
    rows = most
    for example in sorted(found):
        if rows + found[example] > most:
            ranges.append((example, example))
            rows = 0
        ranges[-1] = (ranges[-1][0], example)
        rows += found[example]
    return ranges


def _with_examples(files: list[tuple[Any, Path]], first: int, last: int) -> Iterator[pa.Table]:
    for file, path in files:
        try:
            for number in range(file.metadata.num_row_groups):
                table = file.read_row_group(number).drop_columns("writer")
                example = table.column("example")
                inside = pc.and_(pc.greater_equal(example, first), pc.less_equal(example, last))
                yield table.filter(inside)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DamagedFile(f"{path} cannot be read as Parquet: {error}") from error


def _sorted(files: list[tuple[Any, Path]], name: str, *, by_time: bool) -> Iterator[Points]:
    """All rows of a name in order, a row group at a time when the parts do not overlap."""
    if _follow_on(files, name, by_time=by_time):
        for file, path in files:
            yield from read_name(file, path, name)
        return
    whole = Points.concat([p for file, path in files for p in read_name(file, path, name)])
    order = np.argsort(whole.time_ms, kind="stable")
    yield whole.take(order) if by_time else whole.in_order()


def _follow_on(files: list[tuple[Any, Path]], name: str, *, by_time: bool) -> bool:
    """Whether each part begins at or after the end of the one before it."""
    end: int | None = None
    for file, path in files:
        for points in read_name(file, path, name):
            key = points.time_ms if by_time else points.step
            if NO_STEP in (key[0], key[-1]) or (end is not None and key[0] < end):
                return False
            end = int(key[-1])
    return True


def _merge_stats(old: dict[str, SeriesStat], later: dict[str, SeriesStat]) -> dict[str, SeriesStat]:
    merged = {name: old[name].merge(stat) for name, stat in later.items() if name in old}
    return old | later | merged
