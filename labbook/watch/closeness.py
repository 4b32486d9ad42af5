"""Are two sets of rows the same but for rounding?

A column of fractions agrees where a row's difference is at most `tolerance` times the size of the
column (the root of its mean square) or of the value. A column of whole numbers, truths or texts may
differ in few rows: the larger of two nearly equal logits is decided by rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from labbook.watch.rows import Rows

__all__ = ["Differing", "differing"]

_SHARE = 0.05
"""Rows of a column that may be apart: a threshold somewhere inside turns rounding into a jump."""


@dataclass(frozen=True)
class Differing:
    """The column that differs most, in `n` of `total` rows; `largest` is None where it has no
    numbers to subtract."""

    column: str
    n: int
    total: int
    largest: float | None

    def __str__(self) -> str:
        most = "" if self.largest is None else f", by up to {self.largest:.3g}"
        return f"{self.column!r} in {self.n} of {self.total} rows{most}"


def differing(a: Rows, b: Rows, tolerance: float) -> Differing | None:
    """What tells `a` and `b` apart, paired by id over the ids of `b`; None when they agree."""
    place = {int(each): at for at, each in enumerate(a.ids)}
    at = [place[int(each)] for each in b.ids if int(each) in place]
    of = [n for n, each in enumerate(b.ids) if int(each) in place]
    found: list[Differing] = []
    for name in a.columns:
        if name not in b.columns or not of:
            continue
        apart, largest = _apart(_take(a.columns[name], at), _take(b.columns[name], of), tolerance)
        n = int(apart.sum())
        if n > max(_SHARE * len(of), 1 if len(of) > 2 else 0):
            found.append(Differing(name, n, len(of), largest))
    return max(found, key=lambda each: each.n, default=None)


def _take(column: Any, places: list[int]) -> Any:
    return [column[at] for at in places] if isinstance(column, list) else column[places]


def _apart(a: Any, b: Any, tolerance: float) -> tuple[np.ndarray[Any, Any], float | None]:
    """Which rows differ, and by how much the furthest."""
    if isinstance(a, list):
        return np.asarray([one != other for one, other in zip(a, b, strict=True)]), None
    if a.shape != b.shape or a.dtype.kind != "f":
        if a.shape != b.shape:
            return np.ones(len(a), dtype=bool), None
        return np.any(np.reshape(a != b, (len(a), -1)), axis=1), None
    one, other = (np.ma.getdata(each).astype(np.float64).reshape(len(each), -1) for each in (a, b))
    finite = np.isfinite(one) & np.isfinite(other)
    size = np.sqrt(np.mean(one[finite] ** 2)) if finite.any() else 0.0
    with np.errstate(invalid="ignore"):
        gap = np.abs(one - other)
    gap[~finite] = 0.0
    allowed = tolerance * np.maximum(size, np.maximum(np.abs(one), np.abs(other)))
    apart = (gap > np.where(finite, allowed, 0.0)) | (np.isfinite(one) != np.isfinite(other))
    rows = apart.any(axis=1)
    return rows, float(gap[apart & finite].max()) if (apart & finite).any() else None
