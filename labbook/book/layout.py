"""The layout of the sealed tables: schemas, encodings, row groups.

Every part is one Parquet file of one writer, zstd level 3, with page checksums:

    series/  gauges/  model/    name, step?, time, value?, writer       sorted (name, step)
    events/                     time, step?, kind, text, fields, writer in the order of logging
    chosen/<set>/<span>.parquet step?, time, example, <columns>, writer sorted (example, step)
    chosen/<set>/examples.parquet  example, <columns>                   in the order of the set

`gauges` are sorted (name, time). `time` is in milliseconds, UTC; `fields` is a JSON object; a
column of arrays is a FixedSizeList (List where the length varies), flattened in C order; pictures
are PNG files; and the schema metadata `labbook` holds shapes and the like as JSON.

Steps and times are DELTA_BINARY_PACKED, floating point values BYTE_STREAM_SPLIT, names and writers
dictionaries: 3.3 bytes a point on real-looking metrics. A row group ends at a name's boundary once
it holds 2^15 rows, and cuts a longer series at 2^17: a reader of one series reads little else.

While a run is being sealed, the parts that a newer seal replaces lie beside it for a moment. This
query never sees a row twice, in plain DuckDB (RUN is the run's folder):

    WITH seals AS (
      SELECT * FROM read_json('RUN/seals/*.json', columns = {span: 'VARCHAR',
        replaces: 'VARCHAR[]', parts: 'STRUCT("table" VARCHAR, path VARCHAR)[]'})
    ), parts AS (
      SELECT unnest(parts).path AS path FROM seals
      WHERE span NOT IN (SELECT unnest(replaces) FROM seals)
    )
    SELECT s.* EXCLUDE (filename) FROM read_parquet('RUN/series/*.parquet', filename = true) s
    WHERE EXISTS (SELECT 1 FROM parts WHERE ends_with(s.filename, '/' || parts.path))
    ORDER BY name, step
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = [
    "EVENTS",
    "MAX_GROUP",
    "MIN_GROUP",
    "POINTS",
    "TIME",
    "PartWriter",
    "constant",
    "group_slices",
    "stage",
]

TIME: Final = pa.timestamp("ms", tz="UTC")

_NAME = pa.dictionary(pa.int32(), pa.string())

POINTS: Final = pa.schema(
    [
        pa.field("name", _NAME, nullable=False),
        pa.field("step", pa.int64()),
        pa.field("time", TIME, nullable=False),
        pa.field("value", pa.float64()),
        pa.field("writer", _NAME, nullable=False),
    ]
)
"""`series`, `gauges` and `model`, as written; a reader sees `name` and `writer` as strings."""

EVENTS: Final = pa.schema(
    [
        pa.field("time", TIME, nullable=False),
        pa.field("step", pa.int64()),
        pa.field("kind", pa.string()),
        pa.field("text", pa.string()),
        pa.field("fields", pa.string()),
        pa.field("writer", _NAME, nullable=False),
    ]
)

MIN_GROUP: Final = 1 << 15
MAX_GROUP: Final = 1 << 17

_DICTIONARIES = frozenset({"name", "writer", "kind"})


def group_slices(
    lengths: list[int], least: int = MIN_GROUP, most: int = MAX_GROUP
) -> Iterator[tuple[int, int]]:
    """Cut rows sorted by a key into row groups, as (first row, rows); `lengths` is rows a key.

    A group is closed at a key's boundary once it holds `least` rows; longer runs are cut at `most`.
    """
    start = end = 0
    for length in lengths:
        end += length
        while end - start > most:
            yield start, most
            start += most
        if end - start >= least:
            yield start, end - start
            start = end
    if end > start:
        yield start, end - start


def _leaves(schema: pa.Schema) -> Iterator[tuple[str, Any]]:
    """Leaf paths and types as Parquet names them."""
    for field in schema:
        kind = field.type
        path = field.name
        if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind):
            path, kind = f"{path}.list.element", kind.value_type
        yield path, kind


def _encodings(schema: pa.Schema) -> tuple[dict[str, str], list[str]]:
    """Return encodings by leaf path, and the leaves with a dictionary."""
    encodings: dict[str, str] = {}
    dictionaries: list[str] = []
    for path, kind in _leaves(schema):
        if path in _DICTIONARIES:
            dictionaries.append(path)
        elif pa.types.is_float32(kind) or pa.types.is_float64(kind):
            encodings[path] = "BYTE_STREAM_SPLIT"
        elif (pa.types.is_integer(kind) and kind.bit_width >= 32) or pa.types.is_timestamp(kind):
            encodings[path] = "DELTA_BINARY_PACKED"
        else:
            encodings[path] = "PLAIN"
    return encodings, dictionaries


class PartWriter:
    """Writes one Parquet file row group by row group, and syncs it before it is closed."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        encodings, dictionaries = _encodings(schema)
        self._schema = schema
        self._file = open(path, "wb")  # noqa: SIM115 - closed in close()
        try:
            self._writer = pq.ParquetWriter(
                self._file,
                schema,
                compression="zstd",
                compression_level=3,
                use_dictionary=dictionaries or False,
                column_encoding=encodings or None,
                write_page_checksum=True,
                # without it a dictionary is a plain string to every reader; lists and what the
                # schema says of them need it
                store_schema=bool(schema.metadata)
                or any(pa.types.is_nested(field.type) for field in schema),
                write_statistics=True,
            )
        except BaseException:
            self._file.close()
            raise
        self.rows = 0

    def write(self, table: pa.Table) -> None:
        """Write one row group."""
        if table.num_rows:
            self._writer.write_table(table.cast(self._schema), row_group_size=table.num_rows)
            self.rows += table.num_rows

    def close(self) -> None:
        """Finish the file and bring it to the disk."""
        try:
            self._writer.close()
            self._file.flush()
            os.fsync(self._file.fileno())
        finally:
            self._writer.is_open = False
            self._file.close()

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()
            return
        try:
            self._writer.close()
        except (OSError, pa.ArrowException):
            pass  # the error that brought us here is the one to tell
        finally:
            self._writer.is_open = False  # its finaliser would try again
            self._file.close()


def stage(path: Path) -> Path:
    """The name a file has until it is complete."""
    return path.with_name(f"{path.name}.tmp")


def constant(text: str, length: int) -> pa.DictionaryArray:
    """A column that holds `text` in every row."""
    return pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(length, np.int32)), pa.array([text], pa.string())
    )
