"""The columns of an array record, as its header describes them. The header is not trusted.

Only plain numbers and bytes are read, never objects.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from labbook.book.facts import as_int

if TYPE_CHECKING:
    import numpy.typing as npt

    from labbook.journal.reader import Array

__all__ = ["ArrayColumn", "columns_of", "list_of"]

_RESERVED: Final = frozenset({"step", "time", "example", "writer"})
_MOST: Final = (1 << 31) - 1  # what a list's offsets can count


@dataclass(frozen=True)
class ArrayColumn:
    """One column: `n` values or lists as Arrow has them; `shape` is that of one example."""

    name: str
    n: int
    values: pa.Array
    shape: list[int | None]


@dataclass(frozen=True)
class _Described:
    name: str
    dtype: np.dtype[Any]
    shape: list[int]
    rows: int | None
    is_bytes: bool


def list_of(kind: pa.DataType, width: int = -1) -> pa.DataType:
    """The type of lists, of one width if that is given, as it comes back from Parquet.

    Parquet calls what is in a list `element`, Arrow `item`: a journal must read as its seal does.
    """
    return pa.list_(pa.field("element", kind), width)


def columns_of(array: Array) -> Iterator[ArrayColumn]:
    """Yield the columns of a record; raises `ValueError` when its header does not describe it."""
    described = array.header.get("columns")
    if not isinstance(described, list):
        raise ValueError("its header names no columns")
    at = 0
    for each in described:
        column = _described(each)
        lengths = None
        if column.rows is not None:
            lengths = _taken(array.payload, at, np.dtype("<u4"), [column.rows])
            at += lengths.nbytes
        values = _taken(array.payload, at, column.dtype, column.shape)
        at += values.nbytes
        name = f"{column.name}_" if column.name in _RESERVED else column.name
        if lengths is None:
            yield ArrayColumn(name, len(values), _as_arrow(values), [*values.shape[1:]])
        else:
            ragged = _as_ragged(values, lengths, is_bytes=column.is_bytes)
            yield ArrayColumn(name, len(lengths), ragged, [None, *values.shape[1:]])


def _taken(
    payload: bytes | memoryview, at: int, dtype: np.dtype[Any], shape: list[int]
) -> npt.NDArray[Any]:
    size = dtype.itemsize * math.prod(shape)
    if at + size > len(payload):
        raise ValueError("its columns are longer than its payload")
    return np.frombuffer(payload[at : at + size], dtype).reshape(shape)


def _described(column: Any) -> _Described:
    if not isinstance(column, dict) or not isinstance(column.get("name"), str):
        raise ValueError("a column without a name")
    is_bytes = column.get("dtype") == "bytes"
    try:
        dtype = np.dtype("|u1") if is_bytes else np.dtype(str(column.get("dtype")))
    except (TypeError, SyntaxError) as error:
        raise ValueError(f"a column of dtype {column.get('dtype')!r}") from error
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise ValueError(f"a column of dtype {column.get('dtype')!r}")
    shape = column.get("shape")
    if not isinstance(shape, list) or not shape or not all(_is_size(d) for d in shape):
        raise ValueError(f"a column of shape {shape!r}")
    rows = column.get("rows")
    if not (_is_size(rows) if "rows" in column else not is_bytes):
        raise ValueError(f"a column of {rows!r} rows")
    return _Described(column["name"], dtype, [int(d) for d in shape], rows, is_bytes)


def _is_size(value: Any) -> bool:
    whole = as_int(value)
    return whole is not None and whole >= 0


def _native(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.dtype.itemsize == 2 and values.dtype.kind == "f":
        values = values.astype(np.float32)  # exact; and every reader knows it
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _as_arrow(values: npt.NDArray[Any]) -> pa.Array:
    """(n,) as it is, (n, …) as lists of the flattened rest."""
    values = _native(values)
    if values.ndim == 1:
        return pa.array(values)
    width = math.prod(values.shape[1:])
    flat = pa.array(values.reshape(-1))
    if width == 0:
        offsets = pa.array(np.zeros(len(values) + 1, np.int32))
        return pa.ListArray.from_arrays(offsets, flat, type=list_of(flat.type))
    return pa.FixedSizeListArray.from_arrays(flat, type=list_of(flat.type, width))


def _as_ragged(
    values: npt.NDArray[Any], lengths: npt.NDArray[np.uint32], *, is_bytes: bool
) -> pa.Array:
    """Rows of unequal length as lists of their flattened values, or as binary."""
    ends = np.cumsum(lengths, dtype=np.int64)
    width = math.prod(values.shape[1:])
    if (int(ends[-1]) if len(ends) else 0) != len(values) or values.size > _MOST:
        raise ValueError("its rows are not as long as it says")
    offsets = np.concatenate([[0], ends * width]).astype(np.int32)
    flat = np.ascontiguousarray(_native(values.reshape(-1)))
    if is_bytes:
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(flat)]
        return pa.Array.from_buffers(pa.binary(), len(lengths), buffers)
    listed = pa.array(flat)
    return pa.ListArray.from_arrays(pa.array(offsets), listed, type=list_of(listed.type))
