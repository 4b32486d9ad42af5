"""Series and columns of chosen sets as plain arrays, in the order in which they are paired."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from labbook.book.runreader import RunReader

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["NO_STEP", "Column", "Tolerance", "chosen_columns", "series_column"]

NO_STEP = -(2**63)
"""Stands for a row without a step; it comes first, as in the book."""

_KEYS = frozenset({"step", "time", "example", "writer"})


@dataclass(frozen=True)
class Tolerance:
    """How far two numbers may differ: `|a - b| <= atol + rtol * |a|`."""

    rtol: float = 0.0
    atol: float = 0.0


@dataclass(frozen=True)
class Column:
    """Rows in order of step and, in chosen sets, of example.

    `values` is (rows, width), or (rows,) of objects for what is no number; `valid` is (rows,), and
    `kind` names the type, so that other types are told apart from other values.
    """

    name: str
    step: npt.NDArray[np.int64]
    example: npt.NDArray[np.int64] | None
    values: npt.NDArray[Any]
    valid: npt.NDArray[np.bool_]
    kind: str


def series_column(table: pa.Table, name: str) -> Column:
    """Make a column of a series: step, time, value; sorted by step already."""
    return _column(name, table, table.column("value"), None, np.arange(table.num_rows))


def chosen_columns(run: RunReader, chosen: str) -> dict[str, Column]:
    """Make columns `<set>.<column>` of a chosen set, its inputs and targets first.

    Empty when the run has no such set.
    """
    if chosen not in run.chosen_sets():
        return {}
    found: dict[str, Column] = {}
    for title, table in (("examples", run.examples(chosen)), ("", run.chosen(chosen))):
        example = _integers(table.column("example"))
        step = _integers(table.column("step")) if "step" in table.column_names else example * 0
        order = np.lexsort((example, step))  # stable: repeated observations stay in order
        for name in table.column_names:
            if name not in _KEYS:
                label = f"{chosen}.{title}.{name}" if title else f"{chosen}.{name}"
                found[label] = _column(label, table, table.column(name), example, order)
    return found


def _column(
    name: str,
    table: pa.Table,
    values: pa.ChunkedArray,
    example: npt.NDArray[np.int64] | None,
    order: npt.NDArray[np.int64],
) -> Column:
    whole = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
    if "step" in table.column_names:
        step = _integers(table.column("step"))
    else:
        step = np.full(table.num_rows, NO_STEP)
    return Column(
        name,
        step[order],
        None if example is None else example[order],
        _rows(whole)[order],
        whole.is_valid().to_numpy(zero_copy_only=False)[order],
        str(values.type),
    )


def _integers(values: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    filled: npt.NDArray[np.int64] = pc.fill_null(values.cast(pa.int64()), NO_STEP).to_numpy()
    return filled


def _rows(values: pa.Array) -> npt.NDArray[Any]:
    """Numbers as (rows, width); anything else as (rows,) of Python objects."""
    kind, width = values.type, 1
    if pa.types.is_fixed_size_list(kind):
        kind, width = kind.value_type, kind.list_size
        if values.null_count == 0 and _is_number(kind):
            return _numbers(values.flatten()).reshape(len(values), width)
    elif _is_number(kind):
        return _numbers(values).reshape(len(values), 1)
    found = np.empty(len(values), object)
    for place, value in enumerate(values.to_pylist()):  # `found[:] =` would take lists for an axis
        found[place] = tuple(value) if isinstance(value, list) else value
    return found


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    )


def _numbers(values: pa.Array) -> npt.NDArray[Any]:
    if values.null_count:
        values = pc.fill_null(values, pa.scalar(0).cast(values.type))
    return np.asarray(values.to_numpy(zero_copy_only=False))
