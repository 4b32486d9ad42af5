"""Columns of an observation table as numpy arrays, one entry a row.

Invariant: what was not recorded (null) is told apart from what was recorded and is not finite; a
column of another type or shape than asked for is none at all, never reshaped into one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["Bools", "Floats", "Ints", "Numbers", "Vectors", "facts_of", "integers", "numbers"]
__all__ += ["sequences", "shape_of", "vectors"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

BLOCK_VALUES: Final = 1 << 17
"""Values of vectors that are looked at together: 1 MiB of float64, so that caches hold them."""


@dataclass(frozen=True, eq=False)
class Numbers:
    """One number a row, (rows,) each; `values` means nothing where `known` is False."""

    values: NDArray[Any]
    known: Bools


def facts_of(table: pa.Table) -> dict[str, Any]:
    """What the schema's metadata `labbook` says; {} when it says nothing that can be read."""
    try:
        facts = json.loads((table.schema.metadata or {}).get(b"labbook", b"{}"))
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def shape_of(table: pa.Table, name: str) -> list[int] | None:
    """The recorded shape of one row's value, `[]` for a number; None when it is not known."""
    shapes = facts_of(table).get("shapes")
    shape = shapes.get(name) if isinstance(shapes, dict) else None
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        return None
    return shape


def numbers(table: pa.Table, name: str) -> Numbers | None:
    """A column of plain numbers, as float64; None when there is none."""
    kind = _kind(table, name)
    if kind is None or not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    column = table.column(name)
    known = column.is_valid().to_numpy()
    values = column.fill_null(0).to_numpy() if column.null_count else column.to_numpy()
    return Numbers(values.astype(np.float64, copy=False), known)


def integers(table: pa.Table, name: str) -> Numbers | None:
    """A column of whole numbers or truth values, as int64; None when there is none."""
    kind = _kind(table, name)
    if kind is None or not (pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        return None
    column = table.column(name)
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    known = column.is_valid().to_numpy()
    values = column.fill_null(0).to_numpy() if column.null_count else column.to_numpy()
    return Numbers(values.astype(np.int64, copy=False), known)


def sequences(table: pa.Table, name: str) -> Numbers | None:
    """A column of lists of whole numbers, each list as a number of its own; None without one.

    Equal lists get equal numbers, and only they. The numbers mean nothing else.
    """
    kind = _kind(table, name)
    if kind is None or not _is_list(kind) or not pa.types.is_integer(kind.value_type):
        return None
    column = table.column(name).combine_chunks()
    lengths = pc.list_value_length(column).fill_null(-1).to_numpy()
    flat = column.flatten()
    if flat.null_count:
        return None
    starts = np.cumsum(np.maximum(lengths, 0)) - np.maximum(lengths, 0)
    codes, used = np.zeros(len(lengths), np.int64), 0
    for length in np.unique(lengths[lengths >= 0]):
        at = np.flatnonzero(lengths == length)
        lists = flat.to_numpy()[starts[at][:, None] + np.arange(length)]  # (lists, length)
        found, which = np.unique(lists, axis=0, return_inverse=True) if length else ([0], 0)
        codes[at] = used + np.reshape(which, -1)
        used += len(found)
    return Numbers(codes, lengths >= 0)


@dataclass(frozen=True, eq=False)
class Vectors:
    """So many numbers a row, all rows the same number of them."""

    width: int
    known: Bools
    """(rows,)"""
    _chunks: list[Any]

    def blocks(self, keep: Bools) -> Iterator[tuple[NDArray[np.intp], Floats]]:
        """Yield rows and their values (rows, width) of the known rows in `keep`, in order."""
        start = 0
        for chunk in self._chunks:
            rows = np.flatnonzero(self.known[start : start + len(chunk)]) + start
            flat = chunk.flatten() if _is_list(chunk.type) else chunk.drop_null()
            values = flat.to_numpy(zero_copy_only=False).reshape(-1, self.width)
            start += len(chunk)
            wanted = keep[rows]
            if not wanted.all():
                rows, values = rows[wanted], values[wanted]
            n = max(1, BLOCK_VALUES // self.width)
            for at in range(0, len(rows), n):
                yield rows[at : at + n], values[at : at + n].astype(np.float64)


def vectors(table: pa.Table, name: str) -> Vectors | None:
    """A column of numbers, or of lists of equally many; None when there is none."""
    kind = _kind(table, name)
    if kind is None:
        return None
    column = table.column(name)
    inner = kind.value_type if _is_list(kind) else kind
    if not (pa.types.is_integer(inner) or pa.types.is_floating(inner)):
        return None
    width = 1
    if pa.types.is_fixed_size_list(kind):
        width = kind.list_size
    elif _is_list(kind):
        lengths = pc.min_max(pc.list_value_length(column)).as_py()
        if lengths["min"] != lengths["max"]:
            return None
        width = lengths["min"] or 0
    known = column.is_valid().to_numpy()
    return Vectors(width, known, column.chunks) if width else None


def _kind(table: pa.Table, name: str) -> Any:
    return table.schema.field(name).type if name in table.column_names else None


def _is_list(kind: Any) -> bool:
    return bool(
        pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)
    )
