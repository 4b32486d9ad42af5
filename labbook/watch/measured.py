"""What came of an evaluation: rows that are checked, and the metrics computed from them once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from labbook.errors import EvaluationError
from labbook.watch.evaluation import Declaration
from labbook.watch.rows import Rows, as_rows, check_once, check_unique, measure
from labbook.watch.told import Told

__all__ = ["Outcome", "of_rows", "of_told"]

Numbers = dict[str, float | None]


@dataclass(frozen=True)
class Outcome:
    """What came of it. `metrics` and `stderr` None where a row is not finite.

    `coverage` is complete, unverified (nobody said how many examples there are) or metrics (there
    are no rows, only what the evaluation told). `source` says who computed the metrics: rows,
    reduce or told. `n_examples` is None where that is not known.
    """

    rows: Rows
    metrics: Numbers
    stderr: Numbers
    n_nonfinite: dict[str, int]
    n_examples: int | None
    n_expected: int | None
    coverage: str
    source: str
    batch_size: int
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)


def of_rows(
    declared: Declaration,
    rows: Rows,
    expected: Sequence[int] | None,
    reduce: Callable[[dict[str, Any]], Any] | None,
    batch_size: int,
) -> Outcome:
    """Check that each expected example is there once, then measure."""
    if not len(rows):
        raise EvaluationError(f"{declared.name}: not one batch came, so there are no rows")
    _check(declared, rows, expected)
    metrics, errors, bad = measure(rows, declared.weight, declared.metrics)
    source = "rows"
    if reduce is not None:
        metrics, errors, source = _numbers("reduce", reduce(rows.columns)), {}, "reduce"
    return Outcome(
        rows=rows,
        metrics=metrics,
        stderr=errors,
        n_nonfinite=bad,
        n_examples=len(rows),
        n_expected=None if expected is None else len(expected),
        coverage="unverified" if expected is None else "complete",
        source=source,
        batch_size=batch_size,
    )


def of_told(declared: Declaration, told: Told) -> Outcome:
    """What an evaluation with a loop of its own says; without metrics, those of its rows."""
    rows = Rows(np.empty(0, dtype=np.int64), {})
    metrics: Numbers = {}
    errors: Numbers = {}
    bad: dict[str, int] = {}
    coverage = "metrics"
    if told.rows is not None:
        expected = None if told.n_expected is None else range(told.n_expected)
        rows = as_rows(declared.name, told.rows)
        _check(declared, rows, expected)
        metrics, errors, bad = measure(rows, declared.weight, declared.metrics)
        coverage = "unverified" if expected is None else "complete"
    if told.metrics:
        metrics, errors = _numbers("evaluate", told.metrics), _numbers("evaluate", told.stderr)
    return Outcome(
        rows=rows,
        metrics=metrics,
        stderr=errors,
        n_nonfinite=bad,
        n_examples=told.n_examples if told.rows is None else len(rows),
        n_expected=told.n_expected,
        coverage=coverage,
        source="told" if told.metrics else "rows",
        batch_size=declared.batch_size,
        settings=dict(told.settings),
    )


def _check(declared: Declaration, rows: Rows, expected: Sequence[int] | None) -> None:
    if expected is None:
        check_unique(rows, declared.name)
    else:
        check_once(rows, expected, declared.name)


def _numbers(method: str, found: Any) -> Numbers:
    """What `reduce` or `evaluate` returned, as finite numbers or None."""
    if not isinstance(found, Mapping):
        raise EvaluationError(
            f"{method}() must return a dict of numbers, got {type(found).__name__}"
        )
    numbers: Numbers = {}
    for name, value in found.items():
        number = math.nan if value is None else float(value)
        numbers[str(name)] = number if math.isfinite(number) else None
    return numbers
