"""Checkpoints and their results: one row a checkpoint, with a reason where a result is missing."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

from labbook.book.text import clean
from labbook_tui.models import CheckpointRow, EvaluationsModel, Outcome, Want
from labbook_tui.read.curves import series_curve
from labbook_tui.series import lower_is_better, ordered, split

if TYPE_CHECKING:
    from labbook.book.checkpoints import Checkpoint
    from labbook.book.results import Result
    from labbook.book.runreader import RunReader

__all__ = ["best_rows", "build"]


def build(reader: RunReader, want: Want) -> EvaluationsModel:
    """All checkpoints, newest first; results whose checkpoint is gone keep a row of their own."""
    results = list(reader.results(strict=False))
    reasons = list(reader.reasons())
    rows = [_row(point, results, reasons) for point in reader.checkpoints()]
    shown = {
        id(r) for point in reader.checkpoints() for r in results if _is_of(r.checkpoint, point)
    }
    rows += _orphans([r for r in results if id(r) not in shown])
    rows.sort(key=lambda row: (row.step is not None, row.step or 0), reverse=True)
    pairs = {
        (name, metric) for row in rows for name, o in row.outcomes.items() for metric in o.metrics
    }
    rank = {name: place for place, name in enumerate(ordered({metric for _, metric in pairs}))}
    metrics = tuple(sorted(pairs, key=lambda pair: (pair[0], rank[pair[1]])))
    curves = tuple(series_curve(reader, name) for name in _training_names(reader.names(), metrics))
    return EvaluationsModel(
        reader.summary(), tuple(rows), metrics, best_rows(rows, metrics), curves
    )


def _training_names(names: list[str], metrics: tuple[tuple[str, str], ...]) -> list[str]:
    """The training series with the name of the first metric."""
    if not metrics:
        return []
    wanted = split(metrics[0][1])[1]
    return [name for name in ordered(names) if split(name)[1] == wanted][:2]


def _is_of(about: dict[str, Any], point: Checkpoint) -> bool:
    """Whether a record names this checkpoint.

    Digests decide where both are of one scheme (`sha256:` is of the bytes, `zip:` of what is in
    them); else the file and, for one that has been moved, the step.
    """
    mine, theirs = str(point.digest or ""), str(about.get("digest") or "")
    if ":" in mine and mine.partition(":")[0] == theirs.partition(":")[0]:
        return mine == theirs and about.get("step") in {None, point.step}
    if about.get("file"):
        return bool(about["file"] == point.file)
    return point.step is not None and about.get("step") == point.step


def _row(point: Checkpoint, results: list[Result], reasons: list[dict[str, Any]]) -> CheckpointRow:
    mine = sorted(
        (r for r in results if _is_of(r.checkpoint, point)),
        key=lambda r: (r.subset == "full", r.meta.get("ended_ns") or 0),
    )
    outcomes = {clean(r.evaluation): _outcome(r) for r in mine}
    reason = "" if outcomes else "no result yet: start one with  labbook watch evaluation.py"
    for found in reasons:
        same = _is_of(found.get("checkpoint") or {}, point)
        if same and found.get("evaluation") not in outcomes:
            tries = found.get("attempts") or 0
            again = f" (tried {tries} times)" if tries > 1 else ""
            reason = clean(f"{found.get('state', 'waiting')}: {found.get('reason', '')}{again}")
    name = clean(os.path.basename(point.file))
    return CheckpointRow(point.step, name, point.size, point.time_ns, outcomes, reason)


def _orphans(results: list[Result]) -> list[CheckpointRow]:
    by_step: dict[tuple[int | None, str], list[Result]] = {}
    for result in results:
        name = clean(os.path.basename(str(result.checkpoint.get("file") or result.key)))
        by_step.setdefault((result.step, name), []).append(result)
    return [
        CheckpointRow(
            step,
            name,
            int(found[0].checkpoint.get("size") or 0),
            None,
            {clean(r.evaluation): _outcome(r) for r in found},
            "",
        )
        for (step, name), found in by_step.items()
    ]


def _outcome(result: Result) -> Outcome:
    broken = result.meta.get("n_nonfinite") or {}
    return Outcome(
        {clean(name): float(value) for name, value in result.metrics.items() if value is not None},
        {clean(name): float(value) for name, value in result.stderr.items() if value is not None},
        result.n_examples,
        result.n_expected,
        result.subset,
        result.coverage,
        sum(int(count) for count in broken.values()) if isinstance(broken, dict) else 0,
        tuple(clean(text) for text in result.meta.get("warnings") or ()),
    )


def best_rows(
    rows: list[CheckpointRow], metrics: tuple[tuple[str, str], ...]
) -> dict[tuple[str, str], int]:
    """The index of the best row for each metric whose name says which way is better.

    Only results over the whole set are compared: a mini set's mean is of other examples.
    """
    best: dict[tuple[str, str], int] = {}
    for name, metric in metrics:
        lower = lower_is_better(metric)
        values = [
            (row.outcomes[name].metrics[metric], index)
            for index, row in enumerate(rows)
            if name in row.outcomes
            and row.outcomes[name].subset == "full"
            and metric in row.outcomes[name].metrics
        ]
        values = [(value, index) for value, index in values if not math.isnan(value)]
        if lower is not None and len(values) > 1:
            pick = min if lower else max
            best[(name, metric)] = pick(values, key=lambda pair: pair[0])[1]
    return best
