"""One result's metric minus another's, over the examples that both have."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labbook.compare.paired import CONFIDENCE, t_quantile
from labbook.errors import StoreError

if TYPE_CHECKING:
    import numpy as np

    from labbook.book.results import Result

__all__ = ["Gap", "gap_between", "mean_gap"]


@dataclass(frozen=True)
class Gap:
    """A result's metric minus another's over the same examples: mean, standard error and 95 %
    confidence interval. `low`, `high` and `stderr` are None with fewer than two pairs."""

    n: int
    difference: float
    stderr: float | None
    low: float | None
    high: float | None

    @property
    def is_noise(self) -> bool:
        """Whether a difference of zero lies in the interval, or there is none."""
        return self.low is None or self.high is None or self.low <= 0 <= self.high


def gap_between(a: Result, b: Result, metric: str) -> tuple[Gap | None, str | None]:
    """The metric of `a` minus that of `b` over their common examples; or None, and why.

    The mean of the differences d of n examples, weighted as the metric is, with the standard error
    √(n / (n - 1) · Σ wᵢ² (dᵢ - d̄)²), weights summing to one, and Student's t with n - 1 degrees of
    freedom (NIST e-Handbook of Statistical Methods, §7.3.1.1).
    """
    import numpy as np

    told = {each.meta.get("metrics_source", "rows") for each in (a, b)}
    if told != {"rows"}:
        return None, "the metric is no mean over rows, so there is nothing to pair"
    try:
        one, other = _column(a, metric), _column(b, metric)
    except StoreError as error:
        return None, f"rows cannot be read: {error}"
    if one is None or other is None:
        return None, f"the rows have no column {metric!r} with one number an example"
    _, left, right = np.intersect1d(one[0], other[0], assume_unique=True, return_indices=True)
    if not np.array_equal(one[2][left], other[2][right]):
        return None, "the same examples have other weights in the two"
    return mean_gap(one[1][left], other[1][right], one[2][left]), None


Column = tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]
"""Ids, values, weights."""


def _column(result: Result, metric: str) -> Column | None:
    import numpy as np
    import pyarrow as pa

    settings = result.meta.get("settings")
    weight = settings.get("weight") if isinstance(settings, dict) else None
    names = ["example", metric, *([str(weight)] if weight else [])]
    table = result.rows(names)
    if not set(names) <= set(table.column_names):
        return None
    columns = []
    for name in names:
        column = table.column(name)
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.int8())
        elif not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            return None
        columns.append(column.to_numpy().astype(np.int64 if name == "example" else np.float64))
    if len(np.unique(columns[0])) != len(columns[0]):
        return None
    weights = columns[2] if weight else np.ones(len(columns[0]))
    return columns[0], columns[1], weights


def mean_gap(
    a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], weights: np.ndarray[Any, Any]
) -> Gap | None:
    """Of values (examples,) with weights; pairs that are not finite are left out."""
    import numpy as np

    usable = np.isfinite(a) & np.isfinite(b) & np.isfinite(weights)
    delta, weights = (a - b)[usable], weights[usable]
    n = len(delta)
    if n == 0 or not weights.sum() > 0:
        return None
    share = weights / weights.sum()
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float((share * delta).sum())
        squares = float((share**2 * (delta - mean) ** 2).sum())
    if not math.isfinite(mean):
        return None
    if n < 2 or not math.isfinite(squares):
        return Gap(n, mean, None, None, None)
    stderr = math.sqrt(squares * n / (n - 1))
    half = t_quantile(0.5 + CONFIDENCE / 2, n - 1) * stderr
    return Gap(n, mean, stderr, mean - half, mean + half)
