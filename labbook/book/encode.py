"""Writing the sealed tables: points sorted by name, events, observations, examples."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from labbook.book.layout import (
    EVENTS,
    MAX_GROUP,
    MIN_GROUP,
    POINTS,
    PartWriter,
    constant,
    group_slices,
)
from labbook.book.points import Points
from labbook.book.tables import event_row

if TYPE_CHECKING:
    from labbook.book.live import WriterJournal
    from labbook.journal.reader import Event

__all__ = ["PointsWriter", "by_name", "write_events", "write_examples", "write_observations"]

GROUP_BYTES: Final = 16 << 20
"""A row group of observations is not much larger, before compression."""


class PointsWriter:
    """Writes one part of `series`, `gauges` or `model`; names come in order, each in one go."""

    def __init__(self, path: Path, writer: str) -> None:
        self._part = PartWriter(path, POINTS)
        self._writer = writer
        self._buffer: list[tuple[str, Points]] = []
        self._buffered = 0

    @property
    def rows(self) -> int:
        """Rows written so far."""
        return self._part.rows

    def add(self, name: str, points: Points) -> None:
        """Add rows of a name, sorted; more of the same name may follow."""
        self._buffer.append((name, points))
        self._buffered += len(points)
        while self._buffered > MAX_GROUP:
            self._flush(MAX_GROUP)

    def end_name(self) -> None:
        """Say that no more rows of this name follow."""
        if self._buffered >= MIN_GROUP:
            self._flush(self._buffered)

    def _flush(self, n: int) -> None:
        taken: list[tuple[str, Points]] = []
        left = n
        while left:
            name, points = self._buffer.pop(0)
            if len(points) > left:
                self._buffer.insert(0, (name, points.cut(left, len(points))))
                points = points.cut(0, left)
            taken.append((name, points))
            left -= len(points)
        self._buffered -= n
        if n:
            self._part.write(self._table(taken, n))

    def _table(self, taken: list[tuple[str, Points]], n: int) -> pa.Table:
        names = sorted({name for name, _ in taken})
        at = {name: index for index, name in enumerate(names)}
        lengths = [len(points) for _, points in taken]
        indices = np.repeat(np.array([at[name] for name, _ in taken], np.int32), lengths)
        columns = Points.concat([points for _, points in taken]).columns()
        columns["name"] = pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(names))
        columns["writer"] = constant(self._writer, n)
        return pa.table({name: columns[name] for name in POINTS.names})

    def __enter__(self) -> PointsWriter:
        return self

    def __exit__(self, kind: Any, *rest: Any) -> None:
        try:
            if kind is None:
                self._flush(self._buffered)
        except BaseException as error:
            self._part.__exit__(type(error))
            raise
        self._part.__exit__(kind)


def by_name(journal: WriterJournal, table: str) -> Iterable[tuple[str, Points]]:
    """Every name of a table with its rows as they are sealed: by step, gauges by time."""
    found: dict[str, list[tuple[Any, int]]] = {}
    for block in journal.blocks(table):
        for index, name in enumerate(block.names):
            found.setdefault(name, []).append((block, index))
    for name in sorted(found):
        columns = found[name]
        points = Points.concat([Points.of_block(block, index) for block, index in columns])
        if len(columns) > 1:  # back into the order of logging
            points = points.take(
                np.argsort(np.concatenate([block.seq for block, _ in columns]), kind="stable")
            )
        if table == "gauges":
            points = points.take(np.argsort(points.time_ms, kind="stable"))
        else:
            points = points.in_order()
        yield name, points


def write_events(path: Path, events: list[Event], writer: str) -> int:
    """Write the events in the order of logging; return how many."""
    columns = pa.schema([field for field in EVENTS if field.name != "writer"])
    table = pa.Table.from_pylist([event_row(event) for event in events], columns)
    with PartWriter(path, EVENTS) as part:
        part.write(table.append_column(EVENTS.field("writer"), constant(writer, len(events))))
        return part.rows


def write_observations(
    path: Path, schema: pa.Schema, tables: Iterable[pa.Table], writer: str
) -> int:
    """Write a chosen set's observations by example and step; return how many rows.

    The tables follow one another in their examples: one that holds all will do.
    """
    schema = schema.append(POINTS.field("writer"))
    with PartWriter(path, schema) as part:
        for table in tables:
            ordered = table.sort_by([("example", "ascending"), ("step", "ascending")])
            named = ordered.append_column(schema.field("writer"), constant(writer, len(ordered)))
            most = max(1, min(MAX_GROUP, GROUP_BYTES * len(named) // max(1, named.nbytes)))
            _, lengths = np.unique(named.column("example").to_numpy(), return_counts=True)
            for start, n in group_slices(lengths.tolist(), min(4096, most), most):
                part.write(named.slice(start, n))
        return part.rows


def write_examples(path: Path, table: pa.Table) -> int:
    """Write a chosen set's inputs; return how many examples."""
    with PartWriter(path, table.schema) as part:
        part.write(table)
        return part.rows
