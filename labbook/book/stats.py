"""Last, least, greatest and count of a series, kept up to date as rows come.

Exact: nulls are not counted, NaN is a value that can be the last but is neither least nor greatest,
and the last value is that of the greatest step (of equal steps, the one logged last).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from labbook.book.decode import is_null
from labbook.book.facts import as_int
from labbook.journal.format import NO_STEP

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["SeriesStat", "Stat", "summarise"]


class Stat(NamedTuple):
    """What is known of a series at a glance; `step` is that of `last`, `count` without nulls."""

    last: float | None
    step: int | None
    min: float | None
    max: float | None
    count: int  # type: ignore[assignment]  # a field, not the method of tuples


@dataclass(frozen=True)
class SeriesStat:
    """A `Stat` that can be merged, and the steps at which rows (nulls too) were logged."""

    count: int
    last: float | None
    last_step: int
    """NO_STEP for none, as in the journal; likewise the other steps."""
    min: float | None
    max: float | None
    first_step: int
    """Of the row logged first."""
    low_step: int
    high_step: int
    order: int = 0
    """Decides between last values of one step: the journal's seq of the last value."""

    def merge(self, later: SeriesStat) -> SeriesStat:
        """Add rows, the first of which was logged after the first of these."""
        ours = (self.last_step, self.order) > (later.last_step, later.order)
        newest = self if self.last is not None and (ours or later.last is None) else later
        return SeriesStat(
            self.count + later.count,
            newest.last,
            newest.last_step,
            _either(min, self.min, later.min),
            _either(max, self.max, later.max),
            self.first_step,
            min(self.low_step, later.low_step),
            max(self.high_step, later.high_step),
            newest.order,
        )

    def public(self) -> Stat:
        """What readers of a summary get."""
        step = None if self.last is None or self.last_step == NO_STEP else self.last_step
        return Stat(self.last, step, self.min, self.max, self.count)

    def as_json(self) -> dict[str, Any]:
        """As a JSON object; numbers JSON does not have are text."""
        return {
            name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in vars(self).items()
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SeriesStat:
        """Read it back; raises `ValueError` or `TypeError` on anything else."""
        whole = {name: as_int(value.get(name)) for name in _WHOLE}
        numbers = {name: _number(value.get(name)) for name in ("last", "min", "max")}
        if any(number is None for number in whole.values()):
            raise ValueError("a statistic is not a whole number")
        return cls(**whole, **numbers)  # type: ignore[arg-type]


_WHOLE = ("count", "last_step", "first_step", "low_step", "high_step", "order")


def summarise(
    seq: npt.NDArray[np.uint64], step: npt.NDArray[np.int64], values: npt.NDArray[np.float64]
) -> list[SeriesStat]:
    """Summarise rows in the order of logging, (n,), (n,) and (n, names), n > 0, name by name."""
    first, low, high = int(step[0]), int(step.min()), int(step.max())
    if len(step) > 1 and (step[1:] < step[:-1]).any():
        order = np.argsort(step, kind="stable")
        seq, step, values = seq[order], step[order], values[order]
    null = is_null(np.ascontiguousarray(values))
    count = (~null).sum(axis=0)
    if null.any():
        values = np.where(null, np.nan, values)
        at = len(step) - 1 - np.argmax(~null[::-1], axis=0)
    else:
        at = np.full(values.shape[1], len(step) - 1)
    last = values[at, np.arange(values.shape[1])]
    least, greatest = np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)
    columns = (count, last, step[at], least, greatest, seq[at])
    return [
        SeriesStat(
            n,
            value if n else None,
            value_step if n else NO_STEP,
            None if math.isnan(smallest) else smallest,
            None if math.isnan(largest) else largest,
            first,
            low,
            high,
            value_seq,
        )
        for n, value, value_step, smallest, largest, value_seq in zip(
            *(column.tolist() for column in columns), strict=True
        )
    ]


def _either(pick: Any, one: float | None, other: float | None) -> float | None:
    found = [value for value in (one, other) if value is not None]
    return pick(found) if found else None


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        return float(value)
    raise TypeError(f"{value!r} is not a number")
