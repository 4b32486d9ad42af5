"""Arrow columns as numpy arrays; nulls become NaN."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["curve_arrays", "facts_of", "floats", "matrix", "milliseconds"]

Floats = NDArray[np.float64]


def floats(column: Any) -> Floats:
    """A numeric or boolean column as float64."""
    return np.asarray(column.to_numpy()).astype(np.float64)


def milliseconds(column: Any) -> Floats:
    """A timestamp column as milliseconds since 1970."""
    import pyarrow as pa

    whole = column.cast(pa.timestamp("ms", tz=column.type.tz)).cast(pa.int64())
    return floats(whole)


def matrix(column: Any) -> NDArray[np.float32] | None:
    """A column of equally long lists as (rows, length); None when it is not one."""
    import pyarrow as pa

    kind = column.type
    if not (pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind)) or not len(column):
        return None
    if not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        return None
    values = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    if column.null_count or len(values) % len(column):
        return None
    if pa.types.is_list(kind):
        import pyarrow.compute as pc

        if pc.count_distinct(pc.list_value_length(column)).as_py() != 1:
            return None
    table: NDArray[np.float32] = values.astype(np.float32).reshape(len(column), -1)
    return table


def facts_of(table: Any) -> dict[str, Any]:
    """What the schema's own metadata says: kind, shapes, sizes of pictures …; {} when absent."""
    try:
        facts = json.loads((table.schema.metadata or {}).get(b"labbook", b"{}"))
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def curve_arrays(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Points in ascending order of x; a series without x is numbered."""
    if len(x) and not np.isfinite(x).any():
        return np.arange(len(y), dtype=np.float64), y
    known = np.isfinite(x)
    if not known.all():
        x, y = x[known], y[known]
    if len(x) > 1 and (np.diff(x) < 0).any():
        order = np.argsort(x, kind="stable")
        x, y = x[order], y[order]
    return x, y
