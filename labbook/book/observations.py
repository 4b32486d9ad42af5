"""Chosen sets: array records of a journal as Arrow tables.

A record's header says what its bytes are; nothing in it is trusted. Only plain numbers are read,
never objects.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from labbook.book.arrays import columns_of, list_of
from labbook.book.facts import as_int
from labbook.book.layout import TIME

if TYPE_CHECKING:
    import numpy.typing as npt

    from labbook.journal.reader import Array

__all__ = ["METADATA", "examples_table", "observation_table", "set_of", "unified"]

METADATA: Final = b"labbook"
"""Key of the schema metadata: a JSON object with at least `shapes`: {column: shape of one example};
null in a shape stands for a length that varies."""

_TOLD = ("keep", "precision")  # what an observation's header says of all its columns
_NOT_TOLD = frozenset({"table", "columns", "texts", "target_texts"})


def set_of(array: Array, table: str) -> str | None:
    """The chosen set this record belongs to, when it is of this table."""
    if array.header.get("table") != table:
        return None
    name = array.header.get("set")
    return name if isinstance(name, str) and name else None


def observation_table(array: Array) -> pa.Table:
    """One observation, or a part of one, as step, time, example, columns….

    Raises `ValueError` when the header does not describe the payload.
    """
    columns = list(columns_of(array))
    n = columns[0].n if columns else 0
    example = _examples_of(array, n)
    if example.shape != (n,) or any(column.n != n for column in columns):
        raise ValueError("its columns differ in length")
    step = pa.array([array.step], pa.int64()).take(pa.array(np.zeros(n, np.int8)))
    time_ms = np.full(n, array.time_ns // 1_000_000)
    fields = {"step": step, "time": pa.array(time_ms).cast(TIME), "example": pa.array(example)}
    about = {key: array.header[key] for key in _TOLD if key in array.header}
    about["shapes"] = {column.name: column.shape for column in columns}
    fields |= {column.name: column.values for column in columns}
    return pa.table(fields).replace_schema_metadata({METADATA: json.dumps(about)})


def _examples_of(array: Array, n: int) -> npt.NDArray[np.int32]:
    """Numbers of the examples: as listed, or counted from `first`; (n,)"""
    ids = array.header.get("examples")
    if ids is not None:
        return np.asarray(ids, np.int32)
    first = as_int(array.header.get("first", 0))
    if first is None or first < 0:
        raise ValueError(f"it begins with example {array.header.get('first')!r}")
    return np.arange(first, first + n, dtype=np.int64).astype(np.int32)


def examples_table(array: Array) -> pa.Table:
    """A chosen set's inputs as example, columns…; raises `ValueError` like `observation_table`.

    Texts, of inputs and of targets, become the columns `text` and `target`.
    """
    columns = list(columns_of(array))
    n = columns[0].n if columns else 0
    about = {k: v for k, v in array.header.items() if k not in _NOT_TOLD}
    about["shapes"] = {column.name: column.shape for column in columns}
    if any(column.n != n for column in columns):
        raise ValueError("its columns differ in length")
    fields = {column.name: column.values for column in columns}
    for key, name in (("texts", "text"), ("target_texts", "target")):
        texts = array.header.get(key)
        if isinstance(texts, list) and (len(texts) == n or not columns):
            n = len(texts) if not columns else n
            fields[name] = pa.array([None if t is None else str(t) for t in texts], pa.string())
    fields = {"example": pa.array(np.arange(n, dtype=np.int32)), **fields}
    return pa.table(fields).replace_schema_metadata({METADATA: json.dumps(about)})


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
            tables = [_as_lists(table, name, list_of(same)) for table in tables]
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
