"""Pairs two columns row by row and finds where they part."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from labbook.restore.columns import NO_STEP, Column, Tolerance

if TYPE_CHECKING:
    import numpy.typing as npt

    Mask = npt.NDArray[np.bool_]

__all__ = ["Divergence", "Pairing", "pair"]


@dataclass(frozen=True)
class Divergence:
    """Where two columns part: at `step` (null: a row without one), at an example of a chosen set.

    `why` is `value`, `only in a`, `only in b` (the step, the example or the whole series) or
    `type`. `a` and `b` are the values farthest apart at that step, `absolute` and `relative` (to
    `a`) the size of their difference; null where they are no numbers or cannot be subtracted.
    """

    name: str
    why: str
    step: int | None = None
    example: int | None = None
    a: Any = None
    b: Any = None
    absolute: float | None = None
    relative: float | None = None


@dataclass(frozen=True)
class Pairing:
    """How two columns compare: `verdict` is `bitwise`, `within` or `different`.

    `largest` is the largest absolute difference and `relative` the largest relative one, of the
    pairs that are finite numbers; `n_unequal` counts rows that are not equal bit for bit.
    """

    verdict: str
    n_compared: int
    n_unequal: int = 0
    largest: float = 0.0
    relative: float = 0.0
    first: Divergence | None = None


def pair(a: Column | None, b: Column | None, tolerance: Tolerance) -> Pairing:
    """Compare two columns; null is one that the run does not have (not both)."""
    if a is None or b is None:
        there = a if a is not None else b
        if there is None:
            raise ValueError("a column that neither run has cannot be compared")
        why = "only in b" if a is None else "only in a"
        at = None if len(there.step) == 0 else _step(there, 0)
        return Pairing("different", 0, first=Divergence(there.name, why, at))
    if a.kind != b.kind:
        at = _step(a, 0) if len(a.step) else None
        return Pairing("different", 0, first=Divergence(a.name, "type", at, None, a.kind, b.kind))
    n, parting = _common(a, b)
    if a.values[:n].shape != b.values[:n].shape:  # lists of which only some rows are null
        a, b = _as_objects(a), _as_objects(b)
    unequal, beyond, gap = _differences(a, b, n, tolerance)
    first = parting
    if beyond.any():
        first = _value_divergence(a, b, int(np.argmax(beyond)), n, gap)
    verdict = "different" if first else "within" if unequal.any() else "bitwise"
    finite = gap[np.isfinite(gap)]
    return Pairing(
        verdict,
        n,
        int(unequal.sum()),
        float(finite.max(initial=0.0)),
        _largest_relative(a, n, gap),
        first,
    )


def _common(a: Column, b: Column) -> tuple[int, Divergence | None]:
    """How many rows have the same steps and examples from the start on, and what parts them."""
    n = min(len(a.step), len(b.step))
    apart = a.step[:n] != b.step[:n]
    if a.example is not None and b.example is not None:
        apart |= a.example[:n] != b.example[:n]
    if apart.any():
        n = int(np.argmax(apart))
    elif len(a.step) == len(b.step):
        return n, None
    if n == len(b.step) or (n < len(a.step) and _key(a, n) < _key(b, n)):
        there, why = a, "only in a"
    else:
        there, why = b, "only in b"
    example = None if there.example is None else int(there.example[n])
    return n, Divergence(a.name, why, _step(there, n), example)


def _differences(
    a: Column, b: Column, n: int, tolerance: Tolerance
) -> tuple[Mask, Mask, npt.NDArray[np.float64]]:
    """Rows unequal, rows beyond the tolerance, and (rows,) the largest |a - b| (NaN: no number)."""
    left, right = a.values[:n], b.values[:n]
    valid = a.valid[:n] & b.valid[:n]
    other = a.valid[:n] != b.valid[:n]
    if left.dtype == object:
        unequal = other | (valid & np.fromiter(map(_differ, left, right), np.bool_, n))
        return unequal, unequal, np.where(unequal, np.nan, 0.0)
    same = _bits(left) == _bits(right)
    if left.dtype.kind == "f":
        same |= np.isnan(left) & np.isnan(right)
    with np.errstate(all="ignore"):
        gaps = np.abs(left.astype(np.float64) - right.astype(np.float64))
        close = gaps <= tolerance.atol + tolerance.rtol * np.abs(left.astype(np.float64))
        close &= np.isfinite(gaps)
    unequal = other | (valid & ~same.all(axis=1))
    beyond = other | (valid & ~(same | close).all(axis=1))
    gaps = np.where(same, 0.0, gaps)
    gap = np.where(valid, gaps.max(axis=1, initial=0.0), np.where(other, np.nan, 0.0))
    return unequal, beyond, gap


def _bits(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Numbers by their bits, so that 0.0 and -0.0 differ."""
    if values.dtype.kind != "f":
        return values
    return np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")


def _value_divergence(
    a: Column, b: Column, at: int, n: int, gap: npt.NDArray[np.float64]
) -> Divergence:
    """The divergence at the step of row `at`: of its rows the one that is farthest apart."""
    rows = np.flatnonzero(a.step[at:n] == a.step[at]) + at
    worst = int(rows[np.argmax(np.nan_to_num(gap[rows], nan=np.inf, posinf=np.inf))])
    left, right = _cell(a, b, worst)
    absolute = relative = None
    if isinstance(left, int | float) and isinstance(right, int | float):
        size = abs(float(left) - float(right))
        absolute = size if math.isfinite(size) else None
        relative = size / abs(left) if left and absolute is not None else None
    example = None if a.example is None else int(a.example[worst])
    return Divergence(a.name, "value", _step(a, worst), example, left, right, absolute, relative)


def _cell(a: Column, b: Column, row: int) -> tuple[Any, Any]:
    """The values of a row; of an array the element that is farthest apart."""
    left = a.values[row] if a.valid[row] else None
    right = b.values[row] if b.valid[row] else None
    if a.values.dtype == object:
        return left, right
    column = 0
    if left is not None and right is not None and len(left) > 1:
        with np.errstate(all="ignore"):
            gaps = np.abs(left.astype(np.float64) - right.astype(np.float64))
        unequal = _bits(left) != _bits(right)
        column = int(np.argmax(np.where(unequal, np.nan_to_num(gaps, nan=np.inf), -1.0)))
    return _plain(left, column), _plain(right, column)


def _plain(values: npt.NDArray[Any] | None, column: int) -> Any:
    return None if values is None else values[column].item()


def _largest_relative(a: Column, n: int, gap: npt.NDArray[np.float64]) -> float:
    """Largest gap of a row over its largest value: a bound that does not blow up near zero."""
    if a.values.dtype == object or not n:
        return 0.0
    size = np.abs(a.values[:n].astype(np.float64)).max(axis=1, initial=0.0)
    with np.errstate(all="ignore"):
        ratios = gap / size
    return float(ratios[np.isfinite(ratios)].max(initial=0.0))


def _differ(left: Any, right: Any) -> bool:
    return bool(repr(left) != repr(right))  # NaN inside equals NaN, and -0.0 differs from 0.0


def _as_objects(column: Column) -> Column:
    values = np.empty(len(column.values), object)
    values[:] = [tuple(r.tolist()) if isinstance(r, np.ndarray) else r for r in column.values]
    return Column(column.name, column.step, column.example, values, column.valid, column.kind)


def _key(column: Column, row: int) -> tuple[int, int]:
    example = 0 if column.example is None else int(column.example[row])
    return int(column.step[row]), example


def _step(column: Column, row: int) -> int | None:
    step = int(column.step[row])
    return None if step == NO_STEP else step
