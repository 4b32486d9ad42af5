"""Reading segments: live, dead, torn or damaged, always the committed records and no others.

`SegmentReader` keeps its offset, so tailing a live segment costs what is new. It never raises on
what is in the file: reading stops at the first record that is not committed, and `damage` says why
when more bytes than a torn tail lie behind it.
"""

from __future__ import annotations

import json
import math
import os
import struct
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from labbook.journal import format as f

__all__ = ["Array", "Batch", "Event", "Late", "Row", "Schema", "SegmentReader"]

_U32 = struct.Struct("<I").unpack_from
_START = struct.Struct("<IBBH").unpack_from
_TABLES = frozenset({"series", "gauges", "model"})


class Schema(NamedTuple):
    """What the columns of a row are; `id` means something within one segment only."""

    id: int
    table: str
    names: tuple[str, ...]


class Row(NamedTuple):
    """One call's values; None is null, or not arrived yet when the index is in `pending`."""

    seq: int
    table: str
    names: tuple[str, ...]
    step: int | None
    time_ns: int
    values: tuple[float | None, ...]
    pending: tuple[int, ...]


class Event(NamedTuple):
    """Text, an alert or a fault, with whatever fields came along."""

    seq: int
    step: int | None
    time_ns: int
    fields: dict[str, Any]


class Array(NamedTuple):
    """Arrays of one observation; `payload` holds the header's columns one after another."""

    seq: int
    step: int | None
    time_ns: int
    header: dict[str, Any]
    payload: memoryview


class Late(NamedTuple):
    """A value that was PENDING in the row with this seq."""

    seq: int
    cell: int
    value: float


@dataclass
class Batch:
    """The committed records of one poll. Row offsets point into `data`."""

    data: bytes = b""
    rows: dict[Schema, array[int]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    arrays: list[Array] = field(default_factory=list)
    late: list[Late] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.rows or self.events or self.arrays or self.late)


class _Damaged(Exception):
    """A record whose CRC is right but whose content is not of this format."""


