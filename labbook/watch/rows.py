"""One row an example, and the metrics computed from them once.

Invariant: a metric is the mean over rows, after each expected example has been found exactly once;
nothing is averaged twice, and rows that are not finite are kept and counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from labbook.errors import EvaluationError

__all__ = ["Collector", "Rows", "as_rows", "check_once", "check_unique", "measure"]

_FLUSH_BYTES = 64 << 20  # outputs kept on the device before they are fetched
ID_COLUMNS = ("example", "id", "ids")


@dataclass(frozen=True)
class Rows:
    """`ids`: int64 (n,); `columns`: arrays with n as first dimension, or lists of n strings."""

    ids: np.ndarray[Any, Any]
    columns: dict[str, Any]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass
class Collector:
    """Gathers what `step` returns; fetches from the device in bulk, so that it need not wait."""

    evaluation: str
    _ids: list[int] = field(default_factory=list)
    _held: dict[str, list[Any]] = field(default_factory=dict)
    _host: dict[str, list[Any]] = field(default_factory=dict)
    _held_bytes: int = 0

    def add(self, ids: Sequence[int] | None, found: Any) -> int:
        """Take one batch's columns; returns its number of examples.

        `ids` None: the columns hold them (`example` or `id`), else they are counted on.
        """
        if not isinstance(found, Mapping) or not found:
            raise EvaluationError(
                f"{self.evaluation}: step() must return a dict of per-example columns, "
                f"got {type(found).__name__}"
            )
        columns = dict(found)
        if ids is None:
            ids = self._own_ids(columns)
        count = len(ids)
        for name, value in columns.items():
            self._check(name, value, count)
        if self._ids and columns.keys() != (self._held or self._host).keys():
            raise EvaluationError(
                f"{self.evaluation}: the columns changed between batches: "
                f"{sorted(map(str, self._host or self._held))}, then {sorted(map(str, columns))}"
            )
        self._ids.extend(ids)
        for name, value in columns.items():
            self._keep(name, value)
        if self._held_bytes > _FLUSH_BYTES:
            self._flush()
        return count

    def finish(self) -> Rows:
        """All rows, in the order they came."""
        self._flush()
        columns = {name: _join(name, parts) for name, parts in self._host.items()}
        return Rows(np.asarray(self._ids, dtype=np.int64), columns)

    def _own_ids(self, columns: dict[str, Any]) -> list[int]:
        for name in ID_COLUMNS:
            if name in columns:
                return [int(each) for each in columns.pop(name)]
        value = next(iter(columns.values()))
        count = len(value) if hasattr(value, "__len__") else 1
        return list(range(len(self._ids), len(self._ids) + count))

    def _check(self, name: str, value: Any, count: int) -> None:
        shape = getattr(value, "shape", None)
        is_text = isinstance(value, str | bytes)
        length = shape[0] if shape else None
        if shape is None and not is_text and hasattr(value, "__len__"):
            length = len(value)
        if length != count:
            what = f"shape {tuple(shape)}" if shape is not None else type(value).__name__
            hint = ' (for a loss: reduction="none")' if not shape else ""
            raise EvaluationError(
                f"{self.evaluation}: column {name!r} has {what} for a batch of {count}; "
                f"it needs one row an example{hint}"
            )

    def _keep(self, name: str, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            value = value.detach()
            if value.device.type != "cpu":
                # a CUDA graph writes its next output over this one
                value = value.clone()
                self._held_bytes += value.numel() * value.element_size()
        self._held.setdefault(name, []).append(value)

    def _flush(self) -> None:
        for name, values in self._held.items():
            self._host.setdefault(name, []).extend(_to_host(name, value) for value in values)
        self._held = {name: [] for name in self._held}
        self._held_bytes = 0


def as_rows(evaluation: str, columns: Mapping[str, Any]) -> Rows:
    """Whole columns as rows; a list of numbers with `None` in it has nulls there."""
    collector = Collector(evaluation)
    collector.add(None, {name: _with_nulls(value) for name, value in columns.items()})
    return collector.finish()


def check_unique(rows: Rows, evaluation: str) -> None:
    """Raise `EvaluationError` where an id came twice."""
    found, counts = np.unique(rows.ids, return_counts=True)
    twice = found[counts > 1]
    if len(twice):
        raise EvaluationError(
            f"{evaluation}: {len(twice)} examples came more than once ({_some(twice)}), in "
            f"{len(rows)} rows. Nothing was published"
        )


def check_once(rows: Rows, expected: Sequence[int], evaluation: str) -> None:
    """Raise `EvaluationError` unless each expected id is there exactly once."""
    found, counts = np.unique(rows.ids, return_counts=True)
    wanted = np.unique(np.asarray(expected, dtype=np.int64))
    problems = [
        ("missing", np.setdiff1d(wanted, found)),
        ("more than once", found[counts > 1]),
        ("unexpected", np.setdiff1d(found, wanted)),
    ]
    told = [f"{len(ids)} {what} ({_some(ids)})" for what, ids in problems if len(ids)]
    if told:
        raise EvaluationError(
            f"{evaluation}: {len(wanted)} examples expected, {len(rows)} rows came: "
            f"{'; '.join(told)}. Nothing was published"
        )


def measure(
    rows: Rows, weight: str | None, names: Sequence[str] | None = None
) -> tuple[dict[str, float | None], dict[str, float | None], dict[str, int]]:
    """Metrics, their standard errors, and rows that are not finite, by column.

    A metric is the mean of a numeric column with one number an example, of those in `names` (None:
    all), weighted by the column `weight` when one is named; None when some row is not finite. The
    standard error is that of a mean of independent examples, s / √n, and for a weighted one
    √(n / (n - 1) · Σ wᵢ² (xᵢ - x̄)²) with weights that sum to one (the ratio estimator: Cochran,
    Sampling Techniques, 3rd ed., §6.3). A column with nulls has no metric.
    """
    weights = None if weight is None else _weights(rows, weight)
    missing = [name for name in names or () if name not in rows.columns]
    if missing:
        raise EvaluationError(
            f"metrics: there is no column {missing[0]!r}, but {', '.join(rows.columns)}"
        )
    metrics: dict[str, float | None] = {}
    errors: dict[str, float | None] = {}
    bad: dict[str, int] = {}
    for name, values in rows.columns.items():
        if isinstance(values, list) or values.dtype.kind not in "fiub":
            continue
        if values.dtype.kind == "f":
            flat = values.reshape(len(values), -1)
            bad[name] = int((~np.isfinite(flat)).any(axis=1).sum())
        is_asked = name != weight if names is None else name in names
        if values.ndim == 1 and is_asked and not np.ma.is_masked(values):
            metrics[name], errors[name] = _mean(values.astype(np.float64), weights)
    return metrics, errors, bad


def _weights(rows: Rows, weight: str) -> np.ndarray[Any, Any]:
    if weight not in rows.columns:
        raise EvaluationError(f"weight={weight!r}: step() returns no such column")
    weights = np.asarray(rows.columns[weight], dtype=np.float64)
    if weights.ndim != 1 or not np.isfinite(weights).all() or (weights < 0).any():
        raise EvaluationError(
            f"weight={weight!r}: each example's weight must be one number from 0, as a count of "
            "tokens is"
        )
    if not weights.sum() > 0:
        raise EvaluationError(f"weight={weight!r}: all weights are 0, so there is no mean")
    return weights


def _mean(
    values: np.ndarray[Any, Any], weights: np.ndarray[Any, Any] | None
) -> tuple[float | None, float | None]:
    share = np.full(len(values), 1 / len(values)) if weights is None else weights / weights.sum()
    with np.errstate(invalid="ignore", over="ignore"):
        mean = float(values.mean() if weights is None else (share * values).sum())
    if not math.isfinite(mean):
        return None, None
    if len(values) < 2:
        return mean, None
    squares = float((share**2 * (values - mean) ** 2).sum())
    return mean, math.sqrt(squares * len(values) / (len(values) - 1))


def _to_host(name: str, value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        value = value.cpu()
        if value.dtype in {torch.bfloat16, torch.float16}:
            value = value.float()
        return value.numpy()
    if isinstance(value, np.ndarray):
        return value.astype(np.float32) if value.dtype == np.float16 else value
    listed = list(value)
    if listed and all(isinstance(each, str) for each in listed):
        return listed
    made = np.asarray(listed)
    if made.dtype.kind not in "fiub":
        raise EvaluationError(f"column {name!r} holds {type(listed[0]).__name__}: not recordable")
    return made


def _join(name: str, parts: list[Any]) -> Any:
    if any(isinstance(part, list) for part in parts):
        return [text for part in parts for text in part]
    shapes = {part.shape[1:] for part in parts}
    if len(shapes) > 1:
        raise EvaluationError(
            f"column {name!r} has rows of different shapes ({sorted(shapes)}); pad them, "
            "or record a number an example"
        )
    if any(isinstance(part, np.ma.MaskedArray) for part in parts):
        masks = [np.ma.getmaskarray(part) for part in parts]
        return np.ma.MaskedArray(np.concatenate(parts), mask=np.concatenate(masks))
    return np.concatenate(parts)


def _with_nulls(value: Any) -> Any:
    """A list of numbers and `None` as a masked array; anything else as it is."""
    if not isinstance(value, list) or None not in value:
        return value
    if all(each is None or isinstance(each, int | float) for each in value):
        absent = [each is None for each in value]
        return np.ma.MaskedArray(
            [0.0 if each is None else float(each) for each in value], mask=absent
        )
    return ["" if each is None else each for each in value]


def _some(ids: np.ndarray[Any, Any], limit: int = 5) -> str:
    more = ", …" if len(ids) > limit else ""
    return ", ".join(str(each) for each in ids[:limit]) + more
