"""Orders in which to go through the examples, the ones to look at first."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from labbook.dynamics.columns import Floats, Ints
from labbook.dynamics.learning import NEVER
from labbook.errors import MisuseError

__all__ = ["ORDERS", "order"]

_ASCENDING: Final = {"example", "index", "class", "confidence", "correctness", "min_loss"}

_LATE: Final = {"forgetting", "first_correct", "stays_correct_from"}
"""Here an example that was never learned comes first. Toneva et al.'s own code counts it as
forgotten the most (order_examples_by_forgetting.py in github.com/mtoneva/example_forgetting)."""

ORDERS: Final = {
    "mean_loss": "mean_loss",
    "first_loss": "first_loss",
    "last_loss": "last_loss",
    "min_loss": "min_loss",
    "max_loss": "max_loss",
    "forgetting": "forgettings",
    "first_correct": "first_correct",
    "stays_correct_from": "stays_correct_from",
    "changes": "n_changes",
    "confidence": "confidence",
    "variability": "variability",
    "correctness": "correctness",
    "error": "mean_error",
    "class": "target",
    "index": "index",
    "example": "example",
}
"""Order -> the column of `examples` it goes by."""


def order(table: pa.Table, by: str) -> Ints:
    """Rows of what `examples` returned, (examples,), in an order of `ORDERS`.

    Losses, forgetting, changes, variability and error: the greatest first; late before early;
    confidence and correctness: the least first. Among equals the greater mean loss comes first,
    unknown ones last. Raises `MisuseError` for another order.
    """
    if by not in ORDERS:
        raise MisuseError(f"no order {by!r}; there are {', '.join(ORDERS)}")
    values = _values(table.column(ORDERS[by]))
    if by in _LATE:
        never = [status == NEVER for status in table.column("status").to_pylist()]
        values[np.array(never, np.bool_)] = np.inf
    if by not in _ASCENDING:
        values = -values
    mean_loss = -_values(table.column("mean_loss"))
    rows: Ints = np.lexsort((np.arange(len(values)), mean_loss, values))  # NaN sorts last
    return rows


def _values(column: pa.ChunkedArray) -> Floats:
    """Numbers as they are, anything else by its rank; null as NaN."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return column.cast(pa.float64(), safe=False).to_numpy().copy()  # type: ignore[no-any-return]
    texts = [None if value is None else str(value) for value in column.to_pylist()]
    rank = {text: float(at) for at, text in enumerate(sorted({t for t in texts if t is not None}))}
    return np.array([np.nan if text is None else rank[text] for text in texts], np.float64)