class SegmentReader:
    """Reads one segment, from where it stopped last time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        """Bytes of the file that are read and committed."""
        self.size = 0
        """Size of the file at the last poll."""
        self.damage: str | None = None
        self._schemas: dict[int, Schema] = {}

    def poll(self) -> Batch:
        """Return the records committed since the last poll.

        Raises `OSError` when the file cannot be opened or read; nothing about its content raises.
        """
        with open(self.path, "rb", buffering=0) as file:
            self.size = os.fstat(file.fileno()).st_size
            if self.size < self.offset:
                self.damage = f"shrank from {self.offset} to {self.size} bytes while it was read"
            if self.damage or self.size <= self.offset:
                return Batch()
            file.seek(self.offset)
            data = file.read()
        return self._parse(data)

    @property
    def torn_bytes(self) -> int:
        """Bytes behind the last committed record: a write under way, or a torn tail."""
        return max(0, self.size - self.offset)

    def records(self) -> Iterator[Row | Event | Array | Late]:
        """Poll, and yield the new records as objects, in the order of their seq."""
        batch = self.poll()
        found: list[Row | Event | Array | Late] = []
        for schema, offsets in batch.rows.items():
            unpack = f.row_struct(len(schema.names)).unpack_from
            found += (_row(schema, unpack(batch.data, at)) for at in offsets)
        found += [*batch.events, *batch.arrays, *batch.late]
        found.sort(key=lambda record: record.seq)
        yield from found

    def _parse(self, data: bytes) -> Batch:
        at = 0
        if self.offset == 0:
            at = self._read_header(data)
            if at == 0:
                return Batch()
        batch = Batch(data)
        view, end, schemas, crc32 = memoryview(data), len(data), self._schemas, zlib.crc32
        sinks: dict[
            int, tuple[int, array[int]]
        ] = {}  # by schema id: length and offsets of its rows
        while at + f.MIN_RECORD <= end:
            length, kind, _, schema_id = _START(data, at)
            stop = at + length
            if length < f.MIN_RECORD or length > f.MAX_RECORD:
                self.damage = f"impossible length {length} at byte {self.offset + at}"
                break
            if stop > end:
                break  # a write under way, or the torn tail of a kill
            if crc32(view[at : stop - 4]) != _U32(data, stop - 4)[0]:
                if stop < end:  # at the very end it may still be under way
                    self.damage = f"wrong checksum at byte {self.offset + at}"
                break
            try:
                if kind == f.ROW:
                    sink = sinks.get(schema_id)
                    if sink is None:
                        sink = sinks[schema_id] = _sink(batch, schemas[schema_id])
                    if length != sink[0]:
                        raise _Damaged("a row's length does not fit its schema")
                    sink[1].append(at)
                else:
                    if kind == f.SCHEMA:
                        sinks.pop(schema_id, None)
                    self._other(batch, kind, view[at : stop - 4])
            except (_Damaged, KeyError, ValueError, RecursionError) as error:
                self.damage = f"unreadable record at byte {self.offset + at}: {error}"
                break
            at = stop
        self.offset += at
        return batch

    def _read_header(self, data: bytes) -> int:
        if len(data) < f.HEADER_SIZE:
            return 0
        head = data[: f.HEADER_SIZE]
        if head[:7] != f.MAGIC or zlib.crc32(head[:12]) != _U32(head, 12)[0]:
            self.damage = "not a journal segment (wrong header)"
            return 0
        if head[7] > f.VERSION:
            self.damage = f"journal version {head[7]}; this labbook reads up to {f.VERSION}"
            return 0
        return f.HEADER_SIZE

    def _other(self, batch: Batch, kind: int, record: memoryview) -> None:
        _, _, _, schema_id, seq, step_word, time_ns = f.HEAD.unpack_from(record)
        step = None if step_word == f.NO_STEP else step_word
        body = record[f.HEAD_SIZE :]
        if kind == f.SCHEMA:
            self._schemas[schema_id] = _schema(schema_id, _object(body))
        elif kind == f.EVENT:
            batch.events.append(Event(seq, step, time_ns, _object(body)))
        elif kind == f.ARRAY:
            if len(body) < 4 or (size := _U32(body)[0]) > len(body) - 4:
                raise _Damaged("an array's header is longer than its record")
            header = _object(body[4 : 4 + size])
            batch.arrays.append(Array(seq, step, time_ns, header, body[4 + size :]))
        elif kind == f.LATE:
            if len(body) % f.LATE_CELL.size:
                raise _Damaged("a late record is not a whole number of cells")
            batch.late += (Late(seq, *cell) for cell in f.LATE_CELL.iter_unpack(body))
        # a kind this version does not know is passed over: its length is known


def _sink(batch: Batch, schema: Schema) -> tuple[int, array[int]]:
    return f.MIN_RECORD + 8 * len(schema.names), batch.rows.setdefault(schema, array("Q"))


def _object(body: memoryview) -> dict[str, Any]:
    raw = bytes(body)
    value = json.loads(raw)
    if b"\\ud" in raw.lower():  # half a surrogate pair is no text: Arrow and terminals refuse it
        value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    if not isinstance(value, dict):
        raise _Damaged("expected a JSON object")
    return value


def _schema(schema_id: int, value: dict[str, Any]) -> Schema:
    table, names = value.get("table"), value.get("names")
    if table not in _TABLES or not isinstance(names, list):
        raise _Damaged(f"a schema of table {table!r}")
    if not all(isinstance(name, str) for name in names):
        raise _Damaged("a schema whose names are not text")
    return Schema(schema_id, table, tuple(names))


def _row(schema: Schema, words: tuple[Any, ...]) -> Row:
    _, _, _, _, seq, step, time_ns, *values = words
    bits = [f.bits_of(value) if math.isnan(value) else 0 for value in values]
    return Row(
        seq,
        schema.table,
        schema.names,
        None if step == f.NO_STEP else step,
        time_ns,
        tuple(
            None if bit in (f.NULL_BITS, f.PENDING_BITS) else value
            for value, bit in zip(values, bits, strict=True)
        ),
        tuple(i for i, bit in enumerate(bits) if bit == f.PENDING_BITS),
    )
