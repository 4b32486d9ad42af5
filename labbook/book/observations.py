"""Chosen sets: array records of a journal as Arrow tables.

A record's header says what its bytes are; nothing in it is trusted. Only plain numbers are read,
never objects.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from labbook.book.facts import as_int
from labbook.book.layout import TIME

if TYPE_CHECKING:
    import numpy.typing as npt

    from labbook.journal.reader import Array

__all__ = ["METADATA", "examples_table", "observation_table", "set_of", "unified"]

METADATA: Final = b"labbook"
"""Key of the schema metadata: a JSON object with at least `shapes`: {column: shape}."""

_RESERVED = frozenset({"step", "time", "example", "writer"})


def set_of(array: Array, table: str) -> str | None:
    """The chosen set this record belongs to, when it is of this table."""
    if array.header.get("table") != table:
        return None
    name = array.header.get("set")
    return name if isinstance(name, str) and name else None


def observation_table(array: Array) -> pa.Table:
    """One observation as step, time, example, columns….

    Raises `ValueError` when the header does not describe the payload.
    """
    columns = list(_columns(array))
    n = len(columns[0][1]) if columns else 0
    ids = array.header.get("examples")
    example = np.arange(n, dtype=np.int32) if ids is None else np.asarray(ids, np.int32)
    if example.shape != (n,) or any(len(values) != n for _, values in columns):
        raise ValueError("its columns differ in length")
    step = pa.array([array.step], pa.int64()).take(pa.array(np.zeros(n, np.int8)))
    time_ms = np.full(n, array.time_ns // 1_000_000)
    fields = {"step": step, "time": pa.array(time_ms).cast(TIME), "example": pa.array(example)}
    shapes: dict[str, list[int]] = {}
    for name, values in columns:
        fields[name] = _as_arrow(values)
        shapes[name] = list(values.shape[1:])
    return pa.table(fields).replace_schema_metadata({METADATA: json.dumps({"shapes": shapes})})


def examples_table(array: Array) -> pa.Table:
    """A chosen set's inputs as example, columns…; raises `ValueError` like `observation_table`."""
    columns = list(_columns(array))
    n = len(columns[0][1]) if columns else 0
    fields: dict[str, Any] = {"example": pa.array(np.arange(n, dtype=np.int32))}
    about = {k: v for k, v in array.header.items() if k not in {"table", "columns", "texts"}}
    about["shapes"] = {name: list(values.shape[1:]) for name, values in columns}
    for name, values in columns:
        if len(values) != n:
            raise ValueError("its columns differ in length")
        fields[name] = _as_arrow(values)
    texts = array.header.get("texts")
    if isinstance(texts, list) and (len(texts) == n or not columns):
        if not columns:
            fields["example"] = pa.array(np.arange(len(texts), dtype=np.int32))
        fields["text"] = pa.array([None if t is None else str(t) for t in texts], pa.string())
    return pa.table(fields).replace_schema_metadata({METADATA: json.dumps(about)})


def _columns(array: Array) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    described = array.header.get("columns")
    if not isinstance(described, list):
        raise ValueError("its header names no columns")
    at = 0
    for column in described:
        name, dtype, shape = _described(column)
        size = dtype.itemsize * math.prod(shape)
        if at + size > len(array.payload):
            raise ValueError("its columns are longer than its payload")
        values = np.frombuffer(array.payload[at : at + size], dtype).reshape(shape)
        at += size
        yield f"{name}_" if name in _RESERVED else name, values


def _described(column: Any) -> tuple[str, np.dtype[Any], list[int]]:
    if not isinstance(column, dict) or not isinstance(column.get("name"), str):
        raise ValueError("a column without a name")
    try:
        dtype = np.dtype(str(column.get("dtype")))
    except (TypeError, SyntaxError) as error:
        raise ValueError(f"a column of dtype {column.get('dtype')!r}") from error
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise ValueError(f"a column of dtype {column.get('dtype')!r}")
    shape = column.get("shape")
    if not isinstance(shape, list) or not shape or not all((as_int(d) or 0) >= 0 for d in shape):
        raise ValueError(f"a column of shape {shape!r}")
    return column["name"], dtype, [int(d) for d in shape]


def _as_arrow(values: npt.NDArray[Any]) -> pa.Array:
    """(n,) as it is, (n, …) as lists of the flattened rest."""
    if values.dtype.itemsize == 2 and values.dtype.kind == "f":
        values = values.astype(np.float32)  # exact; and every reader knows it
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.ndim == 1:
        return pa.array(values)
    width = math.prod(values.shape[1:])
    flat = pa.array(values.reshape(-1))
    if width == 0:
        return pa.ListArray.from_arrays(np.zeros(len(values) + 1, np.int32), flat)
    return pa.FixedSizeListArray.from_arrays(flat, width)


def unified(tables: list[pa.Table]) -> pa.Table:
    """All rows of tables whose columns may differ: a column that is missing is null.

    Lists of different lengths become lists of any length; numbers the wider type. The metadata is
    the last table's, with the shape of each column that has one shape in all tables.
    """
    if len({id(t.schema) for t in tables}) > 1 and any(
        not t.schema.equals(tables[0].schema) for t in tables[1:]
    ):
        tables = _with_equal_lists(tables)
    whole = pa.concat_tables(tables, promote_options="permissive")
    return whole.replace_schema_metadata({METADATA: json.dumps(_common(tables))})


def _common(tables: list[pa.Table]) -> dict[str, Any]:
    """The last table's metadata, but each shape must be that of all tables with such a column."""
    shapes: dict[str, Any] = {}
    last: dict[str, Any] = {}
    # most tables say the same: each text is read once, at its last place
    for told in dict.fromkeys((t.schema.metadata or {}).get(METADATA) for t in reversed(tables)):
        about = _told(told)
        last = last or about
        own = about.get("shapes")
        for name, shape in (own if isinstance(own, dict) else {}).items():
            shapes[name] = shape if shapes.get(name, shape) == shape else None
    return {**last, "shapes": {name: s for name, s in shapes.items() if s is not None}}


def _told(metadata: bytes | None) -> dict[str, Any]:
    try:
        about = json.loads(metadata or b"{}")
    except (ValueError, RecursionError):
        return {}  # a part from elsewhere
    return about if isinstance(about, dict) else {}


def _with_equal_lists(tables: list[pa.Table]) -> list[pa.Table]:
    types: dict[str, list[Any]] = {}
    for table in tables:
        for field in table.schema:
            found = types.setdefault(field.name, [])
            if field.type not in found:  # by ==: the hash of equal list types differs
                found.append(field.type)
    for name, found in types.items():
        inner = [kind.value_type for kind in found if pa.types.is_nested(kind)]
        if len(found) > 1 and inner:
            same = inner[0] if all(kind == inner[0] for kind in inner) else pa.float64()
            tables = [_as_lists(table, name, pa.list_(same)) for table in tables]
    return tables


def _as_lists(table: pa.Table, name: str, kind: Any) -> pa.Table:
    at = table.schema.get_field_index(name)
    if at < 0:
        return table
    column = table.column(at)
    if not pa.types.is_nested(column.type):  # one number where other observations have several
        column = pa.chunked_array(
            [
                pa.ListArray.from_arrays(np.arange(len(c) + 1, dtype=np.int32), c)
                for c in column.chunks
            ],
            pa.list_(column.type),
        )
    return table.set_column(at, name, column.cast(kind))
